package sigma

import "testing"

// TestOrder says which part of a rule that every event is asked about comes first.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ detection, order string }{
		// Nearly every program ends so: what excludes it decides.
		{"s: {Image|endswith: [.bin, .exe]}\nt: {ParentImage: null}\ncondition: not s and not t", "not Image and not ParentImage"},
		{"s: {ParentImage: null}\nt: {Image|endswith: [.bin, .exe]}\ncondition: s or t", "Image or ParentImage"},
		// What is rare decides soonest where it must be there, and what is slow comes last.
		{"s: {Image|re: x}\nt: {ParentImage|contains: .exe}\nu: {ParentCommandLine|contains: qzxv}\ncondition: not (s and t and u)", "not ParentCommandLine and ParentImage and Image"},
	} {
		g := NewSet([]*Rule{mustCompile(t, ruleText(c.detection))}, anywhere, nil).group("")
		if got := written(g, g.rests[0].step); got != c.order {
			t.Errorf("%s: got %q, want %q", c.detection, got, c.order)
		}
	}
}
