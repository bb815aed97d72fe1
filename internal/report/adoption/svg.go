package adoption

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"

	"postern"
	"postern/internal/picture"
)

// Sizes of the drawing, in its own units.
const (
	plotHeight = 330
	headHeight = 122
	rowHeight  = 36 // a name, and the numbers below it
	lineHeight = 19
	halfDate   = 36 // of a day below the axis
)

// layout is what a wide and a narrow drawing differ in: on a telephone the letters of
// a wide one cannot be read.
type layout struct {
	width, left, right float64
	margin             float64
	ticks              int // days on the axis
}

var (
	wide   = layout{width: 960, left: 64, right: 40, margin: 12, ticks: 8}
	narrow = layout{width: 420, left: 50, right: 26, margin: 6, ticks: 4}
)

// style makes the drawing follow the reader's light or dark page.
const style = `.pa{--ink:#161b26;--soft:#566072;--grid:#e2e6ed;--page:#ffffff;--line:#0a58a6;--bound:#a3480a;--other:#6d2f93}
@media (prefers-color-scheme:dark){.pa{--ink:#eceff4;--soft:#a3adbd;--grid:#2c3442;--page:#11151c;--line:#74b6ff;--bound:#f2b266;--other:#d3a8f2}}
.pa text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:13px;fill:var(--ink)}
.pa .h{font-size:21px;font-weight:650}.pa .s{fill:var(--soft)}.pa .n{font-variant-numeric:tabular-nums}.pa .b{font-weight:650}
.pa .g{stroke:var(--grid);stroke-width:1}.pa .page{fill:var(--page)}
.pa .band{fill:var(--line);fill-opacity:.2}.pa .line{fill:none;stroke:var(--line);stroke-width:2.6;stroke-linejoin:round}
.pa .bounds{fill:var(--bound);fill-opacity:.09}.pa .hatch{stroke:var(--bound);stroke-width:1.6;stroke-opacity:.3}.pa .may{fill:var(--bound);fill-opacity:.07}.pa .sampling{fill:var(--bound);fill-opacity:.22}.pa .edge{fill:none;stroke:var(--bound);stroke-width:1.4;stroke-dasharray:5 4}
.pa .dot{fill:var(--line)}.pa .other{fill:var(--page);stroke:var(--other);stroke-width:2}.pa .o{fill:var(--other);font-weight:650;font-size:12px}
.pa .halo{paint-order:stroke;stroke:var(--page);stroke-width:4;stroke-linejoin:round}.pa .fix{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:2 3}`

// canvas is a drawing under way.
type canvas struct {
	strings.Builder
	layout
	w        words
	from, to time.Time
	top      float64
}

func (c *canvas) f(format string, args ...any) { fmt.Fprintf(c, format, args...) }

func (c *canvas) x(t time.Time) float64 {
	span := c.to.Sub(c.from).Seconds()
	return c.left + t.Sub(c.from).Seconds()/span*(c.width-c.left-c.right)
}

func (c *canvas) y(share float64) float64 { return c.top + (1-share)*plotHeight }

