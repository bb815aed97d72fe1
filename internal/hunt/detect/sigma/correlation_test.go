package sigma

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"postern"
)

func correlation(t testing.TB, body string) *Correlation {
	t.Helper()
	c, err := CompileCorrelation([]byte("title: test\nid: c\ncorrelation:\n" + indent(body)))
	if err != nil {
		t.Fatalf("CompileCorrelation: %v\n%s", err, body)
	}
	return c
}

func TestCompileCorrelation(t *testing.T) {
	t.Parallel()
	c, err := CompileCorrelation([]byte(`
title: Many failed logins
id: 0e95725d-7320-415d-80f7-004da920fc11
name: many
status: test
level: high
author: A
tags: [attack.t1110]
correlation:
    type: value_count
    rules:
        - failed_a
        - failed_b
    group-by: [ip, host]
    timespan: 90m
    condition:
        field: User
        gt: 100
        lte: 200
    aliases:
        ip:
            failed_a: c-ip
            failed_b: ClientIp
    generate: true
`))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s %s %s %v|%s %v %v %v %v %v %v", c.Title, c.Name, c.Status, c.Level, c.Tags,
		c.Type, c.Rules, c.GroupBy, c.Timespan, c.Bounds, c.Fields, c.Generate)
	want := "Many failed logins many test high [attack.t1110]|" +
		"value_count [failed_a failed_b] [ip host] 1h30m0s [{gt 100} {lte 200}] [User] true"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if dangling := c.Resolve(map[string]string{"failed_a": "id-a", "other": "id-o"}); !slices.Equal(dangling, []string{"failed_b"}) {
		t.Errorf("dangling: got %v", dangling)
	}
	if !slices.Equal(c.Rules, []string{"id-a", "failed_b"}) || c.Aliases["ip"]["id-a"] != "c-ip" {
		t.Errorf("resolved: got %v, %v", c.Rules, c.Aliases)
	}
}

func TestCorrelationRefused(t *testing.T) {
	t.Parallel()
	const ok = "type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 2}"
	correlation(t, ok)
	replace := func(old, new string) string { return strings.Replace(ok, old, new, 1) }
	for _, c := range []struct{ body, key string }{
		{replace("type: event_count", ""), "missing"},
		{replace("event_count", "value_sum"), "correlation-type"},
		{replace("rules: [a]", ""), "missing"},
		{replace("[a]", "[a, a]"), "duplicate"},
		{replace("[a]", "["+strings.Repeat("x, ", maxCorrelated)+"y]"), "correlation-large"},
		{replace("1m", "1"), "timespan"},
		{replace("1m", "m"), "timespan"},
		{replace("1m", "0s"), "timespan"},
		{replace("1m", "1M"), "timespan"},
		{replace("1m", "-1m"), "timespan"},
		{replace("1m", "400d"), "timespan"},
		{replace("1m", "99999999999w"), "timespan"},
		{replace("timespan: 1m", ""), "timespan"},
		{replace("{gte: 2}", "{}"), "correlation-field"},
		{replace("{gte: 2}", "{over: 2}"), "correlation-bound"},
		{replace("{gte: 2}", "{gte: many}"), "correlation-bound"},
		{replace("{gte: 2}", "{gte: 1000000}"), "correlation-bound"},
		{replace("{gte: 2}", "{gte: 2, field: x}"), "correlation-field"},
		{replace("event_count", "value_count"), "correlation-field"},
		{replace("{gte: 2}", "a and b"), "correlation-condition"},
		{replace("condition: {gte: 2}", ""), "correlation-condition"},
		{replace("event_count", "temporal_ordered"), "correlation-condition"},
		{"[]", "missing"},
	} {
		_, err := CompileCorrelation([]byte("title: test\ncorrelation:\n" + indent(c.body)))
		if err == nil {
			t.Errorf("%s\nis loaded, want %s", c.body, c.key)
			continue
		}
		// A list too long that also stands twice is refused by either.
		if e := asError(t, err); e.Reason.Key != "sigma."+c.key {
			t.Errorf("%s\ngot %s (%v), want sigma.%s", c.body, e.Reason.Key, e, c.key)
		}
	}
}

