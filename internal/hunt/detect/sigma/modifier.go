package sigma

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	sigmago "github.com/bradleyjkemp/sigma-go"

	"postern"
)

// compileMatcher compiles one line of a selection: field, modifiers, values.
func (c *compiler) compileMatcher(f sigmago.FieldMatcher) (*node, error) {
	line, _ := f.Position()
	line++ // the library counts lines from 0
	m, err := readModifiers(line, f)
	if err != nil {
		return nil, err
	}
	if len(f.Values) == 0 {
		return nil, malformed(line, postern.Say("sigma.no-values", "field", f.Field),
			"%q has an empty list: give it a value, or null for a field that is missing", f.Field)
	}
	it, before := item{field: keyword}, c.patterns
	if f.Field != "" {
		it.field = c.field(f.Field)
	}
	switch {
	case m.exists:
		err = c.compileExists(line, f, &it)
	case m.fieldref:
		err = c.compileReference(line, f, m, &it)
	default:
		err = c.compileValues(line, f, m, &it)
	}
	if err != nil {
		return nil, err
	}
	n := c.leaf(it, c.patterns-before)
	if m.neq {
		n = notNode(n)
	}
	return n, nil
}

// modifiers is what the names after a field say, taken apart.
type modifiers struct {
	field            string
	encodings        []string // base64, base64offset, utf16…, windash, in their order
	start, end       bool     // the value may be preceded, followed by anything
	all, neq, cased  bool
	re, cidr         bool
	flags            string // of re
	exists, fieldref bool
	number           bool // gt, gte, lt, lte
	op               comparison
	date             bool
	part             datePart
}

var comparisons = map[string]comparison{"lt": less, "lte": lessOrEqual, "gt": greater, "gte": greaterOrEqual}

var dateParts = map[string]datePart{
	"minute": minute, "hour": hour, "day": day, "week": week, "month": month, "year": year,
}

// typed says which modifier has already decided what kind of value this is.
func (m *modifiers) typed() string {
	switch {
	case m.re:
		return "re"
	case m.cidr:
		return "cidr"
	case m.exists:
		return "exists"
	case m.fieldref:
		return "fieldref"
	case m.number:
		return "a comparison"
	case m.date:
		return "a time modifier"
	}
	return ""
}

// plain says whether values are compared as they are, so that null makes sense.
func (m *modifiers) plain() bool {
	return m.typed() == "" && len(m.encodings) == 0 && !m.start && !m.end && !m.all && !m.cased
}

func readModifiers(line int, f sigmago.FieldMatcher) (*modifiers, error) {
	m := &modifiers{field: f.Field}
	for _, name := range f.Modifiers {
		if err := m.read(line, name); err != nil {
			return nil, err
		}
	}
	if f.Field == "" && (m.exists || m.fieldref || m.number || m.date || m.neq) {
		return nil, malformed(line, postern.Say("sigma.needs-field", "modifier", f.Modifiers[len(f.Modifiers)-1]),
			"%s needs a field before it", strings.Join(f.Modifiers, "|"))
	}
	return m, nil
}

