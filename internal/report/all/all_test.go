package all_test

import (
	"bytes"
	stdcsv "encoding/csv"
	stdjson "encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"postern/internal/catalogue"
	"postern/internal/report"
	"postern/internal/report/all"
	"postern/internal/report/reporttest"
)

var update = flag.Bool("update", false, "write the golden outputs anew")

// render gives the sample in a format and language.
func render(t *testing.T, format, lang string, opt report.Options) []byte {
	t.Helper()
	loc := reporttest.Catalogue(t, lang)
	var b bytes.Buffer
	reporttest.Play(t, find(t, format).New(&b, opt, loc), loc)
	return b.Bytes()
}

func find(t *testing.T, name string) all.Format {
	t.Helper()
	for _, f := range all.Formats() {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no format %q", name)
	return all.Format{}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, f := range all.Formats() {
		for _, lang := range catalogue.Languages {
			name := filepath.Join("testdata", "sample."+lang+"."+f.Name)
			got := render(t, f.Name, lang, report.Options{})
			if *update {
				if err := os.WriteFile(name, got, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs from what is rendered now; first difference:\n%s\nrun with -update and look at the change", name, firstDifference(got, want))
			}
		}
	}
}

func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			old := "(nothing)"
			if i < len(w) {
				old = w[i]
			}
			return fmt.Sprintf("line %d\n got %.300s\nwant %.300s", i+1, g[i], old)
		}
	}
	return fmt.Sprintf("line %d is gone", len(g)+1)
}

func TestSameTwice(t *testing.T) {
	t.Parallel()
	for _, f := range all.Formats() {
		if !bytes.Equal(render(t, f.Name, "en", report.Options{}), render(t, f.Name, "en", report.Options{})) {
			t.Errorf("%s: two runs over the same evidence differ", f.Name)
		}
	}
}

// TestSavedRendersTheSame holds the promise of `postern report`: whatever was
// saved renders as the hunt itself would have.
func TestSavedRendersTheSame(t *testing.T) {
	t.Parallel()
	for _, saved := range []string{"json", "jsonl"} {
		for _, from := range catalogue.Languages {
			file := render(t, saved, from, report.Options{})
			for _, to := range catalogue.Languages {
				for _, f := range all.Formats() {
					loc := reporttest.Catalogue(t, to)
					var got bytes.Buffer
					if err := report.Replay("saved", bytes.NewReader(file), loc, f.New(&got, report.Options{}, loc)); err != nil {
						t.Fatalf("%s in %s to %s in %s: %v", saved, from, f.Name, to, err)
					}
					if f.Name == "jsonl" && saved == "json" || f.Name == "csv" && saved == "json" {
						// The document has lost when between the hosts a problem came up.
						if got, want := sorted(got.Bytes()), sorted(render(t, f.Name, to, report.Options{})); !slices.Equal(got, want) {
							t.Errorf("%s in %s to %s in %s: other lines than the hunt wrote", saved, from, f.Name, to)
						}
						continue
					}
					if want := render(t, f.Name, to, report.Options{}); !bytes.Equal(got.Bytes(), want) {
						t.Errorf("%s in %s to %s in %s:\n%s", saved, from, f.Name, to, firstDifference(got.Bytes(), want))
					}
				}
			}
		}
	}
}

func sorted(b []byte) []string {
	lines := strings.Split(string(b), "\n")
	slices.Sort(lines)
	return lines
}

// TestNothingReachesATerminal checks every format, because all are printed to
// one: no control character but our own colours and line ends, nothing that
// turns the text round or hides it.
func TestNothingReachesATerminal(t *testing.T) {
	t.Parallel()
	ours := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	for _, f := range all.Formats() {
		for _, lang := range catalogue.Languages {
			for _, opt := range []report.Options{{}, {Color: true}, {ASCII: true}} {
				out := string(render(t, f.Name, lang, opt))
				if f.Name == "text" && opt.Color {
					out = ours.ReplaceAllString(out, "")
				}
				out = strings.TrimPrefix(out, "\uFEFF")
				if f.Name == "csv" {
					out = strings.ReplaceAll(out, "\r\n", "\n")
				}
				if !utf8.ValidString(out) {
					t.Errorf("%s in %s: not UTF-8", f.Name, lang)
				}
				for i, r := range out {
					if r != '\n' && !unicode.IsPrint(r) {
						t.Errorf("%s in %s: %U at byte %d: %q", f.Name, lang, r, i, out[max(0, i-40):min(len(out), i+20)])
						break
					}
				}
				if !strings.Contains(out, reporttest.Marker) && f.Name != "csv" {
					t.Errorf("%s in %s: the hostile text was left out, not made harmless", f.Name, lang)
				}
			}
		}
	}
}

