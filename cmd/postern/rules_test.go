package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"postern/internal/catalogue"
)

// What "rules" prints fits a terminal, and is a line each where nobody looks at it.
func TestRulesFitTheTerminal(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 40)
	r := loadReport{Files: 1, Rules: 3, Loaded: 2, Passed: []string{"rules/with/a/long/path/of/folders/README.txt"},
		Unsupported: []unsupported{{"rules/with/a/long/path/of/folders/a.yml", 12, "A title of which people cannot have enough words", long}},
		Again:       []again{{"rules/b.yml", 1, "B", "rules/a.yml:1", "sigma/B@rules/b.yml"}, {"rules/c.yml", 1, "B", "rules/a.yml:1", ""}}}
	for _, lang := range catalogue.Languages {
		words, err := catalogue.Load(lang)
		if err != nil {
			t.Fatal(err)
		}
		a := &app{words: words}
		wide, narrow := a.loadTable(r, loadReport{}, 0), a.loadTable(r, loadReport{}, 80)
		if n := strings.Count(wide, "\n"); n != 7 {
			t.Errorf("%s: %d lines where they may be of any length:\n%s", lang, n, wide)
		}
		for line := range strings.Lines(narrow) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s: a line of %d characters: %s", lang, n, line)
			}
		}
		if a, b := strings.Fields(wide), strings.Fields(narrow); strings.Join(a, " ") != strings.Join(b, " ") {
			t.Errorf("%s: the lines of 80 columns say something else:\n%s", lang, narrow)
		}
	}
	for _, c := range []struct {
		columns int
		want    string
	}{
		{0, "2  sigma/6b2f0c1e-0000-4000-8000-000000000001  Health check from outside\n"},
		{80, "2  sigma/6b2f0c1e-0000-4000-8000-000000000001  Health check from outside\n"},
		{60, "2  sigma/6b2f0c1e-0000-4000-8000-000000000001\n     Health check from outside\n"},
	} {
		if got := row(c.columns, "2  ", "sigma/6b2f0c1e-0000-4000-8000-000000000001", "Health check from outside"); got != c.want {
			t.Errorf("%d columns: got %q, want %q", c.columns, got, c.want)
		}
	}
}
