// Package correlate is the last stage of the hunt. Input: all findings of one
// host, what each log covers, the builds that the host was seen with. Output: the
// findings with every downgrade explained, the incidents that they make up, what
// each campaign's window is covered by, and one verdict.
//
// It only ever lowers a finding's level. What it may raise is the confidence,
// where two independent pieces of evidence say the same.
package correlate

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern"
)

// Tags by which rules tell this stage the role of what they found. A pack may
// use others; these have a meaning here.
const (
	TagNeedsFlaw    = "ssrf"          // only possible while the flaw is open
	TagCarrier      = "carrier"       // the outside of a forged request, whose target another log holds
	TagShellRequest = "shell-request" // request to a page in a drop folder
	TagShellFile    = "shell-file"    // a file that is or was a back door
	TagShellWritten = "shell-written" // the act of writing one
	TagScan         = "scan"
	TagProcess      = "process" // what the worker of a web server started
	TagListed       = "listed"  // a file that a list names and that is no page: what it is for is not known
)

// SourceSeen is what one kind of evidence was seen to hold.
type SourceSeen struct {
	Records  int64
	From, To postern.Instant
	Hours    map[int64]int64 // hours since 1970 UTC → rows
	Files    int64
	// Whole is true for evidence without times, such as web folders, that is
	// there or is not.
	Whole bool
}

// BuildSeen is a build of the host and a time at which it ran; without a time it
// is what a file says is installed.
type BuildSeen struct {
	Build postern.Build
	Time  postern.Instant
}

// Product answers what a build says about a CVE.
type Product interface {
	Assess(cve string, b postern.Build) (postern.Assessment, postern.Text)
}

// Input is all that is known of a host.
type Input struct {
	Host       string
	Campaigns  []postern.Campaign
	Findings   []postern.Finding
	Sources    map[string]*SourceSeen
	Builds     []BuildSeen
	Product    Product // nil if no product facts are loaded
	PatchedAt  postern.Instant
	Mitigated  map[string]postern.Fact // by campaign
	Own        []netip.Prefix          // addresses that the organisation itself scans from
	Balancers  map[string]bool         // addresses that stand in front of the server
	Unreadable int                     // pieces of evidence that could not be read
	// Dropped counts the findings of each level that were only counted.
	Dropped [postern.PostExploitation + 1]int64
	// Guidance gives the next steps for a level of a campaign, most urgent first.
	Guidance func(campaign string, level postern.Level) []postern.Text
}

// Host puts everything together.
func Host(in Input) postern.Host {
	findings := in.Findings
	slices.SortStableFunc(findings, byTime)
	distinguish(findings)
	host := postern.Host{Host: in.Host, Build: lastBuild(in.Builds)}

	joined := joinRequests(findings)
	in.Balancers = balancers(findings, joined, in.Balancers)
	shells := collectShells(findings)
	shells.confirm(findings)
	findings = append(findings, shells.disappearances(findings)...)
	labelOwn(findings, in.Own)
	labelSweeps(findings)

	claims := make([]postern.Level, len(in.Campaigns))
	for i, c := range in.Campaigns {
		claims[i] = claimed(c.Name, findings)
	}
	counting := counting(in, claims)
	var shut postern.Instant // since when the flaws of all campaigns are
	first := true
	for i, c := range in.Campaigns {
		at, fact := patched(in, c)
		capAfterPatch(findings, c.Name, at)
		if !counting[i] {
			continue
		}
		if first || at.IsZero() || !shut.IsZero() && at.After(shut) {
			shut = at
		}
		first = false
		if host.Patched.State == "" || worseFact(fact, host.Patched) {
			host.Patched = fact
		}
		// Beside other campaigns one that is patched needs no mitigation.
		needed := fact.State != postern.Yes || len(in.Campaigns) == 1
		if m, ok := in.Mitigated[c.Name]; ok && needed && (host.Mitigated.State == "" || worseFact(m, host.Mitigated)) {
			host.Mitigated = m
		}
	}
	// What needs a flaw and belongs to no campaign may have come through any of them.
	capAfterPatch(findings, "", shut)
	if host.Patched.State == "" {
		host.Patched = postern.Fact{State: postern.Unknown, Why: postern.Say("correlate.patched.unknown")}
	}
	if host.Mitigated.State == "" {
		why := postern.Say("correlate.mitigated.unknown")
		if in.Sources["config"] != nil {
			why = postern.Say("correlate.mitigated.none")
		}
		host.Mitigated = postern.Fact{State: postern.Unknown, Why: why}
	}

	slices.SortStableFunc(findings, byTime)
	host.Findings = findings
	stories := stories(findings, in.Balancers)
	host.Incidents = incidents(findings, stories, in.Balancers)
	owners := owners(in.Campaigns, findings, stories)
	var candidates []postern.CampaignVerdict
	var reach []postern.Level
	for i, c := range in.Campaigns {
		claims[i] = claimed(c.Name, findings)
		v, coverage := verdict(in, i, findings, owners)
		counts := counting[i] || v.Level > postern.NotSeen
		if !counts {
			v, coverage = tooEarly(in, c, coverage)
		}
		judged := postern.CampaignVerdict{Name: c.Name, Verdict: v, Coverage: coverage}
		host.Campaigns = append(host.Campaigns, judged)
		if counts {
			candidates, reach = append(candidates, judged), append(reach, claims[i])
		}
	}
	host.Verdict = worst(candidates, reach)
	host.Coverage = coverageOfHost(in, candidates, reach)
	return host
}

