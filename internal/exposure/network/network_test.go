package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

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
