package picture_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/exposure"
	"postern/internal/picture"
)

// records is a stream of stored observations made while it is read: hosts × scans
// lines of 650 bytes, scan after scan. Nothing of it is kept.
type records struct {
	hosts, scans int
	host, scan   int
	buf          bytes.Buffer
	fixed        []uint8 // scan at which each host is fixed
	start        time.Time
}

func newRecords(hosts, scans int) *records {
	rng := rand.New(rand.NewPCG(1, 2))
	r := &records{hosts: hosts, scans: scans, fixed: make([]uint8, hosts), start: time.Date(2021, 3, 3, 6, 0, 0, 0, time.UTC)}
	for i := range r.fixed {
		r.fixed[i] = uint8(min(rng.ExpFloat64()*float64(scans)/2, 250))
	}
	return r
}

func (r *records) Read(p []byte) (int, error) {
	for r.buf.Len() < len(p) && r.scan < r.scans {
		state := "unfixed"
		if int(r.fixed[r.host]) <= r.scan {
			state = "fixed"
		}
		// Each host at its own second, three days between scans, some hosts missed.
		if (r.host*7919+r.scan*104729)%11 != 0 {
			at := r.start.Add(time.Duration(r.scan)*72*time.Hour + time.Duration(r.host%30000)*time.Second)
			fmt.Fprintf(&r.buf, `{"schema":"postern.exposure/1","target":"198.51.100.7:443","address":"198.51.100.7","port":443,"name":"","time":"%s","outcome":"exchange","product":"exchange-2016","line":"CU19","build":{"exact":"","low":"15.1.2176.2","high":"15.1.2176.4"},"assessments":{"CVE-2021-26855":"%s","CVE-2021-26857":"%s"},"identity":{"frontend":"EX01","fqdn":"","certificate_sha256":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9","key_sha256":"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b","host":"frontend:EX01+%07x"},"tls":{"version":"1.2","profile":"modern"},"flags":[],"reason":"","evidence":[{"request":"GET /owa/auth/logon.aspx","status":200,"what":"path 15.1.2176"}],"requests":2,"bytes":60123,"asn":%d,"country":"NL"}`+"\n",
				at.Format(time.RFC3339), state, state, r.host, 64512+r.host%3000)
		}
		if r.host++; r.host == r.hosts {
			r.host, r.scan = 0, r.scan+1
		}
	}
	if r.buf.Len() == 0 {
		return 0, io.EOF
	}
	return r.buf.Read(p)
}

// feed is what the command does: skim the lines into sightings.
func feed(tb testing.TB, r io.Reader) *picture.Adoption {
	a := picture.NewAdoption(picture.Options{CVE: "CVE-2021-26855", Since: time.Date(2021, 3, 2, 0, 0, 0, 0, time.UTC), Draws: 400})
	sk := exposure.NewSkimmer("CVE-2021-26855")
	for line, err := range exposure.Lines(r, "stream") {
		if err != nil {
			tb.Fatal(err)
		}
		err = sk.Skim(line.Bytes, func(s *exposure.Sight) error {
			state := picture.Open
			if s.Assessed == postern.Fixed {
				state = picture.Closed
			}
			return a.Add(&picture.Sighting{Keys: s.Keys, Time: s.Time, State: state, Line: s.Line, Cluster: fmt.Sprint(s.ASN)})
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return a
}

// BenchmarkMillions reads one and ten million stored records of a tenth as many hosts
// and draws the curve:
//
//	go test ./internal/picture -run NONE -bench Millions -benchtime 1x
//
// "making" is the time that the stream itself takes to be made; it is not in the others.
// On a busy machine the CPU time is the figure to look at.
func BenchmarkMillions(b *testing.B) {
	const scans = 11
	for _, hosts := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(hosts/100_000), func(b *testing.B) {
			for range b.N {
				start, spent := time.Now(), cpu()
				if _, err := io.Copy(io.Discard, newRecords(hosts, scans)); err != nil {
					b.Fatal(err)
				}
				making, makingCPU := time.Since(start), cpu()-spent
				start, spent = time.Now(), cpu()
				a := feed(b, newRecords(hosts, scans))
				reading := time.Since(start)
				r, err := a.Estimate()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(a.Len()), "records")
				b.ReportMetric(making.Seconds(), "s-making")
				b.ReportMetric((reading - making).Seconds(), "s-reading")
				b.ReportMetric((time.Since(start) - reading).Seconds(), "s-estimate")
				b.ReportMetric((time.Since(start) - making).Seconds(), "s-total")
				b.ReportMetric(cpu()-spent-makingCPU, "s-CPU-total")
				b.ReportMetric(peak(), "MiB-peak-RSS")
				if r.Counts.Followed < hosts*9/10 {
					b.Fatalf("%+v", r.Counts)
				}
			}
		})
	}
}

// cpu is the CPU time of the process so far in seconds, 0 where the system does not say.
func cpu() float64 {
	const ticks = 100 // a second, on every Linux
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var user, system float64
	if _, err := fmt.Sscan(fields[11], &user); err != nil {
		return 0
	}
	if _, err := fmt.Sscan(fields[12], &system); err != nil {
		return 0
	}
	return (user + system) / ticks
}

// peak is the largest memory of the process so far, 0 where the system does not say.
func peak() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kb float64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		return 0
	}
	return kb / 1024
}

// TestStreamToCurve goes from stored lines to the curve, as the command does.
func TestStreamToCurve(t *testing.T) {
	t.Parallel()
	a := feed(t, newRecords(3000, 6))
	r, err := a.Estimate()
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Points[len(r.Points)-1].Share; got < 0.7 || got > 0.95 {
		t.Errorf("share at the end is %.3f", got)
	}
	if len(r.Points) != 6 || r.Counts.Hosts != 3000 || r.Counts.Operators != 3000 {
		t.Errorf("%d points, %+v", len(r.Points), r.Counts)
	}
}
