package module

import (
	"encoding/binary"
	"testing"

	"postern/internal/hunt/detect/yara/module/programtest"
)

// Programs made to cost without end. libyara works on some of them for hours; a test
// that does not come back says the same of this package.

// grown is a program whose data directory leads to a table of one's own at its end,
// in a section of that size.
func grown(directory int, table func(rva uint32) []byte) []byte {
	program := programtest.Windows(false)
	const header, sections = 0xc0, 0xc0 + 24 + 224
	start := uint32(len(program)+0xfff) &^ 0xfff
	rva := uint32(0x100000)
	body := table(rva)
	program = append(append(program, make([]byte, int(start)-len(program))...), body...)
	put := func(at int, v uint32) { binary.LittleEndian.PutUint32(program[at:], v) }
	put(header+24+96+8*directory, rva)
	put(header+24+96+8*directory+4, uint32(len(body)))
	binary.LittleEndian.PutUint16(program[header+6:], 3)
	third := sections + 80
	copy(program[third:], make([]byte, 40))
	put(third+8, uint32(len(body)))
	put(third+12, rva)
	put(third+16, uint32(len(body)))
	put(third+20, start)
	return program
}

func words(n int, at func(i int) uint32) []byte {
	b := make([]byte, 0, 4*n)
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, at(i))
	}
	return b
}

func TestHostilePrograms(t *testing.T) {
	t.Parallel()
	pe, _ := Lookup("pe")
	get := func(data []byte, path ...string) Value {
		v := pe.Load(&File{Data: data})
		for _, p := range path {
			v = v.Field(p)
		}
		return v
	}

	// Two directories of resources whose every entry leads to the other, and leaves.
	const entries = 20000
	dir := func(to uint32) []byte {
		b := append(make([]byte, 12), words(1, func(int) uint32 { return entries << 16 })...)
		return append(b, words(2*entries, func(i int) uint32 { return []uint32{uint32(i), 0x80000000 | to}[i&1] })...)
	}
	size := uint32(16 + 8*entries)
	loops := grown(2, func(uint32) []byte { return append(dir(size), dir(0)...) })
	if n := get(loops, "number_of_resources").Int(); n > 65536 {
		t.Errorf("a tree that leads back to itself has %d resources", n)
	}

	// Libraries that all have the same long list of functions without valid names.
	imports := grown(1, func(rva uint32) []byte {
		const libraries, thunks = 4000, 30000
		names := rva + 20*(libraries+1)
		lookup := names + 16
		b := words(5*libraries, func(i int) uint32 { return []uint32{lookup, 0, 0, names, lookup}[i%5] })
		b = append(append(b, make([]byte, 20)...), "library.dll\x00\x00\x00\x00\x00"...)
		return append(b, words(thunks, func(int) uint32 { return names + 12 })...)
	})
	if n := get(imports, "number_of_imported_functions").Int(); n != 0 {
		t.Errorf("%d functions without names are imported", n)
	}

	// The same loaded late, with valid names, for ever.
	delayed := grown(13, func(rva uint32) []byte {
		const libraries, thunks = 4000, 30000
		names := rva + 32*libraries
		lookup := names + 16
		b := words(8*libraries, func(i int) uint32 { return []uint32{1, names, 0, lookup, lookup, 0, 0, 0}[i%8] })
		b = append(b, "library.dll\x00\x00\x00\x00\x00"...)
		return append(b, words(thunks, func(int) uint32 { return names })...)
	})
	// The header says how large the program is in memory; addresses beyond are none.
	binary.LittleEndian.PutUint32(delayed[0xc0+24+56:], 0x7fffffff)
	if n := get(delayed, "number_of_delayed_imported_functions").Int(); n == 0 || n > 1<<19 {
		t.Errorf("%d functions are imported late", n)
	}
}

func TestHostileAssembly(t *testing.T) {
	t.Parallel()
	dotnet, _ := Lookup("dotnet")
	data := programtest.DotNet()
	// A type that is made of itself, many times: Base<T0> becomes spec<spec, spec, …>.
	at := -1
	for i := range data[:len(data)-6] {
		if string(data[i:i+6]) == "\x15\x12\x05\x01\x13\x00" {
			at = i
		}
	}
	if at < 0 {
		t.Fatal("the assembly has no type of that kind")
	}
	copy(data[at:], "\x15\x12\x06\x7f\x12\x06")
	v := dotnet.Load(&File{Data: data}).Field("classes")
	for i := range v.Len() {
		for j := range v.Index(int64(i)).Field("base_types").Len() {
			if n := len(v.Index(int64(i)).Field("base_types").Index(int64(j)).Text()); n > 1<<13 {
				t.Errorf("the name of a type has %d bytes", n)
			}
		}
	}
}
