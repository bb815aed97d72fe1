package iisconfig

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func read(t *testing.T, text string) *File {
	t.Helper()
	f, err := Read(strings.NewReader(text), "x/web.config")
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return f
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ignorePlaces compares models without the places of their elements.
var ignorePlaces = cmpopts.IgnoreTypes(Pos{})

func kinds(f *File) []string {
	var all []string
	for _, p := range f.Problems {
		all = append(all, string(p.What)+" "+p.Detail.Key)
	}
	return all
}

func TestApplicationHost(t *testing.T) {
	t.Parallel()
	f := read(t, fixture(t, "applicationHost.config"))
	if !f.WellFormed || !f.Whole || len(f.Problems) > 0 || !f.IsApplicationHost() {
		t.Fatalf("well-formed %v, whole %v, applicationHost %v, problems %v", f.WellFormed, f.Whole, f.IsApplicationHost(), f.Problems)
	}
	want := &File{
		Sites: []Site{
			{Name: "Front & Door", ID: "1", Bindings: []string{"https *:443:"},
				LogFile: LogFile{Directory: `E:\logs`, Format: "W3C"},
				Applications: []Application{
					{Path: "/", Pool: "MailFrontPool", Directories: []Directory{{Path: "/", PhysicalPath: `%SystemDrive%\inetpub\wwwroot`}}},
					{Path: "/owa", Pool: "MailFrontPool", Directories: []Directory{
						{Path: "/", PhysicalPath: `D:\Mail\FrontEnd\owa`}, {Path: "/themes", PhysicalPath: `D:\Mail\Themes`}}},
				}},
			{Name: "Back", ID: "2"},
		},
		SiteDefaults:  LogFile{Directory: `%SystemDrive%\inetpub\logs\LogFiles`, Format: "W3C"},
		CentralLog:    CentralLog{Mode: "Site", W3C: `%SystemDrive%\inetpub\logs\LogFiles`},
		Pools:         []Pool{{Name: "MailFrontPool", AutoStart: "true"}, {Name: "MailPanelPool", AutoStart: "false", StartMode: "OnDemand"}},
		PoolDefaults:  Pool{AutoStart: "true"},
		GlobalModules: []Module{{Op: Add, Name: "StaticFileModule", Image: `%windir%\System32\inetsrv\static.dll`}, {Op: Add, Name: "RewriteModule", Image: `%SystemRoot%\system32\inetsrv\rewrite.dll`}},
		Modules: []Module{{Op: Add, Name: "StaticFileModule"}, {Op: Add, Name: "RewriteModule"},
			{Scope: Scope{Location: "Front & Door/owa"}, Op: Remove, Name: "RewriteModule"}},
		Handlers:  []Handler{{Op: Add, Name: "pages", Path: "*.aspx", Verb: "GET,POST", Type: "System.Web.UI.PageHandlerFactory"}},
		Filters:   []Filter{{Op: Add, Name: "auth", Path: `D:\Mail\bin\auth.dll`, Disabled: true}},
		Rules:     []Rule{{Op: Add, Global: true, Name: "everywhere", PatternSyntax: "Wildcard", Match: Match{URL: "*", CaseMatters: true}, Action: Action{Type: "None"}}},
		Redirects: []Redirect{{Scope: Scope{Location: "Front & Door/owa"}, Enabled: true, Destination: "https://mail.example.test/"}},
		Logging:   []Logging{{}},
		Filtering: []Filtering{
			{Op: Add, List: "hiddenSegments", Value: "web.config", Allowed: true},
			{Op: Add, List: "denyUrlSequences", Value: "..", Allowed: true},
			{Op: Add, List: "denyQueryStringSequences", Value: "powershell", Allowed: true}},
		FilterRules: []FilterRule{{Op: Remove, Name: "old"},
			{Op: Add, Name: "words", URL: true, Query: true, Extensions: []string{".xml"}, Deny: []string{"one", "two"}}},
		Policies: []Policy{{Access: "Read, Script"}},
	}
	if diff := cmp.Diff(want, f, ignorePlaces, cmpopts.IgnoreFields(File{}, "Size", "SHA256", "WellFormed", "Whole")); diff != "" {
		t.Errorf("model (-want +got):\n%s", diff)
	}
}

func TestWebConfig(t *testing.T) {
	t.Parallel()
	f := read(t, fixture(t, "web.config"))
	own := Scope{NotInChildren: true}
	want := &File{
		Modules: []Module{{Scope: own, Op: Remove, Name: "RewriteModule"}, {Scope: own, Op: Add, Name: "Header", Type: "Vendor.Header, Vendor"}},
		MachineKeys: []MachineKey{{Scope: own},
			// SHA-256 of "AB01CD": the key itself is not in the model.
			{Fixed: true, Fingerprint: "ab1df9ccc6249ac875438ef2deaa115213ac25fdc776fdea8e701ff51ce34bfb"}},
		Builders: []Builder{{Op: Add, Extension: ".jpg", Type: "Vendor.Builder"}},
		Rules: []Rule{
			{Op: Clear},
			{Op: Add, Name: "stop", Disabled: true, StopProcessing: true, Match: Match{URL: ".*"}, MatchAny: true, TrackAllCaptures: true,
				Conditions: []Condition{{Input: "{HTTP_COOKIE}", Pattern: "(.*)a=(.+)"}, {Input: "{URL}", Pattern: "b", MatchType: "Pattern", Negate: true, CaseMatters: true}},
				Action:     Action{Type: "AbortRequest"}},
			{Op: Remove, Name: "old"},
		},
		External: []External{{Section: "handlers", Source: "handlers.config"}},
	}
	if diff := cmp.Diff(want, f, ignorePlaces, cmpopts.IgnoreFields(File{}, "Size", "SHA256", "WellFormed", "Whole")); diff != "" {
		t.Errorf("model (-want +got):\n%s", diff)
	}
	if f.IsApplicationHost() {
		t.Error("a web.config is taken for an applicationHost.config")
	}
}

// Every element can be walked back to its bytes, and no secret goes with it.
func TestPlaces(t *testing.T) {
	t.Parallel()
	text := fixture(t, "applicationHost.config")
	f := read(t, "\ufeff"+strings.ReplaceAll(text, "\n", "\r\n"))
	decoded := strings.ReplaceAll(text, "\n", "\r\n")
	dir := f.Sites[0].Applications[1].Directories[0]
	if got := decoded[dir.Offset:]; !strings.HasPrefix(got, `<virtualDirectory path="/" physicalPath="D:\Mail`) {
		t.Errorf("offset %d points at %.40q", dir.Offset, got)
	}
	if want := int64(1 + strings.Count(decoded[:dir.Offset], "\n")); dir.Line != want {
		t.Errorf("line %d, want %d", dir.Line, want)
	}
	if want := `<virtualDirectory path="/" physicalPath="D:\Mail\FrontEnd\owa" userName="svc" password="(hidden)" />`; dir.Source != want {
		t.Errorf("source %s, want %s", dir.Source, want)
	}
	key := read(t, fixture(t, "web.config")).MachineKeys[1]
	if strings.Contains(key.Source, "ab01CD") {
		t.Errorf("the machine key is in %s", key.Source)
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	const text = `<?xml version="1.0" encoding="utf-16"?><configuration><system.applicationHost><sites>
<site name="Bür𐍈" id="7"/></sites></system.applicationHost></configuration>`
	utf16Of := func(order binary.ByteOrder, mark bool) []byte {
		var b bytes.Buffer
		if mark {
			binary.Write(&b, order, uint16(0xFEFF))
		}
		binary.Write(&b, order, utf16.Encode([]rune(text)))
		return b.Bytes()
	}
	ansi := []byte(strings.NewReplacer("ü", "\xfc", "𐍈", "\x80", "utf-16", "windows-1252").Replace(text))
	for _, tc := range []struct {
		name, site string
		raw        []byte
		problems   []string
	}{
		{"utf-8", "Bür𐍈", []byte(text), nil},
		{"utf-8 with mark", "Bür𐍈", []byte("\xef\xbb\xbf" + text), nil},
		{"utf-16le with mark", "Bür𐍈", utf16Of(binary.LittleEndian, true), nil},
		{"utf-16be with mark", "Bür𐍈", utf16Of(binary.BigEndian, true), nil},
		{"utf-16le", "Bür𐍈", utf16Of(binary.LittleEndian, false), nil},
		{"utf-16be", "Bür𐍈", utf16Of(binary.BigEndian, false), nil},
		{"windows-1252", "Bür€", ansi, []string{"encoding config.problem.ansi"}},
		{"xml 1.1", "Bür𐍈", []byte(strings.Replace(text, "1.0", "1.1", 1)), nil},
		{"odd byte at the end", "Bür𐍈", append(utf16Of(binary.LittleEndian, true), '<'), []string{"encoding config.problem.utf16"}},
		{"zero padding", "Bür𐍈", []byte(text + strings.Repeat("\x00", 512)), []string{"truncated config.problem.nul"}},
	} {
		f, err := Read(bytes.NewReader(tc.raw), "x")
		if err != nil || len(f.Sites) != 1 {
			t.Errorf("%s: %d sites, error %v", tc.name, len(f.Sites), err)
			continue
		}
		if f.Sites[0].Name != tc.site || f.Sites[0].Line != 2 {
			t.Errorf("%s: site %q on line %d, want %q on line 2", tc.name, f.Sites[0].Name, f.Sites[0].Line, tc.site)
		}
		if diff := cmp.Diff(tc.problems, kinds(f)); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", tc.name, diff)
		}
	}
}

// What is wrong is named with its line and what comes after is read.
func TestMalformed(t *testing.T) {
	t.Parallel()
	const site = `<sites><site name="S" id="1"/></sites>`
	for _, tc := range []struct {
		name, text string
		problems   []string
		line       string
	}{
		{"cut inside a tag", site + `<sites><site name="T" i`, []string{"malformed config.problem.syntax", "truncated config.problem.open"}, "1"},
		{"cut between tags", site + "\n<configuration>\n<sites>", []string{"truncated config.problem.open"}, "3"},
		{"end tag typed as start tag", "<system.web>\n<compilation/>\n<system.web>\n" + site, []string{"truncated config.problem.open"}, "4"},
		{"end tag of nothing", "</configuration>\n" + site, []string{"malformed config.problem.nesting"}, "1"},
		{"crossed tags", "<a>\n<b>\n</a></b>" + site, []string{"malformed config.problem.nesting", "malformed config.problem.nesting"}, "3"},
		{"page code between tags", "<a>\n<" + "% ping %" + "></a>" + site, []string{"malformed config.problem.syntax"}, "2"},
		{"bad character reference", "<a>\n<b c='&#1;'/></a>" + site, []string{"malformed config.problem.syntax"}, "2"},
		{"control character", "<a>\x01</a>" + site, []string{"malformed config.problem.control"}, "1"},
		{"nothing at all", "", []string{"malformed config.problem.empty"}, ""},
		{"no XML", "[Settings]\nsite=1\n", []string{"malformed config.problem.empty"}, ""},
	} {
		f := read(t, tc.text)
		if f.WellFormed {
			t.Errorf("%s: taken for well-formed", tc.name)
		}
		if diff := cmp.Diff(tc.problems, kinds(f)); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", tc.name, diff)
			continue
		}
		if got := f.Problems[0].Detail.Args["line"]; got != tc.line {
			t.Errorf("%s: first problem in line %q, want %q", tc.name, got, tc.line)
		}
		if strings.Contains(tc.text, site) && (len(f.Sites) == 0 || f.Sites[0].Name != "S") {
			t.Errorf("%s: the site was lost", tc.name)
		}
	}
}

