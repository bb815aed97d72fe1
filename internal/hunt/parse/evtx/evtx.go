// Package evtx reads the event logs of Windows. Input: a file in the binary XML
// format that Windows has written since Vista, whole, cut, dirty, overwritten in a
// circle, or a bare chunk carved from a disk; it is read once from the front, one
// chunk of 64 KiB at a time. Output: records with their system values and their
// data in order, all as the text that Windows' own XML has, times in UTC, and an
// account of everything that could not be read.
//
// A record costs little as long as nobody asks for it: its template is compiled
// once a chunk, so that channel and event id are found by two look-ups, and a gate
// can look at its text before any of it is copied. What is never done is to render
// messages: their texts are in libraries of the machine, in its language.
//
// The format has no official description of the file; its binary XML is that of
// [MS-EVEN6]. docs/formats/evtx.md says what was found to be so.
package evtx

import (
	"bytes"
	"path"
	"strings"
	"time"

	"postern"
	"postern/internal/hunt/parse"
)

// Name is the kind of log.
const Name = "evtx"

const (
	fileMagic  = "ElfFile\x00"
	chunkMagic = "ElfChnk\x00"
)

// Kind gives the kind of log for a hunt.
func Kind() *parse.Records {
	return &parse.Records{Name: Name, Recognise: Recognise, Server: Server, Scan: Scan}
}

// Recognise says whether a file begins like an event log, or like a chunk of one, or
// has its first chunk where that of an event log is: nothing of the header is needed.
func Recognise(head []byte) bool {
	return bytes.HasPrefix(head, []byte(fileMagic)) || bytes.HasPrefix(head, []byte(chunkMagic)) ||
		len(head) > fileHeader && bytes.HasPrefix(head[fileHeader:], []byte(chunkMagic))
}

// Named says whether a file has the name of an event log.
func Named(file string) bool { return strings.EqualFold(path.Ext(file), ".evtx") }

// Field is one value of a record.
type Field struct {
	Name  string // "" for a <Data> without a name
	Value string
	Null  bool // there is no value, which is not the empty text
}

// Record is one event.
type Record struct {
	Number   uint64 // EventRecordID: what the Event Viewer shows
	Offset   int64  // of the record in the file
	Time     time.Time
	Channel  string
	Provider string
	EventID  uint32
	Computer string
	System   []Field // all of <System>; an attribute is Element_Attribute
	Data     []Field // of <EventData> or <UserData>, in order; nested elements by their own names

	timed bool // Time needs no further look
}

// place is where the record is.
func (r *Record) place(path string) postern.Place {
	return postern.Place{Path: path, Record: int64(r.Number), Offset: r.Offset}
}

// Server gives the name of the computer that wrote the first record, without its
// domain, as the other logs of the server write it.
func Server(head []byte) string {
	var name string
	c := newChunks()
	c.each(head, func(raw *raw) bool {
		rec := c.decode(raw)
		name = rec.Computer
		return name == ""
	})
	return shortName(name)
}

// shortName cuts the domain off, but nothing off an address.
func shortName(name string) string {
	short, rest, ok := strings.Cut(name, ".")
	if !ok || strings.Trim(name, "0123456789.") == "" || rest == "" {
		return name
	}
	return short
}
