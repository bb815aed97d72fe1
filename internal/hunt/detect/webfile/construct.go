package webfile

import (
	"strings"

	page "postern/internal/hunt/parse/webfile"
)

// flow says how what is sent is tied to a construct.
type flow uint8

// The strengths of a tie.
const (
	constant flow = iota // only constants go in
	unclear              // something goes in of which the program does not say whence
	reaches              // what the request carries goes in
)

// construct is one dangerous thing that a page does, and where.
type construct struct {
	deed  deed
	flow  flow
	off   int
	param string // of the request, where a name is known
	// whole says of a written file that the request names it, and of an evaluated
	// text that nothing else is in it.
	whole bool
	// layer says that the construct stood in a coded string.
	layer bool
	// straight says that the value comes straight from the request, not under a name.
	straight bool
	// leads says that the value stands first, so that the sender chooses a path from
	// its beginning.
	leads bool
	// beside says that an upload keeps its name and lands in the folder of the page.
	beside bool
	// handles says what is done to files.
	handles handling
	lang    page.Lang
}

// handling is a set of what a page does to files.
type handling uint8

const (
	lists handling = 1 << iota
	shows
	changes
)

// handlings are the words of sinks that only handle files.
var handlings = map[string]handling{
	"getfiles": lists, "getdirectories": lists, "getfilesystementries": lists, "directoryinfo": lists,
	"writefile": shows, "transmitfile": shows, "readalltext": shows, "readallbytes": shows,
	"delete": changes, "setlastwritetime": changes, "setcreationtime": changes, "setattributes": changes,
}

// several says whether a page does more than one thing to files.
func (h handling) several() bool { return h&(h-1) != 0 }

// constructs finds everything dangerous in a program.
func (g *program) constructs(objects map[string]string) []construct {
	g.classes(objects)
	var list []construct
	for i := range g.toks {
		t := &g.toks[i]
		if t.Kind != page.Ident || len(list) >= maxConstructs {
			continue
		}
		if g.is(i, sinkWord) {
			for _, s := range g.sinks[g.known[i]] {
				if c, ok := g.construct(i, s); ok {
					list = append(list, c)
					break
				}
			}
		}
		if g.besides(i) {
			if c, ok := g.other(i); ok {
				list = append(list, c)
			}
		}
	}
	return list
}

// besides says whether one of the constructs that are no calls of a known name may stand
// at the word at i: the cheap question before other.
func (g *program) besides(i int) bool {
	t := &g.toks[i]
	return g.is(i, otherWord) || t.Lang == page.JScript || t.Lang == page.PHP && strings.HasPrefix(t.Text, "$") && i+1 < len(g.toks) && g.toks[i+1].Is("(")
}

// otherWords are words of constructs that are no calls of a known name.
var otherWords = set("arguments filename commandtext connectionstring")

// patternFunctions are the functions of PHP that evaluate what they replace by, if the
// pattern says so.
var patternFunctions = set("preg_replace preg_filter mb_ereg_replace")

// maxConstructs is how many are kept of one program; the worst real pages have
// a few hundred, and a report shows five.
const maxConstructs = 2_000

// classes notes which COM objects the program makes, as words that begin with '#'.
func (g *program) classes(objects map[string]string) {
	for _, id := range objects {
		if c := comClass(id); c != "" {
			g.note(c)
		}
	}
	for _, i := range g.strings {
		if c := comClass(g.toks[i].Text); c != "" && i > 0 {
			g.note(c)
		}
	}
}

func (g *program) construct(i int, s *compiledSink) (construct, bool) {
	t := g.toks[i]
	if !s.langs.has(t.Lang) || !g.place(i, s) || len(s.needed) > 0 && !g.saysOne(s.needed) {
		return construct{}, false
	}
	from, to, ok := g.argument(i, s.statement)
	if !ok {
		return construct{}, false
	}
	c := construct{deed: s.deed, off: int(t.Off), lang: t.Lang}
	if s.deed == queries {
		// Behind the statement stands the connection, which is told apart.
		if to = g.statement(i, from, to); from == to {
			return construct{}, false
		}
	}
	g.flowInto(&c, from, to)
	c.handles = handlings[t.Text]
	switch s.deed {
	case writes, uploads:
		g.written(&c, i, from, to)
	case listens:
		c.flow = unclear
	case loads:
		if t.Lang == page.PHP {
			return c, g.callback(&c, i, from)
		}
		g.receiver(&c, i)
	case starts, deserialises, transforms, evaluates:
		g.receiver(&c, i)
	}
	return c, !s.chosen || c.flow == reaches
}

