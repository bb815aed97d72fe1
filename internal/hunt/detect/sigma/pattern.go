package sigma

import (
	"bytes"
	"unicode/utf8"
)

// text is a value of a rule with its wildcards read: literal parts and wildcards
// in order. Literal parts may hold any bytes once an encoding modifier ran.
type text []part

type part struct {
	lit  string
	wild byte // '*' or '?', 0 for a literal part
}

// parseText reads the wildcards and escapes of the specification: a backslash
// takes the meaning from *, ? and \ and is itself everywhere else.
func parseText(s string) text {
	var t text
	var lit []byte
	flush := func() {
		if len(lit) > 0 {
			t = append(t, part{lit: string(lit)})
			lit = lit[:0]
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '*' || s[i+1] == '?' || s[i+1] == '\\'):
			i++
			lit = append(lit, s[i])
		case c == '*' || c == '?':
			flush()
			t = append(t, part{wild: c})
		default:
			lit = append(lit, c)
		}
	}
	flush()
	return t
}

func (t text) wild() bool {
	for _, p := range t {
		if p.wild != 0 {
			return true
		}
	}
	return false
}

// plain gives the text of a value without wildcards.
func (t text) plain() string {
	var b []byte
	for _, p := range t {
		b = append(b, p.lit...)
	}
	return string(b)
}

// openStart and openEnd let the text stand anywhere before or after.
func (t text) openStart() text {
	if len(t) > 0 && t[0].wild == '*' {
		return t
	}
	return append(text{{wild: '*'}}, t...)
}

func (t text) openEnd() text {
	if len(t) > 0 && t[len(t)-1].wild == '*' {
		return t
	}
	return append(t[:len(t):len(t)], part{wild: '*'})
}

// shape says how a pattern is compared; most need no wildcard search.
type shape uint8

const (
	shapeExact shape = iota
	shapePrefix
	shapeSuffix
	shapeContains
	shapeAny
	shapeGlob
)

// pattern is a compiled text. Patterns without case hold folded literals and are
// compared with folded values.
type pattern struct {
	shape shape
	cased bool
	lit   []byte // of the four simple shapes
	// A glob is segments with a '*' between each two; start and end say whether
	// the first and last are anchored.
	segments   []segment
	start, end bool
}

// segment is literals and single-character wildcards, without a '*'.
type segment []piece

type piece struct {
	lit []byte
	any int // characters to skip instead, if lit is nil
}

func compileText(t text, cased bool) pattern {
	p := pattern{cased: cased, start: true, end: true}
	var seg segment
	stars, singles := 0, 0
	for i, q := range t {
		switch q.wild {
		case '*':
			stars++
			if i == 0 {
				p.start = false
			}
			p.end = i < len(t)-1
			if len(seg) > 0 {
				p.segments = append(p.segments, seg)
				seg = nil
			}
		case '?':
			singles++
			if n := len(seg); n > 0 && seg[n-1].lit == nil {
				seg[n-1].any++
			} else {
				seg = append(seg, piece{any: 1})
			}
		default:
			lit := []byte(q.lit)
			if !cased {
				lit = appendFold(nil, q.lit)
			}
			if n := len(seg); n > 0 && seg[n-1].lit != nil {
				seg[n-1].lit = append(seg[n-1].lit, lit...)
			} else {
				seg = append(seg, piece{lit: lit})
			}
		}
	}
	if len(seg) > 0 {
		p.segments = append(p.segments, seg)
	}
	p.shape = shapeGlob
	switch {
	case len(p.segments) == 0 && stars > 0:
		p.shape = shapeAny
	case len(p.segments) == 0:
		p.shape = shapeExact
	case len(p.segments) == 1 && singles == 0:
		p.lit, p.segments = p.segments[0][0].lit, nil
		switch {
		case p.start && p.end && stars == 0:
			p.shape = shapeExact
		case p.start && !p.end:
			p.shape = shapePrefix
		case !p.start && p.end:
			p.shape = shapeSuffix
		case !p.start && !p.end:
			p.shape = shapeContains
		}
	}
	return p
}

