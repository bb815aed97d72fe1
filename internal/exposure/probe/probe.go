// Package probe looks at one host: it connects through the wall, shakes hands, asks
// for as few places of the closed request set as decide the question, and records
// what came back.
//
// Input: a place that the scope has allowed. Output: a record with its outcome, and
// the answers handed to a reader of fingerprints, who also says what to ask next.
// Units: bytes are bytes on the wire, times are UTC.
//
// HTTP/1.1 is written and read by hand on the connection, because bounds on every
// byte are the point and net/http costs several times the handshake. HTTP/2 is spoken
// only with a host that insists on it.
//
// A host is hostile until it is known: time, bytes, lines, connections and requests
// are bounded, whatever it answers.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern"
	"postern/internal/exposure"
)

// maxConnections bounds the connections to one host in one visit, one at a time: three
// profiles, one more protocol, and a new one for each request to a host that closes.
const maxConnections = 8

// Reader reads answers and says what to ask next.
type Reader interface {
	// Add takes an answer; nothing of it may be kept but strings.
	Add(*exposure.Answer)
	// Next gives the place whose answer would help, or false when all is decided.
	Next() (path string, more bool)
	// Conclude fills in what the answers say.
	Conclude(*exposure.Observation)
}

// Wall opens connections to what may be contacted. An error that is an
// *[exposure.Stop] says why a place may not.
type Wall interface {
	Dial(context.Context, exposure.Place) (net.Conn, error)
	Check(exposure.Place) *exposure.Stop
	CheckCertificate(*exposure.Certificate) *exposure.Stop
}

// Ledger counts the requests to a host over all scans.
type Ledger interface {
	// Spend allows one more request and writes it down first; false if the host has had
	// its share.
	Spend(netip.Addr) (bool, error)
	// Spent says whether the host has had its share, so that it need not be connected to.
	Spent(netip.Addr) (bool, error)
	// Hold remembers that the host wants to be left alone until then.
	Hold(netip.Addr, time.Time) error
	// Held gives the time until which it does.
	Held(netip.Addr) time.Time
}

// Prober looks at hosts. It is safe for use by several goroutines.
type Prober struct {
	wall    Wall
	ledger  Ledger
	begin   func(*exposure.Visit) Reader
	agent   string
	timeout time.Duration
	gate    *Gate
	fail    func(error)
	now     func() time.Time

	curves []tls.CurveID
	suites []uint16
	pool   sync.Pool // of *scratch
}

// Options of a prober; all are needed but Fail and Now.
type Options struct {
	Wall   Wall
	Ledger Ledger
	// Begin starts reading a visit, whose handshake is known and whose answers are not.
	Begin func(*exposure.Visit) Reader
	// Contact is whom the host's owner can turn to.
	Contact string
	// Timeout is all the time that one host gets.
	Timeout time.Duration
	Gate    *Gate
	// Fail is told when the ledger cannot be written: nothing may be sent any more, and
	// the scan should end. Nil: nobody is told.
	Fail func(error)
	Now  func() time.Time
}

// New makes a prober.
func New(o Options) *Prober {
	p := &Prober{wall: o.Wall, ledger: o.Ledger, begin: o.Begin, agent: Agent(o.Contact), timeout: o.Timeout, gate: o.Gate, fail: o.Fail, now: o.Now,
		// Two curves are what hosts of every age know; the key shares of more cost a sixth of the handshake.
		curves: []tls.CurveID{tls.X25519, tls.CurveP256}, suites: legacySuites()}
	if p.now == nil {
		p.now = time.Now
	}
	if p.fail == nil {
		p.fail = func(error) {}
	}
	p.pool.New = func() any { return newScratch() }
	return p
}

// visit is the look at one host.
type visit struct {
	*Prober
	ctx   context.Context
	pass  *pass
	place exposure.Place
	o     *exposure.Observation
	until time.Time // the deadline
	s     *scratch  // nil until a connection stands

	conn     net.Conn // nil if there is none
	wire     *line
	two      *http2Conn // set if the host speaks HTTP/2
	plain    bool
	profile  profile
	protocol string // "http/1.1" or "h2"
	conns    int
	shake    *exposure.Handshake
	stop     *exposure.Stop // what ended the visit, if it was a rule of ours
	cut      func()
}

