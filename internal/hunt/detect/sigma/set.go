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

// group is the rules that see the events of one source. A rule has a bit in each of two
// planes of words, one for each of two clauses by which it is found; it is evaluated
// where both are set.
type group struct {
	rules    []*Rule
	steps    steps
	rests    []rest              // by rule
	binds    [][]int32           // by rule: from its field indexes to slots
	aliases  []map[string]string // by rule
	table    *table
	words    int      // of a plane
	planes   []uint64 // both, with the bits of rules that have no such clause
	slots    []int32  // those with an index
	fields   []*index // beside slots
	keywords *index   // over all values; nil if no rule needs it
	all      bool     // a rule that looks at all values is asked about every event
}

// rest is what is left to ask of a rule that is found. It lies apart from the rule, as
// most of those that are found are asked in vain and looked at no further.
type rest struct {
	step int32 // from which it is asked, -1 for one that matches
	all  bool  // it looks at all values
}

// NewSet places each rule at the event sources that sourceOf gives for its log
// source, and indexes it there. Aliases say for an event source which event field
// a rule's field is called there; other fields have their own names.
func NewSet(rules []*Rule, sourceOf func(LogSource) []string, aliases map[string]map[string]string) *Set {
	return NewSetAt(rules, func(r *Rule) []Placement {
		var places []Placement
		for _, source := range sourceOf(r.LogSource) {
			places = append(places, Placement{Source: source})
		}
		return places
	}, aliases)
}

// Placement is one source of events in which a rule looks. Aliases, if there are
// any, say what the fields of this rule are called there, in place of those of the source.
type Placement struct {
	Source  string
	Aliases map[string]string
}

// placed is a rule at a source.
type placed struct {
	rule    int
	aliases map[string]string
}

