package webfile

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/url"
	"strconv"
	"strings"

	page "postern/internal/hunt/parse/webfile"
)

// Folding works out what a program would work out before it does anything: joined
// strings, character codes, base64, reversals, constants with a name. Web shells
// are full of it, since it hides their few telling words from searchers.

// Bounds of folding.
const (
	// maxRounds is how often folding starts over; each round undoes one layer of
	// hiding. Specimens with more than four are not known.
	maxRounds = 8
	// maxFolded is how many bytes folding may write for one page: four times the
	// text that is read of it. Names that stand for each other doubled could
	// otherwise fill memory.
	maxFolded = 4 * maxCode
	// maxInflated is how far one compressed string is unpacked.
	maxInflated = 1 << 20
)

// folder folds one program and counts what it undid.
type folder struct {
	budget int
	// joined counts strings that were put together from pieces of up to three
	// letters, decoded those that were coded.
	joined, decoded int
	coded           int // steps that changed something
	args            []page.Token
	pairs           *pairs
}

// fold gives the program with every constant worked out as far as is possible. It
// works in place: what comes out is never longer than what was read by then.
func (f *folder) fold(toks []page.Token) []page.Token {
	for range maxRounds {
		before, work := len(toks), f.coded
		s := survey(toks)
		if s.joins {
			toks = f.join(toks)
		}
		if len(toks) != before {
			toks = f.reduce(toks, 0)
		} else if s.begins < before {
			toks = f.reduce(toks, s.begins)
		}
		if s.gives || len(toks) != before || f.coded != work {
			toks = f.propagate(toks)
		}
		if len(toks) == before && f.coded == work || f.budget <= 0 {
			break
		}
	}
	return toks
}

// surveyed is what there may be to fold in a program: the cheap question before folding,
// since most programs have little that could be.
type surveyed struct {
	joins  bool // constants that are joined
	begins int  // where the first other constant may begin, or the end
	gives  bool // a name that may be given one
}

// survey goes through a program once.
func survey(toks []page.Token) surveyed {
	s := surveyed{begins: len(toks)}
	for i := 0; i+1 < len(toks); i++ {
		next := &toks[i+1]
		switch t := &toks[i]; t.Kind {
		case page.String, page.Number:
			if next.Kind == page.Punct && i+2 < len(toks) {
				s.joins = s.joins || toks[i+2].Kind == t.Kind && joins(next)
				if begins(toks, i) {
					s.begins = min(s.begins, i)
				}
			}
		case page.Ident:
			if next.Kind == page.Punct && begins(toks, i) {
				s.begins = min(s.begins, i)
			}
		case page.Punct:
			switch t.Text {
			case "=", ":=":
				s.gives = s.gives || i > 0 && mayGive(toks, i)
			case "(":
				// One behind a value is that of a call. What stands before it has not moved if
				// nothing else begins before it.
				if begins(toks, i) && (next.Kind != page.String || !afterValue(toks[:i])) {
					s.begins = min(s.begins, i)
				}
			case "{", "~":
				if begins(toks, i) {
					s.begins = min(s.begins, i)
				}
			}
		}
	}
	return s
}

// mayGive says whether the assignment at i may be one of a constant or of a list of them.
func mayGive(toks []page.Token, i int) bool {
	if toks[i+1].Kind == page.String && i+2 < len(toks) && ends(&toks[i+2]) {
		return true
	}
	_, ok := listOpens(toks, i+1)
	return ok
}

// joins says whether an operator joins strings or numbers.
func joins(t *page.Token) bool {
	switch t.Text {
	case "+", "&", ".", "-", "*", "/", "^":
		return true
	}
	return false
}

// concat says whether a token joins strings in its language.
func concat(t *page.Token) bool {
	if t.Kind != page.Punct {
		return false
	}
	switch t.Text {
	case "+":
		return t.Lang != page.PHP
	case "&":
		return t.Lang.Basic()
	case ".":
		return t.Lang == page.PHP
	}
	return false
}

// keep puts the token at i behind those that are out already, which have their places
// before it. Where nothing has moved, as nearly everywhere, it stands there.
func keep(out, toks []page.Token, i int) []page.Token {
	if len(out) == i {
		return toks[:i+1]
	}
	return append(out, toks[i])
}

