package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/report"
)

func (a *app) reportCommand() *cobra.Command {
	t := a.words.T
	var format, output, color string
	c := &cobra.Command{
		Use:     "report " + t("cmd.report.args"),
		Short:   t("cmd.report.short"),
		Long:    t("cmd.report.long"),
		Example: t("cmd.report.example"),
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.report(c.Context(), args[0], format, output, color)
		},
	}
	c.Flags().StringVar(&format, "format", "text", t("cmd.flag.format"))
	c.Flags().StringVarP(&output, "output", "o", "", t("cmd.flag.output"))
	c.Flags().StringVar(&color, "color", "auto", t("cmd.flag.color"))
	return c
}

// report renders a saved document or stream again. The exit code is that of the
// hunt that it holds.
func (a *app) report(ctx context.Context, file, format, output, color string) error {
	form, err := findFormat(format)
	if err != nil {
		return err
	}
	known, err := a.learn(nil)
	if err != nil {
		return err
	}
	if _, _, err := known.detectors(); err != nil { // for the words that they bring
		return failed(err, "cmd.rules")
	}
	a.words = known.words
	var in io.Reader = &input{ctx: ctx, r: a.in}
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return failed(err, "cmd.open", "file", file)
		}
		defer f.Close()
		in = f
	}
	out := &lazyFile{path: output, std: a.out}
	watch := &watchHandler{Handler: form.New(out, a.reportOptions(color, out), a.words)}
	err = report.Replay(file, in, a.words, watch)
	if err := out.finish(err); err != nil {
		return failed(err, "cmd.saved", "file", file)
	}
	a.code = watch.exitCode()
	return nil
}

// watchHandler hands everything on and remembers what decides the exit code.
type watchHandler struct {
	report.Handler
	huntSink
}

func (w *watchHandler) Problem(p *report.Problem) error { return w.Handler.Problem(p) }

func (w *watchHandler) Host(h *report.Host) error {
	w.worst = max(w.worst, postern.Level(h.Verdict.Level))
	w.open = w.open || !h.Verdict.Conclusive
	return w.Handler.Host(h)
}

func (w *watchHandler) End(e *report.End) error {
	w.status = e.Status
	return w.Handler.End(e)
}
