package yara

import (
	"context"
	"errors"
	"math/bits"
	"slices"

	"postern/internal/hunt/detect/yara/module"
	"postern/internal/hunt/detect/yara/pattern"
)

// input is one file as the rules see it.
type input struct {
	data     []byte // the file, or as much of it as is read
	size     int64  // of the whole file
	external [5]string
	known    [5]bool
}

// result is what the rules say of one file.
type result struct {
	matched []int32 // rules in their order, without private ones
	over    []int32 // rules that cost more than the bounds allow
	budget  bool    // the search for strings did
	timeout bool
}

// scratch is what a scan needs for a while. It belongs to one goroutine at a time.
type scratch struct {
	m       machine
	matches pattern.Matches
	atoms   []truth // of the index: undefined is "not asked yet"
	alive   []uint64
	follow  [256]followers
	found   []pattern.ID
	wanted  pattern.Wanted
	// searched are the strings that were looked for.
	searched pattern.Wanted
	buffer   []byte
	unmet    []bool // groups whose global rule is false
}

func (r *Rules) newScratch() *scratch {
	return &scratch{
		m:     machine{matched: make([]bool, len(r.rules))},
		atoms: make([]truth, len(r.index.atoms)),
		alive: make([]uint64, (len(r.rules)+63)/64),
		unmet: make([]bool, r.groups),

		wanted: r.strings.NewWanted(), searched: r.strings.NewWanted(),
	}
}

// begin prepares for a file.
func (r *Rules) begin(ctx context.Context, s *scratch, in *input) {
	m := &s.m
	m.ctx, m.data, m.size, m.external, m.known = ctx, in.data, in.size, in.external, in.known
	m.matches = &s.matches
	m.fileSteps = 0
	m.partial = int64(len(in.data)) < in.size
	for i := range s.atoms {
		s.atoms[i] = undefined
	}
	for i := range marks {
		s.follow[marks[i]].known = false
	}
	clear(s.alive)
	clear(s.searched)
}

// anySurvives says whether the guards of any rule hold. While only the file's
// beginning is there, a guard that asks for more holds.
func (r *Rules) anySurvives(s *scratch) bool {
	for i := range r.index.groups {
		g := &r.index.groups[i]
		if g.atom < 0 || r.holds(s, g.atom) && slices.ContainsFunc(g.rules, func(rule int32) bool { return r.guarded(s, rule) }) {
			return true
		}
	}
	return false
}

// guarded says whether the guards of a rule hold.
func (r *Rules) guarded(s *scratch, rule int32) bool {
	for _, atom := range r.index.guards[rule] {
		if !r.holds(s, atom) {
			return false
		}
	}
	return true
}

// holds evaluates a guard once.
func (r *Rules) holds(s *scratch, atom int32) bool {
	if s.atoms[atom] != undefined {
		return s.atoms[atom] == yes
	}
	m := &s.m
	m.rule, m.steps, m.over, m.beyond = nil, 0, false, false
	is := m.truth(r.index.atoms[atom])
	if m.beyond {
		is = yes
	}
	s.atoms[atom] = truthOf(is == yes)
	return is == yes
}

// scan evaluates all rules on a file: those whose guards hold, and whose necessary
// strings are found.
func (r *Rules) scan(ctx context.Context, s *scratch, in *input) result {
	var out result
	r.begin(ctx, s, in)
	r.openGates(ctx, s, &out)
	r.search(ctx, s, &out)
	r.evaluate(s, &out)
	return out
}

// scanPlain is scan without guards and clauses, for the test that they change nothing.
func (r *Rules) scanPlain(ctx context.Context, s *scratch, in *input) result {
	var out result
	r.begin(ctx, s, in)
	for i := range r.rules {
		s.let(int32(i))
	}
	out.find(r.strings.Scan(ctx, in.data, nil, &s.matches))
	r.evaluate(s, &out)
	return out
}

// openGates searches for the gates and lets through the rules whose gate opens and
// whose guards hold.
func (r *Rules) openGates(ctx context.Context, s *scratch, out *result) {
	for _, rule := range r.index.free {
		if r.guarded(s, rule) {
			s.let(rule)
		}
	}
	for i := range r.index.gates {
		g := &r.index.gates[i]
		switch {
		case i == 0: // has no atom, and empties what was found in the file before
			out.find(g.set.Scan(ctx, s.m.data, nil, &s.matches))
		case r.holds(s, g.atom):
			out.find(g.set.ScanMore(ctx, s.m.data, s.not(g.ids), &s.matches))
		default:
			continue
		}
		s.book(g.ids)
	}
	r.openLate(ctx, s, out)
	s.found = s.matches.Found(s.found[:0])
	for _, id := range s.found {
		for _, rule := range r.index.opens[id] {
			if !s.lives(rule) && r.guarded(s, rule) {
				s.let(rule)
			}
		}
	}
}

