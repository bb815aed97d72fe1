package text

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"postern"
	"postern/internal/report"
)

func (t *text) host(d *report.Digest) {
	t.line()
	t.line(t.paint(bold, strings.Repeat(t.draw.thick, t.width)))
	t.verdict(d)
	t.facts(d)
	t.story(d)
	t.evidence(d)
	t.coverage(d)
	t.next(d)
}

// verdict is the part that somebody reads who reads nothing else.
func (t *text) verdict(d *report.Digest) {
	v := &d.Verdict
	build := t.safe(t.T("report.build-is", "build", t.build(d)))
	t.wrap("", "", t.say(t.name(d), maxPath)+" "+t.draw.middot+" "+build, bold)
	t.line()
	rungs := strings.Repeat(t.draw.rungOn, int(v.Level)) +
		strings.Repeat(t.draw.rungOff, int(postern.PostExploitation-v.Level))
	t.wrap("  "+t.paint(mood(d), rungs)+"  ", "          ",
		strings.ToUpper(t.say(d.Headline(t.Words), maxSentence)), mood(d))
	sure := t.T("report.is-conclusive")
	if !v.Conclusive {
		sure = t.T("report.not-conclusive")
	}
	t.wrap("          ", "          ", t.safe(t.T("report.level-line",
		"level", int(v.Level), "confidence", t.T("confidence."+v.Confidence.String()), "conclusive", sure)), none)
	t.line()
	if v.Summary != "" {
		t.wrap("  ", "  ", t.say(v.Summary, maxSentence), none)
	}
}

// facts are the three answers that nobody may mix up.
func (t *text) facts(d *report.Digest) {
	t.line()
	t.fact(t.T("report.patched"), stateStyle(d.Patched.State), t.Of("report.state.", string(d.Patched.State)), &d.Patched)
	t.fact(t.T("report.mitigated"), stateStyle(d.Mitigated.State), t.Of("report.state.", string(d.Mitigated.State)), &d.Mitigated)
	t.fact(t.T("report.clean"), mood(d), t.T("report.clean."+string(d.Clean)), &report.Fact{})
}

func stateStyle(s postern.State) style {
	switch s {
	case postern.Yes:
		return green
	case postern.No, postern.Ineffective:
		return red
	}
	return yellow
}

func (t *text) fact(name string, s style, state string, f *report.Fact) {
	const column = 13
	answer := report.Cut(state, 200)
	if !f.Since.IsZero() {
		answer += ", " + t.T("report.since", "time", t.Moment(f.Since))
	}
	rest := strings.Repeat(" ", column+2)
	t.wrap("  "+t.paint(bold, t.pad(t.safe(name), column)), rest, t.safe(answer), s)
	if f.Why != "" {
		t.wrap(rest, rest, t.say(f.Why, maxSentence), none)
	}
}

func (t *text) story(d *report.Digest) {
	if len(d.Incidents) == 0 {
		return
	}
	t.section(t.safe(t.T("report.story")))
	for i := range d.Incidents {
		in := &d.Incidents[i]
		if i > 0 {
			t.line()
		}
		title := in.Title
		if title == "" {
			title = t.T("level." + strconv.Itoa(int(in.Level)))
		}
		t.wrap("  "+strconv.Itoa(i+1)+". ", "     ", t.say(title, maxSentence)+" "+t.level(in.Level), bold)
		when := t.safe(t.Moment(in.First))
		if in.Last != in.First && !in.Last.IsZero() {
			when += " " + t.draw.to + " " + t.safe(t.Moment(in.Last))
		}
		t.wrap("     ", "     ", when, dim)
		for _, s := range in.Story {
			t.wrap("     "+t.draw.bullet+" ", "       ", t.say(s, maxSentence), none)
		}
		if in.MoreStory > 0 {
			t.more(int64(in.MoreStory))
		}
	}
	if d.MoreIncidents > 0 {
		t.line()
		t.more(int64(d.MoreIncidents))
	}
}

// level writes a level as a number in brackets.
func (t *text) level(l postern.Level) string { return "[" + strconv.Itoa(int(l)) + "]" }

