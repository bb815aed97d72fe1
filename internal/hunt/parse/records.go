package parse

import (
	"bytes"
	"context"
	"io"
	"strings"

	"postern"
)

// Records is one kind of log whose entries are records with a structure of their
// own and not lines, such as the event logs of Windows. One file can hold the
// records of several sources.
type Records struct {
	Name string
	// Recognise says by its beginning whether a file is such a log.
	Recognise func(head []byte) bool
	// Server gives the name of the server as the first record in the beginning of a
	// file says it, "" if that cannot be told.
	Server func(head []byte) string
	// Scan reads a log to its end. It gives a result for each source in it, and at
	// least one, which has the problems.
	Scan func(ctx context.Context, r io.Reader, path string, opt RecordOptions) ([]*Result, error)
}

// RecordOptions say how a log of records is scanned.
type RecordOptions struct {
	// Channel says what is asked of the records of a channel. It is asked once for
	// each channel of a file; nil parses every record.
	Channel func(name string) *Channel
	// Yield is given each parsed record. Event and text are only good until it returns.
	Yield func(*postern.Event)
}

// Channel is what a hunt knows of the records of one channel.
type Channel struct {
	// Source is the name of their source: "windows-security".
	Source string
	// Wants says whether any rule can be about records with an id, and by which gate
	// to tell that a record is worth parsing: it is given the text of the record's
	// values in lower case, with a NUL between them, but not what is no text, such as
	// numbers (see [OnlyText]), unless it is a [WholeGate]; nil passes all. What a gate
	// would stop may be parsed all the same.
	Wants func(id uint32) (gate Gate, wanted bool)
	// Values names those values, in their order, that the records leave without one.
	Values []string
}

// WholeGate is a gate of records that looks for whole values, and so for numbers. If it
// does, it is shown a NUL before the first value, and also the values that are no text,
// written as the event has them; those in which a dash stands, such as dates and
// identifiers, may be left out.
type WholeGate interface {
	Gate
	Whole() bool
}

// RecordsOf gives the kind of log that begins like head, nil if none does.
func RecordsOf(head []byte, kinds []*Records) *Records {
	for _, k := range kinds {
		if k.Recognise(head) {
			return k
		}
	}
	return nil
}

// OpenObject says whether a file begins with an object of JSON in a line that is longer
// than its head. More has to be read then to recognise it: channel and id of an event may
// stand behind a long value.
func OpenObject(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), []byte{'{'}) && bytes.IndexByte(head, '\n') < 0
}

// OnlyText says of a literal, in lower case, that it can stand in nothing but text:
// a value of another type, a number, a date or an identifier, is never written so.
func OnlyText(literal string) bool {
	for i := 1; i < len(literal); i++ { // in numbers and dates a point stands between digits: .edb is the end of a name
		if a, b := literal[i-1], literal[i]; a == '.' && !digit(b) || b == '.' && !digit(a) {
			return true
		}
	}
	for _, alphabet := range [...]string{
		"0123456789abcdefx{}+-.:", // numbers, bytes, GUIDs
		"0123456789tz-.:",         // dates
		"0123456789s-",            // security identifiers
	} {
		if strings.Trim(literal, alphabet) == "" {
			return false
		}
	}
	for _, word := range [...]string{"true", "false", "nan", "+inf", "-inf"} {
		if strings.Contains(word, literal) {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// LosslessRecords says of a problem with a log of records what [Lossless] says of
// one with a text log.
func LosslessRecords(p postern.Problem) bool {
	switch p.Detail.Key {
	case "evtx.checksums", "evtx.surrogates":
		return true
	}
	return false
}

// ChannelSource makes the name of a source for a channel that nobody has given one.
func ChannelSource(channel string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, channel)
	if name = strings.Trim(name, "-"); name == "" {
		return "events"
	}
	return name
}
