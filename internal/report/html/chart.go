package html

import (
	"math"
	"strconv"
	"time"

	"postern"
	"postern/internal/report"
)

// The charts are SVG whose horizontal places are percentages, so that they are as
// wide as the page and their dots stay round on every screen.

// percent writes a share as a number for an attribute, to a tenth of a percent.
func percent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1000)/10, 'f', -1, 64)
}

// bar is the coverage of one source.
type bar struct {
	*report.Lane
	StatusName, Percent, Desc string
	Drawn                     bool
	Runs                      []run
}

// run is neighbouring cells of the same shade.
type run struct {
	Shade    int
	X, Width string
}

// catalogue: report.seen.*
func (p *page) newBar(l *report.Lane, drawable bool) bar {
	b := bar{Lane: l, StatusName: p.Of("report.seen.", string(l.Status)), Drawn: drawable && l.Status != postern.NotApplicable && !l.Timeless()}
	if l.Timeless() {
		b.StatusName = p.T("report.present", "count", p.Number(l.Records))
	}
	if !b.Drawn {
		return b
	}
	b.Percent = p.Percent(l.Share)
	b.Desc = p.T("report.lane-desc", "source", l.Source, "status", b.StatusName, "share", b.Percent)
	for from := 0; from < report.Cells; {
		to := from + 1
		for to < report.Cells && shade(l.Cells[to]) == shade(l.Cells[from]) {
			to++
		}
		if s := shade(l.Cells[from]); s > 0 {
			b.Runs = append(b.Runs, run{s, percent(float64(from) / report.Cells), percent(float64(to-from) / report.Cells)})
		}
		from = to
	}
	return b
}

// shade gives 0 for nothing and 3 for all, and neither for what is only nearly so.
func shade(share float64) int {
	switch {
	case share < 1e-9:
		return 0
	case share < 0.5:
		return 1
	case share < 1-1e-9:
		return 2
	}
	return 3
}

// tick is a date under a chart.
type tick struct{ X, Text, Anchor string }

// maxTicks is how many dates fit under a chart on a phone.
const maxTicks = 4

// ticks writes the ends of a window and round dates between them.
func ticks(w report.Window) []tick {
	from, to := w.From.Time, w.To.Time
	all := []tick{{"0", from.Format(time.DateOnly), "start"}}
	whole := to.Sub(from)
	months := int(whole.Hours()/24/30.4)/maxTicks + 1
	at := time.Date(from.Year(), from.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, months, 0)
	for ; at.Before(to) && len(all) < 2*maxTicks; at = at.AddDate(0, months, 0) {
		// Those too near to an end would be written over it.
		if x := float64(at.Sub(from)) / float64(whole); x > 0.2 && x < 0.8 {
			all = append(all, tick{percent(x), at.Format("2006-01"), "middle"})
		}
	}
	return append(all, tick{"100", to.Format(time.DateOnly), "end"})
}

// timeline draws how far an incident got: one lane a level, time from left to right.
type timeline struct {
	ID, Title, Desc, Note string
	Height, Foot          int
	First, Last           string
	Lanes                 []lane
	Paths                 []path
	Dots                  []dot
}

type lane struct {
	Y, Label int
	Title    string
}

type path struct {
	X1, X2 string
	Y1, Y2 int
}

type dot struct {
	X     string
	Y, R  int
	Level int
	Title string
}

const (
	laneHeight = 34 // room for a title above the line
	margin     = 4  // percent left free at both sides
)

// newTimeline gives nil for an incident with fewer than two moments: there is
// nothing to draw that the words beside it do not say.
func (p *page) newTimeline(id string, tale *report.Tale) *timeline {
	var steps []report.Step
	highest := postern.NotSeen
	count := 0
	for _, s := range tale.Steps {
		if s.Level > postern.NotSeen && !s.Time.IsZero() {
			steps = append(steps, s)
			highest = max(highest, s.Level)
			count += s.Count
		}
	}
	if len(steps) < 2 {
		return nil
	}
	last := steps[len(steps)-1].Time
	t := &timeline{
		ID: id, Title: p.T("report.timeline-title"), Note: p.T("report.timeline-note"),
		Desc: p.T("report.timeline-desc", "count", p.Number(int64(count)), "level", int(highest),
			"first", p.Moment(steps[0].Time), "last", p.Moment(last)),
		First: p.Moment(steps[0].Time), Last: p.Moment(last),
	}
	y := func(l postern.Level) int { return laneHeight * (int(highest-l) + 1) }
	for l := highest; l >= postern.Probed; l-- {
		t.Lanes = append(t.Lanes, lane{Y: y(l), Label: y(l) - 12, Title: strconv.Itoa(int(l)) + "  " + p.levelTitle(tale.Campaign, l)})
	}
	t.Foot = y(postern.Probed) + 22
	t.Height = t.Foot + 6
	for i, x := range spread(steps) {
		s := &steps[i]
		d := dot{X: percent(x), Y: y(s.Level), R: 6, Level: int(s.Level), Title: p.Moment(s.Time) + "  " + s.Title}
		if s.Count > 1 {
			d.R = 8
			d.Title += " (" + p.T("report.step-count", "count", s.Count) + ")"
		}
		if i > 0 {
			before := t.Dots[i-1]
			t.Paths = append(t.Paths, path{before.X, d.X, before.Y, before.Y}, path{d.X, d.X, before.Y, d.Y})
		}
		t.Dots = append(t.Dots, d)
	}
	return t
}

// spread places steps in order from left to right. The distance of two grows
// with the logarithm of the time between them: seconds of an attack and weeks
// until its use both stay readable.
func spread(steps []report.Step) []float64 {
	places := make([]float64, len(steps))
	sum := 0.0
	for i := 1; i < len(steps); i++ {
		sum += 1 + math.Log1p(max(0, steps[i].Time.Sub(steps[i-1].Time.Time).Seconds()))
		places[i] = sum
	}
	for i := range places {
		places[i] = (margin + (100-2*margin)*places[i]/sum) / 100
	}
	return places
}
