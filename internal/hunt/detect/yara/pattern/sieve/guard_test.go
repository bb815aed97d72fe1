//go:build linux

package sieve

import (
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
	for i := range inner {
		inner[i] = "<?eval("[i%7]
	}
	keys := []Key{keyOf("eval"), keyOf("<?")}
	s := New(groups(keys), 2, even())
	for length := range 4 * Block {
		check(t, s, keys, inner[page-length:], 0, length/Block+1) // up to the last byte
		check(t, s, keys, inner[:length], 0, length/Block+1)      // from the first
	}
	check(t, s, keys, inner, 0, page/Block)
}
