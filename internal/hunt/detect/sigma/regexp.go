package sigma

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"postern"
)

// compileRegexp compiles an expression with the flags of the submodifiers i, m
// and s, for a search anywhere in the value. It gives the size of the program.
func compileRegexp(line int, expr, flags string) (*regexpTest, int, error) {
	if len(expr) > maxRegexpBytes {
		return nil, 0, beyond(line, postern.Say("sigma.regexp-large", "limit", maxRegexpBytes),
			"the regular expression is longer than %d bytes: split it", maxRegexpBytes)
	}
	if flags != "" {
		flags = "(?" + flags + ")"
	}
	tree, err := syntax.Parse(flags+expr, syntax.Perl)
	if err != nil {
		return nil, 0, refuseRegexp(line, expr, err)
	}
	size := programSize(tree)
	if size > maxRegexpSize {
		return nil, 0, beyond(line, postern.Say("sigma.regexp-large", "limit", maxRegexpSize),
			"the regular expression compiles to more than %d steps: lower its repeat counts", maxRegexpSize)
	}
	re, err := regexp.Compile(flags + expr)
	if err != nil {
		return nil, 0, refuseRegexp(line, expr, err)
	}
	t := &regexpTest{re: re, least: least(tree), row: rowOf(tree)}
	for _, lit := range required(tree.Simplify()) {
		t.guards = append(t.guards, []byte(lit))
	}
	return t, size, nil
}

// compileRun compiles an expression such as .{1000,}, that asks for nothing but a
// number of characters: the engine would count them in as many states.
func compileRun(expr, flags string) (*runTest, bool) {
	if flags != "" {
		flags = "(?" + flags + ")"
	}
	tree, err := syntax.Parse(flags+expr, syntax.Perl)
	if err != nil || tree.Op != syntax.OpRepeat {
		return nil, false
	}
	switch tree.Sub[0].Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return &runTest{n: tree.Min, newlines: tree.Sub[0].Op == syntax.OpAnyChar}, true
	}
	return nil, false
}

// runTest asks for so many characters in a row, on one line if newlines do not count.
type runTest struct {
	n        int
	newlines bool
}

func (t *runTest) match(v *view, i int32) bool {
	s := v.values[i].text
	if len(s) < t.n {
		return false
	}
	run := 0
	for _, r := range s {
		if run++; r == '\n' && !t.newlines {
			run = 0
		}
		if run >= t.n {
			return true
		}
	}
	return t.n == 0
}

func (t *runTest) literals() []literal { return nil }

// regexpErrors are the keys of what the engine refuses.
//
// catalogue: sigma.regexp.*
var regexpErrors = map[syntax.ErrorCode]string{
	syntax.ErrMissingParen: "bracket", syntax.ErrUnexpectedParen: "bracket", syntax.ErrMissingBracket: "bracket",
	syntax.ErrInvalidCharClass: "class", syntax.ErrInvalidCharRange: "class",
	syntax.ErrInvalidEscape: "escape", syntax.ErrTrailingBackslash: "escape",
	syntax.ErrInvalidNamedCapture: "group", syntax.ErrInvalidPerlOp: "group",
	syntax.ErrInvalidRepeatOp: "repeat", syntax.ErrMissingRepeatArgument: "repeat",
	syntax.ErrInvalidRepeatSize: "large", syntax.ErrLarge: "large", syntax.ErrNestingDepth: "large",
	syntax.ErrInvalidUTF8: "encoding",
}

