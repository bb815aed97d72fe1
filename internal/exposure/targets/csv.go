package targets

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"postern/internal/exposure"
)

// maxColumns bounds the columns of a table; Shadowserver's widest reports have about 100.
const maxColumns = 512

// maxFolded bounds the lines that one quoted field may run over: Shodan's tables hold
// whole banners.
const maxFolded = 2000

// columns says where the facts stand in a table; -1 is nowhere.
type columns struct{ address, port, name, asn, country, sector int }

// header reads the first line of a table: zmap's, Shadowserver's, Shodan's, Censys's
// or any other with a column for the address. Nil if it is none.
func header(line []byte) *columns {
	fields, open := fieldsOf(string(line))
	if open || len(fields) > maxColumns {
		return nil
	}
	c := &columns{-1, -1, -1, -1, -1, -1}
	first := func(at *int, i int) {
		if *at < 0 {
			*at = i
		}
	}
	for i, f := range fields {
		switch strings.ToLower(strings.TrimSpace(f)) {
		case "saddr", "ip", "ip_str", "ip_address", "ipaddress", "address", "src_ip", "host.ip":
			first(&c.address, i)
		case "sport", "port", "src_port", "services.port", "host.services.port":
			first(&c.port, i)
		case "hostname", "hostnames", "host", "domain", "dns.names", "host.dns.names", "name":
			first(&c.name, i)
		case "asn", "as", "autonomous_system.asn", "host.autonomous_system.asn", "src_asn":
			first(&c.asn, i)
		case "geo", "country", "country_code", "location.country_code", "host.location.country_code", "src_geo", "location.country code":
			first(&c.country, i)
		case "sector", "src_sector":
			first(&c.sector, i)
		}
	}
	if c.address < 0 {
		return nil
	}
	return c
}

// csv reads the rows of a table. The first call is with the header.
func (l *reader) csv(c *columns) row {
	head := true
	var folded []byte // a row whose quoted field is still open
	lines, width := 0, 0
	return func(line []byte) {
		if head {
			head = false
			fields, _ := fieldsOf(string(line))
			width = len(fields)
			return
		}
		if lines > 0 && l.isRow(c, width, line) {
			// A row of its own: the one before had a quote too many.
			l.bad(string(folded))
			folded, lines = folded[:0], 0
		}
		if lines > 0 {
			folded = append(folded, '\n')
		}
		folded = append(folded, line...)
		lines++
		quotes := bytes.Count(line, []byte(`"`)) % 2
		if first := lines == 1; first && quotes == 1 || !first && quotes == 0 {
			if lines < maxFolded && len(folded) < maxLine/4 {
				return
			}
		}
		text := string(folded)
		folded, lines = folded[:0], 0
		fields, open := fieldsOf(text)
		if open {
			l.bad(text)
			return
		}
		field := func(i int) string {
			if i < 0 || i >= len(fields) {
				return ""
			}
			return strings.TrimSpace(fields[i])
		}
		address := field(c.address)
		if address == "" {
			l.bad(text)
			return
		}
		more := exposure.Target{Country: word(field(c.country)), Sector: word(field(c.sector)), ASN: asNumber(field(c.asn)), Name: firstName(field(c.name))}
		// Several ports of one host stand in one field.
		ports := strings.FieldsFunc(field(c.port), func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '|' })
		if len(ports) == 0 {
			ports = []string{""}
		}
		if len(ports) > maxPorts {
			l.many(address)
		}
		for _, p := range ports[:min(len(ports), maxPorts)] {
			l.hostPort(address, p, &more)
		}
	}
}

// fieldsOf reads a line of a table. Open says that a quoted field has no end yet.
func fieldsOf(s string) (fields []string, open bool) {
	for len(fields) < maxColumns {
		quoted, ok := strings.CutPrefix(s, `"`)
		if !ok {
			field, rest, more := strings.Cut(s, ",")
			fields = append(fields, field)
			if !more {
				return fields, false
			}
			s = rest
			continue
		}
		var b strings.Builder
		for {
			i := strings.IndexByte(quoted, '"')
			if i < 0 {
				return fields, true
			}
			b.WriteString(quoted[:i])
			quoted = quoted[i+1:]
			if !strings.HasPrefix(quoted, `"`) {
				break
			}
			b.WriteByte('"')
			quoted = quoted[1:]
		}
		fields = append(fields, b.String())
		_, rest, more := strings.Cut(quoted, ",")
		if !more {
			return fields, false
		}
		s = rest
	}
	return fields, false
}

// asNumber reads "AS64496" or "64496".
func asNumber(s string) uint32 {
	if len(s) > 2 && strings.EqualFold(s[:2], "as") {
		s = s[2:]
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// firstName gives the first host name of a field that may hold several.
func firstName(s string) string {
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '|' || r == '\n' }) {
		if name, ok := parseName(f); ok && !digitsAndDots(name) && strings.Contains(name, ".") {
			return name
		}
	}
	return ""
}

// isRow says whether a line is a whole row by itself.
func (l *reader) isRow(c *columns, width int, line []byte) bool {
	fields, open := fieldsOf(string(line))
	if open || len(fields) != width {
		return false
	}
	_, err := netip.ParseAddr(strings.TrimSpace(fields[c.address]))
	return err == nil
}

// word gives a short label of an export, "" if it is none.
func word(s string) string {
	const most = 40
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return ""
	}
	return s
}
