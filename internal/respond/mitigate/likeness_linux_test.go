package mitigate

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A file that is replaced keeps its mode, its owner and its extended attributes, into
// the mitigation and back.
func TestLikeness(t *testing.T) {
	t.Parallel()
	l := lay(t, map[string][]byte{serverFile: []byte(plainServer()), webFile: []byte(plainWeb)})
	at := filepath.Join(l.dir, webFile)
	owner := os.Getuid()
	if owner == 0 {
		owner = 12345
	}
	if err := errors.Join(os.Chmod(at, 0o604), os.Chown(at, owner, -1)); err != nil {
		t.Fatal(err)
	}
	const name, value = "user.postern", "kept"
	attributes := unix.Setxattr(at, name, []byte(value), 0) == nil // not every file system has them
	check := func(when string) {
		t.Helper()
		info, err := os.Stat(at)
		if err != nil {
			t.Fatal(err)
		}
		s := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm() != 0o604 || int(s.Uid) != owner {
			t.Errorf("%s: mode %v, owner %d", when, info.Mode(), s.Uid)
		}
		b := make([]byte, 100)
		if n, err := unix.Getxattr(at, name, b); attributes && (err != nil || string(b[:n]) != value) {
			t.Errorf("%s: extended attribute %q, %v", when, b[:max(n, 0)], err)
		}
	}
	before, _ := os.Stat(at)
	if _, err := l.Apply(l.plan(t).Changes); err != nil {
		t.Fatal(err)
	}
	check("applied")
	if after, err := os.Stat(at); err != nil || os.SameFile(before, after) {
		t.Errorf("written in place: %v", err)
	}
	if _, err := l.Rollback(); err != nil {
		t.Fatal(err)
	}
	check("rolled back")
}
