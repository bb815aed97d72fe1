package exercise

import (
	"strings"

	"postern"
)

// The protocols of the front end, by their place in the list.
const (
	pAutodiscover = iota
	pEas
	pEcp
	pEws
	pMapi
	pOab
	pOwa
	pOwaCalendar
	pPowerShell
	pPush
	pRest
	pRPC
)

// protocols are the folders below Logging/HttpProxy and the names in the column Protocol.
var protocols = [...]string{
	"Autodiscover", "Eas", "Ecp", "Ews", "Mapi", "Oab", "Owa", "OwaCalendar", "PowerShell", "PushNotifications", "Rest", "RpcHttp",
}

// request is one HTTP request to the front end and what became of it.
type request struct {
	at   int64 // when it was answered, which is the time of the row
	took int   // milliseconds
	id   guid

	proto                    int
	method, host             string
	stem, query              string // query with its '?'
	clientRequest            string
	action                   string
	auth, account, org       string // account is "" for the anonymous
	anchor                   string
	agent                    *agent
	client                   string
	status, subStatus, win32 int
	in, out                  int // bytes

	// Only if it was sent on to the back end.
	proxied                       bool
	backStatus                    int
	errorCode                     string
	target, targetVersion, region string // "" is the server itself
	hint, cookie                  string
	database                      string
	connected                     bool // a new connection was made for it

	info     string // more pairs of GenericInfo
	trouble  string // GenericErrors
	referer  string
	iisQuery string       // if it is not the query
	plain    bool         // a page that Exchange has no part in: nothing is added to the query
	quote    map[int]bool // cells that are put in quotes

	// What the back end was asked, and for whom, if it is not what the front end was.
	backStem, backQuery, backUser string
}

// mark says what to put into the truth about a row.
type mark struct {
	kind  string
	level postern.Level
	rule  string
	near  string // why it is harmless; then it is a near miss and not a planted row
	vary  []string
}

// marks are those of the rows that one request leaves; nil is nothing to say.
type marks struct{ proxy, front, back *mark }

// note puts a row into the truth.
func (h *host) note(s *stream, where Place, kept bool, at int64, m *mark) {
	switch {
	case m == nil:
	case !kept && m.near == "":
		h.truth.Lost++
	case !kept:
	case m.near != "":
		h.truth.NearMisses = append(h.truth.NearMisses, NearMiss{Place: where, Why: m.near})
		s.planted = true
	default:
		h.truth.Planted = append(h.truth.Planted, Row{
			Place: where, Time: instant(at), Kind: m.kind, Level: m.level, Rule: m.rule, Vary: m.vary,
		})
		s.planted = true
	}
}

// serve writes the rows that a request leaves in the logs of the front end and,
// if it was sent on, of the back end's web server.
func (h *host) serve(r *request, m marks) {
	h.proxyRow(r, m.proxy)
	h.frontRow(r, m.front)
	if r.proxied && r.backStatus != 0 {
		h.backRow(r, m.back)
	}
}

// proxyRow writes the row of the log of the protocol.
func (h *host) proxyRow(r *request, m *mark) {
	s := h.proxy[r.proto]
	v := h.versionAt(r.at)
	c := &h.row
	c.reset()
	c.b = h.cal.stamp(c.b, r.at)
	c.end()
	c.b = append(c.b, r.id[:]...)
	c.end()
	c.nums(v.parts[0], v.parts[1], v.parts[2], v.parts[3])
	c.quoted(r.clientRequest)
	c.text(protocols[r.proto])
	c.quoted(r.host)
	c.quoted(r.stem)
	c.text(r.action)
	c.text(r.auth)
	if r.account != "" {
		c.text("true")
	} else {
		c.text("false")
	}
	c.text(r.account)
	c.text(r.org)
	c.quoted(r.anchor)
	if r.quote[cellAgent] {
		c.quoted(r.agent.raw)
	} else {
		c.text(r.agent.proxy)
	}
	c.text(r.client)
	c.text(h.name)
	c.num(r.status)
	if r.proxied && r.backStatus != 0 {
		c.num(r.backStatus)
	} else {
		c.empty(1)
	}
	c.text(r.errorCode)
	c.text(r.method)
	if r.proxied {
		h.proxiedCells(c, r, v)
	} else {
		c.empty(8)
		c.num(r.in)
		c.empty(14)
		c.num(r.took)
		c.empty(13)
		c.num(r.took)
		c.empty(1)
		c.nums(r.took, r.took)
	}
	c.empty(1)
	c.quoted(r.query)
	c.empty(1)
	h.genericInfo(c, r, v)
	c.quoted(r.trouble)
	c.empty(1)
	if r.database != "" {
		c.b = append(c.b, "|RoutingDB:"...)
		c.b = append(c.b, r.database...)
	}
	c.end()
	c.empty(2)
	if r.proxied {
		c.b = append(c.b, "CafeV1"...)
	}
	c.end()

	row := c.row()
	if order := s.orderAt(r.at); order != nil {
		h.line = c.reordered(h.line[:0], order, r.quote)
		row = h.line
	} else if r.quote != nil {
		h.line = c.reordered(h.line[:0], proxyOrder, r.quote)
		row = h.line
	}
	where, kept := s.write(r.at, row)
	h.note(s, where, kept, r.at, m)
}

