package evtx

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// appendUTF16 appends UTF-16LE as UTF-8. A surrogate without its half, and a last
// odd byte, become U+FFFD and are counted.
func appendUTF16(dst, src []byte) (_ []byte, bad int) {
	i := 0
	for ; i+8 <= len(src); i += 8 { // four ASCII characters at a time
		v := binary.LittleEndian.Uint64(src[i:])
		if v&0xff80ff80ff80ff80 != 0 {
			break
		}
		dst = append(dst, byte(v), byte(v>>16), byte(v>>32), byte(v>>48))
	}
	for ; i+2 <= len(src); i += 2 {
		u := rune(src[i]) | rune(src[i+1])<<8
		switch {
		case u < utf8.RuneSelf:
			dst = append(dst, byte(u))
			continue
		case !utf16.IsSurrogate(u):
			dst = utf8.AppendRune(dst, u)
			continue
		}
		if i+4 <= len(src) {
			if r := utf16.DecodeRune(u, rune(src[i+2])|rune(src[i+3])<<8); r != utf8.RuneError {
				dst = utf8.AppendRune(dst, r)
				i += 2
				continue
			}
		}
		dst = utf8.AppendRune(dst, utf8.RuneError)
		bad++
	}
	if i < len(src) {
		dst = utf8.AppendRune(dst, utf8.RuneError)
		bad++
	}
	return dst, bad
}

// other stands for every character outside ASCII in folded text.
const other = 0xff

// appendFolded appends UTF-16LE as ASCII in lower case.
func appendFolded(dst, src []byte) []byte {
	const each = 0x0001000100010001
	i := 0
	for ; i+8 <= len(src); i += 8 { // four ASCII characters at a time
		v := binary.LittleEndian.Uint64(src[i:])
		if v&(0xff80*each) != 0 {
			break
		}
		// The high bit of a byte of each sum says whether the byte is above a bound.
		upper := (v + (0x80-'A')*each) &^ (v + (0x80-'Z'-1)*each) & (0x80 * each)
		v |= upper >> 2
		dst = append(dst, byte(v), byte(v>>16), byte(v>>32), byte(v>>48))
	}
	for ; i+2 <= len(src); i += 2 {
		c := src[i]
		switch {
		case src[i+1] != 0 || c >= utf8.RuneSelf:
			c = other
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// appendFoldedASCII is appendFolded for text of single bytes.
func appendFoldedASCII(dst []byte, src string) []byte {
	for i := range len(src) {
		c := src[i]
		switch {
		case c >= utf8.RuneSelf:
			c = other
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// trimUTF16 takes the NULs off the end that some providers count in.
func trimUTF16(b []byte) []byte {
	for len(b) >= 2 && b[len(b)-1] == 0 && b[len(b)-2] == 0 && len(b)%2 == 0 {
		b = b[:len(b)-2]
	}
	return b
}
