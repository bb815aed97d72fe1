package alert

import "golang.org/x/sys/windows/svc/eventlog"

// eventSource is the name under which events stand in the log Application.
const eventSource = "postern"

// NewEventLog makes a sink that writes into the log Application of Windows.
func NewEventLog(opt Options) (Sink, error) {
	// Only an administrator can say what the source is called, and only once; without it
	// the viewer shows the text behind a note.
	_ = eventlog.InstallAsEventCreate(eventSource, eventlog.Info|eventlog.Warning|eventlog.Error)
	log, err := openEvents()
	if err != nil {
		return nil, err
	}
	return newRemote(&eventLog{open: openEvents, log: log}, opt)
}

func openEvents() (events, error) {
	log, err := eventlog.Open(eventSource)
	if err != nil {
		return nil, err
	}
	return log, nil
}
