package alert

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"postern"
)

// Times between tries, if nothing else is said.
const (
	firstPause = time.Second
	lastPause  = time.Minute
	// longestPause is what a receiver may ask for.
	longestPause = 10 * time.Minute
	// together is how many messages are sent before it is noted that they have arrived:
	// as many can come twice.
	together = 32
)

// Options are what all receivers with a queue share.
type Options struct {
	Dir   string // of the queue
	Name  string // of the receiver in the names of files: letters, digits and '-'
	To    string // and for people
	Queue int64  // bytes that may wait; 0 is [DefaultQueue]
	// Tell is told what goes wrong and when it is over, for the person who looks on. It is
	// called by several goroutines.
	Tell func(postern.Text)
	// Dropped makes the message that tells the receiver what it did not get.
	Dropped func(Drops) Message

	pauses [2]time.Duration // shortest and longest; of tests
}

// remote is a receiver with a queue before it.
type remote struct {
	opt  Options
	q    *queue
	t    transport
	wake chan struct{}
	stop chan struct{}
	idle chan struct{} // closed when nothing waits any more and that is asked for
	done sync.WaitGroup

	mu       sync.Mutex
	draining bool
	full     bool // said
	stuck    bool // the disk takes nothing, which was said; of whoever commits
}

// newRemote opens the queue and begins to send what waits in it.
func newRemote(t transport, opt Options) (*remote, error) {
	if opt.Queue == 0 {
		opt.Queue = DefaultQueue
	}
	if opt.pauses[0] == 0 {
		opt.pauses = [2]time.Duration{firstPause, lastPause}
	}
	q, err := openQueue(opt.Dir, opt.Name, opt.Queue)
	if err != nil {
		return nil, err
	}
	r := &remote{opt: opt, q: q, t: t, wake: make(chan struct{}, 1), stop: make(chan struct{}), idle: make(chan struct{})}
	r.done.Go(r.run)
	return r, nil
}

// Send puts a message into the queue. That there was no room is said once and counted.
func (r *remote) Send(m Message) error {
	took := r.q.put(m)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !took && !r.full {
		r.opt.Tell(postern.Say("alert.queue-full", "to", r.opt.To, "bound", r.opt.Queue))
	}
	r.full = !took
	return nil
}

// Commit writes the queue to disk. That it cannot be written is told once.
func (r *remote) Commit() error {
	if d, ok := r.q.lost(); ok && r.q.put(r.opt.Dropped(d)) {
		r.q.owned(d)
		r.opt.Tell(postern.Say("alert.dropped", "to", r.opt.To, "count", d.Total()))
	}
	err := r.q.commit()
	if err != nil && !r.stuck {
		r.opt.Tell(postern.Say("alert.queue-disk", "to", r.opt.To, "reason", bare(err)))
	}
	r.stuck = err != nil
	r.poke()
	return err
}

func (r *remote) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close waits for what is on its way, for a while.
func (r *remote) Close(patience time.Duration) (left int, err error) {
	err = r.Commit()
	r.mu.Lock()
	r.draining = true
	r.mu.Unlock()
	r.poke()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-r.idle:
	case <-timer.C:
	}
	close(r.stop)
	r.done.Wait()
	r.t.close()
	return r.q.waits(), errors.Join(err, r.q.close())
}

// run sends what waits, and again what did not arrive.
func (r *remote) run() {
	pause := time.Duration(0)
	failing := ""
	for {
		messages, ends, err := r.q.peek(together)
		if err == nil && len(messages) == 0 {
			r.mu.Lock()
			draining := r.draining
			r.mu.Unlock()
			if draining {
				close(r.idle)
				return
			}
			select {
			case <-r.wake:
			case <-r.stop:
				return
			}
			continue
		}
		n := 0
		if err == nil {
			n, err = r.t.deliver(r.stop, messages)
			var no *refused
			if errors.As(err, &no) {
				r.opt.Tell(postern.Say("alert.refused", "to", r.opt.To, "id", messages[n].ID, "reason", no.reason))
				r.q.refuse(messages[n])
				n++
				err = nil
			}
			if n > 0 {
				pause = 0
				err = errors.Join(err, r.q.arrived(n, ends[n-1]))
			}
		}
		if err == nil {
			if failing != "" {
				r.opt.Tell(postern.Say("alert.again", "to", r.opt.To))
				failing = ""
			}
			continue
		}
		select {
		case <-r.stop:
			return
		default:
		}
		if why := err.Error(); failing == "" {
			r.opt.Tell(postern.Say("alert.failing", "to", r.opt.To, "reason", why))
			failing = why
		}
		pause = min(max(2*pause, r.opt.pauses[0]), r.opt.pauses[1])
		wait := pause/2 + rand.N(pause/2+1) // so that many watches do not come back at the same time
		var later *retryAfter
		if errors.As(err, &later) {
			wait = max(wait, min(later.wait, longestPause))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-r.stop:
			timer.Stop()
			return
		}
	}
}

// retryAfter is that a receiver has said when it wants to be asked again.
type retryAfter struct {
	wait time.Duration
	err  error
}

func (r *retryAfter) Error() string { return fmt.Sprintf("%v (asks for a pause of %v)", r.err, r.wait) }
func (r *retryAfter) Unwrap() error { return r.err }
