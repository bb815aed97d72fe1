// Package fleet plays a population of mail servers on loopback: real TLS, real
// sockets, and answers that have the shapes which published captures show. It
// serves demonstrations, drills, tests and load; nothing it opens can be reached
// from another machine.
//
// Input: [Options] and the build table as plain [Release] values. Output: a
// running [Fleet], its targets and its truth (schema postern.fleet/1, described
// in docs/formats/fleet.md); or, without any socket, the lines that an honest
// observer would have written ([Observe], schema postern.exposure/1).
//
// Everything about a host follows from the seed and the host's number, so a
// population of any size takes no memory, and the same options give the same
// hosts on any machine. Units: days are whole days since [Begin], builds are
// integer tuples, addresses are IPv4 in 127.0.0.0/8, sizes are bytes.
//
// Names end in .example (RFC 6761), numbers of autonomous systems are those of
// RFC 5398. Certificates are made with keys that anybody can compute from the
// seed: they protect nothing.
package fleet

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"postern"
)

// Schema names the version of the truth file.
const Schema = "postern.fleet/1"

// Begin is day 0: the day on which the fixes of March 2021 came out.
var Begin = time.Date(2021, time.March, 2, 0, 0, 0, 0, time.UTC)

// Date gives the beginning of a simulated day.
func Date(day int) time.Time { return Begin.AddDate(0, 0, day) }

// dayOf gives the simulated day of a moment; days before Begin are negative.
func dayOf(t time.Time) int {
	d := t.Sub(Begin)
	if d < 0 {
		return -int((-d + 24*time.Hour - 1) / (24 * time.Hour))
	}
	return int(d / (24 * time.Hour))
}

// Bounds of [Options].
const (
	// MaxHosts leaves every host its two addresses inside 127.0.0.0/8.
	MaxHosts = 2_000_000
	// MaxDay is some thirty years: what a table of builds can mean at most.
	MaxDay = 10_000
	// TruthDays is how many days the truth tells, to the end of April 2021; a
	// later Options.Day makes it longer.
	TruthDays = 60
)

// Mix is a recipe for the population.
type Mix string

// The recipes.
const (
	Country  Mix = "country"  // everything, in shares like those that scans of March 2021 met
	Clean    Mix = "clean"    // Exchange servers that answer directly, and look-alikes: for measuring speed
	Exchange Mix = "exchange" // Exchange servers only, in all their set-ups
	Hostile  Mix = "hostile"  // only hosts that attack whoever looks at them
)

// Mixes gives the recipes.
func Mixes() []Mix { return []Mix{Country, Clean, Exchange, Hostile} }

// Release is one released build of the product, with what it means for the flaw
// that the exercise is about.
type Release struct {
	Build     postern.Build
	Edition   string // "exchange-2016"
	Line      string // "CU19"
	Update    string // "Mar21SU", "" for the line as first released
	Released  time.Time
	Available time.Time // the day on which it could really be had; zero is Released
	State     postern.Assessment
}

// Options say what to play. Releases and Hosts are needed; the rest has defaults.
type Options struct {
	Seed     uint64
	Hosts    int
	Day      int // simulated day; 0 is Begin
	Mix      Mix // "" is Country
	Releases []Release
	// CVE is the flaw that Release.State is about.
	CVE string
	// Country puts every host into one; "" spreads them over many.
	Country string
	// Base is the first address of the hosts; the zero value is DefaultBase. Two
	// addresses a host follow, one before and one after a move.
	Base netip.Addr
	// Port is where the hosts answer; 0 lets the system choose.
	Port int
	// Plain serves everything without TLS, to measure what TLS costs.
	Plain bool
	// Port80, if not 0, also answers there as port 80 of such servers does.
	Port80 int
	// Port25, if not 0, also speaks there as the mail service of such servers does.
	Port25 int
	// Now is the wall clock, for deadlines and the hour in Date headers; nil is time.Now.
	Now func() time.Time
}

// DefaultBase is where hosts begin unless the options say otherwise: away from
// 127.0.0.1, where other programs of the machine listen.
var DefaultBase = netip.AddrFrom4([4]byte{127, 16, 0, 0})

// bystanderBase is where hosts live that nobody may look at; the scope of an
// exercise never includes them.
var bystanderBase = netip.AddrFrom4([4]byte{127, 254, 0, 0})

// settled gives the options with all defaults, or what is wrong with them.
func (o Options) settled() (Options, error) {
	if o.Mix == "" {
		o.Mix = Country
	}
	if !o.Base.IsValid() {
		o.Base = DefaultBase
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	known := false
	for _, m := range Mixes() {
		known = known || m == o.Mix
	}
	switch {
	case !known:
		return o, fmt.Errorf("mix %q: there is none of that name", o.Mix)
	case o.Hosts < 1 || o.Hosts > MaxHosts:
		return o, fmt.Errorf("%d hosts: want 1 to %d", o.Hosts, MaxHosts)
	case o.Day < 0 || o.Day > MaxDay:
		return o, fmt.Errorf("day %d: want 0 to %d", o.Day, MaxDay)
	case !o.Base.Is4() || o.Base.As4()[0] != 127:
		return o, fmt.Errorf("address %s: %w", o.Base, ErrNotLoopback)
	case number(o.Base)+2*uint32(o.Hosts) > number(bystanderBase):
		return o, fmt.Errorf("%d hosts from %s on reach beyond %s", o.Hosts, o.Base, bystanderBase)
	case o.Port < 0 || o.Port > 65534 || o.Port80 < 0 || o.Port80 > 65535 || o.Port25 < 0 || o.Port25 > 65535:
		return o, fmt.Errorf("port %d: want 0 to 65534", o.Port)
	case len(o.Releases) == 0:
		return o, errors.New("no releases to install on the hosts")
	}
	return o, nil
}

// ErrNotLoopback refuses an address outside 127.0.0.0/8.
var ErrNotLoopback = errors.New("not in 127.0.0.0/8")

// number and addr turn IPv4 addresses into integers and back.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func addr(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
