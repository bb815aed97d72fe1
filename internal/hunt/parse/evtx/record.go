package evtx

import (
	"encoding/binary"
	"strconv"
	"time"
)

// instance is a template with the values of a record, or an element without any.
type instance struct {
	prog *program // nil: there is none
	args []arg
	cut  bool // some of its values are missing
}

// open reads a fragment of binary XML from an offset up to its first template or
// element, and gives where what follows begins.
func (c *chunks) open(at, end int, in section) (inst instance, next int) {
	for at < end {
		switch c.data[at] {
		case tokenHeader:
			at += 4
			continue
		case tokenTemplate:
			return c.instance(at+1, end, in)
		case tokenOpen, tokenOpen | more:
			key := programKey{at, in}
			prog := c.progs[key]
			if prog == nil {
				prog, next = c.compile(at, end, in)
				prog.length = next - at
				c.progs[key] = prog
			}
			return instance{prog: prog}, at + prog.length
		}
		return instance{}, end
	}
	return instance{}, end
}

// definitionHeader stands before a template: where the next one of the chunk is,
// its name as a GUID, and its length.
const definitionHeader = 24

// instance reads the use of a template, and the template where this is its first use.
func (c *chunks) instance(at, end int, in section) (instance, int) {
	const header = 1 + 4 + 4
	if end-at < header {
		return instance{}, end
	}
	definition := int(binary.LittleEndian.Uint32(c.data[at+5:]))
	at += header
	if definition < chunkHeader || definition > len(c.data)-definitionHeader {
		return instance{}, end
	}
	body := definition + definitionHeader
	size := int(binary.LittleEndian.Uint32(c.data[definition+20:]))
	if definition == at {
		if size > end-body {
			return instance{}, end
		}
		at = body + size
	}
	key := programKey{body, in}
	prog := c.progs[key]
	if prog == nil {
		prog, _ = c.compile(body, body+min(size, len(c.data)-body), in)
		c.progs[key] = prog
	}
	return c.values(prog, at, end)
}

// values reads the sizes and types of an instance's values.
func (c *chunks) values(prog *program, at, end int) (instance, int) {
	if end-at < 4 {
		return instance{}, end
	}
	n := int(binary.LittleEndian.Uint32(c.data[at:]))
	at += 4
	if n > (end-at)/4 {
		return instance{}, end
	}
	first, value := len(c.args), at+4*n
	for ; n > 0; n-- {
		size := int(binary.LittleEndian.Uint16(c.data[at:]))
		a := arg{typ: c.data[at+2], from: value, to: value + size}
		if a.to > end { // this value and those behind it are cut
			c.args = append(c.args, arg{from: end, to: end})
			return instance{prog: prog, args: c.args[first:], cut: true}, end
		}
		c.args = append(c.args, a)
		value, at = a.to, at+4
	}
	return instance{prog: prog, args: c.args[first:]}, value
}

// locate finds the template of a record and its values; what it costs is what a
// record costs that nobody wants.
func (c *chunks) locate(r *raw) bool {
	c.args = c.args[:0]
	c.opened, c.rest = c.open(r.at+recordHeader, r.end-4, document)
	c.until = r.end - 4
	return c.opened.prog != nil
}

// fact gives the value of something that is asked of every record: words of the
// template, or an argument. Ok is false if it can only be told by decoding.
func (c *chunks) fact(f fact) (text string, a arg, ok bool) {
	at := c.opened.prog.facts[f]
	if at < 0 {
		return "", arg{}, !c.opened.prog.nested
	}
	p := c.opened.prog.outs[at].parts[0]
	if p.arg < 0 {
		return p.text, arg{}, true
	}
	if p.arg < len(c.opened.args) {
		return "", c.opened.args[p.arg], true
	}
	return "", arg{}, true
}

// number gives a fact that is a number.
func (c *chunks) number(f fact) (uint64, bool) {
	text, a, ok := c.fact(f)
	if !ok {
		return 0, false
	}
	if text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		return n, err == nil
	}
	return unsigned(c.data[a.from:a.to])
}

