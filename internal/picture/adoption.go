package picture

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"postern"
)

// Options say what to estimate.
type Options struct {
	CVE string
	// Available gives the day since which the fix could be had for a line, and false
	// for a line that never got one: its clock does not start, and its hosts count as
	// unfixed. Nil, and for the unknown line "": Since.
	Available func(line string) (time.Time, bool)
	// Since is the day of the first fix; zero if unknown, and then there is no clock
	// for hosts of an unknown line.
	Since time.Time
	// MixScopes allows series of different scope into one curve, which is then
	// labelled with all of them.
	MixScopes bool
	// Instant is how long a scan takes that counts as one instant; 0 chooses: exact
	// times where there are few, else hours or days.
	Instant time.Duration
	// By says what Sighting.Group means, "country"; "" is one curve for all.
	By string
	// Draws is how many times the operators are weighed anew for the bands; 0 is 400.
	Draws int
	// Seed makes the bands repeatable.
	Seed uint64
}

const (
	defaultDraws = 400
	// maxGroups bounds how many groups get a curve, the largest first.
	maxGroups = 40
	// firstScan is how long the first scan may take: hosts first seen later join the
	// count late.
	firstScan = 24 * time.Hour
)

// Point is the share at one instant.
type Point struct {
	Time time.Time // zero on the clock since the fix
	Days int       // days since the fix on that clock
	// Share is the part of hosts that were fixed; in a curve of bounds the part that is
	// proven to be. Low and High are the 95 % band at this point, taken by itself; in a
	// curve of bounds they reach from the lower end of the one to the upper of the other.
	Share, Low, High float64
	// CurveLow and CurveHigh are the 95 % band in which the whole curve lies.
	CurveLow, CurveHigh float64
	// UndecidableLow and UndecidableHigh are the share if no undecidable host were
	// fixed, or each since it was first seen undecidable.
	UndecidableLow, UndecidableHigh float64
	// N hosts were under watch and not known to be fixed before; Waiting of them had
	// no fix for their line yet; Undecidable more were under watch and never decided.
	N, Waiting, Undecidable int
}

// Median is the time from the fix to its installation on half of the hosts.
type Median struct {
	Reached bool // more than half were fixed by the end of the watch
	// Half of the hosts were fixed after After days and within Days.
	After, Days int
	// The 95 % interval; High is -1 if it has no end within the watch.
	Low, High int
	// With all undecidable hosts fixed, and with none; -1 if not reached.
	UndecidableLow, UndecidableHigh int
	// By is the day by which half were fixed, by the calendar; zero if not reached.
	By time.Time
}

// Counts says what the curve rests on and what it leaves out.
type Counts struct {
	Sightings    int
	Hosts        int // seen at all
	Followed     int // histories in the curve
	Fixed        int // of them known to be fixed
	Unfixed      int // of them open when last decided
	HiddenOpen   int // of these hidden when last seen: not counted as fixed
	NotAffected  int // never open, no part of the count
	Undecidable  int // never decided: in the bounds only
	NoFix        int // followed, in a line that never got the fix: unfixed, without a clock
	NoClock      int // followed, in a line that nobody knows
	LateFixed    int // first seen after the first scan and fixed then: left out
	Downgraded   int // fell back after being fixed: a new history each
	Unstable     int // went back and forth: several hosts under one identity, left out
	Operators    int // clusters, a host without one being its own
	LargestShare float64
}

// Doubt says why a curve states bounds and no share.
type Doubt string

// The doubts. Undecidable hosts are left out of a share on the assumption that they
// are like the others; where that would decide the result, or is seen to be false, a
// share would only repeat the assumption.
const (
	NoDoubt  Doubt = ""
	TooMany  Doubt = "too-many"  // what the undecidable could change outweighs what is known
	OneSided Doubt = "one-sided" // hosts that were undecidable first turn out fixed, and hardly ever open
)

// Curve is the estimate for one population.
type Curve struct {
	Group    string
	Doubt    Doubt   // if there is any, Points and SinceFix are a curve of bounds
	Points   []Point // by the calendar
	SinceFix []Point // by days since a fix existed for the host's line
	Median   Median
	Counts   Counts
}

