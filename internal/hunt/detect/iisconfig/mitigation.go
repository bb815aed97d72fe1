package iisconfig

import (
	"regexp"
	"slices"
	"strings"

	"postern"
	"postern/internal/hunt/parse/iisconfig"
)

// Mitigation is one published way to make a flaw unusable before the patch, as
// far as the configuration of IIS shows it. It is data of a campaign.
type Mitigation struct {
	ID       string // "backend-cookie"
	Campaign string
	CVE      []string
	Title    postern.Text
	// Decides says that it alone shuts the entrance of the campaign's attack. One that
	// only takes a later step away from the intruder leaves the host unmitigated.
	Decides bool
	// Limits says what it does not do even when it works.
	Limits postern.Text
	// Rules must all be in force at every site that clients talk to.
	Rules []NeededRule
	// Addresses are examples, without first slash, of the requests that the rules
	// are there for; an earlier rule that lets them through makes them useless.
	Addresses []string
	// Refused is what does the same as the rules without them, nil if nothing does.
	Refused *Refused
	// Modules are native modules that IIS must not load.
	Modules []string
	// Product says that it belongs to the product and to no campaign: Campaign is then
	// the name of the product.
	Product bool
	// Pools must not be started by IIS.
	Pools []string
	// Services must be disabled. That is in the registry, not here.
	Services []string
	// RestartedBy are services that start the pools and services again. They have to be
	// off for as long.
	RestartedBy []string
}

// NeededRule is a rewrite rule by what it does. Its name may differ: tools name
// the same rule in several ways.
type NeededRule struct {
	Name  string // as published; a rule whose name contains it is meant to be it
	Input string // of the condition: {HTTP_COOKIE}
	// Patterns are the published ones that work.
	Patterns []string
	// Samples are harmless values of the input that any working pattern catches, to
	// judge patterns that nobody published.
	Samples []string
	// Weak are published versions that do not hold.
	Weak []WeakCondition
}

// WeakCondition is a condition that can be got around.
type WeakCondition struct {
	Input, Pattern string // "" stands for any
	Why            postern.Text
}

// MitigationState is the answer for one host.
type MitigationState struct {
	ID       string
	Campaign string
	CVE      []string
	Title    postern.Text
	Decides  bool // see [Mitigation]
	Product  bool // likewise
	Limits   postern.Text
	// State is yes, no, ineffective (it is there and does not help) or unknown.
	State    postern.State
	Why      postern.Text
	Evidence []postern.Evidence
}

// answer is a state with its reason while it is worked out.
type answer struct {
	state postern.State
	why   postern.Text
	at    []postern.Evidence
}

func yes(why postern.Text, at ...postern.Evidence) answer { return answer{postern.Yes, why, at} }
func no(why postern.Text, at ...postern.Evidence) answer  { return answer{postern.No, why, at} }
func useless(why postern.Text, at ...postern.Evidence) answer {
	return answer{postern.Ineffective, why, at}
}
func unknown(why postern.Text, at ...postern.Evidence) answer {
	return answer{postern.Unknown, why, at}
}

// Mitigations judges every mitigation by all configuration files of a host.
func (d *Detector) Mitigations(configs ...*Config) []MitigationState {
	h := d.host(configs)
	states := make([]MitigationState, 0, len(d.k.Mitigations))
	for i := range d.k.Mitigations {
		m := &d.k.Mitigations[i]
		a := h.judge(m)
		states = append(states, MitigationState{
			ID: m.ID, Campaign: m.Campaign, CVE: m.CVE, Title: m.Title, Decides: m.Decides, Product: m.Product, Limits: m.Limits,
			State: a.state, Why: a.why, Evidence: a.at,
		})
	}
	return states
}

