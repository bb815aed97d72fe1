package yara

import (
	"strings"
	"testing"
)

// TestConditions has what the comparison with yara cannot ask: what later versions
// brought, and where Debian's has a mistake.
func TestConditions(t *testing.T) {
	t.Parallel()
	const data = "ab cd ab cd ab  needle"
	for condition, want := range map[string]bool{
		`#a in (0..6) == 2`:                                 true,
		`#a in (1..6) == 1`:                                 true,
		`#a in (filesize..2) == 0`:                          true,
		`#a in (uint8(999)..9) == 0`:                        false, // undefined
		`not defined (#a in (uint8(999)..9))`:               true,
		`for none of ($a,$c) : ($ at 1)`:                    true,
		`for none of ($a,$c) : ($ at 0)`:                    false,
		`for none i in (1..3) : (@a[i] == 1)`:               true,
		`for none i in (1..3) : (@a[i] == 0)`:               false,
		`for 0 i in (1..3) : (@a[i] == 0)`:                  false,
		`for none i in (#a..1) : (true)`:                    false, // no round at all
		`any of them at 0`:                                  true,
		`all of them at 0`:                                  false,
		`2 of ($a,$c,$n) in (0..4)`:                         true,
		`none of ($a,$c) in (15..22)`:                       true,
		`for any s in ("x", "Page.aspx") : (filename == s)`: true,
		`9223372036854775807 + #a < 0`:                      true, // wraps round
		`1 \ (#n - 1) == 0`:                                 false,
		`defined (1 \ (#n - 1))`:                            false,
		`1 << 64 == 0 and 1 << 63 < 0`:                      true,
		`-8 >> 1 == -4`:                                     true,
		`not defined (1 << (#n - 2))`:                       true,
		`0.1 + 0.2 == 0.3`:                                  true, // within epsilon
		`not owner == "x"`:                                  false,
		`not defined owner`:                                 true,
		`filename iequals "PAGE.ASPX"`:                      true,
		`"\xff" < "a"`:                                      true, // bytes are signed
		`entrypoint == 0`:                                   false,
		`not defined entrypoint`:                            true,
		`time.now() > 1700000000`:                           true,
		`string.length("abc") == 3`:                         true,
		`pe.is_pe`:                                          false,
		`for any s in pe.sections : (s.name == ".text")`:    false,
		`for any k, v in pe.version_info : (v == "x")`:      false,
		`pe.MACHINE_AMD64 == 0x8664`:                        true,
		`math.to_number(#a > 1) == 1`:                       true,
	} {
		rules, report := compiled(t, map[string]string{"a.yar": `import "pe" import "math" import "time" import "string"
rule r { strings: $a = "ab" $c = "cd" $n = "needle" condition: (` + condition + `) or for all of them : (false) }`})
		if len(report.Unsupported) > 0 {
			t.Errorf("%s: %s %v", condition, report.Unsupported[0].Why.Key, report.Unsupported[0].Why.Args)
			continue
		}
		if got := len(matched(t, rules, data)) == 1; got != want {
			t.Errorf("%s: got %v, want %v", condition, got, want)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{
		`cuckoo.network.http_request(/x/)`: "yara.module.cuckoo",
		`nowhere.field`:                    "yara.unknown-module",
		`math.entropy(0, filesize) == 1`:   "yara.not-imported",
		`pe.number_of_nothing == 1`:        "yara.unknown-field",
		`pe.imphash(1) == ""`:              "yara.arguments",
		`pe`:                               "yara.wrong-use",
		`pe.sections`:                      "yara.wrong-use",
		`"a" + 1 == 2`:                     "yara.wrong-type",
		`"a" == 1`:                         "yara.wrong-type",
		`1.5 & 1 == 1`:                     "yara.wrong-type",
		`$ at 0`:                           "yara.self-outside",
		`101% of them`:                     "yara.percentage",
		`for any i in filesize : (true)`:   "yara.syntax.unexpected",
		`for any i in pe.is_pe : (true)`:   "yara.not-iterable",
		`for any i, j in (1..2) : (true)`:  "yara.loop-variables",
		`for any i in (1..2) : (for any i in (1..2) : (true))`: "yara.twice",
		`any of ("a", "b")`: "yara.text-set",
		`/a(/`:              "yara.regexp",
	} {
		_, report := compiled(t, map[string]string{"a.yar": `import "pe" import "cuckoo" import "nowhere"
rule r { strings: $a = "ab" condition: ` + condition + ` and $a }
rule rests { condition: r }
rule stays { condition: true }`})
		got := said(report)
		if len(got) != 2 || !strings.HasSuffix(got[0], " r "+want) || !strings.HasSuffix(got[1], " rests yara.depends") || report.Loaded != 1 {
			t.Errorf("%s: got %q and %d loaded, want %s, yara.depends and 1", condition, got, report.Loaded, want)
		}
	}
}
