// Package iis describes the W3C extended logs of Internet Information Services.
// Input: space-separated rows behind "#Fields:", '-' for an absent value, '+' for
// a space in a value, UTC. Output: events of the source "iis".
//
// Source of the format: W3C Extended Log File Format (working draft WD-logfile)
// and the fields that IIS 6 to 10 offer; see docs/formats/logs.md.
package iis

import (
	"cmp"
	"strings"

	"postern"
	"postern/internal/hunt/parse"
)

// Name is the source of the events.
const Name = "iis"

const columns = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken"

// Format describes the log.
func Format() *parse.Format {
	return &parse.Format{
		Name:      Name,
		Delim:     ' ',
		Time:      []string{"date", "time"},
		Host:      "s-computername",
		Columns:   strings.Split(columns, " "),
		Recognise: recognise,
		Derive:    derive,
		Deciding: map[string][]string{
			"Url":       {"cs-uri-stem", "cs-uri-query"},
			"UrlPath":   {"cs-uri-stem"},
			"Query":     {"cs-uri-query"},
			"Arguments": {"cs-uri-query"},
			"Agent":     {"cs(User-Agent)"},
			"ClientIp":  {"c-ip", "X-Forwarded-For"}, // what s-ip takes away decides nothing
			"RequestId": {"cs-uri-query"},
			"Canary":    {"cs-uri-query"},
		},
		Late: parse.TokenFields("cs-uri-query", "cs-uri-stem"),
		Aliases: map[string]string{
			"cs-user-agent": "cs(User-Agent)", "c-useragent": "cs(User-Agent)",
			"cs-referer": "cs(Referer)", "cs-referrer": "cs(Referer)",
			"cs-cookie": "cs(Cookie)", "c-uri": "Url", "cs-uri": "Url",
			"c-uri-stem": "cs-uri-stem", "c-uri-query": "cs-uri-query",
			"c-method": "cs-method", "src_ip": "c-ip",
		},
	}
}

func recognise(h parse.Head) bool {
	if h.HasFields("cs-uri-stem") && (h.HasFields("time") || h.HasFields("date")) {
		return true
	}
	if strings.Contains(h.Software, "Internet Information Services") {
		return true
	}
	// A file whose header is lost: the default columns.
	if h.Fields != nil || h.LogType != "" || len(h.Rows) == 0 {
		return false
	}
	cells := strings.Split(h.Rows[0], " ")
	return len(cells) >= 14 && len(cells[0]) == 10 && len(cells[1]) == 8 && strings.HasPrefix(cells[4], "/")
}

func derive(ev *postern.Event) {
	value := func(name string) string {
		if v := ev.Get(name); v != "-" {
			return v
		}
		return ""
	}
	stem, query := value("cs-uri-stem"), value("cs-uri-query")
	target := stem
	if query != "" {
		target += "?" + query
	}
	// Behind a load balancer c-ip is its address in every row. What the server asks
	// itself has no client: nobody may take its own address for somebody's.
	client := parse.Address(value("c-ip"))
	if client == parse.Address(value("s-ip")) {
		client = ""
	}
	client = cmp.Or(parse.Address(value("X-Forwarded-For")), client)
	parse.Add(ev,
		"Url", parse.URL(target),
		"UrlPath", parse.URL(stem),
		"Query", parse.Lower(parse.Decode(query)),
		"Arguments", parse.Arguments(query),
		"Agent", parse.UserAgent(value("cs(User-Agent)")),
		"ClientIp", client,
		"RequestId", requestID(query),
		"Canary", parse.Parameter("?"+parse.Decode(query), "msExchEcpCanary"))
}

// requestID gives the identifier that the front end appends to the query of every
// request: the last one, as a client may have put one of its own before it.
func requestID(query string) string {
	i := strings.LastIndex(strings.ToLower(query), "cafereqid=")
	if i < 0 {
		return ""
	}
	return parse.Parameter("?"+query[i:], "cafeReqId")
}
