package picture

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// The full run, as the documentation states it:
//
//	go test ./internal/picture -run TestCoverage -coverage-runs 200 -v
var coverageRuns = flag.Int("coverage-runs", 16, "simulated countries for TestCoverage")

// country is a simulated population whose truth is known.
type country struct {
	hosts     int
	operators int
	frailty   float64 // how much operators differ in speed; 0: hosts are independent
	scans     []float64
	spreadIn  float64 // days that a scan takes
	miss      float64 // chance that a scan misses a host
	vanish    float64 // chance a day that a host vanishes for good
	late      float64 // part of hosts that appear later
	unsure    float64 // part of hosts that nobody can decide
	oneSided  float64 // part of hosts that can be seen to be fixed and never to be open
}

const day = 24 * time.Hour

var released = time.Date(2021, 3, 2, 0, 0, 0, 0, time.UTC)

// days draws how long a host with that speed waits after the fix of its line: some at
// once, most within weeks, some hardly ever.
func days(rng *rand.Rand, speed float64) float64 {
	if rng.Float64() < 0.12 {
		return 400 // as good as never
	}
	return math.Pow(rng.ExpFloat64()/speed, 1.25) * 7
}

// run scans the country once and gives the report, and the truth of the population
// that was drawn.
func (c country) run(seed uint64, draws int) (*Report, error) {
	rng := rand.New(rand.NewPCG(seed, 1))
	a := NewAdoption(Options{CVE: "CVE-2021-26855", Since: released, Seed: seed, Draws: draws,
		Available: func(line string) (time.Time, bool) {
			if line == "late" {
				return released.Add(6 * day), true
			}
			return released, true
		}})
	speeds := make([]float64, c.operators)
	for i := range speeds {
		speeds[i] = math.Exp(c.frailty * rng.NormFloat64())
	}
	for h := range c.hosts {
		// Few operators have many hosts, as in the world.
		op := int(float64(c.operators) * math.Pow(rng.Float64(), 2))
		line, offset := "early", 0.0
		if rng.Float64() < 0.3 {
			line, offset = "late", 6
		}
		fixed := offset + days(rng, speeds[op])
		gone := rng.ExpFloat64() / c.vanish
		from := 0.0
		if rng.Float64() < c.late {
			from = rng.Float64() * 20
		}
		hidden := rng.Float64() < c.unsure
		oneSided := c.oneSided > 0 && rng.Float64() < c.oneSided
		s := Sighting{Keys: []string{fmt.Sprint("host", h)}, Line: line, Cluster: fmt.Sprint("as", op)}
		for _, at := range c.scans {
			at += rng.Float64() * c.spreadIn
			if at < from || at > gone || rng.Float64() < c.miss {
				continue
			}
			switch {
			case hidden, oneSided && at < fixed:
				s.State = Unsure
			case at >= fixed:
				s.State = Closed
			default:
				s.State = Open
			}
			s.Time = released.Add(time.Duration(at * float64(day)))
			if c.spreadIn == 0 {
				s.Time = s.Time.Truncate(time.Minute)
			}
			if err := a.Add(&s); err != nil {
				return nil, err
			}
		}
	}
	return a.Estimate()
}

// truth is the share fixed by each day for countries without end: what the estimate
// is of.
func (c country) truth(since bool) func(day float64) float64 {
	const n = 400_000
	rng := rand.New(rand.NewPCG(99, 2))
	var list []float64
	for range n {
		d := days(rng, math.Exp(c.frailty*rng.NormFloat64()))
		if !since && rng.Float64() < 0.3 {
			d += 6
		}
		list = append(list, d)
	}
	return func(day float64) float64 {
		k := 0
		for _, d := range list {
			if d <= day {
				k++
			}
		}
		return float64(k) / n
	}
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	base := country{hosts: 1500, operators: 300, frailty: 0.5, scans: []float64{1.4, 3.4, 4.4, 8.4, 9.4, 15.4, 21.4, 24.4, 38.4},
		miss: 0.15, vanish: 0.01, late: 0.15, unsure: 0.1}
	small := base
	small.hosts, small.operators = 150, 60
	independent := base
	independent.frailty, independent.operators = 0, 1500
	heavy := base
	heavy.operators, heavy.frailty = 60, 0.8
	slow := base // every scan takes nine hours, and each host has its own time in it
	slow.spreadIn = 9.0 / 24
	for i := range slow.scans {
		slow.scans = append([]float64(nil), slow.scans...)
		slow.scans[i] -= slow.spreadIn / 2
	}
	outside := base // nobody's build is in a header: the update can be seen, its absence cannot
	outside.oneSided = 0.8
	for _, c := range []struct {
		name string
		country
	}{{"seen from outside", outside}, {"country", base}, {"small", small}, {"independent", independent}, {"few operators", heavy}, {"slow scans", slow}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, since := range []bool{false, true} {
				cover(t, c.country, since)
			}
		})
	}
}

// cover counts in how many runs the truth lies in the band, at each published point
// by itself and for the whole curve.
func cover(t *testing.T, c country, since bool) {
	t.Helper()
	truth := c.truth(since)
	remembered := map[float64]float64{}
	at := func(d float64) float64 {
		if _, ok := remembered[d]; !ok {
			remembered[d] = truth(d)
		}
		return remembered[d]
	}
	in, of := map[float64]int{}, map[float64]int{}
	whole, width, doubts := 0, 0.0, 0
	for run := range *coverageRuns {
		r, err := c.run(uint64(run), 300)
		if err != nil {
			t.Fatal(err)
		}
		if r.Doubt != NoDoubt {
			doubts++
		}
		points := r.Points
		if since {
			points = r.SinceFix
		}
		all := true
		for _, p := range points {
			d := p.Time.Sub(released).Hours() / 24
			switch {
			case since:
				d = float64(p.Days) + 0.4 // the middle of scans, at this time of the day
			case c.spreadIn > 0:
				d += 0.4
			}
			of[d]++
			width += p.High - p.Low
			if x := at(d); p.Low <= x && x <= p.High {
				in[d]++
			}
			if x := at(d); x < p.CurveLow || x > p.CurveHigh {
				all = false
			}
		}
		if all {
			whole++
		}
	}
	// A tenth at random is rarely too much; what is one-sided must always be seen.
	if c.oneSided > 0 && doubts < *coverageRuns || c.oneSided == 0 && doubts > *coverageRuns/20 {
		t.Errorf("a doubt in %d of %d runs", doubts, *coverageRuns)
	}
	hits, total, worst, worstAt := 0, 0, 1.0, 0.0
	for d, n := range of {
		hits, total = hits+in[d], total+n
		if part := float64(in[d]) / float64(n); part < worst {
			worst, worstAt = part, d
		}
	}
	got, curve := float64(hits)/float64(total), float64(whole)/float64(*coverageRuns)
	t.Logf("since fix %v: %d runs, %d points: pointwise %.1f %% (worst %.1f %% on day %.1f, mean width %.3f), whole curve %.1f %%",
		since, *coverageRuns, len(of), 100*got, 100*worst, worstAt, width/float64(total), 100*curve)
	// With few runs the measured coverage itself is uncertain; the full run is strict.
	want := 0.93
	if *coverageRuns < 100 {
		want = 0.85
	}
	if got < want || curve < want-0.01 {
		t.Errorf("since fix %v: the truth is in the band at %.1f %% of points and for %.1f %% of curves, want %.0f %%", since, 100*got, 100*curve, 100*want)
	}
}
