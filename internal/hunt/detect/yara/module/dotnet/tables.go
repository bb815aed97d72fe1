package dotnet

import (
	"math/bits"
	"strings"
)

// Numbers of the tables that something refers to (II.22).
const (
	tModule                 = 0x00
	tTypeRef                = 0x01
	tTypeDef                = 0x02
	tFieldPtr               = 0x03
	tField                  = 0x04
	tMethodPtr              = 0x05
	tMethodDef              = 0x06
	tParam                  = 0x08
	tInterfaceImpl          = 0x09
	tMemberRef              = 0x0a
	tConstant               = 0x0b
	tCustomAttribute        = 0x0c
	tFieldMarshal           = 0x0d
	tDeclSecurity           = 0x0e
	tClassLayout            = 0x0f
	tFieldLayout            = 0x10
	tStandAloneSig          = 0x11
	tEventMap               = 0x12
	tEventPtr               = 0x13
	tEvent                  = 0x14
	tPropertyMap            = 0x15
	tPropertyPtr            = 0x16
	tProperty               = 0x17
	tMethodSemantics        = 0x18
	tMethodImpl             = 0x19
	tModuleRef              = 0x1a
	tTypeSpec               = 0x1b
	tImplMap                = 0x1c
	tFieldRVA               = 0x1d
	tENCLog                 = 0x1e
	tENCMap                 = 0x1f
	tAssembly               = 0x20
	tAssemblyProcessor      = 0x21
	tAssemblyOS             = 0x22
	tAssemblyRef            = 0x23
	tAssemblyRefProcessor   = 0x24
	tAssemblyRefOS          = 0x25
	tFile                   = 0x26
	tExportedType           = 0x27
	tManifestResource       = 0x28
	tNestedClass            = 0x29
	tGenericParam           = 0x2a
	tMethodSpec             = 0x2b
	tGenericParamConstraint = 0x2c

	tables = 64
)

// A column of a table is so many bytes, an index into a heap, an index into one
// table, or an index into one of several tables, whose number takes the lowest bits.
type column struct {
	bytes int64
	heap  byte // 's' #Strings, 'g' #GUID, 'b' #Blob
	into  []int
	tag   int // bits that tell the table apart; 0 for one table
}

func fixed(n int64) column            { return column{bytes: n} }
func row(table int) column            { return column{into: []int{table}} }
func coded(tag int, of ...int) column { return column{into: of, tag: tag} }

// schema gives the columns of a table. Where the lists of tables are shorter than in
// the standard they are so in libyara.
func schema(table int) ([]column, bool) {
	text, guid, blob := column{heap: 's'}, column{heap: 'g'}, column{heap: 'b'}
	typeDefOrRef := coded(2, tTypeDef, tTypeRef, tTypeSpec)
	methodDefOrRef := coded(1, tMethodDef, tMemberRef)
	switch table {
	case tModule:
		return []column{fixed(2), text, guid, guid, guid}, true
	case tTypeRef:
		return []column{coded(2, tModule, tModuleRef, tAssemblyRef, tTypeRef), text, text}, true
	case tTypeDef:
		return []column{fixed(4), text, text, typeDefOrRef, row(tField), row(tMethodDef)}, true
	case tFieldPtr:
		return []column{row(tField)}, true
	case tField:
		return []column{fixed(2), text, blob}, true
	case tMethodPtr:
		return []column{row(tMethodDef)}, true
	case tMethodDef:
		return []column{fixed(4), fixed(2), fixed(2), text, blob, row(tParam)}, true
	case tParam:
		return []column{fixed(2), fixed(2), text}, true
	case tInterfaceImpl:
		return []column{row(tTypeDef), typeDefOrRef}, true
	case tMemberRef:
		return []column{coded(3, tMethodDef, tModuleRef, tTypeRef, tTypeSpec), text, blob}, true
	case tConstant:
		return []column{fixed(2), coded(2, tParam, tField, tProperty), blob}, true
	case tCustomAttribute:
		return []column{coded(5, tMethodDef, tField, tTypeRef, tTypeDef, tParam, tInterfaceImpl, tMemberRef, tModule, tProperty, tEvent,
			tStandAloneSig, tModuleRef, tTypeSpec, tAssembly, tAssemblyRef, tFile, tExportedType, tManifestResource, tGenericParam,
			tGenericParamConstraint, tMethodSpec), coded(3, tMethodDef, tMemberRef), blob}, true
	case tFieldMarshal:
		return []column{coded(1, tField, tParam), blob}, true
	case tDeclSecurity:
		return []column{fixed(2), coded(2, tTypeDef, tMethodDef, tAssembly), blob}, true
	case tClassLayout:
		return []column{fixed(2), fixed(4), row(tTypeDef)}, true
	case tFieldLayout:
		return []column{fixed(4), row(tField)}, true
	case tStandAloneSig, tTypeSpec:
		return []column{blob}, true
	case tEventMap:
		return []column{row(tTypeDef), row(tEvent)}, true
	case tEventPtr:
		return []column{row(tEvent)}, true
	case tEvent:
		return []column{fixed(2), text, typeDefOrRef}, true
	case tPropertyMap:
		return []column{row(tTypeDef), row(tProperty)}, true
	case tPropertyPtr:
		return []column{row(tProperty)}, true
	case tProperty:
		return []column{fixed(2), text, blob}, true
	case tMethodSemantics:
		return []column{fixed(2), row(tMethodDef), coded(1, tEvent, tProperty)}, true
	case tMethodImpl:
		return []column{row(tTypeDef), methodDefOrRef, methodDefOrRef}, true
	case tModuleRef:
		return []column{text}, true
	case tImplMap:
		return []column{fixed(2), coded(1, tField, tMethodDef), text, row(tModuleRef)}, true
	case tFieldRVA:
		return []column{fixed(4), row(tField)}, true
	case tENCLog:
		return []column{fixed(8)}, true
	case tENCMap, tAssemblyProcessor:
		return []column{fixed(4)}, true
	case tAssembly:
		return []column{fixed(4), fixed(8), fixed(4), blob, text, text}, true
	case tAssemblyOS:
		return []column{fixed(12)}, true
	case tAssemblyRef:
		return []column{fixed(8), fixed(4), blob, text, text, blob}, true
	case tAssemblyRefProcessor:
		return []column{fixed(4), row(tAssemblyRefProcessor)}, true
	case tAssemblyRefOS:
		return []column{fixed(12), row(tAssemblyRef)}, true
	case tFile:
		return []column{fixed(4), text, blob}, true
	case tExportedType:
		return []column{fixed(8), text, text, coded(2, tFile, tAssemblyRef, tExportedType)}, true
	case tManifestResource:
		return []column{fixed(4), fixed(4), text, coded(2, tFile, tAssemblyRef)}, true
	case tNestedClass:
		return []column{row(tTypeDef), row(tTypeDef)}, true
	case tGenericParam:
		return []column{fixed(2), fixed(2), coded(1, tTypeDef, tMethodDef), text}, true
	case tMethodSpec:
		return []column{methodDefOrRef, blob}, true
	case tGenericParamConstraint:
		return []column{row(tGenericParam), typeDefOrRef}, true
	}
	return nil, false
}

