package exposure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"postern"
)

// Sight is what statistics need of a stored record about one host and one CVE. A
// record with members gives one for each.
type Sight struct {
	Time      time.Time
	Outcome   Outcome
	Keys      []string // names by which the host is known again, strongest first
	Product   string
	Line      string
	Low, High postern.Build      // set only where Assessed is empty
	Assessed  postern.Assessment // "" if the record does not say: decide from the interval
	ASN       uint32
	Country   string
	Sector    string
	Operator  string
	Scope     string
}

// Skimmer reads stored records for one CVE without building them: some ten times
// as fast as [Read], for files of millions. It is for one goroutine.
type Skimmer struct {
	cve   string
	words map[string]string
	b     []byte
	i     int
	keys  []string
	rec   skimmed
}

// skimmed is one record's fields as they stand in the line.
type skimmed struct {
	schema, outcome                  []byte
	at                               []byte
	scope, country, sector, operator []byte
	name, address                    []byte
	asn                              uint32
	host                             skimmedHost
	members                          []skimmedHost
	also                             [][]byte
}

// skimmedHost is the part that members have too.
type skimmedHost struct{ product, line, low, high, assessed, host []byte }

// maxWords bounds the words kept to share them; lines, countries, sectors and
// operators of a real file are some ten thousand.
const maxWords = 1 << 17

// NewSkimmer makes one for a CVE.
func NewSkimmer(cve string) *Skimmer { return &Skimmer{cve: cve, words: map[string]string{}} }

var errEnd = errors.New("ends too early")

// Skim reads one line. It calls each for every host of a record that says something
// about a host: those of Exchange servers and hidden ones. The Sight is valid until
// each returns.
func (s *Skimmer) Skim(line []byte, each func(*Sight) error) error {
	s.b, s.i = line, 0
	s.rec = skimmed{members: s.rec.members[:0], also: s.rec.also[:0]}
	r := &s.rec
	err := s.object(func(key []byte) error {
		switch string(key) {
		case "schema":
			return s.text(&r.schema)
		case "outcome":
			return s.text(&r.outcome)
		case "time":
			return s.text(&r.at)
		case "scope":
			return s.text(&r.scope)
		case "country":
			return s.text(&r.country)
		case "sector":
			return s.text(&r.sector)
		case "operator":
			return s.text(&r.operator)
		case "name":
			return s.text(&r.name)
		case "address":
			return s.text(&r.address)
		case "asn":
			return s.number(&r.asn)
		case "identity":
			return s.object(func(key []byte) error {
				switch string(key) {
				case "host":
					return s.text(&r.host.host)
				case "also":
					return s.array(func() error {
						var k []byte
						err := s.text(&k)
						r.also = append(r.also, k)
						return err
					})
				}
				return s.skip()
			})
		case "members":
			return s.array(func() error {
				r.members = append(r.members, skimmedHost{})
				m := &r.members[len(r.members)-1]
				return s.object(func(key []byte) error { return s.hostField(key, m) })
			})
		}
		return s.hostField(key, &r.host)
	})
	if err != nil {
		return err
	}
	if s.space(); s.i < len(s.b) {
		return fmt.Errorf("text after the record at byte %d", s.i)
	}
	return s.give(each)
}

// hostField reads a field that records and their members share.
func (s *Skimmer) hostField(key []byte, h *skimmedHost) error {
	switch string(key) {
	case "product":
		return s.text(&h.product)
	case "line":
		return s.text(&h.line)
	case "host":
		return s.text(&h.host)
	case "build":
		return s.object(func(key []byte) error {
			switch string(key) {
			case "low":
				return s.text(&h.low)
			case "high":
				return s.text(&h.high)
			}
			return s.skip()
		})
	case "assessments":
		return s.object(func(key []byte) error {
			if string(key) == s.cve {
				return s.text(&h.assessed)
			}
			return s.skip()
		})
	}
	return s.skip()
}

// give turns the fields into sights.
func (s *Skimmer) give(each func(*Sight) error) error {
	r := &s.rec
	if string(r.schema) != Schema {
		return fmt.Errorf("schema %q: want %q", r.schema, Schema)
	}
	o := Outcome(s.word(r.outcome))
	if !o.Valid() {
		return fmt.Errorf("outcome %q is not in the list", r.outcome)
	}
	at, err := time.Parse(time.RFC3339, string(r.at))
	if err != nil || at.IsZero() {
		return fmt.Errorf("time %q cannot be read", r.at)
	}
	if o != Exchange && o != Hidden {
		return nil
	}
	sight := Sight{Time: at, Outcome: o, ASN: r.asn, Country: s.word(r.country), Sector: s.word(r.sector),
		Operator: s.word(r.operator), Scope: s.word(r.scope)}
	if len(r.members) == 0 { // of a service with members, these alone count
		r.members = append(r.members, r.host)
	}
	for i := range r.members {
		h := &r.members[i]
		s.keys = s.keys[:0]
		switch {
		case len(h.host) > 0:
			s.keys = append(s.keys, string(h.host))
		case len(r.name) > 0:
			s.keys = append(s.keys, "name:"+string(r.name))
		default:
			s.keys = append(s.keys, "address:"+string(r.address))
		}
		if bytes.Equal(h.host, r.host.host) {
			for _, k := range r.also {
				s.keys = append(s.keys, string(k))
			}
		}
		sight.Keys, sight.Product, sight.Line = s.keys, s.word(h.product), s.word(h.line)
		sight.Assessed = postern.Assessment(s.word(h.assessed))
		sight.Low, sight.High = postern.Build{}, postern.Build{}
		if sight.Assessed == "" {
			if err := errors.Join(sight.Low.UnmarshalText(h.low), sight.High.UnmarshalText(h.high)); err != nil {
				return err
			}
		}
		if err := each(&sight); err != nil {
			return err
		}
	}
	return nil
}

