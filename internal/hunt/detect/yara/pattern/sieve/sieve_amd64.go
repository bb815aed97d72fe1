package sieve

import "golang.org/x/sys/cpu"

// fast says whether markBlocks can be used.
func fast() bool { return cpu.X86.HasAVX2 }

// markBlocks adds to marks. The data has MaxLength-1 bytes more than the places of all
// words.
func (t *tables) markBlocks(marks []uint64, data []byte) {
	_ = data[len(marks)*Block+MaxLength-2] // nothing behind this byte is read
	markAVX2(&t.halves, &data[0], &marks[0], len(marks))
}

// markAVX2 adds to n words of marks. It reads n*Block+MaxLength-1 bytes of data and no
// more.
//
//go:noescape
func markAVX2(halves *[2 * MaxLength][16]uint8, data *byte, marks *uint64, n int)
