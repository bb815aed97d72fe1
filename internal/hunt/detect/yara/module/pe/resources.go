package pe

import "encoding/binary"

// Resources is the tree of resources, flattened.
type Resources struct {
	Present      bool // whether there is a tree; the next fields are of its root
	Timestamp    uint32
	Major, Minor uint16
	List         []Resource
	Version      []VersionInfo
	VersionByKey []VersionInfo // each key once, at its first place with its last value
}

// Resource is one leaf. Type, ID and Language are numbers or names.
type Resource struct {
	RVA, Length        uint32
	Offset             int64
	HasOffset          bool
	Type, ID, Language Label
}

// Label is how a level of the tree is called.
type Label struct {
	Number int32
	Name   []byte // UTF-16LE, in the file: names of resources may be most of it
	Kind   LabelKind
}

// LabelKind says what a Label holds.
type LabelKind uint8

// Kinds of labels.
const (
	NoLabel LabelKind = iota
	NumberLabel
	NameLabel
)

// VersionInfo is one text of the version information.
type VersionInfo struct{ Key, Value string }

const typeVersion = 16

// walk is the state of reading the tree. Numbers are remembered from level to level
// and from branch to branch, as libyara does, so that a leaf too near to the root
// shows the same.
type walk struct {
	root      int64
	number    [3]int32
	list      []Resource
	version   []VersionInfo
	infoSteps int
	steps     int
}

func (p *Image) readResources() Resources {
	var r Resources
	dir := p.Directory(DirResource)
	root, ok := p.Offset(uint64(dir.VirtualAddress))
	if dir.VirtualAddress == 0 || !ok || !p.fits(root, 16) {
		return r
	}
	r.Present, r.Timestamp, r.Major, r.Minor = true, p.u32(root+4), p.u16(root+8), p.u16(root+10)
	w := &walk{root: root, number: [3]int32{-1, -1, -1}}
	p.walk(w, root, 0, [3][]byte{})
	r.List, r.Version = w.list, w.version
	at := make(map[string]int)
	for _, v := range r.Version {
		i, twice := at[v.Key]
		if !twice {
			i = len(r.VersionByKey)
			at[v.Key] = i
			r.VersionByKey = append(r.VersionByKey, v)
		}
		r.VersionByKey[i] = v
	}
	return r
}

// walk reads one directory of the tree, which has three levels: type, ID, language.
func (p *Image) walk(w *walk, dir int64, level int, names [3][]byte) {
	byName, byID := p.u16(dir+12), p.u16(dir+14)
	entries := int64(byName) + int64(byID)
	if p.u32(dir) != 0 || byName > 32768 || byID > 32768 || !p.fits(dir+16, 8*entries) {
		return
	}
	for at := dir + 16; entries > 0; entries, at = entries-1, at+8 {
		if w.steps++; w.steps > maxSteps {
			return
		}
		label, to := p.u32(at), p.u32(at+4)
		if to == 0 {
			return // libyara looks at this entry again and again, and at none behind it
		}
		w.number[level] = int32(label)
		names[level] = p.resourceName(w.root, label)
		target := w.root + int64(to&0x7fffffff)
		switch {
		case to&0x80000000 != 0 && level < 2:
			if target != dir && p.fits(target, 16) {
				p.walk(w, target, level+1, names)
			}
		case p.fits(target, 16):
			if size := p.u32(target + 4); size > 0 && size <= 0x3fffffff {
				p.leaf(w, target, names)
			}
		}
	}
}

// resourceName gives the name that a label refers to; nil if it is a number.
func (p *Image) resourceName(root int64, label uint32) []byte {
	if label&0x80000000 == 0 {
		return nil
	}
	at := root + int64(label&0x7fffffff)
	n := int64(p.u16(at))
	if !p.fits(at, 2) || n > 1000 || !p.fits(at, 2+2*n) {
		return nil
	}
	return p.data[at+2 : at+2+2*n]
}

