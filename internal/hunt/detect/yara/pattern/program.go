package pattern

import "math/bits"

// Bounds on compiled expressions. A repetition of a group is written out, so nested
// ones multiply; what does not fit is refused. The largest of public rules needs a
// hundredth of it.
const (
	maxInsts  = 1 << 15 // instructions of one string and direction
	maxStates = 1 << 15 // the same, each count of a repeated byte being a state
	maxSplits = 128     // branches of one string, counted as libyara does, which refuses more
	scanLimit = 4096    // bytes looked at from an atom in each direction, as in libyara
)

// core is an expression with its group repetitions written out. Each occurrence has
// a node of its own, so that an atom can say where to go on from.
type core struct {
	kind     coreKind
	set      charset
	kids     []*core
	min, max int // of coreRep
	lazy     bool
	// Of coreSet: to go on forwards from it, and backwards from before it.
	pc [2]int32
	// Of coreSet, for the choice of atoms: a byte that is written out, as far as mask
	// says.
	written     bool
	value, mask byte
	cut         bool // of coreConcat: a repetition, behind which no atom goes on
}

type coreKind uint8

const (
	coreSet coreKind = iota // one byte
	coreRep                 // a byte of one set, min to max times
	coreConcat
	coreAlt
	coreStar // kids[0] any number of times
	corePlus // kids[0] once or more
	coreOpt  // kids[0] or nothing
	coreStart
	coreEnd
	coreWord
	coreNotWord
)

// expander writes repetitions out and counts what they cost.
type expander struct{ nodes int }

func (x *expander) expand(n *node) (*core, error) {
	if x.nodes++; x.nodes > maxInsts {
		return nil, refuse("costly", "repetitions that multiply to more than %d steps", maxInsts)
	}
	switch n.kind {
	case nodeSet:
		return n.core(), nil
	case nodeEmpty:
		return &core{kind: coreConcat}, nil
	case nodeStart:
		return &core{kind: coreStart}, nil
	case nodeEnd:
		return &core{kind: coreEnd}, nil
	case nodeWord:
		return &core{kind: coreWord}, nil
	case nodeNotWord:
		return &core{kind: coreNotWord}, nil
	case nodeConcat, nodeAlt:
		c := &core{kind: coreConcat}
		if n.kind == nodeAlt {
			c.kind = coreAlt
		}
		for _, k := range n.kids {
			e, err := x.expand(k)
			if err != nil {
				return nil, err
			}
			c.kids = append(c.kids, e)
		}
		return c, nil
	}
	return x.repeat(n)
}

func (n *node) core() *core {
	return &core{kind: coreSet, set: n.set, written: n.literal || n.any || n.mask != 0, value: n.lit, mask: n.mask}
}

func (x *expander) repeat(n *node) (*core, error) {
	min, max := n.min, n.max
	if max >= scanLimit {
		max = endless // no more than scanLimit bytes are looked at anyway
	}
	all := &core{kind: coreConcat, cut: true}
	if child := n.kids[0]; child.kind == nodeSet {
		// The first few are written out for atoms to be made of.
		for ; min > 0 && len(all.kids) < maxAtom; min-- {
			k := child.core()
			k.written = k.written && (!child.any || n.star)
			all.kids = append(all.kids, k)
			if max != endless {
				max--
			}
		}
		if max != 0 {
			all.kids = append(all.kids, &core{kind: coreRep, set: child.set, min: min, max: max, lazy: n.lazy})
		}
		x.nodes += len(all.kids)
		return all, nil
	}
	times := min
	if max == endless && min > 0 {
		times-- // the last of them is that of the plus
	}
	for range times {
		e, err := x.expand(n.kids[0])
		if err != nil {
			return nil, err
		}
		all.kids = append(all.kids, e)
	}
	if max == endless {
		e, err := x.expand(n.kids[0])
		if err != nil {
			return nil, err
		}
		loop := &core{kind: coreStar, kids: []*core{e}, lazy: n.lazy}
		if min > 0 {
			loop.kind = corePlus
		}
		all.kids = append(all.kids, loop)
		return all, nil
	}
	at := all
	for range max - min {
		e, err := x.expand(n.kids[0])
		if err != nil {
			return nil, err
		}
		inner := &core{kind: coreConcat, kids: []*core{e}}
		at.kids = append(at.kids, &core{kind: coreOpt, kids: []*core{inner}, lazy: n.lazy})
		at = inner
	}
	return all, nil
}

// splits counts branches as libyara does, which keeps at most three copies of a
// repeated part.
func splits(n *node) int {
	sum := 0
	for _, k := range n.kids {
		if sum += splits(k); sum > maxSplits {
			return maxSplits + 1
		}
	}
	switch n.kind {
	case nodeAlt:
		sum += len(n.kids) - 1
	case nodeRepeat:
		switch {
		case n.star:
			sum++
		case n.kids[0].any:
		default:
			copies := 0
			if n.min > 0 {
				copies++
			}
			if n.max > n.min+1 || n.max > 2 {
				copies++
			}
			if n.max > n.min || n.max > 1 {
				copies++
			}
			if sum *= copies; n.max > n.min {
				sum++
			}
		}
	}
	return sum
}

