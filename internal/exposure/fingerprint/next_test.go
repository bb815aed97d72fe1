package fingerprint

import (
	"strings"
	"testing"
	"time"

	"postern/internal/exposure"

	"pgregory.net/rapid"
)

// TestWalk plays whole visits: what is asked, in which order, until nothing is left.
func TestWalk(t *testing.T) {
	t.Parallel()
	b := book(t)
	// Before July 2021 no answer has the version header, and the page shows no front end.
	page := func(line string) exposure.Answer { return loginPage(line, "Server", "Microsoft-IIS/10.0") }
	signIn := answer(PathAutodiscover, 401, "", "Server", "Microsoft-IIS/10.0", "X-FEServer", "EX01")
	foreign := func(server string) map[string]exposure.Answer {
		return map[string]exposure.Answer{PathLogon: answer(PathLogon, 404, "", "Server", server), PathAutodiscover: answer(PathAutodiscover, 404, "", "Server", server)}
	}
	gateway := answer(PathLogon, 302, "", "Location", "/my.policy")
	for _, c := range []struct {
		name string
		host map[string]exposure.Answer
		ask  Ask
		want []string
		end  string
	}{
		{"one request for a server whose pages have the header",
			map[string]exposure.Answer{PathLogon: loginPage("15.2.1748", "Server", "Microsoft-IIS/10.0", "X-OWA-Version", "15.2.1748.36")}, Ask{Manifest: true},
			[]string{PathLogon}, "exchange exchange-2019 CU15 15.2.1748.36"},
		{"two for one of autumn 2021, which shows it where one signs in",
			map[string]exposure.Answer{PathLogon: page("15.2.986"), PathAutodiscover: version("15.2.986.14")}, Ask{Manifest: true},
			[]string{PathLogon, PathAutodiscover}, "exchange exchange-2019 CU11 15.2.986.14"},
		{"page and manifest where no build of the line has the header",
			map[string]exposure.Answer{PathLogon: page("15.1.2176"), PathManifest: manifest("15.1.2176.9")}, Ask{Manifest: true},
			[]string{PathLogon, PathManifest}, "exchange exchange-2016 CU19 15.1.2176.9-15.1.2176.14"},
		{"page, sign-in and manifest where some have it and this host has not",
			map[string]exposure.Answer{PathLogon: page("15.2.858"), PathAutodiscover: signIn, PathManifest: manifest("15.2.858.10")}, Ask{Manifest: true},
			[]string{PathLogon, PathAutodiscover, PathManifest}, "exchange exchange-2019 CU9 15.2.858.10-15.2.858.15 [no-version-header]"},
		{"one request for a line that has one build",
			map[string]exposure.Answer{PathLogon: page("15.1.669")}, Ask{Manifest: true},
			[]string{PathLogon}, "exchange exchange-2016 CU4 15.1.669.32"},
		{"no manifest where the operator does not allow it",
			map[string]exposure.Answer{PathLogon: page("15.1.2176")}, Ask{},
			[]string{PathLogon}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14"},
		{"2010 shows its build on the login page",
			map[string]exposure.Answer{PathLogon: loginPageOf2010("14.3.513.0")}, Ask{Manifest: true},
			[]string{PathLogon}, "exchange exchange-2010 SP3 14.3.513.0"},
		{"a proxy that takes headers away: one place to sign in shows that all will lack them",
			map[string]exposure.Answer{PathLogon: loginPage("15.2.858", "Server", "nginx"), PathAutodiscover: answer(PathAutodiscover, 401, "", "Server", "nginx")}, Ask{},
			[]string{PathLogon, PathAutodiscover}, "exchange exchange-2019 CU9 15.2.858.5-15.2.858.15 [behind-proxy]"},
		{"a login page that sends its visitor to itself is asked for once more",
			map[string]exposure.Answer{PathLogon: answer(PathLogon, 302, "", "Server", "Microsoft-IIS/10.0", "Location", "/owa/auth/logon.aspx?replaceCurrent=1")}, Ask{Manifest: true},
			[]string{PathLogon, PathLogon, PathAutodiscover, PathActiveSync, PathEWS}, "hidden"},
		{"a login page that sends its visitor to another host's is not",
			map[string]exposure.Answer{PathLogon: answer(PathLogon, 302, "", "Server", "Microsoft-IIS/10.0", "Location", "https://owa.beta.example/owa/auth/logon.aspx")}, Ask{Manifest: true},
			[]string{PathLogon, PathAutodiscover, PathActiveSync, PathEWS}, "hidden"},
		{"another web site, one request",
			map[string]exposure.Answer{PathLogon: answer(PathLogon, 200, "<html>shop</html>", "Server", "nginx")}, Ask{Manifest: true},
			[]string{PathLogon}, "not-exchange"},
		{"one that writes about Exchange on every page",
			map[string]exposure.Answer{PathLogon: answer(PathLogon, 200, "<p>Look for <code>/owa/auth/15.1.2176/themes/x</code>, or https://mail.example/owa/auth/15.1.2176/x, or &quot;/owa/auth/15.1.2176/x", "Server", "nginx")}, Ask{Manifest: true},
			[]string{PathLogon}, "not-exchange"},
		{"another web site that sends everybody to its start page",
			map[string]exposure.Answer{PathLogon: answer(PathLogon, 302, "", "Server", "nginx", "Location", "https://shop.example/")}, Ask{Manifest: true},
			[]string{PathLogon}, "not-exchange"},
		{"a device that nobody puts in front", foreign("Virata-EmWeb/R6"), Ask{Manifest: true},
			[]string{PathLogon}, "not-exchange"},
		{"a web server that does not know the name",
			map[string]exposure.Answer{PathLogon: answer(PathLogon, 400, "Invalid Hostname", "Server", "Microsoft-HTTPAPI/2.0")}, Ask{Manifest: true},
			[]string{PathLogon}, "not-exchange"},
		{"a proxy that may hide one", foreign("nginx"), Ask{Manifest: true},
			[]string{PathLogon, PathAutodiscover}, "not-exchange"},
		{"a proxy that hides the pages of one",
			map[string]exposure.Answer{PathLogon: answer(PathLogon, 404, "", "Server", "nginx"), PathAutodiscover: version("15.2.986.14")}, Ask{Manifest: true},
			[]string{PathLogon, PathAutodiscover}, "exchange exchange-2019 CU11 15.2.986.14 [behind-proxy]"},
		{"the cloud, one request",
			map[string]exposure.Answer{PathLogon: answer(PathLogon, 302, "", "Location", "https://outlook.office365.com/owa/")}, Ask{Manifest: true},
			[]string{PathLogon}, "cloud"},
		{"a gateway before OWA, a phone's endpoint open",
			map[string]exposure.Answer{PathLogon: gateway, PathAutodiscover: answer(PathAutodiscover, 403, "", "Server", "BigIP"), PathActiveSync: version("15.2.1544.11")}, Ask{Manifest: true},
			[]string{PathLogon, PathAutodiscover, PathActiveSync}, "exchange exchange-2019 CU14 15.2.1544.11 [behind-proxy pre-authentication]"},
		{"a gateway, and no header where Outlook signs in",
			map[string]exposure.Answer{PathLogon: gateway, PathAutodiscover: signIn}, Ask{Manifest: true},
			[]string{PathLogon, PathAutodiscover}, "exchange exchange [no-version-header pre-authentication]"},
		{"its page for people is broken",
			map[string]exposure.Answer{PathLogon: answer(PathLogon, 302, "", "Server", "Microsoft-IIS/10.0", "Location", "/owa/auth/errorFE.aspx?httpCode=500"), PathAutodiscover: version("15.2.986.14")}, Ask{Manifest: true},
			[]string{PathLogon, PathAutodiscover}, "exchange exchange-2019 CU11 15.2.986.14 [broken-owa]"},
		{"a proxy that takes from the page what every build of the line writes there takes it everywhere",
			map[string]exposure.Answer{PathLogon: loginPage("15.2.1544", "Server", "nginx"), PathManifest: manifest("15.2.1544.48")}, Ask{Manifest: true},
			[]string{PathLogon, PathManifest}, "exchange exchange-2019 CU14 15.2.1544.48 [behind-proxy]"},
		{"a page of such a line that lacks it for another reason",
			map[string]exposure.Answer{PathLogon: loginPage("15.2.1544", "Server", "Microsoft-IIS/10.0", "X-AspNet-Version", "4.0.30319"), PathAutodiscover: version("15.2.1544.9")}, Ask{Manifest: true},
			[]string{PathLogon, PathAutodiscover}, "exchange exchange-2019 CU14 15.2.1544.9"},
		{"rewritten headers: the page is believed, the manifest bounds",
			map[string]exposure.Answer{PathLogon: loginPage("15.2.721", "X-OWA-Version", "15.02.2562.037"), PathManifest: manifest("15.2.721.13")}, Ask{Manifest: true},
			[]string{PathLogon, PathManifest}, "exchange exchange-2019 CU7 15.2.721.13 [headers-rewritten]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, o := walk(t, b.Start(&exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1"}), c.ask, c.host)
			if got, want := strings.Join(asked, " "), strings.Join(c.want, " "); got != want {
				t.Errorf("asked\n %s\nwant\n %s", got, want)
			}
			if got := said(&o); got != c.end {
				t.Errorf("said\n %s\nwant\n %s", got, c.end)
			}
		})
	}
}

