package source

import (
	"encoding/binary"
	"errors"

	"postern"
)

// sevenFolder is what the directory says of one packed block.
type sevenFolder struct {
	encrypted bool
	aes       []byte // properties of the cipher
	err       error  // why it is not to be unpacked
}

// sevenScanner walks over a 7z directory as 7zFormat.txt lays it out, and
// measures what a reader of it would allocate. It fails where the library would
// have to guess.
type sevenScanner struct {
	b      []byte
	l      Limits
	err    error
	files  uint64 // in all blocks
	length int    // of the whole
	coders []int  // where each coder begins
}

// maxCoders is how many coders, inputs or outputs a block may have; 7-Zip itself
// stops at 32.
const maxCoders = 32

// maxProperties is the length of a coder's properties; AES has at most 34 bytes.
const maxProperties = 64

// maxSevenWork bounds members times blocks: the library looks for the block of
// each member from the first block on. It is 100,000 members that are not packed
// together, and some ten seconds.
const maxSevenWork = 10_000_000_000

// maxCycles is how often a password is hashed to a key, as a power of two. 7-Zip
// writes 19, which takes a tenth of a second; each more doubles it. 63 stands for
// no hashing at all.
const maxCycles = 20

// sevenDirectory is a plain directory and what was found by walking over it.
type sevenDirectory struct {
	bytes   []byte
	folders []sevenFolder
	coders  []int // where the description of each coder begins
}

// measureSeven walks over a plain directory.
func measureSeven(header []byte, l Limits) (sevenDirectory, error) {
	s := &sevenScanner{b: header, l: l, length: len(header)}
	s.want(sevenPlain)
	id := s.byte()
	var folders []sevenFolder
	if id == 0x04 {
		folders = s.streams()
		id = s.byte()
	}
	if id == 0x05 {
		if files := s.filesInfo(); uint64(files)*uint64(len(folders)) > maxSevenWork {
			s.tooMany()
		}
		id = s.byte()
	}
	if id != 0 {
		s.fail()
	}
	return sevenDirectory{header, folders, s.coders}, s.err
}

// measureEncoded walks over the description of a packed directory, and gives its
// unpacked size.
func measureEncoded(header []byte, l Limits) ([]sevenFolder, uint64, error) {
	s := &sevenScanner{b: header, l: l}
	s.want(sevenEncoded)
	var size uint64
	folders := s.streamsSize(&size)
	if s.err == nil && (len(folders) != 1 || s.files != 1) {
		s.fail()
	}
	if s.err == nil && size > uint64(l.Header) {
		s.err = &refusal{postern.Limit, postern.Say("source.7z-header", "limit", l.Header)}
	}
	return folders, size, s.err
}

func (s *sevenScanner) fail() {
	if s.err == nil {
		s.err = errSevenHeader
	}
	s.b = nil
}

