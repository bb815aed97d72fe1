package source

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"postern"
)

// File is one regular file of the evidence.
type File struct {
	// Path is the place in the evidence: valid for [fs.ValidPath], the members of
	// an archive as outer.zip!/inner/path.
	Path string
	// Size is what the folder or the archive says; -1 where only reading tells, as
	// with the content of a .gz. What Open gives may be longer or shorter.
	Size    int64
	ModTime time.Time // zero if unknown
	// LocalTime says that ModTime is in the unknown time zone of whoever packed
	// the archive, shown as if it were UTC: zip files have no better time unless
	// their program wrote one.
	LocalTime bool
	// Archive says that the file was opened as an archive, and that its members
	// are visited after it.
	Archive bool

	mount   string     // where its members lie if it is an archive; "" if it is not to be tried
	nesting int        // how many archives it lies in
	account *allowance // of the archive on disk that it lies in; nil on disk
	open    func() (io.ReadCloser, error)
	in      *folder // instead of open: the folder on disk that it lies in
}

// folder is a folder on disk as the files in it share it: a server has tens of
// thousands of logs, and what each keeps in memory counts.
type folder struct {
	e    *Evidence
	dir  *diskFolder
	real string // "" or with a slash at its end
}

// Open gives a fresh reader from the first byte; the caller closes it. Any number
// may be open at once.
//
// An error, and whatever goes wrong while reading, has been told to
// [Options.Problem] already: the reader then just ends with io.EOF, so that every
// parser takes what there is. Its method Err() error says after the end why the
// file was not read whole, nil if it was. The reader of a file that lies unpacked
// on disk or in memory is also an io.ReaderAt with a method Size() int64.
func (f *File) Open() (io.ReadCloser, error) {
	if f.in != nil {
		name := f.Path[strings.LastIndexByte(f.Path, '/')+1:]
		return f.in.e.openOnDisk(f.in.dir, name, f.in.real+name, f.Path)
	}
	return f.open()
}

// randomAccess is a reader at any offset of something of known size.
type randomAccess interface {
	io.ReaderAt
	Size() int64
}

// openFlags keep a pipe that took the place of a file from blocking us.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// openOnDisk opens a file of a folder. The folder may have been closed since it
// was walked; then the way leads from the root again.
func (e *Evidence) openOnDisk(dir *diskFolder, name, real, path string) (io.ReadCloser, error) {
	f, info, err := dir.openFile(name)
	if errors.Is(err, os.ErrClosed) {
		f, info, err = e.reopen(real)
	}
	return e.plain(f, info, path, err)
}

// reopen opens a file whose folder was closed. Logs are read folder by folder, so
// the last folder is kept open: a way of ten folders from the root costs more
// than reading a small log.
func (e *Evidence) reopen(real string) (diskFile, diskInfo, error) {
	dir, name := filepath.Split(filepath.FromSlash(real))
	dir = filepath.Clean(dir)
	e.last.Lock()
	defer e.last.Unlock()
	if e.last.folder == nil || e.last.dir != dir {
		sub, err := openFolder(e.root, dir)
		if err != nil {
			return nil, diskInfo{}, err
		}
		if e.last.folder != nil {
			e.last.folder.Close()
		}
		e.last.folder, e.last.dir = sub, dir
	}
	return e.last.folder.openFile(name)
}

// openBelow opens a file by its path below the root.
func (e *Evidence) openBelow(real, path string) (io.ReadCloser, error) {
	f, info, err := withInfo(e.root.OpenFile(filepath.FromSlash(real), openFlags, 0))
	return e.plain(f, info, path, err)
}

// openSingle opens the one file of an evidence that is not a folder.
func (e *Evidence) openSingle() (io.ReadCloser, error) {
	f, info, err := withInfo(os.OpenFile(e.path, openFlags, 0))
	return e.plain(f, info, shown(e.name), err)
}

// plain makes the reader of a file on disk and tells why there is none.
func (e *Evidence) plain(f diskFile, info diskInfo, path string, err error) (io.ReadCloser, error) {
	if err != nil {
		e.failure(path, err)
		return nil, fmt.Errorf("open %s: %w: %w", path, errTold, err)
	}
	if !info.mode.IsRegular() {
		f.Close()
		e.special(path, info.mode)
		return nil, fmt.Errorf("open %s: %w: not a regular file any more", path, errTold)
	}
	return &plainFile{f: f, e: e, path: path, size: info.size}, nil
}

// special tells about something that is neither file, folder nor link. Opening
// one can block for ever or do things.
func (e *Evidence) special(path string, mode fs.FileMode) {
	detail := postern.Say("source.special")
	switch {
	case mode&fs.ModeDevice != 0:
		detail = postern.Say("source.device")
	case mode&fs.ModeNamedPipe != 0:
		detail = postern.Say("source.pipe")
	case mode&fs.ModeSocket != 0:
		detail = postern.Say("source.socket")
	}
	e.problem(path, postern.Unsupported, detail)
}

// plainFile reads a file on disk up to the size that it had when it was opened:
// the end of a log that is being written never comes.
type plainFile struct {
	f    diskFile
	e    *Evidence
	path string
	size int64
	read int64
	done bool
	err  error
}

