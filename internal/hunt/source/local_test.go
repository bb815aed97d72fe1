package source

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

func TestLogFolders(t *testing.T) {
	t.Parallel()
	const config = `<?xml version="1.0" encoding="UTF-8"?>
<configuration><system.applicationHost><log><centralW3CLogFile enabled="true" directory="%SystemDrive%\inetpub\logs\LogFiles" /></log>
<sites><site name="Default Web Site" id="1"><logFile directory="D:\Logs\IIS" /><traceFailedRequestsLogging directory="E:\trace" /></site>
<site name="Exchange Back End" id="2"><logFile directory="d:\logs\iis\" /></site>
<siteDefaults><logFile logFormat="W3C" directory="%SystemDrive%\inetpub\logs\LogFiles" /></siteDefaults></sites></system.applicationHost></configuration>`
	values := map[string]string{"SystemDrive": "C:"}
	got := logFolders(strings.NewReader(config), func(s string) string {
		return expandPercent(s, func(name string) string { return values[name] })
	})
	equal(t, "folders", got, []string{`C:\inetpub\logs\LogFiles`, `D:\Logs\IIS`})
	equal(t, "of a broken file", logFolders(strings.NewReader(config[:330]), strings.ToLower), []string{`%systemdrive%\inetpub\logs\logfiles`, `d:\logs\iis`})
}

func TestExpandPercent(t *testing.T) {
	t.Parallel()
	value := func(name string) string { return map[string]string{"A": "1"}[name] }
	for in, want := range map[string]string{"": "", "x": "x", "%A%": "1", "%A%%A%b": "11b", "100%": "100%", "%B%": "%B%", "50% %A%": "50% %A%"} {
		if got := expandPercent(in, value); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestLocalElsewhere(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("this is Windows")
	}
	if _, err := Local(); !errors.Is(err, ErrNotWindows) {
		t.Errorf("got %v, want ErrNotWindows", err)
	}
}
