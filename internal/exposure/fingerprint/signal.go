package fingerprint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postern"
	"postern/internal/exposure"
)

// Bounds of the reading. Hosts are hostile; a record stays below 4 KB.
const (
	maxBody     = 128 << 10 // a login page is 48 to 70 KB; the facts stand in its head
	maxHeaders  = 100       // heads of real servers have about 20 lines
	maxEvidence = 20        // facts kept of one visit: real ones leave up to 15
	maxOfKind   = 2         // facts of one kind kept of one answer: real answers have one
	maxValue    = 64        // bytes kept of a value from the host: a full DNS name seldom has more
	maxPaths    = 200       // resource paths looked at in one page; real pages have about 30
)

// Kinds of signals: the first word of a line of evidence, two for headers.
const (
	sigVersion  = "header X-OWA-Version"
	sigFrontend = "header X-FEServer"
	sigServer   = "header Server"
	sigRuntime  = "header X-AspNet-Version"
	sigPath     = "path"         // three numbers after /owa/auth/
	sigFour     = "path-of-four" // four numbers after /owa/auth/: no real server
	sigLegacy   = "legacy-path"  // four numbers after /owa/: 2007 and 2010
	sigManifest = "manifest"
	sigHealth   = "health"
	sigPage     = "page"     // logon, 2013, 2016
	sigRedirect = "redirect" // owa, logon, logon-elsewhere, error-page, cloud, gateway, path, elsewhere
	sigCloud    = "cloud"    // name of a header or host that only the cloud has
	sigTenant   = "tenant"
	sigDevice   = "device" // load balancer or proxy
	sigTrap     = "trap"   // sign of an imitation
	sigPolicy   = "policy" // content-security
	sigForeign  = "foreign"
	sigDate     = "date" // the host's clock, where it is ahead of ours: the day after its date
	sigNothing  = "nothing"
)

// signal is one fact from one answer.
type signal struct {
	request string
	status  int
	kind    string
	value   string
	sha256  string
}

// what gives the line of evidence.
func (s signal) what() string {
	if s.value == "" {
		return s.kind
	}
	return s.kind + " " + s.value
}

// path gives the path of the request.
func (s signal) path() string {
	_, p, _ := strings.Cut(s.request, " ")
	return p
}

// parseSignal reads a line of evidence back. Words after the value explain and
// are not read.
func parseSignal(e exposure.Evidence) signal {
	s := signal{request: e.Request, status: e.Status, sha256: e.SHA256}
	words := strings.Fields(e.What)
	if len(words) > 1 && words[0] == "header" {
		words = append([]string{words[0] + " " + words[1]}, words[2:]...)
	}
	if len(words) > 0 {
		s.kind = words[0]
	}
	if len(words) > 1 {
		s.value = words[1]
	}
	return s
}

// scanner reads answers one after the other into signals.
type scanner struct {
	signals   []signal
	asked     []string // paths, also of answers that left no evidence
	requestID string   // of the last answer that had one
	at        time.Time
	once      map[string]bool
}

// add reads one answer. Host is what the target was asked as, for telling a
// redirect to itself from one to somewhere else.
func (sc *scanner) add(a *exposure.Answer, hosts ...string) {
	at := signal{request: a.Method + " " + clean(a.Path, maxValue), status: a.Status}
	sc.asked = append(sc.asked, a.Path)
	before := len(sc.signals)
	put := func(kind, value string) {
		if len(sc.signals) >= maxEvidence || count(sc.signals[before:], kind) >= maxOfKind {
			return
		}
		value = clean(value, maxValue)
		// Which front end said what must stay; the rest is worth one line a visit.
		if kind != sigVersion && kind != sigFrontend && kind != sigNothing {
			if sc.once == nil {
				sc.once = map[string]bool{}
			}
			k := kind + "\x00" + value
			if sc.once[k] {
				return
			}
			sc.once[k] = true
		}
		s := at
		s.kind, s.value = kind, value
		sc.signals = append(sc.signals, s)
	}
	sc.head(a, put, hosts)
	sc.body(a, put)
	if len(sc.signals) == before {
		put(sigNothing, "")
	}
	sum := a.SHA256
	if sum == "" && len(a.Body) > 0 {
		h := sha256.Sum256(a.Body)
		sum = hex.EncodeToString(h[:])
	}
	if len(sc.signals) > before {
		sc.signals[before].sha256 = sum // once an answer is enough to find the body again
	}
}

