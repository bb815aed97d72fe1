package webfile

import (
	"cmp"
	"compress/gzip"
	"io"
	"slices"
	"strings"

	page "postern/internal/hunt/parse/webfile"
)

// Bounds of the analysis.
const (
	// maxCode is how much of a coded string is read as code; the largest program
	// seen in one has 300 KB. Pages have their bound in words.
	maxCode = 1 << 20
	// maxLayers is how many coded strings are opened, maxLayerDepth how deep they
	// may stand in each other, maxLayerTokens how much of each is read.
	maxLayers      = 64
	maxLayerDepth  = 3
	maxLayerTokens = 50_000
)

// Scores. What a page is found to do adds up; these are the borders.
const (
	scoreHigh   = 80 // a web shell
	scoreMedium = 55 // very likely one
	scoreWeak   = 35 // worth a look
)

// sign is something else that speaks for a web shell.
type sign uint8

// The signs.
const (
	signUnsafe   sign = iota // the flag that gives evaluated text every right
	signJoined               // strings put together from letters
	signCoded                // strings that are coded
	signOdd                  // names written with escapes, or comments between words
	signHidden               // words for the request inside a coded string
	signAssembly             // a program in a string
	signPassword             // a check of a password's digest
	signEncoded              // the encoded form of script engines
	signDecoder              // functions that decode, beside what runs their result
	signFormat               // code inside a file of another format
	signs                    // number of signs
)

// analysis is what a page was found to do.
type analysis struct {
	score      int
	constructs []construct // the worst first, one of each deed and strength
	signs      [signs]bool
	param      string
	takes      bool // something comes in from outside
	tokens     int
	// checksNames says that the page looks at the extension of uploaded files.
	checksNames bool
	dotNet      bool
	cut         bool
	signOff     int // where the first sign stands that is not a construct
	// drives says that it asks for the drives of the server.
	drives bool
	// lock says that it knows its visitor by a password of its own.
	lock bool
	// handles says what it does to files that the request names from the beginning.
	handles handling
	// results says that it reads what a database answers.
	results bool
	// fetches says that it takes something from another machine.
	fetches bool
	// interpreter says that it names the command interpreter and reads what a process says.
	interpreter bool
	// assemblies says that it speaks of assemblies, decrypts that it decrypts something.
	assemblies, decrypts bool
	does                 [deeds]bool
}

// space is what the analysis of a page takes for its words. Nothing in it is kept, so that
// it serves the next page.
type space struct {
	toks         []page.Token
	said         vocabulary
	match, folds pairs

	ends, joined, worded, next []int32 // as those of a program
	here, muted                []bool
}

// keptTokens is how large the space for a page may be to be kept for the next, in words of
// some 70 bytes.
const keptTokens = 16 << 10

// analyse finds out what the code of a page does with what comes with a request. brief says
// that nothing but score and constructs is asked for where there are none.
func (d *Detector) analyse(p *page.Page, brief bool) analysis {
	if brief && len(p.Regions) == 0 && silent(p) {
		return analysis{cut: p.Cut, dotNet: p.Engine == page.ASPNET}
	}
	s := d.spaces.Take()
	if s == nil {
		s = new(space)
	}
	defer d.spaces.Put(s)
	toks, cut := p.Tokens(s.toks)
	if cap(toks) <= keptTokens {
		s.toks = toks
		defer clear(toks) // they hold the text of the page
	} else {
		s = new(space) // such a page has one of its own
	}
	a := analysis{cut: cut, tokens: len(toks), dotNet: p.Engine == page.ASPNET}
	r := reading{d: d, a: &a, fold: folder{budget: maxFolded, pairs: &s.folds}}
	r.odd(toks)
	toks = r.fold.fold(toks)
	s.said = d.words.vocabularyOf(toks, s.said)
	if brief && s.said.idle(toks, p) {
		return a
	}
	g := r.read(newProgram(s.said, toks, p, s), p, 0)
	if p.Encoded {
		a.signs[signEncoded] = true
	}
	if p.XSLScript >= 0 {
		a.constructs = append(a.constructs, construct{deed: transforms, flow: unclear, off: p.XSLScript})
	}
	r.native(g)
	r.finish()
	return a
}

// reading is the state of one analysis.
type reading struct {
	d      *Detector
	a      *analysis
	fold   folder
	layers int
}

