package yara

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/VirusTotal/gyp/ast"

	"postern/internal/hunt/detect/yara/pattern"
)

// index says which rules need not be evaluated for a file, and for which the file
// need not be searched. It never changes a result: what it leaves out is false.
//
// For most rules one clause, the cheapest to look for, is their gate: where none of
// its strings is found the rule is false. The gates of all rules are searched for
// together, in few passes; the rules whose gate opens are asked for their guards, and
// only for those that hold is the rest of their strings searched for.
type index struct {
	// atoms are the different guards of all rules, each evaluated once a file at most.
	atoms  []*node
	checks []check
	// guards of each rule, as atoms: all of them must be true.
	guards [][]int32
	// clauses of each rule, the cheapest first: of each, one string must be found.
	clauses [][]clause
	globals []int32

	// named are the strings of gates that only files with certain names and sizes need
	// to be searched for.
	named []named
	// gates are searched for if their atom holds: half of all rules are for Windows
	// programs alone, and other files need not be searched for their strings.
	gates []gate
	// opens gives the rules whose gate has a string.
	opens map[pattern.ID][]int32
	// mixed are the gates that have places to look at, beside strings.
	mixed []mixed
	// open are the rules without a gate.
	open []int32
	// groups are the rules by first guard, to see from the beginning of a file whether
	// any rule is left for the rest.
	groups []group
}

// gate is the cheap strings of the gates of rules with the same first guard.
type gate struct {
	atom int32 // -1 for none
	set  *pattern.Set
	ids  pattern.Wanted
}

// named is strings of the first gate that only rules with the same guards have.
type named struct {
	guards []int32
	ids    pattern.Wanted
}

// mixed is a gate with atoms; many rules for the same kind of file have the same.
type mixed struct {
	clause clause
	rules  []int32
}

// group is rules with the same first guard; atom is -1 if they have none.
type group struct {
	atom  int32
	rules []int32
}

// minGroup is how many rules must share a guard that reads the file's first bytes for
// their gates to be searched for on their own: a pass has its price.
const minGroup = 64

func newIndex(set *Rules, sources map[pattern.ID]ast.String) index {
	x := index{guards: make([][]int32, len(set.rules)), clauses: make([][]clause, len(set.rules)), opens: make(map[pattern.ID][]int32)}
	a := needs{strings: set.strings, sources: sources, clauses: x.clauses, weak: make(map[pattern.ID]bool)}
	guards := make([]*node, len(set.rules))
	atoms := make(map[string]int32)
	a.atom = func(n *node) int32 { return x.atom(n, atoms) }
	byAtom := make(map[int32]*group)
	var order []*group
	for i, r := range set.rules {
		a.rule = r
		x.clauses[i] = a.tidy(a.truth(r.condition))
		guards[i] = a.guard(r.condition, guards)
		x.guards[i] = x.split(guards[i], atoms)
		first := int32(-1)
		if len(x.guards[i]) > 0 {
			first = x.guards[i][0]
		}
		g := byAtom[first]
		if g == nil {
			g = &group{atom: first}
			byAtom[first] = g
			order = append(order, g)
		}
		g.rules = append(g.rules, int32(i))
		if r.global {
			x.globals = append(x.globals, int32(i))
		}
	}
	for _, g := range order {
		x.groups = append(x.groups, *g)
	}
	for _, n := range x.atoms {
		x.checks = append(x.checks, newCheck(n))
	}
	x.makeGates(set.strings)
	return x
}

// makeGates parts the gates of all rules by what they cost and when they are needed.
func (x *index) makeGates(strings *pattern.Set) {
	wanted := map[int32]pattern.Wanted{-1: strings.NewWanted()}
	for _, g := range x.groups {
		atom := int32(-1)
		if g.atom >= 0 && len(g.rules) >= minGroup && reads(x.atoms[g.atom]) {
			atom = g.atom
			wanted[atom] = strings.NewWanted()
		}
		for _, rule := range g.rules {
			clauses := x.clauses[rule]
			if len(clauses) == 0 {
				x.open = append(x.open, rule)
				continue
			}
			c := clauses[0]
			for _, id := range c {
				if id >= 0 {
					wanted[atom].Add(id)
				}
			}
			if c[0] < 0 { // atoms come before strings
				x.mix(c, rule)
				continue
			}
			for _, id := range c {
				x.opens[id] = append(x.opens[id], rule)
			}
		}
	}
	x.gates = []gate{{-1, strings.Part(wanted[-1]), wanted[-1]}}
	for _, g := range x.groups {
		if w := wanted[g.atom]; w != nil && g.atom >= 0 {
			x.gates = append(x.gates, gate{g.atom, strings.Part(w), w})
		}
	}
	x.nameGates(strings)
}