func (m *modifiers) read(line int, name string) error {
	clash := func(before string) error {
		return malformed(line, postern.Say("sigma.modifier-clash", "field", m.field, "modifier", name, "before", before),
			"%q: %s cannot follow %s", m.field, name, before)
	}
	typed := m.typed()
	switch name {
	case "all":
		m.all = true
	case "neq":
		m.neq = true
	case "cased":
		if typed != "" && !m.fieldref {
			return clash(typed)
		}
		m.cased = true
	case "contains", "startswith", "endswith":
		// An expression is searched anywhere already.
		if typed != "" && !m.fieldref && (!m.re || name != "contains") {
			return clash(typed)
		}
		m.start = m.start || name != "startswith"
		m.end = m.end || name != "endswith"
	case "base64", "base64offset", "utf16", "utf16le", "utf16be", "wide", "windash":
		if typed != "" {
			return clash(typed)
		}
		// Wildcards have no Base64 form; the other encodings leave them alone.
		if (m.start || m.end) && strings.HasPrefix(name, "base64") {
			return clash("contains, startswith or endswith")
		}
		m.encodings = append(m.encodings, name)
	case "i", "ignorecase", "m", "multiline", "s", "dotall":
		if !m.re {
			return malformed(line, postern.Say("sigma.modifier-after-re", "field", m.field, "modifier", name),
				"%q: %s stands only after re", m.field, name)
		}
		m.flags += map[string]string{"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}[name]
	case "re", "cidr", "exists", "fieldref":
		if before := m.before(name == "fieldref"); before != "" {
			return clash(before)
		}
		switch name {
		case "re":
			m.re = true
		case "cidr":
			m.cidr = true
		case "exists":
			m.exists = true
		case "fieldref":
			m.fieldref = true
		}
	case "gt", "gte", "lt", "lte":
		if before := m.before(false); before != "" && typed != "a time modifier" {
			return clash(before)
		}
		m.number, m.op = true, comparisons[name]
	case "minute", "hour", "day", "week", "month", "year":
		if before := m.before(false); before != "" {
			return clash(before)
		}
		m.date, m.part = true, dateParts[name]
	case "expand":
		return unsupported(line, postern.Say("sigma.expand", "field", m.field),
			"%q uses expand: placeholders have no values here; write the values out", m.field)
	default:
		return malformed(line, postern.Say("sigma.modifier-unknown", "field", m.field, "modifier", name),
			"%q: the modifier %q is unknown: docs/formats/sigma.md lists those of Sigma 2", m.field, name)
	}
	return nil
}

// before names a modifier that keeps one from deciding the kind of value.
func (m *modifiers) before(reference bool) string {
	switch {
	case m.typed() != "":
		return m.typed()
	case len(m.encodings) > 0:
		return m.encodings[0]
	case reference:
		return ""
	case m.start || m.end:
		return "contains, startswith or endswith"
	case m.cased:
		return "cased"
	}
	return ""
}

func (c *compiler) compileExists(line int, f sigmago.FieldMatcher, it *item) error {
	want, ok := f.Values[0].(bool)
	if !ok || len(f.Values) > 1 {
		return malformed(line, postern.Say("sigma.value-type", "field", f.Field, "want", "true, false"),
			"%q: exists takes true or false", f.Field)
	}
	it.mode = missing
	if want {
		it.mode = exists
	}
	return c.count(line, 1)
}

func (c *compiler) compileReference(line int, f sigmago.FieldMatcher, m *modifiers, it *item) error {
	name, ok := f.Values[0].(string)
	if !ok || name == "" || len(f.Values) > 1 {
		return malformed(line, postern.Say("sigma.fieldref", "field", f.Field),
			"%q: fieldref takes the name of one other field", f.Field)
	}
	it.mode, it.other, it.cased = reference, c.field(name), m.cased
	switch {
	case m.start && m.end:
		it.how = shapeContains
	case m.start:
		it.how = shapeSuffix
	case m.end:
		it.how = shapePrefix
	default:
		it.how = shapeExact
	}
	return c.count(line, 1)
}

// compileValues compiles the values of all other lines. A value in a list stands
// for itself: any of them decides, or with all each of them must hold.
func (c *compiler) compileValues(line int, f sigmago.FieldMatcher, m *modifiers, it *item) error {
	if m.all {
		it.mode = allTests
	}
	var whole map[string]struct{} // plain values, compared all at once
	for _, raw := range f.Values {
		if raw == nil && it.field != keyword && m.plain() {
			it.null = true
			if err := c.count(line, 1); err != nil {
				return err
			}
			continue
		}
		tests, err := c.compileValue(line, m, raw)
		if err != nil {
			return err
		}
		if err := c.count(line, len(tests)); err != nil {
			return err
		}
		if m.all && len(tests) > 1 {
			tests = []test{oneOf(tests)}
		}
		for _, t := range tests {
			if p, ok := t.(*textTest); ok && p.shape == shapeExact && !p.cased && !m.all && it.field != keyword {
				if whole == nil {
					whole = make(map[string]struct{})
				}
				whole[string(p.lit)] = struct{}{}
				continue
			}
			it.tests = append(it.tests, t)
		}
	}
	if whole != nil {
		it.tests = append([]test{&setTest{whole}}, it.tests...)
	}
	return nil
}

// oneOf is the patterns that one value became, where each value must hold.
type oneOf []test

func (o oneOf) match(v *view, i int32) bool {
	for _, t := range o {
		if t.match(v, i) {
			return true
		}
	}
	return false
}

func (o oneOf) literals() []literal {
	var all []literal
	for _, t := range o {
		l := t.literals()
		if l == nil {
			return nil
		}
		all = append(all, l...)
	}
	return all
}

func (c *compiler) compileValue(line int, m *modifiers, raw any) ([]test, error) {
	s, err := scalar(line, m.field, raw)
	if err != nil {
		return nil, err
	}
	switch {
	case m.re:
		if t, ok := compileRun(s, m.flags); ok {
			return []test{t}, nil
		}
		t, size, err := compileRegexp(line, s, m.flags)
		if err != nil {
			return nil, err
		}
		if c.regexps += size; c.regexps > maxRegexpTotal {
			return nil, beyond(line, postern.Say("sigma.regexp-large", "limit", maxRegexpTotal),
				"the regular expressions of the rule compile to more than %d steps: split the rule", maxRegexpTotal)
		}
		return []test{t}, nil
	case m.cidr:
		network, err := parseNetwork(s)
		if err != nil {
			return nil, malformed(line, postern.Say("sigma.value-type", "field", m.field, "want", "10.0.0.0/8, fe80::/10"),
				"%q: %q is no network such as 10.0.0.0/8", m.field, s)
		}
		return []test{&cidrTest{network}}, nil
	case m.number || m.date:
		n, ok := parseNumber(s)
		if !ok {
			return nil, malformed(line, postern.Say("sigma.value-type", "field", m.field, "want", "1, 2.5"),
				"%q: %q is no number", m.field, s)
		}
		if m.date {
			return []test{&dateTest{m.part, m.op, n}}, nil
		}
		return []test{&numberTest{m.op, n}}, nil
	}
	return c.compileString(line, m, s)
}

// scalar gives the text of a value as the event would have it.
func scalar(line int, field string, raw any) (string, error) {
	switch x := raw.(type) {
	case string:
		return x, nil
	case bool:
		return strconv.FormatBool(x), nil
	case int:
		return strconv.Itoa(x), nil
	case int64:
		return strconv.FormatInt(x, 10), nil
	case uint64:
		return strconv.FormatUint(x, 10), nil
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64), nil
	case time.Time: // only where a tag forces it: plain dates stay text
		return x.Format(time.RFC3339), nil
	case nil:
		return "", malformed(line, postern.Say("sigma.null", "field", field),
			"%q: null has no modifiers and no place in keywords or beside all", field)
	}
	return "", malformed(line, postern.Say("sigma.value-shape", "field", field),
		"%q: a value is a %T: want text, a number, true, false or null, or a list of them", field, raw)
}

