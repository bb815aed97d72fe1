package house

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, r := range house(t) {
		files := r.files
		if len(files) == 0 {
			files = r.tests
		}
		var docs []string
		for _, f := range files {
			if f.Doc != nil {
				docs = append(docs, f.Doc.Text())
			}
		}
		name := strings.TrimSuffix(files[0].Name.Name, "_test")
		switch {
		case len(docs) == 0:
			t.Errorf("%s: no comment says what the package is for, what goes in and what comes out", r.dir())
		case len(docs) > 1:
			t.Errorf("%s: %d files have a package comment; readers see them glued together", r.dir(), len(docs))
		case name != "main" && !strings.HasPrefix(docs[0], "Package "+name+" "):
			t.Errorf("%s: the package comment begins %.40q, want \"Package %s …\"", r.dir(), docs[0], name)
		}
	}
}

func TestNoInitAndNoNamelessRooms(t *testing.T) {
	for _, r := range house(t) {
		base := path.Base(r.path)
		if slices.Contains([]string{"util", "utils", "common", "helpers", "helper", "misc", "shared", "base", "lib"}, base) {
			t.Errorf("%s: a room called %q means that a noun is still missing", r.dir(), base)
		}
		for _, f := range slices.Concat(r.files, r.tests) {
			if got := f.Name.Name; got != base && got != base+"_test" && got != "main" {
				t.Errorf("%s: package %s does not have the name of its folder", fset.Position(f.Pos()).Filename, got)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: func init runs behind everybody's back; lists are plain functions", fset.Position(fn.Pos()))
				}
			}
		}
	}
}

// Regexps, maps and the like at the top of a file are constants in all but name;
// nothing may assign to a variable of a package after it is made.
func TestNoGlobalState(t *testing.T) {
	byLinker := []string{"release"} // set when a release is linked, read only
	for _, r := range house(t) {
		globals := make(map[string]bool)
		for _, f := range r.files {
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR {
					continue
				}
				for _, s := range g.Specs {
					v := s.(*ast.ValueSpec)
					for _, n := range v.Names {
						if n.Name != "_" {
							globals[n.Name] = true
						}
						if len(v.Values) == 0 && !slices.Contains(byLinker, n.Name) && !embedded(g, v) {
							t.Errorf("%s: %s has no value, so somebody must set it later: pass it as an argument", fset.Position(n.Pos()), n.Name)
						}
					}
				}
			}
		}
		for _, f := range r.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
					assigned(fn, globals, func(n *ast.Ident) {
						t.Errorf("%s: sets %s, which the whole package shares", fset.Position(n.Pos()), n.Name)
					})
				}
			}
		}
	}
}

// embedded says whether a variable is filled by go:embed.
func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// assigned tells of assignments to names of the package inside a function, as far
// as no parameter or variable of the function has the same name.
func assigned(fn *ast.FuncDecl, globals map[string]bool, tell func(*ast.Ident)) {
	local := make(map[string]bool)
	fields := func(l *ast.FieldList) {
		if l == nil {
			return
		}
		for _, f := range l.List {
			for _, n := range f.Names {
				local[n.Name] = true
			}
		}
	}
	fields(fn.Recv)
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncType:
			fields(n.Params)
			fields(n.Results)
		case *ast.ValueSpec:
			for _, name := range n.Names {
				local[name.Name] = true
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					local[id.Name] = true
				}
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					if id, ok := e.(*ast.Ident); ok {
						local[id.Name] = true
					}
				}
			}
		}
		return true
	})
	check := func(e ast.Expr) {
		for {
			if i, ok := e.(*ast.IndexExpr); ok {
				e = i.X
				continue
			}
			break
		}
		if id, ok := e.(*ast.Ident); ok && globals[id.Name] && !local[id.Name] {
			tell(id)
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				check(e)
			}
		case *ast.IncDecStmt:
			check(n.X)
		}
		return true
	})
}

// Stages whose leaves are listed in a package "all": a leaf that nobody lists is
// code that never runs.
func TestEveryLeafIsListed(t *testing.T) {
	// Leaves that are not in the list of their stage, and who runs them instead.
	elsewhere := map[string]string{
		"internal/hunt/parse/iisconfig":      "internal/hunt/detect/iisconfig", // no log of rows
		"internal/hunt/parse/msert":          "internal/hunt/detect/msert",
		"internal/hunt/parse/webfile":        "internal/hunt/detect/webfile",
		"internal/hunt/parse/regf":           "internal/hunt/detect/registry",
		"internal/hunt/parse/testproxylogon": "internal/hunt/detect/testproxylogon",
		"internal/hunt/parse/inventory":      "cmd/postern", // of any file, so it recognises none
		"internal/report/adoption":           "cmd/postern", // no report of a hunt
	}
	all, err := rooms()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range house(t) {
		if path.Base(r.path) != "all" {
			continue
		}
		stage := path.Dir(r.dir())
		for _, leaf := range house(t) {
			if path.Dir(leaf.dir()) != stage || leaf == r || len(leaf.files) == 0 || forTests(leaf) || r.imports[leaf.path] {
				continue
			}
			by, ok := elsewhere[leaf.dir()]
			switch {
			case !ok:
				t.Errorf("%s is not in %s, so it never runs", leaf.dir(), r.dir())
			case all[path.Join(module, by)] == nil || !all[path.Join(module, by)].imports[leaf.path]:
				t.Errorf("%s is not in %s, and %s, which should use it, does not", leaf.dir(), r.dir(), by)
			}
		}
	}
}

// forTests says whether a package holds helpers of tests.
func forTests(r *room) bool { return strings.HasSuffix(r.path, "test") }

// Every parser is asked a strong question by a fuzz target of its own.
func TestEveryReaderIsFuzzed(t *testing.T) {
	for _, r := range house(t) {
		dir := path.Dir(r.dir())
		reader := slices.Contains([]string{"internal/hunt/parse", "internal/hunt/detect/yara/module"}, dir) && path.Base(r.path) != "all" && !forTests(r) ||
			slices.Contains([]string{"internal/alert", "internal/bundle", "internal/hunt/watch", "internal/hunt/source", "internal/hunt/detect/sigma", "internal/hunt/detect/yara", "internal/exposure/fingerprint", "internal/report", "internal/respond/mitigate", "internal/campaign"}, r.dir())
		if !reader {
			continue
		}
		fuzzed := false
		for _, f := range r.tests {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Fuzz") {
					fuzzed = true
				}
			}
		}
		if !fuzzed {
			t.Errorf("%s reads what strangers wrote and has no fuzz target", r.dir())
		}
	}
}
