package iisconfig

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"postern"
)

// Read reads a configuration file. The error is one of reading; what was read
// before it is in the file. The path is only for the problems.
func Read(from io.Reader, path string) (*File, error) {
	raw, err := io.ReadAll(io.LimitReader(from, MaxBytes+1))
	r := &reader{path: path, file: &File{WellFormed: true, Whole: err == nil}}
	if len(raw) > MaxBytes {
		raw = raw[:MaxBytes]
		r.file.Whole = false
		r.bad(postern.Limit, postern.Say("config.problem.size", "bound", MaxBytes))
	} else if err == nil {
		sum := sha256.Sum256(raw)
		r.file.SHA256 = hex.EncodeToString(sum[:])
	}
	r.file.Size = int64(len(raw))
	r.text = r.decode(raw)
	r.run()
	r.findCode()
	if err != nil {
		err = fmt.Errorf("read %s: %w", path, err)
	}
	return r.file, err
}

// reader is one pass over one file.
type reader struct {
	path string
	text []byte
	file *File

	stack    []string // names of the open elements
	scopes   []Scope  // of the open <location> elements
	scopedAt []int    // depth of each of them
	elements int
	kept     int

	counted int   // offset up to which lines are counted
	line    int64 // of that offset
	unnamed int   // problems beyond maxProblems
	stopped bool
}

// run hands every element to start. The XML reader is asked for raw tokens, so
// that wrong nesting is ours to mend; after a syntax error it is begun again at
// the next '<'.
func (r *reader) run() {
	r.line = 1
	// What is read twice because of errors is bounded, so that cost stays linear.
	budget := 4*len(r.text) + 1<<16
	for base := 0; base < len(r.text) && !r.stopped; {
		in := &tagReader{text: r.text, at: base}
		d := xml.NewDecoder(in)
		d.Strict = false // leave unknown entities as they are
		for !r.stopped {
			at := base + int(d.InputOffset())
			in.begin(at)
			token, err := d.RawToken()
			if err == io.EOF {
				base = len(r.text)
				break
			}
			if err != nil {
				budget -= base + int(d.InputOffset()) - at
				base = r.mend(at, err, budget)
				break
			}
			r.token(at, base+int(d.InputOffset()), token)
		}
	}
	if r.elements == 0 {
		r.refused(postern.Malformed, postern.Say("config.problem.empty"))
	}
	if len(r.stack) > 0 && !r.stopped {
		r.refused(postern.Truncated, postern.Say("config.problem.open", "line", r.lineAt(len(r.text)), "element", r.stack[len(r.stack)-1]))
	}
	if r.unnamed > 0 {
		r.file.Problems = append(r.file.Problems, postern.Problem{Path: r.path, What: postern.Malformed,
			Detail: postern.Say("config.problem.more", "count", r.unnamed)})
	}
}

// tagReader gives the XML reader its text. It ends a tag that is too long, since
// each of its attributes costs many times the bytes that it has in the file.
type tagReader struct {
	text      []byte
	at, limit int
}

var errLongTag = errors.New("tag too long")

// begin says where the next token stands. Only tags are bounded: comments and
// text cost what they are long.
func (t *tagReader) begin(at int) {
	t.limit = len(t.text)
	if at+1 < len(t.text) && t.text[at] == '<' && t.text[at+1] != '!' && t.text[at+1] != '?' {
		t.limit = min(t.limit, at+MaxTag)
	}
}

func (t *tagReader) ReadByte() (byte, error) {
	if t.at >= t.limit {
		if t.limit < len(t.text) {
			return 0, errLongTag
		}
		return 0, io.EOF
	}
	t.at++
	return t.text[t.at-1], nil
}

// Read makes it a reader; the XML reader only takes single bytes.
func (t *tagReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := t.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// mend gives the place to go on from after an error.
func (r *reader) mend(at int, err error, budget int) int {
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, errLongTag):
		r.bad(postern.Limit, postern.Say("config.problem.tag", "line", r.lineAt(at), "bound", MaxTag))
	case errors.As(err, &syntax):
		r.refused(postern.Malformed, postern.Say("config.problem.syntax", "line", r.lineAt(at), "reason", cut(syntax.Msg, 200)))
	default:
		r.refused(postern.Malformed, postern.Say("config.problem.syntax", "line", r.lineAt(at), "reason", cut(err.Error(), 200)))
	}
	if budget < 0 {
		r.stop(postern.Say("config.problem.errors", "line", r.lineAt(at)))
		return len(r.text)
	}
	next := bytes.IndexByte(r.text[at+1:], '<')
	if next < 0 {
		return len(r.text)
	}
	return at + 1 + next
}

