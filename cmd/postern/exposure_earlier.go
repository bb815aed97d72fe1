package main

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"os"
	"time"

	"postern/internal/exposure"
	"postern/internal/exposure/assess"
	"postern/internal/exposure/fingerprint"
	"postern/internal/exposure/probe"
)

// refusalHolds is how long nobody asks again for the manifest where it was refused: a
// place that is opened to strangers is found within a month, and a scan each week asks
// every fifth time.
const refusalHolds = 30 * 24 * time.Hour

// earlierHosts is when an Exchange was last seen at a place, and where it showed its
// build: some twenty bytes for each.
type earlierHosts struct {
	seed  maphash.Seed
	hosts map[uint64]sighting
	lines []string // named by their number, as fingerprint.LineOf writes them
	bad   int64    // lines of the files that were no records
}

// sighting is what all records of one place come to. Times are minutes since 1970.
type sighting struct {
	seen    uint32 // when an Exchange was last seen
	refused uint32 // when the manifest was last refused, 0 if never
	line    uint16 // of the host then
	hint    exposure.Hint
	several bool // more than one front end answered once
}

func minutes(t time.Time) uint32 { return uint32(t.Unix() / 60) }

// add takes a record of an Exchange, in whatever order they come. Where to begin is what the
// last one says. A refusal is remembered beside it, because the scans after it do not ask.
func (e *earlierHosts) add(at netip.AddrPort, o *exposure.Observation, hint exposure.Hint) {
	k, seen := maphash.Comparable(e.seed, at), minutes(o.Time)
	s := e.hosts[k]
	s.several = s.several || len(o.Members) > 0
	if hint == exposure.HintNoTool {
		if hint = exposure.HintNone; seen >= s.refused {
			s.refused, s.line = seen, e.number(fingerprint.LineOf(o))
		}
	}
	if seen >= s.seen {
		s.seen, s.hint = seen, hint
	}
	e.hosts[k] = s
}

// number gives the number of a line. There are some seventy of them; what a file names
// beyond the bound counts as none that is known.
func (e *earlierHosts) number(line string) uint16 {
	const most = 1 << 10
	for i, l := range e.lines {
		if l == line {
			return uint16(i)
		}
	}
	if len(e.lines) == most {
		return most
	}
	e.lines = append(e.lines, line)
	return uint16(len(e.lines) - 1)
}

// known gives what is known of a place before it is visited at a time. Where several front
// ends answered once, nothing is left out: a shorter look sees fewer of them.
func (e *earlierHosts) known(p exposure.Place, now time.Time) probe.Known {
	k := probe.Known{Network: networkOf(p.ASN)}
	s, ok := e.hosts[maphash.Comparable(e.seed, p.AddrPort())]
	if !ok {
		return k
	}
	k.Since = time.Unix(int64(s.seen)*60, 0).UTC()
	switch {
	case s.several:
	case s.hint != exposure.HintNone:
		k.Hint = s.hint
	case s.refused > 0 && minutes(now)-s.refused < uint32(refusalHolds.Minutes()) && int(s.line) < len(e.lines):
		k.Hint, k.HintLine = exposure.HintNoTool, e.lines[s.line]
	}
	return k
}

// readEarlier reads records of earlier scans, and tells of lines that are none: a host that is
// left out with them may be shut away without anybody noticing. Without hints the login page is
// asked for first wherever it is known to tell less, as one question needs the page.
func (a *app) readEarlier(names []string, hints bool) (*earlierHosts, error) {
	var report assess.Report
	earlier := &earlierHosts{seed: maphash.MakeSeed(), hosts: map[uint64]sighting{}}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, failed(err, "cmd.open", "file", name)
		}
		for o, err := range exposure.Read(f, name) {
			var bad *exposure.BadLine
			if errors.As(err, &bad) {
				report.Note(bad)
				continue
			}
			if err != nil {
				return nil, errors.Join(failed(err, "cmd.open", "file", name), f.Close())
			}
			if addr, err := netip.ParseAddr(o.Address); err == nil && o.Outcome == exposure.Exchange {
				hint := exposure.HintNone
				if hints {
					hint = fingerprint.HintOf(&o)
				}
				earlier.add(netip.AddrPortFrom(addr, uint16(o.Port)), &o, hint)
			}
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	tell := &problemTeller{app: a}
	for _, p := range report.Problems {
		tell.add(p)
	}
	if earlier.bad = report.Bad; earlier.bad > 0 {
		fmt.Fprintln(a.err, a.words.T("cmd.exposure.left-out-lines", "count", report.Bad))
	}
	return earlier, nil
}