func (s *sevenScanner) byte() byte {
	if len(s.b) == 0 {
		s.fail()
		return 0xff
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *sevenScanner) want(c byte) {
	if s.byte() != c {
		s.fail()
	}
}

func (s *sevenScanner) skip(n uint64) []byte {
	if n > uint64(len(s.b)) {
		s.fail()
		return nil
	}
	b := s.b[:n]
	s.b = s.b[n:]
	return b
}

// number reads 7z's number: the ones that its first byte begins with say how
// many bytes follow.
func (s *sevenScanner) number() uint64 {
	first := s.byte()
	var n uint64
	for i := range 8 {
		mask := byte(0x80) >> i
		if first&mask == 0 {
			return n | uint64(first&(mask-1))<<(8*i)
		}
		n |= uint64(s.byte()) << (8 * i)
	}
	return n
}

// count reads a number of things that each have at least a byte still to come.
func (s *sevenScanner) count(limit uint64) int {
	n := s.number()
	if n > uint64(len(s.b)) || n > limit {
		s.fail()
		return 0
	}
	return int(n)
}

// digests passes over checksums of n things.
func (s *sevenScanner) digests(n int) {
	s.skip(4 * uint64(s.defined(n)))
}

// defined reads which of n things are there, and counts them.
func (s *sevenScanner) defined(n int) int {
	if s.byte() != 0 {
		return n
	}
	return s.bits(n)
}

func (s *sevenScanner) bits(n int) int {
	b := s.skip((uint64(n) + 7) / 8)
	if b == nil {
		return 0
	}
	set := 0
	for i := range n {
		if b[i/8]&(0x80>>(i%8)) != 0 {
			set++
		}
	}
	return set
}

func (s *sevenScanner) streams() []sevenFolder {
	var size uint64
	return s.streamsSize(&size)
}

// streamsSize walks over the packed streams, the blocks and the members' sizes.
// size becomes the unpacked size of the first block.
func (s *sevenScanner) streamsSize(size *uint64) []sevenFolder {
	members := uint64(s.l.Members)
	var packed, used int
	var folders []sevenFolder
	id := s.byte()
	if id == 0x06 {
		s.number() // position
		packed = s.count(members * maxCoders)
		if id = s.byte(); id == 0x09 {
			for range packed {
				s.number()
			}
			id = s.byte()
		} else {
			s.fail() // the library needs the sizes
		}
		if id == 0x0a {
			s.digests(packed)
			id = s.byte()
		}
		if id != 0 {
			s.fail()
		}
		id = s.byte()
	}
	if id == 0x07 {
		s.want(0x0b)
		n := s.count(members)
		s.want(0) // not somewhere else
		outs := make([]int, 0, min(n, 1024))
		for i := 0; i < n && s.err == nil; i++ {
			f, streams, out := s.folder()
			folders = append(folders, f)
			outs = append(outs, out)
			used += streams
		}
		s.want(0x0c)
		for i, out := range outs {
			for j := range out {
				if n := s.number(); i == 0 && j == out-1 {
					*size = n
				}
			}
		}
		if id = s.byte(); id == 0x0a {
			s.digests(n)
			id = s.byte()
		}
		if id != 0 {
			s.fail()
		}
		id = s.byte()
	}
	if used > packed {
		s.fail()
	}
	s.files = uint64(len(folders))
	if id == 0x08 {
		s.substreams(folders)
		id = s.byte()
	}
	if id != 0 {
		s.fail()
	}
	if s.err != nil {
		return nil
	}
	return folders
}

func (s *sevenScanner) substreams(folders []sevenFolder) {
	id := s.byte()
	each := make([]uint64, len(folders))
	for i := range each {
		each[i] = 1
	}
	if id == 0x0d {
		s.files = 0
		for i := range each {
			each[i] = s.number()
			if s.files += each[i]; each[i] > uint64(s.l.Members) || s.files > uint64(s.l.Members) {
				s.tooMany()
				return
			}
		}
		id = s.byte()
	}
	split := false
	for _, n := range each {
		split = split || n > 1
	}
	if id == 0x09 {
		for _, n := range each {
			for j := uint64(1); j < n; j++ {
				s.number()
			}
		}
		id = s.byte()
	} else if split {
		s.fail() // the library needs the sizes
	}
	if id == 0x0a {
		s.digests(int(s.files))
		id = s.byte()
	}
	if id != 0 {
		s.fail()
	}
}

func (s *sevenScanner) tooMany() {
	if s.err == nil {
		s.err = &refusal{postern.Limit, postern.Say("source.members", "limit", s.l.Members)}
	}
	s.b = nil
}

// folder walks over one block: its coders and how they hang together.
func (s *sevenScanner) folder() (f sevenFolder, packed, outs int) {
	coders := s.count(maxCoders)
	if coders == 0 {
		s.fail()
	}
	ins := 0
	for range coders {
		in, out := s.coder(&f)
		ins += in
		outs += out
	}
	if s.err != nil || ins > maxCoders || outs > maxCoders || outs == 0 || ins < outs-1 {
		s.fail()
		return f, 0, 0
	}
	for range outs - 1 {
		if s.number() >= uint64(ins) {
			s.fail()
		}
		if s.number() >= uint64(outs) {
			s.fail()
		}
	}
	packed = ins - (outs - 1)
	if packed > 1 {
		for range packed {
			if s.number() >= uint64(ins) {
				s.fail()
			}
		}
	}
	return f, packed, outs
}

// coder walks over one coder and looks at the memory that it wants.
func (s *sevenScanner) coder(f *sevenFolder) (in, out int) {
	s.coders = append(s.coders, s.length-len(s.b))
	flags := s.byte()
	id := string(s.skip(uint64(flags & 0x0f)))
	in, out = 1, 1
	if flags&0x10 != 0 {
		in, out = s.count(maxCoders), s.count(maxCoders)
	}
	var props []byte
	if flags&0x20 != 0 {
		n := s.number()
		if n == 0 || n > maxProperties {
			s.fail()
			return 0, 0
		}
		props = s.skip(n)
	}
	memory := uint64(0)
	switch id {
	case "\x00", "\x03", "\x0a", // copy, delta, ARM64
		"\x03\x03\x01\x03", "\x03\x03\x01\x1b", "\x03\x03\x02\x05", "\x03\x03\x05\x01", "\x03\x03\x08\x05", // branch filters
		"\x04\x01\x08", "\x04\x02\x02": // deflate, bzip2
	case "\x03\x01\x01": // LZMA
		if len(props) == 5 {
			memory = uint64(binary.LittleEndian.Uint32(props[1:]))
		}
	case "\x21": // LZMA2
		if len(props) == 1 && props[0] <= 40 {
			memory = uint64(2|props[0]&1) << (props[0]/2 + 11)
		}
	case "\x03\x04\x01": // PPMd
		if len(props) == 5 {
			memory = uint64(binary.LittleEndian.Uint32(props[1:]))
		}
	case "\x06\xf1\x07\x01": // AES
		f.encrypted, f.aes = true, props
		if len(props) > 0 && props[0]&0x3f > maxCycles && props[0]&0x3f != 0x3f {
			f.refuse(&refusal{postern.Unsupported, postern.Say("source.cipher")})
		}
	default:
		// Among them zstd, LZ4 and Brotli, whose memory the library does not bound.
		f.refuse(&refusal{postern.Unsupported, postern.Say("source.7z-method", "method", hexBytes(id))})
	}
	if memory > uint64(s.l.Window) {
		f.refuse(&refusal{postern.Limit, postern.Say("source.window", "limit", s.l.Window)})
	}
	return in, out
}

func (f *sevenFolder) refuse(err error) { f.err = errors.Join(f.err, err) }

func hexBytes(s string) string {
	const digits = "0123456789abcdef"
	var b []byte
	for i := range len(s) {
		b = append(b, digits[s[i]>>4], digits[s[i]&15])
	}
	return string(b)
}

// filesInfo walks over the members' names and times.
func (s *sevenScanner) filesInfo() int {
	n := s.number()
	if n > uint64(s.l.Members) {
		s.tooMany()
		return 0
	}
	if n == 0 || n > uint64(len(s.b)) {
		s.fail()
		return 0
	}
	files, empty := int(n), 0
	for s.err == nil {
		id := s.byte()
		if id == 0 {
			break
		}
		size := s.number()
		body := sevenScanner{b: s.skip(size), l: s.l}
		switch id {
		case 0x0e: // empty streams
			empty += body.bits(files)
		case 0x0f, 0x10: // empty files, anti-files
			if empty == 0 {
				s.fail()
			}
			body.bits(empty)
		case 0x11: // names
			body.want(0)
			body.names(files)
		case 0x12, 0x13, 0x14: // times
			defined := body.defined(files)
			body.want(0)
			body.skip(8 * uint64(defined))
		case 0x15: // attributes
			defined := body.defined(files)
			body.want(0)
			body.skip(4 * uint64(defined))
		case 0x19: // padding
			body.b = nil
		default:
			s.fail()
		}
		if body.err != nil || len(body.b) > 0 {
			s.fail()
		}
	}
	if s.err == nil && uint64(files-min(empty, files)) > s.files {
		s.fail() // more members with content than there is content
	}
	return files
}

// names walks over names in UTF-16 with a zero behind each.
func (s *sevenScanner) names(files int) {
	if len(s.b)%2 != 0 {
		s.fail()
		return
	}
	n, length := 0, 0
	for i := 0; i+1 < len(s.b); i += 2 {
		length += 2
		if s.b[i] == 0 && s.b[i+1] == 0 {
			n, length = n+1, 0
		}
		// The library reads names with a scanner that ends at 64 KiB.
		if length > 32<<10 {
			s.fail()
			return
		}
	}
	if n != files || length != 0 {
		s.fail()
		return
	}
	s.b = nil
}
