package module

import (
	"slices"
	"strings"

	"postern/internal/hunt/detect/yara/module/pe"
)

// The module pe. What it reads is in the package pe; here each value gets its name.
// Not declared, since nothing here verifies a signature: is_signed and the signatures'
// verified, countersignatures and chain.

var peModule = &Module{
	decl: &Decl{Name: "pe", Type: Struct, Fields: slices.Concat(constants(peNumbers), peHeader, peTables, peFunctions, peSignatures)},
	load: func(f *File) any {
		p, _ := pe.Parse(f.Data)
		return p
	},
}

// image is a nil pointer for any file that is no program, and then everything but
// is_pe and the constants is undefined.
type image = *pe.Image

func peInt(name string, get func(image) int64) *Decl {
	return integer(name, func(p image) (int64, bool) {
		if p == nil {
			return 0, false
		}
		return get(p), true
	})
}

func headerInt(name string, get func(*pe.Header) int64) *Decl {
	return peInt(name, func(p image) int64 { return get(p.Header()) })
}

func version(name string, major, minor func(*pe.Header) int64) *Decl {
	return structure(name, func(p image) image { return p }, headerInt("major", major), headerInt("minor", minor))
}

// list makes a getter of a list that is empty for files that are no programs.
func list[T any](get func(image) []T) func(image) []T {
	return func(p image) []T {
		if p == nil {
			return nil
		}
		return get(p)
	}
}

var peHeader = []*Decl{
	integer("is_pe", func(p image) (int64, bool) { return truth(p != nil).Int(), true }),
	headerInt("machine", func(h *pe.Header) int64 { return int64(h.Machine) }),
	headerInt("number_of_sections", func(h *pe.Header) int64 { return int64(h.Sections) }),
	headerInt("timestamp", func(h *pe.Header) int64 { return int64(h.Timestamp) }),
	headerInt("pointer_to_symbol_table", func(h *pe.Header) int64 { return int64(h.SymbolTable) }),
	headerInt("number_of_symbols", func(h *pe.Header) int64 { return int64(h.Symbols) }),
	headerInt("size_of_optional_header", func(h *pe.Header) int64 { return int64(h.OptionalSize) }),
	headerInt("characteristics", func(h *pe.Header) int64 { return int64(h.Characteristics) }),
	peInt("entry_point", func(p image) int64 {
		if offset, ok := p.Offset(uint64(p.Header().EntryPoint)); ok {
			return offset
		}
		return -1
	}),
	headerInt("entry_point_raw", func(h *pe.Header) int64 { return int64(h.EntryPoint) }),
	headerInt("image_base", func(h *pe.Header) int64 { return int64(h.ImageBase) }),
	headerInt("number_of_rva_and_sizes", func(h *pe.Header) int64 { return int64(h.Directories) }),
	headerInt("opthdr_magic", func(h *pe.Header) int64 { return int64(h.Magic) }),
	headerInt("size_of_code", func(h *pe.Header) int64 { return int64(h.CodeSize) }),
	headerInt("size_of_initialized_data", func(h *pe.Header) int64 { return int64(h.InitializedSize) }),
	headerInt("size_of_uninitialized_data", func(h *pe.Header) int64 { return int64(h.UninitializedSize) }),
	headerInt("base_of_code", func(h *pe.Header) int64 { return int64(h.CodeBase) }),
	integer("base_of_data", func(p image) (int64, bool) {
		if p == nil || p.Is64() {
			return 0, false
		}
		return int64(p.Header().DataBase), true
	}),
	headerInt("section_alignment", func(h *pe.Header) int64 { return int64(h.SectionAlignment) }),
	headerInt("file_alignment", func(h *pe.Header) int64 { return int64(h.FileAlignment) }),
	version("linker_version",
		func(h *pe.Header) int64 { return int64(h.LinkerMajor) }, func(h *pe.Header) int64 { return int64(h.LinkerMinor) }),
	version("os_version",
		func(h *pe.Header) int64 { return int64(h.OSMajor) }, func(h *pe.Header) int64 { return int64(h.OSMinor) }),
	version("image_version",
		func(h *pe.Header) int64 { return int64(h.ImageMajor) }, func(h *pe.Header) int64 { return int64(h.ImageMinor) }),
	version("subsystem_version",
		func(h *pe.Header) int64 { return int64(h.SubsystemMajor) }, func(h *pe.Header) int64 { return int64(h.SubsystemMinor) }),
	headerInt("win32_version_value", func(h *pe.Header) int64 { return int64(h.Win32Version) }),
	headerInt("size_of_image", func(h *pe.Header) int64 { return int64(h.ImageSize) }),
	headerInt("size_of_headers", func(h *pe.Header) int64 { return int64(h.HeadersSize) }),
	headerInt("checksum", func(h *pe.Header) int64 { return int64(h.Checksum) }),
	headerInt("subsystem", func(h *pe.Header) int64 { return int64(h.Subsystem) }),
	headerInt("dll_characteristics", func(h *pe.Header) int64 { return int64(h.DLLCharacteristics) }),
	headerInt("size_of_stack_reserve", func(h *pe.Header) int64 { return int64(h.StackReserve) }),
	headerInt("size_of_stack_commit", func(h *pe.Header) int64 { return int64(h.StackCommit) }),
	headerInt("size_of_heap_reserve", func(h *pe.Header) int64 { return int64(h.HeapReserve) }),
	headerInt("size_of_heap_commit", func(h *pe.Header) int64 { return int64(h.HeapCommit) }),
	headerInt("loader_flags", func(h *pe.Header) int64 { return int64(h.LoaderFlags) }),
}

