package scope

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"postern"
	"postern/internal/exposure"
)

// Bounds of resolving.
const (
	maxAddresses = 16 // addresses of one name that are looked at: real mail hosts have up to 8
	resolveTime  = 5 * time.Second
	maxLookups   = 64 // questions to the resolver at once: its owner is a neighbour too
)

// Wall is the only way to the network. It owns the dialer: no address is connected
// to that the scope does not allow or that has opted out, whoever asks.
type Wall struct {
	scope   *Scope
	optout  *OptOut // nil: nobody has
	lab     bool
	asn     func(netip.Addr) uint32 // nil: not known
	now     func() time.Time
	lookup  func(ctx context.Context, name string) ([]netip.Addr, error)
	lookups chan struct{}
	dialer  net.Dialer

	mu   sync.Mutex
	open map[*conn]struct{}
}

// Options of a wall. Scope is needed, the rest may be zero.
type Options struct {
	Scope  *Scope
	OptOut *OptOut
	// Lab allows private, loopback, documentation and other special addresses.
	Lab bool
	// ASN gives the number of the network that announces an address, 0 if unknown.
	ASN func(netip.Addr) uint32
	// Resolver is the address of a name server; "" is the system's.
	Resolver string
	Now      func() time.Time
	// Lookup replaces the resolver, for tests.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
}

// NewWall builds the wall.
func NewWall(o Options) *Wall {
	w := &Wall{scope: o.Scope, optout: o.OptOut, lab: o.Lab, asn: o.ASN, now: o.Now, lookup: o.Lookup,
		lookups: make(chan struct{}, maxLookups), open: map[*conn]struct{}{}}
	if w.now == nil {
		w.now = time.Now
	}
	if w.lookup == nil {
		r := &net.Resolver{PreferGo: true}
		if o.Resolver != "" {
			var d net.Dialer
			r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return d.DialContext(ctx, network, o.Resolver)
			}
		}
		w.lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return r.LookupNetIP(ctx, "ip", name+".") // the dot: no search domains
		}
	}
	// The last look is at the very address that the kernel is told.
	w.dialer = net.Dialer{ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if stop := w.Check(exposure.Place{Address: to.Addr(), Port: to.Port()}); stop != nil {
			return stop
		}
		return nil
	}}
	return w
}

// Check says why a place may not be contacted now; nil if it may.
func (w *Wall) Check(p exposure.Place) *exposure.Stop {
	a := p.Address.Unmap()
	switch now := w.now(); {
	case now.Before(w.scope.From):
		return outside(postern.Say("exposure.stop.not-yet", "from", w.scope.From.Format(time.RFC3339)))
	case !now.Before(w.scope.To):
		return outside(postern.Say("exposure.stop.expired", "to", w.scope.To.Format(time.RFC3339)))
	case !a.IsValid() || a.Zone() != "" || !w.scope.Allows(a):
		return outside(postern.Say("exposure.stop.address", "address", a))
	case !w.lab && Special(a):
		return outside(postern.Say("exposure.stop.special", "address", a))
	case p.Name != "" && !w.scope.names.empty() && !w.scope.names.contains(p.Name):
		return outside(postern.Say("exposure.stop.name", "name", p.Name))
	}
	p.Address = a
	if p.ASN == 0 && w.asn != nil {
		p.ASN = w.asn(a)
	}
	return w.optout.place(p)
}

// CheckCertificate says whether the owner of the certificate that a place showed has
// opted out.
func (w *Wall) CheckCertificate(c *exposure.Certificate) *exposure.Stop {
	return w.optout.certificate(c)
}

func outside(why postern.Text) *exposure.Stop {
	return &exposure.Stop{Outcome: exposure.OutOfScope, Why: why}
}

