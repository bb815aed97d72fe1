package indicator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"postern"
)

// Bounds of JSON.
const (
	// maxRaw is the longest value that is kept whole: an event of MISP with three million attributes.
	maxRaw = 1 << 30
	// maxDepth of objects and lists in each other: STIX needs 5.
	maxDepth = 200
)

// Errors of JSON; where they happened is said by whoever reads.
var (
	errJSON      = errors.New("not JSON")
	errJSONEnds  = errors.New("the JSON ends in its middle")
	errJSONDeep  = errors.New("nested too deep")
	errJSONLarge = errors.New("one value is too large")
)

// scan takes a stream of JSON apart at its upper levels. It reads a value by its
// brackets and quotes alone and leaves scalars to whoever wants them, which is several
// times as fast as encoding/json; what is no JSON at all it refuses.
type scan struct {
	in *bufio.Reader
	at int64 // bytes read
}

// peek gives the next byte that is no blank.
func (s *scan) peek() (byte, error) {
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return 0, err
		}
		s.at++
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			s.at--
			return c, s.in.UnreadByte()
		}
	}
}

// take takes the next byte that is no blank, which must be one of those wanted.
func (s *scan) take(wanted string) (byte, error) {
	c, err := s.peek()
	if err != nil {
		return 0, ends(err)
	}
	if bytes.IndexByte([]byte(wanted), c) < 0 {
		return 0, errJSON
	}
	s.at++
	_, err = s.in.Discard(1)
	return c, err
}

func ends(err error) error {
	if errors.Is(err, io.EOF) {
		return errJSONEnds
	}
	return err
}

// object visits the members of an object. The visitor takes the value.
func (s *scan) object(visit func(key string) error) error {
	if _, err := s.take("{"); err != nil {
		return err
	}
	for first := true; ; first = false {
		want := ",}"
		if first {
			if c, err := s.peek(); err == nil && c == '"' {
				want = ""
			} else {
				want = "}"
			}
		}
		if want != "" {
			if c, err := s.take(want); err != nil || c == '}' {
				return err
			}
		}
		key, err := s.value(nil)
		if err != nil {
			return err
		}
		if len(key) < 2 || key[0] != '"' {
			return errJSON
		}
		if _, err := s.take(":"); err != nil {
			return err
		}
		if err := visit(text0(key)); err != nil {
			return err
		}
	}
}

// array visits the elements of a list. The visitor takes the element.
func (s *scan) array(visit func() error) error {
	if _, err := s.take("["); err != nil {
		return err
	}
	if c, err := s.peek(); err == nil && c == ']' {
		_, err = s.take("]")
		return err
	}
	for {
		if err := visit(); err != nil {
			return err
		}
		if c, err := s.take(",]"); err != nil || c == ']' {
			return err
		}
	}
}

// value appends the bytes of the next value.
func (s *scan) value(to []byte) ([]byte, error) {
	c, err := s.peek()
	if err != nil {
		return to, ends(err)
	}
	start := len(to)
	var m machine
	for {
		chunk, err := s.in.Peek(max(s.in.Buffered(), 1))
		if len(chunk) == 0 {
			if c != '"' && c != '{' && c != '[' && len(to) > start && errors.Is(err, io.EOF) {
				return to, nil // a number at the end of all
			}
			return to, ends(err)
		}
		n, done, err := m.feed(chunk)
		if err != nil {
			return to, err
		}
		to = append(to, chunk[:n]...)
		s.at += int64(n)
		if _, err := s.in.Discard(n); err != nil {
			return to, err
		}
		if done {
			return to, nil
		}
		if len(to)-start > maxRaw {
			return to, errJSONLarge
		}
	}
}

// machine finds where a value ends.
type machine struct {
	depth            int
	inside, escaped  bool // a string
	slow             bool // one with escapes
	scalar, anything bool
}

// feed takes bytes and says how many belong to the value, and whether it has ended.
func (m *machine) feed(b []byte) (n int, done bool, err error) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if m.inside {
			if m.escaped {
				m.escaped = false
				continue
			}
			if !m.slow { // most strings have no escapes
				end := bytes.IndexByte(b[i:], '"')
				if end < 0 {
					end = len(b) - i
				}
				if m.slow = bytes.IndexByte(b[i:i+end], '\\') >= 0; !m.slow {
					i += end
				}
			}
			for i < len(b) && b[i] != '"' && b[i] != '\\' {
				i++
			}
			switch {
			case i == len(b):
				return i, false, nil
			case b[i] == '\\':
				m.escaped = true
			default:
				if m.inside, m.slow = false, false; m.depth == 0 {
					return i + 1, true, nil
				}
			}
			continue
		}
		switch c {
		case '"':
			if m.scalar {
				return i, true, errJSON
			}
			m.inside, m.anything = true, true
		case '{', '[':
			if m.scalar {
				return i, true, errJSON
			}
			m.anything = true
			if m.depth++; m.depth > maxDepth {
				return i, false, errJSONDeep
			}
		case '}', ']':
			if m.depth == 0 {
				if m.scalar {
					return i, true, nil
				}
				return i, true, errJSON
			}
			m.scalar = false
			if m.depth--; m.depth == 0 {
				return i + 1, true, nil
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if m.depth == 0 {
				if m.scalar {
					return i, true, nil
				}
				if c == ',' || c == ':' {
					return i, true, errJSON
				}
			}
			m.scalar = false
		default:
			if c < ' ' || c >= 0x80 {
				return i, true, errJSON
			}
			m.scalar = true
		}
	}
	return len(b), false, nil
}

