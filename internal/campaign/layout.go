package campaign

import (
	"path"
	"slices"
	"strings"

	"postern"
)

// Layout is where a product keeps what an investigation needs. Folders are written
// as findings name them: lower case, '/', without drive, those of the product below
// its install folder. docs/formats/product.md describes each part.
type Layout struct {
	InstallFolders []string // defaults: good for a guess, never for a decision
	Registry       []RegistryValue
	VersionFile    string // the file whose version is the build with its update
	Sites          []Site
	ModuleFolders  []string // natives in these are stock
	Modules        []Module
	Filters        []Module
	Places         []Place // longest folder first
	Compiled       []string
	Staging        []Staging
	Sources        []LogSource
}

// RegistryValue is below HKEY_LOCAL_MACHINE.
type RegistryValue struct{ Key, Value string }

// Site is an IIS site as setup makes it. Its number and name can differ.
type Site struct {
	Name         string
	ID           int
	Folder       string
	Applications []Application
}

// Application is an application or virtual directory of a site. A path may stand
// twice where roles differ.
type Application struct{ Path, Folder string }

// Module is a native module or filter that IIS loads.
type Module struct{ Name, Image string }

// Place is the short name of a folder that stock files and indicators use.
type Place struct {
	Name     string
	Folder   string
	URL      string // address under which it is served, "" if it is not
	Drop     bool   // a favourite of intruders for web shells
	Complete bool   // the stock files name every script page the product has in this very folder
}

// Staging is a folder in which stolen data was collected.
type Staging struct {
	Folder string
	Files  []string // endings that matter, without dot; none for all
	Below  bool     // folders under it too
}

// LogSource is one source of evidence, by the name that its events carry.
type LogSource struct {
	Name   string
	Folder string // * stands for one folder name
	Files  string // pattern of file names
	Days   int    // how long the product keeps it; 0: until somebody deletes it
	Sigma  []SigmaSource
}

// SigmaSource is a log source in the words of public Sigma rules.
type SigmaSource struct{ Category, Product, Service string }

func (s SigmaSource) String() string {
	parts := slices.DeleteFunc([]string{s.Product, s.Category, s.Service}, func(p string) bool { return p == "" })
	return strings.Join(parts, "/")
}

// Has says whether there is a source of that name.
func (l *Layout) Has(source string) bool {
	return slices.ContainsFunc(l.Sources, func(s LogSource) bool { return s.Name == source })
}

// PlaceOf gives the place of a folder as findings name it, with what is below the
// place's own folder: "frontend/httpproxy/owa/auth/x" is "owa/auth/x".
func (l *Layout) PlaceOf(folder string) (string, bool) {
	if p, rest, ok := l.find(folder); ok {
		return path.Join(p.Name, rest), true
	}
	return "", false
}

// FolderOf is the way back from a place to the folder as findings name it.
func (l *Layout) FolderOf(place string) (string, bool) {
	best, found := "", false
	length := -1
	for _, p := range l.Places {
		if rest, ok := below(place, p.Name); ok && len(p.Name) > length {
			best, found, length = path.Join(p.Folder, rest), true, len(p.Name)
		}
	}
	return best, found
}

// Place gives the longest known place that holds the folder.
func (l *Layout) Place(folder string) (Place, bool) {
	p, _, ok := l.find(folder)
	return p, ok
}

func (l *Layout) find(folder string) (Place, string, bool) {
	for _, p := range l.Places {
		if rest, ok := below(folder, p.Folder); ok {
			return p, rest, true
		}
	}
	return Place{}, "", false
}

// below gives what of a path is under a folder, "" for the folder itself.
func below(p, folder string) (string, bool) {
	switch {
	case folder == "":
		return p, true
	case p == folder:
		return "", true
	case strings.HasPrefix(p, folder) && p[len(folder)] == '/':
		return p[len(folder)+1:], true
	}
	return "", false
}

