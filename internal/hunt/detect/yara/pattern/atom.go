package pattern

import (
	"slices"
	"strings"

	"postern/internal/hunt/detect/yara/pattern/bloom"
)

// An atom is a short run of bytes that every match of a string has to hold. Only
// where one is found in the data is its string looked at any further.

const (
	maxAtom   = 4   // bytes
	maxExpand = 256 // different values of one atom, as some of its bytes may vary
)

// window is an atom of an expression: consecutive bytes, each of a set.
type window struct {
	sets  []charset
	first *core // where the expression stands; nil in plain text
	back  int   // bytes of it before the atom
	rare  int   // in passRare: which of the bytes is
}

// choice is a set of atoms of which every match holds at least one.
type choice struct {
	windows []window
	cost    float64 // the expected rate of the worst of them
}

// A pass is one way of going over the data. A string is looked for in the first, and
// cheapest, that it has good atoms for.
type pass uint8

const (
	// At every fourth place: a string has an atom for each remainder that its place
	// may have, and needs seven bytes for that.
	passFourth pass = iota
	// Where a rare byte is, which the processor finds many at a time.
	passRare
	// At every second place, for strings of five bytes.
	passSecond
	// At every place, for atoms of four bytes.
	passEvery
	// At every place, for all that has only frequent or short atoms, or none.
	passRest

	passes = 5
)

// windows is how many atoms one after the other a string has in a pass.
func (p pass) windows() int {
	switch p {
	case passFourth:
		return 4
	case passSecond:
		return 2
	}
	return 1
}

// worst is the rate of an atom up to which it is good enough for a pass. Each
// candidate costs some ten times what a byte does.
func (p pass) worst() float64 {
	switch p {
	case passFourth, passSecond:
		return 2e-5
	case passRare, passEvery:
		return 2e-4
	}
	return 1
}

// rareByte says whether a byte is rare in files of most kinds, and the same for
// letters of both cases.
func rareByte(b byte) bool { return strings.IndexByte("?%@~`^|\\#!", b) >= 0 }

// chooser picks the atoms of an expression.
//
// From which part of an expression libyara takes its atoms decides the lengths of
// matches where more than one is possible: from there an expression is followed
// forwards to the preferred end and backwards to every start. So the part is chosen
// as libyara does, by its measure of quality. Which of the bytes of a part that has
// only one way through it are the atom makes no difference to the result, and is
// chosen by how rare they are.
type chooser struct {
	rates *rates
	wide  bool // atoms have a zero behind each byte
	both  bool // characters of one byte are searched for as well as those of two

	pass pass

	quality int     // of the best so far
	some    *choice // the best so far, if it is of alternatives
	run     *run    // otherwise its run, and where in it
	at      int

	open  *run // the run that is being read
	plain int  // where in it the current stretch of written bytes begins
}

// run is a sequence of bytes with one way through it. It is cut into segments where a
// loop comes in from behind.
type run struct {
	bytes    []*core
	segments []int // where each begins but the first
}

func (ch *chooser) alternatives(c *core) (choice, int) {
	sub := &chooser{rates: ch.rates, wide: ch.wide, both: ch.both, pass: ch.pass}
	sub.walk(c)
	sub.close()
	return sub.best(), sub.quality
}

func (ch *chooser) best() choice {
	if ch.some != nil {
		return *ch.some
	}
	if ch.run == nil {
		return choice{}
	}
	return ch.narrow(ch.run, ch.at)
}

// narrow gives the rarest window of the segment of a run that a place is in.
func (ch *chooser) narrow(r *run, at int) choice {
	from, to := 0, len(r.bytes)
	for _, s := range r.segments {
		if s <= at {
			from = s
		} else {
			to = s
			break
		}
	}
	if ch.both && !r.oneWidth(at) {
		from, to = at, at+1
	}
	width := 1
	if ch.wide {
		width = 2
	}
	var sets []charset
	for _, c := range r.bytes[from:] {
		if sets = append(sets, c.set); ch.wide {
			sets = append(sets, oneByte(0))
		}
	}
	spot := ch.rates.rarest(sets, func(i int) bool {
		i = from + i/width
		return i < to && (!ch.both || i == at || r.oneWidth(i))
	}, ch.pass)
	var best choice
	for i := spot.at; i < spot.at+ch.pass.windows() && spot.n > 0; i++ {
		best.windows = append(best.windows, window{sets: sets[i : i+spot.n], first: r.bytes[from+i/width], back: i % width, rare: spot.rare})
	}
	best.cost = spot.cost
	return best
}

