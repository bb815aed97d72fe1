package state

// set is a set of hashed keys: nine to sixteen bytes each where a map takes thirty,
// because a million targets have to fit beside everything else. It is cut into parts
// that grow one by one, so that growing never needs the whole twice.
type set struct {
	parts [256]part
	n     int
}

// part is an open table with linear probing; 0 is an empty slot. Its length is a power
// of two.
type part struct {
	slots []uint64
	used  int
}

// firstSlots is the size of a part that holds something.
const firstSlots = 16

// add puts a key in and says whether it was new.
func (s *set) add(k uint64) bool {
	k = max(k, 1) // two keys in 2^64 are taken for one
	p := &s.parts[k>>56]
	if p.used*8 >= len(p.slots)*7 {
		p.grow()
	}
	if !p.put(k) {
		return false
	}
	p.used++
	s.n++
	return true
}

// put stores the key; false if it is there already.
func (p *part) put(k uint64) bool {
	mask := uint64(len(p.slots) - 1)
	for i := k & mask; ; i = (i + 1) & mask {
		switch p.slots[i] {
		case 0:
			p.slots[i] = k
			return true
		case k:
			return false
		}
	}
}

func (p *part) grow() {
	old := p.slots
	p.slots = make([]uint64, max(2*len(old), firstSlots))
	for _, k := range old {
		if k != 0 {
			p.put(k)
		}
	}
}
