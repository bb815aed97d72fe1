package exercise

import (
	"slices"
	"strconv"
	"time"
)

// Figures of a server's everyday traffic.
const (
	// minHourSize is what an hour of an idle server takes: a few probes in the two
	// logs that every hour has, and their header blocks.
	minHourSize = 12 << 10
	// headerShare is how much of an hour may be header blocks: with little to
	// write, fewer protocols have a log in each hour.
	headerShare = 0.2
	// headerSize is that of the block of an HttpProxy log and of what comes with it.
	headerSize = 4 << 10
	// firstGuess of the bytes that one event leaves in all logs together.
	firstGuess = 1700
	minEvents  = 4 // in an hour

	// Windows counts time in steps of 100 ns since the year 1.
	ticks       = 10_000 // in a millisecond
	ticksIn1970 = 621_355_968_000_000_000
)

// kind is one sort of everyday event. Base events come at all hours, as machines
// do; people's with the working day.
type kind struct {
	proto        int
	base, people float64
	do           func(*host, int64)
}

// kinds and how often they come, relative to each other. On a busy server only
// about every eighth request is a person's: the rest is the server watching
// itself and clients being asked for their names.
var kinds = []kind{
	{pOwa, 0.9, 0, func(h *host, at int64) { h.localProbe(at, pOwa, "/owa/") }},
	{pEcp, 0.6, 0, func(h *host, at int64) { h.localProbe(at, pEcp, "/ecp/") }},
	{pEws, 0.6, 0, func(h *host, at int64) { h.localProbe(at, pEws, "/ews/") }},
	{pEas, 0.6, 0, func(h *host, at int64) { h.localProbe(at, pEas, "/Microsoft-Server-ActiveSync/default.eas") }},
	{pAutodiscover, 0.6, 0, func(h *host, at int64) { h.localProbe(at, pAutodiscover, "/autodiscover/") }},
	{pOab, 0.5, 0, func(h *host, at int64) { h.localProbe(at, pOab, "/oab/") }},
	{pRPC, 0.5, 0, func(h *host, at int64) { h.localProbe(at, pRPC, "/rpc/") }},
	{pRest, 0.3, 0, func(h *host, at int64) { h.localProbe(at, pRest, "/api/") }},
	{pPush, 0.3, 0, (*host).push},
	{pMapi, 1.1, 0, (*host).mapiProbe},
	{pEcp, 0.5, 0, (*host).panelProbe},
	{pEws, 0.6, 0, (*host).ewsProbe},
	{pPowerShell, 0.5, 0, (*host).shellProbe},
	{pMapi, 0.3, 0.9, func(h *host, at int64) { h.challenge(at, pMapi) }},
	{pEws, 0.2, 0.6, func(h *host, at int64) { h.challenge(at, pEws) }},
	{pAutodiscover, 0.1, 0.4, func(h *host, at int64) { h.challenge(at, pAutodiscover) }},
	{pOwa, 0.5, 0, (*host).balancerProbe},
	{pOwa, 0.25, 0, (*host).noise},
	{pMapi, 0.2, 2.6, (*host).outlook},
	{pEas, 0.3, 1.0, (*host).phone},
	{pEws, 0.2, 0.8, (*host).ewsClient},
	{pOwa, 0, 0.8, (*host).owaService},
	{pOwa, 0, 0.7, (*host).owaStatic},
	{pOwa, 0.02, 0.12, (*host).owaLogon},
	{pAutodiscover, 0.1, 0.4, (*host).autodiscoverXML},
	{pAutodiscover, 0.05, 0.15, (*host).autodiscoverJSON},
	{pOab, 0.02, 0.15, (*host).addressBook},
	{pEcp, 0, 0.12, (*host).options},
	{pRest, 0.02, 0.1, (*host).rest},
	{pOwaCalendar, 0.03, 0.03, (*host).sharedCalendar},
	{pRPC, 0.02, 0.05, (*host).rpc},
}

// always are the protocols that have a log in every hour, as on a real server all
// have: those that the attacks went through.
var always = []int{pOwa, pEcp}

// seldom are the others, the first the most telling.
var seldom = []int{pMapi, pEas, pEws, pAutodiscover, pPowerShell, pRPC, pOab, pRest, pPush, pOwaCalendar}

