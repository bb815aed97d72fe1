package text

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"

	"postern/internal/report"
)

// minWidth is the narrowest page that the tables still fit on.
const minWidth = 60

// page writes lines that are never wider than the page. Text goes through safe
// before it is measured, so nothing that a terminal obeys gets through except the
// colours that page adds itself.
type page struct {
	w     *bufio.Writer
	width int
	ascii bool
	color bool
	draw  glyphs
}

// glyphs are what rules, bars and marks are drawn with.
type glyphs struct {
	rule, thick      string
	rungOn, rungOff  string
	cells            [4]string // nothing, less than half, more than half, all of a cell covered
	mark, bullet     string
	middot, to, more string
}

var (
	unicodeGlyphs = glyphs{
		rule: "─", thick: "━", rungOn: "■", rungOff: "□", cells: [4]string{"·", "░", "▒", "█"},
		mark: "▲", bullet: "•", middot: "·", to: "→", more: "…",
	}
	asciiGlyphs = glyphs{
		rule: "-", thick: "=", rungOn: "#", rungOff: ".", cells: [4]string{".", "-", "+", "#"},
		mark: "^", bullet: "*", middot: "-", to: "->", more: "...",
	}
)

func newPage(w io.Writer, opt report.Options) *page {
	p := &page{w: bufio.NewWriter(w), width: opt.Width, ascii: opt.ASCII, color: opt.Color, draw: unicodeGlyphs}
	if p.width == 0 {
		p.width = 80
	}
	p.width = max(p.width, minWidth)
	if p.ascii {
		p.draw = asciiGlyphs
	}
	return p
}

// style is a colour of the terminal. Colour repeats what words say; it never
// says anything alone.
type style string

const (
	none   style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "1;31"
	yellow style = "1;33"
	green  style = "1;32"
)

func (p *page) paint(s style, text string) string {
	if !p.color || s == none || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// line writes one line that is known to fit.
func (p *page) line(parts ...string) {
	for _, s := range parts {
		p.w.WriteString(s)
	}
	p.w.WriteByte('\n')
}

// section writes a heading.
func (p *page) section(title string) {
	p.line()
	p.line(p.paint(bold, p.fit(strings.ToUpper(title), p.width)))
}

// wrap writes text behind first, and behind rest from the second line on. Text
// has to be safe.
func (p *page) wrap(first, rest, text string, s style) {
	indent := first
	for _, l := range split(text, p.width-max(wide(first), wide(rest))) {
		p.line(indent, p.paint(s, l))
		indent = rest
	}
}

// safe makes text from anywhere fit for the terminal: visible, on one line, and in
// ASCII if that is all the terminal shows.
func (p *page) safe(s string) string {
	s = report.Visible(s)
	if p.ascii {
		s = toASCII(s)
	}
	return s
}

// plainly are the signs of our own sentences in ASCII.
var plainly = strings.NewReplacer(
	"…", "...", "–", "-", "—", "-", "→", "->", "·", "-", "•", "*", "“", `"`, "”", `"`,
	"«", `"`, "»", `"`, "‘", "'", "’", "'", "¿", "?", "¡", "!", "×", "x", "≥", ">=", "≤", "<=",
)

// toASCII takes the accents off and writes the rest out as \uXXXX. The JSON has
// the letters as they are.
func toASCII(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range norm.NFD.String(plainly.Replace(s)) {
		switch {
		case r <= '~':
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r):
		case r > 0xFFFF:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// wide gives the columns that a text takes, without the colours of page. Safe
// text has no escape character of its own.
func wide(s string) int {
	n := 0
	for {
		head, rest, colored := strings.Cut(s, "\x1b[")
		n += uniseg.StringWidth(head)
		if !colored {
			return n
		}
		_, s, _ = strings.Cut(rest, "m")
	}
}

// fit cuts text to a number of columns.
func (p *page) fit(s string, n int) string {
	if wide(s) <= n {
		return s
	}
	head, _ := cutAt(s, n-wide(p.draw.more))
	return head + p.draw.more
}

// pad makes text exactly n columns wide.
func (p *page) pad(s string, n int) string {
	s = p.fit(s, n)
	return s + strings.Repeat(" ", max(0, n-wide(s)))
}

// cutAt gives as much of s as fits in n columns, and the rest. It never cuts a
// letter from its marks, and always takes at least one.
func cutAt(s string, n int) (head, rest string) {
	used, at, state := 0, 0, -1
	for rest = s; rest != ""; {
		cluster, after, width, next := uniseg.FirstGraphemeClusterInString(rest, state)
		if used+width > n && at > 0 {
			break
		}
		used, at, rest, state = used+width, at+len(cluster), after, next
	}
	return s[:at], s[at:]
}

// split breaks text into lines of at most n columns, at spaces where there are
// some, and within a word at a sign that paths and addresses have: before a
// backslash, so that \u001b stays in one piece, and after the others.
func split(s string, n int) []string {
	n = max(n, 8)
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && wide(line)+1+wide(word) <= n {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for wide(word) > n {
			head, rest := cutAt(word, n)
			if at := strings.LastIndexAny(head, `/\&?;,=`); at >= len(head)/2 {
				if head[at] != '\\' {
					at++
				}
				head, rest = word[:at], word[at:]
			}
			lines = append(lines, head)
			word = rest
		}
		line = word
	}
	return append(lines, line)
}