// read looks at a program and at the programs in its strings.
func (r *reading) read(g *program, p *page.Page, depth int) *program {
	var objects map[string]string
	if p != nil {
		objects = p.Objects
	}
	list := g.constructs(objects)
	for i := range list {
		list[i].layer = depth > 0
		if list[i].deed == queries && !g.ownDatabase {
			list[i].flow = constant
		}
	}
	r.a.checksNames = r.a.checksNames || g.checksNames()
	r.a.signs[signDecoder] = r.a.signs[signDecoder] || g.any(decoderWord)
	r.a.drives = r.a.drives || g.says("getlogicaldrives") || g.says("driveinfo") && g.says("getdrives")
	r.a.lock = r.a.lock || g.lock()
	r.a.results = r.a.results || g.any(readerWord)
	r.a.fetches = r.a.fetches || g.any(fetcherWord)
	r.a.assemblies = r.a.assemblies || g.says("assembly")
	r.a.decrypts = r.a.decrypts || g.says("createdecryptor") || g.says("transformfinalblock")
	r.a.constructs = append(r.a.constructs, list...)
	if g.first != nil {
		r.a.takes = true
		if r.a.param == "" {
			r.a.param = g.first.param
		}
		if depth > 0 {
			r.a.signs[signHidden] = true
		}
	}
	if s, ok := g.hidden(); ok {
		r.a.signs[signHidden] = true
		r.a.signOff = cmp.Or(r.a.signOff, s.off)
	}
	if depth < maxLayerDepth {
		r.strings(g, len(list) > 0, depth)
	}
	return g
}

// decoders are functions that make text of something else; beside a construct that
// runs text whose origin the program does not say, they say what it is for.
var decoders = set("base64_decode gzinflate gzuncompress gzdecode str_rot13 strrev frombase64string convert_uudecode hex2bin unescape strreverse transformfinalblock createdecryptor decodebuffer getdecoder chr chrw gzipstream deflatestream")

// readers are methods that give what a database answers.
var readers = set("fill executereader executescalar executexmlreader")

// fetchers are methods that take something from another machine.
var fetchers = set("downloaddata downloadstring downloadfile")

// lock says whether a program compares what the request carries under the name of a
// password with a constant: sites keep the passwords of their visitors elsewhere.
func (g *program) lock() bool {
	for i, s := range g.sources {
		if name := strings.ToLower(s.param); name == "" || !strings.Contains(name, "pass") && !strings.Contains(name, "pwd") && !strings.Contains(name, "auth") && !strings.Contains(name, "key") {
			continue
		}
		for k := i; k+1 < len(g.toks) && k-i < 12 && g.toks[k].Kind != page.Break; k++ {
			if t := g.toks[k]; (t.Is("==") || t.Is("!=") || t.Is("<>")) && g.toks[k+1].Kind == page.String && g.toks[k+1].Text != "" {
				return true
			}
		}
	}
	return false
}

// checksNames says whether a program looks at the extension of a file's name, as
// honest upload forms do.
func (g *program) checksNames() bool {
	if g.says("getextension") || g.says("pathinfo") || g.says("getextensionname") {
		return true
	}
	images := 0
	for _, i := range g.strings {
		// All of these have a 'g' in them, and most strings of a program have none.
		if t := &g.toks[i]; len(t.Text) < 80 && (strings.IndexByte(t.Text, 'g') >= 0 || strings.IndexByte(t.Text, 'G') >= 0) {
			switch s := strings.ToLower(t.Text); {
			case strings.Contains(s, "jpg"), strings.Contains(s, "jpeg"), strings.Contains(s, "gif"), strings.Contains(s, "png"):
				images++
			}
		}
	}
	return images >= 2
}

// strings opens those strings of a program that may be programs themselves.
func (r *reading) strings(g *program, dangerous bool, depth int) {
	for _, at := range g.strings {
		t := &g.toks[at]
		if r.layers >= maxLayers {
			return
		}
		switch plain, coded := opened(g.toks, int(at), dangerous); {
		case plain:
			r.layer(t.Text, *t, depth)
		case coded:
			if s, ok := unbase64(t.Text); ok {
				r.layer(s, *t, depth)
			}
		}
	}
}

// opened says whether the string at i is looked at as a program, as it stands or decoded
// from base64. dangerous says that the program around it does something that counts.
func opened(toks []page.Token, i int, dangerous bool) (plain, coded bool) {
	switch t := &toks[i]; {
	case len(t.Text) < 8, len(t.Text) < 12 && !t.Odd:
	case t.Odd || dangerous && evaluated(toks, i):
		return true, false
	case len(t.Text) >= 64 && looksBase64(t.Text):
		return false, true
	}
	return false, false
}

