// Package ews describes the logs of Exchange Web Services' back end under
// Logging/Ews. Input: comma-separated rows whose bare header row may come before
// the '#' lines; UTC. Output: events of the source "ews".
//
// Source of the format: the files' own headers (15.0.1104, 15.1.2375); see docs/formats/logs.md.
package ews

import (
	"strings"

	"postern"
	"postern/internal/hunt/parse"
)

// Name is the source of the events.
const Name = "ews"

const columns = "DateTime,RequestId,MajorVersion,MinorVersion,BuildVersion,RevisionVersion,Ring,ClientRequestId,AuthenticationType,IsAuthenticated,AuthenticatedUser,Organization,UserAgent,VersionInfo,ClientIpAddress,ServerHostName,FrontEndServer,SoapAction,HttpStatus,RequestSize,ResponseSize,ErrorCode,ImpersonatedUser,ProxyAsUser,ActAsUser,Cookie,CorrelationGuid,PrimaryOrProxyServer,TaskType,RemoteBackendCount,LocalMailboxCount"

// Format describes the log.
func Format() *parse.Format {
	return &parse.Format{
		Name: Name, Delim: ',', Time: []string{"DateTime"}, Host: "ServerHostName",
		Columns:        strings.Split(columns, ","),
		VersionIsBuild: true,
		Recognise:      func(h parse.Head) bool { return h.HasFields("SoapAction", "AuthenticatedUser") },
		Derive: func(ev *postern.Event) {
			parse.Add(ev, "Agent", parse.UserAgent(ev.Get("UserAgent")), "ClientIp", parse.Address(ev.Get("ClientIpAddress")))
		},
		Deciding: map[string][]string{"Agent": {"UserAgent"}, "ClientIp": {"ClientIpAddress"}},
	}
}
