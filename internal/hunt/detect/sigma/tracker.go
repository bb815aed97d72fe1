package sigma

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
	"strings"
	"time"

	"postern"
)

// Bounds of what a tracker remembers; what they cost is counted in [Losses].
const (
	// maxSightings bounds all groups of a tracker, 30 MB with ordinary values.
	maxSightings = 100_000
	// maxPerGroup bounds one group, so that a flood there leaves room for others. It
	// holds the largest threshold twice: before and after a late sighting.
	maxPerGroup = 2 * maxThreshold
	// maxKeyBytes bounds what is kept of one value; longer ones are told apart by a
	// hash of the rest.
	maxKeyBytes = 256
	// maxPlaces bounds the places that a hit names.
	maxPlaces = 50
)

// Tracker follows one correlation over a stream of matches. It is for one
// goroutine. Matches may come out of order: one that is late by up to the
// timespan counts as if it had come in time, one later than that may miss its
// neighbours. Matches read file by file are to be sorted by time first.
type Tracker struct {
	c      *Correlation
	groups map[string]*tracked
	total  int // sightings in all groups
	newest time.Time
	losses Losses
}

// Losses counts the matches that a tracker could not use, or not long enough.
type Losses struct {
	Timeless int64 // without a time
	Unkeyed  int64 // without a field to group by or to count
	Late     int64 // older than anything remembered
	Dropped  int64 // forgotten to stay within the bounds
}

// Hit is one time that the correlation held for one group.
type Hit struct {
	Correlation *Correlation
	Group       []postern.Field // names as in GroupBy
	First, Last time.Time
	Count       int             // events, distinct values, or distinct rules
	Rules       []string        // those seen, in the order of the correlation
	Places      []postern.Place // of the matches in time order, the first ones
}

// Event gives a hit in the form in which another correlation can be fed with it.
func (h *Hit) Event() *postern.Event {
	ev := &postern.Event{Time: h.Last, Fields: h.Group}
	if n := len(h.Places); n > 0 {
		ev.Place = h.Places[n-1]
	}
	return ev
}

// tracked is one group; between calls it has at least one sighting.
type tracked struct {
	fields []postern.Field
	seen   []sighting     // in time order, those of one time as they came
	counts map[string]int // how often each what is in seen
	last   time.Time      // of the last hit; zero before the first
}

type sighting struct {
	time  time.Time
	rule  int    // index of Correlation.Rules
	what  string // what is counted: the value, or the rule
	place postern.Place
}

// NewTracker starts without any match.
func NewTracker(c *Correlation) *Tracker {
	return &Tracker{c: c, groups: make(map[string]*tracked)}
}

// Losses gives the counts so far.
func (t *Tracker) Losses() Losses { return t.losses }

// Add takes a match of one of the correlation's rules, named as in its Rules,
// and gives the hits that it completes. A group hits at most once a timespan.
func (t *Tracker) Add(rule string, ev *postern.Event) []Hit {
	i := slices.Index(t.c.Rules, rule)
	if i < 0 {
		return nil
	}
	if ev.Time.IsZero() {
		t.losses.Timeless++
		return nil
	}
	fields, ok1 := t.values(rule, ev, t.c.GroupBy)
	counted, ok2 := t.values(rule, ev, t.c.Fields)
	if !ok1 || !ok2 {
		t.losses.Unkeyed++
		return nil
	}
	s := sighting{time: ev.Time, rule: i, what: rule, place: ev.Place}
	if t.c.Type == ValueCount {
		s.what = keyOf(counted)
	}
	return t.add(keyOf(fields), fields, s)
}

// values gives the values of fields or aliases, false if the event lacks one.
func (t *Tracker) values(rule string, ev *postern.Event, names []string) ([]postern.Field, bool) {
	var fields []postern.Field
	for _, name := range names {
		field := name
		if alias, ok := t.c.Aliases[name][rule]; ok {
			field = alias
		}
		v, ok := ev.Lookup(field)
		if !ok {
			return nil, false
		}
		fields = append(fields, postern.Field{Name: name, Value: short(v)})
	}
	return fields, true
}

// short copies a value, so that it does not keep its whole line in memory.
func short(v string) string {
	if len(v) <= maxKeyBytes {
		return strings.Clone(v)
	}
	h := fnv.New64a()
	h.Write([]byte(v))
	return fmt.Sprintf("%s…%016x", v[:maxKeyBytes], h.Sum64())
}