// activity is how busy people are, from 0.03 in the night to 1 in the morning.
func (h *host) activity(at int64) float64 {
	t := instant(at).Add(time.Duration(h.zone) * time.Hour)
	curve := [24]float64{
		.04, .03, .03, .03, .04, .08, .2, .5, .85, 1, 1, .95, .7, .8, .95, .9, .75, .5, .3, .22, .2, .16, .1, .06,
	}
	a := curve[t.Hour()]
	if d := t.Weekday(); d == time.Saturday || d == time.Sunday {
		a *= 0.18
	}
	return a
}

// weight is how much of the traffic falls into an hour.
func (h *host) weight(at int64) float64 {
	if at+hour <= h.gone {
		return 0
	}
	base, people := 0.0, 0.0
	for i := range kinds {
		base += kinds[i].base
		people += kinds[i].people
	}
	return base + people*h.activity(at)
}

// pace decides how many events an hour gets, so that the size comes out.
type pace struct {
	weights []float64 // of the hours that are still to come, summed from the end
	event   float64   // bytes that an event left lately
}

func (h *host) newPace() *pace {
	n := int((h.to - h.from) / hour)
	p := &pace{weights: make([]float64, n+1), event: firstGuess}
	for i := n - 1; i >= 0; i-- {
		p.weights[i] = p.weights[i+1] + h.weight(h.from+int64(i)*hour)
	}
	return p
}

// hour lets an hour pass.
func (h *host) hour(at int64) {
	if h.pace == nil {
		h.pace = h.newPace()
	}
	p, i := h.pace, int((at-h.from)/hour)
	own := p.weights[i] - p.weights[i+1]
	if own == 0 || p.weights[i] == 0 {
		h.until(at + hour - 1)
		return
	}
	before := h.pending()
	bytes := float64(h.size-before) * own / p.weights[i]
	events := max(minEvents, int(bytes/p.event))
	h.expiry = instant(at + 30*day).Format("2006-01-02T15:04:05")
	h.routedAt = strconv.FormatInt(at*ticks+ticksIn1970+417, 10)
	h.events(at, events, h.choice(at, bytes))
	h.until(at + hour - 1)
	if left := h.pending() - before; events > minEvents && left > 0 {
		p.event = 0.7*p.event + 0.3*float64(left)/float64(events)
	}
}

// pending is what has been written or waits to be.
func (h *host) pending() int64 {
	n := h.bytes
	for _, s := range h.streams {
		n += int64(len(s.buf))
	}
	return n
}

// choice gives the kinds that occur in an hour, each with the sum of its weight
// and of those before it.
func (h *host) choice(at int64, bytes float64) []chosen {
	var on [len(protocols)]bool
	for _, p := range always {
		on[p] = true
	}
	logs := int(bytes * headerShare / headerSize)
	// The first ones come more often, but each has its hours.
	for _, p := range seldom {
		if logs > len(seldom) || h.rng.share(float64(logs)/float64(len(seldom))) {
			on[p] = true
		}
	}
	active := h.activity(at)
	list := h.chosen[:0]
	sum := 0.0
	for i := range kinds {
		if k := &kinds[i]; on[k.proto] {
			sum += k.base + k.people*active
			list = append(list, chosen{sum, k})
		}
	}
	h.chosen = list
	return list
}

type chosen struct {
	upTo float64
	kind *kind
}

// events spreads events over an hour. The first two are the probes that see to it
// that the logs in always have a row.
func (h *host) events(at int64, n int, list []chosen) {
	step := float64(hour) / float64(n)
	total := list[len(list)-1].upTo
	for i := range n {
		t := at + int64((float64(i)+0.9*h.rng.float())*step)
		if up, down := h.downAt(t); down {
			if t = up + int64(i+1)*5*second; i >= len(always) || t >= at+hour {
				continue
			}
		}
		h.until(t)
		switch i {
		case 0:
			h.localProbe(t, pOwa, "/owa/")
		case 1:
			h.localProbe(t, pEcp, "/ecp/")
		default:
			x := h.rng.float() * total
			j, _ := slices.BinarySearchFunc(list, x, func(c chosen, x float64) int {
				if c.upTo <= x {
					return -1
				}
				return 1
			})
			list[j].kind.do(h, t)
		}
	}
}

// someone gives a user; some are busier than others.
func (h *host) someone() *user {
	f := h.rng.float()
	return h.users[int(f*f*float64(len(h.users)))]
}