// count says how many signals of a kind there are.
func count(signals []signal, kind string) (n int) {
	for i := range signals {
		if signals[i].kind == kind {
			n++
		}
	}
	return n
}

// head reads the headers.
func (sc *scanner) head(a *exposure.Answer, put func(kind, value string), hosts []string) {
	if day := sc.ahead(a); day != "" {
		put(sigDate, day)
	}
	exchange := false
	for i, h := range a.Header {
		if i >= maxHeaders {
			break
		}
		v := strings.TrimSpace(h.Value)
		switch name := strings.ToLower(h.Name); name {
		case "x-owa-version":
			if v != "" {
				put(sigVersion, v)
				exchange = true
				if strings.HasSuffix(a.Path, "favicon.ico") {
					put(sigTrap, "version-on-static-file")
				}
			}
		case "x-feserver":
			if v != "" {
				put(sigFrontend, v)
				exchange = true
				if cloudName(v) {
					put(sigCloud, "X-FEServer")
				}
			}
		case "server":
			product, _, _ := strings.Cut(v, " ")
			put(sigServer, product)
			if device := balancerOf(product); device != "" {
				put(sigDevice, device)
			}
		case "x-aspnet-version":
			put(sigRuntime, v)
		case "x-powered-by":
			if f := foreignRuntime(v); f != "" {
				put(sigForeign, f)
			}
		case "x-calculatedfetarget", "x-calculatedbetarget":
			if l := strings.ToLower(v); strings.HasSuffix(l, ".outlook.com") {
				put(sigCloud, h.Name)
			}
		case "x-besku":
			put(sigCloud, "X-BeSku")
		case "set-cookie":
			cookie(v, put)
		case "www-authenticate":
			if t := tenantOf(v); t != "" {
				put(sigTenant, t)
			}
		case "x-federationtrusttokenissueruri":
			if strings.EqualFold(v, "urn:federation:MicrosoftOnline") {
				put(sigTenant, "federation")
			}
		case "request-id", "x-requestid":
			if v != "" && v == sc.requestID {
				put(sigTrap, "repeated-request-id")
			}
			if v != "" {
				sc.requestID = v
			}
		case "content-security-policy":
			if strings.HasPrefix(a.Path, "/owa/") {
				put(sigPolicy, "content-security")
			}
		case "location":
			if a.Status >= 300 && a.Status < 400 {
				kind, value := redirect(v, hosts)
				put(kind, value)
			}
		default:
			if strings.HasPrefix(name, "x-rum-") {
				put(sigCloud, "X-RUM")
			}
		}
	}
	// These places ask every visitor to sign in; a gateway's own page comes without
	// the server's headers.
	if a.Status == 200 && exchange && signInPath(a.Path) {
		put(sigTrap, "open-endpoint")
	}
}

// ahead gives the end of the host's day, as the date of the next one, if its clock is
// ahead of ours by more than what is allowed for anyway.
func (sc *scanner) ahead(a *exposure.Answer) string {
	if sc.at.IsZero() {
		return ""
	}
	t, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", a.Get("Date"))
	if err != nil || !t.After(sc.at.Add(clockMargin)) || t.Year() > 9998 {
		return ""
	}
	return t.AddDate(0, 0, 1).Format(time.DateOnly)
}

// signInPath says whether Exchange answers the path with 401 to a stranger.
func signInPath(p string) bool {
	return strings.EqualFold(p, PathAutodiscover) || strings.EqualFold(p, PathEWS)
}

