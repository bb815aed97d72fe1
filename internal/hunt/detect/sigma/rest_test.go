package sigma

import (
	"fmt"
	"strings"
	"testing"
)

// TestRest says what is left to ask of a rule that was found; that it decides as the
// whole rule does is for TestSetIsRuleByRule.
func TestRest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ detection, left string }{
		{"s: {F|endswith: \\cmd.exe}\ncondition: s", ""},
		{"s: {F|endswith: [\\cmd.exe, \\pwsh.exe], G|contains: secret}\ncondition: s", ""},
		{"s: {F|endswith: \\cmd.exe, G|contains: secret, H|startswith: other}\ncondition: s", "H"},
		{"s: [{F|endswith: \\cmd.exe}, {G: cmd.exe}]\ncondition: s", ""},
		{"s: {F|endswith: \\cmd.exe}\nt: {G: admin}\ncondition: s and not t", "not G"},
		{"s: {F|contains|all: [secret, other]}\ncondition: s", "F"},
		{"s: {F|contains|all: [secret]}\ncondition: s", ""},
		{"s: {F|cased: Secret}\ncondition: s", "F"},
		{"s: {F: 'secret*other'}\ncondition: s", "F"},
		{"s: {F|re: secret}\ncondition: s", "F"},
		{"s: [secret]\ncondition: s", "keyword"},
		{"s: {F: [secret, null]}\ncondition: s", "F"},
		{"s: {F|cidr: 10.0.0.0/8, G: secret}\ncondition: s", "F"},
		{"s: [{F: secret, H: other}, {G: hidden}]\ncondition: s", "G or (F and H)"},
	} {
		g := NewSet([]*Rule{mustCompile(t, ruleText(c.detection))}, anywhere, nil).group("")
		got := ""
		if g.rests[0].step >= 0 {
			got = written(g, g.rests[0].step)
		}
		if got != c.left {
			t.Errorf("%s: got %q, want %q", c.detection, got, c.left)
		}
	}
}

// written writes a condition with the names of its fields.
func written(g *group, at int32) string {
	st := g.steps[at]
	switch {
	case st.op == opItem && st.slot == keyword:
		return "keyword"
	case st.op == opItem:
		return g.table.names[st.slot]
	case st.op == opNot:
		return "not " + written(g, at+1)
	}
	var kids []string
	for kid := at + 1; kid < st.next; kid = g.steps[kid].next {
		s := written(g, kid)
		if g.steps[kid].op == opAnd || g.steps[kid].op == opOr {
			s = fmt.Sprintf("(%s)", s)
		}
		kids = append(kids, s)
	}
	return strings.Join(kids, map[op]string{opAnd: " and ", opOr: " or "}[st.op])
}