// word gives one shared string for equal bytes.
func (s *Skimmer) word(b []byte) string {
	if w, ok := s.words[string(b)]; ok {
		return w
	}
	w := string(b)
	if len(s.words) < maxWords {
		s.words[w] = w
	}
	return w
}

func (s *Skimmer) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\n' || s.b[s.i] == '\r') {
		s.i++
	}
}

// next skips blanks and takes one byte.
func (s *Skimmer) next() (byte, error) {
	s.space()
	if s.i >= len(s.b) {
		return 0, errEnd
	}
	s.i++
	return s.b[s.i-1], nil
}

func (s *Skimmer) peek() byte {
	if s.space(); s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// object calls field after each key; field must take the value.
func (s *Skimmer) object(field func(key []byte) error) error {
	if s.peek() == 'n' {
		return s.skip()
	}
	if c, err := s.next(); err != nil || c != '{' {
		return s.want("an object", err)
	}
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		var key []byte
		if s.peek() != '"' {
			return s.want("a key", nil)
		}
		if err := s.text(&key); err != nil {
			return err
		}
		if c, err := s.next(); err != nil || c != ':' {
			return s.want("a colon", err)
		}
		if err := field(key); err != nil {
			return err
		}
		switch c, err := s.next(); {
		case err != nil || c != ',' && c != '}':
			return s.want("a comma or the end of the object", err)
		case c == '}':
			return nil
		}
	}
}

// array calls element before each element; it must take it.
func (s *Skimmer) array(element func() error) error {
	if s.peek() == 'n' {
		return s.skip()
	}
	if c, err := s.next(); err != nil || c != '[' {
		return s.want("a list", err)
	}
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch c, err := s.next(); {
		case err != nil || c != ',' && c != ']':
			return s.want("a comma or the end of the list", err)
		case c == ']':
			return nil
		}
	}
}

func (s *Skimmer) want(what string, err error) error {
	if err == nil {
		err = errors.New("want " + what)
	}
	return fmt.Errorf("byte %d: %w", s.i, err)
}

// text takes a string. Its bytes are those of the line unless it has escapes.
func (s *Skimmer) text(to *[]byte) error {
	if s.peek() == 'n' {
		return s.skip()
	}
	if c, err := s.next(); err != nil || c != '"' {
		return s.want("a string", err)
	}
	start := s.i
	end := bytes.IndexByte(s.b[start:], '"')
	if end < 0 {
		return s.want("the end of a string", errEnd)
	}
	raw := s.b[start : start+end]
	if bytes.IndexByte(raw, '\\') < 0 {
		s.i = start + end + 1
		*to = raw
		return nil
	}
	if err := s.endOfString(); err != nil {
		return err
	}
	var plain string
	if err := json.Unmarshal(s.b[start-1:s.i], &plain); err != nil {
		return err
	}
	*to = []byte(plain)
	return nil
}

// endOfString goes behind the closing quote of a string with escapes.
func (s *Skimmer) endOfString() error {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return nil
		}
		s.i++
	}
	return s.want("the end of a string", errEnd)
}

func (s *Skimmer) number(to *uint32) error {
	if s.peek() == 'n' {
		return s.skip()
	}
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	n, err := strconv.ParseUint(string(s.b[start:s.i]), 10, 32)
	*to = uint32(n)
	return err
}

// skip takes any value without looking at it. Nesting costs no stack.
func (s *Skimmer) skip() error {
	depth := 0
	for {
		c, err := s.next()
		if err != nil {
			return s.want("a value", err)
		}
		switch c {
		case '"':
			end := bytes.IndexByte(s.b[s.i:], '"')
			if end < 0 {
				return s.want("the end of a string", errEnd)
			}
			if bytes.IndexByte(s.b[s.i:s.i+end], '\\') < 0 {
				s.i += end + 1
			} else if err := s.endOfString(); err != nil {
				return err
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',', ':':
			if depth == 0 {
				return s.want("a value", nil)
			}
		default:
			for s.i < len(s.b) && !ends(s.b[s.i]) {
				s.i++
			}
		}
		if depth == 0 {
			return nil
		}
		if depth < 0 {
			return s.want("a value", nil)
		}
	}
}

// ends says whether a number or word is over.
func ends(c byte) bool {
	switch c {
	case ',', ':', ']', '}', '[', '{', '"', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}
