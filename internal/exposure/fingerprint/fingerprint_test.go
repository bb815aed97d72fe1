package fingerprint

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/exposure"
)

// book reads the real build table, so that the tests hold for what is shipped.
func book(t testing.TB) *Book {
	t.Helper()
	available := map[string]string{}
	for _, row := range table(t, "march-2021-availability.csv") {
		available[row["edition"]+row["line"]] = row["available"]
	}
	var releases []exposure.Release
	for _, row := range table(t, "builds.csv") {
		b, err := postern.ParseBuild(row["build"])
		if err != nil {
			t.Fatal(err)
		}
		day, err := time.Parse(time.DateOnly, row["released"])
		if err != nil {
			t.Fatal(err)
		}
		r := exposure.Release{Build: b, Edition: row["edition"], Line: row["line"], Update: row["update"], Released: day}
		if day := available[row["edition"]+row["line"]]; day != "" && r.Update == "Mar21SU" {
			if r.Available, err = time.Parse(time.DateOnly, day); err != nil {
				t.Fatal(err)
			}
		}
		releases = append(releases, r)
	}
	var seen []exposure.Seen
	for _, row := range table(t, "observed-versions.csv") {
		v, err := postern.ParseBuild(row["seen"])
		if err != nil {
			continue // patterns such as 15.20.x.y
		}
		b, _ := postern.ParseBuild(row["build"])
		seen = append(seen, exposure.Seen{Version: v, Build: b, Rule: exposure.Rule(row["rule"])})
	}
	made, err := New(releases, seen)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func table(t testing.TB, name string) []map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join("../../../products/exchange", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, k := range rows[0] {
			m[k] = row[i]
		}
		list = append(list, m)
	}
	return list
}

// recorded reads a file of exchanges: "> GET /path", the status line, the head, a
// blank line, the body.
func recorded(t testing.TB, name string) []exposure.Answer {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var list []exposure.Answer
	for _, part := range strings.Split("\n"+string(b), "\n> ")[1:] {
		request, rest, _ := strings.Cut(part, "\n")
		method, path, _ := strings.Cut(request, " ")
		head, body, _ := strings.Cut(rest, "\n\n")
		lines := strings.Split(head, "\n")
		status, _ := strconv.Atoi(strings.Fields(lines[0])[1])
		a := exposure.Answer{Method: method, Path: path, Status: status, Body: []byte(strings.TrimSuffix(body, "\n"))}
		for _, l := range lines[1:] {
			if n, v, ok := strings.Cut(l, ":"); ok {
				a.Header = append(a.Header, exposure.Header{Name: n, Value: strings.TrimSpace(v)})
			}
		}
		list = append(list, a)
	}
	return list
}

