package fingerprint

import (
	"slices"
	"strings"
	"time"

	"postern"
	"postern/internal/exposure"
)

// Reading gathers the answers of one visit and concludes from them. It is for one
// goroutine.
type Reading struct {
	book    *Book
	name    string
	address string
	cert    *exposure.Certificate
	tls     exposure.TLS
	network exposure.Network
	known   time.Time
	at      time.Time // of the visit; zero if nobody knows
	first   exposure.Hint
	// firstLine is the line that the host had when first was found.
	firstLine string
	wasHid    bool // a stored record already said hidden
	scan      scanner
	// said is what the answers so far come to; nil when one was added since. What to ask
	// next and what to record at the end are mostly the same conclusion.
	said *conclusion
}

// conclusion is what answers come to.
type conclusion struct {
	exposure.Observation
	view view
}

// Start begins a visit that has no answer yet. The answers that v already has
// are added.
func (b *Book) Start(v *exposure.Visit) *Reading {
	r := &Reading{book: b, name: v.Name, address: v.Address, network: v.Network, known: v.KnownSince, at: v.Time, first: v.Hint, firstLine: v.HintLine}
	r.scan.at = v.Time
	if v.TLS != nil {
		r.cert = &v.TLS.Certificate
		r.tls = exposure.TLS{Version: v.TLS.Version, Profile: v.TLS.Profile}
	}
	for i := range v.Answers {
		r.Add(&v.Answers[i])
	}
	return r
}

// Add reads one more answer. The body may be used again by the caller afterwards.
func (r *Reading) Add(a *exposure.Answer) {
	r.said = nil
	r.scan.add(a, r.name, r.address)
}

// Identify concludes from a whole visit.
func (b *Book) Identify(v *exposure.Visit) exposure.Observation {
	var o exposure.Observation
	b.Start(v).Conclude(&o)
	return o
}

// Replay concludes again from the evidence of a stored record, with this book.
// Records whose outcome does not rest on answers stay as they are.
func (b *Book) Replay(o *exposure.Observation) {
	if !o.Outcome.Answered() || len(o.Evidence) == 0 {
		return
	}
	r := &Reading{book: b, name: o.Name, address: o.Address, tls: o.TLS, at: o.Time, wasHid: o.Outcome == exposure.Hidden}
	if o.Has(exposure.CloudProfileCopied) {
		r.network = exposure.NetworkOther
	}
	for _, e := range o.Evidence {
		if len(r.scan.signals) < maxEvidence {
			r.scan.signals = append(r.scan.signals, parseSignal(e))
		}
	}
	kept, hosts := o.Identity, map[string]string{}
	for _, m := range o.Members {
		hosts[m.Frontend] = m.Host
	}
	r.Conclude(o)
	// The certificate is not stored whole: what it said about the identity stays.
	kept.Frontend, kept.FQDN, kept.Tenant = o.Identity.Frontend, o.Identity.FQDN, o.Identity.Tenant
	o.Identity = kept
	for i := range o.Members {
		if h := hosts[o.Members[i].Frontend]; h != "" {
			o.Members[i].Host = h
		}
	}
}

// view is what the signals of a visit say, before builds are narrowed.
type view struct {
	rewritten, cloud, proof, hint bool
	versions                      int // trusted version headers
	frontends                     []string
	health                        string
	tenant                        string
	gateway, broken, device       bool
	toLogon                       bool // redirects to the login page, which itself was not seen
	toItself                      bool // the login page redirects to itself
	traps                         []string
	policy, directWithout, denied bool
	runtime, server               string
	look                          string
}

