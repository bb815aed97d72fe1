// Package watch follows a live server: its logs as they grow, rotate and begin anew,
// and its web folders. Input: folders, and the same detectors and rules with which
// the river hunts. Output: alerts, a few seconds after what they are about is on disk:
// a finding for a row or a file, a count in the place of what is alike, and what could
// not be looked at.
//
// A watch asks the file system again and again and keeps no file open, so that
// it works on any drive and is in nobody's way. How far each log was read is kept on
// disk ([store]); it is written behind the alerts, so that whatever happens in between
// an alert comes twice, with the same ID, and never not at all.
//
// Memory is bounded by the files that are followed (see [Limits]), never by their size.
package watch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"postern"
	"postern/internal/hunt"
	"postern/internal/hunt/correlate"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse"
)

// Times of the watch.
const (
	// tick is how often logs that grow are looked at: what is new on disk becomes an
	// alert within 5 seconds.
	tick = 1500 * time.Millisecond
	// fullEvery is how often at least all folders are listed; those of logs and pages are
	// looked at with every tick.
	fullEvery = 30 * time.Second
	// eachEvery is how often at least every page is asked whether it was written over: what
	// is left of the 5 seconds is for the rest.
	eachEvery = 3 * time.Second
	// share is the part of one core that looking at folders may take: a round that took
	// a second is not begun again before a hundred have passed.
	share = 100
	// saveEvery is how often positions are saved that no alert waits for.
	saveEvery = 5 * time.Second
	// aliveEvery is how often a watch says that it is there.
	aliveEvery = time.Hour
)

// Kind says what an alert is about.
type Kind string

// The closed list of kinds.
const (
	Found    Kind = "finding"  // a row or a file
	Repeated Kind = "repeated" // how often the same came again
	Trouble  Kind = "problem"  // something is not looked at, or not wholly
	Alive    Kind = "alive"    // the watch is there; what it has looked at
)

// Alert is what the watch says. ID is the same whenever the same is said again, as
// happens when a watch was killed before it could note what it had said.
type Alert struct {
	ID     string
	Kind   Kind
	Root   string // the folder that was named, of Found
	Host   string
	Raised postern.Instant

	Finding *postern.Finding // of Found
	Problem *postern.Problem // of Trouble
	Repeat  *Repeat          // of Repeated
	Stats   *Stats           // of Alive
}

// Repeat counts findings that are alike and were not raised one by one.
type Repeat struct {
	Rule     string
	Campaign string
	Title    postern.Text
	Level    postern.Level
	Who      string // client, account or file; "" if there were too many to tell apart
	Count    int64
	Others   int64 // different ones, if Who is empty
	First    postern.Instant
	Last     postern.Instant
}

// Stats is what a watch has done since it began.
type Stats struct {
	Files, Logs           int64 // followed now
	Bytes, Rows           int64
	Findings, Alerts      int64
	Problems              int64
	Found                 postern.Level // the worst of what was raised
	QuickEvery, FullEvery time.Duration // how often files are looked at that are known, and all folders
}

// Sink is told what the watch finds, by one goroutine.
type Sink interface {
	Raise(Alert) error
	// Commit returns when nothing of what was raised can be lost any more. Only then
	// positions are saved; after an error it is asked again.
	Commit() error
}

// Options is everything that a watch is told.
type Options struct {
	Roots     []string // folders
	Campaigns []postern.Campaign
	Formats   []*parse.Format
	Rules     hunt.Rules
	Files     []detect.FileDetector
	Hosts     []detect.HostDetector // those that judge settings
	Product   correlate.Product

	Host      string // the one name of the host, "" to take that of the logs
	PatchedAt postern.Instant
	Own       []netip.Prefix
	Level     postern.Level // findings below it are not raised

	// Start says that logs which were there before the first watch are read from their
	// beginning; otherwise only what comes behind.
	Start bool
	// State is the folder of positions, "" to keep none.
	State string

	Limits Limits
	Now    func() time.Time

	fast bool // of tests: see [store]
}

// Limits bound what is remembered. Zero fields have their defaults.
type Limits struct {
	Files   int // logs and files of interest, at some 300 bytes each
	Folders int // at some 200
}

func (l Limits) withDefaults() Limits {
	if l.Files == 0 {
		l.Files = 100_000 // an Exchange server has 10,000 and writes 30,000 logs a year
	}
	if l.Folders == 0 {
		l.Folders = 100_000 // more than any drive without the copies of Windows in it
	}
	return l
}

// Watch follows folders. It is used by one goroutine.
type Watch struct {
	opt   Options
	sink  Sink
	roots []*root
	hosts map[string]*host
	store *store
	quiet *quiet
	told  map[string]bool // problems that were told

	headers parse.Headers
	scratch parse.Scratch
	reading recorder
	stats   Stats

	quickAt, eachAt, fullAt, savedAt, aliveAt time.Time

	each   bool // a quick look asks for each file
	raised bool // since the last save
}

// New opens folders and takes up where the last watch with the same state has ended.
func New(opt Options, sink Sink) (*Watch, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.Limits = opt.Limits.withDefaults()
	w := &Watch{opt: opt, sink: sink, hosts: make(map[string]*host), told: make(map[string]bool)}
	kept, err := openStore(opt.State, opt.fast)
	if err != nil {
		return nil, err
	}
	w.store = kept
	w.quiet = newQuiet(kept.repeats)
	for _, name := range opt.Roots {
		r, err := openRoot(name)
		if err != nil {
			w.Close()
			return nil, err
		}
		// Of a state that is damaged nobody knows what was in it: better twice than never.
		r.known = kept.roots[r.path] || kept.damaged != ""
		w.roots = append(w.roots, r)
	}
	if kept.damaged != "" {
		err = w.problem(postern.Problem{Path: filepath.ToSlash(filepath.Join(opt.State, stateName)), What: postern.Malformed,
			Detail: postern.Say("watch.state-damaged", "reason", kept.damaged)})
	}
	now := opt.Now()
	w.aliveAt, w.savedAt = now, now
	return w, err
}

