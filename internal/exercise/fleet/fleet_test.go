package fleet

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern"
	"postern/products"
)

// TestMain sets what both sides of the oldest handshakes need, as the commands do.
func TestMain(m *testing.M) {
	if err := os.Setenv("GODEBUG", "tlssha1=1,rsa1024min=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// releases reads the real build table, with what it means for the flaw of March
// 2021 worked out in the simplest way: the update of that month or a line that
// came after it.
var releases = sync.OnceValue(func() []Release {
	rows := func(name string) [][]string {
		b, err := products.FS.ReadFile("exchange/" + name)
		if err != nil {
			panic(err)
		}
		all, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
		if err != nil {
			panic(err)
		}
		return all[1:]
	}
	day := func(s string) time.Time {
		t, err := time.Parse(time.DateOnly, s)
		if err != nil {
			panic(err)
		}
		return t
	}
	available := map[string]time.Time{}
	for _, r := range rows("march-2021-availability.csv") {
		available[r[0]+r[1]] = day(r[3])
	}
	fixed := map[string]postern.Build{} // by line
	var list []Release
	for _, r := range rows("builds.csv") {
		b, err := postern.ParseBuild(r[3])
		if err != nil {
			panic(err)
		}
		x := Release{Build: b, Edition: r[0], Line: r[1], Update: r[2], Released: day(r[4])}
		if x.Update == "Mar21SU" {
			fixed[x.Edition+x.Line] = b
			x.Available = available[x.Edition+x.Line]
		}
		list = append(list, x)
	}
	for i := range list {
		x := &list[i]
		fix, ok := fixed[x.Edition+x.Line]
		base := list[slices.IndexFunc(list, func(r Release) bool { return r.Edition == x.Edition && r.Line == x.Line })]
		switch {
		case x.Build[0] < 15:
			x.State = postern.NotAffected
		case ok && x.Build.Compare(fix) >= 0, base.Released.After(Begin):
			x.State = postern.Fixed
		case ok:
			x.State = postern.UnfixedOrMitigated
		default:
			x.State = postern.NoFixForLine
		}
	}
	return list
})

func options(hosts int, mix Mix) Options {
	return Options{Seed: 7, Hosts: hosts, Mix: mix, Releases: releases(), CVE: "CVE-2021-26855"}
}

func start(t *testing.T, o Options) *Fleet {
	t.Helper()
	f, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// client asks as a browser that believes every certificate and follows nothing.
func client(name string) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: name, MinVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_RC4_128_SHA}},
		ForceAttemptHTTP2: true, DisableKeepAlives: true}
	return &http.Client{Transport: tr, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get asks a host for a path.
func get(t *testing.T, f *Fleet, x HostTruth, path string) (*http.Response, string) {
	t.Helper()
	to := x.Homes[0].Address
	r, err := client(x.Name).Get(fmt.Sprintf("https://%s:%d%s", to, x.Port, path))
	if err != nil {
		t.Fatalf("%s %s: %v", x.ID, x.Kind, err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		t.Fatalf("%s %s: %v", x.ID, x.Kind, err)
	}
	return r, string(b)
}

// first finds a host that answers on day 0.
func first(t *testing.T, f *Fleet, want func(HostTruth) bool) HostTruth {
	t.Helper()
	for x := range f.Truth() {
		if !slices.Contains(x.Missing, 0) && want(x) {
			return x
		}
	}
	t.Fatal("the population has no such host")
	return HostTruth{}
}

func runs(kind Kind, product string) func(HostTruth) bool {
	return func(x HostTruth) bool {
		return x.Kind == kind && x.Variant == "" && (product == "" || len(x.Members) > 0 && x.Members[0].Builds[0].Product == product)
	}
}

// TestShapes holds the answers against the published captures.
func TestShapes(t *testing.T) {
	t.Parallel()
	f := start(t, options(3000, Country))
	t.Run("2016 redirect and page", func(t *testing.T) {
		t.Parallel()
		x := first(t, f, runs(Direct, "exchange-2016"))
		r, body := get(t, f, x, "/owa/")
		host := fmt.Sprintf("%s:%d", x.Homes[0].Address, x.Port)
		escaped := strings.ReplaceAll(host, ":", "%3a")
		if want := "https://" + host + "/owa/auth/logon.aspx?url=https%3a%2f%2f" + escaped + "%2fowa%2f&reason=0"; r.StatusCode != 302 || r.Header.Get("Location") != want {
			t.Errorf("GET /owa/: %d to %q, want 302 to %q", r.StatusCode, r.Header.Get("Location"), want)
		}
		if r.Header.Get("X-FEServer") != x.Members[0].Frontend || r.Header.Get("X-OWA-Version") != "" || !strings.Contains(body, "Object moved") {
			t.Errorf("GET /owa/: %v %q", r.Header, body)
		}
		b := x.Members[0].Builds[0].Build
		r, body = get(t, f, x, "/owa/auth/logon.aspx")
		for _, want := range []string{"OwaPage = ASP.auth_logon_aspx", "{57A118C6-2DA9-419d-BE9A-F92B0F9A418B}", "wf_segoe-ui_normal", "<title>Outlook</title>",
			fmt.Sprintf("/owa/auth/%d.%d.%d/themes/resources/favicon.ico", b[0], b[1], b[2])} {
			if !strings.Contains(body, want) {
				t.Errorf("login page lacks %q", want)
			}
		}
		if len(body) < 48<<10 || len(body) > 70<<10 || r.Header.Get("X-FEServer") != "" {
			t.Errorf("login page has %d bytes and %v", len(body), r.Header)
		}
	})
	t.Run("sign-in", func(t *testing.T) {
		t.Parallel()
		x := first(t, f, runs(Direct, "exchange-2019"))
		for _, path := range []string{"/autodiscover/autodiscover.xml", "/EWS/Exchange.asmx", "/Microsoft-Server-ActiveSync"} {
			r, _ := get(t, f, x, path)
			if r.StatusCode != 401 || r.Header.Get("X-OWA-Version") != "" || r.Header.Get("X-FEServer") == "" || r.Header.Get("Server") != "Microsoft-IIS/10.0" ||
				!strings.Contains(strings.Join(r.Header.Values("WWW-Authenticate"), " "), "Basic realm") {
				t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
			}
		}
	})
	t.Run("2013 page", func(t *testing.T) {
		t.Parallel()
		r, body := get(t, f, first(t, f, runs(Direct, "exchange-2013")), "/owa/auth/logon.aspx")
		if !strings.Contains(body, `"Segoe UI WPC"`) || !strings.Contains(body, "<title>Outlook Web App</title>") || r.Header.Get("X-FEServer") == "" {
			t.Errorf("not the page of 2013: %v", r.Header)
		}
	})
	t.Run("2010 page", func(t *testing.T) {
		t.Parallel()
		x := first(t, f, func(x HostTruth) bool {
			return x.Kind == Direct && len(x.Members) > 0 && x.Members[0].Builds[0].Build.String() == "14.3.496.0"
		})
		r, body := get(t, f, x, "/owa/auth/logon.aspx") // S7: what is shown lags behind the build
		if r.Header.Get("X-OWA-Version") != "14.3.487.0" || !strings.Contains(body, "/owa/14.3.487.0/themes/") || r.Header.Get("X-AspNet-Version") != "2.0.50727" {
			t.Errorf("not the page of 2010: %v", r.Header)
		}
	})
	t.Run("2007 page", func(t *testing.T) {
		t.Parallel()
		x := first(t, f, runs(Direct, "exchange-2007"))
		r, body := get(t, f, x, "/owa/auth/logon.aspx")
		if !strings.Contains(body, "Microsoft Exchange - Outlook Web Access") || r.Header.Get("X-OWA-Version") != "" ||
			!strings.Contains(body, "/themes/base/logon.css") {
			t.Errorf("not the page of 2007: %v", r.Header)
		}
	})
	t.Run("health", func(t *testing.T) {
		t.Parallel()
		x := first(t, f, runs(Direct, "exchange-2016"))
		if _, body := get(t, f, x, "/mapi/healthcheck.htm"); body != "200 OK<br/>"+strings.ToUpper(x.Members[0].FQDN) {
			t.Errorf("health check says %q", body)
		}
	})
	t.Run("hybrid", func(t *testing.T) {
		t.Parallel()
		r, _ := get(t, f, first(t, f, runs(Hybrid, "exchange-2019")), "/Microsoft-Server-ActiveSync")
		if v := r.Header.Get("WWW-Authenticate"); !strings.Contains(v, `trusted_issuers="00000001-0000-0000-c000-000000000000@`) {
			t.Errorf("no tenant in %q", v)
		}
	})
	t.Run("stripped", func(t *testing.T) {
		t.Parallel()
		r, _ := get(t, f, first(t, f, runs(Stripped, "exchange-2016")), "/EWS/Exchange.asmx")
		if r.StatusCode != 401 || r.Header.Get("X-FEServer") != "" || r.Header.Get("Server") != "nginx" {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
	})
	t.Run("rewritten", func(t *testing.T) {
		t.Parallel()
		r, _ := get(t, f, first(t, f, runs(Rewritten, "")), "/EWS/Exchange.asmx")
		if v := r.Header.Get("X-OWA-Version"); !strings.Contains(v, ".0") || !strings.Contains(r.Header.Get("X-FEServer"), ".EXAMPLE") {
			t.Errorf("%q %v", v, r.Header)
		}
	})
	t.Run("broken", func(t *testing.T) {
		t.Parallel()
		r, _ := get(t, f, first(t, f, runs(Broken, "exchange-2016")), "/owa/")
		if r.Header.Get("Location") != "/owa/auth/errorFE.aspx?httpCode=500" {
			t.Errorf("%v", r.Header)
		}
	})
	t.Run("farm", func(t *testing.T) {
		t.Parallel()
		x := first(t, f, func(x HostTruth) bool { return runs(Balanced, "exchange-2016")(x) && len(x.Members) == 3 })
		names := map[string]bool{}
		for range 6 {
			r, _ := get(t, f, x, "/EWS/Exchange.asmx")
			names[r.Header.Get("X-FEServer")] = true
		}
		if len(names) != 3 {
			t.Errorf("front ends %v answered, want all three", names)
		}
	})
	t.Run("cloud", func(t *testing.T) {
		t.Parallel()
		r, _ := get(t, f, first(t, f, runs(CloudHost, "")), "/autodiscover/autodiscover.xml")
		if r.Header.Get("X-BeSku") != "WCS7" || !strings.HasSuffix(r.Header.Get("X-CalculatedBETarget"), ".PROD.OUTLOOK.COM") {
			t.Errorf("%v", r.Header)
		}
	})
	t.Run("honeypot", func(t *testing.T) {
		t.Parallel()
		x := first(t, f, runs(Honeypot, ""))
		r, body := get(t, f, x, "/owa/")
		again, _ := get(t, f, x, "/anything.js")
		if r.StatusCode != 200 || !strings.Contains(body, `http-equiv="refresh"`) || again.Header.Get("request-id") != r.Header.Get("request-id") {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
	})
	t.Run("gateway", func(t *testing.T) {
		t.Parallel()
		x := first(t, f, func(x HostTruth) bool { return x.Kind == Gateway && x.Variant == "f5" })
		if r, _ := get(t, f, x, "/owa/"); r.Header.Get("Location") != "/my.policy" {
			t.Errorf("%v", r.Header)
		}
	})
	t.Run("insists on http/2", func(t *testing.T) {
		t.Parallel()
		x := first(t, f, func(x HostTruth) bool {
			return x.Kind == Direct && x.Variant == "http2" && x.Members[0].Builds[0].Build[0] == 15
		})
		if r, _ := get(t, f, x, "/"); r.ProtoMajor != 2 || r.StatusCode != 302 || !strings.HasSuffix(r.Header.Get("Location"), "/owa/") {
			t.Errorf("%s %d %v", r.Proto, r.StatusCode, r.Header)
		}
	})
	t.Run("closed and dead", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			kind    Kind
			timeout bool
		}{{Closed, false}, {Dead, true}} {
			x := first(t, f, runs(c.kind, ""))
			n, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", x.Homes[0].Address, x.Port), 150*time.Millisecond)
			var e net.Error
			if err == nil || !errors.As(err, &e) || e.Timeout() != c.timeout {
				t.Errorf("%s: %v %v, want an error, timeout %v", c.kind, n, err, c.timeout)
			}
		}
	})
}

// TestHeaderSince asks after July 2021, when the version header came.
func TestHeaderSince(t *testing.T) {
	t.Parallel()
	o := options(400, Exchange)
	o.Day = dayOf(time.Date(2022, 12, 18, 0, 0, 0, 0, time.UTC))
	f := start(t, o)
	seen := 0
	for x := range f.Truth() {
		if x.Kind != Direct || x.Gone != nil && x.Gone.Day <= o.Day || slices.Contains(x.Missing, o.Day) || len(x.Homes) > 1 {
			continue
		}
		now := x.Members[0].Builds[len(x.Members[0].Builds)-1]
		if now.Build[0] != 15 {
			continue
		}
		r, _ := get(t, f, x, "/EWS/Exchange.asmx")
		got := r.Header.Get("X-OWA-Version")
		if writes := now.Knowable == ExactBuild && now.Low == now.Build; got != "" && got != now.Build.String() || writes && got == "" && now.Low != now.High {
			t.Errorf("%s runs %s, header says %q", x.ID, now.Build, got)
		}
		if got != "" {
			seen++
		}
		if seen > 12 {
			return
		}
	}
	t.Errorf("%d hosts write the header, want more", seen)
}

func TestSameSeedSamePopulation(t *testing.T) {
	t.Parallel()
	write := func(seed uint64) string {
		o := options(300, Country)
		o.Seed = seed
		f := start(t, o)
		var b bytes.Buffer
		for x := range f.Truth() {
			x.Port = 0
			if err := json.NewEncoder(&b).Encode(x); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 300 {
			h := f.p.host(i)
			c, err := f.mint.certificate(&h)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%x\n", c.Certificate[0])
		}
		return b.String()
	}
	a, b, other := write(1), write(1), write(2)
	if a != b {
		t.Error("the same seed gives another population")
	}
	if a == other {
		t.Error("another seed gives the same population")
	}
}

// TestAdoption holds the curve against what was published of March 2021, and
// against the days on which updates could be had.
func TestAdoption(t *testing.T) {
	t.Parallel()
	p, err := newPopulation(options(20000, Exchange))
	if err != nil {
		t.Fatal(err)
	}
	opened, patched := 0, map[int]int{}
	lines := map[string]int{}
	for i := range p.o.Hosts {
		h := p.host(i)
		h.gone = never // the curve is of all, whether they can still be seen or not
		m := p.memberTruth(&h, 0, TruthDays)
		if !m.Open {
			continue
		}
		opened++
		lines[m.Builds[0].Product+" "+m.Builds[0].Line]++
		if m.PatchedDay == nil {
			continue
		}
		for d := *m.PatchedDay; d < TruthDays; d++ {
			patched[d]++
		}
		for _, b := range m.Builds {
			at := slices.IndexFunc(p.o.Releases, func(r Release) bool { return r.Build == b.Build })
			r := p.o.Releases[at]
			if r.Available.IsZero() {
				r.Available = r.Released
			}
			if Date(b.Day).Before(r.Available) && b.Day > 0 {
				t.Fatalf("%s runs %s on %s, which came on %s", h.id(), b.Build, Date(b.Day), r.Available)
			}
		}
	}
	share := func(day int) float64 { return float64(patched[day]) / float64(opened) }
	for _, c := range []struct {
		day       int
		low, high float64
	}{
		{0, 0, .02}, {3, .085, .115}, {6, .20, .40}, {10, .45, .62}, {14, .60, .75}, {20, .78, .90}, {38, .87, .95}, {59, .90, .97},
	} {
		if got := share(c.day); got < c.low || got > c.high {
			t.Errorf("%.3f of the open hosts are patched by day %d (%s), want %.3f to %.3f", got, c.day, Date(c.day).Format(time.DateOnly), c.low, c.high)
		}
	}
	if s := float64(opened) / float64(p.o.Hosts); s < .6 || s > .75 {
		t.Errorf("%.2f of the hosts are open on day 0, want about 0.69", s)
	}
	for _, l := range []string{"exchange-2013 CU23", "exchange-2016 CU19", "exchange-2019 RTM"} {
		if lines[l] == 0 {
			t.Errorf("nobody runs %s", l)
		}
	}
}

func TestSetDay(t *testing.T) {
	t.Parallel()
	f := start(t, options(1500, Country))
	x := first(t, f, func(x HostTruth) bool {
		if x.Kind != Direct || x.Variant != "" || len(x.Homes) > 1 || x.Gone != nil || slices.Contains(x.Missing, 58) {
			return false
		}
		b := x.Members[0].Builds
		return b[0].Build[0] == 15 && b[len(b)-1].Day < 58 && b[len(b)-1].Line != b[0].Line
	})
	builds := x.Members[0].Builds
	_, before := get(t, f, x, "/owa/auth/logon.aspx")
	if err := f.SetDay(58); err != nil {
		t.Fatal(err)
	}
	_, after := get(t, f, x, "/owa/auth/logon.aspx")
	for i, page := range []string{before, after} {
		b := builds[i*(len(builds)-1)].Build
		if want := fmt.Sprintf("/owa/auth/%d.%d.%d/", b[0], b[1], b[2]); !strings.Contains(page, want) {
			t.Errorf("page %d lacks %s", i, want)
		}
	}
	gone := first(t, f, func(x HostTruth) bool { return x.Gone != nil && x.Gone.How == "silent" && len(x.Homes) == 1 })
	if c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", gone.Homes[0].Address, gone.Port), 150*time.Millisecond); err == nil {
		t.Errorf("%s answers after it is gone: %v", gone.ID, c.RemoteAddr())
	}
	moved := first(t, f, func(x HostTruth) bool {
		return len(x.Homes) == 2 && x.Gone == nil && x.Kind == Direct && !slices.Contains(x.Missing, 58)
	})
	moved.Homes = moved.Homes[1:]
	if r, _ := get(t, f, moved, "/owa/"); r.StatusCode != 302 {
		t.Errorf("the moved host says %d", r.StatusCode)
	}
	if err := f.SetDay(-1); err == nil {
		t.Error("day -1 is taken")
	}
}

func TestLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"10.0.0.1", "192.0.2.1", "126.255.255.255", "128.0.0.0", "::1", "127.253.255.255"} {
		o := options(1000, Country)
		o.Base = netip.MustParseAddr(base)
		if _, err := newPopulation(o); err == nil {
			t.Errorf("base %s is taken", base)
		}
	}
	f := start(t, options(10, Clean))
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip("the interfaces of this machine cannot be listed: ", err)
	}
	for _, a := range interfaces {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || n.IP.IsLoopback() {
			continue
		}
		c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", n.IP, f.Port()), 200*time.Millisecond)
		if err == nil { // the connection may be made, but nobody may talk
			_ = c.SetDeadline(time.Now().Add(time.Second))
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s answers %d bytes", c.RemoteAddr(), n)
			}
			c.Close()
		}
	}
}

