package iisconfig

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"postern"
)

// Pack is the mitigations of one campaign and their texts.
type Pack struct {
	Mitigations []Mitigation
	// Messages are by language, then by key; catalogue.With takes them.
	Messages map[string]map[string]string
}

// phrase is a text by language.
type phrase map[string]string

// ReadMitigations reads the mitigations.yaml of a campaign. Every text must be
// there in all the languages. Errors name the file and the line.
func ReadMitigations(file string, data []byte, campaign string, languages []string) (Pack, error) {
	var doc struct {
		Schema      string `yaml:"schema"`
		Mitigations []struct {
			ID      string   `yaml:"id"`
			CVE     []string `yaml:"cve"`
			Title   phrase   `yaml:"title"`
			Decides bool     `yaml:"decides"`
			Limits  phrase   `yaml:"limits"`
			Rules   []struct {
				Name     string   `yaml:"name"`
				Input    string   `yaml:"input"`
				Patterns []string `yaml:"patterns"`
				Samples  []string `yaml:"samples"`
				Weak     []struct {
					Input   string `yaml:"input"`
					Pattern string `yaml:"pattern"`
					Why     phrase `yaml:"why"`
				} `yaml:"weak"`
			} `yaml:"rules"`
			Addresses []string `yaml:"addresses"`
			Refused   *struct {
				Application string   `yaml:"application"`
				Words       []string `yaml:"words"`
			} `yaml:"refused"`
			Modules     []string `yaml:"modules"`
			Pools       []string `yaml:"pools"`
			Services    []string `yaml:"services"`
			RestartedBy []string `yaml:"restarted_by"`
		} `yaml:"mitigations"`
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil {
		return Pack{}, fmt.Errorf("%s: %w", file, err)
	}
	const schema = "postern.mitigations/1"
	if doc.Schema != schema {
		return Pack{}, fmt.Errorf("%s:1: schema %q: want %q", file, doc.Schema, schema)
	}
	lines := itemLines(data)
	p := Pack{Messages: make(map[string]map[string]string)}
	for _, lang := range languages {
		p.Messages[lang] = make(map[string]string)
	}
	seen := make(map[string]bool)
	for i, y := range doc.Mitigations {
		fail := func(format string, args ...any) (Pack, error) {
			return Pack{}, fmt.Errorf("%s:%d: mitigation %q: %s", file, lines[i], y.ID, fmt.Sprintf(format, args...))
		}
		// catalogue: *.mitigation.*
		var bad string
		say := func(key string, t phrase) postern.Text {
			key = campaign + ".mitigation." + y.ID + "." + key
			for _, lang := range languages {
				if strings.TrimSpace(t[lang]) == "" {
					bad = fmt.Sprintf("no text in language %q for %s", lang, key)
				}
				p.Messages[lang][key] = t[lang]
			}
			for lang := range t {
				if !slices.Contains(languages, lang) {
					bad = fmt.Sprintf("%s has a text in %q: want only %s", key, lang, strings.Join(languages, ", "))
				}
			}
			return postern.Say(key)
		}
		if y.ID == "" || seen[y.ID] {
			return fail("every mitigation needs an id of its own")
		}
		seen[y.ID] = true
		kinds := 0
		for _, n := range [...]int{len(y.Rules), len(y.Modules), len(y.Pools), len(y.Services)} {
			if n > 0 {
				kinds++
			}
		}
		if kinds != 1 {
			return fail("give either rules or modules or pools or services")
		}
		if len(y.RestartedBy) > 0 && len(y.Pools)+len(y.Services) == 0 {
			return fail("restarted_by is for pools and services: nothing starts a rule or a module")
		}
		m := Mitigation{ID: y.ID, Campaign: campaign, CVE: y.CVE, Title: say("title", y.Title), Decides: y.Decides,
			Addresses: y.Addresses, Modules: y.Modules, Pools: y.Pools, Services: y.Services, RestartedBy: y.RestartedBy}
		if y.Limits != nil {
			m.Limits = say("limits", y.Limits)
		}
		if y.Refused != nil {
			if len(y.Rules) == 0 || !strings.HasPrefix(y.Refused.Application, "/") || len(y.Refused.Words) == 0 {
				return fail("refused says what does the same as the rules: give rules, the address of an application and words")
			}
			m.Refused = &Refused{y.Refused.Application, y.Refused.Words}
		}
		for j, r := range y.Rules {
			if r.Input == "" || len(r.Patterns) == 0 {
				return fail("rule %d: give its input and at least one pattern that works", j+1)
			}
			n := NeededRule{Name: r.Name, Input: r.Input, Patterns: r.Patterns, Samples: r.Samples}
			for k, w := range r.Weak {
				n.Weak = append(n.Weak, WeakCondition{w.Input, w.Pattern, say(fmt.Sprintf("weak.%d.%d", j+1, k+1), w.Why)})
			}
			for _, pattern := range r.Patterns {
				matches, known := matcher("", pattern, false)
				for _, sample := range r.Samples {
					if known && !matches(sample) {
						return fail("rule %d: pattern %q does not catch the sample %q", j+1, pattern, sample)
					}
				}
			}
			m.Rules = append(m.Rules, n)
		}
		if bad != "" {
			return fail("%s", bad)
		}
		p.Mitigations = append(p.Mitigations, m)
	}
	return p, nil
}

// itemLines gives the line of each entry of the list "mitigations". The data has
// been decoded once already.
func itemLines(data []byte) []int {
	var root yaml.Node
	if yaml.Unmarshal(data, &root) != nil || len(root.Content) == 0 {
		return nil
	}
	top := root.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value != "mitigations" {
			continue
		}
		var lines []int
		for _, item := range top.Content[i+1].Content {
			lines = append(lines, item.Line)
		}
		return lines
	}
	return nil
}
