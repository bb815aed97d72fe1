// Package regf reads hives of the Windows registry: SOFTWARE, SYSTEM, NTUSER.DAT. Input:
// the primary file of a hive, as hostile as any. Output: keys by their paths, their
// values, and whether the file lacks changes that still stand in its transaction logs.
//
// It reads what it is asked for and no more: a hive of 200 MB is not kept in memory.
// Times are UTC. Deleted keys are not looked for and transaction logs are not applied.
//
// Source of the format: "Windows registry file format specification" by Maxim Suhanov
// (github.com/msuhanov/regf), versions 1.1 to 1.6: base block, cells, key nodes (nk),
// values (vk), lists (li, lf, lh, ri), big data (db).
package regf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf16"
)

// Bounds.
const (
	// maxCell is the longest cell that is read: a list of 100,000 keys has 800 KB.
	maxCell = 2 << 20
	// maxData is kept of one value.
	maxData = 1 << 20
	// maxKeys below one key and values of one: the largest list of services has 2,000.
	maxKeys = 100_000
	// maxCells is how many cells are read of one hive: lists that point at each other
	// end here.
	maxCells = 2_000_000
	// maxName is the longest name of a key or value that the system allows, in bytes.
	maxName = 32 << 10
	// segment is what each part of big data holds.
	segment = 16344
	base    = 4096 // where the bins begin, which offsets count from
)

// Errors of a hive.
var (
	ErrNoHive  = errors.New("no registry hive")
	ErrDamaged = errors.New("damaged registry hive")
	ErrLimit   = errors.New("registry hive beyond the bounds")
)

// Hive is an open hive. It is for one goroutine.
type Hive struct {
	// Written is when the hive was last written.
	Written time.Time
	// Dirty says that the hive was copied while it was written, or in use: what changed
	// last stands in its transaction logs alone.
	Dirty bool
	// Sequence is the number of the last write that was finished.
	Sequence uint32
	// Name is the end of the path that the hive had on its server.
	Name string

	r     io.ReaderAt
	size  int64
	root  uint32
	cells int
}

// Open opens a hive.
func Open(r io.ReaderAt, size int64) (*Hive, error) {
	var b [512]byte
	if size < base {
		return nil, ErrNoHive
	}
	if n, err := r.ReadAt(b[:], 0); n < len(b) {
		return nil, fmt.Errorf("base block: %w", err)
	}
	if string(b[:4]) != "regf" {
		return nil, ErrNoHive
	}
	le := binary.LittleEndian
	h := &Hive{r: r, size: size, root: le.Uint32(b[36:]), Written: filetime(b[12:]), Sequence: le.Uint32(b[8:]), Name: wide(b[48:112])}
	h.Dirty = le.Uint32(b[4:]) != le.Uint32(b[8:]) || checksum(b[:508]) != le.Uint32(b[508:])
	return h, nil
}

func checksum(b []byte) (sum uint32) {
	for i := 0; i+4 <= len(b); i += 4 {
		sum ^= binary.LittleEndian.Uint32(b[i:])
	}
	switch sum {
	case 0:
		return 1
	case 0xFFFFFFFF:
		return 0xFFFFFFFE
	}
	return sum
}

// filetime is 100 nanoseconds since 1601; what is before 1970 or far ahead is unknown.
func filetime(b []byte) time.Time {
	const epoch = 116444736000000000
	t := int64(binary.LittleEndian.Uint64(b))
	if t < epoch || t > epoch+10_000_000*86400*36525 {
		return time.Time{}
	}
	t -= epoch
	return time.Unix(t/10_000_000, t%10_000_000*100).UTC()
}

