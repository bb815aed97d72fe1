package fingerprint

import (
	"strings"
	"testing"

	"postern/internal/exposure"
)

// TestWalk plays whole visits: what is asked, in which order, until nothing is left.
func TestWalk(t *testing.T) {
	t.Parallel()
	b := book(t)
	old := func(path, body string) exposure.Answer { // before July 2021: no version header
		status := 401
		if body != "" {
			status = 200
		}
		return answer(path, status, body, "Server", "Microsoft-IIS/10.0", "X-FEServer", "EX01")
	}
	page := `<!-- OwaPage = ASP.auth_logon_aspx --><link href="/owa/auth/15.1.2176/themes/x.css">`
	tool := string(manifest("15.1.2176.9").Body)
	for _, c := range []struct {
		name string
		host map[string]exposure.Answer
		ask  Ask
		want []string
		end  string
	}{
		{"one request for a server with the header",
			map[string]exposure.Answer{PathAutodiscover: version("15.2.986.14")}, Ask{Manifest: true},
			[]string{PathAutodiscover}, "exchange exchange-2019 CU11 15.2.986.14"},
		{"page and manifest for a server of March 2021",
			map[string]exposure.Answer{PathAutodiscover: old(PathAutodiscover, ""), PathLogon: old(PathLogon, page), PathManifest: old(PathManifest, tool)}, Ask{Manifest: true},
			[]string{PathAutodiscover, PathLogon, PathManifest}, "exchange exchange-2016 CU19 15.1.2176.9-15.1.2176.14 [no-version-header]"},
		{"no manifest where the operator does not allow it",
			map[string]exposure.Answer{PathAutodiscover: old(PathAutodiscover, ""), PathLogon: old(PathLogon, page)}, Ask{},
			[]string{PathAutodiscover, PathLogon}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14 [no-version-header]"},
		{"no manifest where the question is already answered",
			map[string]exposure.Answer{PathAutodiscover: old(PathAutodiscover, ""), PathLogon: old(PathLogon, page)},
			Ask{Manifest: true, Open: func(_, line string, _ exposure.Range) bool { return line != "CU19" }},
			[]string{PathAutodiscover, PathLogon}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14 [no-version-header]"},
		{"2010 shows its build on the login page",
			map[string]exposure.Answer{PathAutodiscover: answer(PathAutodiscover, 401, "", "Server", "Microsoft-IIS/7.5"), PathLogon: loginPageOf2010("14.3.513.0")}, Ask{Manifest: true},
			[]string{PathAutodiscover, PathLogon}, "exchange exchange-2010 SP3 14.3.513.0"},
		{"another web site, one request",
			map[string]exposure.Answer{PathAutodiscover: answer(PathAutodiscover, 200, "<html>shop</html>", "Server", "nginx")}, Ask{Manifest: true},
			[]string{PathAutodiscover}, "not-exchange"},
		{"another web site that sends everybody to its start page",
			map[string]exposure.Answer{PathAutodiscover: answer(PathAutodiscover, 302, "", "Server", "nginx", "Location", "https://shop.example/")}, Ask{Manifest: true},
			[]string{PathAutodiscover}, "not-exchange"},
		{"a proxy that may hide one",
			map[string]exposure.Answer{PathAutodiscover: answer(PathAutodiscover, 404, "", "Server", "nginx"), PathOWA: answer(PathOWA, 404, "", "Server", "nginx")}, Ask{Manifest: true},
			[]string{PathAutodiscover, PathOWA}, "not-exchange"},
		{"the cloud, one request",
			map[string]exposure.Answer{PathAutodiscover: answer(PathAutodiscover, 302, "", "Location", "https://autodiscover-s.outlook.com/autodiscover/autodiscover.xml")}, Ask{Manifest: true},
			[]string{PathAutodiscover}, "cloud"},
		{"a gateway before OWA, a phone's endpoint open",
			map[string]exposure.Answer{PathAutodiscover: answer(PathAutodiscover, 403, "", "Server", "BigIP"), PathOWA: answer(PathOWA, 302, "", "Location", "/my.policy"),
				PathEWS: answer(PathEWS, 403, ""), PathActiveSync: version("15.2.1544.11")}, Ask{Manifest: true},
			[]string{PathAutodiscover, PathOWA, PathEWS, PathActiveSync}, "exchange exchange-2019 CU14 15.2.1544.11 [behind-proxy pre-authentication]"},
		{"rewritten headers: the page is believed, the manifest bounds",
			map[string]exposure.Answer{PathAutodiscover: version("15.02.2562.037"), PathLogon: loginPage("15.2.721"), PathManifest: manifest("15.2.721.13")}, Ask{Manifest: true},
			[]string{PathAutodiscover, PathLogon, PathManifest}, "exchange exchange-2019 CU7 15.2.721.13 [headers-rewritten]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := b.Start(&exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1"})
			var asked []string
			for {
				path, more := r.Next(c.ask)
				if !more {
					break
				}
				asked = append(asked, path)
				if len(asked) > 6 {
					t.Fatalf("more than six requests: %v", asked)
				}
				a, ok := c.host[path]
				if !ok {
					a = answer(path, 404, "")
				}
				a.Path = path
				r.Add(&a)
			}
			var o exposure.Observation
			r.Conclude(&o)
			if got, want := strings.Join(asked, " "), strings.Join(c.want, " "); got != want {
				t.Errorf("asked\n %s\nwant\n %s", got, want)
			}
			if got := said(&o); got != c.end {
				t.Errorf("said\n %s\nwant\n %s", got, c.end)
			}
		})
	}
}

