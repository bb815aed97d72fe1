// Package sieve finds the few places in bytes where one of some short sequences may
// stand, many places at a time. Input: up to some hundred keys of one to four bytes,
// in which letters have no case; then any bytes. Output: a bit for each place. Where
// none is set, no key begins; where one is, the caller looks closer.
//
// A byte is taken as two halves of four bits. For each byte of the keys there are two
// tables of sixteen entries, one for each half, and an entry has a bit for each of
// eight buckets, over which the keys are spread: it is set if a key of the bucket may
// have such a half there. A key may begin where the entries of all halves have a bit in
// common. Processors look into sixteen such tables of sixteen entries in one step
// (PSHUFB), which is what makes it fast; the method is known as Teddy, from the matcher
// of that name in Intel's Hyperscan, and from papers on it (Wang et al., "Hyperscan: A
// Fast Multi-pattern Regex Matcher for Modern CPUs", NSDI 2019).
package sieve

import (
	"cmp"
	"math/bits"
	"slices"
)

// MaxLength is how many bytes a key has at most.
const MaxLength = 4

// Fold is the bit in which letters of both cases differ.
const Fold = 0x20

// Key is a short sequence of bytes, the first one lowest.
type Key struct {
	Bytes  uint32
	Length int // 1 to MaxLength
	// Folded has a bit for each byte, the first one lowest: set if in the data it may
	// have Fold or not.
	Folded uint8
}

// Sieve is a set of keys, ready to be looked for. It does not change.
type Sieve struct {
	tables []tables
	share  float64
}

// tables are those of eight buckets.
type tables struct {
	// halves are by the lower half of the first byte, by its higher half, by the lower
	// half of the second …
	halves [2 * MaxLength][16]uint8
	// whole is the same by whole bytes, for processors that have no such step and for
	// the ends of the data.
	whole [MaxLength][256]uint8
}

// buckets is the number of bits of an entry.
const buckets = 8

// bucket is the halves that its keys may have.
type bucket [2 * MaxLength]uint16

// with adds a key.
func (b bucket) with(k Key) bucket {
	for i := range MaxLength {
		low, high := uint16(any16), uint16(any16) // of a byte behind a key
		if i < k.Length {
			c := uint8(k.Bytes >> (8 * i))
			low, high = 1<<(c&15), 1<<(c>>4)
			if k.Folded>>i&1 != 0 {
				high |= 1 << ((c ^ Fold) >> 4)
			}
		}
		b[2*i] |= low
		b[2*i+1] |= high
	}
	return b
}

const any16 = 1<<16 - 1

// join gives the halves of both.
func (b bucket) join(o bucket) bucket {
	for i := range b {
		b[i] |= o[i]
	}
	return b
}

// share estimates which share of places a bucket lets through.
func (b *bucket) share(f *Frequency) float64 {
	share := 1.0
	for i := range MaxLength {
		low, high := b[2*i], b[2*i+1]
		if low&high == any16 {
			continue
		}
		sum := 0.0
		for ; high != 0; high &= high - 1 {
			row := f[bits.TrailingZeros16(high)<<4:][:16]
			for l := low; l != 0; l &= l - 1 {
				sum += row[bits.TrailingZeros16(l)&15]
			}
		}
		share *= sum
	}
	return share
}

// Frequency is how frequent each byte is; all together are 1.
type Frequency [256]float64

// New makes a Sieve of keys in groups: those of a group have much in common, such as
// one text with any digit at one place, and are not spread over several buckets. A
// bucket lets through whatever is put together from halves of its keys, so groups
// that are alike share one. Each turn is a look at the data for eight buckets: more
// turns let less through. How frequent bytes are, which are taken to be independent of
// each other, only decides about buckets.
func New(groups [][]Key, turns int, f *Frequency) *Sieve {
	type part struct {
		bucket
		share float64
	}
	var each []part
	for _, keys := range groups {
		var b bucket
		for _, k := range keys {
			b = b.with(k)
		}
		each = append(each, part{b, b.share(f)})
	}
	slices.SortFunc(each, func(a, b part) int {
		return cmp.Or(cmp.Compare(b.share, a.share), slices.Compare(a.bucket[:], b.bucket[:]))
	})
	all := make([]part, turns*buckets)
	for _, p := range slices.Compact(each) {
		var best part
		at, least := -1, 0.0
		for i := range all {
			joined := part{bucket: all[i].join(p.bucket)}
			joined.share = joined.bucket.share(f)
			if more := joined.share - all[i].share; at < 0 || more < least {
				best, at, least = joined, i, more
			}
		}
		all[at] = best
	}
	s := &Sieve{tables: make([]tables, turns)}
	for i := range all {
		s.share += all[i].share
		t := &s.tables[i/buckets]
		for j, half := range all[i].bucket {
			for n := range 16 {
				t.halves[j][n] |= uint8(half>>n&1) << (i % buckets)
			}
		}
	}
	for i := range s.tables {
		t := &s.tables[i]
		for j := range t.whole {
			for c := range 256 {
				t.whole[j][c] = t.halves[2*j][c&15] & t.halves[2*j+1][c>>4]
			}
		}
	}
	return s
}

// Share estimates which share of all places is let through.
func (s *Sieve) Share() float64 { return s.share }

// Block is how many places have their bits in one word of marks.
const Block = 64

// Mark sets marks for the places from on: bit i of word j is for the place
// from + j*Block + i, set where a key may begin. Places behind the end of the data have
// none, and bytes behind it are taken for zeros.
func (s *Sieve) Mark(marks []uint64, data []byte, from int) {
	clear(marks)
	n := 0
	if rest := len(data) - from - (MaxLength - 1); rest >= Block && fast() {
		n = min(len(marks), rest/Block)
	}
	for i := range s.tables {
		t := &s.tables[i]
		if n > 0 {
			t.markBlocks(marks[:n], data[from:])
		}
		for j := n; j < len(marks); j++ {
			marks[j] |= t.markSlow(data, from+j*Block)
		}
	}
}

// markSlow gives the marks of one block, byte by byte.
func (t *tables) markSlow(data []byte, from int) (marks uint64) {
	if from >= len(data) {
		return 0
	}
	var padded [Block + MaxLength - 1]byte
	places := min(copy(padded[:], data[from:]), Block)
	for i := range places {
		b := t.whole[0][padded[i]] & t.whole[1][padded[i+1]]
		if b != 0 && b&t.whole[2][padded[i+2]]&t.whole[3][padded[i+3]] != 0 {
			marks |= 1 << i
		}
	}
	return marks
}
