package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"postern"
	"postern/internal/hunt"
	"postern/internal/hunt/correlate"
	"postern/internal/hunt/parse"
)

// Bounds of what is remembered of a host.
const (
	// maxHosts bounds the hosts of a watch; a server is one.
	maxHosts = 1000
	// maxBuilds bounds the times at which builds were seen.
	maxBuilds = 64
	// maxPages bounds the pages that are known to be back doors.
	maxPages = 1000
)

// errSink is that an alert could not be handed on: positions must not move.
var errSink = errors.New("alert not taken")

// host is one part of a root that is one server, as a hunt tells them apart.
type host struct {
	key   string
	name  string // as its logs say it, or what stands for it
	sure  bool   // its logs say it
	rules hunt.HostRules
	pages []page
}

// page is a page that is known to be a back door.
type page struct {
	Rule     string        `json:"rule"`
	Campaign string        `json:"campaign,omitempty"`
	Level    postern.Level `json:"level"`
	URL      string        `json:"url,omitempty"`
	File     string        `json:"file,omitempty"`
}

// hostOf gives the host that a file is of.
func (w *Watch) hostOf(r *root, p string) (*host, error) {
	prefix, _ := hunt.PlaceIn(r.path, p)
	key := r.path + "\x00" + strings.ToLower(prefix)
	if h := w.hosts[key]; h != nil {
		return h, nil
	}
	if len(w.hosts) >= maxHosts {
		for _, h := range w.hosts { // any: its name is wrong, and its rows say their own
			return h, w.problem(postern.Problem{Path: p, What: postern.Limit, Detail: postern.Say("watch.hosts", "bound", maxHosts)})
		}
	}
	h := &host{key: key, rules: w.opt.Rules.Host(), pages: w.store.pages[key]}
	switch {
	case w.opt.Host != "":
		h.name, h.sure = w.opt.Host, true
	case w.store.names[key] != "":
		h.name = w.store.names[key]
	case prefix != "":
		h.name = base(prefix)
	default:
		h.name = base(r.path)
	}
	h.learn(h.pages)
	w.hosts[key] = h
	return h, nil
}

// named takes the name that a log gives its server.
func (h *host) named(name string) {
	if name != "" && !h.sure {
		h.name, h.sure = name, true
	}
}

// maxIntroduced bounds the logs that are asked for the name of their server.
const maxIntroduced = 200

// introduce asks one log of each folder what its server is called, so that the first
// alert about a page can say it.
func (w *Watch) introduce(r *root) error {
	newest := make(map[string]*file)
	r.each(r.top, func(f *file) {
		if dir := path.Dir(f.path); f.isLog && f.size > 0 && (newest[dir] == nil || newest[dir].mod < f.mod) {
			newest[dir] = f
		}
	})
	dirs := sortedKeys(newest)
	for _, dir := range dirs[:min(len(dirs), maxIntroduced)] {
		h, err := w.hostOf(r, newest[dir].path)
		if err != nil {
			return err
		}
		if h.sure {
			continue
		}
		fd, _, err := r.open(newest[dir].path)
		if err != nil {
			continue // the one who follows it says so
		}
		head := make([]byte, headSize)
		n, _ := fd.ReadAt(head, 0)
		fd.Close()
		if format, said := parse.Recognise(head[:n], newest[dir].path, w.opt.Formats, &w.headers); format != nil {
			h.named(parse.ServerOf(format, said))
		}
	}
	return nil
}

// learn has the rules look for requests to pages.
func (h *host) learn(pages []page) {
	var findings []postern.Finding
	for _, p := range pages {
		f := postern.Finding{Rule: p.Rule, Campaign: p.Campaign, Level: p.Level}
		f.Set(postern.URL, p.URL)
		f.Set(postern.File, p.File)
		findings = append(findings, f)
	}
	if len(findings) > 0 {
		h.rules.Learn(findings)
	}
}

// name gives what the server of a host is called: as the one that has a name, where the
// files of a root are of one server.
func (w *Watch) name(h *host) string {
	if h.sure {
		return h.name
	}
	root, _, _ := strings.Cut(h.key, "\x00")
	found := ""
	for _, other := range w.hosts {
		if other.sure && strings.HasPrefix(other.key, root+"\x00") {
			if found != "" && found != other.name {
				return h.name
			}
			found = other.name
		}
	}
	if found != "" {
		return found
	}
	return h.name
}

