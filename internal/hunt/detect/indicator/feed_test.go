package indicator

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	gocmp "github.com/google/go-cmp/cmp"

	"postern"
)

var now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// contents gives what is in a set, "kind value" and what else is said, sorted.
func contents(s *Set) []string {
	all := []string{}
	for i := range s.entries {
		e := &s.entries[i]
		if e.kind == kindStem {
			continue
		}
		a := s.about(e)
		line := string(kindNames[e.kind]) + " " + s.shown(e)
		if e.place {
			line += " in " + s.origins[e.origin].place
		}
		if e.and != 0 {
			for _, c := range s.and[e.and-1] {
				if t := c.test; t != nil {
					line += fmt.Sprintf(" and %s %d %s %t", kindNames[c.kind], t.op, t.text, t.not)
					continue
				}
				line += fmt.Sprintf(" and %s %x%d", kindNames[c.kind], c.key, c.size)
			}
		}
		if a.TLP != Unmarked {
			line += " " + a.TLP.String()
		}
		if !a.Until.IsZero() {
			line += " until " + a.Until.Format("2006-01-02")
		}
		if a.Note != "" {
			line += " (" + a.Note + ")"
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

// said gives the keys of problems with where they are.
func said(f *Feed) []string {
	all := []string{}
	for _, p := range f.Problems {
		line := strings.TrimPrefix(p.Detail.Key, "indicator.")
		for _, arg := range []string{"where", "line", "word", "path", "count", "kind", "language"} {
			if v := p.Detail.Args[arg]; v != "" {
				line += " " + v
			}
		}
		all = append(all, line)
	}
	return all
}

const sha = "e99a18c428cb38d5f260853678922e03abcdef0123456789abcdef0123456789"

func TestFeeds(t *testing.T) {
	t.Parallel()
	const white = `"object_marking_refs":["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"]`
	for _, c := range []struct {
		name, feed string
		format     string
		want, said []string
	}{
		{name: "list", format: "list", feed: "# a comment\n; another\n" + strings.ToUpper(sha) + "\nhxxps://Evil[.]example/x.php?a=b # note\n10.1.0.0/16\r\n203.0.113[.]7:443\nevil(.)example\n" +
			"web.aspx\nC:\\ProgramData\\it.zip\n/ecp/y.js\nantSword/v2.1\nMozilla/5.0 (X11; Linux)\nwhat is this\n" + sha[:39] + "\n",
			want: []string{"address 10.1.0.0/16", "address 203.0.113.7", "domain evil.example", "file-name web.aspx", "path programdata/it.zip", "sha256 " + sha,
				"url /ecp/y.js", "url evil.example/x.php?a=b (note)", "user-agent mozilla/5.0 (x11; linux)"},
			said: []string{"unknown-form 11", "unknown-form 13", "unknown-form 14"}},
		{name: "Microsoft's feed", format: "csv", feed: "DateAdded,FirstSeen,Indicator,IndicatorType,TLP\n2021-03-10,2021-03-05T10:07:29.0421232Z," + sha + ",sha256,White\n" +
			`2021-03-09,,C:\Program Files\Microsoft\Exchange Server\V15\FrontEnd\HttpProxy\owa\auth\bob.aspx,filepath,White` + "\n",
			want: []string{"path frontend/httpproxy/owa/auth/bob.aspx clear", "sha256 " + sha + " clear"}},
		{name: "columns of kinds behind '#'", format: "csv", feed: "# a feed\n#\n# \"first_seen_utc\",\"sha256_hash\",\"md5_hash\",\"file_name\"\n\"2021-03-05 10:00:00\", \"" + sha + "\", \"" + sha[:32] + "\", \"a, b.exe\"\n",
			want: []string{"file-name a, b.exe", "md5 " + sha[:32], "sha256 " + sha}},
		{name: "semicolons, expiry, TLP, to_ids", format: "csv", feed: "type;value;comment;valid_until;tlp;to_ids\nip-dst;192.0.2.1;\"one; with \"\"quotes\"\"\nand a line\";2030-01-01;amber;1\nip-dst;192.0.2.2;;2020-01-01;;1\nip-dst;192.0.2.3;;;red;1\nip-dst;192.0.2.4;;;nobody knows;1\nip-dst;192.0.2.5;;;;0\nip-dst;192.0.2.999;;;;\nmutex;x;;;;\nip-dst;192.0.2.6;;soon;;\nfilename|sha256;a.exe|" + sha + ";;;;\n",
			want: []string{"address 192.0.2.1 amber until 2030-01-01 (one; with \"quotes\"\nand a line)", "address 192.0.2.2 until 2020-01-01", "sha256 " + sha + " (a.exe)"},
			said: []string{"bad-value 8 address", "unknown-kind 9 mutex", "bad-time 10", "expired 1", "restricted 2", "context 1"}},
		{name: "quotation marks never closed", format: "csv", feed: "type,value,comment\nip,192.0.2.1,\"open\nip,192.0.2.2,\"closed\"\nip,192.0.2.3,\"open again\n\"ip\",\"192.0.2.4\",\"two\nlines, \"\"quoted\"\"\" \n" +
			"ip,192.0.2.5,\"\"\nip,192.0.2.6,\"two\nlines\" and more\nip,\"192.0.2.7\",\"a\nb\",\"c\nd\"\nmutex,x,\nip,192.0.2.8,\"to the end\n\nip,192.0.2.9,\nmutex,y,",
			want: []string{"address 192.0.2.2 (closed)", "address 192.0.2.4 (two\nlines, \"quoted\")", "address 192.0.2.5", "address 192.0.2.7 (a\nb)", "address 192.0.2.9"},
			said: []string{"bad-row 2", "bad-row 4", "bad-row 8", "unknown-kind 9 lines\" and more", "unknown-kind 13 mutex", "bad-row 14", "unknown-kind 17 mutex"}},
		{name: "a kind without a value", format: "csv", feed: "type,value,comment\nip,192.0.2.1,x\nip,,no address\n,,\nip\n",
			want: []string{"address 192.0.2.1 (x)"}, said: []string{"bad-value 3 address", "bad-value 5 address"}},
		{name: "other letters than those of ASCII", format: "csv", feed: "type,value,comment\nfilename,R\u00c9SUM\u00c9.aspx,\ndomain,*.M\u00fcnchen.example,\nurl,http://m\u00fcnchen.example/\u00e4,\nurl,http://m\u00fcnchen.example:8080/a,\nurl,m\u00fcnchen.example/b,\n" +
			"domain,m\u00fcn_chen.example,\nurl,http://m\u00fcn_chen.example/a,\n",
			want: []string{"domain xn--mnchen-3ya.example", "file-name r\u00e9sum\u00e9.aspx", "url xn--mnchen-3ya.example/b", "url xn--mnchen-3ya.example/\u00e4", "url xn--mnchen-3ya.example:8080/a"},
			said: []string{"bad-value 7 domain", "bad-value 8 url"}},
		{name: "other letters than those of ASCII, in lines", format: "list", feed: "m\u00fcnchen.example\nm\u00fcnchen.example/a\nm\u00fcn_chen.example\n",
			want: []string{"domain xn--mnchen-3ya.example", "url xn--mnchen-3ya.example/a"}, said: []string{"unknown-form 3"}},
		{name: "a pack's file", format: "csv", feed: "value,place,note,source,first_seen\nbob.aspx,owa/auth,,MSTIC,\n",
			want: []string{"file-name bob.aspx in owa/auth"}},
		{name: "STIX", format: "stix", feed: `{"type":"bundle","objects":[
 {"type":"indicator","id":"indicator--1","name":"one","pattern":"[file:hashes.'SHA-256' = '` + sha + `' OR file:hashes.MD5 = '` + sha[:32] + `']","pattern_type":"stix","valid_from":"2021-01-01T00:00:00Z","valid_until":"2021-06-01T00:00:00Z",` + white + `},
 {"type":"indicator","id":"indicator--2","pattern":"[ipv4-addr:value IN ('192.0.2.1', '192.0.2.2')] OR [ipv4-addr:value ISSUBSET '198.51.100.0/24']","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--3","pattern":"[file:name = 'x.aspx' AND file:parent_directory_ref.path = 'C:\\\\inetpub\\\\wwwroot' AND file:size = 123]","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--4","pattern":"[(url:value = 'https://evil.example/a' OR domain-name:value = 'evil.example') AND network-traffic:src_ref.value = '192.0.2.9']","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--5","pattern":"[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = 'antSword/v2.1']","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--6","pattern":"[a:b = 'c'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.1']","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--7","pattern":"[ipv4-addr:value = '192.0.2.1'] AND [domain-name:value = 'x.example']","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--8","pattern":"[file:name LIKE '%.aspx']","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--9","pattern":"rule x { condition: true }","pattern_type":"yara"},
 {"type":"indicator","id":"indicator--10","pattern":"[file:name = 'a.exe' AND ipv4-addr:value = '192.0.2.1']","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--11","pattern":"[windows-registry-key:key = 'x']","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--12","pattern":"[ipv4-addr:value = '192.0.2.1'","pattern_type":"stix"},
 {"type":"indicator","id":"indicator--13","pattern":"[ipv4-addr:value = '192.0.2.66']","pattern_type":"stix","object_marking_refs":["marking-definition--late"]},
 {"type":"indicator","id":"indicator--14","pattern":"[ipv4-addr:value = '192.0.2.67']","pattern_type":"stix","object_marking_refs":["marking-definition--never"]},
 {"type":"indicator","id":"indicator--15","pattern":"[ipv4-addr:value = '192.0.2.68']","pattern_type":"stix","revoked":true},
 {"type":"marking-definition","id":"marking-definition--late","definition_type":"tlp","definition":{"tlp":"amber"}},
 {"type":"malware","id":"malware--1","name":"[not an indicator]"}]}`,
			want: []string{"address 192.0.2.1", "address 192.0.2.2", "address 192.0.2.66 amber", "address 198.51.100.0/24",
				"domain evil.example and address c00002090", "file-name %.aspx and file-name 1 %.aspx false", "md5 " + sha[:32] + " clear until 2021-06-01 (one)",
				"path inetpub/wwwroot/x.aspx and size 123", "sha256 " + sha + " clear until 2021-06-01 (one)",
				"url evil.example/a and address c00002090", "user-agent antsword/v2.1"},
			said: []string{"why.path indicator--6 a:b", "why.several indicator--7 AND", "language indicator--9 yara", "why.mixed indicator--10",
				"why.path indicator--11 windows-registry-key:key", "why.syntax indicator--12", "expired 2", "revoked 1", "restricted 1"}},
		{name: "STIX objects one after the other", format: "stix", feed: `{"type":"indicator","id":"indicator--1","pattern":"[ipv4-addr:value = '192.0.2.1']"}` + "\n" + `{"type":"indicator","id":"indicator--2","pattern":"[ipv6-addr:value = '2001:DB8::1']"}`,
			want: []string{"address 192.0.2.1", "address 2001:db8::1"}},
		{name: "a list of STIX objects", format: "stix", feed: `[{"type":"indicator","id":"indicator--1","pattern":"[domain-name:value = 'X.example']"}]`, want: []string{"domain x.example"}},
		{name: "MISP", format: "misp", feed: `{"response":[{"Event":{"info":"an event","Orgc":{"name":"CERT"},"Attribute":[
 {"type":"ip-src","value":"192.0.2.1","to_ids":true,"uuid":"u1","comment":"exploit"},
 {"type":"ip-dst|port","value":"192.0.2.2|443","to_ids":"1","uuid":"u2"},
 {"type":"text","value":"some text","to_ids":false,"uuid":"u3"},
 {"type":"domain|ip","value":"evil.example|192.0.2.3","to_ids":true,"uuid":"u4","Tag":[{"name":"tlp:red"}]},
 {"type":"mutex","value":"x","to_ids":true,"uuid":"u5"},
 {"type":"filename","value":"C:\\inetpub\\wwwroot\\s.aspx","to_ids":true,"uuid":"u6","valid_until":"2025-01-01"},
 {"type":"url","value":"hxxp://evil[.]example/a","to_ids":true,"uuid":"u7","deleted":true}],
 "Object":[{"name":"file","Attribute":[{"type":"malware-sample","value":"s.exe|` + sha[:32] + `","to_ids":true,"uuid":"u8"},{"type":"size-in-bytes","value":"4711","to_ids":false,"uuid":"u9"}]}],
 "Tag":[{"name":"tlp:green"},{"name":"type:OSINT"}]}}]}`,
			want: []string{"address 192.0.2.1 green (exploit · an event)", "address 192.0.2.2 green (an event)", "md5 " + sha[:32] + " green (an event)",
				"path inetpub/wwwroot/s.aspx green until 2025-01-01 (an event)"},
			said: []string{"unknown-kind u5 mutex", "expired 1", "restricted 2", "context 2"}},
		{name: "MISP attributes", format: "misp", feed: `{"response":{"Attribute":[{"type":"sha256","value":"` + sha + `","to_ids":true,"uuid":"u1","comment":"x"}]}}`, want: []string{"sha256 " + sha + " (x)"}},
		{name: "OpenIOC 1.0", format: "openioc", feed: `<?xml version="1.0" encoding="us-ascii"?><ioc xmlns="http://schemas.mandiant.com/2010/ioc" id="ioc1"><short_description>a shell</short_description><authored_by>somebody</authored_by><definition>
<Indicator operator="OR" id="i"><IndicatorItem id="a" condition="is"><Context document="FileItem" search="FileItem/Md5sum" type="mir"/><Content type="md5">` + sha[:32] + `</Content></IndicatorItem>
<IndicatorItem id="b" condition="contains"><Context document="FileItem" search="FileItem/FileName" type="mir"/><Content type="string">shell</Content></IndicatorItem>
<Indicator operator="AND" id="j"><IndicatorItem id="c" condition="is"><Context search="FileItem/FileName"/><Content>s.aspx</Content></IndicatorItem><IndicatorItem id="d" condition="is"><Context search="FileItem/SizeInBytes"/><Content>99</Content></IndicatorItem></Indicator>
<Indicator operator="AND" id="k"><IndicatorItem id="e" condition="is"><Context search="FileItem/FileName"/><Content>t.aspx</Content></IndicatorItem><IndicatorItem id="f" condition="is"><Context search="FileItem/PEInfo/Type"/><Content>DLL</Content></IndicatorItem></Indicator>
</Indicator></definition></ioc>`,
			want: []string{"file-name s.aspx and size 99 (a shell)", "file-name shell and file-name 3 shell false (a shell)", "md5 " + sha[:32] + " (a shell)"},
			said: []string{"why.path f FileItem/PEInfo/Type"}},
		{name: "OpenIOC 1.1", format: "openioc", feed: `<OpenIOC xmlns="http://openioc.org/schemas/OpenIOC_1.1" id="ioc2"><metadata><short_description>x</short_description></metadata><criteria><Indicator operator="OR"><IndicatorItem id="a" condition="is" negate="false"><Context search="PortItem/remoteIP"/><Content type="IP">192.0.2.1</Content></IndicatorItem><IndicatorItem id="b" condition="is" negate="true"><Context search="PortItem/remoteIP"/><Content>192.0.2.2</Content></IndicatorItem></Indicator></criteria></OpenIOC>`,
			want: []string{"address 192.0.2.1 (x)"}, said: []string{"why.only-not ioc2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, wide := range []bool{false, true} {
				feed := c.feed
				if wide { // as Windows' tools save it
					feed = toWide(feed)
				}
				b := NewBuilder()
				f, err := Read(strings.NewReader(feed), "feeds/file-name.csv", b, Options{Now: now, TLP: AmberStrict})
				if err != nil {
					t.Fatalf("%v: %+v", err, err)
				}
				if f.Format != c.format {
					t.Errorf("got format %s, want %s", f.Format, c.format)
				}
				if diff := gocmp.Diff(c.want, contents(b.Set())); diff != "" {
					t.Errorf("wide %v: contents (-want +got):\n%s", wide, diff)
				}
				if diff := gocmp.Diff(append([]string{}, c.said...), said(f)); diff != "" {
					t.Errorf("wide %v: problems (-want +got):\n%s", wide, diff)
				}
			}
		})
	}
}

func toWide(s string) string {
	b := []byte{0xFF, 0xFE}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// A feed that is none, or that ends in its middle, is an error: nobody hunts with half
// of it by mistake.
func TestNoFeed(t *testing.T) {
	t.Parallel()
	for feed, want := range map[string]string{
		"":                                 "indicator.empty",
		" \n\t":                            "indicator.empty",
		"MZ\x00\x00":                       "indicator.not-text",
		"hello world\nthis is a text\n":    "indicator.nothing",
		`{"type":"bundle","objects":[]}`:   "indicator.nothing",
		`{"type":"bundle","objects":[{"`:   "indicator.bad-json",
		`{"type":"bundle" "objects":[]}`:   "indicator.bad-json",
		`{"type":"bundle","objects":[}`:    "indicator.bad-json",
		`{"a":` + strings.Repeat("[", 500): "indicator.bad-json",
		"<html></html>":                    "indicator.not-openioc",
		"<ioc><definition>":                "indicator.bad-xml",
		"type,value,comment\nip,192.0.2.9,\"never closed\n": "indicator.nothing",
		"type,value\nip,192.0.2.999\nip,\n":                 "indicator.nothing",
		"value,comment\nwhat is this,x\n":                   "indicator.nothing",
	} {
		_, err := Read(strings.NewReader(feed), "x", NewBuilder(), Options{Now: now})
		var bad *ErrFeed
		if !errors.As(err, &bad) || bad.What.Key != want {
			t.Errorf("%.40q: got %v, want %s", feed, err, want)
		}
	}
}

// What is not UTF-8 would be used and never found.
func TestOtherEncoding(t *testing.T) {
	t.Parallel()
	for _, feed := range []string{
		"type,value,comment\nfilename,caf\xe9.aspx,\nip,192.0.2.1,caf\xe9\n",
		"{\"objects\":[{\"type\":\"indicator\",\"id\":\"2\",\"name\":\"x\",\"pattern\":\"[file:name = 'caf\xe9.aspx']\"},{\"type\":\"indicator\",\"id\":\"3\",\"name\":\"caf\xe9\",\"pattern\":\"[ipv4-addr:value = '192.0.2.1']\"}]}",
	} {
		b := NewBuilder()
		f, err := Read(strings.NewReader(feed), "x", b, Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff([]string{"address 192.0.2.1 (caf\uFFFD)"}, contents(b.Set())); diff != "" {
			t.Errorf("contents (-want +got):\n%s", diff)
		}
		if diff := gocmp.Diff([]string{"not-utf8 2"}, said(f)); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	}
}

// A feed in UTF-16 ends in its middle like any other.
func TestWideFeedCut(t *testing.T) {
	t.Parallel()
	feed := toWide("type,value\nip,192.0.2.1\nip,192.0.2.2\n")
	broken := errors.New("broken")
	for name, r := range map[string]io.Reader{
		"half a letter":    strings.NewReader(feed[:len(feed)-1]),
		"half of a pair":   strings.NewReader(feed + "\x3d\xd8"),
		"a disk that ends": io.MultiReader(strings.NewReader(feed), iotest.ErrReader(broken)),
	} {
		_, err := Read(r, "x", NewBuilder(), Options{Now: now})
		var bad *ErrFeed
		if !errors.As(err, &bad) || bad.What.Key != "indicator.unreadable" {
			t.Errorf("%s: got %v, want that it is unreadable", name, err)
		}
	}
}

// A table of what nothing here is compared with is a feed all the same.
func TestForeignFeed(t *testing.T) {
	t.Parallel()
	f, err := Read(strings.NewReader("type,value\nmutex,x\n"), "x.csv", NewBuilder(), Options{Now: now})
	if err != nil || f.Used != 0 || f.Unsupported != 1 {
		t.Errorf("got %+v, %v, want a feed of which nothing is used", f, err)
	}
}

// What is marked more strictly than the reader asked for is not used, and is used when
// he asks.
func TestRestricted(t *testing.T) {
	t.Parallel()
	feed := "type,value,tlp\nip,192.0.2.1,TLP:CLEAR\nip,192.0.2.2,tlp:green\nip,192.0.2.3,AMBER\nip,192.0.2.4,TLP:AMBER+STRICT\nip,192.0.2.5,RED\nip,192.0.2.6,tlp:ex:chr\nip,192.0.2.7,\n"
	for tlp, want := range map[TLP]int{Clear: 2, Green: 3, Amber: 4, AmberStrict: 5, Red: 7} {
		f, err := Read(strings.NewReader(feed), "x.csv", NewBuilder(), Options{Now: now, TLP: tlp})
		if err != nil {
			t.Fatal(err)
		}
		if f.Used != want || f.Restricted != 7-want {
			t.Errorf("up to %s: got %d used and %d kept out, want %d and %d", tlp, f.Used, f.Restricted, want, 7-want)
		}
	}
}

func TestGuess(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]postern.IndicatorKind{
		sha: postern.IndicatorSHA256, sha[:40]: postern.IndicatorSHA1, sha[:32]: postern.IndicatorMD5, sha[:31]: "",
		"192.0.2.1": postern.IndicatorAddress, "192.0.2.0/24": postern.IndicatorAddress, "2001:db8::/32": postern.IndicatorAddress, "0.0.0.0/0": "", "192.0.2.1:80": postern.IndicatorAddress,
		"evil.example": postern.IndicatorDomain, "evil.nonsense": "", "evil.com": postern.IndicatorDomain, "a.b.co.uk": postern.IndicatorDomain, "x.py": postern.IndicatorFileName, "www.x.py": postern.IndicatorDomain,
		"web.aspx": postern.IndicatorFileName, "a.b.aspx": postern.IndicatorFileName, "evil.com/a": postern.IndicatorURL, "http://x/y": postern.IndicatorURL, "/a/b": postern.IndicatorURL,
		`C:\x`: postern.IndicatorPath, `%ProgramData%\x y`: postern.IndicatorPath, `\\srv\c$\x`: postern.IndicatorPath, "word": "", "two words": "", "python-requests/2.25.1": postern.IndicatorUserAgent,
	} {
		if got, _ := Guess(v); got != want {
			t.Errorf("%q: got %q, want %q", v, got, want)
		}
	}
}

// However a feed comes in, it is the same feed; what is used can be written as a list
// or CSV and read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte("192.0.2.1\nevil.com # x\n" + sha + "\n"))
	f.Add([]byte("type,value\nip,192.0.2.1\nurl,\"http://a/b\"\n"))
	f.Add([]byte(`{"objects":[{"type":"indicator","id":"indicator--1","pattern":"[file:name = 'a' AND file:size = 3]"}]}`))
	f.Add([]byte(`{"Event":{"Attribute":[{"type":"md5","value":"` + sha[:32] + `"}]}}`))
	f.Add([]byte(`<ioc><definition><Indicator operator="OR"><IndicatorItem condition="is"><Context search="FileItem/Md5sum"/><Content>` + sha[:32] + `</Content></IndicatorItem></Indicator></definition></ioc>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(r *slow) ([]string, *Feed, error) {
			builder := NewBuilder()
			feed, err := Read(r, "x", builder, Options{Now: now, TLP: Red})
			if err != nil {
				return nil, nil, err
			}
			return contents(builder.Set()), feed, nil
		}
		want, feed, err := read(&slow{b, len(b) + 1})
		got, _, err2 := read(&slow{b, 7})
		if (err == nil) != (err2 == nil) {
			t.Fatalf("whole: %v, in pieces: %v", err, err2)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("in pieces (-whole +pieces):\n%s", diff)
		}
		if feed != nil && len(want) != feed.Used {
			t.Fatalf("%d in the set, %d said to be used", len(want), feed.Used)
		}
		for _, line := range want {
			kind, value, _ := strings.Cut(line, " ")
			if kind != "sha256" && kind != "sha1" && kind != "md5" && kind != "address" {
				continue
			}
			value, _, _ = strings.Cut(value, " ")
			again := NewBuilder()
			if _, err := Read(strings.NewReader("type,value\n"+kind+","+value+"\n"), "x", again, Options{Now: now}); err != nil {
				t.Fatalf("%s is not read again: %v", value, err)
			}
			if got := contents(again.Set()); len(got) != 1 || got[0] != kind+" "+value {
				t.Fatalf("%s %s: read again as %v", kind, value, got)
			}
		}
	})
}

// slow reads n bytes at a time.
type slow struct {
	b []byte
	n int
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.n)], s.b)
	s.b = s.b[n:]
	return n, nil
}
