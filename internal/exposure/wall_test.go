package exposure

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// theWall is the only file that may open a connection.
const theWall = "scope/wall.go"

// allowed is what the others may use of packages that can reach the network; "*" is
// everything. A package that is not named here is of no use for that.
var allowed = map[string][]string{
	"net":                    {"Conn", "Error", "OpError", "ErrClosed", "SplitHostPort", "JoinHostPort"},
	"crypto/tls":             {"Client", "Config", "ConnectionState", "CurveID", "X25519", "CurveP256", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionName", "CipherSuites", "InsecureCipherSuites", "RecordHeaderError"},
	"net/http":               {"NewRequestWithContext", "Header"},
	"golang.org/x/net/http2": {"Transport", "ClientConn"},
	"syscall": {"ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPERM", "ECONNRESET", "EPIPE", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM",
		"EADDRNOTAVAIL", "EADDRINUSE", "Flock", "LOCK_EX", "LOCK_NB", "RawConn"},
}

// never is what no file may import.
var never = []string{"os/exec", "plugin", "net/smtp", "net/rpc", "net/http/httputil", "unsafe", "golang.org/x/net/proxy", "golang.org/x/sys/unix"}

// TestOneDialer reads the sources: whoever forgets the scope cannot even connect.
func TestOneDialer(t *testing.T) {
	t.Parallel()
	eachSource(t, func(name string, f *ast.File) {
		as := map[string]string{} // name in the file → import path
		for _, spec := range f.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if slices.Contains(never, path) {
				t.Errorf("%s imports %s", name, path)
			}
			if _, ok := allowed[path]; ok {
				as[filepath.Base(path)] = path
				if spec.Name != nil {
					t.Errorf("%s imports %s under another name: this test would not see it", name, path)
				}
			} else if strings.HasPrefix(path, "net/") && path != "net/netip" && path != "net/url" {
				t.Errorf("%s imports %s, of which this test knows nothing", name, path)
			}
		}
		if name == theWall {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if !ok || as[x.Name] == "" {
				return true
			}
			if !slices.Contains(allowed[as[x.Name]], s.Sel.Name) {
				t.Errorf("%s uses %s.%s; connections are opened in %s alone", name, x.Name, s.Sel.Name, theWall)
			}
			return true
		})
	})
}

// TestWalls holds the table of who imports whom: a stage leans on the root and on this
// package, not on its siblings, other rivers, stores or commands.
func TestWalls(t *testing.T) {
	t.Parallel()
	eachSource(t, func(name string, f *ast.File) {
		for _, spec := range f.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if !strings.HasPrefix(path, "postern") || path == "postern" || path == "postern/internal/exposure" && strings.Contains(name, "/") {
				continue
			}
			t.Errorf("%s imports %s", name, path)
		}
	})
}

// eachSource gives the files below this folder that are no tests.
func eachSource(t *testing.T, do func(name string, f *ast.File)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		n++
		do(filepath.ToSlash(path), f)
		return nil
	})
	if err != nil || n < 20 {
		t.Fatalf("read %d files: %v", n, err)
	}
}
