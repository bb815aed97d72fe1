package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/bodgit/sevenzip"

	"postern"
)

// The 7z reader is the library's. What stands before it is ours: the library
// allocates what a directory asks for, and 100 hostile bytes can ask for all the
// memory there is. So the directory is unpacked and measured first, and the
// library then reads exactly the bytes that were measured.
//
// Members lie one behind another in packed blocks, and to read one is to unpack
// all before it. A block with several members is therefore unpacked once, in
// order, into the spool when the first of them is read.

const (
	sevenMagic     = "7z\xbc\xaf\x27\x1c"
	sevenStartLen  = 32 // signature and start header
	sevenPlain     = 0x01
	sevenEncoded   = 0x17
	sevenMaxLayers = 4 // of encoding around the directory; programs make one
)

// sevenArchive reads the members of a 7z file.
type sevenArchive struct {
	e        *Evidence
	outer    string
	password string
	files    []*sevenzip.File
	blocks   []sevenBlock

	keys sync.Mutex // see prime

	mu    sync.Mutex
	spool *spool
}

// sevenBlock is one packed block.
type sevenBlock struct {
	sevenFolder
	parts  []sevenPart
	closed bool // the allowance ended within it

	once  sync.Once
	spans map[int]span // where each member lies in the spool
}

// sevenPart is one member of a block, and how much of it is paid for.
type sevenPart struct {
	no    int
	grant int64
}

type span struct{ from, length int64 }

// readSevenZip lists the members of a 7z file.
func readSevenZip(x *index, ra randomAccess) format {
	r, password, folders, err := openSeven(x.e, ra)
	if errors.Is(err, errSevenEmpty) {
		return nil
	}
	if err != nil {
		x.sevenProblem(err)
		return nil
	}
	a := &sevenArchive{e: x.e, outer: x.outer, password: password, files: r.File, blocks: make([]sevenBlock, len(folders)), spool: &spool{e: x.e}}
	for i, f := range folders {
		a.blocks[i].sevenFolder = f
	}
	a.list(x)
	return a
}

// sevenProblem tells why an archive cannot be opened.
func (x *index) sevenProblem(err error) {
	var known *refusal
	switch {
	case errors.As(err, &known):
		x.e.problem(x.outer, known.what, known.detail)
	case errors.Is(err, io.ErrUnexpectedEOF):
		// The directory is the last thing in the file.
		x.e.problem(x.outer, postern.Truncated, postern.Say("source.7z-truncated"))
	default:
		x.e.problem(x.outer, postern.Malformed, postern.Say("source.archive-damaged", "error", reason(err)))
	}
}

// list puts the members into the index.
func (a *sevenArchive) list(x *index) {
	refused := make(map[string]error) // one problem for all blocks with one cause
	for no, f := range a.files {
		var block *sevenBlock
		if f.UncompressedSize > 0 {
			if f.Stream >= len(a.blocks) || f.UncompressedSize > 1<<62 {
				x.e.problem(x.outer, postern.Malformed, postern.Say("source.member-header", "name", printable(f.Name)))
				continue
			}
			block = &a.blocks[f.Stream]
		}
		mode := f.Mode()
		size := int64(f.UncompressedSize)
		switch {
		case block != nil && block.err != nil:
			refused[block.err.Error()] = block.err
			continue
		case block != nil && block.closed:
			x.unpaid++
			continue
		case mode.IsDir() && block == nil:
			if !x.addFolder(f.Name) {
				return
			}
			continue
		case mode&fs.ModeSymlink != 0:
			x.e.problem(x.outer, postern.Unsupported, postern.Say("source.member-link", "name", printable(f.Name)))
			block.pay(no, x.pay(size), size)
			continue
		case mode.Type()&^fs.ModeDir != 0:
			x.e.problem(x.outer, postern.Unsupported, postern.Say("source.member-special", "name", printable(f.Name)))
			block.pay(no, x.pay(size), size)
			continue
		}
		m := member{size: size, offset: int64(no), crc: f.CRC32, flags: paidFirst}
		if f.CRC32 != 0 {
			m.flags |= hasCRC
		}
		m.setTime(f.Modified)
		before := x.taken
		if !x.add(f.Name, m, size) {
			return
		}
		block.pay(no, x.taken-before, size)
	}
	for _, err := range refused {
		x.sevenProblem(err)
	}
}

