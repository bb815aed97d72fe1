package sigma

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"
)

const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// appendFold appends s in the form in which values are compared without case:
// every letter in lower case, bytes that are no UTF-8 as they are. No letter
// outside ASCII becomes one inside (the Kelvin sign is not a k), so that a gate
// that folds only ASCII finds every ASCII literal that is in a folded value.
func appendFold(dst []byte, s string) []byte {
	i := 0
	for ; i+8 <= len(s); i += 8 { // eight bytes at a time, as long as they are ASCII
		v := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		if v&highBits != 0 {
			break
		}
		// The high bit of a byte of each sum says whether the byte is above a bound.
		upper := (v + (0x80-'A')*eachByte) &^ (v + (0x80-'Z'-1)*eachByte) & highBits
		dst = binary.LittleEndian.AppendUint64(dst, v|upper>>2)
	}
	for ; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			return appendFoldUnicode(dst, s[i:])
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func appendFoldUnicode(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[i])
		} else {
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += n
	}
	return dst
}

func foldRune(r rune) rune {
	l := unicode.ToLower(r)
	if r >= utf8.RuneSelf && l < utf8.RuneSelf {
		return r
	}
	return l
}

func fold(s string) string { return string(appendFold(nil, s)) }
