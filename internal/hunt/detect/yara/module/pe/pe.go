// Package pe reads the headers and tables of Windows programs (Portable
// Executable). Input: the bytes of a file; offsets, sizes and addresses are bytes
// from its beginning unless a name says RVA, which is an address in memory relative
// to where the program is loaded. Output: plain values; each table is read when it
// is first asked for.
//
// The format is published by Microsoft ("PE Format"); what is made of damaged and
// deliberately odd files – which fields are believed, where a table ends, how many
// entries count – follows libyara 4.5, since rules were written against its answers.
package pe

import (
	"encoding/binary"
	"sync"
)

// Bounds. Those that libyara has are the same, so that counts agree; the others
// stand where libyara would work for hours on a hostile file.
const (
	maxSections    = 96    // as the Windows loader
	maxImports     = 16384 // libraries, functions of a library, and functions in all
	maxExports     = 16384
	maxResources   = 65536
	maxNameLength  = 512     // of an imported or exported function
	maxLibraryName = 256     // of an imported library
	maxPathLength  = 1024    // of the debug file's path
	maxSteps       = 1 << 19 // entries looked at in one table, good or bad
	maxTextLength  = 1 << 16 // of any other text that ends with a zero byte
	maxVersionInfo = 16384   // blocks of the version information
	maxInfoText    = 4096    // characters of a key or value in it
	maxRichLength  = 1 << 16 // of the record of tools; a few hundred bytes are usual
)

// Directories by their index in the optional header.
const (
	DirExport      = 0
	DirImport      = 1
	DirResource    = 2
	DirSecurity    = 4
	DirDebug       = 6
	DirDelayImport = 13
	DirCOM         = 14

	directories = 16
)

const (
	dosHeaderSize = 64
	magic64       = 0x20b
)

// Image is one program.
type Image struct {
	data     []byte
	nt       int64 // offset of "PE\0\0"
	is64     bool
	header   Header
	sections []Section
	mapped   bool // whether all sections that the header counts are in the file

	imports   func() []Library
	delayed   func() []Library
	exports   func() Exports
	resources func() Resources
	signed    func() []Signature
	imphash   func() string
	rich      func() (Rich, bool)
	debug     func() (string, bool)
}

// Section is one entry of the section table.
type Section struct {
	Name                 string // without the zero bytes at its end
	FullName             string // the name in the string table, if Name refers to it
	HasFullName          bool
	VirtualSize          uint32
	VirtualAddress       uint32
	RawSize, RawOffset   uint32
	RelocationsAt        uint32
	LineNumbersAt        uint32
	Relocations, Numbers uint16
	Characteristics      uint32
}

// Directory is one entry of the data directories.
type Directory struct{ VirtualAddress, Size uint32 }

// Parse recognises a program; false for any other file.
func Parse(data []byte) (*Image, bool) {
	p := &Image{data: data}
	if len(data) < dosHeaderSize || string(data[:2]) != "MZ" {
		return nil, false
	}
	nt := int32(binary.LittleEndian.Uint32(data[0x3c:]))
	if nt < 0 || !p.fits(int64(nt), 24+224) || string(data[nt:nt+4]) != "PE\x00\x00" {
		return nil, false
	}
	p.nt = int64(nt)
	p.is64 = p.opt16(0) == magic64
	if p.is64 && !p.fits(p.nt, 24+240) {
		return nil, false
	}
	p.header = p.readHeader()
	p.readSections()
	p.imports = sync.OnceValue(p.readImports)
	p.delayed = sync.OnceValue(p.readDelayedImports)
	p.exports = sync.OnceValue(p.readExports)
	p.resources = sync.OnceValue(p.readResources)
	p.signed = sync.OnceValue(p.readSignatures)
	p.imphash = sync.OnceValue(p.hashImports)
	p.rich = sync.OnceValues(p.readRich)
	p.debug = sync.OnceValues(p.readDebugPath)
	return p, true
}

// Data gives the bytes of the file.
func (p *Image) Data() []byte { return p.data }

// Is64 says whether the optional header is that of PE32+.
func (p *Image) Is64() bool { return p.is64 }

// Sections gives the section table, as far as it is in the file.
func (p *Image) Sections() []Section { return p.sections }

// Imports gives the imported libraries that have at least one readable function.
func (p *Image) Imports() []Library { return p.imports() }

// DelayedImports gives the libraries that are loaded when first used.
func (p *Image) DelayedImports() []Library { return p.delayed() }

// Exports gives what the program offers to others.
func (p *Image) Exports() Exports { return p.exports() }