// pay notes how much of a member the allowance pays for. What lies behind one
// that is not paid for whole cannot be reached.
func (b *sevenBlock) pay(no int, grant, size int64) {
	if b == nil {
		return
	}
	if grant > 0 {
		b.parts = append(b.parts, sevenPart{no, grant})
	}
	b.closed = grant < size
}

func (a *sevenArchive) read(m *member) (io.ReadCloser, error) {
	no := int(m.offset)
	f := a.files[no]
	if m.size == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	b := &a.blocks[f.Stream]
	if len(b.parts) == 1 {
		return a.open(no, b)
	}
	b.once.Do(func() { a.unpack(b) })
	s, ok := b.spans[no]
	if !ok { // its block ended before it
		return nil, io.ErrUnexpectedEOF
	}
	return sectionReader{io.NewSectionReader(a.spool, s.from, s.length)}, nil
}

// unpack puts a block into the spool. Blocks wait for one another: there is one spool.
func (a *sevenArchive) unpack(b *sevenBlock) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b.spans = make(map[int]span, len(b.parts))
	for _, part := range b.parts {
		r, err := a.open(part.no, b)
		if err != nil {
			a.e.broken(a.outer, a.spool.Size(), err)
			return
		}
		from := a.spool.Size()
		a.spool.fill(a.e.ctx, io.LimitReader(r, part.grant), nil, a.outer)
		_ = guardClose(r)
		length := a.spool.Size() - from
		b.spans[part.no] = span{from, length}
		if length < part.grant {
			return // told by fill; the rest of the block cannot be reached
		}
	}
}

// open opens a member of a block.
func (a *sevenArchive) open(no int, b *sevenBlock) (io.ReadCloser, error) {
	if b.encrypted {
		a.keys.Lock()
		defer a.keys.Unlock()
		prime(a.password, b.aes)
	}
	return openSevenFile(a.files[no])
}

// prime lets the library derive a key from a password. When it derives one, its
// version 1.6.5 writes the password over the initial vector of the block that
// asked, which then cannot be opened a second time; when it has the key already,
// it does not. So an empty archive with the same cipher asks first.
func prime(password string, aes []byte) {
	header := []byte{sevenPlain, 0x04, 0x06, 0, 1, 0x09, 16, 0, 0x07, 0x0b, 1, 0, 1, 0x24, 0x06, 0xf1, 0x07, 0x01}
	header = append(header, sevenSize(len(aes))...)
	header = append(header, aes...)
	header = append(header, 0x0c, 16, 0, 0, 0x05, 1, 0x11, 5, 0, 'h', 0, 0, 0, 0, 0)
	packed := sectionReader{io.NewSectionReader(bytes.NewReader(append([]byte(sevenMagic), make([]byte, sevenStartLen+16)...)), 0, sevenStartLen+16)}
	r, err := openSevenWith(packed, sevenDirectory{bytes: header}, password)
	if err != nil || len(r.File) == 0 {
		return
	}
	if f, err := openSevenFile(r.File[0]); err == nil {
		_ = guardClose(f)
	}
}

// sevenSize writes a number below 2^14 as 7z does.
func sevenSize(n int) []byte {
	if n < 1<<7 {
		return []byte{byte(n)}
	}
	return []byte{0x80 | byte(n>>8), byte(n)}
}

func (a *sevenArchive) Close() error { return a.spool.Close() }

// openSevenFile opens a member without the panics of hostile input.
func openSevenFile(f *sevenzip.File) (rc io.ReadCloser, err error) {
	defer func() {
		if p := recover(); p != nil {
			rc, err = nil, fmt.Errorf("decoder: %v", p)
		}
	}()
	rc, err = f.Open()
	return rc, sevenError(err)
}

// sevenError takes the words of the library off an error.
func sevenError(err error) error {
	if e := (*sevenzip.ReadError)(nil); errors.As(err, &e) && e.Encrypted {
		return &refusal{postern.Unreadable, postern.Say("source.wrong-password", "count", 1)}
	}
	return err
}

