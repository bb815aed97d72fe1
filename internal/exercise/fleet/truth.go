package fleet

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern"
)

// TruthHeader is the first line of a truth file.
type TruthHeader struct {
	Schema string    `json:"schema"`
	Seed   uint64    `json:"seed"`
	Hosts  int       `json:"hosts"`
	Mix    Mix       `json:"mix"`
	Begin  time.Time `json:"begin"` // day 0
	Day    int       `json:"day"`   // on which the fleet started
	Days   int       `json:"days"`  // how many days the truth tells
	CVE    string    `json:"cve"`   // what "open" and "assessment" are about
	Port   int       `json:"port"`
	Closed int       `json:"closed_port"` // where closed hosts are
}

// HostTruth is what is true of one host: one line of the truth file.
type HostTruth struct {
	Index       int    `json:"index"`
	ID          string `json:"id"`
	Kind        Kind   `json:"kind"`
	Variant     string `json:"variant,omitempty"`
	Name        string `json:"name"`
	Homes       []Home `json:"homes"`
	Port        int    `json:"port"`
	TLS         string `json:"tls"`         // name of the profile
	Certificate string `json:"certificate"` // own, self-signed, wildcard, shared
	Operator    string `json:"operator"`
	Country     string `json:"country"`
	ASN         uint32 `json:"asn"`
	Sector      string `json:"sector"`
	// Outcomes are those that an honest observer may come to while the host is there.
	Outcomes []string   `json:"outcomes"`
	Exchange bool       `json:"exchange"` // it is a real server
	Gone     *Departure `json:"gone,omitempty"`
	// Missing are the days on which it does not answer, for no reason.
	Missing []int         `json:"missing,omitempty"`
	Members []MemberTruth `json:"members,omitempty"`
}

// Home is an address since some day.
type Home struct {
	Day     int        `json:"day"`
	Address netip.Addr `json:"address"`
}

// Departure says that a host is gone for good.
type Departure struct {
	Day      int      `json:"day"`
	How      string   `json:"how"` // silent, reset, cloud, restricted
	Outcomes []string `json:"outcomes"`
}

// MemberTruth is one front end. Hosts that are no farm have one.
type MemberTruth struct {
	Frontend string `json:"frontend"`
	FQDN     string `json:"fqdn"`
	// Open says whether the flaw was there on day 0; PatchedDay is the first day on
	// which it was no more, null if that lies beyond the truth.
	Open       bool       `json:"open"`
	PatchedDay *int       `json:"patched_day"`
	Builds     []BuildDay `json:"builds"`
}

// BuildDay is a build since some day, and what can be known of it from outside. The same
// build stands twice where an update that came out, and was not installed, leaves more possible.
type BuildDay struct {
	Day        int                `json:"day"`
	Product    string             `json:"product"`
	Line       string             `json:"line"`
	Update     string             `json:"update"`
	Build      postern.Build      `json:"build"`
	State      postern.Assessment `json:"state"` // of the flaw, for who knows the build
	Knowable   Knowable           `json:"knowable"`
	Low        postern.Build      `json:"low"` // what is left when everything was asked; zero if nothing is known
	High       postern.Build      `json:"high"`
	Assessment postern.Assessment `json:"assessment"` // what can be said from outside
}

// Target is one line of a target list.
type Target struct {
	Host    int // number in the truth
	Address netip.Addr
	Port    int
	Name    string // for SNI and Host
	// Outside is true for hosts that are not in the scope: they must not be contacted.
	Outside bool
}

// String gives the line: the address with its port, and the name.
func (t Target) String() string {
	return netip.AddrPortFrom(t.Address, uint16(t.Port)).String() + " " + t.Name
}

// days gives how many days the truth tells.
func (p *population) days() int { return max(TruthDays, p.o.Day+1) }

// truth gives what is true of a host.
func (p *population) truth(h *host, m *mint, port int) HostTruth {
	b := p.belongs(h)
	t := HostTruth{Index: h.index, ID: h.id(), Kind: h.kind, Variant: h.variant, Name: p.name(h), Port: port, TLS: p.profileOf(h).name,
		Homes: []Home{{0, p.home(h, 0)}}, Operator: b.operator, Country: b.country, ASN: b.asn, Sector: b.sector,
		Exchange: h.kind.IsExchange(), Certificate: m.describe(h)}
	days := p.days()
	if h.moved < days {
		t.Homes = append(t.Homes, Home{h.moved, p.home(h, h.moved)})
	}
	if h.gone < days {
		t.Gone = &Departure{Day: h.gone, How: string(h.how)}
		switch h.how {
		case silent:
			t.Gone.Outcomes = []string{"timeout", "reset"}
		case refusing:
			t.Gone.Outcomes = []string{"reset"}
		case toCloud:
			t.Gone.Outcomes = []string{"cloud"}
		case forbidden:
			t.Gone.Outcomes = []string{"hidden", "not-exchange"}
		}
	}
	for d := range min(days, h.gone) {
		if _, away := h.on(p, d); away == silent {
			t.Missing = append(t.Missing, d)
		}
	}
	for k := range h.members {
		t.Members = append(t.Members, p.memberTruth(h, k, days))
	}
	t.Outcomes = p.outcomes(h, &t, m)
	return t
}

