// Package regftest writes registry hives for tests: small, whole, and in the same form as
// the system's, so that readers and detectors need no hive of a real server.
package regftest

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// Key is a key to be written.
type Key struct {
	Name   string
	Values []Value
	Keys   []Key
	List   string // form of the list of its keys: "lh" (the default), "lf", "li" or "ri"
}

// Value is a value to be written: Text as a string, Number as a number, or else Data.
type Value struct {
	Name, Text string
	Number     *uint32
	Type       uint32
	Data       []byte
}

// Set gives a key the values of name and text, in pairs.
func Set(name string, pairs ...string) Key {
	k := Key{Name: name}
	for i := 0; i+1 < len(pairs); i += 2 {
		k.Values = append(k.Values, Value{Name: pairs[i], Text: pairs[i+1]})
	}
	return k
}

// At gives a key below others: At("A\\B", k) is the key A with B in it, which has k.
func At(path string, keys ...Key) Key {
	first, rest, more := strings.Cut(path, `\`)
	if more {
		keys = []Key{At(rest, keys...)}
	}
	return Key{Name: first, Keys: keys}
}

// Written is the time of every key.
var Written = time.Date(2021, 3, 3, 6, 59, 20, 0, time.UTC)

// Hive writes a hive with the keys below its root. Dirty is one that was copied while
// it was written.
func Hive(dirty bool, keys ...Key) []byte {
	w := &writer{b: make([]byte, 32)}
	root := w.key(Key{Name: "ROOT", Keys: keys})
	for len(w.b)%4096 != 0 {
		w.b = append(w.b, 0)
	}
	copy(w.b, "hbin")
	binary.LittleEndian.PutUint32(w.b[8:], uint32(len(w.b)))
	head := make([]byte, 4096)
	copy(head, "regf")
	le := binary.LittleEndian
	le.PutUint32(head[4:], 7)
	le.PutUint32(head[8:], 7)
	if dirty {
		le.PutUint32(head[4:], 8)
	}
	le.PutUint64(head[12:], filetime(Written))
	le.PutUint32(head[20:], 1)
	le.PutUint32(head[24:], 5)
	le.PutUint32(head[32:], 1)
	le.PutUint32(head[36:], root)
	le.PutUint32(head[40:], uint32(len(w.b)))
	le.PutUint32(head[44:], 1)
	sum := uint32(0)
	for i := 0; i < 508; i += 4 {
		sum ^= le.Uint32(head[i:])
	}
	le.PutUint32(head[508:], sum)
	return append(head, w.b...)
}

func filetime(t time.Time) uint64 { return uint64(t.Unix())*10_000_000 + 116444736000000000 }

type writer struct{ b []byte }

// cell writes a cell and gives its offset.
func (w *writer) cell(content []byte) uint32 {
	at := uint32(len(w.b))
	size := (4 + len(content) + 7) &^ 7
	w.b = binary.LittleEndian.AppendUint32(w.b, uint32(-int32(size)))
	w.b = append(w.b, content...)
	w.b = append(w.b, make([]byte, size-4-len(content))...)
	return at
}

func (w *writer) key(k Key) uint32 {
	le := binary.LittleEndian
	subkeys, values := uint32(0xFFFFFFFF), uint32(0xFFFFFFFF)
	if len(k.Keys) > 0 {
		subkeys = w.list(k)
	}
	if len(k.Values) > 0 {
		var list []byte
		for _, v := range k.Values {
			list = le.AppendUint32(list, w.value(v))
		}
		values = w.cell(list)
	}
	name, flags := []byte(k.Name), uint16(0x20)
	if slices.ContainsFunc(name, func(c byte) bool { return c >= 0x80 }) {
		name, flags = Wide(k.Name), 0
	}
	b := make([]byte, 76)
	copy(b, "nk")
	le.PutUint16(b[2:], flags)
	le.PutUint64(b[4:], filetime(Written))
	le.PutUint32(b[20:], uint32(len(k.Keys)))
	le.PutUint32(b[28:], subkeys)
	le.PutUint32(b[36:], uint32(len(k.Values)))
	le.PutUint32(b[40:], values)
	le.PutUint16(b[72:], uint16(len(name)))
	return w.cell(append(b, name...))
}

func (w *writer) list(k Key) uint32 {
	le := binary.LittleEndian
	var offsets []uint32
	for _, sub := range k.Keys {
		offsets = append(offsets, w.key(sub))
	}
	form := k.List
	if form == "" {
		form = "lh"
	}
	if form == "ri" { // each key in a list of its own
		for i, o := range offsets {
			offsets[i] = w.cell(le.AppendUint32([]byte{'l', 'i', 1, 0}, o))
		}
	}
	b := le.AppendUint16([]byte(form), uint16(len(offsets)))
	for _, o := range offsets {
		b = le.AppendUint32(b, o)
		if form == "lh" || form == "lf" {
			b = append(b, 0, 0, 0, 0)
		}
	}
	return w.cell(b)
}

// Wide is text as UTF-16.
func Wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func (w *writer) value(v Value) uint32 {
	le := binary.LittleEndian
	switch {
	case v.Number != nil:
		v.Type, v.Data = 4, le.AppendUint32(nil, *v.Number)
	case v.Data == nil:
		if v.Type == 0 {
			v.Type = 1
		}
		v.Data = append(Wide(v.Text), 0, 0)
	}
	b := make([]byte, 20)
	copy(b, "vk")
	le.PutUint16(b[2:], uint16(len(v.Name)))
	le.PutUint32(b[4:], uint32(len(v.Data)))
	switch {
	case len(v.Data) <= 4:
		le.PutUint32(b[4:], 0x80000000|uint32(len(v.Data)))
		copy(b[8:], v.Data)
	case len(v.Data) > 16344:
		var list []byte
		n := uint16(0)
		for part := range slices.Chunk(v.Data, 16344) {
			list = le.AppendUint32(list, w.cell(part))
			n++
		}
		at := w.cell(list)
		le.PutUint32(b[8:], w.cell(le.AppendUint32(le.AppendUint16([]byte("db"), n), at)))
	default:
		le.PutUint32(b[8:], w.cell(v.Data))
	}
	le.PutUint32(b[12:], v.Type)
	le.PutUint16(b[16:], 1)
	return w.cell(append(b, v.Name...))
}
