package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/exposure"
	"postern/internal/exposure/assess"
	"postern/internal/exposure/fingerprint"
	"postern/internal/exposure/network"
	"postern/internal/exposure/pace"
	"postern/internal/exposure/probe"
	"postern/internal/exposure/scope"
	"postern/internal/exposure/state"
	"postern/internal/exposure/targets"
)

// Defaults of a scan.
const (
	defaultTimeout = 10 * time.Second
	// Most workers wait for a slow host or for their turn; what is at work at once is
	// bounded by the processors. Each takes some 50 KiB: a country is scanned within
	// 64 MB, and 19 dead hosts a second are waited out.
	defaultWorkers = 192
	// Hosts a second outside a laboratory: in all, in one /24 or /48, in one AS.
	defaultRate        = 500
	defaultNetworkRate = 16
	defaultASRate      = 100
	// handshakesPerCPU is how many handshakes are under way for each processor: one
	// that computes and some whose answer is on its way.
	handshakesPerCPU = 8
	// gcPercent trades a few per cent of time for half of the memory: most of it are
	// tables that live as long as the scan.
	gcPercent = 75
	// scanMemory is what the scan may have before garbage is collected sooner. With the
	// pages of the program itself, some 22 MiB, it stays below 64 MB; what is really kept
	// raises it, such as the stacks of many workers.
	scanMemory = 38 << 20
)

func (a *app) exposureScanCommand() *cobra.Command {
	t := a.words.T
	var o exposureOptions
	c := &cobra.Command{
		Use:     "scan " + t("cmd.exposure.scan.args"),
		Short:   t("cmd.exposure.scan.short"),
		Long:    t("cmd.exposure.scan.long"),
		Example: t("cmd.exposure.scan.example"),
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.checkScan(f.Changed); err != nil {
			return err
		}
		return a.exposureScan(c.Context(), o)
	}
	f.StringVar(&o.targets, "targets", "", t("cmd.exposure.flag.targets"))
	f.StringVar(&o.scope, "scope", "", t("cmd.exposure.flag.scope"))
	f.BoolVar(&o.lab, "lab", false, t("cmd.exposure.flag.lab"))
	f.StringVar(&o.state, "state", "", t("cmd.exposure.flag.state"))
	f.StringVar(&o.ledger, "ledger", "", t("cmd.exposure.flag.ledger"))
	f.DurationVar(&o.timeout, "timeout", defaultTimeout, t("cmd.exposure.flag.timeout"))
	f.IntVar(&o.workers, "workers", defaultWorkers, t("cmd.exposure.flag.workers"))
	f.Float64Var(&o.rate, "rate", -1, t("cmd.exposure.flag.rate", "default", defaultRate))
	f.Float64Var(&o.netRate, "net-rate", -1, t("cmd.exposure.flag.net-rate", "default", defaultNetworkRate))
	f.StringVar(&o.optout, "optout", "", t("cmd.exposure.flag.optout"))
	f.BoolVar(&o.manifest, "manifest", true, t("cmd.exposure.flag.manifest"))
	f.StringVar(&o.resolver, "resolver", "", t("cmd.exposure.flag.resolver"))
	f.StringSliceVar(&o.earlier, "earlier", nil, t("cmd.exposure.flag.earlier"))
	f.StringSliceVar(&o.mmdb, "mmdb", nil, t("cmd.exposure.flag.mmdb"))
	f.StringVar(&o.at, "at", "", t("cmd.exposure.flag.at"))
	f.BoolVar(&o.again, "print-all", false, t("cmd.exposure.flag.print-all"))
	a.exposureFlags(c, &o)
	return c
}

