package mitigate

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
)

// Bounds of the tokenizer, those of the reader of the hunt.
const (
	maxDepth    = 128
	maxElements = 500_000
)

// document is a configuration file with the places of its elements. Offsets are
// units of its text, see [decode].
type document struct {
	raw  []byte
	code encoding
	bom  int
	text []byte
	root *node
}

// node is one element.
type node struct {
	name        string
	at, inside  int // of its '<'; behind the '>' of its start tag
	end, behind int // of the '<' and behind the '>' of its end tag; both are inside if it is empty
	empty       bool
	attrs       []attr
	kids        []*node
}

type attr struct {
	name     string
	from, to int // of the value, without quotes
}

// open reads a file. It takes what every XML reader takes and refuses what any of
// them could read otherwise: a file of which we do not know where its elements end
// is no file to write into.
func open(raw []byte) (*document, error) {
	if len(raw) > MaxBytes {
		return nil, refuse("size", "bound", MaxBytes)
	}
	code, bom, text, why := decode(raw)
	if why != nil {
		return nil, why
	}
	p := &parser{document: &document{raw: raw, code: code, bom: bom, text: text}}
	if why := p.run(); why != nil {
		return nil, why
	}
	if why := p.secondOpinion(); why != nil {
		return nil, why
	}
	return p.document, nil
}

// parser is one pass over a text.
type parser struct {
	*document
	i        int
	stack    []*node
	elements int
}

func (p *parser) bad(at int, what string, pairs ...any) *Refusal {
	line := 1 + bytes.Count(p.text[:min(at, len(p.text))], []byte{'\n'})
	return refuse("xml."+what, append(pairs, "line", line)...)
}

func (p *parser) run() *Refusal {
	for p.i < len(p.text) {
		at := p.i
		rest := p.text[at:]
		var why *Refusal
		switch {
		case rest[0] != '<':
			why = p.chars()
		case bytes.HasPrefix(rest, []byte("<!--")):
			// Two hyphens end a comment or are a mistake.
			if end := bytes.Index(rest[4:], []byte("--")); end < 0 || !bytes.HasPrefix(rest[4+end:], []byte("-->")) {
				why = p.bad(at, "comment")
			} else {
				why = p.skip(4 + end + 3)
			}
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			if len(p.stack) == 0 {
				return p.bad(at, "root")
			}
			why = p.skipTo("]]>", "tag")
		case bytes.HasPrefix(rest, []byte("<?")):
			if at > 0 && len(rest) > 5 && strings.EqualFold(string(rest[2:5]), "xml") && space(rest[5]) {
				return p.bad(at, "declaration")
			}
			why = p.skipTo("?>", "tag")
		case bytes.HasPrefix(rest, []byte("<!")):
			return p.bad(at, "doctype")
		case bytes.HasPrefix(rest, []byte("</")):
			why = p.endTag()
		default:
			why = p.startTag()
		}
		if why != nil {
			return why
		}
	}
	switch {
	case len(p.stack) > 0:
		return p.bad(len(p.text), "open", "element", p.stack[len(p.stack)-1].name)
	case p.root == nil:
		return p.bad(0, "root")
	}
	return nil
}

func (p *parser) skipTo(end, what string) *Refusal {
	n := bytes.Index(p.text[p.i:], []byte(end))
	if n < 0 {
		return p.bad(p.i, what)
	}
	return p.skip(n + len(end))
}

// skip goes over n units, which must be characters of XML.
func (p *parser) skip(n int) *Refusal {
	for end := p.i + n; p.i < end; p.i++ {
		if c := p.text[p.i]; c < 0x20 && !space(c) {
			return p.bad(p.i, "character")
		}
	}
	return nil
}

// chars goes over the text between tags.
func (p *parser) chars() *Refusal {
	n := bytes.IndexByte(p.text[p.i:], '<')
	if n < 0 {
		n = len(p.text) - p.i
	}
	run := p.text[p.i : p.i+n]
	if len(p.stack) == 0 && len(bytes.TrimLeft(run, " \t\r\n")) > 0 {
		return p.bad(p.i, "root")
	}
	if bytes.Contains(run, []byte("]]>")) {
		return p.bad(p.i, "tag")
	}
	if _, ok := unescape(string(run)); !ok {
		return p.bad(p.i, "entity")
	}
	return p.skip(n)
}

func (p *parser) name() string {
	from := p.i
	for p.i < len(p.text) {
		c := p.text[p.i]
		letter := c >= 0x80 || c == '_' || c == ':' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (p.i == from || !(c == '-' || c == '.' || '0' <= c && c <= '9')) {
			break
		}
		p.i++
	}
	return p.str(from, p.i)
}

