package adoption

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"postern"
	"postern/internal/picture"
)

//go:embed page.html
var pageText string

// row is one line of the page's tables.
type row struct {
	At, Share, Band, Bounds string
	N, Waiting, Undecidable int
}

// groupRow is one group.
type groupRow struct {
	Name, Share, Band, Bounds, Median string
	Followed, Undecidable             int
	Whisker                           template.HTML
}

// card is one of the numbers on top; the first is the one to remember.
type card struct {
	Number, Says string
	First        bool
}

// page is what the template shows; all text is in the reader's language already.
type page struct {
	Lang, Title, Scope, Figures string
	Cards                       []card
	Headline, Median, Notes     []string
	Bounds                      bool // no share is stated
	Drawing, Narrow             template.HTML
	Style                       template.CSS
	Points, Since               []row
	Published                   []publishedRow
	Groups                      []groupRow
	GroupsTitle                 string
	T                           func(key string) string
}

type publishedRow struct{ Date, Source, Scope, Share, Says string }

// HTML writes a page of its own: no script, nothing fetched, light and dark, and it
// prints.
func HTML(out io.Writer, r *picture.Report, l postern.Localizer, lang string, others []Published) error {
	w := words{l}
	last := &r.Points[len(r.Points)-1]
	bounds := r.Doubt != picture.NoDoubt
	p := page{
		Lang: lang, Title: w.say("picture.title", "cve", printable(r.CVE)), Scope: w.scopes(r), Figures: w.figures(&r.Curve),
		Headline: w.headline(&r.Curve), Median: w.median(&r.Curve), Bounds: bounds,
		Cards: []card{
			{w.share(last, r.Doubt), w.say("picture.card-share", "date", date(last.Time)), true},
			{w.band(last.Low, last.High), w.say("picture.legend-band"), false},
			{w.band(last.UndecidableLow, last.UndecidableHigh), w.say("picture.legend-undecidable"), false},
			{w.shortMedian(&r.Curve), w.say("picture.card-median"), false},
		},
		// The drawing escapes every word that it writes.
		Drawing: template.HTML(draw(r, l, others, wide, false)), Narrow: template.HTML(draw(r, l, others, narrow, false)), Style: template.CSS(style),
		Points: rows(w, r.Points, false), Since: rows(w, r.SinceFix, true),
		// catalogue: picture.*
		T: func(key string) string { return w.say("picture." + key) },
	}
	if bounds {
		p.Cards = []card{
			{w.share(last, r.Doubt), w.say("picture.card-bounds", "date", date(last.Time)), true},
			{w.band(last.Low, last.High), w.say("picture.legend-bounds-band"), false},
			{fmt.Sprint(last.Undecidable), w.say("picture.card-undecidable", "hosts", hosts(&r.Curve)), false},
			{w.shortMedian(&r.Curve), w.say("picture.card-median"), false},
		}
	}
	for _, n := range r.Notes {
		p.Notes = append(p.Notes, l.Say(n))
	}
	for _, o := range shown(r, others) { // numbered by the list, as in the drawing
		p.Published = append(p.Published, publishedRow{date(o.Date), printable(o.Source), printable(o.Scope), w.published(o.Share), clean(o.Says, 120)})
	}
	if len(r.Groups) > 0 {
		p.GroupsTitle = w.say("picture.groups-title", "by", w.by(r))
	}
	for i := range r.Groups {
		g := &r.Groups[i]
		end := &g.Points[len(g.Points)-1]
		p.Groups = append(p.Groups, groupRow{Name: w.group(g), Share: w.share(end, g.Doubt), Band: w.band(end.Low, end.High),
			Bounds: w.band(end.UndecidableLow, end.UndecidableHigh), Median: w.shortMedian(g),
			Followed: hosts(g), Undecidable: g.Counts.Undecidable, Whisker: template.HTML(whisker(end, g.Doubt))})
	}
	t, err := template.New("adoption").Parse(pageText)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, p); err != nil {
		return err
	}
	_, err = io.WriteString(out, b.String())
	return err
}

func rows(w words, points []picture.Point, days bool) []row {
	list := make([]row, len(points))
	for i := range points {
		p := &points[i]
		list[i] = row{At: date(p.Time), Share: w.percent(p.Share), Band: w.band(p.Low, p.High), Bounds: w.band(p.UndecidableLow, p.UndecidableHigh),
			N: p.N, Waiting: p.Waiting, Undecidable: p.Undecidable}
		if days {
			list[i].At = fmt.Sprint(p.Days)
		}
	}
	return list
}
