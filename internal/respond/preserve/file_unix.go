//go:build unix

package preserve

import (
	"errors"
	"os"
	"syscall"
)

// isLocked says whether another program holds the file: a share or a mandatory lock.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY)
}

// isFull says whether a disk, or the share of it that a user has, is full.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// unlock gives the lock back at once: one that goes with closing stays as long as a
// process that is just being started has the file too.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

// syncFolder makes a new name last. A file system that cannot is no worse than before.
func syncFolder(name string) {
	d, err := os.Open(name)
	if err != nil {
		return
	}
	_ = d.Sync()
	_ = d.Close()
}
