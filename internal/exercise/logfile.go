package exercise

import (
	"io"
	"os"
	"path"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of log files.
const (
	// rollSize is where Exchange goes on in a file with the next number.
	rollSize = 10 << 20
	// flushSize is gathered before it is written; about 25 logs of a host are open at once.
	flushSize = 64 << 10
	// sector is what a file grows by before a crash leaves the end of it empty.
	sector = 4096
)

// stream is one log of one service: the files that it rolls through, in time order.
type stream struct {
	h      *host
	source string
	dir    string // below the host's folder
	period int64  // after which a new file begins
	limit  int64  // of bytes in a file; 0 is none
	// name gives the file name for a time and a number that rises when the limit is met.
	name func(b []byte, at int64, number int) []byte
	// head gives the header block, each line ended.
	head   func(s *stream, b []byte, at int64) []byte
	layout layout
	mark   bool // begins with a byte order mark
	// keepFrom is when the oldest rows that have not been removed are of.
	keepFrom int64
	// renew: a restarted service begins a new file, as its process id is in the name.
	renew bool
	// unusual gives the columns of the file that holds a time, if they are unusual.
	unusual func(at int64) (layout, bool)

	file    *os.File
	path    string
	slot    int64 // which period the open file is of
	number  int
	epoch   int // how many restarts the open file has seen
	wide    bool
	columns layout // of the open file
	buf     []byte
	line    int64 // lines written
	stored  int64 // bytes of the file
	text    int64 // the same of its text as UTF-8, without the byte order mark of UTF-16
	last    int   // where the last row begins in buf
	lastAt  int64
	planted bool // the last row is a planted one
	cover   *cover
}

// cover counts the rows of a source by hour.
type cover struct {
	first, last int64
	records     int64
	hours       []bool
}

func (c *cover) count(h *host, at int64) {
	if c.records == 0 || at < c.first {
		c.first = at
	}
	c.last = max(c.last, at)
	c.records++
	if i := int((at - h.from) / hour); i >= 0 && i < len(c.hours) {
		c.hours[i] = true
	}
}

// gaps gives the hours without a row, merged.
func (c *cover) gaps(from int64) (gaps []Span) {
	for i, seen := range c.hours {
		if seen {
			continue
		}
		start, end := instant(from+int64(i)*hour), instant(from+int64(i+1)*hour)
		if n := len(gaps); n > 0 && gaps[n-1].To.Equal(start) {
			gaps[n-1].To = end
		} else {
			gaps = append(gaps, Span{start, end})
		}
	}
	return gaps
}

// write adds a row, which must not end in a line break, and says where it went;
// false if the row is of a time whose logs have been removed since.
func (s *stream) write(at int64, row []byte) (Place, bool) {
	if at < s.keepFrom || at >= s.h.to {
		return Place{}, false
	}
	s.ready(at)
	where := Place{Path: s.path, Line: s.line + 1, Offset: s.text, Stored: s.stored}
	if len(s.buf) > flushSize {
		s.flush()
	}
	s.last, s.lastAt, s.planted = len(s.buf), max(at, s.lastAt), false
	s.put(row, true)
	s.line++
	s.cover.count(s.h, at)
	return where, true
}

// ready sees to it that the right file is open for a row of this time.
func (s *stream) ready(at int64) {
	slot, epoch := at/s.period, s.h.epoch(at)
	if s.file != nil {
		// Rows of two requests can change places; the one that comes late goes into
		// the file that is open, as it does in Exchange.
		slot, epoch = max(slot, s.slot), max(epoch, s.epoch)
		at = max(at, s.lastAt)
	}
	switch {
	case s.file == nil || slot != s.slot:
		s.close()
		s.open(at, slot, 1)
	case s.limit > 0 && s.stored >= s.limit:
		s.close()
		s.open(at, slot, s.number+1)
	case epoch != s.epoch && s.renew:
		s.close()
		s.open(at, slot, 1)
	case epoch != s.epoch && s.limit > 0 && s.h.restarts[epoch-1].crash:
		// What had been reserved and not yet written is left as zeros, and the
		// service begins a new file.
		if pad := sector - s.stored%sector; pad < sector {
			s.buf = append(s.buf, make([]byte, pad)...)
			s.stored += pad
			s.h.damaged(s.path, "nul-padding")
		}
		s.close()
		s.open(at, slot, s.number+1)
	case epoch != s.epoch:
		s.epoch = epoch
		s.header(at)
	}
}

func (s *stream) open(at, slot int64, number int) {
	s.slot, s.number, s.epoch = slot, number, s.h.epoch(at)
	s.path = path.Join(s.h.folder, s.dir, string(s.name(nil, at, number)))
	s.line, s.text, s.stored, s.wide = 0, 0, 0, s.h.resaved[s.path]
	s.columns = s.layout
	if s.unusual != nil {
		if l, ok := s.unusual(at); ok {
			s.columns = l
		}
	}
	s.file = s.h.create(s.path)
	switch {
	case s.wide:
		s.buf = append(s.buf, 0xFF, 0xFE)
		s.h.damaged(s.path, "utf-16")
	case s.mark:
		s.buf = append(s.buf, 0xEF, 0xBB, 0xBF)
	}
	s.stored = int64(len(s.buf))
	if !s.wide {
		s.text = s.stored
	}
	s.header(at)
}

func (s *stream) header(at int64) {
	s.h.scratch = s.head(s, s.h.scratch[:0], at)
	for _, c := range s.h.scratch {
		if c == '\n' {
			s.line++
		}
	}
	s.put(s.h.scratch, false)
}

// put adds text in the encoding of the file.
func (s *stream) put(text []byte, endLine bool) {
	before := len(s.buf)
	if s.wide {
		s.buf = appendUTF16(s.buf, text)
		if endLine {
			s.buf = append(s.buf, '\r', 0, '\n', 0)
		}
	} else {
		s.buf = append(s.buf, text...)
		if endLine {
			s.buf = append(s.buf, '\r', '\n')
		}
	}
	s.stored += int64(len(s.buf) - before)
	s.text += int64(len(text))
	if endLine {
		s.text += 2
	}
}

func appendUTF16(b, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if r >= 0x10000 {
			high, low := utf16.EncodeRune(r)
			b = append(b, byte(high), byte(high>>8), byte(low), byte(low>>8))
		} else {
			b = append(b, byte(r), byte(r>>8))
		}
	}
	return b
}

