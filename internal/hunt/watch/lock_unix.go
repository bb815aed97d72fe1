//go:build unix

package watch

import (
	"os"
	"syscall"
)

// lock makes the file this process's alone; the kernel frees it when the process ends,
// however it ends.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
