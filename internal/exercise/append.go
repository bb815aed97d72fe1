package exercise

import (
	"strconv"
	"time"
)

// Times inside are milliseconds since 1970, UTC.
const (
	second = int64(1000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

func millis(t time.Time) int64   { return t.UnixMilli() }
func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// calendar writes times. It remembers the day it wrote last, as rows come in order.
type calendar struct {
	day  int64
	text [10]byte // 2006-01-02
}

func (c *calendar) date(b []byte, ms int64) []byte {
	if d := ms / day; d != c.day {
		c.day = d
		instant(ms).AppendFormat(c.text[:0], time.DateOnly)
	}
	return append(b, c.text[:]...)
}

func (c *calendar) clock(b []byte, ms int64) []byte {
	s := int(ms % day / second)
	b = two(b, s/3600)
	b = two(append(b, ':'), s/60%60)
	return two(append(b, ':'), s%60)
}

// stamp is the time of Exchange's own logs: 2021-03-03T06:49:43.699Z.
func (c *calendar) stamp(b []byte, ms int64) []byte {
	b = append(c.date(b, ms), 'T')
	b = append(c.clock(b, ms), '.')
	n := int(ms % second)
	return append(two(append(b, byte('0'+n/100)), n%100), 'Z')
}

// w3c is the time of IIS logs: 2021-03-03 06:49:43.
func (c *calendar) w3c(b []byte, ms int64) []byte {
	return c.clock(append(c.date(b, ms), ' '), ms)
}

func two(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

func num(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

// cells is a row being built, with the end of each cell, so that a row can be
// written again in another order.
type cells struct {
	b    []byte
	ends []int
}

func (c *cells) reset() { c.b, c.ends = c.b[:0], c.ends[:0] }

// end closes the cell that was being appended to b.
func (c *cells) end() {
	c.ends = append(c.ends, len(c.b))
	c.b = append(c.b, ',')
}

func (c *cells) text(s string) {
	c.b = append(c.b, s...)
	c.end()
}

// quoted writes a value as RFC 4180 wants it: in quotes if it holds a comma or a quote.
func (c *cells) quoted(s string) {
	c.b = appendCSV(c.b, s)
	c.end()
}

func (c *cells) num(n int) {
	c.b = num(c.b, n)
	c.end()
}

// nums writes a number in each cell.
func (c *cells) nums(numbers ...int) {
	for _, n := range numbers {
		c.num(n)
	}
}

func (c *cells) empty(n int) {
	for range n {
		c.end()
	}
}

// row gives the finished row without the end of the line.
func (c *cells) row() []byte { return c.b[:len(c.b)-1] }

// at gives a cell as it was written.
func (c *cells) at(i int) []byte {
	from := 0
	if i > 0 {
		from = c.ends[i-1] + 1
	}
	return c.b[from:c.ends[i]]
}

// reordered appends the cells in another order to b, -1 standing for an empty
// cell; cells in the set quote are put in quotes although they need none.
func (c *cells) reordered(b []byte, order []int, quote map[int]bool) []byte {
	for i, from := range order {
		if i > 0 {
			b = append(b, ',')
		}
		if from < 0 || from >= len(c.ends) {
			continue
		}
		cell := c.at(from)
		if quote[from] && (len(cell) == 0 || cell[0] != '"') {
			b = append(append(append(b, '"'), cell...), '"')
		} else {
			b = append(b, cell...)
		}
	}
	return b
}

func appendCSV(b []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if s[i] == ',' || s[i] == '"' {
			plain = false
			break
		}
	}
	if plain {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
