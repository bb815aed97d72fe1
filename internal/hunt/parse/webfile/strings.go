package webfile

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// quoted reads a string of any language, if one stands at i.
func (l *lexer) quoted(i, end int) (next int, ok bool) {
	c := l.b[i]
	switch {
	case l.lang.Basic():
		return l.basicString(i, end)
	case l.lang == CSharp && (c == '@' || c == '$'):
		return l.prefixed(i, end)
	case c == '"' && (l.lang == Java || l.lang == CSharp) && bytes.HasPrefix(l.b[i:end], []byte(`"""`)):
		return l.raw(i, end), true
	case c == '"' && l.lang == PHP:
		return l.phpDouble(i, end, '"'), true
	case c == '`' && l.lang == PHP:
		return l.backticks(i, end), true
	case c == '<' && l.lang == PHP && bytes.HasPrefix(l.b[i:end], []byte("<<<")):
		return l.heredoc(i, end)
	case c == '\'' && l.lang == PHP:
		return l.phpSingle(i, end), true
	case c == '"' || c == '\'' || c == '`' && l.lang == JScript:
		return l.escaped(i, end, c), true
	case c == '/' && l.lang == JScript && l.regexpHere():
		return l.pattern(i, end)
	}
	return i, false
}

// quoteAt gives the length of a typographic double quote, 0 if none stands at i.
// Word processors put them into code, and Basic takes them.
func quoteAt(b []byte, i, end int) int {
	if i+3 <= end && b[i] == 0xE2 && b[i+1] == 0x80 && (b[i+2] == 0x9C || b[i+2] == 0x9D) {
		return 3
	}
	return 0
}

func (l *lexer) typographic(i, end, n int) int {
	j := i + n
	for j < end && l.b[j] != '\n' {
		if k := quoteAt(l.b, j, end); k > 0 {
			l.emit(String, l.s[i+n:j], i)
			return j + k
		}
		j++
	}
	l.emit(String, l.s[i+n:j], i)
	return j
}

// escaped reads a string with backslashes. It ends at its quote, or at the end of
// the line, since no such string goes on behind it except where the newline is escaped.
func (l *lexer) escaped(i, end int, quote byte) int {
	buf := l.buf[:0]
	start := i + 1
	j := start
read:
	for j < end {
		switch c := l.b[j]; {
		case c == quote, c == '\n' && quote != '`':
			break read
		case c == '\\' && j+1 < end:
			buf = append(buf, l.b[start:j]...)
			var n int
			buf, n = unescape(buf, l.b, j, end)
			j += n
			start = j
		default:
			j++
		}
	}
	l.emit(String, textOf(buf, l.s[start:min(j, end)]), i)
	l.buf = buf
	if j < end && l.b[j] == quote {
		j++
	}
	return j
}

func textOf(buf []byte, rest string) string {
	if len(buf) == 0 {
		return rest
	}
	return string(append(buf, rest...))
}

// unescape appends the character that the escape at i stands for and gives the
// length of the escape.
func unescape(buf, b []byte, i, end int) ([]byte, int) {
	c := b[i+1]
	switch c {
	case 'n':
		return append(buf, '\n'), 2
	case 'r':
		return append(buf, '\r'), 2
	case 't':
		return append(buf, '\t'), 2
	case '\r', '\n':
		if c == '\r' && i+2 < end && b[i+2] == '\n' {
			return buf, 3
		}
		return buf, 2
	case 'x':
		n := 0
		for n < 4 && i+2+n < end && isHex(b[i+2+n]) {
			n++
		}
		// C# takes up to four digits, the others two; text is Latin either way.
		n = min(n, 2)
		if r, ok := hexRune(b, i+2, n); ok {
			return append(buf, byte(r)), 2 + n
		}
	case 'u', 'U':
		if r, n, ok := unicodeEscape(b, i, end); ok {
			return utf8.AppendRune(buf, r), n
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		v, n := 0, 0
		for n < 3 && i+1+n < end && b[i+1+n] >= '0' && b[i+1+n] <= '7' {
			v = v*8 + int(b[i+1+n]-'0')
			n++
		}
		return append(buf, byte(v)), 1 + n
	}
	return append(buf, c), 2
}

// prefixed reads @"…", $"…" and both.
func (l *lexer) prefixed(i, end int) (int, bool) {
	j := i
	var verbatim, interpolated bool
	for j < end && j < i+2 && (l.b[j] == '@' || l.b[j] == '$') {
		verbatim = verbatim || l.b[j] == '@'
		interpolated = interpolated || l.b[j] == '$'
		j++
	}
	if j >= end || l.b[j] != '"' {
		return i, false
	}
	if !verbatim {
		before := len(l.out)
		next := l.escaped(j, end, '"')
		if interpolated && len(l.out) > before {
			l.holes(l.out[before].Text, i, '+')
		}
		return next, true
	}
	text, next := doubled(l.s, j, end)
	l.emit(String, text, i)
	if interpolated {
		l.holes(text, i, '+')
	}
	return next, true
}

// doubled reads a string in which a quote is written twice.
func doubled(s string, i, end int) (string, int) {
	j := i + 1
	twice := false
	for j < end {
		if s[j] == '"' {
			if j+1 < end && s[j+1] == '"' {
				twice = true
				j += 2
				continue
			}
			break
		}
		j++
	}
	text := s[i+1 : min(j, end)]
	if twice {
		text = strings.ReplaceAll(text, `""`, `"`)
	}
	return text, min(j+1, end)
}

// holes reads the expressions in an interpolated string as if they were joined
// to it, so that what flows into them flows into the whole.
func (l *lexer) holes(text string, at int, join byte) {
	if l.nest >= maxNesting {
		return
	}
	for {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			return
		}
		text = text[open+1:]
		if strings.HasPrefix(text, "{") {
			text = text[1:]
			continue
		}
		stop := closing(text)
		if stop < 0 {
			return
		}
		l.emit(Punct, string(rune(join)), at)
		l.inner([]byte(text[:stop]), text[:stop], at)
		text = text[stop+1:]
	}
}

