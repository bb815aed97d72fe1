package yara

import (
	"fmt"
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
