package report

import (
	"net/netip"
	"regexp"
	"strings"
)

// link finds what mail programs, terminals and office programs make into a
// link: a scheme with an authority, or a name that begins with www.
var link = regexp.MustCompile(`(?i)\b(?:https?|ftps?|wss?)://([^\s/?#"'<>\\]*)|\bwww\.[^\s/?#"'<>\\]*`)

// number finds what may be an address of version 4 or 6. What it finds too much
// is refused when it is parsed.
var number = regexp.MustCompile(`[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}`)

// Defang makes links and public addresses in a sentence or an excerpt unusable
// by a careless click and still readable: hxxp://evil[.]example/, 203[.]0[.]113[.]5.
// Numbers with dots that a reader must not mistake, such as the host's own build,
// are named in keep. Private and loopback addresses stay, and so do versions of
// programs such as Chrome/103.0.0.0.
func Defang(s string, keep ...string) string {
	if !strings.ContainsAny(s, ".:") {
		return s
	}
	s = link.ReplaceAllStringFunc(s, func(m string) string {
		scheme, rest, ok := strings.Cut(m, "://")
		if !ok {
			return brackets(m)
		}
		return defangScheme(scheme) + "://" + brackets(rest)
	})
	return defangNumbers(s, keep)
}

func defangScheme(s string) string {
	if s[0]|0x20 == 'h' {
		return s[:1] + "xx" + s[3:]
	}
	return s[:1] + "x" + s[2:]
}

func defangNumbers(s string, keep []string) string {
	var b strings.Builder
	last := 0
	for _, at := range number.FindAllStringIndex(s, -1) {
		from, to := at[0], at[1]
		if inWord(s, from, to) || product(s, from) {
			continue
		}
		b.WriteString(s[last:from])
		b.WriteString(defangNumber(s[from:to], keep))
		last = to
	}
	if last == 0 {
		return s
	}
	b.WriteString(s[last:])
	return b.String()
}

// inWord says whether the number is part of a longer word or number.
func inWord(s string, from, to int) bool {
	letter := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
	}
	if from > 0 && (letter(s[from-1]) || s[from-1] == '.') {
		return true
	}
	after := s[to:]
	return after != "" && (letter(after[0]) || len(after) > 1 && after[0] == '.' && letter(after[1]))
}

// product says whether the number is the version in Name/1.2.3.4.
func product(s string, from int) bool {
	if from < 2 || s[from-1] != '/' {
		return false
	}
	c := s[from-2] | 0x20
	return c >= 'a' && c <= 'z'
}

func defangNumber(s string, keep []string) string {
	for _, k := range keep {
		if k != "" && s == k {
			return s
		}
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	if addr.IsPrivate() || addr.IsLoopback() || addr.IsUnspecified() || addr.IsLinkLocalUnicast() {
		return s
	}
	return brackets(s)
}

// DefangHost is Defang for a value that is an address or the name of a machine,
// private ones too. One that is only good on its own cable leads nowhere and stays.
func DefangHost(s string) string {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Unmap().IsLinkLocalUnicast() {
		return s
	}
	if strings.Contains(s, "://") {
		return Defang(s)
	}
	return brackets(s)
}

func brackets(s string) string {
	if strings.Count(s, ":") > 1 {
		s = strings.ReplaceAll(s, ":", "[:]")
	}
	return strings.ReplaceAll(s, ".", "[.]")
}
