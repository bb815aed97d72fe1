package exercise

import "strings"

// begin starts a row with the cells that most logs of the back end begin with:
// time, request and build.
func (h *host) begin(r *request) *cells {
	c := &h.row
	c.reset()
	c.b = h.cal.stamp(c.b, r.at)
	c.end()
	c.b = append(c.b, r.id[:]...)
	c.end()
	return c
}

func (h *host) versionCells(c *cells, at int64) {
	p := h.versionAt(at).parts
	c.nums(p[0], p[1], p[2], p[3])
}

func (h *host) stampCell(c *cells, at int64) {
	c.b = h.cal.stamp(c.b, at)
	c.end()
}

func (h *host) finish(s *stream, at int64, m *mark) {
	where, kept := s.write(at, h.row.row())
	h.note(s, where, kept, at, m)
}

// ewsCall is what the log of Exchange Web Services says beside the request.
type ewsCall struct {
	action, user, actAs, cookie string
	session                     guid
	size                        int
}

func (h *host) ewsRow(r *request, e *ewsCall, m *mark) {
	c := h.begin(r)
	h.versionCells(c, r.at)
	c.text("Unknown")
	c.empty(1)
	c.text("Logon")
	c.text("true")
	c.text(e.user)
	c.text(strings.ToUpper(h.org.domain))
	c.text(r.agent.proxy)
	c.text("Target=None;Req=Exchange2010_SP1/Exchange2010_SP1;")
	c.text(r.client)
	c.text(h.name)
	c.text(strings.ToUpper(h.fqdn))
	c.text(e.action)
	c.num(r.status)
	c.num(r.in)
	c.num(e.size)
	c.empty(2) // ErrorCode, ImpersonatedUser
	c.empty(1) // ProxyAsUser
	c.text(e.actAs)
	c.text(e.cookie)
	c.b = append(c.b, e.session[:]...)
	c.end()
	c.text("PrimaryServer")
	c.text("LocalTask")
	c.nums(0, 1, 0, 1, 0)
	c.empty(18)
	c.text("[C]")
	c.num(0)
	c.empty(1)
	c.nums(1, 0, r.took/2)
	c.empty(1)
	c.nums(1, r.took/2)
	c.empty(1)
	c.nums(0, r.took)
	c.nums(1, r.took)
	c.empty(2)
	c.b = append(c.b, "MessageId_0="...)
	c.b = append(c.b, r.id[:]...)
	c.b = append(num(append(c.b, ";ResponseTime_0="...), r.took), ";SoapAction_0="...)
	c.b = append(append(c.b, e.action...), ';')
	c.end()
	c.b = append(c.b, "SKU=Unknown;App_BeginReq_Start=0;App_BeginReq_End=0;GetHandler_Start=0;RequestHandler=Wcf;GetHandler_End=0;BackEndAuthenticator=WindowsAuthenticator;TotalBERehydrationModuleLatency=0;ADIdentityCache=Hit;MailboxTypeCacheSize=21;S:ServiceTaskMetadata.WatsonReportCount=0;S:WLM.Bal=299999;S:ActivityStandardMetadata.Component=Ews;S:WLM.BT=Ews;Dbl:WLM.TS="...)
	c.b = num(c.b, r.took)
	c.b = append(c.b, ";I32:ADS.C["...)
	c.b = append(append(c.b, h.controller...), "]=1;F:ADS.AL["...)
	c.b = append(append(c.b, h.controller...), "]=1.4647"...)
	c.end()
	c.empty(3) // AuthenticationErrors, GenericErrors, Puid
	h.stampCell(c, r.at-int64(r.took))
	c.num(h.processID(r.at) + 812)
	c.empty(1)
	c.nums(137332048+r.took*977, 139253608+r.took*977)
	c.text("4038_450_53")
	c.text("4038_450_53")
	c.empty(12)
	h.finish(h.ews, r.at, m)
}

