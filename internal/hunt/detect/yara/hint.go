package yara

import (
	"bytes"

	"github.com/VirusTotal/gyp/ast"
)

// A hint is two bytes of which a string has one pair wherever it matches. Whether a
// pair is in a file is known from one look at what follows its first byte, which is
// much quicker than a search for strings of two or three bytes.
type hint struct{ first, second byte }

// hintsOf gives the pairs of which one is found wherever a string is, nil if there
// are none to name.
func hintsOf(s ast.String) []hint {
	var all []hint
	for _, l := range literalsOf(s) {
		h := rarestPair(l)
		if h == nil {
			return nil
		}
		all = append(all, h...)
	}
	return all
}

// marks are bytes that are rare enough in most files to be looked for one by one, the
// rarest first.
const marks = "`~^\\@$%?|<&#!*+[]{}"

// rarestPair gives the pair of a literal whose first byte is the rarest: both cases
// of its second if the literal is without case.
func rarestPair(l literal) []hint {
	best, rank := -1, len(marks)
	for i := 0; i+1 < len(l.text); i++ {
		if r := bytes.IndexByte([]byte(marks), l.text[i]); r >= 0 && r < rank {
			best, rank = i, r
		}
	}
	if best < 0 {
		return nil
	}
	first, second := l.text[best], l.text[best+1]
	if l.fold && lowerByte(second) >= 'a' && lowerByte(second) <= 'z' {
		return []hint{{first, lowerByte(second)}, {first, lowerByte(second) - 'a' + 'A'}}
	}
	return []hint{{first, second}}
}

func lowerByte(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// followers has a bit for each byte that follows a first byte somewhere in a file.
type followers struct {
	known bool
	bits  [4]uint64
}

// follows says whether a pair is in the data; what follows a byte is kept for the
// next who asks.
func (f *followers) follows(data []byte, h hint) bool {
	if !f.known {
		f.known, f.bits = true, [4]uint64{}
		for {
			i := bytes.IndexByte(data, h.first)
			if i < 0 || i+1 >= len(data) {
				break
			}
			b := data[i+1]
			f.bits[b>>6] |= 1 << (b & 63)
			data = data[i+1:]
		}
	}
	return f.bits[h.second>>6]>>(h.second&63)&1 != 0
}
