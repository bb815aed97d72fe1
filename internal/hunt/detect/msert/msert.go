// Package msert looks at the logs of Microsoft's on-demand scanners for what they
// found and removed: often the only proof that a back door was there.
//
// Input: what parse/msert read (the stage before this one, for the same format), and a
// [Knowledge] of plain values. Output: one finding a threat and file, over all scans
// of a log, and one fact of level 0 a scan, since a scan that removes also removes
// evidence, and one that finds nothing clears nothing.
//
// The log gives local times without a zone. Findings have a time only if the zone of
// the server is known; the local time stands in their explanation.
package msert

import (
	"bytes"
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/msert"
)

// Knowledge is what the detector compares a log with. [Microsoft] gives the families.
type Knowledge struct {
	Families []Family
	// Zone is that of the server; nil if it is not known.
	Zone *time.Location
}

// Family says what a part of a detection's name means.
type Family struct {
	Text string `yaml:"text"` // anywhere in the name, lower case
	Kind Kind   `yaml:"kind"`
}

// Kind is what a threat means for the server.
type Kind string

// The kinds that names tell.
const (
	WebShell         Kind = "web-shell"
	Command          Kind = "command"
	PostExploitation Kind = "post-exploitation"
	TestFile         Kind = "test"
)

//go:embed families.yaml
var families []byte

// Microsoft gives the families of Microsoft's names.
func Microsoft() ([]Family, error) {
	var all []Family
	d := yaml.NewDecoder(bytes.NewReader(families))
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("families.yaml: %w", err)
	}
	return all, nil
}

// Rules lists what the detector looks for.
func Rules() []postern.Rule {
	return []postern.Rule{
		{ID: ruleWebShell, Level: postern.Implanted, Confidence: postern.High, Tags: []string{"shell-file", "attack.t1505.003"},
			Title: postern.Say("msert.web-shell.title"), Means: postern.Say("msert.web-shell.means")},
		{ID: ruleCompiled, Level: postern.Used, Confidence: postern.Medium, Tags: []string{"attack.t1505.003"},
			Title: postern.Say("msert.compiled.title"), Means: postern.Say("msert.compiled.means")},
		{ID: ruleCommand, Level: postern.Used, Confidence: postern.Medium, Tags: []string{"attack.execution"},
			Title: postern.Say("msert.command.title"), Means: postern.Say("msert.command.means")},
		{ID: rulePost, Level: postern.PostExploitation, Confidence: postern.Medium,
			Title: postern.Say("msert.post-exploitation.title"), Means: postern.Say("msert.post-exploitation.means")},
		{ID: ruleThreat, Level: postern.Probed, Confidence: postern.Low,
			Title: postern.Say("msert.threat.title"), Means: postern.Say("msert.threat.means")},
		{ID: ruleTest, Level: postern.NotSeen, Confidence: postern.High,
			Title: postern.Say("msert.test.title"), Means: postern.Say("msert.test.means")},
		{ID: ruleScan, Level: postern.NotSeen, Confidence: postern.High, Tags: []string{"remediation"},
			Title: postern.Say("msert.scan.title"), Means: postern.Say("msert.scan.means")},
	}
}

const (
	ruleWebShell = "msert/web-shell"
	ruleCompiled = "msert/compiled"
	ruleCommand  = "msert/command"
	rulePost     = "msert/post-exploitation"
	ruleThreat   = "msert/threat"
	ruleTest     = "msert/test"
	ruleScan     = "msert/scan"
)

// Entities beside those that every room knows.
const (
	entityThreat  = "threat"
	entityOutcome = "outcome"
	entityScan    = "scan" // quick, full …
)

// Detector judges logs. It keeps nothing of what it has seen and may be used by
// several goroutines at once.
type Detector struct {
	k     Knowledge
	rules map[string]postern.Rule
}

// New makes a detector.
func New(k Knowledge) *Detector {
	d := &Detector{k: k, rules: make(map[string]postern.Rule)}
	for _, r := range Rules() {
		d.rules[r.ID] = r
	}
	return d
}

var logName = regexp.MustCompile(`^(msert|mrt)[^/]*\.log$`)