func (h *host) healthMailbox() *user { return h.health[h.rng.n(len(h.health))] }

// routed fills in what a request has that an authenticated client made and that
// was answered by the back end.
func (h *host) routed(r *request, u *user) {
	r.auth, r.account = "Negotiate", u.account
	r.proxied, r.backStatus = true, r.status
	r.database = u.database
	if r.hint == "" {
		r.hint = "WindowsIdentity"
	}
	if r.anchor == "" {
		r.anchor = "Sid~" + u.sid
	}
	switch h.rng.n(3) {
	case 0:
		r.cookie = "Database~" + u.database + "~~" + h.expiry + "~" + h.org.domain + "~1"
	case 1:
		r.info = "RoutingEntry=DatabaseGuid:" + u.database + "%40" + h.org.domain + "%40" + h.org.domain + " Server:" + h.fqdn + "+" + h.before.server + "@" + h.routedAt + ";"
		r.connected = h.rng.n(4) == 0
	}
}

func (h *host) request(at int64, proto int, method, stem string, a *agent) request {
	return request{
		at: at, took: h.rng.between(1, 40), id: h.rng.guid(), proto: proto, method: method, stem: stem, agent: a,
		host: h.public, status: 200,
	}
}

// localProbe is Managed Availability asking the front end of its own server.
func (h *host) localProbe(at int64, proto int, stem string) {
	r := h.request(at, proto, "GET", stem, &agentProbe)
	r.host, r.client = "localhost", "127.0.0.1"
	if h.rng.n(3) == 0 {
		r.status, r.subStatus, r.win32, r.took = 401, 2, 5, 0
		r.auth = "Negotiate"
		if proto == pOwa || proto == pEcp {
			r.status, r.subStatus, r.win32, r.auth = 302, 0, 0, "FBA"
			r.info = "NoCookies=302 - GET/E14AuthPost;"
		}
		h.serve(&r, marks{})
		return
	}
	h.routed(&r, h.healthMailbox())
	r.backStatus = 0
	h.serve(&r, marks{})
}

// mapiProbe is the deep test of a mailbox: connect, read, disconnect.
func (h *host) mapiProbe(at int64) {
	u := h.healthMailbox()
	session := h.rng.guid().String()
	for i, step := range [...]string{"Connect", "Execute", "Disconnect"} {
		r := h.request(at+int64(17*i), pMapi, "POST", "/mapi/emsmdb/", &agentMapi)
		r.clientRequest = "R:" + session + ":" + strconv.Itoa(i+1) + ";RT:" + step + ";CI:" + u.mailbox + ":1;CID:" + r.id.String()
		r.host, r.client, r.org = h.fqdn, h.local, h.org.domain
		r.anchor, r.hint = "MailboxGuid~"+u.mailbox, "MailboxGuidWithDomain"
		r.query = "?mailboxId=" + u.mailbox + "@" + h.org.domain
		r.took, r.in, r.out = h.rng.between(4, 18), 371-122*i, 443-149*i
		h.routed(&r, u)
		h.serve(&r, marks{})
		h.mapiRow(&r, u, step, "Microsoft.Exchange.RpcClientAccess.Monitoring.dll", h.versionAt(at).dotted, "Online")
	}
}

// panelProbe is the deep test of the control panel.
func (h *host) panelProbe(at int64) {
	u := h.healthMailbox()
	canary := h.canary()
	r := h.request(at, pEcp, "POST", "/ecp/RulesEditor/InboxRules.svc/GetList", &agentOldProbe)
	r.client, r.host = "127.0.0.1", "localhost"
	r.query = "?msExchEcpCanary=" + canary
	r.in, r.out, r.took = 118, h.rng.between(300, 900), h.rng.between(12, 60)
	h.routed(&r, u)
	h.serve(&r, marks{})
	url := r.stem + r.query
	h.activityRow(at, u.mail, url)
	h.panelRow(&panel{at: at, took: r.took, command: "Get-InboxRule", url: url, user: h.rng.guid()}, nil)
}

func (h *host) canary() string { return h.rng.from(alnum+"-_", 64) + "." }

