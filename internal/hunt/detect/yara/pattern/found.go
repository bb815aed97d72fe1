package pattern

// Found appends the strings that were found so far to dst, in no order; one may be
// there several times, and one whose parts alone were found may be, too.
func (m *Matches) Found(dst []ID) []ID {
	if m.set == nil {
		return dst
	}
	for _, i := range m.touched {
		dst = append(dst, m.set.pieces[i].owner)
	}
	return dst
}

// None says that no string was found so far.
func (m *Matches) None() bool { return len(m.touched) == 0 }
