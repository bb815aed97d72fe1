package webfile

import (
	"slices"
	"strings"

	page "postern/internal/hunt/parse/webfile"
)

// Flow follows what comes with a request through a program: from its source into
// names, through functions, to the places that do something dangerous with it. It
// is an approximation that sees names, not scopes or types: wrong for a compiler,
// right for telling a page that runs its visitors' code from one that does not.

// Bounds of flow.
const (
	// maxPasses is how often names are gone through until nothing new is found;
	// each pass follows values one name further. The longest chain seen in a
	// specimen has 14.
	maxPasses = 20
	// maxLook is how far an expression is looked at word by word. Longer ones are
	// strings in pieces, which folding has joined.
	maxLook = 4_096
)

// source is a value that comes from outside.
type source struct {
	// file says that it is an uploaded file or the name of one, not a value.
	file bool
	// param is the name of the request parameter, "" if the program does not say.
	param string
	off   int
	// hidden says that the words for it stood in a coded string.
	hidden bool
	// mixed says that the program has joined something to the value, such as the
	// folder before a file's name, worded that it has joined words of its own.
	mixed, worded bool
	// behind says that something stands before the value, such as a folder, so that
	// the sender does not choose where a path begins.
	behind bool
	// byName says that the value came here under a name, not straight from the request.
	byName bool
}

// function is a function that the program declares.
type function struct {
	name   string
	params []string
	body   int // token behind its head
}

// program is a page's code, worked out and joined up.
type program struct {
	vocabulary
	toks    []page.Token
	match   []int32             // for a bracket, the position of its partner, -1 without one
	funcs   map[string]function // nil until they are asked for, as vars
	inputs  map[string]bool
	uploads map[string]bool
	tainted map[string]source
	names   filter  // of those
	next    []int32 // position of the next value from outside, at or behind
	here    []bool  // whether a value from outside stands at a position
	muted   []bool  // whether something harmless is made of what stands there
	ends    []int32 // end of the expression that begins at a position, nil until it is asked for
	joined  []int32 // how many joints stand before a position, and how many of words
	worded  []int32
	sources map[int]source
	first   *source
	vars    map[string]variable
	space   *space // of what is worked out for each position
	// firsts are the positions behind the first assignment to each name, nil until
	// one is asked for.
	firsts map[string]int
	// ownDatabase says that the request says which database is opened.
	ownDatabase bool
}

// newProgram takes the words of a program and the space in which it works. The words may lie
// in it as well.
func newProgram(said vocabulary, toks []page.Token, p *page.Page, s *space) *program {
	g := &program{vocabulary: said, toks: toks, space: s, match: s.match.of(toks), tainted: map[string]source{}}
	if p != nil {
		g.inputs, g.uploads = p.Inputs, p.Uploads
	}
	g.declaredInputs()
	g.findSources()
	g.serviceParameters()
	if len(g.sources)+len(g.tainted) > 0 { // of nothing, nothing comes
		g.follow()
	}
	return g
}

// declared gives the functions that the program declares, by name.
func (g *program) declared() map[string]function {
	if g.funcs == nil {
		g.funcs = map[string]function{}
		for _, fn := range functions(g.toks, g.match) {
			if _, twice := g.funcs[fn.name]; !twice {
				g.funcs[fn.name] = fn
			}
		}
	}
	return g.funcs
}

// follow carries values from outside from name to name until nothing new is found.
func (g *program) follow() {
	g.measure()
	g.joints()
	g.mute()
	for name := range g.tainted {
		g.names.add(name)
	}
	for range maxPasses {
		g.mark()
		if !g.spread() {
			return
		}
	}
	g.mark()
}

// pairs is the space for how brackets pair.
type pairs struct{ match, open []int32 }

