package sigma

// steps are conditions written out, each step before its parts, so that what is asked of
// an event lies in one piece of memory: to fetch it takes longer than to evaluate it.
type steps []step

type step struct {
	op   op
	next int32 // behind its parts
	slot int32 // of the item's field, or keyword
	it   *item
}

// write appends a condition of a rule, of which bind gives the slots of the fields, in the
// order that the chooser gives its parts.
func (s steps) write(r *Rule, n *node, bind []int32, choose *chooser) steps {
	at := len(s)
	s = append(s, step{op: n.op, slot: keyword})
	if n.op == opItem {
		it := &r.items[n.item]
		s[at].it = it
		if it.field != keyword {
			s[at].slot = bind[it.field]
		}
	}
	for _, kid := range choose.order(r, n, bind) {
		s = s.write(r, kid, bind, choose)
	}
	s[at].next = int32(len(s))
	return s
}

// eval is that of a node for the step at a place. The view has the rule's bind.
func (s steps) eval(at int32, v *view) bool {
	st := &s[at]
	switch st.op {
	case opItem:
		if st.slot == keyword {
			return st.it.holds(v)
		}
		return st.it.holdsFrom(v, v.first[st.slot])
	case opNot:
		return !s.eval(at+1, v)
	}
	for kid := at + 1; kid < st.next; kid = s[kid].next {
		if s.eval(kid, v) != (st.op == opAnd) {
			return st.op == opOr
		}
	}
	return st.op == opAnd
}
