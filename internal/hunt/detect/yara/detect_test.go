package yara

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern"
	"postern/internal/hunt/detect"
)

// looked lets a detector look at some bytes.
func looked(t testing.TB, d *Detector, data string) ([]postern.Finding, []postern.Problem) {
	t.Helper()
	f := &detect.File{Path: "C/inetpub/wwwroot/Page.aspx", Server: "inetpub/wwwroot/page.aspx", Size: int64(len(data)),
		ModTime: time.Date(2021, 3, 3, 0, 0, 0, 0, time.UTC),
		Open:    func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(data)), nil }}
	if !d.Wants(f) {
		t.Fatal("the detector does not want the file")
	}
	found, problems, err := d.Look(f)
	if err != nil {
		t.Fatal(err)
	}
	return found, problems
}

func TestFindings(t *testing.T) {
	t.Parallel()
	rules, report := compiled(t, map[string]string{"rules/a.yar": `
rule Two_Strings : webshell CVE_2021_26855 {
  meta:
    description = "What it is"
    author = "Somebody"
    reference = "https://example.org/"
    license = "DRL 1.1"
    score = 85
    hash1 = "00"
  strings:
    $text = "needle"
    $wide = "hay" wide
    $bytes = { 00 01 ff }
    $secret = "needle" private
    $unused = "nothing"
  condition:
    $text and $wide and $bytes and $secret
}
rule Own_Words { meta: postern_level = "used" postern_confidence = "high" condition: filename == "Page.aspx" and filepath == "\\inetpub\\wwwroot\\Page.aspx" and extension == ".aspx" and not defined owner }
private rule Nobody { condition: true }
`})
	if len(report.Unsupported) > 0 {
		t.Fatal(said(report))
	}
	var asked []string
	d := New(rules, Options{Level: func(m Meta, _ *detect.File) (postern.Level, postern.Confidence) {
		asked = append(asked, m.Rule)
		return postern.Implanted, postern.Medium
	}})
	found, problems := looked(t, d, "\n\nneedle h\x00a\x00y\x00 \x00\x01\xff")
	if len(found) != 2 || len(problems) > 0 {
		t.Fatalf("got %d findings and the problems %+v, want two and none", len(found), problems)
	}
	f := found[0]
	if f.Rule != "yara/Two_Strings" || f.Level != postern.Implanted || f.Confidence != postern.Medium || f.Explain[0].Args["text"] != "What it is" ||
		!slices.Equal(f.Tags, []string{"webshell", "CVE_2021_26855", TagFileTime}) || !slices.Equal(f.CVE, []string{"CVE-2021-26855"}) {
		t.Errorf("got %+v", f)
	}
	for name, want := range map[string]string{"rule_author": "Somebody", "rule_reference": "https://example.org/", "rule_licence": "DRL 1.1", "rule_score": "85",
		postern.File: "inetpub/wwwroot/page.aspx"} {
		if got := f.Entities[name]; got != want {
			t.Errorf("entity %s: got %q, want %q", name, got, want)
		}
	}
	var places []string
	for _, e := range f.Evidence {
		places = append(places, e.Excerpt)
		if e.Path != "C/inetpub/wwwroot/Page.aspx" || e.SHA256 != f.Entities[postern.FileSHA256] || len(e.SHA256) != 64 {
			t.Errorf("evidence %+v", e)
		}
	}
	if want := []string{"$text: needle", "$wide: hay", "$bytes: 0001ff"}; !slices.Equal(places, want) {
		t.Errorf("excerpts: got %q, want %q", places, want)
	}
	if f := found[1]; f.Level != postern.Used || f.Confidence != postern.High || len(f.Evidence) != 1 {
		t.Errorf("a rule that says its level itself: got %+v", f)
	}
	if !slices.Contains(asked, "Two_Strings") {
		t.Errorf("the map was asked for %q", asked)
	}
}

// A file above the bound is looked at as far as the bound goes, and that is said.
func TestALargeFileIsCutAndSaid(t *testing.T) {
	t.Parallel()
	rules, _ := compiled(t, map[string]string{"a.yar": `
rule begins { strings: $a = "begin" condition: $a at 0 }
rule ends { strings: $a = "the end" condition: $a }
rule size { condition: filesize > 32MB }`})
	data := "begin" + strings.Repeat("x", maxRead) + "the end"
	found, problems := looked(t, New(rules, Options{}), data)
	var names []string
	for _, f := range found {
		names = append(names, f.Rule)
	}
	if !slices.Equal(names, []string{"yara/begins", "yara/size"}) || len(problems) != 1 || problems[0].What != postern.Limit {
		t.Errorf("got %q and %+v, want begins, size, and one problem", names, problems)
	}
}

