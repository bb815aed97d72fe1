// Package programtest makes small programs for tests: Windows programs with every
// table that rules ask about, .NET assemblies and ELF files. They hold no code and
// cannot run. Output: bytes of a file, the same at each call but for signatures.
package programtest

import (
	"encoding/binary"
	"unicode/utf16"
)

// section is memory that tables are put into; what is put first is referred to later.
type section struct {
	rva uint32
	b   []byte
}

// put appends bytes at a multiple of 8 and gives their address.
func (s *section) put(b []byte) uint32 {
	for len(s.b)%8 != 0 {
		s.b = append(s.b, 0)
	}
	at := s.rva + uint32(len(s.b))
	s.b = append(s.b, b...)
	return at
}

func (s *section) text(t string) uint32 { return s.put(append([]byte(t), 0)) }

// numbers writes numbers as wide as their types say.
func numbers(values ...any) []byte {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case []byte:
			b = append(b, v...)
		case string:
			b = append(b, v...)
		default:
			b, _ = binary.Append(b, binary.LittleEndian, v)
		}
	}
	return b
}

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

const (
	textRVA, dataRVA   = 0x1000, 0x2000
	imageBase          = 0x10000000 // of PE32
	headerSize         = 0x400
	textSize           = 0x200
	maxSymbolNameAt    = 0x3c0 // string table of long section names
	peHeaderAt         = 0xc0
	delayImport, debug = 13, 6
	com                = 14
)

// Windows makes a program with imports by name and number, delayed imports, exports,
// resources with version information, a rich header, a path of a debug file and data
// behind its last section.
func Windows(is64 bool) []byte {
	data := &section{rva: dataRVA}
	dirs := make(map[int][2]uint32)
	add := func(i int, rva uint32, size int) { dirs[i] = [2]uint32{rva, uint32(size)} }

	pointer := func(v uint64) []byte {
		if is64 {
			return numbers(v)
		}
		return numbers(uint32(v))
	}
	ordinal := uint64(1) << 31
	if is64 {
		ordinal = 1 << 63
	}
	byName := func(name string) uint64 { return uint64(data.put(numbers(uint16(7), name, uint8(0)))) }
	thunks := func(list ...uint64) uint32 {
		var b []byte
		for _, v := range append(list, 0) {
			b = append(b, pointer(v)...)
		}
		return data.put(b)
	}

	kernel := []uint64{byName("CreateFileW"), byName("WriteFile"), byName("ExitProcess")}
	sockets := []uint64{ordinal | 115, ordinal | 23, ordinal | 9999}
	var imports []byte
	for _, l := range []struct {
		name string
		list []uint64
	}{{"KERNEL32.dll", kernel}, {"WS2_32.dll", sockets}, {"bad|name.dll", kernel}, {"OLEAUT32.dll", []uint64{ordinal | 2}}} {
		lookup, address, name := thunks(l.list...), thunks(l.list...), data.text(l.name)
		imports = append(imports, numbers(lookup, uint32(0), uint32(0), name, address)...)
	}
	add(1, data.put(append(imports, make([]byte, 20)...)), len(imports))

	// In PE32 as Visual C++ 6.0 wrote them: with addresses that are absolute.
	attributes, base := uint32(1), uint32(0)
	if !is64 {
		attributes, base = 0, imageBase
	}
	late := thunks(byName("CoCreateGuid")+uint64(base), ordinal|4)
	delay := numbers(attributes, base+data.text("ole32.dll"), uint32(0), base+thunks(1, 1), base+late, uint32(0), uint32(0), uint32(0))
	add(delayImport, data.put(append(delay, make([]byte, 32)...)), len(delay))

	functions := data.put(numbers(uint32(textRVA), uint32(textRVA+16), uint32(0), uint32(0)))
	names := data.put(numbers(data.text("Alpha"), data.text("Gamma_Function")))
	ordinals := data.put(numbers(uint16(0), uint16(2), uint16(1), uint16(3)))
	own := data.text("program.dll")
	table := data.put(make([]byte, 40))
	forward := data.text("OTHER.Function") // inside the directory: a forwarder
	copy(data.b[table-dataRVA:], numbers(uint32(0), uint32(1614754800), uint32(0), own, uint32(5), uint32(4), uint32(2), functions, names, ordinals))
	binary.LittleEndian.PutUint32(data.b[functions-dataRVA+8:], forward)
	add(0, table, 40+8+16)

	path := data.put(numbers("RSDS", make([]byte, 16), uint32(1), `C:\work\program.pdb`, uint8(0)))
	pathAt := headerSize + textSize + path - dataRVA
	add(debug, data.put(numbers(uint32(0), uint32(0), uint32(0), uint32(2), uint32(45), path, pathAt)), 28)

	root := data.put(nil)
	add(2, root, 0)
	data.b = append(data.b, resources(root)...)

	return image(is64, data, dirs, []byte("overlay of the program"))
}

