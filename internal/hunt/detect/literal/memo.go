package literal

import (
	"encoding/binary"
	"math/bits"
)

// Bounds of what is remembered of one log.
const (
	// memoAfter lines memory is taken for it: a small file does without.
	memoAfter = 256
	// memoSlots values of each column, by 64 bytes: what is in use at once stays in
	// the first cache, and the many logs that are open at once in few MiB.
	memoSlots = 64
	// Values of memoLeast to memoMost bytes: shorter ones are found in as fast, and
	// longer ones seldom come twice.
	memoLeast, memoMost = 8, 54
)

// memo remembers what was found in values of a column: paths and mailboxes come
// again and again, and comparing one costs less than looking for literals in it.
type memo [memoSlots]remembered

type remembered struct {
	hits, refuses uint64
	asked         bool // refuses is known
	size          uint8
	value         [memoMost]byte
}

// find gives what there is about a value; it is good until the next call.
func (m *memo) find(v []byte, in *matcher) *remembered {
	// The last eight bytes tell values apart better than the first.
	x := binary.LittleEndian.Uint64(v[len(v)-8:]) + bits.RotateLeft64(binary.LittleEndian.Uint64(v), 29)
	r := &m[x*0x9e3779b97f4a7c15>>(64-6)%memoSlots]
	if int(r.size) != len(v) || string(r.value[:r.size]) != string(v) {
		r.size = uint8(copy(r.value[:], v))
		r.hits, r.refuses, r.asked = in.find(v), 0, false
	}
	return r
}

// refused gives the rules that cannot be about a line with the value.
func (m *memo) refused(v []byte, s *stop) uint64 {
	r := m.find(v, s.match)
	if !r.asked {
		r.asked = true
		if plain(v) {
			r.refuses = s.closer(v)
		}
	}
	return r.refuses
}

// plain says whether the parser takes a value as it stands here: unquoted ASCII.
func plain(v []byte) bool {
	for _, c := range v {
		if c >= 0x80 || c == '"' || c == 0 {
			return false
		}
	}
	return v[0] != ' '
}
