package fleet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// Bounds of the server.
const (
	// maxConnections is how many are served at once; more wait in the system's queue.
	maxConnections = 8192
	// visitTime bounds a connection of a host that is not hostile.
	visitTime = 60 * time.Second
	// maxHead is the longest head of a request; captures of browsers stay below 4 KB.
	maxHead = 8 << 10
	// maxVisitRequests is how many one connection may ask.
	maxVisitRequests = 100
	// maxUnexpected is how many unexpected requests are kept word by word.
	maxUnexpected = 100
)

// Fleet is a running population. It is safe for use by several goroutines.
type Fleet struct {
	p        *population
	mint     *mint
	tls      []*tls.Config
	main     *listener
	port80   *listener
	port25   *listener
	shut     io.Closer // holds the port of closed hosts, where nobody listens
	closed   int
	now      atomic.Pointer[moment]
	moving   sync.Mutex // one SetDay at a time
	slots    chan struct{}
	visits   atomic.Uint64
	counts   []atomic.Uint32 // connections by host
	requests []atomic.Uint32
	// Visits to Exchange servers that answer for themselves, and the requests of these.
	exchangeVisits, exchangeRequests atomic.Uint64
	work                             sync.WaitGroup
	mu                               sync.Mutex
	open                             map[net.Conn]struct{} // nil once closed
	odd                              []string
	oddCount                         int
}

// moment is what is where on a day.
type moment struct {
	day   int
	where []int32 // host number + 1 by offset from the base, 0 where nobody is
}

// Start opens the ports and plays the population until ctx is done or Close.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	p, err := newPopulation(o)
	if err != nil {
		return nil, err
	}
	m, err := newMint(p)
	if err != nil {
		return nil, err
	}
	f := &Fleet{p: p, mint: m, slots: make(chan struct{}, maxConnections), open: map[net.Conn]struct{}{},
		counts: make([]atomic.Uint32, p.o.Hosts+p.others), requests: make([]atomic.Uint32, p.o.Hosts+p.others)}
	for _, x := range append(profiles(), profiles()[0]) {
		f.tls = append(f.tls, x.config(f.certificate))
	}
	f.tls[len(f.tls)-1].NextProtos = []string{"h2"}
	var addresses []uint32
	for i := range 2 * p.o.Hosts {
		addresses = append(addresses, number(p.o.Base)+uint32(i))
	}
	for i := range p.others {
		addresses = append(addresses, number(bystanderBase)+1+uint32(i))
	}
	if f.main, err = listen(p.o.Port, addresses); err != nil {
		return nil, err
	}
	p.o.Port = f.main.Addr().(*net.TCPAddr).Port
	if f.closed, f.shut, err = reserve(p.o.Port + 1); err != nil {
		return nil, errors.Join(err, f.main.Close())
	}
	for _, also := range []struct {
		port  int
		at    **listener
		serve func(net.Conn)
	}{{p.o.Port80, &f.port80, f.servePort80}, {p.o.Port25, &f.port25, f.servePort25}} {
		if also.port == 0 {
			continue
		}
		if *also.at, err = listen(also.port, addresses); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.work.Go(func() { f.accept(*also.at, also.serve) })
	}
	if err := f.SetDay(p.o.Day); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.work.Go(func() { f.accept(f.main, f.serve) })
	context.AfterFunc(ctx, func() { _ = f.Close() })
	return f, nil
}

// Close ends all connections and waits for them.
func (f *Fleet) Close() error {
	_ = f.main.Close()
	_ = f.shut.Close()
	for _, l := range []*listener{f.port80, f.port25} {
		if l != nil {
			_ = l.Close()
		}
	}
	f.mu.Lock()
	for c := range f.open {
		_ = c.Close()
	}
	f.open = nil
	f.mu.Unlock()
	f.work.Wait()
	return nil
}

// Port is where the hosts answer.
func (f *Fleet) Port() int { return f.p.o.Port }

// Day gives the simulated day.
func (f *Fleet) Day() int { return f.now.Load().day }

