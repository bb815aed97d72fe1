package iisconfig

import (
	"cmp"
	"slices"
	"strings"

	"postern"
	"postern/internal/hunt/parse/iisconfig"
)

// Refused is what an administrator may have done in place of rewrite rules: let the
// request filter refuse these words at an application, in the path and in the query.
type Refused struct {
	Application string   // "/autodiscover"
	Words       []string // each is in every request that has to be refused
}

// entry is an element of a collection and the file it stands in.
type entry[T any] struct {
	c    *Config
	what T
}

// inherited gives what holds for an application of a site, in the order in which IIS
// puts it together: the whole server, its locations from the outside in, the web.config
// of the site, that of the application.
func inherited[T any](h *host, s *iisconfig.Site, app *iisconfig.Application, all func(*Config) []T, scope func(T) iisconfig.Scope) []entry[T] {
	var list []entry[T]
	at := address(app.Path, "")
	take := func(c *Config, target string, same bool) {
		if c == nil {
			return
		}
		from := len(list)
		for _, x := range all(c) {
			in := scope(x)
			place := in.Location
			if place == "." {
				place = ""
			}
			own := strings.EqualFold(place, target) && same
			if (own || !in.NotInChildren) && covers(place, target) {
				list = append(list, entry[T]{c, x})
			}
		}
		slices.SortStableFunc(list[from:], func(a, b entry[T]) int {
			return cmp.Compare(len(scope(a.what).Location), len(scope(b.what).Location))
		})
	}
	take(h.server, strings.TrimSuffix(s.Name+at, "/"), true)
	folder := func(path string) string {
		for i := range s.Applications {
			for _, dir := range s.Applications[i].Directories {
				if strings.EqualFold(address(s.Applications[i].Path, dir.Path), path) {
					return canonical(dir.PhysicalPath, h.install)
				}
			}
		}
		return ""
	}
	take(h.webConfig(folder("/")), strings.Trim(at, "/"), at == "/")
	if at != "/" {
		take(h.webConfig(folder(at)), "", true)
	}
	return list
}

// covers says whether what is said of a place holds for a target below it.
func covers(place, target string) bool {
	if len(place) > len(target) {
		return false
	}
	return place == "" || strings.EqualFold(place, target) ||
		strings.EqualFold(place, target[:len(place)]) && target[len(place)] == '/'
}

// refusing gives the entries of a list of the request filter for an application.
func (h *host) refusing(s *iisconfig.Site, app *iisconfig.Application, list string) []entry[iisconfig.Filtering] {
	var in []entry[iisconfig.Filtering]
	for _, x := range inherited(h, s, app, func(c *Config) []iisconfig.Filtering { return c.Filtering }, func(f iisconfig.Filtering) iisconfig.Scope { return f.Scope }) {
		switch {
		case x.what.List != list:
		case x.what.Op == iisconfig.Clear:
			in = nil
		case x.what.Op == iisconfig.Remove:
			in = slices.DeleteFunc(in, func(y entry[iisconfig.Filtering]) bool { return strings.EqualFold(y.what.Value, x.what.Value) })
		case strings.TrimSpace(x.what.Value) != "":
			in = append(in, x)
		}
	}
	return in
}

// filterRules gives the rules of the request filter for an application that look at
// every extension.
func (h *host) filterRules(s *iisconfig.Site, app *iisconfig.Application) []entry[iisconfig.FilterRule] {
	var in []entry[iisconfig.FilterRule]
	for _, x := range inherited(h, s, app, func(c *Config) []iisconfig.FilterRule { return c.FilterRules }, func(f iisconfig.FilterRule) iisconfig.Scope { return f.Scope }) {
		switch {
		case x.what.Op == iisconfig.Clear:
			in = nil
		case x.what.Op == iisconfig.Remove:
			in = slices.DeleteFunc(in, func(y entry[iisconfig.FilterRule]) bool { return strings.EqualFold(y.what.Name, x.what.Name) })
		case len(x.what.Extensions) == 0:
			in = append(in, x)
		}
	}
	return in
}

// within says whether a value of the request filter is in a text, as IIS compares.
func within(text, value string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(strings.TrimSpace(value)))
}

// closed says whether configuration keeps every request from an application: yes if the
// request filter does, before any code of the product runs; unknown if handlers or their
// rights were taken away, since modules of the product may answer without them.
func (h *host) closed(s *iisconfig.Site, app *iisconfig.Application) answer {
	at := address(app.Path, "")
	refused := func(c *Config, p iisconfig.Pos) answer {
		if !loaded(h.server.GlobalModules, "RequestFilteringModule") {
			return useless(postern.Say("config.why.filter-off", "address", s.Name+at), c.evidence(p))
		}
		return yes(postern.Text{}, c.evidence(p))
	}
	for _, x := range h.refusing(s, app, "hiddenSegments") {
		if slices.ContainsFunc(strings.Split(at, "/"), func(part string) bool { return part != "" && strings.EqualFold(part, x.what.Value) }) {
			return refused(x.c, x.what.Pos)
		}
	}
	for _, x := range h.refusing(s, app, "denyUrlSequences") {
		if within(at+"/", x.what.Value) {
			return refused(x.c, x.what.Pos)
		}
	}
	handlers, last := 0, entry[iisconfig.Handler]{}
	for _, x := range inherited(h, s, app, func(c *Config) []iisconfig.Handler { return c.Handlers }, func(f iisconfig.Handler) iisconfig.Scope { return f.Scope }) {
		switch x.what.Op {
		case iisconfig.Clear:
			handlers, last = 0, x
		case iisconfig.Add:
			handlers++
		}
	}
	if handlers == 0 && last.c != nil {
		return unknown(postern.Say("config.why.no-handlers", "address", s.Name+at), last.c.evidence(last.what.Pos))
	}
	policy := entry[iisconfig.Policy]{}
	for _, x := range inherited(h, s, app, func(c *Config) []iisconfig.Policy { return c.Policies }, func(f iisconfig.Policy) iisconfig.Scope { return f.Scope }) {
		policy = x
	}
	if strings.EqualFold(strings.TrimSpace(policy.what.Access), "None") {
		return unknown(postern.Say("config.why.no-access", "address", s.Name+at), policy.c.evidence(policy.what.Pos))
	}
	return no(postern.Text{})
}

