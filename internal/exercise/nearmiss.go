package exercise

import (
	"fmt"
	"strings"
)

// nearMisses plans, on every host, what looks like an intrusion and is none. The
// times lie where logs are kept, so that each host has all of them.
func (h *host) nearMisses() {
	h.actor("administrator", h.admin.inside, h.admin.browser.raw)
	if h.balancer != "" {
		h.actor("load-balancer", h.balancer)
	}
	h.adminSetsUrls()
	h.adminReadsAboutIt()
	h.routingWithoutSlash()
	h.scannerOfVersions()
	h.phonesAskingForAddresses()
	h.stockPages()
	h.staticFiles()
	h.addressBookFailures()
	h.harmlessFiles()
}

// quiet gives a time for a near miss: any at which logs are kept and the server works.
func (h *host) quiet() int64 {
	from := max(h.from, h.gone)
	at := from + hour + int64(h.plan.float()*float64(h.to-from-3*hour))
	if up, down := h.downAt(at); down {
		return up + minute
	}
	return at
}

// near plans the rows of a request that is harmless; both logs' rows are noted.
func (h *host) near(r request, why string) {
	m := &mark{near: why}
	if r.proxied && r.backStatus == 0 {
		r.backStatus = r.status
	}
	h.later(r.at, func() {
		if r.plain {
			h.frontRow(&r, m)
			return
		}
		h.serve(&r, marks{proxy: m, front: m, back: m})
	})
}

// visit is a request of a person with a browser.
func (h *host) visit(at int64, proto int, method, stem, query string, status int, u *user) request {
	return request{
		at: at, took: h.plan.between(1, 40), id: h.plan.guid(), proto: proto, method: method, host: h.public, stem: stem, query: query,
		auth: "FBA", agent: &u.browser, client: u.outside, status: status, out: h.plan.between(400, 9000),
	}
}

// byUser has a request proxied for somebody who has logged on.
func byUser(r request, u *user) request {
	r.account, r.anchor, r.hint = u.account, "Sid~"+u.sid, "WindowsIdentity"
	r.proxied, r.backStatus, r.database = true, r.status, u.database
	return r
}

// adminSetsUrls is an administrator doing what the attack also does, rightly: in
// the control panel and in the management shell.
func (h *host) adminSetsUrls() {
	c, u := h.plan, h.admin
	canary := c.from(alnum+"-_", 76) + "."
	at := h.quiet()
	url := "/ecp/DDI/DDIService.svc/SetObject?msExchEcpCanary=" + canary + "&schema=OABVirtualDirectory"
	r := byUser(h.visit(at, pEcp, "POST", "/ecp/DDI/DDIService.svc/SetObject", url[strings.IndexByte(url, '?'):], 200, u), u)
	r.client, r.in = u.inside, 540
	h.near(r, "an administrator saves the addresses of the offline address book in the control panel")
	identity := ".Identity='" + h.vdir.String() + "'"
	commands := []string{
		"Set-OabVirtualDirectory.ExternalUrl='https://" + h.public + "/OAB'.InternalUrl='https://" + h.fqdn + "/OAB'" + identity,
		"Set-OwaVirtualDirectory.ExternalUrl='https://" + h.public + "/owa'.InternalUrl='https://" + h.fqdn + "/owa'" + identity,
		"Set-WebServicesVirtualDirectory.ExternalUrl='https://javascript-evaluation." + h.org.mail + "/EWS/Exchange.asmx'" + identity,
		"Set-OabVirtualDirectory.PollInterval='480'.RequireSSL=$true" + identity,
		"New-TransportRule.Name='Block mails about ServerInfo and proxyLogon'.SubjectContainsWords='proxylogon'",
	}
	for i, command := range commands {
		p := panel{at: at + int64(2*i+1)*second, took: c.between(60, 900), command: command, url: url, user: c.guid()}
		h.later(p.at, func() {
			h.panelRow(&p, &mark{near: "an administrator's command with proper values"})
			h.activityRow(p.at, u.mail, p.url)
		})
	}

	at = h.quiet()
	shell := &shellCall{user: u.account, sid: u.sid, client: "Microsoft WinRM Client", session: c.guid(), shell: c.guid(), application: "ManagementShell"}
	q := request{at: at, took: 310, id: c.guid(), client: u.inside, status: 200, in: 4100}
	h.later(at, func() {
		shell.action = "Set-OabVirtualDirectory:Command"
		m := &mark{near: "an administrator's command in the management shell"}
		h.rpsHTTPRow(&q, shell, m)
		h.rpsCmdletRow(&q, shell, "Set-OabVirtualDirectory",
			`-Identity "`+h.name+`\OAB (Default Web Site)" -ExternalUrl "https://`+h.public+`/OAB"`, m)
	})
}

