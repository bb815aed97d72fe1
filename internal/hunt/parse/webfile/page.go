package webfile

import (
	"bytes"
	"cmp"
	"path"
	"strings"
)

// Bounds of a page. What lies beyond them is not looked at, and [Page.Cut] says so.
const (
	// MaxRegions is how many stretches of code are kept. The largest real pages
	// have under 2,000.
	MaxRegions = 20_000
	// maxTag is how long a tag or directive may be. Real ones stay under 2 KB.
	maxTag = 16 << 10
	// maxTagWork is how many bytes of start tags are walked in all. Tags nested in
	// unclosed tags would otherwise cost the square of the file; an honest page
	// costs no more than its length.
	maxTagWork = 16 << 20
	// maxControls is how many names of input controls are kept.
	maxControls = 4_096
	// maxExpression is how long ${…} may be. Real ones are a line.
	maxExpression = 4 << 10
	// maxDirectives is how many directives are kept; real pages have under 100.
	maxDirectives = 512
)

// Engine is the program of the server that runs a file.
type Engine uint8

// The engines. None is a file that no engine runs under its name.
const (
	None Engine = iota
	ASPNET
	ClassicASP
	JSP
	PHPEngine
)

// engines maps extensions to the engine that runs them on a server as it is
// installed. IIS hands .cer and .cdx to classic ASP, which uploads forget.
var engines = map[string]Engine{
	".aspx": ASPNET, ".ascx": ASPNET, ".master": ASPNET, ".ashx": ASPNET, ".asmx": ASPNET,
	".asax": ASPNET, ".soap": ASPNET, ".svc": ASPNET, ".rem": ASPNET, ".skin": ASPNET,
	".asp": ClassicASP, ".asa": ClassicASP, ".cer": ClassicASP, ".cdx": ClassicASP, ".htr": ClassicASP,
	".jsp": JSP, ".jspx": JSP, ".jspf": JSP, ".jspa": JSP, ".jsw": JSP, ".jsv": JSP,
	".php": PHPEngine, ".php3": PHPEngine, ".php4": PHPEngine, ".php5": PHPEngine, ".php7": PHPEngine,
	".php8": PHPEngine, ".phtml": PHPEngine, ".pht": PHPEngine, ".phar": PHPEngine,
}

// EngineOf says which engine runs a file of that name.
func EngineOf(name string) Engine { return engines[strings.ToLower(path.Ext(name))] }

// Mode is how a region of code stands in its page.
type Mode uint8

// The modes of a region.
const (
	Block   Mode = iota // statements between <% and %>, or <?php and ?>
	Output              // <%= expression %>
	Bind                // <%# data binding %>
	Script              // a script element that runs on the server
	Whole               // a handler or service: everything after the directive
	Element             // an element of an XML document, whose text has entities
)

// Region is a stretch of code that runs on the server.
type Region struct {
	Lang       Lang
	Mode       Mode
	Start, End int // in the page's text
}

// Directive is <%@ Name attribute="value" %>.
type Directive struct {
	Name  string            // lower case, "" where only attributes stand
	Attrs map[string]string // names in lower case
	Start int
}

// Page is a file that a web server runs.
type Page struct {
	Text       Text
	Engine     Engine
	Lang       Lang // of the regions that do not name their own
	Directives []Directive
	Regions    []Region
	// Inputs are the names, in lower case, of elements that hand what the visitor
	// typed or sent to the code.
	Inputs map[string]bool
	// Uploads are those that hand over files.
	Uploads map[string]bool
	// Objects are COM objects that the page declares: name in lower case to
	// program or class identifier.
	Objects map[string]string
	// CodeBehind is the file or class that a directive names for the page's code.
	CodeBehind string
	// Encoded says that code stood in the encoded form of Microsoft's script engines.
	// It has been decoded in Text.
	Encoded bool
	// XSLScript is where a style sheet with script of its own begins, -1 if none does.
	XSLScript int
	// Program says that the file's extension makes it a program as a whole, not a page.
	Program bool
	Cut     bool
}

// Split finds what of a text runs on the server. name is the file's name; for a
// name that no engine runs, every engine's marks are read.
func Split(t Text, name string) *Page {
	p := &Page{Text: t, Engine: EngineOf(name), XSLScript: -1}
	switch strings.ToLower(path.Ext(name)) {
	case ".ashx", ".asmx", ".soap", ".svc":
		p.Program = true
	}
	if plain, ok := decodeScripts(t.Bytes); ok {
		p.Encoded, p.Text.Bytes = true, plain
	}
	s := splitter{p: p, b: p.Text.Bytes}
	s.run()
	p.settleLanguages()
	return p
}

