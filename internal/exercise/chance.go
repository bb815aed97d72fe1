package exercise

import (
	"hash/fnv"
	"strings"
)

// chance is a source of reproducible numbers (SplitMix64, public domain
// algorithm): the standard library's generators may change between versions, and
// evidence laid out years apart must be the same.
type chance struct{ state uint64 }

// newChance gives the numbers of one purpose: the same seed and purpose always give the same.
func newChance(seed uint64, purpose ...string) *chance {
	h := fnv.New64a()
	h.Write([]byte(strings.Join(purpose, "\x00")))
	c := &chance{state: seed ^ h.Sum64()}
	c.next()
	return c
}

func (c *chance) next() uint64 {
	c.state += 0x9E3779B97F4A7C15
	z := c.state
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// n gives 0 to n-1.
func (c *chance) n(n int) int { return int(c.next() >> 33 % uint64(n)) }

// between gives low to high, both included.
func (c *chance) between(low, high int) int { return low + c.n(high-low+1) }

// share is true in about that share of calls.
func (c *chance) share(s float64) bool { return c.float() < s }

// float gives 0 to 1 without 1.
func (c *chance) float() float64 { return float64(c.next()>>11) / (1 << 53) }

// one gives one of the choices.
func (c *chance) one(choices ...string) string { return choices[c.n(len(choices))] }

// from gives n characters of an alphabet.
func (c *chance) from(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[c.n(len(alphabet))]
	}
	return string(b)
}

const (
	lowerHex = "0123456789abcdef"
	upperHex = "0123456789ABCDEF"
	alnum    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	lowAlnum = "abcdefghijklmnopqrstuvwxyz0123456789"
)

// guid is a GUID in its usual text form.
type guid [36]byte

func (c *chance) guid() guid {
	var g guid
	hi, lo := c.next(), c.next()
	hi = hi&^0xF000 | 0x4000 // version 4
	lo = lo&^(3<<62) | 2<<62 // RFC 4122
	at := 0
	for i := range 32 {
		switch i {
		case 8, 12, 16, 20:
			g[at] = '-'
			at++
		}
		if i == 16 {
			hi = lo
		}
		g[at] = lowerHex[hi>>60]
		hi <<= 4
		at++
	}
	return g
}

func (g guid) String() string { return string(g[:]) }

// upper gives the form that Windows uses for sessions and devices.
func (g guid) upper() string { return strings.ToUpper(string(g[:])) }
