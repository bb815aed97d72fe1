package source

import (
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"strings"
	"sync"

	"postern"
)

// Lossless says of a problem that this package told whether nothing went unread
// for it: the bytes were looked at under another name or place, or were not there
// when the hunt came. Callers may count such a problem without calling the hunt
// partial.
func Lossless(p postern.Problem) bool { return lossless(p.Detail.Key) }

func lossless(key string) bool {
	switch key {
	case "source.link-inside", "source.link-dangling", "source.name-unsafe", "source.name-long", "source.name-deep",
		"source.name-twice", "source.name-encoding", "source.folder-content", "source.member-longer", "source.grew",
		"source.more-lossless":
		return true
	}
	return false
}

// errTold is the error behind every failure that Options.Problem already knows.
var errTold = errors.New("told as a problem")

// Told says of an error from a file of the evidence that its reason has been given
// to [Options.Problem] already.
func Told(err error) bool { return errors.Is(err, errTold) }

// problems tells each problem once and keeps their number bounded.
type problems struct {
	tell func(postern.Problem)

	mu    sync.Mutex
	seed  maphash.Seed
	told  map[uint64]struct{} // what was told, so that a second reading is silent
	kinds map[string]*sameProblems
}

// sameProblems counts the problems with one message.
type sameProblems struct {
	what    postern.ProblemKind
	n, over int
	last    string // path of the last one that was named
}

func (p *problems) add(path string, what postern.ProblemKind, detail postern.Text) {
	if p.tell == nil {
		return
	}
	p.mu.Lock()
	if p.told == nil {
		p.seed = maphash.MakeSeed()
		p.told = make(map[uint64]struct{})
		p.kinds = make(map[string]*sameProblems)
	}
	id := maphash.String(p.seed, detail.Key+"\x00"+path+"\x00"+detail.Args["name"])
	_, twice := p.told[id]
	same := p.kinds[detail.Key]
	if same == nil {
		same = &sameProblems{what: what}
		p.kinds[detail.Key] = same
	}
	name := false
	switch {
	case twice:
	case same.n < MaxSameProblems:
		p.told[id] = struct{}{}
		same.n++
		same.last = path
		name = true
	default:
		same.over++
	}
	p.mu.Unlock()
	if name {
		p.tell(postern.Problem{Path: path, What: what, Detail: detail})
	}
}

// flush tells how many problems were only counted.
func (p *problems) flush() {
	p.mu.Lock()
	var rest []postern.Problem
	for key, same := range p.kinds {
		if same.over == 0 {
			continue
		}
		detail := postern.Say("source.more", "count", same.over)
		if lossless(key) {
			detail = postern.Say("source.more-lossless", "count", same.over)
		}
		rest = append(rest, postern.Problem{Path: same.last, What: same.what, Detail: detail})
		same.over = 0
	}
	p.mu.Unlock()
	for _, r := range rest {
		p.tell(r)
	}
}

func (e *Evidence) problem(path string, what postern.ProblemKind, detail postern.Text) {
	e.problems.add(path, what, detail)
}

// failure tells about a file or folder that the system does not let us read.
func (e *Evidence) failure(path string, err error) {
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.problem(path, postern.Unreadable, postern.Say("source.denied"))
	case errors.Is(err, fs.ErrNotExist):
		e.problem(path, postern.Unreadable, postern.Say("source.vanished"))
	default:
		e.problem(path, postern.Unreadable, postern.Say("source.unreadable", "error", reason(err)))
	}
}

// refusal is an error whose problem is known where it arises.
type refusal struct {
	what   postern.ProblemKind
	detail postern.Text
}

func (r *refusal) Error() string { return r.detail.Key }

// broken tells why packed data could not be read further than it was.
func (e *Evidence) broken(path string, read int64, err error) {
	var known *refusal
	switch {
	case errors.Is(err, errTold):
	case errors.As(err, &known):
		e.problem(path, known.what, known.detail)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.problem(path, postern.Truncated, postern.Say("source.member-truncated", "read", read))
	default:
		e.problem(path, postern.Malformed, postern.Say("source.member-damaged", "read", read, "error", reason(err)))
	}
}

// reason is the text of an error without the path that the operating system
// was asked for: that one is of this machine, not of the evidence.
func reason(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return printable(err.Error())
}

// maxShown is how much of a hostile name stands in a message.
const maxShown = 200

// printable makes a text that came from the evidence fit for a Text: valid
// UTF-8 of bounded length. Whoever renders it escapes it for the medium.
func printable(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
