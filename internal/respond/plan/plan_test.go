package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"postern"
	"postern/internal/catalogue"
	"postern/internal/report"
	"postern/internal/respond/plan"
	"postern/products"
)

var update = flag.Bool("update", false, "write the golden files")

func book(t testing.TB) *plan.Book {
	t.Helper()
	b, err := plan.Read(products.FS, "exchange", catalogue.Languages)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func words(t testing.TB, b *plan.Book, lang string) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Load(lang)
	if err != nil {
		t.Fatal(err)
	}
	return c.With(b.Messages(lang))
}

var safe = plan.Safe{Visible: report.Visible, Defang: report.Defang}

// server is one on which nothing was found.
func server() *plan.Server {
	return &plan.Server{Host: "EX01", Build: postern.Build{15, 2, 721, 2},
		Verdict:   postern.Verdict{Title: postern.Verbatim("Not seen"), Conclusive: true, Summary: postern.Verbatim("Nothing was found.")},
		Patched:   postern.Fact{State: postern.No, Why: postern.Verbatim("The build is old.")},
		Mitigated: postern.Fact{State: postern.No, Why: postern.Verbatim("No rule.")},
		Patch:     plan.PatchUpdate, Edition: "Exchange Server 2019", Line: "Exchange Server 2019 CU7",
		Target: "15.2.721.13", TargetTitle: "Exchange Server 2019 CU7 Mar21SU", KB: "KB5000871",
		Root: `C:\`, Hunt: "hunt.json", Bundle: "EX01.bundle"}
}

// hostile is a name that tries to be more than a name in every medium.
const hostile = "a'; Remove-Item C:\\ -Recurse; '\u2019$(calc)`n</pre><img src=x>|]\u202ecod.aspx"

func shell(name string) postern.Finding {
	return postern.Finding{ID: "f1", Rule: "files/webshell", Level: postern.Implanted, Confidence: postern.High, Title: postern.Verbatim("Web shell"),
		Time: time.Date(2021, 3, 3, 6, 49, 43, 0, time.UTC), Tags: []string{"shell-file", "attack.t1505.003"},
		Entities: map[string]string{postern.File: "inetpub/wwwroot/aspnet_client/" + strings.ToLower(name), postern.FileSHA256: strings.Repeat("ab", 32), postern.ClientIP: "203.0.113.9"},
		Evidence: []postern.Evidence{{Path: "C/inetpub/wwwroot/aspnet_client/" + name}}}
}

func implanted(name string) *plan.Server {
	s := server()
	s.Verdict = postern.Verdict{Level: postern.Implanted, Title: postern.Verbatim("Web shell written"), Confidence: postern.High, Conclusive: true,
		Summary: postern.Verbatim("A web shell was written to EX01.")}
	s.Findings = []postern.Finding{shell(name)}
	return s
}

func ids(p *plan.Plan) []string {
	var all []string
	for _, s := range p.Steps {
		all = append(all, s.ID)
	}
	return all
}

func TestWhichSteps(t *testing.T) {
	t.Parallel()
	b := book(t)
	tests := []struct {
		name string
		make func(*plan.Server)
		want string
	}{
		{"clean, conclusive, open", func(*plan.Server) {}, "keep-logs mitigate patch-update unmitigate verify watch"},
		{"clean, conclusive, patched", func(s *plan.Server) { s.Patched.State, s.Patch = postern.Yes, plan.PatchNewest }, "patch-newest verify watch"},
		{"clean, patched, older than the newest", func(s *plan.Server) { s.Patched.State, s.Patch = postern.Yes, plan.PatchNewer }, "patch-newer verify watch"},
		{"clean, mitigated", func(s *plan.Server) { s.Mitigated.State = postern.Yes }, "keep-logs patch-update unmitigate verify watch"},
		{"inconclusive", func(s *plan.Server) { s.Verdict.Conclusive = false },
			"missing keep-logs bundle mitigate patch-update unmitigate verify watch"},
		{"nothing known", func(s *plan.Server) {
			*s = plan.Server{Host: "?", Patched: postern.Fact{State: postern.Unknown}, Mitigated: postern.Fact{State: postern.Unknown}, Patch: plan.PatchUnknown, Unsaved: true}
		}, "missing save-hunt keep-logs bundle mitigate patch-unknown verify watch"},
		{"an edition without fix", func(s *plan.Server) { s.Patch = plan.PatchNone }, "keep-logs close-https mitigate patch-none verify watch"},
		{"probed", func(s *plan.Server) { s.Verdict.Level = postern.Probed }, "keep-logs mitigate patch-update unmitigate widen verify watch"},
		{"exploited", func(s *plan.Server) { s.Verdict.Level = postern.Exploited },
			"talk keep-logs bundle close-https mitigate patch-update unmitigate widen mailboxes verify report watch"},
		{"implanted", func(s *plan.Server) { *s = *implanted("x.aspx") },
			"talk memory keep-logs bundle close-https mitigate patch-update unmitigate widen together clean vdirs persistence roles keys mailboxes verify report watch"},
		{"used", func(s *plan.Server) { *s = *implanted("x.aspx"); s.Verdict.Level = postern.Used },
			"talk memory keep-logs bundle disconnect mitigate patch-update unmitigate widen directory together clean vdirs persistence roles keys passwords rebuild mailboxes verify report watch"},
		{"a module of IIS", func(s *plan.Server) {
			*s = *implanted("x.aspx")
			s.Findings[0] = postern.Finding{Rule: "config/odd-module", Level: postern.PostExploitation, Tags: []string{"attack.t1505.004"}, Title: postern.Verbatim("Module")}
		}, "talk memory keep-logs bundle close-https mitigate patch-update unmitigate widen together iis vdirs persistence roles keys mailboxes verify report watch"},
		{"a copy of credentials", func(s *plan.Server) {
			*s = *implanted("x.aspx")
			s.Findings[0].Tags, s.Findings[0].Rule = []string{"attack.t1003"}, "files/credential-dump"
		}, "talk memory keep-logs bundle disconnect mitigate patch-update unmitigate widen directory together vdirs persistence roles keys passwords mailboxes verify report watch"},
	}
	for _, tt := range tests {
		s := server()
		tt.make(s)
		if got := strings.Join(ids(b.Make(s)), " "); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// Over everything that a server can be: the order holds, nothing is cleaned or mitigated
// before it is preserved, and nobody is told to build anew for less than a back door
// that was used.
func TestEveryPlanIsOrdered(t *testing.T) {
	t.Parallel()
	b := book(t)
	states := []postern.State{postern.Yes, postern.No, postern.Unknown, postern.Ineffective}
	patches := []plan.Patch{plan.PatchUnknown, plan.PatchNone, plan.PatchLine, plan.PatchUpdate, plan.PatchNewer, plan.PatchNewest}
	signs := [][]string{nil, {"shell-file"}, {"attack.t1505.004"}, {"mail"}, {"attack.t1003"}, {"persistence"}, {"movement"}, {"set-url"}}
	seen := make(map[string]bool)
	for level := postern.NotSeen; level <= postern.PostExploitation; level++ {
		for _, conclusive := range []bool{true, false} {
			for _, patched := range states {
				for _, mitigated := range states {
					for _, patch := range patches {
						for _, tags := range signs {
							s := implanted("x.aspx")
							s.Verdict.Level, s.Verdict.Conclusive, s.Patch = level, conclusive, patch
							s.Patched.State, s.Mitigated.State = patched, mitigated
							s.Findings[0].Level, s.Findings[0].Tags = level, tags
							s.Unsaved = conclusive
							p := b.Make(s)
							at := ids(p)
							where := fmt.Sprintln(level, conclusive, patched, mitigated, patch, tags, at)
							stage := 0
							for i, step := range p.Steps {
								seen[step.ID] = true
								n := slices.Index(plan.Stages, step.Stage)
								if n < stage || step.Number != i+1 {
									t.Fatalf("%s is out of order: %s", step.ID, where)
								}
								stage = n
								if len(step.How) == 0 {
									t.Fatalf("%s says nothing to do: %s", step.ID, where)
								}
							}
							patches := slices.IndexFunc(at, func(id string) bool { return strings.HasPrefix(id, "patch-") })
							switch {
							case slices.Contains(at, "rebuild") && level < postern.Used:
								t.Fatalf("builds anew without reason: %s", where)
							case slices.Contains(at, "clean") && slices.Index(at, "bundle") > slices.Index(at, "clean"), slices.Contains(at, "clean") && !slices.Contains(at, "bundle"):
								t.Fatalf("cleans without preserving: %s", where)
							case level <= postern.Probed && !conclusive && at[0] != "missing":
								t.Fatalf("does not begin with what is missing: %s", where)
							case !slices.Contains(at, "verify") || !slices.Contains(at, "watch") || patches < 0:
								t.Fatalf("does not end well: %s", where)
							}
						}
					}
				}
			}
		}
	}
	for _, id := range []string{"compiled"} {
		seen[id] = true // needs a rule, not a tag
	}
	for key := range b.Messages("en") {
		if id := strings.Split(key, ".")[2]; !seen[id] {
			t.Errorf("no server ever gets the step %s", id)
			seen[id] = true
		}
	}
}

func TestWindowsPath(t *testing.T) {
	t.Parallel()
	tests := []struct{ file, at, want string }{
		{"inetpub/wwwroot/a.aspx", "C/inetpub/wwwroot/A.aspx", `C:\inetpub\wwwroot\A.aspx`},
		{"inetpub/wwwroot/a.aspx", "case.zip!/uploads/auto/D%3A/inetpub/wwwroot/A.aspx", `D:\inetpub\wwwroot\A.aspx`},
		{"inetpub/wwwroot/a.aspx", "mnt/inetpub/wwwroot/a.aspx", ""},
		{`E:\web\a.aspx`, "IIS.log", `E:\web\a.aspx`},
		{"", "C/x", ""},
		{"a", "", ""},
	}
	for _, tt := range tests {
		f := postern.Finding{Entities: map[string]string{postern.File: tt.file, postern.FileSHA256: "00"}, Evidence: []postern.Evidence{{Path: tt.at}}}
		if got := plan.WindowsPath(&f); got != tt.want {
			t.Errorf("%q at %q: got %q, want %q", tt.file, tt.at, got, tt.want)
		}
	}
}

// Golden plans in every form and language. One of them names a file that attacks
// every form; read the outputs after -update.
func TestGolden(t *testing.T) {
	t.Parallel()
	b := book(t)
	inconclusive := server()
	inconclusive.Verdict.Conclusive = false
	inconclusive.Missing = []plan.Missing{{Campaign: "ProxyLogon (March 2021)", Source: "httpproxy", Collect: "Copy the folder Logging\\HttpProxy."}}
	patched := server()
	patched.Patched.State, patched.Patch = postern.Yes, plan.PatchNewest
	tests := []struct {
		name string
		s    *plan.Server
	}{{"implanted", implanted("x.aspx")}, {"hostile", implanted(hostile)}, {"inconclusive", inconclusive}, {"patched", patched}}
	for _, tt := range tests {
		for _, lang := range catalogue.Languages {
			loc := words(t, b, lang)
			d := document(b.Make(tt.s).Describe(loc), lang)
			for form, write := range forms() {
				if lang != "en" && (form == "html" || form == "md" || tt.name == "hostile") {
					continue // the same shape
				}
				var got bytes.Buffer
				if err := write(&got, d, loc); err != nil {
					t.Fatal(err)
				}
				golden(t, fmt.Sprintf("%s.%s.%s", tt.name, lang, form), got.Bytes())
			}
		}
	}
}

func document(h plan.Host, lang string) *plan.Document {
	return &plan.Document{Schema: plan.Schema, Tool: plan.Tool{Name: "postern", Version: "test"}, Lang: lang, Source: "hunt.json", Status: "complete", Hosts: []plan.Host{h}}
}

func forms() map[string]func(*bytes.Buffer, *plan.Document, postern.Localizer) error {
	return map[string]func(*bytes.Buffer, *plan.Document, postern.Localizer) error{
		"txt": func(w *bytes.Buffer, d *plan.Document, l postern.Localizer) error {
			return plan.WriteText(w, d, l, safe)
		},
		"md": func(w *bytes.Buffer, d *plan.Document, l postern.Localizer) error {
			return plan.WriteMarkdown(w, d, l, safe)
		},
		"html": func(w *bytes.Buffer, d *plan.Document, l postern.Localizer) error {
			return plan.WriteHTML(w, d, l, safe)
		},
		"json": func(w *bytes.Buffer, d *plan.Document, _ postern.Localizer) error {
			one, err := report.Marshal(d)
			if err != nil {
				return err
			}
			return json.Indent(w, one, "", " ")
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s differs at byte %d:\n got …%.200q\nwant …%.200q", name, at, got[max(0, at-60):], want[max(0, at-60):])
	}
}

// Prose fits a terminal; commands are never broken.
func TestTextIsNarrow(t *testing.T) {
	t.Parallel()
	b := book(t)
	for _, lang := range catalogue.Languages {
		loc := words(t, b, lang)
		var got bytes.Buffer
		if err := plan.WriteText(&got, document(b.Make(implanted("x.aspx")).Describe(loc), lang), loc, safe); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(got.String()) {
			command := regexp.MustCompile(`^ {8}(PS> |\[EMS\] |\$ )`).MatchString(line)
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && !command {
				t.Errorf("%s: %d columns: %s", lang, n, line)
			}
		}
	}
}

// powerShell reads one argument as Windows PowerShell does: bare, in single quotes, or an
// expression in brackets of quoted strings and [char] numbers. ok is false where
// anything else stands there.
func powerShell(s string) (value string, ok bool) {
	if regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./:=-]*$|^[A-Za-z]:\\$`).MatchString(s) {
		return s, true
	}
	quote := func(r rune) bool { return strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) }
	text := func(rs []rune) (string, []rune, bool) {
		if len(rs) == 0 || rs[0] != '\'' {
			return "", nil, false
		}
		var b strings.Builder
		for i := 1; i < len(rs); i++ {
			if !quote(rs[i]) {
				b.WriteRune(rs[i])
				continue
			}
			if i+1 < len(rs) && quote(rs[i+1]) {
				b.WriteRune(rs[i])
				i++
				continue
			}
			return b.String(), rs[i+1:], true
		}
		return "", nil, false
	}
	rs := []rune(s)
	if rs[0] != '(' {
		v, rest, ok := text(rs)
		return v, ok && len(rest) == 0
	}
	if rs[len(rs)-1] != ')' {
		return "", false
	}
	rs = rs[1 : len(rs)-1]
	var units []uint16
	for first := true; len(rs) > 0; first = false {
		if !first {
			if rs[0] != '+' {
				return "", false
			}
			rs = rs[1:]
		}
		if len(rs) >= 12 && strings.HasPrefix(string(rs), "[char]0x") {
			var u uint16
			if _, err := fmt.Sscanf(string(rs[8:12]), "%04X", &u); err != nil || first {
				return "", false
			}
			units, rs = append(units, u), rs[12:]
			continue
		}
		v, rest, ok := text(rs)
		if !ok {
			return "", false
		}
		units, rs = append(units, utf16.Encode([]rune(v))...), rest
	}
	return string(utf16.Decode(units)), true
}

// FuzzQuote asks that any name comes back as itself and as nothing else, from one line on
// which a reader sees every character.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "x", hostile, `C:\`, `C:\a b\`, "-Recurse", "a\nb", "\u2018\u2019\u201a\u201b'", "$(x)`\"", "😀\u200b", "@a", "(1)", "{root}", "a;b|c&d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "\ufffd")
		q := plan.QuotePowerShell(s)
		if got, ok := powerShell(q); !ok || got != s {
			t.Fatalf("%q became %s, which PowerShell reads as %q (%v)", s, q, got, ok)
		}
		for _, r := range q {
			if r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.M, r) {
				t.Fatalf("%s has %U, which nobody sees", q, r)
			}
		}
		if sh := plan.QuoteShell(s); strings.ContainsAny(sh, "\n\r\x1b\u202e") {
			t.Fatalf("%q for a shell has a control", sh)
		}
	})
}

