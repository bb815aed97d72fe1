package yara

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/VirusTotal/gyp"
	"github.com/VirusTotal/gyp/ast"
	"github.com/google/go-cmp/cmp"
)

// TestHexAsTheParser compares the short way with the parser's own.
func TestHexAsTheParser(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"{ 00 }", "{00ff}", "{ 0? ?1 ?? AB }", "{ 01 [2] 03 [4-5] 06 [7-] 08 [-] 09 }", "{ ~01 02 ~?3 }",
		"{ 01 // rest } of the line\n 02 /* in } between */ 03 }", "{ 01 [ 2 - 3 ] 04 }",
	} {
		tokens, ok := readHex(s)
		set, err := gyp.ParseString("rule r { strings: $a = " + s + " condition: $a }")
		if err != nil || !ok {
			t.Errorf("%s: got %v, the parser says %v", s, ok, err)
			continue
		}
		if diff := cmp.Diff(fmt.Sprint(set.Rules[0].Strings[0].(*ast.HexString)), fmt.Sprint(&ast.HexString{BaseString: ast.BaseString{Identifier: "a"}, Tokens: tokens})); diff != "" {
			t.Errorf("%s (-parser +short way):\n%s", s, diff)
		}
	}
	for _, s := range []string{"{ }", "{ 0 }", "{ [1] 00 }", "{ 00 [1] }", "{ 00 [1] [2] 00 }", "{ 00 [3-2] 00 }", "{ 00 ( 01 | 02 ) }", "{ xx }", "{ 00 [0] 00 }", "{ ~?? 00 }", "{ 00 [-3] 00 }"} {
		if _, ok := readHex(s); ok {
			t.Errorf("%s: was read, want it left to the parser", s)
		}
	}
}

func TestHexStringsInRules(t *testing.T) {
	t.Parallel()
	rules, report := compiled(t, map[string]string{"a.yar": `rule r {
  strings:
    $a = { 61 // } a {b}
           62 } private
    $b = /* c */ { 63 ~6? 00 }
    $c = { 64 [0-0] 65 }
    $d = "{ 66 }"
  condition:
    all of them
}
rule modified { strings: $a = { 61 } nocase condition: $a }
rule good { condition: true }`})
	if got := said(report); len(got) != 1 || got[0] != "a.yar:11 modified yara.hex-modifier" {
		t.Errorf("got the report %q", got)
	}
	for data, want := range map[string]int{"ab c\x51\x00 de { 66 }": 2, "ab c\x61\x00 de { 66 }": 1, "ab c\x51\x00 d.e { 66 }": 1} {
		if got := matched(t, rules, data); len(got) != want {
			t.Errorf("%q: got %q, want %d", data, got, want)
		}
	}
	if line := rules.rules[1].meta.Line; line != 12 {
		t.Errorf("the rule behind stands in line %d, want 12", line)
	}
}

// TestAlphabets has alphabets of base64 with escapes, that of YARA's manual first.
func TestAlphabets(t *testing.T) {
	t.Parallel()
	const manual = `!@#$%^&*(){}[].,|ABCDEFGHIJ\x09LMNOPQRSTUVWXYZabcdefghijklmnopqrstu`
	const other = `\"\\+-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx`
	lines := []string{
		`rule manual { strings: $a = "This program cannot" base64("` + manual + `") condition: $a }`,
		`rule both { strings: $a = "This program cannot" base64 ( "` + manual + `" ) base64wide("` + manual + `") condition: $a }`,
		`rule other { strings: $a = "This program cannot" base64wide("` + other + `") $b = { 54 68 69 73 } condition: any of them }`,
		`rule text { strings: $a = "base64(" $b = "` + manual + `" condition: any of them }`,
	}
	rules, report := compiled(t, map[string]string{"a.yar": strings.Join(lines, "\n") + `
rule short { strings: $a = "abc" base64("` + manual[1:] + `") condition: $a }
rule behind { strings: $a = "abc" base64("ABC") condition: $a }`})
	if got, want := said(report), []string{"a.yar:5 short yara.syntax.modifier", "a.yar:6 behind yara.syntax.modifier"}; !slices.Equal(got, want) {
		t.Errorf("got the report %q, want %q", got, want)
	}
	encode := func(alphabet, before string) string {
		plain, err := unescape(alphabet)
		if err != nil {
			t.Fatal(err)
		}
		return base64.NewEncoding(plain).WithPadding(base64.NoPadding).EncodeToString([]byte(before + "This program cannot be run"))
	}
	wide := func(s string) string { return strings.Join(strings.Split(s, ""), "\x00") + "\x00" }
	files := map[string][]string{
		encode(manual, ""):           {"manual", "both"},
		encode(manual, "x"):          {"manual", "both"},
		encode(manual, "xx"):         {"manual", "both"},
		wide(encode(manual, "x")):    {"both"},
		encode(other, ""):            {},
		wide(encode(other, "ab")):    {"other"},
		"This program cannot be run": {"other"},
		"base64(" + manual:           {"text"},
	}
	yara, err := exec.LookPath("yara")
	dir := t.TempDir()
	n := 0
	for data, want := range files {
		if got := matched(t, rules, data); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", data, got, want)
		}
		if err != nil {
			continue // yara is not installed (Debian: yara)
		}
		n++
		name := filepath.Join(dir, fmt.Sprint("f", n))
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		found, kept := oracle(t, yara, lines, name)
		if !slices.Equal(kept, lines) || len(found) != len(want) {
			t.Errorf("%q: yara finds %v, want %q", data, found, want)
		}
		for _, rule := range want {
			if !found[rule+" "+filepath.Base(name)] {
				t.Errorf("%q: yara does not find %s", data, rule)
			}
		}
	}
}
