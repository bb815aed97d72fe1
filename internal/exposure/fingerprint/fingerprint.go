// Package fingerprint turns what a host answered into what it runs: the product,
// the CU line, the interval of released builds, who the host is, and flags for
// what does not fit together.
//
// Input: the answers of one visit, as recorded, and the product's build table.
// Output: the outcome and the facts of an [exposure.Observation]; and, between
// two requests, whether another request of the closed set would narrow the build.
// Units: builds are integer tuples and compare inside one CU line only.
//
// Every fact read from an answer becomes one line of evidence in a small grammar
// (docs/formats/exposure.md), and conclusions are drawn from these lines alone.
// So a stored record can be read again, with newer data and without a packet, by
// the same code ([Book.Replay]).
//
// The rules rest on published captures: CERT.at on the header since July 2021,
// the CSS-Exchange issue tracker on lagging file versions, public captures of
// login pages. What no capture backs is not a rule here.
package fingerprint

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"postern"
	"postern/internal/exposure"
)

var (
	// headerSince is the day of the security updates since which servers of 2013 and
	// later write X-OWA-Version where they ask for a sign-in.
	headerSince = time.Date(2021, 7, 13, 0, 0, 0, 0, time.UTC)
	// pageHeaderSince is since when captures show it on the login page too.
	pageHeaderSince = time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
)

// clockMargin is by how much this machine's clock and the days of the build table may
// be wrong: builds count from a day before they could be had.
const clockMargin = 24 * time.Hour

// lineKey names a CU line by number: the first three of a build; for 2007 and
// 2010, whose rollups count up the third, the first two.
type lineKey [3]int

func keyOf(b postern.Build) lineKey {
	if legacy(b) {
		return lineKey{b[0], b[1], 0}
	}
	return lineKey{b[0], b[1], b[2]}
}

// legacy says whether the build is of 2007 or 2010.
func legacy(b postern.Build) bool { return b[0] == 8 || b[0] == 14 }

// cloudBuild says whether the build is of Microsoft's own service.
func cloudBuild(b postern.Build) bool { return b[0] == 15 && b[1] >= 20 }

// line is the releases of one CU line, ascending.
type line struct {
	releases []exposure.Release
	// header is the index of the first release that writes X-OWA-Version;
	// len(releases) if none does.
	header int
}

// find gives the index of the first release not below b, and whether it is b.
func (l *line) find(b postern.Build) (int, bool) {
	return slices.BinarySearchFunc(l.releases, b, func(r exposure.Release, b postern.Build) int { return r.Build.Compare(b) })
}

func (l *line) top() int { return len(l.releases) - 1 }

// topAt gives the index of the highest release that was out at a time; that of the
// highest at all if none was, because then the clock is wrong, or if nobody knows the time.
func (l *line) topAt(at time.Time) int {
	if !at.IsZero() {
		for i, r := range slices.Backward(l.releases) {
			if !r.Since().After(at.Add(clockMargin)) {
				return i
			}
		}
	}
	return l.top()
}

// Book is the build table, arranged for looking up. It is safe for use by several
// goroutines.
type Book struct {
	lines map[lineKey]*line
	seen  map[postern.Build]exposure.Seen
}

// New arranges a build table and the table of observed version strings.
func New(releases []exposure.Release, seen []exposure.Seen) (*Book, error) {
	b := &Book{lines: map[lineKey]*line{}, seen: make(map[postern.Build]exposure.Seen, len(seen))}
	for _, r := range releases {
		if r.Build.IsZero() || r.Edition == "" || r.Line == "" {
			return nil, fmt.Errorf("build table: release %v of %q %q: want a build, an edition and a line", r.Build, r.Edition, r.Line)
		}
		k := keyOf(r.Build)
		if b.lines[k] == nil {
			b.lines[k] = &line{}
		}
		b.lines[k].releases = append(b.lines[k].releases, r)
	}
	for _, l := range b.lines {
		slices.SortStableFunc(l.releases, func(x, y exposure.Release) int { return x.Build.Compare(y.Build) })
		l.releases = slices.CompactFunc(l.releases, func(x, y exposure.Release) bool { return x.Build == y.Build })
		l.header = len(l.releases)
		if i := slices.IndexFunc(l.releases, func(r exposure.Release) bool { return !r.Released.Before(headerSince) }); i >= 0 {
			l.header = i
		}
	}
	for _, s := range seen {
		b.seen[s.Version] = s
	}
	return b, nil
}

