package exercise

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"postern"
)

// host is one server while it is laid out.
type host struct {
	o      *Options
	root   *os.Root
	name   string // EX01
	folder string // below the output folder
	story  *story
	size   int64 // to be met
	from   int64 // of the logs
	to     int64

	rng  *chance // of traffic
	plan *chance // of everything that is planted, so that it does not change with the size

	org        organisation
	before     version // until the patch
	after      version // from then on
	fixed      [4]int  // the update of March 2021 for it
	drive      string  // of Exchange: "C"
	install    string  // as Windows writes it, without '\' at the end
	windows    int     // version of IIS times ten: 85 or 100
	zone       int     // local time minus UTC, hours
	fqdn       string  // ex01.ad.nordhavn.example
	public     string  // mail.nordhavn.example
	outer      string  // the address that the internet sees
	path3      string  // 15.1.2176, as in the addresses of static files
	address    string  // in its own network
	local      string  // link-local, which it uses to talk to itself
	balancer   string  // "" if there is none
	monitor    string  // who asks whether it is well
	controller string  // of the domain
	computer   string  // the server's own account
	forbidden  string  // 403 in its language
	scanners   []string
	users      []*user
	health     []*user
	admin      *user
	database   []string
	oab        guid   // the offline address book
	vdir       guid   // its virtual directory
	fields     layout // of IIS logs

	restarts  []restart
	patched   int64  // 0: not
	mitigated int64  // 0: not
	rewrite   string // web.config of the site, "" is that of the story of the mitigation or a plain one
	gone      int64  // logs before this time have been removed
	cutLast   bool   // logs were copied while they were written
	acts      []act
	files     []plannedFile
	records   []plannedEvent
	// hiddenFolder is where one more virtual directory points to, thirdParty where
	// that of somebody else's product does; "" is none.
	hiddenFolder, thirdParty string
	hiddenAt                 int64
	odd                      map[string]map[int64]bool // folder of a log → periods whose file has shuffled columns
	resaved                  map[string]bool           // paths of logs that somebody saved again as UTF-16

	proxy                   [len(protocols)]*stream
	front, back             *stream // IIS
	ecpServer, ecpActivity  *stream
	oabLog                  *stream
	ews, mapi, autodiscover *stream
	rpsHTTP, rpsCmdlet      *stream
	streams                 []*stream
	covers                  map[string]*cover
	folders                 map[string]*os.Root

	pace          *pace
	expiry        string // of routing cookies
	routedAt      string // when the routing cache was filled, in ticks
	chosen        []chosen
	cal           calendar
	row           cells
	line, scratch []byte
	bytes         int64
	err           error
	truth         HostTruth
}

// restart is a time without service.
type restart struct {
	down, up int64
	crash    bool
}

// act is something that happens once, at its time.
type act struct {
	at int64
	do func()
}

// version is a build in the ways that logs write it.
type version struct {
	parts  [4]int
	dotted string // 15.1.2176.2
	padded string // 15.01.2176.002
	target string // 15.01.2176.000
	server string // as the routing cookie packs it
}

func newVersion(b [4]int) version {
	dotted := fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3])
	return version{
		parts:  b,
		dotted: dotted,
		padded: fmt.Sprintf("%02d.%02d.%04d.%03d", b[0], b[1], b[2], b[3]),
		target: fmt.Sprintf("%02d.%02d.%04d.000", b[0], b[1], b[2]),
		server: fmt.Sprint(0x70000000 | b[0]<<22 | b[1]<<16 | 0x8000 | b[2]),
	}
}

// display is the build as Exchange shows it to people, without the update.
func (v version) display() string {
	return fmt.Sprintf("Version %d.%d (Build %d.0)", v.parts[0], v.parts[1], v.parts[2])
}

// builds are what servers ran in February 2021 and the update that closed the holes.
var builds = []struct{ before, after [4]int }{
	{[4]int{15, 1, 2176, 2}, [4]int{15, 1, 2176, 9}},
	{[4]int{15, 2, 792, 3}, [4]int{15, 2, 792, 10}},
	{[4]int{15, 1, 2106, 2}, [4]int{15, 1, 2106, 13}},
	{[4]int{15, 0, 1497, 2}, [4]int{15, 0, 1497, 12}},
	{[4]int{15, 2, 721, 2}, [4]int{15, 2, 721, 13}},
	{[4]int{15, 1, 2176, 4}, [4]int{15, 1, 2176, 9}},
	{[4]int{15, 0, 1395, 4}, [4]int{15, 0, 1395, 12}},
	{[4]int{15, 0, 847, 32}, [4]int{15, 0, 847, 64}},
}

// retention is how long Exchange keeps its own logs; those of the web server stay.
const retention = 30 * day

