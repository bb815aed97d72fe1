package yara

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
)

// item is one thing that stands at the top of a file of rules.
type item struct {
	kind itemKind
	line int    // of its first word
	name string // of the rule, module or file
	// text of a rule, "" for the others, with placeholders for what was kept from the parser.
	text string
	kept []kept
	from int // where a rule begins and ends in the file
	to   int
}

// sum tells rules apart by all that stands in them, however their lines end.
func (it *item) sum(src []byte) textKey {
	return sha256.Sum256(bytes.ReplaceAll(src[it.from:it.to], []byte("\r"), nil))
}

type itemKind uint8

const (
	itemRule itemKind = iota
	itemImport
	itemInclude
	itemBroken // text that begins nothing known, up to the next rule
)

// split parts a file into rules, imports and includes without understanding them,
// so that one malformed rule does not take the others of its file with it. Text in
// strings, regular expressions and comments opens and closes nothing.
func split(src []byte) []item {
	s := splitter{src: src, line: 1}
	for s.next() {
	}
	return s.items
}

type splitter struct {
	src   []byte
	pos   int
	line  int
	items []item
	kept  []kept // of the rule that is being read
}

// next takes one item; false at the end.
func (s *splitter) next() bool {
	s.blanks()
	if s.pos >= len(s.src) {
		return false
	}
	start, line := s.pos, s.line
	switch word := s.word(); word {
	case "import", "include":
		s.blanks()
		name, ok := s.quoted()
		kind := itemImport
		if word == "include" {
			kind = itemInclude
		}
		if !ok {
			kind = itemBroken
		}
		s.items = append(s.items, item{kind: kind, line: line, name: name})
	case "rule", "private", "global":
		s.rule(start, line, word)
	default:
		s.broken(line)
	}
	return true
}

// rule takes a rule up to the brace that closes it. A rule that never closes ends
// where the next one seems to begin: at a line that begins with the word.
func (s *splitter) rule(start, line int, word string) {
	for word == "private" || word == "global" {
		s.blanks()
		word = s.word()
	}
	if word != "rule" {
		s.broken(line)
		return
	}
	s.blanks()
	it := item{kind: itemRule, line: line, name: s.name()}
	if it.name == "" || !s.tags() {
		s.items = append(s.items, item{kind: itemBroken, line: line, name: it.name})
		s.blanks()
		if s.pos < len(s.src) && !s.keyword() {
			s.toNextRule()
		}
		return
	}
	body, bodyLine := s.pos, s.line
	s.kept = nil
	if !s.body() {
		s.pos, s.line, s.kept = body, bodyLine, nil
		s.toNextRule()
	}
	it.text, it.from, it.to = string(s.src[start:s.pos]), start, s.pos
	if !strings.Contains(it.text, placeholder) {
		for i := range s.kept {
			s.kept[i].from -= start
			s.kept[i].to -= start
		}
		it.text, it.kept = without(it.text, s.kept), s.kept
	}
	s.items = append(s.items, it)
}

// begins are the words that an item begins with.
var begins = []string{"rule", "private", "global", "import", "include"}

// keyword says whether an item seems to begin here.
func (s *splitter) keyword() bool {
	at := s.pos
	is := slices.Contains(begins, s.word())
	s.pos = at
	return is
}

// name takes a name that is no keyword, "" if here is none.
func (s *splitter) name() string {
	if s.keyword() {
		return ""
	}
	return s.word()
}

// tags goes before the opening brace of a rule, over its tags; false if there is none.
func (s *splitter) tags() bool {
	if s.blanks(); s.pos < len(s.src) && s.src[s.pos] == ':' {
		s.pos++
		for s.blanks(); s.name() != ""; s.blanks() {
		}
	}
	return s.pos < len(s.src) && s.src[s.pos] == '{'
}

// body goes behind the closing brace; false if there is none.
func (s *splitter) body() bool {
	depth := 0
	last := byte(0) // before this place, but for blanks and comments
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch c {
		case '{':
			if depth++; depth == 2 && last == '=' {
				s.hex()
			}
		case '}':
			if depth--; depth <= 0 {
				s.pos++
				return depth == 0
			}
		case '"':
			from := s.pos
			text, ok := s.quoted()
			if !ok {
				return false
			}
			if last == '(' {
				s.alphabet(from, text)
			}
			last = c
			continue
		case '/':
			if s.comment() {
				continue
			}
			if !s.regexp() {
				return false
			}
			continue
		case '\n':
			s.line++
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			last = c
		}
		s.pos++
	}
	return false
}