// Report is the estimate for all and for each group.
type Report struct {
	CVE    string
	By     string
	Since  time.Time // day of the first fix; zero if unknown
	Scopes []string
	Curve
	Groups []Curve
	Notes  []postern.Text
}

// ErrNothing says that there is no host to count.
var ErrNothing = errors.New("no host in these observations may be open to this CVE")

// Adoption gathers sightings and then estimates. It is for one goroutine.
type Adoption struct {
	o  Options
	st *store
}

// NewAdoption starts with no sighting.
func NewAdoption(o Options) *Adoption {
	o.Draws = cmp.Or(o.Draws, defaultDraws)
	return &Adoption{o: o, st: newStore()}
}

// Add takes one sighting; their order does not matter. An error that is [ErrScope]
// should end the work; any other is about this sighting alone.
func (a *Adoption) Add(s *Sighting) error { return a.st.add(s, a.o.MixScopes) }

// Len says how many sightings there are.
func (a *Adoption) Len() int { return a.st.n }

// Estimate draws the picture. Nothing can be added afterwards.
func (a *Adoption) Estimate() (*Report, error) {
	if a.st.n == 0 {
		return nil, ErrNothing
	}
	g := newGrid(a.st.what, a.o.Instant)
	groups := map[uint32]*population{}
	clock := a.clocks()
	all := &population{grid: &g, o: &a.o, clock: clock, operators: a.st.clusters.words}
	end := g.times[0] + uint32(firstScan/time.Second)
	a.st.each(func(h *host, list []sighted) {
		targets := []*population{all}
		if a.o.By != "" {
			p := groups[h.group]
			if p == nil {
				p = &population{grid: &g, o: &a.o, clock: clock, operators: a.st.clusters.words, name: a.st.groups.words[h.group]}
				groups[h.group] = p
			}
			targets = append(targets, p)
		}
		lives, downgrades := g.lives(list, end)
		for _, p := range targets {
			p.counts.Sightings += len(list)
			p.counts.Hosts++
			p.counts.Downgraded += downgrades
			if lives == nil {
				p.counts.Unstable++
			}
			for i := range lives {
				lives[i].cluster = h.cluster
				p.add(&lives[i])
			}
		}
	})
	r := &Report{CVE: a.o.CVE, By: a.o.By, Since: a.o.Since, Scopes: a.st.scopes}
	if all.counts.Followed+all.counts.Undecidable == 0 {
		return nil, ErrNothing
	}
	r.Curve = all.estimate()
	list := make([]*population, 0, len(groups))
	for _, p := range groups {
		list = append(list, p)
	}
	slices.SortFunc(list, func(x, y *population) int {
		return cmp.Or(cmp.Compare(y.counts.Followed, x.counts.Followed), cmp.Compare(x.name, y.name))
	})
	left := 0
	for i, p := range list {
		if i >= maxGroups || p.counts.Followed+p.counts.Undecidable == 0 {
			left++
			continue
		}
		r.Groups = append(r.Groups, p.estimate())
	}
	r.Notes = a.notes(r, left)
	return r, nil
}

// starting is when the clock of a line starts.
type starting struct {
	at    time.Time
	noFix bool
}

// clocks asks once for each line.
func (a *Adoption) clocks() []starting {
	list := make([]starting, len(a.st.lines.words))
	for i, line := range a.st.lines.words {
		list[i].at = a.o.Since
		if a.o.Available != nil && line != "" {
			at, ok := a.o.Available(line)
			list[i] = starting{at: at, noFix: !ok}
		}
	}
	return list
}

// population is the lives of one curve.
type population struct {
	name      string
	grid      *grid
	o         *Options
	clock     []starting // by line
	operators []string   // names of clusters
	lives     []life
	counts    Counts
}

