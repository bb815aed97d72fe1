package main

import (
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"postern/internal/exposure"
)

// Width of the progress line: the terminal's, as this is told by the system; it is
// looked at each time, because windows change.
const (
	narrowest   = 40
	usualWidth  = 80
	barWidth    = 12
	besidesLine = barWidth + 9 // what the bar takes with its percentage
)

// scanProgress shows a scan on a terminal: done, rate, time left where the size of the
// list is known, and as many outcomes as there is room for. It says nothing where
// standard error is no terminal.
func (a *app) scanProgress(p *exposure.Progress, list *counted) (stop func()) {
	if !isTerminal(a.err) {
		return func() {}
	}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(a.err),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(barWidth),
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
				now, total := worked(p, list)
				bar.Describe(a.scanLine(p, now, total, time.Since(start), width(a.err)-besidesLine))
				if total > 0 {
					bar.ChangeMax64(max(total, now+1))
					_ = bar.Set64(now)
				} else {
					_ = bar.Add64(0)
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// counted counts the targets of a list as they are taken from it.
type counted struct {
	size  int64 // of the list in bytes; 0 is unknown
	taken atomic.Int64
}

// count passes the targets on.
func (c *counted) count(list iter.Seq2[exposure.Target, error]) iter.Seq2[exposure.Target, error] {
	return func(yield func(exposure.Target, error) bool) {
		for t, err := range list {
			c.taken.Add(1)
			if !yield(t, err) {
				return
			}
		}
	}
}

// worked gives how many targets of the list are behind us, and how many it probably
// has: as many for each byte that is still unread as for those that were. 0 is unknown.
func worked(p *exposure.Progress, list *counted) (now, total int64) {
	now, total = p.Done.Load()+p.Skipped.Load(), list.taken.Load()
	switch read := p.Read.Load(); {
	case p.Ended.Load():
		return now, total
	case list.size > 0 && read > 0:
		return now, int64(float64(total) * float64(max(list.size, read)) / float64(read))
	}
	return now, 0
}

// width is how many columns the terminal has.
func width(w any) int {
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return max(columns, narrowest)
		}
	}
	return usualWidth
}

// scanLine is the line of a running scan, in at most so many columns.
func (a *app) scanLine(p *exposure.Progress, now, total int64, since time.Duration, columns int) string {
	done := p.Done.Load()
	line := a.words.T("cmd.exposure.progress", "count", done, "rate", fmt.Sprintf("%.0f", float64(done)/max(since.Seconds(), 0.001)))
	if now > 0 && now < total {
		left := time.Duration(float64(since) * float64(total-now) / float64(now))
		line += a.words.T("cmd.exposure.progress-left", "time", left.Round(time.Second))
	}
	// The outcomes from the front of their list: what was found comes first.
	for i, part := range a.outcomes(p) {
		if i == 0 {
			part = ": " + part
		} else {
			part = ", " + part
		}
		if utf8.RuneCountInString(line)+utf8.RuneCountInString(part) > columns {
			break
		}
		line += part
	}
	return line
}

// outcomes counts the outcomes that there were, in the order of their list.
func (a *app) outcomes(p *exposure.Progress) []string {
	var parts []string
	for i, o := range exposure.Outcomes() {
		if n := p.Outcomes[i].Load(); n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", o, n))
		}
	}
	return parts
}

// scanSummary says at the end what was done and what was left out; err is what ended it early.
func (a *app) scanSummary(p *exposure.Progress, tell *problemTeller, err error) {
	if n := p.Done.Load(); n > 0 {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.summary", "count", n, "requests", p.Requests.Load(), "outcomes", strings.Join(a.outcomes(p), ", ")))
	} else if err == nil {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.summary-none"))
	}
	if n := p.Skipped.Load(); n > 0 {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.skipped", "count", n))
	}
	if tell.count > 0 {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.left-out", "count", tell.count))
	}
}
