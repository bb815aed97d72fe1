package targets

import (
	"bytes"
	"html"
	"strings"

	"postern/internal/exposure"
)

// xml reads "masscan -oX" and nmap's XML: open TCP ports of hosts, in whatever way
// the elements are spread over lines. It looks at start tags and their attributes
// and at nothing between them, so that a file that breaks off gives what it has.
type xml struct {
	host  string
	name  string
	port  string
	ports int // given of this host
}

func (l *reader) xml() row {
	var x xml
	return func(line []byte) {
		for rest := line; !l.stop; {
			_, after, ok := bytes.Cut(rest, []byte("<"))
			if !ok {
				return
			}
			tag, after, ok := bytes.Cut(after, []byte(">"))
			if !ok {
				l.bad(string(tag))
				return
			}
			rest = after
			l.tag(&x, string(tag))
		}
	}
}

func (l *reader) tag(x *xml, tag string) {
	name, attributes, _ := strings.Cut(strings.TrimSuffix(tag, "/"), " ")
	switch name {
	case "host":
		*x = xml{}
	case "address":
		if kind := attribute(attributes, "addrtype"); kind == "ipv4" || kind == "ipv6" {
			x.host = attribute(attributes, "addr")
		}
	case "hostname":
		if attribute(attributes, "type") == "user" { // the name that was scanned, not what the address is called
			x.name, _ = parseName(attribute(attributes, "name"))
		}
	case "port":
		x.port = ""
		if attribute(attributes, "protocol") == "tcp" {
			x.port = attribute(attributes, "portid")
		}
	case "state":
		if x.port == "" || attribute(attributes, "state") != "open" {
			return
		}
		if x.ports++; x.ports > maxPorts {
			if x.ports == maxPorts+1 {
				l.many(x.host)
			}
			return
		}
		l.hostPort(x.host, x.port, &exposure.Target{Name: x.name})
	}
}

// attribute gives the value of an attribute of a tag.
func attribute(attributes, name string) string {
	for rest := " " + attributes; ; {
		_, after, ok := strings.Cut(rest, " "+name+"=")
		if !ok || after == "" {
			return ""
		}
		if quote := after[:1]; quote == `"` || quote == "'" {
			value, _, _ := strings.Cut(after[1:], quote)
			return html.UnescapeString(value)
		}
		rest = after
	}
}

// grepable reads "masscan -oG" and nmap's: "Host: 192.0.2.1 (mail.alpha.example)
// Ports: 443/open/tcp//https//". It is false for lines of another form.
func (l *reader) grepable(line string) bool {
	at := strings.Index(line, "Host: ")
	if at != 0 && !strings.HasPrefix(line, "Timestamp: ") || at < 0 {
		return false
	}
	host, rest, _ := strings.Cut(line[at+len("Host: "):], " ")
	name, rest, _ := strings.Cut(strings.TrimPrefix(rest, "("), ")")
	_, ports, ok := strings.Cut(rest, "Ports: ")
	if !ok {
		return true // says that the host is up and no more
	}
	ports, _, _ = strings.Cut(ports, "\t")
	name, _ = parseName(name)
	given := 0
	for port := range strings.SplitSeq(ports, ",") {
		if part := strings.Split(strings.TrimSpace(port), "/"); len(part) > 2 && part[1] == "open" && part[2] == "tcp" {
			if given++; given > maxPorts {
				l.many(host)
				break
			}
			l.hostPort(host, part[0], &exposure.Target{Name: name})
		}
	}
	return true
}
