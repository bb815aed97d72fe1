package webfile

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	page "postern/internal/hunt/parse/webfile"
)

// TestLexiconHasEveryWordAskedFor reads the code of this room: a word that is asked for
// and not in the lexicon would be one that no program ever says.
func TestLexiconHasEveryWordAskedFor(t *testing.T) {
	t.Parallel()
	words := newLexicon()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		code, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(code, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "says" {
				return true
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s asks for a word that this test cannot read", file.Name())
				return true
			}
			word, _ := strconv.Unquote(lit.Value)
			if asked++; words.number(word, slotOf(word)) == 0 {
				t.Errorf("%s asks for %q, which is not in the lexicon", file.Name(), word)
			}
			return true
		})
	}
	if asked < 20 {
		t.Errorf("only %d words were found in the code", asked)
	}
}

func TestLexiconKeepsWordsApart(t *testing.T) {
	t.Parallel()
	x := newLexicon()
	for n, w := range x.words[1:] {
		if got := x.number(w, slotOf(w)); int(got) != n+1 {
			t.Errorf("%q has the number %d, want %d", w, got, n+1)
		}
	}
	for _, w := range []string{"", "x", "evaluated", "EVAL", "$_get", "#"} {
		if got := x.number(w, slotOf(w)); got != 0 {
			t.Errorf("%q has the number %d, which is that of %q", w, got, x.words[got])
		}
	}
	if len(x.words) > slots/4 {
		t.Errorf("%d words in %d slots: most words of a page would have to be compared", len(x.words), slots)
	}
}

// TestComClassesBeginAsTheyAreLookedFor keeps the cheap question before the table true.
func TestComClassesBeginAsTheyAreLookedFor(t *testing.T) {
	t.Parallel()
	for id, class := range comClasses {
		for _, written := range []string{id, strings.ToUpper(id), "{" + id + "}", "clsid:" + id, "CLSID:" + id, id + ".1"} {
			if got := comClass(written); got != class {
				t.Errorf("%q: got %q, want %q", written, got, class)
			}
		}
	}
}

// FuzzShortcuts asks of any page that what is left out to save time would have changed
// nothing: places at which no constant begins, words at which nothing can stand, and
// following values where none comes in.
func FuzzShortcuts(f *testing.F) {
	for _, s := range []string{
		fixture(evalPage), fixture(uploadPage), fixture("‹@ «PAGE» Language=\"«JS»\" › ‹ var f = \"a\" + \"b\"; (char)65; f(\"x\")[0]; this[\"«EVAL»\"](f); ›"),
		"<" + "?php $a = 'x'; $b = array('c', 'd'); $f = ~'a' ^ \"b\"; $b[1]($a); include $a; \"{$b}\\x41\"; ?>",
		"<" + "?php $f = function($x) { return $x; }; $f($y); preg_replace('/a/e', $b, $c); fopen($a, 'r'); `ls`; ?>",
		"<" + "% Dim p : p = \"a\" & Chr(66) & String(3, \"c\") : Set s = CreateObject(\"WScript.Network\") : s.Run p %" + ">",
		"<" + "%@ WebService Class=\"A\" %" + ">\nclass A { [WebMethod] string B(string c) { info.Arguments = c; return new byte[]{65,66,67,68}.ToString(); } }",
	} {
		for i := range shortcutNames {
			f.Add([]byte(s), uint8(i))
		}
	}
	words := newLexicon()
	f.Fuzz(func(t *testing.T, content []byte, which uint8) {
		if len(content) > 16<<10 {
			t.Skip("large inputs cost time")
		}
		p := page.Split(page.Decode(content), shortcutNames[int(which)%len(shortcutNames)])
		toks, _ := p.Tokens(nil)
		fold := folder{budget: maxFolded, pairs: new(pairs)}
		for i := range toks {
			before := toks[:i]
			if _, s, ok := fold.value(toks, i, &before); ok && !begins(toks, i) {
				t.Fatalf("a constant at %d is passed over: %q of %v", i, s, toks[i:])
			}
		}
		fold = folder{budget: maxFolded, pairs: new(pairs)}
		all := folder{budget: maxFolded, pairs: new(pairs)}
		want := all.foldAll(slices.Clone(toks))
		toks = fold.fold(toks)
		if !slices.Equal(toks, want) || fold.joined != all.joined || fold.decoded != all.decoded || fold.budget != all.budget {
			t.Fatalf("asking first folds to something else: got %v, want %v", toks, want)
		}
		g := newProgram(words.vocabularyOf(toks, vocabulary{}), toks, p, new(space))
		for i := range toks {
			if toks[i].Kind != page.Ident {
				continue
			}
			_, is := g.sourceAt(i)
			if _, kept := g.sources[i]; is != kept {
				t.Fatalf("%q at %d is a source: %v, kept as one: %v", toks[i].Text, i, is, kept)
			}
			if c, ok := g.other(i); ok && !g.besides(i) {
				t.Fatalf("a construct at %q is passed over: %+v", toks[i].Text, c)
			}
		}
		if g.next != nil {
			return
		}
		followed := newProgram(words.vocabularyOf(toks, vocabulary{}), toks, p, new(space))
		followed.follow()
		if got, want := g.constructs(p.Objects), followed.constructs(p.Objects); !reflect.DeepEqual(got, want) {
			t.Fatalf("nothing comes in, and following it gives other constructs: got %+v, want %+v", got, want)
		}
	})
}

// shortcutNames are names of pages in each language.
var shortcutNames = []string{"a.aspx", "a.asp", "a.jsp", "a.php", "a.asmx", "a"}

// TestListBehindAValue has lists that stand in an assignment behind something else: the
// question whether there is anything to fold says yes to them as well.
func TestListBehindAValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, code string }{
		{"x.aspx", "<" + "%@ Page Language=\"JScript\" %" + "><" + "% var p = \"x\" && new Array(\"a\", \"b\"); f(p[0]); %" + ">"},
		{"x.php", "<" + "?php $p = '1' ? array('a', 'b') : 0; f($p[0]); ?" + ">"},
	} {
		p := page.Split(page.Decode([]byte(c.code)), c.name)
		toks, _ := p.Tokens(nil)
		asked, all := folder{budget: maxFolded, pairs: new(pairs)}, folder{budget: maxFolded, pairs: new(pairs)}
		want := all.foldAll(slices.Clone(toks))
		if got := asked.fold(slices.Clone(toks)); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", c.name, got, want)
		}
		if slices.Equal(want, toks) {
			t.Errorf("%s: nothing is folded", c.name)
		}
	}
}