// newHost decides who a server is and what happens to it; nothing is written yet.
func newHost(o *Options, i int, root *os.Root) *host {
	name := fmt.Sprintf("EX%02d", i+1)
	h := &host{
		o: o, root: root, name: name, folder: name,
		story: findStory(o.Stories[i%len(o.Stories)]),
		size:  o.Size / int64(o.Hosts),
		from:  millis(o.From), to: millis(o.To),
		rng: newChance(o.Seed, "traffic", name), plan: newChance(o.Seed, "plan", name),
		odd: map[string]map[int64]bool{}, resaved: map[string]bool{}, folders: map[string]*os.Root{}, covers: map[string]*cover{},
	}
	h.from += h.story.era.shift().Milliseconds()
	h.to += h.story.era.shift().Milliseconds()
	h.identity(i)
	if h.story.setUp != nil {
		h.story.setUp(h)
	}
	h.openStreams()
	h.truth = HostTruth{
		Host: name, Folder: name, Story: h.story.name, Install: h.install, Zone: h.zone, From: instant(h.from), To: instant(h.to),
		Actors: []Actor{}, Planted: []Row{}, Files: []PlantedFile{}, NearMisses: []NearMiss{}, Coverage: []Coverage{}, Damage: []Damage{},
	}
	h.restart(h.moment(0.08+0.1*h.plan.float()), 7*minute, false)
	h.story.tell(h)
	h.nearMisses()
	if h.story.era != nil {
		h.siblingNearMisses()
	}
	h.stock()
	slices.SortStableFunc(h.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	for _, s := range h.streams {
		s.keepFrom = max(h.from, h.gone)
		if s.source != "iis" {
			s.keepFrom = max(s.keepFrom, h.to-retention)
		}
	}
	return h
}

// restart plans a time without service.
func (h *host) restart(at, long int64, crash bool) (up int64) {
	h.restarts = append(h.restarts, restart{at, at + long, crash})
	slices.SortFunc(h.restarts, func(a, b restart) int { return cmp.Compare(a.down, b.down) })
	return at + long
}

// patch plans the installation of the update.
func (h *host) patch(at int64) {
	h.patched = h.restart(at, int64(h.plan.between(22, 50))*minute, false)
	h.after = newVersion(h.fixed)
}

// epoch counts the restarts before a time.
func (h *host) epoch(at int64) int {
	n := 0
	for n < len(h.restarts) && h.restarts[n].up <= at {
		n++
	}
	return n
}

// downAt says whether the server gives no service at a time, and when it is back.
func (h *host) downAt(at int64) (up int64, down bool) {
	for _, r := range h.restarts {
		if at >= r.down && at < r.up {
			return r.up, true
		}
	}
	return at, false
}

// versionAt is the build that runs at a time.
func (h *host) versionAt(at int64) *version {
	if h.patched != 0 && at >= h.patched {
		return &h.after
	}
	return &h.before
}

// moment gives the time at a share of the range, in working service.
func (h *host) moment(share float64) int64 {
	at := h.from + int64(share*float64(h.to-h.from))
	up, down := h.downAt(at)
	if down {
		return up + minute
	}
	return at
}

// later plans something for a time.
func (h *host) later(at int64, do func()) { h.acts = append(h.acts, act{at, do}) }

// until does what is planned up to a time.
func (h *host) until(at int64) {
	for len(h.acts) > 0 && h.acts[0].at <= at {
		next := h.acts[0]
		h.acts = h.acts[1:]
		next.do()
	}
}

// layOut writes the host.
func (h *host) layOut(ctx context.Context, watch *watcher) error {
	defer func() {
		for _, folder := range h.folders {
			folder.Close()
		}
	}()
	h.furnish()
	h.record()
	told := int64(0)
	for at := h.from; at < h.to; at += hour {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if h.err != nil {
			return h.err
		}
		h.hour(at)
		if h.bytes-told > 4<<20 {
			watch.wrote(h, h.bytes-told, false)
			told = h.bytes
		}
	}
	h.until(h.to)
	for _, s := range h.streams {
		if h.cutLast {
			s.cut()
		}
		s.close()
	}
	h.conclude()
	watch.wrote(h, h.bytes-told, true)
	return h.err
}

// conclude fills in the truth that only the finished logs tell.
func (h *host) conclude() {
	t := &h.truth
	t.NBytes, t.Build, t.BuildAfter = h.bytes, h.before.dotted, h.before.dotted
	for _, source := range slices.Sorted(maps.Keys(h.covers)) {
		if c := h.covers[source]; c.records > 0 {
			t.Coverage = append(t.Coverage, Coverage{
				Source: source, From: instant(c.first), To: instant(c.last), Records: c.records, Gaps: c.gaps(h.from),
			})
		}
	}
	if h.patched != 0 {
		at := instant(h.patched)
		t.Patched, t.BuildAfter = &at, h.after.dotted
	}
	if h.mitigated != 0 {
		at := instant(h.mitigated)
		t.Mitigated = &at
	}
	level := t.worst()
	t.Expect = Expect{Level: level, Name: level.String(), Conclusive: level >= postern.Exploited || h.covered()}
}

// covered says whether the logs that matter cover the window.
func (h *host) covered() bool {
	window := h.story.era.windowOf(h.o)
	for _, source := range []string{"httpproxy", "iis"} {
		c := h.covers[source]
		for i, seen := range c.hours {
			at := instant(h.from + int64(i)*hour)
			if !seen && !at.Before(window.From) && at.Before(window.To) {
				return false
			}
		}
	}
	return !instant(h.from).After(window.From) && !instant(h.to).Before(window.To)
}
