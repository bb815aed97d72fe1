package source

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
	"golang.org/x/text/encoding/charmap"

	"postern"
)

// The zip reader is ours because evidence arrives cut off, lying and encrypted:
// archive/zip gives nothing without the directory at the end of the file and
// keeps no bound on it, and the library that decrypts holds whole members in
// memory. Numbers are those of APPNOTE.TXT.

// Signatures of the records.
const (
	zipLocal      = 0x04034b50
	zipCentral    = 0x02014b50
	zipEnd        = 0x06054b50
	zipDescriptor = 0x08074b50
	zip64End      = 0x06064b50
	zip64Locator  = 0x07064b50
)

// Lengths of the fixed parts of the records.
const (
	zipLocalLen     = 30
	zipCentralLen   = 46
	zipEndLen       = 22
	zip64EndLen     = 56
	zip64LocatorLen = 20
	zipMaxComment   = 1<<16 - 1
)

// Methods that are read.
const (
	zipStored  = 0
	zipDeflate = 8
	zipBzip2   = 12
	zipZstd    = 93
	zipAES     = 99 // the true method stands in an extra field
)

// zipArchive reads the members of a zip file.
type zipArchive struct {
	e    *Evidence
	ra   randomAccess
	keys zipKeys
}

// readZip lists the members by the directory at the end, or by the members' own
// headers where there is none.
func readZip(x *index, ra randomAccess) format {
	z := &zipArchive{e: x.e, ra: ra, keys: zipKeys{passwords: x.e.passwords}}
	list := zipLister{x: x, z: z}
	end, found := findZipEnd(ra)
	switch {
	case found && end.split:
		x.e.problem(x.outer, postern.Unsupported, postern.Say("source.zip-split"))
		return nil
	case found:
		whole := list.directory(end)
		if list.seen == 0 && end.count > 0 {
			list.all()
		} else {
			list.unlisted(end, whole)
		}
	default:
		list.all()
	}
	list.finish()
	return z
}

// zipDirEnd is the end record: where the directory is.
type zipDirEnd struct {
	from, to int64 // of the directory
	behind   int64 // where the record and its comment end
	base     int64 // what stands before the archive in the file
	count    uint64
	split    bool
}

// zipBehindJunk says whether a file that does not begin like a zip file ends like one.
func zipBehindJunk(ra randomAccess) bool {
	end, ok := findZipEnd(ra)
	return ok && end.count > 0
}

func findZipEnd(ra randomAccess) (zipDirEnd, bool) {
	size := ra.Size()
	tail := make([]byte, min(size, zipEndLen+zipMaxComment))
	if _, err := ra.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return zipDirEnd{}, false
	}
	magic := binary.LittleEndian.AppendUint32(nil, zipEnd)
	for at := bytes.LastIndex(tail, magic); at >= 0; at = bytes.LastIndex(tail[:at], magic) {
		if len(tail)-at < zipEndLen {
			continue
		}
		if end, ok := readZipEnd(ra, size-int64(len(tail)-at), tail[at:]); ok {
			return end, true
		}
	}
	return zipDirEnd{}, false
}

func readZipEnd(ra randomAccess, at int64, b []byte) (zipDirEnd, bool) {
	le := binary.LittleEndian
	if int(le.Uint16(b[20:])) > len(b)-zipEndLen {
		return zipDirEnd{}, false // the comment would not fit: these are other bytes
	}
	behind := at + zipEndLen + int64(le.Uint16(b[20:]))
	count, length, offset := uint64(le.Uint16(b[10:])), uint64(le.Uint32(b[12:])), uint64(le.Uint32(b[16:]))
	disk := uint32(le.Uint16(b[4:]))
	if count == 0xffff || length == 0xffffffff || offset == 0xffffffff {
		var loc [zip64LocatorLen]byte
		var end [zip64EndLen]byte
		if readAt(ra, loc[:], at-zip64LocatorLen) && le.Uint32(loc[:]) == zip64Locator {
			to := int64(le.Uint64(loc[8:]))
			if !readAt(ra, end[:], to) || le.Uint32(end[:]) != zip64End {
				to = at - zip64LocatorLen - zip64EndLen // there is something before the archive
			}
			if readAt(ra, end[:], to) && le.Uint32(end[:]) == zip64End {
				count, length, offset = le.Uint64(end[32:]), le.Uint64(end[40:]), le.Uint64(end[48:])
				disk, at = le.Uint32(end[16:]), to
			}
		}
	}
	if disk != 0 && disk != 0xffff {
		return zipDirEnd{split: true}, true
	}
	if length > uint64(at) {
		return zipDirEnd{}, false
	}
	end := zipDirEnd{from: at - int64(length), to: at, count: count, behind: behind}
	end.base = end.from - int64(min(offset, uint64(at)))
	// Something may stand before the archive, and offsets may count from it or from
	// the file's beginning. If the directory is not before its end but where the offset
	// says, they count from the beginning.
	if end.base != 0 && offset <= uint64(at) && (end.base < 0 || l32(ra, int64(offset)) == zipCentral && l32(ra, end.from) != zipCentral) {
		end.from, end.base = int64(offset), 0
	}
	return end, true
}