// Places gives the addresses of a target that may be contacted, at least one, or
// says why none may. A name is resolved here and nowhere else.
func (w *Wall) Places(ctx context.Context, t *exposure.Target) ([]exposure.Place, *exposure.Stop) {
	place := func(a netip.Addr) exposure.Place {
		p := exposure.Place{Name: t.Name, Address: a.Unmap(), Port: t.Port, Plain: t.Plain, ASN: t.ASN}
		if w.asn != nil {
			p.ASN = cmp.Or(w.asn(p.Address), p.ASN)
		}
		return p
	}
	if t.Address.IsValid() {
		p := place(t.Address)
		if stop := w.Check(p); stop != nil {
			return nil, stop
		}
		return []exposure.Place{p}, nil
	}
	if !w.scope.names.empty() && !w.scope.names.contains(t.Name) {
		return nil, outside(postern.Say("exposure.stop.name", "name", t.Name))
	}
	// Before the question to the resolver: an opted-out name is not even looked up.
	if stop := w.optout.place(exposure.Place{Name: t.Name}); stop != nil {
		return nil, stop
	}
	addresses, stop := w.resolve(ctx, t.Name)
	if stop != nil {
		return nil, stop
	}
	var places []exposure.Place
	var why *exposure.Stop
	for _, a := range addresses[:min(len(addresses), maxAddresses)] {
		p := place(a)
		if stop := w.Check(p); stop == nil {
			places = append(places, p)
		} else if why == nil || stop.Outcome == exposure.OptedOut {
			why = stop
		}
	}
	if why != nil && why.Outcome == exposure.OptedOut {
		return nil, why // who opts out with one address does not mean the others
	}
	if len(places) == 0 {
		return nil, why
	}
	return places, nil
}

func (w *Wall) resolve(ctx context.Context, name string) ([]netip.Addr, *exposure.Stop) {
	select {
	case w.lookups <- struct{}{}:
		defer func() { <-w.lookups }()
	case <-ctx.Done():
		return nil, &exposure.Stop{Outcome: exposure.Aborted, Why: postern.Say("exposure.stop.interrupted")}
	}
	within, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	addresses, err := w.lookup(within, name)
	var dns *net.DNSError
	switch {
	case err == nil && len(addresses) > 0:
		return addresses, nil
	case ctx.Err() != nil:
		return nil, &exposure.Stop{Outcome: exposure.Aborted, Why: postern.Say("exposure.stop.interrupted")}
	case err == nil, errors.As(err, &dns) && dns.IsNotFound:
		return nil, &exposure.Stop{Outcome: exposure.DNSError, Why: postern.Say("exposure.stop.no-such-name", "name", name)}
	}
	return nil, &exposure.Stop{Outcome: exposure.DNSError, Why: postern.Say("exposure.stop.resolver", "name", name)}
}

// Dial connects to a place. An error that is an *[exposure.Stop] says that it may
// not. The connection is cut when its host opts out.
func (w *Wall) Dial(ctx context.Context, p exposure.Place) (net.Conn, error) {
	if stop := w.Check(p); stop != nil {
		return nil, stop
	}
	inner, err := w.dialer.DialContext(ctx, "tcp", p.AddrPort().String())
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, wall: w, place: p}
	w.mu.Lock()
	w.open[c] = struct{}{}
	w.mu.Unlock()
	if stop := w.Check(p); stop != nil { // opted out while the connection was made
		c.Close()
		return nil, stop
	}
	return c, nil
}

// Sweep cuts the connections to hosts that may no longer be contacted. It is called
// when the opt-out list has changed.
func (w *Wall) Sweep() {
	w.mu.Lock()
	list := make([]*conn, 0, len(w.open))
	for c := range w.open {
		list = append(list, c)
	}
	w.mu.Unlock()
	for _, c := range list {
		if w.Check(c.place) != nil {
			c.Close()
		}
	}
}

// conn is a connection that the wall can cut.
type conn struct {
	net.Conn
	wall  *Wall
	place exposure.Place
}

func (c *conn) Close() error {
	c.wall.mu.Lock()
	delete(c.wall.open, c)
	c.wall.mu.Unlock()
	return c.Conn.Close()
}
