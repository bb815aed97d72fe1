// Package all puts the detectors together: rules over rows with their gate, and
// the lists of detectors that look at files and hosts. It knows every leaf of the
// stage so that the river need not.
package all

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"postern"
	"postern/internal/hunt"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/indicator"
	"postern/internal/hunt/detect/literal"
	"postern/internal/hunt/detect/page"
	"postern/internal/hunt/detect/proctree"
	"postern/internal/hunt/detect/sigma"
	"postern/internal/hunt/parse"
)

// Rows judges rows of logs by Sigma rules. It does not change once made.
type Rows struct {
	set       *sigma.Set
	rules     map[*sigma.Rule]*detect.RowRule
	clauses   map[string][][]literal.Clause // of each source
	gates     *gates
	formats   map[string]*parse.Format
	records   *records
	sequences []sequence
	served    map[string]bool // IDs of what sequences rest on, and whether it only serves them
	signs     *signs          // nil without indicators
}

type sequence struct {
	doc    detect.Sequence
	parsed *sigma.Correlation
	names  map[string]string // rule ID → its name in the correlation
}

// NewRows compiles rules for the formats. SourceOf gives the event sources of a
// Sigma log source. An error names the rule.
func NewRows(rules []detect.RowRule, sequences []detect.Sequence, formats []*parse.Format, sourceOf func(category, product, service string) []string) (*Rows, error) {
	r := &Rows{
		rules:   make(map[*sigma.Rule]*detect.RowRule),
		clauses: make(map[string][][]literal.Clause),
		formats: make(map[string]*parse.Format),
	}
	var err error
	if r.records, err = newRecords(); err != nil {
		return nil, err
	}
	compiled, err := compile(rules)
	if err != nil {
		return nil, err
	}
	for i, c := range compiled {
		r.rules[c] = &rules[i]
	}
	aliases := make(map[string]map[string]string)
	for _, f := range formats {
		r.formats[f.Name] = f
		aliases[f.Name] = f.Aliases
	}
	r.set = sigma.NewSetAt(compiled, r.records.place(sourceOf), aliases)
	for _, f := range formats {
		for _, c := range r.set.Rules(f.Name) {
			r.clauses[f.Name] = append(r.clauses[f.Name], clauses(f, c.Needs()))
		}
	}
	r.gates = newGates(r.clauses, r.refuse)
	for _, s := range sequences {
		parsed, err := sigma.CompileCorrelation(s.Sigma)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Where, err)
		}
		names := make(map[string]string)
		for i, id := range s.Rules {
			if i < len(parsed.Rules) {
				names[id] = parsed.Rules[i]
			}
		}
		r.sequences = append(r.sequences, sequence{s, parsed, names})
	}
	r.served = served(sequences)
	return r, nil
}

// compile compiles the rules that are not compiled yet, by several goroutines. The error
// is that of the first rule that has one.
func compile(rules []detect.RowRule) ([]*sigma.Rule, error) {
	compiled, errs := make([]*sigma.Rule, len(rules)), make([]error, len(rules))
	var workers sync.WaitGroup
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(rules)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(rules)); i = next.Add(1) - 1 {
				rule := &rules[i]
				if done, ok := rule.Compiled.(*sigma.Rule); ok && len(rule.Downgrade) == 0 {
					compiled[i] = done
					continue
				}
				compiled[i], errs[i] = sigma.Compile(rule.Sigma, conditions(rule.Downgrade))
			}
		})
	}
	workers.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rules[i].Where, err)
		}
	}
	return compiled, nil
}

// served gives the IDs of what sequences rest on, and whether it only serves them: then
// it is not reported by itself.
func served(sequences []detect.Sequence) map[string]bool {
	only := make(map[string]bool)
	for _, s := range sequences {
		for _, id := range s.Rules {
			before, seen := only[id]
			only[id] = s.Only && (before || !seen)
		}
	}
	return only
}

