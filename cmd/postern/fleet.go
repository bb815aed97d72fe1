package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/campaign"
	"postern/internal/exercise/fleet"
	"postern/internal/exposure/probe"
)

// fleetCVE is the flaw that the exercise is about unless --cve names another.
const fleetCVE = "CVE-2021-26855"

// maxFleetPort leaves room for the port at which nobody listens.
const maxFleetPort = 65534

// fleetFor is how long a fleet runs unless --for says otherwise: nobody has to
// remember to end it.
const fleetFor = time.Hour

type fleetOptions struct {
	fleet.Options
	mix, listen           string
	truth, targets, scope string
	lasts                 time.Duration
	days                  []int
	reach, insight        float64
	curve                 string
}

// flags that every population needs.
func (a *app) populationFlags(c *cobra.Command, o *fleetOptions) {
	t, f := a.words.T, c.Flags()
	f.Uint64Var(&o.Seed, "seed", 1, t("fleet.flag.seed"))
	f.IntVar(&o.Hosts, "hosts", 200, t("fleet.flag.hosts"))
	f.StringVar(&o.mix, "mix", string(fleet.Country), t("fleet.flag.mix", "known", fleetMixes()))
	f.StringVar(&o.Country, "country", "", t("fleet.flag.country"))
	f.StringVar(&o.CVE, "cve", fleetCVE, t("fleet.flag.cve", "cve", fleetCVE))
}

// fleetCommand plays hosts on loopback.
func (a *app) fleetCommand() *cobra.Command {
	t := a.words.T
	var o fleetOptions
	c := &cobra.Command{
		Use:     "fleet " + t("fleet.args"),
		Short:   t("fleet.short"),
		Long:    t("fleet.long"),
		Example: t("fleet.example"),
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.playFleet(c.Context(), o) },
	}
	a.populationFlags(c, &o)
	f := c.Flags()
	f.IntVar(&o.Day, "day", 0, t("fleet.flag.day"))
	f.StringVar(&o.listen, "listen", fleet.DefaultBase.String(), t("fleet.flag.listen", "address", fleet.DefaultBase))
	f.IntVar(&o.Port, "port", 8443, t("fleet.flag.port"))
	f.IntVar(&o.Port80, "port80", 0, t("fleet.flag.port80"))
	f.IntVar(&o.Port25, "port25", 0, t("fleet.flag.port25"))
	f.BoolVar(&o.Plain, "plain", false, t("fleet.flag.plain"))
	f.StringVar(&o.truth, "truth", "", t("fleet.flag.truth"))
	f.StringVar(&o.targets, "targets", "", t("fleet.flag.targets"))
	f.StringVar(&o.scope, "scope", "", t("fleet.flag.scope"))
	f.DurationVar(&o.lasts, "for", fleetFor, t("fleet.flag.for"))
	return c
}

// sightingsCommand writes what an observer of a population would have seen.
func (a *app) sightingsCommand() *cobra.Command {
	t := a.words.T
	var o fleetOptions
	c := &cobra.Command{
		Use:     "sightings " + t("fleet.sightings.args"),
		Short:   t("fleet.sightings.short"),
		Long:    t("fleet.sightings.long"),
		Example: t("fleet.sightings.example"),
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.writeSightings(c.Context(), o) },
	}
	a.populationFlags(c, &o)
	f := c.Flags()
	f.IntSliceVar(&o.days, "days", []int{0, 1, 2, 3, 6, 8, 10, 14, 20, 27, 34, 45, 59}, t("fleet.flag.days"))
	f.Float64Var(&o.reach, "reach", .97, t("fleet.flag.reach"))
	f.Float64Var(&o.insight, "insight", 0, t("fleet.flag.insight"))
	f.StringVar(&o.curve, "truth", "", t("fleet.flag.curve"))
	return c
}

func fleetMixes() string {
	var names []string
	for _, m := range fleet.Mixes() {
		names = append(names, string(m))
	}
	return strings.Join(names, ", ")
}

