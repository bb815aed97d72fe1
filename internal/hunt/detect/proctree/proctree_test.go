package proctree

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern"
)

var noon = time.Date(2021, 3, 3, 12, 0, 0, 0, time.UTC)

// sysmon is the start of a process as Sysmon tells it: after so many seconds,
// number and image of the process and of its parent.
func sysmon(after float64, pid int, image string, parent int, parentImage string) *postern.Event {
	return event("sysmon.evtx", after, []postern.Field{{Name: "EventID", Value: "1"}, {Name: "ProcessId", Value: fmt.Sprint(pid)}, {Name: "Image", Value: `C:\Windows\` + image},
		{Name: "CommandLine", Value: image + " /x"}, {Name: "ParentProcessId", Value: fmt.Sprint(parent)}, {Name: "ParentImage", Value: `C:\Windows\` + parentImage}, {Name: "User", Value: `IIS APPPOOL\x`}})
}

// security is the same as Security tells it; older systems do not name the parent.
func security(after float64, pid int, image string, parent int, parentImage string) *postern.Event {
	fields := []postern.Field{{Name: "EventID", Value: "4688"}, {Name: "NewProcessId", Value: fmt.Sprintf("%#x", pid)}, {Name: "NewProcessName", Value: `C:\Windows\` + image},
		{Name: "ProcessId", Value: fmt.Sprintf("%#x", parent)}, {Name: "SubjectUserName", Value: "x"}, {Name: "SubjectDomainName", Value: "IIS APPPOOL"}}
	if parentImage != "" {
		fields = append(fields, postern.Field{Name: "ParentProcessName", Value: `C:\Windows\` + parentImage})
	}
	return event("security.evtx", after, fields)
}

func event(path string, after float64, fields []postern.Field) *postern.Event {
	return &postern.Event{Source: strings.TrimSuffix(path, ".evtx"), Time: noon.Add(time.Duration(after * float64(time.Second))), Fields: fields,
		Place: postern.Place{Path: path, Record: int64(after*10) + 1}}
}

// with adds identifiers of process and parent.
func with(ev *postern.Event, guid, parent string) *postern.Event {
	ev.Fields = append(ev.Fields, postern.Field{Name: "ProcessGuid", Value: guid}, postern.Field{Name: "ParentProcessGuid", Value: parent})
	return ev
}

// The pool of a worker is told by its command line, which only Sysmon has, and by any
// of the processes below it.
func TestPool(t *testing.T) {
	t.Parallel()
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		`c:\windows\system32\inetsrv\w3wp.exe -ap "MSExchangeOWAAppPool" -v "v4.0"`: "MSExchangeOWAAppPool",
		`c:\windows\system32\inetsrv\w3wp.exe -ap "MSExchangeOWA`:                   "",
		`c:\windows\system32\inetsrv\w3wp.exe`:                                      "",
	} {
		h := d.NewHost()
		h.See(security(0, 10, "csc.exe", 9, "w3wp.exe"))
		first := sysmon(1, 11, "cmd.exe", 9, "w3wp.exe")
		first.Fields = append(first.Fields, postern.Field{Name: "ParentCommandLine", Value: line})
		h.See(first)
		h.See(sysmon(2, 12, "whoami.exe", 11, "cmd.exe"))
		found := h.Findings()
		if len(found) != 1 || found[0].Entities["application_pool"] != want {
			t.Errorf("%s: got %v, want one finding with pool %q", line, found, want)
		}
	}
}

func TestTrees(t *testing.T) {
	t.Parallel()
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		events []*postern.Event
		want   []string // confidence, first image, count, pieces of evidence
	}{
		{"nothing", []*postern.Event{sysmon(0, 10, "cmd.exe", 9, "explorer.exe")}, nil},
		{"a command", []*postern.Event{sysmon(0, 10, "cmd.exe", 9, "w3wp.exe")}, []string{"high cmd.exe 1 1"}},
		{"in both channels", []*postern.Event{sysmon(0, 10, "cmd.exe", 9, "w3wp.exe"), security(0.3, 10, "cmd.exe", 9, "w3wp.exe")}, []string{"high cmd.exe 1 2"}},
		{"twice the same command", []*postern.Event{sysmon(0, 10, "cmd.exe", 9, "w3wp.exe"), sysmon(0.5, 10, "cmd.exe", 9, "w3wp.exe")}, []string{"high cmd.exe 2 2"}},
		{"children and theirs", []*postern.Event{sysmon(0, 10, "cmd.exe", 9, "w3wp.exe"), sysmon(1, 11, "whoami.exe", 10, "cmd.exe"), sysmon(2, 12, "odd.exe", 10, "cmd.exe"),
			sysmon(3, 13, "net.exe", 12, "odd.exe"), sysmon(4, 14, "net.exe", 99, "odd.exe")}, []string{"high cmd.exe 4 4"}},
		{"two workers", []*postern.Event{sysmon(0, 10, "cmd.exe", 8, "w3wp.exe"), sysmon(1, 11, "cmd.exe", 9, "w3wp.exe")}, []string{"high cmd.exe 1 1", "high cmd.exe 1 1"}},
		{"another worker of the same number", []*postern.Event{sysmon(0, 10, "cmd.exe", 9, "w3wp.exe"), sysmon(100_000, 11, "cmd.exe", 9, "w3wp.exe")}, []string{"high cmd.exe 1 1", "high cmd.exe 1 1"}},
		{"the first call of a page", []*postern.Event{sysmon(0, 10, "csc.exe", 9, "w3wp.exe"), sysmon(1, 11, "cvtres.exe", 10, "csc.exe"), sysmon(1, 12, "conhost.exe", 10, "csc.exe")}, nil},
		{"a crash", []*postern.Event{security(0, 10, "WerFault.exe", 9, "UMWorkerProcess.exe")}, nil},
		{"what nobody knows", []*postern.Event{sysmon(0, 10, "Agent.exe", 9, "w3wp.exe")}, []string{"low agent.exe 1 1"}},
		{"a number is used again", []*postern.Event{sysmon(0, 10, "cmd.exe", 9, "w3wp.exe"), sysmon(1, 10, "svchost.exe", 4, "services.exe"), sysmon(2, 11, "net.exe", 10, "svchost.exe")}, []string{"high cmd.exe 1 1"}},
		{"a parent of another image", []*postern.Event{sysmon(0, 10, "cmd.exe", 9, "w3wp.exe"), sysmon(2, 11, "net.exe", 10, "svchost.exe")}, []string{"high cmd.exe 1 1"}},
		{"a parent of another identifier", []*postern.Event{with(sysmon(0, 10, "cmd.exe", 9, "w3wp.exe"), "{A}", "{W}"), with(sysmon(2, 11, "net.exe", 10, "cmd.exe"), "{C}", "{B}")}, []string{"high cmd.exe 1 1"}},
		{"a worker that is not named as parent", []*postern.Event{security(0, 9, "w3wp.exe", 4, ""), security(1, 10, "powershell.exe", 9, ""), security(2, 11, "whoami.exe", 10, "")}, []string{"high powershell.exe 2 2"}},
		{"a worker under a worker", []*postern.Event{sysmon(0, 10, "httpd.exe", 9, "httpd.exe")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := d.NewHost()
			for _, ev := range c.events {
				h.See(ev)
			}
			var got []string
			for _, f := range h.Findings() {
				count := f.Entities[postern.Count]
				if count == "" {
					count = "1"
				}
				got = append(got, fmt.Sprint(f.Confidence, " ", f.Entities["process"], " ", count, " ", len(f.Evidence)))
				if f.Level != postern.Used || f.ID == "" || f.Entities[postern.Account] != `IIS APPPOOL\x` {
					t.Errorf("finding %+v", f)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// A flood is bounded, and said.
func TestFlood(t *testing.T) {
	t.Parallel()
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	h := d.NewHost()
	for i := range maxNodes + 10 {
		h.See(sysmon(float64(i), 100+i, "cmd.exe", 9, "w3wp.exe"))
	}
	all := h.Findings()
	if len(all) != 1 || len(all[0].Evidence) != maxEvidence || all[0].Explain[1].Args["count"] != "10" {
		t.Errorf("%d findings, the first %+v", len(all), all[0].Explain)
	}
}

// What is harmless and comes a thousand times does not hide what is not.
func TestFloodOfQuietStarts(t *testing.T) {
	t.Parallel()
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	h := d.NewHost()
	for i := range maxNodes + 10 {
		h.See(sysmon(float64(i), 100+i, "csc.exe", 9, "w3wp.exe"))
	}
	h.See(sysmon(maxNodes+20, 50, "cmd.exe", 9, "w3wp.exe"))
	all := h.Findings()
	if len(all) != 1 || all[0].Entities["process"] != "cmd.exe" || all[0].Confidence != postern.High {
		t.Fatalf("found %+v, want the command", all)
	}
	if last := all[0].Explain[len(all[0].Explain)-1]; last.Key != "proctree.lost" {
		t.Errorf("that starts were only counted is not said: %+v", all[0].Explain)
	}
}

// However many files there are, what a worker starts is seen.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	h := d.NewHost()
	for i := range maxFiles {
		h.See(event(fmt.Sprintf("%d.evtx", i), 0, security(0, 10, "csc.exe", 9, "w3wp.exe").Fields))
	}
	h.See(sysmon(1, 11, "cmd.exe", 9, "w3wp.exe"))
	if all := h.Findings(); len(all) != 1 {
		t.Errorf("%d findings, want one", len(all))
	}
}

func TestWants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		channel string
		id      uint32
		want    bool
	}{{"Security", 4688, true}, {"security", 4688, true}, {"Security", 1, false}, {"Microsoft-Windows-Sysmon/Operational", 1, true}, {"System", 1, false}} {
		if got := Wants(c.channel, c.id); got != c.want {
			t.Errorf("Wants(%q, %d) = %v", c.channel, c.id, got)
		}
	}
}
