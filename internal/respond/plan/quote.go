package plan

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
)

var placeholder = regexp.MustCompile(`\{([a-z][a-z0-9-]*)\}`)

// placeholders gives the names in braces.
func placeholders(s string) []string {
	var names []string
	for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
		names = append(names, m[1])
	}
	return names
}

// fill replaces placeholders by quoted values, in one pass, so that a value is never
// read as a placeholder.
func fill(s string, facts map[string]string, quote func(string) string) string {
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		v, ok := facts[m[1:len(m)-1]]
		if !ok {
			return m
		}
		return quote(v)
	})
}

// shellOf says for which shell commands of postern are written: whoever works on a
// mounted image at a path like /mnt/c does not sit at Windows.
func shellOf(root string) string {
	if hasDrive(root) || strings.Contains(root, `\`) {
		return "powershell"
	}
	return "sh"
}

func quoterOf(shell string) func(string) string {
	if shell == "sh" {
		return QuoteShell
	}
	return QuotePowerShell
}

// bare is what no shell of the two gives a meaning to.
var bare = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./:=-]*$`)

// QuotePowerShell makes one argument of any string. Inside single quotes PowerShell reads
// nothing but the quote itself, for which it takes five characters; they are doubled.
// What a reader could not see in a command (controls, changes of direction) is
// written as its number, so that what is copied is what was read.
func QuotePowerShell(s string) string {
	if bare.MatchString(s) || driveOnly(s) {
		return s
	}
	return literal(s)
}

// literal is QuotePowerShell for where an expression stands and no argument: there a
// name without quotes is a command, and a build a broken number.
func literal(s string) string {
	if !strings.ContainsFunc(s, unseen) {
		return quoted(s)
	}
	var b strings.Builder
	b.WriteString("('")
	open := true
	for _, r := range s {
		if unseen(r) {
			if open {
				b.WriteString("'")
				open = false
			}
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "+[char]0x%04X", u)
			}
			continue
		}
		if !open {
			b.WriteString("+'")
			open = true
		}
		b.WriteString(doubled(r))
	}
	if open {
		b.WriteString("'")
	}
	b.WriteString(")")
	return b.String()
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		b.WriteString(doubled(r))
	}
	b.WriteByte('\'')
	return b.String()
}

func doubled(r rune) string {
	switch r {
	case '\'', '\u2018', '\u2019', '\u201a', '\u201b':
		return string(r) + string(r)
	}
	return string(r)
}

// driveOnly is C:\, which needs no quotes and which programs get wrong with them.
func driveOnly(s string) bool { return len(s) == 3 && hasDrive(s) && s[2] == '\\' }

// unseen says whether a reader of a command would not see a character as it is.
func unseen(r rune) bool {
	return r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Z, r) && r != ' ' || blank(r)
}

// blank are letters and marks that show nothing, or that pile upon their neighbours.
func blank(r rune) bool {
	return unicode.Is(unicode.M, r) || r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0' || r == '\u2800' || r == unicode.ReplacementChar
}

// QuoteShell makes one argument of any string for a POSIX shell.
func QuoteShell(s string) string {
	if bare.MatchString(s) {
		return s
	}
	if !strings.ContainsFunc(s, unseen) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for _, c := range []byte(s) {
		switch {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