// of pairs the brackets of any kind in a program: the partner of each, and -1 for every
// other word. One that does not fit is passed over. It holds until the next is asked for.
func (p *pairs) of(toks []page.Token) []int32 {
	p.match = slices.Grow(p.match[:0], len(toks))
	match, open := p.match[:len(toks)], p.open[:0]
	for i := range toks {
		t := &toks[i]
		match[i] = -1
		if t.Kind != page.Punct || len(t.Text) != 1 {
			continue
		}
		switch t.Text {
		case "(", "[", "{":
			open = append(open, int32(i))
		case ")", "]", "}":
			want := opening(t.Text)
			for k := len(open) - 1; k >= 0 && k >= len(open)-4; k-- {
				if toks[open[k]].Text == want {
					match[i], match[open[k]] = open[k], int32(i)
					open = open[:k]
					break
				}
			}
		}
	}
	p.open = open
	return match
}

// opening gives the bracket that a closing one closes.
func opening(closing string) string {
	switch closing {
	case ")":
		return "("
	case "]":
		return "["
	}
	return "{"
}

// notFunctions are words that stand before "(…) {" without naming a function.
var notFunctions = map[string]bool{
	"if": true, "for": true, "while": true, "switch": true, "catch": true, "using": true, "foreach": true,
	"lock": true, "fixed": true, "elseif": true, "function": true, "return": true, "synchronized": true, "select": true,
	"with": true, "try": true, "unless": true,
}

// functions finds the functions that a program declares.
func functions(toks []page.Token, match []int32) []function {
	var list []function
	for i := range toks {
		t := &toks[i]
		if t.Kind != page.Ident || i+1 >= len(toks) || match[i+1] < 0 || !toks[i+1].Is("(") {
			continue
		}
		end := int(match[i+1])
		if declares(toks, i, end) && !notFunctions[t.Text] {
			list = append(list, function{name: t.Text, params: parameters(toks[i+2:end], t.Lang), body: end + 1})
		}
	}
	return list
}

func declares(toks []page.Token, i, end int) bool {
	var before page.Token
	if i > 0 {
		before = toks[i-1]
	}
	if before.Word("function") || before.Word("sub") {
		return true
	}
	if toks[i].Lang.Basic() || toks[i].Lang == page.PHP || before.Is(".") || before.Word("new") {
		return false
	}
	if before.Kind != page.Ident && !before.Is("]") && !before.Is(">") {
		return false
	}
	return end+1 < len(toks) && (toks[end+1].Is("{") || toks[end+1].Is("=>") || toks[end+1].Word("throws"))
}

// parameters gives the names in a parameter list, in lower case.
func parameters(toks []page.Token, lang page.Lang) []string {
	var names []string
	last, settled := "", false
	flush := func() {
		if last != "" {
			names = append(names, last)
		}
		last, settled = "", false
	}
	for _, t := range toks {
		switch {
		case t.Is(","):
			flush()
		case t.Is("=") || t.Is(":") || t.Word("as") && lang.Basic():
			settled = true
		case t.Kind == page.Ident && !settled:
			last = t.Text
		}
	}
	flush()
	return names
}

// isMember says whether what stands behind a token is a member of what stands
// before it. The dot of PHP joins strings.
func isMember(before page.Token) bool {
	if before.Kind != page.Punct {
		return false
	}
	switch before.Text {
	case ".":
		return before.Lang != page.PHP
	case "->", "::":
		return true
	}
	return false
}

func isAssignment(t *page.Token) bool {
	if t.Kind != page.Punct || t.Text == "" || t.Text[len(t.Text)-1] != '=' {
		return false
	}
	switch t.Text {
	case "=", "+=", "&=", ".=", ":=", "^=":
		return true
	}
	return false
}

// assigned says whether the name at i is what a statement assigns to.
func assigned(toks []page.Token, i int) bool {
	if i+1 >= len(toks) {
		return false
	}
	if isAssignment(&toks[i+1]) {
		return true
	}
	// var P : String = …, Dim p As String = …
	return i+3 < len(toks) && (toks[i+1].Is(":") || toks[i+1].Word("as")) && isAssignment(&toks[i+3])
}

