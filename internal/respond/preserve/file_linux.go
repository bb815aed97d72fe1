package preserve

import (
	"archive/tar"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postern/internal/bundle"
)

// openQuietly opens a file so that reading it does not change the time of its last
// access, where the system allows that, and so that a pipe that took its place does
// not block us.
func openQuietly(dir *os.Root, name string) (*os.File, error) {
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|unix.O_NOATIME, 0)
	if errors.Is(err, syscall.EPERM) {
		f, err = dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}
	return f, err
}

// fetch asks the system to have a part of a file in memory soon.
func fetch(f *os.File, offset, n int64) { _ = unix.Fadvise(int(f.Fd()), offset, n, unix.FADV_WILLNEED) }

// describe notes owner and times.
func describe(f *os.File, info fs.FileInfo, m *bundle.Member, h *tar.Header) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	h.Uid, h.Gid = int(st.Uid), int(st.Gid)
	m.Owner, m.Group = strconv.Itoa(h.Uid), strconv.Itoa(h.Gid)
	h.AccessTime, h.ChangeTime = time.Unix(st.Atim.Unix()), time.Unix(st.Ctim.Unix())
	accessed, changed := h.AccessTime.UTC(), h.ChangeTime.UTC()
	m.Accessed, m.Changed = &accessed, &changed
	var x unix.Statx_t
	if unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &x) == nil && x.Mask&unix.STATX_BTIME != 0 {
		created := time.Unix(x.Btime.Sec, int64(x.Btime.Nsec)).UTC()
		m.Created = &created
	}
}