// MitigationFindings are the same answers as facts of level 0 for a report. Those
// that rest on no file have none.
func (d *Detector) MitigationFindings(states []MitigationState) []postern.Finding {
	r := d.rules[ruleMitigation]
	var findings []postern.Finding
	for _, s := range states {
		// That nobody did what no campaign asks for is no news.
		if len(s.Evidence) == 0 || s.Product && s.State == postern.No {
			continue
		}
		campaign := s.Campaign
		if s.Product {
			campaign = ""
		}
		f := postern.Finding{
			Rule: r.ID, Campaign: campaign, Level: r.Level, Confidence: r.Confidence, CVE: s.CVE, Tags: r.Tags,
			Evidence: s.Evidence, Explain: []postern.Text{s.Why},
		}
		// The title is a message of the campaign, inside one of ours.
		name, value := "title@", s.Title.Key
		if s.Title.IsZero() {
			name, value = "title", s.ID
		}
		switch s.State {
		case postern.Yes:
			f.Title = postern.Say("config.mitigation.yes", name, value)
			if !s.Limits.IsZero() {
				f.Explain = append(f.Explain, s.Limits)
			}
		case postern.No:
			f.Title = postern.Say("config.mitigation.no", name, value)
		case postern.Ineffective:
			f.Title = postern.Say("config.mitigation.ineffective", name, value)
		default:
			f.Title = postern.Say("config.mitigation.unknown", name, value)
		}
		f.Set("mitigation", s.ID)
		f.Set("state", string(s.State))
		f.ID = postern.FindingID(f.Rule+"/"+s.Campaign+"/"+s.ID, f.Evidence[0])
		findings = append(findings, f)
	}
	return findings
}

// judge answers for one mitigation. What could not be read may take it away again, so
// that nothing is called in force beside it.
func (h *host) judge(m *Mitigation) answer {
	a := h.judgeRead(m)
	if a.state != postern.Yes {
		return a
	}
	switch c := h.unread(); {
	case c == nil:
		return a
	case !c.Lost:
		return unknown(postern.Say("config.why.unread", "file", c.Path), append(a.at, fileEvidence(c))...)
	case c.Path == "":
		return unknown(postern.Say("config.why.lost-part"), a.at...)
	default:
		return unknown(postern.Say("config.why.lost", "place", c.Path), append(a.at, postern.Evidence{Path: c.Path})...)
	}
}

// unread gives a web.config of an application that could not be read to its end, a place
// that may hold one and was not looked at, or a redirection.config that may name another
// configuration than this one; nil if there is none of them.
func (h *host) unread() *Config {
	if h.perhaps != nil {
		return h.perhaps
	}
	if h.server == nil {
		return nil
	}
	for i := range h.server.Sites {
		for _, app := range h.server.Sites[i].Applications {
			for _, dir := range app.Directories {
				folder := canonical(dir.PhysicalPath, h.install)
				c := h.webConfig(folder)
				if c != nil && !c.Whole {
					return c
				}
				if i := slices.IndexFunc(h.lost, func(l *Config) bool { return l.mayHold(folder, h.install) }); c == nil && i >= 0 {
					return h.lost[i]
				}
			}
		}
	}
	return nil
}

// judgeRead answers by what was read.
func (h *host) judgeRead(m *Mitigation) answer {
	switch {
	case h.elsewhere:
		return unknown(postern.Say("config.why.elsewhere"))
	case h.server != nil && !sound(h.server):
		return unknown(postern.Say("config.why.broken", "file", h.server.Path), fileEvidence(h.server))
	case len(m.Rules) > 0:
		a := h.judgeRules(m)
		if a.state != postern.Yes && m.Refused != nil && h.server != nil {
			a = h.judgeWords(m, a)
		}
		return a
	case len(m.Pools) > 0:
		a := h.judgePools(m)
		if a.state != postern.Yes && h.server != nil {
			a = h.judgeClosed(m, a)
		}
		return a
	case len(m.Modules) > 0:
		return h.judgeModules(m)
	}
	return unknown(postern.Say("config.why.services", "services", strings.Join(m.Services, ", ")))
}

// sound says whether IIS would accept the file and all of it was read: what is not
// in it is then truly not there.
func sound(c *Config) bool { return c.WellFormed && c.Whole }

