package sigma

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"postern"
)

// Bounds of a correlation.
const (
	// maxTimespan is a year: longer than any log is kept that this is used on.
	maxTimespan = 366 * 24 * time.Hour
	// maxCorrelated bounds the rules and group fields of one correlation.
	maxCorrelated = 100
	// maxThreshold bounds a count, and with it what is remembered of one group.
	maxThreshold = 10_000
)

// CorrelationType says what a correlation counts.
type CorrelationType string

// The types that can be tracked.
const (
	EventCount      CorrelationType = "event_count"
	ValueCount      CorrelationType = "value_count"
	Temporal        CorrelationType = "temporal"
	TemporalOrdered CorrelationType = "temporal_ordered"
)

// Correlation is a rule over the matches of other rules, as plain data.
type Correlation struct {
	ID, Name, Title, Description string
	Level, Status                string
	Author, License              string
	Tags, References             []string

	Type CorrelationType
	// Rules are ids or names of rules or other correlations; see Resolve.
	Rules    []string
	GroupBy  []string // fields or aliases; none is one group of all
	Timespan time.Duration
	// Bounds all hold for the count: of events, of distinct values of Fields
	// together, or of distinct rules.
	Bounds []Bound
	Fields []string // of value_count
	// Aliases say, by alias and rule, which field of the rule's events is meant.
	Aliases map[string]map[string]string
	// Generate says that the rules are to be reported by themselves too.
	Generate bool
}

// Bound is one comparison of the condition: gt, gte, lt, lte, eq or neq.
type Bound struct {
	Op    string
	Value int
}

func (b Bound) holds(n int) bool {
	switch b.Op {
	case "gt":
		return n > b.Value
	case "gte":
		return n >= b.Value
	case "lt":
		return n < b.Value
	case "lte":
		return n <= b.Value
	case "neq":
		return n != b.Value
	}
	return n == b.Value
}

// head is the part of a correlation that every Sigma document has.
type head struct {
	ID, Name, Title, Description string
	Level, Status                string
	Author, License              string
	Tags, References             []string
	Correlation                  yaml.Node
}

// CompileCorrelation reads one correlation document. An error is an [*Error].
func CompileCorrelation(src []byte) (*Correlation, error) {
	doc, err := readDocument(src)
	if err != nil {
		return nil, err
	}
	n := valueOf(doc, "correlation")
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, malformed(doc.Line, postern.Say("sigma.missing", "key", "correlation"),
			"correlation is missing: want a map with type, rules and timespan")
	}
	var h head
	if err := doc.Decode(&h); err != nil {
		return nil, notYAML(err)
	}
	c := &Correlation{
		ID: h.ID, Name: h.Name, Title: h.Title, Description: h.Description,
		Level: strings.ToLower(h.Level), Status: strings.ToLower(h.Status),
		Author: h.Author, License: h.License, Tags: h.Tags, References: h.References,
	}
	if c.Title == "" {
		return nil, malformed(doc.Line, postern.Say("sigma.missing", "key", "title"),
			"title is missing: say what the correlation detects")
	}
	if err := c.read(n); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Correlation) read(n *yaml.Node) error {
	var body struct {
		Type      string
		Rules     oneOrMore
		GroupBy   oneOrMore `yaml:"group-by"`
		Timespan  string
		Condition yaml.Node
		Aliases   map[string]map[string]string
		Generate  bool
	}
	if err := n.Decode(&body); err != nil {
		return notYAML(err)
	}
	c.Type, c.Rules, c.GroupBy = CorrelationType(body.Type), body.Rules, body.GroupBy
	c.Aliases, c.Generate = body.Aliases, body.Generate
	switch c.Type {
	case EventCount, ValueCount, Temporal, TemporalOrdered:
	case "":
		return malformed(n.Line, postern.Say("sigma.missing", "key", "type"),
			"type is missing: want event_count, value_count, temporal or temporal_ordered")
	default:
		return unsupported(n.Line, postern.Say("sigma.correlation-type", "type", body.Type),
			"correlation type %q: want event_count, value_count, temporal or temporal_ordered", body.Type)
	}
	if len(c.Rules) == 0 {
		return malformed(n.Line, postern.Say("sigma.missing", "key", "rules"), "rules is missing: name the rules to correlate")
	}
	if len(c.Rules) > maxCorrelated || len(c.GroupBy) > maxCorrelated {
		return beyond(n.Line, postern.Say("sigma.correlation-large", "limit", maxCorrelated),
			"more than %d rules or group fields: split the correlation", maxCorrelated)
	}
	for i, r := range c.Rules {
		if slices.Contains(c.Rules[:i], r) {
			return malformed(n.Line, postern.Say("sigma.duplicate", "key", r), "the rule %q stands twice: name it once", r)
		}
	}
	var err error
	if c.Timespan, err = parseTimespan(n.Line, body.Timespan); err != nil {
		return err
	}
	return c.readCondition(n.Line, &body.Condition)
}