func (c *compiler) compileString(line int, m *modifiers, s string) ([]test, error) {
	texts := []text{parseText(s)}
	for _, name := range m.encodings {
		var next []text
		for _, t := range texts {
			encoded, err := encode(line, m.field, name, t)
			if err != nil {
				return nil, err
			}
			next = append(next, encoded...)
		}
		texts = next
	}
	if m.field == "" && s == "" {
		return nil, malformed(line, postern.Say("sigma.keyword-empty"), "an empty keyword is in every event: remove it")
	}
	var tests []test
	for _, t := range texts {
		// A keyword without a word on where it stands may stand anywhere.
		anywhere := m.field == "" && !m.start && !m.end
		if m.start || anywhere {
			t = t.openStart()
		}
		if m.end || anywhere {
			t = t.openEnd()
		}
		tests = append(tests, &textTest{compileText(t, m.cased)})
	}
	return tests, nil
}

// encode applies one encoding modifier; the results are alternatives.
func encode(line int, field, name string, t text) ([]text, error) {
	if name == "windash" {
		return windash(line, field, t)
	}
	if strings.HasPrefix(name, "base64") {
		if t.wild() {
			return nil, malformed(line, postern.Say("sigma.base64-wildcard", "field", field),
				"%q: a wildcard has no Base64 form: escape it or take it out", field)
		}
		if name == "base64" {
			return []text{{{lit: base64.StdEncoding.EncodeToString([]byte(t.plain()))}}}, nil
		}
		return base64Offsets(line, field, t.plain())
	}
	wide := make(text, 0, len(t)+1)
	if name == "utf16" {
		wide = append(wide, part{lit: "\xff\xfe"})
	}
	for _, p := range t {
		if p.wild == 0 {
			p.lit = encodeUTF16(p.lit, name == "utf16be")
		}
		wide = append(wide, p)
	}
	return []text{wide}, nil
}

