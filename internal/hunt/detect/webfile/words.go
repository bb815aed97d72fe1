package webfile

// slots is how many places there are for words.
const slots = 1 << 12

// slotOf gives the place of a word.
func slotOf(s string) uint16 {
	n := len(s)
	if n == 0 {
		return 0
	}
	h := uint32(s[0])<<24 | uint32(s[n/3])<<16 | uint32(s[n/2])<<8 | uint32(s[n-1])
	return uint16((h ^ uint32(n)) * 0x9E3779B1 >> 20)
}

// filter says of most words at once that they are not among those that were added.
type filter [slots / 64]uint64

func (f *filter) add(word string) {
	slot := slotOf(word)
	f[slot/64] |= 1 << (slot % 64)
}

func (f *filter) may(slot uint16) bool { return f[slot/64]&(1<<(slot%64)) != 0 }
