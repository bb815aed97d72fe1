package yara

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// generator makes conditions that libyara accepts. It leaves out what libyara 4.2
// reads otherwise than its manual: "for none", and a count of 0 in a loop; and the
// count in a range, at which Debian's stops with an error of its own.
type generator struct {
	r    *rand.Rand
	vars []string // of the loops around
	self bool     // inside "for … of"
}

// stringsOf is the strings section of every generated rule.
const stringsOf = `strings: $a = "ab" $b = "Xy" nocase wide ascii $c = { 00 ?1 [0-3] 02 } $d = /c[de]{1,3}f?/ $e1 = "never there" $e2 = "q" fullword $g1 = "<ab" nocase wide ascii $g2 = "<a" fullword `

var stringNames = []string{"a", "b", "c", "d", "e1", "e2", "g1", "g2"}

func (g *generator) pick(options ...string) string { return options[g.r.IntN(len(options))] }

func (g *generator) str() string {
	if g.self && g.r.IntN(2) == 0 {
		return ""
	}
	return g.pick(stringNames...)
}

func (g *generator) set() string {
	return g.pick("them", "($a,$b)", "($e*)", "($a,$c,$d,$e1)", "($*)", "($a,$a)", "($d)", "($g*)", "($g1,$e1)")
}

func (g *generator) quantifier() string {
	return g.pick("any", "all", "1", "2", "3", "(#a + 1)")
}

// between gives a range. One of constants must go up.
func (g *generator) between(depth int) string {
	if depth == 0 || g.r.IntN(2) == 0 {
		from := g.r.IntN(40)
		return fmt.Sprintf("(%d..%d)", from, from+1+g.r.IntN(60))
	}
	return fmt.Sprintf("(%s..filesize)", g.small(depth-1))
}

// small gives a number that is no constant to libyara's parser.
func (g *generator) small(depth int) string {
	if depth <= 0 {
		return g.pick("#a", "#d", "(filesize - 3)", "uint8(0)")
	}
	return fmt.Sprintf("(%s + %d)", g.pick("#a", "#d", "uint8(1)", "@a[1]", "!b[1]"), g.r.IntN(5))
}

func (g *generator) integer(depth int) string {
	if depth <= 0 {
		options := []string{strconv.Itoa(g.r.IntN(100)), "0x" + strconv.FormatInt(int64(g.r.IntN(1<<16)), 16), "filesize", "1KB",
			"#" + g.str(), "@" + g.str(), "!" + g.str(), "uint8(0)", "int8(3)", "uint16be(1)", "int32(4)", "uint32(2)", "int16be(filesize)", "uint8(-1)"}
		return g.pick(append(options, g.vars...)...)
	}
	d := depth - 1
	switch g.r.IntN(9) {
	case 0:
		return fmt.Sprintf("(%s %s %s)", g.integer(d), g.pick("+", "-", "*", "&", "|", "^"), g.small(d))
	case 1:
		return fmt.Sprintf("%s %s %s", g.integer(d), g.pick("+", "-", "*", "&", "|", "^"), g.small(d))
	case 2:
		return fmt.Sprintf("%s %s (%s)", g.integer(d), g.pick("\\", "%", "<<", ">>"), g.small(d))
	case 3:
		return g.pick("-", "~") + "(" + g.integer(d) + ")"
	case 5:
		return fmt.Sprintf("%s%s[%s]", g.pick("@", "!"), g.str(), g.small(d))
	case 6:
		return fmt.Sprintf("%s(%s)", g.pick("uint8", "uint16", "int32be", "int8be", "uint32be"), g.integer(d))
	case 7:
		return g.pick("math.max(#a, 2)", "math.min(#d, filesize)")
	}
	return g.integer(0)
}

func (g *generator) float(depth int) string {
	return g.pick("0.5", "3.25", "math.entropy(0, filesize)", "math.mean(0, filesize)", "math.entropy(filesize, 10)", "(1.5 * #a)", "math.deviation(0, filesize, 64.0)")
}

func (g *generator) text() string {
	return g.pick(`"ab"`, `"AB"`, `""`, `"a\x00b"`, "filename", "extension", "filepath", `hash.md5(0, filesize)`, `hash.md5(filesize, 1)`, `"\xff"`)
}

