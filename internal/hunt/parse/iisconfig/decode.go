package iisconfig

import (
	"bytes"
	"regexp"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"postern"
	"postern/internal/hunt/parse"
)

// declaration is the XML declaration, within what can be its length.
var declaration = regexp.MustCompile(`^\s*<\?xml\s[^>]{0,200}\?>`)

// decode gives the text of the file as UTF-8 that the XML reader accepts, without
// byte order mark. Bytes and characters that XML does not allow are replaced, never
// dropped, so that what stands after them keeps its place.
func (r *reader) decode(raw []byte) []byte {
	charset, bom := parse.Sniff(raw[:min(len(raw), 512)])
	raw = raw[bom:]
	var text []byte
	switch charset {
	case parse.UTF16LE, parse.UTF16BE:
		order := unicode.LittleEndian
		if charset == parse.UTF16BE {
			order = unicode.BigEndian
		}
		// The decoder replaces what is no character; it has no other errors.
		text, _ = unicode.UTF16(order, unicode.IgnoreBOM).NewDecoder().Bytes(raw)
		if bad := bytes.Count(text, []byte(string(utf8.RuneError))); bad > 0 {
			r.bad(postern.Encoding, postern.Say("config.problem.utf16", "count", bad))
		}
	default:
		text = raw
		if !utf8.Valid(text) {
			text, _ = charmap.Windows1252.NewDecoder().Bytes(raw)
			r.bad(postern.Encoding, postern.Say("config.problem.ansi"))
		}
	}
	text = bytes.Clone(text) // it is written to below, and raw is the caller's

	if trimmed := bytes.TrimRight(text, "\x00"); len(trimmed) < len(text) {
		text = trimmed
		r.refused(postern.Truncated, postern.Say("config.problem.nul"))
	}
	// The charset is settled and another XML version would stop the reader.
	blank(text[:len(declaration.Find(text))])
	first := -1
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c < 0x20 && c != '\t' && c != '\n' && c != '\r':
			text[i] = ' '
		case c == 0xEF && i+2 < len(text) && text[i+1] == 0xBF && text[i+2] >= 0xBE: // U+FFFE, U+FFFF
			blank(text[i : i+3])
		default:
			continue
		}
		if first < 0 {
			first = i
		}
	}
	if first >= 0 {
		r.refused(postern.Malformed, postern.Say("config.problem.control", "line", 1+bytes.Count(text[:first], []byte{'\n'})))
	}
	return text
}

func blank(b []byte) {
	for i := range b {
		if b[i] != '\n' {
			b[i] = ' '
		}
	}
}
