package yara

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/VirusTotal/gyp/ast"

	"postern"
	"postern/internal/hunt/detect/yara/module"
	"postern/internal/hunt/detect/yara/pattern"
)

// Bounds of one rule.
const (
	// maxDepth is how deep a condition may be nested; those in use reach 20.
	maxDepth = 400
	// maxLoops is how deep loops may stand in one another; libyara allows 4.
	maxLoops = 8
	// maxStrings of one rule; the largest in use has 4,000.
	maxStrings = 20_000
	// maxNodes of one condition; the largest in use has some 10,000.
	maxNodes = 200_000
)

// externals are the variables that every rule can use, in the order of their
// values in a machine.
var externals = []string{"filename", "filepath", "extension", "filetype", "owner"}

// compiler compiles the rules of all files into one set.
type compiler struct {
	set     *Rules
	report  *Report
	builder *pattern.Builder
	// sources of the strings, by their ID.
	sources map[pattern.ID]ast.String
	called  calledRules
}

// calledRules are the rules that make findings: the first of each text, and of each name.
type calledRules struct {
	texts map[textKey]*Meta
	names map[string]*Meta // by what findings are called
}

// textKey is a rule by all that stands in it.
type textKey [sha256.Size]byte

// scope is the names that a file can use: its own, those of files that it includes,
// and those of the file that includes it.
type scope struct {
	parent  *scope
	names   map[string]entry
	order   []string
	imports map[string]bool
	group   int // files that share global rules
}

// entry is a rule that can be referred to, or could not be loaded.
type entry struct {
	rule    int32
	refused bool
}

func (s *scope) find(name string) (entry, bool) {
	for ; s != nil; s = s.parent {
		if e, ok := s.names[name]; ok {
			return e, true
		}
	}
	return entry{}, false
}

func (s *scope) put(name string, e entry) {
	if _, ok := s.names[name]; !ok {
		s.order = append(s.order, name)
		s.names[name] = e
	}
}

func (s *scope) imported(name string) bool {
	for ; s != nil; s = s.parent {
		if s.imports[name] {
			return true
		}
	}
	return false
}

// files compiles all files, in the order in which they were read; an included one
// where it is included.
func (c *compiler) files(l *loader) {
	done := make(map[*file]*scope)
	for _, pass := range []bool{false, true} { // files that include each other have no first
		for _, f := range l.files {
			if done[f] == nil && (pass || !f.included) {
				c.set.groups++
				c.file(l, f, nil, done)
			}
		}
	}
}

func (c *compiler) file(l *loader, f *file, parent *scope, done map[*file]*scope) {
	s := &scope{parent: parent, names: make(map[string]entry), imports: make(map[string]bool), group: c.set.groups - 1}
	done[f] = s
	c.report.Files++
	if f.refuse != nil {
		c.report.refuse(f.shown, "", *f.refuse)
		return
	}
	for i := range f.items {
		p := &f.items[i]
		switch {
		case p.kind == itemRule:
			c.rule(f, s, p)
		case p.refuse != nil:
			c.report.refuse(f.shown, "", *p.refuse)
		case p.kind == itemImport:
			s.imports[p.name] = true
		case p.kind == itemInclude:
			target, _ := includePath(f.path, p.name)
			in := l.byPath[f.source][target]
			if done[in] == nil {
				c.file(l, in, s, done)
			}
			for _, name := range done[in].order {
				s.put(name, done[in].names[name])
			}
			for name := range done[in].imports {
				s.imports[name] = true
			}
		}
	}
	f.items = nil // the parser's trees are as large as everything else together
}

