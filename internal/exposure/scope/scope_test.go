package scope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/exposure"
)

const sound = `
networks: [198.41.0.0/24, 127.0.0.0/8, "2a00::/16"]
names: [mail.alpha.example, "*.beta.example"]
authority: Order 7 of the ministry
contact: https://csirt.example/scan
valid: {from: 2026-11-01, to: 2026-11-30}
`

var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func parse(t *testing.T, s string) *Scope {
	t.Helper()
	got, err := Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMistakesNameTheField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to, field, why string }{
		{"networks: [198.41.0.0/24, 127.0.0.0/8, \"2a00::/16\"]", "", "networks", "exposure.scope.missing"},
		{"authority: Order 7 of the ministry", "", "authority", "exposure.scope.missing"},
		{"contact: https://csirt.example/scan", "", "contact", "exposure.scope.missing"},
		{"valid: {from: 2026-11-01, to: 2026-11-30}", "", "valid", "exposure.scope.missing"},
		{"198.41.0.0/24", "198.41.0.0/33", "networks", "exposure.scope.network"},
		{"198.41.0.0/24", "alpha", "networks", "exposure.scope.network"},
		{"[198.41.0.0/24, 127.0.0.0/8, \"2a00::/16\"]", "[]", "networks", "exposure.scope.want-list"},
		{"[198.41.0.0/24, 127.0.0.0/8, \"2a00::/16\"]", "{a: b}", "networks", "exposure.scope.want-list"},
		{"mail.alpha.example", "a b", "names", "exposure.scope.name"},
		{"Order 7 of the ministry", "\"\"", "authority", "exposure.scope.want-text"},
		{"https://csirt.example/scan", "us", "contact", "exposure.scope.contact"},
		{"https://csirt.example/scan", "\"https://x/\\r\\nCookie: y\"", "contact", "exposure.scope.contact"},
		{"https://csirt.example/scan", "\"a@b.example) evil (\"", "contact", "exposure.scope.contact"},
		{"to: 2026-11-30", "to: 2026-10-30", "valid", "exposure.scope.valid"},
		{"to: 2026-11-30", "to: tomorrow", "valid.to", "exposure.scope.time"},
		{", to: 2026-11-30", "", "valid", "exposure.scope.valid"},
		{"authority:", "autority:", "autority", "exposure.scope.unknown-field"},
		{"names:", "networks:", "networks", "exposure.scope.twice"},
		{"networks: [", "networks: [[", "", "exposure.scope.yaml"},
	} {
		_, err := Parse([]byte(strings.Replace(sound, c.from, c.to, 1)))
		var field *FieldError
		if !errors.As(err, &field) || field.Field != c.field || field.Why.Key != c.why {
			t.Errorf("%q for %q: %v, want %s %s", c.to, c.from, err, c.field, c.why)
		}
	}
	for _, s := range []string{"", "a", "[a]", "a: &x [*x]", "networks: *a"} {
		if _, err := Parse([]byte(s)); err == nil {
			t.Errorf("%q was read", s)
		}
	}
}

func TestLabel(t *testing.T) {
	t.Parallel()
	a := parse(t, sound)
	b := parse(t, strings.Replace(sound, "198.41.0.0/24, 127.0.0.0/8", "127.0.0.0/8, 198.41.0.128/25, 198.41.0.0/25", 1))
	c := parse(t, strings.Replace(sound, "198.41.0.0/24", "198.41.0.0/25", 1))
	if a.Label != b.Label || a.Label == c.Label || parse(t, sound+"label: NL\n").Label != "NL" {
		t.Errorf("labels %q, %q and %q", a.Label, b.Label, c.Label)
	}
}

