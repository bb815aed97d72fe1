package picture

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Instants are told apart as they are if there are few, as with scans that stamp
// a whole pass with one time; else they are taken by the hour or day.
const (
	maxExact = 256
	maxCells = 1500 // four years of days; beyond, weeks
	// oneScan is how many seconds of a quick scan count as one instant.
	oneScan = 600
)

// grid is the instants at which anything was seen.
type grid struct {
	times []uint32 // seconds, ascending: the instants, or the beginnings of hours or days or quick scans
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
		for _, sec := range slices.Sorted(maps.Keys(exact)) {
			if n := len(g.times); n == 0 || sec-g.times[n-1] > oneScan {
				g.times = append(g.times, sec)
			}
		}
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
func (g *grid) cell(sec uint32) cell {
	if g.width > 1 {
		return cell(g.index[(sec-g.times[0])/g.width])
	}
	i, begins := slices.BinarySearch(g.times, sec)
	if !begins {
		i--
	}
	return cell(i)
}

func (g *grid) at(i int) time.Time { return time.Unix(int64(g.times[i]), 0).UTC() }

// cell is a place on the grid: small, because there are millions of lives.
type cell int16

// none stands for a cell that there is not.
const none = -1

// life is one history from open to fixed, in cells. A host has one; after a
// downgrade or a rebuild it has another.
type life struct {
	last        cell // seen at all
	open        cell // last seen open before it was fixed; none
	since       cell // first seen open; none
	closed      cell // first seen fixed; none
	maybe       cell // first undecidable after it was last seen open; none
	unsure      cell // last undecidable before it was fixed; none
	start       cell // first sighting that said anything; none
	doubted     cell // last seen open before it was first undecidable; none
	settled     cell // first decided after that; none
	line        uint16
	cluster     uint32
	startState  State
	cohort      bool // there at the first scan: not truncated
	gone        bool // last seen hidden
	exempt      bool // seen as not affected
	inDoubt     bool // undecidable once, while not known to be fixed
	settledOpen bool
}

func newLife(at cell) life {
	return life{last: at, open: none, since: none, closed: none, maybe: none, unsure: none, start: none, doubted: none, settled: none}
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
		here := g.cell(list[i].sec())
		opened := false
		state := Gone // the last that says anything
		for ; i < len(list) && g.cell(list[i].sec()) == here; i++ {
			seen := list[i].state()
			opened = opened || seen == Open
			if seen != Gone {
				state = seen
			}
			if cur.line == 0 {
				cur.line = uint16(list[i].line()) // the one that it had when it joined
			}
		}
		cur.last = here
		cur.gone = list[i-1].state() == Gone
		if state == Exempt && (cur.since != none || opened) {
			state = Closed // replaced by something that is not affected
		}
		if state == Gone || state == Exempt {
			cur.exempt = cur.exempt || state == Exempt
			continue
		}
		if state == Open && cur.closed != none {
			all = append(all, cur)
			if downgrades++; downgrades > maxDowngrades {
				return nil, downgrades
			}
			cur = newLife(here)
			cur.line = uint16(list[i-1].line())
		}
		if cur.start == none {
			cur.start, cur.startState = here, state
			if opened {
				cur.startState = Open
			}
		}
		if cur.inDoubt && cur.settled == none && state != Unsure {
			cur.settled, cur.settledOpen = here, state == Open
		}
		switch state {
		case Open:
			cur.open, cur.maybe = here, none
			if cur.since == none {
				cur.since = here
			}
		case Closed:
			if cur.closed != none {
				break
			}
			cur.closed = here
			if opened && cur.since == none { // open and fixed within one cell
				cur.open, cur.since = here-1, here-1
			}
		case Unsure:
			if cur.closed == none {
				if !cur.inDoubt {
					cur.inDoubt, cur.doubted = true, cur.open
				}
				cur.unsure = here
				if cur.maybe == none {
					cur.maybe = here
				}
			}
		}
	}
	return append(all, cur), downgrades
}

// decided says whether the life was ever seen open or fixed.
func (l *life) decided() bool {
	return l.closed != none || l.open != none || l.startState == Open && l.start != none
}

// main is what is known for sure; undecidable sightings say nothing. It gives false
// if the life joins the count late and fixed: nobody can tell whether it was ever open.
func (l *life) main(k int) (class, bool) {
	c := class{after: int(l.open), by: k, entered: none}
	if l.closed != none {
		c.by = int(l.closed)
	}
	if !l.cohort {
		if l.since == none && !(l.startState == Open && l.start != none) {
			return c, false
		}
		c.entered = min(int(l.since), c.after)
	}
	return c, true
}

// lowest takes undecidable for open, highest for fixed.
func (l *life) lowest(k int) (class, bool) {
	c := class{after: int(max(l.open, l.unsure)), by: k, entered: none}
	if l.closed != none {
		c.by = int(l.closed)
	}
	if !l.cohort {
		if l.startState == Closed {
			return c, false
		}
		c.entered = min(int(l.start), c.after)
	}
	return c, true
}

func (l *life) highest(k int) (class, bool) {
	c := class{after: int(l.open), by: k, entered: none}
	if l.closed != none {
		c.by = int(l.closed)
	}
	if l.maybe != none {
		c.by = min(c.by, int(l.maybe))
	}
	if !l.cohort {
		if l.startState != Open {
			return c, false
		}
		c.entered = min(int(l.since), c.after)
	}
	return c, true
}
