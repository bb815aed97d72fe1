package sigma

import (
	"cmp"
	"math"
	"slices"
)

// order gives the parts of a step in the order in which they are asked: first those that
// most likely decide it for the time that they take. It decides nothing but the time.
func (ch *chooser) order(r *Rule, n *node, bind []int32) []*node {
	if len(n.cheap) < 2 {
		return n.cheap
	}
	const least = 0.01 // what hardly ever decides comes by its cost alone
	rank := func(kid *node) float64 {
		decides := ch.chance(r, kid, bind)
		if n.op == opAnd {
			decides = 1 - decides
		}
		return float64(kid.cost) / max(decides, least)
	}
	kids := slices.Clone(n.cheap)
	slices.SortStableFunc(kids, func(a, b *node) int { return cmp.Compare(rank(a), rank(b)) })
	return kids
}

// unknown is the chance of what nothing is known of.
const unknown = 0.5

// chance says in what share of events a part holds, as far as the rates tell, as if each
// part had nothing to do with the others.
func (ch *chooser) chance(r *Rule, n *node, bind []int32) float64 {
	p, known := ch.chances[n]
	if known {
		return p
	}
	switch n.op {
	case opItem:
		p = ch.chanceOf(&r.items[n.item], bind)
	case opNot:
		p = 1 - ch.chance(r, n.kids[0], bind)
	case opAnd:
		p = 1
		for _, kid := range n.kids {
			p *= ch.chance(r, kid, bind)
		}
	case opOr:
		p = 1
		for _, kid := range n.kids {
			p *= 1 - ch.chance(r, kid, bind)
		}
		p = 1 - p
	}
	ch.chances[n] = p
	return p
}

func (ch *chooser) chanceOf(it *item, bind []int32) float64 {
	if it.mode != anyTest && it.mode != allTests {
		return unknown
	}
	field := it.field
	if field != keyword {
		field = bind[field]
	}
	all, some := 1.0, 0.0
	for _, t := range it.tests {
		p, literals := unknown, t.literals()
		if literals != nil {
			p = 0
		}
		for _, l := range literals {
			p += math.Exp2(-float64(ch.class(atom{field, l})))
		}
		all, some = all*min(p, 1), some+p
	}
	if it.mode == allTests {
		return all
	}
	return min(some, 1)
}
