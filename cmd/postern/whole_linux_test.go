package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A file that cannot be written whole is not there: nobody runs half a script, and the
// next try for a key is not told that there is one already.
func TestFullDiskLeavesNothing(t *testing.T) {
	if os.Getenv("POSTERN_FULL") != "" { // a process that may write 100 bytes into a file
		limit := unix.Rlimit{Cur: 100, Max: 100}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for name, write := range map[string]func(string, []byte) error{"script.ps1": writeWhole, "case.key": writeNew} {
			name = filepath.Join(dir, name)
			if err := write(name, make([]byte, 1000)); !errors.Is(err, unix.EFBIG) {
				t.Errorf("%s: got %v, want to be told that the file is too large", name, err)
			}
		}
		report := filepath.Join(dir, "report")
		if err := os.WriteFile(report, []byte("earlier"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := &lazyFile{path: report}
		_, err := out.Write(make([]byte, 1000))
		if err := out.finish(err); !errors.Is(err, unix.EFBIG) {
			t.Errorf("report: got %v, want to be told that the file is too large", err)
		}
		if b, err := os.ReadFile(report); err != nil || string(b) != "earlier" || os.Remove(report) != nil {
			t.Errorf("the earlier report is %q, %v", b, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v; want nothing", left, err)
		}
		return
	}
	t.Parallel()
	c := exec.Command(os.Args[0], "-test.run=^TestFullDiskLeavesNothing$", "-test.v")
	c.Env = append(os.Environ(), "POSTERN_FULL=1", "TMPDIR="+t.TempDir())
	if out, err := c.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
}
