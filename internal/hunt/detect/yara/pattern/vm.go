package pattern

// thread is a place in a program; count is how often the opRep there has matched.
// A negative pc is only used on the stack: ^pc waits there, whatever its count allows.
type thread struct{ pc, count int32 }

// vm runs programs. All threads of a program move over the data together, so that
// the cost of a run is at most bytes times states. It belongs to one goroutine.
type vm struct {
	code  []inst
	sets  []charset
	cur   []thread
	next  []thread
	stack []thread
	mark  []uint32 // by state: gen if seen at the current byte
	gen   uint32
	steps int64 // threads moved so far
}

func (v *vm) prepare(code []inst, sets []charset, states int) {
	v.code, v.sets = code, sets
	if len(v.mark) < states {
		v.mark, v.gen = make([]uint32, states), 0
	}
}

func (v *vm) newGen() {
	if v.gen++; v.gen == 0 {
		clear(v.mark)
		v.gen = 1
	}
}

// place is where in the data a run is: n bytes from at, of at most max, in one
// direction. A wide run has characters of two bytes, the second of which is zero.
type place struct {
	data      []byte
	at, max   int
	backwards bool
	wide      bool
}

func newPlace(data []byte, at int, backwards, wide bool) place {
	p := place{data: data, at: at, backwards: backwards, wide: wide, max: len(data) - at}
	if backwards {
		p.max = at
	}
	p.max = min(p.max, scanLimit)
	if wide {
		p.max &^= 1
	}
	return p
}

// char gives the character that is next after n bytes.
func (p *place) char(n int) (byte, bool) {
	if n >= p.max {
		return 0, false
	}
	i := p.at + n
	if p.wide {
		if p.backwards {
			i = p.at - n - 2
		}
		return p.data[i], p.data[i+1] == 0
	}
	if p.backwards {
		i = p.at - n - 1
	}
	return p.data[i], true
}

func (p *place) holds(op opcode, n int) bool {
	here := p.at + n
	if p.backwards {
		here = p.at - n
	}
	switch op {
	case opStart:
		return here == 0
	case opEnd:
		return !p.backwards && here == len(p.data)
	case opWord:
		return p.boundary(here, n)
	}
	return !p.boundary(here, n)
}

// boundary says whether one of the characters beside a place is of a word. The edges
// of the data, and of what may be looked at, always are boundaries.
func (p *place) boundary(here, n int) bool {
	size := 1
	if p.wide {
		size = 2
	}
	if n >= p.max || n == 0 && p.at < size {
		return true
	}
	return p.word(here) != p.word(here-size)
}

func (p *place) word(i int) bool {
	if i < 0 || i >= len(p.data) || !isWord(p.data[i]) {
		return false
	}
	return !p.wide || i+1 < len(p.data) && p.data[i+1] == 0
}

func isWord(b byte) bool { return isAlnum(b) || b == '_' }

func isAlnum(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

// add puts a thread and all that it becomes without reading a byte into a list,
// preferred ones first.
func (v *vm) add(list []thread, t thread, p *place, n int) []thread {
	stack := append(v.stack[:0], t)
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if t.pc < 0 {
			list = append(list, thread{^t.pc, t.count})
			continue
		}
		in := &v.code[t.pc]
		if in.op == opRep && in.y == endless && t.count > in.x {
			t.count = in.x
		}
		if state := in.state + t.count; v.mark[state] == v.gen {
			continue
		} else {
			v.mark[state] = v.gen
		}
		switch in.op {
		case opByte, opSet, opMatch:
			list = append(list, t)
		case opRep:
			switch {
			case t.count < in.x:
				list = append(list, t)
			case t.count == in.y:
				stack = append(stack, thread{pc: t.pc + 1})
			case in.lazy:
				stack = append(stack, thread{^t.pc, t.count}, thread{pc: t.pc + 1})
			default:
				list = append(list, t)
				stack = append(stack, thread{pc: t.pc + 1})
			}
		case opSplit:
			stack = append(stack, thread{pc: in.y}, thread{pc: in.x})
		case opJump:
			stack = append(stack, thread{pc: in.x})
		default:
			if p.holds(in.op, n) {
				stack = append(stack, thread{pc: t.pc + 1})
			}
		}
	}
	v.stack = stack
	return list
}

