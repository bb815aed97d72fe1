package msert

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/detect"
)

func detector(t testing.TB, zone *time.Location) *Detector {
	t.Helper()
	all, err := Microsoft()
	if err != nil {
		t.Fatal(err)
	}
	return New(Knowledge{Families: all, Zone: zone})
}

func file(text string) *detect.File {
	return &detect.File{Path: "EX01/C/Windows/debug/msert.log", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}
}

// scan is a log of one quick scan; the names of threats are put together here so
// that no scanner takes this file for what it is about.
func scan(entries ...string) string {
	return "Microsoft Safety Scanner v1.333, (build 1.333.160.0)\nStarted On Sat Mar  6 09:30:01 2021\nQuick Scan Results:\n" +
		strings.Join(entries, "") + "Microsoft Safety Scanner Finished On Sat Mar  6 09:41:12 2021\n"
}

func threat(name, words string, resources ...string) string {
	return "Threat Detected: " + name + words + "\n    Action: Remove, Result: 0x00000000\n        " + strings.Join(resources, "\n        ") + "\n"
}

const (
	page  = `C:\inetpub\wwwroot\aspnet_client\discover.aspx`
	shell = "Backdoor:JS/Web" + "shell.A"
)

func look(t *testing.T, d *Detector, text string) []postern.Finding {
	t.Helper()
	findings, _, err := d.Look(file(text))
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

func TestThreats(t *testing.T) {
	t.Parallel()
	const removed = " and Removed!"
	for _, tc := range []struct {
		name, threat, resource, want string
	}{
		{"web shell in a served folder", shell, "file://" + page, "msert/web-shell 4 high"},
		{"web shell in the install folder", "Backdoor:ASP/Chop" + "per.F!dha", `file://D:\Exchange\FrontEnd\HttpProxy\owa\auth\x.ASPX`, "msert/web-shell 4 high"},
		{"web shell elsewhere", shell, `file://C:\Users\admin\Desktop\evidence\x.aspx`, "msert/web-shell 4 medium"},
		{"web shell nowhere", shell, "", "msert/web-shell 4 medium"},
		{"another name in a served folder", "Trojan:Script/Wacatac.B!ml", "file://" + page, "msert/web-shell 4 high"},
		{"name of the flaw", "Exploit:ASP/CVE-2021-27065.B!dha", "file://" + page, "msert/web-shell 4 high"},
		{"compiled page", shell, `file://C:\Windows\Microsoft.NET\Framework64\v4.0.30319\Temporary ASP.NET Files\root\e22c2559\92c7e946\App_Web_ab12cd34.dll`, "msert/compiled 5 medium"},
		{"command by the web server", "Behavior:Win32/IISExchg" + "SpawnCMD.A", "process://pid:4", "msert/command 5 medium"},
		{"credentials", "HackTool:Win32/Dump" + "Lsass.A!dha", `file://C:\Windows\Temp\a.exe`, "msert/post-exploitation 6 medium"},
		{"ransom", "Ran" + "som:Win32/DoejoCrypt.A", `file://C:\a.exe`, "msert/post-exploitation 6 medium"},
		{"ransom in the mail queue", "Ran" + "som:Win32/DoejoCrypt.A", `file://C:\Exchange\TransportRoles\data\Temp\a.tmp`, "msert/threat 1 low"},
		{"threat of a user", "Trojan:Win32/Wacatac.B!ml", `file://C:\Users\x\Downloads\setup.exe`, "msert/threat 1 low"},
		{"picture in a served folder", "Trojan:Win32/Wacatac.B!ml", `file://C:\inetpub\wwwroot\a.gif`, "msert/threat 1 low"},
		{"page in no served folder", "Trojan:Win32/Wacatac.B!ml", `file://C:\wwwroot.bak\a.aspx`, "msert/threat 1 low"},
		{"test file", "Virus:DOS/EI" + "CAR_Test_File", "file://" + page, "msert/test 0 high"},
	} {
		findings := look(t, detector(t, nil), scan(threat(tc.threat, removed, tc.resource)))
		if len(findings) != 2 || findings[0].Rule != ruleScan {
			t.Errorf("%s: %d findings", tc.name, len(findings))
			continue
		}
		f := findings[1]
		if got := fmt.Sprintf("%s %d %s", f.Rule, f.Level, f.Confidence); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if tc.threat == "Exploit:ASP/CVE-2021-27065.B!dha" && !cmp.Equal(f.CVE, []string{"CVE-2021-27065"}) {
			t.Errorf("%s: CVE %v", tc.name, f.CVE)
		}
	}
}

func TestFinding(t *testing.T) {
	t.Parallel()
	text := scan(threat(shell, " and Removed!", "file://"+page, "    SigSeq: 0x1", "containerfile://"+page))
	zone := time.FixedZone("", -8*3600)
	findings := look(t, detector(t, zone), text)
	if len(findings) != 2 {
		t.Fatalf("%d findings, want the scan and the file once", len(findings))
	}
	f := findings[1]
	if diff := cmp.Diff(map[string]string{"file": page, "threat": shell, "outcome": "removed"}, f.Entities); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
	if want := time.Date(2021, 3, 6, 17, 30, 1, 0, time.UTC); !f.Time.Equal(want) {
		t.Errorf("time %v, want %v", f.Time, want)
	}
	if e := f.Evidence[0]; e.Line != 6 || e.Excerpt != "file://"+page || len(e.SHA256) != 64 || f.ID == "" {
		t.Errorf("evidence %+v, id %q", e, f.ID)
	}
	var explain []string
	for _, x := range f.Explain {
		explain = append(explain, x.Key)
	}
	if diff := cmp.Diff([]string{"msert.why.name", "msert.when", "msert.outcome.removed"}, explain); diff != "" {
		t.Errorf("explanation (-want +got):\n%s", diff)
	}
	if f := look(t, detector(t, nil), text)[1]; !f.Time.IsZero() {
		t.Errorf("time %v without a zone: the log has none", f.Time)
	}
}

// The same threat in the same file is one finding over all scans, with its end.
func TestSeveralScans(t *testing.T) {
	t.Parallel()
	text := scan(threat(shell, ", not removed.", "file://"+page)) + scan(threat(shell, " and Removed!", "file://"+strings.ToUpper(page))) + scan()
	findings := look(t, detector(t, nil), text)
	if len(findings) != 4 {
		t.Fatalf("%d findings, want three scans and one threat", len(findings))
	}
	f := findings[3]
	if f.Entities["outcome"] != "removed" || f.Entities["count"] != "2" || len(f.Evidence) != 2 || f.Evidence[0].Line >= f.Evidence[1].Line {
		t.Errorf("entities %v, evidence %v", f.Entities, f.Evidence)
	}
	for i, want := range []string{"", "msert.evidence-removed", "msert.nothing"} {
		var keys []string
		for _, x := range findings[i].Explain {
			keys = append(keys, x.Key)
		}
		if got := strings.Join(keys, " "); want != "" && !strings.Contains(got, want) || want == "" && got != "msert.when" {
			t.Errorf("scan %d: explained by %s, want %q", i, got, want)
		}
	}
}

func TestScanFacts(t *testing.T) {
	t.Parallel()
	full := strings.Replace(scan("->Scan ERROR: resource file://C:\\x (code 0x5 (5))\n"), "Quick", "Full", 1)
	full = full[:strings.LastIndex(full, "Microsoft Safety Scanner Finished")]
	findings := look(t, detector(t, nil), full)
	if len(findings) != 1 || findings[0].Level != postern.NotSeen || findings[0].Title.Args["kind@"] != "msert.kind.full" {
		t.Fatalf("findings %+v", findings)
	}
	var keys []string
	for _, x := range findings[0].Explain {
		keys = append(keys, x.Key)
	}
	if diff := cmp.Diff([]string{"msert.when", "msert.nothing-full", "msert.unfinished", "msert.errors"}, keys); diff != "" {
		t.Errorf("explanation (-want +got):\n%s", diff)
	}
	monthly := strings.ReplaceAll(scan("No infection found.\n"), "Microsoft Safety Scanner", "Microsoft Windows Malicious Software Removal Tool")
	if findings := look(t, detector(t, nil), monthly); len(findings) > 0 {
		t.Errorf("the monthly tool that found nothing: %+v", findings)
	}
}

func TestWants(t *testing.T) {
	t.Parallel()
	d := New(Knowledge{})
	for path, want := range map[string]bool{
		"Windows/debug/msert.log": true, `Windows\Debug\MSERT.LOG`: true, "msert.old.log": true, "debug/mrt.log": true,
		"x/smsert.log": false, "msert.exe": false, "msert.log/x.txt": false, "emrt.log": false,
	} {
		if got := d.Wants(&detect.File{Path: path}); got != want {
			t.Errorf("Wants(%s) = %v, want %v", path, got, want)
		}
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	d := detector(t, nil)
	if _, _, err := d.Look(&detect.File{Path: "msert.log", Open: func() (io.ReadCloser, error) { return nil, fs.ErrPermission }}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v, want that of opening", err)
	}
	findings, problems, err := d.Look(file("something else\n"))
	if len(findings) > 0 || len(problems) != 1 || problems[0].What != postern.Unsupported || err != nil {
		t.Errorf("findings %v, problems %v, error %v", findings, problems, err)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range Rules() {
		if seen[r.ID] || !strings.HasPrefix(r.ID, "msert/") || r.Title.IsZero() || r.Means.IsZero() || !r.Level.Valid() || r.Confidence == postern.Unsaid {
			t.Errorf("rule %+v", r)
		}
		seen[r.ID] = true
	}
	all, err := Microsoft()
	if err != nil || len(all) == 0 {
		t.Fatalf("%d families, error %v", len(all), err)
	}
	for _, f := range all {
		if f.Text != strings.ToLower(f.Text) || f.Text == "" || f.Kind != WebShell && f.Kind != Command && f.Kind != PostExploitation && f.Kind != TestFile {
			t.Errorf("family %+v", f)
		}
	}
}

// FuzzLook asks whether every finding of any log has a rule, a title and evidence in the log.
func FuzzLook(f *testing.F) {
	d := detector(f, nil)
	f.Add(scan(threat(shell, " and Removed!", "file://"+page)))
	f.Add(scan("Found A:B/C and Removed!\nFound A:B/C\n"))
	f.Fuzz(func(t *testing.T, text string) {
		findings, _, err := d.Look(file(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range findings {
			if d.rules[x.Rule].ID == "" || x.Title.IsZero() || x.ID == "" || len(x.Evidence) == 0 || x.Evidence[0].Line < 1 {
				t.Errorf("finding %+v", x)
			}
		}
	})
}
