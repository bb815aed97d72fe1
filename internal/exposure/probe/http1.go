package probe

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strconv"
	"strings"

	"postern/internal/exposure"
)

// Bounds of one answer. Hosts are hostile; real answers stay far below.
const (
	maxStatusLine = 512
	maxHead       = 32 << 10  // bytes of all header lines: a real head has about 1 KB
	maxLines      = 100       // header lines kept; real heads have about 20
	maxBody       = 16 << 10  // bytes of a body that are kept: the facts stand in the first 8 KB of a page
	maxDrain      = 192 << 10 // bytes of a body that are read away so that the connection can be used again
	maxInterim    = 3         // 1xx answers before the real one
	maxChunkLine  = 256       // size and extensions of a chunk
	maxTrailer    = 8 << 10
)

// What an answer can be too wrong for. Each is evidence of a sort, never a panic.
var (
	errNotHTTP  = errors.New("the answer is not HTTP")
	errHeadSize = errors.New("the head is longer than 32 KB")
	errInterim  = errors.New("too many interim answers")
	errHTTP2    = errors.New("the host speaks HTTP/2 without having been asked to")
)

// scratch is the memory of one visit from its first handshake that succeeds, used
// again by the next: most visits that are under way wait for a host to speak.
type scratch struct {
	br   *bufio.Reader
	head []byte
	body []byte
	out  []byte
}

func newScratch() *scratch {
	return &scratch{br: bufio.NewReaderSize(nil, 4096), head: make([]byte, 0, 4096), body: make([]byte, 0, 4096), out: make([]byte, 0, 512)}
}

// readAnswer reads one answer to a GET. The body of the answer is s.body and is valid
// until the next call. Keep says whether the connection can carry another request.
// With an error that is not errNotHTTP the answer may still hold a status and a head.
func (s *scratch) readAnswer() (a exposure.Answer, keep bool, err error) {
	for range maxInterim + 1 {
		if a, keep, err = s.readHead(); err != nil || a.Status >= 200 {
			break
		}
		if a.Status == 101 {
			return a, false, errNotHTTP // nobody asked for another protocol
		}
	}
	if err != nil {
		return a, false, err
	}
	if a.Status < 200 {
		return a, false, errInterim
	}
	whole, err := s.readBody(&a)
	a.Body = s.body
	return a, keep && whole && err == nil, err
}

// readHead reads the status line and the header lines into one string.
func (s *scratch) readHead() (a exposure.Answer, keep bool, err error) {
	// A SETTINGS or GOAWAY frame; its length has no three digits.
	if b, _ := s.br.Peek(4); len(b) == 4 && b[0] == 0 && b[1] == 0 && (b[3] == 4 || b[3] == 7) {
		return a, false, errHTTP2
	}
	line, cut, err := s.line(maxStatusLine)
	if err != nil {
		if len(line) > 0 && !bytes.HasPrefix([]byte("HTTP/1."), line[:min(len(line), 7)]) {
			err = errNotHTTP
		}
		return a, false, err
	}
	minor, status, ok := statusLine(line)
	if !ok || cut {
		return a, false, errNotHTTP
	}
	a.Status, keep = status, minor == '1'
	s.head = s.head[:0]
	var ends [maxLines]int // of the lines kept, in s.head
	lines, total := 0, 0
	for {
		line, _, err := s.line(maxHead)
		if total += len(line) + 2; total > maxHead {
			return a, false, errHeadSize
		}
		if err != nil {
			return a, false, err
		}
		if len(line) == 0 {
			break
		}
		if lines < maxLines {
			s.head = append(s.head, line...)
			ends[lines] = len(s.head)
			lines++
		}
	}
	text := string(s.head)
	a.Header = make([]exposure.Header, 0, lines)
	for i, at := 0, 0; i < lines; i++ {
		raw := text[at:ends[i]]
		at = ends[i]
		if raw[0] == ' ' || raw[0] == '\t' {
			continue // a folded line: obsolete, and nobody who is honest sends it
		}
		name, value, ok := strings.Cut(raw, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			continue
		}
		a.Header = append(a.Header, exposure.Header{Name: name, Value: strings.Trim(value, " \t")})
	}
	if c := strings.ToLower(a.Get("Connection")); strings.Contains(c, "close") {
		keep = false
	} else if minor == '0' && strings.Contains(c, "keep-alive") {
		keep = true
	}
	return a, keep, nil
}

