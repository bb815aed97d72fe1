package html

import (
	"fmt"
	"strings"

	"postern"
	"postern/internal/report"
)

// host is one host as the template sees it.
type host struct {
	*report.Digest
	Page  *page
	ID    string
	Views []view
}

func (p *page) newHost(n int, d *report.Digest) *host {
	h := &host{Digest: d, Page: p, ID: fmt.Sprintf("host-%d", n)}
	for i := range d.Campaigns {
		h.Views = append(h.Views, p.newView(&d.Campaigns[i], d.MultiCampaign()))
	}
	return h
}

// Name is the host's, or says that it has none.
func (h *host) Name() string {
	if h.Host == "" {
		return h.Page.T("report.unnamed")
	}
	return h.Host
}

// BuildName is the build, or says that it is unknown.
func (h *host) BuildName() string {
	if h.Build == "" {
		return h.Page.T("report.unknown")
	}
	return h.Build
}

// Headline is the verdict in a few words.
func (h *host) Headline() string { return h.Digest.Headline(h.Page.Words) }

// Level is the number of the verdict's level.
func (h *host) Level() int { return int(h.Verdict.Level) }

// Confidence says the verdict's confidence.
func (h *host) Confidence() string { return h.Page.Sure(h.Verdict.Confidence) }

// Tone is the class that colours the verdict. Words say the same.
func (h *host) Tone() string { return tone(h.Clean) }

func tone(c report.Clean) string {
	switch c {
	case report.NotClean:
		return "bad"
	case report.NothingYet:
		return "good"
	}
	return "unsure"
}

// rung is one level of the ladder.
type rung struct{ Title, Class string }

// Ladder gives levels 1 to 6: those that a finding shows, those below the verdict
// that none shows, and those above it.
func (h *host) Ladder() []rung {
	seen := map[postern.Level]bool{}
	for i := range h.Groups {
		seen[h.Groups[i].Level] = true
	}
	campaign := ""
	if len(h.Campaigns) == 1 {
		campaign = h.Campaigns[0].Name
	}
	var rungs []rung
	for l := postern.Probed; l <= postern.PostExploitation; l++ {
		r := rung{Title: h.Page.levelTitle(campaign, l)}
		switch {
		case l == h.Verdict.Level:
			r.Class = "top"
		case l < h.Verdict.Level && seen[l]:
			r.Class = "seen"
		case l < h.Verdict.Level:
			r.Class = "under"
		}
		rungs = append(rungs, r)
	}
	return rungs
}

// catalogue: level.*
func (p *page) levelTitle(campaign string, l postern.Level) string {
	if title := p.Run.LevelTitle(campaign, l); title != "" {
		return title
	}
	return p.T(fmt.Sprintf("level.%d", int(l)))
}

// fact is one of the three facts.
type fact struct {
	Name, Answer, Why, Tone string
	Since                   report.Time
}

// Facts gives the three facts that nobody may mix up.
// catalogue: report.clean.*
func (h *host) Facts() []fact {
	p := h.Page
	state := func(name string, f *report.Fact) fact {
		return fact{Name: name, Answer: p.Of("report.state.", string(f.State)), Why: f.Why, Since: f.Since, Tone: stateTone(f.State)}
	}
	return []fact{
		state(p.T("report.patched"), &h.Patched),
		state(p.T("report.mitigated"), &h.Mitigated),
		{
			Name: p.T("report.clean"), Answer: p.T("report.clean.short." + string(h.Clean)),
			Why: p.T("report.clean.why." + string(h.Clean)), Tone: tone(h.Clean),
		},
	}
}

func stateTone(s postern.State) string {
	switch s {
	case postern.Yes:
		return "good"
	case postern.No, postern.Ineffective:
		return "bad"
	}
	return "unsure"
}

// story is one incident.
type story struct {
	*report.Tale
	Heading string
	Level   int
	Lasts   bool
	Chart   *timeline
}

// Stories gives the incidents with their charts.
func (h *host) Stories() []story {
	var all []story
	for i := range h.Incidents {
		t := &h.Incidents[i]
		s := story{Tale: t, Heading: t.Title, Level: int(t.Level), Lasts: !t.Last.IsZero() && t.Last != t.First}
		if s.Heading == "" {
			s.Heading = h.Page.levelTitle("", t.Level)
		}
		s.Chart = h.Page.newTimeline(fmt.Sprintf("%s-story-%d", h.ID, i+1), t)
		all = append(all, s)
	}
	return all
}

// view is the coverage of one campaign.
type view struct {
	*report.View
	Page   *page
	Titled bool
	Drawn  bool
	Bars   []bar
	Dots   []dot
	Ticks  []tick
}

func (p *page) newView(v *report.View, titled bool) view {
	d := view{View: v, Page: p, Titled: titled && v.Title != "", Drawn: v.Window.Drawable()}
	for i := range v.Lanes {
		d.Bars = append(d.Bars, p.newBar(&v.Lanes[i], d.Drawn))
	}
	for cell, mark := range v.Marks {
		if mark > 0 {
			d.Dots = append(d.Dots, dot{X: percent((float64(cell) + 0.5) / report.Cells), Level: int(mark) - 1})
		}
	}
	if d.Drawn {
		d.Ticks = ticks(v.Window)
	}
	return d
}

// Reasons says why the window begins and ends where it does.
func (v *view) Reasons() string {
	var reasons []string
	for _, r := range [...]string{v.Window.FromReason, v.Window.ToReason} {
		if r != "" {
			reasons = append(reasons, r)
		}
	}
	return strings.Join(reasons, "; ")
}
