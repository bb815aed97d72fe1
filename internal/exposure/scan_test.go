package exposure

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern"
)

// world is the stages of a scan, working and in memory.
type world struct {
	mu     sync.Mutex
	visits map[string]int
	lines  []string
	busy   map[netip.Addr]bool
	look   func(p Place, o *Observation, n int) time.Duration
}

func (w *world) scan(workers int) *Scan {
	w.visits, w.busy = map[string]int{}, map[netip.Addr]bool{}
	seen := map[uint64]bool{}
	return &Scan{
		Workers: workers, Now: time.Now, Progress: &Progress{},
		Places: func(_ context.Context, t *Target) ([]Place, *Stop) {
			switch t.Name {
			case "outside.example":
				return nil, &Stop{OutOfScope, postern.Say("test")}
			case "three.example":
				return []Place{{Address: netip.MustParseAddr("192.0.2.101")}, {Address: netip.MustParseAddr("192.0.2.102")}, {Address: netip.MustParseAddr("192.0.2.103")}}, nil
			}
			return []Place{{Name: t.Name, Address: t.Address, Port: t.Port}}, nil
		},
		Turn: func(Place) time.Duration { return 0 },
		Take: func(p Place) (func(), bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.busy[p.Address] {
				return nil, false
			}
			w.busy[p.Address] = true
			return func() { w.mu.Lock(); delete(w.busy, p.Address); w.mu.Unlock() }, true
		},
		Look: func(ctx context.Context, p Place, o *Observation) time.Duration {
			w.mu.Lock()
			w.visits[p.Address.String()]++
			n := w.visits[p.Address.String()]
			w.mu.Unlock()
			o.Outcome = NotExchange
			o.Requests++
			if w.look != nil {
				return w.look(p, o, n)
			}
			return 0
		},
		Finish: func(o *Observation) ([]byte, error) { return []byte(o.Target + " " + string(o.Outcome)), nil },
		Emit: func(_ *Target, o *Observation, line []byte) error {
			w.lines = append(w.lines, fmt.Sprintf("%s %s %d", line, o.Address, o.Requests))
			return nil
		},
		Skip: func(t *Target) (bool, error) { k := t.Key(); was := seen[k]; seen[k] = true; return was, nil },
	}
}

func targetsOf(names ...string) iter.Seq2[Target, error] {
	return func(yield func(Target, error) bool) {
		for _, n := range names {
			t := Target{Text: n, Port: 443}
			if a, err := netip.ParseAddr(n); err == nil {
				t.Address = a
			} else {
				t.Name = n
			}
			if !yield(t, nil) {
				return
			}
		}
	}
}

