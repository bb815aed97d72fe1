package json

import (
	"bufio"
	"bytes"
	"compress/flate"
	"io"

	"postern/internal/report"
)

// document writes one JSON object. Hosts are written as they come, so that one
// host at most is held; problems wait, compressed, until the list of hosts ends.
type document struct {
	w     *bufio.Writer
	err   error // the first of an object that could not be written
	hosts int

	problems int
	packed   bytes.Buffer
	packer   *flate.Writer // into packed; nil as long as there is no problem
}

// NewDocument makes a handler that writes one document.
func NewDocument(w io.Writer, _ report.Options, _ report.Localizer) report.Handler {
	return &document{w: bufio.NewWriter(w)}
}

// Start writes what is known of the run and opens the list of hosts.
func (d *document) Start(r *report.Run) error {
	d.raw("{")
	d.pair("schema", r.Schema)
	d.raw(",\n")
	d.pair("tool", r.Tool)
	d.raw(",\n")
	d.pair("lang", r.Lang)
	d.raw(",\n")
	d.pair("started", r.Started)
	d.raw(",\n")
	d.pair("inputs", r.Inputs)
	list(d, "campaigns", r.Campaigns)
	d.raw(",\n\"hosts\":[")
	return d.flush()
}

// Host writes one host, each element of its lists on a line of its own.
func (d *document) Host(h *report.Host) error {
	if d.hosts++; d.hosts > 1 {
		d.raw(",")
	}
	d.raw("\n")
	head := d.marshal(h.Head)
	if d.err == nil {
		d.w.Write(head[:len(head)-1]) // the lists follow inside the same object
	}
	list(d, "campaigns", h.Campaigns)
	list(d, "findings", h.Findings)
	list(d, "incidents", h.Incidents)
	list(d, "coverage", h.Coverage)
	list(d, "inputs", h.Inputs)
	d.raw("}")
	return d.flush()
}

// Problem keeps a problem for the end.
func (d *document) Problem(p *report.Problem) error {
	if d.packer == nil {
		var err error
		if d.packer, err = flate.NewWriter(&d.packed, flate.BestSpeed); err != nil {
			return err
		}
	}
	b := d.marshal(p)
	if d.err != nil {
		return d.err
	}
	separator := ",\n"
	if d.problems++; d.problems == 1 {
		separator = "\n"
	}
	if _, err := io.WriteString(d.packer, separator); err != nil {
		return err
	}
	_, err := d.packer.Write(b)
	return err
}

// End writes the problems, the status and the counts.
func (d *document) End(e *report.End) error {
	d.raw("],\n\"problems\":[")
	if d.packer != nil {
		if err := d.packer.Close(); err != nil {
			return err
		}
		if _, err := io.Copy(d.w, flate.NewReader(&d.packed)); err != nil {
			return err
		}
	}
	d.raw("],\n")
	d.pair("status", e.Status)
	d.raw(",\n")
	d.pair("stats", e.Stats)
	d.raw("}\n")
	return d.flush()
}

func (d *document) raw(s string) { d.w.WriteString(s) }

func (d *document) pair(key string, v any) {
	d.raw(`"` + key + `":`)
	d.w.Write(d.marshal(v))
}

func list[T any](d *document, key string, elements []T) {
	d.raw(",\n\"" + key + `":[`)
	for i := range elements {
		if i > 0 {
			d.raw(",")
		}
		d.raw("\n")
		d.w.Write(d.marshal(&elements[i]))
	}
	d.raw("]")
}

func (d *document) marshal(v any) []byte {
	b, err := report.Marshal(v)
	if err != nil && d.err == nil {
		d.err = err
	}
	return b
}

func (d *document) flush() error {
	if d.err != nil {
		return d.err
	}
	return d.w.Flush()
}
