// Package autodiscover describes the logs of the Autodiscover back end under
// Logging/Autodiscover. Their columns are not published: the file's own header
// names them. Input: comma-separated rows; UTC. Output: events of the source
// "autodiscover".
//
// Source: see docs/formats/logs.md, which says what is not known.
package autodiscover

import (
	"strings"

	"postern"
	"postern/internal/hunt/parse"
)

// Name is the source of the events.
const Name = "autodiscover"

// Format describes the log.
func Format() *parse.Format {
	return &parse.Format{
		Name: Name, Delim: ',', Time: []string{"DateTime"}, Host: "ServerHostName",
		VersionIsBuild: true,
		Recognise: func(h parse.Head) bool {
			return strings.HasPrefix(strings.ToLower(h.LogType), "autodiscover") ||
				h.PathHas("/autodiscover/") && !h.PathHas("httpproxy") && h.HasFields("DateTime", "UserAgent")
		},
		Derive: func(ev *postern.Event) {
			parse.Add(ev, "Agent", parse.UserAgent(ev.Get("UserAgent")), "ClientIp", parse.Address(ev.Get("ClientIpAddress")))
		},
		Deciding: map[string][]string{"Agent": {"UserAgent"}, "ClientIp": {"ClientIpAddress"}},
	}
}
