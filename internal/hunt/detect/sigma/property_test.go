package sigma

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"postern"
)

// The property tests draw a rule as a small tree of their own, write it as YAML
// for Compile, and evaluate the tree in the plainest way: rule by rule, value by
// value, patterns as regular expressions. Both must agree on every event.

type drawnRule struct {
	selections map[string]drawnSelection
	condition  string
	holds      func(ev *postern.Event) bool
}

type drawnSelection struct {
	keywords []string // or:
	maps     [][]drawnItem
}

type drawnItem struct {
	field string
	mods  []string
	list  []any
}

// Letters that fold in awkward ways (k, s, the Kelvin sign, dotted I) are drawn
// as often as plain ones, and values are put together from the pieces of
// patterns so that about half of the tests hold.
var pieces = []string{"a", "b", "k", "S", "K", "é", "É", "\u212a", "İ", "-a", "/b", "–k", ".", "\\", "ab", "AB", "cmd", ".exe", " "}

var patternPieces = append([]string{"*", "?", `\*`, `\?`, `\\`, "*", "?"}, pieces...)

func drawText(t *rapid.T, from []string, most int, label string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(from), 0, most).Draw(t, label), "")
}

var fieldNames = []string{"A", "b", "C-d", "a", "B"}

func drawItem(t *rapid.T) drawnItem {
	it := drawnItem{field: rapid.SampledFrom(fieldNames).Draw(t, "field")}
	kind := rapid.SampledFrom([]string{"", "contains", "startswith", "endswith", "contains|all", "cased", "contains|cased",
		"contains|windash", "base64offset|contains", "wide|contains", "re", "re|i", "re|s|all", "cidr", "gt", "lte", "exists",
		"fieldref", "fieldref|contains", "neq", "contains|neq", "null", "number"}).Draw(t, "modifiers")
	n := rapid.IntRange(1, 3).Draw(t, "values")
	value := func() any { return drawText(t, patternPieces, 4, "value") }
	switch {
	case kind == "null":
		it.list = []any{nil}
		return it
	case kind == "number":
		it.list = []any{rapid.SampledFrom([]any{1, 0, true, 241, 1.5}).Draw(t, "number")}
		return it
	case kind == "exists":
		n, value = 1, func() any { return rapid.Bool().Draw(t, "exists") }
	case strings.HasPrefix(kind, "fieldref"):
		n, value = 1, func() any { return rapid.SampledFrom(fieldNames).Draw(t, "other") }
	case kind == "gt" || kind == "lte":
		value = func() any { return rapid.SampledFrom([]any{1, 2.5, -3, 10}).Draw(t, "bound") }
	case kind == "cidr":
		value = func() any {
			return rapid.SampledFrom([]any{"10.0.0.0/8", "10.1.2.3/32", "fe80::/10", "::/0"}).Draw(t, "network")
		}
	case strings.HasPrefix(kind, "base64offset"):
		value = func() any { return rapid.StringMatching(`[a-c]{2,5}`).Draw(t, "plain") }
	case strings.HasPrefix(kind, "re"):
		value = func() any { return drawRegexp(t, 2) }
	}
	if it.mods = strings.Split(kind, "|"); kind == "" {
		it.mods = nil
	}
	for range n {
		it.list = append(it.list, value())
	}
	return it
}

// drawRegexp draws an expression from pieces whose required literals are of every
// kind: runs, alternatives, classes, repeats, optional parts.
func drawRegexp(t *rapid.T, depth int) string {
	parts := []string{"a", "b", "k", "S", "é", `\.exe`, "[ab]", "[a-z]", "[^a]", ".", "cmd", "^", "$", `\b`, "(?i:ks)", "\\x{212a}", "[kK]"}
	var b strings.Builder
	for range rapid.IntRange(1, 4).Draw(t, "parts") {
		part := rapid.SampledFrom(parts).Draw(t, "part")
		if depth > 0 && rapid.IntRange(0, 3).Draw(t, "group") == 0 {
			part = "(" + drawRegexp(t, depth-1) + "|" + drawRegexp(t, depth-1) + ")"
		}
		if !strings.ContainsAny(part, "^$") && part != `\b` {
			part += rapid.SampledFrom([]string{"", "", "", "?", "+", "*", "{2}", "{0,2}", "{1,3}"}).Draw(t, "repeat")
		}
		b.WriteString(part)
	}
	return b.String()
}

