package webfile

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// Text is a file as characters. Every character stands for the same number of
// bytes of the file, so that a position can be walked back: UTF-8 and ANSI files
// are kept as they are, of UTF-16 only the Latin characters are kept and the
// others stand as [Other], which is enough for code, whose words are Latin.
type Text struct {
	Bytes []byte
	// Encoding is "utf-8", "utf-16le", "utf-16be" or "ibm037"; "utf-8" also stands
	// for every ANSI code page.
	Encoding string
	start    int // bytes of byte order mark
	width    int // bytes of the file that one byte of the text stands for
}

// Other stands in a text for a character that is not Latin: a letter to every
// language, as the characters behind it are to their compilers.
const Other = 0xFF

// sniffSize is enough to tell text from UTF-16 without a mark.
const sniffSize = 512

// Decode tells the encoding of a file and gives its text. It never fails: bytes
// that are no text give a text that nothing will be found in.
func Decode(raw []byte) Text {
	switch {
	case bytes.HasPrefix(raw, []byte{0xEF, 0xBB, 0xBF}):
		return Text{Bytes: raw[3:], Encoding: "utf-8", start: 3, width: 1}
	case bytes.HasPrefix(raw, []byte{0xFF, 0xFE}):
		return wide(raw, 2, false)
	case bytes.HasPrefix(raw, []byte{0xFE, 0xFF}):
		return wide(raw, 2, true)
	}
	switch little, big := sniffWide(raw); {
	case little:
		return wide(raw, 0, false)
	case big:
		return wide(raw, 0, true)
	}
	if ebcdic(raw) {
		return Text{Bytes: fromEBCDIC(raw), Encoding: "ibm037", width: 1}
	}
	return Text{Bytes: raw, Encoding: "utf-8", width: 1}
}

// Plain gives the text of a file that is known to be something else than text,
// in which code may stand all the same: byte for byte.
func Plain(raw []byte) Text { return Text{Bytes: raw, Encoding: "utf-8", width: 1} }

// sniffWide says whether text without a mark is UTF-16: Latin text has a NUL in
// every second byte.
func sniffWide(raw []byte) (little, big bool) {
	n := min(len(raw), sniffSize) &^ 1
	var even, odd int
	for i := 0; i < n; i += 2 {
		if raw[i] == 0 {
			even++
		}
		if raw[i+1] == 0 {
			odd++
		}
	}
	half := n / 2
	enough := half >= 8
	return enough && odd > half*7/10 && even < half/10, enough && even > half*7/10 && odd < half/10
}

func wide(raw []byte, start int, big bool) Text {
	t := Text{Bytes: make([]byte, 0, len(raw)/2), Encoding: "utf-16le", start: start, width: 2}
	hi, lo := 1, 0
	if big {
		t.Encoding, hi, lo = "utf-16be", 0, 1
	}
	for i := start; i+1 < len(raw); i += 2 {
		b := raw[i+lo]
		if raw[i+hi] != 0 {
			b = Other
		}
		t.Bytes = append(t.Bytes, b)
	}
	return t
}

// ebcdic says whether a file begins with a page tag in IBM code page 037, which
// ASP.NET and JSP engines can be told to read and other programs cannot.
func ebcdic(raw []byte) bool {
	raw = bytes.TrimLeft(raw, "\x40\x0d\x25\x15\x05")
	return len(raw) > 2 && raw[0] == 0x4C && (raw[1] == 0x6C || raw[1] == 0x6F || raw[1] == 0xA2)
}

func fromEBCDIC(raw []byte) []byte {
	out := make([]byte, len(raw))
	for i, b := range raw {
		r := charmap.CodePage037.DecodeByte(b)
		switch {
		case r == 0x85: // NEL, the newline of the code page
			out[i] = '\n'
		case r < utf8.RuneSelf:
			out[i] = byte(r)
		default:
			out[i] = Other
		}
	}
	return out
}

// Offset gives the byte of the file that a position of the text stands for.
func (t Text) Offset(i int) int64 { return int64(t.start) + int64(i)*int64(t.width) }

// Line gives the 1-based line of a position.
func (t Text) Line(i int) int64 {
	return int64(bytes.Count(t.Bytes[:min(i, len(t.Bytes))], []byte{'\n'})) + 1
}

// Excerpt gives at most max bytes of the line at a position, with a little of
// what stands before it. raw is what [Decode] was given. The result is hostile.
func (t Text) Excerpt(raw []byte, i, max int) string {
	i = min(i, len(t.Bytes))
	from := i
	for from > 0 && i-from < max/4 && t.Bytes[from-1] != '\n' {
		from--
	}
	to := i
	for to < len(t.Bytes) && to-from < max && t.Bytes[to] != '\n' && t.Bytes[to] != '\r' {
		to++
	}
	if t.width != 2 {
		return string(t.Bytes[from:to])
	}
	units := make([]uint16, 0, to-from)
	for at := t.Offset(from); at+1 < min(t.Offset(to), int64(len(raw))); at += 2 {
		u := uint16(raw[at]) | uint16(raw[at+1])<<8
		if t.Encoding == "utf-16be" {
			u = u<<8 | u>>8
		}
		units = append(units, u)
	}
	s := string(utf16.Decode(units))
	for len(s) > max {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
