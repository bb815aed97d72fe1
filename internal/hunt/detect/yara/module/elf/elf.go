// Package elf reads the headers and tables of ELF programs. Input: the bytes of a
// file; offsets and sizes are bytes from its beginning. Output: plain values, read
// when they are asked for.
//
// The format is the "Tool Interface Standard ELF Specification" 1.2 and the System V
// ABI; what is made of damaged files follows libyara 4.5, since rules were written
// against its answers.
package elf

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
)

// Bounds, for what libyara would read without end.
const (
	maxDynamic   = 1 << 16  // entries of the dynamic section
	maxSteps     = 1 << 20  // entries looked at in all dynamic segments
	maxNames     = 1 << 18  // symbols in a hash; a file with more has none
	maxNameBytes = 64 << 20 // of all symbols of such a file
	maxName      = 1 << 16  // bytes of one name
)

const (
	typeExec = 2

	sectionNull, sectionSymbols, sectionStrings, sectionNoBits, sectionDynamicSymbols = 0, 2, 3, 8, 11

	segmentDynamic = 2

	firstReserved = 0xff00 // number of sections
	manySegments  = 0xffff // number of segments, when it stands elsewhere
)

// File is one program.
type File struct {
	data  []byte
	order binary.ByteOrder
	is64  bool

	sections int
	symbols  *Symbols
	dynsym   *Symbols
	dynamic  func() ([]Dynamic, int)
	imports  func() (string, bool)
	telf     func() (string, bool)
}

// Parse recognises a program; false for any other file.
func Parse(data []byte) (*File, bool) {
	if len(data) < 16 || string(data[:4]) != "\x7fELF" {
		return nil, false
	}
	f := &File{data: data, is64: data[4] == 2}
	size := map[byte]int{1: 52, 2: 64}[data[4]]
	switch data[5] {
	case 1:
		f.order = binary.LittleEndian
	case 2:
		f.order = binary.BigEndian
	default:
		return nil, false
	}
	if size == 0 || len(data) <= size {
		return nil, false
	}
	f.findSymbols()
	f.dynamic = sync.OnceValues(f.readDynamic)
	f.imports = sync.OnceValues(f.hashImports)
	f.telf = sync.OnceValues(f.hashFunctions)
	return f, true
}

// Reading. What is not in the file reads as zero.

func (f *File) fits(offset, size uint64) bool {
	n := uint64(len(f.data))
	return size <= n && offset <= n-size
}

func (f *File) u16(at uint64) uint16 {
	if !f.fits(at, 2) {
		return 0
	}
	return f.order.Uint16(f.data[at:])
}

func (f *File) u32(at uint64) uint32 {
	if !f.fits(at, 4) {
		return 0
	}
	return f.order.Uint32(f.data[at:])
}

// word reads a number as wide as an address.
func (f *File) word(at uint64) uint64 {
	switch {
	case !f.is64:
		return uint64(f.u32(at))
	case !f.fits(at, 8):
		return 0
	}
	return f.order.Uint64(f.data[at:])
}

// by chooses an offset by the width of addresses.
func (f *File) by(at32, at64 uint64) uint64 {
	if f.is64 {
		return at64
	}
	return at32
}

// Fields of the header. SegmentsAt and SectionsAt are offsets of tables, SegmentSize
// and SectionSize sizes of their entries, all as the header has them.

func (f *File) Type() uint16          { return f.u16(16) }
func (f *File) Machine() uint16       { return f.u16(18) }
func (f *File) entry() uint64         { return f.word(24) }
func (f *File) SegmentsAt() uint64    { return f.word(f.by(28, 32)) }
func (f *File) SectionsAt() uint64    { return f.word(f.by(32, 40)) }
func (f *File) SegmentSize() uint16   { return f.u16(f.by(42, 54)) }
func (f *File) NumSegments() uint16   { return f.u16(f.by(44, 56)) }
func (f *File) SectionSize() uint16   { return f.u16(f.by(46, 58)) }
func (f *File) NumSections() uint16   { return f.u16(f.by(48, 60)) }
func (f *File) nameSection() uint16   { return f.u16(f.by(50, 62)) }
func (f *File) sectionHeader() uint64 { return f.by(40, 64) }
func (f *File) segmentHeader() uint64 { return f.by(32, 56) }

// table says whether a table of the header lies in the file.
func (f *File) table(at uint64, count uint16, size uint64) bool {
	return f.fits(at, uint64(count)*size)
}

