package fleet

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Kind is what stands at an address.
type Kind string

// The closed list of kinds. The first nine are Exchange servers.
const (
	Direct     Kind = "exchange"       // answers by itself
	Hybrid     Kind = "hybrid"         // with a tenant in the vendor's cloud
	Proxied    Kind = "proxied"        // behind a device that leaves its mark; variant names it
	Stripped   Kind = "stripped"       // behind a proxy that takes away what tells of the server
	Rewritten  Kind = "rewritten"      // a rule writes version and name anew
	Gateway    Kind = "gateway"        // a sign-in stands before it; variant names it
	Balanced   Kind = "balanced"       // several front ends take turns
	Broken     Kind = "broken"         // the page for people fails
	Restricted Kind = "restricted"     // 403 for strangers
	CloudHost  Kind = "cloud"          // the vendor's own service
	CloudName  Kind = "cloud-redirect" // a name that only leads there
	Honeypot   Kind = "honeypot"       // a trap that plays Exchange
	Profile    Kind = "copied-profile" // a listener with a copied cloud profile
	Phishing   Kind = "phishing"       // a copied login page
	LookAlike  Kind = "look-alike"     // something else on the web; variant names it
	Attacker   Kind = "hostile"        // harms whoever looks; variant names how
	Closed     Kind = "closed"         // nobody listens at the port
	Dead       Kind = "dead"           // nobody answers at the address
	Bystander  Kind = "bystander"      // an Exchange outside the scope: a contact with it is a fault
)

// shares of the kinds in the recipes, in percent.
var recipes = map[Mix][]struct {
	kind  Kind
	share float64
}{
	Country: {{Direct, 39}, {Hybrid, 7}, {Proxied, 6}, {Stripped, 2.5}, {Rewritten, 1}, {Gateway, 3}, {Balanced, 3},
		{Broken, 1}, {Restricted, 2}, {CloudHost, 2.5}, {CloudName, 2}, {Honeypot, 1.5}, {Profile, .5}, {Phishing, 1},
		{LookAlike, 20}, {Attacker, 3}, {Closed, 3}, {Dead, 2}},
	Clean: {{Direct, 80}, {LookAlike, 20}},
	Exchange: {{Direct, 62}, {Hybrid, 11}, {Proxied, 9}, {Stripped, 4}, {Rewritten, 1.5}, {Gateway, 4.5}, {Balanced, 4},
		{Broken, 1.5}, {Restricted, 2.5}},
	Hostile: {{Attacker, 100}},
}

var (
	devices  = []string{"nginx", "f5", "citrix", "kemp", "haproxy"}
	gateways = []string{"f5", "adfs", "tmg", "azure", "citrix"}
)

// IsExchange says whether a kind is a real server.
func (k Kind) IsExchange() bool {
	switch k {
	case Direct, Hybrid, Proxied, Stripped, Rewritten, Gateway, Balanced, Broken, Restricted, Bystander:
		return true
	}
	return false
}

// departure is how a host is gone.
type departure string

const (
	silent    departure = "silent"     // no answer at the address any more
	refusing  departure = "reset"      // connections are reset
	toCloud   departure = "cloud"      // the name now leads to the cloud
	forbidden departure = "restricted" // strangers get 403 from now on
)

// host is what follows from the number of a host and does not change with the days.
type host struct {
	index   int
	kind    Kind
	variant string
	members int // front ends; 0 for what is no Exchange
	dice    dice
	gone    int // day since which it is away for good, as how says
	how     departure
	moved   int // day since which it is at its second address
}

// operator is who runs a host. Hosts stand in blocks: of twenty hosts ten have an
// operator of their own, two times two share one, and one runs six.
type operator struct {
	index int
	size  int
	slot  int // of the host among the operator's
}

const (
	blockHosts     = 20
	blockOperators = 13
)

// population is every host as a function of its number.
type population struct {
	o      Options
	table  *table
	kinds  weighted[Kind]
	others int // bystanders, numbered after the hosts
	pages  pages
}

func newPopulation(o Options) (*population, error) {
	o, err := o.settled()
	if err != nil {
		return nil, err
	}
	t, err := newTable(o.Releases)
	if err != nil {
		return nil, err
	}
	p := &population{o: o, table: t, others: min(max(o.Hosts/100, 1), 1000)}
	for _, r := range recipes[o.Mix] {
		p.kinds.add(r.kind, r.share)
	}
	return p, nil
}

// steady says whether hosts neither go nor move nor fail to answer: where speed is measured.
func (p *population) steady() bool { return p.o.Mix == Clean || p.o.Mix == Hostile }

