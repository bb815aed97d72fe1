package mitigate

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// splice puts ASCII text at a place of a document, for some units that stood there.
type splice struct {
	at, cut int
	put     string
}

// apply gives the bytes of the document with the splice.
func (d *document) apply(s splice) []byte {
	w := d.code.width()
	from := d.bom + s.at*w
	return slices.Concat(d.raw[:from], d.code.encode(s.put), d.raw[from+s.cut*w:])
}

// insert gives the bytes of a file with rules in it, and nothing else changed. With
// site "" the file is the web.config of the site, otherwise applicationHost.config,
// where they stand in the site's <location>. Names must not be in use.
func insert(raw []byte, site string, rules []Rule) ([]byte, error) {
	d, err := open(raw)
	if err != nil {
		return nil, err
	}
	if d.root.name != "configuration" {
		return nil, refuse("root", "element", d.root.name)
	}
	chain, why := d.webPlace()
	if site != "" {
		chain, why = d.serverPlace(site)
	}
	if why != nil {
		return nil, why
	}
	out := d.apply(d.put(chain, site, rules))
	if _, err := open(out); err != nil {
		return nil, fmt.Errorf("the file does not parse with the rules in it: %w", err)
	}
	return out, nil
}

// steps are what leads to the rules below the element of the place.
var steps = [...]string{"system.webServer", "rewrite", "rules"}

// deepest follows the path from an element as far as it goes. It prefers what goes
// further where a name stands several times.
func deepest(n *node, names []string) []*node {
	best := []*node{n}
	if len(names) == 0 {
		return best
	}
	for _, kid := range below([]*node{n}, names[0]) {
		if chain := append([]*node{n}, deepest(kid, names[1:])...); len(chain) > len(best) {
			best = chain
		}
	}
	return best
}

// lists gives every list of rules below an element.
func lists(n *node) []*node {
	found := []*node{n}
	for _, name := range steps {
		found = below(found, name)
	}
	return found
}

func isWord(s, word string) bool { return strings.EqualFold(strings.TrimSpace(s), word) }

// narrow says whether applications below do not see what stands in a location.
func (d *document) narrow(location *node) bool {
	v, _ := d.get(location, "inheritInChildApplications")
	return isWord(v, "false") || v == "0"
}

// webPlace finds where rules go in a web.config: the elements from the root to the
// deepest of the steps that is there.
func (d *document) webPlace() ([]*node, *Refusal) {
	own := lists(d.root)
	chain := deepest(d.root, steps[:])
	narrow := false
	for _, location := range below([]*node{d.root}, "location") {
		if at, _ := d.get(location, "path"); at != "" && at != "." {
			continue
		}
		found := lists(location)
		if len(found) == 0 {
			continue
		}
		own, narrow = append(own, found...), narrow || d.narrow(location)
		chain = append([]*node{d.root}, deepest(location, steps[:])...)
	}
	switch {
	case len(own) > 1: // IIS refuses a file that says the same section twice for one place
		return nil, refuse("two-lists")
	case narrow:
		return nil, refuse("own-pages")
	}
	return chain, d.elsewhere(chain)
}

// serverPlace finds where rules for a site go in applicationHost.config.
func (d *document) serverPlace(site string) ([]*node, *Refusal) {
	var chain []*node
	found := 0
	for _, location := range below([]*node{d.root}, "location") {
		at, _ := d.get(location, "path")
		if !strings.EqualFold(at, site) {
			continue
		}
		n := len(lists(location))
		switch found += n; {
		case n > 0 && d.narrow(location):
			return nil, refuse("own-pages")
		case n > 0, chain == nil && len(location.attrs) == 1:
			// One with further attributes would lock the rules or keep them from applications.
			chain = append([]*node{d.root}, deepest(location, steps[:])...)
		}
	}
	if found > 1 {
		return nil, refuse("two-lists")
	}
	if chain == nil {
		chain = []*node{d.root}
	}
	return chain, d.elsewhere(chain)
}

// section says what applicationHost.config says of the rules of a site: whether the
// section exists at all, and whether a web.config may have it. A file without any
// declaration of sections says nothing.
func section(server []byte, site string) (declared, free bool) {
	d, err := open(server)
	if err != nil {
		return true, true // what a broken file says is for the judge
	}
	declared, free = true, true
	if all := below([]*node{d.root}, "configSections"); len(all) > 0 {
		declared = false
		for _, s := range below(d.named(d.named(all, "system.webServer"), "rewrite"), "section") {
			if name, _ := d.get(s, "name"); name == "rules" {
				declared, free = true, !d.locks(s, "overrideModeDefault")
			}
		}
	}
	for _, location := range below([]*node{d.root}, "location") {
		at, _ := d.get(location, "path")
		if (at == "" || at == "." || strings.EqualFold(at, site)) && len(lists(location)) > 0 {
			free = free && !d.locks(location, "overrideMode")
		}
	}
	return declared, free
}

// named gives the groups of sections with a name.
func (d *document) named(from []*node, name string) []*node {
	var found []*node
	for _, g := range below(from, "sectionGroup") {
		if n, _ := d.get(g, "name"); n == name {
			found = append(found, g)
		}
	}
	return found
}