// rule compiles one rule; what speaks against it goes into the report.
func (c *compiler) rule(f *file, s *scope, p *parsed) {
	c.report.Rules++
	refuse := func(r refusal) {
		c.report.refuse(f.shown, p.name, r)
		s.put(p.name, entry{refused: true})
	}
	if p.refuse != nil {
		refuse(*p.refuse)
		return
	}
	if _, twice := s.find(p.name); twice {
		c.report.refuse(f.shown, p.name, refusal{p.line, postern.Say("yara.twice", "rule", p.name)})
		return
	}
	rc := ruleCompiler{compiler: c, scope: s, rule: p.rule, line: p.rule.LineNo}
	r := rc.compile()
	if rc.refused != nil {
		refuse(*rc.refused)
		return
	}
	r.meta = metaOf(p.rule, f.shown)
	if !r.private {
		c.call(&r.meta, p.sum)
	}
	r.group = int32(s.group)
	if f.source.Pack == nil {
		for _, why := range r.meta.misunderstood() {
			c.report.Remarks = append(c.report.Remarks, Unsupported{File: f.shown, Rule: p.name, Line: r.meta.Line, Why: why})
		}
	} else if said, ok := f.source.Pack.Rules[p.name]; ok {
		r.pack = &said
	}
	r.index = int32(len(c.set.rules))
	c.set.rules = append(c.set.rules, r)
	c.report.Loaded++
	s.put(p.name, entry{rule: r.index})
}

// call decides what the findings of a rule are called. Files do not share names, and each
// match counts, so that different rules have different ones.
func (c *compiler) call(m *Meta, text textKey) {
	m.ID = m.Rule
	had := c.called.names[m.ID]
	if same := c.called.texts[text]; same != nil {
		m.ID = same.ID
		c.report.Again = append(c.report.Again, Again{File: m.File, Line: m.Line, Rule: m.Rule, First: same.File, FirstLine: same.Line})
		return
	}
	if had != nil {
		if m.ID += "@" + m.File; c.called.names[m.ID] != nil {
			m.ID = fmt.Sprintf("%s:%d", m.ID, m.Line)
		}
		c.report.Again = append(c.report.Again, Again{File: m.File, Line: m.Line, Rule: m.Rule, ID: m.ID, First: had.File, FirstLine: had.Line})
	}
	c.called.texts[text], c.called.names[m.ID] = m, m
}

// ruleCompiler compiles one rule. The first thing that speaks against it counts.
type ruleCompiler struct {
	*compiler
	scope   *scope
	rule    *ast.Rule
	line    int // of what is being compiled, as far as the parser kept it
	refused *refusal

	strings []string // identifiers, "" of anonymous ones
	used    []bool
	vars    []variable
	maxVars int
	forOf   int
	depth   int
	nodes   int
}

// variable is one of a loop.
type variable struct {
	name string
	typ  typ
	decl *module.Decl // of typObject
}

func (c *ruleCompiler) fail(why postern.Text) *node {
	if c.refused == nil {
		c.refused = &refusal{c.line, why}
	}
	return &node{op: opConst, typ: typBool}
}

func (c *ruleCompiler) compile() *rule {
	r := &rule{global: c.rule.Global, private: c.rule.Private}
	if len(c.rule.Strings) > maxStrings {
		c.fail(postern.Say("yara.too-many-strings", "max", maxStrings))
		return r
	}
	for _, s := range c.rule.Strings {
		c.strings = append(c.strings, s.GetIdentifier())
	}
	c.used = make([]bool, len(c.strings))
	r.condition = c.truth(c.expr(c.rule.Condition))
	r.vars = c.maxVars
	if c.refused == nil {
		c.addStrings(r)
	}
	return r
}

// addStrings gives the strings that the condition speaks of to the pattern set, once
// it is known that the rest of the rule can be loaded.
func (c *ruleCompiler) addStrings(r *rule) {
	r.strings = make([]pattern.ID, len(c.strings))
	r.names = make([]string, len(c.strings))
	for i, s := range c.rule.Strings {
		r.strings[i] = -1
		if !c.used[i] {
			continue
		}
		id, err := c.addString(s)
		if err != nil {
			c.line = s.GetLineNo()
			c.fail(postern.Say("yara.string", "string", "$"+c.strings[i], "error@", refusedBecause(err)))
			return
		}
		r.strings[i] = id
		c.sources[id] = s
		if !privateString(s) {
			r.names[i] = "$" + c.strings[i]
		}
	}
}

