//go:build unix

package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

func TestSpecialFiles(t *testing.T) {
	t.Parallel()
	dir := put(t, map[string][]byte{"srv/a.log": []byte("a"), "srv/deep/b.log": []byte("b"), "outside.txt": []byte("secret")})
	root := filepath.Join(dir, "srv")
	for name, target := range map[string]string{
		"to-file": "a.log", "to-self": "to-self", "to-parent": ".", "deep/up": "../deep", "out": "../outside.txt",
		"absolute": "/etc/passwd", "nowhere": "none", "chain": "to-file",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "fifo.zip"), 0o644); err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("", "s") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	l, err := net.Listen("unix", filepath.Join(short, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Rename(filepath.Join(short, "sock"), filepath.Join(root, "sock")); err != nil {
		t.Skip("socket: ", err)
	}

	e, p := open(t, root, Options{})
	paths, content := walk(t, e)
	equal(t, "paths", paths, []string{"a.log", "deep/b.log"})
	equal(t, "problems", p.keys(), []string{
		"unsupported link-dangling nowhere",
		"unsupported link-inside chain", "unsupported link-inside deep/up", "unsupported link-inside to-file", "unsupported link-inside to-parent",
		"unsupported link-outside absolute", "unsupported link-outside out", "unsupported link-outside to-self",
		"unsupported pipe fifo.zip", "unsupported socket sock",
	})
	for path, text := range content {
		if strings.Contains(text, "secret") {
			t.Errorf("%s leads out of the evidence", path)
		}
	}
	if err := fstest.TestFS(e.FS(), paths...); err != nil {
		t.Error(err)
	}

	// A pipe that takes the place of a file must not block, a link must not lead out.
	var files []File
	e.Walk(context.Background(), func(f File) error { files = append(files, f); return nil })
	os.Remove(filepath.Join(root, "a.log"))
	unix.Mkfifo(filepath.Join(root, "a.log"), 0o644)
	os.Remove(filepath.Join(root, "deep/b.log"))
	os.Symlink("../../outside.txt", filepath.Join(root, "deep/b.log"))
	done := make(chan bool)
	go func() {
		for _, f := range files {
			if r, err := f.Open(); err == nil {
				t.Errorf("%s opens though it is no file any more", f.Path)
				r.Close()
			} else if !Told(err) {
				t.Errorf("%s: %v", f.Path, err)
			}
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("opening a pipe blocks")
	}
}

func TestDeepFolders(t *testing.T) {
	t.Parallel()
	dir := put(t, map[string][]byte{"a/b/c/d/e/f.log": nil, "a/b/g.log": nil})
	e, p := open(t, dir, Options{Limits: Limits{PathDepth: 4}})
	paths, _ := walk(t, e)
	equal(t, "paths", paths, []string{"a/b/g.log"})
	equal(t, "problems", p.keys(), []string{"limit too-deep a/b/c/d"})
}

// TestOwnTempFolder hunts a folder in which the temporary folder lies.
func TestOwnTempFolder(t *testing.T) {
	t.Parallel()
	dir := put(t, map[string][]byte{"a.tgz": gzipOf(t, tarOf(t, entry{"noise", strings.Repeat("x", 3<<20)})), "z": nil})
	e, p := open(t, dir, Options{TempDir: dir})
	paths, _ := walk(t, e)
	paths2, _ := walk(t, e) // now the folder is there from the beginning
	equal(t, "paths", paths, []string{"a.tgz", "a.tgz!/noise", "z"})
	equal(t, "paths of the second walk", paths2, paths)
	equal(t, "problems", p.keys(), nil)
}

// same compares two values.
func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestOpenAfterClose opens files and reads while what they lie in is closed: a number
// that the system gives to another file must not be used any more.
func TestOpenAfterClose(t *testing.T) {
	t.Parallel()
	dir := put(t, map[string][]byte{"sub/a.log": []byte("first"), "other": []byte("wrong")})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	sub, err := openFolder(root, "sub")
	if err != nil {
		t.Fatal(err)
	}
	f, info, err := sub.openFile("a.log")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "size", info.size, 5)
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	for what, ask := range map[string]func() error{
		"openFile": func() error { _, _, err := sub.openFile("a.log"); return err },
		"folder":   func() error { _, err := sub.folder("."); return err },
		"stat":     func() error { _, err := sub.stat("a.log"); return err },
		"Close":    sub.Close,
	} {
		if err := ask(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s of a closed folder: %v, want %v", what, err, os.ErrClosed)
		}
	}

	b := make([]byte, 8)
	n, err := f.ReadAt(b, 1)
	same(t, "ReadAt", string(b[:n]), "irst")
	same(t, "ReadAt at the end", err, io.EOF)
	n, err = f.Read(b)
	same(t, "Read", string(b[:n]), "first")
	same(t, "Read before the end", err, error(nil))
	_, err = f.Read(b)
	same(t, "Read at the end", err, io.EOF)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := os.Open(filepath.Join(dir, "other")) // gets the number of the closed file, as a rule
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for what, ask := range map[string]func() error{
		"Read":   func() error { _, err := f.Read(b); return err },
		"ReadAt": func() error { _, err := f.ReadAt(b, 0); return err },
		"Close":  f.Close,
	} {
		if err := ask(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s of a closed file: %v, want %v", what, err, os.ErrClosed)
		}
	}
}

// TestLinkInPlaceOfFolder exchanges an entry for a link once it was listed: the link is
// not followed, wherever it leads.
func TestLinkInPlaceOfFolder(t *testing.T) {
	t.Parallel()
	dir := put(t, map[string][]byte{"in/a.log": []byte("a"), "out/b.log": []byte("secret")})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := errors.Join(os.Symlink("../out", filepath.Join(dir, "in/folder")), os.Symlink("../out/b.log", filepath.Join(dir, "in/file"))); err != nil {
		t.Fatal(err)
	}
	in, err := openFolder(root, "in")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if sub, err := in.folder("folder"); err == nil {
		sub.Close()
		t.Error("a link is opened as a folder")
	}
	if f, _, err := in.openFile("file"); err == nil {
		f.Close()
		t.Error("a link is opened as a file")
	}
	info, err := in.stat("file")
	same(t, "stat", err, error(nil))
	same(t, "kind of a link", info.mode, fs.ModeSymlink)
}