// minNamed is how many candidates for strings of the same guards are to be expected per
// byte of a file for the guards to be asked before the search: that costs as much as
// looking at some hundred bytes.
const minNamed = 1e-5

// nameGates finds the strings that are not to be searched for in every file.
func (x *index) nameGates(strings *pattern.Set) {
	var all []named
	places := make(map[string]int)      // in all, by guards
	owner := make([]int, strings.Len()) // place in all plus one; below zero for several
	for rule, clauses := range x.clauses {
		if len(clauses) == 0 {
			continue
		}
		var key []byte
		for _, atom := range x.guards[rule] {
			key = binary.LittleEndian.AppendUint32(key, uint32(atom))
		}
		i, ok := places[string(key)]
		if !ok {
			i = len(all)
			places[string(key)] = i
			all = append(all, named{x.guards[rule], strings.NewWanted()})
		}
		for _, id := range clauses[0] {
			if id < 0 {
				continue
			}
			if owner[id] == 0 {
				owner[id] = i + 1
			} else if owner[id] != i+1 {
				owner[id] = -1
			}
		}
	}
	rates := make([]float64, len(all))
	for id, i := range owner {
		if id := pattern.ID(id); i > 0 && x.gates[0].ids.Has(id) {
			all[i-1].ids.Add(id)
			rates[i-1] += strings.Rate(id)
		}
	}
	for i, n := range all {
		if len(n.guards) > 0 && rates[i] >= minNamed {
			x.named = append(x.named, n)
		}
	}
}

// mix books a rule whose gate has atoms.
func (x *index) mix(c clause, rule int32) {
	for i := range x.mixed {
		if m := &x.mixed[i]; slices.Equal(m.clause, c) {
			m.rules = append(m.rules, rule)
			return
		}
	}
	x.mixed = append(x.mixed, mixed{c, []int32{rule}})
}

// tidy sorts the clauses, the cheapest first, and leaves out those that say nothing
// more.
func (a *needs) tidy(all []clause) []clause {
	prices := make(map[*pattern.ID]price, len(all))
	for i := range all {
		slices.Sort(all[i])
		all[i] = slices.Compact(all[i])
		prices[&all[i][0]] = a.price(all[i])
	}
	slices.SortFunc(all, func(x, y clause) int {
		return cmp.Or(prices[&x[0]].compare(prices[&y[0]]), slices.Compare(x, y))
	})
	return slices.CompactFunc(all, func(x, y clause) bool { return slices.Equal(x, y) })
}

// split parts a guard into atoms; one that asks for the file's first bytes comes
// first, since it settles most.
func (x *index) split(g *node, atoms map[string]int32) []int32 {
	if g == nil {
		return nil
	}
	parts := conjuncts(g)
	slices.SortStableFunc(parts, func(a, b *node) int { return weight(a) - weight(b) })
	var ids []int32
	for _, p := range parts {
		ids = append(ids, x.atom(p, atoms))
	}
	return ids
}

// atom gives an expression its number among the atoms.
func (x *index) atom(n *node, atoms map[string]int32) int32 {
	var b strings.Builder
	key(n, &b)
	id, ok := atoms[b.String()]
	if !ok {
		id = int32(len(x.atoms))
		atoms[b.String()] = id
		x.atoms = append(x.atoms, n)
	}
	return id
}

// conjuncts gives what a condition joins by "and".
func conjuncts(n *node) []*node {
	if n.op != opAnd {
		return []*node{n}
	}
	var all []*node
	for _, x := range n.list {
		all = append(all, conjuncts(x)...)
	}
	return all
}

// weight orders guards: what reads the file's bytes, then the rest.
func weight(n *node) int {
	if reads(n) {
		return 0
	}
	return 1
}

func reads(n *node) bool {
	return n.op == opRead || n.op == opBytesAt || n.a != nil && reads(n.a) || n.b != nil && reads(n.b) || slices.ContainsFunc(n.list, reads)
}
