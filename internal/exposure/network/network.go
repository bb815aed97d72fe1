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

// facts is what the usual databases call what we want to know.
type facts struct {
	Number  uint32 `maxminddb:"autonomous_system_number"`
	ASN     string `maxminddb:"asn"`
	Code    string `maxminddb:"country_code"`
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
}

// Lookup gives the AS number and the country of an address, 0 and "" where nobody
// knows. A database that is damaged knows nothing.
func (d *Databases) Lookup(a netip.Addr) (asn uint32, country string) {
	for _, r := range d.list {
		var f facts
		// Fields of another type fail alone, so what was read before them counts.
		_ = r.Lookup(a).Decode(&f)
		if asn == 0 {
			asn = f.Number
		}
		if n, err := strconv.ParseUint(strings.TrimPrefix(f.ASN, "AS"), 10, 32); asn == 0 && err == nil {
			asn = uint32(n)
		}
		for _, code := range []string{f.Country.Code, f.Code} {
			if country == "" && len(code) == 2 {
				country = strings.ToUpper(code)
			}
		}
	}
	return asn, country
}

// ASN gives the AS number alone.
func (d *Databases) ASN(a netip.Addr) uint32 {
	asn, _ := d.Lookup(a)
	return asn
}