// add takes one life in, or counts why not.
func (p *population) add(l *life) {
	if l.start == none {
		if l.exempt {
			p.counts.NotAffected++
		}
		return // only ever hidden or not affected: nothing to say of it
	}
	k := len(p.grid.times)
	_, ok := l.main(k)
	switch {
	case !l.decided():
		p.counts.Undecidable++
	case !ok:
		p.counts.LateFixed++
	default:
		p.counts.Followed++
		switch {
		case l.closed != none:
			p.counts.Fixed++
		case l.open != none:
			p.counts.Unfixed++
			if l.gone {
				p.counts.HiddenOpen++
			}
		}
		switch c := p.clock[l.line]; {
		case c.noFix:
			p.counts.NoFix++
		case c.at.IsZero():
			p.counts.NoClock++
		}
	}
	p.lives = append(p.lives, *l)
}

// scale maps a life to classes on some clock.
type scale struct {
	instants int
	// place puts a cell of the calendar on the scale, for a life; none is before its
	// beginning.
	place func(m *life, at int) int
	// has says whether the life is on this scale at all.
	has func(m *life) bool
}

// calendar is the scale of the grid itself.
func (p *population) calendar() scale {
	return scale{instants: len(p.grid.times),
		place: func(_ *life, at int) int { return at },
		has:   func(*life) bool { return true }}
}

// sinceFix is the scale of whole days since the fix could be had for the line. It
// also gives the days.
func (p *population) sinceFix() (scale, []int) {
	day := func(m *life, at int) int {
		return int(math.Floor(p.grid.at(at).Sub(p.clock[m.line].at).Hours() / 24))
	}
	has := func(m *life) bool { return !p.clock[m.line].noFix && !p.clock[m.line].at.IsZero() }
	seen := map[int]bool{}
	starts := map[time.Time]bool{}
	for i := range p.lives {
		if m := &p.lives[i]; has(m) && !starts[p.clock[m.line].at] {
			starts[p.clock[m.line].at] = true
			for c := range p.grid.times {
				if d := day(m, c); d >= 0 {
					seen[d] = true
				}
			}
		}
	}
	days := make([]int, 0, len(seen))
	for d := range seen {
		days = append(days, d)
	}
	slices.Sort(days)
	place := make(map[int]int, len(days))
	for i, d := range days {
		place[d] = i
	}
	return scale{instants: len(days), has: has, place: func(m *life, at int) int {
		if at == none {
			return none
		}
		if i, ok := place[day(m, at)]; ok {
			return i
		}
		return none
	}}, days
}

// translate puts a class of the calendar on a scale.
func (s *scale) translate(m *life, c class, k int) class {
	t := class{after: s.place(m, c.after), by: s.instants, entered: s.place(m, c.entered)}
	if c.by < k {
		// Fixed before its own line's fix was out, by moving to another line: at once.
		t.by = max(s.place(m, c.by), 0)
	}
	t.after = min(t.after, t.by-1)
	t.entered = min(t.entered, t.after)
	return t
}

// estimate makes the curves of the population.
func (p *population) estimate() Curve {
	c := Curve{Group: p.name, Counts: p.counts}
	cal := p.calendar()
	c.Doubt = p.doubt(cal)
	b := newBander(p, c.Doubt != NoDoubt)
	c.Counts.Operators, c.Counts.LargestShare = b.operators, b.largest
	c.Points = p.curve(cal, b, c.Doubt)
	for i := range c.Points {
		c.Points[i].Time = p.grid.at(i)
	}
	fix, days := p.sinceFix()
	if len(days) > 0 && slices.ContainsFunc(p.lives, func(m life) bool { return fix.has(&m) && (m.decided() || c.Doubt != NoDoubt) }) {
		c.SinceFix = p.curve(fix, b, c.Doubt)
		for i := range c.SinceFix {
			c.SinceFix[i].Days = days[i]
		}
	}
	c.Median = median(c.SinceFix)
	if i := slices.IndexFunc(c.Points, func(x Point) bool { return x.Share >= 0.5 }); i >= 0 {
		c.Median.By = c.Points[i].Time
	}
	return c
}