func privateString(s ast.String) bool {
	switch s := s.(type) {
	case *ast.TextString:
		return s.Private
	case *ast.HexString:
		return s.Private
	case *ast.RegexpString:
		return s.Private
	}
	return false
}

func (c *ruleCompiler) addString(s ast.String) (pattern.ID, error) {
	switch s := s.(type) {
	case *ast.TextString:
		alphabet, err := unescape(s.Base64Alphabet)
		if err != nil {
			return 0, err
		}
		value, err := unescape(s.Value)
		if err != nil {
			return 0, err
		}
		return c.builder.Text([]byte(value), pattern.Modifiers{ASCII: s.ASCII, Wide: s.Wide, NoCase: s.Nocase, FullWord: s.Fullword,
			XOR: s.Xor, XORMin: byte(s.XorMin), XORMax: byte(s.XorMax), Base64: s.Base64, Base64Wide: s.Base64Wide, Alphabet: alphabet})
	case *ast.HexString:
		return c.builder.Hex(s.Tokens)
	case *ast.RegexpString:
		return c.builder.Regexp(s.Regexp.Value, s.Regexp.Modifiers&ast.RegexpCaseInsensitive != 0, s.Regexp.Modifiers&ast.RegexpDotAll != 0,
			pattern.Modifiers{ASCII: s.ASCII, Wide: s.Wide, NoCase: s.Nocase, FullWord: s.Fullword})
	}
	return 0, errors.New("a kind of string that is not known")
}

// unescape gives the bytes of a text between quotes.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", errEscape
		}
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case '"', '\\':
			b.WriteByte(s[i])
		case 'x':
			if i+2 >= len(s) || hexDigit(s[i+1]) < 0 || hexDigit(s[i+2]) < 0 {
				return "", errEscape
			}
			b.WriteByte(byte(hexDigit(s[i+1])<<4 | hexDigit(s[i+2])))
			i += 2
		default:
			return "", errEscape
		}
	}
	return b.String(), nil
}

var errEscape = errors.New("a backslash before what it cannot stand before")

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c - 'a' + 10)
	case 'A' <= c && c <= 'F':
		return int(c - 'A' + 10)
	}
	return -1
}

// expr compiles an expression of any type.
func (c *ruleCompiler) expr(e ast.Node) *node {
	c.depth++
	defer func() { c.depth-- }()
	if c.nodes++; c.nodes > maxNodes || c.depth > maxDepth {
		return c.fail(postern.Say("yara.too-complex", "depth", maxDepth, "nodes", maxNodes))
	}
	if c.refused != nil {
		return c.fail(c.refused.why)
	}
	switch e := e.(type) {
	case ast.Keyword:
		return c.keyword(e)
	case *ast.Group:
		return c.expr(e.Expression)
	case *ast.LiteralInteger:
		return integer(e.Value)
	case *ast.LiteralFloat:
		return &node{op: opConst, typ: typFloat, float: e.Value}
	case *ast.LiteralString:
		s, err := unescape(e.Value)
		if err != nil {
			return c.fail(postern.Say("yara.syntax.escape"))
		}
		return &node{op: opConst, typ: typText, text: s}
	case *ast.LiteralRegexp:
		re, err := pattern.CompileRegexp(e.Value, e.Modifiers&ast.RegexpCaseInsensitive != 0, e.Modifiers&ast.RegexpDotAll != 0)
		if err != nil {
			return c.fail(postern.Say("yara.regexp", "error@", refusedBecause(err)))
		}
		return &node{op: opRegexp, typ: typRegexp, re: re, text: e.String()}
	case *ast.Minus:
		a := c.number(c.expr(e.Expression), "-")
		return &node{op: opNegate, typ: a.typ, a: a}
	case *ast.BitwiseNot:
		return &node{op: opComplement, typ: typInt, a: c.integer(c.expr(e.Expression), "~")}
	case *ast.Not:
		return &node{op: opNot, a: c.truth(c.expr(e.Expression))}
	case *ast.Defined:
		return &node{op: opDefined, a: c.expr(e.Expression)}
	case *ast.Operation:
		return c.operation(e)
	case *ast.StringIdentifier:
		return c.found(e)
	case *ast.StringCount:
		n := &node{op: opCount, typ: typInt, num: c.str(e.Identifier)}
		if e.In != nil {
			n.op = opCountIn
			n.a, n.b = c.between(e.In)
		}
		return n
	case *ast.StringOffset:
		return &node{op: opOffset, typ: typInt, num: c.str(e.Identifier), a: c.index(e.Index)}
	case *ast.StringLength:
		return &node{op: opLength, typ: typInt, num: c.str(e.Identifier), a: c.index(e.Index)}
	case *ast.Of:
		return c.of(e)
	case *ast.ForOf:
		return c.forEachString(e)
	case *ast.ForIn:
		return c.forEach(e)
	case *ast.Identifier, *ast.MemberAccess, *ast.Subscripting, *ast.FunctionCall:
		return c.value(e)
	}
	return c.fail(postern.Say("yara.unknown-form"))
}

