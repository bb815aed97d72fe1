package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Values of an MMDB file, as its format description writes them: a control byte with
// type and size, then the bytes.
func text(s string) []byte { return append([]byte{0x40 | byte(len(s))}, s...) }

func table(fields ...[]byte) []byte {
	return append([]byte{0xe0 | byte(len(fields)/2)}, slices.Concat(fields...)...)
}

func integer(n uint32) []byte {
	return []byte{0xc4, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// database is a file that knows one thing about 128.0.0.0/1 and nothing about the rest.
func database(t *testing.T, entry []byte) string {
	t.Helper()
	tree := []byte{0, 0, 1, 0, 0, 1 + 16} // one node: nothing on the left, the first data on the right
	about := table(text("node_count"), integer(1), text("record_size"), integer(24), text("ip_version"), integer(4),
		text("database_type"), text("test"), text("binary_format_major_version"), integer(2), text("binary_format_minor_version"), integer(0),
		text("build_epoch"), integer(1), text("languages"), []byte{0x00, 0x04}, text("description"), table())
	b := slices.Concat(tree, make([]byte, 16), entry, []byte("\xab\xcd\xefMaxMind.com"), about)
	name := filepath.Join(t.TempDir(), "x.mmdb")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		entries [][]byte
		asn     uint32
		country string
	}{
		{"GeoLite2", [][]byte{table(text("autonomous_system_number"), integer(64496)), table(text("country"), table(text("iso_code"), text("NL")))}, 64496, "NL"},
		{"one file of texts", [][]byte{table(text("asn"), text("AS64497"), text("country"), text("de"))}, 64497, "DE"},
		{"country as a code", [][]byte{table(text("country_code"), text("ES"), text("asn"), text("none"))}, 0, "ES"},
		{"the first wins", [][]byte{table(text("asn"), text("AS1")), table(text("asn"), text("AS2"))}, 1, ""},
		{"other types", [][]byte{table(text("asn"), integer(5), text("country"), integer(6), text("autonomous_system_number"), text("x"))}, 0, ""},
	} {
		var names []string
		for _, e := range c.entries {
			names = append(names, database(t, e))
		}
		d, err := Open(names)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		asn, country := d.Lookup(netip.MustParseAddr("192.0.2.1"))
		if asn != c.asn || country != c.country || d.ASN(netip.MustParseAddr("192.0.2.1")) != c.asn {
			t.Errorf("%s: AS%d %q, want AS%d %q", c.name, asn, country, c.asn, c.country)
		}
		if asn, country := d.Lookup(netip.MustParseAddr("10.0.0.1")); asn != 0 || country != "" {
			t.Errorf("%s: an unknown address is in AS%d %q", c.name, asn, country)
		}
		if asn, _ := d.Lookup(netip.MustParseAddr("2001:db8::1")); asn != 0 {
			t.Errorf("%s: IPv6 in a database of IPv4 is in AS%d", c.name, asn)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWithoutDatabases(t *testing.T) {
	t.Parallel()
	d, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	if asn, country := d.Lookup(netip.MustParseAddr("192.0.2.1")); asn != 0 || country != "" {
		t.Errorf("AS%d %q", asn, country)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestDamagedFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "x.mmdb")
	if err := os.WriteFile(name, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open([]string{name}); err == nil {
		t.Error("opened")
	}
	if _, err := Open([]string{name + ".not"}); err == nil {
		t.Error("opened a file that is not there")
	}
}
