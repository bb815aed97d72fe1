package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"postern/internal/exercise/eventlog"
)

// eventLogFile FILE EVENTS [BYTES] writes an event log of Windows with the events that
// stand in another file, one object a line, data as pairs of name and value, and takes
// so many bytes off its end.
func eventLogFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: eventlog FILE EVENTS [BYTES]")
	}
	var events []eventlog.Event
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		var e struct {
			Time              time.Time
			Channel, Provider string
			ID                uint16
			Level             uint8
			Computer          string
			Data              [][2]any
			UserData          string
			Nested            bool
		}
		ts.Check(json.Unmarshal([]byte(line), &e))
		event := eventlog.Event{Time: e.Time, Channel: e.Channel, Provider: e.Provider, ID: e.ID, Level: e.Level, Computer: e.Computer, UserData: e.UserData, Nested: e.Nested}
		for _, pair := range e.Data {
			name, _ := pair[0].(string)
			value := pair[1]
			if n, ok := value.(float64); ok {
				value = uint32(n)
			}
			event.Data = append(event.Data, eventlog.Value{Name: name, Value: value})
		}
		events = append(events, event)
	}
	var b bytes.Buffer
	ts.Check(eventlog.Write(&b, events))
	data := b.Bytes()
	if len(args) == 3 {
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		data = data[:len(data)-n]
	}
	name := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(name), 0o755))
	ts.Check(os.WriteFile(name, data, 0o644))
}