// EntryPoint gives the offset of the first instruction; false if it has none.
func (f *File) EntryPoint() (uint64, bool) {
	entry := f.entry()
	if entry == 0 {
		return 0, false
	}
	if f.Type() == typeExec {
		if f.SegmentsAt() == 0 || f.NumSegments() == 0 || !f.table(f.SegmentsAt(), f.NumSegments(), f.segmentHeader()) {
			return 0, false
		}
		for i := range int(f.NumSegments()) {
			if s := f.segment(i); entry >= s.Virtual && entry < f.sum(s.Virtual, s.Memory) {
				return s.Offset + entry - s.Virtual, true
			}
		}
		return 0, false
	}
	if f.SectionsAt() == 0 || f.NumSections() == 0 || !f.table(f.SectionsAt(), f.NumSections(), f.sectionHeader()) {
		return 0, false
	}
	for i := range int(f.NumSections()) {
		s := f.section(i)
		if s.Type != sectionNull && s.Type != sectionNoBits && entry >= s.Address && entry < f.sum(s.Address, s.Size) {
			return s.Offset + entry - s.Address, true
		}
	}
	return 0, false
}

// sum adds as wide as addresses are.
func (f *File) sum(a, b uint64) uint64 {
	if f.is64 {
		return a + b
	}
	return uint64(uint32(a) + uint32(b))
}

// Section is one entry of the section table.
type Section struct {
	Type, link     uint32
	Flags, Address uint64
	Offset, Size   uint64
	Name           string
	HasName        bool
}

// Sections gives how many sections can be read, and Section one of them.
func (f *File) Sections() int { return f.sections }

// Section gives the i-th section, 0 ≤ i < Sections.
func (f *File) Section(i int) Section {
	s := f.section(i)
	names := f.section(int(f.nameSection())).Offset
	name := f.u32(f.SectionsAt() + uint64(i)*f.sectionHeader())
	if size := uint64(len(f.data)); names > 0 && names < size && uint64(name) < size {
		s.Name, s.HasName = f.text(names, size, name)
	}
	return s
}

func (f *File) section(i int) Section {
	at := f.SectionsAt() + uint64(i)*f.sectionHeader()
	return Section{
		Type: f.u32(at + 4), Flags: f.word(at + 8), Address: f.word(at + f.by(12, 16)), Offset: f.word(at + f.by(16, 24)),
		Size: f.word(at + f.by(20, 32)), link: f.u32(at + f.by(24, 40)),
	}
}

// findSymbols looks through the section table, if it is in the file.
func (f *File) findSymbols() {
	count, at := f.NumSections(), f.SectionsAt()
	if count >= firstReserved || f.nameSection() >= count || at >= uint64(len(f.data)) || !f.table(at, count, f.sectionHeader()) {
		return
	}
	// libyara compares links with the number of sections as it stands in the file,
	// whatever its byte order.
	links := uint32(binary.LittleEndian.Uint16(f.data[f.by(48, 60):]))
	f.sections = int(count)
	for i := range int(count) {
		s := f.section(i)
		if s.link >= links || s.Type != sectionSymbols && s.Type != sectionDynamicSymbols {
			continue
		}
		if !f.fits(at+uint64(s.link)*f.sectionHeader(), f.sectionHeader()) {
			continue
		}
		text := f.section(int(s.link))
		if text.Type != sectionStrings {
			continue
		}
		list := &Symbols{f: f, at: s.Offset, size: s.Size, names: text.Offset, namesSize: text.Size}
		if s.Type == sectionSymbols {
			f.symbols = list
		} else {
			f.dynsym = list
		}
	}
}

// text reads a name from a table of names, which lies between two offsets.
func (f *File) text(table, end uint64, index uint32) (string, bool) {
	at := table + uint64(index)
	if table >= end || f.data[table] != 0 || int32(index) < 0 || at >= end {
		return "", false
	}
	b := f.data[at:end]
	n := bytes.IndexByte(b[:min(len(b), maxName)], 0)
	if n < 0 {
		return "", false
	}
	return string(b[:n]), true
}

// Segment is one entry of the program header table.
type Segment struct {
	Type, Flags                                        uint32
	Offset, Virtual, Physical, File, Memory, Alignment uint64
}

func (f *File) segment(i int) Segment {
	at := f.SegmentsAt() + uint64(i)*f.segmentHeader()
	return Segment{
		Type: f.u32(at), Flags: f.u32(at + f.by(24, 4)), Offset: f.word(at + f.by(4, 8)), Virtual: f.word(at + f.by(8, 16)),
		Physical: f.word(at + f.by(12, 24)), File: f.word(at + f.by(16, 32)), Memory: f.word(at + f.by(20, 40)),
		Alignment: f.word(at + f.by(28, 48)),
	}
}

