package watch

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"postern"
	"postern/internal/hunt/parse"
)

// Bounds of following logs.
const (
	// chunk is read of one log before positions are saved and the others have their turn.
	chunk = 32 << 20
	// headSize is enough to recognise every known log.
	headSize = 16 << 10
	// printed bytes of its beginning, and of what stands before the position, say
	// whether a file is the one that was read.
	printed = 512
	// decided is the size from which on a file that is not recognised never will be.
	decided = 8 << 10
	// active is how long a log that grew is looked at with every tick; after that, looks at
	// its folder find out that it does again.
	active = time.Minute
	// lineWait is how long a row with an open quote may wait for its next line, and
	// halfWait how long half a line for its rest: IIS writes whole buffers, one a minute.
	lineWait = 2 * time.Second
	halfWait = 10 * time.Minute
	// lostWait is how long a log that is gone may take to turn up under another name.
	lostWait = 10 * time.Minute
	// maxLost bounds the logs that are waited for.
	maxLost = 1000
	// batch bounds the findings that are judged together and kept until then.
	batch = 1000
)

// logPos is how far a log was read. What recognises it again are its bytes: names change,
// and the numbers that file systems give are used again.
type logPos struct {
	name string // the path under which the state has it
	mark parse.Mark
	id   fileID
	late bool  // it was there before the watch: what its rows mean is not known yet
	rows bool  // a row was read; heads of logs are all alike
	head trace // of its beginning
	tail trace // of what stands before the position

	format     *parse.Format
	notLog     bool
	size       int64 // when it was last looked at
	quietSince time.Time
	stuck      int64 // size at which what is left of it is no whole row
	half       bool  // and has no line end
	lostAt     time.Time
	claimed    bool // a file has it
	twinned    bool // there is a copy, which is read on from here
}

// trace is the fingerprint of some bytes.
type trace struct {
	n   int
	sum [8]byte
}

func traceOf(b []byte) trace {
	sum := sha256.Sum256(b)
	return trace{len(b), [8]byte(sum[:8])}
}

// take makes the fingerprints of what was read: those bytes, and not what stands in the
// file by now, which may be another one already. Before is what stands before them.
func (p *logPos) take(before []byte, from int64, read *recorder) {
	n := p.mark.Offset - from
	if from == 0 {
		p.head = traceOf(read.first[:min(n, int64(len(read.first)))])
	}
	new, whole := read.upTo(n)
	if !whole {
		before = nil
	}
	tail := append(before[:len(before):len(before)], new...)
	p.tail = traceOf(tail[max(0, len(tail)-printed):])
}

// recorder keeps the first bytes of what was read, and the last.
type recorder struct {
	r     io.Reader
	n     int64
	first []byte
	last  []byte
}

// recorded is how much of what was read last is kept: a few long rows.
const recorded = 64 << 10

// start begins anew with another reader.
func (r *recorder) start(from io.Reader) {
	r.r, r.n, r.first, r.last = from, 0, r.first[:0], r.last[:0]
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	got := b[:n]
	r.n += int64(n)
	if left := printed - len(r.first); left > 0 {
		r.first = append(r.first, got[:min(left, n)]...)
	}
	switch {
	case n >= recorded:
		r.last = append(r.last[:0], got[n-recorded:]...)
	case len(r.last)+n > 2*recorded:
		r.last = append(r.last[:0], r.last[len(r.last)-recorded:]...)
		fallthrough
	default:
		r.last = append(r.last, got...)
	}
	return n, err
}

// upTo gives what is kept of the first n bytes, and whether it is all of them. Of a
// row that is so long that nothing of it is kept it gives nothing.
func (r *recorder) upTo(n int64) (kept []byte, whole bool) {
	begins := r.n - int64(len(r.last))
	if n <= begins {
		return nil, n == 0
	}
	return r.last[:n-begins], begins == 0
}

// of says whether a file is the one that was read, or a copy of it, and gives what
// stands in it before the position.
func (p *logPos) of(r io.ReaderAt, size int64) (before []byte, ok bool) {
	if size < p.mark.Offset || p.head.n == 0 {
		return nil, false
	}
	b := make([]byte, printed)
	if _, err := r.ReadAt(b[:p.head.n], 0); err != nil || traceOf(b[:p.head.n]) != p.head {
		return nil, false
	}
	before = b[:p.tail.n]
	_, err := r.ReadAt(before, p.mark.Offset-int64(p.tail.n))
	return before, err == nil && traceOf(before) == p.tail
}