func readAt(ra io.ReaderAt, b []byte, at int64) bool {
	if at < 0 {
		return false
	}
	n, _ := ra.ReadAt(b, at)
	return n == len(b)
}

// zipLister puts what it finds into the index and counts what it leaves out.
type zipLister struct {
	x   *index
	z   *zipArchive
	buf []byte

	seen     int   // members and folders
	first    int64 // where the first member of the directory begins, or the directory
	last     int64 // where the last one ends at the earliest, 0 without any
	locked   int   // encrypted, and no password opens them
	oldNames int   // names in a code page that nobody says
}

// all lists by the members' own headers alone.
func (l *zipLister) all() {
	l.scan(0, l.z.ra.Size())
	l.x.e.problem(l.x.outer, postern.Truncated, postern.Say("source.zip-no-directory", "count", l.seen))
}

// unlisted lists what the directory leaves out before its first member, behind its last
// and behind its end, where somebody may have put one archive behind another, or a second end behind
// the first. What stands before a program that unpacks itself is no member.
func (l *zipLister) unlisted(end zipDirEnd, whole bool) {
	listed := l.seen
	if l.first > 0 && l32(l.z.ra, 0) == zipLocal {
		l.scan(0, l.first)
	}
	if at := l.next(l.last, -1); whole && l.last > 0 && at >= 0 && at < end.from && l32(l.z.ra, at) == zipLocal {
		l.scan(at, end.from)
	}
	if at := l.next(end.behind, -1); at >= 0 {
		l.scan(at, l.z.ra.Size())
	}
	if l.seen > listed {
		l.x.e.problem(l.x.outer, postern.Malformed, postern.Say("source.zip-unlisted", "count", l.seen-listed))
	}
}

// directory lists by the central directory. It is not whole if a bound stopped it.
func (l *zipLister) directory(end zipDirEnd) (whole bool) {
	l.first = end.from
	r := bufio.NewReaderSize(io.NewSectionReader(l.z.ra, end.from, end.to-end.from), 64<<10)
	var b [zipCentralLen]byte
	le := binary.LittleEndian
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil || le.Uint32(b[:]) != zipCentral {
			break
		}
		name, ok1 := readString(r, int(le.Uint16(b[28:])))
		extra, ok2 := readString(r, int(le.Uint16(b[30:])))
		if !ok1 || !ok2 {
			break
		}
		if n, _ := r.Discard(int(le.Uint16(b[32:]))); n < int(le.Uint16(b[32:])) {
			break
		}
		l.seen++
		h := zipHeader{
			flags: le.Uint16(b[8:]), method: le.Uint16(b[10:]), dos: le.Uint32(b[12:]), crc: le.Uint32(b[16:]),
			packed: uint64(le.Uint32(b[20:])), size: uint64(le.Uint32(b[24:])), offset: uint64(le.Uint32(b[42:])),
			name: name,
		}
		h.attributes(b[5], le.Uint32(b[38:]))
		h.extras(extra, true)
		h.offset += uint64(end.base)
		l.first = int64(min(h.offset, uint64(l.first)))
		if room := uint64(end.from); h.offset < room && h.packed < room-h.offset { // else it lies about its place
			l.last = max(l.last, int64(h.offset+h.packed)+zipLocalLen+int64(len(name)))
		}
		if !l.add(&h) {
			return false
		}
	}
	// The count of old archives is only kept in 16 bits.
	if uint64(l.seen) != end.count && uint16(l.seen) != uint16(end.count) {
		l.x.e.problem(l.x.outer, postern.Malformed, postern.Say("source.zip-directory", "count", l.seen, "said", end.count))
	}
	return true
}