// look gathers what does not need the build table.
func (r *Reading) look() view {
	v := view{denied: len(r.scan.signals) > 0}
	version := map[string]bool{} // requests whose answer had the header
	frontend := map[string]int{} // requests that a front end answered, with the status
	foreign, logon := "", false
	trap := func(s string) {
		if !slices.Contains(v.traps, s) {
			v.traps = append(v.traps, s)
		}
	}
	for _, s := range r.scan.signals {
		switch s.status {
		case 401, 403, 404, 503:
		default:
			v.denied = false
		}
		switch s.kind {
		case sigVersion:
			version[s.request] = true
			b, err := postern.ParseBuild(s.value)
			switch {
			case padded(s.value):
				v.rewritten = true
			case err != nil || strings.Count(s.value, ".") != 3:
			case cloudBuild(b):
				v.cloud = true
			case EditionOf(b) != "":
				v.proof = true
				v.versions++
				if r.book.seen[b].Rule == exposure.RuleImpostor {
					trap("impostor-build")
					trap("copied-profile")
				}
			}
		case sigFrontend:
			v.proof = v.proof || hostName(s.value)
			frontend[s.request] = s.status
			if name := frontendName(s.value); name != "" && !slices.Contains(v.frontends, name) {
				v.frontends = append(v.frontends, name)
			}
		case sigServer:
			v.server = s.value
		case sigRuntime:
			v.runtime = s.value
		case sigPath:
			v.proof = v.proof || strings.HasPrefix(s.path(), "/owa/")
			v.hint = true
		case sigFour:
			v.proof = true
			trap("four-part-path")
			trap("made-by-hand")
		case sigLegacy:
			v.proof = v.proof || strings.HasPrefix(s.path(), "/owa/")
			v.hint = true
		case sigManifest:
			v.proof = true
		case sigHealth:
			v.proof = true
			if v.health == "" {
				v.health = s.value
			}
		case sigPage:
			v.hint = true
			logon = logon || s.value == "logon"
			if s.value != "logon" {
				v.look = s.value
			}
		case sigRedirect:
			switch {
			case s.value == "cloud":
				v.cloud = true
			case s.value == "error-page":
				v.proof, v.broken = true, true
			case s.value == "logon" || s.value == "logon-elsewhere":
				v.hint, v.toLogon = true, true
				v.toItself = v.toItself || s.value == "logon" && s.path() == PathLogon
			case s.value == "owa":
				v.hint = true
			case strings.HasPrefix(s.value, "gateway"):
				v.gateway = true
			}
		case sigCloud:
			v.cloud = true
		case sigTenant:
			v.tenant = s.value
		case sigDevice:
			v.device = true
		case sigTrap:
			trap(s.value)
		case sigPolicy:
			v.policy = true
		case sigForeign:
			foreign = s.value
		}
	}
	v.proof = v.proof || logon
	if foreign != "" && (logon || v.proof) {
		trap("foreign-runtime")
		trap("runs-on-" + foreign)
	}
	for request, status := range frontend {
		if status == 401 && !version[request] {
			v.directWithout = true
		}
	}
	return v
}

// padded says whether a version is in the long form with leading zeros, which no
// server writes by itself.
func padded(s string) bool {
	if strings.Count(s, ".") != 3 {
		return false
	}
	for _, p := range strings.Split(s, ".") {
		if len(p) > 1 && p[0] == '0' {
			return true
		}
	}
	return false
}

// frontendName gives a NetBIOS name in upper case, "" for what is none: a proxy
// wrote it.
func frontendName(s string) string {
	if len(s) > 15 || strings.Contains(s, ".") || !hostName(s) {
		return ""
	}
	return strings.ToUpper(s)
}

// member is one front end with what is said about its build.
type member struct {
	name  string
	spans []span // of different lines if the evidence contradicts itself; the first is believed
	flags []exposure.Flag
}

// Conclude fills in what the answers say: outcome, product, line, build, identity,
// flags, members, evidence and the reason.
func (r *Reading) Conclude(o *exposure.Observation) {
	c := &r.conclude().Observation
	o.Schema, o.TLS = exposure.Schema, r.tls
	o.Outcome, o.Why, o.Product, o.Line, o.Build = c.Outcome, c.Why, c.Product, c.Line, c.Build
	o.Identity, o.Flags, o.Members, o.Evidence = c.Identity, c.Flags, c.Members, c.Evidence
	r.said = nil // the caller may change the lists
}

// conclude draws the conclusion, once for the same answers.
func (r *Reading) conclude() *conclusion {
	if r.said != nil {
		return r.said
	}
	r.said = &conclusion{view: r.look()}
	v, o := &r.said.view, &r.said.Observation
	if v.rewritten {
		v.frontends = nil
	}
	members, notes := r.members(*v)
	flag := func(on bool, f exposure.Flag) {
		if on && !slices.Contains(o.Flags, f) {
			o.Flags = append(o.Flags, f)
		}
	}
	r.identify(o, *v)
	r.judge(o, *v, members, flag)
	if o.Outcome == exposure.Exchange || o.Outcome == exposure.Imitation {
		r.fill(o, *v, members, flag)
	}
	if len(o.Members) > 1 {
		// What a whole service has in common is the name of none of its members.
		o.Identity.Also = o.Identity.Also[:max(len(o.Identity.Also)-1, 0)]
	}
	o.Evidence = r.evidence(notes)
	return r.said
}

