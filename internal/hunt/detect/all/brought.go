package all

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/rank"
	"postern/internal/hunt/detect/sigma"
)

// Brought are Sigma rules that a user brings, in the form of those of the packs.
type Brought struct {
	Rules     []detect.RowRule
	Sequences []detect.Sequence
	Report    *sigma.Report
}

// BringSigma loads a user's Sigma rules. Their findings are named "sigma/ID"; what
// they are worth says the rule under "postern:", or else the table.
func BringSigma(sources []sigma.Source, table *rank.Table) Brought {
	loaded, report := sigma.Load(sources)
	b := Brought{Report: report}
	at := make(map[string]int) // rule ID → its place
	for _, l := range loaded {
		if l.Rule != nil {
			at[l.ID()] = len(b.Rules)
			b.Rules = append(b.Rules, b.rowRule(l, table))
		}
	}
	var waiting []sigma.Loaded // correlations
	for _, l := range loaded {
		if l.Correlation != nil {
			waiting = append(waiting, l)
		}
	}
	// Each round takes those whose rules are there, so that what another one rests on
	// stands before it; those of a circle are never taken.
	placed := make(map[string]bool)
	for range maxCorrelations {
		var rest, taken []sigma.Loaded
		for _, l := range waiting {
			if slices.ContainsFunc(l.Correlation.Rules, func(id string) bool { _, rule := at[id]; return !rule && !placed[id] }) {
				rest = append(rest, l)
			} else {
				taken = append(taken, l)
			}
		}
		for _, l := range taken {
			placed[l.ID()] = true
			b.Sequences = append(b.Sequences, b.sequence(l, at, table))
		}
		waiting = rest
	}
	for _, l := range waiting {
		report.Loaded -= 1 + l.Copies
		report.Unsupported = append(report.Unsupported, sigma.Unsupported{File: l.File, Rule: l.Correlation.Title, Line: l.Line + 1,
			Why: postern.Say("sigma.correlates-correlation", "limit", maxCorrelations)})
	}
	return b
}

// maxCorrelations is how many correlations may rest on one another: "many failed
// logons, then one that worked, then a new account" are three.
const maxCorrelations = 8

func (b *Brought) rowRule(l sigma.Loaded, table *rank.Table) detect.RowRule {
	r := l.Rule
	served := r.LogSource.Category == "webserver" || r.LogSource.Category == "proxy" || r.LogSource.Service == "iis" || r.LogSource.Service == "httpproxy"
	rule := detect.RowRule{
		Rule:     userRule(l.ID(), r.Title, r.Description, r.Tags, l.File),
		Sigma:    l.Src,
		Compiled: r,
		Says:     credits(r.Author, r.License, r.References),
		Where:    l.File,
		Entities: map[string]string{
			postern.ClientIP: "ClientIp", postern.UserAgent: "Agent", postern.URL: "UrlPath", postern.HTTPStatus: "sc-status",
			postern.Method: "cs-method", postern.Account: "User", postern.File: "TargetFilename",
		},
	}
	rule.Level, rule.Confidence = table.Sigma(r.Tags, r.Level, r.Status, served)
	b.own(l, r.Title, &rule.Rule)
	return rule
}

// userRule is what is true of a rule wherever it matches.
func userRule(id, title, description string, tags []string, file string) postern.Rule {
	r := postern.Rule{ID: "sigma/" + id, Title: postern.Verbatim(title), Tags: tags, Means: postern.Say("sigma.brought", "file", file)}
	if description != "" {
		r.Means = postern.Verbatim(strings.Join(strings.Fields(description), " "))
	}
	for _, tag := range tags {
		if cve := strings.ToUpper(strings.ReplaceAll(tag, ".", "-")); strings.HasPrefix(cve, "CVE-") {
			r.CVE = append(r.CVE, cve)
		}
	}
	return r
}

// credits says whose rule it is, as the finding carries it.
func credits(author, licence string, references []string) map[string]string {
	says := map[string]string{"rule_author": author, "rule_licence": licence}
	if len(references) > 0 {
		says["rule_reference"] = references[0]
	}
	maps.DeleteFunc(says, func(_, v string) bool { return v == "" })
	return says
}

// packKeys are what else the rules of packs say under "postern:", which is of no use here.
var packKeys = []string{"id", "title", "means", "cves", "tags", "downgrade", "entities", "next"}

// own takes what a rule itself says of its worth, and reports what is not understood of it.
func (b *Brought) own(l sigma.Loaded, title string, r *postern.Rule) {
	if !bytes.Contains(l.Src, []byte("postern")) {
		return // parsing a document once more costs as much as all the rest
	}
	var doc struct{ Postern yaml.Node }
	if yaml.Unmarshal(l.Src, &doc) != nil || doc.Postern.IsZero() {
		return
	}
	remark := func(n *yaml.Node, why postern.Text) {
		b.Report.Remarks = append(b.Report.Remarks, sigma.Unsupported{File: l.File, Rule: title, Line: l.Line + n.Line, Why: why})
	}
	if doc.Postern.Kind != yaml.MappingNode {
		remark(&doc.Postern, postern.Say("rules.own-map", "key", "postern"))
		return
	}
	for i := 0; i+1 < len(doc.Postern.Content); i += 2 {
		key, value := doc.Postern.Content[i], doc.Postern.Content[i+1]
		said := strings.ToLower(value.Value)
		switch {
		case key.Value == "level":
			if level, err := postern.ParseLevel(said); err == nil {
				r.Level = level
			} else {
				remark(value, postern.Say("rules.own-level", "key", "postern: level", "value", value.Value))
			}
		case key.Value == "confidence":
			if c, err := postern.ParseConfidence(said); err == nil {
				r.Confidence = c
			} else {
				remark(value, postern.Say("rules.own-confidence", "key", "postern: confidence", "value", value.Value))
			}
		case !slices.Contains(packKeys, key.Value):
			remark(key, postern.Say("rules.own-key", "key", "postern: "+key.Value, "level", "level", "confidence", "confidence"))
		}
	}
}

// sequence makes a correlation run over the findings of its rules, which from then on
// carry the fields that it groups by.
func (b *Brought) sequence(l sigma.Loaded, at map[string]int, table *rank.Table) detect.Sequence {
	c := l.Correlation
	s := detect.Sequence{Rule: userRule(l.ID(), c.Title, c.Description, c.Tags, l.File), Sigma: l.Src, Only: !c.Generate, Where: l.File}
	s.Level, s.Confidence = table.Sigma(c.Tags, c.Level, c.Status, false)
	b.own(l, c.Title, &s.Rule)
	for _, id := range c.Rules {
		i, ok := at[id]
		if !ok { // a correlation: its findings carry the fields by which it groups
			s.Rules = append(s.Rules, "sigma/"+id)
			continue
		}
		rule := &b.Rules[i]
		s.Rules = append(s.Rules, rule.ID)
		for _, field := range slices.Concat(c.GroupBy, c.Fields) {
			if alias, ok := c.Aliases[field]; ok {
				field = alias[id]
			}
			if field != "" {
				rule.Entities[field] = field
			}
		}
	}
	return s
}
