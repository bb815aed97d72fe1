package mitigate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// likeness gives a new file the owner, the mode and the extended attributes of an old
// one; on a mounted NTFS volume its access rules are one of those.
func likeness(old, made *os.File, info fs.FileInfo) error {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := made.Chown(int(s.Uid), int(s.Gid)); err != nil {
			return err
		}
	}
	if err := made.Chmod(info.Mode().Perm() | info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	const most = 64 << 10 // of a list or a value, the bound of Linux
	buffer := make([]byte, most)
	n, err := unix.Flistxattr(int(old.Fd()), buffer)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list extended attributes: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(buffer[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, most)
		size, err := unix.Fgetxattr(int(old.Fd()), name, value)
		if err == nil {
			err = unix.Fsetxattr(int(made.Fd()), name, value[:size], 0)
		}
		if err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("keep the extended attribute %s: %w", name, err)
		}
	}
	return nil
}