// Fields of the elements of lists, which are always there.

func intOf[T any](name string, get func(T) int64) *Decl {
	return integer(name, func(of T) (int64, bool) { return get(of), true })
}

func textOf[T any](name string, get func(T) string) *Decl {
	return text(name, func(of T) (string, bool) { return get(of), true })
}

var peTables = []*Decl{
	structures("data_directories", list(image.Directories),
		intOf("virtual_address", func(d *pe.Directory) int64 { return int64(d.VirtualAddress) }),
		intOf("size", func(d *pe.Directory) int64 { return int64(d.Size) })),
	structures("sections", list(image.Sections),
		textOf("name", func(s *pe.Section) string { return s.Name }),
		text("full_name", func(s *pe.Section) (string, bool) { return s.FullName, s.HasFullName }),
		intOf("characteristics", func(s *pe.Section) int64 { return int64(s.Characteristics) }),
		intOf("virtual_address", func(s *pe.Section) int64 { return int64(s.VirtualAddress) }),
		intOf("virtual_size", func(s *pe.Section) int64 { return int64(s.VirtualSize) }),
		intOf("raw_data_offset", func(s *pe.Section) int64 { return int64(s.RawOffset) }),
		intOf("raw_data_size", func(s *pe.Section) int64 { return int64(s.RawSize) }),
		intOf("pointer_to_relocations", func(s *pe.Section) int64 { return int64(s.RelocationsAt) }),
		intOf("pointer_to_line_numbers", func(s *pe.Section) int64 { return int64(s.LineNumbersAt) }),
		intOf("number_of_relocations", func(s *pe.Section) int64 { return int64(s.Relocations) }),
		intOf("number_of_line_numbers", func(s *pe.Section) int64 { return int64(s.Numbers) })),
	structure("overlay", func(p image) image { return p },
		peInt("offset", func(p image) int64 { offset, _ := p.Overlay(); return offset }),
		peInt("size", func(p image) int64 { _, size := p.Overlay(); return size })),
	structure("rich_signature", richOf,
		integer("offset", func(r *rich) (int64, bool) { return r.Offset, r.found }),
		integer("length", func(r *rich) (int64, bool) { return int64(len(r.Raw)), r.found }),
		integer("key", func(r *rich) (int64, bool) { return int64(r.Key), r.found }),
		text("raw_data", func(r *rich) (string, bool) { return r.Raw, r.found }),
		text("clear_data", func(r *rich) (string, bool) { return r.Clear, r.found }),
		text("version_data", func(r *rich) (string, bool) { return r.ToolIDs(), r.found && r.Whole }),
		function("version",
			takes("i", "i", func(r *rich, a []Value) Value { return r.times(a[0], Value{}) }),
			takes("ii", "i", func(r *rich, a []Value) Value { return r.times(a[0], a[1]) })),
		function("toolid",
			takes("i", "i", func(r *rich, a []Value) Value { return r.times(Value{}, a[0]) }),
			takes("ii", "i", func(r *rich, a []Value) Value { return r.times(a[1], a[0]) }))),
	peInt("number_of_imports", func(p image) int64 { return int64(len(p.Imports())) }),
	peInt("number_of_imported_functions", func(p image) int64 { return functions(p.Imports()) }),
	peInt("number_of_delayed_imports", func(p image) int64 { return int64(len(p.DelayedImports())) }),
	peInt("number_of_delayed_imported_functions", func(p image) int64 { return functions(p.DelayedImports()) }),
	libraries("import_details", image.Imports),
	libraries("delayed_import_details", image.DelayedImports),
	peInt("number_of_exports", func(p image) int64 { return int64(len(p.Exports().List)) }),
	text("dll_name", func(p image) (string, bool) {
		if p == nil {
			return "", false
		}
		return p.Exports().Name, p.Exports().HasName
	}),
	integer("export_timestamp", func(p image) (int64, bool) {
		if p == nil {
			return 0, false
		}
		return int64(p.Exports().Timestamp), p.Exports().Present
	}),
	structures("export_details", list(func(p image) []pe.Export { return p.Exports().List }),
		integer("offset", func(e *pe.Export) (int64, bool) { return e.Offset, e.HasOffset }),
		text("name", func(e *pe.Export) (string, bool) { return e.Name, e.HasName }),
		text("forward_name", func(e *pe.Export) (string, bool) { return e.Forward, e.Forwarded }),
		intOf("ordinal", func(e *pe.Export) int64 { return e.Ordinal }),
		intOf("rva", func(e *pe.Export) int64 { return int64(e.RVA) })),
	resourceInt("resource_timestamp", func(r pe.Resources) int64 { return int64(r.Timestamp) }),
	structure("resource_version", func(p image) image { return p },
		resourceInt("major", func(r pe.Resources) int64 { return int64(r.Major) }),
		resourceInt("minor", func(r pe.Resources) int64 { return int64(r.Minor) })),
	peInt("number_of_resources", func(p image) int64 { return int64(len(p.Resources().List)) }),
	structures("resources", list(func(p image) []pe.Resource { return p.Resources().List }),
		intOf("rva", func(r *pe.Resource) int64 { return int64(r.RVA) }),
		integer("offset", func(r *pe.Resource) (int64, bool) { return r.Offset, r.HasOffset }),
		intOf("length", func(r *pe.Resource) int64 { return int64(r.Length) }),
		labelNumber("type", func(r *pe.Resource) pe.Label { return r.Type }),
		labelNumber("id", func(r *pe.Resource) pe.Label { return r.ID }),
		labelNumber("language", func(r *pe.Resource) pe.Label { return r.Language }),
		labelName("type_string", func(r *pe.Resource) pe.Label { return r.Type }),
		labelName("name_string", func(r *pe.Resource) pe.Label { return r.ID }),
		labelName("language_string", func(r *pe.Resource) pe.Label { return r.Language })),
	peInt("number_of_version_infos", func(p image) int64 { return int64(len(p.Resources().Version)) }),
	dictionary("version_info", list(func(p image) []pe.VersionInfo { return p.Resources().VersionByKey }),
		func(v *pe.VersionInfo) (key, value string) { return v.Key, v.Value }),
	structures("version_info_list", list(func(p image) []pe.VersionInfo { return p.Resources().Version }),
		textOf("key", func(v *pe.VersionInfo) string { return v.Key }),
		textOf("value", func(v *pe.VersionInfo) string { return v.Value })),
	text("pdb_path", func(p image) (string, bool) {
		if p == nil {
			return "", false
		}
		return p.DebugPath()
	}),
}

