// Package parsetest asks the questions that every text log format has to answer,
// however hostile its input. Input: a format and bytes. Output: failures of the
// test that asks. It is used from _test.go files only.
package parsetest

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/parse"
)

// Bounds that the events of any input keep.
const (
	// maxDerived is the longest list of derived fields: the pairs of a blob, and a
	// few dozen more.
	maxDerived = 4096 + 64
	// maxGrowth is how many times longer than its line all values of one list can be:
	// a byte that is no UTF-8 becomes three, and a value stands in a few fields.
	maxGrowth = 3 * 16
)

// Scan reads data as a log of the format and gives its events.
func Scan(t testing.TB, f *parse.Format, data []byte) ([]postern.Event, *parse.Result) {
	t.Helper()
	return scan(t, f, bytes.NewReader(data), nil, nil)
}

func scan(t testing.TB, f *parse.Format, r io.Reader, gate parse.Gate, scratch *parse.Scratch) ([]postern.Event, *parse.Result) {
	t.Helper()
	var events []postern.Event
	opt := parse.Options{Scratch: scratch, Yield: func(ev *postern.Event) { events = append(events, Kept(ev)) }}
	if gate != nil {
		opt.Gate = func(*parse.Format, []string) parse.Gate { return gate }
	}
	result, err := parse.Scan(context.Background(), r, "logs/x.log", f, opt)
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	return events, result
}

// Derived gives the derived fields of an event by name.
func Derived(ev *postern.Event) map[string][]string {
	m := make(map[string][]string)
	for _, f := range ev.Derived {
		m[f.Name] = append(m[f.Name], f.Value)
	}
	return m
}

// Row gives the event of the one row of a log.
func Row(t testing.TB, f *parse.Format, log string) *postern.Event {
	t.Helper()
	events, _ := Scan(t, f, []byte(log))
	if len(events) != 1 {
		t.Fatalf("%d events, want 1, in %q", len(events), log)
	}
	return &events[0]
}

// everyThird passes the first of any three lines and remembers which those were.
type everyThird struct {
	asked  int
	passed []int
}

func (g *everyThird) Pass([]byte) bool {
	g.asked++
	if g.asked%3 != 1 {
		return false
	}
	g.passed = append(g.passed, g.asked-1)
	return true
}

// Check asks of any input: do the events not depend on how the bytes come in or
// on a gate; do their places lead back to their lines; are they bounded?
func Check(t testing.TB, f *parse.Format, data []byte) []postern.Event {
	t.Helper()
	return check(t, f, data, &parse.Scratch{})
}

func check(t testing.TB, f *parse.Format, data []byte, scratch *parse.Scratch) []postern.Event {
	t.Helper()
	events, result := scan(t, f, bytes.NewReader(data), nil, scratch)

	for name, r := range map[string]io.Reader{
		"one byte at a time":   iotest.OneByteReader(bytes.NewReader(data)),
		"half of what is free": iotest.HalfReader(bytes.NewReader(data)),
		"its end with data":    iotest.DataErrReader(bytes.NewReader(data)),
	} {
		again, other := scan(t, f, r, nil, scratch)
		if diff := cmp.Diff(events, again); diff != "" {
			t.Fatalf("reading %s gives other events (-whole +so):\n%s", name, diff)
		}
		if diff := cmp.Diff(result, other, cmp.Comparer(func(a, b *parse.Format) bool { return a == b })); diff != "" {
			t.Fatalf("reading %s gives another result (-whole +so):\n%s", name, diff)
		}
	}

	if result.Charset == parse.UTF8 {
		if diff := cmp.Diff(events, written(t, f, data, scratch)); diff != "" {
			t.Fatalf("following the file while it is written gives other events (-whole +so):\n%s", diff)
		}
	}

	gate := &everyThird{}
	gated, _ := scan(t, f, bytes.NewReader(data), gate, scratch)
	if gate.asked != len(events) {
		t.Fatalf("the gate was asked of %d lines, and there are %d events without one", gate.asked, len(events))
	}
	var want []postern.Event
	for _, i := range gate.passed {
		want = append(want, events[i])
	}
	if diff := cmp.Diff(want, gated); diff != "" {
		t.Fatalf("behind the gate other events come out (-without +with):\n%s", diff)
	}

	places(t, data, events, result)
	for i := range events {
		bounded(t, &events[i], len(data))
	}
	counts(t, data, events, result)
	return events
}