func (p *plainFile) Read(b []byte) (int, error) {
	if p.done {
		return 0, io.EOF
	}
	if len(b) == 0 {
		return 0, nil
	}
	left := p.size - p.read
	// One byte is asked for behind the end: it tells whether the file has grown, as it
	// would tell any other reader that it has ended.
	last := int64(len(b)) > left
	if last {
		b = b[:left+1]
	}
	n, err := p.f.Read(b)
	grew := int64(n) > left
	n = int(min(int64(n), left))
	p.read += int64(n)
	switch {
	case grew:
		p.end(postern.Truncated, postern.Say("source.grew", "size", p.size))
	case err == io.EOF && p.read == p.size:
		p.done = true
	case err == io.EOF:
		p.end(postern.Truncated, postern.Say("source.shrank", "size", p.size, "read", p.read))
	case err != nil:
		p.end(postern.Unreadable, postern.Say("source.read-error", "read", p.read, "error", reason(err)))
	default:
		p.done = last && p.read == p.size // less than was asked for is all there is
		return n, nil
	}
	return n, io.EOF
}

func (p *plainFile) end(what postern.ProblemKind, detail postern.Text) {
	p.done = true
	p.err = fmt.Errorf("%s: %w: %s", p.path, errTold, detail.Key)
	p.e.problem(p.path, what, detail)
}

// ReadAt reads below the size at the time of opening.
func (p *plainFile) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= p.size {
		return 0, io.EOF
	}
	short := int64(len(b)) > p.size-off
	if short {
		b = b[:p.size-off]
	}
	n, err := p.f.ReadAt(b, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

func (p *plainFile) Size() int64  { return p.size }
func (p *plainFile) Err() error   { return p.err }
func (p *plainFile) Close() error { return p.f.Close() }

// spendAtOnce is how much a reader takes from the allowance when an archive did
// not say, or not truly, how long its member is.
const spendAtOnce = 256 << 10

// memberReader reads a member of an archive within its allowance, and compares
// what comes with what the archive promised.
type memberReader struct {
	e       *Evidence
	account *allowance
	path    string
	of      memberOf
	m       member
	r       io.ReadCloser
	release func()

	read  int64
	grant int64
	crc   uint32
	done  bool
	err   error
}

func (r *memberReader) Read(b []byte) (int, error) {
	if r.done {
		return 0, io.EOF
	}
	if len(b) == 0 {
		return 0, nil
	}
	if r.read == r.grant && r.m.flags&free == 0 {
		r.grant += r.account.take(spendAtOnce)
	}
	left := r.grant - r.read
	last := left <= 0 // nothing is left: one byte tells whether the member goes on
	if int64(len(b)) > left {
		b = b[:max(left, 1)]
	}
	n, err := guardRead(r.r, b)
	if n > 0 && last {
		r.fail(&refusal{postern.Limit, postern.Say("source.member-allowance", "read", r.read)})
		return 0, io.EOF
	}
	r.read += int64(n)
	if r.m.flags&hasCRC != 0 {
		r.crc = crc32.Update(r.crc, crc32.IEEETable, b[:n])
	}
	if err == nil {
		return n, nil
	}
	r.ended(err)
	return n, io.EOF
}

// ended says what the end of the packed stream means.
func (r *memberReader) ended(err error) {
	r.done = true
	r.settle()
	if r.read < r.m.grant && r.m.flags&free == 0 {
		r.account.shorter(r.of, r.m.grant, r.read)
		r.m.grant, r.grant = r.read, r.read
	}
	known := r.m.size != unknownSize
	switch {
	case err != io.EOF:
		r.fail(err)
	case known && r.read > r.m.size:
		// The whole of it was read, so this is no loss; but who packs like that?
		r.e.problem(r.path, postern.Malformed, postern.Say("source.member-longer", "size", r.m.size, "read", r.read))
	case known && r.read < r.m.size:
		r.fail(io.ErrUnexpectedEOF)
	case r.m.flags&hasCRC != 0 && r.crc != r.m.crc:
		r.fail(&refusal{postern.Malformed, postern.Say("source.member-checksum")})
	}
}

func (r *memberReader) fail(err error) {
	r.done = true
	r.err = fmt.Errorf("%s: %w: %w", r.path, errTold, err)
	r.e.broken(r.path, r.read, err)
}

func (r *memberReader) Err() error { return r.err }

// settle gives back what was taken while reading and not used. That does not wait for
// Close: the reader of an archive inside an archive stays open with it.
func (r *memberReader) settle() {
	if r.grant > r.m.grant && r.m.flags&free == 0 {
		r.account.settle(r.of, r.m.grant, r.grant, r.read)
		r.m.grant = max(r.read, r.m.grant)
		r.grant = r.m.grant
	}
}

func (r *memberReader) Close() error {
	if r.release == nil {
		return nil
	}
	r.settle()
	err := guardClose(r.r)
	r.release()
	r.release = nil
	r.done = true
	return err
}

// memberReaderAt is a memberReader whose bytes lie somewhere as they are.
type memberReaderAt struct {
	memberReader
	randomAccess
}

// guardClose is guardRead for the end.
func guardClose(c io.Closer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoder: %v", p)
		}
	}()
	return c.Close()
}

// guardRead keeps a decoder that panics on hostile input from ending the hunt.
// The decoders of the libraries are fuzzed, but not by us.
func guardRead(r io.Reader, b []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			n, err = 0, fmt.Errorf("decoder: %v", p)
		}
	}()
	n, err = r.Read(b)
	if n < 0 || n > len(b) {
		return 0, fmt.Errorf("decoder: read %d of %d bytes", n, len(b))
	}
	return n, err
}
