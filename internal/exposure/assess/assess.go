// Package assess says what an interval of builds means for CVEs.
//
// Input: observations with a product, a CU line and an interval of released
// builds; the build table; and a judge that knows, for one released build, what
// the CVE table says. Output: one of the seven assessments for each CVE, with the
// reason and the advice. Builds compare inside one CU line only.
//
// All builds of the interval fixed is fixed; none fixed is unfixed, or unfixed or
// mitigated where a mitigation leaves the build as it is; some is undecidable.
// Of several members behind one name the weakest decides.
package assess

import (
	"cmp"
	"slices"
	"sync"

	"postern"
	"postern/internal/exposure"
)

// Judge knows the CVE table of a product.
type Judge interface {
	// Assess says what one released build means for a CVE, decided inside its own
	// CU line, and why. A CVE that it does not know is [postern.NotAssessed].
	Assess(cve string, b postern.Build) (postern.Assessment, postern.Text)
}

// Decision is the assessment of one CVE with its reason and what to do.
type Decision struct {
	CVE        string
	Assessment postern.Assessment
	Reason     postern.Text
	Advice     postern.Text // zero if nothing is to be done
	group      string       // the same for decisions with the same two sentences
}

// question is what a decision depends on.
type question struct {
	cve       string
	edition   string
	low, high postern.Build
}

// maxRemembered bounds the decisions kept. The real table has some thousand
// intervals; hosts that make up builds must not fill the memory.
const maxRemembered = 1 << 16

// Assessor decides. It is safe for use by several goroutines.
type Assessor struct {
	judge    Judge
	releases []exposure.Release // ascending
	mu       sync.Mutex
	known    map[question]Decision
}

// New makes an assessor from a build table and a judge.
func New(releases []exposure.Release, judge Judge) *Assessor {
	sorted := slices.Clone(releases)
	slices.SortStableFunc(sorted, func(a, b exposure.Release) int { return a.Build.Compare(b.Build) })
	return &Assessor{judge: judge, releases: sorted, known: map[question]Decision{}}
}

// Decide assesses one CVE for an interval of builds. With a zero interval the
// whole edition is the interval.
func (a *Assessor) Decide(cve, edition string, r exposure.Range) Decision {
	q := question{cve, edition, r.Low, r.High}
	a.mu.Lock()
	d, ok := a.known[q]
	a.mu.Unlock()
	if ok {
		return d
	}
	d = a.decide(q)
	d.group = d.sentences()
	a.mu.Lock()
	if len(a.known) < maxRemembered {
		a.known[q] = d
	}
	a.mu.Unlock()
	return d
}

func (a *Assessor) decide(q question) Decision {
	d := Decision{CVE: q.cve}
	list, newer := a.between(q)
	if len(list) == 0 {
		d.Assessment, d.Reason = postern.Undecidable, postern.Say("exposure.assess.no-build")
		if got, _ := a.judge.Assess(q.cve, a.any()); got == postern.NotAssessed {
			d.Assessment, d.Reason = postern.NotAssessed, postern.Say("exposure.assess.not-assessed")
		}
		return d
	}
	d.Assessment, d.Reason = a.combine(q, list)
	if newer && d.Assessment != postern.Fixed && d.Assessment != postern.NotAffected {
		d.Assessment, d.Reason = postern.Undecidable, postern.Say("exposure.assess.newer-than-data", "build", q.high)
	}
	d.Advice = a.advice(q, d.Assessment, list[len(list)-1])
	return d
}

// any gives some build of the table, to ask the judge whether it knows a CVE at all.
func (a *Assessor) any() postern.Build {
	if len(a.releases) == 0 {
		return postern.Build{}
	}
	return a.releases[len(a.releases)-1].Build
}

// between lists the releases of the interval, and says whether it reaches above
// what the table knows of the line.
func (a *Assessor) between(q question) (list []exposure.Release, newer bool) {
	if q.low.IsZero() {
		for _, r := range a.releases {
			if r.Edition == q.edition {
				list = append(list, r)
			}
		}
		return list, false
	}
	i, _ := slices.BinarySearchFunc(a.releases, q.low, func(r exposure.Release, b postern.Build) int { return r.Build.Compare(b) })
	for ; i < len(a.releases) && a.releases[i].Build.Compare(q.high) <= 0; i++ {
		if a.releases[i].Edition == q.edition {
			list = append(list, a.releases[i])
		}
	}
	return list, len(list) > 0 && list[len(list)-1].Build != q.high
}

// combine puts the answers for all builds of the interval together.
func (a *Assessor) combine(q question, list []exposure.Release) (postern.Assessment, postern.Text) {
	var safe, open, unknown, silent int
	var worst postern.Assessment
	var why postern.Text
	for _, r := range list {
		got, reason := a.judge.Assess(q.cve, r.Build)
		switch got {
		case postern.Fixed, postern.NotAffected:
			safe++
		case postern.Undecidable:
			unknown++
		case postern.NotAssessed:
			silent++
		default:
			open++
		}
		if worst == "" || Weaker(got, worst) {
			worst, why = got, reason
		}
	}
	switch {
	case silent == len(list) && why.IsZero():
		return postern.NotAssessed, postern.Say("exposure.assess.not-assessed")
	case silent == len(list):
		return postern.NotAssessed, why
	case safe == len(list), open == len(list):
		return worst, why
	case unknown == len(list):
		return postern.Undecidable, why
	}
	return postern.Undecidable, postern.Say("exposure.assess.some-fixed", "low", q.low, "high", q.high)
}

