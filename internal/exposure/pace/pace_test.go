package pace

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/exposure"
)

func at(a string, asn uint32) exposure.Place {
	return exposure.Place{Address: netip.MustParseAddr(a), ASN: asn}
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Rates{All: 100, Network: 10, AS: 5}, func(a netip.Addr) bool { return a.IsLoopback() }, nil)
		for i, c := range []struct {
			place exposure.Place
			want  time.Duration
		}{
			{at("198.41.0.1", 0), 0},
			{at("198.41.0.2", 0), 100 * time.Millisecond}, // same /24
			{at("198.41.1.1", 1), 20 * time.Millisecond},  // only the limit on all
			{at("198.41.2.1", 1), 220 * time.Millisecond}, // same AS
			{at("2a00::1", 0), 40 * time.Millisecond},
			{at("2a00:0:0:1::1", 0), 140 * time.Millisecond}, // same /48
			{at("127.0.0.1", 1), 60 * time.Millisecond},      // a laboratory has no neighbours
			{at("127.0.0.2", 1), 70 * time.Millisecond},
		} {
			if got := p.Turn(c.place).Round(time.Millisecond); got != c.want {
				t.Errorf("%d: %v waits %v, want %v", i, c.place.Address, got, c.want)
			}
		}
		time.Sleep(time.Minute) // of the bubble's clock
		if got := p.Turn(at("198.41.0.3", 1)); got != 0 {
			t.Errorf("waits %v after a minute of quiet", got)
		}
		free := New(Rates{}, nil, nil)
		for range 10 {
			if got := free.Turn(at("198.41.0.1", 1)); got != 0 {
				t.Errorf("waits %v without limits", got)
			}
		}
	})
}

func TestTake(t *testing.T) {
	t.Parallel()
	p := New(Rates{}, nil, nil)
	give, ok := p.Take(at("192.0.2.1", 0))
	if _, again := p.Take(at("192.0.2.1", 0)); !ok || again {
		t.Errorf("taken %v, and again %v", ok, again)
	}
	give()
	if _, ok := p.Take(at("192.0.2.1", 0)); !ok {
		t.Error("not given back")
	}
}

func TestForgets(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	p := New(Rates{Network: 10}, nil, func() time.Time { now = now.Add(time.Millisecond); return now })
	for i := range 3 * maxIdle {
		p.Turn(exposure.Place{Address: netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)})})
		p.Turn(exposure.Place{Address: netip.AddrFrom4([4]byte{byte(30 + i>>16), byte(i >> 8), byte(i), 1})})
	}
	if len(p.networks) > maxIdle+1 {
		t.Errorf("%d networks remembered", len(p.networks))
	}
}
