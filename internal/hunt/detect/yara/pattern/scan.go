package pattern

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/bits"
	"slices"

	"postern/internal/hunt/detect/yara/pattern/bloom"
	"postern/internal/hunt/detect/yara/pattern/sieve"
)

// Bounds on one Scan.
const (
	// maxMatches is how many places of one string are kept, as in libyara, and
	// maxAllMatches those of all strings together: 64 MiB.
	maxMatches    = 1_000_000
	maxAllMatches = 4_000_000
	// A step is an atom looked up, a few bytes compared, or a thread of an expression
	// moved by a byte; a processor does some hundred million a second. Files of the
	// same size differ by rules, and a second for a small file is still bearable.
	minSteps     = 300_000_000
	stepsPerByte = 500
	// sortSteps is what sorting costs for each match.
	sortSteps = 16
	// stepsPerCheck is how many steps may pass until the context is asked again.
	stepsPerCheck = 4_000_000
	// block is how many bytes may.
	block = 1 << 20
	// keptCapacity is how many matches of a string a Matches keeps room for.
	keptCapacity = 4096
)

// Matches holds what one Scan found. The zero value is ready for use.
type Matches struct {
	set     *all
	lists   []list  // by piece
	touched []int32 // pieces whose list is not empty
	cut     []ID
	all     int // matches in all lists

	vm      vm
	wanted  Wanted
	data    []byte
	ctx     context.Context
	err     error
	steps   int64
	bound   int64 // of steps
	most    int64 // of steps, in tests; else 0
	check   int64 // steps at which the context is asked
	lengths []int32
	key     []byte
	fourth  [64]uint8  // marks of a filter, the same
	marks   [64]uint64 // of a sieve, for a part of the data that the nearest cache holds
}

type list struct {
	matches  []Match
	unsorted bool
	cut      bool
}

func (m *Matches) of(id ID) []Match {
	if m.set == nil {
		return nil
	}
	return m.lists[m.set.strings[id].piece].matches
}

func (m *Matches) reset(s *all) {
	if m.set != s {
		*m = Matches{set: s, lists: make([]list, len(s.pieces))}
	}
	for _, i := range m.touched {
		l := &m.lists[i]
		if cap(l.matches) > keptCapacity {
			l.matches = nil
		}
		*l = list{matches: l.matches[:0]}
	}
	m.touched, m.cut, m.all = m.touched[:0], m.cut[:0], 0
	m.steps, m.vm.steps = 0, 0
	m.vm.prepare(s.code, s.sets, s.maxStates)
}

func (s *Set) scan(ctx context.Context, data []byte, wanted Wanted, dst *Matches) error {
	dst.ctx, dst.err, dst.data, dst.wanted = ctx, nil, data, wanted
	dst.bound = max(minSteps, stepsPerByte*int64(len(data)))
	if dst.most > 0 {
		dst.bound = dst.most
	}
	dst.check = dst.steps + dst.vm.steps + stepsPerCheck
	if s.whole && wanted != nil && len(s.strings) > 4*fewWanted && wanted.count() <= fewWanted {
		s, dst.key = s.few(wanted, len(data), dst.key)
	}
	for i, e := range s.engines {
		if e != nil && dst.err == nil && (wanted == nil || wanted.meets(s.ids[i])) {
			dst.run(e)
		}
	}
	dst.finish()
	err := dst.err
	dst.ctx, dst.err, dst.data, dst.wanted = nil, nil, nil, nil
	return err
}

// run takes an engine over the data.
func (m *Matches) run(e *engine) {
	for at := 0; at < len(m.data) && m.err == nil; at += block {
		if m.err = m.ctx.Err(); m.err != nil {
			return
		}
		end := min(at+block, len(m.data))
		if e.sieve != nil {
			m.sifted(e, at, end)
			continue
		}
		switch e.pass {
		case passFourth:
			m.every4(e.tables[4], at, end)
		case passRare:
			for i := range e.rare {
				m.rare(&e.rare[i], at, end)
			}
		case passSecond:
			m.every2(e.tables[4], at, end)
		case passEvery:
			m.every1(e.tables[4], at, end)
		default:
			m.each(e, at, end)
		}
	}
}

const fold8 = foldBit * 0x0101010101010101

