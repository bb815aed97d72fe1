package webfile

import (
	"bytes"
	"html"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of the lexer.
const (
	// MaxTokens is kept of one page: at 24 bytes each, 12 MB. The largest public
	// specimens have 120,000, the largest stock pages of Exchange 10,000.
	MaxTokens = 500_000
	// maxNesting is how deep interpolated strings may stand in each other.
	maxNesting = 8
)

// Kind is what a token is.
type Kind uint8

// Kinds of tokens.
const (
	Ident  Kind = iota // a word, in lower case; a variable of PHP with its '$' and as written
	String             // a string or character, decoded
	Number             // as written, in lower case
	Punct              // an operator or bracket
	Break              // the end of a statement, or the border of a region
)

// Token is one word of server-side code.
type Token struct {
	Kind Kind
	Lang Lang
	// Odd says that the word was written so that it cannot be searched for: with
	// escapes in a name or with a comment between it and the next.
	Odd  bool
	Off  int32 // in the page's text, which nobody reads to two gigabytes
	Text string
}

// Is says whether a token is this operator or bracket.
func (t Token) Is(punct string) bool { return t.Kind == Punct && t.Text == punct }

// Word says whether a token is this word.
func (t Token) Word(word string) bool { return t.Kind == Ident && t.Text == word }

// Tokens reads all regions of a page in their order, with a Break between them, into the
// space of into, which may be nil. cut says that the page had more than MaxTokens.
func (p *Page) Tokens(into []Token) (toks []Token, cut bool) {
	l := lexer{out: into[:0], limit: MaxTokens}
	if size := p.codeSize() / codePerToken; size > cap(into) {
		l.out = make([]Token, 0, min(size, MaxTokens))
	}
	for _, r := range p.Regions {
		l.region(p.Text.Bytes, r)
	}
	return l.out, l.full || p.Cut
}

// codePerToken is how many bytes of code there are to a token at least, in most pages.
const codePerToken = 6

func (p *Page) codeSize() int {
	n := 0
	for _, r := range p.Regions {
		n += r.End - r.Start
	}
	return n
}

// Lex reads a piece of code that stood hidden in a string. Every token has the
// offset off, that of the string.
func Lex(code string, lang Lang, off, limit int) []Token {
	l := lexer{limit: limit, lang: lang, fixed: true, base: off}
	l.lex([]byte(code), code)
	return l.out
}

type lexer struct {
	out   []Token
	limit int
	full  bool
	lang  Lang
	b     []byte
	// s is b once more. Texts of tokens are cut out of it and not copied one by one.
	s      string
	smalls [128]string // words in small letters that were met
	buf    []byte      // where strings are put together

	depth int // of brackets, inside which a newline does not end a statement of Basic
	nest  int // of interpolated strings
	fixed bool
	base  int // offset of every token if fixed
	odd   bool
}

func (l *lexer) region(b []byte, r Region) {
	l.lang, l.fixed, l.depth = r.Lang, false, 0
	code := b[r.Start:r.End]
	if r.Mode == Element {
		if bytes.IndexByte(code, '&') >= 0 {
			code = []byte(html.UnescapeString(string(code)))
			l.fixed, l.base = true, r.Start
		}
		code = bytes.ReplaceAll(code, []byte("<![CDATA["), []byte("         "))
		code = bytes.ReplaceAll(code, []byte("]]>"), []byte("   "))
	}
	if r.Lang == Java && bytes.Contains(code, []byte(`\u`)) {
		code = javaEscapes(code)
		l.fixed, l.base = true, r.Start
	}
	if !l.fixed {
		l.base = r.Start
	}
	l.lex(code, string(code))
	l.depth = 0
	l.emit(Break, "", len(code))
}

// javaEscapes resolves \uXXXX everywhere, as Java does before it reads anything else.
func javaEscapes(code []byte) []byte {
	out := make([]byte, 0, len(code))
	for i := 0; i < len(code); {
		if code[i] == '\\' && i+1 < len(code) && code[i+1] == 'u' {
			j := i + 1
			for j < len(code) && code[j] == 'u' {
				j++
			}
			if r, ok := hexRune(code, j, 4); ok {
				out = utf8.AppendRune(out, r)
				i = j + 4
				continue
			}
		}
		out = append(out, code[i])
		i++
	}
	return out
}

func (l *lexer) emit(k Kind, text string, at int) {
	if len(l.out) >= l.limit {
		l.full = true
		return
	}
	if n := len(l.out); k == Break && (n == 0 || l.out[n-1].Kind == Break) {
		return
	}
	off := l.base
	if !l.fixed {
		off += at
	}
	if len(l.out) == cap(l.out) {
		l.out = slices.Grow(l.out, len(l.out)+1) // by half of that at a time, large pages would be copied again and again
	}
	l.out = append(l.out, Token{Kind: k, Lang: l.lang, Odd: l.odd, Off: int32(off), Text: text})
	l.odd = false
}

// lex reads b, of which s is a copy. Every branch moves on by at least one byte.
func (l *lexer) lex(b []byte, s string) {
	l.b, l.s = b, s
	basic := l.lang.Basic()
	for i, end := 0, len(b); i < end && !l.full; {
		c := b[i]
		class := classes[c]
		switch {
		case class&letter != 0:
			i = l.word(i, end)
		case class&space != 0:
			if c == '\n' && basic && l.depth <= 0 {
				l.emit(Break, "", i)
			}
			i++
		case class&digit != 0:
			i = l.number(i, end)
		case c == '/' && i+1 < end && (b[i+1] == '/' || b[i+1] == '*') && !basic:
			i = l.comment(i, end)
		case c == '#' && (l.lang == PHP || l.lang == CSharp && l.lineStart(i)):
			i = lineEnd(b, i, end)
		case c == '\'' && basic:
			i = lineEnd(b, i, end)
		case c == '?' && l.lang == PHP && i+1 < end && b[i+1] == '>':
			return
		case c == '_' && basic && continues(b, i+1, end) >= 0:
			i = continues(b, i+1, end)
		case c == '[' && basic:
			i = l.bracketed(i, end)
		case c >= 0x80 && l.lang != PHP && quoteAt(b, i, end) > 0:
			i = l.typographic(i, end, quoteAt(b, i, end))
		case isWordByte(c) || c == '$' && l.wordAt(i+1, end) || c == '\\' && l.escapedWord(i, end) || c == '@' && l.wordAt(i+1, end):
			i = l.word(i, end)
		case c == '&' && basic && l.basicNumber(i, end):
			i = l.number(i, end)
		default:
			if next, ok := l.quoted(i, end); ok {
				i = next
			} else {
				i = l.punct(i, end)
			}
		}
	}
}

func (l *lexer) comment(i, end int) int {
	if l.b[i+1] == '/' {
		return lineEnd(l.b, i, end)
	}
	stop := bytes.Index(l.b[i+2:end], []byte("*/"))
	if stop < 0 {
		return end
	}
	next := i + 2 + stop + 2
	// A comment that nothing separates from the code on both sides is there to
	// keep words apart for searchers.
	if i > 0 && !isSpace(l.b[i-1]) && next < end && !isSpace(l.b[next]) {
		l.odd = true
	}
	return next
}

func (l *lexer) lineStart(i int) bool {
	for i--; i >= 0; i-- {
		if l.b[i] == '\n' {
			return true
		}
		if !isSpace(l.b[i]) {
			return false
		}
	}
	return true
}

func lineEnd(b []byte, i, end int) int {
	if n := bytes.IndexByte(b[i:end], '\n'); n >= 0 {
		return i + n
	}
	return end
}

// continues gives the position behind the newline if only spaces stand before
// it: a statement of Basic that goes on in the next line.
func continues(b []byte, i, end int) int {
	for ; i < end && isSpace(b[i]); i++ {
		if b[i] == '\n' {
			return i + 1
		}
	}
	return -1
}

// bracketed reads [Name], by which Basic allows any name.
func (l *lexer) bracketed(i, end int) int {
	j := i + 1
	for j < end && j-i < 256 && isWordByte(l.b[j]) {
		j++
	}
	if j < end && l.b[j] == ']' && j > i+1 {
		name := l.small(i+1, j)
		l.odd = !reservedInBasic[name]
		l.emit(Ident, name, i)
		return j + 1
	}
	return l.punct(i, end)
}

// reservedInBasic are words of the language that programs use as names, which is
// what the brackets are for.
var reservedInBasic = map[string]bool{
	"new": true, "set": true, "get": true, "let": true, "end": true, "next": true, "date": true, "string": true,
	"enum": true, "error": true, "property": true, "class": true, "type": true, "object": true, "is": true,
	"to": true, "in": true, "step": true, "stop": true, "default": true, "select": true, "case": true,
}

func isWordByte(c byte) bool { return isLetter(c) || c == '_' || c >= 0x80 }

func (l *lexer) wordAt(i, end int) bool {
	if i >= end {
		return false
	}
	c := l.b[i]
	switch l.lang {
	case PHP:
		return l.b[i-1] == '$' && isWordByte(c)
	case CSharp:
		return l.b[i-1] == '@' && isWordByte(c)
	}
	return l.b[i-1] == '$' && (isWordByte(c) || c >= '0' && c <= '9')
}

func (l *lexer) escapedWord(i, end int) bool {
	if l.lang == PHP || l.lang.Basic() {
		return false
	}
	_, _, ok := unicodeEscape(l.b, i, end)
	return ok
}

// word reads a name, its escapes resolved and without the invisible characters
// that compilers pass over.
func (l *lexer) word(i, end int) int {
	start := i
	if l.b[i] == '@' {
		i++
	}
	from := i
	var seen class
	for b := l.b[:end]; i < len(b); i++ {
		class := classes[b[i]]
		if class&(letter|underscore|digit|other) == 0 && (b[i] != '$' || i > from && l.lang != JScript) ||
			class&other != 0 && l.lang != PHP && quoteAt(b, i, end) > 0 {
			break
		}
		seen |= class
	}
	plain := l.b[from:i]
	if i < end && l.b[i] == '\\' && l.escapedWord(i, end) || seen&other != 0 && hasInvisible(plain) {
		return l.oddWord(start, from, end)
	}
	text := l.s[from:i]
	if seen&(capital|other) != 0 && (l.lang != PHP || plain[0] != '$') { // the case of a variable counts in PHP
		text = l.small(from, i)
	}
	if l.lang.Basic() && text == "rem" {
		return lineEnd(l.b, i, end)
	}
	if l.lang == VBScript || l.lang == VBNet { // type characters: Chr$("…")
		if i < end && (l.b[i] == '$' || l.b[i] == '%') {
			i++
		}
	}
	l.emit(Ident, text, start)
	return i
}

// small gives a part of the code in small letters.
func (l *lexer) small(from, to int) string {
	var seen class
	for _, c := range l.b[from:to] {
		seen |= classes[c]
	}
	word := l.s[from:to]
	switch {
	case seen&other != 0:
		return strings.ToLower(word)
	case seen&capital == 0 || word == "":
		return word
	}
	// Few words with capitals are not met again soon.
	known := &l.smalls[(uint(word[0])*7+uint(word[len(word)/2])*3+uint(word[len(word)-1])+uint(len(word)))%uint(len(l.smalls))]
	if !isSmallOf(*known, word) {
		*known = strings.ToLower(word)
	}
	return *known
}

// isSmallOf says whether a word is another of Latin letters in small ones.
func isSmallOf(lower, word string) bool {
	if len(lower) != len(word) {
		return false
	}
	for i := range len(word) {
		if lower[i] != small[word[i]] {
			return false
		}
	}
	return true
}

// class is what a character can be in code.
type class uint8

// The classes.
const (
	letter class = 1 << iota // of the Latin alphabet
	capital
	underscore
	digit
	space
	other // not of ASCII
	ends  // the second character of an operator
)

// classes gives the class of each character.
var classes = func() (table [256]class) {
	for i := range table {
		switch c := byte(i); {
		case isLetter(c):
			table[i] = letter
			if c < 'a' {
				table[i] |= capital
			}
		case c == '_':
			table[i] = underscore
		case c >= '0' && c <= '9':
			table[i] = digit
		case isSpace(c):
			table[i] = space
		case c >= utf8.RuneSelf:
			table[i] = other
		case strings.IndexByte(operatorEnds, c) >= 0:
			table[i] = ends
		}
	}
	return table
}()

// small gives the small letter of each Latin letter, and every other byte itself.
var small = func() (table [256]byte) {
	for i := range table {
		table[i] = byte(i)
	}
	for c := 'A'; c <= 'Z'; c++ {
		table[c] = byte(c | 0x20)
	}
	return table
}()

func (l *lexer) oddWord(start, i, end int) int {
	var name []byte
	for i < end {
		c := l.b[i]
		if c == '\\' {
			r, n, ok := unicodeEscape(l.b, i, end)
			if !ok {
				break
			}
			if !invisible(r) {
				name = utf8.AppendRune(name, r)
			}
			i += n
			continue
		}
		if c >= 0x80 {
			r, n := utf8.DecodeRune(l.b[i:end])
			if !invisible(r) {
				name = append(name, l.b[i:i+n]...)
			}
			i += n
			continue
		}
		if !isWordByte(c) && (c < '0' || c > '9') {
			break
		}
		name = append(name, c)
		i++
	}
	l.odd = true
	l.emit(Ident, strings.ToLower(string(name)), start)
	return max(i, start+1)
}

func hasInvisible(word []byte) bool {
	for i := 0; i < len(word); {
		if word[i] < 0x80 {
			i++
			continue
		}
		r, n := utf8.DecodeRune(word[i:])
		if invisible(r) {
			return true
		}
		i += n
	}
	return false
}

// invisible characters are of Unicode's class Cf, which C# and JScript pass over
// in names.
func invisible(r rune) bool {
	return r == 0xAD || r >= 0x200B && r <= 0x200F || r >= 0x202A && r <= 0x202E || r >= 0x2060 && r <= 0x2064 || r == 0xFEFF
}

// unicodeEscape reads \uXXXX, \UXXXXXXXX or \u{…}.
func unicodeEscape(b []byte, i, end int) (r rune, n int, ok bool) {
	if i+2 >= end || b[i] != '\\' {
		return 0, 0, false
	}
	switch b[i+1] {
	case 'u':
		if b[i+2] == '{' {
			stop := bytes.IndexByte(b[i:min(i+12, end)], '}')
			if stop < 4 {
				return 0, 0, false
			}
			r, ok = hexRune(b, i+3, stop-3)
			return r, stop + 1, ok
		}
		r, ok = hexRune(b[:end], i+2, 4)
		return r, 6, ok
	case 'U':
		r, ok = hexRune(b[:end], i+2, 8)
		return r, 10, ok
	}
	return 0, 0, false
}

func hexRune(b []byte, i, n int) (rune, bool) {
	if n <= 0 || i+n > len(b) {
		return 0, false
	}
	var v uint64
	for _, c := range b[i : i+n] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case isHex(c):
			v = v<<4 | uint64(c|0x20-'a'+10)
		default:
			return 0, false
		}
		if v > utf8.MaxRune {
			return 0, false
		}
	}
	return rune(v), true
}

