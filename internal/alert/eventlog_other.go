//go:build !windows

package alert

import "errors"

// ErrNoEventLog is that only Windows has one.
var ErrNoEventLog = errors.New("only Windows has an event log")

// NewEventLog makes a sink that writes into the event log of Windows.
func NewEventLog(Options) (Sink, error) { return nil, ErrNoEventLog }