// wall is one with a resolver of our own.
func wall(t *testing.T, o Options, dns map[string][]string) *Wall {
	t.Helper()
	if o.Scope == nil {
		o.Scope = parse(t, sound)
	}
	o.Now = func() time.Time { return today }
	o.Lookup = func(_ context.Context, name string) ([]netip.Addr, error) {
		var all []netip.Addr
		for _, a := range dns[name] {
			all = append(all, netip.MustParseAddr(a))
		}
		if all == nil {
			return nil, &net.DNSError{IsNotFound: true}
		}
		return all, nil
	}
	return NewWall(o)
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	many := []string{"9.9.9.9"}
	for i := range 50 {
		many = append(many, fmt.Sprintf("198.41.0.%d", i))
	}
	dns := map[string][]string{
		"mail.alpha.example": {"198.41.0.9"}, "outside.beta.example": {"9.9.9.9"}, "both.beta.example": {"9.9.9.9", "198.41.0.9"},
		"home.beta.example": {"127.0.0.1"}, "many.beta.example": many, "mapped.beta.example": {"::ffff:127.0.0.1"}, "zone.beta.example": {"fe80::1%eth0"},
		"gone.beta.example": {"198.41.0.66", "198.41.0.9"},
	}
	out := &OptOut{}
	if bad, err := out.Read(strings.NewReader("198.41.0.66\nmute.beta.example\n*.quiet.beta.example\nAS64500\n")); err != nil || bad != nil {
		t.Fatal(bad, err)
	}
	w := wall(t, Options{OptOut: out, ASN: func(a netip.Addr) uint32 {
		if a == netip.MustParseAddr("198.41.0.77") {
			return 64500
		}
		return 0
	}}, dns)
	addr := func(s string) exposure.Target { return exposure.Target{Address: netip.MustParseAddr(s), Port: 443} }
	name := func(s string) exposure.Target { return exposure.Target{Name: s, Port: 443} }
	for _, c := range []struct {
		target  exposure.Target
		outcome exposure.Outcome
		places  int
	}{
		{addr("198.41.0.1"), "", 1},
		{addr("198.41.1.0"), exposure.OutOfScope, 0},
		{addr("2a00::1"), "", 1},
		{addr("127.0.0.1"), exposure.OutOfScope, 0},
		{addr("::ffff:127.0.0.1"), exposure.OutOfScope, 0},
		{addr("198.41.0.66"), exposure.OptedOut, 0},
		{addr("198.41.0.77"), exposure.OptedOut, 0},
		{exposure.Target{Address: netip.MustParseAddr("198.41.0.1"), Name: "other.example"}, exposure.OutOfScope, 0},
		{exposure.Target{Address: netip.MustParseAddr("198.41.0.1"), Name: "mute.beta.example"}, exposure.OptedOut, 0},
		{exposure.Target{Address: netip.MustParseAddr("198.41.0.1"), Name: "a.quiet.beta.example"}, exposure.OptedOut, 0},
		{name("mail.alpha.example"), "", 1},
		{name("www.alpha.example"), exposure.OutOfScope, 0},
		{name("beta.example"), exposure.OutOfScope, 0},
		{name("none.beta.example"), exposure.DNSError, 0},
		{name("mute.beta.example"), exposure.OptedOut, 0},
		{name("outside.beta.example"), exposure.OutOfScope, 0},
		{name("both.beta.example"), "", 1},
		{name("home.beta.example"), exposure.OutOfScope, 0},
		{name("mapped.beta.example"), exposure.OutOfScope, 0},
		{name("zone.beta.example"), exposure.OutOfScope, 0},
		{name("gone.beta.example"), exposure.OptedOut, 0},
		{name("many.beta.example"), "", maxAddresses - 1},
	} {
		places, stop := w.Places(context.Background(), &c.target)
		var got exposure.Outcome
		if stop != nil {
			got = stop.Outcome
		}
		if got != c.outcome || len(places) != c.places {
			t.Errorf("%v %s: %q and %d places, want %q and %d", c.target.Address, c.target.Name, got, len(places), c.outcome, c.places)
		}
		for _, p := range places {
			if w.Check(p) != nil {
				t.Errorf("%v was given and may not be contacted", p)
			}
		}
	}
}