// text writes one line of escaped text.
func (c *canvas) text(x, y float64, class, anchor, s string) {
	c.f(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`+"\n", x, y, class, anchor, html.EscapeString(s))
}

// SVG writes the drawing with its heading and the published figures below it.
func SVG(out io.Writer, r *picture.Report, l postern.Localizer, others []Published) error {
	_, err := io.WriteString(out, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+draw(r, l, others, wide, true))
	return err
}

// span gives the time that a drawing shows: from the first fix, unless that is long
// ago, to the last scan with some air, so that the last step can be seen.
func span(r *picture.Report) (from, to time.Time) {
	from, to = r.Points[0].Time, r.Points[len(r.Points)-1].Time
	if !r.Since.IsZero() && r.Since.Before(from) && from.Sub(r.Since) < to.Sub(from) {
		from = r.Since
	}
	return from, to.Add(max(to.Sub(from)/40, time.Hour))
}

// shown gives the published figures that fall into the time of the drawing.
func shown(r *picture.Report, others []Published) (list []Published) {
	from, to := span(r)
	for _, o := range others {
		if !o.Date.Before(from.Truncate(24*time.Hour)) && !o.Date.After(to) {
			list = append(list, o)
		}
	}
	return list
}

// draw makes the drawing. In a page the heading and the list of published figures
// are the page's own.
func draw(r *picture.Report, l postern.Localizer, others []Published, in layout, alone bool) string {
	c := &canvas{layout: in, w: words{l}, top: 30}
	if alone {
		c.top = headHeight + 18
	}
	c.from, c.to = span(r)
	inside := shown(r, others)
	height := c.top + plotHeight + 40 + 3*rowHeight + 12 + 2*lineHeight
	if c.width == narrow.width {
		height += 2 * lineHeight // of the legend
	}
	if alone && len(inside) > 0 {
		height += float64(lineHeight * (len(inside) + 2))
	}
	first, last := &r.Points[0], &r.Points[len(r.Points)-1]
	// Two drawings in one page must not share their names.
	id := fmt.Sprintf("pa%.0f", c.width)
	c.f(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" class="pa" role="img" aria-labelledby="%s-title %s-desc">`+"\n", c.width, height, id, id)
	alt := c.w.say("picture.alt", "first", date(first.Time), "from", c.w.share(first, r.Doubt), "last", date(last.Time),
		"to", c.w.share(last, r.Doubt), "low", c.w.percent(last.Low), "high", c.w.percent(last.High))
	c.f("<title id=\"%s-title\">%s</title>\n<desc id=\"%s-desc\">%s</desc>\n<style>%s</style>\n", id, html.EscapeString(c.w.say("picture.title", "cve", printable(r.CVE))),
		id, html.EscapeString(alt), style)
	c.f(`<defs><pattern id="%s-hatch" width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0V9"/></pattern></defs>`+"\n", id)
	if alone {
		c.f(`<rect class="page" width="%.0f" height="%.0f"/>`+"\n", c.width, height)
		c.heading(r)
	}
	c.scales(r)
	c.curves(r, id)
	c.firstFix(r)
	for i, o := range inside {
		c.published(i, o)
	}
	y := c.riskTable(r)
	y = c.legend(y+6, r.Doubt, len(inside) > 0)
	if alone && len(inside) > 0 {
		c.list(y+lineHeight, inside)
	}
	c.f("</svg>\n")
	return c.String()
}

func (c *canvas) heading(r *picture.Report) {
	c.text(c.margin, 36, "h", "start", c.w.say("picture.title", "cve", printable(r.CVE)))
	y := 60.0
	for _, s := range append(c.w.headline(&r.Curve), c.w.scopes(r)+" · "+c.w.figures(&r.Curve)) {
		c.text(c.margin, y, "s", "start", s)
		y += lineHeight
	}
}

