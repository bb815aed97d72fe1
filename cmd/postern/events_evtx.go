package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/evtx"
	"postern/internal/hunt/source"
)

// eventLog prints the records of an event log of Windows. Values without a name
// make the data a list, in which one that has a name is an object of its own.
func eventLog(ctx context.Context, r io.Reader, path string, out *bufio.Writer, tell func(postern.Problem)) error {
	var unwritten error
	problems, err := evtx.Read(ctx, r, path, func(rec *evtx.Record) error {
		unwritten = writeRecord(out, rec)
		return unwritten
	})
	for _, p := range problems {
		tell(p)
	}
	switch {
	case unwritten != nil:
		return failed(unwritten, "cmd.write")
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !source.Told(err):
		return failed(err, "cmd.open", "file", path)
	}
	return nil
}

// recordRows prints the records of another kind of log as rows.
func recordRows(ctx context.Context, r io.Reader, path string, records *parse.Records, out *bufio.Writer, derived bool, tell func(postern.Problem)) error {
	var unwritten error
	results, err := records.Scan(ctx, r, path, parse.RecordOptions{Yield: func(ev *postern.Event) {
		if unwritten == nil {
			unwritten = writeEvent(out, ev, derived)
		}
	}})
	for _, result := range results {
		for _, p := range result.Problems {
			tell(p)
		}
	}
	switch {
	case unwritten != nil:
		return failed(unwritten, "cmd.write")
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !source.Told(err):
		return failed(err, "cmd.open", "file", path)
	}
	return nil
}

func writeRecord(w *bufio.Writer, rec *evtx.Record) error {
	stamp := ""
	if !rec.Time.IsZero() {
		stamp = rec.Time.Format(time.RFC3339Nano)
	}
	w.WriteString(`{"record":`)
	w.WriteString(strconv.FormatUint(rec.Number, 10))
	for _, f := range [...]evtx.Field{{Name: `,"time":`, Value: stamp}, {Name: `,"channel":`, Value: rec.Channel}, {Name: `,"provider":`, Value: rec.Provider}} {
		w.WriteString(f.Name)
		writeJSON(w, f.Value)
	}
	w.WriteString(`,"event_id":`)
	w.WriteString(strconv.FormatUint(uint64(rec.EventID), 10))
	w.WriteString(`,"computer":`)
	writeJSON(w, rec.Computer)
	w.WriteString(`,"data":`)
	if isList(rec.Data) {
		writeList(w, rec.Data)
	} else {
		writeObject(w, rec.Data)
	}
	w.WriteString(`,"system":`)
	writeObject(w, rec.System)
	_, err := w.WriteString("}\n")
	return err
}

// isList says whether some value has no name.
func isList(fields []evtx.Field) bool {
	for i := range fields {
		if fields[i].Name == "" {
			return true
		}
	}
	return false
}

func writeList(w *bufio.Writer, fields []evtx.Field) {
	w.WriteByte('[')
	for i := range fields {
		if i > 0 {
			w.WriteByte(',')
		}
		if fields[i].Name == "" {
			writeValue(w, &fields[i])
		} else {
			writeObject(w, fields[i:i+1])
		}
	}
	w.WriteByte(']')
}

// writeObject writes fields in their order. One that stands twice gets a number
// behind its name the second time.
func writeObject(w *bufio.Writer, fields []evtx.Field) {
	w.WriteByte('{')
	for i := range fields {
		if i > 0 {
			w.WriteByte(',')
		}
		name, before := fields[i].Name, 0
		for j := range fields[:i] {
			if fields[j].Name == name {
				before++
			}
		}
		if before > 0 {
			name = fmt.Sprintf("%s#%d", name, before+1)
		}
		writeJSON(w, name)
		w.WriteByte(':')
		writeValue(w, &fields[i])
	}
	w.WriteByte('}')
}

func writeValue(w *bufio.Writer, f *evtx.Field) {
	if f.Null {
		w.WriteString("null")
		return
	}
	writeJSON(w, f.Value)
}
