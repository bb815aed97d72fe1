package module

import (
	"math"
	"strconv"
)

// The module math. Functions over a string take its bytes as signed numbers where
// libyara on amd64 does (mean, deviation, serial_correlation, monte_carlo_pi), so
// that thresholds in published rules mean the same.

// maxDistributions bounds how many ranges of a file keep their counts: rules ask
// for the whole file again and again, and loops ask for each range once.
const maxDistributions = 64

var mathModule = &Module{decl: &Decl{Name: "math", Type: Struct, Fields: []*Decl{
	{Name: "MEAN_BYTES", Type: Float, Const: FloatValue(127.5)},
	function("in_range", takes("fff", "i", func(_ *File, a []Value) Value {
		return truth(a[1].Float() <= a[0].Float() && a[0].Float() <= a[2].Float())
	})),
	function("deviation",
		takes("iif", "f", func(f *File, a []Value) Value {
			return overCounts(f.counts(a[0], a[1]), func(d *distribution) float64 { return d.deviation(a[2].Float()) })
		}),
		takes("sf", "f", func(_ *File, a []Value) Value { return stringDeviation(a[0].Text(), a[1].Float()) })),
	function("mean",
		takes("ii", "f", func(f *File, a []Value) Value { return overCounts(f.counts(a[0], a[1]), (*distribution).mean) }),
		takes("s", "f", func(_ *File, a []Value) Value { return stringMean(a[0].Text()) })),
	function("serial_correlation",
		takes("ii", "f", func(f *File, a []Value) Value {
			data, ok := f.slice(a[0], a[1])
			if !ok {
				return Value{}
			}
			return FloatValue(serialCorrelation(data, unsigned))
		}),
		takes("s", "f", func(_ *File, a []Value) Value { return FloatValue(serialCorrelation([]byte(a[0].Text()), signed)) })),
	function("monte_carlo_pi",
		takes("ii", "f", func(f *File, a []Value) Value {
			data, ok := f.slice(a[0], a[1])
			if !ok {
				return Value{}
			}
			return monteCarloPi(data, unsigned)
		}),
		takes("s", "f", func(_ *File, a []Value) Value { return monteCarloPi([]byte(a[0].Text()), signExtended) })),
	function("entropy",
		takes("ii", "f", func(f *File, a []Value) Value { return overCounts(f.counts(a[0], a[1]), (*distribution).entropy) }),
		takes("s", "f", func(_ *File, a []Value) Value { return FloatValue(count([]byte(a[0].Text())).entropy()) })),
	function("min", takes("ii", "i", func(_ *File, a []Value) Value { return IntValue(int64(min(a[0].num, a[1].num))) })),
	function("max", takes("ii", "i", func(_ *File, a []Value) Value { return IntValue(int64(max(a[0].num, a[1].num))) })),
	function("to_number", takes("b", "i", func(_ *File, a []Value) Value { return truth(a[0].Bool()) })),
	function("abs", takes("i", "i", func(_ *File, a []Value) Value {
		if n := a[0].Int(); n < 0 {
			return IntValue(-n)
		}
		return a[0]
	})),
	function("count",
		takes("iii", "i", func(f *File, a []Value) Value { return f.counts(a[1], a[2]).times(a[0]) }),
		takes("i", "i", func(f *File, a []Value) Value { return f.wholeCounts().times(a[0]) })),
	function("percentage",
		takes("iii", "f", func(f *File, a []Value) Value { return f.counts(a[1], a[2]).share(a[0]) }),
		takes("i", "f", func(f *File, a []Value) Value { return f.wholeCounts().share(a[0]) })),
	function("mode",
		takes("ii", "i", func(f *File, a []Value) Value { return f.counts(a[0], a[1]).mode() }),
		takes("", "i", func(f *File, _ []Value) Value { return f.wholeCounts().mode() })),
	function("to_string",
		takes("i", "s", func(_ *File, a []Value) Value { return StringValue(strconv.FormatInt(a[0].Int(), 10)) }),
		takes("ii", "s", func(_ *File, a []Value) Value {
			switch a[1].Int() {
			case 10:
				return StringValue(strconv.FormatInt(a[0].Int(), 10))
			case 8, 16:
				return StringValue(strconv.FormatUint(a[0].num, int(a[1].Int())))
			}
			return Value{}
		})),
}}}

func truth(b bool) Value {
	if b {
		return IntValue(1)
	}
	return IntValue(0)
}

// distribution says how often each byte occurs.
type distribution struct {
	of    [256]uint64
	total uint64
}