// TestProfiles shakes hands with every kind of host that the shares can give.
func TestProfiles(t *testing.T) {
	t.Parallel()
	f := start(t, options(2500, Exchange))
	left := map[string]bool{"http2": true}
	for _, x := range profiles() {
		left[x.name] = true
	}
	keys := map[string]string{}
	for x := range f.Truth() {
		if !left[x.TLS] || slices.Contains(x.Missing, 0) {
			continue
		}
		c := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, NextProtos: []string{"h2", "http/1.1"}}
		if !strings.HasPrefix(x.TLS, "modern") {
			for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
				c.CipherSuites = append(c.CipherSuites, s.ID)
			}
		}
		conn, err := tls.Dial("tcp", fmt.Sprintf("%s:%d", x.Homes[0].Address, x.Port), c)
		if err != nil {
			t.Errorf("%s: %v", x.TLS, err)
			continue
		}
		leaf := conn.ConnectionState().PeerCertificates[0]
		key := string(leaf.RawSubjectPublicKeyInfo)
		if other, ok := keys[key]; ok && x.Certificate != "shared" {
			t.Errorf("%s and %s have the same key", other, x.ID)
		}
		keys[key] = x.ID
		conn.Close()
		delete(left, x.TLS)
	}
	if len(left) > 0 {
		t.Errorf("nobody has the profiles %v", left)
	}
}