func (p *Image) leaf(w *walk, at int64, names [3][]byte) {
	if len(w.list) >= maxResources {
		return
	}
	r := Resource{RVA: p.u32(at), Length: p.u32(at + 4)}
	r.Offset, r.HasOffset = p.Offset(uint64(r.RVA))
	for i, l := range []*Label{&r.Type, &r.ID, &r.Language} {
		switch {
		case names[i] != nil:
			l.Name, l.Kind = names[i], NameLabel
		case w.number[i] != -1:
			l.Number, l.Kind = w.number[i], NumberLabel
		}
	}
	w.list = append(w.list, r)
	if w.number[0] == typeVersion && r.HasOffset {
		p.versionInfo(w, r.Offset)
	}
}

// A block of version information is its length, the length and kind of its value, a
// key in UTF-16, and what it holds; blocks and values begin at multiples of 4 bytes
// from the beginning of the block around them.

const infoKey = 6 // offset of the key in a block

// next gives the place n bytes on, rounded up to 4.
func next(at, n int64) int64 { return at + (n+3)&^3 }

func (p *Image) versionInfo(w *walk, at int64) {
	if !p.infoIs(at, "VS_VERSION_INFO") {
		return
	}
	at = next(at, infoKey+86)
	for p.infoIs(at, "VarFileInfo") && p.u16(at) != 0 && w.info() {
		at = next(at, int64(p.u16(at)))
	}
	for p.infoIs(at, "StringFileInfo") && p.u16(at) != 0 && w.info() {
		table := next(at, infoKey+30)
		at = next(at, int64(p.u16(at)))
		for table < at && p.infoBlock(table) && w.info() {
			text := next(table, infoKey+2*(p.wideLen(table+infoKey)+1))
			table = next(table, int64(p.u16(table)))
			for text < table && p.infoBlock(text) && w.info() {
				p.infoText(w, text)
				text = next(text, int64(p.u16(text)))
			}
		}
	}
}

// info counts a block and says whether there may be more.
func (w *walk) info() bool {
	w.infoSteps++
	return w.infoSteps <= maxVersionInfo
}

func (p *Image) infoText(w *walk, at int64) {
	key := at + infoKey
	value := next(at, infoKey+2*(p.wideLen(key)+1))
	if p.wideLen(value) < 0 {
		return
	}
	info := VersionInfo{p.narrow(key, 63), p.narrow(value, 255)}
	if p.u16(at+2) == 0 {
		info.Value = ""
	}
	w.version = append(w.version, info)
}

// infoBlock says whether a block with a key begins here.
func (p *Image) infoBlock(at int64) bool {
	return p.fits(at, infoKey) && p.wideLen(at+infoKey) >= 0 && p.u16(at) != 0
}

// infoIs says whether a block with this key begins here.
func (p *Image) infoIs(at int64, key string) bool {
	if !p.fits(at, infoKey+2*int64(len(key)+1)) {
		return false
	}
	for i := range len(key) {
		if p.u16(at+infoKey+2*int64(i)) != uint16(key[i]) {
			return false
		}
	}
	return p.u16(at+infoKey+2*int64(len(key))) == 0
}

// wideLen gives the length in characters of a UTF-16 text that ends with a zero; -1
// if it does not end.
func (p *Image) wideLen(at int64) int64 {
	if at < 0 || at > int64(len(p.data)) {
		return -1
	}
	b := p.data[at:]
	b = b[:min(len(b), 2*maxInfoText)]
	for n := int64(0); len(b) >= 2; n, b = n+1, b[2:] {
		if binary.LittleEndian.Uint16(b) == 0 {
			return n
		}
	}
	return -1
}

// narrow takes the lower byte of each character, up to one that is zero.
func (p *Image) narrow(at int64, limit int) string {
	var b []byte
	for ; len(b) < limit && p.fits(at, 1) && p.data[at] != 0; at += 2 {
		b = append(b, p.data[at])
	}
	return string(b)
}
