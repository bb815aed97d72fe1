package sigma

import "math/bits"

// index finds in a value which of many literals it holds, at a cost that hardly
// depends on how many they are: a filter over windows of up to four bytes says at
// each place whether some literal can be there, and only then is one compared.
// An automaton would say it exactly, but for ten thousand literals its tables
// leave the caches, and this one fits.
type index struct {
	whole   map[string][]int32 // values that must be equal, to rules
	longest int                // of whole
	windows [maxWindow]*windows
}

// maxWindow is the longest window in bytes; shorter literals have tables of
// their own length.
const maxWindow = 4

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
		if n := min(len(l.text), maxWindow); n > 0 {
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
	for _, w := range x.windows {
		if w != nil {
			w.scan(v, marks)
		}
	}
}

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