// NewSetAt is NewSet for rules that are placed one by one. Of several placements
// of a rule at the same source the first counts.
func NewSetAt(rules []*Rule, place func(*Rule) []Placement, aliases map[string]map[string]string) *Set {
	s := &Set{groups: make(map[string]*group), aliases: aliases}
	at := make(map[string][]placed) // source → rules
	for i, r := range rules {
		places := place(r)
		if len(places) == 0 {
			s.unknown = append(s.unknown, r)
		}
		for _, p := range places {
			if here := at[p.Source]; len(here) == 0 || here[len(here)-1].rule != i {
				at[p.Source] = append(here, placed{i, p.Aliases})
			}
		}
	}
	names := []string{everywhere}
	for source := range at {
		names = append(names, source)
	}
	for source := range aliases { // events of it need a group with its names
		names = append(names, source)
	}
	for _, source := range names {
		if s.groups[source] != nil {
			continue
		}
		var here []placed
		for _, around := range outward(source) {
			here = append(here, at[around]...)
		}
		slices.SortStableFunc(here, func(a, b placed) int { return a.rule - b.rule })
		here = slices.CompactFunc(here, func(a, b placed) bool { return a.rule == b.rule })
		seen := make([]*Rule, len(here))
		for i, p := range here {
			seen[i] = rules[p.rule]
		}
		s.groups[source] = newGroup(seen, here, aliasesOf(source, aliases))
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
	for _, at := range outward(source) {
		if len(aliases[at]) > 0 {
			return compared(aliases[at])
		}
	}
	return nil
}

// compared gives aliases under the form in which names of fields are compared.
func compared(aliases map[string]string) map[string]string {
	all := make(map[string]string, len(aliases))
	for field, event := range aliases {
		all[string(appendName(nil, field))] = event
	}
	return all
}

func newGroup(rules []*Rule, at []placed, common map[string]string) *group {
	g := &group{rules: rules, table: newTable(), words: (len(rules) + 63) / 64}
	g.planes = make([]uint64, 2*g.words)
	clauses := make([][]clause, len(rules))
	for i, r := range rules {
		aliases := common
		if at[i].aliases != nil {
			aliases = compared(at[i].aliases)
		}
		bind := make([]int32, len(r.own.names))
		for f, name := range r.own.names {
			if event, ok := aliases[string(appendName(nil, name))]; ok {
				name = event
			}
			bind[f] = g.table.add(name)
		}
		g.binds, g.aliases = append(g.binds, bind), append(g.aliases, aliases)
		for _, c := range r.clauses(r.root, false) {
			bound := make(clause, len(c))
			for j, a := range c {
				if a.field != keyword {
					a.field = bind[a.field]
				}
				bound[j] = a
			}
			clauses[i] = append(clauses[i], bound)
		}
	}
	fields := make([]builder, len(g.table.names))
	var keywords builder
	choose := newChooser(g.table, clauses)
	for i, r := range rules {
		two := choose.two(clauses[i])
		g.rests = append(g.rests, rest{step: -1, all: r.all})
		if left := r.rest(r.root, g.binds[i], two); left != nil {
			g.rests[i].step = int32(len(g.steps))
			g.steps = g.steps.write(r, left, g.binds[i], choose)
		}
		g.all = g.all || r.all && two[0] == nil
		for plane, c := range two {
			number := int32(plane*g.words*64 + i)
			if c == nil {
				set(g.planes, marksOf([]int32{number}))
			}
			for _, a := range c {
				if a.field == keyword {
					keywords.add(a.literal, number)
				} else {
					fields[a.field].add(a.literal, number)
				}
			}
		}
	}
	for slot := range fields {
		if len(fields[slot].order) > 0 {
			g.slots = append(g.slots, int32(slot))
			g.fields = append(g.fields, fields[slot].build(g.table.rates(int32(slot))))
		}
	}
	g.steps = slices.Clip(g.steps)
	if len(keywords.order) > 0 {
		g.keywords = keywords.build("")
	}
	return g
}

// group gives the rules for an event source, nil if there are none.
func (s *Set) group(source string) *group {
	for {
		if g := s.groups[source]; g != nil {
			return g
		}
		i := strings.LastIndexByte(source, '/')
		if i <= 0 {
			return s.groups[everywhere]
		}
		source = source[:i]
	}
}

// Has says whether any rule sees the events of a source.
func (s *Set) Has(source string) bool { return len(s.group(source).rules) > 0 }

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
func (s *Set) Eval(ev *postern.Event, out []Match) []Match { return s.EvalAt(ev.Source, ev, out) }

// EvalAt is Eval for an event of a source that it does not name itself.
func (s *Set) EvalAt(source string, ev *postern.Event, out []Match) []Match {
	g := s.group(source)
	if len(g.rules) == 0 {
		return out
	}
	v, _ := s.views.Get().(*view)
	if v == nil {
		v = new(view)
	}
	g.announce(ev, v)
	for word, first := range v.marks[:g.words] {
		for both := first & v.marks[g.words+word]; both != 0; both &= both - 1 {
			i := word*64 + bits.TrailingZeros64(both)
			rest := g.rests[i]
			if rest.all && !v.all { // which is seldom: most events have none of its keywords
				v.load(ev, g.table, true)
			}
			v.bind = g.binds[i]
			if rest.step < 0 || g.steps.eval(rest.step, v) {
				out = append(out, Match{Rule: g.rules[i], ev: ev, table: g.table, bind: g.binds[i], aliases: g.aliases[i], views: &s.views})
			}
		}
	}
	v.unload()
	s.views.Put(v)
	return out
}

// announce lays out the event and sets the bits of the clauses that its literals fulfil,
// with one pass over each value that is indexed. Where all rules need a keyword, an event
// without one is not even laid out.
func (g *group) announce(ev *postern.Event, v *view) {
	v.marks = append(v.marks[:0], g.planes...)
	if g.keywords != nil {
		g.keywords.scanAll(ev, v, v.marks)
	}
	if len(g.slots) == 0 && !g.found(v) {
		return
	}
	v.load(ev, g.table, g.all)
	for k, slot := range g.slots {
		for i := v.first[slot]; i >= 0; i = v.values[i].next {
			g.fields[k].scan(v.folded(i), v.marks)
		}
	}
}

// found says whether a rule is to be asked.
func (g *group) found(v *view) bool {
	for word, first := range v.marks[:g.words] {
		if first&v.marks[g.words+word] != 0 {
			return true
		}
	}
	return false
}