func TestMistakesInABook(t *testing.T) {
	t.Parallel()
	good := `format: 1
product: p
signs: {s: {tags: [x]}}
steps:
  - id: a
    stage: verify
    when: [{level: [0, 6]}]
    minutes: [1, 2]
    title: {en: t, es: t}
    why: {en: w, es: w}
    effect: {en: e, es: e}
    how: [{postern: "postern hunt {root}"}]
    verify: [{say: {en: v, es: v}}]
    undo: [{say: {en: u, es: u}}]
`
	read := func(s string) error {
		_, err := plan.Read(fstest.MapFS{"p/plan.yaml": {Data: []byte(s)}}, "p", []string{"en", "es"})
		return err
	}
	if err := read(good); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new, want string }{
		{"a language is missing", "title: {en: t, es: t}", "title: {en: t}", "nothing in es"},
		{"a stage nobody knows", "stage: verify", "stage: later", "stage"},
		{"a sign nobody knows", "when: [{level: [0, 6]}]", "when: [{signs: [z]}]", "unknown sign"},
		{"a state nobody knows", "when: [{level: [0, 6]}]", "when: [{patched: [maybe]}]", "unknown state"},
		{"a key nobody knows", "minutes: [1, 2]", "minuts: [1, 2]", "minuts"},
		{"a placeholder nobody knows", "{root}", "{rot}", "unknown placeholder"},
		{"a value inside quotes", "hunt {root}", "hunt '{root}'", "its own quotes"},
		{"a value glued to a word", "hunt {root}", "hunt {root}x", "its own quotes"},
		{"no way back", "undo: [{say: {en: u, es: u}}]", "undo: []", "nothing under undo"},
		{"a script that is not there", `{postern: "postern hunt {root}"}`, "{script: x.ps1}", "no script"},
		{"other facts in the translation", "why: {en: w, es: w}", "why: {en: 'w {host}', es: w}", "placeholders"},
	}
	for _, tt := range tests {
		if err := read(strings.Replace(good, tt.old, tt.new, 1)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want it to say %q", tt.name, err, tt.want)
		}
	}
}

// A thousand files are no plan: the first are named, the others counted.
func TestLongListsAreCut(t *testing.T) {
	t.Parallel()
	b := book(t)
	s := implanted("x.aspx")
	for i := range 999 {
		s.Findings = append(s.Findings, shell(fmt.Sprintf("x%d.aspx", i)))
	}
	h := b.Make(s).Describe(words(t, b, "en"))
	for _, step := range h.Steps {
		if step.ID == "clean" {
			if last := step.How[len(step.How)-1].Say; last != "988 more are in hunt.json." || len(step.How) != 16 {
				t.Errorf("%d lines, the last is %q", len(step.How), last)
			}
			return
		}
	}
	t.Error("no step clean")
}
