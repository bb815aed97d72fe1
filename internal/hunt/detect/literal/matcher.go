package literal

import "encoding/binary"

// matcher finds literals in a short value, without regard to case. Each literal
// is stood for by two neighbouring pairs of its characters, the rarest ones; one
// bit for each of the 65,536 pairs says whether it is worth a second look. Of
// two neighbouring pairs one begins at an even place, so that only every second
// place is looked at. That costs one load and one test for two bytes whatever the
// number of literals, in 8 KiB that stay in the first cache; an automaton would
// follow a chain of loads instead.
type matcher struct {
	pairs   [1 << 16 / 64]uint64
	marks   [256][]candidate // by the second character of the pair
	wanted  map[string]uint64
	clauses uint64      // all of them: what a value counts as that cannot be read plainly
	single  [256]uint64 // clauses of literals of one character
	escaped [256]bool   // characters that stand in a literal: their escapes hide it
	short   []candidate // literals of two characters, which have one pair only
}

type candidate struct {
	literal string
	at      int // of the pair in the literal
	clauses uint64
}

func (m *matcher) add(literals []string, clause uint64) {
	if m.wanted == nil {
		m.wanted = make(map[string]uint64)
	}
	for _, l := range literals {
		m.wanted[l] |= clause
	}
	m.clauses |= clause
}

func (m *matcher) compile() {
	for l, clauses := range m.wanted {
		for i := range len(l) {
			m.escaped[l[i]] = true
		}
		switch len(l) {
		case 1:
			m.addSingle(l[0], clauses)
		case 2:
			// Whatever stands beside it, one of its two characters begins or ends a pair.
			m.short = append(m.short, candidate{l, 0, clauses})
			m.setAround(l[0])
		default:
			at := rarest(l)
			m.mark(l, at, clauses)
			m.mark(l, at+1, clauses)
		}
	}
	// An escaped character that needs no escape hides a literal: "%6c", "%256c",
	// "%u006c". Real clients never write one.
	m.setAround('%')
}

func (m *matcher) mark(l string, at int, clauses uint64) {
	m.set(l[at], l[at+1])
	m.marks[l[at+1]] = append(m.marks[l[at+1]], candidate{l, at, clauses})
}

// addSingle makes every pair with c worth a look. A '\' is read as a '/'.
func (m *matcher) addSingle(c byte, clauses uint64) {
	spellings := []byte{c}
	if c == '/' {
		spellings = append(spellings, '\\')
	}
	for _, s := range spellings {
		m.single[s] |= clauses
		m.setAround(s)
	}
}

// setAround makes every pair that holds c worth a look.
func (m *matcher) setAround(c byte) {
	for other := range 256 {
		m.set(c, byte(other))
		m.set(byte(other), c)
	}
}

// set books a pair in every case, so that finding need not fold.
func (m *matcher) set(a, b byte) {
	for _, x := range [2]byte{a, upper(a)} {
		for _, y := range [2]byte{b, upper(b)} {
			pair := uint16(x) | uint16(y)<<8
			m.pairs[pair>>6] |= 1 << (pair & 63)
		}
	}
}

// find gives the clauses whose literals stand in the value, which is not empty.
func (m *matcher) find(v []byte) (hits uint64) {
	i := 0
	for ; i+8 <= len(v); i += 8 { // four pairs, one branch
		x := binary.LittleEndian.Uint64(v[i:])
		a, b, c, d := uint16(x), uint16(x>>16), uint16(x>>32), uint16(x>>48)
		if (m.pairs[a>>6]>>(a&63)|m.pairs[b>>6]>>(b&63)|m.pairs[c>>6]>>(c&63)|m.pairs[d>>6]>>(d&63))&1 != 0 {
			if hits |= m.pick(v, i, i+8); hits == m.clauses {
				return hits
			}
		}
	}
	if hits |= m.pick(v, i, len(v)); hits == m.clauses {
		return hits
	}
	i += (len(v) - i) &^ 1
	if i < len(v) { // a last character without a neighbour
		if i > 0 {
			return hits | m.look(v, i-1)
		}
		hits = m.single[fold[v[0]]]
	}
	return hits
}

// pick looks at the pairs between i and end that are worth it.
func (m *matcher) pick(v []byte, i, end int) (hits uint64) {
	for ; i+1 < end; i += 2 {
		pair := binary.LittleEndian.Uint16(v[i:])
		if m.pairs[pair>>6]&(1<<(pair&63)) != 0 {
			if hits |= m.look(v, i); hits == m.clauses {
				break
			}
		}
	}
	return hits
}

// look compares what the pair at i can stand for.
func (m *matcher) look(v []byte, i int) (hits uint64) {
	a, b := fold[v[i]], fold[v[i+1]]
	if a == '%' && m.hidden(v[i+1:]) || b == '%' && i+2 < len(v) && m.hidden(v[i+2:]) {
		return m.clauses
	}
	hits = m.single[a] | m.single[b]
	for _, c := range m.marks[b] {
		hits |= c.match(v, i-c.at)
	}
	for _, c := range m.short {
		hits |= c.match(v, i) | c.match(v, i+1)
	}
	return hits
}

// match gives the candidate's clauses if it stands at start.
func (c *candidate) match(v []byte, start int) uint64 {
	if start < 0 || start+len(c.literal) > len(v) {
		return 0
	}
	for j := range len(c.literal) {
		if fold[v[start+j]] != c.literal[j] {
			return 0
		}
	}
	return c.clauses
}

// hidden says whether what stands after a '%' is the code of a character of a
// literal, of one that needs no escape, of another '%', or the %uXXXX form.
func (m *matcher) hidden(v []byte) bool {
	if v[0] == 'u' || v[0] == 'U' {
		return true
	}
	if len(v) < 2 {
		return false
	}
	hi, lo := unhex(v[0]), unhex(v[1])
	if hi < 0 || lo < 0 {
		return false
	}
	c := byte(hi<<4 | lo)
	return unreserved(c) || c == '%' || m.escaped[fold[c]] || c == '\\' && m.escaped['/']
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// fold gives the lower case of ASCII letters and every other byte itself.
var fold = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if i >= 'A' && i <= 'Z' {
			t[i] = byte(i) + 'a' - 'A'
		}
	}
	return t
}()

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// common orders characters by how often they stand in URLs, agents and names
// in logs, the most common first; what is not listed is rare.
const common = "eaotinsrcl-/.dp0mu1hg25b34y8_f69w7vkx=&%zjq~"

// rarest gives the index of the three neighbours in a literal whose two pairs
// ordinary values hold least.
func rarest(l string) (at int) {
	most := -1
	for i := 0; i+2 < len(l); i++ {
		// The commoner of the two pairs is the one that costs.
		if score := min(rank(l[i])+rank(l[i+1]), rank(l[i+1])+rank(l[i+2])); score > most {
			most, at = score, i
		}
	}
	return at
}

// rarity is the rank of a literal's rarest neighbours.
func rarity(l string) int {
	if len(l) < 3 {
		return 0
	}
	at := rarest(l)
	return min(rank(l[at])+rank(l[at+1]), rank(l[at+1])+rank(l[at+2]))
}

func rank(c byte) int {
	for i := 0; i < len(common); i++ {
		if common[i] == c {
			return i
		}
	}
	return len(common)
}
