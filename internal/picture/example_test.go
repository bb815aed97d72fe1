package picture_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"postern/internal/picture"
)

// Example follows a country of 20,000 servers through March 2021. Its truth is
// known: one in ten has the fix by the evening of Friday, 5 March. The scans do not
// know it. They miss one server in eight, servers vanish or hide, one in twelve never
// shows whether it is fixed, and every fifth line gets its fix only on the 8th or 11th.
func Example() {
	const servers = 20_000
	day := 24 * time.Hour
	release := time.Date(2021, 3, 2, 18, 0, 0, 0, time.UTC)
	late := map[string]time.Duration{"2016 CU14": 6 * day, "2016 CU11": 9 * day}
	rng := rand.New(rand.NewPCG(2021, 3))

	// The truth: how long after the fix of its line each server has it.
	speed := make([]float64, 1500) // of the operators
	for i := range speed {
		speed[i] = math.Exp(0.4 * rng.NormFloat64())
	}
	type server struct {
		line    string
		op      int
		fixed   time.Time
		gone    time.Time
		hidden  time.Time
		unclear bool
	}
	country := make([]server, servers)
	for i := range country {
		s := &country[i]
		s.op = int(float64(len(speed)) * math.Pow(rng.Float64(), 2))
		s.line = []string{"2016 CU19", "2016 CU18", "2013 CU23", "2019 CU8", "2016 CU19", "2013 CU23", "2019 CU7", "2016 CU14", "2016 CU11", "2016 CU18"}[rng.IntN(10)]
		wait := time.Duration(math.Pow(rng.ExpFloat64()/speed[s.op], 0.9) * 20.4 * float64(day))
		s.fixed = release.Add(late[s.line]).Add(wait)
		s.gone = release.Add(time.Duration(rng.ExpFloat64() * 300 * float64(day)))
		s.hidden = release.Add(time.Duration(rng.ExpFloat64() * 500 * float64(day)))
		s.unclear = rng.Float64() < 1.0/12
	}

	a := picture.NewAdoption(picture.Options{CVE: "CVE-2021-26855", Since: release, Seed: 1, Available: func(line string) (time.Time, bool) {
		return release.Add(late[line]), true
	}})
	scans := []int{3, 4, 5, 8, 9, 11, 12, 15, 18, 22, 26, 31} // of March, at 20:00
	for _, d := range scans {
		at := time.Date(2021, 3, d, 20, 0, 0, 0, time.UTC)
		for i := range country {
			s := &country[i]
			if at.After(s.gone) || rng.Float64() < 1.0/8 {
				continue
			}
			state := picture.Open
			switch {
			case at.After(s.hidden):
				state = picture.Gone
			case s.unclear:
				state = picture.Unsure
			case !at.Before(s.fixed):
				state = picture.Closed
			}
			err := a.Add(&picture.Sighting{Keys: []string{fmt.Sprint(i)}, Time: at, State: state, Line: s.line, Cluster: fmt.Sprint("AS", s.op)})
			if err != nil {
				panic(err)
			}
		}
	}
	r, err := a.Estimate()
	if err != nil {
		panic(err)
	}
	fmt.Println("scan     truth   estimate   95 % band    bounds       under watch, not fixed")
	for _, p := range r.Points {
		fixed := 0
		for i := range country {
			if !p.Time.Before(country[i].fixed) {
				fixed++
			}
		}
		fmt.Printf("%s   %4.1f %%     %4.1f %%   %4.1f–%4.1f %%  %4.1f–%4.1f %%   %5d\n", p.Time.Format("2 Jan"),
			100*float64(fixed)/servers, 100*p.Share, 100*p.Low, 100*p.High, 100*p.UndecidableLow, 100*p.UndecidableHigh, p.N)
	}
	fmt.Printf("half had the fix %d days after it existed for their line (95 %% interval %d to %d)\n", r.Median.Days, r.Median.Low, r.Median.High)
	// Output:
	// scan     truth   estimate   95 % band    bounds       under watch, not fixed
	// 3 Mar    3.4 %      3.4 %    3.0– 3.9 %   3.1–11.4 %   15951
	// 4 Mar    6.8 %      6.9 %    6.3– 7.5 %   6.3–14.6 %   17351
	// 5 Mar    9.9 %      9.8 %    9.1–10.5 %   9.0–17.3 %   16863
	// 8 Mar   19.3 %     19.3 %   18.3–20.3 %  17.7–26.0 %   16251
	// 9 Mar   22.5 %     22.5 %   21.4–23.5 %  20.6–28.9 %   14661
	// 11 Mar   28.7 %     28.7 %   27.6–29.9 %  26.3–34.6 %   13897
	// 12 Mar   32.0 %     32.1 %   30.9–33.2 %  29.4–37.7 %   12799
	// 15 Mar   41.0 %     41.2 %   39.8–42.6 %  37.8–46.1 %   12018
	// 18 Mar   49.4 %     49.6 %   48.0–51.2 %  45.5–53.8 %   10469
	// 22 Mar   58.7 %     58.9 %   57.3–60.6 %  54.1–62.3 %    8917
	// 26 Mar   66.1 %     66.3 %   64.6–68.0 %  60.8–69.1 %    7213
	// 31 Mar   73.9 %     74.1 %   72.4–75.8 %  68.0–76.3 %    5265
	// half had the fix 15 days after it existed for their line (95 % interval 13 to 16)
}
