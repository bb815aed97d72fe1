package iisconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"postern"
	"postern/internal/hunt/detect"
)

// webConfig is the root web.config of a site, with something more in it.
func webConfig(more string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<configuration>
<location inheritInChildApplications="false"><system.webServer><modules><remove name="HttpCacheModule" /><remove name="RewriteModule" /></modules></system.webServer></location>
` + more + `
</configuration>`
}

func rules(inside string) string {
	return "<system.webServer><rewrite><rules>" + inside + "</rules></rewrite></system.webServer>"
}

// ruleText is a rewrite rule; edits replace parts of the text of a sound one.
func ruleText(name, input, pattern string, edits ...string) string {
	text := fmt.Sprintf(`
<rule name="%s" patternSyntax="ECMAScript" stopProcessing="false">
<match url=".*" />
<conditions><add input="%s" pattern="%s" /></conditions>
<action type="AbortRequest" />
</rule>`, name, input, pattern)
	return strings.NewReplacer(edits...).Replace(text)
}

func anon(edits ...string) string {
	return ruleText("X-AnonResource-Backend Abort - inbound", "{HTTP_COOKIE}", "(.*)X-AnonResource-Backend(.*)", edits...)
}

func be(edits ...string) string {
	return ruleText("X-BEResource Abort - inbound", "{HTTP_COOKIE}", "(.*)X-BEResource=(.+)/(.+)~(.+)", edits...)
}

// first gives a rule before the others.
func first(action, url, conditions string) string {
	return fmt.Sprintf(`<rule name="first" stopProcessing="true"><match url="%s" />%s<action type="%s" url="x" /></rule>`, url, conditions, action)
}

func state(t *testing.T, d *Detector, id string, files map[string]string) MitigationState {
	t.Helper()
	var configs []*Config
	for path, text := range files {
		configs = append(configs, config(t, d, path, text))
	}
	for _, s := range d.Mitigations(configs...) {
		if s.ID == id {
			return s
		}
	}
	t.Fatalf("no mitigation %s", id)
	return MitigationState{}
}

func TestBackendCookie(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	host := server{}.text()
	both := rules(anon() + be())
	second := `<site name="Partner" id="5">` + app("/", `D:\web\partner`) + app("/owa", `D:\Exchange\FrontEnd\HttpProxy\owa`) + `</site>`
	const partner = "EX01/D/web/partner/web.config"
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  postern.State
		why   string
	}{
		{"both rules", map[string]string{hostPath: host, rootPath: webConfig(both)}, postern.Yes, "config.why.effective"},
		{"other names", map[string]string{hostPath: host, rootPath: webConfig(rules(anon("X-AnonResource-Backend Abort - inbound", "a") + be("X-BEResource Abort - inbound", "EEMS b")))}, postern.Yes, "config.why.effective"},
		{"refused with a status", map[string]string{hostPath: host, rootPath: webConfig(rules(anon(`"AbortRequest"`, `"CustomResponse" statusCode="403"`) + be()))}, postern.Yes, "config.why.effective"},
		{"a stronger pattern", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("(.*)X-BEResource=(.+)/(.+)~(.+)", "X-BEResource")))}, postern.Yes, "config.why.effective"},
		{"for the whole server", map[string]string{hostPath: server{tail: strings.Replace(both, "rules>", "globalRules>", 2)}.text(), rootPath: webConfig("")}, postern.Yes, "config.why.effective"},
		{"for the site, in applicationHost", map[string]string{hostPath: server{tail: `<location path="default web site">` + both + `</location>`}.text(), rootPath: webConfig("")}, postern.Yes, "config.why.effective"},
		{"a redirect before them", map[string]string{hostPath: host, rootPath: webConfig(rules(first("Redirect", ".*", "") + anon() + be()))}, postern.Yes, "config.why.effective"},
		{"another address before them", map[string]string{hostPath: host, rootPath: webConfig(rules(first("None", `^\.well-known/acme-challenge/`, "") + anon() + be()))}, postern.Yes, "config.why.effective"},
		{"one of two copies disabled", map[string]string{hostPath: host, rootPath: webConfig(rules(be(`stopProcessing="false"`, `enabled="false"`) + anon() + be()))}, postern.Yes, "config.why.effective"},

		{"no rules", map[string]string{hostPath: host, rootPath: webConfig("")}, postern.No, "config.why.absent"},
		{"other rules", map[string]string{hostPath: host, rootPath: webConfig(rules(ruleText("https", "{HTTPS}", "off")))}, postern.No, "config.why.absent"},

		{"one rule missing", map[string]string{hostPath: host, rootPath: webConfig(rules(be()))}, postern.Ineffective, "config.why.rule-missing"},
		{"one disabled", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be(`stopProcessing="false"`, `enabled="false"`)))}, postern.Ineffective, "config.why.disabled"},
		{"a pattern that lets through", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("(.+)~(.+)", "(.+)~9(.+)")))}, postern.Ineffective, "config.why.pattern"},
		{"another input", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("{HTTP_COOKIE}", "{QUERY_STRING}")))}, postern.Ineffective, "config.why.input"},
		{"a further condition", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("</conditions>", `<add input="{REQUEST_METHOD}" pattern="GET" /></conditions>`)))}, postern.Ineffective, "config.why.more-conditions"},
		{"a further condition of which one is enough", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("<conditions>", `<conditions logicalGrouping="MatchAny">`, "</conditions>", `<add input="{REQUEST_METHOD}" pattern="TRACE" /></conditions>`)))}, postern.Yes, "config.why.effective"},
		{"negated", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("pattern=", `negate="true" pattern=`)))}, postern.Ineffective, "config.why.negate"},
		{"capitals only", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("pattern=", `ignoreCase="false" pattern=`)))}, postern.Ineffective, "config.why.case"},
		{"test for a file", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("pattern=", `matchType="IsFile" pattern=`)))}, postern.Ineffective, "config.why.match-type"},
		{"one address only", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be(`url=".*"`, `url="^owa/"`)))}, postern.Ineffective, "config.why.url"},
		{"exact match", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("ECMAScript", "ExactMatch")))}, postern.Ineffective, "config.why.url"},
		{"only rewritten", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("AbortRequest", "Rewrite")))}, postern.Ineffective, "config.why.action"},
		{"no action", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be(` type="AbortRequest"`, "")))}, postern.Ineffective, "config.why.action"},
		{"answered with success", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be(`"AbortRequest"`, `"CustomResponse" statusCode="200"`)))}, postern.Ineffective, "config.why.action"},
		{"a rule before them ends the list", map[string]string{hostPath: host, rootPath: webConfig(rules(first("Rewrite", "(.*)", "") + anon() + be()))}, postern.Ineffective, "config.why.earlier-rule"},
		{"a rule before them ends it for /ecp", map[string]string{hostPath: host, rootPath: webConfig(rules(first("None", "^ecp/", "") + anon() + be()))}, postern.Ineffective, "config.why.earlier-rule"},
		{"cleared after", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be() + "<clear />"))}, postern.Ineffective, "config.why.removed"},
		{"removed by the site", map[string]string{hostPath: server{tail: `<location path="Default Web Site">` + both + `</location>`}.text(), rootPath: webConfig(rules(`<remove name="X-BEResource Abort - inbound" />`))}, postern.Ineffective, "config.why.removed"},
		{"cleared before", map[string]string{hostPath: host, rootPath: webConfig(rules("<clear />" + anon() + be()))}, postern.Yes, "config.why.effective"},
		{"cleared for an application", map[string]string{hostPath: host, rootPath: webConfig(both), ecpPath: webConfig(rules("<clear />"))}, postern.Ineffective, "config.why.removed-below"},
		{"cleared for an application in applicationHost", map[string]string{hostPath: server{tail: `<location path="Default Web Site/ecp">` + rules("<clear />") + `</location>`}.text(), rootPath: webConfig(both)}, postern.Ineffective, "config.why.removed-below"},
		{"not inherited", map[string]string{hostPath: host, rootPath: webConfig(`<location inheritInChildApplications="false">` + both + `</location>`)}, postern.Ineffective, "config.why.not-inherited"},
		{"no rewrite module", map[string]string{hostPath: server{noRewrite: true}.text(), rootPath: webConfig(both)}, postern.Ineffective, "config.why.module-missing"},
		{"module off for the site", map[string]string{hostPath: host, rootPath: webConfig(both + `<system.webServer><modules><remove name="RewriteModule" /></modules></system.webServer>`)}, postern.Ineffective, "config.why.module-off"},
		{"module off for an application", map[string]string{hostPath: host, rootPath: webConfig(both), ecpPath: webConfig("")}, postern.Ineffective, "config.why.module-off"},
		{"module off in applicationHost", map[string]string{hostPath: server{tail: `<location path="Default Web Site"><system.webServer><modules><remove name="RewriteModule" /></modules></system.webServer></location>`}.text(), rootPath: webConfig(both)}, postern.Ineffective, "config.why.module-off"},
		{"in an application's web.config only", map[string]string{hostPath: host, rootPath: webConfig(""), ecpPath: webConfig(both)}, postern.Ineffective, "config.why.elsewhere-rule"},
		{"on the back end only", map[string]string{hostPath: host, rootPath: webConfig(""), "EX01/D/Exchange/ClientAccess/web.config": webConfig(both)}, postern.Ineffective, "config.why.elsewhere-rule"},
		{"on one of two sites", map[string]string{hostPath: server{sites: second}.text(), rootPath: webConfig(both), partner: webConfig("")}, postern.Ineffective, "config.why.other-site"},
		{"on two of two sites", map[string]string{hostPath: server{sites: second}.text(), rootPath: webConfig(both), partner: webConfig(both)}, postern.Yes, "config.why.effective"},

		{"a conditional rule before them", map[string]string{hostPath: host, rootPath: webConfig(rules(first("None", ".*", `<conditions><add input="{REMOTE_ADDR}" pattern="^10\." /></conditions>`) + anon() + be()))}, postern.Unknown, "config.why.earlier-rule-maybe"},
		{"a pattern that cannot be judged", map[string]string{hostPath: host, rootPath: webConfig(rules(anon() + be("(.*)X-BEResource=(.+)/(.+)~(.+)", "(?=.*X-BEResource).*")))}, postern.Unknown, "config.why.own-pattern"},
		{"web.config not collected", map[string]string{hostPath: host}, postern.Unknown, "config.why.no-web-config"},
		{"applicationHost not collected", map[string]string{rootPath: webConfig(both)}, postern.Unknown, "config.why.module-unknown"},
		{"applicationHost not collected, no rules", map[string]string{rootPath: webConfig("")}, postern.Unknown, "config.why.absent-here"},
		{"web.config broken", map[string]string{hostPath: host, rootPath: strings.Replace(webConfig(both), "</location>", "<location>", 1)}, postern.Unknown, "config.why.broken"},
		{"applicationHost broken", map[string]string{hostPath: host[:len(host)-9], rootPath: webConfig(both)}, postern.Unknown, "config.why.broken"},
		{"rules in a file of their own", map[string]string{hostPath: host, rootPath: webConfig(`<system.webServer><rewrite><rules configSource="rules.config" /></rewrite></system.webServer>`)}, postern.Unknown, "config.why.external"},
		{"no Exchange on the server", map[string]string{hostPath: `<configuration><sites><site name="a" id="1">` + app("/", `C:\inetpub\wwwroot`) + `</site></sites></configuration>`}, postern.Unknown, "config.why.no-front"},
		{"nothing at all", nil, postern.Unknown, "config.why.no-web-config"},
	} {
		got := state(t, d, "backend-cookie", tc.files)
		if got.State != tc.want || got.Why.Key != tc.why {
			t.Errorf("%s: %s because %s %v, want %s because %s", tc.name, got.State, got.Why.Key, got.Why.Args, tc.want, tc.why)
		}
		if got.State != postern.Unknown && len(got.Evidence) == 0 {
			t.Errorf("%s: no evidence for %s", tc.name, got.State)
		}
	}
}

// A file that nobody could read may take away what the others put in force; of one that is
// of no application that does not matter.
func TestUnreadFileMayTakeAway(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	read := []*Config{config(t, d, hostPath, server{}.text()), config(t, d, rootPath, webConfig(rules(anon()+be())))}
	for path, want := range map[string]postern.State{"": postern.Yes, ecpPath: postern.Unknown, rootPath: postern.Unknown, hostPath: postern.Unknown,
		"EX01/C/somewhere/web.config": postern.Yes} {
		configs := slices.Clone(read)
		if path != "" {
			configs = slices.DeleteFunc(configs, func(c *Config) bool { return c.Path == path })
			f := file(path, "")
			f.Open = func() (io.ReadCloser, error) { return nil, fs.ErrPermission }
			c, _, err := d.Read(f)
			if !errors.Is(err, fs.ErrPermission) {
				t.Fatalf("error %v, want that of opening", err)
			}
			configs = append(configs, c)
		}
		for _, s := range d.Mitigations(configs...) {
			if s.ID == "backend-cookie" && s.State != want {
				t.Errorf("%q not read: %s (%s), want %s", path, s.State, s.Why.Key, want)
			}
		}
	}
}

// A redirection.config that could not be read may name another configuration than the one
// that was. A copy in the history, or one that names none, does not.
func TestUnreadRedirectionMayTakeAway(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	read := []*Config{config(t, d, hostPath, server{}.text()), config(t, d, rootPath, webConfig(rules(anon()+be())))}
	const where = "EX01/C/Windows/System32/inetsrv/config/redirection.config"
	const none = `<configuration><configurationRedirection /></configuration>`
	for _, tc := range []struct {
		name string
		c    *Config
		want postern.State
	}{
		{"not readable", Unread(&detect.File{Path: where, Server: "windows/system32/inetsrv/config/redirection.config"}), postern.Unknown},
		{"cut", config(t, d, where, none[:len(none)-10]), postern.Unknown},
		{"without one", config(t, d, where, none), postern.Yes},
		{"not readable in the history", Unread(&detect.File{Path: "EX01/C/inetpub/history/CFGHISTORY_0000000003/redirection.config"}), postern.Yes},
	} {
		for _, s := range d.Mitigations(append(slices.Clone(read), tc.c)...) {
			if s.ID != "backend-cookie" {
				continue
			}
			if s.State != tc.want || tc.want == postern.Unknown && s.Why.Key != "config.why.unread" {
				t.Errorf("%s: %s (%s), want %s", tc.name, s.State, s.Why.Key, tc.want)
			}
		}
	}
}

// So may what lies in a place that was not looked at: the folder of an application, one
// above it, a drive. Where the application's own file was read, nothing is missing.
func TestLostPlaceMayTakeAway(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	read := []*Config{config(t, d, hostPath, server{}.text()), config(t, d, rootPath, webConfig(rules(anon()+be())))}
	const frontEnd = "EX01/D/Exchange/FrontEnd"
	for _, tc := range []struct {
		path, server string
		want         postern.State
	}{
		{frontEnd + "/HttpProxy/ecp", "frontend/httpproxy/ecp", postern.Unknown},
		{frontEnd + "/HttpProxy", "frontend/httpproxy", postern.Unknown},
		{frontEnd, "d/exchange/frontend", postern.Unknown},
		{"EX01/D/exchange", "d/exchange", postern.Unknown},
		{"EX01/C/Program Files", "program files", postern.Yes},
		{"FrontEnd", ".", postern.Unknown},
		{"EX01/D", "d", postern.Unknown},
		{"EX01/D:", "d:", postern.Unknown},
		{"", "", postern.Unknown},
		{"EX01.zip", "", postern.Unknown},
		{frontEnd + "/HttpProxy/ecp/15.2.721/themes", "frontend/httpproxy/ecp/15.2.721/themes", postern.Yes},
		{frontEnd + "/HttpProxy/other", "frontend/httpproxy/other", postern.Yes},
		{"EX01/C/inetpub/logs", "inetpub/logs", postern.Yes},
		{"EX01/C/System Volume Information", "c/system volume information", postern.Yes},
		{"EX02.zip", "ex02.zip", postern.Yes},
	} {
		lost := Lost(&detect.File{Path: tc.path, Server: tc.server})
		for _, s := range d.Mitigations(append(slices.Clone(read), lost)...) {
			if s.ID != "backend-cookie" {
				continue
			}
			if s.State != tc.want || tc.want == postern.Unknown && !strings.HasPrefix(s.Why.Key, "config.why.lost") {
				t.Errorf("%q: %s (%s), want %s", tc.path, s.State, s.Why.Key, tc.want)
			}
		}
	}
	whole := slices.Clone(read)
	for i := range read[0].Sites {
		for _, a := range read[0].Sites[i].Applications {
			for _, dir := range a.Directories {
				folder := strings.TrimSuffix(strings.TrimPrefix(strings.ReplaceAll(dir.PhysicalPath, `\`, "/"), "D:"), "/")
				whole = append(whole, config(t, d, "EX01/D"+folder+"/web.config", "<configuration/>"))
			}
		}
	}
	for _, s := range d.Mitigations(append(whole, Lost(&detect.File{Path: frontEnd, Server: "d/exchange/frontend"}))...) {
		if s.ID == "backend-cookie" && s.State != postern.Yes {
			t.Errorf("all files of applications were read: %s (%s), want yes", s.State, s.Why.Key)
		}
	}
}

func TestPools(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	for _, tc := range []struct {
		name, pools string
		want        postern.State
		why         string
	}{
		{"stopped", `<add name="MSExchangeECPAppPool" autoStart="false" startMode="OnDemand" />`, postern.Yes, "config.why.pool-stopped"},
		{"on demand alone", `<add name="MSExchangeECPAppPool" startMode="OnDemand" />`, postern.No, "config.why.pool-starts"},
		{"another pool", `<add name="MSExchangeOABAppPool" autoStart="false" /><add name="MSExchangeECPAppPool" autoStart="true" />`, postern.No, "config.why.pool-starts"},
		{"no such pool", ``, postern.No, "config.why.no-pool"},
	} {
		got := state(t, d, "ecp-pool", map[string]string{hostPath: server{pools: tc.pools}.text()})
		if got.State != tc.want || got.Why.Key != tc.why {
			t.Errorf("%s: %s because %s, want %s because %s", tc.name, got.State, got.Why.Key, tc.want, tc.why)
		}
	}
	if got := state(t, d, "ecp-pool", nil); got.State != postern.Unknown || got.Why.Key != "config.why.no-server-config" {
		t.Errorf("without applicationHost.config: %s because %s", got.State, got.Why.Key)
	}
	if got := state(t, d, "um-services", map[string]string{hostPath: server{}.text()}); got.State != postern.Unknown || got.Why.Key != "config.why.services" {
		t.Errorf("services: %s because %s", got.State, got.Why.Key)
	}
}

// Published versions that were bypassed are told from the one that holds: the
// rule of autumn 2022 had four.
func TestWeakPatterns(t *testing.T) {
	t.Parallel()
	k := knowledge(t)
	const final, decoded = "(?=.*autodiscover)(?=.*powershell)", "{UrlDecode:{REQUEST_URI}}"
	b, err := os.ReadFile("../../../../campaigns/proxynotshell/mitigations.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadMitigations("mitigations.yaml", b, "proxynotshell", []string{"en", "es"})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Mitigations) != 1 || p.Mitigations[0].Decides {
		t.Fatalf("mitigations %+v, want one, which leaves the way through Outlook on the web open", p.Mitigations)
	}
	k.Mitigations = p.Mitigations
	weak := func(n int) string { return fmt.Sprint("proxynotshell.mitigation.autodiscover-rule.weak.1.", n) }
	d := New(k)
	for _, tc := range []struct {
		rule, input, pattern string
		want                 postern.State
		why                  string
	}{
		{"PowerShell - inbound", decoded, final, postern.Yes, "config.why.effective"},
		{"EEMS M1.1 PowerShell - inbound", decoded, final, postern.Yes, "config.why.effective"},
		{"RequestBlockingRule1", decoded, final, postern.Yes, "config.why.effective"},
		{"RequestBlockingRule1", "{REQUEST_URI}", `.*autodiscover\.json.*\@.*Powershell.*`, postern.Ineffective, weak(1)},
		{"RequestBlockingRule1", "{REQUEST_URI}", `.*autodiscover\.json.*Powershell.*`, postern.Ineffective, weak(2)},
		{"PowerShell - inbound", decoded, `(?=.*autodiscover\.json)(?=.*powershell)`, postern.Ineffective, weak(3)},
		{"PowerShell - inbound", "{REQUEST_URI}", final, postern.Ineffective, weak(4)},
		{"PowerShell - inbound", "{URL}", final, postern.Ineffective, weak(5)},
		{"something else", "{HTTPS}", "off", postern.No, "config.why.absent"},
	} {
		got := state(t, d, "autodiscover-rule", map[string]string{hostPath: server{}.text(), rootPath: webConfig(rules(ruleText(tc.rule, tc.input, tc.pattern)))})
		if got.State != tc.want || got.Why.Key != tc.why {
			t.Errorf("%s %s %s: %s because %s, want %s because %s", tc.rule, tc.input, tc.pattern, got.State, got.Why.Key, tc.want, tc.why)
		}
	}
}

func TestMitigationFindings(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	configs := []*Config{
		config(t, d, hostPath, server{pools: `<add name="MSExchangeECPAppPool" autoStart="false" /><add name="MSExchangeOABAppPool" />`}.text()),
		config(t, d, rootPath, webConfig(rules(anon()))),
	}
	want := map[string]string{
		"backend-cookie": "config.mitigation.ineffective", "ecp-pool": "config.mitigation.yes", "oab-pool": "config.mitigation.no",
	}
	findings := d.MitigationFindings(d.Mitigations(configs...))
	ids := make(map[string]bool)
	for _, f := range findings {
		id := f.Entities["mitigation"]
		if f.Title.Key != want[id] || f.Level != postern.NotSeen || f.Campaign != "proxylogon" || ids[f.ID] {
			t.Errorf("%s: title %s, level %d, campaign %q, id %s", id, f.Title.Key, f.Level, f.Campaign, f.ID)
		}
		ids[f.ID] = true
	}
	if len(findings) != len(want) {
		t.Errorf("%d findings, want %d: what rests on no file is none", len(findings), len(want))
	}
}

func TestReadMitigations(t *testing.T) {
	t.Parallel()
	p := pack(t)
	if len(p.Mitigations) != 4 {
		t.Errorf("%d mitigations in the pack, want 4", len(p.Mitigations))
	}
	for _, m := range p.Mitigations {
		if m.Decides != (m.ID == "backend-cookie") {
			t.Errorf("%s decides: %v; only the rules shut the entrance", m.ID, m.Decides)
		}
	}
	for _, lang := range []string{"en", "es"} {
		for _, m := range p.Mitigations {
			if p.Messages[lang][m.Title.Key] == "" || p.Messages[lang][m.Limits.Key] == "" {
				t.Errorf("%s has no title or limits in %q", m.ID, lang)
			}
		}
	}
	const head = "schema: postern.mitigations/1\nmitigations:\n"
	const title = "    title: {en: a, es: b}\n"
	for text, want := range map[string]string{
		"schema: other\n":                                                                                    "f.yaml:1: schema",
		head + "  - id: a\n    tilte: {}\n":                                                                  "line 4",
		head + "  - id: a\n" + title:                                                                         `f.yaml:3: mitigation "a": give either`,
		head + "  - id: a\n    pools: [p]\n    title: {en: a}\n":                                             `no text in language "es"`,
		head + "  - id: a\n    pools: [p]\n    title: {en: a, es: b, fr: c}\n":                               `"fr"`,
		head + "  - id: a\n    pools: [p]\n" + title + "  - id: a\n    pools: [p]\n" + title:                 "f.yaml:6",
		head + "  - id: a\n" + title + "    rules: [{name: x, input: y}]\n":                                  "at least one pattern",
		head + "  - id: a\n" + title + "    rules: [{name: x, input: y, patterns: [abc], samples: [abd]}]\n": "does not catch",
		"mitigations: [": "f.yaml",
		"":               "f.yaml",
	} {
		if _, err := ReadMitigations("f.yaml", []byte(text), "c", []string{"en", "es"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}
