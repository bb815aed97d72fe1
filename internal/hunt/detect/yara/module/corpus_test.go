package module

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCorpus compares everything that the modules say about the files of a folder
// with what yara says. The folder is for whoever has one: POSTERN_YARA_CORPUS=DIR,
// and POSTERN_YARA for a yara that is not the installed one.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("POSTERN_YARA_CORPUS")
	if dir == "" {
		t.Skip("POSTERN_YARA_CORPUS names no folder of programs")
	}
	bin := os.Getenv("POSTERN_YARA")
	if bin == "" {
		bin = yara(t)
	}
	unverified := regexp.MustCompile(`^is_signed$|\.verified$|countersignatures|chain`)
	skip := func(path string) bool { return unverified.MatchString(path) }
	files, wrong := 0, 0
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := ""
		switch {
		case strings.HasPrefix(string(data), "MZ"):
			name = "pe"
		case strings.HasPrefix(string(data), "\x7fELF"):
			name = "elf"
		}
		for _, name := range []string{name, "dotnet"} {
			m, ok := Lookup(name)
			if !ok || name == "dotnet" && !strings.HasPrefix(string(data), "MZ") {
				continue
			}
			files++
			if d := differences(ours(m, data), oracle(t, bin, name, path), skip); len(d) > 0 {
				wrong++
				t.Errorf("%s of %s: %d differences\n%s", name, path, len(d), strings.Join(d[:min(len(d), 8)], "\n"))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d with differences", files, wrong)
}
