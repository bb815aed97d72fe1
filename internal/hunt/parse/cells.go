package parse

import (
	"bytes"
	"strings"
	"time"

	"postern"
)

// split cuts a line into cells. With ',' a cell that begins with a quote ends at
// the next quote that is not doubled (RFC 4180); quoted says whether there was
// one, and then cells that begin with a quote still carry their quotes. With ' '
// no cell is empty: several blanks part two cells as one does, as web servers
// write a name that begins with one.
func split(line []byte, delim byte, cells [][]byte) (_ [][]byte, quoted bool) {
	for len(cells) < maxColumns {
		if delim == ' ' {
			if line = bytes.Trim(line, " "); len(line) == 0 {
				return cells, false
			}
		}
		if delim == ',' && len(line) > 0 && line[0] == '"' {
			quoted = true
			end := closingQuote(line)
			comma := bytes.IndexByte(line[end:], delim)
			if comma < 0 {
				return append(cells, line), quoted
			}
			cells = append(cells, line[:end+comma])
			line = line[end+comma+1:]
			continue
		}
		i := bytes.IndexByte(line, delim)
		if i < 0 {
			return append(cells, line), quoted
		}
		cells = append(cells, line[:i])
		line = line[i+1:]
	}
	return append(cells, line), quoted
}

// cell takes one cell off the beginning of a line, without its quotes, and says
// whether another follows. It cuts where split does.
func cell(line string, delim byte) (value, rest string, more bool) {
	if delim == ' ' {
		line = strings.Trim(line, " ")
	}
	if delim == ',' && strings.HasPrefix(line, `"`) {
		end := closingQuote(line)
		comma := strings.IndexByte(line[end:], delim)
		if comma < 0 {
			return unquote(line), "", false
		}
		return unquote(line[:end+comma]), line[end+comma+1:], true
	}
	i := strings.IndexByte(line, delim)
	if i < 0 {
		return line, "", false
	}
	return line[:i], line[i+1:], true
}

// closingQuote gives the index after the quote that closes the cell at the
// beginning of line, or the length of the line.
func closingQuote[T string | []byte](line T) int {
	for i := 1; i < len(line); i++ {
		if line[i] != '"' {
			continue
		}
		if i+1 < len(line) && line[i+1] == '"' {
			i++
			continue
		}
		return i + 1
	}
	return len(line)
}

// unquote takes the quotes off a cell that begins with one. Text after the
// closing quote is kept: it is malformed, not absent.
func unquote(s string) string {
	if !strings.HasPrefix(s, `"`) {
		return s
	}
	end := closingQuote(s)
	inner, rest := s[1:end], s[end:]
	if len(inner) > 0 && inner[len(inner)-1] == '"' {
		inner = inner[:len(inner)-1]
	}
	return strings.ReplaceAll(inner, `""`, `"`) + rest
}

// parseTime reads yyyy-mm-dd, a T or space, hh:mm:ss, any fraction, and Z or
// nothing, from the beginning of b. All such logs are in UTC.
func parseTime(b []byte) (postern.Instant, bool) {
	const form = "dddd-dd-dd dd:dd:dd"
	if len(b) < len(form) {
		return time.Time{}, false
	}
	for i := 0; i < len(form); i++ {
		switch c := b[i]; form[i] {
		case 'd':
			if c < '0' || c > '9' {
				return time.Time{}, false
			}
		case ' ':
			if c != 'T' && c != 't' && c != ' ' {
				return time.Time{}, false
			}
		default:
			if c != form[i] {
				return time.Time{}, false
			}
		}
	}
	n := func(i, digits int) (v int) {
		for _, c := range b[i : i+digits] {
			v = v*10 + int(c-'0')
		}
		return v
	}
	year, month, day, hour, minute, second := n(0, 4), n(5, 2), n(8, 2), n(11, 2), n(14, 2), n(17, 2)
	nanos := 0
	if len(b) > 20 && b[19] == '.' {
		scale := 100_000_000
		for _, c := range b[20:] {
			if c < '0' || c > '9' || scale == 0 {
				break
			}
			nanos += int(c-'0') * scale
			scale /= 10
		}
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	// time.Date carries 31 February over; a log never writes that.
	if t.Day() != day || int(t.Month()) != month || t.Hour() != hour || t.Minute() != minute || year < 1990 {
		return time.Time{}, false
	}
	return t, true
}

// findTime gives the first time that stands anywhere in the beginning of an
// opaque line, and its text.
func findTime(s string) (postern.Instant, string, bool) {
	for i := 0; i+19 <= len(s) && i < 256; i++ {
		if s[i] == '1' || s[i] == '2' {
			stamp := s[i:min(len(s), i+32)]
			if t, ok := parseTime([]byte(stamp)); ok {
				return t, stamp, true
			}
		}
	}
	return time.Time{}, "", false
}