// straight follows a program as long as it does not branch. It ends at the
// instruction that does, or with ok false at a byte that does not match.
func (v *vm) straight(pc int32, p *place) (_ int32, n int, ok bool) {
	size := 1
	if p.wide {
		size = 2
	}
	for {
		in := &v.code[pc]
		switch in.op {
		case opByte:
			if c, ok := p.char(n); !ok || c != in.b {
				return 0, 0, false
			}
		case opSet:
			if c, ok := p.char(n); !ok || !v.sets[in.set].has(c) {
				return 0, 0, false
			}
		default:
			v.steps += int64(n) + 1
			return pc, n, true
		}
		pc++
		n += size
	}
}

// forward gives the length of the preferred match that begins at a place, or -1. If
// shortest is set, of the shortest one.
func (v *vm) forward(pc int32, p place, shortest bool) int {
	pc, n, ok := v.straight(pc, &p)
	if !ok {
		return -1
	}
	if v.code[pc].op == opMatch {
		return n
	}
	size := 1
	if p.wide {
		size = 2
	}
	best := -1
	v.newGen()
	v.cur = v.add(v.cur[:0], thread{pc: pc}, &p, n)
	for ; len(v.cur) > 0; n += size {
		c, ok := p.char(n)
		v.newGen()
		v.next = v.next[:0]
		v.steps += int64(len(v.cur))
	threads:
		for _, t := range v.cur {
			in := &v.code[t.pc]
			switch in.op {
			case opMatch:
				best = n
				if shortest {
					return best
				}
				break threads
			case opByte:
				if ok && c == in.b {
					v.next = v.add(v.next, thread{pc: t.pc + 1}, &p, n+size)
				}
			case opSet:
				if ok && v.sets[in.set].has(c) {
					v.next = v.add(v.next, thread{pc: t.pc + 1}, &p, n+size)
				}
			case opRep:
				if ok && v.sets[in.set].has(c) {
					v.next = v.add(v.next, thread{t.pc, t.count + 1}, &p, n+size)
				}
			}
		}
		v.cur, v.next = v.next, v.cur
	}
	return best
}

// backward appends the length of every match that ends at a place, shortest first.
func (v *vm) backward(pc int32, p place, lengths []int32) []int32 {
	pc, n, ok := v.straight(pc, &p)
	if !ok {
		return lengths
	}
	if v.code[pc].op == opMatch {
		return append(lengths, int32(n))
	}
	size := 1
	if p.wide {
		size = 2
	}
	v.newGen()
	v.cur = v.add(v.cur[:0], thread{pc: pc}, &p, n)
	for ; len(v.cur) > 0; n += size {
		c, ok := p.char(n)
		v.newGen()
		v.next = v.next[:0]
		v.steps += int64(len(v.cur))
		for _, t := range v.cur {
			in := &v.code[t.pc]
			switch in.op {
			case opMatch:
				lengths = append(lengths, int32(n))
			case opByte:
				if ok && c == in.b {
					v.next = v.add(v.next, thread{pc: t.pc + 1}, &p, n+size)
				}
			case opSet:
				if ok && v.sets[in.set].has(c) {
					v.next = v.add(v.next, thread{pc: t.pc + 1}, &p, n+size)
				}
			case opRep:
				if ok && v.sets[in.set].has(c) {
					v.next = v.add(v.next, thread{t.pc, t.count + 1}, &p, n+size)
				}
			}
		}
		v.cur, v.next = v.next, v.cur
	}
	return lengths
}

// anywhere says whether a program matches from any place of the first scanLimit
// bytes of data, which is all that libyara's operator "matches" looks at.
func (v *vm) anywhere(pc int32, data []byte) bool {
	p := newPlace(data, 0, false, false)
	anchored := v.code[pc].op == opStart
	v.newGen()
	v.cur = v.add(v.cur[:0], thread{pc: pc}, &p, 0)
	for n := 0; ; n++ {
		c, ok := p.char(n)
		v.newGen()
		v.next = v.next[:0]
		for _, t := range v.cur {
			in := &v.code[t.pc]
			switch in.op {
			case opMatch:
				return true
			case opByte:
				if ok && c == in.b {
					v.next = v.add(v.next, thread{pc: t.pc + 1}, &p, n+1)
				}
			case opSet:
				if ok && v.sets[in.set].has(c) {
					v.next = v.add(v.next, thread{pc: t.pc + 1}, &p, n+1)
				}
			case opRep:
				if ok && v.sets[in.set].has(c) {
					v.next = v.add(v.next, thread{t.pc, t.count + 1}, &p, n+1)
				}
			}
		}
		if n+1 < p.max && !anchored {
			v.next = v.add(v.next, thread{pc: pc}, &p, n+1)
		} else if len(v.next) == 0 {
			return false
		}
		v.cur, v.next = v.next, v.cur
	}
}