func readString(r io.Reader, n int) (string, bool) {
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return string(b), err == nil
}

// scan lists the members that begin in a part of the file by the headers before each.
// A member whose length stands only behind it is found to end where something like the
// next header begins.
func (l *zipLister) scan(from, end int64) {
	size := l.z.ra.Size()
	le := binary.LittleEndian
	var b [zipLocalLen]byte
	for at := from; at >= 0 && at < end; {
		if !readAt(l.z.ra, b[:], at) || le.Uint32(b[:]) != zipLocal {
			at = l.next(at+1, -1)
			continue
		}
		nameLen, extraLen := int64(le.Uint16(b[26:])), int64(le.Uint16(b[28:]))
		rest := make([]byte, nameLen+extraLen)
		if !readAt(l.z.ra, rest, at+zipLocalLen) {
			break
		}
		h := zipHeader{
			flags: le.Uint16(b[6:]), method: le.Uint16(b[8:]), dos: le.Uint32(b[10:]), crc: le.Uint32(b[14:]),
			packed: uint64(le.Uint32(b[18:])), size: uint64(le.Uint32(b[22:])), offset: uint64(at),
			name: string(rest[:nameLen]),
		}
		h.extras(string(rest[nameLen:]), false)
		data := at + zipLocalLen + nameLen + extraLen
		known := h.flags&zipSizesBehind == 0 || h.packed != 0
		if known && h.packed <= uint64(size-data) {
			at = data + int64(h.packed)
		} else {
			at = l.next(data, data)
			to := at
			if to < 0 {
				to = size
			}
			h.packed = uint64(to - data)
			if !known && !h.descriptor(l.z.ra, data, to) {
				h.size, h.crc, h.noSize = 0, 0, true
			}
		}
		l.seen++
		if !l.add(&h) {
			break
		}
	}
}

// descriptor reads what stands at or before the end of a member that did not say
// its length before: checksum, packed and unpacked size, with or without a
// signature, in 32 or 64 bits. Only one that says the right packed size is one.
func (h *zipHeader) descriptor(ra io.ReaderAt, data, to int64) bool {
	le := binary.LittleEndian
	for _, d := range []struct{ at, length int64 }{{to + 4, 20}, {to + 4, 12}, {to - 20, 20}, {to - 12, 12}} {
		b := make([]byte, d.length)
		if d.at < data || !readAt(ra, b, d.at) {
			continue
		}
		crc, packed, size := le.Uint32(b), uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:]))
		if d.length == 20 {
			packed, size = le.Uint64(b[4:]), le.Uint64(b[12:])
		}
		if end := min(d.at, to); packed == uint64(end-data) && (d.at < to || l32(ra, to) == zipDescriptor) {
			h.crc, h.packed, h.size = crc, packed, size
			return true
		}
	}
	return false
}

func l32(ra io.ReaderAt, at int64) uint32 {
	var b [4]byte
	if !readAt(ra, b[:], at) {
		return 0
	}
	return binary.LittleEndian.Uint32(b[:])
}

// next finds the next header of a member, the directory, or the descriptor behind
// the member whose data begins at an offset; -1 if there is none.
func (l *zipLister) next(from, data int64) int64 {
	if l.buf == nil {
		l.buf = make([]byte, 64<<10)
	}
	size := l.z.ra.Size()
	magic := []byte("PK")
	// The next header is near in an archive of many small members.
	for length := 4 << 10; from < size; length = min(2*length, len(l.buf)) {
		n, _ := l.z.ra.ReadAt(l.buf[:length], from)
		for i := 0; ; {
			j := bytes.Index(l.buf[i:n], magic)
			if j < 0 {
				break
			}
			if at := from + int64(i+j); plausible(l.z.ra, at, data) {
				return at
			}
			i += j + 1
		}
		if n < len(magic) {
			break
		}
		from += int64(n - len(magic) + 1)
	}
	return -1
}

