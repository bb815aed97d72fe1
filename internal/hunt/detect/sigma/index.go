package sigma

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"

	"postern"
)

// index finds in a value which of many literals it holds, at a cost that hardly
// depends on how many they are: a filter over windows of up to four bytes says at
// each place whether some literal can be there, and only then is one compared.
// An automaton would say it exactly, but for ten thousand literals its tables
// leave the caches, and this one fits.
//
// Where all literals are long, not every place of a value is looked at but every other,
// or as few as the shortest of them allows: as many windows of each literal, one after
// the other, are in the filter, and one of them stands at such a place.
//
// What must stand at the end of a value, as most names of programs must, or be all of it, is
// looked for there alone.
type index struct {
	whole   map[string][]mark // values that must be equal, and are too short for ends
	windows []*windows
	ends    []*ends
	direct  []entry // short ones, so few that they are looked for one by one
	anchors bool    // some literal must stand at the start or end of a value
	loose   bool    // a value that is not folded tells whether a literal can be in it, see may
}

// maxWindow is the longest window in bytes; shorter literals have tables of
// their own length.
const maxWindow = 4

// maxStride is the longest stride from one place to the next: each byte of it makes the
// filter fuller.
const maxStride = 8

// Bounds of the part of a literal by which an end is found. Names of programs
// differ in it, where the last four bytes are .exe of nearly all.
const (
	minEnd = 4
	maxEnd = 8
)

// ends are literals that stand at the end of values, by their last n bytes.
type ends struct {
	n      int
	filter []uint64 // one bit a hash
	shift  uint
	at     map[uint64][]entry
}

func (e *ends) hash(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> e.shift }

// seal makes the filter, once all literals are there.
func (e *ends) seal() {
	size := max(bits.Len(uint(len(e.at)*filterBits-1)), 6)
	e.shift = uint(64 - size)
	e.filter = make([]uint64, 1<<size/64)
	for key := range e.at {
		h := e.hash(key)
		e.filter[h/64] |= 1 << (h % 64)
	}
}

// lastBytes packs the last n bytes of a text that has as many.
func lastBytes[T string | []byte](s T, n int) uint64 {
	var key uint64
	for i := len(s) - n; i < len(s); i++ {
		key = key<<8 | uint64(s[i])
	}
	return key
}

func (x *index) addEnd(l literal, marks []mark) {
	n := min(len(l.text), maxEnd)
	i := slices.IndexFunc(x.ends, func(e *ends) bool { return e.n == n })
	if i < 0 {
		i = len(x.ends)
		x.ends = append(x.ends, &ends{n: n, at: make(map[uint64][]entry)})
	}
	e := x.ends[i]
	key := lastBytes(l.text, n)
	e.at[key] = append(e.at[key], entry{literal: l, marks: marks})
}

func (e *ends) scan(v []byte, words []uint64) {
	if len(v) < e.n {
		return
	}
	key := lastBytes(v, e.n)
	h := e.hash(key)
	if e.filter[h/64]>>(h%64)&1 == 0 {
		return
	}
	here := e.at[key]
	for i := range here {
		if l := &here[i]; l.in(v) {
			set(words, l.marks)
		}
	}
}

// windows are literals by a window of n bytes in each.
type windows struct {
	n      int      // bytes of a window
	stride int      // from one place that is looked at to the next
	filter []uint64 // one bit a hash
	shift  uint
	keys   []uint32 // the windows, in the order of their hashes
	places []place  // beside keys, apart from them as most are never looked at
	starts []uint32 // by hash, cut to fewer bits: where its keys begin; one more for the end
	cut    uint
	texts  []byte // of all literals
	marks  []mark // of all literals
}

// place is where a window stands in a literal. It is small and has no pointers, as there
// are ten thousands: they stay in the caches, and the collector of garbage passes them by.
type place struct {
	text, size   uint32 // of the literal in texts
	marks, count uint32 // of the literal in marks
	before       uint32 // bytes of the literal before the window
	start, end   bool
}

// entry is a literal and the bits to be set where it is found.
type entry struct {
	literal
	marks []mark
}

// mark is bits of one word to be set where a literal is found.
type mark struct {
	word int32
	bits uint64
}