// place says whether a name stands where the sink's must.
func (g *program) place(i int, s *compiledSink) bool {
	before := page.Token{}
	if i > 0 {
		before = g.toks[i-1]
	}
	if s.bare && (isMember(before) || before.Word("function") || before.Word("sub") || before.Word("new")) {
		return false
	}
	if len(s.afterSet) == 0 {
		return true
	}
	if s.afterSet[before.Text] && before.Kind == page.Ident {
		return true
	}
	return i > 1 && isMember(before) && (s.afterSet[g.toks[i-2].Text] || s.afterSet[g.calleeBefore(i-2)])
}

// statement gives the end of the statement that a command or an adapter of a
// database is made with. An adapter that is given a command alone has none.
func (g *program) statement(i, from, to int) int {
	args := g.arguments(max(from-1, 0))
	switch {
	case len(args) == 0 || !g.toks[from-1].Is("("):
		return to
	case len(args) == 1 && strings.HasSuffix(g.toks[i].Text, "adapter"):
		return from
	}
	return args[0][1]
}

// calleeBefore gives the name of the function whose call ends at i, or the name
// in brackets of a cast that ends there.
func (g *program) calleeBefore(i int) string {
	if !g.toks[i].Is(")") || g.match[i] < 1 {
		return ""
	}
	return g.toks[g.match[i]-1].Text
}

// argument gives the range of what goes into the call of the name at i.
func (g *program) argument(i int, statement bool) (from, to int, ok bool) {
	if i+1 >= len(g.toks) {
		return 0, 0, false
	}
	next := g.toks[i+1]
	switch {
	case next.Is("<") && i+4 < len(g.toks) && g.toks[i+2].Kind == page.Ident && g.toks[i+3].Is(">") && g.toks[i+4].Is("(") && g.match[i+4] > 0: // of a type
		return i + 5, int(g.match[i+4]), true
	case next.Is("(") && g.match[i+1] > 0:
		end := int(g.match[i+1])
		if declares(g.toks, i, end) && g.declared()[g.toks[i].Text].body == end+1 {
			return 0, 0, false // its declaration
		}
		if statement && end+1 < len(g.toks) && g.toks[end+1].Kind == page.Punct && concat(&g.toks[end+1]) {
			return i + 2, g.statementEnd(i + 1), true
		}
		return i + 2, end, true
	case next.Is("("): // a bracket that is never closed: to the end of the statement
		return i + 2, g.statementEnd(i + 2), true
	case statement && (next.Kind == page.Ident || next.Kind == page.String || next.Is("$") || next.Is("@") || next.Is("[")):
		return i + 1, g.statementEnd(i + 1), true
	}
	return 0, 0, false
}

// flowInto settles what goes into a construct.
func (g *program) flowInto(c *construct, from, to int) {
	if s, ok := g.worst(from, to); ok {
		c.flow, c.param, c.whole, c.straight, c.leads = reaches, s.param, !s.mixed, !s.byName, !s.behind
		if c.deed == evaluates {
			c.whole = !s.worded
		}
		return
	}
	c.flow = constant
	for k := from; k < to && k-from < maxLook; k++ {
		if g.toks[k].Kind == page.Ident && !constantWords[g.toks[k].Text] {
			c.flow = unclear
			return
		}
	}
}

// constantWords are names whose values no request can choose.
var constantWords = set("true false null nothing new string nil vbcrlf array mappath server system io diagnostics process text encoding utf8 default unicode getfolderpath environment ascii")

// receiver also looks at the object that a method belongs to: a process whose
// arguments were set before it is started.
func (g *program) receiver(c *construct, i int) {
	if c.flow == reaches || i < 2 || !isMember(g.toks[i-1]) {
		return
	}
	parts, start := g.path(i - 2)
	if s, ok := g.worst(start, i-1); ok {
		c.flow, c.param, c.whole = reaches, s.param, !s.mixed
		return
	}
	if b := base(parts); b != "" && c.flow == constant && !constantWords[b] && !g.says("new") {
		c.flow = unclear
	}
}