type splitter struct {
	p     *Page
	b     []byte
	at    int
	lang  Lang       // named by a directive
	whole int        // where the code of a handler begins, 0 if this is none
	work  int        // bytes of start tags walked
	attrs attributes // of the tag that is read, kept for the next
}

// run walks from one '<' to the next. Whatever is no mark of an engine is passed over.
func (s *splitter) run() {
	for s.at < len(s.b) && !s.p.Cut {
		i := bytes.IndexByte(s.b[s.at:], '<')
		if i < 0 {
			break
		}
		s.at += i
		rest := s.b[s.at:]
		switch {
		case len(rest) < 3:
			s.at = len(s.b)
		case rest[1] == '%' && s.p.Engine != PHPEngine:
			s.percent()
		case rest[1] == '?' && (s.p.Engine == PHPEngine || s.p.Engine == None):
			s.question()
		case isLetter(rest[1]):
			s.tag()
		default:
			s.at++
		}
		if s.whole > 0 {
			s.add(Region{Lang: s.lang, Mode: Whole, Start: s.whole, End: len(s.b)})
			return
		}
	}
	s.expressions()
}

func (s *splitter) add(r Region) {
	if len(s.p.Regions) >= MaxRegions {
		s.p.Cut = true
		return
	}
	s.p.Regions = append(s.p.Regions, r)
}

// percent reads <% … %>, which engines end at the first %> whatever stands before.
func (s *splitter) percent() {
	start := s.at + 2
	if bytes.HasPrefix(s.b[start:], []byte("--")) {
		s.at = s.after(start, "--%>")
		return
	}
	end := bytes.Index(s.b[start:], []byte("%>"))
	next := len(s.b)
	if end < 0 {
		end = len(s.b)
	} else {
		end += start
		next = end + 2
	}
	s.at = next
	body := skipSpace(s.b, start, end)
	if body < end && s.b[body] == '@' {
		s.directive(start-2, body+1, end, next)
		return
	}
	mode := Block
	switch {
	case start >= end:
		return
	case s.b[start] == '=' || s.b[start] == ':':
		mode, start = Output, start+1
	case s.b[start] == '#':
		mode, start = Bind, start+1
		if start < end && s.b[start] == ':' {
			start++
		}
	case s.b[start] == '$':
		return // an expression of the configuration, no code
	case s.b[start] == '!':
		start++
	}
	s.add(Region{Lang: Unknown, Mode: mode, Start: start, End: end})
}

func (s *splitter) directive(at, start, end, next int) {
	d := Directive{Attrs: map[string]string{}, Start: at}
	i := skipSpace(s.b, start, end)
	word := i
	for i < end && (isLetter(s.b[i]) || s.b[i] >= '0' && s.b[i] <= '9') {
		i++
	}
	name := strings.ToLower(string(s.b[word:i]))
	if after := skipSpace(s.b, i, end); after < end && s.b[after] == '=' {
		i = word // classic ASP: attributes alone
	} else {
		d.Name = name
	}
	if end-i > maxTag {
		end = i + maxTag
	}
	s.attrs = readAttributes(s.b[i:end], s.attrs)
	for _, a := range s.attrs {
		d.Attrs[strings.ToLower(string(a.name))] = string(a.value)
	}
	if len(s.p.Directives) < maxDirectives {
		s.p.Directives = append(s.p.Directives, d)
	}
	if lang := ParseLang(d.Attrs["language"], s.p.Engine == ClassicASP); lang != Unknown && (s.lang == Unknown || isMain(d.Name)) {
		s.lang = lang
	}
	for _, a := range [...]string{"codebehind", "codefile", "src"} {
		if v := d.Attrs[a]; v != "" && isMain(d.Name) && s.p.CodeBehind == "" {
			s.p.CodeBehind = v
		}
	}
	switch {
	case d.Name == "webhandler", d.Name == "webservice", d.Name == "servicehost", s.p.Program && d.Attrs["class"] != "":
		// What follows is a program to its last byte, unless it lives elsewhere.
		if body := skipSpace(s.b, next, len(s.b)); body < len(s.b) {
			s.whole = next
		}
	}
}

