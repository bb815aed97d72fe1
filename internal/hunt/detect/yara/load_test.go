package yara

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"postern"
	"postern/internal/hunt/detect"
)

// compiled loads rules from a text archive of files: "name" → text.
func compiled(t testing.TB, files map[string]string) (*Rules, *Report) {
	t.Helper()
	fsys := make(fstest.MapFS)
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Load([]Source{{FS: fsys, Path: "."}})
}

// said writes what a report has against rules: file:line rule key.
func said(r *Report) []string {
	var all []string
	for _, u := range r.Unsupported {
		all = append(all, fmt.Sprintf("%s:%d %s %s", u.File, u.Line, u.Rule, u.Why.Key))
	}
	return all
}

// matched gives the rules that match some bytes.
func matched(t testing.TB, r *Rules, data string) []string {
	t.Helper()
	in := input{data: []byte(data), size: int64(len(data)), known: [5]bool{true, true, true, true, false},
		external: [5]string{"Page.aspx", `\inetpub\wwwroot\Page.aspx`, ".aspx", "PHP", ""}}
	out := r.scan(t.Context(), r.newScratch(), &in)
	names := []string{}
	for _, i := range out.matched {
		names = append(names, r.rules[i].meta.Rule)
	}
	return names
}

func TestOneBadRuleTakesNoOther(t *testing.T) {
	t.Parallel()
	rules, report := compiled(t, map[string]string{"a.yar": `
import "pe"
// a comment with a { brace and a "quote
rule first { strings: $a = "fir}st" $r = /s\/l"ash}/ condition: $a or $r }
rule broken { condition: and }
rule unknown { condition: nothing_known }
rule field { condition: pe.no_such_field == 1 }
rule rests { condition: broken or first }
rule set { condition: any of (first, unknown) }
rule good : TAG { meta: description = "q\"d" score = 75 condition: filesize == 3 }
rule first { condition: true }
rule last {
  strings:
    $a = { 61 [2-4] ( 62 | 63 ) }
  condition:
    $a
}`})
	want := []string{
		"a.yar:5 broken yara.syntax.unexpected",
		"a.yar:6 unknown yara.unknown-name",
		"a.yar:7 field yara.unknown-field",
		"a.yar:8 rests yara.depends",
		"a.yar:9 set yara.depends",
		"a.yar:11 first yara.twice",
	}
	if got := said(report); !slices.Equal(got, want) {
		t.Errorf("report:\n got %q\nwant %q", got, want)
	}
	if report.Files != 1 || report.Rules != 9 || report.Loaded != 3 {
		t.Errorf("got %d files, %d rules, %d loaded; want 1, 9, 3", report.Files, report.Rules, report.Loaded)
	}
	if got, want := matched(t, rules, "fir}st a12b"), []string{"first", "last"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	meta := rules.Metas()[1]
	if score, ok := meta.Score(); meta.Rule != "good" || meta.Get("Description") != `q"d` || score != 75 || !ok || meta.Line != 10 || !slices.Equal(meta.Tags, []string{"TAG"}) {
		t.Errorf("got the meta section %+v", meta)
	}
}

func TestARuleWithoutEndEndsAtTheNext(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"rule open { condition: true\nrule next { condition: true }",
		"rule open { strings: $a = \"no end\n condition: $a }\nrule next { condition: true }",
		"rule open { strings: $a = /no end\n condition: $a }\nrule next { condition: true }",
		"what is this\nrule next { condition: true }",
	} {
		rules, report := compiled(t, map[string]string{"a.yar": text})
		if got := matched(t, rules, "x"); !slices.Equal(got, []string{"next"}) || len(report.Unsupported) == 0 {
			t.Errorf("%q: got %q and the report %q, want next and a complaint", text, got, said(report))
		}
	}
}

func TestIncludes(t *testing.T) {
	t.Parallel()
	rules, report := compiled(t, map[string]string{
		"index.yar":      "include \"sub/one.yar\"\ninclude \"./sub\\\\two.yar\"\nrule index { condition: one and two }",
		"sub/one.yar":    "rule one { condition: true }",
		"sub/two.yar":    "include \"one.yar\"\nrule two { condition: one }",
		"other.yar":      "include \"../outside.yar\"\ninclude \"/etc/passwd\"\ninclude \"gone.yar\"\nrule other { condition: true }",
		"circle/a.yar":   "include \"b.yar\"\nrule a { condition: true }",
		"circle/b.yar":   "include \"a.yar\"\nrule b { condition: true }",
		"stranger.yar":   "rule stranger { condition: one }",
		"not-a-rule.txt": "rule text { condition: true }",
		".hidden/h.yar":  "rule hidden { condition: true }",
	})
	want := []string{
		"other.yar:1  yara.include-outside", "other.yar:2  yara.include-outside", "other.yar:3  yara.include-missing",
		"stranger.yar:1 stranger yara.unknown-name",
	}
	got := said(report)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("report:\n got %q\nwant %q", got, want)
	}
	if report.Files != 7 {
		t.Errorf("%d files, want 7: what is not there is none", report.Files)
	}
	names := matched(t, rules, "x")
	slices.Sort(names)
	if want := []string{"a", "b", "index", "one", "other", "two"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestLinksDoNotLeadOutOfTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules")
	if err := os.Mkdir(rules, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(dir, "secret.yar"): "rule secret { condition: true }",
		filepath.Join(rules, "a.yar"):    "include \"link.yar\"\nrule a { condition: true }",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret.yar", filepath.Join(rules, "link.yar")); err != nil {
		t.Skipf("no links here: %v", err)
	}
	for _, name := range []string{rules, filepath.Join(rules, "a.yar")} {
		src, closer, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		set, report := Load([]Source{src})
		closer.Close()
		if got := matched(t, set, "x"); !slices.Equal(got, []string{"a"}) || len(report.Unsupported) == 0 {
			t.Errorf("%s: got %q and %q, want only a, and a complaint", name, got, said(report))
		}
	}
}

