package module

import (
	"slices"

	"postern/internal/hunt/detect/yara/module/elf"
)

// The module elf. What it reads is in the package elf.

var elfModule = &Module{
	decl: &Decl{Name: "elf", Type: Struct, Fields: slices.Concat(constants(elfNumbers), elfFields)},
	load: func(f *File) any {
		e, _ := elf.Parse(f.Data)
		return e
	},
}

// program is a nil pointer for any other file, and then all but the constants is
// undefined.
type program = *elf.File

func elfInt(name string, get func(program) int64) *Decl {
	return integer(name, func(p program) (int64, bool) {
		if p == nil {
			return 0, false
		}
		return get(p), true
	})
}

// symbols declares a table of symbols and how many it has.
func symbols(name string, get func(program) *elf.Symbols) []*Decl {
	table := func(p program) *elf.Symbols {
		if p == nil {
			return nil
		}
		return get(p)
	}
	return []*Decl{
		integer(name+"_entries", func(p program) (int64, bool) { t := table(p); return int64(t.Len()), t != nil }),
		entries(name, func(p program) int { return table(p).Len() }, func(p program, i int) *elf.Symbol { return table(p).At(i) },
			text("name", func(s *elf.Symbol) (string, bool) { return s.Name, s.HasName }),
			intOf("value", func(s *elf.Symbol) int64 { return int64(s.Value) }),
			intOf("size", func(s *elf.Symbol) int64 { return int64(s.Size) }),
			intOf("type", func(s *elf.Symbol) int64 { return int64(s.Type) }),
			intOf("bind", func(s *elf.Symbol) int64 { return int64(s.Bind) }),
			intOf("shndx", func(s *elf.Symbol) int64 { return int64(s.Section) })),
	}
}

// elfHash declares a function without arguments that gives a hash, or nothing.
func elfHash(name string, get func(program) (string, bool)) *Decl {
	return function(name, takes("", "s", func(p program, _ []Value) Value {
		if p == nil {
			return Value{}
		}
		if hash, ok := get(p); ok {
			return StringValue(hash)
		}
		return Value{}
	}))
}

var elfFields = slices.Concat(
	[]*Decl{
		elfInt("type", func(p program) int64 { return int64(p.Type()) }),
		elfInt("machine", func(p program) int64 { return int64(p.Machine()) }),
		integer("entry_point", func(p program) (int64, bool) {
			if p == nil {
				return 0, false
			}
			offset, ok := p.EntryPoint()
			return int64(offset), ok
		}),
		elfInt("number_of_sections", func(p program) int64 { return int64(p.NumSections()) }),
		elfInt("sh_offset", func(p program) int64 { return int64(p.SectionsAt()) }),
		elfInt("sh_entry_size", func(p program) int64 { return int64(p.SectionSize()) }),
		elfInt("number_of_segments", func(p program) int64 { return int64(p.NumSegments()) }),
		elfInt("ph_offset", func(p program) int64 { return int64(p.SegmentsAt()) }),
		elfInt("ph_entry_size", func(p program) int64 { return int64(p.SegmentSize()) }),
		entries("sections", func(p program) int {
			if p == nil {
				return 0
			}
			return p.Sections()
		}, program.Section,
			intOf("type", func(s elf.Section) int64 { return int64(s.Type) }),
			intOf("flags", func(s elf.Section) int64 { return int64(s.Flags) }),
			intOf("address", func(s elf.Section) int64 { return int64(s.Address) }),
			text("name", func(s elf.Section) (string, bool) { return s.Name, s.HasName }),
			intOf("size", func(s elf.Section) int64 { return int64(s.Size) }),
			intOf("offset", func(s elf.Section) int64 { return int64(s.Offset) })),
		entries("segments", func(p program) int {
			if p == nil {
				return 0
			}
			return p.Segments()
		}, program.Segment,
			intOf("type", func(s elf.Segment) int64 { return int64(s.Type) }),
			intOf("flags", func(s elf.Segment) int64 { return int64(s.Flags) }),
			intOf("offset", func(s elf.Segment) int64 { return int64(s.Offset) }),
			intOf("virtual_address", func(s elf.Segment) int64 { return int64(s.Virtual) }),
			intOf("physical_address", func(s elf.Segment) int64 { return int64(s.Physical) }),
			intOf("file_size", func(s elf.Segment) int64 { return int64(s.File) }),
			intOf("memory_size", func(s elf.Segment) int64 { return int64(s.Memory) }),
			intOf("alignment", func(s elf.Segment) int64 { return int64(s.Alignment) })),
		integer("dynamic_section_entries", func(p program) (int64, bool) {
			if p == nil {
				return 0, false
			}
			_, n := p.Dynamic()
			return int64(n), n >= 0
		}),
		structures("dynamic", func(p program) []elf.Dynamic {
			if p == nil {
				return nil
			}
			list, _ := p.Dynamic()
			return list
		},
			intOf("type", func(d *elf.Dynamic) int64 { return int64(d.Type) }),
			intOf("val", func(d *elf.Dynamic) int64 { return int64(d.Value) })),
	},
	symbols("symtab", program.Symbols),
	symbols("dynsym", program.DynamicSymbols),
	[]*Decl{
		elfHash("telfhash", program.TelfHash),
		elfHash("import_md5", program.ImportHash),
	},
)
