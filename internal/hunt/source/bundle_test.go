package source

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"postern/internal/respond/preserve"
)

// bundled preserves a tree and gives the bundle.
func bundled(t testing.TB, files map[string]string) (string, *age.X25519Identity) {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "x.bundle")
	if _, err := preserve.Run(context.Background(), preserve.Options{Root: root, Out: out, All: true,
		Recipients: []age.Recipient{id.Recipient()}, Names: []string{id.Recipient().String()}}); err != nil {
		t.Fatal(err)
	}
	return out, id
}

// The members of a bundle come out as they went in, in any order and at the same
// time, without a byte of them on a disk.
func TestBundleReadsBack(t *testing.T) {
	t.Parallel()
	want := make(map[string]string)
	for i := range 50 {
		want[fmt.Sprintf("EX01/C/inetpub/logs/LogFiles/W3SVC1/u_ex%02d.log", i)] = strings.Repeat(fmt.Sprintf("row %d\n", i), 1+i*300)
	}
	want["EX01/C/empty.log"] = ""
	out, id := bundled(t, want)
	temp := t.TempDir()
	p := &told{}
	e, err := Open(context.Background(), out, Options{Identities: []age.Identity{id}, TempDir: temp, Problem: p.add})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var files []File
	if err := e.Walk(context.Background(), func(f File) error {
		if !f.Archive {
			files = append(files, f)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(files) != len(want) {
		t.Errorf("%d files, want %d", len(files), len(want))
	}
	rand.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := worker; i < len(files); i += 3 { // some twice
				r, err := files[i].Open()
				if err != nil {
					t.Errorf("%s: %v", files[i].Path, err)
					continue
				}
				if i%5 == 0 { // the head alone, as the walk of a hunt reads it
					_, _ = io.CopyN(io.Discard, r, 20)
				} else if b, _ := io.ReadAll(r); string(b) != want[strings.TrimPrefix(files[i].Path, "x.bundle!/")] {
					t.Errorf("%s: %d bytes, which are others", files[i].Path, len(b))
				}
				r.Close()
			}
		})
	}
	wg.Wait()
	if got := p.keys(); len(got) > 0 {
		t.Errorf("problems: %v", got)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("%s is in the temporary folder", left[0].Name())
	}
}

// An archive that an intruder left on the server is opened inside the bundle as well.
func TestArchiveInBundle(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	w, err := z.Create("inner.log")
	if err == nil {
		_, err = w.Write([]byte("row"))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	out, id := bundled(t, map[string]string{"C/ProgramData/x.zip": packed.String()})
	e, err := Open(context.Background(), out, Options{Identities: []age.Identity{id}, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got := ""
	_ = e.Walk(context.Background(), func(f File) error {
		if strings.HasSuffix(f.Path, "inner.log") {
			got = f.Path
		}
		return nil
	})
	if want := "x.bundle!/C/ProgramData/x.zip!/inner.log"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A bundle that is damaged anywhere is read as far as it goes, and a member that
// comes out changed, cut or not at all is told; nothing panics.
func FuzzBundle(f *testing.F) {
	out, id := bundled(f, map[string]string{"a.log": strings.Repeat("a row of a log\n", 200), "b.log": "b", "c.log": strings.Repeat("c", 3000)})
	raw, err := os.ReadFile(out)
	if err != nil {
		f.Fatal(err)
	}
	whole := map[string]string{"x!/a.log": strings.Repeat("a row of a log\n", 200), "x!/b.log": "b", "x!/c.log": strings.Repeat("c", 3000)}
	f.Add(uint32(0), byte(0), uint32(len(raw)))
	f.Add(uint32(1700), byte(4), uint32(len(raw)))
	f.Add(uint32(0), byte(0), uint32(2000))
	f.Fuzz(func(t *testing.T, at uint32, bits byte, size uint32) {
		data := bytes.Clone(raw[:min(int(size), len(raw))])
		if len(data) > 0 {
			data[int(at)%len(data)] ^= bits
		}
		p := &told{}
		e := newEvidence(context.Background(), Options{Limits: fuzzLimits, TempDir: t.TempDir(), Problem: p.add, Identities: []age.Identity{id}})
		e.single, e.name = true, "x"
		defer e.Close()
		outer := File{Path: "x", Size: int64(len(data)), mount: "x!", open: func() (io.ReadCloser, error) {
			return sectionReader{io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))}, nil
		}}
		good := 0
		w := walker{e: e, ctx: context.Background(), visit: func(f File) error {
			if f.Path == "x" {
				return nil
			}
			r, err := f.Open()
			if err != nil {
				return nil
			}
			defer r.Close()
			b, _ := io.ReadAll(r)
			if r.(interface{ Err() error }).Err() != nil {
				return nil
			}
			if string(b) != whole[f.Path] {
				t.Errorf("%s: %d bytes that are others, and nobody says so", f.Path, len(b))
			}
			good++
			return nil
		}}
		if err := w.file(outer); err != nil {
			t.Fatal(err)
		}
		e.problems.flush()
		if good < len(whole) && len(p.keys()) == 0 && len(data) >= 512 && bytes.HasPrefix(data, raw[:20]) {
			t.Errorf("%d of %d members, and no problem", good, len(whole))
		}
	})
}