func (g *generator) boolean(depth int) string {
	if depth <= 0 {
		return g.pick("true", "false", "$"+g.str(), "#"+g.str()+" > 1", "filesize > 20", "$"+g.str()+" at 0", "@"+g.str()+" < 9")
	}
	d := depth - 1
	switch g.r.IntN(20) {
	case 0, 1:
		return fmt.Sprintf("(%s and %s)", g.boolean(d), g.boolean(d))
	case 2, 3:
		return fmt.Sprintf("%s or %s", g.boolean(d), g.boolean(d))
	case 4:
		return fmt.Sprintf("%s and %s", g.boolean(d), g.boolean(d))
	case 5, 6:
		return "not " + g.boolean(d)
	case 7:
		return "defined " + g.pick(g.integer(d), g.text(), g.float(d))
	case 8, 9:
		return fmt.Sprintf("%s %s %s", g.integer(d), g.comparison(), g.integer(d))
	case 10:
		return fmt.Sprintf("%s %s %s", g.float(d), g.comparison(), g.pick(g.float(d), g.integer(d)))
	case 11:
		return fmt.Sprintf("%s %s %s", g.text(), g.pick("==", "!=", "<", ">", "<=", ">=", "contains", "icontains", "startswith",
			"istartswith", "endswith", "iendswith", "iequals"), g.text())
	case 12:
		return fmt.Sprintf("%s matches %s", g.text(), g.pick("/a.?b/", "/A/i", "/^page/i", "/x$/", "/[0-9a-f]{32}/"))
	case 13:
		return fmt.Sprintf("$%s at %s", g.str(), g.integer(d))
	case 14:
		return fmt.Sprintf("$%s in %s", g.str(), g.between(d))
	case 15:
		return fmt.Sprintf("%s of %s%s", g.pick("any", "all", "none", "1", "2", "#a"), g.set(), g.pick("", "", " in "+g.between(d)))
	case 16:
		return fmt.Sprintf("%d%% of %s", 1+g.r.IntN(100), g.set())
	case 17:
		return g.forOf(d)
	case 18:
		return g.forIn(d)
	}
	if g.self || len(g.vars) > 0 { // a number counts as many rounds in libyara's loops
		return g.integer(d) + " != 0"
	}
	return g.integer(d)
}

func (g *generator) comparison() string { return g.pick("==", "!=", "<", "<=", ">", ">=") }

func (g *generator) forOf(depth int) string {
	if g.self || len(g.vars) > 1 { // libyara allows no second one inside, and four loops
		return g.boolean(depth)
	}
	set := g.set()
	q := g.quantifier()
	g.self = true
	body := g.boolean(depth)
	g.self = false
	return fmt.Sprintf("for %s of %s : (%s)", q, set, body)
}

func (g *generator) forIn(depth int) string {
	if len(g.vars) > 1 {
		return g.boolean(depth)
	}
	in := g.pick("(1..#a)", "(0..5)", "(1, #d, 7)", "(2..1+#a)", "(@a..filesize)", "(uint8(filesize)..3)")
	q := g.quantifier()
	name := fmt.Sprintf("v%d", len(g.vars))
	g.vars = append(g.vars, name)
	body := g.boolean(depth)
	g.vars = g.vars[:len(g.vars)-1]
	return fmt.Sprintf("for %s %s in %s : (%s)", q, name, in, body)
}

// generated writes rules, one a line behind the imports, and some that refer to
// those before. The module string came later than the oracle.
func generated(r *rand.Rand, n int) []string {
	lines := []string{`import "math" import "hash"`}
	for i := range n {
		g := &generator{r: r}
		condition := g.boolean(1 + r.IntN(4))
		if i > 2 && r.IntN(4) == 0 {
			other := r.IntN(i)
			condition = fmt.Sprintf("%s %s (%s)", g.pick(fmt.Sprintf("r%d", other), fmt.Sprintf("not r%d", other), fmt.Sprintf("any of (r%d, r%d)", other, i-1)),
				g.pick("and", "or"), condition)
		}
		// Strings that the condition does not use are an error to libyara.
		lines = append(lines, fmt.Sprintf("%srule r%d { %s condition: (%s) or for all of them : (false) }", g.pick("", "", "", "private "), i, stringsOf, condition))
	}
	return lines
}