// distinguish gives each finding an ID of its own: two inputs of one server can have
// a file of the same path, and then a rule hits twice at what is the same place by
// its name. Findings are in their order, which does not depend on the run.
func distinguish(findings []postern.Finding) {
	times := make(map[string]int, len(findings))
	for i := range findings {
		f := &findings[i]
		n := times[f.ID]
		times[f.ID]++
		if n > 0 && len(f.Evidence) > 0 {
			f.ID = postern.FindingID(f.Rule+"#"+strconv.Itoa(n+1), f.Evidence[0])
		}
	}
}

// byTime puts findings with a time first, in order; those without keep theirs.
func byTime(a, b postern.Finding) int {
	switch {
	case a.Time.IsZero() && b.Time.IsZero():
	case a.Time.IsZero():
		return 1
	case b.Time.IsZero():
		return -1
	}
	return cmp.Or(a.Time.Compare(b.Time), strings.Compare(place(&a), place(&b)), cmp.Compare(line(&a), line(&b)), strings.Compare(a.ID, b.ID),
		strings.Compare(excerpt(&a), excerpt(&b)), cmp.Compare(a.Level, b.Level))
}

func excerpt(f *postern.Finding) string {
	if len(f.Evidence) == 0 {
		return ""
	}
	return f.Evidence[0].Excerpt
}

func place(f *postern.Finding) string {
	if len(f.Evidence) == 0 {
		return ""
	}
	return f.Evidence[0].Path
}

func line(f *postern.Finding) int64 {
	if len(f.Evidence) == 0 {
		return 0
	}
	return f.Evidence[0].Line
}

// byBuildTime orders builds by the time at which they ran; what is installed now
// comes last.
func byBuildTime(a, b BuildSeen) int {
	if a.Time.IsZero() != b.Time.IsZero() {
		return cmp.Compare(btoi(a.Time.IsZero()), btoi(b.Time.IsZero()))
	}
	return cmp.Or(a.Time.Compare(b.Time), a.Build.Compare(b.Build))
}

// lastBuild is the build that a file says is installed, or else the last one that
// the logs show.
func lastBuild(builds []BuildSeen) postern.Build {
	if len(builds) == 0 {
		return postern.Build{}
	}
	return slices.MaxFunc(builds, byBuildTime).Build
}

// requestID gives the identifier that front end and IIS give a request, "" if it
// is none: a GUID, with or without hyphens and braces.
func requestID(f *postern.Finding) string {
	id := f.Entities[postern.RequestID]
	if len(id) < 32 || len(id) > 38 {
		return ""
	}
	return strings.ToLower(id)
}

// requestGap is how far the two rows about one request may be apart. A client can
// write the identifier of an older request into its own: that is no join.
const requestGap = 10 * time.Minute

