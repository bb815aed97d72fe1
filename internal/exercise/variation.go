package exercise

import (
	"path"
	"strings"
)

// varies says whether the next planted row is written in an unusual way.
func (h *host) varies() bool {
	switch h.o.Variation {
	case VaryAll:
		return true
	case VaryNone:
		return false
	}
	return h.plan.share(0.35)
}

// target is the request to the back end inside a routing value, in the parts that
// can be written in different ways. What is between them, such as the canary of a
// session, must stay as it is.
type target struct {
	prefix, host, path, query, tail string
}

func (t target) String() string { return t.prefix + t.host + t.path + t.query + t.tail }

// varied writes the same target in an unusual way and says which.
func (t target) varied(c *chance) (target, []string) {
	how := c.one("case", "percent", "double-percent", "backslash", "double-slash", "case+percent")
	switch how {
	case "case":
		t.prefix, t.host, t.path, t.query = anyCase(c, t.prefix), anyCase(c, t.host), anyCase(c, t.path), anyCaseOfNames(c, t.query)
	case "percent":
		t.path = escaped(c, t.path)
	case "double-percent":
		t.path = strings.ReplaceAll(escaped(c, t.path), "%", "%25")
	case "backslash":
		t.path = strings.ReplaceAll(t.path, "/", `\`)
	case "double-slash":
		t.path = t.path[:1] + strings.ReplaceAll(t.path[1:], "/", "//")
	case "case+percent":
		t.prefix, t.path = anyCase(c, t.prefix), escaped(c, anyCase(c, t.path))
		return t, []string{"case", "percent"}
	}
	return t, []string{how}
}

// variedStem writes a path of the front end in an unusual way. Only ways that the
// web server itself answers are used, and that its log keeps.
func variedStem(c *chance, stem string) (string, []string) {
	switch how := c.one("case", "double-slash", "double-percent"); how {
	case "double-slash":
		i := strings.LastIndexByte(stem, '/')
		return stem[:i] + "/" + stem[i:], []string{how}
	case "double-percent":
		// Of the escape %25xx the server undoes one half before it logs.
		i := strings.LastIndexByte(stem, '/') + 1
		return stem[:i] + escapedByte(stem[i]) + stem[i+1:], []string{how}
	default:
		return anyCase(c, stem), []string{how}
	}
}

// anyCase gives each letter a case by chance, some of them the other one.
func anyCase(c *chance, s string) string {
	b := []byte(s)
	for i, ch := range b {
		if c.n(2) == 0 {
			continue
		}
		switch {
		case ch >= 'a' && ch <= 'z':
			b[i] = ch - 'a' + 'A'
		case ch >= 'A' && ch <= 'Z':
			b[i] = ch - 'A' + 'a'
		}
	}
	return string(b)
}

// anyCaseOfNames is anyCase for a query whose canary stays as it is.
func anyCaseOfNames(c *chance, query string) string {
	i := strings.Index(query, "schema=")
	if i < 0 {
		return query
	}
	return query[:i] + anyCase(c, query[i:])
}

// escaped percent-escapes every slash and some of the letters.
func escaped(c *chance, s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] == '/' || s[i] == '.' || c.n(4) == 0 {
			b.WriteString(escapedByte(s[i]))
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func escapedByte(c byte) string { return "%" + string(lowerHex[c>>4]) + string(lowerHex[c&15]) }

// variedRow has the row of a request written with quotes around some of its cells,
// or in a file with its columns in another order.
func (h *host) variedRow(r *request) (how []string) {
	c := h.plan
	if c.n(2) == 0 {
		r.quote = map[int]bool{cellAgent: true, cellAnchor: true, cellHint: c.n(2) == 0, cellClientRequest: c.n(2) == 0}
		how = append(how, "quoted")
	}
	if c.n(3) == 0 {
		h.shuffle(path.Join(h.exchange(), "Logging/HttpProxy", protocols[r.proto]), r.at/hour)
		how = append(how, "columns")
	}
	return how
}

// shuffle has the file of a log for one of its periods written with its columns
// in another order.
func (h *host) shuffle(dir string, period int64) {
	if h.odd[dir] == nil {
		h.odd[dir] = map[int64]bool{}
	}
	h.odd[dir][period] = true
}

// variedPath writes a Windows path in an unusual way.
func variedPath(c *chance, p string) (string, []string) {
	how := c.one("case", "slash", "8.3", "dots", "verbatim", "share")
	switch how {
	case "case":
		p = anyCase(c, p)
	case "slash":
		p = strings.ReplaceAll(p, `\`, "/")
	case "8.3":
		p = strings.Replace(p, `\aspnet_client\`, `\ASPNET~1\`, 1)
	case "dots":
		i := strings.LastIndexByte(p, '\\')
		p = p[:i] + `\system_web\..` + p[i:]
	case "verbatim":
		p = `\\?\` + p
	case "share":
		p = `\\localhost\` + strings.ToLower(p[:1]) + `$` + p[2:]
	}
	return p, []string{how}
}