// checkScan says what is wrong with the flags; changed says which were given.
func (o *exposureOptions) checkScan(changed func(string) bool) error {
	if o.targets == "" {
		return usage("cmd.exposure.no-targets")
	}
	if o.scope == "" {
		return usage("cmd.exposure.no-scope")
	}
	if o.timeout < 100*time.Millisecond || o.timeout > 10*time.Minute {
		return usage("cmd.exposure.bad-timeout", "value", o.timeout)
	}
	if o.workers < 1 || o.workers > 20_000 {
		return usage("cmd.exposure.bad-workers", "value", o.workers)
	}
	for name, rate := range map[string]float64{"rate": o.rate, "net-rate": o.netRate} {
		if changed(name) && !(rate >= 0) { // NaN is no rate either
			return usage("cmd.exposure.bad-rate", "flag", "--"+name, "value", rate)
		}
	}
	return nil
}

// exposureScan is the command: targets to records.
func (a *app) exposureScan(ctx context.Context, o exposureOptions) (err error) {
	if err := probe.AllowOldServers(); err != nil {
		return err
	}
	now, err := o.clock()
	if err != nil {
		return err
	}
	j, err := a.judge(&o)
	if err != nil {
		return err
	}
	out, err := a.exposureOutput(o)
	if err != nil {
		return err
	}
	out.to.stream = true // what was measured is kept, whatever happens
	allowed, err := a.readScope(o.scope)
	if err != nil {
		return err
	}
	if err := permitted(allowed, o.scope, time.Now()); err != nil {
		return err
	}
	earlier, err := a.readEarlier(o.earlier, !slices.Contains(j.cves, assess.PageCVE))
	if err != nil {
		return err
	}
	owners, err := network.Open(o.mmdb)
	if err != nil {
		return failed(err, "cmd.exposure.mmdb", "file", strings.Join(o.mmdb, ", "))
	}
	defer owners.Close()
	defer a.boundMemoryAt(scanMemory, gcPercent)()
	debug.FreeOSMemory() // what loading the packs left would lie beside the scan to its end
	list, size, err := a.openTargets(o.targets)
	if err != nil {
		return err
	}
	defer list.Close()
	results, err := state.Open(o.state, allowed.Label)
	if err != nil {
		return stateProblem(err, o.state)
	}
	ledger, err := state.OpenLedger(o.ledgerDir(), o.state, probe.MaxRequests, nil)
	if err != nil {
		return errors.Join(stateProblem(err, o.ledgerDir()), results.Close())
	}
	if results.Before() > 0 {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.resumed", "count", results.Before(), "dir", o.state))
	}
	asked := ctx // cancelled by the person at the keyboard alone
	ctx, fail := context.WithCancelCause(ctx)
	background, stop := context.WithCancel(ctx)
	defer func() { stop(); fail(nil) }()
	wall, err := a.wall(background, o, allowed, owners)
	if err != nil {
		return errors.Join(err, ledger.Close(), results.Close())
	}
	prober := probe.New(probe.Options{Wall: wall, Ledger: ledger, Contact: allowed.Contact, Timeout: o.timeout,
		Gate: probe.NewGate(handshakesPerCPU * runtime.GOMAXPROCS(0)), Fail: fail,
		Begin: func(v *exposure.Visit) probe.Reader {
			v.Time = now(v.Time)
			return reading{j.book.Start(v), fingerprint.Ask{Manifest: o.manifest}}
		}})
	pacer := pace.New(o.rates(), func(at netip.Addr) bool { return o.netRate < 0 && scope.Special(at) }, nil)
	tell := &problemTeller{app: a}
	progress := &exposure.Progress{}
	unfixed := false
	scan := exposure.Scan{
		Workers: o.workers,
		Places:  wall.Places,
		Turn:    pacer.Turn,
		Take:    pacer.Take,
		Look: func(ctx context.Context, p exposure.Place, r *exposure.Observation) time.Duration {
			return prober.Look(ctx, p, earlier.known(p, now(time.Now())), r)
		},
		Finish: func(r *exposure.Observation) ([]byte, error) {
			r.Scope, r.Time = allowed.Label, now(r.Time)
			if at, err := netip.ParseAddr(r.Address); err == nil && len(o.mmdb) > 0 && r.Country == "" {
				_, r.Country = owners.Lookup(at)
			}
			return j.finish(a, r)
		},
		Emit: func(_ *exposure.Target, r *exposure.Observation, line []byte) error {
			unfixed = unfixed || isUnfixed(r)
			return results.Put(line, func() error { return out.print(r, line) })
		},
		Skip:     results.Seen,
		Abandon:  o.state == "",
		Now:      time.Now,
		Progress: progress,
	}
	// What an earlier run wrote down and did not live to print.
	err = results.Unprinted(o.again, func(line []byte) error { return out.reprint(line) })
	if err == nil {
		count := &counted{size: size}
		hide := a.scanProgress(progress, count)
		err = scan.Run(ctx, count.count(targets.Read(list, targets.Options{Path: o.targets, Problem: tell.add, Read: progress.Read.Store})))
		hide()
	}
	stop()
	err = errors.Join(out.finish(err), results.Close(), ledger.Close())
	a.scanSummary(progress, tell, err)
	if err != nil {
		if asked.Err() != nil {
			return asked.Err()
		}
		return failed(err, "cmd.exposure.failed")
	}
	switch {
	case o.exitCode && unfixed:
		a.code = exitFound
	case tell.count > 0 || earlier.bad > 0:
		a.code = exitOpen
	}
	return nil
}

