package yara

import (
	"postern/internal/hunt/detect/yara/module"
	"postern/internal/hunt/detect/yara/pattern"
)

// node is one operation of a condition, with its type known.
type node struct {
	op   op
	typ  typ
	a, b *node
	list []*node // and, or: operands; calls: arguments; enumerations: elements
	// num is an integer constant, a variable, a rule, the overload of a call, an
	// external variable, or the string of the rule that is meant (self: the one of
	// the loop around).
	num   int64
	float float64
	text  string
	set   []int32 // strings of the rule, or rules, that a set names
	quant quant
	re    *pattern.Regexp
	mod   *module.Module
	decl  *module.Decl
	fold  bool // of the comparisons of text: without case
}

// self stands for the string of the loop around: $, #, @ and ! alone.
const self = -1

// typ is the static type of an expression.
type typ uint8

const (
	typBool typ = iota
	typInt
	typFloat
	typText
	typRegexp
	typObject // a structure, array, dictionary or function of a module
)

func (t typ) String() string {
	return [...]string{"boolean", "integer", "float", "string", "regexp", "structure"}[t]
}

// quant is how many of a set are asked for.
type quant struct {
	kind quantKind
	n    *node // of quantCount and quantPercent
}

type quantKind uint8

const (
	quantAll quantKind = iota
	quantCount
	quantNone
	quantPercent
)

type op uint8

const (
	opConst op = iota // of any type but regexp
	opRegexp
	opFilesize
	opEntrypoint
	opExternal // num
	opVar      // num
	opRead     // num: form of reader; a: offset
	opBytesAt  // num: offset; text, fold: only in guards
	opBytesIn  // a, b: from and to; text, fold: only in clauses

	opModule // mod
	opField  // a, decl
	opIndex  // a, b
	opKey    // a, b
	opCall   // a: function, list, num: overload

	opNot
	opDefined
	opAnd
	opOr
	opTruth // a: a number, text or object as a boolean

	opNegate
	opComplement
	opAdd
	opSub
	opMul
	opDiv
	opMod
	opBitAnd
	opBitOr
	opBitXor
	opShiftLeft
	opShiftRight
	opToFloat

	opEqual
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual

	opContains
	opStarts
	opEnds
	opIEquals
	opMatches

	opFound   // num
	opFoundAt // num, a
	opFoundIn // num, a, b
	opCount   // num
	opCountIn // num, a, b
	opOffset  // num, a: index
	opLength  // num, a: index

	opRule   // num
	opOf     // set, quant
	opOfAt   // set, quant, a
	opOfIn   // set, quant, a, b
	opOfRule // set, quant

	opForOf    // set, quant, a: body
	opForRange // quant, num: variable, list: from and to, a: body
	opForEnum  // quant, num: variable, list, a: body
	opForArray // quant, num: variable, b: array, a: body
	opForDict  // quant, num: variable of the key, the next has the value, b, a
)

// reader is one of the functions that read an integer from the file.
type reader struct {
	size      int
	signed    bool
	bigEndian bool
}

var readers = []struct {
	name string
	reader
}{
	{"int8", reader{1, true, false}}, {"int16", reader{2, true, false}}, {"int32", reader{4, true, false}},
	{"uint8", reader{1, false, false}}, {"uint16", reader{2, false, false}}, {"uint32", reader{4, false, false}},
	{"int8be", reader{1, true, true}}, {"int16be", reader{2, true, true}}, {"int32be", reader{4, true, true}},
	{"uint8be", reader{1, false, true}}, {"uint16be", reader{2, false, true}}, {"uint32be", reader{4, false, true}},
}
