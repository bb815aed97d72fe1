// Package alert carries alerts to whoever listens: as lines of JSON, by syslog (RFC 5424
// over UDP, TCP or TLS with the framing of RFC 6587), as signed HTTP requests, or
// into the event log of Windows. Input: messages, each one JSON object on one line
// that is safe to print. Output: the same bytes at the other end, at least once.
//
// What goes over a network, or into the event log, waits in a [queue] on disk, so that a
// message that was taken is neither lost when the receiver is away nor when the program is
// killed, and a receiver that takes nothing keeps no other from its messages. The queue is
// bounded: what does not fit is counted by level, said at once, and said to the receiver
// when there is room again.
package alert

import (
	"errors"
	"fmt"
	"io"
	"time"

	"postern"
)

// Message is one alert on its way.
type Message struct {
	ID    string        `json:"id"`
	Kind  string        `json:"kind"` // "finding", "repeated" …
	Host  string        `json:"host,omitempty"`
	Level postern.Level `json:"level"`
	Time  time.Time     `json:"time"`
	Body  []byte        `json:"body"` // one line without its end
}

// Sink takes messages, from one goroutine.
type Sink interface {
	// Send takes a message. It may be lost until Commit has returned without an error; after
	// one, the next Commit tries again.
	Send(Message) error
	Commit() error
	// Close gives what waits a last chance and says how many messages are left for the
	// next run.
	Close(patience time.Duration) (left int, err error)
}

// lines writes one message a line.
type lines struct{ w io.Writer }

// NewLines makes a sink that writes lines and needs no queue: who reads them is there.
func NewLines(w io.Writer) Sink { return lines{w} }

func (l lines) Send(m Message) error {
	_, err := l.w.Write(append(m.Body[:len(m.Body):len(m.Body)], '\n'))
	return err
}
func (l lines) Commit() error                    { return nil }
func (l lines) Close(time.Duration) (int, error) { return 0, nil }

// All gives every message to several sinks.
func All(sinks ...Sink) Sink { return all(sinks) }

type all []Sink

func (a all) Send(m Message) error {
	return a.each(func(s Sink) error { return s.Send(m) })
}

func (a all) Commit() error { return a.each(Sink.Commit) }

func (a all) Close(patience time.Duration) (left int, err error) {
	end := time.Now().Add(patience)
	err = a.each(func(s Sink) error {
		n, err := s.Close(max(0, time.Until(end)))
		left += n
		return err
	})
	return left, err
}

func (a all) each(do func(Sink) error) error {
	var errs []error
	for _, s := range a {
		errs = append(errs, do(s))
	}
	return errors.Join(errs...)
}

// refused is that a receiver will never take a message, however often it is sent.
type refused struct{ reason string }

// errDamaged is about what stood in the queue and is no message any more.
var errDamaged = &refused{"damaged in the queue"}

func (r *refused) Error() string { return fmt.Sprintf("refused: %s", r.reason) }

// transport brings messages to a receiver.
type transport interface {
	// deliver sends messages in their order and says how many have arrived. A *refused
	// is about the one behind them.
	deliver(stop <-chan struct{}, messages []Message) (int, error)
	close()
}
