package sigma

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"postern"
)

// ruleText puts a detection into the frame of a rule. The detection starts at
// line 5 of the document.
func ruleText(detection string) string {
	return "title: test\nid: t\nlogsource: {category: test}\ndetection:\n" + indent(detection)
}

func indent(s string) string {
	var b strings.Builder
	for _, line := range strings.Split(strings.Trim(s, "\n"), "\n") {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}

// one is a rule with one selection of the given lines.
func one(lines string) string {
	return ruleText("sel:\n" + indent(lines) + "condition: sel")
}

func mustCompile(t testing.TB, src string) *Rule {
	t.Helper()
	r, err := Compile([]byte(src), nil)
	if err != nil {
		t.Fatalf("Compile: %v\n%s", err, src)
	}
	return r
}

// event makes an event of pairs of name and value.
func event(pairs ...string) *postern.Event {
	ev := &postern.Event{Source: "test"}
	for i := 0; i+1 < len(pairs); i += 2 {
		ev.Fields = append(ev.Fields, postern.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return ev
}

func anywhere(LogSource) []string { return []string{"*"} }

// matches evaluates a rule alone and in a set, which must agree.
func matches(t testing.TB, r *Rule, ev *postern.Event) bool {
	t.Helper()
	alone := r.Match(ev, nil)
	inSet := len(NewSet([]*Rule{r}, anywhere, nil).Eval(ev, nil)) > 0
	if alone != inSet {
		t.Errorf("rule matches alone: %v, in a set: %v", alone, inSet)
	}
	if alone {
		for _, n := range r.Needs() {
			if !n.fulfilled(ev) {
				t.Errorf("matches without its need %+v", n)
			}
		}
	}
	return alone
}

// fulfilled is the promise of Needs, as a gate over bytes would check it: case
// is folded in ASCII only.
func (n Need) fulfilled(ev *postern.Event) bool {
	var values []string
	for _, list := range [][]postern.Field{ev.Derived, ev.Fields} {
		for _, f := range list {
			if strings.EqualFold(strings.ReplaceAll(f.Name, " ", ""), strings.ReplaceAll(n.Field, " ", "")) {
				values = append(values, f.Value)
			}
		}
		if values != nil {
			break
		}
	}
	if n.Field == "" {
		values = []string{ev.Raw}
		for _, list := range [][]postern.Field{ev.Fields, ev.Derived} {
			for _, f := range list {
				values = append(values, f.Value)
			}
		}
	}
	for _, v := range values {
		v = lowerASCII(v)
		for _, l := range n.Literals {
			if n.Exact && v == l || !n.Exact && strings.Contains(v, l) {
				return true
			}
		}
	}
	return false
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v (%T), want an *Error", err, err)
	}
	return e
}
