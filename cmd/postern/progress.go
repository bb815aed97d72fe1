package main

import (
	"time"

	"github.com/schollz/progressbar/v3"

	"postern/internal/hunt"
)

// progressEvery is often enough to look alive and seldom enough to cost nothing.
const progressEvery = 200 * time.Millisecond

// showProgress shows the work of a hunt on a terminal, and nothing where standard error
// is not one. The function that it gives ends it.
func (a *app) showProgress(p *hunt.Progress) (stop func()) {
	if !isTerminal(a.err) {
		return func() {}
	}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(a.err),
		progressbar.OptionSetDescription(a.words.T("cmd.progress.looking")),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(20),
		progressbar.OptionThrottle(progressEvery))
	done := make(chan struct{})
	ended := make(chan struct{})
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
				if read := p.Bytes.Load(); read > 0 {
					bar.ChangeMax64(max(p.TotalBytes.Load(), read))
					bar.Describe(a.words.T("cmd.progress.reading", "count", p.Files.Load()))
					_ = bar.Set64(read)
				} else {
					bar.Describe(a.words.T("cmd.progress.found", "count", p.Files.Load()))
					_ = bar.Add64(0)
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}
