package probe

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// lend is how long a visit may wait for its host and still count as work under
// way. A host that takes longer is waiting, not working, and another may begin.
const lend = 25 * time.Millisecond

// Gate bounds the visits that are at work at once. Handshakes are three quarters of
// the work; without a bound they queue for the processor on both sides, and hosts
// that live are taken for dead.
type Gate struct{ slots chan struct{} }

// NewGate makes a gate for n visits.
func NewGate(n int) *Gate { return &Gate{slots: make(chan struct{}, max(n, 1))} }

// pass is one visit's place in the gate. While the visit waits for its host longer
// than lend, another has the place.
type pass struct {
	gate  *Gate
	mu    sync.Mutex
	held  bool
	timer *time.Timer
}

// enter waits for a place.
func (g *Gate) enter(ctx context.Context) (*pass, error) {
	select {
	case g.slots <- struct{}{}:
		return &pass{gate: g, held: true}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// waits says that the visit waits for its host now.
func (p *pass) waits() {
	if p.timer == nil {
		p.timer = time.AfterFunc(lend, p.release)
	} else {
		p.timer.Reset(lend)
	}
}

// works says that the host has answered. It gives how long the visit had to wait for
// a place again: that time is ours, not the host's.
func (p *pass) works() time.Duration {
	p.timer.Stop()
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held {
		return 0
	}
	start := time.Now()
	p.gate.slots <- struct{}{} // a place comes back within lend
	p.mu.Lock()
	p.held = true
	p.mu.Unlock()
	return time.Since(start)
}

// release gives the place back, if it is held.
func (p *pass) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.held = false
		<-p.gate.slots
	}
}

// line is the connection as a visit sees it: it counts bytes, and it lends the place in
// the gate while it waits for the host.
type line struct {
	net.Conn
	visit *visit
	until time.Time // the deadline of what is going on
	bytes atomic.Int64
	// others is set when goroutines that are not the visit's read and write (HTTP/2 has
	// its own): they count bytes and touch nothing else.
	others bool
}

func (l *line) Read(b []byte) (int, error) {
	if l.others {
		n, err := l.Conn.Read(b)
		l.bytes.Add(int64(n))
		return n, err
	}
	l.visit.pass.waits()
	n, err := l.Conn.Read(b)
	if late := l.visit.pass.works(); late > 0 {
		l.visit.until = l.visit.until.Add(late)
		l.limit(l.until.Add(late))
	}
	l.bytes.Add(int64(n))
	return n, err
}

func (l *line) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	l.bytes.Add(int64(n))
	return n, err
}

// end closes the connection and adds its bytes to the record.
func (l *line) end() {
	l.Conn.Close()
	l.visit.o.Bytes += l.bytes.Swap(0)
}

// limit moves the deadline.
func (l *line) limit(until time.Time) {
	l.until = until
	_ = l.Conn.SetDeadline(until)
}
