package hunt

import (
	"cmp"
	"maps"
	"path"
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
	format  *parse.Format
	records *parse.Records // if it is a log of records; it has no format then
	server  string         // as the first row says it
	first   string         // first line of the file that was looked at
}

// group is one part of the evidence that stands for one host until the logs'
// own words say otherwise.
type group struct {
	input     int
	prefix    string
	known     bool   // see [place]
	host      string // as a collector says it, "" if none does
	logs      []*logFile
	servers   map[string]int
	computers map[string]int    // names that only event logs have, which keep one that the server had before
	findings  []postern.Finding // of single files
	parts     map[string][]part // of each HostDetector
	kept      []source.File     // those with findings, or all but logs if all are to be hashed
	web       int64             // files in folders that the web server serves
}

// part is what a HostDetector read of a file.
type part struct {
	path  string
	value any
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
		g = &group{input: input, prefix: prefix, servers: make(map[string]int), computers: make(map[string]int), parts: make(map[string][]part)}
		gs.byKey[k] = g
		gs.order = append(gs.order, g)
	}
	g.prefix = min(g.prefix, prefix) // whoever was first
	g.known = g.known || known
	return g
}

// server is everything that belongs to one host.
type server struct {
	name   string
	logs   []*logFile
	groups []*group
	// beside are groups of which only some logs are the host's.
	beside []*group
	losses []lostPlace // pieces that could not be read
}

// servers tells the hosts in the evidence apart: by the name they write into
// their logs, else by the folder or archive they were collected into. Only, if
// not empty, is the one name that the user has given.
func servers(found []*group, inputs []string, only string) []*server {
	found = slices.Clone(found)
	slices.SortFunc(found, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.input, b.input), strings.Compare(a.prefix, b.prefix))
	})
	hosts := make(hosts)
	var nameless []*group
	for _, g := range found {
		switch names := g.names(); {
		case only != "":
			hosts.at(only).take(g)
		case len(names) == 1:
			hosts.at(names[0]).take(g)
		case len(names) > 1:
			hosts.share(g, names, groupName(g, inputs))
		case g.host != "" && !g.empty():
			hosts.at(g.host).take(g)
		default:
			nameless = append(nameless, g)
		}
	}
	// What has no name of its own belongs to the only server that has one, unless
	// it was collected as a host beside it, and else to the one in whose folder it is.
	named := hosts.sorted()
	for _, g := range nameless {
		if len(named) == 1 && (!g.known || g.prefix == "" || len(g.logs) == 0) {
			named[0].take(g)
		} else if s := around(named, g); s != nil {
			s.take(g)
		} else if !g.empty() {
			hosts.at(groupName(g, inputs)).take(g)
		}
	}
	return hosts.sorted()
}

// names gives the servers whose logs are in a group. An event log only says what
// its server was called when its first record was written: beside other logs it is
// that of their server, and in a folder of Windows all are of one, whose name most have.
func (g *group) names() []string {
	if len(g.servers) > 0 || len(g.computers) == 0 {
		return slices.Sorted(maps.Keys(g.servers))
	}
	names := slices.Sorted(maps.Keys(g.computers))
	if g.known {
		names = []string{slices.MaxFunc(names, func(a, b string) int { return cmp.Compare(g.computers[a], g.computers[b]) })}
	}
	return names
}

// hosts are servers by their names in lower case.
type hosts map[string]*server

func (hs hosts) at(name string) *server {
	key := strings.ToLower(name)
	if hs[key] == nil {
		hs[key] = &server{name: name}
	}
	return hs[key]
}

func (hs hosts) sorted() []*server {
	return slices.SortedFunc(maps.Values(hs), func(a, b *server) int { return strings.Compare(a.name, b.name) })
}

// share parts a folder with the logs of several servers. A log that does not say
// whose it is belongs to the one server that its folder has other logs of, or that
// a folder above it is named after. What is left belongs to nobody known.
func (hs hosts) share(g *group, names []string, rest string) {
	folders := make(map[string]string) // folder → the one server in it, "" if there are several
	said := func(l *logFile) string {
		name := strings.ToUpper(l.server)
		if _, known := slices.BinarySearch(names, name); !known && l.records != nil {
			return "" // what its server was called before
		}
		return name
	}
	for _, l := range g.logs {
		dir, name := path.Dir(l.file.Path), said(l)
		if name == "" {
			continue
		}
		if known, twice := folders[dir]; twice && known != name {
			name = ""
		}
		folders[dir] = name
	}
	left := len(g.findings) > 0 || len(g.parts) > 0 || g.web > 0
	var unclaimed []*logFile
	for _, l := range g.logs {
		name := cmp.Or(said(l), folders[path.Dir(l.file.Path)], namedIn(l.file.Path, names), strings.ToUpper(l.server))
		if name == "" {
			unclaimed = append(unclaimed, l)
			continue
		}
		s := hs.at(name)
		s.logs = append(s.logs, l)
	}
	for _, name := range names {
		s := hs.at(name)
		s.beside = append(s.beside, g)
	}
	if left || len(unclaimed) > 0 {
		s := hs.at(rest)
		s.logs = append(s.logs, unclaimed...)
		s.groups = append(s.groups, g)
	}
}

