package picture

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// never is the right end of an interval that has none.
const never = 1 << 20

// onGrid puts intervals (left, right] of real data on a grid of their ends.
func onGrid(data [][2]int) (sample, []int) {
	var ends []int
	for _, d := range data {
		if d[0] > 0 {
			ends = append(ends, d[0])
		}
		if d[1] < never {
			ends = append(ends, d[1])
		}
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	s := sample{instants: len(ends)}
	for _, d := range data {
		c := class{after: -1, by: len(ends), entered: -1}
		if i, ok := slices.BinarySearch(ends, d[0]); ok {
			c.after = i
		}
		if i, ok := slices.BinarySearch(ends, d[1]); ok {
			c.by = i
		}
		s.classes = append(s.classes, c)
		s.weight = append(s.weight, 1)
	}
	return s, ends
}

// The cosmesis trial of Beadle and others, as given by Finkelstein and Wolfe
// (Biometrics 41, 1985): months to retraction, radiotherapy alone.
var radiotherapy = [][2]int{
	{45, never}, {25, 37}, {37, never}, {6, 10}, {46, never}, {0, 5}, {0, 7}, {26, 40}, {18, never}, {46, never},
	{46, never}, {24, never}, {46, never}, {27, 34}, {36, never}, {7, 16}, {36, 44}, {5, 11}, {17, never}, {46, never},
	{19, 35}, {7, 14}, {36, 48}, {17, 25}, {37, 44}, {37, never}, {24, never}, {0, 8}, {40, never}, {32, never},
	{4, 11}, {17, 25}, {33, never}, {15, never}, {46, never}, {19, 26}, {11, 15}, {11, 18}, {37, never}, {22, never},
	{38, never}, {34, never}, {46, never}, {5, 12}, {36, never}, {46, never},
}

// TestCosmesis holds the estimate against the published one for these data.
func TestCosmesis(t *testing.T) {
	t.Parallel()
	s, ends := onGrid(radiotherapy)
	if len(radiotherapy) != 46 {
		t.Fatalf("%d patients, want 46", len(radiotherapy))
	}
	share, jumps := s.fit(nil, 1e-10)
	want := map[int]float64{5: 0.0463, 7: 0.0334, 8: 0.0887, 12: 0.0708, 25: 0.0926, 34: 0.0818, 40: 0.1209, 48: 0.4656}
	for j, end := range ends {
		if got := jumps[j]; math.Abs(got-want[end]) > 0.0002 {
			t.Errorf("jump by month %d is %.4f, want %.4f", end, got, want[end])
		}
	}
	if got := 1 - share[slices.Index(ends, 46)]; math.Abs(got-0.4656) > 0.0002 {
		t.Errorf("left after 46 months %.4f, want 0.4656", got)
	}
}

// productLimit is the estimate of Kaplan and Meier with delayed entry, written down
// apart: at each instant, of those at risk, how many went.
func productLimit(s *sample) []float64 {
	share, left := make([]float64, s.instants), 1.0
	for k := range s.instants {
		risk, gone := 0.0, 0.0
		for i, c := range s.classes {
			if c.entered < k && c.after >= k-1 {
				switch {
				case c.by == k:
					risk, gone = risk+s.weight[i], gone+s.weight[i]
				case c.after >= k:
					risk += s.weight[i]
				}
			}
		}
		if risk > 0 {
			left *= 1 - gone/risk
		}
		share[k] = 1 - left
	}
	return share
}

// TestProductLimit: where every host is seen at every scan until it is fixed or
// lost, the estimate is the product-limit one, with and without late entry.
func TestProductLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const k = 6
		s := sample{instants: k}
		n := rapid.IntRange(1, 60).Draw(t, "hosts")
		for range n {
			entered := -1
			if rapid.IntRange(0, 3).Draw(t, "late") == 0 {
				entered = rapid.IntRange(0, k-2).Draw(t, "entered")
			}
			after := rapid.IntRange(max(entered, -1), k-1).Draw(t, "after")
			by := k
			if after < k-1 && rapid.Bool().Draw(t, "fixed") {
				by = after + 1
			}
			s.classes = append(s.classes, class{after, by, entered})
			s.weight = append(s.weight, 1)
		}
		// An instant before which nobody was at risk says nothing; keep some there.
		for range 3 {
			s.classes = append(s.classes, class{k - 1, k, -1})
			s.weight = append(s.weight, 1)
		}
		got, _ := s.fit(nil, 1e-11)
		for i, want := range productLimit(&s) {
			if math.Abs(got[i]-want) > 1e-4 {
				t.Fatalf("share by %d is %.6f, want %.6f: %v", i, got[i], want, s.classes)
			}
		}
	})
}

// TestFitProperties: a share of a whole, never falling, the same in any order, and
// no other shape is likelier by a step.
func TestFitProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 8).Draw(t, "instants")
		s := sample{instants: k}
		for range rapid.IntRange(1, 40).Draw(t, "classes") {
			after := rapid.IntRange(-1, k-1).Draw(t, "after")
			by := rapid.IntRange(after+1, k).Draw(t, "by")
			entered := rapid.IntRange(-1, max(after, -1)).Draw(t, "entered")
			s.classes = append(s.classes, class{after, by, entered})
			s.weight = append(s.weight, float64(rapid.IntRange(1, 9).Draw(t, "weight")))
		}
		share, _ := s.fit(nil, tolerance)
		last := 0.0
		for i, x := range share {
			if math.IsNaN(x) || x < last-1e-9 || x > 1 {
				t.Fatalf("share by %d is %v after %v", i, x, last)
			}
			last = x
		}
		turned := sample{instants: k, classes: slices.Clone(s.classes), weight: slices.Clone(s.weight)}
		slices.Reverse(turned.classes)
		slices.Reverse(turned.weight)
		again, _ := turned.fit(nil, tolerance)
		for i := range share {
			if math.Abs(share[i]-again[i]) > 1e-9 {
				t.Fatalf("in another order the share by %d is %v, not %v", i, again[i], share[i])
			}
		}
	})
}