// oneOrMore is a list that may be written as its one value.
type oneOrMore []string

func (o *oneOrMore) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
		*o = oneOrMore{n.Value}
		return nil
	}
	return n.Decode((*[]string)(o))
}

// parseTimespan reads a number and s, m, h, d or w.
func parseTimespan(line int, s string) (time.Duration, error) {
	units := map[byte]time.Duration{
		's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
	}
	bad := func() error {
		return malformed(line, postern.Say("sigma.timespan", "timespan", s),
			"timespan %q: want a number and a unit up to a year, such as 30s, 10m, 1h or 2d", s)
	}
	if len(s) < 2 {
		return 0, bad()
	}
	unit := units[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if unit == 0 || err != nil || n == 0 || n > uint64(maxTimespan/unit) {
		return 0, bad()
	}
	return time.Duration(n) * unit, nil
}

var boundOps = []string{"gt", "gte", "lt", "lte", "eq", "neq"}

func (c *Correlation) readCondition(line int, n *yaml.Node) error {
	counting := c.Type == EventCount || c.Type == ValueCount
	if n.Kind == 0 && !counting {
		c.Bounds = []Bound{{"gte", len(c.Rules)}}
		return nil
	}
	if n.Kind != yaml.MappingNode || c.Type == TemporalOrdered {
		// An ordered chain of some of its rules, or an expression over them, is read
		// differently by every tool.
		return unsupported(line, postern.Say("sigma.correlation-condition"),
			"condition: want a map such as gte: 10 for counts and temporal, and none for temporal_ordered")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == "field" {
			var fields oneOrMore
			if err := fields.UnmarshalYAML(value); err != nil {
				return notYAML(err)
			}
			c.Fields = fields
			continue
		}
		count, err := strconv.Atoi(value.Value)
		if !slices.Contains(boundOps, key.Value) || err != nil || count < 0 || count > maxThreshold {
			return malformed(key.Line, postern.Say("sigma.correlation-bound", "key", key.Value, "limit", maxThreshold),
				"condition %s: want gt, gte, lt, lte, eq or neq with a number from 0 to %d, or field", key.Value, maxThreshold)
		}
		c.Bounds = append(c.Bounds, Bound{key.Value, count})
	}
	if len(c.Bounds) == 0 || (c.Type == ValueCount) != (len(c.Fields) > 0) {
		return malformed(n.Line, postern.Say("sigma.correlation-field"),
			"condition: want a comparison such as gte: 10, and for value_count, and only there, a field")
	}
	return nil
}

// Resolve replaces the names of rules by their ids, in Rules and in Aliases. It
// gives the names, in order, that are neither a name nor an id of ids.
func (c *Correlation) Resolve(ids map[string]string) (dangling []string) {
	known := make(map[string]bool, len(ids))
	for _, id := range ids {
		known[id] = true
	}
	resolve := func(name string) string {
		if id, ok := ids[name]; ok {
			return id
		}
		if !known[name] {
			dangling = append(dangling, name)
		}
		return name
	}
	for i, r := range c.Rules {
		c.Rules[i] = resolve(r)
	}
	for alias, fields := range c.Aliases {
		byID := make(map[string]string, len(fields))
		for r, field := range fields {
			byID[resolve(r)] = field
		}
		c.Aliases[alias] = byID
	}
	slices.Sort(dangling)
	return slices.Compact(dangling)
}

// growing says whether the condition, once it holds, keeps holding when more is
// counted: then it can be answered at once, and else only when the time is over.
func (c *Correlation) growing() bool {
	return !slices.ContainsFunc(c.Bounds, func(b Bound) bool { return b.Op != "gt" && b.Op != "gte" })
}

func (c *Correlation) satisfied(n int) bool {
	return !slices.ContainsFunc(c.Bounds, func(b Bound) bool { return !b.holds(n) })
}