func (h *host) mapiRow(r *request, u *user, kind, software, softwareVersion, mode string) {
	c := h.begin(r)
	c.b = append(c.b, r.id[:]...)
	c.end()
	c.quoted(r.clientRequest)
	c.text(kind)
	c.num(r.status)
	c.nums(0, 0, 0, r.took)
	c.empty(1)
	h.versionCells(c, r.at)
	c.text(u.mail)
	c.text(u.mail)
	c.empty(2)
	c.b = append(append(append(c.b, u.mailbox...), '@'), h.org.domain...)
	c.end()
	c.text(u.database)
	c.empty(1)
	c.text(r.client)
	c.text(strings.ToUpper(h.fqdn))
	c.empty(2)
	c.b = append(append(c.b, "MAPIAAAAA"...), u.mailbox[:8]...)
	c.end()
	c.b = append(append(c.b, "MAPIAAAAA"...), u.mailbox[24:]...)
	c.end()
	c.b = append(append(c.b, u.instance...), ":1"...)
	c.end()
	c.text(software)
	c.text(softwareVersion)
	c.text(mode)
	c.text("Negotiate")
	c.num(0)
	c.empty(7)
	c.text(u.account)
	if kind == "Execute" {
		c.text("2|7|18|19|24|51|72|104")
		c.b = append(num(append(c.b, "RopCount="...), 1+r.in%17), ';')
	} else {
		c.empty(1)
		c.b = append(c.b, "Flags=None;"...)
	}
	c.end()
	c.b = append(num(append(c.b, "RpcLatency="...), r.took/2), ";RopLatencies="...)
	c.b = append(num(c.b, r.took/2), ";MbxConcurrentRequests=1;ActivityContextLifeTime="...)
	c.b = append(num(c.b, r.took), ";BudgetUsed=0;RateLimitDelay=0;Dbl:WLM.TS="...)
	c.b = append(num(c.b, r.took), ";I32:ATE.C["...)
	c.b = append(append(c.b, h.controller...), "]=2;F:ATE.AL["...)
	c.b = append(append(c.b, h.controller...), "]=0.5;I32:MB.C=4"...)
	c.end()
	c.empty(1)
	h.finish(h.mapi, r.at, nil)
}

func (h *host) autodiscoverRow(r *request, user, requested string) {
	c := h.begin(r)
	h.versionCells(c, r.at)
	c.empty(1)
	c.text("Negotiate")
	c.text("true")
	c.text(user)
	c.text(h.org.domain)
	c.text(r.agent.proxy)
	c.text(r.client)
	c.text(h.name)
	c.text(strings.ToUpper(h.fqdn))
	c.text(r.stem)
	c.num(r.status)
	c.empty(1)
	c.text(requested)
	c.num(r.took)
	c.b = append(num(append(c.b, "Caller=RequestHandler;CalculatedBE=0;ADL="...), r.took/3), ';')
	c.end()
	c.empty(1)
	h.finish(h.autodiscover, r.at, nil)
}

// shellCall is a request to remote PowerShell.
type shellCall struct {
	user, sid, action string
	client            string // ClientInfo
	session, shell    guid
	application       string
}

func (h *host) rpsHTTPRow(r *request, p *shellCall, m *mark) {
	c := &h.row
	c.reset()
	h.stampCell(c, r.at)
	h.stampCell(c, r.at-int64(r.took))
	c.b = append(c.b, r.id[:]...)
	c.end()
	h.versionCells(c, r.at)
	c.empty(1)
	c.text(h.fqdn)
	c.text("/powershell")
	c.text("Kerberos")
	c.text("true")
	c.text(p.user)
	c.empty(2)
	c.b = append(append(append(c.b, r.client...), ' '), h.local...)
	c.end()
	c.text(h.name)
	c.text(strings.ToUpper(h.fqdn))
	c.num(r.status)
	c.num(0)
	c.empty(1)
	c.text(p.action)
	c.empty(1)
	_, command, _ := strings.Cut(p.action, ":")
	c.text(command)
	c.text(p.session.upper())
	c.text(p.shell.upper())
	c.empty(2)
	c.num(r.in)
	c.text(p.client)
	c.nums(r.took/3, 6, r.took, r.took)
	c.quoted(r.query)
	c.empty(1)
	c.b = append(num(append(c.b, "OnEndRequest.Latency="...), r.took), ';')
	c.end()
	c.empty(1)
	h.finish(h.rpsHTTP, r.at, m)
}