// join puts runs of joined strings together and works out runs of joined numbers.
func (f *folder) join(toks []page.Token) []page.Token {
	out := toks[:0]
	for i := 0; i < len(toks); {
		if kind := toks[i].Kind; kind != page.String && kind != page.Number {
			out = keep(out, toks, i)
			i++
			continue
		}
		t := toks[i]
		switch t.Kind {
		case page.String:
			end, pieces, size := i+1, 1, len(t.Text)
			for end+1 < len(toks) && concat(&toks[end]) && toks[end+1].Kind == page.String {
				size += len(toks[end+1].Text)
				pieces++
				end += 2
			}
			if pieces > 1 && size <= f.budget {
				var b strings.Builder
				b.Grow(size)
				for k := i; k < end; k += 2 {
					b.WriteString(toks[k].Text)
				}
				f.budget -= size
				if pieces >= 3 && size <= 3*pieces {
					f.joined++
				}
				t.Text = b.String()
				i = end - 1
			}
		case page.Number:
			if n, end, ok := sum(out, toks, i); ok {
				t.Text = strconv.FormatInt(n, 10)
				i = end - 1
			}
		}
		out = append(out, t)
		i++
	}
	return out
}

// sum works out n op n op n from left to right, which is right wherever specimens
// do arithmetic on character codes.
func sum(before, toks []page.Token, i int) (n int64, end int, ok bool) {
	if i+2 >= len(toks) || toks[i+1].Kind != page.Punct || toks[i+2].Kind != page.Number {
		return 0, 0, false
	}
	n, valid := number(toks[i])
	if k := len(before) - 1; !valid || k >= 0 && (before[k].Is("-") || before[k].Is("*") || before[k].Is("/") || before[k].Is(".")) {
		return 0, 0, false
	}
	end = i + 1
	for end+1 < len(toks) && toks[end].Kind == page.Punct && toks[end+1].Kind == page.Number {
		m, valid := number(toks[end+1])
		if !valid {
			break
		}
		switch toks[end].Text {
		case "+":
			n += m
		case "-":
			n -= m
		case "*":
			n *= m
		case "/":
			if m == 0 {
				return 0, 0, false
			}
			n /= m
		case "^":
			n ^= m
		default:
			return n, end, end > i+1
		}
		end += 2
	}
	return n, end, end > i+1
}

func number(t page.Token) (int64, bool) {
	if t.Kind != page.Number {
		return 0, false
	}
	s := strings.TrimRight(t.Text, "&lu")
	switch {
	case strings.HasPrefix(s, "&h"):
		s = "0x" + s[2:]
	case strings.HasPrefix(s, "&o"):
		s = "0o" + s[2:]
	}
	n, err := strconv.ParseInt(s, 0, 32)
	if err != nil {
		n, err = strconv.ParseInt(s, 10, 32)
	}
	return n, err == nil
}

// reduce replaces calls of pure functions with constant arguments by their value. None
// begins before first.
func (f *folder) reduce(toks []page.Token, first int) []page.Token {
	out := toks[:first]
	for i := first; i < len(toks); i++ {
		if kind := toks[i].Kind; kind != page.Number && kind != page.Break && f.budget > 0 && begins(toks, i) {
			t := toks[i]
			if next, s, ok := f.value(toks, i, &out); ok {
				f.budget -= len(s)
				out = append(out, page.Token{Kind: page.String, Lang: t.Lang, Odd: true, Text: s, Off: t.Off})
				i = next - 1
				continue
			}
		}
		out = keep(out, toks, i)
	}
	return out
}

// begins says whether a constant may begin at i, by the words there alone: what value
// answers with more care.
func begins(toks []page.Token, i int) bool {
	if i+2 >= len(toks) {
		return i+1 < len(toks) && toks[i].Is("~")
	}
	t, next, third := &toks[i], &toks[i+1], &toks[i+2]
	switch t.Kind {
	case page.Ident:
		return (third.Kind == page.String || third.Kind == page.Number) && next.Is("(") && pureCalls[t.Text]
	case page.String:
		if t.Lang == page.PHP { // whose strings have no methods
			return next.Is("[") || next.Is("^")
		}
		return next.Is(".") && third.Kind == page.Ident || next.Is("->") || next.Is("[")
	case page.Punct:
		switch t.Text {
		case "(":
			return next.Kind == page.String && third.Is(")") || next.Word("char")
		case "{":
			return next.Kind == page.String || next.Kind == page.Number
		case "~":
			return true
		}
	}
	return false
}