// Unplaced gives the IDs of rules that are about logs which nothing here reads: they
// are compiled and never asked.
func (r *Rows) Unplaced() []string {
	var ids []string
	for _, rule := range r.set.Unplaced() {
		ids = append(ids, r.rules[rule].ID)
	}
	return ids
}

// conditions gives the conditions of downgrades by the number of each.
func conditions(downgrades []detect.Downgrade) map[string]string {
	c := make(map[string]string, len(downgrades))
	for i, d := range downgrades {
		c[strconv.Itoa(i)] = d.When
	}
	return c
}

// clauses says in which columns of a log the needs of a rule have to be looked
// for. A need in a field that is computed, and not read, cannot be.
func clauses(f *parse.Format, needs []sigma.Need) []literal.Clause {
	var all []literal.Clause
	for _, n := range needs {
		if n.Field == "" { // somewhere in the event, which a computed field is a part of
			if !computes(f) {
				all = append(all, literal.Clause{Literals: n.Literals})
			}
			continue
		}
		if columns := f.ColumnsOf(n.Field); len(columns) > 0 {
			all = append(all, literal.Clause{Columns: columns, Literals: n.Literals})
		}
	}
	return all
}

// refuse tells of the value of a column which rules cannot match a row that has it, as
// far as that can be told by the fields that are computed from this column alone.
func (r *Rows) refuse(f *parse.Format) literal.Refuse {
	if f.Derive == nil {
		return nil
	}
	rules := r.set.Rules(f.Name)
	fields := make(map[string][]string) // column → what only it decides
	for field, columns := range f.Deciding {
		if len(columns) == 1 && r.set.Field(f.Name, field) == field {
			name := strings.ToLower(columns[0])
			fields[name] = append(fields[name], field)
		}
	}
	return func(column string, value []byte) func(rule int) bool {
		of := fields[strings.ToLower(column)]
		if of == nil {
			return nil
		}
		ev := &postern.Event{Source: f.Name, Fields: []postern.Field{{Name: column, Value: string(value)}}}
		f.Derive(ev)
		known := slices.DeleteFunc(slices.Clone(of), func(field string) bool {
			return !slices.ContainsFunc(ev.Derived, func(d postern.Field) bool { return d.Name == field })
		})
		if len(known) == 0 {
			return nil
		}
		return func(rule int) bool { return rule < len(rules) && rules[rule].Never(ev, known) }
	}
}

// computes says whether events of a format have fields that do not stand in the row.
func computes(f *parse.Format) bool {
	for _, columns := range f.Deciding {
		if columns == nil {
			return true
		}
	}
	return false
}

// Host gives what judges one host.
func (r *Rows) Host() hunt.HostRules {
	h := &hostRows{Rows: r, pages: page.New(), trees: r.records.trees.NewHost()}
	if r.signs != nil {
		h.seen = r.signs.set.NewHost(r.signs.now)
		h.feeds = r.signs.set.HasFeeds()
	}
	return h
}

// hostRows is Rows with the pages that one host's evidence has named.
type hostRows struct {
	*Rows
	pages *page.Detector
	trees *proctree.Host
	own   *gates // of the logs in which the pages are looked for; nil without pages
	seen  *indicator.Host
	feeds bool // some indicators are looked for in every event
}

// Learn takes pages from findings. The logs of requests then need gates of their own.
func (h *hostRows) Learn(findings []postern.Finding) {
	h.pages.Learn(findings)
	names := h.pages.Names()
	if len(names) == 0 {
		return
	}
	clauses := make(map[string][][]literal.Clause)
	for name, f := range h.formats {
		if isWeb(name) {
			clauses[name] = append(slices.Clone(h.clauses[name]), []literal.Clause{{Columns: f.ColumnsOf("UrlPath"), Literals: names}})
		}
	}
	h.own = newGates(clauses, h.refuse)
}

// isWeb says whether the rows of a source are requests to pages.
func isWeb(source string) bool { return source == "iis" || source == "httpproxy" }

