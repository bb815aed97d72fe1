package evtx

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"golang.org/x/text/encoding/charmap"
)

// Types of values. The bit array says that several stand behind one another.
const (
	typeNull       = 0x00
	typeString     = 0x01
	typeANSI       = 0x02
	typeInt8       = 0x03
	typeUint8      = 0x04
	typeInt16      = 0x05
	typeUint16     = 0x06
	typeInt32      = 0x07
	typeUint32     = 0x08
	typeInt64      = 0x09
	typeUint64     = 0x0a
	typeReal32     = 0x0b
	typeReal64     = 0x0c
	typeBool       = 0x0d
	typeBinary     = 0x0e
	typeGUID       = 0x0f
	typeSize       = 0x10
	typeFileTime   = 0x11
	typeSystemTime = 0x12
	typeSID        = 0x13
	typeHex32      = 0x14
	typeHex64      = 0x15
	typeHandle     = 0x20
	typeXML        = 0x21
	typeText       = 0x23 // XML as text
	array          = 0x80
)

// sizeOf gives the bytes of one value of a type in an array, 0 where they differ.
func sizeOf(typ byte) int {
	switch typ {
	case typeInt8, typeUint8:
		return 1
	case typeInt16, typeUint16:
		return 2
	case typeInt32, typeUint32, typeReal32, typeBool, typeHex32:
		return 4
	case typeInt64, typeUint64, typeReal64, typeFileTime, typeHex64:
		return 8
	case typeGUID, typeSystemTime:
		return 16
	}
	return 0
}

// appendValue appends a value as Windows writes it in XML. A value whose size does
// not fit its type is given in hexadecimal: nothing is lost and nothing invented.
func appendValue(dst []byte, typ byte, b []byte) (_ []byte, bad int) {
	size := len(b)
	switch typ {
	case typeNull:
		return dst, 0
	case typeString, typeText:
		return appendUTF16(dst, trimUTF16(b))
	case typeANSI:
		return appendANSI(dst, b), 0
	case typeBinary:
		return appendHex(dst, b), 0
	case typeSize, typeHandle:
		switch size {
		case 4:
			return appendHexNumber(dst, uint64(binary.LittleEndian.Uint32(b))), 0
		case 8:
			return appendHexNumber(dst, binary.LittleEndian.Uint64(b)), 0
		}
	case typeSID:
		if size >= 8 && size == 8+4*int(b[1]) {
			return appendSID(dst, b), 0
		}
	case typeBool:
		n, ok := unsigned(b)
		if ok {
			return strconv.AppendBool(dst, n != 0), 0
		}
	default:
		if n := sizeOf(typ); n > 0 && n == size {
			return appendFixed(dst, typ, b), 0
		}
		// Some providers give a number in another width than they say.
		if n, ok := unsigned(b); ok && (typ == typeUint8 || typ == typeUint16 || typ == typeUint32 || typ == typeUint64) {
			return strconv.AppendUint(dst, n, 10), 0
		}
		if n, ok := unsigned(b); ok && (typ == typeHex32 || typ == typeHex64) {
			return appendHexNumber(dst, n), 0
		}
	}
	return appendHex(dst, b), 0
}

// appendWhole appends a value that is no text in lower case and a NUL, for a gate that
// looks for whole values; none is in one with a dash in it. Ok is false for one that only
// decoding tells.
func appendWhole(dst []byte, typ byte, b []byte) (_ []byte, ok bool) {
	switch typ {
	case typeNull:
		return dst, true
	case typeGUID:
		return dst, len(b) == sizeOf(typ)
	case typeSID:
		return dst, len(b) >= 8 && len(b) == 8+4*int(b[1])
	case typeFileTime:
		return dst, len(b) == sizeOf(typ) && fileTime(binary.LittleEndian.Uint64(b)).Year() <= 9999
	case typeSystemTime:
		return dst, len(b) == sizeOf(typ) && !systemTime(b).IsZero()
	}
	if typ&array != 0 {
		return dst, false
	}
	from := len(dst)
	dst, _ = appendValue(dst, typ, b)
	for i, c := range dst[from:] {
		if 'A' <= c && c <= 'Z' {
			dst[from+i] += 'a' - 'A'
		}
	}
	return append(dst, 0), true
}

// unsigned reads a number of any usual width.
func unsigned(b []byte) (uint64, bool) {
	switch len(b) {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), true
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), true
	case 8:
		return binary.LittleEndian.Uint64(b), true
	}
	return 0, false
}