func drawRule(t *rapid.T) *drawnRule {
	r := &drawnRule{selections: make(map[string]drawnSelection)}
	names := []string{"sel_a", "sel_b", "_x", "other"}
	for _, name := range names {
		var s drawnSelection
		if rapid.IntRange(0, 4).Draw(t, "keywords") == 0 {
			for range rapid.IntRange(1, 2).Draw(t, "words") {
				s.keywords = append(s.keywords, drawText(t, patternPieces, 3, "keyword")+rapid.SampledFrom(pieces).Draw(t, "some"))
			}
		} else {
			for range rapid.IntRange(1, 2).Draw(t, "maps") {
				var m []drawnItem
				for range rapid.IntRange(1, 2).Draw(t, "items") {
					it := drawItem(t)
					if !slices.ContainsFunc(m, func(o drawnItem) bool { return o.key() == it.key() }) {
						m = append(m, it)
					}
				}
				s.maps = append(s.maps, m)
			}
		}
		r.selections[name] = s
	}
	r.condition, r.holds = r.drawCondition(t, 3)
	return r
}

func (r *drawnRule) drawCondition(t *rapid.T, depth int) (string, func(*postern.Event) bool) {
	of := func(match func(string) bool, all bool) func(*postern.Event) bool {
		return func(ev *postern.Event) bool {
			for name, s := range r.selections {
				if match(name) && s.holds(ev) != all {
					return !all
				}
			}
			return all
		}
	}
	kind := rapid.IntRange(0, 8).Draw(t, "condition")
	if depth == 0 {
		kind %= 5
	}
	switch kind {
	case 0, 1, 2:
		name := rapid.SampledFrom([]string{"sel_a", "sel_b", "other", "_x"}).Draw(t, "name")
		return name, func(ev *postern.Event) bool { return r.selections[name].holds(ev) }
	case 3:
		all := rapid.Bool().Draw(t, "all")
		return map[bool]string{true: "all of sel_*", false: "1 of sel_*"}[all],
			of(func(n string) bool { return strings.HasPrefix(n, "sel_") }, all)
	case 4:
		all := rapid.Bool().Draw(t, "all")
		return map[bool]string{true: "all of them", false: "1 of them"}[all],
			of(func(n string) bool { return n != "_x" }, all)
	case 5, 6:
		a, holdsA := r.drawCondition(t, depth-1)
		b, holdsB := r.drawCondition(t, depth-1)
		return "(" + a + ") and (" + b + ")", func(ev *postern.Event) bool { return holdsA(ev) && holdsB(ev) }
	case 7:
		a, holdsA := r.drawCondition(t, depth-1)
		b, holdsB := r.drawCondition(t, depth-1)
		return "(" + a + ") or (" + b + ")", func(ev *postern.Event) bool { return holdsA(ev) || holdsB(ev) }
	}
	a, holds := r.drawCondition(t, depth-1)
	return "not (" + a + ")", func(ev *postern.Event) bool { return !holds(ev) }
}

func (it drawnItem) key() string { return strings.Join(append([]string{it.field}, it.mods...), "|") }

func (r *drawnRule) yaml() string {
	scalar := func(v any) string {
		if s, ok := v.(string); ok {
			return "'" + strings.ReplaceAll(s, "'", "''") + "'"
		}
		if v == nil {
			return "null"
		}
		return fmt.Sprint(v)
	}
	var b strings.Builder
	for name, s := range r.selections {
		fmt.Fprintf(&b, "%s:\n", name)
		for _, k := range s.keywords {
			fmt.Fprintf(&b, "  - %s\n", scalar(k))
		}
		for _, m := range s.maps {
			for i, it := range m {
				lead := "    "
				if i == 0 {
					lead = "  - "
				}
				var values []string
				for _, v := range it.list {
					values = append(values, scalar(v))
				}
				list := values[0]
				if len(values) > 1 {
					list = "[" + strings.Join(values, ", ") + "]"
				}
				fmt.Fprintf(&b, "%s%s: %s\n", lead, it.key(), list)
			}
		}
	}
	return ruleText(b.String() + "condition: " + r.condition)
}

func (s drawnSelection) holds(ev *postern.Event) bool {
	for _, k := range s.keywords {
		texts := []string{ev.Raw}
		for _, f := range append(slices.Clone(ev.Fields), ev.Derived...) {
			texts = append(texts, f.Value)
		}
		for _, v := range texts {
			if plainMatch("*"+literalEnd(k)+"*", v, nil) {
				return true
			}
		}
	}
	for _, m := range s.maps {
		if !slices.ContainsFunc(m, func(it drawnItem) bool { return !it.holds(ev) }) {
			return true
		}
	}
	return false
}

