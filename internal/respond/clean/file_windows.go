package clean

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

func lock(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
}

// syncFolder has nothing to do: Windows keeps names with the file.
func syncFolder(*os.Root, string) {}

// rename moves a file with all that NTFS has of it, access list and streams included,
// and never onto another file. Its folders were looked at before and are open; Windows
// takes paths all the same.
func rename(from *os.Root, name string, to *os.Root, as string) error {
	a, err := long(filepath.Join(from.Name(), name))
	if err != nil {
		return err
	}
	b, err := long(filepath.Join(to.Name(), as))
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(a, b, windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "rename", Old: name, New: as, Err: err}
	}
	return nil
}

// long gives a path in the form that may have more than 260 characters.
func long(name string) (*uint16, error) {
	full, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(full, `\\`) {
		full = `\\?\` + full
	}
	return windows.UTF16PtrFromString(full)
}

// elsewhere says that a file can only be copied there.
func elsewhere(err error) bool { return errors.Is(err, windows.ERROR_NOT_SAME_DEVICE) }

func (i *Item) describe(info fs.FileInfo) {
	d, ok := info.Sys().(*syscall.Win32FileAttributeData)
	if !ok {
		return
	}
	at := time.Unix(0, d.LastAccessTime.Nanoseconds()).UTC()
	i.Accessed = &at
	i.Attributes = fmt.Sprintf("%08x", d.FileAttributes)
}

// own has nothing to do: a file that was renamed has its owner, and for one that was
// copied Windows wants more than a name.
func (i *Item) own(*os.Root, string) {}

func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// isLocked says whether another program holds a file.
func isLocked(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}