func keyOf(fields []postern.Field) string {
	var b []byte
	for _, f := range fields {
		b = appendFold(b, f.Value)
		b = append(b, 0)
	}
	return string(b)
}

func (t *Tracker) add(key string, fields []postern.Field, s sighting) []Hit {
	g := t.groups[key]
	if g == nil {
		g = &tracked{fields: fields, counts: make(map[string]int)}
		t.groups[key] = g
	}
	if n := len(g.seen); n > 0 && s.time.Before(g.seen[n-1].time.Add(-2*t.c.Timespan)) {
		t.losses.Late++
		return nil
	}
	if s.time.After(t.newest) {
		t.newest = s.time
	}
	at := sort.Search(len(g.seen), func(i int) bool { return g.seen[i].time.After(s.time) })
	g.seen = slices.Insert(g.seen, at, s)
	g.counts[s.what]++
	t.total++
	var hits []Hit
	if t.c.growing() {
		hits = t.check(g, at)
		t.forget(g, g.seen[len(g.seen)-1].time.Add(-2*t.c.Timespan))
	} else {
		hits = t.closeOld(g, g.seen[len(g.seen)-1].time)
	}
	if len(g.seen) > maxPerGroup {
		t.cut(g, maxPerGroup/4)
		t.losses.Dropped += maxPerGroup / 4
	}
	if t.total > maxSightings {
		hits = append(hits, t.evict()...)
	}
	return hits
}

// Flush ends the stream: it gives the hits of conditions that could only be
// answered once nothing more comes.
func (t *Tracker) Flush() []Hit {
	var hits []Hit
	for _, a := range t.byAge() {
		if g := t.groups[a.key]; !t.c.growing() {
			for len(g.seen) > 0 {
				hits = append(hits, t.closeFirst(g)...)
			}
		}
		delete(t.groups, a.key)
	}
	t.total = 0
	return hits
}

// check looks for a window with the sighting at i in which the condition holds.
func (t *Tracker) check(g *tracked, i int) []Hit {
	at, span := g.seen[i].time, t.c.Timespan
	if !g.last.IsZero() && !at.After(g.last.Add(span)) && !at.Before(g.last.Add(-span)) {
		return nil // has been told
	}
	// No window holds more than all that is remembered.
	if t.c.Type == EventCount && !t.c.satisfied(len(g.seen)) || t.c.Type != EventCount && !t.c.satisfied(len(g.counts)) {
		return nil
	}
	var lo, hi, n int
	if t.c.Type == TemporalOrdered {
		lo, hi, n = t.chain(g, i)
	} else {
		lo, hi, n = t.window(g, i)
	}
	if n == 0 {
		return nil
	}
	return []Hit{t.hit(g, lo, hi, n)}
}

// around gives the sightings that share a window with the one at i.
func (t *Tracker) around(g *tracked, i int) (from, to int) {
	first, last := g.seen[i].time.Add(-t.c.Timespan), g.seen[i].time.Add(t.c.Timespan)
	from = sort.Search(i, func(k int) bool { return !g.seen[k].time.Before(first) })
	to = i + sort.Search(len(g.seen)-i, func(k int) bool { return g.seen[i+k].time.After(last) })
	return from, to
}

// window slides over the sightings around i and gives the first window, with i
// in it, whose count suffices; n is 0 if there is none.
func (t *Tracker) window(g *tracked, i int) (lo, hi, n int) {
	from, to := t.around(g, i)
	counts := make(map[string]int)
	lo = from
	for hi = from; hi < to; hi++ {
		for g.seen[hi].time.Sub(g.seen[lo].time) > t.c.Timespan {
			uncount(counts, g.seen[lo].what)
			lo++
		}
		n = hi - lo + 1
		if t.c.Type != EventCount {
			counts[g.seen[hi].what]++
			n = len(counts)
		}
		if hi >= i && t.c.satisfied(n) {
			return lo, hi, n
		}
	}
	return 0, 0, 0
}

