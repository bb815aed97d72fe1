// Package sigma evaluates Sigma rules over events.
//
// Input: rule documents in YAML (Sigma specification 2.1, rules and
// correlations) and events whose field names and values are text. Output: which
// rules an event matches, which of its fields decided, and for the stages before
// it which literals an event must contain so that a rule can match at all.
// Filters and placeholders are not supported and are refused with the reason;
// a rule is never silently false.
//
// Rule and condition are parsed by github.com/bradleyjkemp/sigma-go; what is
// ours is everything from its syntax tree on: compilation, index and evaluation.
// A [Rule] can be asked alone; a [Set] evaluates many at a cost that does not
// grow with the rules that do not hit.
//
// Source of the format: https://github.com/SigmaHQ/sigma-specification. Where
// the specification is silent, docs/formats/sigma.md says what we do and why.
package sigma

import (
	"maps"
	"slices"
	"sync"

	"postern"
)

// Bounds of one rule. Rules come from strangers: each bound is far above what
// public collections need (their largest rules have 300 KB and 5,000 patterns)
// and low enough that a hostile rule costs milliseconds and megabytes.
const (
	// MaxRuleBytes bounds the text of one document.
	MaxRuleBytes = 1 << 20
	// maxYAMLDepth bounds nesting; real rules have six levels.
	maxYAMLDepth = 32
	// maxYAMLNodes bounds keys and values of one document.
	maxYAMLNodes = 50_000
	// maxConditionBytes and maxConditionDepth keep the recursive parser shallow.
	maxConditionBytes = 8 << 10
	maxConditionDepth = 64
	// maxSelections and maxTreeSize bound the condition with its selections put in:
	// "1 of them", repeated, multiplies.
	maxSelections = 1_000
	maxTreeSize   = 4 * maxPatterns
	// maxPatterns bounds the values of one rule after modifiers multiplied them.
	maxPatterns = 50_000
	// maxWindash bounds the dashes of one value: each multiplies the patterns by five.
	maxWindash = 4
	// maxRegexpBytes, maxRegexpSize and maxRegexpTotal bound one regular expression
	// as text and as a program, and all programs of a rule: time over a value is
	// length times program size.
	maxRegexpBytes = 8 << 10
	maxRegexpSize  = 20_000
	maxRegexpTotal = 200_000
)

// Rule is one compiled Sigma rule. It does not change once compiled; several
// goroutines may use it at once.
type Rule struct {
	ID, Name, Title, Description     string
	Level, Status                    string
	Author, License                  string
	Date, Modified                   string
	Tags, References, FalsePositives []string
	LogSource                        LogSource

	own        *table // the rule's fields; items name them by slot
	all        bool   // it looks at values whatever their names
	items      []item
	root       *node
	conditions map[string]*node // extra ones, by name
	views      sync.Pool        // of *view, for Match
}

// LogSource says which logs a rule is written for, in lower case.
type LogSource struct{ Category, Product, Service string }

// Match is one rule that an event matches.
type Match struct {
	Rule *Rule

	ev      *postern.Event
	table   *table
	bind    []int32
	aliases map[string]string
	views   *sync.Pool
}

// Name gives what a field, as the rule calls it, is called in the event.
func (m *Match) Name(field string) string {
	if name, ok := m.aliases[string(appendName(nil, field))]; ok {
		return name
	}
	return field
}

// Match says whether the event matches the rule, and in m, which may be nil,
// how. Field names are those of the rule itself; a [Set] knows aliases.
func (r *Rule) Match(ev *postern.Event, m *Match) bool {
	v, _ := r.views.Get().(*view)
	if v == nil {
		v = new(view)
	}
	defer r.views.Put(v)
	v.load(ev, r.own, r.all)
	v.bind = nil
	defer v.unload()
	if !r.root.eval(r, v) {
		return false
	}
	if m != nil {
		*m = Match{Rule: r, ev: ev, table: r.own, views: &r.views}
	}
	return true
}

// Fields gives the names, as the event has them, of the fields that decided: those of the
// tests that held on the way to the match, in the order of the rule. A field that decided
// by its absence is not among them. They are found when asked: ask before the event is
// changed or used again.
func (m *Match) Fields() []string {
	if m.ev == nil {
		return nil
	}
	v := m.view()
	defer m.views.Put(v)
	defer v.unload()
	return m.Rule.decided(v)
}

// Holds says whether an extra condition of the rule holds for the event of the
// match; false if the rule has none of that name. It is evaluated when asked, as Fields.
func (m *Match) Holds(name string) bool {
	cond := m.Rule.conditions[name]
	if cond == nil || m.ev == nil {
		return false
	}
	v := m.view()
	defer m.views.Put(v)
	defer v.unload()
	return cond.eval(m.Rule, v)
}

// view lays out the event of the match again.
func (m *Match) view() *view {
	v, _ := m.views.Get().(*view)
	if v == nil {
		v = new(view)
	}
	v.load(m.ev, m.table, m.Rule.all)
	v.bind = m.bind
	return v
}

// Conditions gives the names of the extra conditions in order.
func (r *Rule) Conditions() []string { return slices.Sorted(maps.Keys(r.conditions)) }

// decided gives the names of the fields that decided a match, in the order of
// the rule.
func (r *Rule) decided(v *view) []string {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var walk func(n *node) // of one that holds
	walk = func(n *node) {
		switch n.op {
		case opItem:
			r.items[n.item].decided(r, v, add)
		case opAnd:
			for _, kid := range n.kids {
				walk(kid)
			}
		case opOr:
			for _, kid := range n.kids {
				if kid.eval(r, v) {
					walk(kid)
				}
			}
		}
	}
	walk(r.root)
	return names
}
