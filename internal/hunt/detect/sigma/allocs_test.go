//go:build !race

// The race detector makes sync.Pool forget on purpose.

package sigma

import "testing"

func TestQuietEventAllocatesNothing(t *testing.T) {
	set := NewSet(synthetic(t, 200), anywhere, nil)
	ev := quietEvent()
	var out []Match
	if n := testing.AllocsPerRun(100, func() { out = set.Eval(ev, out[:0]) }); n > 0 || len(out) > 0 {
		t.Errorf("got %v allocations and %d matches, want none", n, len(out))
	}
}
