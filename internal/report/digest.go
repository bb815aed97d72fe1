package report

import (
	"cmp"
	"slices"

	"postern"
)

// What a report for people shows of one host; the rest is counted. Everything is
// in the JSON.
const (
	maxGroups    = 60  // rules
	maxIncidents = 20  // stories
	maxSteps     = 60  // findings of one story
	maxSentences = 40  // sentences of one story
	maxInputs    = 100 // files with their hash
	maxEvidence  = 3   // places of one finding
	// Cells is how finely a window is drawn: at three months a cell is most of a day.
	Cells = 120
)

// Digest is one host as the reports for people show it. It holds no more than is
// shown, so that a report over many hosts stays small.
type Digest struct {
	Head
	Clean     Clean
	Campaigns []View
	Incidents []Tale
	Groups    []Group // worst first, level 0 last
	Inputs    []Input // files that findings rest on

	MoreIncidents, MoreGroups, MoreInputs int
	Findings                              int
}

// Clean is the third of the three facts, next to patched and mitigated. It is
// never a plain yes: the best that can be said is that nothing was found and that
// the logs would have shown it.
type Clean string

// The three answers to "clean?".
const (
	NotClean   Clean = "no"      // level 2 or above
	NotKnown   Clean = "unknown" // nothing found, but not all was seen
	NothingYet Clean = "nothing" // nothing found in the time that is covered
)

// View is one campaign's verdict and coverage.
type View struct {
	Name    string
	Title   string
	Verdict Verdict
	Window  Window // zero if the report does not describe the campaign
	Lanes   []Lane
	// Marks are the findings over the window: for each cell the highest level plus
	// one, 0 for none. Findings of level 0 are not marked.
	Marks  [Cells]uint8
	Marked bool
}

// Apart says whether no source has anything to do with the campaign, as where the
// evidence ends before it began: a sentence says it all.
func (v *View) Apart() bool {
	return len(v.Lanes) > 0 && !slices.ContainsFunc(v.Lanes, func(l Lane) bool { return l.Status != postern.NotApplicable })
}

// Lane is the coverage of one source, drawn over the window.
type Lane struct {
	Coverage
	Required bool
	Share    float64        // of the window, 0 to 1
	Cells    [Cells]float64 // the share of each cell
}

// Group is the findings of one rule at one level.
type Group struct {
	Finding           // the first that came, for what they share
	Count       int64 // of findings
	First, Last Time
	Shown       []Sighting // the first few
}

// Sighting is a finding with the first few of its places.
type Sighting struct {
	Finding
	MorePlaces int
}

// Tale is one incident with what it is made of.
type Tale struct {
	Incident
	Campaign  string // of its worst finding
	Title     string // of its level, in the words of its campaign
	Steps     []Step
	MoreSteps int
	MoreStory int
}

// Step is one finding of an incident, or several of one kind in a row.
type Step struct {
	Rule  string
	Level postern.Level
	Title string
	Time  Time // of the first
	Count int
	From  string // address of the client, of the first
	Path  string
	Line  int64
}

// Input is a file that a finding rests on.
type Input struct{ Path, SHA256 string }

// NewDigest condenses a host. perRule is how many findings of each rule to keep.
func NewDigest(run *Run, h *Host, perRule int) *Digest {
	d := &Digest{Head: h.Head, Clean: clean(&h.Verdict), Findings: len(h.Findings)}
	d.group(h, perRule)
	d.views(run, h)
	d.tales(run, h)
	d.inputs(h)
	return d
}

func clean(v *Verdict) Clean {
	switch {
	case v.Level >= postern.Exploited:
		return NotClean
	case v.Conclusive:
		return NothingYet
	}
	return NotKnown
}

// Headline is the verdict's title. If too little was seen to say that nothing
// happened, it says so in the same breath.
func (d *Digest) Headline(w Words) string {
	if d.Clean != NotKnown {
		return d.Verdict.Title
	}
	return d.Verdict.Title + ": " + w.T("report.chip.not-conclusive")
}

// Worse orders hosts for a reader: the worst first, among those of one level the
// ones about which the least is known, then by name.
func Worse(a, b *Digest) int {
	undecided := func(d *Digest) int {
		if d.Verdict.Conclusive {
			return 1
		}
		return 0
	}
	return cmp.Or(
		-cmp.Compare(a.Verdict.Level, b.Verdict.Level),
		cmp.Compare(undecided(a), undecided(b)),
		cmp.Compare(a.Host, b.Host),
	)
}

