package pattern

import (
	"math/bits"
	"slices"
	"sync"
)

// Set holds the strings of a run, ready to be looked for. Immutable.
type Set struct {
	strings   []places
	pieces    []piece
	probes    []probe
	code      []inst
	sets      []charset
	maxStates int
	chains    []ID // the strings with parts

	cheap, costly         *engine // nil without strings
	cheapIDs, costlyIDs   Wanted
	cheapCount, allCount  int
	atomCount, slowPieces int
}

// engine finds the atoms of some strings.
type engine struct {
	tables [maxAtom + 1]*table // by the length of atoms; nil without any
	always []int32             // probes to be tried at every place
	// pairs has a bit for each two folded bytes that an atom of one or two begins
	// with, or is nil.
	pairs *[1 << 16 / 64]uint64
}

// table finds the atoms of one length by their hash: first in a filter that is small
// enough for the processor's cache and says no nearly always, then in buckets.
type table struct {
	filter  []uint64 // a bit a hash
	shift   uint     // of the product, for the number of a filter's bit
	coarse  uint     // of that number, for the number of a bucket
	buckets []uint32 // where the bucket begins in entries; one more for the end
	entries []entry
}

// hashFactor spreads keys over a table: 2^32 divided by the golden ratio.
const hashFactor = 0x9E3779B1

// filterBits bound a filter: one of 2^14 bits fits anywhere, one of 2^22 is half a
// megabyte and still mostly hit in the second level of the cache.
const minFilterBits, maxFilterBits = 14, 22

func newTable(entries []entry) *table {
	if len(entries) == 0 {
		return nil
	}
	// 32 bits an atom let through one place in 32.
	filterBits := min(max(bits.Len(uint(len(entries)*32-1)), minFilterBits), maxFilterBits)
	bucketBits := min(bits.Len(uint(len(entries))), filterBits)
	t := &table{
		filter:  make([]uint64, 1<<filterBits/64),
		shift:   uint(32 - filterBits),
		coarse:  uint(filterBits - bucketBits),
		buckets: make([]uint32, 1<<bucketBits+1),
		entries: make([]entry, len(entries)),
	}
	for _, e := range entries {
		h := e.key * hashFactor >> t.shift
		t.filter[h>>6] |= 1 << (h & 63)
		t.buckets[h>>t.coarse+1]++
	}
	for i := 1; i < len(t.buckets); i++ {
		t.buckets[i] += t.buckets[i-1]
	}
	at := slices.Clone(t.buckets)
	for _, e := range entries {
		b := e.key * hashFactor >> t.shift >> t.coarse
		t.entries[at[b]] = e
		at[b]++
	}
	return t
}

func newEngine(a *atoms) *engine {
	e := &engine{}
	none := true
	for n := range a {
		none = none && len(a[n]) == 0
		if n > 0 {
			e.tables[n] = newTable(a[n])
		}
	}
	if none {
		return nil
	}
	for _, en := range a[0] {
		e.always = append(e.always, en.probe)
	}
	if len(a[1])+len(a[2]) > 0 {
		e.pairs = new([1 << 16 / 64]uint64)
		for _, en := range a[1] {
			for second := range uint32(256) {
				k := en.key | second<<8
				e.pairs[k>>6] |= 1 << (k & 63)
			}
		}
		for _, en := range a[2] {
			e.pairs[en.key>>6] |= 1 << (en.key & 63)
		}
	}
	return e
}

func build(d *draft) *Set {
	s := &Set{
		strings:   slices.Clone(d.strings),
		pieces:    slices.Clone(d.pieces),
		probes:    slices.Clone(d.probes),
		code:      slices.Clone(d.asm.code),
		sets:      slices.Clone(d.asm.sets),
		maxStates: d.asm.maxStates,
		cheap:     newEngine(&d.cheap),
		costly:    newEngine(&d.costly),
		atomCount: d.atoms,
	}
	s.cheapIDs, s.costlyIDs = s.NewWanted(), s.NewWanted()
	for i, cheap := range d.isCheap {
		if cheap {
			s.cheapIDs.Add(ID(i))
			s.cheapCount++
		} else {
			s.costlyIDs.Add(ID(i))
		}
		if len(s.strings[i].parts) > 0 {
			s.chains = append(s.chains, ID(i))
		}
	}
	s.slowPieces = len(d.costly[0])
	return s
}

// Len gives the number of strings.
func (s *Set) Len() int { return len(s.strings) }

// Cheap gives the strings that cost next to nothing to look for, as each match of
// theirs holds a rare sequence of four bytes. It must not be changed. Whoever knows
// what these found may have no need of the others.
func (s *Set) Cheap() Wanted { return s.cheapIDs }

// Stats says how much a Set is.
type Stats struct {
	Strings      int
	Cheap        int // strings found by a rare sequence of four bytes
	WithoutAtom  int // atoms missing: expressions tried at every place
	Atoms        int
	Instructions int
}

// Stats says how much s is.
func (s *Set) Stats() Stats {
	return Stats{Strings: len(s.strings), Cheap: s.cheapCount, WithoutAtom: s.slowPieces, Atoms: s.atomCount, Instructions: len(s.code)}
}

func (w Wanted) meets(o Wanted) bool {
	for i, word := range w {
		if word&o[i] != 0 {
			return true
		}
	}
	return false
}

// alone is the machine of a Regexp, with a pool of what its runs need.
type alone struct {
	code   []inst
	sets   []charset
	states int
	start  int32
	pool   sync.Pool
}

func compileAlone(src string, noCase, dotAll bool) (*Regexp, error) {
	tree, _, err := parseRegexp(src, noCase, dotAll)
	if err != nil {
		return nil, err
	}
	if splits(tree) > maxSplits {
		return nil, refuse("a regular expression with more than %d branches", maxSplits)
	}
	x := expander{}
	c, err := x.expand(tree)
	if err != nil {
		return nil, err
	}
	a := assembler{setIDs: make(map[charset]int32)}
	start, err := a.program(c, false)
	if err != nil {
		return nil, err
	}
	return &Regexp{&alone{code: a.code, sets: a.sets, states: a.maxStates, start: start}}, nil
}

func (r *Regexp) match(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	v, _ := r.alone.pool.Get().(*vm)
	if v == nil {
		v = new(vm)
	}
	defer r.alone.pool.Put(v)
	v.prepare(r.alone.code, r.alone.sets, r.alone.states)
	return v.anywhere(r.alone.start, data)
}