func integer(i int64) *node { return &node{op: opConst, typ: typInt, num: i} }

func (c *ruleCompiler) keyword(k ast.Keyword) *node {
	switch k {
	case ast.KeywordTrue:
		return &node{op: opConst, typ: typBool, num: 1}
	case ast.KeywordFalse:
		return &node{op: opConst, typ: typBool}
	case ast.KeywordFilesize:
		return &node{op: opFilesize, typ: typInt}
	case ast.KeywordEntrypoint:
		return &node{op: opEntrypoint, typ: typInt}
	}
	return c.fail(postern.Say("yara.unknown-form"))
}

// truth makes a boolean of any value: a number is true unless it is 0, a text unless
// it is empty.
func (c *ruleCompiler) truth(n *node) *node {
	switch n.typ {
	case typBool:
		return n
	case typInt, typFloat, typText:
		return &node{op: opTruth, a: n}
	}
	return c.fail(postern.Say("yara.wrong-type", "got", n.typ, "want", typBool, "where", "condition"))
}

func (c *ruleCompiler) integer(n *node, where string) *node { return c.want(n, typInt, where) }
func (c *ruleCompiler) textual(n *node, where string) *node { return c.want(n, typText, where) }

func (c *ruleCompiler) want(n *node, t typ, where string) *node {
	if n.typ != t {
		return c.fail(postern.Say("yara.wrong-type", "got", n.typ, "want", t, "where", where))
	}
	return n
}

func (c *ruleCompiler) number(n *node, where string) *node {
	if n.typ != typInt && n.typ != typFloat {
		return c.fail(postern.Say("yara.wrong-type", "got", n.typ, "want", typInt, "where", where))
	}
	return n
}

// str gives the string of the rule with an identifier; $ alone is the string of the
// loop.
func (c *ruleCompiler) str(name string) int64 {
	if name == "" {
		if c.forOf == 0 {
			c.fail(postern.Say("yara.self-outside"))
		}
		return self
	}
	i := slices.Index(c.strings, name)
	if i < 0 {
		c.fail(postern.Say("yara.unknown-string", "string", "$"+name))
		return 0
	}
	c.used[i] = true
	return int64(i)
}

func (c *ruleCompiler) index(e ast.Expression) *node {
	if e == nil {
		return integer(1)
	}
	return c.integer(c.expr(e), "[]")
}

func (c *ruleCompiler) between(r *ast.Range) (from, to *node) {
	return c.integer(c.expr(r.Start), ".."), c.integer(c.expr(r.End), "..")
}

func (c *ruleCompiler) found(e *ast.StringIdentifier) *node {
	n := &node{op: opFound, num: c.str(e.Identifier)}
	switch {
	case e.At != nil:
		n.op = opFoundAt
		n.a = c.integer(c.expr(e.At), "at")
	case e.In != nil:
		n.op = opFoundIn
		n.a, n.b = c.between(e.In)
	}
	return n
}

