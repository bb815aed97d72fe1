package main

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"postern"
	"postern/internal/catalogue"
	"postern/internal/hunt/detect/iisconfig"
	"postern/internal/hunt/detect/indicator"
	"postern/internal/hunt/detect/msert"
	"postern/internal/hunt/detect/rank"
	"postern/internal/hunt/detect/registry"
	"postern/internal/hunt/detect/staging"
	"postern/internal/hunt/detect/testproxylogon"
	"postern/internal/hunt/detect/webfile"
	"postern/products"
)

// everyRule gives the rules that findings can come from: those of packs and products, and
// those that detectors bring.
func everyRule(t *testing.T) []postern.Rule {
	t.Helper()
	words, err := catalogue.Load("en")
	if err != nil {
		t.Fatal(err)
	}
	k, err := (&app{words: words}).learn(nil)
	if err != nil {
		t.Fatal(err)
	}
	rules := slices.Concat(webfile.Rules(), iisconfig.Rules(), registry.Rules(), msert.Rules(), staging.Rules(),
		indicator.Rules(), testproxylogon.Rules())
	docs, sequences := k.documents()
	for _, r := range docs {
		rules = append(rules, r.Rule)
	}
	for _, s := range sequences {
		rules = append(rules, s.Rule)
	}
	for _, p := range k.packs {
		for _, f := range slices.Concat(p.Files, p.Facts.Files) {
			for _, r := range f.Rules {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// A sign that no rule gives is a step that nobody gets: every tag and every rule that
// the plan names must be one of a rule that is loaded, at a level that the sign takes,
// or a technique of ATT&CK that rules of a user are ranked by at such a level.
func TestPlanSignsAreGivenByRules(t *testing.T) {
	t.Parallel()
	rules := everyRule(t)
	raw, err := fs.ReadFile(products.FS, "exchange/plan.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var book struct {
		Signs map[string]struct {
			Tags, Rules []string
			Level       postern.Level
		}
	}
	if err := yaml.Unmarshal(raw, &book); err != nil || len(book.Signs) < 5 {
		t.Fatalf("%d signs: %v", len(book.Signs), err)
	}
	fits := func(pattern, s string) bool {
		prefix, star := strings.CutSuffix(pattern, "*")
		return pattern == s || star && strings.HasPrefix(s, prefix)
	}
	table, err := rank.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, sign := range book.Signs {
		for _, pattern := range sign.Tags {
			given := slices.ContainsFunc(rules, func(r postern.Rule) bool {
				return r.Level >= sign.Level && slices.ContainsFunc(r.Tags, func(tag string) bool { return fits(pattern, strings.ToLower(tag)) })
			})
			if !given && strings.HasPrefix(pattern, "attack.t") {
				worth, _ := table.Sigma([]string{strings.TrimSuffix(pattern, "*")}, "low", "stable", false)
				given = worth >= sign.Level
			}
			if !given {
				t.Errorf("sign %s: no rule of level %d or above has the tag %s", name, sign.Level, pattern)
			}
		}
		for _, pattern := range sign.Rules {
			if !slices.ContainsFunc(rules, func(r postern.Rule) bool { return r.Level >= sign.Level && fits(pattern, r.ID) }) {
				t.Errorf("sign %s: no rule %s of level %d or above", name, pattern, sign.Level)
			}
		}
		if len(sign.Tags)+len(sign.Rules) == 0 {
			t.Errorf("sign %s names nothing", name)
		}
	}
}
