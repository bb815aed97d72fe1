package yara

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/VirusTotal/gyp/ast"

	"postern/internal/hunt/detect/yara/pattern"
)

// A clause is strings of which at least one is found wherever a condition is true.
// A condition can be true only where each of its clauses has such a string; what
// has no clause can be true anywhere. A string that must be at a certain place stands
// there as the atom that looks at this place: see atomID.
type clause []pattern.ID

// selfID stands in a clause for the string of the loop around.
const selfID pattern.ID = -2

// atomID stands in a clause for an atom of the index, atomOf gives it back.
func atomID(atom int32) pattern.ID { return pattern.ID(-10 - atom) }

func atomOf(id pattern.ID) (atom int32, is bool) { return int32(-10 - id), id <= -10 }

// needs derives the clauses of a condition.
type needs struct {
	strings *pattern.Set
	sources map[pattern.ID]ast.String
	atom    func(*node) int32 // gives an atom its number
	clauses [][]clause        // of the rules before
	rule    *rule
	weak    map[pattern.ID]bool // atoms that hold for nearly every file
}

// price is what it takes to look for a clause: the kind of its costliest string, and
// how many places of a file have to be looked at for all of them.
type price struct {
	kind int
	rate float64
}

func (a *needs) price(c clause) price {
	var p price
	for _, id := range c {
		if id >= 0 {
			p.kind = max(p.kind, a.strings.Cost(id))
			p.rate += a.strings.Rate(id)
		} else if a.weak[id] {
			p.kind = weakest
		} else if _, is := atomOf(id); is {
			p.rate += atomRate
		}
	}
	return p
}

// atomRate makes a clause of strings alone the gate where there is one as cheap: an
// atom is asked of every file.
const atomRate = 1e-6

// weakest is the kind of clauses that rule out few files: they are asked last.
const weakest = 4

func (p price) compare(o price) int {
	return cmp.Or(cmp.Compare(p.kind, o.kind), cmp.Compare(p.rate, o.rate))
}

// id gives the string of the rule; false for one that the set does not have.
func (a *needs) id(str int64) clause {
	if str == self {
		return clause{selfID}
	}
	return clause{a.rule.strings[str]}
}

// truth gives what is found wherever n is true.
func (a *needs) truth(n *node) []clause {
	switch n.op {
	case opFoundAt, opFoundIn:
		if c := a.placed(n); c != nil {
			return []clause{c}
		}
		return append([]clause{a.id(n.num)}, a.parts(n)...)
	case opFound:
		return []clause{a.id(n.num)}
	case opTruth:
		if n.a.op == opCount || n.a.op == opCountIn {
			return append([]clause{a.id(n.a.num)}, a.defined(n.a)...)
		}
		return a.defined(n.a)
	case opDefined:
		return a.defined(n.a)
	case opEqual, opNotEqual, opLess, opLessEqual, opGreater, opGreaterEqual:
		all := slices.Concat(a.defined(n.a), a.defined(n.b))
		if c := a.counted(n); c != nil {
			all = append(all, c)
		}
		return all
	case opAnd:
		var all []clause
		for _, x := range n.list {
			all = append(all, a.truth(x)...)
		}
		return all
	case opOr:
		var options [][]clause
		for _, x := range n.list {
			options = append(options, a.truth(x))
		}
		return a.either(options)
	case opNot:
		if c := a.absent(n.a); c != nil {
			return []clause{c}
		}
	case opRule:
		return a.clauses[n.num]
	case opOf, opOfAt, opOfIn:
		var options [][]clause
		for _, s := range n.set {
			options = append(options, []clause{a.id(int64(s))})
		}
		return append(a.quantified(n.quant, options), a.parts(n)...)
	case opOfRule:
		var options [][]clause
		for _, r := range n.set {
			options = append(options, a.clauses[r])
		}
		return a.quantified(n.quant, options)
	case opForOf:
		return a.eachString(n)
	case opForRange, opForEnum, opForArray, opForDict:
		// A loop that is true had a round whose body was, unless none was asked for.
		if n.quant.some() {
			return a.truth(n.a)
		}
	}
	return nil
}