// gather tallies the lives on a scale under one reading of what is undecidable. The
// reading of what is sure has no place for hosts that were never decided.
func (p *population) gather(s scale, b *bander, reading func(*life, int) (class, bool), all bool) *tally {
	k := len(p.grid.times)
	t := newTally(s.instants)
	for i := range p.lives {
		m := &p.lives[i]
		if !s.has(m) || !all && !m.decided() {
			continue
		}
		if c, ok := reading(m, k); ok {
			t.add(s.translate(m, c, k), b.of(m))
		}
	}
	return t
}

// unsure says whether anybody on a scale was ever undecidable.
func (p *population) unsure(s scale) bool {
	return slices.ContainsFunc(p.lives, func(m life) bool { return m.unsure != none && s.has(&m) })
}

// When a share is not stated.
const (
	// maxUndecidable is how far the bounds may lie apart. Beyond, the assumption about
	// the undecidable weighs more than most of what a curve has to say.
	maxUndecidable = 0.2
	// leastExpected is how many hosts would have to turn out open, were the undecidable
	// like the others, before fewer than half as many are taken for a sign.
	leastExpected = 20
)

// doubt says whether undecidable hosts forbid to state a share.
func (p *population) doubt(s scale) Doubt {
	if !p.unsure(s) {
		return NoDoubt
	}
	if p.counts.Followed == 0 {
		return TooMany
	}
	b := &bander{} // nothing is drawn
	low, _ := p.gather(s, b, (*life).lowest, true).sample().fit(nil, tolerance)
	high, _ := p.gather(s, b, (*life).highest, true).sample().fit(nil, tolerance)
	for i := range low {
		if high[i]-low[i] > maxUndecidable {
			return TooMany
		}
	}
	share, _ := p.gather(s, b, (*life).main, false).sample().fit(nil, tolerance)
	open, expected := 0.0, 0.0
	for i := range p.lives {
		m := &p.lives[i]
		if m.settled == none {
			continue
		}
		if m.settledOpen {
			open++
		}
		before := 0.0
		if m.doubted != none {
			before = share[m.doubted]
		}
		expected += (1 - share[m.settled]) / max(1-before, 1e-9)
	}
	if expected >= leastExpected && open < expected/2 {
		return OneSided
	}
	return NoDoubt
}

// curve estimates on one scale.
func (p *population) curve(s scale, b *bander, d Doubt) []Point {
	var points []Point
	if d != NoDoubt {
		points = b.band(p.gather(s, b, (*life).lowest, true))
		for i, high := range b.band(p.gather(s, b, (*life).highest, true)) {
			x := &points[i]
			x.UndecidableHigh = max(high.Share, x.Share)
			x.High, x.CurveHigh = max(high.High, x.High), max(high.CurveHigh, x.CurveHigh)
		}
	} else {
		points = b.band(p.gather(s, b, (*life).main, false))
		if p.unsure(s) {
			low, _ := p.gather(s, b, (*life).lowest, true).sample().fit(nil, tolerance)
			high, _ := p.gather(s, b, (*life).highest, true).sample().fit(nil, tolerance)
			for i := range points {
				points[i].UndecidableLow = min(low[i], points[i].Share)
				points[i].UndecidableHigh = max(high[i], points[i].Share)
			}
		}
	}
	p.atRisk(s, points)
	// At the end nobody may be left under watch; a share that nobody bears is not said.
	nobody := func(x *Point) bool { return x.N == 0 && (d == NoDoubt || x.Undecidable == 0) }
	for len(points) > 1 && nobody(&points[len(points)-1]) {
		points = points[:len(points)-1]
	}
	return points
}

