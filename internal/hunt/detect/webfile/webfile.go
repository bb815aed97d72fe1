// Package webfile looks at files that a web server runs, or has run, for back
// doors. Input: one file with its place on the server. Output: findings that say
// which constructs of the file do what with a request, on which line, and why that
// makes the level that it makes.
//
// What decides is content. A published name, a name like one of the product's, or
// a folder in which nobody but the product keeps pages add weight and explanation;
// none of them is a finding above level 1 by itself. The exception is a hash of one of
// the product's own, which says that nothing is wrong; published hashes are compared
// by detect/indicator.
//
// The shapes are those that reports of 2021 and 2022 describe: dumps of virtual
// directories, mailbox exports and certificate requests under the name of a page,
// small classic pages, handlers, overwritten pages of the product, and what
// ASP.NET keeps of a page that has been deleted. docs/formats/web-files.md says
// more of each.
package webfile

import (
	"cmp"
	"path"
	"strings"

	"postern"
	"postern/internal/hunt/detect"
	page "postern/internal/hunt/parse/webfile"
)

// Knowledge is what packs and products teach.
type Knowledge struct {
	Stock      []postern.StockFile
	Indicators []postern.Indicator
	Places     []Place
	// Compiled are the folders in which ASP.NET keeps what it compiled.
	Compiled []string
	// Staging are folders of the system in which intruders leave programs.
	Staging []string
}

// Place is a folder of the product or of a site. Folders are lower case with '/',
// those of the product below its install folder, those of the system below the drive.
type Place struct {
	Name   string // by which stock files and indicators call it: "owa/auth"
	Folder string // "frontend/httpproxy/owa/auth"
	URL    string // under which it is served, "" if it is not
	Drop   bool   // intruders leave pages there
	// Complete says that the stock files name every page that belongs there.
	Complete bool
}

// Detector looks at files. What it knows does not change once it is made.
type Detector struct {
	words    *lexicon
	places   places
	stock    stock
	names    map[string][]postern.Indicator
	paths    []publishedPath
	compiled []string
	staging  []string

	spaces detect.Spares[space]
	files  detect.Spares[[]byte]
}

// New makes a detector.
func New(k Knowledge) *Detector {
	d := &Detector{
		words:    newLexicon(),
		places:   newPlaces(k.Places),
		names:    map[string][]postern.Indicator{},
		compiled: k.Compiled,
		staging:  k.Staging,
	}
	d.stock = newStock(k.Stock, d.places)
	for _, i := range k.Indicators {
		switch i.Kind {
		case postern.IndicatorFileName:
			name := strings.ToLower(i.Value)
			d.names[name] = append(d.names[name], i)
		case postern.IndicatorPath:
			d.paths = append(d.paths, newPublishedPath(i))
		}
	}
	return d
}

// what a file is taken for, by its name and place alone.
type role uint8

const (
	roleNothing role = iota
	roleScript       // an engine of the server runs it
	roleConfig       // a configuration that may hold code
	roleStatic       // served as it is
	roleRecord       // what ASP.NET notes of a page that it compiled
	roleLibrary      // what it compiled
	roleNamed        // has a published name or path
)

// Sizes beyond which a file is not what it is looked at for.
const (
	// maxStatic: style sheets, scripts and pictures of sites are smaller; a renamed
	// page has kilobytes.
	maxStatic = 4 << 20
	// maxLibrary: an assembly of one page has 5 to 40 KB; one of a whole site is not
	// the compiled form of a dropped page.
	maxLibrary = 512 << 10
)

// Wants answers by name, place and size whether Look is worth opening the file.
func (d *Detector) Wants(f *detect.File) bool {
	server := canonical(f.Server)
	return d.roleOf(f, server, d.places.where(server)) != roleNothing
}

