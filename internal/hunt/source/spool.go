package source

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"postern"
)

// temp is the private folder for what has to lie unpacked. It comes into being
// with the first file. Files have numbers for names, never names from evidence,
// and are unlinked as soon as they are open where the system allows it, so that
// even a killed process leaves nothing but an empty folder.
type temp struct {
	limits Limits
	parent string

	mu   sync.Mutex
	dir  string
	made int
	used int64
	left int64 // how much may be used before the free space is looked at again
}

// lookAgain is how much is written between two looks at the free space.
const lookAgain = 64 << 20

func (t *temp) create() (*os.File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir == "" {
		dir, err := os.MkdirTemp(t.parent, "postern-")
		if err != nil {
			return nil, err
		}
		t.dir = dir
	}
	t.made++
	f, err := os.OpenFile(filepath.Join(t.dir, strconv.Itoa(t.made)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // Windows refuses while it is open; see spool.close
	return f, nil
}

// folder is the base name of the folder, "" while there is none. A hunt over a
// whole disk meets its own folder and must pass it by.
func (t *temp) folder() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir == "" {
		return ""
	}
	return filepath.Base(t.dir)
}

// reserve asks for room on disk.
func (t *temp) reserve(n int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used+n > t.limits.TempBytes {
		return &refusal{postern.Limit, postern.Say("source.temp", "limit", t.limits.TempBytes)}
	}
	if t.left < n {
		if free, ok := freeSpace(t.dir); ok && free < t.limits.KeepFree+lookAgain {
			return &refusal{postern.Limit, postern.Say("source.temp-full", "folder", t.dir, "limit", t.limits.KeepFree)}
		}
		t.left = lookAgain
	}
	t.used += n
	t.left -= n
	return nil
}

func (t *temp) release(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used -= n
}

func (t *temp) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir == "" {
		return nil
	}
	err := os.RemoveAll(t.dir)
	t.dir = ""
	return err
}

// spoolInMemory is how much stays in memory before a file is made: most archives
// inside archives are smaller.
const spoolInMemory = 1 << 20

// spool keeps unpacked bytes for reading at any offset. It only grows.
type spool struct {
	e *Evidence

	mu   sync.RWMutex
	mem  []byte
	f    *os.File
	size int64
}

func (s *spool) Size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.size
}

func (s *spool) ReadAt(b []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	if s.f != nil {
		return s.f.ReadAt(b, off)
	}
	n := copy(b, s.mem[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (s *spool) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil && len(s.mem)+len(b) <= spoolInMemory {
		s.mem = append(s.mem, b...)
		s.size += int64(len(b))
		return len(b), nil
	}
	if s.f == nil {
		if err := s.toDisk(); err != nil {
			return 0, err
		}
	}
	if err := s.append(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// toDisk puts what is in memory into a file. If it cannot, all stays as it was.
func (s *spool) toDisk() error {
	f, err := s.e.temp.create()
	if err != nil {
		return &refusal{postern.Limit, postern.Say("source.temp-failed", "error", reason(err))}
	}
	kept := s.mem
	s.f, s.mem, s.size = f, nil, 0
	if err := s.append(kept); err != nil {
		f.Close()
		_ = os.Remove(f.Name())
		s.f, s.mem, s.size = nil, kept, int64(len(kept))
		return err
	}
	return nil
}

func (s *spool) append(b []byte) error {
	need := int64(len(b))
	if err := s.e.temp.reserve(need); err != nil {
		s.e.mounts.evictIdle() // archives that nobody reads may hold room
		if err := s.e.temp.reserve(need); err != nil {
			return err
		}
	}
	if _, err := s.f.WriteAt(b, s.size); err != nil {
		s.e.temp.release(need)
		return &refusal{postern.Limit, postern.Say("source.temp-failed", "error", reason(err))}
	}
	s.size += need
	return nil
}

func (s *spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mem = nil
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	_ = os.Remove(s.f.Name())
	s.e.temp.release(s.size)
	s.f = nil
	s.size = 0
	return err
}

// fill unpacks a stream into the spool, as much as the allowance and the disk
// pay for; without an account it is paid for already. What came before an error
// stays. The answer is how much was taken from the allowance; problems are told
// under the path.
func (s *spool) fill(ctx context.Context, r io.Reader, account *allowance, path string) (taken int64) {
	buf := make([]byte, 128<<10)
	for {
		if err := ctx.Err(); err != nil {
			s.e.problem(path, postern.Unreadable, postern.Say("source.unreadable", "error", err))
			return taken
		}
		n, err := guardRead(r, buf)
		granted := int64(n)
		if account != nil {
			granted = account.take(granted)
			taken += granted
		}
		if granted < int64(n) {
			s.e.problem(path, postern.Limit, postern.Say("source.member-allowance", "read", s.Size()+granted))
			err = io.EOF
		}
		if _, werr := s.Write(buf[:granted]); werr != nil {
			s.e.broken(path, s.Size(), werr)
			return taken
		}
		switch {
		case err == nil:
		case err == io.EOF:
			return taken
		default:
			s.e.broken(path, s.Size(), err)
			return taken
		}
	}
}