// skip gives where the value at a place of a slice ends, -1 if it does not.
func skip(b []byte, at int) int {
	var m machine
	n, done, err := m.feed(b[at:])
	if err != nil || !done && !m.scalar {
		return -1
	}
	return at + n
}

func blanks(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\t' || b[at] == '\r' || b[at] == '\n') {
		at++
	}
	return at
}

// fields visits the members of an object that was read whole; nothing of what is no
// object. Keys with escapes in them are not those of any feed.
func fields(b []byte, visit func(key, value []byte)) {
	at := blanks(b, 0)
	if at >= len(b) || b[at] != '{' {
		return
	}
	at++
	for {
		at = blanks(b, at)
		if at >= len(b) || b[at] != '"' {
			return
		}
		end := skip(b, at)
		if end < 0 {
			return
		}
		key := b[at+1 : end-1]
		if at = blanks(b, end); at >= len(b) || b[at] != ':' {
			return
		}
		at = blanks(b, at+1)
		if at >= len(b) {
			return
		}
		if end = skip(b, at); end <= at {
			return
		}
		visit(key, b[at:end])
		if at = blanks(b, end); at >= len(b) || b[at] != ',' {
			return
		}
		at++
	}
}

// elements visits the elements of a list that was read whole.
func elements(b []byte, visit func(value []byte)) {
	at := blanks(b, 0)
	if at >= len(b) || b[at] != '[' {
		return
	}
	at++
	for {
		at = blanks(b, at)
		if at >= len(b) || b[at] == ']' {
			return
		}
		end := skip(b, at)
		if end <= at {
			return
		}
		visit(b[at:end])
		if at = blanks(b, end); at >= len(b) || b[at] != ',' {
			return
		}
		at++
	}
}

// text0 gives the text of a string, "" of what is none.
func text0(b []byte) string {
	if len(b) < 2 || b[0] != '"' {
		return ""
	}
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b[1 : len(b)-1])
	}
	var s string
	if json.Unmarshal(b, &s) != nil {
		return ""
	}
	return s
}

// isTrue and isFalse read a yes or no in any of the ways of writing one.
func isTrue(b []byte) bool {
	switch string(b) {
	case "true", "1", `"1"`, `"true"`:
		return true
	}
	return false
}

func isFalse(b []byte) bool {
	switch string(b) {
	case "false", "0", `"0"`, `"false"`:
		return true
	}
	return false
}

// json reads STIX or MISP: bundles, envelopes, lists, one object after the other.
func (f *reader) json(in *bufio.Reader) error {
	s := &scan{in: in}
	st := newSTIX(f)
	for {
		if _, err := s.peek(); errors.Is(err, io.EOF) {
			break
		}
		if err := f.top(s, st); err != nil {
			return f.bad(postern.Say("indicator.bad-json", "at", s.at, "reason", err.Error()))
		}
	}
	st.finish()
	return nil
}

// top reads a value that is a feed, or a list of what is in one.
func (f *reader) top(s *scan, st *stix) error {
	c, err := s.peek()
	if err != nil {
		return ends(err)
	}
	if c == '[' {
		var raw []byte
		return s.array(func() (err error) {
			if raw, err = s.value(raw[:0]); err == nil {
				f.loose(raw, st)
			}
			return err
		})
	}
	var own []byte // the members of an object that stands alone
	err = s.object(func(key string) error {
		switch c, _ := s.peek(); {
		case key == "objects" && c == '[':
			f.Format = "stix"
			var raw []byte
			return s.array(func() (err error) {
				if raw, err = s.value(raw[:0]); err == nil {
					st.object(raw)
				}
				return err
			})
		case key == "response" && (c == '[' || c == '{'):
			return f.top(s, st)
		case key == "Event" && c == '{':
			raw, err := s.value(nil)
			if err == nil {
				f.event(raw)
			}
			return err
		}
		own = append(append(append(own, `,"`...), key...), `":`...)
		own, err = s.value(own)
		return err
	})
	if err == nil && len(own) > 0 {
		own[0] = '{'
		f.loose(append(own, '}'), st)
	}
	return err
}

// loose reads an object that may be one of STIX or of MISP.
func (f *reader) loose(raw []byte, st *stix) {
	var event, attributes, info, uuid, typ, id, value []byte
	fields(raw, func(key, v []byte) {
		switch string(key) {
		case "Event":
			event = v
		case "Attribute":
			attributes = v
		case "info":
			info = v
		case "uuid":
			uuid = v
		case "type":
			typ = v
		case "id":
			id = v
		case "value":
			value = v
		}
	})
	switch {
	case event != nil:
		f.event(event)
	case info != nil && attributes != nil:
		f.event(raw)
	case attributes != nil:
		f.event(raw)
	case typ != nil && value != nil && uuid != nil:
		f.Format = "misp"
		f.attribute(raw, &event0{source: f.Name}, nil)
	case typ != nil && bytes.Contains(id, []byte("--")):
		f.Format = "stix"
		st.object(raw)
	}
}