// SetDay moves the clock. Connections that are open end as they began.
func (f *Fleet) SetDay(day int) error {
	if day < 0 || day > MaxDay {
		return fmt.Errorf("day %d: want 0 to %d", day, MaxDay)
	}
	f.moving.Lock()
	defer f.moving.Unlock()
	m := &moment{day: day, where: make([]int32, 2*f.p.o.Hosts)}
	var dead []uint32
	for i := range f.p.o.Hosts {
		h := f.p.host(i)
		at := number(f.p.home(&h, day))
		m.where[at-number(f.p.o.Base)] = int32(i + 1)
		if kind, away := h.on(f.p, day); kind == Dead || away == silent {
			dead = append(dead, at)
		}
	}
	for _, l := range []*listener{f.main, f.port80, f.port25} {
		if l == nil {
			continue
		}
		if _, err := l.silence(dead); err != nil {
			return err
		}
	}
	f.now.Store(m)
	return nil
}

// find gives the host at an address, or false.
func (f *Fleet) find(a netip.Addr, m *moment) (host, bool) {
	n := number(a)
	if first := number(bystanderBase) + 1; n >= first && n < first+uint32(f.p.others) {
		return f.p.host(f.p.o.Hosts + int(n-first)), true
	}
	at := n - number(f.p.o.Base) // wraps to a large number below the base
	if uint64(at) >= uint64(len(m.where)) || m.where[at] == 0 {
		return host{}, false
	}
	return f.p.host(int(m.where[at] - 1)), true
}

// accept takes connections until the listener is closed.
func (f *Fleet) accept(l *listener, serve func(net.Conn)) {
	for {
		f.slots <- struct{}{}
		c, err := l.Accept()
		if err != nil {
			<-f.slots
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors: some visitor will leave
			continue
		}
		f.mu.Lock()
		ended := f.open == nil
		if !ended {
			f.open[c] = struct{}{}
			f.work.Add(1)
		}
		f.mu.Unlock()
		if ended {
			<-f.slots
			_ = c.Close()
			return
		}
		go func() {
			defer f.work.Done()
			defer func() {
				_ = c.Close()
				f.mu.Lock()
				delete(f.open, c)
				f.mu.Unlock()
				<-f.slots
			}()
			serve(c)
		}()
	}
}

// called gives the address that a connection is for, if it is one of loopback.
func called(c net.Conn) (netip.Addr, bool) {
	t, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	a := t.AddrPort().Addr().Unmap()
	return a, a.Is4() && a.As4()[0] == 127
}

// certificate is asked for by the TLS library in the middle of a handshake.
func (f *Fleet) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	a, ok := called(hello.Conn)
	if !ok {
		return nil, ErrNotLoopback
	}
	h, ok := f.find(a, f.now.Load())
	if !ok {
		return nil, errors.New("nobody is at this address any more")
	}
	return f.mint.certificate(&h)
}

// serve plays one connection.
func (f *Fleet) serve(c net.Conn) {
	a, ok := called(c)
	m := f.now.Load()
	h, found := f.find(a, m)
	if !ok || !found {
		reset(c)
		return
	}
	f.counts[h.index].Add(1)
	kind, away := h.on(f.p, m.day)
	if away != "" || kind == Dead || kind == Closed {
		reset(c)
		return
	}
	end := visitTime
	var bad *attack
	if kind == Attacker {
		bad, end = attackOf(&h), attackTime
	}
	_ = c.SetDeadline(time.Now().Add(end))
	if bad != nil && bad.raw != nil {
		bad.raw(c)
		return
	}
	if !f.p.o.Plain {
		t := tls.Server(c, f.tlsOf(&h))
		if err := t.Handshake(); err != nil {
			return
		}
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			f.http2(t, &h, kind, m.day)
			return
		}
		c = t
	}
	f.converse(c, &h, kind, m.day, bad)
}

func (f *Fleet) tlsOf(h *host) *tls.Config {
	name := f.p.profileOf(h).name
	for i, x := range profiles() {
		if x.name == name {
			return f.tls[i]
		}
	}
	return f.tls[len(f.tls)-1] // http2
}

// answerer gives what answers on a connection: one front end, in turn, or a stranger.
func (f *Fleet) answerer(h *host, kind Kind, day int) func(request) answer {
	visit := f.visits.Add(1)
	clock := f.p.o.Now().UTC()
	date := Date(day).Add(clock.Sub(clock.Truncate(24 * time.Hour))).Truncate(time.Second)
	if !kind.IsExchange() {
		s := &stranger{p: f.p, h: h, kind: kind, visit: visit << 8, date: date}
		return func(q request) answer { s.visit++; return s.answer(q) }
	}
	member := 0
	if h.members > 1 {
		member = int(f.counts[h.index].Load()) % h.members
	}
	s := f.p.server(h, kind, member, day)
	s.visit, s.date = visit<<8, date
	return func(q request) answer { s.visit++; return s.answer(q) }
}

