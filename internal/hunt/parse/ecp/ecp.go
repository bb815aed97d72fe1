// Package ecp describes the logs of the Exchange control panel: Logging/ECP/Server
// and Logging/ECP/Activity. Input: comma-separated rows of four columns, the last a
// blob of key=value pairs; UTC. Output: events of the sources "ecp-server" and
// "ecp-activity" with each pair of the blob as a derived field, and with the
// commands' URL values taken out.
//
// Source of the format: the files' own headers and published rows; see docs/formats/logs.md.
package ecp

import (
	"regexp"
	"strings"

	"postern"
	"postern/internal/hunt/parse"
)

// Names of the two sources of events.
const (
	Server   = "ecp-server"
	Activity = "ecp-activity"
)

// Formats describes both logs.
func Formats() []*parse.Format {
	return []*parse.Format{
		format(Server, func(h parse.Head) bool {
			return strings.EqualFold(h.LogType, "ECP Server Log") || h.LogType == "" && (blobColumns(h) && !h.PathHas("activity") || lost(h, "ECP.", "S:TIME="))
		}),
		format(Activity, func(h parse.Head) bool {
			return strings.EqualFold(h.LogType, "ECP Activity Context Log") || h.LogType == "" && (blobColumns(h) || lost(h, "", "S:Bld="))
		}),
	}
}

// lost recognises a file whose header is lost by its first row: four columns, an
// event that begins so, and this pair among the others.
func lost(h parse.Head, event, pair string) bool {
	if h.Fields != nil || len(h.Rows) == 0 {
		return false
	}
	cells := strings.SplitN(h.Rows[0], ",", 4)
	return len(cells) == 4 && len(cells[0]) == len("2021-03-03T00:00:00.000Z") &&
		strings.HasPrefix(cells[2], event) && strings.Contains(cells[3], pair)
}

func blobColumns(h parse.Head) bool { return h.HasFields("ServerName", "EventId", "EventData") }

func format(name string, recognise func(parse.Head) bool) *parse.Format {
	deciding := map[string][]string{
		"CmdName": {"EventData"}, "CmdUrl": {"EventData"}, "Command": {"EventData"},
		"Request": {"EventData"}, "Canary": {"EventData"},
	}
	return &parse.Format{
		Name:      name,
		Delim:     ',',
		Time:      []string{"TimeStamp"}, // some builds say MyTimeStamp; it comes first all the same
		Host:      "ServerName",
		Columns:   []string{"TimeStamp", "ServerName", "EventId", "EventData"},
		Recognise: recognise,
		Derive:    derive,
		Deciding:  deciding,
		Pairs:     "EventData",
	}
}

func derive(ev *postern.Event) {
	for _, pair := range parse.Blob(ev.Get("EventData")) {
		if !taken(pair.Name) {
			ev.Derived = append(ev.Derived, pair)
		}
	}
	cmd := ev.Get("CMD")
	name, _, _ := strings.Cut(cmd, ".")
	if strings.HasPrefix(parse.Lower(name), "pipeline") {
		if _, after, ok := strings.Cut(cmd, "|"); ok {
			name, _, _ = strings.Cut(after, ".")
		}
	}
	parse.Add(ev,
		"CmdName", parse.Lower(strings.TrimSpace(name)),
		"Command", parse.Lower(parse.Decode(cmd)),
		"Request", parse.URL(ev.Get("URL")),
		"Canary", parse.Parameter(parse.Decode(ev.Get("URL")), "msExchEcpCanary"))
	for _, v := range urls(cmd) {
		parse.Add(ev, "CmdUrl", parse.Lower(parse.Decode(v)))
	}
}

// taken says whether a pair's key, which a hostile request may have chosen, is the
// name of a column or of a field that is computed here.
func taken(key string) bool {
	for _, name := range []string{"TimeStamp", "ServerName", "EventId", "EventData", "CmdName", "CmdUrl", "Command", "Request", "Canary"} {
		if strings.EqualFold(key, name) {
			return true
		}
	}
	return key == ""
}

// maxURLs bounds the values taken from one command; a directory has two.
const maxURLs = 16

var (
	// parameter begins one: .ExternalUrl=
	parameter = regexp.MustCompile(`\.([A-Za-z]+)\s*=\s*`)
	// closing is the quote behind a value, with what can follow it: the next
	// parameter, the next command of a pipeline, nothing.
	closing = regexp.MustCompile(`'\s*(?:\.[A-Za-z]+\s*=|[;|]|$)`)
)

// urls gives the values of the parameters of a command whose names end in Url. A
// value in quotes may hold anything, even what looks like its end and the next
// parameter; a '<' behind that end belongs to it all the same, as no other value
// has one. A value that is not closed, as in a row that was cut, goes on to the end.
func urls(cmd string) (values []string) {
	for len(values) < maxURLs {
		p := parameter.FindStringSubmatchIndex(cmd)
		if p == nil {
			break
		}
		name, value := cmd[p[2]:p[3]], cmd[p[1]:]
		end, next := len(value), len(value)
		if strings.HasPrefix(value, "'") {
			value = value[1:]
			end, next = len(value), len(value)
			if at := closing.FindStringIndex(value); at != nil {
				end, next = at[0], at[0]+1
			}
		} else if at := parameter.FindStringIndex(value); at != nil {
			end, next = at[0], at[0]
		}
		if n := len(name); n >= 3 && strings.EqualFold(name[n-3:], "url") {
			if strings.Contains(parse.Decode(value[end:]), "<") {
				end = len(value)
			}
			values = append(values, value[:end])
		}
		cmd = value[next:]
	}
	return values
}
