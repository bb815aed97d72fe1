package sigma

import (
	"unicode"
	"unicode/utf8"
)

// appendFold appends s in the form in which values are compared without case:
// every letter in lower case, bytes that are no UTF-8 as they are. No letter
// outside ASCII becomes one inside (the Kelvin sign is not a k), so that a gate
// that folds only ASCII finds every ASCII literal that is in a folded value.
func appendFold(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
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
