package verify

import (
	"fmt"
	"testing"

	"postern"
)

var (
	row    = Seen{Rule: "pack/row", Level: postern.Used, Path: "EX01/C/logs/u_ex.log", Server: "logs/u_ex.log"}
	door   = Seen{Rule: "files/webshell", Level: postern.Implanted, Path: "EX01/C/web/x.aspx", Server: "web/x.aspx", Here: true, File: "aa"}
	probe  = Seen{Rule: "pack/probe", Level: postern.Probed, Path: "logs/u_ex.log", Server: "logs/u_ex.log"}
	remark = Seen{Rule: "pack/remark", Level: postern.NotSeen, Path: "logs/u_ex.log", Server: "logs/u_ex.log"}
)

func subject(level postern.Level, conclusive bool, status postern.Status, findings ...Seen) Subject {
	return Subject{Status: status, Findings: findings, Host: postern.Host{
		Host: "EX01", Build: postern.Build{15, 1, 2176, 9}, Patched: postern.Fact{State: postern.Yes}, Mitigated: postern.Fact{State: postern.Unknown},
		Verdict: postern.Verdict{Level: level, Confidence: postern.High, Conclusive: conclusive}}}
}

func TestClean(t *testing.T) {
	t.Parallel()
	compromised := &Earlier{Level: postern.Used, Findings: []Seen{row, door}}
	for name, tc := range map[string]struct {
		s       Subject
		earlier *Earlier
		state   State
		why     string
	}{
		"nothing":                   {subject(0, true, postern.Complete), nil, Nothing, "verify.clean.nothing"},
		"probed":                    {subject(1, true, postern.Complete, probe), nil, Nothing, "verify.clean.nothing"},
		"not covered":               {subject(0, false, postern.Complete), nil, Unknown, "verify.clean.unknown"},
		"not all read":              {subject(0, true, postern.PartialStatus), nil, Unknown, "verify.clean.unknown"},
		"a back door":               {subject(5, true, postern.Complete, row, door), compromised, No, "verify.clean.there"},
		"a row":                     {subject(5, true, postern.Complete, row), nil, No, "verify.clean.no"},
		"a row that was known":      {subject(5, true, postern.Complete, row), compromised, Unknown, "verify.clean.history"},
		"a row that is new":         {subject(5, true, postern.Complete, row), &Earlier{Level: postern.Implanted, Findings: []Seen{door}}, No, "verify.clean.new"},
		"nothing of it any more":    {subject(0, true, postern.Complete), compromised, Unknown, "verify.clean.earlier"},
		"nothing then, nothing now": {subject(0, true, postern.Complete), &Earlier{}, Nothing, "verify.clean.nothing"},
	} {
		r := Judge(tc.s, tc.earlier)
		if r.Clean.State != tc.state || r.Clean.Why.Key != tc.why {
			t.Errorf("%s: got %s (%s), want %s (%s)", name, r.Clean.State, r.Clean.Why.Key, tc.state, tc.why)
		}
		if r.Clean.State == Nothing && r.Clean.Strength > postern.Medium {
			t.Errorf("%s: nothing is never surer than medium", name)
		}
		if len(r.Clean.Unchecked) == 0 {
			t.Errorf("%s: something is always not checked", name)
		}
	}
}

// No answer follows from another.
func TestAnswersAreApart(t *testing.T) {
	t.Parallel()
	for _, patched := range []postern.State{postern.Yes, postern.No, postern.Unknown} {
		for _, mitigated := range []postern.State{postern.Yes, postern.No, postern.Unknown, postern.Ineffective} {
			for _, level := range []postern.Level{postern.NotSeen, postern.Used} {
				s := subject(level, true, postern.Complete)
				s.Host.Patched.State, s.Host.Mitigated.State = patched, mitigated
				r := Judge(s, nil)
				if string(r.Patched.State) != string(patched) || string(r.Mitigated.State) != string(mitigated) || (r.Clean.State == Nothing) != (level == 0) {
					t.Errorf("%s, %s, %d: got %s, %s, %s", patched, mitigated, level, r.Patched.State, r.Mitigated.State, r.Clean.State)
				}
				if want := patched == postern.Yes && level == 0; r.Proved() != want {
					t.Errorf("%s, %s, %d: proved %v", patched, mitigated, level, r.Proved())
				}
				if want := patched == postern.No || level > 0; r.Refuted() != want {
					t.Errorf("%s, %s, %d: refuted %v", patched, mitigated, level, r.Refuted())
				}
			}
		}
	}
}