// oneWidth says whether at a place of a run characters of one byte cannot be taken
// for those of two. Where they can be, it depends on the place which are tried.
func (r *run) oneWidth(at int) bool {
	return at+1 < len(r.bytes) && !r.bytes[at].set.has(0) && !r.bytes[at+1].set.has(0)
}

// expression gives the atoms of an expression, none if every place has to be tried.
func (ch *chooser) expression(c *core) choice {
	ch.walk(c)
	ch.close()
	if ch.quality > 0 {
		return ch.best()
	}
	// As libyara tries every place, it makes no difference if those are left out
	// that do not look like the beginning.
	if lead := ch.lead(c); len(lead.bytes) > 0 {
		return ch.narrow(lead, 0)
	}
	return choice{}
}

// lead gives the bytes that every match begins with.
func (ch *chooser) lead(c *core) *run {
	r := &run{}
	var walk func(c *core) bool
	walk = func(c *core) bool {
		switch c.kind {
		case coreSet:
			r.bytes = append(r.bytes, c)
			return true
		case coreConcat:
			for _, k := range c.kids {
				if !walk(k) {
					return false
				}
			}
			return true
		case coreStart, coreEnd, coreWord, coreNotWord:
			return true
		}
		return false
	}
	walk(c)
	return r
}

func (ch *chooser) walk(c *core) {
	switch c.kind {
	case coreSet:
		if ch.open == nil {
			ch.open, ch.plain = &run{}, 0
		}
		if !c.written {
			ch.stretch()
			ch.plain++
		}
		ch.open.bytes = append(ch.open.bytes, c)
	case coreConcat:
		for _, k := range c.kids {
			ch.walk(k)
		}
		if c.cut {
			ch.stretch()
		}
	case coreStart, coreEnd, coreWord, coreNotWord:
		ch.stretch() // the bytes on both sides still touch
	case corePlus:
		if ch.open != nil {
			ch.open.segments = append(ch.open.segments, len(ch.open.bytes))
		}
		ch.walk(c.kids[0])
		ch.close()
	case coreAlt:
		ch.close()
		all, worst, complete := choice{}, maxQuality, true
		for _, k := range c.kids {
			sub, quality := ch.alternatives(k)
			all.windows = append(all.windows, sub.windows...)
			all.cost = max(all.cost, sub.cost)
			complete = complete && len(sub.windows) > 0
			worst = min(worst, quality)
		}
		if !complete {
			all = choice{} // none for this pass
		}
		if worst > ch.quality {
			ch.quality, ch.some, ch.run = worst, &all, nil
		}
	default:
		ch.close()
	}
}

// stretch ends a sequence of written bytes and considers its best four.
func (ch *chooser) stretch() {
	if ch.open == nil {
		return
	}
	bytes := ch.open.bytes[ch.plain:]
	best, at := 0, 0
	for i := range bytes {
		if i > 0 && i+maxAtom > len(bytes) {
			break
		}
		if q := quality(bytes[i:min(i+maxAtom, len(bytes))]); q > best {
			best, at = q, i
			for bytes[at].mask == 0 {
				at++
			}
		}
	}
	if best > ch.quality {
		ch.quality, ch.some, ch.run, ch.at = best, nil, ch.open, ch.plain+at
	}
	ch.plain = len(ch.open.bytes)
}

// close ends a run.
func (ch *chooser) close() {
	ch.stretch()
	ch.open = nil
}

// maxQuality is above that of any atom.
const maxQuality = 255

