// Package testproxylogon reads what Microsoft's Test-ProxyLogon.ps1 writes about a
// server. Input: one of its report files, a CSV as Export-Csv of any PowerShell writes it
// (with or without a "#TYPE" line, ANSI, UTF-8 or UTF-16) or a list of paths. Output: the
// kind of the report and its rows with their places.
//
// The reports are second-hand: rows that the script took out of logs, without the logs.
// They are never taken for the logs themselves, which would make a handful of hits look
// like coverage.
//
// Source of the format: Security/src/Test-ProxyLogon.ps1 of microsoft/CSS-Exchange,
// function Write-ProxyLogonReport: COMPUTER-Cve-2021-26855.csv (hits in the HttpProxy
// logs), -26857.csv (events), -26858.log and -27065.log (paths of logs), -other.csv
// (files), -LogAgeDays.csv.
package testproxylogon

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"postern"
	"postern/internal/hunt/parse"
)

// Bounds.
const (
	// MaxBytes is read of one report: a server under mass exploitation has some 10,000
	// hits of 500 bytes.
	MaxBytes = 64 << 20
	// MaxRows of one report are kept; more is counted.
	MaxRows = 20_000
	// maxRow is the longest row.
	maxRow = 64 << 10
)

// Kind is what a report is about.
type Kind string

// The kinds, by what the script found.
const (
	ProxyHits Kind = "CVE-2021-26855" // rows of the HttpProxy logs
	Events    Kind = "CVE-2021-26857" // events of Unified Messaging
	OABLogs   Kind = "CVE-2021-26858" // paths of logs of the offline address book
	ECPLogs   Kind = "CVE-2021-27065" // paths of logs of the control panel
	Files     Kind = "other"          // files in places where data was collected
	LogAge    Kind = "log-age"
)

// Report is one report.
type Report struct {
	Kind     Kind
	Host     string // as the name of the file says it
	Rows     []Row
	More     int64 // rows that were only counted
	Problems []postern.Problem
}

// Row is one row by the names of its columns, lower case; of a list of paths the one
// field "path".
type Row struct {
	Line   int64
	Offset int64 // of the decoded text
	Fields map[string]string
	Raw    string
}

var named = regexp.MustCompile(`(?i)^(.+)-(Cve-2021-2(?:6855|6857|6858|7065)|LogAgeDays|other)\.(csv|log)$`)

