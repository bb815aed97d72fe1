// Package scope is the wall between the scan and the network: which hosts may be
// contacted, which have opted out, and the one dialer that all probes go through.
//
// Input: a scope file (docs/formats/targets.md) that says which networks and names
// may be looked at, on whose authority, until when and whom to ask; and an opt-out
// list, which is watched while the scan runs. Output: connections to addresses that
// both allow, and otherwise a sentence why not.
//
// Nothing else below internal/exposure opens a connection; a test reads the sources
// to make sure. A name is resolved once, and the address that was checked is the one
// that is connected to, so that a name that changes its mind in between gains nothing.
package scope

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/idna"

	"postern"
)

// Bounds of a scope file. A country's networks are some ten thousand lines.
const (
	MaxFile   = 8 << 20
	maxList   = 200_000
	maxText   = 500
	maxAgent  = 160 // bytes of the contact: it stands in every request
	labelHash = 6   // bytes of the hash that stands for a missing label
)

// Scope says what may be contacted.
type Scope struct {
	Label     string // names the population: series of different scope do not mix
	Authority string // on whose order or with whose consent
	Contact   string // web page or mail address for questions and for opting out
	From, To  time.Time
	networks  ranges
	names     names
}

// FieldError is a mistake in a scope file.
type FieldError struct {
	Field string
	Line  int
	Why   postern.Text
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, e.Why.Key)
}

// Parse reads a scope file. A mistake is a *[FieldError].
func Parse(b []byte) (*Scope, error) {
	if len(b) > MaxFile {
		return nil, &FieldError{"", 0, postern.Say("exposure.scope.too-long", "max", MaxFile)}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, &FieldError{"", 0, postern.Say("exposure.scope.yaml", "reason", strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, &FieldError{"", 1, postern.Say("exposure.scope.not-a-map")}
	}
	s := &Scope{}
	seen := map[string]bool{}
	for pairs := doc.Content[0].Content; len(pairs) >= 2; pairs = pairs[2:] {
		key, value := pairs[0], pairs[1]
		if seen[key.Value] {
			return nil, &FieldError{key.Value, key.Line, postern.Say("exposure.scope.twice")}
		}
		seen[key.Value] = true
		if err := s.field(key, value); err != nil {
			return nil, err
		}
	}
	for _, field := range []string{"networks", "authority", "contact", "valid"} {
		if !seen[field] {
			return nil, &FieldError{field, 0, postern.Say("exposure.scope.missing")}
		}
	}
	if s.Label == "" {
		s.Label = s.population()
	}
	return s, nil
}

// field reads one field of the file.
func (s *Scope) field(key, value *yaml.Node) (err error) {
	fail := func(n *yaml.Node, why postern.Text) error { return &FieldError{key.Value, n.Line, why} }
	switch key.Value {
	case "networks":
		list, bad := texts(value)
		if bad != nil || len(list) == 0 {
			return fail(value, postern.Say("exposure.scope.want-list"))
		}
		networks := make([]netip.Prefix, len(list))
		for i, n := range list {
			if networks[i], err = ParseNetwork(n.Value); err != nil {
				return fail(n, postern.Say("exposure.scope.network", "value", show(n.Value)))
			}
		}
		s.networks = newRanges(networks)
	case "names":
		list, bad := texts(value)
		if bad != nil {
			return fail(value, postern.Say("exposure.scope.want-list"))
		}
		for _, n := range list {
			if !s.names.add(n.Value) {
				return fail(n, postern.Say("exposure.scope.name", "value", show(n.Value)))
			}
		}
	case "authority", "label", "contact":
		text := strings.TrimSpace(value.Value)
		if value.Kind != yaml.ScalarNode || text == "" || len(text) > maxText {
			return fail(value, postern.Say("exposure.scope.want-text", "max", maxText))
		}
		switch key.Value {
		case "authority":
			s.Authority = text
		case "label":
			s.Label = text
		case "contact":
			if !agentText(text) || !strings.Contains(text, "@") && !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "http://") {
				return fail(value, postern.Say("exposure.scope.contact", "max", maxAgent))
			}
			s.Contact = text
		}
	case "valid":
		if value.Kind != yaml.MappingNode || len(value.Content) != 4 {
			return fail(value, postern.Say("exposure.scope.valid"))
		}
		for pair := value.Content; len(pair) >= 2; pair = pair[2:] {
			at, ok := day(pair[1].Value, pair[0].Value == "to")
			if !ok {
				return &FieldError{"valid." + show(pair[0].Value), pair[1].Line, postern.Say("exposure.scope.time", "value", show(pair[1].Value))}
			}
			switch pair[0].Value {
			case "from":
				s.From = at
			case "to":
				s.To = at
			}
		}
		if s.From.IsZero() || !s.To.After(s.From) {
			return fail(value, postern.Say("exposure.scope.valid"))
		}
	default:
		return &FieldError{show(key.Value), key.Line, postern.Say("exposure.scope.unknown-field")}
	}
	return nil
}

// texts gives the entries of a list of plain texts, or of a single one.
func texts(n *yaml.Node) ([]*yaml.Node, error) {
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		return []*yaml.Node{n}, nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxList {
		return nil, errors.New("no list")
	}
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode {
			return nil, errors.New("no text")
		}
	}
	return n.Content, nil
}

