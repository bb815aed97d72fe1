package pattern

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"
	"sync"

	"postern/internal/hunt/detect/yara/pattern/bloom"
	"postern/internal/hunt/detect/yara/pattern/sieve"
)

// Set holds strings, ready to be looked for. It serves any number of goroutines.
type Set struct {
	*all
	engines [passes]*engine // nil without strings
	ids     [passes]Wanted  // of each
	whole   bool            // no part

	mu    sync.RWMutex
	parts map[string]*Set // by the strings in them
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
	bytes     *rates
	passOf    []pass    // by string
	rates     []float64 // the same
}

// engine finds the atoms of one pass.
type engine struct {
	pass   pass
	tables [maxAtom + 1]*table // by the length of atoms; nil without any
	always []int32             // probes to be tried at every place
	// pairs has, in passRest, a bit for each two folded bytes that an atom of one or
	// two begins with.
	pairs *[1 << 16 / 64]uint64
	rare  []rareAtoms
	sieve *sieve.Sieve // finds all atoms of tables, if there are few
}

// rareAtoms are those with one rare byte.
type rareAtoms struct {
	b      byte
	tables []rareTable
}

// rareTable holds those of one length that have their rare byte at one place.
type rareTable struct {
	*table
	before int    // bytes before the rare one
	length int    // of the atoms
	mask   uint32 // the same, of a key
}

// table finds the atoms of one length by their hash: first in a filter that is small
// enough for the processor's cache and says no nearly always, then in buckets.
type table struct {
	filter  *bloom.Filter
	shift   uint     // of a hash, for the number of a bucket
	buckets []uint32 // where the bucket begins in entries; one more for the end
	entries []tableEntry
}

// asked gives the filter of a table, which may be nil.
func (t *table) asked() bloom.Asked {
	if t == nil {
		return bloom.New(0).Asked()
	}
	return t.filter.Asked()
}

// tableEntry is an entry with what stands around its atom, so that most places where
// only the atom is are settled by one more look at the data.
type tableEntry struct {
	entry
	around
	owner ID
}

// around is what eight bytes of the data, at places from the atom's first byte, have to
// be: the same as bytes wherever mask has a bit.
type around struct {
	bytes, mask uint64 // the first byte lowest
	at          int32
}

func (a *all) newTable(entries []entry) *table {
	if len(entries) == 0 {
		return nil
	}
	t := &table{filter: bloom.New(len(entries)), entries: make([]tableEntry, len(entries))}
	bucketBits := min(uint(bits.Len(uint(len(entries)))), t.filter.Bits())
	t.shift, t.buckets = 32-bucketBits, make([]uint32, 1<<bucketBits+1)
	for _, e := range entries {
		h := bloom.Hash(e.key)
		t.filter.Add(h)
		t.buckets[h>>t.shift+1]++
	}
	for i := 1; i < len(t.buckets); i++ {
		t.buckets[i] += t.buckets[i-1]
	}
	at := slices.Clone(t.buckets)
	var known around
	for i, e := range entries {
		b := bloom.Hash(e.key) >> t.shift
		to := &t.entries[at[b]]
		at[b]++
		to.entry, to.owner = e, a.owner(e)
		if i > 0 && entries[i-1].probe == e.probe {
			to.around = known
			continue
		}
		known = a.around(&a.probes[e.probe])
		to.around = known
	}
	return t
}

// around gives what must stand around an atom of a string.
func (a *all) around(p *probe) (k around) {
	pc := &a.pieces[p.piece]
	if pc.expression {
		return a.aroundExpression(p, pc)
	}
	if pc.xor {
		return k
	}
	text := pc.texts[p.text]
	if p.wide {
		text = widen(text)
	}
	from := min(int(p.back), max(len(text)-8, 0))
	k.at = int32(from) - p.back
	for i, b := range text[from:min(from+8, len(text))] {
		set := oneByte(b)
		if pc.noCase {
			set = set.bothCases()
		}
		k.set(i, set)
	}
	return k
}