func functions(list []pe.Library) int64 {
	n := 0
	for _, l := range list {
		n += len(l.Functions)
	}
	return int64(n)
}

func libraries(name string, get func(image) []pe.Library) *Decl {
	return structures(name, list(get),
		textOf("library_name", func(l *pe.Library) string { return l.Name }),
		intOf("number_of_functions", func(l *pe.Library) int64 { return int64(len(l.Functions)) }),
		structures("functions", func(l *pe.Library) []pe.Function { return l.Functions },
			textOf("name", func(f *pe.Function) string { return f.Name }),
			integer("ordinal", func(f *pe.Function) (int64, bool) { return int64(f.Ordinal), f.ByOrdinal }),
			integer("rva", func(f *pe.Function) (int64, bool) { return int64(f.RVA), f.RVA != 0 })))
}

func resourceInt(name string, get func(pe.Resources) int64) *Decl {
	return integer(name, func(p image) (int64, bool) {
		if p == nil || !p.Resources().Present {
			return 0, false
		}
		return get(p.Resources()), true
	})
}

func labelNumber(name string, get func(*pe.Resource) pe.Label) *Decl {
	return integer(name, func(r *pe.Resource) (int64, bool) {
		l := get(r)
		return int64(l.Number), l.Kind == pe.NumberLabel
	})
}

