package exercise

import (
	"fmt"
	"path"
	"strings"

	"postern"
)

// stock plans the files that are on every server: the product's own pages under
// their names (with text of our own, so that their hashes are nobody's), the web
// server's configuration and what ASP.NET leaves behind.
func (h *host) stock() {
	c := h.plan
	installed := h.from - int64(c.between(40, 300))*day
	frontEnd := h.exchange() + "/FrontEnd/HttpProxy/"
	add := func(name, content string) {
		h.files = append(h.files, plannedFile{path: name, content: []byte(content), at: installed})
	}

	pages := []string{"errorFE.aspx", "expiredpassword.aspx", "logoff.aspx", "logon.aspx", "OutlookCN.aspx", "RedirSuiteServiceProxy.aspx", "signout.aspx"}
	switch h.before.parts[1] {
	case 0:
		pages = append(pages, "SvmFeedback.aspx")
	default:
		pages = append(pages, "frowny.aspx")
	}
	for _, name := range pages {
		add(frontEnd+"owa/auth/"+name, h.stockPage(name))
	}
	add(frontEnd+"owa/auth/GetIdToken.htm", "<!DOCTYPE html>\r\n<html><head><title>Token</title></head><body></body></html>\r\n")
	add(frontEnd+"ecp/auth/TimeoutLogout.aspx", h.stockPage("TimeoutLogout.aspx"))
	for _, app := range []string{"Autodiscover", "ecp", "EWS", "mapi", "OAB", "owa", "PowerShell", "Rest", "rpc", "sync"} {
		add(frontEnd+app+"/global.asax", "<"+"%@ Application Inherits=\"Microsoft.Exchange.HttpProxy.ProxyApplication\" %"+">\r\n")
		add(frontEnd+app+"/web.config", plainWebConfig)
	}
	for _, file := range owaScripts {
		add(frontEnd+"owa/auth/"+h.path3+file, "/* "+file[strings.LastIndexByte(file, '/')+1:]+" */\r\n")
	}
	add("C/inetpub/wwwroot/iisstart.htm", "<!DOCTYPE html>\r\n<html><head><title>IIS Windows Server</title></head><body><img src=\"iisstart.png\" alt=\"IIS\" /></body></html>\r\n")
	if h.rewrite != "" {
		add("C/inetpub/wwwroot/web.config", h.rewrite)
	} else if h.mitigated != 0 {
		h.files = append(h.files, plannedFile{path: "C/inetpub/wwwroot/web.config", content: []byte(mitigatedWebConfig), at: h.mitigated})
	} else {
		add("C/inetpub/wwwroot/web.config", plainWebConfig)
	}
	if c.share(0.5) {
		h.harmless("C/inetpub/wwwroot/aspnet_client/web.config", []byte(plainWebConfig), installed, "a web.config that only turns a redirection off")
	}
	add("C/inetpub/wwwroot/aspnet_client/system_web/4_0_30319/desktop.ini", "[.ShellClassInfo]\r\n")
	add(h.exchange()+"/ClientAccess/OAB/"+h.oab.String()+"/oab.xml", "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<OAB />\r\n")

	config := h.applicationHost("")
	add("C/inetpub/history/CFGHISTORY_0000000011/applicationHost.config", config)
	if h.hiddenFolder != "" {
		config = h.applicationHost(h.hiddenFolder)
	}
	h.files = append(h.files, plannedFile{path: configFile, content: []byte(config), at: max(installed, h.hiddenAt)})
	if at := strings.Index(config, h.hiddenFolder); h.hiddenFolder != "" && at >= 0 {
		start := strings.LastIndexByte(config[:at], '\n') + 1
		h.truth.Planted = append(h.truth.Planted, Row{
			Place: Place{Path: path.Join(h.folder, configFile), Line: int64(strings.Count(config[:start], "\n") + 1), Offset: int64(start), Stored: int64(start)},
			Time:  instant(h.hiddenAt), Kind: "hidden-virtual-directory", Level: postern.Implanted, Rule: ruleHidden,
		})
	}

	// ASP.NET compiles the product's own pages too.
	dir := temporaryFiles + "owa/" + c.from(lowerHex, 8) + "/" + c.from(lowerHex, 8) + "/"
	for _, page := range []string{"logon", "errorfe"} {
		assembly := "App_Web_" + c.from(lowAlnum, 8)
		why := "a compiled page of the product"
		h.harmless(dir+page+".aspx."+c.from(lowerHex, 8)+".compiled", compiledPage("/owa/auth/"+page+".aspx", assembly), h.from+hour, why)
		h.harmless(dir+assembly+".dll", inertLibrary(c, "~/auth/"+page+".aspx"), h.from+hour, why)
	}
}

