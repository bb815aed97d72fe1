package webfile

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"testing"

	page "postern/internal/hunt/parse/webfile"
)

// TestPureCallsAreThoseWorkedOut keeps the cheap question before call true: it reads the names
// of which call works something out off its code.
func TestPureCallsAreThoseWorkedOut(t *testing.T) {
	t.Parallel()
	code, err := parser.ParseFile(token.NewFileSet(), "fold.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, decl := range code.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == "call" {
			ast.Inspect(f, func(n ast.Node) bool {
				if c, ok := n.(*ast.CaseClause); ok {
					for _, e := range c.List {
						if lit, ok := e.(*ast.BasicLit); ok {
							name, _ := strconv.Unquote(lit.Value)
							names[name] = true
						}
					}
				}
				return true
			})
		}
	}
	if len(names) < 20 || !maps.Equal(names, pureCalls) {
		t.Errorf("call works out %v, and only %v are asked for", slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(pureCalls)))
	}
}

// foldAll folds as fold does, without asking first whether there is anything to fold.
func (f *folder) foldAll(toks []page.Token) []page.Token {
	for range maxRounds {
		before, work := len(toks), f.coded
		toks = f.propagate(f.reduce(f.join(toks), 0))
		if len(toks) == before && f.coded == work || f.budget <= 0 {
			break
		}
	}
	return toks
}
