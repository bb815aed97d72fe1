package dotnet

import (
	"fmt"
	"strings"
)

// Class is a class or an interface.
type Class struct {
	Name       string
	FullName   Text
	Namespace  Text
	Visibility string
	Kind       string // "class", "interface"
	Abstract   bool
	Sealed     bool
	Generics   []string // names of its generic parameters
	Bases      []string
	Methods    []Method
	HasMethods bool
}

// Method is one method.
type Method struct {
	Name       string
	Visibility string
	Static     bool
	Final      bool
	Virtual    bool
	Abstract   bool
	Generics   []string
	Parameters []Parameter
	HasParams  bool
	Return     Text
}

// Parameter is a parameter of a method.
type Parameter struct {
	Name Text
	Type string
}

// Columns of the tables that classes are made of.
const (
	typeDefName, typeDefNamespace, typeDefExtends, typeDefMethods = 1, 2, 3, 5

	methodFlags, methodName, methodSignature, methodParams = 2, 3, 4, 5
)

func (m *metadata) readClasses(a *Assembly) {
	a.HasClasses = true
	m.indexClasses()
	types := &m.table[tTypeDef]
	for i := range types.rows {
		if !m.inFile(types, i) {
			continue
		}
		flags := m.u32(types.offset + i*types.size)
		name := m.text(m.value(types, i, typeDefName)).Value
		short, _, _ := strings.Cut(name, "`")
		if short == "" || name == "<Module>" {
			continue
		}
		c := Class{Name: short, Visibility: visibilityOfType(flags), Kind: "class", Abstract: flags&0x80 != 0, Sealed: flags&0x100 != 0}
		if flags&0x20 != 0 {
			c.Kind = "interface"
		}
		index := uint32(i + 1)
		c.Namespace = m.text(m.value(types, i, typeDefNamespace))
		if nested(flags) {
			c.Namespace = m.fullName(c.Namespace, m.enclosingName(index, 1))
		}
		c.FullName = m.fullName(Text{name, true}, c.Namespace)
		c.Generics = m.generics[index<<1]
		c.Bases = m.bases(index, m.value(types, i, typeDefExtends), c.Generics)
		m.readMethods(&c, i)
		a.Classes = append(a.Classes, c)
	}
}

// indexClasses sorts rows that belong to a class by that class.
func (m *metadata) indexClasses() {
	m.generics = make(map[uint32][]string)
	bad := make(map[uint32]bool)
	for t, i := &m.table[tGenericParam], int64(0); i < t.rows; i++ {
		if !m.inFile(t, i) {
			continue
		}
		owner, name := m.value(t, i, 2), m.text(m.value(t, i, 3))
		if name.Value == "" { // one without a name spoils all
			bad[owner] = true
		}
		m.generics[owner] = append(m.generics[owner], name.Value)
	}
	for owner := range bad {
		delete(m.generics, owner)
	}
	m.interfaces = make(map[uint32][]uint32)
	for t, i := &m.table[tInterfaceImpl], int64(0); i < t.rows; i++ {
		if m.inFile(t, i) {
			class := m.value(t, i, 0)
			m.interfaces[class] = append(m.interfaces[class], m.value(t, i, 1))
		}
	}
	m.enclosing = make(map[uint32]uint32)
	for t, i := &m.table[tNestedClass], int64(0); i < t.rows; i++ {
		if !m.inFile(t, i) {
			continue
		}
		if _, twice := m.enclosing[m.value(t, i, 0)]; !twice {
			m.enclosing[m.value(t, i, 0)] = m.value(t, i, 1)
		}
	}
}

// nested says whether a type is declared inside of another.
func nested(flags uint32) bool { return flags&7 >= 2 }

func visibilityOfType(flags uint32) string {
	return [...]string{"internal", "public", "public", "private", "protected", "internal", "private protected", "protected internal"}[flags&7]
}

func visibilityOfMethod(flags uint16) string {
	return [...]string{"private", "private", "private protected", "internal", "protected", "protected internal", "public", "private"}[flags&7]
}

// fullName joins a name and its namespace, without the number of generic parameters.
func (m *metadata) fullName(name, namespace Text) Text {
	full := name.Value
	switch {
	case name.Value == "":
		return namespace
	case namespace.Value != "":
		full = namespace.Value + "." + name.Value
	}
	full, _, _ = strings.Cut(full, "`")
	return m.whole(full, maxTypeNames)
}

// enclosingName gives the full name of the type that a type is declared in.
func (m *metadata) enclosingName(index uint32, depth int) Text {
	outer, ok := m.enclosing[index]
	types := &m.table[tTypeDef]
	i := int64(outer) - 1
	if !ok || depth > maxNestedDepth || !m.inFile(types, i) {
		return Text{}
	}
	name := m.text(m.value(types, i, typeDefName))
	if name.Value == "<Module>" {
		return Text{}
	}
	namespace := m.text(m.value(types, i, typeDefNamespace))
	if nested(m.u32(types.offset+i*types.size)) && outer != index {
		namespace = m.fullName(namespace, m.enclosingName(outer, depth+1))
	}
	return m.fullName(name, namespace)
}