func (t *text) evidence(d *report.Digest) {
	t.section(t.safe(t.T("report.evidence")))
	if len(d.Groups) == 0 {
		t.wrap("  ", "  ", t.safe(t.T("report.no-findings")), none)
		return
	}
	for i := range d.Groups {
		if i > 0 {
			t.line()
		}
		t.group(&d.Groups[i])
	}
	if d.MoreGroups > 0 {
		t.line()
		t.more(int64(d.MoreGroups))
	}
}

func (t *text) group(g *report.Group) {
	t.wrap("  "+t.level(g.Level)+" ", "      ", t.say(g.Title, maxSentence), bold)
	facts := []string{t.safe(report.Cut(g.Rule, maxPath)), t.safe(t.T("report.confidence-is", "confidence", t.T("confidence."+g.Confidence.String())))}
	for _, cve := range g.CVE[:min(len(g.CVE), 6)] {
		facts = append(facts, t.safe(report.Cut(cve, 40)))
	}
	t.wrap("      ", "      ", strings.Join(facts, " "+t.draw.middot+" "), dim)
	if credit := t.Credit(&g.Finding); credit != "" {
		t.wrap("      ", "      ", t.say(credit, maxSentence), dim)
	}
	if g.Explain != "" {
		for _, s := range strings.SplitN(g.Explain, "\n", 6) {
			t.wrap("      ", "      ", t.say(s, maxSentence), none)
		}
	}
	for i := range g.Shown {
		t.sighting(&g.Shown[i])
	}
	if more := g.Count - int64(len(g.Shown)); more > 0 {
		t.wrap("      ", "      ", t.safe(t.T("report.more", "count", t.Number(more))), dim)
	}
}

// shownEntities are what one line of evidence adds, in this order.
var shownEntities = [...]string{
	postern.ClientIP, postern.Account, postern.URL, postern.File, postern.FileSHA256,
	postern.ShellParameter, postern.HTTPStatus, postern.UserAgent,
}

// sighting writes when, where and what.
func (t *text) sighting(s *report.Sighting) {
	const deep = "        "
	when := t.safe(t.Moment(s.Time))
	for i := range s.Evidence {
		e := &s.Evidence[i]
		where := t.say(e.Path, maxPath)
		if e.Line > 0 {
			where += ":" + strconv.FormatInt(e.Line, 10)
		} else if e.Record > 0 {
			where += " #" + strconv.FormatInt(e.Record, 10)
		}
		if i == 0 {
			where = when + "  " + where
		}
		bullet := "      " + t.draw.bullet + " "
		if i > 0 {
			bullet = deep
		}
		t.wrap(bullet, deep, where, none)
		if e.Excerpt != "" {
			t.wrap(deep+"> ", deep+"  ", t.say(e.Excerpt, maxExcerpt), dim)
		}
	}
	if len(s.Evidence) == 0 {
		t.wrap("      "+t.draw.bullet+" ", deep, when, none)
	}
	var named []string
	for _, name := range shownEntities {
		if value := s.Entities[name]; value != "" {
			named = append(named, t.safe(t.T("report.entity."+name))+" "+t.entity(name, value))
		}
	}
	if len(named) > 0 {
		t.wrap(deep, deep, strings.Join(named, " "+t.draw.middot+" "), none)
	}
	if s.MorePlaces > 0 {
		t.wrap(deep, deep, t.safe(t.T("report.more", "count", t.Number(int64(s.MorePlaces)))), dim)
	}
}

func (t *text) entity(name, value string) string {
	if name == postern.ClientIP { // an address or a name, even if it does not look like one
		return t.safe(report.DefangHost(report.Cut(value, maxExcerpt)))
	}
	return t.say(value, maxExcerpt)
}

func (t *text) coverage(d *report.Digest) {
	t.section(t.safe(t.T("report.coverage")))
	if !slices.ContainsFunc(d.Campaigns, func(v report.View) bool { return len(v.Lanes) > 0 }) {
		t.wrap("  ", "  ", t.safe(t.T("report.no-coverage")), none)
		return
	}
	for i := range d.Campaigns {
		if i > 0 {
			t.line()
		}
		t.view(&d.Campaigns[i], d.MultiCampaign())
	}
	if !t.explained {
		t.explained = true
		c := t.draw.cells
		t.line()
		t.wrap("  ", "  ", t.safe(t.T("report.coverage-key", "all", c[3], "most", c[2], "some", c[1], "none", c[0])), dim)
	}
}

