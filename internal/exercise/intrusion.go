package exercise

import (
	"fmt"
	"path"
	"strings"

	"postern"
)

// Names of rules of the pack proxylogon that the rows are about. They are hints:
// the pack decides.
const (
	ruleScan    = "proxylogon/ssrf-scan"
	ruleAsk     = "proxylogon/ssrf-autodiscover"
	ruleMapi    = "proxylogon/ssrf-mapi"
	ruleSession = "proxylogon/ssrf-session"
	ruleMail    = "proxylogon/ssrf-mail"
	ruleGet     = "proxylogon/ddi-get"
	ruleSet     = "proxylogon/ddi-set"
	ruleReset   = "proxylogon/ddi-reset"
	ruleCommand = "proxylogon/ecp-set-url"
	ruleOab     = "proxylogon/oab-write"
	ruleEws     = "exchange/ews-as-server"
	rulePage    = "proxylogon/scan-page"
	ruleCarrier = "proxylogon/carrier-post"
	ruleShell   = "exchange/shell-request"
	ruleHidden  = "config/known-folder"
)

// backRules are those about the rows of the back end's web server, by kind.
var backRules = map[string]string{
	"ssrf-proxylogon": "proxylogon/backend-session", "ddi-getobject": "proxylogon/backend-get",
	"ddi-setobject": "proxylogon/backend-set", "ddi-reset": "proxylogon/backend-reset",
}

// intruder is somebody who asks the back end through the front end.
type intruder struct {
	h       *host
	address string
	proto   int
	stem    string // of a static file, whose request carries the routing value
	prefix  string // of the routing value
	port    string
	tail    string // of a target with a query
	canary  string
	version string // of the back end, as the routing value claims it
	tool    *agent
}

// newIntruder decides how somebody works. Half use files below /ecp, the others
// below /owa/auth, whose rows are in another log.
func (h *host) newIntruder() *intruder {
	c := h.plan
	in := &intruder{
		h: h, address: intruderAddress(c), proto: pEcp, prefix: "ServerInfo~a]@", port: ":444", tail: "#",
		canary: c.from(alnum+"-_", 76) + ".", version: "0.00.0003.000", tool: &agentPython,
	}
	switch c.n(6) {
	case 0:
		in.stem = "/ecp/y.js"
	case 1, 2:
		in.stem = "/ecp/" + c.from(lowAlnum, c.between(1, 13)) + ".js"
	case 3:
		in.proto, in.stem = pOwa, "/owa/auth/"+c.from(lowAlnum, c.between(3, 9))+".js"
	case 4:
		in.proto, in.stem = pOwa, "/owa/auth/Current/themes/resources/"+c.one("logon.css", "owafont_ja.css", "lgnbotl.gif", "SegoeUI-SemiBold.eot")
	case 5:
		in.stem = c.one("/ecp/main.css", "/ecp/default.flt", "/ecp/auth/w.js")
	}
	switch c.n(4) {
	case 0:
		in.port = ""
	case 1:
		in.prefix, in.tail, in.version, in.tool = "ServerInfo~Admin@", "&a=", h.before.target, &agentSweep
	}
	h.actor("intruder", in.address, in.tool.raw, agentServices.raw)
	return in
}

// actor puts somebody into the truth, once by role and address.
func (h *host) actor(role, address string, agents ...string) {
	for i := range h.truth.Actors {
		if a := &h.truth.Actors[i]; a.Role == role && a.Addresses[0] == address {
			return
		}
	}
	h.truth.Actors = append(h.truth.Actors, Actor{Role: role, Addresses: []string{address}, UserAgents: agents})
}

// step is one request to the back end.
type step struct {
	kind, rule  string
	level       postern.Level // of the row of the front end
	back        postern.Level // of the row of the back end's web server
	path, query string
	status      int
	in, out     int
	agent       *agent
	took        int
	trouble     string
	unasked     bool // the back end was not reached
}

