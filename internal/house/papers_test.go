package house

import (
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// text reads a file of the house.
func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	err := walk(func(name string) error {
		if path.Ext(name) != ".md" {
			return nil
		}
		for _, m := range link.FindAllStringSubmatch(text(t, name), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			to := path.Join(path.Dir(name), m[1])
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Messages and comments of packages send readers to pages, too.
func TestPagesThatAreNamedExist(t *testing.T) {
	page := regexp.MustCompile(`\bdocs/[a-z0-9/-]+\.md\b`)
	err := walk(func(name string) error {
		if ext := path.Ext(name); ext != ".go" && ext != ".yaml" && name != "Makefile" {
			return nil
		}
		for _, p := range page.FindAllString(text(t, name), -1) {
			if _, err := os.Stat(filepath.Join(root, p)); err != nil {
				t.Errorf("%s sends its reader to %s, which is not there", name, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// docs/formats.md is the index of the pages beside it.
func TestEveryFormatIsInTheIndex(t *testing.T) {
	index := text(t, "docs/formats.md")
	pages, err := filepath.Glob(filepath.Join(root, "docs/formats/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if name := "formats/" + filepath.Base(p); !strings.Contains(index, "("+name+")") {
			t.Errorf("docs/formats.md does not link to %s", name)
		}
	}
}

// Each module that the code imports has its line in docs/dependencies.md, under
// the heading that says truly whether the program or only its tests need it.
func TestEveryDependencyHasAReason(t *testing.T) {
	modules := required(t)
	need := make(map[string]string) // module → "program" or "tests"
	for _, r := range house(t) {
		for _, f := range r.tests {
			for _, p := range imports(f) {
				if m := moduleOf(modules, p); m != "" && need[m] == "" {
					need[m] = "tests"
				}
			}
		}
		for p := range r.imports {
			if m := moduleOf(modules, p); m != "" && (need[m] == "" || !forTests(r)) {
				need[m] = map[bool]string{false: "program", true: "tests"}[forTests(r)]
			}
		}
	}
	said := reasons(text(t, "docs/dependencies.md"))
	for m, by := range need {
		if said[m] != by {
			t.Errorf("docs/dependencies.md has %s under %q, but its line belongs under \"For the %s\"", m, said[m], by)
		}
	}
	for m, by := range said {
		if need[m] == "" && (by == "program" || by == "tests") {
			t.Errorf("docs/dependencies.md gives a reason for %s, which nothing imports", m)
		}
	}
}

// required gives the modules of go.mod.
func required(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\s*([a-z0-9.-]+\.[a-z]+/\S+) v`).FindAllStringSubmatch(text(t, "go.mod"), -1) {
		list = append(list, m[1])
	}
	if len(list) < 5 {
		t.Fatalf("found only the modules %v in go.mod", list)
	}
	return list
}

// moduleOf gives the module of an import path, "" for this one and the standard library.
func moduleOf(modules []string, p string) string {
	best := ""
	for _, m := range modules {
		if (p == m || strings.HasPrefix(p, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

// reasons reads the tables of docs/dependencies.md: module → last word of the
// heading above it.
func reasons(page string) map[string]string {
	said := make(map[string]string)
	heading := ""
	row := regexp.MustCompile("^\\| `([^`]+)` \\|")
	for line := range strings.Lines(page) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			words := strings.Fields(title)
			heading = words[len(words)-1]
		}
		if m := row.FindStringSubmatch(line); m != nil {
			said[m[1]] = heading
		}
	}
	return said
}

// docs/exit-codes.md has a row for every code that the program can give.
func TestEveryExitCodeIsDocumented(t *testing.T) {
	page := text(t, "docs/exit-codes.md")
	found := 0
	for _, r := range house(t) {
		if r.dir() != "cmd/postern" {
			continue
		}
		for _, f := range r.files {
			ast.Inspect(f, func(n ast.Node) bool {
				v, ok := n.(*ast.ValueSpec)
				if !ok || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "exit") {
					return true
				}
				if code, ok := v.Values[0].(*ast.BasicLit); ok && code.Kind == token.INT {
					found++
					if !strings.Contains(page, "| "+code.Value+" |") {
						t.Errorf("docs/exit-codes.md has no row for %s = %s", v.Names[0].Name, code.Value)
					}
				}
				return true
			})
		}
	}
	if found < 5 {
		t.Errorf("found %d exit codes in cmd/postern, want at least 5", found)
	}
}

// A scanner that meets the words of a web shell in a file deletes the file, and
// with it the tool that a person needs that day. Fixtures put them together at run
// time; so does this list.
func TestNothingLooksLikeABackDoor(t *testing.T) {
	var shapes []*regexp.Regexp
	for _, pieces := range [][]string{
		{`ev`, `al\s*\(\s*request`},
		{`exec`, `ute\s*\(\s*request`},
		{`execute`, `global\s*\(\s*request`},
		{`ev`, `al\s*\(\s*\$_(get|post|request|cookie)`},
		{`ass`, `ert\s*\(\s*\$_(get|post|request|cookie)`},
		{`get`, `runtime\s*\(\s*\)\s*\.\s*exec\s*\(\s*request`},
		{`<scr`, `ipt[^>]*(jscript|c#|vb)[^>]*runat\s*=`},
		{`<scr`, `ipt[^>]*runat\s*=[^>]*(jscript|c#|vb)`},
		{`request`, `\.item\[[^\]]*\]\s*,\s*["'\\]*unsafe`},
	} {
		shapes = append(shapes, regexp.MustCompile("(?i)"+strings.Join(pieces, "")))
	}
	err := walk(func(name string) error {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || info.Size() > 8<<20 || slices.Contains([]string{".test", ".prof", ".out"}, path.Ext(name)) {
			return nil // built here, or being written by somebody else
		}
		body := text(t, name)
		for _, shape := range shapes {
			if at := shape.FindStringIndex(body); at != nil {
				line := 1 + strings.Count(body[:at[0]], "\n")
				t.Errorf("%s:%d looks like a web shell to a scanner (%d bytes): put it together at run time", name, line, at[1]-at[0])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