// Resources gives the resources and the version information among them.
func (p *Image) Resources() Resources { return p.resources() }

// Signatures gives the Authenticode signatures; none is verified.
func (p *Image) Signatures() []Signature { return p.signed() }

// Reading at an offset. What is not in the file reads as zero; callers that must
// know ask fits first.

func (p *Image) fits(offset, size int64) bool {
	return offset >= 0 && size >= 0 && size <= int64(len(p.data)) && offset <= int64(len(p.data))-size
}

func (p *Image) u16(offset int64) uint16 {
	if !p.fits(offset, 2) {
		return 0
	}
	return binary.LittleEndian.Uint16(p.data[offset:])
}

func (p *Image) u32(offset int64) uint32 {
	if !p.fits(offset, 4) {
		return 0
	}
	return binary.LittleEndian.Uint32(p.data[offset:])
}

func (p *Image) u64(offset int64) uint64 {
	if !p.fits(offset, 8) {
		return 0
	}
	return binary.LittleEndian.Uint64(p.data[offset:])
}

// text gives the bytes from an offset to the next zero byte, the limit or the end of
// the file, and whether there was a zero byte.
func (p *Image) text(offset int64, limit int) (s string, ended bool) {
	if offset < 0 || offset > int64(len(p.data)) {
		return "", false
	}
	b := p.data[offset:]
	b = b[:min(len(b), limit)]
	for i, c := range b {
		if c == 0 {
			return string(b[:i]), true
		}
	}
	return string(b), false
}

// Header fields, by their offsets in the file header and the optional header.

func (p *Image) opt16(at int64) uint16 { return p.u16(p.nt + 24 + at) }
func (p *Image) opt32(at int64) uint32 { return p.u32(p.nt + 24 + at) }

// opt gives a field that is 8 bytes at one offset in PE32+ and 4 at another in PE32.
func (p *Image) opt(at32, at64 int64) uint64 {
	if p.is64 {
		return p.u64(p.nt + 24 + at64)
	}
	return uint64(p.opt32(at32))
}

// late gives a field of 4 bytes after those that differ in width.
func (p *Image) late(at32, at64 int64) uint32 {
	if p.is64 {
		return p.opt32(at64)
	}
	return p.opt32(at32)
}

// Header is what the file header and the optional header say.
type Header struct {
	Machine, Sections                                                  uint16
	Timestamp, SymbolTable, Symbols                                    uint32
	OptionalSize, Characteristics                                      uint16
	Magic                                                              uint16
	LinkerMajor, LinkerMinor                                           uint8
	CodeSize, InitializedSize, UninitializedSize, EntryPoint, CodeBase uint32
	DataBase                                                           uint32 // PE32 only
	ImageBase                                                          uint64
	SectionAlignment, FileAlignment                                    uint32
	OSMajor, OSMinor, ImageMajor, ImageMinor                           uint16
	SubsystemMajor, SubsystemMinor                                     uint16
	Win32Version, ImageSize, HeadersSize, Checksum                     uint32
	Subsystem, DLLCharacteristics                                      uint16
	StackReserve, StackCommit, HeapReserve, HeapCommit                 uint64
	LoaderFlags, Directories                                           uint32
}

// Header gives what the headers say.
func (p *Image) Header() *Header { return &p.header }

func (p *Image) readHeader() Header {
	return Header{
		Machine: p.u16(p.nt + 4), Sections: p.u16(p.nt + 6), Timestamp: p.u32(p.nt + 8),
		SymbolTable: p.u32(p.nt + 12), Symbols: p.u32(p.nt + 16), OptionalSize: p.u16(p.nt + 20), Characteristics: p.u16(p.nt + 22),
		Magic: p.opt16(0), LinkerMajor: uint8(p.opt16(2)), LinkerMinor: uint8(p.opt16(2) >> 8),
		CodeSize: p.opt32(4), InitializedSize: p.opt32(8), UninitializedSize: p.opt32(12), EntryPoint: p.opt32(16),
		CodeBase: p.opt32(20), DataBase: p.opt32(24), ImageBase: p.opt(28, 24), SectionAlignment: p.opt32(32), FileAlignment: p.opt32(36),
		OSMajor: p.opt16(40), OSMinor: p.opt16(42), ImageMajor: p.opt16(44), ImageMinor: p.opt16(46),
		SubsystemMajor: p.opt16(48), SubsystemMinor: p.opt16(50), Win32Version: p.opt32(52), ImageSize: p.opt32(56), HeadersSize: p.opt32(60),
		Checksum: p.opt32(64), Subsystem: p.opt16(68), DLLCharacteristics: p.opt16(70),
		StackReserve: p.opt(72, 72), StackCommit: p.opt(76, 80), HeapReserve: p.opt(80, 88), HeapCommit: p.opt(84, 96),
		LoaderFlags: p.late(88, 104), Directories: p.late(92, 108),
	}
}