// same says whether the file of a name is still the one that was read under it, and
// gives what stands in it before the position.
func (p *logPos) same(r io.ReaderAt, size int64, id fileID) (before []byte, ok bool) {
	switch {
	case p.mark.Offset == 0:
		return nil, true
	case p.late || p.head.n == 0: // nothing was read of it yet
		return nil, size >= p.mark.Offset && (p.id == id || p.id == fileID{})
	}
	return p.of(r, size)
}

// lose keeps the position of a log whose name is gone, or is that of another file now.
func (r *root) lose(p *logPos) {
	if p.mark.Offset == 0 || p.notLog || p.twinned {
		return
	}
	r.lost = append(r.lost, p)
}

// touch says that the position of a log is to be saved.
func (w *Watch) touch(r *root, f *file) {
	if !f.dirty {
		f.dirty = true
		r.dirty = append(r.dirty, f)
	}
}

// gone finds out what became of logs whose names are gone: each new log may be one of
// them, or the copy of one that was emptied.
func (w *Watch) gone(r *root) error {
	now := w.opt.Now()
	for i, p := range r.lost {
		if p.lostAt.IsZero() {
			r.lost[i].lostAt = now
			w.store.gone(r.path, p)
		}
	}
	news := r.copies
	r.copies = nil
	for _, f := range news {
		if f.pos.mark.Offset > 0 {
			continue
		}
		fd, info, err := r.open(f.path)
		if err != nil {
			if err := w.unreadable(f.path, err); err != nil {
				return err
			}
			continue
		}
		if p := r.match(f, fd, info); p != nil {
			p.name = f.path
			f.pos = p
			w.touch(r, f)
		}
		fd.Close()
	}
	kept := r.lost[:0]
	for _, p := range r.lost {
		if now.Sub(p.lostAt) < lostWait && len(r.lost) <= maxLost {
			kept = append(kept, p)
			continue
		}
		if left := p.size - p.mark.Offset; left > 0 && !p.late {
			err := w.problem(postern.Problem{Path: p.name, What: postern.Truncated, Detail: postern.Say("watch.log-gone", "bytes", left)})
			if err != nil {
				return err
			}
		}
	}
	clear(r.lost[len(kept):])
	r.lost = kept
	return nil
}

// match gives the position of the log that a new file is, or is a copy of; nil if it
// is none that is known. Of several, the one that was read furthest.
func (r *root) match(f *file, fd *os.File, info fs.FileInfo) *logPos {
	id := idOf(info)
	var best *logPos
	at := -1
	for i, p := range r.lost {
		_, is := p.of(fd, info.Size())
		is = is && p.rows || p.late && p.id == id && id != (fileID{}) && info.Size() >= p.mark.Offset
		if is && (best == nil || p.mark.Offset > best.mark.Offset) {
			best, at = p, i
		}
	}
	twin := false
	for _, other := range r.folderOf(f.path).files {
		p := other.pos
		if p == nil || other == f || p.late || !p.rows || best != nil && p.mark.Offset <= best.mark.Offset {
			continue
		}
		if _, is := p.of(fd, info.Size()); is {
			best, twin = p, true
		}
	}
	switch {
	case twin:
		best.twinned = true
		copied := *best
		best = &copied
	case best != nil:
		r.lost = slices.Delete(r.lost, at, at+1)
	default:
		return nil
	}
	best.id, best.stuck, best.lostAt, best.twinned = id, 0, time.Time{}, false
	return best
}

// folderOf gives the folder that a file is in.
func (r *root) folderOf(p string) *folder {
	d := r.top
	parts := strings.Split(p, "/")
	for _, part := range parts[:len(parts)-1] {
		if d = d.subs[part]; d == nil {
			return &folder{}
		}
	}
	return d
}

