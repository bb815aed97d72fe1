// Package eventlog tells of files that have the name of an event log of Windows and do not
// begin like one, so that the hunt did not read them as one. Input: such a file. Output:
// no finding, but a problem, as a log that was expected and not read must not be passed
// over: what is empty or full of zeros was often copied while Windows had it open.
package eventlog

import (
	"errors"
	"io"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse/evtx"
)

// headSize is what is read of a file: the header of an event log and the signature of the
// chunk behind it.
const headSize = 4096 + 8

// Detector tells of files. It keeps nothing and may be used by several goroutines.
type Detector struct{}

// New makes a detector.
func New() Detector { return Detector{} }

// Wants takes files by their name, empty ones too.
func (Detector) Wants(f *detect.File) bool { return evtx.Named(f.Path) }

// Look reads the beginning of one file.
func (Detector) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	head := make([]byte, headSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, err
	}
	if evtx.Recognise(head[:n]) {
		return nil, nil, nil
	}
	return nil, []postern.Problem{{Path: f.Path, What: postern.Malformed, Detail: postern.Say("evtx.unread")}}, nil
}
