// Package preserve is the part of the response that takes evidence away before
// anybody changes the server: one pass over a tree, read-only, into one sealed
// bundle (internal/bundle, docs/formats/bundle.md).
//
// Input: the folder of a drive, an image mount or a collection, and who may open
// the bundle. Output: the bundle, and a [Result] that names what could not be taken.
// Sizes are bytes, times UTC.
//
// The order is that of volatility, as far as files have one. First the tree is
// walked and a plan written to disk, class by class; then the plan is followed.
// While it grows, the bundle lies in a folder beside its final name, with a journal
// of the segments that are whole. A run that was killed goes on behind the last of
// them, along the same plan. The final name appears when the bundle is sealed,
// and not before.
package preserve

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"postern/internal/bundle"
)

// Bounds.
const (
	// segmentBytes is how much a segment holds before the next begins: what a kill
	// costs at most, unless one file is larger. A hundredth of what a server has.
	segmentBytes = 64 << 20
	// segmentFiles bounds the list of a segment, which is in memory, at 2 MB.
	segmentFiles = 4096
	// maxDepth is how many folders deep a file may lie; every level holds one handle
	// open. No server has a tree half as deep.
	maxDepth = 64
	// MaxNamed bounds the files that a hunt names.
	MaxNamed = 100_000
	// maxTold is how many troubles are named in the result; the rest is counted
	// there and listed in the bundle.
	maxTold = 20
)

// Options say what to preserve, for whom, and who does it.
type Options struct {
	Root string
	Out  string // where the sealed bundle will lie

	Recipients []age.Recipient
	Names      []string // of the recipients: their public keys
	// Key signs the seal. Nil makes one for this bundle alone, and forgets it.
	Key ed25519.PrivateKey

	Who, Host, Tool, Version, System string
	ClockOffset                      *time.Duration // the host's clock minus true time

	// Servers are what the servers are called that the tree is of, if anybody knows.
	Servers []string
	// Named are files that a hunt found, as paths below Root or as they end on the
	// server, in any case: at most [MaxNamed], so that whoever has more says so.
	Named []string
	// All takes every file, whatever it is.
	All bool

	// Stamp gets an RFC 3161 token for a SHA-256; nil asks for none.
	Stamp func(ctx context.Context, digest [sha256.Size]byte) ([]byte, error)
	Now   func() time.Time

	// Planned is told the plan before the first file is read, and how many bytes are free
	// where the bundle will lie, -1 if that is not known. An error ends the run.
	Planned func(p Plan, free int64) error
	// Progress counts while the run goes on; nil is fine.
	Progress *Progress

	disk    disk
	free    func(dir string) (int64, bool)
	segment int64 // bytes of a segment
}

// Progress counts what was done, for who watches.
type Progress struct{ Files, Bytes atomic.Int64 }

// Result is what a run made.
type Result struct {
	Bundle    string
	ID        string
	Segments  int
	Files     int64 // that lie in it
	Bytes     int64 // of them
	Size      int64 // of the bundle
	Seal      string
	PublicKey string
	Resumed   int // how often the run was taken up again
	Troubles  map[bundle.Trouble]int64
	Told      []Told
	// NoStamp says why there is no time stamp although one was asked for.
	NoStamp error
}

// Partial says whether something that was to be preserved is not, or not as it was.
func (r *Result) Partial() bool {
	for t := range r.Troubles {
		if !t.Lossless() {
			return true
		}
	}
	return false
}

// Told is one trouble.
type Told struct {
	Path   string         `json:"path"`
	What   bundle.Trouble `json:"what"`
	Detail string         `json:"detail,omitempty"`
}

// Errors that callers tell people about in words of their own.
var (
	ErrNoRecipient = errors.New("nobody could open the bundle")
	ErrExists      = errors.New("the bundle is there already")
	ErrRunning     = errors.New("another run writes this bundle")
	ErrOther       = errors.New("an unfinished bundle of another run is there")
	ErrNothing     = errors.New("nothing to preserve")
	ErrRoot        = errors.New("not a folder")
)

// StateError says that writing failed. What was whole stays, and a run with the same
// options goes on.
type StateError struct {
	Folder string
	Cause  error
}

func (e *StateError) Error() string { return fmt.Sprintf("write %s: %v", e.Folder, e.Cause) }
func (e *StateError) Unwrap() error { return e.Cause }

// RoomError says that a bundle will not fit where it is to lie. Nothing was taken.
type RoomError struct {
	Folder      string
	Free, About int64 // bytes there are, and that are needed by estimate
}

func (e *RoomError) Error() string {
	return fmt.Sprintf("%s has %d bytes free, and about %d are needed", e.Folder, e.Free, e.About)
}

// Full says whether a disk had no room.
func Full(err error) bool { return isFull(err) }

// Run makes a bundle, or finishes one that was begun.
func Run(ctx context.Context, opt Options) (*Result, error) {
	if len(opt.Recipients) == 0 {
		return nil, ErrNoRecipient
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Progress == nil {
		opt.Progress = new(Progress)
	}
	if opt.disk == nil {
		opt.disk = osDisk{}
	}
	if opt.free == nil {
		opt.free = freeSpace
	}
	if opt.segment == 0 {
		opt.segment = segmentBytes
	}
	root, err := openRoot(opt.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if _, err := os.Lstat(opt.Out); err == nil {
		return nil, fmt.Errorf("%s: %w", opt.Out, ErrExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, &StateError{opt.Out, err}
	}
	s, err := openState(&opt)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if !s.planned {
		if err := s.begin(ctx, root); err != nil {
			return nil, err
		}
	} else if err := s.resume(); err != nil {
		return nil, err
	}
	free, err := s.room()
	if opt.Planned != nil {
		if err := opt.Planned(s.plan, free); err != nil {
			return nil, err
		}
	}
	if err != nil {
		s.discard()
		return nil, err
	}
	if err := s.collect(ctx, root); err != nil {
		return nil, err
	}
	return s.seal(ctx)
}

func openRoot(name string) (*os.Root, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: %w", name, ErrRoot)
	}
	abs, err := filepath.Abs(name) // a name of a device below it is opened by its whole path
	if err != nil {
		return nil, err
	}
	return os.OpenRoot(abs)
}

// fingerprint tells whether an unfinished bundle was begun for the same work.
func (o *Options) fingerprint() string {
	root, err := filepath.Abs(o.Root)
	if err != nil {
		root = o.Root
	}
	b, _ := json.Marshal([]any{root, o.Names, o.Named, o.All}) // of strings: cannot fail
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// partFolder is where a bundle grows.
func partFolder(out string) string { return strings.TrimRight(out, `/\`) + ".part" }