// samples are files on which generated rules are compared. yara does not look at
// empty ones.
func samples(r *rand.Rand) [][]byte {
	all := [][]byte{[]byte("."), []byte("ab"), []byte("xy abab cdef\x00\x01\x02 q X\x00y\x00 ceee"), bytes.Repeat([]byte("ab cd "), 20)}
	pieces := []string{"ab", "xY", "X\x00y\x00", "\x00\x11\x02", "\x00\x01..\x02", "cdddf", "ce", " q ", "qq", "\xff", "Z", "\n", "<ab", "<a "}
	begins := []string{"-", "-", "<AB", "\xef\xbb\xbf<ab", "<\x00a\x00b\x00", "<ax"}
	for range 12 {
		b := []byte(begins[r.IntN(len(begins))])
		for range r.IntN(25) {
			b = append(b, pieces[r.IntN(len(pieces))]...)
		}
		all = append(all, b)
	}
	return all
}

// variables are the external ones, on both sides.
var variables = [5]string{"Page.aspx", `\inetpub\Page.aspx`, ".aspx", "EXE", "x"}

// oracle gives the matches of a file of rules on a folder by yara: "rule file".
// Rules that it refuses are taken out of lines, which has one a line.
func oracle(t *testing.T, yara string, lines []string, dir string) (map[string]bool, []string) {
	t.Helper()
	var args []string
	for i, e := range externals {
		args = append(args, "-d", e+"="+variables[i])
	}
	file := filepath.Join(t.TempDir(), "rules.yar")
	args = append(args, "-w", "-r", file, dir)
	complaint := regexp.MustCompile(`rules\.yar\((\d+)\): `)
	for range 50 {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(yara, args...)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		out, err := c.Output()
		if strings.Contains(stderr.String(), "error scanning") {
			t.Fatalf("yara stops at a rule of its own accord: %s", stderr.String())
		}
		if err == nil {
			found := make(map[string]bool)
			for line := range strings.Lines(string(out)) {
				rule, name, _ := strings.Cut(strings.TrimSpace(line), " ")
				found[rule+" "+filepath.Base(name)] = true
			}
			return found, lines
		}
		lines = slices.Clone(lines)
		n := 0
		for _, m := range complaint.FindAllStringSubmatch(stderr.String(), -1) {
			if i, _ := strconv.Atoi(m[1]); i > 1 && lines[i-1] != "" {
				lines[i-1] = ""
				n++
			}
		}
		if n == 0 {
			t.Fatalf("yara: %v: %s", err, stderr.String())
		}
	}
	t.Fatal("yara refuses one rule after the other")
	return nil, nil
}

// TestConditionsAsYara compares generated conditions with Debian's yara, and each
// with and without guards and gates. POSTERN_YARA_SEEDS asks for more.
func TestConditionsAsYara(t *testing.T) {
	t.Parallel()
	yara, err := exec.LookPath("yara")
	if err != nil {
		t.Skip("yara is not installed (Debian: yara)")
	}
	seeds := 2
	if n, err := strconv.Atoi(os.Getenv("POSTERN_YARA_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		lines := generated(r, 300)
		dir := t.TempDir()
		data := samples(r)
		for i, b := range data {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, kept := oracle(t, yara, lines, dir)
		rules, report := compiled(t, map[string]string{"rules.yar": strings.Join(kept, "\n")})
		for _, u := range report.Unsupported {
			t.Errorf("seed %d: yara loads and we do not: %s: %s %v\n%s", seed, u.Rule, u.Why.Key, u.Why.Args, kept[max(u.Line-1, 0)])
		}
		for i, b := range data {
			in := input{data: b, size: int64(len(b)), external: variables, known: [5]bool{true, true, true, true, true}}
			s := rules.newScratch()
			out := rules.scan(t.Context(), s, &in)
			plain := rules.scanPlain(t.Context(), rules.newScratch(), &in)
			if !slices.Equal(out.matched, plain.matched) {
				t.Errorf("seed %d, file %d: %v with gates, %v without", seed, i, out.matched, plain.matched)
			}
			got := make(map[int32]bool)
			for _, m := range plain.matched {
				got[m] = true
			}
			for _, rule := range rules.rules {
				if w := want[fmt.Sprintf("%s f%d", rule.meta.Rule, i)]; w != got[rule.index] {
					t.Errorf("seed %d: got %v, yara says %v on %q for\n%s", seed, got[rule.index], w, b, kept[rule.meta.Line-1])
				}
			}
		}
		if t.Failed() {
			return
		}
		t.Logf("seed %d: %d of %d rules kept, %d matches", seed, rules.Len(), 300, len(want))
	}
}
