package campaign

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"postern"
)

// fixKind says how one line is with one CVE.
type fixKind string

const (
	noFix       fixKind = "no-fix"       // affected, and the line never got the update
	fixInBase   fixKind = "base"         // the line was released with the fix
	fixByUpdate fixKind = "update"       // an update of the line has it
	notAffected fixKind = "not-affected" // the vendor does not list it
	notAssessed fixKind = "not-assessed" // out of support when the flaw was published: nobody looked
)

// fix is what the table says about one CVE in one line.
type fix struct {
	kind  fixKind
	build postern.Build // the first with the fix; zero for those without
	// doubtFrom is the first build that does not decide, doubtTo the first after
	// that which does again; zero is none.
	doubtFrom, doubtTo postern.Build
	note               string
}

func (f *fix) doubts(b postern.Build) bool {
	return !f.doubtFrom.IsZero() && b.Compare(f.doubtFrom) >= 0 &&
		(f.doubtTo.IsZero() || b.Compare(f.doubtTo) < 0)
}

// exists says whether the line can get the fix at all.
func (f *fix) exists() bool { return f.kind == fixInBase || f.kind == fixByUpdate }

func (p *Product) readFixes(c *checker, file string, b []byte) {
	c.table(file, b, []string{"cve", "edition", "lines", "fix", "build", "doubt_from", "doubt_to", "note"}, nil, func(r *row) {
		id, kind, note := r.get("cve"), fixKind(r.get("fix")), r.get("note")
		lines := strings.Fields(r.get("lines"))
		fixes, ok := p.fixes[id]
		switch {
		case !ok:
			r.bad(postern.Say("campaign.unknown-cve", "cve", clip(id), "product", p.Name))
			return
		case !slices.Contains([]fixKind{noFix, fixInBase, fixByUpdate, notAffected, notAssessed}, kind),
			len(lines) == 0, (kind == fixByUpdate) != (r.get("build") != ""), kind == fixByUpdate && len(lines) > 1:
			r.bad(postern.Say("product.bad-fix", "cve", id))
			return
		}
		if note != "" {
			p.checkNote(r, note)
		}
		for _, name := range lines {
			at, ok := p.named[[2]string{r.get("edition"), name}]
			if !ok {
				r.bad(postern.Say("product.unknown-line", "edition", r.get("edition"), "line", clip(name)))
				continue
			}
			l := &p.Lines[at]
			f := &fix{kind: kind, note: note}
			switch kind {
			case fixInBase:
				f.build = l.Base
			case fixByUpdate:
				f.build = r.build("build")
				if rel, ok := p.Release(f.build); !ok || rel.Edition != l.Edition || rel.Line != l.Name {
					r.bad(postern.Say("product.unknown-build", "build", f.build))
				}
			}
			f.doubtFrom, f.doubtTo = p.doubt(r, l)
			if !f.doubtFrom.IsZero() && note == "" && len(p.CVEs[p.cve[id]].Notes) == 0 {
				r.bad(postern.Say("product.doubt-without-note", "cve", id))
			}
			if fixes[at] != nil {
				r.bad(postern.Say("campaign.twice", "value", id+" "+p.LineTitle(*l)))
			}
			fixes[at] = f
		}
	})
}

// doubt reads the two columns of it; the word "base" is the first build of the line.
func (p *Product) doubt(r *row, l *Line) (from, to postern.Build) {
	switch r.get("doubt_from") {
	case "":
		return from, to
	case "base":
		from = l.Base
	default:
		from = r.build("doubt_from")
	}
	if r.get("doubt_to") != "" {
		to = r.build("doubt_to")
	}
	if !to.IsZero() && from.Compare(to) >= 0 {
		r.bad(postern.Say("product.bad-doubt"))
	}
	return from, to
}

// Assess says what one build means for one CVE, and why. It compares strictly
// inside the line of the build. A build that is in no list can have files of the
// release before it or of the one after, as headers are known to lag; it is decided
// only if that makes no difference. The three-number form of a line (15.1.2176.0)
// stands for all of its releases.
func (p *Product) Assess(cve string, b postern.Build) (postern.Assessment, postern.Text) {
	return p.AssessRange(cve, b, b)
}

// AssessRange is Assess for a host of which only an interval of possible builds is
// known, both ends included. A zero end is the end of the line of the other one.
func (p *Product) AssessRange(cve string, low, high postern.Build) (postern.Assessment, postern.Text) {
	id, ok := p.cve[cve]
	if !ok {
		return postern.NotAssessed, postern.Say("product.assess.unknown-cve", "cve", cve)
	}
	if low.IsZero() && high.IsZero() {
		return postern.Undecidable, postern.Say("product.assess.no-build", "cve", cve)
	}
	first, last, answer, why := p.lines(cve, &low, &high)
	if answer != "" {
		return answer, why
	}
	var q question
	for at := first; at <= last; at++ {
		l := &p.Lines[at]
		f := p.fixes[cve][at]
		if f == nil {
			q.add(postern.NotAssessed, postern.Say("product.assess.no-statement", "cve", cve, "line", p.LineTitle(*l)))
			continue
		}
		p.ask(&q, &p.CVEs[id], l, f, low, high)
	}
	return q.answer(cve, low, high)
}