func (h *host) ewsProbe(at int64) {
	u := h.healthMailbox()
	r := h.request(at, pEws, "POST", "/ews/exchange.asmx", &agentEwsProbe)
	r.client, r.host, r.in, r.out = "::1", "localhost", 666, 1100
	r.action = "GetFolder"
	h.routed(&r, u)
	h.serve(&r, marks{})
	h.ewsRow(&r, &ewsCall{action: "GetFolder", user: u.mail, session: h.rng.guid(), size: 1100}, nil)
}

// shellProbe is the health manager opening a session of remote PowerShell.
func (h *host) shellProbe(at int64) {
	u := h.healthMailbox()
	p := &shellCall{user: u.account, sid: u.sid, client: "Microsoft WinRM Client", session: h.rng.guid(), shell: h.rng.guid(), application: "ActiveMonitor"}
	for i, step := range [...]string{"New-PSSession:Receive", "Get-Mailbox:Command"} {
		r := h.request(at+int64(30*i), pPowerShell, "POST", "/powershell", &agentWinRM)
		r.host, r.client, r.action = h.fqdn, h.address, step
		r.anchor, r.hint = "ServerVersion~"+h.before.display(), "ExchClientVer-ServerCookie"
		r.query = "?clientApplication=ActiveMonitor;PSVersion=5.1.14393.3866&sessionID=Version_" + h.rng.from(alnum, 40) + "="
		r.in, r.out, r.took = 2014+3113*i, 934-87*i, h.rng.between(8, 40)
		h.routed(&r, u)
		r.auth, r.database = "Kerberos", ""
		r.cookie = "Server~" + h.fqdn + "~" + h.before.server + "~" + h.expiry
		h.serve(&r, marks{})
		p.action = step
		h.rpsHTTPRow(&r, p, nil)
		if i > 0 {
			h.rpsCmdletRow(&r, p, "Get-Mailbox", `-ResultSize "1"`, nil)
		}
	}
}

// challenge is a client that has not said yet who it is.
func (h *host) challenge(at int64, proto int) {
	u := h.someone()
	a, stem := &u.outlook, "/mapi/emsmdb/"
	switch proto {
	case pEws:
		stem = "/EWS/Exchange.asmx"
	case pAutodiscover:
		stem = "/autodiscover/autodiscover.xml"
	}
	r := h.request(at, proto, "POST", stem, a)
	r.client, r.status, r.subStatus, r.win32, r.took, r.auth = u.inside, 401, 2, 5, h.rng.n(3), "Negotiate"
	if proto == pMapi {
		r.query = "?MailboxId=" + u.mailbox + "@" + h.org.mail
	}
	h.serve(&r, marks{})
}

// balancerProbe is a load balancer, or on servers without one their monitoring, asking whether the server is well.
func (h *host) balancerProbe(at int64) {
	r := h.request(at, pOwa, "GET", "/owa/healthcheck.htm", &agentBalancer)
	r.client, r.host, r.took = h.monitor, h.address, h.rng.n(4)
	h.serve(&r, marks{})
}

// noise is the internet: scanners of versions, the curious and the lost.
func (h *host) noise(at int64) {
	a, stem, query, status, proto := &agentZgrab, "/owa/auth/logon.aspx", "", 200, pOwa
	switch h.rng.n(9) {
	case 0:
		stem, query = "/owa/auth/logon.aspx", "?url=https%3a%2f%2f"+h.public+"%2fowa%2f&reason=0"
	case 1:
		stem, status = "/owa/", 302
	case 2:
		a, stem, status = &agentCensys, "/owa/admin.cfg", 302
	case 3:
		a, stem, status, proto = &agentCensys, "/ecp/", 302, pEcp
	case 4:
		a, stem, status, proto = &agentCensys, "/rpc/", 401, pRPC
	case 5:
		stem, status = "/owa/auth/"+h.path3+"/themes/resources/favicon.ico", 200
	case 6:
		a, stem, status, proto = &agentCensys, "/autodiscover/autodiscover.xml", 401, pAutodiscover
	case 7:
		a, stem, status, proto = &agentSweep, "/EWS/Exchange.asmx", 401, pEws
	}
	r := h.request(at, proto, "GET", stem, a)
	r.client, r.host, r.query, r.status, r.took, r.auth = h.scanners[h.rng.n(len(h.scanners))], h.outer, query, status, h.rng.n(3), "FBA"
	if status == 401 {
		r.subStatus, r.win32, r.auth = 2, 5, "Negotiate"
	}
	if status == 302 {
		r.info = "NoCookies=302 - GET/E14AuthPost;"
	}
	h.serve(&r, marks{})
}