const configFile = "C/Windows/System32/inetsrv/config/applicationHost.config"

// stockPage is a page with the name of one of the product's and nothing in it.
func (h *host) stockPage(name string) string {
	title := strings.TrimSuffix(name, ".aspx")
	page := "<" + "%@ Page Language=\"c#\" AutoEventWireup=\"false\" Inherits=\"Microsoft.Exchange.Clients.Owa.Core." + title + "\" %" + ">\r\n" +
		"<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.0 Transitional//EN\">\r\n<!-- A page for an exercise, under the name of the product's " + name + " -->\r\n" +
		"<html>\r\n<head>\r\n<meta http-equiv=\"X-UA-Compatible\" content=\"IE=10\" />\r\n" +
		"<link rel=\"shortcut icon\" href=\"/owa/auth/" + h.path3 + "/themes/resources/favicon.ico\" type=\"image/x-icon\">\r\n" +
		"<title>" + title + "</title>\r\n</head>\r\n<body class=\"owaLgnBdy\">\r\n"
	if name == "logon.aspx" {
		page += "<!-- " + h.org.mail + ": our own logo -->\r\n<img src=\"/owa/auth/" + h.path3 + "/themes/resources/olk_logo_white.png\" alt=\"" + h.org.netbios + "\">\r\n"
	}
	return page + "</body>\r\n</html>\r\n"
}

const plainWebConfig = `<?xml version="1.0" encoding="UTF-8"?>
<configuration>
    <system.webServer>
        <httpRedirect enabled="false" />
    </system.webServer>
</configuration>
`

// mitigatedWebConfig has the two rules of Microsoft's first mitigation.
const mitigatedWebConfig = `<?xml version="1.0" encoding="UTF-8"?>
<configuration>
    <system.webServer>
        <httpRedirect enabled="false" />
        <rewrite>
            <rules>
                <rule name="X-AnonResource-Backend Abort - inbound" stopProcessing="false">
                    <match url=".*" />
                    <conditions>
                        <add input="{HTTP_COOKIE}" pattern="(.*)X-AnonResource-Backend(.*)" />
                    </conditions>
                    <action type="AbortRequest" />
                </rule>
                <rule name="X-BEResource Abort - inbound" stopProcessing="true">
                    <match url=".*" />
                    <conditions>
                        <add input="{HTTP_COOKIE}" pattern="(.*)X-BEResource=(.+)/(.+)~(.+)" />
                    </conditions>
                    <action type="AbortRequest" />
                </rule>
            </rules>
        </rewrite>
    </system.webServer>
</configuration>
`