func (p *population) host(i int) host {
	h := host{index: i, dice: diceOf(p.o.Seed, uint64(i), 'h'), gone: never, moved: never}
	h.kind = p.kinds.at(h.dice.share(forKind))
	if i >= p.o.Hosts {
		h.kind = Bystander
	}
	switch h.kind {
	case LookAlike:
		h.variant = one(h.dice, forVariant, lookAlikes()).name
	case Attacker:
		h.variant = one(h.dice, forVariant, attacks()).name
		if p.o.Mix == Hostile { // every kind of attack, even in a small population
			h.variant = attacks()[i%len(attacks())].name
		}
	case Proxied:
		h.variant = one(h.dice, forVariant, devices)
	case Gateway:
		h.variant = one(h.dice, forVariant, gateways)
	case Direct:
		// Rare enough not to colour the speed of a clean population.
		if h.dice.n(forVariant, 100) == 0 && p.o.Mix != Clean {
			h.variant = "http2"
		}
	}
	if !h.kind.IsExchange() || h.kind == Bystander {
		if h.kind == Bystander {
			h.members = 1
		}
		return h
	}
	h.members = 1
	if h.kind == Balanced {
		h.members = 2 + h.dice.n(forMembers, 3)
	}
	if p.steady() {
		return h
	}
	// Some 4 % are gone or shut by the end of April, 2 % have moved; later it goes on as slowly.
	if g := h.dice.share(forGone); g < .5 {
		h.gone = 1 + int(g*1500)
		h.how = one(h.dice, forHow, []departure{silent, silent, refusing, toCloud, forbidden, forbidden})
	}
	if m := h.dice.share(forMoving); m < .3 {
		h.moved = 1 + int(m*3000)
	}
	return h
}

// missing is the share of hosts that for no reason do not answer on some day.
const missing = .01

// on says what a host is on a day, and whether it can be reached at all.
func (h *host) on(p *population, day int) (kind Kind, away departure) {
	if day >= h.gone {
		switch h.how {
		case toCloud:
			return CloudName, ""
		case forbidden:
			return Restricted, ""
		}
		return h.kind, h.how
	}
	if h.kind.IsExchange() && h.kind != Bystander && !p.steady() && diceOf(uint64(h.dice), uint64(day)).share(forMissing) < missing {
		return h.kind, silent
	}
	return h.kind, ""
}

// home gives the address of a host on a day.
func (p *population) home(h *host, day int) netip.Addr {
	switch {
	case h.index >= p.o.Hosts:
		return addr(number(bystanderBase) + 1 + uint32(h.index-p.o.Hosts))
	case day >= h.moved:
		return addr(number(p.o.Base) + uint32(p.o.Hosts+h.index))
	}
	return addr(number(p.o.Base) + uint32(h.index))
}

func (p *population) operator(i int) operator {
	block, at := i/blockHosts, i%blockHosts
	first := block * blockOperators
	switch {
	case at < 10:
		return operator{first + at, 1, 0}
	case at < 14:
		return operator{first + 10 + (at-10)/2, 2, at % 2}
	}
	return operator{first + 12, 6, at - 14}
}

// countries with their weights: roughly where servers stood in March 2021.
var countries = func() *weighted[string] {
	w := &weighted[string]{}
	for _, c := range []struct {
		code   string
		weight float64
	}{{"US", 24}, {"DE", 18}, {"GB", 7}, {"FR", 6}, {"IT", 6}, {"RU", 5}, {"ES", 5}, {"NL", 4}, {"CH", 4}, {"AT", 4}, {"CA", 4},
		{"MX", 3}, {"BR", 3}, {"AU", 3}, {"PL", 3}, {"CZ", 3}, {"TR", 3}, {"ZA", 2}, {"JP", 2}, {"AR", 2}, {"CO", 2}, {"CL", 1}, {"PE", 1}} {
		w.add(c.code, c.weight)
	}
	return w
}()

var sectors = []string{"manufacturing", "manufacturing", "retail", "retail", "health", "education", "local-government",
	"government", "law", "finance", "energy", "transport", "non-profit", "media"}

// belonging is where a host belongs.
type belonging struct {
	operator, country, sector string
	asn                       uint32
}

func (p *population) belongs(h *host) belonging {
	op := p.operator(h.index)
	d := diceOf(p.o.Seed, uint64(op.index), 'o')
	b := belonging{operator: "operator-" + padded(op.index, 5), country: p.o.Country, sector: one(d, forSector, sectors)}
	if b.country == "" {
		b.country = countries.at(d.share(forCountry))
	}
	b.asn = 64496 + uint32(d.n(forNetwork, 16)) // RFC 5398
	if d.n(forNetwork, 3) == 0 {
		b.asn = 65536 + uint32(d.n(forNetwork, 16))
	}
	return b
}

