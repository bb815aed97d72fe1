//go:build unix

package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/exposure"
)

// The benchmarks hold the prober against a client that a patient person would write
// by hand for the same three pages, against one server in a process of its own:
//
//	go test ./internal/exposure/probe -run NONE -bench Client -benchtime 2000x -count 5
//
// What counts is cpu-us/host, user and system time of this process alone, and the
// ratio between the two.

const serveVariable = "POSTERN_PROBE_BENCH_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		benchServer(os.Getenv(serveVariable))
		return
	}
	if err := AllowOldServers(); err != nil { // as the command does
		panic(err)
	}
	os.Exit(m.Run())
}

// benchPages are what the server answers: sizes as real ones have.
func benchPages() map[string]string {
	head := "Server: Microsoft-IIS/10.0\r\nrequest-id: 0f0f3b54-8f0e-4d6e-9a9e-5c1c4f7f0c11\r\nX-AspNet-Version: 4.0.30319\r\nX-Powered-By: ASP.NET\r\nX-FEServer: EX01\r\nDate: Thu, 18 Mar 2021 09:12:44 GMT\r\n"
	page := `<!-- OwaPage = ASP.auth_logon_aspx --><link href="/owa/auth/15.2.858/themes/resources/favicon.ico">` + strings.Repeat("<div class=\"signInInputText\">text of the page</div>\r\n", 1100)
	tool := `<assemblyIdentity name="microsoft.exchange.ediscovery.exporttool.application" version="15.2.858.10" />` + strings.Repeat("<dependency/>\n", 1100)
	answer := func(status, body string) string {
		return "HTTP/1.1 " + status + "\r\n" + head + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	return map[string]string{
		"/autodiscover/autodiscover.xml": answer("401 Unauthorized", ""),
		"/owa/auth/logon.aspx":           answer("200 OK", page),
		"/ecp/Current/exporttool/microsoft.exchange.ediscovery.exporttool.application": answer("200 OK", tool),
	}
}

var benchOrder = []string{"/autodiscover/autodiscover.xml", "/owa/auth/logon.aspx", "/ecp/Current/exporttool/microsoft.exchange.ediscovery.exporttool.application"}

func benchServer(kind string) {
	plain := kind == "plain"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var key crypto.Signer
	key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if bits, ok := strings.CutPrefix(kind, "rsa-"); ok {
		n, _ := strconv.Atoi(bits)
		if key, err = rsa.GenerateKey(rand.Reader, n); err != nil {
			panic(err)
		}
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "EX01"}, DNSNames: []string{"EX01", "EX01.alpha.local"}, NotAfter: time.Now().Add(time.Hour)}
	der, _ := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"http/1.1"}}
	fmt.Println(l.Addr())
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
	pages := benchPages()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if !plain {
				c = tls.Server(c, config)
			}
			br := bufio.NewReader(c)
			for {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				for rest := "x"; strings.TrimSpace(rest) != ""; {
					if rest, err = br.ReadString('\n'); err != nil {
						return
					}
				}
				if _, err := io.WriteString(c, pages[strings.Fields(line)[1]]); err != nil {
					return
				}
			}
		}()
	}
}

// startServer runs the server in a process of its own.
func startServer(b testing.TB, kind string, env ...string) exposure.Place {
	cmd := exec.Command(os.Args[0], "-test.run", "NONE")
	cmd.Env = append(append(os.Environ(), serveVariable+"="+kind), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	at := netip.MustParseAddrPort(strings.TrimSpace(line))
	return exposure.Place{Address: at.Addr(), Port: at.Port(), Plain: kind == "plain"}
}

// script asks for the pages in their order and looks for the version in them, as the
// hand-written client does.
type script struct {
	at    int
	found bool
}

func (s *script) Next() (string, bool) {
	if s.at == len(benchOrder) {
		return "", false
	}
	return benchOrder[s.at], true
}

func (s *script) Add(a *exposure.Answer) {
	s.at++
	s.found = s.found || bytes.Contains(a.Body, []byte("15.2.858"))
}

func (s *script) Conclude(o *exposure.Observation) { o.Outcome = exposure.Exchange }

// minimal is the hand-written client: the same handshake and the same requests.
func minimal(at exposure.Place) error {
	var c net.Conn
	c, err := net.DialTimeout("tcp", at.AddrPort().String(), 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if !at.Plain {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}})
	}
	br := bufio.NewReader(c)
	found := false
	for _, path := range benchOrder {
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: "+at.Host()+"\r\nUser-Agent: minimal\r\nAccept: */*\r\n\r\n"); err != nil {
			return err
		}
		length := 0
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return err
			}
			if line = strings.TrimSpace(line); line == "" {
				break
			}
			if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
				length, _ = strconv.Atoi(v)
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(br, body); err != nil {
			return err
		}
		found = found || bytes.Contains(body, []byte("15.2.858"))
	}
	if !found {
		return fmt.Errorf("no version")
	}
	return nil
}

// TestShortKeys: hosts with RSA keys that nobody should have are looked at like others.
func TestShortKeys(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"rsa-512", "rsa-1024"} {
		at := startServer(t, kind, "GODEBUG=rsa1024min=0")
		o, r, _ := look(t, &host{place: at}, nil, benchOrder[0])
		if len(r.answers) != 1 || r.answers[0].Status == 0 || o.Identity.CertificateSHA256 != "" && o.Requests != 1 {
			t.Errorf("%s: %d answers, %s %v, TLS %+v, %d requests", kind, len(r.answers), o.Outcome, o.Why, o.TLS, o.Requests)
		}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkClient(b *testing.B) {
	for _, kind := range []string{"tls", "plain"} {
		at := startServer(b, kind)
		run := func(name string, visit func() error) {
			b.Run(kind+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				start := cpu()
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := visit(); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64((cpu()-start).Microseconds())/float64(b.N), "cpu-us/host")
			})
		}
		run("minimal", func() error { return minimal(at) })
		p := New(Options{Wall: openWall{}, Ledger: freeLedger{}, Begin: func(*exposure.Visit) Reader { return &script{} }, Contact: "bench@postern.example", Timeout: 10 * time.Second, Gate: NewGate(16)})
		run("prober", func() error {
			var o exposure.Observation
			p.Look(context.Background(), at, Known{}, &o)
			if o.Outcome != exposure.Exchange || o.Requests != 3 {
				return fmt.Errorf("%s after %d requests: %s", o.Outcome, o.Requests, o.Why.Key)
			}
			return nil
		})
	}
}