// TestAttacks starts each of them, and closes the fleet while they are at it.
func TestAttacks(t *testing.T) {
	t.Parallel()
	f := start(t, options(2*len(attacks()), Hostile))
	var visits sync.WaitGroup
	for x := range f.Truth() {
		if x.Kind != Attacker {
			continue
		}
		visits.Go(func() {
			c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", x.Homes[0].Address, x.Port), time.Second)
			if err != nil {
				if x.Variant != "reset" {
					t.Errorf("%s: %v", x.Variant, err)
				}
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(1500 * time.Millisecond))
			s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			if s.Handshake() != nil {
				return
			}
			fmt.Fprintf(s, "GET /owa/ HTTP/1.1\r\nHost: %s\r\n\r\n", x.Name)
			n, _ := io.Copy(io.Discard, io.LimitReader(s, 300<<10))
			if n == 0 && x.Variant != "ends-at-once" {
				t.Errorf("%s says nothing", x.Variant)
			}
		})
	}
	visits.Wait()
	begin := time.Now()
	f.Close()
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("closing took %s", took)
	}
}

func TestSeen(t *testing.T) {
	t.Parallel()
	o := options(100, Clean)
	o.Plain = true
	f := start(t, o)
	x := first(t, f, runs(Direct, ""))
	ask := func(to netip.Addr, head string) {
		t.Helper()
		c, err := net.Dial("tcp", netip.AddrPortFrom(to, uint16(f.Port())).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, head+"Connection: close\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Errorf("%q: %v", head, err)
		}
	}
	ask(x.Homes[0].Address, "GET /owa/ HTTP/1.1\r\nHost: a\r\n")
	if s := f.Seen(); s.Connections != 1 || s.Requests != 1 || s.Unexpected != 0 || s.ExchangeVisits != 1 || s.ExchangeRequests != 1 || f.RequestsTo(x.Index) != 1 {
		t.Errorf("after a polite visit: %+v", s)
	}
	ask(x.Homes[0].Address, "POST /owa/auth.owa HTTP/1.1\r\nHost: a\r\nCookie: x=1\r\nX-Test: 1\r\n")
	ask(addr(number(bystanderBase)+1), "GET /owa/ HTTP/1.1\r\nHost: a\r\n")
	s := f.Seen()
	if s.Bystanders != 1 || s.Contacted != 2 || s.Unexpected != 4 || s.ExchangeVisits != 2 || s.ExchangeRequests != 2 {
		t.Errorf("after impolite ones: %+v", s)
	}
}

