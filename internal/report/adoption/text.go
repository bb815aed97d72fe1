package adoption

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"postern"
	"postern/internal/picture"
)

// Size of the text form: a terminal or a mail.
const (
	columns  = 80
	plotRows = 11 // one for each ten per cent
	plotFrom = 6  // columns of the scale
)

// Text writes the curve for a terminal: sentences, a small drawing, the numbers.
func Text(out io.Writer, r *picture.Report, l postern.Localizer) error {
	w, b := words{l}, bufio.NewWriter(out)
	fmt.Fprintf(b, "%s\n%s\n\n", w.say("picture.title", "cve", printable(r.CVE)), w.scopes(r))
	for _, s := range append(w.headline(&r.Curve), w.median(&r.Curve)...) {
		wrap(b, s, "")
	}
	wrap(b, w.figures(&r.Curve), "")
	fmt.Fprintln(b)
	plot(b, w, &r.Curve)
	fmt.Fprintln(b)
	table(b, w, &r.Curve)
	if len(r.Groups) > 0 {
		fmt.Fprintf(b, "\n%s\n", w.say("picture.groups-title", "by", w.by(r)))
		fmt.Fprintf(b, "%s%s%s%s%s\n", pad(w.say("picture.column-group"), 22), left(w.say("picture.column-followed"), 11),
			left(w.say("picture.column-share"), 14), left(w.say("picture.column-band"), 17), left(w.say("picture.column-median"), 16))
		for i := range r.Groups {
			g := &r.Groups[i]
			p := &g.Points[len(g.Points)-1]
			fmt.Fprintf(b, "%s%s%s%s%s\n", pad(clip(w.group(g), 21), 22), left(fmt.Sprint(hosts(g)), 11), left(w.share(p, g.Doubt), 14),
				left(w.band(p.Low, p.High), 17), left(w.shortMedian(g), 16))
		}
	}
	fmt.Fprintf(b, "\n%s\n", w.say("picture.notes-title"))
	for _, n := range r.Notes {
		wrap(b, l.Say(n), "- ")
	}
	return b.Flush()
}

// plot draws the curve with characters: the estimate, its band, and the bounds.
func plot(b *bufio.Writer, w words, c *picture.Curve) {
	points := c.Points
	width := columns - plotFrom - 2
	first, last := points[0].Time, points[len(points)-1].Time
	span := last.Sub(first).Seconds()
	at := make([]*picture.Point, width) // the last point at or before each column
	for i := range points {
		from := 0
		if span > 0 {
			from = int(points[i].Time.Sub(first).Seconds() / span * float64(width-1))
		}
		for c := from; c < width; c++ {
			at[c] = &points[i]
		}
	}
	row := func(share float64) int { return int(share*(plotRows-1) + 0.5) }
	for y := plotRows - 1; y >= 0; y-- {
		line := make([]rune, width)
		for x, p := range at {
			line[x] = ' '
			switch {
			case c.Doubt != picture.NoDoubt:
				switch {
				case y >= row(p.UndecidableLow) && y <= row(p.UndecidableHigh):
					line[x] = '░'
				case y >= row(p.Low) && y <= row(p.High):
					line[x] = '·'
				}
			case row(p.Share) == y:
				line[x] = '█'
			case y >= row(p.Low) && y <= row(p.High):
				line[x] = '░'
			case y >= row(p.UndecidableLow) && y <= row(p.UndecidableHigh):
				line[x] = '·'
			}
		}
		fmt.Fprintf(b, "%3d %% │%s\n", y*100/(plotRows-1), strings.TrimRight(string(line), " "))
	}
	fmt.Fprintf(b, "      └%s\n", strings.Repeat("─", width))
	f, t := date(first), date(last)
	fmt.Fprintf(b, "       %s%s%s\n", f, strings.Repeat(" ", max(1, width-len(f)-len(t))), t)
	legend := fmt.Sprintf("█ %s   ░ %s   · %s", w.say("picture.legend-share"), w.say("picture.legend-band"), w.say("picture.legend-undecidable"))
	if c.Doubt != picture.NoDoubt {
		legend = fmt.Sprintf("░ %s   · %s", w.say("picture.legend-undecidable"), w.say("picture.legend-bounds-band"))
	}
	wrap(b, legend, "       ")
}

// table prints the numbers. A curve of bounds has no column for one share.
func table(b *bufio.Writer, w words, c *picture.Curve) {
	bounds := c.Doubt != picture.NoDoubt
	row := func(date, share, undecidable, band, n, waiting, undecided string) {
		if bounds {
			fmt.Fprintln(b, pad(date, 17)+left(undecidable, 14)+left(band, 15)+left(n, 10)+left(waiting, 11)+left(undecided, 13))
			return
		}
		fmt.Fprintln(b, pad(date, 17)+left(share, 10)+left(band, 18)+left(undecidable, 14)+left(n, 10)+left(waiting, 11))
	}
	row(w.say("picture.column-date"), w.say("picture.column-share"), w.say("picture.column-undecidable"), w.say("picture.column-band"),
		w.say("picture.column-n"), w.say("picture.column-waiting"), w.say("picture.column-undecided"))
	const most = 40 // lines; longer series are thinned, the last point always stays
	step := (len(c.Points) + most - 1) / most
	for i := range c.Points {
		if (len(c.Points)-1-i)%step != 0 {
			continue
		}
		p := &c.Points[i]
		row(date(p.Time), w.percent(p.Share), w.band(p.UndecidableLow, p.UndecidableHigh), w.band(p.Low, p.High),
			fmt.Sprint(p.N), fmt.Sprint(p.Waiting), fmt.Sprint(p.Undecidable))
	}
}

// hosts is how many servers stand behind a curve.
func hosts(c *picture.Curve) int {
	if c.Doubt != picture.NoDoubt {
		return c.Counts.Followed + c.Counts.Undecidable
	}
	return c.Counts.Followed
}

// pad and left fill a cell on the right and on the left.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(1, n-utf8.RuneCountInString(s)))
}

func left(s string, n int) string {
	return strings.Repeat(" ", max(1, n-utf8.RuneCountInString(s))) + s
}

// wrap breaks a sentence at 80 columns; further lines are as far in as the first.
func wrap(b *bufio.Writer, s, mark string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(mark))
	line := mark
	n := len(indent)
	for i, word := range strings.Split(s, " ") { // not at spaces that do not break
		size := utf8.RuneCountInString(word)
		if i > 0 && n+1+size > columns {
			fmt.Fprintln(b, line)
			line, n = indent, len(indent)
		} else if i > 0 {
			line, n = line+" ", n+1
		}
		line, n = line+word, n+size
	}
	fmt.Fprintln(b, line)
}
