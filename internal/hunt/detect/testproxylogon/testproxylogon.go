// Package testproxylogon turns the reports of Microsoft's Test-ProxyLogon.ps1 into
// findings. Input: one report file. Output: a finding for each row, with the row as
// evidence.
//
// A report is second-hand: somebody's script saw a row in a log that may not be here. A
// finding says what the row itself shows, by the rungs that the rules for the log use,
// with medium confidence at most; that a log was worth a look, which is all that two of
// the reports say, is level 1. Where the log is here too, its own rows say more, and the
// identifier of the request joins both.
package testproxylogon

import (
	"path"
	"strings"
	"time"

	"postern"
	"postern/internal/hunt/detect"
	report "postern/internal/hunt/parse/testproxylogon"
)

// Rule IDs of the findings.
const (
	ruleProxy   = "test-proxylogon/proxy"
	ruleEvent   = "test-proxylogon/event"
	ruleOAB     = "test-proxylogon/oab-log"
	ruleECP     = "test-proxylogon/ecp-log"
	ruleDump    = "test-proxylogon/dump"
	ruleArchive = "test-proxylogon/archive"
)

// campaign is the one that the script is about.
const campaign = "proxylogon"

// Tags that the last stage knows.
const (
	tagNeedsFlaw = "ssrf"
	tagReport    = "second-hand"
	tagFileTime  = "file-time"
)

// maxValue is kept of one value: findings stay in memory until their host is done.
const maxValue = 2048

// Rules lists what is looked for.
func Rules() []postern.Rule {
	return []postern.Rule{
		{ID: ruleProxy, Campaign: campaign, Level: postern.Exploited, Confidence: postern.Medium, CVE: []string{"CVE-2021-26855"}, Tags: []string{tagNeedsFlaw, tagReport},
			Title: postern.Say("testproxylogon.proxy.title"), Means: postern.Say("testproxylogon.proxy.means")},
		{ID: ruleEvent, Campaign: campaign, Level: postern.Exploited, Confidence: postern.Low, CVE: []string{"CVE-2021-26857"}, Tags: []string{tagReport},
			Title: postern.Say("testproxylogon.event.title"), Means: postern.Say("testproxylogon.event.means")},
		{ID: ruleOAB, Campaign: campaign, Level: postern.Probed, Confidence: postern.Low, CVE: []string{"CVE-2021-26858"}, Tags: []string{tagReport},
			Title: postern.Say("testproxylogon.oab.title"), Means: postern.Say("testproxylogon.oab.means")},
		{ID: ruleECP, Level: postern.Probed, Confidence: postern.Low, CVE: []string{"CVE-2021-27065"}, Tags: []string{tagReport},
			Title: postern.Say("testproxylogon.ecp.title"), Means: postern.Say("testproxylogon.ecp.means")},
		{ID: ruleDump, Level: postern.Probed, Confidence: postern.Medium, Tags: []string{tagReport},
			Title: postern.Say("testproxylogon.dump.title"), Means: postern.Say("testproxylogon.dump.means")},
		{ID: ruleArchive, Level: postern.NotSeen, Confidence: postern.Low, Tags: []string{tagReport},
			Title: postern.Say("testproxylogon.archive.title"), Means: postern.Say("testproxylogon.archive.means")},
	}
}

// Detector judges reports. It keeps nothing and may be used by several goroutines.
type Detector struct{ rules map[string]postern.Rule }

// New makes a detector.
func New() *Detector {
	d := &Detector{rules: make(map[string]postern.Rule)}
	for _, r := range Rules() {
		d.rules[r.ID] = r
	}
	return d
}

// Wants takes the reports by their names, and any small CSV outside of the folders of a
// server, which may be one under another name.
func (d *Detector) Wants(f *detect.File) bool {
	if _, _, ok := report.KindOfName(f.Path); ok {
		return true
	}
	return path.Ext(f.Server) == ".csv" && f.Size <= report.MaxBytes && strings.Count(f.Server, "/") <= 3
}

