package watch

import (
	"io/fs"
	"syscall"
)

// fileID tells files apart whatever they are called, as far as the file system can.
// A file keeps the time of its creation when it is renamed, but a new one of the same
// name can inherit it: content decides.
type fileID struct{ dev, no uint64 }

func idOf(info fs.FileInfo) fileID {
	if s, ok := info.Sys().(*syscall.Win32FileAttributeData); ok {
		return fileID{no: uint64(s.CreationTime.Nanoseconds())}
	}
	return fileID{}
}
