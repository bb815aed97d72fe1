// Package bloom says of four bytes whether they may be one of thousands of keys. Input:
// keys of up to four bytes, packed with the first one lowest, every byte with the bit
// Fold set; then any bytes. Output: yes or no for a key, or a bit for every fourth place
// of the data. No is certain; yes is now and then by chance, and the caller looks closer.
//
// It is a Bloom filter in words: a key has two bits of one word, so that one look tells
// (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007),
// and is small enough for the first levels of the processor's cache. Processors with
// AVX2 ask for eight places in one step.
package bloom

import (
	"encoding/binary"
	"math/bits"
)

// Fold is the bit that is set in every byte before keys are compared: letters of both
// cases are equal then.
const Fold = 0x20

const fold8 = Fold * 0x0101010101010101

// factor spreads keys: 2^32 divided by the golden ratio.
const factor = 0x9E3779B1

// Bounds of a filter, as a power of two: one of 2^22 bits is half a megabyte and still
// mostly hit in the second level of the cache.
const minBits, maxBits = 8, 22

// bitsPerKey lets one place in 256 pass by chance.
const bitsPerKey = 32

// second is where in a hash the number of its second bit is.
const second = 8

// Filter is a set of keys. It does not change once all are added.
type Filter struct {
	words []uint32
	shift uint // of a hash, for the number of its first bit
}

// New makes a filter with room for some keys.
func New(keys int) *Filter {
	n := min(max(bits.Len(uint(max(keys, 1)*bitsPerKey-1)), minBits), maxBits)
	return &Filter{words: make([]uint32, 1<<n/32), shift: uint(32 - n)}
}

// Hash spreads a key over 32 bits; the highest ones are the best.
func Hash(key uint32) uint32 { return key * factor }

// Add adds a key by its hash.
func (f *Filter) Add(hash uint32) {
	h := hash >> f.shift
	f.words[h>>5] |= 1<<(h&31) | 1<<(hash>>second&31)
}

// Bits is how many bits a filter has, as a power of two.
func (f *Filter) Bits() uint { return 32 - f.shift }

// Asked is what May needs of a filter, for loops that ask often.
type Asked struct {
	words []uint32
	shift uint
}

// Asked gives what May needs.
func (f *Filter) Asked() Asked { return Asked{f.words, f.shift} }

// May has its lowest bit set if a key with this hash may be there; the others mean
// nothing.
func (a Asked) May(hash uint32) uint32 {
	h := hash >> (a.shift & 31)
	word := a.words[h>>5]
	return word >> (h & 31) & (word >> (hash >> second & 31))
}

// Block is how many bytes of the data have their bits in one byte of marks.
const Block = 32

// Mark sets marks: bit i of byte j for the four bytes of the data at j*Block + 4*i. The
// data has Block bytes for each.
func (f *Filter) Mark(marks []uint8, data []byte) {
	if len(marks) == 0 {
		return
	}
	data = data[:len(marks)*Block]
	if fast() {
		mark(marks, data, f.words, f.shift)
		return
	}
	f.markSlow(marks, data)
}

func (f *Filter) markSlow(marks []uint8, data []byte) {
	a := f.Asked()
	for j := range marks {
		block := data[j*Block:][:Block]
		var m uint32
		for i := 0; i < Block; i += 8 {
			x := binary.LittleEndian.Uint64(block[i:]) | fold8
			m |= (a.May(Hash(uint32(x)))&1 | a.May(Hash(uint32(x>>32)))&1<<1) << (i / 4)
		}
		marks[j] = uint8(m)
	}
}
