package sigma

import "slices"

// Gate tells by the text of an event, before its values are known one by one, whether
// any of many rules can match it. It does not change once made; several goroutines may
// use it at once.
type Gate struct {
	index  *index
	planes []uint64 // both, as in group
	whole  bool
}

// Whole says whether the gate looks for whole values: the text that it is given then has
// a NUL before and behind each value.
func (g *Gate) Whole() bool { return g.whole }

// maxGateBits bounds what a gate keeps on the stack. Rules beyond it share a bit with
// others: then an event passes that need not.
const maxGateBits = 2048

// NewGate makes the gate of the rules by those of their needs that are usable; the literals
// of some are to be looked for as whole values. It is nil if there are no rules, or none of
// the needs of some rule is usable: every event passes.
func NewGate(rules []*Rule, usable func(Need) (ok, whole bool)) *Gate {
	if len(rules) == 0 {
		return nil
	}
	clauses := make([][]clause, len(rules))
	fields := newTable()
	for i, r := range rules {
		for _, n := range r.Needs() {
			ok, whole := usable(n)
			if !ok {
				continue
			}
			field := keyword
			if n.Field != "" {
				field = fields.add(n.Field)
			}
			var c clause
			for _, l := range n.Literals {
				c = append(c, atom{field, literal{text: l, start: whole, end: whole}})
			}
			clauses[i] = append(clauses[i], c)
		}
		if clauses[i] == nil {
			return nil
		}
	}
	bits := min((len(rules)+63)/64*64, maxGateBits)
	g := &Gate{planes: make([]uint64, 2*bits/64)}
	choose := newChooser(fields, clauses)
	var b builder
	for i := range rules {
		two := choose.two(clauses[i])
		if two[0] == nil { // what is in most events is still no reason to let all pass
			two[0] = clauses[i][0]
		}
		for plane, c := range two {
			number := int32(plane*bits + i%bits)
			if c == nil {
				set(g.planes, marksOf([]int32{number}))
			}
			for _, a := range c {
				if l := a.literal; l.start {
					g.whole = true
					b.add(literal{text: "\x00" + l.text + "\x00"}, number)
				} else {
					b.add(l, number)
				}
			}
		}
	}
	for _, numbers := range b.numbers {
		slices.Sort(numbers) // marksOf wants them in order, and rules share bits
	}
	g.index = b.build("")
	return g
}

// Pass says whether a rule can match an event with a text, which is in lower case; see
// [Gate.Whole].
func (g *Gate) Pass(text []byte) bool {
	var words [2 * maxGateBits / 64]uint64
	n := copy(words[:], g.planes) / 2
	g.index.scan(text, words[:2*n])
	for i, first := range words[:n] {
		if first&words[n+i] != 0 {
			return true
		}
	}
	return false
}
