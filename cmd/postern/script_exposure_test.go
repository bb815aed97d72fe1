package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"postern/internal/exposure"
)

// program starts the real program of a script in the background.
func program(ts *testscript.TestScript, args ...string) *exec.Cmd {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if name := filepath.Join(dir, "postern"); exists(name) {
			c := exec.Command(name, args...)
			c.Dir = ts.MkAbs(".")
			return c
		}
	}
	ts.Fatalf("no postern in the path of the script")
	return nil
}

func exists(name string) bool { _, err := os.Stat(name); return err == nil }

// playing is a fleet that a script has started.
type playing struct {
	clock io.WriteCloser
	out   *bufio.Reader
	err   bytes.Buffer
	cmd   *exec.Cmd
	end   sync.Once
}

// dismiss ends the fleet, which then says what its visitors did.
func (p *playing) dismiss() {
	p.end.Do(func() {
		_ = p.cmd.Process.Signal(os.Interrupt)
		_, _ = io.Copy(io.Discard, p.out)
		_ = p.cmd.Wait() // its word is on standard error
	})
}

// ready reads until the fleet says that all ports are open.
func (p *playing) ready(ts *testscript.TestScript) {
	line, err := p.out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready ") {
		p.dismiss()
		ts.Fatalf("the fleet is not ready: %q %v %s", line, err, &p.err)
	}
}

type fleetKey struct{}

// fleet ARG… plays a fleet on a port that is free; fleet day N moves its clock; fleet
// end FILE ends it and writes what it said to FILE.
func playFleet(ts *testscript.TestScript, neg bool, args []string) {
	p, _ := ts.Value(fleetKey{}).(**playing)
	switch {
	case neg || len(args) == 0 || p == nil:
		ts.Fatalf("usage: fleet ARG…")
	case args[0] == "day" && len(args) == 2 && *p != nil:
		_, err := fmt.Fprintln((*p).clock, "day", args[1])
		ts.Check(err)
		(*p).ready(ts)
	case args[0] == "end" && len(args) == 2 && *p != nil:
		(*p).dismiss()
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), (*p).err.Bytes(), 0o644))
		*p = nil
	default:
		run := &playing{cmd: program(ts, append([]string{"exercise", "fleet", "--port", "0", "--for", "2m"}, args...)...)}
		run.cmd.Stderr = &run.err
		var err error
		run.clock, err = run.cmd.StdinPipe()
		ts.Check(err)
		out, err := run.cmd.StdoutPipe()
		ts.Check(err)
		run.out = bufio.NewReader(out)
		ts.Check(run.cmd.Start())
		ts.Defer(run.dismiss)
		run.ready(ts)
		*p = run
	}
}

// killed N ARG… runs the program and kills it as soon as it has printed N lines.
func killed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: killed N ARG…")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	c := program(ts, args[1:]...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	r := bufio.NewReader(out)
	for range n {
		if _, err := r.ReadString('\n'); err != nil {
			_ = c.Wait()
			ts.Fatalf("it ended by itself: %s", &stderr)
		}
	}
	ts.Check(c.Process.Kill())
	_, _ = io.Copy(io.Discard, r)
	_ = c.Wait() // killed, as it should be
}

// records FILE TARGETS [OUTCOME=N…] checks records of exposure against the contract:
// every target of the list once, outcomes of the closed list, at most six requests;
// and how many have an outcome.
func records(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: records FILE TARGETS [OUTCOME=N…]")
	}
	var want, got []string
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			want = append(want, strings.Fields(line)[0])
		}
	}
	counts := map[string]int{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var r struct {
			Schema, Target, Outcome, Time string
			Requests                      *int
			Assessments                   map[string]string
			Evidence                      []any
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			ts.Fatalf("%s: %v", args[0], err)
		}
		if r.Schema != exposure.Schema || r.Time == "" || r.Assessments == nil || r.Evidence == nil || r.Requests == nil || *r.Requests > 6 ||
			!slices.Contains(exposure.Outcomes(), exposure.Outcome(r.Outcome)) {
			ts.Fatalf("no record after the contract: %s", line)
		}
		got = append(got, r.Target)
		counts[r.Outcome]++
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		ts.Fatalf("records of %d targets, want those of %d, each once", len(got), len(want))
	}
	for _, arg := range args[2:] {
		outcome, n, _ := strings.Cut(arg, "=")
		if fmt.Sprint(counts[outcome]) != n {
			ts.Fatalf("%d records say %s, want %s (all: %v)", counts[outcome], outcome, n, counts)
		}
	}
}

// curve FILE STATES [TRUTH] checks a curve in JSON against the contract and, day by
// day, against the truth of an exercise: it must lie in the band at nearly all points.
func curve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: curve FILE share|bounds [TRUTH]")
	}
	var doc struct {
		Schema, CVE, States string
		Points              []struct {
			Time             string
			Share, Low, High *float64
			None             *float64 `json:"undecidable_low"`
			All              *float64 `json:"undecidable_high"`
			N                *int
		}
		Median map[string]any
		Notes  []string
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	if doc.Schema != "postern.adoption/1" || doc.States != args[1] || doc.Median == nil || len(doc.Notes) == 0 || len(doc.Points) == 0 {
		ts.Fatalf("%s: schema %q, states %q, %d points, %d notes", args[0], doc.Schema, doc.States, len(doc.Points), len(doc.Notes))
	}
	truth := map[string]float64{}
	if len(args) > 2 {
		for line := range strings.Lines(ts.ReadFile(args[2])) {
			var day struct {
				Date  string
				Share float64
			}
			ts.Check(json.Unmarshal([]byte(line), &day))
			truth[day.Date[:10]] = day.Share
		}
	}
	outside := 0
	for _, p := range doc.Points {
		if p.Share == nil || p.Low == nil || p.High == nil || p.None == nil || p.All == nil || p.N == nil || p.Time == "" {
			ts.Fatalf("a point lacks a field: %+v", p)
		}
		if x, ok := truth[p.Time[:10]]; ok && (x < *p.Low || x > *p.High) {
			outside++
		}
	}
	if outside > len(doc.Points)/10 {
		ts.Fatalf("the truth lies outside the band at %d of %d points", outside, len(doc.Points))
	}
}
