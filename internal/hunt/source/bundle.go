package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"

	"postern"
	"postern/internal/bundle"
)

// sealedBundle reads the members of a sealed bundle, decrypting as it goes: nothing
// of it lies in the clear on a disk. To read a member is to unpack what lies before
// it in its segment, so that readers that were done with stay where they are for the
// next member: logs are read in about the order in which they were preserved.
type sealedBundle struct {
	b      *bundle.Bundle
	opener *bundle.Opener
	sums   [][sha256.Size]byte // of the members, by number

	mu   sync.Mutex
	idle []*cursor // the longest unused first
}

// maxCursors is how many unpackers wait for the next member, at 3 MB each: as many
// logs as a hunt reads at the same time.
const maxCursors = 8

// cursor is an unpacker of a segment at some place.
type cursor struct {
	segment int
	at      int64
	r       io.ReadCloser
}

// readBundle lists the members of a bundle by the lists of its segments.
func readBundle(x *index, ra randomAccess) format {
	b, err := bundle.Open(ra, ra.Size())
	if err != nil {
		x.e.problem(x.outer, postern.Malformed, postern.Say("source.archive-damaged", "error", reason(err)))
		return nil
	}
	for _, d := range b.Damages {
		if d.What == bundle.NoEnd {
			x.e.problem(x.outer, postern.Truncated, postern.Say("source.bundle-unsealed"))
		} else {
			x.damaged(d.Part)
		}
	}
	if len(x.e.identities) == 0 {
		x.e.problem(x.outer, postern.Unreadable, postern.Say("source.bundle-locked"))
		return nil
	}
	s := &sealedBundle{b: b, opener: bundle.NewOpener(x.e.identities)}
	listed, data := make(map[int]bool), make(map[int]bool)
	for _, p := range b.Parts {
		if n, list := bundle.SegmentOf(p.Name); n > 0 && !list {
			data[n] = true
		}
	}
	for _, p := range b.Parts {
		n, list := bundle.SegmentOf(p.Name)
		if n == 0 || !list {
			continue
		}
		if x.e.ctx.Err() != nil {
			break
		}
		listed[n] = true
		if !data[n] {
			x.damaged(bundle.DataPart(n))
			continue
		}
		err := s.list(x, n, p)
		if errors.Is(err, bundle.ErrNoKey) {
			x.e.problem(x.outer, postern.Unreadable, postern.Say("source.bundle-key"))
			return nil
		}
		if errors.Is(err, errFull) {
			break // told
		}
		if err != nil {
			x.damaged(p.Name)
		}
	}
	for n := range data {
		if !listed[n] {
			x.damaged(bundle.ListPart(n))
		}
	}
	return s
}

func (x *index) damaged(part string) {
	if part == "" {
		part = "tar"
	}
	x.e.problem(x.outer, postern.Malformed, postern.Say("source.bundle-damaged", "name", printable(part)))
}

var (
	errFull  = errors.New("no more members")
	errReach = errors.New("a member that no segment of its size can hold")
)

// list puts the members of a segment into the index.
func (s *sealedBundle) list(x *index, n int, p bundle.Part) error {
	r, err := s.opener.Open(s.b.Reader(p))
	if err != nil {
		return err
	}
	defer func() { _ = guardClose(r) }()
	data, _ := s.b.Part(bundle.DataPart(n))
	// As for any archive, so that skipping to a member costs no more than it may.
	reach := x.e.limits.FreeBytes + data.Size*min(x.e.limits.Ratio, (1<<62)/max(data.Size, 1))
	return bundle.ReadList(guarded{r}, func(f bundle.Member) error {
		x.trouble(&f)
		if !f.Stored() {
			return nil
		}
		if f.Offset > reach {
			return errReach
		}
		m := member{size: f.Size, offset: f.Offset, packed: int64(n), crc: uint32(len(s.sums))}
		if f.Modified != nil {
			m.setTime(*f.Modified)
		}
		var sum [sha256.Size]byte
		if b, err := hex.DecodeString(f.SHA256); err == nil {
			copy(sum[:], b)
		}
		s.sums = append(s.sums, sum)
		if !x.add(f.Path, m, f.Size) {
			return errFull
		}
		return nil
	})
}

