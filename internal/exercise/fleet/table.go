package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"postern"
)

// headerDay is the day of the security updates since which servers of 2013 and
// later write X-OWA-Version into answers that ask for a sign-in; allHeaderDay is
// since when nearly every answer is seen with it.
var (
	headerDay    = dayOf(time.Date(2021, time.July, 13, 0, 0, 0, 0, time.UTC))
	allHeaderDay = dayOf(time.Date(2022, time.January, 1, 0, 0, 0, 0, time.UTC))
)

// release is a row of the build table in days.
type release struct {
	build    postern.Build
	update   string
	day      int // since which it can be had
	released int // as the vendor lists it
	state    postern.Assessment
	text     string // the build
	// tool is the index of the release whose export tool this one has: updates
	// replace the tool only when they touch it.
	tool int
	// toolText is the version that this release's own tool shows.
	toolText string
}

// line is the releases of one CU line, ascending.
type line struct {
	edition, name string
	path          string // the number in the pages' paths: three parts, four for 2007 and 2010
	releases      []release
	fix           int // index of the first release with the fix; -1 if there is none
}

// legacy says whether the line is of 2007 or 2010, which tell their build to everybody.
func (l *line) legacy() bool { return l.edition == "exchange-2007" || l.edition == "exchange-2010" }

// at gives the index of the newest release that could be had on a day, -1 if none.
func (l *line) at(day int) int {
	newest := -1
	for i := range l.releases {
		if l.releases[i].day <= day {
			newest = i
		}
	}
	return newest
}

// table is the build table, arranged for living with it.
type table struct {
	lines     []line
	editions  map[string][]int // lines of an edition, ascending
	start     map[string]*weighted[int]
	editionAt weighted[string]
	subscribe int // day of the first release of the Subscription Edition; never without
}

// editionShares are the editions in the population of day 0. They follow counts
// of September 2020 (2007: 16,000, 2010: 140,000, 2013: 102,000 of some 430,000
// seen); how 2016 and 2019 share the rest is an estimate.
var editionShares = map[string]float64{
	"exchange-2007": 3, "exchange-2010": 28, "exchange-2013": 23, "exchange-2016": 32, "exchange-2019": 14,
}

// lineShares are the lines inside an edition on day 0: chosen so that about half of
// the hosts ran a line for which there was no update on the first day, as counts of
// 8 March say. A line that is not named has otherLine.
var lineShares = map[string]map[string]float64{
	"exchange-2007": {"SP3": 85, "SP2": 5, "SP1": 7},
	"exchange-2010": {"SP3": 88, "SP2": 5, "SP1": 5},
	"exchange-2013": {"CU23": 54, "CU22": 7, "CU21": 7, "SP1": 4},
	"exchange-2016": {"CU19": 30, "CU18": 17, "CU17": 9, "CU16": 6, "CU15": 6, "CU14": 6, "CU13": 4, "CU12": 5,
		"CU11": 3, "CU10": 2, "CU9": 1.5, "CU8": 2},
	"exchange-2019": {"CU8": 36, "CU7": 17, "CU6": 9, "CU5": 6, "CU4": 6, "CU3": 6, "CU2": 5, "CU1": 5, "RTM": 7},
}

const otherLine = 1.1

// lags are versions that 2007 and 2010 were seen to show instead of their build:
// files lag behind.
var lags = map[string]string{
	"8.1.240.6":  "8.1.240.5",
	"14.3.123.4": "14.3.123.3", "14.3.411.0": "14.3.409.0", "14.3.417.1": "14.3.415.0",
	"14.3.442.0": "14.3.439.0", "14.3.496.0": "14.3.487.0",
}

