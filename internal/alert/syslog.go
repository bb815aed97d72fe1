package alert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"postern"
)

// Bounds of syslog.
const (
	// maxDatagram is what every receiver of RFC 5426 has to take whole.
	maxDatagram = 2048
	// dialTime and writeTime are what a receiver may take.
	dialTime  = 10 * time.Second
	writeTime = 10 * time.Second
	// settle is how long a connection is listened to after something was written: the
	// protocol has no answers, but whoever has gone away is told of by then.
	settle = 200 * time.Millisecond
	// maxName is the longest host name of RFC 5424.
	maxName = 255
)

// Syslog says how messages are sent.
type Syslog struct {
	Network  string // "udp", "tcp" or "tls"
	Address  string // host and port
	Facility int    // 0 to 23
	Roots    *x509.CertPool
}

// Facilities are the names of the facilities of RFC 5424, in the order of their numbers.
func Facilities() []string {
	return strings.Fields("kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clock local0 local1 local2 local3 local4 local5 local6 local7")
}

// NewSyslog makes a sink that sends every message by syslog.
func NewSyslog(s Syslog, opt Options) (Sink, error) {
	return newRemote(newSyslog(s), opt)
}

func newSyslog(s Syslog) *syslog {
	host, _ := os.Hostname()
	return &syslog{Syslog: s, host: word(host, maxName), pid: strconv.Itoa(os.Getpid())}
}

type syslog struct {
	Syslog
	host, pid string
	conn      net.Conn
}

// severities are those of RFC 5424 for the levels of findings.
var severities = [...]int{
	postern.NotSeen: 6, postern.Probed: 5, postern.Exploited: 4, postern.Privileged: 3,
	postern.Implanted: 2, postern.Used: 1, postern.PostExploitation: 1,
}

// severity ranks a message. What tells of the watch itself is a warning.
func severity(m Message) int {
	switch {
	case m.Kind == "alive":
		return 6
	case m.Kind == "problem" || m.Kind == "dropped":
		return 4
	case m.Level.Valid():
		return severities[m.Level]
	}
	return 5
}

// format writes a message as RFC 5424 has it, without structured data: the text is JSON.
func (s *syslog) format(m Message) []byte {
	body := m.Body
	if s.Network == "udp" {
		body = shorten(body, maxDatagram-maxName-100)
	}
	return fmt.Appendf(nil, "<%d>1 %s %s postern %s %s - %s", s.Facility*8+severity(m),
		m.Time.UTC().Format("2006-01-02T15:04:05.000Z"), s.host, s.pid, word(m.Kind, 32), body)
}

// word makes a text one that a header of RFC 5424 can hold: printable ASCII.
func word(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7F {
			return r
		}
		return -1
	}, s)
	if s = s[:min(len(s), most)]; s == "" {
		return "-"
	}
	return s
}

// shorten takes the longest parts out of a JSON object that does not fit, and says so
// in it; what stays is JSON.
func shorten(body []byte, most int) []byte {
	if len(body) <= most {
		return body
	}
	var all map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&all) != nil {
		return body[:most]
	}
	all["shortened"] = true
	finding, _ := all["finding"].(map[string]any)
	for _, key := range []string{"explain", "evidence", "cve", "tags", "entities"} {
		delete(finding, key)
		if b, err := json.Marshal(all); err == nil && len(b) <= most {
			return b
		}
	}
	kept := map[string]any{"shortened": true}
	for _, key := range []string{"schema", "type", "id", "host", "raised"} {
		kept[key] = all[key]
	}
	b, _ := json.Marshal(kept) // of what was JSON
	return b[:min(len(b), most)]
}

func (s *syslog) deliver(_ <-chan struct{}, messages []Message) (int, error) {
	if s.conn == nil {
		if err := s.dial(); err != nil {
			return 0, bare(err)
		}
	}
	var frames bytes.Buffer
	for i, m := range messages {
		if len(m.Body) == 0 {
			if i > 0 {
				messages = messages[:i]
				break
			}
			return 0, errDamaged
		}
		b := s.format(m)
		if s.Network != "udp" { // octet counting
			frames.WriteString(strconv.Itoa(len(b)) + " ")
			frames.Write(b)
			continue
		}
		if err := s.write(b); err != nil {
			return i, err
		}
	}
	if s.Network != "udp" {
		if err := s.write(frames.Bytes()); err != nil {
			return 0, err
		}
	}
	if err := s.listen(); err != nil {
		return 0, err // perhaps nothing of it has arrived: all of it again
	}
	return len(messages), nil
}

func (s *syslog) dial() (err error) {
	d := &net.Dialer{Timeout: dialTime}
	if s.Network == "tls" {
		s.conn, err = tls.DialWithDialer(d, "tcp", s.Address, &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12})
	} else {
		s.conn, err = d.Dial(s.Network, s.Address)
	}
	if err != nil {
		s.conn = nil
	}
	return err
}

func (s *syslog) write(b []byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := s.conn.Write(b); err != nil {
		s.close()
		return bare(err)
	}
	return nil
}

// listen finds out whether the receiver is still there.
func (s *syslog) listen() error {
	s.conn.SetReadDeadline(time.Now().Add(settle))
	var b [512]byte
	for {
		_, err := s.conn.Read(b[:]) // a receiver has nothing to say
		switch {
		case err == nil:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		}
		s.close()
		if errors.Is(err, io.EOF) {
			return errors.New("the receiver has closed the connection")
		}
		return bare(err)
	}
}

func (s *syslog) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}
