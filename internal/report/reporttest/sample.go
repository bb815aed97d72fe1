// Package reporttest holds one run that all renderers are tested with: a server
// with a back door and two stories, one that is clean as far as can be known, one
// of which too little is known, problems of every kind, and text that attacks
// whoever shows it in every field that evidence can fill.
package reporttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/catalogue"
	"postern/internal/report"
)

// Catalogue gives a language with the messages of the sample.
func Catalogue(t testing.TB, lang string) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Load(lang)
	if err != nil {
		t.Fatal(err)
	}
	return c.With(messages[lang])
}

// Play feeds the sample to a handler.
func Play(t testing.TB, h report.Handler, loc report.Localizer) {
	t.Helper()
	f := report.NewFeed(h, loc)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(f.Start("0.1.0", utc("2021-04-02T03:12:00Z"), []string{"evidence/EX01.zip", "evidence/EX02", "evidence/EX03"},
		[]postern.Campaign{Campaign()}))
	problems := Problems()
	for _, p := range problems[:2] {
		check(f.Problem(p))
	}
	for i, h := range Hosts() {
		check(f.Host(h))
		check(f.Problem(problems[2+i]))
	}
	for _, p := range problems[5:] {
		check(f.Problem(p))
	}
	check(f.End(postern.PartialStatus, postern.Stats{Files: 1843, Bytes: 3_482_000_111, Records: 9_120_334, ElapsedSeconds: 41.7}))
}

