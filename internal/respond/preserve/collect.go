package preserve

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"postern/internal/bundle"
)

// collect follows the plan from where it stands to its end.
func (s *state) collect(ctx context.Context, root *os.Root) error {
	sealer, err := bundle.NewSealer(s.opt.Recipients)
	if err != nil {
		return err
	}
	c := &collector{s: s, ctx: ctx, root: root, sealer: sealer, buf: make([]byte, copyBytes)}
	defer func() {
		c.forget()
		for _, u := range c.next {
			u.close()
		}
	}()
	defer c.drop()
	classes := Classes()
	for ; s.at.Class < len(classes); s.at = (position{s.at.Class + 1, 0}) {
		if err := c.class(classes[s.at.Class]); err != nil {
			return err
		}
	}
	return c.finish()
}

// copyBytes is how much of a file is read at once.
const copyBytes = 256 << 10

// collector takes files into segments.
type collector struct {
	s      *state
	ctx    context.Context
	root   *os.Root
	sealer *bundle.Sealer
	seg    *segment
	buf    []byte

	dir  string // the folder of the last file, which is kept open: files come folder by folder
	last *os.Root

	next      []*upcoming // files of the plan that are open already
	nextBytes int64       // of them
}

// Bounds of what is asked of the disk before its turn: enough to keep a disk busy while
// one file is hashed and packed, and few enough handles.
const (
	aheadFiles = 32
	aheadBytes = 16 << 20
	// fetchBytes is how much of one file is asked for at once.
	fetchBytes = 2 << 20
)

// upcoming is a line of the plan whose file is open.
type upcoming struct {
	planned
	line int64 // bytes of its line
	f    *os.File
	info fs.FileInfo
	err  error // of opening
}

// maxPlanLine bounds a line of the plan: a path of Linux, written as escapes.
const maxPlanLine = 64 << 10

// class takes the files of one class.
func (c *collector) class(class Class) error {
	f, err := os.Open(filepath.Join(c.s.dir, planName(class)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return c.s.broken(err)
	}
	defer f.Close()
	if _, err := f.Seek(c.s.at.Offset, io.SeekStart); err != nil {
		return c.s.broken(err)
	}
	lines := bufio.NewReaderSize(f, maxPlanLine)
	for {
		if err := c.ahead(lines); err != nil {
			return c.s.broken(err)
		}
		if len(c.next) == 0 {
			return nil
		}
		u := c.next[0]
		c.next, c.nextBytes = c.next[1:], c.nextBytes-u.Size
		err := c.take(class, u)
		u.close()
		if err != nil {
			return err
		}
		c.s.at.Offset += u.line
		if c.seg.full() {
			if err := c.finish(); err != nil {
				return err
			}
		}
	}
}

// ahead opens files of the plan before their turn, and has the system fetch how they
// begin: a disk that is asked for one thing at a time is idle most of the time.
func (c *collector) ahead(lines *bufio.Reader) error {
	for len(c.next) == 0 || len(c.next) < aheadFiles && c.nextBytes < aheadBytes {
		text, err := lines.ReadSlice('\n')
		if err == io.EOF && len(text) == 0 {
			return nil
		}
		u := &upcoming{line: int64(len(text))}
		if err == nil {
			err = json.Unmarshal(text, &u.planned)
		}
		if err != nil { // synced whole before the first file was taken, so somebody else wrote to it
			return err
		}
		if u.What == "" {
			if u.f, u.info, u.err = c.open(u.name()); u.err == nil {
				fetch(u.f, 0, fetchBytes)
			}
		}
		c.next, c.nextBytes = append(c.next, u), c.nextBytes+u.Size
	}
	return nil
}

func (u *upcoming) close() {
	if u.f != nil {
		_ = u.f.Close()
	}
}

// take puts one file of the plan, or the trouble with it, into the segment.
func (c *collector) take(class Class, p *upcoming) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if c.seg == nil {
		seg, err := c.s.segment(c.sealer)
		if err != nil {
			return c.s.broken(err)
		}
		c.seg = seg
	}
	m := &bundle.Member{Path: p.Path, Raw: p.Raw, Class: string(class), Problem: p.What, Detail: p.Detail}
	if p.What != "" {
		return c.seg.list(m)
	}
	if p.err != nil {
		l := failure(p.name(), p.err)
		m.Problem, m.Detail = l.What, l.Detail
		return c.seg.list(m)
	}
	f, info := p.f, p.info
	h := &tar.Header{Typeflag: tar.TypeReg, Name: p.Path, Size: info.Size(), Mode: int64(info.Mode().Perm()),
		ModTime: info.ModTime(), Format: tar.FormatPAX, PAXRecords: make(map[string]string)}
	modified := info.ModTime().UTC()
	m.Modified, m.Mode = &modified, info.Mode().Perm().String()
	describe(f, info, m, h)
	ownRecords(m, h)
	if err := c.copy(f, m, h); err != nil {
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		return c.s.broken(err)
	}
	if m.Problem == "" {
		m.Problem = since(f, info, m.Size)
	}
	c.s.opt.Progress.Files.Add(1)
	return c.seg.list(m)
}

