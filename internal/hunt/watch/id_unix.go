//go:build unix

package watch

import (
	"io/fs"
	"syscall"
)

// fileID tells files apart whatever they are called, as far as the file system can.
type fileID struct{ dev, no uint64 }

func idOf(info fs.FileInfo) fileID {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(s.Dev), uint64(s.Ino)}
	}
	return fileID{}
}
