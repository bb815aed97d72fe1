package main

import (
	"bytes"
	"debug/pe"
	"testing"
)

// What is made is a library for x64 that debug/pe can read, with the names in it.
func TestForwarderIsALibrary(t *testing.T) {
	t.Parallel()
	b := forwarder("a.dll", "Name", "b.Other")
	f, err := pe.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || f.Machine != pe.IMAGE_FILE_MACHINE_AMD64 || f.Characteristics&pe.IMAGE_FILE_DLL == 0 || len(f.Sections) != 1 {
		t.Fatalf("not a library for x64: %+v", f.FileHeader)
	}
	data, err := f.Sections[0].Data()
	if err != nil {
		t.Fatal(err)
	}
	if exports := h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_EXPORT]; exports.VirtualAddress != f.Sections[0].VirtualAddress || exports.Size != f.Sections[0].Size {
		t.Errorf("exports at %#x, %d bytes; the section is at %#x", exports.VirtualAddress, exports.Size, f.Sections[0].VirtualAddress)
	}
	for _, name := range []string{"a.dll\x00", "Name\x00", "b.Other\x00"} {
		if !bytes.Contains(data, []byte(name)) {
			t.Errorf("%q is not in it", name)
		}
	}
}
