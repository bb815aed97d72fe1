package pe_test

import (
	"bytes"
	debugpe "debug/pe"
	"testing"

	"postern/internal/hunt/detect/yara/module/pe"
	"postern/internal/hunt/detect/yara/module/programtest"
)

func FuzzParse(f *testing.F) {
	for _, is64 := range []bool{false, true} {
		program := programtest.Windows(is64)
		f.Add(program)
		signed, err := programtest.Signed(program, is64)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(signed)
	}
	f.Add(programtest.DotNet())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, ok := pe.Parse(data)
		theirs, err := debugpe.NewFile(bytes.NewReader(data))
		if !ok {
			return
		}
		inFile(t, p, int64(len(data)))
		if err != nil || len(theirs.Sections) != len(p.Sections()) {
			return // the standard library wants more of a file
		}
		for i, s := range p.Sections() {
			if want := theirs.Sections[i]; s.VirtualAddress != want.VirtualAddress || s.RawOffset != want.Offset || s.RawSize != want.Size ||
				s.Characteristics != want.Characteristics {
				t.Errorf("section %d is %+v, the standard library says %+v", i, s, want.SectionHeader)
			}
		}
	})
}

// inFile asks for everything and checks that what is said to be in the file is there,
// and that no list is longer than its bound.
func inFile(t *testing.T, p *pe.Image, size int64) {
	t.Helper()
	inside := func(what string, offset int64) {
		if offset < 0 || offset >= size {
			t.Errorf("%s is at %d in a file of %d bytes", what, offset, size)
		}
	}
	exports, resources := p.Exports(), p.Resources()
	for what, n := range map[string]int{
		"sections": len(p.Sections()) - 96, "imports": len(p.Imports()) - 16384, "exports": len(exports.List) - 16384,
		"resources": len(resources.List) - 65536, "version information": len(resources.Version) - 16384, "signatures": len(p.Signatures()) - 16,
	} {
		if n > 0 {
			t.Errorf("there are %d more %s than may be", n, what)
		}
	}
	for _, e := range exports.List {
		if e.HasOffset {
			inside("an export", e.Offset)
		}
	}
	for _, r := range resources.List {
		if r.HasOffset {
			inside("a resource", r.Offset)
		}
	}
	if rich, ok := p.Rich(); ok {
		inside("the rich header", rich.Offset+int64(len(rich.Raw))-1)
	}
	if offset, n := p.Overlay(); n != 0 && offset+n != size {
		t.Errorf("the overlay of %d bytes at %d does not end with the file of %d", n, offset, size)
	}
	for _, l := range p.DelayedImports() {
		if len(l.Name) == 0 {
			t.Error("a library has no name")
		}
	}
	if len(p.ImportHash()) != 32 {
		t.Errorf("the import hash is %q", p.ImportHash())
	}
	_, _ = p.DebugPath()
	_ = p.Checksum()
}
