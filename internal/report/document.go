package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"postern"
)

// Schema names the contract and its version. Keys may be added to a version;
// any other change is a new one.
const Schema = "postern.hunt/1"

// Run opens a report: all that is known before the first file is read.
type Run struct {
	Schema    string     `json:"schema"`
	Tool      Tool       `json:"tool"`
	Lang      string     `json:"lang"`      // the language of all sentences below
	Started   Time       `json:"started"`   // "" if not said
	Inputs    []string   `json:"inputs"`    // what the run was told to read
	Campaigns []Campaign `json:"campaigns"` // what it hunted for
}

// Tool says who made the report.
type Tool struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Campaigns []string `json:"campaigns"` // name@version
}

// Campaign is what a reader has to know of a campaign to understand a verdict.
type Campaign struct {
	Name    string   `json:"name"`
	Version int      `json:"version"`
	Title   string   `json:"title"`
	Product string   `json:"product"`
	CVE     []string `json:"cve"`
	Window  Window   `json:"window"`
	Levels  []string `json:"levels"` // the campaign's own titles of levels 0 to 6
	Sources []Source `json:"sources"`
	I18n    I18n     `json:"i18n,omitempty"`
}

// Window is the critical time that coverage is measured against.
type Window struct {
	From       Time   `json:"from"`
	To         Time   `json:"to"`
	FromReason string `json:"from_reason"`
	ToReason   string `json:"to_reason"`
	I18n       I18n   `json:"i18n,omitempty"`
}

// Source is a kind of log that the campaign wants to see.
type Source struct {
	Name         string `json:"name"`
	Required     bool   `json:"required"`
	LifetimeDays int    `json:"lifetime_days"` // 0 means that it stays
	Collect      string `json:"collect"`
	I18n         I18n   `json:"i18n,omitempty"`
}

// Head is what is said about a host itself; Host adds the lists.
type Head struct {
	Host      string  `json:"host"`
	Build     string  `json:"build"` // "" if unknown
	Patched   Fact    `json:"patched"`
	Mitigated Fact    `json:"mitigated"`
	Verdict   Verdict `json:"verdict"`
}

// Host is everything said about one server.
type Host struct {
	Head
	Campaigns []HostCampaign `json:"campaigns"`
	Findings  []Finding      `json:"findings"`
	Incidents []Incident     `json:"incidents"`
	Coverage  []Coverage     `json:"coverage"`
	Inputs    []HashedFile   `json:"inputs"` // files whose hash was taken
}

// HashedFile is a file of the evidence with the hash of its bytes.
type HashedFile struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Fact is a dated answer with its reason.
type Fact struct {
	State postern.State `json:"state"`
	Since Time          `json:"since"`
	Why   string        `json:"why"`
	I18n  I18n          `json:"i18n,omitempty"`
}

// Verdict is what a host is told, over all campaigns or for one.
type Verdict struct {
	Level      postern.Level      `json:"level"`
	Name       string             `json:"name"`
	Title      string             `json:"title"`
	Confidence postern.Confidence `json:"confidence"`
	Conclusive bool               `json:"conclusive"`
	Summary    string             `json:"summary"`
	Next       []string           `json:"next"`
	I18n       I18n               `json:"i18n,omitempty"`
}

// HostCampaign is a host's verdict for one campaign.
type HostCampaign struct {
	Name     string     `json:"name"`
	Verdict  Verdict    `json:"verdict"`
	Coverage []Coverage `json:"coverage"`
}

// Finding is one thing that a rule says.
type Finding struct {
	ID         string             `json:"id"`
	Rule       string             `json:"rule"`
	Campaign   string             `json:"campaign"` // "" for findings that belong to none
	Level      postern.Level      `json:"level"`
	Title      string             `json:"title"`
	Time       Time               `json:"time"`
	CVE        []string           `json:"cve"`
	Confidence postern.Confidence `json:"confidence"`
	Explain    string             `json:"explain"` // sentences, one a line
	Evidence   []Evidence         `json:"evidence"`
	Entities   Entities           `json:"entities"`
	Tags       []string           `json:"tags"`
	I18n       I18n               `json:"i18n,omitempty"`
}

