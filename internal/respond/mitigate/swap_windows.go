package mitigate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// likeness has nothing to do: ReplaceFile keeps the owner, the access rules, the
// attributes and the other streams of the file that it replaces.
func likeness(_, _ *os.File, _ fs.FileInfo) error { return nil }

// swap puts a file in the place of another. The place was looked at before: neither
// it nor a folder above it is a link.
func swap(root *os.Root, temp, name string) error {
	var at [2]*uint16
	for i, n := range [...]string{name, temp} {
		p, err := filepath.Abs(filepath.Join(root.Name(), filepath.FromSlash(n)))
		if err != nil {
			return err
		}
		if !strings.HasPrefix(p, `\\`) {
			p = `\\?\` + p // paths may have more than 260 characters
		}
		if at[i], err = windows.UTF16PtrFromString(p); err != nil {
			return err
		}
	}
	replace := windows.NewLazySystemDLL("kernel32.dll").NewProc("ReplaceFileW")
	ok, _, err := replace.Call(uintptr(unsafe.Pointer(at[0])), uintptr(unsafe.Pointer(at[1])), 0, 0, 0, 0)
	if ok == 0 {
		return &fs.PathError{Op: "replace", Path: name, Err: err}
	}
	return nil
}

// syncDir has nothing to do: NTFS writes names to its journal.
func syncDir(*os.Root, string) error { return nil }

// isLocked says whether another program holds a file.
func isLocked(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}
