package yara

import (
	"context"
	"errors"
	"math/bits"

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
	wanted  pattern.Wanted
	buffer  []byte
	unmet   []bool // groups whose global rule is false
}

func (r *Rules) newScratch() *scratch {
	return &scratch{
		m:     machine{matched: make([]bool, len(r.rules))},
		atoms: make([]truth, len(r.index.atoms)),
		alive: make([]uint64, (len(r.rules)+63)/64),
		unmet: make([]bool, r.groups),
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
}

// survivors marks the rules whose guards hold and says whether there are any. While
// only the file's beginning is there, a guard that asks for more holds.
func (r *Rules) survivors(s *scratch) bool {
	clear(s.alive)
	some := false
	for i := range r.index.groups {
		g := &r.index.groups[i]
		if g.atom >= 0 && !r.holds(s, g.atom) {
			continue
		}
	rules:
		for _, rule := range g.rules {
			if guards := r.index.guards[rule]; len(guards) > 1 {
				for _, atom := range guards[1:] {
					if !r.holds(s, atom) {
						continue rules
					}
				}
			}
			s.alive[rule>>6] |= 1 << (rule & 63)
			some = true
		}
	}
	return some
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
	if !r.survivors(s) {
		return out
	}
	r.search(ctx, s, &out)
	r.evaluate(s, &out, true)
	return out
}

// scanPlain is scan without guards and clauses, for the test that they change nothing.
func (r *Rules) scanPlain(ctx context.Context, s *scratch, in *input) result {
	var out result
	r.begin(ctx, s, in)
	for i := range r.rules {
		s.alive[i>>6] |= 1 << (i & 63)
	}
	out.find(r.strings.Scan(ctx, in.data, nil, &s.matches))
	r.evaluate(s, &out, false)
	return out
}

// search looks for the strings of the rules that are left.
func (r *Rules) search(ctx context.Context, s *scratch, out *result) {
	if s.wanted == nil {
		s.wanted = r.strings.NewWanted()
	}
	clear(s.wanted)
	some := false
	for rule := range r.survivor(s) {
		for _, id := range r.rules[rule].strings {
			if id >= 0 {
				s.wanted.Add(id)
				some = true
			}
		}
	}
	if !some {
		s.matches = pattern.Matches{}
		return
	}
	out.find(r.strings.Scan(ctx, s.m.data, s.wanted, &s.matches))
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
func (r *Rules) evaluate(s *scratch, out *result, gated bool) {
	m := &s.m
	clear(m.matched)
	m.file = &module.File{Data: m.data}
	for i := range r.survivor(s) {
		if gated && !r.possible(s, i) {
			continue
		}
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

// possible says whether each clause of a rule has a string that was found.
func (r *Rules) possible(s *scratch, rule int32) bool {
clauses:
	for _, c := range r.index.clauses[rule] {
		for _, id := range c {
			if len(s.matches.Of(id)) > 0 {
				continue clauses
			}
		}
		return false
	}
	return true
}
