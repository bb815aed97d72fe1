package indicator

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"

	"postern"
)

// Bounds of OpenIOC: public definitions have some hundreds of elements and 1 MB.
const (
	maxElements = 100_000
	maxXML      = 64 << 20
)

// openIOC reads a definition of OpenIOC 1.0 or 1.1: <ioc> with <definition>, or
// <OpenIOC> with <criteria>. In both, <Indicator operator="OR|AND"> holds
// <IndicatorItem condition="is"> with <Context search="…"> and <Content>.
func (f *reader) openIOC(in io.Reader) error {
	f.Format = "openioc"
	d := xml.NewDecoder(io.LimitReader(in, maxXML)) // what is longer ends in its middle, and is refused
	d.Strict = false
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	d.Entity = map[string]string{}
	var about About
	var stack []*node
	var item *node
	var text strings.Builder
	root, count := "", 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f.bad(postern.Say("indicator.bad-xml", "reason", err.Error()))
		}
		switch t := t.(type) {
		case xml.StartElement:
			if count++; count > maxElements {
				return f.bad(postern.Say("indicator.too-many", "bound", maxElements))
			}
			text.Reset()
			name := t.Name.Local
			if root == "" {
				root = name
				if !strings.EqualFold(root, "ioc") && !strings.EqualFold(root, "OpenIOC") && !strings.EqualFold(root, "iocs") {
					return f.none(postern.Say("indicator.not-openioc", "root", cut(root, 60)))
				}
			}
			switch name {
			case "ioc", "OpenIOC":
				about = About{ID: attr(t, "id")}
			case "Indicator":
				if len(stack) >= maxNesting {
					return f.bad(postern.Say("indicator.why.nested", "where", about.ID, "bound", maxNesting))
				}
				stack = append(stack, &node{and: strings.EqualFold(attr(t, "operator"), "AND")})
			case "IndicatorItem":
				item = &node{id: attr(t, "id"), condition: attr(t, "condition"), negate: strings.EqualFold(attr(t, "negate"), "true")}
			case "Context":
				if item != nil {
					item.search = attr(t, "search")
				}
			}
		case xml.CharData:
			if text.Len()+len(t) <= maxValue {
				text.Write(t)
			}
		case xml.EndElement:
			value := strings.TrimSpace(text.String())
			switch t.Name.Local {
			case "short_description":
				about.Note = value
			case "authored_by":
				about.Source = value
			case "Content":
				if item != nil {
					item.value = value
				}
			case "IndicatorItem":
				if item != nil && len(stack) > 0 {
					top := stack[len(stack)-1]
					top.add(item.alternatives())
				}
				item = nil
			case "Indicator":
				if len(stack) == 0 {
					break
				}
				done := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				if len(stack) > 0 {
					stack[len(stack)-1].merge(done)
					break
				}
				f.definition(done, about)
			}
			text.Reset()
		}
	}
	if root == "" {
		return f.none(postern.Say("indicator.empty"))
	}
	return nil
}

func attr(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if strings.EqualFold(a.Name.Local, name) {
			return a.Value
		}
	}
	return ""
}

// node is an Indicator with what stands in it, or an IndicatorItem.
type node struct {
	and  bool
	all  []alternative
	any  bool // something was added
	lost *refused
	// Of an OR, what could not be used does not spoil the rest.
	refusals []refusal

	id, condition, search, value string
	negate                       bool
}

type refusal struct {
	id string
	r  *refused
}

// add adds what one item comes to.
func (n *node) add(all []alternative, id string, r *refused) {
	if r != nil {
		n.refusals = append(n.refusals, refusal{id, r})
		if n.and {
			n.lost = r
		}
		return
	}
	switch {
	case !n.any:
		n.all = all
	case n.and:
		if n.all, r = and(n.all, all); r != nil {
			n.lost = r
			n.refusals = append(n.refusals, refusal{id, r})
		}
	default:
		n.all = or(n.all, all)
	}
	n.any = true
}

