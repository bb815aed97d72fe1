// Package pace spreads a scan over the networks that it visits: so many hosts a second
// in all, in one neighbourhood (/24 or /48) and in one AS, and one visitor at a time
// at a host.
//
// Input: places about to be visited. Output: how long to wait. Units: hosts a second.
package pace

import (
	"net/netip"
	"sync"
	"time"

	"postern/internal/exposure"
)

// Rates are how many hosts a second are begun; 0 is no limit.
type Rates struct {
	All     float64
	Network float64 // in one /24 of IPv4 or /48 of IPv6
	AS      float64 // in one AS, where it is known
}

// maxIdle is how many neighbourhoods are remembered before those whose turn has long
// passed are forgotten.
const maxIdle = 1 << 15

// Pacer gives out turns. It is safe for use by several goroutines.
type Pacer struct {
	rates  Rates
	exempt func(netip.Addr) bool
	now    func() time.Time

	mu       sync.Mutex
	all      time.Time
	networks map[netip.Prefix]time.Time
	as       map[uint32]time.Time
	taken    map[netip.Addr]struct{}
}

// New makes a pacer. Addresses for which exempt is true are paced by no
// neighbourhood: a laboratory is nobody's network. Now nil is the clock.
func New(r Rates, exempt func(netip.Addr) bool, now func() time.Time) *Pacer {
	if now == nil {
		now = time.Now
	}
	return &Pacer{rates: r, exempt: exempt, now: now, networks: map[netip.Prefix]time.Time{}, as: map[uint32]time.Time{}, taken: map[netip.Addr]struct{}{}}
}

// Turn reserves the next moment at which the place may be visited and gives the time
// until then.
func (p *Pacer) Turn(at exposure.Place) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	turn := now
	later := func(t time.Time) {
		if t.After(turn) {
			turn = t
		}
	}
	near := p.exempt == nil || !p.exempt(at.Address)
	network := Neighbourhood(at.Address)
	if p.rates.All > 0 {
		later(p.all)
	}
	if near && p.rates.Network > 0 {
		later(p.networks[network])
	}
	if near && p.rates.AS > 0 && at.ASN != 0 {
		later(p.as[at.ASN])
	}
	// Each limit counts from the moment that all of them allow, but the limit on all
	// must not wait for one slow network.
	if p.rates.All > 0 {
		p.all = maxTime(p.all, now).Add(gap(p.rates.All))
	}
	if near && p.rates.Network > 0 {
		p.networks[network] = turn.Add(gap(p.rates.Network))
	}
	if near && p.rates.AS > 0 && at.ASN != 0 {
		p.as[at.ASN] = turn.Add(gap(p.rates.AS))
	}
	if len(p.networks) > maxIdle {
		forget(p.networks, now)
	}
	if len(p.as) > maxIdle {
		forget(p.as, now)
	}
	return turn.Sub(now)
}

func gap(rate float64) time.Duration { return time.Duration(float64(time.Second) / rate) }

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// forget drops what no longer holds anybody back.
func forget[K comparable](m map[K]time.Time, now time.Time) {
	for k, t := range m {
		if !t.After(now) {
			delete(m, k)
		}
	}
}

// Neighbourhood gives the network that an address is paced with.
func Neighbourhood(a netip.Addr) netip.Prefix {
	bits := 48
	if a = a.Unmap(); a.Is4() {
		bits = 24
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// Take makes a host the caller's alone until give is called; false if another has it.
func (p *Pacer) Take(at exposure.Place) (give func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.taken[at.Address]; taken {
		return nil, false
	}
	p.taken[at.Address] = struct{}{}
	return func() {
		p.mu.Lock()
		delete(p.taken, at.Address)
		p.mu.Unlock()
	}, true
}
