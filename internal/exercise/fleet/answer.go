package fleet

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// request is what a visitor asked, as far as an answer depends on it.
type request struct {
	method string
	path   string // without the query, as it came
	query  string
	host   string // the Host header
	signIn bool   // it begins to sign in by NTLM
}

// field is one line of a head.
type field struct{ name, value string }

// answer is what a host says to a request. Fields stand in the order of the
// captures; the server adds Content-Length.
type answer struct {
	status int
	fields []field
	body   []byte
}

func (a *answer) add(pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		a.fields = append(a.fields, field{pairs[i], pairs[i+1]})
	}
}

// drop takes fields away.
func (a *answer) drop(names ...string) {
	kept := a.fields[:0]
	for _, f := range a.fields {
		gone := false
		for _, n := range names {
			gone = gone || strings.EqualFold(f.name, n)
		}
		if !gone {
			kept = append(kept, f)
		}
	}
	a.fields = kept
}

// set replaces the value of a field that is there.
func (a *answer) set(name, value string) {
	for i := range a.fields {
		if strings.EqualFold(a.fields[i].name, name) {
			a.fields[i].value = value
		}
	}
}

// server is one front end on one day: all that its answers depend on.
type server struct {
	p        *population
	h        *host
	kind     Kind
	line     *line
	release  *release
	frontend string
	fqdn     string
	dice     dice
	visit    uint64 // counts visits, for ids that must never repeat
	date     time.Time
}

// server gives the front end that answers on a day.
func (p *population) server(h *host, kind Kind, member, day int) *server {
	w := p.live(h, member)
	l, r := w.at(p.table, day)
	s := &server{p: p, h: h, kind: kind, line: &p.table.lines[l], dice: diceOf(p.o.Seed, uint64(h.index), uint64(member), 's'),
		frontend: p.frontend(h, member), fqdn: p.fqdn(h, member)}
	s.release = &s.line.releases[r]
	if s.line.legacy() && kind == Broken {
		s.kind = Direct
	}
	return s
}

// Paths of the closed request set that Exchange gives a meaning to, in lower case:
// IIS does not tell cases apart.
const (
	pathLogon    = "/owa/auth/logon.aspx"
	pathManifest = "/ecp/current/exporttool/microsoft.exchange.ediscovery.exporttool.application"
)

// answer gives what the front end says.
func (s *server) answer(q request) answer {
	a := s.plainly(q)
	switch s.kind {
	case Proxied:
		s.mark(&a)
	case Stripped:
		a.drop("X-FEServer", "X-OWA-Version", "X-AspNet-Version", "X-Powered-By", "Server", "X-CalculatedBETarget")
		a.add("Server", "nginx")
	case Rewritten:
		// An outbound rule writes numbers with zeros, and a name that no computer has.
		b := s.line.releases[len(s.line.releases)-1].build
		a.drop("X-OWA-Version", "X-FEServer", "X-CalculatedBETarget")
		a.set("X-Powered-By", "")
		a.add("X-OWA-Version", strconv.Itoa(b[0])+"."+padded(b[1], 2)+"."+padded(b[2], 4)+"."+padded(b[3], 3),
			"X-FEServer", strings.ToUpper(s.p.name(s.h)))
	}
	a.add("Date", s.date.Format("Mon, 02 Jan 2006 15:04:05")+" GMT")
	return a
}

// plainly is the answer without what devices change on the way.
func (s *server) plainly(q request) answer {
	path := strings.ToLower(q.path)
	if s.kind == Restricted {
		return s.refuse(403)
	}
	if s.kind == Gateway && (!s.h.passes(Gateway).direct || !s.signIn(path) && !strings.HasSuffix(path, "/healthcheck.htm")) {
		return s.gateway(q)
	}
	switch {
	case path == "/":
		return s.root(q)
	case s.signIn(path):
		return s.challenge(path, q)
	case strings.HasSuffix(path, "/healthcheck.htm") && strings.Count(path, "/") == 2:
		return s.health()
	case path == pathManifest:
		return s.manifest()
	case s.kind == Broken && strings.HasPrefix(path, "/owa"):
		return s.broken()
	case path == pathLogon:
		return s.logon()
	case strings.HasPrefix(path, "/owa/") && strings.HasSuffix(path, "/themes/resources/favicon.ico"):
		return s.icon(path)
	case path == "/owa" || strings.HasPrefix(path, "/owa/") || path == "/ecp" || strings.HasPrefix(path, "/ecp/"):
		return s.toLogon(q, path)
	}
	return s.refuse(404)
}

