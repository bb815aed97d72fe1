// Package page looks for requests to pages that are known from elsewhere to be
// back doors: a file that was found, a path that a log says was written. Input:
// findings that name a page, then rows of web server logs. Output: a finding for
// each request that the rules of a pack, which know only the usual folders, do
// not see.
package page

import (
	"strings"

	"postern"
)

// Rule IDs of the findings.
const (
	Used   = "page/used"
	Exists = "page/exists"
	Asked  = "page/asked"
)

// maxValue is kept of one value: findings stay in memory until their host is done.
const maxValue = 2048

// overwritten is the rule of a stock page that holds a back door. Everybody who signs
// in asks for it: requests to it say nothing about the intruder.
const overwritten = "files/overwritten-stock"

// maxPages bounds the pages of one host; more back doors than that are one story.
const maxPages = 1000

// Detector knows the pages of one host. Learn ends before Look begins.
type Detector struct {
	pages map[string]postern.Finding // last two parts of the path → what named it
	names []string                   // their base names, for the gate
}

// New gives a detector that knows no page.
func New() *Detector { return &Detector{pages: make(map[string]postern.Finding)} }

// Learn takes pages out of findings of level 4 and above.
func (d *Detector) Learn(findings []postern.Finding) {
	for _, f := range findings {
		if f.Level < postern.Implanted || len(d.pages) >= maxPages || f.Rule == overwritten {
			continue
		}
		for _, name := range []string{f.Entities[postern.URL], f.Entities[postern.File]} {
			k := key(name)
			if !strings.Contains(k, "/") || !script(k) {
				continue
			}
			if _, known := d.pages[k]; !known {
				d.pages[k] = f
				d.names = append(d.names, k[strings.LastIndexByte(k, '/')+1:])
			}
		}
	}
}

// Names are the base names of the pages, lower case.
func (d *Detector) Names() []string { return d.names }

func script(k string) bool {
	for _, ext := range []string{".aspx", ".ashx", ".asmx", ".asp", ".asax", ".soap", ".cshtml", ".php", ".jsp"} {
		if strings.HasSuffix(k, ext) {
			return true
		}
	}
	return false
}

// key gives the form in which the address of a page and its file meet: folder and
// name, lower case, with '/', and with the folder above where the folder is "auth",
// which two applications have. A page at the root of the site begins with '/'.
func key(p string) string {
	p, _, _ = strings.Cut(strings.ToLower(strings.ReplaceAll(p, `\`, "/")), "?")
	for _, root := range []string{"/wwwroot/", "/frontend/httpproxy/"} {
		if i := strings.LastIndex("/"+p, root); i >= 0 {
			p = p[i+len(root)-2:]
		}
	}
	rooted := strings.HasPrefix(p, "/")
	parts := strings.Split(strings.Trim(p, "/"), "/")
	for i, part := range parts { // what stands behind a page is for the page
		if script(part) {
			parts = parts[:i+1]
			break
		}
	}
	n := len(parts)
	switch {
	case n == 1 && rooted:
		return "/" + parts[0]
	case n > 2 && parts[n-2] == "auth":
		parts = parts[n-3:]
	case n > 2:
		parts = parts[n-2:]
	}
	return strings.Join(parts, "/")
}

// Look gives a finding for a request to a known page. Method and status are those
// of the row.
func (d *Detector) Look(ev *postern.Event, method, status string) (postern.Finding, bool) {
	if len(d.pages) == 0 {
		return postern.Finding{}, false
	}
	url := ev.Get("UrlPath")
	named, known := d.pages[key(url)]
	if !known {
		return postern.Finding{}, false
	}
	path, _, _ := strings.Cut(url, "?")
	f := postern.Finding{Campaign: named.Campaign, Time: ev.Time, Confidence: postern.High,
		Explain: []postern.Text{postern.Say("page.known", "rule", named.Rule)},
		Tags:    []string{"shell-request"}}
	for name, value := range map[string]string{postern.URL: path, postern.ClientIP: ev.Get("ClientIp"), postern.UserAgent: ev.Get("Agent"),
		postern.RequestID: ev.Get("RequestId"), postern.HTTPStatus: status, postern.Method: method} {
		f.Set(name, strings.Clone(value[:min(len(value), maxValue)]))
	}
	there := status == "200" || status == "206" || status == "500"
	sends := strings.EqualFold(method, "POST") || strings.EqualFold(method, "PUT") || ev.Get("Arguments") != ""
	switch {
	case there && sends && status != "500":
		f.Rule, f.Level, f.Title = Used, postern.Used, postern.Say("page.used.title")
	case there:
		f.Rule, f.Level, f.Title = Exists, postern.Implanted, postern.Say("page.exists.title")
	default:
		f.Rule, f.Level, f.Title = Asked, postern.Probed, postern.Say("page.asked.title")
	}
	at := postern.Evidence{Path: ev.Place.Path, Line: ev.Place.Line, Offset: ev.Place.Offset, Excerpt: strings.Clone(ev.Raw)}
	f.Evidence = []postern.Evidence{at}
	f.ID = postern.FindingID(f.Rule, at)
	return f, true
}
