package iisconfig

import (
	"strings"
	"testing"

	"postern"
)

// filtered is system.webServer with entries of the request filter.
func filtered(inside string) string {
	return `<system.webServer><security><requestFiltering>` + inside + `</requestFiltering></security></system.webServer>`
}

func segment(s string) string {
	return filtered(`<hiddenSegments><add segment="` + s + `" /></hiddenSegments>`)
}

func sequences(path, query string) string {
	text := ""
	if path != "" {
		text += `<denyUrlSequences><add sequence="` + path + `" /></denyUrlSequences>`
	}
	if query != "" {
		text += `<denyQueryStringSequences><add sequence="` + query + `" /></denyQueryStringSequences>`
	}
	return filtered(text)
}

func at(location, inside string) string {
	return `<location path="` + location + `">` + inside + `</location>`
}

const filterModule = `<add name="RequestFilteringModule" image="%windir%\System32\inetsrv\modrqflt.dll" />`

// Administrators shut the control panel in other ways than by its pool. It is shut only
// where both sites refuse it, and only by what runs before the product.
func TestPoolsShutOtherwise(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	host := func(tail, modules string) string {
		return strings.NewReplacer(`<application path="/ecp">`, `<application path="/ecp" applicationPool="MSExchangeECPAppPool">`).
			Replace(server{pools: `<add name="MSExchangeECPAppPool" />`, modules: modules, tail: tail}.text())
	}
	const frontECP, backECP = "Default Web Site/ecp", "Exchange Back End/ecp"
	emptied := `<system.webServer><handlers><clear /></handlers></system.webServer>`
	nothing := `<system.webServer><handlers accessPolicy="None" /></system.webServer>`
	for _, tc := range []struct {
		name string
		tail string
		more map[string]string
		want postern.State
		why  string
	}{
		{"nothing of it", "", nil, postern.No, "config.why.pool-starts"},
		{"hidden for the whole server", segment("ECP"), nil, postern.Yes, "config.why.refused"},
		{"hidden at both places", at(frontECP, segment("ecp")) + at(backECP, segment("ecp")), nil, postern.Yes, "config.why.refused"},
		{"a sequence for both sites", at("default web site", sequences("/ecp", "")) + at("Exchange Back End", sequences("/ecp/", "")), nil, postern.Yes, "config.why.refused"},
		{"in front only", at(frontECP, segment("ecp")), nil, postern.Ineffective, "config.why.refused-partly"},
		{"behind only", at("Exchange Back End", segment("ecp")), nil, postern.Ineffective, "config.why.refused-partly"},
		{"another segment", segment("owa"), nil, postern.No, "config.why.pool-starts"},
		{"a part of the name is no segment", segment("ec"), nil, postern.No, "config.why.pool-starts"},
		{"taken back below", segment("ecp") + at(frontECP, filtered(`<hiddenSegments><remove segment="ecp" /></hiddenSegments>`)), nil, postern.Ineffective, "config.why.refused-partly"},
		{"cleared in the web.config of the application", segment("ecp"), map[string]string{ecpPath: webConfig(filtered(`<hiddenSegments><clear /></hiddenSegments>`))}, postern.Ineffective, "config.why.refused-partly"},
		{"in the web.config of one site", "", map[string]string{rootPath: webConfig(segment("ecp"))}, postern.Ineffective, "config.why.refused-partly"},
		{"for the pages of the site alone", at("Exchange Back End", segment("ecp")), map[string]string{rootPath: webConfig(`<location inheritInChildApplications="false">` + segment("ecp") + `</location>`)}, postern.Ineffective, "config.why.refused-partly"},
		{"without handlers", at(frontECP, emptied) + at(backECP, emptied), nil, postern.Unknown, "config.why.no-handlers"},
		{"handlers without rights", at(frontECP, nothing) + at(backECP, nothing), nil, postern.Unknown, "config.why.no-access"},
		{"without handlers in front only", at(frontECP, emptied), nil, postern.No, "config.why.pool-starts"},
	} {
		files := map[string]string{hostPath: host(tc.tail, filterModule)}
		for name, text := range tc.more {
			files[name] = text
		}
		got := state(t, d, "ecp-pool", files)
		if got.State != tc.want || got.Why.Key != tc.why {
			t.Errorf("%s: %s because %s %v, want %s because %s", tc.name, got.State, got.Why.Key, got.Why.Args, tc.want, tc.why)
		}
		if got.State != postern.No && len(got.Evidence) == 0 {
			t.Errorf("%s: no evidence for %s", tc.name, got.State)
		}
	}
	if got := state(t, d, "ecp-pool", map[string]string{hostPath: host(segment("ecp"), "")}); got.State != postern.Ineffective || got.Why.Key != "config.why.filter-off" {
		t.Errorf("without the module: %s because %s", got.State, got.Why.Key)
	}
}