func (s *stream) flush() {
	if _, err := s.file.Write(s.buf); err != nil {
		s.h.failed(err)
	}
	s.h.bytes += int64(len(s.buf))
	s.buf = s.buf[:0]
}

// close ends the open file, if there is one.
func (s *stream) close() {
	if s.file == nil {
		return
	}
	s.flush()
	s.h.closed(s.file, s.path, s.lastAt)
	s.file = nil
}

// cut ends the open file in the middle of its last row, as a copy taken while it
// was being written does. A planted row is never cut.
func (s *stream) cut() {
	if s.file == nil || s.planted || len(s.buf) == 0 || s.slot != (s.h.to-1)/s.period {
		return
	}
	s.buf = s.buf[:s.last+(len(s.buf)-s.last)/2]
	s.h.damaged(s.path, "truncated")
}

// in gives the folder that a file of the host is in, made if it is not there. It
// stays open until the host is done: a way through ten folders for each of ten
// thousand logs would cost more than writing them.
func (h *host) in(name string) *os.Root {
	dir := path.Dir(name)
	if r := h.folders[dir]; r != nil {
		return r
	}
	err := h.root.MkdirAll(dir, 0o755)
	r := h.root
	if err == nil {
		r, err = h.root.OpenRoot(dir)
	}
	if err != nil {
		h.failed(err)
		return h.root
	}
	h.folders[dir] = r
	return r
}

// create makes a file of the host and the folders above it. After an error it
// gives a file that cannot be written to, so that callers need not ask.
func (h *host) create(name string) *os.File {
	f, err := h.in(name).Create(path.Base(name))
	if err != nil {
		h.failed(err)
	}
	h.truth.NFiles++
	return f
}

// closed closes a file and gives it the time of what was written last.
func (h *host) closed(f io.Closer, name string, at int64) {
	if err := f.Close(); err != nil {
		h.failed(err)
	}
	t := time.UnixMilli(at)
	if err := h.in(name).Chtimes(path.Base(name), t, t); err != nil {
		h.failed(err)
	}
}

// put writes a whole file of the host with a time.
func (h *host) put(name string, content []byte, at int64) {
	f := h.create(name)
	if _, err := f.Write(content); err != nil {
		h.failed(err)
	}
	h.bytes += int64(len(content))
	h.closed(f, name, at)
}

// failed keeps the first error; the host stops at the end of the hour.
func (h *host) failed(err error) {
	if h.err == nil {
		h.err = err
	}
}

func (h *host) damaged(name, what string) {
	h.truth.Damage = append(h.truth.Damage, Damage{Path: name, What: what})
}