func (p *population) memberTruth(h *host, member, days int) MemberTruth {
	t := MemberTruth{Frontend: p.frontend(h, member), FQDN: p.fqdn(h, member)}
	w := p.live(h, member)
	line, rel, top := -1, -1, -1
	var before view
	for d := range min(days, h.gone) {
		l, r := w.at(p.table, d)
		x := &p.table.lines[l]
		out := x.at(d + clockMargin)
		if l == line && r == rel && out == top {
			continue
		}
		top = out
		v := p.sees(h, h.kind, l, r, d)
		if l == line && r == rel && v == before {
			continue // what came out since makes no difference
		}
		line, rel, before = l, r, v
		b := BuildDay{Day: d, Product: x.edition, Line: x.name, Update: x.releases[r].update, Build: x.releases[r].build,
			State: x.releases[r].state}
		b.Knowable, b.Assessment = v.as, postern.Undecidable
		switch v.as {
		case ExactBuild, LowerBound, LineOnly:
			b.Low, b.High = x.releases[v.low].build, x.releases[v.high].build
			b.Assessment = x.over(v.low, v.high)
		}
		if len(t.Builds) == 0 {
			t.Open = open(b.State)
		}
		if t.Open && !open(b.State) && t.PatchedDay == nil {
			t.PatchedDay = &b.Day
		}
		t.Builds = append(t.Builds, b)
	}
	return t
}

// outcomes gives what an honest observer may say of a host that is there.
func (p *population) outcomes(h *host, t *HostTruth, m *mint) []string {
	switch h.kind {
	case Bystander:
		return []string{"out-of-scope"}
	case CloudHost, CloudName:
		return []string{"cloud"}
	case Honeypot, Profile, Phishing:
		return []string{"imitation"}
	case LookAlike:
		return []string{"not-exchange"}
	case Closed:
		return []string{"refused"}
	case Dead:
		return []string{"timeout"}
	case Attacker:
		list := []string{"not-exchange", "timeout", "reset", "tls-error", "aborted"}
		if h.variant == "markup" { // it claims what it likes
			list = append(list, "exchange", "imitation", "hidden")
		}
		return list
	case Restricted:
		if t.Certificate != "self-signed" {
			return []string{"hidden", "not-exchange"} // nothing is left that tells of a mail server
		}
		return []string{"hidden"}
	case Gateway:
		switch {
		case !h.passes(Gateway).direct:
			return []string{"hidden"}
		case strings.HasPrefix(t.Members[0].Builds[0].Product, "exchange-200"), t.Members[0].Builds[0].Product == "exchange-2010":
			return []string{"exchange", "hidden"} // these say nothing of themselves when they ask for a sign-in
		}
	}
	return []string{"exchange"}
}

// portOf is where a host is expected to answer.
func (f *Fleet) portOf(h *host) int {
	if h.kind == Closed {
		return f.closed
	}
	return f.Port()
}

// Truth gives what is true of every host, in order; the hosts outside the scope last.
func (f *Fleet) Truth() iter.Seq[HostTruth] {
	return func(yield func(HostTruth) bool) {
		for i := range f.p.o.Hosts + f.p.others {
			h := f.p.host(i)
			if !yield(f.p.truth(&h, f.mint, f.portOf(&h))) {
				return
			}
		}
	}
}

// Targets gives a target list that serves on every day of the truth: all hosts with
// all their addresses, and the hosts outside the scope last.
func (f *Fleet) Targets() iter.Seq[Target] {
	return func(yield func(Target) bool) {
		for i := range f.p.o.Hosts + f.p.others {
			h := f.p.host(i)
			t := Target{Host: i, Address: f.p.home(&h, 0), Port: f.portOf(&h), Name: f.p.name(&h), Outside: h.kind == Bystander}
			if !yield(t) {
				return
			}
			if h.moved < f.p.days() {
				if t.Address = f.p.home(&h, h.moved); !yield(t) {
					return
				}
			}
		}
	}
}

// Count gives how many hosts of each kind there are in the scope.
func (f *Fleet) Count() map[Kind]int {
	n := map[Kind]int{}
	for i := range f.p.o.Hosts {
		h := f.p.host(i)
		n[h.kind]++
	}
	return n
}

