package pe

// Exports is what a library offers.
type Exports struct {
	Present   bool // whether there is a table; the next fields are of its head
	Timestamp uint32
	Name      string // that the library has for itself
	HasName   bool
	List      []Export
}

// Export is one entry of the table. It may have no name, and no offset if it is
// forwarded to another library or points to nowhere.
type Export struct {
	Ordinal   int64
	RVA       uint32
	Offset    int64
	HasOffset bool
	Name      string
	HasName   bool
	Forward   string
	Forwarded bool
}

func (p *Image) readExports() Exports {
	var e Exports
	dir := p.Directory(DirExport)
	start, ok := p.Offset(uint64(dir.VirtualAddress))
	if dir.VirtualAddress == 0 || !ok || !p.fits(start, 40) {
		return e
	}
	e.Present, e.Timestamp = true, p.u32(start+4)
	nameAt, ok := p.Offset(uint64(p.u32(start + 12)))
	if ok && nameAt > 0 {
		e.Name, _ = p.text(nameAt, maxTextLength)
		e.HasName = true
	}
	base := int64(p.u32(start + 16))
	count, named := int64(min(p.u32(start+20), maxExports)), int64(p.u32(start+24))
	if !ok {
		nameAt = -1
	}
	if count*4 > int64(len(p.data))-nameAt {
		return e
	}
	names := int64(-1)
	if named > 0 {
		if names, ok = p.Offset(uint64(p.u32(start + 32))); !ok || !p.fits(names, named*4) {
			return e
		}
	}
	ordinals, ok := p.Offset(uint64(p.u32(start + 36)))
	if !ok || !p.fits(ordinals, count*2) {
		return e
	}
	addresses, ok := p.Offset(uint64(p.u32(start + 28)))
	if !ok || !p.fits(addresses, count*4) {
		return e
	}
	// The i-th address has the name whose place in the list of ordinals holds i.
	nameOf := make(map[int64]int64)
	for j := int64(0); names >= 0 && j < min(named, count); j++ {
		i := int64(p.u16(ordinals + 2*j))
		if _, twice := nameOf[i]; !twice {
			nameOf[i] = j
		}
	}
	for i := range count {
		x := Export{Ordinal: int64(uint32(base + i)), RVA: p.u32(addresses + 4*i)}
		offset, ok := p.Offset(uint64(x.RVA))
		if ok && offset > start && offset < start+int64(dir.Size) {
			x.Forward, _ = p.text(offset, maxNameLength)
			x.Forwarded = true
		} else {
			x.Offset, x.HasOffset = offset, ok
		}
		if j, ok := nameOf[i]; ok {
			if at, ok := p.Offset(uint64(p.u32(names + 4*j))); ok && at > 0 {
				x.Name, _ = p.text(at, maxNameLength)
				x.HasName = true
			}
		}
		e.List = append(e.List, x)
	}
	return e
}
