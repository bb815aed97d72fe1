package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bodgit/sevenzip"
)

// The fuzz targets ask of any bytes: nothing panics or hangs; every path is valid,
// unique and of bounded length; no more is unpacked than the bound allows; nothing
// is left on disk. And where the usual reader of a format reads an archive whole,
// its members come out of ours with the same bytes.

var fuzzLimits = Limits{FreeBytes: 1 << 20, Ratio: 20, Members: 200, NameBytes: 16 << 10, NameLength: 200, PathDepth: 8,
	Window: 1 << 20, Header: 64 << 10, TempBytes: 8 << 20}

// fuzzed opens bytes as an archive and checks what always holds. It gives the
// members' content by path, without those of archives inside.
func fuzzed(t *testing.T, data []byte, passwords ...string) (content map[string]string, problems []string) {
	t.Helper()
	temp := filepath.Join(os.TempDir(), "postern-fuzz-must-stay-empty")
	p := &told{}
	e := newEvidence(context.Background(), Options{Limits: fuzzLimits, TempDir: temp, Problem: p.add, Passwords: passwords})
	e.single, e.name = true, "x"
	defer e.Close()
	outer := File{Path: "x", Size: int64(len(data)), mount: "x!", open: func() (io.ReadCloser, error) {
		return sectionReader{io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))}, nil
	}}
	content = make(map[string]string)
	seen := make(map[string]bool)
	var total int64
	w := walker{e: e, ctx: context.Background(), visit: func(f File) error {
		if !fs.ValidPath(f.Path) || seen[f.Path] {
			t.Errorf("path %q: valid %v, seen before %v", f.Path, fs.ValidPath(f.Path), seen[f.Path])
		}
		seen[f.Path] = true
		if n := len(f.Path); n > 4*(fuzzLimits.NameLength+40) {
			t.Errorf("path %q has %d bytes", f.Path, n)
		}
		r, err := f.Open()
		if err != nil {
			if !Told(err) {
				t.Errorf("%s: open: %v, which is not told", f.Path, err)
			}
			return nil
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Errorf("%s: read: %v", f.Path, err)
		}
		if strings.Count(f.Path, "!/") == 1 {
			content[f.Path] = string(b)
		}
		if f.Path != "x" {
			total += int64(len(b))
		}
		return nil
	}}
	if err := w.file(outer); err != nil {
		t.Error(err)
	}
	// Stored members cost nothing and may lie over one another, each at most once.
	if bound := fuzzLimits.FreeBytes + fuzzLimits.Ratio*int64(len(data)) + int64(len(data))*int64(fuzzLimits.Members); total > bound {
		t.Errorf("%d bytes unpacked to %d, bound %d", len(data), total, bound)
	}
	for _, problem := range p.list {
		if problem.Path == "" || problem.Detail.IsZero() || problem.What == "" {
			t.Errorf("empty problem %+v", problem)
		}
	}
	return content, p.keys()
}

func FuzzZip(f *testing.F) {
	f.Add(zipOf(f, zip.Deflate, logs...))
	f.Add(zipOf(f, zip.Store, entry{"../x", "x"}, entry{"x", "y"}, entry{"in.zip", string(zipOf(f, zip.Store, entry{"a", "a"}))}))
	f.Add(testdata(f, "deflate64.zip"))
	f.Add(zipOf(f, zip.Deflate, logs...)[:200])
	f.Fuzz(func(t *testing.T, data []byte) {
		content, problems := fuzzed(t, data, "secret")
		r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil || len(problems) > 0 || !bytes.HasPrefix(data, []byte("PK\x03\x04")) {
			return
		}
		for _, m := range r.File {
			if m.FileInfo().IsDir() || !fs.ValidPath(m.Name) || strings.Contains(m.Name, `\`) {
				continue
			}
			rc, err := m.Open()
			if err != nil {
				continue
			}
			want, err := io.ReadAll(io.LimitReader(rc, 1<<20))
			if err != nil {
				continue
			}
			if got, ok := content["x!/"+m.Name]; !ok || got != string(want) {
				t.Errorf("%q: there is %v, got %.60q, archive/zip has %.60q", m.Name, ok, got, want)
			}
		}
	})
}

func FuzzTar(f *testing.F) {
	f.Add(tarOf(f, logs...))
	f.Add(gzipOf(f, tarOf(f, logs...)))
	f.Add(rawTar([]entry{{"../x", "x"}, {"x", "y"}}))
	f.Add(testdata(f, "sparse.tar.gz"))
	f.Add(testdata(f, "sparse-pax.tar.gz"))
	f.Add(testdata(f, "logs.tar.bz2"))
	f.Add(zstdOf(f, []byte("a stream")))
	f.Fuzz(func(t *testing.T, data []byte) {
		content, problems := fuzzed(t, data)
		if len(problems) > 0 || !tarBlock(data) {
			return
		}
		r := tar.NewReader(bytes.NewReader(data))
		for {
			h, err := r.Next()
			if err != nil {
				return
			}
			if h.Typeflag != tar.TypeReg || !fs.ValidPath(h.Name) || strings.Contains(h.Name, `\`) {
				continue
			}
			want, err := io.ReadAll(io.LimitReader(r, 1<<20))
			if err != nil {
				return
			}
			if got, ok := content["x!/"+h.Name]; !ok || got != string(want) {
				t.Errorf("%q: there is %v, got %.60q, archive/tar has %.60q", h.Name, ok, got, want)
			}
		}
	})
}

func FuzzSevenZip(f *testing.F) {
	f.Add(sevenOf(logs, 0))
	f.Add(sevenOf(logs, 1))
	for _, name := range []string{"plain.7z", "ppmd.7z", "password.7z", "password-names.7z"} {
		f.Add(testdata(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// The checksums of the start and the directory are made right: otherwise
		// nothing behind them is ever reached.
		data = mendSeven(bytes.Clone(data))
		content, problems := fuzzed(t, data)
		if len(problems) > 0 || !bytes.HasPrefix(data, []byte(sevenMagic)) {
			return
		}
		defer func() { recover() }() // the library alone may panic
		r, err := sevenzip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, m := range r.File {
			if m.FileInfo().IsDir() || !fs.ValidPath(m.Name) || strings.Contains(m.Name, `\`) || m.UncompressedSize > 1<<20 {
				continue
			}
			rc, err := m.Open()
			if err != nil {
				continue
			}
			want, err := io.ReadAll(rc)
			if err != nil {
				continue
			}
			if got, ok := content["x!/"+m.Name]; !ok || got != string(want) {
				t.Errorf("%q: there is %v, got %.60q, sevenzip has %.60q", m.Name, ok, got, want)
			}
		}
	})
}

// mendSeven makes the checksums of a 7z file right where they can be reached.
func mendSeven(b []byte) []byte {
	if len(b) < sevenStartLen || !bytes.HasPrefix(b, []byte(sevenMagic)) {
		return b
	}
	offset, size := le.Uint64(b[12:]), le.Uint64(b[20:])
	if n := uint64(len(b) - sevenStartLen); offset > n || size > n-offset {
		return b
	}
	header := b[sevenStartLen+offset:][:size]
	le.PutUint32(b[28:], crc32sum(header))
	le.PutUint32(b[8:], crc32sum(b[12:32]))
	return b
}