// logs reads what is new in logs: in those that a look has found changed, and in those
// that grew of late. Rotated ones come first, and those that name pages before those of
// requests to pages. Again says that one of them has more.
func (w *Watch) logs(ctx context.Context) (again bool, err error) {
	type due struct {
		r *root
		f *file
	}
	var all []due
	for _, r := range w.roots {
		for f := range r.grew {
			if (f.id != f.pos.id || f.size < f.pos.mark.Offset) && w.identify(r, f) {
				again = true
				continue
			}
			all = append(all, due{r, f})
		}
	}
	w.stats.Logs = int64(len(all))
	rank := func(d due) int {
		n := 0
		if d.f.pos.mark.Offset == 0 {
			n = 2
		}
		if f := d.f.pos.format; f == nil || f.Name == "iis" || f.Name == "httpproxy" {
			n++
		}
		return n
	}
	slices.SortFunc(all, func(a, b due) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.f.path, b.f.path))
	})
	for _, d := range all {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		more, err := w.advance(ctx, d.r, d.f)
		if err != nil {
			return false, err
		}
		again = again || more
	}
	return again, nil
}

// advance reads what is new in a log. More says that there is more to read at once.
func (w *Watch) advance(ctx context.Context, r *root, f *file) (more bool, err error) {
	now := w.opt.Now()
	fd, info, err := r.open(f.path)
	if err != nil {
		delete(r.grew, f)
		f.mod = unread
		w.quickAt = time.Time{} // its folder knows what it is called now
		return false, w.unreadable(f.path, err)
	}
	defer fd.Close()
	size := info.Size()
	before, fresh := w.check(r, f, fd, info)
	if fresh {
		return true, nil
	}
	p := f.pos
	if p.notLog {
		p.size = size
		delete(r.grew, f)
		return false, nil
	}
	if size != p.size {
		p.size, p.quietSince = size, now
	}
	quiet := now.Sub(p.quietSince)
	if quiet > active && size <= p.mark.Offset {
		delete(r.grew, f)
	}
	if size <= p.mark.Offset || p.stuck == size && (quiet < lineWait || p.half && quiet < halfWait) {
		return false, nil
	}
	h, err := w.recognised(r, f, fd)
	if h == nil || err != nil {
		return false, err
	}
	moved, more, err := w.read(ctx, r, f, h, fd, before, quiet)
	if moved {
		p.twinned = false
		w.touch(r, f)
	}
	return more, err
}

// identify finds out what the log of a name is now.
func (w *Watch) identify(r *root, f *file) (fresh bool) {
	fd, info, err := r.open(f.path)
	if err != nil {
		return false // the one who reads it says so
	}
	defer fd.Close()
	_, fresh = w.check(r, f, fd, info)
	return fresh
}

// check compares a log with what was read under its name. If it is another one, its own
// position is looked for, and that of the other kept. Fresh says that it has none: what was
// read under its name comes first, and a look at its folder tells where that is now.
func (w *Watch) check(r *root, f *file, fd *os.File, info fs.FileInfo) (before []byte, fresh bool) {
	p, id := f.pos, idOf(info)
	before, same := p.same(fd, info.Size(), id)
	if p.notLog && info.Size() < p.size || !same {
		r.lose(p)
		p = &logPos{}
		if known := r.match(f, fd, info); known != nil {
			p = known
			before, _ = p.of(fd, info.Size())
		} else {
			before, fresh, w.quickAt = nil, true, time.Time{}
		}
		f.pos = p
		w.touch(r, f)
	}
	p.id, p.name = id, f.path
	return before, fresh
}

// recognised says which host a log is of; nil if it is no log, or not yet.
func (w *Watch) recognised(r *root, f *file, fd *os.File) (*host, error) {
	p := f.pos
	if p.format == nil {
		head := make([]byte, headSize)
		n, err := fd.ReadAt(head, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, w.unreadable(f.path, err)
		}
		head = head[:n]
		var said parse.Head
		if parse.Plausible(head, f.path) {
			p.format, said = parse.Recognise(head, f.path, w.opt.Formats, &w.headers)
		}
		if p.format == nil {
			p.notLog = n >= decided
			return nil, nil
		}
		h, err := w.hostOf(r, f.path)
		if err != nil {
			return nil, err
		}
		h.named(parse.ServerOf(p.format, said))
	}
	return w.hostOf(r, f.path)
}

// nothing is a gate that lets nothing through.
type nothing struct{}

func (nothing) Pass([]byte) bool { return false }

