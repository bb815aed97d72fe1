//go:build unix

package source

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// diskFolder is an open folder on disk. What lies in it is opened by its name there, which
// leads nowhere else: a link that took the place of a file or folder is not followed.
type diskFolder struct {
	mu   sync.RWMutex // held while fd is in use, as a file that is opened later may outlive the folder
	file *os.File     // nil once closed
	fd   int
}

// openFolder opens a folder by its path below root.
func openFolder(root *os.Root, path string) (*diskFolder, error) {
	f, err := root.OpenFile(path, openFlags|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &diskFolder{file: f, fd: int(f.Fd())}, nil
}

// folder opens a folder of the folder.
func (d *diskFolder) folder(name string) (*diskFolder, error) {
	fd, err := d.open(name, unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return &diskFolder{file: os.NewFile(uintptr(fd), name), fd: fd}, nil
}

// list reads up to n further entries. Each is asked for by itself, so that one that the
// system cannot read does not take the others with it.
func (d *diskFolder) list(n int) ([]listed, error) {
	names, err := d.file.Readdirnames(n)
	entries := make([]listed, 0, len(names))
	for _, name := range names {
		info, err := d.stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since
		}
		entries = append(entries, listed{name, info, err})
	}
	return entries, err
}

// stat says what an entry is, a link itself and not what it leads to.
func (d *diskFolder) stat(name string) (diskInfo, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.file == nil {
		return diskInfo{}, os.ErrClosed
	}
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return diskInfo{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return statted(&st), nil
}

// openFile opens a file of the folder.
func (d *diskFolder) openFile(name string) (diskFile, diskInfo, error) {
	fd, err := d.open(name, openFlags)
	if err != nil {
		return nil, diskInfo{}, err
	}
	var st unix.Stat_t
	if err := uninterrupted(func() error { return unix.Fstat(fd, &st) }); err != nil {
		unix.Close(fd)
		return nil, diskInfo{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return &descriptor{fd: fd, name: name}, statted(&st), nil
}

func (d *diskFolder) open(name string, flags int) (fd int, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.file == nil {
		return -1, os.ErrClosed
	}
	err = uninterrupted(func() error {
		fd, err = unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

func (d *diskFolder) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return os.ErrClosed
	}
	err := d.file.Close()
	d.file = nil
	return err
}

// descriptor is an open file on disk. An os.File would ask first whether the system can
// tell when there is more to read, which no file on disk can, and have the collector of
// garbage look after it: for small files that is a good part of opening them.
type descriptor struct {
	mu   sync.RWMutex // held while fd is in use
	fd   int          // -1 once closed
	name string
}

func (f *descriptor) Read(b []byte) (int, error) {
	return f.use(b, func(fd int) (int, error) { return unix.Read(fd, b) })
}

func (f *descriptor) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = f.use(b[n:], func(fd int) (int, error) { return unix.Pread(fd, b[n:], off+int64(n)) })
		n += more
	}
	return n, err
}

// use reads into b, which gets some bytes or an error.
func (f *descriptor) use(b []byte, read func(fd int) (int, error)) (n int, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.fd < 0 {
		return 0, os.ErrClosed
	}
	err = uninterrupted(func() error {
		n, err = read(f.fd)
		return err
	})
	switch {
	case err != nil:
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: err}
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}

func (f *descriptor) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return os.ErrClosed
	}
	fd := f.fd
	f.fd = -1
	if err := unix.Close(fd); err != nil {
		return &fs.PathError{Op: "close", Path: f.name, Err: err}
	}
	return nil
}

// uninterrupted asks the system again while a signal came in between.
func uninterrupted(ask func() error) error {
	for {
		if err := ask(); err != unix.EINTR {
			return err
		}
	}
}

func statted(st *unix.Stat_t) diskInfo {
	sec, nsec := st.Mtim.Unix()
	return diskInfo{mode: modeOf(uint32(st.Mode)), size: st.Size, time: time.Unix(sec, nsec).UTC()}
}

// modeOf gives the kind of an entry, without who may do what.
func modeOf(mode uint32) fs.FileMode {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return 0
	case unix.S_IFDIR:
		return fs.ModeDir
	case unix.S_IFLNK:
		return fs.ModeSymlink
	case unix.S_IFIFO:
		return fs.ModeNamedPipe
	case unix.S_IFSOCK:
		return fs.ModeSocket
	case unix.S_IFBLK:
		return fs.ModeDevice
	case unix.S_IFCHR:
		return fs.ModeDevice | fs.ModeCharDevice
	}
	return fs.ModeIrregular
}
