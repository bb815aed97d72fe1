package picture

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// history is one host as a word: one letter a day, o open, c closed, u undecidable,
// x not affected, g hidden, '.' not seen.
var letters = map[rune]State{'o': Open, 'c': Closed, 'u': Unsure, 'x': Exempt, 'g': Gone}

func gather(t testing.TB, o Options, histories ...string) *Report {
	t.Helper()
	a := NewAdoption(o)
	for h, word := range histories {
		line, word, found := strings.Cut(word, ":")
		if !found {
			line, word = "", line
		}
		for d, c := range word {
			state, ok := letters[c]
			if !ok {
				continue
			}
			if err := a.Add(&Sighting{Keys: []string{fmt.Sprint("h", h)}, Time: released.AddDate(0, 0, d+1), State: state, Line: line}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := a.Estimate()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func shares(points []Point) string {
	var b strings.Builder
	for _, p := range points {
		fmt.Fprintf(&b, "%.3f ", p.Share)
	}
	return strings.TrimSpace(b.String())
}

func bounds(points []Point) string {
	var b strings.Builder
	for _, p := range points {
		fmt.Fprintf(&b, "%.3f-%.3f ", p.UndecidableLow, p.UndecidableHigh)
	}
	return strings.TrimSpace(b.String())
}

// TestHistories says of small populations, whose answer can be told by hand, what is
// counted and what is left out.
func TestHistories(t *testing.T) {
	t.Parallel()
	o := Options{Since: released, Draws: 50}
	for _, c := range []struct {
		name      string
		histories []string
		want      string
		check     func(*Counts) bool
	}{
		{"all are seen every day", []string{"oooo", "occc", "oocc", "cccc"}, "0.250 0.500 0.750 0.750", nil},
		{"hidden is not fixed", []string{"oggg", "ocgg", "oooo", "oooo"}, "0.000 0.333 0.333 0.333", func(c *Counts) bool { return c.HiddenOpen == 1 && c.Fixed == 1 }},
		{"silent is not fixed", []string{"o...", "oc..", "oooo", "oooo"}, "0.000 0.333 0.333 0.333", func(c *Counts) bool { return c.HiddenOpen == 0 }},
		{"a downgrade is a new history", []string{"ocoo", "oooo", "oooo", "oooo"}, "0.000 0.250 0.250 0.250",
			func(c *Counts) bool { return c.Downgraded == 1 && c.Followed == 5 }},
		{"one identity for several hosts", []string{"ococococ", "oooooooo", "occccccc"}, "0.000 0.500 0.500 0.500 0.500 0.500 0.500 0.500",
			func(c *Counts) bool { return c.Unstable == 1 && c.Followed == 2 }},
		{"first seen late and fixed says nothing", []string{"oooo", "occc", "...c"}, "0.000 0.500 0.500 0.500", func(c *Counts) bool { return c.LateFixed == 1 }},
		{"first seen late and open joins from then on", []string{"oooo", "occc", "..oo", "..oc"}, "0.000 0.500 0.500 0.667", func(c *Counts) bool { return c.Followed == 4 }},
		{"never decided is in no curve", []string{"oooo", "oooo", "oooo", "occc", "occc", "occc", "uuuu"}, "0.000 0.500 0.500 0.500", func(c *Counts) bool { return c.Undecidable == 1 }},
		{"not affected is no part", []string{"oooo", "occc", "xxxx"}, "0.000 0.500 0.500 0.500", func(c *Counts) bool { return c.NotAffected == 1 && c.Followed == 2 }},
		{"replaced by what is not affected is closed", []string{"oooo", "oxxx"}, "0.000 0.500 0.500 0.500", func(c *Counts) bool { return c.Fixed == 1 }},
	} {
		r := gather(t, o, c.histories...)
		if got := shares(r.Points); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if c.check != nil && !c.check(&r.Counts) {
			t.Errorf("%s: %+v", c.name, r.Counts)
		}
	}
}

func TestUndecidableBounds(t *testing.T) {
	t.Parallel()
	r := gather(t, Options{Since: released, Draws: 50}, "oooo", "occc", "uuuu", "uuuc")
	// Never decided, and decided on the last day: 2 of 4 open or fixed meanwhile.
	if got, want := bounds(r.Points), "0.000-0.500 0.250-0.750 0.250-0.750 0.500-0.750"; got != want {
		t.Errorf("bounds %s, want %s", got, want)
	}
	r = gather(t, Options{Since: released, Draws: 50}, "oooo", "occc")
	for _, p := range r.Points {
		if p.UndecidableLow != p.Share || p.UndecidableHigh != p.Share {
			t.Errorf("without undecidable hosts the bounds are %v", p)
		}
	}
}

// TestClock: the days count from the fix of the line, and lines without one have no clock.
func TestClock(t *testing.T) {
	t.Parallel()
	o := Options{Since: released, Draws: 50, Available: func(line string) (time.Time, bool) {
		return released.AddDate(0, 0, map[string]int{"late": 3}[line]), line != "never"
	}}
	r := gather(t, o, "early:ooccc", "early:ooooo", "late:ooooocc", "late:ooooooo", "never:oooocc", "never:ooooooo")
	// Early hosts are seen on days 1 to 5 of their clock, late ones on days -2 to 4; the
	// others would be seen on days 6 and 7, when nobody else is under watch any more.
	var b strings.Builder
	for _, p := range r.SinceFix {
		fmt.Fprintf(&b, "%d:%.3f ", p.Days, p.Share)
	}
	if got, want := b.String(), "0:0.000 1:0.000 2:0.000 3:0.500 4:0.500 5:0.500 "; got != want {
		t.Errorf("since the fix %s, want %s", got, want)
	}
	if r.Counts.NoFix != 2 || r.Points[0].Waiting != 4 || r.Points[6].Waiting != 1 {
		t.Errorf("no fix %d, waiting %d and %d", r.Counts.NoFix, r.Points[0].Waiting, r.Points[6].Waiting)
	}
	if m := r.Median; !m.Reached || m.After != 2 || m.Days != 3 {
		t.Errorf("median %+v", m)
	}
}

func TestScopesDoNotMix(t *testing.T) {
	t.Parallel()
	add := func(a *Adoption, scope string) error {
		return a.Add(&Sighting{Keys: []string{scope}, Time: released, State: Open, Scope: scope})
	}
	a := NewAdoption(Options{})
	if err := errors.Join(add(a, "NL"), add(a, "NL")); err != nil {
		t.Fatal(err)
	}
	if err := add(a, "DE"); !errors.Is(err, ErrScope) {
		t.Errorf("another scope: %v", err)
	}
	a = NewAdoption(Options{MixScopes: true, Draws: 10})
	if err := errors.Join(add(a, "NL"), add(a, "DE")); err != nil {
		t.Fatal(err)
	}
	r, err := a.Estimate()
	if err != nil {
		t.Fatal(err)
	}
	said := false
	for _, n := range r.Notes {
		said = said || n.Key == "picture.note.mixed-scopes"
	}
	if len(r.Scopes) != 2 || !said {
		t.Errorf("scopes %q, notes %v", r.Scopes, r.Notes)
	}
}

// TestKeysJoin: a host that shows one name today and another tomorrow is one host as
// soon as some sighting has both.
func TestKeysJoin(t *testing.T) {
	t.Parallel()
	a := NewAdoption(Options{Since: released, Draws: 10})
	for i, keys := range [][]string{{"frontend"}, {"fqdn"}, {"frontend", "fqdn"}, {"fqdn"}} {
		state := Open
		if i == 3 {
			state = Closed
		}
		if err := a.Add(&Sighting{Keys: keys, Time: released.AddDate(0, 0, i), State: state}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := a.Estimate()
	if err != nil {
		t.Fatal(err)
	}
	if r.Counts.Hosts != 1 || r.Counts.Fixed != 1 || shares(r.Points) != "0.000 0.000 0.000 1.000" {
		t.Errorf("%s, %+v", shares(r.Points), r.Counts)
	}
}

// TestOneMoment: what several members of a service say at one moment counts as the weakest
// of it, in whatever order they come: one whose build cannot be told makes nothing fixed.
func TestOneMoment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, second State
		want          string
	}{
		{Closed, Closed, "closed"}, {Closed, Unsure, "unsure"}, {Closed, Open, "open"}, {Unsure, Open, "open"},
		{Exempt, Unsure, "unsure"}, {Gone, Unsure, "unsure"}, {Gone, Closed, "closed"}, {Exempt, Closed, "closed"},
	} {
		for _, pair := range [][2]State{{c.first, c.second}, {c.second, c.first}} {
			a := NewAdoption(Options{Since: released, Draws: 10})
			for _, s := range pair {
				if err := a.Add(&Sighting{Keys: []string{"service"}, Time: released, State: s}); err != nil {
					t.Fatal(err)
				}
			}
			r, err := a.Estimate()
			if err != nil {
				t.Fatal(err)
			}
			n := r.Counts
			if got := fmt.Sprint(n.Fixed, n.Unfixed, n.Undecidable); got != map[string]string{"closed": "1 0 0", "open": "0 1 0", "unsure": "0 0 1"}[c.want] {
				t.Errorf("%v: fixed, unfixed, undecidable %s, want %s", pair, got, c.want)
			}
		}
	}
}

func TestNothingDecided(t *testing.T) {
	t.Parallel()
	if _, err := NewAdoption(Options{}).Estimate(); !errors.Is(err, ErrNothing) {
		t.Errorf("nothing: %v", err)
	}
	a := NewAdoption(Options{})
	for _, bad := range []Sighting{{}, {Keys: []string{"h"}}, {Keys: []string{"h"}, Time: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)}, {Keys: []string{"h"}, Time: released, State: 9}} {
		if err := a.Add(&bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if err := a.Add(&Sighting{Keys: []string{"h"}, Time: released, State: Exempt}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Estimate(); !errors.Is(err, ErrNothing) {
		t.Errorf("nobody is affected: %v", err)
	}
}

// TestQuickScan: a scan of some minutes is one look, whichever second a host had in it.
func TestQuickScan(t *testing.T) {
	t.Parallel()
	a := NewAdoption(Options{Since: released, Draws: 20})
	for h := range 40 {
		for d := range 3 {
			s := Sighting{Keys: []string{fmt.Sprint(h)}, State: Open, Time: released.AddDate(0, 0, d).Add(time.Duration(h*h%97) * 5 * time.Second)}
			if h%2 == 0 && d > 0 {
				s.State = Closed
			}
			if err := a.Add(&s); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := a.Estimate()
	if err != nil {
		t.Fatal(err)
	}
	if got := shares(r.Points); got != "0.000 0.500 0.500" {
		t.Errorf("%d points: %s", len(r.Points), got)
	}
}

// TestDoubt: where undecidable hosts weigh too much, or are seen to be unlike the
// others, bounds are stated and no share.
func TestDoubt(t *testing.T) {
	t.Parallel()
	many := func(n int, words ...string) (list []string) {
		for range n {
			list = append(list, words...)
		}
		return list
	}
	for _, c := range []struct {
		name      string
		histories []string
		want      Doubt
		points    string // shares, if not ""
	}{
		{"all are decided", []string{"oooo", "occc"}, NoDoubt, "0.000 0.500 0.500 0.500"},
		{"one of ten is not", append(many(9, "occo"), "uuuu"), NoDoubt, ""},
		{"one of four is not", append(many(3, "occc"), "uuuu"), TooMany, "0.000 0.750 0.750 0.750"},
		{"none is decided", many(5, "uuuu"), TooMany, "0.000 0.000 0.000 0.000"},
		// A tenth is undecidable at first. What becomes of them tells whether they are like the rest.
		{"later like the others", append(many(450, "oooo", "oocc"), many(50, "uooo", "uocc")...), NoDoubt, "0.000 0.000 0.500 0.500"},
		{"later always fixed", append(many(450, "oooo", "oocc"), many(100, "uucc")...), OneSided, "0.000 0.000 0.550 0.550"},
		{"too few to tell", append(many(9, "oooo", "oocc"), many(2, "uucc")...), NoDoubt, ""},
	} {
		r := gather(t, Options{Since: released, Draws: 50}, c.histories...)
		if r.Doubt != c.want {
			t.Errorf("%s: doubt %q, want %q", c.name, r.Doubt, c.want)
		}
		if got := shares(r.Points); c.points != "" && got != c.points {
			t.Errorf("%s: %s, want %s", c.name, got, c.points)
		}
		checkPoints(t, r.Points)
		if last := r.Points[len(r.Points)-1]; c.name == "none is decided" && (last.High != 1 || last.UndecidableHigh != 1) {
			t.Errorf("%s: %+v", c.name, last)
		}
	}
}

// TestOrderDoesNotMatter: any population, its sightings shuffled, gives the same
// report to the last digit; and every report keeps the rules of a share.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var list []Sighting
		days := rapid.IntRange(2, 6).Draw(t, "days")
		for h := range rapid.IntRange(2, 12).Draw(t, "hosts") {
			for d := range days {
				hour := rapid.IntRange(0, 1).Draw(t, "hour")
				if rapid.IntRange(0, 4).Draw(t, "seen") > 0 {
					list = append(list, Sighting{Keys: []string{fmt.Sprint(h)}, Time: released.AddDate(0, 0, d).Add(time.Duration(hour) * time.Hour),
						State: State(rapid.IntRange(0, int(Open)).Draw(t, "state")), Line: fmt.Sprint("line", h%2),
						Cluster: fmt.Sprint("as", h%3), Group: fmt.Sprint("group", rapid.IntRange(0, 1).Draw(t, "group"))})
				}
			}
		}
		instant := []time.Duration{0, time.Hour, 24 * time.Hour}[rapid.IntRange(0, 2).Draw(t, "instant")]
		run := func() *Report {
			a := NewAdoption(Options{Since: released, Draws: 20, Seed: 5, By: "country", Instant: instant})
			for i := range list {
				if err := a.Add(&list[i]); err != nil {
					t.Fatal(err)
				}
			}
			r, err := a.Estimate()
			if err != nil && !errors.Is(err, ErrNothing) {
				t.Fatal(err)
			}
			return r
		}
		first := run()
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "shuffle"), 0)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if again := run(); !reflect.DeepEqual(first, again) {
			t.Fatalf("in another order\n%+v\nwant\n%+v", again, first)
		}
		if first == nil {
			return
		}
		for _, c := range append(first.Groups, first.Curve) {
			for _, points := range [][]Point{c.Points, c.SinceFix} {
				checkPoints(t, points)
			}
		}
	})
}

// checkPoints holds a curve to what every share has to keep.
func checkPoints(t interface{ Fatalf(string, ...any) }, points []Point) {
	last := Point{}
	for i, p := range points {
		for _, x := range []float64{p.Share, p.Low, p.High, p.CurveLow, p.CurveHigh, p.UndecidableLow, p.UndecidableHigh} {
			if math.IsNaN(x) || x < 0 || x > 1 {
				t.Fatalf("point %d is no share: %+v", i, p)
			}
		}
		const hair = 1e-9
		if p.Low > p.Share+hair || p.Share > p.High+hair || p.CurveLow > p.Low+hair || p.CurveHigh < p.High-hair ||
			p.UndecidableLow > p.Share+hair || p.UndecidableHigh < p.Share-hair {
			t.Fatalf("point %d lies outside its band or bounds: %+v", i, p)
		}
		if p.Share < last.Share-hair || p.Low < last.Low-hair || p.High < last.High-hair {
			t.Fatalf("point %d falls: %+v after %+v", i, p, last)
		}
		if p.N < 0 || p.Waiting < 0 || p.Waiting > p.N || p.Undecidable < 0 {
			t.Fatalf("point %d counts wrongly: %+v", i, p)
		}
		last = p
	}
}