// writesHeader says whether the host may run a build that writes X-OWA-Version:
// false only if its line is known and had no update since, or if there was none yet.
func (b *Book) writesHeader(o *exposure.Observation, at time.Time) bool {
	if o.Build.IsZero() {
		return at.IsZero() || !at.Add(clockMargin).Before(headerSince)
	}
	l := b.lines[keyOf(o.Build.Low)]
	if l == nil {
		return true
	}
	high, _ := l.find(o.Build.High)
	return l.header <= high && !legacy(o.Build.Low)
}

// pageWrites says whether every build that the host may run writes X-OWA-Version on
// its login page, so that a page without it has come through something that takes it away.
func (b *Book) pageWrites(o *exposure.Observation) bool {
	if o.Build.IsZero() || legacy(o.Build.Low) {
		return false
	}
	l := b.lines[keyOf(o.Build.Low)]
	if l == nil {
		return false
	}
	i, _ := l.find(o.Build.Low)
	return i <= l.top() && !l.releases[i].Released.Before(pageHeaderSince)
}

// EditionOf names the product of a build, "" for numbers that are none.
func EditionOf(b postern.Build) string {
	switch {
	case b[0] == 8:
		return "exchange-2007"
	case b[0] == 14:
		return "exchange-2010"
	case b[0] != 15:
		return ""
	case b[1] == 0:
		return "exchange-2013"
	case b[1] == 1:
		return "exchange-2016"
	case b[1] == 2 && b[2] < 2562:
		return "exchange-2019"
	case b[1] == 2:
		return "exchange-se"
	case b[1] >= 20:
		return "exchange-online"
	}
	return ""
}

// span is an interval inside one line: releases lo to hi, both within, and
// perhaps a build above all that the table knows.
type span struct {
	key    lineKey
	line   *line // nil: the table does not know the line
	lo, hi int
	above  postern.Build
	flag   exposure.Flag // something to say about it
	doubt  bool          // what it rests on contradicts itself: never exact
	how    string        // word of explanation for the evidence line
}

// whole is all releases of the line that a build or a three-part path belongs to.
func (b *Book) whole(v postern.Build) span {
	k := keyOf(v)
	l := b.lines[k]
	if l == nil {
		return span{key: k, flag: exposure.UnlistedLine, how: "line not in the build table"}
	}
	return span{key: k, line: l, hi: l.top()}
}

// fromHeader reads X-OWA-Version, or the four-part theme path of 2007 and 2010,
// which follows the same rules.
func (b *Book) fromHeader(v postern.Build) span {
	if s, ok := b.seen[v]; ok {
		switch s.Rule {
		case exposure.RuleListed, exposure.RuleListError:
			v = s.Build
		case exposure.RuleRoundUp:
			if w := b.whole(s.Build); w.line != nil {
				// The table has seen this very value; the header's mere presence adds nothing to it.
				w.lo, _ = w.line.find(s.Build)
				w.lo = min(w.lo, w.hi)
				w.how = "rounded up to " + w.line.releases[w.lo].Build.String()
				if legacy(v) {
					w.hi = w.lo
				} else {
					w.how += " at least"
				}
				return w
			}
		}
	}
	w := b.whole(v)
	if w.line == nil {
		return w
	}
	i, listed := w.line.find(v)
	switch {
	case i > w.hi:
		w.lo, w.above, w.flag = w.hi, v, exposure.NewerThanData
		w.how = "newer than the build table"
		return w
	case b.unsure(v, w.line.releases[i].Build):
		w.lo, w.hi = max(i-1, 0), i
		w.how = "lists disagree about it"
		return w
	case listed:
		w.lo, w.hi, w.how = i, i, "exact"
	case legacy(v):
		w.lo, w.hi = i, i
		w.how = "rounded up to " + w.line.releases[i].Build.String()
	default:
		w.lo = i
		w.how = "rounded up to " + w.line.releases[i].Build.String() + " at least"
	}
	if legacy(v) {
		return w // wrote the header long before
	}
	return w.withHeader()
}