// locks says whether files below may not have what stands here.
func (d *document) locks(n *node, mode string) bool {
	m, _ := d.get(n, mode)
	allow, _ := d.get(n, "allowOverride")
	return isWord(m, "Deny") || isWord(allow, "false")
}

// elsewhere refuses a list that stands in a file of its own.
func (d *document) elsewhere(chain []*node) *Refusal {
	for _, n := range chain {
		if from, ok := d.get(n, "configSource"); ok {
			return refuse("external", "source", from)
		}
	}
	return nil
}

// put gives the splice that puts rules below the last element of the chain, inside
// of what of the path is missing.
func (d *document) put(chain []*node, site string, rules []Rule) splice {
	last := chain[len(chain)-1]
	missing := d.missing(chain, site)
	unit := d.unit()
	eol := d.eol(last.inside)
	indent := d.indent(last)

	var b strings.Builder
	line := func(depth int, format string, args ...any) {
		b.WriteString(eol + indent + strings.Repeat(unit, depth))
		fmt.Fprintf(&b, format, args...)
	}
	for i, tag := range missing {
		line(i+1, "<%s>", tag)
	}
	depth := len(missing) + 1
	for _, r := range rules {
		line(depth, `<rule name="%s" patternSyntax="ECMAScript" stopProcessing="true">`, escape(r.Name))
		line(depth+1, `<match url=".*" />`)
		line(depth+1, `<conditions>`)
		line(depth+2, `<add input="%s" pattern="%s" />`, escape(r.Input), escape(r.Pattern))
		line(depth+1, `</conditions>`)
		line(depth+1, `<action type="AbortRequest" />`)
		line(depth, `</rule>`)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		name, _, _ := strings.Cut(missing[i], " ")
		line(i+1, "</%s>", name)
	}

	if last.empty {
		// <rules /> becomes <rules>…</rules>.
		from := last.inside - len("/>")
		for space(d.text[from-1]) {
			from--
		}
		line(0, "</%s>", last.name)
		return splice{from, last.inside - from, ">" + b.String()}
	}
	at := d.after(last, len(missing) == 0)
	// What follows on the same line goes to a line of its own.
	if next := d.text[at:]; !bytes.Contains(next[:bytes.IndexByte(next, '<')], []byte{'\n'}) {
		depth := 1
		if at+bytes.IndexByte(next, '<') == last.end {
			depth = 0
		}
		line(depth, "")
	}
	return splice{at: at, put: b.String()}
}

// missing are the start tags that the chain lacks on the way to the rules, without
// their brackets.
func (d *document) missing(chain []*node, site string) []string {
	have := len(chain) - 1 // without the root
	var tags []string
	if site != "" {
		if have == 0 {
			tags = append(tags, fmt.Sprintf(`location path="%s"`, escape(site)))
		} else {
			have--
		}
	} else if have > 0 && chain[1].name == "location" {
		have--
	}
	return append(tags, steps[have:]...)
}

// after gives the place in an element where something new goes. Rules go first,
// before any that could let a request through, but behind what takes rules away.
func (d *document) after(n *node, rules bool) int {
	at := n.inside
	for _, kid := range n.kids {
		if !rules || kid.name == "clear" || kid.name == "remove" {
			at = kid.behind
		}
	}
	return at
}

// indent gives the white space before an element if it begins its line.
func (d *document) indent(n *node) string {
	from := n.at
	for from > 0 && (d.text[from-1] == ' ' || d.text[from-1] == '\t') {
		from--
	}
	if from > 0 && d.text[from-1] != '\n' {
		return ""
	}
	return string(d.text[from:n.at])
}

// unit is by how much the file indents.
func (d *document) unit() string {
	const usual = "  "
	for _, kid := range d.root.kids {
		if s, ok := strings.CutPrefix(d.indent(kid), d.indent(d.root)); ok && s != "" {
			return s[:min(len(s), 8)]
		}
	}
	return usual
}

// eol is how lines end near a place; files of Windows are written on Windows.
func (d *document) eol(at int) string {
	n := bytes.LastIndexByte(d.text[:at], '\n')
	if n < 0 {
		if n = bytes.IndexByte(d.text, '\n'); n < 0 {
			return "\r\n"
		}
	}
	if n > 0 && d.text[n-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// escape writes a value of an attribute in ASCII, which every encoding has.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		case r < 0x20 || r >= 0x7F:
			fmt.Fprintf(&b, "&#x%X;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ruleNames gives every name that rules of a file have or take away, anywhere in it.
func ruleNames(raw []byte) []string {
	d, err := open(raw)
	if err != nil {
		return nil // IIS does not read it either
	}
	var names []string
	var visit func(n *node, list bool)
	visit = func(n *node, list bool) {
		if name, ok := d.get(n, "name"); ok && list {
			names = append(names, name)
		}
		for _, kid := range n.kids {
			visit(kid, n.name == "rules" || n.name == "globalRules")
		}
	}
	visit(d.root, false)
	return names
}