// numeric are the operators of two operands that take numbers.
var numeric = map[ast.OperatorType]op{
	ast.OpAdd: opAdd, ast.OpSub: opSub, ast.OpMul: opMul, ast.OpDiv: opDiv,
	ast.OpEqual: opEqual, ast.OpNotEqual: opNotEqual, ast.OpLessThan: opLess,
	ast.OpLessOrEqual: opLessEqual, ast.OpGreaterThan: opGreater, ast.OpGreaterOrEqual: opGreaterEqual,
}

// integral are those that take integers alone.
var integral = map[ast.OperatorType]op{
	ast.OpMod: opMod, ast.OpBitAnd: opBitAnd, ast.OpBitOr: opBitOr, ast.OpBitXor: opBitXor,
	ast.OpShiftLeft: opShiftLeft, ast.OpShiftRight: opShiftRight,
}

// textual are those that compare texts; fold says whether without case.
var textual = map[ast.OperatorType]struct {
	op   op
	fold bool
}{
	ast.OpContains: {opContains, false}, ast.OpIContains: {opContains, true},
	ast.OpStartsWith: {opStarts, false}, ast.OpIStartsWith: {opStarts, true},
	ast.OpEndsWith: {opEnds, false}, ast.OpIEndsWith: {opEnds, true}, ast.OpIEquals: {opIEquals, true},
}

func (c *ruleCompiler) operation(e *ast.Operation) *node {
	switch e.Operator {
	case ast.OpAnd, ast.OpOr:
		n := &node{op: opAnd}
		if e.Operator == ast.OpOr {
			n.op = opOr
		}
		for _, x := range e.Operands {
			n.list = append(n.list, c.truth(c.expr(x)))
		}
		return n
	}
	// The parser strings equal operators together; they bind to the left.
	n := c.expr(e.Operands[0])
	for _, x := range e.Operands[1:] {
		n = c.pair(e.Operator, n, c.expr(x))
	}
	return n
}

func (c *ruleCompiler) pair(o ast.OperatorType, a, b *node) *node {
	if to, ok := integral[o]; ok {
		return &node{op: to, typ: typInt, a: c.integer(a, string(o)), b: c.integer(b, string(o))}
	}
	if to, ok := textual[o]; ok {
		return &node{op: to.op, fold: to.fold, a: c.textual(a, string(o)), b: c.textual(b, string(o))}
	}
	if o == ast.OpMatches {
		return &node{op: opMatches, a: c.textual(a, "matches"), b: c.want(b, typRegexp, "matches")}
	}
	to, ok := numeric[o]
	if !ok {
		return c.fail(postern.Say("yara.unknown-form"))
	}
	compares := to >= opEqual
	if a.typ == typText && b.typ == typText && compares {
		return &node{op: to, a: a, b: b}
	}
	a, b = c.number(a, string(o)), c.number(b, string(o))
	if a.typ != b.typ {
		a, b = toFloat(a), toFloat(b)
	}
	n := &node{op: to, typ: a.typ, a: a, b: b}
	if compares {
		n.typ = typBool
	}
	return n
}

func toFloat(n *node) *node {
	if n.typ == typFloat {
		return n
	}
	return &node{op: opToFloat, typ: typFloat, a: n}
}

// quantifier compiles what stands before "of" and behind "for".
func (c *ruleCompiler) quantifier(e ast.Expression) quant {
	switch e := e.(type) {
	case ast.Keyword:
		switch e {
		case ast.KeywordAll:
			return quant{kind: quantAll}
		case ast.KeywordNone:
			return quant{kind: quantNone}
		case ast.KeywordAny:
			return quant{quantCount, integer(1)}
		}
	case *ast.Percentage:
		n := c.integer(c.expr(e.Expression), "%")
		if n.op == opConst && (n.num < 1 || n.num > 100) {
			c.fail(postern.Say("yara.percentage", "value", n.num))
		}
		return quant{quantPercent, n}
	}
	return quant{quantCount, c.integer(c.expr(e), "of")}
}