// converse reads requests and answers them.
func (f *Fleet) converse(c net.Conn, h *host, kind Kind, day int, bad *attack) {
	r, w := bufio.NewReaderSize(c, maxHead), bufio.NewWriterSize(c, 4<<10)
	reply := f.answerer(h, kind, day)
	for asked := range maxVisitRequests {
		q, wantsClose, err := f.read(r, h)
		if err != nil {
			return
		}
		f.count(h, kind, asked == 0)
		if bad != nil {
			s := &stranger{p: f.p, h: h, kind: kind}
			if bad.speak != nil {
				bad.speak(s, c, q)
				return
			}
			reply = func(q request) answer { return bad.reply(s, q) }
		}
		a := reply(q)
		if err := write(w, &a, q.method == "HEAD", wantsClose); err != nil || wantsClose {
			return
		}
	}
}

// count notes a request; the first one of a connection makes it a visit.
func (f *Fleet) count(h *host, kind Kind, first bool) {
	f.requests[h.index].Add(1)
	if !kind.IsExchange() || kind == Bystander || !h.passes(kind).direct {
		return
	}
	f.exchangeRequests.Add(1)
	if first {
		f.exchangeVisits.Add(1)
	}
}

// write puts an answer on the wire.
func write(w *bufio.Writer, a *answer, head, last bool) error {
	var b [20]byte
	w.WriteString("HTTP/1.1 ")
	w.Write(strconv.AppendInt(b[:0], int64(a.status), 10))
	w.WriteString(" " + reason(a.status) + "\r\n")
	for _, x := range a.fields {
		w.WriteString(x.name)
		w.WriteString(": ")
		w.WriteString(x.value)
		w.WriteString("\r\n")
	}
	if last {
		w.WriteString("Connection: close\r\n")
	}
	w.WriteString("Content-Length: ")
	w.Write(strconv.AppendInt(b[:0], int64(len(a.body)), 10))
	w.WriteString("\r\n\r\n")
	if !head {
		w.Write(a.body)
	}
	return w.Flush() // the writer keeps the first error
}

// closedSet is the paths that a polite observer asks for, in lower case; a favicon
// has its line in the path.
var closedSet = []string{"/", "/owa/", pathLogon, "/autodiscover/autodiscover.xml", "/ews/exchange.asmx",
	"/microsoft-server-activesync", "/owa/healthcheck.htm", "/mapi/healthcheck.htm", pathManifest}

// read takes the head of a request. What a polite observer would not send is
// answered all the same, and remembered.
func (f *Fleet) read(r *bufio.Reader, h *host) (q request, wantsClose bool, err error) {
	first, err := r.ReadSlice('\n')
	if err != nil {
		return q, false, err
	}
	words := strings.Fields(string(first))
	if len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/1.") {
		f.unexpected(h, "no request line: "+clip(string(first)))
		return q, false, errors.New("no request line")
	}
	q.method = words[0]
	q.path, q.query, _ = strings.Cut(words[1], "?")
	wantsClose = words[2] == "HTTP/1.0"
	body := false
	for n := len(first); ; {
		l, err := r.ReadSlice('\n')
		if n += len(l); err != nil || n > maxHead {
			f.unexpected(h, "head does not end")
			return q, false, errors.New("head does not end")
		}
		l = bytes.TrimRight(l, "\r\n")
		if len(l) == 0 {
			break
		}
		name, value, _ := bytes.Cut(l, []byte(":"))
		switch strings.ToLower(string(name)) {
		case "host":
			q.host = string(bytes.TrimSpace(value))
		case "connection":
			wantsClose = wantsClose || strings.EqualFold(string(bytes.TrimSpace(value)), "close")
		case "cookie", "authorization", "range":
			q.signIn = q.signIn || beginsNTLM(string(bytes.TrimSpace(value)))
			f.unexpected(h, "header "+string(name))
		case "content-length", "transfer-encoding":
			body = string(bytes.TrimSpace(value)) != "0"
		default:
			if len(name) > 1 && (name[0]|0x20) == 'x' && name[1] == '-' {
				f.unexpected(h, "header "+clip(string(name)))
			}
		}
	}
	if body {
		f.unexpected(h, "a body")
		wantsClose = true // and it stays unread
	}
	f.judge(h, q)
	return q, wantsClose, nil
}

