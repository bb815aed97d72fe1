package webfile

import (
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	page "postern/internal/hunt/parse/webfile"
)

// TestIdlePagesDoNothing draws pages of the words that the analysis knows, in pieces, with
// escapes, coded and under names, and asks of each that the brief analysis says what the
// whole one does.
func TestIdlePagesDoNothing(t *testing.T) {
	t.Parallel()
	d := New(knowledge())
	pages := 20_000
	if testing.Short() {
		pages = 2_000
	}
	draw := newDrawing(d.words, rand.New(rand.NewPCG(2021, 3)))
	idle, busy := 0, 0
	for i := range pages {
		name := shortcutNames[i%len(shortcutNames)]
		content := draw.page(name)
		if sameBrief(t, d, []byte(content), name) {
			idle++
		} else {
			busy++
		}
	}
	if idle < pages/20 || busy < pages/20 {
		t.Errorf("%d pages were idle and %d were not: one kind was hardly asked about", idle, busy)
	}
}

// FuzzIdle asks the same of any bytes.
func FuzzIdle(f *testing.F) {
	d := New(knowledge())
	draw := newDrawing(d.words, rand.New(rand.NewPCG(2022, 5)))
	for i := range 10 * len(shortcutNames) {
		f.Add([]byte(draw.page(shortcutNames[i%len(shortcutNames)])), uint8(i))
	}
	f.Add([]byte("<"+"?php const A = 'ex'.'ec'; A('x'); ?>"), uint8(3))
	f.Add([]byte("#@~^AAAAAA==abc^#~@"), uint8(1))
	f.Add([]byte("<x:script implements-prefix='y'>"), uint8(5))
	f.Fuzz(func(t *testing.T, content []byte, which uint8) {
		if len(content) > 16<<10 {
			t.Skip("large inputs cost time")
		}
		sameBrief(t, d, content, shortcutNames[int(which)%len(shortcutNames)])
	})
}

// sameBrief compares the brief analysis of a page with the whole one, and says whether the
// page is idle.
func sameBrief(t *testing.T, d *Detector, content []byte, name string) (idle bool) {
	t.Helper()
	p := page.Split(page.Decode(content), name)
	brief, whole := d.analyse(p, true), d.analyse(p, false)
	if reflect.DeepEqual(brief, whole) {
		return false
	}
	if whole.score != 0 || len(whole.constructs) != 0 {
		t.Fatalf("%s: a page that does something is taken for idle: score %d, %+v\n%s", name, whole.score, whole.constructs, content)
	}
	if brief.score != 0 || len(brief.constructs) != 0 || brief.cut != whole.cut || brief.tokens != whole.tokens || brief.dotNet != whole.dotNet {
		t.Fatalf("%s: got %+v, want %+v\n%s", name, brief, whole, content)
	}
	return true
}

// drawing draws pages.
type drawing struct {
	*rand.Rand
	words, strings, calls []string
}

func newDrawing(x *lexicon, r *rand.Rand) *drawing {
	d := &drawing{Rand: r, calls: slices.Sorted(maps.Keys(pureCalls))}
	for _, w := range x.words[1:] {
		if w[0] != '#' {
			d.words = append(d.words, w)
		}
	}
	slices.Sort(d.words) // they are learned out of maps
	d.words = append(d.words, slices.Sorted(maps.Keys(requestMembers))...)
	d.words = append(d.words, slices.Sorted(maps.Keys(registryHives))...)
	d.strings = append(d.strings, slices.Sorted(maps.Keys(comClasses))...)
	d.strings = append(d.strings, slices.Sorted(maps.Keys(dangerousPHP))...)
	d.strings = append(d.strings, "_GET", "_POST", "php://input", "xp_"+"cmdshell", "/x/e", "/x/i", "x.aspx", "x.php", "machineKeySection", "unsafe", "a", "jpg",
		"x(y) [z]", "<"+"%= 1 %"+">", "<"+"?php 1; ?"+">", "<script runat=server>x()</script>", "ev"+"al(x)", "Function", packed("ev"+"al(x)"), strings.Repeat("QUJD", 20))
	return d
}

// packed is a program in the form of gzip.
func packed(program string) string {
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(program)) // a builder does not fail
	_ = z.Close()
	return b.String()
}

func (d *drawing) of(list []string) string { return list[d.IntN(len(list))] }