var start = time.Date(2021, 3, 3, 6, 0, 0, 0, time.UTC)

// play feeds steps such as "a@10:x" (rule a, 10 seconds on, user x, host h) and
// gives the hits as "first-last count group".
func play(tr *Tracker, steps string) string {
	var out []string
	show := func(hits []Hit) {
		for _, h := range hits {
			var group []string
			for _, f := range h.Group {
				group = append(group, f.Value)
			}
			out = append(out, fmt.Sprintf("%v-%v:%d:%s", h.First.Sub(start).Seconds(), h.Last.Sub(start).Seconds(),
				h.Count, strings.Join(group, "+")))
		}
	}
	for step := range strings.FieldsSeq(steps) {
		rule, rest, _ := strings.Cut(step, "@")
		at, user, _ := strings.Cut(rest, ":")
		var seconds float64
		fmt.Sscan(at, &seconds)
		ev := event("User", user, "Host", "h")
		ev.Time = start.Add(time.Duration(seconds * float64(time.Second)))
		ev.Place.Line = int64(seconds)
		show(tr.Add(rule, ev))
	}
	show(tr.Flush())
	return strings.Join(out, " ")
}

func TestTracker(t *testing.T) {
	t.Parallel()
	const grouped = "\ngroup-by: [User]\ntimespan: 10s\n"
	for _, c := range []struct{ name, body, steps, want string }{
		{"count reached", "type: event_count\nrules: [a, b]" + grouped + "condition: {gte: 3}",
			"a@0:x b@1:x a@2:y a@3:x", "0-3:3:x"},
		{"count too slow", "type: event_count\nrules: [a]" + grouped + "condition: {gte: 3}",
			"a@0:x a@5:x a@11:x", ""},
		{"count with gt", "type: event_count\nrules: [a]" + grouped + "condition: {gt: 2}",
			"a@0:x a@5:x a@10:x", "0-10:3:x"},
		{"count at most once a timespan", "type: event_count\nrules: [a]" + grouped + "condition: {gte: 2}",
			"a@0:x a@1:x a@2:x a@3:x a@11:x a@12:x", "0-1:2:x 2-12:4:x"},
		{"count goes on", "type: event_count\nrules: [a]" + grouped + "condition: {gte: 2}",
			"a@0:x a@1:x a@5:x a@9:x a@13:x", "0-1:2:x 5-13:3:x"},
		{"late but in time", "type: event_count\nrules: [a]" + grouped + "condition: {gte: 3}",
			"a@0:x a@9:x a@15:x a@5:x", "0-9:3:x"},
		{"too late", "type: event_count\nrules: [a]" + grouped + "condition: {gte: 2}",
			"a@0:x a@100:x a@1:x", ""},
		{"unknown rule", "type: event_count\nrules: [a]" + grouped + "condition: {gte: 1}", "z@0:x", ""},
		{"groups without case", "type: event_count\nrules: [a]" + grouped + "condition: {gte: 2}",
			"a@0:X a@1:x", "0-1:2:X"},
		{"no groups", "type: event_count\nrules: a\ntimespan: 10s\ncondition: {gte: 2}",
			"a@0:x a@1:y", "0-1:2:"},

		{"distinct values", "type: value_count\nrules: [a]\ngroup-by: Host\ntimespan: 10s\ncondition: {field: User, gte: 3}",
			"a@0:x a@1:y a@2:X a@3:z", "0-3:3:h"},
		{"same values", "type: value_count\nrules: [a]\ngroup-by: Host\ntimespan: 10s\ncondition: {field: User, gte: 2}",
			"a@0:x a@1:x a@2:X", ""},
		{"distinct values apart", "type: value_count\nrules: [a]\ngroup-by: Host\ntimespan: 10s\ncondition: {field: User, gte: 3}",
			"a@0:x a@5:y a@11:z a@14:x", "5-14:3:h"},
		{"several fields", "type: value_count\nrules: [a]\ntimespan: 10s\ncondition: {field: [User, Host], gte: 2}",
			"a@0:x a@1:y", "0-1:2:"},

		{"temporal in any order", "type: temporal\nrules: [a, b, c]" + grouped,
			"c@0:x a@1:x a@2:y b@4:x", "0-4:3:x"},
		{"temporal incomplete", "type: temporal\nrules: [a, b]" + grouped, "a@0:x b@1:y a@2:x", ""},
		{"temporal some", "type: temporal\nrules: [a, b, c]" + grouped + "condition: {gte: 2}", "a@0:x c@1:x", "0-1:2:x"},

		{"ordered", "type: temporal_ordered\nrules: [a, b, c]" + grouped, "a@0:x b@1:x c@2:x", "0-2:3:x"},
		{"wrong order", "type: temporal_ordered\nrules: [a, b]" + grouped, "b@0:x a@1:x", ""},
		{"order with others between", "type: temporal_ordered\nrules: [a, b, c]" + grouped,
			"b@0:x a@1:x c@2:x b@3:x a@4:x c@5:x", "1-5:3:x"},
		{"order takes the latest start", "type: temporal_ordered\nrules: [a, b]" + grouped, "a@0:x a@8:x b@12:x", "8-12:2:x"},
		{"order too slow", "type: temporal_ordered\nrules: [a, b]" + grouped, "a@0:x b@11:x", ""},
		{"order within one second", "type: temporal_ordered\nrules: [a, b]" + grouped, "b@0:x a@0:x", "0-0:2:x"},
		{"order repaired by a late one", "type: temporal_ordered\nrules: [a, b]" + grouped, "b@5:x a@3:x", "3-5:2:x"},

		{"fewer", "type: event_count\nrules: [a]" + grouped + "condition: {lt: 3}",
			"a@0:x a@1:x a@2:x a@30:x a@31:x", "30-31:2:x"},
		{"exactly", "type: event_count\nrules: [a]" + grouped + "condition: {eq: 2}",
			"a@0:x a@1:x a@0:y a@1:y a@2:y", "0-1:2:x"},
		{"not exactly", "type: event_count\nrules: [a]" + grouped + "condition: {neq: 2}",
			"a@0:x a@1:x a@0:y", "0-0:1:y"},
		{"range", "type: event_count\nrules: [a]" + grouped + "condition: {gt: 1, lte: 3}",
			"a@0:x a@0:y a@1:y a@2:y a@0:z a@1:z a@2:z a@3:z", "0-2:3:y"},
	} {
		tr := NewTracker(correlation(t, c.body))
		if got := play(tr, c.steps); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestReorderWithinTimespan shuffles steps by less than the timespan: the first
// hit of each group must come about all the same.
func TestReorderWithinTimespan(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"type: event_count\nrules: [a, b, c]\ngroup-by: User\ntimespan: 10s\ncondition: {gte: 5}",
		"type: temporal\nrules: [a, b, c]\ngroup-by: User\ntimespan: 10s",
		"type: temporal_ordered\nrules: [a, b, c]\ngroup-by: User\ntimespan: 10s",
		"type: value_count\nrules: [a, b, c]\ntimespan: 10s\ncondition: {field: User, gte: 5}",
	} {
		c := correlation(t, body)
		for seed := range uint64(300) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			type step struct {
				text    string
				at, key float64
			}
			var steps []step
			at := 0.0
			for range 12 {
				at += rnd.Float64() * 8
				steps = append(steps, step{fmt.Sprintf("%c@%.3f:%c", 'a'+rnd.IntN(3), at, 'p'+rnd.IntN(6)), at, at + rnd.Float64()*9.9})
			}
			join := func() string {
				var b strings.Builder
				for _, s := range steps {
					b.WriteString(s.text + " ")
				}
				return b.String()
			}
			inOrder := play(NewTracker(c), join())
			slices.SortFunc(steps, func(a, b step) int { return int(1e6 * (a.key - b.key)) })
			shuffled := play(NewTracker(c), join())
			if (inOrder == "") != (shuffled == "") {
				t.Errorf("%s\nin order %q, shuffled %q: %s", body, inOrder, shuffled, join())
			}
		}
	}
}

