package hunt

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// group is the files of one part of the evidence that stand for one host until
// their own words say otherwise.
type group struct {
	input   int
	prefix  string
	known   bool // see [place]
	logs    []*artefact
	files   []*artefact
	servers map[string]int
}

// hostFiles is what belongs to one host.
type hostFiles struct {
	name  string
	logs  []*artefact
	files []*artefact
}

// hosts tells the servers in the evidence apart: by the name they write into
// their logs, else by the folder or archive they were collected into. Only, if
// not empty, is the one name that the user has given.
func hosts(found []*artefact, inputs []string, only string) []*hostFiles {
	groups := groupFiles(found)
	byName := make(map[string]*hostFiles)
	host := func(name string) *hostFiles {
		key := strings.ToLower(name)
		h := byName[key]
		if h == nil {
			h = &hostFiles{name: name}
			byName[key] = h
		}
		return h
	}
	var nameless []*group
	for _, g := range groups {
		names := slices.Sorted(maps.Keys(g.servers))
		switch {
		case only != "":
			host(only).take(g)
		case len(names) == 1:
			host(names[0]).take(g)
		case len(names) > 1: // a share with the logs of several servers
			for _, a := range g.logs {
				h := host(cmp.Or(a.server, groupName(g, inputs)))
				h.logs = append(h.logs, a)
			}
			if len(g.files) > 0 {
				h := host(groupName(g, inputs))
				h.files = append(h.files, g.files...)
			}
		default:
			nameless = append(nameless, g)
		}
	}
	// Files without a name of their own belong to the only server that has one,
	// unless they were collected as a host beside it.
	var single *hostFiles
	if len(byName) == 1 {
		for _, h := range byName {
			single = h
		}
	}
	for _, g := range nameless {
		switch {
		case single != nil && (!g.known || g.prefix == "" || len(g.logs) == 0):
			single.take(g)
		default:
			host(groupName(g, inputs)).take(g)
		}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b *hostFiles) int { return strings.Compare(a.name, b.name) })
}

func (h *hostFiles) take(g *group) {
	h.logs = append(h.logs, g.logs...)
	h.files = append(h.files, g.files...)
}

func groupName(g *group, inputs []string) string {
	return cmp.Or(hostName(g.prefix), hostName(strings.TrimRight(strings.ReplaceAll(inputs[g.input], `\`, "/"), "/")), "unknown")
}

func groupFiles(found []*artefact) []*group {
	type key struct {
		input  int
		prefix string
	}
	byKey := make(map[key]*group)
	var order []*group
	for _, a := range found {
		k := key{a.input, strings.ToLower(a.prefix)}
		g := byKey[k]
		if g == nil {
			g = &group{input: a.input, prefix: a.prefix, known: a.known, servers: make(map[string]int)}
			byKey[k] = g
			order = append(order, g)
		}
		g.known = g.known || a.known
		if a.format != nil {
			g.logs = append(g.logs, a)
		} else {
			g.files = append(g.files, a)
		}
		if a.server != "" {
			g.servers[strings.ToUpper(a.server)]++
		}
	}
	return order
}