// scales draws the grid and the two axes.
func (c *canvas) scales(r *picture.Report) {
	for i := 0; i <= 100; i += 20 {
		y := c.y(float64(i) / 100)
		c.f(`<line class="g" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", c.left, y, c.width-c.right, y)
		c.text(c.left-8, y+4.5, "s n", "end", fmt.Sprintf("%d\u00a0%%", i))
	}
	c.text(c.margin, c.top-14, "s", "start", c.w.say("picture.axis-share"))
	for _, t := range ticks(c.from, c.to, c.ticks) {
		c.f(`<line class="g" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", c.x(t), c.top+plotHeight, c.x(t), c.top+plotHeight+6)
		x, anchor := c.x(t), "middle"
		if x+halfDate > c.width {
			x, anchor = c.width-2, "end"
		}
		c.text(x, c.top+plotHeight+22, "s n", anchor, t.Format(time.DateOnly))
	}
}

// firstFix marks its day.
func (c *canvas) firstFix(r *picture.Report) {
	if r.Since.IsZero() || r.Since.Before(c.from) || !r.Since.Before(c.to) {
		return
	}
	c.f(`<line class="fix" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", c.x(r.Since), c.top, c.x(r.Since), c.top+plotHeight)
	c.text(c.x(r.Since)+5, c.top+14, "s halo", "start", c.w.say("picture.legend-fix"))
}

// ticks gives some days at even distance, not many more than most.
func ticks(from, to time.Time, most int) []time.Time {
	step := 1
	for _, s := range []int{1, 2, 3, 7, 14, 28, 56, 91, 182, 364} {
		step = s
		if to.Sub(from).Hours()/24/float64(s) <= float64(most) {
			break
		}
	}
	day := from.Truncate(24 * time.Hour)
	if day.Before(from) {
		day = day.AddDate(0, 0, 1)
	}
	var list []time.Time
	for ; !day.After(to) && len(list) <= 2*most; day = day.AddDate(0, 0, step) {
		list = append(list, day)
	}
	return list
}

// curves draws the bounds, the band and the estimate, all as steps: between two
// scans nothing is known, and nothing is drawn to rise.
func (c *canvas) curves(r *picture.Report, id string) {
	p := r.Points
	share := func(p *picture.Point) float64 { return p.Share }
	low, high := func(p *picture.Point) float64 { return p.UndecidableLow }, func(p *picture.Point) float64 { return p.UndecidableHigh }
	last := &p[len(p)-1]
	least, most := func(p *picture.Point) float64 { return p.Low }, func(p *picture.Point) float64 { return p.High }
	edges := fmt.Sprintf(`<path class="edge" d="%s"/>`+"\n"+`<path class="edge" d="%s"/>`+"\n", c.steps(p, low, true), c.steps(p, high, true))
	if r.Doubt != picture.NoDoubt { // no line: there is no number that it would stand for
		c.f(`<path class="sampling" d="%s"/>`+"\n"+`<path class="sampling" d="%s"/>`+"\n", c.area(p, least, low), c.area(p, high, most))
		c.f(`<path class="may" d="%s"/>`+"\n"+`<path fill="url(#%s-hatch)" d="%s"/>`+"\n%s", c.area(p, low, high), id, c.area(p, low, high), edges)
		c.text(c.x(c.to), c.y(last.UndecidableHigh)-9, "b n halo", "end", c.w.say("picture.at-most", "share", c.w.percent(last.UndecidableHigh)))
		c.text(c.x(c.to), min(c.y(last.UndecidableLow)+22, c.y(0)-6), "b n halo", "end", c.w.say("picture.at-least", "share", c.w.percent(last.UndecidableLow)))
		return
	}
	if last.UndecidableLow != last.UndecidableHigh || p[0].UndecidableLow != p[0].UndecidableHigh {
		c.f(`<path class="bounds" d="%s"/>`+"\n%s", c.area(p, low, high), edges)
	}
	c.f(`<path class="band" d="%s"/>`+"\n", c.area(p, least, most))
	c.f(`<path class="line" d="%s"/>`+"\n", c.steps(p, share, true))
	for i := range p {
		if len(p) <= 60 { // the scans themselves, where they can be told apart
			c.f(`<circle class="dot" cx="%.1f" cy="%.1f" r="3"/>`+"\n", c.x(p[i].Time), c.y(p[i].Share))
		}
	}
	c.text(c.x(c.to), c.y(last.Share)-9, "b n halo", "end", c.w.percent(last.Share))
}

// steps gives the path of a step function; it holds its last value to the end.
func (c *canvas) steps(p []picture.Point, of func(*picture.Point) float64, move bool) string {
	var b strings.Builder
	for i := range p {
		if i == 0 && move {
			fmt.Fprintf(&b, "M%.1f %.1f", c.x(p[i].Time), c.y(of(&p[i])))
			continue
		}
		fmt.Fprintf(&b, "H%.1fV%.1f", c.x(p[i].Time), c.y(of(&p[i])))
	}
	fmt.Fprintf(&b, "H%.1f", c.x(c.to))
	return b.String()
}

// area gives the path between two step functions.
func (c *canvas) area(p []picture.Point, low, high func(*picture.Point) float64) string {
	var b strings.Builder
	b.WriteString(c.steps(p, high, true))
	for i := len(p) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "V%.1fH%.1f", c.y(low(&p[i])), c.x(p[i].Time))
	}
	return b.String() + "Z"
}

// published marks a figure of somebody else, by its number in the list.
func (c *canvas) published(i int, o Published) {
	x, y := c.x(o.Date.Add(12*time.Hour)), c.y(o.Share) // a figure of a day: its middle
	c.f(`<path class="other" d="M%.1f %.1fl6 6l-6 6l-6 -6Z"><title>%s</title></path>`+"\n", x, y-6, html.EscapeString(c.line(i, o)))
	c.text(x+9, y-5, "o n halo", "start", fmt.Sprint(i+1))
}

func (c *canvas) line(i int, o Published) string {
	return fmt.Sprintf("%d  %s  %s, %s: %s. %s", i+1, date(o.Date), printable(o.Source), printable(o.Scope), c.w.published(o.Share), clean(o.Says, 120))
}

// riskTable writes below the axis how many servers the curve rests on there.
func (c *canvas) riskTable(r *picture.Report) float64 {
	rows := []struct {
		name string
		of   func(*picture.Point) int
	}{
		{c.w.say("picture.row-n"), func(p *picture.Point) int { return p.N }},
		{c.w.say("picture.row-waiting"), func(p *picture.Point) int { return p.Waiting }},
		{c.w.say("picture.row-undecidable"), func(p *picture.Point) int { return p.Undecidable }},
	}
	y := c.top + plotHeight + 48
	for _, row := range rows {
		c.text(c.margin, y, "s", "start", row.name)
		c.f(`<line class="g" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", c.margin, y+22, c.width-c.right, y+22)
		for _, t := range ticks(c.from, c.to, c.ticks) {
			// The last scan up to the end of that day.
			at := -1
			for i := range r.Points {
				if r.Points[i].Time.Before(t.AddDate(0, 0, 1)) {
					at = i
				}
			}
			if at >= 0 {
				c.text(c.x(t), y+16, "n", "middle", fmt.Sprint(row.of(&r.Points[at])))
			}
		}
		y += rowHeight
	}
	return y
}

// legend explains the marks.
func (c *canvas) legend(y float64, d picture.Doubt, others bool) float64 {
	type item struct{ mark, text string }
	edge := item{`<path class="edge" d="M%.1f %.1fh24"/>`, c.w.say("picture.legend-undecidable")}
	items := []item{edge, {`<path class="sampling" d="M%.1f %.1fm0 -6h24v12h-24Z"/>`, c.w.say("picture.legend-bounds-band")}}
	if d == picture.NoDoubt {
		items = []item{{`<path class="line" d="M%.1f %.1fh24"/>`, c.w.say("picture.legend-share")},
			{`<path class="band" d="M%.1f %.1fm0 -6h24v12h-24Z"/>`, c.w.say("picture.legend-band")}, edge}
	}
	if others {
		items = append(items, item{`<path class="other" d="M%.1f %.1fm12 -6l6 6l-6 6l-6 -6Z"/>`, c.w.say("picture.legend-published")})
	}
	x := c.margin
	for _, it := range items {
		// Letters are about seven units wide at this size.
		width := 34 + 7*float64(len([]rune(it.text))) + 16
		if x > c.margin && x+width > c.width {
			x, y = c.margin, y+lineHeight
		}
		c.f(it.mark+"\n", x, y-4)
		c.text(x+32, y, "s", "start", it.text)
		x += width
	}
	return y + lineHeight
}

// list names the published figures.
func (c *canvas) list(y float64, others []Published) {
	c.text(c.margin, y, "s", "start", c.w.say("picture.published-about"))
	for i, o := range others {
		c.text(c.margin, y+float64((i+1)*lineHeight), "n", "start", clip(c.line(i, o), 125))
	}
}

// clip cuts a line to n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// whisker draws a share with its band in a row of a table.
func whisker(p *picture.Point, d picture.Doubt) string {
	const width, height = 180.0, 18.0
	x := func(share float64) float64 { return 4 + share*(width-8) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="pa" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" aria-hidden="true">`, width, height, width, height)
	fmt.Fprintf(&b, `<path class="g" d="M%.1f 9H%.1f"/>`, x(0), x(1))
	class := "bounds"
	if d != picture.NoDoubt {
		class = "sampling"
	}
	fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="3" width="%.1f" height="12"/>`, class, x(p.UndecidableLow), math.Max(x(p.UndecidableHigh)-x(p.UndecidableLow), 0.5))
	if d == picture.NoDoubt {
		fmt.Fprintf(&b, `<rect class="band" x="%.1f" y="5" width="%.1f" height="8"/>`, x(p.Low), math.Max(x(p.High)-x(p.Low), 0.5))
		fmt.Fprintf(&b, `<circle class="dot" cx="%.1f" cy="9" r="3.5"/>`, x(p.Share))
	}
	return b.String() + "</svg>"
}
