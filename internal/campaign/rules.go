package campaign

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"postern"
)

// maxRules bounds one pack. The whole public Sigma collection has some 4,000.
const maxRules = 20_000

// maxTimespan bounds a sequence: its state is kept that long.
const maxTimespan = 366 * 24 * time.Hour

// Keys of a Sigma document, as in its specification 2.1, and our own.
var (
	ruleKeys = []string{"title", "id", "name", "related", "taxonomy", "status", "description", "license", "references",
		"author", "date", "modified", "tags", "scope", "logsource", "detection", "fields", "falsepositives", "level", "postern"}
	sequenceKeys = []string{"title", "id", "name", "related", "taxonomy", "status", "description", "license", "references",
		"author", "date", "modified", "tags", "scope", "correlation", "fields", "falsepositives", "level", "generate", "postern"}
	additionKeys  = []string{"id", "title", "means", "level", "confidence", "cves", "tags", "downgrade", "entities", "next"}
	downgradeKeys = []string{"when", "level", "confidence", "title", "because"}
)

// pending is a sequence whose rules are looked up once all are read.
type pending struct {
	sequence Sequence
	o        *object // its correlation
}

func (r *packReader) readRules() {
	// A sequence may name a rule by our ID, by its Sigma id or by its Sigma name.
	names := make(map[string]string)
	var sequences []pending
	for _, file := range r.under("rules", ".yml", ".yaml") {
		for _, d := range r.documents(file, r.files[file]) {
			if len(r.pack.Rules)+len(sequences) >= maxRules {
				r.bad(file, d.line(d.root), postern.Say("campaign.too-many-rules", "max", maxRules))
				return
			}
			top := d.object(d.root)
			if top.has("correlation") {
				sequences = append(sequences, r.readSequence(d))
				continue
			}
			o := d.object(d.root, ruleKeys...)
			rule := r.readRule(d, o)
			for _, name := range []string{o.text("id"), o.text("name"), strings.TrimPrefix(rule.ID, r.pack.Name+"/")} {
				if name == "" {
					continue
				}
				if _, twice := names[name]; twice && o.at["id"] != nil && name == o.text("id") {
					d.bad(o.at["id"], postern.Say("campaign.twice", "value", clip(name)))
				}
				names[name] = rule.ID
			}
			r.pack.Rules = append(r.pack.Rules, rule)
		}
	}
	for _, s := range sequences {
		r.resolve(s, names)
	}
}

// readRule reads one Sigma rule. What stands in its detection is for the engine to
// judge; see [Check].
func (r *packReader) readRule(d *document, o *object) RuleDoc {
	doc := RuleDoc{Where: Where{File: r.prefix + d.file, Line: d.line(d.root)}, Sigma: d.bytes}
	o.needText("title")
	detection := o.object("detection")
	if o.need("detection") != nil {
		detection.need("condition")
	}
	if source := o.need("logsource"); source != nil {
		s := sigmaSource(d.object(source, "category", "product", "service", "definition"))
		if doc.Sources = r.pack.Facts.SourcesOf(s); len(doc.Sources) == 0 {
			d.bad(source, postern.Say("campaign.unknown-source", "source", clip(s.String()),
				"known", strings.Join(r.pack.Facts.sourceNames(), ", ")))
		}
	}
	add := r.additions(o)
	doc.Rule = r.common(o, add)
	doc.Entities = r.entities(add)
	doc.Next = r.steps(add, "next")
	for i, n := range add.list("downgrade") {
		doc.Downgrade = append(doc.Downgrade, r.readDowngrade(d.object(n, downgradeKeys...), &doc.Rule, i))
	}
	return doc
}

// additions gives what stands under the postern key.
func (r *packReader) additions(o *object) *object {
	if !o.has("postern") {
		o.d.bad(o.node, postern.Say("campaign.no-additions"))
	}
	return o.object("postern", additionKeys...)
}

// common reads what rules and sequences share.
func (r *packReader) common(o, add *object) postern.Rule {
	d := o.d
	rule := postern.Rule{Campaign: r.pack.Name, Author: o.text("author"), Licence: o.text("license"),
		References: o.texts("references")}
	var id string
	if add.has("id") || o.has("postern") {
		id = add.needText("id")
	}
	if n := add.at["id"]; n != nil && id != "" {
		if !ruleID.MatchString(id) {
			d.bad(n, postern.Say("campaign.bad-word", "value", clip(id)))
		}
		if first, twice := r.ids[id]; twice {
			d.bad(n, postern.Say("campaign.rule-twice", "rule", clip(id), "where", first))
		} else {
			r.ids[id] = Where{File: r.prefix + d.file, Line: d.line(n)}
		}
	}
	rule.ID = r.pack.Name + "/" + id
	// Rules that others wrote keep their own words until somebody gives better ones.
	if rule.Title = add.say("title", r.pack.words, rule.ID+".title"); rule.Title.IsZero() {
		rule.Title = postern.Verbatim(o.text("title"))
	}
	if rule.Means = add.say("means", r.pack.words, rule.ID+".means"); rule.Means.IsZero() {
		rule.Means = postern.Verbatim(o.text("description"))
	}
	if o.has("postern") {
		rule.Level = add.level("level")
		rule.Confidence = add.confidence("confidence")
	}
	rule.CVE = r.cves(add)
	rule.Tags = append(o.texts("tags"), add.texts("tags")...)
	return rule
}