// inner reads code that stands inside a string.
func (l *lexer) inner(code []byte, text string, at int) {
	b, s, depth, fixed, base := l.b, l.s, l.depth, l.fixed, l.base
	if !l.fixed {
		l.fixed, l.base = true, l.base+at
	}
	l.nest++
	l.emit(Punct, "(", at)
	l.lex(code, text)
	l.emit(Punct, ")", at)
	l.nest--
	l.b, l.s, l.depth, l.fixed, l.base = b, s, depth, fixed, base
}

// closing gives the position of the '}' that ends a hole, -1 if there is none.
func closing(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

// raw reads """…""".
func (l *lexer) raw(i, end int) int {
	stop := bytes.Index(l.b[i+3:end], []byte(`"""`))
	if stop < 0 {
		return l.escaped(i, end, '"')
	}
	l.emit(String, l.s[i+3:i+3+stop], i)
	return i + stop + 6
}

func (l *lexer) basicString(i, end int) (int, bool) {
	j := i
	interpolated := l.b[j] == '$' && j+1 < end && l.b[j+1] == '"'
	if interpolated {
		j++
	}
	if l.b[j] != '"' {
		return i, false
	}
	// A string of Basic does not go on in the next line.
	text, next := doubled(l.s, j, lineEnd(l.b, j, end))
	l.emit(String, text, i)
	if interpolated {
		l.holes(text, i, '&')
	}
	return next, true
}

func (l *lexer) phpSingle(i, end int) int {
	j := i + 1
	buf := l.buf[:0]
	start := j
	for j < end && l.b[j] != '\'' {
		if l.b[j] == '\\' && j+1 < end && (l.b[j+1] == '\'' || l.b[j+1] == '\\') {
			buf = append(append(buf, l.b[start:j]...), l.b[j+1])
			j += 2
			start = j
			continue
		}
		j++
	}
	j = min(j, end)
	l.emit(String, textOf(buf, l.s[start:j]), i)
	l.buf = buf
	return min(j+1, end)
}

// phpDouble reads a string in which variables stand, and emits these as if they
// were joined to it.
func (l *lexer) phpDouble(i, end int, quote byte) int {
	body := i + 1
	j := body
	plain := true
	for j < end && l.b[j] != quote {
		switch l.b[j] {
		case '\\':
			j++
			plain = false
		case '$', '{':
			plain = false
		}
		j++
	}
	j = min(j, end)
	if plain {
		l.emit(String, l.s[body:j], i)
	} else {
		l.interpolate(body, j, i)
	}
	return min(j+1, end)
}

func (l *lexer) interpolate(from, to, at int) {
	buf := l.buf[:0]
	var holes [][2]int
	start := from // of what is not in buf yet
	for j := from; j < to; {
		c := l.b[j]
		switch {
		case c != '\\' && c != '$' && c != '{':
			j++
		case c == '\\' && j+1 < to:
			buf = append(buf, l.b[start:j]...)
			var n int
			buf, n = unescape(buf, l.b, j, to)
			j = min(j+n, to)
			start = j
		case c == '$' && j+1 < to && isWordByte(l.b[j+1]):
			k := j + 1
			for k < to && (isWordByte(l.b[k]) || l.b[k] >= '0' && l.b[k] <= '9') {
				k++
			}
			k = subscript(l.b, k, to)
			holes = append(holes, [2]int{j, k})
			buf = append(buf, l.b[start:j]...)
			j, start = k, k
		case c == '{' && j+1 < to && l.b[j+1] == '$', c == '$' && j+1 < to && l.b[j+1] == '{':
			open := j + 1
			if c == '$' {
				open++
			}
			stop := closing(l.s[open:min(to, open+1024)])
			if stop < 0 {
				j++
				continue
			}
			holes = append(holes, [2]int{open, open + stop})
			buf = append(buf, l.b[start:j]...)
			j = open + stop + 1
			start = j
		default:
			j++
		}
	}
	l.emit(String, textOf(buf, l.s[start:to]), at)
	l.buf = buf
	if l.nest >= maxNesting {
		return
	}
	for _, h := range holes {
		l.emit(Punct, ".", at)
		l.inner(l.b[h[0]:h[1]], l.s[h[0]:h[1]], at)
	}
}

// subscript passes over [x] or ->x behind a variable in a string.
func subscript(b []byte, k, to int) int {
	if k < to && b[k] == '[' {
		if stop := bytes.IndexByte(b[k:min(to, k+256)], ']'); stop > 0 {
			return k + stop + 1
		}
	}
	if k+2 < to && b[k] == '-' && b[k+1] == '>' && isWordByte(b[k+2]) {
		k += 2
		for k < to && isWordByte(b[k]) {
			k++
		}
	}
	return k
}

// backticks run a command: they are read as the call that they stand for.
func (l *lexer) backticks(i, end int) int {
	l.emit(Ident, "shell_exec", i)
	l.emit(Punct, "(", i)
	next := l.phpDouble(i, end, '`')
	l.emit(Punct, ")", i)
	return next
}

// heredoc reads <<<NAME … NAME.
func (l *lexer) heredoc(i, end int) (int, bool) {
	j := skipSpace(l.b, i+3, end)
	quote := byte(0)
	if j < end && (l.b[j] == '\'' || l.b[j] == '"') {
		quote = l.b[j]
		j++
	}
	start := j
	for j < end && (isWordByte(l.b[j]) || l.b[j] >= '0' && l.b[j] <= '9') {
		j++
	}
	if j == start || j-start > 128 {
		return i, false
	}
	name := l.b[start:j]
	body := lineEnd(l.b, j, end)
	stop, next := heredocEnd(l.b, body, end, name)
	if quote == '\'' {
		l.emit(String, l.s[body:stop], i)
	} else {
		l.interpolate(body, stop, i)
	}
	return next, true
}

// heredocEnd finds the line that begins with the name.
func heredocEnd(b []byte, body, end int, name []byte) (stop, next int) {
	for at := body; at < end; {
		line := skipSpace(b, at, end)
		if bytes.HasPrefix(b[line:end], name) {
			after := line + len(name)
			if after >= end || !isWordByte(b[after]) {
				return at, after
			}
		}
		n := bytes.IndexByte(b[line:end], '\n')
		if n < 0 {
			break
		}
		at = line + n + 1
	}
	return end, end
}

// regexpHere says whether a '/' begins a pattern: where a value is due.
func (l *lexer) regexpHere() bool {
	if len(l.out) == 0 {
		return true
	}
	switch t := l.out[len(l.out)-1]; t.Kind {
	case Punct:
		return t.Text != ")" && t.Text != "]" && t.Text != "}"
	case Break:
		return true
	case Ident:
		return t.Text == "return" || t.Text == "typeof" || t.Text == "case"
	}
	return false
}

func (l *lexer) pattern(i, end int) (int, bool) {
	class := false
	for j := i + 1; j < end && l.b[j] != '\n'; j++ {
		switch c := l.b[j]; {
		case c == '\\':
			j++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			l.emit(Number, "0", i) // a value, but none that joins to a string
			return j + 1, true
		}
	}
	return i, false
}

// phpEnd gives the position of the ?> that ends PHP code: not one inside a string
// or a comment of several lines.
func phpEnd(b []byte, i int) int {
	if !bytes.Contains(b[i:], []byte("?>")) {
		return len(b) // as in most files that are PHP and nothing else
	}
	for i < len(b) {
		switch c := b[i]; {
		case !phpTurns[c]:
			i++
		case c == '?' && i+1 < len(b) && b[i+1] == '>':
			return i
		case c == '"' || c == '\'' || c == '`':
			i = skipQuoted(b, i, c)
		case c == '/' && i+1 < len(b) && b[i+1] == '*':
			stop := bytes.Index(b[i+2:], []byte("*/"))
			if stop < 0 {
				return len(b)
			}
			i += stop + 4
		case c == '#' || c == '/' && i+1 < len(b) && b[i+1] == '/':
			line := b[i:lineEnd(b, i, len(b))]
			if stop := bytes.Index(line, []byte("?>")); stop >= 0 {
				return i + stop
			}
			i += len(line)
		case c == '<' && bytes.HasPrefix(b[i:], []byte("<<<")):
			i = skipHeredoc(b, i)
		default:
			i++
		}
	}
	return len(b)
}

// phpTurns are the characters at which phpEnd has to look; code is made of others.
var phpTurns = [256]bool{'?': true, '"': true, '\'': true, '`': true, '/': true, '#': true, '<': true}

func skipQuoted(b []byte, i int, quote byte) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case quote:
			return i + 1
		}
	}
	return len(b)
}

func skipHeredoc(b []byte, i int) int {
	j := skipSpace(b, i+3, len(b))
	if j < len(b) && (b[j] == '\'' || b[j] == '"') {
		j++
	}
	start := j
	for j < len(b) && isWordByte(b[j]) {
		j++
	}
	if j == start || j-start > 128 {
		return i + 3
	}
	_, next := heredocEnd(b, lineEnd(b, j, len(b)), len(b), b[start:j])
	return next
}