// merge takes in a node below.
func (n *node) merge(o *node) {
	if o.lost != nil || !o.any {
		n.refusals = append(n.refusals, o.refusals...)
		if n.and {
			n.lost = o.lost
			if n.lost == nil {
				n.lost = refuse("indicator.why.syntax", "at", "Indicator")
			}
		}
		return
	}
	n.refusals = append(n.refusals, o.refusals...)
	// A choice of which a part is not understood cannot be joined with something else
	// without loss, but what is left of it is still true.
	n.add(o.all, "", nil)
}

// alternatives says what an item is compared with.
func (n *node) alternatives() ([]alternative, string, *refused) {
	c, r := openIOCTerm(n.search, n.value)
	if r != nil {
		return nil, n.id, r
	}
	word, not := strings.ToLower(n.condition), n.negate
	if word == "" {
		word = "is"
	}
	if rest, negated := strings.CutSuffix(word, "not"); negated { // "isnot" and "containsnot" of OpenIOC 1.0
		word, not = rest, !not
	}
	op, known := operators[word]
	if !known {
		return nil, n.id, refuse("indicator.why.comparison", "word", cut(n.condition, 40))
	}
	if c, r = c.asked(op, not); r != nil {
		return nil, n.id, r
	}
	return []alternative{{c}}, n.id, nil
}

// openIOCTerm says what a term of OpenIOC is about.
func openIOCTerm(search, value string) (Condition, *refused) {
	kinds := map[string]postern.IndicatorKind{
		"fileitem/md5sum": postern.IndicatorMD5, "fileitem/sha1sum": postern.IndicatorSHA1, "fileitem/sha256sum": postern.IndicatorSHA256,
		"fileitem/filename": postern.IndicatorFileName, "fileitem/fullpath": postern.IndicatorPath, "fileitem/filepath": postern.IndicatorPath,
		"processitem/path": postern.IndicatorPath, "processitem/name": postern.IndicatorFileName,
		"portitem/remoteip": postern.IndicatorAddress, "routeentryitem/destination": postern.IndicatorAddress, "arpentryitem/ipv4address": postern.IndicatorAddress,
		"dnsentryitem/host": postern.IndicatorDomain, "dnsentryitem/recordname": postern.IndicatorDomain, "network/dns": postern.IndicatorDomain,
		"network/uri": postern.IndicatorURL, "network/url": postern.IndicatorURL, "urlhistoryitem/url": postern.IndicatorURL,
		"network/useragent": postern.IndicatorUserAgent, "network/ip": postern.IndicatorAddress,
		"serviceitem/servicedllmd5sum": postern.IndicatorMD5, "processitem/sectionlist/memorysection/md5sum": postern.IndicatorMD5,
	}
	s := strings.ToLower(search)
	if s == "fileitem/sizeinbytes" {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
			return Condition{Size: n}, nil
		}
	}
	k, ok := kinds[s]
	if !ok {
		return Condition{}, refuse("indicator.why.path", "path", cut(search, 120))
	}
	if s == "fileitem/filepath" {
		value = strings.TrimRight(strings.ReplaceAll(value, `\`, "/"), "/") + "/"
	}
	return Condition{Kind: k, Value: value, folder: s == "fileitem/filepath"}, nil
}

// definition adds what a whole definition comes to.
func (f *reader) definition(n *node, about About) {
	for _, r := range n.refusals {
		where := r.id
		if where == "" {
			where = about.ID
		}
		f.unsupported(postern.Unsupported, withPlace(r.r.why, where))
	}
	if n.lost != nil || !n.any {
		return
	}
	// One alternative that cannot be asked does not take the others with it.
	for _, a := range n.all {
		list, r := entries([]alternative{a}, about)
		if r != nil {
			f.unsupported(postern.Unsupported, withPlace(r.why, about.ID))
			continue
		}
		for _, e := range list {
			f.add(e, about.ID)
		}
	}
}