// Wants takes the logs by their name.
func (d *Detector) Wants(f *detect.File) bool {
	if !strings.EqualFold(path.Ext(f.Path), ".log") { // asked of every file
		return false
	}
	return logName.MatchString(strings.ToLower(path.Base(strings.ReplaceAll(f.Path, `\`, "/"))))
}

// Look reads one log.
func (d *Detector) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", f.Path, err)
	}
	defer r.Close()
	log, err := msert.Read(r, f.Path)
	return d.judge(f.Path, log), log.Problems, err
}

// seen is a threat in one file over all scans.
type seen struct {
	finding     postern.Finding
	first, last *msert.Scan
	outcome     msert.Outcome
	scans       int
	lastAt      postern.Evidence
}

func (d *Detector) judge(path string, log *msert.Log) []postern.Finding {
	var order []string
	threats := make(map[string]*seen)
	var findings []postern.Finding
	for i := range log.Scans {
		scan := &log.Scans[i]
		for j := range scan.Threats {
			t := &scan.Threats[j]
			for _, r := range resources(t) {
				key := strings.ToLower(t.Name + "\x00" + r.Kind + "\x00" + r.Path)
				at := postern.Evidence{Path: path, Line: r.Line, Offset: r.Offset, SHA256: log.SHA256, Excerpt: r.Raw}
				s := threats[key]
				if s == nil {
					s = &seen{finding: d.threat(t, r), first: scan}
					s.finding.Evidence = []postern.Evidence{at}
					threats[key] = s
					order = append(order, key)
				}
				if s.last != scan {
					s.scans++
				}
				s.last, s.outcome, s.lastAt = scan, t.Outcome, at
			}
		}
		if f, ok := d.scan(path, log, scan); ok {
			findings = append(findings, f)
		}
	}
	for _, key := range order {
		findings = append(findings, d.finish(threats[key]))
	}
	for i := range findings {
		findings[i].ID = postern.FindingID(findings[i].Rule, findings[i].Evidence[0])
	}
	return findings
}

// resources gives what a threat was found in: files, or else what there is. A
// container only says again where its parts are. Without any it is the threat itself.
func resources(t *msert.Threat) []msert.Resource {
	var all []msert.Resource
	for _, r := range t.Resources {
		again := slices.ContainsFunc(t.Resources, func(o msert.Resource) bool { return o.Kind == "file" && o.Path == r.Path })
		if r.Kind == "containerfile" && again {
			continue
		}
		all = append(all, r)
	}
	if all == nil {
		all = []msert.Resource{{Place: t.Place}}
	}
	return all
}

// Where pages are served, compiled, and mail is kept on its way; what a page is.
var (
	webFolder = regexp.MustCompile(`/(inetpub/wwwroot|frontend/httpproxy|clientaccess|aspnet_client)/`)
	webPage   = regexp.MustCompile(`\.(aspx|ashx|asmx|asax|ascx|asp|cshtml|php|jsp|jspx|cfm)$`)
	cveInName = regexp.MustCompile(`(?i)\bcve-\d{4}-\d{4,7}\b`)
)

const (
	compiledFolder = "/temporary asp.net files/"
	mailFolder     = "/transportroles/"
)

// threat judges a threat by its name and its place.
func (d *Detector) threat(t *msert.Threat, r msert.Resource) postern.Finding {
	name := strings.ToLower(t.Name)
	kind := Kind("")
	if i := slices.IndexFunc(d.k.Families, func(f Family) bool { return strings.Contains(name, f.Text) }); i >= 0 {
		kind = d.k.Families[i].Kind
	}
	isFile := r.Kind == "file" || r.Kind == "containerfile"
	p := parse.ServerPath(r.Path)
	page := isFile && webFolder.MatchString(p) && webPage.MatchString(p)
	rule, why := ruleThreat, postern.Text{}
	switch {
	case kind == TestFile:
		rule = ruleTest
	case isFile && strings.Contains(p, compiledFolder) && kind != PostExploitation:
		rule, why = ruleCompiled, postern.Say("msert.why.compiled")
	case kind == WebShell:
		rule, why = ruleWebShell, postern.Say("msert.why.name", "name", t.Name)
	case strings.Contains(p, mailFolder):
		why = postern.Say("msert.why.mail")
	case page:
		rule, why = ruleWebShell, postern.Say("msert.why.place")
	case kind == Command:
		rule, why = ruleCommand, postern.Say("msert.why.name", "name", t.Name)
	case kind == PostExploitation:
		rule, why = rulePost, postern.Say("msert.why.name", "name", t.Name)
	default:
		why = postern.Say("msert.why.other")
	}
	base := d.rules[rule]
	f := postern.Finding{Rule: rule, Level: base.Level, Confidence: base.Confidence, Tags: base.Tags, Title: found(t.Name, r)}
	if !why.IsZero() {
		f.Explain = append(f.Explain, why)
	}
	if rule == ruleWebShell && !page && isFile {
		// The name says web shell, the place does not: a copy in a quarantine, an
		// archive or an investigator's folder is proof of less.
		f.Confidence = postern.Medium
		f.Explain = append(f.Explain, postern.Say("msert.why.not-served"))
	}
	if rule == ruleWebShell && !isFile {
		f.Confidence = postern.Medium
	}
	for _, cve := range cveInName.FindAllString(t.Name, 4) {
		f.CVE = append(f.CVE, strings.ToUpper(cve))
	}
	f.Set(entityThreat, t.Name)
	if isFile {
		f.Set(postern.File, r.Path)
	}
	if r.Inside != "" {
		f.Explain = append(f.Explain, postern.Say("msert.inside", "inside", r.Inside))
	}
	return f
}

func found(name string, r msert.Resource) postern.Text {
	if r.Path == "" {
		return postern.Say("msert.found", "threat", name)
	}
	return postern.Say("msert.found-in", "threat", name, "resource", r.Path)
}

// finish adds what the scans say about the end of a threat.
func (d *Detector) finish(s *seen) postern.Finding {
	f := s.finding
	f.Time = msert.In(s.first.Started, d.k.Zone)
	if !s.first.Started.IsZero() {
		f.Explain = append(f.Explain, postern.Say("msert.when", "time", s.first.Started.Format("2006-01-02 15:04:05")))
	}
	switch s.outcome {
	case msert.Removed:
		f.Explain = append(f.Explain, postern.Say("msert.outcome.removed"))
	case msert.PartlyRemoved:
		f.Explain = append(f.Explain, postern.Say("msert.outcome.partly"))
	case msert.Left:
		f.Explain = append(f.Explain, postern.Say("msert.outcome.left"))
	default:
		f.Explain = append(f.Explain, postern.Say("msert.outcome.unknown"))
	}
	f.Set(entityOutcome, string(s.outcome))
	if s.scans > 1 {
		f.Evidence = append(f.Evidence, s.lastAt)
		f.Explain = append(f.Explain, postern.Say("msert.again", "count", s.scans))
		f.Set(postern.Count, fmt.Sprint(s.scans))
	}
	return f
}

// reach gives the message for how far a scan went, the widest of its parts.
func reach(s *msert.Scan) string {
	for _, kind := range [...]string{"full", "custom", "extended", "quick"} {
		if slices.Contains(s.Kinds, kind) {
			return "msert.kind." + kind // catalogue: msert.kind.*
		}
	}
	return "msert.kind.unknown"
}

// scan says that a scan ran. The monthly tool runs everywhere; of it only a scan
// that found something is worth a line.
func (d *Detector) scan(path string, log *msert.Log, s *msert.Scan) (postern.Finding, bool) {
	if strings.Contains(s.Tool, "Malicious Software Removal Tool") && len(s.Threats) == 0 {
		return postern.Finding{}, false
	}
	r := d.rules[ruleScan]
	tool := s.Tool
	if tool == "" {
		tool = "?"
	}
	f := postern.Finding{
		Rule: ruleScan, Level: r.Level, Confidence: r.Confidence, Tags: r.Tags, Time: msert.In(s.Started, d.k.Zone),
		Title:    postern.Say("msert.ran", "tool", tool, "kind@", reach(s), "count", len(s.Threats)),
		Evidence: []postern.Evidence{{Path: path, Line: s.Line, Offset: s.Offset, SHA256: log.SHA256, Excerpt: s.Raw}},
	}
	f.Set(entityScan, strings.Join(s.Kinds, ","))
	say := func(t postern.Text) { f.Explain = append(f.Explain, t) }
	if !s.Started.IsZero() {
		say(postern.Say("msert.when", "time", s.Started.Format("2006-01-02 15:04:05")))
	}
	removed := slices.ContainsFunc(s.Threats, func(t msert.Threat) bool {
		return t.Outcome == msert.Removed || t.Outcome == msert.PartlyRemoved
	})
	if removed {
		say(postern.Say("msert.evidence-removed"))
	}
	if len(s.Threats) == 0 {
		if slices.Contains(s.Kinds, "full") {
			say(postern.Say("msert.nothing-full"))
		} else {
			say(postern.Say("msert.nothing"))
		}
	}
	if s.Finished.IsZero() {
		say(postern.Say("msert.unfinished"))
	}
	if s.Errors > 0 {
		say(postern.Say("msert.errors", "count", s.Errors))
	}
	return f, true
}