// send plans a request to the back end.
func (in *intruder) send(at int64, s step) {
	h, c := in.h, in.h.plan
	t := target{prefix: in.prefix, host: h.fqdn + in.port, path: s.path}
	if s.query == "" {
		t.tail = "?" + strings.TrimPrefix(in.tail, "&")
	} else {
		t.query, t.tail = "?"+s.query, in.tail
	}
	r := request{
		at: at, took: s.took, id: c.guid(), proto: in.proto, method: "POST", host: h.public, stem: in.stem, auth: "FBA",
		agent: s.agent, client: in.address, status: s.status, backStatus: s.status, in: s.in, out: s.out,
		proxied: true, target: h.fqdn, targetVersion: in.version, region: "CrossRegion",
		hint: "X-BEResource-Cookie", info: "ProxyToDownLevel=True;", connected: true, trouble: s.trouble,
		backStem: s.path, backQuery: s.query, backUser: h.computer,
	}
	if r.took == 0 {
		r.took = c.between(40, 900)
	}
	if r.agent == nil {
		r.agent = in.tool
	}
	if in.proto == pOwa && c.share(0.5) {
		r.hint = "X-AnonResource-Backend-Cookie"
	}
	if s.status >= 400 {
		r.errorCode = "ProtocolError"
		r.trouble = netError(s.status, fmt.Sprintf("The remote server returned an error: (%d).", s.status), "at")
	}
	if s.unasked {
		r.backStatus, r.errorCode, r.trouble = 0, "", s.trouble
	}
	var how, stemHow []string
	if h.varies() {
		t, how = t.varied(c)
		how = append(how, h.variedRow(&r)...)
		if c.n(3) == 0 {
			r.stem, stemHow = variedStem(c, r.stem)
		}
		if c.n(4) == 0 {
			h.shuffle("C/inetpub/logs/LogFiles/W3SVC1", at/day)
			stemHow = append(stemHow, "columns")
		}
	}
	r.anchor = t.String()
	m := marks{
		proxy: &mark{kind: s.kind, level: s.level, rule: s.rule, vary: how},
		// The web server's log does not say what the back end was asked: that the
		// request was answered is all that it shows.
		front: &mark{kind: "iis-front-" + s.kind, level: min(s.level, postern.Exploited), rule: ruleCarrier, vary: stemHow},
		back:  &mark{kind: "iis-back-" + s.kind, level: s.back},
	}
	if s.back > postern.NotSeen {
		m.back.rule = backRules[s.kind]
	}
	h.later(at, func() { h.serve(&r, m) })
}

// ask plans the request that every chain begins with: is there such a mailbox?
func (in *intruder) ask(at int64, status int) {
	in.send(at, step{
		kind: "ssrf-autodiscover", rule: ruleAsk, level: postern.Probed, path: "/autodiscover/autodiscover.xml",
		status: status, in: 340, out: 3812, agent: &agentServices,
	})
}

// learn plans the request that gives the identity of a mailbox's owner away.
func (in *intruder) learn(at int64, status int) {
	level := postern.Exploited
	if status >= 400 {
		level = postern.Probed
	}
	in.send(at, step{kind: "ssrf-mapi", rule: ruleMapi, level: level, path: "/mapi/emsmdb/", status: status, in: 149, out: 1207})
}

// logOn plans the request for a session of an administrator; 241 is success.
func (in *intruder) logOn(at int64, status int) {
	level, back := postern.Probed, postern.NotSeen
	if status == 241 {
		level, back = postern.Exploited, postern.Exploited
	}
	in.send(at, step{kind: "ssrf-proxylogon", rule: ruleSession, level: level, back: back, path: "/ecp/proxyLogon.ecp", status: status, in: 228, out: 0})
}

// service plans a request to the service that administers virtual directories.
func (in *intruder) service(at int64, verb, schema, kind, rule string, level postern.Level) {
	in.send(at, step{
		kind: kind, rule: rule, level: level, back: level, path: "/ecp/DDI/DDIService.svc/" + verb,
		query: "msExchEcpCanary=" + in.canary + "&schema=" + schema, status: 200,
		in: in.h.plan.between(200, 900), out: in.h.plan.between(300, 2900), took: in.h.plan.between(180, 2400),
	})
}

// url is the address of such a request, as the back end's logs have it.
func (in *intruder) url(verb, schema string) string {
	return "/ecp/DDI/DDIService.svc/" + verb + "?msExchEcpCanary=" + in.canary + "&schema=" + schema
}

// command plans what the control panel's log says of such a request.
func (in *intruder) command(at int64, url, command, failure string, m *mark) {
	h := in.h
	p := panel{at: at, took: h.plan.between(12, 900), command: command, failure: failure, user: h.plan.guid(), url: url}
	if in.tail == "&a=" {
		p.url += "&a=%5D:444" + in.stem
	}
	if len(m.vary) > 0 {
		p.quote = h.plan.n(2) == 0
		if h.plan.n(3) == 0 {
			h.shuffle(path.Join(h.exchange(), "Logging/ECP/Server"), at/day)
			m.vary = append(m.vary, "columns")
		}
	}
	h.later(at, func() { h.panelRow(&p, m) })
}

// shell is a web shell: where it lies and by what name it is asked for.
type shell struct {
	name  string
	url   string
	file  string // below the host's folder
	disk  string // as Windows writes it
	proto int    // whose log has its requests; -1 is none
	uses  []int64
}

