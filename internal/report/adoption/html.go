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

// page is what the template shows; all text is in the reader's language already.
type page struct {
	Lang, Title, Scope, Figures string
	Share, Band, Bounds, Date   string
	MedianDays                  string
	Headline, Median, Notes     []string
	Drawing                     template.HTML
	Style                       template.CSS
	Points, Since               []row
	Published                   []publishedRow
	Groups                      []groupRow
	GroupsTitle                 string
	T                           func(key string) string
}

type publishedRow struct{ N, Date, Source, Scope, Share, Says string }

// HTML writes a page of its own: no script, nothing fetched, light and dark, and it
// prints.
func HTML(out io.Writer, r *picture.Report, l postern.Localizer, lang string, others []Published) error {
	w := words{l}
	last := &r.Points[len(r.Points)-1]
	p := page{
		Lang: lang, Title: w.say("picture.title", "cve", printable(r.CVE)), Scope: w.scopes(r), Figures: w.figures(&r.Curve),
		Share: w.percent(last.Share), Band: w.band(last.Low, last.High), Bounds: w.band(last.UndecidableLow, last.UndecidableHigh), Date: date(last.Time),
		MedianDays: w.shortMedian(&r.Median), Headline: w.headline(&r.Curve), Median: w.median(&r.Curve),
		// The drawing escapes every word that it writes.
		Drawing: template.HTML(draw(r, l, others, false)), Style: template.CSS(style),
		Points: rows(w, r.Points, false), Since: rows(w, r.SinceFix, true),
		// catalogue: picture.*
		T: func(key string) string { return w.say("picture." + key) },
	}
	for _, n := range r.Notes {
		p.Notes = append(p.Notes, l.Say(n))
	}
	n := 0
	for _, o := range others {
		if o.Date.Before(r.Points[0].Time.AddDate(0, 0, -1)) && (r.Since.IsZero() || o.Date.Before(r.Since)) || o.Date.After(last.Time.AddDate(0, 0, 1)) {
			continue
		}
		n++
		p.Published = append(p.Published, publishedRow{fmt.Sprint(n), date(o.Date), printable(o.Source), printable(o.Scope), w.percent(o.Share), clean(o.Says, 120)})
	}
	if len(r.Groups) > 0 {
		p.GroupsTitle = w.say("picture.groups-title", "by", w.by(r))
	}
	for i := range r.Groups {
		g := &r.Groups[i]
		end := &g.Points[len(g.Points)-1]
		p.Groups = append(p.Groups, groupRow{Name: w.group(g), Share: w.percent(end.Share), Band: w.band(end.Low, end.High),
			Bounds: w.band(end.UndecidableLow, end.UndecidableHigh), Median: w.shortMedian(&g.Median),
			Followed: g.Counts.Followed, Undecidable: g.Counts.Undecidable, Whisker: template.HTML(whisker(end))})
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
