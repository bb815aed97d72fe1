package exposure

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postern"
)

func sample() Observation {
	b := postern.Build{15, 1, 2176, 9}
	return Observation{Schema: Schema, Target: "203.0.113.5:443", Address: "203.0.113.5", Port: 443, Time: time.Date(2021, 3, 18, 9, 12, 44, 5e8, time.UTC),
		Outcome: Exchange, Product: "exchange-2016", Line: "CU19", Build: Range{Exact: b, Low: b, High: b},
		Assessed: map[string]postern.Assessment{"CVE-2021-26855": postern.Fixed, "CVE-2021-34473": postern.Unfixed},
		Identity: Identity{Frontend: "EX01", Host: "frontend:EX01+0011", Also: []string{"fqdn:ex01.alpha.local name:mail.alpha.example"}, KeySHA256: strings.Repeat("ab", 32)},
		TLS:      TLS{Version: "1.2", Profile: "modern"}, Flags: []Flag{Hybrid}, Reason: `says "so"`,
		Evidence: []Evidence{{Request: "GET /owa/auth/logon.aspx", Status: 200, What: "path 15.1.2176"}}, Requests: 2, Bytes: 61000,
		ASN: 64496, Country: "NL", Sector: "health", Scope: "nl-2021"}
}

// TestContract holds the record against the words of the contract, in their order.
func TestContract(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(Observation{Schema: Schema, Target: "203.0.113.5:443", Outcome: Refused, Time: time.Unix(0, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schema":"postern.exposure/1","target":"203.0.113.5:443","address":"","port":0,"name":"","time":"1970-01-01T00:00:00Z",` +
		`"outcome":"refused","product":"","line":"","build":{"exact":"","low":"","high":""},"assessments":{},` +
		`"identity":{"frontend":"","fqdn":"","certificate_sha256":"","key_sha256":""},"tls":{"version":"","profile":""},` +
		`"flags":[],"reason":"","evidence":[],"requests":0,"bytes":0}`
	if string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
	o := sample()
	if b, err = json.Marshal(o); err != nil {
		t.Fatal(err)
	}
	var again Observation
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(o, again) {
		t.Errorf("written and read again:\n%+v\nwant\n%+v", again, o)
	}
}

// TestLineIsBounded: what a host says cannot make a record long, and what we say about
// it takes away none of its evidence.
func TestLineIsBounded(t *testing.T) {
	t.Parallel()
	o := Observation{Schema: Schema, Outcome: Exchange, Assessed: map[string]postern.Assessment{}}
	for i := range 150 {
		o.Assessed[fmt.Sprintf("CVE-2021-%05d", i)] = postern.UnfixedOrMitigated
	}
	for range 8 {
		o.Evidence = append(o.Evidence, Evidence{Request: "GET /owa/auth/logon.aspx", Status: 200, What: "page logon"})
	}
	o.Members = []Member{{Assessed: o.Assessed}, {Assessed: o.Assessed}}
	line, err := AppendLine(nil, &o)
	if err != nil || len(o.Evidence) != 8 || len(line) < 12<<10 {
		t.Errorf("with many CVEs: %d lines of evidence in %d bytes, %v", len(o.Evidence), len(line), err)
	}
	o.Assessed, o.Members = nil, nil
	for range 12 {
		o.Evidence = append(o.Evidence, Evidence{Request: "GET " + strings.Repeat("a", 64), What: "header Server " + strings.Repeat("b", 64), SHA256: strings.Repeat("c", 64)})
	}
	if line, err = AppendLine(nil, &o); err != nil || len(line) > maxSaid+1 || len(o.Evidence) < 8 {
		t.Errorf("with much evidence: %d lines of it in %d bytes, %v", len(o.Evidence), len(line), err)
	}
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	own := &Certificate{KeySHA256: "k", CommonName: "mail.alpha.example", Names: []string{"mail.alpha.example", "autodiscover.alpha.example"}}
	turned := &Certificate{KeySHA256: "k2", CommonName: "mail.alpha.example", Names: []string{"Autodiscover.alpha.example", "mail.alpha.example"}}
	wild := &Certificate{KeySHA256: "k", CommonName: "*.hoster.example", Names: []string{"*.hoster.example"}}
	setup := &Certificate{KeySHA256: "k", CommonName: "EX01", Names: []string{"EX01", "EX01.alpha.local"}, SelfSigned: true}
	hoster := &Certificate{KeySHA256: "k", CommonName: "a.example"}
	for i := range 40 {
		hoster.Names = append(hoster.Names, fmt.Sprint("customer", i, ".example"))
	}
	key := func(frontend, fqdn string, c *Certificate) string {
		return strings.Join(HostKeys(frontend, fqdn, "mail.alpha.example", "192.0.2.1", c), " ")
	}
	if a, b := HostKeys("EX01", "", "", "", own)[0], HostKeys("ex01", "", "", "", turned)[0]; a != b || !strings.HasPrefix(a, "frontend:EX01+") {
		t.Errorf("the same names in another order and case: %q and %q", a, b)
	}
	for _, c := range []struct {
		name, frontend, fqdn string
		cert                 *Certificate
		want                 string
	}{
		{"the health check is strongest", "", "EX01.alpha.local", wild, "fqdn:ex01.alpha.local name:mail.alpha.example"},
		{"a wildcard certificate identifies nobody", "EX01", "", wild, "name:mail.alpha.example+EX01 name:mail.alpha.example"},
		{"nor does a hoster's", "", "", hoster, "name:mail.alpha.example"},
		{"the certificate of the setup", "", "", setup, "default:ex01.alpha.local key:k"},
		{"the key", "", "", own, "key:k"},
		{"no certificate", "", "", nil, "name:mail.alpha.example"},
	} {
		if got := key(c.frontend, c.fqdn, c.cert); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := HostKeys("", "", "", "192.0.2.1", nil); got[0] != "address:192.0.2.1" {
		t.Errorf("nothing but an address: %q", got)
	}
}

// sights is what Skim ought to say of a record.
func sights(o *Observation, cve string) []string {
	if o.Outcome != Exchange && o.Outcome != Hidden {
		return nil
	}
	members := o.Members
	if len(members) == 0 {
		members = []Member{{Product: o.Product, Line: o.Line, Build: o.Build, Assessed: o.Assessed, Host: o.Identity.Host}}
	}
	var list []string
	for _, m := range members {
		s := Sight{Time: o.Time, Outcome: o.Outcome, Product: m.Product, Line: m.Line, Assessed: m.Assessed[cve], Scope: o.Scope,
			ASN: o.ASN, Country: o.Country, Sector: o.Sector, Operator: o.Operator}
		switch {
		case m.Host != "":
			s.Keys = []string{m.Host}
		case o.Name != "":
			s.Keys = []string{"name:" + o.Name}
		default:
			s.Keys = []string{"address:" + o.Address}
		}
		if m.Host == o.Identity.Host {
			s.Keys = append(s.Keys, o.Identity.Also...)
		}
		if s.Assessed == "" {
			s.Low, s.High = m.Build.Low, m.Build.High
		}
		list = append(list, show(&s))
	}
	return list
}

func show(s *Sight) string {
	return fmt.Sprintf("%s %s %q %s %s %v %v %s %d %s %s %s %s", s.Time.UTC().Format(time.RFC3339Nano), s.Outcome, s.Keys, s.Product, s.Line,
		s.Low, s.High, s.Assessed, s.ASN, s.Country, s.Sector, s.Operator, s.Scope)
}

// FuzzSkim: whatever can be decoded and written again is skimmed to the same facts;
// nothing else makes it panic.
func FuzzSkim(f *testing.F) {
	o := sample()
	for range 2 {
		b, err := json.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		o.Members = []Member{{Frontend: "EX01", Host: o.Identity.Host, Product: "exchange-2016", Line: "CU19"}, {Frontend: "Ä\"\\", Host: "x\ty", Build: o.Build}}
		o.Assessed = nil
	}
	f.Add([]byte(`{"schema":"postern.exposure/1","outcome":"hidden","time":"2021-03-18T09:12:44Z","x":[[{"y":"}"}]],"identity":null}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		const cve = "CVE-2021-26855"
		s := NewSkimmer(cve)
		_ = s.Skim(in, func(*Sight) error { return nil })
		var o Observation
		if decode(in, &o) != nil {
			return
		}
		line, err := json.Marshal(o)
		if err != nil {
			return
		}
		o = Observation{}
		if decode(line, &o) != nil {
			return // a time zone that JSON writes otherwise, for example
		}
		var got []string
		if err := s.Skim(line, func(s *Sight) error { got = append(got, show(s)); return nil }); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		if want := sights(&o, cve); !slices.Equal(got, want) {
			t.Errorf("skimmed\n%s\nwant\n%s", got, want)
		}
	})
}

func TestSkimRefuses(t *testing.T) {
	t.Parallel()
	s := NewSkimmer("CVE-2021-26855")
	for _, line := range []string{"", "{", "null", `{"schema":"x"}`, `{"schema":"postern.exposure/1","outcome":"exchange"`,
		`{"schema":"postern.exposure/1","outcome":"exchange","time":"yesterday"}`,
		`{"schema":"postern.exposure/1","outcome":"great","time":"2021-03-18T09:12:44Z"}`,
		`{"schema":"postern.exposure/1","outcome":"exchange","time":"2021-03-18T09:12:44Z"} {}`,
		`{"schema":"postern.exposure/1","outcome":["exchange"]}`, strings.Repeat("[", 1<<20)} {
		if err := s.Skim([]byte(line), func(*Sight) error { return errors.New("called") }); err == nil {
			t.Errorf("%.60q was taken for a record", line)
		}
	}
}

func BenchmarkSkim(b *testing.B) {
	line, err := json.Marshal(sample())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(line)))
	b.Run("skim", func(b *testing.B) {
		s := NewSkimmer("CVE-2021-26855")
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for range b.N {
			if err := s.Skim(line, func(*Sight) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(line)))
		for range b.N {
			var o Observation
			if err := decode(line, &o); err != nil {
				b.Fatal(err)
			}
		}
	})
}
