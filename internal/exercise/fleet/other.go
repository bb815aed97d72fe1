package fleet

import (
	"strings"
	"time"
)

// stranger is what answers where there is no Exchange: everything that its answers depend on.
type stranger struct {
	p     *population
	h     *host
	kind  Kind
	visit uint64
	date  time.Time
}

func (s *stranger) answer(q request) answer {
	var a answer
	path := strings.ToLower(q.path)
	switch s.kind {
	case CloudHost:
		a = s.cloud(q, path)
	case CloudName:
		a = answer{status: 302}
		a.add("Cache-Control", "private", "Location", "https://outlook.office365.com/owa/?realm="+s.p.domain(s.h), "Server", "Microsoft-IIS/10.0")
	case Honeypot:
		a = s.honeypot(path)
	case Profile:
		a = s.profile(path)
	case Phishing:
		a = s.phishing(path)
	default:
		for _, l := range lookAlikes() {
			if l.name == s.h.variant {
				a = l.answer(s, q, path)
			}
		}
	}
	a.add("Date", s.date.Format("Mon, 02 Jan 2006 15:04:05")+" GMT")
	return a
}

func (s *stranger) guid() string {
	x := server{dice: s.h.dice, visit: s.visit}
	return x.guid()
}

// cloudFields are shape S15, which the vendor's service writes into every answer.
func (s *stranger) cloudFields(a *answer) {
	site := one(s.h.dice, forFrontend, []string{"GV3P280", "FR0P281", "AM6P194", "DB8P191"})
	back := site[:3] + "P191MB2243"
	a.add("Alt-Svc", `h3=":443"`, "Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload",
		"request-id", s.guid(), "X-CalculatedFETarget", site+"CU004.internal.outlook.com", "X-BackEndHttpStatus", "401,401",
		"X-CalculatedBETarget", back+".EURP191.PROD.OUTLOOK.COM", "X-RUM-Validated", "1", "X-BeSku", "WCS7",
		"X-DiagInfo", back, "X-FEServer", site+"CA0150", "X-Powered-By", "ASP.NET")
}

func (s *stranger) cloud(q request, path string) answer {
	a := answer{status: 401}
	if path == "/" || strings.HasPrefix(path, "/owa") || strings.HasPrefix(path, "/ecp") {
		a.status = 302
		a.add("Location", "https://login.microsoftonline.com/common/oauth2/authorize?client_id=00000002-0000-0ff1-ce00-000000000000")
	} else {
		a.add("WWW-Authenticate", `Basic Realm=""`)
	}
	a.add("Server", "Microsoft-HTTPAPI/2.0")
	s.cloudFields(&a)
	return a
}

// honeypot is shape S19: one build on every path, and pages where a real server
// asks for a sign-in.
func (s *stranger) honeypot(path string) answer {
	build := one(s.h.dice, forUpdate, []string{"15.2.792.3", "15.1.2176.2", "15.2.858.5", "15.0.1497.2"})
	iis := one(s.h.dice, forServer, []string{"Microsoft-IIS/10.0", "Microsoft-IIS/10.0", "Microsoft-IIS/7.5"})
	a := answer{status: 200}
	a.add("X-OWA-Version", build, "X-FEServer", "EX01", "X-AspNet-Version", "4.0.30319", "Server", iis,
		"request-id", "11111111-2222-3333-4444-555555555555")
	switch {
	case path == "/owa/":
		a.body = []byte(`<html><head><meta http-equiv="refresh" content="0; url=/owa/auth/logon.aspx"></head></html>`)
		a.add("Content-Type", "text/html")
	case path == pathLogon:
		a.body = []byte("<html><!-- OwaPage = ASP.auth_logon_aspx --><head><title>Outlook</title>" +
			`<link rel="shortcut icon" href="/owa/auth/` + build + `/themes/resources/favicon.ico"></head><body><form></form></body></html>`)
		a.add("Content-Type", "text/html", "Set-Cookie", "msExchEcpCanary=0; path=/ecp")
	case path == pathManifest:
		a.body = manifestBody(build)
		a.add("Content-Type", "application/x-ms-application")
	case strings.HasSuffix(path, ".asmx"), strings.HasSuffix(path, ".xml"):
		a.body = []byte(`<?xml version="1.0"?><services/>`)
		a.add("Content-Type", "text/xml")
	default:
		a.add("Content-Type", "text/html")
	}
	return a
}

// profile is what a public template for a command server copies from the cloud.
func (s *stranger) profile(path string) answer {
	a := answer{status: 200, body: []byte("<html><head><title>Outlook</title></head><body></body></html>")}
	a.add("Cache-Control", "no-cache", "Content-Type", "text/html; charset=utf-8", "Server", "Microsoft-IIS/10.0",
		"request-id", s.guid(), "X-CalculatedBETarget", "BY2PR06MB549.namprd06.prod.outlook.com", "X-OWA-Version", "15.1.1240.20",
		"X-FEServer", "CY4PR02CA0010", "X-Powered-By", "ASP.NET")
	return a
}

// phishing is a login page that somebody saved and put on a rented web server.
func (s *stranger) phishing(path string) answer {
	if path == "/autodiscover/autodiscover.xml" || path == "/ews/exchange.asmx" {
		return notFound("Apache/2.4.41 (Ubuntu)")
	}
	line := one(s.h.dice, forLine, []string{"15.2.659.4", "15.1.2044.4", "15.0.1497.2"})
	a := answer{status: 200, body: []byte("<!DOCTYPE html>\n<!-- OwaPage = ASP.auth_logon_aspx -->\n<!-- {57A118C6-2DA9-419d-BE9A-F92B0F9A418B} -->\n" +
		`<html><head><title>Outlook</title><link rel="shortcut icon" href="/owa/auth/` + line + `/themes/resources/favicon.ico">` +
		`<style>@font-face { font-family: "wf_segoe-ui_normal"; }</style></head><body><form action="next.php" method="post"></form></body></html>`)}
	a.add("Server", "Apache/2.4.41 (Ubuntu)", "X-Powered-By", "PHP/7.4.3", "Set-Cookie", "PHPSESSID="+strings.ReplaceAll(s.guid(), "-", "")[:26]+"; path=/",
		"Content-Type", "text/html; charset=UTF-8")
	return a
}

