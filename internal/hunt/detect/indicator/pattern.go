package indicator

import (
	"slices"
	"strconv"
	"strings"

	"postern"
)

// Bounds of patterns.
const (
	// maxPattern is the longest pattern that is taken apart.
	maxPattern = 64 << 10
	// maxAlternatives is how many conjunctions one pattern may come to when it is
	// multiplied out.
	maxAlternatives = 1000
	// maxNesting of brackets.
	maxNesting = 50
)

// alternative is conditions that must hold together, of one file or one row.
type alternative []Condition

// refused is why a pattern, or a definition of OpenIOC, is not compared with.
type refused struct{ why postern.Text }

func (r *refused) Error() string { return r.why.Key }

// catalogue: indicator.why.*
func refuse(key string, pairs ...any) *refused { return &refused{postern.Say(key, pairs...)} }

// or and and multiply out.
func or(a, b []alternative) []alternative { return append(a, b...) }

func and(a, b []alternative) ([]alternative, *refused) {
	if len(a)*len(b) > maxAlternatives {
		return nil, refuse("indicator.why.alternatives", "bound", maxAlternatives)
	}
	var all []alternative
	for _, x := range a {
		for _, y := range b {
			all = append(all, append(append(alternative(nil), x...), y...))
		}
	}
	return all, nil
}

// strength orders the kinds by how much a value says: the best one of a conjunction is
// looked up, the others are asked of what it finds.
var strength = map[postern.IndicatorKind]int{
	postern.IndicatorSHA256: 9, postern.IndicatorSHA1: 8, postern.IndicatorMD5: 7, postern.IndicatorPath: 6, postern.IndicatorURL: 5,
	postern.IndicatorParameter: 4, postern.IndicatorFileName: 4, postern.IndicatorDomain: 3, postern.IndicatorUserAgent: 2, postern.IndicatorAddress: 1,
}

