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

// keys are the pairs of the blob that rules may name.
var keys = []string{"TIME", "SID", "CMD", "REQID", "URL", "REFERRER", "EX", "ACTID", "RS", "BLD", "TNAME", "TID", "USID", "EDOID", "ACID", "PSA"}

// Formats describes both logs.
func Formats() []*parse.Format {
	return []*parse.Format{
		format(Server, func(h parse.Head) bool {
			return strings.EqualFold(h.LogType, "ECP Server Log") || h.LogType == "" && blobColumns(h) && !h.PathHas("activity")
		}),
		format(Activity, func(h parse.Head) bool {
			return strings.EqualFold(h.LogType, "ECP Activity Context Log") || h.LogType == "" && blobColumns(h)
		}),
	}
}

func blobColumns(h parse.Head) bool { return h.HasFields("ServerName", "EventId", "EventData") }

func format(name string, recognise func(parse.Head) bool) *parse.Format {
	deciding := map[string][]string{
		"CmdName": {"EventData"}, "CmdUrl": {"EventData"}, "Command": {"EventData"},
		"Request": {"EventData"}, "Canary": {"EventData"}, "Caller": {"EventData"},
	}
	for _, k := range keys {
		deciding[k] = []string{"EventData"}
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
	}
}

// urlValue finds the value of every parameter whose name ends in Url. The value
// ends at a quote that the next parameter or the end follows.
var urlValue = regexp.MustCompile(`(?is)\.(?:[a-z]*url)\s*=\s*'(.*?)(?:'(?:\.[a-z]+\s*=|\s*$|\s*[;|])|$)`)

func derive(ev *postern.Event) {
	data := ev.Get("EventData")
	ev.Derived = append(ev.Derived, parse.Blob(data)...)
	cmd := ev.Get("CMD")
	name, _, _ := strings.Cut(cmd, ".")
	if strings.HasPrefix(strings.ToLower(name), "pipeline") {
		if _, after, ok := strings.Cut(cmd, "|"); ok {
			name, _, _ = strings.Cut(after, ".")
		}
	}
	parse.Add(ev,
		"CmdName", parse.Lower(strings.TrimSpace(name)),
		"Command", parse.Lower(parse.Decode(cmd)),
		"Request", parse.URL(ev.Get("URL")),
		"Canary", parse.Parameter(parse.Decode(ev.Get("URL")), "msExchEcpCanary"))
	for _, m := range urlValue.FindAllStringSubmatch(cmd, 16) {
		parse.Add(ev, "CmdUrl", parse.Lower(parse.Decode(m[1])))
	}
}