func TestTrackerAliasesAndChain(t *testing.T) {
	t.Parallel()
	inner := NewTracker(correlation(t, `
type: event_count
rules: [failed]
group-by: [who]
timespan: 1m
condition: {gte: 3}
aliases: {who: {failed: TargetUser}}`))
	outer := NewTracker(correlation(t, `
type: temporal_ordered
rules: [many_failed, success]
group-by: [user]
timespan: 5m
aliases: {user: {many_failed: who, success: Account}}`))
	at := func(seconds int, pairs ...string) *postern.Event {
		ev := event(pairs...)
		ev.Time = start.Add(time.Duration(seconds) * time.Second)
		ev.Place.Line = int64(seconds)
		return ev
	}
	var hits []Hit
	for i := range 4 {
		for _, h := range inner.Add("failed", at(i, "TargetUser", "Admin")) {
			hits = append(hits, outer.Add("many_failed", h.Event())...)
		}
	}
	hits = append(hits, outer.Add("success", at(60, "Account", "guest"))...)
	hits = append(hits, outer.Add("success", at(90, "account", "admin"))...)
	if len(hits) != 1 || hits[0].Group[0] != (postern.Field{Name: "user", Value: "Admin"}) ||
		!slices.Equal(hits[0].Rules, []string{"many_failed", "success"}) || len(hits[0].Places) != 2 || hits[0].Places[1].Line != 90 {
		t.Errorf("chain: got %+v", hits)
	}
	inner.Add("failed", at(1, "Other", "x"))
	inner.Add("failed", &postern.Event{})
	if got, want := inner.Losses(), (Losses{Unkeyed: 1, Timeless: 1}); got != want {
		t.Errorf("losses: got %+v, want %+v", got, want)
	}
}

