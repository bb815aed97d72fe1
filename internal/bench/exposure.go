package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern"
	"postern/internal/campaign"
	"postern/internal/exercise/fleet"
	"postern/internal/exposure"
	"postern/internal/exposure/probe"
)

// The exposure part plays fleets on loopback in this process and runs the real
// binary and its peers against them as processes of their own, so that only theirs
// is the CPU time and the memory that is counted.

const (
	marchDay   = 14   // of the fleet: 16 March 2021
	presentDay = 2091 // 22 November 2026
	// hostileHosts are visited at once; the default of workers has room for them.
	hostileHosts = 600
	// exposureBound ends everything if something hangs; all rows take some ten minutes,
	// and a million hosts that long again.
	exposureBound = time.Hour
)

// outside measures the exposure scan.
type outside struct {
	*bench
	hosts    int
	zgrab2   string
	part     string
	releases []fleet.Release
}

// run prints every row.
func (o *outside) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), exposureBound)
	defer cancel()
	p, err := campaign.BuiltInProduct("exchange")
	if err = errors.Join(err, probe.AllowOldServers()); err != nil {
		return err
	}
	const cve = "CVE-2021-26855"
	for _, r := range p.Releases {
		state, _ := p.Assess(cve, r.Build)
		o.releases = append(o.releases, fleet.Release{Build: r.Build, Edition: r.Edition, Line: r.Line, Update: r.Update,
			Released: r.Released, Available: r.Available, State: state})
	}
	known := false
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{{"speed", o.speed}, {"country", o.country}, {"series", o.series}, {"hostile", o.hostile}, {"busy", o.busy}, {"memory", o.memory}} {
		if o.part != "" && o.part != part.name {
			continue
		}
		known = true
		if err := part.measure(ctx); err != nil {
			return err
		}
	}
	if !known {
		return fmt.Errorf("part %q: want speed, country, series, hostile, busy or memory", o.part)
	}
	return nil
}

// stage is a fleet that runs, and the files of its exercise.
type stage struct {
	*fleet.Fleet
	dir, targets, scope string
}

// play starts a fleet. Plain ones get their targets as URLs.
func (o *outside) play(ctx context.Context, name string, opt fleet.Options) (*stage, error) {
	opt.Seed, opt.Releases, opt.CVE = 1, o.releases, "CVE-2021-26855"
	f, err := fleet.Start(ctx, opt)
	if err != nil {
		return nil, err
	}
	s := &stage{Fleet: f, dir: filepath.Join(o.dir, name)}
	s.targets, s.scope = filepath.Join(s.dir, "targets"), filepath.Join(s.dir, "scope.yaml")
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	var list, scope bytes.Buffer
	for t := range f.Targets() {
		if opt.Plain {
			list.WriteString("http://")
		}
		list.WriteString(t.String() + "\n")
	}
	err = errors.Join(f.WriteScope(&scope), os.WriteFile(s.scope, scope.Bytes(), 0o644), os.WriteFile(s.targets, list.Bytes(), 0o644))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *stage) records() string { return filepath.Join(s.dir, "records.jsonl") }

// scan is the command that is measured.
func (o *outside) scan(ctx context.Context, s *stage, more ...string) *exec.Cmd {
	return exec.CommandContext(ctx, o.postern, append([]string{"exposure", "scan", "--lab", "--targets", s.targets, "--scope", s.scope, "-o", s.records()}, more...)...)
}

// read gives the records of the last scan, of the targets that were in its scope.
func (s *stage) read() (list []exposure.Observation, err error) {
	f, err := os.Open(s.records())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for r, err := range exposure.Read(f, s.records()) {
		if err != nil {
			return nil, err
		}
		if r.Outcome != exposure.OutOfScope {
			list = append(list, r)
		}
	}
	return list, nil
}

// weeks is the days of the fleet on which requests are counted, some of each era of what
// servers show: no header, one where one signs in, one on every page.
var weeks = []int{0, marchDay, 200, 365, 700, 1400, presentDay}

// again is how many days later the second scan of a series comes.
const again = 7

