package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/hunt"
)

// A folder that nobody could list may hold a web.config that takes a mitigation away: the
// hunt does not call it in force then. One that no site serves changes nothing.
func TestLostFolderAndMitigation(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "case")
	run := func(line ...string) *app {
		var said bytes.Buffer
		a := newApp(strings.NewReader(""), &said, &said, func(string) (string, bool) { return "", false })
		if code := a.main(t.Context(), line); code == exitFailed || code == exitUsage {
			t.Fatalf("%s: %d, %s", strings.Join(line, " "), code, &said)
		}
		return a
	}
	run("exercise", "evidence", "--out", dir, "--size", "5MB", "--story", "shell-used")
	a := run("respond", "mitigate", "--campaign", "proxylogon", "--apply", "--yes", filepath.Join(dir, "EX01", "C"))
	const frontEnd = "EX01/C/Program Files/Microsoft/Exchange Server/V15/FrontEnd"
	for lost, want := range map[string]postern.State{
		"": postern.Yes, frontEnd: postern.Unknown, frontEnd + "/HttpProxy/ecp": postern.Unknown, "EX01/C/Users": postern.Yes,
	} {
		o := huntOptions{hash: "none", indicatorsTLP: "amber+strict", campaigns: []string{"proxylogon"}}
		opt, _, err := a.setUp(o, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		inputs, err := a.inputs(o, []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		open := inputs[0].Open
		inputs[0].Open = func(ctx context.Context, tell func(postern.Problem)) (hunt.Evidence, error) {
			if lost != "" {
				tell(postern.Problem{Path: lost, What: postern.Unreadable, Detail: postern.Say("hunt.unreadable", "reason", "denied")})
			}
			e, err := open(ctx, tell)
			return only{e, func(p string) bool { return lost == "" || !strings.HasPrefix(p, lost+"/") }}, err
		}
		sink := &hostSink{}
		if err := hunt.Run(t.Context(), inputs, opt, sink); err != nil || len(sink.hosts) != 1 {
			t.Fatalf("%d hosts, %v", len(sink.hosts), err)
		}
		got := sink.hosts[0].Mitigated
		if got.State != want || want == postern.Unknown && (got.Why.Key != "config.why.lost" || got.Why.Args["place"] != lost) {
			t.Errorf("%q lost: %s (%s %v), want %s", lost, got.State, got.Why.Key, got.Why.Args, want)
		}
	}
}