// TestClock rules out builds that were not out when the host was looked at, unless the
// evidence or the host's clock says otherwise.
func TestClock(t *testing.T) {
	t.Parallel()
	b := book(t)
	day := func(s string) time.Time {
		at, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return at.Add(9 * time.Hour)
	}
	page := loginPage("15.1.2176")
	for _, c := range []struct {
		name, at string
		answers  []exposure.Answer
		want     string
	}{
		{"nobody knows the time", "", []exposure.Answer{page}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14"},
		{"before the first update: one request is enough", "2021-01-10", []exposure.Answer{page}, "exchange exchange-2016 CU19 15.1.2176.2"},
		{"a day before it a slow clock may be wrong", "2021-03-01", []exposure.Answer{page}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.9"},
		{"with it, before the next one", "2021-03-18", []exposure.Answer{page}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.9"},
		{"then a lower bound at the top is exact", "2021-03-18", []exposure.Answer{page, manifest("15.1.2176.9")}, "exchange exchange-2016 CU19 15.1.2176.9"},
		{"after the last update", "2023-01-01", []exposure.Answer{page}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14"},
		{"the day counts on which an update could be had, not the one that the list gives it", "2021-03-08", []exposure.Answer{loginPage("15.1.1415")}, "exchange exchange-2016 CU8 15.1.1415.2-15.1.1415.7"},
		{"a clock from before the line was out is wrong", "2019-01-01", []exposure.Answer{page}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14"},
		{"evidence of a later build is believed before the clock", "2021-03-18", []exposure.Answer{page, manifest("15.1.2176.12")}, "exchange exchange-2016 CU19 15.1.2176.12-15.1.2176.14"},
		{"so is a header", "2021-03-18", []exposure.Answer{version("15.2.986.14")}, "exchange exchange-2019 CU11 15.2.986.14"},
		{"a host whose clock is ahead", "2021-03-18", []exposure.Answer{loginPage("15.1.2176", "Date", "Thu, 22 Apr 2021 09:00:00 GMT")}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.12"},
		{"a host whose clock is behind rules out nothing", "2021-04-22", []exposure.Answer{loginPage("15.1.2176", "Date", "Thu, 18 Mar 2021 09:00:00 GMT")}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.12"},
		{"a line that contradicts another is not cut to one build that nothing shows", "2021-03-18", []exposure.Answer{version("15.2.986.14"), loginPage("15.2.858")},
			"exchange exchange-2019 CU9 15.2.858.5-15.2.858.15 [contradicting-evidence]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1", Answers: c.answers}
			if c.at != "" {
				v.Time = day(c.at)
			}
			o := b.Identify(v)
			o.Time = v.Time
			if got := said(&o); got != c.want {
				t.Errorf("said\n %s\nwant\n %s\nevidence %v", got, c.want, o.Evidence)
			}
			checkReplay(t, b, o)
		})
	}
}

// TestBeforeTheHeader: while no build wrote the header, nobody is asked for it.
func TestBeforeTheHeader(t *testing.T) {
	t.Parallel()
	b := book(t)
	broken := answer(PathLogon, 302, "", "Server", "Microsoft-IIS/10.0", "Location", "/owa/auth/errorFE.aspx?httpCode=500")
	for _, c := range []struct {
		day, want string
	}{{"2021-03-18", PathManifest}, {"2021-07-13", PathAutodiscover}} {
		at, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		r := b.Start(&exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1", Time: at, Answers: []exposure.Answer{broken}})
		if next, _ := r.Next(Ask{Manifest: true}); next != c.want {
			t.Errorf("on %s: %q, want %q", c.day, next, c.want)
		}
	}
}

// TestHints looks at hosts again that an earlier scan has looked at.
func TestHints(t *testing.T) {
	t.Parallel()
	b := book(t)
	refused := answer(PathManifest, 403, "", "Server", "Microsoft-IIS/10.0")
	signIn := answer(PathAutodiscover, 401, "", "Server", "Microsoft-IIS/10.0", "X-FEServer", "EX01")
	gone := answer("", 404, "", "Server", "Microsoft-IIS/10.0")
	now := loginPage("15.2.1748", "Server", "Microsoft-IIS/10.0", "X-OWA-Version", "15.2.1748.36")
	for _, c := range []struct {
		name   string
		first  []exposure.Answer
		hint   exposure.Hint
		again  map[string]exposure.Answer
		asked  []string
		result string
	}{
		{"the manifest told more", []exposure.Answer{loginPage("15.1.2176"), manifest("15.1.2176.9")}, exposure.HintManifest,
			map[string]exposure.Answer{PathManifest: manifest("15.1.2176.12")}, []string{PathManifest}, "exchange exchange-2016 CU19 15.1.2176.12-15.1.2176.14"},
		{"it is shut now", []exposure.Answer{loginPage("15.1.2176"), manifest("15.1.2176.9")}, exposure.HintManifest,
			map[string]exposure.Answer{PathManifest: refused, PathLogon: loginPage("15.1.2176")}, []string{PathManifest, PathLogon}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14"},
		{"it was changed for a newer server", []exposure.Answer{loginPage("15.1.2176"), manifest("15.1.2176.9")}, exposure.HintManifest,
			map[string]exposure.Answer{PathManifest: manifest("15.2.1748.10"), PathAutodiscover: version("15.2.1748.36")}, []string{PathManifest, PathAutodiscover}, "exchange exchange-2019 CU15 15.2.1748.36"},
		{"the manifest was refused", []exposure.Answer{loginPage("15.1.2176"), refused}, exposure.HintNoTool,
			map[string]exposure.Answer{PathLogon: loginPage("15.1.2176")}, []string{PathLogon}, "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14"},
		{"the manifest was refused by an older line", []exposure.Answer{loginPage("15.1.1979"), refused}, exposure.HintNoTool,
			map[string]exposure.Answer{PathLogon: loginPage("15.1.2176"), PathManifest: manifest("15.1.2176.9")}, []string{PathLogon, PathManifest}, "exchange exchange-2016 CU19 15.1.2176.9-15.1.2176.14"},
		{"the build stood where one signs in", []exposure.Answer{loginPage("15.2.986"), version("15.2.986.14")}, exposure.HintSignIn,
			map[string]exposure.Answer{PathAutodiscover: version("15.2.986.15")}, []string{PathAutodiscover}, "exchange exchange-2019 CU11 15.2.986.15"},
		{"and is there no more", []exposure.Answer{loginPage("15.2.986"), version("15.2.986.14")}, exposure.HintSignIn,
			map[string]exposure.Answer{PathAutodiscover: gone, PathLogon: now}, []string{PathAutodiscover, PathLogon}, "exchange exchange-2019 CU15 15.2.1748.36"},
		{"and nothing is", []exposure.Answer{loginPage("15.2.986"), version("15.2.986.14")}, exposure.HintSignIn,
			nil, []string{PathAutodiscover, PathLogon, PathActiveSync, PathEWS}, "hidden"},
		{"the page told all", []exposure.Answer{now}, exposure.HintNone,
			map[string]exposure.Answer{PathLogon: now}, []string{PathLogon}, "exchange exchange-2019 CU15 15.2.1748.36"},
		{"two front ends", []exposure.Answer{version("15.2.986.14"), answer(PathEWS, 401, "", "X-OWA-Version", "15.2.986.42", "X-FEServer", "EX02")}, exposure.HintNone,
			map[string]exposure.Answer{PathLogon: now}, []string{PathLogon}, "exchange exchange-2019 CU15 15.2.1748.36"},
		{"no Exchange", []exposure.Answer{signIn, loginPage("15.2.858.5")}, exposure.HintNone,
			map[string]exposure.Answer{PathLogon: now}, []string{PathLogon}, "exchange exchange-2019 CU15 15.2.1748.36"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := b.Identify(&exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1", Answers: c.first})
			hint := HintOf(&before)
			if hint != c.hint {
				t.Errorf("hint %d, want %d of evidence %v", hint, c.hint, before.Evidence)
			}
			asked, o := walk(t, b.Start(&exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1", Hint: hint, HintLine: LineOf(&before), KnownSince: headerSince}), Ask{Manifest: true}, c.again)
			if got, want := strings.Join(asked, " "), strings.Join(c.asked, " "); got != want {
				t.Errorf("asked\n %s\nwant\n %s", got, want)
			}
			if got := said(&o); got != c.result {
				t.Errorf("said\n %s\nwant\n %s", got, c.result)
			}
		})
	}
}

// walk plays a visit: what is asked until nothing is left, and what that comes to.
func walk(t rapid.TB, r *Reading, ask Ask, host map[string]exposure.Answer) (asked []string, o exposure.Observation) {
	t.Helper()
	for {
		path, more := r.Next(ask)
		if !more {
			break
		}
		asked = append(asked, path)
		if len(asked) > 6 {
			t.Fatalf("more than six requests: %v", asked)
		}
		a, ok := host[path]
		if !ok {
			a = answer(path, 404, "")
		}
		a.Path = path
		r.Add(&a)
	}
	r.Conclude(&o)
	return asked, o
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

// TestHiddenReplayed: a stored record of a hidden host keeps the reason that it was given
// for what is not in its evidence.
func TestHiddenReplayed(t *testing.T) {
	t.Parallel()
	b := book(t)
	o := b.Identify(&exposure.Visit{Answers: []exposure.Answer{answer(PathLogon, 403, "")}, KnownSince: headerSince})
	o.Time, o.Reason = headerSince, "as it was said"
	b.Replay(&o)
	if o.Outcome != exposure.Hidden || !o.Why.IsZero() || o.Reason != "as it was said" {
		t.Errorf("%s, %v, %q", o.Outcome, o.Why, o.Reason)
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