func (r *reader) token(at, end int, token xml.Token) {
	switch t := token.(type) {
	case xml.StartElement:
		if r.elements++; r.elements > MaxElements {
			r.stop(postern.Say("config.problem.elements", "line", r.lineAt(at), "bound", MaxElements))
			return
		}
		if len(r.stack) >= MaxDepth {
			r.stop(postern.Say("config.problem.depth", "line", r.lineAt(at), "bound", MaxDepth))
			return
		}
		if len(t.Attr) > MaxAttributes {
			r.bad(postern.Limit, postern.Say("config.problem.attributes", "line", r.lineAt(at), "bound", MaxAttributes))
			t.Attr = t.Attr[:MaxAttributes]
		}
		name := cut(t.Name.Local, maxName)
		r.start(element{name: name, attr: t.Attr, at: at, end: end})
		r.stack = append(r.stack, name)
	case xml.EndElement:
		r.close(at, cut(t.Name.Local, maxName))
	case xml.Directive:
		if bytes.HasPrefix(t, []byte("DOCTYPE")) {
			r.bad(postern.Unsupported, postern.Say("config.problem.doctype", "line", r.lineAt(at)))
		}
	}
}

// close takes an end tag: it ends the innermost element of that name and what
// was left open inside of it. One that ends nothing is passed over.
func (r *reader) close(at int, name string) {
	for i := len(r.stack) - 1; i >= 0; i-- {
		if r.stack[i] != name {
			continue
		}
		if i != len(r.stack)-1 {
			r.refused(postern.Malformed, postern.Say("config.problem.nesting", "line", r.lineAt(at), "element", name))
		}
		r.stack = r.stack[:i]
		for n := len(r.scopedAt); n > 0 && r.scopedAt[n-1] >= i; n-- {
			r.scopedAt, r.scopes = r.scopedAt[:n-1], r.scopes[:n-1]
		}
		return
	}
	r.refused(postern.Malformed, postern.Say("config.problem.nesting", "line", r.lineAt(at), "element", name))
}

// in says whether the open elements end with these names. Only the last ones are
// asked for, so that a wrongly closed element further out hides nothing.
func (r *reader) in(names ...string) bool {
	if len(r.stack) < len(names) {
		return false
	}
	for i, name := range names {
		if r.stack[len(r.stack)-len(names)+i] != name {
			return false
		}
	}
	return true
}

func (r *reader) scope() Scope {
	if len(r.scopes) == 0 {
		return Scope{}
	}
	return r.scopes[len(r.scopes)-1]
}

// keep books one element of the model and gives its place.
func (r *reader) keep(e element) Pos {
	if r.kept++; r.kept >= MaxKept {
		r.stop(postern.Say("config.problem.kept", "line", r.lineAt(e.at), "bound", MaxKept))
	}
	return r.pos(e.at, e.end)
}

func (r *reader) pos(at, end int) Pos {
	return Pos{Line: r.lineAt(at), Offset: int64(at), Source: source(r.text[at:max(at, min(end, at+4<<10, len(r.text)))])}
}

// secrets are attributes whose values must not get into reports.
var secrets = regexp.MustCompile(`(?i)\b(password|validationKey|decryptionKey|sessionKey)(\s*=\s*)("[^"]*"?|'[^']*'?)`)

// source is a start tag for reports.
func source(b []byte) string {
	return cut(string(secrets.ReplaceAll(b, []byte(`$1$2"(hidden)"`))), maxSource)
}

// lineAt counts lines. Offsets come in order but for a few.
func (r *reader) lineAt(offset int) int64 {
	if offset < r.counted {
		return 1 + int64(bytes.Count(r.text[:offset], []byte{'\n'}))
	}
	r.line += int64(bytes.Count(r.text[r.counted:offset], []byte{'\n'}))
	r.counted = offset
	return r.line
}

func (r *reader) bad(what postern.ProblemKind, detail postern.Text) {
	if len(r.file.Problems) >= maxProblems {
		r.unnamed++
		return
	}
	r.file.Problems = append(r.file.Problems, postern.Problem{Path: r.path, What: what, Detail: detail})
}

// refused is a problem for which IIS itself would refuse the file.
func (r *reader) refused(what postern.ProblemKind, detail postern.Text) {
	r.file.WellFormed = false
	r.bad(what, detail)
}

// stop ends the reading of the file at a bound.
func (r *reader) stop(detail postern.Text) {
	if r.stopped {
		return
	}
	r.stopped = true
	r.file.Whole = false
	// Told however many problems there are: without it the file looks read.
	r.file.Problems = append(r.file.Problems, postern.Problem{Path: r.path, What: postern.Limit, Detail: detail})
}

// code is what opens server-side code in a page.
var code = regexp.MustCompile(`<%|(?i)<[s]cript\b[^>]{0,300}\b[r]unat\b`)

// findCode looks for pages that hide in a configuration file, inside a comment or
// bare: IIS runs a web.config whose handlers say so.
func (r *reader) findCode() {
	for _, hit := range code.FindAllIndex(r.text, maxCode) {
		r.file.Code = append(r.file.Code, r.pos(hit[0], hit[1]+80))
	}
}

// cut shortens a text to at most n bytes at a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…" // a copy: the long text is let go
}
