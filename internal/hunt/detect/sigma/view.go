package sigma

import (
	"bytes"

	"postern"
)

// table gives field names numbers, so that an event's names are looked up once
// and not once a rule. Names compare without case and, as the specification has
// rules write "Threat Name" as ThreatName, without blanks.
type table struct {
	slots map[string]int32
	names []string // by slot, as first spelt
}

func newTable() *table { return &table{slots: make(map[string]int32)} }

func (t *table) add(name string) int32 {
	key := string(appendName(nil, name))
	slot, ok := t.slots[key]
	if !ok {
		slot = int32(len(t.names))
		t.slots[key] = slot
		t.names = append(t.names, name)
	}
	return slot
}

// appendName appends the form in which field names are compared.
func appendName(dst []byte, name string) []byte {
	from := len(dst)
	dst = appendFold(dst, name)
	if bytes.IndexByte(dst[from:], ' ') < 0 {
		return dst
	}
	kept := dst[:from]
	for _, c := range dst[from:] {
		if c != ' ' {
			kept = append(kept, c)
		}
	}
	return kept
}

// view is an event laid out for evaluation: its values by slot, folded when
// first asked. It is used again for the next event, so that none of it is
// allocated per event.
type view struct {
	table  *table
	all    bool    // values whose names the table does not have are there too
	bind   []int32 // from a rule's field index to slot; nil if they are the same
	first  []int32 // by slot: its first value, -1 if the event does not have the field
	values []value
	buf    []byte   // folded values and, before each is done with, names
	marks  []uint64 // clauses that hold, for Set
	names  *names   // of the table
	known  map[*table]*names
}

// names are the names and slots of the event before, derived and columns: the next one
// that is looked at by the same rules has mostly the same.
type names [2][]named

// named is a name and its slot in a table, -1 if the table does not have it.
type named struct {
	name string
	slot int32
}

// maxTables bounds the tables of which names are remembered.
const maxTables = 64

type value struct {
	name       string
	text       string
	from, to   int   // of the folded value in buf, once folded
	next       int32 // next value of the same slot, -1 for the last
	slot       int32 // of its name, -1 if the table does not have it
	foldedDone bool
}

// load lays out the event, all of it or what the table has names for. A column that has a
// derived value under its name is not reachable by name, as in [postern.Event.Values];
// keywords still see it.
func (v *view) load(ev *postern.Event, t *table, all bool) {
	v.table, v.all = t, all
	v.recall(t)
	if cap(v.first) < len(t.names) {
		v.first = make([]int32, len(t.names))
	}
	v.first = v.first[:len(t.names)]
	for i := range v.first {
		v.first[i] = -1
	}
	v.values, v.buf = v.values[:0], v.buf[:0]
	v.list(ev.Derived, false)
	derived := int32(len(v.values))
	v.list(ev.Fields, true)
	// Walking backwards makes each chain come out in the event's order.
	v.chain(0, derived, derived)
	v.chain(derived, int32(len(v.values)), derived)
	if ev.Raw != "" && all {
		v.values = append(v.values, value{text: ev.Raw, next: -1, slot: -1})
	}
}

// recall takes the names that are known of a table.
func (v *view) recall(t *table) {
	if v.names = v.known[t]; v.names != nil {
		return
	}
	if v.known == nil || len(v.known) == maxTables {
		v.known = make(map[*table]*names)
	}
	v.names = new(names)
	v.known[t] = v.names
}

// list takes the values that some rule can look at.
func (v *view) list(fields []postern.Field, columns bool) {
	for i := range fields {
		slot := v.find(i, columns, fields[i].Name)
		if slot >= 0 || v.all {
			v.values = append(v.values, value{name: fields[i].Name, text: fields[i].Value, next: -1, slot: slot})
		}
	}
	v.buf = v.buf[:0]
}

// chain links the values from one index to another into their slots; those of
// columns only where no derived value is linked.
func (v *view) chain(from, to, derived int32) {
	for i := to - 1; i >= from; i-- {
		slot := v.values[i].slot
		if slot < 0 {
			continue
		}
		head := v.first[slot]
		if from == derived && head >= 0 && head < derived {
			continue
		}
		v.values[i].next = head
		v.first[slot] = i
	}
}

// find gives the slot for the name of the nth value of a list, -1 if there is none.
func (v *view) find(n int, column bool, name string) int32 {
	known := &v.names[0]
	if column {
		known = &v.names[1]
	}
	if n < len(*known) {
		if k := &(*known)[n]; k.name == name {
			return k.slot
		}
	}
	v.buf = appendName(v.buf[:0], name)
	slot, ok := v.table.slots[string(v.buf)]
	if !ok {
		slot = -1
	}
	switch k := (named{name, slot}); {
	case n < len(*known):
		(*known)[n] = k
	case n < maxKnown: // they come one by one
		*known = append(*known, k)
	}
	return slot
}

// maxKnown is how many names are remembered; the widest known event has 130.
const maxKnown = 256

// unload lets go of the event's text.
func (v *view) unload() {
	clear(v.values)
	v.values = v.values[:0]
	v.table, v.bind = nil, nil
	if cap(v.buf) > maxKeptBuffer {
		v.buf = nil
	}
}

// maxKeptBuffer is what a view keeps between events: one giant line must not
// stay in memory for the rest of the run.
const maxKeptBuffer = 1 << 20

// slot gives the slot of a rule's field.
func (v *view) slot(field int32) int32 {
	if v.bind == nil {
		return field
	}
	return v.bind[field]
}

// head gives the first value of a rule's field, -1 if the event does not have it.
func (v *view) head(field int32) int32 { return v.first[v.slot(field)] }

// folded gives a value in the form for comparison without case. It is good
// until the next call.
func (v *view) folded(i int32) []byte {
	x := &v.values[i]
	if !x.foldedDone {
		x.from = len(v.buf)
		v.buf = appendFold(v.buf, x.text)
		x.to = len(v.buf)
		x.foldedDone = true
	}
	return v.buf[x.from:x.to]
}
