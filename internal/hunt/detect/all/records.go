package all

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"postern"
	"postern/internal/hunt/detect/proctree"
	"postern/internal/hunt/detect/sigma"
	"postern/internal/hunt/parse"
)

// records is what is asked of the records of event logs, for all hosts.
type records struct {
	windows *sigma.Windows
	trees   *proctree.Detector

	mu    sync.Mutex
	kinds map[kindKey]kind
}

type kindKey struct {
	channel string
	id      uint32
}

// kind is what is asked of the records of a channel with an id.
type kind struct {
	gate   parse.Gate
	wanted bool
}

// maxKinds bounds the kinds remembered; all of Windows has some thousands that a
// rule asks for, and a made-up log could have more.
const maxKinds = 16 << 10

func newRecords() (*records, error) {
	windows, err := sigma.ReadWindows()
	if err != nil {
		return nil, err
	}
	trees, err := proctree.New()
	if err != nil {
		return nil, err
	}
	return &records{windows: windows, trees: trees, kinds: make(map[kindKey]kind)}, nil
}

// place says where a rule looks: in the logs that a product says its source means,
// and in the channels of Windows.
func (r *records) place(sourceOf func(category, product, service string) []string) func(*sigma.Rule) []sigma.Placement {
	return func(rule *sigma.Rule) []sigma.Placement {
		places := r.windows.Places(rule)
		l := rule.LogSource
		for _, source := range sourceOf(l.Category, l.Product, l.Service) {
			places = append(places, sigma.Placement{Source: source})
		}
		return places
	}
}

// Channel says what is asked of the records of a channel.
func (h *hostRows) Channel(name string) *parse.Channel {
	known := h.records.windows.Channel(name)
	return &parse.Channel{Source: known.Source, Values: known.Values, Wants: func(id uint32) (parse.Gate, bool) {
		if h.feeds || proctree.Wants(name, id) {
			return nil, true
		}
		k := h.kind(name, id)
		return k.gate, k.wanted
	}}
}

// kind gives what the rules ask of the records of a channel with an id.
func (r *Rows) kind(channel string, id uint32) kind {
	key := kindKey{channel, id}
	r.records.mu.Lock()
	defer r.records.mu.Unlock()
	k, known := r.records.kinds[key]
	if !known {
		rules := r.set.Rules(string(sigma.AppendPath(nil, channel, strconv.FormatUint(uint64(id), 10))))
		k = kind{gate: recordGate(rules), wanted: len(rules) > 0}
		if len(r.records.kinds) < maxKinds {
			r.records.kinds[key] = k
		}
	}
	return k
}

// recordGate makes the gate of the rules; nil if there is a rule of which nothing can be
// said. What can be a number is seen only where it is a whole value, and without a dash.
func recordGate(rules []*sigma.Rule) parse.Gate {
	gate := sigma.NewGate(rules, func(n sigma.Need) (ok, whole bool) {
		text := !slices.ContainsFunc(n.Literals, func(l string) bool { return !parse.OnlyText(l) })
		whole = !text && n.Exact && !slices.ContainsFunc(n.Literals, func(l string) bool { return strings.Contains(l, "-") })
		return about(n.Field) && (text || whole), whole
	})
	if gate == nil {
		return nil
	}
	return gate
}

// about says whether a field tells records of a kind apart.
func about(field string) bool {
	return !slices.ContainsFunc([]string{"Channel", "Provider_Name", "Computer", "EventID"}, func(same string) bool { return strings.EqualFold(field, same) })
}

// LookAtRecord evaluates the rules for a record.
func (h *hostRows) LookAtRecord(ev *postern.Event) []postern.Finding {
	channel, id := ev.Get("Channel"), ev.Get("EventID")
	if n, err := strconv.ParseUint(id, 10, 32); err == nil && proctree.Wants(channel, uint32(n)) {
		h.trees.See(ev)
	}
	var path [maxPath]byte
	var room [usualMatches]sigma.Match
	matches := h.set.EvalAt(string(sigma.AppendPath(path[:0], channel, id)), ev, room[:0])
	var findings []postern.Finding
	if len(matches) > 0 {
		findings = h.found(ev, matches)
		if proctree.Wants(channel, 1) || proctree.Wants(channel, 4688) {
			what := started(ev)
			for i := range findings {
				findings[i].Set(execution, what)
			}
		}
	}
	if h.feeds || len(findings) > 0 {
		compare(h.seen, ev, findings)
	}
	return findings
}