// said puts what a test cares about into one line.
func said(o *exposure.Observation) string {
	parts := []string{string(o.Outcome), o.Product, o.Line}
	switch {
	case !o.Build.Exact.IsZero():
		parts = append(parts, o.Build.Exact.String())
	case !o.Build.IsZero():
		parts = append(parts, o.Build.Low.String()+"-"+o.Build.High.String())
	}
	flags := make([]string, len(o.Flags))
	for i, f := range o.Flags {
		flags[i] = string(f)
	}
	slices.Sort(flags)
	if len(flags) > 0 {
		parts = append(parts, "["+strings.Join(flags, " ")+"]")
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

func TestRecordedExchanges(t *testing.T) {
	t.Parallel()
	b := book(t)
	for _, c := range []struct{ file, want, next string }{
		{"S01-S02.http", "exchange exchange-2019 CU9 15.2.858.5-15.2.858.15", PathAutodiscover},
		{"S03.http", "exchange exchange-2019 CU9 15.2.858.10-15.2.858.15", PathAutodiscover},
		{"S04.http", "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14", PathManifest},
		{"S04-fixed.http", "exchange exchange-2016 CU19 15.1.2176.9-15.1.2176.14", ""},
		{"S04-base.http", "exchange exchange-2016 CU19 15.1.2176.2-15.1.2176.14", ""},
		{"S05.http", "exchange exchange-2013 CU21 15.0.1395.4-15.0.1395.12", PathManifest},
		{"S06.http", "exchange exchange-2010 SP3 14.3.513.0", ""},
		{"S07.http", "exchange exchange-2010 SP3 14.3.496.0", ""},
		{"S08.http", "exchange exchange-2007 SP3 8.3.485.1", ""},
		{"S09.http", "exchange exchange-2016 CU23 15.1.2507.16", ""},
		{"S10.http", "exchange exchange-2019 CU15 15.2.1748.36", ""},
		{"S11.http", "exchange exchange-se RTM 15.2.2562.53", ""},
		{"S12.http", "exchange exchange-2019 CU14 15.2.1544.11 [behind-proxy hybrid]", ""},
		{"S13.http", "exchange exchange", PathLogon},
		{"S14.http", "exchange exchange [broken-owa]", PathAutodiscover},
		{"S15.http", "cloud", ""},
		{"S16.http", "exchange exchange-2019 CU15 15.2.1748.10-15.2.1748.57 [headers-rewritten]", PathManifest},
		{"S17.http", "not-exchange", PathAutodiscover},
		{"S19.http", "imitation exchange-2019 CU8 15.2.792.3-15.2.792.15 [header-too-old suspected-imitation]", ""},
	} {
		t.Run(c.file, func(t *testing.T) {
			r := b.Start(&exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1", Answers: recorded(t, c.file)})
			var o exposure.Observation
			r.Conclude(&o)
			got := said(&o)
			if c.file == "S16.http" { // the table grows at the top of CU15
				got = strings.Replace(got, o.Build.High.String(), "15.2.1748.57", 1)
			}
			if got != c.want {
				t.Errorf("said\n %s\nwant\n %s\nevidence %v", got, c.want, o.Evidence)
			}
			if next, _ := r.Next(Ask{Manifest: true}); next != c.next {
				t.Errorf("next %q, want %q", next, c.next)
			}
			checkReplay(t, b, o)
		})
	}
}

// checkReplay holds the stored record against the visit: the same book says the
// same of both.
func checkReplay(t testing.TB, b *Book, o exposure.Observation) {
	t.Helper()
	first, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var again exposure.Observation
	if err := json.Unmarshal(first, &again); err != nil {
		t.Fatal(err)
	}
	b.Replay(&again)
	again.Time = o.Time
	second, err := json.Marshal(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("replay differs:\n%s\n%s", first, second)
	}
}

// answer makes one answer for a rule.
func answer(path string, status int, body string, headers ...string) exposure.Answer {
	a := exposure.Answer{Method: "GET", Path: path, Status: status, Body: []byte(body)}
	for i := 0; i+1 < len(headers); i += 2 {
		a.Header = append(a.Header, exposure.Header{Name: headers[i], Value: headers[i+1]})
	}
	return a
}

func version(v string, more ...string) exposure.Answer {
	return answer(PathAutodiscover, 401, "", append([]string{"Server", "Microsoft-IIS/10.0", "X-OWA-Version", v, "X-FEServer", "EX01"}, more...)...)
}

func loginPage(v string, headers ...string) exposure.Answer {
	return answer(PathLogon, 200, `<!-- OwaPage = ASP.auth_logon_aspx --><link href="/owa/auth/`+v+`/themes/x.css">`, headers...)
}

func manifest(v string) exposure.Answer {
	return answer(PathManifest, 200, `<assemblyIdentity name="microsoft.exchange.ediscovery.exporttool.application" version="`+v+`" />`)
}

func TestRules(t *testing.T) {
	t.Parallel()
	b := book(t)
	for _, c := range []struct {
		name    string
		answers []exposure.Answer
		want    string
	}{
		{"a listed header is exact", []exposure.Answer{version("15.2.986.14")}, "exchange exchange-2019 CU11 15.2.986.14"},
		{"an unlisted header of 2013 and later is a lower bound", []exposure.Answer{version("15.2.1118.22")},
			"exchange exchange-2019 CU12 15.2.1118.25-15.2.1118.40"},
		{"an unlisted number of 2010 is rounded up to the installed build", []exposure.Answer{loginPageOf2010("14.3.439.0")}, "exchange exchange-2010 SP3 14.3.442.0"},
		{"the header's presence means July 2021 or later", []exposure.Answer{version("15.1.2242.11")}, "exchange exchange-2016 CU20 15.1.2242.12"},
		{"a number before July 2021 is a sign of forgery", []exposure.Answer{version("15.2.858.10")},
			"exchange exchange-2019 CU9 15.2.858.15-15.2.858.15 [header-too-old suspected-imitation]"},
		{"a line without the July update never wrote the header", []exposure.Answer{version("15.2.792.10")},
			"exchange exchange-2019 CU8 15.2.792.3-15.2.792.15 [header-too-old suspected-imitation]"},
		{"a value seen on an error page is the least possible build", []exposure.Answer{version("15.2.858.2")}, "exchange exchange-2019 CU9 15.2.858.5-15.2.858.15"},
		{"lists that disagree leave the builds unknown", []exposure.Answer{manifest("15.1.1415.9")}, "exchange exchange-2016 CU8 15.1.1415.7-15.1.1415.10"},
		{"the other list's number is the same build", []exposure.Answer{loginPageOf2010("14.3.339.0")}, "exchange exchange-2010 SP3 14.3.336.0"},
		{"a build above the table", []exposure.Answer{version("15.2.2562.9999")}, "exchange exchange-se RTM 15.2.2562.53-15.2.2562.9999 [newer-than-data]"},
		{"a line that the table does not know", []exposure.Answer{version("15.2.3000.1")}, "exchange exchange-se [unlisted-line]"},
		{"a line with one release is exact from its path", []exposure.Answer{loginPage("15.0.913")}, "exchange exchange-2013 CU5 15.0.913.22"},
		{"the manifest is a lower bound after rounding up", []exposure.Answer{manifest("15.1.2242.5")}, "exchange exchange-2016 CU20 15.1.2242.8-15.1.2242.12"},
		{"path and manifest are intersected", []exposure.Answer{loginPage("15.2.721"), manifest("15.2.721.13")}, "exchange exchange-2019 CU7 15.2.721.13"},
		{"four parts after auth are an imitation", []exposure.Answer{loginPage("15.2.858.5")}, "imitation exchange [suspected-imitation]"},
		{"a padded header is not believed", []exposure.Answer{version("15.02.2562.037")}, "exchange exchange [headers-rewritten]"},
		{"header and page of two lines contradict", []exposure.Answer{version("15.2.986.14"), loginPage("15.2.858")},
			"exchange exchange-2019 CU9 15.2.858.5-15.2.858.15 [contradicting-evidence]"},
		{"a manifest above an exact header leaves both possible", []exposure.Answer{version("15.2.986.14"), manifest("15.2.986.15")},
			"exchange exchange-2019 CU11 15.2.986.14-15.2.986.42 [contradicting-evidence]"},
		{"two front ends, the weaker counts", []exposure.Answer{version("15.2.986.14"),
			answer(PathEWS, 401, "", "X-OWA-Version", "15.2.986.42", "X-FEServer", "EX02")}, "exchange exchange-2019 CU11 15.2.986.14 [load-balanced]"},
		{"the health check names another front end", []exposure.Answer{version("15.2.986.14"), answer(PathHealth, 200, "200 OK<br/>EX07.alpha.local", "X-FEServer", "EX01")},
			"exchange exchange [load-balanced]"},
		{"2019 does not run on old web servers", []exposure.Answer{answer(PathAutodiscover, 401, "", "Server", "Microsoft-IIS/8.5", "X-OWA-Version", "15.2.986.14", "X-FEServer", "EX01")},
			"exchange exchange-2019 CU11 15.2.986.14 [impossible-pair suspected-imitation]"},
		{"the header is missing on a direct answer", []exposure.Answer{answer(PathAutodiscover, 401, "", "Server", "Microsoft-IIS/10.0", "X-FEServer", "EX01")},
			"exchange exchange [no-version-header]"},
		{"a gateway hides everything", []exposure.Answer{answer(PathOWA, 302, "", "Location", "/my.policy")}, "hidden [pre-authentication]"},
		{"a gateway before OWA only", []exposure.Answer{answer(PathOWA, 302, "", "Location", "/adfs/ls/?wa=x"), version("15.2.986.14")},
			"exchange exchange-2019 CU11 15.2.986.14 [pre-authentication]"},
		{"a redirect to the cloud", []exposure.Answer{answer(PathOWA, 302, "", "Location", "https://outlook.office365.com/owa/")}, "cloud"},
		{"a server in the house whose mailboxes moved", []exposure.Answer{version("15.2.986.14"), answer(PathOWA, 302, "", "Location", "https://outlook.office.com/owa/")},
			"exchange exchange-2019 CU11 15.2.986.14"},
		{"the cloud's own build", []exposure.Answer{version("15.20.8000.1")}, "cloud"},
		{"the copied profile of a control server", []exposure.Answer{version("15.1.1240.20", "X-CalculatedBETarget", "AB1.namprd01.PROD.OUTLOOK.COM")},
			"imitation exchange-2016 [cloud-profile-copied unlisted-line]"},
		{"a copied page on another runtime", []exposure.Answer{loginPage("15.2.986", "X-Powered-By", "PHP/8.1")}, "imitation exchange-2019 CU11 15.2.986.5-15.2.986.42 [suspected-imitation]"},
		{"the mitigation's header on the page", []exposure.Answer{loginPage("15.2.1748", "Content-Security-Policy", "default-src 'self'"), manifest("15.2.1748.37")}, "csp"},
		{"login page behind a wall", []exposure.Answer{answer(PathOWA, 302, "", "Location", "/owa/auth/logon.aspx?url=x&reason=0"), answer(PathLogon, 403, "")}, "hidden"},
		{"somebody else's autodiscover", []exposure.Answer{answer(PathAutodiscover, 401, "", "Server", "nginx", "WWW-Authenticate", `Basic realm="Zimbra"`), answer(PathLogon, 404, "")}, "not-exchange"},
		{"controls and markup in every field", []exposure.Answer{answer(PathAutodiscover, 401, "", "X-OWA-Version", "\x1b[31m<b>1.2.3.4", "X-FEServer", "<script>\x00")}, "not-exchange"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := b.Identify(&exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1", Answers: c.answers})
			got := said(&o)
			if c.want == "csp" {
				if !o.Has(exposure.OWAContentPolicy) {
					t.Errorf("said %s, want the flag %s", got, exposure.OWAContentPolicy)
				}
			} else if got != c.want {
				t.Errorf("said\n %s\nwant\n %s\nevidence %v", got, c.want, o.Evidence)
			}
			checkReplay(t, b, o)
		})
	}
}

func loginPageOf2010(v string) exposure.Answer {
	return answer(PathLogon, 200, `<link href="/owa/`+v+`/themes/x.css">`, "X-OWA-Version", v, "Server", "Microsoft-IIS/7.5", "X-AspNet-Version", "2.0.50727")
}
