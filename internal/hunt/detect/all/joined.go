package all

import (
	"slices"
	"strings"

	"postern"
	"postern/internal/hunt/detect"
)

// joined lets detectors that know what a kind of file should look like, and the rules
// of packs, look at the same file, and makes what they say of it one finding: a page
// that two of them recognise is one page.
type joined struct {
	experts []detect.FileDetector
	rules   detect.FileDetector
}

// WantsLogs says whether the rules are about logs too; the experts never are.
func (j joined) WantsLogs() bool { return detect.WantsLogs(j.rules) }

func (j joined) Wants(f *detect.File) bool {
	return j.rules.Wants(f) || !f.Log && slices.ContainsFunc(j.experts, func(d detect.FileDetector) bool { return d.Wants(f) })
}

// Look gives the first error: a file that cannot be read cannot be read by any of them.
func (j joined) Look(f *detect.File) (findings []postern.Finding, problems []postern.Problem, first error) {
	ask := func(d detect.FileDetector) []postern.Finding {
		if !d.Wants(f) {
			return nil
		}
		found, trouble, err := d.Look(f)
		problems = append(problems, trouble...)
		if first == nil {
			first = err
		}
		return found
	}
	for _, d := range j.experts {
		if !f.Log {
			findings = append(findings, ask(d)...)
		}
	}
	var ofPacks []postern.Finding
	for _, found := range ask(j.rules) {
		if strings.HasPrefix(found.Rule, userRules) { // a user wants to see his rules
			findings = append(findings, found)
		} else if !f.Log { // those of packs are about pages
			ofPacks = append(ofPacks, found)
		}
	}
	return join(findings, ofPacks), problems, first
}

// userRules begins the names of rules that a user brings.
const userRules = "yara/"

// join makes the findings of rules one, and one with the worst of the others about the
// file. The worse of the two stays and says who agrees; of equal ones that of the
// expert, who knows more about the file.
func join(findings, rules []postern.Finding) []postern.Finding {
	if len(rules) == 0 {
		return findings
	}
	worse := func(a, b postern.Finding) int { return postern.Severity(&a, &b) }
	slices.SortStableFunc(rules, worse)
	best := rules[0]
	for _, other := range rules[1:] {
		agree(&best, other)
	}
	worst := -1
	for i, f := range findings {
		if !strings.HasPrefix(f.Rule, userRules) && (worst < 0 || worse(f, findings[worst]) < 0) {
			worst = i
		}
	}
	if worst < 0 {
		return append(findings, best)
	}
	expert := &findings[worst]
	if worse(best, *expert) >= 0 {
		agree(expert, best)
		return findings
	}
	agree(&best, *expert)
	best.Explain = append(best.Explain, expert.Explain...)
	*expert = best
	return findings
}

// agree has a finding say that another, which is no worse, is about the same file, and
// take over what only that one knows.
func agree(f *postern.Finding, other postern.Finding) {
	f.Explain = append(slices.Clone(f.Explain), postern.Say("hunt.rule-agrees", "rule", other.Rule))
	f.CVE = union(f.CVE, other.CVE)
	if other.Level > postern.Probed { // what is merely odd brings no role
		f.Tags = union(f.Tags, other.Tags)
	}
	for name, value := range other.Entities {
		if _, known := f.Entities[name]; !known {
			f.Set(name, value)
		}
	}
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
