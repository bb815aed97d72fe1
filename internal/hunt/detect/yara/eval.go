package yara

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"

	"postern/internal/hunt/detect/yara/module"
	"postern/internal/hunt/detect/yara/pattern"
)

// Bounds of evaluation. A rule that runs into one is reported as not evaluated for
// the file.
const (
	// maxSteps of one rule on one file: a step is one operation of a condition, of
	// which a machine does some fifty million a second. The costliest rule of
	// signature-base needs some 100,000.
	maxSteps = 20_000_000
	// maxFileSteps of all rules on one file.
	maxFileSteps = 100_000_000
	// askEvery is how many steps pass between two looks at the clock.
	askEvery = 1 << 16
)

// truth is what a boolean expression gives: YARA's conditions know a third value,
// that of what cannot be asked of this file.
type truth int8

const (
	no truth = iota
	yes
	undefined
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// machine evaluates conditions on one file.
type machine struct {
	ctx     context.Context
	data    []byte // the file, or its beginning
	size    int64
	file    *module.File
	entry   startPlace
	matches *pattern.Matches
	// external variables in the order of externals; known says which have a value.
	external [5]string
	known    [5]bool
	folded   [5]small

	matched []bool // by index of the rule
	rule    *rule  // whose condition is evaluated
	vars    []module.Value
	self    int32 // string of the loop around

	steps     int // of this rule
	fileSteps int // of the rules before
	over      bool
	// partial is true while only the file's beginning is there: what lies behind it
	// is beyond, and nothing may be concluded.
	partial, beyond bool
}

// small is a text in small letters, if it has been made.
type small struct {
	text []byte
	made bool
}

// eval says whether a rule's condition is true. over is true if the bounds came
// first.
func (m *machine) eval(r *rule) bool {
	m.rule, m.steps, m.over = r, 0, false
	if len(m.vars) < r.vars {
		m.vars = make([]module.Value, r.vars)
	}
	is := m.truth(r.condition)
	m.fileSteps += m.steps
	return is == yes && !m.over
}

// step counts; false if there are to be no more.
func (m *machine) step() bool {
	m.steps++
	if m.steps > maxSteps || m.fileSteps+m.steps > maxFileSteps || m.steps%askEvery == 0 && m.ctx.Err() != nil {
		m.over = true
	}
	return !m.over
}

// at gives the matches of a string of the rule.
func (m *machine) at(str int64) []pattern.Match {
	if str == self {
		str = int64(m.self)
	}
	id := m.rule.strings[str]
	if id < 0 {
		return nil
	}
	return m.matches.Of(id)
}

// truth evaluates an expression as a condition.
func (m *machine) truth(n *node) truth {
	if !m.step() {
		return undefined
	}
	switch n.op {
	case opConst:
		return truthOf(n.num != 0)
	case opNot:
		switch m.truth(n.a) {
		case yes:
			return no
		case no:
			return yes
		}
		return undefined
	case opAnd: // undefined counts as false, as in libyara
		for _, x := range n.list {
			if m.truth(x) != yes {
				return no
			}
		}
		return yes
	case opOr:
		for _, x := range n.list {
			if m.truth(x) == yes {
				return yes
			}
		}
		return no
	case opDefined:
		return truthOf(m.defined(n.a))
	case opTruth:
		return m.truthOfValue(n.a)
	case opRule:
		return truthOf(m.matched[n.num])
	case opBytesAt:
		return m.bytesAt(n)
	case opBytesIn:
		return m.bytesIn(n)
	case opEqual, opNotEqual, opLess, opLessEqual, opGreater, opGreaterEqual:
		return m.compare(n)
	case opContains, opStarts, opEnds, opIEquals, opMatches:
		return m.compareText(n)
	case opFound:
		return truthOf(len(m.at(n.num)) > 0)
	case opFoundAt:
		at, ok := m.integer(n.a)
		return truthOf(ok && foundAt(m.at(n.num), at))
	case opFoundIn:
		from, to, ok := m.between(n)
		if !ok {
			return undefined
		}
		return truthOf(countIn(m.at(n.num), from, to, 1) > 0)
	case opOf, opOfAt, opOfIn, opOfRule:
		return m.of(n)
	case opForOf:
		return m.forEachString(n)
	case opForRange, opForEnum, opForArray, opForDict:
		return m.forEach(n)
	}
	return undefined
}

func (m *machine) truthOfValue(n *node) truth {
	switch n.typ {
	case typInt:
		if i, ok := m.integer(n); ok {
			return truthOf(i != 0)
		}
	case typFloat:
		if f, ok := m.float(n); ok {
			return truthOf(math.Float64bits(f) != 0) // -0.0 is true, as in libyara
		}
	case typText:
		if s, ok := m.text(n); ok {
			return truthOf(s != "")
		}
	}
	return undefined
}

func (m *machine) defined(n *node) bool {
	switch n.typ {
	case typBool:
		return m.truth(n) != undefined
	case typInt:
		_, ok := m.integer(n)
		return ok
	case typFloat:
		_, ok := m.float(n)
		return ok
	case typText:
		_, ok := m.text(n)
		return ok
	}
	return m.object(n).Defined()
}

func (m *machine) compare(n *node) truth {
	switch n.a.typ {
	case typInt:
		a, ok := m.integer(n.a)
		b, both := m.integer(n.b)
		if !ok || !both {
			return undefined
		}
		switch n.op {
		case opEqual:
			return truthOf(a == b)
		case opNotEqual:
			return truthOf(a != b)
		}
		return truthOf(order(n.op, compareInt(a, b)))
	case typFloat:
		a, ok := m.float(n.a)
		b, both := m.float(n.b)
		if !ok || !both {
			if n.op == opLess { // libyara's own exception
				return no
			}
			return undefined
		}
		return truthOf(orderFloat(n.op, a, b))
	}
	a, ok := m.text(n.a)
	b, both := m.text(n.b)
	if !ok || !both {
		return undefined
	}
	return truthOf(order(n.op, signedLess(a, b)))
}

func compareInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func order(o op, cmp int) bool {
	switch o {
	case opEqual:
		return cmp == 0
	case opNotEqual:
		return cmp != 0
	case opLess:
		return cmp < 0
	case opLessEqual:
		return cmp <= 0
	case opGreater:
		return cmp > 0
	}
	return cmp >= 0
}

func orderFloat(o op, a, b float64) bool {
	switch o {
	case opEqual:
		return math.Abs(a-b) < epsilon
	case opNotEqual:
		return math.Abs(a-b) >= epsilon
	case opLess:
		return a < b
	case opLessEqual:
		return a <= b
	case opGreater:
		return a > b
	}
	return a >= b
}

func (m *machine) compareText(n *node) truth {
	if n.op == opMatches {
		a, ok := m.text(n.a)
		if !ok {
			return undefined
		}
		m.steps += len(a)
		return truthOf(a != "" && n.b.re.Match([]byte(a)))
	}
	a, ok := m.text(n.a)
	b, both := m.text(n.b)
	if !ok || !both {
		return undefined
	}
	m.steps += len(a) / 8
	// What rules ask so is mostly the name of a file, and each is asked by many rules: it
	// is not kept for garbage.
	var bufA, bufB [256]byte
	x, y := append(bufA[:0], a...), append(bufB[:0], b...)
	if n.fold {
		foldASCII(x)
		foldASCII(y)
	}
	switch n.op {
	case opContains:
		return truthOf(bytes.Contains(x, y))
	case opStarts:
		return truthOf(bytes.HasPrefix(x, y))
	case opEnds:
		return truthOf(bytes.HasSuffix(x, y))
	}
	return truthOf(bytes.Equal(x, y))
}

// foldASCII makes the letters of ASCII small and changes nothing else.
func foldASCII(b []byte) {
	for i, c := range b {
		b[i] = lowerByte(c)
	}
}

func (m *machine) integer(n *node) (int64, bool) {
	if !m.step() {
		return 0, false
	}
	switch n.op {
	case opConst:
		return n.num, true
	case opFilesize:
		return m.size, true
	case opEntrypoint:
		return m.entrypoint()
	case opRead:
		at, ok := m.integer(n.a)
		if !ok {
			return 0, false
		}
		return m.read(readers[n.num].reader, at)
	case opCount:
		return int64(len(m.at(n.num))), true
	case opCountIn:
		from, to, ok := m.between(n)
		if !ok {
			return 0, false
		}
		return int64(countIn(m.at(n.num), from, to, math.MaxInt)), true
	case opOffset, opLength:
		i, ok := m.integer(n.a)
		found := m.at(n.num)
		if !ok || i < 1 || i > int64(len(found)) {
			return 0, false
		}
		if n.op == opLength {
			return int64(found[i-1].Length), true
		}
		return int64(found[i-1].Offset), true
	case opNegate:
		a, ok := m.integer(n.a)
		return -a, ok
	case opComplement:
		a, ok := m.integer(n.a)
		return ^a, ok
	case opAdd, opSub, opMul, opDiv, opMod, opBitAnd, opBitOr, opBitXor, opShiftLeft, opShiftRight:
		a, ok := m.integer(n.a)
		b, both := m.integer(n.b)
		if !ok || !both {
			return 0, false
		}
		return arithmetic(n.op, a, b)
	}
	v := m.object(n)
	if v.Type() != module.Int && v.Type() != module.Bool {
		return 0, false
	}
	return v.Int(), true
}

// arithmetic is that of 64 bits that wrap round. What has no result is undefined.
func arithmetic(o op, a, b int64) (int64, bool) {
	switch o {
	case opAdd:
		return a + b, true
	case opSub:
		return a - b, true
	case opMul:
		return a * b, true
	case opDiv:
		if b == 0 {
			return 0, false
		}
		return a / b, true
	case opMod:
		if b == 0 {
			return 0, false
		}
		return a % b, true
	case opBitAnd:
		return a & b, true
	case opBitOr:
		return a | b, true
	case opBitXor:
		return a ^ b, true
	}
	switch {
	case b < 0:
		return 0, false
	case b >= 64:
		return 0, true
	case o == opShiftLeft:
		return a << b, true
	}
	return a >> b, true
}

// read reads an integer from the file; beyond its ends is undefined.
func (m *machine) read(r reader, at int64) (int64, bool) {
	if at < 0 || at > m.size-int64(r.size) {
		return 0, false
	}
	if at > int64(len(m.data)-r.size) {
		m.beyond = true
		return 0, false
	}
	b := m.data[at : at+int64(r.size)]
	var order binary.ByteOrder = binary.LittleEndian
	if r.bigEndian {
		order = binary.BigEndian
	}
	switch {
	case r.size == 1 && r.signed:
		return int64(int8(b[0])), true
	case r.size == 1:
		return int64(b[0]), true
	case r.size == 2 && r.signed:
		return int64(int16(order.Uint16(b))), true
	case r.size == 2:
		return int64(order.Uint16(b)), true
	case r.signed:
		return int64(int32(order.Uint32(b))), true
	}
	return int64(order.Uint32(b)), true
}

func (m *machine) bytesAt(n *node) truth {
	end := n.num + int64(len(n.text))
	switch {
	case end > m.size:
		return no
	case end > int64(len(m.data)):
		m.beyond = true
		return undefined
	}
	l := literal{n.text, n.fold}
	return truthOf(l.is(m.data[n.num:end]))
}

// maxWindow is how many places are looked at for a text without case; more count as
// having it.
const maxWindow = 4096

// bytesIn says whether a text begins at one of some places.
func (m *machine) bytesIn(n *node) truth {
	from, to, ok := m.between(n)
	return m.window(n, []byte(n.text), from, to, ok)
}

// window is bytesIn for places that are known; ok is false if they are undefined.
func (m *machine) window(n *node, text []byte, from, to int64, ok bool) truth {
	if !ok || to < 0 || from > to {
		return no
	}
	from = max(from, 0)
	end := min(to, m.size) + int64(len(n.text))
	if from >= m.size {
		return no
	}
	if end > int64(len(m.data)) && int64(len(m.data)) < m.size {
		m.beyond = true
		return undefined
	}
	window := m.data[from:min(end, int64(len(m.data)))]
	if !n.fold {
		return truthOf(bytes.Contains(window, text))
	}
	if len(window) > maxWindow {
		return yes
	}
	l := literal{n.text, true}
	for i := 0; i+len(n.text) <= len(window); i++ {
		if l.is(window[i : i+len(n.text)]) {
			return yes
		}
	}
	return no
}

func (m *machine) between(n *node) (from, to int64, ok bool) {
	from, ok = m.integer(n.a)
	to, both := m.integer(n.b)
	return from, to, ok && both
}

func foundAt(found []pattern.Match, at int64) bool {
	for i := range found {
		if o := int64(found[i].Offset); o >= at {
			return o == at
		}
	}
	return false
}

// countIn counts the matches that begin from one offset to another, both included,
// up to a bound.
func countIn(found []pattern.Match, from, to int64, most int) int {
	n := 0
	for i := range found {
		o := int64(found[i].Offset)
		if o > to || n == most {
			break
		}
		if o >= from {
			n++
		}
	}
	return n
}

func (m *machine) float(n *node) (float64, bool) {
	if !m.step() {
		return 0, false
	}
	switch n.op {
	case opConst:
		return n.float, true
	case opToFloat:
		i, ok := m.integer(n.a)
		return float64(i), ok
	case opNegate:
		f, ok := m.float(n.a)
		return -f, ok
	case opAdd, opSub, opMul, opDiv:
		a, ok := m.float(n.a)
		b, both := m.float(n.b)
		if !ok || !both {
			return 0, false
		}
		switch n.op {
		case opAdd:
			return a + b, true
		case opSub:
			return a - b, true
		case opMul:
			return a * b, true
		}
		return a / b, true
	}
	v := m.object(n)
	if v.Type() != module.Float || math.IsNaN(v.Float()) {
		return 0, false
	}
	return v.Float(), true
}

func (m *machine) text(n *node) (string, bool) {
	if !m.step() {
		return "", false
	}
	switch n.op {
	case opConst:
		return n.text, true
	case opExternal:
		return m.external[n.num], m.known[n.num]
	}
	v := m.object(n)
	return v.Text(), v.Type() == module.String
}

// object evaluates what comes out of modules and the variables of loops.
func (m *machine) object(n *node) module.Value {
	if !m.step() {
		return module.Value{}
	}
	switch n.op {
	case opVar:
		return m.vars[n.num]
	case opModule:
		return n.mod.Load(m.file)
	case opField:
		return m.object(n.a).Get(n.decl)
	case opIndex:
		of := m.object(n.a)
		if i, ok := m.integer(n.b); ok {
			return of.Index(i)
		}
	case opKey:
		of := m.object(n.a)
		if key, ok := m.text(n.b); ok {
			return of.Key(key)
		}
	case opCall:
		return m.call(n)
	}
	return module.Value{}
}

func (m *machine) call(n *node) module.Value {
	f := m.object(n.a)
	args := make([]module.Value, len(n.list))
	for i, x := range n.list {
		if args[i] = m.argument(x); !args[i].Defined() {
			return module.Value{}
		}
	}
	// A function may read the whole file, as math.entropy and hash.md5 do.
	m.steps += len(m.data) / 16
	if !m.step() {
		return module.Value{}
	}
	return f.Call(int(n.num), args...)
}

func (m *machine) argument(n *node) module.Value {
	switch n.typ {
	case typBool:
		switch m.truth(n) {
		case yes:
			return module.BoolValue(true)
		case no:
			return module.BoolValue(false)
		}
	case typInt:
		if i, ok := m.integer(n); ok {
			return module.IntValue(i)
		}
	case typFloat:
		if f, ok := m.float(n); ok {
			return module.FloatValue(f)
		}
	case typText:
		if s, ok := m.text(n); ok {
			return module.StringValue(s)
		}
	case typRegexp:
		return module.RegexpValue(matcher{n.re})
	default:
		return m.object(n)
	}
	return module.Value{}
}

// matcher is a regular expression as functions of modules want it.
type matcher struct{ re *pattern.Regexp }

// MatchLen gives 1 for any match: functions ask for no more than whether there is
// one that is not empty.
func (m matcher) MatchLen(text []byte) int {
	if m.re.Match(text) {
		return 1
	}
	return -1
}

// of evaluates "N of a set": how many of its strings are found, or of its rules
// true.
func (m *machine) of(n *node) truth {
	var from, to int64
	switch n.op {
	case opOfAt:
		at, ok := m.integer(n.a)
		if !ok {
			return undefined
		}
		from, to = at, at
	case opOfIn:
		var ok bool
		if from, to, ok = m.between(n); !ok {
			return undefined
		}
	}
	m.steps += len(n.set)
	count := 0
	for _, s := range n.set {
		var is bool
		switch n.op {
		case opOf:
			is = len(m.at(int64(s))) > 0
		case opOfRule:
			is = m.matched[s]
		default:
			is = countIn(m.at(int64(s)), from, to, 1) > 0
		}
		if is {
			count++
		}
	}
	switch n.quant.kind {
	case quantAll:
		return truthOf(count >= len(n.set))
	case quantNone:
		return truthOf(count == 0)
	}
	want, ok := m.integer(n.quant.n)
	switch {
	case n.quant.kind == quantPercent && !ok:
		return undefined
	case n.quant.kind == quantPercent:
		return truthOf(float64(count)/float64(len(n.set))*100 >= float64(want))
	case !ok: // libyara takes an undefined number for "all"
		return truthOf(count >= len(n.set))
	case want == 0:
		return truthOf(count == 0)
	}
	return truthOf(int64(count) >= want)
}

// tally counts the rounds of a loop against its quantifier.
type tally struct {
	kind          quantKind
	want          int64
	rounds, count int64
}

func (m *machine) tally(q quant) tally {
	t := tally{kind: q.kind}
	if q.n != nil {
		var ok bool
		if t.want, ok = m.integer(q.n); !ok {
			t.kind = quantAll
		} else if t.want == 0 {
			t.kind = quantNone
		}
	}
	return t
}

// add counts a round; true if the outcome is known.
func (t *tally) add(is truth) bool {
	t.rounds++
	if is == yes {
		t.count++
	}
	switch t.kind {
	case quantAll:
		return is != yes
	case quantNone:
		return is == yes
	}
	return t.count >= t.want
}

// result: a loop without a round is never true.
func (t *tally) result() truth {
	switch {
	case t.rounds == 0:
		return no
	case t.kind == quantAll:
		return truthOf(t.count == t.rounds)
	case t.kind == quantNone:
		return truthOf(t.count == 0)
	}
	return truthOf(t.count >= t.want)
}

func (m *machine) forEachString(n *node) truth {
	t := m.tally(n.quant)
	outer := m.self
	for _, s := range n.set {
		m.self = s
		if t.add(m.truth(n.a)) || m.over {
			break
		}
	}
	m.self = outer
	return t.result()
}

func (m *machine) forEach(n *node) truth {
	t := m.tally(n.quant)
	switch n.op {
	case opForRange:
		from, ok := m.integer(n.list[0])
		to, both := m.integer(n.list[1])
		if !ok || !both {
			return no
		}
		for i := from; i <= to; i++ {
			m.vars[n.num] = module.IntValue(i)
			if t.add(m.truth(n.a)) || m.over || i == math.MaxInt64 {
				break
			}
		}
	case opForEnum:
		for _, x := range n.list {
			m.vars[n.num] = m.argument(x)
			if t.add(m.truth(n.a)) || m.over {
				break
			}
		}
	case opForArray:
		of := m.object(n.b)
		for i := range of.Len() {
			m.vars[n.num] = of.Index(int64(i))
			if t.add(m.truth(n.a)) || m.over {
				break
			}
		}
	case opForDict:
		of := m.object(n.b)
		for i := range of.Len() {
			key, value := of.Entry(i)
			m.vars[n.num], m.vars[n.num+1] = module.StringValue(key), value
			if t.add(m.truth(n.a)) || m.over {
				break
			}
		}
	}
	return t.result()
}
