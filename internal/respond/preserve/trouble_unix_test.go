//go:build unix

package preserve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"postern/internal/bundle"
)

// What cannot be taken is a line of a list, and the rest goes on.
func TestTroubles(t *testing.T) {
	t.Parallel()
	root := lay(t, map[string]string{"logs/a.log": "a", "logs/gone.log": "b", "logs/changed.log": "c", "logs/z.log": "z", "logs/swapped.log": "s"})
	for name, target := range map[string]string{"in.log": "a.log", "out.log": "/etc/passwd", "nowhere.log": "x", "up.log": "../../../etc/passwd"} {
		if err := os.Symlink(target, filepath.Join(root, "logs", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "logs/pipe.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := "logs/\xff.log"
	if err := os.WriteFile(filepath.Join(root, raw), []byte("raw"), 0o600); err != nil {
		t.Skip("names are UTF-8 here")
	}
	opt, id := options(t, root)
	opt.Planned = func(Plan, int64) error { // the intruder tidies up, once the plan is made
		swapped := filepath.Join(root, "logs/swapped.log")
		return errors.Join(os.Remove(filepath.Join(root, "logs/gone.log")), os.Remove(swapped), os.Symlink("/etc/passwd", swapped),
			os.WriteFile(filepath.Join(root, "logs/changed.log"), []byte("longer than planned"), 0o600))
	}
	r, err := Run(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	files, members, _ := prove(t, opt.Out, id)
	got := make(map[string]bundle.Trouble)
	for _, m := range members {
		if m.Problem != "" {
			got[m.Path] = m.Problem
		}
	}
	for name, want := range map[string]bundle.Trouble{"logs/in.log": bundle.Link, "logs/out.log": bundle.LinkOut, "logs/up.log": bundle.LinkOut,
		"logs/nowhere.log": bundle.Link, "logs/pipe.log": bundle.Special, "logs/gone.log": bundle.Vanished, "logs/swapped.log": bundle.Link} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if len(files) != 4 || files["logs/changed.log"] != "longer than planned" || files["logs/\uFFFDFF.log"] != "raw" {
		t.Errorf("files: %q", files)
	}
	if !r.Partial() {
		t.Error("the result is not partial")
	}
	i := slices.IndexFunc(members, func(m bundle.Member) bool { return string(m.Raw) == raw })
	if i < 0 || members[i].Path != "logs/\uFFFDFF.log" {
		t.Errorf("the name that is not UTF-8 is not kept: %+v", members)
	}
}
