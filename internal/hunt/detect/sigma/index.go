package sigma

import "math/bits"

// index finds in a value which of many literals it holds, at a cost that hardly
// depends on how many they are: a filter over windows of up to four bytes says at
// each place whether some literal can be there, and only then is one compared.
// An automaton would say it exactly, but for ten thousand literals its tables
// leave the caches, and this one fits.
//
// What must stand at the end of a value, as most names of programs must, is looked
// for there alone.
type index struct {
	whole   map[string][]int32 // values that must be equal, to rules
	longest int                // of whole
	windows [maxWindow]*windows
	ends    [maxEnd + 1]*ends
}

// maxWindow is the longest window in bytes; shorter literals have tables of
// their own length.
const maxWindow = 4

// Bounds of the part of a literal by which an end is found. Names of programs
// differ in it, where the last four bytes are .exe of nearly all.
const (
	minEnd = 4
	maxEnd = 8
)

// ends are literals that stand at the end of values, by their last n bytes.
type ends struct {
	n      int
	filter [4]uint64 // one bit a hash
	at     map[uint64][]entry
}

func endHash(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> 56 }

// lastBytes packs the last n bytes of a text that has as many.
func lastBytes[T string | []byte](s T, n int) uint64 {
	var key uint64
	for i := len(s) - n; i < len(s); i++ {
		key = key<<8 | uint64(s[i])
	}
	return key
}

func (x *index) addEnd(l literal, rules []int32) {
	n := min(len(l.text), maxEnd)
	e := x.ends[n]
	if e == nil {
		e = &ends{n: n, at: make(map[uint64][]entry)}
		x.ends[n] = e
	}
	key := lastBytes(l.text, n)
	h := endHash(key)
	e.filter[h/64] |= 1 << (h % 64)
	e.at[key] = append(e.at[key], entry{literal: l, rules: rules})
}

func (e *ends) scan(v []byte, marks []uint64) {
	if len(v) < e.n {
		return
	}
	key := lastBytes(v, e.n)
	h := endHash(key)
	if e.filter[h/64]>>(h%64)&1 == 0 {
		return
	}
	for _, entry := range e.at[key] {
		if from := len(v) - len(entry.text); from >= 0 && string(v[from:]) == entry.text {
			mark(marks, entry.rules)
		}
	}
}

type windows struct {
	n      int      // bytes of a window
	filter []uint64 // one bit a hash
	shift  uint
	at     map[uint32][]entry
}

// entry is a literal to compare where its window was seen.
type entry struct {
	literal
	before int // bytes of the literal before the window
	rules  []int32
}

// builder gathers the literals of one index.
type builder struct {
	rules map[literal][]int32
	order []literal
}

func (b *builder) add(l literal, rule int32) {
	if b.rules == nil {
		b.rules = make(map[literal][]int32)
	}
	list, seen := b.rules[l]
	if !seen {
		b.order = append(b.order, l)
	}
	if len(list) == 0 || list[len(list)-1] != rule {
		b.rules[l] = append(list, rule)
	}
}

func (b *builder) build() *index {
	x := &index{}
	var count [maxWindow]map[uint32]int // how many literals hold a window
	for i := range count {
		count[i] = make(map[uint32]int)
	}
	for _, l := range b.order {
		if n := min(len(l.text), maxWindow); n > 0 && !l.atEnd() {
			for i := 0; i+n <= len(l.text); i++ {
				count[n-1][windowAt(l.text, i, n)]++
			}
		}
	}
	for _, l := range b.order {
		rules := b.rules[l]
		if l.start && l.end {
			if x.whole == nil {
				x.whole = make(map[string][]int32)
			}
			x.whole[l.text] = rules
			x.longest = max(x.longest, len(l.text))
			continue
		}
		if l.atEnd() {
			x.addEnd(l, rules)
			continue
		}
		n := min(len(l.text), maxWindow)
		if x.windows[n-1] == nil {
			x.windows[n-1] = &windows{n: n, at: make(map[uint32][]entry)}
		}
		// The window that fewest literals share is rarest in values too: of
		// \cmd.exe it is hardly .exe.
		best := 0
		for i := 1; i+n <= len(l.text); i++ {
			if count[n-1][windowAt(l.text, i, n)] < count[n-1][windowAt(l.text, best, n)] {
				best = i
			}
		}
		w := x.windows[n-1]
		key := windowAt(l.text, best, n)
		w.at[key] = append(w.at[key], entry{literal: l, before: best, rules: rules})
	}
	for _, w := range x.windows {
		if w != nil {
			w.seal()
		}
	}
	return x
}

// filterBits is the size of the filter a window in it: one place in 32 is let
// through for nothing.
const filterBits = 32

func (w *windows) seal() {
	size := max(bits.Len(uint(len(w.at)*filterBits-1)), 6)
	w.shift = uint(32 - size)
	w.filter = make([]uint64, 1<<size/64)
	for key := range w.at {
		h := w.hash(key)
		w.filter[h/64] |= 1 << (h % 64)
	}
}

// hash is multiplicative, by 2³² over the golden ratio.
func (w *windows) hash(key uint32) uint32 { return key * 0x9e3779b1 >> w.shift }

// windowAt packs n bytes from i on.
func windowAt(s string, i, n int) uint32 {
	var key uint32
	for _, c := range []byte(s[i : i+n]) {
		key = key<<8 | uint32(c)
	}
	return key
}

// scan marks the rules of all literals that the folded value holds.
func (x *index) scan(v []byte, marks []uint64) {
	if len(v) <= x.longest {
		mark(marks, x.whole[string(v)])
	}
	for _, e := range x.ends {
		if e != nil {
			e.scan(v, marks)
		}
	}
	for _, w := range x.windows {
		if w != nil {
			w.scan(v, marks)
		}
	}
}

// atEnd says whether a literal is looked for at the end of values alone.
func (l literal) atEnd() bool { return l.end && !l.start && len(l.text) >= minEnd }

func (w *windows) scan(v []byte, marks []uint64) {
	if len(v) < w.n {
		return
	}
	mask := uint32(1<<(8*w.n) - 1)
	var key uint32
	for _, c := range v[:w.n-1] {
		key = key<<8 | uint32(c)
	}
	for i := w.n - 1; i < len(v); i++ {
		key = (key<<8 | uint32(v[i])) & mask
		h := w.hash(key)
		if w.filter[h/64]>>(h%64)&1 == 0 {
			continue
		}
		for _, e := range w.at[key] {
			from := i + 1 - w.n - e.before
			to := from + len(e.text)
			if from < 0 || to > len(v) || e.start && from > 0 || e.end && to < len(v) || string(v[from:to]) != e.text {
				continue
			}
			mark(marks, e.rules)
		}
	}
}

func mark(marks []uint64, rules []int32) {
	for _, r := range rules {
		marks[r/64] |= 1 << (r % 64)
	}
}