func (r *packReader) entities(add *object) map[string]string {
	entities := make(map[string]string)
	o := add.object("entities")
	for _, name := range o.keys {
		field := o.needText(name)
		if !wordRE.MatchString(name) {
			o.d.bad(o.name[name], postern.Say("campaign.bad-word", "value", clip(name)))
			continue
		}
		entities[name] = field
	}
	return entities
}

func (r *packReader) readDowngrade(o *object, rule *postern.Rule, i int) Downgrade {
	g := Downgrade{When: o.needText("when"), Level: o.level("level"), Confidence: rule.Confidence}
	if o.has("confidence") {
		g.Confidence = o.confidence("confidence")
	}
	g.Title = o.say("title", r.pack.words, rule.ID+".lowered."+itoa(i+1))
	g.Because = o.needSay("because", r.pack.words, rule.ID+".because."+itoa(i+1))
	if o.has("level") && (g.Level > rule.Level || g.Level == rule.Level && g.Confidence >= rule.Confidence) {
		o.d.bad(o.at["level"], postern.Say("campaign.no-downgrade"))
	}
	return g
}

// level reads a rung of the ladder, by number or by its neutral name.
func (o *object) level(key string) postern.Level {
	n := o.need(key)
	if n == nil {
		return 0
	}
	s := o.d.text(n)
	if i := slices.Index(levelNames(), s); i >= 0 {
		return postern.Level(i)
	}
	if i, err := strconv.Atoi(s); err == nil && postern.Level(i).Valid() {
		return postern.Level(i)
	}
	o.d.bad(n, postern.Say("campaign.bad-level", "value", clip(s), "most", int(postern.PostExploitation)))
	return 0
}

func (o *object) confidence(key string) postern.Confidence {
	n := o.need(key)
	if n == nil {
		return postern.Unsaid
	}
	c, err := postern.ParseConfidence(o.d.text(n))
	if err != nil {
		o.d.bad(n, postern.Say("campaign.bad-confidence", "value", clip(n.Value)))
	}
	return c
}

// readSequence reads one Sigma correlation of the temporal kinds.
func (r *packReader) readSequence(d *document) pending {
	o := d.object(d.root, sequenceKeys...)
	add := r.additions(o)
	for _, key := range []string{"downgrade", "entities", "next"} {
		if n := add.name[key]; n != nil {
			d.bad(n, postern.Say("campaign.not-in-sequence", "key", key))
		}
	}
	s := Sequence{Where: Where{File: r.prefix + d.file, Line: d.line(d.root)}, Sigma: d.bytes}
	o.needText("title")
	s.Rule = r.common(o, add)
	c := o.object("correlation", "type", "rules", "group-by", "timespan", "generate")
	switch kind := c.needText("type"); kind {
	case "temporal_ordered":
		s.Ordered = true
	case "temporal", "":
	default:
		d.bad(c.at["type"], postern.Say("campaign.unknown-correlation", "type", clip(kind)))
	}
	s.GroupBy = c.texts("group-by")
	if text := c.needText("timespan"); text != "" {
		var ok bool
		if s.Timespan, ok = timespan(text); !ok {
			d.bad(c.at["timespan"], postern.Say("campaign.bad-timespan", "value", clip(text)))
		}
	}
	return pending{s, c}
}

// resolve finds the rules of a sequence and checks that they carry what it groups by.
func (r *packReader) resolve(s pending, names map[string]string) {
	d := s.o.d
	s.o.need("rules")
	for _, n := range s.o.list("rules") {
		name := d.text(n)
		id, ok := names[name]
		if !ok {
			d.bad(n, postern.Say("campaign.unknown-rule", "rule", clip(name)))
			continue
		}
		s.sequence.Rules = append(s.sequence.Rules, id)
		i := slices.IndexFunc(r.pack.Rules, func(rule RuleDoc) bool { return rule.ID == id })
		for _, entity := range s.sequence.GroupBy {
			if _, ok := r.pack.Rules[i].Entities[entity]; !ok {
				d.bad(n, postern.Say("campaign.no-entity", "rule", clip(name), "entity", clip(entity)))
			}
		}
	}
	if n := s.o.at["rules"]; n != nil && n.Kind == yaml.SequenceNode && len(n.Content) < 2 {
		d.bad(n, postern.Say("campaign.too-few-rules"))
	}
	r.pack.Sequences = append(r.pack.Sequences, s.sequence)
}

var timespanRE = regexp.MustCompile(`^([1-9][0-9]{0,6})([smhd])$`)

// timespan reads Sigma's form: 30s, 10m, 2h, 7d.
func timespan(s string) (time.Duration, bool) {
	m := timespanRE.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, _ := strconv.Atoi(m[1])
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[2]]
	if n > int(maxTimespan/unit) { // before multiplying, which could overflow
		return 0, false
	}
	return time.Duration(n) * unit, true
}
