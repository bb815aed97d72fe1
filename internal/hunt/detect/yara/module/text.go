package module

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The modules string, time and console.

var stringModule = &Module{decl: &Decl{Name: "string", Type: Struct, Fields: []*Decl{
	function("to_int",
		takes("s", "i", func(_ *File, a []Value) Value { return toInt(a[0].Text(), 0) }),
		takes("si", "i", func(_ *File, a []Value) Value { return toInt(a[0].Text(), a[1].Int()) })),
	function("length",
		takes("s", "i", func(_ *File, a []Value) Value { return IntValue(int64(len(a[0].Text()))) })),
}}}

// toInt reads a whole string as C's strtoll does: blanks before it, a sign, a prefix
// that tells the base if that is 0. What is left over, or out of range, is undefined.
func toInt(s string, base int64) Value {
	if base < 0 || base == 1 || base > 36 {
		return Value{}
	}
	s, _, _ = strings.Cut(s, "\x00")
	for s != "" && (s[0] == ' ' || s[0] >= '\t' && s[0] <= '\r') {
		s = s[1:]
	}
	negative := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		negative = s[0] == '-'
		s = s[1:]
	}
	switch hex := len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x'; {
	case hex && (base == 0 || base == 16):
		s, base = s[2:], 16
	case base == 0 && s != "" && s[0] == '0':
		base = 8
	case base == 0:
		base = 10
	}
	if s == "" || s[0] == '+' || s[0] == '-' {
		return Value{}
	}
	n, err := strconv.ParseUint(s, int(base), 64)
	switch {
	case err != nil:
		return Value{}
	case negative && n <= 1<<63:
		return IntValue(-int64(n))
	case negative || n > math.MaxInt64:
		return Value{}
	}
	return IntValue(int64(n))
}

var timeModule = &Module{decl: &Decl{Name: "time", Type: Struct, Fields: []*Decl{
	function("now", takes("", "i", func(f *File, _ []Value) Value {
		now := f.Now
		if now.IsZero() {
			now = time.Now()
		}
		return IntValue(now.Unix())
	})),
}}}

// What console says is always true, so that it can stand anywhere in a condition.
var consoleModule = &Module{decl: &Decl{Name: "console", Type: Struct, Fields: []*Decl{
	function("log",
		takes("s", "i", func(f *File, a []Value) Value { return f.say("", printable(a[0])) }),
		takes("ss", "i", func(f *File, a []Value) Value { return f.say(printable(a[0]), printable(a[1])) }),
		takes("i", "i", func(f *File, a []Value) Value { return f.say("", strconv.FormatInt(a[0].Int(), 10)) }),
		takes("si", "i", func(f *File, a []Value) Value { return f.say(printable(a[0]), strconv.FormatInt(a[1].Int(), 10)) }),
		takes("f", "i", func(f *File, a []Value) Value { return f.say("", fmt.Sprintf("%f", a[0].Float())) }),
		takes("sf", "i", func(f *File, a []Value) Value { return f.say(printable(a[0]), fmt.Sprintf("%f", a[1].Float())) })),
	function("hex",
		takes("i", "i", func(f *File, a []Value) Value { return f.say("", fmt.Sprintf("0x%x", uint64(a[0].Int()))) }),
		takes("si", "i", func(f *File, a []Value) Value {
			return f.say(printable(a[0]), fmt.Sprintf("0x%x", uint64(a[1].Int())))
		})),
}}}

func (f *File) say(message, value string) Value {
	if f.Log != nil {
		f.Log(message + value)
	}
	return IntValue(1)
}

// printable shows a string with all but printable ASCII as \xhh: it may be bytes of
// the file.
func printable(v Value) string {
	s := v.Text()
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c < 0x7f {
			out = append(out, c)
		} else {
			out = fmt.Appendf(out, `\x%02x`, c)
		}
	}
	return string(out)
}