// ownRecords puts what tar has no field for into the header under our own name.
func ownRecords(m *bundle.Member, h *tar.Header) {
	set := func(key, value string) {
		if value != "" {
			h.PAXRecords["POSTERN."+key] = value
		}
	}
	if m.Created != nil {
		set("created", m.Created.Format(time.RFC3339Nano))
	}
	set("owner", m.Owner)
	set("group", m.Group)
	set("attributes", m.Attributes)
	set("raw", hex.EncodeToString(m.Raw))
}

// open opens a file of the tree and says what it is.
func (c *collector) open(name string) (*os.File, fs.FileInfo, error) {
	dir, base := filepath.Split(filepath.FromSlash(name))
	in := c.root
	if dir != "" {
		if c.last == nil || c.dir != dir {
			c.forget()
			sub, err := openRootIn(c.root, filepath.Clean(dir))
			if err != nil {
				return nil, nil, err
			}
			c.dir, c.last = dir, sub
		}
		in = c.last
	}
	info, err := lstatIn(in, base)
	if err != nil {
		return nil, nil, err
	}
	if err := regular(info); err != nil { // opening a pipe can block for ever, a device do things
		return nil, nil, err
	}
	f, err := openQuietly(in, base)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = regular(info)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// Something that took the place of a file since the plan was made.
var (
	errLink    = errors.New("a link took its place")
	errSpecial = errors.New("no file any more")
)

func regular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode&fs.ModeSymlink != 0:
		return errLink
	}
	return errSpecial
}

// drop ends a segment that will not be whole: its bytes count for nothing.
func (c *collector) drop() {
	if c.seg != nil {
		_ = c.seg.pack.Close()
		c.seg = nil
	}
}

func (c *collector) forget() {
	if c.last != nil {
		_ = c.last.Close()
	}
	c.dir, c.last = "", nil
}

// copy puts the bytes of a file into the segment: exactly as many as its header
// says. What could not be read is zeros.
func (c *collector) copy(f io.Reader, m *bundle.Member, h *tar.Header) error {
	if err := c.seg.tar.WriteHeader(h); err != nil {
		return err
	}
	m.Offset, m.Size = c.seg.plain.n, h.Size
	sum := sha256.New()
	both := io.MultiWriter(sum, c.seg.tar)
	for left := h.Size; left > 0; {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if file, ok := f.(*os.File); ok && (h.Size-left)%fetchBytes == 0 && left > fetchBytes {
			fetch(file, h.Size-left+fetchBytes, fetchBytes)
		}
		b := c.buf[:min(left, int64(len(c.buf)))]
		n := len(b)
		if m.Problem == "" {
			var err error
			if n, err = io.ReadFull(f, b); err != nil {
				read := h.Size - left + int64(n)
				m.Problem, m.Detail = cut(err, read)
				if n == 0 {
					continue
				}
			}
		} else {
			clear(b)
		}
		if _, err := both.Write(b[:n]); err != nil {
			return err
		}
		left -= int64(n)
		c.s.opt.Progress.Bytes.Add(int64(n))
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// cut says why a file was not read to its end.
func cut(err error, read int64) (bundle.Trouble, string) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bundle.Shrank, bytesRead(read)
	}
	if isLocked(err) {
		return bundle.Locked, bytesRead(read)
	}
	return bundle.Broken, bytesRead(read) + ": " + reason(err)
}

