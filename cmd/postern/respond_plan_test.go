package main

import (
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/campaign"
	"postern/internal/catalogue"
	"postern/internal/respond/plan"
	"postern/products"
)

// A plan must not send anybody to a command that is not there: every one in it is put
// to the program's own tree of commands and flags.
func TestPlanNamesCommandsThatExist(t *testing.T) {
	t.Parallel()
	words, err := catalogue.Load("en")
	if err != nil {
		t.Fatal(err)
	}
	book, err := plan.Read(products.FS, "exchange", catalogue.Languages)
	if err != nil {
		t.Fatal(err)
	}
	commands := make(map[string]bool)
	for level := postern.NotSeen; level <= postern.PostExploitation; level++ {
		for _, patch := range []plan.Patch{plan.PatchUnknown, plan.PatchUpdate} {
			s := &plan.Server{Host: "EX01", Verdict: postern.Verdict{Level: level, Conclusive: level > 0}, Patch: patch, Unsaved: true,
				Patched: postern.Fact{State: postern.No}, Mitigated: postern.Fact{State: postern.No}, Root: "/root", Hunt: "hunt.json", Bundle: "b",
				Findings: []postern.Finding{{Level: level, Tags: []string{"shell-file", "attack.t1505.004"}, Rule: "files/compiled-library"}}}
			for _, step := range book.Make(s).Steps {
				for _, a := range slices.Concat(step.How, step.Verify, step.Undo) {
					if strings.HasPrefix(a.Command, "postern ") {
						commands[a.Command] = true
					}
				}
			}
		}
	}
	if len(commands) < 10 {
		t.Errorf("found %d commands in the plans", len(commands))
	}
	for _, line := range slices.Sorted(maps.Keys(commands)) {
		a := newApp(strings.NewReader(""), io.Discard, io.Discard, func(string) (string, bool) { return "", false })
		a.words = words
		c, args, err := a.root().Find(strings.Fields(line)[1:])
		if err != nil || !c.Runnable() || c.HasAvailableSubCommands() {
			t.Errorf("%s: there is no such command (%v)", line, err)
			continue
		}
		if err := c.ParseFlags(args); err != nil {
			t.Errorf("%s: %v", line, err)
		} else if err := c.ValidateArgs(c.Flags().Args()); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// What to install, for builds that people really had.
func TestPlanPatch(t *testing.T) {
	t.Parallel()
	product, err := campaign.BuiltInProduct("exchange")
	if err != nil {
		t.Fatal(err)
	}
	logon := []string{"CVE-2021-26855", "CVE-2021-26857", "CVE-2021-26858", "CVE-2021-27065"}
	shell := []string{"CVE-2021-34473", "CVE-2021-34523", "CVE-2021-31207"}
	newest := product.Lines[len(product.Lines)-1].Newest
	tests := []struct {
		build  string
		cves   []string
		patch  plan.Patch
		target string // how its title begins
		kb     string
	}{
		{"", logon, plan.PatchUnknown, "", "–"},
		{"15.2.9999.1", logon, plan.PatchUnknown, "", "–"},
		{"15.2.721.2", logon, plan.PatchUpdate, "Exchange Server 2019 CU7 Mar21SU", "KB5000871"},
		{"15.2.721.13", logon, plan.PatchNewer, "Exchange Server 2019 CU15", ""},
		{"15.2.721.13", shell, plan.PatchLine, "Exchange Server 2019 CU", ""},
		{"15.1.1779.2", logon, plan.PatchUpdate, "Exchange Server 2016 CU13 Mar21SU", "KB5000871"},
		{"15.1.1779.2", shell, plan.PatchLine, "Exchange Server 2016 CU", ""},
		{"15.0.1156.6", logon, plan.PatchLine, "Exchange Server 2013 CU23", ""},
		// Of a flaw that the product does not know, nobody can say that it is closed; those
		// that it knows to be open are to be closed all the same.
		{"15.2.721.13", []string{"CVE-2021-0"}, plan.PatchUnknown, "", "–"},
		{newest.String(), []string{"CVE-2021-0"}, plan.PatchUnknown, "", "–"},
		{newest.String(), append([]string{"CVE-2021-0"}, logon...), plan.PatchUnknown, "", "–"},
		{newest.String(), logon, plan.PatchNewest, "Exchange Server", ""},
		{"15.2.721.2", append([]string{"CVE-2021-0"}, logon...), plan.PatchUpdate, "Exchange Server 2019 CU7 Mar21SU", "KB5000871"},
	}
	for _, tt := range tests {
		s := &plan.Server{}
		if tt.build != "" {
			if s.Build, err = postern.ParseBuild(tt.build); err != nil {
				t.Fatal(err)
			}
		}
		planPatch(s, product, tt.cves, nil)
		if s.Patch != tt.patch || !strings.HasPrefix(s.TargetTitle, tt.target) || tt.kb != "" && s.KB != tt.kb {
			t.Errorf("%q with %s: got %s, %q (%s), want %s, %q (%s)", tt.build, tt.cves[0], s.Patch, s.TargetTitle, s.KB, tt.patch, tt.target, tt.kb)
		}
		if (s.Patch == plan.PatchLine || s.Patch == plan.PatchUpdate) && len(s.Installs) == 0 {
			t.Errorf("%q with %s: nothing says how to get there", tt.build, tt.cves[0])
		}
		if release, ok := product.Release(must(postern.ParseBuild(s.Target))); s.Target != "" && (!ok || release.Released.After(time.Now())) {
			t.Errorf("%q: there is no release %s", tt.build, s.Target)
		}
	}
}

func must(b postern.Build, _ error) postern.Build { return b }

func TestArgumentOfAPlan(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{`C:\`, `C:\`}, {`D:\a b\`, `D:\a b`}, {"-rf", "./-rf"}, {"", ""}, {"case/EX01", "case/EX01"},
	}
	for _, tt := range tests {
		if got := argument(tt.in); got != tt.want {
			t.Errorf("argument(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	for _, tt := range []struct{ in, want string }{{"EX01", "EX01"}, {"../../etc", "etc"}, {"?", "server"}, {".EX\n01.a", "EX01.a"}} {
		if got := fileName(tt.in); got != tt.want {
			t.Errorf("fileName(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