// trouble tells what could not be preserved, or not whole: a hunt of the bundle does
// not see it either.
func (x *index) trouble(f *bundle.Member) {
	var detail postern.Text
	what := postern.Unreadable
	switch f.Problem {
	case bundle.Locked:
		detail = postern.Say("source.bundle-file-locked")
	case bundle.Denied:
		detail = postern.Say("source.bundle-file-denied")
	case bundle.Vanished:
		detail = postern.Say("source.bundle-file-vanished")
	case bundle.NotFound:
		detail = postern.Say("source.bundle-file-not-found")
	case bundle.LinkOut:
		what, detail = postern.Unsupported, postern.Say("source.link-outside", "target", printable(f.Detail))
	case bundle.TooDeep, bundle.Special, bundle.Unreadable:
		detail = postern.Say("source.bundle-file-unreadable")
	case bundle.Broken, bundle.Shrank:
		what, detail = postern.Truncated, postern.Say("source.bundle-file-cut")
	case bundle.Altered:
		what, detail = postern.Truncated, postern.Say("source.bundle-file-altered")
	default:
		return
	}
	name, _ := safeName(f.Path, x.e.limits)
	x.e.problem(x.outer+"!/"+name, what, detail)
}

func (s *sealedBundle) read(m *member) (io.ReadCloser, error) {
	if m.size == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	c, err := s.cursor(int(m.packed), m.offset)
	if err != nil {
		return nil, err
	}
	skipped, err := io.CopyN(io.Discard, guarded{c.r}, m.offset-c.at)
	c.at += skipped
	if err != nil {
		_ = guardClose(c.r)
		return nil, unexpected(err)
	}
	return &sealedReader{s: s, c: c, left: m.size, want: s.sums[m.crc], sum: sha256.New()}, nil
}

// cursor gives the nearest unpacker before a place in a segment.
func (s *sealedBundle) cursor(segment int, at int64) (*cursor, error) {
	s.mu.Lock()
	best := -1
	for i, c := range s.idle {
		if c.segment == segment && c.at <= at && (best < 0 || c.at > s.idle[best].at) {
			best = i
		}
	}
	if best >= 0 {
		c := s.idle[best]
		s.idle = append(s.idle[:best], s.idle[best+1:]...)
		s.mu.Unlock()
		return c, nil
	}
	s.mu.Unlock()
	p, ok := s.b.Part(bundle.DataPart(segment))
	if !ok {
		return nil, io.ErrUnexpectedEOF
	}
	r, err := s.opener.Open(s.b.Reader(p))
	if err != nil {
		return nil, err
	}
	return &cursor{segment: segment, r: r}, nil
}

// park keeps an unpacker for the next member.
func (s *sealedBundle) park(c *cursor) error {
	s.mu.Lock()
	s.idle = append(s.idle, c)
	var out *cursor
	if len(s.idle) > maxCursors {
		out = s.idle[0]
		s.idle = s.idle[1:]
	}
	s.mu.Unlock()
	if out == nil {
		return nil
	}
	return guardClose(out.r)
}

func (s *sealedBundle) Close() error {
	s.mu.Lock()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	var err error
	for _, c := range idle {
		err = errors.Join(err, guardClose(c.r))
	}
	return err
}

// sealedReader reads one member, and compares it with its list when it was read whole.
type sealedReader struct {
	s    *sealedBundle
	c    *cursor
	left int64
	want [sha256.Size]byte
	sum  interface {
		io.Writer
		Sum([]byte) []byte
	}
	err error
}

func (r *sealedReader) Read(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.left == 0 {
		r.err = io.EOF
		if !bytes.Equal(r.sum.Sum(nil), r.want[:]) {
			r.err = &refusal{postern.Malformed, postern.Say("source.member-checksum")}
		}
		return 0, r.err
	}
	n, err := guardRead(r.c.r, b[:min(int64(len(b)), r.left)])
	r.left -= int64(n)
	r.c.at += int64(n)
	r.sum.Write(b[:n])
	if err != nil && r.left > 0 {
		r.err = unexpected(err)
		return n, r.err
	}
	return n, nil
}

// unexpected is the error of a segment that ends before its list does.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("segment: %w", err)
}

func (r *sealedReader) Close() error {
	c := r.c
	if c == nil {
		return nil
	}
	r.c = nil
	if r.err != nil && r.err != io.EOF {
		return guardClose(c.r)
	}
	r.err = io.EOF
	return r.s.park(c)
}
