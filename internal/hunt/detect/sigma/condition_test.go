package sigma

import (
	"slices"
	"strings"
	"testing"

	"postern"
)

// TestConditions evaluates conditions over selections that each look for one
// letter; the event has the letters of the second column.
func TestConditions(t *testing.T) {
	t.Parallel()
	const selections = `
sel_a: {F: a}
sel_b: {F: b}
sel1_c: {F: c}
_hidden: {F: h}
x-y: {F: x}
other: {F: o}
keys:
  - k1
  - K2
words:
  '|all': [w1, w2]
maps:
  - F: m
    G: n
  - F: p
plain: single
`
	for _, c := range []struct {
		condition, letters string
		want               bool
	}{
		{"sel_a", "a", true},
		{"sel_a", "b", false},
		{"not sel_a", "b", true},
		{"sel_a and sel_b", "a", false},
		{"sel_a and sel_b", "a b", true},
		{"sel_a or sel_b", "b", true},
		// or binds least, then and, then not.
		{"sel_a or sel_b and other", "a", true},
		{"sel_a or sel_b and other", "b", false},
		{"(sel_a or sel_b) and other", "a", false},
		{"sel_b and other or sel_a", "a", true},
		{"not sel_a and sel_b", "b", true},
		{"not sel_a and sel_b", "a b", false},
		{"not sel_a or sel_b", "a b", true},
		{"not (sel_a or sel_b)", "o", true},
		{"not (sel_a and sel_b)", "a", true},
		{"not not sel_a", "a", true},
		{"sel_a AND NOT sel_b", "a", true},
		{"sel_a Or sel_b", "b", true},
		{"1 of sel_*", "b", true},
		{"1 of sel_*", "c", false},
		{"1 of sel*", "c", true},
		{"all of sel_*", "a", false},
		{"all of sel_*", "a b", true},
		{"any of sel_*", "a", true},
		{"1 of *_c", "c", true},
		{"1 of s*1*c", "c", true},
		{"1 of sel_a", "a", true},
		{"all of sel_a", "b", false},
		{"1 OF sel_*", "a", true},
		{"1  of   sel_*", "a", true},
		{"1 of them", "o", true},
		{"1 of them", "h", false}, // names with _ are not meant
		{"1 of _*", "h", true},
		{"1 of *", "h", false},
		{"_hidden", "h", true},
		{"all of them", "a b c h x o", false},
		{"all of them", "a b c x o k1 w1 w2 p single", true},
		{"not 1 of sel_*", "o", true},
		{"sel_a and not 1 of sel_b*", "a b", false},
		{"x-y", "x", true},
		{"( ( sel_a ) )", "a", true},
		{"(sel_a)or(sel_b)", "b", true},
		{"keys", "k2", true},
		{"keys", "k", false},
		{"words", "w1", false},
		{"words", "w1 w2", true},
		{"maps", "m", false},
		{"maps", "m n", true},
		{"maps", "p", true},
		{"plain", "single", true},
		{"[sel_a, sel_b]", "b", true}, // a list is or
		{"['sel_a and sel_b', other]", "a", false},
		{"['sel_a and sel_b', other]", "o", true},
	} {
		quoted := c.condition
		if !strings.HasPrefix(quoted, "[") {
			quoted = `"` + quoted + `"`
		}
		r := mustCompile(t, ruleText(selections+"condition: "+quoted))
		ev := event()
		for l := range strings.FieldsSeq(c.letters) {
			name := "F"
			if l == "n" {
				name = "G"
			}
			ev.Fields = append(ev.Fields, postern.Field{Name: name, Value: l})
		}
		if got := matches(t, r, ev); got != c.want {
			t.Errorf("%s on %q: got %v, want %v", c.condition, c.letters, got, c.want)
		}
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	src := ruleText("sel: {url|contains: /ecp/}\nsuccess: {status: [200, 241]}\ncondition: sel")
	r, err := Compile([]byte(src), map[string]string{"failed": "not success", "both": "sel and success"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Conditions(), []string{"both", "failed"}; !slices.Equal(got, want) {
		t.Errorf("Conditions: got %v, want %v", got, want)
	}
	aliases := map[string]map[string]string{"iis": {"url": "cs-uri", "Status": "sc-status"}}
	set := NewSet([]*Rule{r}, anywhere, aliases)
	for _, c := range []struct {
		status       string
		failed, both bool
	}{{"241", false, true}, {"500", true, false}} {
		ev := event("cs-uri", "/ecp/x.js", "sc-status", c.status)
		ev.Source = "iis"
		got := set.Eval(ev, nil)
		if len(got) != 1 {
			t.Fatalf("status %s: got %d matches, want 1", c.status, len(got))
		}
		m := got[0]
		if m.Holds("failed") != c.failed || m.Holds("both") != c.both || m.Holds("none") {
			t.Errorf("status %s: failed %v, both %v, none %v; want %v, %v, false",
				c.status, m.Holds("failed"), m.Holds("both"), m.Holds("none"), c.failed, c.both)
		}
		var alone Match
		if r.Match(event("url", "/ecp/x", "status", c.status), &alone); alone.Holds("failed") != c.failed {
			t.Errorf("alone, status %s: failed %v", c.status, !c.failed)
		}
	}
}

func TestDecidingFields(t *testing.T) {
	t.Parallel()
	r := mustCompile(t, ruleText(`
url: {Url|contains: ecp, Method: POST}
agent: {Agent|contains: curl}
gone: {User: null}
same: {A|fieldref: B}
words: [needle]
filter: {Url: /ok}
condition: (url or agent or same or words) and gone and not filter`))
	for _, c := range []struct {
		ev   *postern.Event
		want string
	}{
		{event("URL", "/ecp/", "method", "post"), "URL method"},
		{event("Url", "/ecp/", "Method", "POST", "Agent", "curl/7"), "Url Method Agent"},
		{event("Agent", "curl/7", "Url", "/ecp"), "Agent"},
		{event("a", "x", "b", "X"), "a b"},
		{event("p", "", "q", "a needle"), "q"},
	} {
		var m Match
		if !r.Match(c.ev, &m) {
			t.Errorf("%v: no match", c.ev.Fields)
		}
		if got := strings.Join(m.Fields(), " "); got != c.want {
			t.Errorf("%v: got fields %q, want %q", c.ev.Fields, got, c.want)
		}
	}
}