// lines finds the lines between two builds. It fills in an open end, and answers at
// once where nothing can be compared.
func (p *Product) lines(cve string, low, high *postern.Build) (first, last int, a postern.Assessment, why postern.Text) {
	for _, b := range []*postern.Build{low, high} {
		if b.IsZero() {
			continue
		}
		e := p.edition(*b)
		if e == nil {
			return 0, 0, postern.Undecidable, postern.Say("product.assess.not-ours", "build", *b, "product", p.Title)
		}
		if e.Cloud {
			return 0, 0, postern.NotAssessed, postern.Say("product.assess.cloud", "edition", e.Title)
		}
		if p.lineOf(*b) < 0 {
			return 0, 0, postern.Undecidable, postern.Say("product.assess.unlisted-line", "build", *b, "edition", e.Title)
		}
	}
	if low.IsZero() {
		*low = p.Lines[p.lineOf(*high)].Base
	}
	if high.IsZero() {
		*high = p.Lines[p.lineOf(*low)].Newest
	}
	first, last = p.lineOf(*low), p.lineOf(*high)
	// What stands for a whole line is its two ends.
	if p.isWholeLine(&p.Lines[first], *low) {
		*low = p.Lines[first].Base
	}
	if p.isWholeLine(&p.Lines[last], *high) {
		*high = p.Lines[last].Newest
	}
	if low.Compare(*high) > 0 || first > last {
		return 0, 0, postern.Undecidable, postern.Say("product.assess.no-range", "low", *low, "high", *high)
	}
	return first, last, "", postern.Text{}
}

// ask puts the question to every build of a line in the interval at which the
// answer can change.
func (p *Product) ask(q *question, v *CVE, l *Line, f *fix, low, high postern.Build) {
	// A doubt about a number that is in no list is the reason to give for it.
	if low == high && f.doubts(low) {
		q.add(p.decide(v, l, f, low))
		return
	}
	from, to := p.released(l, low, high)
	q.add(p.decide(v, l, f, from))
	for _, b := range []postern.Build{f.build, f.doubtFrom, f.doubtTo, to} {
		if b.Compare(from) > 0 && b.Compare(to) <= 0 {
			q.add(p.decide(v, l, f, b))
		}
	}
}

// released widens the ends of an interval to builds that were released: an unlisted
// low end down to the release before it, an unlisted high end up to the one after.
func (p *Product) released(l *Line, low, high postern.Build) (from, to postern.Build) {
	from, to = l.Base, l.Newest
	for _, r := range l.releases {
		if r.Build.Compare(low) <= 0 {
			from = r.Build
		}
	}
	for _, r := range slices.Backward(l.releases) {
		if r.Build.Compare(high) >= 0 {
			to = r.Build
		}
	}
	return from, to
}

// isWholeLine says whether b is the three-number form of a line and not a release.
func (p *Product) isWholeLine(l *Line, b postern.Build) bool {
	_, released := p.release[b]
	return !released && b[3] == 0 && p.edition(b).LineNumbers == 3 && b.SameLine(l.Base)
}

// decide answers for one build that is not compared with any other line.
func (p *Product) decide(v *CVE, l *Line, f *fix, b postern.Build) (postern.Assessment, postern.Text) {
	line := p.LineTitle(*l)
	if f.doubts(b) {
		return postern.Undecidable, p.Note(p.doubtNote(v, f))
	}
	switch f.kind {
	case notAffected:
		if f.note != "" {
			return postern.NotAffected, p.Note(f.note)
		}
		return postern.NotAffected, postern.Say("product.assess.not-affected", "cve", v.ID, "line", line)
	case notAssessed:
		return postern.NotAssessed, postern.Say("product.assess.out-of-support", "cve", v.ID, "line", line)
	case noFix:
		return postern.NoFixForLine, postern.Say("product.assess.no-fix", "cve", v.ID, "line", line)
	}
	rel, _ := p.Release(f.build)
	switch {
	case b.Compare(f.build) >= 0 && f.kind == fixInBase:
		return postern.Fixed, postern.Say("product.assess.in-base", "cve", v.ID, "line", line)
	case b.Compare(f.build) >= 0:
		return postern.Fixed, postern.Say("product.assess.fixed", "cve", v.ID, "line", line, "build", b, "fixed", f.build, "update", rel.Update)
	case v.Mitigation != "":
		return postern.UnfixedOrMitigated, postern.Say("product.assess.unfixed-or-mitigated",
			"cve", v.ID, "line", line, "build", b, "fixed", f.build, "update", rel.Update)
	}
	return postern.Unfixed, postern.Say("product.assess.unfixed", "cve", v.ID, "line", line, "build", b, "fixed", f.build, "update", rel.Update)
}

