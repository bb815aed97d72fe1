package probe

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"postern"
	"postern/internal/exposure"
)

// host is a server on loopback that does what a test says with each connection.
type host struct {
	place exposure.Place
	mu    sync.Mutex
	asked []string // request lines and headers, as they came
	conns int
}

func serve(t *testing.T, handle func(h *host, c net.Conn, n int)) *host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	h := &host{place: exposure.Place{Name: "mail.alpha.example", Address: at.Addr(), Port: at.Port()}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns++
			n := h.conns
			h.mu.Unlock()
			go func() {
				defer c.Close()
				handle(h, c, n)
			}()
		}
	}()
	return h
}

// answers speaks HTTP: one text for each request, in turn, then the end.
func (h *host) answers(c net.Conn, texts ...string) {
	br := bufio.NewReader(c)
	for _, text := range texts {
		var head strings.Builder
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
			head.WriteString(line)
		}
		h.mu.Lock()
		h.asked = append(h.asked, head.String())
		h.mu.Unlock()
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
	}
}

func ok(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + length(body) + "\r\n\r\n" + body
}

// certificates are made once: RSA keys take time.
var certificates = sync.OnceValue(func() map[string]tls.Certificate {
	all := map[string]tls.Certificate{}
	add := func(name string, key any, public any) {
		t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "EX01"}, DNSNames: []string{"EX01", "EX01.alpha.local"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, t, t, public, key)
		if err != nil {
			panic(err)
		}
		all[name] = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	e, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add("ecdsa", e, &e.PublicKey)
	r, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	add("rsa1024", r, &r.PublicKey)
	sha1 := all["rsa1024"]
	sha1.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PKCS1WithSHA1}
	all["sha1"] = sha1
	return all
})

// ledger is a working one in memory.
type ledger struct {
	mu    sync.Mutex
	left  int
	until time.Time
}

func (l *ledger) Spend(netip.Addr) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left--
	return l.left >= 0, nil
}
func (l *ledger) Spent(netip.Addr) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left <= 0, nil
}
func (l *ledger) Hold(_ netip.Addr, t time.Time) error { l.until = t; return nil }
func (l *ledger) Held(netip.Addr) time.Time            { return l.until }

// list asks for the same places whatever the answers.
type list struct {
	paths   []string
	answers []exposure.Answer
}

func (r *list) Next() (string, bool) {
	if len(r.answers) >= len(r.paths) {
		return "", false
	}
	return r.paths[len(r.answers)], true
}
func (r *list) Add(a *exposure.Answer) {
	b := *a
	b.Body = append([]byte(nil), a.Body...)
	r.answers = append(r.answers, b)
}
func (r *list) Conclude(o *exposure.Observation) {
	o.Outcome, o.Why = exposure.NotExchange, postern.Say("test.nothing")
	for _, a := range r.answers {
		if a.Get("X-OWA-Version") != "" {
			o.Outcome = exposure.Exchange
		}
	}
}

// openWall lets everybody through; its owner has the right to ask.
type openWall struct{}

func (openWall) Dial(ctx context.Context, p exposure.Place) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", p.AddrPort().String())
}
func (openWall) Check(exposure.Place) *exposure.Stop                   { return nil }
func (openWall) CheckCertificate(*exposure.Certificate) *exposure.Stop { return nil }

// freeLedger counts nothing.
type freeLedger struct{}

func (freeLedger) Spend(netip.Addr) (bool, error)   { return true, nil }
func (freeLedger) Spent(netip.Addr) (bool, error)   { return false, nil }
func (freeLedger) Hold(netip.Addr, time.Time) error { return nil }
func (freeLedger) Held(netip.Addr) time.Time        { return time.Time{} }

// oneAtATime is a wall that does not like two connections at once.
type oneAtATime struct {
	Wall
	t    *testing.T
	open atomic.Int32
}

