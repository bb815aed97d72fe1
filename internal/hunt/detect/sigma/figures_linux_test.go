package sigma

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/evtx"
)

// public gives the rules for Windows of the folder in POSTERN_SIGMA_RULES, in the order of
// their paths, and the events of all event logs in POSTERN_EVENTS, and skips without.
func public(t testing.TB) ([]*Rule, []postern.Event, *Windows) {
	t.Helper()
	dir, logs := os.Getenv("POSTERN_SIGMA_RULES"), os.Getenv("POSTERN_EVENTS")
	if dir == "" || logs == "" {
		t.Skip("needs POSTERN_SIGMA_RULES, a folder of rules such as SigmaHQ/sigma, and POSTERN_EVENTS, one of event logs")
	}
	loaded, _ := Load([]Source{{FS: os.DirFS(dir), Path: "."}})
	var rules []*Rule
	for _, l := range loaded {
		if l.Rule != nil && l.Rule.LogSource.Product == "windows" {
			rules = append(rules, l.Rule)
		}
	}
	var events []postern.Event
	err := filepath.WalkDir(logs, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.EqualFold(filepath.Ext(name), ".evtx") {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = evtx.Scan(context.Background(), f, name, parse.RecordOptions{Yield: func(ev *postern.Event) {
			kept := *ev
			kept.Fields, kept.Derived = slices.Clone(ev.Fields), slices.Clone(ev.Derived)
			kept.Source = string(AppendPath(nil, ev.Get("Channel"), ev.Get("EventID")))
			events = append(events, kept)
		}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	windows, err := ReadWindows()
	if err != nil {
		t.Fatal(err)
	}
	return rules, events, windows
}

// hundred takes every so manieth rule, so that a hundred are a mixture like all.
func hundred(rules []*Rule) []*Rule {
	var few []*Rule
	for i, r := range rules {
		if i*100/len(rules) != (i+1)*100/len(rules) {
			few = append(few, r)
		}
	}
	return few
}

// TestFigureIndexFindsAll compares what the index finds with asking every rule about
// every event.
func TestFigureIndexFindsAll(t *testing.T) {
	rules, events, windows := public(t)
	set := NewSetAt(rules, windows.Places, nil)
	n := 0
	for i := range events {
		ev := &events[i]
		var got, want []string
		for _, m := range set.Eval(ev, nil) {
			got = append(got, m.Rule.ID)
		}
		g := set.group(ev.Source)
		for k, r := range g.rules {
			v := new(view)
			v.load(ev, g.table, true)
			v.bind = g.binds[k]
			if r.root.eval(r, v) {
				want = append(want, r.ID)
			}
		}
		if n += len(got); !slices.Equal(got, want) {
			t.Errorf("%s record %d: got %v, want %v", ev.Place.Path, ev.Place.Record, got, want)
		}
	}
	t.Logf("%d rules over %d events: %d matches", len(rules), len(events), n)
}

// threadTime gives the CPU time of the thread, which its goroutine must have locked.
func threadTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestFigureManyAgainstFew says what all public rules cost beside a hundred of them.
func TestFigureManyAgainstFew(t *testing.T) {
	rules, events, windows := public(t)
	judge := func(rules []*Rule) func() (time.Duration, int) {
		set := NewSetAt(rules, windows.Places, nil)
		var out []Match
		return func() (time.Duration, int) {
			n, start := 0, threadTime(t)
			for range 5 {
				for i := range events {
					out = set.Eval(&events[i], out[:0])
					n += len(out)
				}
			}
			return (threadTime(t) - start) / 5, n / 5
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	many, few := judge(rules), judge(hundred(rules))
	var x, y []time.Duration
	var m, f int
	for range 9 {
		var d time.Duration
		d, m = many()
		x = append(x, d)
		d, f = few()
		y = append(y, d)
	}
	slices.Sort(x)
	slices.Sort(y)
	t.Logf("%d events: %d rules %v CPU with %d matches, %d rules %v with %d, ratio %.2f",
		len(events), len(rules), x[4], m, len(hundred(rules)), y[4], f, float64(x[4])/float64(y[4]))
}

func BenchmarkPublic(b *testing.B) {
	rules, events, windows := public(b)
	for name, rules := range map[string][]*Rule{"many": rules, "few": hundred(rules)} {
		set := NewSetAt(rules, windows.Places, nil)
		b.Run(name, func(b *testing.B) {
			var out []Match
			for b.Loop() {
				for i := range events {
					out = set.Eval(&events[i], out[:0])
				}
			}
		})
	}
}