// Evidence is one place that a finding rests on.
type Evidence struct {
	Path    string `json:"path"`
	Line    int64  `json:"line"`
	Record  int64  `json:"record"`
	Offset  int64  `json:"offset"`
	SHA256  string `json:"sha256"`
	Excerpt string `json:"excerpt"`
}

// Entities are the things that a finding names: addresses, files, accounts.
type Entities map[string]string

// always are the entities that stand in every finding, "" where there is none,
// so that a reader need not ask for them.
var always = [...]string{
	postern.ClientIP, postern.UserAgent, postern.URL, postern.File,
	postern.FileSHA256, postern.Account, postern.ShellParameter, postern.HTTPStatus,
}

// MarshalJSON adds the entities that always stand.
func (e Entities) MarshalJSON() ([]byte, error) {
	all := make(map[string]string, len(always)+len(e))
	for _, name := range always {
		all[name] = ""
	}
	maps.Copy(all, e)
	return json.Marshal(all)
}

// Incident is findings that belong together.
type Incident struct {
	ID       string        `json:"id"`
	Level    postern.Level `json:"level"`
	First    Time          `json:"first"`
	Last     Time          `json:"last"`
	Findings []string      `json:"findings"`
	Story    []string      `json:"story"`
	I18n     I18n          `json:"i18n,omitempty"`
}

// Coverage is what one source can have seen of a window.
type Coverage struct {
	Source  string                 `json:"source"`
	Status  postern.CoverageStatus `json:"status"`
	From    Time                   `json:"from"`
	To      Time                   `json:"to"`
	Records int64                  `json:"records"`
	Gaps    []Span                 `json:"gaps"`
}

// Span is a time from and to.
type Span struct {
	From Time `json:"from"`
	To   Time `json:"to"`
}

// Problem is a piece of evidence that was not looked at, or not wholly.
type Problem struct {
	Path   string              `json:"path"`
	What   postern.ProblemKind `json:"what"`
	Detail string              `json:"detail"`
	I18n   I18n                `json:"i18n,omitempty"`
	// OfReport says of a decoded report that the trouble is that of the saved file itself,
	// and not of the evidence.
	OfReport bool `json:"-"`
}

// End closes a report.
type End struct {
	Status postern.Status `json:"status"`
	Stats  Stats          `json:"stats"`
	// Cut says of a saved stream that it has no such end, as that of a run that was
	// interrupted.
	Cut bool `json:"-"`
}

// Stats counts the work of a run.
type Stats struct {
	Files          int64   `json:"files"`
	Bytes          int64   `json:"bytes"`
	Records        int64   `json:"records"`
	ElapsedSeconds float64 `json:"elapsed_seconds"`
}

// Time is a moment in UTC with milliseconds. The zero value means unknown and
// is "" in JSON.
type Time struct{ time.Time }

// layout always writes the milliseconds, so that times sort as text.
const layout = "2006-01-02T15:04:05.000Z"

// At gives a moment as the contract can carry it. A year that RFC 3339 cannot
// write is unknown.
func At(t time.Time) Time {
	t = t.UTC().Truncate(time.Millisecond)
	if t.IsZero() || t.Year() < 0 || t.Year() > 9999 {
		return Time{}
	}
	return Time{t}
}

// String gives the form of the contract.
func (t Time) String() string {
	if t.IsZero() {
		return ""
	}
	return t.Format(layout)
}

// MarshalJSON writes the form of the contract.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalJSON reads any RFC 3339 time, or "".
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == "" {
		*t = Time{}
		return nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("time %q: want the form 2021-03-03T06:49:43.699Z", cutBytes(s, 40))
	}
	*t = At(at)
	return nil
}

// I18n keeps, by the name of the key beside it, what the sentences of an object
// were made from, so that a saved report can be read in another language. A
// sentence that is the same in every language has no entry, or one without a key.
type I18n map[string][]postern.Text

// wording puts texts into words and keeps what they were made from.
type wording struct {
	loc  Localizer
	kept I18n
}

