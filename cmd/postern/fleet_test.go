package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern"
	"postern/internal/campaign"
	"postern/internal/exercise/fleet"
	"postern/internal/exposure"
	"postern/internal/exposure/fingerprint"
)

// TestFleetIsWhatItSays looks at every host of a fleet as an observer would, with
// the fingerprint of the exposure river, and holds what comes out against the truth.
func TestFleetIsWhatItSays(t *testing.T) {
	t.Parallel()
	p, err := campaign.BuiltInProduct("exchange")
	if err != nil {
		t.Fatal(err)
	}
	book := fleetBook(t, p)
	for _, day := range []int{0, 700} {
		t.Run(fmt.Sprint("day ", day), func(t *testing.T) {
			t.Parallel()
			f, err := fleet.Start(t.Context(), fleet.Options{Seed: 3, Hosts: 300, Day: day, Releases: fleetReleases(p, fleetCVE), CVE: fleetCVE})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			limit := make(chan struct{}, 32)
			var work sync.WaitGroup
			for x := range f.Truth() {
				if x.Kind == fleet.Attacker || x.Kind == fleet.Bystander {
					continue
				}
				limit <- struct{}{}
				work.Go(func() {
					defer func() { <-limit }()
					o := visit(book, x, day)
					if why := differs(o, x, day); why != "" {
						t.Errorf("day %d, %s %s %s: %s\n  %s %s %v %v %v", day, x.ID, x.Kind, x.Variant, why, o.Outcome, o.Product, o.Build, o.Flags, o.Why)
					}
				})
			}
			work.Wait()
			if s := f.Seen(); s.Bystanders != 0 || s.Unexpected != 0 {
				t.Errorf("an observer by the rules was not polite: %+v", s)
			}
		})
	}
}

// differs says in what an observation is not what the truth allows; "" if it is.
func differs(o exposure.Observation, x fleet.HostTruth, day int) string {
	want, there := x.Outcomes, true
	switch {
	case x.Gone != nil && day >= x.Gone.Day:
		want, there = x.Gone.Outcomes, false
	case slices.Contains(x.Missing, day):
		want, there = []string{"timeout"}, false
	}
	if !slices.Contains(want, string(o.Outcome)) {
		return fmt.Sprintf("outcome %s, want one of %v", o.Outcome, want)
	}
	if !there || o.Outcome != exposure.Exchange || x.Kind == fleet.Balanced {
		return ""
	}
	var now fleet.BuildDay
	for _, b := range x.Members[0].Builds {
		if b.Day <= day {
			now = b
		}
	}
	if o.Build.Low != now.Low || o.Build.High != now.High {
		return fmt.Sprintf("builds %s to %s, want %s to %s (%s runs)", o.Build.Low, o.Build.High, now.Low, now.High, now.Build)
	}
	return ""
}

// visit asks a host what the fingerprint wants to know, as far as the rules allow.
func visit(book *fingerprint.Book, x fleet.HostTruth, day int) exposure.Observation {
	home := x.Homes[0].Address
	if last := x.Homes[len(x.Homes)-1]; day >= last.Day {
		home = last.Address
	}
	at := fmt.Sprintf("%s:%d", home, x.Port)
	v := exposure.Visit{Name: x.Name, Address: home.String(), Time: fleet.Date(day).Add(12 * time.Hour)}
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, ServerName: x.Name, CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_RC4_128_SHA}},
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	client := &http.Client{Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	const most = 6
	var r *fingerprint.Reading
	var o exposure.Observation
	path, more := fingerprint.PathLogon, true
	for n := 0; more && n < most; n++ {
		req, _ := http.NewRequest(http.MethodGet, "https://"+at+path, nil)
		req.Host = x.Name
		res, err := client.Do(req)
		if err != nil {
			var e net.Error
			switch {
			case errors.As(err, &e) && e.Timeout():
				o.Outcome = exposure.Timeout
			case errors.Is(err, syscall.ECONNREFUSED):
				o.Outcome = exposure.Refused
			default:
				o.Outcome = exposure.Reset
			}
			return o
		}
		a := exposure.Answer{Method: "GET", Path: path, Status: res.StatusCode}
		for name, values := range res.Header {
			for _, value := range values {
				a.Header = append(a.Header, exposure.Header{Name: name, Value: value})
			}
		}
		a.Body, _ = io.ReadAll(io.LimitReader(res.Body, 1<<20))
		res.Body.Close()
		if r == nil {
			leaf := res.TLS.PeerCertificates[0]
			cert, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
			v.TLS = &exposure.Handshake{Certificate: exposure.Certificate{SHA256: hex.EncodeToString(cert[:]), KeySHA256: hex.EncodeToString(key[:]),
				CommonName: leaf.Subject.CommonName, Names: leaf.DNSNames, SelfSigned: leaf.Subject.String() == leaf.Issuer.String()}}
			r = book.Start(&v)
		}
		r.Add(&a)
		path, more = r.Next(fingerprint.Ask{Manifest: true})
	}
	r.Conclude(&o)
	return o
}

// fleetBook arranges the build table for the fingerprint.
func fleetBook(t *testing.T, p *campaign.Product) *fingerprint.Book {
	t.Helper()
	var releases []exposure.Release
	for _, r := range p.Releases {
		releases = append(releases, exposure.Release{Build: r.Build, Edition: r.Edition, Line: r.Line, Update: r.Update, Released: r.Released, Available: r.Available})
	}
	var seen []exposure.Seen
	for _, s := range p.Observed {
		if b, err := postern.ParseBuild(s.Seen); err == nil {
			seen = append(seen, exposure.Seen{Version: b, Build: s.Build, Rule: exposure.Rule(s.Rule)})
		}
	}
	book, err := fingerprint.New(releases, seen)
	if err != nil {
		t.Fatal(err)
	}
	return book
}
