package indicator

import (
	"path"
	"regexp"
	"strings"

	"postern"
)

// Bounds of comparisons that cannot be looked up.
const (
	// maxExpression is the longest expression, in bytes: they run in linear time, on values
	// of at most maxValue.
	maxExpression = 1 << 10
	// maxScans bounds the comparisons that every file is asked, at some 100 ns each: a
	// feed has a handful.
	maxScans = 200
)

// operator is how a value is compared.
type operator uint8

const (
	equals  operator = iota
	like             // with % for any text and _ for one character
	matches          // an expression
	contains
	beginning
	ending
)

// test is a comparison that is asked of a value, instead of being looked up.
type test struct {
	op     operator
	text   string // as it is compared: lower case, '/' in paths
	re     *regexp.Regexp
	folder bool // of the folder that a file lies in
	not    bool // it holds where the value is there and another
}

// operators by their names in STIX and OpenIOC.
var operators = map[string]operator{
	"=": equals, "==": equals, "in": equals, "like": like, "matches": matches,
	"is": equals, "contains": contains, "starts-with": beginning, "ends-with": ending,
}

// asked makes a condition one that is asked of values. Kinds that have no text, and
// expressions that are none, are refused.
func (c Condition) asked(op operator, not bool) (Condition, *refused) {
	if c.Size > 0 && op == equals && !not {
		return c, nil
	}
	t := &test{op: op, not: not, folder: c.folder}
	switch c.Kind {
	case postern.IndicatorPath, postern.IndicatorFileName, postern.IndicatorURL, postern.IndicatorDomain, postern.IndicatorUserAgent:
	default: // a hash or an address has no parts
		if op == contains {
			op = equals
		}
		if op != equals || c.Size > 0 { // the sizes that a file does not have say nothing
			return c, refuse("indicator.why.no-text", "word", string(c.Kind))
		}
	}
	if t.op = op; op == equals && !not {
		return c, nil
	}
	if op == matches {
		if len(c.Value) > maxExpression {
			return c, refuse("indicator.why.expression", "what", cut(c.Value, 80))
		}
		re, err := regexp.Compile("(?is)" + c.Value)
		if err != nil {
			return c, refuse("indicator.why.expression", "what", cut(c.Value, 80))
		}
		t.re = re
	} else if t.text = comparable0(c.Kind, c.Value, op); strings.Trim(t.text, "%_/") == "" && op != equals {
		return c, refuse("indicator.why.anything", "what", cut(c.Value, 80))
	} else if !askable(c.Kind, t.text, op) {
		return c, refuse("indicator.why.letters", "what", cut(c.Value, 80))
	}
	c.test = t
	return c, nil
}

// comparable0 brings a text with wildcards, or a part of one, into the form in which
// values of a kind are compared.
func comparable0(k postern.IndicatorKind, v string, op operator) string {
	switch k {
	case postern.IndicatorPath:
		return strings.TrimSuffix(serverPath(v), "/")
	case postern.IndicatorUserAgent:
		return string(appendAgent(nil, v))
	case postern.IndicatorURL:
		v = string(appendLower(nil, v))
		if _, rest, scheme := strings.Cut(v, "://"); scheme {
			v = rest
		}
		if host, whole := hostIn(v, op); whole {
			v = askedLabels(host) + v[len(host):]
		}
		return v
	case postern.IndicatorDomain:
		if v = strings.ToLower(v); op == equals || op == like {
			v = askedLabels(v)
		}
		return v
	}
	return strings.ToLower(v)
}

// hostIn gives what of a URL's text with wildcards, or of a part of one, is of its host
// for sure, and whether that is all of the host.
func hostIn(text string, op operator) (host string, whole bool) {
	if op == contains || op == ending {
		return "", false
	}
	if host, _, whole = strings.Cut(text, "/"); !whole && op == like {
		host = host[:strings.IndexAny(host+"%", "%_")]
	}
	return host, whole
}

// askable says whether there can be a value that the text holds of: names of hosts have
// no letters but those of ASCII.
func askable(k postern.IndicatorKind, text string, op operator) bool {
	switch k {
	case postern.IndicatorDomain:
		return isASCII(text)
	case postern.IndicatorURL:
		host, _ := hostIn(text, op)
		return isASCII(host)
	}
	return true
}

// askedLabels is asked of a name of which labels have wildcards: those are parts of
// labels, which have no form of their own, and stay as they are.
func askedLabels(name string) string {
	labels := strings.Split(name, ".")
	for i := range labels {
		labels[i] = asked(labels[i])
	}
	return strings.Join(labels, ".")
}

// holds says whether a value, in the form in which its kind is compared, passes.
func (t *test) holds(k kind, value string) bool {
	return t.any(k, value) != t.not
}

func (t *test) any(k kind, value string) bool {
	if t.op != matches {
		return t.one(value) || k == kindPath && t.one("/"+value)
	}
	switch k {
	case kindPath: // as Windows writes it; the drive is not known
		windows := strings.ReplaceAll(value, "/", `\`)
		return t.re.MatchString(`c:\`+windows) || t.re.MatchString(windows) || t.re.MatchString(value)
	case kindURL: // with a scheme, which logs do not tell
		return t.re.MatchString(value) || t.re.MatchString("http://"+value) || t.re.MatchString("https://"+value)
	}
	return t.re.MatchString(value)
}

func (t *test) one(value string) bool {
	switch t.op {
	case like:
		return wild(t.text, value)
	case contains:
		return strings.Contains(value, t.text)
	case beginning:
		return strings.HasPrefix(value, t.text)
	case ending:
		return strings.HasSuffix(value, t.text)
	}
	return value == t.text
}

// wild compares a value with a text in which % stands for any text and _ for one
// character. It takes at most as many steps as both lengths multiplied.
func wild(text, value string) bool {
	p, v, star, mark := 0, 0, -1, 0
	for v < len(value) {
		switch {
		case p < len(text) && text[p] == '%':
			star, mark = p, v
			p++
		case p < len(text) && (text[p] == '_' || text[p] == value[v]):
			p, v = p+1, v+1
		case star >= 0:
			mark++
			p, v = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(text[p:], "%") == ""
}

// holdsFile says whether a file passes.
func (c *condition) holdsFile(server string) bool {
	switch {
	case c.kind == kindName:
		return c.test.holds(kindName, path.Base(server))
	case c.kind == kindPath && c.test.folder:
		return c.test.holds(kindPath, path.Dir(server))
	case c.kind == kindPath:
		return c.test.holds(kindPath, server)
	}
	return false
}

// lookup gives what can be looked up for comparisons of a row that cannot: the domain
// that a URL or a name ends in. It is refused where there is none, since every row would
// have to be read for it.
func (a alternative) lookup() (Condition, *refused) {
	for _, c := range a {
		if c.test == nil || c.test.not {
			continue
		}
		host := ""
		switch {
		case c.Kind == postern.IndicatorDomain && (c.test.op == like || c.test.op == ending):
			host = c.test.text[strings.LastIndexAny(c.test.text, "%_")+1:]
			host = strings.TrimPrefix(host[max(0, strings.IndexByte(host, '.')):], ".")
		case c.Kind == postern.IndicatorURL && (c.test.op == like || c.test.op == beginning):
			name, _, whole := strings.Cut(c.test.text, "/")
			if host = hostOnly(name); !whole || strings.ContainsAny(host, "%_") {
				host = ""
			}
		}
		if isDomain(host) {
			return Condition{Kind: postern.IndicatorDomain, Value: host}, nil
		}
	}
	return Condition{}, refuse("indicator.why.every-row")
}
