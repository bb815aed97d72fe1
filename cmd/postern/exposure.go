package main

import (
	"bufio"
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
	"sync"
	"time"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/campaign"
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
	// bounded by the processors.
	defaultWorkers = 640
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
)

// exposureOptions are the flags of "postern exposure scan" and "assess".
type exposureOptions struct {
	campaigns []string
	cve       string
	format    string
	output    string
	exitCode  bool

	targets  string
	scope    string
	lab      bool
	state    string
	ledger   string
	timeout  time.Duration
	workers  int
	rate     float64
	netRate  float64
	optout   string
	manifest bool
	resolver string
	earlier  []string
	mmdb     []string
	again    bool
	at       string
}

func (a *app) exposureCommand() *cobra.Command {
	t := a.words.T
	c := &cobra.Command{
		Use:   "exposure",
		Short: t("cmd.exposure.short"),
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.exposureScanCommand(), a.exposureAssessCommand(), a.exposureAdoptionCommand(), a.exposureRequestsCommand())
	return c
}

func (a *app) exposureScanCommand() *cobra.Command {
	t := a.words.T
	var o exposureOptions
	c := &cobra.Command{
		Use:     "scan --targets FILE --scope FILE [flags]",
		Short:   t("cmd.exposure.scan.short"),
		Long:    t("cmd.exposure.scan.long"),
		Example: t("cmd.exposure.scan.example"),
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.exposureScan(c.Context(), o) },
	}
	f := c.Flags()
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

// exposureFlags are those that scan and assess share.
func (a *app) exposureFlags(c *cobra.Command, o *exposureOptions) {
	t := a.words.T
	f := c.Flags()
	f.StringSliceVar(&o.campaigns, "campaign", nil, t("cmd.exposure.flag.campaign"))
	f.StringVar(&o.cve, "cve", "", t("cmd.exposure.flag.cve"))
	f.StringVar(&o.format, "format", "jsonl", t("cmd.exposure.flag.format"))
	f.StringVarP(&o.output, "output", "o", "", t("cmd.flag.output"))
	f.BoolVar(&o.exitCode, "exit-code", false, t("cmd.exposure.flag.exit-code"))
}

// judgement is what turns answers into assessed records.
type judgement struct {
	product  *campaign.Product
	book     *fingerprint.Book
	assessor *assess.Assessor
	cves     []string
}

// judge loads the tables and chooses the CVEs.
func (a *app) judge(o *exposureOptions) (*judgement, error) {
	known, err := a.learn(o.campaigns)
	if err != nil {
		return nil, err
	}
	j := &judgement{product: known.product()}
	if j.product == nil {
		if j.product, err = campaign.BuiltInProduct("exchange"); err != nil {
			return nil, a.packError(err)
		}
	}
	releases := make([]exposure.Release, len(j.product.Releases))
	for i, r := range j.product.Releases {
		releases[i] = exposure.Release{Build: r.Build, Edition: r.Edition, Line: r.Line, Update: r.Update, Released: r.Released}
	}
	var seen []exposure.Seen
	for _, s := range j.product.Observed {
		if b, err := postern.ParseBuild(s.Seen); err == nil {
			seen = append(seen, exposure.Seen{Version: b, Build: s.Build, Rule: exposure.Rule(s.Rule)})
		}
	}
	if j.book, err = fingerprint.New(releases, seen); err != nil {
		return nil, failed(err, "cmd.pack")
	}
	j.assessor = assess.New(releases, j.product)
	j.cves, err = o.chooseCVEs(known, j.product)
	return j, err
}

