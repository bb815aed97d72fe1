package all

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"postern"
	"postern/internal/hunt/detect/rank"
	"postern/internal/hunt/detect/sigma"
)

const logonRules = `title: Logon failed
id: failed
logsource: {product: windows, service: security}
detection: {s: {EventID: 4625}, condition: s}
---
title: Logon
id: worked
logsource: {product: windows, service: security}
detection: {s: {EventID: 4624}, condition: s}
`

const guessing = `---
title: Many failed logons
id: guessing
correlation: {type: event_count, rules: failed, group-by: TargetUserName, timespan: 10m, condition: {gte: 3}%s}
`

const guessed = `---
title: Many failed logons and then one
id: guessed
correlation: {type: temporal_ordered, rules: [guessing, worked], group-by: TargetUserName, timespan: 1h%s}
`

// findRules gives the names of what the rules find in four logons of an account, of which
// the last one works, and one of another account.
func findRules(t *testing.T, text string) (found []string, b Brought) {
	t.Helper()
	table, err := rank.New()
	if err != nil {
		t.Fatal(err)
	}
	b = BringSigma([]sigma.Source{{FS: fstest.MapFS{"rules.yml": {Data: []byte(text)}}, Path: "."}}, table)
	rows, err := NewRows(b.Rules, b.Sequences, nil, func(string, string, string) []string { return nil })
	if err != nil {
		t.Fatal(err)
	}
	h := rows.Host()
	var findings []postern.Finding
	for i, id := range []string{"4625", "4625", "4625", "4624", "4624"} {
		user := "anna"
		if i == 4 {
			user = "ben"
		}
		ev := &postern.Event{
			Time:   time.Date(2021, 3, 3, 6, i, 0, 0, time.UTC),
			Fields: []postern.Field{{Name: "Channel", Value: "Security"}, {Name: "EventID", Value: id}, {Name: "TargetUserName", Value: user}},
			Place:  postern.Place{Path: "Security.evtx", Record: int64(i + 1)},
		}
		findings = append(findings, h.LookAtRecord(ev)...)
	}
	findings = append(findings, h.Sequences(findings)...)
	for _, f := range h.Once(findings) {
		found = append(found, fmt.Sprintf("%s×%d", strings.TrimPrefix(f.Rule, "sigma/"), len(f.Evidence)))
	}
	return found, b
}

// What a correlation rests on is reported only if the correlation says so.
func TestCorrelationsSpeakForTheirRules(t *testing.T) {
	t.Parallel()
	failed, worked := []string{"failed×1", "failed×1", "failed×1"}, []string{"worked×1", "worked×1"}
	for name, c := range map[string]struct {
		rules string
		want  []string
	}{
		"no correlation":   {logonRules, slices.Concat(failed, worked)},
		"silent":           {logonRules + fmt.Sprintf(guessing, ""), append(worked, "guessing×3")},
		"generate":         {logonRules + fmt.Sprintf(guessing, ", generate: true"), slices.Concat(failed, worked, []string{"guessing×3"})},
		"one of two wants": {logonRules + fmt.Sprintf(guessing, "") + strings.ReplaceAll(fmt.Sprintf(guessing, ", generate: true"), "guessing", "g2"), slices.Concat(failed, worked, []string{"guessing×3", "g2×3"})},
		"of a correlation": {logonRules + fmt.Sprintf(guessing, "") + fmt.Sprintf(guessed, ""), []string{"guessed×4"}},
		"named before it":  {logonRules + fmt.Sprintf(guessed, "") + fmt.Sprintf(guessing, ""), []string{"guessed×4"}},
		"of one, generate": {logonRules + fmt.Sprintf(guessing, "") + fmt.Sprintf(guessed, ", generate: true"), append(worked, "guessing×3", "guessed×4")},
	} {
		got, b := findRules(t, c.rules)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
		if n := len(b.Report.Unsupported); n > 0 {
			t.Errorf("%s: %+v", name, b.Report.Unsupported)
		}
	}
}