// What XML allows is no problem: comments, sections of text, unusual quotes.
func TestWellFormed(t *testing.T) {
	t.Parallel()
	f := read(t, "<!-- <site name=\"no\"/> --><sites><![CDATA[<site name='no'/>]]><site\n\tname = 'it&#39;s \"S\" > &lt;' id='1'></site ></sites>\n")
	if !f.WellFormed || len(f.Problems) > 0 || len(f.Sites) != 1 || f.Sites[0].Name != `it's "S" > <` {
		t.Errorf("well-formed %v, problems %v, sites %+v", f.WellFormed, f.Problems, f.Sites)
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	open := "<" + "%"
	for text, want := range map[string]int{
		"<configuration><!--\n" + open + " ping %" + "> --></configuration>":                        2,
		"<configuration>\n\n<![CDATA[<SCR" + "IPT language=x RUN" + "AT=server>]]></configuration>": 3,
		"<configuration><add value='100%'/><!-- < % --></configuration>":                            0,
		"<configuration><add name='ScriptModule' type='a<b'/></configuration>":                      0,
	} {
		f := read(t, text)
		switch {
		case want == 0 && len(f.Code) > 0:
			t.Errorf("%q: code in line %d", text, f.Code[0].Line)
		case want > 0 && (len(f.Code) == 0 || f.Code[0].Line != int64(want)):
			t.Errorf("%q: code %v, want it in line %d", text, f.Code, want)
		}
	}
}

func TestRedirection(t *testing.T) {
	t.Parallel()
	f := read(t, `<configuration><configurationRedirection enabled="true" path="\\fs\iis" password="x"/></configuration>`)
	if !f.Elsewhere.Enabled || f.Elsewhere.Path != `\\fs\iis` {
		t.Errorf("redirection %+v", f.Elsewhere)
	}
}

// Bounds: each of these would cost memory or time without one. The site after
// it is found where the bound is not one of the whole file.
func TestHostile(t *testing.T) {
	t.Parallel()
	const site = `<sites><site name="S" id="1"/></sites>`
	bomb := "<!DOCTYPE a [<!ENTITY x0 \"ha\">"
	for i := 1; i < 40; i++ {
		bomb += fmt.Sprintf("<!ENTITY x%d \"&x%d;&x%d;\">", i, i-1, i-1)
	}
	bomb += "]><a>&x39;</a>" + site
	for _, tc := range []struct {
		name, text, problem string
		after               bool
	}{
		{"entities in entities", bomb, "unsupported config.problem.doctype", true},
		{"file of another machine", `<!DOCTYPE a SYSTEM "\\host\x.dtd"><a/>` + site, "unsupported config.problem.doctype", true},
		{"deep nesting", strings.Repeat("<a>", 1<<20) + site, "limit config.problem.depth", false},
		{"long value", `<a b="` + strings.Repeat("x", 1<<20) + `"/>` + site, "limit config.problem.tag", true},
		{"many attributes", "<a" + strings.Repeat(" b=c", 1<<20) + "/>" + site, "limit config.problem.tag", true},
		{"some attributes", "<a" + strings.Repeat(" b=c", MaxAttributes+1) + "/>" + site, "limit config.problem.attributes", true},
		{"many elements", strings.Repeat("<a/>", MaxElements+1) + site, "limit config.problem.elements", false},
		{"many errors", strings.Repeat("<"+"%", 1<<20) + site, "malformed config.problem.more", true},
		{"open quotes", strings.Repeat(`<a b="`, 1<<18) + site, "malformed config.problem.syntax", false},
		{"long comment", "<!--" + strings.Repeat("-", 1<<20) + "-->" + site, "", true},
		{"much to keep", "<sites>" + strings.Repeat("<site/>", MaxKept+1), "limit config.problem.kept", false},
		{"too large", strings.Repeat(" ", MaxBytes) + site, "limit config.problem.size", false},
	} {
		start := time.Now()
		f := read(t, tc.text)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: took %v", tc.name, took)
		}
		if got := strings.Join(kinds(f), "\n"); !strings.Contains(got, tc.problem) {
			t.Errorf("%s: problems %s, want %s", tc.name, got, tc.problem)
		}
		if tc.after && (len(f.Sites) != 1 || f.Sites[0].Name != "S") {
			t.Errorf("%s: sites %+v, want the one after it", tc.name, f.Sites)
		}
		if len(f.Problems) > maxProblems+2 {
			t.Errorf("%s: %d problems", tc.name, len(f.Problems))
		}
	}
}

