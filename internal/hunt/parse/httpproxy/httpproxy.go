// Package httpproxy describes the logs of the Exchange front end (Exchange 2013
// and later), one file an hour and protocol under Logging/HttpProxy/PROTOCOL.
// Input: comma-separated rows behind a '#' header and a bare header row; UTC
// times with milliseconds. Output: events of the source "httpproxy", with the
// request to the back end taken out of the routing columns.
//
// Source of the format: the column list that the files carry themselves (builds
// 15.0.516 to 15.2.1544 compared); see docs/formats/logs.md.
package httpproxy

import (
	"strconv"
	"strings"

	"postern"
	"postern/internal/hunt/parse"
)

// Name is the source of the events.
const Name = "httpproxy"

// columns are those of the builds 15.1.2375 and 15.2.1544.
const columns = "DateTime,RequestId,MajorVersion,MinorVersion,BuildVersion,RevisionVersion,ClientRequestId,Protocol,UrlHost,UrlStem,ProtocolAction,AuthenticationType,IsAuthenticated,AuthenticatedUser,Organization,AnchorMailbox,UserAgent,ClientIpAddress,ServerHostName,HttpStatus,BackEndStatus,ErrorCode,Method,ProxyAction,TargetServer,TargetServerVersion,RoutingType,RoutingHint,BackEndCookie,ServerLocatorHost,ServerLocatorLatency,RequestBytes,ResponseBytes,TargetOutstandingRequests,AuthModulePerfContext,HttpPipelineLatency,CalculateTargetBackEndLatency,GlsLatencyBreakup,TotalGlsLatency,AccountForestLatencyBreakup,TotalAccountForestLatency,ResourceForestLatencyBreakup,TotalResourceForestLatency,ADLatency,SharedCacheLatencyBreakup,TotalSharedCacheLatency,ActivityContextLifeTime,ModuleToHandlerSwitchingLatency,ClientReqStreamLatency,BackendReqInitLatency,BackendReqStreamLatency,BackendProcessingLatency,BackendRespInitLatency,BackendRespStreamLatency,ClientRespStreamLatency,KerberosAuthHeaderLatency,HandlerCompletionLatency,RequestHandlerLatency,HandlerToModuleSwitchingLatency,ProxyTime,CoreLatency,RoutingLatency,HttpProxyOverhead,TotalRequestTime,RouteRefresherLatency,UrlQuery,BackEndGenericInfo,GenericInfo,GenericErrors,EdgeTraceId,DatabaseGuid,UserADObjectGuid,PartitionEndpointLookupLatency,RoutingStatus"

// Format describes the log.
func Format() *parse.Format {
	return &parse.Format{
		Name:           Name,
		Delim:          ',',
		Time:           []string{"DateTime"},
		Host:           "ServerHostName",
		Columns:        strings.Split(columns, ","),
		Recognise:      recognise,
		Derive:         derive,
		VersionIsBuild: true,
		Late:           parse.TokenFields("UrlQuery", "UrlStem"),
		Build:          []string{"MajorVersion", "MinorVersion", "BuildVersion", "RevisionVersion"},
		Deciding: map[string][]string{
			"Url":         {"UrlStem", "UrlQuery"},
			"UrlPath":     {"UrlStem"},
			"Query":       {"UrlQuery"},
			"Arguments":   {"UrlQuery"},
			"Agent":       {"UserAgent"},
			"ClientIp":    {"ClientIpAddress"},
			"BackEndUrl":  {"AnchorMailbox", "BackEndCookie"},
			"BackEndHost": {"AnchorMailbox", "BackEndCookie"},
			"Anchor":      {"AnchorMailbox"},
			"Canary":      {"AnchorMailbox", "BackEndCookie"},
		},
	}
}

func recognise(h parse.Head) bool {
	if strings.HasPrefix(strings.ToLower(h.LogType), "httpproxy") || h.HasFields("UrlStem", "AnchorMailbox", "RoutingHint") {
		return true
	}
	// A file whose header is lost: a time, a GUID and four numbers, in the folder of these logs.
	if h.Fields != nil || h.LogType != "" || len(h.Rows) == 0 || !h.PathHas("httpproxy") {
		return false
	}
	cells := strings.SplitN(h.Rows[0], ",", 7)
	if len(cells) < 7 || len(cells[1]) != 36 {
		return false
	}
	for _, c := range cells[2:6] {
		if _, err := strconv.Atoi(c); err != nil {
			return false
		}
	}
	return true
}

// derive takes the request that was sent on to the back end out of the columns
// that name its target. "ServerInfo~HOST/PATH" and the cookie "Server~HOST/PATH~N"
// with a path in them never come from a client that behaves.
func derive(ev *postern.Event) {
	target := ev.Get("UrlStem")
	if q := ev.Get("UrlQuery"); q != "" {
		target += "?" + strings.TrimPrefix(q, "?")
	}
	parse.Add(ev,
		"Url", parse.URL(target),
		"UrlPath", parse.URL(ev.Get("UrlStem")),
		"Query", parse.Lower(parse.Decode(strings.TrimPrefix(ev.Get("UrlQuery"), "?"))),
		"Arguments", parse.Arguments(ev.Get("UrlQuery")),
		"Agent", parse.UserAgent(ev.Get("UserAgent")),
		"ClientIp", parse.Address(ev.Get("ClientIpAddress")))

	anchor := strings.TrimSpace(parse.Decode(ev.Get("AnchorMailbox")))
	parse.Add(ev, "Anchor", parse.Lower(anchor))
	for _, value := range []string{anchor, parse.Decode(ev.Get("BackEndCookie"))} {
		kind, rest, ok := strings.Cut(value, "~")
		if !ok {
			continue
		}
		kind = strings.ToLower(strings.TrimSpace(kind))
		if kind != "serverinfo" && kind != "server" {
			continue
		}
		slash := strings.IndexAny(rest, `/\`)
		if slash < 0 || kind == "server" && strings.Contains(rest[:slash], "~") { // in the time of a cookie's end
			continue
		}
		parse.Add(ev,
			"BackEndHost", parse.Lower(rest[:slash]),
			"BackEndUrl", parse.URL(rest[slash:]),
			"Canary", parse.Parameter(rest[slash:], "msExchEcpCanary"))
		return
	}
}