func TestEveryTargetOnce(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 3000 {
		names = append(names, fmt.Sprintf("10.0.%d.%d", i/250, i%250))
	}
	names = append(names, names[:500]...)
	w := &world{}
	s := w.scan(20)
	if err := s.Run(context.Background(), targetsOf(names...)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(w.lines)
	if n := len(slices.Compact(w.lines)); n != 3000 || len(w.lines) != 3000 || s.Progress.Skipped.Load() != 500 || s.Progress.Done.Load() != 3000 {
		t.Errorf("%d lines, %d different, %d skipped", len(w.lines), n, s.Progress.Skipped.Load())
	}
}

// TestStumbling lets the answers of one host bring the program down: it has a record like
// all others, and its host is free again.
func TestStumbling(t *testing.T) {
	t.Parallel()
	w := &world{look: func(p Place, o *Observation, _ int) time.Duration {
		if p.Address == netip.MustParseAddr("10.0.0.2") {
			panic("made to fail")
		}
		return 0
	}}
	s := w.scan(2)
	if err := s.Run(context.Background(), targetsOf("10.0.0.1", "10.0.0.2", "10.0.0.3")); err != nil {
		t.Fatal(err)
	}
	slices.Sort(w.lines)
	want := []string{"10.0.0.1 not-exchange 10.0.0.1 1", "10.0.0.2 aborted 10.0.0.2 1", "10.0.0.3 not-exchange 10.0.0.3 1"}
	if !slices.Equal(w.lines, want) || len(w.busy) != 0 {
		t.Errorf("records %q, busy %v; want %q and none", w.lines, w.busy, want)
	}
}

func TestWaitingVisits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.look = func(p Place, o *Observation, n int) time.Duration {
			switch p.Address.String() {
			case "192.0.2.1": // asks for patience once
				if n == 1 {
					o.Outcome = Aborted
					return 30 * time.Second
				}
			case "192.0.2.2": // asks for more than we have
				o.Outcome = Aborted
				return time.Hour
			case "192.0.2.3": // asks for ever
				o.Outcome = Aborted
				return time.Second
			case "192.0.2.101", "192.0.2.102":
				o.Outcome = Refused
			}
			return 0
		}
		s := w.scan(3)
		slow := 0
		s.Turn = func(p Place) time.Duration {
			if p.Address == netip.MustParseAddr("192.0.2.4") {
				slow++
				return time.Minute
			}
			return 0
		}
		start := time.Now()
		if err := s.Run(context.Background(), targetsOf("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "outside.example", "three.example")); err != nil {
			t.Fatal(err)
		}
		slices.Sort(w.lines)
		want := []string{"192.0.2.1 not-exchange 192.0.2.1 2", "192.0.2.2 aborted 192.0.2.2 1", "192.0.2.3 aborted 192.0.2.3 4", "192.0.2.4 not-exchange 192.0.2.4 1",
			"outside.example out-of-scope  0", "three.example not-exchange 192.0.2.103 3"}
		if !slices.Equal(w.lines, want) {
			t.Errorf("got %q\nwant %q", w.lines, want)
		}
		if took := time.Since(start); took < time.Minute || took > 62*time.Second || slow != 1 {
			t.Errorf("took %v, %d turns of the slow network", took, slow)
		}
	})
}

// TestOneVisitorAtATime: names that share an address are looked at one after another.
func TestOneVisitorAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		inside, most := 0, 0
		w.look = func(_ Place, _ *Observation, _ int) time.Duration {
			w.mu.Lock()
			inside++
			most = max(most, inside)
			w.mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			w.mu.Lock()
			inside--
			w.mu.Unlock()
			return 0
		}
		s := w.scan(8)
		s.Places = func(context.Context, *Target) ([]Place, *Stop) {
			return []Place{{Address: netip.MustParseAddr("192.0.2.1")}}, nil
		}
		if err := s.Run(context.Background(), targetsOf("a.example", "b.example", "c.example", "d.example", "e.example")); err != nil {
			t.Fatal(err)
		}
		if most != 1 || len(w.lines) != 5 {
			t.Errorf("%d visitors at once, %d lines", most, len(w.lines))
		}
	})
}

func TestEndsWithItsErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	w := &world{}
	s := w.scan(4)
	s.Emit = func(*Target, *Observation, []byte) error { return boom }
	if err := s.Run(context.Background(), targetsOf("192.0.2.1", "192.0.2.2")); !errors.Is(err, boom) {
		t.Errorf("a full disk: %v", err)
	}
	s = (&world{}).scan(4)
	if err := s.Run(context.Background(), func(yield func(Target, error) bool) { yield(Target{}, boom) }); !errors.Is(err, boom) {
		t.Errorf("a list that breaks off: %v", err)
	}
}

// TestInterrupted: what was under way is reported as aborted, or left for another run.
func TestInterrupted(t *testing.T) {
	for _, abandon := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			w := &world{}
			w.look = func(p Place, o *Observation, _ int) time.Duration {
				if p.Address == netip.MustParseAddr("192.0.2.2") {
					cancel()
					o.Outcome = Aborted
				}
				return 0
			}
			s := w.scan(1)
			s.Abandon = abandon
			if err := s.Run(ctx, targetsOf("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")); !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
			synctest.Wait()
			want := 1
			if abandon {
				want = 2
			}
			if len(w.lines) != want {
				t.Errorf("abandon %v: lines %q", abandon, w.lines)
			}
		})
	}
}