// adminReadsAboutIt is people reading and writing about the attack, with its
// words in columns that decide nothing.
func (h *host) adminReadsAboutIt() {
	u := h.admin
	r := byUser(h.visit(h.quiet(), pOwa, "GET", "/owa/", "?path=/mail/search&q=ServerInfo~localhost/ecp/default.flt", 200, u), u)
	h.near(r, "a search of the mailbox for the words of an indicator")

	reader := newAgent("Mozilla/5.0 (compatible; ServerInfo~Reader/1.2; +https://advisories.example/ecp/proxyLogon.ecp)")
	r = h.visit(h.quiet(), pOwa, "GET", "/owa/auth/logon.aspx", "?url=https%3a%2f%2f"+h.public+"%2fowa%2f&reason=0", 200, u)
	r.agent = &reader
	h.near(r, "the words of an indicator in a user agent")

	r = h.visit(h.quiet(), pOwa, "GET", "/owa/auth/"+h.path3+"/scripts/premium/flogon.js", "", 200, u)
	r.referer = "https://blog.example/2021/03/proxylogon?x=/ecp/DDI/DDIService.svc/SetObject"
	h.near(r, "the words of an indicator in a referer")

	r = byUser(h.visit(h.quiet(), pEws, "POST", "/EWS/Exchange.asmx", "", 200, u), u)
	r.clientRequest = "serverinfo/mapi/emsmdb/" + h.plan.guid().String()
	h.near(r, "the words of an indicator in a request id that the client chose")
}

// routingWithoutSlash is a request that Exchange itself sends to a named server.
func (h *host) routingWithoutSlash() {
	for range 2 {
		u := h.users[h.plan.n(len(h.users))]
		r := byUser(h.visit(h.quiet(), pEws, "POST", "/EWS/Exchange.asmx", "", 200, u), u)
		r.anchor, r.hint, r.auth = "ServerInfo~"+h.plan.one("SRV02", "EX02."+h.org.domain), "ServerInfo", "Negotiate"
		r.client = u.inside
		h.near(r, "a request for a named server, with no path in the routing value")
	}
}

func (h *host) scannerOfVersions() {
	r := h.visit(h.quiet(), pEcp, "GET", "/ecp/Current/exporttool/microsoft.exchange.ediscovery.exporttool.application", "", 200, h.admin)
	r.agent, r.client, r.host = &agentZgrab, outsideAddress(h.plan), h.outer
	r.anchor, r.hint = "ServerVersion~Version 15.0 (Build 0.0)", "EDiscoveryExportTool-ServerVersion"
	r.proxied = true
	h.near(r, "a scanner on the internet asking for the version")
}

func (h *host) phonesAskingForAddresses() {
	for range 2 {
		u := h.users[h.plan.n(len(h.users))]
		r := h.visit(h.quiet(), pAutodiscover, "GET", "/autodiscover/autodiscover.json", "?Email="+u.login+"%40"+h.org.mail+"&Protocol=ActiveSync&RedirectCount=1", 200, u)
		r.agent, r.anchor, r.hint, r.proxied = &u.phone, "Smtp~"+u.mail, "AutodiscoverV2-SMTP", true
		h.near(r, "a phone asking for its service, with an address in the query")
	}
}

