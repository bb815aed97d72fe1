package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of reading ahead.
const (
	// aheadBytes is how far the system fetches before what has been read: as much as a
	// disk gives while the program starts and looks at names, and little beside the
	// memory of any machine.
	aheadBytes = 256 << 20
	// aheadFile is the smallest file that is worth asking for.
	aheadFile = 256 << 10
	// aheadChunk is what is asked for at once. Of a larger piece the system fetches no more
	// than its bound for the device, which is 128 KiB for many and some megabytes for few.
	aheadChunk = 512 << 10
	// aheadCached is how much evidence has to lie in memory from the beginning until the
	// rest is believed to: asking for what is there costs as much as a tenth of a hunt.
	aheadCached = 32 << 20
	// aheadPause is how often it is looked whether the hunt has read on.
	aheadPause = 10 * time.Millisecond
)

// readAhead asks the system to fetch the large files of the folders before the hunt
// comes to them, so that a cold disk waits neither for rules nor for judgements. Done
// says how many bytes the hunt has read. Nothing is read here and nothing depends on it.
func readAhead(ctx context.Context, paths []string, done func() int64) {
	a := ahead{ctx: ctx, done: done}
	for _, path := range paths {
		if filepath.WalkDir(path, a.visit) != nil {
			return
		}
	}
}

type ahead struct {
	ctx    context.Context
	done   func() int64
	asked  int64 // bytes
	cached int64 // bytes that were there already, as long as no others were seen
}

// errEnough ends reading ahead.
var errEnough = errors.New("enough")

func (a *ahead) visit(name string, d fs.DirEntry, err error) error {
	if a.ctx.Err() != nil {
		return errEnough
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
	return a.fetch(int(f.Fd()), info.Size())
}

func (a *ahead) fetch(fd int, size int64) error {
	for at := int64(0); at < size; at += aheadChunk {
		if err := a.wait(); err != nil {
			return err
		}
		n := min(aheadChunk, size-at)
		a.asked += n
		if a.cached >= 0 && inMemory(fd, at) {
			if a.cached += n; a.cached >= aheadCached {
				return errEnough
			}
			continue
		}
		a.cached = -1
		_ = unix.Fadvise(fd, at, n, unix.FADV_WILLNEED)
	}
	return nil
}

// wait waits until the hunt has read on.
func (a *ahead) wait() error {
	for a.asked-a.done() > aheadBytes {
		select {
		case <-a.ctx.Done():
			return errEnough
		case <-time.After(aheadPause):
		}
	}
	return nil
}

// inMemory says whether a byte of a file can be read without the disk.
func inMemory(fd int, at int64) bool {
	var one [1]byte
	n, err := unix.Preadv2(fd, [][]byte{one[:]}, at, unix.RWF_NOWAIT)
	return n == 1 && err == nil
}