// path gives the dotted name that ends at token i, from its last part backwards,
// and the position of its first token. Calls and indexes in it are passed over.
func (g *program) path(i int) (parts []string, start int) {
	for len(parts) < 16 {
		for i >= 0 && g.toks[i].Kind == page.Punct && (g.toks[i].Text == ")" || g.toks[i].Text == "]") && g.match[i] >= 0 {
			i = int(g.match[i]) - 1
		}
		if i < 0 || g.toks[i].Kind != page.Ident {
			return parts, i + 1
		}
		parts = append(parts, g.toks[i].Text)
		if i < 2 || !isMember(g.toks[i-1]) {
			return parts, i
		}
		i -= 2
	}
	return parts, i
}

// base gives the name that an expression's path begins with, without "this".
func base(parts []string) string {
	for k := len(parts) - 1; k >= 0; k-- {
		switch parts[k] {
		case "this", "me", "$this", "self", "base", "mybase":
			continue
		}
		return parts[k]
	}
	return ""
}

// target gives the simple name that the assignment at i assigns to, "" for a
// property or an element.
func target(toks []page.Token, i int) string {
	k := i - 1
	if k >= 2 && toks[k].Kind == page.Ident && (toks[k-1].Is(":") || toks[k-1].Word("as")) && toks[k-2].Kind == page.Ident {
		k -= 2
	}
	if toks[k].Kind != page.Ident || k > 0 && isMember(toks[k-1]) && !(k > 1 && (toks[k-2].Word("this") || toks[k-2].Word("$this"))) {
		return ""
	}
	return toks[k].Text
}

// assignee gives the name that the assignment at i changes, and the last
// property in its path.
func (g *program) assignee(i int) (name, property string) {
	if name = target(g.toks, i); name != "" {
		return name, ""
	}
	k := i - 1
	// Dim x As New T, Dim x() As Byte
	for j := k; j > 0 && j > k-10; j-- {
		if g.toks[j].Kind == page.Break {
			break
		}
		if g.toks[j].Word("as") {
			k = j - 1
			break
		}
	}
	parts, _ := g.path(k)
	if len(parts) == 0 {
		return "", ""
	}
	if len(parts) > 1 {
		property = parts[0]
	}
	return base(parts), property
}

// statementEnd gives the end of the expression that begins at i: the statement's
// own, or the bracket's that it stands in.
func (g *program) statementEnd(i int) int {
	if g.ends == nil {
		g.measure()
	}
	return int(g.ends[min(i, len(g.toks))])
}

// measure finds the end of the expression that begins at every token, so that it can be
// asked for at no cost.
func (g *program) measure() {
	n := len(g.toks)
	g.space.ends = cleared(g.space.ends, n+1)
	g.ends = g.space.ends
	g.ends[n] = int32(n)
	for i := n - 1; i >= 0; i-- {
		t := &g.toks[i]
		switch {
		case t.Kind == page.Break, t.Kind == page.Punct && (t.Text == ")" || t.Text == "]" || t.Text == "}"):
			g.ends[i] = int32(i)
		case g.match[i] > int32(i): // over a bracket
			g.ends[i] = g.ends[g.match[i]+1]
		default:
			g.ends[i] = g.ends[i+1]
		}
	}
}

// joints counts up to every token what is joined, to be asked for at no cost as well.
func (g *program) joints() {
	n := len(g.toks)
	g.space.joined, g.space.worded = cleared(g.space.joined, n+1), cleared(g.space.worded, n+1)
	g.joined, g.worded = g.space.joined, g.space.worded
	for i := range g.toks {
		t := &g.toks[i]
		g.joined[i+1], g.worded[i+1] = g.joined[i], g.worded[i]
		switch {
		case concat(t):
			g.joined[i+1]++
			if i > 0 && says(&g.toks[i-1]) || i+1 < n && says(&g.toks[i+1]) {
				g.worded[i+1]++
			}
		case t.Kind == page.Ident && (t.Text == "combine" || t.Text == "format" || t.Text == "concat" || t.Text == "sprintf"):
			g.joined[i+1]++
		}
	}
}

// mute finds what stands in calls that make something harmless of it.
func (g *program) mute() {
	g.space.muted = cleared(g.space.muted, len(g.toks))
	g.muted = g.space.muted
	for i := 0; i+1 < len(g.toks); i++ {
		if end := int(g.match[i+1]); end > 0 && g.is(i, harmlessWord) && g.toks[i+1].Is("(") && g.makesHarmless(i) {
			for ; i < end; i++ {
				g.muted[i] = true
			}
			i-- // what stands behind is looked at again, and may be muted too
		}
	}
}