// every4 looks for atoms at every fourth place from i to before end, both of which
// are such, unless end is that of the data.
func (m *Matches) every4(t *table, i, end int) {
	data := m.data
	for i < end && m.err == nil {
		marks := m.fourth[:min(len(m.fourth), (min(end, len(data))-i)/bloom.Block)]
		if len(marks) == 0 {
			break
		}
		t.filter.Mark(marks, data[i:])
		for j, some := range marks {
			for ; some != 0; some &= some - 1 {
				at := i + j*bloom.Block + 4*bits.TrailingZeros8(some)
				m.lookup(t, binary.LittleEndian.Uint32(data[at:])|uint32(fold8&0xffffffff), at)
			}
		}
		i += len(marks) * bloom.Block
	}
	for ; i < end && i+4 <= len(data); i += 4 {
		m.lookup(t, binary.LittleEndian.Uint32(data[i:])|uint32(fold8&0xffffffff), i)
	}
}

// every2 is every4 for every second place.
func (m *Matches) every2(t *table, i, end int) {
	filter, data := t.filter.Asked(), m.data
	for ; i+8 <= end && i+10 <= len(data); i += 8 {
		x := binary.LittleEndian.Uint64(data[i:]) | fold8
		y := uint32(x>>48) | uint32(binary.LittleEndian.Uint16(data[i+8:])|foldBit*0x0101)<<16
		p0 := bloom.Hash(uint32(x))
		p1 := bloom.Hash(uint32(x >> 16))
		p2 := bloom.Hash(uint32(x >> 32))
		p3 := bloom.Hash(y)
		b0 := filter.May(p0)
		b1 := filter.May(p1)
		b2 := filter.May(p2)
		b3 := filter.May(p3)
		if (b0|b1|b2|b3)&1 == 0 {
			continue
		}
		if b0&1 != 0 {
			m.lookup(t, uint32(x), i)
		}
		if b1&1 != 0 {
			m.lookup(t, uint32(x>>16), i+2)
		}
		if b2&1 != 0 {
			m.lookup(t, uint32(x>>32), i+4)
		}
		if b3&1 != 0 {
			m.lookup(t, y, i+6)
		}
		if m.err != nil {
			return
		}
	}
	for ; i < end && i+4 <= len(data); i += 2 {
		m.lookup(t, binary.LittleEndian.Uint32(data[i:])|uint32(fold8&0xffffffff), i)
	}
}

// every1 is every4 for every place.
func (m *Matches) every1(t *table, i, end int) {
	filter, data := t.filter.Asked(), m.data
	for ; i+4 <= end && i+8 <= len(data); i += 4 {
		x := binary.LittleEndian.Uint64(data[i:]) | fold8
		p0 := bloom.Hash(uint32(x))
		p1 := bloom.Hash(uint32(x >> 8))
		p2 := bloom.Hash(uint32(x >> 16))
		p3 := bloom.Hash(uint32(x >> 24))
		b0 := filter.May(p0)
		b1 := filter.May(p1)
		b2 := filter.May(p2)
		b3 := filter.May(p3)
		if (b0|b1|b2|b3)&1 == 0 {
			continue
		}
		if b0&1 != 0 {
			m.lookup(t, uint32(x), i)
		}
		if b1&1 != 0 {
			m.lookup(t, uint32(x>>8), i+1)
		}
		if b2&1 != 0 {
			m.lookup(t, uint32(x>>16), i+2)
		}
		if b3&1 != 0 {
			m.lookup(t, uint32(x>>24), i+3)
		}
		if m.err != nil {
			return
		}
	}
	for ; i < end && i+4 <= len(data); i++ {
		m.lookup(t, binary.LittleEndian.Uint32(data[i:])|uint32(fold8&0xffffffff), i)
	}
}

// rare looks for atoms with a rare byte that is from at to before end.
func (m *Matches) rare(r *rareAtoms, at, end int) {
	for m.err == nil {
		next := bytes.IndexByte(m.data[at:end], r.b)
		if next < 0 {
			return
		}
		at += next + 1
		for j := range r.tables {
			t := &r.tables[j]
			i := at - 1 - t.before
			if i < 0 || i+t.length > len(m.data) {
				continue
			}
			var x uint32
			if i+4 <= len(m.data) {
				x = binary.LittleEndian.Uint32(m.data[i:])
			} else {
				for k, b := range m.data[i:] {
					x |= uint32(b) << (8 * k)
				}
			}
			x = (x | fold8&0xffffffff) & t.mask
			if t.filter.Asked().May(bloom.Hash(x))&1 != 0 {
				m.lookup(t.table, x, i)
			}
		}
	}
}