// judgePools looks whether IIS leaves the application pools stopped.
func (h *host) judgePools(m *Mitigation) answer {
	c := h.server
	if c == nil {
		return unknown(postern.Say("config.why.no-server-config"))
	}
	var at []postern.Evidence
	for _, name := range m.Pools {
		i := slices.IndexFunc(c.Pools, func(p iisconfig.Pool) bool { return strings.EqualFold(p.Name, name) })
		if i < 0 {
			return no(postern.Say("config.why.no-pool", "pool", name), fileEvidence(c))
		}
		p := c.Pools[i]
		auto := p.AutoStart
		if auto == "" {
			auto = c.PoolDefaults.AutoStart
		}
		at = append(at, c.evidence(p.Pos))
		if !isFalse(auto) {
			return no(postern.Say("config.why.pool-starts", "pool", name), c.evidence(p.Pos))
		}
	}
	return yes(postern.Say("config.why.pool-stopped", "pool", strings.Join(m.Pools, ", ")), at...)
}

func isFalse(s string) bool { return strings.EqualFold(strings.TrimSpace(s), "false") || s == "0" }

func fileEvidence(c *Config) postern.Evidence {
	return postern.Evidence{Path: c.Path, Line: 1, SHA256: c.SHA256}
}

// frontSite is one site that clients talk to, with what its requests pass.
type frontSite struct {
	name string
	root string // canonical folder of the site
	web  *Config
	apps []frontApp
}

// frontApp is one application of such a site.
type frontApp struct {
	at, folder string
	web        *Config
}

// fronts gives the sites that must be protected. Without applicationHost.config
// that is the default one, with the stock applications.
func (h *host) fronts() []frontSite {
	if h.server == nil {
		return []frontSite{h.defaultFront()}
	}
	var sites []frontSite
	for i := range h.server.Sites {
		s := &h.server.Sites[i]
		if h.sideOf(s) != front {
			continue
		}
		f := frontSite{name: s.Name}
		for _, app := range s.Applications {
			for _, dir := range app.Directories {
				at, folder := address(app.Path, dir.Path), canonical(dir.PhysicalPath, h.install)
				if at == "/" {
					f.root, f.web = folder, h.webConfig(folder)
				} else if strings.Trim(dir.Path, "/") == "" {
					f.apps = append(f.apps, frontApp{at, folder, h.webConfig(folder)})
				}
			}
		}
		sites = append(sites, f)
	}
	return sites
}

func (h *host) defaultFront() frontSite {
	f := frontSite{name: "Default Web Site"}
	for at, folders := range h.d.front {
		for _, folder := range folders {
			if at == "/" {
				f.root, f.web = folder, h.webConfig(folder)
			} else if web := h.webConfig(folder); web != nil {
				f.apps = append(f.apps, frontApp{at, folder, web})
			}
		}
	}
	slices.SortFunc(f.apps, func(a, b frontApp) int { return strings.Compare(a.at, b.at) })
	return f
}

// webConfig gives the web.config of a folder (canonical), nil if it was not given.
func (h *host) webConfig(folder string) *Config {
	var perhaps *Config
	for _, c := range h.configs {
		if c.Copy != 0 {
			continue
		}
		may, sure := c.serves(folder)
		if sure {
			return c
		}
		if may && perhaps == nil {
			perhaps = c
		}
	}
	return perhaps
}

// judgeRules puts the sites together: one that is not protected is enough.
func (h *host) judgeRules(m *Mitigation) answer {
	sites := h.fronts()
	if len(sites) == 0 {
		return unknown(postern.Say("config.why.no-front"), fileEvidence(h.server))
	}
	by := make(map[postern.State][]answer)
	bare := ""
	var at []postern.Evidence
	for i := range sites {
		a := h.judgeSite(m, &sites[i])
		by[a.state] = append(by[a.state], a)
		at = append(at, a.at...)
		if a.state == postern.No && bare == "" {
			bare = sites[i].name
		}
	}
	switch {
	case len(by[postern.Ineffective]) > 0:
		return by[postern.Ineffective][0]
	case len(by[postern.No]) == len(sites):
		if stray, ok := h.stray(m, sites); ok {
			return stray
		}
		return no(by[postern.No][0].why, at...)
	case len(by[postern.No]) > 0:
		return useless(postern.Say("config.why.other-site", "site", bare), at...)
	case len(by[postern.Unknown]) > 0:
		return unknown(by[postern.Unknown][0].why, at...)
	}
	return yes(by[postern.Yes][0].why, at...)
}