// joinRequests finds the two rows that front end and IIS wrote about one
// request, and lowers the IIS row, which cannot know the target, to what the
// front end's row says.
func joinRequests(findings []postern.Finding) map[string][]int {
	byID := make(map[string][]int)
	for i := range findings {
		if id := requestID(&findings[i]); id != "" {
			byID[id] = append(byID[id], i)
		}
	}
	for _, same := range byID {
		var known *postern.Finding
		for _, i := range same {
			if f := &findings[i]; f.HasTag(TagNeedsFlaw) && !f.HasTag(TagCarrier) && (known == nil || f.Level > known.Level) {
				known = f
			}
		}
		if known == nil {
			continue
		}
		for _, i := range same {
			if f := &findings[i]; f.HasTag(TagCarrier) && f.Time.Sub(known.Time).Abs() <= requestGap {
				f.Lower(known.Level, postern.Say("correlate.target-known", "rule", known.Rule))
			}
		}
	}
	return byID
}

// balancedClients is how many clients an address on the internet has to stand in
// front of to be taken for a load balancer. The front end believes what a request
// says about its client, and an intruder can say that he is somebody else.
const balancedClients = 3

// balancers adds the addresses from which IIS saw a request whose true client
// the front end knows.
func balancers(findings []postern.Finding, joined map[string][]int, known map[string]bool) map[string]bool {
	all := make(map[string]bool)
	for a := range known {
		all[a] = true
	}
	clients := make(map[string]map[string]bool)
	for _, same := range joined {
		front, outer := "", ""
		for _, i := range same {
			f := &findings[i]
			if f.HasTag(TagCarrier) {
				outer = address(f)
			} else if f.HasTag(TagNeedsFlaw) {
				front = address(f)
			}
		}
		if front == "" || outer == "" || front == outer {
			continue
		}
		if clients[outer] == nil {
			clients[outer] = make(map[string]bool)
		}
		clients[outer][front] = true
		if netip.MustParseAddr(outer).IsPrivate() || len(clients[outer]) >= balancedClients {
			all[outer] = true
		}
	}
	return all
}

// labelOwn marks the organisation's own scans. A scan that succeeded in more
// than a test is not explained by who sent it.
func labelOwn(findings []postern.Finding, own []netip.Prefix) {
	if len(own) == 0 {
		return
	}
	networks := newNetworks(own)
	for i := range findings {
		f := &findings[i]
		if f.Level > postern.Probed {
			continue
		}
		if p, ok := networks.of(address(f)); ok {
			f.Lower(postern.NotSeen, postern.Say("correlate.own-scanner", "network", p))
			f.Tags = append(f.Tags, "own-scanner")
		}
	}
}

// networks finds the smallest network that an address is in, however many there are.
type networks struct {
	known map[netip.Prefix]bool
	bits  []int // lengths of prefixes, the longest first
}

func newNetworks(list []netip.Prefix) networks {
	n := networks{known: make(map[netip.Prefix]bool)}
	for _, p := range list {
		n.known[p.Masked()] = true
		n.bits = append(n.bits, p.Bits())
	}
	slices.SortFunc(n.bits, func(a, b int) int { return cmp.Compare(b, a) })
	n.bits = slices.Compact(n.bits)
	return n
}

