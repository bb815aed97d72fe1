package sigma

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// An expression that only counts characters gives what the engine gives.
func TestRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr, flags string
		run         bool
	}{
		{".{3,}", "", true}, {".{3}", "", true}, {".{2,4}", "s", true}, {".{0,}", "", true},
		{"^.{3,}", "", false}, {".+", "", false}, {"a{3,}", "", false}, {".{3,}x", "", false},
	} {
		got, ok := compileRun(c.expr, c.flags)
		if ok != c.run {
			t.Errorf("%q: a run %v, want %v", c.expr, ok, c.run)
		}
		if !ok {
			continue
		}
		re := regexp.MustCompile("(?" + c.flags + ":" + c.expr + ")")
		if c.flags == "" {
			re = regexp.MustCompile(c.expr)
		}
		for _, s := range []string{"", "ab", "abc", "a\nbc", "a\nbcd", "äöü", "\xff\xfe\xfd", "ab\n", "abcde"} {
			v := &view{values: []value{{text: s}}}
			if want := re.MatchString(s); got.match(v, 0) != want {
				t.Errorf("%q with flags %q in %q: %v, want %v", c.expr, c.flags, s, !want, want)
			}
		}
	}
}

// Folding eight bytes at a time gives what folding one at a time gives.
func TestFoldInWords(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringMatching(`[@-\[`+"`"+`-{ -~]{0,40}`), rapid.String()).Draw(t, "s")
		var want strings.Builder
		for _, r := range s {
			want.WriteRune(foldRune(r))
		}
		if got := string(appendFold([]byte("x"), s)); got != "x"+want.String() {
			t.Fatalf("%q: %q, want %q", s, got[1:], want.String())
		}
	})
}
