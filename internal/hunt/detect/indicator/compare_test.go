package indicator

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern"
	"postern/internal/hunt/detect"
)

// of makes a set of a feed in the form of a list or CSV, and of indicators of a pack.
func of(t testing.TB, feed string, pack ...postern.Indicator) *Set {
	t.Helper()
	b := NewBuilder()
	for _, i := range pack {
		if !b.Pack(i) {
			t.Fatalf("the pack's %v is refused", i)
		}
	}
	if feed != "" {
		f, err := Read(strings.NewReader(feed), "feed", b, Options{Now: now, TLP: Red})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Problems {
			if p.What != postern.Limit {
				t.Fatalf("%v", p.Detail)
			}
		}
	}
	return b.Set()
}

func file(server, content string) *detect.File {
	return &detect.File{Path: "EX01/" + server, Server: server, Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

// looked gives findings of a file as "rule level confidence campaign".
func looked(t *testing.T, d *Detector, f *detect.File) []string {
	t.Helper()
	all := []string{}
	if !d.Wants(f) {
		return all
	}
	findings, problems, err := d.Look(f)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%s: %v, %v", f.Path, err, problems)
	}
	for _, f := range findings {
		all = append(all, strings.TrimSpace(fmt.Sprint(f.Rule, " ", int(f.Level), " ", f.Confidence, " ", f.Campaign)))
	}
	return all
}

func TestFiles(t *testing.T) {
	t.Parallel()
	const content = "some content"
	s256, s1, m5 := fmt.Sprintf("%x", sha256.Sum256([]byte(content))), fmt.Sprintf("%x", sha1.Sum([]byte(content))), fmt.Sprintf("%x", md5.Sum([]byte(content)))
	k := Files{Folders: []string{"inetpub/wwwroot/aspnet_client", "programdata"}, Now: now}
	all := k
	all.All = true
	pack := func(note string) postern.Indicator {
		return postern.Indicator{Kind: postern.IndicatorSHA256, Value: s256, Note: note, Campaign: "proxylogon"}
	}
	for _, c := range []struct {
		name, feed string
		pack       []postern.Indicator
		k          Files
		file       *detect.File
		want       []string
	}{
		{name: "pack: a page anywhere", pack: []postern.Indicator{pack("a web shell")}, file: file("x/y.aspx", content), want: []string{"indicator/hash 4 high proxylogon"}},
		{name: "pack: a program where intruders leave them", pack: []postern.Indicator{pack("ransomware")}, file: file("programdata/y.exe", content), want: []string{"indicator/hash 6 high proxylogon"}},
		{name: "pack: a tool", pack: []postern.Indicator{pack("powercat, a public tool")}, file: file("programdata/y.ps1", content), want: []string{"indicator/hash 4 medium proxylogon"}},
		{name: "pack: a program elsewhere", pack: []postern.Indicator{pack("x")}, file: file("tools/y.exe", content), want: []string{}},
		{name: "pack: elsewhere, all hashes", pack: []postern.Indicator{pack("x")}, k: all, file: file("windows/y.exe", content), want: []string{"indicator/hash 4 high proxylogon"}},
		{name: "feed: anywhere", feed: s256, file: file("tools/y.gif", content), want: []string{"indicator/hash 4 high"}},
		{name: "feed: SHA-1", feed: s1, file: file("users/public/y", content), want: []string{"indicator/hash 4 high"}},
		{name: "feed: MD5", feed: m5, file: file("users/public/y", content), want: []string{"indicator/hash 4 high"}},
		{name: "feed: folders of the makers", feed: s256, file: file("windows/system32/y.dll", content), want: []string{}},
		{name: "feed: open folders in them", feed: s256, file: file("windows/temp/y.dll", content), want: []string{"indicator/hash 4 high"}},
		{name: "feed: a size that is stated", feed: "sha256,size\n" + s256 + ",12\n", file: file("windows/system32/y.dll", content), want: []string{"indicator/hash 4 high"}},
		{name: "feed: expired", feed: "sha256,valid_until\n" + s256 + ",2021-01-01\n", file: file("users/public/y", content), want: []string{}},
		{name: "feed: other content", feed: s256, file: file("users/public/y", content+"!"), want: []string{}},
		{name: "a name", feed: "Y.aspx\n", file: file("inetpub/wwwroot/aspnet_client/y.aspx", content), want: []string{"indicator/file 1 low"}},
		{name: "a name in its place", feed: "type,value,place\nfile-name,y.aspx,owa/auth\n", file: file("frontend/httpproxy/owa/auth/y.aspx", content), want: []string{"indicator/file 1 low"}},
		{name: "a name in another place", feed: "type,value,place\nfile-name,y.aspx,owa/auth\n", file: file("frontend/httpproxy/ecp/auth/y.aspx", content), want: []string{}},
		{name: "a path", feed: `D:\Exchange\V15\x\..` + "\n" + `C:\Program Files\Microsoft\Exchange Server\V15\FrontEnd\HttpProxy\owa\auth\y.aspx`, file: file("frontend/httpproxy/owa/auth/y.aspx", content), want: []string{"indicator/file 1 low"}},
		{name: "a folder", feed: `%ProgramData%\pst\`, file: file("programdata/pst/a/b.zip", content), want: []string{"indicator/file 1 low"}},
		{name: "beside the folder", feed: `%ProgramData%\pst\`, file: file("programdata/pst2/b.zip", content), want: []string{}},
		{name: "names of packs are judged elsewhere", pack: []postern.Indicator{{Kind: postern.IndicatorFileName, Value: "y.aspx"}}, file: file("x/y.aspx", content), want: []string{}},
		{name: "all of several conditions", feed: `{"objects":[{"type":"indicator","id":"indicator--1","pattern":"[file:name='y.aspx' AND file:size=12 AND file:hashes.MD5='` + m5 + `']"}]}`, file: file("x/y.aspx", content), want: []string{"indicator/hash 4 high"}},
		{name: "one of several conditions", feed: `{"objects":[{"type":"indicator","id":"indicator--1","pattern":"[file:name='z.aspx' AND file:hashes.MD5='` + m5 + `']"}]}`, file: file("x/y.aspx", content), want: []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.k.Folders == nil {
				c.k = k
			}
			if diff := gocmp.Diff(c.want, looked(t, NewDetector(of(t, c.feed, c.pack...), c.k), c.file)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Only what a web server would run is the file of a web shell.
func TestShellFile(t *testing.T) {
	t.Parallel()
	const content = "some content"
	d := NewDetector(of(t, fmt.Sprintf("%x", sha256.Sum256([]byte(content)))), Files{Now: now})
	for server, want := range map[string]bool{"x/y.aspx": true, "inetpub/wwwroot/aspnet_client/y.gif": true, "programdata/y.exe": false} {
		findings, _, err := d.Look(file(server, content))
		if err != nil || len(findings) != 1 {
			t.Fatalf("%s: got %v, %v", server, findings, err)
		}
		if got := findings[0].HasTag(tagShellFile); got != want {
			t.Errorf("%s: got %v, want %v", server, got, want)
		}
	}
}

// A file that says that it is small and is not gets no hash, and that is said.
func TestLargeFile(t *testing.T) {
	t.Parallel()
	d := NewDetector(of(t, sha), Files{Now: now})
	f := &detect.File{Path: "x", Server: "users/x", Size: -1, Open: func() (io.ReadCloser, error) { return io.NopCloser(endless{}), nil }}
	findings, problems, err := d.Look(f)
	if err != nil || len(findings) > 0 || len(problems) != 1 || problems[0].What != postern.Limit {
		t.Errorf("got %v, %v, %v, want one limit", findings, problems, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

var day = time.Date(2021, 3, 3, 0, 0, 0, 0, time.UTC)

func row(at time.Time, pairs ...string) *postern.Event {
	ev := &postern.Event{Source: "iis", Time: at, Place: postern.Place{Path: "u_ex.log", Line: at.Unix()}, Raw: strings.Join(pairs, " ")}
	for i := 0; i+1 < len(pairs); i += 2 {
		ev.Fields = append(ev.Fields, postern.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return ev
}

func TestRows(t *testing.T) {
	t.Parallel()
	set := of(t, "type,value,valid_until,note\nip,192.0.2.1,,\nip,198.51.100.0/24,,\nip,203.0.113.1,2021-03-03T12:00:00Z,\ndomain,evil.example,,\nuser-agent,\"Mozilla/5.0 (X11, Linux) x\",,\n"+
		"url,http://evil.example/a.php,,\nurl,/ecp/y.js,,\nname,web.aspx,,\nparameter,klk123456,,\nsha256,"+sha+",,\npath,C:\\Windows\\Temp\\cw.exe,,\nipv6,2001:db8::/32,,\n",
		postern.Indicator{Kind: postern.IndicatorAddress, Value: "192.0.2.77", Campaign: "proxylogon"},
		postern.Indicator{Kind: postern.IndicatorFileName, Value: "logon.aspx"})
	for _, c := range []struct {
		name string
		ev   *postern.Event
		want []string
	}{
		{"an address", row(day, "c-ip", "192.0.2.1"), []string{"192.0.2.1"}},
		{"one in a list", row(day, "X-Forwarded-For", "10.0.0.1,+192.0.2.1:443"), []string{"192.0.2.1"}},
		{"one in a network", row(day, "ClientIpAddress", "198.51.100.9"), []string{"198.51.100.0/24"}},
		{"one in a network of IPv6", row(day, "c-ip", "2001:db8:1::9%3"), []string{"2001:db8::/32"}},
		{"mapped", row(day, "c-ip", "::ffff:192.0.2.1"), []string{"192.0.2.1"}},
		{"before it expired", row(day, "c-ip", "203.0.113.1"), []string{"203.0.113.1"}},
		{"after it expired", row(day.Add(13*time.Hour), "c-ip", "203.0.113.1"), nil},
		{"expired, a row without a time", row(time.Time{}, "c-ip", "203.0.113.1"), nil},
		{"of a pack", row(day, "c-ip", "192.0.2.77"), []string{"192.0.2.77"}},
		{"another column", row(day, "s-ip", "192.0.2.1"), nil},
		{"a domain and one below it", row(day, "cs-host", "www.Evil.Example:443"), []string{"evil.example"}},
		{"a domain in a referer", row(day, "cs(Referer)", "https://evil.example/x"), []string{"evil.example"}},
		{"an agent as IIS writes it", row(day, "cs(User-Agent)", "Mozilla/5.0+(X11,+Linux)+x"), []string{"mozilla/5.0 (x11 linux) x"}},
		{"an agent as the front end writes it", row(day, "UserAgent", "mozilla/5.0 (X11  Linux) x"), []string{"mozilla/5.0 (x11 linux) x"}},
		{"a path", row(day, "cs-uri-stem", "/ECP/y.js"), []string{"/ecp/y.js"}},
		{"host and path", row(day, "UrlHost", "evil.example", "UrlStem", "/a.php"), []string{"evil.example", "evil.example/a.php"}},
		{"a page", row(day, "cs-uri-stem", "/aspnet_client/Web.aspx"), []string{"web.aspx"}},
		{"a page with something behind it", row(day, "cs-uri-stem", "/aspnet_client/Web.aspx/x"), []string{"web.aspx"}},
		{"a page that a pack lists too", row(day, "cs-uri-stem", "/owa/auth/logon.aspx"), nil},
		{"a parameter", row(day, "Arguments", "a=b&klk123456=x"), []string{"klk123456"}},
		{"a program", row(day, "Image", `C:\Windows\Temp\cw.exe`), []string{"windows/temp/cw.exe"}},
		{"a hash", row(day, "Hashes", "SHA1="+sha[:40]+",MD5=x,SHA256="+strings.ToUpper(sha)), []string{sha}},
		{"nothing", row(day, "c-ip", "-", "cs-uri-stem", "/", "cs-host", ""), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, m := range set.NewHost(now).Look(c.ev) {
				got = append(got, set.shown(&set.entries[m.number-1]))
			}
			slices.Sort(got)
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A row after another, in any order and by several at once, gives one finding for an
// indicator, about the earliest row, with the count; a weak one is of level 0, of low
// confidence and of no campaign, so that it never makes a verdict.
func TestSightings(t *testing.T) {
	t.Parallel()
	set := of(t, "192.0.2.1\n", postern.Indicator{Kind: postern.IndicatorAddress, Value: "192.0.2.77", Campaign: "proxylogon", Source: "CISA", Note: "exploit"})
	rapid.Check(t, func(t *rapid.T) {
		h := set.NewHost(now)
		hours := rapid.SliceOfN(rapid.IntRange(0, 99), 1, 20).Draw(t, "hours")
		for _, n := range hours {
			ev := row(day.Add(time.Duration(n)*time.Hour), "c-ip", "192.0.2.1", "X-Forwarded-For", "192.0.2.77")
			h.Remember(ev, h.Look(ev), false)
		}
		found := h.Findings()
		if len(found) != 2 || found[0].ID == found[1].ID {
			t.Fatalf("got %d findings, want 2", len(found))
		}
		first := day.Add(time.Duration(slices.Min(hours)) * time.Hour)
		for _, f := range found {
			if f.Level != postern.NotSeen || f.Confidence != postern.Low || f.Campaign != "" || f.Rule != RuleRow || !f.Time.Equal(first) {
				t.Errorf("got %+v, want a weak finding at %v", f, first)
			}
			want := fmt.Sprint(len(hours))
			if len(hours) == 1 {
				want = ""
			}
			if got := f.Entities[postern.Count]; got != want {
				t.Errorf("got count %q, want %q", got, want)
			}
		}
	})
}

// What a pack lists is said at what rules find in the row; alone it is a finding.
func TestBeside(t *testing.T) {
	t.Parallel()
	set := of(t, "", postern.Indicator{Kind: postern.IndicatorAddress, Value: "192.0.2.77", Source: "CISA", Note: "exploit"})
	h := set.NewHost(now)
	ev := row(day, "c-ip", "192.0.2.77")
	f := postern.Finding{Rule: "x", Level: postern.Exploited, Confidence: postern.Medium}
	h.Beside(&f, h.Look(ev))
	h.Remember(ev, h.Look(ev), true)
	if f.Level != postern.Exploited || f.Confidence != postern.Medium || len(f.Explain) != 1 || f.Explain[0].Args["note"] != "exploit" {
		t.Errorf("got %+v, want one more sentence and nothing else", f)
	}
	if got := h.Findings(); got != nil {
		t.Errorf("got %v besides, want none", got)
	}
}

// Whatever a parsed row holds of a feed, the look at its raw columns lets it through,
// first and when the same values have been seen in between.
func TestColumnsAreSound(t *testing.T) {
	t.Parallel()
	set := of(t, "192.0.2.1\n198.51.100.0/24\nhttp://evil.example/a.php?q=1\n/ecp/y.js\nweb.aspx\nevil.example\n2001:db8::1\nMozilla/5.0 (X11, a)\n",
		postern.Indicator{Kind: postern.IndicatorAddress, Value: "192.0.2.77"})
	names := []string{"DateTime", "UrlHost", "UrlStem", "UserAgent", "ClientIpAddress", "cs(Referer)", "X-Forwarded-For"}
	values := map[string][]string{
		"DateTime": {"2021-03-03T00:00:00Z", ""}, "UrlHost": {"evil.example", "www.evil.example:444", "ex01", "", "192.0.2.1"},
		"UrlStem": {"/a.php", "/ecp/y.js", "/ECP/Y.js", "/x/web.aspx", "/owa/", "", "/a//b", "/x/web.aspx/y"}, "UserAgent": {"curl/7", "Mozilla/5.0 (X11  a)", `a "quoted" one`, "", "Outlook, 16"},
		"ClientIpAddress": {"192.0.2.1", "198.51.100.3", "10.0.0.1", "", "2001:db8::1", "192.0.2.77", "[2001:db8::1]:443"}, "cs(Referer)": {"http://evil.example/a.php?q=1", "https://x/", "-", "http://a.evil.example"},
		"X-Forwarded-For": {"192.0.2.1, 10.1.1.1", "10.0.0.1", "-"},
	}
	memory := new(Memory)
	for _, delim := range []byte{',', ' '} {
		c := set.Columns(delim, names, memory)
		rapid.Check(t, func(t *rapid.T) {
			var cells, pairs []string
			for _, name := range names {
				v := rapid.SampledFrom(values[name]).Draw(t, name)
				pairs = append(pairs, name, v)
				if delim == ' ' {
					if v = strings.ReplaceAll(v, " ", "+"); v == "" {
						v = "-"
					}
					pairs[len(pairs)-1] = v
				} else if strings.ContainsAny(v, `,"`) || rapid.Bool().Draw(t, "quoted") {
					v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
				}
				cells = append(cells, v)
			}
			line := []byte(strings.Join(cells, string(delim)))
			held := false
			for _, m := range set.NewHost(now).Look(row(day, pairs...)) {
				held = held || set.origins[set.entries[m.number-1].origin].feed
			}
			if passes := c.Pass(line); held && !passes {
				t.Fatalf("refused, though it holds an indicator:\n%s", line)
			} else if passes != c.Pass(bytes.Clone(line)) {
				t.Fatalf("another answer for the same line:\n%s", line)
			}
		})
	}
}

