//go:build unix

package preserve

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func lstatIn(dir *os.Root, name string) (fs.FileInfo, error) { return dir.Lstat(name) }

func openRootIn(dir *os.Root, name string) (*os.Root, error) { return dir.OpenRoot(name) }

// isLocked says whether another program holds the file: a share or a mandatory lock.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY)
}

// isFull says whether a disk, or the share of it that a user has, is full.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// freeSpace is how many bytes a user may still write on the disk of a folder.
func freeSpace(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
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
