package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	sigmago "github.com/bradleyjkemp/sigma-go"
	"gopkg.in/yaml.v3" // not our usual one: the rule parser's types speak this one

	"postern"
)

// Compile reads one Sigma rule document. Conditions are extra conditions by name
// over the rule's selections, for [Match.Holds]; they take no part in matching.
// An error is an [*Error].
func Compile(src []byte, conditions map[string]string) (*Rule, error) {
	doc, err := readDocument(src)
	if err != nil {
		return nil, err
	}
	if err := onlyRules(doc); err != nil {
		return nil, err
	}
	d, err := takeDetection(doc)
	if err != nil {
		return nil, err
	}
	parsed, err := decodeRule(doc)
	if err != nil {
		return nil, err
	}
	r := newRule(parsed)
	if err := r.checkHead(doc); err != nil {
		return nil, err
	}
	c := &compiler{rule: r, selections: make(map[string]*node)}
	if err := c.compileSelections(parsed.Detection.Searches, d.names); err != nil {
		return nil, err
	}
	var roots []*node
	for _, cond := range d.conditions {
		root, err := c.compileCondition(cond.Line, cond.Value)
		if err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	r.root = join(opOr, roots)
	for name, text := range conditions {
		cond, err := c.compileCondition(0, text)
		if err != nil {
			var e *Error
			if errors.As(err, &e) {
				e.text = fmt.Sprintf("extra condition %q: %s", name, e.text)
			}
			return nil, err
		}
		r.conditions[name] = cond
	}
	return r, nil
}

// compiler holds what grows while one rule is compiled.
type compiler struct {
	rule       *Rule
	names      []string // selections in the order of the rule
	selections map[string]*node
	patterns   int // so far, as are the next two
	regexps    int
	steps      int
}

// field gives the number of a field, whatever its case.
func (c *compiler) field(name string) int32 { return c.rule.own.add(name) }

// leaf adds an item that has so many patterns.
func (c *compiler) leaf(it item, patterns int) *node {
	if it.mode == anyTest {
		it.plain = plainOf(it.tests)
	}
	c.rule.items = append(c.rule.items, it)
	c.rule.all = c.rule.all || it.field == keyword
	return &node{op: opItem, item: int32(len(c.rule.items) - 1), size: 1 + patterns, cost: it.cost()}
}

// count adds to the patterns of the rule and refuses those beyond the bound.
func (c *compiler) count(line, n int) error {
	if c.patterns += n; c.patterns > maxPatterns {
		return beyond(line, postern.Say("sigma.patterns-many", "limit", maxPatterns),
			"the rule has more than %d patterns: split it", maxPatterns)
	}
	return nil
}

func (c *compiler) compileSelections(searches map[string]sigmago.Search, names []string) error {
	for _, name := range names {
		search := searches[name]
		line, _ := search.Position()
		n, err := c.compileSearch(line+1, name, search)
		if err != nil {
			return err
		}
		c.selections[name] = n
	}
	c.names = names
	return nil
}

func (c *compiler) compileSearch(line int, name string, s sigmago.Search) (*node, error) {
	empty := func() error {
		return malformed(line, postern.Say("sigma.selection-empty", "name", name),
			"selection %q says nothing: give it a field and a value, or remove it", name)
	}
	if s.Keywords != nil {
		values := make([]any, len(s.Keywords))
		for i, k := range s.Keywords {
			values[i] = k
		}
		it, before := item{field: keyword}, c.patterns
		if err := c.compileValues(line, sigmago.FieldMatcher{Values: values}, new(modifiers), &it); err != nil {
			return nil, err
		}
		if len(it.tests) == 0 {
			return nil, empty()
		}
		return c.leaf(it, c.patterns-before), nil
	}
	var maps []*node
	for _, matcher := range s.EventMatchers {
		var lines []*node
		for _, f := range matcher {
			n, err := c.compileMatcher(f)
			if err != nil {
				return nil, err
			}
			lines = append(lines, n)
		}
		if len(lines) == 0 {
			return nil, empty()
		}
		maps = append(maps, join(opAnd, lines))
	}
	if len(maps) == 0 {
		return nil, empty()
	}
	return join(opOr, maps), nil
}

// readDocument parses the one document of src within the bounds.
func readDocument(src []byte) (*yaml.Node, error) {
	if len(src) > MaxRuleBytes {
		return nil, beyond(0, postern.Say("sigma.too-large", "limit", MaxRuleBytes),
			"the document is larger than %d bytes: split it", MaxRuleBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var root, more yaml.Node
	if err := decodeNode(dec, &root); err != nil && !errors.Is(err, io.EOF) {
		e := notYAML(err)
		e.Line = brokenAt(src, e.Line)
		return nil, e
	}
	if err := decodeNode(dec, &more); !errors.Is(err, io.EOF) {
		return nil, malformed(max(more.Line, 0), postern.Say("sigma.documents"),
			"more than one document: give them one by one, as Split does")
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return nil, malformed(root.Line, postern.Say("sigma.not-a-map"),
			"the document is no rule: want keys such as title, logsource and detection")
	}
	count := 0
	if err := checkNode(root.Content[0], 0, &count); err != nil {
		return nil, err
	}
	return root.Content[0], nil
}

// decodeNode keeps a panic of the YAML library, which has had such bugs, from
// ending a run over a thousand rules of strangers.
func decodeNode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML parser failed: %v", p)
		}
	}()
	return dec.Decode(n)
}

