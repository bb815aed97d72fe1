package pattern

import (
	"fmt"
	"strings"
)

// Bounds on one regular expression.
const (
	maxSource  = 8192  // bytes of text; libyara refuses more
	maxRepeat  = 32767 // of a bounded repetition; libyara refuses more
	maxNesting = 250   // parentheses in one another, as the parser recurses
)

// parser reads the dialect of regular expressions of YARA, which is not Perl's: a
// brace that is no interval is a literal, an escaped letter without a meaning stands
// for itself, there are no back references, no look-around and no groups but "(".
type parser struct {
	src    string
	at     int
	depth  int
	noCase bool
	dotAll bool

	greedy, lazy bool // kinds of quantifiers seen
}

func parseRegexp(src string, noCase, dotAll bool) (*node, *parser, error) {
	p := &parser{src: src, noCase: noCase, dotAll: dotAll}
	if src == "" {
		return nil, nil, refuse("empty", "an empty regular expression")
	}
	if len(src) > maxSource {
		return nil, nil, refuse("large", "a regular expression of %d bytes, above the bound of %d", len(src), maxSource)
	}
	n, err := p.alternatives()
	if err == nil && p.at < len(src) {
		err = p.fail("unexpected", "unexpected %q", src[p.at])
	}
	if err != nil {
		return nil, nil, err
	}
	return n, p, nil
}

func refuse(reason, format string, args ...any) error {
	return &Refusal{Reason: reason, text: fmt.Sprintf(format, args...)}
}

func (p *parser) fail(reason, format string, args ...any) error {
	return refuse(reason, "regular expression, at byte %d: %s", p.at, fmt.Sprintf(format, args...))
}

func (p *parser) more() bool { return p.at < len(p.src) }

func (p *parser) alternatives() (*node, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxNesting {
		return nil, p.fail("nested", "parentheses nested deeper than %d", maxNesting)
	}
	first, err := p.concatenation()
	if err != nil {
		return nil, err
	}
	if first == nil {
		return nil, p.fail("branch", "nothing to match")
	}
	alts := []*node{first}
	for p.more() && p.src[p.at] == '|' {
		p.at++
		next, err := p.concatenation()
		if err != nil {
			return nil, err
		}
		if next == nil {
			next = &node{kind: nodeEmpty}
		}
		alts = append(alts, next)
	}
	if len(alts) == 1 {
		return first, nil
	}
	return &node{kind: nodeAlt, kids: alts}, nil
}

// concatenation gives nil if there is nothing before the next "|" or ")".
func (p *parser) concatenation() (*node, error) {
	n := &node{kind: nodeConcat}
	for p.more() && p.src[p.at] != '|' && p.src[p.at] != ')' {
		k, err := p.repeat()
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, k)
	}
	if len(n.kids) == 0 {
		return nil, nil
	}
	return n, nil
}

func (p *parser) repeat() (*node, error) {
	single, quantifiable, err := p.single()
	if err != nil || !p.more() {
		return single, err
	}
	min, max, star := 0, 0, false
	switch p.src[p.at] {
	case '*':
		max, star = endless, true
		p.at++
	case '+':
		min, max, star = 1, endless, true
		p.at++
	case '?':
		max = 1
		p.at++
	case '{':
		end, lo, hi, err := p.interval()
		if err != nil {
			return nil, err
		}
		if end == 0 {
			return single, nil // a literal brace, read next
		}
		min, max = lo, hi
		p.at = end
	default:
		return single, nil
	}
	if !quantifiable {
		return nil, p.fail("repeat", "nothing to repeat")
	}
	n := &node{kind: nodeRepeat, kids: []*node{single}, min: min, max: max, star: star}
	if p.more() && p.src[p.at] == '?' {
		p.at++
		n.lazy = true
		p.lazy = true
	} else {
		p.greedy = true
	}
	if p.more() {
		switch p.src[p.at] {
		case '*', '+', '?':
			return nil, p.fail("repeat-twice", "a quantifier behind a quantifier")
		case '{':
			if end, _, _, _ := p.interval(); end > 0 {
				return nil, p.fail("repeat-twice", "a quantifier behind a quantifier")
			}
		}
	}
	return n, nil
}