// openLate searches for the costly strings of gates, for the rules whose guards hold
// and as far as their hints do not rule them out.
func (r *Rules) openLate(ctx context.Context, s *scratch, out *result) {
	clear(s.wanted)
	some := false
	for i := range r.index.late {
		l := &r.index.late[i]
		if !r.guarded(s, l.rule) {
			continue
		}
		for k, id := range l.ids {
			if s.searched.Has(id) {
				continue
			}
			s.searched.Add(id) // what its hints rule out was looked for, too
			if s.hinted(l.hints[k]) {
				s.wanted.Add(id)
				some = true
			}
		}
	}
	if some {
		out.find(r.index.lateSet.ScanMore(ctx, s.m.data, s.wanted, &s.matches))
	}
}

// hinted says whether one of a string's hints is in the file, or it has none.
func (s *scratch) hinted(hints []hint) bool {
	if hints == nil {
		return true
	}
	for _, h := range hints {
		if s.follow[h.first].follows(s.m.data, h) {
			return true
		}
	}
	return false
}

// let lets a rule through, lives says whether one was.
func (s *scratch) let(rule int32)        { s.alive[rule>>6] |= 1 << (rule & 63) }
func (s *scratch) lives(rule int32) bool { return s.alive[rule>>6]>>(rule&63)&1 != 0 }

// book marks strings as searched for; not gives those of a set that are not.
func (s *scratch) book(ids pattern.Wanted) {
	for i, word := range ids {
		s.searched[i] |= word
	}
}

func (s *scratch) not(ids pattern.Wanted) pattern.Wanted {
	for i, word := range ids {
		s.wanted[i] = word &^ s.searched[i]
	}
	return s.wanted
}

// search looks for the other strings of the rules that are left, the costlier ones
// later: a rule of which a clause is not found needs no more.
func (r *Rules) search(ctx context.Context, s *scratch, out *result) {
	for cost := 0; cost < costs && r.narrow(s); cost++ {
		clear(s.wanted)
		some := false
		for rule := range r.survivor(s) {
			for _, id := range r.rules[rule].strings {
				if id >= 0 && r.strings.Cost(id) <= cost && !s.searched.Has(id) {
					s.wanted.Add(id)
					some = true
				}
			}
		}
		if some {
			out.find(r.strings.ScanMore(ctx, s.m.data, s.wanted, &s.matches))
			s.book(s.wanted)
		}
	}
	r.narrow(s)
}

// costs is how many kinds of strings the pattern set knows.
const costs = 4

// narrow drops the rules of which a clause was searched for and not found, and says
// whether any are left.
func (r *Rules) narrow(s *scratch) bool {
	some := false
rules:
	for rule := range r.survivor(s) {
		for _, c := range r.index.clauses[rule] {
			if !r.open(s, c) {
				s.alive[rule>>6] &^= 1 << (rule & 63)
				continue rules
			}
		}
		some = true
	}
	return some
}

// open says whether a string of a clause was found, or has yet to be looked for.
func (r *Rules) open(s *scratch, c clause) bool {
	for _, id := range c {
		if !s.searched.Has(id) || len(s.matches.Of(id)) > 0 {
			return true
		}
	}
	return false
}

// survivor gives the rules that are left, in their order.
func (r *Rules) survivor(s *scratch) func(func(int32) bool) {
	return func(yield func(int32) bool) {
		for i, word := range s.alive {
			for ; word != 0; word &= word - 1 {
				if !yield(int32(i<<6 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

// find books how a search ended.
func (o *result) find(err error) {
	switch {
	case errors.Is(err, pattern.ErrBudget):
		o.budget = true
	case err != nil:
		o.timeout = true
	}
}

// evaluate evaluates the conditions of the rules that are left.
func (r *Rules) evaluate(s *scratch, out *result) {
	m := &s.m
	clear(m.matched)
	m.file = &module.File{Data: m.data}
	for i := range r.survivor(s) {
		m.matched[i] = m.eval(r.rules[i])
		if m.over {
			out.over = append(out.over, i)
		}
	}
	clear(s.unmet)
	for _, i := range r.index.globals {
		if !m.matched[i] {
			s.unmet[r.rules[i].group] = true
		}
	}
	for i := range r.survivor(s) {
		if m.matched[i] && !r.rules[i].private && !s.unmet[r.rules[i].group] {
			out.matched = append(out.matched, i)
		}
	}
	if m.ctx.Err() != nil {
		out.timeout = true
	}
	m.file = nil
}
