package pe

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

// A reader of DER (ITU-T X.690) as far as signatures need it. Certificates of
// malicious programs break the rules that strict readers insist on, such as numbers
// with needless zeros, and are worth most; so this one asks only where an element
// ends. Elements of indefinite length are not read.

// element is one element: its identifier octet, its content, and all of it.
type element struct {
	tag     byte
	content []byte
	whole   []byte
}

const (
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagOID      = 0x06
	tagUTCTime  = 0x17
	tagTime     = 0x18
	tagGeneral  = 0x1b
	tagSequence = 0x30
	tagSet      = 0x31
	tagContext0 = 0xa0
	tagContext1 = 0xa1
)

// der reads elements one after another.
type der []byte

// next takes the next element; false at the end and where there is none.
func (d *der) next() (element, bool) {
	b := *d
	if len(b) < 2 || b[0]&0x1f == 0x1f { // long identifiers are not used here
		return element{}, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 4 || len(b) < 2+octets {
			return element{}, false
		}
		n = 0
		for _, c := range b[2 : 2+octets] {
			n = n<<8 | int(c)
		}
		head += octets
	}
	if n > len(b)-head {
		return element{}, false
	}
	*d = b[head+n:]
	return element{b[0], b[head : head+n], b[:head+n]}, true
}

// take takes the next element if it has this tag.
func (d *der) take(tag byte) (element, bool) {
	rest := *d
	e, ok := rest.next()
	if !ok || e.tag != tag {
		return element{}, false
	}
	*d = rest
	return e, true
}

// inside takes the next element of this tag, to read what is in it.
func (d *der) inside(tag byte) (der, bool) {
	e, ok := d.take(tag)
	return der(e.content), ok
}

// oid takes an object identifier in its usual form, "1.2.840".
func (d *der) oid() (string, bool) {
	e, ok := d.take(tagOID)
	if !ok || len(e.content) == 0 || len(e.content) > 64 { // none in use is as long
		return "", false
	}
	var s strings.Builder
	first := true
	arc := new(big.Int)
	for _, c := range e.content {
		arc.Lsh(arc, 7).Or(arc, big.NewInt(int64(c&0x7f)))
		if c&0x80 != 0 {
			continue
		}
		if first {
			top := min(arc.Int64(), 80) / 40
			if !arc.IsInt64() {
				top = 2
			}
			fmt.Fprintf(&s, "%d.%s", top, new(big.Int).Sub(arc, big.NewInt(40*top)))
			first = false
		} else {
			fmt.Fprintf(&s, ".%s", arc)
		}
		arc.SetInt64(0)
	}
	return s.String(), !first
}

// time takes a date; false if it is none.
func (d *der) time() (int64, bool) {
	e, ok := d.next()
	if !ok {
		return 0, false
	}
	var layouts []string
	switch e.tag {
	case tagUTCTime:
		layouts = []string{"060102150405Z0700", "0601021504Z0700"}
	case tagTime:
		layouts = []string{"20060102150405Z0700"}
	}
	for _, l := range layouts {
		t, err := time.Parse(l, string(e.content))
		if err != nil {
			continue
		}
		if year := t.Year(); e.tag == tagUTCTime && year >= 2050 { // RFC 5280: 50 is 1950
			t = t.AddDate(-100, 0, 0)
		} else if e.tag == tagUTCTime && year < 1950 {
			t = t.AddDate(100, 0, 0)
		}
		return t.Unix(), true
	}
	return 0, false
}
