package sigma

import "slices"

// node is one step of a compiled condition. Selections that a condition names
// twice are shared, so that the tree may be a graph; it has no cycles.
type node struct {
	op   op
	kids []*node
	item int32 // index of Rule.items, for opItem
	size int   // nodes and patterns below and with this one, as a tree

	// cheap are the kids with the cheapest first: the order decides nothing but the time.
	cheap []*node
	cost  int
}

type op uint8

const (
	opItem op = iota
	opAnd
	opOr
	opNot
)

func notNode(kid *node) *node {
	return &node{op: opNot, kids: []*node{kid}, cheap: []*node{kid}, size: kid.size + 1, cost: kid.cost}
}

// join makes an and or an or, without a step that has only one kid.
func join(op op, kids []*node) *node {
	if len(kids) == 1 {
		return kids[0]
	}
	n := &node{op: op, kids: slices.Clip(kids), size: 1}
	for _, kid := range kids {
		n.size += kid.size
		n.cost += kid.cost
	}
	n.cheap = slices.Clone(n.kids)
	slices.SortStableFunc(n.cheap, func(a, b *node) int { return a.cost - b.cost })
	return n
}

func (n *node) eval(r *Rule, v *view) bool {
	switch n.op {
	case opItem:
		return r.items[n.item].holds(v)
	case opNot:
		return !n.kids[0].eval(r, v)
	case opAnd:
		for _, kid := range n.cheap {
			if !kid.eval(r, v) {
				return false
			}
		}
		return true
	default:
		for _, kid := range n.cheap {
			if kid.eval(r, v) {
				return true
			}
		}
		return false
	}
}