// some says whether a quantifier is met only by at least one.
func (q quant) some() bool {
	switch q.kind {
	case quantAll:
		return true
	case quantNone:
		return false
	}
	return q.n.op == opConst && q.n.num > 0
}

// quantified gives the clauses of a set of options of which a number is true.
func (a *needs) quantified(q quant, options [][]clause) []clause {
	switch {
	case !q.some():
		return nil
	case q.kind == quantAll:
		return slices.Concat(options...)
	case q.kind == quantCount && q.n.num > 1 && q.n.num <= int64(len(options)):
		// If three of five are true, one of any three is.
		return a.either(options[q.n.num-1:])
	}
	return a.either(options)
}

// eachString is quantified for a loop over strings.
func (a *needs) eachString(n *node) []clause {
	var options [][]clause
	body := a.truth(n.a)
	for _, s := range n.set {
		var option []clause
		for _, c := range body {
			if i := slices.Index(c, selfID); i >= 0 {
				c = slices.Clone(c)
				c[i] = a.id(int64(s))[0]
			}
			option = append(option, c)
		}
		options = append(options, option)
	}
	return a.quantified(n.quant, options)
}

// maxEither is how many clauses are made of alternatives: the second and third catch
// what the first lets through.
const maxEither = 3

// either gives clauses of options of which at least one holds, none at all if one
// option has no clause. The first is made of the cheapest clause of each option, the
// next of those that come after: whichever option holds, all its clauses do.
func (a *needs) either(options [][]clause) []clause {
	most := 0
	for i, o := range options {
		if len(o) == 0 {
			return nil
		}
		options[i] = slices.SortedFunc(slices.Values(o), func(x, y clause) int { return a.price(x).compare(a.price(y)) })
		most = max(most, len(o))
	}
	var all []clause
	for k := range min(most, maxEither) {
		var c clause
		for _, o := range options {
			c = append(c, o[min(k, len(o)-1)]...)
		}
		slices.Sort(c)
		all = append(all, slices.Compact(c))
	}
	return all
}

// counted gives the string of a comparison of its count that 0 does not satisfy.
func (a *needs) counted(n *node) clause {
	count, number, o := n.a, n.b, n.op
	if number.op == opCount || number.op == opCountIn {
		count, number = number, count
		o = mirrored(o)
	}
	if count.op != opCount && count.op != opCountIn || number.op != opConst || number.typ != typInt {
		return nil
	}
	if order(o, compareInt(0, number.num)) {
		return nil
	}
	return a.id(count.num)
}

func mirrored(o op) op {
	switch o {
	case opLess:
		return opGreater
	case opLessEqual:
		return opGreaterEqual
	case opGreater:
		return opLess
	case opGreaterEqual:
		return opLessEqual
	}
	return o
}

// parts gives what is found wherever the operands of n are defined.
func (a *needs) parts(n *node) []clause {
	var all []clause
	if n.a != nil {
		all = a.defined(n.a)
	}
	if n.b != nil {
		all = append(all, a.defined(n.b)...)
	}
	return all
}

// defined gives what is found wherever a number is defined.
func (a *needs) defined(n *node) []clause {
	switch n.op {
	case opOffset, opLength:
		return append([]clause{a.id(n.num)}, a.defined(n.a)...)
	case opCountIn, opRead, opNegate, opComplement, opToFloat,
		opAdd, opSub, opMul, opDiv, opMod, opBitAnd, opBitOr, opBitXor, opShiftLeft, opShiftRight:
		return a.parts(n)
	}
	return nil
}

// guard gives a condition without strings, modules and loops that is true wherever
// n is, nil if there is none but "true".
func (a *needs) guard(n *node, guards []*node) *node {
	if cheap(n) {
		return n
	}
	switch n.op {
	case opAnd:
		all := &node{op: opAnd}
		for _, x := range n.list {
			if g := a.guard(x, guards); g != nil {
				all.list = append(all.list, g)
			}
		}
		if len(all.list) > 0 {
			return all
		}
	case opOr:
		any := &node{op: opOr}
		for _, x := range n.list {
			g := a.guard(x, guards)
			if g == nil {
				return nil
			}
			any.list = append(any.list, g)
		}
		return any
	case opRule:
		return guards[n.num]
	case opFoundAt:
		return a.beginning(n)
	}
	return nil
}

