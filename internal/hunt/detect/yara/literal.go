package yara

import (
	"regexp/syntax"
	"strings"

	"github.com/VirusTotal/gyp/ast"
)

// literal is a run of bytes that is found wherever a string matches: fold says that
// letters may be of either case.
type literal struct {
	text string
	fold bool
}

// literalsOf gives the literals of a string, of which one is found wherever the
// string is; nil if there are none to name. They need not be all that is known: a
// gate uses them to rule strings out.
func literalsOf(s ast.String) []literal {
	switch s := s.(type) {
	case *ast.TextString:
		if s.Xor || s.Base64 || s.Base64Wide {
			return nil
		}
		value, err := unescape(s.Value)
		if err != nil || value == "" {
			return nil
		}
		return widths(literal{value, s.Nocase}, s.ASCII, s.Wide)
	case *ast.HexString:
		if run := longestBytes(s.Tokens); run != "" {
			return []literal{{text: run}}
		}
	case *ast.RegexpString:
		if l := literalOfRegexp(s.Regexp.Value); l.text != "" {
			l.fold = l.fold || s.Nocase || s.Regexp.Modifiers&ast.RegexpCaseInsensitive != 0
			return widths(l, s.ASCII, s.Wide)
		}
	}
	return nil
}

// plain gives the forms of a string that is no more than its bytes; of a hex string,
// those that it begins with.
func plain(s ast.String) []literal {
	switch s := s.(type) {
	case *ast.TextString:
		return literalsOf(s)
	case *ast.HexString:
		if len(s.Tokens) > 0 {
			if first, ok := s.Tokens[0].(*ast.HexBytes); ok {
				n := 0
				for n < len(first.Bytes) && first.Masks[n] == 0xff && !(n < len(first.Nots) && first.Nots[n]) {
					n++
				}
				if n > 0 {
					return []literal{{text: string(first.Bytes[:n])}}
				}
			}
		}
	}
	return nil
}

// is compares bytes with the literal, which has the same length.
func (l *literal) is(data []byte) bool {
	if !l.fold {
		return string(data) == l.text
	}
	for i, b := range data {
		if lowerByte(b) != lowerByte(l.text[i]) {
			return false
		}
	}
	return true
}

// widths gives a literal in the forms that the modifiers ask for.
func widths(l literal, ascii, wide bool) []literal {
	if !wide {
		return []literal{l}
	}
	var b strings.Builder
	for i := range len(l.text) {
		b.WriteByte(l.text[i])
		b.WriteByte(0)
	}
	all := []literal{{b.String(), l.fold}}
	if ascii {
		all = append(all, l)
	}
	return all
}

// longestBytes gives the longest run of whole bytes in a hex string.
func longestBytes(tokens ast.HexTokens) string {
	var best, run []byte
	end := func() {
		if len(run) > len(best) {
			best = run
		}
		run = nil
	}
	for _, t := range tokens {
		bytes, ok := t.(*ast.HexBytes)
		if !ok {
			end()
			continue
		}
		for i, b := range bytes.Bytes {
			if bytes.Masks[i] != 0xff || i < len(bytes.Nots) && bytes.Nots[i] {
				end()
				continue
			}
			run = append(run, b)
		}
	}
	end()
	return string(best)
}

// literalOfRegexp gives the longest literal that every match of an expression holds,
// by Go's parser, whose language is nearly the same. What the two read differently
// has no literal.
func literalOfRegexp(src string) literal {
	for _, different := range []string{`{,`, `(?`, `\Q`, `\E`, `\p`, `\P`, `\A`, `\z`, `\C`, `[:`, `\a`, `\v`, `\0`, `\1`} {
		if strings.Contains(src, different) {
			return literal{}
		}
	}
	for i := range len(src) {
		if src[i] >= 0x80 {
			return literal{}
		}
	}
	tree, err := syntax.Parse(src, syntax.PerlX|syntax.OneLine)
	if err != nil {
		return literal{}
	}
	best := literal{}
	var run []byte
	end := func() {
		if len(run) > len(best.text) {
			best.text = string(run)
		}
		run = nil
	}
	var walk func(n *syntax.Regexp)
	walk = func(n *syntax.Regexp) {
		switch n.Op {
		case syntax.OpLiteral:
			for _, r := range n.Rune {
				if r >= 0x80 {
					end()
					continue
				}
				run = append(run, byte(r))
			}
		case syntax.OpConcat:
			for _, x := range n.Sub {
				walk(x)
			}
		case syntax.OpCapture:
			walk(n.Sub[0])
		case syntax.OpPlus:
			walk(n.Sub[0])
			end() // what follows may follow another round
		case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary, syntax.OpEmptyMatch:
		default:
			end()
		}
	}
	walk(tree)
	end()
	return best
}

func lowerByte(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