// match compares with a value, folded unless the pattern is cased.
func (p *pattern) match(v []byte) bool {
	if p.shape == shapeGlob {
		return p.glob(v)
	}
	return p.shape.match(v, p.lit)
}

// match compares a value with the literal of a simple shape.
func (s shape) match(v, lit []byte) bool {
	switch s {
	case shapeExact:
		return bytes.Equal(v, lit)
	case shapePrefix:
		return bytes.HasPrefix(v, lit)
	case shapeSuffix:
		return bytes.HasSuffix(v, lit)
	case shapeContains:
		return bytes.Contains(v, lit)
	}
	return s == shapeAny
}

// glob takes each segment at its leftmost place after the one before. That never
// misses: a segment has a fixed number of characters, so that the leftmost start
// leaves the most room for the rest. The last one, if anchored, must end the value.
func (p *pattern) glob(v []byte) bool {
	segs := p.segments
	at := 0
	if p.start {
		if at = segs[0].matchAt(v, 0); at < 0 {
			return false
		}
		if segs = segs[1:]; len(segs) == 0 {
			return !p.end || at == len(v)
		}
	}
	if p.end {
		last := segs[len(segs)-1]
		segs = segs[:len(segs)-1]
		for _, seg := range segs {
			if at = seg.find(v, at); at < 0 {
				return false
			}
		}
		return last.endsAt(v, at)
	}
	for _, seg := range segs {
		if at = seg.find(v, at); at < 0 {
			return false
		}
	}
	return true
}

// matchAt gives where the segment ends if it stands at i, or -1.
func (s segment) matchAt(v []byte, i int) int {
	for _, q := range s {
		if q.lit != nil {
			if !bytes.HasPrefix(v[i:], q.lit) {
				return -1
			}
			i += len(q.lit)
			continue
		}
		for range q.any {
			if i >= len(v) {
				return -1
			}
			_, n := utf8.DecodeRune(v[i:])
			i += n
		}
	}
	return i
}

// find gives where the leftmost occurrence from i on ends, or -1.
func (s segment) find(v []byte, i int) int {
	for i <= len(v) {
		if s[0].lit != nil {
			skip := bytes.Index(v[i:], s[0].lit)
			if skip < 0 {
				return -1
			}
			i += skip
		}
		if end := s.matchAt(v, i); end >= 0 {
			return end
		}
		// Not a byte further: the rest of a character is not one.
		_, n := utf8.DecodeRune(v[i:])
		i += max(n, 1)
	}
	return -1
}

// endsAt says whether the segment ends the value and starts at i or later.
func (s segment) endsAt(v []byte, i int) bool {
	v = v[i:]
	for k := len(s) - 1; k >= 0; k-- {
		if s[k].lit != nil {
			if !bytes.HasSuffix(v, s[k].lit) {
				return false
			}
			v = v[:len(v)-len(s[k].lit)]
			continue
		}
		for range s[k].any {
			if len(v) == 0 {
				return false
			}
			_, n := utf8.DecodeLastRune(v)
			v = v[:len(v)-n]
		}
	}
	return true
}

// literal gives the longest literal of the pattern, folded, and where it must
// stand; false if there is none.
func (p *pattern) literal() (literal, bool) {
	var l literal
	switch p.shape {
	case shapeExact:
		l = literal{start: true, end: true}
	case shapePrefix:
		l.start = true
	case shapeSuffix:
		l.end = true
	}
	lit := p.lit
	if p.shape == shapeGlob {
		for _, seg := range p.segments {
			for _, q := range seg {
				if len(q.lit) > len(lit) {
					lit = q.lit
				}
			}
		}
	}
	l.text = string(lit)
	if p.cased {
		l.text = fold(l.text)
	}
	return l, l.text != "" || p.shape == shapeExact
}