// Close lets go of folders and state. Positions are those of the last pass.
func (w *Watch) Close() error {
	for _, r := range w.roots {
		r.dir.Close()
	}
	return w.store.close()
}

// Stats says what was done so far.
func (w *Watch) Stats() Stats { return w.stats }

// Run watches until the context ends, and saves what it knows.
func (w *Watch) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return w.end()
		case <-timer.C:
		}
		again, err := w.pass(ctx, false)
		if err == nil {
			err = w.nothing()
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		if again {
			timer.Reset(0)
		} else {
			timer.Reset(tick)
		}
	}
}

// Once looks at everything once, until nothing is new, and saves what it knows.
func (w *Watch) Once(ctx context.Context) error {
	for {
		again, err := w.pass(ctx, true)
		switch {
		case ctx.Err() != nil:
			return w.end()
		case err != nil:
			return err
		case !again:
			return errors.Join(w.nothing(), w.end())
		}
	}
}

// end counts what is not said yet, and saves.
func (w *Watch) end() error {
	if err := w.repeats(true); err != nil {
		return err
	}
	return w.save(true)
}

// pass looks once at what has changed. Again says that there is more to read at once.
func (w *Watch) pass(ctx context.Context, full bool) (again bool, err error) {
	now := w.opt.Now()
	switch {
	case full || !now.Before(w.fullAt):
		err = w.look(ctx, true)
		took := w.opt.Now().Sub(now)
		w.stats.FullEvery = max(fullEvery, share*took)
		w.fullAt = now.Add(w.stats.FullEvery)
	case !now.Before(w.quickAt):
		// New names show in the times of folders. Files that were written over show only in
		// their own, which takes longer to ask for, on Windows very much so.
		w.each = !now.Before(w.eachAt)
		err = w.look(ctx, false)
		took := w.opt.Now().Sub(now)
		if w.quickAt = now.Add(tick); w.each {
			w.stats.QuickEvery = max(eachEvery, share*took)
			w.eachAt = now.Add(w.stats.QuickEvery)
		} else {
			w.quickAt = now.Add(max(tick, share*took))
		}
	}
	if err != nil {
		return false, err
	}
	if err := w.files(ctx); err != nil {
		return false, err
	}
	if again, err = w.logs(ctx); err != nil {
		return false, err
	}
	if err := w.repeats(false); err != nil {
		return false, err
	}
	if err := w.alive(); err != nil {
		return false, err
	}
	return again, w.save(false)
}

// save notes how far everything was read, once nothing of it can be lost.
func (w *Watch) save(last bool) error {
	now := w.opt.Now()
	// From the first look on, what is new must be told from what was there before.
	first := slices.ContainsFunc(w.roots, func(r *root) bool { return r.looked && !r.known })
	if !last && !first && !w.raised && now.Sub(w.savedAt) < saveEvery {
		return nil
	}
	if w.raised {
		if err := w.sink.Commit(); err != nil {
			// A full disk must not end the watch. Positions stay where they are, so that what
			// is lost of the alerts is raised again.
			return w.notSaved(err)
		}
	}
	w.raised, w.savedAt = false, now
	for _, r := range w.roots {
		if r.looked && !r.known {
			r.known = true
			w.store.root(r.path)
		}
		for _, f := range r.dirty {
			w.store.log(r.path, f.pos)
			f.dirty = false
		}
		r.dirty = r.dirty[:0]
	}
	w.quiet.save(w.store)
	if err := w.store.commit(last); err != nil {
		return w.notSaved(err) // what is not saved is read again, if it comes to that
	}
	return nil
}

// notSaved tells that positions are not on the disk.
func (w *Watch) notSaved(err error) error {
	return w.problem(postern.Problem{Path: filepath.ToSlash(filepath.Join(w.opt.State, stateName)), What: postern.Unreadable,
		Detail: postern.Say("watch.not-saved", "reason", reason(err))})
}

// alive says that the watch is there.
func (w *Watch) alive() error {
	now := w.opt.Now()
	if now.Sub(w.aliveAt) < aliveEvery {
		return nil
	}
	w.aliveAt = now
	s := w.stats
	return w.raise(Alert{ID: alertID("alive", w.opt.Host, now.UTC().Format(time.RFC3339)), Kind: Alive, Host: w.opt.Host, Stats: &s})
}

// raise hands an alert on.
func (w *Watch) raise(a Alert) error {
	a.Raised = w.opt.Now().UTC()
	w.raised = true
	w.stats.Alerts++
	if err := w.sink.Raise(a); err != nil {
		return fmt.Errorf("raise: %w", err)
	}
	return nil
}

// maxTold bounds the problems remembered as told; beyond it they are counted.
const maxTold = 10_000

// toldKey is what is the same of problems that are told once.
func toldKey(p postern.Problem) string { return p.Path + "\x00" + p.Detail.Key }

// problem tells once what is not looked at.
func (w *Watch) problem(p postern.Problem) error {
	key := toldKey(p)
	if w.told[key] {
		return nil
	}
	w.stats.Problems++
	if len(w.told) >= maxTold {
		return nil
	}
	w.told[key] = true
	return w.raise(Alert{ID: alertID("problem", p.Path, p.Detail.Key), Kind: Trouble, Problem: &p})
}