// body reads the page, the health check or the manifest.
func (sc *scanner) body(a *exposure.Answer, put func(kind, value string)) {
	b := a.Body[:min(len(a.Body), maxBody)]
	switch {
	case strings.HasSuffix(a.Path, "/healthcheck.htm"):
		if a.Status != 200 {
			return
		}
		if name, ok := healthName(b); ok {
			put(sigHealth, name)
		} else if len(bytes.TrimSpace(b)) == 0 && a.Method != "HEAD" {
			put(sigTrap, "empty-health")
		}
	case strings.HasSuffix(a.Path, ".application"):
		if v, ok := manifestVersion(b); ok && a.Status == 200 {
			put(sigManifest, v)
		}
	case a.Status == 200:
		page(a.Path, b, put)
	}
}

var (
	markOWA    = []byte("/owa/")
	markAuth   = []byte("auth/")
	markPage   = []byte("OwaPage = ASP.auth_logon_aspx")
	markGUID   = []byte("{57A118C6-2DA9-419d-BE9A-F92B0F9A418B}")
	markFont13 = []byte(`"Segoe UI WPC"`)
	markFont16 = []byte("wf_segoe-ui_normal")
)

// page reads an HTML page by hand: no parser, no allocation for what is not kept.
func page(path string, b []byte, put func(kind, value string)) {
	var last []byte // the same path stands in a page thirty times
	for rest, n := b, 0; n < maxPaths; n++ {
		i := bytes.Index(rest, markOWA)
		if i < 0 {
			break
		}
		text := !inValue(rest[:i])
		rest = rest[i+len(markOWA):]
		if text {
			continue // somebody writes about Exchange
		}
		after, auth := bytes.CutPrefix(rest, markAuth)
		version, parts := leadingVersion(after)
		if parts < 3 || bytes.Equal(version, last) {
			continue
		}
		last = version
		switch {
		case auth && parts == 3:
			put(sigPath, string(version))
		case auth && parts == 4:
			put(sigFour, string(version))
		case parts == 4:
			put(sigLegacy, string(version))
		}
	}
	if bytes.Contains(b, markPage) || bytes.Contains(b, markGUID) {
		put(sigPage, "logon")
	}
	switch {
	case bytes.Contains(b, markFont16):
		put(sigPage, "2016")
	case bytes.Contains(b, markFont13):
		put(sigPage, "2013")
	}
	if path == PathOWA && hasMetaRefresh(b) {
		put(sigTrap, "meta-refresh")
	}
}

// inValue says whether what follows stands in the value of an attribute or in url(),
// perhaps behind the scheme and host that a proxy wrote before it.
func inValue(before []byte) bool {
	const longest = 300 // a scheme, a DNS name and a port
	for i := len(before) - 1; i >= 0 && i >= len(before)-longest; i-- {
		switch c := before[i]; {
		case c == '"' || c == '\'' || c == '(':
			return true
		case c <= ' ' || c == '<' || c == '>' || c == ';' || c == ')':
			return false
		}
	}
	return false
}

// leadingVersion reads numbers with dots between them that end before '/'. It
// gives how many there are, 0 if the text is anything else.
func leadingVersion(b []byte) ([]byte, int) {
	parts, digits := 0, 0
	for i := 0; i < len(b) && i < 24; i++ {
		switch c := b[i]; {
		case c >= '0' && c <= '9':
			digits++
			if digits > 5 {
				return nil, 0
			}
		case c == '.' && digits > 0:
			parts++
			digits = 0
		case c == '/' && digits > 0:
			return b[:i], parts + 1
		default:
			return nil, 0
		}
	}
	return nil, 0
}