// advice says what to install, or what to look at.
func (a *Assessor) advice(q question, got postern.Assessment, at exposure.Release) postern.Text {
	switch got {
	case postern.Fixed, postern.NotAffected, postern.NotAssessed:
		return postern.Text{}
	}
	line := func(r exposure.Release) bool { return r.Edition == at.Edition && r.Line == at.Line }
	edition := func(r exposure.Release) bool { return r.Edition == at.Edition }
	if newest, ok := a.newestFixed(q.cve, line); ok && !q.low.IsZero() {
		if got == postern.Undecidable {
			return postern.Say("exposure.advice.look", "line", newest.Line, "update", name(newest), "build", newest.Build)
		}
		return postern.Say("exposure.advice.update", "line", newest.Line, "update", name(newest), "build", newest.Build)
	}
	if newest, ok := a.newestFixed(q.cve, edition); ok {
		if got == postern.Undecidable {
			return postern.Say("exposure.advice.look-any")
		}
		if newest.Update == "" {
			return postern.Say("exposure.advice.change-line-base", "from", at.Line, "line", newest.Line, "build", newest.Build)
		}
		return postern.Say("exposure.advice.change-line", "from", at.Line, "line", newest.Line, "update", newest.Update, "build", newest.Build)
	}
	if got == postern.Undecidable {
		return postern.Say("exposure.advice.look-any")
	}
	return postern.Say("exposure.advice.replace", "edition", at.Edition)
}

// name gives the update's name, or the line's for its base.
func name(r exposure.Release) string { return cmp.Or(r.Update, r.Line) }

// newestFixed gives the newest release of a set that has the fix.
func (a *Assessor) newestFixed(cve string, of func(exposure.Release) bool) (exposure.Release, bool) {
	for _, r := range slices.Backward(a.releases) {
		if !of(r) {
			continue
		}
		if got, _ := a.judge.Assess(cve, r.Build); got == postern.Fixed {
			return r, true
		}
	}
	return exposure.Release{}, false
}

// weakness orders assessments, the weakest first: what is surely open, what may
// be open, what nobody looked at, what is safe.
var weakness = []postern.Assessment{postern.NoFixForLine, postern.Unfixed, postern.UnfixedOrMitigated,
	postern.Undecidable, postern.NotAssessed, postern.Fixed, postern.NotAffected}

// Weaker says whether a is weaker than b.
func Weaker(a, b postern.Assessment) bool {
	return slices.Index(weakness, a) < slices.Index(weakness, b)
}

// PageCVE is the one flaw whose mitigation shows from outside: it adds a content
// policy to the pages of OWA. The build stays as it was.
const PageCVE = "CVE-2026-42897"

// Apply assesses the CVEs for an observation and explains the answers, once for
// all CVEs with the same one. Only outcomes with a build table behind them are
// assessed: a hidden host is not fixed, and a cloud is not ours.
func (a *Assessor) Apply(o *exposure.Observation, cves []string) {
	o.Assessed, o.Explain = nil, nil
	for i := range o.Members {
		o.Members[i].Assessed = nil
	}
	if o.Outcome != exposure.Exchange || len(cves) == 0 {
		return
	}
	o.Assessed = make(map[string]postern.Assessment, len(cves))
	at := map[string]int{}
	for _, cve := range cves {
		d := a.weakest(o, cve)
		o.Assessed[cve] = d.Assessment
		i, ok := at[d.group]
		if !ok {
			i = len(o.Explain)
			at[d.group] = i
			o.Explain = append(o.Explain, exposure.Explanation{Why: d.Reason, Do: d.Advice})
		}
		o.Explain[i].CVEs = append(o.Explain[i].CVEs, cve)
	}
}

// weakest decides a CVE over all members of a service.
func (a *Assessor) weakest(o *exposure.Observation, cve string) Decision {
	if len(o.Members) == 0 {
		return mitigated(o, a.Decide(cve, o.Product, o.Build))
	}
	var worst Decision
	for i := range o.Members {
		m := &o.Members[i]
		d := mitigated(o, a.Decide(cve, m.Product, m.Build))
		if m.Assessed == nil {
			m.Assessed = map[string]postern.Assessment{}
		}
		m.Assessed[cve] = d.Assessment
		if i == 0 || Weaker(d.Assessment, worst.Assessment) {
			worst = d
		}
	}
	return worst
}

// mitigated takes account of a mitigation that shows from outside.
func mitigated(o *exposure.Observation, d Decision) Decision {
	if d.CVE == PageCVE && o.Has(exposure.OWAContentPolicy) && (d.Assessment == postern.Unfixed || d.Assessment == postern.NoFixForLine) {
		d.Assessment, d.Reason = postern.UnfixedOrMitigated, postern.Say("exposure.assess.policy-seen")
		d.group = d.sentences()
	}
	return d
}

// sentences gives each pair of sentences a key of its own; Text is not comparable.
func (d *Decision) sentences() string { return key(d.Reason) + "\x00" + key(d.Advice) }

func key(t postern.Text) string {
	k := t.Key
	names := make([]string, 0, len(t.Args))
	for n := range t.Args {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		k += "\x01" + n + "\x02" + t.Args[n]
	}
	return k
}
