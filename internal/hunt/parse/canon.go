package parse

import (
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"postern"
)

// maxDecodes is how often percent escapes are undone: twice is seen in attacks
// that pass two servers; a third time costs nothing.
const maxDecodes = 3

// URL gives the canonical form of a request target: percent escapes undone up to
// three times, lower case, '\' as '/', doubled slashes, dots and 8.3 names resolved
// in the path. The query keeps its order; its '+' are left alone.
func URL(s string) string {
	s = Lower(Decode(s))
	path, query, has := strings.Cut(s, "?")
	path = strings.ReplaceAll(path, `\`, "/")
	origin := ""
	if i := strings.Index(path, "://"); i > 0 && !strings.Contains(path[:i], "/") {
		i += len("://")
		host, _, _ := strings.Cut(path[i:], "/")
		origin, path = path[:i]+host, path[i+len(host):]
	}
	path = origin + resolve(longNames(path))
	if !has {
		return path
	}
	return path + "?" + query
}

// Decode undoes percent escapes, %XX and %uXXXX, until none is left or three
// times. Escapes that are none stay as they are.
func Decode(s string) string {
	for range maxDecodes {
		next := decodeOnce(s)
		if next == s {
			break
		}
		s = next
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

func decodeOnce(s string) string {
	first := strings.IndexByte(s, '%')
	if first < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	out = append(out, s[:first]...)
	for i := first; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if v, ok := hex(s, i+1, 2); ok {
			out = append(out, byte(v))
			i += 2
		} else if v, ok := uEscape(s, i); ok {
			out = utf8.AppendRune(out, v)
			i += 5
		} else {
			out = append(out, '%')
		}
	}
	return string(out)
}

func uEscape(s string, i int) (rune, bool) {
	if i+1 >= len(s) || s[i+1] != 'u' && s[i+1] != 'U' {
		return 0, false
	}
	v, ok := hex(s, i+2, 4)
	return rune(v), ok
}

func hex(s string, at, digits int) (v int, ok bool) {
	if at+digits > len(s) {
		return 0, false
	}
	for _, c := range []byte(s[at : at+digits]) {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | int(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | int(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | int(c-'A'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// Lower folds ASCII letters only: a Kelvin sign is no k to a file system, and a
// gate over raw bytes could not foresee that it becomes one.
func Lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// resolve takes doubled slashes, "." and ".." out of a path with '/'. It never
// climbs above the beginning, as no server does.
func resolve(p string) string {
	if !strings.Contains(p, "//") && !strings.Contains(p, "/.") && !strings.HasPrefix(p, ".") {
		return p
	}
	rooted := strings.HasPrefix(p, "/")
	var kept []string
	for part := range strings.SplitSeq(p, "/") {
		switch part {
		case "", ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, part)
		}
	}
	out := strings.Join(kept, "/")
	if rooted {
		out = "/" + out
	}
	return out
}

// shortNames are the 8.3 names of the folders that matter here, as Windows
// makes them for the first folder of such a name.
var shortNames = map[string]string{
	"progra~1": "program files", "micros~1": "microsoft", "exchan~1": "exchange server",
	"fronte~1": "frontend", "httppr~1": "httpproxy", "client~1": "clientaccess",
	"aspnet~1": "aspnet_client", "progra~3": "programdata", "progra~2": "program files (x86)",
}

// longNames puts the names of folders for their 8.3 names.
func longNames(p string) string {
	if !strings.Contains(p, "~") {
		return p
	}
	parts := strings.Split(p, "/")
	for i, part := range parts {
		if long, ok := shortNames[part]; ok {
			parts[i] = long
		}
	}
	return strings.Join(parts, "/")
}

// ShortForms gives every spelling with 8.3 names under which a literal may stand
// in a row, if it stands in a canonical path or URL of that row. A literal may begin or
// end within a name. The empty spelling says that there are too many.
func ShortForms(literal string) []string {
	const most = 64 // two names of folders, each begun or ended anywhere, have fewer
	parts := strings.Split(literal, "/")
	forms := []string{""}
	for i, part := range parts {
		var next []string
		for _, name := range spellings(part, i > 0, i < len(parts)-1) {
			for _, f := range forms {
				if i > 0 {
					f += "/"
				}
				next = append(next, f+name)
			}
		}
		if forms = next; len(forms) > most {
			return []string{""}
		}
	}
	return forms[1:] // the first is the literal itself
}

// spellings gives a part of a literal, and the 8.3 names that stand for a name
// which has it as its beginning, end or middle but do not have it themselves. From
// and to say whether the part begins and ends where the name does.
func spellings(part string, from, to bool) []string {
	within := func(name string) bool {
		switch {
		case from && to:
			return name == part
		case from:
			return strings.HasPrefix(name, part)
		case to:
			return strings.HasSuffix(name, part)
		}
		return strings.Contains(name, part)
	}
	all := []string{part}
	for short, long := range shortNames {
		if within(long) && !within(short) {
			all = append(all, short)
		}
	}
	slices.Sort(all[1:])
	return all
}

// ServerPath gives the canonical form of a path on a Windows server: lower case,
// '/', no device or administrative-share prefix, dots and 8.3 names resolved, no
// trailing dots or spaces or stream names, as Windows itself ignores them. A path on
// another share keeps its two slashes.
func ServerPath(s string) string {
	p := Lower(strings.Trim(Decode(strings.TrimSpace(s)), `"'`))
	p = strings.ReplaceAll(p, `\`, "/")
	for _, prefix := range []string{"//?/unc/", "//?/", "//./", "/??/"} {
		if rest, ok := strings.CutPrefix(p, prefix); ok {
			p = rest
			if prefix == "//?/unc/" {
				p = "//" + rest
			}
			break
		}
	}
	root := "" // what dots cannot climb above
	if host, ok := strings.CutPrefix(p, "//"); ok {
		name, rest, _ := strings.Cut(host, "/")
		if len(rest) >= 2 && rest[1] == '$' && (len(rest) == 2 || rest[2] == '/') {
			p = rest[:1] + ":" + rest[2:] // \\server\c$\x is C:\x of that server
		} else {
			root, p = "//"+name+"/", rest
		}
	}
	if len(p) >= 2 && p[1] == ':' && (len(p) == 2 || p[2] == '/') {
		root, p = p[:2], p[2:]
	}
	parts := strings.Split(p, "/")
	for i, part := range parts {
		if name, _, ok := strings.Cut(part, ":"); ok && len(name) > 1 {
			part = name
		}
		if part != "." && part != ".." {
			part = strings.TrimRight(part, ". ")
		}
		parts[i] = part
	}
	return root + resolve(longNames(strings.Join(parts, "/")))
}

// Blob reads the "key=value;" text of EventData and GenericInfo columns: pairs
// parted by ';', a type before the key ("S:", "I32:", "Dbl:", "F:"), and a whole
// pair in single quotes, its own quotes doubled, where the value holds one of
// these signs.
func Blob(s string) []postern.Field {
	const maxPairs = 4096 // the longest real blob has under 200
	var pairs []postern.Field
	for len(s) > 0 && len(pairs) < maxPairs {
		var pair string
		if s[0] == '\'' {
			pair, s = singleQuoted(s)
			s = strings.TrimPrefix(s, ";")
		} else {
			pair, s = bare(s)
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			continue
		}
		if kind, rest, ok := strings.Cut(name, ":"); ok && len(kind) <= 4 {
			name = rest
		}
		pairs = append(pairs, postern.Field{Name: strings.TrimSpace(name), Value: value})
	}
	return pairs
}

// bare takes a pair without quotes around it off the beginning of s. A ';' inside
// a value in quotes, Name='…', does not end it.
func bare(s string) (pair, rest string) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == ';':
			return s[:i], s[i+1:]
		case s[i] == '\'' && i > 0 && s[i-1] == '=':
			if end := valueEnd(s[i+1:]); end >= 0 {
				i += 1 + end
			}
		}
	}
	return s, ""
}

// valueEnd gives the index of the quote that closes a value: one that the next
// value's name or the next pair follows, or nothing. -1 if there is none.
func valueEnd(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		rest := s[i+1:]
		if kind, _, ok := strings.Cut(rest, ":"); ok && len(kind) > 1 && len(kind) <= 5 && kind[0] == ';' {
			return i
		}
		if rest == "" || rest == ";" || rest[0] == '.' || rest[0] == '|' {
			return i
		}
	}
	return -1
}

// singleQuoted takes 'a”b' off the beginning of s as a'b. Without a closing quote the
// rest is the value: a cut row is still evidence.
func singleQuoted(s string) (value, rest string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), s[i+1:]
	}
	return b.String(), ""
}

// UserAgent gives one form to an agent that HttpProxy writes with two spaces for a
// comma, IIS with '+' for a space, and the wire as it is.
func UserAgent(s string) string {
	s = strings.ReplaceAll(s, "+", " ")
	s = strings.ReplaceAll(s, ",", " ")
	return Lower(strings.Join(strings.Fields(s), " "))
}

// Address gives the first address in a list of them, parted by commas, blanks or
// '+', as proxies make it: without port, "" if there is none.
func Address(s string) string {
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(", +;", r) }) {
		if a, err := netip.ParseAddr(strings.Trim(part, "[]")); err == nil {
			return a.Unmap().String()
		}
		if a, err := netip.ParseAddrPort(part); err == nil {
			return a.Addr().Unmap().String()
		}
	}
	return ""
}

// Add appends derived fields that have a value.
func Add(ev *postern.Event, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			ev.Derived = append(ev.Derived, postern.Field{Name: pairs[i], Value: pairs[i+1]})
		}
	}
}

// Parameter gives the value of a query parameter as it was written, "" if it is
// not there. Names compare without case.
func Parameter(target, name string) string {
	_, query, ok := strings.Cut(target, "?")
	if !ok {
		return ""
	}
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == '#' || r == ';' }) {
		if k, v, ok := strings.Cut(pair, "="); ok && strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// Arguments gives what a client put into a query, without the tokens that
// Exchange adds to the log of every request.
func Arguments(query string) string {
	var kept []string
	for pair := range strings.SplitSeq(strings.TrimPrefix(query, "?"), "&") {
		name, value, _ := strings.Cut(pair, "=")
		if !added(Lower(strings.Trim(name, "; ")), strings.Trim(value, "; {}")) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// added says whether a pair of a query is one that Exchange adds: such a name with
// nothing or an identifier behind it. Under the same name a client could send anything.
func added(name, value string) bool {
	switch name {
	case "":
		return value == ""
	case "correlationid", "cafereqid", "encoding", "clientid", "requestid", "clientrequestid", "actid":
	default:
		return false
	}
	if value == "" || value == "<empty>" {
		return true
	}
	for _, c := range []byte(value) {
		if c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(value) >= 16 && len(value) <= 64
}