// saw keeps when builds were seen first and last.
func (h *host) saw(w *Watch, seen []parse.BuildSeen) {
	if len(seen) == 0 {
		return
	}
	name := w.name(h)
	builds := w.store.builds[name]
	for _, b := range seen {
		if b.Time.IsZero() {
			continue
		}
		n := len(builds)
		switch {
		case n >= 2 && builds[n-1].Build == b.Build && builds[n-2].Build == b.Build:
			if b.Time.After(builds[n-1].Time) {
				builds[n-1].Time = b.Time
			}
		case n > 0 && builds[n-1].Build == b.Build && !b.Time.After(builds[n-1].Time):
		case n < maxBuilds:
			builds = append(builds, correlate.BuildSeen(b))
		}
	}
	w.store.build(name, builds)
}

// newBatch begins to gather the findings of rows.
func (w *Watch) newBatch(r *root, h *host) *rows {
	return &rows{w: w, r: r, h: h, by: make(map[string][]postern.Finding)}
}

// rows gathers findings of rows by the servers that the rows name.
type rows struct {
	w  *Watch
	r  *root
	h  *host
	by map[string][]postern.Finding
	n  int
}

func (b *rows) add(server string, findings []postern.Finding) error {
	if len(findings) == 0 {
		return nil
	}
	name := b.w.name(b.h)
	if server = strings.Trim(server, `"`); b.w.opt.Host == "" && server != "" && server != "-" {
		name = server
		b.h.named(server)
	}
	b.by[name] = append(b.by[name], findings...)
	if b.n += len(findings); b.n < batch {
		return nil
	}
	return b.judge()
}

