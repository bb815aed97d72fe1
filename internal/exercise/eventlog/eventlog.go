// Package eventlog writes event logs of Windows, so that exercises and tests have
// some. Input: events in the order of their numbers. Output: a file as Windows
// writes it: header, chunks of 64 KiB with their checksums, one template for each
// kind of event in each chunk. Times are UTC. It shares no code with the reader.
package eventlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf16"
)

// Event is one record. Record counts from 1 where it is 0.
type Event struct {
	Record   uint64
	Time     time.Time
	Channel  string
	Provider string
	ID       uint16
	Level    uint8
	Computer string
	// Data are the values in order; one without a name is a plain <Data>.
	Data []Value
	// UserData, if not empty, names the element that holds the values instead of
	// <EventData>, in which each value is an element.
	UserData string
	// Nested puts the data into a value that is XML itself, as many providers do.
	Nested bool
}

// Value is one value: a string, a number, a bool, a time.Time, a float, []byte,
// []string, nil, or one of the types below.
type Value struct {
	Name  string
	Value any
}

// Types that Go has no word for.
type (
	Hex32 uint32
	Hex64 uint64
	GUID  [16]byte
	SID   []byte // as Windows has it in memory
	ANSI  string
)

const (
	chunkSize   = 64 << 10
	chunkHeader = 512
	fileHeader  = 4096
)

