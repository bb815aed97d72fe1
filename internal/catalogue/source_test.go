package catalogue_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"postern/internal/catalogue"
)

// These tests read the source of the whole house: every key that Go asks for has
// a message, and every message is asked for.

const house = "../.."

// message is one message and where it stands.
type message struct{ text, file, room string }

// messages gives those of a language, and fails the test if a file cannot be read.
func messages(t *testing.T, lang string) map[string]message {
	t.Helper()
	all := make(map[string]message)
	for _, name := range catalogue.Files(lang) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var room map[string]string
		if err := yaml.Unmarshal(b, &room); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for key, text := range room {
			if _, twice := all[key]; twice {
				t.Errorf("%s: %s stands in %s already", name, key, all[key].file)
			}
			all[key] = message{text, name, path.Base(name)}
		}
	}
	return all
}

// ask is one place that asks for a message by a literal key.
type ask struct {
	key   string
	by    string   // Say, T, usage, failed …
	where string   // file:line
	args  []string // names of the arguments
	all   bool     // whether args is the whole of it
}

// asks is everything that the source says about keys.
type asks struct {
	list     []ask
	literals map[string]bool // every string in the source, of Go and templates
	made     []string        // patterns of keys that are made at run time: "level.*"
}

var source = sync.OnceValues(func() (*asks, error) {
	found := &asks{literals: make(map[string]bool)}
	fset := token.NewFileSet()
	err := fs.WalkDir(os.DirFS(house), ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || slices.Contains([]string{"bin", "dist", "demo", "docs"}, name)):
			return fs.SkipDir
		case d.IsDir() && strings.HasSuffix(base, "test"): // helpers of tests have messages of their own
			return fs.SkipDir
		case d.IsDir():
			return nil
		case path.Ext(name) == ".html":
			b, err := os.ReadFile(filepath.Join(house, name))
			found.template(name, string(b))
			return err
		case path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(fset, filepath.Join(house, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found.file(fset, name, f)
		return nil
	})
	return found, err
})

func read(t *testing.T) *asks {
	t.Helper()
	s, err := source()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.list) < 100 {
		t.Fatalf("found %d calls that ask for messages: this test looks in the wrong place", len(s.list))
	}
	return s
}

var inTemplate = regexp.MustCompile(`\.T "([^"]+)"`)

func (s *asks) template(name, body string) {
	for _, at := range inTemplate.FindAllStringSubmatchIndex(body, -1) {
		key := body[at[2]:at[3]]
		if s.literals[key] = true; !strings.Contains(key, ".") {
			continue // the page puts the name of its room before it
		}
		s.list = append(s.list, ask{key: key, by: "T", where: name + ":" + strconv.Itoa(1+strings.Count(body[:at[0]], "\n"))})
	}
}