// refuseRegexp tells what of PCRE the linear-time engine does not have from what
// is simply wrong.
func refuseRegexp(line int, expr string, err error) error {
	expr = excerpt(expr)
	var parse *syntax.Error
	if errors.As(err, &parse) {
		around := []string{"(?=", "(?!", "(?<=", "(?<!"}
		has := func(s string) bool { return strings.HasPrefix(parse.Expr, s) }
		switch {
		// The parser reports a look-behind as a bad group name.
		case slices.ContainsFunc(around, has):
			return unsupported(line, postern.Say("sigma.regexp-lookaround", "expression", expr),
				"the regular expression %q looks around (%s): say it with a second field test and a filter in the condition",
				expr, parse.Expr)
		case parse.Code == syntax.ErrInvalidEscape && len(parse.Expr) == 2 && '1' <= parse.Expr[1] && parse.Expr[1] <= '9':
			return unsupported(line, postern.Say("sigma.regexp-backreference", "expression", expr),
				"the regular expression %q refers back to a group (%s): write the alternatives out", expr, parse.Expr)
		}
	}
	why := "sigma.regexp.other"
	if parse != nil && regexpErrors[parse.Code] != "" {
		why = "sigma.regexp." + regexpErrors[parse.Code]
	}
	e := malformed(line, postern.Say("sigma.regexp-bad", "expression", expr, "detail@", why),
		"the regular expression %q does not compile: %v", expr, err)
	if parse == nil {
		return e
	}
	switch parse.Code {
	case syntax.ErrInvalidPerlOp, syntax.ErrInvalidRepeatOp:
		e.Kind = postern.Unsupported // atomic groups, possessive counts and their like
	case syntax.ErrInvalidRepeatSize, syntax.ErrLarge, syntax.ErrNestingDepth:
		e.Kind = postern.Limit // the engine's own bounds
	}
	return e
}

// programSize estimates the instructions of the program before it is built, so
// that a bomb of nested counts costs nothing. It stops counting beyond the bound.
func programSize(re *syntax.Regexp) int {
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCharClass:
		n = 1 + len(re.Rune)/32
	}
	for _, sub := range re.Sub {
		n += programSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, maxRegexpSize+1)
}

// least gives the bytes without which nothing matches an expression: a character is at
// least one, whatever it is and however it folds.
func least(re *syntax.Regexp) int {
	n := 0
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return least(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * least(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			n += least(sub)
		}
	case syntax.OpAlternate:
		n = least(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, least(sub))
		}
	}
	return n
}

// row is so many bytes of a class behind one another, as of the digits of a hash.
type row struct {
	n    int
	has  [256]bool
	size int // characters of ASCII in it
}

// A row is worth looking for where it is long, and not of nearly all there is.
const minRow, maxRowSize = 16, 80

// rowOf gives the longest row that each match of an expression holds, nil if there is none
// worth looking for.
func rowOf(re *syntax.Regexp) *row {
	switch re.Op {
	case syntax.OpCapture, syntax.OpPlus:
		return rowOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min == 0 {
			return nil
		}
		if re.Sub[0].Op != syntax.OpCharClass || re.Min < minRow {
			return rowOf(re.Sub[0])
		}
		r := &row{n: re.Min}
		for i := 0; i+1 < len(re.Sub[0].Rune); i += 2 {
			for c := re.Sub[0].Rune[i]; c <= min(re.Sub[0].Rune[i+1], utf8.RuneSelf-1); c++ {
				r.has[c] = true
			}
		}
		for c := utf8.RuneSelf; c < len(r.has); c++ { // of what other characters are written with, and what is none
			r.has[c] = true
		}
		for c := range utf8.RuneSelf {
			if r.has[c] {
				r.size++
			}
		}
		if r.size <= maxRowSize {
			return r
		}
	case syntax.OpConcat:
		var best *row
		for _, sub := range re.Sub {
			if r := rowOf(sub); r != nil && (best == nil || r.n > best.n) {
				best = r
			}
		}
		return best
	}
	return nil
}

// in says whether a text holds the row. Of a text in which it is not, it looks at a byte
// in n or so.
func (r *row) in(s string) bool {
	for end := r.n; end <= len(s); {
		at := end - 1
		for at >= end-r.n && r.has[s[at]] {
			at--
		}
		if at < end-r.n {
			return true
		}
		end = at + 1 + r.n
	}
	return false
}

// Bounds of the derivation of required literals: a set of alternatives longer
// than this is no good guard, and classes wider than this are as good as a dot.
const (
	maxAlternatives = 32
	maxClassRunes   = 8
)

// need is what is known of the texts that a part of an expression matches, all
// folded. If exact is not nil, every such text is one of exact. If some is not
// nil, every such text contains one of some.
type need struct{ exact, some []string }

