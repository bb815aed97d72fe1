package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"postern"
)

// archive is an opened archive: its members and a way to read each.
type archive struct {
	*index
	format
	path    string // the folder of its members: "a/outer.zip!"
	nesting int    // of its members
	outer   io.Closer
	spool   *spool
}

// format reads the members of one kind of archive. It may be used by several
// goroutines at once.
type format interface {
	// read gives the unpacked bytes of a member. A reader that is also a
	// randomAccess gives them as they lie.
	read(m *member) (io.ReadCloser, error)
}

// memberError is why a member cannot be read at all.
type memberError struct {
	what   postern.ProblemKind
	detail postern.Text
}

func (m *memberError) Error() string { return m.detail.Key }

// file gives a member as a file of the evidence.
func (a *archive) file(no int, outer *File) File {
	m, e := &a.members[no], a.e
	name := m.name // not m or a: a File that is kept must not keep the list of a closed archive
	f := File{
		Path: a.path + "/" + m.name, Size: m.size, ModTime: m.time(), LocalTime: m.flags&localTime != 0,
		nesting: a.nesting, account: a.account,
		open: func() (io.ReadCloser, error) { return e.openMember(outer, no, name) },
	}
	if namedArchive(m.name) {
		f.mount = a.path + "/" + mountName(m.name, func(s string) bool { _, ok := a.names[s]; return ok })
	}
	return f
}

// openMember opens a member of an archive, which is opened again if it was
// closed to save room.
func (e *Evidence) openMember(outer *File, no int, name string) (io.ReadCloser, error) {
	a, release, err := e.acquire(outer)
	if err != nil {
		return nil, err
	}
	p := outer.Path
	if a != nil {
		p = a.path + "/" + name
	}
	if a == nil || no >= len(a.members) || a.members[no].name != name {
		if a != nil {
			release()
		}
		e.problem(p, postern.Unreadable, postern.Say("source.vanished"))
		return nil, fmt.Errorf("open %s: %w: %w", p, errTold, fs.ErrNotExist)
	}
	m := a.members[no]
	r, err := guardOpen(a.format, &m)
	if err != nil {
		release()
		var me *memberError
		var limit *limitError
		switch {
		case errors.Is(err, errTold):
		case errors.As(err, &me):
			e.problem(p, me.what, me.detail)
		case errors.As(err, &limit):
			e.problem(p, postern.Limit, limit.detail)
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			e.problem(p, postern.Truncated, postern.Say("source.member-truncated", "read", 0))
		default:
			e.problem(p, postern.Malformed, postern.Say("source.member-damaged", "read", 0, "error", reason(err)))
		}
		return nil, fmt.Errorf("open %s: %w: %w", p, errTold, err)
	}
	reader := memberReader{e: e, account: a.account, path: p, m: m, r: r, grant: m.grant, release: release}
	if ra, ok := r.(randomAccess); ok && m.grant == m.size {
		return &memberReaderAt{reader, ra}, nil
	}
	return &reader, nil
}

func guardOpen(f format, m *member) (r io.ReadCloser, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("decoder: %v", p)
		}
	}()
	return f.read(m)
}

func (a *archive) close() error {
	var err error
	if c, ok := a.format.(io.Closer); ok {
		err = c.Close()
	}
	if a.spool != nil {
		err = errors.Join(err, a.spool.Close())
	}
	if a.outer != nil {
		err = errors.Join(err, a.outer.Close())
	}
	return err
}

// mounts are the archives that are open, by the path of the archive file. One
// that nobody reads stays open until others need the room.
type mounts struct {
	idle int // how many may stay open unread

	mu     sync.Mutex
	closed bool
	open   map[string]*mount
	clock  uint64
}

type mount struct {
	ready   chan struct{} // closed when a and err are set
	a       *archive
	err     error
	readers int
	used    uint64
}