func utc(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// Hostile is what an intruder may write into a request or a file name: a command
// to the terminal, markup, a formula, a change of direction, a byte that is not
// UTF-8, an invisible space, C1, NUL and line ends. It does nothing anywhere.
var Hostile = "=cmd|x\x1b[2J\x1b]0;owned\x07" + "<scr" + "ipt>x</scr" + "ipt>" +
	"\u202egpj.exe\u2066\xff\u200b\u009b31m\x00\r\n+1;@SUM(1)\t\"'><img src=x>" +
	" http://evil.example/a 203.0.113.66"

// Marker is a piece of Hostile that shows that it was not left out.
const Marker = "gpj.exe"

// Campaign is the only one of the sample.
func Campaign() postern.Campaign {
	c := postern.Campaign{
		Name: "proxylogon", Version: 1, Title: postern.Say("sample.campaign"), Product: "exchange",
		CVEs: []string{"CVE-2021-26855", "CVE-2021-26857", "CVE-2021-26858", "CVE-2021-27065"},
		Window: postern.Window{
			From: utc("2021-01-03T00:00:00Z"), To: utc("2021-04-01T00:00:00Z"),
			FromReason: postern.Say("sample.window-from"), ToReason: postern.Say("sample.window-to"),
		},
		Sources: []postern.Source{
			{Name: "httpproxy", Required: true, LifetimeDays: 30, Collect: postern.Say("sample.collect", "log", "HttpProxy")},
			{Name: "iis", Required: true, Collect: postern.Say("sample.collect", "log", "IIS")},
			{Name: "ecp-server", LifetimeDays: 30, Collect: postern.Say("sample.collect", "log", "ECP")},
			{Name: "oab-generator", LifetimeDays: 30, Collect: postern.Say("sample.collect", "log", "OABGenerator")},
		},
	}
	for i := range c.Levels {
		c.Levels[i] = postern.Say(fmt.Sprintf("sample.level-%d", i))
	}
	return c
}

// Hosts are the three servers, not in the order of their verdicts.
func Hosts() []postern.Host { return []postern.Host{clean(), implanted(), unknown()} }

const (
	proxyLog = "Logging/HttpProxy/Ecp/HttpProxy_2021030306-1.LOG"
	ecpLog   = "Logging/ECP/Server/ECPServer20210303-1.LOG"
	iisLog   = "inetpub/logs/LogFiles/W3SVC1/u_ex210303.log"
)

func sum(s string) string { return strings.Repeat(s, 64/len(s)) }

func evidence(path string, line int64, excerpt string) []postern.Evidence {
	return []postern.Evidence{{
		Path: "EX01.zip!/" + path, Line: line, Offset: line * 288, SHA256: sum("a1b2c3d4"), Excerpt: excerpt,
	}}
}

func implanted() postern.Host {
	var findings []postern.Finding
	add := func(f postern.Finding) string {
		f.ID = postern.FindingID(f.Rule, f.Evidence[0])
		f.Campaign = "proxylogon"
		findings = append(findings, f)
		return f.ID
	}
	var first, second []string
	for i := range 40 {
		id := add(postern.Finding{
			Rule: "proxylogon/probe", Level: postern.Probed, Title: postern.Say("sample.probe"),
			Time: utc("2021-03-02T22:10:00Z").Add(time.Duration(i) * 7 * time.Minute), CVE: []string{"CVE-2021-26855"},
			Confidence: postern.High, Explain: []postern.Text{postern.Say("sample.probe-explain", "status", "401")},
			Evidence: evidence(proxyLog, int64(i+3), "2021-03-02T22:10:00.000Z,,15,1,2176,2,,Ecp,198.51.100.23,/ecp/y.js,…"),
			Entities: map[string]string{postern.ClientIP: "198.51.100.23", postern.UserAgent: "python-requests/2.25.1", postern.HTTPStatus: "401"},
		})
		second = append(second, id)
	}
	first = append(first, add(postern.Finding{
		Rule: "proxylogon/ssrf-ecp", Level: postern.Exploited, Title: postern.Say("sample.ssrf"),
		Time: utc("2021-03-03T06:49:43.699Z"), CVE: []string{"CVE-2021-26855"}, Confidence: postern.High,
		Explain:  []postern.Text{postern.Say("sample.ssrf-explain", "status", "241"), postern.Verbatim("No downgrade applies.")},
		Evidence: evidence(proxyLog, 412, "2021-03-03T06:49:43.699Z,…,Ecp,203.0.113.5,/ecp/y.js,…,ServerInfo~EX01.corp.example:444/ecp/…,241"),
		Entities: map[string]string{
			postern.ClientIP: "203.0.113.5", postern.UserAgent: "ExchangeServicesClient/0.0.0.0", postern.URL: "https://203.0.113.5/ecp/y.js",
			postern.HTTPStatus: "241",
		},
		Tags: []string{"attack.t1190"},
	}), add(postern.Finding{
		Rule: "proxylogon/ecp-set-oab", Level: postern.Privileged, Title: postern.Say("sample.oab"),
		Time: utc("2021-03-03T06:50:02.120Z"), CVE: []string{"CVE-2021-27065"}, Confidence: postern.High,
		Explain:  []postern.Text{postern.Say("sample.oab-explain")},
		Evidence: evidence(ecpLog, 77, "2021-03-03T06:50:02.120Z,EX01,ECP.Request,'S:CMD=Set-OabVirtualDirectory…'"),
		Entities: map[string]string{postern.Account: `CORP\EX01$`},
	}), add(postern.Finding{
		Rule: "proxylogon/oab-reset", Level: postern.Implanted, Title: postern.Say("sample.shell"),
		Time: utc("2021-03-03T06:50:31.004Z"), CVE: []string{"CVE-2021-27065"}, Confidence: postern.High,
		Explain:  []postern.Text{postern.Say("sample.shell-explain")},
		Evidence: append(evidence(ecpLog, 79, "2021-03-03T06:50:31.004Z,EX01,ECP.Request,…"), evidence(iisLog, 20411, "")...),
		Entities: map[string]string{postern.File: `C:\inetpub\wwwroot\aspnet_client\discover.aspx`, postern.FileSHA256: sum("0f1e2d3c")},
	}))
	second = append(second, add(postern.Finding{
		Rule: "proxylogon/hostile", Level: postern.Exploited, Title: postern.Verbatim("Hostile " + Hostile),
		Time: utc("2021-03-11T19:05:10Z"), Confidence: postern.Medium, CVE: []string{Hostile},
		Explain: []postern.Text{postern.Say("sample.hostile", "text", Hostile)},
		Evidence: []postern.Evidence{{
			Path: "EX01.zip!/inetpub/" + Hostile, Record: 9, SHA256: sum("00ff"), Excerpt: Hostile,
		}},
		Entities: map[string]string{
			postern.ClientIP: Hostile, postern.UserAgent: Hostile, postern.URL: Hostile, postern.File: Hostile,
			postern.FileSHA256: Hostile, postern.Account: Hostile, postern.ShellParameter: Hostile, postern.HTTPStatus: Hostile,
			Hostile: Hostile,
		},
		Tags: []string{Hostile},
	}))
	add(postern.Finding{
		Rule: "proxylogon/stock-file", Level: postern.NotSeen, Title: postern.Say("sample.context"), Confidence: postern.Low,
		Evidence: []postern.Evidence{{Path: "EX01.zip!/inetpub/wwwroot/aspnet_client/日本語のとても長い名前のファイル/ünïcødé.aspx", SHA256: sum("77")}},
	})
	coverage := []postern.Coverage{
		{Source: "httpproxy", Status: postern.Partial, From: utc("2021-02-27T00:00:00Z"), To: utc("2021-04-01T00:00:00Z"), Records: 4_812_331,
			Gaps: []postern.Span{{From: utc("2021-01-03T00:00:00Z"), To: utc("2021-02-27T00:00:00Z")}, {From: utc("2021-03-14T00:00:00Z"), To: utc("2021-03-15T12:00:00Z")}}},
		{Source: "iis", Status: postern.Covered, From: utc("2020-11-01T00:00:00Z"), To: utc("2021-04-01T00:00:00Z"), Records: 2_120_009},
		{Source: "ecp-server", Status: postern.Partial, From: utc("2021-03-03T00:00:00Z"), To: utc("2021-04-01T00:00:00Z"), Records: 8_112,
			Gaps: []postern.Span{{From: utc("2021-01-03T00:00:00Z"), To: utc("2021-03-03T00:00:00Z")}}},
		{Source: "oab-generator", Status: postern.Absent},
		{Source: "um", Status: postern.NotApplicable},
	}
	verdict := postern.Verdict{
		Level: postern.Implanted, Title: postern.Say("sample.level-4"), Confidence: postern.High, Conclusive: true,
		Summary: postern.Say("sample.summary-implanted", "file", `C:\inetpub\wwwroot\aspnet_client\discover.aspx`),
		Next:    []postern.Text{postern.Say("sample.next-isolate"), postern.Say("sample.next-preserve"), postern.Say("sample.next-clean"), postern.Say("sample.next-tell")},
	}
	return postern.Host{
		Host: "EX01", Build: postern.Build{15, 1, 225, 42},
		Patched:   postern.Fact{State: postern.No, Why: postern.Say("sample.not-patched", "build", "15.1.225.42")},
		Mitigated: postern.Fact{State: postern.Ineffective, Since: utc("2021-03-12T08:00:00Z"), Why: postern.Say("sample.rewrite")},
		Verdict:   verdict,
		Campaigns: []postern.CampaignVerdict{{Name: "proxylogon", Verdict: verdict, Coverage: coverage}},
		Findings:  findings,
		Incidents: []postern.Incident{
			{ID: "i-0001", Level: postern.Implanted, First: utc("2021-03-03T06:49:43.699Z"), Last: utc("2021-03-03T06:50:31.004Z"), Findings: first,
				Story: []postern.Text{
					postern.Say("sample.story-in", "time", "06:49:43", "address", "203.0.113.5"),
					postern.Say("sample.story-oab", "time", "06:50:02"),
					postern.Say("sample.story-shell", "time", "06:50:31"),
				}},
			{ID: "i-0002", Level: postern.Exploited, First: utc("2021-03-02T22:10:00Z"), Last: utc("2021-03-11T19:05:10Z"), Findings: second,
				Story: []postern.Text{postern.Say("sample.story-probes", "count", len(second)-1, "address", "198.51.100.23"), postern.Say("sample.hostile", "text", Hostile)}},
		},
		Coverage: coverage,
	}
}

func clean() postern.Host {
	window := Campaign().Window
	coverage := []postern.Coverage{
		{Source: "httpproxy", Status: postern.Covered, From: window.From, To: window.To, Records: 1_200_000},
		{Source: "iis", Status: postern.Covered, From: window.From, To: window.To, Records: 900_001},
		{Source: "ecp-server", Status: postern.Covered, From: window.From, To: window.To, Records: 1},
	}
	verdict := postern.Verdict{
		Level: postern.NotSeen, Title: postern.Say("sample.level-0"), Confidence: postern.High, Conclusive: true,
		Summary: postern.Say("sample.summary-clean"), Next: []postern.Text{postern.Say("sample.next-keep")},
	}
	return postern.Host{
		Host: "EX02", Build: postern.Build{15, 2, 858, 5},
		Patched:   postern.Fact{State: postern.Yes, Since: utc("2021-03-03T02:10:00Z"), Why: postern.Say("sample.patched")},
		Mitigated: postern.Fact{State: postern.Unknown},
		Verdict:   verdict,
		Campaigns: []postern.CampaignVerdict{{Name: "proxylogon", Verdict: verdict, Coverage: coverage}},
		Coverage:  coverage,
	}
}

func unknown() postern.Host {
	coverage := []postern.Coverage{
		{Source: "httpproxy", Status: postern.Partial, From: utc("2021-03-25T04:00:00Z"), To: utc("2021-04-01T00:00:00Z"), Records: 310_227,
			Gaps: []postern.Span{{From: utc("2021-01-03T00:00:00Z"), To: utc("2021-03-25T04:00:00Z")}}},
		{Source: "iis", Status: postern.Absent},
	}
	verdict := postern.Verdict{
		Level: postern.NotSeen, Title: postern.Say("sample.level-0"), Confidence: postern.Low,
		Summary: postern.Say("sample.summary-unknown"),
		Next:    []postern.Text{postern.Say("sample.collect", "log", "IIS"), postern.Say("sample.collect", "log", "HttpProxy")},
	}
	return postern.Host{
		Host: "EX03" + Hostile,
		Patched: postern.Fact{
			State: postern.Yes, Since: utc("2021-03-24T21:00:00Z"), Why: postern.Say("sample.patched"),
		},
		Verdict:   verdict,
		Campaigns: []postern.CampaignVerdict{{Name: "proxylogon", Verdict: verdict, Coverage: coverage}},
		Coverage:  coverage,
	}
}

// Problems has one of every kind, more of one kind than a report names, and a hostile one.
func Problems() []postern.Problem {
	all := []postern.Problem{
		{Path: "EX01.zip!/" + iisLog, What: postern.Truncated, Detail: postern.Say("sample.truncated")},
		{Path: "EX02/Logging/Ews/Ews_2021030300-1.LOG", What: postern.Unreadable, Detail: postern.Say("sample.denied")},
		{Path: "EX02/Security.evtx", What: postern.Unsupported, Detail: postern.Say("sample.unsupported")},
		{Path: "EX03/bomb.zip", What: postern.Limit, Detail: postern.Say("sample.limit")},
		{Path: "EX03/" + Hostile, What: postern.Malformed, Detail: postern.Say("sample.hostile", "text", Hostile)},
		{Path: "EX03/Logging/Mapi/x.LOG", What: postern.Encoding, Detail: postern.Say("sample.encoding")},
	}
	for i := range 13 {
		all = append(all, postern.Problem{
			Path: fmt.Sprintf("EX03/locked/%02d.LOG", i), What: postern.Unreadable, Detail: postern.Say("sample.denied"),
		})
	}
	return all
}