// time gives when the event was, or else when it was written down; sure is false
// if only decoding can tell.
func (c *chunks) time(r *raw) (_ time.Time, sure bool) {
	_, a, ok := c.fact(factTime)
	if ok && a.typ == typeFileTime && a.to-a.from == 8 {
		if t := instant(binary.LittleEndian.Uint64(c.data[a.from:])); !t.IsZero() {
			return t, true
		}
	}
	return r.written, false
}

// folded appends the text of all values of the record at hand as ASCII in lower
// case with a NUL behind each, for a gate. What is no text, such as a number, has none
// unless the gate looks for whole values; ok is false if there may be text that a gate
// cannot see.
func (c *chunks) folded(dst []byte, whole bool) (_ []byte, ok bool) {
	if c.rest < c.until && c.data[c.rest] != tokenEnd {
		return dst, false
	}
	if whole {
		dst = append(dst, 0)
	}
	return c.foldedIn(dst, c.opened, whole, 0)
}

func (c *chunks) foldedIn(dst []byte, inst instance, whole bool, depth int) (_ []byte, ok bool) {
	if inst.prog.mixed {
		return dst, false
	}
	dst = append(dst, inst.prog.static...)
	for _, a := range inst.args {
		switch a.typ {
		case typeString, typeText, typeString | array:
			dst = append(appendFolded(dst, c.data[a.from:a.to]), 0)
		case typeANSI, typeANSI | array:
			dst = append(appendFoldedASCII(dst, string(c.data[a.from:a.to])), 0)
		case typeXML:
			if depth == maxDepth {
				return dst, false
			}
			bottom := len(c.args)
			for at := a.from; at < a.to; {
				inst, next := c.open(at, a.to, userData)
				if inst.prog == nil {
					break
				}
				if dst, ok = c.foldedIn(dst, inst, whole, depth+1); !ok {
					return dst, false
				}
				at = next
			}
			c.args = c.args[:bottom]
		default:
			if whole {
				if dst, ok = appendWhole(dst, a.typ, c.data[a.from:a.to]); !ok {
					return dst, false
				}
			}
		}
	}
	return dst, true
}

// decode gives the record at hand as fields. It is good until the next call.
func (c *chunks) decode(r *raw) *Record {
	c.buf, c.made = c.buf[:0], c.made[:0]
	rec := &c.record
	*rec = Record{Number: r.number, Offset: int64(r.at), Time: r.written, System: rec.System[:0], Data: rec.Data[:0]}
	if !c.locate(r) {
		c.lost.partly++
		return rec
	}
	before := c.lost.partly
	c.emit(c.opened)
	for at := c.rest; at < r.end-4; { // a second fragment, which nobody writes
		var inst instance
		if inst, at = c.open(at, r.end-4, document); inst.prog == nil {
			break
		}
		c.emit(inst)
	}
	c.lost.partly = min(c.lost.partly, before+1) // a record counts once
	rec.Time, rec.timed = c.time(r)
	texts := string(c.buf)
	for _, p := range c.made {
		f := Field{Name: p.name, Value: p.text, Null: p.null}
		if p.text == "" {
			f.Value = texts[p.from:p.to]
		}
		if !p.system {
			rec.Data = append(rec.Data, f)
			continue
		}
		rec.System = append(rec.System, f)
		rec.learn(p.fact, f.Value)
	}
	return rec
}

// learn keeps what the system's part of a record says of all of it.
func (r *Record) learn(f fact, value string) {
	switch f {
	case factChannel:
		r.Channel = value
	case factProvider:
		r.Provider = value
	case factComputer:
		r.Computer = value
	case factEventID:
		n, _ := strconv.ParseUint(value, 10, 32)
		r.EventID = uint32(n)
	case factNumber:
		if n, err := strconv.ParseUint(value, 10, 63); err == nil && n > 0 {
			r.Number = n
		}
	case factTime:
		if r.timed {
			return
		}
		if t, err := time.Parse(time.RFC3339Nano, value); err == nil && t.Year() >= 1970 {
			r.Time = t
		}
	}
}