// isMain says whether a directive is the one that describes the file itself.
func isMain(name string) bool {
	switch name {
	case "", "page", "control", "master", "application", "webhandler", "webservice", "servicehost":
		return true
	}
	return false
}

// question reads <? … ?>. The end is looked for by the lexer, since a string may
// hold it; here the first one behind the region's own is taken.
func (s *splitter) question() {
	start := s.at + 2
	switch rest := s.b[start:]; {
	case hasFold(rest, "xml"):
		s.at = s.after(start, "?>")
		return
	case hasFold(rest, "php"):
		start += 3
	case rest[0] == '=':
		start++
	case rest[0] > ' ' && s.p.Engine != PHPEngine:
		s.at++ // in other files a bare "<?" means nothing
		return
	}
	end := phpEnd(s.b, start)
	s.add(Region{Lang: PHP, Mode: Block, Start: start, End: end})
	s.at = end
}

// tag reads an element's start tag: a script, an input control, an object.
func (s *splitter) tag() {
	written, body := s.tagName()
	colon := bytes.IndexByte(written, ':')
	qualified := colon >= 0
	if !qualified && !isElement(written, false) {
		s.at++
		return
	}
	end := s.tagEnd(body)
	if end < 0 || qualified && !isElement(written[colon+1:], true) {
		s.at = body
		return
	}
	name := string(written)
	lower := strings.ToLower(name)
	prefix, local, _ := strings.Cut(lower, ":")
	if !qualified {
		local = lower
	}
	s.attrs = s.attrs[:0]
	if local == "script" || lower == "object" || isInput(local) || isUpload(local) {
		s.attrs = readAttributes(s.b[body:end], s.attrs)
	}
	attrs := s.attrs
	next := end + 1
	closed := end > body && s.b[end-1] == '/'
	s.at = body
	switch {
	case lower == "script":
		s.script(attrs, next, closed)
	case qualified && (local == "scriptlet" || local == "declaration" || local == "expression") && s.p.Engine != ASPNET && !closed:
		stop := s.find(next, "</"+name)
		s.add(Region{Lang: Java, Mode: Element, Start: next, End: stop})
		s.at = stop
	case qualified && local == "script" && (prefix == "msxsl" || attrs.value("implements-prefix") != ""):
		if s.p.XSLScript < 0 {
			s.p.XSLScript = body - len(name) - 1
		}
		stop := s.find(next, "</"+name)
		lang := ParseLang(attrs.value("language"), false)
		if lang == Unknown {
			lang = JScript
		}
		s.add(Region{Lang: lang, Mode: Element, Start: next, End: stop})
		s.at = stop
	case lower == "object" && attrs.server():
		s.object(attrs)
	case attrs.server():
		s.control(local, attrs)
	}
}

func (s *splitter) tagName() (name []byte, body int) {
	i := s.at + 1
	for i < len(s.b) && i-s.at < 64 && (isLetter(s.b[i]) || s.b[i] >= '0' && s.b[i] <= '9' || s.b[i] == ':' || s.b[i] == '-' || s.b[i] == '_' || s.b[i] == '.') {
		i++
	}
	return s.b[s.at+1 : i], i
}

func (s *splitter) script(attrs attributes, next int, closed bool) {
	lang := ParseLang(attrs.value("language"), s.p.Engine == ClassicASP)
	if !attrs.server() && lang != PHP {
		return
	}
	if lang == PHP && s.p.Engine != PHPEngine && s.p.Engine != None {
		return
	}
	if closed {
		return
	}
	stop := s.find(next, "</script")
	s.add(Region{Lang: lang, Mode: Script, Start: next, End: stop})
	s.at = stop
}

func (s *splitter) object(attrs attributes) {
	id := cmp.Or(attrs.value("progid"), strings.TrimPrefix(strings.ToLower(attrs.value("classid")), "clsid:"))
	if name := attrs.value("id"); name != "" && id != "" && len(s.p.Objects) < maxControls {
		if s.p.Objects == nil {
			s.p.Objects = map[string]string{}
		}
		s.p.Objects[strings.ToLower(name)] = strings.ToLower(id)
	}
}