// openSeven measures the directory and opens the archive with the first password
// that fits.
func openSeven(e *Evidence, ra randomAccess) (*sevenzip.Reader, string, []sevenFolder, error) {
	header, err := sevenHeader(ra, e.limits)
	if err != nil {
		return nil, "", nil, err
	}
	passwords := append([]string{""}, e.passwords...)
	for layers := 0; len(header) > 0 && header[0] == sevenEncoded; layers++ {
		if layers == sevenMaxLayers {
			return nil, "", nil, errSevenHeader
		}
		if header, passwords, err = e.decodeSeven(ra, header, passwords); err != nil {
			return nil, "", nil, err
		}
	}
	dir, err := measureSeven(header, e.limits)
	if err != nil {
		return nil, "", nil, err
	}
	folders := dir.folders
	r, err := openSevenWith(ra, dir, passwords[0])
	if err != nil {
		return nil, "", nil, err
	}
	probe := firstEncrypted(r, folders)
	if probe < 0 {
		return r, "", folders, nil
	}
	for _, p := range passwords {
		if p == "" {
			continue
		}
		with, err := openSevenWith(ra, dir, p)
		if err != nil {
			return nil, "", nil, err
		}
		prime(p, folders[r.File[probe].Stream].aes)
		if sevenFits(with.File[probe]) {
			return with, p, folders, nil
		}
	}
	lock(folders, r, len(e.passwords) > 0)
	return r, "", folders, nil
}

// firstEncrypted gives the first member of an encrypted block, -1 if no block is.
func firstEncrypted(r *sevenzip.Reader, folders []sevenFolder) int {
	for no, f := range r.File {
		if f.UncompressedSize == 0 || f.Stream >= len(folders) || !folders[f.Stream].encrypted || folders[f.Stream].err != nil {
			continue
		}
		return no
	}
	return -1
}

// lock marks the encrypted blocks as unreadable.
func lock(folders []sevenFolder, r *sevenzip.Reader, tried bool) {
	count := 0
	for _, f := range r.File {
		if f.UncompressedSize > 0 && f.Stream < len(folders) && folders[f.Stream].encrypted {
			count++
		}
	}
	detail := postern.Say("source.encrypted", "count", count)
	if tried {
		detail = postern.Say("source.wrong-password", "count", count)
	}
	for i := range folders {
		if folders[i].encrypted && folders[i].err == nil {
			folders[i].err = &refusal{postern.Unreadable, detail}
		}
	}
}

// sevenTrial is how much of a member is unpacked to know that a password is right.
const sevenTrial = 1 << 20

func sevenFits(f *sevenzip.File) bool {
	r, err := openSevenFile(f)
	if err != nil {
		return false
	}
	defer func() { _ = guardClose(r) }()
	h := crc32.NewIEEE()
	n, err := io.CopyN(h, guarded{r}, sevenTrial)
	switch {
	case err == nil:
		return true
	case err != io.EOF || uint64(n) != f.UncompressedSize:
		return false
	}
	return f.CRC32 == 0 || h.Sum32() == f.CRC32
}

// sevenHeader reads the directory as it lies in the file.
func sevenHeader(ra randomAccess, l Limits) ([]byte, error) {
	var b [sevenStartLen]byte
	if !readAt(ra, b[:], 0) {
		return nil, io.ErrUnexpectedEOF
	}
	le := binary.LittleEndian
	if crc32.ChecksumIEEE(b[12:]) != le.Uint32(b[8:]) {
		return nil, errSevenHeader
	}
	offset, size := le.Uint64(b[12:]), le.Uint64(b[20:])
	switch {
	case size == 0:
		return nil, errSevenEmpty
	case offset > uint64(ra.Size()) || size > uint64(ra.Size()) || sevenStartLen+offset+size > uint64(ra.Size()):
		return nil, io.ErrUnexpectedEOF
	case size > uint64(l.Header):
		return nil, &refusal{postern.Limit, postern.Say("source.7z-header", "limit", l.Header)}
	}
	header := make([]byte, size)
	if !readAt(ra, header, int64(sevenStartLen+offset)) {
		return nil, io.ErrUnexpectedEOF
	}
	if crc32.ChecksumIEEE(header) != le.Uint32(b[28:]) {
		return nil, errSevenHeader
	}
	return header, nil
}

var (
	errSevenHeader = errors.New("the directory is damaged")
	errSevenEmpty  = errors.New("the archive has no members")
)