// evaluated says whether the string at i stands in the brackets of a function
// that evaluates or compiles.
func evaluated(toks []page.Token, i int) bool {
	for k := i - 1; k >= 0 && i-k < 32 && toks[k].Kind != page.Break; k-- {
		switch toks[k].Text {
		case "eval", "execute", "executeglobal", "assert", "create_function", "executestatement", "addcode", "addscript",
			"compileassemblyfromsource", "preg_replace", "call_user_func", "array_map", "write", "writealltext", "fwrite", "fputs", "file_put_contents":
			return true
		}
	}
	return false
}

// layer reads a decoded string as a program, or recognises one in it.
func (r *reading) layer(s string, t page.Token, depth int) {
	s = unpack(s)
	if isAssembly(s) {
		r.a.signs[signAssembly] = true
		r.a.signOff = cmp.Or(r.a.signOff, int(t.Off))
		return
	}
	if !looksLikeCode(s) {
		return
	}
	r.layers++
	s = s[:min(len(s), maxCode)]
	lang := t.Lang
	if strings.Contains(s, "<%") || strings.Contains(s, "<?") || page.IndexFold([]byte(s), "<script") >= 0 {
		// a page in a string: what a page writes to make another one
		inner := page.Split(page.Decode([]byte(s)), "")
		toks, _ := inner.Tokens(nil)
		toks = toks[:min(len(toks), maxLayerTokens)]
		for i := range toks {
			toks[i].Off = t.Off
		}
		r.readLayer(toks, inner, depth+1)
		return
	}
	r.readLayer(page.Lex(s, lang, int(t.Off), maxLayerTokens), nil, depth+1)
}

func (r *reading) readLayer(toks []page.Token, p *page.Page, depth int) {
	toks = r.fold.fold(toks)
	r.read(newProgram(r.d.words.vocabularyOf(toks, vocabulary{}), toks, p, new(space)), p, depth)
}

// gzipped is what the form of gzip begins with.
const gzipped = "\x1f\x8b"

// unpack undoes gzip, in which programs in strings often are.
func unpack(s string) string {
	if !strings.HasPrefix(s, gzipped) {
		return s
	}
	z, err := gzip.NewReader(strings.NewReader(s))
	if err != nil {
		return s
	}
	b, _ := io.ReadAll(io.LimitReader(z, maxInflated)) // a cut program is still one
	return string(b)
}

func isAssembly(s string) bool {
	return len(s) > 512 && strings.HasPrefix(s, "MZ") && strings.Contains(s[:min(len(s), 1024)], "PE\x00\x00")
}

func looksBase64(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '+' || c == '/' || c == '=' || c == '-' || c == '_' || c == '\n' || c == '\r') {
			return false
		}
	}
	return true
}

// looksLikeCode says whether a string is text in which something is called.
func looksLikeCode(s string) bool {
	s = s[:min(len(s), 4096)]
	odd := 0
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			odd++
		}
	}
	return odd*20 < len(s)+1 && strings.ContainsAny(s, "([$`<")
}

// odd notes words that were written so as not to be found.
func (r *reading) odd(toks []page.Token) {
	n := 0
	for i := range toks {
		if t := &toks[i]; t.Odd && (t.Kind == page.Ident || t.Kind == page.Punct || t.Kind == page.String) {
			if n++; n == 3 {
				r.a.signs[signOdd] = true
				r.a.signOff = cmp.Or(r.a.signOff, int(t.Off))
			}
		}
	}
}

// nativeWords are functions of the system that a page has no use for but to run
// machine code, or to tie a process to a socket.
var nativeWords = set(`virtualalloc virtualallocex createthread createremotethread writeprocessmemory queueuserapc rtlmovememory
	getdelegateforfunctionpointer ntcreatethreadex virtualprotect
	createprocess createprocessasuser createprocesswithtokenw createprocesswithlogonw startupinfo wsasocket wsasocketa wsasocketw wsaconnect`)

// registryHives are the roots of the registry. Programs read the settings of one;
// who asks for the names of the keys below three looks for something.
var registryHives = set("localmachine classesroot currentuser currentconfig users performancedata dyndata")

// sectionWords are those of the settings that sign sessions.
var sectionWords = set("machinekeysection validationkey decryptionkey")