// written settles what a request has to do with a file that is written: whether it
// names it, gives its content, or both.
func (g *program) written(c *construct, i, from, to int) {
	args := g.arguments(max(from-1, 0))
	if from > 0 && !g.toks[from-1].Is("(") {
		args = [][2]int{{from, to}}
	}
	if len(args) == 0 {
		g.receiver(c, i) // file.CreateText()
		return
	}
	path, content := args[0], [2]int{to, to}
	if len(args) > 1 {
		content = [2]int{args[1][0], to}
	}
	w := g.toks[i].Text
	switch w {
	case "move_uploaded_file", "copy", "move", "downloadfile":
		path, content = content, path
	}
	if g.onlyReads(w, from, to) {
		c.deed, c.handles = browses, shows
		return
	}
	if g.namesPage(path[0], path[1]) {
		c.deed, c.flow = plants, unclear
		return
	}
	value, named, file := g.values(path[0], path[1])
	_, filled, _ := g.values(content[0], content[1])
	c.param, c.whole, c.straight = value.param, named && !file && !value.mixed, !value.byName
	c.leads, c.handles = named && !value.behind, changes
	if file {
		names := maxBeside
		c.beside = g.beside(path[0], path[1], &names)
	}
	switch {
	case c.deed == uploads && (named || file):
		c.flow = reaches
	case named && (filled || len(args) == 1 || g.says("write") || g.says("writeline")):
		c.flow = reaches
	case named || filled:
		c.flow, c.whole = unclear, false
	}
	if (w == "copy" || w == "move") && c.lang != page.PHP && !c.leads {
		c.flow = unclear // sites move their own files about
	}
}

// maxBeside is how many names a path is followed through, maxBesideLook how many
// words of each expression are looked at.
const (
	maxBeside     = 16
	maxBesideLook = 64
)

// beside says whether a path is in the folder of the page itself: made of its own
// path, or of no folder at all, and of no words of the program's.
func (g *program) beside(from, to int, names *int) bool {
	own := false
	for i := from; i < to && i-from < maxBesideLook; i++ {
		switch t := g.toks[i]; {
		case t.Kind == page.String:
			if strings.Trim(t.Text, `./\ `) != "" {
				return false
			}
		case t.Word("physicalpath"):
			own = true
		case t.Word("mappath") && i+2 < to && g.toks[i+1].Is("(") && g.match[i+1] > 0:
			_, _, file := g.values(i+2, int(g.match[i+1]))
			first := g.toks[i+2]
			own = own || file || first.Kind == page.String && (first.Text == "" || first.Text[0] == '.')
		case t.Kind == page.Ident && *names > 0 && (i == 0 || !isMember(g.toks[i-1])):
			at := g.assignment(t.Text)
			if at == 0 {
				continue
			}
			*names--
			own = own || g.beside(at, g.statementEnd(at), names)
		}
	}
	return own
}

// assignment gives the position behind the first assignment to a name, 0 if there
// is none.
func (g *program) assignment(name string) int {
	if g.firsts == nil {
		g.firsts = map[string]int{}
		for i := 1; i+1 < len(g.toks); i++ {
			if !g.toks[i].Is("=") {
				continue
			}
			if t := target(g.toks, i); g.firsts[t] == 0 {
				g.firsts[t] = i + 1
			}
		}
	}
	return g.firsts[name]
}

// onlyReads says whether a file is opened for reading alone.
func (g *program) onlyReads(word string, from, to int) bool {
	reads, writes := false, false
	for i := from; i < to && i-from < 64; i++ {
		t := g.toks[i]
		switch t.Text {
		case "open", "read", "openread", "forreading", "r", "rb":
			reads = reads || t.Kind == page.Ident || word == "fopen"
		case "create", "openorcreate", "createnew", "append", "truncate", "write", "readwrite", "forwriting", "forappending":
			writes = true
		case "1":
			reads = reads || word == "opentextfile" && g.toks[i-1].Is(",")
		}
	}
	return reads && !writes || word == "opentextfile" && len(g.arguments(max(from-1, 0))) == 1
}

