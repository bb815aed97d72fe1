// Package all lists the renderers. It is imported by cmd/postern and by tests.
package all

import (
	"io"

	"postern/internal/report"
	"postern/internal/report/csv"
	"postern/internal/report/html"
	"postern/internal/report/json"
	"postern/internal/report/text"
)

// Format is one form that a report can take.
type Format struct {
	Name string // what --format calls it
	New  func(io.Writer, report.Options, report.Localizer) report.Handler
}

// Formats gives all forms, the one for people at a terminal first.
func Formats() []Format {
	return []Format{
		{"text", text.New},
		{"json", json.NewDocument},
		{"jsonl", json.NewStream},
		{"csv", csv.New},
		{"html", html.New},
	}
}