// iis names the web server: what the edition was installed on.
func (s *server) iis() string {
	n := s.h.dice
	switch s.line.edition {
	case "exchange-2007":
		return one(n, forServer, []string{"Microsoft-IIS/6.0", "Microsoft-IIS/6.0", "Microsoft-IIS/7.0"})
	case "exchange-2010":
		return one(n, forServer, []string{"Microsoft-IIS/7.5", "Microsoft-IIS/7.5", "Microsoft-IIS/7.5", "Microsoft-IIS/8.0"})
	case "exchange-2013":
		return one(n, forServer, []string{"Microsoft-IIS/8.5", "Microsoft-IIS/8.0", "Microsoft-IIS/7.5"})
	case "exchange-2016":
		return one(n, forServer, []string{"Microsoft-IIS/8.5", "Microsoft-IIS/10.0", "Microsoft-IIS/10.0"})
	}
	return "Microsoft-IIS/10.0"
}

func (s *server) aspNet() string {
	if s.line.legacy() {
		return "2.0.50727"
	}
	return "4.0.30319"
}

// guid makes a request id that no other answer has.
func (s *server) guid() string {
	const hex = "0123456789abcdef"
	d := diceOf(uint64(s.dice), s.visit)
	var b [36]byte
	hi, lo := d.bits(forRequest)&^0xF000|0x4000, d.bits(forSerial)&^(3<<62)|2<<62
	for i, at := 0, 0; i < 32; i++ {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b[at] = '-'
			at++
		}
		if i == 16 {
			hi = lo
		}
		b[at] = hex[hi>>60]
		hi, at = hi<<4, at+1
	}
	return string(b[:])
}

// version adds X-OWA-Version where the build writes it: answers that ask for a
// sign-in since July 2021, the others since 2022.
func (s *server) version(a *answer, asksSignIn bool) {
	if s.line.legacy() || s.release.released < headerDay || !asksSignIn && s.release.released < allHeaderDay {
		return
	}
	a.add("X-OWA-Version", s.release.text)
}

func (s *server) frontendField(a *answer) {
	if !s.line.legacy() {
		a.add("X-FEServer", s.frontend)
	}
}

func (s *server) requestID(a *answer) {
	if !s.line.legacy() {
		a.add("request-id", s.guid())
	}
}

// root is shape S10: the site's root leads to OWA.
func (s *server) root(q request) answer {
	if s.line.legacy() {
		return s.refuse(403)
	}
	a := answer{status: 302}
	a.add("Cache-Control", "no-cache", "Pragma", "no-cache", "Location", "https://"+s.host(q)+"/owa/", "Server", s.iis())
	s.version(&a, false)
	a.add("X-FEServer", s.frontend, "X-RequestId", s.guid())
	return a
}

// host is the name that the visitor used, as absolute redirects repeat it.
func (s *server) host(q request) string {
	if q.host != "" {
		return q.host
	}
	return s.p.name(s.h)
}

// toLogon is shape S1.
func (s *server) toLogon(q request, path string) answer {
	back := "https://" + s.host(q) + path
	to := "https://" + s.host(q) + pathLogon + "?url=" + url.QueryEscape(back) + "&reason=0"
	to = strings.NewReplacer("%3A", "%3a", "%2F", "%2f").Replace(to) // as IIS writes them
	a := answer{status: 302, body: moved(to)}
	a.add("Cache-Control", "private", "Content-Type", "text/html; charset=utf-8", "Location", to, "Server", s.iis())
	s.requestID(&a)
	s.version(&a, false)
	a.add("X-AspNet-Version", s.aspNet(), "X-Powered-By", "ASP.NET")
	s.frontendField(&a)
	return a
}

func moved(to string) []byte {
	return []byte("<html><head><title>Object moved</title></head><body>\r\n<h2>Object moved to <a href=\"" +
		strings.ReplaceAll(to, "&", "&amp;") + "\">here</a>.</h2>\r\n</body></html>\r\n")
}

// broken is shape S14.
func (s *server) broken() answer {
	const to = "/owa/auth/errorFE.aspx?httpCode=500"
	a := answer{status: 302, body: moved(to)}
	a.add("Content-Type", "text/html; charset=utf-8", "Location", to, "Server", s.iis())
	s.version(&a, false)
	a.add("X-Powered-By", "ASP.NET")
	return a
}