func newTable(list []Release) (*table, error) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Release) int { return a.Build.Compare(b.Build) })
	t := &table{editions: map[string][]int{}, start: map[string]*weighted[int]{}, subscribe: never}
	for _, r := range list {
		if r.Build.IsZero() || r.Edition == "" || r.Line == "" || r.Released.IsZero() {
			return nil, fmt.Errorf("release %v of %q %q: want a build, an edition, a line and a day", r.Build, r.Edition, r.Line)
		}
		if r.Build[0] == 15 && r.Build[1] >= 20 {
			continue // the vendor's own service
		}
		// Since 2013 the number is the line, which a preview shares with what followed it.
		path := fmt.Sprintf("%d.%d.%d", r.Build[0], r.Build[1], r.Build[2])
		n := len(t.lines) - 1
		if n < 0 || t.lines[n].edition != r.Edition || t.lines[n].name != r.Line && (t.lines[n].path != path || t.lines[n].legacy()) {
			t.lines = append(t.lines, line{edition: r.Edition, fix: -1, path: path})
			n++
		}
		t.lines[n].name = r.Line
		t.lines[n].add(r)
	}
	t.lines = slices.DeleteFunc(t.lines, func(l line) bool { return strings.Contains(l.name, "Preview") }) // nobody runs one for long
	for i := range t.lines {
		l := &t.lines[i]
		t.editions[l.edition] = append(t.editions[l.edition], i)
		if l.edition == "exchange-se" {
			t.subscribe = min(t.subscribe, l.releases[0].day)
		}
		if l.releases[0].day >= 0 {
			continue
		}
		if t.start[l.edition] == nil {
			t.start[l.edition] = &weighted[int]{}
		}
		share, ok := lineShares[l.edition][l.name]
		if !ok {
			share = otherLine
		}
		t.start[l.edition].add(i, share)
	}
	for _, e := range []string{"exchange-2007", "exchange-2010", "exchange-2013", "exchange-2016", "exchange-2019"} {
		if t.start[e] != nil {
			t.editionAt.add(e, editionShares[e])
		}
	}
	if len(t.editionAt.values) == 0 {
		return nil, fmt.Errorf("no release of 2007 to 2019 was there before %s", Begin.Format(time.DateOnly))
	}
	return t, nil
}

// add appends a release to its line.
func (l *line) add(r Release) {
	if r.Available.IsZero() {
		r.Available = r.Released
	}
	n := len(l.releases)
	x := release{build: r.Build, update: r.Update, day: dayOf(r.Available), released: dayOf(r.Released),
		state: r.State, text: r.Build.String(), tool: n, toolText: r.Build.String()}
	if r.State == postern.Fixed && l.fix < 0 {
		l.fix = n
	}
	if n > 0 && n != l.fix {
		// Which updates touch the tool is nowhere published. That the first one with the
		// fix did is seen (15.1.2176.9); of the others we let every second one.
		d := diceOf(uint64(r.Build[2])<<16|uint64(r.Build[3]), uint64(r.Build[1]))
		if d.n(forTool, 2) == 0 {
			x.tool = l.releases[n-1].tool
		} else if low := r.Build[3] - 1; l.fix >= 0 && d.n(forSerial, 3) == 0 && low > l.releases[n-1].build[3] {
			x.toolText = postern.Build{r.Build[0], r.Build[1], r.Build[2], low}.String() // seen: .5 for .8
		}
	}
	l.releases = append(l.releases, x)
}

// newest gives the newest line of an edition that could be had on a day, or -1.
func (t *table) newest(edition string, day int) int {
	found := -1
	for _, i := range t.editions[edition] {
		if t.lines[i].releases[0].day <= day {
			found = i
		}
	}
	return found
}

// open says whether an assessment means that the flaw is there.
func open(a postern.Assessment) bool {
	switch a {
	case postern.Unfixed, postern.UnfixedOrMitigated, postern.NoFixForLine:
		return true
	}
	return false
}

// over gives what an interval of releases means: what all of them say, or undecidable.
func (l *line) over(low, high int) postern.Assessment {
	first := l.releases[low].state
	for _, r := range l.releases[low+1 : high+1] {
		switch {
		case r.state == first:
		case open(r.state) && open(first):
			first = postern.Unfixed
		default:
			return postern.Undecidable
		}
	}
	return first
}
