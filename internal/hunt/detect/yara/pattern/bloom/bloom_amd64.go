package bloom

import "golang.org/x/sys/cpu"

// fast says whether mark can be used.
func fast() bool { return cpu.X86.HasAVX2 }

func mark(marks []uint8, data []byte, words []uint32, shift uint) {
	_ = data[len(marks)*Block-1] // nothing behind this byte is read
	markAVX2(&words[0], uint32(shift), &data[0], &marks[0], len(marks))
}

// markAVX2 sets n bytes of marks. It reads n*Block bytes of data and no more.
//
//go:noescape
func markAVX2(words *uint32, shift uint32, data *byte, marks *uint8, n int)
