// Package targets reads lists of targets as they come: plain lines, networks, and the
// exports of scanners and search engines, told by their shape.
//
// Input: a stream in one of the forms of docs/formats/targets.md. Output: targets, one
// after the other; a part that is none is told with its line and the reading goes on.
// Memory does not grow with the list: networks are counted through, not unfolded.
package targets

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"postern"
	"postern/internal/exposure"
)

// Bounds of a list.
const (
	maxLine     = 4 << 20 // exports carry whole pages in one line
	maxPlain    = 1024    // bytes of a plain line
	maxHostBits = 24      // of a network: a /8 of IPv4, a /104 of IPv6
	maxPorts    = 64      // targets of one host in an export
	usualPort   = 443
	plainPort   = 80
)

// Options of a reader.
type Options struct {
	Path string // names the list in problems
	// Problem takes what is no target.
	Problem func(postern.Problem)
	// Read is told how many bytes of the list have been read so far; nil: nobody asks.
	Read func(int64)
}

// reader is a list on its way.
type reader struct {
	o     Options
	br    *bufio.Reader
	line  int64 // number of the line that was read last
	bytes int64
	yield func(exposure.Target, error) bool
	stop  bool // the taker has had enough

	split splitter // of JSON
}

// Read gives the targets of a list. The only error is that of the underlying reader
// and the last pair. Single use.
func Read(r io.Reader, o Options) iter.Seq2[exposure.Target, error] {
	return func(yield func(exposure.Target, error) bool) {
		l := &reader{o: o, br: bufio.NewReaderSize(r, 64<<10), yield: yield}
		if err := l.read(); err != nil && !l.stop {
			yield(exposure.Target{}, err)
		}
	}
}

// row reads the records of one form. It is called with each line that is not empty.
type row func(line []byte)

func (l *reader) read() error {
	var take row
	for !l.stop {
		line, err := l.next()
		if len(line) > 0 {
			if take == nil {
				take = l.form(line)
			}
			take(line)
		}
		if err == io.EOF {
			if l.split.depth > 0 {
				l.bad(string(l.split.object))
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// next reads one line, without blanks around it. A line beyond the bound is told and
// comes empty.
func (l *reader) next() ([]byte, error) {
	l.line++
	line, err := l.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		whole := append([]byte(nil), line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = l.br.ReadSlice('\n')
			l.bytes += int64(len(line))
			if len(whole) <= maxLine {
				whole = append(whole, line...)
			}
		}
		if len(whole) > maxLine {
			l.problem(postern.Limit, postern.Say("exposure.targets.long", "line", l.line, "max", maxLine))
			whole = nil
		}
		line = whole
	}
	l.bytes += int64(len(line))
	if l.o.Read != nil {
		l.o.Read(l.bytes)
	}
	if l.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	return bytes.TrimSpace(line), err
}

// form tells the form of a list by its first line.
func (l *reader) form(line []byte) row {
	switch line[0] {
	case '{', '[':
		return l.json
	case '<':
		return l.xml()
	}
	if columns := header(line); columns != nil {
		return l.csv(columns)
	}
	return l.plain
}

func (l *reader) problem(what postern.ProblemKind, detail postern.Text) {
	if l.o.Problem != nil {
		l.o.Problem(postern.Problem{Path: l.o.Path, What: what, Detail: detail})
	}
}

func (l *reader) bad(text string) {
	l.problem(postern.Malformed, postern.Say("exposure.targets.bad", "line", l.line, "text", show(text)))
}

// many says that a host has more ports than are looked at.
func (l *reader) many(host string) {
	l.problem(postern.Limit, postern.Say("exposure.targets.ports", "line", l.line, "host", show(host), "max", maxPorts))
}

// give hands on one target.
func (l *reader) give(t exposure.Target) {
	if !l.stop && !l.yield(t, nil) {
		l.stop = true
	}
}

// show makes text from a list fit for a message.
func show(s string) string {
	const most = 80
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, s[:min(len(s), most)])
}

// plain reads "host[:port]", "[v6]:port", a network or a URL without a path, and the
// host name in a second column. Masscan's lists have lines of their own.
func (l *reader) plain(line []byte) {
	if l.grepable(string(line)) {
		return
	}
	if len(line) > maxPlain {
		l.problem(postern.Limit, postern.Say("exposure.targets.long", "line", l.line, "max", maxPlain))
		return
	}
	text, _, _ := strings.Cut(string(line), "#")
	columns := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == ';' })
	if len(columns) == 0 {
		return
	}
	// masscan -oL: "open tcp 443 192.0.2.1 1615366364"
	if len(columns) >= 4 && columns[0] == "open" && columns[1] == "tcp" {
		l.hostPort(columns[3], columns[2], nil)
		return
	}
	if len(columns) > 2 {
		l.bad(text)
		return
	}
	t, network, err := parse(columns[0])
	if err == nil && len(columns) == 2 {
		var ok bool
		if t.Name, ok = parseName(columns[1]); !ok || network.IsValid() {
			err = errors.New("no host name")
		}
	}
	switch {
	case err != nil:
		l.bad(text)
	case network.IsValid():
		l.network(network, t)
	default:
		l.give(t)
	}
}

