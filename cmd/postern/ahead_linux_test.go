package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What lies in memory is not asked for again, and after some of it nothing is.
func TestReadAheadOfCachedEvidence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "u_ex210303.log")
	if err := os.WriteFile(name, make([]byte, 2*aheadCached), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, 1)}, 0, unix.RWF_NOWAIT); errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("this file system does not tell what is in memory")
	}
	a := ahead{ctx: t.Context(), done: func() int64 { return 0 }}
	if err := a.fetch(int(f.Fd()), 2*aheadCached); !errors.Is(err, errEnough) {
		t.Errorf("a file that was just written: got %v, want to be told that it is enough", err)
	}
	if a.asked > aheadCached {
		t.Errorf("looked at %d bytes, want at most %d", a.asked, aheadCached)
	}
}

// Reading ahead waits for the hunt, and ends with it.
func TestReadAheadWaits(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a := ahead{ctx: ctx, done: func() int64 { return 100 }, asked: 100 + aheadBytes}
	if err := a.wait(); err != nil {
		t.Errorf("within the bound: %v, want no waiting", err)
	}
	cancel()
	a.asked++
	if err := a.wait(); !errors.Is(err, errEnough) {
		t.Errorf("beyond the bound when the hunt has ended: got %v, want to be told that it is enough", err)
	}
}
