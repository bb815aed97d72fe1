package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"postern"
)

// maxNamed is how many bad lines of a stream get a problem of their own; the
// rest are counted.
const maxNamed = 20

// streamReader puts the lines of a stream together again. What is found on a host
// comes before the host's own line.
type streamReader struct {
	name string
	loc  Words
	h    Handler

	run     *Run
	end     *End
	pending map[string]*Host
	order   []string // of pending, for hosts that never get their line
	held    int      // bytes of the lines behind pending
	number  int      // of the line being read
	bad     int
}

func replayStream(name string, r *bufio.Reader, loc Localizer, h Handler) error {
	s := &streamReader{name: name, loc: Words{loc}, h: h, pending: map[string]*Host{}}
	for {
		line, long, err := readLine(r)
		if err != nil && err != io.EOF {
			return err
		}
		s.number++
		if long {
			err := s.badLine(postern.Problem{What: postern.Limit,
				Detail: postern.Say("report.saved.long", "line", s.number, "limit", maxObject)})
			if err != nil {
				return err
			}
		} else if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := s.line(line); err != nil {
				return fmt.Errorf("line %d: %w", s.number, err)
			}
		}
		if err == io.EOF {
			return s.finish()
		}
	}
}

// readLine gives a line without its end, valid until the next call. Of a line
// longer than an object may be it reads to the end and says so.
func readLine(r *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxObject {
			long, line = true, nil
		} else if !long {
			line = append(line, part...)
		}
		if err != bufio.ErrBufferFull {
			return line, long, err
		}
	}
}

// line takes one object. An error ends the replay; a line that cannot be read
// does not.
func (s *streamReader) line(line []byte) error {
	var kind struct {
		Type string `json:"type"`
		Host string `json:"host"`
	}
	if err := json.Unmarshal(line, &kind); err != nil || kind.Type == "" {
		return s.malformed()
	}
	if kind.Type == "run" {
		return s.start(line)
	}
	if s.run == nil {
		return fmt.Errorf("%s comes before the line that describes the run", cutBytes(kind.Type, 40))
	}
	switch kind.Type {
	case "finding":
		return pend(s, kind.Host, line, func(h *Host, v Finding) { h.Findings = append(h.Findings, v) })
	case "incident":
		return pend(s, kind.Host, line, func(h *Host, v Incident) { h.Incidents = append(h.Incidents, v) })
	case "coverage":
		return pend(s, kind.Host, line, func(h *Host, v Coverage) { h.Coverage = append(h.Coverage, v) })
	case "input":
		return pend(s, kind.Host, line, func(h *Host, v HashedFile) { h.Inputs = append(h.Inputs, v) })
	case "campaign":
		return pend(s, kind.Host, line, func(h *Host, v HostCampaign) { h.Campaigns = append(h.Campaigns, v) })
	case "host":
		return s.host(kind.Host, line)
	case "problem":
		var p Problem
		if !read(line, &p) {
			return s.malformed()
		}
		return s.problem(&p)
	case "end":
		var e End
		if !read(line, &e) {
			return s.malformed()
		}
		s.end = &e
	}
	return nil // a type that a later version added
}

// read decodes a line and says whether it is what the contract asks for.
func read(line []byte, to object) bool {
	return json.Unmarshal(line, to) == nil && to.complete() == nil
}

func (s *streamReader) start(line []byte) error {
	if s.run != nil {
		return fmt.Errorf("a second run begins here: give one run a file")
	}
	var r Run
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if err := r.complete(); err != nil {
		return err
	}
	lang := r.Lang
	if lang != s.loc.Lang() {
		r.translate(s.loc)
	}
	s.run = &Run{Lang: lang}
	return s.h.Start(&r)
}

func (s *streamReader) foreign() bool { return s.run.Lang != s.loc.Lang() }

// pend keeps what belongs to a host until the host's own line comes.
func pend[T any, P interface {
	*T
	object
}](s *streamReader, host string, line []byte, add func(*Host, T)) error {
	var v T
	if !read(line, P(&v)) {
		return s.malformed()
	}
	if s.held += len(line); s.held > maxHost {
		return fmt.Errorf("%w before the line of host %q", errLimit, cutBytes(host, 40))
	}
	h := s.pending[host]
	if h == nil {
		h = &Host{}
		s.pending[host] = h
		s.order = append(s.order, host)
	}
	add(h, v)
	return nil
}

func (s *streamReader) host(name string, line []byte) error {
	var head Head
	if !read(line, &head) {
		return s.malformed()
	}
	h := s.pending[name]
	if h == nil {
		h = &Host{}
	}
	delete(s.pending, name)
	if len(s.pending) == 0 {
		s.held, s.order = 0, nil
	}
	h.Head = head
	return s.give(h)
}

func (s *streamReader) give(h *Host) error {
	if err := h.complete(); err != nil {
		return err
	}
	if s.foreign() {
		h.translate(s.loc)
	}
	return s.h.Host(h)
}

func (s *streamReader) problem(p *Problem) error {
	if s.foreign() {
		p.translate(s.loc)
	}
	return s.h.Problem(p)
}

func (s *streamReader) malformed() error {
	return s.badLine(postern.Problem{What: postern.Malformed,
		Detail: postern.Say("report.saved.malformed", "line", s.number)})
}

func (s *streamReader) badLine(p postern.Problem) error {
	if s.run == nil {
		return fmt.Errorf("not a line of a report, and the run has not been described")
	}
	if s.bad++; s.bad > maxNamed {
		return nil
	}
	return s.say(p)
}

// say adds a problem of the saved file itself.
func (s *streamReader) say(p postern.Problem) error {
	p.Path = s.name
	own := newProblem(p, s.loc)
	own.OfReport = true
	return s.h.Problem(own)
}

// finish hands on what a stream that was cut left behind, and ends the run.
func (s *streamReader) finish() error {
	if s.run == nil {
		return fmt.Errorf("not a report: no line describes the run")
	}
	for _, name := range s.order {
		h := s.pending[name]
		if h == nil {
			continue
		}
		delete(s.pending, name) // a name may stand in order twice
		h.Head = s.unfinished(name, h)
		if err := s.give(h); err != nil {
			return err
		}
	}
	if s.bad > maxNamed {
		err := s.say(postern.Problem{What: postern.Malformed,
			Detail: postern.Say("report.saved.more", "count", s.bad-maxNamed)})
		if err != nil {
			return err
		}
	}
	if s.end == nil {
		s.end = &End{Status: postern.PartialStatus, Cut: true}
		err := s.say(postern.Problem{What: postern.Truncated, Detail: postern.Say("report.saved.cut")})
		if err != nil {
			return err
		}
	}
	if s.bad > 0 && s.end.Status == postern.Complete {
		s.end.Status = postern.PartialStatus
	}
	return s.h.End(s.end)
}

// unfinished is said of a host whose verdict is missing: no less than what was
// found on it, and never conclusive.
func (s *streamReader) unfinished(name string, h *Host) Head {
	v := postern.Verdict{Confidence: postern.Low, Summary: postern.Say("report.saved.unfinished")}
	for i := range h.Findings {
		v.Level = max(v.Level, h.Findings[i].Level)
	}
	return Head{Host: name, Verdict: newVerdict(v, s.loc)}
}