// judgeSite answers for one site: all rules of the mitigation must work there.
func (h *host) judgeSite(m *Mitigation, s *frontSite) answer {
	if s.web != nil && !sound(s.web) {
		return unknown(postern.Say("config.why.broken", "file", s.web.Path), fileEvidence(s.web))
	}
	list := h.effective(s)
	var works, missing, broken, open []answer
	missingName := ""
	for i := range m.Rules {
		a := h.judgeNeed(m, &m.Rules[i], s, list)
		switch a.state {
		case postern.Yes:
			works = append(works, a)
		case postern.No:
			missing, missingName = append(missing, a), m.Rules[i].Name
		case postern.Ineffective:
			broken = append(broken, a)
		default:
			open = append(open, a)
		}
	}
	var at []postern.Evidence
	for _, a := range works {
		at = append(at, a.at...)
	}
	switch {
	case len(broken) > 0:
		return useless(broken[0].why, append(broken[0].at, at...)...)
	case len(missing) > 0 && len(missing) < len(m.Rules) && len(open) == 0:
		return useless(postern.Say("config.why.rule-missing", "rule", missingName, "site", s.name), at...)
	case len(open) > 0:
		return unknown(open[0].why, append(open[0].at, at...)...)
	case len(missing) > 0:
		return missing[0]
	}
	if h.server == nil {
		return unknown(postern.Say("config.why.module-unknown"), at...)
	}
	if a, ok := h.judgeModule(s, at); !ok {
		return a
	}
	return yes(postern.Say("config.why.effective", "site", s.name), at...)
}

// judgeModule looks whether IIS runs the rules at all. ok is false if it does not.
func (h *host) judgeModule(s *frontSite, at []postern.Evidence) (answer, bool) {
	const module = "RewriteModule"
	if !loaded(h.server.GlobalModules, module) {
		return useless(postern.Say("config.why.module-missing"), append(at, fileEvidence(h.server))...), false
	}
	if len(h.server.Modules) > 0 && !loaded(h.server.Modules, module, s.name) {
		return useless(postern.Say("config.why.module-off", "place", s.name), append(at, fileEvidence(h.server))...), false
	}
	for _, app := range append([]frontApp{{"/", s.root, s.web}}, s.apps...) {
		if app.web == nil {
			continue
		}
		for _, x := range app.web.Modules {
			if x.Location != "" && x.Location != "." || x.NotInChildren && app.at == "/" {
				continue
			}
			if x.Op == iisconfig.Clear && !loaded(app.web.Modules, module) || x.Op == iisconfig.Remove && strings.EqualFold(x.Name, module) {
				return useless(postern.Say("config.why.module-off", "place", s.name+app.at), append(at, app.web.evidence(x.Pos))...), false
			}
		}
	}
	return answer{}, true
}

// loaded plays the list of modules through for a place and says whether a module
// is in it at the end.
func loaded(list []iisconfig.Module, name string, places ...string) bool {
	in := false
	for _, m := range list {
		if m.Location != "" && !slices.ContainsFunc(places, func(p string) bool { return strings.EqualFold(p, m.Location) }) {
			continue
		}
		switch m.Op {
		case iisconfig.Clear:
			in = false
		case iisconfig.Remove:
			in = in && !strings.EqualFold(m.Name, name)
		default:
			in = in || strings.EqualFold(m.Name, name)
		}
	}
	return in
}

// placed is a rule and the file it stands in.
type placed struct {
	*iisconfig.Rule
	c *Config
	// narrow says that applications below the site do not see it.
	narrow bool
	// gone is what took it away again, nil if nothing did.
	gone *placed
}