// hasMetaRefresh looks for a page that sends the browser on, where a real server
// sends a redirect.
func hasMetaRefresh(b []byte) bool {
	const head = 4096
	lower := bytes.ToLower(b[:min(len(b), head)])
	i := bytes.Index(lower, []byte("http-equiv"))
	for i >= 0 {
		rest := bytes.TrimLeft(lower[i+len("http-equiv"):], " =\"'")
		if bytes.HasPrefix(rest, []byte("refresh")) {
			return true
		}
		lower = rest
		i = bytes.Index(lower, []byte("http-equiv"))
	}
	return false
}

// healthName reads "200 OK<br/>EX01.ALPHA.LOCAL".
func healthName(b []byte) (string, bool) {
	const most = 400 // status words and a DNS name
	text := string(b[:min(len(b), most)])
	rest, ok := strings.CutPrefix(strings.TrimLeft(text, "\ufeff \r\n\t"), "200 OK")
	if !ok {
		return "", false
	}
	rest = strings.TrimSpace(rest)
	if len(rest) < 4 || !strings.EqualFold(rest[:3], "<br") {
		return "", false
	}
	_, name, ok := strings.Cut(rest, ">")
	name = strings.TrimSpace(name)
	if i := strings.IndexAny(name, "< \r\n"); i >= 0 {
		name = name[:i]
	}
	if !ok || !hostName(name) {
		return "", false
	}
	return strings.ToLower(name), true
}

// hostName says whether s has the shape of a DNS or NetBIOS name.
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' {
			continue
		}
		return false
	}
	return true
}

// manifestVersion reads the version of the export tool itself, not of an
// assembly that it depends on.
func manifestVersion(b []byte) (string, bool) {
	const tool = `name="microsoft.exchange.ediscovery.exporttool`
	i := bytes.Index(b, []byte(tool))
	if i < 0 {
		return "", false
	}
	rest := b[i:]
	if end := bytes.IndexByte(rest, '>'); end >= 0 {
		rest = rest[:end]
	}
	_, value, ok := bytes.Cut(rest, []byte(` version="`))
	if !ok {
		return "", false
	}
	value, _, ok = bytes.Cut(value, []byte(`"`))
	if !ok || len(value) > 24 {
		return "", false
	}
	if _, err := postern.ParseBuild(string(value)); err != nil {
		return "", false
	}
	return string(value), true
}

// cookie reads the name of a cookie, which betrays devices and imitations.
func cookie(v string, put func(kind, value string)) {
	name, _, _ := strings.Cut(v, "=")
	name = strings.TrimSpace(name)
	upper := strings.ToUpper(name)
	switch {
	case strings.HasPrefix(upper, "BIGIP"), upper == "MRHSESSION", upper == "LASTMRH_SESSION",
		len(name) > 4 && upper[:2] == "TS" && hexWord(name[2:]):
		put(sigDevice, "f5")
	case strings.HasPrefix(upper, "NSC_"):
		put(sigDevice, "citrix")
	case strings.Contains(upper, "-KEMP"):
		put(sigDevice, "kemp")
	case strings.EqualFold(name, "msExchEcpCanary"):
		put(sigTrap, "canary-for-a-stranger")
	case upper == "PHPSESSID", upper == "JSESSIONID":
		put(sigForeign, strings.ToLower(name))
	}
}

func hexWord(s string) bool {
	_, err := strconv.ParseUint(s, 16, 64)
	return err == nil
}

// balancerOf names the proxy that a Server header stands for.
func balancerOf(server string) string {
	name, _, _ := strings.Cut(strings.ToLower(server), "/")
	switch name {
	case "nginx", "openresty", "haproxy", "bigip", "big-ip", "kemp", "cloudflare", "envoy", "awselb", "apache", "varnish", "caddy":
		return name
	}
	return ""
}

// foreignRuntime names what runs a page that no Exchange would run.
func foreignRuntime(v string) string {
	name, _, _ := strings.Cut(strings.ToLower(v), "/")
	switch name = strings.TrimSpace(name); name {
	case "php", "express", "phusion passenger", "servlet", "next.js":
		return strings.ReplaceAll(name, " ", "-")
	}
	return ""
}

