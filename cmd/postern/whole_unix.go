//go:build unix

package main

import (
	"io/fs"
	"os"
	"syscall"
)

// alone says whether a file has one name. Of one that has several, the others would stay
// with what was there if another file took the place of the first.
func alone(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Nlink == 1
}

// own gives a file the owner of another.
func own(f *os.File, like fs.FileInfo) error {
	s, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return syscall.ENOTSUP
	}
	return f.Chown(int(s.Uid), int(s.Gid))
}