// identify fills in who the host is.
func (r *Reading) identify(o *exposure.Observation, v view) {
	o.Identity = exposure.Identity{FQDN: v.health}
	if len(v.frontends) > 0 {
		o.Identity.Frontend = v.frontends[0]
	}
	if v.tenant != "federation" {
		o.Identity.Tenant = v.tenant
	}
	if r.cert != nil {
		o.Identity.CertificateSHA256, o.Identity.KeySHA256 = r.cert.SHA256, r.cert.KeySHA256
	}
	keys := exposure.HostKeys(o.Identity.Frontend, v.health, r.name, r.address, r.cert)
	o.Identity.Host, o.Identity.Also = keys[0], keys[1:]
}

// judge finds the outcome, with its reason.
func (r *Reading) judge(o *exposure.Observation, v view, members []member, flag func(bool, exposure.Flag)) {
	traps := v.traps
	for _, m := range members {
		if slices.Contains(m.flags, exposure.HeaderTooOld) {
			traps = append(traps, "header-too-old")
		}
		if slices.Contains(m.flags, exposure.ImpossiblePair) {
			traps = append(traps, "impossible-pair")
		}
	}
	slices.Sort(traps)
	traps = slices.Compact(traps)
	switch {
	case v.cloud && r.copied(v):
		o.Outcome, o.Why = exposure.Imitation, postern.Say("exposure.reason.cloud-copied")
		flag(true, exposure.CloudProfileCopied)
	case v.cloud && v.versions == 0:
		o.Outcome, o.Why = exposure.Cloud, postern.Say("exposure.reason.cloud")
	case len(traps) >= 2:
		o.Outcome = exposure.Imitation
		o.Why = postern.Say("exposure.reason.imitation", "signs", strings.Join(traps, ", "))
		flag(true, exposure.SuspectedImitation)
	case v.proof:
		o.Outcome = exposure.Exchange
		flag(len(traps) == 1, exposure.SuspectedImitation)
	case v.gateway:
		o.Outcome, o.Why = exposure.Hidden, postern.Say("exposure.reason.gateway")
	case v.toLogon:
		o.Outcome, o.Why = exposure.Hidden, postern.Say("exposure.reason.hidden-logon")
	case !r.known.IsZero():
		o.Outcome = exposure.Hidden
		o.Why = postern.Say(exposure.KnownBefore, "since", r.known.UTC().Format("2006-01-02"))
	case r.wasHid:
		// What it rested on, a certificate or an earlier record, is not in the evidence: the
		// reason that was written then stays.
		o.Outcome = exposure.Hidden
	case v.denied && r.cert != nil && r.cert.DefaultOf() != "":
		o.Outcome, o.Why = exposure.Hidden, postern.Say("exposure.reason.hidden-certificate")
	default:
		o.Outcome, o.Why = exposure.NotExchange, postern.Say("exposure.reason.not-exchange")
	}
	flag(v.gateway, exposure.PreAuthentication)
	flag(v.rewritten, exposure.HeadersRewritten)
}

// copied says whether cloud headers come from a place that cannot be the cloud.
func (r *Reading) copied(v view) bool {
	header := slices.ContainsFunc(r.scan.signals, func(s signal) bool {
		return s.kind == sigCloud || s.kind == sigVersion && strings.HasPrefix(s.value, "15.20.")
	})
	switch {
	case !header || r.network == exposure.NetworkMicrosoft:
		return false // a mere redirect to the cloud copies nothing
	case r.network == exposure.NetworkOther:
		return true
	case v.versions > 0:
		return true // the cloud's names with a build that the cloud does not run
	case r.cert == nil:
		return false
	}
	for _, n := range append(slices.Clone(r.cert.Names), r.cert.CommonName) {
		for _, c := range []string{"outlook.com", "office365.com", "office.com", "microsoft.com", "outlook.cloud.microsoft"} {
			if n = strings.ToLower(n); n == c || strings.HasSuffix(n, "."+c) {
				return false
			}
		}
	}
	return true
}