func (s *splitter) control(local string, attrs attributes) {
	id := strings.ToLower(attrs.value("id"))
	if id == "" || len(s.p.Inputs)+len(s.p.Uploads) >= maxControls {
		return
	}
	kind := strings.ToLower(attrs.value("type"))
	switch {
	case isUpload(local), local == "input" && kind == "file":
		if s.p.Uploads == nil {
			s.p.Uploads = map[string]bool{}
		}
		s.p.Uploads[id] = true
	case isInput(local) && (local != "input" || kind == "" || kind == "text" || kind == "hidden" || kind == "password"):
		if s.p.Inputs == nil {
			s.p.Inputs = map[string]bool{}
		}
		s.p.Inputs[id] = true
	}
}

// isUpload says whether an element is one that hands over files, whatever its type.
func isUpload(local string) bool { return local == "fileupload" || local == "inputfile" }

// isInput says whether an element is one that hands over what a visitor typed or sent;
// of the element input only some types are.
func isInput(local string) bool {
	switch local {
	case "textbox", "hiddenfield", "textarea", "select", "dropdownlist", "listbox", "radiobuttonlist", "input":
		return true
	}
	return false
}

// expressions finds ${…} and #{…} of a JSP that call Java through the expression
// language; without a call they can do nothing.
func (s *splitter) expressions() {
	if s.p.Engine != JSP {
		return
	}
	for at := 0; !s.p.Cut; {
		i := bytes.IndexByte(s.b[at:], '{')
		if i < 0 {
			return
		}
		at += i + 1
		if at < 2 || s.b[at-2] != '$' && s.b[at-2] != '#' {
			continue
		}
		window := s.b[at:min(at+maxExpression, len(s.b))]
		end := bytes.IndexByte(window, '}')
		if end < 0 {
			continue
		}
		if e := window[:end]; bytes.IndexByte(e, '(') >= 0 && (bytes.Contains(e, []byte("Class")) || bytes.Contains(e, []byte("param"))) {
			s.add(Region{Lang: Java, Mode: Output, Start: at, End: at + end})
		}
	}
}

// settleLanguages gives every region a language: its own, that of the directive,
// that of the extension, or the one that the code looks like.
func (p *Page) settleLanguages() {
	p.Lang = p.directiveLang()
	var guess Lang
	for i := range p.Regions {
		r := &p.Regions[i]
		if r.Lang != Unknown {
			continue
		}
		if p.Lang != Unknown {
			r.Lang = p.Lang
			continue
		}
		if guess == Unknown {
			guess = p.guessLang()
		}
		r.Lang = guess
	}
	if p.Lang == Unknown {
		p.Lang = guess
	}
}

func (p *Page) directiveLang() Lang {
	if p.Engine == JSP {
		return Java
	}
	var lang Lang
	for _, d := range p.Directives {
		if l := ParseLang(d.Attrs["language"], p.Engine == ClassicASP || d.Name == ""); l != Unknown && (lang == Unknown || isMain(d.Name)) {
			lang = l
		}
	}
	return lang
}

// guessLang reads the language off the code: a page of ASP.NET without a language
// is Basic by the book, but a server can be told otherwise.
func (p *Page) guessLang() Lang {
	var curly, basic int
	for _, r := range p.Regions {
		if r.Lang != Unknown {
			continue
		}
		code := bytes.ToLower(p.Text.Bytes[r.Start:min(r.End, r.Start+64<<10)])
		for _, w := range [...]string{";", "{", "\" +", "&&", "new ", "=="} {
			curly += bytes.Count(code, []byte(w))
		}
		for _, w := range [...]string{"end if", "end sub", "end function", "dim ", " then", "\nset ", " & ", "request(\"", "response.write ", "<>"} {
			basic += 2 * bytes.Count(code, []byte(w))
		}
	}
	switch {
	case p.Engine == ASPNET && curly > basic:
		return CSharp
	case p.Engine == ASPNET:
		return VBNet
	case p.Engine == ClassicASP && curly > 3*basic+8:
		return JScript
	case p.Engine == ClassicASP:
		return VBScript
	case curly > basic:
		return CSharp
	}
	return VBScript
}

// Code says whether anything in the file runs on the server.
func (p *Page) Code() bool {
	for _, r := range p.Regions {
		if skipSpace(p.Text.Bytes, r.Start, r.End) < r.End {
			return true
		}
	}
	return false
}

