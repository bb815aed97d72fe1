package yara

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"sync"

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
	cut     []cut   // strings of them that stand in more places than are counted
	budget  bool    // the search for strings did
	timeout bool
}

// cut is a string that matched more often than is kept, with the first rule that has it.
type cut struct {
	rule int32
	id   pattern.ID
}

// scratch is what a scan needs for a while. It belongs to one goroutine at a time.
type scratch struct {
	m       machine
	matches pattern.Matches
	atoms   []truth // of the index: undefined is "not asked yet"
	alive   []uint64
	found   []pattern.ID
	wanted  pattern.Wanted
	// searched are the strings that were looked for.
	searched pattern.Wanted
	buffer   []byte
	deadline deadline
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
	for i := range m.folded {
		m.folded[i].made = false
	}
	m.partial = int64(len(in.data)) < in.size
	for i := range s.atoms {
		s.atoms[i] = undefined
	}
	clear(s.alive)
	clear(s.searched)
}

// anySurvives says whether the guards of any rule hold that can find something. While
// only the file's beginning is there, a guard that asks for more holds.
func (r *Rules) anySurvives(s *scratch) bool {
	for i := range r.index.groups {
		g := &r.index.groups[i]
		finds := func(rule int32) bool { return !r.rules[rule].private && r.guarded(s, rule) }
		if (g.atom < 0 || r.holds(s, g.atom)) && slices.ContainsFunc(g.rules, finds) {
			return true
		}
	}
	return false
}

// guarded says whether the guards of a rule hold.
func (r *Rules) guarded(s *scratch, rule int32) bool { return r.hold(s, r.index.guards[rule]) }