// shellNames are some that were published and some made by the same rules.
var shellNames = []string{
	"RedirSuiteServerProxy", "OutlookEN", "OutlookRU", "errorEE", "errorFF", "supp0rt", "discover", "healthcheck", "shellex", "Err0r", "logg", "one1",
}

// newShell chooses where a web shell goes.
func (h *host) newShell() *shell {
	c := h.plan
	s := &shell{name: c.one(shellNames...) + ".aspx"}
	if c.n(3) == 0 {
		s.name = c.from(alnum, 8) + ".aspx"
	}
	frontEnd := h.exchange() + "/FrontEnd/HttpProxy/"
	switch c.n(5) {
	case 0, 1:
		s.url, s.file, s.proto = "/owa/auth/"+s.name, frontEnd+"owa/auth/"+s.name, pOwa
	case 2:
		s.url, s.file, s.proto = "/ecp/auth/"+s.name, frontEnd+"ecp/auth/"+s.name, pEcp
	case 3:
		s.url, s.file, s.proto = "/aspnet_client/"+s.name, "C/inetpub/wwwroot/aspnet_client/"+s.name, -1
	case 4:
		s.url, s.file, s.proto = "/aspnet_client/system_web/"+s.name, "C/inetpub/wwwroot/aspnet_client/system_web/"+s.name, -1
	}
	s.disk = s.file[:1] + ":" + strings.ReplaceAll(s.file[1:], "/", `\`)
	return s
}

// inert is the markup that stands where a web shell's would: in no language that
// exists, with a placeholder for a body.
func inert() string {
	return "<scr" + `ipt language="x-in` + `ert" run` + `at="server">@@BODY@@</scr` + "ipt>"
}

// chain plans the whole way in: from the first request to the tidying up after
// the web shell was written. It gives the time when that was.
func (in *intruder) chain(at int64, s *shell) (written int64) {
	h, c := in.h, in.h.plan
	// The steps follow each other as a program makes them, with the server's own delays.
	soon := func(least, most int) int64 {
		at += int64(c.between(least, most))
		return at
	}
	const directory = "OABVirtualDirectory"
	in.ask(at, 200)
	in.learn(soon(1000, 1700), 200)
	in.logOn(soon(1100, 2600), 241)

	get, set, reset := in.url("GetObject", directory), in.url("SetObject", directory), in.url("SetObject", "Reset"+directory)
	in.command(soon(1500, 5400), get, "Get-OabVirtualDirectory.ADPropertiesOnly=$true.Identity=$null", "", &mark{kind: "ecp-get"})
	in.command(soon(40, 160), get, "Pipeline.1|Get-MailboxRegionalConfiguration", "", &mark{kind: "ecp-first-use"})
	in.service(soon(30, 170), "GetObject", directory, "ddi-getobject", ruleGet, postern.Privileged)
	looked := at + 1
	h.later(looked, func() { h.activityRow(looked, "", get) })

	identity := ".Identity='" + h.vdir.String() + "'"
	command, how := in.markup(identity)
	in.command(soon(2200, 3500), set, command, "", &mark{kind: "ecp-set-markup", level: postern.Privileged, rule: ruleCommand, vary: how})
	in.command(soon(40, 80), set, "Get-OabVirtualDirectory.ADPropertiesOnly=$true"+identity, "", &mark{kind: "ecp-get"})
	in.service(soon(30, 90), "SetObject", directory, "ddi-setobject", ruleSet, postern.Privileged)

	in.command(soon(1500, 4500), reset, "Get-OABVirtualDirectory"+identity, "", &mark{kind: "ecp-get"})
	in.command(soon(80, 200), reset, "Get-ExchangeServer.Identity='"+h.name+"'", "", &mark{kind: "ecp-get"})
	written = soon(200, 2300)
	in.command(written, reset, "Remove-OABVirtualDirectory.Force=$true.Identity='"+h.name+`\OAB (Default Web Site)'`, "", &mark{kind: "ecp-remove"})
	in.command(soon(800, 7700), reset, "New-OABVirtualDirectory.WebSiteName='Default Web Site'.Server='"+h.name+"'.Role='ClientAccess'.InternalURL='https://"+h.fqdn+"/OAB'.Path='"+h.install+`\FrontEnd\HttpProxy\OAB'`, "", &mark{kind: "ecp-new"})
	in.service(soon(30, 200), "SetObject", "Reset"+directory, "ddi-reset", ruleReset, postern.Implanted)

	in.command(soon(2000, 4000), set, "Set-OabVirtualDirectory.ExternalUrl=$null"+identity,
		"Microsoft.Exchange.Data.Directory.ADNoSuchObjectException:Active Directory operation failed on "+h.controller+
			". The object 'CN=OAB (Default Web Site),CN=HTTP,CN=Protocols,CN="+h.name+",CN=Servers' does not exist.", &mark{kind: "ecp-tidy-up"})
	in.service(soon(60, 140), "SetObject", directory, "ddi-setobject", ruleSet, postern.Privileged)

	// On disk it is plain, whatever way the log wrote it.
	h.plant(s.file, vdirDump(h, "http://f/"+inert(), written), written, "shell-vdir-dump", postern.Implanted)
	return written
}

// markup gives the command that puts the markup into the configuration, and in
// what way it is written unusually.
func (in *intruder) markup(identity string) (command string, how []string) {
	c := in.h.plan
	cmdlet, address := "Set-OabVirtualDirectory", c.one("http://f/", "http://g/", "http://o/#", "http://a/")+inert()
	escape := strings.NewReplacer("<", "%3C", ">", "%3E", `"`, "%22", " ", "%20")
	if in.h.varies() {
		how = []string{c.one("case", "percent", "double-percent", "order")}
		switch how[0] {
		case "case":
			cmdlet, address = anyCase(c, cmdlet), anyCase(c, address)
		case "percent":
			address = escape.Replace(address)
		case "double-percent":
			address = strings.ReplaceAll(escape.Replace(address), "%", "%25")
		case "order":
			return cmdlet + identity + ".ExternalUrl='" + address + "'", how
		}
	}
	return cmdlet + ".ExternalUrl='" + address + "'" + identity, how
}

// hit is a request for a page.
type hit struct {
	at            int64
	address       string
	agent         *agent
	method, query string
	status        int
	took, in, out int
	kind          string
	level         postern.Level
	host          string // asked for, "" is the public name
	proto         int    // whose log has it; -1 is none
	url           string
}

// page plans a request for a page where a shell is, was or could be.
func (h *host) page(x hit) {
	c := h.plan
	r := request{
		at: x.at, took: x.took, id: c.guid(), proto: max(0, x.proto), method: x.method, host: x.host, stem: x.url, query: x.query,
		auth: "FBA", agent: x.agent, client: x.address, status: x.status, in: x.in, out: x.out, plain: x.proto < 0,
	}
	if r.took == 0 {
		r.took = c.between(20, 180)
	}
	if r.host == "" {
		r.host = h.public
	}
	if x.status == 302 {
		r.info = "NoCookies=302 - GET/E14AuthPost;"
	}
	var how []string
	if x.level >= postern.Implanted && h.varies() {
		r.stem, how = variedStem(c, r.stem)
	}
	rule := ""
	if x.level > postern.NotSeen {
		rule = ruleShell
	}
	m := &mark{kind: x.kind, level: x.level, rule: rule, vary: how}
	front := &mark{kind: "iis-front-" + x.kind, level: x.level, rule: rule, vary: how}
	h.later(x.at, func() {
		if x.proto >= 0 {
			h.proxyRow(&r, m)
		}
		h.frontRow(&r, front)
	})
}

// look plans a request that only asks whether the shell is there.
func (s *shell) look(h *host, at int64, address string, a *agent, host string, status int) {
	level := postern.NotSeen
	if status == 200 {
		level = postern.Implanted
	}
	h.page(hit{at: at, address: address, agent: a, method: "GET", status: status, out: 1890, kind: "shell-check", level: level, host: host, proto: s.proto, url: s.url})
}

// use plans a request that has the shell do something.
func (s *shell) use(h *host, at int64, address string, a *agent) {
	s.uses = append(s.uses, at)
	x := hit{
		at: at, address: address, agent: a, method: "POST", status: 200, in: h.plan.between(200, 4000), out: h.plan.between(1900, 60000),
		took: h.plan.between(200, 9000), kind: "shell-use", level: postern.Used, proto: s.proto, url: s.url,
	}
	if h.plan.n(4) == 0 {
		x.method, x.query, x.in = "GET", "?"+h.plan.one("exec_code", "AppcacheVer", "clientCode", "orangenb")+"=QEBCT0RZQEA%3d", 0
	}
	h.page(x)
}

// compiled plans the files that the first request to a page leaves behind.
func (s *shell) compiled(h *host, at int64) {
	app := "root"
	switch s.proto {
	case pOwa:
		app = "owa"
	case pEcp:
		app = "ecp"
	}
	c := h.plan
	dir := temporaryFiles + app + "/" + c.from(lowerHex, 8) + "/" + c.from(lowerHex, 8) + "/"
	assembly := "App_Web_" + c.from(lowAlnum, 8)
	h.plant(dir+strings.ToLower(s.name)+"."+c.from(lowerHex, 8)+".compiled", compiledPage(s.url, assembly), at, "compiled-page", postern.Used)
	h.plant(dir+assembly+".dll", inertLibrary(c, "~"+strings.TrimPrefix(s.url, "/"+app)), at, "compiled-library", postern.Used)
}