// statusLine reads "HTTP/1.1 302 Found".
func statusLine(b []byte) (minor byte, status int, ok bool) {
	if len(b) < 12 || !bytes.HasPrefix(b, []byte("HTTP/1.")) || b[7] != '0' && b[7] != '1' || b[8] != ' ' || len(b) > 12 && b[12] != ' ' {
		return 0, 0, false
	}
	for _, c := range b[9:12] {
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		status = status*10 + int(c-'0')
	}
	return b[7], status, status >= 100
}

// line reads one line without its end. Longer than the reader's buffer it is cut, and
// the rest read away up to most bytes.
func (s *scratch) line(most int) (line []byte, cut bool, err error) {
	line, err = s.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		// The next read overwrites the buffer.
		kept := append(make([]byte, 0, len(line)), line...)
		n := len(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			var more []byte
			if more, err = s.br.ReadSlice('\n'); n+len(more) > most {
				return kept, true, errHeadSize
			}
			n += len(more)
		}
		return kept, true, err
	}
	if err != nil {
		return line, false, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, false, nil
}

// readBody reads the body, keeps its beginning and says whether it came whole, so
// that the connection stands at the next answer.
func (s *scratch) readBody(a *exposure.Answer) (whole bool, err error) {
	s.body = s.body[:0]
	if a.Status == 204 || a.Status == 304 {
		return true, nil
	}
	if te := a.Get("Transfer-Encoding"); te != "" {
		if !strings.EqualFold(strings.TrimSpace(te), "chunked") {
			return false, nil
		}
		whole, err = s.readChunks()
		return whole && a.Get("Content-Length") == "", s.decode(a, err)
	}
	length, known := contentLength(a)
	if !known {
		// Until the connection closes; what counts stands at the beginning.
		_, err = s.take(maxDrain)
		return false, s.decode(a, err)
	}
	got, err := s.take(min(length, maxDrain))
	return got == length, s.decode(a, err)
}

// contentLength gives the length that the head announces. Two that differ, or one
// that is no number, count as none.
func contentLength(a *exposure.Answer) (int64, bool) {
	var length int64
	known := false
	for i := range a.Header {
		if !strings.EqualFold(a.Header[i].Name, "Content-Length") {
			continue
		}
		n, err := strconv.ParseUint(a.Header[i].Value, 10, 62)
		if err != nil || known && int64(n) != length {
			return 0, false
		}
		length, known = int64(n), true
	}
	return length, known
}

// take reads up to n bytes of body, keeps what fits and gives how many there were.
// The end of the connection is no error: the body is what came.
func (s *scratch) take(n int64) (got int64, err error) {
	for got < n {
		b, err := s.br.Peek(1)
		if err == nil {
			b, _ = s.br.Peek(int(min(int64(s.br.Buffered()), n-got)))
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return got, nil
			}
			return got, err
		}
		if room := maxBody - len(s.body); room > 0 {
			s.body = append(s.body, b[:min(len(b), room)]...)
		}
		got += int64(len(b))
		_, _ = s.br.Discard(len(b))
	}
	return got, nil
}

// readChunks reads a chunked body. It is whole if its last chunk came within bounds.
func (s *scratch) readChunks() (whole bool, err error) {
	for total := int64(0); ; {
		line, cut, err := s.line(maxChunkLine)
		if err != nil || cut {
			return false, ignoreEOF(err)
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(digits[:min(len(digits), 32)])), 16, 32)
		if err != nil {
			return false, nil
		}
		if n == 0 {
			break
		}
		got, err := s.take(min(int64(n), maxDrain-total))
		if total += got; err != nil || got != int64(n) {
			return false, err
		}
		if line, _, err = s.line(maxChunkLine); err != nil || len(line) != 0 {
			return false, ignoreEOF(err)
		}
	}
	for n := 0; n < maxTrailer; {
		line, _, err := s.line(maxTrailer)
		if err != nil {
			return false, ignoreEOF(err)
		}
		if len(line) == 0 {
			return true, nil
		}
		n += len(line)
	}
	return false, nil
}

// ignoreEOF lets a body end early: what came is what there is. Reader errors that are
// about the shape of the body do not hide its head either.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errHeadSize) {
		return nil
	}
	return err
}

// decode replaces a body in gzip by its beginning in plain. Nobody asked for it, but
// some proxies pack everything.
func (s *scratch) decode(a *exposure.Answer, err error) error {
	if err != nil || !strings.EqualFold(strings.TrimSpace(a.Get("Content-Encoding")), "gzip") {
		return err
	}
	zr, err := gzip.NewReader(bytes.NewReader(s.body))
	if err != nil {
		return nil // not gzip after all: the bytes stay as they are
	}
	plain := make([]byte, maxBody)
	n, _ := io.ReadFull(zr, plain) // cut or damaged: what came before counts
	s.body = append(s.body[:0], plain[:n]...)
	return nil
}
