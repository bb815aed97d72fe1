package fleet

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Bounds of what one attack costs the fleet itself.
const (
	attackTime  = 90 * time.Second // longer than any sensible deadline of a visitor
	attackBytes = 64 << 20         // more than any visitor should read
	bombBytes   = 64 << 20         // what the compressed page becomes
)

// attack is a way to harm whoever looks. Exactly one of its three functions is set.
type attack struct {
	name string
	// raw has the connection before TLS and never hands it back.
	raw func(c net.Conn)
	// speak has the connection after a request was read, and never hands it back.
	speak func(s *stranger, c net.Conn, q request)
	// reply is an answer that is well-formed on the wire and hostile in what it says.
	reply func(s *stranger, q request) answer
	// certificate is true if the harm is in the certificate.
	certificate bool
}

// markup is a harmless text with everything that an output has to escape: markup,
// quotes, terminal escapes, a formula, invalid UTF-8, a reversed direction.
const markup = "=1+1\"'><b onmouseover=1>&amp;\x1b[31m\x07\xff\xfe\u202e;,`${x}"

const okHead = "HTTP/1.1 200 OK\r\nServer: Microsoft-IIS/10.0\r\nContent-Type: text/html\r\n"

// attacks gives all of them.
func attacks() []attack {
	forever := func(c net.Conn, piece []byte) {
		for sent := 0; sent < attackBytes; sent += len(piece) {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}
	drip := func(c net.Conn, text string) {
		for i := 0; i < int(attackTime/time.Second); i++ {
			if _, err := io.WriteString(c, text[i%len(text):i%len(text)+1]); err != nil {
				return
			}
			pause(c, time.Second)
		}
	}
	hold := func(c net.Conn) { pause(c, attackTime) }
	return []attack{
		{name: "reset", raw: func(c net.Conn) { reset(c) }},
		{name: "silent", raw: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }},
		{name: "garbage-tls", raw: func(c net.Conn) {
			_, _ = c.Read(make([]byte, 512))
			_, _ = c.Write(bytes.Repeat([]byte{0x16, 3, 3, 0xff, 0xff, 0x80, 0x41}, 4096))
		}},
		{name: "half-handshake", raw: func(c net.Conn) {
			_, _ = c.Read(make([]byte, 512))
			_, _ = c.Write([]byte{0x16, 3, 3, 0x20, 0, 2, 0, 0x1f, 0xfc}) // promises a hello and says no more
			_, _ = io.Copy(io.Discard, c)
		}},
		{name: "not-tls", raw: func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_8.4\r\n"); _, _ = io.Copy(io.Discard, c) }},
		{name: "alert", raw: func(c net.Conn) { _, _ = c.Read(make([]byte, 512)); _, _ = c.Write([]byte{0x15, 3, 1, 0, 2, 2, 40}) }},
		{name: "huge-certificate", certificate: true, reply: func(s *stranger, q request) answer { return page("nginx", "Welcome", "it works") }},
		{name: "endless-body", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, okHead+"\r\n")
			forever(c, bytes.Repeat([]byte("<p>more</p>"), 1500))
		}},
		{name: "endless-chunks", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, okHead+"Transfer-Encoding: chunked\r\n\r\n")
			forever(c, bytes.Repeat([]byte("1\r\nx\r\n"), 2000))
		}},
		{name: "drip-body", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, okHead+"Content-Length: 60000\r\n\r\n")
			drip(c, "<html>")
		}},
		{name: "drip-head", speak: func(s *stranger, c net.Conn, q request) {
			drip(c, "HTTP/1.1 200 OK\r\nX-Filler: abcdefghijklmnopqrstuvwxyz\r\n")
		}},
		{name: "header-flood", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			var b strings.Builder
			for i := range 500 {
				fmt.Fprintf(&b, "X-Filler-%d: %d\r\n", i, i)
			}
			forever(c, []byte(b.String()))
		}},
		{name: "long-header", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-FEServer: ")
			forever(c, bytes.Repeat([]byte("A"), 16<<10))
		}},
		{name: "continue-flood", speak: func(s *stranger, c net.Conn, q request) {
			forever(c, bytes.Repeat([]byte("HTTP/1.1 100 Continue\r\n\r\n"), 500))
		}},
		{name: "gzip-bomb", reply: func(s *stranger, q request) answer {
			a := answer{status: 200, body: bomb()}
			a.add("Server", "Microsoft-IIS/10.0", "Content-Type", "text/html", "Content-Encoding", "gzip")
			return a
		}},
		{name: "redirect-loop", reply: func(s *stranger, q request) answer {
			a := answer{status: 302}
			to := "/owa/"
			if strings.EqualFold(q.path, to) {
				to = "/owa/auth/logon.aspx?url=https%3a%2f%2fx%2fowa%2f&reason=0"
			}
			a.add("Server", "Microsoft-IIS/10.0", "Location", to)
			return a
		}},
		{name: "redirect-away", reply: func(s *stranger, q request) answer {
			// To an Exchange that nobody asked about: following is a contact with a non-target.
			x := s.p.host(s.p.o.Hosts + s.h.dice.n(forVariant, s.p.others))
			port := ""
			if _, p, err := net.SplitHostPort(q.host); err == nil {
				port = ":" + p
			}
			a := answer{status: 302}
			a.add("Server", "Microsoft-IIS/10.0", "Location", "https://"+s.p.home(&x, 0).String()+port+"/owa/")
			return a
		}},
		{name: "lying-length-long", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, okHead+"Content-Length: 1099511627776\r\n\r\n<html>")
			hold(c)
		}},
		{name: "lying-length-short", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, okHead+"Content-Length: 10\r\n\r\n"+strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 50))
		}},
		{name: "two-lengths", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, okHead+"Content-Length: 5\r\nContent-Length: -1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
		}},
		{name: "bad-chunks", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, okHead+"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nxyz\r\n-5\r\n")
		}},
		{name: "status-garbage", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, "HTTP/9.9 99999 "+markup+"\r\n: nothing\r\nno colon\r\n\x00\x00\r\n\r\n")
		}},
		{name: "not-http", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, "220 mail ESMTP\r\n500 what?\r\n500 what?\r\n")
		}},
		{name: "ends-at-once", speak: func(s *stranger, c net.Conn, q request) {}},
		{name: "half-head", speak: func(s *stranger, c net.Conn, q request) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nServer: Micro")
		}},
		{name: "markup", reply: func(s *stranger, q request) answer { // in every field that a report could show
			a := answer{status: 200, body: []byte("<html><!-- OwaPage = ASP.auth_logon_aspx --><head><title>" + markup + "</title>" +
				`<link href="/owa/auth/` + markup + `/themes/resources/favicon.ico"></head><body>` + markup + "</body></html>")}
			if strings.HasSuffix(strings.ToLower(q.path), "/healthcheck.htm") {
				a.body = []byte("200 OK<br/>" + markup)
			}
			v := strings.NewReplacer("\r", "", "\n", "").Replace(markup)
			a.add("Server", v, "Content-Type", "text/html; charset="+v, "X-OWA-Version", v, "X-FEServer", v, "X-AspNet-Version", v,
				"X-Powered-By", v, "request-id", v, "WWW-Authenticate", `Bearer trusted_issuers="`+v+`@`+v+`"`, "Location", v, "Set-Cookie", v)
			return a
		}, certificate: true},
		{name: "invalid-encoding", reply: func(s *stranger, q request) answer {
			a := answer{status: 200, body: bytes.Repeat([]byte{0xc3, 0x28, 0xff, 0xfe, 0x00, 0xed, 0xa0, 0x80}, 600)}
			a.add("Server", "Microsoft-IIS/10.0", "Content-Type", "text/html; charset=utf-16le", "Content-Encoding", "gzip")
			return a
		}},
	}
}

// attackOf gives the attack of a host.
func attackOf(h *host) *attack {
	for _, a := range attacks() {
		if a.name == h.variant {
			return &a
		}
	}
	return &attack{}
}

// pause waits until the other side has left, the fleet closes, or the time is over.
func pause(c net.Conn, d time.Duration) {
	_ = c.SetReadDeadline(time.Now().Add(d))
	_, _ = io.Copy(io.Discard, c)
}

// reset ends a connection so that the other side sees a reset.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// bomb is a small body that becomes a large one: one compressed piece many times
// over, which readers of gzip take for one text.
var bomb = sync.OnceValue(func() []byte {
	const piece = 1 << 20
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(make([]byte, piece))
	_ = w.Close()
	return bytes.Repeat(b.Bytes(), bombBytes/piece)
})
