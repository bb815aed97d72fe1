package indicator

import (
	"crypto/md5"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern"
)

// stixFeed is a feed of one pattern, openIOCFeed one of one item.
func stixFeed(pattern string) string {
	return fmt.Sprintf(`{"type":"indicator","id":"indicator--1","pattern":%q,"pattern_type":"stix"}`, pattern)
}

func openIOCFeed(search, condition, value string) string {
	return `<ioc id="i"><definition><Indicator operator="OR"><IndicatorItem id="a" condition="` + condition + `"><Context search="` + search +
		`"/><Content>` + value + `</Content></IndicatorItem></Indicator></definition></ioc>`
}

// Comparisons that are not with whole values hold where they should, of files and rows.
func TestComparisons(t *testing.T) {
	t.Parallel()
	const owa, dll = "frontend/httpproxy/owa/auth/outlooken.aspx", "windows/temp/a.dll"
	fields := func(pairs ...string) []string { return pairs }
	visit := fields("cs-host", "mail.evil.example", "UrlPath", "/a/x.aspx", "c-ip", "192.0.2.7", "cs(User-Agent)", "Mozilla/5.0+(Evil)")
	umlaut := fields("cs-host", "mail.xn--mnchen-3ya.example", "UrlPath", "/a/x.aspx", "c-ip", "192.0.2.7")
	for _, c := range []struct {
		feed  string
		files []string // of owa and dll, those that hold
		row   []string // nil for none
		found bool
	}{
		{feed: stixFeed(`[file:name LIKE 'outlook__.asp%']`), files: fields(owa)},
		{feed: stixFeed(`[file:name LIKE 'OUTLOOK%' AND file:name != 'outlooken.aspx']`)},
		{feed: stixFeed(`[file:name LIKE 'OUTLOOK%' AND file:name NOT IN ('a.aspx', 'b.aspx')]`), files: fields(owa)},
		{feed: stixFeed(`[file:name MATCHES '^outlook[a-z]{2}\\.aspx$']`), files: fields(owa)},
		{feed: stixFeed(`[file:name MATCHES 'aspx$' AND file:name NOT MATCHES '^outlook']`)},
		{feed: stixFeed(`[file:name = 'a.dll' AND file:parent_directory_ref.path LIKE 'C:\\Windows\\%']`), files: fields(dll)},
		{feed: stixFeed(`[file:name = 'a.dll' AND file:parent_directory_ref.path LIKE 'C:\\Users\\%']`)},
		{feed: stixFeed(`[file:parent_directory_ref.path LIKE '%\\owa\\auth' AND file:name LIKE '%.aspx']`), files: fields(owa)},
		{feed: stixFeed(`[directory:path MATCHES '\\\\temp$']`), files: fields(dll)},
		{feed: stixFeed(`[file:name LIKE 'C:\\Program Files\\Microsoft\\Exchange Server\\V15\\FrontEnd\\HttpProxy\\owa\\%.aspx']`), files: fields(owa)},
		{feed: stixFeed(`[file:name LIKE '%.aspx' OR file:name LIKE '%.dll']`), files: fields(owa, dll)},
		{feed: stixFeed(`[file:hashes.MD5 != '` + hexOf(md5.Sum([]byte("x"))) + `' AND file:name LIKE '%.dll']`)},
		{feed: stixFeed(`[file:hashes.MD5 != '` + hexOf(md5.Sum([]byte("y"))) + `' AND file:name LIKE '%.dll']`), files: fields(dll)},
		{feed: stixFeed(`[file:size = 1 AND file:name LIKE '%.dll']`), files: fields(dll)},
		{feed: stixFeed(`[file:size = 2 AND file:name LIKE '%.dll']`)},
		{feed: stixFeed(`[domain-name:value LIKE '%.evil.example']`), row: visit, found: true},
		{feed: stixFeed(`[domain-name:value LIKE 'www%.evil.example']`), row: visit},
		{feed: stixFeed(`[url:value LIKE 'http://mail.evil.example/a/%.aspx']`), row: visit, found: true},
		{feed: stixFeed(`[url:value LIKE 'http://mail.evil.example/b/%.aspx']`), row: visit},
		{feed: stixFeed(`[ipv4-addr:value = '192.0.2.7' AND network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' MATCHES 'evil']`), row: visit, found: true},
		{feed: stixFeed(`[ipv4-addr:value = '192.0.2.7' AND network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' NOT MATCHES 'evil']`), row: visit},
		{feed: stixFeed(`[domain-name:value = 'evil.example' AND ipv4-addr:value != '192.0.2.8']`), row: visit, found: true},
		{feed: stixFeed(`[domain-name:value = 'evil.example' AND ipv4-addr:value != '192.0.2.7']`), row: visit},
		{feed: stixFeed(`[ipv4-addr:value = '192.0.2.7' AND domain-name:value != 'mail.evil.example']`), row: visit},
		{feed: stixFeed(`[domain-name:value LIKE '%.MÜnchen.example']`), row: umlaut, found: true},
		{feed: stixFeed(`[domain-name:value LIKE '%.münster.example']`), row: umlaut},
		{feed: stixFeed(`[url:value LIKE 'http://mail.münchen.example/a/%']`), row: umlaut, found: true},
		{feed: stixFeed(`[url:value LIKE 'http://mail.münchen.example/b/%']`), row: umlaut},
		{feed: stixFeed(`[ipv4-addr:value = '192.0.2.7' AND domain-name:value != 'mail.münchen.example']`), row: umlaut},
		{feed: stixFeed(`[ipv4-addr:value = '192.0.2.7' AND domain-name:value != 'mail.münster.example']`), row: umlaut, found: true},
		{feed: openIOCFeed("FileItem/FileName", "contains", "outlook"), files: fields(owa)},
		{feed: openIOCFeed("FileItem/FullPath", "contains", `\owa\auth\`), files: fields(owa)},
		{feed: openIOCFeed("FileItem/FileName", "starts-with", "a."), files: fields(dll)},
		{feed: openIOCFeed("FileItem/FilePath", "ends-with", `\Temp`), files: fields(dll)},
		{feed: openIOCFeed("FileItem/FileName", "matches", `^a\.d`), files: fields(dll)},
	} {
		s := of(t, c.feed)
		d := NewDetector(s, Files{Now: now})
		var got []string
		for _, name := range []string{owa, dll} {
			if len(looked(t, d, file(name, "x"))) > 0 {
				got = append(got, name)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.files) {
			t.Errorf("%s: files %v, want %v", c.feed, got, c.files)
		}
		if c.row == nil {
			continue
		}
		if found := len(s.NewHost(now).Look(row(day, c.row...))) > 0; found != c.found {
			t.Errorf("%s: found in a row %v, want %v", c.feed, found, c.found)
		}
	}
}

func hexOf(sum [md5.Size]byte) string { return fmt.Sprintf("%x", sum) }

// A file is not opened to see that its name is another.
func TestScansOpenNothing(t *testing.T) {
	t.Parallel()
	s := of(t, stixFeed(`[file:hashes.MD5 != '`+hexOf(md5.Sum([]byte("y")))+`' AND file:name LIKE '%.dll']`))
	f := file("windows/temp/a.exe", "x")
	f.Open = func() (io.ReadCloser, error) {
		t.Error("the file was opened")
		return nil, io.EOF
	}
	if d := NewDetector(s, Files{Now: now}); d.Wants(f) || d.named(f, func(uint32) {}) {
		t.Error("a file of another name is wanted")
	}
}

// What cannot be asked is refused, with the reason.
func TestComparisonsRefused(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"[file:name LIKE '%']":        "indicator.why.anything",
		"[file:name MATCHES '(?=x)']": "indicator.why.expression",
		"[file:name MATCHES '" + strings.Repeat("x", maxExpression+1) + "']": "indicator.why.expression",
		"[file:hashes.MD5 LIKE 'aa%']":                                       "indicator.why.no-text",
		"[ipv4-addr:value LIKE '10.%']":                                      "indicator.why.no-text",
		"[ipv4-addr:value NOT ISSUBSET '10.0.0.0/8']":                        "indicator.why.comparison",
		"[file:size > 5]":                                                    "indicator.why.comparison",
		"[file:name != 'a.exe']":                                             "indicator.why.only-not",
		"[url:value MATCHES 'evil']":                                         "indicator.why.every-row",
		"[url:value LIKE '%/evil']":                                          "indicator.why.every-row",
		"[domain-name:value LIKE '%münchen.example']":                        "indicator.why.letters",
		"[domain-name:value LIKE 'www.m_ünchen.example']":                    "indicator.why.letters",
		"[url:value LIKE 'http://mün%']":                                     "indicator.why.letters",
		"[url:value LIKE 'http://mün%.example/a']":                           "indicator.why.letters",
		"[domain-name:value LIKE 'evil%']":                                   "indicator.why.every-row",
	} {
		all, r := parsePattern(pattern)
		if r == nil {
			_, r = entries(all, About{})
		}
		if r == nil || r.why.Key != want {
			t.Errorf("%s: got %v, want %s", pattern, r, want)
		}
	}
}

// Every file is asked a bounded number of comparisons; what is more is said.
func TestScansAreBounded(t *testing.T) {
	t.Parallel()
	var feed strings.Builder
	for i := range maxScans + 3 {
		fmt.Fprintf(&feed, `{"type":"indicator","id":"indicator--%d","pattern":"[file:name LIKE 'x%d%%']","pattern_type":"stix"}`+"\n", i, i)
	}
	f, err := Read(strings.NewReader(feed.String()), "x", NewBuilder(), Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if f.Used != maxScans || f.Unsupported != 3 || f.Problems[0].What != postern.Limit {
		t.Errorf("%d used and %d not, want %d and 3: %v", f.Used, f.Unsupported, maxScans, f.Problems)
	}
}

// A text with wildcards means what the expression that it can be written as means.
func TestWild(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab%_]{0,8}`).Draw(t, "text")
		value := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "value")
		re := regexp.MustCompile("^" + strings.NewReplacer("%", ".*", "_", ".").Replace(text) + "$")
		if got, want := wild(text, value), re.MatchString(value); got != want {
			t.Fatalf("%q like %q: got %v, want %v", value, text, got, want)
		}
	})
}