// Gate gives the gate for the columns of a header.
func (h *hostRows) Gate(f *parse.Format, columns []string) parse.Gate {
	if h.own != nil && isWeb(f.Name) {
		return h.signs.gate(h.own.gate(f, columns), f, columns)
	}
	return h.signs.gate(h.gates.gate(f, columns), f, columns)
}

// gates makes gates for the clauses of rules and keeps them. Safe for use by
// several goroutines.
type gates struct {
	clauses map[string][][]literal.Clause
	refuse  func(*parse.Format) literal.Refuse
	mu      sync.Mutex
	plans   map[string]*literal.Plan
	made    map[gateKey]*literal.Gate
}

func newGates(clauses map[string][][]literal.Clause, refuse func(*parse.Format) literal.Refuse) *gates {
	return &gates{clauses: clauses, refuse: refuse, plans: make(map[string]*literal.Plan), made: make(map[gateKey]*literal.Gate)}
}

// gateKey stands for a format and columns. Files with the same header share one
// list of columns, so that its address tells it apart at no cost.
type gateKey struct {
	format string
	first  *string
	n      int
}

// maxGates bounds the gates that are kept, at some 100 KiB each: a server has a
// few dozen headers, and evidence that makes up a new one for every file gets its gates
// made anew.
const maxGates = 64

func (g *gates) gate(f *parse.Format, columns []string) *literal.Gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	plan := g.plans[f.Name]
	if plan == nil {
		plan = literal.New(g.clauses[f.Name], parse.ShortForms, g.refuse(f))
		g.plans[f.Name] = plan
	}
	if len(columns) == 0 {
		return plan.Gate(f.Delim, columns)
	}
	key := gateKey{f.Name, &columns[0], len(columns)}
	made := g.made[key]
	if made == nil {
		made = plan.Gate(f.Delim, columns)
		if len(g.made) < maxGates {
			g.made[key] = made
		}
	}
	return made
}

// Look evaluates the rules for a row.
func (h *hostRows) Look(ev *postern.Event) []postern.Finding {
	var findings []postern.Finding
	request := false
	quote := ""
	for i, m := range h.set.Eval(ev, nil) {
		if i == 0 {
			quote = strings.Clone(ev.Raw)
		}
		f := h.finding(ev, &m, quote)
		request = request || f.HasTag("shell-request")
		findings = append(findings, f)
	}
	if !request && isWeb(ev.Source) {
		method, status := ev.Get("cs-method"), ev.Get("sc-status")
		if ev.Source == "httpproxy" {
			method, status = ev.Get("Method"), ev.Get("HttpStatus")
		}
		if f, ok := h.pages.Look(ev, method, status); ok {
			findings = append(findings, f)
		}
	}
	compare(h.seen, ev, findings)
	return findings
}

// maxEntity is kept of one value: findings stay in memory until their host is
// done, and no address, agent or path that tells something is longer.
const maxEntity = 2048

// finding makes a finding of a match, which quotes the event: the level of the rule, or
// that of the first downgrade that holds, with its reason.
func (r *Rows) finding(ev *postern.Event, m *sigma.Match, quote string) postern.Finding {
	doc := r.rules[m.Rule]
	at := postern.Evidence{Path: ev.Place.Path, Line: ev.Place.Line, Record: ev.Place.Record, Offset: ev.Place.Offset, Excerpt: quote}
	f := postern.Finding{
		ID: postern.FindingID(doc.ID, at), Rule: doc.ID, Campaign: doc.Campaign,
		Level: doc.Level, Confidence: doc.Confidence, Title: doc.Title, Time: ev.Time,
		CVE: doc.CVE, Explain: []postern.Text{doc.Means}, Evidence: []postern.Evidence{at},
		Tags: slices.Clone(doc.Tags),
	}
	for i, d := range doc.Downgrade {
		if m.Holds(strconv.Itoa(i)) {
			f.Level, f.Confidence = d.Level, d.Confidence
			f.Explain = []postern.Text{d.Because}
			if !d.Title.IsZero() {
				f.Title = d.Title
			}
			break
		}
	}
	for entity, value := range doc.Says {
		f.Set(entity, value)
	}
	for entity, field := range doc.Entities {
		v := ev.Get(m.Name(field))
		if format := r.formats[ev.Source]; v == "" && format != nil && format.Late[field] != nil {
			v = format.Late[field](ev)
		}
		if v = strings.TrimSpace(v); v != "-" {
			f.Set(entity, strings.Clone(v[:min(len(v), maxEntity)]))
		}
	}
	return f
}