// effective gives the rules that requests to a site pass, in their order: those of
// the whole server, of the site, and of its web.config.
func (h *host) effective(s *frontSite) []placed {
	var list []placed
	play := func(c *Config, take func(r *iisconfig.Rule) bool) {
		for i := range c.Rules {
			r := &c.Rules[i]
			if !take(r) {
				continue
			}
			p := placed{Rule: r, c: c, narrow: r.NotInChildren}
			if r.Op == iisconfig.Add {
				list = append(list, p)
				continue
			}
			if r.NotInChildren {
				continue // takes it away from the site's own pages only
			}
			for j := range list {
				if list[j].Global == r.Global && (r.Op == iisconfig.Clear || strings.EqualFold(list[j].Name, r.Name)) {
					list[j].gone = &p
				}
			}
		}
	}
	if h.server != nil {
		play(h.server, func(r *iisconfig.Rule) bool { return r.Global })
		play(h.server, func(r *iisconfig.Rule) bool { return !r.Global && r.Location == "" })
		play(h.server, func(r *iisconfig.Rule) bool { return !r.Global && strings.EqualFold(r.Location, s.name) })
	}
	if s.web != nil {
		play(s.web, func(r *iisconfig.Rule) bool { return !r.Global && (r.Location == "" || r.Location == ".") })
	}
	return list
}

// judgeNeed answers for one needed rule at one site.
func (h *host) judgeNeed(m *Mitigation, need *NeededRule, s *frontSite, list []placed) answer {
	best, found := answer{}, false
	for i := range list {
		if !need.meant(list[i].Rule) {
			continue
		}
		a := h.judgeRule(m, need, s, list, i)
		if !found || better(a, best) {
			best, found = a, true
		}
	}
	switch {
	case found:
		return best
	case h.external(s):
		return unknown(postern.Say("config.why.external"))
	case s.web == nil:
		return unknown(postern.Say("config.why.no-web-config", "site", s.name, "folder", s.root))
	case h.server == nil:
		return unknown(postern.Say("config.why.absent-here", "file", s.web.Path), fileEvidence(s.web))
	}
	return no(postern.Say("config.why.absent", "rule", need.Name, "site", s.name), fileEvidence(s.web))
}

// better says whether one answer is more use to the administrator than another.
func better(a, b answer) bool {
	value := map[postern.State]int{postern.Yes: 3, postern.Unknown: 2, postern.Ineffective: 1}
	return value[a.state] > value[b.state]
}

// external says whether the rules of a site may stand in another file.
func (h *host) external(s *frontSite) bool {
	for _, c := range []*Config{h.server, s.web} {
		if c == nil {
			continue
		}
		for _, x := range c.External {
			if x.Section == "rules" || x.Section == "globalRules" || x.Section == "rewrite" {
				return true
			}
		}
	}
	return false
}

// meant says whether a rule is, or wants to be, the needed one.
func (n *NeededRule) meant(r *iisconfig.Rule) bool {
	if n.Name != "" && strings.Contains(strings.ToLower(r.Name), strings.ToLower(n.Name)) {
		return true
	}
	for _, c := range r.Conditions {
		if n.published(c) {
			return true
		}
		for _, w := range n.Weak {
			if w.Pattern != "" && w.fits(c) {
				return true
			}
		}
	}
	return false
}

// published says whether a condition is one that works, word for word.
func (n *NeededRule) published(c iisconfig.Condition) bool {
	return sameInput(c.Input, n.Input) && slices.ContainsFunc(n.Patterns, func(p string) bool { return samePattern(p, c.Pattern) })
}

func (w WeakCondition) fits(c iisconfig.Condition) bool {
	return (w.Input == "" || sameInput(w.Input, c.Input)) && (w.Pattern == "" || samePattern(w.Pattern, c.Pattern))
}

func sameInput(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}
func samePattern(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}

