package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"postern/internal/exercise"
)

type exerciseOptions struct {
	seed    uint64
	out     string
	size    string
	stories []string
	hosts   int
	plain   bool
}

func (a *app) exerciseCommand() *cobra.Command {
	t := a.words.T
	c := &cobra.Command{
		Use:   "exercise",
		Short: t("cmd.exercise.short"),
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var o exerciseOptions
	evidence := &cobra.Command{
		Use:     "evidence " + t("cmd.exercise.evidence.args"),
		Short:   t("cmd.exercise.evidence.short"),
		Long:    t("cmd.exercise.evidence.long", "stories", wrap(strings.Join(storyNames(), ", "), 76, "  ")),
		Example: t("cmd.exercise.evidence.example"),
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.exerciseEvidence(c.Context(), o) },
	}
	f := evidence.Flags()
	f.Uint64Var(&o.seed, "seed", 1, t("cmd.flag.seed"))
	f.StringVar(&o.out, "out", "", t("cmd.flag.out"))
	f.StringVar(&o.size, "size", "", t("cmd.flag.size"))
	f.StringSliceVar(&o.stories, "story", nil, t("cmd.flag.story"))
	f.IntVar(&o.hosts, "hosts", 0, t("cmd.flag.hosts"))
	f.BoolVar(&o.plain, "plain", false, t("cmd.flag.plain"))
	c.AddCommand(evidence, a.fleetCommand(), a.sightingsCommand())
	return c
}

func storyNames() []string {
	var names []string
	for _, s := range exercise.Stories() {
		names = append(names, s.Name)
	}
	return names
}

func (a *app) exerciseEvidence(ctx context.Context, o exerciseOptions) error {
	if o.out == "" {
		return usage("cmd.exercise.no-out")
	}
	size, err := parseSize(o.size)
	if err != nil {
		return usage("cmd.bad-size", "value", o.size)
	}
	if o.hosts < 0 || o.hosts > exercise.MaxHosts {
		return usage("cmd.exercise.bad-hosts", "value", o.hosts, "bound", exercise.MaxHosts)
	}
	for _, name := range o.stories {
		if !slices.Contains(storyNames(), name) {
			return usage("cmd.exercise.bad-story", "value", name, "known", strings.Join(storyNames(), ", "))
		}
	}
	if hosts := cmp.Or(o.hosts, len(o.stories), exercise.DefaultHosts); size > 0 && size/int64(hosts) < exercise.MinHostSize {
		return usage("cmd.exercise.small", "value", o.size, "hosts", hosts, "least", exercise.MinHostSize*hosts)
	}
	opt := exercise.Options{Seed: o.seed, Out: o.out, Size: size, Stories: o.stories, Hosts: o.hosts}
	if o.plain {
		opt.Variation = exercise.VaryNone
	}
	clear := func() error { return nil }
	if isTerminal(a.err) {
		bar := progressbar.DefaultBytes(-1, a.words.T("cmd.progress.laying"))
		opt.Progress = func(p exercise.Progress) { bar.ChangeMax64(p.Total); _ = bar.Set64(p.Bytes) }
		clear = bar.Clear
	}
	truth, err := exercise.Evidence(ctx, opt)
	_ = clear() // before anything else is written to the terminal
	if err != nil {
		return failed(err, "cmd.exercise.failed", "dir", o.out)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, h := range truth.Hosts {
		fmt.Fprintf(w, "%s\t%s\t%d\n", h.Host, h.Story, h.Expect.Level)
	}
	return w.Flush()
}

// maxSize is more than any disk of an exercise holds, and fits an integer.
const maxSize = 1e13

// parseSize reads 500MB, 2GB or a number of bytes; "" is 0. Units are powers of 1000.
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	unit := int64(1)
	upper := strings.ToUpper(strings.TrimSpace(s))
	for suffix, factor := range map[string]int64{"KB": 1e3, "MB": 1e6, "GB": 1e9} {
		if rest, ok := strings.CutSuffix(upper, suffix); ok {
			upper, unit = strings.TrimSpace(rest), factor
		}
	}
	n, err := strconv.ParseFloat(upper, 64)
	if err != nil || !(n >= 0 && n*float64(unit) <= maxSize) { // NaN is no size either
		return 0, fmt.Errorf("size %q", s)
	}
	return int64(n * float64(unit)), nil
}
