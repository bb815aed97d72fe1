package yara

import (
	"slices"
	"strings"
)

// index says which rules need not be evaluated for a file, and for which the file
// need not be searched. It never changes a result: what it leaves out is false.
type index struct {
	// atoms are the different guards of all rules, each evaluated once a file.
	atoms []*node
	// guards of each rule, as atoms: all of them must be true.
	guards [][]int32
	// groups part the rules by their first guard, so that one answer settles many:
	// half of all rules are for Windows programs alone.
	groups []group
	// clauses of each rule: of each, one string must be found.
	clauses [][]clause
	globals []int32
}

// group is rules with the same first guard; atom is -1 if they have none.
type group struct {
	atom  int32
	rules []int32
}

func newIndex(set *Rules) index {
	x := index{guards: make([][]int32, len(set.rules)), clauses: make([][]clause, len(set.rules))}
	a := needs{rules: set.rules, clauses: x.clauses}
	guards := make([]*node, len(set.rules))
	atoms := make(map[string]int32)
	byAtom := make(map[int32]*group)
	var order []*group
	for i, r := range set.rules {
		a.rule = r
		x.clauses[i] = tidy(a.truth(r.condition))
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
	return x
}

// tidy sorts the clauses, the smallest first, and leaves out those that say nothing
// more.
func tidy(all []clause) []clause {
	for i := range all {
		slices.Sort(all[i])
		all[i] = slices.Compact(all[i])
	}
	slices.SortFunc(all, func(a, b clause) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return slices.Compare(a, b)
	})
	return slices.CompactFunc(all, func(a, b clause) bool { return slices.Equal(a, b) })
}

// split parts a guard into atoms; one that asks for the file's first bytes comes
// first, since it settles most.
func (x *index) split(g *node, atoms map[string]int32) []int32 {
	if g == nil {
		return nil
	}
	parts := []*node{g}
	for i := 0; i < len(parts); i++ {
		if parts[i].op == opAnd {
			parts = append(slices.Delete(slices.Clone(parts), i, i+1), parts[i].list...)
			i--
		}
	}
	slices.SortStableFunc(parts, func(a, b *node) int { return weight(a) - weight(b) })
	var ids []int32
	for _, p := range parts {
		var b strings.Builder
		key(p, &b)
		id, ok := atoms[b.String()]
		if !ok {
			id = int32(len(x.atoms))
			atoms[b.String()] = id
			x.atoms = append(x.atoms, p)
		}
		ids = append(ids, id)
	}
	return ids
}

// weight orders guards: what reads the file's bytes, then the rest.
func weight(n *node) int {
	if reads(n) {
		return 0
	}
	return 1
}

func reads(n *node) bool {
	return n.op == opRead || n.a != nil && reads(n.a) || n.b != nil && reads(n.b) || slices.ContainsFunc(n.list, reads)
}