// placed gives the clause of a plain string at a place, or within places, that are
// cheap to compute: one look at them.
func (a *needs) placed(n *node) clause {
	if n.num == self || !cheap(n.a) || n.b != nil && !cheap(n.b) {
		return nil
	}
	to := n.b
	if to == nil {
		to = n.a
	}
	any := &node{op: opOr}
	for _, l := range plain(a.sources[a.rule.strings[n.num]]) {
		any.list = append(any.list, &node{op: opBytesIn, a: n.a, b: to, text: l.text, fold: l.fold})
	}
	if len(any.list) == 0 {
		return nil
	}
	return clause{atomID(a.atom(any))}
}

// maxBegin is the last place at which absent looks for a string: behind a byte order mark.
const maxBegin = 3

// absent gives the clause of strings none of which may be found: what looks like the
// beginning of a file does not stand there. Rules about one kind of page leave out the
// others so, and each XML file begins as a page of PHP does.
func (a *needs) absent(n *node) clause {
	var set []int32
	switch {
	case n.op == opFound && n.num != self:
		set = []int32{int32(n.num)}
	case n.op == opOf && n.quant.kind == quantCount && n.quant.n.op == opConst && n.quant.n.num == 1:
		set = n.set
	}
	none := &node{op: opAnd}
	for _, str := range set {
		source, ok := a.sources[a.rule.strings[str]].(*ast.TextString)
		if !ok || source.Fullword {
			continue
		}
		for _, l := range plain(source) {
			if l.text[0] == '<' {
				in := &node{op: opBytesIn, a: &node{typ: typInt}, b: &node{typ: typInt, num: maxBegin}, text: l.text, fold: l.fold}
				none.list = append(none.list, &node{op: opNot, a: in})
			}
		}
	}
	if len(none.list) == 0 {
		return nil
	}
	id := atomID(a.atom(none))
	a.weak[id] = true
	return clause{id}
}

// beginning gives a guard for a plain string at a place that is a number: its bytes
// must be there.
func (a *needs) beginning(n *node) *node {
	if n.num == self || n.a.op != opConst || n.a.num < 0 {
		return nil
	}
	var any *node
	for _, l := range plain(a.sources[a.rule.strings[n.num]]) {
		g := &node{op: opBytesAt, num: n.a.num, text: l.text, fold: l.fold}
		if any == nil {
			any = &node{op: opOr}
		}
		any.list = append(any.list, g)
	}
	return any
}

// maxCheap bounds how much a guard may cost, in operations.
const maxCheap = 200

// cheap says whether an expression asks only for the file's size, its beginning, its
// name and constants.
func cheap(n *node) bool {
	count := 0
	return cheapIn(n, &count)
}

func cheapIn(n *node, count *int) bool {
	if *count++; *count > maxCheap {
		return false
	}
	switch n.op {
	case opConst, opFilesize, opExternal, opRegexp, opBytesAt:
		return true
	case opRead, opNot, opDefined, opAnd, opOr, opTruth, opNegate, opComplement, opAdd, opSub, opMul, opDiv, opMod,
		opBitAnd, opBitOr, opBitXor, opShiftLeft, opShiftRight, opToFloat, opEqual, opNotEqual, opLess, opLessEqual,
		opGreater, opGreaterEqual, opContains, opStarts, opEnds, opIEquals, opMatches:
	default:
		return false
	}
	if n.a != nil && !cheapIn(n.a, count) || n.b != nil && !cheapIn(n.b, count) {
		return false
	}
	for _, x := range n.list {
		if !cheapIn(x, count) {
			return false
		}
	}
	return true
}

// key writes an expression so that equal ones are equal texts.
func key(n *node, b *strings.Builder) {
	fmt.Fprintf(b, "(%d %d %d %g %q %t", n.op, n.typ, n.num, n.float, n.text, n.fold)
	if n.a != nil {
		key(n.a, b)
	}
	if n.b != nil {
		b.WriteByte(',')
		key(n.b, b)
	}
	for _, x := range n.list {
		b.WriteByte(';')
		key(x, b)
	}
	b.WriteByte(')')
}
