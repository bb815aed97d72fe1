package mitigate

import (
	"bytes"
	"strings"
	"testing"
)

var someRules = []Rule{
	{"X-BEResource Abort - inbound", "{HTTP_COOKIE}", "(.*)X-BEResource=(.+)/(.+)~(.+)"},
	{`odd "<&>` + "\u00e9\t", "{REQUEST_URI}", `a"b<c>&d`},
}

// FuzzInsert asks of any bytes: are they either refused, or is what comes out the same
// bytes with one piece more in them, sound, and with the rules where they belong?
func FuzzInsert(f *testing.F) {
	for _, text := range shapes {
		for _, e := range encodings {
			f.Add(e.write(text), "")
			f.Add(e.write(strings.ReplaceAll(text, "\n", "\r\n")), "Default Web Site")
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, site string) {
		if len(raw) > 64<<10 {
			t.Skip("larger inputs only cost the fuzzer time")
		}
		out, err := insert(raw, site, someRules)
		if err != nil {
			return
		}
		checkInserted(t, raw, out, site)
	})
}

// checkInserted checks a file with [someRules] in it against what it was.
func checkInserted(t *testing.T, raw, out []byte, site string) {
	t.Helper()
	if !onlyAdded(raw, out) {
		t.Fatalf("other bytes are changed:\n%q\n%q", raw, out)
	}
	d, err := open(out)
	if err != nil {
		t.Fatalf("the result does not parse: %v\n%q", err, out)
	}
	in := []*node{d.root}
	if site != "" {
		in = nil
	}
	for _, l := range below([]*node{d.root}, "location") {
		at, _ := d.get(l, "path")
		if site == "" && (at == "" || at == ".") || site != "" && strings.EqualFold(at, site) {
			in = append(in, l)
		}
	}
	var found []*node
	for _, n := range in {
		found = append(found, lists(n)...)
	}
	if len(found) != 1 {
		t.Fatalf("%d lists of rules, want 1:\n%s", len(found), out)
	}
	var got []Rule

	for _, n := range found[0].kids {
		switch {
		case n.name == "clear":
			got = nil
		case n.name == "rule":
			name, _ := d.get(n, "name")
			for _, c := range below(below([]*node{n}, "conditions"), "add") {
				input, _ := d.get(c, "input")
				pattern, _ := d.get(c, "pattern")
				got = append(got, Rule{name, input, pattern})
			}
		}
	}
	if len(got) < len(someRules) || got[0] != someRules[0] || got[1] != someRules[1] {
		t.Fatalf("the first rules are %q", got)
	}
}

// onlyAdded says whether b is a with one piece put into it, for which at most the end
// of an empty tag was opened.
func onlyAdded(a, b []byte) bool {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	gone := bytes.ReplaceAll(a[head:len(a)-tail], []byte{0}, nil)
	return len(bytes.Trim(gone, " \t\r\n/>")) == 0 && (len(gone) == 0 || bytes.ContainsRune(gone, '/'))
}
