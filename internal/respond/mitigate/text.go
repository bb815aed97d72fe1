package mitigate

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxBytes bounds a file, as the reader of the hunt does: what that does not read to
// its end cannot be judged. Real files have under 2 MB.
const MaxBytes = 8 << 20

// encoding is how characters stand in the bytes of a file.
type encoding int

const (
	utf8Bytes encoding = iota
	utf16LE
	utf16BE
	latin // one byte a character, ASCII below 0x80
)

// width is the bytes of one unit.
func (e encoding) width() int {
	if e == utf16LE || e == utf16BE {
		return 2
	}
	return 1
}

// encode writes ASCII text.
func (e encoding) encode(ascii string) []byte {
	if e.width() == 1 {
		return []byte(ascii)
	}
	b := make([]byte, 0, 2*len(ascii))
	for i := range len(ascii) {
		if e == utf16LE {
			b = append(b, ascii[i], 0)
		} else {
			b = append(b, 0, ascii[i])
		}
	}
	return b
}

// charset is the name in an XML declaration.
var charset = regexp.MustCompile(`^<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']`)

// other stands in a text for every unit that is not ASCII.
const other = 0x80

// decode finds the encoding and gives the text, one byte for each unit: ASCII as it
// is and anything else above 0x7F, so that an offset in the text is one in the file.
func decode(raw []byte) (code encoding, bom int, text []byte, why *Refusal) {
	switch {
	case bytes.HasPrefix(raw, []byte("\xEF\xBB\xBF")):
		bom = 3
	case bytes.HasPrefix(raw, []byte("\xFF\xFE")):
		code, bom = utf16LE, 2
	case bytes.HasPrefix(raw, []byte("\xFE\xFF")):
		code, bom = utf16BE, 2
	case len(raw) > 1 && raw[0] == '<' && raw[1] == 0:
		code = utf16LE
	case len(raw) > 1 && raw[0] == 0 && raw[1] == '<':
		code = utf16BE
	}
	if code.width() == 2 {
		text, why = units(raw[bom:], code)
		return code, bom, text, why
	}
	text = raw[bom:]
	if m := charset.FindSubmatch(text); m != nil && bom == 0 {
		switch name := strings.ToLower(string(m[1])); name {
		case "utf-8", "us-ascii", "utf-16": // one that says UTF-16 and is not is read as what it is
		case "windows-1252", "iso-8859-1":
			code = latin
		default:
			return code, bom, text, refuse("encoding", "encoding", name)
		}
	}
	if code == utf8Bytes && !utf8.Valid(text) {
		return code, bom, text, refuse("characters", "line", 1+bytes.Count(text[:firstBad(text)], []byte{'\n'}))
	}
	return code, bom, text, nil
}

func firstBad(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

// units gives one byte for each unit of UTF-16.
func units(b []byte, code encoding) ([]byte, *Refusal) {
	text := make([]byte, len(b)/2)
	bad := func(i int) *Refusal { return refuse("characters", "line", 1+bytes.Count(text[:i], []byte{'\n'})) }
	high := false // the unit before is the first half of a pair
	for i := range text {
		u := unit(b[2*i:], code)
		low := 0xDC00 <= u && u < 0xE000
		if high != low || u >= 0xFFFE {
			return text, bad(i)
		}
		high = 0xD800 <= u && u < 0xDC00
		text[i] = other
		if u < 0x80 {
			text[i] = byte(u)
		}
	}
	if high || len(b)%2 != 0 {
		return text, bad(len(text))
	}
	return text, nil
}

func unit(b []byte, code encoding) uint16 {
	if code == utf16LE {
		return uint16(b[0]) | uint16(b[1])<<8
	}
	return uint16(b[0])<<8 | uint16(b[1])
}

// str gives a part of the text as a string.
func (d *document) str(from, to int) string {
	b := d.raw[d.bom+from*d.code.width() : d.bom+to*d.code.width()]
	switch d.code {
	case utf8Bytes:
		return string(b)
	case latin:
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r)
	}
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = unit(b[2*i:], d.code)
	}
	return string(utf16.Decode(u))
}
