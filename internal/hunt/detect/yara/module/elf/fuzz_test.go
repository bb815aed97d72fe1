package elf_test

import (
	"bytes"
	debugelf "debug/elf"
	"testing"

	"postern/internal/hunt/detect/yara/module/elf"
	"postern/internal/hunt/detect/yara/module/programtest"
)

func FuzzParse(f *testing.F) {
	for i := range 8 {
		f.Add(programtest.ELF(i&1 != 0, i&2 != 0, i&4 != 0))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, ok := elf.Parse(data)
		if !ok {
			return
		}
		for _, table := range []*elf.Symbols{p.Symbols(), p.DynamicSymbols()} {
			for i := range min(table.Len(), 1000) {
				if s := table.At(i); s.HasName && !bytes.Contains(data, append([]byte(s.Name), 0)) {
					t.Errorf("the symbol %q is not in the file", s.Name)
				}
			}
		}
		if list, n := p.Dynamic(); n > len(list) || len(list) > 1<<16 {
			t.Errorf("the dynamic section has %d entries, %d are there", n, len(list))
		}
		p.EntryPoint()
		p.ImportHash()
		p.TelfHash()
		theirs, err := debugelf.NewFile(bytes.NewReader(data))
		if err != nil {
			return // the standard library wants more of a file
		}
		if p.Machine() != uint16(theirs.Machine) || p.Type() != uint16(theirs.Type) {
			t.Errorf("machine %d and type %d, the standard library says %v and %v", p.Machine(), p.Type(), theirs.Machine, theirs.Type)
		}
		if len(theirs.Sections) != p.Sections() {
			return
		}
		for i, want := range theirs.Sections {
			s := p.Section(i)
			if uint32(want.Type) != s.Type || uint32(want.Flags) != uint32(s.Flags) || want.Addr != s.Address || want.Offset != s.Offset {
				t.Errorf("section %d is %+v, the standard library says %+v", i, s, want.SectionHeader)
			}
		}
	})
}
