// Package network says whose network an address belongs to.
//
// Input: MMDB databases that the operator supplies (GeoLite2 ASN and Country, IPinfo,
// DB-IP and others of the same field names); the program ships none. Output: AS
// number and country code. Such databases are guesses of others: they steer pacing
// and opt-outs by AS and stand in the record, they decide nothing about a build.
package network

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Databases are asked in their order; the first that knows a fact gives it. They are
// safe for use by several goroutines.
type Databases struct{ list []*maxminddb.Reader }

// Open opens database files.
func Open(names []string) (*Databases, error) {
	d := &Databases{}
	for _, n := range names {
		r, err := maxminddb.Open(n)
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.list = append(d.list, r)
	}
	return d, nil
}

// Close closes the files.
func (d *Databases) Close() error {
	var errs []error
	for _, r := range d.list {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

// Lookup gives the AS number and the country of an address, 0 and "" where nobody
// knows. A database that is damaged knows nothing.
func (d *Databases) Lookup(a netip.Addr) (asn uint32, country string) {
	for _, r := range d.list {
		at := r.Lookup(a)
		if !at.Found() {
			continue
		}
		if asn == 0 {
			asn = number(at)
		}
		// Each by itself: the same name is a table in one database and a text in another.
		for _, path := range [][]any{{"country", "iso_code"}, {"country_code"}, {"country"}} {
			var code string
			if country == "" && at.DecodePath(&code, path...) == nil && len(code) == 2 {
				country = strings.ToUpper(code)
			}
		}
	}
	return asn, country
}

// number gives the AS number of an entry, as a number or as "AS64496".
func number(at maxminddb.Result) uint32 {
	var n uint32
	if at.DecodePath(&n, "autonomous_system_number") == nil && n != 0 {
		return n
	}
	var text string
	if at.DecodePath(&text, "asn") != nil {
		return 0
	}
	parsed, err := strconv.ParseUint(strings.TrimPrefix(text, "AS"), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(parsed)
}

// ASN gives the AS number alone.
func (d *Databases) ASN(a netip.Addr) uint32 {
	for _, r := range d.list {
		if n := number(r.Lookup(a)); n != 0 {
			return n
		}
	}
	return 0
}
