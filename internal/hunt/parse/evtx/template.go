package evtx

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Bounds of what is compiled. Templates come from the file, and a file can be
// made up.
const (
	// maxNesting bounds elements in elements; real events have seven levels.
	maxNesting = 64
	// maxNames bounds the names remembered for a file; Windows has some ten thousand.
	maxNames = 32 << 10
)

// section is the part of an event that an element lies in: it decides what its
// children are.
type section uint8

const (
	document  section = iota // around <Event>
	event                    // in <Event>
	system                   // in <System>: an element is a field, and each of its attributes
	eventData                // in <EventData>: <Data Name="…"> is a field
	userData                 // in <UserData> and its like: every element without children is one
	rendered                 // in <RenderingInfo>: words in the language of some machine, no data
)

// program is a template, or an element outside of any, as the list of fields that
// it gives. It is made once for a chunk.
type program struct {
	outs    []out
	damaged bool           // the definition ends in the middle or makes no sense
	static  []byte         // its own words, folded for a gate
	mixed   bool           // a field is put together of several pieces, so that no gate can know its text
	length  int            // of an element without a template
	facts   [factCount]int // the fields that tell them; -1 for none
	nested  bool           // a part of what facts tell may be in a value that is XML itself
}

// out is one field.
type out struct {
	section section
	name    string
	nameArg int // the argument that has the name, -1 if name is it
	parts   []part
	attr    bool // an attribute is not there without a value
	hole    section
	holder  bool // an element that holds others: XML in its value is its content, and no text is no field
	fact    fact
}

// part is a piece of a field's text: words of the template or an argument.
type part struct {
	text string
	arg  int // -1 for words of the template
}

// fact is something that is asked of every record, before it is decoded.
type fact int

const (
	noFact fact = iota
	factChannel
	factProvider
	factEventID
	factComputer
	factNumber
	factTime
	factCount int = iota
)

var factNames = map[string]fact{
	"Channel": factChannel, "Provider_Name": factProvider, "EventID": factEventID, "Computer": factComputer,
	"EventRecordID": factNumber, "TimeCreated_SystemTime": factTime,
}

// Tokens of binary XML. The bit more says that attributes or text follow.
const (
	tokenEnd          = 0x00
	tokenOpen         = 0x01
	tokenCloseStart   = 0x02
	tokenCloseEmpty   = 0x03
	tokenCloseElement = 0x04
	tokenValue        = 0x05
	tokenAttribute    = 0x06
	tokenCData        = 0x07
	tokenCharRef      = 0x08
	tokenEntity       = 0x09
	tokenPITarget     = 0x0a
	tokenPIData       = 0x0b
	tokenTemplate     = 0x0c
	tokenNormal       = 0x0d
	tokenOptional     = 0x0e
	tokenHeader       = 0x0f
	more              = 0x40
)

// compiler makes programs. What they are made of stays until the next chunk, and
// its memory is used again for that.
type compiler struct {
	*names
	data  []byte // the chunk: names may lie anywhere in it
	pos   int
	end   int
	prog  *program
	outs  []out  // of the program at hand
	stack []part // pieces of the elements that are open

	programs slab[program]
	fields   slab[out]
	pieces   slab[part]
	words    slab[byte]
}

// slab gives out pieces of one memory until it is reset.
type slab[T any] struct{ free, all []T }

func (s *slab[T]) reset() { s.free = s.all }

// keep copies items to where they stay.
func (s *slab[T]) keep(items []T) []T {
	if len(items) > len(s.free) {
		s.all = make([]T, max(2*len(s.all), len(items), 64))
		s.free = s.all
	}
	kept := s.free[:len(items):len(items)]
	s.free = s.free[len(items):]
	copy(kept, items)
	return kept
}

// reset forgets the programs of the chunk before.
func (c *compiler) reset(data []byte) {
	c.data = data
	c.programs.reset()
	c.fields.reset()
	c.pieces.reset()
	c.words.reset()
}

// compile makes the program of the elements from pos to end, which lie in a
// section of the event. It gives where it stopped.
func (c *compiler) compile(pos, end int, in section) (*program, int) {
	c.pos, c.end = pos, min(end, len(c.data))
	c.prog = &c.programs.keep([]program{{}})[0]
	c.outs, c.stack = c.outs[:0], c.stack[:0]
	for !c.prog.damaged && c.pos < c.end {
		token := c.data[c.pos]
		switch token {
		case tokenHeader:
			c.skip(4)
		case tokenOpen, tokenOpen | more:
			c.element(in, 0)
			continue
		default: // tokenEnd, or what does not belong here
			c.finish()
			return c.prog, c.pos
		}
	}
	c.finish()
	return c.prog, c.pos
}