func (c *ruleCompiler) of(e *ast.Of) *node {
	n := &node{op: opOf, quant: c.quantifier(e.Quantifier)}
	switch {
	case e.Rules != nil:
		n.op = opOfRule
		n.set = c.ruleSet(e.Rules)
		return n
	case e.Strings == nil:
		return c.fail(postern.Say("yara.text-set"))
	}
	n.set = c.stringSet(e.Strings)
	switch {
	case e.At != nil:
		n.op = opOfAt
		n.a = c.integer(c.expr(e.At), "at")
	case e.In != nil:
		n.op = opOfIn
		n.a, n.b = c.between(e.In)
	}
	return n
}

// stringSet gives the strings that a set names. One that is named twice counts
// twice, as in libyara.
func (c *ruleCompiler) stringSet(e ast.Node) []int32 {
	var set []int32
	add := func(match func(name string) bool) {
		for i, name := range c.strings {
			if match(name) {
				c.used[i] = true
				set = append(set, int32(i))
			}
		}
	}
	switch e := e.(type) {
	case ast.Keyword: // them
		add(func(string) bool { return true })
	case *ast.Enum:
		for _, x := range e.Values {
			s, ok := x.(*ast.StringIdentifier)
			if !ok {
				c.fail(postern.Say("yara.unknown-form"))
				break
			}
			if prefix, wild := strings.CutSuffix(s.Identifier, "*"); wild {
				add(func(name string) bool { return strings.HasPrefix(name, prefix) })
			} else {
				add(func(name string) bool { return name == s.Identifier })
			}
		}
	}
	if len(set) == 0 {
		c.fail(postern.Say("yara.empty-set"))
	}
	return set
}

func (c *ruleCompiler) ruleSet(e ast.Node) []int32 {
	var set []int32
	enum, ok := e.(*ast.Enum)
	if !ok {
		c.fail(postern.Say("yara.unknown-form"))
		return nil
	}
	for _, x := range enum.Values {
		id, ok := x.(*ast.Identifier)
		if !ok {
			c.fail(postern.Say("yara.unknown-form"))
			return nil
		}
		prefix, wild := strings.CutSuffix(id.Identifier, "*")
		if !wild {
			set = append(set, c.ruleNamed(id.Identifier))
			continue
		}
		for s := c.scope; s != nil; s = s.parent {
			for _, name := range s.order {
				if strings.HasPrefix(name, prefix) {
					set = append(set, c.ruleNamed(name))
				}
			}
		}
	}
	if len(set) == 0 {
		c.fail(postern.Say("yara.empty-set"))
	}
	return set
}

// ruleNamed gives a rule that stands before this one. One that could not be loaded
// takes all that rest on it with it.
func (c *ruleCompiler) ruleNamed(name string) int32 {
	e, ok := c.scope.find(name)
	switch {
	case !ok:
		c.fail(postern.Say("yara.unknown-name", "name", name))
	case e.refused:
		c.fail(postern.Say("yara.depends", "rule", name))
	}
	return e.rule
}

func (c *ruleCompiler) forEachString(e *ast.ForOf) *node {
	n := &node{op: opForOf, quant: c.quantifier(e.Quantifier), set: c.stringSet(e.Strings)}
	if c.forOf++; c.forOf+len(c.vars) > maxLoops {
		return c.fail(postern.Say("yara.too-many-loops", "max", maxLoops))
	}
	n.a = c.truth(c.expr(e.Condition))
	c.forOf--
	return n
}