// plausible keeps bytes inside packed data from being taken for a header.
func plausible(ra io.ReaderAt, at, data int64) bool {
	le := binary.LittleEndian
	switch l32(ra, at) {
	case zipLocal:
		var b [zipLocalLen + 1]byte
		if !readAt(ra, b[:], at) {
			return false
		}
		version, method, nameLen := b[4], le.Uint16(b[8:]), le.Uint16(b[26:])
		return version <= 63 && method <= zipAES && 0 < nameLen && nameLen <= 4096 && b[zipLocalLen] >= ' '
	case zipCentral:
		var b [zipCentralLen]byte
		return readAt(ra, b[:], at) && b[6] <= 63 && le.Uint16(b[10:]) <= zipAES
	case zipDescriptor:
		return data >= 0 && uint32(at-data) == l32(ra, at+8)
	}
	return false
}

// Flag bits of a member.
const (
	zipEncrypted   = 1 << 0
	zipSizesBehind = 1 << 3
	zipStrong      = 1 << 6
	zipUTF8        = 1 << 11
	zipMasked      = 1 << 13
)

// zipHeader is what the directory or a local header says of a member.
type zipHeader struct {
	flags, method        uint16
	dos, crc             uint32
	packed, size, offset uint64
	name, unicodeName    string
	mode                 fs.FileMode
	folder               bool
	noSize               bool
	strength             byte // of WinZip's encryption, 1 to 3
	ae2                  bool
	time                 time.Time
}

// attributes reads what kind of file a member is.
func (h *zipHeader) attributes(creator byte, attr uint32) {
	const unix, darwin = 3, 19
	switch {
	case creator == unix || creator == darwin:
		h.mode = unixMode(attr >> 16)
		h.folder = h.mode.IsDir()
	case attr&0x10 != 0:
		h.folder = true
	}
}

// unixMode gives the type of a file by the mode bits of Unix.
func unixMode(m uint32) fs.FileMode {
	switch m & 0xf000 {
	case 0x4000:
		return fs.ModeDir
	case 0xa000:
		return fs.ModeSymlink
	case 0x2000, 0x6000:
		return fs.ModeDevice
	case 0x1000:
		return fs.ModeNamedPipe
	case 0xc000:
		return fs.ModeSocket
	}
	return 0
}

// extras reads the extra fields that matter. Broken ones are passed over: the
// member is still there.
func (h *zipHeader) extras(extra string, central bool) {
	le := binary.LittleEndian
	for b := []byte(extra); len(b) >= 4; {
		tag, n := le.Uint16(b), int(le.Uint16(b[2:]))
		if b = b[4:]; n > len(b) {
			return
		}
		f := b[:n]
		b = b[n:]
		switch tag {
		case 0x0001: // zip64: only those of the numbers that did not fit
			for _, field := range []*uint64{&h.size, &h.packed, &h.offset} {
				if *field == 0xffffffff && len(f) >= 8 && (central || field != &h.offset) {
					*field = le.Uint64(f)
					f = f[8:]
				}
			}
		case 0x000a: // NTFS times
			if len(f) >= 16 && le.Uint16(f[4:]) == 1 {
				h.time = filetime(le.Uint64(f[8:]))
			}
		case 0x5455: // Unix times
			if len(f) >= 5 && f[0]&1 != 0 && h.time.IsZero() {
				h.time = time.Unix(int64(int32(le.Uint32(f[1:]))), 0)
			}
		case 0x7075: // the name in UTF-8, if it belongs to the name in the header
			if len(f) > 5 && f[0] == 1 && le.Uint32(f[1:]) == crc32.ChecksumIEEE([]byte(h.name)) {
				h.unicodeName = string(f[5:])
			}
		case 0x9901: // WinZip's encryption
			if len(f) >= 7 && h.method == zipAES {
				h.ae2, h.strength, h.method = le.Uint16(f) == 2, f[4], le.Uint16(f[5:])
			}
		}
	}
}