// emit writes the fields of an instance.
func (c *chunks) emit(inst instance) {
	if inst.prog.damaged || inst.cut {
		c.lost.partly++
	}
	for i := range inst.prog.outs {
		c.field(&inst.prog.outs[i], inst.args)
	}
}

// field writes one field, or several where its value is an array or XML itself.
func (c *chunks) field(o *out, args []arg) {
	p := pending{name: o.name, system: o.section == system, from: len(c.buf), fact: o.fact}
	if o.nameArg >= 0 {
		p.name = c.text(o.nameArg, args)
	}
	if len(o.parts) == 1 && o.parts[0].arg < 0 {
		p.text, p.to = o.parts[0].text, p.from
		c.add(o, p)
		return
	}
	null, nested := true, false
	for _, piece := range o.parts {
		switch {
		case piece.arg < 0:
			c.buf = append(c.buf, piece.text...)
			null = false
		case piece.arg >= len(args) || args[piece.arg].typ == typeNull:
		default:
			a := args[piece.arg]
			b := c.data[a.from:a.to]
			switch {
			case a.typ == typeXML:
				c.xml(a, o.hole)
				nested, p.from = true, len(c.buf)
			case a.typ&array != 0 && len(o.parts) == 1:
				c.list(o, p, a.typ&^array, b)
				return
			default:
				var bad int
				c.buf, bad = appendValue(c.buf, a.typ&^array, b)
				c.lost.surrogate += bad
			}
			null = false
		}
	}
	p.to, p.null = len(c.buf), null
	if nested && p.to == p.from || null && (o.holder || o.attr || p.system) {
		return
	}
	c.add(o, p)
}

func (c *chunks) add(o *out, p pending) {
	if len(c.made) < maxFields {
		c.made = append(c.made, p)
	}
}

// maxFields bounds the fields of one record: in 64 KiB nobody has as many values,
// but an array of bytes in several fields could be made to.
const maxFields = 64 << 10

// text gives a value that is the name of a field.
func (c *chunks) text(at int, args []arg) string {
	if at >= len(args) {
		return ""
	}
	a := args[at]
	if a.typ == typeString {
		return c.names.of(trimUTF16(c.data[a.from:a.to]))
	}
	b, _ := appendValue(nil, a.typ, c.data[a.from:a.to])
	return string(b)
}

// list writes the values of an array as fields of the same name, as XML does.
func (c *chunks) list(o *out, p pending, typ byte, b []byte) {
	for first := true; first || len(b) > 0; first = false {
		n := sizeOf(typ)
		skip := 0
		switch {
		case typ == typeString:
			for n = 0; n+2 <= len(b) && (b[n] != 0 || b[n+1] != 0); {
				n += 2
			}
			skip = min(2, len(b)-n)
		case typ == typeANSI:
			for n < len(b) && b[n] != 0 {
				n++
			}
			skip = min(1, len(b)-n)
		case typ == typeSID && len(b) >= 2:
			n = 8 + 4*int(b[1])
		}
		if n == 0 && skip == 0 || n > len(b) {
			n = len(b)
		}
		var bad int
		p.from = len(c.buf)
		c.buf, bad = appendValue(c.buf, typ, b[:n])
		p.to = len(c.buf)
		c.lost.surrogate += bad
		c.add(o, p)
		b = b[n+skip:]
	}
}

// xml writes the fields of a value that is XML itself.
func (c *chunks) xml(a arg, in section) {
	if c.depth == maxDepth {
		c.lost.partly++
		return
	}
	c.depth++
	bottom := len(c.args)
	for at := a.from; at < a.to; {
		inst, next := c.open(at, a.to, in)
		if inst.prog == nil {
			if c.data[at] != tokenEnd && c.data[at] != tokenHeader {
				c.lost.partly++
			}
			break
		}
		c.emit(inst)
		at = next
	}
	c.args = c.args[:bottom]
	c.depth--
}
