// Package exercise makes a simulated world to demonstrate, drill, test and
// measure with. This part lays out the evidence of Exchange servers: folders as a
// collector would have copied them, with logs, web folders and configuration.
//
// Input: [Options]. Output: a folder for each host, and truth.json beside them,
// which says what was planted where ([Truth]). The same options give the same
// bytes and file times, on any machine and any number of cores. All text is what
// Exchange writes, as far as it is known from published rows; what is guessed is
// listed in docs/formats/exercise.md. Times are UTC, sizes are bytes.
//
// Nothing that is laid out can run: the bodies of web shells are a placeholder in
// a script language that does not exist, libraries have no code, archives hold
// text that says what it is. No client address is anybody's: all are from the
// networks that RFC 5737 and RFC 2544 set aside.
package exercise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// Defaults of [Options].
const (
	// DefaultHostSize is enough for every hour of four weeks to have rows, and
	// little enough that a demonstration starts at once.
	DefaultHostSize = 30 << 20
	// DefaultHosts is how many servers are laid out when neither hosts nor stories are asked for.
	DefaultHosts = 6
	// MinHostSize is what three days of a nearly idle server take.
	MinHostSize = 1 << 20
	// MaxHosts keeps names of four digits apart.
	MaxHosts = 9999

	// sizeForAllDays is what a host needs so that each hour of the default four
	// weeks can have rows; with less, fewer days are laid out.
	sizeForAllDays = 9 << 20
)

// The default range: the four weeks around the mass exploitation, which is also
// what Exchange keeps of its own logs.
var (
	defaultFrom = time.Date(2021, 2, 20, 0, 0, 0, 0, time.UTC)
	defaultTo   = time.Date(2021, 3, 20, 0, 0, 0, 0, time.UTC)
	// defaultWindow is the time that must be covered for "not seen" to mean
	// something, as the pack proxylogon says it.
	defaultWindow = Span{
		From: time.Date(2021, 2, 26, 0, 0, 0, 0, time.UTC),
		To:   time.Date(2021, 3, 15, 0, 0, 0, 0, time.UTC),
	}
)

// Variation says how planted rows are written.
type Variation int

// How planted rows are written.
const (
	VarySome Variation = iota // about a third of them in an unusual way
	VaryAll                   // every one in an unusual way
	VaryNone                  // as the published rows are
)

// Options say what to lay out. The zero value of all but Out is usable.
type Options struct {
	Seed uint64
	// Out is a folder that does not exist yet or is empty.
	Out string
	// Size is that of all hosts together, met within a tenth. 0 is DefaultHostSize each.
	Size int64
	// Stories are names of Stories, one host each in turn. None is a mix of them.
	Stories []string
	// Hosts is how many servers. 0 is one for each story, or DefaultHosts.
	Hosts int
	// From and To are the time that logs can be of. If both are zero, it is the
	// four weeks from 2021-02-20, or fewer days around 2021-03-03 for a small Size.
	From, To time.Time
	// Window decides which hosts are expected to be conclusive. Zero is the one of
	// the pack proxylogon, 2021-02-26 to 2021-03-15; a shorter range cannot cover it.
	Window    Span
	Variation Variation
	// Progress is called now and then, never by two goroutines at once. May be nil.
	Progress func(Progress)
}

// Progress says how far the work is.
type Progress struct {
	Host      string // the one that moved
	HostsDone int
	Hosts     int
	Bytes     int64 // written so far
	Total     int64 // that will be written, nearly
}

// Evidence lays out servers and says what was planted. On an error the folder
// holds what was written so far and no truth.json.
func Evidence(ctx context.Context, o Options) (Truth, error) {
	o, err := o.settled()
	if err != nil {
		return Truth{}, err
	}
	root, err := openEmpty(o.Out)
	if err != nil {
		return Truth{}, err
	}
	defer root.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := watcher{o: &o}
	truth := Truth{Schema: Schema, Seed: o.Seed, From: o.From, To: o.To, Window: o.Window, Hosts: make([]HostTruth, o.Hosts)}
	work := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), o.Hosts) {
		workers.Go(func() {
			for i := range work {
				h := newHost(&o, i, root)
				if err := h.layOut(ctx, &watch); err != nil {
					cancel(fmt.Errorf("%s: %w", h.name, err))
				}
				truth.Hosts[i] = h.truth
			}
		})
	}
	for i := 0; i < o.Hosts && ctx.Err() == nil; i++ {
		work <- i
	}
	close(work)
	workers.Wait()
	if ctx.Err() != nil {
		return Truth{}, context.Cause(ctx)
	}
	return truth, truth.write(root)
}

