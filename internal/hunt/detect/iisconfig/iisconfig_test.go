package iisconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"postern"
	"postern/internal/hunt/detect"
)

// The data that the program ships is what the tests run on.
const (
	productLayout  = "../../../../products/exchange/layout.yaml"
	mitigationPack = "../../../../campaigns/proxylogon/mitigations.yaml"
)

func knowledge(t testing.TB) Knowledge {
	t.Helper()
	k, err := IIS()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(productLayout)
	if err != nil {
		t.Fatal(err)
	}
	var layout struct {
		Sites []struct {
			Name, Folder string
			Applications []Application
		}
		Modules struct{ Images, Filters []struct{ Image string } }
	}
	if err := yaml.Unmarshal(b, &layout); err != nil {
		t.Fatal(err)
	}
	for _, s := range layout.Sites {
		k.Sites = append(k.Sites, Site(s))
	}
	for _, m := range layout.Modules.Images {
		k.Modules = append(k.Modules, m.Image)
	}
	for _, m := range layout.Modules.Filters {
		k.Filters = append(k.Filters, m.Image)
	}
	k.Mitigations = pack(t).Mitigations
	return k
}

func pack(t testing.TB) Pack {
	t.Helper()
	b, err := os.ReadFile(mitigationPack)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadMitigations("mitigations.yaml", b, "proxylogon", []string{"en", "es"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func file(path, text string) *detect.File {
	return &detect.File{
		Path: path, Server: strings.ToLower(strings.TrimPrefix(path, "EX01/C/")), Size: int64(len(text)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

func config(t testing.TB, d *Detector, path, text string) *Config {
	t.Helper()
	c, _, err := d.Read(file(path, text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	hostPath = "EX01/C/Windows/System32/inetsrv/config/applicationHost.config"
	rootPath = "EX01/C/inetpub/wwwroot/web.config"
	ecpPath  = "EX01/D/Exchange/FrontEnd/HttpProxy/ecp/web.config"
)

// server is a small applicationHost.config of an Exchange server installed on D:.
// The parts are put where their names say.
type server struct {
	apps, site, sites, modules, filters, handlers, pools, tail string
	noRewrite                                                  bool
}

func (s server) text() string {
	rewrite := `<add name="RewriteModule" image="%SystemRoot%\system32\inetsrv\rewrite.dll" />`
	if s.noRewrite {
		rewrite = ""
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<configuration>
<system.applicationHost>
<applicationPools>
<add name="MSExchangeOWAAppPool" managedRuntimeVersion="v4.0" />
` + s.pools + `
<applicationPoolDefaults managedRuntimeVersion="v4.0"><processModel identityType="ApplicationPoolIdentity" /></applicationPoolDefaults>
</applicationPools>
<sites>
<site name="Default Web Site" id="1">
<application path="/" applicationPool="MSExchangeOWAAppPool"><virtualDirectory path="/" physicalPath="%SystemDrive%\inetpub\wwwroot" /></application>
<application path="/owa"><virtualDirectory path="/" physicalPath="D:\Exchange\FrontEnd\HttpProxy\owa" /></application>
<application path="/ecp"><virtualDirectory path="/" physicalPath="D:\Exchange\FrontEnd\HttpProxy\ecp" /></application>
<application path="/OAB"><virtualDirectory path="/" physicalPath="D:\Exchange\FrontEnd\HttpProxy\OAB\" /></application>
` + s.apps + `
` + s.site + `
</site>
<site name="Exchange Back End" id="2">
<application path="/"><virtualDirectory path="/" physicalPath="D:\Exchange\ClientAccess" />
<virtualDirectory path="/Exchange" physicalPath="D:\Exchange\ClientAccess\owa" /></application>
<application path="/ecp"><virtualDirectory path="/" physicalPath="D:\Exchange\ClientAccess\ecp" /></application>
<application path="/Rpc"><virtualDirectory path="/" physicalPath="%windir%\System32\RpcProxy" /></application>
</site>
` + s.sites + `
<siteDefaults><logFile logFormat="W3C" directory="%SystemDrive%\inetpub\logs\LogFiles" /></siteDefaults>
</sites>
</system.applicationHost>
<system.webServer>
<globalModules>
<add name="StaticFileModule" image="%windir%\System32\inetsrv\static.dll" />
<add name="kerbauth" image="D:\Exchange\Bin\kerbauth.dll" />
<add name="WSMan" image="C:\Windows\system32\wsmsvc.dll" />
` + rewrite + s.modules + `
</globalModules>
<isapiFilters><filter name="ASP.Net_4.0_64bit" path="%windir%\Microsoft.NET\Framework64\v4.0.30319\aspnet_filter.dll" />
` + s.filters + `</isapiFilters>
</system.webServer>
<location path="" overrideMode="Allow"><system.webServer>
<modules><add name="StaticFileModule" /><add name="RewriteModule" /></modules>
<handlers><add name="pages" path="*.aspx" verb="*" type="System.Web.UI.PageHandlerFactory" />
` + s.handlers + `</handlers>
</system.webServer></location>
` + s.tail + `
</configuration>`
}

func app(path, folder string) string {
	return fmt.Sprintf(`<application path="%s"><virtualDirectory path="/" physicalPath="%s" /></application>`, path, folder)
}

// short says of each finding what the tests are about.
func short(findings []postern.Finding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, fmt.Sprintf("%s %d %s", f.Rule, f.Level, f.Confidence))
	}
	slices.Sort(all)
	return all
}

func TestCleanServer(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	got := d.Findings(config(t, d, hostPath, server{}.text()), config(t, d, rootPath, webConfig("")), config(t, d, ecpPath, webConfig("")))
	if len(got) > 0 {
		t.Errorf("findings on a fresh server: %v", short(got))
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, path, folder, want string }{
		{"known folder", "/owa/auth/x", `C:\ProgramData\COM\a`, "config/known-folder 4 high"},
		{"known folder, other drive, slashes, case", "/x", `d:/PROGRAMDATA/who/`, "config/known-folder 4 high"},
		{"known folder by 8.3 name", "/x", `C:\PROGRA~3\ZING`, "config/known-folder 4 high"},
		{"known folder by link", "/x", `C:\Users\All Users\ZOO`, "config/known-folder 4 high"},
		{"known folder by variable", "/x", `%ALLUSERSPROFILE%\XYZ\`, "config/known-folder 4 high"},
		{"known folder by old link", "/x", `C:\Documents and Settings\All Users\Application Data\XYZ`, "config/known-folder 4 high"},
		{"known folder, device path", "/x", `\\?\C:\ProgramData\AUX\`, "config/known-folder 4 high"},
		{"known folder behind dots", "/x", `C:\inetpub\..\ProgramData\.\CON\b`, "config/known-folder 4 high"},
		{"known folder on an administrative share", "/x", `\\localhost\c$\ProgramData\COM`, "config/known-folder 4 high"},
		{"device name", "/x", `C:\inetpub\wwwroot\LPT1\a`, "config/device-folder 4 high"},
		{"device name with an extension", "/x", `C:\inetpub\nul.old`, "config/device-folder 4 high"},
		{"near the name of a known folder", "/x", `C:\ProgramData\COMPANY\web`, "config/odd-folder 4 medium"},
		{"users", "/x", `C:\Users\Public\Music`, "config/odd-folder 4 medium"},
		{"windows temp", "/x", `%windir%\Temp\a`, "config/odd-folder 4 medium"},
		{"temp of a user", "/x", `%TEMP%`, "config/odd-folder 4 medium"},
		{"performance logs", "/x", `C:\PerfLogs`, "config/odd-folder 4 medium"},
		{"third-party product", "/archive", `C:\Program Files\Archive Vendor\web`, "config/extra-folder 1 low"},
		{"another machine", "/files", `\\fs01\web`, "config/extra-folder 1 low"},
		{"stock folder below another address", "/mailadmin", `D:\Exchange\FrontEnd\HttpProxy\ecp`, "config/extra-folder 1 low"},
		{"moved application", "/ews", `E:\mail\ews`, "config/extra-folder 1 low"},
		{"near a device name", "/console", `C:\inetpub\console\aux1`, "config/extra-folder 1 low"},
		{"stock application", "/API", `D:\Exchange\FrontEnd\HttpProxy\Rest`, ""},
		{"stock application, dots and trailing slash", "/Ews/", `d:\exchange\x\..\frontend\httpproxy\EWS\\`, ""},
		{"no folder", "/x", ``, ""},
	} {
		d := New(knowledge(t))
		got := short(d.Findings(config(t, d, hostPath, server{apps: app(tc.path, tc.folder)}.text())))
		if strings.Join(got, "; ") != tc.want {
			t.Errorf("%s: %s in %s: %v, want %q", tc.name, tc.path, tc.folder, got, tc.want)
		}
	}
}

func TestFolderFinding(t *testing.T) {
	t.Parallel()
	k := knowledge(t)
	k.Indicators = append(k.Indicators, postern.Indicator{Kind: postern.IndicatorPath, Value: `C:\Files\Drop`, Campaign: "proxyshell", Source: "report"},
		postern.Indicator{Kind: postern.IndicatorURL, Value: "/x"}, postern.Indicator{Kind: postern.IndicatorPath, Value: `C:\`})
	d := New(k)
	c := config(t, d, hostPath, server{apps: app("/owa/x", `C:\Files\Drop\COM`)}.text())
	got := d.Findings(c)
	if len(got) != 1 {
		t.Fatalf("findings %v", short(got))
	}
	f := got[0]
	want := map[string]string{"file": `C:\Files\Drop\COM`, "virtual_directory": "Default Web Site/owa/x", "site": "Default Web Site"}
	if diff := cmp.Diff(want, f.Entities); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
	if f.Campaign != "proxyshell" || f.ID == "" || !f.Time.IsZero() {
		t.Errorf("campaign %q, id %q, time %v", f.Campaign, f.ID, f.Time)
	}
	e := f.Evidence[0]
	if e.Path != hostPath || e.Line != 15 || e.SHA256 != c.SHA256 || len(e.SHA256) != 64 ||
		e.Excerpt != `<virtualDirectory path="/" physicalPath="C:\Files\Drop\COM" />` {
		t.Errorf("evidence %+v", e)
	}
}

// A site that is not the product's may use any folder but those of known back doors.
func TestForeignSite(t *testing.T) {
	t.Parallel()
	for folder, want := range map[string]string{
		`C:\ProgramData\Vendor\web`: "config/odd-folder 1 low",
		`C:\ProgramData\COM\x`:      "config/known-folder 4 high",
		`C:\web\con`:                "config/device-folder 4 high",
		`D:\vendor`:                 "",
	} {
		d := New(knowledge(t))
		text := server{sites: `<site name="Monitor" id="9">` + app("/", folder) + `</site>`}.text()
		if got := strings.Join(short(d.Findings(config(t, d, hostPath, text))), "; "); got != want {
			t.Errorf("%s: %q, want %q", folder, got, want)
		}
	}
}

func TestInstallPath(t *testing.T) {
	t.Parallel()
	odd := app("/owa", `C:\ProgramData\x\FrontEnd\HttpProxy\owa`) + app("/ecp", `C:\ProgramData\x\FrontEnd\HttpProxy\ecp`) + app("/ews", `C:\ProgramData\x\FrontEnd\HttpProxy\ews`)
	d := New(knowledge(t))
	if got := d.host([]*Config{config(t, d, hostPath, server{apps: odd}.text())}).install; got != "/exchange" {
		t.Errorf("install folder %q, want that of the majority outside of odd folders", got)
	}
	k := knowledge(t)
	k.InstallPath = `F:\Mail Server\V15\`
	d = New(k)
	if got := d.host([]*Config{config(t, d, hostPath, server{}.text())}).install; got != "/mail server/v15" {
		t.Errorf("install folder %q, want the one that was given", got)
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		s    server
		want string
	}{
		{"module in a temporary folder", server{modules: `<add name="HttpLog" image="C:\Windows\Temp\log.dll" />`}, "config/odd-native-module 6 medium"},
		{"module with a device name", server{modules: `<add name="x" image="C:\web\con.dll" />`}, "config/odd-native-module 6 high"},
		{"stock name, other file", server{modules: `<add name="StaticFileModule" image="C:\Users\Public\static.dll" />`}, "config/odd-native-module 6 medium"},
		{"vendor's module", server{modules: `<add name="Agent" image="C:\Program Files\Agent\iis.dll" />`}, "config/extra-native-module 1 low"},
		{"unknown file beside those of IIS", server{modules: `<add name="HttpModule" image="%windir%\System32\inetsrv\hello.dll" />`}, "config/extra-native-module 1 low"},
		{"module of an optional feature", server{modules: `<add name="WebSocketModule" image="%windir%\System32\inetsrv\iiswsock.dll" />`}, ""},
		{"module taken away", server{modules: `<remove name="evil" image="C:\Windows\Temp\log.dll" />`}, ""},
		{"filter in a user folder", server{filters: `<filter name="f" path="C:\Users\x\f.dll" />`}, "config/odd-isapi-filter 6 medium"},
		{"filter of a vendor", server{filters: `<filter name="f" path="D:\vendor\f.dll" />`}, "config/extra-isapi-filter 1 low"},
		{"filter of the product", server{filters: `<filter name="f" path="D:\Exchange\FrontEnd\HttpProxy\bin\owaauth.dll" />`}, ""},
		{"pictures as pages", server{handlers: `<add name="h" path="*.jpg" verb="*" type="System.Web.UI.PageHandlerFactory" />`}, "config/odd-handler 4 medium"},
		{"style sheets as pages by program", server{handlers: `<add name="h" path="/themes/*.css" verb="*" modules="IsapiModule" scriptProcessor="%windir%\system32\inetsrv\asp.dll" />`}, "config/odd-handler 4 medium"},
		{"configuration as page", server{handlers: `<add name="h" path="web.config" verb="*" modules="IsapiModule" scriptProcessor="%windir%\system32\inetsrv\asp.dll" />`}, "config/odd-handler 4 high"},
		{"program in a temporary folder", server{handlers: `<add name="h" path="*.zzz" verb="*" modules="CgiModule" scriptProcessor="C:\Windows\Temp\x.exe" />`}, "config/odd-handler 4 medium"},
		{"unknown extension as page", server{handlers: `<add name="h" path="*.php" verb="*" modules="FastCgiModule" scriptProcessor="C:\php\php-cgi.exe" />`}, "config/extra-handler 1 low"},
		{"every name as page", server{handlers: `<add name="h" path="*" verb="*" type="System.Web.UI.PageHandlerFactory" />`}, "config/extra-handler 1 low"},
		{"pictures as pictures", server{handlers: `<add name="h" path="*.jpg" verb="*" modules="StaticFileModule" />`}, ""},
		{"stock Autodiscover", server{tail: `<location path="Default Web Site/Autodiscover"><system.webServer><handlers><add name="h" path="*.xml" verb="*" modules="IsapiModule" scriptProcessor="C\Windows\Microsoft.NET\Framework64\v4.0.30319\aspnet_isapi.dll" /></handlers></system.webServer></location>`}, ""},
		{"the same elsewhere", server{tail: `<location path="Default Web Site/owa"><system.webServer><handlers><add name="h" path="*.xml" verb="*" modules="IsapiModule" scriptProcessor="C:\Windows\Microsoft.NET\Framework64\v4.0.30319\aspnet_isapi.dll" /></handlers></system.webServer></location>`}, "config/odd-handler 4 medium"},
		{"logging off for one address", server{tail: `<location path="Default Web Site/owa"><system.webServer><httpLogging dontLog="true" /></system.webServer></location>`}, "config/logging-off 0 high"},
		{"logging off for a site", server{site: `<logFile enabled="false" />`}, "config/logging-off 0 high"},
		{"log folder", server{site: `<logFile directory="E:\IISLogs" />`}, "config/log-folder 0 high"},
		{"redirection to another server", server{tail: `<location path="Default Web Site"><system.webServer><httpRedirect enabled="true" destination="https://mail.example.test/owa" /></system.webServer></location>`}, "config/redirect 0 high"},
		{"redirection on the server", server{tail: `<location path="Default Web Site"><system.webServer><httpRedirect enabled="true" destination="/owa" /></system.webServer></location>`}, ""},
	} {
		d := New(knowledge(t))
		got := strings.Join(short(d.Findings(config(t, d, hostPath, tc.s.text()))), "; ")
		if got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestWebConfigFindings(t *testing.T) {
	t.Parallel()
	code := "<!-- <" + "% ping %" + "> -->"
	for _, tc := range []struct{ name, text, want string }{
		{"code in a comment", webConfig("") + code, "config/code 4 medium"},
		{"written key", webConfig(`<system.web><machineKey validationKey="0123456789ABCDEF" decryptionKey="AutoGenerate" /></system.web>`), "config/machine-key 1 low"},
		{"key of the server", webConfig(`<system.web><machineKey validationKey="AutoGenerate,IsolateApps" /></system.web>`), ""},
		{"module of somebody", webConfig(`<system.webServer><modules><add name="a" type="Extender, Extender" /></modules></system.webServer>`), "config/extra-managed-module 1 low"},
		{"module of the product", webConfig(`<system.webServer><modules><add name="a" type="Microsoft.Exchange.X, Y" /></modules></system.webServer>`), ""},
		{"compiler for pictures", webConfig(`<system.web><compilation><buildProviders><add extension=".png" type="System.Web.Compilation.PageBuildProvider" /></buildProviders></compilation></system.web>`), "config/odd-handler 4 medium"},
		{"cut file", `<configuration><system.webServer><handlers><add name="h" path="*.gif" type="System.Web.UI.SimpleHandlerFactory" /><add na`, "config/odd-handler 4 medium"},
	} {
		d := New(knowledge(t))
		findings, _, err := d.Look(file(ecpPath, tc.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(short(findings), "; "); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		for _, f := range findings {
			for _, e := range f.Evidence {
				if strings.Contains(e.Excerpt, "0123456789ABCDEF") {
					t.Errorf("%s: the machine key is in the report: %s", tc.name, e.Excerpt)
				}
			}
		}
	}
}

func TestSharedConfiguration(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	redirection := config(t, d, "EX01/C/Windows/System32/inetsrv/config/redirection.config",
		`<configuration><configurationRedirection enabled="true" path="\\fs01\iis" userName="x" password="y" /></configuration>`)
	host := config(t, d, hostPath, server{}.text())
	if got := strings.Join(short(d.Findings(host, redirection)), "; "); got != "config/elsewhere 0 high" {
		t.Errorf("findings %q", got)
	}
	for _, s := range d.Mitigations(host, redirection) {
		if s.State != postern.Unknown || s.Why.Key != "config.why.elsewhere" {
			t.Errorf("%s: %s because %s", s.ID, s.State, s.Why.Key)
		}
	}
}

// The same thing in the copies of the history is one finding, dated by the first.
func TestHistory(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	evil := server{apps: app("/x", `C:\ProgramData\COM`)}.text()
	day := func(n int) time.Time { return time.Date(2021, 8, n, 12, 0, 0, 0, time.UTC) }
	at := func(number int, text string, mod time.Time) *Config {
		path := hostPath
		if number > 0 {
			path = fmt.Sprintf("EX01/C/inetpub/history/CFGHISTORY_%010d/applicationHost.config", number)
		}
		f := file(path, text)
		f.ModTime = mod
		c, _, err := d.Read(f)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tc := range []struct {
		name     string
		files    []*Config
		evidence []string
		explain  []string
		time     time.Time
	}{
		{"added and still there", []*Config{at(0, evil, day(9)), at(12, evil, day(5)), at(2, server{}.text(), day(1)), at(3, server{}.text(), day(3)), at(13, evil, day(6))},
			[]string{"CFGHISTORY_0000000012", "inetsrv"}, []string{"config.known-folder.source", "config.history.since copy=12 before=3"}, day(5)},
		{"added and gone", []*Config{at(1, server{}.text(), day(1)), at(2, evil, day(2)), at(3, evil, day(3)), at(0, server{}.text(), day(4))},
			[]string{"CFGHISTORY_0000000002", "CFGHISTORY_0000000003"}, []string{"config.known-folder.source", "config.history.since copy=2 before=1", "config.history.gone copy=3"}, day(2)},
		{"only in the file in force", []*Config{at(4, server{}.text(), day(1)), at(0, evil, day(2))},
			[]string{"inetsrv"}, []string{"config.known-folder.source", "config.history.new before=4"}, day(2)},
		{"in all of them", []*Config{at(4, evil, day(1)), at(0, evil, day(2))},
			[]string{"CFGHISTORY_0000000004", "inetsrv"}, []string{"config.known-folder.source", "config.history.oldest copy=4"}, time.Time{}},
		{"times of the collection", []*Config{at(1, server{}.text(), day(20)), at(2, evil, day(20)), at(0, evil, day(20))},
			[]string{"CFGHISTORY_0000000002", "inetsrv"}, []string{"config.known-folder.source", "config.history.since copy=2 before=1"}, time.Time{}},
		{"half a copy before", []*Config{at(1, server{}.text()[:900], day(1)), at(2, evil, day(2)), at(0, evil, day(3))},
			[]string{"CFGHISTORY_0000000002", "inetsrv"}, []string{"config.known-folder.source", "config.history.oldest copy=2"}, time.Time{}},
	} {
		got := d.Findings(tc.files...)
		if len(got) != 1 {
			t.Errorf("%s: findings %v, want one", tc.name, short(got))
			continue
		}
		f := got[0]
		var evidence, explain []string
		for _, e := range f.Evidence {
			parts := strings.Split(e.Path, "/")
			evidence = append(evidence, parts[4])
		}
		for _, x := range f.Explain {
			s := x.Key
			for _, name := range []string{"copy", "before"} {
				if v := x.Args[name]; v != "" {
					s += " " + name + "=" + v
				}
			}
			explain = append(explain, s)
		}
		if diff := cmp.Diff(tc.evidence, evidence); diff != "" {
			t.Errorf("%s: evidence (-want +got):\n%s", tc.name, diff)
		}
		if diff := cmp.Diff(tc.explain, explain); diff != "" {
			t.Errorf("%s: explanation (-want +got):\n%s", tc.name, diff)
		}
		if !f.Time.Equal(tc.time) {
			t.Errorf("%s: time %v, want %v", tc.name, f.Time, tc.time)
		}
	}
}

func TestLogFolders(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	now := config(t, d, hostPath, server{site: `<logFile directory="E:\IIS Logs\" />`, sites: `<site name="Quiet" id="3"><logFile enabled="false" /></site>`}.text())
	before := config(t, d, "EX01/C/inetpub/history/CFGHISTORY_0000000001/applicationHost.config", server{}.text())
	type folder struct {
		Site, Folder, Place, Side string
		Custom, Disabled          bool
	}
	var got []folder
	for _, f := range d.LogFolders(before, now) {
		got = append(got, folder{f.Site, f.Folder, f.Place, f.Side, f.Custom, f.Disabled})
	}
	const standard, place = `%SystemDrive%\inetpub\logs\LogFiles\W3SVC`, "/inetpub/logs/logfiles/w3svc"
	want := []folder{
		{"Default Web Site", `E:\IIS Logs\W3SVC1`, "/iis logs/w3svc1", "front", true, false},
		{"Exchange Back End", standard + "2", place + "2", "back", false, false},
		{"Quiet", standard + "3", place + "3", "", false, true},
		{"Default Web Site", standard + "1", place + "1", "front", false, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
	central := config(t, d, hostPath, strings.Replace(server{}.text(), "<sites>", `<log centralLogFileMode="CentralW3C"><centralW3CLogFile enabled="true" directory="F:\all" /></log><sites>`, 1))
	for _, f := range d.LogFolders(central) {
		if f.Folder != `F:\all\W3SVC` || !f.Custom {
			t.Errorf("central log: %+v", f)
		}
	}
}

func TestWants(t *testing.T) {
	t.Parallel()
	d := New(Knowledge{})
	for path, want := range map[string]bool{
		"a/WEB.CONFIG": true, "web.config": true, "x/applicationHost.config": true, `x\machine.config`: true,
		"zip.zip!/inetpub/history/CFGHISTORY_0000000001/applicationHost.config": true,
		"a/web.config.bak": false, "EdgeTransport.exe.config": false, "SharedWebConfig.config": false, "web.config/x": false,
	} {
		if got := d.Wants(&detect.File{Path: path}); got != want {
			t.Errorf("Wants(%s) = %v, want %v", path, got, want)
		}
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	_, _, err := d.Look(&detect.File{Path: "web.config", Open: func() (io.ReadCloser, error) { return nil, fs.ErrPermission }})
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v, want that of opening", err)
	}
	findings, problems, err := d.Look(file("web.config", "not XML <"))
	if err != nil || len(findings) > 0 || len(problems) == 0 {
		t.Errorf("findings %v, problems %v, error %v", findings, problems, err)
	}
	if got := d.Findings(nil, &Config{}); got != nil {
		t.Errorf("findings of nothing: %v", got)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range Rules() {
		if seen[r.ID] || !strings.HasPrefix(r.ID, "config/") || r.Title.IsZero() || r.Means.IsZero() || !r.Level.Valid() || r.Confidence == postern.Unsaid {
			t.Errorf("rule %+v", r)
		}
		seen[r.ID] = true
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`C:\Program Files\Microsoft\Exchange Server\V15\FrontEnd`: "{product}/frontend",
		`C:\PROGRA~1\Microsoft\Exchange Server\V15\`:              "{product}",
		`C:\Program Files\Microsoft\Exchange Server\V15x\a`:       "/program files/microsoft/exchange server/v15x/a",
		`%windir%\System32\x`:                                     "/windows/system32/x", `%SystemDrive%\a`: "/a", `C:\`: "/", `/`: "/", "": "", "  ": "",
		`\\srv\share\a`: "//srv/share/a", `C:\a. \b...`: "/a/b", `%unknown%\a`: "%unknown%/a", "relative.dll": "relative.dll",
	} {
		if got := canonical(in, "/program files/microsoft/exchange server/v15"); got != want {
			t.Errorf("canonical(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzLook asks whether any text can make the detector panic or say something
// without evidence that points into the file.
func FuzzLook(f *testing.F) {
	d := New(knowledge(f))
	f.Add(app("/x", `C:\ProgramData\COM`))
	f.Add(`<sites><site name="a" id="1">` + app("/owa", `%temp%\..\FrontEnd`) + `</site></sites><rewrite><rules><rule name="X-BEResource Abort - inbound"><match url="(?="/><conditions><add input="{HTTP_COOKIE}" pattern="(("/></conditions></rule></rules></rewrite>`)
	f.Add(`<globalModules><add image="\\?\"/><add image="%"/></globalModules><handlers><add path="*.jpg" type="asp.dll"/></handlers>`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, path := range []string{hostPath, rootPath} {
			c := config(t, d, path, text)
			for _, found := range append(d.Findings(c), d.MitigationFindings(d.Mitigations(c))...) {
				if found.ID == "" || found.Title.IsZero() || len(found.Evidence) == 0 {
					t.Errorf("finding %+v", found)
				}
				if e := found.Evidence[0]; e.Path != path || e.Line < 1 || e.Offset < 0 || e.Offset > int64(len(text)*3) {
					t.Errorf("evidence %+v", e)
				}
			}
			if len(d.Mitigations(c)) != len(d.k.Mitigations) {
				t.Error("a mitigation without an answer")
			}
			d.LogFolders(c)
		}
	})
}

// TestCorpus measures false alarms on real configurations that nobody broke into,
// such as the test data of microsoft/CSS-Exchange:
//
//	POSTERN_CORPUS_IISCONFIG=/path/to/CSS-Exchange go test -run TestCorpus -v ./internal/hunt/detect/iisconfig
func TestCorpus(t *testing.T) {
	dir := os.Getenv("POSTERN_CORPUS_IISCONFIG")
	if dir == "" {
		t.Skip("set POSTERN_CORPUS_IISCONFIG to a folder with real .config files to measure on")
	}
	d := New(knowledge(t))
	files, levels, malformed := 0, make(map[postern.Level]int), 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(strings.ToLower(path), ".config") {
			return err
		}
		f := file(path, "")
		f.Open = func() (io.ReadCloser, error) { return os.Open(path) }
		findings, problems, err := d.Look(f)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		files++
		if len(problems) > 0 {
			malformed++
			t.Logf("%s: %s, line %s", filepath.Base(path), problems[0].Detail.Key, problems[0].Detail.Args["line"])
		}
		for _, x := range findings {
			levels[x.Level]++
			t.Logf("%s: %s level %d: %s", filepath.Base(path), x.Rule, x.Level, x.Evidence[0].Excerpt)
			// Microsoft planted unsigned modules in C:\Temp for its own check to find.
			if x.Level > postern.Probed && !strings.HasPrefix(x.Entities[entityModule], "Test-") {
				t.Errorf("false alarm: %s %v", x.Rule, x.Evidence[0])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d with problems, findings by level: %v", files, malformed, levels)
	if files == 0 {
		t.Error("no file in the folder")
	}
}
