package module

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestCorpus compares everything that the modules say about the files of a folder
// with what yara says: POSTERN_YARA_CORPUS=DIR, POSTERN_YARA for a yara that is not
// the installed one, and POSTERN_YARA_MUTANTS for that many damaged copies of each.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("POSTERN_YARA_CORPUS")
	if dir == "" {
		t.Skip("POSTERN_YARA_CORPUS names no folder of programs")
	}
	bin := os.Getenv("POSTERN_YARA")
	if bin == "" {
		bin = yara(t)
	}
	mutants, _ := strconv.Atoi(os.Getenv("POSTERN_YARA_MUTANTS"))
	files := make(map[string][]string) // by module
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		paths := []string{path}
		for i := range mutants {
			if len(data) < 2<<20 {
				paths = append(paths, damaged(t, data, uint64(i)))
			}
		}
		switch {
		case strings.HasPrefix(string(data), "MZ"):
			files["pe"] = append(files["pe"], paths...)
			files["dotnet"] = append(files["dotnet"], paths...)
		case strings.HasPrefix(string(data), "\x7fELF"):
			files["elf"] = append(files["elf"], paths...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range files {
		if m, ok := Lookup(name); ok {
			compare(t, bin, m, list)
		}
	}
}

// damaged writes a copy with a few bytes changed, most of them in the front, where
// the headers are, or cut.
func damaged(t *testing.T, data []byte, seed uint64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, uint64(len(data))))
	b := append([]byte(nil), data...)
	for range 1 + r.IntN(6) {
		at := r.IntN(len(b))
		if r.IntN(3) > 0 {
			at = r.IntN(min(len(b), 1024))
		}
		b[at] = []byte{0, 1, 0xff, 0x7f, 0x80, byte(r.IntN(256))}[r.IntN(6)]
	}
	if r.IntN(4) == 0 {
		b = b[:r.IntN(len(b))]
	}
	copy(b, data[:2])
	path := filepath.Join(t.TempDir(), strconv.FormatUint(seed, 10))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unverified is what is not declared here.
var unverified = regexp.MustCompile(`^is_signed$|\.verified$|countersignatures|chain`)

// compare asks yara and this package about the same files.
func compare(t *testing.T, bin string, m *Module, files []string) {
	t.Helper()
	wrong := 0
	for i, want := range oracle(t, bin, m.Name(), files) {
		data, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		got := ours(m, data)
		odd := false // keys that the dump of yara does not show on one line
		for path := range got {
			key, isKey := strings.CutPrefix(path, "version_info.")
			odd = odd || isKey && (key == "" || strings.ContainsAny(key, "\n\t") || strings.TrimSpace(key) != key)
		}
		skip := func(path string) bool {
			return unverified.MatchString(path) || odd && strings.HasPrefix(path, "version_info.")
		}
		if d := differences(got, want, skip); len(d) > 0 {
			wrong++
			keep, _ := os.MkdirTemp("", "differs")
			keep = filepath.Join(keep, filepath.Base(files[i]))
			_ = os.WriteFile(keep, data, 0o600)
			t.Errorf("%s of %s: %d differences\n%s", m.Name(), keep, len(d), strings.Join(d[:min(len(d), 8)], "\n"))
		}
	}
	t.Logf("%s: %d files, %d with differences", m.Name(), len(files), wrong)
}