// chooseCVEs reads --cve: the campaigns' own, a list, the known exploited ones or all.
func (o *exposureOptions) chooseCVEs(known *knowledge, p *campaign.Product) ([]string, error) {
	var list []string
	switch strings.ToLower(o.cve) {
	case "":
		for _, c := range known.campaigns() {
			list = append(list, c.CVEs...)
		}
	case "kev", "all":
		for _, c := range p.CVEs {
			if o.cve == "all" || !c.KEV.IsZero() {
				list = append(list, c.ID)
			}
		}
	default:
		for id := range strings.SplitSeq(o.cve, ",") {
			id = strings.ToUpper(strings.TrimSpace(id))
			if _, ok := p.CVE(id); !ok {
				return nil, usage("cmd.exposure.bad-cve", "value", id)
			}
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// finish decides the CVEs of a record, puts it into words and makes it a line.
func (j *judgement) finish(a *app, o *exposure.Observation) ([]byte, error) {
	j.assessor.Apply(o, j.cves)
	o.Say(a.words)
	return exposure.AppendLine(nil, o)
}

// exposureScan is the command: targets to records.
func (a *app) exposureScan(ctx context.Context, o exposureOptions) (err error) {
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
	allowed, err := a.readScope(o.scope)
	if err != nil {
		return err
	}
	earlier, err := a.readEarlier(o.earlier)
	if err != nil {
		return err
	}
	owners, err := network.Open(o.mmdb)
	if err != nil {
		return failed(err, "cmd.exposure.mmdb")
	}
	defer owners.Close()
	debug.SetGCPercent(gcPercent)
	list, size, err := a.openTargets(o.targets)
	if err != nil {
		return err
	}
	defer list.Close()
	results, err := state.Open(o.state, allowed.Label)
	if err != nil {
		return stateProblem(err, o.state)
	}
	ledger, err := state.OpenLedger(o.ledgerDir(), probe.MaxRequests, nil)
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
			return prober.Look(ctx, p, probe.Known{Network: networkOf(p.ASN), Since: earlier.since(p)}, r)
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
		hide := a.scanProgress(progress, size)
		err = scan.Run(ctx, targets.Read(list, targets.Options{Path: o.targets, Problem: tell.add, Read: progress.Read.Store}))
		hide()
	}
	stop()
	err = errors.Join(err, out.close(), results.Close(), ledger.Close())
	a.scanSummary(progress, tell)
	if err != nil {
		if asked.Err() != nil {
			return asked.Err()
		}
		return failed(err, "cmd.exposure.failed")
	}
	switch {
	case o.exitCode && unfixed:
		a.code = exitFound
	case tell.count > 0:
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

// isUnfixed says whether a record has a flaw that is surely open.
func isUnfixed(o *exposure.Observation) bool {
	for _, got := range o.Assessed {
		switch got {
		case postern.Unfixed, postern.UnfixedOrMitigated, postern.NoFixForLine:
			return true
		}
	}
	return false
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
	shift := at.Sub(time.Now())
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

// readScope reads the scope file.
func (a *app) readScope(name string) (*scope.Scope, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, failed(err, "cmd.open", "file", name)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, scope.MaxFile+1))
	if err != nil {
		return nil, failed(err, "cmd.open", "file", name)
	}
	s, err := scope.Parse(b)
	var field *scope.FieldError
	if errors.As(err, &field) {
		where := name
		if field.Line > 0 {
			where = fmt.Sprintf("%s:%d", name, field.Line)
		}
		if field.Field != "" {
			where += ": " + field.Field
		}
		return nil, usage("cmd.exposure.bad-scope", "where", where, "reason", a.words.Say(field.Why))
	}
	return s, err
}

// wall builds the wall and keeps watch over the opt-out list.
func (a *app) wall(ctx context.Context, o exposureOptions, allowed *scope.Scope, owners *network.Databases) (*scope.Wall, error) {
	opt := scope.Options{Scope: allowed, Lab: o.lab, Resolver: o.resolver}
	if len(o.mmdb) > 0 {
		opt.ASN = owners.ASN
	}
	if o.resolver != "" {
		at, err := netip.ParseAddrPort(o.resolver)
		if err != nil {
			addr, err := netip.ParseAddr(o.resolver)
			if err != nil {
				return nil, usage("cmd.exposure.bad-resolver", "value", o.resolver)
			}
			at = netip.AddrPortFrom(addr, 53)
		}
		opt.Resolver = at.String()
	}
	if o.optout == "" {
		return scope.NewWall(opt), nil
	}
	out, err := scope.OpenOptOut(o.optout)
	var bad *scope.BadOptOut
	if errors.As(err, &bad) {
		return nil, usage("cmd.exposure.bad-optout", "file", o.optout, "line", bad.Line, "text", bad.Text)
	}
	if err != nil {
		return nil, failed(err, "cmd.open", "file", o.optout)
	}
	opt.OptOut = out
	w := scope.NewWall(opt)
	go out.Watch(ctx, func(bad []*scope.BadOptOut, err error) {
		w.Sweep()
		for _, b := range bad[:min(len(bad), maxTold)] {
			fmt.Fprintln(a.err, a.words.T("cmd.exposure.optout-line", "file", o.optout, "line", b.Line, "text", b.Text))
		}
		if err != nil {
			fmt.Fprintln(a.err, a.words.T("cmd.exposure.optout-gone", "file", o.optout, "reason", reason(err)))
		}
	})
	return w, nil
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
	return f, size, nil
}

// earlierHosts is where and when an Exchange was last seen.
type earlierHosts map[netip.AddrPort]int64

func (e earlierHosts) since(p exposure.Place) time.Time {
	if at, ok := e[p.AddrPort()]; ok {
		return time.Unix(at, 0).UTC()
	}
	return time.Time{}
}

// readEarlier reads records of earlier scans.
func (a *app) readEarlier(names []string) (earlierHosts, error) {
	hosts := earlierHosts{}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, failed(err, "cmd.open", "file", name)
		}
		for o, err := range exposure.Read(f, name) {
			var bad *exposure.BadLine
			if errors.As(err, &bad) {
				continue
			}
			if err != nil {
				return nil, errors.Join(failed(err, "cmd.open", "file", name), f.Close())
			}
			if addr, err := netip.ParseAddr(o.Address); err == nil && o.Outcome == exposure.Exchange {
				at := netip.AddrPortFrom(addr, uint16(o.Port))
				hosts[at] = max(hosts[at], o.Time.Unix())
			}
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return hosts, nil
}

// maxTold is how many problems of one list are told one by one.
const maxTold = 20

// problemTeller says on standard error what was left out.
type problemTeller struct {
	*app
	mu    sync.Mutex
	count int
}

func (p *problemTeller) add(problem postern.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count++; p.count <= maxTold {
		fmt.Fprintln(p.err, p.words.T("cmd.exposure.problem", "path", problem.Path, "detail", p.words.Say(problem.Detail)))
	}
}

// exposureOut prints records in the form that was asked for.
type exposureOut struct {
	to  *lazyFile
	csv *exposureCSV // nil for jsonl
}

func (a *app) exposureOutput(o exposureOptions) (*exposureOut, error) {
	out := &exposureOut{to: &lazyFile{path: o.output, std: a.out}}
	switch o.format {
	case "jsonl":
	case "csv":
		out.csv = &exposureCSV{}
	default:
		return nil, usage("cmd.bad-format", "value", o.format, "known", "jsonl, csv")
	}
	return out, nil
}

// print writes one record at once, so that what was printed is known.
func (e *exposureOut) print(o *exposure.Observation, line []byte) error {
	if e.csv != nil {
		line = e.csv.row(o)
	}
	_, err := e.to.Write(line)
	return err
}

// reprint writes a stored record.
func (e *exposureOut) reprint(line []byte) error {
	if e.csv == nil {
		_, err := e.to.Write(line)
		return err
	}
	for o, err := range exposure.Read(strings.NewReader(string(line)), "results.jsonl") {
		if err != nil {
			return err
		}
		return e.print(&o, line)
	}
	return nil
}

func (e *exposureOut) close() error { return e.to.Close() }

func (a *app) exposureRequestsCommand() *cobra.Command {
	t := a.words.T
	return &cobra.Command{
		Use:   "requests",
		Short: t("cmd.exposure.requests.short"),
		Long:  t("cmd.exposure.requests.long"),
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			w := bufio.NewWriter(a.out)
			fmt.Fprint(w, probe.Sheet())
			fmt.Fprintln(w, "sha256:"+probe.Hash())
			return w.Flush()
		},
	}
}
