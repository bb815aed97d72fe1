package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern"
	"postern/internal/hunt"
	"postern/internal/hunt/source"
	"postern/internal/report"
	reportall "postern/internal/report/all"
)

// huntOptions are the flags of "postern hunt".
type huntOptions struct {
	campaigns     []string
	format        string
	output        string
	host          string
	patchedAt     string
	ownScanners   string
	passwordFile  string
	identities    []string
	hash          string
	tempDir       string
	indicators    []string
	indicatorsTLP string
	color         string
	threads       int
	rules         ruleFlags
	rulesOnly     bool
}

func (a *app) huntCommand() *cobra.Command {
	t := a.words.T
	var o huntOptions
	c := &cobra.Command{
		Use:     "hunt " + t("cmd.hunt.args"),
		Short:   t("cmd.hunt.short"),
		Long:    t("cmd.hunt.long"),
		Example: t("cmd.hunt.example"),
		RunE:    func(c *cobra.Command, args []string) error { return a.hunt(c.Context(), o, args) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.campaigns, "campaign", nil, t("cmd.flag.campaign"))
	f.StringVar(&o.format, "format", "text", t("cmd.flag.format"))
	f.StringVarP(&o.output, "output", "o", "", t("cmd.flag.output"))
	f.StringVar(&o.host, "host", "", t("cmd.flag.host"))
	f.StringVar(&o.patchedAt, "patched-at", "", t("cmd.flag.patched-at"))
	f.StringVar(&o.ownScanners, "own-scanners", "", t("cmd.flag.own-scanners"))
	f.StringVar(&o.passwordFile, "password-file", "", t("cmd.flag.password-file"))
	f.StringArrayVar(&o.identities, "identity", nil, t("cmd.flag.identity"))
	f.StringVar(&o.hash, "hash", "found", t("cmd.flag.hash"))
	f.StringVar(&o.tempDir, "temp-dir", "", t("cmd.flag.temp-dir"))
	f.StringArrayVar(&o.indicators, "indicators", nil, t("cmd.flag.indicators"))
	f.StringVar(&o.indicatorsTLP, "indicators-tlp", "amber+strict", t("cmd.flag.indicators-tlp"))
	f.StringVar(&o.color, "color", "auto", t("cmd.flag.color"))
	f.IntVar(&o.threads, "threads", 0, t("cmd.flag.threads"))
	o.rules.add(c, t)
	f.BoolVar(&o.rulesOnly, "rules-only", false, t("cmd.flag.rules-only"))
	return c
}

// hunt is the command: evidence to verdict.
func (a *app) hunt(ctx context.Context, o huntOptions, paths []string) error {
	form, err := findFormat(o.format)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"found", "all", "none"}, o.hash) {
		return usage("cmd.bad-hash", "value", o.hash)
	}
	if !slices.Contains([]string{"auto", "always", "never"}, o.color) {
		return usage("cmd.bad-color", "value", o.color)
	}
	if o.threads < 0 {
		return usage("cmd.bad-value", "flag", "--threads", "value", o.threads)
	}
	floor := int64(memoryFloor)
	switch {
	case len(o.rules.yara) > 0:
		floor += memoryYARA
	case len(o.rules.sigma) > 0:
		floor += memorySigma
	}
	defer a.boundMemoryAt(floor, garbagePercent)()
	defer beside(ctx, func(ctx context.Context) { readAhead(ctx, paths) })()
	now := time.Now()
	opt, left, err := a.setUp(o, now)
	if err != nil {
		return err
	}
	inputs, err := a.inputs(o, paths)
	if err != nil {
		return err
	}
	out := &lazyFile{path: o.output, std: a.out}
	handler := form.New(out, a.reportOptions(o.color, out), a.words)
	sink := &huntSink{feed: report.NewFeed(handler, a.words)}
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
	}
	err = sink.feed.Start(version(), now, names, opt.Campaigns)
	for _, p := range left {
		if err == nil {
			err = sink.Problem(p)
		}
	}
	if err != nil {
		return failed(out.finish(err), "cmd.write")
	}
	opt.Progress = &hunt.Progress{}
	stop := a.showProgress(opt.Progress)
	err = hunt.Run(ctx, inputs, opt, sink)
	stop()
	if err != nil && ctx.Err() != nil {
		if part, err := out.leave(); err == nil && part != "" {
			a.say(a.err, postern.Say("cmd.unfinished", "file", o.output, "part", part))
		}
		return ctx.Err()
	}
	if err := out.finish(err); err != nil {
		return failed(err, "cmd.write")
	}
	a.code = sink.exitCode()
	return nil
}

// beside runs something that nothing waits for. The function that it gives ends it.
func beside(ctx context.Context, do func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { do(ctx) })
	return func() { cancel(); running.Wait() }
}

// setUp puts together what a hunt knows. Problems are what of the user's rules and
// feeds cannot be used.
func (a *app) setUp(o huntOptions, now time.Time) (hunt.Options, []postern.Problem, error) {
	var none hunt.Options
	if o.rulesOnly && len(o.rules.yara)+len(o.rules.sigma) == 0 {
		return none, nil, usage("cmd.rules-only")
	}
	if o.rulesOnly && len(o.campaigns) > 0 {
		return none, nil, usage("cmd.rules-only-campaign")
	}
	known, err := a.learn(o.campaigns)
	if err != nil {
		return none, nil, err
	}
	if known.user, err = o.rules.open(); err != nil {
		return none, nil, err
	}
	defer known.user.close()
	known.user.only = o.rulesOnly
	signs, left, err := a.indicators(o, known, now)
	if err != nil {
		return none, nil, err
	}
	opt, err := known.options()
	if err != nil {
		return none, nil, err
	}
	known.compare(&opt, signs, o.hash == "all", now)
	a.words = known.words
	return opt, append(left, known.left...), o.fill(&opt)
}