// judge remembers what is outside the closed request set.
func (f *Fleet) judge(h *host, q request) {
	path := strings.ToLower(q.path)
	icon := strings.HasPrefix(path, "/owa/auth/") && strings.HasSuffix(path, "/themes/resources/favicon.ico")
	switch {
	case h.kind == Bystander:
		f.unexpected(h, "a host outside the scope")
	case q.method != "GET" && q.method != "HEAD":
		f.unexpected(h, "method "+clip(q.method))
	case !icon && !slices.Contains(closedSet, path):
		f.unexpected(h, "path "+clip(q.path))
	case q.query != "" && path != pathLogon:
		f.unexpected(h, "a query for "+clip(q.path))
	}
}

func clip(s string) string {
	const most = 200
	return strconv.Quote(s[:min(len(s), most)])
}

func (f *Fleet) unexpected(h *host, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.oddCount++
	if len(f.odd) < maxUnexpected {
		f.odd = append(f.odd, h.id()+": "+what)
	}
}

// http2 plays a host that insists on HTTP/2.
func (f *Fleet) http2(c *tls.Conn, h *host, kind Kind, day int) {
	reply := f.answerer(h, kind, day)
	var one sync.Mutex // requests of a connection come at the same time
	first := true
	server := http2.Server{MaxConcurrentStreams: 8, IdleTimeout: visitTime}
	server.ServeConn(c, &http2.ServeConnOpts{BaseConfig: &http.Server{MaxHeaderBytes: maxHead}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := request{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, host: r.Host}
		f.judge(h, q)
		one.Lock()
		f.count(h, kind, first)
		first = false
		a := reply(q)
		one.Unlock()
		for _, x := range a.fields {
			w.Header().Add(x.name, x.value)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.status)
		if r.Method != "HEAD" {
			_, _ = w.Write(a.body)
		}
	})})
}

// servePort80 is shape S17.
func (f *Fleet) servePort80(c net.Conn) {
	a, ok := called(c)
	m := f.now.Load()
	h, found := f.find(a, m)
	if !ok || !found || h.kind == Dead || h.kind == Closed {
		reset(c)
		return
	}
	f.counts[h.index].Add(1)
	_ = c.SetDeadline(time.Now().Add(visitTime))
	q, _, err := f.read(bufio.NewReaderSize(c, maxHead), &h)
	if err != nil {
		return
	}
	f.requests[h.index].Add(1)
	reply := answer{status: 403}
	reply.add("Server", "Microsoft-IIS/10.0", "Date", Date(m.day).Format("Mon, 02 Jan 2006 15:04:05")+" GMT")
	_ = write(bufio.NewWriter(c), &reply, q.method == "HEAD", true)
	_, _ = io.Copy(io.Discard, io.LimitReader(c, maxHead))
}

// Seen says what visitors did since the start.
type Seen struct {
	Connections uint64
	Requests    uint64
	// Contacted is how many hosts were connected to; Bystanders how many connections
	// went to hosts outside the scope: each of them is a fault of the visitor.
	Contacted  int
	Bystanders uint64
	// MostRequests is the largest number that one host got.
	MostRequests uint32
	// ExchangeVisits is how many connections asked something of an Exchange server that is not
	// shut away, and ExchangeRequests what they asked.
	ExchangeVisits, ExchangeRequests uint64
	// Unexpected is how many things a polite observer would not have sent, and Samples the first of them.
	Unexpected int
	Samples    []string
}

// Seen gives the counts so far.
func (f *Fleet) Seen() Seen {
	s := Seen{ExchangeVisits: f.exchangeVisits.Load(), ExchangeRequests: f.exchangeRequests.Load()}
	for i := range f.counts {
		n, r := f.counts[i].Load(), f.requests[i].Load()
		s.Connections += uint64(n)
		s.Requests += uint64(r)
		s.MostRequests = max(s.MostRequests, r)
		if n > 0 {
			s.Contacted++
		}
		if i >= f.p.o.Hosts {
			s.Bystanders += uint64(n)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Unexpected, s.Samples = f.oddCount, slices.Clone(f.odd)
	return s
}

// RequestsTo gives how many requests a host got, by its number in the truth.
func (f *Fleet) RequestsTo(index int) int { return int(f.requests[index].Load()) }