// table is one table in the file.
type table struct {
	offset  int64
	rows    int64
	size    int64   // of a row
	widths  []int64 // of its columns
	present bool
}

// metadata is the stream #~ while it is read.
type metadata struct {
	*reader
	heaps  byte
	counts [tables]uint32
	table  [tables]table

	// For classes only.
	generics   map[uint32][]string // names by owner, as it is coded
	interfaces map[uint32][]uint32
	enclosing  map[uint32]uint32
	steps      int
	methods    int
	names      int // bytes put together
}

func (m *metadata) width(c column) int64 {
	switch {
	case c.bytes != 0:
		return c.bytes
	case c.heap == 's' && m.heaps&1 != 0, c.heap == 'g' && m.heaps&2 != 0, c.heap == 'b' && m.heaps&4 != 0:
		return 4
	}
	var most uint32
	for _, t := range c.into {
		most = max(most, m.counts[t])
	}
	if most > 0xffff>>c.tag {
		return 4
	}
	return 2
}

// cell gives the offset and width of a column of a row; rows count from 0.
func (t *table) cell(row int64, column int) (offset, width int64) {
	offset = t.offset + row*t.size
	for _, w := range t.widths[:column] {
		offset += w
	}
	return offset, t.widths[column]
}

// value reads a number of 2 or 4 bytes from a row.
func (m *metadata) value(t *table, row int64, column int) uint32 {
	return m.index(t.cell(row, column))
}

// inFile says whether a row, counted from 0, is in the table and in the file.
func (m *metadata) inFile(t *table, row int64) bool {
	return row >= 0 && row < t.rows && m.fits(t.offset+row*t.size, t.size)
}

func (r *reader) readTables(a *Assembly) {
	at := r.tables.offset
	if !r.fits(at, 24) {
		return
	}
	m := &metadata{reader: r, heaps: r.data[at+6]}
	valid := uint64(r.u32(at+8)) | uint64(r.u32(at+12))<<32
	counts := at + 24
	at = counts
	for t := range tables {
		if valid>>t&1 != 0 {
			m.counts[t] = r.u32(at)
			at += 4
		}
	}
	at = counts + 4*int64(bits.OnesCount64(valid))
	if m.heaps&0x40 != 0 { // data that the standard does not know
		at += 4
	}
	for t := range tables {
		if valid>>t&1 == 0 {
			continue
		}
		columns, known := schema(t)
		if !r.fits(counts, 4) || m.counts[t] > maxRows || !known {
			return
		}
		counts += 4
		here := table{offset: at, rows: int64(m.counts[t]), present: true}
		for _, c := range columns {
			w := m.width(c)
			here.widths = append(here.widths, w)
			here.size += w
		}
		m.table[t] = here
		if m.readTable(a, t, &here) {
			at += here.size * here.rows
		}
	}
	m.readClasses(a)
}

