package yara

import (
	"bytes"
	"strings"

	"github.com/VirusTotal/gyp/ast"
)

// A hint is two bytes that stand side by side wherever a string matches; of several
// hints of a string, one pair does. Whether a pair is in a file is known from one look
// at what stands around its rarer byte, which is much quicker than a search.
type hint struct {
	mark, other byte
	before      bool // other stands before mark
}

// hintsOf gives the hints of a string, nil if there are none to name.
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

// rarestPair gives the pair of a literal with its rarest byte, nil if it has no mark.
func rarestPair(l literal) []hint {
	best, rank := -1, len(marks)
	for i := range len(l.text) {
		if r := strings.IndexByte(marks, l.text[i]); r >= 0 && r < rank && len(l.text) > 1 {
			best, rank = i, r
		}
	}
	if best < 0 {
		return nil
	}
	h := hint{mark: l.text[best], before: best+1 == len(l.text)}
	if h.before {
		h.other = l.text[best-1]
	} else {
		h.other = l.text[best+1]
	}
	if c := lowerByte(h.other); l.fold && 'a' <= c && c <= 'z' {
		other := h
		h.other, other.other = c, c-'a'+'A'
		return []hint{h, other}
	}
	return []hint{h}
}

func lowerByte(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// around has a bit for each byte that stands before or behind a mark somewhere in a
// file.
type around struct {
	known        bool
	before, then [4]uint64
}

// has says whether a pair is in the data; what stands around a mark is kept for the
// next who asks.
func (a *around) has(data []byte, h hint) bool {
	if !a.known {
		*a = around{known: true}
		for i := 0; ; i++ {
			n := bytes.IndexByte(data[i:], h.mark)
			if n < 0 {
				break
			}
			if i += n; i > 0 {
				a.before[data[i-1]>>6] |= 1 << (data[i-1] & 63)
			}
			if i+1 < len(data) {
				a.then[data[i+1]>>6] |= 1 << (data[i+1] & 63)
			}
		}
	}
	if h.before {
		return a.before[h.other>>6]>>(h.other&63)&1 != 0
	}
	return a.then[h.other>>6]>>(h.other&63)&1 != 0
}