// namedIn gives the one of the names, in upper case, that a folder of the path has.
func namedIn(p string, names []string) string {
	for _, folder := range strings.Split(strings.ToUpper(path.Dir(p)), "/") {
		short, _, _ := strings.Cut(folder, ".")
		for _, name := range []string{folder, short} {
			if _, ok := slices.BinarySearch(names, name); ok {
				return name
			}
		}
	}
	return ""
}

// around gives the one server whose folder holds the group or lies in it.
func around(named []*server, g *group) *server {
	var one *server
	for _, s := range named {
		for _, o := range s.groups {
			holds := o.known && o.prefix != "" && inside(g.prefix, o.prefix) ||
				g.prefix != "" && len(g.logs) == 0 && inside(o.prefix, g.prefix)
			if o.input != g.input || !holds || s == one {
				continue
			}
			if one != nil {
				return nil
			}
			one = s
		}
	}
	return one
}

// inside says whether a path is a folder or lies in it, without regard to case.
// Everything lies in the folder "".
func inside(p, folder string) bool {
	if len(p) < len(folder) || !strings.EqualFold(p[:len(folder)], folder) {
		return false
	}
	return folder == "" || len(p) == len(folder) || p[len(folder)] == '/'
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

// blame books each loss with the hosts of which something may have been lost: the
// one in whose folder it is, or those that are in it. One beside all hosts, such as
// an archive that could not be opened, is in the report and changes no verdict but
// that of a host that is alone.
func blame(found []*server, losses map[loss]string) {
	for l, written := range losses {
		for _, s := range concerned(found, l) {
			s.losses = append(s.losses, lostPlace{l, written})
		}
	}
	for _, s := range found {
		slices.SortFunc(s.losses, func(a, b lostPlace) int {
			return cmp.Or(cmp.Compare(a.input, b.input), strings.Compare(a.path, b.path))
		})
	}
}

// lostPlace is a loss with its path as the evidence writes it.
type lostPlace struct {
	loss
	written string
}

// isAbove says whether all of the host may have been lost with a place.
func (l lostPlace) isAbove(s *server) bool {
	return l.path == "" || slices.ContainsFunc(s.groups, func(g *group) bool {
		return g.input == l.input && g.known && (inside(g.prefix, l.path) || inside(g.prefix, l.path+"!"))
	})
}

func concerned(found []*server, l loss) []*server {
	if len(found) == 1 {
		return found
	}
	depth := -1
	var holding, within []*server
	for _, s := range found {
		longest, below := -1, false
		for _, g := range slices.Concat(s.groups, s.beside) {
			if g.input != l.input {
				continue
			}
			if inside(l.path, g.prefix) {
				longest = max(longest, len(g.prefix))
			}
			below = below || inside(g.prefix, l.path)
		}
		switch {
		case longest > depth:
			depth, holding = longest, []*server{s}
		case longest >= 0 && longest == depth:
			holding = append(holding, s)
		}
		if below {
			within = append(within, s)
		}
	}
	if len(holding) == 0 || l.path == "" {
		return within
	}
	return holding
}

// inputName is what the user named, with '/'.
func inputName(name string) string { return strings.ReplaceAll(name, `\`, "/") }

func groupName(g *group, inputs []string) string {
	return cmp.Or(hostName(g.prefix), hostName(inputName(inputs[g.input])), "unknown")
}

// servers gives the hosts; where nothing is recognised at all, one of the
// evidence's own name, so that an empty hunt never looks like a clean one.
func (h *hunt) servers(inputs []Input) []*server {
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
	}
	nameCollections(h.groups.order, h.collections)
	found := servers(h.groups.order, names, h.opt.Host)
	if len(found) == 0 {
		name := h.opt.Host
		if name == "" && len(names) > 0 {
			name = hostName(inputName(names[0]))
		}
		found = []*server{{name: cmp.Or(name, "unknown"), groups: h.groups.order}}
	}
	blame(found, h.losses)
	return found
}