// acquire opens the archive that a file is, or finds it open. Nil without an
// error means that the file is no archive. The caller calls release once for an
// archive that it got.
func (e *Evidence) acquire(f *File) (a *archive, release func(), err error) {
	ms := &e.mounts
	ms.mu.Lock()
	if ms.closed {
		ms.mu.Unlock()
		return nil, nil, fmt.Errorf("open %s: %w: %w", f.Path, errTold, fs.ErrClosed)
	}
	if ms.open == nil {
		ms.open = make(map[string]*mount)
	}
	m := ms.open[f.Path]
	first := m == nil
	if first {
		m = &mount{ready: make(chan struct{})}
		ms.open[f.Path] = m
	}
	m.readers++
	ms.mu.Unlock()

	if first {
		m.a, m.err = e.openArchive(f)
		close(m.ready)
	}
	<-m.ready
	release = sync.OnceFunc(func() { ms.release(f.Path, m) })
	if m.a == nil {
		release()
		return nil, nil, m.err
	}
	return m.a, release, nil
}

func (ms *mounts) release(path string, m *mount) {
	ms.mu.Lock()
	m.readers--
	ms.clock++
	m.used = ms.clock
	var out []*archive
	if m.a == nil {
		if m.readers == 0 && ms.open[path] == m {
			delete(ms.open, path)
		}
	} else {
		out = ms.evict(ms.idle)
	}
	ms.mu.Unlock()
	for _, a := range out {
		a.close()
	}
}

// evict takes out the archives that were not read for longest until at most keep
// of those without a reader are left. The caller holds the lock, and closes what
// it gets without it: closing one archive releases the one around it.
func (ms *mounts) evict(keep int) []*archive {
	var out []*archive
	for {
		idle, oldest := 0, ""
		for path, m := range ms.open {
			if m.readers > 0 || m.a == nil {
				continue
			}
			idle++
			if oldest == "" || m.used < ms.open[oldest].used {
				oldest = path
			}
		}
		if idle <= keep {
			return out
		}
		out = append(out, ms.open[oldest].a)
		delete(ms.open, oldest)
	}
}

// evictIdle closes every archive that nobody reads.
func (ms *mounts) evictIdle() {
	ms.mu.Lock()
	out := ms.evict(0)
	ms.mu.Unlock()
	for _, a := range out {
		a.close()
	}
}

func (ms *mounts) close() error {
	ms.mu.Lock()
	ms.closed = true
	open := ms.open
	ms.open = nil
	ms.mu.Unlock()
	var err error
	for _, m := range open {
		select {
		case <-m.ready:
			if m.a != nil {
				err = errors.Join(err, m.a.close())
			}
		default: // still being opened; its spool goes with the temporary folder
		}
	}
	return err
}

// kind is a format, told by its first bytes.
type kind int

const (
	noArchive kind = iota
	zipFile
	sevenZip
	tarFile
	gzipStream
	zstdStream
	bzip2Stream
	foreign // an archive of a kind that is not read
)

// sniffLength is how many first bytes tell the kind: one block of a tar file.
const sniffLength = 512

// sniff tells the kind of an archive by its first bytes, and the name of the
// kind if it is foreign.
func sniff(head []byte) (kind, string) {
	is := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case is("PK\x03\x04"), is("PK\x05\x06"), is("PK\x07\x08PK\x03\x04"), is("PK00PK\x03\x04"):
		return zipFile, ""
	case is("7z\xbc\xaf\x27\x1c"):
		return sevenZip, ""
	case is("\x1f\x8b\x08"):
		return gzipStream, ""
	case is("\x28\xb5\x2f\xfd"), len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18")):
		return zstdStream, ""
	case len(head) >= 10 && is("BZh") && '1' <= head[3] && head[3] <= '9' &&
		(bytes.Equal(head[4:10], []byte("1AY&SY")) || bytes.Equal(head[4:10], []byte("\x17\x72\x45\x38\x50\x90"))):
		return bzip2Stream, ""
	case is("Rar!\x1a\x07"):
		return foreign, "RAR"
	case is("MSCF\x00\x00\x00\x00"):
		return foreign, "CAB"
	case is("\xfd7zXZ\x00"):
		return foreign, "XZ"
	case tarBlock(head):
		return tarFile, ""
	}
	return noArchive, ""
}