// reading joins a fingerprint's reading with what the operator allows.
type reading struct {
	*fingerprint.Reading
	ask fingerprint.Ask
}

func (r reading) Next() (string, bool) { return r.Reading.Next(r.ask) }

// networkOf says whether an AS is Microsoft's.
func networkOf(asn uint32) exposure.Network {
	switch asn {
	case 0:
		return exposure.NetworkUnknown
	case 8068, 8069, 8070, 8071, 8072, 8073, 8074, 8075, 12076:
		return exposure.NetworkMicrosoft
	}
	return exposure.NetworkOther
}

// clock gives the times of the records: the clock's, or in an exercise those of the
// simulated day.
func (o *exposureOptions) clock() (func(time.Time) time.Time, error) {
	if o.at == "" {
		return func(t time.Time) time.Time { return t }, nil
	}
	at, err := parseInstant(o.at)
	if err != nil {
		return nil, usage("cmd.bad-time", "flag", "--at", "value", o.at)
	}
	if !o.lab {
		return nil, usage("cmd.exposure.at-without-lab")
	}
	shift := time.Until(at)
	return func(t time.Time) time.Time { return t.Add(shift).UTC() }, nil
}

// rates reads the flags; a laboratory is in no hurry to be spared.
func (o *exposureOptions) rates() pace.Rates {
	r := pace.Rates{All: o.rate, Network: o.netRate, AS: defaultASRate}
	if r.All < 0 {
		if r.All = defaultRate; o.lab {
			r.All = 0
		}
	}
	if r.Network < 0 {
		r.Network = defaultNetworkRate
	}
	return r
}

// ledgerDir is where the requests to hosts are counted. Outside a laboratory it is
// kept for the user, so that a second scan with another --state counts on.
func (o *exposureOptions) ledgerDir() string {
	switch {
	case o.ledger != "":
		return o.ledger
	case !o.lab:
		if dir, err := os.UserConfigDir(); err == nil {
			return filepath.Join(dir, "postern", "requests")
		}
	}
	if o.state != "" {
		return filepath.Join(o.state, "requests")
	}
	return ""
}

// stateProblem puts into words why a folder cannot be used.
func stateProblem(err error, dir string) error {
	switch {
	case errors.Is(err, state.ErrBusy):
		return usage("cmd.exposure.state-busy", "dir", dir)
	case errors.Is(err, state.ErrOther):
		return usage("cmd.exposure.state-other", "dir", dir)
	}
	return failed(err, "cmd.exposure.state", "dir", dir)
}

// openTargets opens the list; "-" is standard input. Size is 0 where it is not known.
func (a *app) openTargets(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(a.in), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, failed(err, "cmd.open", "file", name)
	}
	var size int64
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return named{f}, size, nil
}