func count(data []byte) *distribution {
	d := &distribution{total: uint64(len(data))}
	for _, c := range data {
		d.of[c]++
	}
	return d
}

// slice gives the bytes of a range, cut at the file's end; false if it begins
// outside.
func (f *File) slice(offset, length Value) ([]byte, bool) {
	from, n := offset.Int(), length.Int()
	if from < 0 || n < 0 || from >= int64(len(f.Data)) {
		return nil, false
	}
	return f.Data[from : from+min(n, int64(len(f.Data))-from)], true
}

// counts gives the distribution of a range; nil if it begins outside of the file.
func (f *File) counts(offset, length Value) *distribution {
	data, ok := f.slice(offset, length)
	if !ok {
		return nil
	}
	return f.countsOf(data, int(offset.Int()))
}

func (f *File) wholeCounts() *distribution { return f.countsOf(f.Data, 0) }

func (f *File) countsOf(data []byte, at int) *distribution {
	key := span{start: at, end: at + len(data)}
	if d := f.distributions[key]; d != nil {
		return d
	}
	d := count(data)
	if f.distributions == nil {
		f.distributions = make(map[span]*distribution)
	}
	if len(f.distributions) < maxDistributions {
		f.distributions[key] = d
	}
	return d
}

func overCounts(d *distribution, get func(*distribution) float64) Value {
	if d == nil {
		return Value{}
	}
	return FloatValue(get(d))
}

func (d *distribution) entropy() float64 {
	sum := 0.0
	for _, n := range d.of {
		if n != 0 {
			x := float64(n) / float64(d.total)
			sum -= x * math.Log2(x)
		}
	}
	return sum
}

func (d *distribution) mean() float64 {
	sum := 0.0
	for c, n := range d.of {
		sum += float64(c) * float64(n)
	}
	return sum / float64(d.total)
}

func (d *distribution) deviation(mean float64) float64 {
	sum := 0.0
	for c, n := range d.of {
		sum += math.Abs(float64(c)-mean) * float64(n)
	}
	return sum / float64(d.total)
}

// times, share and mode take a nil distribution, which is a range outside of the
// file, and a byte that is none, for undefined.
func (d *distribution) times(b Value) Value {
	if d == nil || b.num > 255 {
		return Value{}
	}
	return IntValue(int64(d.of[b.num]))
}

func (d *distribution) share(b Value) Value {
	if d == nil || b.num > 255 {
		return Value{}
	}
	return FloatValue(float64(float32(d.of[b.num]) / float32(d.total)))
}

func (d *distribution) mode() Value {
	if d == nil {
		return Value{}
	}
	most := 0
	for c, n := range d.of {
		if n > d.of[most] {
			most = c
		}
	}
	return IntValue(int64(most))
}

func stringMean(s string) Value {
	sum := 0.0
	for i := range len(s) {
		sum += signed(s[i])
	}
	return FloatValue(sum / float64(len(s)))
}

func stringDeviation(s string, mean float64) Value {
	sum := 0.0
	for i := range len(s) {
		sum += math.Abs(signed(s[i]) - mean)
	}
	return FloatValue(sum / float64(len(s)))
}

// How a byte becomes a number.
func unsigned(c byte) float64     { return float64(c) }
func signed(c byte) float64       { return float64(int8(c)) }
func signExtended(c byte) float64 { return float64(uint32(int8(c))) }

// serialCorrelation says how much each byte depends on the one before it.
func serialCorrelation(data []byte, number func(byte) float64) float64 {
	var last, products, sum, squares float64
	for _, c := range data {
		n := number(c)
		products += last * n
		sum += n
		squares += n * n
		last = n
	}
	if len(data) > 0 {
		products += last * number(data[0])
	}
	sum *= sum
	scale := float64(len(data))*squares - sum
	if scale == 0 {
		return -100000
	}
	return (float64(len(data))*products - sum) / scale
}

// monteCarloPi takes each six bytes for a point and says how far the share of points
// in the circle is from what π makes of it.
func monteCarloPi(data []byte, number func(byte) float64) Value {
	const radius = 256*256*256 - 1
	points, inside := 0, 0
	for ; len(data) >= 6; data = data[6:] {
		x := (number(data[0])*256+number(data[1]))*256 + number(data[2])
		y := (number(data[3])*256+number(data[4]))*256 + number(data[5])
		points++
		if x*x+y*y <= radius*radius {
			inside++
		}
	}
	if points == 0 {
		return Value{}
	}
	const pi = 3.141592653589793
	return FloatValue(math.Abs((4*float64(inside)/float64(points) - pi) / pi))
}