// maxPieces bounds the pieces in which a log is read while it is written.
const maxPieces = 64

// written gives the events of a log that is read while it is written: up to the end of
// a line, a little into the next, and at its end once more for what nothing will come behind.
func written(t testing.TB, f *parse.Format, data []byte, scratch *parse.Scratch) (events []postern.Event) {
	t.Helper()
	_, bom := parse.Sniff(data)
	var from parse.Mark
	for size, pieces := 0, 0; ; pieces++ {
		switch end := bytes.IndexByte(data[size:], '\n') + 1; {
		case pieces == maxPieces || end == 0 && pieces%3 != 2:
			size = len(data)
		case pieces%3 == 2:
			size = min(size+3, len(data))
		default:
			size += end
		}
		if c, mark := parse.Sniff(data[:size]); c != parse.UTF8 || mark != bom {
			if size < len(data) {
				continue // too short to tell what it is
			}
		}
		before := from.Offset
		open := size < len(data)
		result, err := parse.Scan(context.Background(), bytes.NewReader(data[from.Offset:size]), "logs/x.log", f, parse.Options{
			Scratch: scratch, From: &from, Open: open,
			Yield: func(ev *postern.Event) { events = append(events, Kept(ev)) },
		})
		if err != nil {
			t.Fatalf("Scan of %d to %d: %v", before, size, err)
		}
		if from = result.Next; from.Offset < before || from.Offset > int64(size) {
			t.Fatalf("read from %d to %d, but goes on at %d", before, size, from.Offset)
		}
		if !open {
			return events
		}
	}
}

// places checks that lines and offsets go up and that each leads to its line.
func places(t testing.TB, data []byte, events []postern.Event, result *parse.Result) {
	t.Helper()
	line, offset := int64(0), int64(-1)
	for i := range events {
		ev := &events[i]
		if ev.Place.Line <= line || ev.Place.Offset <= offset {
			t.Fatalf("event %d is at line %d, offset %d, the one before it at %d, %d", i, ev.Place.Line, ev.Place.Offset, line, offset)
		}
		line, offset = ev.Place.Line, ev.Place.Offset
		if result.Charset != parse.UTF8 {
			continue
		}
		if offset > int64(len(data)) {
			t.Fatalf("event %d is at offset %d of %d bytes", i, offset, len(data))
		}
		if n := int64(bytes.Count(data[:offset], []byte{'\n'})) + 1; n != line {
			t.Fatalf("event %d is at line %d, but its offset %d is in line %d", i, line, offset, n)
		}
		if offset > 0 && data[offset-1] != '\n' && offset != int64(len("\xef\xbb\xbf")) {
			t.Fatalf("event %d is at offset %d, which is not the beginning of a line", i, offset)
		}
		at := bytes.TrimPrefix(bytes.TrimLeft(data[offset:], "\x00"), []byte("\xef\xbb\xbf"))
		if utf8.Valid(at) && !bytes.HasPrefix(at, []byte(ev.Raw)) {
			t.Fatalf("event %d is %q, but at its offset %d stands %.80q", i, ev.Raw, offset, at)
		}
	}
}

