// Command bench measures the hunt, or with -exposure the scan, with -preserve the
// sealing of evidence, with -yara a tree of web files, against named peers
// in one run and prints a table for docs/benchmarks.md. It lays out exercise evidence in a folder for
// temporary files, runs the real binary and the peers alternately, and gives the
// medians of their CPU times (user and system) and the ratio. Nothing is compared
// with a figure from another run.
//
// Peers: ripgrep (Debian's ripgrep) with the deciding literals of the pack, a
// plain program on encoding/csv, and loops that read or hash the same files and do
// nothing else; these are subcommands of this program, so that they run as
// processes of their own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"postern/internal/exercise"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "peer" {
		if err := peer(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var b bench
	flag.StringVar(&b.postern, "postern", "", "the binary to measure (default: built from these sources, so that no old one is measured)")
	flag.StringVar(&b.dir, "dir", "", "folder for evidence (default a temporary one, removed)")
	flag.IntVar(&b.pairs, "pairs", 5, "alternating pairs for each comparison")
	flag.BoolVar(&b.large, "large", false, "also measure memory at 8 GB, or at a million hosts")
	flag.IntVar(&b.seeds, "seeds", 10, "seeds of the detection check")
	x := outside{bench: &b}
	exposure := flag.Bool("exposure", false, "measure the exposure scan instead of the hunt")
	flag.IntVar(&x.hosts, "hosts", 5000, "hosts of a fleet of the exposure part")
	flag.StringVar(&x.zgrab2, "zgrab2", "", "the peer's binary; none leaves it out (default: built from its module)")
	flag.StringVar(&x.part, "part", "", "one part of the exposure rows: speed, country, series, hostile, busy, memory")
	logs := eventLogs{bench: &b}
	flag.StringVar(&logs.samples, "evtx", "", "measure event logs instead: a folder of samples")
	flag.StringVar(&logs.dumpevtx, "dumpevtx", "", "the peer's binary for event logs; none leaves it out")
	flag.StringVar(&logs.sigma, "sigma", "", "a checkout of SigmaHQ/sigma: its rules over its logs, and over the samples")
	seal := sealing{bench: &b}
	preserve := flag.Bool("preserve", false, "measure the sealing of evidence instead")
	flag.Float64Var(&seal.size, "gb", 10, "size of the evidence to seal, in GB")
	w := watching{bench: &b}
	watch := flag.Bool("watch", false, "measure the watch instead, over a server that writes its logs")
	flag.Float64Var(&w.rate, "rate", 200e6, "bytes that its logs grow an hour")
	flag.IntVar(&w.seconds, "seconds", 60, "how long it is watched")
	web := webTree{bench: &b}
	flag.StringVar(&web.rules, "yara", "", "measure a tree of web files instead: a folder of YARA rules")
	flag.StringVar(&web.tree, "tree", "", "the tree of web files")
	flag.Parse()
	measure := b.hunts
	switch {
	case web.rules != "":
		measure = web.run
	case *watch:
		measure = w.run
	case *exposure:
		measure = x.run
	case logs.samples != "" || logs.sigma != "":
		measure = logs.run
	case *preserve:
		measure = seal.run
	}
	if err := b.run(measure); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// literals are the deciding literals of the proxylogon pack, of each rule those
// that say most in the factored form that is fastest for ripgrep: without one of
// them no rule can be about a row.
const literals = `serverinfo~|server~|x-(anonresource-backend|beresource)-cookie|/(aspnet_client|oab|ecp|owa/auth)/|` +
	`virtualdirectory|outlookanywhere|:444/|temporary file|curl/|python|go-http-client|exchangeservicesclient/0\.0\.0\.0`

// fixed are the same for ripgrep -F, which has no alternatives inside a literal and
// no folding: as the logs write them.
var fixed = []string{"ServerInfo~", "Server~", "X-AnonResource-Backend-Cookie", "X-BEResource-Cookie",
	"/aspnet_client/", "/OAB/", "/ecp/", "/owa/auth/", "VirtualDirectory", "OutlookAnywhere", ":444/", "temporary file",
	"curl/", "python", "Go-http-client", "ExchangeServicesClient/0.0.0.0"}

type bench struct {
	postern, dir string
	pairs, seeds int
	large        bool
	self         string
}

// run prepares what every part needs.
func (b *bench) run(measure func() error) (err error) {
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	tools, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tools)
	if b.postern == "" {
		b.postern = filepath.Join(tools, "postern")
		c := exec.Command("go", "build", "-o", b.postern, "postern/cmd/postern")
		c.Stderr = os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("build postern: %w", err)
		}
	}
	if b.postern, err = filepath.Abs(b.postern); err != nil {
		return err
	}
	if b.dir == "" {
		b.dir = filepath.Join(tools, "evidence")
		if err := os.Mkdir(b.dir, 0o755); err != nil {
			return err
		}
	}
	return measure()
}

// hunts measures the hunt.
func (b *bench) hunts() error {
	// A busy server writes about half a gigabyte of logs a day.
	logs, err := b.evidence("gb1", 1e9, 2)
	if err != nil {
		return err
	}
	if err := b.speed(logs); err != nil {
		return err
	}
	if err := b.cold(logs); err != nil {
		return err
	}
	if err := b.memory(logs); err != nil {
		return err
	}
	if err := b.smallFiles(); err != nil {
		return err
	}
	return b.detection()
}