func (w *wording) list(name string, texts []postern.Text) []string {
	said := make([]string, len(texts))
	keys := make([]postern.Text, len(texts))
	keep := false
	for i, t := range texts {
		t = validText(t)
		said[i] = valid(w.loc.Say(t))
		if t.Key != postern.VerbatimKey && !t.IsZero() {
			keys[i], keep = t, true
		}
	}
	if keep {
		if w.kept == nil {
			w.kept = I18n{}
		}
		w.kept[name] = keys
	}
	return said
}

func (w *wording) one(name string, t postern.Text) string {
	return w.list(name, []postern.Text{t})[0]
}

// done gives what was kept. A method and not the field, because a composite
// literal calls in order but reads fields when it likes.
func (w *wording) done() I18n { return w.kept }

// again says in another language what can be said; the rest stays as it was.
func (i I18n) again(loc Localizer, name string, said []string) {
	for n, t := range i[name] {
		if n < len(said) && sayable(loc, t) {
			said[n] = loc.Say(t)
		}
	}
}

// sayable says whether the message is known and those that stand inside it: the
// campaign pack of a saved run need not be at hand where it is read.
func sayable(loc Localizer, t postern.Text) bool {
	if t.Key == "" || !loc.Has(t.Key) {
		return false
	}
	for name, value := range t.Args {
		if strings.HasSuffix(name, "@") && !loc.Has(value) {
			return false
		}
	}
	return true
}

func (i I18n) againOne(loc Localizer, name string, said *string) {
	one := []string{*said}
	i.again(loc, name, one)
	*said = one[0]
}

// lines joins sentences, one a line.
func lines(sentences []string) string {
	for i, s := range sentences {
		sentences[i] = strings.ReplaceAll(s, "\n", " ")
	}
	return strings.Join(sentences, "\n")
}

// valid makes text that JSON can carry without loss: bytes that are not UTF-8
// become \xNN, because two names that differ must not become the same.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func validAll(list []string) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = valid(s)
	}
	return all
}

func validText(t postern.Text) postern.Text {
	t.Key = valid(t.Key)
	if len(t.Args) == 0 {
		t.Args = nil
		return t
	}
	args := make(map[string]string, len(t.Args))
	for k, v := range t.Args {
		args[valid(k)] = valid(v)
	}
	t.Args = args
	return t
}

func newRun(version string, started postern.Instant, inputs []string, campaigns []postern.Campaign, loc Localizer) *Run {
	r := &Run{
		Schema:    Schema,
		Tool:      Tool{Name: "postern", Version: valid(version), Campaigns: []string{}},
		Lang:      loc.Lang(),
		Started:   At(started),
		Inputs:    validAll(inputs),
		Campaigns: []Campaign{},
	}
	for _, c := range campaigns {
		r.Tool.Campaigns = append(r.Tool.Campaigns, valid(fmt.Sprintf("%s@%d", c.Name, c.Version)))
		r.Campaigns = append(r.Campaigns, newCampaign(c, loc))
	}
	return r
}

func newCampaign(c postern.Campaign, loc Localizer) Campaign {
	w, ww := wording{loc: loc}, wording{loc: loc}
	d := Campaign{
		Name:    valid(c.Name),
		Version: c.Version,
		Title:   w.one("title", c.Title),
		Product: valid(c.Product),
		CVE:     validAll(c.CVEs),
		Window: Window{
			From: At(c.Window.From), To: At(c.Window.To),
			FromReason: ww.one("from_reason", c.Window.FromReason),
			ToReason:   ww.one("to_reason", c.Window.ToReason),
			I18n:       ww.done(),
		},
		Levels:  w.list("levels", c.Levels[:]),
		Sources: []Source{},
		I18n:    w.done(),
	}
	for _, s := range c.Sources {
		w := wording{loc: loc}
		d.Sources = append(d.Sources, Source{
			Name: valid(s.Name), Required: s.Required, LifetimeDays: s.LifetimeDays,
			Collect: w.one("collect", s.Collect), I18n: w.done(),
		})
	}
	return d
}

