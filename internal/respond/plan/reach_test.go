package plan

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"postern"
	"postern/internal/catalogue"
	"postern/products"
)

// A step that no server can get is advice that nobody reads. Every kind of server that
// there can be is put to the book, and all of the book must have been used.
func TestEverythingInTheBookIsUsed(t *testing.T) {
	t.Parallel()
	b, err := Read(products.FS, "exchange", catalogue.Languages)
	if err != nil {
		t.Fatal(err)
	}
	// What is to be installed and whether the server is patched come from the same build.
	states := map[Patch][]postern.State{
		PatchUnknown: {postern.Yes, postern.No, postern.Unknown}, PatchNone: {postern.No, postern.Unknown},
		PatchLine: {postern.No, postern.Unknown}, PatchUpdate: {postern.No, postern.Unknown},
		PatchNewer: {postern.Yes}, PatchNewest: {postern.Yes},
	}
	// A finding for each sign, at the lowest level that it takes. That rules give such
	// findings is for whoever knows the rules to test.
	findings := [][]postern.Finding{nil}
	for _, name := range slices.Sorted(maps.Keys(b.signs)) {
		sign := b.signs[name]
		f := postern.Finding{Level: postern.Level(sign.Level), Rule: "other/rule", Title: postern.Verbatim("t"),
			Entities: map[string]string{postern.File: `C:\inetpub\a.aspx`, postern.FileSHA256: strings.Repeat("ab", 32), postern.Account: "a", postern.ClientIP: "203.0.113.9"},
			Evidence: []postern.Evidence{{Path: "C/inetpub/a.aspx"}}}
		if len(sign.Tags) > 0 {
			f.Tags = []string{strings.TrimSuffix(sign.Tags[0], "*")}
		} else {
			f.Rule = strings.TrimSuffix(sign.Rules[0], "*")
		}
		findings = append(findings, []postern.Finding{f})
	}
	steps, actions, signs := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for level := postern.NotSeen; level <= postern.PostExploitation; level++ {
		for _, seen := range findings {
			if len(seen) > 0 && seen[0].Level > level {
				continue // the verdict is never below a finding
			}
			for patch, patched := range states {
				for _, p := range patched {
					for _, m := range []postern.State{postern.Yes, postern.No, postern.Unknown, postern.Ineffective} {
						for _, yes := range []bool{true, false} {
							s := &Server{Verdict: postern.Verdict{Level: level, Conclusive: yes}, Patched: postern.Fact{State: p}, Mitigated: postern.Fact{State: m},
								Patch: patch, Unsaved: yes, Findings: seen, Root: `C:\`}
							if !yes {
								s.Missing = []Missing{{"campaign", "source", "collect"}}
							}
							if patch != PatchUnknown {
								s.Installs = []postern.Text{postern.Verbatim("install")}
							}
							b.used(s, steps, actions, signs)
						}
					}
				}
			}
		}
	}
	scripts := make(map[string]bool)
	for _, d := range b.steps {
		if !steps[d.ID] {
			t.Errorf("step %s: no server gets it", d.ID)
		}
		for part, list := range d.parts() {
			for i, a := range list {
				if scripts[a.Script] = true; !actions[actionKey(d.ID+"."+part, i)] {
					t.Errorf("step %s, %s %d: no server gets it", d.ID, part, i+1)
				}
			}
		}
	}
	for name := range b.signs {
		if !signs[name] {
			t.Errorf("sign %s: nothing asks for it", name)
		}
	}
	for name := range b.scripts {
		if !scripts[name] {
			t.Errorf("script %s: no step has it", name)
		}
	}
}

func (d *stepData) parts() map[string][]action {
	return map[string][]action{"how": d.How, "verify": d.Verify, "undo": d.Undo}
}

// used notes what of the book a server gets.
func (b *Book) used(s *Server, steps, actions, signs map[string]bool) {
	seen := b.seen(s)
	for _, step := range b.Make(s).Steps {
		steps[step.ID] = true
	}
	for _, d := range b.steps {
		for _, w := range d.When {
			for _, name := range slices.Concat(w.Signs, w.Without) {
				signs[name] = true
			}
		}
		if !slices.ContainsFunc(d.When, func(w when) bool { return w.holds(s, seen) }) {
			continue
		}
		for part, list := range d.parts() {
			for i, a := range list {
				signs[a.Each] = true
				if a.When != nil {
					for _, name := range slices.Concat(a.When.Signs, a.When.Without) {
						signs[name] = true
					}
				}
				if (a.When == nil || a.When.holds(s, seen)) && (a.Each == "" ||
					slices.ContainsFunc(b.items(s, a.Each, seen), func(it item) bool { return complete(a, it.facts) })) {
					actions[actionKey(d.ID+"."+part, i)] = true
				}
			}
		}
	}
}
