// Package csv writes a report as a table for a spreadsheet: one row a finding,
// and, so that silence is never read as clean, one row a host with its verdict,
// one row a problem and one row for the end of the run. The first column says
// which. Input: a run, fed through report.Handler. Output: RFC 4180, CRLF, UTF-8
// with a byte order mark, without which Excel reads accents wrongly; times are
// UTC, columns have the same names in every language.
//
// A spreadsheet runs what begins like a formula, and splits a line at separators
// other than ours where its language uses them. So a cell that begins with = + - @
// gets an apostrophe in front, and so does such a character after a separator or a
// bracketing quote within a cell; control characters, tabs and line ends among
// them, are written out (\t, \u001b). Links and public addresses are defanged. What
// the evidence said to the byte is in the JSON.
package csv

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"postern"
	"postern/internal/report"
)

// columns are the header row. New ones go to the end.
var columns = []string{
	"row", "host", "build", "level", "level_name", "title", "confidence", "conclusive",
	"time", "campaign", "rule", "cve", "explain",
	"path", "line", "record", "offset", "sha256", "excerpt", "more_places",
	"client_ip", "user_agent", "url", "file", "file_sha256", "account", "shell_parameter", "status",
	"id", "incident", "what",
}

// maxCell is how much text one cell gets. A spreadsheet takes 32,767 characters
// and drops the rest without a word.
const maxCell = 8000

type table struct {
	to io.Writer
	w  *csv.Writer
}

// New makes a handler that writes a table.
func New(w io.Writer, _ report.Options, _ report.Localizer) report.Handler {
	t := &table{to: w, w: csv.NewWriter(w)}
	t.w.UseCRLF = true
	return t
}

// Start writes the header row.
func (t *table) Start(*report.Run) error {
	if _, err := io.WriteString(t.to, "\uFEFF"); err != nil {
		return err
	}
	if err := t.w.Write(columns); err != nil {
		return err
	}
	return t.flush()
}

// row holds the cells of one row by column.
type row map[string]string

func (t *table) write(r row, keep ...string) error {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = cell(r[c], keep)
	}
	return t.w.Write(cells)
}

func (t *table) flush() error {
	t.w.Flush()
	return t.w.Error()
}

// Host writes the verdict of a host and its findings.
func (t *table) Host(h *report.Host) error {
	v := &h.Verdict
	err := t.write(row{
		"row": "host", "host": h.Host, "build": h.Build,
		"level": strconv.Itoa(int(v.Level)), "level_name": v.Level.String(), "title": v.Title,
		"confidence": v.Confidence.String(), "conclusive": strconv.FormatBool(v.Conclusive),
		"explain": v.Summary,
	}, h.Build)
	if err != nil {
		return err
	}
	incident := map[string]string{}
	for _, in := range h.Incidents {
		for _, id := range in.Findings {
			incident[id] = in.ID
		}
	}
	for i := range h.Findings {
		f := &h.Findings[i]
		r := finding(f)
		r["host"], r["build"], r["incident"] = h.Host, h.Build, incident[f.ID]
		if err := t.write(r, h.Build); err != nil {
			return err
		}
	}
	return t.flush()
}

func finding(f *report.Finding) row {
	r := row{
		"row":   "finding",
		"level": strconv.Itoa(int(f.Level)), "level_name": f.Level.String(), "title": f.Title,
		"confidence": f.Confidence.String(), "time": f.Time.String(), "campaign": f.Campaign,
		"rule": f.Rule, "cve": strings.Join(f.CVE, " "),
		"explain": strings.ReplaceAll(f.Explain, "\n", " "), "id": f.ID,
	}
	if len(f.Evidence) > 0 {
		e := &f.Evidence[0]
		r["path"], r["sha256"], r["excerpt"] = e.Path, e.SHA256, e.Excerpt
		r["line"], r["record"], r["offset"] = number(e.Line), number(e.Record), strconv.FormatInt(e.Offset, 10)
		r["more_places"] = number(int64(len(f.Evidence) - 1))
	}
	for _, name := range [...]string{
		postern.ClientIP, postern.UserAgent, postern.URL, postern.File,
		postern.FileSHA256, postern.Account, postern.ShellParameter, postern.HTTPStatus,
	} {
		r[name] = f.Entities[name]
	}
	r[postern.ClientIP] = report.DefangHost(r[postern.ClientIP])
	return r
}

// number leaves a cell empty where there is nothing to count.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// Problem writes what was not looked at.
func (t *table) Problem(p *report.Problem) error {
	err := t.write(row{"row": "problem", "what": string(p.What), "path": p.Path, "explain": p.Detail})
	if err != nil {
		return err
	}
	return t.flush()
}

// End says whether the run looked at all that it was given.
func (t *table) End(e *report.End) error {
	if err := t.write(row{"row": "end", "what": string(e.Status)}); err != nil {
		return err
	}
	return t.flush()
}

// cell makes text safe for a spreadsheet.
func cell(s string, keep []string) string {
	s = report.Cut(s, maxCell)
	return guard(report.Defang(report.Visible(s), keep...))
}

// guard puts an apostrophe before every character that begins a formula, at the
// start and after whatever a spreadsheet may take for the start of a cell.
func guard(s string) string {
	if !strings.ContainsAny(s, "=+-@＝＋－＠") {
		return s
	}
	var b strings.Builder
	start := true
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch r {
		case '=', '+', '-', '@', '＝', '＋', '－', '＠':
			if start {
				b.WriteByte('\'')
			}
			start = false
		case ',', ';', '|':
			start = true
		case ' ', '"', '\'': // may stand between the start and the formula
		default:
			start = false
		}
		b.WriteString(s[i : i+n])
		i += n
	}
	return b.String()
}
