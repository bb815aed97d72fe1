package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/hunt/parse"
	parseall "postern/internal/hunt/parse/all"
	"postern/internal/hunt/parse/evtx"
	"postern/internal/hunt/parse/inventory"
	"postern/internal/hunt/parse/msert"
	"postern/internal/hunt/source"
	"postern/internal/report"
)

func (a *app) eventsCommand() *cobra.Command {
	t := a.words.T
	var format string
	var derived, files bool
	c := &cobra.Command{
		Use:     "events " + t("cmd.events.args"),
		Short:   t("cmd.events.short"),
		Long:    t("cmd.events.long"),
		Example: t("cmd.events.example"),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if format != "jsonl" {
				return usage("cmd.bad-format", "value", format, "known", "jsonl")
			}
			return a.events(c.Context(), args, derived, files)
		},
	}
	c.Flags().StringVar(&format, "format", "jsonl", t("cmd.flag.events-format"))
	c.Flags().BoolVar(&files, "files", false, t("cmd.flag.files"))
	c.Flags().BoolVar(&derived, "derived", false, t("cmd.flag.derived"))
	return c
}

// events prints the rows of logs, one JSON object a line.
func (a *app) events(ctx context.Context, paths []string, derived, files bool) (err error) {
	out := bufio.NewWriterSize(a.out, 64<<10)
	defer func() {
		if failure := out.Flush(); failure != nil && err == nil {
			err = failed(failure, "cmd.write")
		}
	}()
	formats := parseall.Formats()
	known := false
	for _, path := range paths {
		tell := func(p postern.Problem) {
			fmt.Fprintln(a.err, report.Visible(a.words.T("cmd.events.problem",
				"path", p.Path, "what", a.words.T("report.problem."+string(p.What)), "detail", a.words.Say(p.Detail))))
			a.code = exitOpen
		}
		e, err := source.Open(ctx, path, source.Options{Problem: tell})
		if err != nil {
			return failed(err, "cmd.open", "file", path)
		}
		err = e.Walk(ctx, func(f source.File) error {
			if files {
				known = true
				return inventoryOf(f, out)
			}
			ok, err := a.eventsOf(ctx, f, formats, out, derived, tell)
			known = known || ok
			return err
		})
		e.Close()
		if err != nil {
			return err
		}
	}
	if !known {
		return &problem{code: exitFailed, what: postern.Say("cmd.events.unknown", "file", strings.Join(paths, ", ")), hint: postern.Say("cmd.events.unknown.hint")}
	}
	return nil
}

// eventsOf prints the rows of one file and says whether its format is known.
func (a *app) eventsOf(ctx context.Context, f source.File, formats []*parse.Format, out *bufio.Writer, derived bool, tell func(postern.Problem)) (bool, error) {
	r, err := f.Open()
	if err != nil {
		return false, nil // told already
	}
	head := make([]byte, 16<<10)
	n, _ := io.ReadFull(r, head)
	head = head[:n]
	records := parse.RecordsOf(head, parseall.Records())
	if records == nil && parse.OpenObject(head) {
		more, _ := io.ReadAll(io.LimitReader(r, 1<<20)) // no reader takes a longer object
		head = append(head, more...)
		records = parse.RecordsOf(head, parseall.Records())
	}
	r.Close()
	format, _ := parse.Recognise(head, f.Path, formats, nil)
	scanner := format == nil && msert.Recognise(head)
	if records == nil && format == nil && !scanner && evtx.Named(f.Path) {
		records = evtx.Kind() // what its beginning does not tell, its chunks may
	}
	if format == nil && !scanner && records == nil {
		return false, nil
	}
	if r, err = f.Open(); err != nil {
		return true, nil
	}
	defer r.Close()
	switch {
	case records != nil && records.Name == evtx.Name:
		return true, eventLog(ctx, r, f.Path, out, tell)
	case records != nil:
		return true, recordRows(ctx, r, f.Path, records, out, derived, tell)
	case scanner:
		return true, scannerLog(r, f.Path, out, derived, tell)
	}
	var failure error
	result, err := parse.Scan(ctx, r, f.Path, format, parse.Options{Yield: func(ev *postern.Event) {
		if failure == nil {
			failure = writeEvent(out, ev, derived)
		}
	}})
	for _, p := range result.Problems {
		tell(p)
	}
	if failure != nil {
		return true, failed(failure, "cmd.write")
	}
	if err != nil && !source.Told(err) {
		return true, failed(err, "cmd.open", "file", f.Path)
	}
	return true, nil
}

// writeEvent writes one object with the columns in their order. A column that
// stands twice gets a number behind its name the second time.
func writeEvent(w *bufio.Writer, ev *postern.Event, derived bool) error {
	used := make(map[string]int, len(ev.Fields))
	w.WriteByte('{')
	for i, f := range ev.Fields {
		if i > 0 {
			w.WriteByte(',')
		}
		name := f.Name
		if used[name]++; used[name] > 1 {
			name = fmt.Sprintf("%s#%d", name, used[name])
		}
		writeJSON(w, name)
		w.WriteByte(':')
		writeJSON(w, f.Value)
	}
	if derived {
		w.WriteString(`,"_source":`)
		writeJSON(w, ev.Source)
		w.WriteString(`,"_time":`)
		stamp := ""
		if !ev.Time.IsZero() {
			stamp = ev.Time.Format(time.RFC3339Nano)
		}
		writeJSON(w, stamp)
		fmt.Fprintf(w, `,"_line":%d,"_offset":%d,"_derived":[`, ev.Place.Line, ev.Place.Offset)
		for i, f := range ev.Derived {
			if i > 0 {
				w.WriteByte(',')
			}
			w.WriteByte('[')
			writeJSON(w, f.Name)
			w.WriteByte(',')
			writeJSON(w, f.Value)
			w.WriteByte(']')
		}
		w.WriteByte(']')
	}
	_, err := w.WriteString("}\n")
	return err
}

func writeJSON(w *bufio.Writer, s string) {
	b, err := report.Marshal(s)
	if err != nil { // a string always has a form
		b = []byte(`""`)
	}
	w.Write(b)
}

// inventoryOf prints what a file is, whatever it is.
func inventoryOf(f source.File, out *bufio.Writer) error {
	r, err := f.Open()
	if err != nil {
		return nil // told already
	}
	defer r.Close()
	ev, err := inventory.Read(r, f.Path, f.ModTime)
	if err != nil && !source.Told(err) {
		return failed(err, "cmd.open", "file", f.Path)
	}
	if err := writeEvent(out, ev, false); err != nil {
		return failed(err, "cmd.write")
	}
	return nil
}

// scannerLog prints the entries of a log of Microsoft's scanner.
func scannerLog(r io.Reader, path string, out *bufio.Writer, derived bool, tell func(postern.Problem)) error {
	log, err := msert.Read(r, path)
	if log == nil {
		return failed(err, "cmd.open", "file", path)
	}
	for _, p := range log.Problems {
		tell(p)
	}
	for _, ev := range log.Events(path, nil) {
		if err := writeEvent(out, &ev, derived); err != nil {
			return failed(err, "cmd.write")
		}
	}
	if err != nil && !source.Told(err) {
		return failed(err, "cmd.open", "file", path)
	}
	return nil
}
