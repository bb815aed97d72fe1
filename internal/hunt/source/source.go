// Package source is the stage of the hunt that opens evidence: a folder, a
// mounted image, a single file or an archive, always as one read-only tree of
// files with bounds on what hostile evidence can cost.
//
// Input: a path on this machine. Output: every regular file once, in a stable
// order, by [Evidence.Walk], or any file by name from [Evidence.FS]. The
// members of an archive lie in a folder beside it whose name is the archive's
// with an exclamation mark: "logs/outer.zip!/inner/path" beside
// "logs/outer.zip". The archive itself stays a file of the tree, because an
// archive that an intruder left behind is evidence by its own bytes.
//
// Units: sizes are bytes; times are UTC unless [File.LocalTime] says otherwise.
//
// Formats are told by content, never by name: zip (APPNOTE.TXT 6.3.10 and the
// WinZip AE-1 and AE-2 notes), 7z (7zFormat.txt of the LZMA SDK), tar (POSIX
// pax and GNU), gzip (RFC 1952), zstd (RFC 8878), bzip2, and sealed bundles
// (docs/formats/bundle.md). Inside a folder only
// files that are named like an archive are tried; docs/formats/sources.md has
// the list and every bound.
//
// Whatever cannot be read, wholly or partly, is told to [Options.Problem] and
// the rest goes on. Nothing from the evidence is ever executed, and nothing is
// written except unpacked bytes in a private folder below [Options.TempDir],
// under names of our own.
package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"filippo.io/age"

	"postern"
)

// Options say how evidence is opened. The zero value is usable.
type Options struct {
	// Passwords are tried on every encrypted archive, in this order.
	Passwords []string
	// Identities open sealed bundles.
	Identities []age.Identity
	// TempDir is where unpacked archives may wait for their reader; "" is the
	// system's folder for temporary files.
	TempDir string
	// Limits replaces the default bounds; zero fields keep the default.
	Limits Limits
	// Problem is told about everything that was not looked at, or not wholly. It
	// may be called by several goroutines at once. Nil means that nobody listens.
	Problem func(postern.Problem)
}

// Evidence is an opened tree of files. Its methods and the files that it gives
// are safe for use by several goroutines.
type Evidence struct {
	ctx    context.Context // of the hunt: ends unpacking that has no caller's context
	limits Limits

	name   string   // base name of what was opened
	path   string   // where it lies on this machine
	root   *os.Root // nil for a single file
	single bool

	last struct { // the folder of the last file that was opened after its walk
		sync.Mutex
		dir    string
		folder *diskFolder
	}
	walked struct { // folders whose walk is over and whose files may be opened next
		sync.Mutex
		open [walkedOpen]*diskFolder
		next int
	}

	passwords  []string
	identities []age.Identity
	problems   problems
	temp       temp
	mounts     mounts
	spending   spending
	flates     sync.Pool // idle inflaters: an archive may have 300,000 small members
}

// ErrKind is the error of [Open] for a path that is neither a folder nor a
// regular file.
var ErrKind = errors.New("neither a folder nor a regular file")

// Open opens evidence. The context is that of the whole hunt: when it ends, so
// does all unpacking. The caller closes the Evidence.
func Open(ctx context.Context, path string, opt Options) (*Evidence, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open evidence: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open evidence: %w", err)
	}
	e := newEvidence(ctx, opt)
	e.path, e.name = abs, filepath.Base(abs)
	switch {
	case info.IsDir():
		if e.root, err = os.OpenRoot(abs); err != nil {
			return nil, fmt.Errorf("open evidence: %w", err)
		}
	case info.Mode().IsRegular():
		e.single = true
	default:
		return nil, fmt.Errorf("open evidence: %s: %w", path, ErrKind)
	}
	return e, nil
}

// newEvidence makes an Evidence without a tree.
func newEvidence(ctx context.Context, opt Options) *Evidence {
	e := &Evidence{ctx: ctx, limits: opt.Limits.withDefaults(), passwords: opt.Passwords, identities: opt.Identities}
	e.problems.tell = opt.Problem
	e.temp.limits, e.temp.parent = e.limits, opt.TempDir
	e.mounts.idle = e.limits.OpenArchives
	e.spending.left = e.limits.TotalBytes
	return e
}

// Name is the base name of the folder or file that was opened.
func (e *Evidence) Name() string { return e.name }

// Close ends the Evidence: files cannot be opened any more, and what was
// unpacked is removed. Readers that are still open fail.
func (e *Evidence) Close() error {
	e.problems.flush()
	err := e.mounts.close()
	e.last.Lock()
	if e.last.folder != nil {
		err = errors.Join(err, e.last.folder.Close())
		e.last.folder = nil
	}
	e.last.Unlock()
	for range walkedOpen {
		err = errors.Join(err, e.closeLater(nil))
	}
	if e.root != nil {
		err = errors.Join(err, e.root.Close())
	}
	return errors.Join(err, e.temp.close())
}

// FS gives the whole evidence as a file system of regular files and folders.
func (e *Evidence) FS() fs.FS { return evidenceFS{e} }