// bases gives the class that a type extends and the interfaces that it has.
func (m *metadata) bases(index, extends uint32, generics []string) []string {
	var list []string
	for _, coded := range append([]uint32{extends}, m.interfaces[index]...) {
		if name := m.typeName(coded, generics, 0); name.Has {
			list = append(list, name.Value)
		}
	}
	return list
}

func (m *metadata) readMethods(c *Class, class int64) {
	types, methods := &m.table[tTypeDef], &m.table[tMethodDef]
	first := int64(m.value(types, class, typeDefMethods))
	count := int64(0)
	switch {
	case class+1 < types.rows:
		if m.inFile(types, class+1) {
			count = max(int64(m.value(types, class+1, typeDefMethods))-first, 0)
		}
	case methods.rows >= first:
		count = methods.rows + 1 - first
	}
	if count > maxMethodsOf || first == 0 {
		return
	}
	c.HasMethods = true
	for i := first - 1; i < first-1+count && i < methods.rows; i++ {
		if m.methods++; m.methods > maxMethods {
			return
		}
		if m.inFile(methods, i) {
			if method, ok := m.method(methods, i, c.Generics); ok {
				c.Methods = append(c.Methods, method)
			}
		}
	}
}

func (m *metadata) method(t *table, i int64, classGenerics []string) (Method, bool) {
	name := m.text(m.value(t, i, methodName))
	sig, _, ok := m.blob(m.blobs.offset + int64(m.value(t, i, methodSignature)))
	if name.Value == "" || !ok || len(sig) < 3 {
		return Method{}, false
	}
	flags := uint16(m.value(t, i, methodFlags))
	f := Method{
		Name: name.Value, Visibility: visibilityOfMethod(flags), Generics: m.generics[uint32(i+1)<<1|1],
		Static: flags&0x10 != 0, Final: flags&0x20 != 0, Virtual: flags&0x40 != 0, Abstract: flags&0x400 != 0,
	}
	s := &signature{m, sig[1:], classGenerics, f.Generics}
	if sig[0]&0x10 != 0 { // a generic method says how many parameters it has of that kind
		s.unsigned()
	}
	count := s.unsigned()
	result := s.typ(0)
	if !result.Has || count > maxParameters {
		return f, false
	}
	if f.Name != ".ctor" && f.Name != ".cctor" {
		f.Return = result
	}
	list := m.value(t, i, methodParams)
	if list == 0 {
		return f, true
	}
	f.HasParams = true
	for n := range count {
		p := Parameter{Name: Text{fmt.Sprintf("P_%d", n), true}}
		params := &m.table[tParam]
		if at := int64(list) - 1 + int64(n); at < params.rows {
			if !m.inFile(params, at) {
				return f, false
			}
			p.Name = m.text(m.value(params, at, 2))
		}
		typ := s.typ(0)
		if !typ.Has {
			return f, false
		}
		p.Type = typ.Value
		f.Parameters = append(f.Parameters, p)
	}
	return f, true
}

// typeName gives the name of a type by its coded index: a definition, a reference or
// a type made of others.
func (m *metadata) typeName(coded uint32, classGenerics []string, depth int) Text {
	i := int64(coded>>2) - 1
	table := [...]int{tTypeDef, tTypeRef, tTypeSpec, -1}[coded&3]
	if table < 0 || !m.inFile(&m.table[table], i) {
		return Text{}
	}
	t := &m.table[table]
	switch table {
	case tTypeDef:
		namespace := m.text(m.value(t, i, typeDefNamespace))
		if nested(m.u32(t.offset + i*t.size)) {
			namespace = m.fullName(namespace, m.enclosingName(uint32(i+1), 1))
		}
		return m.fullName(m.text(m.value(t, i, typeDefName)), namespace)
	case tTypeRef:
		return m.fullName(m.text(m.value(t, i, 1)), m.text(m.value(t, i, 2)))
	}
	sig, _, ok := m.blob(m.blobs.offset + int64(m.value(t, i, 0)))
	if !ok {
		return Text{}
	}
	s := &signature{m, sig, classGenerics, nil}
	return s.typ(depth)
}

// typeString is the element type of strings (II.23.1.16).
const typeString = 0x0e

// signature is a blob that tells types (II.23.2) while it is read.
type signature struct {
	m                 *metadata
	rest              []byte
	ofClass, ofMethod []string // names of generic parameters
}

// simple names the element types that stand for themselves.
var simple = map[byte]string{
	0x01: "void", 0x02: "bool", 0x03: "char", 0x04: "sbyte", 0x05: "byte", 0x06: "short", 0x07: "ushort", 0x08: "int", 0x09: "uint",
	0x0a: "long", 0x0b: "ulong", 0x0c: "float", 0x0d: "double", typeString: "string", 0x16: "TypedReference", 0x18: "IntPtr",
	0x19: "UIntPtr", 0x1c: "object",
}