// interval reads {n} {n,m} {n,} {,m} {,} at the current byte. End is 0 if there is
// none, and the brace stands for itself.
func (p *parser) interval() (end, lo, hi int, err error) {
	i := p.at + 1
	number := func() (v int, digits bool) {
		for ; i < len(p.src) && p.src[i] >= '0' && p.src[i] <= '9'; i++ {
			if v <= maxRepeat {
				v = v*10 + int(p.src[i]-'0')
			}
			digits = true
		}
		return v, digits
	}
	lo, low := number()
	if i >= len(p.src) {
		return 0, 0, 0, nil
	}
	switch {
	case p.src[i] == '}' && low:
		hi = lo
	case p.src[i] == ',':
		i++
		var high bool
		if hi, high = number(); !high {
			hi = maxRepeat // as libyara reads it
		}
		if i >= len(p.src) || p.src[i] != '}' {
			return 0, 0, 0, nil
		}
	default:
		return 0, 0, 0, nil
	}
	switch {
	case hi > maxRepeat || lo > maxRepeat:
		return 0, 0, 0, p.fail("interval", "repeat interval too large, above %d", maxRepeat)
	case hi == 0 || hi < lo:
		return 0, 0, 0, p.fail("interval", "bad repeat interval")
	}
	return i + 1, lo, hi, nil
}

// single reads what a quantifier may stand behind, or an assertion.
func (p *parser) single() (n *node, quantifiable bool, err error) {
	c := p.src[p.at]
	p.at++
	switch c {
	case '(':
		if strings.HasPrefix(p.src[p.at:], "?") {
			return nil, false, p.fail("group", "groups with \"(?\" do not exist in YARA")
		}
		n, err := p.alternatives()
		if err != nil {
			return nil, false, err
		}
		if !p.more() {
			return nil, false, p.fail("bracket", "missing )")
		}
		p.at++
		return n, true, nil
	case '.':
		n := &node{kind: nodeSet, set: allBytes(), any: true}
		if !p.dotAll {
			n.set = oneByte('\n').negate()
		}
		return n, true, nil
	case '^':
		return &node{kind: nodeStart}, false, nil
	case '$':
		return &node{kind: nodeEnd}, false, nil
	case '*', '+', '?':
		return nil, false, p.fail("repeat", "nothing to repeat")
	case '{':
		p.at--
		end, _, _, err := p.interval()
		if err == nil && end > 0 {
			err = p.fail("repeat", "nothing to repeat")
		}
		if err != nil {
			return nil, false, err
		}
		p.at++
	case '[':
		n, err := p.class()
		return n, true, err
	case '\\':
		return p.escape()
	}
	return p.byteNode(c), true, nil
}

// byteNode gives a literal byte, which matches in both cases if the expression does.
func (p *parser) byteNode(c byte) *node {
	n := &node{kind: nodeSet, set: oneByte(c), literal: true, lit: c, mask: 0xff}
	if p.noCase {
		n.set = n.set.bothCases()
	}
	return n
}

func (p *parser) escape() (*node, bool, error) {
	if !p.more() {
		return nil, false, p.fail("escape", "illegal escape sequence")
	}
	switch c := p.src[p.at]; c {
	case 'b':
		p.at++
		return &node{kind: nodeWord}, false, nil
	case 'B':
		p.at++
		return &node{kind: nodeNotWord}, false, nil
	case '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return nil, false, p.fail("backreference", "back references are not allowed")
	default:
		if set, ok := shorthand(c); ok {
			p.at++
			return &node{kind: nodeSet, set: set}, true, nil
		}
	}
	c, err := p.escaped()
	if err != nil {
		return nil, false, err
	}
	return p.byteNode(c), true, nil
}

