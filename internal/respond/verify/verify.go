// Package verify is the part of the response that answers three questions about a
// server, and never one for another: is it patched, is it mitigated, is it clean.
//
// Input: what a hunt says of the server now, and if there is one what an older hunt
// said. Output: a [Result] with an answer, its strength, its evidence and what could
// not be checked for each, and what is new, gone and still there. Times are UTC.
// docs/formats/attestation.md has the form in which it is signed.
//
// The best that is ever said of "clean" is that nothing was found where it would have
// been seen. What an older hunt found is never unsaid by a later one that sees less.
package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"postern"
)

// Schema names the form of an attestation and its version.
const Schema = "postern.attestation/1"

// Bounds of what is listed; all is counted.
const (
	maxEvidence  = 20  // places behind an answer
	maxUnchecked = 50  // sentences
	maxChanges   = 500 // of each kind
)

// State is an answer.
type State string

// The answers. Clean is never "yes".
const (
	Yes         State = "yes"
	No          State = "no"
	Unknown     State = "unknown"
	Ineffective State = "ineffective" // a mitigation that is there and does not help
	Nothing     State = "nothing"     // of clean: nothing was found where it would have been seen
)

// Place is something that an answer rests on.
type Place struct {
	Rule   string        `json:"rule"`
	Level  postern.Level `json:"level"`
	Path   string        `json:"path"`
	Line   int64         `json:"line,omitempty"`
	SHA256 string        `json:"sha256,omitempty"`
}

// Answer is what is said to one question.
type Answer struct {
	State State
	// Strength is how sure the answer is; Unsaid for unknown.
	Strength  postern.Confidence
	Why       postern.Text
	Since     postern.Instant
	Evidence  []Place
	More      int // places beyond the bound
	Unchecked []postern.Text
}

// Change is what the findings of a rule about a file are compared with an older hunt.
type Change struct {
	What   What          `json:"what"`
	Rule   string        `json:"rule"`
	Path   string        `json:"path"`
	Level  postern.Level `json:"level"`
	SHA256 string        `json:"sha256,omitempty"` // of a file that is malicious itself
	Then   int           `json:"then"`             // findings
	Now    int           `json:"now"`
}

// What became of something.
type What string

// The kinds of change.
const (
	New   What = "new"
	Gone  What = "gone"
	Still What = "still"
)

// Seen is a finding as this room needs it, of whichever hunt.
type Seen struct {
	Rule   string
	Level  postern.Level
	Path   string // of its first evidence
	Server string // the place of that on the server, by which two hunts are compared
	Line   int64
	// Here says that the finding is about something that lies there, a file or a
	// setting, and not about a row of a log or another trace of what happened.
	Here bool
	File string // SHA-256 of such a file
}

// Earlier is an older hunt of the same server.
type Earlier struct {
	Level    postern.Level
	Findings []Seen
}

// Subject is a server as a hunt sees it now.
type Subject struct {
	Host      postern.Host
	Findings  []Seen
	Campaigns []postern.Campaign
	Status    postern.Status
	Problems  int
	Set       int // files of a quarantine that were left out
	// Told says that the host is patched because somebody said so, and for no other reason.
	Told bool
}

// Result is the three answers.
type Result struct {
	Patched, Mitigated, Clean Answer
	Compared                  bool
	Changes                   []Change // worst first
	New, Gone, Still          int      // all of them
}

// Proved says whether the server is patched and nothing was found where it would have
// been seen; then a mitigation is not needed.
func (r *Result) Proved() bool { return r.Patched.State == Yes && r.Clean.State == Nothing }

// Refuted says whether one of the two is surely not so.
func (r *Result) Refuted() bool { return r.Patched.State == No || r.Clean.State == No }

// Judge draws the answers. Earlier may be nil.
func Judge(s Subject, earlier *Earlier) *Result {
	r := &Result{Patched: patched(s), Mitigated: mitigated(s)}
	if earlier != nil {
		r.Compared = true
		r.compare(earlier.Findings, s.Findings)
	}
	r.Clean = clean(s, earlier, r.Changes)
	return r
}

func patched(s Subject) Answer {
	a := fact(s.Host.Patched)
	switch {
	case a.State == Unknown:
		a.Unchecked = append(a.Unchecked, postern.Say("verify.unchecked.build"))
	case s.Told || s.Host.Build.IsZero():
		a.Strength = postern.Low // somebody said so
	default:
		a.Strength = postern.High
	}
	a.Unchecked = append(a.Unchecked, postern.Say("verify.unchecked.running"))
	return a
}