// mark finds every place at which a value from outside stands, so that a range
// can be asked for one at no cost.
func (g *program) mark() {
	n := len(g.toks)
	if g.next == nil {
		g.space.next, g.space.here = cleared(g.space.next, n+1), cleared(g.space.here, n)
		g.next, g.here = g.space.next, g.space.here
		for i := range g.sources {
			g.here[i] = !g.muted[i] && !g.compared(i)
		}
	}
	const none = int32(1<<31 - 1)
	g.next[n] = none
	for i := n - 1; i >= 0; i-- {
		if !g.here[i] && g.toks[i].Kind == page.Ident && g.names.may(g.slot[i]) && !g.muted[i] {
			g.here[i] = g.usesTainted(i)
		}
		g.next[i] = g.next[i+1]
		if g.here[i] {
			g.next[i] = int32(i)
		}
	}
}

// taint gives the first value from outside in a range.
func (g *program) taint(from, to int) (source, bool) {
	if from < 0 || from >= to || from >= len(g.next) {
		return source{}, false
	}
	i := int(g.next[from])
	if i >= to {
		return source{}, false
	}
	return g.at(i), true
}

// at gives the value from outside that stands at a marked token.
func (g *program) at(i int) source {
	if s, ok := g.sources[i]; ok {
		return s
	}
	s := g.tainted[g.toks[i].Text]
	s.byName = true
	return s
}

// values says whether a range holds a value from outside that is not just an
// uploaded file, and whether it holds an uploaded file.
func (g *program) values(from, to int) (value source, isValue, isFile bool) {
	for i := from; i >= 0 && i < to && i < len(g.next); i++ {
		i = int(g.next[i])
		if i >= to {
			break
		}
		if s := g.at(i); s.file {
			isFile = true
		} else if !isValue {
			value, isValue = s, true
			g.fronts(&value, from, i)
		}
	}
	if isValue {
		g.joins(&value, from, to)
	}
	return value, isValue, isFile
}

// joins notes whether an expression joins something to a value in it.
func (g *program) joins(s *source, from, to int) {
	if from < 0 || from >= to || to > len(g.toks) {
		return
	}
	s.mixed = s.mixed || g.joined[to] > g.joined[from]
	s.worded = s.worded || g.worded[to] > g.worded[from]
}

// fronts notes whether something stands before a value in its expression: what is
// joined to it, an argument before it, or a function that keeps it below a folder.
func (g *program) fronts(s *source, from, at int) {
	for k := max(from, at-maxFront); k < at && !s.behind; k++ {
		t := &g.toks[k]
		s.behind = concat(t) || t.Is(",") || t.Word("mappath") || t.Word("getfilename")
	}
}

// maxFront is how far before a value that is looked for, in words. A page can make
// every word of a statement the beginning of an expression, so it is short.
const maxFront = 32

// says tells whether a token is a string that says something: a bracket makes an
// expression of what it is joined to.
func says(t *page.Token) bool {
	if t.Kind != page.String {
		return false
	}
	s := strings.TrimSpace(t.Text)
	return len(s) > 1 || s == "(" || s == ")"
}

func (g *program) usesTainted(i int) bool {
	if _, ok := g.tainted[g.toks[i].Text]; !ok {
		return false
	}
	if i > 0 && isMember(g.toks[i-1]) && !(i > 1 && (g.toks[i-2].Word("this") || g.toks[i-2].Word("me") || g.toks[i-2].Word("$this"))) {
		return false
	}
	return !g.compared(i)
}

