package sigma

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestIndex compares the index with looking for each literal by itself. The
// alphabet is so small that most windows are shared.
func TestIndex(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Where all literals are long, the index leaves places out.
		least := rapid.SampledFrom([]int{0, 0, 4, 5, 6, 8, 11, 13}).Draw(t, "least")
		texts := rapid.StringMatching(fmt.Sprintf(`[abé]{%d,%d}`, least, least+9))
		literals := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) literal {
			l := literal{text: texts.Draw(t, "text")}
			l.start, l.end = rapid.Bool().Draw(t, "start"), rapid.Bool().Draw(t, "end")
			if l.text == "" {
				l.start, l.end = true, true
			}
			return l
		}), 1, 80).Draw(t, "literals")
		var b builder
		for i, l := range literals {
			b.add(l, int32(i))
		}
		x := b.build(rapid.SampledFrom([]string{"", "aaa1aba2bbb5"}).Draw(t, "rates"))
		for range 10 {
			v := rapid.StringMatching(`[abé]{0,15}`).Draw(t, "value")
			if rapid.Bool().Draw(t, "holds one") {
				v += rapid.SampledFrom(literals).Draw(t, "one").text + rapid.StringMatching(`[abé]{0,9}`).Draw(t, "rest")
			}
			marks := make([]uint64, 2)
			x.scan([]byte(v), marks)
			for i, l := range literals {
				want := strings.Contains(v, l.text)
				switch {
				case l.start && l.end:
					want = v == l.text
				case l.start:
					want = strings.HasPrefix(v, l.text)
				case l.end:
					want = strings.HasSuffix(v, l.text)
				}
				if got := marks[i/64]>>(i%64)&1 == 1; got != want {
					t.Fatalf("%+v in %q: got %v, want %v", l, v, got, want)
				}
				if upper := event("F", strings.ToUpper(v)); want && x.loose && !x.may(upper) {
					t.Fatalf("%+v in %q: not seen before it is folded", l, upper.Fields[0].Value)
				}
			}
		}
	})
}

func TestRequired(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr, flags string
		want        []string
	}{
		{`cmd\.exe`, "", []string{"cmd.exe"}},
		{`CMD\.exe`, "i", []string{"cmd.exe"}},
		{`(cmd|powershell)\.exe`, "", []string{"cmd.exe", "powershell.exe"}},
		{`^/owa/.*\.as[hp]x$`, "", []string{"/owa/"}},
		{`\.as[hp]x`, "", []string{".ashx", ".aspx"}},
		{`[0-9]+\.aspx`, "", []string{".aspx"}},
		{`a.b`, "", []string{"a"}},
		{`(abc)+`, "", []string{"abc"}},
		{`(abc)*`, "", nil},
		{`(abc){2}`, "", []string{"abcabc"}},
		{`(abc){2,}`, "", []string{"abc"}},
		{`(abc){0,2}x`, "", []string{"x"}},
		{`colou?r`, "", []string{"color", "colour"}},
		{`foo|.*`, "", nil},
		{`foo|bar.*`, "", []string{"bar", "foo"}},
		{`\d+`, "", nil},
		{`éa`, "", []string{"éa"}},
		{`éa`, "i", nil},
		{`\x{fffd}abc`, "", nil},
		{`(?i)Sk`, "", []string{"sk"}},
		{``, "", nil},
	} {
		re, _, err := compileRegexp(0, c.expr, c.flags)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		var got []string
		for _, g := range re.guards {
			got = append(got, string(g))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s with %q: got %q, want %q", c.expr, c.flags, got, c.want)
		}
	}
}

// TestLeast draws texts that an expression matches: none is shorter than what is said of
// it, and the one given is as short.
func TestLeast(t *testing.T) {
	t.Parallel()
	for expr, short := range map[string]string{
		`\s[a-fA-F0-9]{4}\s[a-f]{2,}`: " 12ab ab",
		`(cmd|powershell)\.exe`:       "cmd.exe",
		`(?i)ka?.`:                    "kx",
		`^a+b*(c?|dd){3}$`:            "a",
		`(ab|c{3}|)x`:                 "x",
		`\bend\b.`:                    "end.",
		``:                            "",
		`[^a]{3}|..`:                  "bb",
	} {
		re, _, err := compileRegexp(0, expr, "")
		if err != nil {
			t.Fatal(err)
		}
		if re.least != len(short) {
			t.Errorf("%s: got %d, want %d", expr, re.least, len(short))
		}
		rapid.Check(t, func(t *rapid.T) {
			if text := rapid.StringMatching(expr).Draw(t, "text"); len(text) < re.least {
				t.Errorf("%s: %q is shorter than %d", expr, text, re.least)
			}
		})
	}
}

