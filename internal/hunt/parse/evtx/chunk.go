package evtx

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// Sizes of the file. They never vary.
const (
	fileHeader   = 4096
	chunkSize    = 64 << 10
	chunkHeader  = 512
	recordHeader = 24
	// minRecord is a record with nothing in it: header and the size once more.
	minRecord = recordHeader + 4
)

// maxDepth bounds XML in values in XML in values; real events have two levels.
const maxDepth = 8

// recordMagic begins each record.
var recordMagic = []byte{'*', '*', 0, 0}

// raw is a record as it lies in its chunk.
type raw struct {
	at, end int    // in the chunk
	number  uint64 // in the file; that of the event may differ in an export
	written time.Time
}

// losses counts what of the chunks could not be read.
type losses struct {
	chunks    int // not chunks at all, or with a header that makes no sense
	checksums int // chunks that are not as they were written, and were read nevertheless
	records   int // places where a record was expected and none could be read
	partly    int // records of which a part could not be read
	surrogate int // half characters
}

// chunks reads one chunk after the other, in the same memory.
type chunks struct {
	compiler
	progs  map[programKey]*program
	lost   losses
	last   uint64 // number of the record before
	args   []arg
	buf    []byte
	made   []pending
	record Record
	depth  int

	at     raw      // the record at hand
	opened instance // its first template
	rest   int      // where what follows it begins
	until  int      // and where the record ends
}

type programKey struct {
	at int
	in section
}

// arg is a value of a template instance.
type arg struct {
	typ      byte
	from, to int
}

// pending is a field whose text is still in the buffer.
type pending struct {
	name     string
	from, to int
	text     string // where the text is that of a template
	null     bool
	system   bool
	fact     fact
}

func newChunks() *chunks {
	return &chunks{compiler: compiler{names: newNames()}, progs: make(map[programKey]*program)}
}

// each visits the records of the first chunk in the beginning of a file, as far as it has come in.
func (c *chunks) each(head []byte, visit func(*raw) bool) {
	if !bytes.HasPrefix(head, []byte(chunkMagic)) {
		head = head[min(len(head), fileHeader):]
	}
	c.chunk(head[:min(len(head), chunkSize)], visit)
}

// chunk visits the records of a chunk, which may be cut, until visit says false.
func (c *chunks) chunk(data []byte, visit func(*raw) bool) {
	c.reset(data)
	c.last = 0
	clear(c.progs)
	limit := len(data)
	switch {
	case len(data) < chunkHeader || empty(data):
		return
	case !bytes.HasPrefix(data, []byte(chunkMagic)):
		c.lost.chunks++ // its records may be whole for all that
	default:
		free := int(binary.LittleEndian.Uint32(data[48:]))
		sound := headerSum(data) == binary.LittleEndian.Uint32(data[124:])
		switch {
		case free < chunkHeader || free > chunkSize:
			c.lost.chunks++
		case !sound || len(data) == chunkSize && crc32.ChecksumIEEE(data[chunkHeader:free]) != binary.LittleEndian.Uint32(data[52:]):
			c.lost.checksums++
		}
		if sound && free >= chunkHeader && free < limit {
			limit = free
		}
	}
	at := chunkHeader
	for at <= len(data)-minRecord {
		r := &c.at
		var ok bool
		*r, ok = c.recordAt(at)
		if at >= limit {
			// Behind the end that the header knows lie the records of the chunk that was
			// here before, or those that were written since the header was.
			if !ok || r.number != c.last+1 || c.last == 0 {
				return
			}
		} else if !ok {
			next := c.find(at+1, limit)
			if rest := data[at:min(next, len(data))]; !blank(rest) {
				c.lost.records++
			}
			at = next
			continue
		}
		c.last = r.number
		if !visit(r) {
			return
		}
		at = r.end
	}
}

// headerSum gives the checksum of a chunk's header: all of it but flags and the sum.
func headerSum(data []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(data[:120]), crc32.IEEETable, data[128:chunkHeader])
}

// empty says whether a chunk was never written to.
func empty(data []byte) bool { return data[0] == 0 && blank(data[:chunkHeader]) && blank(data) }

func blank(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// recordAt reads the header of the record at an offset, if there is one.
func (c *chunks) recordAt(at int) (raw, bool) {
	b := c.data[at:]
	if len(b) < minRecord || !bytes.HasPrefix(b, recordMagic) {
		return raw{}, false
	}
	size := int(binary.LittleEndian.Uint32(b[4:]))
	if size < minRecord || size > len(b) || int(binary.LittleEndian.Uint32(b[size-4:])) != size {
		return raw{}, false
	}
	return raw{at: at, end: at + size, number: binary.LittleEndian.Uint64(b[8:]), written: instant(binary.LittleEndian.Uint64(b[16:]))}, true
}

// find gives where the next record begins, the limit if there is none before.
func (c *chunks) find(at, limit int) int {
	for at < limit {
		i := bytes.Index(c.data[at:limit], recordMagic)
		if i < 0 {
			return limit
		}
		at += i
		if _, ok := c.recordAt(at); ok {
			return at
		}
		at++
	}
	return limit
}
