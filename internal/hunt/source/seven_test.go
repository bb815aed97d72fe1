package source

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
	"unicode/utf16"
)

// sevenOf writes a 7z archive that packs nothing: all members in one block, or
// each in its own for blocks = 1, with a coder of long properties for blocks = 2.
func sevenOf(entries []entry, blocks int) []byte {
	var packed, header bytes.Buffer
	var full []entry
	for _, e := range entries {
		if e.data != "" {
			full = append(full, e)
			packed.WriteString(e.data)
		}
	}
	num := func(n uint64) { header.Write(sevenNumber(n)) }
	header.Write([]byte{0x01, 0x04, 0x06, 0})
	sizes := []uint64{uint64(packed.Len())}
	if blocks > 0 {
		sizes = nil
		for _, e := range full {
			sizes = append(sizes, uint64(len(e.data)))
		}
	}
	num(uint64(len(sizes)))
	header.WriteByte(0x09)
	for _, s := range sizes {
		num(s)
	}
	header.Write([]byte{0, 0x07, 0x0b})
	num(uint64(len(sizes)))
	header.WriteByte(0)
	for range sizes {
		if blocks == 2 {
			header.Write(append([]byte{1, 0x21, 0, 60}, make([]byte, 60)...))
		} else {
			header.Write([]byte{1, 1, 0}) // one coder: copy
		}
	}
	header.WriteByte(0x0c)
	for _, s := range sizes {
		num(s)
	}
	header.Write([]byte{0, 0x08})
	if blocks == 0 {
		header.WriteByte(0x0d)
		num(uint64(len(full)))
		header.WriteByte(0x09)
		for _, e := range full[:len(full)-1] {
			num(uint64(len(e.data)))
		}
	}
	header.Write([]byte{0x0a, 1})
	for _, e := range full {
		binary.Write(&header, binary.LittleEndian, crc32.ChecksumIEEE([]byte(e.data)))
	}
	header.Write([]byte{0, 0, 0x05})
	num(uint64(len(entries)))
	bits := make([]byte, (len(entries)+7)/8)
	empty := 0
	var names bytes.Buffer
	names.WriteByte(0)
	for i, e := range entries {
		if e.data == "" {
			bits[i/8] |= 0x80 >> (i % 8)
			empty++
		}
		for _, u := range append(utf16.Encode([]rune(e.name)), 0) {
			binary.Write(&names, binary.LittleEndian, u)
		}
	}
	if empty > 0 {
		header.WriteByte(0x0e)
		num(uint64(len(bits)))
		header.Write(bits)
		header.WriteByte(0x0f) // and they are files
		all := bytes.Repeat([]byte{0xff}, (empty+7)/8)
		num(uint64(len(all)))
		header.Write(all)
	}
	header.WriteByte(0x11)
	num(uint64(names.Len()))
	header.Write(names.Bytes())
	header.Write([]byte{0, 0})
	return sevenFile(packed.Bytes(), header.Bytes())
}

// sevenFile puts the start before packed data and a directory.
func sevenFile(packed, header []byte) []byte {
	start := []byte("7z\xbc\xaf\x27\x1c\x00\x04")
	le := binary.LittleEndian
	var next []byte
	next = le.AppendUint64(next, uint64(len(packed)))
	next = le.AppendUint64(next, uint64(len(header)))
	next = le.AppendUint32(next, crc32.ChecksumIEEE(header))
	start = le.AppendUint32(start, crc32.ChecksumIEEE(next))
	return append(append(append(start, next...), packed...), header...)
}

func sevenNumber(n uint64) []byte {
	switch {
	case n < 1<<7:
		return []byte{byte(n)}
	case n < 1<<14:
		return []byte{0x80 | byte(n>>8), byte(n)}
	}
	return append([]byte{0xff}, binary.LittleEndian.AppendUint64(nil, n)...)
}

var le = binary.LittleEndian

func crc32sum(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// TestSevenLargeDirectory reads a directory that fills many buffers of the library.
func TestSevenLargeDirectory(t *testing.T) {
	t.Parallel()
	var in []entry
	for i := range 500 {
		in = append(in, entry{fmt.Sprintf("folder/%d.log", i), fmt.Sprint("row ", i)})
	}
	for blocks := range 3 {
		_, content, problems := one(t, "x.7z", sevenOf(in, blocks), Options{})
		equal(t, "problems", problems, nil)
		for _, e := range in {
			if got := content["x.7z!/"+e.name]; got != e.data {
				t.Fatalf("blocks %d: %s: got %q, want %q", blocks, e.name, got, e.data)
			}
		}
	}
}
