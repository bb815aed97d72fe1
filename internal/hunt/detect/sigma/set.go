package sigma

import (
	"math/bits"
	"slices"
	"strings"
	"sync"

	"postern"
)

// Set is many rules made ready for evaluation. It does not change once made;
// several goroutines may use it at once.
//
// Sources of events may be paths: rules placed at "windows/security" see events
// of "windows/security" and "windows/security/4688", those placed at "*" see
// all. Aliases of the nearest source that has any count.
type Set struct {
	groups  map[string]*group // by the sources at which rules are placed, and "*"
	aliases map[string]map[string]string
	unknown []*Rule
	views   sync.Pool
}

// everywhere is the source of rules that see all events.
const everywhere = "*"

// group is the rules that see the events of one source.
type group struct {
	rules    []*Rule
	binds    [][]int32 // by rule: from its field indexes to slots
	table    *table
	always   []uint64 // bits of the rules that no literal announces
	slots    []int32  // those with an index
	fields   []*index // beside slots
	keywords *index   // over all values; nil if no rule needs it
}

// NewSet places each rule at the event sources that sourceOf gives for its log
// source, and indexes it there. Aliases say for an event source which event field
// a rule's field is called there; other fields have their own names.
func NewSet(rules []*Rule, sourceOf func(LogSource) []string, aliases map[string]map[string]string) *Set {
	s := &Set{groups: make(map[string]*group), aliases: aliases}
	placed := make(map[string][]int) // source → rules
	for i, r := range rules {
		sources := slices.Compact(slices.Sorted(slices.Values(sourceOf(r.LogSource))))
		if len(sources) == 0 {
			s.unknown = append(s.unknown, r)
		}
		for _, source := range sources {
			placed[source] = append(placed[source], i)
		}
	}
	names := []string{everywhere}
	for source := range placed {
		names = append(names, source)
	}
	for source := range aliases { // events of it need a group with its names
		names = append(names, source)
	}
	for _, source := range names {
		if s.groups[source] != nil {
			continue
		}
		var here []int
		for _, at := range outward(source) {
			here = append(here, placed[at]...)
		}
		slices.Sort(here)
		var seen []*Rule
		for _, i := range slices.Compact(here) {
			seen = append(seen, rules[i])
		}
		s.groups[source] = newGroup(seen, aliasesOf(source, aliases))
	}
	return s
}

// outward gives a source and those around it, nearest first, "*" last.
func outward(source string) []string {
	var all []string
	for source != "" && source != everywhere {
		all = append(all, source)
		source = source[:max(strings.LastIndexByte(source, '/'), 0)]
	}
	return append(all, everywhere)
}

func aliasesOf(source string, aliases map[string]map[string]string) map[string]string {
	compared := make(map[string]string)
	for _, at := range outward(source) {
		if len(aliases[at]) > 0 {
			for field, event := range aliases[at] {
				compared[string(appendName(nil, field))] = event
			}
			break
		}
	}
	return compared
}

func newGroup(rules []*Rule, aliases map[string]string) *group {
	g := &group{rules: rules, table: newTable(), always: make([]uint64, (len(rules)+63)/64)}
	clauses := make([][]clause, len(rules))
	shared := make(map[atom]int) // rules that could be found by an atom
	for i, r := range rules {
		bind := make([]int32, len(r.own.names))
		for f, name := range r.own.names {
			if event, ok := aliases[string(appendName(nil, name))]; ok {
				name = event
			}
			bind[f] = g.table.add(name)
		}
		g.binds = append(g.binds, bind)
		for _, c := range r.clauses(r.root, false) {
			bound := make(clause, len(c))
			for j, a := range c {
				if a.field != keyword {
					a.field = bind[a.field]
				}
				bound[j] = a
				shared[a]++
			}
			clauses[i] = append(clauses[i], bound)
		}
	}
	fields := make([]builder, len(g.table.names))
	var keywords builder
	for i := range rules {
		c := rarest(clauses[i], shared)
		if c == nil {
			mark(g.always, []int32{int32(i)})
		}
		for _, a := range c {
			if a.field == keyword {
				keywords.add(a.literal, int32(i))
			} else {
				fields[a.field].add(a.literal, int32(i))
			}
		}
	}
	for slot := range fields {
		if len(fields[slot].order) > 0 {
			g.slots = append(g.slots, int32(slot))
			g.fields = append(g.fields, fields[slot].build())
		}
	}
	if len(keywords.order) > 0 {
		g.keywords = keywords.build()
	}
	return g
}

// rarest chooses the clause by which a rule is found: telling, and not shared by
// many rules. What many rules share, such as an event id or powershell.exe, is
// what the events are full of.
func rarest(clauses []clause, shared map[atom]int) clause {
	var best clause
	var bestScore int
	for _, c := range clauses {
		most := 0
		for _, a := range c {
			most = max(most, shared[a])
		}
		score := 2*c.score() - 3*bits.Len(uint(most)) - bits.Len(uint(len(c)))
		if best == nil || score > bestScore {
			best, bestScore = c, score
		}
	}
	return best
}

// group gives the rules for an event source, nil if there are none.
func (s *Set) group(source string) *group {
	for {
		if g := s.groups[source]; g != nil {
			return g
		}
		if source == everywhere {
			return nil
		}
		if i := strings.LastIndexByte(source, '/'); i > 0 {
			source = source[:i]
		} else {
			source = everywhere
		}
	}
}

// Rules gives the rules that see the events of a source, in the order in which
// they were given.
func (s *Set) Rules(source string) []*Rule { return s.group(source).rules }

// Field gives the name that a rule's field has in the events of a source.
func (s *Set) Field(source, field string) string {
	if event, ok := aliasesOf(source, s.aliases)[string(appendName(nil, field))]; ok {
		return event
	}
	return field
}

// Unplaced gives the rules whose log source no event source answers: they were
// loaded, but nothing is ever looked at by them.
func (s *Set) Unplaced() []*Rule { return s.unknown }

// Eval appends the matches of an event to out, in the order of the rules.
func (s *Set) Eval(ev *postern.Event, out []Match) []Match {
	g := s.group(ev.Source)
	if len(g.rules) == 0 {
		return out
	}
	v, _ := s.views.Get().(*view)
	if v == nil {
		v = new(view)
	}
	v.load(ev, g.table)
	g.announce(v)
	for word, marks := range v.marks {
		for ; marks != 0; marks &= marks - 1 {
			i := word*64 + bits.TrailingZeros64(marks)
			r := g.rules[i]
			v.bind = g.binds[i]
			if r.root.eval(r, v) {
				out = append(out, Match{Rule: r, Fields: r.decided(v), ev: ev, table: g.table, bind: g.binds[i]})
			}
		}
	}
	v.unload()
	s.views.Put(v)
	return out
}

// announce marks the rules that the event's literals announce, with one pass
// over each value that is indexed.
func (g *group) announce(v *view) {
	v.marks = append(v.marks[:0], g.always...)
	for k, slot := range g.slots {
		for i := v.first[slot]; i >= 0; i = v.values[i].next {
			g.fields[k].scan(v.folded(i), v.marks)
		}
	}
	if g.keywords == nil {
		return
	}
	for i := range v.values {
		g.keywords.scan(v.folded(int32(i)), v.marks)
	}
}