// hold says whether all of some guards hold.
func (r *Rules) hold(s *scratch, guards []int32) bool {
	for _, atom := range guards {
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
	is := r.index.checks[atom](m)
	if m.beyond {
		is = yes
	}
	s.atoms[atom] = truthOf(is == yes)
	return is == yes
}

// scan evaluates all rules on a file: those whose guards hold, and whose necessary
// strings are found.
func (r *Rules) scan(ctx context.Context, s *scratch, in *input) result {
	r.begin(ctx, s, in)
	return r.scanBegun(ctx, s)
}

// scanBegun is scan for a file that begin has prepared for.
func (r *Rules) scanBegun(ctx context.Context, s *scratch) result {
	var out result
	r.openGates(ctx, s, &out)
	r.search(ctx, s, &out)
	r.evaluate(s, &out)
	r.findCut(s, &out)
	return out
}

// findCut books the strings that matched more often than is kept: what a condition says of
// their number and places may be wrong.
func (r *Rules) findCut(s *scratch, out *result) {
	for _, id := range s.matches.Cut() {
		for rule := range r.survivor(s) {
			if slices.Contains(r.rules[rule].strings, id) {
				out.cut = append(out.cut, cut{rule, id})
				break
			}
		}
	}
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
	for i := range r.index.gates {
		g := &r.index.gates[i]
		copy(s.wanted, g.ids)
		switch {
		case i == 0: // has no atom, and empties what was found in the file before
			for j := range r.index.named {
				if n := &r.index.named[j]; !r.hold(s, n.guards) {
					s.wanted.Remove(n.ids)
				}
			}
			out.find(g.set.Scan(ctx, s.m.data, s.wanted, &s.matches))
		case r.holds(s, g.atom):
			s.wanted.Remove(s.searched)
			out.find(g.set.ScanMore(ctx, s.m.data, s.wanted, &s.matches))
		default:
			continue
		}
		s.book(s.wanted)
	}
	for _, rule := range r.index.open {
		if r.guarded(s, rule) {
			s.let(rule)
		}
	}
	for i := range r.index.mixed {
		m := &r.index.mixed[i]
		if !r.met(s, m.clause) {
			continue
		}
		for _, rule := range m.rules {
			if r.guarded(s, rule) {
				s.let(rule)
			}
		}
	}
	s.found = s.matches.Found(s.found[:0])
	for _, id := range s.found {
		for _, rule := range r.index.opens[id] {
			if !s.lives(rule) && r.guarded(s, rule) {
				s.let(rule)
			}
		}
	}
}

// let lets a rule through, lives says whether one was.
func (s *scratch) let(rule int32)        { s.alive[rule>>6] |= 1 << (rule & 63) }
func (s *scratch) lives(rule int32) bool { return s.alive[rule>>6]>>(rule&63)&1 != 0 }

// book marks strings as searched for.
func (s *scratch) book(ids pattern.Wanted) {
	for i, word := range ids {
		s.searched[i] |= word
	}
}

// rounds is how often only the next clause of each rule is searched for, before all
// its strings are: each round is a pass over the file, and two settle nearly all.
const rounds = 3

// search looks for the other strings of the rules that are left. A rule of which a
// clause is not found needs no more.
func (r *Rules) search(ctx context.Context, s *scratch, out *result) {
	for round := 0; ; round++ {
		clear(s.wanted)
		some := false
		for rule := range r.survivor(s) {
			next, dead := r.nextClause(s, rule)
			switch {
			case dead:
				s.alive[rule>>6] &^= 1 << (rule & 63)
				continue
			case next == nil || round >= rounds:
				next = r.rules[rule].strings
			}
			for _, id := range next {
				if id >= 0 && !s.searched.Has(id) && !s.wanted.Has(id) {
					s.wanted.Add(id)
					some = true
				}
			}
		}
		if !some {
			return
		}
		set, wanted := r.part(s.wanted, len(s.m.data))
		out.find(set.ScanMore(ctx, s.m.data, wanted, &s.matches))
		s.book(s.wanted)
	}
}

// Files of a kind ask for the same strings again and again, and a set of these alone
// is several times faster than the whole.
const (
	// minWork is how much a selection must have been searched in to get its own set, in
	// bytes and, as each search takes a while however small the file, useWork for each.
	minWork = 32 << 10
	useWork = 16 << 10
	// maxParts bounds the selections that are remembered; then all are forgotten.
	maxParts = 512
)

// part is a selection of strings that was asked for.
type part struct {
	wanted pattern.Wanted
	work   int
	set    *pattern.Set
}

// parts are the selections that were asked for lately, by a hash of their strings.
type parts struct {
	mu  sync.Mutex
	all map[uint64]*part
}

// part gives the set to look for what is wanted in.
func (r *Rules) part(wanted pattern.Wanted, size int) (*pattern.Set, pattern.Wanted) {
	h := uint64(14695981039346656037) // FNV-1a, by words
	for _, word := range wanted {
		h = (h ^ word) * 1099511628211
	}
	r.parts.mu.Lock()
	defer r.parts.mu.Unlock()
	p := r.parts.all[h]
	if p == nil {
		if r.parts.all == nil || len(r.parts.all) >= maxParts {
			r.parts.all = make(map[uint64]*part)
		}
		p = &part{wanted: slices.Clone(wanted)}
		r.parts.all[h] = p
	} else if !slices.Equal(p.wanted, wanted) {
		return r.strings, wanted
	}
	if p.set != nil {
		return p.set, nil
	}
	if p.work += useWork + size; p.work < minWork {
		return r.strings, wanted
	}
	p.set = r.strings.Part(p.wanted)
	return p.set, nil
}

// nextClause gives the cheapest clause of a rule that is still to be searched for,
// nil if each has a string that was found. dead is true if one was searched for in
// vain.
func (r *Rules) nextClause(s *scratch, rule int32) (next clause, dead bool) {
	for _, c := range r.index.clauses[rule] {
		if r.met(s, c) {
			continue
		}
		if !slices.ContainsFunc(c, s.isOpen) {
			return nil, true
		}
		if next == nil {
			next = c
		}
	}
	return next, false
}

// met says whether a string of a clause was found, or an atom holds. Strings are
// asked first.
func (r *Rules) met(s *scratch, c clause) bool {
	none := s.matches.None()
	for i := len(c) - 1; i >= 0; i-- {
		if atom, is := atomOf(c[i]); is {
			if r.holds(s, atom) {
				return true
			}
		} else if !none && s.searched.Has(c[i]) && len(s.matches.Of(c[i])) > 0 {
			return true
		}
	}
	return false
}

// isOpen says whether a part of a clause is a string that was not searched for.
func (s *scratch) isOpen(id pattern.ID) bool { return id >= 0 && !s.searched.Has(id) }

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
	m.file, m.entry = &module.File{Data: m.data}, startPlace{}
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
