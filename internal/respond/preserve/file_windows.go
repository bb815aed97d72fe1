package preserve

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"postern/internal/bundle"
)

func openQuietly(dir *os.Root, name string) (*os.File, error) {
	if filepath.IsLocal(name) {
		return dir.Open(name)
	}
	return os.Open(literal(dir, name))
}

func lstatIn(dir *os.Root, name string) (fs.FileInfo, error) {
	if filepath.IsLocal(name) {
		return dir.Lstat(name)
	}
	return os.Lstat(literal(dir, name))
}

// openRootIn opens a folder below another. One with a name of a device on the way is
// opened by itself, and no link in its place.
func openRootIn(dir *os.Root, name string) (*os.Root, error) {
	if filepath.IsLocal(name) {
		return dir.OpenRoot(name)
	}
	at := dir
	for part := range strings.SplitSeq(name, `\`) {
		next, err := openPartIn(at, part)
		if at != dir {
			_ = at.Close()
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

func openPartIn(dir *os.Root, name string) (*os.Root, error) {
	if filepath.IsLocal(name) {
		return dir.OpenRoot(name)
	}
	path := literal(dir, name)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errLink
	}
	return os.OpenRoot(path)
}

// literal is the path of an entry that Windows would take for a device, such as a folder
// COM1 or a file aux.aspx. Intruders make them because most programs, os.Root among
// them, cannot open them; a path with this prefix is not interpreted. The name came from
// reading the folder, so it has no separator.
func literal(dir *os.Root, name string) string {
	path := strings.TrimSuffix(filepath.Clean(dir.Name()), `\`) // C:\ keeps its own
	switch {
	case strings.HasPrefix(path, `\\?\`):
	case strings.HasPrefix(path, `\\`):
		path = `\\?\UNC\` + path[2:]
	default:
		path = `\\?\` + path
	}
	return path + `\` + name
}

// fetch has nothing to do: Windows reads ahead by itself.
func fetch(*os.File, int64, int64) {}

// describe notes owner, times and attributes.
func describe(f *os.File, info fs.FileInfo, m *bundle.Member, h *tar.Header) {
	if d, ok := info.Sys().(*syscall.Win32FileAttributeData); ok {
		created := time.Unix(0, d.CreationTime.Nanoseconds()).UTC()
		accessed := time.Unix(0, d.LastAccessTime.Nanoseconds()).UTC()
		m.Created, m.Accessed = &created, &accessed
		h.AccessTime = accessed
		m.Attributes = fmt.Sprintf("%08x", d.FileAttributes)
	}
	what := windows.SECURITY_INFORMATION(windows.OWNER_SECURITY_INFORMATION | windows.GROUP_SECURITY_INFORMATION)
	sd, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT, what)
	if err != nil {
		return
	}
	if owner, _, err := sd.Owner(); err == nil && owner != nil {
		m.Owner = owner.String()
	}
	if group, _, err := sd.Group(); err == nil && group != nil {
		m.Group = group.String()
	}
}

// isLocked says whether another program holds the file.
func isLocked(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

// isFull says whether a disk is full.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// freeSpace is how many bytes a user may still write on the disk of a folder.
func freeSpace(dir string) (int64, bool) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, false
	}
	return int64(min(free, 1<<62)), true
}

func lock(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
}

// unlock gives the lock back at once, which Windows does some time after closing.
func unlock(f *os.File) {
	_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, new(windows.Overlapped))
}

// syncFolder has nothing to do: Windows keeps names with the file.
func syncFolder(string) {}
