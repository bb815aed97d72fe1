package sigma

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed windows.yaml
var windowsYAML []byte

// Windows says in which events of Windows a rule looks: which channels and event
// ids a log source of the public rules means, and what its fields are called there.
type Windows struct {
	channels   map[string]WindowsChannel // by the name in lower case
	services   map[string][]string
	categories map[string][]eventKind
}

// WindowsChannel is a channel with a name of its own.
type WindowsChannel struct {
	Channel string
	Source  string   // what its coverage and findings are called
	Values  []string // names of the values without one, in order
}

// eventKind is the events of a channel with one of some ids.
type eventKind struct {
	Channel string
	IDs     []uint32 `yaml:"ids"`
	Fields  map[string]string
}

// ReadWindows reads the mapping that the program carries.
func ReadWindows() (*Windows, error) {
	var doc struct {
		Channels   []WindowsChannel
		Services   map[string][]string
		Categories map[string][]eventKind
	}
	dec := yaml.NewDecoder(bytes.NewReader(windowsYAML))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("windows.yaml: %w", err)
	}
	w := &Windows{channels: make(map[string]WindowsChannel), services: doc.Services, categories: doc.Categories}
	for _, c := range doc.Channels {
		w.channels[strings.ToLower(c.Channel)] = c
	}
	return w, nil
}

// Channel gives what is known of a channel; its source is empty if that is nothing.
func (w *Windows) Channel(name string) WindowsChannel { return w.channels[strings.ToLower(name)] }

// windowsRoot begins the sources of all events of Windows.
const windowsRoot = "windows"

// AppendPath appends the source, in the form of [Set], of the events of a channel
// with an id: windows/security/4688. It is the same for any case of the channel's name.
func AppendPath(dst []byte, channel string, id string) []byte {
	dst = append(dst, windowsRoot...)
	dst = append(dst, '/')
	from := len(dst)
	dst = appendFold(dst, channel)
	for i := from; i < len(dst); i++ { // it is one part of the path
		if dst[i] == '/' {
			dst[i] = ' '
		}
	}
	if id == "" {
		return dst
	}
	dst = append(dst, '/')
	return append(dst, id...)
}

func eventPath(channel, id string) string { return string(AppendPath(nil, channel, id)) }

// Places gives where a rule looks, nothing for one that is not about Windows, or
// about a log that Windows does not have.
func (w *Windows) Places(r *Rule) []Placement {
	l := r.LogSource
	if l.Product != "" && l.Product != "windows" {
		return nil
	}
	kinds, known := w.categories[l.Category]
	channels, served := w.services[l.Service]
	switch {
	case l.Product == "" && l.Category != "antivirus": // other products have such logs too
		return nil
	case l.Category == "" && l.Service == "":
		return w.everywhere(r)
	case l.Category != "" && !known, l.Service != "" && !served:
		return nil
	case l.Category == "":
		for _, c := range channels {
			kinds = append(kinds, eventKind{Channel: c})
		}
	case l.Service != "": // both: the events of the category that are in the service's channels
		kinds = slices.Clone(kinds)
		kinds = slices.DeleteFunc(kinds, func(k eventKind) bool { return !slices.Contains(channels, k.Channel) })
	}
	said := r.eventIDs()
	var places []Placement
	for _, k := range kinds {
		ids := said
		switch {
		case k.IDs == nil && said == nil:
			places = append(places, Placement{Source: eventPath(k.Channel, ""), Aliases: k.Fields})
		case k.IDs != nil:
			ids = nil
			for _, id := range k.IDs {
				if s := strconv.FormatUint(uint64(id), 10); said == nil || slices.Contains(said, s) {
					ids = append(ids, s)
				}
			}
		}
		for _, id := range ids {
			places = append(places, Placement{Source: eventPath(k.Channel, id), Aliases: k.Fields})
		}
	}
	return places
}

// everywhere places a rule that names no log at all: in the events of its ids in every
// channel would cost a look at each event of each log, so it says its channel in the
// rule, or it sees all.
func (w *Windows) everywhere(r *Rule) []Placement {
	channels, ids := r.exactly("Channel"), r.eventIDs()
	if channels == nil {
		return []Placement{{Source: windowsRoot}}
	}
	var places []Placement
	for _, c := range channels {
		if ids == nil {
			places = append(places, Placement{Source: eventPath(c, "")})
		}
		for _, id := range ids {
			places = append(places, Placement{Source: eventPath(c, id)})
		}
	}
	return places
}

// eventIDs gives the ids without one of which the rule cannot match; nil if it
// does not say.
func (r *Rule) eventIDs() []string {
	ids := r.exactly("EventID")
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err != nil || strconv.FormatUint(n, 10) != id {
			return nil
		}
	}
	return ids
}

// exactly gives the values of a field of which the rule needs one; nil if it
// needs none.
func (r *Rule) exactly(field string) []string {
	for _, n := range r.Needs() {
		if n.Exact && strings.EqualFold(n.Field, field) {
			return n.Literals
		}
	}
	return nil
}