func (w *oneAtATime) Dial(ctx context.Context, p exposure.Place) (net.Conn, error) {
	if w.open.Add(1) != 1 {
		w.t.Error("two connections at once")
	}
	c, err := w.Wall.Dial(ctx, p)
	if err != nil {
		w.open.Add(-1)
		return nil, err
	}
	return &counted{Conn: c, done: sync.OnceFunc(func() { w.open.Add(-1) })}, nil
}

type counted struct {
	net.Conn
	done func()
}

func (c *counted) Close() error { c.done(); return c.Conn.Close() }

// testWall is one that a test can shut.
type testWall struct {
	openWall
	mu   sync.Mutex
	shut bool
	cert bool // the certificate has opted out
}

func (w *testWall) Check(exposure.Place) *exposure.Stop {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return &exposure.Stop{Outcome: exposure.OptedOut, Why: postern.Say("test.optout")}
	}
	return nil
}

func (w *testWall) CheckCertificate(*exposure.Certificate) *exposure.Stop {
	if w.cert {
		return &exposure.Stop{Outcome: exposure.OptedOut, Why: postern.Say("test.optout")}
	}
	return nil
}

// look visits a host once and gives what was read.
func look(t *testing.T, h *host, change func(*Options, *exposure.Place), paths ...string) (exposure.Observation, *list, time.Duration) {
	t.Helper()
	r := &list{paths: paths}
	var seen *exposure.Visit
	o := Options{Wall: openWall{}, Ledger: &ledger{left: MaxRequests}, Contact: "test@postern.example", Timeout: 2 * time.Second, Gate: NewGate(4),
		Begin: func(v *exposure.Visit) Reader { seen = v; return r }}
	place := h.place
	if change != nil {
		change(&o, &place)
	}
	o.Wall = &oneAtATime{Wall: o.Wall, t: t}
	var got exposure.Observation
	again := New(o).Look(context.Background(), place, Known{}, &got)
	if seen != nil && seen.TLS != nil && got.TLS.Version != seen.TLS.Version {
		t.Errorf("the reader was told TLS %q, the record says %q", seen.TLS.Version, got.TLS.Version)
	}
	return got, r, again
}

func plain(_ *Options, p *exposure.Place) { p.Plain = true }

func TestProfiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, cert       string
		config           *tls.Config
		version, profile string
	}{
		{"today", "ecdsa", &tls.Config{}, "1.3", "modern"},
		{"TLS 1.2", "ecdsa", &tls.Config{MaxVersion: tls.VersionTLS12}, "1.2", "modern"},
		{"TLS 1.0", "ecdsa", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, "1.0", "legacy"},
		{"TLS 1.1, short key", "rsa1024", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "1.1", "legacy"},
		{"key exchange by RSA", "rsa1024", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, "1.2", "legacy"},
		{"3DES", "rsa1024", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}}, "1.0", "legacy"},
		{"nothing of TLS 1.2", "rsa1024", &tls.Config{MinVersion: tls.VersionTLS10, GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
			if slices.Max(i.SupportedVersions) > tls.VersionTLS11 {
				return nil, errors.New("no signature that we both know")
			}
			return nil, nil
		}}, "1.1", "legacy"},
		{"TLS 1.2 with no signature but SHA-1", "sha1", &tls.Config{MaxVersion: tls.VersionTLS12}, "1.2", "modern"},
		{"RC4", "rsa1024", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}}, "1.0", "legacy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := c.config.Clone()
			config.Certificates = []tls.Certificate{certificates()[c.cert]}
			h := serve(t, func(h *host, c net.Conn, _ int) { h.answers(tls.Server(c, config), ok("hello")) })
			o, r, _ := look(t, h, nil, "/")
			if len(r.answers) != 1 || string(r.answers[0].Body) != "hello" || o.TLS.Version != c.version || o.TLS.Profile != c.profile {
				t.Errorf("%d answers, TLS %+v, %s %v; want %s %s", len(r.answers), o.TLS, o.Outcome, o.Why, c.version, c.profile)
			}
		})
	}
}