// judge judges what was gathered.
func (b *rows) judge() error {
	for _, name := range sortedKeys(b.by) {
		if err := b.w.judge(b.r, b.h, name, b.by[name], rowID, whoOf); err != nil {
			return err
		}
	}
	clear(b.by)
	b.n = 0
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// judge weighs findings as a hunt does, by what is known of the server, and raises them
// under an ID; those that are alike are counted as one.
func (w *Watch) judge(r *root, h *host, name string, findings []postern.Finding, id, as func(*postern.Finding) string) error {
	judged := correlate.Host(correlate.Input{
		Host: name, Campaigns: w.opt.Campaigns, Findings: findings, Builds: w.store.builds[name],
		Product: w.opt.Product, PatchedAt: w.opt.PatchedAt, Own: w.opt.Own,
	})
	var pages []page
	for i := range judged.Findings {
		f := &judged.Findings[i]
		if f.Level == postern.NotSeen {
			continue
		}
		w.stats.Findings++
		w.stats.Found = max(w.stats.Found, f.Level)
		if p := (page{f.Rule, f.Campaign, f.Level, f.Entities[postern.URL], f.Entities[postern.File]}); f.Level >= postern.Implanted && p.URL+p.File != "" {
			if !slices.Contains(h.pages, p) && !slices.Contains(pages, p) && len(h.pages)+len(pages) < maxPages {
				pages = append(pages, p)
			}
		}
		if f.Level < w.opt.Level {
			continue
		}
		if !w.quiet.lets(name, f, as(f), w.opt.Now()) {
			w.raised = true
			continue
		}
		if err := w.raise(Alert{ID: id(f), Kind: Found, Host: name, Root: r.path, Finding: f}); err != nil {
			return fmt.Errorf("%w (%w)", err, errSink)
		}
	}
	if len(pages) > 0 {
		h.pages = append(h.pages, pages...)
		h.learn(pages)
		w.store.learned(h.key, name, h.pages)
	}
	return nil
}

// repeats raises counts in the place of what was alike.
func (w *Watch) repeats(all bool) error {
	for _, r := range w.quiet.due(w.opt.Now(), all) {
		if err := w.raise(Alert{ID: r.id, Kind: Repeated, Host: r.host, Repeat: &r.Repeat}); err != nil {
			return err
		}
	}
	return nil
}

// files judges files that are new or have changed.
func (w *Watch) files(ctx context.Context) error {
	for _, r := range w.roots {
		settings := make(map[*host]bool)
		changed := r.changed
		r.changed = nil
		for i, f := range changed {
			if err := ctx.Err(); err != nil {
				r.changed = append(r.changed, changed[i:]...)
				return err
			}
			if err := w.file(r, f, settings); err != nil {
				return err
			}
		}
		for h := range settings {
			if err := w.settings(r, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// file judges one file.
func (w *Watch) file(r *root, f *file, settings map[*host]bool) error {
	h, err := w.hostOf(r, f.path)
	if err != nil {
		return err
	}
	if f.setting {
		settings[h] = true
	}
	if !f.wanted {
		return nil
	}
	fd, info, err := r.open(f.path)
	if err != nil {
		f.mod = unread
		return w.unreadable(f.path, err)
	}
	fd.Close()
	df := w.asFile(r, f.path, info)
	var findings []postern.Finding
	for _, d := range w.opt.Files {
		if !d.Wants(df) {
			continue
		}
		var found []postern.Finding
		problems, err := unbroken(f.path, func() (problems []postern.Problem, err error) {
			found, problems, err = d.Look(df)
			return problems, err
		})
		if err != nil {
			f.mod = unread
		}
		if err := w.troubles(f.path, problems, err); err != nil {
			return err
		}
		findings = append(findings, found...)
	}
	return w.fileFindings(r, h, findings)
}

// fileFindings raises findings of files, each once as long as the file is what it was:
// files are judged again whenever the watch begins.
func (w *Watch) fileFindings(r *root, h *host, findings []postern.Finding) error {
	fresh := findings[:0]
	var ids []string
	for i := range findings {
		id := contentID(&findings[i])
		if w.store.raised[id] {
			continue
		}
		ids = append(ids, id)
		fresh = append(fresh, findings[i])
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := w.judge(r, h, w.name(h), fresh, contentID, contentID); err != nil {
		return err
	}
	for _, id := range ids {
		w.store.raise(id)
	}
	return nil
}

// settings judges all settings of a host together, as one changes what another says.
func (w *Watch) settings(r *root, h *host) error {
	var all []*file
	r.each(r.top, func(f *file) {
		if !f.setting {
			return
		}
		if of, err := w.hostOf(r, f.path); err == nil && of == h {
			all = append(all, f)
		}
	})
	slices.SortFunc(all, func(a, b *file) int { return strings.Compare(a.path, b.path) })
	for _, d := range w.opt.Hosts {
		var parts []any
		for _, f := range all {
			fd, info, err := r.open(f.path)
			if err != nil {
				f.mod = unread
				if err := w.unreadable(f.path, err); err != nil {
					return err
				}
				continue
			}
			fd.Close()
			df := w.asFile(r, f.path, info)
			if !d.Wants(df) {
				continue
			}
			var part any
			problems, err := unbroken(f.path, func() (problems []postern.Problem, err error) {
				part, problems, err = d.Read(df)
				return problems, err
			})
			if err != nil {
				f.mod = unread
			}
			if err := w.troubles(f.path, problems, err); err != nil {
				return err
			}
			if part != nil {
				parts = append(parts, part)
			}
		}
		if len(parts) == 0 {
			continue
		}
		if err := w.fileFindings(r, h, d.Judge(parts).Findings); err != nil {
			return err
		}
	}
	return nil
}

// unbroken lets a detector look at a file. One on which it stumbles is told like any other
// that cannot be looked at, and does not end the watch, nor every one that is begun again.
func unbroken(p string, look func() ([]postern.Problem, error)) (problems []postern.Problem, err error) {
	defer func() {
		if recover() != nil {
			problems, err = []postern.Problem{{Path: p, What: postern.Unreadable, Detail: postern.Say("hunt.stumbled")}}, nil
		}
	}()
	return look()
}

// each visits the files of interest in a folder and below it.
func (r *root) each(d *folder, visit func(*file)) {
	for _, f := range d.files {
		visit(f)
	}
	for _, sub := range d.subs {
		r.each(sub, visit)
	}
}

// troubles tells about a file that could not be looked at, or not wholly.
func (w *Watch) troubles(p string, problems []postern.Problem, err error) error {
	for _, problem := range problems {
		if err := w.problem(problem); err != nil {
			return err
		}
	}
	if err != nil {
		return w.unreadable(p, err)
	}
	return nil
}

// rowID names a finding of a row by the rule and the row itself with its place in the
// log, whatever that is called by now: it is the same when a row is read again, from a
// log that was renamed or from a copy.
func rowID(f *postern.Finding) string {
	parts := []string{"row", f.Rule}
	for _, e := range f.Evidence {
		parts = append(parts, strconv.FormatInt(e.Offset, 10), e.Excerpt)
	}
	return alertID(parts...)
}

// contentID names a finding of a file by the rule, the file and what is in it.
func contentID(f *postern.Finding) string {
	parts := []string{"file", f.Rule}
	for _, e := range f.Evidence {
		parts = append(parts, e.Path, e.SHA256, strconv.FormatInt(e.Line, 10), strconv.FormatInt(e.Offset, 10), e.Excerpt)
	}
	for _, name := range sortedKeys(f.Entities) {
		parts = append(parts, name, f.Entities[name])
	}
	return alertID(parts...)
}

// alertID makes a name out of what an alert is about.
func alertID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		io.WriteString(h, strconv.Itoa(len(p))+":"+p)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