// members groups the signals by front end and narrows the build of each. Notes
// explain lines of evidence, by index.
func (r *Reading) members(v view) ([]member, map[int]string) {
	notes := map[int]string{}
	by := map[string]string{} // request → front end
	if len(v.frontends) > 1 {
		for _, s := range r.scan.signals {
			if s.kind == sigFrontend {
				by[s.request] = frontendName(s.value)
			}
		}
	}
	names := v.frontends
	if len(names) == 0 {
		names = []string{""}
	}
	if len(names) > 1 {
		names = append([]string{""}, names...)
	}
	var all []member
	for _, name := range names {
		m := r.narrow(v, notes, func(s signal) bool { return len(names) == 1 || by[s.request] == name })
		m.name = name
		all = append(all, m)
	}
	if len(all) > 1 {
		all = settle(all)
	}
	// The health check may have been answered by yet another front end.
	if short, _, _ := strings.Cut(strings.ToUpper(v.health), "."); v.health != "" && len(v.frontends) > 0 && !slices.Contains(v.frontends, truncate(short)) {
		all = append(all, member{name: truncate(short)})
	}
	return all, notes
}

// truncate cuts a computer name to the fifteen letters of its NetBIOS form.
func truncate(s string) string { return s[:min(len(s), 15)] }

// settle drops the nameless member of a load-balanced service if its evidence
// says no more than that of the named ones: an answer without a front-end name
// came from one of them.
func settle(all []member) []member {
	nameless := all[0]
	for _, w := range nameless.spans {
		if !slices.ContainsFunc(all[1:], func(m member) bool {
			return slices.ContainsFunc(m.spans, func(x span) bool { return x.key == w.key && x.lo >= w.lo && x.hi <= w.hi })
		}) {
			return all
		}
	}
	return all[1:]
}

// narrow intersects what the signals of one front end say about its build.
func (r *Reading) narrow(v view, notes map[int]string, mine func(signal) bool) member {
	var m member
	var paths, others []span   // the HTML is believed before headers, which a proxy can write
	spoke := map[lineKey]int{} // the signal that first named a line
	for i, s := range r.scan.signals {
		if !mine(s) {
			continue
		}
		b, err := postern.ParseBuild(s.value)
		if err != nil || EditionOf(b) == "" || cloudBuild(b) {
			if s.kind == sigVersion && v.rewritten {
				notes[i] = "not believed"
			}
			continue
		}
		var w span
		switch {
		case s.kind == sigPath:
			w = r.book.whole(b)
			paths = append(paths, w)
		case s.kind == sigLegacy && legacy(b):
			w = r.book.fromHeader(b)
			paths = append(paths, w)
		case s.kind == sigManifest:
			w = r.book.fromManifest(b)
			others = append(others, w)
		case s.kind == sigVersion && strings.Count(s.value, ".") != 3:
			notes[i] = "not a version"
		case s.kind == sigVersion && v.rewritten:
			notes[i] = "not believed"
		case s.kind == sigVersion:
			w = r.book.fromHeader(b)
			others = append(others, w)
		}
		if w.how != "" {
			notes[i] = w.how
		}
		if _, ok := spoke[w.key]; !ok {
			spoke[w.key] = i
		}
	}
	for _, w := range append(paths, others...) {
		i := slices.IndexFunc(m.spans, func(x span) bool { return x.key == w.key })
		switch {
		case i < 0:
			m.spans = append(m.spans, w)
		case w.line != nil && m.spans[i].line != nil:
			m.spans[i] = m.spans[i].meet(w)
		}
	}
	if len(m.spans) > 1 {
		m.flags = append(m.flags, exposure.Contradiction)
		for i := range m.spans {
			m.spans[i].doubt = true
		}
	}
	at := r.clock()
	for i, w := range m.spans {
		if cut, did := w.existing(at); did {
			note := "none above " + cut.line.releases[cut.hi].Build.String() + " was out"
			if had := notes[spoke[w.key]]; had != "" {
				note = had + "; " + note
			}
			m.spans[i], notes[spoke[w.key]] = cut, note
		}
	}
	for _, w := range m.spans {
		if w.flag != "" {
			m.flags = append(m.flags, w.flag)
		}
	}
	if len(m.spans) > 0 && impossible(EditionOf(postern.Build(append(m.spans[0].key[:], 0))), v) {
		m.flags = append(m.flags, exposure.ImpossiblePair)
	}
	return m
}

// clock gives the time of the visit, or the host's where that is later: a clock of ours
// that is slow must not rule out a build that was out.
func (r *Reading) clock() time.Time {
	at := r.at
	if at.IsZero() {
		return at
	}
	for _, s := range r.scan.signals {
		if s.kind != sigDate {
			continue
		}
		if day, err := time.Parse(time.DateOnly, s.value); err == nil && day.After(at) {
			at = day
		}
	}
	return at
}