// openArchive opens the archive that a file is. Nil without an error means that
// it is none, or none that can be read; why is then told.
func (e *Evidence) openArchive(f *File) (a *archive, err error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	keep := false // the archive reads from r as long as it is open
	defer func() {
		if !keep {
			r.Close()
		}
	}()
	ra, random := r.(randomAccess)
	head, rest := peek(r, random, ra)
	k, name := sniff(head)
	if k == noArchive && strings.EqualFold(path.Ext(f.Path), ".zip") && random && zipBehindJunk(ra) {
		k = zipFile
	}
	switch {
	case k == noArchive && len(head) == 0:
		return nil, nil // empty, or told by the reader
	case k == noArchive && e.single && f.nesting == 0 && !namedArchive(f.Path):
		return nil, nil
	case k == noArchive:
		e.problem(f.Path, postern.Malformed, postern.Say("source.not-archive"))
		return nil, nil
	case k == foreign:
		e.problem(f.Path, postern.Unsupported, postern.Say("source.foreign-archive", "format", name))
		return nil, nil
	case f.nesting >= e.limits.Nesting:
		e.problem(f.Path, postern.Limit, postern.Say("source.nesting", "limit", e.limits.Nesting))
		return nil, nil
	}

	account := f.account
	if account == nil {
		account = e.spending.of(f.Path, fileSize(f, ra, random), e.limits)
	}
	account.reopen(f.Path)
	a = &archive{index: newIndex(e, f.Path, account), path: f.mount, nesting: f.nesting + 1}
	defer func() {
		account.opened(f.Path, a.taken)
		a.finish()
		if !keep && a.spool != nil {
			a.spool.Close()
		}
	}()

	switch k {
	case gzipStream, zstdStream, bzip2Stream:
		inner, err := e.unpack(k, rest)
		if err != nil {
			e.problem(f.Path, postern.Malformed, postern.Say("source.archive-damaged", "error", reason(err)))
			return nil, nil
		}
		defer inner.Close()
		block, _ := readHead(inner)
		if !tarBlock(block) {
			a.format = stream{e: e, k: k, outer: f}
			a.add(streamName(f.Path), member{size: unknownSize, modified: modified(f)})
			keep = true // only to say that all went well: the stream opens the file anew
			r.Close()
			return a, nil
		}
		a.spool = &spool{e: e}
		a.taken += a.spool.fill(e.ctx, io.MultiReader(bytes.NewReader(block), inner), account, f.Path)
		a.format = readTar(a.index, a.spool)
		keep = true
		r.Close()
		return a, nil
	}

	if !random {
		a.spool = &spool{e: e}
		// Its bytes are already paid for: they are a member's of the archive around it.
		a.spool.fill(e.ctx, rest, nil, f.Path)
		ra = a.spool
	}
	switch k {
	case zipFile:
		a.format = readZip(a.index, ra)
	case sevenZip:
		a.format = readSevenZip(a.index, ra)
	case tarFile:
		a.format = readTar(a.index, ra)
	}
	if a.format == nil {
		return nil, nil
	}
	keep = true
	if random {
		a.outer = r
	} else {
		r.Close()
	}
	return a, nil
}

// peek reads the first bytes and gives a reader from the first byte on.
func peek(r io.Reader, random bool, ra randomAccess) ([]byte, io.Reader) {
	if random {
		head := make([]byte, sniffLength)
		n, _ := ra.ReadAt(head, 0)
		return head[:n], bufio.NewReaderSize(r, 64<<10)
	}
	head, _ := readHead(r)
	return head, bufio.NewReaderSize(io.MultiReader(bytes.NewReader(head), r), 64<<10)
}

func readHead(r io.Reader) ([]byte, error) {
	head := make([]byte, sniffLength)
	n := 0
	for n < len(head) {
		m, err := guardRead(r, head[n:])
		n += m
		if err != nil {
			return head[:n], err
		}
	}
	return head, nil
}

func fileSize(f *File, ra randomAccess, random bool) int64 {
	if random {
		return ra.Size()
	}
	return max(f.Size, 0)
}

func modified(f *File) int64 {
	var m member
	m.setTime(f.ModTime)
	return m.modified
}

// mountName is the name of the folder of an archive's members: the file's with a
// "!", with more of them where something has that name already.
func mountName(name string, taken func(string) bool) string {
	for name += "!"; taken(name); {
		name += "!"
	}
	return name
}
