package webfile

import (
	"maps"
	"strings"

	page "postern/internal/hunt/parse/webfile"
)

// requestMembers are the members of a request that carry what its sender chose.
var requestMembers = set(`querystring form params item cookies headers inputstream binaryread getbufferlessinputstream getbufferedinputstream
	rawurl pathinfo useragent urlreferrer userlanguages unvalidated body querystrings
	getparameter getparametervalues getparametermap getparameternames getheader getheaders getcookies getinputstream getreader
	getquerystring getpart getparts getrequestbody getpathinfo`)

// phpSources are the names by which PHP hands over a request.
var phpSources = map[string]bool{
	"$_GET": true, "$_POST": true, "$_REQUEST": true, "$_COOKIE": true, "$HTTP_RAW_POST_DATA": true,
	"$HTTP_GET_VARS": true, "$HTTP_POST_VARS": true, "$HTTP_COOKIE_VARS": true,
}

// phpHidden are the same names as strings, which no honest program writes.
var phpHidden = set("_get _post _request _cookie _files _server")

// originWords are the other words at which something may come in.
var originWords = set("request httprequest $_FILES $_SERVER getallheaders apache_request_headers filter_input filter_input_array")

// findSources finds every place at which the program takes something from outside.
func (g *program) findSources() {
	// A name of the page's own can be a control, and any that has posted a file.
	named := len(g.inputs) > 0 || len(g.uploads) > 0 || g.says("postedfile")
	for i := range g.toks {
		t := &g.toks[i]
		var s source
		var ok bool
		switch {
		case t.Kind == page.Ident:
			if named || g.is(i, originWord) {
				s, ok = g.sourceAt(i)
			}
		case g.reads && t.Kind == page.String:
			s.hidden, ok = phpString(t)
		}
		if !ok {
			continue
		}
		s.off = int(t.Off)
		if s.param == "" && !s.file {
			s.param = g.parameterName(i)
		}
		if g.sources == nil {
			g.sources = map[int]source{}
		}
		g.sources[i] = s
		if g.first == nil || g.first.file && !s.file {
			first := s // not s itself, which would be made anew for each word
			g.first = &first
		}
	}
}

// phpString says whether a token is a string of PHP by which a request can be read, and
// whether it is the name of a variable, hidden in it.
func phpString(t *page.Token) (hidden, ok bool) {
	if t.Kind != page.String || t.Lang != page.PHP || len(t.Text) < len("_GET") || t.Text[0] != '_' && t.Text[0]|0x20 != 'p' || len(t.Text) > len("php://input") {
		return false, false
	}
	lower := strings.ToLower(t.Text)
	hidden = phpHidden[lower] && t.Text == strings.ToUpper(t.Text)
	return hidden, hidden || lower == "php://input"
}

func (g *program) sourceAt(i int) (s source, ok bool) {
	t := g.toks[i]
	if t.Lang == page.PHP {
		return g.phpSource(i)
	}
	if t.Text == "request" || t.Text == "httprequest" && g.member(i+1) != "" {
		return g.requestSource(i)
	}
	if i > 0 && isMember(g.toks[i-1]) && g.toks[i-1].Text != "." {
		return s, false
	}
	switch {
	case g.inputs[t.Text]:
		m := g.member(i + 1)
		return source{param: t.Text}, m == "text" || m == "value" || m == "innertext" || m == "uniqueid" || m == "selectedvalue" || m == "selecteditem"
	case g.uploads[t.Text]:
		m := g.member(i + 1)
		return source{file: true}, m != ""
	case g.member(i+1) == "postedfile" || t.Text == "postedfile":
		return source{file: true}, true
	}
	return s, false
}

// inputTypes are the types of what a visitor fills in.
var inputTypes = set("textbox htmlinputtext htmltextarea htmlinputhidden hiddenfield dropdownlist listbox")

// declaredInputs adds the names that the code itself gives to what a visitor fills
// in: TextBox b = …, Dim b As TextBox.
func (g *program) declaredInputs() {
	if !g.any(inputWord) {
		return
	}
	own := false
	for i, t := range g.toks {
		if t.Kind != page.Ident || !inputTypes[t.Text] || i+1 >= len(g.toks) {
			continue
		}
		name := g.toks[i+1]
		switch {
		case i > 2 && g.toks[i-1].Is("(") && g.toks[i-2].Is("="): // var b = (TextBox) …
			name = g.toks[i-3]
		case i > 1 && g.toks[i-1].Word("as"):
			name = g.toks[i-2]
		case i > 2 && g.toks[i-1].Word("new") && g.toks[i-2].Word("as"):
			name = g.toks[i-3]
		case t.Lang.Basic():
			continue
		}
		if name.Kind != page.Ident || !g.own(i) {
			continue
		}
		if !own {
			// The page's own are left as they are: strings in it are programs too.
			inputs := maps.Clone(g.inputs)
			if inputs == nil {
				inputs = map[string]bool{}
			}
			g.inputs, own = inputs, true
		}
		g.inputs[name.Text] = true
	}
}

