package main

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"postern/internal/campaign"
	"postern/internal/catalogue"
	"postern/internal/exercise/fleet"
	"postern/internal/exposure"
	"postern/internal/exposure/fingerprint"
	"postern/internal/exposure/probe"
)

// openLab is a wall and a ledger for a fleet of one's own.
type openLab struct{}

func (openLab) Dial(ctx context.Context, p exposure.Place) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", p.AddrPort().String())
}
func (openLab) Check(exposure.Place) *exposure.Stop                   { return nil }
func (openLab) CheckCertificate(*exposure.Certificate) *exposure.Stop { return nil }
func (openLab) Spend(netip.Addr) (bool, error)                        { return true, nil }
func (openLab) Spent(netip.Addr) (bool, error)                        { return false, nil }
func (openLab) Hold(netip.Addr, time.Time) error                      { return nil }
func (openLab) Held(netip.Addr) time.Time                             { return time.Time{} }

// TestHostileHosts looks at hosts that attack whoever looks, three of each kind at
// once: each gets one record that the list of outcomes allows, in time, short, and
// with nothing in it that a terminal or a page would obey.
func TestHostileHosts(t *testing.T) {
	t.Parallel()
	p, err := campaign.BuiltInProduct("exchange")
	if err != nil {
		t.Fatal(err)
	}
	book := fleetBook(t, p)
	f, err := fleet.Start(t.Context(), fleet.Options{Seed: 4, Hosts: 81, Mix: fleet.Hostile, Releases: fleetReleases(p, fleetCVE), CVE: fleetCVE})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	words, err := catalogue.Load("en")
	if err != nil {
		t.Fatal(err)
	}
	const timeout = 1500 * time.Millisecond
	prober := probe.New(probe.Options{Wall: openLab{}, Ledger: openLab{}, Contact: "test@postern.example", Timeout: timeout, Gate: probe.NewGate(16),
		Begin: func(v *exposure.Visit) probe.Reader {
			return reading{book.Start(v), fingerprint.Ask{Manifest: true}}
		}})
	var work sync.WaitGroup
	kinds := map[string]bool{}
	start := time.Now()
	for x := range f.Truth() {
		if x.Kind != fleet.Attacker {
			continue
		}
		kinds[x.Variant] = true
		work.Go(func() {
			o := exposure.Observation{Schema: exposure.Schema, Target: x.Name, Name: x.Name, Time: start}
			place := exposure.Place{Name: x.Name, Address: x.Homes[0].Address, Port: uint16(x.Port)}
			prober.Look(t.Context(), place, probe.Known{}, &o)
			o.Say(words)
			line, err := exposure.AppendLine(nil, &o)
			if err != nil {
				t.Errorf("%s: %v", x.Variant, err)
				return
			}
			if !slices.Contains(x.Outcomes, string(o.Outcome)) {
				t.Errorf("%s: outcome %s (%v), want one of %v", x.Variant, o.Outcome, o.Why, x.Outcomes)
			}
			if len(line) > 4<<10 || o.Requests > probe.MaxRequests || o.Reason == "" && o.Outcome != exposure.Exchange {
				t.Errorf("%s: %d bytes, %d requests, reason %q", x.Variant, len(line), o.Requests, o.Reason)
			}
			var fields any
			if err := json.Unmarshal(line, &fields); err != nil {
				t.Errorf("%s: %v", x.Variant, err)
			}
			for _, s := range texts(fields) {
				if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r > unicode.MaxLatin1 }) {
					t.Errorf("%s: the record holds %+q", x.Variant, s)
				}
			}
		})
	}
	work.Wait()
	if took := time.Since(start); took > 4*timeout { // the benchmark holds the ratio; this only catches a hang
		t.Errorf("took %v", took)
	}
	if len(kinds) != 27 {
		t.Errorf("%d kinds of attack, want 27", len(kinds))
	}
	if s := f.Seen(); s.Bystanders != 0 || s.Unexpected != 0 {
		t.Errorf("was led astray: %+v", s)
	}
}

// texts gives every string in a decoded record.
func texts(v any) (list []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			list = append(list, texts(e)...)
		}
	case map[string]any:
		for k, e := range v {
			list = append(append(list, k), texts(e)...)
		}
	}
	return list
}
