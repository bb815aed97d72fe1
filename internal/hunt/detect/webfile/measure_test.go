package webfile

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/hunt/detect"
)

// TestMeasure says how many pages of two collections are found. Neither is part
// of this repository: one is of web shells, which may not be, the other of public
// web sites, whose licences differ. Say where they are:
//
//	POSTERN_SHELLS=DIR POSTERN_BENIGN=DIR go test -run TestMeasure -v ./internal/hunt/detect/webfile
//
// Files are told apart by content, so that one that lies in several places counts
// once. They are looked at as if they lay in an ordinary site, and again as if
// they lay in a folder where only the product's pages belong. POSTERN_SHOW names
// the outcomes to list, such as "high medium".
func TestMeasure(t *testing.T) {
	shells, benign := os.Getenv("POSTERN_SHELLS"), os.Getenv("POSTERN_BENIGN")
	if shells == "" && benign == "" {
		t.Skip("POSTERN_SHELLS and POSTERN_BENIGN name no collections")
	}
	for _, c := range []struct{ name, dir string }{{"web shells", shells}, {"benign", benign}} {
		if c.dir == "" {
			continue
		}
		for _, place := range []string{"inetpub/wwwroot/site/", "frontend/httpproxy/owa/auth/"} {
			measure(t, c.name, c.dir, place)
		}
	}
}

func measure(t *testing.T, what, dir, place string) {
	d := New(knowledge())
	show := strings.Fields(os.Getenv("POSTERN_SHOW"))
	seen := map[[32]byte]bool{}
	counts := map[string]map[string]int{} // extension → outcome → files
	start, size, files := time.Now(), 0, 0
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !e.Type().IsRegular() {
			return err
		}
		ext := strings.ToLower(filepath.Ext(name))
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if h := sha256.Sum256(b); seen[h] {
			return nil
		} else {
			seen[h] = true
		}
		f := &detect.File{Path: filepath.ToSlash(name), Server: place + strings.ToLower(filepath.Base(name)), Size: int64(len(b)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
		if r := d.roleOf(f, f.Server, d.places.where(f.Server)); r != roleScript && r != roleStatic {
			return nil
		}
		files++
		size += len(b)
		findings, _, err := d.Look(f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		o := outcome(findings)
		if counts[ext] == nil {
			counts[ext] = map[string]int{}
		}
		counts[ext][o]++
		if slices.Contains(show, o) {
			t.Logf("%s: %s: %s", place, o, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s as %s*: %d files, %.1f MB, %v", what, place, files, float64(size)/1e6, time.Since(start).Round(time.Millisecond))
	for _, ext := range slices.Sorted(maps.Keys(counts)) {
		line := fmt.Sprintf("  %-8s", ext)
		for _, o := range []string{"high", "medium", "low", "level 1", "context", "nothing"} {
			line += fmt.Sprintf(" %s %d", o, counts[ext][o])
		}
		t.Log(line)
	}
}

// outcome is what the worst finding says.
func outcome(findings []postern.Finding) string {
	if len(findings) == 0 {
		return "nothing"
	}
	worst := slices.MinFunc(findings, func(a, b postern.Finding) int { return postern.Severity(&a, &b) })
	switch {
	case worst.Level >= postern.Implanted:
		return worst.Confidence.String()
	case worst.Level == postern.Probed:
		return "level 1"
	}
	return "context"
}

// knowledge is as much of the product as the tests need.
func knowledge() Knowledge {
	return Knowledge{
		Stock: []postern.StockFile{
			{Place: "owa/auth", Name: "errorfe.aspx", SHA256: stockHash("errorFE")},
			{Place: "owa/auth", Name: "logon.aspx", SHA256: stockHash("logon")},
			{Place: "owa/auth", Name: "logoff.aspx", SHA256: stockHash("logoff")},
			{Place: "owa/auth", Name: "outlookcn.aspx", SHA256: stockHash("OutlookCN")},
			{Place: "owa/auth", Name: "redirsuiteserviceproxy.aspx", SHA256: stockHash("RedirSuiteServiceProxy")},
			{Place: "owa/auth", Name: "svmfeedback.aspx"},
			{Place: "ecp/auth", Name: "timeoutlogout.aspx", SHA256: stockHash("TimeoutLogout")},
			{Place: "ecp", Name: "global.asax", SHA256: stockHash("global")},
			{Place: "clientaccess/owa", Name: "default.aspx", SHA256: stockHash("default")},
		},
		Indicators: []postern.Indicator{
			{Kind: postern.IndicatorFileName, Value: "OutlookEN.aspx", Place: "aspnet_client", Source: "TEST", Campaign: "proxylogon"},
			{Kind: postern.IndicatorFileName, Value: "Err0r.aspx", Place: "owa/auth", Source: "TEST"},
			{Kind: postern.IndicatorFileName, Value: "google.log", Place: "owa/auth", Source: "TEST"},
			{Kind: postern.IndicatorFileName, Value: "TimeoutLogout.aspx", Place: "owa/auth", Source: "TEST"},
			{Kind: postern.IndicatorPath, Value: `C:\Windows\Temp\cw.exe`, Source: "TEST", Campaign: "proxylogon"},
			{Kind: postern.IndicatorPath, Value: `C:\ProgramData\pst\`, Source: "TEST"},
			{Kind: postern.IndicatorPath, Value: `C:\Windows\Temp\lsass`, Source: "TEST"},
		},
		Places: []Place{
			{Folder: "frontend/httpproxy", URL: "/"},
			{Name: "owa/auth", Folder: "frontend/httpproxy/owa/auth", URL: "/owa/auth", Drop: true, Complete: true},
			{Name: "ecp/auth", Folder: "frontend/httpproxy/ecp/auth", URL: "/ecp/auth", Drop: true, Complete: true},
			{Name: "oab", Folder: "frontend/httpproxy/oab", URL: "/oab", Drop: true, Complete: true},
			{Name: "clientaccess", Folder: "clientaccess"},
			{Name: "wwwroot", Folder: "inetpub/wwwroot", URL: "/", Drop: true},
			{Name: "aspnet_client", Folder: "inetpub/wwwroot/aspnet_client", URL: "/aspnet_client", Drop: true, Complete: true},
		},
		Compiled: []string{"windows/microsoft.net/framework64/v4.0.30319/temporary asp.net files"},
		Staging:  []string{"programdata", "windows/temp", "perflogs", "users/public", "root"},
	}
}
