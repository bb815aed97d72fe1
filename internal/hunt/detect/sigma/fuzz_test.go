package sigma

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postern"
)

// FuzzCompile asks of every document: is it loaded or refused with a reason, and
// if loaded, do the rule alone, the rule in a set and its needs agree on an event
// that has each of the rule's fields?
func FuzzCompile(f *testing.F) {
	for _, lines := range []string{
		`F|contains|all: [a, 'b*\*']`, `F|re|i: '(cmd|sh)\.exe[kK]{1,3}'`, `F|cidr: 10.0.0.0/8`, `F|wide|base64offset|contains: ab`,
		`F|contains|windash: ' -a'`, `F|fieldref|endswith: G`, `F: [null, '', 1.5, true]`, `F|hour|gte: 3`, `'|all': [a, b]`, `F|neq: x`,
	} {
		f.Add(one(lines), "a b cmd.exe", "not sel")
	}
	f.Add(ruleText("a: [x, y]\nb:\n  - F: z\n  - G: 1\ncondition: 1 of them and not (all of a* or b)"), "xz", "a")
	f.Fuzz(func(t *testing.T, src, value, extra string) {
		r, err := Compile([]byte(src), map[string]string{"extra": extra})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason.IsZero() || e.Kind == "" || e.Error() == "" {
				t.Fatalf("refused without a reason: %#v", err)
			}
			return
		}
		ev := &postern.Event{Raw: value}
		for i, name := range r.own.names {
			at := i % (len(value) + 1)
			ev.Fields = append(ev.Fields, postern.Field{Name: name, Value: value[at:]}, postern.Field{Name: name, Value: value[:at]})
		}
		var m Match
		alone := r.Match(ev, &m)
		got := NewSet([]*Rule{r}, func(LogSource) []string { return []string{"*"} }, nil).Eval(ev, nil)
		if alone != (len(got) == 1) {
			t.Fatalf("alone %v, in a set %d matches", alone, len(got))
		}
		if !alone {
			return
		}
		if m.Holds("extra") != got[0].Holds("extra") || strings.Join(m.Fields(), "|") != strings.Join(got[0].Fields(), "|") {
			t.Fatalf("alone %v %v, in a set %v %v", m.Holds("extra"), m.Fields(), got[0].Holds("extra"), got[0].Fields())
		}
		for _, n := range r.Needs() {
			if !n.fulfilled(ev) {
				t.Fatalf("matches without %+v", n)
			}
		}
	})
}

// FuzzCorrelation asks that a correlation is loaded or refused with a reason, and
// that a loaded one hits only when its condition can hold.
func FuzzCorrelation(f *testing.F) {
	f.Add("title: t\ncorrelation: {type: event_count, rules: [a, b], group-by: [User], timespan: 10s, condition: {gte: 2}}", []byte{1, 2, 3, 250})
	f.Add("title: t\ncorrelation: {type: temporal_ordered, rules: [a, b], timespan: 1m}", []byte{1, 2, 3, 130})
	f.Add("title: t\ncorrelation: {type: value_count, rules: [a, b], timespan: 1m, condition: {field: User, lt: 2}}", []byte{9, 2, 3, 130})
	f.Fuzz(func(t *testing.T, src string, steps []byte) {
		c, err := CompileCorrelation([]byte(src))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason.IsZero() {
				t.Fatalf("refused without a reason: %#v", err)
			}
			return
		}
		tr := NewTracker(c)
		var hits []Hit
		at := start
		for _, s := range steps {
			at = at.Add(c.Timespan / 16 * (time.Duration(s>>4) - 4)) // now and then backwards
			ev := event()
			for i, g := range append([]string{"User"}, c.GroupBy...) {
				ev.Fields = append(ev.Fields, postern.Field{Name: g, Value: string('a' + rune(s>>(i%3))%3)})
			}
			ev.Time = at
			hits = append(hits, tr.Add(c.Rules[int(s)%len(c.Rules)], ev)...)
		}
		for _, h := range append(hits, tr.Flush()...) {
			if !c.satisfied(h.Count) || h.Last.Sub(h.First) > c.Timespan || h.Last.Before(h.First) || len(h.Places) == 0 {
				t.Fatalf("hit %+v of %+v", h, c)
			}
		}
	})
}