// hex reads the hex string that begins here, if it is one, and stays where it is.
func (s *splitter) hex() {
	in := splitter{src: s.src, pos: s.pos + 1}
	for in.pos < len(in.src) && in.src[in.pos] != '}' {
		if in.src[in.pos] != '/' || !in.comment() {
			in.pos++
		}
	}
	if in.pos == len(in.src) {
		return
	}
	if tokens, ok := readHex(string(s.src[s.pos : in.pos+1])); ok {
		s.kept = append(s.kept, kept{from: s.pos, to: in.pos + 1, tokens: tokens})
	}
}

// alphabet keeps a text in parentheses from the parser if it is an alphabet of base64 with
// escapes. One of another length is left to be refused.
func (s *splitter) alphabet(from int, text string) {
	before := bytes.TrimRight(bytes.TrimSuffix(bytes.TrimRight(s.src[:from], " \t\r\n"), []byte("(")), " \t\r\n")
	word := bytes.TrimRightFunc(before, func(r rune) bool { return r < 128 && isWord(byte(r)) })
	if name := string(before[len(word):]); name != "base64" && name != "base64wide" || !strings.Contains(text, `\`) {
		return
	}
	if alphabet, err := unescape(text); err == nil && len(alphabet) == 64 {
		s.kept = append(s.kept, kept{from: from, to: s.pos, alphabet: text})
	}
}

// broken skips what is no item, up to the next that seems to be one.
func (s *splitter) broken(line int) {
	s.items = append(s.items, item{kind: itemBroken, line: line})
	s.toNextRule()
}

// toNextRule goes to the next line that begins like a rule.
func (s *splitter) toNextRule() {
	for {
		i := bytes.IndexByte(s.src[s.pos:], '\n')
		if i < 0 {
			s.pos = len(s.src)
			return
		}
		s.pos += i + 1
		s.line++
		if s.keyword() {
			return
		}
	}
}

// blanks skips blanks and comments.
func (s *splitter) blanks() {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == '\n':
			s.line++
			s.pos++
		case c == ' ' || c == '\t' || c == '\r':
			s.pos++
		case c == '/' && s.comment():
		case s.pos == 0 && bytes.HasPrefix(s.src, bom):
			s.pos = len(bom)
		default:
			return
		}
	}
}

var bom = []byte("\xef\xbb\xbf")

// comment skips a comment; false if here is none. One that does not end goes to
// the end of the file.
func (s *splitter) comment() bool {
	rest := s.src[s.pos:]
	end := -1
	switch {
	case bytes.HasPrefix(rest, []byte("//")):
		if end = bytes.IndexByte(rest, '\n'); end < 0 {
			end = len(rest)
		}
	case bytes.HasPrefix(rest, []byte("/*")):
		if end = bytes.Index(rest[2:], []byte("*/")); end < 0 {
			end = len(rest)
		} else {
			end += 4
		}
	default:
		return false
	}
	s.line += bytes.Count(rest[:end], []byte("\n"))
	s.pos += end
	return true
}

// regexp skips a regular expression. A slash in a class ends it too, as in YARA.
func (s *splitter) regexp() bool { return s.until('/') }

// quoted skips a text string and gives what is between its quotes.
func (s *splitter) quoted() (string, bool) {
	if s.pos >= len(s.src) || s.src[s.pos] != '"' {
		return "", false
	}
	start := s.pos + 1
	if !s.until('"') {
		return "", false
	}
	return string(s.src[start : s.pos-1]), true
}

// until goes behind the next mark of the kind on which it stands; false if the
// line ends before.
func (s *splitter) until(mark byte) bool {
	for i := s.pos + 1; i < len(s.src); i++ {
		switch s.src[i] {
		case mark:
			s.pos = i + 1
			return true
		case '\\':
			i++
			if i < len(s.src) && s.src[i] == '\n' {
				return false
			}
		case '\n':
			return false
		}
	}
	return false
}

// word takes a name, "" if here is none.
func (s *splitter) word() string {
	start := s.pos
	for s.pos < len(s.src) && isWord(s.src[s.pos]) {
		s.pos++
	}
	return string(s.src[start:s.pos])
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// names gives the words of a text, each once, to see which rules it may refer to.
func names(text string) map[string]bool {
	all := make(map[string]bool)
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return r > 127 || !isWord(byte(r)) }) {
		all[w] = true
	}
	return all
}