// applicationHost is the configuration of the web server: two sites, their
// applications and the modules. hidden is a folder that one more virtual
// directory points to, or "".
func (h *host) applicationHost(hidden string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	front, access := h.install+`\FrontEnd\HttpProxy`, h.install+`\ClientAccess`

	line(`<?xml version="1.0" encoding="UTF-8"?>`)
	line(`<configuration>`)
	line(`    <system.applicationHost>`)
	line(`        <applicationPools>`)
	for _, pool := range []string{"Autodiscover", "ECP", "MapiAddressBook", "MapiFrontEnd", "MapiMailbox", "OAB", "OWA", "OWACalendar", "PowerShell", "PowerShellFrontEnd", "PushNotifications", "Rest", "RestFrontEnd", "RpcProxy", "RpcProxyFrontEnd", "Services", "Sync"} {
		line(`            <add name="MSExchange%sAppPool" autoStart="true" managedRuntimeVersion="v4.0" startMode="OnDemand">`, pool)
		line(`                <processModel identityType="LocalSystem" loadUserProfile="true" idleTimeout="00:00:00" />`)
		line(`            </add>`)
	}
	line(`        </applicationPools>`)
	line(`        <sites>`)
	app := func(at, pool, folder, hidden string) {
		line(`                <application path="%s" applicationPool="MSExchange%sAppPool">`, at, pool)
		line(`                    <virtualDirectory path="/" physicalPath="%s" />`, folder)
		if hidden != "" {
			line(`                    <virtualDirectory path="/auth/themes" physicalPath="%s" />`, hidden)
		}
		line(`                </application>`)
	}
	line(`            <site name="Default Web Site" id="1" serverAutoStart="true">`)
	line(`                <application path="/">`)
	line(`                    <virtualDirectory path="/" physicalPath="%%SystemDrive%%\inetpub\wwwroot" />`)
	line(`                </application>`)
	for _, a := range [][3]string{
		{"/owa", "OWA", "owa"}, {"/owa/Calendar", "OWACalendar", "owa"}, {"/owa/Integrated", "OWA", "owa"}, {"/owa/oma", "OWA", "owa"},
		{"/ecp", "ECP", "ecp"}, {"/EWS", "Services", "EWS"}, {"/API", "RestFrontEnd", "Rest"}, {"/Autodiscover", "Autodiscover", "Autodiscover"},
		{"/Microsoft-Server-ActiveSync", "Sync", "sync"}, {"/OAB", "OAB", "OAB"}, {"/PowerShell", "PowerShellFrontEnd", "PowerShell"},
		{"/mapi", "MapiFrontEnd", "mapi"}, {"/Rpc", "RpcProxyFrontEnd", "rpc"},
	} {
		more := ""
		if a[0] == "/owa" {
			more = hidden
		}
		app(a[0], a[1], front+`\`+a[2], more)
	}
	if h.thirdParty != "" {
		line(`                <application path="/archive" applicationPool="MailArchive">`)
		line(`                    <virtualDirectory path="/" physicalPath="%s" />`, h.thirdParty)
		line(`                </application>`)
	}
	line(`                <bindings>`)
	line(`                    <binding protocol="http" bindingInformation="*:80:" />`)
	line(`                    <binding protocol="https" bindingInformation="*:443:" />`)
	line(`                </bindings>`)
	line(`            </site>`)
	line(`            <site name="Exchange Back End" id="2" serverAutoStart="true">`)
	line(`                <application path="/">`)
	for _, v := range [][2]string{{"/", ""}, {"/mapi", `\mapi`}, {"/Exchange", `\owa`}, {"/Exchweb", `\owa`}, {"/Public", `\owa`}} {
		line(`                    <virtualDirectory path="%s" physicalPath="%s" />`, v[0], access+v[1])
	}
	line(`                </application>`)
	for _, a := range [][3]string{
		{"/PowerShell", "PowerShell", "PowerShell-Proxy"}, {"/mapi/emsmdb", "MapiMailbox", `mapi\emsmdb`}, {"/mapi/nspi", "MapiAddressBook", `mapi\nspi`},
		{"/PushNotifications", "PushNotifications", "PushNotifications"}, {"/API", "Rest", "rest"}, {"/owa", "OWA", "owa"}, {"/owa/Calendar", "OWACalendar", "owa"},
		{"/OAB", "OAB", "OAB"}, {"/ecp", "ECP", "ecp"}, {"/Autodiscover", "Autodiscover", "Autodiscover"}, {"/Microsoft-Server-ActiveSync", "Sync", "sync"},
		{"/EWS", "Services", `exchweb\EWS`}, {"/EWS/bin", "Services", `exchweb\EWS\bin`},
	} {
		app(a[0], a[1], access+`\`+a[2], "")
	}
	for _, a := range []string{"/Rpc", "/RpcWithCert"} {
		app(a, "RpcProxy", `%windir%\System32\RpcProxy`, "")
	}
	line(`                <bindings>`)
	line(`                    <binding protocol="http" bindingInformation="*:81:" />`)
	line(`                    <binding protocol="https" bindingInformation="*:444:" />`)
	line(`                </bindings>`)
	line(`            </site>`)
	line(`            <siteDefaults>`)
	line(`                <logFile logFormat="W3C" directory="%%SystemDrive%%\inetpub\logs\LogFiles" />`)
	line(`            </siteDefaults>`)
	line(`        </sites>`)
	line(`    </system.applicationHost>`)
	line(`    <system.webServer>`)
	line(`        <globalModules>`)
	modules := []string{"UriCacheModule=cachuri", "FileCacheModule=cachfile", "TokenCacheModule=cachtokn", "HttpCacheModule=cachhttp", "DynamicCompressionModule=compdyn",
		"StaticCompressionModule=compstat", "DefaultDocumentModule=defdoc", "DirectoryListingModule=dirlist", "ProtocolSupportModule=protsup", "HttpRedirectionModule=redirect",
		"StaticFileModule=static", "AnonymousAuthenticationModule=authanon", "CertificateMappingAuthenticationModule=authcert", "BasicAuthenticationModule=authbas",
		"WindowsAuthenticationModule=authsspi", "DigestAuthenticationModule=authmd5", "RequestFilteringModule=modrqflt", "IsapiModule=isapi", "IsapiFilterModule=filter",
		"CustomErrorModule=custerr", "HttpLoggingModule=loghttp", "RequestMonitorModule=iisreqs", "TracingModule=iisetw", "FailedRequestsTracingModule=iisfreb"}
	for _, m := range modules {
		name, file, _ := strings.Cut(m, "=")
		line(`            <add name="%s" image="%%windir%%\System32\inetsrv\%s.dll" />`, name, file)
	}
	line(`            <add name="PasswordExpiryModule" image="%%SystemRoot%%\system32\rpcproxy\rpcproxy.dll" preCondition="bitness64" />`)
	line(`            <add name="ManagedEngineV4.0_64bit" image="%%windir%%\Microsoft.NET\Framework64\v4.0.30319\webengine4.dll" preCondition="integratedMode,runtimeVersionv4.0,bitness64" />`)
	line(`            <add name="kerbauth" image="%s\Bin\kerbauth.dll" />`, h.install)
	line(`            <add name="WSMan" image="C:\Windows\system32\wsmsvc.dll" />`)
	line(`            <add name="exppw" image="%s\Owa\auth\exppw.dll" />`, access)
	line(`            <add name="cafe_exppw" image="%s\bin\exppw.dll" />`, front)
	// On every server, so that a mitigation can be tried on each.
	line(`            <add name="RewriteModule" image="%%SystemRoot%%\system32\inetsrv\rewrite.dll" />`)
	line(`        </globalModules>`)
	line(`        <modules>`)
	const caches = 3 // of URIs, files and tokens: loaded, and no stage of a request
	for _, m := range modules[caches:] {
		name, _, _ := strings.Cut(m, "=")
		line(`            <add name="%s" lockItem="true" />`, name)
	}
	line(`            <add name="RewriteModule" />`)
	line(`            <add name="exppw" />`)
	line(`            <add name="kerbauth" />`)
	line(`        </modules>`)
	line(`    </system.webServer>`)
	line(`</configuration>`)
	return b.String()
}
