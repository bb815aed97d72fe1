package watch

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The first of what is alike is raised, the rest counted, a count a minute.
func TestQuiet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head)
	w.open()
	w.want()
	knock := "2021-03-03 10:00:00 203.0.0.9 /bad 200\r\n"
	for range 10 {
		w.write("u.log", knock)
	}
	w.want("2 u.log:4 /bad")
	w.write("u.log", knock)
	w.want()
	// Of the other client, and of the other rule, the first is raised at once.
	w.write("u.log", "2021-03-03 10:00:00 203.0.0.8 /bad 200\r\n2021-03-03 10:00:00 203.0.0.9 /evil 200\r\n")
	w.want("2 u.log:15 /bad", "4 u.log:16 /evil")
	// Counts survive a restart.
	w.close()
	if got, want := said(w.alerts[3:]), []string{"10 × test/bad 203.0.0.9 of 0"}; !cmp.Equal(got, want) {
		t.Errorf("the end said %q, want %q", got, want)
	}
	w.open()
	w.write("u.log", knock+knock)
	w.want()
	w.kill()
	w.open()
	w.now = w.now.Add(window)
	w.want("2 × test/bad 203.0.0.9 of 0")
	// After a quiet minute the next one is raised again.
	w.now = w.now.Add(window)
	w.want()
	w.now = w.now.Add(window)
	w.write("u.log", knock)
	w.want("2 u.log:19 /bad")
}

// A scan by many clients is some alerts and a count, which add up.
func TestQuietWithManyClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head)
	w.open()
	w.want()
	text := ""
	const n = 3000
	for i := range n {
		text += row(i, fmt.Sprintf("/bad%d", i))
	}
	w.write("u.log", text+text)
	w.pass()
	w.now = w.now.Add(window)
	w.pass()
	var raised, counted, others int64
	for _, a := range w.alerts {
		switch a.Kind {
		case Found:
			raised++
		case Repeated:
			counted += a.Repeat.Count
			others += a.Repeat.Others
		}
	}
	if raised != perRule || raised+counted != 2*n || others != n-perRule {
		t.Errorf("%d raised, %d counted of %d others; want %d, %d, %d", raised, counted, others, perRule, 2*n-perRule, n-perRule)
	}
	if len(w.alerts) > 2*perRule+1 {
		t.Errorf("%d alerts", len(w.alerts))
	}
}

// Kinds are bounded, whatever clients call themselves.
func TestQuietIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head)
	w.open()
	w.want()
	for i := range 3 {
		text := ""
		for j := range maxAlike / 2 {
			text += fmt.Sprintf("2021-03-03 10:00:00 2001:db8::%x /bad 200\r\n", i*maxAlike+j)
		}
		w.write("u.log", text)
		w.pass()
	}
	if n := len(w.w.quiet.alike); n > maxAlike+1 {
		t.Errorf("%d kinds are remembered", n)
	}
}
