package exposure

import (
	"container/heap"
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"postern"
)

// Bounds of a scan.
const (
	// maxWaiting bounds targets that wait for their network's turn or for a host that
	// asked for patience; when it is reached no new ones are read.
	maxWaiting = 8192
	// maxPatience is the longest time that a host may ask to be left alone for and
	// still be looked at in the same scan.
	maxPatience = 60 * time.Second
	// maxVisits bounds how often one target is tried: the first time, once more when
	// its host asked for patience, and some when this machine itself ran short.
	maxVisits = 4
	// maxPlaces bounds the addresses of one name that are tried, one after the other.
	maxPlaces = 3
)

// Scan is the river: targets in, one record each out. Its stages are handed in.
type Scan struct {
	// Workers is how many targets may be under way at once.
	Workers int
	// Places checks a target against the scope and gives the addresses that may be
	// contacted, at least one, or says why none may.
	Places func(context.Context, *Target) ([]Place, *Stop)
	// Turn reserves the next moment at which the place's network may be visited and
	// gives the time until then.
	Turn func(Place) time.Duration
	// Take makes the host this caller's alone until give is called; false if another
	// one has it.
	Take func(Place) (give func(), ok bool)
	// Look visits a place. It fills in the record; a positive time asks for another
	// visit after it, if there may be one.
	Look func(ctx context.Context, p Place, o *Observation) (again time.Duration)
	// Finish completes a record and turns it into a line.
	Finish func(*Observation) ([]byte, error)
	// Emit takes a line. It is called by one goroutine at a time.
	Emit func(t *Target, o *Observation, line []byte) error
	// Bad takes a part of the target list that is none.
	Bad func(postern.Problem)
	// Skip says that a target was reported already. It is called once for each target,
	// by one goroutine.
	Skip func(*Target) bool
	// Abandon: on an interruption, report what was under way as aborted. Without it
	// such targets get no record, so that another run can do them.
	Abandon  bool
	Now      func() time.Time
	Progress *Progress
}

// Progress counts while a scan runs.
type Progress struct {
	Started, Done, Skipped, Requests atomic.Int64
	Outcomes                         [13]atomic.Int64 // in the order of Outcomes()
	Read                             atomic.Int64     // bytes of the target list
	Ended                            atomic.Bool      // the list is read to its end
}

// visit is a target on its way, with what was found out before it had to wait.
type visit struct {
	target Target
	places []Place
	due    time.Time // not before
	turn   bool      // it waited for its turn, which has come
	visits int
	spent  int   // requests of earlier visits
	bytes  int64 // of earlier visits
}

// Run looks at every target once. It ends when all have their record, when the
// context is cancelled, or with the first error of the list or of Emit.
func (s *Scan) Run(ctx context.Context, targets iter.Seq2[Target, error]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fresh, work, back := make(chan *visit), make(chan *visit), make(chan *visit)
	var reader, workers sync.WaitGroup
	var emit sync.Mutex
	reader.Go(func() {
		defer close(fresh)
		s.read(ctx, cancel, targets, fresh)
	})
	for range max(s.Workers, 1) {
		workers.Go(func() {
			for v := range work {
				var o *Observation
				if v, o = s.step(ctx, v), nil; v.due.IsZero() {
					continue
				}
				_ = o
				back <- v
			}
		})
	}
	_ = emit
	close(work)
	workers.Wait()
	reader.Wait()
	return context.Cause(ctx)
}
var _ = heap.Init
func (s *Scan) read(context.Context, context.CancelCauseFunc, iter.Seq2[Target, error], chan *visit) {}
func (s *Scan) step(context.Context, *visit) *visit { return nil }
