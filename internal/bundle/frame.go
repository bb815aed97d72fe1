package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// BlockLen is the unit of a tar file.
const BlockLen = 512

// EndLen is the length of the end of a tar file: two blocks of zeros.
const EndLen = 2 * BlockLen

// Places of the fields in a tar header that differ between parts, and the first
// size that eleven octal digits do not hold.
const (
	nameLen   = 100
	sizeAt    = 124
	sizeLen   = 12
	sumAt     = 148
	magicAt   = 257
	octalSize = 1 << 33
)

const magic = "ustar  \x00" // as GNU tar writes it, which has a form for large sizes

// Frame is the tar header of a part. There is one for each name and size: mode
// 0600, owner 0, time 0.
func Frame(name string, size int64) []byte {
	b := make([]byte, BlockLen)
	copy(b[:nameLen], name)
	copy(b[100:], "0000600\x000000000\x000000000\x00")
	if size < octalSize {
		copy(b[sizeAt:], fmt.Sprintf("%011o\x00", size))
	} else {
		b[sizeAt] = 0x80
		binary.BigEndian.PutUint64(b[sizeAt+4:], uint64(size))
	}
	copy(b[136:], "00000000000\x00        0")
	copy(b[magicAt:], magic)
	var sum int64
	for _, c := range b {
		sum += int64(c)
	}
	copy(b[sumAt:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// parseFrame reads a header. It is one only if [Frame] makes the same bytes of it.
func parseFrame(b []byte) (name string, size int64, ok bool) {
	if len(b) != BlockLen || string(b[magicAt:magicAt+len(magic)]) != magic {
		return "", 0, false
	}
	raw, _, _ := bytes.Cut(b[:nameLen], []byte{0})
	if b[sizeAt] == 0x80 {
		size = int64(binary.BigEndian.Uint64(b[sizeAt+4:]))
	} else {
		var err error
		if size, err = strconv.ParseInt(string(b[sizeAt:sizeAt+sizeLen-1]), 8, 64); err != nil {
			return "", 0, false
		}
	}
	if len(raw) == 0 || len(raw) == nameLen || size < 0 || size > 1<<60 || !bytes.Equal(b, Frame(string(raw), size)) {
		return "", 0, false
	}
	return string(raw), size, true
}

// Recognise says whether the first block of a file is that of a bundle.
func Recognise(head []byte) bool {
	return len(head) >= BlockLen && bytes.HasPrefix(head, []byte(HeaderPart+"\x00"))
}

// Padding is how many zeros follow a part of a size.
func Padding(size int64) int64 { return (BlockLen - size%BlockLen) % BlockLen }

// Part is a part as it lies in the file.
type Part struct {
	Name   string
	Offset int64 // of its first byte
	Size   int64
}

// Damage is a place that is not as it must be.
type Damage struct {
	Part   string // "" for the frame itself
	Offset int64  // in the bundle; -1 if it is the whole part
	What   Flaw
	Detail string
}

// Flaw is the closed list of what can be wrong with a bundle.
type Flaw string

// What is wrong.
const (
	BadFrame   Flaw = "frame"     // the tar header of a part, or what stands for it
	BadPadding Flaw = "padding"   // the zeros behind a part
	CutOff     Flaw = "cut-off"   // the file ends within a part
	NoEnd      Flaw = "no-end"    // the file has no end: it was cut, or never sealed
	BeyondEnd  Flaw = "beyond"    // there is something behind the end
	TooMany    Flaw = "too-many"  // more parts than a bundle may have
	Changed    Flaw = "changed"   // the bytes are not those that were sealed
	Missing    Flaw = "missing"   // the seal names it
	Foreign    Flaw = "foreign"   // the seal does not name it
	Malformed  Flaw = "malformed" // it is not of the form that it must have
	BadChain   Flaw = "chain"     // a line of custody does not follow from the one before
	BadSeal    Flaw = "signature" // the signature is not that of the key
	OtherKey   Flaw = "other-key" // it is signed by another key than expected
	BadStamp   Flaw = "stamp"     // the time stamp is not of this seal, or not valid
	Undecoded  Flaw = "undecoded" // it does not open with the key
	BadMember  Flaw = "member"    // a file in it is not as its list says
)

// MaxParts bounds the parts of a bundle: three a segment and the others.
const MaxParts = 3*MaxSegments + 8

// Bundle is the frame of a bundle, read.
type Bundle struct {
	Parts   []Part
	Whole   bool // the end of the file is there
	Damages []Damage

	r io.ReaderAt
}

// ErrNotBundle is the error of [Open] for anything else.
var ErrNotBundle = errors.New("not a bundle")

// Open reads the frame of a bundle. Damage is no error: behind a damaged header
// the next sound one is looked for, so that what follows is still checked.
func Open(r io.ReaderAt, size int64) (*Bundle, error) {
	b := &Bundle{r: r}
	block := make([]byte, BlockLen)
	first := io.NewSectionReader(r, 0, BlockLen)
	if _, err := io.ReadFull(first, block); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotBundle, err)
	}
	known := Recognise(block)
	at := int64(0)
	for at+BlockLen <= size {
		if len(b.Parts) == MaxParts {
			b.damage("", at, TooMany)
			break
		}
		if err := readFull(r, block, at); err != nil {
			return nil, err
		}
		name, length, ok := parseFrame(block)
		switch {
		case ok && length > size-at-BlockLen:
			b.damage(name, at, CutOff)
			at = size
		case ok:
			b.Parts = append(b.Parts, Part{name, at + BlockLen, length})
			next, err := b.pad(name, at+BlockLen+length, size)
			if err != nil {
				return nil, err
			}
			at = next
		case zeros(block):
			if err := b.end(at, size); err != nil {
				return nil, err
			}
			at = size
		default:
			b.damage(b.after(), at, BadFrame)
			next, err := seekFrame(r, at+BlockLen, size)
			if err != nil {
				return nil, err
			}
			at = next
		}
	}
	if !known && len(b.Parts) == 0 {
		return nil, ErrNotBundle
	}
	if !b.Whole {
		b.damage("", size, NoEnd)
	}
	return b, nil
}

func (b *Bundle) damage(part string, at int64, what Flaw) {
	b.Damages = append(b.Damages, Damage{Part: part, Offset: at, What: what})
}

// after names the place of a header that cannot be read.
func (b *Bundle) after() string {
	if len(b.Parts) == 0 {
		return HeaderPart
	}
	last := b.Parts[len(b.Parts)-1].Name
	switch n, list := SegmentOf(last); {
	case n > 0 && !list:
		return ListPart(n)
	case last == HeaderPart:
		return DataPart(1)
	case last == CustodyPart:
		return SealPart
	case last == SealPart, last == TimestampPart:
		return SignaturePart
	}
	return "" // another segment, or the log of custody
}

// pad checks the zeros behind a part and gives where the next header is.
func (b *Bundle) pad(name string, at, size int64) (int64, error) {
	n := min(Padding(at), size-at)
	if n == 0 {
		return at, nil
	}
	zero := make([]byte, n)
	if err := readFull(b.r, zero, at); err != nil {
		return 0, err
	}
	if !zeros(zero) {
		b.damage(name, at, BadPadding)
	}
	return at + n, nil
}

// end checks that the file ends here as it must.
func (b *Bundle) end(at, size int64) error {
	rest := make([]byte, min(size-at, EndLen))
	if err := readFull(b.r, rest, at); err != nil {
		return err
	}
	b.Whole = true
	switch {
	case size-at < EndLen:
		b.damage("", size, CutOff)
	case !zeros(rest), size-at > EndLen:
		b.damage("", at, BeyondEnd)
	}
	return nil
}

// seekFrame looks for the next header. Blocks lie at multiples of their length.
func seekFrame(r io.ReaderAt, at, size int64) (int64, error) {
	const stride = 512 * BlockLen
	buf := make([]byte, stride)
	for at+BlockLen <= size {
		n := min(stride, (size-at)/BlockLen*BlockLen)
		if err := readFull(r, buf[:n], at); err != nil {
			return 0, err
		}
		for i := int64(0); i < n; i += BlockLen {
			if _, _, ok := parseFrame(buf[i : i+BlockLen]); ok {
				return at + i, nil
			}
			if at+i == size-EndLen && zeros(buf[i:i+BlockLen]) {
				return at + i, nil
			}
		}
		at += n
	}
	return size, nil
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read bundle at %d: %w", at, err)
}

// Part finds a part by its name.
func (b *Bundle) Part(name string) (Part, bool) {
	for _, p := range b.Parts {
		if p.Name == name {
			return p, true
		}
	}
	return Part{}, false
}

// Reader reads the bytes of a part as they lie.
func (b *Bundle) Reader(p Part) *io.SectionReader {
	return io.NewSectionReader(b.r, p.Offset, p.Size)
}

// maxPlainPart bounds what is read into memory of parts in the clear: a seal names
// two parts a segment in 130 bytes each.
const maxPlainPart = 64 << 20

// Bytes reads a small part.
func (b *Bundle) Bytes(p Part) ([]byte, error) {
	if p.Size > maxPlainPart {
		return nil, fmt.Errorf("%s has %d bytes, more than is read: %w", p.Name, p.Size, ErrTooLarge)
	}
	buf := make([]byte, p.Size)
	if err := readFull(b.r, buf, p.Offset); err != nil {
		return nil, err
	}
	return buf, nil
}

// ErrTooLarge is the error of [Bundle.Bytes] for a part that is not read into memory.
var ErrTooLarge = errors.New("too large")
