package mitigate

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf16"
)

// shapes are the forms of files that rules go into, by what of the path to them is
// there.
var shapes = map[string]string{
	"nothing":        "<configuration/>",
	"empty":          "<?xml version=\"1.0\"?>\n<configuration>\n</configuration>\n",
	"one line":       `<configuration><system.webServer><rewrite><rules><rule name="a"/></rules></rewrite></system.webServer></configuration>`,
	"server":         "<configuration>\n\t<system.webServer>\n\t\t<httpRedirect enabled=\"false\" />\n\t</system.webServer>\n</configuration>",
	"rewrite":        "<configuration>\n  <system.webServer>\n    <rewrite>\n      <outboundRules />\n    </rewrite>\n  </system.webServer>\n</configuration>\n",
	"rules":          "<configuration>\n  <system.webServer>\n    <rewrite>\n      <rules>\n        <rule name=\"https\" stopProcessing=\"true\" />\n      </rules>\n    </rewrite>\n  </system.webServer>\n</configuration>\n",
	"cleared":        "<configuration>\n  <system.webServer>\n    <rewrite>\n      <rules>\n        <rule name=\"a\"/>\n        <clear />\n        <rule name=\"b\"/>\n      </rules>\n    </rewrite>\n  </system.webServer>\n</configuration>\n",
	"empty rules":    "<configuration>\n  <system.webServer>\n    <rewrite>\n      <rules />\n    </rewrite>\n  </system.webServer>\n</configuration>\n",
	"own pages":      "<configuration>\n  <location inheritInChildApplications=\"false\">\n    <system.webServer>\n      <modules />\n    </system.webServer>\n  </location>\n</configuration>\n",
	"location":       "<configuration>\n  <location path=\"Default Web Site\">\n    <system.webServer>\n      <modules />\n    </system.webServer>\n  </location>\n</configuration>\n",
	"locked":         "<configuration>\n  <location path=\"default web site\" overrideMode=\"Deny\">\n    <system.webServer />\n  </location>\n</configuration>\n",
	"dot":            "<configuration>\n  <location path=\".\">\n    <system.webServer><rewrite><rules></rules></rewrite></system.webServer>\n  </location>\n</configuration>\n",
	"comments":       "<!-- é --><configuration><!-- <rules> --><system.webServer><!-- a -->\n</system.webServer><?x <rules?>\n<a><![CDATA[<rules>]]></a></configuration><!-- end -->",
	"characters":     "<configuration>\n <appSettings><add key=\"ключ &amp; &#x43;\" value='\"€𝄞\"'/></appSettings>\n</configuration>",
	"crooked indent": "<configuration>\n<system.webServer>\n      <rewrite>\n   <rules>\n  </rules></rewrite></system.webServer></configuration>",
}

// format is an encoding of files of configuration.
type format struct {
	name  string
	write func(string) []byte
}

var encodings = []format{
	{"UTF-8", func(s string) []byte { return []byte(s) }},
	{"UTF-8 with its mark", func(s string) []byte { return []byte("\uFEFF" + s) }},
	{"UTF-16LE", func(s string) []byte { return utf16Bytes("\uFEFF"+s, false) }},
	{"UTF-16BE", func(s string) []byte { return utf16Bytes("\uFEFF"+s, true) }},
	{"UTF-16LE without a mark", func(s string) []byte { return utf16Bytes(s, false) }},
}