// decodeSeven unpacks a packed directory. It lets the library read the archive
// with a directory in which the packed one is the only member; the description of
// its block stands in the packed directory's header as it would there. The
// answer has the passwords that are left to try: the right one alone if the
// directory is encrypted.
func (e *Evidence) decodeSeven(ra randomAccess, header []byte, passwords []string) ([]byte, []string, error) {
	folders, unpacked, err := measureEncoded(header, e.limits)
	if err != nil {
		return nil, nil, err
	}
	if folders[0].err != nil {
		return nil, nil, folders[0].err
	}
	plain := []byte{sevenPlain, 0x04}
	plain = append(plain, header[1:]...)
	plain = append(plain, 0x05, 1, 0x11, 5, 0, 'h', 0, 0, 0, 0, 0) // one file named h
	for _, p := range passwords {
		if folders[0].encrypted == (p == "") {
			continue
		}
		r, err := openSevenWith(ra, sevenDirectory{bytes: plain}, p)
		if err != nil || len(r.File) != 1 {
			return nil, nil, errSevenHeader
		}
		f := r.File[0]
		if f.UncompressedSize != unpacked {
			return nil, nil, errSevenHeader
		}
		inner, err := readSevenHeader(f, unpacked)
		if err == nil {
			if folders[0].encrypted {
				passwords = []string{p}
			}
			return inner, passwords, nil
		}
		if !folders[0].encrypted {
			return nil, nil, err
		}
	}
	if len(e.passwords) == 0 {
		return nil, nil, &refusal{postern.Unreadable, postern.Say("source.encrypted-names")}
	}
	return nil, nil, &refusal{postern.Unreadable, postern.Say("source.wrong-password-names")}
}

func readSevenHeader(f *sevenzip.File, size uint64) ([]byte, error) {
	r, err := openSevenFile(f)
	if err != nil {
		return nil, err
	}
	defer func() { _ = guardClose(r) }()
	var b bytes.Buffer
	if _, err := io.CopyN(&b, guarded{r}, int64(size)); err != nil {
		return nil, errSevenHeader
	}
	if f.CRC32 != 0 && crc32.ChecksumIEEE(b.Bytes()) != f.CRC32 {
		return nil, errSevenHeader
	}
	return b.Bytes(), nil
}

// openSevenWith opens an archive with another directory than its own.
func openSevenWith(ra randomAccess, dir sevenDirectory, password string) (r *sevenzip.Reader, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("7z: %v", p)
		}
	}()
	o := overlay{ra: ra, dir: dir}
	le := binary.LittleEndian
	if _, err := ra.ReadAt(o.start[:8], 0); err != nil { // signature and version
		return nil, err
	}
	le.PutUint64(o.start[12:], uint64(ra.Size()-sevenStartLen))
	le.PutUint64(o.start[20:], uint64(len(dir.bytes)))
	le.PutUint32(o.start[28:], crc32.ChecksumIEEE(dir.bytes))
	le.PutUint32(o.start[8:], crc32.ChecksumIEEE(o.start[12:]))
	return sevenzip.NewReaderWithPassword(&o, ra.Size()+int64(len(dir.bytes)), password)
}

// overlay is an archive with another start and a directory behind its end.
//
// The library takes a coder whose description does not lie whole in one buffer
// for damaged, so a read of the directory ends where a coder begins.
type overlay struct {
	start [sevenStartLen]byte
	ra    randomAccess
	dir   sevenDirectory
}

// sevenBuffer is how much the library reads at once.
const sevenBuffer = 4096

func (o *overlay) ReadAt(b []byte, off int64) (int, error) {
	size := o.ra.Size()
	n := 0
	for n < len(b) {
		at := off + int64(n)
		switch {
		case at < 0 || at >= size+int64(len(o.dir.bytes)):
			return n, io.EOF
		case at < sevenStartLen:
			n += copy(b[n:], o.start[at:])
		case at < size:
			m, err := o.ra.ReadAt(b[n:min(int64(len(b)), int64(n)+size-at)], at)
			if m == 0 && err != nil {
				return n, err
			}
			n += m
		case n > 0: // the directory begins a buffer of its own
			return n, nil
		default:
			from := int(at - size)
			return n + copy(b[n:], o.dir.bytes[from:o.dir.stop(from)]), nil
		}
	}
	return n, nil
}

// stop says where a read of the directory ends: where the last coder begins that
// the buffer reaches, or at the end of the buffer if there is none.
func (d *sevenDirectory) stop(from int) int {
	i, _ := slices.BinarySearch(d.coders, from+sevenBuffer+1)
	if i > 0 && d.coders[i-1] > from {
		return d.coders[i-1]
	}
	return min(from+sevenBuffer, len(d.bytes))
}