func (l *lexer) basicNumber(i, end int) bool {
	if i+2 >= end {
		return false
	}
	c := l.b[i+1] | 0x20
	return (c == 'h' || c == 'o') && isHex(l.b[i+2]) && !l.afterValue(i)
}

// afterValue says whether a value stands right before a '&', which then joins
// two values and is not the beginning of a number.
func (l *lexer) afterValue(i int) bool {
	return i > 0 && (isWordByte(l.b[i-1]) || l.b[i-1] == '"' || l.b[i-1] == ')' || l.b[i-1] >= '0' && l.b[i-1] <= '9')
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

func (l *lexer) number(i, end int) int {
	start := i
	i++
	for i < end && (l.b[i] >= '0' && l.b[i] <= '9' || isLetter(l.b[i]) || l.b[i] == '.' && i+1 < end && l.b[i+1] >= '0' && l.b[i+1] <= '9') {
		i++
	}
	l.emit(Number, l.small(start, i), start)
	return i
}

// operators of more than one character that must not be taken for an assignment
// or for two operators.
var operators = []string{"===", "!==", "==", "!=", "<=", ">=", "=>", "->", "::", "+=", ".=", "&=", "&&", "||", "??", "<>", ":=", "++", "--", "^="}

// latin are the characters of ASCII. Operators are cut out of it and not out of the page,
// since they are looked at again and again.
var latin = func() string {
	b := make([]byte, utf8.RuneSelf)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}()

// operatorEnds are the characters that stand second in them.
const operatorEnds = "=>:&|?+-"

func (l *lexer) punct(i, end int) int {
	c := l.b[i]
	switch c {
	case '(', '[', '{':
		l.depth++
	case ')', ']', '}':
		l.depth--
	case ';':
		l.emit(Break, "", i)
		return i + 1
	case ':':
		// Between statements of Basic, not in a time or a named argument.
		if l.lang.Basic() && l.depth <= 0 && (i+1 >= end || l.b[i+1] != '=') {
			l.emit(Break, "", i)
			return i + 1
		}
	}
	if i+1 < end && classes[l.b[i+1]]&ends != 0 {
		for _, op := range operators {
			if op[0] == c && strings.HasPrefix(l.s[i:], op) {
				if l.lang.Basic() && (op == "==" || op == "&&" || op == "??" || op == "::") {
					continue
				}
				l.emit(Punct, op, i)
				return i + len(op)
			}
		}
	}
	if c < utf8.RuneSelf {
		l.emit(Punct, latin[c:c+1], i)
	} else {
		l.emit(Punct, string(rune(c)), i)
	}
	return i + 1
}