// TestRebinding: a name server that says something else the second time is asked once,
// and the address that was checked is the one that is connected to.
func TestRebinding(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	w := wall(t, Options{Lab: true, Scope: parse(t, strings.Replace(sound, "127.0.0.0/8", "127.0.0.1", 1))}, nil)
	asked := 0
	w.lookup = func(context.Context, string) ([]netip.Addr, error) {
		if asked++; asked == 1 {
			return []netip.Addr{at.Addr()}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.9.9.9")}, nil
	}
	places, stop := w.Places(context.Background(), &exposure.Target{Name: "mail.beta.example", Port: at.Port()})
	if stop != nil || len(places) != 1 {
		t.Fatalf("%v %v", places, stop)
	}
	for range 2 {
		c, err := w.Dial(context.Background(), places[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := netip.MustParseAddrPort(c.RemoteAddr().String()); got != at {
			t.Errorf("connected to %v, want %v", got, at)
		}
		c.Close()
	}
	if asked != 1 {
		t.Errorf("the name server was asked %d times", asked)
	}
	// And were the second answer believed, it would still be refused.
	if places, stop := w.Places(context.Background(), &exposure.Target{Name: "mail.beta.example", Port: at.Port()}); stop == nil || stop.Outcome != exposure.OutOfScope {
		t.Errorf("led out of the scope: %v %v", places, stop)
	}
}

func TestSpecialAddressesNeedTheLab(t *testing.T) {
	t.Parallel()
	s := parse(t, strings.Replace(sound, "198.41.0.0/24", "0.0.0.0/0, \"::/0\"", 1))
	world, lab := wall(t, Options{Scope: s}, nil), wall(t, Options{Scope: s, Lab: true}, nil)
	for _, a := range []string{"127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "0.0.0.0", "100.64.0.1",
		"192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "3fff::1", "::127.0.0.1"} {
		p := exposure.Place{Address: netip.MustParseAddr(a), Port: 443}
		if world.Check(p) == nil || lab.Check(p) != nil {
			t.Errorf("%s: world %v, laboratory %v", a, world.Check(p), lab.Check(p))
		}
	}
	for _, a := range []string{"8.8.8.8", "172.32.0.1", "100.128.0.1", "2a00::1", "2600::1"} {
		if stop := world.Check(exposure.Place{Address: netip.MustParseAddr(a)}); stop != nil {
			t.Errorf("%s: %v", a, stop)
		}
	}
}

func TestValidity(t *testing.T) {
	t.Parallel()
	now := today
	w := NewWall(Options{Scope: parse(t, sound), Now: func() time.Time { return now }})
	p := exposure.Place{Address: netip.MustParseAddr("198.41.0.1")}
	for day, want := range map[string]bool{"2026-10-31": false, "2026-11-01": true, "2026-11-30": true, "2026-12-01": false} {
		now, _ = time.Parse("2006-01-02", day)
		if got := w.Check(p) == nil; got != want {
			t.Errorf("%s: %v, want %v", day, got, want)
		}
	}
}

// TestDialerIsTheWall: whatever a caller hands it, no packet leaves for what the scope
// does not allow.
func TestDialerIsTheWall(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	place := exposure.Place{Address: at.Addr(), Port: at.Port()}
	var stop *exposure.Stop
	if c, err := wall(t, Options{}, nil).Dial(context.Background(), place); !errors.As(err, &stop) {
		t.Errorf("connected to loopback outside a laboratory: %v %v", c, err)
	}
	other := parse(t, strings.Replace(sound, "127.0.0.0/8", "127.9.0.0/16", 1))
	w := wall(t, Options{Scope: other, Lab: true}, nil)
	if _, err := w.Dial(context.Background(), place); !errors.As(err, &stop) {
		t.Errorf("connected outside the scope: %v", err)
	}
	// Also the dialer inside, asked by itself.
	if _, err := w.dialer.Dial("tcp", l.Addr().String()); !errors.As(err, &stop) {
		t.Errorf("the dialer connected outside the scope: %v", err)
	}
	out := &OptOut{}
	w = wall(t, Options{Lab: true, OptOut: out}, nil)
	c, err := w.Dial(context.Background(), place)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(strings.NewReader("127.0.0.0/24\n")); err != nil {
		t.Fatal(err)
	}
	w.Sweep()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection to a host that opted out lives on: %v", err)
	}
	if len(w.open) != 0 {
		t.Errorf("%d connections are remembered", len(w.open))
	}
}

func TestOptOutList(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	o := &OptOut{}
	bad, err := o.Read(strings.NewReader("\ufeff# who wants to be left alone\n192.0.2.1 # a host\n192.0.2.128/25\nas64496\nMail.Alpha.Example.\nSHA256:" +
		strings.ToUpper(sum) + "\nnot a name\n192.0.2.0/99\n" + strings.Repeat("x", 5000) + "\n2001:db8::/32"))
	if err != nil || len(bad) != 3 || bad[0].Line != 7 || bad[1].Line != 8 || bad[2].Line != 9 {
		t.Errorf("bad lines %v, %v", bad, err)
	}
	for p, want := range map[exposure.Place]bool{
		{Address: netip.MustParseAddr("192.0.2.1")}:                               true,
		{Address: netip.MustParseAddr("192.0.2.2")}:                               false,
		{Address: netip.MustParseAddr("192.0.2.200")}:                             true,
		{Address: netip.MustParseAddr("::ffff:192.0.2.200")}:                      true,
		{Address: netip.MustParseAddr("2001:db8:1::")}:                            true,
		{Address: netip.MustParseAddr("192.0.2.2"), ASN: 64496}:                   true,
		{Address: netip.MustParseAddr("192.0.2.2"), Name: "mail.alpha.example"}:   true,
		{Address: netip.MustParseAddr("192.0.2.2"), Name: "a.mail.alpha.example"}: false,
	} {
		if got := o.place(p) != nil; got != want {
			t.Errorf("%v: %v, want %v", p, got, want)
		}
	}
	for _, c := range []struct {
		c    exposure.Certificate
		want bool
	}{{exposure.Certificate{SHA256: sum}, true}, {exposure.Certificate{KeySHA256: sum}, true}, {exposure.Certificate{SHA256: "ab"}, false},
		{exposure.Certificate{Names: []string{"x.example", "MAIL.alpha.example"}}, true}, {exposure.Certificate{CommonName: "x"}, false}} {
		if got := o.certificate(&c.c) != nil; got != c.want {
			t.Errorf("%+v: %v", c.c, got)
		}
	}
}

// TestWatch: a line that is added counts within a second, and what is taken out of the
// file still counts.
func TestWatch(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "optout.txt")
	write := func(s string) {
		if err := os.WriteFile(name, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("192.0.2.1\n")
	o, err := OpenOptOut(name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	changed := make(chan int, 10)
	go o.Watch(ctx, func(bad []*BadOptOut, _ error) { changed <- len(bad) })
	start := time.Now()
	write("192.0.2.2\nnot good\n")
	if n := <-changed; n != 1 {
		t.Errorf("%d bad lines", n)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
	for _, a := range []string{"192.0.2.1", "192.0.2.2"} {
		if o.place(exposure.Place{Address: netip.MustParseAddr(a)}) == nil {
			t.Errorf("%s may be contacted", a)
		}
	}
}

// FuzzOptOut: every line counts or is named, and an address that stands in the list is
// never let through, also after the list was merged again.
func FuzzOptOut(f *testing.F) {
	f.Add([]byte("192.0.2.1\n192.0.2.0/24\n2001:db8::/32\nAS1\nmail.alpha.example\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		o := &OptOut{}
		for range 2 {
			if _, err := o.Read(bytes.NewReader(in)); err != nil {
				t.Fatal(err)
			}
		}
		for line := range bytes.Lines(in) {
			if p, err := ParseNetwork(strings.TrimSpace(string(line))); err == nil {
				for _, a := range []netip.Addr{p.Addr(), last(p)} {
					if o.place(exposure.Place{Address: a}) == nil {
						t.Errorf("%v of %q is let through", a, line)
					}
				}
			}
		}
	})
}

// FuzzParse: a file is read or refused with a sentence; it never panics.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sound))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := Parse(in)
		var field *FieldError
		if err != nil && !errors.As(err, &field) || err == nil && (s.Label == "" || s.Contact == "" || len(s.networks) == 0) {
			t.Errorf("%v %+v", err, s)
		}
	})
}
