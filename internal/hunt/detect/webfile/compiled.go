package webfile

import (
	"bytes"
	"path"
	"strings"

	"postern"
	page "postern/internal/hunt/parse/webfile"
)

// record looks at what ASP.NET noted of a page that it compiled.
func (l *look) record() {
	c, ok := page.ParseCompiled(page.Decode(l.raw))
	if !ok {
		return
	}
	l.executed(RuleCompiled, c.VirtualPath, 0)
}

// executed reports that a page was compiled, which happens when it is first asked
// for. Only pages that nobody but an intruder has a reason to keep count: those in
// the folders of which every page is known, and published names.
func (l *look) executed(rule, virtual string, proof int) {
	virtual = strings.ToLower(virtual)
	if e := page.EngineOf(virtual); e == page.None || path.Ext(virtual) == ".asax" || path.Ext(virtual) == ".master" {
		return
	}
	server, w := l.d.places.byURL(virtual)
	if server == "" || !w.drop {
		return
	}
	if known, _ := l.d.stock.at(server); known {
		return
	}
	name := path.Base(virtual)
	published := l.d.published(server, name)
	f := postern.Finding{Rule: rule, Level: postern.Used, Confidence: postern.Low,
		Explain: []postern.Text{postern.Say("webfile.compiled.page", "page", virtual)}}
	switch {
	case proof > 0:
		f.Confidence = postern.Medium
		f.Explain = append(f.Explain, postern.Say("webfile.compiled.strings"))
	case published != nil:
		f.Confidence = postern.Medium
		f.Explain = append(f.Explain, postern.Say("webfile.name.published", "name", name, "source", published.Source))
	case w.complete:
		f.Explain = append(f.Explain, postern.Say("webfile.compiled.unknown"))
	default:
		f.Lower(postern.Probed, postern.Say("webfile.compiled.site"))
	}
	f.Explain = append(f.Explain, postern.Say("webfile.compiled.time"))
	f.Set(postern.URL, virtual)
	f.Set("page", server)
	l.add(f)
}

// byURL gives the canonical file behind an address.
func (p places) byURL(url string) (server string, w location) {
	best := ""
	for _, place := range p.list {
		if place.URL == "" {
			continue
		}
		prefix := strings.TrimSuffix(place.URL, "/") + "/"
		rest, ok := strings.CutPrefix(url, prefix)
		if !ok || len(prefix) < len(best) {
			continue
		}
		candidate := place.Folder + "/" + rest
		// Of two folders under one address the site's own root counts for what lies
		// in it, the product's for what lies below.
		if len(prefix) == len(best) && !place.Drop {
			continue
		}
		best, server = prefix, candidate
	}
	if server == "" {
		return "", location{}
	}
	return server, p.where(server)
}

// shellStrings are names that stand in the compiled form of a web shell and seldom
// in that of a page: each set must be there whole.
var shellStrings = [][]string{
	{"JScript" + "Evaluate"},
	{"get_" + "Request", "get_" + "Files", "Save" + "As"},
	{"get_" + "Request", "Process" + "StartInfo"},
	{"get_" + "Request", "System.Diagnostics", "Process", "set_Arguments"},
	{"get_" + "Request", "Assembly", "CreateInstance", "Load"},
}

// library looks at the program that ASP.NET made of a page: the names in it say
// which page, and what it called.
func (l *look) library() {
	if !bytes.HasPrefix(l.raw, []byte("MZ")) {
		return
	}
	virtual := ""
	for _, at := range [...]string{"~/", "/owa/", "/ecp/", "/aspnet_client/"} {
		if virtual = pageString(l.raw, at); virtual != "" {
			break
		}
	}
	if virtual == "" {
		return
	}
	if rest, ok := strings.CutPrefix(virtual, "~"); ok {
		virtual = l.application() + rest
	}
	proof := 0
	for _, words := range shellStrings {
		all := true
		for _, w := range words {
			all = all && (bytes.Contains(l.raw, []byte(w)) || bytes.Contains(l.raw, widen(w)))
		}
		if all {
			proof++
		}
	}
	l.executed(RuleCompiledLibrary, virtual, proof)
}

// application gives the address of the application that a compiled file belongs
// to: the folder below that of all compiled files.
func (l *look) application() string {
	_, rest, ok := strings.Cut("/"+l.server, "/temporary asp.net files/")
	if !ok {
		return ""
	}
	app, _, _ := strings.Cut(rest, "/")
	if app == "root" || app == "" {
		return ""
	}
	return "/" + app
}

// pageString finds a string of UTF-16 or ASCII that begins so and ends like the
// name of a page.
func pageString(b []byte, begin string) string {
	for _, wide := range [...]bool{true, false} {
		needle, step := []byte(begin), 1
		if wide {
			needle, step = widen(begin), 2
		}
		for at := 0; ; {
			i := bytes.Index(b[at:], needle)
			if i < 0 {
				break
			}
			at += i
			if s := stringAt(b[at:], step); page.EngineOf(s) != page.None {
				return strings.ToLower(s)
			}
			at += len(needle)
		}
	}
	return ""
}

// maxPath is the length of the longest virtual path of ASP.NET.
const maxPath = 260

func stringAt(b []byte, step int) string {
	var s []byte
	for i := 0; i+step <= len(b) && len(s) < maxPath; i += step {
		if b[i] < ' ' || b[i] > '~' || step == 2 && b[i+1] != 0 {
			break
		}
		s = append(s, b[i])
		// A string of ASCII in an assembly may touch the next: it ends with the extension.
		if step == 1 && len(s) > 6 && page.EngineOf(string(s)) != page.None {
			break
		}
	}
	return string(s)
}

func widen(s string) []byte {
	b := make([]byte, 0, 2*len(s))
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return b
}