var prefix = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9-]+)*\.$`)

var madeAtRunTime = regexp.MustCompile(`catalogue: ((?:[a-z*][a-z0-9_*./-]*[* ]+)+)`)

func (s *asks) file(fset *token.FileSet, name string, f *ast.File) {
	where := func(p token.Pos) string { return name + ":" + strconv.Itoa(fset.Position(p).Line) }
	for _, group := range f.Comments {
		for _, c := range group.List {
			if m := madeAtRunTime.FindStringSubmatch(c.Text + " "); m != nil {
				for glob := range strings.FieldsSeq(m[1]) {
					if strings.Contains(glob, "*") {
						s.made = append(s.made, strings.ReplaceAll(glob, "/", "?"))
					}
				}
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			v, ok := literal(n)
			if ok {
				s.literals[v] = true
			}
			if prefix.MatchString(v) { // a word is put behind it
				s.made = append(s.made, v+"*")
			}
		case *ast.CallExpr:
			s.call(n, where(n.Pos()))
		}
		return true
	})
}

// call books a call that asks for a message: a key and pairs of name and value.
// failed has the error first, and adds the argument "reason".
func (s *asks) call(c *ast.CallExpr, where string) {
	by := ""
	switch fn := c.Fun.(type) {
	case *ast.Ident:
		by = fn.Name
	case *ast.SelectorExpr:
		by = fn.Sel.Name
	}
	args := c.Args
	var names []string
	switch {
	case by == "failed" && len(args) > 1:
		args, names = args[1:], []string{"reason"}
	case !slices.Contains([]string{"Say", "T", "t", "say", "usage"}, by) || len(args) == 0:
		return
	}
	key, ok := literal(args[0])
	if !ok || !strings.Contains(key, ".") {
		return
	}
	a := ask{key: key, by: by, where: where, args: names, all: !c.Ellipsis.IsValid()}
	for i := 1; i < len(args); i += 2 {
		name, ok := literal(args[i])
		a.args, a.all = append(a.args, strings.TrimSuffix(name, "@")), a.all && ok
	}
	s.list = append(s.list, a)
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	v, err := strconv.Unquote(l.Value)
	return v, err == nil
}

func TestEveryKeyHasAMessage(t *testing.T) {
	t.Parallel()
	en := messages(t, "en")
	for _, a := range read(t).list {
		forms := formsOf(en, a.key)
		if len(forms) == 0 {
			t.Errorf("%s: no catalogue has %q", a.where, a.key)
			continue
		}
		if a.by == "usage" || a.by == "failed" {
			if hint := formsOf(en, a.key+".hint"); len(hint) > 0 {
				forms = append(forms, hint...)
			}
		}
		if !a.all {
			continue
		}
		for _, m := range forms {
			for _, name := range arguments(m.text) {
				if !slices.Contains(a.args, name) {
					t.Errorf("%s: %q needs the argument %q and gets %v: %q", a.where, a.key, name, a.args, m.text)
				}
			}
		}
	}
}

// formsOf gives the messages that a key can turn into.
func formsOf(all map[string]message, key string) []message {
	var forms []message
	for _, form := range []string{key, key + ".one", key + ".other"} {
		if m, ok := all[form]; ok {
			forms = append(forms, m)
		}
	}
	return forms
}

func TestEveryMessageIsAskedFor(t *testing.T) {
	t.Parallel()
	s := read(t)
	for key, m := range messages(t, "en") {
		base := key
		for _, form := range []string{".one", ".other", ".hint"} {
			base = strings.TrimSuffix(base, form)
		}
		made := func(glob string) bool {
			ok, err := path.Match(glob, key)
			return err == nil && ok
		}
		if !s.literals[key] && !s.literals[base] && !slices.ContainsFunc(s.made, made) {
			t.Errorf("%s: nobody asks for %s (a key that is made at run time is named in a comment: \"catalogue: prefix.*\")", m.file, key)
		}
	}
}

// What a person reads is in the catalogues, not in the code of the command line.
func TestCommandLineHasNoWordsOfItsOwn(t *testing.T) {
	t.Parallel()
	allowed := map[string]string{
		"postern %s %s/%s %s\n":                 "the line of the version is the same in every language",
		`,"_line":%d,"_offset":%d,"_derived":[`: "names of a JSON object",
	}
	letters := regexp.MustCompile(`\pL`)
	verbs := regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)
	files, err := filepath.Glob(filepath.Join(house, "cmd/postern/*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of the command line: %v", err)
	}
	fset := token.NewFileSet()
	used := make(map[string]bool)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fn, ok := c.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(fn.Sel.Name, "Fprint") && !strings.HasPrefix(fn.Sel.Name, "Print") {
				return true
			}
			for _, arg := range c.Args {
				text, ok := literal(arg)
				if !ok || !letters.MatchString(verbs.ReplaceAllString(text, "")) {
					continue
				}
				if used[text] = true; allowed[text] == "" {
					t.Errorf("%s: %q is in no catalogue", fset.Position(arg.Pos()), text)
				}
			}
			return true
		})
	}
	for text := range allowed {
		if !used[text] {
			t.Errorf("%q is allowed and no longer there", text)
		}
	}
}