// sifted looks for atoms of any length where the sieve lets a place through.
func (m *Matches) sifted(e *engine, i, end int) {
	for ; i < end && m.err == nil; i += len(m.marks) * sieve.Block {
		marks := m.marks[:min(len(m.marks), (end-i+sieve.Block-1)/sieve.Block)]
		e.sieve.Mark(marks, m.data, i)
		for j, word := range marks {
			for ; word != 0; word &= word - 1 {
				m.lookups(&e.tables, i+j*sieve.Block+bits.TrailingZeros64(word))
			}
		}
	}
}

// each looks for atoms of any length at every place, and tries what has none.
func (m *Matches) each(e *engine, i, end int) {
	if len(e.always) == 0 {
		i = m.fast(e, i, end)
	}
	for ; i < end && m.err == nil; i++ {
		m.slow(e, i)
	}
}

// fast looks for atoms of any length.
func (m *Matches) fast(e *engine, i, end int) int {
	data := m.data
	filter4, filter3 := e.tables[4].asked(), e.tables[3].asked()
	pairs := e.pairs
	may := func(x uint32) uint32 {
		h2 := x & 0xffff
		return filter4.May(bloom.Hash(x)) | filter3.May(bloom.Hash(x&0xffffff)) | uint32(pairs[h2>>6]>>(h2&63))
	}
	for ; i+4 <= end && i+8 <= len(data); i += 4 {
		x := binary.LittleEndian.Uint64(data[i:]) | fold8
		b0 := may(uint32(x))
		b1 := may(uint32(x >> 8))
		b2 := may(uint32(x >> 16))
		b3 := may(uint32(x >> 24))
		if (b0|b1|b2|b3)&1 == 0 {
			continue
		}
		if b0&1 != 0 {
			m.slow(e, i)
		}
		if b1&1 != 0 {
			m.slow(e, i+1)
		}
		if b2&1 != 0 {
			m.slow(e, i+2)
		}
		if b3&1 != 0 {
			m.slow(e, i+3)
		}
		if m.err != nil {
			break
		}
	}
	return i
}

// slow tries all atoms at one place.
func (m *Matches) slow(e *engine, i int) {
	for _, id := range e.always {
		p := &m.set.probes[id]
		if (i == 0 || !p.anchored) && m.set.sets[p.first].has(m.data[i]) {
			m.probe(p, i)
		}
	}
	m.lookups(&e.tables, i)
}

// lookups tries atoms of all lengths at one place.
func (m *Matches) lookups(tables *[maxAtom + 1]*table, i int) {
	var x uint32
	for n := 1; n <= maxAtom && i+n <= len(m.data); n++ {
		x |= uint32(m.data[i+n-1]|foldBit) << (8 * (n - 1))
		if t := tables[n]; t != nil {
			if t.filter.Asked().May(bloom.Hash(x))&1 != 0 {
				m.lookup(t, x, i)
			}
		}
	}
}

// lookup tries the atoms that equal the folded bytes at a place.
func (m *Matches) lookup(t *table, key uint32, i int) {
	bucket := bloom.Hash(key) >> t.shift
	entries := t.entries[t.buckets[bucket]:t.buckets[bucket+1]]
	for k := range entries {
		e := &entries[k]
		if e.key != key {
			continue
		}
		if m.wanted != nil && !m.wanted.Has(e.owner) {
			continue
		}
		if at := i + int(e.at); at >= 0 && at+8 <= len(m.data) && (binary.LittleEndian.Uint64(m.data[at:])^e.bytes)&e.mask != 0 {
			m.steps++
			continue
		}
		m.probe(&m.set.probes[e.probe], i)
	}
	m.count()
}

// count asks now and then whether the search has taken too long.
func (m *Matches) count() {
	if m.steps+m.vm.steps > m.check {
		m.check = m.steps + m.vm.steps + stepsPerCheck
		if m.steps+m.vm.steps > m.bound {
			m.err = ErrBudget
		} else {
			m.err = m.ctx.Err()
		}
	}
}