func set(words []uint64, marks []mark) {
	for _, m := range marks {
		words[m.word] |= m.bits
	}
}

// marksOf packs numbers of bits, which are in order.
func marksOf(numbers []int32) []mark {
	var marks []mark
	for _, n := range numbers {
		if word := n / 64; len(marks) == 0 || marks[len(marks)-1].word != word {
			marks = append(marks, mark{word: word})
		}
		marks[len(marks)-1].bits |= 1 << (n % 64)
	}
	return marks
}

// builder gathers the literals of one index and the numbers of the bits that each sets.
type builder struct {
	numbers map[literal][]int32
	order   []literal
}

func (b *builder) add(l literal, number int32) {
	if b.numbers == nil {
		b.numbers = make(map[literal][]int32)
	}
	list, seen := b.numbers[l]
	if !seen {
		b.order = append(b.order, l)
	}
	if len(list) == 0 || list[len(list)-1] != number {
		b.numbers[l] = append(list, number)
	}
}

// build makes the index for the values of a field with these entries of the rates.
func (b *builder) build(entries string) *index {
	x := &index{}
	var tables [maxWindow][]literal // by length of their windows
	shortest := maxWindow + maxStride - 1
	for _, l := range b.order {
		x.anchors = x.anchors || l.start || l.end
		switch {
		case l.end && len(l.text) >= minEnd:
			x.addEnd(l, marksOf(b.numbers[l]))
		case l.start && l.end:
			if x.whole == nil {
				x.whole = make(map[string][]mark)
			}
			x.whole[l.text] = marksOf(b.numbers[l])
		default:
			n := min(len(l.text), maxWindow)
			tables[n-1] = append(tables[n-1], l)
			if n == maxWindow {
				shortest = min(shortest, len(l.text))
			}
		}
	}
	for _, e := range x.ends {
		e.seal()
	}
	for i, literals := range tables {
		if len(literals) == 0 {
			continue
		}
		if few(literals) {
			for _, l := range literals {
				x.direct = append(x.direct, entry{literal: l, marks: marksOf(b.numbers[l])})
			}
			continue
		}
		w := &windows{n: i + 1, stride: 1}
		if w.n == maxWindow {
			w.stride = shortest - maxWindow + 1
		}
		w.fill(literals, b.numbers, entries)
		x.windows = append(x.windows, w)
	}
	x.loose = len(x.windows) == 1 && len(x.direct)+len(x.whole)+len(x.ends) == 0 && x.windows[0].ascii()
	return x
}

// few says whether to look for short literals one by one takes less time than one pass over
// a value by their windows: for a byte, or for what has its place, it takes next to none.
func few(literals []literal) bool {
	const enough = 24
	n := 0
	for _, l := range literals {
		switch {
		case len(l.text) >= maxWindow:
			return false
		case l.start || l.end:
			n++
		case len(l.text) == 1:
			n += 2
		default:
			n += 6
		}
	}
	return n <= enough
}

// in says whether a folded value holds the literal.
func (l *literal) in(v []byte) bool {
	n := len(l.text)
	switch {
	case n > len(v):
		return false
	case l.start:
		return string(v[:n]) == l.text && (!l.end || n == len(v))
	case l.end:
		return string(v[len(v)-n:]) == l.text
	case n == 1:
		return bytes.IndexByte(v, l.text[0]) >= 0
	}
	return bytes.Contains(v, []byte(l.text))
}

// fill adds the literals by their rarest windows, and of those equally rare by those
// that fewest of the literals share: of \cmd.exe it is hardly .exe.
func (w *windows) fill(literals []literal, numbers map[literal][]int32, entries string) {
	count := make(map[uint32]int) // how many literals hold a window
	for _, l := range literals {
		for i := 0; i+w.n <= len(l.text); i++ {
			count[windowAt(l.text, i, w.n)]++
		}
	}
	var all []standing
	for number, l := range literals {
		best, bestClass, bestCount := 0, -1, 0
		for i := 0; i+w.n+w.stride-1 <= len(l.text); i++ {
			class, shared := rarestClass, 0
			for k := i; k < i+w.stride; k++ {
				class = min(class, literal{text: l.text[k : k+w.n]}.class(entries))
				shared += count[windowAt(l.text, k, w.n)]
			}
			if class > bestClass || class == bestClass && shared < bestCount {
				best, bestClass, bestCount = i, class, shared
			}
		}
		for k := best; k < best+w.stride; k++ {
			all = append(all, standing{window: windowAt(l.text, k, w.n), literal: number, before: k})
		}
	}
	w.seal(all, literals, numbers)
}