// directoryAt gives the offset of an entry of the data directories.
func (p *Image) directoryAt(i int) int64 {
	if p.is64 {
		return p.nt + 24 + 112 + 8*int64(i)
	}
	return p.nt + 24 + 96 + 8*int64(i)
}

// Directories gives the data directories that the header counts.
func (p *Image) Directories() []Directory {
	var list []Directory
	for i := range min(int(p.late(92, 108)), directories) {
		list = append(list, p.Directory(i))
	}
	return list
}

// Directory gives one of the data directories, whether or not the header counts it:
// there are programs that count none and have them.
func (p *Image) Directory(i int) Directory {
	at := p.directoryAt(i)
	return Directory{p.u32(at), p.u32(at + 4)}
}

func (p *Image) readSections() {
	at := p.nt + 24 + int64(p.u16(p.nt+20))
	n := min(int(p.u16(p.nt+6)), maxSections)
	for range n {
		if !p.fits(at, 40) {
			return
		}
		name := p.data[at : at+8]
		for len(name) > 0 && name[len(name)-1] == 0 {
			name = name[:len(name)-1]
		}
		s := Section{
			Name: string(name), VirtualSize: p.u32(at + 8), VirtualAddress: p.u32(at + 12), RawSize: p.u32(at + 16), RawOffset: p.u32(at + 20),
			RelocationsAt: p.u32(at + 24), LineNumbersAt: p.u32(at + 28), Relocations: p.u16(at + 32), Numbers: p.u16(at + 34),
			Characteristics: p.u32(at + 36),
		}
		s.FullName, s.HasFullName = p.fullName(s.Name)
		p.sections = append(p.sections, s)
		at += 40
	}
	p.mapped = true
}

// fullName follows "/4" to the string table behind the COFF symbols.
func (p *Image) fullName(name string) (string, bool) {
	symbols := p.u32(p.nt + 12)
	if symbols == 0 || name == "" || name[0] != '/' {
		return name, true
	}
	index := int64(0)
	for i := 1; i < len(name) && name[i] >= '0' && name[i] <= '9'; i++ {
		index = index*10 + int64(name[i]-'0')
	}
	full, ended := p.text(int64(symbols)+int64(p.u32(p.nt+16))*18+index, maxTextLength)
	if !ended {
		return "", false
	}
	for i := range len(full) {
		if full[i] < ' ' || full[i] > '~' {
			return "", false
		}
	}
	return full, true
}

// Offset gives the place in the file of an address in memory; false for an address
// that has none.
func (p *Image) Offset(rva uint64) (int64, bool) {
	if !p.mapped {
		return 0, false
	}
	fileAlignment, sectionAlignment := min(p.opt32(36), 0x200), p.opt32(32)
	lowest := uint32(0xffffffff)
	var at, raw, rawSize uint32 // of the last section that holds the address
	for i := range p.sections {
		s := &p.sections[i]
		lowest = min(lowest, s.VirtualAddress)
		size := max(s.VirtualSize, s.RawSize)
		if rva < uint64(s.VirtualAddress) || rva-uint64(s.VirtualAddress) >= uint64(size) || at > s.VirtualAddress {
			continue
		}
		at, raw, rawSize = s.VirtualAddress, s.RawOffset, s.RawSize
		if fileAlignment != 0 {
			raw -= raw % fileAlignment
		}
		if sectionAlignment >= 0x1000 {
			raw &^= 0x1ff
		}
	}
	if rva < uint64(lowest) { // the headers lie in memory as in the file
		at, raw, rawSize = 0, 0, uint32(len(p.data))
	}
	if rva-uint64(at) >= uint64(rawSize) {
		return 0, false
	}
	offset := int64(raw) + int64(rva-uint64(at))
	if offset >= int64(len(p.data)) {
		return 0, false
	}
	return offset, true
}

// Overlay gives what follows the last section in the file; zero if nothing does.
func (p *Image) Overlay() (offset, size int64) {
	var raw, rawSize uint64
	for _, s := range p.sections {
		if uint64(s.RawOffset+s.RawSize) > raw+rawSize {
			raw, rawSize = uint64(s.RawOffset), uint64(s.RawSize)
		}
	}
	if end := raw + rawSize; end != 0 && uint64(len(p.data)) > end {
		return int64(end), int64(len(p.data)) - int64(end)
	}
	return 0, 0
}

