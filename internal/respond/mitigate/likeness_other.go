//go:build !linux && !windows

package mitigate

import (
	"io/fs"
	"os"
	"syscall"
)

// likeness gives a new file the owner and the mode of an old one.
func likeness(_, made *os.File, info fs.FileInfo) error {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := made.Chown(int(s.Uid), int(s.Gid)); err != nil {
			return err
		}
	}
	return made.Chmod(info.Mode().Perm())
}