func labelName(name string, get func(*pe.Resource) pe.Label) *Decl {
	return text(name, func(r *pe.Resource) (string, bool) {
		l := get(r)
		return string(l.Name), l.Kind == pe.NameLabel
	})
}

type rich struct {
	pe.Rich
	found bool
}

func richOf(p image) *rich {
	if p == nil {
		return &rich{}
	}
	r, ok := p.Rich()
	return &rich{r, ok}
}

// times counts what was linked by tools of a version and an ID; undefined is any.
func (r *rich) times(version, id Value) Value {
	if !r.Whole {
		return Value{}
	}
	var n int64
	for _, t := range r.Tools {
		if (!version.Defined() || version.Int() == int64(t.Version)) && (!id.Defined() || id.Int() == int64(t.ID)) {
			n += int64(t.Times)
		}
	}
	return IntValue(n)
}

// Flags of imports.
const (
	importStandard = 1
	importDelayed  = 2
)

var peFunctions = []*Decl{
	function("calculate_checksum", ofImage("", func(p image, _ []Value) Value { return IntValue(int64(p.Checksum())) })),
	function("imphash", takes("", "s", func(p image, _ []Value) Value {
		if p == nil {
			return Value{}
		}
		return StringValue(p.ImportHash())
	})),
	function("section_index",
		ofImage("s", func(p image, a []Value) Value {
			return where(p.Sections(), func(s pe.Section) bool { return cstring(s.Name) == cstring(a[0].Text()) })
		}),
		ofImage("i", func(p image, a []Value) Value {
			return where(p.Sections(), func(s pe.Section) bool {
				from := int64(s.RawOffset)
				return a[0].Int() >= from && a[0].Int() < from+int64(s.RawSize)
			})
		})),
	function("exports",
		ofImage("s", func(p image, a []Value) Value { return truth(exported(p, byName(a[0])).Defined()) }),
		ofImage("r", func(p image, a []Value) Value { return truth(exported(p, byRegexp(a[0])).Defined()) }),
		ofImage("i", func(p image, a []Value) Value { return truth(exportedOrdinal(p, a[0]).Defined()) })),
	function("exports_index",
		ofImage("s", func(p image, a []Value) Value { return exported(p, byName(a[0])) }),
		ofImage("i", func(p image, a []Value) Value { return exportedOrdinal(p, a[0]) }),
		ofImage("r", func(p image, a []Value) Value { return exported(p, byRegexp(a[0])) })),
	function("imports",
		ofImage("ss", func(p image, a []Value) Value { return truth(imported(p, importStandard, a[0], named(a[1])) > 0) }),
		ofImage("si", func(p image, a []Value) Value { return truth(imported(p, importStandard, a[0], numbered(a[1])) > 0) }),
		ofImage("s", func(p image, a []Value) Value { return IntValue(imported(p, importStandard, a[0], anyFunction)) }),
		ofImage("rr", func(p image, a []Value) Value { return IntValue(importedLike(p, importStandard, a[0], a[1])) }),
		ofImage("iss", func(p image, a []Value) Value { return truth(imported(p, a[0].Int(), a[1], named(a[2])) > 0) }),
		ofImage("isi", func(p image, a []Value) Value { return truth(imported(p, a[0].Int(), a[1], numbered(a[2])) > 0) }),
		ofImage("is", func(p image, a []Value) Value { return IntValue(imported(p, a[0].Int(), a[1], anyFunction)) }),
		ofImage("irr", func(p image, a []Value) Value { return IntValue(importedLike(p, a[0].Int(), a[1], a[2])) })),
	function("import_rva",
		ofImage("ss", func(p image, a []Value) Value { return importRVA(p.Imports(), a[0], named(a[1])) }),
		ofImage("si", func(p image, a []Value) Value { return importRVA(p.Imports(), a[0], numbered(a[1])) })),
	function("delayed_import_rva",
		ofImage("ss", func(p image, a []Value) Value { return importRVA(p.DelayedImports(), a[0], named(a[1])) }),
		ofImage("si", func(p image, a []Value) Value { return importRVA(p.DelayedImports(), a[0], numbered(a[1])) })),
	function("locale", ofImage("i", func(p image, a []Value) Value { return speaks(p, 0xffff, a[0]) })),
	function("language", ofImage("i", func(p image, a []Value) Value { return speaks(p, 0xff, a[0]) })),
	function("is_dll", ofImage("", func(p image, _ []Value) Value { return IntValue(int64(p.Header().Characteristics & 0x2000)) })),
	function("is_32bit", ofImage("", func(p image, _ []Value) Value { return truth(!p.Is64()) })),
	function("is_64bit", ofImage("", func(p image, _ []Value) Value { return truth(p.Is64()) })),
	function("rva_to_offset", ofImage("i", func(p image, a []Value) Value {
		if offset, ok := p.Offset(uint64(a[0].Int())); ok {
			return IntValue(offset)
		}
		return Value{}
	})),
}