// resources makes a tree with a version, a named type and an icon.
func resources(root uint32) []byte {
	version := versionInfo([][2]string{{"CompanyName", "Example"}, {"OriginalFilename", "program.exe"}, {"CompanyName", "Again"}, {"Empty", ""}})
	name := append(numbers(uint16(4)), wide("NAME")...)
	const (
		types = 0x00
		ids   = 0x40 // one directory for each type
		langs = 0x100
		leafs = 0x200
		nameT = 0x300
		blob  = 0x340
	)
	b := make([]byte, blob)
	dir := func(at int, named, numbered uint16) {
		copy(b[at:], numbers(uint32(0), uint32(77), uint16(1), uint16(2), named, numbered))
	}
	entry := func(at, i int, id, to uint32) { copy(b[at+16+8*i:], numbers(id, to)) }
	const sub = 1 << 31
	dir(types, 1, 2)
	for i, typ := range []uint32{sub | nameT, 3, 16} {
		entry(types, i, typ, uint32(sub|(ids+0x20*i)))
		dir(ids+0x20*i, 0, 1)
		entry(ids+0x20*i, 0, uint32(100+i), uint32(sub|(langs+0x20*i)))
		dir(langs+0x20*i, 0, 1)
		entry(langs+0x20*i, 0, 0x409, uint32(leafs+0x10*i))
		size, at := uint32(16), root+blob
		if typ == 16 {
			size = uint32(len(version))
		}
		copy(b[leafs+0x10*i:], numbers(at, size, uint32(0), uint32(0)))
	}
	copy(b[nameT:], name)
	return append(b, version...)
}

// versionInfo makes the block VS_VERSIONINFO.
func versionInfo(pairs [][2]string) []byte {
	pad := func(b []byte) []byte {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		return b
	}
	block := func(key string, value []byte, units int, inside []byte) []byte {
		b := append(numbers(uint16(0), uint16(units), uint16(1)), append(wide(key), 0, 0)...)
		b = append(pad(b), value...)
		b = append(pad(b), inside...)
		binary.LittleEndian.PutUint16(b, uint16(len(b)))
		return b
	}
	var texts []byte
	for _, p := range pairs {
		value := append(wide(p[1]), 0, 0)
		if p[1] == "" {
			value = append(wide("not shown"), 0, 0)
		}
		texts = pad(append(texts, block(p[0], value, len(p[1]), nil)...))
	}
	fixed := make([]byte, 52)
	copy(fixed, numbers(uint32(0xfeef04bd)))
	vars := pad(block("VarFileInfo", nil, 0, block("Translation", numbers(uint32(0x04b00409)), 4, nil)))
	strings := block("StringFileInfo", nil, 0, block("040904b0", nil, 0, texts))
	return block("VS_VERSION_INFO", fixed, len(fixed), append(vars, strings...))
}

// image lays out headers, a section of code, one of data, and what follows.
func image(is64 bool, data *section, dirs map[int][2]uint32, overlay []byte) []byte {
	for len(data.b)%0x200 != 0 {
		data.b = append(data.b, 0)
	}
	b := make([]byte, headerSize+textSize)
	copy(b, numbers("MZ", make([]byte, 58), uint32(peHeaderAt)))
	copy(b[0x80:], rich())
	machine, magic, size := uint16(0x14c), uint16(0x10b), uint16(224)
	if is64 {
		machine, magic, size = 0x8664, 0x20b, 240
	}
	h := numbers("PE\x00\x00", machine, uint16(2), uint32(1614754800), uint32(maxSymbolNameAt), uint32(0), size, uint16(0x2022),
		magic, uint8(14), uint8(28), uint32(textSize), uint32(len(data.b)), uint32(0), uint32(textRVA+4), uint32(textRVA))
	if is64 {
		h = append(h, numbers(uint64(0x180000000))...)
	} else {
		h = append(h, numbers(uint32(dataRVA), uint32(imageBase))...)
	}
	h = append(h, numbers(uint32(0x1000), uint32(0x200), uint16(6), uint16(1), uint16(2), uint16(3), uint16(6), uint16(0), uint32(0),
		uint32(0x10000), uint32(headerSize), uint32(0x1234), uint16(3), uint16(0x8160))...)
	for _, v := range []uint64{0x100000, 0x1000, 0x200000, 0x2000} {
		if is64 {
			h = append(h, numbers(v)...)
		} else {
			h = append(h, numbers(uint32(v))...)
		}
	}
	h = append(h, numbers(uint32(0), uint32(16))...)
	for i := range 16 {
		h = append(h, numbers(dirs[i][0], dirs[i][1])...)
	}
	h = append(h, numbers(".text\x00\x00\x00", uint32(textSize), uint32(textRVA), uint32(textSize), uint32(headerSize), uint32(0), uint32(0),
		uint16(0), uint16(0), uint32(0x60000020))...)
	h = append(h, numbers("/4\x00\x00\x00\x00\x00\x00", uint32(len(data.b)), uint32(dataRVA), uint32(len(data.b)), uint32(headerSize+textSize), uint32(0),
		uint32(0), uint16(1), uint16(2), uint32(0x40000040))...)
	copy(b[peHeaderAt:], h)
	copy(b[maxSymbolNameAt:], numbers(uint32(20), "long_section_name", uint8(0)))
	for i := range textSize {
		b[headerSize+i] = byte(i * 7)
	}
	return append(append(b, data.b...), overlay...)
}

// rich makes the record of tools.
func rich() []byte {
	const key = 0x11223344
	var b []byte
	for _, v := range []uint32{0x536e6144, 0, 0, 0, 0x00ff7a1b, 5, 0x01027a1c, 9} {
		b = append(b, numbers(v^key)...)
	}
	return append(b, numbers("Rich", uint32(key))...)
}
