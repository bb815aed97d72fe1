package parse

import (
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of every text reader.
const (
	// BufferSize is read at a time: large enough that a read costs nothing
	// beside the pass, small enough for many readers in 48 MiB.
	BufferSize = 256 << 10
	// MaxLine is the longest line that is looked at whole. Real rows stay under
	// 64 KiB; of a longer one the first megabyte is parsed and the rest skipped,
	// so that one endless line can neither fill memory nor hide the lines after it.
	MaxLine = 1 << 20
	// sniffCharset bytes tell the charset.
	sniffCharset = 512
	// sniffSize is enough for the header block and some rows of every known log.
	sniffSize = 16 << 10
)

// Charset is how the bytes of a file stand for text.
type Charset string

// The charsets that are told apart. ANSI is told row by row, not by file.
const (
	UTF8    Charset = "utf-8"
	UTF16LE Charset = "utf-16le"
	UTF16BE Charset = "utf-16be"
)

// Sniff tells the charset of a file from its first bytes and how many bytes of
// byte order mark stand before the text.
func Sniff(head []byte) (c Charset, bom int) {
	switch {
	case bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}):
		return UTF8, 3
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}):
		return UTF16LE, 2
	case bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		return UTF16BE, 2
	}
	// Without a mark: ASCII text as UTF-16 has a NUL in every second byte.
	n := min(len(head), 512) &^ 1
	var even, odd int
	for i := 0; i < n; i += 2 {
		if head[i] == 0 {
			even++
		}
		if head[i+1] == 0 {
			odd++
		}
	}
	switch half := n / 2; {
	case half >= 4 && odd > half*8/10 && even < half/10:
		return UTF16LE, 0
	case half >= 4 && even > half*8/10 && odd < half/10:
		return UTF16BE, 0
	}
	return UTF8, 0
}

// utf16Reader gives UTF-16 as UTF-8. Offsets in it are those of the decoded text.
type utf16Reader struct {
	r    io.Reader
	big  bool
	in   []byte // undecoded, at most one odd byte or one lone surrogate between reads
	out  []byte
	err  error
	bad  int64 // units that were no character
	page [32 << 10]byte
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		n, err := u.r.Read(u.page[:])
		u.in = append(u.in, u.page[:n]...)
		u.err = err
		u.decode(err != nil)
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}

func (u *utf16Reader) decode(last bool) {
	u.out = u.out[:0]
	in := u.in
	unit := func(i int) rune {
		if u.big {
			return rune(in[i])<<8 | rune(in[i+1])
		}
		return rune(in[i+1])<<8 | rune(in[i])
	}
	i := 0
	for ; i+1 < len(in); i += 2 {
		r := unit(i)
		if utf16.IsSurrogate(r) {
			if i+3 >= len(in) && !last {
				break
			}
			if i+3 < len(in) {
				if both := utf16.DecodeRune(r, unit(i+2)); both != utf8.RuneError {
					u.out = utf8.AppendRune(u.out, both)
					i += 2
					continue
				}
			}
			u.bad++
			r = utf8.RuneError
		}
		u.out = utf8.AppendRune(u.out, r)
	}
	if last && i < len(in) {
		u.bad++
		i = len(in)
	}
	u.in = append(u.in[:0], in[i:]...)
}

// decoder wraps a reader of UTF-16 so that text comes out as UTF-8, without byte
// order mark. Head is what was read already; it may have lost its mark.
func decoder(r io.Reader, head []byte, c Charset) io.Reader {
	return &utf16Reader{r: io.MultiReader(bytes.NewReader(head), r), big: c == UTF16BE}
}

// cp1252 are the characters 0x80 to 0x9F of Windows-1252, the "ANSI" of
// Western servers; the rest of the upper half is Latin-1.
var cp1252 = [32]rune{
	'€', 0xFFFD, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0xFFFD, 'Ž', 0xFFFD,
	0xFFFD, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0xFFFD, 'ž', 'Ÿ',
}

// text gives bytes as valid UTF-8, reading bytes that are not as Windows-1252,
// and whether it had to.
func text(b []byte) (string, bool) {
	if utf8.Valid(b) {
		return string(b), false
	}
	out := make([]byte, 0, len(b)+8)
	for len(b) > 0 {
		if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n > 1 {
			out = append(out, b[:n]...)
			b = b[n:]
			continue
		}
		r := rune(b[0])
		if r >= 0x80 && r < 0xA0 {
			r = cp1252[r-0x80]
		}
		out = utf8.AppendRune(out, r)
		b = b[1:]
	}
	return string(out), true
}

// cutAt gives at most n bytes of b, without half a character at their end.
func cutAt(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	return wholeRunes(b[:n])
}

// wholeRunes gives b without the beginning of a character that its end cuts off.
func wholeRunes(b []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		c := b[len(b)-i]
		if !utf8.RuneStart(c) {
			continue
		}
		if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
			return b[:len(b)-i]
		}
		break
	}
	return b
}
