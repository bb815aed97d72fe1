package source

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnreadable walks as a user who may not read everything. For root, Linux
// lets one thread see files with another user's eyes.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir := put(t, map[string][]byte{"closed/a.log": []byte("a"), "file.log": []byte("f"), "file.zip": []byte("PK"), "open/b.log": []byte("b"), "listed/c.log": []byte("c")})
	for name, mode := range map[string]os.FileMode{"closed": 0, "file.log": 0, "file.zip": 0, "listed": 0o744, ".": 0o755} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Chmod(filepath.Join(dir, "closed"), 0o755)
	e, p := open(t, dir, Options{})
	var paths []string
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if os.Getuid() == 0 {
			unix.SetfsuidRetUid(65534)
		}
		result <- e.Walk(context.Background(), func(f File) error {
			paths = append(paths, f.Path)
			if r, err := f.Open(); err == nil {
				r.Close()
			} else if !Told(err) {
				t.Errorf("%s: %v", f.Path, err)
			}
			return nil
		})
	}()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	equal(t, "paths", paths, []string{"file.log", "file.zip", "open/b.log"})
	equal(t, "problems", p.keys(), []string{"unreadable denied closed", "unreadable denied file.log", "unreadable denied file.zip", "unreadable denied listed/c.log"})
}