// namesPage says whether a file's name ends, as a constant, like that of a page.
func (g *program) namesPage(from, to int) bool {
	for i := from; i < to && i-from < 64; i++ {
		if t := g.toks[i]; t.Kind == page.String && len(t.Text) < 260 {
			switch page.EngineOf(t.Text) {
			case page.ASPNET, page.ClassicASP, page.JSP, page.PHPEngine:
				return true
			}
		}
	}
	return false
}

// other finds constructs that are not calls of a known name.
func (g *program) other(i int) (construct, bool) {
	t := g.toks[i]
	c := construct{off: int(t.Off), lang: t.Lang}
	switch {
	// info.Arguments = value, process.StartInfo.FileName = value
	case (t.Text == "arguments" || t.Text == "filename") && i > 1 && isMember(g.toks[i-1]) && i+1 < len(g.toks) && g.toks[i+1].Is("="):
		parts, _ := g.path(i)
		if !g.says("processstartinfo") && !contains(parts, "startinfo") && !(t.Text == "arguments" && g.says("process")) {
			return c, false
		}
		c.deed = starts
		g.flowInto(&c, i+2, g.statementEnd(i+2))
		return c, c.flow != constant
	// command.CommandText = value
	case t.Text == "commandtext" && i > 1 && isMember(g.toks[i-1]) && i+1 < len(g.toks) && g.toks[i+1].Is("="):
		c.deed = queries
		g.flowInto(&c, i+2, g.statementEnd(i+2))
		return c, c.flow == reaches
	// connection.ConnectionString = value
	case t.Text == "connectionstring" && i > 1 && isMember(g.toks[i-1]) && i+1 < len(g.toks) && g.toks[i+1].Is("="), databaseConnections[t.Text] && i+1 < len(g.toks) && g.toks[i+1].Is("("):
		g.flowInto(&c, i+2, g.statementEnd(i+2))
		if c.flow != reaches {
			return c, false
		}
		g.ownDatabase = true
		c.deed, c.flow = queries, unclear
		return c, true
	// a pattern with the modifier that has the replacement evaluated
	case t.Lang == page.PHP && patternFunctions[t.Text] && i+1 < len(g.toks) && g.toks[i+1].Is("(") && g.match[i+1] > 0:
		args := g.arguments(i + 1)
		if len(args) < 2 || !evalModifier(g.toks[args[0][0]:args[0][1]]) {
			return c, false
		}
		c.deed = evaluates
		g.flowInto(&c, args[1][0], int(g.match[i+1]))
		return c, true
	// $name(value) calls the function that a value names
	case t.Lang == page.PHP && strings.HasPrefix(t.Text, "$") && i+1 < len(g.toks) && g.toks[i+1].Is("(") && g.match[i+1] > 0:
		if g.next == nil || i > 0 && isMember(g.toks[i-1]) {
			return c, false // nothing comes in from outside
		}
		if g.vars == nil {
			g.vars = g.variables()
		}
		v := g.vars[t.Text]
		if v.closure {
			return c, false
		}
		c.deed = loads
		s, byName := g.tainted[t.Text]
		into, with := g.worst(i+2, int(g.match[i+1]))
		switch {
		case byName:
			c.flow, c.param, c.whole = reaches, s.param, true
		case with:
			c.flow, c.param, c.whole = reaches, into.param, v.built
		default:
			return c, false
		}
		return c, true
	// one field of the request names the function that is called with another
	case t.Lang == page.PHP && phpSources[t.Text] && i+1 < len(g.toks) && g.toks[i+1].Is("[") && g.match[i+1] > 0:
		open := int(g.match[i+1]) + 1
		if open < len(g.toks) && g.toks[open].Is("(") {
			c.deed, c.flow, c.whole, c.param = loads, reaches, true, g.parameterName(i)
			return c, true
		}
	// Function(value), this["name of the evaluator"](value)
	case t.Lang == page.JScript && i+1 < len(g.toks):
		from, to, ok := g.jscript(i)
		if !ok {
			return c, false
		}
		c.deed = evaluates
		g.flowInto(&c, from, to)
		return c, true
	}
	return c, false
}