func newHost(h postern.Host, loc Localizer) *Host {
	d := &Host{
		Head: Head{
			Host:      valid(h.Host),
			Build:     h.Build.String(),
			Patched:   newFact(h.Patched, loc),
			Mitigated: newFact(h.Mitigated, loc),
			Verdict:   newVerdict(h.Verdict, loc),
		},
		Coverage: newCoverage(h.Coverage),
	}
	for _, c := range h.Campaigns {
		d.Campaigns = append(d.Campaigns, HostCampaign{
			Name: valid(c.Name), Verdict: newVerdict(c.Verdict, loc), Coverage: newCoverage(c.Coverage),
		})
	}
	for i := range h.Findings {
		d.Findings = append(d.Findings, newFinding(&h.Findings[i], loc))
	}
	for _, in := range h.Incidents {
		w := wording{loc: loc}
		d.Incidents = append(d.Incidents, Incident{
			ID: valid(in.ID), Level: in.Level, First: At(in.First), Last: At(in.Last),
			Findings: validAll(in.Findings), Story: w.list("story", in.Story), I18n: w.done(),
		})
	}
	for _, in := range h.Inputs {
		d.Inputs = append(d.Inputs, HashedFile{Path: valid(in.Path), Size: in.Size, SHA256: valid(in.SHA256)})
	}
	_ = d.complete() // what it says of levels off the ladder cannot be of a host that we made
	return d
}

func newFact(f postern.Fact, loc Localizer) Fact {
	w := wording{loc: loc}
	d := Fact{State: f.State, Since: At(f.Since), Why: w.one("why", f.Why), I18n: w.done()}
	if d.State == "" {
		d.State = postern.Unknown
	}
	return d
}

// catalogue: level.*
func newVerdict(v postern.Verdict, loc Localizer) Verdict {
	w := wording{loc: loc}
	if v.Title.IsZero() {
		v.Title = postern.Say(fmt.Sprintf("level.%d", v.Level))
	}
	return Verdict{
		Level: v.Level, Name: v.Level.String(), Title: w.one("title", v.Title),
		Confidence: said(v.Confidence), Conclusive: v.Conclusive,
		Summary: w.one("summary", v.Summary), Next: w.list("next", v.Next), I18n: w.done(),
	}
}

// said gives one of the three words of the contract: what nobody vouched for
// is low.
func said(c postern.Confidence) postern.Confidence {
	if c < postern.Low || c > postern.High {
		return postern.Low
	}
	return c
}

func newFinding(f *postern.Finding, loc Localizer) Finding {
	w := wording{loc: loc}
	d := Finding{
		ID: valid(f.ID), Rule: valid(f.Rule), Campaign: valid(f.Campaign),
		Level: f.Level, Title: w.one("title", f.Title), Time: At(f.Time), CVE: validAll(f.CVE),
		Confidence: said(f.Confidence), Explain: lines(w.list("explain", f.Explain)),
		Evidence: make([]Evidence, len(f.Evidence)), Tags: validAll(f.Tags), I18n: w.done(),
	}
	for i, e := range f.Evidence {
		d.Evidence[i] = Evidence{
			Path: valid(e.Path), Line: e.Line, Record: e.Record, Offset: e.Offset,
			SHA256: valid(e.SHA256), Excerpt: valid(e.Excerpt),
		}
	}
	for k, v := range f.Entities {
		if v == "" {
			continue
		}
		if d.Entities == nil {
			d.Entities = Entities{}
		}
		d.Entities[valid(k)] = valid(v)
	}
	return d
}

func newCoverage(list []postern.Coverage) []Coverage {
	all := []Coverage{}
	for _, c := range list {
		d := Coverage{
			Source: valid(c.Source), Status: c.Status, From: At(c.From), To: At(c.To),
			Records: c.Records, Gaps: make([]Span, len(c.Gaps)),
		}
		for i, g := range c.Gaps {
			d.Gaps[i] = Span{At(g.From), At(g.To)}
		}
		all = append(all, d)
	}
	return all
}

func newProblem(p postern.Problem, loc Localizer) *Problem {
	w := wording{loc: loc}
	return &Problem{Path: valid(p.Path), What: p.What, Detail: w.one("detail", p.Detail), I18n: w.done()}
}

func newEnd(status postern.Status, s postern.Stats) *End {
	return &End{Status: status, Stats: Stats{s.Files, s.Bytes, s.Records, s.ElapsedSeconds}}
}
