package source

import (
	"io"
	"io/fs"
	"os"
	"time"
)

// diskFile is an open file on disk.
type diskFile interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// diskInfo is what the system says of something on disk.
type diskInfo struct {
	mode fs.FileMode // its kind at least
	size int64
	time time.Time // last changed, UTC
}

func infoOf(i fs.FileInfo) diskInfo {
	return diskInfo{mode: i.Mode(), size: i.Size(), time: i.ModTime().UTC()}
}

// withInfo adds what the system says of a file that was opened, or not.
func withInfo(f *os.File, err error) (diskFile, diskInfo, error) {
	if err != nil {
		return nil, diskInfo{}, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, diskInfo{}, err
	}
	return f, infoOf(info), nil
}
