package sigma

import "slices"

// rest gives what is left to ask of a rule of which it is known that each of some clauses
// holds, as that is how it was found: its condition without the parts that follow from
// one of them. It is nil if nothing is left. Bind gives the slots of the rule's fields.
func (r *Rule) rest(n *node, bind []int32, known [2]clause) *node {
	switch n.op {
	case opItem, opOr:
		for _, c := range known {
			if r.follows(n, bind, c) {
				return nil
			}
		}
		if n.op == opItem {
			return n
		}
		var kids []*node
		for _, kid := range n.kids {
			left := r.rest(kid, bind, known)
			if left == nil {
				return nil
			}
			kids = append(kids, left)
		}
		return same(n, kids)
	case opAnd:
		var kids []*node
		for _, kid := range n.kids {
			if left := r.rest(kid, bind, known); left != nil {
				kids = append(kids, left)
			}
		}
		return same(n, kids)
	}
	return n
}

// same gives the node where it still has its kids, and else one with those that are left.
func same(n *node, kids []*node) *node {
	switch {
	case len(kids) == 0:
		return nil
	case slices.Equal(kids, n.kids):
		return n
	}
	return join(n.op, kids)
}

// follows says whether a node holds wherever one of the atoms of the clause does.
func (r *Rule) follows(n *node, bind []int32, c clause) bool {
	if len(c) == 0 {
		return false
	}
	open := make(map[atom]struct{}, len(c))
	for _, a := range c {
		open[a] = struct{}{}
	}
	r.settle(n, bind, open)
	return len(open) == 0
}

// settle takes those atoms out of which each by itself makes the node hold.
func (r *Rule) settle(n *node, bind []int32, open map[atom]struct{}) {
	switch n.op {
	case opOr:
		for _, kid := range n.kids {
			r.settle(kid, bind, open)
		}
	case opItem:
		it := &r.items[n.item]
		if it.field == keyword || it.mode != anyTest && (it.mode != allTests || len(it.tests) > 1) {
			return
		}
		for _, t := range it.tests {
			switch t := t.(type) {
			case *textTest:
				if !t.cased && t.shape <= shapeContains {
					for _, l := range t.literals() {
						delete(open, atom{bind[it.field], l})
					}
				}
			case *setTest:
				for text := range t.texts {
					delete(open, atom{bind[it.field], literal{text: text, start: true, end: true}})
				}
			}
		}
	}
}