// Strings that only files with certain names are searched for change no result.
// TestMorePlacesThanAreKeptIsSaid counts a string beyond the bound: the number is wrong
// then, and the file says so.
func TestMorePlacesThanAreKeptIsSaid(t *testing.T) {
	t.Parallel()
	rules, _ := compiled(t, map[string]string{"a.yar": `
rule Often { strings: $a = { 00 } condition: #a > 1500000 }
rule There { strings: $a = { 00 } condition: $a }
`})
	d := New(rules, Options{})
	for size, want := range map[int][]string{900_000: nil, 3_000_000: {"yara.places"}} {
		_, problems := looked(t, d, strings.Repeat("\x00", size))
		var got []string
		for _, p := range problems {
			got = append(got, p.Detail.Key)
			if p.What != postern.Limit {
				t.Errorf("%d places: %s is %s, want %s", size, p.Detail.Key, p.What, postern.Limit)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d places of a string: problems %q, want %q", size, got, want)
		}
	}
}

func TestNamesAreAskedBeforeTheSearch(t *testing.T) {
	t.Parallel()
	rules, report := compiled(t, map[string]string{"a.yar": `
rule page { strings: $a = /<%[^%]*\bword/ nocase condition: extension == ".aspx" and $a }
rule again { strings: $b = "needle" $a = /<%[^%]*\bword/ nocase condition: $b and $a }`})
	if len(report.Unsupported) > 0 {
		t.Fatal(said(report))
	}
	if len(rules.index.named) == 0 {
		t.Fatal("no string waits for a name")
	}
	for _, c := range []struct {
		extension, data string
		want            []int32
	}{
		{".aspx", "<% a Word", []int32{0}},
		{".aspx", "<% a Word needle", []int32{0, 1}},
		{".aspx", "word needle", nil},
		{".txt", "<% a Word", nil},
		{".txt", "<% a Word needle", []int32{1}}, // which needs the string all the same
	} {
		in := input{data: []byte(c.data), size: int64(len(c.data)), known: [5]bool{true, true, true, true, true}}
		in.external[externalExtension] = c.extension
		s := rules.newScratch()
		if got := rules.scan(t.Context(), s, &in).matched; !slices.Equal(got, c.want) {
			t.Errorf("%q in a %s: got the rules %v, want %v", c.data, c.extension, got, c.want)
		}
		if got := rules.scanPlain(t.Context(), s, &in).matched; !slices.Equal(got, c.want) {
			t.Errorf("%q in a %s without gates: got the rules %v, want %v", c.data, c.extension, got, c.want)
		}
	}
}

// What must not be found and stands at the beginning saves the search, and changes no
// result.
func TestBeginningsThatRuleOut(t *testing.T) {
	t.Parallel()
	rules, report := compiled(t, map[string]string{"a.yar": `
rule page {
  strings:
    $short = "<?"
    $no1 = "<?xml version" nocase wide ascii
    $no2 = "<?word" fullword
    $payload = "payload"
  condition:
    $short in (0..100) and not any of ($no*) and $payload
}`})
	if len(report.Unsupported) > 0 {
		t.Fatal(said(report))
	}
	payload := rules.rules[0].strings[3]
	for _, c := range []struct {
		data           string
		want, searched bool
	}{
		{"<? payload", true, true},
		{"<?XML version payload", false, false},
		{"\xef\xbb\xbf<?xml version payload", false, false},
		{"<\x00?\x00x\x00m\x00l\x00 \x00v\x00e\x00r\x00s\x00i\x00o\x00n\x00 <? payload", false, false},
		{"<? and <?xml version payload", false, true}, // which only the search tells
		{"<?words payload", true, true},               // not the word that is meant
		{"<?word payload", false, true},
		{"payload", false, false},
	} {
		in := input{data: []byte(c.data), size: int64(len(c.data))}
		s := rules.newScratch()
		if got := len(rules.scan(t.Context(), s, &in).matched) > 0; got != c.want {
			t.Errorf("%q: got %v, want %v", c.data, got, c.want)
		}
		if got := s.searched.Has(payload); got != c.searched {
			t.Errorf("%q: searched for the payload: %v, want %v", c.data, got, c.searched)
		}
		if got := len(rules.scanPlain(t.Context(), s, &in).matched) > 0; got != c.want {
			t.Errorf("%q without gates: got %v, want %v", c.data, got, c.want)
		}
	}
}

// A file of which no rule wants more than the beginning is read no further.
func TestNothingIsReadInVain(t *testing.T) {
	t.Parallel()
	rules, _ := compiled(t, map[string]string{"a.yar": `
rule program { strings: $a = "needle" condition: uint16(0) == 0x5A4D and $a }
rule image { strings: $a = { 89 50 4E 47 } $b = "needle" condition: $a at 0 and $b }`})
	r := &counting{r: bytes.NewReader(make([]byte, 4<<20))}
	f := &detect.File{Path: "x", Size: 4 << 20, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
	found, problems, err := New(rules, Options{}).Look(f)
	if len(found)+len(problems) > 0 || err != nil || r.n > headSize+1 {
		t.Errorf("got %v %v %v after reading %d bytes, want nothing after %d", found, problems, err, r.n, headSize+1)
	}
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestAFileThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	rules, _ := compiled(t, map[string]string{"a.yar": "rule any { condition: true }"})
	gone := errors.New("gone")
	for name, open := range map[string]func() (io.ReadCloser, error){
		"open": func() (io.ReadCloser, error) { return nil, gone },
		"read": func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", headSize+10)), failing{gone})), nil
		},
	} {
		if _, _, err := New(rules, Options{}).Look(&detect.File{Path: "x", Open: open}); !errors.Is(err, gone) {
			t.Errorf("%s: got the error %v, want %v", name, err, gone)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Several goroutines use one detector.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	rules, _ := compiled(t, map[string]string{"a.yar": `
rule a { strings: $a = "needle" $b = /n[a-z]{3}le/ condition: all of them }
rule b { strings: $a = "<?" condition: $a in (0..10) }`})
	d := New(rules, Options{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 50 {
				data, want := "<? needle", 2
				if i%2 == 0 {
					data, want = strings.Repeat("hay ", 30_000)+"needle", 1
				}
				if found, _ := looked(t, d, data); len(found) != want {
					t.Errorf("got %d findings, want %d", len(found), want)
				}
			}
		})
	}
	all.Wait()
}

// TestTextsInOneLook asks for alternatives that look for a text in the same variable,
// which are looked for together: each of them counts, without case, and what is not known
// of a file holds none.
func TestTextsInOneLook(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]bool{
		`filename icontains ".JSP" or filename icontains "AGE.A"`:                                                       true,
		`filename icontains ".jsp" or filename icontains ".php"`:                                                        false,
		`filename icontains ".jsp" or filename icontains "page.aspx.bak"`:                                               false,
		`filename icontains ".jsp" or filename contains ".aspx" or filename icontains ".php"`:                           true,
		`filename icontains ".jsp" or filename contains ".ASPX"`:                                                        false,
		`filename icontains ".jsp" or filename icontains ""`:                                                            true,
		`owner icontains "a" or owner icontains ""`:                                                                     false,
		`not (owner icontains "a" or owner icontains "b")`:                                                              true,
		`owner icontains "a" or filepath icontains "nowhere" or filepath icontains "WWWROOT"`:                           true,
		`filepath icontains "nowhere" or (filename icontains ".php" or filename icontains ".jsp") or extension == ".x"`: false,
	} {
		rules, report := compiled(t, map[string]string{"a.yar": `rule R { strings: $a = "needle" condition: (` + condition + `) and $a }`})
		if len(report.Unsupported) > 0 {
			t.Fatal(condition, said(report))
		}
		found, _ := looked(t, New(rules, Options{}), "a needle in it")
		if got := len(found) > 0; got != want {
			t.Errorf("%s: %v, want %v", condition, got, want)
		}
	}
}

// TestFirstPlaceIsAlwaysKept has a string stand in so many places that no more are kept:
// that another stands in the file, behind all of them, is seen all the same.
func TestFirstPlaceIsAlwaysKept(t *testing.T) {
	t.Parallel()
	rules, _ := compiled(t, map[string]string{"a.yar": `
rule Noisy { strings: $a = "ab" $b = "bc" $c = "cd" $d = "da" condition: #a + #b + #c + #d > 9000000 }
rule Marker { strings: $m = "XMARKERX" condition: $m }
`})
	found, _ := looked(t, New(rules, Options{}), strings.Repeat("abcd", 1_000_500)+" XMARKERX")
	if len(found) != 1 || found[0].Rule != "yara/Marker" {
		t.Errorf("got %d findings, want that of the string behind four million others", len(found))
	}
}

// TestWhatStandsInALog ranks a rule about files that matches a row of a log: anybody can
// have it written there. A rule that says its own level is believed.
func TestWhatStandsInALog(t *testing.T) {
	t.Parallel()
	rules, _ := compiled(t, map[string]string{"a.yar": `
rule Tool : HKTL { strings: $a = "needle" condition: $a }
rule Own { meta: postern_level = "used" strings: $a = "needle" condition: $a }
`})
	d := New(rules, Options{Logs: true, Level: func(Meta, *detect.File) (postern.Level, postern.Confidence) {
		return postern.PostExploitation, postern.High
	}})
	for isLog, want := range map[bool]map[string]postern.Level{
		false: {"yara/Tool": postern.PostExploitation, "yara/Own": postern.Used},
		true:  {"yara/Tool": postern.Probed, "yara/Own": postern.Used},
	} {
		data := "a needle"
		found, _, err := d.Look(&detect.File{Path: "u.log", Server: "u.log", Size: int64(len(data)), Log: isLog,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(data)), nil }})
		if err != nil || len(found) != 2 {
			t.Fatalf("log %v: %d findings, error %v", isLog, len(found), err)
		}
		for _, f := range found {
			if f.Level != want[f.Rule] {
				t.Errorf("%s, log %v: level %d, want %d", f.Rule, isLog, f.Level, want[f.Rule])
			}
		}
	}
}
