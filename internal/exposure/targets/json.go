package targets

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"postern/internal/exposure"
)

// record is the fields of all JSON exports that we know, by the names that they use:
// zmap (saddr, sport), masscan (ip, ports), zgrab2 (ip, domain, data), Shodan (ip_str, port,
// hostnames), Censys (ip, services; or all of it under host), and our own records.
type record struct {
	Schema   string      `json:"schema"`
	Saddr    string      `json:"saddr"`
	Sport    json.Number `json:"sport"`
	IP       address     `json:"ip"`
	IPStr    string      `json:"ip_str"`
	Address  address     `json:"address"`
	Port     json.Number `json:"port"`
	Domain   address     `json:"domain"`
	Name     address     `json:"name"`
	Ports    []port      `json:"ports"`
	Services []port      `json:"services"`
	Names    []string    `json:"hostnames"`
	ASN      any         `json:"asn"`
	AS       struct {
		ASN uint32 `json:"asn"`
	} `json:"autonomous_system"`
	Location struct {
		Country string `json:"country_code"`
	} `json:"location"`
	Country string  `json:"country"`
	Sector  string  `json:"sector"`
	Host    *record `json:"host"`
	Data    grabs   `json:"data"`
	// Finished ends masscan's list.
	Finished json.Number `json:"finished"`
}

// address is a field that is text where we can use it: Shodan's ip is a number.
type address string

func (a *address) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '"' {
		return nil
	}
	return json.Unmarshal(b, (*string)(a))
}

// grabs is what zgrab2's modules came back with, by name; Shodan's data is text.
type grabs map[string]port

func (g *grabs) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	*g = grabs{}
	for name, raw := range all {
		var p port
		if json.Unmarshal(raw, &p) == nil { // another program's data may be anything
			(*g)[name] = p
		}
	}
	return nil
}

// ports gives those of modules that speak HTTP or TLS.
func (g grabs) ports() (list []string) {
	for _, p := range g {
		switch strings.ToLower(p.Protocol) {
		case "http", "tls", "https":
			if n := p.Port.String(); n != "" && n != "0" && !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	slices.Sort(list)
	return list[:min(len(list), maxPorts)]
}

type port struct {
	Port     json.Number `json:"port"`
	Status   string      `json:"status"`
	Proto    string      `json:"proto"`
	Service  string      `json:"service_name"`
	Protocol string      `json:"protocol"`
}

// web says whether a port may speak HTTP, as far as the export knows. What is known
// to be something else is not knocked at.
func (p *port) web() bool {
	if p.Status != "" && p.Status != "open" || p.Proto != "" && p.Proto != "tcp" {
		return false
	}
	switch service := strings.ToUpper(first(p.Service, p.Protocol)); service {
	case "", "HTTP", "HTTPS", "UNKNOWN":
		return true
	}
	return false
}

// UnmarshalJSON also takes a bare number.
func (p *port) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '{' {
		return json.Unmarshal(b, &p.Port)
	}
	type plain port
	return json.Unmarshal(b, (*plain)(p))
}

// splitter finds the objects of a stream that may be one a line, a list in brackets,
// or a list spread over lines.
type splitter struct {
	object   []byte
	depth    int
	inList   bool // the innermost bracket that is open is a list's
	lists    []bool
	quoted   bool
	escaped  bool
	oneALine bool // objects of this stream end where their line ends
}

func (s *splitter) reset() { *s = splitter{object: s.object[:0], oneALine: s.oneALine} }

// json takes one line of such a stream.
func (l *reader) json(line []byte) {
	s := &l.split
	switch {
	case s.depth == 0:
	case s.depth == 1 && !s.inList && line[0] == '{':
		// No object stands where a key has to: the one before has lost its end.
		l.bad(string(s.object))
		s.reset()
	case len(s.object)+len(line) > maxLine:
		l.bad(string(s.object))
		s.reset()
		return
	default:
		s.object = append(s.object, '\n')
	}
	began := s.depth == 0
	for _, c := range line {
		if s.depth == 0 {
			switch c {
			case '{':
			case '[', ']', ',', ' ', '\t':
				continue
			default:
				l.bad(string(line))
				return
			}
		}
		s.object = append(s.object, c)
		switch {
		case s.escaped:
			s.escaped = false
		case c == '\\' && s.quoted:
			s.escaped = true
		case c == '"':
			s.quoted = !s.quoted
		case s.quoted:
		case c == '{' || c == '[':
			s.open(c == '[')
		case c == '}' || c == ']':
			if s.close(); s.depth == 0 {
				s.oneALine = s.oneALine || began
				l.record(s.object)
				s.reset()
			}
		}
	}
	if s.depth > 0 && (s.quoted || s.oneALine) { // text never runs over lines
		l.bad(string(s.object))
		s.reset()
	}
}

func (s *splitter) open(list bool) {
	const deepest = 64 // remembered; deeper ones only count
	if s.depth < deepest {
		s.lists = append(s.lists[:s.depth], list)
	}
	s.depth++
	s.inList = list
}

func (s *splitter) close() {
	s.depth--
	s.inList = s.depth > 0 && s.depth <= len(s.lists) && s.lists[s.depth-1]
}

// record gives the targets of one object.
func (l *reader) record(raw []byte) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		l.bad(string(raw))
		return
	}
	if r.Host != nil {
		r = *r.Host
	}
	more := exposure.Target{Sector: word(r.Sector)}
	more.Country = word(first(r.Location.Country, r.Country))
	switch asn := r.ASN.(type) {
	case string:
		more.ASN = asNumber(asn)
	case float64:
		more.ASN = asNumber(strconv.FormatFloat(asn, 'f', 0, 64))
	}
	if more.ASN == 0 {
		more.ASN = r.AS.ASN
	}
	more.Name = firstName(first(string(r.Domain), string(r.Name), strings.Join(r.Names[:min(len(r.Names), maxPorts)], ",")))
	host := first(r.Saddr, r.IPStr, string(r.IP), string(r.Address), more.Name)
	if host == "" {
		if r.Finished == "" {
			l.bad(string(raw))
		}
		return
	}
	if len(r.Ports) > maxPorts || len(r.Services) > maxPorts {
		l.many(host)
	}
	given := false
	for _, p := range append(r.Ports[:min(len(r.Ports), maxPorts)], r.Services[:min(len(r.Services), maxPorts)]...) {
		if !p.web() {
			continue
		}
		given = l.hostPort(host, p.Port.String(), &more) || given
	}
	for _, p := range r.Data.ports() {
		given = l.hostPort(host, p, &more) || given
	}
	if !given && len(r.Ports)+len(r.Services) == 0 {
		l.hostPort(host, first(r.Sport.String(), r.Port.String()), &more)
	}
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