// TestMail holds port 25 against S18.
func TestMail(t *testing.T) {
	t.Parallel()
	o := options(400, Exchange)
	var f *Fleet
	for try := 0; f == nil; try++ { // another test may be faster at a port that was free
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Port25 = free.Addr().(*net.TCPAddr).Port
		free.Close()
		if f, err = Start(t.Context(), o); err != nil && try == 5 {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { f.Close() })
	for _, c := range []struct {
		product string
		with    []string
		without []string
	}{
		{"exchange-2010", nil, []string{"XRDST", "SMTPUTF8"}},
		{"exchange-2013", []string{"250 XRDST\r\n"}, []string{"SMTPUTF8"}},
		{"exchange-2019", []string{"250-SMTPUTF8\r\n250 XRDST\r\n"}, nil},
	} {
		x := first(t, f, runs(Direct, c.product))
		conn, err := net.Dial("tcp", netip.AddrPortFrom(x.Homes[0].Address, uint16(o.Port25)).String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		r := bufio.NewReader(conn)
		line := func() string {
			s, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %v", c.product, err)
			}
			return s
		}
		ask := func(text string) (reply string) {
			fmt.Fprint(conn, text+"\r\n")
			for {
				l := line()
				if reply += l; l[3] == ' ' {
					return reply
				}
			}
		}
		if got, want := line(), "220 "+x.Members[0].FQDN+" Microsoft ESMTP MAIL Service ready at Tue, 02 Mar 2021 "; !strings.HasPrefix(got, want) {
			t.Errorf("%s says %q, want %q", c.product, got, want)
		}
		got := ask("EHLO scanner.example")
		for _, want := range append(c.with, "250-"+x.Members[0].FQDN+" Hello [127.0.0.1]\r\n", "250-SIZE 37748736\r\n", "250-STARTTLS\r\n", "250-X-EXPS GSSAPI NTLM\r\n") {
			if !strings.Contains(got, want) {
				t.Errorf("%s: EHLO lacks %q:\n%s", c.product, want, got)
			}
		}
		for _, no := range c.without {
			if strings.Contains(got, no) {
				t.Errorf("%s: EHLO has %q:\n%s", c.product, no, got)
			}
		}
		if got := ask("MAIL FROM:<a@alpha.example>"); !strings.HasPrefix(got, "550 ") {
			t.Errorf("mail is answered %q", got)
		}
		if got := ask("STARTTLS"); !strings.HasPrefix(got, "220 ") {
			t.Fatalf("STARTTLS is answered %q", got)
		}
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10})
		r = bufio.NewReader(conn)
		if got := ask("EHLO scanner.example"); strings.Contains(got, "STARTTLS") || !strings.Contains(got, "CHUNKING") {
			t.Errorf("%s: EHLO in TLS says\n%s", c.product, got)
		}
		if got := ask("QUIT"); !strings.HasPrefix(got, "221 ") {
			t.Errorf("QUIT is answered %q", got)
		}
		conn.Close()
	}
	if s := f.Seen(); s.Unexpected != 3 {
		t.Errorf("mail is polite: %+v", s)
	}
}