// compared says whether only a comparison or a count is made with the value at i.
func (g *program) compared(i int) bool {
	k := i + 1
	for steps := 0; k < len(g.toks) && steps < 8; steps++ {
		t := g.toks[k]
		switch {
		case (t.Is("[") || t.Is("(")) && g.match[k] > 0:
			k = int(g.match[k]) + 1
			continue
		case t.Is(".") && k+1 < len(g.toks):
			switch g.toks[k+1].Text {
			case "length", "count", "contentlength", "startswith", "endswith", "contains", "indexof", "equals", "equalsignorecase",
				"lastindexof", "compareto", "hasfile", "haskeys", "isempty", "size", "hasvalue", "containskey":
				return true
			}
			k += 2
			continue
		}
		return t.Is("==") || t.Is("!=") || t.Is("===") || t.Is("!==") || t.Is("<>") || t.Word("is")
	}
	return false
}

// harmlessCalls give a number, a date or a yes of what goes into them.
var harmlessCalls = set(`isnullorempty isnullorwhitespace toint32 toint16 toint64 toboolean todouble todecimal todatetime tosingle
	cint clng cdbl cbool cdate csng cbyte isnumeric isdate isempty isnull isarray len lenb instr strcomp
	intval floatval doubleval count sizeof isset empty is_array is_string is_numeric strlen strcmp in_array array_key_exists
	md5 sha1 crc32 is_file is_dir file_exists function_exists parseint parsefloat parselong parsedouble ismatch
	in_array preg_match ereg eregi strpos stripos ctype_digit ctype_alnum is_uploaded_file filesize exists`)

// parseCalls give a value of the type that they belong to.
var parseCalls = set("parse tryparse parseexact valueof")

// parseTypes are the types whose parse gives no text.
var parseTypes = set("int int32 int16 int64 long short byte bool boolean guid datetime decimal double float single uint ulong integer enum timespan")