// Segments gives how many segments can be read, and Segment one of them.
func (f *File) Segments() int {
	count, at := f.NumSegments(), f.SegmentsAt()
	if count == manySegments || at >= uint64(len(f.data)) || !f.table(at, count, f.segmentHeader()) {
		return 0
	}
	return int(count)
}

// Segment gives the i-th segment, 0 ≤ i < Segments.
func (f *File) Segment(i int) Segment { return f.segment(i) }

// Dynamic is one entry of the dynamic section.
type Dynamic struct{ Type, Value uint64 }

// Dynamic gives the entries of the dynamic section, and how many the last segment of
// that kind has; -1 if there is none. Of a second segment libyara writes the entries
// over those of the first.
func (f *File) Dynamic() (list []Dynamic, count int) { return f.dynamic() }

func (f *File) readDynamic() (list []Dynamic, count int) {
	width := f.by(8, 16)
	steps := 0
	count = -1
	for i := range f.Segments() {
		s := f.segment(i)
		if s.Type != segmentDynamic {
			continue
		}
		count = 0
		for at := s.Offset; at < uint64(len(f.data)) && f.fits(at, width) && count < maxDynamic && steps < maxSteps; at += width {
			steps++
			d := Dynamic{f.word(at), f.word(at + width/2)}
			if count < len(list) {
				list[count] = d
			} else {
				list = append(list, d)
			}
			count++
			if d.Type == 0 {
				break
			}
		}
	}
	return list, count
}

// Symbols is a table of symbols.
type Symbols struct {
	f                          *File
	at, size, names, namesSize uint64
}

// Symbol is one symbol.
type Symbol struct {
	Name       string
	HasName    bool
	Value      uint64
	Size       uint64
	Type, Bind uint8
	Visibility uint8
	Section    uint16
}

// Symbols gives the table of all symbols; nil if there is none in the file.
func (f *File) Symbols() *Symbols { return f.symbols.whole() }

// DynamicSymbols gives the table of the symbols that other programs see.
func (f *File) DynamicSymbols() *Symbols { return f.dynsym.whole() }

// whole is nil for a table that is not in the file.
func (s *Symbols) whole() *Symbols {
	if s == nil || !s.f.fits(s.at, s.size) || !s.f.fits(s.names, s.namesSize) {
		return nil
	}
	return s
}

// Len is the number of symbols, 0 of a nil table.
func (s *Symbols) Len() int {
	if s == nil {
		return 0
	}
	return int(s.size / s.f.by(16, 24))
}

// At gives the i-th symbol.
func (s *Symbols) At(i int) *Symbol {
	f := s.f
	at := s.at + uint64(i)*f.by(16, 24)
	info, other := f.data[at+f.by(12, 4)], f.data[at+f.by(13, 5)]
	y := &Symbol{
		Value: f.word(at + f.by(4, 8)), Size: f.word(at + f.by(8, 16)), Type: info & 0xf, Bind: info >> 4, Visibility: other & 3,
		Section: f.u16(at + f.by(14, 6)),
	}
	y.Name, y.HasName = f.text(s.names, s.names+s.namesSize, f.u32(at))
	return y
}

// ImportHash is the MD5 of the names of all symbols that come from elsewhere; false if
// there are none.
func (f *File) ImportHash() (string, bool) { return f.imports() }

func (f *File) hashImports() (string, bool) {
	names, ok := f.names(func(s *Symbol) bool { return s.Section == 0 && s.Name != "" })
	if !ok {
		return "", false
	}
	sum := md5.Sum([]byte(strings.Join(names, ",")))
	return hex.EncodeToString(sum[:]), true
}

// names gives the names of some symbols in lower case, sorted; false for none.
func (f *File) names(wanted func(*Symbol) bool) ([]string, bool) {
	table := f.DynamicSymbols()
	if table == nil {
		table = f.Symbols()
	}
	if table.Len() > maxNames {
		return nil, false
	}
	var list []string
	total := 0
	for i := range table.Len() {
		s := table.At(i)
		if total += len(s.Name); total > maxNameBytes {
			return nil, false
		}
		if !s.HasName || !wanted(s) {
			continue
		}
		list = append(list, lower(s.Name))
	}
	slices.Sort(list)
	return list, len(list) > 0
}

// lower changes ASCII letters only, as names are bytes.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}
