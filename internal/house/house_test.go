// Package house checks the house itself: who may import whom, what every room has
// to have, and that its papers are true. Input: the source files of the module, of
// every platform at once, as build tags do not hide a file from it. It has tests
// and nothing else.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// root is the folder of go.mod, seen from this one.
const root = "../.."

// module is the name in go.mod.
const module = "postern"

// room is one package of the house.
type room struct {
	path    string          // import path
	files   []*ast.File     // without tests
	tests   []*ast.File     // of the package and of its external test package
	imports map[string]bool // of files
}

// dir gives the folder relative to the module's own, "." for the root package.
func (r *room) dir() string {
	if r.path == module {
		return "."
	}
	return strings.TrimPrefix(r.path, module+"/")
}

var fset = token.NewFileSet()

// rooms reads every package of the module once.
var rooms = sync.OnceValues(func() (map[string]*room, error) {
	all := make(map[string]*room)
	err := walk(func(name string) error {
		if path.Ext(name) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(fset, filepath.Join(root, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		at := path.Join(module, path.Dir(name))
		r := all[at]
		if r == nil {
			r = &room{path: at, imports: make(map[string]bool)}
			all[at] = r
		}
		if strings.HasSuffix(name, "_test.go") {
			r.tests = append(r.tests, f)
			return nil
		}
		r.files = append(r.files, f)
		for _, i := range imports(f) {
			r.imports[i] = true
		}
		return nil
	})
	return all, err
})

// house gives the packages in the order of their paths.
func house(t *testing.T) []*room {
	t.Helper()
	all, err := rooms()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 || all[module] == nil {
		t.Fatalf("found %d packages below %s: this test looks in the wrong place", len(all), root)
	}
	var list []*room
	for _, p := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[p])
	}
	return list
}

// walk visits every file that belongs to the house, named relative to it with '/'.
// Folders that begin with a dot or "_", and what is built or laid out, do not.
func walk(visit func(name string) error) error {
	built := []string{"bin", "dist", "demo"}
	return fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") && base != ".ci" || strings.HasPrefix(base, "_") || slices.Contains(built, name)) {
				return fs.SkipDir
			}
			return nil
		}
		return visit(name)
	})
}

func imports(f *ast.File) []string {
	var list []string
	for _, i := range f.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// ours says whether an import path is a package of this module.
func ours(p string) bool { return p == module || strings.HasPrefix(p, module+"/") }

// standard says whether an import path is of the standard library: its first
// part has no dot.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !ours(p) && !strings.Contains(first, ".")
}