// isElement says whether an element, in any case, is one that a page is asked for; most are
// not. local is the part of a name behind its prefix.
func isElement(name []byte, local bool) bool {
	if len(name) > maxElement {
		return false
	}
	var lower [maxElement]byte
	for i, c := range name {
		lower[i] = small[c]
	}
	switch n := string(lower[:len(name)]); n {
	case "script", "object", "input", "textarea", "select":
		return true
	case "scriptlet", "declaration", "expression":
		return local
	default:
		return local && (isInput(n) || isUpload(n))
	}
}

// maxElement is the length of the longest such name.
const maxElement = len("radiobuttonlist")

// after gives the position behind the next stop, or the end of the text.
func (s *splitter) after(from int, stop string) int {
	if i := bytes.Index(s.b[from:], []byte(stop)); i >= 0 {
		return from + i + len(stop)
	}
	return len(s.b)
}

// find gives the position of the next stop in any case, or the end of the text.
func (s *splitter) find(from int, stop string) int {
	for at := from; at < len(s.b); {
		i := bytes.IndexByte(s.b[at:], stop[0])
		if i < 0 {
			break
		}
		at += i
		if hasFold(s.b[at:], stop) {
			return at
		}
		at++
	}
	return len(s.b)
}

// tagEnd gives the position of the '>' that ends a tag, -1 if it has none in reach.
// A '>' in a quoted value, or behind a '%' there, does not end it.
func (s *splitter) tagEnd(from int) int {
	reach := min(len(s.b), from+maxTag)
	end := min(reach, from+maxTagWork-s.work)
	for i := from; i < end; i++ {
		switch c := s.b[i]; {
		case c == '"' || c == '\'':
			n := bytes.IndexByte(s.b[i+1:end], c)
			if n < 0 {
				i = end
			} else {
				i += n + 1
			}
		case c == '>' && (i == from || s.b[i-1] != '%'):
			s.work += i + 1 - from
			return i
		}
	}
	s.work += end - from
	s.p.Cut = s.p.Cut || end < reach
	return -1
}

// attribute is name="value". Both are parts of the page.
type attribute struct{ name, value []byte }

// attributes are those of one tag, of each name the first.
type attributes []attribute

// value gives the value of the attribute with a name, "" without one.
func (a attributes) value(name string) string {
	if i := a.find([]byte(name)); i >= 0 {
		return string(a[i].value)
	}
	return ""
}

// server says whether the element is one for the server.
func (a attributes) server() bool {
	i := a.find([]byte("runat"))
	return i >= 0 && bytes.EqualFold(bytes.TrimSpace(a[i].value), []byte("server"))
}

func (a attributes) find(name []byte) int {
	for i := range a {
		if len(a[i].name) == len(name) && bytes.EqualFold(a[i].name, name) {
			return i
		}
	}
	return -1
}

// readAttributes reads pairs of name and value, quoted in any way or not at all, into the
// space of others.
func readAttributes(b []byte, into attributes) attributes {
	into = into[:0]
	for i := 0; i < len(b) && len(into) < 64; {
		for i < len(b) && !isNameByte(b[i]) {
			i++
		}
		start := i
		for i < len(b) && isNameByte(b[i]) {
			i++
		}
		name := b[start:i]
		i = skipSpace(b, i, len(b))
		var value []byte
		if i < len(b) && b[i] == '=' {
			i = skipSpace(b, i+1, len(b))
			value, i = attributeValue(b, i)
		}
		if len(name) > 0 && into.find(name) < 0 {
			into = append(into, attribute{name, value})
		}
	}
	return into
}

func attributeValue(b []byte, i int) ([]byte, int) {
	if i >= len(b) {
		return nil, i
	}
	if q := b[i]; q == '"' || q == '\'' {
		if end := bytes.IndexByte(b[i+1:], q); end >= 0 {
			return b[i+1 : i+1+end], i + end + 2
		}
		return b[i+1:], len(b)
	}
	start := i
	for i < len(b) && b[i] > ' ' && b[i] != '>' {
		i++
	}
	return b[start:i], i
}

func isNameByte(c byte) bool {
	return isLetter(c) || c >= '0' && c <= '9' || c == '-' || c == '_' || c == ':'
}

func isLetter(c byte) bool { c |= 0x20; return c >= 'a' && c <= 'z' }

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v' || c == 0
}

func skipSpace(b []byte, i, end int) int {
	for i < end && isSpace(b[i]) {
		i++
	}
	return i
}

// hasFold is bytes.HasPrefix without regard to case.
func hasFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && strings.EqualFold(string(b[:len(prefix)]), prefix)
}