// Ready gives the line that scripts wait for: the word, port, day, and how many
// hosts of each kind there are. It is the same in every language.
func (f *Fleet) Ready() string {
	count, hosts, kinds := f.Count(), 0, ""
	for _, k := range slices.Sorted(maps.Keys(count)) {
		kinds += " " + string(k) + "=" + strconv.Itoa(count[k])
		hosts += count[k]
	}
	return fmt.Sprintf("ready port=%d day=%d hosts=%d%s", f.Port(), f.Day(), hosts, kinds)
}

// WriteTruth writes the truth file: JSON lines, the header first.
func (f *Fleet) WriteTruth(w io.Writer) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	err := e.Encode(TruthHeader{Schema: Schema, Seed: f.p.o.Seed, Hosts: f.p.o.Hosts, Mix: f.p.o.Mix, Begin: Begin,
		Day: f.p.o.Day, Days: f.p.days(), CVE: f.p.o.CVE, Port: f.Port(), Closed: f.closed})
	for t := range f.Truth() {
		if err == nil {
			err = e.Encode(t)
		}
	}
	if err != nil {
		return err
	}
	return b.Flush()
}

// WriteTargets writes the target list, a line each: address with port, and name.
func (f *Fleet) WriteTargets(w io.Writer) error {
	b := bufio.NewWriter(w)
	for t := range f.Targets() {
		b.WriteString(t.String())
		b.WriteByte('\n')
	}
	return b.Flush() // the writer keeps the first error
}

// scopeDays is how long the scope file of an exercise holds.
const scopeDays = 30

// Networks gives the networks that hold every host of the scope and none outside.
func (f *Fleet) Networks() []netip.Prefix {
	var list []netip.Prefix
	first, last := number(f.p.o.Base), number(f.p.o.Base)+2*uint32(f.p.o.Hosts)-1
	for at := first; ; {
		bits := 32
		for bits > 8 && at&(1<<(33-bits)-1) == 0 && at|(1<<(33-bits)-1) <= last {
			bits--
		}
		list = append(list, netip.PrefixFrom(addr(at), bits))
		if at |= 1<<(32-bits) - 1; at >= last {
			return list
		}
		at++
	}
}

// WriteScope writes the scope file of the exercise: its networks, and no more.
func (f *Fleet) WriteScope(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Scope of an exercise on loopback. It needs --lab.\nlabel: exercise\nauthority: exercise\ncontact: exercise@postern.example\nnetworks:\n")
	for _, n := range f.Networks() {
		fmt.Fprintf(&b, "  - %s\n", n)
	}
	now := f.p.o.Now().UTC()
	fmt.Fprintf(&b, "names:\n  - \"*.example\"\n  - outlook.office365.com\nvalid:\n  from: %s\n  to: %s\n", now.Format(time.DateOnly), now.AddDate(0, 0, scopeDays).Format(time.DateOnly))
	_, err := io.WriteString(w, b.String())
	return err
}

// Point is the true state of a population at the end of a day.
type Point struct {
	Day     int       `json:"day"`
	Date    time.Time `json:"date"`
	Open    int       `json:"open"`    // front ends that were open on day 0: the denominator
	Patched int       `json:"patched"` // of them, those that no longer were
	Share   float64   `json:"share"`
}

// Adoption gives the true curve of a population, day by day up to and with the
// last: what every estimate from its sightings is to be held against. Hosts count
// whether they can still be seen or not.
func Adoption(o Options, last int) ([]Point, error) {
	p, err := newPopulation(o)
	if err != nil {
		return nil, err
	}
	if last < 0 || last > MaxDay {
		return nil, fmt.Errorf("last day %d: want 0 to %d", last, MaxDay)
	}
	points := make([]Point, last+1)
	total := 0
	for i := range p.o.Hosts {
		h := p.host(i)
		for k := range h.members {
			w := p.live(&h, k)
			if l, r := w.at(p.table, 0); !open(p.table.lines[w.line].releases[w.release].state) {
				continue
			} else if !open(p.table.lines[l].releases[r].state) {
				points[0].Patched++
				total++
				continue
			}
			total++
			for d := 1; d <= last; d++ {
				if l, r := w.at(p.table, d); !open(p.table.lines[l].releases[r].state) {
					points[d].Patched++
					break
				}
			}
		}
	}
	for d := range points {
		x := &points[d]
		x.Day, x.Date, x.Open = d, Date(d), total
		if d > 0 {
			x.Patched += points[d-1].Patched
		}
		x.Share = float64(x.Patched) / float64(max(total, 1))
	}
	return points, nil
}