// proxyOrder is the order that rows are built in.
var proxyOrder = upTo(strings.Count(proxyColumns, ",") + 1)

// proxiedCells writes the 41 cells from ProxyAction to TotalRequestTime.
func (h *host) proxiedCells(c *cells, r *request, v *version) {
	c.text("Proxy")
	if r.target == "" {
		c.text(h.fqdn)
		c.text(v.target)
		c.text("IntraForest")
	} else {
		c.quoted(r.target)
		c.text(r.targetVersion)
		c.text(r.region)
	}
	c.text(r.hint)
	c.quoted(r.cookie)
	c.empty(2)
	c.num(r.in)
	if r.out > 0 {
		c.num(r.out)
	} else {
		c.empty(1)
	}
	c.empty(2)
	core := r.took / 12
	c.nums(r.took/40, core)
	c.empty(1)
	c.num(0)
	c.empty(1)
	c.num(0)
	c.empty(1)
	c.nums(0, 0)
	c.empty(1)
	c.nums(0, r.took, 0)
	work := max(0, r.took-core-2)
	if r.method == "GET" {
		c.empty(3)
	} else {
		c.nums(min(1, core), 0, min(1, core))
	}
	c.nums(work, 0, 0)
	if r.method == "GET" {
		c.num(0)
		c.empty(1)
	} else {
		c.nums(0, 0)
	}
	c.nums(0, r.took, 0, work+core/2, core, core, core+1, r.took)
}

// genericInfo writes the trace of the request's way through the proxy.
func (h *host) genericInfo(c *cells, r *request, v *version) {
	began := r.at - int64(r.took)
	asked := began + int64(r.took/12)
	ready := max(asked, r.at-1)
	stamp := func(key string, at int64) {
		c.b = append(c.b, key...)
		c.b = append(h.cal.stamp(c.b, at), ';')
	}
	stamp("BeginRequest=", began)
	c.b = append(c.b, "CorrelationID=<empty>;"...)
	if r.proxied {
		c.b = append(c.b, "ProxyState-Run=None;FEAuth=BEVersion-"...)
		if r.target == "" {
			c.b = append(c.b, v.server...)
		} else {
			c.b = append(c.b, '3')
		}
		c.b = append(c.b, ';')
	}
	c.b = append(c.b, r.info...)
	if r.proxied && r.connected {
		c.b = append(c.b, "NewConnection="...)
		c.b = append(c.b, h.local...)
		c.b = append(c.b, "&0;"...)
	}
	if r.proxied && r.backStatus != 0 {
		if r.method != "GET" {
			stamp("BeginGetRequestStream=", asked)
			stamp("OnRequestStreamReady=", asked)
		}
		stamp("BeginGetResponse=", asked)
		stamp("OnResponseReady=", ready)
		stamp("EndGetResponse=", ready)
		c.b = append(c.b, "ProxyState-Complete=ProxyResponseData;"...)
	} else if r.proxied {
		c.b = append(c.b, "ProxyState-Complete=PrepareServerRequest;"...)
	}
	c.b = append(c.b, "SharedCacheGuard=0;"...)
	stamp("EndRequest=", r.at)
	c.end()
}

// iisField is a field of an IIS log, by its place in iisNames.
type iisField = int

const (
	fDate iisField = iota
	fTime
	fSite
	fComputer
	fServerIP
	fMethod
	fStem
	fQuery
	fPort
	fUser
	fClientIP
	fVersion
	fAgent
	fReferer
	fHost
	fStatus
	fSubStatus
	fWin32
	fSent
	fReceived
	fTaken
	fForwarded
)

