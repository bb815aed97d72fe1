package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// A saved report is as hostile as evidence: it may have been cut, edited, or
// made to exhaust whoever opens it. How deep objects may nest is bounded by
// encoding/json (10,000, without recursion of ours); the rest is bounded here.
const (
	// One finding, incident or line. The hunt cuts excerpts at a few KiB; an
	// incident of 100,000 findings, the largest object, needs 2 MiB.
	maxObject = 4 << 20
	// All of one host, which is held until it is whole. 60,000 findings.
	maxHost = 128 << 20
	// A document whose run is not described before its hosts is held whole, so it
	// has to be small; no document of ours is written so, but sorting keys makes one.
	maxHeld = 64 << 20
	// How far to look for the end of the first line, which tells a stream from a
	// document. The first line of a stream describes the campaigns: 10 KiB each.
	peekBytes = 1 << 20
)

// errLimit is a bound reached. It is an error, not a cut: what follows could not
// be told from what was there.
var errLimit = errors.New("more than this program reads")

// Replay reads a saved document or stream and feeds it to a handler as if the
// hunt ran again. Sentences are said again in the language of loc if the file is
// in another one. A stream that was cut, or has lines that cannot be read,
// is replayed with a problem that says so under the given name and ends as
// partial; a document that cannot be read to its end is an error.
func Replay(name string, r io.Reader, loc Localizer, h Handler) error {
	// Windows PowerShell saves what a program prints as UTF-16 with a mark.
	text := transform.NewReader(r, unicode.BOMOverride(transform.Nop))
	b := bufio.NewReaderSize(text, peekBytes)
	var err error
	if isStream(b) {
		err = replayStream(name, b, loc, h)
	} else {
		err = replayDocument(b, loc, h)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// isStream says whether the first line is an object with a type.
func isStream(b *bufio.Reader) bool {
	head, _ := b.Peek(peekBytes)
	head = bytes.TrimLeft(head, "\r\n\t ")
	if end := bytes.IndexByte(head, '\n'); end >= 0 {
		head = head[:end]
	}
	var first struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(head, &first) == nil && first.Type != ""
}

// Document is a whole report in memory.
type Document struct {
	Run      Run
	Hosts    []Host
	Problems []Problem
	End      End
}

// Decode reads a saved document or stream into memory.
func Decode(name string, r io.Reader, loc Localizer) (*Document, error) {
	d := &Document{}
	if err := Replay(name, r, loc, d.Collect()); err != nil {
		return nil, err
	}
	return d, nil
}

// Collect gives a handler that fills the document.
func (d *Document) Collect() Handler { return collector{d} }

type collector struct{ d *Document }

func (c collector) Start(r *Run) error { c.d.Run = *r; return nil }
func (c collector) Host(h *Host) error { c.d.Hosts = append(c.d.Hosts, *h); return nil }
func (c collector) End(e *End) error   { c.d.End = *e; return nil }
func (c collector) Problem(p *Problem) error {
	c.d.Problems = append(c.d.Problems, *p)
	return nil
}

// Play feeds the document to a handler.
func (d *Document) Play(h Handler) error {
	if err := h.Start(&d.Run); err != nil {
		return err
	}
	for i := range d.Hosts {
		if err := h.Host(&d.Hosts[i]); err != nil {
			return err
		}
	}
	for i := range d.Problems {
		if err := h.Problem(&d.Problems[i]); err != nil {
			return err
		}
	}
	return h.End(&d.End)
}

// object is what every object of the contract can do once it is decoded.
type object interface{ complete() error }