// fill adds what the flags say to the options of the hunt.
func (o huntOptions) fill(opt *hunt.Options) error {
	opt.Host, opt.Threads, opt.Hash = o.host, o.threads, hunt.Hashing(o.hash)
	if o.patchedAt != "" {
		at, err := parseInstant(o.patchedAt)
		if err != nil {
			return usage("cmd.bad-time", "flag", "--patched-at", "value", o.patchedAt)
		}
		opt.PatchedAt = at
	}
	if o.ownScanners != "" {
		own, err := readNetworks(o.ownScanners)
		if err != nil {
			return err
		}
		opt.Own = own
	}
	return nil
}

// parseInstant reads a day or a moment; without a zone it is UTC.
func parseInstant(s string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q", s)
}

// maxNetworks bounds the list of own scanners; a national scanner has some hundreds.
const maxNetworks = 100_000

// readNetworks reads addresses and networks, one a line, '#' begins a comment.
func readNetworks(name string) ([]netip.Prefix, error) {
	lines, err := readLines(name)
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for i, line := range lines {
		text, _, _ := strings.Cut(line, "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := parseNetwork(text)
		if err != nil {
			return nil, usage("cmd.bad-network", "file", name, "line", i+1, "value", text)
		}
		if len(all) == maxNetworks {
			return nil, usage("cmd.many-networks", "file", name, "bound", maxNetworks)
		}
		all = append(all, p)
	}
	return all, nil
}

// parseNetwork reads a network, or an address as the network of itself.
func parseNetwork(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// inputs gives what to hunt: the paths, or without any the local machine.
func (a *app) inputs(o huntOptions, paths []string) ([]hunt.Input, error) {
	opt := source.Options{TempDir: o.tempDir}
	if o.passwordFile != "" {
		lines, err := readLines(o.passwordFile)
		if err != nil {
			return nil, err
		}
		opt.Passwords = slices.DeleteFunc(lines, func(line string) bool { return line == "" })
	}
	var err error
	if opt.Identities, err = readIdentities(o.identities); err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		local, err := source.Local()
		if err != nil || len(local) == 0 {
			return nil, usage("cmd.no-path")
		}
		for _, root := range local {
			paths = append(paths, root.Path)
		}
	}
	var inputs []hunt.Input
	var seen []os.FileInfo
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, failed(err, "cmd.open", "file", p)
		}
		if slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
			continue // named twice, perhaps by a pattern of the shell
		}
		seen = append(seen, info)
		name, abs := p, p
		if full, err := filepath.Abs(p); err == nil {
			abs = full
			if filepath.Base(p) == "." {
				name = full
			}
		}
		inputs = append(inputs, hunt.Input{Name: name, Path: filepath.ToSlash(abs), Open: func(ctx context.Context, tell func(postern.Problem)) (hunt.Evidence, error) {
			opt := opt
			opt.Problem = tell
			e, err := source.Open(ctx, p, opt)
			if err != nil {
				return nil, failed(err, "cmd.open", "file", p)
			}
			return e, nil
		}})
	}
	return inputs, nil
}

func findFormat(name string) (reportall.Format, error) {
	var names []string
	for _, f := range reportall.Formats() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return reportall.Format{}, usage("cmd.bad-format", "value", name, "known", strings.Join(names, ", "))
}

// reportOptions decides about colour and width by where the report goes.
func (a *app) reportOptions(color string, out *lazyFile) report.Options {
	terminal := out.path == "" && isTerminal(a.out)
	opt := report.Options{Color: color == "always" || color == "auto" && terminal && !a.noColor()}
	if terminal {
		opt.Width = a.columns()
		opt.ASCII = !a.utf8()
	}
	return opt
}

// columns is how wide a table may be: what the terminal has within reason, 0 for any width
// where results do not go to one.
func (a *app) columns() int {
	if f, ok := fileOf(a.out); ok && isTerminal(a.out) {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return min(max(w, 60), 100)
		}
	}
	return 0
}

// noColor obeys the wish that https://no-color.org describes.
func (a *app) noColor() bool {
	v, ok := a.env("NO_COLOR")
	term, _ := a.env("TERM")
	return ok && v != "" || term == "dumb"
}

// utf8 says whether the terminal shows UTF-8. Windows consoles do.
func (a *app) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v, ok := a.env(name); ok && v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return os.PathSeparator == '\\'
}

// huntSink feeds the report and remembers what decides the exit code.
type huntSink struct {
	feed   *report.Feed
	worst  postern.Level
	open   bool
	status postern.Status
}

func (s *huntSink) Problem(p postern.Problem) error { return s.feed.Problem(p) }

func (s *huntSink) Host(h postern.Host) error {
	s.worst = max(s.worst, h.Verdict.Level)
	s.open = s.open || !h.Verdict.Conclusive
	return s.feed.Host(h)
}

func (s *huntSink) End(status postern.Status, stats postern.Stats) error {
	s.status = status
	return s.feed.End(status, stats)
}

func (s *huntSink) exitCode() int {
	switch {
	case s.worst >= postern.Exploited:
		return exitFound
	case s.open || s.status != postern.Complete:
		return exitOpen
	}
	return exitDone
}