// stockPages are visits to the product's own pages in the folders where web shells lie.
func (h *host) stockPages() {
	for _, v := range []struct {
		method, stem, query string
		status, proto       int
	}{
		{"GET", "/owa/auth/RedirSuiteServiceProxy.aspx", "", 200, pOwa},
		{"GET", "/owa/auth/OutlookCN.aspx", "", 200, pOwa},
		{"GET", "/owa/auth/errorFE.aspx", "?httpCode=500&owaError=Microsoft.Exchange.Data.Storage.StoragePermanentException&fe=" + h.name + "&msg=1", 200, pOwa},
		{"GET", "/owa/auth/signout.aspx", "", 200, pOwa},
		{"GET", "/ecp/auth/TimeoutLogout.aspx", "", 200, pEcp},
		{"POST", "/owa/auth.owa", "", 302, pOwa},
		{"POST", "/owa/auth/expiredpassword.aspx", "?url=/owa/auth.owa", 200, pOwa},
		{"GET", "/OWA/AUTH/LOGON.ASPX", "", 200, pOwa},
	} {
		u := h.users[h.plan.n(len(h.users))]
		r := h.visit(h.quiet(), v.proto, v.method, v.stem, v.query, v.status, u)
		if v.method == "POST" {
			r.in = 230
		}
		h.near(r, "one of the product's own pages")
	}
}

func (h *host) staticFiles() {
	u := h.users[h.plan.n(len(h.users))]
	at := h.quiet()
	h.near(byUser(h.visit(at, pEcp, "GET", "/ecp/"+h.before.dotted+"/scripts/common.js", "", 200, u), u), "a script of the control panel, fetched")
	h.near(h.visit(at+second, pEcp, "GET", "/ecp/y.js", "", 302, u), "a static file asked for, as nothing was sent on")
	h.near(h.visit(at+2*second, pOwa, "GET", "/owa/auth/"+h.path3+"/themes/resources/logon.css", "", 304, u), "a style sheet, fetched")
	r := h.visit(at+3*second, pOwa, "GET", "/aspnet_client/system_web/4_0_30319/WebUIValidation.js", "", 404, u)
	r.plain = true
	h.near(r, "a script of ASP.NET that is not there")
}

// addressBookFailures are downloads of the address book that failed and whose
// files lay where the generator itself puts them.
func (h *host) addressBookFailures() {
	c := h.plan
	for n := range 3 {
		at := h.quiet()
		dir := h.install + `\ClientAccess\OAB\Temp\`
		if n == 1 {
			dir = strings.ToUpper(h.install) + `\CLIENTACCESS\OAB\` + h.oab.String() + `\`
		}
		file := fmt.Sprintf("%s%s-data-%d.lzx", dir, c.guid(), c.between(1, 60))
		h.later(at, func() {
			h.oabRow(at, "Download failed and temporary file '"+file+"' needs to be removed", &mark{near: "a failed download in the generator's own folder"})
		})
	}
	// Its everyday work, so that the log is there to be read.
	for at := max(h.from, h.gone) + 3*hour; at < h.to; at += 8 * hour {
		h.later(at, func() {
			if _, down := h.downAt(at); down {
				return
			}
			h.oabRow(at, "Begin generating OAB "+h.oab.String(), nil)
			h.oabRow(at+2*second, "Address list enumerated: "+fmt.Sprint(len(h.users))+" objects", nil)
			h.oabRow(at+41*second, "Finished generating OAB "+h.oab.String(), nil)
		})
	}
}

// harmlessFiles are archives and notes of other products and of administrators.
func (h *host) harmlessFiles() {
	c := h.plan
	at := h.from - int64(c.between(5, 200))*day
	h.harmless("C/ProgramData/VMware/VMware Tools/vss_manifests.zip", archive(at, "manifest.txt"), at, "an archive of another product")
	if c.share(0.5) {
		h.harmless("C/ProgramData/McAfee/Common Framework/AgentPlugins/FrameworkConfig.zip", archive(at, "config.xml"), at, "an archive of another product")
	} else {
		h.harmless("C/ProgramData/AppRecovery/InstallerCache/agent-setup.zip", archive(at, "setup.txt"), at, "an archive of another product")
	}
	h.harmless("C/ProgramData/Backup/export.zip/readme.txt", []byte("A folder that is called like an archive.\r\n"), at, "a folder that is called like an archive")
	dump := vdirDump(h, "https://"+h.public+"/OAB", at)
	h.harmless("C/Users/"+h.admin.login+"/Documents/oab.txt", dump, at, "an administrator's note of the properties of a virtual directory")
	if c.share(0.4) {
		h.thirdParty = `C:\Program Files\MailArchive\web`
		h.harmless("C/Program Files/MailArchive/web/default.htm", []byte("<html><body>Archive</body></html>\r\n"), at, "a virtual directory of another product")
	}
}