// quality is libyara's measure of an atom, zero if there is nothing to look for.
func quality(bytes []*core) int {
	for len(bytes) > 0 && bytes[0].mask == 0 {
		bytes = bytes[1:]
	}
	for len(bytes) > 0 && bytes[len(bytes)-1].mask == 0 {
		bytes = bytes[:len(bytes)-1]
	}
	if len(bytes) == 0 {
		return 0
	}
	known, unknown := 0, 0
	for _, c := range bytes {
		switch c.mask {
		case 0xff:
			known++
		case 0:
			unknown++
		}
	}
	if unknown >= known {
		bytes = bytes[:1]
	}
	q := 0
	var seen charset
	for _, c := range bytes {
		switch c.mask {
		case 0:
			q -= 10
		case 0xff:
			switch {
			case c.value == 0, c.value == ' ', c.value == 0xcc, c.value == 0xff:
				q += 12
			case lower(c.value) >= 'a' && lower(c.value) <= 'z':
				q += 18
			default:
				q += 20
			}
			seen.add(c.value)
		default:
			q += 4
		}
	}
	dull := seen.has(0) || seen.has(' ') || seen.has(0x90) || seen.has(0xcc) || seen.has(0xff)
	if n := seen.count(); n == 1 && dull {
		q -= 10 * len(bytes)
	} else {
		q += 2 * n
	}
	return maxQuality - 22*maxAtom + q
}

// spot is where the atoms of consecutive bytes are.
type spot struct {
	at, n int     // the first one's place, and how many bytes each has; 0 if there are none
	rare  int     // in passRare: which of its bytes is
	cost  float64 // how often one is to be expected
}

// rarest gives the atoms of consecutive bytes that are likely to be found least. may
// says where one may begin.
func (r *rates) rarest(sets []charset, may func(int) bool, p pass) spot {
	lists := make([][]uint8, len(sets))
	values := make([]int, len(sets))
	all := make([]uint8, len(sets)) // room for those of one
	for i := range sets {
		if b, ok := sets[i].single(); ok {
			all[i] = uint8(classOf(b))
			lists[i], values[i] = all[i:i+1:i+1], 1
			continue
		}
		var folded charset
		var seen [classes]bool
		for b := range 256 {
			if !sets[i].has(byte(b)) {
				continue
			}
			folded.add(byte(b) | foldBit)
			if c := classOf(byte(b)); !seen[c] {
				seen[c] = true
				lists[i] = append(lists[i], uint8(c))
			}
		}
		values[i] = folded.count()
	}
	least := maxAtom
	switch p {
	case passRare:
		least = 2
	case passRest:
		least = 1
	}
	var best spot
	for i := 0; i+least <= len(sets); i++ {
	lengths:
		for n := least; n <= maxAtom; n++ {
			s := spot{at: i, n: n}
			for j := i; j < i+p.windows(); j++ {
				if j+n > len(sets) || !may(j) {
					break lengths
				}
				expand := 1
				for k := j; k < j+n && expand <= maxExpand; k++ {
					expand *= values[k]
				}
				if expand > maxExpand || expand == 0 {
					break lengths
				}
				s.cost += max(r.of(lists[j:j+n]), 1e-7) + float64(expand)*1e-8
			}
			s.cost /= float64(p.windows())
			if p == passRare {
				s.rare = slices.IndexFunc(sets[i:i+n], func(c charset) bool {
					b, ok := c.single()
					return ok && rareByte(b)
				})
			}
			if s.rare >= 0 && (best.n == 0 || s.cost < best.cost) {
				best = s
			}
		}
	}
	return best
}

// foldBit is set in every byte of an atom and of the data before they are compared,
// which makes letters of both cases equal at the price of some more candidates.
const foldBit = bloom.Fold

// keys gives the values of an atom, each folded and packed with the first byte
// lowest. mask is applied to the bytes before: the key of an xor string.
func (w *window) keys(mask byte) []uint32 {
	keys := []uint32{0}
	for i, set := range w.sets {
		if b, ok := set.single(); ok {
			for j := range keys {
				keys[j] |= uint32((b^mask)|foldBit) << (8 * i)
			}
			continue
		}
		var folded charset
		for b := range 256 {
			if set.has(byte(b)) {
				folded.add((byte(b) ^ mask) | foldBit)
			}
		}
		var next []uint32
		for b := range 256 {
			if folded.has(byte(b)) {
				for _, k := range keys {
					next = append(next, k|uint32(b)<<(8*i))
				}
			}
		}
		keys = next
	}
	return keys
}