// atRisk counts who was under watch at each instant.
func (p *population) atRisk(s scale, points []Point) {
	k := len(p.grid.times)
	diff := make([][3]int, s.instants+1)
	count := func(what, from, to int) {
		if from <= to {
			diff[from][what]++
			diff[to+1][what]--
		}
	}
	for i := range p.lives {
		m := &p.lives[i]
		if !s.has(m) {
			continue
		}
		from, to := max(s.place(m, int(m.start)), 0), s.place(m, int(m.last))
		if !m.decided() {
			count(2, from, to)
			continue
		}
		if _, ok := m.main(k); !ok {
			continue
		}
		if m.closed != none {
			to = min(to, max(s.place(m, int(m.closed)), 0))
		}
		count(0, from, to)
		if p.clock[m.line].noFix {
			count(1, from, to)
		} else if !p.clock[m.line].at.IsZero() {
			// The last instant before the fix was out; on the fix's own clock there is none.
			wait := to
			for wait >= from && !p.before(s, m, wait) {
				wait--
			}
			count(1, from, wait)
		}
	}
	sum := [3]int{}
	for i := range points {
		for w := range sum {
			sum[w] += diff[i][w]
		}
		points[i].N, points[i].Waiting, points[i].Undecidable = sum[0], sum[1], sum[2]
	}
}

// before says whether an instant of the calendar lies before the life's clock starts.
func (p *population) before(s scale, m *life, i int) bool {
	return s.instants == len(p.grid.times) && s.place(m, i) == i && p.grid.at(i).Before(p.clock[m.line].at)
}

// median reads the time to the fix from the curve on its clock.
func median(points []Point) Median {
	m := Median{High: -1, UndecidableLow: -1, UndecidableHigh: -1}
	first := func(share func(*Point) float64) int {
		return slices.IndexFunc(points, func(x Point) bool { return share(&x) >= 0.5 })
	}
	day := func(i int) int {
		if i < 0 {
			return -1
		}
		return points[i].Days
	}
	at := first(func(x *Point) float64 { return x.Share })
	if m.Reached = at >= 0; m.Reached {
		m.Days = points[at].Days
		if at > 0 {
			m.After = points[at-1].Days
		}
	}
	// It may have been reached just after the instant before the band first allows it.
	switch i := first(func(x *Point) float64 { return x.High }); {
	case i > 0:
		m.Low = points[i-1].Days
	case i < 0 && len(points) > 0:
		m.Low = points[len(points)-1].Days
	}
	m.High = day(first(func(x *Point) float64 { return x.Low }))
	m.UndecidableLow = day(first(func(x *Point) float64 { return x.UndecidableHigh }))
	m.UndecidableHigh = day(first(func(x *Point) float64 { return x.UndecidableLow }))
	return m
}

// notes says what the reader has to know beside the numbers.
func (a *Adoption) notes(r *Report, groupsLeft int) []postern.Text {
	c := &r.Counts
	notes := []postern.Text{postern.Say("picture.note.unit")}
	say := func(n int, t postern.Text) {
		if n > 0 {
			notes = append(notes, t)
		}
	}
	if r.Doubt == NoDoubt {
		notes = append(notes, postern.Say("picture.note.band", "draws", a.o.Draws, "operators", c.Operators))
		say(c.Undecidable, postern.Say("picture.note.undecidable", "count", c.Undecidable))
	} else {
		notes = append(notes, postern.Say("picture.note.bounds", "draws", a.o.Draws, "operators", c.Operators))
		say(c.Undecidable, postern.Say("picture.note.undecidable-bounds", "count", c.Undecidable))
	}
	say(c.HiddenOpen, postern.Say("picture.note.hidden", "count", c.HiddenOpen))
	say(c.NoFix, postern.Say("picture.note.no-fix", "count", c.NoFix))
	say(c.NoClock, postern.Say("picture.note.no-clock", "count", c.NoClock))
	say(c.LateFixed, postern.Say("picture.note.late-fixed", "count", c.LateFixed))
	if c.LateFixed > c.Followed/5 {
		notes = append(notes, postern.Say("picture.note.first-scan"))
	}
	say(c.Downgraded, postern.Say("picture.note.downgraded", "count", c.Downgraded))
	say(c.Unstable, postern.Say("picture.note.unstable", "count", c.Unstable))
	say(groupsLeft, postern.Say("picture.note.groups-left", "count", groupsLeft))
	if c.Operators < fewOperators {
		notes = append(notes, postern.Say("picture.note.few-operators", "count", c.Operators))
	}
	if len(r.Scopes) > 1 {
		notes = append(notes, postern.Say("picture.note.mixed-scopes", "count", len(r.Scopes)))
	}
	return notes
}
