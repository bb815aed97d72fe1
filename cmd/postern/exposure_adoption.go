package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/exposure"
	"postern/internal/picture"
	"postern/internal/report/adoption"
)

// adoptionOptions are the flags of "postern exposure adoption".
type adoptionOptions struct {
	exposureOptions
	by        string
	mixScopes bool
	published string
	seed      uint64
}

func (a *app) exposureAdoptionCommand() *cobra.Command {
	t := a.words.T
	var o adoptionOptions
	c := &cobra.Command{
		Use:     "adoption " + t("cmd.exposure.files"),
		Short:   t("cmd.exposure.adoption.short"),
		Long:    t("cmd.exposure.adoption.long"),
		Example: t("cmd.exposure.adoption.example"),
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.exposureAdoption(c.Context(), o, args) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.campaigns, "campaign", nil, t("cmd.exposure.flag.campaign"))
	f.StringVar(&o.cve, "cve", "", t("cmd.exposure.flag.adoption-cve"))
	f.StringVar(&o.by, "by", "", t("cmd.exposure.flag.by"))
	f.StringVar(&o.format, "format", "text", t("cmd.exposure.flag.adoption-format"))
	f.StringVarP(&o.output, "output", "o", "", t("cmd.flag.output"))
	f.BoolVar(&o.mixScopes, "mix-scopes", false, t("cmd.exposure.flag.mix-scopes"))
	f.StringVar(&o.published, "published", "", t("cmd.exposure.flag.published"))
	f.Uint64Var(&o.seed, "seed", 1, t("cmd.exposure.flag.seed"))
	return c
}

// adoptionForms are the forms of the curve.
var adoptionForms = []string{"text", "json", "html", "svg"}

// exposureAdoption draws how much was fixed by when.
func (a *app) exposureAdoption(ctx context.Context, o adoptionOptions, names []string) error {
	if !slices.Contains(adoptionForms, o.format) {
		return usage("cmd.bad-format", "value", o.format, "known", strings.Join(adoptionForms, ", "))
	}
	if !slices.Contains([]string{"", "country", "asn", "sector", "line"}, o.by) {
		return usage("cmd.exposure.bad-by", "value", o.by)
	}
	j, err := a.judge(&o.exposureOptions)
	if err != nil {
		return err
	}
	switch {
	case len(j.cves) == 0:
		return usage("cmd.exposure.one-cve", "value", o.cve)
	case len(j.cves) > 1 && o.cve != "":
		return usage("cmd.exposure.one-cve", "value", o.cve)
	}
	cve := j.first
	others := adoption.BuiltIn(cve)
	if o.published != "" {
		if others, err = a.readPublished(o.published, cve); err != nil {
			return err
		}
	}
	debug.SetGCPercent(gcPercent)
	available, since := j.available(cve)
	curve := picture.NewAdoption(picture.Options{CVE: cve, Available: available, Since: since, MixScopes: o.mixScopes, By: o.by, Seed: o.seed})
	tell := &problemTeller{app: a}
	for _, name := range names {
		err := a.withFile(ctx, name, func(r io.Reader) error { return j.sightings(ctx, r, name, cve, o.by, curve, tell) })
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, picture.ErrScope):
			return usage("cmd.exposure.scopes", "file", name)
		case err != nil:
			return failed(err, "cmd.exposure.failed-adoption")
		}
	}
	report, err := curve.Estimate()
	if errors.Is(err, picture.ErrNothing) {
		return &problem{code: exitFailed, what: postern.Say("cmd.exposure.nothing", "cve", cve), hint: postern.Say("cmd.exposure.nothing.hint")}
	}
	if err != nil {
		return failed(err, "cmd.exposure.failed-adoption")
	}
	var b bytes.Buffer
	switch o.format {
	case "text":
		err = adoption.Text(&b, report, a.words)
	case "json":
		err = adoption.JSON(&b, report, a.words)
	case "html":
		err = adoption.HTML(&b, report, a.words, a.words.Lang(), others)
	case "svg":
		err = adoption.SVG(&b, report, a.words, others)
	}
	out := &lazyFile{path: o.output, std: a.out}
	if err == nil {
		_, err = out.Write(b.Bytes())
	}
	if err = out.finish(err); err != nil {
		return failed(err, "cmd.write")
	}
	if tell.count > 0 {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.left-out-lines", "count", tell.count))
		a.code = exitOpen
	}
	return nil
}

