package pattern

import (
	"math/bits"
	"slices"
	"sync"
)

// Set holds strings, ready to be looked for. Immutable.
type Set struct {
	*all
	engines [passes]*engine // nil without strings
	ids     [passes]Wanted  // of each
}

// all is what a Set and its parts share.
type all struct {
	strings   []places
	pieces    []piece
	probes    []probe
	code      []inst
	sets      []charset
	maxStates int
	chains    []ID // the strings with parts
	passes    [passes]atoms
	passOf    []pass    // by string
	rates     []float64 // the same
}

// engine finds the atoms of one pass.
type engine struct {
	pass   pass
	tables [maxAtom + 1]*table // by the length of atoms; nil without any
	always []int32             // probes to be tried at every place
	// pairs has a bit for each two folded bytes that an atom of one or two begins
	// with.
	pairs *[1 << 16 / 64]uint64
	rare  []rareAtoms
}

// rareAtoms are those with one rare byte, by how many bytes are before it.
type rareAtoms struct {
	b      byte
	tables [maxAtom][maxAtom + 1]*table
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

// Bounds of a filter: one of 2^22 bits is half a megabyte and still mostly hit in the
// second level of the cache.
const minFilterBits, maxFilterBits = 8, 22

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

func (a *all) newEngine(way pass, list *atoms) *engine {
	e := &engine{pass: way, pairs: new([1 << 16 / 64]uint64)}
	none := true
	for n := range list {
		none = none && len(list[n]) == 0
	}
	if none {
		return nil
	}
	if way == passRare {
		e.rare = a.newRare(list)
		return e
	}
	for n := 1; n <= maxAtom; n++ {
		e.tables[n] = newTable(list[n])
	}
	for _, en := range list[0] {
		e.always = append(e.always, en.probe)
	}
	for _, en := range list[1] {
		for second := range uint32(256) {
			k := en.key | second<<8
			e.pairs[k>>6] |= 1 << (k & 63)
		}
	}
	for _, en := range list[2] {
		e.pairs[en.key>>6] |= 1 << (en.key & 63)
	}
	return e
}

// newRare sorts atoms by their rare byte and where it is.
func (a *all) newRare(list *atoms) []rareAtoms {
	var sorted [256][maxAtom]atoms
	for n := range list {
		for _, e := range list[n] {
			p := &a.probes[e.probe]
			to := &sorted[p.rareByte][p.rare][n]
			*to = append(*to, e)
		}
	}
	var rare []rareAtoms
	for b := range sorted {
		some := false
		r := rareAtoms{b: byte(b)}
		for before := range sorted[b] {
			for n, entries := range sorted[b][before] {
				r.tables[before][n] = newTable(entries)
				some = some || len(entries) > 0
			}
		}
		if some {
			rare = append(rare, r)
		}
	}
	return rare
}

func build(d *draft) *Set {
	a := &all{
		strings:   slices.Clone(d.strings),
		pieces:    slices.Clone(d.pieces),
		probes:    slices.Clone(d.probes),
		code:      slices.Clone(d.asm.code),
		sets:      slices.Clone(d.asm.sets),
		maxStates: d.asm.maxStates,
		passes:    d.passes,
		passOf:    slices.Clone(d.passOf),
		rates:     slices.Clone(d.rate),
	}
	for i := range a.passes {
		for n := range a.passes[i] {
			a.passes[i][n] = slices.Clone(a.passes[i][n])
		}
	}
	for i := range a.strings {
		if len(a.strings[i].parts) > 0 {
			a.chains = append(a.chains, ID(i))
		}
	}
	return a.part(nil)
}

// part gives a Set of some of the strings; of all if wanted is nil.
func (a *all) part(wanted Wanted) *Set {
	s := &Set{all: a}
	for i := range a.passes {
		list := &a.passes[i]
		if wanted != nil {
			var some atoms
			for n, entries := range list {
				for _, e := range entries {
					if wanted.Has(a.pieces[a.probes[e.probe].piece].owner) {
						some[n] = append(some[n], e)
					}
				}
			}
			list = &some
		}
		s.engines[i] = a.newEngine(pass(i), list)
		s.ids[i] = s.NewWanted()
	}
	for id, pass := range a.passOf {
		if wanted == nil || wanted.Has(ID(id)) {
			s.ids[pass].Add(ID(id))
		}
	}
	return s
}

// Part gives a Set of some of the strings of s, under the same IDs, which is faster to
// look for than s with a Wanted. What a part has found, ScanMore of s can add to.
func (s *Set) Part(wanted Wanted) *Set { return s.part(wanted) }

// Len gives the number of strings, of a part that of the whole.
func (s *Set) Len() int { return len(s.strings) }

// Cost is a rough measure of what it takes to look for a string in a file: 0 for
// one that is found by rare bytes at every fourth place or by a single rare byte, 1 for
// every second place, 2 for every place, 3 for what has only frequent or short atoms.
func (s *Set) Cost(id ID) int {
	return [passes]int{passFourth: 0, passRare: 0, passSecond: 1, passEvery: 2, passRest: 3}[s.passOf[id]]
}

// Rate is how many candidates for a string are to be expected per byte of a file,
// beyond what Cost says.
func (s *Set) Rate(id ID) float64 { return s.rates[id] }

// Stats says how much a Set is.
type Stats struct {
	Strings      int
	ByPass       [passes]int // the cheapest first
	WithoutAtom  int         // expressions that are tried at every place
	Atoms        int
	Instructions int
}

// Stats says how much s is.
func (s *Set) Stats() Stats {
	st := Stats{Instructions: len(s.code)}
	for i, e := range s.engines {
		for _, word := range s.ids[i] {
			st.ByPass[i] += bits.OnesCount64(word)
		}
		st.Strings += st.ByPass[i]
		if e != nil {
			st.WithoutAtom += len(e.always)
			tables := e.tables[:]
			for _, r := range e.rare {
				for before := range r.tables {
					tables = append(tables, r.tables[before][:]...)
				}
			}
			for _, t := range tables {
				if t != nil {
					st.Atoms += len(t.entries)
				}
			}
		}
	}
	return st
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
