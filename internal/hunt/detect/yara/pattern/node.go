package pattern

import "math/bits"

// charset is a set of bytes.
type charset [4]uint64

func (c *charset) add(b byte)      { c[b>>6] |= 1 << (b & 63) }
func (c *charset) has(b byte) bool { return c[b>>6]>>(b&63)&1 != 0 }
func (c *charset) count() int {
	return bits.OnesCount64(c[0]) + bits.OnesCount64(c[1]) + bits.OnesCount64(c[2]) + bits.OnesCount64(c[3])
}
func (c *charset) addRange(lo, hi byte) {
	for b := int(lo); b <= int(hi); b++ {
		c.add(byte(b))
	}
}
func (c *charset) union(o charset) {
	for i := range c {
		c[i] |= o[i]
	}
}
func (c charset) negate() charset {
	for i := range c {
		c[i] = ^c[i]
	}
	return c
}

// bothCases adds the other case of each ASCII letter.
func (c charset) bothCases() charset {
	for b := byte('a'); b <= 'z'; b++ {
		if up := b - 'a' + 'A'; c.has(b) || c.has(up) {
			c.add(b)
			c.add(up)
		}
	}
	return c
}

// common gives the bits that all bytes of a set have, and those that any has.
func (c charset) common() (all, some byte) {
	all = 0xff
	for i, word := range c {
		for ; word != 0; word &= word - 1 {
			b := byte(i<<6 + bits.TrailingZeros64(word))
			all &= b
			some |= b
		}
	}
	return all, some
}

func oneByte(b byte) (c charset) { c.add(b); return c }

// masked gives the bytes that equal value under mask.
func masked(value, mask byte) (c charset) {
	switch mask {
	case 0xff:
		return oneByte(value)
	case 0:
		return allBytes()
	}
	for b := range 256 {
		if byte(b)&mask == value&mask {
			c.add(byte(b))
		}
	}
	return c
}

func allBytes() charset { return charset{}.negate() }

func digits() (c charset) { c.addRange('0', '9'); return c }

func wordChars() charset {
	c := digits()
	c.addRange('a', 'z')
	c.addRange('A', 'Z')
	c.add('_')
	return c
}

func spaces() (c charset) {
	for _, b := range []byte(" \t\r\n\v\f") {
		c.add(b)
	}
	return c
}

type nodeKind uint8

const (
	nodeSet     nodeKind = iota // one byte of a set
	nodeConcat                  // kids one after the other
	nodeAlt                     // one of the kids, the first preferred
	nodeRepeat                  // kids[0], min to max times
	nodeEmpty                   // nothing
	nodeStart                   // ^
	nodeEnd                     // $
	nodeWord                    // \b
	nodeNotWord                 // \B
)

// endless is the max of a repetition without an upper bound.
const endless = -1

// node is a part of a regular expression or hex string. Trees are made by the two
// parsers and never changed, so parts may be shared.
type node struct {
	kind     nodeKind
	set      charset
	literal  bool // a byte written as such: its value is lit
	lit      byte
	mask     byte // of lit: what of it is written; 0 of anything but a byte
	any      bool // "." or "??"
	kids     []*node
	min, max int // of a repetition; max may be endless
	lazy     bool
	star     bool // written as * or +
}

// literalOf gives the bytes of a tree that is a plain sequence of literal bytes.
func literalOf(n *node) ([]byte, bool) {
	if n.kind == nodeSet && n.literal {
		return []byte{n.lit}, true
	}
	if n.kind != nodeConcat {
		return nil, false
	}
	var value []byte
	for _, k := range n.kids {
		if k.kind != nodeSet || !k.literal {
			return nil, false
		}
		value = append(value, k.lit)
	}
	return value, len(value) > 0
}

// chainGap is the length of a jump above which the parts on its two sides are
// searched for on their own, and their distance is checked afterwards. It is
// libyara's: where the parts are cut is visible in the lengths of matches.
const chainGap = 200

// link is one part of a chain: what must follow the part before it at a distance
// of min to max bytes from that one's end.
type link struct {
	tree     *node
	min, max int // of the first link 0
}

// splitChain cuts a tree at its large lazy jumps. Most trees are one link.
func splitChain(n *node) []link {
	links := []link{{tree: n}}
	for n.kind == nodeConcat {
		at := -1
		for i, k := range n.kids {
			if k.kind == nodeRepeat && k.lazy && k.kids[0].any && i > 0 && i+1 < len(n.kids) &&
				(k.min > chainGap || k.max > chainGap || k.max == endless) && !k.star {
				at = i
				break
			}
		}
		if at < 0 {
			break
		}
		jump := n.kids[at]
		links[len(links)-1].tree = &node{kind: nodeConcat, kids: n.kids[:at]}
		n = &node{kind: nodeConcat, kids: n.kids[at+1:]}
		links = append(links, link{tree: n, min: jump.min, max: jump.max})
	}
	return links
}