func (it drawnItem) holds(ev *postern.Event) bool {
	got := ev.Values(it.field)
	if slices.Contains(it.mods, "neq") {
		without := it
		without.mods = slices.DeleteFunc(slices.Clone(it.mods), func(m string) bool { return m == "neq" })
		return !without.holds(ev)
	}
	if slices.Contains(it.mods, "exists") {
		return (len(got) > 0) == it.list[0].(bool)
	}
	if it.list[0] == nil {
		return len(got) == 0
	}
	every := slices.Contains(it.mods, "all")
	for _, want := range it.list {
		some := slices.ContainsFunc(got, func(v string) bool { return it.passes(ev, fmt.Sprint(want), v) })
		if some != every {
			return some
		}
	}
	return every
}

func (it drawnItem) passes(ev *postern.Event, want, v string) bool {
	has := func(m string) bool { return slices.Contains(it.mods, m) }
	switch {
	case has("re"):
		flags := ""
		if has("i") {
			flags += "i"
		}
		if has("s") {
			flags += "s"
		}
		if flags != "" {
			want = "(?" + flags + ")" + want
		}
		return regexp.MustCompile(want).MatchString(v)
	case has("cidr"):
		a, err := netip.ParseAddr(v)
		return err == nil && netip.MustParsePrefix(want).Contains(a)
	case has("gt") || has("lte"):
		n, err := strconv.ParseFloat(v, 64)
		bound, _ := strconv.ParseFloat(want, 64)
		return err == nil && (n > bound) == has("gt")
	case has("fieldref"):
		for _, other := range ev.Values(want) {
			if has("contains") && other != "" && strings.Contains(plainFold(v), plainFold(other)) ||
				!has("contains") && plainFold(v) == plainFold(other) {
				return true
			}
		}
		return false
	case has("base64offset"):
		return slices.ContainsFunc(plainOffsets(want), func(s string) bool { return strings.Contains(plainFold(v), plainFold(s)) })
	}
	if has("contains") || has("endswith") {
		want = "*" + want
	}
	if has("contains") || has("startswith") {
		want = literalEnd(want) + "*"
	}
	return plainMatch(want, v, it.mods)
}

