package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Bounds of reading ahead.
const (
	// aheadBytes is what the system is asked to fetch: as much as a fast disk gives while
	// the program starts. Of more, the small files that the hunt looks at first would have
	// to wait for the large ones.
	aheadBytes = 128 << 20
	// aheadFile is the smallest file that is worth asking for.
	aheadFile = 256 << 10
	// aheadChunk is what is asked for at once: of more, the system fetches no more than
	// its own bound for the device.
	aheadChunk = 8 << 20
	// aheadNames is how many names are looked at: a tree of more has small files.
	aheadNames = 5000
)

// readAhead asks the system to fetch the first large files of the folders while rules
// are being loaded, so that a cold disk does not wait for them. Nothing is read here and
// nothing depends on it.
func readAhead(ctx context.Context, paths []string) {
	left, names := int64(aheadBytes), 0
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if names++; left <= 0 || names > aheadNames || ctx.Err() != nil {
				return errEnough
			}
			if err == nil && d.Type().IsRegular() {
				left -= fetch(name, d, left)
			}
			return nil
		})
		if err != nil {
			return
		}
	}
}

// errEnough ends reading ahead.
var errEnough = errors.New("enough")

// fetch asks for the beginning of a file and gives how much that is: all that is wanted
// if it lies in memory already, since the rest will as well.
func fetch(name string, d fs.DirEntry, most int64) int64 {
	info, err := d.Info()
	if err != nil || info.Size() < aheadFile {
		return 0
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	if inMemory(int(f.Fd())) {
		return most
	}
	n := min(info.Size(), most)
	for at := int64(0); at < n; at += aheadChunk {
		_ = unix.Fadvise(int(f.Fd()), at, min(aheadChunk, n-at), unix.FADV_WILLNEED)
	}
	return n
}

// inMemory says whether the first byte of a file can be read without the disk.
func inMemory(fd int) bool {
	var one [1]byte
	n, err := unix.Preadv2(fd, [][]byte{one[:]}, 0, unix.RWF_NOWAIT)
	return n == 1 && err == nil
}