func (p *Product) doubtNote(v *CVE, f *fix) string {
	if f.note != "" {
		return f.note
	}
	return v.Notes[0]
}

// question collects the answers for all builds that a host may have.
type question struct {
	answers []postern.Assessment
	why     postern.Text // of the first answer
}

func (q *question) add(a postern.Assessment, why postern.Text) {
	if len(q.answers) == 0 {
		q.why = why
	}
	if !slices.Contains(q.answers, a) {
		q.answers = append(q.answers, a)
	}
}

// answer is the one that holds whichever build it is.
func (q *question) answer(cve string, low, high postern.Build) (postern.Assessment, postern.Text) {
	if len(q.answers) == 1 {
		if _, ok := q.why.Args["build"]; ok && low == high {
			q.why.Args["build"] = low.String() // the one that was asked about, not its listed neighbour
		}
		return q.answers[0], q.why
	}
	if low == high {
		return postern.Undecidable, postern.Say("product.assess.unlisted-build", "cve", cve, "build", low)
	}
	between := postern.Say("product.assess.range", "cve", cve, "low", low, "high", high)
	var unfixed postern.Assessment
	for _, a := range q.answers {
		switch a {
		case postern.UnfixedOrMitigated:
			unfixed = a
		case postern.Unfixed, postern.NoFixForLine:
			if unfixed == "" {
				unfixed = postern.Unfixed
			}
		default:
			return postern.Undecidable, between
		}
	}
	return unfixed, postern.Say("product.assess.range-unfixed", "cve", cve, "low", low, "high", high)
}

// Notes gives what else there is to know about a CVE and a build: what the note
// columns say, most particular first.
func (p *Product) Notes(cve string, b postern.Build) []postern.Text {
	v, ok := p.CVE(cve)
	if !ok {
		return nil
	}
	var words []string
	if at := p.lineOf(b); at >= 0 {
		if f := p.fixes[cve][at]; f != nil {
			words = append(words, f.note)
		}
	}
	words = append(append(words, v.Mitigation), v.Notes...)
	var notes []postern.Text
	for _, w := range words {
		if w != "" {
			notes = append(notes, p.Note(w))
		}
	}
	return notes
}

// Fix is what to install against one CVE.
type Fix struct {
	// Here is true if the line that runs now has the fix. If not, Line has to be
	// installed first.
	Here bool
	Line Line
	// Update is the first release of the line with the fix; it is the line's base
	// where the line came with it.
	Update Release
	// Newest is the newest release of the line that the table knows: what to
	// install today.
	Newest Release
}

// Steps says what to do in one sentence.
func (f Fix) Steps(p *Product) postern.Text {
	switch {
	case f.Here && f.Update.Update == "":
		return postern.Say("product.fix.nothing", "line", p.LineTitle(f.Line))
	case f.Here:
		return postern.Say("product.fix.update", "line", p.LineTitle(f.Line), "update", f.Update.Update,
			"build", f.Update.Build, "newest", f.Newest.Build)
	case f.Update.Update == "":
		return postern.Say("product.fix.line", "line", p.LineTitle(f.Line), "build", f.Update.Build, "newest", f.Newest.Build)
	}
	return postern.Say("product.fix.line-and-update", "line", p.LineTitle(f.Line), "update", f.Update.Update,
		"build", f.Update.Build, "newest", f.Newest.Build)
}

// FixFor says which update closes a CVE for a host with that build: one of its own
// line, or else the newest line of the same edition that has one. There is none for
// editions that never got it, and for those that never needed it.
func (p *Product) FixFor(cve string, b postern.Build) (Fix, bool) {
	at := p.lineOf(b)
	fixes := p.fixes[cve]
	if at < 0 || fixes == nil || fixes[at] == nil {
		return Fix{}, false
	}
	switch f := fixes[at]; {
	case f.exists():
		return p.fixIn(at, f, true), true
	case f.kind != noFix:
		return Fix{}, false
	}
	for to := len(p.Lines) - 1; to > at; to-- {
		if f := fixes[to]; f != nil && f.exists() && p.Lines[to].Edition == p.Lines[at].Edition {
			return p.fixIn(to, f, false), true
		}
	}
	return Fix{}, false
}

func (p *Product) fixIn(at int, f *fix, here bool) Fix {
	l := p.Lines[at]
	update, _ := p.Release(f.build)
	return Fix{Here: here, Line: l, Update: update, Newest: l.releases[len(l.releases)-1]}
}

// FixAvailable gives the day since which a host with that build could get the fix
// without changing its line. It is not the day of publication, and for the lines of
// March 2021 not the day on the vendor's list either.
func (p *Product) FixAvailable(cve string, b postern.Build) (time.Time, bool) {
	f, ok := p.FixFor(cve, b)
	if !ok || !f.Here {
		return time.Time{}, false
	}
	return f.Update.Available, true
}

func itoa(i int) string { return strconv.Itoa(i) }
