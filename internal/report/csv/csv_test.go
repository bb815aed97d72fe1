package csv

import "testing"

func TestCell(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                          "",
		"plain - text = 1":          "plain - text = 1",
		"=1+1":                      "'=1+1",
		"+1":                        "'+1",
		"-1":                        "'-1",
		"@SUM(1)":                   "'@SUM(1)",
		"  =1":                      "  '=1",
		`"=1"`:                      `"'=1"`,
		"'=1":                       "''=1",
		"＝1":                        "'＝1",
		"a;=1":                      "a;'=1",
		"a, =1|@b":                  "a, '=1|'@b",
		"a\t=1\r\n=2":               `a\t=1\r\n=2`,
		"\x00=1":                    `\u0000=1`,
		"\ufeff=1":                  `\ufeff=1`,
		"x\x1b[2J":                  `x\u001b[2J`,
		"http://evil.example/?a=-1": "hxxp://evil[.]example/?a=-1",
		"from 203.0.113.5":          "from 203[.]0[.]113[.]5",
		"15.1.225.42":               "15.1.225.42",
	} {
		if got := cell(in, []string{"15.1.225.42"}); got != want {
			t.Errorf("cell(%q)\n got %s\nwant %s", in, got, want)
		}
	}
}
