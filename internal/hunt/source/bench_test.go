package source

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// smallFiles lays out n files of 0 to 8 KiB, 100 to a folder, five folders deep.
func smallFiles(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	noise := make([]byte, 8<<10)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for i := range n {
		folder := filepath.Join(dir, "inetpub/wwwroot", fmt.Sprintf("%03d", i/2000), fmt.Sprintf("%02d", i/100%20))
		if i%100 == 0 {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("file-%06d.aspx", i)), noise[:i*37%len(noise)], 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

func sum(b *testing.B, h hash.Hash, r io.ReadCloser, err error, buf []byte) {
	if err != nil {
		b.Fatal(err)
	}
	h.Reset()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{r}, buf); err != nil {
		b.Fatal(err)
	}
	r.Close()
}

// BenchmarkSmallFiles walks, opens, reads and hashes small files, and does the same
// with filepath.WalkDir in turn. plain/ours is how many times as fast as the plain
// loop we are: 1 is as fast, 0.5 is the bound. It is the median of all pairs.
//
//	go test -run XXX -bench SmallFiles -benchtime 7x ./internal/hunt/source
func BenchmarkSmallFiles(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if testing.Short() && n > 10_000 {
				b.Skip("short")
			}
			dir := smallFiles(b, n)
			buf := make([]byte, 64<<10)
			h := sha256.New()
			ours := func() {
				e, err := Open(context.Background(), dir, Options{TempDir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				defer e.Close()
				seen := 0
				if err := e.Walk(context.Background(), func(f File) error {
					r, err := f.Open()
					sum(b, h, r, err, buf)
					seen++
					return nil
				}); err != nil || seen != n {
					b.Fatal(seen, err)
				}
			}
			plain := func() {
				if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return err
					}
					f, err := os.Open(path)
					sum(b, h, f, err, buf)
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			plain() // warm the cache
			var ratios []float64
			var took [2]time.Duration
			for b.Loop() {
				start := time.Now()
				plain()
				middle := time.Now()
				ours()
				p, o := middle.Sub(start), time.Since(middle)
				took[0] += p
				took[1] += o
				ratios = append(ratios, p.Seconds()/o.Seconds())
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "plain/ours")
			b.ReportMetric(float64(took[1].Nanoseconds())/float64(len(ratios)*n), "ns/file")
			b.ReportMetric(float64(took[0].Nanoseconds())/float64(len(ratios)*n), "ns/file-plain")
		})
	}
}

// BenchmarkSmallMembers reads the members of a zip file, and does the same with
// archive/zip in turn.
func BenchmarkSmallMembers(b *testing.B) {
	var in []entry
	for i := range 20_000 {
		in = append(in, entry{fmt.Sprintf("C/inetpub/wwwroot/%03d/file-%06d.aspx", i/100, i), fmt.Sprint("<%@ Page %>", i, strings.Repeat(" text", i%500))})
	}
	packed := zipOf(b, zip.Deflate, in...)
	path := filepath.Join(put(b, map[string][]byte{"x.zip": packed}), "x.zip")
	buf := make([]byte, 64<<10)
	h := sha256.New()
	var ratios []float64
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		r, err := zip.OpenReader(path)
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range r.File {
			rc, err := f.Open()
			sum(b, h, rc, err, buf)
		}
		r.Close()
		middle := time.Now()
		e, err := Open(context.Background(), path, Options{TempDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		e.Walk(context.Background(), func(f File) error {
			if !f.Archive {
				rc, err := f.Open()
				sum(b, h, rc, err, buf)
			}
			return nil
		})
		e.Close()
		ratios = append(ratios, middle.Sub(start).Seconds()/time.Since(middle).Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "plain/ours")
}

// BenchmarkLargeFile reads one file on disk, and the same inside archives.
func BenchmarkLargeFile(b *testing.B) {
	var data []byte
	for i := 0; len(data) < 64<<20; i++ {
		data = fmt.Appendf(data, "2021-03-03T06:%02d:%02d.%03dZ,%08x,15,1,2176,2,,Ecp,mail.example.org,/ecp/default.flt,,FBA,false,,,%d\r\n", i/60%60, i%60, i%1000, i*2654435761, i)
	}
	in := entry{"x.log", string(data)}
	for _, test := range []struct {
		name string
		data []byte
		path string
	}{
		{"x.log", data, "x.log"},
		{"x.log.gz", gzipOf(b, data), "x.log.gz!/x.log"},
		{"x.log.zst", zstdOf(b, data), "x.log.zst!/x.log"},
		{"x.zip", zipOf(b, 8, in), "x.zip!/x.log"},
		{"x.tar.gz", gzipOf(b, tarOf(b, in)), "x.tar.gz!/x.log"},
	} {
		b.Run(test.name, func(b *testing.B) {
			dir := put(b, map[string][]byte{test.name: test.data})
			b.SetBytes(int64(len(data)))
			buf := make([]byte, 256<<10)
			for b.Loop() {
				e, err := Open(context.Background(), dir, Options{TempDir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				var n int64
				e.Walk(context.Background(), func(f File) error {
					if f.Path != test.path {
						return nil
					}
					r, err := f.Open()
					if err != nil {
						b.Fatal(err)
					}
					defer r.Close()
					n, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf)
					return err
				})
				if n != int64(len(data)) {
					b.Fatalf("read %d bytes of %d", n, len(data))
				}
				e.Close()
			}
		})
	}
}