// readTable takes from a table what rules can ask for. It answers whether the next
// table is behind it: a first table that is cut is not stepped over.
func (m *metadata) readTable(a *Assembly, kind int, t *table) bool {
	switch kind {
	case tModule:
		if !m.fits(t.offset, 18) {
			m.table[kind] = table{}
			return false
		}
		if name := m.text(m.value(t, 0, 1)); name.Has {
			a.Module = name
		}
	case tConstant:
		m.readConstants(a, t)
	case tCustomAttribute:
		m.readTypeLib(a, t)
	case tModuleRef:
		a.HasModuleRefs = true
		for i := int64(0); i < t.rows && m.fits(t.offset+i*t.size, 4); i++ {
			if name := m.text(m.value(t, i, 0)); name.Has {
				a.ModuleRefs = append(a.ModuleRefs, name.Value)
			}
		}
	case tFieldRVA:
		a.HasFields = true
		for i := int64(0); i < t.rows && m.fits(t.offset+i*t.size, 8); i++ {
			if offset, ok := m.image.Offset(uint64(m.u32(t.offset + i*t.size))); ok {
				a.FieldOffsets = append(a.FieldOffsets, offset)
			}
		}
	case tAssembly:
		if !m.fits(t.offset, t.size) {
			return false
		}
		a.HasOwn = true
		a.Own = m.identity(t.offset+4, m.text(m.value(t, 0, 4)))
		if culture := m.text(m.value(t, 0, 5)); culture.Value != "" {
			a.Culture = culture
		}
	case tAssemblyRef:
		a.HasReferences = true
		for i := int64(0); i < t.rows && m.inFile(t, i); i++ {
			ref := Reference{Identity: m.identity(t.offset+i*t.size, Text{})}
			if key, _, ok := m.blob(m.blobs.offset + int64(m.value(t, i, 2))); ok {
				ref.Key = Text{string(key), len(key) > 0}
				ref.Name = m.text(m.value(t, i, 3))
			}
			a.References = append(a.References, ref)
		}
	case tManifestResource:
		a.HasResources = true
		for i := int64(0); i < t.rows && m.inFile(t, i); i++ {
			res := Resource{Name: m.text(m.value(t, i, 2))}
			at := m.resources + int64(m.value(t, i, 0))
			if m.value(t, i, 3) == 0 && m.fits(at, 4) {
				res.Offset, res.Length, res.Inside = at+4, int64(m.u32(at)), true
			}
			a.Resources = append(a.Resources, res)
		}
	}
	return true
}

func (m *metadata) identity(at int64, name Text) Identity {
	return Identity{m.u16(at), m.u16(at + 2), m.u16(at + 4), m.u16(at + 6), name}
}

// readConstants takes the constants that are strings.
func (m *metadata) readConstants(a *Assembly, t *table) {
	a.HasConstants = true
	for i := int64(0); i < t.rows && m.inFile(t, i); i++ {
		if m.u16(t.offset+i*t.size) != typeString {
			continue
		}
		value, next, ok := m.blob(m.blobs.offset + int64(m.value(t, i, 2)))
		if ok && next < int64(len(m.data)) {
			a.Constants = append(a.Constants, string(value))
		}
	}
}

// readTypeLib looks for the attribute of the assembly that holds the GUID of its type
// library, by way of the tables of members and of types.
func (m *metadata) readTypeLib(a *Assembly, t *table) {
	members, types := &m.table[tMemberRef], &m.table[tTypeRef]
	if !members.present || !types.present {
		return
	}
	for i := int64(0); i < t.rows && m.inFile(t, i); i++ {
		parent, kind := m.value(t, i, 0), m.value(t, i, 1)
		if parent&0x1f != 0x0e || kind&7 != 3 { // of the assembly, made by a member
			continue
		}
		member := members.offset + members.size*max(int64(kind>>3)-1, 0)
		if !m.fits(member, members.size) {
			return
		}
		class := m.u16(member)
		if class&7 != 1 {
			continue
		}
		typ := max(int64(class>>3)-1, 0)
		if !m.fits(types.offset+types.size*typ, types.size) {
			return
		}
		if name := m.text(m.value(types, typ, 1)); name.Has && !strings.HasPrefix(name.Value, "GuidAttribute") {
			continue
		}
		index := m.value(t, i, 2)
		value, next, ok := m.blob(m.blobs.offset + int64(index))
		if index == 0 || !ok || len(value) < 3 || next >= int64(len(m.data)) || value[0] != 1 || value[1] != 0 {
			continue
		}
		at := next - int64(len(value)) + 3
		length := int64(value[2])
		if !m.fits(at, length) {
			continue
		}
		guid := string(m.data[at : at+length])
		if at < int64(len(m.data)) && m.data[at] == 0xff {
			guid = ""
		}
		guid, _, _ = strings.Cut(guid, "\x00")
		a.TypeLib = Text{guid, true}
	}
}
