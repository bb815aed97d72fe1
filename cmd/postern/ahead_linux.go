package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Bounds of reading ahead.
const (
	// aheadBytes is what the system is asked to fetch: as much as a disk gives while the
	// program starts and looks at names, and little beside the memory of any machine.
	aheadBytes = 256 << 20
	// aheadFile is the smallest file that is worth asking for.
	aheadFile = 256 << 10
)

// readAhead asks the system to fetch the first large files of the folders while rules
// are being loaded, so that a cold disk does not wait for them. Nothing is read here and
// nothing depends on it.
func readAhead(ctx context.Context, paths []string) {
	left := int64(aheadBytes)
	for _, path := range paths {
		_ = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if left <= 0 || ctx.Err() != nil {
				return fs.SkipAll
			}
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			info, err := d.Info()
			if err != nil || info.Size() < aheadFile {
				return nil
			}
			f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
			if err != nil {
				return nil
			}
			defer f.Close()
			_ = unix.Fadvise(int(f.Fd()), 0, min(info.Size(), left), unix.FADV_WILLNEED)
			left -= info.Size()
			return nil
		})
	}
}
