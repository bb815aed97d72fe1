package clean

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// tree gives every file and folder below a root, with mode, time and content.
func tree(t *testing.T, root *os.Root) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		all[name] = info.Mode().String() + " " + info.ModTime().UTC().String()
		if e.Type().IsRegular() {
			all[name] += " " + read(t, root, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Names that Windows cannot say, and paths longer than most programs take, are names
// like any on a drive that is mounted elsewhere. On Windows they are left alone, since
// what is done to them would be done to another file.
func TestOddNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a folder with a name of fifty characters, or so it is/", 9) + strings.Repeat("x", 200) + ".aspx"
	names := []string{"CON/x.aspx", "a/aux.aspx", "a/nul", "a/y.aspx.", "a/y.aspx ", "b /y.aspx", "a/z.aspx:w", "lpt1.aspx", long}
	if runtime.GOOS == "windows" {
		root := lay(t, nil)
		for _, name := range names[:len(names)-1] {
			if p := plan(t, root, page(name, name)); len(p.Moves) > 0 || len(p.Left) != 1 || p.Left[0].Why.Key != "clean.left.odd" {
				t.Errorf("%q: got %+v", name, p)
			}
		}
		names = names[len(names)-1:]
	}
	files := map[string]string{"a/y.aspx": "a page of the product"}
	var named []Named
	for _, name := range names {
		files[name] = "shell " + name
		named = append(named, page(name, files[name]))
	}
	root := lay(t, files)
	before := tree(t, root)
	k := keeper(t, root)
	m, err := k.Apply(plan(t, root, named...), Facts{})
	if err != nil || m.Count(Moved) != len(names) {
		t.Fatalf("%d of %d moved, %v: %+v", m.Count(Moved), len(names), err, m.Left)
	}
	if read(t, root, "a/y.aspx") != "a page of the product" {
		t.Error("another file was touched")
	}
	if m, err = k.Load(m.Run); err == nil {
		err = k.Restore(m)
	}
	if err != nil || !maps.Equal(before, tree(t, root)) {
		t.Errorf("not as it was: %v", err)
	}
}

// The disk is full, the system does not permit it, or another program holds the file,
// at one step after the other: each file is in exactly one place, what is said is what
// is so, and with the trouble gone all of it comes back.
func TestEveryStepCanFail(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("errors of Unix")
	}
	for _, trouble := range []struct {
		err      error
		run, one string // said of the run, and of a file
	}{
		{syscall.ENOSPC, "clean.no.full", "clean.no.full"},
		{syscall.EACCES, "clean.no.permission", "clean.left.permission"},
		{syscall.EROFS, "clean.no.permission", "clean.left.permission"},
		{syscall.EBUSY, "", "clean.left.locked"},
	} {
		for _, back := range []bool{false, true} {
			for _, far := range []bool{false, true} {
				if far && trouble.err != syscall.ENOSPC {
					continue // words are the same
				}
				for fail, failed := 0, true; failed; fail++ {
					failed = failAt(t, fail, back, far, trouble.err, trouble.run, trouble.one)
				}
			}
		}
	}
}

// failAt moves two files, or brings them back, with trouble at one step, and says whether
// there was such a step. Far is a quarantine on another file system, where files can only
// be copied.
func failAt(t *testing.T, fail int, back, far bool, trouble error, run, one string) bool {
	t.Helper()
	files := map[string]string{"web/x.aspx": "one", "web/y.aspx": "two", "web/z.aspx": "of the product"}
	root := lay(t, files)
	before := tree(t, root)
	k := keeper(t, root)
	p := plan(t, root, page("web/x.aspx", "one"), page("web/y.aspx", "two"))
	var m *Manifest
	act := func() (err error) { m, err = k.Apply(p, Facts{}); return err }
	if back {
		if err := act(); err != nil {
			t.Fatal(err)
		}
		act = func() error { return k.Restore(m) }
	}
	n, at := 0, ""
	k.step = func(s string) error {
		if far && strings.HasPrefix(s, "move") {
			return syscall.EXDEV
		}
		if n++; n == fail+1 {
			at = s
			return &os.PathError{Op: "write", Path: s, Err: trouble}
		}
		return nil
	}
	err := act()
	k.step = nil
	what := fmt.Sprintf("back %v, far %v, %v at step %d, %s", back, far, trouble, fail, at)
	if n <= fail {
		if err != nil || fail < 4 {
			t.Errorf("back %v: %d steps, %v", back, fail, err)
		}
		return false
	}
	var why *Refusal
	moving := strings.HasPrefix(at, "move") || strings.HasPrefix(at, "copy")
	switch {
	case moving && !back: // the others go on
		if err != nil || m.Count(Kept) != 1 || m.Count(Moved) != 1 || m.Left[0].Why.Key != one {
			t.Errorf("%s: %v, left %+v", what, err, m.Left)
		}
	case moving:
		if !errors.As(err, &why) || why.Why.Key != one {
			t.Errorf("%s: got %v, want %s", what, err, one)
		}
	case run == "": // a lock on a file of our own has no words of its own
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	case !errors.As(err, &why) || why.Why.Key != run:
		t.Errorf("%s: got %v, want %s", what, err, run)
	}
	if fail < 2 && !back && !maps.Equal(before, tree(t, root)) {
		t.Errorf("%s: something is changed", what)
	}
	runs, err := Runs(k.Folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range runs {
		saved, err := k.Load(name)
		if err == nil {
			err = k.Settle(saved)
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, i := range saved.Items {
			_, err := os.Lstat(filepath.Join(k.Folder.Name(), name, i.Stored))
			if there := err == nil; there != (i.State == Moved) {
				t.Errorf("%s: %s is %s, in the quarantine %v", what, i.Path, i.State, there)
			}
		}
		if err := k.Restore(saved); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !maps.Equal(before, tree(t, root)) {
		t.Errorf("%s: not as it was", what)
	}
	return true
}
