//go:build unix

package clean

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// syncFolder makes a new name last. A file system that cannot is no worse than before.
func syncFolder(root *os.Root, name string) {
	d, err := root.Open(name)
	if err != nil {
		return
	}
	_ = d.Sync()
	_ = d.Close()
}

// rename moves a file between two open folders, whatever their paths lead to by now,
// and never onto another file.
func rename(from *os.Root, name string, to *os.Root, as string) error {
	a, err := from.Open(".")
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := to.Open(".")
	if err != nil {
		return err
	}
	defer b.Close()
	err = renameNew(int(a.Fd()), name, int(b.Fd()), as)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: name, New: as, Err: err}
	}
	return nil
}

// renameChecked is for systems that cannot rename without replacing.
func renameChecked(a int, name string, b int, as string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(b, as, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return unix.EEXIST
	} else if !errors.Is(err, unix.ENOENT) {
		return err
	}
	return unix.Renameat(a, name, b, as)
}

// elsewhere says that a file can only be copied there.
func elsewhere(err error) bool { return errors.Is(err, syscall.EXDEV) }

func (i *Item) describe(info fs.FileInfo) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	uid, gid := int(st.Uid), int(st.Gid)
	i.UID, i.GID = &uid, &gid
	at := time.Unix(accessTime(st)).UTC()
	i.Accessed = &at
}

// own gives a file that was copied its owner. Only root may; everybody else's files
// are their own anyway.
func (i *Item) own(dir *os.Root, name string) {
	if i.UID != nil && i.GID != nil {
		_ = dir.Chown(name, *i.UID, *i.GID)
	}
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isLocked says whether another program holds a file.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY)
}
