package picture

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// The bands are drawn by weighing the operators anew, each by an exponential
// weight, and fitting again: the Bayesian form of the cluster bootstrap. All hosts
// of one operator share one weight, so that what they have in common is not taken
// for many independent facts. Operators with one host, often most of them, need not
// be drawn one by one: the weights of the m of a class together are a gamma variate.
//
// The spread is taken on the scale asin(sqrt(share)), on which it does not depend on
// the share, with Student's quantile for the effective number of operators. Where
// the draws do not spread, near 0 and 1, the exact binomial interval (Clopper and
// Pearson) for the effective number of hosts is the floor.
const (
	confidence   = 0.95
	fewOperators = 20 // below, the spread between operators is itself hardly known
	drawTol      = 2e-5
)

// bander knows the operators of one population.
type bander struct {
	rng       *rand.Rand
	draws     int
	operators int
	largest   float64 // share of the largest operator's hosts
	freedom   float64 // effective number of operators, less one
	inflate   float64 // of spreads, for operators that pull the estimate towards themselves
	multi     map[uint32]int32
}

// alone is the operator of hosts that have none, or that are their operator's only one.
const alone = -1

// newBander looks at the hosts that the curve is about: the decided ones, or all.
func newBander(p *population, all bool) *bander {
	b := &bander{rng: rand.New(rand.NewPCG(p.o.Seed, 0x706f737465726e)), draws: p.o.Draws, multi: map[uint32]int32{}}
	size := map[uint32]int{}
	total := 0
	for i := range p.lives {
		if m := &p.lives[i]; m.decided() || all && m.start != none {
			size[m.cluster]++
			total++
		}
	}
	// One operator has no others to be compared with: its hosts are then taken one by one.
	named := len(size)
	if _, unnamed := size[0]; unnamed {
		named--
	}
	order := make([]uint32, 0, len(size))
	squares, pulled, most := 0.0, 0.0, 1  // sums in a fixed order, so that every run agrees
	count := func(operators, hosts int) { // each with so many hosts
		b.operators += operators
		h := float64(hosts)
		squares += float64(operators) * h * h
		// As the jackknife does: a large operator hides a part of its own deviation.
		rest := max(1-h/float64(total), 0.1)
		pulled += float64(operators) * h * h / (rest * rest)
		most = max(most, hosts)
	}
	singles := 0
	for c, n := range size {
		if c == 0 || n == 1 || named == 1 && size[0] == 0 {
			singles += n
		} else {
			order = append(order, c)
		}
	}
	count(singles, 1)
	// By name: numbers depend on who was read first, and the draws must not.
	slices.SortFunc(order, func(x, y uint32) int { return cmp.Compare(p.operators[x], p.operators[y]) })
	for i, c := range order {
		b.multi[c] = int32(i)
		count(1, size[c])
	}
	if named == 1 && size[0] == 0 {
		b.operators = 1
	}
	if total > 0 {
		b.largest = float64(most) / float64(total)
		b.freedom = math.Max(float64(total)*float64(total)/squares-1, 2)
		b.inflate = math.Sqrt(pulled / squares)
	}
	return b
}

// of gives the operator's number, alone for a host by itself.
func (b *bander) of(m *life) int32 {
	if i, ok := b.multi[m.cluster]; ok {
		return i
	}
	return alone
}

// tally is classes with how many hosts they hold, by operator.
type tally struct {
	instants int
	index    map[class]int32
	classes  []class
	single   []float64
	pairs    map[[2]int32]int32 // operator and class → hosts
}

func newTally(instants int) *tally {
	return &tally{instants: instants, index: map[class]int32{}, pairs: map[[2]int32]int32{}}
}

func (t *tally) add(c class, operator int32) {
	i, ok := t.index[c]
	if !ok {
		i = int32(len(t.classes))
		t.index[c] = i
		t.classes = append(t.classes, c)
		t.single = append(t.single, 0)
	}
	if operator == alone {
		t.single[i]++
		return
	}
	t.pairs[[2]int32{operator, i}]++
}

