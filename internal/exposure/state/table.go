package state

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
)

// Table maps hashed keys to small numbers. It keeps the first in memory and, where it
// is given a folder, the others in a file there, so that memory does not grow with the
// number of hosts: a look costs two calls of the system, a thousandth of a visit.
//
// The file belongs to the process that made it. On Unix it loses its name at once; where
// that cannot be, [Table.Close] removes it, and the next process what a killed one left.
//
// It is for one goroutine at a time. Two keys in 2^64 are taken for one.
type Table struct {
	dir   string
	most  int               // entries in memory, where there is a folder
	few   map[uint64]uint32 // nil once the file is there
	file  *os.File
	end   int64 // where the next part goes
	parts [256]part
	buf   []byte // a part that is rewritten
	bufs  [slotsAtOnce * slotBytes]byte
}

// part is an open table with linear probing inside the file: slots of a key, 0 where it
// is free, and its value, big endian. Its length is a power of two. Parts grow one by one,
// so that growing never stops the scan for long.
type part struct {
	at          int64
	slots, used uint32
}

const (
	slotBytes = 12
	// firstSlots is the size of a part when the file is begun: 1.5 MB in all.
	firstSlots = 512
	// slotsAtOnce is how many slots one read brings: nearly always all that is looked at.
	slotsAtOnce = 16
	// inMemory is how many entries are kept in memory where there is a folder: some 2 MB,
	// enough for the scan of a small country.
	inMemory = 1 << 16
	// tableFiles is the names of the files.
	tableFiles = "table-*.tmp"
)

// NewTable makes a table that spills into a folder; "" keeps all in memory.
func NewTable(dir string) *Table { return &Table{dir: dir, most: inMemory, few: map[uint64]uint32{}} }

// removeTables deletes the files of a process that was killed where a file that is open
// keeps its name. The folder must be locked.
func removeTables(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, tableFiles))
	for _, n := range names {
		_ = os.Remove(n) // in use or not there any more
	}
}

// Get gives the value of a key, and whether it has one.
func (t *Table) Get(key uint64) (uint32, bool, error) {
	if t.few != nil {
		v, ok := t.few[key]
		return v, ok, nil
	}
	_, v, ok, err := t.find(&t.parts[key>>56], max(key, 1))
	return v, ok, err
}

// Set gives a key a value and says whether the key is new.
func (t *Table) Set(key uint64, value uint32) (fresh bool, err error) {
	if t.few != nil {
		_, had := t.few[key]
		t.few[key] = value
		if len(t.few) >= t.most && t.dir != "" {
			err = t.spill()
		}
		return !had, err
	}
	p := &t.parts[key>>56]
	at, _, had, err := t.find(p, max(key, 1))
	if err != nil {
		return false, err
	}
	if !had && p.used >= p.slots/4*3 {
		if err := t.rewrite(p, 2*p.slots, nil); err != nil {
			return false, err
		}
		if at, _, _, err = t.find(p, max(key, 1)); err != nil {
			return false, err
		}
	}
	var slot [slotBytes]byte
	put(slot[:], max(key, 1), value)
	if _, err := t.file.WriteAt(slot[:], at); err != nil {
		return false, err
	}
	if !had {
		p.used++
	}
	return !had, nil
}

// Keep drops the entries that keep does not want.
func (t *Table) Keep(keep func(value uint32) bool) error {
	for k, v := range t.few {
		if !keep(v) {
			delete(t.few, k)
		}
	}
	if t.few != nil {
		return nil
	}
	for i := range t.parts {
		if err := t.rewrite(&t.parts[i], t.parts[i].slots, keep); err != nil {
			return err
		}
	}
	return nil
}

// Close gives the file back.
func (t *Table) Close() error {
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	_ = os.Remove(t.file.Name()) // on Unix it has none
	t.file = nil
	return err
}

func put(slot []byte, key uint64, value uint32) {
	binary.BigEndian.PutUint64(slot, key)
	binary.BigEndian.PutUint32(slot[8:], value)
}

func take(slot []byte) (key uint64, value uint32) {
	return binary.BigEndian.Uint64(slot), binary.BigEndian.Uint32(slot[8:])
}

// spill moves what is in memory into a file.
func (t *Table) spill() error {
	f, err := os.CreateTemp(t.dir, tableFiles)
	if err != nil {
		return err
	}
	_ = os.Remove(f.Name()) // an open file keeps its name on Windows alone
	t.file = f
	few := t.few
	t.few = nil
	empty := make([]byte, firstSlots*slotBytes)
	for i := range t.parts {
		t.parts[i] = part{at: t.end, slots: firstSlots}
		if _, err := f.WriteAt(empty, t.end); err != nil {
			return err
		}
		t.end += int64(len(empty))
	}
	for k, v := range few {
		if _, err := t.Set(k, v); err != nil {
			return err
		}
	}
	return nil
}

// find gives the place of a key's slot, or of the free one where it would go.
func (t *Table) find(p *part, key uint64) (at int64, value uint32, ok bool, err error) {
	mask := p.slots - 1
	for i, seen := uint32(key)&mask, uint32(0); seen < p.slots; {
		n := min(slotsAtOnce, p.slots-i)
		b := t.bufs[:n*slotBytes]
		if _, err := t.file.ReadAt(b, p.at+int64(i)*slotBytes); err != nil {
			return 0, 0, false, err
		}
		for j := range n {
			k, v := take(b[j*slotBytes:])
			if k == key || k == 0 {
				return p.at + int64(i+j)*slotBytes, v, k == key, nil
			}
		}
		i, seen = (i+n)&mask, seen+n
	}
	return 0, 0, false, errFull
}

// errFull cannot be: parts grow before they are full.
var errFull = errors.New("a part of the table has no free slot")

// rewrite lays a part out anew with so many slots, without the entries that keep, if it
// is given, does not want. A part of another size goes to the end of the file.
func (t *Table) rewrite(p *part, slots uint32, keep func(uint32) bool) error {
	old := make([]byte, p.slots*slotBytes)
	if _, err := t.file.ReadAt(old, p.at); err != nil {
		return err
	}
	size := int(slots) * slotBytes
	if cap(t.buf) < size {
		t.buf = make([]byte, size)
	}
	b := t.buf[:size]
	clear(b)
	used := uint32(0)
	for ; len(old) > 0; old = old[slotBytes:] {
		k, v := take(old)
		if k == 0 || keep != nil && !keep(v) {
			continue
		}
		i := uint32(k) & (slots - 1)
		for binary.BigEndian.Uint64(b[i*slotBytes:]) != 0 {
			i = (i + 1) & (slots - 1)
		}
		put(b[i*slotBytes:], k, v)
		used++
	}
	at := p.at
	if slots != p.slots {
		at = t.end
	}
	if _, err := t.file.WriteAt(b, at); err != nil {
		return err
	}
	if slots != p.slots {
		t.end += int64(size)
	}
	*p = part{at, slots, used}
	return nil
}
