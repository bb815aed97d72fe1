package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// meter lets a bounded number of bytes through and then fails. The JSON decoder
// keeps what it reads until a value is whole, so this is what bounds it.
type meter struct {
	r    io.Reader
	read int64 // so far
	end  int64 // where to fail
}

func (m *meter) Read(p []byte) (int, error) {
	left := m.end - m.read
	if left <= 0 {
		return 0, errLimit
	}
	n, err := m.r.Read(p[:min(int64(len(p)), left)])
	m.read += int64(n)
	return n, err
}

// documentReader walks a document and hands on each host as soon as it is whole.
type documentReader struct {
	dec *json.Decoder
	in  *meter
	loc Localizer
	h   Handler

	doc     Document        // what is not handed on yet
	seen    map[string]bool // top-level keys
	started bool
	other   Localizer // loc if the document is in another language
}

func replayDocument(r io.Reader, loc Localizer, h Handler) error {
	in := &meter{r: r}
	d := &documentReader{dec: json.NewDecoder(in), in: in, loc: loc, h: h, seen: map[string]bool{}}
	d.allow(maxObject)
	if err := d.object(d.top); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("not a whole report, near byte %d: %w", d.dec.InputOffset(), err)
	}
	if _, err := d.dec.Token(); err != io.EOF {
		return fmt.Errorf("something follows the report at byte %d", d.dec.InputOffset())
	}
	for _, key := range [...]string{"schema", "tool", "status"} {
		if !d.seen[key] {
			return fmt.Errorf("not a report: it has no %s", key)
		}
	}
	if err := d.start(); err != nil {
		return err
	}
	if err := d.doc.End.complete(); err != nil {
		return err
	}
	return h.End(&d.doc.End)
}

// allow lets the next value be up to n bytes long.
func (d *documentReader) allow(n int64) { d.in.end = d.dec.InputOffset() + n }

func (d *documentReader) top(key string) error {
	d.seen[key] = true
	run := &d.doc.Run
	switch key {
	case "schema":
		return d.value(&run.Schema)
	case "tool":
		return d.value(&run.Tool)
	case "lang":
		return d.value(&run.Lang)
	case "started":
		return d.value(&run.Started)
	case "inputs":
		return d.value(&run.Inputs)
	case "campaigns":
		return d.value(&run.Campaigns)
	case "status":
		return d.value(&d.doc.End.Status)
	case "stats":
		return d.value(&d.doc.End.Stats)
	case "hosts":
		return d.array(d.host)
	case "problems":
		return d.array(d.problem)
	}
	var ignored json.RawMessage
	return d.value(&ignored)
}

// ready starts the handler as soon as all that describes the run has been read.
func (d *documentReader) ready() (bool, error) {
	if d.started {
		return true, nil
	}
	for _, key := range [...]string{"schema", "tool", "lang", "started", "inputs", "campaigns"} {
		if !d.seen[key] {
			if d.dec.InputOffset() > maxHeld {
				return false, fmt.Errorf("%w before the document has said its %s: put that first", errLimit, key)
			}
			return false, nil
		}
	}
	return true, d.start()
}

// start describes the run to the handler and hands on what was held back.
func (d *documentReader) start() error {
	if d.started {
		return nil
	}
	d.started = true
	run := &d.doc.Run
	if err := run.complete(); err != nil {
		return err
	}
	if run.Lang != d.loc.Lang() {
		d.other = d.loc
		run.translate(d.loc)
	}
	if err := d.h.Start(run); err != nil {
		return err
	}
	for i := range d.doc.Hosts {
		if err := d.giveHost(&d.doc.Hosts[i]); err != nil {
			return err
		}
	}
	for i := range d.doc.Problems {
		if err := d.giveProblem(&d.doc.Problems[i]); err != nil {
			return err
		}
	}
	d.doc.Hosts, d.doc.Problems = nil, nil
	return nil
}

func (d *documentReader) host() error {
	ready, err := d.ready()
	if err != nil {
		return err
	}
	h := &Host{}
	first := d.dec.InputOffset()
	if err := d.object(func(key string) error {
		if d.dec.InputOffset()-first > maxHost {
			return fmt.Errorf("host %q: %w", cutBytes(h.Host, 40), errLimit)
		}
		switch key {
		case "host":
			return d.value(&h.Host)
		case "build":
			return d.value(&h.Build)
		case "patched":
			return d.value(&h.Patched)
		case "mitigated":
			return d.value(&h.Mitigated)
		case "verdict":
			return d.value(&h.Verdict)
		case "campaigns":
			return element(d, first, &h.Campaigns)
		case "findings":
			return element(d, first, &h.Findings)
		case "incidents":
			return element(d, first, &h.Incidents)
		case "coverage":
			return element(d, first, &h.Coverage)
		case "inputs":
			return element(d, first, &h.Inputs)
		}
		var ignored json.RawMessage
		return d.value(&ignored)
	}); err != nil {
		return err
	}
	if err := h.complete(); err != nil {
		return fmt.Errorf("host %q: %w", cutBytes(h.Host, 40), err)
	}
	if !ready {
		d.doc.Hosts = append(d.doc.Hosts, *h)
		return nil
	}
	return d.giveHost(h)
}

func (d *documentReader) giveHost(h *Host) error {
	if d.other != nil {
		h.translate(d.other)
	}
	return d.h.Host(h)
}

func (d *documentReader) problem() error {
	ready, err := d.ready()
	if err != nil {
		return err
	}
	p := &Problem{}
	if err := d.value(p); err != nil {
		return err
	}
	if err := p.complete(); err != nil {
		return err
	}
	if !ready {
		d.doc.Problems = append(d.doc.Problems, *p)
		return nil
	}
	return d.giveProblem(p)
}

func (d *documentReader) giveProblem(p *Problem) error {
	if d.other != nil {
		p.translate(d.other)
	}
	return d.h.Problem(p)
}

// element reads the elements of one list of a host that began at byte first.
func element[T any, P interface {
	*T
	object
}](d *documentReader, first int64, to *[]T) error {
	return d.array(func() error {
		if d.dec.InputOffset()-first > maxHost {
			return errLimit
		}
		var v T
		if err := d.value(&v); err != nil {
			return err
		}
		if err := P(&v).complete(); err != nil {
			return err
		}
		*to = append(*to, v)
		return nil
	})
}

func (d *documentReader) value(to any) error {
	d.allow(maxObject)
	return d.dec.Decode(to)
}

func (d *documentReader) object(each func(key string) error) error {
	if err := d.delim('{'); err != nil {
		return err
	}
	for d.dec.More() {
		d.allow(maxObject)
		key, err := d.dec.Token()
		if err != nil {
			return err
		}
		if err := each(key.(string)); err != nil {
			return fmt.Errorf("%s: %w", cutBytes(key.(string), 40), err)
		}
		d.allow(maxObject)
	}
	return d.delim('}')
}

func (d *documentReader) array(each func() error) error {
	d.allow(maxObject)
	t, err := d.dec.Token()
	if err != nil || t == nil { // null is an empty list
		return err
	}
	if t != json.Delim('[') {
		return fmt.Errorf("want a list, not %s", cutBytes(fmt.Sprint(t), 40))
	}
	for d.dec.More() {
		if err := each(); err != nil {
			return err
		}
		d.allow(maxObject)
	}
	return d.delim(']')
}

func (d *documentReader) delim(want json.Delim) error {
	t, err := d.dec.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("want %v, not %s", want, cutBytes(fmt.Sprint(t), 40))
	}
	return nil
}
