package picture

import (
	"math"
	"slices"
	"time"
)

// Instants are told apart as they are if there are few, as with scans that stamp
// a whole pass with one time; else they are taken by the hour or day.
const (
	maxExact = 256
	maxCells = 1500 // four years of days; beyond, weeks
)

// grid is the instants at which anything was seen.
type grid struct {
	times []uint32 // seconds, ascending: the instants, or the beginnings of hours or days
	width uint32   // seconds that one instant stands for; 1 if they are exact
	index []int32  // by (second-times[0])/width, for width > 1
}

// newGrid looks at all times once or a few times.
func newGrid(blocks [][]sighted, width time.Duration) grid {
	lo, hi := uint32(math.MaxUint32), uint32(0)
	exact := map[uint32]bool{}
	last := uint32(0)
	for _, b := range blocks {
		for _, s := range b {
			sec := s.sec()
			lo, hi = min(lo, sec), max(hi, sec)
			if sec != last && len(exact) <= maxExact {
				exact[sec] = true
				last = sec
			}
		}
	}
	if width == 0 && len(exact) <= maxExact {
		g := grid{width: 1}
		for sec := range exact {
			g.times = append(g.times, sec)
		}
		slices.Sort(g.times)
		return g
	}
	w := uint32(width / time.Second)
	if w == 0 {
		w = 3600
		if hi-lo > 3*86400 {
			w = 86400
		}
	}
	for (hi-lo)/w >= maxCells {
		switch {
		case w < 86400:
			w = 86400
		case w < 7*86400:
			w = 7 * 86400
		default:
			w *= 2
		}
	}
	base := lo / w * w
	g := grid{width: w, index: make([]int32, (hi-base)/w+1)}
	for _, b := range blocks {
		for _, s := range b {
			g.index[(s.sec()-base)/w] = 1
		}
	}
	for i, used := range g.index {
		if used == 1 || i == 0 {
			g.index[i] = int32(len(g.times))
			g.times = append(g.times, base+uint32(i)*w)
		}
	}
	return g
}

// cell gives the place of a time on the grid.
func (g *grid) cell(sec uint32) int {
	if g.width > 1 {
		return int(g.index[(sec-g.times[0])/g.width])
	}
	i, _ := slices.BinarySearch(g.times, sec)
	return i
}

func (g *grid) at(cell int) time.Time { return time.Unix(int64(g.times[cell]), 0).UTC() }

// none stands for a cell that there is not.
const none = -1

// life is one history from open to fixed, in cells. A host has one; after a
// downgrade or a rebuild it has another.
type life struct {
	first, last int  // seen at all
	open        int  // last seen open before it was fixed; none
	since       int  // first seen open; none
	closed      int  // first seen fixed; none
	maybe       int  // first undecidable after it was last seen open; none
	unsure      int  // last undecidable before it was fixed; none
	start       int  // first sighting that was not Gone; none
	startState  State
	cohort      bool // there at the first scan: not truncated
	gone        bool // last seen hidden
	line        int
	cluster     uint32
	group       uint32
}

func newLife(cell int) life {
	return life{first: cell, last: cell, open: none, since: none, closed: none, maybe: none, unsure: none, start: none}
}

// maxDowngrades is how often a host may fall back before it is taken for several
// hosts that share an identity, which no history describes.
const maxDowngrades = 2

// lives cuts the sightings of one host, in time order, into lives. It gives nil
// for a host that went back and forth too often, and the number of downgrades.
func (g *grid) lives(list []sighted, cohortEnd uint32) (all []life, downgrades int) {
	cur := newLife(g.cell(list[0].sec()))
	cur.cohort = list[0].sec() <= cohortEnd
	for i := 0; i < len(list); {
		cell := g.cell(list[i].sec())
		opened := false
		j := i
		for ; j < len(list) && g.cell(list[j].sec()) == cell; j++ {
			if list[j].state() == Open {
				opened = true
			}
			if l := list[j].line(); l != 0 && (cur.line == 0 || cur.closed == none && list[j].state() == Open) {
				cur.line = l // the line that it was open in
			}
		}
		state := list[j-1].state()
		i = j
		cur.last = cell
		cur.gone = state == Gone
		if state == Gone {
			continue
		}
		if state == Open && cur.closed != none {
			all = append(all, cur)
			if downgrades++; downgrades > maxDowngrades {
				return nil, downgrades
			}
			cur = newLife(cell)
			cur.line = list[j-1].line()
		}
		if cur.start == none {
			cur.start, cur.startState = cell, state
			if opened {
				cur.startState = Open
			}
		}
		switch state {
		case Open:
			cur.open, cur.maybe = cell, none
			if cur.since == none {
				cur.since = cell
			}
		case Closed:
			if cur.closed != none {
				break
			}
			cur.closed = cell
			if opened && cur.since == none { // open and fixed within one cell
				cur.open, cur.since = cell-1, cell-1
			}
		case Unsure:
			if cur.closed == none {
				cur.unsure = cell
				if cur.maybe == none {
					cur.maybe = cell
				}
			}
		}
	}
	return append(all, cur), downgrades
}

// decided says whether the life was ever seen open or fixed.
func (l *life) decided() bool { return l.closed != none || l.open != none || l.startState == Open && l.start != none }

// main is what is known for sure; undecidable sightings say nothing. It gives false
// if the life joins the count late and fixed: nobody can tell whether it was ever open.
func (l *life) main(k int) (class, bool) {
	c := class{after: l.open, by: k, entered: none}
	if l.closed != none {
		c.by = l.closed
	}
	if !l.cohort {
		if l.since == none && !(l.startState == Open && l.start != none) {
			return c, false
		}
		c.entered = min(l.since, c.after)
	}
	return c, true
}

// lowest takes undecidable for open, highest for fixed.
func (l *life) lowest(k int) (class, bool) {
	c := class{after: max(l.open, l.unsure), by: k, entered: none}
	if l.closed != none {
		c.by = l.closed
	}
	if !l.cohort {
		if l.startState == Closed {
			return c, false
		}
		c.entered = min(l.start, c.after)
	}
	return c, true
}

func (l *life) highest(k int) (class, bool) {
	c := class{after: l.open, by: k, entered: none}
	if l.closed != none {
		c.by = l.closed
	}
	if l.maybe != none {
		c.by = min(c.by, l.maybe)
	}
	if !l.cohort {
		if l.startState != Open {
			return c, false
		}
		c.entered = min(l.since, c.after)
	}
	return c, true
}
