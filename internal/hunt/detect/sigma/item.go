package sigma

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// item is one line of a selection: a field and what its values are tested for.
type item struct {
	field int32 // index of Rule.fields, or keyword
	mode  mode
	null  bool // in anyTest: a missing field holds too
	tests []test
	plain []plain // the same in one piece of memory, where they are nothing but texts; or nil

	// for reference: the other field and how the values compare
	other int32
	how   shape
	cased bool
}

// keyword is the field of an item that looks at the whole event.
const keyword int32 = -1

type mode uint8

const (
	anyTest mode = iota // some value passes some test
	allTests
	exists
	missing
	reference
)

// Costs of looking at an item, in tests of a text: an expression runs over the
// value step by step, and a keyword over all values of an event.
const (
	regexpCost  = 50
	keywordCost = 20
)

// cost says about how much time an item takes beside others.
func (it *item) cost() int {
	n := 1
	for _, t := range it.tests {
		if _, slow := t.(*regexpTest); slow {
			n += regexpCost
		}
	}
	n += len(it.tests)
	if it.field == keyword {
		n *= keywordCost
	}
	return n
}

// plain is a text without wildcards inside, which is compared with a folded value.
type plain struct {
	shape shape
	lit   []byte
}

// maxPlain is the number of whole values up to which they are compared one by one.
const maxPlain = 4

// plainOf gives the tests as plain texts, nil if one is something else.
func plainOf(tests []test) []plain {
	var all []plain
	for _, t := range tests {
		switch t := t.(type) {
		case *textTest:
			if t.cased || t.shape > shapeContains {
				return nil
			}
			all = append(all, plain{t.shape, t.lit})
		case *setTest:
			if len(t.texts) > maxPlain {
				return nil
			}
			for _, text := range slices.Sorted(maps.Keys(t.texts)) {
				all = append(all, plain{shapeExact, []byte(text)})
			}
		default:
			return nil
		}
	}
	return slices.Clip(all)
}

// test decides on one value of an event.
type test interface {
	match(v *view, i int32) bool
	// literals gives folded texts of which a value that passes contains at least
	// one; nil if nothing can be said.
	literals() []literal
}

// literal is a folded text and whether it must stand at the start or end of the
// value; at both, the value is the text.
type literal struct {
	text       string
	start, end bool
}

// start and next walk the values that an item looks at.
func (v *view) start(field int32) int32 {
	if field != keyword {
		return v.head(field)
	}
	if len(v.values) == 0 {
		return -1
	}
	return 0
}

func (v *view) next(field, i int32) int32 {
	if field != keyword {
		return v.values[i].next
	}
	if i++; int(i) < len(v.values) {
		return i
	}
	return -1
}

func (it *item) holds(v *view) bool { return it.holdsFrom(v, v.start(it.field)) }

// holdsFrom is holds where the first value of the field is known.
func (it *item) holdsFrom(v *view, start int32) bool {
	switch it.mode {
	case exists:
		return start >= 0
	case missing:
		return start < 0
	case reference:
		return it.refers(v, start)
	case allTests:
		for _, t := range it.tests {
			if !passes(v, it.field, start, t) {
				return false
			}
		}
		return true
	}
	if start < 0 {
		return it.null
	}
	if it.plain != nil {
		for i := start; i >= 0; i = v.next(it.field, i) {
			value := v.folded(i)
			for k := range it.plain {
				if p := &it.plain[k]; p.shape.match(value, p.lit) {
					return true
				}
			}
		}
		return false
	}
	for _, t := range it.tests {
		if passes(v, it.field, start, t) {
			return true
		}
	}
	return false
}

func passes(v *view, field, start int32, t test) bool {
	for i := start; i >= 0; i = v.next(field, i) {
		if t.match(v, i) {
			return true
		}
	}
	return false
}

// refers compares each value with each value of the other field. An empty value
// is equal to an empty one, but stands in nothing: it would be in everything.
func (it *item) refers(v *view, start int32) bool {
	for i := start; i >= 0; i = v.next(it.field, i) {
		for j := v.head(it.other); j >= 0; j = v.next(it.other, j) {
			p := pattern{shape: it.how, lit: v.form(j, it.cased)}
			if len(p.lit) == 0 && it.how != shapeExact {
				continue
			}
			if p.match(v.form(i, it.cased)) {
				return true
			}
		}
	}
	return false
}

// form gives a value folded, or as it is.
func (v *view) form(i int32, cased bool) []byte {
	if cased {
		return v.asIs(i)
	}
	return v.folded(i)
}

func (v *view) asIs(i int32) []byte {
	from := len(v.buf)
	v.buf = append(v.buf, v.values[i].text...)
	return v.buf[from:]
}

// decided names the fields by which an item that holds does so.
func (it *item) decided(r *Rule, v *view, add func(string)) {
	if it.field == keyword {
		for i := range v.values {
			for _, t := range it.tests {
				if t.match(v, int32(i)) {
					add(v.values[i].name)
					break
				}
			}
		}
		return
	}
	if i := v.head(it.field); i >= 0 {
		add(v.values[i].name)
	}
	if it.mode == reference {
		add(v.values[v.head(it.other)].name)
	}
}

type textTest struct{ pattern }

func (t *textTest) match(v *view, i int32) bool { return t.pattern.match(v.form(i, t.cased)) }

func (t *textTest) literals() []literal {
	l, ok := t.literal()
	if !ok {
		return nil
	}
	return []literal{l}
}

// setTest is many whole values at once.
type setTest struct{ texts map[string]struct{} }

func (t *setTest) match(v *view, i int32) bool {
	_, ok := t.texts[string(v.folded(i))]
	return ok
}