// TestNTLM holds the second message of a sign-in against S20.
func TestNTLM(t *testing.T) {
	t.Parallel()
	f := start(t, options(400, Exchange))
	x := first(t, f, runs(Direct, "exchange-2019"))
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://%s:%d/EWS/Exchange.asmx", x.Homes[0].Address, x.Port), nil)
	if err != nil {
		t.Fatal(err)
	}
	begin := append([]byte("NTLMSSP\x00\x01\x00\x00\x00"), make([]byte, 20)...)
	req.Header.Set("Authorization", "NTLM "+base64.StdEncoding.EncodeToString(begin))
	res, err := client(x.Name).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	text, ok := strings.CutPrefix(res.Header.Get("WWW-Authenticate"), "NTLM ")
	b, err := base64.StdEncoding.DecodeString(text)
	if res.StatusCode != 401 || !ok || err != nil || len(b) < 56 || string(b[:12]) != "NTLMSSP\x00\x02\x00\x00\x00" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	read := func(at int) string { // the field's length, and where it is
		n, from := int(binary.LittleEndian.Uint16(b[at:])), int(binary.LittleEndian.Uint32(b[at+4:]))
		return string(b[from : from+n])
	}
	plain := func(s string) string { return strings.ReplaceAll(s, "\x00", "") }
	fqdn := x.Members[0].FQDN
	_, domain, _ := strings.Cut(fqdn, ".")
	if got := plain(read(12)); got == "" || !strings.HasPrefix(strings.ToUpper(domain), got) {
		t.Errorf("target %q, want the short name of %s", got, domain)
	}
	got := map[uint16]string{}
	for info := read(40); len(info) >= 4; {
		id, n := binary.LittleEndian.Uint16([]byte(info)), int(binary.LittleEndian.Uint16([]byte(info[2:])))
		got[id], info = plain(info[4:4+n]), info[4+n:]
	}
	if got[1] != x.Members[0].Frontend || got[3] != fqdn || got[4] != domain {
		t.Errorf("names %v, want %s and %s", got, x.Members[0].Frontend, fqdn)
	}
	if major, build := b[48], binary.LittleEndian.Uint16(b[50:]); major != 10 || build != 17763 {
		t.Errorf("Windows %d, build %d", major, build)
	}
	if s := f.Seen(); s.Unexpected != 1 {
		t.Errorf("signing in is polite: %+v", s)
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	o := options(777, Country)
	o.Base = netip.MustParseAddr("127.16.3.5")
	p, err := newPopulation(o)
	if err != nil {
		t.Fatal(err)
	}
	f := &Fleet{p: p}
	list, total := f.Networks(), 0
	for _, n := range list {
		total += 1 << (32 - n.Bits())
	}
	if total != 2*777 || list[0].Addr() != o.Base {
		t.Errorf("%d addresses in %v, want %d", total, list, 2*777)
	}
	inside := func(a netip.Addr) bool {
		return slices.ContainsFunc(list, func(n netip.Prefix) bool { return n.Contains(a) })
	}
	for i := range p.o.Hosts {
		h := p.host(i)
		if !inside(p.home(&h, 0)) || !inside(p.home(&h, MaxDay)) {
			t.Fatalf("%s lives outside", h.id())
		}
	}
	h := p.host(p.o.Hosts)
	if inside(p.home(&h, 0)) {
		t.Error("a bystander lives inside")
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	by := Observer{Scans: []Scan{{Day: 0}, {Day: 3, Reach: .9}, {Day: 20}}}
	read := func() (string, map[string]int) {
		lines, err := Observe(options(2000, Country), by)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		n := map[string]int{}
		for l := range lines {
			var o struct {
				Schema, Outcome, Product string
				Assessments              map[string]string
				Build                    struct{ Exact, Low, High postern.Build }
				Members                  []struct{ Host string }
			}
			if err := json.Unmarshal(l, &o); err != nil {
				t.Fatalf("%s: %v", l, err)
			}
			if o.Schema != "postern.exposure/1" || !bytes.HasSuffix(l, []byte("}\n")) {
				t.Fatalf("line %s", l)
			}
			n[o.Outcome]++
			n[o.Assessments["CVE-2021-26855"]]++
			n["members"] += len(o.Members)
			all.Write(l)
		}
		return all.String(), n
	}
	a, n := read()
	if b, _ := read(); a != b {
		t.Error("the same options give other lines")
	}
	for _, want := range []string{"exchange", "hidden", "cloud", "imitation", "not-exchange", "timeout", "refused", "members",
		"fixed", "no-fix-for-line", "undecidable", "not-affected"} {
		if n[want] == 0 {
			t.Errorf("no line says %s: %v", want, n)
		}
	}
	by.Insight = 1
	if _, n := read(); n["unfixed-or-mitigated"] == 0 {
		t.Errorf("with full insight: %v", n)
	}
	if _, err := Observe(options(10, Country), Observer{Scans: []Scan{{Day: -1}}}); err == nil {
		t.Error("a scan on day -1 is taken")
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Hosts: 5}, {Releases: releases()}, {Hosts: MaxHosts + 1, Releases: releases()}, {Hosts: 5, Releases: releases(), Mix: "soup"},
		{Hosts: 5, Releases: releases(), Day: -1}, {Hosts: 5, Releases: releases(), Port: 70000},
		{Hosts: 5, Releases: []Release{{}}}, {Hosts: 5, Releases: releases()[:0]},
	} {
		if _, err := newPopulation(o); err == nil {
			t.Errorf("taken: %d hosts, mix %q, day %d, port %d, %d releases", o.Hosts, o.Mix, o.Day, o.Port, len(o.Releases))
		}
	}
}

// FuzzRead asks of the reader of requests that it ends, whatever comes, and never
// takes more than the head it allows.
func FuzzRead(f *testing.F) {
	f.Add([]byte("GET /owa/ HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("GET /owa/auth/logon.aspx?url=x&reason=0 HTTP/1.0\nContent-Length: 5\n\nhello"))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fl := &Fleet{}
		h := host{kind: Direct}
		r := bytes.NewReader(b)
		q, _, err := fl.read(bufio.NewReaderSize(r, maxHead), &h)
		if err == nil && (q.method == "" || !bytes.Contains(b, []byte(q.path))) {
			t.Errorf("read %+v from %q", q, b)
		}
		if took := len(b) - r.Len(); took > 2*maxHead {
			t.Errorf("took %d bytes", took)
		}
		if len(fl.odd) > 0 && len(fl.odd[0]) > 2000 {
			t.Errorf("keeps %d bytes", len(fl.odd[0]))
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	o := options(1_000_000, Exchange)
	lines, err := Observe(o, Observer{Scans: []Scan{{Day: 10}, {Day: 20}, {Day: 30}}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	n, size := 0, 0
	for l := range lines {
		size += len(l)
		if n++; n == b.N {
			break
		}
	}
	b.SetBytes(int64(size / max(n, 1)))
}