// judgeRule says whether one rule of the list stops what it is there to stop.
func (h *host) judgeRule(m *Mitigation, need *NeededRule, s *frontSite, list []placed, i int) answer {
	r := &list[i]
	at := r.c.evidence(r.Pos)
	args := func(more ...any) []any { return append([]any{"rule", r.Name}, more...) }
	switch {
	case r.gone != nil:
		return useless(postern.Say("config.why.removed", args("file", r.gone.c.Path, "line", r.gone.Line)...), at, r.gone.c.evidence(r.gone.Pos))
	case r.narrow:
		return useless(postern.Say("config.why.not-inherited", args("site", s.name)...), at)
	case r.Disabled:
		return useless(postern.Say("config.why.disabled", args()...), at)
	case !everyAddress(r.Rule):
		return useless(postern.Say("config.why.url", args("url", r.Match.URL)...), at)
	case !stops(r.Action):
		return useless(postern.Say("config.why.action", args("action", actionName(r.Action))...), at)
	}
	if a := need.judgeConditions(r.Rule, at); a.state != postern.Yes {
		return a
	}
	if a := earlier(m, list, i); a.state != postern.Yes {
		a.at = append([]postern.Evidence{at}, a.at...)
		return a
	}
	for _, app := range s.apps {
		if app.web == nil {
			continue
		}
		for j := range app.web.Rules {
			x := &app.web.Rules[j]
			takes := x.Op == iisconfig.Clear || x.Op == iisconfig.Remove && strings.EqualFold(x.Name, r.Name)
			if takes && !x.Global && (x.Location == "" || x.Location == ".") && !r.Global {
				return useless(postern.Say("config.why.removed-below", args("address", app.at)...), at, app.web.evidence(x.Pos))
			}
		}
	}
	if h.server != nil && !r.Global {
		for j := range h.server.Rules {
			x := &h.server.Rules[j]
			takes := x.Op == iisconfig.Clear || x.Op == iisconfig.Remove && strings.EqualFold(x.Name, r.Name)
			if takes && !x.Global && len(x.Location) > len(s.name) && strings.EqualFold(x.Location[:len(s.name)+1], s.name+"/") {
				return useless(postern.Say("config.why.removed-below", args("address", x.Location)...), at, h.server.evidence(x.Pos))
			}
		}
	}
	return yes(postern.Text{}, at)
}

// everyAddress says whether the url of a rule takes every request.
func everyAddress(r *iisconfig.Rule) bool {
	if r.Match.Negate {
		return false
	}
	url := strings.TrimSpace(r.Match.URL)
	switch strings.ToLower(r.PatternSyntax) {
	case "wildcard":
		return strings.Trim(url, "*") == "" && url != ""
	case "exactmatch":
		return false
	}
	switch strings.Trim(strings.TrimSuffix(strings.TrimPrefix(url, "^"), "$"), "()") {
	case ".*", ".*?", ".+":
		return true
	case "":
		return url != "^$" // an empty pattern matches everywhere, "^$" the root alone
	}
	return false
}

// stops says whether an action ends a request before the product sees it.
func stops(a iisconfig.Action) bool {
	switch strings.ToLower(a.Type) {
	case "abortrequest":
		return true
	case "customresponse":
		return strings.HasPrefix(a.StatusCode, "4") || strings.HasPrefix(a.StatusCode, "5")
	}
	return false
}

func actionName(a iisconfig.Action) string {
	if a.Type == "" {
		return "None"
	}
	return a.Type
}

// judgeConditions says whether the conditions of a rule hold for every request
// that it must stop.
func (n *NeededRule) judgeConditions(r *iisconfig.Rule, at postern.Evidence) answer {
	if len(r.Conditions) == 0 {
		// It stops every request: of no use to anybody, but nothing gets through.
		return yes(postern.Text{}, at)
	}
	say := func(key postern.Text) answer { return useless(key, at) }
	best := answer{}
	for i, c := range r.Conditions {
		a := n.judgeCondition(r, c, at)
		if a.state != postern.Yes && !r.MatchAny && len(r.Conditions) > 1 && !sameInput(c.Input, n.Input) {
			// All conditions must hold, and this one asks for something else as well.
			a = say(postern.Say("config.why.more-conditions", "rule", r.Name, "input", c.Input, "pattern", c.Pattern))
		}
		switch {
		case i == 0:
			best = a
		case r.MatchAny && better(a, best), !r.MatchAny && better(best, a):
			best = a
		}
	}
	return best
}