// since says what happened to a file while it was read.
func since(f *os.File, before fs.FileInfo, size int64) bundle.Trouble {
	after, err := f.Stat()
	switch {
	case err != nil:
		return ""
	case after.Size() > size:
		return bundle.Grew
	case after.Size() < size, !after.ModTime().Equal(before.ModTime()):
		return bundle.Altered
	}
	return ""
}

// segment is one that is being written.
type segment struct {
	s     *state
	at    int64 // of its frame in the bundle
	data  *partWriter
	pack  io.WriteCloser
	plain *counter
	tar   *tar.Writer

	lines  bytes.Buffer
	proofs []byte
	files  int
	sums   totals
}

// segment begins a segment at the end of the bundle.
func (s *state) segment(sealer *bundle.Sealer) (*segment, error) {
	g := &segment{s: s, at: s.end, data: newPartWriter(s.bundle, s.end+bundle.BlockLen)}
	pack, err := sealer.Seal(g.data)
	if err != nil {
		return nil, err
	}
	g.pack = pack
	g.plain = &counter{w: pack}
	g.tar = tar.NewWriter(g.plain)
	return g, nil
}

func (g *segment) full() bool {
	return g.plain.n >= g.s.opt.segment || g.files >= segmentFiles
}

// list notes a file, or the trouble with one.
func (g *segment) list(m *bundle.Member) error {
	b, err := bundle.Encode(m)
	if err != nil {
		return err
	}
	g.lines.Write(b)
	if m.Stored() {
		proof := bundle.Proof(g.s.id, m.Path, m.SHA256)
		g.proofs = append(g.proofs, proof[:]...)
	}
	g.files++
	g.s.totals.add(m)
	return nil
}

// finish closes the segment, if there is one, and makes it count.
func (c *collector) finish() error {
	if c.seg == nil {
		return nil
	}
	g, s := c.seg, c.s
	c.seg = nil
	err := errors.Join(g.tar.Close(), g.pack.Close(), g.data.Flush())
	if err != nil {
		return s.broken(err)
	}
	n := s.totals.Segments + 1
	if n > bundle.MaxSegments {
		return s.broken(errTooMany)
	}
	first := len(s.parts)
	if err := s.framed(bundle.DataPart(n), g.at, g.data); err != nil {
		return s.broken(err)
	}
	at := s.end
	data := newPartWriter(s.bundle, at+bundle.BlockLen)
	pack, err := c.sealer.Seal(data)
	if err != nil {
		return s.broken(err)
	}
	_, err = g.lines.WriteTo(pack)
	if err := errors.Join(err, pack.Close(), data.Flush()); err != nil {
		return s.broken(err)
	}
	err = s.framed(bundle.ListPart(n), at, data)
	if err == nil {
		err = s.part(bundle.ProofPart(n), g.proofs)
	}
	if err != nil {
		return s.broken(err)
	}
	s.totals.Segments = n
	return s.write(record{Type: "segment", Parts: s.parts[first:]})
}

var errTooMany = errors.New("more segments than a bundle may have")

// framed puts the header before a part that was written and the zeros behind it.
func (s *state) framed(name string, at int64, w *partWriter) error {
	size := w.n
	if _, err := s.bundle.WriteAt(bundle.Frame(name, size), at); err != nil {
		return err
	}
	end := at + bundle.BlockLen + size
	if _, err := s.bundle.WriteAt(make([]byte, bundle.Padding(size)), end); err != nil {
		return err
	}
	s.end = end + bundle.Padding(size)
	s.parts = append(s.parts, bundle.SealedPart{Name: name, Size: size, SHA256: hex.EncodeToString(w.sum.Sum(nil))})
	return nil
}

// counter counts what goes through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// partWriter writes a part at its place, and hashes it.
type partWriter struct {
	*bufio.Writer
	sum hash.Hash
	n   int64
}

func newPartWriter(f io.WriterAt, at int64) *partWriter {
	w := &partWriter{sum: sha256.New()}
	w.Writer = bufio.NewWriterSize(&placed{f, at, w}, 256<<10)
	return w
}

// placed writes behind what it wrote before.
type placed struct {
	f  io.WriterAt
	at int64
	of *partWriter
}

func (p *placed) Write(b []byte) (int, error) {
	n, err := p.f.WriteAt(b, p.at)
	p.at += int64(n)
	p.of.n += int64(n)
	p.of.sum.Write(b[:n])
	return n, err
}
