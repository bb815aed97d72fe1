package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// writeWhole writes a script so that it is there whole or not at all: half a script of
// a disk that was full must not be run.
func writeWhole(name string, b []byte) error {
	err := os.WriteFile(name+".new", b, 0o600)
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		err = errors.Join(err, removeIfThere(name+".new"))
	}
	return err
}

// lazyFile is the output: standard output, or a file that only comes into being when
// there is something to write. A report is written beside the file that it is to be and
// takes its place when it is whole, so that an earlier one is not lost for half of another.
type lazyFile struct {
	path string
	std  io.Writer
	// stream is what grows for days and is of use line by line: it is written where it is
	// to be.
	stream bool

	f    *os.File
	part string // its name while it is not whole, "" where it stands in its place already
}

func (l *lazyFile) Write(p []byte) (int, error) {
	if l.path == "" || l.path == "-" {
		return l.std.Write(p)
	}
	if l.f == nil {
		if err := l.open(); err != nil {
			return 0, failed(err, "cmd.create", "file", l.path)
		}
	}
	return l.f.Write(p)
}

// open begins the file. Devices, pipes and links stay what they are, and where nothing can
// be made beside a file it is written over.
func (l *lazyFile) open() (err error) {
	if !l.stream && l.beside() {
		return nil
	}
	l.f, err = os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	return err
}

// beside begins the file under another name, with owner and mode of the one that is there.
func (l *lazyFile) beside() bool {
	old, err := os.Lstat(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil || !old.Mode().IsRegular() || !alone(old):
		return false
	default:
		f, err := os.OpenFile(l.path, os.O_WRONLY, 0) // what may not be written over may not be replaced
		if err != nil || f.Close() != nil {
			return false
		}
	}
	part := l.path + ".part"
	if left, err := os.Lstat(part); err == nil && !left.Mode().IsRegular() || removeIfThere(part) != nil {
		return false
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	if old != nil {
		if err := errors.Join(own(f, old), f.Chmod(old.Mode().Perm())); err != nil {
			_ = errors.Join(f.Close(), removeIfThere(part)) // the file itself is written over
			return false
		}
	}
	l.f, l.part = f, part
	return true
}

// finish ends the file: it is in its place, or, if err says that it is not whole, or it
// cannot be written to the end, what was there before.
func (l *lazyFile) finish(err error) error {
	if l.f == nil {
		return err
	}
	if l.part == "" {
		return errors.Join(err, l.f.Close())
	}
	if err == nil {
		err = l.f.Sync()
	}
	if err = errors.Join(err, l.f.Close()); err == nil {
		err = os.Rename(l.part, l.path)
	}
	if err != nil {
		err = errors.Join(err, removeIfThere(l.part))
	}
	return err
}

// leave ends the file as it is and gives the name under which it lies, "" if that is the
// one that was asked for or nothing was written.
func (l *lazyFile) leave() (part string, err error) {
	if l.f == nil {
		return "", nil
	}
	return l.part, l.f.Close()
}

// writeScript writes a script into a folder as Windows PowerShell reads it: UTF-8 with its
// mark, lines ended by CR LF. It gives the name of the file.
func writeScript(dir, name, body string) (string, error) {
	name = filepath.Join(dir, name)
	if err := writeWhole(name, []byte("\uFEFF"+strings.ReplaceAll(body, "\n", "\r\n"))); err != nil {
		return "", failed(err, "cmd.create", "file", name)
	}
	return name, nil
}

// writeNew writes a secret to a file that must not exist. If it cannot be written whole,
// there is none.
func writeNew(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		err = errors.Join(err, removeIfThere(name))
	}
	return err
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