// Tiny lays out one host of less than 2 MB with a few days of logs: a sample for tests.
func Tiny(dir, story string, seed uint64) (Truth, error) {
	return Evidence(context.Background(), Options{Seed: seed, Out: dir, Stories: []string{story}, Size: 3 << 19})
}

// settled gives the options with all defaults in them, or what is wrong with them.
func (o Options) settled() (Options, error) {
	for _, name := range o.Stories {
		if findStory(name) == nil {
			return o, fmt.Errorf("story %q: there is none of that name", name)
		}
	}
	if o.Hosts == 0 {
		if o.Hosts = len(o.Stories); o.Hosts == 0 {
			o.Hosts = DefaultHosts
		}
	}
	if o.Hosts < 1 || o.Hosts > MaxHosts {
		return o, fmt.Errorf("%d hosts: want 1 to %d", o.Hosts, MaxHosts)
	}
	if len(o.Stories) == 0 {
		o.Stories = mix
	}
	if o.Size == 0 {
		o.Size = int64(o.Hosts) * DefaultHostSize
	}
	each := o.Size / int64(o.Hosts)
	if each < MinHostSize {
		return o, fmt.Errorf("%d bytes for %d hosts: each needs at least %d", o.Size, o.Hosts, MinHostSize)
	}
	if o.From.IsZero() != o.To.IsZero() {
		return o, errors.New("the range needs both its beginning and its end, or neither")
	}
	if o.From.IsZero() {
		o.From, o.To = rangeFor(each)
	}
	o.From, o.To = o.From.UTC().Truncate(time.Hour), o.To.UTC().Truncate(time.Hour)
	if days := o.To.Sub(o.From).Hours() / 24; days < 2 || days > 366 {
		return o, fmt.Errorf("a range of %.1f days: want 2 to 366", days)
	}
	if each < int64(o.To.Sub(o.From).Hours())*minHourSize {
		return o, fmt.Errorf("%d bytes are too few for a range of %.0f days: want %d", each,
			o.To.Sub(o.From).Hours()/24, int64(o.To.Sub(o.From).Hours())*minHourSize)
	}
	if o.Window == (Span{}) {
		o.Window = defaultWindow
	}
	return o, nil
}

// rangeFor gives the default range, or as many days of it as the size of a host
// suffices for, with the day of most attacks at the same place in them.
func rangeFor(size int64) (from, to time.Time) {
	all := int(defaultTo.Sub(defaultFrom).Hours() / 24)
	days := min(all, max(3, int(int64(all)*size/sizeForAllDays)))
	const attackDay = 11 // of the default range: 2021-03-03
	from = defaultFrom.AddDate(0, 0, attackDay-days*attackDay/all)
	return from, from.AddDate(0, 0, days)
}

// openEmpty makes or opens a folder and refuses one that holds anything: evidence
// of two runs must never mix.
func openEmpty(dir string) (*os.Root, error) {
	if dir == "" {
		return nil, errors.New("no folder to write to")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s: %w: want an empty folder", filepath.Clean(dir), fs.ErrExist)
	}
	return os.OpenRoot(dir)
}

// watcher gathers what the hosts have written into calls of Progress.
type watcher struct {
	o  *Options
	mu sync.Mutex
	at Progress
}

func (w *watcher) wrote(h *host, bytes int64, done bool) {
	if w.o.Progress == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at.Host, w.at.Hosts, w.at.Total = h.name, w.o.Hosts, w.o.Size
	w.at.Bytes += bytes
	if done {
		w.at.HostsDone++
	}
	w.o.Progress(w.at)
}
