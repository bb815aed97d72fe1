package rank

import (
	"testing"

	"postern"
)

func TestRank(t *testing.T) {
	t.Parallel()
	table, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tags          string
		level, status string
		served        bool
		want          postern.Level
		sure          postern.Confidence
	}{
		{"attack.t1190", "high", "stable", false, 2, postern.High},
		{"attack.initial-access", "medium", "test", false, 2, postern.Medium},
		{"attack.t1505.003", "critical", "test", false, 1, postern.High},
		{"attack.t1505.003", "critical", "test", true, 4, postern.High},
		{"attack.T1003.001", "high", "experimental", false, 6, postern.Medium},
		{"attack.persistence", "low", "stable", false, 4, postern.Low},
		{"attack.t9999", "high", "stable", false, 1, postern.High},
		{"attack.t1595.002", "high", "", false, 1, postern.Medium},
		{"", "high", "deprecated", false, 1, postern.Low},
	} {
		got, sure := table.Sigma([]string{c.tags}, c.level, c.status, c.served)
		if got != c.want || sure != c.sure {
			t.Errorf("Sigma %q, %s, %s, served %v: %v %q, want %v %q", c.tags, c.level, c.status, c.served, got, sure, c.want, c.sure)
		}
	}
	// A technique says more than a tactic, and the worst technique counts.
	if got, _ := table.Sigma([]string{"attack.collection", "attack.t1190", "attack.t1133"}, "high", "stable", false); got != postern.Exploited {
		t.Errorf("a technique beside a tactic: %v", got)
	}
	for _, c := range []struct {
		name   string
		tags   []string
		score  int
		scored bool
		served bool
		want   postern.Level
		sure   postern.Confidence
	}{
		{"WEBSHELL_ASPX_Simple", nil, 75, true, true, 4, postern.High},
		{"WEBSHELL_ASPX_Simple", nil, 75, true, false, 1, postern.High},
		{"HKTL_Mimikatz", nil, 0, false, false, 6, postern.Medium},
		{"SUSP_Something", nil, 40, true, true, 1, postern.Low},
		{"Anything", []string{"T1003_001"}, 60, true, false, 6, postern.Medium},
		{"dumpling", nil, 60, true, false, 1, postern.Medium},
	} {
		got, sure := table.YARA(c.name, c.tags, c.score, c.scored, c.served)
		if got != c.want || sure != c.sure {
			t.Errorf("YARA %s %v, score %d, served %v: %v %q, want %v %q", c.name, c.tags, c.score, c.served, got, sure, c.want, c.sure)
		}
	}
}

func TestTableIsChecked(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		"attack: [{tag: t1, level: 9}]", "attack: [{level: 1}]", "attack: [{tag: a, level: 1}, {tag: a, level: 2}]", "other: []", "words: 3",
	} {
		if _, err := read([]byte(doc)); err == nil {
			t.Errorf("%q is taken", doc)
		}
	}
}
