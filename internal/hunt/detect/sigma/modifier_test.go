package sigma

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf16"

	"postern"
)

// TestValues is the specification as a table: the lines of a selection, an event
// with the field F (and G) of the given values, and whether it matches.
func TestValues(t *testing.T) {
	t.Parallel()
	type values []string
	for _, c := range []struct {
		lines string
		f     values
		want  bool
	}{
		// General: text without case, wildcards, escapes.
		{`F: abc`, values{"ABC"}, true},
		{`F: abc`, values{"abcd"}, false},
		{`F: ÁB`, values{"áb"}, true},
		{`F: a*c`, values{"A--C"}, true},
		{`F: 'a\*c'`, values{"a*c"}, true},
		{`F: 'a\*c'`, values{"abc"}, false},
		{`F: 'C:\Windows\*.exe'`, values{`c:\windows*.exe`}, true},
		{`F: 'C:\Windows\\*.exe'`, values{`c:\windows\cmd.exe`}, true},
		{`f: abc`, values{"abc"}, true},      // field names without case
		{`OtherName: x0`, values{"x"}, true}, // and without blanks

		// Lists and several values of a field.
		{`F: [a, b]`, values{"b"}, true},
		{`F: [a, b]`, values{"c"}, false},
		{`F: a`, values{"x", "a"}, true},
		{`F: [a, 'b*']`, values{"bx"}, true},

		// Numbers and booleans against text.
		{`F: 4624`, values{"4624"}, true},
		{`F: 4624`, values{"46240"}, false},
		{`F: 1.5`, values{"1.5"}, true},
		{`F: true`, values{"True"}, true},
		{`F: false`, values{"true"}, false},
		{`F: 2021-03-03`, values{"2021-03-03"}, true},
		{`F|contains: 241`, values{"x 241 y"}, true},

		// Null, empty and missing.
		{`F: null`, nil, true},
		{`F: null`, values{""}, false},
		{`F:`, nil, true},
		{`F: ''`, values{""}, true},
		{`F: ''`, nil, false},
		{`F: ''`, values{"x"}, false},
		{`F: [null, '']`, nil, true},
		{`F: [null, '']`, values{""}, true},
		{`F: [null, '']`, values{"x"}, false},
		{`F: '*'`, values{""}, true},
		{`F: '*'`, nil, false},
		{`F|contains: ''`, values{"x"}, true},
		{`F|contains: ''`, nil, false},
		{`F|neq: null`, values{"x"}, true},
		{`F|neq: null`, nil, false},

		// contains, startswith, endswith, all.
		{`F|contains: b`, values{"aBc"}, true},
		{`F|contains: '*b*'`, values{"abc"}, true},
		{`F|startswith: ab`, values{"ABC"}, true},
		{`F|startswith: bc`, values{"abc"}, false},
		{`F|endswith: bc`, values{"aBC"}, true},
		{`F|endswith: 'b?'`, values{"abc"}, true},
		{`F|endswith: '\cmd.exe'`, values{`C:\cmd.exe`}, true},
		{`F|contains|all: [a, b]`, values{"xaxb"}, true},
		{`F|contains|all: [a, b]`, values{"xa"}, false},
		{`F|contains|all: [a, b]`, values{"xa", "xb"}, true}, // each in some value
		{`F|all|contains: [a, b]`, values{"ab"}, true},
		{`F|all: ['a*', '*b']`, values{"a b"}, true},
		{`F|contains|all: a`, values{"ba"}, true},

		// cased.
		{`F|cased: aBc`, values{"aBc"}, true},
		{`F|cased: aBc`, values{"abc"}, false},
		{`F|contains|cased: B`, values{"aBc"}, true},
		{`F|cased|contains: B`, values{"abc"}, false},
		{`F|cased: 'a?C*'`, values{"abCd"}, true},
		{`F|cased: 'a?C*'`, values{"abcd"}, false},

		// neq.
		{`F|neq: a`, values{"b"}, true},
		{`F|neq: a`, values{"A"}, false},
		{`F|neq: [a, b]`, values{"b"}, false},
		{`F|contains|neq: b`, values{"abc"}, false},
		{`F|neq: a`, nil, true}, // as a negation in the condition

		// exists.
		{`F|exists: true`, values{""}, true},
		{`F|exists: true`, nil, false},
		{`F|exists: false`, nil, true},
		{`F|exists: false`, values{"x"}, false},

		// Regular expressions: searched anywhere, with case, without wildcards.
		{`F|re: 'b+c'`, values{"abbcd"}, true},
		{`F|re: 'B+c'`, values{"abbcd"}, false},
		{`F|re: '^b'`, values{"ab"}, false},
		{`F|re: 'a\*b'`, values{"a*b"}, true},
		{`F|re|i: 'B+C'`, values{"abbcd"}, true},
		{`F|re|i: 'kelvin'`, values{"KELVIN"}, true},
		{`F|re|i: 'kelvin'`, values{"\u212aelvin"}, false}, // as everywhere: ASCII folds in ASCII
		{`F|re|i: 'ß|desks'`, values{"DESKS"}, true},
		{`F|re: '^b'`, values{"a\nb"}, false},
		{`F|re|m: '^b$'`, values{"a\nb\nc"}, true},
		{`F|re: 'a.b'`, values{"a\nb"}, false},
		{`F|re|s: 'a.b'`, values{"a\nb"}, true},
		{`F|re|i|s|m: '^B.C'`, values{"a\nb\nc"}, true},
		{`F|re|ignorecase: 'B'`, values{"b"}, true},
		{`F|re|contains: 'b'`, values{"abc"}, true},
		{`F|re: ['x', 'b']`, values{"abc"}, true},
		{`F|re|all: ['a', 'z']`, values{"abc"}, false},
		{`F|re: ''`, values{"x"}, true},

		// cidr.
		{`F|cidr: 10.0.0.0/8`, values{"10.1.2.3"}, true},
		{`F|cidr: 10.0.0.0/8`, values{"11.1.2.3"}, false},
		{`F|cidr: 10.0.0.0/8`, values{"10.1.2.3.4"}, false},
		{`F|cidr: 10.0.0.0/8`, values{"::ffff:10.1.2.3"}, true},
		{`F|cidr: 10.0.0.0/8`, values{"-"}, false},
		{`F|cidr: 10.0.0.0/8`, values{""}, false},
		{`F|cidr: ['192.168.0.0/16', 'fe80::/10']`, values{"fe80::1%eth0"}, true},
		{`F|cidr: '::ffff:10.0.0.0/104'`, values{"10.9.9.9"}, true},
		{`F|cidr: 2001:db8::/32`, values{"2001:DB8:1::1"}, true},
		{`F|cidr: 192.0.2.1`, values{"192.0.2.1"}, true},
		{`F|cidr: 192.0.2.1`, values{"192.0.2.2"}, false},

		// Numbers.
		{`F|gt: 5`, values{"6"}, true},
		{`F|gt: 5`, values{"5"}, false},
		{`F|gte: 5`, values{"5.0"}, true},
		{`F|lt: 5`, values{"-1"}, true},
		{`F|lte: 5`, values{"5.5"}, false},
		{`F|lt: 1.5`, values{"1.25"}, true},
		{`F|gt: 9`, values{"10"}, true}, // as numbers, not as text
		{`F|gt: 1`, values{"many"}, false},
		{`F|gt: 1`, nil, false},
		{`F|gt: 1`, values{""}, false},
		{`F|gte: 255`, values{"0xff"}, true},
		{`F|gt: 9007199254740992`, values{"9007199254740993"}, true}, // exact beyond 53 bits
		{`F|lt: 10`, values{"NaN"}, false},
		{`F|gt: 10`, values{"Inf"}, false},
		{`F|gt: 10`, values{"0x"}, false},

		// Parts of dates.
		{`F|hour: 6`, values{"2021-03-03T06:49:43.699Z"}, true},
		{`F|hour: 7`, values{"2021-03-03T06:49:43.699Z"}, false},
		{`F|minute: 49`, values{"2021-03-03 06:49:43"}, true},
		{`F|day: 3`, values{"2021/03/03"}, true},
		{`F|month: 3`, values{"2021-03-03"}, true},
		{`F|year: 2021`, values{"2021-03-03"}, true},
		{`F|week: 9`, values{"2021-03-03"}, true},
		{`F|week: 53`, values{"2021-01-03"}, true},
		{`F|hour: 6`, values{"06:49:43"}, true},
		{`F|hour: 6`, values{"2021-03-03"}, false},
		{`F|day: 3`, values{"06:49:43"}, false},
		{`F|day: 31`, values{"2021-13-31"}, false},
		{`F|hour: 25`, values{"25:00:00"}, false},
		{`F|hour|gte: 20`, values{"2021-03-03T23:00:00Z"}, true},
		{`F|hour|lt: 6`, values{"2021-03-03T23:00:00Z"}, false},
		{`F|year: [2020, 2021]`, values{"2021-03-03"}, true},

		// windash.
		{`F|windash|contains: ' -enc'`, values{"x /ENC"}, true},
		{`F|contains|windash: ' -enc'`, values{"x \u2013enc"}, true},
		{`F|contains|windash: ' /enc'`, values{"x \u2014enc"}, true},
		{`F|contains|windash: ' /enc'`, values{"x \u2015enc"}, true},
		{`F|contains|windash: '-a -b'`, values{"/a -b"}, true},
		{`F|contains|windash: '-param-name'`, values{"/param-name"}, true},
		{`F|contains|windash: '-param-name'`, values{"/param/name"}, false}, // only before an option
		{`F|contains|windash: 'a - b'`, values{"a / b"}, false},
		{`F|contains|windash|all: ['-a', '-b']`, values{"/a –b"}, true},
		{`F|contains|windash|all: ['-a', '-b']`, values{"/a"}, false},
		{`F|endswith|windash: '-x'`, values{"cmd /x"}, true},

		// Keywords are looked for in the whole event.
		{`'|contains': b`, values{"abc"}, true},
		{`'|all': [a, c]`, values{"abc"}, true},
		{`'|all': [a, z]`, values{"abc"}, false},
		{`'|all': [a, z]`, values{"a", "z"}, true},
		{`'|contains|all': [a, c]`, values{"abc"}, true},
		{`'|re': 'b.$'`, values{"abc"}, true},
		{`'|startswith': b`, values{"abc"}, false},
		{`'|startswith': a`, values{"abc"}, true},
		{`'|cased': B`, values{"abc"}, false},
		{`'|cidr': 10.0.0.0/8`, values{"10.0.0.1"}, true},

		// A map is all of its lines.
		{"F|startswith: a\nF|endswith: c", values{"abc"}, true},
		{"F|startswith: a\nF|endswith: d", values{"abc"}, false},
		{"F|exists: true\nG|exists: false", values{"abc"}, true},
	} {
		r := mustCompile(t, one(c.lines))
		ev := event("other name", "x0")
		for _, v := range c.f {
			ev.Fields = append(ev.Fields, postern.Field{Name: "F", Value: v})
		}
		if got := matches(t, r, ev); got != c.want {
			t.Errorf("%s on %q: got %v, want %v", c.lines, c.f, got, c.want)
		}
	}
}