// outlook is Outlook in the office, by MAPI over HTTP.
func (h *host) outlook(at int64) {
	u := h.someone()
	r := h.request(at, pMapi, "POST", "/mapi/emsmdb/", &u.outlook)
	step := "Execute"
	switch x := h.rng.n(100); {
	case x < 62:
		r.took, r.in, r.out = h.rng.between(3, 240), h.rng.between(180, 4200), h.rng.between(240, 38000)
	case x < 86:
		step, r.took, r.in, r.out = "NotificationWait", h.rng.between(60000, 300000), 20, 260
	case x < 93:
		step, r.stem, r.in, r.out = "Bind", "/mapi/nspi/", 84, 310
	default:
		step, r.in, r.out = "Connect", 370, 690
	}
	r.clientRequest = "R:" + u.instance + ":" + strconv.Itoa(h.rng.between(1, 900)) + ";RT:" + step + ";CI:" + u.instance + ":1;CID:<null>"
	r.client, r.org = u.inside, h.org.domain
	r.anchor, r.hint = "MailboxGuid~"+u.mailbox, "MailboxGuidWithDomain"
	r.query = "?MailboxId=" + u.mailbox + "@" + h.org.mail
	h.routed(&r, u)
	h.serve(&r, marks{})
	h.mapiRow(&r, u, step, "OUTLOOK.EXE", "16.0.13628.20274", "Cached")
}

// phone is ActiveSync.
func (h *host) phone(at int64) {
	u := h.someone()
	r := h.request(at, pEas, "POST", "/Microsoft-Server-ActiveSync/default.eas", &u.phone)
	cmd := "Ping"
	switch x := h.rng.n(100); {
	case x < 55:
		r.took, r.in, r.out = h.rng.between(60000, 900000), 14, 12
	case x < 85:
		cmd, r.in, r.out = "Sync", h.rng.between(40, 700), h.rng.between(60, 42000)
	case x < 92:
		cmd, r.in, r.out = "FolderSync", 13, 18
	case x < 96:
		cmd, r.in, r.out = "SendMail", h.rng.between(900, 90000), 0
	default:
		cmd, r.method, r.status = "Options", "OPTIONS", 200
	}
	user := u.login
	if h.rng.n(2) == 0 {
		user = h.org.netbios + "%5C" + u.login
	}
	r.query = "?Cmd=" + cmd + "&User=" + user + "&DeviceId=" + u.device + "&DeviceType=" + u.deviceType
	r.client = u.outside
	h.routed(&r, u)
	r.auth = "Basic"
	if h.rng.n(60) == 0 {
		r.status, r.backStatus, r.trouble = 403, 403, h.forbidden
	}
	h.serve(&r, marks{})
}

// ewsClient is a Mac, a phone's calendar or a business application.
func (h *host) ewsClient(at int64) {
	u := h.someone()
	a := &agentMac
	switch h.rng.n(4) {
	case 0:
		a = &agentMacEws
	case 1:
		a = &agentConnect
	}
	r := h.request(at, pEws, "POST", "/EWS/Exchange.asmx", a)
	r.action = h.rng.one("GetItem", "SyncFolderItems", "FindItem", "GetFolder", "GetUserAvailability", "GetStreamingEvents")
	r.client, r.in, r.out, r.took = u.inside, h.rng.between(600, 5200), h.rng.between(800, 61000), h.rng.between(8, 320)
	if h.rng.n(3) > 0 {
		r.client = u.outside
	}
	h.routed(&r, u)
	h.serve(&r, marks{})
	h.ewsRow(&r, &ewsCall{action: r.action, user: u.mail, session: h.rng.guid(), size: r.out}, nil)
}

func (h *host) owaService(at int64) {
	u := h.someone()
	r := h.request(at, pOwa, "POST", "/owa/service.svc", &u.browser)
	action := h.rng.one("FindConversation", "GetItem", "GetConversationItems", "GetCalendarView", "GetPersonaPhoto", "SubscribeToNotification", "UpdateItem", "CreateItem")
	r.query = "?action=" + action + "&EP=1&ID=-" + strconv.Itoa(h.rng.between(1, 400)) + "&AC=1"
	r.action = action
	r.client, r.in, r.out, r.took = u.outside, h.rng.between(300, 6000), h.rng.between(400, 52000), h.rng.between(6, 180)
	r.referer = "https://" + h.public + "/owa/"
	h.routed(&r, u)
	r.auth = "FBA"
	r.iisQuery = r.query[1:] + "&UA=0&ClientId=" + u.device
	h.serve(&r, marks{})
}