func TestCloudCertificate(t *testing.T) {
	t.Parallel()
	b := book(t)
	cloud := answer(PathAutodiscover, 401, "", "X-CalculatedFETarget", "GV3P280CU004.internal.outlook.com", "X-BeSku", "WCS7")
	for _, c := range []struct {
		name string
		v    exposure.Visit
		want string
	}{
		{"its own certificate", exposure.Visit{TLS: &exposure.Handshake{Certificate: exposure.Certificate{CommonName: "outlook.com", Names: []string{"*.outlook.com", "outlook.com"}}}}, "cloud"},
		{"somebody's certificate", exposure.Visit{TLS: &exposure.Handshake{Certificate: exposure.Certificate{CommonName: "evil.example", Names: []string{"evil.example"}}}}, "imitation exchange [cloud-profile-copied]"},
		{"another network", exposure.Visit{Network: exposure.NetworkOther}, "imitation exchange [cloud-profile-copied]"},
		{"Microsoft's network", exposure.Visit{Network: exposure.NetworkMicrosoft}, "cloud"},
		{"nobody knows", exposure.Visit{}, "cloud"},
	} {
		c.v.Answers = []exposure.Answer{cloud}
		o := b.Identify(&c.v)
		if got := said(&o); got != c.want {
			t.Errorf("%s: said %s, want %s", c.name, got, c.want)
		}
	}
}

func TestHidden(t *testing.T) {
	t.Parallel()
	b := book(t)
	wall := []exposure.Answer{answer(PathAutodiscover, 403, "", "Server", "Microsoft-IIS/10.0"), answer(PathOWA, 403, "")}
	setup := &exposure.Handshake{Certificate: exposure.Certificate{CommonName: "EX01", Names: []string{"EX01", "EX01.alpha.local"}, SelfSigned: true}}
	for _, c := range []struct {
		name string
		v    exposure.Visit
		want string
	}{
		{"nothing known", exposure.Visit{Answers: wall}, "not-exchange"},
		{"seen before", exposure.Visit{Answers: wall, KnownSince: headerSince}, "hidden"},
		{"the certificate that setup makes", exposure.Visit{Answers: wall, TLS: setup}, "hidden"},
	} {
		o := b.Identify(&c.v)
		if got := said(&o); got != c.want {
			t.Errorf("%s: said %s, want %s", c.name, got, c.want)
		}
	}
}