// judgeClosed looks whether what runs in the pools of a mitigation is shut in another
// way. Else it leaves the answer that is there.
func (h *host) judgeClosed(m *Mitigation, was answer) answer {
	var shut []answer
	var names []string
	var open, other *answer
	openAt := ""
	for i := range h.server.Sites {
		s := &h.server.Sites[i]
		for j := range s.Applications {
			app := &s.Applications[j]
			if !slices.ContainsFunc(m.Pools, func(p string) bool { return strings.EqualFold(p, app.Pool) }) {
				continue
			}
			at := s.Name + address(app.Path, "")
			switch a := h.closed(s, app); a.state {
			case postern.Yes:
				shut, names = append(shut, a), append(names, at)
			case postern.No:
				if open == nil {
					open, openAt = &a, at
				}
			default:
				if other == nil {
					other = &a
				}
			}
		}
	}
	switch {
	case other != nil && open == nil:
		return *other
	case len(shut) == 0:
		return was
	case open != nil:
		return useless(postern.Say("config.why.refused-partly", "shut", names[0], "open", openAt), shut[0].at...)
	}
	var at []postern.Evidence
	for _, a := range shut {
		at = append(at, a.at...)
	}
	return yes(postern.Say("config.why.refused", "addresses", strings.Join(names, ", ")), at...)
}

// judgeWords looks whether the request filter refuses what the rules of a mitigation
// are there for. Else it leaves the answer that is there.
func (h *host) judgeWords(m *Mitigation, was answer) answer {
	var at []postern.Evidence
	sites, half, part := 0, 0, ""
	for i := range h.server.Sites {
		s := &h.server.Sites[i]
		if h.sideOf(s) != front {
			continue
		}
		for j := range s.Applications {
			app := &s.Applications[j]
			if !strings.EqualFold(address(app.Path, ""), m.Refused.Application) {
				continue
			}
			path, query, seen := h.refusesWords(s, app, m.Refused.Words)
			sites++
			at = append(at, seen...)
			switch {
			case path && query:
			case path:
				half, part = half+1, "config.why.part.query"
			case query:
				half, part = half+1, "config.why.part.path"
			default:
				return was
			}
		}
	}
	switch {
	case sites == 0:
		return was
	case !loaded(h.server.GlobalModules, "RequestFilteringModule"):
		return useless(postern.Say("config.why.filter-off", "address", m.Refused.Application), at...)
	case half > 0:
		return useless(postern.Say("config.why.refused-half", "application", m.Refused.Application, "part@", part), at...)
	}
	return yes(postern.Say("config.why.refused-words", "application", m.Refused.Application, "words", strings.Join(m.Refused.Words, ", ")), at...)
}

// refusesWords says whether the request filter refuses words in the path and in the
// query of requests to an application. One word is enough: all are in every request.
func (h *host) refusesWords(s *iisconfig.Site, app *iisconfig.Application, words []string) (path, query bool, at []postern.Evidence) {
	catches := func(value string) bool {
		return strings.TrimSpace(value) != "" && slices.ContainsFunc(words, func(w string) bool { return within(w, value) })
	}
	for list, part := range map[string]*bool{"denyUrlSequences": &path, "denyQueryStringSequences": &query} {
		for _, x := range h.refusing(s, app, list) {
			if catches(x.what.Value) {
				*part = true
				at = append(at, x.c.evidence(x.what.Pos))
			}
		}
	}
	for _, x := range h.filterRules(s, app) {
		if slices.ContainsFunc(x.what.Deny, catches) && (x.what.URL || x.what.Query) {
			path, query = path || x.what.URL, query || x.what.Query
			at = append(at, x.c.evidence(x.what.Pos))
		}
	}
	slices.SortFunc(at, func(a, b postern.Evidence) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Offset, b.Offset))
	})
	return path, query, at
}

// judgeModules looks whether IIS loads none of the native modules of a mitigation.
func (h *host) judgeModules(m *Mitigation) answer {
	c := h.server
	switch {
	case c == nil:
		return unknown(postern.Say("config.why.no-server-config"))
	case slices.ContainsFunc(c.External, func(x iisconfig.External) bool { return x.Section == "globalModules" }):
		return unknown(postern.Say("config.why.external-modules"), fileEvidence(c))
	case len(c.GlobalModules) == 0:
		return unknown(postern.Say("config.why.no-modules", "file", c.Path), fileEvidence(c))
	}
	for _, name := range m.Modules {
		for _, x := range slices.Backward(c.GlobalModules) {
			if x.Op == iisconfig.Add && strings.EqualFold(x.Name, name) && loaded(c.GlobalModules, name) {
				return no(postern.Say("config.why.module-loaded", "module", name), c.evidence(x.Pos))
			}
		}
		for _, other := range h.configs {
			for _, x := range other.Modules {
				if other.Copy == 0 && x.Op == iisconfig.Add && x.Type == "" && strings.EqualFold(x.Name, name) {
					return unknown(postern.Say("config.why.module-wanted", "module", name, "file", other.Path, "line", x.Line), other.evidence(x.Pos))
				}
			}
		}
	}
	return yes(postern.Say("config.why.module-gone", "module", strings.Join(m.Modules, ", ")), fileEvidence(c))
}
