package msert

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"postern"
	"postern/internal/hunt/parse"
)

// reader is one pass over one log.
type reader struct {
	log      Log
	path     string
	open     bool // lines belong to the last threat
	kept     int
	overflow bool
}

// Read reads a log to its end. The error is one of reading; what was read before it
// is in the log. The path is only for the problems.
func Read(from io.Reader, path string) (*Log, error) {
	r := &reader{path: path}
	sum := sha256.New()
	raw := &counter{r: io.TeeReader(io.LimitReader(from, MaxBytes+1), sum)}
	in := bufio.NewReader(raw)
	head, _ := in.Peek(512) // an error comes again when reading
	charset, bom := parse.Sniff(head)
	if _, err := in.Discard(bom); err != nil {
		return &r.log, fmt.Errorf("read %s: %w", path, err)
	}
	var text io.Reader = in
	switch charset {
	case parse.UTF16LE:
		text = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder().Reader(in)
	case parse.UTF16BE:
		text = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder().Reader(in)
	}
	err := r.lines(bufio.NewReaderSize(text, MaxLine))
	r.log.Size = raw.n
	switch {
	case raw.n > MaxBytes:
		r.log.Size = MaxBytes
		r.problem(postern.Limit, postern.Say("msert.problem.size", "bound", MaxBytes))
	case err == nil:
		r.log.SHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	if r.overflow {
		r.problem(postern.Limit, postern.Say("msert.problem.many", "scans", MaxScans, "bound", MaxResources))
	}
	switch {
	case len(r.log.Scans) == 0:
		r.problem(postern.Unsupported, postern.Say("msert.problem.none"))
	case r.log.Scans[0].headless:
		r.problem(postern.Truncated, postern.Say("msert.problem.headless"))
	}
	if err != nil {
		return &r.log, fmt.Errorf("read %s: %w", path, err)
	}
	return &r.log, nil
}

// lines hands on one line after the other; of a long one the beginning.
func (r *reader) lines(in *bufio.Reader) error {
	var number, offset, long, firstLong, ansi, firstANSI int64
	skipping := false
	var err error
	for err == nil {
		var b []byte
		b, err = in.ReadSlice('\n')
		whole := !errors.Is(err, bufio.ErrBufferFull)
		if !whole {
			err = nil
		}
		if len(b) > 0 && !skipping {
			number++
			s, ok := valid(bytes.Trim(b, "\x00\r\n"))
			if !ok {
				if ansi++; ansi == 1 {
					firstANSI = number
				}
			}
			if !whole {
				if long++; long == 1 {
					firstLong = number
				}
			}
			if s = strings.TrimSpace(s); s != "" {
				r.line(Place{number, offset, cut(s)}, s)
			}
		}
		offset += int64(len(b))
		skipping = !whole
	}
	if long > 0 {
		r.problem(postern.Limit, postern.Say("msert.problem.long", "count", long, "line", firstLong, "bound", MaxLine))
	}
	if ansi > 0 {
		r.problem(postern.Encoding, postern.Say("msert.problem.ansi", "count", ansi, "line", firstANSI))
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// valid gives a line as text; one that is not UTF-8 is read as Windows-1252.
func valid(b []byte) (string, bool) {
	if utf8.Valid(b) {
		return string(b), true
	}
	text, _ := charmap.Windows1252.NewDecoder().Bytes(b) // has no errors
	return string(text), false
}

func cut(s string) string {
	if len(s) <= maxRaw {
		return s
	}
	return strings.ToValidUTF8(s[:maxRaw], "") + "…"
}

func (r *reader) problem(what postern.ProblemKind, detail postern.Text) {
	r.log.Problems = append(r.log.Problems, postern.Problem{Path: r.path, What: what, Detail: detail})
}

// counter counts what was read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