func TestFieldref(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines string
		ev    *postern.Event
		want  bool
	}{
		{`F|fieldref: G`, event("F", "Abc", "G", "aBC"), true},
		{`F|fieldref: g`, event("F", "abc", "G", "abd"), false},
		{`F|fieldref: G`, event("F", "abc"), false},
		{`F|fieldref: G`, event("G", "abc"), false},
		{`F|fieldref: G`, event("F", "x", "F", "b", "G", "a", "G", "b"), true},
		{`F|fieldref: G`, event("F", "a*", "G", "abc"), false}, // no wildcards in values
		{`F|fieldref|startswith: G`, event("F", "abc", "G", "AB"), true},
		{`F|fieldref|startswith: G`, event("F", "abc", "G", "bc"), false},
		{`F|fieldref|endswith: G`, event("F", "abc", "G", "BC"), true},
		{`F|fieldref|contains: G`, event("F", "abc", "G", "b"), true},
		{`F|contains|fieldref: G`, event("F", "abc", "G", "b"), true},
		{`F|fieldref|contains: G`, event("F", "abc", "G", ""), false}, // an empty value is in everything
		{`F|fieldref: G`, event("F", "", "G", ""), true},
		{`F|fieldref|cased: G`, event("F", "A", "G", "a"), false},
		{`F|fieldref|neq: G`, event("F", "a", "G", "b"), true},
		{`F|neq|fieldref: G`, event("F", "a", "G", "A"), false},
	} {
		if got := matches(t, mustCompile(t, one(c.lines)), c.ev); got != c.want {
			t.Errorf("%s on %v: got %v, want %v", c.lines, c.ev.Fields, got, c.want)
		}
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	le := func(s string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return string(b)
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, c := range []struct {
		line, value string
		want        bool
	}{
		{`F|base64: foobar`, "Zm9vYmFy", true},
		{`F|base64: foobar`, "xZm9vYmFy", false},
		{`F|base64|contains: foobar`, "xZm9vYmFyx", true},
		{`F|base64: 'a\*'`, b64("a*"), true},
		{`F|wide: cmd`, "c\x00m\x00d\x00", true},
		{`F|utf16le: cmd`, "c\x00m\x00d\x00", true},
		{`F|utf16be: cmd`, "\x00c\x00m\x00d", true},
		{`F|utf16: cmd`, "\xff\xfec\x00m\x00d\x00", true},
		{`F|wide|contains: 'c*d'`, "..c\x00..d\x00..", true},
		{`F|utf16|base64: cmd`, b64("\xff\xfe" + le("cmd")), true},
		{`F|wide|base64: ñu`, b64(le("ñu")), true},
		{`F|wide|base64offset|contains: ping`, b64("\x00" + le("ping") + "\x00"), true},
		{`F|windash|base64: -a`, b64("/a"), true},
		{`F|base64|cased: foobar`, "zM9VyMfY", false},
		{`F|base64: foobar`, "zM9VyMfY", true}, // without case unless cased
	} {
		r := mustCompile(t, one(c.line))
		if got := matches(t, r, event("F", c.value)); got != c.want {
			t.Errorf("%s on %q: got %v, want %v", c.line, c.value, got, c.want)
		}
	}
}

// TestBase64Offset puts a value at every place of a text, between every kind of
// neighbours: it must be found in the Base64 of all of them.
func TestBase64Offset(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"ab", "abc", "abcd", "http://", "\u00e9\u00e8"} {
		r := mustCompile(t, one(`F|base64offset|contains|cased: '`+secret+`'`))
		for before := range 7 {
			for after := range 7 {
				for _, fill := range []string{"\x00", "\xff", "a", "Z"} {
					v := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fill, before) + secret + strings.Repeat(fill, after)))
					if !matches(t, r, event("F", v)) {
						t.Errorf("%q after %d and before %d of %q: not found in %s", secret, before, after, fill, v)
					}
				}
			}
		}
	}
	r := mustCompile(t, one(`F|base64offset|contains: needle`))
	if matches(t, r, event("F", base64.StdEncoding.EncodeToString([]byte("haystack without it")))) {
		t.Error("base64offset matches a text without the value")
	}
}

func TestDerivedValuesHideColumns(t *testing.T) {
	t.Parallel()
	ev := event("uri", "/%65cp", "uri", "x")
	ev.Derived = []postern.Field{{Name: "URI", Value: "/ecp"}}
	for _, c := range []struct {
		line string
		want bool
	}{
		{`uri: /ecp`, true},
		{`uri|contains: '%65'`, false},
		{`'|contains': '%65'`, true}, // keywords see the whole event
		{`'|contains': '/ecp'`, true},
		{`'|contains': 'raw line'`, true},
	} {
		ev.Raw = "the raw line"
		if got := matches(t, mustCompile(t, one(c.line)), ev); got != c.want {
			t.Errorf("%s: got %v, want %v", c.line, got, c.want)
		}
	}
}
