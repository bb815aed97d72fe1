package pattern

import (
	"math"

	"postern/internal/hunt/detect/yara/pattern/sieve"
)

// How often bytes follow each other among those of web files and programs is in
// rates.gen.go. Only the choice of atoms depends on it, never what is found.

// classes is how many bytes are told apart: the folded ASCII characters, and one for
// all above.
const classes = 65

func classOf(b byte) int {
	switch {
	case b >= 0x80:
		return classes - 1
	case b >= 0x40:
		return 32 + int(b&31)
	}
	return int(b & 31)
}

// A rate of 2^-(n/rateSteps) is written as the character n places above rateLowest.
const (
	rateSteps   = 4
	rateLowest  = '!'
	rateHighest = '_' // below the quote that ends the text
)

// rates estimates how often sequences of bytes occur.
type rates struct {
	first [classes]float64
	pair  [classes][classes]float64
	// whole is first by bytes: those of a class are taken to be as frequent as each
	// other.
	whole sieve.Frequency
}

func newRates() *rates {
	r := &rates{}
	for a := range classes {
		r.first[a] = rateOf(firstRates[a])
		for b := range classes {
			r.pair[a][b] = rateOf(pairRates[a*(classes+1)+b])
		}
	}
	for b := range r.whole {
		r.whole[b] = r.first[classOf(byte(b))] / 2
		if b >= 0x80 {
			r.whole[b] = r.first[classes-1] / 128
		}
	}
	return r
}

func rateOf(c byte) float64 { return math.Exp2(-float64(c-rateLowest) / rateSteps) }

// ofKey estimates how often the four bytes of an atom follow each other.
func (r *rates) ofKey(key uint32) float64 {
	class := classOf(byte(key))
	rate := r.first[class]
	for i := 8; i < 32; i += 8 {
		next := classOf(byte(key >> i))
		rate *= r.pair[class][next]
		class = next
	}
	return rate
}

// of gives the expected number, per byte of data, of places where bytes of given
// classes follow each other.
func (r *rates) of(lists [][]uint8) float64 {
	rate, before, single := 1.0, -1, true
	for _, l := range lists {
		if single = len(l) == 1; !single {
			break
		}
		if before < 0 {
			rate = r.first[l[0]]
		} else {
			rate *= r.pair[before][l[0]]
		}
		before = int(l[0])
	}
	if single {
		return rate
	}
	var now [classes]float64
	for _, c := range lists[0] {
		now[c] = r.first[c]
	}
	for i := 1; i < len(lists); i++ {
		var next [classes]float64
		for _, b := range lists[i] {
			for _, a := range lists[i-1] {
				next[b] += now[a] * r.pair[a][b]
			}
		}
		now = next
	}
	sum := 0.0
	for _, c := range lists[len(lists)-1] {
		sum += now[c]
	}
	return sum
}
