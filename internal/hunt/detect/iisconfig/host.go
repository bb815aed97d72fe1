package iisconfig

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"postern"
	"postern/internal/hunt/parse/iisconfig"
)

// side is which of the product's two sites a site is.
type side int

const (
	foreign side = iota // not the product's
	front               // what clients talk to
	back                // what the front end talks to
)

// host is all configuration of one server, put together.
type host struct {
	d       *Detector
	configs []*Config
	// server is the applicationHost.config in force, nil if it was not given or
	// redirection.config says that another one is in force.
	server    *Config
	elsewhere bool
	// perhaps is a redirection.config of which it is not known what it says.
	perhaps *Config
	// family is every applicationHost.config in order of time: history copies by
	// number, then the one in force.
	family  []*Config
	lost    []*Config // places that were not looked at
	install string    // canonical, "" if unknown
}

func (d *Detector) host(configs []*Config) *host {
	h := &host{d: d, install: d.install}
	for _, c := range configs {
		if c == nil || c.File == nil {
			continue
		}
		if c.Lost {
			h.lost = append(h.lost, c)
			continue
		}
		h.configs = append(h.configs, c)
		switch {
		case c.base() == "applicationhost.config" || c.base() != "web.config" && c.IsApplicationHost():
			h.family = append(h.family, c)
		case c.Elsewhere.Enabled && c.Copy == 0:
			h.elsewhere = true
		case c.base() == "redirection.config" && c.Copy == 0 && !sound(c):
			h.perhaps = c
		}
	}
	slices.SortStableFunc(h.configs, func(a, b *Config) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortStableFunc(h.family, func(a, b *Config) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Path, b.Path))
	})
	if n := len(h.family); n > 0 && h.family[n-1].Copy == 0 && !h.elsewhere {
		h.server = h.family[n-1]
		for _, c := range h.family { // the folder that IIS reads wins over other copies
			if c.Copy == 0 && strings.HasSuffix(strings.ToLower(c.Server), "inetsrv/config/applicationhost.config") {
				h.server = c
			}
		}
	}
	if h.install == "" {
		h.install = h.guessInstall()
	}
	return h
}

// rank puts the file in force after its history.
func rank(c *Config) int {
	if c.Copy == 0 {
		return 1 << 30
	}
	return c.Copy
}

// guessInstall takes the install folder from the applications themselves: the
// one in which most stock addresses have their stock folder. One address alone
// decides nothing, and a folder that is odd is no install folder.
func (h *host) guessInstall() string {
	votes := make(map[string]int)
	for _, c := range h.family {
		for _, s := range c.Sites {
			for _, app := range s.Applications {
				for _, dir := range app.Directories {
					folder, at := canonical(dir.PhysicalPath, ""), strings.ToLower(address(app.Path, dir.Path))
					for _, stock := range h.d.stock[at] {
						tail, ok := strings.CutPrefix(stock, product)
						if root, has := strings.CutSuffix(folder, tail); ok && has && root != "" {
							votes[root]++
						}
					}
				}
			}
		}
	}
	best := ""
	for _, root := range slices.Sorted(maps.Keys(votes)) {
		if votes[root] >= 2 && votes[root] > votes[best] && underAny(root, h.d.k.OddFolders) == "" && h.d.k.device(root) == "" {
			best = root
		}
	}
	return best
}

// sideOf tells the product's sites by the folders of their applications.
func (h *host) sideOf(s *iisconfig.Site) side {
	if h.install == "" {
		return foreign
	}
	found := foreign
	for _, app := range s.Applications {
		for _, dir := range app.Directories {
			switch folder := canonical(dir.PhysicalPath, h.install); {
			case under(folder, frontFolder):
				return front
			case under(folder, backFolder):
				found = back
			}
		}
	}
	return found
}

// hit is one finding in one file, before the history is put together.
type hit struct {
	postern.Finding
	key string // the same thing in another copy has the same key
	c   *Config
}

// found makes a hit of a rule at an element.
func (h *host) found(c *Config, rule string, at iisconfig.Pos, title postern.Text, key ...string) hit {
	r := h.d.rules[rule]
	return hit{
		Finding: postern.Finding{
			Rule: rule, Level: r.Level, Confidence: r.Confidence, Tags: r.Tags,
			Title: title, Evidence: []postern.Evidence{c.evidence(at)},
		},
		key: rule + "\x00" + strings.ToLower(strings.Join(key, "\x00")), c: c,
	}
}

// Findings says what the configuration of one host holds, given all its files.
// What stands in several copies of the history is one finding with the earliest
// copy as its first evidence.
func (d *Detector) Findings(configs ...*Config) []postern.Finding {
	h := d.host(configs)
	var hits []hit
	for _, c := range h.configs {
		hits = append(hits, h.look(c)...)
	}
	findings := h.merge(hits)
	for i := range findings {
		findings[i].ID = postern.FindingID(findings[i].Rule, findings[i].Evidence[0])
	}
	return findings
}

// merge makes one finding of the same thing in several files of the family.
func (h *host) merge(hits []hit) []postern.Finding {
	var order []string
	groups := make(map[string][]hit)
	for _, x := range hits {
		key := x.key
		if !slices.Contains(h.family, x.c) {
			key += "\x00" + x.c.Path
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], x)
	}
	var findings []postern.Finding
	for _, key := range order {
		group := groups[key]
		slices.SortStableFunc(group, func(a, b hit) int { return cmp.Compare(rank(a.c), rank(b.c)) })
		f := group[0].Finding
		last := group[len(group)-1]
		if last.c != group[0].c {
			f.Evidence = append(f.Evidence, last.Evidence[0])
		}
		h.date(&f, group[0].c, last.c)
		findings = append(findings, f)
	}
	return findings
}

// date says since when and until when something stood in the configuration, as
// far as the history goes.
func (h *host) date(f *postern.Finding, first, last *Config) {
	at := slices.Index(h.family, first)
	if at < 0 || len(h.family) < 2 {
		return
	}
	switch before := h.before(at); {
	case before == nil && first.Copy == 0:
	case before == nil:
		f.Explain = append(f.Explain, postern.Say("config.history.oldest", "copy", first.Copy, "time", stamp(first.ModTime)))
	case first.Copy == 0:
		f.Explain = append(f.Explain, postern.Say("config.history.new", "before", before.Copy, "before_time", stamp(before.ModTime)))
	default:
		f.Explain = append(f.Explain, postern.Say("config.history.since",
			"copy", first.Copy, "time", stamp(first.ModTime), "before", before.Copy, "before_time", stamp(before.ModTime)))
	}
	if h.before(at) != nil && h.orderedTimes() {
		f.Time = first.ModTime.UTC()
	}
	if last.Copy != 0 && h.family[len(h.family)-1].Copy == 0 {
		f.Explain = append(f.Explain, postern.Say("config.history.gone", "copy", last.Copy, "time", stamp(last.ModTime)))
	}
}

// before gives the last whole copy before the one at an index: what is not in
// half a file may yet have been there.
func (h *host) before(at int) *Config {
	for i := at - 1; i >= 0; i-- {
		if c := h.family[i]; rank(c) < rank(h.family[at]) && c.Whole && c.WellFormed {
			return c
		}
	}
	return nil
}

// orderedTimes says whether the file times of the history can be believed: they
// rise with the numbers. A collection that touched the files gives them one time
// or none.
func (h *host) orderedTimes() bool {
	for i, c := range h.family {
		if c.ModTime.IsZero() || i > 0 && !c.ModTime.After(h.family[i-1].ModTime) {
			return false
		}
	}
	return len(h.family) > 1
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return t.UTC().Format(time.RFC3339)
}