// tenantOf reads the cloud tenant from a Bearer challenge:
// trusted_issuers="…@1d3c9b43-…".
func tenantOf(v string) string {
	_, rest, ok := strings.Cut(v, "trusted_issuers=\"")
	if !ok {
		return ""
	}
	issuers, _, _ := strings.Cut(rest, "\"")
	for _, issuer := range strings.Split(issuers, ",") {
		_, tenant, ok := strings.Cut(issuer, "@")
		if tenant = strings.TrimSpace(tenant); ok && len(tenant) == 36 && hostName(tenant) {
			return strings.ToLower(tenant)
		}
	}
	return ""
}

// cloudHosts are the places that a redirect to the cloud leads to.
var cloudHosts = []string{"outlook.office365.com", "outlook.office.com", "login.microsoftonline.com",
	"outlook.com", "outlook.live.com", "autodiscover-s.outlook.com", "outlook.cloud.microsoft"}

// cloudName says whether a front-end name is one of the cloud's, like
// FR0P281CA0150 or GV3P280CU004.
func cloudName(s string) bool {
	s, _, _ = strings.Cut(strings.ToUpper(s), ".")
	if len(s) != 12 && len(s) != 13 || s[3] != 'P' || s[7] != 'C' || s[8] != 'A' && s[8] != 'U' {
		return false
	}
	return digits(s[4:7]) && digits(s[9:])
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// redirect says where a Location leads.
func redirect(location string, hosts []string) (kind, value string) {
	u, err := url.Parse(location)
	if err != nil || len(location) > 4096 {
		return sigRedirect, "unreadable"
	}
	host := strings.ToLower(u.Hostname())
	path := strings.ToLower(u.EscapedPath())
	for _, c := range cloudHosts {
		if host == c || strings.HasSuffix(host, "."+c) {
			return sigRedirect, "cloud"
		}
	}
	if g := gateway(host, path); g != "" {
		return sigRedirect, "gateway:" + g
	}
	switch {
	case path == "/owa/auth/errorfe.aspx":
		return sigRedirect, "error-page"
	case path == "/owa/auth/logon.aspx" && host != "" && !ownHost(host, hosts):
		return sigRedirect, "logon-elsewhere"
	case path == "/owa/auth/logon.aspx":
		return sigRedirect, "logon"
	case path == "/owa" || path == "/owa/":
		return sigRedirect, "owa"
	case host != "" && !ownHost(host, hosts):
		return sigRedirect, "elsewhere"
	}
	return sigRedirect, "path"
}

func ownHost(host string, hosts []string) bool {
	for _, own := range hosts {
		if h, _, err := net.SplitHostPort(own); err == nil {
			own = h
		}
		if own != "" && strings.EqualFold(strings.Trim(own, "[]"), host) {
			return true
		}
	}
	return false
}

// gateway names the product that wants a sign-in before Exchange is reached.
func gateway(host, path string) string {
	switch {
	case strings.HasPrefix(path, "/adfs/"):
		return "adfs"
	case strings.HasPrefix(path, "/my.policy"):
		return "f5"
	case strings.HasPrefix(path, "/cookieauth.dll"):
		return "tmg"
	case strings.HasSuffix(host, ".msappproxy.net"):
		return "azure"
	case strings.HasPrefix(path, "/vpn/"), strings.HasPrefix(path, "/logon/logonpoint"), strings.HasPrefix(path, "/cgi/tm"):
		return "citrix"
	}
	return ""
}

// clean makes one printable word of at most n bytes of text from a host: control
// characters, blanks and what is not ASCII become '_'.
func clean(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	ok := true
	for i := 0; i < len(s) && ok; i++ {
		ok = s[i] > ' ' && s[i] < 0x7f
	}
	if ok {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if c <= ' ' || c >= 0x7f {
			b[i] = '_'
		}
	}
	return string(b)
}