// TestRow compares what is looked for before an expression runs with the expression.
func TestRow(t *testing.T) {
	t.Parallel()
	for expr, n := range map[string]int{
		`\s[a-fA-F0-9]{64}\s[a-f0-9]{16}`: 64,
		`(?i)x(b|c)?([a-dé]{17,})y`:       17,
		`([ab]{18}c)+`:                    18,
		`(?:[ab]{20}){2}`:                 20,
		`[^a]{20}`:                        0,
		`.{20}`:                           0,
		`([ab]{18}c)*`:                    0,
		`([ab]{18}c)?`:                    0,
		`[ab]{18}|c`:                      0,
		`[ab]{15}`:                        0,
	} {
		re, _, err := compileRegexp(0, expr, "")
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		if re.row != nil {
			got = re.row.n
		}
		if got != n {
			t.Errorf("%s: got %d, want %d", expr, got, n)
		}
		if n == 0 {
			continue
		}
		rapid.Check(t, func(t *rapid.T) {
			if text := rapid.StringMatching(".{0,20}("+expr+").{0,20}").Draw(t, "text"); !re.row.in(text) {
				t.Errorf("%s: nothing seen in %q", expr, text)
			}
			text := rapid.StringMatching(`[abxé]{0,60}`).Draw(t, "other text")
			want, run := false, 0
			for i := range len(text) {
				if run++; !re.row.has[text[i]] {
					run = 0
				}
				want = want || run == n
			}
			if got := re.row.in(text); got != want {
				t.Errorf("%s in %q: got %v, want %v", expr, text, got, want)
			}
		})
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines, condition string
		want             string
	}{
		{"s: {F: Abc}", "s", "F=abc"},
		{"s: {F|contains: '/ECP/'}", "s", "F~/ecp/"},
		{"s: {F|contains: [ab, abc, xy]}", "s", "F~ab,xy"},
		{"s: {F: 'a*bcd?e'}", "s", "F~bcd"},
		{"s: {F|contains|all: [ab, bcd]}", "s", "F~bcd F~ab"},
		{"s: {F|contains: a, G: bc}", "s", "G=bc F~a"},
		{"s: {F|contains: abc}\nt: {F|contains: xyz}", "s or t", "F~abc,xyz"},
		{"s: {F|contains: abc}\nt: {G|contains: xyz}", "s or t", "~abc,xyz"},
		{"s: {F|contains: abc, G: x}\nt: {F|contains: xyz, G: y}", "s or t", "F~abc,xyz G=x,y"},
		{"s: {F|contains: abc}\nt: {G|contains: xyz}", "s and not t", "F~abc"},
		{"s: {F|contains: abc}", "not s", ""},
		{"s: {F|contains: abc}", "not not s", "F~abc"},
		{"s: {F|contains: abc}\nt: {G|contains: xyz}", "not (s or not t)", "G~xyz"},
		{"s: {F|contains: abc}\nt: {G|contains: xyz}", "not (not s and t)", ""},
		{"s: {F|neq: abc}", "s", ""},
		{"s: {F: [null, abc]}", "s", ""},
		{"s: {F: ''}", "s", ""},
		{"s: {F: '*'}", "s", ""},
		{"s: {F|gt: 1, G: x}", "s", "G=x"},
		{"s: {F|cidr: 10.0.0.0/8}", "s", ""},
		{"s: {F|exists: true}", "s", ""},
		{"s: {F|fieldref: G}", "s", ""},
		{"s: {F|re: 'x(cmd|sh)\\.exe'}", "s", "F~xsh.exe,xcmd.exe"},
		{"s: {F|cased: AbC}", "s", "F=abc"},
		{"s: [abc, xyz]", "s", "~abc,xyz"},
		{"s: [abc]\nt: {F: x}", "s and t", "~abc F=x"},
		{"s: {F|contains|windash: ' -enc'}", "s", "F~enc"}, // the other dashes are not ASCII
		{"s: {F: 'éabcé'}", "s", "F~abc"},
		{"s: {F: 'é'}", "s", ""},
		{"s: {F|base64offset|contains: 'abc'}", "s", "F~fiy,hym,ywjj"},
		{"s: {F|contains: abc}\nt: {F|contains: xyz}", "1 of them", "F~abc,xyz"},
		{"s: {F: 4624}", "s", "F=4624"},
	} {
		r := mustCompile(t, ruleText(c.lines+"\ncondition: "+c.condition))
		var all []string
		for _, n := range r.Needs() {
			sign := "~"
			if n.Exact {
				sign = "="
			}
			all = append(all, n.Field+sign+strings.Join(n.Literals, ","))
		}
		if got := strings.Join(all, " "); got != c.want {
			t.Errorf("%s, %s:\ngot  %s\nwant %s", c.lines, c.condition, got, c.want)
		}
	}
}
