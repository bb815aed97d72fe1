package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMarks is how many combining marks may stand on one letter. Written
// languages need two or three; a pile of them paints over the lines around it.
const maxMarks = 4

// Visible makes every character that a reader could not see, or that would act
// on a terminal, a page or the direction of the text, into its name: \u001b for
// ESC, \u202e for a change of direction, \xff for a byte that is not UTF-8. The
// result is one line.
func Visible(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	marks := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if unicode.Is(unicode.Mn, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case hidden(r) || marks > maxMarks:
			writeEscape(&b, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// plain says whether s is printable ASCII, as most evidence is.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func writeEscape(b *strings.Builder, r rune) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r > 0xFFFF:
		fmt.Fprintf(b, `\U%08x`, r)
	default:
		fmt.Fprintf(b, `\u%04x`, r)
	}
}

// blank are characters that count as letters or marks but show nothing, or a
// space that is not one.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x034F, 0x034F, 1}, {0x115F, 0x1160, 1}, {0x17B4, 0x17B5, 1}, {0x180B, 0x180F, 1},
		{0x2800, 0x2800, 1}, {0x3164, 0x3164, 1}, {0xFE00, 0xFE0F, 1}, {0xFFA0, 0xFFA0, 1},
	},
	R32: []unicode.Range32{{0xE0100, 0xE01EF, 1}},
}

// hidden says whether a character must not reach a reader as it is: controls,
// everything that steers direction or joins, spaces other than the one of
// ASCII, private and unassigned code points, and blanks.
func hidden(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(blank, r) }

// Cut shortens text to about n characters and marks the cut. It is for text that
// is whole elsewhere.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	count := 0
	for i := range s {
		if count == n {
			return s[:i] + "…"
		}
		count++
	}
	return s
}

// cutBytes is Cut for the words of errors, which are quoted and never long.
func cutBytes(s string, n int) string {
	return Cut(Visible(s[:min(len(s), 4*n)]), n)
}

// Marshal writes one object of the contract on one line of JSON that is safe to
// print: what encoding/json leaves as it is although a terminal would obey it
// (C1 controls, changes of direction, invisible characters) is written as \uXXXX,
// which means the same.
func Marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	safe := true
	for _, c := range b {
		if c >= 0x7F {
			safe = false
			break
		}
	}
	if safe {
		return b, nil
	}
	var out bytes.Buffer
	out.Grow(len(b) + len(b)/16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r < 0x7F || !hidden(r):
			out.Write(b[:n])
		case r > 0xFFFF:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out.Bytes(), nil
}