// read scans what is new in a log and says whether it got any further.
func (w *Watch) read(ctx context.Context, r *root, f *file, h *host, fd *os.File, before []byte, quiet time.Duration) (moved, more bool, err error) {
	p := f.pos
	if p.late {
		if before, err = w.catchUp(ctx, f, fd); err != nil {
			return false, false, err
		}
		moved = true
	}
	from := p.mark.Offset
	end := min(p.size, from+chunk)
	result, err := w.scan(ctx, r, f, h, fd, end, true)
	if err == nil && result.Next.Offset == from && end == p.size {
		// What is left is no whole row. It will not become one if nothing came for long.
		line := lastLine(fd, from, end)
		p.half = line == from
		switch {
		case !p.half && quiet >= lineWait:
			result, err = w.scan(ctx, r, f, h, fd, line, false)
		case quiet >= halfWait:
			result, err = w.scan(ctx, r, f, h, fd, end, false)
		}
	}
	switch {
	case errors.Is(err, parse.ErrCharset):
		p.notLog = true
		return false, false, w.problem(postern.Problem{Path: f.path, What: postern.Unsupported, Detail: postern.Say("watch.charset", "charset", string(result.Charset))})
	case ctx.Err() != nil:
		return false, false, ctx.Err()
	case errors.Is(err, errSink):
		return false, false, err
	case err != nil:
		if err := w.unreadable(f.path, err); err != nil {
			return false, false, err
		}
	}
	if p.mark = result.Next; p.mark.Offset > from {
		p.take(before, from, &w.reading)
		p.rows = p.rows || result.Records > 0
	}
	p.stuck = 0
	if p.mark.Offset < p.size && end == p.size {
		p.stuck = p.size
		p.half = lastLine(fd, p.mark.Offset, p.size) == p.mark.Offset
	}
	w.stats.Bytes += p.mark.Offset - from
	w.stats.Rows += result.Records
	h.saw(w, result.Builds)
	for _, problem := range result.Problems {
		if parse.Lossless(problem) {
			continue
		}
		if err := w.problem(problem); err != nil {
			return true, false, err
		}
	}
	return moved || p.mark.Offset > from, end < p.size && p.mark.Offset > from, nil
}

// scan judges the rows of a log from its position to an end.
func (w *Watch) scan(ctx context.Context, r *root, f *file, h *host, fd *os.File, end int64, open bool) (*parse.Result, error) {
	p := f.pos
	b := w.newBatch(r, h)
	var failed error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.reading.start(io.NewSectionReader(fd, p.mark.Offset, end-p.mark.Offset))
	result, err := parse.Scan(ctx, &w.reading, f.path, p.format, parse.Options{
		Gate: h.rules.Gate,
		Yield: func(ev *postern.Event) {
			if failed != nil {
				return
			}
			if failed = b.add(ev.Host, h.rules.Look(ev)); failed != nil {
				cancel()
			}
		},
		Scratch: &w.scratch, Headers: &w.headers, From: &p.mark, Open: open,
	})
	if failed == nil {
		failed = b.judge()
	}
	if failed != nil {
		return result, failed
	}
	return result, err
}

// catchUp finds out what the rows mean that come next in a log of which only the length
// is known.
func (w *Watch) catchUp(ctx context.Context, f *file, fd *os.File) (before []byte, err error) {
	p := f.pos
	w.reading.start(io.NewSectionReader(fd, 0, p.mark.Offset))
	result, err := parse.Scan(ctx, &w.reading, f.path, p.format, parse.Options{
		Gate:    func(*parse.Format, []string) parse.Gate { return nothing{} },
		Scratch: &w.scratch, Headers: &w.headers, Open: true,
	})
	if err != nil && !errors.Is(err, parse.ErrCharset) {
		return nil, err
	}
	p.late, p.mark, p.rows = false, result.Next, result.Records > 0
	p.take(nil, 0, &w.reading)
	kept, _ := w.reading.upTo(p.mark.Offset)
	return bytes.Clone(kept[max(0, len(kept)-printed):]), nil
}

// lastLine gives the end of the last whole line between two places, the first place if
// there is none. What is longer than a row can be is no half line.
func lastLine(r io.ReaderAt, from, end int64) int64 {
	b := make([]byte, min(end-from, 2*parse.MaxLine))
	n, _ := r.ReadAt(b, end-int64(len(b)))
	if i := bytes.LastIndexByte(b[:n], '\n'); i >= 0 {
		return end - int64(len(b)) + int64(i) + 1
	}
	return from
}

// base gives the name of a path's folder, for hosts without one.
func base(p string) string {
	if b := path.Base(p); b != "." && b != "/" {
		return b
	}
	return "unknown"
}