// aroundExpression is around for the bytes that an expression has in any case from the
// atom's character on.
func (a *all) aroundExpression(p *probe, pc *piece) (k around) {
	if pc.ascii && pc.wide && !p.narrow { // the same place is tried as both
		return k
	}
	k.at = -p.back
	for i, at := 0, p.next; i < 8; i, at = i+1, at+1 {
		switch in := &a.code[at]; in.op {
		case opByte:
			k.set(i, oneByte(in.b))
		case opSet:
			k.set(i, a.sets[in.set])
		default:
			return k
		}
		if !pc.ascii {
			i++
			k.set(i, oneByte(0))
		}
	}
	return k
}

// set says which values a byte may have.
func (k *around) set(i int, values charset) {
	all, some := values.common()
	k.bytes |= uint64(all) << (8 * i)
	k.mask |= uint64(^(all ^ some)) << (8 * i)
}

func (a *all) newEngine(way pass, list *atoms) *engine {
	e := &engine{pass: way}
	none := true
	for n := range list {
		none = none && len(list[n]) == 0
	}
	if none {
		return nil
	}
	if way == passRare {
		e.rare = a.newRare(list, func(e entry, _ int) (int, []byte) {
			p := &a.probes[e.probe]
			return int(p.rare), []byte{p.rareByte}
		})
		return e
	}
	if anchors := a.anchors(way, list); anchors != nil {
		return &engine{pass: passRare, rare: a.newRare(list, anchors)}
	}
	for n := 1; n <= maxAtom; n++ {
		e.tables[n] = a.newTable(list[n])
	}
	if way != passRest {
		return e
	}
	e.pairs = new([1 << 16 / 64]uint64)
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

// newRare sorts atoms by a byte that they have, which bytes gives with its place.
func (a *all) newRare(list *atoms, bytes func(entry, int) (at int, values []byte)) []rareAtoms {
	var sorted [256]*[maxAtom]atoms
	for n := range list {
		for _, e := range list[n] {
			at, values := bytes(e, n)
			for _, b := range values {
				if sorted[b] == nil {
					sorted[b] = new([maxAtom]atoms)
				}
				to := &sorted[b][at][n]
				*to = append(*to, e)
			}
		}
	}
	var rare []rareAtoms
	for b, lists := range sorted {
		if lists == nil {
			continue
		}
		r := rareAtoms{b: byte(b)}
		for before := range lists {
			for n, entries := range lists[before] {
				if len(entries) > 0 {
					r.tables = append(r.tables, rareTable{a.newTable(entries), before, n, 1<<(8*n) - 1})
				}
			}
		}
		rare = append(rare, r)
	}
	return rare
}

// What looking at a byte costs, in billionths of a second on a common processor: in
// each pass, where it is searched for among others, and where it is the one.
const (
	costSearch = 0.06
	costFound  = 10
)

// anchors gives for each atom the rarest of its bytes in all forms that it may have,
// if searching for these is cheaper than the pass that the atoms are for: a few
// strings are found best by one letter of theirs.
func (a *all) anchors(way pass, list *atoms) func(entry, int) (int, []byte) {
	price := [passes]float64{passSecond: 0.7, passEvery: 1.2, passRest: 2.2}[way]
	if price == 0 || len(list[0]) > 0 {
		return nil
	}
	choose := func(e entry, n int) (int, []byte) {
		p := &a.probes[e.probe]
		pc := &a.pieces[p.piece]
		best, rate := 0, 2.0
		for i := range n {
			if r := a.bytes.first[classOf(byte(e.key>>(8*i)))]; r < rate {
				best, rate = i, r
			}
		}
		b := byte(e.key >> (8 * best))
		if pc.expression || pc.noCase || pc.xor {
			return best, []byte{b, b &^ foldBit}
		}
		at := int(p.back) + best
		if p.wide {
			if at%2 == 1 {
				return best, []byte{0}
			}
			at /= 2
		}
		return best, []byte{pc.texts[p.text][at]}
	}
	var seen charset
	for n := range list {
		for _, e := range list[n] {
			// Places are found byte by byte and not in order, which the parts of a chain
			// need, too.
			if id := a.owner(e); len(a.strings[id].parts) > 0 || a.pieces[a.probes[e.probe].piece].ordered {
				return nil
			}
			_, values := choose(e, n)
			for _, b := range values {
				if seen.has(b) {
					continue
				}
				seen.add(b)
				r := a.bytes.first[classOf(b)]
				if b >= 'A' && b <= 'Z' {
					r /= 8
				}
				if price -= costSearch + costFound*r; price < 0 {
					return nil
				}
			}
		}
	}
	return choose
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
		bytes:     d.rates,
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
	s := &Set{all: a, whole: wanted == nil, parts: make(map[string]*Set)}
	for i := range s.ids {
		s.ids[i] = s.NewWanted()
	}
	if wanted == nil {
		for id, way := range a.passOf {
			s.ids[way].Add(ID(id))
		}
	} else {
		for id := range wanted.each() {
			s.ids[a.passOf[id]].Add(id)
		}
	}
	lists := a.passes
	if wanted != nil {
		for i := range lists {
			for n, entries := range lists[i] {
				lists[i][n] = a.entriesOf(entries, s.ids[i])
			}
		}
	}
	if wanted != nil {
		s.sift(&lists)
	}
	for way := range pass(passes) {
		if s.engines[way] == nil {
			s.engines[way] = a.newEngine(way, &lists[way])
		}
	}
	if wanted != nil {
		s.merge(&lists, passSecond, passEvery)
		s.merge(&lists, passSecond, passRest)
		s.merge(&lists, passEvery, passRest)
	}
	return s
}

// Bounds of what a sieve is for. A turn of it over the data takes a tenth of the time
// of a pass, whatever it is to find, but a place that it lets through costs some ten
// nanoseconds.
const (
	// maxSieveGroups bounds the time to make one, and with more a pass is as quick.
	maxSieveGroups = 256
	// fewGroups are so few that even strings that need no look at every place are
	// found with the others.
	fewGroups     = 64
	maxSieveTurns = 3
	// goodShare of places let through ends the search for a better one with more turns;
	// with more than maxShare a pass is as quick.
	goodShare, maxShare = 0.004, 0.05
)

// sift gives the strings of all passes to one engine with a sieve: all strings, or all
// but those of passFourth, which is as quick with thousands. What is left for the
// passes is in lists.
func (s *Set) sift(lists *[passes]atoms) {
	for _, first := range []pass{passFourth, passRare} {
		var list atoms
		for way := first; way < passes; way++ {
			for length, entries := range lists[way] {
				if way.windows() > 1 {
					entries = s.oneOfEach(way, entries)
				}
				list[length] = append(list[length], entries...)
			}
		}
		most := maxSieveGroups
		if first == passFourth {
			most = fewGroups
		}
		groups := s.groups(&list)
		if len(groups) == 0 || len(groups) > most || len(list[0]) > 0 {
			continue
		}
		v := s.newSieve(groups)
		if v.Share() > maxShare {
			continue
		}
		e := &engine{pass: passRest, sieve: v}
		for length := 1; length <= maxAtom; length++ {
			e.tables[length] = s.newTable(list[length])
		}
		s.engines[passRest] = e
		for way := first; way < passes; way++ {
			lists[way] = atoms{}
			for i, word := range s.ids[way] {
				if way != passRest {
					s.ids[passRest][i] |= word
					s.ids[way][i] = 0
				}
			}
		}
		return
	}
}

// newSieve makes a sieve with as many turns as pay.
func (a *all) newSieve(groups [][]sieve.Key) *sieve.Sieve {
	for turns := 1; ; turns++ {
		if v := sieve.New(groups, turns, &a.bytes.whole); v.Share() <= goodShare || turns == maxSieveTurns {
			return v
		}
	}
}

// groups gives the values of all atoms, those of one atom together.
func (a *all) groups(list *atoms) [][]sieve.Key {
	var all [][]sieve.Key
	for length, entries := range list {
		for i, e := range entries {
			if i == 0 || entries[i-1].probe != e.probe {
				all = append(all, nil)
			}
			last := &all[len(all)-1]
			k := sieve.Key{Bytes: e.key, Length: length}
			for j := range length {
				if p := &a.probes[e.probe]; p.known>>j&1 != 0 {
					k.Bytes = k.Bytes&^(0xff<<(8*j)) | uint32(p.exact[j])<<(8*j)
				} else {
					k.Folded |= 1 << j
				}
			}
			*last = append(*last, k)
		}
	}
	return all
}

// oneOfEach leaves, of the atoms that a text has one after the other for a pass that
// does not look at every place, the rarest: whoever looks at every place finds them all.
// Where the order matters in which places are found, all are left.
func (a *all) oneOfEach(way pass, entries []entry) []entry {
	n := int32(way.windows())
	var some []entry
	for len(entries) > 0 {
		// The probes of a text are numbered one after the other.
		first := entries[0].probe
		end := 0
		for end < len(entries) && entries[end].probe < first+n {
			end++
		}
		group := entries[:end]
		entries = entries[end:]
		if a.pieces[a.probes[first].piece].ordered {
			some = append(some, group...)
			continue
		}
		var best []entry
		least := 0.0
		for len(group) > 0 {
			end, rate := 0, 0.0
			for end < len(group) && group[end].probe == group[0].probe {
				rate += a.bytes.ofKey(group[end].key)
				end++
			}
			if best == nil || rate < least {
				best, least = group[:end], rate
			}
			group = group[end:]
		}
		some = append(some, best...)
	}
	return some
}

// merge moves the strings of one pass to a later one, which looks at every place
// anyway. Where not all strings of a Set are wanted the first may be all that is run,
// so only parts are merged.
func (s *Set) merge(lists *[passes]atoms, from, to pass) {
	if e := s.engines[to]; e == nil || e.pass != to || s.engines[from] == nil || s.engines[from].pass != from {
		return
	}
	lists[to][maxAtom] = slices.Concat(lists[to][maxAtom], lists[from][maxAtom])
	s.engines[from], s.engines[to] = nil, s.newEngine(to, &lists[to])
	for i, word := range s.ids[from] {
		s.ids[to][i] |= word
		s.ids[from][i] = 0
	}
}

func (a *all) owner(e entry) ID { return a.pieces[a.probes[e.probe].piece].owner }

// entriesOf gives those of some strings. They are in the order of their strings.
func (a *all) entriesOf(entries []entry, wanted Wanted) []entry {
	var some []entry
	for id := range wanted.each() {
		if len(entries) == 0 {
			break
		}
		from, _ := slices.BinarySearchFunc(entries, id, func(e entry, id ID) int { return int(a.owner(e) - id) })
		entries = entries[from:]
		n := 0
		for n < len(entries) && a.owner(entries[n]) == id {
			n++
		}
		some = append(some, entries[:n]...)
		entries = entries[n:]
	}
	return some
}

// A Scan looks for up to fewWanted strings with tables of their own, of which keptParts
// are kept, as the same rules are left for many files. Making them costs as much as
// going over a file of some largeFile bytes, so for a smaller one they are made only
// if the same strings are wanted again.
const fewWanted, keptParts, largeFile = 64, 128, 64 << 10

// few gives a part for a few strings, or s itself, with room to write its key.
func (s *Set) few(wanted Wanted, size int, key []byte) (*Set, []byte) {
	key = key[:0]
	for id := range wanted.each() {
		key = binary.LittleEndian.AppendUint32(key, uint32(id))
	}
	s.mu.RLock()
	p, seen := s.parts[string(key)]
	s.mu.RUnlock()
	if p != nil {
		return p, key
	}
	if seen || size >= largeFile {
		p = s.part(wanted)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parts) >= keptParts {
		clear(s.parts)
	}
	if s.parts[string(key)] = p; p == nil {
		p = s
	}
	return p, key
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
// beyond what Cost says, in comparisons of texts.
func (s *Set) Rate(id ID) float64 {
	for _, p := range append(s.strings[id].parts, chainPart{piece: s.strings[id].piece}) {
		if s.pieces[p.piece].expression {
			return s.rates[id] * costExpression
		}
	}
	return s.rates[id]
}

// costExpression is how many times longer it takes to follow an expression from an
// atom than to compare a text.
const costExpression = 10

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
				for i := range r.tables {
					tables = append(tables, r.tables[i].table)
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

// each gives the strings in order.
func (w Wanted) each() iter.Seq[ID] {
	return func(yield func(ID) bool) {
		for i, word := range w {
			for ; word != 0; word &= word - 1 {
				if !yield(ID(i<<6 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

func (w Wanted) count() (n int) {
	for _, word := range w {
		n += bits.OnesCount64(word)
	}
	return n
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
		return nil, refuse("costly", "a regular expression with more than %d branches", maxSplits)
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
