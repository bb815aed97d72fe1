package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"postern"
	"postern/internal/bundle"
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
	m.grant = a.account.claimed(a.memberOf(&m), m.grant)
	r, err := guardOpen(a.format, &m)
	if err != nil {
		if m.grant > 0 && m.flags&free == 0 {
			a.account.shorter(a.memberOf(&m), m.grant, 0)
		}
		release()
		e.broken(p, 0, err)
		return nil, fmt.Errorf("open %s: %w: %w", p, errTold, err)
	}
	reader := memberReader{e: e, account: a.account, path: p, of: a.memberOf(&m), m: m, r: r, grant: m.grant, release: release}
	if ra, ok := r.(randomAccess); ok && m.grant == m.size {
		return &memberReaderAt{reader, ra}, nil
	}
	return &reader, nil
}

func (a *archive) memberOf(m *member) memberOf { return memberOf{a.index.outer, m.name} }

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

// maxIdleMembers is how many members the archives that nobody reads may list
// together, beyond the last two: 50 MB of memory.
const maxIdleMembers = 200_000

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

// evict takes out the archives that were not read for longest, until at most keep
// of those without a reader are left and not too many members with them. The
// caller holds the lock, and closes what it gets without it: closing one archive
// releases the one around it.
func (ms *mounts) evict(keep int) []*archive {
	var out []*archive
	for {
		idle, members, oldest := 0, 0, ""
		for path, m := range ms.open {
			if m.readers > 0 || m.a == nil {
				continue
			}
			idle++
			members += len(m.a.members)
			if oldest == "" || m.used < ms.open[oldest].used {
				oldest = path
			}
		}
		if idle <= keep && (idle <= 2 || members <= maxIdleMembers) {
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
	sealed  // a bundle of our own
	foreign // an archive of a kind that is not read
	image   // an image of a disk, which is not read
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
	case is(sevenMagic):
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
	case is("vhdxfile"):
		return image, "VHDX"
	case is("conectix"):
		return image, "VHD"
	case is("KDMV"), is("# Disk DescriptorFile"):
		return image, "VMDK"
	case is("EVF\x09\x0d\x0a\xff\x00"), is("LVF\x09\x0d\x0a\xff\x00"), is("EVF2\x0d\x0a\x81\x00"), is("LEF2\x0d\x0a\x81\x00"):
		return image, "EnCase"
	case is("ADSEGMENTEDFILE"):
		return image, "AD1"
	case bundle.Recognise(head):
		return sealed, ""
	case tarBlock(head):
		return tarFile, ""
	}
	return noArchive, ""
}

// openArchive opens the archive that a file is. Nil without an error means that
// it is none, or none that can be read; why is then told.
func (e *Evidence) openArchive(f *File) (*archive, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	ra, _ := r.(randomAccess)
	head, rest := peek(r, ra)
	k := e.kindOf(f, head, ra)
	if k == noArchive {
		return nil, r.Close()
	}
	account := f.account
	if account == nil {
		account = e.spending.of(f.Path, ra.Size(), e.limits) // what lies on disk is a randomAccess
	}
	account.reopen(f.Path)
	a := &archive{index: newIndex(e, f.Path, account), path: f.mount, nesting: f.nesting + 1, outer: r}
	a.format = a.read(k, f, rest, ra)
	account.opened(f.Path, a.taken)
	if _, single := a.format.(stream); !single && f.account == nil {
		e.spending.keep(f.Path, account)
	}
	a.finish()
	if a.format == nil {
		return nil, a.close()
	}
	return a, nil
}

// kindOf tells what archive a file is, and tells about one that is not to be opened.
func (e *Evidence) kindOf(f *File, head []byte, ra randomAccess) kind {
	k, name := sniff(head)
	if k == noArchive && strings.EqualFold(path.Ext(f.Path), ".zip") && ra != nil && zipBehindJunk(ra) {
		k = zipFile
	}
	if k == noArchive && len(head) > 0 && (strings.EqualFold(path.Ext(f.Path), ".vhd") || strings.EqualFold(path.Ext(f.Path), ".aff4")) {
		k, name = image, strings.ToUpper(path.Ext(f.Path)[1:]) // said at its end, or by no bytes of its own
	}
	if strings.EqualFold(path.Ext(f.Path), partExt) {
		switch {
		case k == noArchive:
			return noArchive // a log that is numbered
		case (k == zipFile || k == sevenZip) && !wholeArchive(k, head, ra):
			e.problem(f.Path, postern.Unsupported, postern.Say("source.part")) // what is in it is hunted all the same
		}
	}
	switch {
	case k == noArchive:
		// An empty file holds nothing back, and a file that the user named need not
		// be an archive.
		if len(head) > 0 && namedArchive(f.Path) && !strings.EqualFold(path.Ext(f.Path), bundleExt) {
			e.problem(f.Path, postern.Malformed, postern.Say("source.not-archive"))
		}
	case k == image:
		e.problem(f.Path, postern.Unsupported, postern.Say("source.disk-image", "format", name))
		return noArchive
	case k == foreign:
		e.problem(f.Path, postern.Unsupported, postern.Say("source.foreign-archive", "format", name))
		return noArchive
	case f.nesting >= e.limits.Nesting:
		e.problem(f.Path, postern.Limit, postern.Say("source.nesting", "limit", e.limits.Nesting))
		return noArchive
	}
	return k
}

// wholeArchive says whether the end of an archive is in its file, as it is where all of it
// went into the first part.
func wholeArchive(k kind, head []byte, ra randomAccess) bool {
	if ra == nil {
		return false
	}
	if k == zipFile {
		end, ok := findZipEnd(ra)
		return ok && !end.split
	}
	if len(head) < 32 {
		return false
	}
	behind, length := binary.LittleEndian.Uint64(head[12:]), binary.LittleEndian.Uint64(head[20:])
	return behind < 1<<62 && length < 1<<62 && 32+behind+length <= uint64(ra.Size())
}

// read lists the members and gives what reads them, nil if nothing can be. rest
// is the file from its first byte on; ra is nil unless it lies as it is.
func (a *archive) read(k kind, f *File, rest io.Reader, ra randomAccess) format {
	switch k {
	case gzipStream, zstdStream, bzip2Stream:
		inner, err := a.e.unpack(k, rest)
		if err != nil {
			a.e.problem(f.Path, postern.Malformed, postern.Say("source.archive-damaged", "error", reason(err)))
			return nil
		}
		defer inner.Close()
		block := readHead(inner)
		if tarBlock(block) {
			a.spool = &spool{e: a.e}
			a.taken += a.spool.fill(a.e.ctx, io.MultiReader(bytes.NewReader(block), inner), a.account, f.Path)
			return readTar(a.index, a.spool)
		}
		m := member{size: unknownSize}
		m.setTime(f.ModTime)
		a.add(streamName(f.Path), m, 0)
		return stream{e: a.e, k: k, outer: f}
	}
	if ra == nil {
		a.spool = &spool{e: a.e}
		a.spool.fill(a.e.ctx, rest, nil, f.Path) // paid for as a member of the archive around it
		ra = a.spool
	}
	switch k {
	case zipFile:
		return readZip(a.index, ra)
	case sevenZip:
		return readSevenZip(a.index, ra)
	case sealed:
		return readBundle(a.index, ra)
	default:
		return readTar(a.index, ra)
	}
}

// peek reads the first bytes and gives a reader from the first byte on.
func peek(r io.Reader, ra randomAccess) ([]byte, io.Reader) {
	if ra != nil {
		head := make([]byte, sniffLength)
		n, _ := ra.ReadAt(head, 0)
		return head[:n], bufio.NewReaderSize(r, 64<<10)
	}
	head := readHead(r)
	return head, bufio.NewReaderSize(io.MultiReader(bytes.NewReader(head), r), 64<<10)
}

// readHead reads what tells the kind of an archive.
func readHead(r io.Reader) []byte {
	head := make([]byte, sniffLength)
	n, _ := io.ReadFull(guarded{r}, head)
	return head[:n]
}

// mountName is the name of the folder of an archive's members: the file's with a
// "!", with more of them where something has that name already.
func mountName(name string, taken func(string) bool) string {
	for name += "!"; taken(name); {
		name += "!"
	}
	return name
}
