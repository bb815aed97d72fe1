package exposure

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"postern"
)

// maxLine bounds one stored record. Our own stay below 4 KB but for the
// assessments of all CVEs and the names of many members.
const maxLine = 256 << 10

// BadLine is a line that is no record of this contract. The reading goes on
// after it.
type BadLine struct {
	Path string
	Line int64
	What postern.ProblemKind
	Err  error
}

func (b *BadLine) Error() string { return fmt.Sprintf("%s:%d: %v", b.Path, b.Line, b.Err) }

func (b *BadLine) Unwrap() error { return b.Err }

// Line is one line of a stream. Its bytes are valid until the next step.
type Line struct {
	Number int64 // 1-based
	Bytes  []byte
}

// Lines gives the lines of a stream of stored records; blank ones are skipped. A
// line beyond the bound comes as a *[BadLine] without bytes, and the reading goes
// on; an error of the reader itself is the last pair. Single use.
func Lines(r io.Reader, path string) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		br := bufio.NewReaderSize(r, maxLine)
		for n := int64(1); ; n++ {
			line, err := br.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				for errors.Is(err, bufio.ErrBufferFull) {
					_, err = br.ReadSlice('\n')
				}
				bad := &BadLine{path, n, postern.Limit, fmt.Errorf("line is longer than %d bytes", maxLine)}
				if !yield(Line{Number: n}, bad) {
					return
				}
				line = nil
			}
			if line = bytes.TrimSpace(line); len(line) > 0 && !yield(Line{n, line}, nil) {
				return
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Line{Number: n}, fmt.Errorf("%s: line %d: %w", path, n, err))
				return
			}
		}
	}
}

// Read gives the observations of a stream of stored records. A line that is none
// comes as a *[BadLine] and a zero observation, and the reading goes on; an error
// of the reader itself is the last pair. Single use.
func Read(r io.Reader, path string) iter.Seq2[Observation, error] {
	return func(yield func(Observation, error) bool) {
		for line, err := range Lines(r, path) {
			var o Observation
			if err == nil {
				if e := decode(line.Bytes, &o); e != nil {
					o, err = Observation{}, &BadLine{path, line.Number, postern.Malformed, e}
				}
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// decode reads one record and checks what everything else relies on.
func decode(line []byte, o *Observation) error {
	if err := json.Unmarshal(line, o); err != nil {
		return err
	}
	switch {
	case o.Schema != Schema:
		return fmt.Errorf("schema %q: want %q", o.Schema, Schema)
	case !o.Outcome.Valid():
		return fmt.Errorf("outcome %q is not in the list", o.Outcome)
	case o.Time.IsZero():
		return errors.New("no time")
	}
	return nil
}
