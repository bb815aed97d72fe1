package source

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"postern"
)

// tarArchive reads the members of a tar file at their offsets.
type tarArchive struct{ ra randomAccess }

const tarBlockLen = 512

// tarBlock says whether a block is the header of a tar member: its checksum is right.
func tarBlock(b []byte) bool {
	if len(b) < tarBlockLen || b[0] == 0 {
		return false
	}
	want, err := strconv.ParseInt(strings.Trim(string(b[148:156]), " \x00"), 8, 64)
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for i, c := range b[:tarBlockLen] {
		if 148 <= i && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	return want == unsigned || want == signed
}

// maxSparseRun is how many sparse members may follow one another: each is found
// by reading the headers of those before it. tar makes a member sparse only when
// it is asked to and the file has holes.
const maxSparseRun = 64

// readTar lists the members from front to back. A sparse member has its map
// before its data, so that its end is not known by its size: it is found again by
// the header from which on everything is known.
func readTar(x *index, ra randomAccess) format {
	section := io.NewSectionReader(ra, 0, ra.Size())
	r := tar.NewReader(section)
	type link struct{ name, target string }
	var links []link
	known, skip := int64(0), 0 // the last header whose offset is known, and how many came since
	for n := 0; ; n++ {
		if n%1024 == 0 && x.e.ctx.Err() != nil {
			break
		}
		h, err := nextHeader(r)
		if err == io.EOF {
			next, more := x.behind(section)
			if !more {
				break
			}
			r, known, skip = tar.NewReader(section), next, 0
			continue
		}
		if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				x.e.problem(x.outer, postern.Truncated, postern.Say("source.archive-truncated", "count", len(x.members)))
			} else {
				x.e.problem(x.outer, postern.Malformed, postern.Say("source.archive-damaged", "error", reason(err)))
			}
			break
		}
		at, _ := section.Seek(0, io.SeekCurrent)
		m := member{size: h.Size, offset: at, flags: free}
		m.setTime(h.ModTime)
		m.packed = int64(skip)
		holes := isSparse(h)
		if holes {
			m.offset, m.flags = known, sparse
			skip++
		} else {
			known, skip = (at+dataLength(h)+tarBlockLen-1)/tarBlockLen*tarBlockLen, 0
		}
		ok := true
		switch h.Typeflag {
		case tar.TypeReg, 0, tar.TypeCont, tar.TypeGNUSparse:
			if skip > maxSparseRun {
				x.e.problem(x.outer, postern.Unsupported, postern.Say("source.member-special", "name", printable(h.Name)))
				continue
			}
			ok = x.add(h.Name, m, m.size)
		case tar.TypeDir:
			ok = x.addFolder(h.Name)
		case tar.TypeLink:
			// It may lead to a member that is still to come.
			if len(links) < x.e.limits.Members {
				links = append(links, link{h.Name, h.Linkname})
			}
		case tar.TypeSymlink:
			x.e.problem(x.outer, postern.Unsupported, postern.Say("source.member-link", "name", printable(h.Name)))
		case tar.TypeXGlobalHeader:
		default:
			x.e.problem(x.outer, postern.Unsupported, postern.Say("source.member-special", "name", printable(h.Name)))
		}
		if !ok {
			break
		}
	}
	for _, l := range links {
		target, _ := safeName(l.target, x.e.limits)
		no, found := x.names[target]
		if !found || no == folderNo {
			x.e.problem(x.outer, postern.Malformed, postern.Say("source.member-link-broken", "name", printable(l.name)))
			continue
		}
		m := x.members[no] // the same bytes under another name, but not for nothing:
		m.flags &^= free   // 100,000 links to one member are a bomb, too
		if !x.add(l.name, m, ra.Size()) {
			break
		}
	}
	return &tarArchive{ra}
}

// behind goes behind the end of a tar file, which is two blocks of zeros and as many
// more as fill a tape. Programs put one tar file behind another so; what is none is told.
func (x *index) behind(section *io.SectionReader) (at int64, more bool) {
	at, _ = section.Seek(0, io.SeekCurrent)
	buf := make([]byte, 64<<10)
	for x.e.ctx.Err() == nil {
		n, _ := section.ReadAt(buf, at)
		if n == 0 {
			return 0, false
		}
		if i := bytes.IndexFunc(buf[:n], func(r rune) bool { return r != 0 }); i >= 0 {
			at += int64(i / tarBlockLen * tarBlockLen)
			if block := buf[:tarBlockLen]; readAt(section, block, at) && tarBlock(block) {
				_, err := section.Seek(at, io.SeekStart)
				return at, err == nil
			}
			x.e.problem(x.outer, postern.Malformed, postern.Say("source.tar-behind", "size", section.Size()-at))
			return 0, false
		}
		at += int64(n)
	}
	return 0, false
}

// nextHeader is Next without the panics that hostile headers might provoke.
func nextHeader(r *tar.Reader) (h *tar.Header, err error) {
	defer func() {
		if p := recover(); p != nil {
			h, err = nil, fmt.Errorf("tar: %v", p)
		}
	}()
	return r.Next()
}

// dataLength is how many bytes follow a header that is not of a sparse member.
func dataLength(h *tar.Header) int64 {
	switch h.Typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo, tar.TypeXGlobalHeader:
		return 0
	}
	return h.Size
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func (t *tarArchive) read(m *member) (io.ReadCloser, error) {
	if m.flags&sparse == 0 {
		return sectionReader{io.NewSectionReader(t.ra, m.offset, m.size)}, nil
	}
	r := tar.NewReader(io.NewSectionReader(t.ra, m.offset, t.ra.Size()-m.offset))
	for range m.packed + 1 {
		if _, err := nextHeader(r); err != nil {
			return nil, err
		}
	}
	return io.NopCloser(r), nil
}
