package yara

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/VirusTotal/gyp/ast"

	"postern"
)

// Hex strings are read here and not by the parser of rules, which makes a new machine
// for each: a collection has twenty thousand, and half of its loading time went there.
// What this reader does not know (alternatives, mistakes) is left to the parser. It
// also reads two forms as YARA does and the parser does not: ~5? and [0-0].

// Alphabets of base64 are kept from the parser as well if they have escapes: YARA counts
// their 64 bytes, and the parser the letters with which they are written.

// Placeholders for hex strings and alphabets in the text that the parser is given.
const (
	placeholder         = " of postern: "
	hexPlaceholder      = "hex string" + placeholder
	alphabetPlaceholder = "alphabet" + placeholder
)

// kept is a hex string or an alphabet that was taken out of a rule.
type kept struct {
	from, to int // in the text of the rule
	tokens   ast.HexTokens
	alphabet string // as it is written
}

// without gives a rule's text with placeholders for what was taken out, on the same
// lines. An alphabet that comes twice has one placeholder: YARA allows no other beside it.
func without(text string, all []kept) string {
	if len(all) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for i, h := range all {
		b.WriteString(text[at:h.from])
		if h.alphabet != "" {
			i = slices.IndexFunc(all, func(other kept) bool { return other.alphabet == h.alphabet })
			fmt.Fprintf(&b, `"%-64s"`, alphabetPlaceholder+strconv.Itoa(i))
		} else {
			b.WriteString(`"` + hexPlaceholder + strconv.Itoa(i) + `"`)
		}
		for range strings.Count(text[h.from:h.to], "\n") {
			b.WriteByte('\n')
		}
		at = h.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// restore puts hex strings and alphabets back into a parsed rule. A modifier of a hex
// string that only texts have is a mistake.
func restore(r *ast.Rule, all []kept) *refusal {
	if len(all) == 0 {
		return nil
	}
	for i, s := range r.Strings {
		text, ok := s.(*ast.TextString)
		if !ok {
			continue
		}
		if number, ok := strings.CutPrefix(text.Base64Alphabet, alphabetPlaceholder); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(number)); err == nil && n < len(all) {
				text.Base64Alphabet = all[n].alphabet
			}
		}
		number, ok := strings.CutPrefix(text.Value, hexPlaceholder)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil || n >= len(all) {
			continue
		}
		if text.ASCII || text.Wide || text.Nocase || text.Fullword || text.Xor || text.Base64 || text.Base64Wide {
			return &refusal{text.LineNo, postern.Say("yara.hex-modifier", "string", "$"+text.Identifier)}
		}
		r.Strings[i] = &ast.HexString{BaseString: text.BaseString, Tokens: all[n].tokens, Private: text.Private}
	}
	return nil
}

// readHex reads a hex string with its braces; false for what is left to the parser.
func readHex(src string) (ast.HexTokens, bool) {
	var tokens ast.HexTokens
	var run *ast.HexBytes
	src = strings.TrimSuffix(strings.TrimPrefix(src, "{"), "}")
	for len(src) > 0 {
		c := src[0]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			src = src[1:]
		case strings.HasPrefix(src, "//"):
			_, src, _ = strings.Cut(src, "\n")
		case strings.HasPrefix(src, "/*"):
			var ok bool
			if _, src, ok = strings.Cut(src, "*/"); !ok {
				return nil, false
			}
		case c == '[':
			jump, rest, ok := strings.Cut(src[1:], "]")
			j := readJump(jump)
			if !ok || j == nil || run == nil {
				return nil, false
			}
			src = rest
			if j.Start == 0 && j.End == 0 && strings.Trim(jump, " \t\r\n-") != "" {
				continue // [0-0] is no jump, and would be read as an endless one
			}
			tokens, run = append(tokens, j), nil
		default:
			b, mask, not, n := readByte(src)
			if n == 0 {
				return nil, false
			}
			if src = src[n:]; run == nil {
				run = &ast.HexBytes{}
				tokens = append(tokens, run)
			}
			run.Bytes, run.Masks, run.Nots = append(run.Bytes, b), append(run.Masks, mask), append(run.Nots, not)
		}
	}
	return slices.Clip(tokens), run != nil
}

// readByte reads two digits or wildcards, with ~ before them or not. n is what it took.
func readByte(src string) (b, mask byte, not bool, n int) {
	if src[0] == '~' {
		not, n, src = true, 1, src[1:]
	}
	if len(src) < 2 {
		return 0, 0, false, 0
	}
	for i := range 2 {
		b, mask = b<<4, mask<<4
		if src[i] == '?' {
			continue
		}
		d := hexDigit(src[i])
		if d < 0 {
			return 0, 0, false, 0
		}
		b, mask = b|byte(d), mask|0xf
	}
	if not && mask == 0 {
		return 0, 0, false, 0
	}
	return b, mask, not, n + 2
}

// readJump reads what stands between brackets; nil for a mistake.
func readJump(s string) *ast.HexJump {
	const most = 1 << 30
	number := func(s string) (int, bool) {
		s = strings.TrimSpace(s)
		n, err := strconv.ParseUint(s, 10, 31)
		return int(n), err == nil && n < most && s[0] != '+'
	}
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		n, ok := number(s)
		if !ok || n == 0 {
			return nil
		}
		return &ast.HexJump{Start: n, End: n}
	}
	from, to, ok := 0, 0, true
	if strings.TrimSpace(first) != "" {
		from, ok = number(first)
	}
	if strings.TrimSpace(last) != "" && ok {
		if strings.TrimSpace(first) == "" {
			return nil
		}
		if to, ok = number(last); ok && from > to {
			return nil
		}
	}
	if !ok {
		return nil
	}
	return &ast.HexJump{Start: from, End: to}
}