// settle turns what the flags say into options of the fleet.
func (o *fleetOptions) settle() error {
	o.Mix = fleet.Mix(o.mix)
	if !slices.Contains(fleet.Mixes(), o.Mix) {
		return usage("fleet.bad-mix", "value", o.mix, "known", fleetMixes())
	}
	if o.Hosts < 1 || o.Hosts > fleet.MaxHosts {
		return usage("fleet.bad-hosts", "value", o.Hosts, "bound", fleet.MaxHosts)
	}
	if o.Day < 0 || o.Day > fleet.MaxDay {
		return usage("fleet.bad-day", "value", o.Day, "bound", fleet.MaxDay)
	}
	for _, port := range []int{o.Port, o.Port80, o.Port25} {
		if port < 0 || port > maxFleetPort {
			return usage("fleet.bad-port", "value", port, "bound", maxFleetPort)
		}
	}
	if o.Country != "" && (len(o.Country) != 2 || strings.Trim(o.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		return usage("fleet.bad-country", "value", o.Country)
	}
	if o.listen != "" {
		base, err := netip.ParseAddr(strings.TrimSuffix(o.listen, "/8"))
		if err != nil || !base.Is4() || base.As4()[0] != 127 {
			return usage("fleet.bad-listen", "value", o.listen)
		}
		o.Base = base
	}
	p, err := campaign.BuiltInProduct("exchange")
	if err != nil {
		return err
	}
	if _, ok := p.CVE(o.CVE); !ok {
		return usage("fleet.bad-cve", "value", o.CVE)
	}
	o.Releases = fleetReleases(p, o.CVE)
	return nil
}

// fleetReleases gives the build table as the fleet wants it.
func fleetReleases(p *campaign.Product, cve string) []fleet.Release {
	list := make([]fleet.Release, len(p.Releases))
	for i, r := range p.Releases {
		state, _ := p.Assess(cve, r.Build)
		list[i] = fleet.Release{Build: r.Build, Edition: r.Edition, Line: r.Line, Update: r.Update,
			Released: r.Released, Available: r.Available, State: state}
	}
	return list
}

// playFleet runs a fleet until its time is over or it is interrupted.
func (a *app) playFleet(ctx context.Context, o fleetOptions) error {
	if err := o.settle(); err != nil {
		return err
	}
	if o.lasts <= 0 {
		return usage("fleet.bad-for", "value", o.lasts)
	}
	if err := probe.AllowOldServers(); err != nil { // some hosts are such
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.lasts)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM) // whoever ends it wants its report all the same
	defer stop()
	f, err := fleet.Start(ctx, o.Options)
	if err != nil {
		return failed(err, "fleet.failed", "port", o.Port)
	}
	defer f.Close()
	for _, out := range []struct {
		name  string
		write func(io.Writer) error
	}{{o.truth, f.WriteTruth}, {o.targets, f.WriteTargets}, {o.scope, f.WriteScope}} {
		if err := writeFile(out.name, out.write); err != nil {
			return failed(err, "fleet.not-written", "file", out.name)
		}
	}
	fmt.Fprintln(a.out, f.Ready())
	a.followClock(ctx, f)
	s := f.Seen()
	fmt.Fprintln(a.err, a.words.T("fleet.seen", "connections", s.Connections, "hosts", s.Contacted, "requests", s.Requests,
		"most", s.MostRequests, "bystanders", s.Bystanders, "unexpected", s.Unexpected))
	if s.ExchangeVisits > 0 {
		fmt.Fprintln(a.err, a.words.T("fleet.seen-exchange", "visits", s.ExchangeVisits,
			"average", fmt.Sprintf("%.2f", float64(s.ExchangeRequests)/float64(s.ExchangeVisits))))
	}
	for _, odd := range s.Samples {
		fmt.Fprintln(a.err, "  "+odd)
	}
	return nil
}

// followClock moves the fleet's clock when told to: "day N" on standard input, or
// a hang-up signal for the next day. It ends with ctx.
func (a *app) followClock(ctx context.Context, f *fleet.Fleet) {
	next := make(chan os.Signal, 1)
	signal.Notify(next, syscall.SIGHUP)
	defer signal.Stop(next)
	lines := make(chan string)
	go func() { // ends with the program: nothing wakes a read of standard input
		in := bufio.NewScanner(a.in)
		for in.Scan() {
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		day := f.Day() + 1
		select {
		case <-ctx.Done():
			return
		case <-next:
		case line := <-lines:
			word, number, _ := strings.Cut(strings.TrimSpace(line), " ")
			n, err := strconv.Atoi(strings.TrimSpace(number))
			if word != "day" || err != nil {
				fmt.Fprintln(a.err, a.words.T("fleet.bad-line", "line", strconv.Quote(line)))
				continue
			}
			day = n
		}
		if err := f.SetDay(day); err != nil {
			fmt.Fprintln(a.err, a.words.T("fleet.bad-day", "value", day, "bound", fleet.MaxDay))
			continue
		}
		fmt.Fprintln(a.out, f.Ready())
	}
}

// writeFile writes a file if it is wanted, and says so if the disk did not take it.
func writeFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// writeSightings streams the lines of the scans.
func (a *app) writeSightings(ctx context.Context, o fleetOptions) error {
	if err := o.settle(); err != nil {
		return err
	}
	if o.reach <= 0 || o.reach > 1 || o.insight < 0 || o.insight > 1 {
		return usage("fleet.bad-share", "reach", o.reach, "insight", o.insight)
	}
	by := fleet.Observer{Insight: o.insight}
	for _, d := range o.days {
		if d < 0 || d > fleet.MaxDay {
			return usage("fleet.bad-day", "value", d, "bound", fleet.MaxDay)
		}
		by.Scans = append(by.Scans, fleet.Scan{Day: d, Reach: o.reach})
	}
	if len(by.Scans) == 0 {
		return usage("fleet.no-days")
	}
	err := writeFile(o.curve, func(w io.Writer) error {
		points, err := fleet.Adoption(o.Options, slices.Max(o.days))
		if err != nil {
			return err
		}
		e := json.NewEncoder(w)
		for _, p := range points {
			if err := e.Encode(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return failed(err, "fleet.not-written", "file", o.curve)
	}
	lines, err := fleet.Observe(o.Options, by)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(a.out, 1<<20)
	for line := range lines {
		if _, err := w.Write(line); err != nil {
			return failed(err, "fleet.not-written", "file", "-")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := w.Flush(); err != nil {
		return failed(err, "fleet.not-written", "file", "-")
	}
	return nil
}