func (c *ruleCompiler) forEach(e *ast.ForIn) *node {
	n := &node{quant: c.quantifier(e.Quantifier), num: int64(len(c.vars))}
	want := 1
	item := variable{typ: typInt}
	switch in := e.Iterator.(type) {
	case *ast.Range:
		n.op = opForRange
		from, to := c.between(in)
		n.list = []*node{from, to}
	case *ast.Enum:
		n.op = opForEnum
		for i, x := range in.Values {
			v := c.expr(x)
			if i == 0 && v.typ == typText {
				item.typ = typText
			}
			n.list = append(n.list, c.want(v, item.typ, "in"))
		}
	default:
		n.b = c.object(e.Iterator)
		if n.b.decl == nil || n.b.decl.Elem == nil {
			return c.fail(postern.Say("yara.not-iterable"))
		}
		item = variableOf(n.b.decl.Elem)
		switch n.b.decl.Type {
		case module.Array:
			n.op = opForArray
		case module.Dict:
			n.op, want = opForDict, 2
		default:
			return c.fail(postern.Say("yara.not-iterable"))
		}
	}
	if len(e.Variables) != want {
		return c.fail(postern.Say("yara.loop-variables", "got", len(e.Variables), "want", want))
	}
	before := len(c.vars)
	for i, name := range e.Variables {
		if slices.ContainsFunc(c.vars, func(v variable) bool { return v.name == name }) {
			return c.fail(postern.Say("yara.twice", "rule", name))
		}
		v := item
		if want == 2 && i == 0 {
			v = variable{typ: typText}
		}
		v.name = name
		c.vars = append(c.vars, v)
	}
	if c.maxVars = max(c.maxVars, len(c.vars)); c.forOf+len(c.vars) > maxLoops {
		return c.fail(postern.Say("yara.too-many-loops", "max", maxLoops))
	}
	n.a = c.truth(c.expr(e.Condition))
	c.vars = c.vars[:before]
	return n
}

func variableOf(d *module.Decl) variable {
	switch d.Type {
	case module.Int:
		return variable{typ: typInt}
	case module.Float:
		return variable{typ: typFloat}
	case module.String:
		return variable{typ: typText}
	}
	return variable{typ: typObject, decl: d}
}

// value compiles what begins with a name, where a plain value is wanted.
func (c *ruleCompiler) value(e ast.Node) *node {
	n := c.object(e)
	if n.typ == typObject {
		return c.fail(postern.Say("yara.wrong-use", "name", source(e)))
	}
	return n
}

// object compiles what begins with a name: a variable of a loop, a module, an
// external variable, a rule, and what is inside of them.
func (c *ruleCompiler) object(e ast.Node) *node {
	c.depth++
	defer func() { c.depth-- }()
	if c.nodes++; c.nodes > maxNodes || c.depth > maxDepth {
		return c.fail(postern.Say("yara.too-complex", "depth", maxDepth, "nodes", maxNodes))
	}
	switch e := e.(type) {
	case *ast.Identifier:
		return c.name(e.Identifier)
	case *ast.MemberAccess:
		a := c.object(e.Container)
		if a.typ != typObject || a.decl.Type != module.Struct {
			return c.fail(postern.Say("yara.wrong-use", "name", source(e)))
		}
		d, ok := a.decl.Field(e.Member)
		if !ok {
			if why, known := a.decl.Missing(e.Member); known {
				return c.fail(why)
			}
			return c.fail(postern.Say("yara.unknown-field", "name", source(e)))
		}
		if d.Const.Defined() {
			return constOf(d.Const)
		}
		return ofDecl(node{op: opField, a: a}, d)
	case *ast.Subscripting:
		a := c.object(e.Array)
		if a.typ != typObject || a.decl.Elem == nil {
			return c.fail(postern.Say("yara.wrong-use", "name", source(e)))
		}
		if a.decl.Type == module.Dict {
			return ofDecl(node{op: opKey, a: a, b: c.textual(c.expr(e.Index), "[]")}, a.decl.Elem)
		}
		return ofDecl(node{op: opIndex, a: a, b: c.integer(c.expr(e.Index), "[]")}, a.decl.Elem)
	case *ast.FunctionCall:
		if e.Builtin {
			return c.read(e)
		}
		return c.call(e)
	}
	return c.fail(postern.Say("yara.unknown-form"))
}

// ofDecl gives a node the type of what it stands for.
func ofDecl(n node, d *module.Decl) *node {
	v := variableOf(d)
	n.typ, n.decl = v.typ, d
	return &n
}