func encodeUTF16(s string, bigEndian bool) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

// base64Offsets gives what is the same in every Base64 text that holds s, for
// each of the three places where s can begin in a group of three bytes: the
// characters that its neighbours share are cut off.
func base64Offsets(line int, field, s string) ([]text, error) {
	if len(s) < 2 {
		return nil, malformed(line, postern.Say("sigma.base64-short", "field", field),
			"%q: base64offset needs two bytes or more: a shorter value leaves nothing certain", field)
	}
	var all []text
	for before := range 3 {
		code := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + s))
		from := []int{0, 2, 3}[before] // characters that hold bits of what stands before
		to := len(code)
		if (before+len(s))%3 != 0 {
			to-- // the last character holds bits of what follows
		}
		all = append(all, text{{lit: code[from:to]}})
	}
	return all, nil
}

// dashes are the signs that Windows programs take for the dash before an option.
var dashes = []string{"-", "/", "–", "—", "―"}

// windash gives the value with each of its option dashes as each of the dashes:
// those before a letter, digit or _ and not after one.
func windash(line int, field string, t text) ([]text, error) {
	texts := []text{nil}
	extend := func(p part) {
		for i := range texts {
			texts[i] = append(texts[i][:len(texts[i]):len(texts[i])], p)
		}
	}
	found := 0
	for _, p := range t {
		if p.wild != 0 {
			extend(p)
			continue
		}
		runes := []rune(p.lit)
		from := 0
		for i, r := range runes {
			if !slices.Contains(dashes, string(r)) || i > 0 && wordRune(runes[i-1]) ||
				i+1 == len(runes) || !wordRune(runes[i+1]) {
				continue
			}
			if found++; found > maxWindash {
				return nil, beyond(line, postern.Say("sigma.windash-many", "field", field, "limit", maxWindash),
					"%q: a value with windash has more than %d dashes: split it with contains|all", field, maxWindash)
			}
			if from < i {
				extend(part{lit: string(runes[from:i])})
			}
			from = i + 1
			var next []text
			for _, dash := range dashes {
				for _, t := range texts {
					next = append(next, append(t[:len(t):len(t)], part{lit: dash}))
				}
			}
			texts = next
		}
		if from < len(runes) {
			extend(part{lit: string(runes[from:])})
		}
	}
	return texts, nil
}

func wordRune(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// parseNetwork reads a network of either family, or one address.
func parseNetwork(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%s spans more than the IPv4 addresses", p)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