// owaScripts are files that the pages before the logon load.
var owaScripts = []string{
	"/scripts/premium/flogon.js", "/scripts/premium/fexppw.js", "/scripts/premium/startup.js", "/scripts/premium/uglobal.js",
	"/themes/resources/owafont.css", "/themes/resources/logon.css", "/themes/resources/segoeui-regular.ttf",
	"/themes/resources/segoeui-semilight.ttf", "/themes/resources/favicon.ico", "/themes/resources/lgnbotl.gif",
	"/themes/resources/lgntopl.gif", "/themes/resources/olk_logo_white.png", "/themes/resources/Sign_in_arrow.png",
}

func (h *host) owaStatic(at int64) {
	u := h.someone()
	r := h.request(at, pOwa, "GET", "/owa/auth/"+h.path3+owaScripts[h.rng.n(len(owaScripts))], &u.browser)
	r.client, r.took, r.out, r.auth = u.outside, h.rng.n(6), h.rng.between(400, 60000), "FBA"
	r.referer = "https://" + h.public + "/owa/auth/logon.aspx?replaceCurrent=1&url=https%3a%2f%2f" + h.public + "%2fowa"
	if h.rng.n(4) == 0 {
		r.status = 304
	}
	h.serve(&r, marks{})
}

// owaLogon is somebody logging on to the web mail.
func (h *host) owaLogon(at int64) {
	u := h.someone()
	step := func(after int64, method, stem, query string, status int) {
		r := h.request(at+after, pOwa, method, stem, &u.browser)
		r.client, r.query, r.status, r.auth, r.took = u.outside, query, status, "FBA", h.rng.between(1, 15)
		if status == 302 && method == "GET" {
			r.info = "NoCookies=302 - GET/E14AuthPost;"
		}
		if method == "POST" {
			r.in, r.account = 190, ""
			r.referer = "https://" + h.public + "/owa/auth/logon.aspx?replaceCurrent=1&url=https%3a%2f%2f" + h.public + "%2fowa"
		}
		h.serve(&r, marks{})
	}
	step(0, "GET", "/owa/", "", 302)
	step(31, "GET", "/owa/auth/logon.aspx", "?url=https%3a%2f%2f"+h.public+"%2fowa%2f&reason=0", 200)
	for i := range 3 {
		step(60+int64(9*i), "GET", "/owa/auth/"+h.path3+owaScripts[h.rng.n(len(owaScripts))], "", 200)
	}
	step(240, "POST", "/owa/auth.owa", "", 302)
	r := h.request(at+300, pOwa, "GET", "/owa/", &u.browser)
	r.client, r.out, r.took = u.outside, 48211, h.rng.between(80, 600)
	h.routed(&r, u)
	r.auth = "FBA"
	h.serve(&r, marks{})
}

func (h *host) autodiscoverXML(at int64) {
	u := h.someone()
	a := &u.outlook
	if h.rng.n(4) == 0 {
		a = &agentMacEws
	}
	r := h.request(at, pAutodiscover, "POST", h.rng.one("/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"), a)
	r.host, r.client, r.in, r.out = "autodiscover."+h.org.mail, u.inside, h.rng.between(320, 360), h.rng.between(3100, 4400)
	h.routed(&r, u)
	h.serve(&r, marks{})
	h.autodiscoverRow(&r, u.account, u.mail)
}

// autodiscoverJSON is a phone asking where a service is; it has an '@' in the
// query, as later attacks do.
func (h *host) autodiscoverJSON(at int64) {
	u := h.someone()
	r := h.request(at, pAutodiscover, "GET", "/autodiscover/autodiscover.json", &u.phone)
	r.query = "?Email=" + u.login + "%40" + h.org.mail + "&Protocol=ActiveSync&RedirectCount=1"
	if h.rng.n(3) == 0 {
		r.stem = "/autodiscover/autodiscover.json/v1.0/" + u.mail
		r.query = "?Protocol=" + h.rng.one("ActiveSync", "Ews", "AutodiscoverV1") + "&RedirectCount=1"
	}
	r.host, r.client, r.took = "autodiscover."+h.org.mail, u.outside, h.rng.n(9)
	r.anchor, r.hint = "Smtp~"+u.mail, "AutodiscoverV2-SMTP"
	r.proxied, r.backStatus, r.out = true, 200, 97
	h.serve(&r, marks{})
}