// usualMatches is how many rules a record matches that matches any, mostly; more are no mistake.
const usualMatches = 4

// maxPath is the length of usual paths of channels and ids; a longer one is no mistake.
const maxPath = 128

// found makes findings of the matches of a record, which all quote the same text.
func (h *hostRows) found(ev *postern.Event, matches []sigma.Match) []postern.Finding {
	quote := strings.Clone(ev.Raw)
	if quote == "" {
		quote = excerpt(ev, &matches[0])
		ev.Raw = quote
	}
	findings := make([]postern.Finding, len(matches))
	for i := range matches {
		findings[i] = h.finding(ev, &matches[i], quote)
	}
	return findings
}

// maxExcerpt is kept of a record for reports.
const maxExcerpt = 4 << 10

// excerpt gives a record as text: the values that decided first, and then its data.
func excerpt(ev *postern.Event, m *sigma.Match) string {
	fields := m.Fields()
	var room [16]int
	size, decided := 0, room[:0]
	for i := range ev.Fields {
		f := &ev.Fields[i]
		size += len("; =") + len(f.Name) + len(f.Value)
		if slices.Contains(fields, f.Name) {
			decided = append(decided, i)
		}
	}
	var b strings.Builder
	b.Grow(min(size, maxExcerpt))
	put := func(s string) { b.WriteString(s[:min(len(s), maxExcerpt-b.Len())]) }
	list := func(f *postern.Field) {
		if b.Len() > 0 {
			put("; ")
		}
		put(f.Name)
		put("=")
		put(f.Value)
	}
	for _, i := range decided {
		list(&ev.Fields[i])
	}
	for i := range ev.Fields {
		switch {
		case len(decided) > 0 && decided[0] == i:
			decided = decided[1:]
		case ev.Fields[i].Value != "":
			list(&ev.Fields[i])
		}
	}
	if s := b.String(); utf8.ValidString(s) { // which is told sooner than mended
		return s
	}
	return strings.ToValidUTF8(b.String(), "")
}

// execution is the entity by which the start of a process is known again in another
// channel: its number and its image.
const execution = "execution"

// started gives the execution that an event is about, "" if it is about none.
func started(ev *postern.Event) string {
	if ev.Get("EventID") != "1" && ev.Get("EventID") != "4688" {
		return ""
	}
	pid, image := ev.Get("ProcessId"), ev.Get("Image")
	if full, ok := ev.Lookup("NewProcessName"); ok {
		pid, image = ev.Get("NewProcessId"), full
	}
	n, err := strconv.ParseUint(pid, 0, 64)
	if err != nil || image == "" {
		return ""
	}
	return strconv.FormatUint(n, 10) + " " + strings.ToLower(image)
}

// sameExecution is how far the times of two channels about one start may be apart.
const sameExecution = 2 * time.Second

// Once makes one finding of those that a rule made of the start of one process in
// two channels, and leaves out those of rules that only serve sequences, which have been
// given theirs. The findings are in the order of their times.
func (h *hostRows) Once(findings []postern.Finding) []postern.Finding {
	type key struct{ rule, execution string }
	last := make(map[key]int) // in kept
	kept := findings[:0:0]
	for _, f := range findings {
		if h.served[f.Rule] {
			continue
		}
		what := f.Entities[execution]
		if what == "" {
			kept = append(kept, f)
			continue
		}
		k := key{f.Rule, what}
		i, before := last[k]
		if before && f.Time.Sub(kept[i].Time) <= sameExecution && !sameLog(kept[i].Evidence, f.Evidence) {
			kept[i].Evidence = append(slices.Clone(kept[i].Evidence), f.Evidence...)
			continue
		}
		last[k] = len(kept)
		kept = append(kept, f)
	}
	return kept
}

// sameLog says whether two findings rest on the same log.
func sameLog(a, b []postern.Evidence) bool {
	return slices.ContainsFunc(a, func(e postern.Evidence) bool {
		return slices.ContainsFunc(b, func(o postern.Evidence) bool { return e.Path == o.Path })
	})
}