// KindOfName gives kind and host that the name of a file says.
func KindOfName(p string) (Kind, string, bool) {
	switch strings.ToLower(path.Ext(p)) { // asked of every file
	case ".csv", ".log":
	default:
		return "", "", false
	}
	m := named.FindStringSubmatch(path.Base(strings.ReplaceAll(p, `\`, "/")))
	if m == nil {
		return "", "", false
	}
	switch what := strings.ToLower(m[2]); what {
	case "other":
		return Files, m[1], true
	case "logagedays":
		return LogAge, m[1], true
	default:
		return Kind(strings.ToUpper(what)), m[1], true
	}
}

// columnsOf are those by which a CSV is known whatever it is called.
var columnsOf = map[Kind][]string{
	ProxyHits: {"datetime", "requestid", "clientipaddress", "urlhost", "urlstem", "routinghint", "useragent", "anchormailbox", "httpstatus"},
	Events:    {"timecreated", "machinename", "message"},
	Files:     {"computername", "type", "path", "name", "lastwrite"},
	LogAge:    {"oabgen", "ecp", "autodproxy"},
}

// kindOf gives the kind whose columns a header has.
func kindOf(header []string) (Kind, bool) {
	for _, k := range []Kind{ProxyHits, Files, Events, LogAge} {
		has := true
		for _, c := range columnsOf[k] {
			has = has && contains(header, c)
		}
		if has && len(header) <= len(columnsOf[k])+12 {
			return k, true
		}
	}
	return "", false
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// Read reads a report. Nil without an error means that the file is none. The path is
// for its name and for problems.
func Read(from io.Reader, p string) (*Report, error) {
	kind, host, _ := KindOfName(p)
	limited := &io.LimitedReader{R: from, N: MaxBytes + 1}
	in := bufio.NewReader(limited)
	head, _ := in.Peek(512) // an error comes again when reading
	charset, bom := parse.Sniff(head)
	if _, err := in.Discard(bom); err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	var text io.Reader = in
	if charset == parse.UTF16LE || charset == parse.UTF16BE {
		text = &wide{in: in, big: charset == parse.UTF16BE}
	}
	r := &Report{Kind: kind, Host: host}
	list := kind == OABLogs || kind == ECPLogs
	var header []string
	err := rows(text, !list, func(line, offset int64, raw string, cells []string) bool {
		switch {
		case strings.TrimSpace(raw) == "", header == nil && strings.HasPrefix(raw, "#"):
		case list:
			if strings.ContainsAny(raw, `\/`) {
				r.add(Row{line, offset, map[string]string{"path": strings.TrimSpace(raw)}, raw})
			}
		case header == nil:
			for _, c := range cells {
				header = append(header, strings.ToLower(strings.TrimSpace(c)))
			}
			known, ok := kindOf(header)
			if r.Kind = known; !ok {
				return false
			}
		default:
			fields := make(map[string]string, len(header))
			for i, name := range header {
				if i < len(cells) {
					fields[name] = cells[i]
				}
			}
			r.add(Row{line, offset, fields, raw})
		}
		return true
	})
	switch {
	case !list && header == nil, r.Kind == "":
		return nil, err
	case limited.N == 0:
		r.Problems = append(r.Problems, postern.Problem{Path: p, What: postern.Limit, Detail: postern.Say("testproxylogon.large", "bound", MaxBytes>>20)})
	case r.More > 0:
		r.Problems = append(r.Problems, postern.Problem{Path: p, What: postern.Limit, Detail: postern.Say("testproxylogon.more", "count", r.More, "bound", MaxRows)})
	}
	if err != nil {
		err = fmt.Errorf("read %s: %w", p, err)
	}
	return r, err
}

func (r *Report) add(row Row) {
	if len(r.Rows) == MaxRows {
		r.More++
		return
	}
	r.Rows = append(r.Rows, row)
}

// rows hands on one row after the other; quoted cells may have line ends in them. A row
// that is too long is cut. The visitor answers whether to go on.
func rows(text io.Reader, quotes bool, visit func(line, offset int64, raw string, cells []string) bool) error {
	in := bufio.NewReaderSize(text, maxRow)
	var line, offset int64
	var raw strings.Builder
	begin, at := int64(1), int64(0)
	open := false
	for {
		part, err := in.ReadSlice('\n')
		offset += int64(len(part))
		if len(part) > 0 && (raw.Len() == 0 || open) && raw.Len()+len(part) <= maxRow {
			raw.Write(part)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			open = true // the rest of the line is left out
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		line++
		text := strings.ToValidUTF8(raw.String(), "\uFFFD")
		if open = quotes && strings.Count(text, `"`)%2 == 1 && raw.Len() < maxRow && err == nil; open {
			continue
		}
		if raw.Len() > 0 {
			text = strings.TrimRight(text, "\r\n")
			if !visit(begin, at, text, split(text, quotes)) {
				return nil
			}
		}
		if err != nil {
			return nil
		}
		raw.Reset()
		begin, at = line+1, offset
	}
}

// split parts a row into cells, RFC 4180.
func split(row string, quotes bool) []string {
	if !quotes {
		return nil
	}
	var cells []string
	for {
		if strings.HasPrefix(row, `"`) {
			var b strings.Builder
			rest := row[1:]
			for {
				i := strings.IndexByte(rest, '"')
				if i < 0 {
					b.WriteString(rest)
					return append(cells, b.String())
				}
				b.WriteString(rest[:i])
				if rest = rest[i+1:]; !strings.HasPrefix(rest, `"`) {
					break
				}
				b.WriteByte('"')
				rest = rest[1:]
			}
			cells = append(cells, b.String())
			_, after, more := strings.Cut(rest, ",")
			if !more {
				return cells
			}
			row = after
			continue
		}
		cell, after, more := strings.Cut(row, ",")
		cells = append(cells, cell)
		if !more {
			return cells
		}
		row = after
	}
}

// wide reads UTF-16 as UTF-8.
type wide struct {
	in   *bufio.Reader
	big  bool
	rest []byte
}

func (w *wide) unit() (rune, error) {
	var b [2]byte
	if _, err := io.ReadFull(w.in, b[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		return 0, err
	}
	if w.big {
		return rune(b[0])<<8 | rune(b[1]), nil
	}
	return rune(b[1])<<8 | rune(b[0]), nil
}

func (w *wide) Read(p []byte) (int, error) {
	for len(w.rest) < min(len(p), 4096) {
		r, err := w.unit()
		if err != nil {
			if len(w.rest) == 0 {
				return 0, err
			}
			break
		}
		if utf16.IsSurrogate(r) {
			low, _ := w.unit()
			r = utf16.DecodeRune(r, low)
		}
		w.rest = utf8.AppendRune(w.rest, r)
	}
	n := copy(p, w.rest)
	w.rest = append(w.rest[:0], w.rest[n:]...)
	return n, nil
}