func (h *host) rpsCmdletRow(r *request, p *shellCall, cmdlet, parameters string, m *mark) {
	c := &h.row
	c.reset()
	h.stampCell(c, r.at)
	h.stampCell(c, r.at-int64(r.took))
	c.b = append(c.b, r.id[:]...)
	c.end()
	c.empty(1)
	h.versionCells(c, r.at)
	c.text(h.name)
	c.num(h.processID(r.at) + 2204)
	c.text("w3wp#MSExchangePowerShellAppPool")
	c.num(20 + r.took%90)
	c.empty(2)
	c.text(p.user)
	c.text(p.sid)
	c.empty(2)
	c.text("False")
	c.text(p.application)
	c.text(cmdlet)
	c.quoted(parameters)
	c.text(p.session.String())
	c.empty(2)
	c.text("GCRandomly")
	c.text("False")
	c.text(h.org.domain)
	c.text(h.controller)
	c.text(h.controller)
	c.text(h.controller)
	c.empty(11)
	c.num(0)
	c.empty(2)
	c.nums(0, 6, 8, 0)
	c.empty(1)
	c.num(9)
	c.empty(2)
	c.nums(6, 22681600, r.took)
	c.empty(1)
	c.text("Success")
	c.empty(2)
	c.b = append(num(append(c.b, "LatencyMissed=latencyBreakDowns.Count is Zero;ExchangeRunspaceConfiguration=37;TaskModuleLatency=4;BizLogic.C="...), r.took), ";Cmd.ATE=1;"...)
	c.end()
	c.b = append(append(append(c.b, "PSSenderInfo="...), p.user...), ';')
	c.end()
	c.empty(4)
	c.quoted(parameters)
	h.finish(h.rpsCmdlet, r.at, m)
}

// panel is what a row of the control panel's log says.
type panel struct {
	at      int64
	took    int
	command string // as the log writes it, with parameters
	url     string
	failure string // EX
	user    guid   // USID
	quote   bool   // all cells stand in quotes
}

// panelData gives the pairs of EventData. A pair that holds a quote or a semicolon
// stands in single quotes, with those in it doubled.
func (h *host) panelData(p *panel) string {
	c := h.rng
	var b strings.Builder
	pair := func(key, value string) {
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		if strings.ContainsAny(value, "';") {
			b.WriteString("'S:" + key + "=" + strings.ReplaceAll(value, "'", "''") + "'")
		} else {
			b.WriteString("S:" + key + "=" + value)
		}
	}
	b.Write(num([]byte("S:TIME="), p.took))
	pair("SID", c.guid().String())
	pair("CMD", p.command)
	pair("REQID", "")
	pair("URL", p.url)
	pair("REFERRER", "")
	pair("EX", p.failure)
	pair("ACTID", c.guid().String())
	pair("RS", "0")
	pair("BLD", h.versionAt(p.at).dotted)
	pair("TNAME", "<null>")
	pair("TID", "")
	pair("USID", p.user.String())
	pair("EDOID", "")
	pair("ACID", "")
	return b.String()
}

// The four cells of the control panel's logs.
var (
	panelOrder = upTo(4)
	allQuoted  = map[int]bool{0: true, 1: true, 2: true, 3: true}
)

func (h *host) panelRow(p *panel, m *mark) {
	c := &h.row
	c.reset()
	h.stampCell(c, p.at)
	c.text(h.name)
	c.text("ECP.Request")
	c.quoted(h.panelData(p))
	row := c.row()
	if order := h.ecpServer.orderAt(p.at); order != nil || p.quote {
		if order == nil {
			order = panelOrder
		}
		var quote map[int]bool
		if p.quote {
			quote = allQuoted
		}
		h.line = c.reordered(h.line[:0], order, quote)
		row = h.line
	}
	where, kept := h.ecpServer.write(p.at, row)
	h.note(h.ecpServer, where, kept, p.at, m)
}

// activityRow writes the row of the control panel's log of activities.
func (h *host) activityRow(at int64, mailbox, url string) {
	c := &h.row
	c.reset()
	h.stampCell(c, at)
	c.text(h.name)
	c.text("Request")
	if mailbox != "" {
		c.b = append(append(append(c.b, "S:PSA=<PII>"...), mailbox...), "</PII>;"...)
	}
	c.b = append(append(c.b, "S:URL=https://localhost:444"...), url...)
	c.b = append(append(c.b, ";S:Bld="...), h.versionAt(at).dotted...)
	g := h.rng.guid()
	c.b = append(append(c.b, ";S:ActID="...), g[:]...)
	c.b = append(append(c.b, ";I32:ADS.C["...), h.controller...)
	c.b = append(append(c.b, "]=1;F:ADS.AL["...), h.controller...)
	c.b = append(c.b, "]=1.692039;S:WLM.Bal=2.147484E+09;Dbl:WLM.TS=16"...)
	c.end()
	h.finish(h.ecpActivity, at, nil)
}

// oabRow writes a line of the log of the offline address book generator. What
// stands before its sentences is a guess.
func (h *host) oabRow(at int64, message string, m *mark) {
	b := h.cal.stamp(h.line[:0], at)
	b = num(append(b, ','), 11+int(at/hour%17))
	b = append(append(b, ",OABGenerator,"...), message...)
	h.line = b
	where, kept := h.oabLog.write(at, b)
	h.note(h.oabLog, where, kept, at, m)
}
