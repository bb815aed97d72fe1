package clean

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// renameNew asks the kernel not to replace, and looks first where the file system
// cannot be asked: NTFS in user space, for one.
func renameNew(a int, name string, b int, as string) error {
	err := unix.Renameat2(a, name, b, as, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return renameChecked(a, name, b, as)
	}
	return err
}

func accessTime(st *syscall.Stat_t) (int64, int64) { return int64(st.Atim.Sec), int64(st.Atim.Nsec) }
