// Package campaign reads and checks campaign packs, which hold all knowledge of one
// mass exploitation, and the facts about products.
//
// Input: the folders campaigns/NAME and products/NAME, built in or given by a
// user, as an [fs.FS]; their forms are described in docs/formats/campaign-pack.md
// and docs/formats/product.md. Output: a [Pack] and a [Product], their texts by
// language for the message catalogues, and what a build means for a CVE. All
// times are UTC, builds are tuples of integers.
//
// Nothing is half loaded: a pack with a mistake is refused with every mistake that
// it has, each with its file, its line and what to do ([Errors]). Files may come
// from strangers; their number, size and nesting are bounded.
package campaign

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"postern"
	"postern/campaigns"
)

// packFormat is the form of packs that this reader knows.
const packFormat = 1

// Pack is one campaign with everything that is looked for. It is not changed once
// loaded.
type Pack struct {
	postern.Campaign
	About      postern.Text // what happened, in a sentence or two
	Facts      *Product     // about the product that Campaign.Product names
	Rules      []RuleDoc
	Sequences  []Sequence
	Files      []FileRules // YARA
	Indicators []postern.Indicator
	// Guidance is what to do next at each level, most urgent first.
	Guidance [postern.PostExploitation + 1][]postern.Text
	// Mitigations is the pack's mitigations.yaml as it is, nil if there is none. The
	// detector of configurations reads and checks it.
	Mitigations []byte

	words speech
}

// Where is a place in a pack.
type Where struct {
	File string
	Line int
}

func (w Where) String() string { return Error{File: w.File, Line: w.Line}.place() }

// RuleDoc is one Sigma rule over events with what the pack adds to it.
type RuleDoc struct {
	postern.Rule
	Where
	Sigma     []byte   // the YAML of the document, with its postern key
	Sources   []string // log sources that it is about
	Downgrade []Downgrade
	Entities  map[string]string // entity of the finding → field of the event
	Next      []postern.Text    // what to do besides the guidance of the level
}

// Downgrade lowers a match. The first one whose condition holds counts.
type Downgrade struct {
	When       string // Sigma condition over the rule's own selections
	Level      postern.Level
	Confidence postern.Confidence
	Title      postern.Text // what the match is called then; zero for the rule's own title
	Because    postern.Text
}

// Sequence is a Sigma correlation: several rules of the pack within a time.
type Sequence struct {
	postern.Rule
	Where
	Sigma    []byte
	Ordered  bool
	Rules    []string // full names: "proxylogon/ssrf-mapi"
	GroupBy  []string // entities that must be the same
	Timespan time.Duration
}

// Messages gives the texts of the pack and its product in a language. Give them to
// the catalogue: its With takes them.
//
// catalogue: proxylogon.* proxylogon/* proxyshell.* proxyshell/* proxynotshell.* proxynotshell/* proxytoken.* proxytoken/* exchange.note.* exchange/*
func (p *Pack) Messages(lang string) map[string]string {
	all := make(map[string]string, len(p.words[lang]))
	for _, from := range []map[string]string{p.Facts.Messages(lang), p.words[lang]} {
		for k, v := range from {
			all[k] = v
		}
	}
	return all
}