func utf16Bytes(s string, big bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

// Every shape, in every encoding, with both line ends, gets the rules and keeps all
// other bytes.
func TestInsert(t *testing.T) {
	t.Parallel()
	for name, text := range shapes {
		for _, e := range encodings {
			for _, eol := range []string{"\n", "\r\n"} {
				for _, site := range []string{"", "Default Web Site"} {
					raw := e.write(strings.ReplaceAll(text, "\n", eol))
					out, err := insert(raw, site, someRules)
					if err != nil {
						t.Errorf("%s, %s, %q, site %q: %v", name, e.name, eol, site, err)
						continue
					}
					checkInserted(t, raw, out, site)
					d, _ := open(out)
					plain := d.str(0, len(d.text))
					if bare := strings.Count(plain, "\n") - strings.Count(plain, "\r\n"); strings.Contains(text, "\n") && (eol == "\n" && strings.Contains(plain, "\r") || eol == "\r\n" && bare > 0) {
						t.Errorf("%s, %s, %q: line ends are mixed:\n%q", name, e.name, eol, plain)
					}
				}
			}
		}
	}
}

// What it looks like, for people.
func TestInsertIsTidy(t *testing.T) {
	t.Parallel()
	got, err := insert([]byte(shapes["rules"]), "", someRules[:1])
	if err != nil {
		t.Fatal(err)
	}
	want := `<configuration>
  <system.webServer>
    <rewrite>
      <rules>
        <rule name="X-BEResource Abort - inbound" patternSyntax="ECMAScript" stopProcessing="true">
          <match url=".*" />
          <conditions>
            <add input="{HTTP_COOKIE}" pattern="(.*)X-BEResource=(.+)/(.+)~(.+)" />
          </conditions>
          <action type="AbortRequest" />
        </rule>
        <rule name="https" stopProcessing="true" />
      </rules>
    </rewrite>
  </system.webServer>
</configuration>
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	diff := Diff("a", "b", []byte(shapes["empty rules"]), mustInsert(t, shapes["empty rules"]))
	wantDiff := `--- a
+++ b
@@ -1,7 +1,15 @@
 <configuration>
   <system.webServer>
     <rewrite>
-      <rules />
+      <rules>
+        <rule name="X-BEResource Abort - inbound" patternSyntax="ECMAScript" stopProcessing="true">
+          <match url=".*" />
+          <conditions>
+            <add input="{HTTP_COOKIE}" pattern="(.*)X-BEResource=(.+)/(.+)~(.+)" />
+          </conditions>
+          <action type="AbortRequest" />
+        </rule>
+      </rules>
     </rewrite>
   </system.webServer>
 </configuration>
`
	if diff != wantDiff {
		t.Errorf("diff\n%s\nwant\n%s", diff, wantDiff)
	}
}

func mustInsert(t *testing.T, text string) []byte {
	t.Helper()
	out, err := insert([]byte(text), "", someRules[:1])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What nobody can write into without a doubt is refused, and why is said.
func TestInsertRefuses(t *testing.T) {
	t.Parallel()
	list := "<system.webServer><rewrite><rules></rules></rewrite></system.webServer>"
	for _, tc := range []struct{ name, text, site, why string }{
		{"nothing", "", "", "xml.root"},
		{"text", "hello", "", "xml.root"},
		{"text after", "<configuration/>x", "", "xml.root"},
		{"two roots", "<configuration/><configuration/>", "", "xml.root"},
		{"another file", "<project/>", "", "root"},
		{"cut", "<configuration>\n<a>", "", "xml.open"},
		{"cut in a tag", "<configuration", "", "xml.tag"},
		{"wrong nesting", "<configuration><a></configuration></a>", "", "xml.nesting"},
		{"capitals", "<configuration></Configuration>", "", "xml.nesting"},
		{"no quotes", "<configuration a=b/>", "", "xml.tag"},
		{"no space", `<configuration a="b"c="d"/>`, "", "xml.tag"},
		{"attribute twice", `<configuration a="b" a="c"/>`, "", "xml.twice"},
		{"less-than in a value", `<configuration a="<"/>`, "", "xml.tag"},
		{"unknown reference", "<configuration>&nbsp;</configuration>", "", "xml.entity"},
		{"reference to nothing", "<configuration a='&#0;'/>", "", "xml.entity"},
		{"document type", `<!DOCTYPE configuration [<!ENTITY a "b">]><configuration/>`, "", "xml.doctype"},
		{"hyphens in a comment", "<configuration><!-- a -- b --></configuration>", "", "xml.comment"},
		{"late declaration", "\n<?xml version='1.0'?><configuration/>", "", "xml.declaration"},
		{"control character", "<configuration>\x01</configuration>", "", "xml.character"},
		{"NUL padding", "<configuration/>\x00\x00", "", "xml.root"},
		{"bytes that are no characters", "<configuration>\xe9</configuration>", "", "characters"},
		{"an encoding of its own", `<?xml version="1.0" encoding="utf-7"?><configuration/>`, "", "encoding"},
		{"half a pair", string(utf16Bytes("<configuration>", false)) + "\x00\xd8", "", "characters"},
		{"deep", "<configuration>" + strings.Repeat("<a>", 200), "", "xml.bound"},
		{"two lists", "<configuration>" + list + list + "</configuration>", "", "two-lists"},
		{"a list for itself and one for all", "<configuration>" + list + "<location path='.'>" + list + "</location></configuration>", "", "two-lists"},
		{"a list for its own pages", "<configuration><location inheritInChildApplications='false'>" + list + "</location></configuration>", "", "own-pages"},
		{"a list elsewhere", "<configuration><system.webServer><rewrite><rules configSource='r.config'/></rewrite></system.webServer></configuration>", "", "external"},
		{"two lists of a site", "<configuration><location path='A'>" + list + "</location><location path='a'>" + list + "</location></configuration>", "A", "two-lists"},
		{"a site's own pages", "<configuration><location path='A' inheritInChildApplications='0'>" + list + "</location></configuration>", "A", "own-pages"},
	} {
		_, err := insert([]byte(tc.text), tc.site, someRules)
		var why *Refusal
		if !errors.As(err, &why) || why.Why.Key != "mitigate.no."+tc.why {
			t.Errorf("%s: %v, want mitigate.no.%s", tc.name, err, tc.why)
		}
	}
	if _, err := open(make([]byte, MaxBytes+1)); err == nil {
		t.Error("a file beyond the bound is read")
	}
	// One byte a character, as old editors write.
	old := "<?xml version=\"1.0\" encoding=\"windows-1252\"?>\r\n<configuration>\r\n<!-- \xe9 -->\r\n</configuration>"
	if out, err := insert([]byte(old), "Garçon", someRules); err != nil || !strings.Contains(string(out), `path="Gar&#xE7;on"`) {
		t.Errorf("windows-1252: %v\n%q", err, out)
	}
}
