package module

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/hunt/detect/yara/module/programtest"
)

var update = flag.Bool("update", false, "write what the modules say about the programs to testdata")

// programs are files made here, by name; the module that is for them is the first
// part of the name.
func programs(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{
		"pe-32":     programtest.Windows(false),
		"pe-64":     programtest.Windows(true),
		"dotnet":    programtest.DotNet(),
		"elf-32":    programtest.ELF(false, false, true),
		"elf-64":    programtest.ELF(true, false, false),
		"elf-32-be": programtest.ELF(false, true, false),
		"elf-64-be": programtest.ELF(true, true, true),
	}
	return all
}

func moduleOf(t testing.TB, program string) *Module {
	t.Helper()
	name, _, _ := strings.Cut(program, "-")
	m, ok := Lookup(name)
	if !ok {
		t.Fatalf("no module %s", name)
	}
	return m
}

// What the modules say, as a list that a reader can check against the builders; that
// yara says the same is another test.
func TestPrograms(t *testing.T) {
	t.Parallel()
	for name, data := range programs(t) {
		m := moduleOf(t, name)
		var got bytes.Buffer
		values := ours(m, data)
		for _, path := range slices.Sorted(maps.Keys(values)) {
			if d, ok := m.Decl().Field(path); !ok || !d.Const.Defined() {
				fmt.Fprintf(&got, "%s = %s\n", path, values[path])
			}
		}
		golden(t, name, got.Bytes())
	}
}

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not as %s has it; if that is right, run with -update", name, file)
	}
}