func mitigated(s Subject) Answer {
	a := fact(s.Host.Mitigated)
	if a.State != Unknown {
		a.Strength = postern.High
	}
	if a.State == Yes {
		a.Strength = postern.Medium // the configuration says so; nobody has tried
		a.Unchecked = append(a.Unchecked, postern.Say("verify.unchecked.tried"))
	}
	if a.State == Yes && s.Status != postern.Complete { // a folder that could not be read may hold what takes it away
		a.Strength = postern.Low
		a.Unchecked = append(a.Unchecked, postern.Say("verify.unchecked.partial", "count", s.Problems))
	}
	a.rest(s.Findings, func(f Seen) bool { return strings.HasPrefix(f.Rule, "config/mitigation") })
	return a
}

func fact(f postern.Fact) Answer {
	state := State(f.State)
	if state == "" {
		state = Unknown
	}
	return Answer{State: state, Why: f.Why, Since: f.Since}
}

// clean answers the third question. What lies there now and what has come since decide
// against it; what only logs tell of the past decides nothing about the present.
func clean(s Subject, earlier *Earlier, changes []Change) Answer {
	v := s.Host.Verdict
	var a Answer
	here := func(f Seen) bool { return f.Here && f.Level >= postern.Exploited }
	there := slices.ContainsFunc(s.Findings, here)
	fresh := slices.ContainsFunc(changes, func(c Change) bool { return c.What == New && c.Level >= postern.Exploited })
	switch {
	case there:
		a = Answer{State: No, Strength: v.Confidence, Why: postern.Say("verify.clean.there")}
		a.rest(s.Findings, here)
	case v.Level >= postern.Exploited && earlier == nil:
		a = Answer{State: No, Strength: v.Confidence, Why: postern.Say("verify.clean.no")}
		a.rest(s.Findings, func(f Seen) bool { return f.Level >= postern.Exploited })
	case fresh:
		a = Answer{State: No, Strength: v.Confidence, Why: postern.Say("verify.clean.new")}
		for _, c := range changes {
			if c.What == New && c.Level >= postern.Exploited {
				a.place(Place{Rule: c.Rule, Level: c.Level, Path: c.Path, SHA256: c.SHA256})
			}
		}
	case v.Level >= postern.Exploited:
		a = Answer{State: Unknown, Why: postern.Say("verify.clean.history")}
		a.rest(s.Findings, func(f Seen) bool { return f.Level >= postern.Exploited })
	case earlier != nil && earlier.Level >= postern.Exploited:
		a = Answer{State: Unknown, Why: postern.Say("verify.clean.earlier")}
	case v.Conclusive && s.Status == postern.Complete:
		a = Answer{State: Nothing, Strength: postern.Medium, Why: postern.Say("verify.clean.nothing")}
	default:
		a = Answer{State: Unknown, Why: postern.Say("verify.clean.unknown")}
	}
	a.Unchecked = append(a.Unchecked, unchecked(s)...)
	return a
}

// unchecked says what the third answer does not rest on.
func unchecked(s Subject) []postern.Text {
	var all []postern.Text
	if s.Status != postern.Complete {
		all = append(all, postern.Say("verify.unchecked.partial", "count", s.Problems))
	}
	if s.Set > 0 {
		all = append(all, postern.Say("verify.unchecked.quarantine", "count", s.Set))
	}
	for _, c := range s.Campaigns {
		for _, v := range s.Host.Campaigns {
			if v.Name != c.Name {
				continue
			}
			for _, source := range c.Sources {
				for _, cover := range v.Coverage {
					bad := cover.Status == postern.Absent || cover.Status == postern.Partial
					if cover.Source == source.Name && source.Required && bad && len(all) < maxUnchecked {
						all = append(all, postern.Say("verify.unchecked.source", "source", source.Name, "campaign@", c.Title.Key)) // catalogue: *.title
					}
				}
			}
		}
	}
	return append(all, postern.Say("verify.unchecked.beyond"))
}

func (a *Answer) rest(findings []Seen, on func(Seen) bool) {
	// Worst first: that is what must not be cut, and is read first.
	worst := slices.Clone(findings)
	slices.SortStableFunc(worst, func(a, b Seen) int { return cmp.Compare(b.Level, a.Level) })
	for _, f := range worst {
		if on(f) {
			a.place(Place{Rule: f.Rule, Level: f.Level, Path: f.Path, Line: f.Line, SHA256: f.File})
		}
	}
}

func (a *Answer) place(p Place) {
	if slices.ContainsFunc(a.Evidence, func(o Place) bool { return o.Rule == p.Rule && o.Path == p.Path }) {
		return
	}
	if len(a.Evidence) == maxEvidence {
		a.More++
		return
	}
	a.Evidence = append(a.Evidence, p)
}