func TestGlobalAndPrivate(t *testing.T) {
	t.Parallel()
	rules, report := compiled(t, map[string]string{
		"one.yar": "global rule small { condition: filesize < 3 }\nprivate rule hidden { condition: true }\nrule seen { condition: hidden }",
		"two.yar": "rule free { condition: filesize > 1 }",
	})
	if len(report.Unsupported) > 0 {
		t.Fatal(said(report))
	}
	for data, want := range map[string][]string{"xx": {"small", "seen", "free"}, "xxxx": {"free"}} {
		if got := matched(t, rules, data); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", data, got, want)
		}
	}
}

func TestRuleBombsAreRefusedOrBounded(t *testing.T) {
	t.Parallel()
	rules, report := compiled(t, map[string]string{
		"deep.yar":  "rule deep { condition: " + strings.Repeat("(", 5000) + "true" + strings.Repeat(")", 5000) + " }",
		"not.yar":   "rule nots { condition: " + strings.Repeat("not ", 5000) + "true }",
		"loops.yar": "rule loops { condition: for all i in (1..1000000) : (for all j in (1..1000000) : (for all k in (1..1000000) : (i + j + k > 0))) }",
		"good.yar":  "rule good { condition: true }",
	})
	if got := said(report); len(got) != 2 {
		t.Errorf("got the report %q, want complaints about deep and nots", got)
	}
	in := input{data: []byte("x"), size: 1}
	out := rules.scan(t.Context(), rules.newScratch(), &in)
	if len(out.matched) != 1 || len(out.over) != 1 || rules.rules[out.over[0]].meta.Rule != "loops" {
		t.Errorf("got %+v, want good alone to match and loops to be over its bound", out)
	}
}

func TestWhatAPackSays(t *testing.T) {
	t.Parallel()
	said := postern.Rule{ID: "pack/shell", Campaign: "pack", Title: postern.Say("pack/shell.title"), Means: postern.Say("pack/shell.means"),
		Level: postern.Implanted, Confidence: postern.High, CVE: []string{"CVE-2021-26855"}, Tags: []string{"shell-file"}}
	rules, report := Load([]Source{Pack(detect.RuleFile{Where: "pack/rules/a.yar", Rules: map[string]postern.Rule{"Shell": said},
		Text: []byte("rule Shell { meta: description = \"d\" author = \"A\" strings: $a = \"needle\" condition: $a }")})})
	if len(report.Unsupported) > 0 {
		t.Fatal(report.Unsupported)
	}
	found, problems := looked(t, New(rules, Options{}), "hay\nneedle hay")
	if len(found) != 1 || len(problems) > 0 {
		t.Fatalf("got %+v and %+v, want one finding", found, problems)
	}
	f := found[0]
	if f.Rule != "pack/shell" || f.Campaign != "pack" || f.Level != postern.Implanted || f.Title.Key != "pack/shell.title" || f.Explain[0].Key != "pack/shell.means" || !f.HasTag("shell-file") {
		t.Errorf("got %+v", f)
	}
	if e := f.Evidence[0]; e.Offset != 4 || e.Line != 2 || e.Excerpt != "$a: needle" {
		t.Errorf("evidence: got %+v", e)
	}
}

// What a shell of Windows saves is read as what it says.
func TestLoadUTF16(t *testing.T) {
	t.Parallel()
	wide := []byte("\xff\xfe")
	for _, c := range "rule saved { strings: $a = \"marker\" condition: $a }\r\n" {
		wide = append(wide, byte(c), 0)
	}
	rules, report := compiled(t, map[string]string{"wide.yar": string(wide)})
	if got := said(report); len(got) > 0 || report.Loaded != 1 {
		t.Fatalf("%v, loaded %d", got, report.Loaded)
	}
	if got := matched(t, rules, "a marker"); !slices.Equal(got, []string{"saved"}) {
		t.Errorf("got %v", got)
	}
}
