package alert

import "unicode/utf16"

// maxEvent is the longest text that Windows takes, in UTF-16 units.
const maxEvent = 31_000

// events is the event log of Windows, as far as it is written into.
type events interface {
	Error(id uint32, text string) error
	Warning(id uint32, text string) error
	Info(id uint32, text string) error
	Close() error
}

// eventLog brings messages into it. The event ID is 100 and the level of a finding, and
// 90 for anything else.
type eventLog struct {
	open func() (events, error)
	log  events // nil while it is not open
}

// deliver writes one event after the other. The log is opened again after an error: the
// service behind it may have been started anew.
func (e *eventLog) deliver(_ <-chan struct{}, messages []Message) (int, error) {
	if e.log == nil {
		log, err := e.open()
		if err != nil {
			return 0, err
		}
		e.log = log
	}
	for n, m := range messages {
		if len(m.Body) == 0 {
			return n, errDamaged
		}
		if err := e.write(m); err != nil {
			e.close()
			return n, err
		}
	}
	return len(messages), nil
}

func (e *eventLog) write(m Message) error {
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

func (e *eventLog) close() {
	if e.log != nil {
		_ = e.log.Close() // what was written is written
		e.log = nil
	}
}
