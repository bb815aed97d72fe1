// Package mapihttp describes the logs of MAPI over HTTP under
// Logging/MapiHttp/Mailbox. Input: comma-separated rows behind a header; UTC.
// Output: events of the source "mapihttp".
//
// Source of the format: the files' own headers; see docs/formats/logs.md.
package mapihttp

import (
	"strings"

	"postern"
	"postern/internal/hunt/parse"
)

// Name is the source of the events.
const Name = "mapihttp"

const columns = "DateTime,RequestId,MapiRequestId,ClientRequestId,RequestType,HttpStatusCode,ResponseCode,StatusCode,ReturnCode,TotalRequestLatency,DeploymentRing,MajorVersion,MinorVersion,BuildVersion,RevisionVersion"

// Format describes the log.
func Format() *parse.Format {
	return &parse.Format{
		Name: Name, Delim: ',', Time: []string{"DateTime"}, Host: "ServerHostName",
		Columns:        strings.Split(columns, ","),
		VersionIsBuild: true,
		Recognise: func(h parse.Head) bool {
			return h.HasFields("MapiRequestId", "RequestType") || h.HasFields("MailboxId", "MapiClientInfo")
		},
		Derive: func(ev *postern.Event) {
			parse.Add(ev, "Agent", parse.UserAgent(ev.Get("ClientSoftware")), "ClientIp", parse.Address(ev.Get("ClientIP")))
		},
		Deciding: map[string][]string{"Agent": {"ClientSoftware"}, "ClientIp": {"ClientIP"}},
	}
}