// Checksum computes what the header's checksum should be.
func (p *Image) Checksum() uint64 {
	field := p.nt + 24 + 64
	sum := uint64(0)
	b := p.data
	for at := int64(0); len(b) > 0; at += 4 {
		var word uint64
		if len(b) >= 4 {
			word = uint64(binary.LittleEndian.Uint32(b))
			b = b[4:]
		} else {
			for i, c := range b {
				word |= uint64(c) << (8 * i)
			}
			b = nil
		}
		if at == field {
			continue
		}
		sum += word
		sum = sum&0xffffffff + sum>>32
	}
	sum = sum&0xffff + sum>>16
	sum += sum >> 16
	return sum&0xffff + uint64(len(p.data))
}

// DebugPath gives the path of the debug file that the linker left.
func (p *Image) DebugPath() (string, bool) { return p.debug() }

func (p *Image) readDebugPath() (string, bool) {
	dir := p.Directory(DirDebug)
	if dir.Size == 0 || dir.VirtualAddress == 0 {
		return "", false
	}
	at, ok := p.Offset(uint64(dir.VirtualAddress))
	if !ok {
		return "", false
	}
	for range min(dir.Size/28, maxSteps) {
		if !p.fits(at, 28) {
			break
		}
		kind, rva, raw := p.u32(at+12), p.u32(at+20), int64(p.u32(at+24))
		at += 28
		if kind != 2 { // CodeView
			continue
		}
		record := int64(0)
		if rva != 0 {
			record, _ = p.Offset(uint64(rva))
		}
		if record <= 0 {
			record = raw
		}
		name := record
		switch {
		case record <= 0 || !p.fits(record, 8):
			continue
		case p.u32(record) == 0x3031424e && p.fits(record, 17): // NB10
			name += 16
		case p.u32(record) == 0x53445352 && p.fits(record, 25): // RSDS
			name += 24
		case p.u32(record) == 0x434f544d && p.fits(record, 21): // MTOC
			name += 20
		default:
			continue
		}
		if path, _ := p.text(name, maxPathLength); len(path) < maxPathLength {
			return path, true
		}
	}
	return "", false
}

// Rich is the record of the tools that built the program, which Microsoft's linker
// hides between the DOS header and the PE header.
type Rich struct {
	Offset     int64
	Key        uint32
	Raw, Clear string
	Tools      []Tool
	Whole      bool // whether it is long enough to hold tools
}

// Tool is one kind of object file, and how many of it were linked.
type Tool struct {
	ID, Version uint16
	Times       uint32
}

// Rich finds the record; false if there is none.
func (p *Image) Rich() (Rich, bool) { return p.rich() }

func (p *Image) readRich() (Rich, bool) {
	var r Rich
	at := p.nt - 4
	for ; at >= dosHeaderSize && p.u32(at) != 0x68636952; at -= 4 { // "Rich"
	}
	if at < dosHeaderSize {
		return r, false
	}
	end := at
	if r.Key = p.u32(end + 4); r.Key == 0 {
		return r, false
	}
	for at -= 4; at >= dosHeaderSize && end-at <= maxRichLength && p.u32(at)^r.Key != 0x536e6144; at -= 4 { // "DanS"
	}
	if at < dosHeaderSize || end-at > maxRichLength {
		return r, false
	}
	r.Offset = at
	raw := p.data[at:end]
	clear := make([]byte, len(raw))
	for i := 0; i < len(raw); i += 4 {
		binary.LittleEndian.PutUint32(clear[i:], binary.LittleEndian.Uint32(raw[i:])^r.Key)
	}
	r.Raw, r.Clear = string(raw), string(clear)
	if len(clear) < 16 {
		return r, true
	}
	r.Whole = true
	for b := clear[16:]; len(b) >= 8; b = b[8:] {
		id := binary.LittleEndian.Uint32(b)
		r.Tools = append(r.Tools, Tool{uint16(id >> 16), uint16(id), binary.LittleEndian.Uint32(b[4:])})
	}
	return r, true
}

// ToolIDs gives the tools and versions as they stand in the record, without how
// often each was used.
func (r Rich) ToolIDs() string {
	var b []byte
	for _, t := range r.Tools {
		b = binary.LittleEndian.AppendUint32(b, uint32(t.ID)<<16|uint32(t.Version))
	}
	return string(b)
}