// ofImage is a form that gives an integer, undefined for what is no program.
func ofImage(args string, call func(p image, args []Value) Value) form[image] {
	return takes(args, "i", func(p image, a []Value) Value {
		if p == nil {
			return Value{}
		}
		return call(p, a)
	})
}

// where gives the index of the first element that is meant; undefined for none.
func where[T any](list []T, meant func(T) bool) Value {
	if i := slices.IndexFunc(list, meant); i >= 0 {
		return IntValue(int64(i))
	}
	return Value{}
}

func exported(p image, meant func(name string) bool) Value {
	return where(p.Exports().List, func(e pe.Export) bool { return e.HasName && meant(e.Name) })
}

func exportedOrdinal(p image, ordinal Value) Value {
	all := p.Exports().List
	if n := ordinal.Int(); n == 0 || n > int64(len(all)) {
		return Value{}
	}
	return where(all, func(e pe.Export) bool { return e.Ordinal == ordinal.Int() })
}

func byName(v Value) func(string) bool {
	return func(name string) bool { return equalFold(name, v.Text()) }
}

func byRegexp(v Value) func(string) bool {
	return func(name string) bool { return regexpOf(v).MatchLen([]byte(cstring(name))) >= 0 }
}

func anyFunction(pe.Function) bool { return true }

func named(v Value) func(pe.Function) bool {
	name := cstring(v.Text())
	return func(f pe.Function) bool { return equalFold(f.Name, name) }
}

func numbered(v Value) func(pe.Function) bool {
	return func(f pe.Function) bool { return f.ByOrdinal && int64(f.Ordinal) == v.Int() }
}

// imported counts functions imported from libraries of one name.
func imported(p image, flags int64, library Value, meant func(pe.Function) bool) int64 {
	name := cstring(library.Text())
	return countImports(p, flags, func(n string) bool { return equalFold(n, name) }, meant)
}

// importedLike counts functions by regexps; a match of nothing at the
// beginning does not count.
func importedLike(p image, flags int64, library, function Value) int64 {
	return countImports(p, flags,
		func(n string) bool { return regexpOf(library).MatchLen([]byte(n)) > 0 },
		func(f pe.Function) bool { return regexpOf(function).MatchLen([]byte(f.Name)) > 0 })
}

func countImports(p image, flags int64, library func(string) bool, meant func(pe.Function) bool) int64 {
	var n int64
	add := func(list []pe.Library) {
		for _, l := range list {
			if !library(l.Name) {
				continue
			}
			for _, f := range l.Functions {
				if meant(f) {
					n++
				}
			}
		}
	}
	if flags&importStandard != 0 {
		add(p.Imports())
	}
	if flags&importDelayed != 0 {
		add(p.DelayedImports())
	}
	return n
}