// value gives the constant that begins at i, if there is one, and the position
// behind it. What stands before a call and belongs to it is taken off out.
func (f *folder) value(toks []page.Token, i int, out *[]page.Token) (next int, s string, ok bool) {
	t := toks[i]
	switch {
	case t.Kind == page.Ident && i+1 < len(toks) && toks[i+1].Is("("):
		args, next, ok := f.constants(toks, i+1)
		if !ok {
			return 0, "", false
		}
		s, ok = call(t.Text, args, t.Lang)
		if !ok {
			return 0, "", false
		}
		f.coded++
		if !plainCalls[t.Text] {
			f.decoded++
		}
		dropPath(out)
		return next, s, true
	case t.Is("(") && i+2 < len(toks) && toks[i+1].Kind == page.String && toks[i+2].Is(")") && !afterValue(*out):
		f.coded++ // only so that another round follows
		return i + 3, toks[i+1].Text, true
	case t.Is("(") && i+3 < len(toks) && toks[i+1].Word("char") && toks[i+2].Is(")"):
		if n, isNumber := number(toks[i+3]); isNumber && n >= 0 && n < 0x10000 {
			f.coded++
			return i + 4, string(rune(n)), true
		}
	case t.Is("{") && len(*out) > 0 && ((*out)[len(*out)-1].Is("]") || (*out)[len(*out)-1].Is(")")):
		args, next, ok := f.constants(toks, i)
		if ok && len(args) >= 4 && bytesType(*out) {
			f.coded++
			f.decoded++
			dropArrayType(out)
			return next, characters(args), true
		}
	case t.Kind == page.String && i+3 < len(toks) && (toks[i+1].Is(".") || toks[i+1].Is("->")) && t.Lang != page.PHP && toks[i+2].Kind == page.Ident && toks[i+3].Is("("):
		args, next, ok := f.constants(toks, i+3)
		if !ok {
			return 0, "", false
		}
		if s, ok = method(t.Text, toks[i+2].Text, args); ok {
			f.coded++
			return next, s, true
		}
	case t.Kind == page.String && i+3 < len(toks) && toks[i+1].Is("[") && toks[i+3].Is("]"):
		if n, isNumber := number(toks[i+2]); isNumber && n >= 0 && n < int64(len(t.Text)) {
			f.coded++
			return i + 4, t.Text[n : n+1], true
		}
	case t.Kind == page.String && t.Lang == page.PHP && i+2 < len(toks) && toks[i+1].Is("^") && toks[i+2].Kind == page.String:
		f.coded++
		return i + 3, xor(t.Text, toks[i+2].Text), true
	case t.Is("~") && t.Lang == page.PHP && i+1 < len(toks) && toks[i+1].Kind == page.String:
		f.coded++
		return i + 2, invert(toks[i+1].Text), true
	}
	return 0, "", false
}

// pureCalls are the functions that call works out.
var pureCalls = set(`chr chrw chrb fromcharcode tochar convertfromutf32 string strreverse strrev
	base64_decode frombase64string atob decodebase64 decodebuffer decode b64decode getstring getbytes tostring cstr strval
	trim ltrim rtrim lcase tolower strtolower ucase toupper strtoupper str_rot13 hex2bin fromhexstring pack
	urldecode rawurldecode unescape decodeuricomponent decodeuri gzinflate gzuncompress gzdecode
	replace str_replace str_ireplace strtr`)

// plainCalls change how a string is held or spelled, and hide nothing.
var plainCalls = set("getstring getbytes tostring trim ltrim rtrim cstr strval lcase tolower strtolower ucase toupper strtoupper string replace str_replace str_ireplace chr chrw chrb")

// afterValue says whether a bracket would be that of a call or an index.
func afterValue(out []page.Token) bool {
	if len(out) == 0 {
		return false
	}
	switch t := out[len(out)-1]; t.Kind {
	case page.Ident:
		return t.Text != "return" && t.Text != "print" && t.Text != "echo"
	case page.Punct:
		return t.Text == ")" || t.Text == "]" || t.Text == "}"
	case page.String:
		return true
	}
	return false
}

// maxArgs is how many constants are read of one list; arrays of bytes are longer
// than any list of arguments.
const maxArgs = 64 << 10

