package json

import (
	"io"

	"postern/internal/report"
)

// stream writes one object a line as it comes.
type stream struct{ w io.Writer }

// NewStream makes a handler that writes one object a line, each with a type. What
// is found on a host comes before the host's own line, which closes it.
func NewStream(w io.Writer, _ report.Options, _ report.Localizer) report.Handler {
	return &stream{w}
}

// The lines of a stream: the objects of the document, with their type and, for
// what belongs to a host, its name.
type (
	runLine struct {
		Type string `json:"type"`
		report.Run
	}
	campaignLine struct {
		Type string `json:"type"`
		Host string `json:"host"`
		report.HostCampaign
	}
	findingLine struct {
		Type string `json:"type"`
		Host string `json:"host"`
		report.Finding
	}
	incidentLine struct {
		Type string `json:"type"`
		Host string `json:"host"`
		report.Incident
	}
	coverageLine struct {
		Type string `json:"type"`
		Host string `json:"host"`
		report.Coverage
	}
	inputLine struct {
		Type string `json:"type"`
		Host string `json:"host"`
		report.HashedFile
	}
	hostLine struct {
		Type string `json:"type"`
		report.Head
	}
	problemLine struct {
		Type string `json:"type"`
		report.Problem
	}
	endLine struct {
		Type string `json:"type"`
		report.End
	}
)

// Start writes the line that describes the run.
func (s *stream) Start(r *report.Run) error { return s.line(runLine{"run", *r}) }

// Problem writes one line.
func (s *stream) Problem(p *report.Problem) error { return s.line(problemLine{"problem", *p}) }

// End writes the last line.
func (s *stream) End(e *report.End) error { return s.line(endLine{"end", *e}) }

// Host writes what is found on a host, a line each, and then the host.
func (s *stream) Host(h *report.Host) error {
	for i := range h.Campaigns {
		if err := s.line(campaignLine{"campaign", h.Host, h.Campaigns[i]}); err != nil {
			return err
		}
	}
	for i := range h.Findings {
		if err := s.line(findingLine{"finding", h.Host, h.Findings[i]}); err != nil {
			return err
		}
	}
	for i := range h.Incidents {
		if err := s.line(incidentLine{"incident", h.Host, h.Incidents[i]}); err != nil {
			return err
		}
	}
	for i := range h.Coverage {
		if err := s.line(coverageLine{"coverage", h.Host, h.Coverage[i]}); err != nil {
			return err
		}
	}
	for i := range h.Inputs {
		if err := s.line(inputLine{"input", h.Host, h.Inputs[i]}); err != nil {
			return err
		}
	}
	return s.line(hostLine{"host", h.Head})
}

// line writes at once: a stream is of use while the hunt still runs.
func (s *stream) line(v any) error {
	b, err := report.Marshal(v)
	if err != nil {
		return err
	}
	_, err = s.w.Write(append(b, '\n'))
	return err
}
