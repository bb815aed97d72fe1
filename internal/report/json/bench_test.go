package json_test

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"postern"
	"postern/internal/report"
	"postern/internal/report/json"
	"postern/internal/report/reporttest"
)

// BenchmarkDocument writes one host with 10,000 findings.
func BenchmarkDocument(b *testing.B) { bench(b, json.NewDocument) }

// BenchmarkStream writes the same as lines.
func BenchmarkStream(b *testing.B) { bench(b, json.NewStream) }

func bench(b *testing.B, f func(io.Writer, report.Options, report.Localizer) report.Handler) {
	loc := reporttest.Catalogue(b, "en")
	host := reporttest.Hosts()[1]
	for len(host.Findings) < 10_000 {
		host.Findings = append(host.Findings, host.Findings[0])
	}
	b.ReportAllocs()
	for b.Loop() {
		feed := report.NewFeed(f(io.Discard, report.Options{}, loc), loc)
		if err := feed.Start("0", postern.Instant{}, nil, nil); err != nil {
			b.Fatal(err)
		}
		if err := feed.Host(host); err != nil {
			b.Fatal(err)
		}
		if err := feed.End(postern.Complete, postern.Stats{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProblems says how much memory a document keeps for each problem until
// it can be written.
func BenchmarkProblems(b *testing.B) {
	loc := reporttest.Catalogue(b, "en")
	feed := report.NewFeed(json.NewDocument(io.Discard, report.Options{}, loc), loc)
	if err := feed.Start("0", postern.Instant{}, nil, nil); err != nil {
		b.Fatal(err)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, n := heap(), 0
	for b.Loop() {
		n++
		err := feed.Problem(postern.Problem{
			Path: fmt.Sprintf("EX01.zip!/Logging/HttpProxy/Ecp/HttpProxy_%010d-1.LOG", n*7919), What: postern.Unreadable, Detail: postern.Say("sample.denied"),
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(heap()-before)/float64(n), "kept-B/problem")
	runtime.KeepAlive(feed)
}