// finish looks up in the program what every record is asked.
func (c *compiler) finish() {
	p := c.prog
	p.outs = c.fields.keep(c.outs)
	for i := range p.facts {
		p.facts[i] = -1
	}
	var static []byte
	for i := range p.outs {
		o := &p.outs[i]
		p.nested = p.nested || o.holder && o.hole <= system
		if f, ok := factNames[o.name]; ok && o.section == system && !o.holder {
			o.fact = f
			if p.facts[f] < 0 && len(o.parts) == 1 {
				p.facts[f] = i
			}
		}
		p.mixed = p.mixed || len(o.parts) > 1
		for _, part := range o.parts {
			if part.arg < 0 {
				static = append(appendFoldedASCII(static, part.text), 0)
			}
		}
	}
	p.static = c.words.keep(static)
}

func (c *compiler) fail() {
	c.prog.damaged = true
	c.pos = c.end
}

func (c *compiler) skip(n int) {
	if n < 0 || n > c.end-c.pos {
		c.fail()
		return
	}
	c.pos += n
}

func (c *compiler) uint16() int {
	if c.end-c.pos < 2 {
		c.fail()
		return 0
	}
	v := binary.LittleEndian.Uint16(c.data[c.pos:])
	c.pos += 2
	return int(v)
}

func (c *compiler) uint32() int {
	if c.end-c.pos < 4 {
		c.fail()
		return 0
	}
	v := binary.LittleEndian.Uint32(c.data[c.pos:])
	c.pos += 4
	return int(v)
}

// nameHeader is what stands before the characters of a name: where the next one
// with the same hash is, the hash, and how many characters follow.
const nameHeader = 8

// nameAt gives the characters of the name at an offset of the chunk and its whole
// length with header and NUL.
func nameAt(data []byte, at int) (chars []byte, size int, ok bool) {
	if at < 0 || at > len(data)-nameHeader {
		return nil, 0, false
	}
	n := 2 * int(binary.LittleEndian.Uint16(data[at+6:]))
	size = nameHeader + n + 2
	if size > len(data)-at || data[at+size-2] != 0 || data[at+size-1] != 0 {
		return nil, 0, false
	}
	return data[at+nameHeader : at+size-2], size, true
}

// name reads the place of a name, and the name where it stands right there.
func (c *compiler) name() string {
	at := c.uint32()
	chars, size, ok := nameAt(c.data, at)
	if !ok {
		c.fail()
		return ""
	}
	if at == c.pos {
		c.skip(size)
	}
	return c.of(chars)
}

// named says whether a name is where the one of an element would be, if it began
// so many bytes from here.
func (c *compiler) named(ahead int) bool {
	at := c.pos + ahead
	if at+4 > c.end {
		return false
	}
	to := int(binary.LittleEndian.Uint32(c.data[at:]))
	_, _, ok := nameAt(c.data, to)
	return ok && to >= chunkHeader && to <= at+4
}

// element reads an element with everything in it.
func (c *compiler) element(in section, depth int) {
	if depth == maxNesting {
		c.fail()
		return
	}
	token := c.data[c.pos]
	c.skip(1)
	// Elements of a template begin with a number that those in a value do not have.
	if c.named(2+4) || !c.named(4) {
		c.skip(2)
	}
	c.skip(4) // length
	name := c.name()
	inside := sectionOf(in, name)
	bottom := len(c.stack)
	field := out{section: in, name: name, nameArg: -1, hole: inside, holder: in <= event || inside != in}
	if in == eventData && name == "Data" {
		field.name = ""
	}
	at := len(c.outs)
	if token&more != 0 {
		c.skip(4) // length of the attributes
		c.attributes(in, name, &field)
	}
	children := false
	for c.pos < c.end {
		token := c.data[c.pos]
		switch token &^ more {
		case tokenCloseStart:
			c.skip(1)
		case tokenCloseEmpty, tokenCloseElement:
			c.skip(1)
			c.field(field, bottom, children, at)
			return
		case tokenOpen:
			children = true
			if inside == in && in == eventData {
				c.element(userData, depth+1)
			} else {
				c.element(inside, depth+1)
			}
		case tokenAttribute: // belongs before the content, but nothing is lost by it here
			c.attribute(in, name, &field)
		default:
			if !c.piece() {
				c.fail()
			}
		}
	}
	c.field(field, bottom, children, at)
	c.fail() // it was never closed
}

