package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern"
	"postern/internal/hunt/detect"
	parseall "postern/internal/hunt/parse/all"
)

// deaf takes every alert.
type deaf struct{}

func (deaf) Raise(Alert) error { return nil }
func (deaf) Commit() error     { return nil }

// BenchmarkLook looks at the web folders of a server in which nothing has changed: what a
// watch does most of the time.
func BenchmarkLook(b *testing.B) {
	dir := b.TempDir()
	for i := range 5000 {
		sub := filepath.Join(dir, "inetpub/wwwroot", fmt.Sprintf("d%d", i/200))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("x%d.aspx", i)), []byte("fine"), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	w, err := New(Options{Roots: []string{dir}, Formats: parseall.Formats(), Rules: &rules{}, Files: []detect.FileDetector{pages{}}, Level: postern.Probed,
		Now: func() time.Time { return time.Now().Add(time.Hour) }}, deaf{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	if _, err := w.pass(context.Background(), true); err != nil {
		b.Fatal(err)
	}
	for _, full := range []bool{false, true} {
		b.Run(fmt.Sprintf("full=%v", full), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := w.look(context.Background(), full); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
