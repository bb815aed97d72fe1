package yara

import (
	"encoding/binary"
	"math"
)

// startPlace is where a program starts, in the file, for the old keyword entrypoint.
//
// The modules pe and elf have that place under another name and reckon it otherwise. The
// keyword asks a reader of libyara's own (exefiles.c of 4.2 and 4.5), which knows the
// programs of Windows for x86 and x64 and ELF files in the order of bytes of x86, asks
// the sections of all ELF files but fixed executables, and answers 0 where it finds no
// place. Rules with the keyword were written against its answers.
type startPlace struct {
	at          int64
	known, made bool
}

// entrypoint gives the place; false for a file that is no program.
func (m *machine) entrypoint() (int64, bool) {
	if !m.entry.made {
		before := m.beyond
		m.beyond = false
		at, known := m.startOfProgram()
		m.entry = startPlace{int64(at), known && !m.beyond, true}
		m.beyond = before || m.beyond
	}
	return m.entry.at, m.entry.known
}

func (m *machine) startOfProgram() (at uint64, known bool) {
	if nt, ok := m.windowsProgram(); ok {
		return m.windowsStart(nt), true
	}
	switch class := m.little(4, 1); {
	case m.size < 16 || m.little(0, 4) != 0x464c457f:
	case class == 1 && m.size >= 52:
		return m.elfStart(elf32), true
	case class == 2 && m.size >= 64:
		return m.elfStart(elf64), true
	}
	return 0, false
}

// little reads a number of some bytes, the lowest first; what is not in the file is 0.
func (m *machine) little(at uint64, size int) uint64 {
	switch {
	case at > uint64(m.size) || uint64(m.size)-at < uint64(size):
		return 0
	case at+uint64(size) > uint64(len(m.data)):
		m.beyond = true
		return 0
	}
	var b [8]byte
	copy(b[:size], m.data[at:])
	return binary.LittleEndian.Uint64(b[:])
}

// Lengths and places in the headers of a program of Windows.
const (
	dosHeader      = 64
	ntFileHeader   = 4 + 20
	ntOptional32   = 224 // asked for in programs of 64 bits, too
	windowsSection = 40
	windowsMost    = 60 // sections that are looked at
)

// windowsProgram gives the place of the header behind that of MS-DOS.
func (m *machine) windowsProgram() (nt uint64, ok bool) {
	if m.size < dosHeader || m.little(0, 2) != 'M'|'Z'<<8 {
		return 0, false
	}
	nt = m.little(60, 4)
	if nt > math.MaxInt32 || uint64(m.size) <= nt+ntFileHeader+ntOptional32 || m.little(nt, 4) != 'P'|'E'<<8 {
		return 0, false
	}
	machine := m.little(nt+4, 2)
	return nt, machine == 0x14c || machine == 0x8664
}

// windowsStart takes the last of the sections that begin lowest of all and are not above
// the start.
func (m *machine) windowsStart(nt uint64) uint64 {
	start := m.little(nt+ntFileHeader+16, 4)
	section := nt + ntFileHeader + m.little(nt+20, 2)
	var address, offset uint64
	for range min(m.little(nt+6, 2), windowsMost) {
		if section+windowsSection >= uint64(m.size) {
			return 0
		}
		if begin := m.little(section+12, 4); start >= begin && address <= begin {
			address, offset = begin, m.little(section+20, 4)
		}
		section += windowsSection
	}
	return offset + start - address
}

// elfForm is where an ELF header and the entries of its tables have what.
type elfForm struct {
	word                                        int    // bytes of an address
	start, segments, sections                   uint64 // in the header
	segmentCount, sectionCount                  uint64
	segment, segmentOffset, segmentAt, inMemory uint64 // length of an entry, places in it
	section, address, offset, size              uint64
}

var (
	elf32 = elfForm{word: 4, start: 24, segments: 28, sections: 32, segmentCount: 44, sectionCount: 48,
		segment: 32, segmentOffset: 4, segmentAt: 8, inMemory: 20, section: 40, address: 12, offset: 16, size: 20}
	elf64 = elfForm{word: 8, start: 24, segments: 32, sections: 40, segmentCount: 56, sectionCount: 60,
		segment: 56, segmentOffset: 8, segmentAt: 16, inMemory: 40, section: 64, address: 16, offset: 24, size: 32}
)

func (m *machine) elfStart(f elfForm) uint64 {
	start := m.little(f.start, f.word)
	table, count, size := m.little(f.sections, f.word), m.little(f.sectionCount, 2), f.section
	fixed := m.little(16, 2) == 2
	if fixed {
		table, count, size = m.little(f.segments, f.word), m.little(f.segmentCount, 2), f.segment
	}
	if table == 0 || table > uint64(m.size) || uint64(m.size)-table < count*size {
		return 0
	}
	for at := table; count > 0; at, count = at+size, count-1 {
		var from, length, offset uint64
		if fixed {
			from, length, offset = m.little(at+f.segmentAt, f.word), m.little(at+f.inMemory, f.word), m.little(at+f.segmentOffset, f.word)
		} else {
			const none, noBits = 0, 8
			if kind := m.little(at+4, 4); kind == none || kind == noBits {
				continue
			}
			from, length, offset = m.little(at+f.address, f.word), m.little(at+f.size, f.word), m.little(at+f.offset, f.word)
		}
		end := from + length
		if f.word == 4 {
			end = uint64(uint32(end)) // as wide as addresses are
		}
		if start >= from && start < end {
			return offset + start - from
		}
	}
	return 0
}
