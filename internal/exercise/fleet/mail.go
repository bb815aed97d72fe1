package fleet

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// Bounds of a conversation about mail.
const (
	maxMailLine     = 2 << 10 // RFC 5321 asks for 512 bytes, and more for some extensions
	maxMailCommands = 50
)

// servePort25 is shape S18: what an Exchange says to another mail server before any mail.
// It takes none. The closed request set has nothing of it: whoever asks is remembered.
func (f *Fleet) servePort25(c net.Conn) {
	a, ok := called(c)
	m := f.now.Load()
	h, found := f.find(a, m)
	if !ok || !found {
		reset(c)
		return
	}
	f.counts[h.index].Add(1)
	kind, away := h.on(f.p, m.day)
	if away != "" || !kind.IsExchange() || kind == Restricted {
		reset(c)
		return
	}
	_ = c.SetDeadline(time.Now().Add(visitTime))
	f.unexpected(&h, "mail")
	s := f.p.server(&h, kind, 0, m.day)
	clock := f.p.o.Now().UTC()
	s.date = Date(m.day).Add(clock.Sub(clock.Truncate(24 * time.Hour)))
	fmt.Fprintf(c, "220 %s Microsoft ESMTP MAIL Service ready at %s\r\n", s.fqdn, s.date.Format(time.RFC1123Z))
	if s.mail(c, false) && f.secure(&c, &h) {
		s.mail(c, true)
	}
}

// secure goes on with TLS after STARTTLS.
func (f *Fleet) secure(c *net.Conn, h *host) bool {
	t := tls.Server(*c, f.tlsOf(h))
	*c = t
	return t.Handshake() == nil
}

// mail speaks until the visitor leaves; true if the visitor wants TLS first.
func (s *server) mail(c net.Conn, secret bool) (startTLS bool) {
	r := bufio.NewReaderSize(c, maxMailLine)
	for range maxMailCommands {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false
		}
		word, _, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		reply := "500 5.3.3 Unrecognized command"
		switch strings.ToUpper(word) {
		case "EHLO":
			reply = s.extensions(c, secret)
		case "HELO":
			reply = "250 " + s.hello(c)
		case "NOOP", "RSET":
			reply = "250 2.0.0 OK"
		case "STARTTLS":
			if !secret {
				_, err := fmt.Fprint(c, "220 2.0.0 SMTP server ready\r\n")
				return err == nil && r.Buffered() == 0 // what was sent ahead was not secret
			}
		case "QUIT":
			fmt.Fprint(c, "221 2.0.0 Service closing transmission channel\r\n")
			return false
		case "MAIL", "RCPT", "DATA", "BDAT", "AUTH", "X-EXPS", "X-ANONYMOUSTLS", "VRFY", "EXPN":
			reply = "550 5.7.1 An exercise takes no mail and signs nobody in"
		}
		if _, err := fmt.Fprint(c, reply+"\r\n"); err != nil {
			return false
		}
	}
	return false
}

func (s *server) hello(c net.Conn) string {
	from := "127.0.0.1"
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		from = t.IP.String()
	}
	return s.fqdn + " Hello [" + from + "]"
}

// extensions is the answer to EHLO: 2013 brought XRDST and 2016 SMTPUTF8.
func (s *server) extensions(c net.Conn, secret bool) string {
	words := []string{s.hello(c), "SIZE 37748736", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES"}
	if !secret {
		words = append(words, "STARTTLS", "X-ANONYMOUSTLS")
	}
	words = append(words, "AUTH NTLM", "X-EXPS GSSAPI NTLM", "8BITMIME", "BINARYMIME", "CHUNKING")
	switch s.line.edition {
	case "exchange-2007", "exchange-2010":
	case "exchange-2013":
		words = append(words, "XRDST")
	default:
		words = append(words, "SMTPUTF8", "XRDST")
	}
	last := len(words) - 1
	return "250-" + strings.Join(words[:last], "\r\n250-") + "\r\n250 " + words[last]
}
