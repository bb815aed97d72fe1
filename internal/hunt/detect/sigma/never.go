package sigma

import (
	"slices"

	"postern"
)

// Never says whether the rule cannot match an event of which only some fields are
// known: those named, as they are in ev, whatever the others have. Names are those of
// the rule itself.
func (r *Rule) Never(ev *postern.Event, known []string) bool {
	v, _ := r.views.Get().(*view)
	if v == nil {
		v = new(view)
	}
	defer r.views.Put(v)
	v.load(ev, r.own, r.all)
	v.bind = nil
	defer v.unload()
	names := make([]string, len(known))
	for i, name := range known {
		names[i] = string(appendName(nil, name))
	}
	possible, _ := r.root.open(r, v, func(field int32) bool {
		return slices.Contains(names, string(appendName(nil, r.own.names[field])))
	})
	return !possible
}

// open says whether a condition can hold and whether it can fail, where only some
// fields are known.
func (n *node) open(r *Rule, v *view, known func(field int32) bool) (hold, fail bool) {
	switch n.op {
	case opItem:
		it := r.items[n.item]
		if it.field == keyword || it.mode == reference || !known(it.field) {
			return true, true
		}
		holds := it.holds(v)
		return holds, !holds
	case opNot:
		hold, fail = n.kids[0].open(r, v, known)
		return fail, hold
	case opAnd:
		hold = true
		for _, kid := range n.kids {
			h, f := kid.open(r, v, known)
			hold, fail = hold && h, fail || f
		}
		return hold, fail
	default:
		fail = true
		for _, kid := range n.kids {
			h, f := kid.open(r, v, known)
			hold, fail = hold || h, fail && f
		}
		return hold, fail
	}
}
