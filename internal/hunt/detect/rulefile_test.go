package detect

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// encode gives a text in UTF-16.
func encode(s string, order binary.AppendByteOrder, mark bool) []byte {
	units := utf16.Encode([]rune(s))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var b []byte
	for _, u := range units {
		b = order.AppendUint16(b, u)
	}
	return b
}

func TestRuleText(t *testing.T) {
	const text = "título: 𝄞\n"
	for name, b := range map[string][]byte{
		"UTF-8":                 []byte(text),
		"with a mark":           []byte("\xef\xbb\xbf" + text),
		"UTF-16":                encode(text, binary.LittleEndian, true),
		"UTF-16 without a mark": encode(text, binary.LittleEndian, false),
		"big endian":            encode(text, binary.BigEndian, true),
		"both":                  encode(text, binary.BigEndian, false),
		"half a character":      append(encode(text, binary.LittleEndian, true), 'x'),
	} {
		if got := string(RuleText(b)); got != text {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, s := range []string{"", "a", "\xff\xfe", "\x00\x00", "\xf1and\xfa"} {
		if got := string(RuleText([]byte(s))); got != s && got != "" {
			t.Errorf("%q is %q", s, got)
		}
	}
}

// Whatever stands in a file, what was decoded is text, and text stays what it is.
func FuzzRuleText(f *testing.F) {
	f.Add([]byte("rule a { condition: true }"))
	f.Add(encode("rule a { condition: true }", binary.LittleEndian, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := RuleText(b)
		if !bytes.HasSuffix(b, got) && !utf8.Valid(got) {
			t.Errorf("%q is %q", b, got)
		}
		if utf8.Valid(b) && !bytes.ContainsRune(b, 0) && !bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) && !bytes.Equal(got, b) {
			t.Errorf("%q is changed to %q", b, got)
		}
	})
}
