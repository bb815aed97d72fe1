package alert

import (
	"time"
	"unicode/utf16"

	"golang.org/x/sys/windows/svc/eventlog"
)

// eventSource is the name under which events stand in the log Application.
const eventSource = "postern"

// maxEvent is the longest text that Windows takes, in UTF-16 units.
const maxEvent = 31_000

type eventLog struct{ log *eventlog.Log }

// NewEventLog makes a sink that writes into the log Application of Windows. The event ID
// is 100 and the level of a finding, and 90 for anything else.
func NewEventLog() (Sink, error) {
	// Only an administrator can say what the source is called, and only once; without it
	// the viewer shows the text behind a note.
	_ = eventlog.InstallAsEventCreate(eventSource, eventlog.Info|eventlog.Warning|eventlog.Error)
	log, err := eventlog.Open(eventSource)
	if err != nil {
		return nil, err
	}
	return eventLog{log}, nil
}

func (e eventLog) Send(m Message) error {
	text := string(m.Body)
	if units := utf16.Encode([]rune(text)); len(units) > maxEvent {
		text = string(shorten(m.Body, maxEvent))
	}
	id := uint32(90)
	if m.Kind == "finding" || m.Kind == "repeated" {
		id = 100 + uint32(m.Level)
	}
	switch s := severity(m); {
	case s <= 3:
		return e.log.Error(id, text)
	case s <= 4:
		return e.log.Warning(id, text)
	}
	return e.log.Info(id, text)
}

func (e eventLog) Commit() error                    { return nil }
func (e eventLog) Close(time.Duration) (int, error) { return 0, e.log.Close() }