// standing is a window of a literal, by its number.
type standing struct {
	window          uint32
	literal, before int
}

// filterBits is the size of the filter a window in it: one place in 32 is let
// through for nothing.
const filterBits = 32

// filterCut is how many bits of a hash the list of starts does without: it has about
// one place for each window.
const filterCut = 5

// seal makes the tables, once all windows are there.
func (w *windows) seal(all []standing, literals []literal, numbers map[literal][]int32) {
	size := max(bits.Len(uint(len(all)*filterBits-1)), 6)
	w.shift = uint(32 - size)
	w.cut = uint(min(size, filterCut))
	w.filter = make([]uint64, 1<<size/64)
	w.starts = make([]uint32, 1<<(size-int(w.cut))+1)
	slices.SortStableFunc(all, func(a, b standing) int { return cmp.Compare(w.hash(a.window), w.hash(b.window)) })
	w.keys, w.places = make([]uint32, len(all)), make([]place, len(all))
	first := make([]int, len(literals)) // by literal: its first place and one more
	for i, s := range all {
		h := w.hash(s.window)
		w.filter[h/64] |= 1 << (h % 64)
		w.starts[h>>w.cut+1]++
		w.keys[i] = s.window
		p := &w.places[i]
		if at := first[s.literal]; at > 0 {
			*p = w.places[at-1]
		} else {
			l := literals[s.literal]
			marks := marksOf(numbers[l])
			*p = place{text: uint32(len(w.texts)), size: uint32(len(l.text)), marks: uint32(len(w.marks)), count: uint32(len(marks)), start: l.start, end: l.end}
			w.texts, w.marks = append(w.texts, l.text...), append(w.marks, marks...)
			first[s.literal] = i + 1
		}
		p.before = uint32(s.before)
	}
	w.texts, w.marks = slices.Clone(w.texts), slices.Clone(w.marks) // without the room to grow
	for i := 1; i < len(w.starts); i++ {
		w.starts[i] += w.starts[i-1]
	}
}

// hashFactor makes the hashes, which are multiplicative: 2³² over the golden ratio.
const hashFactor = 0x9e3779b1

func (w *windows) hash(key uint32) uint32 { return key * hashFactor >> w.shift }

// caseBit is what a letter in lower case has and one in upper case has not; windows are
// compared as if all their bytes had it, so that they are found in a value of any case.
const (
	caseBit  = 'a' - 'A'
	caseBits = caseBit * 0x01010101
)

// windowAt packs n bytes from i on.
func windowAt(s string, i, n int) uint32 {
	var key uint32
	for _, c := range []byte(s[i : i+n]) {
		key = key<<8 | uint32(c|caseBit)
	}
	return key
}

// ascii says whether all windows are long and ASCII alone, which stands in a value that
// is not folded where it does in the folded one, but for its case.
func (w *windows) ascii() bool {
	return w.n == maxWindow && !slices.ContainsFunc(w.keys, func(key uint32) bool { return key&0x80808080 != 0 })
}

// scan sets the bits of all literals that the folded value holds.
func (x *index) scan(v []byte, words []uint64) {
	if len(v) < minEnd && x.whole != nil {
		set(words, x.whole[string(v)])
	}
	for _, e := range x.ends {
		e.scan(v, words)
	}
	for i := range x.direct {
		if e := &x.direct[i]; e.in(v) {
			set(words, e.marks)
		}
	}
	for _, w := range x.windows {
		if w.n == maxWindow {
			w.scan(v, words)
		} else {
			w.scanShort(v, words)
		}
	}
}

// scanAll is scan for all texts of an event, before it is laid out. Where no literal has its place it is one pass
// over all of them: none stands across two, as there is a NUL between, or if it does, its
// rule is asked in vain.
func (x *index) scanAll(ev *postern.Event, v *view, words []uint64) {
	if x.loose && !x.may(ev) {
		return
	}
	v.buf = v.buf[:0]
	for text := range texts(ev) {
		v.buf = appendFold(v.buf, text)
		if x.anchors {
			x.scan(v.buf, words)
			v.buf = v.buf[:0]
			continue
		}
		v.buf = append(v.buf, 0)
	}
	if !x.anchors {
		x.scan(v.buf, words)
	}
}

