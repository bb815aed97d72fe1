package mitigate

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// configuration draws a web.config as people and programs write them: in any order,
// with comments where nobody expects them, white space of all kinds, other sections.
func configuration(t *rapid.T) string {
	var b strings.Builder
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	blank := func() { b.WriteString(pick("blank", "", "\n", "\n    ", "\n\t", " ", "\n\n  ")) }
	noise := func() {
		b.WriteString(pick("noise", "", "", "<!-- <rules> é -->", "<?pi </rules> ?>", "<appSettings><add key='a>b' value=\"€ 𝄞 &amp; &#x3c;\" /></appSettings>",
			"<httpRedirect enabled = \"false\"\n/>", "<staticContent></staticContent >", "<a><![CDATA[</configuration>]]></a>"))
		blank()
	}
	var element func(name string, inside func())
	element = func(name string, inside func()) {
		b.WriteString("<" + name + pick("space", "", " ", "\n "))
		if inside == nil {
			b.WriteString("/>")
			return
		}
		b.WriteString(">")
		blank()
		noise()
		inside()
		noise()
		blank()
		first, _, _ := strings.Cut(name, " ")
		b.WriteString("</" + first + pick("space", "", " ") + ">")
	}
	maybe := func(label string, inside func()) func() {
		if rapid.IntRange(0, 3).Draw(t, label) == 0 {
			return nil
		}
		return inside
	}
	rules := func() {
		for range rapid.IntRange(0, 3).Draw(t, "rules") {
			b.WriteString(pick("rule", `<rule name="a"><match url="x" /><action type="None" /></rule>`, `<clear />`, `<remove name="b"/>`,
				`<rule name="X-BEResource Abort - inbound" enabled="false"><match url=".*" /><action type="AbortRequest" /></rule>`,
				`<rule name='all' stopProcessing='true'><match url='.*'/><action type='Rewrite' url='/x'/></rule>`))
			blank()
		}
	}
	web := func() {
		if rapid.Bool().Draw(t, "rewrite") {
			element("rewrite", maybe("rewrite inside", func() {
				if rapid.Bool().Draw(t, "list") {
					element("rules", maybe("rules inside", rules))
				}
			}))
		}
	}
	b.WriteString(pick("declaration", "", "<?xml version=\"1.0\"?>", "<?xml version='1.0' standalone='yes' ?>\n"))
	b.WriteString(pick("before", "", "<!-- before -->", "\n"))
	if strings.HasPrefix(b.String(), "\n") {
		b.Reset()
	}
	element("configuration", maybe("configuration", func() {
		if rapid.Bool().Draw(t, "location") {
			element(pick("which", `location path="owa"`, `location inheritInChildApplications="false"`, `location path="Default Web Site"`, `location path="." allowOverride="true"`),
				func() { element("system.webServer", web) })
			blank()
		}
		if rapid.Bool().Draw(t, "server") {
			element("system.webServer", maybe("server inside", web))
		}
	}))
	b.WriteString(pick("after", "", "\n", "<!-- after -->\n\n"))
	return b.String()
}

// Whatever a web.config looks like and however it is saved: the plan adds one piece
// and nothing else, the judge then says that all is in force, planning again changes
// nothing, and where nothing can be done nothing is changed.
func TestAnyConfiguration(t *testing.T) {
	t.Parallel()
	_, mitigations := truth()
	server := []byte(plainServer())
	planned := 0
	rapid.Check(t, func(t *rapid.T) {
		text := configuration(t)
		if rapid.Bool().Draw(t, "crlf") {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		e := rapid.SampledFrom(encodings).Draw(t, "encoding")
		raw := e.write(text)
		files := map[string][]byte{serverFile: server, webFile: raw}
		p, err := Make(mitigations, files, nil, judge)
		if err != nil {
			t.Fatal(err)
		}
		for id, outcome := range rulesOf(p) {
			// Two lists for one place are a mistake that IIS does not forgive.
			if outcome == "cannot-be mitigate.no.two-lists" && len(p.Changes) == 0 && strings.Count(text, "<system.webServer") > 1 {
				return
			}
			if outcome != "planned" {
				t.Fatalf("%s: %s\n%s", id, outcome, text)
			}
		}
		planned++
		after := maps.Clone(files)
		for _, c := range p.Changes {
			if !onlyAdded(c.Before, c.After) {
				t.Fatalf("%s: other bytes are changed:\n%q\n%q", c.File, c.Before, c.After)
			}
			after[c.File] = c.After
		}
		again, err := Make(mitigations, after, nil, judge)
		if err != nil || len(again.Changes) > 0 {
			t.Fatalf("planning again changes %d files: %v", len(again.Changes), err)
		}
		for id, outcome := range rulesOf(again) {
			if outcome != "in-force" {
				t.Fatalf("%s is then %s", id, outcome)
			}
		}
		shown := Diff("a", "b", raw, after[webFile])
		if (shown == "") != (string(raw) == string(after[webFile])) {
			t.Fatalf("the diff shows %q", shown)
		}
	})
	if planned == 0 {
		t.Error("nothing was planned")
	}
}
