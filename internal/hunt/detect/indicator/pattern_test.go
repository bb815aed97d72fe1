package indicator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern"
)

// formula is a pattern and what it means.
type formula struct {
	text string
	is   func(truth map[string]bool) bool
}

// atom is a comparison of its own; drawn ones have one of six values.
func atom(t *rapid.T) formula {
	v := fmt.Sprintf("192.0.2.%d", rapid.IntRange(1, 6).Draw(t, "value"))
	text := rapid.SampledFrom([]string{"ipv4-addr:value = '%s'", "ipv4-addr:value='%s'", "ipv4-addr:value IN ('%s')", "network-traffic:src_ref.value = '%s'", "( ipv4-addr:value = '%s' )"}).Draw(t, "form")
	return formula{fmt.Sprintf(text, v), func(m map[string]bool) bool { return m[v] }}
}

func expression(t *rapid.T, depth int) formula {
	if depth == 0 || rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
		return atom(t)
	}
	a, b := expression(t, depth-1), expression(t, depth-1)
	if rapid.Bool().Draw(t, "and") {
		return formula{"(" + a.text + ") AND (" + b.text + ")", func(m map[string]bool) bool { return a.is(m) && b.is(m) }}
	}
	return formula{"(" + a.text + " or " + b.text + ")", func(m map[string]bool) bool { return a.is(m) || b.is(m) }}
}

// The alternatives of a pattern hold exactly where the pattern does.
func TestPatternMeans(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := expression(t, rapid.IntRange(0, 4).Draw(t, "depth"))
		text := "[" + f.text + "]"
		if rapid.Bool().Draw(t, "two") {
			a, b := f, atom(t)
			text += " OR ([" + b.text + "])"
			f = formula{text, func(m map[string]bool) bool { return a.is(m) || b.is(m) }}
		}
		all, r := parsePattern(text)
		if r != nil {
			if r.why.Key == "indicator.why.alternatives" {
				t.Skip("too many alternatives")
			}
			t.Fatalf("%s: %v", text, r)
		}
		for bits := range 64 {
			m := make(map[string]bool)
			for i := range 6 {
				m[fmt.Sprintf("192.0.2.%d", i+1)] = bits>>i&1 == 1
			}
			got := false
			for _, a := range all {
				holds := true
				for _, c := range a {
					holds = holds && m[c.Value]
				}
				got = got || holds
			}
			if want := f.is(m); got != want {
				t.Fatalf("%s with %06b: got %v, want %v of %v", text, bits, got, want, all)
			}
		}
	})
}

// Bombs are refused, at once.
func TestPatternBounds(t *testing.T) {
	t.Parallel()
	pair := "(ipv4-addr:value = '192.0.2.1' OR ipv4-addr:value = '192.0.2.2')"
	for name, c := range map[string]struct{ pattern, want string }{
		"alternatives":          {"[" + pair + strings.Repeat(" AND "+pair, 30) + "]", "indicator.why.alternatives"},
		"a long list":           {"[ipv4-addr:value IN ('192.0.2.1'" + strings.Repeat(",'192.0.2.1'", 2000) + ")]", "indicator.why.alternatives"},
		"nested":                {"[" + strings.Repeat("(", 5000) + "a:b = 'c'" + strings.Repeat(")", 5000) + "]", "indicator.why.nested"},
		"nested observations":   {strings.Repeat("(", 5000) + "[a:b = 'c']" + strings.Repeat(")", 5000), "indicator.why.nested"},
		"long":                  {"[ipv4-addr:value = '" + strings.Repeat("x", 100_000) + "']", "indicator.why.long"},
		"an open quote":         {"[ipv4-addr:value = '192.0.2.1]", "indicator.why.syntax"},
		"nothing":               {"", "indicator.why.syntax"},
		"nothing in it":         {"[]", "indicator.why.syntax"},
		"no value":              {"[ipv4-addr:value =", "indicator.why.syntax"},
		"something behind":      {"[ipv4-addr:value = '192.0.2.1'] ]", "indicator.why.syntax"},
		"a list without an end": {"[ipv4-addr:value IN ('192.0.2.1'", "indicator.why.syntax"},
		"NOT":                   {"[ipv4-addr:value NOT = '192.0.2.1']", "indicator.why.only-not"},
		"EXISTS":                {"[EXISTS ipv4-addr:value]", "indicator.why.syntax"},
		"a size alone":          {"[file:size = 5]", "indicator.why.size-alone"},
	} {
		start := time.Now()
		all, r := parsePattern(c.pattern)
		if r == nil {
			_, r = entries(all, About{})
		}
		if r == nil || r.why.Key != c.want {
			t.Errorf("%s: got %v, want %s", name, r, c.want)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}

// Rows and tables beyond the bounds are cut, and the rest goes on.
func TestTableBounds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*maxLine)
	for name, c := range map[string]struct {
		feed              string
		used, unsupported int
	}{
		"a long line in a list":  {"192.0.2.1\n" + long + "\n192.0.2.2\n", 2, 1},
		"a long cell":            {"type,value,comment\nip,192.0.2.1," + long + "\nip,192.0.2.2,x\n", 2, 0},
		"a quote never closed":   {"type,value\nip,192.0.2.1\nip,\"192.0.2.2\n" + strings.Repeat("ip,192.0.2.3\n", 50), 51, 1},
		"quotes that are closed": {"type,value,comment\nip,192.0.2.1,\"a\nb\nc\"\nip,192.0.2.2,\n", 2, 0},
		"a value too long":       {"type,value\nip,192.0.2.1\nurl,http://a/" + strings.Repeat("x", maxValue) + "\n", 1, 1},
	} {
		f, err := Read(strings.NewReader(c.feed), "x", NewBuilder(), Options{Now: now})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Used != c.used || f.Unsupported != c.unsupported {
			t.Errorf("%s: got %d used and %d not, want %d and %d", name, f.Used, f.Unsupported, c.used, c.unsupported)
		}
	}
}

// More different indicators than are remembered are counted, and said.
func TestSightingsAreBounded(t *testing.T) {
	t.Parallel()
	b := NewBuilder()
	for i := range maxSightings + 10 {
		b.Add(Entry{Kind: postern.IndicatorAddress, Value: fmt.Sprintf("10.%d.%d.%d", i>>16, byte(i>>8), byte(i))})
	}
	h := b.Set().NewHost(now)
	for i := range maxSightings + 10 {
		ev := row(day, "c-ip", fmt.Sprintf("10.%d.%d.%d", i>>16, byte(i>>8), byte(i)))
		h.Remember(ev, h.Look(ev), false)
	}
	found := h.Findings()
	if len(found) != maxSightings {
		t.Fatalf("got %d findings, want %d", len(found), maxSightings)
	}
	said := false
	for _, e := range found[0].Explain {
		said = said || e.Key == "indicator.sightings-lost" && e.Args["count"] == "10"
	}
	if !said {
		t.Errorf("nothing says that 10 more were seen: %v", found[0].Explain)
	}
}