func (g *program) makesHarmless(i int) bool {
	word := g.toks[i].Text
	if harmlessCalls[word] {
		return true
	}
	if parseCalls[word] {
		return i > 1 && isMember(g.toks[i-1]) && parseTypes[g.toks[i-2].Text]
	}
	return false
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// spread carries values from outside one step on and says whether it found a new name.
func (g *program) spread() (found bool) {
	learn := func(name string, s source) {
		if name == "" || reserved[name] {
			return
		}
		old, known := g.tainted[name]
		if !known || old.file && !s.file || old.file == s.file && (old.mixed && !s.mixed || old.worded && !s.worded) ||
			old.file == s.file && old.mixed == s.mixed && old.worded == s.worded && old.behind && !s.behind {
			g.tainted[name] = s
			g.names.add(name)
			found = true
		}
	}
	funcs, inFunction := g.declared(), ""
	for i := range g.toks {
		t := &g.toks[i]
		switch {
		case t.Kind == page.Punct && i > 0 && isAssignment(t):
			end := g.statementEnd(i + 1)
			if s, ok := g.worst(i+1, end); ok && !g.yesOrNo(i+1, end) {
				name, _ := g.assignee(i)
				learn(name, s)
			}
		case t.Kind != page.Ident:
		case t.Text == "return":
			if s, ok := g.worst(i+1, g.statementEnd(i+1)); ok {
				learn(inFunction, s)
			}
		case t.Text == "in" || t.Text == "as" && t.Lang == page.PHP:
			g.loop(i, learn)
		case t.Text == "new" && i > 1 && g.toks[i-1].Word("as") && g.toks[i-2].Kind == page.Ident:
			if s, ok := g.worst(i+1, g.statementEnd(i+1)); ok {
				learn(g.toks[i-2].Text, s)
			}
		case i+1 < len(g.toks) && g.toks[i+1].Is("(") && g.match[i+1] > 0:
			if fn, ok := funcs[t.Text]; ok {
				if fn.body == int(g.match[i+1])+1 {
					inFunction = fn.name
				} else {
					g.pass(fn, i+1, learn)
				}
			}
			if g.is(i, changeWord) {
				g.change(i, learn)
			}
		case i+1 < len(g.toks) && t.Lang.Basic() && !g.toks[i+1].Is("=") && (i == 0 || g.toks[i-1].Kind == page.Break):
			// a call of Basic without brackets
			if fn, ok := funcs[t.Text]; ok {
				if s, ok := g.worst(i+1, g.statementEnd(i+1)); ok {
					for _, p := range fn.params {
						learn(p, s)
					}
				}
			}
		}
	}
	return found
}

// reserved words are never names of values.
var reserved = set("this me self new string var dim set byte char object int if else end sub function response request server session application context page $this")

// worst is taint that prefers a value over an uploaded file.
func (g *program) worst(from, to int) (source, bool) {
	s, ok := g.taint(from, to)
	if !ok {
		return s, false
	}
	if s.file {
		if v, isValue, _ := g.values(from, to); isValue {
			return v, true
		}
	}
	g.joins(&s, from, to)
	g.fronts(&s, from, int(g.next[from]))
	return s, true
}

// yesOrNo says whether an expression ends in a yes or no: a comparison outside
// of brackets, not followed by a choice.
func (g *program) yesOrNo(from, to int) bool {
	compares := false
	for i := from; i < to && i-from < 64; i++ {
		t := g.toks[i]
		if t.Kind != page.Punct {
			continue
		}
		switch t.Text {
		case "(", "[", "{":
			if g.match[i] > int32(i) {
				i = int(g.match[i])
			}
		case "==", "!=", "===", "!==":
			compares = true
		case "?", "??":
			return false
		}
	}
	return compares
}

// loop carries values into the name that a loop gives to each of them.
func (g *program) loop(i int, learn func(string, source)) {
	if i == 0 {
		return
	}
	end := g.statementEnd(i + 1)
	if g.toks[i].Text == "in" {
		if s, ok := g.worst(i+1, end); ok && g.toks[i-1].Kind == page.Ident {
			learn(g.toks[i-1].Text, s)
		}
		return
	}
	// foreach ($_POST as $k => $v)
	from := max(0, i-16)
	for k := i - 1; k >= from; k-- {
		if g.toks[k].Word("foreach") {
			if s, ok := g.worst(k+1, i); ok {
				for j := i + 1; j < end; j++ {
					if g.toks[j].Kind == page.Ident {
						learn(g.toks[j].Text, s)
					}
				}
			}
			return
		}
	}
}

// pass carries the arguments of a call into the parameters of the function.
func (g *program) pass(fn function, open int, learn func(string, source)) {
	for k, arg := range g.arguments(open) {
		if k >= len(fn.params) {
			return
		}
		if s, ok := g.worst(arg[0], arg[1]); ok {
			learn(fn.params[k], s)
		}
	}
}

// arguments gives the ranges of the arguments in a bracket.
func (g *program) arguments(open int) [][2]int {
	var list [][2]int
	end := int(g.match[open])
	from := open + 1
	for i := from; i < end && len(list) < 64; i++ {
		t := g.toks[i]
		if t.Kind != page.Punct {
			continue
		}
		switch t.Text {
		case "(", "[", "{":
			if g.match[i] > int32(i) {
				i = int(g.match[i])
			}
		case ",":
			list = append(list, [2]int{from, i})
			from = i + 1
		}
	}
	if from < end {
		list = append(list, [2]int{from, end})
	}
	return list
}

// fills are methods that put their argument into the object they belong to.
var fills = set("append appendline appendformat add addrange write writeline insert push put concat writetext load loadxml set setvalue enqueue addarg addargs")

// drains are methods that put what their object holds into their argument.
var drains = set("copyto read readasync readfully readblock transferto")

func (g *program) change(i int, learn func(string, source)) {
	word := g.toks[i].Text
	if i < 2 || !isMember(g.toks[i-1]) {
		return
	}
	open, end := i+1, int(g.match[i+1])
	switch {
	case fills[word]:
		if s, ok := g.worst(open+1, end); ok {
			parts, _ := g.path(i - 2)
			if b := base(parts); b != "response" && b != "out" && b != "writer" {
				learn(b, s)
			}
		}
	case drains[word]:
		_, start := g.path(i)
		if s, ok := g.worst(start, i); ok {
			if args := g.arguments(open); len(args) > 0 && g.toks[args[0][0]].Kind == page.Ident {
				learn(g.toks[args[0][0]].Text, s)
			}
		}
	}
}
