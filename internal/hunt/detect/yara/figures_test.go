package yara

import (
	"cmp"
	"os"
	"slices"
	"testing"
	"time"
)

// TestFigureLoading loads the folder of rules in POSTERN_YARA_RULES and says what of
// it is not loaded.
func TestFigureLoading(t *testing.T) {
	dir := os.Getenv("POSTERN_YARA_RULES")
	if dir == "" {
		t.Skip("POSTERN_YARA_RULES names no folder of rules")
	}
	src, closer, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	start := time.Now()
	rules, report := Load([]Source{src})
	t.Logf("%d files, %d rules, %d loaded (%.2f %%), %d strings, in %v", report.Files, report.Rules, report.Loaded,
		100*float64(report.Loaded)/float64(max(report.Rules, 1)), rules.strings.Len(), time.Since(start).Round(time.Millisecond))
	slices.SortStableFunc(report.Unsupported, func(a, b Unsupported) int { return cmp.Compare(a.Why.Key, b.Why.Key) })
	for _, u := range report.Unsupported {
		t.Logf("%s:%d %s: %s %v", u.File, u.Line, u.Rule, u.Why.Key, u.Why.Args)
	}
}
