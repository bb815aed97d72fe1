package exercise

import (
	"path"
	"strings"
)

// openStreams makes the logs of the host, none of them open yet.
func (h *host) openStreams() {
	logging := path.Join(h.exchange(), "Logging")
	add := func(s *stream) *stream {
		s.h, s.keepFrom = h, h.from
		c := h.covers[s.source]
		if c == nil {
			c = &cover{hours: make([]bool, (h.to-h.from)/hour)}
			h.covers[s.source] = c
		}
		s.cover = c
		s.unusual = func(at int64) (layout, bool) {
			if !h.odd[s.dir][at/s.period] {
				return layout{}, false
			}
			delim, keep := ",", 0
			if s.source == "iis" {
				delim, keep = " ", 2
			} else if s.source == "ecp-server" {
				keep = 1
			}
			return s.layout.shuffled(newChance(h.o.Seed, "columns", h.name, s.dir, instant(at/s.period*s.period).String()), delim, keep), true
		}
		h.streams = append(h.streams, s)
		return s
	}
	exchange := func(source, dir, prefix, logType string, l layout) *stream {
		return add(&stream{
			source: source, dir: path.Join(logging, dir), period: hour, limit: rollSize, mark: true, layout: l,
			name: hourly(prefix), head: exchangeHead(logType, "", true),
		})
	}
	daily := func(source, dir, prefix, logType, fields string) *stream {
		return add(&stream{
			source: source, dir: path.Join(logging, dir), period: day, limit: rollSize, mark: true, layout: layout{fields: fields},
			name: dailyName(prefix), head: exchangeHead(logType, "15.0.0.0", false),
		})
	}

	for p, name := range protocols {
		h.proxy[p] = exchange("httpproxy", "HttpProxy/"+name, "HttpProxy_", "HttpProxy Logs", proxyLayout(h.before.parts))
	}
	h.ews = exchange("ews", "Ews", "Ews_", "EWS Logs", layout{fields: ewsColumns})
	h.mapi = exchange("mapihttp", "MapiHttp/Mailbox", "MapiHttp_", "MapiHttp Logs", layout{fields: mapiColumns})
	h.autodiscover = exchange("autodiscover", "Autodiscover", "Autodiscover_", "Autodiscover Logs", layout{fields: autodiscoverColumns})
	h.rpsHTTP = exchange("rps-http", "CmdletInfra/Powershell-Proxy/Http", "Rps_Http_", "Rps Http Logs", layout{fields: rpsHTTPColumns})
	h.rpsCmdlet = exchange("rps-cmdlet", "CmdletInfra/Powershell-Proxy/Cmdlet", "Rps_Cmdlet_", "Rps Cmdlet Logs", layout{fields: rpsCmdletColumns})
	h.ecpServer = daily("ecp-server", "ECP/Server", "ECPServer", "ECP Server Log", ecpColumns)
	h.ecpActivity = daily("ecp-activity", "ECP/Activity", "", "ECP Activity Context Log", ecpColumns)
	h.ecpActivity.renew = true
	h.ecpActivity.name = func(b []byte, at int64, number int) []byte {
		b = num(append(b, "ECPActivity_"...), h.processID(at))
		return dailyName("_")(b, at, number)
	}
	// The columns of this log are not published.
	h.oabLog = daily("oabgenerator", "OABGeneratorLog", "OABGeneratorLog", "OAB Generator Log", "TimeStamp,ThreadId,Component,Message")

	iis := func(site string) *stream {
		return add(&stream{
			source: "iis", dir: "C/inetpub/logs/LogFiles/" + site, period: day, layout: h.fields,
			name: func(b []byte, at int64, number int) []byte {
				b = instant(at).AppendFormat(append(b, "u_ex"...), "060102")
				return append(b, ".log"...)
			},
			head: iisHead,
		})
	}
	h.front, h.back = iis("W3SVC1"), iis("W3SVC2")
}

// exchange is the install folder of Exchange below the host's folder.
func (h *host) exchange() string {
	return h.drive + "/" + strings.ReplaceAll(strings.TrimPrefix(h.install, h.drive+`:\`), `\`, "/")
}

// processID is that of the worker process of the control panel, which changes with each restart.
func (h *host) processID(at int64) int { return 4000 + 4*(int(h.from/day)%97+331*h.epoch(at)) }

func hourly(prefix string) func([]byte, int64, int) []byte {
	return func(b []byte, at int64, number int) []byte {
		b = instant(at).AppendFormat(append(b, prefix...), "2006010215")
		return append(num(append(b, '-'), number), ".LOG"...)
	}
}

func dailyName(prefix string) func([]byte, int64, int) []byte {
	return func(b []byte, at int64, number int) []byte {
		b = instant(at).AppendFormat(append(b, prefix...), "20060102")
		return append(num(append(b, '-'), number), ".LOG"...)
	}
}

// exchangeHead writes the header block of Exchange's logs. Most also have a bare
// row of column names, which Exchange 2013 writes before everything else.
func exchangeHead(logType, version string, bare bool) func(*stream, []byte, int64) []byte {
	return func(s *stream, b []byte, at int64) []byte {
		bareRow := func() {
			if bare {
				b = append(append(b, s.columns.fields...), "\r\n"...)
			}
		}
		first := s.h.before.parts[1] == 0
		if first {
			bareRow()
		}
		b = append(b, "#Software: Microsoft Exchange Server\r\n#Version: "...)
		if version != "" {
			b = append(b, version...)
		} else {
			b = append(b, s.h.versionAt(at).padded...)
		}
		b = append(append(b, "\r\n#Log-type: "...), logType...)
		b = s.h.cal.stamp(append(b, "\r\n#Date: "...), at)
		b = append(append(b, "\r\n#Fields: "...), s.columns.fields...)
		b = append(b, "\r\n"...)
		if !first {
			bareRow()
		}
		return b
	}
}

func iisHead(s *stream, b []byte, at int64) []byte {
	b = append(b, "#Software: Microsoft Internet Information Services "...)
	b = append(num(b, s.h.windows/10), '.', byte('0'+s.h.windows%10))
	b = s.h.cal.w3c(append(b, "\r\n#Version: 1.0\r\n#Date: "...), at)
	b = append(append(b, "\r\n#Fields: "...), s.columns.fields...)
	return append(b, "\r\n"...)
}

// orderAt gives the order of columns in the file that a row of this time goes to.
func (s *stream) orderAt(at int64) []int {
	if at < s.keepFrom || at >= s.h.to {
		return s.layout.order
	}
	s.ready(at)
	return s.columns.order
}
