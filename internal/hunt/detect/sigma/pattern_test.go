package sigma

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseText(t *testing.T) {
	t.Parallel()
	// The escaping rules of the specification; * and ? in the result are wildcards,
	// <> surrounds literals.
	for _, c := range []struct{ in, want string }{
		{`plain`, `<plain>`},
		{``, ``},
		{`a*b?c`, `<a>*<b>?<c>`},
		{`C:\Windows\x`, `<C:\Windows\x>`},
		{`C:\\Windows\\x`, `<C:\Windows\x>`},
		{`\*`, `<*>`},
		{`\?`, `<?>`},
		{`\\*`, `<\>*`},
		{`\\?`, `<\>?`},
		{`\\\*`, `<\*>`},
		{`\\\\`, `<\\>`},
		{`\\\`, `<\\>`},
		{`\\\x`, `<\\x>`},
		{`\\\\*`, `<\\>*`},
		{`\\\\x`, `<\\x>`},
		{`ends\`, `<ends\>`},
		{`\`, `<\>`},
		{`**`, `**`},
		{`\d+`, `<\d+>`},
	} {
		var b strings.Builder
		for _, p := range parseText(c.in) {
			if p.wild != 0 {
				b.WriteByte(p.wild)
			} else {
				fmt.Fprintf(&b, "<%s>", p.lit)
			}
		}
		if b.String() != c.want {
			t.Errorf("%s: got %s, want %s", c.in, b.String(), c.want)
		}
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want shape
	}{
		{`a`, shapeExact}, {``, shapeExact}, {`\*`, shapeExact},
		{`a*`, shapePrefix}, {`a**`, shapePrefix}, {`*a`, shapeSuffix}, {`*a*`, shapeContains},
		{`*`, shapeAny}, {`**`, shapeAny},
		{`?`, shapeGlob}, {`a?`, shapeGlob}, {`a*b`, shapeGlob}, {`*a*b`, shapeGlob}, {`*?`, shapeGlob},
	} {
		if p := compileText(parseText(c.in), false); p.shape != c.want {
			t.Errorf("%s: got shape %d, want %d", c.in, p.shape, c.want)
		}
	}
}

func TestPatternMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, value string
		want           bool
	}{
		{`a?c`, `abc`, true}, {`a?c`, `ac`, false}, {`a?c`, `aéc`, true}, {`a?c`, "a\xffc", true},
		{`?`, ``, false}, {`*`, ``, true}, {`?*`, ``, false}, {`?*`, `x`, true},
		{`a*b*c`, `a-b-b-c`, true}, {`a*b*c`, `acb`, false}, {`a*b`, `ab`, true}, {`aa*a`, `aa`, false},
		{`*ab?`, `abab`, false}, {`*ab?`, `ababx`, true}, {`*a?b*`, `xaab`, true}, {`*?b`, `éb`, true},
		{`*.as?x`, `/owa/Shell.ASPX`, true}, {`*.as?x`, `/owa/shell.aspx.txt`, false},
		{`*??k*`, `–k`, false}, {`*?–*??`, `a–é`, false}, {`*??`, `é`, false}, {`*??`, `éa`, true}, {`x*?`, `x`, false},
	} {
		p := compileText(parseText(c.pattern), false)
		if got := p.match([]byte(fold(c.value))); got != c.want {
			t.Errorf("%s on %q: got %v, want %v", c.pattern, c.value, got, c.want)
		}
	}
}

// TestGlobIsRegexp compares the wildcard search with the same thing said as a
// regular expression.
func TestGlobIsRegexp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune(`ab**??é–`)), 0, 10, -1).Draw(t, "pattern")
		value := rapid.StringOfN(rapid.SampledFrom([]rune(`abé–`)), 0, 12, -1).Draw(t, "value")
		re := regexp.MustCompile(`(?s)\A(?:` + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + `)\z`)
		p := compileText(parseText(pattern), false)
		if got, want := p.match([]byte(value)), re.MatchString(value); got != want {
			t.Fatalf("%s on %q: got %v, want %v", pattern, value, got, want)
		}
		if l, ok := p.literal(); ok && p.match([]byte(value)) && !strings.Contains(value, l.text) {
			t.Fatalf("%s matches %q without its literal %q", pattern, value, l.text)
		}
	})
}

func TestFold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"ABC-xyz[", "abc-xyz["}, {"ÉÑ", "éñ"}, {"\u212a", "\u212a"}, {"İ", "İ"}, {"A\xffB", "a\xffb"}, {"É\xe9Z", "é\xe9z"},
	} {
		if got := fold(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}