// Names gives the names of the built-in packs, in order.
func Names() []string {
	var names []string
	entries, _ := campaigns.FS.ReadDir(".") // an embedded root cannot fail
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// BuiltIn loads every pack that the program carries.
func BuiltIn() ([]*Pack, error) {
	l := newLoader()
	names := Names()
	packs, failed := make([]*Pack, len(names)), make([]error, len(names))
	var loading sync.WaitGroup
	for i, name := range names { // side by side, as every start of the program waits for it
		loading.Go(func() { packs[i], failed[i] = l.load(campaigns.FS, name, name+"/") })
	}
	loading.Wait()
	var errs Errors
	for _, err := range failed {
		if err != nil {
			errs = append(errs, asErrors(err)...)
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return packs, nil
}

// Load reads the pack in the folder of that name. The error is an [Errors] with
// everything that is wrong.
func Load(fsys fs.FS, name string) (*Pack, error) { return newLoader().load(fsys, name, name+"/") }

// LoadDir reads a pack from a folder of the user's. Links that lead out of it are
// not followed.
func LoadDir(dir string) (*Pack, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, Errors{{File: filepath.ToSlash(dir), What: postern.Say("campaign.no-folder", "error", err)}}
	}
	defer root.Close()
	return newLoader().load(root.FS(), ".", strings.TrimSuffix(filepath.ToSlash(dir), "/")+"/")
}

// Find loads the built-in pack of that name, or else the pack in that folder. What
// has a separator in it is always a folder.
func Find(nameOrDir string) (*Pack, error) {
	if slices.Contains(Names(), nameOrDir) {
		return Load(campaigns.FS, nameOrDir)
	}
	if _, err := os.Stat(nameOrDir); err != nil && !strings.ContainsAny(nameOrDir, `/\`) {
		return nil, Errors{{File: nameOrDir, What: postern.Say("campaign.unknown-pack", "name", clip(nameOrDir), "known", strings.Join(Names(), ", "))}}
	}
	return LoadDir(nameOrDir)
}

func asErrors(err error) Errors {
	var errs Errors
	if errors.As(err, &errs) {
		return errs
	}
	return Errors{{What: postern.Say("campaign.unreadable", "error", err)}}
}

// Check compiles every rule of a pack and of its product with its extra conditions. The
// engine lives elsewhere: it is handed the rule's document and the conditions of its downgrades
// by name, "downgrade.1" first. The error is an [Errors].
func Check(p *Pack, compile func(sigma []byte, conditions map[string]string) error) error {
	c := &checker{}
	for _, rules := range [][]RuleDoc{p.Rules, p.Facts.Rules} {
		for i := range rules {
			r := &rules[i]
			if err := compile(r.Sigma, r.Conditions()); err != nil {
				c.bad(r.File, r.Line, postern.Say("campaign.rule-broken", "rule", r.ID, "error", err))
			}
		}
	}
	return c.err()
}

// Conditions gives the conditions of the downgrades by name, "downgrade.1" first.
func (r *RuleDoc) Conditions() map[string]string {
	conditions := make(map[string]string, len(r.Downgrade))
	for i, d := range r.Downgrade {
		conditions[DowngradeName(i)] = d.When
	}
	return conditions
}

// DowngradeName names the condition of the downgrade with that index.
func DowngradeName(i int) string { return "downgrade." + itoa(i+1) }

// loader reads packs that may share products. Several goroutines may use it at once.
type loader struct {
	mu       sync.Mutex
	products map[string]*Product
}

func newLoader() *loader { return &loader{products: make(map[string]*Product)} }

// product gives a product that is read once; who asks meanwhile waits for it.
func (l *loader) product(name string) (*Product, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.products[name]; p != nil {
		return p, nil
	}
	p, err := BuiltInProduct(name)
	if err == nil {
		l.products[name] = p
	}
	return p, err
}

func (l *loader) load(fsys fs.FS, root, prefix string) (*Pack, error) {
	c := &checker{prefix: prefix}
	f := c.readFolder(fsys, root)
	b, ok := f.files["campaign.yaml"]
	if !ok {
		c.bad("campaign.yaml", 0, postern.Say("campaign.missing-file"))
		return nil, c.err()
	}
	d := c.document("campaign.yaml", b)
	if d == nil {
		return nil, c.err()
	}
	r := &packReader{checker: c, folder: f, pack: &Pack{words: newSpeech()}, ids: make(map[string]Where)}
	head := r.readHead(d, root, l)
	if r.pack.Facts == nil {
		// Without a product nearly every other check would report what is not wrong.
		return nil, c.err()
	}
	r.readGuidance()
	r.readNext(head)
	r.readRules()
	r.readFileRules()
	r.readIndicators()
	r.checkFiles()
	if err := c.err(); err != nil {
		return nil, err
	}
	return r.pack, nil
}

// packReader fills one pack.
type packReader struct {
	*checker
	*folder
	pack     *Pack
	guidance map[string]postern.Text // by key
	ids      map[string]Where        // of rules and sequences
}

var (
	packName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	ruleID   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	// word names a guidance step, an entity, a tag of the pack.
	wordRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
)

// readHead reads campaign.yaml except for what refers to other files, and gives it.
func (r *packReader) readHead(d *document, root string, l *loader) *object {
	p := r.pack
	o := d.object(d.root, "format", "name", "version", "product", "title", "about", "cves",
		"first_known_use", "window", "levels", "sources", "next")
	checkFormat(o, packFormat)
	p.Name = o.needText("name")
	switch n := o.at["name"]; {
	case n == nil:
	case !packName.MatchString(p.Name):
		d.bad(n, postern.Say("campaign.bad-word", "value", clip(p.Name)))
	case root != "." && root != p.Name:
		d.bad(n, postern.Say("campaign.wrong-name", "name", clip(p.Name), "folder", root))
	}
	if o.need("version") != nil {
		if p.Version = o.number("version"); p.Version < 1 {
			d.bad(o.at["version"], postern.Say("campaign.not-a-number", "key", "version"))
		}
	}
	if p.Product = o.needText("product"); p.Product != "" {
		var err error
		if p.Facts, err = l.product(p.Product); err != nil {
			d.bad(o.at["product"], postern.Say("campaign.unknown-product", "product", clip(p.Product)))
		}
	}
	p.Title = o.needSay("title", p.words, p.key("title"))
	p.About = o.needSay("about", p.words, p.key("about"))
	if o.need("cves") != nil {
		if p.CVEs = r.cves(o); len(p.CVEs) == 0 {
			d.bad(o.at["cves"], postern.Say("campaign.empty", "key", "cves"))
		}
	}
	p.FirstKnownUse = o.time("first_known_use")
	r.readWindow(o)
	r.readLevels(o)
	r.readSources(o)
	return o
}

// key gives the message key of a text of the pack itself.
func (p *Pack) key(parts ...string) string {
	return p.Name + "." + strings.Join(parts, ".")
}

func (r *packReader) readWindow(o *object) {
	p := r.pack
	o.need("window")
	w := o.object("window", "from", "to")
	from, to := w.object("from", "time", "because"), w.object("to", "time", "because")
	for _, end := range []struct {
		name string
		o    *object
		into *postern.Instant
		why  *postern.Text
	}{{"from", from, &p.Window.From, &p.Window.FromReason}, {"to", to, &p.Window.To, &p.Window.ToReason}} {
		if o.has("window") {
			w.need(end.name)
		}
		end.o.need("time")
		*end.into = end.o.time("time")
		*end.why = end.o.needSay("because", p.words, p.key("window", end.name))
	}
	if !p.Window.From.IsZero() && !p.Window.To.IsZero() && !p.Window.From.Before(p.Window.To) {
		o.d.bad(from.at["time"], postern.Say("campaign.window-backwards"))
	}
	if n := o.at["first_known_use"]; n != nil && !p.Window.From.IsZero() && p.FirstKnownUse.After(p.Window.From) {
		o.d.bad(n, postern.Say("campaign.use-after-window"))
	}
}

// levelNames are the rungs by their neutral names, in order.
func levelNames() []string {
	var names []string
	for l := postern.NotSeen; l.Valid(); l++ {
		names = append(names, l.String())
	}
	return names
}

func (r *packReader) readLevels(o *object) {
	o.need("levels")
	levels := o.object("levels", levelNames()...)
	if !o.has("levels") {
		return
	}
	for l, name := range levelNames() {
		r.pack.Levels[l] = levels.needSay(name, r.pack.words, r.pack.key("level", itoa(l)))
	}
}

func (r *packReader) readSources(o *object) {
	o.need("sources")
	for _, n := range o.list("sources") {
		s := o.d.object(n, "name", "required", "lifetime_days", "quiet_hours", "collect")
		src := postern.Source{Name: s.needText("name"), Required: s.truth("required"),
			LifetimeDays: s.number("lifetime_days"), QuietHours: s.number("quiet_hours")}
		src.Collect = s.needSay("collect", r.pack.words, r.pack.key("source", src.Name, "collect"))
		switch {
		case src.Name == "" || r.pack.Facts == nil:
		case !r.pack.Facts.Layout.Has(src.Name):
			o.d.bad(s.at["name"], postern.Say("campaign.unknown-source", "source", clip(src.Name),
				"known", strings.Join(r.pack.Facts.sourceNames(), ", ")))
		case slices.ContainsFunc(r.pack.Sources, func(x postern.Source) bool { return x.Name == src.Name }):
			o.d.bad(n, postern.Say("campaign.twice", "value", src.Name))
		}
		r.pack.Sources = append(r.pack.Sources, src)
	}
	if n := o.at["sources"]; n != nil && !slices.ContainsFunc(r.pack.Sources, func(s postern.Source) bool { return s.Required }) {
		o.d.bad(n, postern.Say("campaign.no-required-source"))
	}
}

func (p *Product) sourceNames() []string {
	var names []string
	for _, s := range p.Layout.Sources {
		names = append(names, s.Name)
	}
	return names
}

// cves reads a list of CVEs, each of which the product's table must know.
func (r *packReader) cves(o *object) []string {
	var ids []string
	for _, n := range o.list("cves") {
		id := o.d.text(n)
		if r.pack.Facts != nil {
			if _, ok := r.pack.Facts.CVE(id); !ok {
				o.d.bad(n, postern.Say("campaign.unknown-cve", "cve", clip(id), "product", r.pack.Facts.Name))
				continue
			}
		}
		ids = append(ids, id)
	}
	return ids
}

// readGuidance reads guidance/LANGUAGE.yaml, flat maps from key to sentence with
// the same keys in every language.
func (r *packReader) readGuidance() {
	r.guidance = make(map[string]postern.Text)
	steps := make(map[string]*object)
	for _, lang := range Languages {
		name := "guidance/" + lang + ".yaml"
		b, ok := r.files[name]
		if !ok {
			r.bad(name, 0, postern.Say("campaign.missing-file"))
			continue
		}
		d := r.document(name, b)
		if d == nil {
			continue
		}
		o := d.object(d.root)
		steps[lang] = o
		for _, key := range o.keys {
			if !wordRE.MatchString(key) {
				d.bad(o.name[key], postern.Say("campaign.bad-word", "value", clip(key)))
				continue
			}
			message := r.pack.key("guidance", key)
			r.pack.words[lang][message] = o.needText(key)
			r.guidance[key] = postern.Say(message)
		}
	}
	for _, lang := range Languages {
		for _, other := range Languages {
			if steps[lang] == nil || steps[other] == nil {
				continue
			}
			for _, key := range steps[other].keys {
				if !steps[lang].has(key) {
					o := steps[other]
					o.d.bad(o.name[key], postern.Say("campaign.missing-language", "key", clip(key), "language", lang))
				}
			}
		}
	}
}

// readNext reads which steps each level asks for.
func (r *packReader) readNext(o *object) {
	o.need("next")
	next := o.object("next", levelNames()...)
	for l, name := range levelNames() {
		if o.has("next") {
			next.need(name)
		}
		r.pack.Guidance[l] = r.steps(next, name)
	}
}

// steps reads a list of guidance keys.
func (r *packReader) steps(o *object, key string) []postern.Text {
	var texts []postern.Text
	for _, n := range o.list(key) {
		step := o.d.text(n)
		text, ok := r.guidance[step]
		if !ok {
			o.d.bad(n, postern.Say("campaign.unknown-step", "step", clip(step)))
			continue
		}
		texts = append(texts, text)
	}
	return texts
}

// checkFiles reports what a pack of this format has no use for: a file that is
// not read is a rule that silently never hits.
func (r *packReader) checkFiles() {
	r.pack.Mitigations = r.files["mitigations.yaml"]
	known := regexp.MustCompile(`^(campaign\.yaml|mitigations\.yaml|rules/[^/]+\.(ya?ml|yara?)|indicators/[^/]+\.csv|guidance/(` +
		strings.Join(Languages, "|") + `)\.yaml|([^/]+/)?[^/]+\.md)$`)
	for _, name := range r.names {
		if !known.MatchString(name) {
			r.bad(name, 0, postern.Say("campaign.unknown-file"))
		}
	}
}
