package campaign

import (
	"encoding/hex"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"postern"
	"postern/products"
)

// productFormat is the form of the files under products/ that this reader knows.
const productFormat = 1

// Product is the facts about one product, read from products/NAME. It is safe for
// use by several goroutines.
type Product struct {
	Name     string // "exchange"
	Title    string
	Editions []Edition
	Releases []Release // ascending by build
	Lines    []Line    // ascending by build
	CVEs     []CVE
	Stock    []postern.StockFile
	Layout   Layout
	Observed []Observed
	// Rules are about what any campaign can leave on the product, such as requests to a
	// page that does not belong to it. Their findings belong to no campaign.
	Rules     []RuleDoc
	Sequences []Sequence
	Files     []FileRules // YARA
	// Mitigations is mitigations.yaml as it is, against flaws that belong to no campaign;
	// nil if there is none. Who judges them reads it, as with a pack's.
	Mitigations []byte

	release  map[postern.Build]int
	line     map[lineKey]int   // the line that owns builds which are not released ones
	named    map[[2]string]int // edition and line
	cve      map[string]int    // index in CVEs
	fixes    map[string][]*fix // by CVE, one entry a line, nil where nothing is said
	observed map[string]int
	stock    map[string]bool // hashes of stock files
	words    speech
}

// Edition is one product on sale, told by its builds.
type Edition struct {
	ID, Title   string // "exchange-2016", "Exchange Server 2016"
	From, Below postern.Build
	LineNumbers int  // how many numbers of a build name its line
	Cloud       bool // run by the vendor: never assessed, never counted
}

// Release is one released build.
type Release struct {
	Build    postern.Build
	Edition  string // "exchange-2016"
	Line     string // "CU19"
	Update   string // "Mar21SU"; "" for the line as first released
	Released time.Time
	// Available is the day on which it could really be had, where that is known to
	// be later than the day on the vendor's list; else Released.
	Available time.Time
	KB        string
}

// Line is the releases inside which fixes can be compared: a cumulative update, or
// for old editions a service pack.
type Line struct {
	Edition, Name string
	Base, Newest  postern.Build
	releases      []Release
}

// CVE is one flaw.
type CVE struct {
	ID, Name         string
	Published, Fixed time.Time // the day of publication is not the day of the fix
	KEV              time.Time // when CISA listed it as exploited; zero if it did not
	Ransomware       bool      // known in ransomware campaigns
	Mitigation       string    // word of notes.yaml for a mitigation that a build does not show
	Notes            []string  // words of notes.yaml that hold for every line
}

// ObservedRule is how a version that was seen is to be read.
type ObservedRule string

// The closed list of rules for observed versions.
const (
	ObservedExact        ObservedRule = "exact"
	ObservedRoundUp      ObservedRule = "round-up"      // the header lags: read it as Build
	ObservedLowerBound   ObservedRule = "lower-bound"   // Build or any later release of the line
	ObservedUnknown      ObservedRule = "unknown"       // lists disagree: decide nothing
	ObservedImpostor     ObservedRule = "impostor"      // no such build was ever released
	ObservedRewritten    ObservedRule = "rewritten"     // a proxy wrote it
	ObservedCloud        ObservedRule = "cloud"         // the vendor's own service
	ObservedListError    ObservedRule = "list-error"    // a misprint: read it as Build
	ObservedListConflict ObservedRule = "list-conflict" // another list's number for Build
)

// Observed is a version seen on the wire or in a list that needs care.
type Observed struct {
	Seen    string // as it was written
	Edition string
	Build   postern.Build // what it stands for; zero if nothing
	Rule    ObservedRule
	Meaning string
	Where   string
	Source  string
}

// lineKey is the numbers that name a line; -1 where the line has fewer.
type lineKey [3]int

