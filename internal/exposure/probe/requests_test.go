package probe

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"

	"postern/internal/exposure"
)

// sealed is the hash of the request set. Whoever changes it sends something new to
// hosts that have not asked for it: change docs/ethics.md first, and say so in the
// changelog.
const sealed = "7b7210423ace753034a1aa07a8a63596e38ff2ba974a6d1ade679208022da263"

func TestSetDoesNotGrow(t *testing.T) {
	t.Parallel()
	if got := Hash(); got != sealed {
		t.Errorf("the closed request set has changed: hash %s, want %s\n%s", got, sealed, Sheet())
	}
	if len(paths()) != 9 || method != "GET" || MaxRequests != 6 || maxRedirects != 2 || len(queryPath) != 20 {
		t.Error("the set and what its sheet says are no longer the same")
	}
}

// TestPageCarriesTheHash: the page that says what is sent names the very set.
func TestPageCarriesTheHash(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/ethics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sha256:" + sealed, "requests " + Hash()[:16]} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/ethics.md does not say %q", want)
		}
	}
}

// TestBytes holds every byte that is sent, so that no header creeps in.
func TestBytes(t *testing.T) {
	t.Parallel()
	agent := Agent("https://alpha.example/scan")
	for _, p := range paths() {
		got, err := appendRequest(nil, p, "", "mail.alpha.example", agent)
		want := "GET " + p + " HTTP/1.1\r\nHost: mail.alpha.example\r\nUser-Agent: " + agent + "\r\nAccept: */*\r\n\r\n"
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n%q, want\n%q", p, err, got, want)
		}
	}
	for _, part := range []string{"postern", "https://alpha.example/scan", "opt-out", Hash()[:16]} {
		if !strings.Contains(agent, part) {
			t.Errorf("the agent %q does not name %q", agent, part)
		}
	}
	for _, c := range [][2]string{{"/owa/auth/x.aspx", ""}, {"/owa", ""}, {"/owa/", "a=b"}, {"//owa/", ""}, {"/owa/../ecp/", ""}, {"", ""},
		{"/owa/\r\nCookie: x", ""}, {queryPath, strings.Repeat("x", maxQuery+1)}} {
		if got, err := appendRequest(nil, c[0], c[1], "h", agent); err == nil {
			t.Errorf("%q?%q was allowed: %q", c[0], c[1], got)
		}
	}
}

func TestFollowed(t *testing.T) {
	t.Parallel()
	named := exposure.Place{Name: "mail.alpha.example", Address: netip.MustParseAddr("192.0.2.1"), Port: 443}
	other := exposure.Place{Address: netip.MustParseAddr("192.0.2.1"), Port: 8443}
	for _, c := range []struct {
		name, location string
		from           exposure.Place
		path, query    string
	}{
		{"the login page's own", "https://mail.alpha.example/owa/auth/logon.aspx?url=https%3a%2f%2fmail.alpha.example%2fowa%2f&reason=0", named,
			"/owa/auth/logon.aspx", "url=https%3a%2f%2fmail.alpha.example%2fowa%2f&reason=0"},
		{"relative", "/owa/auth/logon.aspx?replaceCurrent=1&url=%2fowa%2f", named, "/owa/auth/logon.aspx", "replaceCurrent=1&url=%2fowa%2f"},
		{"plain path", "https://192.0.2.1:8443/owa/", other, "/owa/", ""},
		{"another host", "https://other.example/owa/", named, "", ""},
		{"another port", "https://mail.alpha.example:444/owa/", named, "", ""},
		{"another scheme", "http://mail.alpha.example/owa/", named, "", ""},
		{"by address where a name was asked", "https://192.0.2.2/owa/", named, "", ""},
		{"another place", "/owa/auth/errorFE.aspx?httpCode=500", named, "", ""},
		{"a query of another kind", "/owa/auth/logon.aspx?cmd=x", named, "", ""},
		{"a query where none belongs", "/owa/?url=%2fowa%2f", named, "", ""},
		{"leads away", "/owa/auth/logon.aspx?url=https%3a%2f%2fother.example%2fowa%2f", named, "", ""},
		{"leads to another place", "/owa/auth/logon.aspx?url=%2fecp%2f", named, "", ""},
		{"twice", "/owa/auth/logon.aspx?reason=0&reason=1", named, "", ""},
		{"a line of its own", "/owa/auth/logon.aspx?reason=0\r\nCookie: x", named, "", ""},
		{"credentials", "https://a:b@mail.alpha.example/owa/", named, "", ""},
		{"no path", "owa/", named, "", ""},
		{"two slashes", "//mail.alpha.example/owa/", named, "/owa/", ""},
		{"two slashes away", "//other.example/owa/", named, "", ""},
		{"dots", "/owa/../ecp/", named, "", ""},
		{"coded", "/%6fwa/", named, "", ""},
	} {
		path, query, ok := followed(c.location, c.from)
		if path != c.path || query != c.query || ok != (c.path != "") {
			t.Errorf("%s: %q, %q, %v; want %q, %q", c.name, path, query, ok, c.path, c.query)
		}
	}
}

// FuzzFollowed: whatever a host answers, the next request is one of the set and has
// exactly its four lines.
func FuzzFollowed(f *testing.F) {
	f.Add("https://mail.alpha.example/owa/auth/logon.aspx?url=https%3a%2f%2fmail.alpha.example%2fowa%2f&reason=0")
	f.Add("/owa/auth/logon.aspx?replaceCurrent=1&url=%2fowa%2f%0d%0aX:%20y")
	f.Add("//mail.alpha.example:443/owa/#x")
	from := exposure.Place{Name: "mail.alpha.example", Address: netip.MustParseAddr("192.0.2.1"), Port: 443}
	f.Fuzz(func(t *testing.T, location string) {
		path, query, ok := followed(location, from)
		if !ok {
			return
		}
		b, err := appendRequest(nil, path, query, from.Host(), "a")
		if err != nil {
			t.Fatalf("%q leads to %q?%q: %v", location, path, query, err)
		}
		lines := bytes.Split(b, []byte("\r\n"))
		if len(lines) != 6 || bytes.Count(b, []byte("\n")) != 5 || bytes.Count(lines[0], []byte(" ")) != 2 {
			t.Errorf("%q makes the request %q", location, b)
		}
	})
}
