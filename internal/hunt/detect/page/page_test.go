package page

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern"
)

func written(entity, value string) postern.Finding {
	f := postern.Finding{Rule: "written", Campaign: "flaw", Level: postern.Implanted}
	f.Set(entity, value)
	return f
}

// row is a request in a web server's log, as its parser derives it.
func row(url, arguments string) *postern.Event {
	ev := &postern.Event{Source: "iis", Derived: []postern.Field{{Name: "UrlPath", Value: url}, {Name: "ClientIp", Value: "198.51.100.7"},
		{Name: "RequestId", Value: "r-1"}}, Place: postern.Place{Path: "u_ex.log", Line: 7, Offset: 99}, Raw: "the row"}
	if arguments != "" {
		ev.Derived = append(ev.Derived, postern.Field{Name: "Arguments", Value: arguments})
	}
	return ev
}

func TestLook(t *testing.T) {
	t.Parallel()
	d := New()
	d.Learn([]postern.Finding{written(postern.File, `D:\web\inetpub\wwwroot\custom\X.aspx`)})
	for _, c := range []struct {
		url, arguments, method, status string
		rule                           string
		level                          postern.Level
	}{
		{"/custom/x.aspx", "", "POST", "200", Used, postern.Used},
		{"/custom/x.aspx", "", "put", "206", Used, postern.Used},
		{"/custom/x.aspx?a=b", "a=b", "GET", "200", Used, postern.Used},
		{"/custom/x.aspx/info", "", "POST", "200", Used, postern.Used},
		{"/custom/x.aspx", "", "GET", "200", Exists, postern.Implanted},
		{"/custom/x.aspx", "", "HEAD", "200", Exists, postern.Implanted},
		{"/custom/x.aspx", "", "POST", "500", Exists, postern.Implanted}, // it was there, and failed
		{"/custom/x.aspx", "", "POST", "404", Asked, postern.Probed},
		{"/custom/x.aspx", "", "POST", "302", Asked, postern.Probed},
		{"/custom/x.aspx", "", "GET", "", Asked, postern.Probed},
		{"/custom/y.aspx", "", "POST", "200", "", 0},
		{"/other/x.aspx", "", "POST", "200", "", 0},
		{"/x.aspx", "", "POST", "200", "", 0},
		{"", "", "POST", "200", "", 0},
	} {
		f, ok := d.Look(row(c.url, c.arguments), c.method, c.status)
		if ok != (c.rule != "") || f.Rule != c.rule || f.Level != c.level {
			t.Errorf("%s %s %s: %v %q at level %v, want %q at %v", c.method, c.url, c.status, ok, f.Rule, f.Level, c.rule, c.level)
			continue
		}
		if !ok {
			continue
		}
		if len(f.Evidence) != 1 || f.Evidence[0] != (postern.Evidence{Path: "u_ex.log", Line: 7, Offset: 99, Excerpt: "the row"}) || f.ID == "" {
			t.Errorf("%s %s: evidence %+v", c.method, c.url, f.Evidence)
		}
		if f.Campaign != "flaw" || !f.HasTag("shell-request") || len(f.Explain) == 0 || f.Explain[0].Args["rule"] != "written" {
			t.Errorf("%s %s: %+v", c.method, c.url, f)
		}
		if got := f.Entities[postern.URL]; strings.Contains(got, "?") || f.Entities[postern.ClientIP] == "" || f.Entities[postern.RequestID] != "r-1" {
			t.Errorf("%s %s: entities %v", c.method, c.url, f.Entities)
		}
	}
	if _, ok := New().Look(row("/custom/x.aspx", ""), "POST", "200"); ok {
		t.Error("a detector that knows no page found one")
	}
}

func TestLearn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		finding postern.Finding
		url     string // a request that is seen afterwards, "" if nothing is learned
	}{
		{"a path of Windows", written(postern.File, `C:\inetpub\wwwroot\aspnet_client\help.aspx`), "/aspnet_client/help.aspx"},
		{"a place on the server", written(postern.File, "frontend/httpproxy/owa/auth/x.aspx"), "/owa/auth/x.aspx"},
		{"an address", written(postern.URL, "/owa/auth/x.aspx?q"), "/owa/auth/x.aspx"},
		{"the root of the site, by file", written(postern.File, `C:\inetpub\wwwroot\x.aspx`), "/x.aspx"},
		{"the root of the site, by address", written(postern.URL, "/x.aspx"), "/x.aspx"},
		{"a handler", written(postern.File, "inetpub/wwwroot/a/b.ashx"), "/a/b.ashx"},
		{"no page", written(postern.File, `C:\ProgramData\it.zip`), ""},
		{"the carrier of a forged request", written(postern.URL, "/ecp/y.js"), ""},
		{"a name without a place", written(postern.File, "x.aspx"), ""},
		{"nothing", postern.Finding{Level: postern.Used}, ""},
		{"what was only tried", func() postern.Finding { f := written(postern.File, "a/x.aspx"); f.Level = postern.Privileged; return f }(), ""},
	} {
		d := New()
		d.Learn([]postern.Finding{c.finding})
		if c.url == "" {
			if len(d.Names()) > 0 {
				t.Errorf("%s: learned %q", c.name, d.Names())
			}
			continue
		}
		if _, ok := d.Look(row(c.url, ""), "POST", "200"); !ok {
			t.Errorf("%s: a request to %s was not seen", c.name, c.url)
		}
		name := c.url[strings.LastIndexByte(c.url, '/')+1:]
		if !slices.Equal(d.Names(), []string{name}) {
			t.Errorf("%s: names %q, want %q: the gate goes by them", c.name, d.Names(), name)
		}
	}
	// Two applications have a folder of that name.
	d := New()
	d.Learn([]postern.Finding{written(postern.File, "frontend/httpproxy/owa/auth/x.aspx")})
	if _, ok := d.Look(row("/ecp/auth/x.aspx", ""), "POST", "200"); ok {
		t.Error("/ecp/auth/x.aspx was taken for /owa/auth/x.aspx")
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	d := New()
	var many []postern.Finding
	for i := range 3 * maxPages {
		many = append(many, written(postern.File, fmt.Sprintf("a/%d.aspx", i)))
	}
	d.Learn(many)
	if n := len(d.Names()); n < maxPages || n > maxPages+1 {
		t.Errorf("%d pages, want %d", n, maxPages)
	}
	long := "/" + strings.Repeat("a/", 1<<19) + "7.aspx"
	f, ok := d.Look(row(long, ""), "POST", "200")
	if !ok {
		t.Fatal("a long address was not seen")
	}
	if n := len(f.Entities[postern.URL]); n > maxValue {
		t.Errorf("%d bytes of an address kept, want %d at most", n, maxValue)
	}
	for _, hostile := range []string{"", "?", "/", `\`, "//", "\x00", "\xff.aspx", "/.aspx", "....aspx/..", strings.Repeat("/", 9999)} {
		key(hostile)
		d.Look(row(hostile, ""), hostile, hostile)
	}
}