// LoadProduct reads the facts in the folder of that name. The error is an [Errors]
// with everything that is wrong.
func LoadProduct(fsys fs.FS, name string) (*Product, error) {
	c := &checker{prefix: name + "/"}
	p := &Product{
		Name:     name,
		release:  make(map[postern.Build]int),
		line:     make(map[lineKey]int),
		named:    make(map[[2]string]int),
		cve:      make(map[string]int),
		fixes:    make(map[string][]*fix),
		observed: make(map[string]int),
		stock:    make(map[string]bool),
		words:    newSpeech(),
	}
	f := c.readFolder(fsys, name)
	// In this order: each file is checked against those before it.
	for _, step := range []struct {
		file string
		read func(*checker, string, []byte)
	}{
		{"product.yaml", p.readEditions},
		{"notes.yaml", p.readNotes},
		{"builds.csv", p.readBuilds},
		{"march-2021-availability.csv", p.readAvailability},
		{"cves.csv", p.readCVEs},
		{"fixes.csv", p.readFixes},
		{"observed-versions.csv", p.readObserved},
		{"stock-files.csv", p.readStock},
		{"layout.yaml", p.readLayout},
	} {
		b, ok := f.files[step.file]
		if !ok {
			c.bad(step.file, 0, postern.Say("campaign.missing-file"))
			continue
		}
		step.read(c, step.file, b)
	}
	p.readRules(c, f)
	p.Mitigations = f.files["mitigations.yaml"]
	if err := c.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// readRules reads the rules of the product, which have the form of a pack's.
func (p *Product) readRules(c *checker, f *folder) {
	if len(p.Layout.Sources) == 0 { // reported; every rule would be wrong
		return
	}
	pack := &Pack{Campaign: postern.Campaign{Name: p.Name, Product: p.Name}, Facts: p, words: p.words}
	r := &packReader{checker: c, folder: f, pack: pack, ids: make(map[string]Where)}
	r.readRules()
	r.readFileRules()
	for i := range pack.Rules {
		pack.Rules[i].Campaign = ""
	}
	for _, f := range pack.Files {
		for name, rule := range f.Rules {
			rule.Campaign = ""
			f.Rules[name] = rule
		}
	}
	for i := range pack.Sequences {
		pack.Sequences[i].Campaign = ""
	}
	p.Rules, p.Sequences, p.Files = pack.Rules, pack.Sequences, pack.Files
}

// BuiltInProduct gives the facts about a product that the program carries.
func BuiltInProduct(name string) (*Product, error) { return LoadProduct(products.FS, name) }

// Messages gives the texts of the product in a language, for the catalogues.
func (p *Product) Messages(lang string) map[string]string { return p.words[lang] }

// Note gives the sentence behind a word of the note columns.
//
// catalogue: exchange.note.* (in the product's notes.yaml)
func (p *Product) Note(word string) postern.Text { return postern.Say(p.noteKey(word)) }

func (p *Product) noteKey(word string) string { return p.Name + ".note." + word }

func (p *Product) hasNote(word string) bool {
	_, ok := p.words[Languages[0]][p.noteKey(word)]
	return ok
}

// ProductOf gives the edition that owns a build, such as "exchange-2016"; "" if none does.
func (p *Product) ProductOf(b postern.Build) string {
	if e := p.edition(b); e != nil {
		return e.ID
	}
	return ""
}

func (p *Product) edition(b postern.Build) *Edition {
	for i := range p.Editions {
		e := &p.Editions[i]
		if b.Compare(e.From) >= 0 && b.Compare(e.Below) < 0 {
			return e
		}
	}
	return nil
}

// EditionTitle gives the name of an edition for people, its ID if it is unknown.
func (p *Product) EditionTitle(id string) string {
	for _, e := range p.Editions {
		if e.ID == id {
			return e.Title
		}
	}
	return id
}

// LineTitle gives the name of a line for people: "Exchange Server 2016 CU19".
func (p *Product) LineTitle(l Line) string { return p.EditionTitle(l.Edition) + " " + l.Name }

// Release gives the release with exactly that build.
func (p *Product) Release(b postern.Build) (Release, bool) {
	i, ok := p.release[b]
	if !ok {
		return Release{}, false
	}
	return p.Releases[i], true
}

// LineOf gives the line of a build, released or not. A line that the table does not
// know, such as one released later, is not guessed from its neighbours.
func (p *Product) LineOf(b postern.Build) (Line, bool) {
	i := p.lineOf(b)
	if i < 0 {
		return Line{}, false
	}
	return p.Lines[i], true
}

func (p *Product) lineOf(b postern.Build) int {
	if i, ok := p.release[b]; ok {
		return p.named[[2]string{p.Releases[i].Edition, p.Releases[i].Line}]
	}
	e := p.edition(b)
	if e == nil {
		return -1
	}
	if i, ok := p.line[keyOf(e, b)]; ok {
		return i
	}
	return -1
}

func keyOf(e *Edition, b postern.Build) lineKey {
	k := lineKey{b[0], b[1], -1}
	if e.LineNumbers == 3 {
		k[2] = b[2]
	}
	return k
}

// Releases gives the releases of a line, ascending.
func (l Line) Releases() []Release { return l.releases }

// CVE gives what is known of a flaw.
func (p *Product) CVE(id string) (CVE, bool) {
	i, ok := p.cve[id]
	if !ok {
		return CVE{}, false
	}
	return p.CVEs[i], true
}

// IsStock says whether the product ships a file with that SHA-256 (lower-case hex).
func (p *Product) IsStock(sha256 string) bool { return p.stock[sha256] }

// Observation gives how a version is to be read, by its spelling, if that needs
// care: zeros before a number are a sign of their own. Where it was seen counts too:
// what is a lower bound in one place is exact in another.
func (p *Product) Observation(seen string) (Observed, bool) {
	i, ok := p.observed[seen]
	if !ok {
		return Observed{}, false
	}
	return p.Observed[i], true
}

func (p *Product) readEditions(c *checker, file string, b []byte) {
	d := c.document(file, b)
	if d == nil {
		return
	}
	o := d.object(d.root, "format", "name", "title", "editions")
	checkFormat(o, productFormat)
	if got := o.needText("name"); got != p.Name {
		d.bad(o.node, postern.Say("campaign.wrong-name", "name", clip(got), "folder", p.Name))
	}
	p.Title = o.needText("title")
	for _, n := range o.list("editions") {
		e := d.object(n, "id", "title", "from", "below", "line", "cloud")
		ed := Edition{ID: e.needText("id"), Title: e.needText("title"), From: e.build("from"),
			Below: e.build("below"), LineNumbers: e.number("line"), Cloud: e.truth("cloud")}
		if ed.From.Compare(ed.Below) >= 0 || ed.LineNumbers < 2 || ed.LineNumbers > 3 {
			d.bad(n, postern.Say("product.bad-edition", "edition", ed.ID))
			continue
		}
		p.Editions = append(p.Editions, ed)
	}
}

func (p *Product) readNotes(c *checker, file string, b []byte) {
	d := c.document(file, b)
	if d == nil {
		return
	}
	o := d.object(d.root)
	for _, word := range o.keys {
		o.say(word, p.words, p.noteKey(word))
	}
}

func (p *Product) readBuilds(c *checker, file string, b []byte) {
	c.table(file, b, []string{"edition", "line", "update", "build", "released", "kb", "source"}, nil, func(r *row) {
		rel := Release{Edition: r.get("edition"), Line: r.get("line"), Update: r.get("update"),
			Build: r.build("build"), Released: r.day("released"), KB: r.get("kb")}
		rel.Available = rel.Released
		switch e := p.edition(rel.Build); {
		case rel.Build.IsZero():
			return // reported
		case rel.Line == "":
			r.bad(postern.Say("campaign.empty", "key", "line"))
			return
		case e == nil || e.ID != rel.Edition:
			r.bad(postern.Say("product.wrong-edition", "build", rel.Build, "edition", rel.Edition))
			return
		}
		if _, twice := p.release[rel.Build]; twice {
			r.bad(postern.Say("campaign.twice", "value", rel.Build))
			return
		}
		p.release[rel.Build] = 0
		p.Releases = append(p.Releases, rel)
	})
	slices.SortFunc(p.Releases, func(a, b Release) int { return a.Build.Compare(b.Build) })
	for i, rel := range p.Releases {
		p.release[rel.Build] = i
		name := [2]string{rel.Edition, rel.Line}
		at, ok := p.named[name]
		if !ok {
			at = len(p.Lines)
			p.named[name] = at
			p.Lines = append(p.Lines, Line{Edition: rel.Edition, Name: rel.Line, Base: rel.Build})
		}
		l := &p.Lines[at]
		l.Newest = rel.Build
		l.releases = append(l.releases, rel)
		// A preview shares its number with the release that followed, which owns the
		// builds that are in no list: the later line wins.
		p.line[keyOf(p.edition(rel.Build), rel.Build)] = at
	}
}

func (p *Product) readAvailability(c *checker, file string, b []byte) {
	march := time.Date(2021, time.March, 2, 0, 0, 0, 0, time.UTC)
	c.table(file, b, []string{"edition", "line", "listed", "available", "evidence"}, nil, func(r *row) {
		at, ok := p.named[[2]string{r.get("edition"), r.get("line")}]
		listed, available := r.day("listed"), r.day("available")
		if !ok || !listed.Equal(march) || available.Before(listed) {
			r.bad(postern.Say("product.bad-availability", "edition", r.get("edition"), "line", r.get("line")))
			return
		}
		for i := range p.Lines[at].releases {
			rel := &p.Lines[at].releases[i]
			if rel.Released.Equal(listed) {
				rel.Available = available
				p.Releases[p.release[rel.Build]].Available = available
				return
			}
		}
		r.bad(postern.Say("product.bad-availability", "edition", r.get("edition"), "line", r.get("line")))
	})
}

func (p *Product) readCVEs(c *checker, file string, b []byte) {
	c.table(file, b, []string{"cve", "name", "published", "fixed_on", "kev", "kev_ransomware", "mitigation", "notes"}, nil, func(r *row) {
		v := CVE{ID: r.get("cve"), Name: r.get("name"), Published: r.day("published"), Fixed: r.day("fixed_on"),
			Ransomware: r.get("kev_ransomware") == "yes", Mitigation: r.get("mitigation"), Notes: strings.Fields(r.get("notes"))}
		if r.get("kev") != "" {
			v.KEV = r.day("kev")
		}
		for _, w := range slices.Concat(v.Notes, strings.Fields(v.Mitigation)) {
			p.checkNote(r, w)
		}
		if _, twice := p.cve[v.ID]; twice || !strings.HasPrefix(v.ID, "CVE-") {
			r.bad(postern.Say("campaign.twice", "value", v.ID))
			return
		}
		p.cve[v.ID] = len(p.CVEs)
		p.CVEs = append(p.CVEs, v)
		p.fixes[v.ID] = make([]*fix, len(p.Lines))
	})
}

func (p *Product) checkNote(r *row, word string) {
	if !p.hasNote(word) {
		r.bad(postern.Say("product.unknown-note", "word", word))
	}
}

func (p *Product) readObserved(c *checker, file string, b []byte) {
	rules := []ObservedRule{ObservedExact, ObservedRoundUp, ObservedLowerBound, ObservedUnknown, ObservedImpostor,
		ObservedRewritten, ObservedCloud, ObservedListError, ObservedListConflict}
	c.table(file, b, []string{"seen", "edition", "build", "rule", "meaning", "where", "source"}, nil, func(r *row) {
		o := Observed{Seen: r.get("seen"), Edition: r.get("edition"), Rule: ObservedRule(r.get("rule")),
			Meaning: r.get("meaning"), Where: r.get("where"), Source: r.get("source")}
		if !slices.Contains(rules, o.Rule) {
			r.bad(postern.Say("product.bad-observed-rule", "value", clip(string(o.Rule))))
			return
		}
		if r.get("build") != "" {
			o.Build = r.build("build")
			if _, ok := p.release[o.Build]; !ok {
				r.bad(postern.Say("product.unknown-build", "build", o.Build))
				return
			}
		}
		if _, twice := p.observed[o.Seen]; twice || o.Seen == "" {
			r.bad(postern.Say("campaign.twice", "value", o.Seen))
			return
		}
		p.observed[o.Seen] = len(p.Observed)
		p.Observed = append(p.Observed, o)
	})
}

func (p *Product) readStock(c *checker, file string, b []byte) {
	c.table(file, b, []string{"place", "name", "sha256", "first_build", "last_build", "source"}, nil, func(r *row) {
		s := postern.StockFile{Place: r.get("place"), Name: r.get("name"), SHA256: r.get("sha256")}
		if r.get("first_build") != "" || r.get("last_build") != "" {
			s.First, s.Last = r.build("first_build"), r.build("last_build")
		}
		switch {
		case s.Name == "" || !isPlace(s.Place) || s.Name != strings.ToLower(path.Base(s.Name)):
			r.bad(postern.Say("campaign.bad-place", "value", clip(s.Place+"/"+s.Name)))
			return
		case s.SHA256 != "" && !isHash(s.SHA256, 32):
			r.bad(postern.Say("campaign.bad-hash", "value", clip(s.SHA256), "kind", "sha256", "digits", 64))
			return
		case s.First.Compare(s.Last) > 0:
			r.bad(postern.Say("campaign.bad-build", "value", s.Last))
			return
		}
		if s.SHA256 != "" {
			p.stock[s.SHA256] = true
		}
		p.Stock = append(p.Stock, s)
	})
}

// isPlace says whether s is a folder as findings name it: lower case, '/', relative.
func isPlace(s string) bool {
	return s == "" || s == path.Clean(s) && s == strings.ToLower(s) && !strings.HasPrefix(s, "/") && !strings.Contains(s, `\`)
}

// isHash says whether s is lower-case hex of that many bytes.
func isHash(s string, bytes int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == bytes && s == strings.ToLower(s)
}

func checkFormat(o *object, want int) {
	if got := o.text("format"); o.need("format") != nil && got != itoa(want) {
		o.d.bad(o.at["format"], postern.Say("campaign.unsupported-format", "format", clip(got), "known", want))
	}
}

// day reads a cell that must hold a day.
func (r *row) day(column string) time.Time {
	t, err := time.Parse(time.DateOnly, r.get(column))
	if err != nil {
		r.bad(postern.Say("campaign.bad-date", "value", clip(r.get(column))))
	}
	return t
}

// build reads a cell that must hold a build.
func (r *row) build(column string) postern.Build {
	b, err := postern.ParseBuild(r.get(column))
	if err != nil {
		r.bad(postern.Say("campaign.bad-build", "value", clip(r.get(column))))
	}
	return b
}