func (p *parser) spaces() bool {
	from := p.i
	for p.i < len(p.text) && space(p.text[p.i]) {
		p.i++
	}
	return p.i > from
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// take goes over a word if it stands here.
func (p *parser) take(word string) bool {
	ok := bytes.HasPrefix(p.text[p.i:], []byte(word))
	if ok {
		p.i += len(word)
	}
	return ok
}

func (p *parser) startTag() *Refusal {
	n := &node{at: p.i}
	p.i++
	if n.name = p.name(); n.name == "" {
		return p.bad(n.at, "tag")
	}
	for {
		apart := p.spaces()
		switch {
		case p.take("/>"):
			n.empty, n.inside, n.end, n.behind = true, p.i, p.i, p.i
			return p.enter(n)
		case p.take(">"):
			n.inside = p.i
			return p.enter(n)
		case !apart:
			return p.bad(p.i, "tag")
		}
		if why := p.attribute(n); why != nil {
			return why
		}
	}
}

func (p *parser) attribute(n *node) *Refusal {
	at := p.i
	a := attr{name: p.name()}
	p.spaces()
	if a.name == "" || !p.take("=") {
		return p.bad(at, "tag")
	}
	p.spaces()
	quote := byte('"')
	if !p.take(`"`) {
		if quote = '\''; !p.take(`'`) {
			return p.bad(at, "tag")
		}
	}
	a.from = p.i
	length := bytes.IndexByte(p.text[p.i:], quote)
	if length < 0 || bytes.IndexByte(p.text[p.i:p.i+length], '<') >= 0 {
		return p.bad(at, "tag")
	}
	a.to = p.i + length
	if _, ok := unescape(string(p.text[a.from:a.to])); !ok {
		return p.bad(at, "entity")
	}
	for _, b := range n.attrs {
		if b.name == a.name {
			return p.bad(at, "twice", "attribute", a.name)
		}
	}
	// Twice is looked for among all that came before: few attributes, few looks.
	const maxAttributes = 256
	if n.attrs = append(n.attrs, a); len(n.attrs) > maxAttributes {
		return p.bad(at, "bound")
	}
	return p.skip(length + 1)
}

// enter puts an element into the tree.
func (p *parser) enter(n *node) *Refusal {
	if p.elements++; p.elements > maxElements || len(p.stack) >= maxDepth {
		return p.bad(n.at, "bound")
	}
	switch {
	case len(p.stack) > 0:
		above := p.stack[len(p.stack)-1]
		above.kids = append(above.kids, n)
	case p.root != nil:
		return p.bad(n.at, "root")
	default:
		p.root = n
	}
	if !n.empty {
		p.stack = append(p.stack, n)
	}
	return nil
}

func (p *parser) endTag() *Refusal {
	at := p.i
	p.i += 2
	name := p.name()
	p.spaces()
	if name == "" || !p.take(">") {
		return p.bad(at, "tag")
	}
	if len(p.stack) == 0 || p.stack[len(p.stack)-1].name != name {
		return p.bad(at, "nesting", "element", name)
	}
	n := p.stack[len(p.stack)-1]
	n.end, n.behind = at, p.i
	p.stack = p.stack[:len(p.stack)-1]
	return nil
}

// secondOpinion asks the XML reader of the standard library, so that two readers
// that share no code agree on a file before and after it is written into.
func (p *parser) secondOpinion() *Refusal {
	text := p.str(0, len(p.text))
	if strings.HasPrefix(text, "<?xml") { // its encoding is settled
		if end := strings.Index(text, "?>"); end > 0 {
			text = strings.Repeat(" ", end+2) + text[end+2:]
		}
	}
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := d.Token()
		if err == io.EOF {
			return nil
		}
		var syntax *xml.SyntaxError
		if errors.As(err, &syntax) {
			return refuse("xml.tag", "line", syntax.Line)
		}
		if err != nil {
			return refuse("xml.tag", "line", 1)
		}
	}
}

// references are those that need no declaration.
var references = map[string]string{"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'"}

// unescape puts characters for the references in a value. ok is false if one is
// none that every reader knows.
func unescape(s string) (string, bool) {
	if !strings.Contains(s, "&") {
		return s, true
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "&")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		name, after, ended := strings.Cut(rest, ";")
		if !ended {
			return "", false
		}
		if known := references[name]; known != "" {
			b.WriteString(known)
		} else {
			digits, base := strings.TrimPrefix(name, "#"), 10
			if hex, ok := strings.CutPrefix(digits, "x"); ok {
				digits, base = hex, 16
			}
			r, err := strconv.ParseUint(digits, base, 21)
			if err != nil || name[0] != '#' || !isChar(rune(r)) {
				return "", false
			}
			b.WriteRune(rune(r))
		}
		s = after
	}
}

// isChar is what XML calls a character.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || 0x20 <= r && r < 0xD800 || 0xE000 <= r && r < 0xFFFE || 0x10000 <= r && r <= 0x10FFFF
}

// get gives the value of an attribute.
func (d *document) get(n *node, name string) (string, bool) {
	for _, a := range n.attrs {
		if a.name == name {
			v, _ := unescape(d.str(a.from, a.to))
			return v, true
		}
	}
	return "", false
}

// below gives the children of some elements that have a name.
func below(from []*node, name string) []*node {
	var found []*node
	for _, n := range from {
		for _, kid := range n.kids {
			if kid.name == name {
				found = append(found, kid)
			}
		}
	}
	return found
}