func TestTextWidth(t *testing.T) {
	t.Parallel()
	ours := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	for _, lang := range catalogue.Languages {
		for _, opt := range []report.Options{{}, {Color: true}, {ASCII: true}, {Width: 60}, {Width: 132}} {
			width := opt.Width
			if width == 0 {
				width = 80
			}
			for i, line := range strings.Split(string(render(t, "text", lang, opt)), "\n") {
				line = ours.ReplaceAllString(line, "")
				if n := uniseg.StringWidth(line); n > width {
					t.Errorf("%s %+v: line %d is %d columns wide: %q", lang, opt, i+1, n, line)
				}
				if opt.ASCII && strings.IndexFunc(line, func(r rune) bool { return r > '~' }) >= 0 {
					t.Errorf("%s: line %d is not ASCII: %q", lang, i+1, line)
				}
			}
		}
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	out := string(render(t, "csv", "en", report.Options{}))
	if !strings.HasPrefix(out, "\uFEFFrow,") {
		t.Errorf("begins with %q, want a byte order mark and the header row", out[:20])
	}
	rows, err := stdcsv.NewReader(strings.NewReader(strings.TrimPrefix(out, "\uFEFF"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out, "\r\n"); lines != len(rows) {
		t.Errorf("%d line ends for %d rows: a cell has one", lines, len(rows))
	}
	kinds := map[string]int{}
	for _, row := range rows[1:] {
		kinds[row[0]]++
		for i, cell := range row {
			// However a spreadsheet splits the line, no cell may begin a formula.
			for _, part := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(",;\t|", r) }) {
				if part = strings.TrimLeft(part, ` "'`); strings.HasPrefix(part, "=") || strings.HasPrefix(part, "@") || strings.HasPrefix(part, "+") || strings.HasPrefix(part, "-") {
					at := strings.Index(cell, part)
					if at == 0 || !strings.Contains(cell[:at], "'") {
						t.Errorf("column %s: %q begins a formula", rows[0][i], part)
					}
				}
			}
		}
	}
	findings := 0
	for _, h := range reporttest.Hosts() {
		findings += len(h.Findings)
	}
	want := map[string]int{"host": len(reporttest.Hosts()), "finding": findings, "problem": len(reporttest.Problems()), "end": 1}
	for kind, n := range want {
		if kinds[kind] != n {
			t.Errorf("%d rows of kind %s, want %d", kinds[kind], kind, n)
		}
	}
}

// TestDefanged checks that what people read has nothing to click, and that what
// programs read is as it was.
func TestDefanged(t *testing.T) {
	t.Parallel()
	for _, f := range all.Formats() {
		out := string(render(t, f.Name, "en", report.Options{}))
		raw := f.Name == "json" || f.Name == "jsonl"
		for _, s := range []string{"http://evil.example", "https://203.0.113.5", "203.0.113.5", "198.51.100.23"} {
			if strings.Contains(out, s) != raw {
				t.Errorf("%s: contains %q is %v, want %v", f.Name, s, !raw, raw)
			}
		}
		if strings.Contains(out, "225[.]42") {
			t.Errorf("%s: the host's own build was taken for an address", f.Name)
		}
	}
}

func TestStreamIsWhole(t *testing.T) {
	t.Parallel()
	var types []string
	dec := stdjson.NewDecoder(bytes.NewReader(render(t, "jsonl", "en", report.Options{})))
	for {
		var line struct {
			Type string
			Host *string
		}
		if err := dec.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if slices.Contains([]string{"finding", "incident", "coverage", "campaign", "host"}, line.Type) != (line.Host != nil) {
			t.Errorf("a line of type %s: has a host is %v", line.Type, line.Host != nil)
		}
		if len(types) == 0 || types[len(types)-1] != line.Type {
			types = append(types, line.Type)
		}
	}
	got := strings.Join(types, " ")
	want := "run problem campaign coverage host problem campaign finding incident coverage host problem campaign coverage host problem end"
	if got != want {
		t.Errorf("order of types\n got %s\nwant %s", got, want)
	}
}

// TestKeys finds every key of the catalogues that the renderers name and looks it
// up in every language. Keys that end in a dot go on with a word of a closed list.
func TestKeys(t *testing.T) {
	t.Parallel()
	words := map[string][]string{
		"report.status.":      {"complete", "partial", "failed"},
		"report.state.":       {"yes", "no", "unknown", "ineffective"},
		"report.clean.":       {"no", "unknown", "nothing"},
		"report.clean.short.": {"no", "unknown", "nothing"},
		"report.clean.why.":   {"no", "unknown", "nothing"},
		"report.seen.":        {"covered", "partial", "absent", "not-applicable"},
		"report.problem.":     {"truncated", "unreadable", "unsupported", "limit", "malformed", "encoding"},
		"report.entity.":      {"client_ip", "user_agent", "url", "file", "file_sha256", "account", "shell_parameter", "status"},
	}
	named := map[string]bool{}
	key := regexp.MustCompile(`"(report\.[a-z0-9._-]+)"`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") ||
			!strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".html") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range key.FindAllStringSubmatch(string(b), -1) {
			named[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(named) < 50 {
		t.Fatalf("only %d keys found: the search is broken", len(named))
	}
	used := map[string]bool{}
	for name := range named {
		if !strings.HasSuffix(name, ".") {
			used[name] = true
			continue
		}
		if words[name] == nil {
			t.Errorf("%s goes on with words that this test does not know", name)
		}
		for _, w := range words[name] {
			used[name+w] = true
		}
	}
	for _, lang := range catalogue.Languages {
		loc, err := catalogue.Load(lang)
		if err != nil {
			t.Fatal(err)
		}
		for name := range used {
			if !loc.Has(name) {
				t.Errorf("%s: no message %s", lang, name)
			}
		}
		for _, name := range loc.Keys() {
			plain := strings.TrimSuffix(strings.TrimSuffix(name, ".one"), ".other")
			if strings.HasPrefix(name, "report.") && !used[plain] {
				t.Errorf("%s: nothing says %s", lang, name)
			}
		}
	}
}

// TestListed checks that no renderer of hunts was forgotten: no folder beside this
// one that makes a report.Handler.
func TestListed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	makes := regexp.MustCompile(`func New\w*\(.*\) report\.Handler`)
	rooms := map[string]bool{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if makes.Match(b) {
			rooms[filepath.Base(filepath.Dir(name))] = true
		}
	}
	if len(rooms) < 4 {
		t.Fatalf("only %v found: the search is broken", rooms)
	}
	for room := range rooms {
		find(t, room)
	}
}