// wide is UTF-16, without what stands behind the first NUL.
func wide(b []byte) string {
	u := make([]uint16, 0, len(b)/2)
	for i := 0; i+2 <= len(b); i += 2 {
		c := binary.LittleEndian.Uint16(b[i:])
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	return string(utf16.Decode(u))
}

// latin is the short form of names: one byte a character.
func latin(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

// cell reads the content of a cell, cut at a bound.
func (h *Hive) cell(offset uint32, most int) ([]byte, error) {
	if h.cells++; h.cells > maxCells {
		return nil, ErrLimit
	}
	at := base + int64(offset)
	if offset == 0xFFFFFFFF || offset%8 != 0 || at+4 > h.size {
		return nil, fmt.Errorf("cell at %d: %w", at, ErrDamaged)
	}
	var head [4]byte
	if n, err := h.r.ReadAt(head[:], at); n < 4 {
		return nil, fmt.Errorf("cell at %d: %w", at, err)
	}
	size := -int64(int32(binary.LittleEndian.Uint32(head[:])))
	if size < 8 || at+size > h.size { // positive sizes are cells that are free
		return nil, fmt.Errorf("cell at %d: %w", at, ErrDamaged)
	}
	b := make([]byte, min(size-4, int64(most)))
	if n, err := h.r.ReadAt(b, at+4); n < len(b) {
		return nil, fmt.Errorf("cell at %d: %w", at, err)
	}
	return b, nil
}

// Key is one key.
type Key struct {
	Name    string
	Written time.Time
	Offset  int64 // of its cell in the file

	h                  *Hive
	subkeys, values    uint32
	subkeysAt, valueAt uint32
}

// Root gives the key that everything lies below.
func (h *Hive) Root() (Key, error) { return h.key(h.root) }

func (h *Hive) key(offset uint32) (Key, error) {
	b, err := h.cell(offset, 76+maxName)
	if err != nil {
		return Key{}, err
	}
	le := binary.LittleEndian
	if len(b) < 76 || string(b[:2]) != "nk" {
		return Key{}, fmt.Errorf("key at %d: %w", base+int64(offset), ErrDamaged)
	}
	k := Key{h: h, Offset: base + int64(offset), Written: filetime(b[4:]), subkeys: le.Uint32(b[20:]), subkeysAt: le.Uint32(b[28:]), values: le.Uint32(b[36:]), valueAt: le.Uint32(b[40:])}
	name := b[76:min(len(b), 76+int(le.Uint16(b[72:])))]
	if le.Uint16(b[2:])&0x20 != 0 {
		k.Name = latin(name)
	} else {
		k.Name = wide(name)
	}
	return k, nil
}

// Each visits the keys right below a key, until the visitor answers false. One that is
// damaged is passed over; the first error is given after the rest.
func (k Key) Each(visit func(Key) bool) error {
	if k.subkeys == 0 {
		return nil
	}
	var first error
	left := maxKeys
	_, err := k.h.list(k.subkeysAt, 0, &left, func(offset uint32) bool {
		sub, err := k.h.key(offset)
		if err != nil {
			if first == nil {
				first = err
			}
			return !errors.Is(err, ErrLimit)
		}
		return visit(sub)
	})
	if err == nil {
		err = first
	}
	return err
}

// list visits the offsets in a list of keys. It answers whether to go on.
func (h *Hive) list(offset uint32, depth int, left *int, visit func(uint32) bool) (bool, error) {
	b, err := h.cell(offset, maxCell)
	if err != nil {
		return true, err
	}
	if len(b) < 4 {
		return true, fmt.Errorf("list at %d: %w", base+int64(offset), ErrDamaged)
	}
	le := binary.LittleEndian
	n, step := int(le.Uint16(b[2:])), 4
	switch string(b[:2]) {
	case "lf", "lh":
		step = 8
	case "li":
	case "ri":
		if depth > 0 { // lists of lists have no lists of lists in them
			return true, fmt.Errorf("list at %d: %w", base+int64(offset), ErrDamaged)
		}
	default:
		return true, fmt.Errorf("list at %d: %w", base+int64(offset), ErrDamaged)
	}
	var first error
	for i := range n {
		at := 4 + i*step
		if at+4 > len(b) {
			return true, fmt.Errorf("list at %d: %w", base+int64(offset), ErrDamaged)
		}
		if *left--; *left < 0 {
			return false, ErrLimit
		}
		sub := le.Uint32(b[at:])
		if b[0] == 'r' && b[1] == 'i' {
			on, err := h.list(sub, depth+1, left, visit)
			if err != nil && first == nil {
				first = err
			}
			if !on {
				return false, first
			}
			continue
		}
		if !visit(sub) {
			return false, first
		}
	}
	return true, first
}

// Sub gives the key with a path below a key; names compare without case. False without
// an error is a key that is not there.
func (k Key) Sub(path string) (Key, bool, error) {
	for name := range strings.SplitSeq(path, `\`) {
		var next Key
		found := false
		err := k.Each(func(sub Key) bool {
			if strings.EqualFold(sub.Name, name) {
				next, found = sub, true
			}
			return !found
		})
		if !found {
			return Key{}, false, err
		}
		k = next
	}
	return k, true, nil
}

// Types of values.
const (
	String    = 1
	Expand    = 2 // with names of variables in it
	Binary    = 3
	Number    = 4
	Strings   = 7
	LongValue = 11
)

// Value is one value of a key.
type Value struct {
	Name string // "" for the default one
	Type uint32
	Data []byte // cut at a bound
}

// Text gives a value as text, "" for one of another type. Several are joined with blanks.
func (v Value) Text() string {
	switch v.Type {
	case String, Expand:
		return wide(v.Data)
	case Strings:
		var all []string
		for b := v.Data; len(b) >= 2; {
			s := wide(b)
			n := 2 * (len(utf16.Encode([]rune(s))) + 1)
			if s != "" {
				all = append(all, s)
			}
			if n >= len(b) {
				break
			}
			b = b[n:]
		}
		return strings.Join(all, " ")
	}
	return ""
}

// Uint gives a number, and false for a value of another type.
func (v Value) Uint() (uint64, bool) {
	switch {
	case v.Type == Number && len(v.Data) >= 4:
		return uint64(binary.LittleEndian.Uint32(v.Data)), true
	case v.Type == LongValue && len(v.Data) >= 8:
		return binary.LittleEndian.Uint64(v.Data), true
	}
	return 0, false
}

// Values gives the values of a key. A damaged one is left out; the first error is given
// with the rest.
func (k Key) Values() ([]Value, error) {
	if k.values == 0 {
		return nil, nil
	}
	b, err := k.h.cell(k.valueAt, maxCell)
	if err != nil {
		return nil, err
	}
	var all []Value
	var first error
	for i := range min(int64(k.values), maxKeys) {
		if 4*i+4 > int64(len(b)) {
			if first == nil {
				first = fmt.Errorf("values at %d: %w", base+int64(k.valueAt), ErrDamaged)
			}
			break
		}
		v, err := k.h.value(binary.LittleEndian.Uint32(b[4*i:]))
		switch {
		case errors.Is(err, ErrLimit):
			return all, err
		case err != nil && first == nil:
			first = err
		case err == nil:
			all = append(all, v)
		}
	}
	return all, first
}

// Value gives the value of a name, the zero value if there is none.
func (k Key) Value(name string) Value {
	values, _ := k.Values()
	for _, v := range values {
		if strings.EqualFold(v.Name, name) {
			return v
		}
	}
	return Value{}
}

func (h *Hive) value(offset uint32) (Value, error) {
	b, err := h.cell(offset, 20+maxName)
	if err != nil {
		return Value{}, err
	}
	le := binary.LittleEndian
	if len(b) < 20 || string(b[:2]) != "vk" {
		return Value{}, fmt.Errorf("value at %d: %w", base+int64(offset), ErrDamaged)
	}
	v := Value{Type: le.Uint32(b[12:])}
	name := b[20:min(len(b), 20+int(le.Uint16(b[2:])))]
	if le.Uint16(b[16:])&1 != 0 {
		v.Name = latin(name)
	} else {
		v.Name = wide(name)
	}
	size := le.Uint32(b[4:])
	switch {
	case size&0x80000000 != 0: // up to four bytes lie where else the offset is
		v.Data = b[8 : 8+min(size&^0x80000000, 4)]
	case size > 0:
		v.Data, err = h.data(le.Uint32(b[8:]), size)
	}
	return v, err
}

// data reads the data of a value; what is longer than a cell lies in parts.
func (h *Hive) data(offset, size uint32) ([]byte, error) {
	most := int(min(size, maxData))
	b, err := h.cell(offset, max(most, 8))
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if size <= segment || len(b) < 8 || string(b[:2]) != "db" {
		return b[:min(most, len(b))], nil
	}
	n := int(le.Uint16(b[2:]))
	list, err := h.cell(le.Uint32(b[4:]), 4*n)
	if err != nil {
		return nil, err
	}
	var all []byte
	for i := 0; i < n && 4*i+4 <= len(list) && len(all) < most; i++ {
		part, err := h.cell(le.Uint32(list[4*i:]), min(segment, most-len(all)))
		if err != nil {
			return all, err
		}
		all = append(all, part...)
	}
	return all, nil
}
