package main

import (
	"bufio"
	"context"
	"io"

	"github.com/spf13/cobra"

	"postern/internal/exposure"
	"postern/internal/exposure/assess"
)

func (a *app) exposureAssessCommand() *cobra.Command {
	t := a.words.T
	var o exposureOptions
	c := &cobra.Command{
		Use:     "assess " + t("cmd.exposure.files"),
		Short:   t("cmd.exposure.assess.short"),
		Long:    t("cmd.exposure.assess.long"),
		Example: t("cmd.exposure.assess.example"),
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.exposureAssess(c.Context(), o, args) },
	}
	a.exposureFlags(c, &o)
	return c
}

// exposureAssess decides stored records again.
func (a *app) exposureAssess(ctx context.Context, o exposureOptions, names []string) error {
	j, err := a.judge(&o)
	if err != nil {
		return err
	}
	out, err := a.exposureOutput(o)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out.to, 64<<10)
	var report assess.Report
	unfixed := false
	tell := &problemTeller{app: a}
	for _, name := range names {
		err := a.withFile(ctx, name, func(r io.Reader) error {
			return j.assessor.Redecide(ctx, r, name, j.book, j.cves, &report, func(r *exposure.Observation) error {
				r.Say(a.words)
				unfixed = unfixed || isUnfixed(r)
				line, err := exposure.AppendLine(nil, r)
				if err == nil && out.csv != nil {
					line = out.csv.row(r)
				}
				if err == nil {
					_, err = w.Write(line)
				}
				return err
			})
		})
		if err != nil {
			err = out.finish(err)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return failed(err, "cmd.exposure.failed-assess")
		}
	}
	for _, p := range report.Problems {
		tell.add(p)
	}
	if err := out.finish(w.Flush()); err != nil {
		return failed(err, "cmd.write")
	}
	switch {
	case o.exitCode && unfixed:
		a.code = exitFound
	case report.Bad > 0:
		a.code = exitOpen
	}
	return nil
}