// native finds what shows in single words and strings rather than in calls.
func (r *reading) native(g *program) {
	machine, at, section, secret := map[string]bool{}, -1, -1, false
	hives, hive, registry := map[string]bool{}, -1, g.says("registry") && g.says("getsubkeynames")
	if registry || g.any(machineWord|sectionWord) {
		for i := range g.toks {
			t := &g.toks[i]
			if t.Kind != page.Ident {
				continue
			}
			if nativeWords[t.Text] {
				machine[t.Text] = true
				at = int(t.Off)
			}
			if registry && registryHives[t.Text] {
				hives[t.Text], hive = true, int(t.Off)
			}
			switch t.Text {
			case "machinekeysection":
				section = i
			case "validationkey", "decryptionkey":
				secret = true
			}
		}
	}
	digests := g.says("md5") || g.says("sha1") || g.says("computehash") || g.says("hashpasswordforstoringinconfigfile")
	answers := g.says("standardoutput")
	for _, i := range g.strings {
		t := &g.toks[i]
		if !secret && !answers && !digests && t.Lang != page.JScript && !mayNameCommand(t.Text) {
			continue // nothing below would come of it
		}
		switch lower := strings.ToLower(t.Text[:min(len(t.Text), 256)]); {
		case strings.Contains(lower, "machinekeysection"):
			section = max(section, int(i))
		case namesCommand(lower):
			r.a.constructs = append(r.a.constructs, construct{deed: databases, flow: unclear, off: int(t.Off)})
		case strings.Contains(lower, "cmd.exe"), strings.Contains(lower, "powershell"), strings.TrimSpace(lower) == "cmd":
			r.a.interpreter = answers
		case lower == "unsafe" && t.Lang == page.JScript:
			r.a.signs[signUnsafe] = true
		case digests && isDigest(t.Text):
			r.a.signs[signPassword] = true
		}
	}
	if section >= 0 && secret {
		r.a.constructs = append(r.a.constructs, construct{deed: keys, flow: unclear, off: int(g.toks[section].Off)})
	}
	if len(hives) >= 3 {
		r.a.constructs = append(r.a.constructs, construct{deed: surveys, flow: unclear, off: hive})
	}
	if len(machine) >= 2 {
		r.a.constructs = append(r.a.constructs, construct{deed: native, flow: unclear, off: at})
	}
}

// namesCommand says whether a statement, in lower case, is one by which a database runs a
// command of the system. mayNameCommand is the cheap question before it.
func namesCommand(lower string) bool {
	return strings.Contains(lower, "xp_"+"cmdshell") || strings.Contains(lower, "sp_"+"oacreate")
}

func mayNameCommand(s string) bool {
	for at := 0; ; at++ {
		i := strings.IndexByte(s[at:], '_')
		if i < 0 {
			return false
		}
		if at += i; at > 0 && s[at-1]|0x20 == 'p' {
			return true
		}
	}
}

func isDigest(s string) bool {
	if len(s) != 32 && len(s) != 40 && len(s) != 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !(s[i] >= '0' && s[i] <= '9' || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'f') {
			return false
		}
	}
	return true
}

// finish adds up and keeps the worst of each kind of construct.
func (r *reading) finish() {
	a := r.a
	a.signs[signJoined] = r.fold.joined >= 2
	a.signs[signCoded] = r.fold.decoded >= 1
	for _, c := range a.constructs {
		a.does[c.deed] = true
		if c.flow == reaches && c.leads && (c.whole || c.deed == writes) {
			a.handles |= c.handles
		}
	}
	slices.SortStableFunc(a.constructs, func(x, y construct) int {
		return cmp.Or(-cmp.Compare(a.weight(x), a.weight(y)), cmp.Compare(x.off, y.off))
	})
	var seen [deeds][reaches + 1]bool
	kept := a.constructs[:0]
	sum := 0
	for _, c := range a.constructs {
		if seen[c.deed][c.flow] || a.weight(c) == 0 {
			continue
		}
		seen[c.deed][c.flow] = true
		kept = append(kept, c)
		w := a.weight(c)
		if len(kept) == 1 {
			sum = w
		} else {
			sum += w / 4 // a second deed adds to the first, it does not double it
		}
		if a.param == "" || len(kept) == 1 && c.param != "" {
			a.param = cmp.Or(c.param, a.param)
		}
	}
	a.constructs = kept
	if len(kept) > 0 {
		sum += a.signWeight()
	} else if a.signs[signHidden] && a.signs[signCoded] {
		sum = max(a.signWeight(), weightHidden)
	} else if a.signs[signEncoded] {
		sum = scoreWeak
	}
	a.score = sum
	a.param = strings.Clone(a.param) // it is reported, and the words of a page are parts of its text
}

// weight says how much one construct counts by itself.
func (a *analysis) weight(c construct) int {
	switch c.flow {
	case reaches:
		return a.reachesWeight(c)
	case constant:
		switch {
		case c.deed == starts && a.dotNet:
			return max(35, a.company(c.deed)) // even with a command of its own, a page of a site starts none
		case c.deed == connects && a.dotNet:
			return a.company(c.deed)
		case c.deed <= compiles:
			return 20
		}
		return 0
	}
	w := a.unclearWeight(c)
	if c.layer && c.deed <= compiles {
		return max(w, weightHidden)
	}
	return w
}