// literalEnd keeps a backslash at the end from escaping a wildcard put after it.
func literalEnd(s string) string {
	n := len(s) - len(strings.TrimRight(s, `\`))
	if n%2 == 1 {
		return s + `\`
	}
	return s
}

// plainMatch says a pattern as a regular expression.
func plainMatch(pattern, v string, mods []string) bool {
	var b strings.Builder
	lit := func(s string) {
		if slices.Contains(mods, "wide") {
			var wide strings.Builder
			for _, r := range s {
				wide.WriteString(string([]byte{byte(r), byte(r >> 8)}))
			}
			s = wide.String()
		}
		if !slices.Contains(mods, "cased") {
			s = plainFold(s)
		}
		b.WriteString(regexp.QuoteMeta(s))
	}
	rs := []rune(pattern)
	word := func(i int) bool {
		return i >= 0 && i < len(rs) && (rs[i] == '_' || rs[i] < 128 && (unicode.IsLetter(rs[i]) || unicode.IsDigit(rs[i])))
	}
	for i := 0; i < len(rs); i++ {
		switch r := rs[i]; {
		case r == '\\' && i+1 < len(rs) && strings.ContainsRune(`*?\`, rs[i+1]):
			i++
			lit(string(rs[i]))
		case r == '*':
			b.WriteString(".*")
		case r == '?':
			b.WriteString(".")
		case slices.Contains(mods, "windash") && strings.ContainsRune("-/–—―", r) && !word(i-1) && word(i+1):
			b.WriteString("[-/–—―]")
		default:
			lit(string(r))
		}
	}
	if !slices.Contains(mods, "cased") {
		v = plainFold(v)
	}
	return regexp.MustCompile(`(?s)\A` + b.String() + `\z`).MatchString(v)
}

func plainFold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == 'İ' || r == '\u212a' {
			return r
		}
		return unicode.ToLower(r)
	}, s)
}

// plainOffsets finds what is common to the Base64 of s between different
// neighbours.
func plainOffsets(s string) []string {
	var all []string
	for before := range 3 {
		var common []byte
		for _, fill := range []string{"\x00", "\xff"} {
			code := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fill, before) + s + strings.Repeat(fill, 3)))
			if common == nil {
				common = []byte(code)
			}
			for i := range common {
				if code[i] != common[i] {
					common[i] = 0
				}
			}
		}
		// The neighbours differ in all bits: the one run in the middle is the value's.
		all = append(all, strings.Trim(strings.Trim(string(common), "="), "\x00"))
	}
	return all
}

func drawEvent(t *rapid.T, label string) *postern.Event {
	ev := &postern.Event{Source: rapid.SampledFrom([]string{"iis", "iis/x", "other", ""}).Draw(t, label+" source")}
	value := rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]string{"1", "0", "true", "241", "1.5", "-3", "10", "", "10.1.2.3", "fe80::1", "11.0.0.1"}).Draw(t, "typed")
		case 1:
			return base64.StdEncoding.EncodeToString([]byte(rapid.StringMatching(`[abc\x00\xff]{0,9}`).Draw(t, "plain")))
		case 2:
			return strings.Join(strings.Split("cmd.exe a", ""), "\x00") + "\x00"
		}
		return drawText(t, pieces, 6, "text")
	})
	field := rapid.Custom(func(t *rapid.T) postern.Field {
		return postern.Field{Name: rapid.SampledFrom(fieldNames).Draw(t, "name"), Value: value.Draw(t, "value")}
	})
	ev.Fields = rapid.SliceOfN(field, 0, 5).Draw(t, label+" fields")
	ev.Derived = rapid.SliceOfN(field, 0, 2).Draw(t, label+" derived")
	ev.Raw = drawText(t, pieces, 4, label+" raw")
	return ev
}

// TestSetIsRuleByRule is the differential test: many rules with sources, an
// event, and the plain evaluation of each rule by itself.
func TestSetIsRuleByRule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var rules []*Rule
		var plain []*drawnRule
		at := make(map[*Rule]string)
		for range rapid.IntRange(1, 4).Draw(t, "rules") {
			d := drawRule(t)
			src := d.yaml()
			r, err := Compile([]byte(src), nil)
			if err != nil {
				t.Fatalf("Compile: %v\n%s", err, src)
			}
			r.LogSource.Category = strconv.Itoa(len(rules))
			at[r] = rapid.SampledFrom([]string{"iis", "*", "iis/x"}).Draw(t, "at")
			rules, plain = append(rules, r), append(plain, d)
		}
		set := NewSet(rules, func(l LogSource) []string {
			i, _ := strconv.Atoi(l.Category)
			return []string{at[rules[i]]}
		}, nil)
		for range 3 {
			ev := drawEvent(t, "event")
			// Go's own folding of k outside ASCII is not ours; see TestNeedsAreSound.
			for _, list := range [][]postern.Field{ev.Fields, ev.Derived} {
				for i := range list {
					list[i].Value = strings.ReplaceAll(list[i].Value, "\u212a", "x")
				}
			}
			hit := make(map[*Rule]bool)
			for _, m := range set.Eval(ev, nil) {
				hit[m.Rule] = true
			}
			for i, r := range rules {
				want := plain[i].holds(ev)
				if got := r.Match(ev, nil); got != want {
					t.Fatalf("rule alone: got %v, want %v\n%s\n%+v", got, want, plain[i].yaml(), ev)
				}
				sees := at[r] == "*" || at[r] == ev.Source || at[r] == "iis" && ev.Source == "iis/x"
				if hit[r] != (want && sees) {
					t.Fatalf("in the set: got %v, want %v\n%s\n%+v", hit[r], want && sees, plain[i].yaml(), ev)
				}
			}
		}
	})
}

// TestNeedsAreSound is what gates over raw bytes rely on: no match without every
// need, even where values are no UTF-8.
func TestNeedsAreSound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawRule(t)
		r, err := Compile([]byte(d.yaml()), nil)
		if err != nil {
			t.Fatalf("Compile: %v\n%s", err, d.yaml())
		}
		for range 5 {
			ev := drawEvent(t, "event")
			if len(ev.Fields) > 0 && rapid.Bool().Draw(t, "broken") {
				f := &ev.Fields[0]
				i := rapid.IntRange(0, len(f.Value)).Draw(t, "at")
				f.Value = f.Value[:i] + "\xe9\xff" + f.Value[i:]
			}
			if !r.Match(ev, nil) {
				continue
			}
			for _, n := range r.Needs() {
				if !n.fulfilled(ev) {
					t.Fatalf("matches without %+v\n%s\n%+v", n, d.yaml(), ev)
				}
			}
		}
	})
}
