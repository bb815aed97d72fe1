package eventlog

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"
)

// What Windows checks when it opens a log holds: magic, counts and checksums; the
// same events give the same bytes; and what fits into no chunk is refused.
func TestWrite(t *testing.T) {
	t.Parallel()
	var events []Event
	for range 500 {
		events = append(events, Event{Time: time.Unix(1614754783, 0), Channel: "Security", Provider: "p", ID: 4688, Computer: "EX01",
			Data: []Value{{"Image", `C:\Windows\System32\cmd.exe`}, {"CommandLine", strings.Repeat("x", 200)}}})
	}
	var a, b bytes.Buffer
	if Write(&a, events) != nil || Write(&b, events) != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Fatal("not written, or not the same twice")
	}
	log := a.Bytes()
	le := binary.LittleEndian
	chunks := (len(log) - fileHeader) / chunkSize
	if int(le.Uint16(log[42:])) != chunks || chunks < 3 || le.Uint32(log[124:]) != crc32.ChecksumIEEE(log[:120]) {
		t.Errorf("header of %d chunks: % x", chunks, log[:128])
	}
	next := uint64(1)
	for c := log[fileHeader:]; len(c) > 0; c = c[chunkSize:] {
		free := le.Uint32(c[48:])
		if string(c[:8]) != "ElfChnk\x00" || le.Uint64(c[8:]) != next || crc32.ChecksumIEEE(c[chunkHeader:free]) != le.Uint32(c[52:]) {
			t.Errorf("chunk with records from %d on: % x", next, c[:64])
		}
		next = le.Uint64(c[16:]) + 1
	}
	if next != 501 {
		t.Errorf("the last record is %d", next-1)
	}
	if err := Write(&a, []Event{{Data: []Value{{"x", strings.Repeat("x", 40_000)}}}}); err == nil {
		t.Error("an event larger than a chunk is written")
	}
}
