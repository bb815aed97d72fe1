package sigma

// Literals finds out whether a text holds any of many literals, at a cost that
// hardly depends on how many they are. It does not change once made.
type Literals struct{ index *index }

// NewLiterals makes one of literals in lower case, none of them empty.
func NewLiterals(literals []string) *Literals {
	var b builder
	for _, l := range literals {
		b.add(literal{text: l}, 0)
	}
	return &Literals{b.build("")}
}

// Pass says whether one of the literals stands in a text in lower case.
func (l *Literals) Pass(text []byte) bool {
	var found [1]uint64
	l.index.scan(text, found[:])
	return found[0] != 0
}