// constants reads a bracket that holds nothing but constants. What it gives holds until
// it is called again: most brackets that begin with a constant are of no function that
// could be worked out.
func (f *folder) constants(toks []page.Token, open int) (args []page.Token, next int, ok bool) {
	f.args, next, ok = constants(f.args[:0], toks, open)
	return f.args, next, ok
}

// constants puts the constants in a bracket that holds nothing else behind args.
func constants(args, toks []page.Token, open int) (all []page.Token, next int, ok bool) {
	want := true
	for i := open + 1; i < len(toks) && len(args) < maxArgs; i++ {
		t := toks[i]
		switch {
		case t.Is(")") || t.Is("}") || t.Is("]"):
			return args, i + 1, !want || len(args) == 0
		case t.Is(",") && !want:
			want = true
		case want && (t.Kind == page.String || t.Kind == page.Number):
			args = append(args, t)
			want = false
		default:
			return args, 0, false
		}
	}
	return args, 0, false
}

// dropPath takes "a.b." off the end: the names before a function's own.
func dropPath(out *[]page.Token) {
	o := *out
	for len(o) >= 2 && o[len(o)-1].Is(".") && o[len(o)-2].Kind == page.Ident {
		o = o[:len(o)-2]
	}
	if len(o) > 0 && o[len(o)-1].Word("new") {
		o = o[:len(o)-1]
	}
	*out = o
}

// bytesType says whether "new byte[" or "char[" ends out, with or without a size.
func bytesType(out []page.Token) bool {
	for i := len(out) - 1; i >= 0 && i >= len(out)-5; i-- {
		if out[i].Word("byte") || out[i].Word("char") || out[i].Word("int") {
			return true
		}
	}
	return false
}

func dropArrayType(out *[]page.Token) {
	o := *out
	for range 5 {
		if len(o) == 0 {
			break
		}
		last := o[len(o)-1]
		o = o[:len(o)-1]
		if last.Word("byte") || last.Word("char") || last.Word("int") {
			break
		}
	}
	if len(o) > 0 && o[len(o)-1].Word("new") {
		o = o[:len(o)-1]
	}
	*out = o
}

func characters(args []page.Token) string {
	var b strings.Builder
	for _, a := range args {
		if a.Kind == page.String {
			b.WriteString(a.Text)
		} else if n, ok := number(a); ok && n >= 0 && n < 256 {
			b.WriteByte(byte(n))
		} else if ok && n >= 0 && n < 0x10000 {
			b.WriteRune(rune(n))
		}
	}
	return b.String()
}

// call works out a function of constants. The names are those of all languages;
// none means something else in another.
func call(name string, args []page.Token, lang page.Lang) (string, bool) {
	if len(args) == 0 {
		return "", false
	}
	first := args[0]
	text := first.Text
	isString := first.Kind == page.String
	switch name {
	case "chr", "chrw", "chrb", "fromcharcode", "tochar", "convertfromutf32":
		if name != "fromcharcode" && len(args) > 1 || isString && name != "fromcharcode" && len(text) > 4 {
			return "", false
		}
		var b strings.Builder
		for _, a := range args {
			n, ok := number(a)
			if a.Kind == page.String {
				v, err := strconv.Atoi(a.Text)
				n, ok = int64(v), err == nil
			}
			if !ok || n < 0 || n > 0x10FFFF {
				return "", false
			}
			if n < 256 {
				b.WriteByte(byte(n))
			} else {
				b.WriteRune(rune(n))
			}
		}
		return b.String(), true
	case "string": // new String(constant)
		return text, isString && len(args) <= 2 && lang != page.VBScript && lang != page.PHP
	}
	if !isString {
		return "", false
	}
	switch name {
	case "strreverse", "strrev":
		return reverse(text), true
	case "base64_decode", "frombase64string", "atob", "decodebase64", "decodebuffer", "decode", "b64decode":
		return unbase64(text)
	case "getstring", "getbytes", "tostring", "cstr", "strval":
		return text, len(args) == 1
	case "trim", "ltrim", "rtrim":
		return strings.TrimSpace(text), len(args) == 1
	case "lcase", "tolower", "strtolower":
		return strings.ToLower(text), true
	case "ucase", "toupper", "strtoupper":
		return strings.ToUpper(text), true
	case "str_rot13":
		return rot13(text), true
	case "hex2bin", "fromhexstring":
		b, err := hex.DecodeString(text)
		return string(b), err == nil
	case "pack":
		if len(args) == 2 && strings.HasPrefix(strings.ToLower(text), "h") {
			b, err := hex.DecodeString(args[1].Text)
			return string(b), err == nil
		}
	case "urldecode", "rawurldecode", "unescape", "decodeuricomponent", "decodeuri":
		s, err := url.PathUnescape(strings.ReplaceAll(text, "+", " "))
		return s, err == nil
	case "gzinflate", "gzuncompress", "gzdecode":
		return inflate(name, text)
	case "replace", "str_replace", "str_ireplace":
		return replace(name, args)
	case "strtr":
		if len(args) == 3 {
			return translate(text, args[1].Text, args[2].Text), true
		}
	}
	return "", false
}