type opcode uint8

const (
	opByte opcode = iota
	opSet
	opRep
	opSplit
	opJump
	opStart
	opEnd
	opWord
	opNotWord
	opMatch
)

// inst is one instruction. After opByte, opSet, opRep and the assertions follows the
// next one.
type inst struct {
	op    opcode
	b     byte  // opByte
	lazy  bool  // opRep
	set   int32 // opSet, opRep: index of the Set's charsets
	x, y  int32 // opSplit: where to, preferred first; opJump: x; opRep: min and max
	state int32 // number of this instruction, of opRep the first of its counts'
}

// assembler appends the programs of expressions to shared code.
type assembler struct {
	code   []inst
	sets   []charset
	setIDs map[charset]int32

	first     int // of the program being written
	state     int32
	maxStates int // of all programs
	err       error
}

func (a *assembler) setID(c charset) int32 {
	id, ok := a.setIDs[c]
	if !ok {
		id = int32(len(a.sets))
		a.setIDs[c] = id
		a.sets = append(a.sets, c)
	}
	return id
}

// program writes an expression in one direction and gives its first instruction.
func (a *assembler) program(c *core, backwards bool) (int32, error) {
	a.first, a.state, a.err = len(a.code), 0, nil
	a.emit(c, backwards)
	a.put(inst{op: opMatch}, 1)
	if a.err != nil {
		a.code = a.code[:a.first]
		return 0, a.err
	}
	a.maxStates = max(a.maxStates, int(a.state))
	return int32(a.first), nil
}

func (a *assembler) put(in inst, states int) int32 {
	if a.err != nil {
		return 0
	}
	in.state = a.state
	a.state += int32(states)
	if len(a.code)-a.first >= 2*maxInsts || int(a.state) > maxStates {
		a.err = refuse("costly", "repetitions that multiply to more than %d states", maxStates)
		return 0
	}
	a.code = append(a.code, in)
	return int32(len(a.code) - 1)
}

func (a *assembler) emit(c *core, backwards bool) {
	if a.err != nil {
		return
	}
	switch c.kind {
	case coreSet:
		in := inst{op: opSet}
		if b, ok := c.set.single(); ok {
			in.op, in.b = opByte, b
		} else {
			in.set = a.setID(c.set)
		}
		at := a.put(in, 1)
		if backwards {
			c.pc[1] = at + 1
		} else {
			c.pc[0] = at
		}
	case coreRep:
		states := c.max + 1
		if c.max == endless {
			states = c.min + 1
		}
		a.put(inst{op: opRep, set: a.setID(c.set), lazy: c.lazy, x: int32(c.min), y: int32(c.max)}, states)
	case coreConcat:
		for i := range c.kids {
			if backwards {
				i = len(c.kids) - 1 - i
			}
			a.emit(c.kids[i], backwards)
		}
	case coreAlt:
		var ends []int32
		for i, k := range c.kids {
			if i == len(c.kids)-1 {
				a.emit(k, backwards)
				break
			}
			split := a.put(inst{op: opSplit}, 1)
			a.emit(k, backwards)
			ends = append(ends, a.put(inst{op: opJump}, 1))
			a.branch(split, split+1, a.here(), false)
		}
		for _, e := range ends {
			a.branch(e, a.here(), 0, false)
		}
	case coreStar:
		split := a.put(inst{op: opSplit}, 1)
		a.emit(c.kids[0], backwards)
		a.branch(a.put(inst{op: opJump}, 1), split, 0, false)
		a.branch(split, split+1, a.here(), c.lazy)
	case corePlus:
		body := a.here()
		a.emit(c.kids[0], backwards)
		split := a.put(inst{op: opSplit}, 1)
		a.branch(split, body, a.here(), c.lazy)
	case coreOpt:
		split := a.put(inst{op: opSplit}, 1)
		a.emit(c.kids[0], backwards)
		a.branch(split, split+1, a.here(), c.lazy)
	case coreStart:
		a.put(inst{op: opStart}, 1)
	case coreEnd:
		a.put(inst{op: opEnd}, 1)
	case coreWord:
		a.put(inst{op: opWord}, 1)
	case coreNotWord:
		a.put(inst{op: opNotWord}, 1)
	}
}

func (a *assembler) here() int32 { return int32(len(a.code)) }

// branch says where a split or jump goes: to x, or else to y; swapped if lazy.
func (a *assembler) branch(at, x, y int32, lazy bool) {
	if a.err != nil {
		return
	}
	if lazy {
		x, y = y, x
	}
	a.code[at].x, a.code[at].y = x, y
}

// single gives the byte of a set of one.
func (c *charset) single() (byte, bool) {
	if c.count() != 1 {
		return 0, false
	}
	for i, word := range c {
		if word != 0 {
			return byte(i<<6 + bits.TrailingZeros64(word)), true
		}
	}
	return 0, false
}