// Look visits a place and fills in its record. A positive time asks for another visit
// after it. The host's clock starts when its work does.
func (p *Prober) Look(ctx context.Context, to exposure.Place, known Known, o *exposure.Observation) (again time.Duration) {
	if wait := p.ledger.Held(to.Address).Sub(p.now()); wait > 0 {
		o.Outcome, o.Why = exposure.Aborted, postern.Say("exposure.stop.patience", "seconds", seconds(wait))
		return wait
	}
	switch spent, err := p.ledger.Spent(to.Address); {
	case err != nil:
		p.fail(err)
		o.Outcome, o.Why = outcome(&localError{err})
		return 0
	case spent:
		o.Outcome, o.Why = exposure.Aborted, noShare()
		return 0
	}
	pass, err := p.gate.enter(ctx)
	if err != nil {
		o.Outcome, o.Why = exposure.Aborted, postern.Say("exposure.stop.interrupted")
		return 0
	}
	v := &visit{Prober: p, ctx: ctx, pass: pass, place: to, o: o, until: p.now().Add(p.timeout), plain: to.Plain, protocol: "http/1.1"}
	v.cut = func() {}
	defer func() {
		v.close()
		pass.release()
		if v.s != nil {
			v.s.br.Reset(nil)
			p.pool.Put(v.s)
		}
	}()
	return v.run(known)
}

// Known is what is known of a place before the visit.
type Known struct {
	Network  exposure.Network
	Since    time.Time // when an Exchange was last seen here
	Hint     exposure.Hint
	HintLine string
}

func (v *visit) run(known Known) time.Duration {
	o := v.o
	if err := v.connect(); err != nil {
		again := v.conclude(err)
		v.keepCertificate()
		return again
	}
	seen := &exposure.Visit{Name: v.place.Name, Address: v.place.Address.String(), TLS: v.shake, Network: known.Network,
		KnownSince: known.Since, Hint: known.Hint, HintLine: known.HintLine, Time: o.Time}
	reader := v.begin(seen)
	var again time.Duration
	var failure error
	asked, redirects := 0, 0
	var location string // where the last answer sent us
	for {
		path, more := reader.Next()
		if !more {
			break
		}
		query := ""
		if to, q, ok := followed(location, exposure.Place{Name: v.place.Name, Address: v.place.Address, Port: v.place.Port, Plain: v.plain}); ok && to == path && redirects < maxRedirects {
			query = q
			redirects++
		}
		if failure = v.connect(); failure != nil {
			break
		}
		if failure = v.spend(); failure != nil {
			break
		}
		a, err := v.ask(path, query)
		if errors.Is(err, errHTTP2) && v.protocol != "h2" && !v.plain {
			v.protocol = "h2"
			v.close()
			continue
		}
		if failure = err; a.Status == 0 {
			break
		}
		asked++
		reader.Add(&a)
		location = ""
		if a.Status >= 300 && a.Status < 400 {
			location = a.Get("Location")
		}
		if failure != nil {
			break
		}
		if wait, ok := v.retryAfter(&a); ok {
			if _, more := reader.Next(); more {
				until := v.now().Add(wait)
				if err := v.ledger.Hold(v.place.Address, until); err != nil {
					v.fail(err)
					failure = &localError{err}
				}
				v.stop = &exposure.Stop{Outcome: exposure.Aborted, Why: postern.Say("exposure.stop.patience", "seconds", seconds(wait))}
				again = wait
			}
			break
		}
	}
	if asked == 0 {
		if v.stop == nil {
			again = max(again, v.conclude(failure))
		} else {
			o.Outcome, o.Why = v.stop.Outcome, v.stop.Why
		}
		v.keepCertificate()
		return again
	}
	reader.Conclude(o)
	// Nothing seen: that says something of the host only if all was asked.
	nothing := o.Outcome == exposure.NotExchange || o.Outcome == exposure.Hidden && o.Why.Key == exposure.KnownBefore
	switch stop := v.stopped(failure); {
	case stop != nil && stop.Outcome == exposure.OptedOut, v.ctx.Err() != nil && failure != nil:
		// Whoever opts out while we look is not reported on at all.
		*o = blank(o)
		o.Outcome, o.Why = exposure.Aborted, postern.Say("exposure.stop.interrupted")
		if stop != nil {
			o.Outcome, o.Why = stop.Outcome, stop.Why
		}
	case nothing && stop != nil:
		o.Outcome, o.Why = stop.Outcome, stop.Why
	case nothing && failure != nil:
		o.Outcome, o.Why = outcome(failure)
	}
	return again
}

// blank is a record with nothing from the host in it.
func blank(o *exposure.Observation) exposure.Observation {
	return exposure.Observation{Schema: o.Schema, Target: o.Target, Address: o.Address, Port: o.Port, Name: o.Name, Time: o.Time,
		Requests: o.Requests, Bytes: o.Bytes, ASN: o.ASN, Country: o.Country, Sector: o.Sector, Scope: o.Scope}
}

