package main

import (
	"testing"
	"time"
	"unicode/utf8"

	"postern/internal/catalogue"
	"postern/internal/exposure"
)

// The line of a running scan must not wrap: a line that does is printed again and
// again below itself.
func TestScanLineFits(t *testing.T) {
	t.Parallel()
	for _, lang := range catalogue.Languages {
		words, err := catalogue.Load(lang)
		if err != nil {
			t.Fatal(err)
		}
		a := &app{words: words}
		var p exposure.Progress
		p.Done.Store(12_345_678)
		for i := range exposure.Outcomes() {
			p.Outcomes[i].Store(1_234_567)
		}
		for _, columns := range []int{usualWidth - besidesLine, 200} {
			line := a.scanLine(&p, 12_345_678, 99_999_999, 26*time.Hour, columns)
			if n := utf8.RuneCountInString(line); n > columns {
				t.Errorf("%s: %d columns, want at most %d: %s", lang, n, columns, line)
			}
		}
	}
}

// The list is read ahead of the work, so bytes alone do not tell how far it is.
func TestWorked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                    string
		done, taken, read, size int64
		ended                   bool
		wantNow, wantTotal      int64
	}{
		{"size unknown", 10, 50, 500, 0, false, 10, 0},
		{"half of the list is read", 10, 50, 500, 1000, false, 10, 100},
		{"all of it is read, little is done", 10, 100, 1000, 1000, true, 10, 100},
		{"networks: one line, many targets", 10, 256, 12, 12, false, 10, 256},
	} {
		var p exposure.Progress
		list := &counted{size: c.size}
		p.Done.Store(c.done)
		p.Read.Store(c.read)
		p.Ended.Store(c.ended)
		list.taken.Store(c.taken)
		if now, total := worked(&p, list); now != c.wantNow || total != c.wantTotal {
			t.Errorf("%s: %d of %d, want %d of %d", c.name, now, total, c.wantNow, c.wantTotal)
		}
	}
}