// parse reads one target or network.
func parse(s string) (t exposure.Target, network netip.Prefix, err error) {
	t.Text, t.Port = s, usualPort
	host, isURL := s, false
	for scheme, port := range map[string]uint16{"https://": usualPort, "http://": plainPort} {
		if rest, ok := strings.CutPrefix(strings.ToLower(s), scheme); ok {
			host, t.Port, t.Plain, isURL = strings.TrimSuffix(rest, "/"), port, port == plainPort, true
		}
	}
	if !isURL && strings.Contains(host, "/") {
		network, err := netip.ParsePrefix(host)
		if err != nil || network.Addr().Is4In6() || network.Addr().BitLen()-network.Bits() > maxHostBits {
			return t, network, fmt.Errorf("%q is no network of at most 2^%d addresses", host, maxHostBits)
		}
		return t, network.Masked(), nil
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return withAddress(t, a)
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		port, err := strconv.ParseUint(host[i+1:], 10, 16)
		if err != nil || port == 0 {
			return t, network, fmt.Errorf("%q has no port", host)
		}
		t.Port = uint16(port)
		if !isURL {
			t.Plain = port == plainPort
		}
		host = host[:i]
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(host, ":") {
			return t, network, fmt.Errorf("%q: brackets are for IPv6", host)
		}
	} else if strings.Contains(host, ":") {
		return t, network, fmt.Errorf("%q: write IPv6 with a port in brackets", host)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return withAddress(t, a)
	}
	var ok bool
	if t.Name, ok = parseName(host); !ok || digitsAndDots(t.Name) {
		return t, network, fmt.Errorf("%q is no host", host)
	}
	return t, network, nil
}

func withAddress(t exposure.Target, a netip.Addr) (exposure.Target, netip.Prefix, error) {
	if a.Zone() != "" {
		return t, netip.Prefix{}, fmt.Errorf("%q has a zone", a)
	}
	t.Address = a.Unmap()
	return t, netip.Prefix{}, nil
}

// digitsAndDots says whether a name is a mistyped address.
func digitsAndDots(s string) bool { return strings.Trim(s, "0123456789.") == "" }

// parseName reads a host name: lower case, ASCII form, no final dot.
func parseName(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return "", false
	}
	if strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) >= 0 {
		ascii, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", false
		}
		s = ascii
	}
	s = strings.ToLower(s)
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return "", false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", false
			}
		}
	}
	return s, true
}

// network gives every address of a network, in an order that goes from one end to
// the other and back, so that neighbours are not visited one after the other. The
// order is the same every time.
func (l *reader) network(n netip.Prefix, t exposure.Target) {
	width := n.Addr().BitLen() - n.Bits()
	base := n.Addr().As16()
	for i := range uint64(1) << width {
		var at uint64
		if width > 0 {
			at = bits.Reverse64(i) >> (64 - width)
		}
		b := base
		for k := 15; at > 0; k-- {
			b[k] |= byte(at)
			at >>= 8
		}
		a := netip.AddrFrom16(b).Unmap()
		if n.Addr().Is6() {
			a = netip.AddrFrom16(b)
		}
		one := t
		one.Address, one.Text = a, a.String()
		if l.give(one); l.stop {
			return
		}
	}
}

// hostPort gives a target of an export, where host and port stand apart.
func (l *reader) hostPort(host, port string, more *exposure.Target) bool {
	t := exposure.Target{Port: usualPort}
	if more != nil {
		t = *more
		t.Port = usualPort
	}
	if port = strings.TrimSpace(port); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			l.bad(host + " " + port)
			return false
		}
		t.Port = uint16(n)
	}
	t.Plain = t.Port == plainPort
	host = strings.TrimSpace(host)
	a, err := netip.ParseAddr(host)
	switch {
	case err == nil && a.Zone() == "":
		t.Address = a.Unmap()
		t.Text = netip.AddrPortFrom(t.Address, t.Port).String()
	case err == nil || digitsAndDots(host):
		l.bad(host)
		return false
	default:
		name, ok := parseName(host)
		if !ok || !strings.Contains(name, ".") { // an export names hosts in full
			l.bad(host)
			return false
		}
		t.Name = name
		t.Text = name + ":" + strconv.Itoa(int(t.Port))
	}
	l.give(t)
	return true
}