// logon is shape S2, S5, S6 or S8.
func (s *server) logon() answer {
	a := answer{status: 200, body: s.p.logonPage(s.line, s.release)}
	if s.line.edition == "exchange-2007" {
		a.add("Content-Type", "text/html; charset=utf-8", "Server", s.iis(), "X-AspNet-Version", s.aspNet(), "X-Powered-By", "ASP.NET")
		return a
	}
	if s.line.legacy() {
		a.add("Cache-Control", "no-cache", "Pragma", "no-cache", "Content-Type", "text/html; charset=utf-8", "Expires", "-1",
			"Server", s.iis(), "Set-Cookie", "OutlookSession="+strings.ReplaceAll(s.guid(), "-", "")+"; path=/; HttpOnly",
			"X-OWA-Version", shown(s.release), "X-AspNet-Version", s.aspNet(), "X-Powered-By", "ASP.NET")
		return a
	}
	a.add("Cache-Control", "no-cache, no-store", "Pragma", "no-cache", "Content-Type", "text/html; charset=utf-8", "Expires", "-1",
		"Server", s.iis(), "request-id", s.guid(), "X-Frame-Options", "SAMEORIGIN")
	s.version(&a, false)
	a.add("X-AspNet-Version", s.aspNet(), "X-Powered-By", "ASP.NET")
	if s.line.edition == "exchange-2013" { // seen with the name on this page, later editions without
		a.add("X-FEServer", s.frontend)
	}
	return a
}

// shown is the version that 2007 and 2010 show: their files lag behind the build.
func shown(r *release) string {
	if lag, ok := lags[r.text]; ok {
		return lag
	}
	return r.text
}

// signIn says whether the path asks every stranger to sign in.
func (s *server) signIn(path string) bool {
	switch path {
	case "/autodiscover/autodiscover.xml", "/ews/exchange.asmx", "/microsoft-server-activesync":
		return true
	}
	return false
}

// challenge is shape S9, S11 or S12.
func (s *server) challenge(path string, q request) answer {
	a := answer{status: 401}
	if path != "/microsoft-server-activesync" {
		a.add("Cache-Control", "private")
	}
	a.add("Server", s.iis())
	s.requestID(&a)
	s.version(&a, true)
	if s.kind == Hybrid && !s.line.legacy() {
		a.add("WWW-Authenticate", `Bearer client_id="00000002-0000-0ff1-ce00-000000000000", trusted_issuers="00000001-0000-0000-c000-000000000000@`+
			s.tenant()+`", token_types="app_asserted_user_v1 service_asserted_app_v1", error="invalid_token"`)
	}
	if path != "/microsoft-server-activesync" {
		if q.signIn {
			a.add("WWW-Authenticate", "NTLM "+s.ntlm())
			return a
		}
		a.add("WWW-Authenticate", "Negotiate", "WWW-Authenticate", "NTLM")
	}
	if s.line.edition != "exchange-se" {
		a.add("WWW-Authenticate", `Basic realm="`+hostOnly(s.host(q))+`"`)
	}
	if s.line.legacy() {
		a.add("X-AspNet-Version", s.aspNet())
	}
	a.add("X-Powered-By", "ASP.NET")
	s.frontendField(&a)
	return a
}

// tenant is the one in the vendor's cloud of a hybrid host.
func (s *server) tenant() string {
	t := *s
	t.dice, t.visit = diceOf(uint64(s.h.dice), uint64(forTenant)), 0
	return t.guid()
}

func hostOnly(h string) string {
	if i := strings.LastIndexByte(h, ':'); i >= 0 {
		return h[:i]
	}
	return h
}

// health is shape S13. 2013 has it since its first service pack.
func (s *server) health() answer {
	if s.line.legacy() || s.line.edition == "exchange-2013" && s.release.build[2] < 847 {
		return s.refuse(404)
	}
	a := answer{status: 200, body: []byte("200 OK<br/>" + strings.ToUpper(s.fqdn))}
	a.add("Cache-Control", "private", "Content-Type", "text/html; charset=utf-8", "Server", s.iis(), "request-id", s.guid())
	s.version(&a, false)
	a.add("X-Powered-By", "ASP.NET", "X-FEServer", s.frontend)
	return a
}

