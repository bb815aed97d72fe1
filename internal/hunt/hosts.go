package hunt

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/source"
)

// logFile is one recognised log. There are tens of thousands: what they share is
// in their kin.
type logFile struct {
	file source.File
	*kin
	input   int32
	guessed bool // format and server are those of the kin, and the scan has to confirm them
}

// kin are logs of one server, folder and kind.
type kin struct {
	format *parse.Format
	server string // as the first row says it
	first  string // first line of the file that was looked at
}

// group is one part of the evidence that stands for one host until the logs'
// own words say otherwise.
type group struct {
	input    int
	prefix   string
	known    bool // see [place]
	logs     []*logFile
	servers  map[string]int
	findings []postern.Finding // of single files
	parts    map[string][]any  // of each HostDetector
	kept     []source.File     // those with findings, or all but logs if all are to be hashed
	web      int64             // files in folders that the web server serves
	lost     int               // pieces that could not be read
}

// groups collects what the walk finds, by input and prefix.
type groups struct {
	sync.Mutex
	byKey map[groupKey]*group
	order []*group
}

type groupKey struct {
	input  int
	prefix string
}

// at gives the group of a place. The caller holds the lock.
func (gs *groups) at(input int, prefix string, known bool) *group {
	k := groupKey{input, strings.ToLower(prefix)}
	g := gs.byKey[k]
	if g == nil {
		g = &group{input: input, prefix: prefix, servers: make(map[string]int), parts: make(map[string][]any)}
		gs.byKey[k] = g
		gs.order = append(gs.order, g)
	}
	g.known = g.known || known
	return g
}

// server is everything that belongs to one host.
type server struct {
	name   string
	logs   []*logFile
	groups []*group
}

// servers tells the hosts in the evidence apart: by the name they write into
// their logs, else by the folder or archive they were collected into. Only, if
// not empty, is the one name that the user has given.
func servers(found []*group, inputs []string, only string) []*server {
	byName := make(map[string]*server)
	host := func(name string) *server {
		key := strings.ToLower(name)
		if byName[key] == nil {
			byName[key] = &server{name: name}
		}
		return byName[key]
	}
	found = slices.Clone(found)
	slices.SortFunc(found, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.input, b.input), strings.Compare(a.prefix, b.prefix))
	})
	var nameless []*group
	for _, g := range found {
		names := slices.Sorted(maps.Keys(g.servers))
		switch {
		case only != "":
			host(only).take(g)
		case len(names) == 1:
			host(names[0]).take(g)
		case len(names) > 1: // a share with the logs of several servers
			rest := host(groupName(g, inputs))
			rest.groups = append(rest.groups, g)
			for _, l := range g.logs {
				h := host(cmp.Or(l.server, rest.name))
				h.logs = append(h.logs, l)
			}
		default:
			nameless = append(nameless, g)
		}
	}
	// What has no name of its own belongs to the only server that has one, unless
	// it was collected as a host beside it.
	var single *server
	if len(byName) == 1 {
		for _, h := range byName {
			single = h
		}
	}
	for _, g := range nameless {
		if single != nil && (!g.known || g.prefix == "" || len(g.logs) == 0) {
			single.take(g)
			continue
		}
		if g.empty() {
			continue
		}
		host(groupName(g, inputs)).take(g)
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b *server) int { return strings.Compare(a.name, b.name) })
}

// empty says that nothing of a server was in the group: stray files beside the
// folders of hosts are not a host.
func (g *group) empty() bool {
	return len(g.logs) == 0 && len(g.findings) == 0 && len(g.parts) == 0 && g.web == 0 && !g.known
}

func (s *server) take(g *group) {
	if s.logs == nil {
		s.logs = g.logs
	} else {
		s.logs = append(s.logs, g.logs...)
	}
	s.groups = append(s.groups, g)
}

func groupName(g *group, inputs []string) string {
	return cmp.Or(hostName(g.prefix), hostName(strings.TrimRight(strings.ReplaceAll(inputs[g.input], `\`, "/"), "/")), "unknown")
}

// servers gives the hosts; where nothing is recognised at all, one of the
// evidence's own name, so that an empty hunt never looks like a clean one.
func (h *hunt) servers(inputs []Input) []*server {
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
	}
	found := servers(h.groups.order, names, h.opt.Host)
	if len(found) == 0 {
		name := cmp.Or(h.opt.Host, "unknown")
		if len(names) > 0 && h.opt.Host == "" {
			name = cmp.Or(hostName(strings.ReplaceAll(names[0], `\\`, "/")), name)
		}
		found = []*server{{name: name, groups: h.groups.order}}
	}
	return found
}
