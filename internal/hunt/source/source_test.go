package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"

	"postern"
)

// told collects problems.
type told struct {
	mu   sync.Mutex
	list []postern.Problem
}

func (p *told) add(x postern.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, x)
}

// keys gives each problem as "what key path".
func (p *told) keys() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, x := range p.list {
		out = append(out, fmt.Sprintf("%s %s %s", x.What, strings.TrimPrefix(x.Detail.Key, "source."), x.Path))
	}
	slices.Sort(out)
	return out
}

func open(t testing.TB, path string, opt Options) (*Evidence, *told) {
	t.Helper()
	p := &told{}
	opt.Problem = p.add
	if opt.TempDir == "" {
		opt.TempDir = t.TempDir()
	}
	e, err := Open(context.Background(), path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, p
}

// walk gives the content of every file by its path, "!" where it cannot be opened.
func walk(t testing.TB, e *Evidence) (paths []string, content map[string]string) {
	t.Helper()
	content = make(map[string]string)
	err := e.Walk(context.Background(), func(f File) error {
		paths = append(paths, f.Path)
		content[f.Path] = read(t, &f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths, content
}

func read(t testing.TB, f *File) string {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		if !Told(err) {
			t.Errorf("%s: open: %v, which is not told", f.Path, err)
		}
		return "!"
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("%s: read: %v, want problems and no error", f.Path, err)
	}
	return string(b)
}

// equal compares two lists line by line.
func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// entry is a file that a test packs.
type entry struct{ name, data string }

var stamp = time.Date(2021, 3, 3, 6, 49, 43, 0, time.UTC)

func zipOf(t testing.TB, method uint16, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, x := range entries {
		f, err := w.CreateHeader(&zip.FileHeader{Name: x.name, Method: method, Modified: stamp})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, x.data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, x := range entries {
		if err := w.WriteHeader(&tar.Header{Name: x.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(x.data)), ModTime: stamp}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, x.data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func zstdOf(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// put writes files below a new folder.
func put(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// logs is what most archives of the tests hold.
var logs = []entry{{"logs/a.log", "line one\nline two\n"}, {"logs/sub/b.log", strings.Repeat("2021-03-03 06:49:43 row\n", 400)}, {"logs/empty.txt", ""}}

func TestFormats(t *testing.T) {
	t.Parallel()
	z := zipOf(t, zip.Deflate, logs...)
	tests := []struct {
		name string
		data []byte
	}{
		{"deflate.zip", z},
		{"stored.zip", zipOf(t, zip.Store, logs...)},
		{"wrong-name.7z", z}, // content decides
		{"no-name-at-all", z},
		{"document.docx", z}, // named by the user: opened
		{"junk-before.zip", append([]byte("MZ this is not the beginning"), z...)},
		{"comment-after.zip", withComment(z, strings.Repeat("c", 3000))},
		{"plain.tar", tarOf(t, logs...)},
		{"packed.tar.gz", gzipOf(t, tarOf(t, logs...))},
		{"packed.tgz", gzipOf(t, tarOf(t, logs...))},
		{"packed.tar.zst", zstdOf(t, tarOf(t, logs...))},
		{"plain.7z", sevenOf(logs, 0)},
		{"blocks.7z", sevenOf(logs, 1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(put(t, map[string][]byte{test.name: test.data}), test.name)
			e, p := open(t, path, Options{})
			paths, content := walk(t, e)
			want := []string{test.name}
			for _, l := range logs {
				want = append(want, test.name+"!/"+l.name)
			}
			equal(t, "paths", paths, want)
			equal(t, "problems", p.keys(), nil)
			if content[test.name] != string(test.data) {
				t.Error("the archive itself is not visited with its bytes")
			}
			for _, l := range logs {
				if got := content[test.name+"!/"+l.name]; got != l.data {
					t.Errorf("%s: got %.40q, want %.40q", l.name, got, l.data)
				}
			}
			if err := fstest.TestFS(e.FS(), want...); err != nil {
				t.Error(err)
			}
		})
	}
}

// withComment puts a comment behind a zip file.
func withComment(z []byte, comment string) []byte {
	z = slices.Clone(z)
	n := len(z) - 2
	z[n], z[n+1] = byte(len(comment)), byte(len(comment)>>8)
	return append(z, comment...)
}

func TestStreams(t *testing.T) {
	t.Parallel()
	text := "line one\nline two\n"
	dir := put(t, map[string][]byte{
		"u_ex210303.log.gz":  gzipOf(t, []byte(text)),
		"u_ex210304.LOG.ZST": zstdOf(t, []byte(text)),
		"x.bz2":              testdata(t, "line.bz2"),
		"two.gz":             append(gzipOf(t, []byte("one\n")), gzipOf(t, []byte("two\n"))...),
	})
	e, p := open(t, dir, Options{})
	paths, content := walk(t, e)
	equal(t, "paths", paths, []string{"two.gz", "two.gz!/two", "u_ex210303.log.gz", "u_ex210303.log.gz!/u_ex210303.log",
		"u_ex210304.LOG.ZST", "u_ex210304.LOG.ZST!/u_ex210304.LOG", "x.bz2", "x.bz2!/x"})
	for path, want := range map[string]string{"two.gz!/two": "one\ntwo\n", "u_ex210303.log.gz!/u_ex210303.log": text,
		"u_ex210304.LOG.ZST!/u_ex210304.LOG": text, "x.bz2!/x": text} {
		if content[path] != want {
			t.Errorf("%s: got %q, want %q", path, content[path], want)
		}
	}
	equal(t, "problems", p.keys(), nil)
	if err := fstest.TestFS(e.FS(), paths...); err != nil {
		t.Error(err)
	}
}

// TestSamples reads what 7-Zip and GNU tar wrote.
func TestSamples(t *testing.T) {
	t.Parallel()
	rows := ""
	for i := 1; i <= 300; i++ {
		rows += fmt.Sprintf("2021-03-03 06:49:43 row %d\n", i)
	}
	files := map[string]string{"logs/a.log": "line one\nline two\n", "logs/sub/b.log": rows, "logs/empty.txt": ""}
	holes := strings.Repeat("\x00", 1<<19) + "data" + strings.Repeat("\x00", 1<<19-4)
	tests := []struct {
		name      string
		passwords []string
		want      map[string]string
		problems  []string
	}{
		{"plain.7z", nil, files, nil},
		{"ppmd.7z", nil, files, nil},
		{"password.7z", []string{"wrong", "secret"}, files, nil},
		{"password.7z", nil, map[string]string{"logs/empty.txt": ""}, []string{"unreadable encrypted password.7z"}},
		{"password.7z", []string{"wrong"}, map[string]string{"logs/empty.txt": ""}, []string{"unreadable wrong-password password.7z"}},
		{"password-names.7z", []string{"wrong", "secret"}, files, nil},
		{"password-names.7z", nil, nil, []string{"unreadable encrypted-names password-names.7z"}},
		{"password-names.7z", []string{"wrong"}, nil, []string{"unreadable wrong-password-names password-names.7z"}},
		{"logs.tar.bz2", nil, files, nil},
		{"line.xz", nil, nil, []string{"unsupported foreign-archive line.xz"}},
		{"sparse.tar.gz", nil, map[string]string{"logs/sparse.log": holes, "logs/a.log": files["logs/a.log"]}, nil},
		{"sparse-pax.tar.gz", nil, map[string]string{"logs/sparse.log": holes, "logs/a.log": files["logs/a.log"]}, nil},
	}
	for _, test := range tests {
		t.Run(test.name+" "+strings.Join(test.passwords, ","), func(t *testing.T) {
			t.Parallel()
			e, p := open(t, filepath.Join("testdata", test.name), Options{Passwords: test.passwords})
			paths, content := walk(t, e)
			for name, want := range test.want {
				if got := content[test.name+"!/"+name]; got != want {
					t.Errorf("%s: got %.40q, want %.40q", name, got, want)
				}
			}
			if len(paths) != 1+len(test.want) {
				t.Errorf("paths: got %q, want the archive and %d members", paths, len(test.want))
			}
			equal(t, "problems", p.keys(), test.problems)
			if test.name == "plain.7z" {
				e.Walk(context.Background(), func(f File) error {
					if !f.ModTime.Equal(stamp) && strings.Contains(f.Path, "!") {
						t.Errorf("%s: time %v, want %v", f.Path, f.ModTime, stamp)
					}
					return nil
				})
			}
		})
	}
}

func TestNested(t *testing.T) {
	t.Parallel()
	// Every way of reading an archive inside another: as it lies, spooled, streamed.
	four := zipOf(t, zip.Deflate, entry{"deep.log", "deep"})
	three := zipOf(t, zip.Store, entry{"four.zip", string(four)}, entry{"c.log", "c"})
	two := gzipOf(t, tarOf(t, entry{"three.zip", string(three)}, entry{"x.log.gz", string(gzipOf(t, []byte("x")))}))
	one := zipOf(t, zip.Deflate, entry{"two.tgz", string(two)}, entry{"a.log", "a"}, entry{"page.docx", string(four)})
	dir := put(t, map[string][]byte{"srv/one.zip": one, "srv/plain.txt": []byte("plain"), "srv/page.nupkg": four})
	e, p := open(t, dir, Options{})
	paths, content := walk(t, e)
	want := []string{
		"srv/one.zip",
		"srv/one.zip!/two.tgz",
		"srv/one.zip!/two.tgz!/three.zip",
		"srv/one.zip!/two.tgz!/three.zip!/four.zip",
		"srv/one.zip!/two.tgz!/three.zip!/c.log",
		"srv/one.zip!/two.tgz!/x.log.gz",
		"srv/one.zip!/two.tgz!/x.log.gz!/x.log",
		"srv/one.zip!/a.log",
		"srv/one.zip!/page.docx",
		"srv/page.nupkg",
		"srv/plain.txt",
	}
	equal(t, "paths", paths, want)
	equal(t, "problems", p.keys(), []string{"limit nesting srv/one.zip!/two.tgz!/three.zip!/four.zip"})
	for path, text := range map[string]string{
		"srv/one.zip!/two.tgz!/three.zip!/c.log": "c", "srv/one.zip!/two.tgz!/x.log.gz!/x.log": "x",
		"srv/one.zip!/two.tgz!/three.zip!/four.zip": string(four)} {
		if content[path] != text {
			t.Errorf("%s: got %.40q, want %.40q", path, content[path], text)
		}
	}
	if err := fstest.TestFS(e.FS(), want...); err != nil {
		t.Error(err)
	}
}

// TestLater opens files when the walk is long over and their archives have been
// closed to save room.
func TestLater(t *testing.T) {
	t.Parallel()
	files := make(map[string][]byte)
	for i := range 12 {
		name := fmt.Sprintf("%02d", i)
		files[name+"/in/a.zip"] = zipOf(t, zip.Deflate, entry{"one.tar.gz", string(gzipOf(t, tarOf(t, entry{"x", name})))})
	}
	e, p := open(t, put(t, files), Options{Limits: Limits{OpenArchives: 1}})
	var kept []File
	if err := e.Walk(context.Background(), func(f File) error { kept = append(kept, f); return nil }); err != nil {
		t.Fatal(err)
	}
	if n := len(e.mounts.open); n > 1 {
		t.Errorf("after the walk %d archives are open, want 1", n)
	}
	var wait sync.WaitGroup
	for i := range kept {
		wait.Go(func() {
			f := kept[len(kept)-1-i]
			if got, want := read(t, &f), f.Path[:2]; strings.HasSuffix(f.Path, "/x") && got != want {
				t.Errorf("%s: got %q, want %q", f.Path, got, want)
			}
		})
	}
	wait.Wait()
	equal(t, "problems", p.keys(), nil)
	e.Close()
	if _, err := kept[len(kept)-1].Open(); err == nil {
		t.Error("a member opens after Close")
	}
}

func TestTempFolder(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	data := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // 3 MB: more than stays in memory
	dir := put(t, map[string][]byte{"a.tar.gz": gzipOf(t, tarOf(t, entry{"a", string(data)}))})
	e, p := open(t, dir, Options{TempDir: temp})
	_, content := walk(t, e)
	if content["a.tar.gz!/a"] != string(data) {
		t.Error("the member has other bytes")
	}
	entries, _ := os.ReadDir(temp)
	if len(entries) != 1 || !entries[0].IsDir() {
		t.Fatalf("temporary folder: %v, want one folder", entries)
	}
	if info, _ := entries[0].Info(); info.Mode().Perm() != 0o700 && runtime.GOOS != "windows" {
		t.Errorf("mode %v, want 0700", info.Mode())
	}
	if e.temp.used != int64(len(data))+2048 && e.temp.used != int64(len(data))+1536 {
		t.Errorf("in use: %d bytes, want the tar file", e.temp.used)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(temp); len(entries) != 0 {
		t.Errorf("after Close the temporary folder has %v", entries)
	}
	equal(t, "problems", p.keys(), nil)
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	dir := put(t, map[string][]byte{
		"a.zip":        zipOf(t, zip.Deflate, entry{"in.txt", "in"}, entry{"b.zip", string(zipOf(t, zip.Deflate, entry{"y", "y"}))}, entry{"b.zip!/z", "z"}),
		"a.zip!/x.txt": []byte("x"), // somebody's folder has our name
		"c!":           []byte("c"),
		"bad\xe9.txt":  []byte("latin"),
	})
	e, p := open(t, dir, Options{})
	paths, _ := walk(t, e)
	want := []string{"a.zip", "a.zip!!/in.txt", "a.zip!!/b.zip", "a.zip!!/b.zip!!/y", "a.zip!!/b.zip!/z", "a.zip!/x.txt", "bad\uFFFDE9.txt", "c!"}
	if runtime.GOOS == "windows" { // names are UTF-16 there
		want[6] = "bad\uFFFD.txt"
	}
	equal(t, "paths", paths, want)
	equal(t, "problems", p.keys(), nil)
	if err := fstest.TestFS(e.FS(), want...); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	if _, err := Open(context.Background(), filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing path: got %v, want not exist", err)
	}
	if _, err := Open(context.Background(), os.DevNull, Options{}); !errors.Is(err, ErrKind) {
		t.Errorf("device: got %v, want ErrKind", err)
	}
}

func TestWalkEnds(t *testing.T) {
	t.Parallel()
	e, _ := open(t, put(t, map[string][]byte{"a": nil, "b": nil, "c": nil}), Options{})
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	err := e.Walk(ctx, func(File) error { n++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("cancelled walk: %d files, error %v", n, err)
	}
	stop := errors.New("stop")
	if err := e.Walk(context.Background(), func(File) error { return stop }); err != stop {
		t.Errorf("got %v, want the error of visit", err)
	}
}

func TestChangingFiles(t *testing.T) {
	t.Parallel()
	dir := put(t, map[string][]byte{"grows.log": []byte("first"), "shrinks.log": []byte("first and more"), "vanishes.log": []byte("x")})
	e, p := open(t, dir, Options{})
	var files []File
	e.Walk(context.Background(), func(f File) error { files = append(files, f); return nil })
	os.Remove(filepath.Join(dir, "vanishes.log"))
	for i, change := range []func(string){
		func(p string) { os.WriteFile(p, []byte("first and more"), 0o644) },
		func(p string) { os.Truncate(p, 5) },
	} {
		r, err := files[i].Open()
		if err != nil {
			t.Fatal(err)
		}
		change(filepath.Join(dir, files[i].Path))
		b, err := io.ReadAll(r)
		if string(b) != "first" || err != nil {
			t.Errorf("%s: got %q, %v, want first", files[i].Path, b, err)
		}
		if r.(interface{ Err() error }).Err() == nil {
			t.Errorf("%s: Err is nil after a file that was not read whole", files[i].Path)
		}
		r.Close()
	}
	if _, err := files[2].Open(); !Told(err) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("vanished file: %v", err)
	}
	equal(t, "problems", p.keys(), []string{"truncated grew grows.log", "truncated shrank shrinks.log", "unreadable vanished vanishes.log"})
}

func TestSameProblemsAreCounted(t *testing.T) {
	t.Parallel()
	p := &told{}
	e := newEvidence(context.Background(), Options{Problem: p.add})
	for i := range MaxSameProblems + 5 {
		e.problem(fmt.Sprint(i), postern.Unreadable, postern.Say("source.denied"))
		e.problem(fmt.Sprint(i), postern.Unreadable, postern.Say("source.denied"))
	}
	e.problems.flush()
	if len(p.list) != MaxSameProblems+1 {
		t.Fatalf("%d problems, want %d", len(p.list), MaxSameProblems+1)
	}
	if last := p.list[MaxSameProblems]; last.Detail.Key != "source.more" || last.What != postern.Unreadable {
		t.Errorf("last problem: %+v", last)
	}
}

// TestHashes reads one larger file in every packing and compares the hash.
func TestHashes(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("2021-03-03T06:49:43.699Z,abc,15,1,2176,2,row of a log\n"), 60_000)
	in := entry{"x.log", string(data)}
	dir := put(t, map[string][]byte{
		"a.zip": zipOf(t, zip.Deflate, in), "b.tar.gz": gzipOf(t, tarOf(t, in)), "c.7z": sevenOf([]entry{in, {"y", "y"}}, 0),
		"d.gz": gzipOf(t, data), "e.zst": zstdOf(t, data), "f.log": data,
	})
	e, p := open(t, dir, Options{})
	want := sha256.Sum256(data)
	n := 0
	e.Walk(context.Background(), func(f File) error {
		if f.Archive || strings.HasSuffix(f.Path, "/y") {
			return nil
		}
		n++
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		h := sha256.New()
		if _, err := io.CopyBuffer(struct{ io.Writer }{h}, r, make([]byte, 7919)); err != nil {
			t.Errorf("%s: %v", f.Path, err)
		}
		if got := [32]byte(h.Sum(nil)); got != want {
			t.Errorf("%s: other bytes than were packed", f.Path)
		}
		if err := r.(interface{ Err() error }).Err(); err != nil {
			t.Errorf("%s: %v", f.Path, err)
		}
		return nil
	})
	if n != 6 {
		t.Errorf("%d files, want 6", n)
	}
	equal(t, "problems", p.keys(), nil)
}