// withHeader adds what the mere presence of X-OWA-Version says: the July 2021
// updates or later, whatever the number. A number that says otherwise is a sign
// of forgery, and so is a line that never got those updates.
func (w span) withHeader() span {
	switch l := w.line; {
	case l.header > l.top():
		w.lo, w.hi = 0, l.top()
		w.flag, w.doubt, w.how = exposure.HeaderTooOld, true, "no build of this line writes the header"
	case w.hi < l.header:
		w.lo, w.hi = l.header, l.top()
		w.flag, w.doubt, w.how = exposure.HeaderTooOld, true, "builds before July 2021 do not write the header"
	case w.lo < l.header:
		w.lo = l.header
	}
	return w
}

// unsure says whether v lies where two lists disagree, so that it may not be
// rounded up to next.
func (b *Book) unsure(v, next postern.Build) bool {
	for _, s := range b.seen {
		if s.Rule == exposure.RuleUnknown && s.Build == next && v.Compare(s.Version) >= 0 && v.Compare(s.Build) < 0 {
			return true
		}
	}
	return false
}

// fromManifest reads the export tool's version: a lower bound after rounding up,
// never an upper one, because updates replace the tool only when they touch it.
func (b *Book) fromManifest(v postern.Build) span {
	w := b.whole(v)
	if w.line == nil {
		return w
	}
	i, _ := w.line.find(v)
	switch {
	case i > w.hi:
		w.lo, w.above, w.flag = w.hi, v, exposure.NewerThanData
		w.how = "newer than the build table"
	case b.unsure(v, w.line.releases[i].Build):
		w.lo = max(i-1, 0)
	default:
		w.lo = i
		w.how = "at least " + w.line.releases[i].Build.String()
	}
	return w
}

// existing cuts off the builds that were not out at a time, and says whether there were
// any. Evidence of such a build is believed before the clock.
func (w span) existing(at time.Time) (span, bool) {
	if w.line == nil || w.doubt || !w.above.IsZero() {
		return w, false
	}
	top := w.line.topAt(at)
	if w.hi <= top || w.lo > top {
		return w, false
	}
	w.hi = top
	return w, true
}

// meet intersects two spans of one line. Spans that cannot both be true give all
// from the lowest to the highest and a doubt: no exact answer may rest on them.
func (w span) meet(o span) span {
	m := w
	m.doubt = w.doubt || o.doubt
	m.flag = cmp.Or(w.flag, o.flag)
	m.lo, m.hi = max(w.lo, o.lo), min(w.hi, o.hi)
	if o.above.Compare(m.above) > 0 {
		m.above = o.above
	}
	if m.lo > m.hi {
		m.lo, m.hi = min(w.lo, o.lo), max(w.hi, o.hi)
		m.doubt, m.flag = true, exposure.Contradiction
	}
	return m
}

// result gives the span as it stands in a record.
func (w span) result() (edition, lineName string, r exposure.Range) {
	if w.line == nil {
		return EditionOf(postern.Build{w.key[0], w.key[1], w.key[2]}), "", exposure.Range{}
	}
	low, high := w.line.releases[w.lo], w.line.releases[w.hi]
	r = exposure.Range{Low: low.Build, High: high.Build}
	switch {
	case !w.above.IsZero():
		r.High = w.above
	case w.lo == w.hi && !w.doubt:
		r.Exact = low.Build
	}
	return high.Edition, high.Line, r
}