// compare tells by rule and file what is new, gone and still there. Findings of level
// 0 are context and not compared.
func (r *Result) compare(then, now []Seen) {
	changes := make(map[string]*Change)
	add := func(list []Seen, count func(*Change)) {
		for _, f := range list {
			if f.Level < postern.Probed {
				continue
			}
			key := f.Rule + "\x00" + cmp.Or(f.Server, strings.ToLower(f.Path))
			c := changes[key]
			if c == nil {
				c = &Change{Rule: f.Rule, Path: f.Path}
				changes[key] = c
			}
			c.Level, c.SHA256 = max(c.Level, f.Level), cmp.Or(f.File, c.SHA256)
			count(c)
		}
	}
	add(now, func(c *Change) { c.Now++ })
	add(then, func(c *Change) { c.Then++ })
	for _, c := range changes {
		switch {
		case c.Then == 0:
			c.What = New
			r.New++
		case c.Now == 0:
			c.What = Gone
			r.Gone++
		default:
			c.What = Still
			r.Still++
		}
		r.Changes = append(r.Changes, *c)
	}
	order := []What{New, Still, Gone}
	slices.SortFunc(r.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.What), slices.Index(order, b.What)), -cmp.Compare(a.Level, b.Level),
			strings.Compare(a.Rule, b.Rule), strings.Compare(a.Path, b.Path))
	})
}

// Sentence is a text in words, with what it was made from.
type Sentence struct {
	Text string       `json:"text"`
	Say  postern.Text `json:"say"`
}

// Attested is an answer as it is signed.
type Attested struct {
	State     State      `json:"state"`
	Strength  string     `json:"strength"` // low, medium, high or ""
	Why       Sentence   `json:"why"`
	Since     string     `json:"since,omitempty"`
	Evidence  []Place    `json:"evidence"`
	More      int        `json:"evidence_omitted,omitempty"`
	Unchecked []Sentence `json:"unchecked"`
}

// Attestation is what is signed.
type Attestation struct {
	Host      string          `json:"host"`
	Root      string          `json:"root"`
	Time      postern.Instant `json:"time"`
	Tool      string          `json:"tool"`
	Version   string          `json:"version"`
	Campaigns []string        `json:"campaigns"` // name@version
	Who       string          `json:"who"`
	Machine   string          `json:"machine"`
	Build     string          `json:"build"`
	Level     postern.Level   `json:"level"` // of the verdict now
	Status    postern.Status  `json:"status"`
	Proved    bool            `json:"proved"`
	Patched   Attested        `json:"patched"`
	Mitigated Attested        `json:"mitigated"`
	Clean     Attested        `json:"clean"`
	Since     *Since          `json:"since,omitempty"`
}

// Since is the comparison with an older hunt.
type Since struct {
	Hunt    string   `json:"hunt_sha256"`
	Started string   `json:"started"`
	New     int      `json:"new"`
	Gone    int      `json:"gone"`
	Still   int      `json:"still"`
	Changes []Change `json:"changes"`
}

// Attest puts a result into the form that is signed; the caller fills in who and where.
func Attest(s Subject, r *Result, words postern.Localizer) *Attestation {
	a := &Attestation{Host: s.Host.Host, Build: s.Host.Build.String(), Level: s.Host.Verdict.Level, Status: s.Status, Proved: r.Proved(),
		Patched: r.Patched.attest(words), Mitigated: r.Mitigated.attest(words), Clean: r.Clean.attest(words), Campaigns: []string{}}
	for _, c := range s.Campaigns {
		a.Campaigns = append(a.Campaigns, fmt.Sprintf("%s@%d", c.Name, c.Version))
	}
	if r.Compared {
		a.Since = &Since{New: r.New, Gone: r.Gone, Still: r.Still, Changes: r.Changes[:min(len(r.Changes), maxChanges)]}
	}
	return a
}

func (a *Answer) attest(words postern.Localizer) Attested {
	out := Attested{State: a.State, Strength: a.Strength.String(), Why: Sentence{words.Say(a.Why), a.Why}, Evidence: a.Evidence, More: a.More, Unchecked: []Sentence{}}
	if out.Evidence == nil {
		out.Evidence = []Place{}
	}
	if !a.Since.IsZero() {
		out.Since = a.Since.UTC().Format("2006-01-02T15:04:05Z")
	}
	for _, t := range a.Unchecked {
		out.Unchecked = append(out.Unchecked, Sentence{words.Say(t), t})
	}
	return out
}
