package mitigate

import (
	"strings"
	"testing"

	"postern"
)

// webWith is a web.config with rewrite rules.
func webWith(rules string) string {
	return "<configuration><system.webServer><rewrite><rules>" + rules + "</rules></rewrite></system.webServer></configuration>"
}

func ruleNamed(name, attributes, input, pattern string) string {
	return `<rule name="` + name + `" ` + attributes + `><match url=".*" /><conditions><add input="` + input + `" pattern="` + pattern + `" /></conditions><action type="AbortRequest" /></rule>`
}

const (
	decoded = "{UrlDecode:{REQUEST_URI}}"
	final   = "(?=.*autodiscover)(?=.*powershell)"
)

// What stands in the way of a rule is gone around or reported, and what is there is
// never touched.
func TestPlan(t *testing.T) {
	t.Parallel()
	second := `<site name="Partner" id="5"><application path="/"><virtualDirectory path="/" physicalPath="C:\web\partner" /></application>` +
		`<application path="/owa"><virtualDirectory path="/" physicalPath="C:\Program Files\Microsoft\Exchange Server\V15\FrontEnd\HttpProxy\owa" /></application></site></sites>`
	const partner = "web/partner/web.config"
	sound := ruleNamed("PowerShell - inbound", "", decoded, final)
	for _, tc := range []struct {
		name    string
		files   map[string]string
		want    string // outcome of the rule against PowerShell
		changed string // files, joined
		holds   string // must be in them
	}{
		{"nothing there", map[string]string{serverFile: plainServer(), webFile: plainWeb}, "planned", webFile, `name="PowerShell - inbound"`},
		{"in force", map[string]string{serverFile: plainServer(), webFile: webWith(sound)}, "in-force", "", ""},
		{"an outdated rule of the name", map[string]string{serverFile: plainServer(), webFile: webWith(ruleNamed("PowerShell - inbound", "", "{REQUEST_URI}", final))}, "planned", webFile, `name="PowerShell - inbound (postern 2)"`},
		{"a disabled rule", map[string]string{serverFile: plainServer(), webFile: webWith(ruleNamed("powershell - INBOUND", `enabled="false"`, decoded, final))}, "planned", webFile, `name="PowerShell - inbound (postern 2)"`},
		{"shadowed by an earlier rule", map[string]string{serverFile: plainServer(), webFile: webWith(`<rule name="all" stopProcessing="true"><match url=".*" /><action type="None" /></rule>` + sound)}, "planned", webFile, "(postern 2)"},
		{"taken away again at the end", map[string]string{serverFile: plainServer(), webFile: webWith(sound + "<clear />")}, "planned", webFile, "(postern 2)"},
		{"removed by name below", map[string]string{serverFile: plainServer(), webFile: plainWeb, ecpFile: webWith(`<remove name="PowerShell - inbound" />`)}, "planned", webFile, "(postern 2)"},
		{"the name is in use below", map[string]string{serverFile: plainServer(), webFile: plainWeb, ecpFile: webWith(sound)}, "planned", webFile, "(postern 2)"},
		{"cleared below", map[string]string{serverFile: plainServer(), webFile: plainWeb, ecpFile: webWith("<clear />")}, "cannot-be config.why.removed-below", "", ""},
		{"no web.config", map[string]string{serverFile: plainServer()}, "planned", serverFile, `<location path="Default Web Site">`},
		{"rules for its own pages alone", map[string]string{serverFile: plainServer(), webFile: `<configuration><location inheritInChildApplications="false"><system.webServer><rewrite><rules></rules></rewrite></system.webServer></location></configuration>`}, "planned", serverFile, `<location path="Default Web Site">`},
		{"the section is locked", map[string]string{serverFile: plainServer(`overrideModeDefault="Allow"`, `overrideModeDefault="Deny"`), webFile: plainWeb}, "planned", serverFile, `<location path="Default Web Site">`},
		{"the section is not declared", map[string]string{serverFile: plainServer(`name="rules"`, `name="other"`), webFile: plainWeb}, "cannot-be mitigate.no.section", "", ""},
		{"no module", map[string]string{serverFile: plainServer("RewriteModule", "OtherModule"), webFile: plainWeb}, "cannot-be config.why.module-missing", "", ""},
		{"module off for an application", map[string]string{serverFile: plainServer(), webFile: plainWeb, ecpFile: `<configuration><system.webServer><modules><remove name="RewriteModule" /></modules></system.webServer></configuration>`}, "cannot-be config.why.module-off", "", ""},
		{"no applicationHost.config", map[string]string{webFile: plainWeb}, "cannot-be config.why.absent-here", "", ""},
		{"nothing at all", nil, "cannot-be config.why.no-web-config", "", ""},
		{"broken web.config", map[string]string{serverFile: plainServer(), webFile: "<configuration><a></configuration>"}, "cannot-be mitigate.no.xml.nesting", "", ""},
		{"broken applicationHost.config", map[string]string{serverFile: plainServer("</sites>", ""), webFile: plainWeb}, "cannot-be mitigate.no.xml.nesting", "", ""},
		{"a copy of the drive", map[string]string{serverFile: plainServer(), webFile: plainWeb, "backup/" + webFile: plainWeb}, "cannot-be mitigate.no.ambiguous", "", ""},
		{"two sites", map[string]string{serverFile: plainServer("</sites>", second), webFile: plainWeb, partner: plainWeb}, "planned", webFile + " " + partner, `name="PowerShell - inbound"`},
		{"one of two sites has it", map[string]string{serverFile: plainServer("</sites>", second), webFile: webWith(sound), partner: plainWeb}, "planned", partner, "(postern 2)"},
		{"one of two sites has a file", map[string]string{serverFile: plainServer("</sites>", second), webFile: plainWeb}, "planned", serverFile + " " + webFile, `<rule name="PowerShell - inbound"`},
		{"rules in a file of their own", map[string]string{serverFile: plainServer(), webFile: `<configuration><system.webServer><rewrite><rules configSource="r.config" /></rewrite></system.webServer></configuration>`}, "planned", serverFile, `<location path="Default Web Site">`},
	} {
		files := make(map[string][]byte)
		for name, text := range tc.files {
			files[name] = []byte(text)
		}
		_, all := truth()
		var mitigations []Mitigation
		for _, m := range all {
			if m.ID == "autodiscover-rule" {
				mitigations = append(mitigations, m)
			}
		}
		p, err := Make(mitigations, files, nil, judge)
		if err != nil {
			t.Fatal(err)
		}
		if got := rulesOf(p)["autodiscover-rule"]; got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		var changed []string
		for _, c := range p.Changes {
			changed = append(changed, c.File)
			if !strings.Contains(string(c.After), tc.holds) || !onlyAdded(c.Before, c.After) {
				t.Errorf("%s: %s is now\n%s", tc.name, c.File, c.After)
			}
		}
		if got := strings.Join(changed, " "); got != tc.changed {
			t.Errorf("%s: %q is changed, want %q", tc.name, got, tc.changed)
		}
		for name, text := range tc.files {
			if string(files[name]) != text {
				t.Errorf("%s: planning changed %s itself", tc.name, name)
			}
		}
	}
}

