package campaign

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"postern"
)

// Languages are the ones in which every text of a pack must exist.
var Languages = []string{"en", "es"}

// Bounds of one YAML document. The deepest public Sigma rule has 8 levels; the
// longest text of a pack is a paragraph.
const (
	maxDepth = 32
	maxText  = 8000
)

// document is one YAML document of a file. A file of rules holds several.
type document struct {
	c      *checker
	file   string
	before int // lines of the file before the document
	bytes  []byte
	root   *yaml.Node
}

// documents splits a file at its markers and parses each part on its own, so that
// one that is broken leaves the others readable.
func (c *checker) documents(file string, b []byte) []*document {
	var docs []*document
	for _, d := range splitDocuments(b) {
		d.c, d.file = c, file
		var node yaml.Node
		if err := yaml.Unmarshal(d.bytes, &node); err != nil {
			line, why := yamlError(err)
			c.bad(file, d.before+line, postern.Say("campaign.not-yaml", "error", why))
			continue
		}
		if len(node.Content) != 1 {
			continue // nothing but remarks
		}
		d.root = node.Content[0]
		if d.plain(d.root, 0) {
			docs = append(docs, d)
		}
	}
	return docs
}

// document gives the only document of a file, nil if there is none that can be read.
func (c *checker) document(file string, b []byte) *document {
	errs := len(c.errs)
	docs := c.documents(file, b)
	if len(docs) == 1 {
		return docs[0]
	}
	if len(c.errs) == errs {
		c.bad(file, 0, postern.Say("campaign.one-document", "found", len(docs)))
	}
	return nil
}