func (t *setTest) literals() []literal {
	var all []literal
	for text := range t.texts {
		all = append(all, literal{text: text, start: true, end: true})
	}
	return all
}

// regexpTest searches a value. The expression runs only where one of its
// required literals stands, and where there are bytes enough, and in rows.
type regexpTest struct {
	re     *regexp.Regexp
	least  int      // bytes of the shortest match
	row    *row     // in each match; nil if there is none
	guards [][]byte // folded; nil if none can be derived
}

func (t *regexpTest) match(v *view, i int32) bool {
	text := v.values[i].text
	if len(text) < t.least || t.row != nil && !t.row.in(text) {
		return false
	}
	if len(t.guards) > 0 {
		folded, found := v.folded(i), false
		for _, g := range t.guards {
			if found = bytes.Contains(folded, g); found {
				break
			}
		}
		if !found {
			return false
		}
	}
	return t.re.MatchString(text)
}

func (t *regexpTest) literals() []literal {
	var all []literal
	for _, g := range t.guards {
		all = append(all, literal{text: string(g)})
	}
	return all
}

type cidrTest struct{ network netip.Prefix }

// match takes addresses of both families, an IPv4 address inside an IPv6 one as
// the IPv4 address, and leaves a zone aside.
func (t *cidrTest) match(v *view, i int32) bool {
	s := strings.TrimSpace(v.values[i].text)
	// Errors of the parser are allocated; most values are no address at all.
	if len(s) > maxAddress || !strings.ContainsAny(s, ".:") || strings.Trim(s[:1], "0123456789abcdefABCDEF:") != "" {
		return false
	}
	a, err := netip.ParseAddr(s)
	return err == nil && t.network.Contains(a.WithZone("").Unmap())
}

// maxAddress is the longest text of an address with a zone.
const maxAddress = 64

func (t *cidrTest) literals() []literal { return nil }

// comparison is how a number of the event stands to the rule's.
type comparison uint8

const (
	equal comparison = iota
	less
	lessOrEqual
	greater
	greaterOrEqual
)

func (c comparison) holds(order int) bool {
	switch c {
	case less:
		return order < 0
	case lessOrEqual:
		return order <= 0
	case greater:
		return order > 0
	case greaterOrEqual:
		return order >= 0
	}
	return order == 0
}

// number keeps whole numbers exact: record numbers and sizes exceed a float's 53 bits.
type number struct {
	whole bool
	i     int64
	f     float64
}

func (n number) compare(o number) int {
	if n.whole && o.whole {
		return cmp.Compare(n.i, o.i)
	}
	return cmp.Compare(n.f, o.f)
}

// parseNumber reads a decimal number, or a hexadecimal whole one with 0x as
// Windows logs them.
func parseNumber(s string) (number, bool) {
	s = strings.TrimSpace(s)
	if !looksNumeric(s) {
		return number{}, false
	}
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		u, err := strconv.ParseUint(s[2:], 16, 64)
		if err != nil {
			return number{}, false
		}
		return number{whole: u <= math.MaxInt64, i: int64(u), f: float64(u)}, true
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return number{whole: true, i: i, f: float64(i)}, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return number{}, false
	}
	return number{f: f}, true
}

// looksNumeric spares the allocated errors of strconv for values that are text.
func looksNumeric(s string) bool {
	const longest = 64
	digit := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digit = true
		case strings.IndexByte("+-.xXabcdefABCDEF", c) < 0:
			return false
		}
	}
	return digit && len(s) <= longest && strings.IndexByte("0123456789+-.", s[0]) >= 0
}

type numberTest struct {
	op  comparison
	num number
}

func (t *numberTest) match(v *view, i int32) bool {
	n, ok := parseNumber(v.values[i].text)
	return ok && t.op.holds(n.compare(t.num))
}

func (t *numberTest) literals() []literal { return nil }

// datePart is what a time modifier takes from a date.
type datePart uint8

const (
	minute datePart = iota
	hour
	day
	week
	month
	year
)

type dateTest struct {
	part datePart
	op   comparison
	num  number
}

func (t *dateTest) match(v *view, i int32) bool {
	n, ok := partOf(v.values[i].text, t.part)
	return ok && t.op.holds(number{whole: true, i: int64(n), f: float64(n)}.compare(t.num))
}

func (t *dateTest) literals() []literal { return nil }

// partOf reads one part of a date as it is written, whatever its zone:
// 2021-03-03T06:49:43…, with '/' or a blank instead, the date alone, or the time
// of day alone.
func partOf(s string, part datePart) (int, bool) {
	s = strings.TrimSpace(s)
	var y, m, d int
	dated := len(s) >= 10 && (s[4] == '-' || s[4] == '/') && s[7] == s[4]
	if dated {
		var ok [3]bool
		y, ok[0] = digits(s[:4])
		m, ok[1] = digits(s[5:7])
		d, ok[2] = digits(s[8:10])
		if ok != [3]bool{true, true, true} || m < 1 || m > 12 || d < 1 || d > 31 {
			return 0, false
		}
		if s = s[10:]; s != "" {
			if s[0] != 'T' && s[0] != ' ' && s[0] != 't' {
				return 0, false
			}
			s = s[1:]
		}
	}
	switch part {
	case minute, hour:
		if len(s) < 5 || s[2] != ':' {
			return 0, false
		}
		hh, ok1 := digits(s[:2])
		mm, ok2 := digits(s[3:5])
		if !ok1 || !ok2 || hh > 23 || mm > 59 {
			return 0, false
		}
		if part == hour {
			return hh, true
		}
		return mm, true
	case day:
		return d, dated
	case month:
		return m, dated
	case year:
		return y, dated
	}
	if !dated {
		return 0, false
	}
	_, w := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).ISOWeek()
	return w, true
}

func digits(s string) (int, bool) {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}
