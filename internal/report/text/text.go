// Package text writes a report for a person at a terminal: at most 80 columns
// (or as many as told), the verdict first, then the story, the evidence, how much
// of the critical time the logs cover, the next steps and what was not looked
// at. Input: a run, fed through report.Handler. Output: UTF-8, or ASCII when told;
// times are UTC to the second, sizes in units of 1000.
//
// Nothing from evidence reaches the terminal as a control: see report.Visible.
// Links and public addresses are defanged; the JSON has them as they were.
package text

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"postern"
	"postern/internal/report"
)

const (
	perRule     = 3  // findings shown of each rule
	perKind     = 10 // problems shown of each kind
	maxSentence = 1200
	maxExcerpt  = 230 // three lines
	maxPath     = 400
)

type text struct {
	*page
	report.Words
	run     *report.Run
	hosts   []*report.Digest
	trouble report.Trouble
	keep    string // the build of the host being written, which is no address

	explained bool // the signs of the coverage bars
}

// New makes a handler that writes when the run ends, because the worst host comes
// first. Until then it keeps of each host what it will show.
func New(w io.Writer, opt report.Options, loc report.Localizer) report.Handler {
	return &text{page: newPage(w, opt), Words: report.Words{Localizer: loc}}
}

func (t *text) Start(r *report.Run) error {
	t.run = r
	return nil
}

func (t *text) Problem(p *report.Problem) error {
	t.trouble.Add(p, perKind)
	return nil
}

func (t *text) Host(h *report.Host) error {
	t.hosts = append(t.hosts, report.NewDigest(t.run, h, perRule))
	return nil
}

func (t *text) End(e *report.End) error {
	slices.SortStableFunc(t.hosts, report.Worse)
	t.heading(e)
	if len(t.hosts) > 1 {
		t.summary()
	}
	for _, d := range t.hosts {
		t.keep = d.Build
		t.host(d)
	}
	t.keep = ""
	t.line()
	t.line(t.paint(bold, strings.Repeat(t.draw.thick, t.width)))
	t.problems(e.Status)
	t.figures(e)
	return t.w.Flush()
}

// say makes a sentence or a piece of evidence ready to be written.
func (t *text) say(s string, most int) string {
	return t.safe(report.Defang(report.Cut(s, most), t.keep))
}

func (t *text) heading(e *report.End) {
	t.wrap("", "", t.safe(t.T("report.heading", "status", t.Of("report.status.", string(e.Status)))), bold)
	facts := []string{t.Tool()}
	facts = append(facts, t.run.Tool.Campaigns...)
	if !t.run.Started.IsZero() {
		facts = append(facts, t.Moment(t.run.Started))
	}
	facts = append(facts, t.T("report.all-times-utc"))
	for i := range facts {
		facts[i] = t.safe(report.Cut(facts[i], 80))
	}
	t.wrap("", "", strings.Join(facts, " "+t.draw.middot+" "), dim)
	if len(t.hosts) == 0 {
		t.line()
		t.wrap("", "", t.safe(t.T("report.no-hosts")), yellow)
	}
}

// Tool says which program wrote the report.
func (t *text) Tool() string { return t.run.Tool.Name + " " + t.run.Tool.Version }

// mood is the colour of a verdict.
func mood(d *report.Digest) style {
	switch d.Clean {
	case report.NotClean:
		return red
	case report.NothingYet:
		return green
	}
	return yellow
}

// summary writes one line a host.
func (t *text) summary() {
	const build = 14
	confidence := max(6, wide(t.safe(t.T("report.confidence"))))
	conclusive := wide(t.safe(t.T("report.conclusive")))
	host := 8
	for _, d := range t.hosts {
		host = max(host, wide(t.say(t.name(d), 40)))
	}
	host = min(host, max(8, t.width/4+2))
	title := t.width - host - build - confidence - conclusive - 4
	row := func(s style, cells ...string) {
		t.line(t.pad(cells[0], host), " ", t.pad(cells[1], build), " ", t.paint(s, t.pad(cells[2], title)), " ",
			t.pad(cells[3], confidence), " ", t.fit(cells[4], conclusive))
	}
	t.line()
	row(bold, t.safe(t.T("report.host")), t.safe(t.T("report.build")), t.safe(t.T("report.verdict")),
		t.safe(t.T("report.confidence")), t.safe(t.T("report.conclusive")))
	t.line(strings.Repeat(t.draw.rule, t.width))
	for _, d := range t.hosts {
		yes := t.T("report.no")
		if d.Verdict.Conclusive {
			yes = t.T("report.yes")
		}
		row(mood(d), t.say(t.name(d), 40), t.safe(t.build(d)),
			strconv.Itoa(int(d.Verdict.Level))+" "+t.safe(report.Cut(d.Verdict.Title, 80)),
			t.safe(t.T("confidence."+d.Verdict.Confidence.String())), t.safe(yes))
	}
}

func (t *text) name(d *report.Digest) string {
	if d.Host == "" {
		return t.T("report.unnamed")
	}
	return d.Host
}

func (t *text) build(d *report.Digest) string {
	if d.Build == "" {
		return t.T("report.unknown")
	}
	return d.Build
}

func (t *text) problems(status postern.Status) {
	t.section(t.safe(t.T("report.not-looked-at")))
	if t.trouble.Total == 0 {
		key := t.T("report.no-problems")
		if status != postern.Complete {
			key = t.T("report.no-problems-but-partial")
		}
		t.wrap("  ", "  ", t.safe(key), none)
		return
	}
	for _, k := range t.trouble.Kinds {
		what := t.safe(report.Cut(t.Of("report.problem.", string(k.What)), 60))
		t.wrap("  ", "  ", what+" ("+t.Number(k.Count)+")", bold)
		for i := range k.Shown {
			p := &k.Shown[i]
			what := t.say(p.Path, maxPath)
			if p.Detail != "" {
				what += ": " + t.say(p.Detail, maxSentence)
			}
			t.wrap("    "+t.draw.bullet+" ", "      ", what, none)
		}
		if more := k.Count - int64(len(k.Shown)); more > 0 {
			t.more(more)
		}
	}
}

// more says that there are others and where.
func (t *text) more(n int64) {
	t.wrap("    ", "    ", t.safe(t.T("report.more", "count", t.Number(n))), dim)
}

func (t *text) figures(e *report.End) {
	t.section(t.safe(t.T("report.figures")))
	t.wrap("  ", "  ", t.safe(t.T("report.figures-line",
		"files", t.Number(e.Stats.Files), "bytes", t.Bytes(e.Stats.Bytes),
		"records", t.Number(e.Stats.Records), "elapsed", t.Seconds(e.Stats.ElapsedSeconds))), none)
	for _, in := range t.run.Inputs[:min(len(t.run.Inputs), perKind)] {
		t.wrap("  "+t.draw.bullet+" ", "    ", t.say(in, maxPath), dim)
	}
	if more := len(t.run.Inputs) - perKind; more > 0 {
		t.more(int64(more))
	}
}