// spend takes one request from the host's share.
func (v *visit) spend() error {
	if stop := v.wall.Check(v.place); stop != nil {
		return stop
	}
	ok, err := v.ledger.Spend(v.place.Address)
	if err != nil {
		v.fail(err)
		return &localError{err}
	}
	if !ok {
		return &exposure.Stop{Outcome: exposure.Aborted, Why: noShare()}
	}
	v.o.Requests++
	return nil
}

// noShare says that a host has had all the requests that it gets.
func noShare() postern.Text { return postern.Say("exposure.stop.budget", "max", MaxRequests) }

// ask sends one request and reads the answer.
func (v *visit) ask(path, query string) (exposure.Answer, error) {
	if v.two != nil {
		return v.two.ask(v, path, query)
	}
	var err error
	if v.s.out, err = appendRequest(v.s.out[:0], path, query, v.host(), v.agent); err != nil {
		return exposure.Answer{}, err
	}
	if _, err := v.conn.Write(v.s.out); err != nil {
		v.close()
		return exposure.Answer{}, err
	}
	a, keep, err := v.s.readAnswer()
	a.Method, a.Path = method, path
	if !keep || v.s.br.Buffered() > 0 { // what nobody asked for must not be read as the next answer
		v.close()
	}
	return a, err
}

func (v *visit) host() string {
	p := v.place
	p.Plain = v.plain
	return p.Host()
}

// retryAfter reads the wish to be left alone for a while.
func (v *visit) retryAfter(a *exposure.Answer) (time.Duration, bool) {
	if a.Status != 429 && a.Status != 503 {
		return 0, false
	}
	const most = 24 * time.Hour
	value := strings.TrimSpace(a.Get("Retry-After"))
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, most), n > 0
	}
	for _, form := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", "Mon Jan _2 15:04:05 2006"} {
		if at, err := time.Parse(form, value); err == nil {
			wait := min(at.Sub(v.now()), most)
			return wait, wait > 0
		}
	}
	return 0, false
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// keepCertificate records the certificate of a host that gave no answer.
func (v *visit) keepCertificate() {
	if v.shake != nil && v.o.Outcome != exposure.OptedOut {
		v.o.Identity.CertificateSHA256, v.o.Identity.KeySHA256 = v.shake.Certificate.SHA256, v.shake.Certificate.KeySHA256
	}
}

// connect makes a connection where there is none: modern first, then what the host
// insists on. A handshake that worked once is not tried otherwise again.
func (v *visit) connect() error {
	for v.conn == nil {
		if v.conns == maxConnections {
			return errTooManyConnections
		}
		v.conns++
		known := v.shake != nil && v.shake.Version != ""
		raw, err := v.dial()
		if err != nil {
			return err
		}
		if v.plain {
			v.use(raw, raw)
			return nil
		}
		err = v.handshake(raw, known)
		if err == nil {
			return nil
		}
		raw.end()
		var not tls.RecordHeaderError
		switch {
		case v.stopped(err) != nil || known || v.ctx.Err() != nil || !v.now().Before(v.until):
			return err
		case errors.As(err, &not) && string(not.RecordHeader[:]) == "HTTP/":
			v.plain = true
		case wantsOther(err) && v.protocol != "h2":
			v.protocol = "h2"
		case v.profile == modern:
			v.profile, v.protocol = legacy, "http/1.1"
		case v.profile == legacy && refused(err):
			v.profile = oldest
		default:
			return err
		}
	}
	return nil
}

// dial connects through the wall.
func (v *visit) dial() (*line, error) {
	ctx, cancel := context.WithDeadline(v.ctx, v.until)
	defer cancel()
	v.pass.waits()
	conn, err := v.wall.Dial(ctx, v.place)
	v.until = v.until.Add(v.pass.works())
	if err != nil {
		if v.ctx.Err() != nil {
			err = errInterrupted
		}
		return nil, err
	}
	v.cut()
	stop := context.AfterFunc(v.ctx, func() { conn.Close() })
	v.cut = func() { stop() }
	l := &line{Conn: conn, visit: v}
	l.limit(v.until)
	return l, nil
}

// use takes a connection for requests.
func (v *visit) use(c net.Conn, l *line) {
	v.conn, v.wire = c, l
	if v.s == nil {
		v.s = v.pool.Get().(*scratch)
	}
	v.s.br.Reset(c)
}

func (v *visit) close() {
	v.cut()
	if v.two != nil {
		v.two.close()
		v.two = nil
	}
	if v.wire != nil {
		v.wire.end() // no close-notify: the host is told by the end of the connection
	}
	v.conn, v.wire = nil, nil
}

