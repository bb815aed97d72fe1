package yara

import (
	"strconv"
	"strings"

	"github.com/VirusTotal/gyp/ast"

	"postern"
	"postern/internal/hunt/detect/yara/pattern"
)

// Rules are the rules of a run, compiled. They do not change once made, but for what
// they keep to be quicker.
type Rules struct {
	rules   []*rule
	groups  int // files that share global rules
	strings *pattern.Set
	index   index
	parts   parts
}

// rule is one compiled rule.
type rule struct {
	index           int32
	group           int32
	global, private bool
	condition       *node
	vars            int          // of its loops
	strings         []pattern.ID // by their place in the rule; -1 where the condition does not ask
	names           []string     // for evidence; "" of private strings
	meta            Meta
	pack            *postern.Rule // what its pack says, nil for rules of a user
}

// Meta is what a rule says about itself.
type Meta struct {
	Rule string // identifier
	// ID is what findings call it: the identifier, and behind it the file where another
	// rule has had the identifier before.
	ID   string
	File string
	Line int
	Tags []string
	// Pairs are in the order of the rule; a name may stand several times.
	Pairs []Pair
}

// Pair is one line of a rule's meta section, numbers and booleans as text.
type Pair struct{ Name, Value string }

// Get gives the first value of the first name that the rule has, without case.
func (m *Meta) Get(names ...string) string {
	for _, name := range names {
		for _, p := range m.Pairs {
			if strings.EqualFold(p.Name, name) && p.Value != "" {
				return p.Value
			}
		}
	}
	return ""
}

// All gives every value of a name.
func (m *Meta) All(name string) []string {
	var values []string
	for _, p := range m.Pairs {
		if strings.EqualFold(p.Name, name) {
			values = append(values, p.Value)
		}
	}
	return values
}

// Score is how sure the author is, 0 to 100, as many collections say it; false if
// the rule does not.
func (m *Meta) Score() (int, bool) {
	n, err := strconv.Atoi(m.Get("score", "threat_score"))
	return n, err == nil && n >= 0 && n <= 100
}

// maxPairs bounds what is kept of a rule's meta section: some name a thousand hashes.
const maxPairs = 64

// metaOf takes what is of use for findings: hashes of samples are not.
func metaOf(r *ast.Rule, shown string) Meta {
	m := Meta{Rule: r.Identifier, File: shown, Line: r.LineNo, Tags: r.Tags}
	for _, p := range r.Meta {
		key := strings.ToLower(p.Key)
		if strings.HasPrefix(key, "hash") || len(m.Pairs) >= maxPairs && !strings.HasPrefix(key, ownPrefix) {
			continue
		}
		m.Pairs = append(m.Pairs, Pair{p.Key, metaValue(p.Value)})
	}
	return m
}

func metaValue(v any) string {
	switch v := v.(type) {
	case string:
		s, err := unescape(v)
		if err != nil {
			return v
		}
		return s
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// Names in a meta section by which a rule itself says what it is worth. What begins
// like them is meant for this program; the last two are of use in packs alone.
const (
	ownPrefix     = "postern_"
	ownLevel      = ownPrefix + "level"
	ownConfidence = ownPrefix + "confidence"
	packID        = ownPrefix + "id"
	packTags      = ownPrefix + "tags"
)

// misunderstood gives what a rule says to this program that it does not understand.
func (m *Meta) misunderstood() (all []postern.Text) {
	for _, p := range m.Pairs {
		key, value := strings.ToLower(p.Name), strings.ToLower(p.Value)
		switch {
		case key == ownLevel:
			if _, err := postern.ParseLevel(value); err != nil {
				all = append(all, postern.Say("rules.own-level", "key", p.Name, "value", p.Value))
			}
		case key == ownConfidence:
			if _, err := postern.ParseConfidence(value); err != nil {
				all = append(all, postern.Say("rules.own-confidence", "key", p.Name, "value", p.Value))
			}
		case strings.HasPrefix(key, ownPrefix) && key != packID && key != packTags:
			all = append(all, postern.Say("rules.own-key", "key", p.Name, "level", ownLevel, "confidence", ownConfidence))
		}
	}
	return all
}

// Report says what was loaded, and what not and why.
type Report struct {
	Files       int
	Rules       int
	Loaded      int // with copies
	Unsupported []Unsupported
	Remarks     []Unsupported // what is not understood of rules that are loaded
	Again       []Again
	Read        []string // the files that were named or are rules by their names
	Passed      []string // files in the folders that are not
}

// Again is a rule whose name a rule of another file had before it. Both are asked.
type Again struct {
	File string
	Line int
	Rule string
	// ID is what its findings are called. It is empty for the very same rule once more,
	// as collections hold them in several folders: of two such matches one is reported.
	ID        string
	First     string // file of the rule that had the name before
	FirstLine int
}

// Unsupported is a rule that was not loaded, or a whole file.
type Unsupported struct {
	File string
	Rule string // "" for a file, or a part of one that is no rule
	Line int    // 0 where the whole file is meant
	Why  postern.Text
}

func (r *Report) refuse(file, rule string, why refusal) {
	r.Unsupported = append(r.Unsupported, Unsupported{File: file, Rule: rule, Line: why.line, Why: why.why})
}

// Load reads and compiles rules. What cannot be loaded is in the report and takes
// nothing with it but the rules that refer to it.
func Load(sources []Source) (*Rules, *Report) {
	c := &compiler{set: &Rules{}, report: &Report{}, builder: pattern.NewBuilder(), sources: make(map[pattern.ID]ast.String), called: calledRules{make(map[textKey]*Meta), make(map[string]*Meta)}}
	l := read(sources)
	c.report.Read, c.report.Passed = l.names, l.passed
	c.files(l)
	c.set.strings = c.builder.Build()
	c.set.index = newIndex(c.set, c.sources)
	return c.set, c.report
}

// Len gives the number of rules, private ones included.
func (r *Rules) Len() int { return len(r.rules) }

// Metas gives what each rule says about itself, in the order of loading, without
// private ones.
func (r *Rules) Metas() []Meta {
	var all []Meta
	for _, rule := range r.rules {
		if !rule.private {
			all = append(all, rule.meta)
		}
	}
	return all
}
