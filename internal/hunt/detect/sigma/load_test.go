package sigma

import (
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
