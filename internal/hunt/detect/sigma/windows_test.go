package sigma

import (
	"slices"
	"strings"
	"testing"

	"postern"
)

func mapping(t testing.TB) *Windows {
	t.Helper()
	w, err := ReadWindows()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// The mapping holds together: a channel has one source, and what services and
// categories say are names of channels and not of something else.
func TestWindowsMapping(t *testing.T) {
	t.Parallel()
	w := mapping(t)
	if got := w.Channel("SECURITY").Source; got != "windows-security" {
		t.Errorf("source of Security: %q", got)
	}
	for service, channels := range w.services {
		if len(channels) == 0 || strings.ToLower(service) != service {
			t.Errorf("service %q means %v", service, channels)
		}
	}
	for category, kinds := range w.categories {
		for _, k := range kinds {
			if k.Channel == "" || len(k.IDs) == 0 {
				t.Errorf("category %q: %+v has no channel or no ids", category, k)
			}
		}
	}
}

func TestWindowsPlaces(t *testing.T) {
	t.Parallel()
	w := mapping(t)
	const sysmon = "windows/microsoft-windows-sysmon operational/"
	for _, c := range []struct{ source, detection, want string }{
		{"{product: windows, category: process_creation}", "s: {Image: x}", sysmon + "1 windows/security/4688"},
		{"{product: windows, category: process_creation, service: sysmon}", "s: {Image: x}", sysmon + "1"},
		{"{product: windows, category: registry_event}", "s: {TargetObject: x}", sysmon + "12 " + sysmon + "13 " + sysmon + "14"},
		{"{product: windows, category: registry_event}", "s: {EventID: 13, TargetObject: x}", sysmon + "13"},
		{"{product: windows, service: security}", "s: {EventID: [4624, 4625]}", "windows/security/4624 windows/security/4625"},
		{"{product: windows, service: security}", "s: {TargetUserName: x}", "windows/security"},
		{"{product: windows, service: security}", "s: {EventID|contains: 46}", "windows/security"},
		{"{product: windows, service: security}", "s: {EventID: ' 4624'}", "windows/security"},
		{"{product: windows, service: security}", "s: {EventID: 4624}\n  t: {EventID: 1}", "windows/security/1 windows/security/4624"},
		{"{product: windows}", "s: {Channel: System, EventID: 7045}", "windows/system/7045"},
		{"{product: windows}", "s: {EventID: 7045}", "windows"},
		{"{product: windows, service: iis}", "s: {x: y}", ""},
		{"{product: linux, category: process_creation}", "s: {x: y}", ""},
		{"{category: process_creation}", "s: {x: y}", ""},
		{"{category: antivirus}", "s: {EventID: 1116}", "windows/microsoft-windows-windows defender operational/1116"},
	} {
		r := mustCompile(t, "title: t\nlogsource: "+c.source+"\ndetection:\n  "+c.detection+"\n  condition: 1 of them\n")
		var got []string
		for _, p := range w.Places(r) {
			got = append(got, p.Source)
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s %s: got %q, want %q", c.source, c.detection, s, c.want)
		}
	}
}

// The same rule sees the start of a process in both of its logs, each with its own
// names, and a rule for one of them keeps the names of that.
func TestProcessCreation(t *testing.T) {
	t.Parallel()
	w := mapping(t)
	rules := []*Rule{
		mustCompile(t, "title: both\nlogsource: {product: windows, category: process_creation}\ndetection: {s: {ParentImage|endswith: '\\w3wp.exe', Image|endswith: '\\cmd.exe', ProcessId: 7}, condition: s}\n"),
		mustCompile(t, "title: own\nlogsource: {product: windows, service: security}\ndetection: {s: {EventID: 4688, NewProcessName|endswith: '\\cmd.exe', ProcessId: 5}, condition: s}\n"),
	}
	set := NewSetAt(rules, w.Places, nil)
	for _, c := range []struct {
		channel, id string
		ev          *postern.Event
		want        string
	}{
		{"Microsoft-Windows-Sysmon/Operational", "1", event("Image", `C:\x\cmd.exe`, "ParentImage", `C:\y\w3wp.exe`, "ProcessId", "7", "EventID", "1"), "both"},
		{"Security", "4688", event("NewProcessName", `C:\x\cmd.exe`, "ParentProcessName", `C:\y\w3wp.exe`, "NewProcessId", "7", "ProcessId", "5", "EventID", "4688"), "both own"},
		{"security", "4688", event("NewProcessName", `C:\x\cmd.exe`, "ParentProcessName", `C:\y\w3wp.exe`, "NewProcessId", "5", "ProcessId", "7", "EventID", "4688"), ""},
		{"Security", "4689", event("NewProcessName", `C:\x\cmd.exe`, "ParentProcessName", `C:\y\w3wp.exe`, "NewProcessId", "7", "EventID", "4689"), ""},
	} {
		var got []string
		for _, m := range set.EvalAt(string(AppendPath(nil, c.channel, c.id)), c.ev, nil) {
			got = append(got, m.Rule.Title)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s %s: got %q, want %q", c.channel, c.id, s, c.want)
		}
	}
	if set.Has("windows/security/4689") || !set.Has("windows/security/4688") {
		t.Error("the set does not know which events it is about")
	}
}

func TestLiterals(t *testing.T) {
	t.Parallel()
	l := NewLiterals([]string{"w3wp.exe", `\cmd`, "q"})
	for text, want := range map[string]bool{"": false, "c:\\cmd.exe": true, "cmd.exe": false, "a\x00w3wp.exe\x00": true, "aq": true} {
		if got := l.Pass([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