// Look reads one report.
func (d *Detector) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	rep, err := report.Read(r, f.Path)
	if rep == nil {
		return nil, nil, err
	}
	var findings []postern.Finding
	for i := range rep.Rows {
		if found, ok := d.row(rep.Kind, &rep.Rows[i], f.Path); ok {
			findings = append(findings, found)
		}
	}
	return findings, rep.Problems, err
}

func (d *Detector) row(kind report.Kind, row *report.Row, p string) (postern.Finding, bool) {
	get := func(name string) string { v := row.Fields[name]; return strings.Clone(v[:min(len(v), maxValue)]) }
	var id string
	switch kind {
	case report.ProxyHits:
		id = ruleProxy
	case report.Events:
		id = ruleEvent
	case report.OABLogs:
		id = ruleOAB
	case report.ECPLogs:
		id = ruleECP
	case report.Files:
		if id = ruleArchive; strings.EqualFold(get("type"), "LsassDump") {
			id = ruleDump
		}
	default:
		return postern.Finding{}, false
	}
	rule := d.rules[id]
	at := postern.Evidence{Path: p, Line: row.Line, Offset: row.Offset, Excerpt: row.Raw[:min(len(row.Raw), maxValue)]}
	f := postern.Finding{ID: postern.FindingID(id, at), Rule: id, Campaign: rule.Campaign, Level: rule.Level, Confidence: rule.Confidence, CVE: rule.CVE,
		Title: rule.Title, Explain: []postern.Text{rule.Means}, Evidence: []postern.Evidence{at}, Tags: append([]string(nil), rule.Tags...)}
	switch kind {
	case report.ProxyHits:
		proxy(&f, get)
	case report.Events:
		f.Time, _ = when(get("timecreated"))
	case report.OABLogs, report.ECPLogs:
		f.Set(postern.File, get("path"))
	case report.Files:
		f.Set(postern.File, get("path"))
		if f.Time, _ = when(get("lastwrite")); !f.Time.IsZero() {
			f.Tags = append(f.Tags, tagFileTime)
		}
	}
	return f, true
}

// proxy judges a row of the front end's log by its target and its status.
func proxy(f *postern.Finding, get func(string) string) {
	f.Time, _ = when(get("datetime"))
	f.Set(postern.ClientIP, get("clientipaddress"))
	f.Set(postern.UserAgent, get("useragent"))
	f.Set(postern.URL, get("urlstem"))
	f.Set(postern.RequestID, get("requestid"))
	f.Set(postern.HTTPStatus, get("httpstatus"))
	anchor := strings.ToLower(get("anchormailbox"))
	_, target, forged := strings.Cut(strings.TrimPrefix(anchor, "serverinfo~"), "/")
	forged = forged && strings.HasPrefix(anchor, "serverinfo~")
	status := strings.TrimSpace(get("httpstatus"))
	done := status == "200" || status == "241"
	switch {
	case !forged:
		f.Lower(postern.NotSeen, postern.Say("testproxylogon.why.not-forged"))
		f.Confidence = postern.Low
	case strings.HasPrefix(anchor, "serverinfo~localhost"), strings.HasPrefix(target, "autodiscover/"):
		f.Lower(postern.Probed, postern.Say("testproxylogon.why.test"))
	case !done:
		f.Lower(postern.Probed, postern.Say("testproxylogon.why.refused", "status", status))
	case strings.Contains(target, "ddiservice.svc/setobject") && strings.Contains(target, "schema=reset"):
		f.Level = postern.Implanted
		f.Explain = append(f.Explain, postern.Say("testproxylogon.why.reset"))
	case strings.Contains(target, "ddiservice.svc/"):
		f.Level = postern.Privileged
		f.Explain = append(f.Explain, postern.Say("testproxylogon.why.ddi"))
	}
}

// when reads a time as the script's columns have it: that of the log, or one that
// PowerShell put into words in the language of the machine, which is only read in the
// forms that cannot be mistaken.
func when(s string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(form, strings.TrimSpace(s)); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
