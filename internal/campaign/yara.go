package campaign

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/VirusTotal/gyp"
	"github.com/VirusTotal/gyp/ast"
	gyperror "github.com/VirusTotal/gyp/error"

	"postern"
)

// FileRules is one file of YARA rules with what the pack says of each. What stands in
// the rules is for the engine to judge.
type FileRules struct {
	Where
	Text []byte
	// Rules by the identifier that they have in the file, without private ones,
	// which find nothing by themselves.
	Rules map[string]postern.Rule
}

// Keys of a rule's meta section that are ours, and those of others that are used. A
// key that begins like one of ours and is none is a mistake.
const (
	metaID         = "postern_id"
	metaLevel      = "postern_level"
	metaConfidence = "postern_confidence"
	metaTags       = "postern_tags"
	metaTitle      = "title_" // and the language
	metaMeans      = "means_"
	metaCVE        = "cve"
)

// readFileRules reads rules/*.yar.
func (r *packReader) readFileRules() {
	count := 0
	for _, file := range r.under("rules", ".yar", ".yara") {
		set, err := parseYARA(r.files[file])
		if err != nil {
			line := 0
			var at gyperror.Error
			if errors.As(err, &at) {
				line = at.Line
			}
			r.bad(file, line, postern.Say("campaign.yara-broken", "error", err))
			continue
		}
		if count += len(set.Rules); count > maxRules {
			r.bad(file, 0, postern.Say("campaign.too-many-rules", "max", maxRules))
			return
		}
		if len(set.Includes) > 0 {
			r.bad(file, 0, postern.Say("campaign.yara-include", "file", clip(set.Includes[0])))
		}
		rules := FileRules{Where: Where{File: r.prefix + file}, Text: r.files[file], Rules: make(map[string]postern.Rule)}
		for _, rule := range set.Rules {
			if !rule.Private {
				m := metaReader{packReader: r, file: file, rule: rule}
				rules.Rules[rule.Identifier] = m.read()
			}
		}
		r.pack.Files = append(r.pack.Files, rules)
	}
}

// parseYARA is the parser of YARA rules, whose panics are mistakes of a rule, too.
func parseYARA(text []byte) (set *ast.RuleSet, err error) {
	defer func() {
		if p := recover(); p != nil {
			set, err = nil, fmt.Errorf("the parser stopped: %v", p)
		}
	}()
	return gyp.ParseString(string(text))
}

// metaReader reads the meta section of one rule.
type metaReader struct {
	*packReader
	file string
	rule *ast.Rule
}

func (m *metaReader) wrong(what postern.Text) { m.bad(m.file, m.rule.LineNo, what) }

func (m *metaReader) read() postern.Rule {
	m.known()
	rule := postern.Rule{Campaign: m.pack.Name, Author: m.one("author"), Licence: m.one("license"), References: m.all("reference")}
	id := m.need(metaID)
	switch first, twice := m.ids[id]; {
	case id == "":
	case !ruleID.MatchString(id):
		m.wrong(postern.Say("campaign.bad-word", "value", clip(id)))
	case twice:
		m.wrong(postern.Say("campaign.rule-twice", "rule", clip(id), "where", first))
	default:
		m.ids[id] = Where{File: m.prefix + m.file, Line: m.rule.LineNo}
	}
	rule.ID = m.pack.Name + "/" + id
	if rule.Title = m.say(metaTitle, rule.ID+".title"); rule.Title.IsZero() {
		rule.Title = postern.Verbatim(m.rule.Identifier)
	}
	if rule.Means = m.say(metaMeans, rule.ID+".means"); rule.Means.IsZero() {
		rule.Means = postern.Verbatim(m.one("description"))
	}
	rule.Level = m.level()
	if text := m.need(metaConfidence); text != "" {
		var err error
		if rule.Confidence, err = postern.ParseConfidence(text); err != nil {
			m.wrong(postern.Say("campaign.bad-confidence", "value", clip(text)))
		}
	}
	for _, cve := range m.all(metaCVE) {
		if _, ok := m.pack.Facts.CVE(cve); !ok {
			m.wrong(postern.Say("campaign.unknown-cve", "cve", clip(cve), "product", m.pack.Facts.Name))
			continue
		}
		rule.CVE = append(rule.CVE, cve)
	}
	rule.Tags = slices.Concat(m.rule.Tags, m.all(metaTags))
	return rule
}

// known reports keys that look like ours and are not.
func (m *metaReader) known() {
	ours := []string{metaID, metaLevel, metaConfidence, metaTags}
	for _, lang := range Languages {
		ours = append(ours, metaTitle+lang, metaMeans+lang)
	}
	for _, p := range m.rule.Meta {
		for _, prefix := range []string{"postern_", metaTitle, metaMeans} {
			if strings.HasPrefix(p.Key, prefix) && !slices.Contains(ours, p.Key) {
				m.wrong(postern.Say("campaign.unknown-key", "key", clip(p.Key), "known", strings.Join(ours, ", ")))
			}
		}
	}
}

// all gives every value of a key. Texts of rules need no escapes but those of Go.
func (m *metaReader) all(key string) []string {
	var values []string
	for _, p := range m.rule.Meta {
		if p.Key != key {
			continue
		}
		switch v := p.Value.(type) {
		case string:
			if text, err := strconv.Unquote(`"` + v + `"`); err == nil {
				v = text
			}
			if len(v) > maxText {
				m.wrong(postern.Say("campaign.text-too-long", "max", maxText))
				v = ""
			}
			values = append(values, v)
		case int64:
			values = append(values, strconv.FormatInt(v, 10))
		}
	}
	return values
}

func (m *metaReader) one(key string) string {
	if all := m.all(key); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (m *metaReader) need(key string) string {
	text := m.one(key)
	if text == "" {
		m.wrong(postern.Say("campaign.missing-key", "key", key))
	}
	return text
}

// say reads a text in every language; one in some only is a mistake.
func (m *metaReader) say(prefix, message string) postern.Text {
	texts := make(map[string]string)
	for _, lang := range Languages {
		if text := m.one(prefix + lang); text != "" {
			texts[lang] = text
		}
	}
	if len(texts) == 0 {
		return postern.Text{}
	}
	for _, lang := range Languages {
		if texts[lang] == "" {
			m.wrong(postern.Say("campaign.missing-language", "key", strings.TrimSuffix(prefix, "_"), "language", lang))
			continue
		}
		m.pack.words[lang][message] = texts[lang]
	}
	return postern.Say(message)
}

func (m *metaReader) level() postern.Level {
	text := m.need(metaLevel)
	if text == "" {
		return 0
	}
	if i := slices.Index(levelNames(), text); i >= 0 {
		return postern.Level(i)
	}
	if i, err := strconv.Atoi(text); err == nil && postern.Level(i).Valid() {
		return postern.Level(i)
	}
	m.wrong(postern.Say("campaign.bad-level", "value", clip(text), "most", int(postern.PostExploitation)))
	return 0
}