// day reads a day or a moment. A day that ends something counts whole.
func day(s string, end bool) (time.Time, bool) {
	if t, err := time.Parse("2006-01-02", s); err == nil {
		if end {
			t = t.AddDate(0, 0, 1)
		}
		return t, true
	}
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC(), err == nil
}

// agentText says whether a text can stand in a User-Agent comment.
func agentText(s string) bool {
	return len(s) <= maxAgent && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()\"`, r) })
}

// show makes a value from a file fit for an error message.
func show(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, s), "_")
}

// population gives a name to a scope that has none: the same networks and names are
// the same population, whatever their order.
func (s *Scope) population() string {
	h := sha256.New()
	for _, r := range s.networks {
		fmt.Fprintf(h, "%v-%v\n", r.from, r.to)
	}
	for _, n := range s.names.sorted() {
		fmt.Fprintln(h, n)
	}
	return "scope-" + hex.EncodeToString(h.Sum(nil)[:labelHash])
}

// Allows says whether an address lies in the scope's networks.
func (s *Scope) Allows(a netip.Addr) bool { return s.networks.contains(a.Unmap()) }

// ParseNetwork reads an address or a network in the usual notation.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a = a.Unmap(); a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q has a zone", s)
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no network", s)
	}
	return p.Masked(), nil
}

// names is a set of host names; "*.alpha.example" is every name below it.
type names struct {
	whole map[string]bool
	below map[string]bool
}

// add takes a name or a pattern and says whether it is one.
func (n *names) add(s string) bool {
	s = strings.TrimSpace(s)
	pattern, wild := strings.CutPrefix(s, "*.")
	name, ok := ParseName(pattern)
	if !ok {
		return false
	}
	if n.whole == nil {
		n.whole, n.below = map[string]bool{}, map[string]bool{}
	}
	if wild {
		n.below[name] = true
	} else {
		n.whole[name] = true
	}
	return true
}

func (n *names) empty() bool { return len(n.whole)+len(n.below) == 0 }

// contains says whether the set names the host, which is in lower case.
func (n *names) contains(host string) bool {
	if n.whole[host] {
		return true
	}
	for rest := host; len(n.below) > 0; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok {
			return false
		}
		if n.below[parent] {
			return true
		}
		rest = parent
	}
	return false
}

func (n *names) sorted() []string {
	var all []string
	for w := range n.whole {
		all = append(all, w)
	}
	for b := range n.below {
		all = append(all, "*."+b)
	}
	slices.Sort(all)
	return all
}

// ParseName reads a host name: lower case, in the ASCII form of international
// names, without a final dot.
func ParseName(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return "", false
	}
	for i := range len(s) {
		if s[i] >= 0x80 {
			ascii, err := idna.Lookup.ToASCII(s)
			if err != nil {
				return "", false
			}
			s = ascii
			break
		}
	}
	s = strings.ToLower(s)
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return "", false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", false
			}
		}
	}
	return s, true
}
