package literal

// matcher finds literals in a short value, without regard to case. Each literal
// is stood for by its rarest pair of neighbouring characters; one bit for each of
// the 65,536 pairs says whether it is worth a second look. That costs one load
// and one test a byte whatever the number of literals, in 8 KiB that stay in the
// first cache; an automaton would follow a chain of loads instead.
type matcher struct {
	pairs      [1 << 16 / 64]uint64
	candidates [256][]candidate // by the second character of their pair
	wanted     map[string]uint64
	clauses    uint64      // all of them: what a value counts as that cannot be read plainly
	single     [256]uint64 // clauses of literals of one character
	escaped    [256]bool   // characters that stand in a literal: their escapes hide it
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
		if len(l) == 1 {
			m.addSingle(l[0], clauses)
			continue
		}
		at := rarest(l)
		pair := uint16(l[at])<<8 | uint16(l[at+1])
		m.set(pair)
		m.candidates[l[at+1]] = append(m.candidates[l[at+1]], candidate{l, at, clauses})
	}
	// An escaped character that needs no escape hides a literal: "%6c", "%256c",
	// "%u006c". Real clients never write one.
	for _, second := range []byte("234567u") {
		pair := uint16('%')<<8 | uint16(second)
		m.set(pair)
	}
}

// addSingle makes every pair that ends in c worth a look. A '\' is read as a '/'.
func (m *matcher) addSingle(c byte, clauses uint64) {
	spellings := []byte{c}
	if c == '/' {
		spellings = append(spellings, '\\')
	}
	for _, s := range spellings {
		m.single[s] |= clauses
		for first := range 256 {
			m.set(uint16(first)<<8 | uint16(s))
		}
	}
}

func (m *matcher) set(pair uint16) { m.pairs[pair>>6] |= 1 << (pair & 63) }

// find gives the clauses whose literals stand in the value.
func (m *matcher) find(v []byte) (hits uint64) {
	pair := uint16(fold[v[0]])
	hits = m.single[pair]
	for i := 1; i < len(v); i++ {
		pair = pair<<8 | uint16(fold[v[i]])
		if m.pairs[pair>>6]&(1<<(pair&63)) != 0 {
			hits |= m.look(v, i-1, pair)
			if hits == m.clauses {
				return hits
			}
		}
	}
	return hits
}

// look compares the literals that a pair at i stands for.
func (m *matcher) look(v []byte, i int, pair uint16) (hits uint64) {
	if pair>>8 == '%' {
		if m.hidden(v[i+1:]) {
			return m.clauses
		}
	}
	hits = m.single[pair&0xff]
	for _, c := range m.candidates[pair&0xff] {
		start := i - c.at
		if start < 0 || start+len(c.literal) > len(v) {
			continue
		}
		if equalFold(v[start:start+len(c.literal)], c.literal) {
			hits |= c.clauses
		}
	}
	return hits
}

func equalFold(v []byte, lower string) bool {
	for i := 0; i < len(lower); i++ {
		if fold[v[i]] != lower[i] {
			return false
		}
	}
	return true
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
	return unreserved(c) || c == '%' || m.escaped[c] || c == '\\' && m.escaped['/']
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

// common orders characters by how often they stand in URLs, agents and names
// in logs, the most common first; what is not listed is rare.
const common = "eaotinsrcl-/.dp0mu1hg25b34y8_f69w7vkx=&%zjq~"

// rarest gives the index of the pair of neighbours in a literal that stands for
// it: the one that ordinary values hold least.
func rarest(l string) (at int) {
	most := -1
	for i := 0; i+1 < len(l); i++ {
		if score := rank(l[i]) + rank(l[i+1]); score > most {
			most, at = score, i
		}
	}
	return at
}

// rarity is the rank of a literal's rarest pair.
func rarity(l string) int {
	if len(l) < 2 {
		return 0
	}
	at := rarest(l)
	return rank(l[at]) + rank(l[at+1])
}

func rank(c byte) int {
	for i := 0; i < len(common); i++ {
		if common[i] == c {
			return i
		}
	}
	return len(common)
}
