package sigma

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// What a shell of Windows saves is read as what it says.
func TestLoadUTF16(t *testing.T) {
	t.Parallel()
	const text = "title: wide\r\nlogsource: {category: webserver}\r\ndetection: {s: {sc-status: 500}, condition: s}\r\n"
	for name, begin := range map[string]string{"with a mark": "\xff\xfe", "without": ""} {
		wide := []byte(begin)
		for _, c := range text {
			wide = append(wide, byte(c), 0)
		}
		rules, report := Load([]Source{{FS: fstest.MapFS{"wide.yml": {Data: wide}}, Path: "."}})
		if len(rules) != 1 || rules[0].Rule.Title != "wide" {
			t.Errorf("%s: %+v", name, report)
		}
	}
}

// The line is that of the file at which it stops being readable.
func TestBrokenAt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"a: b: c\n":                            1,
		"a: b\nb: 'c\nd: e\n":                  2,
		"a: 'b\n  c'\nd: e: f\n":               3,
		"a:\n  b: c\n   d: e\nf: g\n":          3,
		"a: [b\nc: d\n":                        1,
		"a: b\n\n\n\tc: d\n":                   4,
		"a: b\nc: \xff\nd: e\n":                2,
		"a: b\nc: \"\\y\"\nd: e":               2,
		"---\na: b\nc: *\nd: e\n":              3,
		"a: b\nc: |\n  text\n text\nd: 'e'x\n": 4,
	} {
		_, err := readDocument([]byte(text))
		if e, ok := err.(*Error); !ok || e.Line != want {
			t.Errorf("%q: got %v, want line %d", text, err, want)
		}
	}
}

// TestCorrelationsKeepTheirRules has names that several rules go by. A correlation means
// the rule of its own file, in a copy too; an id comes before a name; and a correlation
// elsewhere that names nothing changes none of it.
func TestCorrelationsKeepTheirRules(t *testing.T) {
	t.Parallel()
	rule := func(id, name string, event int) string {
		return fmt.Sprintf("title: %s\nid: %s\nname: %s\nlogsource: {product: windows, service: security}\ndetection: {s: {EventID: %d}, condition: s}\n", id, id, name, event)
	}
	many := func(id, of string) string {
		return "title: many\nid: " + id + "\ncorrelation:\n  type: event_count\n  rules: [" + of + "]\n  group-by: [Computer]\n  timespan: 1h\n  condition: {gte: 2}\n"
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a copy":             {map[string]string{"a.yml": rule("aaa", "failed", 4625), "b.yml": rule("bbb", "failed", 4771), "c.yml": rule("bbb", "failed", 4771) + "---\n" + many("ccc", "failed")}, "bbb"},
		"one that dangles":   {map[string]string{"a.yml": rule("logon", "fa", 4625), "b.yml": rule("logon", "fb", 4771) + "---\n" + many("ccc", "fa"), "d.yml": many("ddd", "nothere")}, "logon"},
		"an id and a name":   {map[string]string{"a.yml": rule("aaa", "bbb", 4625), "b.yml": rule("bbb", "other", 4771), "c.yml": many("ccc", "bbb")}, "bbb"},
		"that of its file":   {map[string]string{"a.yml": rule("aaa", "failed", 4625), "b.yml": rule("bbb", "failed", 4771) + "---\n" + many("ccc", "failed")}, "bbb"},
		"that of some other": {map[string]string{"a.yml": rule("aaa", "failed", 4625), "c.yml": many("ccc", "failed")}, "aaa"},
	} {
		files := fstest.MapFS{}
		for file, text := range c.files {
			files[file] = &fstest.MapFile{Data: []byte(text)}
		}
		rules, report := Load([]Source{{FS: files, Path: "."}})
		i := slices.IndexFunc(rules, func(r Loaded) bool { return r.Correlation != nil })
		if i < 0 {
			t.Errorf("%s: the correlation is not loaded: %+v", name, report)
		} else if got := rules[i].Correlation.Rules; !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: the correlation is about %q, want %q", name, got, c.want)
		}
	}
}

// The line is found in a long document too, without reading most of it many times.
func TestBrokenAtInLong(t *testing.T) {
	t.Parallel()
	const before = 900
	var text strings.Builder
	for i := range 2 * before {
		if i == before {
			text.WriteString("z: [b\n")
		}
		fmt.Fprintf(&text, "selection%d: {f: value}\n", i)
	}
	_, err := readDocument([]byte(text.String()))
	if e, ok := err.(*Error); !ok || e.Line != before+1 {
		t.Errorf("got %v, want line %d", err, before+1)
	}
}
