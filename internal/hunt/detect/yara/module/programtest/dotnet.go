package programtest

import "encoding/binary"

// heap is one of the heaps of .NET metadata.
type heap struct{ b []byte }

func (h *heap) text(s string) uint16 {
	at := len(h.b)
	h.b = append(append(h.b, s...), 0)
	return uint16(at)
}

// blob adds content behind its length, for which one byte is enough up to 127.
func (h *heap) blob(content ...byte) uint16 {
	at := len(h.b)
	if n := len(content); n < 0x80 {
		h.b = append(h.b, byte(n))
	} else {
		h.b = append(h.b, 0x80|byte(n>>8), byte(n))
	}
	h.b = append(h.b, content...)
	return uint16(at)
}

// DotNet makes an assembly with classes, methods, references, resources, constants,
// strings and the GUID of a type library.
func DotNet() []byte {
	text, blobs, users := &heap{[]byte{0}}, &heap{[]byte{0}}, &heap{[]byte{0}}
	for _, s := range []string{"first string", "zweite Zeichenkette", "x"} {
		users.blob(append(wide(s), 0)...)
	}
	users.b = append(users.b, 0, 0, 0)

	data := &section{rva: dataRVA}
	values := data.put([]byte("the value of a field"))
	files := data.put(numbers(uint32(5), "inner"))

	const typeString, class, valueType, szArray, generic, array = 0x0e, 0x12, 0x11, 0x1d, 0x15, 0x14
	typeSpec := blobs.blob(generic, class, 1<<2|1, 1, 0x13, 0) // Base<T0>
	tables := []struct {
		number int
		rows   []any // each is []byte
	}{
		{0x00, []any{numbers(uint16(0), text.text("module.dll"), uint16(1), uint16(0), uint16(0))}},
		{0x01, []any{
			numbers(uint16(1<<2|2), text.text("Object"), text.text("System")),
			numbers(uint16(1<<2|2), text.text("GuidAttribute"), text.text("System.Runtime.InteropServices")),
		}},
		{0x02, []any{
			numbers(uint32(0), text.text("<Module>"), uint16(0), uint16(0), uint16(1), uint16(1)),
			numbers(uint32(0x101), text.text("Outer`1"), text.text("Example.Names"), uint16(1<<2|1), uint16(1), uint16(1)),
			numbers(uint32(0xa3), text.text("IInner"), uint16(0), uint16(1<<2|2), uint16(2), uint16(4)),
		}},
		{0x04, []any{numbers(uint16(0x10), text.text("field"), blobs.blob(6, 8))}},
		{0x06, []any{
			numbers(uint32(0), uint16(0), uint16(0x1886), text.text(".ctor"), blobs.blob(0x20, 0, 1), uint16(1)),
			numbers(uint32(0), uint16(0), uint16(0x91), text.text("Convert"),
				blobs.blob(0x10, 1, 4, 8, szArray, typeString, class, 1<<2|1, 0x1e, 0, array, 8, 2, 1, 3, 2, 0, 4), uint16(1)),
			numbers(uint32(0), uint16(0), uint16(0x1), text.text("Broken"), blobs.blob(0, 1, 1, 0x7f), uint16(4)),
			numbers(uint32(0), uint16(0), uint16(0x4c6), text.text("Run"), blobs.blob(0x20, 2, valueType, 3<<2, 0x10, 2, 0x0f, 1), uint16(4)),
		}},
		{0x08, []any{
			numbers(uint16(0), uint16(1), text.text("one")), numbers(uint16(0), uint16(2), text.text("two")),
			numbers(uint16(0), uint16(3), text.text("three")), numbers(uint16(0), uint16(4), text.text("four")),
		}},
		{0x09, []any{numbers(uint16(2), uint16(3<<2)), numbers(uint16(2), uint16(1<<2|2))}},
		{0x0a, []any{numbers(uint16(2<<3|1), text.text(".ctor "), blobs.blob(0x20, 1, 1, typeString))}},
		{0x0b, []any{
			numbers(uint8(typeString), uint8(0), uint16(1<<2), blobs.blob(wide("constant")...)),
			numbers(uint8(8), uint8(0), uint16(1<<2), blobs.blob(1, 0, 0, 0)),
		}},
		{0x0c, []any{numbers(uint16(1<<5|0x0e), uint16(1<<3|3), blobs.blob(numbers(uint16(1), uint8(36), "01234567-89ab-cdef-0123-456789abcdef", uint16(0))...))}},
		{0x1a, []any{numbers(text.text("kernel32")), numbers(text.text("user32.dll"))}},
		{0x1b, []any{numbers(typeSpec)}},
		{0x1d, []any{numbers(values, uint16(1)), numbers(uint32(0x7fffffff), uint16(1))}},
		{0x20, []any{numbers(uint32(0x8004), uint16(1), uint16(2), uint16(3), uint16(4), uint32(0), uint16(0), text.text("assembly"), text.text("de-DE"))}},
		{0x23, []any{numbers(uint16(4), uint16(0), uint16(0), uint16(7), uint32(0), blobs.blob(0xb7, 0x7a, 0x5c, 0x56), text.text("mscorlib"), uint16(0), uint16(0))}},
		{0x28, []any{
			numbers(uint32(0), uint32(1), text.text("inside.resources"), uint16(0)),
			numbers(uint32(0), uint32(1), text.text("elsewhere"), uint16(1<<2)),
		}},
		{0x29, []any{numbers(uint16(3), uint16(2))}},
		{0x2a, []any{
			numbers(uint16(0), uint16(0), uint16(2<<1), text.text("TOuter")), numbers(uint16(0), uint16(0), uint16(2<<1|1), text.text("TMethod")),
		}},
	}
	var valid uint64
	var counts, rows []byte
	for _, t := range tables {
		valid |= 1 << t.number
		counts = append(counts, numbers(uint32(len(t.rows)))...)
		for _, r := range t.rows {
			rows = append(rows, r.([]byte)...)
		}
	}
	tilde := numbers(uint32(0), uint8(2), uint8(0), uint8(0), uint8(1), valid, uint64(0), counts, rows, uint32(0))
	guid := numbers(uint32(0x01234567), uint16(0x89ab), uint16(0xcdef), "guidguid")

	// The root of the metadata: version, and where each stream is.
	streams := []struct {
		name string
		b    []byte
	}{{"#~", tilde}, {"#Strings", text.b}, {"#US", users.b}, {"#GUID", guid}, {"#Blob", append(blobs.b, 0, 0, 0, 0)}}
	head := numbers(uint32(0x424a5342), uint16(1), uint16(1), uint32(0), uint32(12), "v4.0.30319\x00\x00", uint16(0), uint16(len(streams)))
	size := len(head)
	for _, s := range streams {
		size += 8 + len(s.name) + 4 - len(s.name)%4
	}
	var content []byte
	for _, s := range streams {
		for len(content)%4 != 0 {
			content = append(content, 0)
		}
		name := append([]byte(s.name), make([]byte, 4-len(s.name)%4)...)
		head = append(head, numbers(uint32(size+len(content)), uint32(len(s.b)), name)...)
		content = append(content, s.b...)
	}
	root := data.put(append(head, content...))
	cli := make([]byte, 72)
	copy(cli, numbers(uint32(72), uint16(2), uint16(5), root, uint32(len(head)+len(content)), uint32(1), uint32(0), files, uint32(9)))
	at := data.put(cli)
	data.put(binary.LittleEndian.AppendUint64(nil, 0)) // nothing of the metadata is the file's last byte
	return image(false, data, map[int][2]uint32{com: {at, 72}}, nil)
}