// roleOf says what a file is taken for that lies at a canonical path.
func (d *Detector) roleOf(f *detect.File, server string, w location) role {
	name := path.Base(server)
	ext := path.Ext(name)
	record := ext == ".compiled"
	library := ext == ".dll" && strings.HasPrefix(name, "app_web_")
	if (record || library) && f.Size <= maxLibrary && (in(server, d.compiled) || strings.Contains(server, "/temporary asp.net files/")) {
		if record {
			return roleRecord
		}
		return roleLibrary
	}
	if page.EngineOf(name) != page.None {
		return roleScript
	}
	if name == "web.config" {
		return roleConfig
	}
	switch {
	case w.served && staticExtensions[ext], w.complete && f.Size <= maxStatic && ext == "":
		if f.Size <= maxStatic {
			return roleStatic
		}
	case w.served && scriptInside(name) && f.Size <= maxStatic:
		return roleStatic
	}
	if d.published(server, name) != nil {
		return roleNamed
	}
	return roleNothing
}

// staticExtensions are files that a server sends as they are, under which pages
// are kept until they are renamed.
var staticExtensions = set(`.css .js .txt .htm .html .gif .png .jpg .jpeg .ico .bmp .svg .eot .ttf .woff .log .bak .old .tmp .xml .xsl .xslt .json .dat .inc .map`)

// scriptInside says whether the extension of a page stands inside a name, as in
// x.aspx.bak and x.asp;.jpg.
func scriptInside(name string) bool {
	for _, part := range strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == ';' || r == '_' || r == '~' }) {
		if page.EngineOf("x."+part) != page.None {
			return true
		}
	}
	return false
}

// Look reads the file within its bounds and says what it found. An error is a
// file that could not be read; what is known of it by then still counts.
func (d *Detector) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	l := &look{d: d, f: f, server: canonical(f.Server)}
	l.name = path.Base(strings.ReplaceAll(f.Path, `\`, "/"))
	l.where = d.places.where(l.server)
	r := d.roleOf(f, l.server, l.where)
	switch r {
	case roleNothing:
		return nil, nil, nil
	case roleStatic:
		if quiet, err := l.gate(); quiet || err != nil {
			if l.listed() && err == nil {
				l.named()
			}
			return l.findings, nil, err
		}
	}
	if err := l.read(r); err != nil {
		l.unreadable(r)
		return l.findings, l.problems, err
	}
	switch r {
	case roleScript:
		l.script()
	case roleConfig:
		l.config()
	case roleStatic:
		l.static()
	case roleRecord:
		l.record()
	case roleLibrary:
		l.library()
	case roleNamed:
		l.named()
	}
	return l.findings, l.problems, nil
}

// look is one file being looked at.
type look struct {
	d        *Detector
	f        *detect.File
	server   string // canonical place on the server
	name     string // as the evidence writes it
	where    location
	raw      []byte // what was read: the beginning, and of large files apart from it the end
	tail     []byte
	tailAt   int64
	unhashed []byte // the file, if its hash has not been asked for yet
	sum      string // the hash
	findings []postern.Finding
	problems []postern.Problem
}

// add finishes a finding and keeps it.
func (l *look) add(f postern.Finding) {
	rule := ruleByID(f.Rule)
	if f.Title.IsZero() {
		f.Title = rule.Title
	}
	f.Campaign = cmp.Or(f.Campaign, rule.Campaign)
	if f.CVE == nil {
		f.CVE = rule.CVE
	}
	if f.Level >= postern.Implanted {
		f.Tags = append(f.Tags, rule.Tags...)
	}
	if f.Time.IsZero() {
		f.Time = l.f.ModTime
		if !f.Time.IsZero() {
			f.Tags = append(f.Tags, TagFileTime)
		}
	}
	if len(f.Evidence) == 0 {
		f.Evidence = []postern.Evidence{l.evidence(0, 0, "")}
	}
	f.ID = postern.FindingID(f.Rule, f.Evidence[0])
	f.Set(postern.File, l.server)
	f.Set(postern.FileSHA256, l.sha256())
	if _, ok := f.Entities[postern.URL]; !ok {
		f.Set(postern.URL, l.where.url)
	}
	l.findings = append(l.findings, f)
}

// evidence is a place in the file.
func (l *look) evidence(line, offset int64, excerpt string) postern.Evidence {
	return postern.Evidence{Path: l.f.Path, Line: line, Offset: offset, SHA256: l.sha256(), Excerpt: excerpt}
}