func method(s, name string, args []page.Token) (string, bool) {
	switch name {
	case "replace":
		if len(args) == 2 && args[0].Kind == page.String && args[0].Text != "" && args[1].Kind == page.String {
			return strings.ReplaceAll(s, args[0].Text, args[1].Text), true
		}
	case "tostring", "trim", "getbytes":
		return s, len(args) <= 1
	case "tolower", "tolowercase":
		return strings.ToLower(s), true
	case "toupper", "touppercase":
		return strings.ToUpper(s), true
	case "concat":
		if len(args) == 1 && len(s)+len(args[0].Text) < maxInflated {
			return s + args[0].Text, true
		}
	case "substring", "substr":
		if len(args) == 0 {
			return "", false
		}
		from, ok := number(args[0])
		if !ok || from < 0 || from > int64(len(s)) {
			return "", false
		}
		to := int64(len(s))
		if len(args) == 2 {
			n, ok := number(args[1])
			if !ok || n < 0 {
				return "", false
			}
			to = min(to, from+n)
		}
		return s[from:to], true
	}
	return "", false
}

func reverse(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

func unbase64(s string) (string, bool) {
	s = strings.TrimRight(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\r' || r == '\t' {
			return -1
		}
		return r
	}, s), "=")
	if len(s) < 2 {
		return "", false
	}
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		b, err = base64.RawURLEncoding.DecodeString(s)
	}
	return string(b), err == nil
}

func rot13(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case r >= 'A' && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, s)
}

func inflate(name, s string) (string, bool) {
	var r io.Reader
	var err error
	switch name {
	case "gzinflate":
		r = flate.NewReader(strings.NewReader(s))
	case "gzuncompress":
		r, err = zlib.NewReader(strings.NewReader(s))
	default:
		r, err = gzip.NewReader(strings.NewReader(s))
	}
	if err != nil {
		return "", false
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, io.LimitReader(r, maxInflated))
	return b.String(), b.Len() > 0 || err == nil
}

func replace(name string, args []page.Token) (string, bool) {
	if len(args) < 3 || args[1].Kind != page.String || args[2].Kind != page.String {
		return "", false
	}
	subject, from, to := args[0].Text, args[1].Text, args[2].Text
	if name != "replace" {
		from, to, subject = args[0].Text, args[1].Text, args[2].Text
	}
	if from == "" || len(to) > len(from)+16 {
		return "", false
	}
	return strings.ReplaceAll(subject, from, to), true
}

func translate(s, from, to string) string {
	n := min(len(from), len(to))
	b := []byte(s)
	for i, c := range b {
		if k := strings.IndexByte(from[:n], c); k >= 0 {
			b[i] = to[k]
		}
	}
	return string(b)
}

func xor(a, b string) string {
	n := min(len(a), len(b))
	out := make([]byte, n)
	for i := range n {
		out[i] = a[i] ^ b[i]
	}
	return string(out)
}

func invert(s string) string {
	out := []byte(s)
	for i := range out {
		out[i] = ^out[i]
	}
	return string(out)
}

