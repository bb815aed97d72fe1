package mitigate

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern"
	"postern/internal/hunt/parse/iisconfig"
)

// TestCorpus takes every *.config below the folder in POSTERN_CONFIGS, as it is and
// saved in other ways, for the web.config of a site, or for the configuration of the server
// if its name says so, and asks on a real disk: is everything in force after Apply, is
// twice the same as once, are all bytes back after Rollback? What is refused must be
// as it was, and is counted with the reason.
//
//	POSTERN_CONFIGS=DIR go test -v -run Corpus ./internal/respond/mitigate
//
// The figures of the project are of the test data of github.com/microsoft/CSS-Exchange.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("POSTERN_CONFIGS")
	if dir == "" {
		t.Skip("POSTERN_CONFIGS does not name a folder")
	}
	saved := []format{
		{"as it is", func(s string) []byte { return []byte(s) }},
		{"with CR LF", func(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }},
		{"as UTF-16", func(s string) []byte { return utf16Bytes("\uFEFF"+strings.TrimPrefix(s, "\uFEFF"), false) }},
	}
	_, rules := truth()
	counts := make(map[string]int)
	files := 0
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.EqualFold(filepath.Ext(name), ".config") {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files++
		for _, s := range saved {
			raw := s.write(string(b))
			if !strings.Contains(strings.ToLower(filepath.Base(name)), "applicationhost") {
				counts["web.config, "+roundTrip(t, name+" "+s.name, map[string][]byte{serverFile: []byte(plainServer()), webFile: raw}, webFile, rules)]++
				continue
			}
			counts["applicationHost.config beside a web.config, "+roundTrip(t, name+" "+s.name, map[string][]byte{serverFile: raw, webFile: []byte(plainWeb)}, webFile, rules)]++
			counts["applicationHost.config alone, "+roundTrip(t, name+" "+s.name+" alone", map[string][]byte{serverFile: raw}, serverFile, rules)]++
			counts["applicationHost.config, "+roundTrip(t, name+" "+s.name+" module", map[string][]byte{serverFile: raw}, serverFile, tokenCache)]++
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files: %v", files, err)
	}
	t.Logf("%d files, each in %d forms", files, len(saved))
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%5d  %s", counts[key], key)
	}
}

// roundTrip plans, applies twice and rolls back, and gives what became of it in words.
func roundTrip(t *testing.T, name string, files map[string][]byte, target string, mitigations []Mitigation) string {
	t.Helper()
	l := lay(t, files)
	before := l.tree(t)
	p := l.planOf(t, mitigations)
	var all []string
	for id, o := range rulesOf(p) {
		all = append(all, id+": "+o)
	}
	slices.Sort(all)
	outcome := strings.Join(all, "; ")
	if _, err := l.Apply(p.Changes); err != nil {
		t.Errorf("%s: %v", name, err)
		return "failed"
	}
	once := l.tree(t)
	if len(p.Changes) == 0 && !maps.Equal(before, once) {
		t.Errorf("%s: nothing was planned, and something is changed", name)
	}
	for _, c := range p.Changes {
		if c.File != target {
			t.Errorf("%s: %s is changed, want %s", name, c.File, target)
		}
		// Neither reader shares code with the editor.
		if f, err := iisconfig.Read(bytes.NewReader(c.After), c.File); err != nil || !f.WellFormed || !f.Whole {
			t.Errorf("%s: the hunt does not read the result: %v", name, err)
		}
		if !onlyAdded(c.Before, c.After) && !onlyAdded(c.After, c.Before) {
			t.Errorf("%s: %s has other changes than the rules or the module", name, c.File)
		}
	}
	found, _, err := Find(t.Context(), l.Files)
	if err != nil {
		t.Fatal(err)
	}
	j, err := judge(found)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range p.Items {
		if i.edits() && i.Outcome != NotDone && j.Answers[i.Key()].State != postern.Yes {
			t.Errorf("%s: %s is %s after Apply, because %s", name, i.ID, j.Answers[i.Key()].State, j.Answers[i.Key()].Why.Key)
		}
	}
	again := l.planOf(t, mitigations)
	if _, err := l.Apply(again.Changes); err != nil || len(again.Changes) > 0 || !maps.Equal(once, l.tree(t)) {
		t.Errorf("%s: applying twice changes %d files: %v", name, len(again.Changes), err)
	}
	if _, err := l.Rollback(); err != nil {
		t.Errorf("%s: rollback: %v", name, err)
	}
	if !maps.Equal(before, l.tree(t)) {
		t.Errorf("%s: rollback does not restore", name)
	}
	for f, b := range files {
		now, err := l.Files.ReadFile(f)
		if err != nil || !bytes.Equal(now, b) {
			t.Errorf("%s: %s is not what it was: %v", name, f, err)
		}
	}
	return outcome
}