// sorted puts the classes into an order that does not depend on that of the hosts,
// so that sums and draws are the same.
func (t *tally) sorted() (single []float64, pairs [][3]int32) {
	order := make([]int32, len(t.classes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(x, y int32) int {
		a, b := t.classes[x], t.classes[y]
		return cmp.Or(cmp.Compare(a.after, b.after), cmp.Compare(a.by, b.by), cmp.Compare(a.entered, b.entered))
	})
	to := make([]int32, len(order))
	classes := make([]class, len(order))
	single = make([]float64, len(order))
	for n, o := range order {
		to[o], classes[n], single[n] = int32(n), t.classes[o], t.single[o]
	}
	pairs = make([][3]int32, 0, len(t.pairs))
	for k, n := range t.pairs {
		pairs = append(pairs, [3]int32{k[0], to[k[1]], n})
	}
	slices.SortFunc(pairs, func(a, b [3]int32) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	t.classes, t.single, t.pairs = classes, single, nil
	return single, pairs
}

// sample gives every host the weight one.
func (t *tally) sample() *sample {
	single, pairs := t.sorted()
	s := &sample{instants: t.instants, classes: t.classes, weight: slices.Clone(single)}
	for _, p := range pairs {
		s.weight[p[1]] += float64(p[2])
	}
	return s
}

// band fits and draws the band.
func (b *bander) band(t *tally) []Point {
	single, pairs := t.sorted()
	s := &sample{instants: t.instants, classes: t.classes, weight: slices.Clone(single)}
	for _, p := range pairs {
		s.weight[p[1]] += float64(p[2])
	}
	share, jumps := s.fit(nil, tolerance)
	points := make([]Point, t.instants)
	known := s.known()
	theta := make([]float64, t.instants)
	for i, x := range share {
		points[i].Share, points[i].UndecidableLow, points[i].UndecidableHigh = x, x, x
		theta[i] = angle(x)
	}
	drawn := b.draw(s, single, pairs, jumps)
	spread, effect := spreads(drawn, share, known)
	for i := range spread {
		spread[i] *= b.inflate
	}
	effect *= b.inflate * b.inflate
	// Pointwise: Student's quantile. For the whole curve: the largest distance of a
	// drawn curve, at the point where it is largest.
	student := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: b.freedom}.Quantile(1 - (1-confidence)/2)
	sup := math.Max(supremum(drawn, theta, spread)*b.inflate*student/distuv.UnitNormal.Quantile(1-(1-confidence)/2), student)
	for i := range points {
		n := known[i] / effect
		p := &points[i]
		p.Low, p.High = interval(p.Share, theta[i], spread[i], student, n, (1-confidence)/2)
		p.CurveLow, p.CurveHigh = interval(p.Share, theta[i], spread[i], sup, n, 1-distuv.UnitNormal.CDF(sup))
	}
	// The true curve never falls, nor may its bounds: widened, never narrowed.
	for i := 1; i < len(points); i++ {
		points[i].High = max(points[i].High, points[i-1].High)
		points[i].CurveHigh = max(points[i].CurveHigh, points[i-1].CurveHigh)
	}
	for i := len(points) - 2; i >= 0; i-- {
		points[i].Low = min(points[i].Low, points[i+1].Low)
		points[i].CurveLow = min(points[i].CurveLow, points[i+1].CurveLow)
	}
	return points
}

func angle(share float64) float64 { return math.Asin(math.Sqrt(min(max(share, 0), 1))) }

func unangle(theta float64) float64 {
	s := math.Sin(min(max(theta, 0), math.Pi/2))
	return s * s
}

// known is how many hosts are known at each instant to be fixed or not.
func (s *sample) known() []float64 {
	diff := make([]float64, s.instants+1)
	for i, c := range s.classes {
		// Not known only strictly between the ends; nor before it joined the count.
		from := max(c.entered, 0)
		diff[from] += s.weight[i]
		if c.after+1 < c.by {
			diff[max(c.after+1, from)] -= s.weight[i]
			diff[c.by] += s.weight[i]
		}
	}
	n := make([]float64, s.instants)
	sum := 0.0
	for i := range n {
		sum += diff[i]
		n[i] = sum
	}
	return n
}

// draw fits again under random weights; one row a draw.
func (b *bander) draw(s *sample, single []float64, pairs [][3]int32, from []float64) [][]float64 {
	rows := make([][]float64, b.draws)
	w := sample{instants: s.instants, classes: s.classes, weight: make([]float64, len(s.weight))}
	for d := range rows {
		for i, m := range single {
			w.weight[i] = b.gamma(m)
		}
		for i := 0; i < len(pairs); {
			x := b.rng.ExpFloat64()
			for op := pairs[i][0]; i < len(pairs) && pairs[i][0] == op; i++ {
				w.weight[pairs[i][1]] += x * float64(pairs[i][2])
			}
		}
		rows[d], _ = w.fit(from, drawTol)
	}
	return rows
}

// gamma draws the sum of m exponential weights.
func (b *bander) gamma(m float64) float64 {
	switch {
	case m == 0:
		return 0
	case m < 8:
		x := 0.0
		for range int(m) {
			x += b.rng.ExpFloat64()
		}
		return x
	}
	return distuv.Gamma{Alpha: m, Beta: 1, Src: b.rng}.Rand()
}

// spreads gives the standard deviation of the drawn angles at each instant, and the
// design effect: by how much the share varies more than that of as many independent
// hosts, over the instants where both are well defined.
func spreads(drawn [][]float64, share, known []float64) (spread []float64, effect float64) {
	spread = make([]float64, len(share))
	var ratios []float64
	for i := range share {
		var mean, squares, plain, plainSquares float64
		for d, row := range drawn {
			delta := angle(row[i]) - mean
			mean += delta / float64(d+1)
			squares += delta * (angle(row[i]) - mean)
			delta = row[i] - plain
			plain += delta / float64(d+1)
			plainSquares += delta * (row[i] - plain)
		}
		n := float64(len(drawn) - 1)
		spread[i] = math.Sqrt(squares / n)
		if binomial := share[i] * (1 - share[i]); binomial > 0.01 && known[i] > 0 {
			ratios = append(ratios, plainSquares/n*known[i]/binomial)
		}
	}
	effect = 1
	if len(ratios) > 0 {
		slices.Sort(ratios)
		effect = max(effect, ratios[len(ratios)/2])
	}
	return spread, effect
}

// supremum is the 95 % quantile of the largest distance of a drawn curve from the
// estimate, in spreads.
func supremum(drawn [][]float64, theta, spread []float64) float64 {
	far := make([]float64, len(drawn))
	for d, row := range drawn {
		for i := range theta {
			if spread[i] > 1e-9 {
				far[d] = max(far[d], math.Abs(angle(row[i])-theta[i])/spread[i])
			}
		}
	}
	slices.Sort(far)
	return far[int(math.Ceil(confidence*float64(len(far))))-1]
}

// interval joins the drawn interval with the exact one for n independent hosts.
func interval(share, theta, spread, quantile, n, tail float64) (low, high float64) {
	low, high = unangle(theta-quantile*spread), unangle(theta+quantile*spread)
	if n < 1e-9 {
		return 0, 1
	}
	x := share * n
	if x > 1e-9 {
		low = min(low, distuv.Beta{Alpha: x, Beta: n - x + 1}.Quantile(tail))
	} else {
		low = 0
	}
	if n-x > 1e-9 {
		high = max(high, distuv.Beta{Alpha: x + 1, Beta: n - x}.Quantile(1-tail))
	} else {
		high = 1
	}
	return min(low, share), max(high, share)
}
