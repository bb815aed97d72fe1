package indicator

import (
	"path"
	"strings"

	"postern"
)

// markings are the definitions of TLP that STIX 2.0, 2.1 and the extension for TLP 2.0
// give by their identifiers.
var markings = map[string]TLP{
	"marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": Clear, // white
	"marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": Green,
	"marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": Amber,
	"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Red,
	"marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": Clear,
	"marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": Green,
	"marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": Amber,
	"marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": AmberStrict,
	"marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": Red,
}

// stix reads the objects of one feed. Markings and identities may come after what
// refers to them.
type stix struct {
	f       *reader
	marks   map[string]TLP
	names   map[string]string // identity → its name
	waiting []waiting         // indicators with a marking that has not come
}

type waiting struct {
	entries []Entry
	refs    []string
	id      string
}

func newSTIX(f *reader) *stix {
	return &stix{f: f, marks: make(map[string]TLP), names: make(map[string]string)}
}

// object reads one object: an indicator, or what indicators refer to.
func (s *stix) object(raw []byte) {
	var typ, id, name, description, pattern, language, until, from, creator, definition string
	var refs []string
	var tlp, tlp2 string
	revoked, benign := false, false
	fields(raw, func(key, v []byte) {
		switch string(key) {
		case "type":
			typ = text0(v)
		case "id":
			id = text0(v)
		case "name":
			name = text0(v)
		case "description":
			description = cut(text0(v), maxNote)
		case "pattern":
			pattern = text0(v)
		case "pattern_type":
			language = text0(v)
		case "valid_until":
			until = text0(v)
		case "created":
			from = text0(v)
		case "created_by_ref":
			creator = text0(v)
		case "revoked":
			revoked = isTrue(v)
		case "object_marking_refs":
			elements(v, func(v []byte) { refs = append(refs, text0(v)) })
		case "indicator_types", "labels":
			elements(v, func(v []byte) { benign = benign || text0(v) == "benign" })
		case "definition_type":
			definition = text0(v)
		case "definition":
			fields(v, func(key, v []byte) {
				if string(key) == "tlp" {
					tlp = text0(v)
				}
			})
		case "extensions":
			fields(v, func(_, v []byte) {
				fields(v, func(key, v []byte) {
					if string(key) == "tlp_2_0" {
						tlp2 = text0(v)
					}
				})
			})
		}
	})
	switch typ {
	case "marking-definition":
		switch {
		case tlp2 != "":
			s.marks[id], _ = ParseTLP(tlp2)
		case definition == "tlp" || tlp != "":
			s.marks[id], _ = ParseTLP(tlp)
		default: // a statement restricts nobody
			s.marks[id] = Unmarked
		}
	case "identity":
		s.names[id] = name
	case "indicator":
		s.f.Format = "stix"
		if revoked {
			s.f.Revoked++
			return
		}
		if benign {
			s.f.Context++
			return
		}
		about := About{ID: id, Note: name, Source: creator}
		if about.Note == "" {
			about.Note = description
		}
		s.indicator(about, pattern, language, until, from, refs)
	}
}

func (s *stix) indicator(about About, pattern, language, until, created string, refs []string) {
	f := s.f
	if language != "" && language != "stix" {
		f.unsupported(postern.Unsupported, postern.Say("indicator.language", "where", about.ID, "language", cut(language, 40)))
		return
	}
	var ok bool
	if about.Until, ok = when(until); !ok {
		f.unsupported(postern.Malformed, postern.Say("indicator.bad-time", "where", about.ID, "value", cut(until, 40)))
		return
	}
	about.FirstSeen, _ = when(created)
	all, r := parsePattern(pattern)
	var list []Entry
	if r == nil {
		list, r = entries(all, about)
	}
	if r != nil {
		f.unsupported(postern.Unsupported, withPlace(r.why, about.ID))
		return
	}
	mark, known := s.marking(refs)
	if !known {
		s.waiting = append(s.waiting, waiting{list, refs, about.ID})
		return
	}
	s.add(list, mark)
}

// withPlace says where what was refused stands.
func withPlace(why postern.Text, where string) postern.Text {
	t := postern.Text{Key: why.Key, Args: map[string]string{"where": where}}
	for k, v := range why.Args {
		t.Args[k] = v
	}
	return t
}

func (s *stix) marking(refs []string) (t TLP, known bool) {
	for _, ref := range refs {
		mark, ok := markings[ref]
		if !ok {
			if mark, ok = s.marks[ref]; !ok {
				return Red, false
			}
		}
		t = max(t, mark)
	}
	return t, true
}

func (s *stix) add(list []Entry, mark TLP) {
	for i := range list {
		list[i].TLP = mark
		if list[i].Source == "" {
			list[i].Source = path.Base(s.f.Name)
		}
		s.f.add(list[i], list[i].ID)
	}
}

// finish adds what waited for its marking, and names those who are known by now only.
// One whose marking is defined nowhere counts as [Red].
func (s *stix) finish() {
	for _, w := range s.waiting {
		mark, _ := s.marking(w.refs)
		s.add(w.entries, mark)
	}
	for i := range s.f.b.set.origins {
		o := &s.f.b.set.origins[i]
		if strings.HasPrefix(o.source, "identity--") {
			if o.source = s.names[o.source]; o.source == "" {
				o.source = path.Base(s.f.Name)
			}
		}
	}
}