// evidence lays out the logs of one busy server over some days.
func (b *bench) evidence(name string, size int64, days int) (string, error) {
	dir := filepath.Join(b.dir, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	from := time.Date(2021, 3, 2, 0, 0, 0, 0, time.UTC)
	_, err := exercise.Evidence(context.Background(), exercise.Options{
		Seed: 1, Out: dir, Size: size, Hosts: 1, Stories: []string{"full-chain-with-tidy-up"},
		From: from, To: from.AddDate(0, 0, days),
	})
	return dir, err
}

func (b *bench) hunt(dir, threads, hash string) *exec.Cmd {
	return exec.Command(b.postern, "hunt", "--campaign", "proxylogon", "--threads", threads, "--hash", hash, "--format", "json", dir)
}

func (b *bench) speed(dir string) error {
	rg, err := exec.LookPath("rg")
	if err != nil {
		return fmt.Errorf("ripgrep is needed as a peer (Debian: ripgrep): %w", err)
	}
	// The hash of inputs with findings is counted apart.
	hunt := func() *exec.Cmd { return b.hunt(dir, "1", "none") }
	search := func(args ...string) func() *exec.Cmd {
		return func() *exec.Cmd {
			return exec.Command(rg, append(append([]string{"-j1", "-a", "-c", "--no-ignore"}, args...), dir)...)
		}
	}
	var each []string
	for _, f := range fixed {
		each = append(each, "-e", f)
	}
	if err := b.cpu("rg -i", 0.90, hunt, search("-i", "-e", literals)); err != nil {
		return err
	}
	if err := b.cpu("rg -F", 2.0, hunt, search(append([]string{"-F"}, each...)...)); err != nil {
		return err
	}
	if err := b.cpu("hunt with the hash of inputs with findings", 1, hunt, func() *exec.Cmd { return b.hunt(dir, "1", "found") }); err != nil {
		return err
	}
	return b.cpu("encoding/csv", 1.0/12, hunt, func() *exec.Cmd { return exec.Command(b.self, "peer", "csv", dir) })
}

// cpu compares CPU time, warm: one run of each first, which is not counted.
func (b *bench) cpu(name string, goal float64, ours, theirs func() *exec.Cmd) error {
	a, t, err := b.alternate(func() (usage, error) { return run(ours()) }, func() (usage, error) { return run(theirs()) })
	if err != nil {
		return err
	}
	row("CPU s, one thread, warm: hunt / "+name, median(a), median(t), goal)
	return nil
}

// alternate runs two things in turn and gives the CPU time of each. The first pair
// is not counted.
func (b *bench) alternate(ours, theirs func() (usage, error)) (a, t []float64, err error) {
	for i := range b.pairs + 1 {
		x, err := ours()
		if err != nil {
			return nil, nil, err
		}
		y, err := theirs()
		if err != nil {
			return nil, nil, err
		}
		if i > 0 {
			a, t = append(a, x.cpu), append(t, y.cpu)
		}
	}
	return a, t, nil
}

func (b *bench) cold(dir string) error {
	var a, t []float64
	for range b.pairs {
		for _, c := range []struct {
			cmd *exec.Cmd
			to  *[]float64
		}{{b.hunt(dir, "2", "none"), &a}, {exec.Command(b.self, "peer", "read", dir), &t}} {
			if err := evict(dir); err != nil {
				return err
			}
			u, err := run(c.cmd)
			if err != nil {
				return err
			}
			*c.to = append(*c.to, u.wall)
		}
	}
	row("wall s, two threads, cold: hunt / reading", median(a), median(t), 1.2)
	return nil
}

func (b *bench) memory(dir string) error {
	u, err := run(b.hunt(dir, "2", "found"))
	if err != nil {
		return err
	}
	fmt.Printf("peak RSS at 1 GB: %.1f MiB (goal 48)\n", u.rss)
	if !b.large {
		return nil
	}
	big, err := b.evidence("gb8", 8e9, 16)
	if err != nil {
		return err
	}
	v, err := run(b.hunt(big, "2", "found"))
	if err != nil {
		return err
	}
	fmt.Printf("peak RSS at 8 GB: %.1f MiB (goal 48, growth %.0f %%, goal 10 %%)\n", v.rss, (v.rss/u.rss-1)*100)
	return nil
}

func (b *bench) smallFiles() error {
	dir := filepath.Join(b.dir, "small")
	if err := makeSmall(dir, 100_000); err != nil {
		return err
	}
	a, t, err := b.alternate(func() (usage, error) { return run(b.hunt(dir, "1", "found")) },
		func() (usage, error) { return run(exec.Command(b.self, "peer", "hash", dir)) })
	if err != nil {
		return err
	}
	row("CPU s, 100,000 small files: hunt / read and SHA-256", median(a), median(t), 2.0)
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func row(what string, ours, theirs, goal float64) {
	verdict := "reached"
	if ours/theirs > goal {
		verdict = "NOT reached"
	}
	fmt.Printf("%s: %.2f / %.2f = %.2f (goal ≤ %.2f, %s)\n", what, ours, theirs, ours/theirs, goal, verdict)
}