// own says whether the statement at i makes a control or looks one up, rather than
// taking one that was handed to it.
func (g *program) own(i int) bool {
	for k := i; k < len(g.toks) && k-i < 32 && g.toks[k].Kind != page.Break; k++ {
		if g.toks[k].Word("new") || g.toks[k].Word("findcontrol") {
			return true
		}
	}
	return false
}

// member gives the member that ".name" at i picks, "" if none stands there.
func (g *program) member(i int) string {
	if i+1 < len(g.toks) && isMember(g.toks[i]) && g.toks[i+1].Kind == page.Ident {
		return g.toks[i+1].Text
	}
	return ""
}

func (g *program) requestSource(i int) (s source, ok bool) {
	if i+1 >= len(g.toks) {
		return s, true
	}
	next := g.toks[i+1]
	lang := g.toks[i].Lang
	switch {
	case next.Is("[") || next.Is("(") && lang != page.Java:
		return s, true
	case isMember(next):
		m := g.member(i + 1)
		switch {
		case m == "files":
			return source{file: true}, true
		case m == "servervariables":
			return source{}, g.headerName(i + 3)
		case m == "url":
			return s, g.member(i+3) == "query"
		case m == "request": // Request.Request, seen in broken specimens
			return s, true
		}
		return s, requestMembers[m]
	case isAssignment(&next) || next.Kind == page.Ident:
		return s, false // a declaration, or an assignment to a name of its own
	}
	// The request as a whole, handed on.
	return s, i > 0 && (isAssignment(&g.toks[i-1]) || g.toks[i-1].Is(",") || g.toks[i-1].Is("(") || isMember(g.toks[i-1]))
}

// headerName says whether a bracket picks a header that the visitor writes.
func (g *program) headerName(i int) bool {
	if i+1 >= len(g.toks) || g.toks[i+1].Kind != page.String {
		return false
	}
	name := strings.ToUpper(g.toks[i+1].Text)
	if name == "HTTP_HOST" || name == "HTTP_REFERER" || name == "HTTP_USER_AGENT" || name == "HTTP_X_FORWARDED_FOR" {
		return false // every site reads them, and logs them
	}
	return strings.HasPrefix(name, "HTTP_") || name == "QUERY_STRING" || name == "ALL_HTTP" || name == "ALL_RAW"
}

// parameterName reads the name in request["name"], request.form("name"),
// getParameter("name"): the first bracket behind the source.
func (g *program) parameterName(i int) string {
	k := i + 1
	for steps := 0; steps < 4 && k+1 < len(g.toks) && isMember(g.toks[k]); steps++ {
		k += 2
	}
	if k+1 >= len(g.toks) || !g.toks[k].Is("[") && !g.toks[k].Is("(") {
		return ""
	}
	if t := g.toks[k+1]; t.Kind == page.String && len(t.Text) <= maxParameter {
		return t.Text
	}
	return ""
}

// maxParameter is the longest name of a request parameter that is reported.
const maxParameter = 64

func (g *program) phpSource(i int) (s source, ok bool) {
	t := g.toks[i]
	switch t.Text {
	case "$_FILES":
		return source{file: true}, true
	case "$_SERVER":
		if i+2 < len(g.toks) && g.toks[i+1].Is("[") && g.toks[i+2].Kind == page.String {
			return s, g.headerName(i+1) || strings.HasPrefix(g.toks[i+2].Text, "PHP_AUTH_")
		}
		return s, i > 0 && isAssignment(&g.toks[i-1])
	case "getallheaders", "apache_request_headers", "filter_input", "filter_input_array":
		return s, i+1 < len(g.toks) && g.toks[i+1].Is("(")
	}
	return s, phpSources[t.Text]
}

// hidden gives the first source whose words stood in a string.
func (g *program) hidden() (first source, ok bool) {
	for _, s := range g.sources {
		if s.hidden && (!ok || s.off < first.off) {
			first, ok = s, true
		}
	}
	return first, ok
}

// serviceWords are what methods are offered by.
var serviceWords = set("webmethod webmethodattribute operationcontract soapmethod scriptmethod soapdocumentmethod")

// serviceParameters takes the parameters of methods that a web service offers
// for what they are: values that come with a request.
func (g *program) serviceParameters() {
	if !g.any(serviceWord) {
		return
	}
	offered := -1
	for i, t := range g.toks {
		if t.Kind != page.Ident {
			continue
		}
		if g.is(i, serviceWord) {
			offered = i
		}
		if offered < 0 || i-offered > 64 {
			continue
		}
		if fn, ok := g.declared()[t.Text]; ok && i+1 < len(g.toks) && g.toks[i+1].Is("(") && fn.body == int(g.match[i+1])+1 {
			for _, p := range fn.params {
				g.offer(p, int(t.Off))
			}
			offered = -1
		}
	}
}

// offer makes a parameter of a service method a value from outside.
func (g *program) offer(name string, off int) {
	s := source{param: name, off: off}
	g.tainted[name] = s
	if g.first == nil {
		g.first = &s
	}
}