// Without a feed nothing is looked at, and a header without such columns costs nothing.
func TestNoColumns(t *testing.T) {
	t.Parallel()
	names := []string{"c-ip", "cs(User-Agent)"}
	if c := of(t, "", postern.Indicator{Kind: postern.IndicatorAddress, Value: "192.0.2.1"}).Columns(' ', names, new(Memory)); c != nil {
		t.Error("the packs' indicators alone make every row be looked at")
	}
	if c := of(t, "evil.example\n").Columns(' ', names, new(Memory)); c != nil {
		t.Error("domains are looked for in columns that hold none")
	}
}

// Networks and addresses are found as a plain loop finds them.
func TestNetworks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := NewBuilder()
		var all []netip.Prefix
		for range rapid.IntRange(1, 30).Draw(t, "networks") {
			addr := netip.AddrFrom4([4]byte{10, 0, rapid.Byte().Draw(t, "c"), rapid.Byte().Draw(t, "d")})
			p, _ := addr.Prefix(rapid.IntRange(1, 32).Draw(t, "bits"))
			b.Add(Entry{Kind: postern.IndicatorAddress, Value: p.String()})
			all = append(all, p)
		}
		s := b.Set()
		addr := netip.AddrFrom4([4]byte{10, 0, rapid.Byte().Draw(t, "C"), rapid.Byte().Draw(t, "D")})
		want := slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(addr) })
		single, nets := s.findAddress(addr)
		if got := single != 0 || len(nets) > 0; got != want {
			t.Fatalf("%v in %v: got %v, want %v", addr, all, got, want)
		}
	})
}

// Skipping columns eight bytes at a time leads where one after the other does.
func TestSkip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := []byte(strings.Join(rapid.SliceOfN(rapid.StringMatching(`[a-z;-]{0,12}`), 1, 30).Draw(t, "cells"), ","))
		n := rapid.IntRange(1, 32).Draw(t, "columns")
		want := 0
		for range n {
			if want <= len(line) {
				want = next(line, want, ',')
			}
		}
		if got := skipTo(line, 0, n); got != want {
			t.Fatalf("%d columns of %q: got %d, want %d", n, line, got, want)
		}
	})
}