func bounded(t testing.TB, ev *postern.Event, size int) {
	t.Helper()
	if len(ev.Derived) > maxDerived {
		t.Fatalf("%d derived fields", len(ev.Derived))
	}
	for name, list := range map[string][]postern.Field{"columns": ev.Fields, "derived": ev.Derived} {
		total := 0
		for _, f := range list {
			total += len(f.Value)
			if f.Name == "" {
				t.Fatalf("a field of the %s has no name", name)
			}
			if !utf8.ValidString(f.Value) {
				t.Fatalf("%s %s is no UTF-8: %q", name, f.Name, f.Value)
			}
		}
		if total > maxGrowth*(size+16) {
			t.Fatalf("the %s hold %d bytes out of a file of %d", name, total, size)
		}
	}
	if !utf8.ValidString(ev.Raw) {
		t.Fatalf("the excerpt is no UTF-8: %q", ev.Raw)
	}
}

// counts checks that nothing is booked that is not there.
func counts(t testing.TB, data []byte, events []postern.Event, result *parse.Result) {
	t.Helper()
	if result.Records > int64(len(events)) {
		t.Fatalf("%d records, but %d events", result.Records, len(events))
	}
	var booked int64
	for _, n := range result.Hours {
		booked += n
	}
	if booked > result.Records || result.Format.Delim != 0 && booked != result.Records {
		t.Fatalf("%d rows are booked on hours, of %d", booked, result.Records)
	}
	if (booked > 0) == result.From.IsZero() || result.To.Before(result.From) {
		t.Fatalf("%d rows are booked on hours, from %v to %v", booked, result.From, result.To)
	}
	if n := int64(bytes.Count(data, []byte{'\n'})) + 1; result.Records > n {
		t.Fatalf("%d records in %d lines", result.Records, n)
	}
}

// Fuzz fuzzes a format with [Check]. Each, if not nil, is asked of every event.
func Fuzz(f *testing.F, format *parse.Format, each func(t *testing.T, ev *postern.Event), seeds ...string) {
	for _, s := range seeds {
		for _, spelling := range Spellings(s) {
			f.Add(spelling)
		}
	}
	scratch := &parse.Scratch{}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			return // what is longer only takes longer
		}
		parse.Recognise(data, "logs/x.log", []*parse.Format{format}, nil)
		events := check(t, format, data, scratch)
		for i := range events {
			if each != nil {
				each(t, &events[i])
			}
		}
	})
}

// Spellings gives the forms in which the same log arrives: as it was written, as
// other tools save it again, cut, and after a crash.
func Spellings(log string) [][]byte {
	unix := strings.ReplaceAll(log, "\r\n", "\n")
	windows := strings.ReplaceAll(unix, "\n", "\r\n")
	return [][]byte{
		[]byte(unix),
		[]byte("\xef\xbb\xbf" + windows),
		append([]byte{0xFF, 0xFE}, UTF16(windows, false)...),
		UTF16(windows, true),
		[]byte(windows[:len(windows)*9/10]),
		[]byte(strings.Repeat("\x00", 64) + windows + strings.Repeat("\x00", 64)),
		[]byte(windows + "\xef\xbb\xbf" + windows),
	}
}

// UTF16 gives text in UTF-16 without a byte order mark.
func UTF16(s string, big bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		pair := []byte{byte(u), byte(u >> 8)}
		if big {
			slices.Reverse(pair)
		}
		b = append(b, pair...)
	}
	return b
}

// Canonical checks what every canonical request target has to be: lower case, one
// kind of slash, nothing left to resolve in its path.
func Canonical(t testing.TB, name, url string) {
	t.Helper()
	path, _, _ := strings.Cut(url, "?")
	if i := strings.Index(path, "://"); i > 0 {
		path = path[i+3:]
	}
	if strings.ContainsAny(path, `\ABCDEFGHIJKLMNOPQRSTUVWXYZ`) || strings.Contains(path, "//") || slices.Contains(strings.Split(path, "/"), "..") {
		t.Fatalf("%s %q is not canonical", name, url)
	}
}

// Kept gives an event for longer than the scan's next row.
func Kept(ev *postern.Event) postern.Event {
	e := *ev
	e.Fields, e.Derived = slices.Clone(e.Fields), slices.Clone(e.Derived)
	return e
}
