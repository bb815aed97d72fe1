package module

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"postern/internal/hunt/detect/yara/module/programtest"
)

// kindOf tells which modules are for a file.
func kindOf(data []byte) []string {
	switch {
	case strings.HasPrefix(string(data), "MZ"):
		return []string{"pe", "dotnet"}
	case strings.HasPrefix(string(data), "\x7fELF"):
		return []string{"elf"}
	}
	return nil
}

// corpus sorts files by the modules that are for them.
type corpus map[string][]string

func (c corpus) add(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		return // not on this machine
	}
	for _, m := range kindOf(data) {
		c[m] = append(c[m], path)
	}
}

func (c corpus) write(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c.add(t, path)
}

func (c corpus) compare(t *testing.T, e engine) {
	t.Helper()
	for name, files := range c {
		m, ok := Lookup(name)
		if !ok {
			t.Fatalf("no module %s", name)
		}
		compare(t, e, m, files)
	}
}

// Programs made here, whole and damaged.
func TestYaraSaysTheSameOfMadePrograms(t *testing.T) {
	t.Parallel()
	e := oracle(t)
	c := make(corpus)
	made := programs(t)
	for _, is64 := range []bool{false, true} {
		signed, err := programtest.Signed(programtest.Windows(is64), is64)
		if err != nil {
			t.Fatal(err)
		}
		made["pe-signed-"+strconv.FormatBool(is64)] = signed
	}
	for name, data := range made {
		c.write(t, name, data)
		// Versions differ most in what they make of damage, and OpenSSL is stricter with
		// damaged signatures than this package, which shows what can be read.
		if e.old || strings.Contains(name, "signed") {
			continue
		}
		for seed := range uint64(20) {
			c.write(t, name+"-"+strconv.FormatUint(seed, 10), damaged(data, seed))
		}
	}
	c.compare(t, e)
}

// Programs that real tools made: what Go keeps for its own tests, what this module
// depends on, and the system's.
func TestYaraSaysTheSameOfRealPrograms(t *testing.T) {
	t.Parallel()
	e := oracle(t)
	c := make(corpus)
	var dirs []string
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		for _, dir := range []string{"pe", "elf"} {
			dirs = append(dirs, filepath.Join(strings.TrimSpace(string(out)), "src", "debug", dir, "testdata"))
		}
	}
	if out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output(); err == nil {
		dirs = append(dirs, filepath.Join(strings.TrimSpace(string(out)), "windows", "testdata"))
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Logf("without the files of %s: %v", dir, err)
		}
		for _, f := range entries {
			c.add(t, filepath.Join(dir, f.Name()))
		}
	}
	for _, path := range []string{"/bin/ls", "/lib/x86_64-linux-gnu/libm.so.6"} {
		c.add(t, path)
	}
	if len(c) == 0 {
		t.Skip("no program on this machine to look at")
	}
	c.compare(t, e)
}

// TestCorpus compares a folder of programs, for whoever has one:
// POSTERN_YARA_CORPUS=DIR, and POSTERN_YARA_MUTANTS for that many damaged copies of
// each.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("POSTERN_YARA_CORPUS")
	if dir == "" {
		t.Skip("POSTERN_YARA_CORPUS names no folder of programs")
	}
	e := oracle(t)
	mutants, _ := strconv.Atoi(os.Getenv("POSTERN_YARA_MUTANTS"))
	c := make(corpus)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		c.add(t, path)
		data, err := os.ReadFile(path)
		if err != nil || kindOf(data) == nil || len(data) > 2<<20 {
			return err
		}
		for i := range mutants {
			c.write(t, filepath.Base(path)+"-"+strconv.Itoa(i), damaged(data, uint64(i)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.compare(t, e)
}

// damaged makes a copy with a few bytes changed, most of them in the front, where the
// headers are, or cut.
func damaged(data []byte, seed uint64) []byte {
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
		b = b[:len(b)-r.IntN(len(b)-3)]
	}
	copy(b, data[:4])
	return b
}