func (n *NeededRule) judgeCondition(r *iisconfig.Rule, c iisconfig.Condition, at postern.Evidence) answer {
	args := []any{"rule", r.Name, "pattern", c.Pattern, "input", c.Input}
	for _, w := range n.Weak {
		if w.fits(c) && !n.published(c) {
			return useless(w.Why, at)
		}
	}
	switch {
	case c.MatchType != "" && !strings.EqualFold(c.MatchType, "Pattern") && c.MatchType != "0":
		return useless(postern.Say("config.why.match-type", "rule", r.Name, "type", c.MatchType), at)
	case !sameInput(c.Input, n.Input):
		return useless(postern.Say("config.why.input", append(args, "wanted", n.Input)...), at)
	case c.Negate:
		return useless(postern.Say("config.why.negate", args...), at)
	case c.CaseMatters:
		return useless(postern.Say("config.why.case", args...), at)
	case n.published(c) && !strings.EqualFold(r.PatternSyntax, "Wildcard") && !strings.EqualFold(r.PatternSyntax, "ExactMatch"):
		return yes(postern.Text{}, at)
	}
	// A pattern of somebody's own: try it.
	matches, known := matcher(r.PatternSyntax, c.Pattern, false)
	if !known || len(n.Samples) == 0 {
		return unknown(postern.Say("config.why.own-pattern", args...), at)
	}
	for _, sample := range n.Samples {
		if !matches(sample) {
			return useless(postern.Say("config.why.pattern", args...), at)
		}
	}
	return yes(postern.Text{}, at)
}

// maxPattern is the longest pattern that is compiled; real ones have under 200 characters.
const maxPattern = 1000

// matcher gives a test for a pattern; known is false if it is written in a way
// that cannot be judged here, such as with lookahead.
func matcher(syntax, pattern string, caseMatters bool) (matches func(string) bool, known bool) {
	fold := "(?i)"
	if caseMatters {
		fold = ""
	}
	if len(pattern) > maxPattern {
		return nil, false
	}
	switch strings.ToLower(syntax) {
	case "exactmatch":
		pattern = "^" + regexp.QuoteMeta(pattern) + "$"
	case "wildcard":
		pattern = "^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$"
	}
	re, err := regexp.Compile(fold + pattern)
	if err != nil {
		return nil, false
	}
	return re.MatchString, true
}

// earlier looks for a rule before the one at i that ends the list for requests
// that the mitigation is there for, and lets them through.
func earlier(m *Mitigation, list []placed, i int) answer {
	doubt := answer{state: postern.Yes}
	for j := range list[:i] {
		r := &list[j]
		if r.Global != list[i].Global || r.gone != nil || r.narrow || r.Disabled || !r.StopProcessing {
			continue
		}
		// A redirect or a refusal is an answer: the request does not go on.
		if kind := strings.ToLower(r.Action.Type); kind != "" && kind != "none" && kind != "rewrite" {
			continue
		}
		at := r.c.evidence(r.Pos)
		lets := postern.Say("config.why.earlier-rule", "rule", r.Name, "before", list[i].Name)
		mayLet := postern.Say("config.why.earlier-rule-maybe", "rule", r.Name, "before", list[i].Name)
		hit, known := takesAny(r.Rule, m.Addresses)
		switch {
		case known && !hit:
		case known && len(r.Conditions) == 0:
			return useless(lets, at)
		default:
			doubt = unknown(mayLet, at)
		}
	}
	return doubt
}

// takesAny says whether the url of a rule takes any of the addresses.
func takesAny(r *iisconfig.Rule, addresses []string) (hit, known bool) {
	if everyAddress(r) {
		return true, true
	}
	matches, known := matcher(r.PatternSyntax, r.Match.URL, r.Match.CaseMatters)
	if !known || len(addresses) == 0 {
		return false, false
	}
	return slices.ContainsFunc(addresses, func(a string) bool { return matches(a) != r.Match.Negate }), true
}

// stray looks for the rules in places where they protect nothing of the product.
func (h *host) stray(m *Mitigation, sites []frontSite) (answer, bool) {
	for _, c := range h.configs {
		if c.Copy != 0 {
			continue
		}
		for i := range c.Rules {
			r := &c.Rules[i]
			for j := range m.Rules {
				if r.Op != iisconfig.Add || !m.Rules[j].meant(r) {
					continue
				}
				where := c.Path
				if r.Location != "" {
					where = r.Location
				}
				return useless(postern.Say("config.why.elsewhere-rule", "rule", r.Name, "place", where, "site", sites[0].name), c.evidence(r.Pos)), true
			}
		}
	}
	return answer{}, false
}