// A file that was not read may be the web.config that seems not to be there.
func TestPlanLeavesAloneWhatItDidNotRead(t *testing.T) {
	t.Parallel()
	_, mitigations := truth()
	unread := []postern.Problem{{Path: webFile, What: postern.Unreadable}}
	p, err := Make(mitigations, map[string][]byte{serverFile: []byte(plainServer())}, unread, judge)
	if err != nil || len(p.Changes) > 0 || rulesOf(p)["backend-cookie"] != "cannot-be mitigate.no.unread" {
		t.Errorf("%v, %d changes, %v", rulesOf(p), len(p.Changes), err)
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	_, mitigations := truth()
	n := 0
	for i := range mitigations {
		m := &mitigations[i]
		if len(m.Rules) > 0 {
			continue
		}
		n++
		scripts, err := Scripts(m)
		if err != nil || len(scripts) != 3 {
			t.Fatalf("%s: %d scripts, %v", m.ID, len(scripts), err)
		}
		for _, s := range scripts {
			for _, name := range append(append(m.Pools, m.Services...), m.RestartedBy...) {
				if !strings.Contains(s.Body, "'"+name+"'") {
					t.Errorf("%s does not name %s", s.Name, name)
				}
			}
			if strings.Count(s.Body, "{") != strings.Count(s.Body, "}") || strings.Count(s.Body, "(") != strings.Count(s.Body, ")") || strings.Contains(s.Body, "%!") {
				t.Errorf("%s is not whole:\n%s", s.Name, s.Body)
			}
		}
		if len(m.RestartedBy) == 0 {
			t.Errorf("%s: nothing is said of the services that start it again", m.ID)
		}
	}
	if n != 3 {
		t.Errorf("%d mitigations have scripts, want 3", n)
	}
	// A name must not become code.
	if _, err := Scripts(&Mitigation{Campaign: "c", ID: "i", Pools: []string{"a'; Remove-Item x; '"}}); err == nil {
		t.Error("a quote goes into a script")
	}
}
