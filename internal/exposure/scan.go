package exposure

import (
	"container/heap"
	"context"
	"iter"
	"slices"
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
	// Skip says that a target was reported already. It is called once for each target,
	// by one goroutine.
	Skip func(*Target) (bool, error)
	// Abandon: on an interruption, report what was under way as aborted. Without it
	// such targets get no record, so that another run can do them.
	Abandon  bool
	Now      func() time.Time
	Progress *Progress

	emit sync.Mutex // only Emit is called under it
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
	// Not waited for: it may sit in a read of standard input that nobody can end.
	go s.read(ctx, cancel, targets, fresh)
	var workers sync.WaitGroup
	for range max(s.Workers, 1) {
		workers.Go(func() {
			for v := range work {
				if s.step(ctx, cancel, v) {
					v = nil
				}
				back <- v
			}
		})
	}
	s.dispatch(ctx, fresh, work, back)
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

// read feeds the targets that were not reported yet.
func (s *Scan) read(ctx context.Context, cancel context.CancelCauseFunc, targets iter.Seq2[Target, error], fresh chan<- *visit) {
	defer close(fresh)
	for t, err := range targets {
		if err != nil {
			cancel(err)
			return
		}
		done, err := s.Skip(&t)
		if err != nil {
			cancel(err)
			return
		}
		if done {
			s.Progress.Skipped.Add(1)
			continue
		}
		select {
		case fresh <- &visit{target: t}:
		case <-ctx.Done():
			return
		}
	}
	s.Progress.Ended.Store(true)
}

// dispatch hands visits to the workers: those whose time has come before new ones.
func (s *Scan) dispatch(ctx context.Context, fresh <-chan *visit, work chan<- *visit, back <-chan *visit) {
	var waiting queue
	var next *visit
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for busy, stop := 0, ctx.Done(); fresh != nil || next != nil || len(waiting) > 0 || busy > 0; {
		if next == nil && len(waiting) > 0 {
			if d := waiting[0].due.Sub(s.Now()); d <= 0 {
				next = heap.Pop(&waiting).(*visit)
			} else {
				timer.Reset(d)
			}
		}
		in, out := fresh, work
		if next == nil {
			out = nil
		}
		if next != nil || len(waiting) >= maxWaiting {
			in = nil
		}
		select {
		case v, ok := <-in:
			if next = v; !ok {
				fresh = nil
			}
		case out <- next:
			next = nil
			busy++
			s.Progress.Started.Add(1)
		case v := <-back:
			if busy--; v != nil && stop != nil {
				heap.Push(&waiting, v)
			}
		case <-timer.C:
		case <-stop:
			// What waits has no record, so that another run can do it.
			fresh, next, waiting, stop = nil, nil, nil, nil
		}
	}
}

// step takes a visit as far as it goes. It is true when the target has its record
// and false when the visit has to wait until it is due.
func (s *Scan) step(ctx context.Context, cancel context.CancelCauseFunc, v *visit) (done bool) {
	o := Observation{Schema: Schema, Target: v.target.Text, Name: v.target.Name, Port: int(v.target.Port), Time: s.Now().UTC(),
		ASN: v.target.ASN, Country: v.target.Country, Sector: v.target.Sector, Requests: v.spent, Bytes: v.bytes}
	if v.target.Address.IsValid() {
		o.Address = v.target.Address.String()
	}
	if again := s.unbroken(ctx, v, &o); again > 0 && ctx.Err() == nil {
		v.due = s.Now().Add(again)
		return false
	}
	if o.Outcome == Aborted && ctx.Err() != nil && !s.Abandon {
		return true
	}
	line, err := s.Finish(&o)
	if err == nil {
		s.emit.Lock()
		err = s.Emit(&v.target, &o, line)
		s.emit.Unlock()
	}
	if err != nil {
		cancel(err)
		return true
	}
	s.Progress.note(&o)
	return true
}

// unbroken keeps a host on whose answers the program stumbles from ending the scan of all:
// it has a record that says so.
func (s *Scan) unbroken(ctx context.Context, v *visit, o *Observation) (again time.Duration) {
	defer func() {
		if recover() != nil {
			o.Outcome, o.Why, again = Aborted, postern.Say("exposure.stop.stumbled"), 0
		}
	}()
	return s.look(ctx, v, o)
}

// look visits the places of a target, one after the other, until one answers. A
// positive time says that the visit has to wait first.
func (s *Scan) look(ctx context.Context, v *visit, o *Observation) time.Duration {
	if v.places == nil {
		places, stop := s.Places(ctx, &v.target)
		if stop != nil {
			o.Outcome, o.Why = stop.Outcome, stop.Why
			return 0
		}
		v.places = places[:min(len(places), maxPlaces)]
	}
	for {
		p := v.places[0]
		o.Address, o.Port = p.Address.String(), int(p.Port)
		if p.ASN != 0 {
			o.ASN = p.ASN
		}
		if !v.turn {
			v.turn = true
			if wait := s.Turn(p); wait > 0 {
				return wait
			}
		}
		give, ok := s.Take(p)
		if !ok {
			return busyPause
		}
		again := func() time.Duration {
			defer give()
			return s.Look(ctx, p, o)
		}()
		v.visits++
		v.spent, v.bytes, v.turn = o.Requests, o.Bytes, false
		if again > 0 && again <= maxPatience && v.visits < maxVisits {
			return again
		}
		if v.places = v.places[1:]; len(v.places) == 0 || !silent(o.Outcome) || ctx.Err() != nil {
			return 0
		}
	}
}

// busyPause is how long a target waits while another one has its host.
const busyPause = 50 * time.Millisecond

// silent says whether nobody answered, so that another address of the name may.
func silent(o Outcome) bool { return o == Refused || o == Reset || o == Timeout }

func (p *Progress) note(o *Observation) {
	p.Done.Add(1)
	p.Requests.Add(int64(o.Requests))
	if i := slices.Index(Outcomes(), o.Outcome); i >= 0 {
		p.Outcomes[i].Add(1)
	}
}

// queue is the visits that wait, the next one first.
type queue []*visit

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(v any)        { *q = append(*q, v.(*visit)) }
func (q *queue) Pop() any {
	old := *q
	v := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return v
}
