// Package adoption writes the adoption curve of internal/picture: as JSON for
// machines, as text of 80 columns, as an SVG drawing and as an HTML page for a
// briefing.
//
// Input: a picture.Report, a language, and published figures as context. Output:
// the JSON contract postern.adoption/1 (docs/adoption.md), or text and markup with
// everything from outside escaped for its medium. Shares are from 0 to 1 in JSON
// and in per cent for people.
package adoption

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"postern"
	"postern/internal/picture"
)

// Schema names the contract of the JSON form.
const Schema = "postern.adoption/1"

// Published is a figure that somebody else published. Scopes differ: it is shown
// beside the curve, never compared with it.
type Published struct {
	CVE    string
	Date   time.Time
	Source string
	Scope  string // "NL", "world"
	Share  float64
	Says   string // what was counted, in the source's sense
}

//go:embed published.csv
var published []byte

// BuiltIn gives the published shares that the program knows for a CVE.
func BuiltIn(cve string) []Published {
	all, err := ReadPublished(bytes.NewReader(published))
	if err != nil {
		panic(err) // the embedded table is held by a test
	}
	var list []Published
	for _, p := range all {
		if p.CVE == cve {
			list = append(list, p)
		}
	}
	return list
}

// maxPublished bounds a table of published figures; a drawing holds some dozens.
const maxPublished = 1000

// ReadPublished reads a table with the columns cve, date, source, scope, percent
// and says.
func ReadPublished(r io.Reader) ([]Published, error) {
	rows, err := csv.NewReader(io.LimitReader(r, 1<<20)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("no table: %w", err)
	}
	if len(rows) == 0 || strings.Join(rows[0], ",") != "cve,date,source,scope,percent,says" || len(rows) > maxPublished {
		return nil, fmt.Errorf("want the columns cve,date,source,scope,percent,says and at most %d rows", maxPublished)
	}
	var list []Published
	for i, row := range rows[1:] {
		day, err := time.Parse(time.DateOnly, row[1])
		percent, err2 := strconv.ParseFloat(row[4], 64)
		if err != nil || err2 != nil || percent < 0 || percent > 100 {
			return nil, fmt.Errorf("row %d: want a day and a part of 100", i+2)
		}
		list = append(list, Published{CVE: row[0], Date: day, Source: row[2], Scope: row[3], Share: percent / 100, Says: row[5]})
	}
	return list, nil
}

// jsonPoint is one point of the contract. Additions to its first form stand last.
type jsonPoint struct {
	Time            *time.Time `json:"time,omitempty"`
	Days            *int       `json:"days,omitempty"`
	Share           number     `json:"share"`
	Low             number     `json:"low"`
	High            number     `json:"high"`
	UndecidableLow  number     `json:"undecidable_low"`
	UndecidableHigh number     `json:"undecidable_high"`
	N               int        `json:"n"`
	CurveLow        number     `json:"curve_low"`
	CurveHigh       number     `json:"curve_high"`
	Waiting         int        `json:"waiting"`
	Undecidable     int        `json:"undecidable"`
}

// number is a share with six digits after the point: more than any sample bears.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, math.Round(float64(n)*1e6)/1e6, 'f', -1, 64), nil
}

type jsonMedian struct {
	Reached         bool       `json:"reached"`
	After           *int       `json:"after"`
	Days            *int       `json:"days"`
	Low             *int       `json:"low"`
	High            *int       `json:"high"`
	UndecidableLow  *int       `json:"undecidable_low"`
	UndecidableHigh *int       `json:"undecidable_high"`
	By              *time.Time `json:"by"`
}

type jsonCounts struct {
	Sightings   int `json:"sightings"`
	Hosts       int `json:"hosts"`
	Followed    int `json:"followed"`
	Fixed       int `json:"fixed"`
	Unfixed     int `json:"unfixed"`
	HiddenOpen  int `json:"hidden_unfixed"`
	NotAffected int `json:"not_affected"`
	Undecidable int `json:"undecidable"`
	NoFix       int `json:"no_fix_for_line"`
	NoClock     int `json:"line_unknown"`
	LateFixed   int `json:"first_seen_fixed"`
	Downgraded  int `json:"downgraded"`
	Unstable    int `json:"unstable"`
	Operators   int `json:"operators"`
}

type jsonCurve struct {
	Group    string        `json:"group,omitempty"`
	Points   []jsonPoint   `json:"points"`
	Median   jsonMedian    `json:"median"`
	SinceFix []jsonPoint   `json:"since_fix"`
	Counts   jsonCounts    `json:"counts"`
	States   string        `json:"states"` // "share", or "bounds" where no share can be stated
	Doubt    picture.Doubt `json:"doubt"`
}