// padded writes n with at least so many digits.
func padded(n, digits int) string {
	s := strconv.Itoa(n)
	if len(s) < digits {
		s = strings.Repeat("0", digits-len(s)) + s
	}
	return s
}

var words = []string{"alder", "amber", "anchor", "aspen", "basalt", "beacon", "birch", "bridge", "canal", "cedar", "cliff",
	"copper", "delta", "ember", "fern", "fjord", "garnet", "granite", "harbor", "hazel", "heron", "island", "juniper", "lagoon",
	"larch", "linden", "maple", "marble", "meadow", "mill", "onyx", "orchard", "osprey", "otter", "pebble", "pine", "quarry",
	"quartz", "ridge", "river", "rowan", "slate", "spruce", "summit", "thistle", "tundra", "valley", "willow"}

// domain gives the organisation's domain.
func (p *population) domain(h *host) string {
	return one(h.dice, forWord, words) + "-" + padded(h.index, 5) + ".example"
}

// name gives the host name that people use.
func (p *population) name(h *host) string {
	switch h.kind {
	case LookAlike, Attacker:
		return "www." + p.domain(h)
	case CloudHost:
		return "outlook.office365.com"
	case Phishing:
		return "login." + p.domain(h)
	}
	return one(h.dice, forName, []string{"mail.", "mail.", "owa.", "webmail.", "exchange.", "mx."}) + p.domain(h)
}

// frontend gives the computer name of a front end, at most fifteen letters.
func (p *population) frontend(h *host, member int) string {
	n := padded(member+1, 2)
	return one(h.dice, forFrontend, []string{"EX", "EX", "EXCH", "MBX", "MAIL", "SRV-EXCH", "SRV-MAIL", "CAS", "EXCHANGE", "DC-EX"}) + n
}

// fqdn gives its full name inside the organisation.
func (p *population) fqdn(h *host, member int) string {
	inner := ".local"
	if h.dice.n(forWord, 3) == 0 {
		inner = ".lan.example"
	}
	return strings.ToLower(p.frontend(h, member)) + "." + strings.TrimSuffix(p.domain(h), ".example") + inner
}

// id names a host in the truth.
func (h *host) id() string { return fmt.Sprintf("h%07d", h.index) }

// view is what an honest observer can know of one front end: how far, and the
// interval of releases that is left.
type view struct {
	as        Knowable
	line      int
	low, high int
}

// Knowable says how far the build can be known from outside.
type Knowable string

// How far the build can be known.
const (
	ExactBuild Knowable = "exact"
	LowerBound Knowable = "bound"   // the line, and that it is at least some release
	LineOnly   Knowable = "line"    // the line and nothing more
	Present    Knowable = "present" // that it is an Exchange
	HiddenAway Knowable = "hidden"  // that there was one, if at all
	Nothing    Knowable = "nothing" // no Exchange to know anything of
)

// open to strangers: what the host lets through on its way out.
type passes struct{ page, header, manifest, direct bool }

func (h *host) passes(kind Kind) passes {
	p := passes{page: true, header: true, manifest: h.dice.share(forManifest) < .65, direct: true}
	switch kind {
	case Stripped, Rewritten:
		p.header = false
	case Gateway:
		p.page, p.manifest = false, false
		p.direct = h.dice.n(forReach, 2) == 0 // phones and Outlook pass by the gateway
		p.header = p.direct
	case Broken:
		p.page = false
	case Restricted:
		return passes{}
	}
	return p
}

// clockMargin is how many days an observer leaves to clocks and calendars that are wrong.
const clockMargin = 1

// sees says what an observer can know on a day who asks all that may be asked: also that
// what is not out yet runs nowhere.
func (p *population) sees(h *host, kind Kind, lineIndex, rel, day int) view {
	l := &p.table.lines[lineIndex]
	if l.legacy() && kind == Broken { // that page came with 2013
		kind = Direct
	}
	v := view{line: lineIndex, high: max(l.at(day+clockMargin), rel)}
	pass := h.passes(kind)
	switch {
	case !kind.IsExchange():
		return view{as: Nothing, line: lineIndex}
	case !pass.direct:
		return view{as: HiddenAway, line: lineIndex}
	case l.legacy() && pass.page, !l.legacy() && pass.header && l.releases[rel].released >= headerDay:
		v.low, v.high = rel, rel
	case !l.legacy() && pass.manifest:
		v.low = l.releases[rel].tool
		if v.low > 0 {
			v.as = LowerBound
		}
	case !pass.page:
		return view{as: Present, line: lineIndex}
	}
	switch {
	case v.low == v.high:
		v.as = ExactBuild
	case v.as == "":
		v.as = LineOnly
	}
	return v
}