func constOf(v module.Value) *node {
	switch v.Type() {
	case module.Float:
		return &node{op: opConst, typ: typFloat, float: v.Float()}
	case module.String:
		return &node{op: opConst, typ: typText, text: v.Text()}
	}
	return integer(v.Int())
}

func (c *ruleCompiler) name(name string) *node {
	for i := len(c.vars) - 1; i >= 0; i-- {
		if v := c.vars[i]; v.name == name {
			return &node{op: opVar, num: int64(i), typ: v.typ, decl: v.decl}
		}
	}
	if c.scope.imported(name) {
		m, ok := module.Lookup(name)
		if !ok {
			if why, known := module.Refused(name); known {
				return c.fail(why)
			}
			return c.fail(postern.Say("yara.unknown-module", "module", name))
		}
		return &node{op: opModule, typ: typObject, mod: m, decl: m.Decl()}
	}
	if i := slices.Index(externals, name); i >= 0 {
		return &node{op: opExternal, typ: typText, num: int64(i)}
	}
	if _, ok := c.scope.find(name); ok {
		return &node{op: opRule, num: int64(c.ruleNamed(name))}
	}
	if _, ok := module.Lookup(name); ok {
		return c.fail(postern.Say("yara.not-imported", "module", name))
	}
	return c.fail(postern.Say("yara.unknown-name", "name", name))
}

func (c *ruleCompiler) read(e *ast.FunctionCall) *node {
	id, ok := e.Callable.(*ast.Identifier)
	if !ok || len(e.Arguments) != 1 {
		return c.fail(postern.Say("yara.unknown-form"))
	}
	for i, r := range readers {
		if r.name == id.Identifier {
			return &node{op: opRead, typ: typInt, num: int64(i), a: c.integer(c.expr(e.Arguments[0]), r.name)}
		}
	}
	return c.fail(postern.Say("yara.unknown-name", "name", id.Identifier))
}

func (c *ruleCompiler) call(e *ast.FunctionCall) *node {
	f := c.object(e.Callable)
	if f.typ != typObject || f.decl.Type != module.Func {
		return c.fail(postern.Say("yara.wrong-use", "name", source(e)))
	}
	n := node{op: opCall, a: f}
	var types []module.Type
	for _, x := range e.Arguments {
		arg := c.expr(x)
		n.list = append(n.list, arg)
		types = append(types, [...]module.Type{typBool: module.Bool, typInt: module.Int, typFloat: module.Float,
			typText: module.String, typRegexp: module.Regexp, typObject: module.Struct}[arg.typ])
	}
	i, ok := f.decl.Overload(types)
	if !ok {
		return c.fail(postern.Say("yara.arguments", "name", source(e)))
	}
	n.num = int64(i)
	switch f.decl.Overloads[i].Result {
	case module.Int, module.Bool:
		n.typ = typInt
	case module.Float:
		n.typ = typFloat
	case module.String:
		n.typ = typText
	default:
		return c.fail(postern.Say("yara.wrong-use", "name", source(e)))
	}
	return &n
}

// source gives an expression as it stands in the rule, for messages.
func source(e ast.Node) (s string) {
	defer func() {
		if recover() != nil { // the parser's printer panics on forms that it does not know
			s = ""
		}
	}()
	var b strings.Builder
	if err := e.WriteSource(&b); err != nil {
		return ""
	}
	s = b.String()
	return s[:min(len(s), maxShown)]
}

// maxShown bounds what a message shows of a rule.
const maxShown = 120

// signedLess compares texts byte by byte as libyara does, whose bytes are signed.
func signedLess(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			if int8(a[i]) < int8(b[i]) {
				return -1
			}
			return 1
		}
	}
	switch {
	case len(a) < len(b):
		return -1
	case len(a) > len(b):
		return 1
	}
	return 0
}

// epsilon is how near two floats are that count as equal, as in libyara.
var epsilon = math.Nextafter(1, 2) - 1
