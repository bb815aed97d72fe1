package indicator

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync/atomic"
)

// Columns looks at the raw columns of rows that no rule is about, for the addresses,
// agents, hosts and pages of the user's feeds: a server of which a feed knows one
// address must not be parsed for it, and a row with that address must not be missed.
// Several goroutines may use it at once.
//
// A log says the same few hundred agents and addresses again and again. What was
// looked up and is not listed is remembered by its hash, so that most columns cost one
// hash and one load from memory, however many indicators there are and of whatever
// kind. The hash is of 64 bits with a seed of this run: nobody who writes a log can
// make two values meet in it.
type Columns struct {
	set    *Set
	stops  []stop
	delim  byte
	memory *Memory
}

type stop struct {
	column int
	role   role
}

// Memory is what was looked up in the logs of a run and is not listed: at the place of
// a value's hash the hash itself. A value that is overwritten is looked up again.
type Memory struct {
	roles [roleFullPath + 1][memorySize]atomic.Uint64
}

// memorySize values of each role: a server sees some hundred agents and a few thousand
// addresses an hour, and 32 KiB stay in the processor's cache.
const memorySize = 1 << 12

// Columns gives what looks at the columns of a header, nil if no feed has anything that
// they could hold. Delim parts the columns; 0 is a log of opaque lines, which have none.
func (s *Set) Columns(delim byte, names []string, m *Memory) *Columns {
	if delim == 0 {
		return nil
	}
	c := &Columns{set: s, delim: delim}
	for i, name := range names {
		r := roleOf(name)
		if r == roleNone || r == roleQuery || r == roleCookies || !s.uses(r, &s.asked) {
			continue
		}
		c.stops = append(c.stops, stop{i, r})
	}
	if c.stops == nil {
		return nil
	}
	c.memory = m
	return c
}

// Pass says whether a column of the line may hold an indicator of a feed.
func (c *Columns) Pass(line []byte) bool {
	plain := c.delim == ',' && bytes.IndexByte(line, '"') < 0
	at, column := 0, 0
	for i := range c.stops {
		n := c.stops[i].column - column
		if plain && n > 0 {
			at = skipTo(line, at, n)
		}
		for ; !plain && n > 0 && at <= len(line); n-- {
			at = next(line, at, c.delim)
		}
		if at > len(line) {
			return false
		}
		column = c.stops[i].column
		end := next(line, at, c.delim)
		if end-1 > at && c.holds(c.stops[i].role, line[at:end-1]) {
			return true
		}
		if at = end; at > len(line) {
			return false
		}
		column++
	}
	return false
}

// holds says whether a column may hold an indicator of a feed.
func (c *Columns) holds(r role, column []byte) bool {
	hash := maphash.Bytes(c.set.seed, column) | 1
	known := c.memory.roles[r][hash>>1%memorySize&^1:][:2]
	if known[0].Load() == hash || known[1].Load() == hash {
		return false
	}
	if c.listed(r, column) {
		return true
	}
	if known[0].Load() == 0 {
		known[0].Store(hash)
	} else {
		known[1].Store(hash)
	}
	return false
}

// listed looks a column up. It must find whatever [Host.Look] finds in the parsed row.
func (c *Columns) listed(r role, column []byte) bool {
	if c.delim == ',' && column[0] == '"' {
		column = bytes.TrimSuffix(column[1:], []byte{'"'})
		if bytes.Contains(column, []byte(`""`)) {
			return true // rare enough to be parsed
		}
	}
	if r == roleAddress {
		return c.listedAddress(column)
	}
	s, found := c.set, false
	see := func(k kind, key []byte) bool {
		if k == kindAddress {
			addr, _ := netip.AddrFromSlice(key)
			found = found || s.feedsAddress(addr)
		} else if k == kindURL && r == rolePath {
			found = found || s.feeds(s.find(kindStem, key))
		} else {
			found = found || s.feeds(s.find(k, key))
		}
		return !found
	}
	if r == rolePath || r == roleFullPath {
		// What the parser would write in another way has to be parsed to be known.
		for i, b := range column {
			if b >= 0x80 || b == '%' || b == '\\' || b == '~' || i > 0 && column[i-1] == '/' && (b == '/' || b == '.') {
				return true
			}
		}
		r = rolePath
	}
	var buf [512]byte
	keys(r, string(column), "", buf[:0], see)
	return found
}

// listedAddress is listed for addresses, of which there are many, without a copy.
func (c *Columns) listedAddress(column []byte) bool {
	for n, at := 0, 0; at < len(column) && n < maxParts; n++ {
		var addr netip.Addr
		if addr, at = nextAddress(column, at); addr.IsValid() && c.set.feedsAddress(addr) {
			return true
		}
	}
	return false
}

func (s *Set) feedsAddress(addr netip.Addr) bool {
	single, nets := s.findAddress(addr)
	found := s.feeds(single)
	for _, n := range nets {
		found = found || s.feeds(n)
	}
	return found
}

// feeds says whether one of the entries of a key is of a feed.
func (s *Set) feeds(first uint32) bool {
	for n := first; n != 0; n = s.entries[n-1].next {
		if s.origins[s.entries[n-1].origin].feed {
			return true
		}
	}
	return false
}

// next gives where the column after the one at a place begins; one past the end of the
// line plus one where there is none. It parts columns as the parser does: several
// blanks part as one, and between quotes a comma is none.
func next(line []byte, at int, delim byte) int {
	switch {
	case at >= len(line):
		return len(line) + 1
	case delim == ' ':
		for at < len(line) && line[at] == ' ' {
			at++
		}
	case line[at] == '"':
		for at++; ; at++ {
			quote := bytes.IndexByte(line[min(at, len(line)):], '"')
			if quote < 0 {
				return len(line) + 1
			}
			if at += quote; at+1 >= len(line) || line[at+1] != '"' {
				break
			}
			at++
		}
	}
	// Columns are mostly shorter than what a vectorised search needs to get going.
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for pattern := ones * uint64(delim); at+8 <= len(line); at += 8 {
		x := binary.LittleEndian.Uint64(line[at:]) ^ pattern
		if zero := (x - ones) &^ x & highs; zero != 0 {
			return at + bits.TrailingZeros64(zero)>>3 + 1
		}
	}
	for ; at < len(line); at++ {
		if line[at] == delim {
			return at + 1
		}
	}
	return len(line) + 1
}

// skipTo is next for n columns parted by commas, in a line without quotes: eight bytes
// at a time, whatever the columns' lengths.
func skipTo(line []byte, at, n int) int {
	const low, commas = 0x7f7f7f7f7f7f7f7f, 0x0101010101010101 * ','
	for ; at+8 <= len(line); at += 8 {
		x := binary.LittleEndian.Uint64(line[at:]) ^ commas
		found := ^((x&low + low) | x | low) // the highest bit of each byte that is a comma
		if k := bits.OnesCount64(found); k < n {
			n -= k
			continue
		}
		for ; n > 1; n-- {
			found &= found - 1
		}
		return at + bits.TrailingZeros64(found)>>3 + 1
	}
	for ; at < len(line); at++ {
		if line[at] == ',' {
			if n--; n == 0 {
				return at + 1
			}
		}
	}
	return len(line) + 1
}