// propagate puts the value of a name in the name's place, where the program
// gives it one value, a constant, in one place.
func (f *folder) propagate(toks []page.Token) []page.Token {
	values, lists, names := named(toks)
	if len(values)+len(lists) == 0 {
		return toks
	}
	stands := func(i int, out []page.Token) bool {
		return toks[i].Kind == page.Ident && names.may(slotOf(toks[i].Text)) && (len(out) == 0 || !isMember(out[len(out)-1])) && !assigned(toks, i)
	}
	first := 0
	for first < len(toks) && !stands(first, toks[:first]) {
		first++
	}
	if first == len(toks) {
		return toks
	}
	// A name that is also a parameter of a function may have any value there.
	for _, fn := range functions(toks, f.pairs.of(toks)) {
		for _, p := range fn.params {
			delete(values, p)
			delete(lists, p)
		}
	}
	out := toks[:first]
	for i := first; i < len(toks); i++ {
		if f.budget <= 0 || !stands(i, out) {
			out = keep(out, toks, i)
			continue
		}
		t := toks[i]
		if v, ok := values[t.Text]; ok {
			f.budget -= len(v.Text)
			f.coded++
			kind := v.Kind
			if i+1 < len(toks) && toks[i+1].Is("(") && t.Lang == page.PHP && kind == page.String {
				kind, v.Text = page.Ident, strings.ToLower(v.Text) // $name(…) calls the function of that name
			}
			out = append(out, page.Token{Kind: kind, Lang: t.Lang, Odd: true, Text: v.Text, Off: t.Off})
			continue
		}
		if list, ok := lists[t.Text]; ok && i+3 < len(toks) && toks[i+1].Is("[") && toks[i+3].Is("]") && (i+4 >= len(toks) || !isAssignment(&toks[i+4])) {
			if n, isNumber := number(toks[i+2]); isNumber && n >= 0 && n < int64(len(list)) {
				f.coded++
				out = append(out, page.Token{Kind: page.String, Lang: t.Lang, Odd: true, Text: list[n].Text, Off: t.Off})
				f.budget -= len(list[n].Text)
				i += 3
				continue
			}
		}
		out = keep(out, toks, i)
	}
	return out
}

// named finds the names to which a program assigns once, a constant.
func named(toks []page.Token) (values map[string]page.Token, lists map[string][]page.Token, names filter) {
	var set []int32 // the positions of assignments
	for i := 1; i < len(toks); i++ {
		t := &toks[i]
		if !isAssignment(t) {
			continue
		}
		set = append(set, int32(i))
		if t.Text != "=" && t.Text != ":=" || i+1 >= len(toks) {
			continue
		}
		if next := &toks[i+1]; next.Kind == page.String && next.Text != "" && i+2 < len(toks) && ends(&toks[i+2]) {
			if name := target(toks, i); name != "" {
				if values == nil {
					values = map[string]page.Token{}
				}
				values[name] = *next
				names.add(name)
			}
		} else if list := constantList(toks, i+1); list != nil {
			if name := target(toks, i); name != "" {
				if lists == nil {
					lists = map[string][]page.Token{}
				}
				lists[name] = list
				names.add(name)
			}
		}
	}
	if len(values)+len(lists) == 0 {
		return nil, nil, names
	}
	seen := map[string]bool{}
	for _, i := range set {
		name := target(toks, int(i))
		if !names.may(slotOf(name)) {
			continue
		}
		if t := &toks[i]; seen[name] || t.Text != "=" && t.Text != ":=" {
			delete(values, name)
			delete(lists, name)
		} else if _, ok := values[name]; ok || lists[name] != nil {
			seen[name] = true
		}
	}
	return values, lists, names
}

func ends(t *page.Token) bool {
	return t.Kind == page.Break || t.Is("}") || t.Is(",")
}

// constantList reads [c, c, …], new string[]{c, c, …} or array(c, c, …).
func constantList(toks []page.Token, i int) []page.Token {
	open, ok := listOpens(toks, i)
	if !ok {
		return nil
	}
	args, _, ok := constants(nil, toks, open)
	if !ok || len(args) == 0 {
		return nil
	}
	return args
}

// listOpens gives the bracket of the list that may be assigned at i. It is one that begins
// with a constant.
func listOpens(toks []page.Token, i int) (open int, ok bool) {
	for k := i; k < min(i+8, len(toks)) && toks[k].Kind != page.Break; k++ {
		t := &toks[k]
		if t.Kind != page.Punct {
			continue
		}
		if t.Is("{") || t.Is("[") && k == i || t.Is("(") && toks[k-1].Word("array") {
			return k, k+1 < len(toks) && (toks[k+1].Kind == page.String || toks[k+1].Kind == page.Number)
		}
	}
	return 0, false
}