// impossible says whether the edition cannot run on that web server or runtime.
func impossible(edition string, v view) bool {
	iis, isIIS := strings.CutPrefix(v.server, "Microsoft-IIS/")
	switch edition {
	case "exchange-2019", "exchange-se":
		return isIIS && iis != "10.0" || strings.HasPrefix(v.runtime, "2.")
	case "exchange-2016":
		return strings.HasPrefix(v.runtime, "2.")
	case "exchange-2013":
		return isIIS && iis == "10.0" || strings.HasPrefix(v.runtime, "2.")
	case "exchange-2007", "exchange-2010":
		return isIIS && iis == "10.0" || strings.HasPrefix(v.runtime, "4.")
	}
	return false
}

// fill puts product, line, build and members into the observation.
func (r *Reading) fill(o *exposure.Observation, v view, members []member, flag func(bool, exposure.Flag)) {
	var list []exposure.Member
	for _, m := range members {
		for _, f := range m.flags {
			flag(true, f)
		}
		if len(m.spans) == 0 {
			list = append(list, r.asMember(m.name, v, len(members), edition(v), "", exposure.Range{}))
		}
		for _, w := range m.spans {
			e, l, b := w.result()
			list = append(list, r.asMember(m.name, v, len(members), e, l, b))
		}
	}
	weakest := slices.MinFunc(list, weaker)
	o.Product, o.Line, o.Build = weakest.Product, weakest.Line, weakest.Build
	if len(list) > 1 {
		o.Members = list
	}
	flag(len(members) > 1, exposure.LoadBalanced)
	flag(v.device, exposure.BehindProxy)
	flag(v.tenant != "", exposure.Hybrid)
	flag(v.broken, exposure.BrokenOWA)
	flag(v.policy, exposure.OWAContentPolicy)
	flag(v.directWithout && v.versions == 0, exposure.NoVersionHeader)
	if o.Outcome == exposure.Exchange {
		o.Why = reason(o, v)
	}
}

func (r *Reading) asMember(name string, v view, members int, edition, lineName string, b exposure.Range) exposure.Member {
	m := exposure.Member{Frontend: name, Product: edition, Line: lineName, Build: b}
	short, _, _ := strings.Cut(strings.ToUpper(v.health), ".")
	if members == 1 || truncate(short) == name {
		m.FQDN = v.health
	}
	m.Host = exposure.HostKeys(name, m.FQDN, r.name, r.address, r.cert)[0]
	return m
}

// weaker orders members: unknown builds first, because nothing vouches for them,
// then the older. The service is as weak as its weakest member.
func weaker(a, b exposure.Member) int {
	if c := a.Build.Low.Compare(b.Build.Low); c != 0 {
		return c
	}
	return a.Build.High.Compare(b.Build.High)
}

// edition says what can be said of the product without any version.
func edition(v view) string {
	switch {
	case v.look == "2013":
		return "exchange-2013"
	}
	return "exchange"
}

// reason puts into one sentence how far the build is known.
func reason(o *exposure.Observation, v view) postern.Text {
	switch {
	case len(o.Members) > 1 && o.Has(exposure.LoadBalanced):
		return postern.Say("exposure.reason.members", "count", len(o.Members))
	case o.Has(exposure.Contradiction):
		return postern.Say("exposure.reason.contradiction")
	case o.Has(exposure.UnlistedLine):
		return postern.Say("exposure.reason.unlisted-line")
	case o.Has(exposure.NewerThanData):
		return postern.Say("exposure.reason.newer-than-data")
	case o.Has(exposure.HeadersRewritten) && o.Build.IsZero():
		return postern.Say("exposure.reason.rewritten-nothing")
	case o.Has(exposure.HeadersRewritten):
		return postern.Say("exposure.reason.rewritten-line", "line", o.Line)
	case o.Build.IsZero() && v.gateway:
		return postern.Say("exposure.reason.gateway")
	case o.Build.IsZero():
		return postern.Say("exposure.reason.no-build")
	case !o.Build.Exact.IsZero():
		return postern.Say("exposure.reason.exact", "build", o.Build.Exact)
	}
	return postern.Say("exposure.reason.interval", "line", o.Line, "low", o.Build.Low, "high", o.Build.High)
}

// evidence gives the signals as lines, each with the note that explains it.
func (r *Reading) evidence(notes map[int]string) []exposure.Evidence {
	list := make([]exposure.Evidence, len(r.scan.signals))
	for i, s := range r.scan.signals {
		what := s.what()
		if notes[i] != "" {
			what += " " + notes[i]
		}
		list[i] = exposure.Evidence{Request: s.request, Status: s.status, What: what, SHA256: s.sha256}
	}
	return list
}