func importRVA(list []pe.Library, library Value, meant func(pe.Function) bool) Value {
	for _, l := range list {
		if !equalFold(l.Name, library.Text()) {
			continue
		}
		if i := slices.IndexFunc(l.Functions, meant); i >= 0 && l.Functions[i].RVA != 0 {
			return IntValue(int64(l.Functions[i].RVA))
		} else if i >= 0 {
			return Value{}
		}
	}
	return Value{}
}

// speaks says whether a resource is in a language.
func speaks(p image, mask int32, language Value) Value {
	return truth(slices.ContainsFunc(p.Resources().List, func(r pe.Resource) bool {
		return r.Language.Kind == pe.NumberLabel && int64(r.Language.Number&mask) == language.Int()
	}))
}

// cstring cuts a string where C would.
func cstring(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

// equalFold compares names without regard to the case of ASCII letters.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x >= 'A' && x <= 'Z' {
			x |= 0x20
		}
		if y >= 'A' && y <= 'Z' {
			y |= 0x20
		}
		if x != y {
			return false
		}
	}
	return true
}

var peSignatures = []*Decl{
	peInt("number_of_signatures", func(p image) int64 { return int64(len(p.Signatures())) }),
	structures("signatures", list(image.Signatures), slices.Concat(
		certificateFields(func(s *pe.Signature) *pe.Certificate { return s.Signer }),
		[]*Decl{
			text("digest_alg", func(s *pe.Signature) (string, bool) { return s.DigestName, s.DigestName != "" }),
			text("digest", func(s *pe.Signature) (string, bool) { return s.Digest, s.HasDigest }),
			text("file_digest", func(s *pe.Signature) (string, bool) { return s.FileDigest, s.HasFileDigest }),
			intOf("number_of_certificates", func(s *pe.Signature) int64 { return int64(len(s.Certificates)) }),
			structures("certificates", func(s *pe.Signature) []pe.Certificate { return s.Certificates },
				certificateFields(func(c *pe.Certificate) *pe.Certificate { return c })...),
			structure("signer_info", func(s *pe.Signature) *pe.Signature { return s },
				text("program_name", func(s *pe.Signature) (string, bool) { return s.ProgramName, s.HasProgram }),
				text("digest", func(s *pe.Signature) (string, bool) { return s.SignerDigest, s.HasSigner }),
				text("digest_alg", func(s *pe.Signature) (string, bool) { return s.SignerAlg, s.HasSigner })),
			function("valid_on", takes("i", "i", func(s *pe.Signature, a []Value) Value {
				c := s.Signer
				if c == nil || !c.HasBefore || !c.HasEnd {
					return Value{}
				}
				return truth(a[0].Int() >= c.NotBefore && a[0].Int() <= c.NotAfter)
			})),
		})...),
}

// certificateFields are those of a certificate, undefined if there is none.
func certificateFields[T any](of func(T) *pe.Certificate) []*Decl {
	str := func(name string, get func(*pe.Certificate) (string, bool)) *Decl {
		return text(name, func(t T) (string, bool) {
			if c := of(t); c != nil {
				return get(c)
			}
			return "", false
		})
	}
	num := func(name string, get func(*pe.Certificate) (int64, bool)) *Decl {
		return integer(name, func(t T) (int64, bool) {
			if c := of(t); c != nil {
				return get(c)
			}
			return 0, false
		})
	}
	return []*Decl{
		str("thumbprint", func(c *pe.Certificate) (string, bool) { return c.Thumbprint, true }),
		str("issuer", func(c *pe.Certificate) (string, bool) { return c.Issuer, true }),
		str("subject", func(c *pe.Certificate) (string, bool) { return c.Subject, true }),
		num("version", func(c *pe.Certificate) (int64, bool) { return c.Version, true }),
		str("algorithm", func(c *pe.Certificate) (string, bool) { return c.Algorithm, true }),
		str("algorithm_oid", func(c *pe.Certificate) (string, bool) { return c.AlgorithmOID, true }),
		str("serial", func(c *pe.Certificate) (string, bool) { return c.Serial, c.HasSerial }),
		num("not_before", func(c *pe.Certificate) (int64, bool) { return c.NotBefore, c.HasBefore }),
		num("not_after", func(c *pe.Certificate) (int64, bool) { return c.NotAfter, c.HasEnd }),
	}
}