// readPublished reads figures that others published, for one CVE.
func (a *app) readPublished(name, cve string) ([]adoption.Published, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, failed(err, "cmd.open", "file", name)
	}
	defer f.Close()
	all, err := adoption.ReadPublished(named{f})
	var unread *problem
	if errors.As(err, &unread) {
		return nil, unread
	}
	if err != nil {
		return nil, usage("cmd.exposure.bad-published", "file", name, "reason", err)
	}
	return slices.DeleteFunc(all, func(p adoption.Published) bool { return p.CVE != cve }), nil
}

// lineWord names a CU line among those of all editions.
func lineWord(edition, line string) string {
	if line == "" {
		return ""
	}
	return edition + " " + line
}

// available gives, for each line, since when the fix could really be had, and the
// earliest of these days.
func (j *judgement) available(cve string) (of func(line string) (time.Time, bool), since time.Time) {
	days := map[string]time.Time{}
	for _, l := range j.product.Lines {
		if at, ok := j.product.FixAvailable(cve, l.Base); ok {
			days[lineWord(l.Edition, l.Name)] = at
			if since.IsZero() || at.Before(since) {
				since = at
			}
		}
	}
	return func(line string) (time.Time, bool) { at, ok := days[line]; return at, ok }, since
}

// sightings reads one file of records into the curve.
func (j *judgement) sightings(ctx context.Context, r io.Reader, name, cve, by string, curve *picture.Adoption, tell *problemTeller) error {
	skim := exposure.NewSkimmer(cve)
	var what picture.Sighting
	for line, err := range exposure.Lines(r, name) {
		if line.Number%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var bad *exposure.BadLine
		if err != nil && !errors.As(err, &bad) {
			return err
		}
		if bad == nil {
			err = skim.Skim(line.Bytes, func(s *exposure.Sight) error {
				what = picture.Sighting{Keys: s.Keys, Time: s.Time, State: j.stateOf(cve, s), Line: lineWord(s.Product, s.Line), Cluster: s.Operator, Scope: s.Scope}
				switch by {
				case "country":
					what.Group = s.Country
				case "sector":
					what.Group = s.Sector
				case "line":
					what.Group = what.Line
				case "asn":
					if s.ASN != 0 {
						what.Group = "AS" + strconv.FormatUint(uint64(s.ASN), 10)
					}
				}
				return curve.Add(&what)
			})
			if errors.Is(err, picture.ErrScope) {
				return err
			}
			if err != nil {
				bad = &exposure.BadLine{Path: name, Line: line.Number, What: postern.Malformed, Err: err}
			}
		}
		if bad != nil {
			tell.add(postern.Problem{Path: bad.Path, What: bad.What, Detail: postern.Say("exposure.problem.line", "line", bad.Line, "detail", bad.Err)})
		}
	}
	return nil
}

// stateOf says what a sighting means for the count.
func (j *judgement) stateOf(cve string, s *exposure.Sight) picture.State {
	if s.Outcome == exposure.Hidden {
		return picture.Gone
	}
	got := s.Assessed
	if got == "" {
		got = j.assessor.Decide(cve, s.Product, exposure.Range{Low: s.Low, High: s.High}).Assessment
	}
	switch got {
	case postern.Fixed:
		return picture.Closed
	case postern.Unfixed, postern.UnfixedOrMitigated, postern.NoFixForLine:
		return picture.Open
	case postern.NotAffected:
		return picture.Exempt
	}
	return picture.Unsure
}
