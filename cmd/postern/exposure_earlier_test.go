package main

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"testing"
	"time"

	"postern/internal/exposure"
	"postern/internal/exposure/fingerprint"
)

func backwards(list []exposure.Observation) []exposure.Observation {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// TestEarlierRecords joins the records of some scans, in whatever order they are read, into
// what is known of a host.
func TestEarlierRecords(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Date(2021, 3, 2+n, 12, 0, 0, 0, time.UTC) }
	cut := "GET " + fingerprint.PathManifest[:64] // as records write it
	seen := func(on int, line string, what ...string) exposure.Observation {
		o := exposure.Observation{Outcome: exposure.Exchange, Product: "exchange-2016", Line: line, Time: day(on)}
		for _, w := range what {
			e := exposure.Evidence{Request: "GET " + fingerprint.PathLogon, Status: 200, What: w}
			switch w {
			case "manifest 15.1.2176.9":
				e.Request = cut
			case "nothing":
				e.Request, e.Status = cut, 403
			}
			o.Evidence = append(o.Evidence, e)
		}
		return o
	}
	page, tool, refused := "path 15.1.2176", "manifest 15.1.2176.9", "nothing"
	several := seen(3, "CU19", page)
	several.Members = make([]exposure.Member, 2)
	for _, c := range []struct {
		name    string
		records []exposure.Observation
		day     int // of the next scan
		hint    exposure.Hint
		line    string
		since   int
	}{
		{"one record", []exposure.Observation{seen(0, "CU19", page, tool)}, 3, exposure.HintManifest, "", 0},
		{"the last one counts", []exposure.Observation{seen(0, "CU19", page, tool), seen(3, "CU21", page, "header X-OWA-Version 15.1.2308.8")}, 6, exposure.HintNone, "", 3},
		{"a refusal", []exposure.Observation{seen(0, "CU19", page, refused)}, 3, exposure.HintNoTool, "exchange-2016 CU19", 0},
		{"holds for the scans after it, which do not ask", []exposure.Observation{seen(0, "CU19", page, refused), seen(3, "CU19", page), seen(6, "CU19", page)}, 11, exposure.HintNoTool, "exchange-2016 CU19", 6},
		{"of the line that it was of", []exposure.Observation{seen(0, "CU18", page, refused), seen(3, "CU19", page)}, 6, exposure.HintNoTool, "exchange-2016 CU18", 3},
		{"until a newer one", []exposure.Observation{seen(0, "CU18", page, refused), seen(3, "CU19", page, refused)}, 6, exposure.HintNoTool, "exchange-2016 CU19", 3},
		{"not where it is open since", []exposure.Observation{seen(0, "CU18", page, refused), seen(3, "CU19", page, tool)}, 6, exposure.HintManifest, "", 3},
		{"a month at most", []exposure.Observation{seen(0, "CU19", page, refused), seen(29, "CU19", page)}, 30, exposure.HintNone, "", 29},
		{"several front ends once", []exposure.Observation{seen(0, "CU19", page, tool), several, seen(6, "CU19", page, tool)}, 11, exposure.HintNone, "", 6},
	} {
		for _, records := range [][]exposure.Observation{c.records, backwards(c.records)} {
			e := &earlierHosts{seed: maphash.MakeSeed(), hosts: map[uint64]sighting{}}
			at := netip.MustParseAddrPort("192.0.2.1:443")
			for i := range records {
				e.add(at, &records[i], fingerprint.HintOf(&records[i]))
			}
			k := e.known(exposure.Place{Address: at.Addr(), Port: at.Port()}, day(c.day))
			if k.Hint != c.hint || k.HintLine != c.line || !k.Since.Equal(day(c.since)) {
				t.Errorf("%s: hint %d of %q since %s, want %d of %q since %s", c.name, k.Hint, k.HintLine, k.Since, c.hint, c.line, day(c.since))
			}
			if k := e.known(exposure.Place{Address: at.Addr(), Port: 8443}, day(c.day)); !k.Since.IsZero() || k.Hint != exposure.HintNone {
				t.Errorf("%s: another port is known too", c.name)
			}
		}
	}
}
