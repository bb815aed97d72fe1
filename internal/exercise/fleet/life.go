package fleet

import "math"

// never is a day that does not come.
const never = math.MaxInt32

// life is what one front end runs, from day 0 on.
type life struct {
	line, release int // on day 0
	fixDay        int // on which its people act on the news of March 2021
	changesLine   bool
	// maintenance begins on the first of its days and comes back each cadence days;
	// 0 is never.
	first, cadence int
	climbs         bool // changes the line when maintained; otherwise only updates it
	migrate        int  // day since which it is a newer edition
	subscribe      int  // day since which it is the Subscription Edition
}

// adoption is the share of open hosts whose people act by the end of a day, as
// far as updates can be had: what is published of March 2021 (10 % by Friday the
// 5th, a bit more than half by the 12th, nine in ten within April, a rest that
// stays) with the early days raised, because those whose line has no update yet
// wait. The test of the shares holds the outcome against the published points.
var adoption = []struct {
	day   int
	share float64
}{
	{-1, 0}, {0, .014}, {1, .055}, {2, .115}, {3, .175}, {4, .225}, {5, .28}, {6, .37}, {7, .44}, {8, .51}, {9, .57},
	{10, .62}, {11, .66}, {13, .71}, {14, .745}, {17, .80}, {20, .84}, {24, .87}, {30, .895}, {38, .915}, {49, .93},
	{59, .94}, {120, .955}, {250, .97}, {500, .98},
}

// actDay gives the day on which a host of some keenness acts.
func actDay(keenness float64) int {
	for i := 1; i < len(adoption); i++ {
		a, b := adoption[i-1], adoption[i]
		if keenness < b.share {
			part := (keenness - a.share) / (b.share - a.share)
			return a.day + 1 + int(part*float64(b.day-a.day))
		}
	}
	return never
}

const (
	// changesLine is the share of those whose line has no update on the first day who
	// install the newest line instead of waiting.
	changesLine = .3
	// together is the share of hosts of one operator that are patched in one go.
	together = .65
	// settledDay is when ordinary maintenance goes on after the weeks of haste.
	settledDay = 45
)

// live gives the life of a front end.
func (p *population) live(h *host, member int) life {
	d := diceOf(p.o.Seed, uint64(h.index), uint64(member), 'l')
	first := d
	if member > 0 { // members of a farm are of one edition, and most of one line
		first = diceOf(p.o.Seed, uint64(h.index), 0, 'l')
	}
	edition := p.table.editionAt.at(first.share(forEdition))
	of := first
	if member > 0 && d.share(forLine) < .2 {
		of = d
	}
	w := life{line: p.table.start[edition].at(of.share(forLine)), migrate: never, subscribe: never}
	l := &p.table.lines[w.line]
	w.release = max(l.at(-1), 0)
	for r := d.share(forUpdate); r > .55 && w.release > 0; r = (r - .55) / .45 {
		w.release-- // most are up to date, others a few updates behind
	}
	w.fixDay = p.act(h, d)
	if w.fixDay != never {
		switch {
		case !open(l.releases[w.release].state):
		case l.fix < 0:
			w.changesLine = true
			w.fixDay = max(w.fixDay+2, 1)
		case l.releases[l.fix].day > w.fixDay && d.share(forChangingLine) < changesLine:
			w.changesLine = true
			w.fixDay++
		case l.releases[l.fix].day > w.fixDay:
			w.fixDay = l.releases[l.fix].day + d.n(forLag, 4)
		}
		p.maintain(&w, d)
	}
	return w
}

// act gives the day on which the host's people act.
func (p *population) act(h *host, d dice) int {
	op := p.operator(h.index)
	if op.size > 1 && d.share(forTogether) < together {
		shared := diceOf(p.o.Seed, uint64(op.index), 'o')
		return actDay(shared.share(forKeennessShared))
	}
	return actDay(d.share(forKeenness))
}

// maintain plans what comes after the haste.
func (p *population) maintain(w *life, d dice) {
	switch c := d.share(forCadence); {
	case c < .35:
		w.cadence, w.climbs = 35, true
	case c < .70:
		w.cadence, w.climbs = 190, true
	case c < .85:
		w.cadence = 400
	default:
		return
	}
	w.first = max(w.fixDay, settledDay) + 1 + d.n(forPhase, w.cadence)
	if !w.climbs {
		return
	}
	if m := d.share(forMigration); m < .6 {
		w.migrate = 100 + int(m/.6*1400)
	}
	if s := d.share(forSubscription); s < .7 && p.table.subscribe != never {
		w.subscribe = p.table.subscribe + int(s/.7*500)
	}
}

// at gives line and release on a day.
func (w *life) at(t *table, day int) (lineIndex, releaseIndex int) {
	lineIndex, releaseIndex = w.line, w.release
	install := func(l, day int) {
		if l < 0 {
			return
		}
		if r := t.lines[l].at(day); l > lineIndex || l == lineIndex && r > releaseIndex {
			lineIndex, releaseIndex = l, r
		}
	}
	if day >= w.fixDay {
		l := w.line
		if w.changesLine {
			l = t.newest(t.lines[l].edition, w.fixDay)
		}
		install(l, w.fixDay)
	}
	if w.cadence == 0 || day < w.first {
		return lineIndex, releaseIndex
	}
	last := day - (day-w.first)%w.cadence
	edition := t.lines[lineIndex].edition
	switch {
	case last >= w.subscribe:
		edition = "exchange-se"
	case last >= w.migrate && edition != "exchange-2019":
		edition = "exchange-2019"
	}
	if w.climbs {
		install(t.newest(edition, last), last)
	} else {
		install(lineIndex, last)
	}
	return lineIndex, releaseIndex
}