// Two hunts of different folders of one server are compared by the place on the server.
func TestCompare(t *testing.T) {
	t.Parallel()
	now := row
	now.Path = "logs/u_ex.log"
	fresh := Seen{Rule: "files/webshell", Level: postern.Implanted, Path: "web/y.aspx", Server: "web/y.aspx", Here: true, File: "bb"}
	r := Judge(subject(5, true, postern.Complete, now, now, fresh, remark), &Earlier{Level: postern.Used, Findings: []Seen{row, door, remark}})
	if r.New != 1 || r.Gone != 1 || r.Still != 1 || len(r.Changes) != 3 {
		t.Fatalf("got %d new, %d gone, %d still: %+v", r.New, r.Gone, r.Still, r.Changes)
	}
	for i, want := range []Change{
		{What: New, Rule: "files/webshell", Path: "web/y.aspx", Level: 4, SHA256: "bb", Now: 1},
		{What: Still, Rule: "pack/row", Path: "logs/u_ex.log", Level: 5, Then: 1, Now: 2},
		{What: Gone, Rule: "files/webshell", Path: "EX01/C/web/x.aspx", Level: 4, SHA256: "aa", Then: 1},
	} {
		if r.Changes[i] != want {
			t.Errorf("got  %+v\nwant %+v", r.Changes[i], want)
		}
	}
	if r.Clean.State != No {
		t.Errorf("clean: got %s", r.Clean.State)
	}
}

// A source that matters and does not cover the time is named.
func TestUncheckedSources(t *testing.T) {
	t.Parallel()
	s := subject(0, false, postern.Complete)
	s.Set = 3
	s.Campaigns = []postern.Campaign{{Name: "pack", Title: postern.Say("pack.title"), Sources: []postern.Source{{Name: "iis", Required: true}, {Name: "ecp"}}}}
	s.Host.Campaigns = []postern.CampaignVerdict{{Name: "pack", Coverage: []postern.Coverage{{Source: "iis", Status: postern.Partial}, {Source: "ecp", Status: postern.Absent}}}}
	var got []string
	for _, u := range Judge(s, nil).Clean.Unchecked {
		got = append(got, u.Key)
	}
	want := []string{"verify.unchecked.quarantine", "verify.unchecked.source", "verify.unchecked.beyond"}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Of more places than are listed, the worst are listed.
func TestWorstPlacesFirst(t *testing.T) {
	t.Parallel()
	var findings []Seen
	for n := range 2 * maxEvidence {
		findings = append(findings, Seen{Rule: "r", Path: fmt.Sprint(n), Level: postern.Exploited + postern.Level(n/maxEvidence)})
	}
	var a Answer
	a.rest(findings, func(Seen) bool { return true })
	if len(a.Evidence) != maxEvidence || a.More != maxEvidence || a.Evidence[0].Level != postern.Privileged || a.Evidence[maxEvidence-1].Level != postern.Privileged {
		t.Errorf("%d places and %d more, from level %d to %d", len(a.Evidence), a.More, a.Evidence[0].Level, a.Evidence[len(a.Evidence)-1].Level)
	}
	if findings[0].Path != "0" {
		t.Error("the findings were put in another order")
	}
}

// That somebody said so is the weakest reason to call a server patched, whatever build it
// is known to run.
func TestPatchedAsTold(t *testing.T) {
	t.Parallel()
	s := subject(0, true, postern.Complete)
	if got := Judge(s, nil).Patched.Strength; got != postern.High {
		t.Errorf("shown by a build: strength %v, want high", got)
	}
	s.Told = true
	if got := Judge(s, nil).Patched; got.State != Yes || got.Strength != postern.Low {
		t.Errorf("told: %v, strength %v, want yes and low", got.State, got.Strength)
	}
}

// A mitigation is only as sure as all of the configuration was read.
func TestMitigatedButNotAllRead(t *testing.T) {
	t.Parallel()
	for status, want := range map[postern.Status]postern.Confidence{postern.Complete: postern.Medium, postern.PartialStatus: postern.Low} {
		s := subject(0, true, status)
		s.Host.Mitigated.State = postern.Yes
		if got := Judge(s, nil).Mitigated; got.State != Yes || got.Strength != want {
			t.Errorf("%s: %s, strength %v, want yes and %v", status, got.State, got.Strength, want)
		}
	}
}