// sectionOf says what the children of an element are.
func sectionOf(in section, name string) section {
	switch in {
	case document:
		if name == "Event" {
			return event
		}
		return userData
	case event:
		switch name {
		case "System":
			return system
		case "EventData":
			return eventData
		case "RenderingInfo":
			return rendered
		}
		return userData
	}
	return in
}

// field adds the field that an element is, if it is one, before those of its
// attributes.
func (c *compiler) field(f out, bottom int, children bool, at int) {
	f.parts = c.pieces.keep(c.stack[bottom:])
	c.stack = c.stack[:bottom]
	if children {
		// What stands between children is white space, or the arguments of a holder.
		blank := true
		for _, p := range f.parts {
			blank = blank && p.arg < 0 && strings.TrimSpace(p.text) == ""
		}
		if blank {
			return
		}
	}
	if f.section == rendered || f.hole == rendered || len(f.parts) == 0 && (f.holder || f.section == system) {
		return
	}
	c.outs = slices.Insert(c.outs, at, f)
}

// attributes reads the attributes of an element up to its content.
func (c *compiler) attributes(in section, element string, field *out) {
	for c.pos < c.end && c.data[c.pos]&^more == tokenAttribute {
		c.attribute(in, element, field)
	}
}

// attribute reads one. That which names a <Data> is its name; any other is a
// field of its own.
func (c *compiler) attribute(in section, element string, field *out) {
	c.skip(1)
	name := c.name()
	bottom := len(c.stack)
	for c.pos < c.end && isPiece(c.data[c.pos]) {
		if !c.piece() {
			c.fail()
		}
	}
	parts := c.pieces.keep(c.stack[bottom:])
	c.stack = c.stack[:bottom]
	switch {
	case name == "xmlns" || strings.HasPrefix(name, "xmlns:") || len(parts) == 0 || in == rendered || in == document:
	case in == eventData && element == "Data" && name == "Name":
		if parts[0].arg >= 0 {
			field.nameArg = parts[0].arg
		} else {
			field.name = parts[0].text
		}
	default:
		o := out{section: in, name: c.joined(element, name), nameArg: -1, parts: parts, attr: true, hole: rendered}
		if in == event { // of <EventData> or <UserData> itself
			o.section = system
		}
		c.outs = append(c.outs, o)
	}
}

func isPiece(token byte) bool {
	switch token &^ more {
	case tokenValue, tokenCData, tokenCharRef, tokenEntity, tokenNormal, tokenOptional:
		return true
	}
	return false
}

// piece reads one piece of text onto the stack.
func (c *compiler) piece() bool {
	token := c.data[c.pos] &^ more
	c.skip(1)
	p := part{arg: -1}
	switch token {
	case tokenValue:
		c.skip(1) // always a string
		p.text = c.text()
	case tokenCData:
		p.text = c.text()
	case tokenCharRef:
		p.text = string(rune(c.uint16()))
	case tokenEntity:
		name := c.name()
		var ok bool
		if p.text, ok = entities[name]; !ok {
			p.text = "&" + name + ";"
		}
	case tokenNormal, tokenOptional:
		p.arg = c.uint16()
		c.skip(1) // the type: that of the value counts
	case tokenPITarget:
		c.name()
		return !c.prog.damaged
	case tokenPIData:
		c.text()
		return !c.prog.damaged
	default:
		return false
	}
	if c.prog.damaged {
		return false
	}
	c.stack = append(c.stack, p)
	return true
}

var entities = map[string]string{"lt": "<", "gt": ">", "amp": "&", "quot": `"`, "apos": "'"}

// text reads counted characters.
func (c *compiler) text() string {
	n := 2 * c.uint16()
	if n > c.end-c.pos {
		c.fail()
		return ""
	}
	s := c.of(trimUTF16(c.data[c.pos : c.pos+n]))
	c.pos += n
	return s
}

// names makes each name of a file once.
type names struct {
	known map[string]string // by their bytes in the file
	pairs map[[2]string]string
}

func newNames() *names {
	return &names{known: make(map[string]string), pairs: make(map[[2]string]string)}
}

func (n *names) of(chars []byte) string {
	if s, ok := n.known[string(chars)]; ok {
		return s
	}
	b, _ := appendUTF16(nil, chars)
	s := string(b)
	if len(n.known) < maxNames {
		n.known[string(chars)] = s
	}
	return s
}

// joined gives the name of an attribute's field.
func (n *names) joined(element, attribute string) string {
	key := [2]string{element, attribute}
	if s, ok := n.pairs[key]; ok {
		return s
	}
	s := element + "_" + attribute
	if len(n.pairs) < maxNames {
		n.pairs[key] = s
	}
	return s
}