// Sequences runs the correlations over findings in the order of their times, and adds
// what indicators the rows held, and the trees of processes.
func (h *hostRows) Sequences(findings []postern.Finding) []postern.Finding {
	var all []postern.Finding
	if h.seen != nil {
		all = h.seen.Findings()
	}
	all = append(all, h.trees.Findings()...)
	for i := range h.sequences {
		s := &h.sequences[i]
		tracker := sigma.NewTracker(s.parsed)
		byPlace := make(map[postern.Place][]*postern.Finding)
		var hits []sigma.Hit
		for j := range findings {
			f := &findings[j]
			name, wanted := s.names[f.Rule]
			if !wanted || h.lowered(f) {
				continue
			}
			ev := asEvent(f)
			byPlace[ev.Place] = append(byPlace[ev.Place], f)
			hits = append(hits, tracker.Add(name, ev)...)
		}
		var found []postern.Finding
		for _, hit := range append(hits, tracker.Flush()...) {
			f := s.finding(hit, byPlace)
			for _, field := range hit.Group { // by which another sequence may group
				f.Set(field.Name, field.Value)
			}
			found = append(found, f)
		}
		all = append(all, found...)
		if _, serves := h.served[s.doc.ID]; serves && len(found) > 0 {
			findings = append(slices.Clone(findings), found...)
			slices.SortStableFunc(findings, func(a, b postern.Finding) int { return a.Time.Compare(b.Time) })
		}
	}
	return all
}

// lowered says whether a downgrade has taken a finding below its rule's level:
// such a one is a step that failed and no part of a sequence.
func (h *hostRows) lowered(f *postern.Finding) bool {
	for _, doc := range h.rules {
		if doc.ID == f.Rule {
			return f.Level < doc.Level
		}
	}
	return false
}

// asEvent gives a finding in the form in which a tracker takes it: its entities
// are the fields.
func asEvent(f *postern.Finding) *postern.Event {
	ev := &postern.Event{Time: f.Time}
	for name, value := range f.Entities {
		ev.Fields = append(ev.Fields, postern.Field{Name: name, Value: value})
	}
	if len(f.Evidence) > 0 {
		e := f.Evidence[0]
		ev.Place = postern.Place{Path: e.Path, Line: e.Line, Record: e.Record, Offset: e.Offset}
	}
	return ev
}

func (s *sequence) finding(hit sigma.Hit, byPlace map[postern.Place][]*postern.Finding) postern.Finding {
	f := postern.Finding{
		Rule: s.doc.ID, Campaign: s.doc.Campaign, Level: s.doc.Level, Confidence: s.doc.Confidence,
		Title: s.doc.Title, Time: hit.Last, CVE: s.doc.CVE,
		Explain: []postern.Text{s.doc.Means}, Tags: slices.Clone(s.doc.Tags),
	}
	told := make(map[postern.Place]bool)
	for _, place := range hit.Places {
		if told[place] {
			continue
		}
		told[place] = true
		for _, member := range byPlace[place] {
			for _, e := range member.Evidence {
				if !slices.Contains(f.Evidence, e) {
					f.Evidence = append(f.Evidence, e)
				}
			}
			for _, name := range []string{postern.ClientIP, postern.Canary, postern.Account, postern.URL} {
				if f.Entities[name] == "" {
					f.Set(name, member.Entities[name])
				}
			}
		}
	}
	var first postern.Evidence
	if len(f.Evidence) > 0 {
		first = f.Evidence[0]
	}
	f.ID = postern.FindingID(f.Rule, first)
	return f
}