// jscript finds the calls that evaluate text in JScript and do not look like it,
// and gives what goes into them.
func (g *program) jscript(i int) (from, to int, ok bool) {
	open := i + 1
	switch {
	case g.toks[i].Text == "function" && g.toks[open].Is("(") && (i == 0 || !g.toks[i-1].Word("new")):
		end := int(g.match[open])
		if end < open+2 || end+1 < len(g.toks) && (g.toks[end+1].Is("{") || g.toks[end+1].Is(":")) {
			return 0, 0, false // a function that is written out there
		}
	case g.toks[open].Is("[") && i+4 < len(g.toks) && g.toks[i+2].Kind == page.String && g.toks[i+3].Is("]") && g.toks[i+4].Is("("):
		if name := g.toks[i+2].Text; name != "ev"+"al" && name != "Function" {
			return 0, 0, false
		}
		open = i + 4
	default:
		return 0, 0, false
	}
	return open + 1, int(g.match[open]), g.match[open] > 0
}

// callbackFirst are the functions of PHP that take the name of a function as
// their first argument; the others take it last, or second to last.
var callbackFirst = set("call_user_func call_user_func_array forward_static_call array_map register_shutdown_function register_tick_function ob_start reflectionfunction")

// callback settles whether a function of PHP is made to call what a request names,
// or to give a dangerous function what a request carries.
func (g *program) callback(c *construct, i, from int) bool {
	args := g.arguments(max(from-1, 0))
	if len(args) == 0 {
		return false
	}
	name := args[len(args)-1]
	if callbackFirst[g.toks[i].Text] {
		name = args[0]
	}
	if s, ok := g.worst(name[0], name[1]); ok && (len(args) > 1 || callbackFirst[g.toks[i].Text]) {
		c.flow, c.param, c.whole = reaches, s.param, true
		return true
	}
	dangerous := -1
	for k, a := range args {
		if a[1]-a[0] == 1 && g.toks[a[0]].Kind == page.String && dangerousPHP[strings.ToLower(g.toks[a[0]].Text)] {
			dangerous = k
		}
	}
	if dangerous < 0 {
		return false
	}
	c.flow, c.whole = unclear, true
	for k, a := range args {
		if s, ok := g.worst(a[0], a[1]); ok && k != dangerous {
			c.flow, c.param = reaches, s.param
		}
	}
	return true
}

// dangerousPHP are functions that nobody passes by name but to hide the call.
var dangerousPHP = set("assert eval system exec shell_exec passthru popen proc_open create_function pcntl_exec call_user_func call_user_func_array")

// variable is what the program says about how a variable of PHP gets its value.
type variable struct {
	closure bool // from a function that is written out there
	built   bool // from pieces
}

// variables goes through the assignments once.
func (g *program) variables() map[string]variable {
	vars := map[string]variable{}
	for i := range g.toks {
		t := &g.toks[i]
		if i == 0 || t.Lang != page.PHP || !isAssignment(t) || i+1 >= len(g.toks) {
			continue
		}
		name := target(g.toks, i)
		if name == "" {
			continue
		}
		v := vars[name]
		v.closure = v.closure || g.toks[i+1].Word("function") || g.toks[i+1].Word("fn")
		for k := i + 1; k < len(g.toks) && k-i < 64 && g.toks[k].Kind != page.Break; k++ {
			if concat(&g.toks[k]) || g.toks[k].Is("^") || g.toks[k].Is("[") || g.toks[k].Is("{") || g.toks[k].Odd {
				v.built = true
				break
			}
		}
		vars[name] = v
	}
	return vars
}

// databaseConnections are types whose constructor takes what says which database to open.
var databaseConnections = set("sqlconnection oledbconnection odbcconnection mysqlconnection oracleconnection npgsqlconnection")

// evalModifier says whether a constant pattern carries the modifier that has its
// replacement evaluated.
func evalModifier(toks []page.Token) bool {
	if len(toks) != 1 || toks[0].Kind != page.String || len(toks[0].Text) < 3 {
		return false
	}
	s := toks[0].Text
	end := strings.LastIndexAny(s, "/#~|!@%})>]")
	return end > 0 && strings.ContainsRune(s[end+1:], 'e') && len(s)-end <= 10
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