// probe looks whether a string is where one of its atoms is.
func (m *Matches) probe(p *probe, i int) {
	pc := &m.set.pieces[p.piece]
	if m.wanted != nil && !m.wanted.Has(pc.owner) {
		return
	}
	l := &m.lists[p.piece]
	if l.cut || pc.onlyFirst && len(l.matches) > 0 || pc.after != 0 && len(m.lists[pc.after].matches) == 0 || m.err != nil {
		return
	}
	if pc.expression {
		m.expression(p, pc, i)
	} else {
		m.text(p, pc, i)
	}
	m.count()
}

func (m *Matches) text(p *probe, pc *piece, i int) {
	text := pc.texts[p.text]
	at, n := i-int(p.back), len(text)
	if p.wide {
		n *= 2
	}
	m.steps++
	if at < 0 || at+n > len(m.data) {
		return
	}
	data := m.data[at : at+n]
	var key byte
	switch {
	case pc.xor:
		key = data[0] ^ text[0]
		if key < pc.min || key > pc.max {
			return
		}
		if !equalXOR(data, text, p.wide, key) {
			return
		}
	case p.wide:
		if !equalWide(data, text, pc.noCase) {
			return
		}
	case pc.noCase:
		if !equalFold(data, text) {
			return
		}
	default:
		if string(data) != string(text) {
			return
		}
	}
	m.steps += int64(n >> 3)
	m.record(p.piece, pc, at, n, p.wide, key)
}

func equalXOR(data, text []byte, wide bool, key byte) bool {
	if !wide {
		for i, b := range text {
			if data[i]^key != b {
				return false
			}
		}
		return true
	}
	for i, b := range text {
		if data[2*i]^key != b || data[2*i+1] != key {
			return false
		}
	}
	return true
}

func equalWide(data, text []byte, noCase bool) bool {
	for i, b := range text {
		c := data[2*i]
		if noCase {
			b, c = lower(b), lower(c)
		}
		if c != b || data[2*i+1] != 0 {
			return false
		}
	}
	return true
}

