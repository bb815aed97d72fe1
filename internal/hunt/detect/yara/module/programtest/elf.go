package programtest

import "encoding/binary"

// ELF makes a program with sections, segments, a dynamic section and both tables of
// symbols.
func ELF(is64, bigEndian, executable bool) []byte {
	var order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	} = binary.LittleEndian
	if bigEndian {
		order = binary.BigEndian
	}
	u16 := func(b []byte, v uint16) []byte { return order.AppendUint16(b, v) }
	u32 := func(b []byte, v uint32) []byte { return order.AppendUint32(b, v) }
	word := func(b []byte, v uint64) []byte {
		if is64 {
			return order.AppendUint64(b, v)
		}
		return order.AppendUint32(b, uint32(v))
	}
	header, sectionHeader, segmentHeader := 52, 40, 32
	if is64 {
		header, sectionHeader, segmentHeader = 64, 64, 56
	}

	// Names and symbols.
	names := []byte{0}
	name := func(s string) uint32 {
		at := len(names)
		names = append(append(names, s...), 0)
		return uint32(at)
	}
	symbol := func(b []byte, n uint32, value, size uint64, info, other uint8, shndx uint16) []byte {
		b = u32(b, n)
		if is64 {
			return word(word(u16(append(b, info, other), shndx), value), size)
		}
		return u16(append(word(word(b, value), size), info, other), shndx)
	}
	var symtab, dynsym []byte
	symtab = symbol(symtab, 0, 0, 0, 0, 0, 0)
	symtab = symbol(symtab, name("local_function"), 0x401000, 16, 0x02, 0, 1)
	dynsym = symbol(dynsym, 0, 0, 0, 0, 0, 0)
	for i, n := range []string{"Connect_To_Server", "encryptFileContents", "printf", "_start", "strcpy", "fork64", "read_configuration", "main", "sendBeacon",
		"decode_base_sixty_four", "Zeta", "list_directory_entries", "persist_in_crontab"} {
		dynsym = symbol(dynsym, name(n), uint64(0x401000+i), 8, 0x12, 0, uint16(i%2))
	}
	section := func(n string) uint32 { return name(n) }
	names0 := []uint32{0, section(".text"), section(".symtab"), section(".dynsym"), section(".strtab"), section(".dynamic")}

	// Layout: header, segments, contents, sections.
	b := make([]byte, header+2*segmentHeader)
	place := func(content []byte) (uint64, uint64) {
		at := len(b)
		b = append(b, content...)
		return uint64(at), uint64(len(content))
	}
	text, textSize := place(make([]byte, 64))
	symAt, symSize := place(symtab)
	dynAt, dynSize := place(dynsym)
	strAt, strSize := place(names)
	var dynamic []byte
	for _, d := range [][2]uint64{{1, 5}, {5, strAt}, {0, 0}, {7, 7}} {
		dynamic = word(word(dynamic, d[0]), d[1])
	}
	dynamicAt, dynamicSize := place(dynamic)
	sectionsAt := len(b)
	const base = 0x400000
	for i, s := range []struct {
		kind, link              uint32
		flags, addr, at, length uint64
	}{
		{0, 0, 0, 0, 0, 0}, {1, 0, 6, base + text, text, textSize}, {2, 4, 0, 0, symAt, symSize}, {11, 4, 2, base + dynAt, dynAt, dynSize},
		{3, 0, 0, 0, strAt, strSize}, {6, 4, 3, base + dynamicAt, dynamicAt, dynamicSize},
	} {
		b = u32(u32(b, names0[i]), s.kind)
		b = word(word(word(word(b, s.flags), s.addr), s.at), s.length)
		b = u32(u32(b, s.link), 0)
		b = word(word(b, 8), 0)
	}

	// The header and the segments, which stand in front.
	var h []byte
	h = append(h, "\x7fELF"...)
	h = append(h, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	if is64 {
		h[4] = 2
	}
	if bigEndian {
		h[5] = 2
	}
	kind := uint16(3)
	if executable {
		kind = 2
	}
	h = u32(u16(u16(h, kind), 62), 1)
	h = word(word(word(h, base+text+8), uint64(header)), uint64(sectionsAt))
	h = u32(h, 0)
	for _, v := range []int{header, segmentHeader, 2, sectionHeader, 6, 4} {
		h = u16(h, uint16(v))
	}
	for _, s := range [][3]uint64{{1, 0, uint64(sectionsAt)}, {2, dynamicAt, dynamicSize}} {
		h = u32(h, uint32(s[0]))
		if is64 {
			h = u32(h, 5)
		}
		h = word(word(word(word(word(h, s[1]), base+s[1]), base+s[1]), s[2]), s[2])
		if !is64 {
			h = u32(h, 5)
		}
		h = word(h, 0x1000)
	}
	copy(b, h)
	return b
}