// iisNames are in the order that IIS writes them in.
var iisNames = strings.Fields("date time s-sitename s-computername s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip " +
	"cs-version cs(User-Agent) cs(Referer) cs-host sc-status sc-substatus sc-win32-status sc-bytes cs-bytes time-taken X-Forwarded-For")

// iisLayout gives the default fields of IIS and those that an administrator added.
func iisLayout(more ...iisField) layout {
	var names []string
	var order []int
	for f, name := range iisNames {
		chosen := strings.Contains(" "+iisColumns+" ", " "+name+" ")
		for _, m := range more {
			chosen = chosen || m == f
		}
		if chosen {
			names, order = append(names, name), append(order, f)
		}
	}
	return layout{fields: strings.Join(names, " "), order: order}
}

// access is what a row of an IIS log says beside the request.
type access struct {
	site, serverIP, port string
	clientIP, forwarded  string
	user, stem, query    string
	status               int
}

// frontRow writes the row of the first web site.
func (h *host) frontRow(r *request, m *mark) {
	a := access{
		site: "W3SVC1", serverIP: h.address, port: "443", clientIP: r.client, forwarded: "-",
		user: r.account, stem: r.stem, query: strings.TrimPrefix(r.query, "?"), status: r.status,
	}
	switch local := isLocal(r.client); {
	case local:
		a.serverIP = r.client
	case h.balancer != "":
		a.clientIP, a.forwarded = h.balancer, r.client
	}
	if r.iisQuery != "" {
		a.query = r.iisQuery
	}
	h.iisRow(h.front, r, &a, m)
}

// backRow writes the row of the second web site, which the front end asks by
// itself: for the user, or in its own name if there is none.
func (h *host) backRow(r *request, m *mark) {
	a := access{
		site: "W3SVC2", serverIP: h.local, port: "444", clientIP: h.local, forwarded: "-",
		user: r.account, stem: r.stem, query: strings.TrimPrefix(r.query, "?"), status: r.backStatus,
	}
	if r.backStem != "" {
		a.stem, a.query, a.user = r.backStem, r.backQuery, r.backUser
	}
	h.iisRow(h.back, r, &a, m)
}

func isLocal(address string) bool {
	return address == "::1" || address == "127.0.0.1" || strings.HasPrefix(address, "fe80:")
}

func (h *host) iisRow(s *stream, r *request, a *access, m *mark) {
	b := h.line[:0]
	for i, f := range s.orderAt(r.at) {
		if i > 0 {
			b = append(b, ' ')
		}
		switch f {
		case fDate:
			b = h.cal.date(b, r.at)
		case fTime:
			b = h.cal.clock(b, r.at)
		case fSite:
			b = append(b, a.site...)
		case fComputer:
			b = append(b, h.name...)
		case fServerIP:
			b = append(b, a.serverIP...)
		case fMethod:
			b = append(b, r.method...)
		case fStem:
			b = append(b, a.stem...)
		case fQuery:
			b = iisQuery(b, r, a.query)
		case fPort:
			b = append(b, a.port...)
		case fUser:
			b = orDash(b, a.user)
		case fClientIP:
			b = append(b, a.clientIP...)
		case fVersion:
			b = append(b, "HTTP/1.1"...)
		case fAgent:
			b = orDash(b, r.agent.iis)
		case fReferer:
			b = orDash(b, r.referer)
		case fHost:
			b = orDash(b, r.host)
		case fStatus:
			b = num(b, a.status)
		case fSubStatus:
			b = num(b, r.subStatus)
		case fWin32:
			b = num(b, r.win32)
		case fSent:
			b = num(b, r.out+330)
		case fReceived:
			b = num(b, r.in+420)
		case fTaken:
			b = num(b, r.took)
		case fForwarded:
			b = append(b, a.forwarded...)
		}
	}
	h.line = b
	where, kept := s.write(r.at, b)
	h.note(s, where, kept, r.at, m)
}

// iisQuery is the query as the proxy leaves it in the log of the web server: with
// the identity of the request added, by which its rows are joined.
func iisQuery(b []byte, r *request, query string) []byte {
	if r.plain {
		return orDash(b, query)
	}
	b = append(b, query...)
	b = append(b, "&CorrelationID=<empty>;&cafeReqId="...)
	b = append(append(b, r.id[:]...), ';')
	if r.proto == pOwa || r.proto == pEcp {
		b = append(b, "&encoding=;"...)
	}
	return b
}

func orDash(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	return append(b, s...)
}