func (d *Digest) group(h *Host, perRule int) {
	type key struct {
		rule, title string
		level       postern.Level
	}
	at := map[key]int{}
	for i := range h.Findings {
		f := &h.Findings[i]
		k := key{f.Rule, f.Title, f.Level}
		n, ok := at[k]
		if !ok {
			n = len(d.Groups)
			at[k] = n
			d.Groups = append(d.Groups, Group{Finding: *f})
			d.Groups[n].Evidence = nil // the sightings have it
		}
		g := &d.Groups[n]
		g.Count++
		g.Confidence = max(g.Confidence, f.Confidence)
		if !f.Time.IsZero() {
			if g.First.IsZero() || f.Time.Before(g.First.Time) {
				g.First = f.Time
			}
			if f.Time.After(g.Last.Time) {
				g.Last = f.Time
			}
		}
		if len(g.Shown) < perRule {
			g.Shown = append(g.Shown, newSighting(f))
		}
	}
	slices.SortStableFunc(d.Groups, func(a, b Group) int {
		return cmp.Or(-cmp.Compare(a.Level, b.Level), -cmp.Compare(a.Confidence, b.Confidence), compareTimes(a.First, b.First))
	})
	if more := len(d.Groups) - maxGroups; more > 0 {
		d.MoreGroups = more
		d.Groups = slices.Clip(slices.Clone(d.Groups[:maxGroups]))
	}
}

func newSighting(f *Finding) Sighting {
	s := Sighting{Finding: *f}
	if s.MorePlaces = max(0, len(f.Evidence)-maxEvidence); s.MorePlaces > 0 {
		s.Evidence = slices.Clone(f.Evidence[:maxEvidence])
	}
	return s
}

// compareTimes puts unknown times last.
func compareTimes(a, b Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	}
	return a.Compare(b.Time)
}

func (d *Digest) views(run *Run, h *Host) {
	for i := range h.Campaigns {
		c := &h.Campaigns[i]
		v := View{Name: c.Name, Title: c.Name, Verdict: c.Verdict}
		required := map[string]bool{}
		if known := run.campaign(c.Name); known != nil {
			v.Window = known.Window
			if known.Title != "" {
				v.Title = known.Title
			}
			for _, s := range known.Sources {
				required[s.Name] = s.Required
			}
		}
		for _, cover := range c.Coverage {
			l := newLane(cover, v.Window)
			l.Required = required[cover.Source]
			v.Lanes = append(v.Lanes, l)
		}
		v.mark(h.Findings)
		d.Campaigns = append(d.Campaigns, v)
	}
	if len(h.Campaigns) == 0 && len(h.Coverage) > 0 {
		v := View{Verdict: h.Verdict}
		for _, cover := range h.Coverage {
			v.Lanes = append(v.Lanes, newLane(cover, v.Window))
		}
		d.Campaigns = append(d.Campaigns, v)
	}
}

func (r *Run) campaign(name string) *Campaign {
	for i := range r.Campaigns {
		if r.Campaigns[i].Name == name {
			return &r.Campaigns[i]
		}
	}
	return nil
}

// LevelTitle says a level in the words of a campaign, "" if the report has none.
func (r *Run) LevelTitle(campaign string, l postern.Level) string {
	if c := r.campaign(campaign); c != nil && l.Valid() && int(l) < len(c.Levels) {
		return c.Levels[l]
	}
	return ""
}

// Drawable says whether the window has two ends in the right order.
func (w Window) Drawable() bool {
	return !w.From.IsZero() && !w.To.IsZero() && w.To.After(w.From.Time)
}

// at gives the place of a moment in the window, 0 to 1 inside.
func (w Window) at(t Time) float64 {
	return float64(t.Sub(w.From.Time)) / float64(w.To.Sub(w.From.Time))
}

// Timeless says that the source has no times of its own, such as web folders: it
// is there, and covers what is there now.
func (l *Lane) Timeless() bool { return l.Status == postern.Covered && l.From.IsZero() }

func newLane(c Coverage, w Window) Lane {
	l := Lane{Coverage: c}
	l.Gaps = nil // drawn, not listed
	if !w.Drawable() || c.From.IsZero() || c.To.IsZero() || c.Status == postern.Absent || c.Status == postern.NotApplicable {
		return l
	}
	l.add(w.at(c.From), w.at(c.To), 1)
	for _, g := range c.Gaps {
		if g.From.IsZero() || g.To.IsZero() {
			continue
		}
		l.add(max(w.at(g.From), w.at(c.From)), min(w.at(g.To), w.at(c.To)), -1)
	}
	for i := range l.Cells {
		l.Cells[i] = min(max(l.Cells[i], 0), 1)
		l.Share += l.Cells[i] / Cells
	}
	return l
}

// add adds a stretch of the window, whose places are 0 to 1, to the cells.
func (l *Lane) add(from, to, weight float64) {
	from, to = max(from, 0)*Cells, min(to, 1)*Cells
	for i := int(from); i < Cells && float64(i) < to; i++ {
		l.Cells[i] += weight * (min(to, float64(i+1)) - max(from, float64(i)))
	}
}

