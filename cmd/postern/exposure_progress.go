package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"postern/internal/exposure"
)

// scanProgress shows a scan on a terminal: done, rate, outcomes, and the time left
// where the size of the list is known. It says nothing where standard error is none.
func (a *app) scanProgress(p *exposure.Progress, size int64) (stop func()) {
	if !isTerminal(a.err) {
		return func() {}
	}
	if size == 0 {
		size = -1
	}
	bar := progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(a.err),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(16),
		progressbar.OptionThrottle(progressEvery))
	done, ended := make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				_ = bar.Finish()
				_ = bar.Clear()
				return
			case <-tick.C:
				bar.Describe(a.scanLine(p, size, time.Since(start)))
				if size > 0 {
					_ = bar.Set64(min(p.Read.Load(), size-1))
				} else {
					_ = bar.Add64(0)
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// scanLine is the line of a running scan.
func (a *app) scanLine(p *exposure.Progress, size int64, since time.Duration) string {
	done := p.Done.Load()
	line := a.words.T("cmd.exposure.progress", "count", done, "rate", fmt.Sprintf("%.0f", float64(done)/max(since.Seconds(), 0.001)), "outcomes", a.outcomes(p))
	// The list is read as fast as it is worked off, so its bytes tell how far we are.
	if read := p.Read.Load(); size > 0 && read > 0 && read < size && done > 0 {
		left := time.Duration(float64(since) * float64(size-read) / float64(read))
		line += a.words.T("cmd.exposure.progress-left", "time", left.Round(time.Second))
	}
	return line
}

// outcomes counts the outcomes that there were, in the order of their list.
func (a *app) outcomes(p *exposure.Progress) string {
	var parts []string
	for i, o := range exposure.Outcomes() {
		if n := p.Outcomes[i].Load(); n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", o, n))
		}
	}
	return strings.Join(parts, ", ")
}

// scanSummary says at the end what was done and what was left out.
func (a *app) scanSummary(p *exposure.Progress, tell *problemTeller) {
	if n := p.Done.Load(); n > 0 {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.summary", "count", n, "requests", p.Requests.Load(), "outcomes", a.outcomes(p)))
	} else {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.summary-none"))
	}
	if n := p.Skipped.Load(); n > 0 {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.skipped", "count", n))
	}
	if tell.count > 0 {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.left-out", "count", tell.count))
	}
}