// texts are all values of an event and its line: what keywords are about.
func texts(ev *postern.Event) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, fields := range [][]postern.Field{ev.Derived, ev.Fields} {
			for i := range fields {
				if !yield(fields[i].Value) {
					return
				}
			}
		}
		if ev.Raw != "" {
			yield(ev.Raw)
		}
	}
}

// may says whether a literal can be in an event. To ask is much less work than to fold all
// values, which nearly no event needs.
func (x *index) may(ev *postern.Event) bool {
	w := x.windows[0]
	for _, fields := range [...][]postern.Field{ev.Derived, ev.Fields} {
		for i := range fields {
			if w.may(fields[i].Value) {
				return true
			}
		}
	}
	return w.may(ev.Raw)
}

// may says whether some window stands in a text that is long enough for a literal.
func (w *windows) may(v string) bool {
	return len(v) >= maxWindow-1+w.stride && w.stands(v)
}

func (w *windows) stands(v string) bool {
	filter, shift, stride := w.filter, w.shift%32, w.stride
	for i := 0; i <= len(v)-maxWindow; i += stride {
		at := v[i : i+maxWindow]
		key := uint32(at[0])<<24 | uint32(at[1])<<16 | uint32(at[2])<<8 | uint32(at[3]) | caseBits
		if h := key * hashFactor >> shift; filter[h/64]>>(h%64)&1 != 0 && w.has(key) {
			return true
		}
	}
	return false
}

// has says whether a window that the filter lets through is one of a literal.
func (w *windows) has(key uint32) bool {
	h := w.hash(key) >> w.cut
	return slices.Contains(w.keys[w.starts[h]:w.starts[h+1]], key)
}

func (w *windows) scan(v []byte, words []uint64) {
	for i := w.next(v, 0); i >= 0; i = w.next(v, i+w.stride) {
		w.compare(v, i, words)
	}
}

// next gives the place from i on where some window may stand, -1 if there is none. It is
// the loop in which most of the time goes, and does nothing else so that all that it needs
// stays in registers.
func (w *windows) next(v []byte, i int) int {
	filter, shift, stride := w.filter, w.shift%32, w.stride
	for ; i <= len(v)-maxWindow; i += stride {
		key := binary.BigEndian.Uint32(v[i:i+maxWindow]) | caseBits
		if h := key * hashFactor >> shift; filter[h/64]>>(h%64)&1 != 0 {
			return i
		}
	}
	return -1
}

// scanShort is scan for windows of less than four bytes.
func (w *windows) scanShort(v []byte, words []uint64) {
	if len(v) < w.n {
		return
	}
	filter, shift, mask := w.filter, w.shift%32, uint32(1<<(8*w.n)-1)
	var key uint32
	for _, c := range v[:w.n-1] {
		key = key<<8 | uint32(c|caseBit)
	}
	for i := w.n - 1; i < len(v); i++ {
		key = (key<<8 | uint32(v[i]|caseBit)) & mask
		if h := key * hashFactor >> shift; filter[h/64]>>(h%64)&1 != 0 {
			w.compare(v, i+1-w.n, words)
		}
	}
}

// compare sets the bits of the literals whose window stands at a place of the value.
func (w *windows) compare(v []byte, place int, words []uint64) {
	var key uint32
	for _, c := range v[place : place+w.n] {
		key = key<<8 | uint32(c|caseBit)
	}
	h := w.hash(key)
	for at, end := w.starts[h>>w.cut], w.starts[h>>w.cut+1]; at < end; at++ {
		if w.keys[at] != key {
			continue
		}
		p := &w.places[at]
		from := place - int(p.before)
		to := from + int(p.size)
		if from < 0 || to > len(v) || p.start && from > 0 || p.end && to < len(v) || !bytes.Equal(v[from:to], w.texts[p.text:p.text+p.size]) {
			continue
		}
		set(words, w.marks[p.marks:p.marks+p.count])
	}
}