// The request filter can do what the rule of autumn 2022 does, if it looks at the path
// and at the query.
func TestRuleDoneByTheRequestFilter(t *testing.T) {
	t.Parallel()
	k := knowledge(t)
	k.Mitigations = []Mitigation{{ID: "autodiscover-rule", Campaign: "c", Refused: &Refused{"/autodiscover", []string{"powershell"}},
		Rules: []NeededRule{{Name: "PowerShell - inbound", Input: "{UrlDecode:{REQUEST_URI}}", Patterns: []string{"(?=.*autodiscover)(?=.*powershell)"}}}}}
	d := New(k)
	const auto = "Default Web Site/Autodiscover"
	rule := func(attributes, inside string) string {
		return filtered(`<filteringRules><filteringRule name="r" ` + attributes + `>` + inside + `</filteringRule></filteringRules>`)
	}
	const deny = `<denyStrings><add string="PowerShell" /></denyStrings>`
	for _, tc := range []struct {
		name, tail string
		want       postern.State
		why        string
	}{
		{"nothing of it", "", postern.No, "config.why.absent"},
		{"path and query", at(auto, sequences("powershell", "PowerShell")), postern.Yes, "config.why.refused-words"},
		{"a part of the word, for the whole server", sequences("shell", "shell"), postern.Yes, "config.why.refused-words"},
		{"a rule of the filter", at(auto, rule(`scanUrl="true" scanQueryString="true"`, deny)), postern.Yes, "config.why.refused-words"},
		{"the path alone", at(auto, sequences("powershell", "")), postern.Ineffective, "config.why.refused-half"},
		{"the query alone", at(auto, sequences("", "powershell")), postern.Ineffective, "config.why.refused-half"},
		{"a rule for the query alone", at(auto, rule(`scanUrl="false" scanQueryString="true"`, deny)), postern.Ineffective, "config.why.refused-half"},
		{"a rule for one extension", at(auto, rule(`scanUrl="true" scanQueryString="true"`, `<appliesTo><add fileExtension=".xml" /></appliesTo>`+deny)), postern.No, "config.why.absent"},
		{"more than the word", at(auto, sequences("powershell/", "powershell/")), postern.No, "config.why.absent"},
		{"on the back end", at("Exchange Back End", sequences("powershell", "powershell")), postern.No, "config.why.absent"},
	} {
		files := map[string]string{rootPath: webConfig(""),
			hostPath: server{apps: app("/Autodiscover", `D:\Exchange\FrontEnd\HttpProxy\Autodiscover`), modules: filterModule, tail: tc.tail}.text()}
		got := state(t, d, "autodiscover-rule", files)
		if got.State != tc.want || got.Why.Key != tc.why {
			t.Errorf("%s: %s because %s %v, want %s because %s", tc.name, got.State, got.Why.Key, got.Why.Args, tc.want, tc.why)
		}
	}
}

func TestModulesThatMustNotBeLoaded(t *testing.T) {
	t.Parallel()
	k := knowledge(t)
	k.Mitigations = []Mitigation{{ID: "cache", Campaign: "exchange", Product: true, Modules: []string{"TokenCacheModule"}}}
	d := New(k)
	const loads = `<add name="TokenCacheModule" image="%windir%\System32\inetsrv\cachtokn.dll" />`
	wanted := at("Default Web Site/owa", `<system.webServer><modules><add name="tokencachemodule" /></modules></system.webServer>`)
	for _, tc := range []struct {
		name     string
		files    map[string]string
		want     postern.State
		why      string
		findings int
	}{
		{"loaded", map[string]string{hostPath: server{modules: loads}.text()}, postern.No, "config.why.module-loaded", 0},
		{"not loaded", map[string]string{hostPath: server{}.text()}, postern.Yes, "config.why.module-gone", 1},
		{"in a comment", map[string]string{hostPath: server{modules: "<!-- " + loads + " -->"}.text()}, postern.Yes, "config.why.module-gone", 1},
		{"taken away again", map[string]string{hostPath: server{modules: loads + `<remove name="TokenCacheModule" />`}.text()}, postern.Yes, "config.why.module-gone", 1},
		{"not loaded and asked for", map[string]string{hostPath: server{tail: wanted}.text()}, postern.Unknown, "config.why.module-wanted", 1},
		{"no list", map[string]string{hostPath: `<configuration><sites><site name="a" id="1" /></sites></configuration>`}, postern.Unknown, "config.why.no-modules", 1},
		{"a list elsewhere", map[string]string{hostPath: strings.Replace(server{}.text(), "<globalModules>", `<globalModules configSource="m.config">`, 1)}, postern.Unknown, "config.why.external-modules", 1},
		{"no applicationHost.config", map[string]string{rootPath: webConfig("")}, postern.Unknown, "config.why.no-server-config", 0},
	} {
		got := state(t, d, "cache", tc.files)
		if got.State != tc.want || got.Why.Key != tc.why {
			t.Errorf("%s: %s because %s, want %s because %s", tc.name, got.State, got.Why.Key, tc.want, tc.why)
		}
		findings := d.MitigationFindings([]MitigationState{got})
		if len(findings) != tc.findings || len(findings) > 0 && findings[0].Campaign != "" {
			t.Errorf("%s: findings %+v, want %d of no campaign", tc.name, findings, tc.findings)
		}
	}
}