// splitDocuments cuts at the lines that YAML reserves for it: three dashes or dots
// in the first column, which no scalar may contain.
func splitDocuments(b []byte) []*document {
	var docs []*document
	start, before, line := 0, 0, 0
	cut := func(end int) {
		if len(bytes.TrimSpace(b[start:end])) > 0 {
			docs = append(docs, &document{before: before, bytes: b[start:end:end]})
		}
	}
	for at := 0; at < len(b); line++ {
		end := len(b)
		if i := bytes.IndexByte(b[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		text := bytes.TrimRight(b[at:end], "\r\n\t ")
		switch {
		case bytes.Equal(text, []byte("---")), bytes.Equal(text, []byte("...")):
			cut(at)
			start, before = end, line+1
		case bytes.HasPrefix(text, []byte("--- ")):
			// Content on the marker's own line stays with its document.
			cut(at)
			start, before = at, line
		}
		at = end
	}
	cut(len(b))
	return docs
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// yamlError takes the line out of a message of the YAML library.
func yamlError(err error) (line int, why string) {
	why = err.Error()
	m := yamlLine.FindStringSubmatch(why)
	if m == nil {
		return 1, why
	}
	if line, _ = strconv.Atoi(m[1]); line == 0 {
		line = 1
	}
	return line, why[len(m[0]):]
}

// plain refuses what a pack has no need of and hostile files live on: references
// that grow when they are followed, and endless nesting.
func (d *document) plain(n *yaml.Node, depth int) bool {
	if n.Kind == yaml.AliasNode {
		d.bad(n, postern.Say("campaign.alias"))
		return false
	}
	if depth == maxDepth {
		d.bad(n, postern.Say("campaign.too-deep", "max", maxDepth))
		return false
	}
	for _, child := range n.Content {
		if !d.plain(child, depth+1) {
			return false
		}
	}
	return true
}

func (d *document) line(n *yaml.Node) int { return d.before + max(n.Line, 1) }

func (d *document) bad(n *yaml.Node, what postern.Text) { d.c.bad(d.file, d.line(n), what) }

// object is a mapping with known keys.
type object struct {
	d    *document
	node *yaml.Node
	keys []string // in the order of the file
	at   map[string]*yaml.Node
	name map[string]*yaml.Node // the key itself, for its line
}

// object reads a mapping. With no known keys, any key goes. It is never nil; what
// could not be read is missing from it and reported.
func (d *document) object(n *yaml.Node, known ...string) *object {
	o := &object{d: d, node: n, at: make(map[string]*yaml.Node), name: make(map[string]*yaml.Node)}
	if n == nil {
		return o
	}
	if n.Kind != yaml.MappingNode {
		d.bad(n, postern.Say("campaign.not-a-mapping"))
		return o
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch _, twice := o.at[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			d.bad(key, postern.Say("campaign.not-a-word"))
		case twice:
			d.bad(key, postern.Say("campaign.key-twice", "key", clip(key.Value)))
		case len(known) > 0 && !slices.Contains(known, key.Value):
			d.bad(key, postern.Say("campaign.unknown-key", "key", clip(key.Value), "known", strings.Join(known, ", ")))
		default:
			o.keys = append(o.keys, key.Value)
			o.at[key.Value], o.name[key.Value] = value, key
		}
	}
	return o
}

func (o *object) has(key string) bool { return o.at[key] != nil }

// need gives the value of a key that must be there, nil after reporting that it is not.
func (o *object) need(key string) *yaml.Node {
	if n := o.at[key]; n != nil {
		return n
	}
	if o.node != nil && o.node.Kind == yaml.MappingNode {
		o.d.bad(o.node, postern.Say("campaign.missing-key", "key", key))
	}
	return nil
}

// object gives the mapping under a key, an empty one if there is none.
func (o *object) object(key string, known ...string) *object { return o.d.object(o.at[key], known...) }

// text gives the word or sentence under a key, "" if there is none.
func (o *object) text(key string) string { return o.d.text(o.at[key]) }

// needText is text for a key that must be there and not be empty.
func (o *object) needText(key string) string {
	n := o.need(key)
	s := o.d.text(n)
	if n != nil && n.Kind == yaml.ScalarNode && s == "" {
		o.d.bad(n, postern.Say("campaign.empty", "key", key))
	}
	return s
}

func (d *document) text(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		d.bad(n, postern.Say("campaign.not-a-word"))
		return ""
	}
	if n.Tag == "!!null" {
		return ""
	}
	if len(n.Value) > maxText {
		d.bad(n, postern.Say("campaign.text-too-long", "max", maxText))
		return ""
	}
	return strings.TrimSpace(n.Value)
}

// texts gives the list of words under a key.
func (o *object) texts(key string) []string {
	var list []string
	for _, n := range o.list(key) {
		if s := o.d.text(n); s != "" {
			list = append(list, s)
		}
	}
	return list
}

func (o *object) list(key string) []*yaml.Node {
	n := o.at[key]
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		o.d.bad(n, postern.Say("campaign.not-a-list"))
		return nil
	}
	return n.Content
}

// number gives the whole number under a key, 0 if there is none.
func (o *object) number(key string) int {
	n := o.at[key]
	if n == nil {
		return 0
	}
	i, err := strconv.Atoi(o.d.text(n))
	if err != nil || i < 0 {
		o.d.bad(n, postern.Say("campaign.not-a-number", "key", key))
		return 0
	}
	return i
}

// truth gives the yes or no under a key, no if there is none.
func (o *object) truth(key string) bool {
	n := o.at[key]
	if n == nil {
		return false
	}
	switch o.d.text(n) {
	case "true":
		return true
	case "false":
	default:
		o.d.bad(n, postern.Say("campaign.not-a-truth", "key", key))
	}
	return false
}

// time gives the moment under a key, UTC.
func (o *object) time(key string) time.Time {
	n := o.at[key]
	if n == nil {
		return time.Time{}
	}
	t, err := parseTime(o.d.text(n))
	if err != nil {
		o.d.bad(n, postern.Say("campaign.bad-date", "value", clip(n.Value)))
	}
	return t
}

// build gives the build under a key, the zero one if there is none.
func (o *object) build(key string) postern.Build {
	n := o.at[key]
	if n == nil {
		return postern.Build{}
	}
	b, err := postern.ParseBuild(o.d.text(n))
	if err != nil {
		o.d.bad(n, postern.Say("campaign.bad-build", "value", clip(n.Value)))
	}
	return b
}

// parseTime reads a day or a moment. A moment must say its zone.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t, err = time.Parse(time.RFC3339, s)
	}
	return t.UTC(), err
}

// speech is the texts of a pack by language and key.
type speech map[string]map[string]string

func newSpeech() speech {
	s := make(speech)
	for _, lang := range Languages {
		s[lang] = make(map[string]string)
	}
	return s
}

// say reads the text under a key in all languages, files it under its message key
// and gives that. It is zero if there is no such text.
func (o *object) say(key string, into speech, message string) postern.Text {
	n := o.at[key]
	if n == nil {
		return postern.Text{}
	}
	words := o.d.object(n, Languages...)
	if n.Kind != yaml.MappingNode {
		return postern.Text{}
	}
	for _, lang := range Languages {
		if words.text(lang) == "" {
			o.d.bad(o.name[key], postern.Say("campaign.missing-language", "key", key, "language", lang))
			continue
		}
		into[lang][message] = words.text(lang)
	}
	return postern.Say(message)
}

// needSay is say for a text that must be there.
func (o *object) needSay(key string, into speech, message string) postern.Text {
	o.need(key)
	return o.say(key, into, message)
}

// clip keeps what stands in a message short.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