// manifest is shape S3: the version of a tool that updates do not always touch.
func (s *server) manifest() answer {
	switch {
	case s.line.legacy():
		return s.refuse(404)
	case !s.h.passes(s.kind).manifest:
		return s.refuse(403)
	}
	tool := &s.line.releases[s.release.tool]
	modified := Date(tool.released).Add(-13*24*time.Hour + 11526*time.Second) // packages are some days older than their release
	a := answer{status: 200, body: manifestBody(tool.toolText)}
	a.add("Content-Type", "application/x-ms-application", "Last-Modified", modified.Format("Mon, 02 Jan 2006 15:04:05")+" GMT",
		"Accept-Ranges", "bytes", "ETag", etag(modified), "Server", s.iis(), "request-id", s.guid(), "X-CalculatedBETarget", s.fqdn,
		"X-Powered-By", "ASP.NET", "X-FEServer", s.frontend)
	return a
}

// etag is IIS's form: the file's time in hex and a counter.
func etag(t time.Time) string {
	ticks := uint64(t.Unix()+11644473600) * 1e7
	return `"` + strconv.FormatUint(ticks>>8&0xffffffffffff, 16) + `:0"`
}

// icon answers for the line that is installed, and for no other. The picture is a
// placeholder of ours: it has no hash that anybody knows.
func (s *server) icon(path string) answer {
	if !strings.Contains(path, "/"+s.line.path+"/") && !strings.Contains(path, "/"+shown(s.release)+"/") {
		return s.refuse(404)
	}
	modified := Date(s.release.released).Add(-13 * 24 * time.Hour)
	a := answer{status: 200, body: placeholderIcon}
	a.add("Content-Type", "image/x-icon", "Last-Modified", modified.Format("Mon, 02 Jan 2006 15:04:05")+" GMT",
		"Accept-Ranges", "bytes", "ETag", etag(modified), "Server", s.iis(), "X-Powered-By", "ASP.NET")
	return a
}

// refuse is IIS's own page for 403 and 404.
func (s *server) refuse(status int) answer {
	a := answer{status: status, body: []byte("<html><head><title>" + strconv.Itoa(status) + "</title></head><body><h2>" +
		strconv.Itoa(status) + " - " + reason(status) + "</h2></body></html>")}
	a.add("Content-Type", "text/html", "Server", s.iis(), "X-Powered-By", "ASP.NET")
	return a
}

// gateway is a device that wants a sign-in of its own first.
func (s *server) gateway(q request) answer {
	a := answer{status: 302}
	switch s.h.variant {
	case "f5":
		a.add("Server", "BigIP", "Location", "/my.policy", "Set-Cookie", "MRHSession="+strings.ReplaceAll(s.guid(), "-", "")+";path=/;secure")
	case "adfs":
		a.add("Server", "Microsoft-HTTPAPI/2.0", "Location", "https://sts."+s.p.domain(s.h)+"/adfs/ls/?version=1.0&action=signin&realm=urn%3AAppProxy%3Acom")
	case "tmg":
		a.add("Location", "https://"+s.host(q)+"/CookieAuth.dll?GetLogon?curl=Z2FowaZ2F&reason=0&formdir=2")
	case "azure":
		a.add("Server", "Microsoft-IIS/10.0", "Location", "https://"+strings.TrimSuffix(s.p.domain(s.h), ".example")+".msappproxy.net/owa/")
	default:
		a.add("Location", "/vpn/index.html", "Set-Cookie", "NSC_TMAS="+strings.ReplaceAll(s.guid(), "-", "")+";path=/;secure")
	}
	return a
}

// mark is what a device leaves that otherwise lets everything through.
func (s *server) mark(a *answer) {
	id := strings.ReplaceAll(s.guid(), "-", "")
	switch s.h.variant {
	case "nginx":
		a.set("Server", "nginx/1.18.0")
	case "haproxy":
		a.drop("Server")
		a.add("Set-Cookie", "SERVERID=ex1; path=/")
	case "f5":
		a.add("Set-Cookie", "TS01"+id[:6]+"="+id+"; Path=/", "Set-Cookie", "BIGipServerpool_owa_443=1677787402.47873.0000; path=/; Httponly; Secure")
	case "citrix":
		a.add("Set-Cookie", "NSC_pxb_wjq_443="+id+";path=/;secure;httponly")
	case "kemp":
		a.add("Set-Cookie", "X-EX-KEMP="+id+"; path=/")
	}
}

// reason is the phrase of a status line.
func reason(status int) string {
	switch status {
	case 200:
		return "OK"
	case 301:
		return "Moved Permanently"
	case 302:
		return "Found"
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 503:
		return "Service Unavailable"
	}
	return "Status"
}