// checkNode refuses bombs and keys that stand twice, of which parsers take the
// last one or both. Dates stay text: the events have text.
func checkNode(n *yaml.Node, depth int, count *int) error {
	if *count++; *count > maxYAMLNodes || depth > maxYAMLDepth {
		return beyond(n.Line, postern.Say("sigma.too-deep"),
			"more than %d values or %d levels: split the rule", maxYAMLNodes, maxYAMLDepth)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return unsupported(n.Line, postern.Say("sigma.alias"), "the alias *%s: write the value out", n.Value)
	case yaml.MappingNode:
		seen := make(map[string]bool, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				return malformed(key.Line, postern.Say("sigma.key"), "a key is no text")
			}
			if seen[key.Value] {
				return malformed(key.Line, postern.Say("sigma.duplicate", "key", key.Value),
					"%q stands twice: make it one list, or put |all after the field", key.Value)
			}
			seen[key.Value] = true
		}
	case yaml.ScalarNode:
		if n.ShortTag() == "!!timestamp" {
			n.Tag = "!!str"
		}
	}
	for _, sub := range n.Content {
		if err := checkNode(sub, depth+1, count); err != nil {
			return err
		}
	}
	return nil
}

// valueOf gives the value of a key of a map, nil if it is not there.
func valueOf(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

// onlyRules refuses the other kinds of documents that Sigma knows.
func onlyRules(doc *yaml.Node) error {
	if n := valueOf(doc, "correlation"); n != nil {
		return malformed(n.Line, postern.Say("sigma.is-correlation"), "this is a correlation: CompileCorrelation reads it")
	}
	if n := valueOf(doc, "filter"); n != nil {
		return unsupported(n.Line, postern.Say("sigma.is-filter"), "this is a filter: put the exclusion into the rule")
	}
	if n := valueOf(doc, "action"); n != nil {
		return unsupported(n.Line, postern.Say("sigma.action"),
			"action %q is of Sigma 1: write each rule out", n.Value)
	}
	return nil
}

// detection is what is read of the detection beside the library.
type detection struct {
	names      []string // selections in their order
	conditions []*yaml.Node
}

// takeDetection takes conditions and names out of the document and mends what
// the library does not read: a selection that is one plain keyword.
func takeDetection(doc *yaml.Node) (*detection, error) {
	n := valueOf(doc, "detection")
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, malformed(doc.Line, postern.Say("sigma.missing", "key", "detection"),
			"detection is missing: want a map of selections with a condition")
	}
	d := new(detection)
	var rest []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch key.Value {
		case "condition":
			d.conditions = []*yaml.Node{value}
			if value.Kind == yaml.SequenceNode {
				d.conditions = value.Content
			}
		case "timeframe":
			return nil, unsupported(key.Line, postern.Say("sigma.aggregation"),
				"timeframe belongs to the aggregations of Sigma 1: write a correlation")
		default:
			if value.Kind == yaml.ScalarNode {
				value = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: value.Line, Column: value.Column,
					Content: []*yaml.Node{value}}
			}
			d.names = append(d.names, key.Value)
			rest = append(rest, key, value)
		}
	}
	if len(d.conditions) == 0 || slices.ContainsFunc(d.conditions, func(n *yaml.Node) bool { return n.Kind != yaml.ScalarNode }) {
		return nil, malformed(n.Line, postern.Say("sigma.missing", "key", "condition"),
			"condition is missing: name the selections that must hold")
	}
	n.Content = rest
	if len(d.names) > maxSelections {
		return nil, beyond(n.Line, postern.Say("sigma.condition-large"),
			"the rule has more than %d selections: split it", maxSelections)
	}
	return d, nil
}

// decodeRule gives the library's syntax tree. Some fields of the head are lists
// in the specification and single words in the wild, or the other way round.
func decodeRule(doc *yaml.Node) (rule *sigmago.Rule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = malformed(0, postern.Say("sigma.yaml"), "the rule parser failed: %v", p)
		}
	}()
	for _, key := range []string{"tags", "references"} {
		if n := valueOf(doc, key); n != nil && n.Kind == yaml.ScalarNode && n.Value != "" {
			*n = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: n.Line, Content: []*yaml.Node{{
				Kind: yaml.ScalarNode, Tag: "!!str", Value: n.Value, Line: n.Line}}}
		}
	}
	if n := valueOf(doc, "author"); n != nil && n.Kind == yaml.SequenceNode {
		var names []string
		for _, sub := range n.Content {
			names = append(names, sub.Value)
		}
		*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.Join(names, ", "), Line: n.Line}
	}
	rule = new(sigmago.Rule)
	if err := doc.Decode(rule); err != nil {
		return nil, notYAML(err)
	}
	return rule, nil
}