// Write writes a log. An event that does not fit into a chunk is an error.
func Write(w io.Writer, events []Event) error {
	var chunks [][]byte
	c := newChunk()
	for i, e := range events {
		if e.Record == 0 {
			e.Record = uint64(i + 1)
		}
		if c.add(e) {
			continue
		}
		chunks = append(chunks, c.seal())
		if c = newChunk(); !c.add(e) {
			return fmt.Errorf("event log: event %d does not fit into a chunk", e.Record)
		}
	}
	if c.count > 0 {
		chunks = append(chunks, c.seal())
	}
	if _, err := w.Write(header(len(chunks), uint64(len(events)+1))); err != nil {
		return err
	}
	for _, b := range chunks {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func header(chunks int, next uint64) []byte {
	b := make([]byte, fileHeader)
	copy(b, "ElfFile\x00")
	le := binary.LittleEndian
	le.PutUint64(b[16:], uint64(max(chunks-1, 0)))
	le.PutUint64(b[24:], next)
	le.PutUint32(b[32:], 128)
	le.PutUint16(b[36:], 1)
	le.PutUint16(b[38:], 3)
	le.PutUint16(b[40:], fileHeader)
	le.PutUint16(b[42:], uint16(chunks))
	le.PutUint32(b[124:], crc32.ChecksumIEEE(b[:120]))
	return b
}

// chunk is a chunk that is being written.
type chunk struct {
	b           []byte
	names       map[string]uint32 // offsets
	templates   map[string]uint32
	first, last uint64
	lastAt      int
	count       int
}

func newChunk() *chunk {
	return &chunk{b: make([]byte, chunkHeader, chunkSize), names: make(map[string]uint32), templates: make(map[string]uint32)}
}

// add appends a record, and takes it back if the chunk is full.
func (c *chunk) add(e Event) bool {
	at := len(c.b)
	names, templates := clone(c.names), clone(c.templates)
	c.record(e)
	if len(c.b) > chunkSize {
		c.b, c.names, c.templates = c.b[:at], names, templates
		return false
	}
	if c.count == 0 {
		c.first = e.Record
	}
	c.last, c.lastAt = e.Record, at
	c.count++
	return true
}

func clone(m map[string]uint32) map[string]uint32 {
	n := make(map[string]uint32, len(m))
	for k, v := range m {
		n[k] = v
	}
	return n
}

// seal fills the header and gives the whole chunk.
func (c *chunk) seal() []byte {
	free := len(c.b)
	b := make([]byte, chunkSize)
	copy(b, c.b)
	copy(b, "ElfChnk\x00")
	le := binary.LittleEndian
	for i, n := range []uint64{c.first, c.last, c.first, c.last} {
		le.PutUint64(b[8+8*i:], n)
	}
	le.PutUint32(b[40:], 128)
	le.PutUint32(b[44:], uint32(c.lastAt))
	le.PutUint32(b[48:], uint32(free))
	le.PutUint32(b[52:], crc32.ChecksumIEEE(b[chunkHeader:free]))
	le.PutUint32(b[124:], crc32.Update(crc32.ChecksumIEEE(b[:120]), crc32.IEEETable, b[128:chunkHeader]))
	return b
}

func (c *chunk) u8(v byte)    { c.b = append(c.b, v) }
func (c *chunk) u16(v uint16) { c.b = binary.LittleEndian.AppendUint16(c.b, v) }
func (c *chunk) u32(v uint32) { c.b = binary.LittleEndian.AppendUint32(c.b, v) }
func (c *chunk) u64(v uint64) { c.b = binary.LittleEndian.AppendUint64(c.b, v) }
func (c *chunk) chars(s string) {
	for _, u := range utf16.Encode([]rune(s)) {
		c.u16(u)
	}
}

// hole leaves room for a length, which the function that it gives fills in.
func (c *chunk) hole() func() {
	at := len(c.b)
	c.u32(0)
	return func() { binary.LittleEndian.PutUint32(c.b[at:], uint32(len(c.b)-at-4)) }
}

// name writes the place of a name, and the name where it is the first time.
func (c *chunk) name(s string) {
	if at, known := c.names[s]; known {
		c.u32(at)
		return
	}
	at := uint32(len(c.b) + 4)
	c.names[s] = at
	c.u32(at)
	c.u32(0)
	hash, n := uint32(0), uint16(0)
	for _, u := range utf16.Encode([]rune(s)) {
		hash, n = hash*65599+uint32(u), n+1
	}
	c.u16(uint16(hash))
	c.u16(n)
	c.chars(s)
	c.u16(0)
}

// open begins an element; what it gives ends it.
func (c *chunk) open(name string, attributes ...func()) (end func()) {
	if len(attributes) == 0 {
		c.u8(0x01)
	} else {
		c.u8(0x41)
	}
	c.u16(0xffff)
	length := c.hole()
	c.name(name)
	if len(attributes) > 0 {
		size := c.hole()
		for i, a := range attributes {
			if i < len(attributes)-1 {
				c.u8(0x46)
			} else {
				c.u8(0x06)
			}
			a()
		}
		size()
	}
	c.u8(0x02)
	return func() {
		c.u8(0x04)
		length()
	}
}

// words writes text of the template.
func (c *chunk) words(s string) {
	c.u8(0x05)
	c.u8(0x01)
	c.u16(uint16(len(utf16.Encode([]rune(s)))))
	c.chars(s)
}

// sub writes the place of a value.
func (c *chunk) sub(i int, typ byte) {
	c.u8(0x0e)
	c.u16(uint16(i))
	c.u8(typ)
}

// arg is a value with its type.
type arg struct {
	typ byte
	b   []byte
}

// record writes a whole record.
func (c *chunk) record(e Event) {
	at := len(c.b)
	c.b = append(c.b, '*', '*', 0, 0)
	c.u32(0)
	c.u64(e.Record)
	c.u64(fileTime(e.Time))
	c.fragment()
	system := []arg{encode(e.Level), encode(e.ID), encode(e.Time), encode(e.Record), encode(e.Computer), encode(nil)}
	if e.Nested {
		c.template(kind("outer", e), system, func() { c.event(e, func() { c.sub(len(system), 0x21) }) }, func() {
			c.fragment()
			c.template(kind("inner", e), data(e), func() { c.data(e, 0) }, nil)
			c.u8(0)
		})
	} else {
		c.template(kind("whole", e), append(system, data(e)...), func() { c.event(e, func() { c.data(e, len(system)) }) }, nil)
	}
	c.u8(0)
	c.u32(uint32(len(c.b) - at + 4))
	binary.LittleEndian.PutUint32(c.b[at+4:], uint32(len(c.b)-at))
}

func (c *chunk) fragment() { c.b = append(c.b, 0x0f, 1, 1, 0) }

// kind names a template: what events of the same kind share.
func kind(part string, e Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\x00%s\x00%s\x00%s", part, e.Channel, e.Provider, e.UserData)
	for _, v := range e.Data {
		fmt.Fprintf(&b, "\x00%s", v.Name)
	}
	return b.String()
}

// template writes the use of a template and, the first time, what it is. Nested
// writes one more value, which is XML.
func (c *chunk) template(kind string, args []arg, body, nested func()) {
	c.u8(0x0c)
	c.u8(1)
	id := crc32.ChecksumIEEE([]byte(kind))
	c.u32(id)
	if at, known := c.templates[kind]; known {
		c.u32(at)
	} else {
		at := uint32(len(c.b) + 4)
		c.templates[kind] = at
		c.u32(at)
		c.u32(0)
		c.u32(id)
		c.b = append(c.b, make([]byte, 12)...)
		length := c.hole()
		c.fragment()
		body()
		c.u8(0)
		length()
	}
	n := len(args)
	if nested != nil {
		n++
	}
	c.u32(uint32(n))
	sizes := len(c.b)
	for _, a := range args {
		c.u16(uint16(len(a.b)))
		c.u8(a.typ)
		c.u8(0)
	}
	if nested != nil {
		c.u16(0)
		c.u8(0x21)
		c.u8(0)
	}
	for _, a := range args {
		c.b = append(c.b, a.b...)
	}
	if nested != nil {
		from := len(c.b)
		nested()
		binary.LittleEndian.PutUint16(c.b[sizes+4*len(args):], uint16(len(c.b)-from))
	}
}

// event writes <Event> with <System>; content writes what comes after.
func (c *chunk) event(e Event, content func()) {
	end := c.open("Event", func() {
		c.name("xmlns")
		c.words("http://schemas.microsoft.com/win/2004/08/events/event")
	})
	system := c.open("System")
	c.open("Provider", func() { c.name("Name"); c.words(e.Provider) })()
	c.element("EventID", 1, 0x06)
	c.element("Level", 0, 0x04)
	c.open("TimeCreated", func() { c.name("SystemTime"); c.sub(2, 0x11) })()
	c.element("EventRecordID", 3, 0x0a)
	c.open("Correlation", func() { c.name("ActivityID"); c.sub(5, 0x0f) })()
	done := c.open("Channel")
	c.words(e.Channel)
	done()
	c.element("Computer", 4, 0x01)
	system()
	content()
	end()
}

func (c *chunk) element(name string, at int, typ byte) {
	end := c.open(name)
	c.sub(at, typ)
	end()
}

// data writes <EventData>, or <UserData> with its element.
func (c *chunk) data(e Event, first int) {
	if e.UserData != "" {
		user := c.open("UserData")
		inner := c.open(e.UserData)
		for i, v := range e.Data {
			c.element(v.Name, first+i, 0x01)
		}
		inner()
		user()
		return
	}
	end := c.open("EventData")
	for i, v := range e.Data {
		var done func()
		if v.Name == "" {
			done = c.open("Data")
		} else {
			done = c.open("Data", func() { c.name("Name"); c.words(v.Name) })
		}
		c.sub(first+i, 0x01)
		done()
	}
	end()
}

func data(e Event) []arg {
	var args []arg
	for _, v := range e.Data {
		args = append(args, encode(v.Value))
	}
	return args
}

// encode gives a value with its type; one of another Go type is a mistake of the caller.
func encode(v any) arg {
	le := binary.LittleEndian
	switch v := v.(type) {
	case nil:
		return arg{}
	case string:
		return arg{0x01, utf16Bytes(v)}
	case ANSI:
		return arg{0x02, []byte(v)}
	case int8:
		return arg{0x03, []byte{byte(v)}}
	case uint8:
		return arg{0x04, []byte{v}}
	case int16:
		return arg{0x05, le.AppendUint16(nil, uint16(v))}
	case uint16:
		return arg{0x06, le.AppendUint16(nil, v)}
	case int32:
		return arg{0x07, le.AppendUint32(nil, uint32(v))}
	case uint32:
		return arg{0x08, le.AppendUint32(nil, v)}
	case int64:
		return arg{0x09, le.AppendUint64(nil, uint64(v))}
	case uint64:
		return arg{0x0a, le.AppendUint64(nil, v)}
	case float32:
		return arg{0x0b, le.AppendUint32(nil, math.Float32bits(v))}
	case float64:
		return arg{0x0c, le.AppendUint64(nil, math.Float64bits(v))}
	case bool:
		n := uint32(0)
		if v {
			n = 1
		}
		return arg{0x0d, le.AppendUint32(nil, n)}
	case []byte:
		return arg{0x0e, v}
	case GUID:
		return arg{0x0f, v[:]}
	case time.Time:
		return arg{0x11, le.AppendUint64(nil, fileTime(v))}
	case SID:
		return arg{0x13, v}
	case Hex32:
		return arg{0x14, le.AppendUint32(nil, uint32(v))}
	case Hex64:
		return arg{0x15, le.AppendUint64(nil, uint64(v))}
	case []string:
		var b []byte
		for _, s := range v {
			b = append(append(b, utf16Bytes(s)...), 0, 0)
		}
		return arg{0x81, b}
	}
	panic(fmt.Sprintf("event log: no type for %T", v))
}

func utf16Bytes(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// fileTime counts 100 ns since 1601, which is 11,644,473,600 s before 1970.
func fileTime(t time.Time) uint64 {
	return uint64(t.Unix()+11_644_473_600)*1e7 + uint64(t.Nanosecond()/100)
}
