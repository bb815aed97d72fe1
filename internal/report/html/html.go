// Package html writes a report as one page for people: everything in one file, no
// script, nothing fetched, readable on paper, on a phone, in the dark and by a
// screen reader. Input: a run, fed through report.Handler. Output: HTML 5 in UTF-8;
// times are UTC to the second, sizes in units of 1000.
//
// Text from evidence is made visible (report.Visible), links and public addresses
// are defanged (report.Defang), and html/template escapes the rest. A content
// security policy allows the page's own style sheet, by its hash, and nothing else.
package html

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"postern"
	"postern/internal/report"
)

//go:embed page.html
var pageSource string

//go:embed style.css
var styleSource string

const (
	perRule     = 10  // findings shown of each rule
	perKind     = 50  // problems shown of each kind
	perPage     = 200 // inputs and hashes named
	maxSentence = 4000
)

// page is a run as the template sees it. The worst host comes first, so nothing
// can be written before the end.
type page struct {
	report.Words
	w   io.Writer
	Run *report.Run

	digests []*report.Digest
	Trouble report.Trouble
	end     *report.End

	Hosts      []*host
	Hashes     []report.Input
	MoreHashes int
	keep       []string // builds, which are no addresses
}

// New makes a handler that writes the page when the run ends. Until then it
// keeps of each host what it will show.
func New(w io.Writer, _ report.Options, loc report.Localizer) report.Handler {
	return &handler{page{Words: report.Words{Localizer: loc}, w: w}}
}

// handler keeps the methods of report.Handler out of the template's reach.
type handler struct{ page page }

func (h *handler) Start(r *report.Run) error {
	h.page.Run = r
	return nil
}

func (h *handler) Problem(p *report.Problem) error {
	h.page.Trouble.Add(p, perKind)
	return nil
}

func (h *handler) Host(host *report.Host) error {
	h.page.digests = append(h.page.digests, report.NewDigest(h.page.Run, host, perRule))
	return nil
}

func (h *handler) End(e *report.End) error {
	p := &h.page
	p.end = e
	slices.SortStableFunc(p.digests, report.Worse)
	for i, d := range p.digests {
		p.Hosts = append(p.Hosts, p.newHost(i+1, d))
		p.keep = append(p.keep, d.Build)
		p.MoreHashes += d.MoreInputs
		for _, in := range d.Inputs {
			if len(p.Hashes) < perPage {
				p.Hashes = append(p.Hashes, in)
			} else {
				p.MoreHashes++
			}
		}
	}
	t, err := template.New("page").Funcs(template.FuncMap{"say": p.say, "address": p.address}).Parse(pageSource)
	if err != nil {
		return err
	}
	return t.Execute(p.w, p)
}

// say makes a sentence or a piece of evidence ready for a reader.
func (p *page) say(s string) string {
	return report.Defang(report.Visible(report.Cut(s, maxSentence)), p.keep...)
}

// address is say for what is an address even if it does not look like one.
func (p *page) address(s string) string {
	return report.DefangHost(report.Visible(report.Cut(s, maxSentence)))
}

// Style is the style sheet, which Policy names by its hash.
func (p *page) Style() template.HTML { return template.HTML("<style>" + styleSource + "</style>") }

// Policy lets the browser do nothing but show the page.
func (p *page) Policy() template.HTML {
	sum := sha256.Sum256([]byte(styleSource))
	return template.HTML(fmt.Sprintf(
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'">`,
		base64.StdEncoding.EncodeToString(sum[:])))
}

// Title names the page in a browser's tab.
func (p *page) Title() string {
	if len(p.Hosts) == 1 {
		return p.T("report.title-host", "host", p.Hosts[0].Name())
	}
	return p.T("report.title")
}

// Many says whether there is more than one host.
func (p *page) Many() bool { return len(p.Hosts) > 1 }

// Status says whether all was looked at.
func (p *page) Status() string { return p.Of("report.status.", string(p.end.Status)) }

// StatusClass is the status as a class of the style sheet.
func (p *page) StatusClass() string {
	switch p.end.Status {
	case postern.Complete, postern.PartialStatus, postern.Failed:
		return string(p.end.Status)
	}
	return ""
}

// NoTrouble is said where no problem is.
func (p *page) NoTrouble() string {
	if p.end.Status != postern.Complete {
		return p.T("report.no-problems-but-partial")
	}
	return p.T("report.no-problems")
}

// Kind says a kind of problem.
func (p *page) Kind(what postern.ProblemKind) string { return p.Of("report.problem.", string(what)) }

// UnshownKind counts the problems of a kind that are not on the page.
func (p *page) UnshownKind(k report.Kind) int { return int(k.Count) - len(k.Shown) }

// Unshown counts the findings of a group that are not on the page.
func (p *page) Unshown(g report.Group) int { return int(g.Count) - len(g.Shown) }

// More says that there are others, and where.
func (p *page) More(n int) string { return p.T("report.more", "count", p.Number(int64(n))) }

// Volume says how much was read and how long it took.
func (p *page) Volume() string {
	s := p.end.Stats
	return p.T("report.figures-line", "files", p.Number(s.Files), "bytes", p.Bytes(s.Bytes),
		"records", p.Number(s.Records), "elapsed", p.Seconds(s.ElapsedSeconds))
}

// Campaigns names the campaigns as packs and in words.
func (p *page) Campaigns() []string {
	var names []string
	for _, c := range p.Run.Campaigns {
		names = append(names, fmt.Sprintf("%s (%s@%d)", c.Title, c.Name, c.Version))
	}
	if names == nil {
		names = p.Run.Tool.Campaigns
	}
	return names
}

// Inputs names what was read.
func (p *page) Inputs() []string { return p.Run.Inputs[:min(len(p.Run.Inputs), perPage)] }

// MoreInputs counts the inputs that are not named.
func (p *page) MoreInputs() int { return len(p.Run.Inputs) - len(p.Inputs()) }

// Sure says a confidence.
func (p *page) Sure(c postern.Confidence) string { return p.T("confidence." + c.String()) }

// Sentences parts an explanation.
func (p *page) Sentences(s string) []string {
	if s == "" {
		return nil
	}
	return strings.SplitN(s, "\n", 10)
}

// Place says where in a file a piece of evidence is.
func (p *page) Place(e report.Evidence) string {
	switch {
	case e.Line > 0:
		return p.T("report.line", "line", e.Line) + ", " + p.T("report.offset", "offset", e.Offset)
	case e.Record > 0:
		return p.T("report.record", "record", e.Record) + ", " + p.T("report.offset", "offset", e.Offset)
	}
	return ""
}

// pair is a name and a value.
type pair struct{ Name, Value string }

// Named gives the entities of a finding in the order that a reader wants them.
func (p *page) Named(e report.Entities) []pair {
	var pairs []pair
	for _, name := range [...]string{
		postern.ClientIP, postern.Account, postern.URL, postern.File, postern.FileSHA256,
		postern.ShellParameter, postern.HTTPStatus, postern.UserAgent,
	} {
		value := e[name]
		if value == "" {
			continue
		}
		if name == postern.ClientIP {
			value = p.address(value)
		} else {
			value = p.say(value)
		}
		pairs = append(pairs, pair{p.T("report.entity." + name), value}) // catalogue: report.entity.*
	}
	return pairs
}