// filetime gives the time of 100 ns ticks since 1601.
func filetime(ticks uint64) time.Time {
	const to1970 = 116_444_736_000_000_000
	if ticks <= to1970 || ticks > to1970+9e18/100 {
		return time.Time{}
	}
	return time.Unix(0, int64(ticks-to1970)*100)
}

// dosTime gives the time of the fields of MS-DOS, whose zone nobody knows.
func dosTime(date, clock uint16) time.Time {
	if date == 0 {
		return time.Time{}
	}
	return time.Date(int(date>>9)+1980, time.Month(date>>5&15), int(date&31),
		int(clock>>11), int(clock>>5&63), int(clock&31)*2, 0, time.UTC)
}

// add puts a member into the index. It answers false when there may be no more.
func (l *zipLister) add(h *zipHeader) bool {
	x := l.x
	name := l.decode(h)
	isFolder := h.folder || strings.HasSuffix(name, "/") || strings.HasSuffix(name, `\`)
	if isFolder && h.size == 0 && !h.noSize {
		return x.addFolder(name)
	}
	if isFolder { // a folder with content is a file that wants not to be read
		x.e.problem(x.outer, postern.Malformed, postern.Say("source.folder-content", "name", printable(name)))
	}
	switch {
	case h.mode&fs.ModeSymlink != 0:
		x.e.problem(x.outer, postern.Unsupported, postern.Say("source.member-link", "name", printable(name)))
		return true
	case h.mode&^fs.ModeDir != 0:
		x.e.problem(x.outer, postern.Unsupported, postern.Say("source.member-special", "name", printable(name)))
		return true
	}
	if h.packed > 1<<62 || h.size > 1<<62 || h.offset > 1<<62 {
		x.e.problem(x.outer, postern.Malformed, postern.Say("source.member-header", "name", printable(name)))
		return true
	}
	m := member{
		size: int64(h.size), packed: int64(h.packed), offset: int64(h.offset),
		crc: h.crc, method: h.method, flags: hasCRC,
	}
	m.setTime(h.time)
	if h.time.IsZero() {
		if m.setTime(dosTime(uint16(h.dos>>16), uint16(h.dos))); m.modified != 0 {
			m.flags |= localTime
		}
	}
	if h.noSize {
		m.size = unknownSize
		m.flags &^= hasCRC
	}
	if h.flags&zipEncrypted != 0 {
		m.flags |= encrypted
		switch h.strength {
		case 1:
			m.flags |= aes128
		case 2:
			m.flags |= aes192
		case 3:
			m.flags |= aes256
		}
		if h.ae2 {
			m.flags &^= hasCRC
		}
		if h.flags&(zipStrong|zipMasked) != 0 {
			m.method = zipAES // a scheme that is not read
		}
		if !l.z.opens(&m) {
			l.locked++
			return true
		}
	}
	return x.add(name, m, l.z.most(&m))
}

// most is how many bytes a member can become: by its method, and by how much of what it
// says is packed can be in the file.
func (z *zipArchive) most(m *member) int64 {
	const (
		deflate = 1032     // 258 bytes in two bits
		zstd    = 32 << 10 // a block of 128 KiB in four bytes
		bzip2   = 2 << 20  // a block of 900,000 runs of 51 in some twenty bytes and more
	)
	packed := max(min(m.packed, z.ra.Size()-m.offset), 0)
	each := int64(1)
	switch m.method {
	case zipDeflate:
		each = deflate
	case zipZstd:
		each = zstd
	case zipBzip2:
		each = bzip2
	}
	if packed > (1<<62)/each {
		return 1 << 62
	}
	return packed * each
}

// decode gives the name as text. Without a word about the encoding, names that
// are not UTF-8 are read as code page 437, which the format prescribes; those of
// a Windows in another language then come out wrong, but different from one another.
func (l *zipLister) decode(h *zipHeader) string {
	if h.unicodeName != "" && utf8.ValidString(h.unicodeName) {
		return h.unicodeName
	}
	if h.flags&zipUTF8 != 0 || utf8.ValidString(h.name) {
		return h.name
	}
	l.oldNames++
	name, err := charmap.CodePage437.NewDecoder().String(h.name)
	if err != nil {
		return h.name
	}
	return name
}

func (l *zipLister) finish() {
	e, outer := l.x.e, l.x.outer
	if l.oldNames > 0 {
		e.problem(outer, postern.Encoding, postern.Say("source.name-encoding", "count", l.oldNames))
	}
	if l.locked > 0 {
		l.x.locked(l.locked)
	}
}

// locked tells that members are encrypted and stay so.
func (x *index) locked(count int) {
	if len(x.e.passwords) == 0 {
		x.e.problem(x.outer, postern.Unreadable, postern.Say("source.encrypted", "count", count))
	} else {
		x.e.problem(x.outer, postern.Unreadable, postern.Say("source.wrong-password", "count", count))
	}
}

// data gives the packed bytes of a member and the fields of its local header that
// decryption needs.
func (z *zipArchive) data(m *member) (*io.SectionReader, [zipLocalLen]byte, error) {
	var b [zipLocalLen]byte
	le := binary.LittleEndian
	if !readAt(z.ra, b[:], m.offset) {
		return nil, b, io.ErrUnexpectedEOF
	}
	if le.Uint32(b[:]) != zipLocal {
		return nil, b, &refusal{postern.Malformed, postern.Say("source.member-header", "name", printable(m.name))}
	}
	from := m.offset + zipLocalLen + int64(le.Uint16(b[26:])) + int64(le.Uint16(b[28:]))
	return io.NewSectionReader(z.ra, from, max(min(m.packed, z.ra.Size()-from), 0)), b, nil
}

// read gives the content of a member. The lengths are those of the directory;
// what a local header says of them is not used.
func (z *zipArchive) read(m *member) (io.ReadCloser, error) {
	data, local, err := z.data(m)
	if err != nil {
		return nil, err
	}
	if m.flags&encrypted == 0 {
		if m.method == zipStored {
			if data.Size() == m.size {
				return sectionReader{data}, nil
			}
			return io.NopCloser(data), nil
		}
		return z.e.inflate(m.method, buffered(data, data.Size()))
	}
	if m.method == zipAES {
		return nil, &refusal{postern.Unsupported, postern.Say("source.cipher")}
	}
	plain, err := z.decrypt(m, data, local)
	if err != nil {
		return nil, err
	}
	return z.inflateToEnd(m.method, plain)
}

// buffered makes a buffer no larger than a small member: there may be 300,000.
func buffered(r io.Reader, size int64) *bufio.Reader {
	return bufio.NewReaderSize(r, int(min(size, 32<<10)))
}

// sectionReader is a part of a file as it lies.
type sectionReader struct{ *io.SectionReader }

func (sectionReader) Close() error { return nil }

// inflate unpacks a member by its method.
func (e *Evidence) inflate(method uint16, r *bufio.Reader) (io.ReadCloser, error) {
	switch method {
	case zipStored:
		return io.NopCloser(r), nil
	case zipDeflate:
		return e.flate(r), nil
	case zipBzip2:
		return io.NopCloser(bzip2.NewReader(r)), nil
	case zipZstd:
		return e.zstd(r)
	}
	return nil, &refusal{postern.Unsupported, postern.Say("source.method", "method", method)}
}

// flate takes an idle inflater or makes one.
func (e *Evidence) flate(r io.Reader) io.ReadCloser {
	if old, ok := e.flates.Get().(io.ReadCloser); ok {
		if err := old.(flate.Resetter).Reset(r, nil); err == nil {
			return &pooledFlate{e, old}
		}
	}
	return &pooledFlate{e, flate.NewReader(r)}
}

type pooledFlate struct {
	e *Evidence
	r io.ReadCloser
}

func (p *pooledFlate) Read(b []byte) (int, error) {
	if p.r == nil {
		return 0, fs.ErrClosed
	}
	return p.r.Read(b)
}

func (p *pooledFlate) Close() error {
	if p.r == nil {
		return nil
	}
	err := p.r.Close()
	p.e.flates.Put(p.r)
	p.r = nil
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // was the end of reading, and told there
	}
	if err != nil {
		return fmt.Errorf("inflate: %w", err)
	}
	return nil
}