// view draws one campaign's coverage.
func (t *text) view(v *report.View, titled bool) {
	if titled && v.Title != "" {
		heading := t.say(v.Title, maxSentence)
		if !v.Apart() {
			heading += ": " + t.say(v.Verdict.Title, maxSentence)
		}
		t.wrap("  ", "  ", heading, bold)
	}
	if v.Apart() {
		t.wrap("  ", "  ", t.say(v.Verdict.Summary, maxSentence), none)
		return
	}
	const share, indent = 5, 2
	name, rows := 9, 6
	for i := range v.Lanes {
		name = max(name, wide(t.safe(report.Cut(v.Lanes[i].Source, 40)))+2)
		rows = max(rows, wide(t.safe(t.rows(&v.Lanes[i]))))
	}
	name, rows = min(name, 20), min(rows, 20)
	bar := t.width - indent - name - share - rows - 2
	for i := range v.Lanes {
		l := &v.Lanes[i]
		source := t.safe(report.Cut(l.Source, 40))
		if l.Required {
			source += "*"
		}
		line := "  " + t.pad(source, name)
		count := t.safe(t.rows(l))
		switch {
		case l.Timeless():
			t.wrap(line, strings.Repeat(" ", indent+name), t.safe(t.T("report.present", "count", t.Number(l.Records))), none)
		case l.Status == postern.NotApplicable, l.Status == postern.Absent && !v.Window.Drawable(), !v.Window.Drawable():
			words := t.Of("report.seen.", string(l.Status))
			if !l.From.IsZero() {
				words += ", " + t.Moment(l.From) + " " + t.draw.to + " " + t.Moment(l.To) + ", " + count
			}
			t.wrap(line, strings.Repeat(" ", indent+name), t.safe(report.Cut(words, 200)), none)
		default:
			t.line(line, t.paint(laneStyle(l), t.bar(l, bar)), " ", left(t.safe(t.Percent(l.Share)), share), " ", left(t.fit(count, rows), rows))
		}
	}
	if !v.Window.Drawable() {
		return
	}
	if v.Marked {
		t.line("  ", t.pad(t.safe(t.T("report.findings-lane")), name), t.paint(red, strings.TrimRight(t.marks(v, bar), " ")))
	}
	from, to := t.Day(v.Window.From), t.Day(v.Window.To)
	t.line("  ", strings.Repeat(" ", name), t.pad(from, bar-len(to)), to)
}

func (t *text) rows(l *report.Lane) string {
	return t.T("report.rows", "count", t.Number(l.Records))
}

// left pads on the left.
func left(s string, n int) string { return strings.Repeat(" ", max(0, n-wide(s))) + s }

func laneStyle(l *report.Lane) style {
	switch {
	case l.Share >= 0.995:
		return green
	case l.Share == 0 && l.Required:
		return red
	}
	return yellow
}

// bar draws a lane in n columns.
func (t *text) bar(l *report.Lane, n int) string {
	var b strings.Builder
	for i := range n {
		// The mean of the cells under this column, weighted by how much of each it has.
		from, to := float64(i)*report.Cells/float64(n), float64(i+1)*report.Cells/float64(n)
		sum := 0.0
		for c := int(from); c < report.Cells && float64(c) < to; c++ {
			sum += l.Cells[c] * (math.Min(to, float64(c+1)) - math.Max(from, float64(c)))
		}
		b.WriteString(t.draw.cells[shade(sum/(to-from))])
	}
	return b.String()
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

// marks draws where the findings fall.
func (t *text) marks(v *report.View, n int) string {
	row := make([]bool, n)
	for c, level := range v.Marks {
		if level > 0 {
			row[c*n/report.Cells] = true
		}
	}
	var b strings.Builder
	for _, on := range row {
		if on {
			b.WriteString(t.draw.mark)
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func (t *text) next(d *report.Digest) {
	t.section(t.safe(t.T("report.next")))
	if len(d.Verdict.Next) == 0 {
		t.wrap("  ", "  ", t.safe(t.T("report.no-next")), none)
	}
	for i, s := range d.Verdict.Next {
		t.wrap("  "+left(strconv.Itoa(i+1), 2)+". ", "      ", t.say(s, maxSentence), none)
	}
}
