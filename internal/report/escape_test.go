package report

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                "",
		`C:\inetpub\x.aspx`:               `C:\inetpub\x.aspx`,
		"sí, 日本語 – “é”":                   "sí, 日本語 – “é”",
		"a\x1b[2J":                        `a\u001b[2J`,
		"a\tb\r\nc\x00":                   `a\tb\r\nc\u0000`,
		"\u009b31m\x7f":                   `\u009b31m\u007f`,
		"x\u202egpj.exe\u2066":            `x\u202egpj.exe\u2066`,
		"a\u200bb\ufeffc\u00add":          `a\u200bb\ufeffc\u00add`,
		"caf\xe9 \xff\xfe":                `caf\xe9 \xff\xfe`,
		"\ufffd":                          "\ufffd", // a character, not a broken byte
		"no\u00a0break\u3000wide":         `no\u00a0break\u3000wide`,
		"\U000e0041tag \U000f0000":        `\U000e0041tag \U000f0000`,
		"filler\u3164 \u2800":             `filler\u3164 \u2800`,
		"e\u0301 ok":                      "e\u0301 ok",
		"z" + strings.Repeat("\u0301", 6): "z" + strings.Repeat("\u0301", 4) + `\u0301\u0301`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("Visible(%q)\n got %s\nwant %s", in, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\x1b\u202e\xff\u0301")
	f.Fuzz(func(t *testing.T, s string) {
		v := Visible(s)
		for _, r := range v {
			if !unicode.IsPrint(r) {
				t.Fatalf("Visible(%q) = %q has %U", s, v, r)
			}
		}
		if again := Visible(v); again != v {
			t.Fatalf("Visible(%q) = %q, and of that %q", s, v, again)
		}
		b, err := Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(b, &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && valid(s) == s {
			t.Fatalf("Marshal(%q) = %s, which reads as %q (%v)", s, b, back, err)
		}
		for _, r := range string(b) {
			if !unicode.IsPrint(r) {
				t.Fatalf("Marshal(%q) = %q has %U", s, b, r)
			}
		}
	})
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"ééé", 3, "ééé"}, {"éééé", 3, "ééé…"}, {"\xff\xff\xff", 2, "\xff\xff…"}} {
		if got := Cut(c.in, c.n); got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestDefang(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"from 203.0.113.5.":                      "from 203[.]0[.]113[.]5.",
		"203.0.113.5:8443, 198.51.100.1":         "203[.]0[.]113[.]5:8443, 198[.]51[.]100[.]1",
		"addr:203.0.113.5":                       "addr:203[.]0[.]113[.]5",
		"https://evil.example:8080/a.b?c=d.e":    "hxxps://evil[.]example:8080/a.b?c=d.e",
		"HTTP://EVIL.EXAMPLE/x":                  "HxxP://EVIL[.]EXAMPLE/x",
		"ftp://a.b/ wss://c.d/":                  "fxp://a[.]b/ wxs://c[.]d/",
		"see www.evil.example/x":                 "see www[.]evil[.]example/x",
		"http://[2001:db8::1]/":                  "hxxp://[2001[:]db8[:][:]1]/",
		"from 2001:db8::1 at 06:49:43":           "from 2001[:]db8[:][:]1 at 06:49:43",
		"10.1.2.3 127.0.0.1 192.168.0.1 fe80::1": "10.1.2.3 127.0.0.1 192.168.0.1 fe80::1",
		"Chrome/103.0.0.0 Safari/537.36":         "Chrome/103.0.0.0 Safari/537.36",
		"build 15.1.225.42 of 15.1.2176.2":       "build 15.1.225.42 of 15.1.2176.2",
		"1.2.3.4.5 and 999.1.1.1 and v1.2.3.4":   "1.2.3.4.5 and 999.1.1.1 and v1.2.3.4",
		"a::b std::string ::":                    "a[:][:]b std::string ::",
		"no dots":                                "no dots",
	} {
		if got := Defang(in, "15.1.225.42"); got != want {
			t.Errorf("Defang(%q)\n got %s\nwant %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"10.0.0.1": "10[.]0[.]0[.]1", "2001:db8::1": "2001[:]db8[:][:]1", "evil.example": "evil[.]example",
		"http://evil.example/": "hxxp://evil[.]example/", "203.0.113.5:443": "203[.]0[.]113[.]5:443",
		"fe80::1": "fe80::1", "fe80::1%eth0": "fe80::1%eth0", "169.254.7.8": "169.254.7.8", "::ffff:169.254.7.8": "::ffff:169.254.7.8",
	} {
		if got := DefangHost(in); got != want {
			t.Errorf("DefangHost(%q) = %s, want %s", in, got, want)
		}
	}
}
