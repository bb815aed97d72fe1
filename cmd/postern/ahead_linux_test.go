package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Only large files are asked for, and of them no more than is wanted. One that lies in
// memory, as a file does that was just written, ends it.
func TestFetch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, size := range map[string]int64{"small.log": aheadFile - 1, "large.log": 3 * aheadFile} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("large.log", filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	want := map[string][2]int64{"small.log": {0, 0}, "large.log": {3 * aheadFile, 1000}, "link.log": {0, 0}}
	f, err := os.Open(filepath.Join(dir, "large.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if inMemory(int(f.Fd())) { // not every file system tells
		want["large.log"] = [2]int64{aheadBytes, 1000}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		for i, most := range []int64{aheadBytes, 1000} {
			if got := fetch(filepath.Join(dir, e.Name()), e, most); got != want[e.Name()][i] {
				t.Errorf("%s, at most %d bytes: asked for %d, want %d", e.Name(), most, got, want[e.Name()][i])
			}
		}
	}
}
