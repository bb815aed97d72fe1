package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	cves     []string // sorted
	first    string   // the one that the first campaign is about
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
		releases[i] = exposure.Release{Build: r.Build, Edition: r.Edition, Line: r.Line, Update: r.Update, Released: r.Released, Available: r.Available}
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
	if j.cves, err = o.chooseCVEs(known, j.product); len(j.cves) > 0 {
		j.first = j.cves[0]
	}
	slices.Sort(j.cves)
	j.cves = slices.Compact(j.cves)
	return j, err
}

// chooseCVEs reads --cve: the campaigns' own, a list, the known exploited ones or all.
func (o *exposureOptions) chooseCVEs(known *knowledge, p *campaign.Product) ([]string, error) {
	var list []string
	switch word := strings.ToLower(o.cve); word {
	case "":
		for _, c := range known.campaigns() {
			list = append(list, c.CVEs...)
		}
	case "kev", "all":
		for _, c := range p.CVEs {
			if word == "all" || !c.KEV.IsZero() {
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
	return list, nil
}

// finish decides the CVEs of a record, puts it into words and makes it a line.
func (j *judgement) finish(a *app, o *exposure.Observation) ([]byte, error) {
	j.assessor.Apply(o, j.cves)
	o.Say(a.words)
	return exposure.AppendLine(nil, o)
}

// isUnfixed says whether a record has a flaw whose fix is surely missing. Whether a
// mitigation stands before it cannot be seen from outside, and is no fix.
func isUnfixed(o *exposure.Observation) bool {
	for _, got := range o.Assessed {
		switch got {
		case postern.Unfixed, postern.UnfixedOrMitigated, postern.NoFixForLine:
			return true
		}
	}
	return false
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

// withFile opens a file, "-" for standard input, and closes it.
func (a *app) withFile(ctx context.Context, name string, use func(io.Reader) error) error {
	if name == "-" {
		return use(&input{ctx: ctx, r: a.in})
	}
	f, err := os.Open(name)
	if err != nil {
		return failed(err, "cmd.open", "file", name)
	}
	return errors.Join(use(named{f}), f.Close())
}

// named is a file that says which it is when it cannot be read.
type named struct{ *os.File }

func (n named) Read(b []byte) (int, error) {
	got, err := n.File.Read(b)
	if err != nil && err != io.EOF {
		err = failed(err, "cmd.open", "file", n.Name())
	}
	return got, err
}