// entries makes the entries of alternatives, or says why one cannot be compared with.
func entries(all []alternative, about About) ([]Entry, *refused) {
	var list []Entry
	for _, a := range all {
		a, r := joined(a)
		if r != nil {
			return nil, r
		}
		best := -1
		file, row := false, false
		for i, c := range a {
			if c.Size > 0 {
				file = true
				continue
			}
			switch c.Kind {
			case postern.IndicatorSHA256, postern.IndicatorSHA1, postern.IndicatorMD5, postern.IndicatorPath, postern.IndicatorFileName:
				file = true
			default:
				row = true
			}
			if c.test == nil && (best < 0 || strength[c.Kind] > strength[a[best].Kind]) {
				best = i
			}
		}
		if file && row {
			return nil, refuse("indicator.why.mixed")
		}
		if best < 0 {
			e, r := a.unlisted(row, about)
			if r != nil {
				return nil, r
			}
			list = append(list, e)
			continue
		}
		e := Entry{Kind: a[best].Kind, Value: a[best].Value, About: about}
		for i, c := range a {
			if i == best {
				continue
			}
			e.And = append(e.And, c)
			if c.Size > 0 {
				e.Size = c.Size
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// unlisted makes the entry of an alternative of which nothing can be looked up as it
// stands. Of a row, a domain has to be found in it; every file is asked.
func (a alternative) unlisted(row bool, about About) (Entry, *refused) {
	says := -1
	for i, c := range a {
		if c.test != nil && !c.test.not {
			says = i
		}
	}
	switch {
	case says < 0 && slices.ContainsFunc(a, func(c Condition) bool { return c.test != nil }):
		return Entry{}, refuse("indicator.why.only-not")
	case row:
		c, r := a.lookup()
		return Entry{Kind: c.Kind, Value: c.Value, And: a, About: about}, r
	case says >= 0:
		return Entry{Kind: a[says].Kind, Value: a[says].Value, And: a, Scan: true, About: about}, nil
	}
	return Entry{}, refuse("indicator.why.size-alone")
}

// joined puts the name of a file behind the folder that it must lie in.
func joined(a alternative) (alternative, *refused) {
	folder, name := -1, -1
	for i, c := range a {
		switch {
		case c.test != nil:
		case c.Kind == postern.IndicatorPath && strings.HasSuffix(c.Value, "/"):
			folder = i
		case c.Kind == postern.IndicatorFileName:
			name = i
		}
	}
	if folder < 0 || name < 0 {
		return a, nil
	}
	path := Condition{Kind: postern.IndicatorPath, Value: a[folder].Value + a[name].Value}
	out := alternative{path}
	for i, c := range a {
		if i != folder && i != name {
			out = append(out, c)
		}
	}
	return out, nil
}

// parsePattern takes a STIX pattern apart, as section 9 of STIX 2.1 defines them: of it
// comparisons with =, !=, IN, LIKE and MATCHES, also with NOT, networks with ISSUBSET, AND
// and OR inside of an observation, and OR between observations.
func parsePattern(s string) ([]alternative, *refused) {
	if len(s) > maxPattern {
		return nil, refuse("indicator.why.long", "bound", maxPattern>>10)
	}
	tokens, r := tokenize(s)
	if r != nil {
		return nil, r
	}
	p := &pattern{tokens: tokens}
	all, r := p.observations(0)
	if r == nil && p.at < len(p.tokens) {
		r = refuse("indicator.why.syntax", "at", p.peek().text)
	}
	if r != nil {
		return nil, r
	}
	return all, nil
}

type token struct {
	text   string
	quoted bool
}

func (t token) is(word string) bool { return !t.quoted && strings.EqualFold(t.text, word) }

// tokenize parts a pattern into words, strings and signs.
func tokenize(s string) ([]token, *refused) {
	var all []token
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case c == '\'':
			text, n, ok := quoted(s[i:])
			if !ok {
				return nil, refuse("indicator.why.syntax", "at", cut(s[i:], 20))
			}
			all = append(all, token{text, true})
			i += n
		case strings.IndexByte("[](),", c) >= 0:
			all = append(all, token{text: s[i : i+1]})
			i++
		case strings.IndexByte("=<>!", c) >= 0:
			n := 1
			for i+n < len(s) && strings.IndexByte("=<>", s[i+n]) >= 0 {
				n++
			}
			all = append(all, token{text: s[i : i+n]})
			i += n
		default: // a word; an object path has quoted parts in it
			n := 0
			for i+n < len(s) && strings.IndexByte(" \t\r\n(),=<>!]", s[i+n]) < 0 {
				if s[i+n] == '[' { // an index: refs[*]
					if end := strings.IndexByte(s[i+n:], ']'); end > 0 {
						n += end
					}
				}
				if s[i+n] == '\'' {
					_, m, ok := quoted(s[i+n:])
					if !ok {
						return nil, refuse("indicator.why.syntax", "at", cut(s[i+n:], 20))
					}
					n += m
					continue
				}
				n++
			}
			if n == 0 {
				return nil, refuse("indicator.why.syntax", "at", cut(s[i:], 20))
			}
			all = append(all, token{text: s[i : i+n]})
			i += n
		}
	}
	return all, nil
}

// quoted reads a string in single quotes, in which a backslash takes what follows it
// as it is.
func quoted(s string) (text string, n int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i+1 < len(s) {
				i++
				b.WriteByte(s[i])
			}
		case '\'':
			return b.String(), i + 1, true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, false
}

type pattern struct {
	tokens []token
	at     int
}

func (p *pattern) peek() token {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return token{}
}

func (p *pattern) take(word string) bool {
	if p.at < len(p.tokens) && p.peek().is(word) {
		p.at++
		return true
	}
	return false
}

// observations reads observations with OR between them.
func (p *pattern) observations(depth int) ([]alternative, *refused) {
	all, r := p.observation(depth)
	for r == nil && p.at < len(p.tokens) && !p.peek().is(")") {
		switch t := p.peek(); {
		case p.take("OR"):
			var more []alternative
			if more, r = p.observation(depth); r == nil {
				all = or(all, more)
			}
		case t.is("AND"), t.is("FOLLOWEDBY"), t.is("WITHIN"), t.is("REPEATS"), t.is("START"):
			r = refuse("indicator.why.several", "word", strings.ToUpper(t.text))
		default:
			r = refuse("indicator.why.syntax", "at", t.text)
		}
		if len(all) > maxAlternatives {
			r = refuse("indicator.why.alternatives", "bound", maxAlternatives)
		}
	}
	return all, r
}

func (p *pattern) observation(depth int) (all []alternative, r *refused) {
	if depth > maxNesting {
		return nil, refuse("indicator.why.nested", "bound", maxNesting)
	}
	end := ")"
	switch {
	case p.take("("):
		all, r = p.observations(depth + 1)
	case p.take("["):
		end = "]"
		all, r = p.expression(depth + 1)
	default:
		return nil, refuse("indicator.why.syntax", "at", p.peek().text)
	}
	if r == nil && !p.take(end) {
		r = refuse("indicator.why.syntax", "at", p.peek().text)
	}
	return all, r
}

// expression reads comparisons; AND binds more tightly than OR.
func (p *pattern) expression(depth int) ([]alternative, *refused) {
	all, r := p.term(depth)
	for r == nil && p.take("OR") {
		var more []alternative
		if more, r = p.term(depth); r == nil {
			if all = or(all, more); len(all) > maxAlternatives {
				r = refuse("indicator.why.alternatives", "bound", maxAlternatives)
			}
		}
	}
	return all, r
}

func (p *pattern) term(depth int) ([]alternative, *refused) {
	all, r := p.factor(depth)
	for r == nil && p.take("AND") {
		var more []alternative
		if more, r = p.factor(depth); r == nil {
			all, r = and(all, more)
		}
	}
	return all, r
}

func (p *pattern) factor(depth int) ([]alternative, *refused) {
	if depth > maxNesting {
		return nil, refuse("indicator.why.nested", "bound", maxNesting)
	}
	if p.take("(") {
		all, r := p.expression(depth + 1)
		if r == nil && !p.take(")") {
			r = refuse("indicator.why.syntax", "at", p.peek().text)
		}
		return all, r
	}
	return p.comparison()
}

func (p *pattern) comparison() ([]alternative, *refused) {
	path := p.peek()
	if path.quoted || !strings.Contains(path.text, ":") {
		return nil, refuse("indicator.why.syntax", "at", path.text)
	}
	p.at++
	not := p.take("NOT")
	op := p.peek()
	p.at++
	if op.is("!=") || op.is("<>") {
		op, not = token{text: "="}, !not
	}
	var values []string
	switch {
	case op.is("="), op.is("=="), op.is("ISSUBSET") && !not, op.is("LIKE"), op.is("MATCHES"):
		values = append(values, p.peek().text)
		p.at++
	case op.is("IN"):
		if !p.take("(") {
			return nil, refuse("indicator.why.syntax", "at", p.peek().text)
		}
		for {
			values = append(values, p.peek().text)
			if p.at++; p.take(",") {
				continue
			}
			break
		}
		if !p.take(")") {
			return nil, refuse("indicator.why.syntax", "at", p.peek().text)
		}
	default:
		return nil, refuse("indicator.why.comparison", "word", cut(strings.ToUpper(op.text), 40))
	}
	if p.at > len(p.tokens) {
		return nil, refuse("indicator.why.syntax", "at", "")
	}
	var all []alternative
	for _, v := range values {
		c, r := condition0(path.text, v, op)
		if r == nil && !op.is("ISSUBSET") {
			c, r = c.asked(operators[strings.ToLower(op.text)], not)
		}
		switch {
		case r != nil:
			return nil, r
		case not && len(all) > 0: // none of them
			all[0] = append(all[0], c)
		default:
			all = append(all, alternative{c})
		}
	}
	if not && len(all[0]) > maxAlternatives {
		return nil, refuse("indicator.why.alternatives", "bound", maxAlternatives)
	}
	if len(all) > maxAlternatives {
		return nil, refuse("indicator.why.alternatives", "bound", maxAlternatives)
	}
	return all, nil
}

// pathCleaner takes away what object paths may be written with or without.
var pathCleaner = strings.NewReplacer("'", "", `"`, "", "-", "")

// condition0 says what a comparison with an object path of STIX is about.
func condition0(path, value string, op token) (Condition, *refused) {
	subset, expression := op.is("ISSUBSET"), op.is("MATCHES")
	p := strings.ToLower(pathCleaner.Replace(path))
	is := func(k postern.IndicatorKind) (Condition, *refused) {
		if subset && k != postern.IndicatorAddress {
			return Condition{}, refuse("indicator.why.comparison", "word", "ISSUBSET")
		}
		return Condition{Kind: k, Value: value}, nil
	}
	folder := func() (Condition, *refused) {
		if !expression { // there, a backslash parts nothing
			value = strings.TrimRight(strings.ReplaceAll(value, `\`, "/"), "/") + "/"
		}
		c, r := is(postern.IndicatorPath)
		c.folder = true
		return c, r
	}
	object, property, _ := strings.Cut(p, ":")
	switch object {
	case "file", "artifact", "process":
		property = strings.TrimPrefix(strings.TrimPrefix(property, "image_ref."), "binary_ref.")
		switch {
		case property == "hashes.sha256":
			return is(postern.IndicatorSHA256)
		case property == "hashes.sha1":
			return is(postern.IndicatorSHA1)
		case property == "hashes.md5":
			return is(postern.IndicatorMD5)
		case property == "name":
			if strings.ContainsAny(value, `/\`) && !expression {
				return is(postern.IndicatorPath)
			}
			return is(postern.IndicatorFileName)
		case property == "parent_directory_ref.path":
			return folder()
		case property == "size" && object == "file":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n <= 0 {
				return Condition{}, refuse("indicator.why.path", "path", cut(path, 120))
			}
			return Condition{Size: n}, nil
		}
	case "directory":
		if property == "path" {
			return folder()
		}
	case "ipv4addr", "ipv6addr":
		if property == "value" {
			return is(postern.IndicatorAddress)
		}
	case "domainname":
		switch property {
		case "value":
			return is(postern.IndicatorDomain)
		case "resolves_to_refs[*].value":
			return is(postern.IndicatorAddress)
		}
	case "url":
		if property == "value" {
			return is(postern.IndicatorURL)
		}
	case "useragent":
		return is(postern.IndicatorUserAgent)
	case "networktraffic":
		switch {
		case property == "src_ref.value", property == "dst_ref.value":
			if _, ok := appendAddress(nil, value); ok {
				return is(postern.IndicatorAddress)
			}
			return is(postern.IndicatorDomain)
		case strings.HasPrefix(property, "extensions.httprequestext."):
			switch rest := strings.TrimPrefix(property, "extensions.httprequestext."); rest {
			case "request_header.useragent":
				return is(postern.IndicatorUserAgent)
			case "request_header.host":
				return is(postern.IndicatorDomain)
			case "request_value":
				return is(postern.IndicatorURL)
			}
		}
	}
	return Condition{}, refuse("indicator.why.path", "path", cut(path, 120))
}