func notFound(serverName string) answer {
	a := answer{status: 404, body: []byte("<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n")}
	a.add("Server", serverName, "Content-Type", "text/html")
	return a
}

func page(serverName, title, body string, more ...string) answer {
	a := answer{status: 200, body: []byte("<!DOCTYPE html><html><head><title>" + title + "</title></head><body>" + body + "</body></html>\n")}
	a.add("Server", serverName, "Content-Type", "text/html; charset=utf-8")
	a.add(more...)
	return a
}

func basic(serverName, realm string) answer {
	a := answer{status: 401, body: []byte("<html><body>401</body></html>")}
	a.add("Server", serverName, "WWW-Authenticate", `Basic realm="`+realm+`"`, "Content-Type", "text/html")
	return a
}

// lookAlike is something that is no Exchange and, one way or the other, looks like a web mail.
type lookAlike struct {
	name   string
	answer func(s *stranger, q request, path string) answer
}

// lookAlikes gives all of them. The texts are our own, in the manner of the products.
func lookAlikes() []lookAlike {
	other := func(path string) bool { return path != "/" }
	return []lookAlike{
		{"iis", func(s *stranger, q request, path string) answer {
			if other(path) {
				return notFound("Microsoft-IIS/10.0")
			}
			return page("Microsoft-IIS/10.0", "IIS Windows Server", "welcome", "X-Powered-By", "ASP.NET")
		}},
		{"iis-sign-in", func(s *stranger, q request, path string) answer { // an intranet that asks everybody to sign in
			a := answer{status: 401}
			a.add("Server", "Microsoft-IIS/8.5", "WWW-Authenticate", "Negotiate", "WWW-Authenticate", "NTLM", "X-Powered-By", "ASP.NET")
			return a
		}},
		{"sharepoint", func(s *stranger, q request, path string) answer {
			a := answer{status: 401}
			a.add("Server", "Microsoft-IIS/10.0", "SPRequestGuid", s.guid(), "request-id", s.guid(), "MicrosoftSharePointTeamServices", "16.0.0.4351",
				"WWW-Authenticate", "NTLM", "X-Powered-By", "ASP.NET")
			return a
		}},
		{"nginx", func(s *stranger, q request, path string) answer {
			if other(path) {
				return notFound("nginx/1.18.0")
			}
			return page("nginx/1.18.0", "Welcome", "it works")
		}},
		{"apache", func(s *stranger, q request, path string) answer { return notFound("Apache/2.4.38 (Debian)") }},
		{"one-page", func(s *stranger, q request, path string) answer { // the same page for every path
			return page("nginx", "Web application", `<div id="app"></div>`)
		}},
		{"groupware", func(s *stranger, q request, path string) answer { // speaks ActiveSync and autodiscover without being Exchange
			switch path {
			case "/microsoft-server-activesync", "/autodiscover/autodiscover.xml":
				return basic("Apache/2.4.29 (Ubuntu)", "Groupware")
			case "/":
				return page("Apache/2.4.29 (Ubuntu)", "Webmail", "<form></form>", "Set-Cookie", "WEBMAILSID=1; HttpOnly")
			}
			return notFound("Apache/2.4.29 (Ubuntu)")
		}},
		{"webmail", func(s *stranger, q request, path string) answer {
			if other(path) {
				return notFound("nginx")
			}
			return page("nginx", "Webmail :: Welcome", "<form></form>", "X-Powered-By", "PHP/7.3.27", "Set-Cookie", "PHPSESSID=0; path=/")
		}},
		{"printer", func(s *stranger, q request, path string) answer { return basic("Virata-EmWeb/R6_2_1", "printer") }},
		{"camera", func(s *stranger, q request, path string) answer { return basic("lighttpd/1.4.35", "camera") }},
		{"router", func(s *stranger, q request, path string) answer {
			a := answer{status: 302}
			a.add("Server", "httpd", "Location", "/cgi-bin/luci")
			return a
		}},
		{"vpn", func(s *stranger, q request, path string) answer {
			a := answer{status: 302}
			a.add("Server", "xxxxxxxx-xxxxx", "Location", "/remote/login?lang=en")
			return a
		}},
		{"to-plain", func(s *stranger, q request, path string) answer {
			a := answer{status: 301}
			a.add("Server", "nginx", "Location", "http://"+hostOnly(q.host)+"/")
			return a
		}},
		{"blog-about-exchange", func(s *stranger, q request, path string) answer { // quotes a path in its text
			return page("nginx", "Patch now: Outlook Web App", "<p>Look for <code>/owa/auth/15.1.2176/themes/resources/favicon.ico</code> in the page.</p>")
		}},
		{"unavailable", func(s *stranger, q request, path string) answer {
			a := answer{status: 503, body: []byte("<html><body>Service Unavailable</body></html>")}
			a.add("Server", "Microsoft-HTTPAPI/2.0", "Content-Type", "text/html")
			return a
		}},
		{"refuses-names", func(s *stranger, q request, path string) answer {
			a := answer{status: 400, body: []byte("<html><body>Bad Request - Invalid Hostname</body></html>")}
			a.add("Server", "Microsoft-HTTPAPI/2.0", "Content-Type", "text/html; charset=us-ascii")
			return a
		}},
	}
}