// TestHTTP2OnlyHost: a host that says so in the handshake, and one that says so when it
// is asked in HTTP/1.1.
func TestHTTP2OnlyHost(t *testing.T) {
	t.Parallel()
	config := &tls.Config{Certificates: []tls.Certificate{certificates()["ecdsa"]}, NextProtos: []string{"h2"}}
	for name, first := range map[string]func(net.Conn){
		"alert": func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 120}) // fatal: no application protocol
			_, _ = io.Copy(io.Discard, c)
		},
		"frame": func(c net.Conn) {
			s := tls.Server(c, config)
			_, _ = s.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // empty SETTINGS
			_, _ = io.Copy(io.Discard, s)
		},
	} {
		h := serve(t, func(h *host, c net.Conn, n int) {
			if n == 1 {
				first(c)
				return
			}
			s := tls.Server(c, config)
			if s.Handshake() != nil {
				return
			}
			(&http2.Server{}).ServeConn(s, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if len(r.Header) != 2 || r.Method != "GET" || !strings.Contains(r.UserAgent(), Hash()[:16]) {
					t.Errorf("request %s %v", r.Method, r.Header)
				}
				w.Header().Set("X-OWA-Version", "15.2.1748.36")
				_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
			})})
		})
		o, r, _ := look(t, h, nil, "/", "/owa/")
		if o.Outcome != exposure.Exchange || len(r.answers) != 2 || len(r.answers[0].Body) != maxBody || r.answers[0].Get("X-OWA-Version") != "15.2.1748.36" {
			t.Errorf("%s: %s %v, %d answers", name, o.Outcome, o.Why, len(r.answers))
		}
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(closed.Addr().String())
	closed.Close()
	garbage := func(_ *host, c net.Conn, _ int) {
		_, _ = io.WriteString(c, "SSH-2.0-alpha\r\n")
		_, _ = io.Copy(io.Discard, c)
	}
	short := func(o *Options, _ *exposure.Place) { o.Timeout = 200 * time.Millisecond }
	for _, c := range []struct {
		name   string
		handle func(*host, net.Conn, int)
		change func(*Options, *exposure.Place)
		want   exposure.Outcome
		why    string
	}{
		{"closed port", garbage, func(_ *Options, p *exposure.Place) { p.Port = at.Port() }, exposure.Refused, "exposure.probe.refused"},
		{"silent", func(_ *host, c net.Conn, _ int) { _, _ = io.Copy(io.Discard, c) }, short, exposure.Timeout, "exposure.probe.timeout"},
		{"silent in the clear", func(_ *host, c net.Conn, _ int) { _, _ = io.Copy(io.Discard, c) },
			func(o *Options, p *exposure.Place) { short(o, p); p.Plain = true }, exposure.Timeout, "exposure.probe.timeout"},
		{"hangs up", func(_ *host, c net.Conn, _ int) {}, nil, exposure.Reset, "exposure.probe.reset"},
		{"no TLS", garbage, nil, exposure.TLSError, "exposure.probe.not-tls"},
		{"no HTTP", garbage, plain, exposure.NotExchange, "exposure.probe.not-http"},
		{"hangs up after the request", func(h *host, c net.Conn, _ int) { h.answers(c, "") }, plain, exposure.Reset, "exposure.probe.reset"},
		{"drips", func(h *host, c net.Conn, _ int) {
			h.answers(c, "HTTP/1.1 200 OK\r\nX: ")
			for {
				if _, err := io.WriteString(c, "y"); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond) // a host's slowness cannot be had without time
			}
		}, func(o *Options, p *exposure.Place) { short(o, p); p.Plain = true }, exposure.Timeout, "exposure.probe.timeout"},
		{"does not want our handshake", func(_ *host, c net.Conn, _ int) {
			_ = tls.Server(c, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }}).Handshake()
		}, nil, exposure.TLSError, "exposure.probe.alert"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := serve(t, c.handle)
			start := time.Now()
			o, _, _ := look(t, h, c.change, "/")
			if o.Outcome != c.want || o.Why.Key != c.why {
				t.Errorf("%s %v, want %s %s", o.Outcome, o.Why, c.want, c.why)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestPlainHTTPOnATLSPort(t *testing.T) {
	t.Parallel()
	h := serve(t, func(h *host, c net.Conn, n int) {
		if n == 1 { // a handshake in the clear is a bad request
			_, _ = bufio.NewReader(c).ReadByte()
			_, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
			return
		}
		h.answers(c, ok("a"))
	})
	o, r, _ := look(t, h, nil, "/")
	if len(r.answers) != 1 || o.TLS.Version != "" {
		t.Errorf("%s %v, %d answers", o.Outcome, o.Why, len(r.answers))
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	h := serve(t, func(h *host, c net.Conn, _ int) { h.answers(c, ok("1"), ok("2"), ok("3")) })
	o, r, _ := look(t, h, func(o *Options, p *exposure.Place) { p.Plain = true; o.Ledger = &ledger{left: 2} }, "/", "/owa/", "/owa/auth/logon.aspx")
	if len(h.asked) != 2 || len(r.answers) != 2 || o.Requests != 2 || o.Outcome != exposure.Aborted || o.Why.Key != "exposure.stop.budget" {
		t.Errorf("%d requests of a share of 2: %s %v", len(h.asked), o.Outcome, o.Why)
	}
}

// TestShareIsSpent: a host that has had its share, under another name perhaps, is not even
// connected to.
func TestShareIsSpent(t *testing.T) {
	t.Parallel()
	var connected atomic.Int32
	h := serve(t, func(h *host, c net.Conn, _ int) { connected.Add(1); h.answers(c, ok("1")) })
	o, r, again := look(t, h, func(o *Options, p *exposure.Place) { p.Plain = true; o.Ledger = &ledger{} }, "/")
	if connected.Load() != 0 || len(r.answers) != 0 || o.Requests != 0 || again != 0 || o.Outcome != exposure.Aborted || o.Why.Key != "exposure.stop.budget" {
		t.Errorf("%d connections, %d requests, again after %v: %s %v", connected.Load(), o.Requests, again, o.Outcome, o.Why)
	}
}

// before reads a host at which an Exchange was seen before, and nothing now.
type before struct{ list }

func (r *before) Conclude(o *exposure.Observation) {
	o.Outcome, o.Why = exposure.Hidden, postern.Say(exposure.KnownBefore)
}

// TestHiddenWhenAllWasAsked: a host where an Exchange was seen before is not said to be shut
// away because it is busy, falls silent, or has had its share.
func TestHiddenWhenAllWasAsked(t *testing.T) {
	t.Parallel()
	no := "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
	for _, c := range []struct {
		name  string
		says  []string
		share int
		want  exposure.Outcome
	}{
		{"all was asked", []string{no, no}, MaxRequests, exposure.Hidden},
		{"busy", []string{"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"}, MaxRequests, exposure.Aborted},
		{"hangs up", []string{no}, MaxRequests, exposure.Reset},
		{"no share left", []string{no, no}, 1, exposure.Aborted},
	} {
		h := serve(t, func(h *host, conn net.Conn, n int) {
			if n == 1 {
				h.answers(conn, c.says...)
			}
		})
		r := &before{list{paths: []string{"/", "/owa/"}}}
		var o exposure.Observation
		place := h.place
		place.Plain = true
		New(Options{Wall: openWall{}, Ledger: &ledger{left: c.share}, Contact: "test@postern.example", Timeout: 2 * time.Second, Gate: NewGate(1),
			Begin: func(*exposure.Visit) Reader { return r }}).Look(context.Background(), place, Known{}, &o)
		if o.Outcome != c.want {
			t.Errorf("%s: %s %v", c.name, o.Outcome, o.Why)
		}
	}
}

// brokenLedger cannot write down any more.
type brokenLedger struct{ freeLedger }

func (brokenLedger) Spend(netip.Addr) (bool, error) {
	return false, errors.New("no space left on device")
}

// TestNothingIsSentUncounted: when the ledger cannot be written, no request leaves and
// whoever runs the scan is told.
func TestNothingIsSentUncounted(t *testing.T) {
	t.Parallel()
	h := serve(t, func(h *host, c net.Conn, _ int) { h.answers(c, ok("1")) })
	told := 0
	o, r, again := look(t, h, func(o *Options, p *exposure.Place) {
		p.Plain, o.Ledger, o.Fail = true, brokenLedger{}, func(error) { told++ }
	}, "/")
	if len(h.asked) != 0 || len(r.answers) != 0 || told != 1 || o.Outcome != exposure.Aborted || o.Why.Key != "exposure.stop.shortage" || again == 0 {
		t.Errorf("%d requests, told %d times, %s %v, again after %v", len(h.asked), told, o.Outcome, o.Why, again)
	}
}

// TestHello: the modern handshake offers what browsers do, with two curves.
func TestHello(t *testing.T) {
	t.Parallel()
	var got *tls.ClientHelloInfo
	config := &tls.Config{Certificates: []tls.Certificate{certificates()["ecdsa"]}, GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) { got = i; return nil, nil }}
	h := serve(t, func(h *host, c net.Conn, _ int) { h.answers(tls.Server(c, config), ok("x")) })
	look(t, h, nil, "/")
	if got == nil || !slices.Equal(got.SupportedCurves, []tls.CurveID{tls.X25519, tls.CurveP256}) || got.ServerName != "mail.alpha.example" ||
		!slices.Equal(got.SupportedProtos, []string{"http/1.1"}) || slices.Min(got.SupportedVersions) != tls.VersionTLS12 {
		t.Errorf("offered %+v", got)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, retry := range []struct {
		value string
		want  time.Duration
	}{{"30", 30 * time.Second}, {time.Now().UTC().Add(time.Hour).Format(http.TimeFormat), time.Hour}, {"0", 0}, {"soon", 0}, {"-5", 0}, {"999999999", 24 * time.Hour}} {
		h := serve(t, func(h *host, c net.Conn, _ int) {
			h.answers(c, "HTTP/1.1 503 Busy\r\nRetry-After: "+retry.value+"\r\nContent-Length: 0\r\n\r\n", ok("2"))
		})
		l := &ledger{left: 6}
		o, r, again := look(t, h, func(o *Options, p *exposure.Place) { p.Plain = true; o.Ledger = l }, "/", "/owa/")
		if (again-retry.want).Abs() > 2*time.Second || retry.want > 0 && (len(r.answers) != 1 || o.Outcome != exposure.Aborted || l.until.IsZero()) || retry.want == 0 && len(r.answers) != 2 {
			t.Errorf("%q: again after %v with %d answers: %s", retry.value, again, len(r.answers), o.Outcome)
		}
	}
}

func TestHeldHostIsNotContacted(t *testing.T) {
	t.Parallel()
	h := serve(t, func(h *host, c net.Conn, _ int) {})
	o, _, again := look(t, h, func(o *Options, _ *exposure.Place) { o.Ledger = &ledger{left: 6, until: time.Now().Add(time.Minute)} }, "/")
	if h.conns != 0 || o.Outcome != exposure.Aborted || again < 50*time.Second {
		t.Errorf("%d connections, %s, again after %v", h.conns, o.Outcome, again)
	}
}

func TestOptOutDuringVisit(t *testing.T) {
	t.Parallel()
	w := &testWall{}
	h := serve(t, func(h *host, c net.Conn, _ int) {
		h.answers(c, "HTTP/1.1 200 OK\r\nX-OWA-Version: 15.2.1748.36\r\nContent-Length: 0\r\n\r\n")
		w.mu.Lock()
		w.shut = true
		w.mu.Unlock()
		h.answers(c, ok("2"))
	})
	o, _, _ := look(t, h, func(o *Options, p *exposure.Place) { p.Plain = true; o.Wall = w }, "/", "/owa/", "/")
	if o.Outcome != exposure.OptedOut || len(o.Evidence) > 0 || o.Identity.Frontend != "" || len(h.asked) > 2 {
		t.Errorf("%s after %d requests", o.Outcome, len(h.asked))
	}
}

func TestOptOutByCertificate(t *testing.T) {
	t.Parallel()
	config := &tls.Config{Certificates: []tls.Certificate{certificates()["ecdsa"]}}
	h := serve(t, func(h *host, c net.Conn, _ int) { h.answers(tls.Server(c, config), ok("x")) })
	o, _, _ := look(t, h, func(o *Options, _ *exposure.Place) { o.Wall = &testWall{cert: true} }, "/")
	if o.Outcome != exposure.OptedOut || len(h.asked) != 0 || h.conns != 1 || o.Requests != 0 || o.Identity.CertificateSHA256 != "" {
		t.Errorf("%s after %d requests on %d connections: %+v", o.Outcome, len(h.asked), h.conns, o.Identity)
	}
}

// TestWhatNobodyAskedFor: bytes after an answer are never read as the next one.
func TestWhatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	h := serve(t, func(h *host, c net.Conn, _ int) {
		h.answers(c, ok("a")+"HTTP/1.1 200 OK\r\nX-OWA-Version: 1\r\nContent-Length: 0\r\n\r\n")
	})
	o, r, _ := look(t, h, plain, "/", "/owa/")
	if len(r.answers) != 2 || h.conns != 2 || o.Outcome != exposure.NotExchange || string(r.answers[1].Body) != "a" {
		t.Errorf("%d answers on %d connections: %s", len(r.answers), h.conns, o.Outcome)
	}
}

// TestRedirects: the query of a redirect is used twice at most, on the same host only.
func TestRedirects(t *testing.T) {
	t.Parallel()
	away := "HTTP/1.1 302 Found\r\nLocation: /owa/auth/logon.aspx?reason=0\r\nContent-Length: 0\r\n\r\n"
	h := serve(t, func(h *host, c net.Conn, _ int) { h.answers(c, away, away, away, away, away) })
	logon := "/owa/auth/logon.aspx"
	_, r, _ := look(t, h, plain, "/", logon, logon, logon, "/owa/")
	var got []string
	for _, a := range h.asked {
		got = append(got, strings.Fields(a)[1])
	}
	if want := "/ " + logon + "?reason=0 " + logon + "?reason=0 " + logon + " /owa/"; strings.Join(got, " ") != want || len(r.answers) != 5 {
		t.Errorf("asked for %v, want %s", got, want)
	}
}

func TestInterruption(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	h := serve(t, func(h *host, c net.Conn, _ int) { h.answers(c, ""); cancel(); _, _ = io.Copy(io.Discard, c) })
	h.place.Plain = true
	p := New(Options{Wall: openWall{}, Ledger: freeLedger{}, Contact: "t@t.example", Timeout: time.Minute, Gate: NewGate(1), Begin: func(*exposure.Visit) Reader { return &list{paths: []string{"/"}} }})
	var o exposure.Observation
	p.Look(ctx, h.place, Known{}, &o)
	if o.Outcome != exposure.Aborted {
		t.Errorf("%s %v", o.Outcome, o.Why)
	}
}

// TestGateLends: silent hosts do not keep others from being looked at.
func TestGateLends(t *testing.T) {
	t.Parallel()
	silent := serve(t, func(_ *host, c net.Conn, _ int) { _, _ = io.Copy(io.Discard, c) })
	live := serve(t, func(h *host, c net.Conn, _ int) { h.answers(c, ok("x")) })
	live.place.Plain, silent.place.Plain = true, true
	p := New(Options{Wall: openWall{}, Ledger: freeLedger{}, Contact: "t@t.example", Timeout: 3 * time.Second, Gate: NewGate(1), Begin: func(*exposure.Visit) Reader { return &list{paths: []string{"/"}} }})
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			var o exposure.Observation
			p.Look(ctx, silent.place, Known{}, &o)
		})
	}
	var o exposure.Observation
	start := time.Now()
	p.Look(ctx, live.place, Known{}, &o)
	if took := time.Since(start); o.Outcome != exposure.NotExchange || took > 2500*time.Millisecond {
		t.Errorf("%s after %v", o.Outcome, took)
	}
	cancel()
	wait.Wait()
}