// typ reads one type.
func (s *signature) typ(depth int) Text {
	s.m.steps++
	if len(s.rest) == 0 || depth > maxTypeDepth || s.m.steps > maxTypeSteps {
		return Text{}
	}
	kind := s.rest[0]
	s.rest = s.rest[1:]
	if name, ok := simple[kind]; ok {
		return Text{name, true}
	}
	switch kind {
	case 0x0f:
		return s.around("Ptr<", ">", depth)
	case 0x10:
		return s.around("ref ", "", depth)
	case 0x1d:
		return s.around("", "[]", depth)
	case 0x11, 0x12: // a type by its index
		return s.m.typeName(s.unsigned(), s.ofClass, depth+1)
	case 0x13:
		return nth(s.ofClass, s.unsigned())
	case 0x1e:
		return nth(s.ofMethod, s.unsigned())
	case 0x14:
		return s.array(depth)
	case 0x15:
		element := s.typ(depth + 1)
		if !element.Has {
			return Text{}
		}
		if n := s.unsigned(); n <= maxGenerics {
			return s.whole(element.Value + "<" + s.list(n, ",", depth) + ">")
		}
	case 0x1b:
		if len(s.rest) == 0 {
			return Text{}
		}
		s.rest = s.rest[1:] // flags
		n := s.unsigned()
		if n > maxParameters {
			return Text{}
		}
		if result := s.typ(depth + 1); result.Has {
			return s.whole("FnPtr<" + result.Value + "(" + s.list(n, ", ", depth) + ")>")
		}
	case 0x1f, 0x20: // modifiers are left out
		s.unsigned()
		return s.typ(depth + 1)
	}
	return Text{}
}

// whole is a name made of parts, unless it or all of them are too long.
func (m *metadata) whole(name string, limit int) Text {
	if m.names += len(name); m.names > maxTypeNames || len(name) > limit {
		return Text{}
	}
	return Text{name, true}
}

func (s *signature) whole(name string) Text { return s.m.whole(name, maxTypeName) }

func nth(names []string, i uint32) Text {
	if int64(i) >= int64(len(names)) {
		return Text{}
	}
	return Text{names[i], true}
}

func (s *signature) around(before, after string, depth int) Text {
	t := s.typ(depth + 1)
	if !t.Has {
		return Text{}
	}
	return s.whole(before + t.Value + after)
}

// list reads n types; those that cannot be read are left out.
func (s *signature) list(n uint32, separator string, depth int) string {
	var b strings.Builder
	for i := uint32(0); i < n && b.Len() <= maxTypeName; i++ {
		t := s.typ(depth + 1)
		if !t.Has {
			continue
		}
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(t.Value)
	}
	return b.String()
}

// array reads an array with its dimensions, of which some may have a size and a
// lowest index.
func (s *signature) array(depth int) Text {
	element := s.typ(depth + 1)
	if !element.Has {
		return Text{}
	}
	rank := s.unsigned()
	if rank == 0 || rank > maxRank {
		return Text{}
	}
	sized := s.unsigned()
	if sized > rank {
		return Text{}
	}
	sizes := make([]int32, sized)
	for i := range sizes {
		sizes[i] = int32(s.unsigned())
	}
	bounded := s.unsigned()
	if bounded > rank {
		return Text{}
	}
	lowest := make([]int32, bounded)
	for i := range lowest {
		lowest[i] = s.signed()
		if i < len(sizes) && lowest[i] != 0 {
			sizes[i] += lowest[i] - 1
		}
	}
	var b strings.Builder
	b.WriteString(element.Value + "[")
	for i := range int(rank) {
		if i > 0 {
			b.WriteByte(',')
		}
		if i < len(lowest) && lowest[i] != 0 {
			fmt.Fprintf(&b, "%d...", lowest[i])
		}
		if i < len(sizes) {
			fmt.Fprintf(&b, "%d", sizes[i])
		}
	}
	return s.whole(b.String() + "]")
}

// unsigned reads a number of 1, 2 or 4 bytes; 0 for what is none, which is then not
// stepped over.
func (s *signature) unsigned() uint32 {
	n, _ := s.number()
	return n
}

// signed reads a number whose lowest bit is its sign.
func (s *signature) signed() int32 {
	n, width := s.number()
	value := int32(n >> 1)
	if n&1 != 0 {
		value -= 1 << (width - 1)
	}
	return value
}

// number gives the bits of a compressed number, and how many it has.
func (s *signature) number() (n uint32, width int) {
	b := s.rest
	switch {
	case len(b) >= 1 && b[0]&0x80 == 0:
		s.rest = b[1:]
		return uint32(b[0]), 7
	case len(b) >= 2 && b[0]&0xc0 == 0x80:
		s.rest = b[2:]
		return uint32(b[0]&0x3f)<<8 | uint32(b[1]), 14
	case len(b) >= 4 && b[0]&0xe0 == 0xc0:
		s.rest = b[4:]
		return uint32(b[0]&0x1f)<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), 29
	}
	return 0, 7
}