// addressBook is Outlook fetching the offline address book.
func (h *host) addressBook(at int64) {
	u := h.someone()
	r := h.request(at, pOab, "GET", "/OAB/"+h.oab.String()+"/oab.xml", &agentBits)
	if h.rng.n(3) == 0 {
		r.stem = "/OAB/" + h.oab.String() + "/" + h.vdir.String() + "-data-" + strconv.Itoa(h.rng.between(1, 40)) + ".lzx"
	}
	r.client, r.out = u.inside, h.rng.between(2000, 90000)
	h.routed(&r, u)
	r.anchor, r.hint = "Organization~"+h.org.domain, "OfflineAddressBook"
	h.serve(&r, marks{})
}

// options is somebody in the options pages of the control panel, or an
// administrator in the others.
func (h *host) options(at int64) {
	version := h.versionAt(at).dotted
	u, command, stem := h.someone(), "Get-MailboxMessageConfiguration", "/ecp/PersonalSettings/Regional.svc/GetObject"
	if h.rng.n(3) == 0 {
		u = h.admin
		command, stem = "Get-Recipient.ResultSize='500'.Filter='Alias -ne $null'", "/ecp/DDI/DDIService.svc/GetList"
	}
	step := func(after int64, method, stem, query string, proxied bool) string {
		r := h.request(at+after, pEcp, method, stem, &u.browser)
		r.client, r.query, r.out = u.inside, query, h.rng.between(900, 40000)
		h.routed(&r, u)
		r.auth = "FBA"
		if !proxied {
			r.proxied, r.hint, r.cookie, r.database = false, "", "", ""
		}
		h.serve(&r, marks{})
		return r.stem + r.query
	}
	step(0, "GET", "/ecp/", "?exsvurl=1&p=Mailboxes", true)
	step(120, "GET", "/ecp/"+version+"/scripts/"+h.rng.one("common.js", "js.axd", "ecp.js"), "", true)
	step(170, "GET", "/ecp/"+version+"/themes/default/main_default.css", "", true)
	query := "?msExchEcpCanary=" + h.canary()
	if u == h.admin {
		query += "&schema=MailboxService&workflow=GetList"
	}
	url := step(900, "POST", stem, query, true)
	h.activityRow(at+900, u.mail, url)
	h.panelRow(&panel{at: at + 901, took: h.rng.between(20, 400), command: command, url: url, user: h.rng.guid()}, nil)
}

func (h *host) rest(at int64) {
	u := h.someone()
	r := h.request(at, pRest, "GET", "/api/v2.0/me/"+h.rng.one("messages", "events", "contactfolders"), &u.phone)
	r.client, r.out = u.outside, h.rng.between(300, 9000)
	h.routed(&r, u)
	h.serve(&r, marks{})
}

func (h *host) push(at int64) {
	r := h.request(at, pPush, "POST", "/PushNotifications/service.svc/AppPublishNotifications", &agentPush)
	r.client, r.host, r.in = "::1", "localhost", 412
	h.routed(&r, h.healthMailbox())
	h.serve(&r, marks{})
}

func (h *host) sharedCalendar(at int64) {
	u := h.someone()
	r := h.request(at, pOwaCalendar, "GET", "/owa/calendar/"+u.mailbox+"@"+h.org.mail+"/"+u.database+"/reachcalendar.ics", &u.browser)
	r.client, r.out, r.anchor, r.hint = u.outside, 5210, "MailboxGuid~"+u.mailbox, "MailboxGuidWithDomain"
	r.proxied, r.backStatus, r.database = true, 200, u.database
	h.serve(&r, marks{})
}

func (h *host) rpc(at int64) {
	u := h.someone()
	r := h.request(at, pRPC, "RPC_IN_DATA", "/rpc/rpcproxy.dll", &u.outlook)
	r.query = "?" + u.mailbox + "@" + h.org.mail + ":6001"
	r.client, r.took = u.inside, h.rng.between(600000, 1800000)
	h.routed(&r, u)
	h.serve(&r, marks{})
}