// A circle, what rests on it, and a chain without end are refused with the reason; what
// is left is as if they were not there.
func TestCorrelationsInACircle(t *testing.T) {
	t.Parallel()
	correlation := func(id, on string) string {
		return fmt.Sprintf("---\ntitle: %s\nid: %s\ncorrelation: {type: event_count, rules: [%s], timespan: 1h, condition: {gte: 1}}\n", id, id, on)
	}
	rules := logonRules + correlation("a", "b") + correlation("b", "a") + correlation("itself", "itself") + correlation("on-a", "a, failed")
	got, b := findRules(t, rules)
	if want := []string{"failed×1", "failed×1", "failed×1", "worked×1", "worked×1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if b.Report.Loaded != 2 || len(b.Report.Unsupported) != 4 {
		t.Errorf("loaded %d, refused %+v", b.Report.Loaded, b.Report.Unsupported)
	}
	for _, u := range b.Report.Unsupported {
		if u.Why.Key != "sigma.correlates-correlation" || u.Line == 0 {
			t.Errorf("%+v", u)
		}
	}
	rules = logonRules + correlation("c0", "failed")
	for i := range maxCorrelations {
		rules += correlation(fmt.Sprintf("c%d", i+1), fmt.Sprintf("c%d", i))
	}
	if _, b := findRules(t, rules); len(b.Sequences) != maxCorrelations || len(b.Report.Unsupported) != 1 {
		t.Errorf("%d of a chain of %d are loaded, refused %+v", len(b.Sequences), maxCorrelations+1, b.Report.Unsupported)
	}
}

// Rules of one id in two files are two rules, and a correlation means that of its own file.
// A file that is there twice is there once, whatever stands first in it.
func TestRulesOfOneID(t *testing.T) {
	t.Parallel()
	table, err := rank.New()
	if err != nil {
		t.Fatal(err)
	}
	const head = "title: Logon\nid: logon\nlogsource: {product: windows, service: security}\n"
	failed, worked := head+"detection: {s: {EventID: 4625}, condition: s}\n", head+"detection: {s: {EventID: 4624}, condition: s}\n"
	many := fmt.Sprintf(strings.ReplaceAll(guessing, "failed", "logon"), "")
	onMany := fmt.Sprintf(strings.ReplaceAll(strings.ReplaceAll(guessed, "worked", "logon"), "temporal_ordered", "temporal"), "")
	for name, c := range map[string]struct {
		files []string
		want  []string // rules, and correlations with what they name
		again int
	}{
		"different": {[]string{failed + many, worked + many}, []string{
			"sigma/logon", "sigma/logon@rules1.yml", "sigma/guessing [sigma/logon]", "sigma/guessing@rules1.yml [sigma/logon@rules1.yml]"}, 2},
		"copies": {[]string{failed + many + onMany, strings.ReplaceAll(failed+many+onMany, "\n", "\r\n")}, []string{
			"sigma/logon", "sigma/guessing [sigma/logon]", "sigma/guessed [sigma/guessing sigma/logon]"}, 3},
		"copies, the last first": {[]string{failed + onMany + many, failed + onMany + many}, []string{
			"sigma/logon", "sigma/guessing [sigma/logon]", "sigma/guessed [sigma/guessing sigma/logon]"}, 3},
		"one file": {[]string{failed + "---\n" + worked + "---\n" + head + "detection: {s: {EventID: 1}, condition: s}\n"}, []string{
			"sigma/logon", "sigma/logon@rules0.yml", "sigma/logon@rules0.yml:10"}, 2},
	} {
		files := make(fstest.MapFS)
		for i, text := range c.files {
			files[fmt.Sprintf("rules%d.yml", i)] = &fstest.MapFile{Data: []byte(text)}
		}
		b := BringSigma([]sigma.Source{{FS: files, Path: "."}}, table)
		var got []string
		for _, r := range b.Rules {
			got = append(got, r.ID)
		}
		for _, s := range b.Sequences {
			got = append(got, fmt.Sprint(s.ID, " ", s.Rules))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
		if r := b.Report; len(r.Again) != c.again || r.Loaded != r.Rules || len(r.Unsupported) > 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
