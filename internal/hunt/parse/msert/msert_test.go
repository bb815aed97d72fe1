package msert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func fixture(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/msert.log")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func read(t testing.TB, text string) *Log {
	t.Helper()
	l, err := Read(strings.NewReader(text), "msert.log")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func wide(text string, order binary.ByteOrder, mark bool) []byte {
	var b bytes.Buffer
	if mark {
		binary.Write(&b, order, uint16(0xFEFF))
	}
	binary.Write(&b, order, utf16.Encode([]rune(text)))
	return b.Bytes()
}

var want = []Scan{
	{
		Tool: "Microsoft Safety Scanner", Version: "1.333", Build: "1.333.160.0",
		Started: time.Date(2021, 3, 6, 9, 30, 1, 0, time.UTC), Finished: time.Date(2021, 3, 6, 9, 41, 12, 0, time.UTC),
		Engine: "1.1.17900.7", Signatures: "1.333.160.0", RunMode: "Scan Run in Quiet Mode", Kinds: []string{"quick"},
		Errors: 1, ReturnCode: 7, HasReturnCode: true,
		Threats: []Threat{
			{Name: "Backdoor:ASP/Example.A", Outcome: Removed, Action: "Remove", Result: "0x00000000", Resources: []Resource{
				{Kind: "file", Path: `C:\inetpub\wwwroot\aspnet_client\système.aspx`},
				{Kind: "file", Path: `C:\Temp\old.zip`, Inside: "a.zip->b.aspx"},
				{Kind: "containerfile", Path: `C:\Temp\old.zip`},
			}},
			{Name: "Trojan:Win32/Example.B", Outcome: Left, Action: "NoAction", Result: "0x00000000", Resources: []Resource{
				{Kind: "process", Path: `pid:4711,ProcessStart:132596`},
			}},
			{Name: "Trojan:Win32/Example.C", Outcome: PartlyRemoved},
		},
	},
	{
		Tool: "Microsoft Windows Malicious Software Removal Tool", Version: "5.87", Build: "5.87.17900.2",
		Started: time.Date(2021, 3, 9, 22, 0, 0, 0, time.UTC), Finished: time.Date(2021, 3, 9, 22, 5, 0, 0, time.UTC),
		Engine: "1.1.17900.7", Signatures: "1.333.1.0", RunMode: "Scan Run From Windows Update", NothingFound: true, HasReturnCode: true,
	},
	{
		Tool: "Microsoft Safety Scanner", Version: "1.335", Build: "1.335.2.0",
		Started: time.Date(2021, 4, 12, 1, 2, 3, 0, time.UTC), Signatures: "1.335.2.0", Kinds: []string{"full"},
	},
}

var ignorePlaces = cmpopts.IgnoreTypes(Place{})

func TestRead(t *testing.T) {
	t.Parallel()
	text := fixture(t)
	crlf := strings.ReplaceAll(text, "\n", "\r\n")
	ansi := strings.ReplaceAll(text, "è", "\xe8")
	for _, tc := range []struct {
		name     string
		raw      []byte
		problems []string
	}{
		{"utf-8", []byte(text), nil},
		{"utf-8 with mark, CRLF", []byte("\ufeff" + crlf), nil},
		{"utf-16le with mark", wide(crlf, binary.LittleEndian, true), nil},
		{"utf-16be with mark", wide(text, binary.BigEndian, true), nil},
		{"utf-16le", wide(crlf, binary.LittleEndian, false), nil},
		{"windows-1252", []byte(ansi), []string{"msert.problem.ansi"}},
		{"indented and padded with zeros", []byte("  " + strings.ReplaceAll(text, "\n", "\n\t") + "\x00\x00\x00"), nil},
	} {
		l, err := Read(bytes.NewReader(tc.raw), "msert.log")
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if diff := cmp.Diff(want, l.Scans, ignorePlaces, cmpopts.IgnoreUnexported(Scan{}, Threat{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		var problems []string
		for _, p := range l.Problems {
			problems = append(problems, p.Detail.Key)
		}
		if diff := cmp.Diff(tc.problems, problems); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", tc.name, diff)
		}
		if l.Size != int64(len(tc.raw)) || len(l.SHA256) != 64 {
			t.Errorf("%s: size %d of %d, sha256 %q", tc.name, l.Size, len(tc.raw), l.SHA256)
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(fixture(t), "\n", "\r\n")
	l, err := Read(bytes.NewReader(wide(text, binary.LittleEndian, true)), "x")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Scans[0].Threats[0].Resources[0].Place
	if got := text[at.Offset:]; !strings.HasPrefix(got, "        file://C:\\inetpub") || at.Line != int64(1+strings.Count(text[:at.Offset], "\n")) {
		t.Errorf("line %d, offset %d: %.50q", at.Line, at.Offset, got)
	}
	if !strings.HasPrefix(at.Raw, "file://C:\\inetpub") {
		t.Errorf("raw %q", at.Raw)
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		words, action, result string
		want                  Outcome
	}{
		{" and Removed!", "Remove", "0x00000000", Removed},
		{", not removed.", "Remove", "0x00000000", Left},
		{" but could not remove it.", "", "", Left},
		{", partially removed.", "Remove", "0x00000000", PartlyRemoved},
		{"", "Quarantine", "0x00000000", Removed},
		{"", "Remove", "0x80508023", Unsaid},
		{"", "NoAction", "0x00000000", Left},
		{"", "Remove", "", Unsaid},
		{"", "", "", Unsaid},
	} {
		if got := outcome(tc.words, tc.action, tc.result); got != tc.want {
			t.Errorf("%q, %q, %q: %s, want %s", tc.words, tc.action, tc.result, got, tc.want)
		}
	}
}

func TestPartOfALog(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text    string
		threats int
		problem string
	}{
		"without its beginning": {"Threat Detected: A:B/C and Removed!\n  file://C:\\x.aspx\n", 1, "msert.problem.headless"},
		"the summary alone":     {"Started On Sat Mar  6 01:02:03 2021\nResults Summary:\nFound A:B/C and Removed!\n", 1, "msert.problem.headless"},
		"something else":        {"Found nothing of interest.\nfile://C:\\x.aspx\nAction: none\n", 0, "msert.problem.none"},
		"nothing":               {"", 0, "msert.problem.none"},
		"words that name none":  {"Microsoft Safety Scanner v1.0, (build 1)\nFound no infections\nFound 2 threats.\n", 0, ""},
	} {
		l := read(t, tc.text)
		threats := 0
		for _, s := range l.Scans {
			threats += len(s.Threats)
		}
		problem := ""
		if len(l.Problems) > 0 {
			problem = l.Problems[0].Detail.Key
		}
		if threats != tc.threats || problem != tc.problem {
			t.Errorf("%s: %d threats, problem %q, want %d, %q", name, threats, problem, tc.threats, tc.problem)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	l := read(t, fixture(t))
	events := l.Events("EX01/msert.log", time.FixedZone("", -5*3600))
	if len(events) != 3+5 {
		t.Fatalf("%d events, want 8", len(events))
	}
	e := events[1]
	if e.Source != Source || e.Get("ThreatName") != "Backdoor:ASP/Example.A" || e.Get("Path") != `C:\inetpub\wwwroot\aspnet_client\système.aspx` ||
		e.Get("Outcome") != "removed" || e.Get("StartedLocal") != "2021-03-06 09:30:01" || e.Place.Path != "EX01/msert.log" || e.Place.Line == 0 {
		t.Errorf("event %+v", e)
	}
	if want := time.Date(2021, 3, 6, 14, 30, 1, 0, time.UTC); !e.Time.Equal(want) {
		t.Errorf("time %v, want %v", e.Time, want)
	}
	if e := l.Events("x", nil)[0]; !e.Time.IsZero() || e.Get("ScanKind") != "quick" || e.Get("Threats") != "3" || e.Get("ReturnCode") != "7" {
		t.Errorf("scan without a zone: %+v", e)
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	for row, want := range map[string]bool{
		"Microsoft Safety Scanner v1.333, (build 1.333.160.0)":                            true,
		"  Microsoft Windows Malicious Software Removal Tool v5.87, (build 5.87.17900.2)": true,
		"Microsoft Safety Scanner Finished On Thu Feb 22 13:35:58 2024":                   false,
		"Notes on the Microsoft Safety Scanner v1.0":                                      false,
		"": false,
	} {
		text := "--------\r\n" + row + "\r\nStarted On Sat Mar  6 09:30:01 2021\r\n"
		for _, head := range [][]byte{[]byte(text), wide(text, binary.LittleEndian, true), wide(text, binary.LittleEndian, false)} {
			if got := Recognise(head); got != want {
				t.Errorf("%q: %v, want %v", row, got, want)
			}
		}
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	const scan = "Microsoft Safety Scanner v1.0, (build 1)\nThreat Detected: A:B/C and Removed!\n"
	for name, tc := range map[string]struct{ text, problem string }{
		"one endless line":   {strings.Repeat("x", 4<<20) + "\n" + scan, "msert.problem.long"},
		"many resources":     {scan + strings.Repeat("file://a\n", MaxResources+10), "msert.problem.many"},
		"many scans":         {strings.Repeat(scan[:41]+"\n", MaxScans+10), "msert.problem.many"},
		"many threats":       {scan + strings.Repeat("Threat Detected: D:E/F\n", MaxResources+10), "msert.problem.many"},
		"long name and path": {scan + "Threat Detected: " + strings.Repeat("A", 1<<16) + "\nfile://" + strings.Repeat("b", 1<<16), "msert.problem.long"},
	} {
		l := read(t, tc.text)
		var keys []string
		for _, p := range l.Problems {
			keys = append(keys, p.Detail.Key)
		}
		if !strings.Contains(strings.Join(keys, " "), tc.problem) {
			t.Errorf("%s: problems %v, want %s", name, keys, tc.problem)
		}
		if len(l.Scans) == 0 || len(l.Scans) > MaxScans {
			t.Errorf("%s: %d scans", name, len(l.Scans))
		}
	}
}

func TestReadError(t *testing.T) {
	t.Parallel()
	l, err := Read(io.MultiReader(strings.NewReader(fixture(t)), iotest.ErrReader(io.ErrClosedPipe)), "x")
	if !errors.Is(err, io.ErrClosedPipe) || len(l.Scans) != 3 || l.SHA256 != "" {
		t.Errorf("error %v, %d scans, sha256 %q", err, len(l.Scans), l.SHA256)
	}
}

// FuzzRead asks whether a log read as UTF-8 and the same text as UTF-16 say the same.
func FuzzRead(f *testing.F) {
	f.Add("Microsoft Safety Scanner v1.3, (build 1.3)\nStarted On Sat Mar  6 09:30:01 2021\nQuick Scan Results:\nThreat Detected: A:B/C, not removed.\n  Action: NoAction, Result: 0x0\n    file://C:\\a->b\n")
	f.Add("Results Summary:\nFound A:B/C and Removed!\nReturn code: 7 (0x7)\nThreat Detected: x\r\nfile://\x00\n")
	f.Fuzz(func(t *testing.T, text string) {
		// One reading of UTF-16 without a mark is a guess: the mark takes it away.
		// Text that is not valid, or itself begins with a mark, reads in two ways.
		text = strings.TrimLeft(strings.ToValidUTF8(text, "?"), "\ufeff")
		if len(text) < 16 || strings.Count(text, "\x00")*4 > len(text) || strings.Contains(text, "\ufffd") {
			return
		}
		narrow := read(t, text)
		broad, err := Read(bytes.NewReader(wide(text, binary.LittleEndian, true)), "msert.log")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(narrow.Scans, broad.Scans, cmpopts.IgnoreUnexported(Scan{}, Threat{})); diff != "" {
			t.Errorf("UTF-8 and UTF-16 differ:\n%s", diff)
		}
		for _, e := range narrow.Events("x", nil) {
			if e.Place.Line < 1 || e.Place.Offset > int64(len(text)) {
				t.Errorf("place %+v", e.Place)
			}
		}
	})
}
