package picture

import (
	"cmp"
	"math"
	"slices"
)

// class is a group of hosts with the same knowledge about when they were fixed.
// Times are places on a grid t0 < t1 < … of K instants. Open at t[after] and fixed
// by t[by]: the fix came in between. After is -1 if the host was never seen open,
// by is K if it was never seen fixed. Entered is the instant at which the host
// joined the count being open, so that it could not have been counted had it been
// fixed by then; -1 if it was there from the start.
type class struct{ after, by, entered int }

// sample is classes with how many hosts each stands for. Weights need not be whole
// numbers: the band weighs hosts at random.
type sample struct {
	instants int // K
	classes  []class
	weight   []float64
}

// Bounds of the iteration. Steps are accelerated; the largest real histories need
// some dozens.
const (
	maxSteps  = 400
	tolerance = 1e-7 // largest change of a share in one step at which the estimate stands
)

// fit gives the estimate: the share fixed by each instant. It starts from a former
// estimate's jumps if there are any. The second result is the jumps, one for each
// gap between instants: jumps[j] falls after t[j-1] and by t[j]; the last, jumps[K],
// is never.
func (s *sample) fit(from []float64, tol float64) (share, jumps []float64) {
	k := s.instants
	p := make([]float64, k+1)
	for j, may := range s.support() {
		switch {
		case !may:
		case from == nil:
			p[j] = 1
		default: // a jump of nothing could never grow again: leave a little
			p[j] = from[j] + 1e-6/float64(k+1)
		}
	}
	normalise(p)
	e := newStepper(s)
	one, two, jump := make([]float64, k+1), make([]float64, k+1), make([]float64, k+1)
	for n := 0; n < maxSteps; n++ {
		// Two plain steps, and a leap along what they have in common (SQUAREM, Varadhan
		// and Roland 2008), kept if the likelihood does not suffer.
		e.step(p, one)
		like := e.step(one, two)
		if distance(one, two) < tol {
			p = two
			break
		}
		var rr, vv float64
		for j := range p {
			r, v := one[j]-p[j], two[j]-2*one[j]+p[j]
			rr += r * r
			vv += v * v
		}
		if vv == 0 {
			p = two
			break
		}
		alpha := -math.Sqrt(rr / vv)
		if alpha > -1 {
			alpha = -1
		}
		for j := range p {
			r, v := one[j]-p[j], two[j]-2*one[j]+p[j]
			// Never to zero: a leap may overshoot a jump that is small but real.
			jump[j] = max(p[j]-2*alpha*r+alpha*alpha*v, two[j]*1e-3)
		}
		normalise(jump)
		if e.step(jump, p) < like {
			copy(p, two)
		}
	}
	share = make([]float64, k)
	sum := 0.0
	for j := range k {
		sum += p[j]
		share[j] = math.Min(sum, 1)
	}
	return share, p
}

// support says where the likelihood can want a jump: between the last instant at
// which somebody was open and the first by which somebody was fixed, or had to be in
// order not to join late (Frydman, 1994). Where within such a gap the data do not say;
// the jump is put at its end, so that nothing counts as fixed before it must.
func (s *sample) support() []bool {
	k := s.instants
	after, by := make([]bool, k+1), make([]bool, k+1)
	after[0], by[k] = true, true // shifted by one: after[0] is the beginning
	for _, c := range s.classes {
		after[c.after+1] = true
		by[c.by] = true
		if c.entered >= 0 {
			by[c.entered] = true
		}
	}
	may := make([]bool, k+1)
	open := false // an instant at which somebody was open lies behind, and no end since
	for j := range may {
		open = open || after[j]
		if by[j] {
			may[j] = open
			open = false
		}
	}
	return may
}

func normalise(p []float64) {
	sum := 0.0
	for _, x := range p {
		sum += x
	}
	for j := range p {
		p[j] /= sum
	}
}

// distance is the largest difference between two cumulative shares.
func distance(p, q []float64) float64 {
	var far, sum float64
	for j := range p {
		sum += p[j] - q[j]
		far = math.Max(far, math.Abs(sum))
	}
	return far
}

// stepper does the self-consistency step in time linear in classes and instants.
type stepper struct {
	s    *sample
	sum  []float64 // sum[j] is the share in jumps before j
	gain []float64 // differences of what each jump gets for one unit of its own share
}

func newStepper(s *sample) *stepper {
	return &stepper{s: s.ordered(), sum: make([]float64, s.instants+2), gain: make([]float64, s.instants+2)}
}

// ordered gives the sample with its classes in order and each once. Sums of
// rounded numbers depend on their order, and a leap that is barely taken or not can
// make that visible: the same hosts must give the same curve however they come.
func (s *sample) ordered() *sample {
	inOrder := func(a, b class) int {
		return cmp.Or(cmp.Compare(a.after, b.after), cmp.Compare(a.by, b.by), cmp.Compare(a.entered, b.entered))
	}
	strictly := true
	for i := 1; i < len(s.classes) && strictly; i++ {
		strictly = inOrder(s.classes[i-1], s.classes[i]) < 0
	}
	if strictly {
		return s
	}
	at := make([]int, len(s.classes))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(a, b int) int {
		return cmp.Or(inOrder(s.classes[a], s.classes[b]), cmp.Compare(s.weight[a], s.weight[b]))
	})
	o := &sample{instants: s.instants}
	for _, i := range at {
		if n := len(o.classes); n > 0 && o.classes[n-1] == s.classes[i] {
			o.weight[n-1] += s.weight[i]
			continue
		}
		o.classes = append(o.classes, s.classes[i])
		o.weight = append(o.weight, s.weight[i])
	}
	return o
}

// step takes p to out and gives the logarithm of the likelihood of p. Each class
// spreads its hosts over the jumps that it allows, in proportion to p; and each
// host that joined late stands for those that would have joined had they not been
// fixed before, spread over the jumps up to then.
func (e *stepper) step(p, out []float64) float64 {
	k := e.s.instants
	for j := range p {
		e.sum[j+1] = e.sum[j] + p[j]
	}
	clear(e.gain)
	like, total := 0.0, 0.0
	for i, c := range e.s.classes {
		w := e.s.weight[i]
		if w == 0 {
			continue
		}
		in := e.sum[c.by+1] - e.sum[c.after+1]
		if in < 1e-300 {
			in = 1e-300
		}
		like += w * math.Log(in)
		total += w
		e.gain[c.after+1] += w / in
		e.gain[c.by+1] -= w / in
		if c.entered >= 0 {
			left := math.Max(e.sum[k+1]-e.sum[c.entered+1], 1e-300)
			like -= w * math.Log(left)
			total += w * e.sum[c.entered+1] / left
			e.gain[0] += w / left
			e.gain[c.entered+1] -= w / left
		}
	}
	if total == 0 {
		copy(out, p)
		return like
	}
	g := 0.0
	for j := range p {
		g += e.gain[j]
		out[j] = math.Max(p[j]*g/total, 0)
	}
	normalise(out)
	return like
}