// weightHidden: nobody hides an honest program.
const weightHidden = 60

// company says how much a construct of ASP.NET counts for what stands beside it, of
// which no honest page does both: a process whose words go over a connection, the
// command interpreter with its answer shown, a program brought from elsewhere or
// decrypted.
func (a *analysis) company(d deed) int {
	switch {
	case !a.dotNet:
	case d == starts && (a.does[connects] || a.interpreter || a.fetches),
		d == connects && a.does[starts],
		d <= compiles && a.fetches && (d != loads || a.assemblies),
		d == loads && a.assemblies && a.decrypts && a.takes:
		return 60
	}
	return 0
}

func (a *analysis) reachesWeight(c construct) int {
	w := 0
	switch c.deed {
	case evaluates, starts:
		w = 100
	case loads, compiles, connects:
		w = 90
	case deserialises, transforms:
		w = 80
	case includes:
		w = 50
		if c.lang != page.PHP {
			w = 80
		}
	case surveys:
		w = 70
	case queries:
		switch {
		case c.whole:
			return 85
		case a.results: // what setup programs do not ask for
			return 60
		}
		return 40
	case browses:
		switch {
		case !c.whole:
			return 0
		case a.drives, c.leads && a.handles.several() && !a.checksNames:
			return 60
		}
		return 30
	case writes, uploads:
		// To keep what is sent under a name that the program chooses, or in a folder
		// of its own, is what every upload form does.
		if c.whole && !c.straight && a.tokens > mainPage && c.lang.Basic() {
			return 45
		}
		if c.whole && !a.checksNames || a.tokens < tinyPage && !a.checksNames && c.param != "" {
			return 85
		}
		if a.dotNet && !a.checksNames && (c.leads || c.beside && a.lock) {
			return 60
		}
		return 30
	}
	switch {
	case c.deed == evaluates && !c.whole && !c.straight:
		// Text of the program's own with a value in it: an expression, JSON.
		return 45
	case c.deed == connects && c.lang == page.PHP:
		return 45 // what a proxy for pictures does
	}
	if !c.straight && a.tokens > hugePage {
		// Among thousands of names one may stand for two things.
		return w / 2
	}
	return w
}

// The sizes of pages, in tokens: one that can do one thing only, a small one, and
// one in which names no longer say much.
const (
	tinyPage  = 150
	smallPage = 250
	mainPage  = 1_500
	hugePage  = 4_000
)

// unclearWeight is for constructs into which something goes of which the program
// does not say whence. The smaller the page, the less else there is for it to be.
func (a *analysis) unclearWeight(c construct) int {
	share := 0
	switch {
	case a.tokens < smallPage && (a.takes || a.signs[signCoded] || a.signs[signDecoder]):
		share = 3
	case a.tokens < mainPage && a.takes:
		share = 2
	case a.takes:
		share = 1
	}
	switch c.deed {
	case evaluates:
		if c.lang == page.JScript && a.dotNet {
			return 60 // no page of ASP.NET has use for it
		}
		return max([4]int{20, 30, 40, 60}[share], a.company(c.deed))
	case starts, loads, compiles:
		if c.deed == starts && a.dotNet {
			return max([4]int{35, 35, 40, 60}[share], a.company(c.deed))
		}
		return max([4]int{20, 30, 40, 60}[share], a.company(c.deed))
	case keys, native, surveys, listens:
		return 60
	case includes:
		if c.lang == page.PHP {
			return 0
		}
		return [4]int{20, 30, 40, 60}[share]
	case queries:
		return 30
	case plants:
		switch {
		case a.dotNet && a.tokens < tinyPage:
			return 60 // there is nothing else for it to do
		case a.tokens < smallPage:
			return 40
		}
		return 10
	case databases:
		if a.takes {
			return 60
		}
		return 15
	case connects:
		return max([4]int{15, 20, 30, 40}[share], a.company(c.deed))
	case transforms, deserialises:
		return [4]int{15, 20, 30, 40}[share]
	case writes, uploads:
		return [4]int{0, 5, 10, 20}[share]
	}
	return 0
}

// signWeights say what each sign adds to a page that does something dangerous.
var signWeights = [signs]int{
	signUnsafe: 15, signJoined: 15, signCoded: 10, signOdd: 15, signHidden: 40, signAssembly: 40,
	signPassword: 10, signEncoded: 5, signFormat: 40,
}

func (a *analysis) signWeight() int {
	sum := 0
	for s, w := range signWeights {
		if a.signs[s] {
			sum += w
		}
	}
	return sum
}