// JSON writes the contract, one document.
func JSON(w io.Writer, r *picture.Report, l postern.Localizer) error {
	doc := struct {
		Schema string `json:"schema"`
		CVE    string `json:"cve"`
		jsonCurve
		Notes  []string    `json:"notes"`
		Scopes []string    `json:"scopes"`
		By     string      `json:"by,omitempty"`
		Groups []jsonCurve `json:"groups,omitempty"`
	}{Schema: Schema, CVE: r.CVE, jsonCurve: curveOf(&r.Curve), Notes: []string{}, Scopes: r.Scopes, By: r.By}
	for _, n := range r.Notes {
		doc.Notes = append(doc.Notes, l.Say(n))
	}
	for i := range r.Groups {
		doc.Groups = append(doc.Groups, curveOf(&r.Groups[i]))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(doc)
}

func curveOf(c *picture.Curve) jsonCurve {
	n := &c.Counts
	states := "share"
	if c.Doubt != picture.NoDoubt {
		states = "bounds"
	}
	return jsonCurve{Group: c.Group, States: states, Doubt: c.Doubt, Points: pointsOf(c.Points, false), SinceFix: pointsOf(c.SinceFix, true), Median: medianOf(&c.Median),
		Counts: jsonCounts{n.Sightings, n.Hosts, n.Followed, n.Fixed, n.Unfixed, n.HiddenOpen, n.NotAffected, n.Undecidable,
			n.NoFix, n.NoClock, n.LateFixed, n.Downgraded, n.Unstable, n.Operators}}
}

func pointsOf(list []picture.Point, days bool) []jsonPoint {
	out := make([]jsonPoint, 0, len(list))
	for i := range list {
		p := &list[i]
		j := jsonPoint{Share: number(p.Share), Low: number(p.Low), High: number(p.High), UndecidableLow: number(p.UndecidableLow),
			UndecidableHigh: number(p.UndecidableHigh), N: p.N, CurveLow: number(p.CurveLow), CurveHigh: number(p.CurveHigh),
			Waiting: p.Waiting, Undecidable: p.Undecidable}
		if days {
			j.Days = &p.Days
		} else {
			j.Time = &p.Time
		}
		out = append(out, j)
	}
	return out
}

func medianOf(m *picture.Median) jsonMedian {
	known := func(n int) *int {
		if n < 0 {
			return nil
		}
		return &n
	}
	j := jsonMedian{Reached: m.Reached, Low: known(m.Low), High: known(m.High),
		UndecidableLow: known(m.UndecidableLow), UndecidableHigh: known(m.UndecidableHigh)}
	if m.Reached {
		j.After, j.Days = &m.After, &m.Days
	}
	if !m.By.IsZero() {
		j.By = &m.By
	}
	return j
}

// words puts numbers and sentences into the reader's language.
type words struct{ l postern.Localizer }

func (w words) say(key string, pairs ...any) string { return w.l.Say(postern.Say(key, pairs...)) }

// unit follows a number, with a space that does not break.
const unit = "\u00a0%"

// leastShare is half of the last digit of JSON: below, a share is a trace of the
// iteration.
const leastShare = 5e-7

// percent gives a share with one digit, and never rounds something to nothing or a
// part to the whole.
func (w words) percent(x float64) string {
	n := strconv.FormatFloat(100*x, 'f', 1, 64)
	switch {
	case n == "0.0" && x > leastShare:
		n = "<0.1"
	case n == "100.0" && x < 1-leastShare:
		n = ">99.9"
	}
	return strings.Replace(n, ".", w.say("picture.decimal"), 1) + unit
}

// published gives a figure of somebody else as exact as they gave it.
func (w words) published(x float64) string {
	return strings.Replace(strconv.FormatFloat(math.Round(1e4*x)/100, 'f', -1, 64), ".", w.say("picture.decimal"), 1) + unit
}

// band gives two shares.
func (w words) band(low, high float64) string {
	from, to := strings.TrimSuffix(w.percent(low), unit), w.percent(high)
	if strings.HasPrefix(to, ">") || strings.HasPrefix(to, "<") {
		return from + "\u00a0–\u00a0" + to
	}
	return from + "–" + to
}

// share gives the one number of a point, or its bounds where no number can be stated.
func (w words) share(p *picture.Point, d picture.Doubt) string {
	if d != picture.NoDoubt {
		return w.band(p.UndecidableLow, p.UndecidableHigh)
	}
	return w.percent(p.Share)
}

// headline gives the two sentences that must never stand apart: the share, and its
// bounds.
//
// catalogue: picture.why.*
func (w words) headline(c *picture.Curve) []string {
	p := &c.Points[len(c.Points)-1]
	if c.Doubt != picture.NoDoubt {
		return []string{w.say("picture.headline-bounds", "date", day(p.Time), "low", w.percent(p.UndecidableLow), "high", w.percent(p.UndecidableHigh),
			"from", w.percent(p.Low), "to", w.percent(p.High)), w.say("picture.why." + string(c.Doubt))}
	}
	list := []string{w.say("picture.headline", "date", day(p.Time), "share", w.percent(p.Share), "low", w.percent(p.Low), "high", w.percent(p.High))}
	if p.UndecidableLow != p.UndecidableHigh {
		list = append(list, w.say("picture.headline-undecidable", "low", w.percent(p.UndecidableLow), "high", w.percent(p.UndecidableHigh)))
	}
	return list
}

// median gives the time to the fix in words.
func (w words) median(c *picture.Curve) []string {
	m := &c.Median
	var list []string
	switch {
	case len(c.SinceFix) == 0:
		return []string{w.say("picture.median-unknown")}
	case c.Doubt != picture.NoDoubt && m.UndecidableLow < 0:
		return []string{w.say("picture.median-bounds-none")}
	case c.Doubt != picture.NoDoubt && m.UndecidableHigh < 0:
		return []string{w.say("picture.median-bounds-open", "low", m.UndecidableLow)}
	case c.Doubt != picture.NoDoubt:
		return []string{w.say("picture.median-bounds", "low", m.UndecidableLow, "high", m.UndecidableHigh)}
	case !m.Reached:
		list = append(list, w.say("picture.median-none", "low", m.Low))
	case m.High < 0:
		list = append(list, w.say("picture.median-open", "days", m.Days, "after", m.After, "low", m.Low))
	default:
		list = append(list, w.say("picture.median", "days", m.Days, "after", m.After, "low", m.Low, "high", m.High))
	}
	switch last := c.SinceFix[len(c.SinceFix)-1]; {
	case last.UndecidableLow == last.UndecidableHigh || m.UndecidableLow < 0:
	case m.UndecidableHigh < 0:
		list = append(list, w.say("picture.median-undecidable-open", "low", m.UndecidableLow))
	default:
		list = append(list, w.say("picture.median-undecidable", "low", m.UndecidableLow, "high", m.UndecidableHigh))
	}
	return list
}

// shortMedian gives the median for a table.
func (w words) shortMedian(c *picture.Curve) string {
	m := &c.Median
	switch {
	case c.Doubt != picture.NoDoubt && m.UndecidableLow < 0:
		return w.say("picture.not-reached")
	case c.Doubt != picture.NoDoubt && m.UndecidableHigh < 0:
		return fmt.Sprintf("%d–…", m.UndecidableLow)
	case c.Doubt != picture.NoDoubt:
		return fmt.Sprintf("%d–%d", m.UndecidableLow, m.UndecidableHigh)
	case !m.Reached:
		return w.say("picture.not-reached")
	case m.High < 0:
		return fmt.Sprintf("%d (%d–…)", m.Days, m.Low)
	}
	return fmt.Sprintf("%d (%d–%d)", m.Days, m.Low, m.High)
}

func (w words) scopes(r *picture.Report) string {
	list := make([]string, len(r.Scopes))
	for i, s := range r.Scopes {
		if list[i] = printable(s); s == "" {
			list[i] = w.say("picture.scope-none")
		}
	}
	return w.say("picture.scope", "scope", strings.Join(list, ", "))
}

func (w words) figures(c *picture.Curve) string {
	if c.Doubt != picture.NoDoubt {
		return w.say("picture.figures-bounds", "followed", c.Counts.Followed, "undecidable", c.Counts.Undecidable, "sightings", c.Counts.Sightings,
			"operators", c.Counts.Operators)
	}
	return w.say("picture.figures", "followed", c.Counts.Followed, "sightings", c.Counts.Sightings, "operators", c.Counts.Operators)
}

func (w words) group(c *picture.Curve) string {
	if c.Group == "" {
		return w.say("picture.group-unknown")
	}
	return printable(c.Group)
}

// by gives the word for what the groups are.
//
// catalogue: picture.by.*
func (w words) by(r *picture.Report) string { return w.say("picture.by." + r.By) }

// date writes the day, with the hour where a scan has one.
func date(t time.Time) string {
	if t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 {
		return t.UTC().Format("2006-01-02")
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// day is date that also names the zone, for sentences.
func day(t time.Time) string {
	if s := date(t); len(s) > len(time.DateOnly) {
		return s + " UTC"
	}
	return date(t)
}

// printable takes control characters out of words that came from observations; a
// group or a scope is somebody's text. It is cut at the width of a table cell.
func printable(s string) string { return clean(s, 60) }

func clean(s string, most int) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || n > most {
			return -1
		}
		return r
	}, s)
}
