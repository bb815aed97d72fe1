package watch

import (
	"os"

	"golang.org/x/sys/windows"
)

// lock makes the file this process's alone; the system frees it when the process ends,
// however it ends.
func lock(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
}