func equalFold(data, text []byte) bool {
	for i, b := range text {
		if c := data[i]; c != b && lower(c) != lower(b) {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// expression runs an expression from its atom: forwards for the end of the match,
// and backwards for all places where one may begin. As in libyara, characters of two
// bytes are tried only if those of one do not match.
func (m *Matches) expression(p *probe, pc *piece, i int) {
	m.steps++
	if i -= int(p.back); i < 0 {
		return
	}
	n, wide := -1, false
	if pc.ascii {
		n = m.vm.forward(p.next, newPlace(m.data, i, false, false), pc.shortest)
	}
	if n < 0 && pc.wide {
		wide = true
		n = m.vm.forward(p.next, newPlace(m.data, i, false, true), pc.shortest)
	}
	if n < 0 || n == 0 && p.prev == 0 {
		return
	}
	if p.prev == 0 {
		m.record(p.piece, pc, i, n, wide, 0)
		return
	}
	m.lengths = m.vm.backward(p.prev, newPlace(m.data, i, true, wide), m.lengths[:0])
	for _, back := range m.lengths {
		m.record(p.piece, pc, i-int(back), int(back)+n, wide, 0)
	}
}

// record keeps a match, unless it has to be a full word and is not.
func (m *Matches) record(id int32, pc *piece, at, n int, wide bool, key byte) {
	if pc.fullWord && !m.fullWord(at, at+n, wide) {
		return
	}
	l := &m.lists[id]
	if l.cut {
		return
	}
	match := Match{Offset: at, Length: int32(n), XORKey: key}
	if last := len(l.matches) - 1; last < 0 {
		m.touched = append(m.touched, id)
	} else if before := &l.matches[last]; !l.unsorted && before.Offset == at {
		if pc.greedy {
			*before = match
		}
		return
	} else if before.Offset > at {
		l.unsorted = true
	}
	if len(l.matches) >= maxMatches || len(l.matches) > 0 && m.all >= maxAllMatches {
		m.all -= len(l.matches)
		if l.unsorted {
			m.steps += sortSteps * int64(len(l.matches))
		}
		l.sort(pc.greedy)
		m.all += len(l.matches)
		if len(l.matches) >= maxMatches || len(l.matches) > 0 && m.all >= maxAllMatches {
			l.cut = true
			if !slices.Contains(m.cut, pc.owner) {
				m.cut = append(m.cut, pc.owner)
			}
			return
		}
	}
	l.matches = append(l.matches, match)
	m.all++
}

// fullWord says whether no letter or digit touches a match.
func (m *Matches) fullWord(at, end int, wide bool) bool {
	d := m.data
	if wide {
		return !(at >= 2 && d[at-1] == 0 && isAlnum(d[at-2])) &&
			!(end+1 < len(d) && d[end+1] == 0 && isAlnum(d[end]))
	}
	return !(at >= 1 && isAlnum(d[at-1])) && !(end < len(d) && isAlnum(d[end]))
}

// sort puts matches in order and keeps one of those at the same place: the last
// found of a greedy expression, else the first.
func (l *list) sort(greedy bool) {
	if !l.unsorted {
		return
	}
	slices.SortStableFunc(l.matches, func(a, b Match) int { return a.Offset - b.Offset })
	kept := l.matches[:0]
	for _, m := range l.matches {
		if n := len(kept); n > 0 && kept[n-1].Offset == m.Offset {
			if greedy {
				kept[n-1] = m
			}
			continue
		}
		kept = append(kept, m)
	}
	l.matches, l.unsorted = kept, false
}

// finish sorts what was found and puts chains together.
func (m *Matches) finish() {
	for _, id := range m.touched {
		l := &m.lists[id]
		before := len(l.matches)
		l.sort(m.set.pieces[id].greedy)
		m.all -= before - len(l.matches)
	}
	for _, id := range m.set.chains {
		if s := &m.set.strings[id]; len(m.lists[s.parts[len(s.parts)-1].piece].matches) > 0 {
			m.chain(s)
		}
	}
}

// chain finds the matches of the first part that are followed by one of the second
// at the right distance, and so on, and ends each with the earliest last part.
func (m *Matches) chain(s *places) {
	result := &m.lists[s.piece]
	if len(result.matches) > 0 {
		return // of an earlier call
	}
	last := len(s.parts) - 1
	tails := m.lists[s.parts[last].piece].matches
	// reach has for each match of a part the first of the tails that it leads to.
	reach := make([]int32, len(tails))
	for i := range reach {
		reach[i] = int32(i)
	}
	for k := last; k > 0; k-- {
		followers := m.lists[s.parts[k].piece].matches
		tree := newMinTree(reach)
		heads := m.lists[s.parts[k-1].piece].matches
		next := make([]int32, len(heads))
		for i, h := range heads {
			end := h.Offset + int(h.Length)
			from, _ := slices.BinarySearchFunc(followers, end+s.parts[k].min, func(m Match, at int) int { return m.Offset - at })
			to := len(followers)
			if s.parts[k].max != endless {
				to, _ = slices.BinarySearchFunc(followers, end+s.parts[k].max+1, func(m Match, at int) int { return m.Offset - at })
			}
			next[i] = tree.min(from, to)
		}
		reach = next
	}
	for i, h := range m.lists[s.parts[0].piece].matches {
		if t := reach[i]; t != unreached {
			end := tails[t].Offset + int(tails[t].Length)
			result.matches = append(result.matches, Match{Offset: h.Offset, Length: int32(end - h.Offset)})
		}
	}
	if len(result.matches) > 0 {
		m.touched = append(m.touched, s.piece)
	}
}

// unreached is more than any index of a tail.
const unreached = 1<<31 - 1

// minTree answers for the least value of a range in logarithmic time: node i is the
// least of nodes 2i and 2i+1, and the values are the last half.
type minTree []int32

func newMinTree(values []int32) minTree {
	t := make(minTree, 2*len(values))
	copy(t[len(values):], values)
	for i := len(values) - 1; i > 0; i-- {
		t[i] = min(t[2*i], t[2*i+1])
	}
	return t
}

func (t minTree) min(from, to int) int32 {
	least := int32(unreached)
	for from, to = from+len(t)/2, to+len(t)/2; from < to; from, to = from/2, to/2 {
		if from&1 == 1 {
			least = min(least, t[from])
			from++
		}
		if to&1 == 1 {
			to--
			least = min(least, t[to])
		}
	}
	return least
}
