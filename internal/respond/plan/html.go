package plan

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"postern"
)

//go:embed page.html
var pageSource string

//go:embed style.css
var styleSource string

// page is plans as the template sees them.
type page struct {
	words
	*Document
}

// WriteHTML writes plans as one page to tick off: everything in one file, no script,
// nothing fetched, readable on paper and in the dark. A content security policy allows
// its own style sheet, by its hash, and nothing else.
func WriteHTML(w io.Writer, d *Document, loc postern.Localizer, safe Safe) error {
	var keep []string
	for i := range d.Hosts {
		keep = append(keep, d.Hosts[i].keep()...)
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"say":     func(s string) string { return safe.Defang(safe.Visible(s), keep...) },
		"visible": safe.Visible,
	}).Parse(pageSource)
	if err != nil {
		return err
	}
	return t.Execute(w, page{words{loc}, d})
}

// Style is the style sheet, which Policy names by its hash.
func (page) Style() template.HTML { return template.HTML("<style>" + styleSource + "</style>") }

// Policy lets the browser do nothing but show the page.
func (page) Policy() template.HTML {
	sum := sha256.Sum256([]byte(styleSource))
	return template.HTML(fmt.Sprintf(
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'">`,
		base64.StdEncoding.EncodeToString(sum[:])))
}

// Title names the page in a browser's tab.
func (p page) Title() string {
	if len(p.Hosts) == 1 {
		return p.T("respond.plan.title", "host", p.Hosts[0].Host)
	}
	return p.T("respond.plan.title-many")
}

// Head is what is known of a host.
func (p page) Head(h Host) []string { return p.head(&h)[1:] }

// Tone colours the verdict.
func (p page) Tone(h Host) string {
	switch {
	case h.Verdict.Level >= postern.Exploited:
		return "bad"
	case !h.Verdict.Conclusive:
		return "unsure"
	}
	return "good"
}

// Effect is the heading over what users notice; in text the sentence follows it.
func (p page) Effect() string { return strings.TrimSuffix(p.T("respond.plan.effect"), ":") }

// Shell names a shell for people.
func (p page) Shell(s string) string { return p.shell(s) }

// Parts gives the steps by their stage.
func (p page) Parts(h Host) [][]HostStep {
	var all [][]HostStep
	for i, s := range h.Steps {
		if i == 0 || s.Stage != h.Steps[i-1].Stage {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], s)
	}
	return all
}

// Level is a number in the page.
func (p page) Level(h Host) int { return int(h.Verdict.Level) }

// Do is a list of actions and what the template needs beside them.
type Do struct {
	Page    page
	Host    int
	ID      string
	Heading string
	Actions []HostAction
	Ticks   bool
}

// Do makes one.
func (p page) Do(host int, step HostStep, part string) Do {
	d := Do{Page: p, Host: host, ID: fmt.Sprintf("h%d-s%d-%s", host, step.Number, part)}
	switch part {
	case "how":
		d.Heading, d.Actions, d.Ticks = p.T("respond.plan.how"), step.How, true
	case "verify":
		d.Heading, d.Actions, d.Ticks = p.T("respond.plan.verify"), step.Verify, true
	default:
		d.Heading, d.Actions = p.T("respond.plan.undo"), step.Undo
	}
	return d
}