// lineOf finds the line in the library's messages.
var lineOf = regexp.MustCompile(`\bline (\d+)`)

// syntaxErrors are the library's words for what people get wrong most often, and ours.
//
// catalogue: sigma.yaml-*
var syntaxErrors = []struct{ said, key string }{
	{"UTF-8", "sigma.yaml-encoding"},
	{"control characters", "sigma.yaml-control"},
	{"unexpected end of stream", "sigma.yaml-quote"},
	{"unexpected document indicator", "sigma.yaml-quote"},
	{"values are not allowed", "sigma.yaml-colon"},
	{"tab character", "sigma.yaml-begin"},
	{"cannot start any token", "sigma.yaml-begin"},
	{"expected alphabetic or numeric", "sigma.yaml-star"},
	{"unknown anchor", "sigma.yaml-star"},
	{"expected ',' or", "sigma.yaml-bracket"},
	{"unknown escape", "sigma.yaml-backslash"},
	{"hexdecimal number", "sigma.yaml-backslash"},
	{"expected key", "sigma.yaml-indent"},
	{"'-' indicator", "sigma.yaml-indent"},
	{"sequence entries are not allowed", "sigma.yaml-indent"},
	{"could not find expected ':'", "sigma.yaml-indent"},
	{"cannot unmarshal", "sigma.yaml-kind"},
}

func notYAML(err error) *Error {
	detail := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if found := lineOf.FindStringSubmatch(detail); found != nil {
		line, _ = strconv.Atoi(found[1])
	}
	key := "sigma.yaml"
	for _, e := range syntaxErrors {
		if strings.Contains(detail, e.said) {
			key = e.key
			break
		}
	}
	return malformed(line, postern.Say(key), "not a readable rule: %s", detail)
}

// maxLocated bounds what of a document is read again to find a line, as that costs the
// square of the size, and a folder may have thousands that are broken.
const maxLocated = 256 << 10

// brokenAt gives the line at which a document stops being readable: the first behind the
// longest beginning of it that is. The library often tells where the map began that the
// line is in, or no line at all; its line is taken where the search would cost too much.
func brokenAt(src []byte, otherwise int) int {
	lines := bytes.SplitAfter(src, []byte("\n"))
	seen := &lineReader{lines: lines}
	_ = decodeNode(yaml.NewDecoder(seen), new(yaml.Node))
	lines = lines[:seen.begun] // what is behind was not needed for the error
	read, end := 0, 0
	for _, line := range lines {
		end += len(line)
	}
	for n := len(lines); n > 0; n-- {
		if end -= len(lines[n-1]); len(lines[n-1]) == 0 {
			continue
		}
		if read += end; read > maxLocated {
			break
		}
		err := decodeNode(yaml.NewDecoder(bytes.NewReader(src[:end])), new(yaml.Node))
		if err == nil || errors.Is(err, io.EOF) {
			return n
		}
	}
	return otherwise
}

// lineReader gives at most one line at a time, so that it knows how many were asked for.
type lineReader struct {
	lines [][]byte
	begun int
	rest  []byte // of the line that was begun last
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.begun == len(r.lines) {
			return 0, io.EOF
		}
		r.rest = r.lines[r.begun]
		r.begun++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func newRule(p *sigmago.Rule) *Rule {
	text := func(key string) string {
		s, _ := p.AdditionalFields[key].(string)
		return s
	}
	r := &Rule{
		ID: p.ID, Name: text("name"), Title: p.Title, Description: p.Description,
		Level: strings.ToLower(p.Level), Status: strings.ToLower(p.Status),
		Author: p.Author, License: text("license"), Date: text("date"), Modified: text("modified"),
		Tags: p.Tags, References: p.References,
		LogSource: LogSource{
			Category: strings.ToLower(p.Logsource.Category),
			Product:  strings.ToLower(p.Logsource.Product),
			Service:  strings.ToLower(p.Logsource.Service),
		},
		conditions: make(map[string]*node),
		own:        newTable(),
	}
	switch list := p.AdditionalFields["falsepositives"].(type) {
	case string:
		r.FalsePositives = []string{list}
	case []any:
		for _, x := range list {
			if s, ok := x.(string); ok {
				r.FalsePositives = append(r.FalsePositives, s)
			}
		}
	}
	return r
}

// checkHead refuses a rule without what the specification makes mandatory, and
// one in field names that are not Sigma's own.
func (r *Rule) checkHead(doc *yaml.Node) error {
	if r.Title == "" {
		return malformed(doc.Line, postern.Say("sigma.missing", "key", "title"), "title is missing: say what the rule detects")
	}
	if r.LogSource == (LogSource{}) {
		return malformed(doc.Line, postern.Say("sigma.missing", "key", "logsource"),
			"logsource is missing: want a category, product or service")
	}
	if n := valueOf(doc, "taxonomy"); n != nil && n.Value != "" && !strings.EqualFold(n.Value, "sigma") {
		return unsupported(n.Line, postern.Say("sigma.taxonomy", "taxonomy", n.Value),
			"taxonomy %q: only the field names of Sigma itself are known", n.Value)
	}
	return nil
}