// required gives folded literals of which each match of the expression contains
// at least one; nil if none can be derived. The expression is simplified: it has
// no counted repeats.
func required(re *syntax.Regexp) []string {
	n := needOf(re)
	return withoutLonger(n.best())
}

func needOf(re *syntax.Regexp) need {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return need{exact: []string{""}}
	case syntax.OpLiteral:
		return needOfLiteral(re)
	case syntax.OpCharClass:
		return needOfClass(re)
	case syntax.OpCapture:
		return needOf(re.Sub[0])
	case syntax.OpPlus:
		return need{some: needOf(re.Sub[0]).best()}
	case syntax.OpQuest:
		if sub := needOf(re.Sub[0]); sub.exact != nil && len(sub.exact) < maxAlternatives {
			return need{exact: append(slices.Clone(sub.exact), "")}
		}
		return need{}
	case syntax.OpAlternate:
		return needOfAlternate(re.Sub)
	case syntax.OpConcat:
		return needOfConcat(re.Sub)
	}
	return need{}
}

func needOfLiteral(re *syntax.Regexp) need {
	var b []byte
	for _, r := range re.Rune {
		// RuneError also matches a byte that is no UTF-8; letters outside ASCII fold in
		// more ways for the engine than for us. So do k and s, with the Kelvin sign and
		// the long s: there our way decides, as the literal is required.
		if r == utf8.RuneError || re.Flags&syntax.FoldCase != 0 && r >= utf8.RuneSelf {
			return need{}
		}
		b = utf8.AppendRune(b, foldRune(r))
	}
	return need{exact: []string{string(b)}}
}

func needOfClass(re *syntax.Regexp) need {
	var all []string
	for i := 0; i+1 < len(re.Rune); i += 2 {
		lo, hi := re.Rune[i], re.Rune[i+1]
		if int(hi-lo) >= maxClassRunes || len(all) > 2*maxClassRunes {
			return need{}
		}
		for r := lo; r <= hi; r++ {
			if r == utf8.RuneError {
				return need{}
			}
			all = append(all, string(foldRune(r)))
		}
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 0 || len(all) > maxClassRunes {
		return need{}
	}
	return need{exact: all}
}

func needOfAlternate(subs []*syntax.Regexp) need {
	var exact, some []string
	exactly, known := true, true
	for _, sub := range subs {
		n := needOf(sub)
		exactly = exactly && n.exact != nil
		exact = append(exact, n.exact...)
		best := n.best()
		known = known && best != nil
		some = append(some, best...)
	}
	var n need
	if exactly && len(exact) <= maxAlternatives {
		n.exact = exact
	}
	if known {
		n.some = some
	}
	return n
}

// needOfConcat multiplies neighbours out while that stays small, so that
// (cmd|sh)\.exe needs cmd.exe or sh.exe, and keeps the best that it saw.
func needOfConcat(subs []*syntax.Regexp) need {
	run := []string{""} // texts of the neighbours so far
	whole := true       // run covers the expression from its start
	var best []string
	for _, sub := range subs {
		n := needOf(sub)
		if n.exact != nil && len(run)*len(n.exact) <= maxAlternatives {
			run = product(run, n.exact)
			continue
		}
		whole = false
		best = better(best, useful(run), n.best())
		if run = n.exact; run == nil {
			run = []string{""}
		}
	}
	if whole {
		return need{exact: run}
	}
	return need{some: better(best, useful(run))}
}

func product(a, b []string) []string {
	all := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			all = append(all, x+y)
		}
	}
	return all
}

func (n need) best() []string { return better(n.some, useful(n.exact)) }

// useful gives the texts if each of them says something.
func useful(texts []string) []string {
	if len(texts) == 0 || slices.Contains(texts, "") {
		return nil
	}
	return texts
}

// better gives the list whose shortest text is longest, the shorter list of two
// such.
func better(lists ...[]string) []string {
	var best []string
	for _, l := range lists {
		if len(l) == 0 {
			continue
		}
		a, b := shortest(l), shortest(best)
		if best == nil || a > b || a == b && len(l) < len(best) {
			best = l
		}
	}
	return best
}

func shortest(texts []string) int {
	n := 0
	for i, t := range texts {
		if i == 0 || len(t) < n {
			n = len(t)
		}
	}
	return n
}