func (v *View) mark(findings []Finding) {
	if !v.Window.Drawable() {
		return
	}
	for i := range findings {
		f := &findings[i]
		if f.Level == postern.NotSeen || f.Time.IsZero() || f.Campaign != "" && f.Campaign != v.Name {
			continue
		}
		if at := v.Window.at(f.Time); at >= 0 && at < 1 {
			cell := &v.Marks[int(at*Cells)]
			*cell = max(*cell, uint8(f.Level)+1)
			v.Marked = true
		}
	}
}

func (d *Digest) tales(run *Run, h *Host) {
	if len(h.Incidents) == 0 {
		return
	}
	byID := make(map[string]*Finding, len(h.Findings))
	for i := range h.Findings {
		byID[h.Findings[i].ID] = &h.Findings[i]
	}
	incidents := slices.Clone(h.Incidents)
	slices.SortStableFunc(incidents, func(a, b Incident) int {
		return cmp.Or(-cmp.Compare(a.Level, b.Level), compareTimes(a.First, b.First))
	})
	if d.MoreIncidents = max(0, len(incidents)-maxIncidents); d.MoreIncidents > 0 {
		incidents = incidents[:maxIncidents]
	}
	for _, in := range incidents {
		t := Tale{Incident: in}
		t.Findings = nil // the steps stand for them
		if t.MoreStory = max(0, len(in.Story)-maxSentences); t.MoreStory > 0 {
			t.Story = slices.Clone(in.Story[:maxSentences])
		}
		for _, id := range in.Findings {
			f := byID[id]
			if f == nil {
				continue
			}
			if t.Campaign == "" && f.Level == in.Level {
				t.Campaign, t.Title = f.Campaign, run.LevelTitle(f.Campaign, in.Level)
			}
			if last := len(t.Steps) - 1; last >= 0 && t.Steps[last].Rule == f.Rule && t.Steps[last].Level == f.Level {
				t.Steps[last].Count++
			} else {
				t.Steps = append(t.Steps, newStep(f))
			}
		}
		t.keep()
		d.Incidents = append(d.Incidents, t)
	}
}

// keep leaves the steps of the highest levels, in order of time.
func (t *Tale) keep() {
	if t.MoreSteps = max(0, len(t.Steps)-maxSteps); t.MoreSteps > 0 {
		slices.SortStableFunc(t.Steps, func(a, b Step) int { return -cmp.Compare(a.Level, b.Level) })
		t.Steps = slices.Clone(t.Steps[:maxSteps])
	}
	slices.SortStableFunc(t.Steps, func(a, b Step) int { return compareTimes(a.Time, b.Time) })
}

func newStep(f *Finding) Step {
	s := Step{Rule: f.Rule, Level: f.Level, Title: f.Title, Time: f.Time, Count: 1, From: f.Entities[postern.ClientIP]}
	if len(f.Evidence) > 0 {
		s.Path, s.Line = f.Evidence[0].Path, f.Evidence[0].Line
	}
	return s
}

func (d *Digest) inputs(h *Host) {
	seen := map[Input]bool{}
	for i := range h.Findings {
		for _, e := range h.Findings[i].Evidence {
			in := Input{e.Path, e.SHA256}
			if e.SHA256 == "" || seen[in] {
				continue
			}
			seen[in] = true
			if len(d.Inputs) < maxInputs {
				d.Inputs = append(d.Inputs, in)
			} else {
				d.MoreInputs++
			}
		}
	}
	slices.SortFunc(d.Inputs, func(a, b Input) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.SHA256, b.SHA256))
	})
}

// Trouble is the problems of a run, grouped by kind.
type Trouble struct {
	Kinds []Kind
	Total int64
}

// Kind is the problems of one kind: how many, and the first few.
type Kind struct {
	What  postern.ProblemKind
	Count int64
	Shown []Problem
}

// maxKinds bounds a list that is closed in our own files but not in a hostile one.
const maxKinds = 32

// Add counts a problem and keeps it if it is one of the first n of its kind.
func (t *Trouble) Add(p *Problem, n int) {
	t.Total++
	i := slices.IndexFunc(t.Kinds, func(k Kind) bool { return k.What == p.What })
	if i < 0 {
		if len(t.Kinds) == maxKinds {
			i = maxKinds - 1
		} else {
			i = len(t.Kinds)
			t.Kinds = append(t.Kinds, Kind{What: p.What})
		}
	}
	k := &t.Kinds[i]
	k.Count++
	if len(k.Shown) < n {
		k.Shown = append(k.Shown, *p)
	}
}

// MultiCampaign says whether the host has verdicts of several campaigns, which
// then need their titles.
func (d *Digest) MultiCampaign() bool { return len(d.Campaigns) > 1 }