// page draws one page: a few statements, in the brackets of its engine.
func (d *drawing) page(name string) string {
	var b strings.Builder
	for range 1 + d.IntN(6) {
		b.WriteString(d.statement(name))
	}
	code := b.String()
	switch {
	case strings.HasSuffix(name, ".php"):
		return "<" + "?php " + code
	case strings.HasSuffix(name, ".asmx"):
		return "<" + "%@ WebService Class=\"A\" %" + ">\nclass A { " + code + " }"
	case d.IntN(4) == 0:
		return d.of([]string{"", "#@~^AAAAAA==abc^#~@", "<msxsl:script>1</msxsl:script>"}) + "<" + "%@ Page Language=\"" + d.of([]string{"C#", "VB", "JScript", "VBScript"}) + "\" %" + ">\n<asp:TextBox id=\"t\" runat=\"server\"/><asp:FileUpload id=\"u\" runat=\"server\"/><script runat=\"server\">" + code + "</script>"
	}
	return "<" + "% " + code + " %" + ">"
}

func (d *drawing) statement(name string) string {
	end := d.of([]string{"; ", "; ", "\n"})
	switch d.IntN(9) {
	case 0, 1:
		return d.variable(name) + " = " + d.expression(name, 2) + end
	case 2:
		return d.variable(name) + d.of([]string{"(", "[1](", "->", "."}) + d.expression(name, 2) + ")" + end
	case 3:
		return "$this->" + d.of([]string{"a", "b"}) + " = " + d.expression(name, 1) + end
	case 4:
		return strings.ReplaceAll(d.of(drawnStatements), "@", d.expression(name, 1)) + end
	case 5:
		return d.variable(name) + " = array(" + d.constant() + ", " + d.constant() + ")" + end
	}
	return d.expression(name, 3) + end
}

// drawnStatements are of constructs that take more than a word.
var drawnStatements = []string{
	"$_GET['f'](@)", "preg_replace('/x/e', @, $a)", "array_map(\"ass" + "ert\", @)",
	"p.StartInfo.FileName = @", "i.Arguments = @", "c.CommandText = @", "c.ConnectionString = @",
	"Registry.LocalMachine.GetSubKeyNames(Registry.ClassesRoot, Registry.CurrentUser, @)",
	"File.Delete(t.Text)", "File.Delete(t.Value + @)", "u.SaveAs(u.FileName)", "File.Delete(a.PostedFile.FileName)", "[WebMethod] string f(string s) { File.Delete(s); }",
	"this[\"ev" + "al\"](@)", "Function(@)", "function f(a) { return @; }", "CreateObject(@).Run(@)", "include $_GET['p']", "MachineKeySection.ValidationKey",
}

func (d *drawing) variable(name string) string {
	v := d.of([]string{"a", "b", "c"})
	if strings.HasSuffix(name, ".php") && d.IntN(4) > 0 {
		return "$" + v
	}
	return v
}

func (d *drawing) expression(name string, depth int) string {
	if depth == 0 {
		return d.constant()
	}
	switch d.IntN(8) {
	case 0:
		return d.constant()
	case 1:
		return d.expression(name, depth-1) + d.of([]string{" . ", " + ", " & "}) + d.expression(name, depth-1)
	case 2:
		return d.variable(name)
	case 3:
		return d.of(d.calls) + "(" + d.constant() + ")"
	case 4:
		return d.of(d.words) + "." + d.of(d.words) + "(" + d.expression(name, depth-1) + ")"
	case 5:
		return d.of([]string{"$_GET", "$_POST", "$_FILES", "Request.Form", "request.getParameter"}) + d.of([]string{"['k']", "(\"k\")", ""})
	case 6:
		return "new " + d.of(d.words) + "(" + d.expression(name, depth-1) + ", " + d.constant() + ")"
	}
	return d.of(d.words) + "(" + d.expression(name, depth-1) + ")"
}

// constant draws a string: as it is, in pieces, with escapes, coded or turned around.
func (d *drawing) constant() string {
	s := d.of(d.strings)
	if d.IntN(3) == 0 {
		s = d.of(d.words) + d.of([]string{"", "(x)", "($_GET[0])"})
	}
	quote := d.of([]string{"'", "\""})
	quoted := func(s string) string { return quote + s + quote }
	switch d.IntN(7) {
	case 0:
		n := d.IntN(len(s))
		return quoted(s[:n]) + d.of([]string{" . ", " + ", " & "}) + quoted(s[n:])
	case 1:
		n := d.IntN(len(s))
		return "\"" + s[:n] + fmt.Sprintf(d.of([]string{"\\x%02x", "\\u%04x", "\\%03o"}), s[n]) + s[n+1:] + "\""
	case 2:
		return d.of([]string{"base64_decode", "FromBase64String"}) + "(" + quoted(base64.StdEncoding.EncodeToString([]byte(s))) + ")"
	case 3:
		return d.of([]string{"strrev", "StrReverse"}) + "(" + quoted(reverse(s)) + ")"
	case 4:
		return "(" + quoted(s) + ")"
	}
	return quoted(s)
}
