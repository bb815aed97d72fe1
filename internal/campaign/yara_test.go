package campaign_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/campaign"
)

const fileRules = small + `
-- rules/files.yar --
private rule Part { condition: filesize > 3 }

rule Small_Shell : ATTACK {
  meta:
    author = "Somebody"
    license = "DRL 1.1"
    reference = "https://example.org/1"
    postern_id = "shell-in-file"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    title_en = "A \"shell\""
    title_es = "Una puerta"
    cve = "CVE-2021-26855"
    hash = "00"
  strings: $a = "needle"
  condition: Part and $a
}
rule Plain {
  meta:
    description = "In its own words"
    postern_id = "plain"
    postern_level = 1
    postern_confidence = "low"
  condition: filesize == 0
}
`

func TestFileRules(t *testing.T) {
	t.Parallel()
	p := load(t, files(t, fileRules))
	if len(p.Files) != 1 || p.Files[0].File != "small/rules/files.yar" || !strings.Contains(string(p.Files[0].Text), "rule Plain") {
		t.Fatalf("got the files %+v", p.Files)
	}
	want := map[string]postern.Rule{
		"Small_Shell": {ID: "small/shell-in-file", Campaign: "small", Title: postern.Say("small/shell-in-file.title"), Means: postern.Verbatim(""),
			Level: postern.Implanted, Confidence: postern.High, CVE: []string{"CVE-2021-26855"}, Tags: []string{"ATTACK", "shell-file"},
			References: []string{"https://example.org/1"}, Author: "Somebody", Licence: "DRL 1.1"},
		"Plain": {ID: "small/plain", Campaign: "small", Title: postern.Verbatim("Plain"), Means: postern.Verbatim("In its own words"),
			Level: postern.Probed, Confidence: postern.Low},
	}
	if diff := cmp.Diff(want, p.Files[0].Rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if got := p.Messages("en")["small/shell-in-file.title"]; got != `A "shell"` {
		t.Errorf("title: got %q", got)
	}
}

func TestMistakesOfFileRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, want string }{
		{"no id", `    postern_id = "shell-in-file"` + "\n", "", "rules/files.yar:3 campaign.missing-key"},
		{"bad id", `"shell-in-file"`, `"Shell in file"`, "rules/files.yar:3 campaign.bad-word"},
		{"id of a Sigma rule", `"shell-in-file"`, `"first"`, "rules/files.yar:3 campaign.rule-twice"},
		{"no level", `    postern_level = "implanted"` + "\n", "", "rules/files.yar:3 campaign.missing-key"},
		{"bad level", `"implanted"`, `"worst"`, "rules/files.yar:3 campaign.bad-level"},
		{"bad confidence", `postern_confidence = "high"`, `postern_confidence = "sure"`, "rules/files.yar:3 campaign.bad-confidence"},
		{"one language", `    title_es = "Una puerta"` + "\n", "", "rules/files.yar:3 campaign.missing-language"},
		{"another language", `title_es`, `title_fr`, "rules/files.yar:3 campaign.unknown-key rules/files.yar:3 campaign.missing-language"},
		{"unknown CVE", `    cve = "CVE-2021-26855"`, `    cve = "CVE-2021-99999"`, "rules/files.yar:3 campaign.unknown-cve"},
		{"broken", "condition: filesize == 0", "condition: filesize ==", "rules/files.yar:26 campaign.yara-broken"},
		{"included", "private rule Part", "include \"x.yar\"\nprivate rule Part", "rules/files.yar campaign.yara-include"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := campaign.Load(files(t, fileRules, c.old, c.new), "small")
			var errs campaign.Errors
			if !errors.As(err, &errs) {
				t.Fatalf("got the error %v, want mistakes", err)
			}
			var got []string
			for _, e := range errs {
				place := strings.TrimPrefix(e.File, "small/")
				if e.Line > 0 {
					place += fmt.Sprintf(":%d", e.Line)
				}
				got = append(got, place+" "+e.What.Key)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}