// A reader that fails is not a short file: what came before counts and the error is told.
func TestReadError(t *testing.T) {
	t.Parallel()
	broken := io.MultiReader(strings.NewReader(`<sites><site name="S" id="1"/>`), iotest.ErrReader(io.ErrClosedPipe))
	f, err := Read(broken, "x")
	if err == nil || len(f.Sites) != 1 || f.Whole || f.SHA256 != "" {
		t.Errorf("error %v, sites %d, whole %v, sha256 %q", err, len(f.Sites), f.Whole, f.SHA256)
	}
}

// FuzzRead asks whether every place in the model points at a '<' of the text on the
// line that it names, whatever the bytes, and whether reading twice gives the same.
func FuzzRead(f *testing.F) {
	// Short seeds: the fuzzer spends its time on making long ones shorter.
	for _, seed := range []string{
		`<sites><site name="a" id="1"><application path="/x"><virtualDirectory path="/" physicalPath="C:\"/></application></site></sites>`,
		`<location path="a" inheritInChildApplications="false"><system.webServer><modules><remove name="b"/></modules></system.webServer></location>`,
		`<rewrite><rules><clear/><rule name="a"><match url=".*"/><conditions><add input="{URL}"/></conditions><action/></rule></rules></rewrite>`,
		"<globalModules>\r\n<add image='&amp;'/>\n<!-- <" + "% --></globalModules>",
		"\xff\xfe<\x00a\x00/\x00>\x00",
		"\xfc<a>\x00\x00",
		`<!DOCTYPE a [<!ENTITY b "c">]><location path="&b;"><rules><rule><match url="(`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		model, err := Read(bytes.NewReader(raw), "x")
		if err != nil {
			t.Fatalf("error %v of a reader that has none", err)
		}
		again, _ := Read(bytes.NewReader(raw), "x")
		if !cmp.Equal(model, again) {
			t.Error("two readings differ")
		}
		r := &reader{file: &File{}}
		text := r.decode(raw)
		check := func(p Pos) {
			if p.Offset < 0 || p.Offset >= int64(len(text)) || text[p.Offset] != '<' {
				t.Errorf("offset %d of %d bytes is no '<'", p.Offset, len(text))
				return
			}
			if want := int64(1 + bytes.Count(text[:p.Offset], []byte{'\n'})); p.Line != want {
				t.Errorf("offset %d: line %d, want %d", p.Offset, p.Line, want)
			}
			if len(p.Source) > maxSource+len("…") {
				t.Errorf("source of %d bytes", len(p.Source))
			}
		}
		for _, s := range model.Sites {
			check(s.Pos)
			for _, a := range s.Applications {
				check(a.Pos)
			}
		}
		for _, m := range model.Modules {
			check(m.Pos)
		}
		for _, x := range model.Rules {
			check(x.Pos)
		}
		for _, p := range model.Code {
			check(p)
		}
		for _, p := range model.Problems {
			if p.What == "" || p.Detail.IsZero() || p.Path != "x" {
				t.Errorf("problem %+v says nothing", p)
			}
		}
		if !model.WellFormed && len(model.Problems) == 0 {
			t.Error("not well-formed, and no problem says why")
		}
	})
}

func BenchmarkRead(b *testing.B) {
	text, err := os.ReadFile("testdata/applicationHost.config")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if f, _ := Read(bytes.NewReader(text), "x"); len(f.Sites) != 2 {
			b.Fatal("sites")
		}
	}
}