// TestTrackerBounds floods a tracker with one group, and with ever new groups
// and giant values.
func TestTrackerBounds(t *testing.T) {
	t.Parallel()
	c := correlation(t, "type: value_count\nrules: [a]\ngroup-by: User\ntimespan: 300d\ncondition: {field: Host, gte: 10000}")
	one := NewTracker(c)
	for i := range 2*maxPerGroup + 10 {
		ev := event("User", "x", "Host", fmt.Sprint(i%9000))
		ev.Time = start.Add(time.Duration(i) * time.Second)
		if hits := one.Add("a", ev); hits != nil {
			t.Fatalf("step %d: got %v", i, hits)
		}
	}
	if one.total > maxPerGroup || one.losses.Dropped == 0 || one.total+int(one.losses.Dropped) != 2*maxPerGroup+10 {
		t.Errorf("one group: %d kept, %d dropped", one.total, one.losses.Dropped)
	}
	many := NewTracker(c)
	long := strings.Repeat("x", 2*maxKeyBytes)
	for i := range maxSightings + 1000 {
		ev := event("User", long+fmt.Sprint(i), "Host", "h")
		ev.Time = start.Add(time.Duration(i) * time.Second)
		many.Add("a", ev)
	}
	if many.total > maxSightings || many.losses.Dropped == 0 || many.total+int(many.losses.Dropped) != maxSightings+1000 {
		t.Errorf("many groups: %d kept, %d dropped", many.total, many.losses.Dropped)
	}
	for key := range many.groups {
		if len(key) > 2*maxKeyBytes {
			t.Fatalf("key of %d bytes", len(key))
		}
		break
	}
}