func (n networks) of(ip string) (netip.Prefix, bool) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Prefix{}, false
	}
	for _, bits := range n.bits {
		if p, err := addr.Prefix(bits); err == nil && n.known[p] {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// address gives the one form of the address that a finding names, "" if it names none.
func address(f *postern.Finding) string {
	addr, err := netip.ParseAddr(f.Entities[postern.ClientIP])
	if err != nil {
		return ""
	}
	return addr.Unmap().WithZone("").String()
}

// A sweep is one client that asks for many pages in a short time and finds
// next to none: somebody looking for the shells of others.
const (
	sweepPages = 6
	sweepTime  = 10 * time.Minute
)

// labelSweeps says so at what a sweep found; the pages stay found.
func labelSweeps(findings []postern.Finding) {
	byClient := make(map[string][]int)
	for i := range findings {
		if f := &findings[i]; f.HasTag(TagShellRequest) && !f.Time.IsZero() {
			if client := address(f); client != "" {
				byClient[client] = append(byClient[client], i)
			}
		}
	}
	for _, rows := range byClient {
		for start := 0; start < len(rows); {
			end := start
			pages, missing := make(map[string]bool), 0
			for end < len(rows) && findings[rows[end]].Time.Sub(findings[rows[start]].Time) <= sweepTime {
				f := &findings[rows[end]]
				pages[shellKey(f.Entities[postern.URL])] = true
				if f.Level <= postern.Probed {
					missing++
				}
				end++
			}
			if len(pages) >= sweepPages && missing*2 > end-start {
				for _, i := range rows[start:end] {
					f := &findings[i]
					f.Tags = append(f.Tags, "sweep")
					f.Explain = append(f.Explain, postern.Say("correlate.sweep", "count", len(pages)))
				}
			}
			start = end
		}
	}
}

// patched says since when the host has the fix of a campaign: what the user says, unless
// a build without it ran later, or lies there; or else what the builds say.
func patched(in Input, c postern.Campaign) (postern.Instant, postern.Fact) {
	since, shown, open := shownFix(in, c)
	told := in.PatchedAt
	switch {
	case told.IsZero():
		return since, shown
	case shown.State == postern.No && (open.IsZero() || open.After(told)):
		shown.Why.Key = "correlate.patched.not-as-told"
		shown.Why.Args["told"] = told.Format(time.RFC3339)
		return since, shown
	case shown.State == postern.Yes && open.After(told):
		return since, shown
	}
	return told, postern.Fact{State: postern.Yes, Since: told, Why: postern.Say("correlate.patched.told")}
}

// shownFix says what the builds of a host say about the fix of a campaign, and when the last
// one without it was seen, zero for one that is installed.
func shownFix(in Input, c postern.Campaign) (since postern.Instant, shown postern.Fact, open postern.Instant) {
	if in.Product == nil || len(in.Builds) == 0 || len(c.CVEs) == 0 {
		return since, postern.Fact{State: postern.Unknown, Why: postern.Say("correlate.patched.unknown")}, open
	}
	builds := slices.Clone(in.Builds)
	slices.SortFunc(builds, byBuildTime)
	// The last unbroken run of fixed builds: a downgrade opens the flaw again.
	state := postern.Unknown
	var last postern.Build
	for i, b := range builds {
		// Every file names its build; only where it changes is there something to ask.
		if i == 0 || b.Build != last {
			switch assessAll(in.Product, c.CVEs, b.Build) {
			case postern.Fixed, postern.NotAffected:
				if state != postern.Yes {
					since = b.Time
				}
				state = postern.Yes
			case postern.Unfixed, postern.UnfixedOrMitigated, postern.NoFixForLine:
				state, since = postern.No, time.Time{}
			default:
				state, since = postern.Unknown, time.Time{}
			}
		}
		if last = b.Build; state == postern.No {
			open = b.Time
		}
	}
	switch {
	case state == postern.No:
		shown = postern.Fact{State: state, Why: postern.Say("correlate.patched.no", "build", last)}
	case state != postern.Yes:
		shown = postern.Fact{State: state, Why: postern.Say("correlate.patched.undecided", "build", last)}
	case since.IsZero():
		shown = postern.Fact{State: state, Why: postern.Say("correlate.patched.installed", "build", last)}
	default:
		shown = postern.Fact{State: state, Since: since, Why: postern.Say("correlate.patched.build", "build", last, "time", since.Format(time.RFC3339))}
	}
	return since, shown, open
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// assessAll gives the worst assessment over a campaign's CVEs.
func assessAll(p Product, cves []string, b postern.Build) postern.Assessment {
	result := postern.NotAffected
	order := []postern.Assessment{postern.NotAffected, postern.Fixed, postern.NotAssessed, postern.Undecidable, postern.UnfixedOrMitigated, postern.Unfixed, postern.NoFixForLine}
	for _, cve := range cves {
		a, _ := p.Assess(cve, b)
		if !slices.Contains(order, a) {
			a = postern.NotAssessed
		}
		if slices.Index(order, a) > slices.Index(order, result) {
			result = a
		}
	}
	return result
}

// capAfterPatch makes attempts of what needs the flaw of a campaign and came after
// the fix. A back door needs no flaw: its use stays what it is.
func capAfterPatch(findings []postern.Finding, campaign string, at postern.Instant) {
	if at.IsZero() {
		return
	}
	for i := range findings {
		f := &findings[i]
		if f.Campaign == campaign && f.HasTag(TagNeedsFlaw) && !f.Time.IsZero() && !f.Time.Before(at) {
			f.Lower(postern.Probed, postern.Say("correlate.after-patch", "time", at.Format(time.RFC3339)))
		}
	}
}

// worseFact says whether a is worse news than b.
func worseFact(a, b postern.Fact) bool {
	order := []postern.State{postern.Yes, postern.Unknown, postern.Ineffective, postern.No}
	return slices.Index(order, a.State) > slices.Index(order, b.State)
}