// handshake shakes hands in the visit's profile and remembers what it showed.
func (v *visit) handshake(raw *line, known bool) error {
	if v.profile == modern && !known {
		// A host that is silent to the modern profile leaves time for the other one.
		raw.limit(v.now().Add(v.until.Sub(v.now()) / 2))
	}
	c := tls.Client(raw, v.config(v.profile, v.place.Name, v.protocol, func(leaf *x509.Certificate) error {
		if known && v.shake.Certificate.SHA256 != "" {
			return nil
		}
		v.shake = &exposure.Handshake{Profile: v.profile.String(), Certificate: facts(leaf)}
		if stop := v.wall.CheckCertificate(&v.shake.Certificate); stop != nil {
			return stop
		}
		return nil
	}))
	err := c.HandshakeContext(v.ctx)
	raw.limit(v.until)
	if err != nil {
		if v.ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
	state := c.ConnectionState()
	v.shake.Version, v.shake.Profile = version(state.Version), v.profile.String()
	v.o.TLS = exposure.TLS{Version: v.shake.Version, Profile: v.shake.Profile}
	v.use(c, raw)
	if v.protocol == "h2" {
		if state.NegotiatedProtocol != "h2" {
			v.protocol = "http/1.1"
			return nil
		}
		v.pass.release()
		raw.others = true
		v.two, err = newHTTP2(c)
	}
	return err
}

// What a visit can fail for beside the network's own errors.
var (
	errInterrupted        = errors.New("interrupted")
	errTooManyConnections = errors.New("the host closes every connection")
)

// localError is a shortage of this machine. It says nothing about the host.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// shortPause is how long a visit waits when this machine has run out of something.
const shortPause = 2 * time.Second

// stopped gives the rule of ours that ended a visit, nil if none did. A connection
// that was cut because its host opted out fails like any other, so the wall is asked.
func (v *visit) stopped(err error) *exposure.Stop {
	var stop *exposure.Stop
	switch {
	case v.stop != nil:
		return v.stop
	case errors.As(err, &stop):
		return stop
	case err != nil:
		if stop = v.wall.Check(v.place); stop != nil {
			return stop
		}
	}
	return nil
}

// conclude gives the outcome of a visit without an answer.
func (v *visit) conclude(err error) time.Duration {
	o := v.o
	if stop := v.stopped(err); stop != nil {
		o.Outcome, o.Why = stop.Outcome, stop.Why
		return 0
	}
	if v.ctx.Err() != nil {
		err = errInterrupted
	}
	o.Outcome, o.Why = outcome(err)
	if o.Outcome == exposure.Aborted && !errors.Is(err, errInterrupted) {
		return shortPause
	}
	return 0
}

// outcome names what went wrong with a host.
func outcome(err error) (exposure.Outcome, postern.Text) {
	var op *net.OpError
	var header tls.RecordHeaderError
	var mine *localError
	var network net.Error
	switch {
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exposure.Aborted, postern.Say("exposure.stop.interrupted")
	case errors.As(err, &mine), oneOf(err, errnoShortage):
		return exposure.Aborted, postern.Say("exposure.stop.shortage", "reason", text(err))
	case oneOf(err, errnoRefused):
		return exposure.Refused, postern.Say("exposure.probe.refused")
	case oneOf(err, errnoUnreachable):
		return exposure.Refused, postern.Say("exposure.probe.unreachable")
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return exposure.Timeout, postern.Say("exposure.probe.timeout")
	case errors.Is(err, errNotHTTP), errors.Is(err, errInterim), errors.Is(err, errHTTP2):
		return exposure.NotExchange, postern.Say("exposure.probe.not-http")
	case errors.Is(err, errHeadSize):
		return exposure.NotExchange, postern.Say("exposure.probe.head-size")
	case errors.As(err, &op) && op.Op == "remote error":
		return exposure.TLSError, postern.Say("exposure.probe.alert", "alert", text(op.Err))
	case errors.As(err, &header):
		return exposure.TLSError, postern.Say("exposure.probe.not-tls")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), oneOf(err, errnoReset),
		errors.Is(err, net.ErrClosed), errors.Is(err, errTooManyConnections):
		return exposure.Reset, postern.Say("exposure.probe.reset")
	}
	return exposure.TLSError, postern.Say("exposure.probe.tls", "reason", text(err))
}

// oneOf says whether an error is one of a list.
func oneOf(err error, list []error) bool {
	return slices.ContainsFunc(list, func(e error) bool { return errors.Is(err, e) })
}

// text makes a short printable reason of an error.
func text(err error) string {
	const most = 120
	if err == nil {
		return ""
	}
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, strings.TrimPrefix(err.Error(), "tls: "))
	return s[:min(len(s), most)]
}

// refused says whether the host ended the handshake, with an alert or without.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" || errors.Is(err, io.EOF) || oneOf(err, errnoReset)
}

// wantsOther says whether the host ended the handshake because it speaks none of the
// protocols that were offered. The library does not export its type of alert.
func wantsOther(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "no application protocol")
}
