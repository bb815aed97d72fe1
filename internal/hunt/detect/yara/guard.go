package yara

import (
	"bytes"
	"strings"
)

// check is a guard, ready to be asked of every file: it gives what truth gives for the
// guard's expression, without a look at each of its nodes.
type check func(*machine) truth

// newCheck makes the check of a guard. What is not asked of many files is left to truth.
func newCheck(n *node) check {
	switch n.op {
	case opAnd, opOr:
		return newChecks(n)
	case opNot:
		of := newCheck(n.a)
		return func(m *machine) truth {
			switch of(m) {
			case yes:
				return no
			case no:
				return yes
			}
			return undefined
		}
	case opEqual, opNotEqual, opLess, opLessEqual, opGreater, opGreaterEqual:
		if n.a.typ == typInt && n.b.typ == typInt {
			return checkNumbers(n)
		}
	case opContains, opStarts, opEnds, opIEquals:
		if n.a.op == opExternal && n.b.op == opConst {
			return checkText(n)
		}
	case opBytesAt:
		return func(m *machine) truth { return m.bytesAt(n) }
	case opBytesIn:
		return checkWindow(n)
	}
	return func(m *machine) truth { return m.truth(n) }
}

func newChecks(n *node) check {
	var list []check
	rest := n.list
	if n.op == opOr {
		list, rest = checkTexts(n.list)
	}
	for _, x := range rest {
		list = append(list, newCheck(x))
	}
	if n.op == opAnd {
		return func(m *machine) truth {
			for _, c := range list {
				if c(m) != yes {
					return no
				}
			}
			return yes
		}
	}
	return func(m *machine) truth {
		for _, c := range list {
			if c(m) == yes {
				return yes
			}
		}
		return no
	}
}

// number is an integer expression, ready.
type number func(*machine) (int64, bool)

func newNumber(n *node) number {
	switch n.op {
	case opConst:
		return func(*machine) (int64, bool) { return n.num, true }
	case opFilesize:
		return func(m *machine) (int64, bool) { return m.size, true }
	case opRead:
		if n.a.op == opConst {
			r, at := readers[n.num].reader, n.a.num
			return func(m *machine) (int64, bool) { return m.read(r, at) }
		}
	case opAdd, opSub:
		a, b := newNumber(n.a), newNumber(n.b)
		return func(m *machine) (int64, bool) {
			x, ok := a(m)
			y, both := b(m)
			if !ok || !both {
				return 0, false
			}
			return arithmetic(n.op, x, y)
		}
	}
	return func(m *machine) (int64, bool) { return m.integer(n) }
}

func checkNumbers(n *node) check {
	if n.a.op == opFilesize && n.b.op == opConst {
		return func(m *machine) truth { return truthOf(order(n.op, compareInt(m.size, n.b.num))) }
	}
	a, b := newNumber(n.a), newNumber(n.b)
	return func(m *machine) truth {
		x, ok := a(m)
		y, both := b(m)
		if !ok || !both {
			return undefined
		}
		return truthOf(order(n.op, compareInt(x, y)))
	}
}

// checkText compares what is known of a file beside its content with a constant.
func checkText(n *node) check {
	which, text := n.a.num, n.b.text
	if n.fold {
		small := []byte(text)
		foldASCII(small)
		compare := map[op]func(a, b []byte) bool{opContains: bytes.Contains, opStarts: bytes.HasPrefix, opEnds: bytes.HasSuffix, opIEquals: bytes.Equal}[n.op]
		return func(m *machine) truth {
			if !m.known[which] {
				return undefined
			}
			return truthOf(compare(m.small(which), small))
		}
	}
	compare := map[op]func(a, b string) bool{opContains: strings.Contains, opStarts: strings.HasPrefix, opEnds: strings.HasSuffix, opIEquals: func(a, b string) bool { return a == b }}[n.op]
	return func(m *machine) truth {
		if !m.known[which] {
			return undefined
		}
		return truthOf(compare(m.external[which], text))
	}
}

// checkTexts makes one check of all alternatives that look for a text without case in the
// same variable, such as a name that has one of many endings, and gives the others.
func checkTexts(alternatives []*node) (list []check, rest []*node) {
	var texts [len(machine{}.known)][][]byte
	for _, n := range alternatives {
		if n.op == opContains && n.fold && n.a.op == opExternal && n.b.op == opConst && n.b.text != "" {
			small := []byte(n.b.text)
			foldASCII(small)
			texts[n.a.num] = append(texts[n.a.num], small)
		} else {
			rest = append(rest, n)
		}
	}
	for which, all := range texts {
		if len(all) > 0 {
			list = append(list, checkAnyText(int64(which), all))
		}
	}
	return list, rest
}

// checkAnyText looks once through a variable for several texts. One that is not known
// holds none, as an alternative that is undefined decides nothing.
func checkAnyText(which int64, texts [][]byte) check {
	var begins [256]bool
	for _, t := range texts {
		begins[t[0]] = true
	}
	return func(m *machine) truth {
		if !m.known[which] {
			return no
		}
		in := m.small(which)
		for i, c := range in {
			if !begins[c] {
				continue
			}
			for _, t := range texts {
				if bytes.HasPrefix(in[i:], t) {
					return yes
				}
			}
		}
		return no
	}
}

// small gives an external variable with small letters, made once a file.
func (m *machine) small(which int64) []byte {
	s := &m.folded[which]
	if !s.made {
		s.text = append(s.text[:0], m.external[which]...)
		foldASCII(s.text)
		s.made = true
	}
	return s.text
}

// checkWindow looks for a text that begins at one of some places.
func checkWindow(n *node) check {
	from, to := newNumber(n.a), newNumber(n.b)
	text := []byte(n.text)
	return func(m *machine) truth {
		first, ok := from(m)
		last, both := to(m)
		return m.window(n, text, first, last, ok && both)
	}
}