// shorthand gives the set behind \w \W \s \S \d \D.
func shorthand(c byte) (charset, bool) {
	switch c {
	case 'w':
		return wordChars(), true
	case 'W':
		return wordChars().negate(), true
	case 's':
		return spaces(), true
	case 'S':
		return spaces().negate(), true
	case 'd':
		return digits(), true
	case 'D':
		return digits().negate(), true
	}
	return charset{}, false
}

// escaped reads what follows a backslash and stands for one byte.
func (p *parser) escaped() (byte, error) {
	if !p.more() {
		return 0, p.fail("escape", "illegal escape sequence")
	}
	c := p.src[p.at]
	p.at++
	switch c {
	case 'x':
		if p.at+2 <= len(p.src) {
			hi, ok1 := hexDigit(p.src[p.at])
			lo, ok2 := hexDigit(p.src[p.at+1])
			if ok1 && ok2 {
				p.at += 2
				return hi<<4 | lo, nil
			}
		}
		return 0, p.fail("escape", "illegal escape sequence: \\x needs two hex digits")
	case 'n':
		return '\n', nil
	case 't':
		return '\t', nil
	case 'r':
		return '\r', nil
	case 'f':
		return '\f', nil
	case 'a':
		return '\a', nil
	}
	return c, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// class reads what follows "[". A range may begin with any escaped byte, also with
// that of a shorthand, which then stands for its letter.
func (p *parser) class() (*node, error) {
	var set charset
	negated := false
	if p.more() && p.src[p.at] == '^' {
		negated = true
		p.at++
	}
	if p.more() && p.src[p.at] == ']' {
		set.add(']')
		p.at++
	}
	for {
		if !p.more() {
			return nil, p.fail("bracket", "missing ] of a class")
		}
		if p.src[p.at] == ']' {
			p.at++
			break
		}
		if lo, end, ok := p.rangeStart(); ok {
			p.at = end
			hi := p.src[p.at]
			p.at++
			if hi == '\\' {
				var err error
				if hi, err = p.escaped(); err != nil {
					return nil, err
				}
			}
			if hi < lo {
				return nil, p.fail("range", "bad range in a class")
			}
			set.addRange(lo, hi)
			continue
		}
		c := p.src[p.at]
		p.at++
		if c == '\\' {
			if p.more() {
				if short, ok := shorthand(p.src[p.at]); ok {
					p.at++
					set.union(short)
					continue
				}
			}
			b, err := p.escaped()
			if err != nil {
				return nil, err
			}
			set.add(b)
			continue
		}
		if c < 32 || c >= 127 {
			return nil, p.fail("byte", "a byte that is not printable ASCII in a class: write it as \\x%02x", c)
		}
		set.add(c)
	}
	if p.noCase {
		set = set.bothCases()
	}
	if negated {
		set = set.negate()
	}
	return &node{kind: nodeSet, set: set}, nil
}

// rangeStart says whether a range begins here: its first byte, and where its last
// one is written.
func (p *parser) rangeStart() (lo byte, end int, ok bool) {
	rest := p.src[p.at:]
	width := 1
	lo = rest[0]
	if lo == '\\' {
		if len(rest) < 2 || rest[1] == '\n' {
			return 0, 0, false
		}
		if width = 2; rest[1] == 'x' && len(rest) >= 4 {
			if _, ok := hexDigit(rest[2]); ok {
				if _, ok := hexDigit(rest[3]); ok {
					width = 4
				}
			}
		}
	}
	if len(rest) < width+2 || rest[width] != '-' || rest[width+1] == ']' {
		return 0, 0, false
	}
	if width > 1 {
		q := parser{src: rest, at: 1}
		b, err := q.escaped()
		if err != nil {
			return 0, 0, false
		}
		lo = b
	}
	return lo, p.at + width + 1, true
}