// SourcesOf gives the sources that a rule with that log source is about: the
// product's own name and a source as service, or the words of public rules.
func (p *Product) SourcesOf(s SigmaSource) []string {
	var names []string
	for _, l := range p.Layout.Sources {
		if s == (SigmaSource{Product: p.Name, Service: l.Name}) || slices.Contains(l.Sigma, s) {
			names = append(names, l.Name)
		}
	}
	return names
}

func (p *Product) readLayout(c *checker, file string, b []byte) {
	d := c.document(file, b)
	if d == nil {
		return
	}
	o := d.object(d.root, "format", "install", "sites", "modules", "places", "compiled", "staging", "sources")
	checkFormat(o, productFormat)
	l := &p.Layout

	install := o.object("install", "folders", "registry", "version_file")
	l.InstallFolders = install.folders("folders")
	l.VersionFile = install.folder("version_file")
	for _, n := range install.list("registry") {
		r := d.object(n, "key", "value")
		l.Registry = append(l.Registry, RegistryValue{r.needText("key"), r.needText("value")})
	}
	for _, n := range o.list("sites") {
		s := d.object(n, "name", "id", "folder", "applications")
		site := Site{Name: s.needText("name"), ID: s.number("id"), Folder: s.folder("folder")}
		for _, n := range s.list("applications") {
			a := d.object(n, "path", "folder")
			site.Applications = append(site.Applications, Application{a.needText("path"), a.folder("folder")})
		}
		l.Sites = append(l.Sites, site)
	}
	m := o.object("modules", "folders", "images", "filters")
	l.ModuleFolders = m.folders("folders")
	l.Modules, l.Filters = m.modules("images"), m.modules("filters")
	for _, n := range o.list("places") {
		s := d.object(n, "place", "folder", "url", "drop", "complete")
		s.need("place")
		l.Places = append(l.Places, Place{Name: s.folder("place"), Folder: s.folder("folder"), URL: s.text("url"),
			Drop: s.truth("drop"), Complete: s.truth("complete")})
	}
	slices.SortStableFunc(l.Places, func(a, b Place) int { return len(b.Folder) - len(a.Folder) })
	l.Compiled = o.folders("compiled")
	for _, n := range o.list("staging") {
		s := d.object(n, "folder", "files", "below")
		l.Staging = append(l.Staging, Staging{Folder: s.folder("folder"), Files: s.texts("files"), Below: s.truth("below")})
	}
	for _, n := range o.list("sources") {
		s := d.object(n, "name", "folder", "files", "days", "sigma")
		src := LogSource{Name: s.needText("name"), Folder: s.folder("folder"), Files: s.needText("files"), Days: s.number("days")}
		for _, n := range s.list("sigma") {
			src.Sigma = append(src.Sigma, sigmaSource(d.object(n, "category", "product", "service")))
		}
		if l.Has(src.Name) {
			d.bad(n, postern.Say("campaign.twice", "value", src.Name))
		}
		l.Sources = append(l.Sources, src)
	}
}

func sigmaSource(o *object) SigmaSource {
	return SigmaSource{Category: o.text("category"), Product: o.text("product"), Service: o.text("service")}
}

func (o *object) folder(key string) string {
	s := o.text(key)
	if !isPlace(s) {
		o.d.bad(o.at[key], postern.Say("campaign.bad-place", "value", clip(s)))
	}
	return s
}

func (o *object) folders(key string) []string {
	list := o.texts(key)
	for i, s := range list {
		if !isPlace(s) {
			o.d.bad(o.list(key)[i], postern.Say("campaign.bad-place", "value", clip(s)))
		}
	}
	return list
}

func (o *object) modules(key string) []Module {
	var list []Module
	for _, n := range o.list(key) {
		m := o.d.object(n, "name", "image")
		list = append(list, Module{Name: m.needText("name"), Image: m.folder("image")})
	}
	return list
}