// chain looks for the rules in their order around i. Sightings of one time count
// as in order: logs with whole seconds do not tell.
func (t *Tracker) chain(g *tracked, i int) (lo, hi, n int) {
	from, to := t.around(g, i)
	n = len(t.c.Rules)
	// starts[k] is the latest sighting from which a chain of the first k+1 rules
	// has come about, -1 if none has.
	starts := slices.Repeat([]int{-1}, n)
	for a := from; a < to; {
		b := a
		for b < to && g.seen[b].time.Equal(g.seen[a].time) {
			b++
		}
		same := g.seen[a:b]
		for k := range starts {
			x := slices.IndexFunc(same, func(s sighting) bool { return s.rule == k })
			if x >= 0 && k == 0 {
				starts[0] = a + x
			} else if x >= 0 {
				starts[k] = starts[k-1]
			}
		}
		if s := starts[n-1]; s >= 0 && g.seen[a].time.Sub(g.seen[s].time) <= t.c.Timespan {
			return s, b - 1, n
		}
		a = b
	}
	return 0, 0, 0
}

func (t *Tracker) hit(g *tracked, lo, hi, n int) Hit {
	h := Hit{Correlation: t.c, Group: g.fields, First: g.seen[lo].time, Last: g.seen[hi].time, Count: n}
	rules := make([]bool, len(t.c.Rules))
	for _, s := range g.seen[lo : hi+1] {
		rules[s.rule] = true
		if len(h.Places) < maxPlaces {
			h.Places = append(h.Places, s.place)
		}
	}
	for i, r := range t.c.Rules {
		if rules[i] {
			h.Rules = append(h.Rules, r)
		}
	}
	g.last = h.Last
	return h
}

// closeOld answers, for conditions such as lt, the windows that no late sighting
// can reach any more. Such windows stand side by side, each from the first
// sighting after the one before.
func (t *Tracker) closeOld(g *tracked, now time.Time) []Hit {
	var hits []Hit
	for len(g.seen) > 0 && now.Sub(g.seen[0].time) > 2*t.c.Timespan {
		hits = append(hits, t.closeFirst(g)...)
	}
	return hits
}

func (t *Tracker) closeFirst(g *tracked) []Hit {
	end := g.seen[0].time.Add(t.c.Timespan)
	to := sort.Search(len(g.seen), func(i int) bool { return g.seen[i].time.After(end) })
	counts := make(map[string]int)
	for _, s := range g.seen[:to] {
		counts[s.what]++
	}
	n := len(counts)
	if t.c.Type == EventCount {
		n = to
	}
	var hits []Hit
	if t.c.satisfied(n) {
		hits = []Hit{t.hit(g, 0, to-1, n)}
	}
	t.cut(g, to)
	return hits
}

// forget drops what is older than a time, once that is worth the move.
func (t *Tracker) forget(g *tracked, before time.Time) {
	if n := len(g.seen) / 4; g.seen[n].time.Before(before) {
		t.cut(g, sort.Search(len(g.seen), func(i int) bool { return !g.seen[i].time.Before(before) }))
	}
}

// cut drops the first n sightings of a group.
func (t *Tracker) cut(g *tracked, n int) {
	for _, s := range g.seen[:n] {
		uncount(g.counts, s.what)
	}
	g.seen = slices.Delete(g.seen, 0, n)
	t.total -= n
}

func uncount(counts map[string]int, what string) {
	if counts[what]--; counts[what] == 0 {
		delete(counts, what)
	}
}

// evict makes room: groups that are over, and then the longest silent, until a
// quarter is free.
func (t *Tracker) evict() []Hit {
	var hits []Hit
	over := t.newest.Add(-2 * t.c.Timespan)
	for _, a := range t.byAge() {
		g := t.groups[a.key]
		if a.newest.Before(over) {
			for !t.c.growing() && len(g.seen) > 0 {
				hits = append(hits, t.closeFirst(g)...)
			}
		} else if t.total <= maxSightings/4*3 {
			break
		} else {
			t.losses.Dropped += int64(len(g.seen))
		}
		t.total -= len(g.seen)
		delete(t.groups, a.key)
	}
	return hits
}

// aged is a group with the time of its last sighting.
type aged struct {
	key    string
	newest time.Time
}

// byAge gives the groups, the longest silent first.
func (t *Tracker) byAge() []aged {
	all := make([]aged, 0, len(t.groups))
	for key, g := range t.groups {
		all = append(all, aged{key, g.seen[len(g.seen)-1].time})
	}
	slices.SortFunc(all, func(a, b aged) int {
		return cmp.Or(a.newest.Compare(b.newest), strings.Compare(a.key, b.key))
	})
	return all
}
