package sigma

import (
	"fmt"
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

func TestGate(t *testing.T) {
	t.Parallel()
	all := func(Need) (bool, bool) { return true, false }
	rules := []*Rule{
		mustCompile(t, one("Image|endswith: 'w3wp.exe'")),
		mustCompile(t, one("Image|endswith: '\\cmd.exe'\nCommandLine|contains: [whoami, systeminfo]")),
		mustCompile(t, one("CommandLine|contains: q")),
	}
	g := NewGate(rules, all)
	for text, want := range map[string]bool{
		"": false, "c:\\cmd.exe": false, "c:\\cmd.exe\x00/c whoami": true, "cmd.exe\x00whoami": false, "whoami": false,
		"a\x00w3wp.exe\x00": true, "aq": true,
	} {
		if got := g.Pass([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if NewGate(nil, all) != nil {
		t.Error("a gate of no rules")
	}
	if NewGate(append(rules, mustCompile(t, one("Image|re: '.*'"))), all) != nil {
		t.Error("a gate that a rule without needs does not pass")
	}
	if NewGate(rules, func(n Need) (bool, bool) { return n.Field != "CommandLine", false }) != nil {
		t.Error("a gate that the rule about the command line alone does not pass")
	}
}

// A number is looked for as a whole value: any number has its digits.
func TestGateOfWholeValues(t *testing.T) {
	t.Parallel()
	rules := []*Rule{
		mustCompile(t, one("Share|endswith: c$\nMask: '0x2'")),
		mustCompile(t, one("Port: [3389, 88]")),
		mustCompile(t, ruleText("s: {From: 25}\nt: {To: 25}\ncondition: s or t")),
	}
	g := NewGate(rules, func(n Need) (ok, whole bool) { return true, n.Exact })
	if !g.Whole() {
		t.Fatal("a gate for numbers that is given text alone")
	}
	for text, want := range map[string]bool{
		"": false, "\x00": false, "\x00ipc$\x000x20\x00": false, "\x00ipc$\x000x2\x00": true, "\x000x2\x00": false,
		"\x003389\x00": true, "\x0033890\x0013389\x00888\x00": false, "\x001\x0088\x00": true, "\x0025\x00": true, "\x00125\x00": false,
	} {
		if got := g.Pass([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if NewGate(rules, func(n Need) (ok, whole bool) { return true, false }).Whole() {
		t.Error("a gate for parts of values asks for whole ones")
	}
}

// More rules than a gate has bits: what matches passes.
func TestGateOfVeryManyRules(t *testing.T) {
	t.Parallel()
	var rules []*Rule
	for i := range 2*maxGateBits + 100 {
		rules = append(rules, mustCompile(t, one(fmt.Sprintf("A|contains: aa%dz\nB|contains: bb%dz", i, i))))
	}
	g := NewGate(rules, func(Need) (bool, bool) { return true, false })
	for i := range rules {
		if text := fmt.Sprintf("xaa%dz\x00bb%dzx", i, i); !g.Pass([]byte(text)) {
			t.Errorf("%q does not pass", text)
		}
	}
	if g.Pass([]byte("aa1z\x00bb2z")) {
		t.Error("halves of two rules pass")
	}
}