// country counts requests, and holds what was found against the truth, in the
// mix that stands for a country and in the clean one.
func (o *outside) country(ctx context.Context) error {
	for _, mix := range []fleet.Mix{fleet.Country, fleet.Clean} {
		for _, day := range weeks {
			s, err := o.play(ctx, fmt.Sprint(mix, day), fleet.Options{Hosts: o.hosts, Day: day + again, Mix: mix})
			if err != nil {
				return err
			}
			if err := errors.Join(o.twice(ctx, s, mix, day), s.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// twice scans a fleet as if nobody had before, then without the manifest, and a week later
// with the records of the first scan at hand.
func (o *outside) twice(ctx context.Context, s *stage, mix fleet.Mix, day int) error {
	earlier := filepath.Join(s.dir, "earlier.jsonl")
	for i, how := range []struct {
		name  string
		later int
		flags []string
	}{
		{"not counted", 0, nil}, // these hosts make their keys when they are first asked
		{"first scan", 0, nil},
		{"--manifest=false", 0, []string{"--manifest=false"}},
		{"a week later, --earlier", again, []string{"--earlier", earlier}},
	} {
		at := day + how.later
		if err := s.SetDay(at); err != nil {
			return err
		}
		if _, err := run(o.scan(ctx, s, append(how.flags, "--at="+fleet.Date(at).Add(12*time.Hour).Format(time.RFC3339))...)); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		if _, err := o.judge(s, mix, at, how.name); err != nil {
			return err
		}
		if i == 1 {
			if err := os.Rename(s.records(), earlier); err != nil {
				return err
			}
		}
	}
	s.manners()
	return nil
}

// manners prints what no visitor may do.
func (s *stage) manners() {
	seen := s.Seen()
	fmt.Printf("  contacts with a non-target: %d, anything outside the closed set: %d (goal 0, 0)\n", seen.Bystanders, seen.Unexpected)
}

// starts is the first days of the series, one of each row of country that is another era.
var starts = []int{0, 200, 365, 700, presentDay}

// scans is the days of a series of scans, counted from its start: three weeks as in make demo.
var scans = []int{0, 3, 6, 11, 20}

// series measures as a country is measured over three weeks: each scan is given the records of
// all before it. Each is held against the truth of its day.
func (o *outside) series(ctx context.Context) error {
	for _, mix := range []fleet.Mix{fleet.Country, fleet.Clean} {
		for _, day := range starts {
			s, err := o.play(ctx, fmt.Sprint("series", mix, day), fleet.Options{Hosts: o.hosts, Day: day + scans[len(scans)-1], Mix: mix})
			if err != nil {
				return err
			}
			if err := errors.Join(o.oneSeries(ctx, s, mix, day), s.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *outside) oneSeries(ctx context.Context, s *stage, mix fleet.Mix, start int) error {
	var all, last mean
	var earlier []string
	for i, after := range scans {
		day := start + after
		if err := s.SetDay(day); err != nil {
			return err
		}
		flags := append([]string{"--at=" + fleet.Date(day).Add(12*time.Hour).Format(time.RFC3339)}, earlier...)
		if _, err := run(o.scan(ctx, s, flags...)); err != nil {
			return err
		}
		requests, err := o.judge(s, mix, day, fmt.Sprintf("scan %d of %d", i+1, len(scans)))
		if err != nil {
			return err
		}
		all.n, all.sum, last = all.n+requests.n, all.sum+requests.sum, requests
		kept := filepath.Join(s.dir, fmt.Sprintf("scan%d.jsonl", i))
		if err := os.Rename(s.records(), kept); err != nil {
			return err
		}
		earlier = append(earlier, "--earlier", kept)
	}
	fmt.Printf("%s mix of %d hosts, %d scans from %s on: requests per Exchange host and scan %.2f (goal ≤ 1.30, %s), of the last scan %.2f\n",
		mix, o.hosts, len(scans), fleet.Date(start).Format(time.DateOnly), all.value(), reached(all.value() <= 1.3), last.value())
	s.manners()
	return nil
}

// judge prints what one scan of a country comes to, and gives the requests of its Exchange hosts.
func (o *outside) judge(s *stage, mix fleet.Mix, day int, how string) (mean, error) {
	list, err := s.read()
	if err != nil {
		return mean{}, err
	}
	record := map[string]*exposure.Observation{}
	for i := range list {
		record[list[i].Address] = &list[i]
	}
	var live, found, knowable, exact, wrong, lookAlikes int
	var requests, others mean
	shut, one := mean{}, 0
	classes := table{}
	for x := range s.Truth() {
		home := x.Homes[0]
		if last := x.Homes[len(x.Homes)-1]; day >= last.Day {
			home = last
		}
		r := record[home.Address.String()]
		if x.Kind == fleet.Bystander || x.Kind == fleet.Attacker || r == nil || x.Gone != nil && day >= x.Gone.Day || slices.Contains(x.Missing, day) {
			continue
		}
		switch {
		case !x.Exchange:
			if r.Outcome == exposure.Exchange {
				lookAlikes++
			}
			if r.Requests > 0 {
				if others.add(r.Requests); r.Requests == 1 {
					one++
				}
			}
			continue
		case len(x.Outcomes) == 1 && x.Outcomes[0] == "exchange":
			if live++; r.Outcome == exposure.Exchange {
				found++
			}
		}
		if r.Outcome != exposure.Exchange {
			shut.add(r.Requests)
			continue
		}
		requests.add(r.Requests)
		now := x.Members[0].Builds[0]
		for _, b := range x.Members[0].Builds {
			if b.Day <= day {
				now = b
			}
		}
		classes.add(classOf(&x, now.Build, o.released(now.Build)), r.Requests)
		if x.Kind == fleet.Balanced {
			continue // which member answered is chance
		}
		if now.Knowable == fleet.ExactBuild && how != "--manifest=false" {
			if knowable++; r.Build.Exact == now.Build {
				exact++
			}
		}
		if !r.Build.IsZero() && (r.Build.Low.Compare(now.Build) > 0 || r.Build.High.Compare(now.Build) < 0) {
			wrong++
		}
	}
	fmt.Printf("%s mix of %d hosts on %s, %s: requests per Exchange host %.2f (goal ≤ 1.30, %s), shut away %.2f; other hosts: %d of %d take 1, the rest %.2f\n",
		mix, o.hosts, fleet.Date(day).Format(time.DateOnly), how, requests.value(), reached(requests.value() <= 1.3), shut.value(), one, others.n, (others.sum-float64(one))/float64(max(others.n-one, 1)))
	fmt.Printf("  live Exchange identified: %d of %d; builds that can be known: %d of %d exact; intervals without the true build: %d; others taken for Exchange: %d\n",
		found, live, exact, knowable, wrong, lookAlikes)
	classes.print(requests.n)
	return requests, nil
}

// released gives the day on which a build came out.
func (o *outside) released(b postern.Build) time.Time {
	i := slices.IndexFunc(o.releases, func(r fleet.Release) bool { return r.Build == b })
	if i < 0 {
		return time.Time{}
	}
	return o.releases[i].Released
}

// classOf names what decides how many requests a host takes: what stands before it, and
// since when its build tells itself.
func classOf(x *fleet.HostTruth, b postern.Build, released time.Time) string {
	kind := string(x.Kind)
	switch x.Kind {
	case fleet.Direct, fleet.Hybrid, fleet.Proxied:
		kind = "answers itself"
	}
	switch {
	case b[0] < 15:
		return kind + ", 2007 or 2010"
	case released.Before(time.Date(2021, time.July, 13, 0, 0, 0, 0, time.UTC)):
		return kind + ", build before July 2021"
	case released.Before(time.Date(2022, time.January, 1, 0, 0, 0, 0, time.UTC)):
		return kind + ", build of July to December 2021"
	}
	return kind + ", build since 2022"
}

// table is requests by class of host.
type table map[string]*mean

func (t table) add(class string, requests int) {
	if t[class] == nil {
		t[class] = &mean{}
	}
	t[class].add(requests)
}

// print gives the classes, those first that cost most beyond one request.
func (t table) print(all int) {
	over := func(class string) float64 { return t[class].sum - float64(t[class].n) }
	names := slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		return cmp.Or(cmp.Compare(over(b), over(a)), cmp.Compare(a, b))
	})
	for _, class := range names {
		m := t[class]
		fmt.Printf("    %-52s %5.1f %% of the hosts, %.2f requests, adds %.3f to one\n", class, 100*float64(m.n)/float64(max(all, 1)), m.value(), over(class)/float64(max(all, 1)))
	}
}

// mean is an average as it grows.
type mean struct {
	n   int
	sum float64
}

func (m *mean) add(n int) { m.n, m.sum = m.n+1, m.sum+float64(n) }

func (m *mean) value() float64 { return m.sum / float64(max(m.n, 1)) }

func reached(yes bool) string {
	if yes {
		return "reached"
	}
	return "NOT reached"
}

// speed compares CPU time a host, over TLS and plain, on the clean mix.
func (o *outside) speed(ctx context.Context) error {
	for _, plain := range []bool{false, true} {
		name, goal := "TLS", 1.5
		if plain {
			name, goal = "plain HTTP", 2.5
		}
		s, err := o.play(ctx, "clean-"+name[:3], fleet.Options{Hosts: o.hosts, Day: marchDay, Mix: fleet.Clean, Plain: plain})
		if err != nil {
			return err
		}
		err = o.compare(ctx, s, name, plain, goal)
		if err = errors.Join(err, s.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (o *outside) compare(ctx context.Context, s *stage, name string, plain bool, goal float64) error {
	if _, err := run(o.scan(ctx, s)); err != nil {
		return err
	}
	list, err := s.read()
	if err != nil {
		return err
	}
	plan := filepath.Join(s.dir, "plan")
	pages, err := writePlan(plan, list, plain)
	if err != nil {
		return err
	}
	n := float64(len(list))
	fmt.Printf("clean mix, %s, %d hosts, %d pages\n", name, len(list), pages)
	ours := func() (usage, error) { return run(o.scan(ctx, s)) }
	a, t, err := o.alternate(ours, func() (usage, error) { return run(exec.CommandContext(ctx, o.self, "peer", "client", plan)) })
	if err != nil {
		return err
	}
	row("  CPU µs a host, "+name+": scan / minimal client by hand", median(a)/n*1e6, median(t)/n*1e6, goal)
	if plain || o.zgrab2 == "none" {
		return nil
	}
	zgrab2, err := o.findZgrab2(ctx)
	if err != nil {
		return err
	}
	lists, err := writeZgrab2(s.dir, list)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		what  string
		lists []zgrabList
	}{{"the same pages", lists}, {"one page of each host", lists[:1]}} {
		a, t, err := o.alternate(ours, func() (usage, error) { return runZgrab2(ctx, zgrab2, s, c.lists) })
		if err != nil {
			return err
		}
		x, y := n/median(a), n/median(t)
		verdict := "for comparison"
		if len(c.lists) == len(lists) {
			verdict = "goal ≥ 3.00, " + reached(x/y >= 3)
		}
		fmt.Printf("  hosts a CPU second, %s: scan %.0f / zgrab2 with %s %.0f = %.2f (%s)\n", name, x, c.what, y, x/y, verdict)
	}
	return nil
}

// hostile visits hosts that attack whoever looks, all at once, at default settings.
func (o *outside) hostile(ctx context.Context) error {
	s, err := o.play(ctx, "hostile", fleet.Options{Hosts: hostileHosts, Mix: fleet.Hostile})
	if err != nil {
		return err
	}
	defer s.Close()
	const deadline = 10.0                                                      // the default of --timeout, in seconds
	u, err := watched(o.scan(ctx, s, "--workers", strconv.Itoa(hostileHosts))) // all of them at once
	if err != nil {
		return err
	}
	longest, lines := 0, 0
	f, err := os.Open(s.records())
	if err != nil {
		return err
	}
	defer f.Close()
	for l, err := range exposure.Lines(f, s.records()) {
		if err != nil {
			return err
		}
		longest, lines = max(longest, len(l.Bytes)), lines+1
	}
	fmt.Printf("%d hostile hosts at once: %.1f s (goal ≤ 1.5 × %.0f s, %s), peak RSS %.1f MiB (goal ≤ 100 MB, %s), longest record %d bytes (goal ≤ 4,096, %s), %d records\n",
		hostileHosts, u.wall, deadline, reached(u.wall <= 1.5*deadline), u.rss, reached(u.rss <= 95.3), longest, reached(longest <= 4096), lines)
	return nil
}

// busy scans live hosts while every core has other work.
func (o *outside) busy(ctx context.Context) error {
	s, err := o.play(ctx, "busy", fleet.Options{Hosts: o.hosts, Day: marchDay, Mix: fleet.Clean})
	if err != nil {
		return err
	}
	defer s.Close()
	var spinning []*exec.Cmd
	for range runtime.NumCPU() {
		c := exec.CommandContext(ctx, o.self, "peer", "spin", "1")
		if err := c.Start(); err != nil {
			return err
		}
		spinning = append(spinning, c)
	}
	u, err := run(o.scan(ctx, s))
	for _, c := range spinning {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	if err != nil {
		return err
	}
	list, err := s.read()
	if err != nil {
		return err
	}
	record := map[string]exposure.Outcome{}
	for i := range list {
		record[list[i].Address] = list[i].Outcome
	}
	live, lost := 0, 0
	for x := range s.Truth() {
		if x.Kind == fleet.Bystander {
			continue
		}
		if live++; !slices.Contains(x.Outcomes, string(record[x.Homes[0].Address.String()])) {
			lost++
		}
	}
	fmt.Printf("%d live hosts at default settings while %d other programs keep %d cores busy: %d lost (goal 0, %s), %.1f s\n",
		live, len(spinning), runtime.NumCPU(), lost, reached(lost == 0), u.wall)
	return nil
}

// memory scans many hosts with --state on: the smaller number over TLS, a million in
// the clear, which keeps the same and takes a fifth of the time. What TLS needs is
// bounded by the workers and shows at the smaller number.
func (o *outside) memory(ctx context.Context) error {
	sizes := []struct {
		hosts, goal int // MB
		how         string
	}{{20_000, 64, "over TLS"}, {1_000_000, 100, "over plain HTTP"}}
	if !o.large {
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		s, err := o.play(ctx, "memory", fleet.Options{Hosts: size.hosts, Day: marchDay, Mix: fleet.Clean, Plain: size.how != "over TLS"})
		if err != nil {
			return err
		}
		state := filepath.Join(s.dir, "state")
		c := o.scan(ctx, s, "--state", state)
		c.Args[slices.Index(c.Args, s.records())] = os.DevNull
		u, err := watched(c)
		lines := 0
		if err == nil {
			lines, err = countLines(filepath.Join(state, "results.jsonl"))
		}
		if err = errors.Join(err, s.Close(), os.RemoveAll(s.dir)); err != nil {
			return err
		}
		fmt.Printf("peak RSS at %d targets %s, --state on: %.1f MiB (goal ≤ %d MB, %s), %d records, %.0f s\n",
			size.hosts, size.how, u.rss, size.goal, reached(u.rss*1.048576 <= float64(size.goal)), lines, u.wall)
	}
	return nil
}

// watched runs a program and looks at its peak of memory while it runs: what the system
// says of it afterwards includes the process that started it, which plays a fleet.
func watched(c *exec.Cmd) (usage, error) {
	c.Stderr = os.Stderr
	start := time.Now()
	if err := c.Start(); err != nil {
		return usage{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	var u usage
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
			if _, rest, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
				kib, _ := strconv.ParseFloat(string(bytes.Fields(rest)[0]), 64)
				u.rss = max(u.rss, kib/1024)
			}
		case err := <-ended:
			if code := c.ProcessState.ExitCode(); err != nil && code != 3 && code != 4 {
				return usage{}, fmt.Errorf("%s: %w", c.Path, err)
			}
			u.wall = time.Since(start).Seconds()
			return u, nil
		}
	}
}

func countLines(name string) (n int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadSlice('\n')
		if bytes.HasSuffix(line, []byte("\n")) {
			n++
		}
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return n, err
		}
	}
}

// pathsOf gives what a host was asked for, in order: every answer leaves a line of
// evidence.
func pathsOf(r *exposure.Observation) (paths []string) {
	for _, e := range r.Evidence {
		_, path, _ := strings.Cut(e.Request, " ")
		if len(paths) == 0 || paths[len(paths)-1] != path {
			paths = append(paths, path)
		}
	}
	return paths
}
