// Package cmdletinfra describes the logs of remote PowerShell under
// Logging/CmdletInfra: Rps_Cmdlet (each cmdlet with its parameters) and Rps_Http
// (each request to the PowerShell virtual directory). Input: comma-separated rows
// behind a header; UTC. Output: events of the sources "rps-cmdlet" and "rps-http".
//
// Source of the format: the files' own headers; see docs/formats/logs.md.
package cmdletinfra

import (
	"strings"

	"postern"
	"postern/internal/hunt/parse"
)

// Names of the two sources of events.
const (
	Cmdlet = "rps-cmdlet"
	HTTP   = "rps-http"
)

const cmdletColumns = "DateTime,StartTime,RequestId,ClientRequestId,MajorVersion,MinorVersion,BuildVersion,RevisionVersion,ServerHostName,ProcessId,ProcessName,ThreadId,CultureInfo,Organization,AuthenticatedUser,ExecutingUserSid,EffectiveOrganization,UserServicePlan,IsAdmin,ClientApplication,Cmdlet,Parameters,CmdletUniqueId"

const httpColumns = "DateTime,StartTime,RequestId,MajorVersion,MinorVersion,BuildVersion,RevisionVersion,ClientRequestId,UrlHost,UrlStem,AuthenticationType,IsAuthenticated,AuthenticatedUser,Organization,ManagedOrganization,ClientIpAddress,ServerHostName,FrontEndServer,HttpStatus,SubStatus,ErrorCode,Action,CommandId,CommandName,SessionId,ShellId,FailFast,ContributeToFailFast,RequestBytes,ClientInfo,CPU,Memory,ActivityContextLifeTime,TotalTime,UrlQuery,GenericLatency,GenericInfo,GenericErrors"

// Formats describes both logs.
func Formats() []*parse.Format {
	return []*parse.Format{
		{
			Name: Cmdlet, Delim: ',', Time: []string{"DateTime"}, Host: "ServerHostName",
			Columns:        strings.Split(cmdletColumns, ","),
			VersionIsBuild: true,
			Recognise:      func(h parse.Head) bool { return h.HasFields("Cmdlet", "Parameters", "ProcessName") },
			Derive: func(ev *postern.Event) {
				parse.Add(ev,
					"CmdName", parse.Lower(strings.TrimSpace(ev.Get("Cmdlet"))),
					"Command", parse.Lower(parse.Decode(ev.Get("Cmdlet")+" "+ev.Get("Parameters"))))
			},
			Deciding: map[string][]string{"CmdName": {"Cmdlet"}, "Command": {"Cmdlet", "Parameters"}},
		},
		{
			Name: HTTP, Delim: ',', Time: []string{"DateTime"}, Host: "ServerHostName",
			Columns:        strings.Split(httpColumns, ","),
			VersionIsBuild: true,
			Recognise:      func(h parse.Head) bool { return h.HasFields("UrlStem", "ShellId", "ClientInfo") },
			Derive: func(ev *postern.Event) {
				target := ev.Get("UrlStem")
				if q := ev.Get("UrlQuery"); q != "" {
					target += "?" + strings.TrimPrefix(q, "?")
				}
				parse.Add(ev, "Url", parse.URL(target), "Client", parse.UserAgent(ev.Get("ClientInfo")), "ClientIp", parse.Address(ev.Get("ClientIpAddress")))
			},
			Late:     parse.TokenFields("UrlQuery"),
			Deciding: map[string][]string{"Url": {"UrlStem", "UrlQuery"}, "Client": {"ClientInfo"}, "ClientIp": {"ClientIpAddress"}},
		},
	}
}
