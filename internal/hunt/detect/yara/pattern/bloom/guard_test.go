//go:build linux

package bloom

import (
	"bytes"
	"syscall"
	"testing"
)

// Nothing is read before or behind the data: pages that may not be read are on both
// sides.
func TestNothingBesideTheDataIsRead(t *testing.T) {
	t.Parallel()
	page := syscall.Getpagesize()
	mem, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Skipf("no memory to map: %v", err)
	}
	defer func() {
		if err := syscall.Munmap(mem); err != nil {
			t.Error(err)
		}
	}()
	for _, guard := range [][]byte{mem[:page], mem[2*page:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Skipf("no page can be guarded: %v", err)
		}
	}
	inner := mem[page : 2*page : 2*page]
	f := New(100)
	for blocks := range len(inner) / Block {
		for _, data := range [][]byte{inner[len(inner)-blocks*Block:], inner[:blocks*Block]} {
			marks, slow := make([]uint8, blocks), make([]uint8, blocks)
			f.Mark(marks, data)
			f.markSlow(slow, data)
			if !bytes.Equal(marks, slow) {
				t.Fatalf("%d blocks: got the marks %x, one by one %x", blocks, marks, slow)
			}
		}
	}
}
