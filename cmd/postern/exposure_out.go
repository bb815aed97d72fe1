package main

import (
	"strings"

	"postern/internal/exposure"
)

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

// finish ends the output; see [lazyFile].
func (e *exposureOut) finish(err error) error { return e.to.finish(err) }
