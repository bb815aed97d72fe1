package main

import (
	"bytes"
	"encoding/csv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern"
	"postern/internal/exposure"
)

// exposureCSV writes records as a table; the first row is preceded by the header.
type exposureCSV struct{ begun bool }

var exposureColumns = []string{"target", "address", "port", "name", "time", "outcome", "product", "line", "build", "low", "high",
	"fixed", "unfixed", "undecidable", "other", "host", "frontend", "fqdn", "tls", "flags", "requests", "bytes", "asn", "country", "sector", "scope", "reason"}

// row gives the line of one record.
func (c *exposureCSV) row(o *exposure.Observation) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if !c.begun {
		c.begun = true
		_ = w.Write(exposureColumns) // a buffer takes everything
	}
	by := map[string][]string{}
	for _, e := range sortedAssessments(o) {
		by[e.column] = append(by[e.column], e.cve)
	}
	flags := make([]string, len(o.Flags))
	for i, f := range o.Flags {
		flags[i] = string(f)
	}
	fields := []string{o.Target, o.Address, strconv.Itoa(o.Port), o.Name, o.Time.UTC().Format(time.RFC3339), string(o.Outcome), o.Product, o.Line,
		o.Build.Exact.String(), o.Build.Low.String(), o.Build.High.String(),
		strings.Join(by["fixed"], " "), strings.Join(by["unfixed"], " "), strings.Join(by["undecidable"], " "), strings.Join(by["other"], " "),
		o.Identity.Host, o.Identity.Frontend, o.Identity.FQDN, o.TLS.Version, strings.Join(flags, " "),
		strconv.Itoa(o.Requests), strconv.FormatInt(o.Bytes, 10), number(o.ASN), o.Country, o.Sector, o.Scope, o.Reason}
	for i := range fields {
		fields[i] = safeCell(fields[i])
	}
	_ = w.Write(fields)
	w.Flush()
	return b.Bytes()
}

func number(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

// safeCell keeps a spreadsheet from taking text for a formula, and control characters
// out of the file.
func safeCell(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

// decided is one CVE and the column that it stands in.
type decided struct{ cve, column string }

// sortedAssessments gives the assessments in the order of the CVEs.
func sortedAssessments(o *exposure.Observation) []decided {
	var list []decided
	for _, cve := range slices.Sorted(maps.Keys(o.Assessed)) {
		column := "other"
		switch o.Assessed[cve] {
		case postern.Fixed:
			column = "fixed"
		case postern.Unfixed, postern.UnfixedOrMitigated, postern.NoFixForLine:
			column = "unfixed"
		case postern.Undecidable:
			column = "undecidable"
		}
		list = append(list, decided{cve, column})
	}
	return list
}