// appendFixed appends a value of a type that has one size, which b has.
func appendFixed(dst []byte, typ byte, b []byte) []byte {
	switch typ {
	case typeInt8:
		return strconv.AppendInt(dst, int64(int8(b[0])), 10)
	case typeInt16:
		return strconv.AppendInt(dst, int64(int16(binary.LittleEndian.Uint16(b))), 10)
	case typeInt32:
		return strconv.AppendInt(dst, int64(int32(binary.LittleEndian.Uint32(b))), 10)
	case typeInt64:
		return strconv.AppendInt(dst, int64(binary.LittleEndian.Uint64(b)), 10)
	case typeReal32:
		return strconv.AppendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 'g', -1, 32)
	case typeReal64:
		return strconv.AppendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)), 'g', -1, 64)
	case typeGUID:
		return appendGUID(dst, b)
	case typeFileTime:
		if t := fileTime(binary.LittleEndian.Uint64(b)); t.Year() <= 9999 {
			return appendTime(dst, t)
		}
	case typeSystemTime:
		if t := systemTime(b); !t.IsZero() {
			return appendTime(dst, t)
		}
		return appendHex(dst, b)
	}
	n, _ := unsigned(b)
	if typ == typeHex32 || typ == typeHex64 {
		return appendHexNumber(dst, n)
	}
	return strconv.AppendUint(dst, n, 10)
}

func appendHexNumber(dst []byte, n uint64) []byte {
	return strconv.AppendUint(append(dst, "0x"...), n, 16)
}

func appendHex(dst, b []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range b {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

// appendANSI reads single bytes as the code page of western Europe: which one the
// machine had is not in the file.
func appendANSI(dst, b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	for _, c := range b {
		dst = append(dst, string(charmap.Windows1252.DecodeByte(c))...)
	}
	return dst
}

func appendGUID(dst, b []byte) []byte {
	var g [16]byte
	binary.BigEndian.PutUint32(g[0:], binary.LittleEndian.Uint32(b[0:]))
	binary.BigEndian.PutUint16(g[4:], binary.LittleEndian.Uint16(b[4:]))
	binary.BigEndian.PutUint16(g[6:], binary.LittleEndian.Uint16(b[6:]))
	copy(g[8:], b[8:16])
	dst = append(dst, '{')
	from := 0
	for i, to := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = appendHex(dst, g[from:to])
		from = to
	}
	return append(dst, '}')
}

// appendSID appends a security identifier; b has the size that it says.
func appendSID(dst, b []byte) []byte {
	dst = strconv.AppendUint(append(dst, "S-"...), uint64(b[0]), 10)
	var authority uint64
	for _, c := range b[2:8] {
		authority = authority<<8 | uint64(c)
	}
	dst = strconv.AppendUint(append(dst, '-'), authority, 10)
	for b = b[8:]; len(b) >= 4; b = b[4:] {
		dst = strconv.AppendUint(append(dst, '-'), uint64(binary.LittleEndian.Uint32(b)), 10)
	}
	return dst
}

// epochs is the time between 1601, from which Windows counts, and 1970, in its
// units of 100 ns.
const epochs = 116444736000000000

// fileTime reads a time of Windows.
func fileTime(n uint64) time.Time {
	since := int64(min(n, math.MaxInt64)) - epochs
	return time.Unix(since/1e7, since%1e7*100).UTC()
}

// instant is a time of Windows that an event can have; the zero time for one that
// is none, such as the beginning of 1601.
func instant(n uint64) time.Time {
	if t := fileTime(n); n > epochs && t.Year() <= 9999 {
		return t
	}
	return time.Time{}
}

// systemTime reads the time in eight numbers: year, month, weekday, day, hour,
// minute, second, millisecond; zero for one that is none.
func systemTime(b []byte) time.Time {
	var n [8]int
	for i := range n {
		n[i] = int(binary.LittleEndian.Uint16(b[2*i:]))
	}
	if n[1] < 1 || n[1] > 12 || n[3] < 1 || n[3] > 31 || n[4] > 23 || n[5] > 59 || n[6] > 60 || n[7] > 999 {
		return time.Time{}
	}
	return time.Date(n[0], time.Month(n[1]), n[3], n[4], n[5], n[6], n[7]*1e6, time.UTC)
}

// appendTime appends a time in UTC to the 100 ns that Windows has.
func appendTime(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, "2006-01-02T15:04:05.9999999Z")
}
