package webfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"

	"postern"
	page "postern/internal/hunt/parse/webfile"
)

// Bounds of reading.
const (
	// maxRead is kept of a file's beginning. The largest public web shell has
	// 1.2 MB, the mailbox exports that were used as one up to 2 MB.
	maxRead = 4 << 20
	// maxTail is kept of the end of a larger file, where what is appended stands.
	maxTail = 256 << 10
	// maxHash is how far a file is hashed; no page and no published tool is larger.
	maxHash = 64 << 20
	// chunk is read at a time behind maxRead.
	chunk = 64 << 10
)

// sha256 gives the hash of a file that was read, lower-case hex, "" where none was
// taken. Of a file in memory it is not taken before it is asked for, since of most pages
// there is nothing to say.
func (l *look) sha256() string {
	if l.unhashed != nil {
		sum := sha256.Sum256(l.unhashed)
		l.sum, l.unhashed = hex.EncodeToString(sum[:]), nil
	}
	return l.sum
}

// read reads the file: the beginning, the end, and the hash over all of it.
func (l *look) read(s role) error {
	if whole := l.f.Whole; whole != nil && len(whole) <= maxRead {
		l.raw, l.unhashed = whole, whole
		return nil
	}
	r, err := l.f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	all := sha256.New()

	keep, pages := int64(maxRead), true
	if s == roleNamed {
		keep, pages = chunk, false
	}
	l.raw, err = readAll(io.TeeReader(io.LimitReader(r, keep), all), nil, min(l.f.Size, keep))
	read := int64(len(l.raw))
	if err == nil && read == keep {
		read, err = l.rest(r, all, read, pages)
	}
	if err != nil {
		return err
	}
	if read > maxHash {
		l.problem(postern.Limit, postern.Say("webfile.problem.large", "bound", maxHash>>20))
		return nil
	}
	l.sum = hex.EncodeToString(all.Sum(nil))
	return nil
}

// rest reads what lies behind the part that is kept, for the hashes and the tail.
func (l *look) rest(r io.Reader, all io.Writer, read int64, tail bool) (int64, error) {
	buf := make([]byte, chunk)
	var end []byte
	start := read
	for read <= maxHash {
		n, err := r.Read(buf)
		_, _ = all.Write(buf[:n]) // hashes do not fail
		read += int64(n)
		if tail {
			end = append(end, buf[:n]...)
			if len(end) > 2*maxTail {
				end = append(end[:0], end[len(end)-maxTail:]...)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return read, err
		}
	}
	if len(end) > maxTail {
		end = end[len(end)-maxTail:]
	}
	if read > start && tail {
		l.tail, l.tailAt = end, read-int64(len(end))
		l.problem(postern.Limit, postern.Say("webfile.problem.middle", "bound", maxRead>>20))
	}
	return read, nil
}

func (l *look) problem(what postern.ProblemKind, detail postern.Text) {
	l.problems = append(l.problems, postern.Problem{Path: l.f.Path, What: what, Detail: detail})
}

// gate reads a static file and says whether it can be forgotten: it holds no mark
// of code that a server runs.
func (l *look) gate() (quiet bool, err error) {
	if l.f.Whole != nil {
		return !marked(l.f.Whole), nil
	}
	r, err := l.f.Open()
	if err != nil {
		return false, err
	}
	defer r.Close()
	space := l.d.files.Take()
	if space == nil {
		space = new([]byte)
	}
	defer l.d.files.Put(space)
	b, err := readAll(io.LimitReader(r, maxStatic), *space, l.f.Size)
	if cap(b) <= keptStatic {
		*space = b
	}
	return err == nil && !marked(b), err
}

// keptStatic is how large the space for a file may be to be kept for the next.
const keptStatic = 256 << 10

// readAll reads what there is into a space, which grows at once to what is said to come.
func readAll(r io.Reader, into []byte, size int64) ([]byte, error) {
	b := slices.Grow(into[:0], int(min(max(size, 0), maxRead))+bytes.MinRead)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			b = slices.Grow(b, bytes.MinRead)
		}
	}
}

// marked says whether code that a server would run may stand in a file. It is
// the cheap question before every other: three passes at the speed of memory.
func marked(b []byte) bool {
	if isWide(b) {
		b = page.Decode(b).Bytes
	}
	if bytes.IndexByte(b[:min(len(b), 512)], 0) >= 0 {
		// Not text: pairs of bytes mean nothing, whole tags do.
		return bytes.Contains(b, []byte("<%@")) || bytes.Contains(b, []byte("<?php")) || serverScript(b)
	}
	return bytes.Contains(b, []byte("<%")) || bytes.Contains(b, []byte("<?php")) || bytes.Contains(b, []byte("<?=")) || serverScript(b)
}

func isWide(b []byte) bool {
	return len(b) > 3 && (b[0] == 0xFF && b[1] == 0xFE || b[0] == 0xFE && b[1] == 0xFF || b[0] != 0 && b[1] == 0 && b[3] == 0 || b[0] == 0 && b[2] == 0 && b[1] != 0)
}

// serverScript looks for a script element that runs on the server.
func serverScript(b []byte) bool {
	for _, open := range [...]string{"<s", "<S"} {
		for at := 0; ; {
			i := bytes.Index(b[at:], []byte(open))
			if i < 0 {
				break
			}
			at += i + 2
			tag := b[at:min(at+300, len(b))]
			if len(tag) > 5 && strings.EqualFold(string(tag[:5]), "cript") && (page.IndexFold(tag, "runat") >= 0 || page.IndexFold(tag, "php") >= 0) {
				return true
			}
		}
	}
	return false
}
