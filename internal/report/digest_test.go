package report

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"postern"
)

func at(s string) Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return At(t)
}

func TestLane(t *testing.T) {
	t.Parallel()
	window := Window{From: at("2021-03-01T00:00:00Z"), To: at("2021-03-31T00:00:00Z")} // 30 days, 4 cells a day
	for name, c := range map[string]struct {
		Coverage
		share float64
	}{
		"all":              {Coverage{Status: "covered", From: window.From, To: window.To}, 1},
		"more than all":    {Coverage{Status: "covered", From: at("2020-01-01T00:00:00Z"), To: at("2022-01-01T00:00:00Z")}, 1},
		"a third":          {Coverage{Status: "partial", From: at("2021-03-21T00:00:00Z"), To: window.To}, 1.0 / 3},
		"gap inside":       {Coverage{Status: "partial", From: window.From, To: window.To, Gaps: []Span{{at("2021-03-04T00:00:00Z"), at("2021-03-07T00:00:00Z")}}}, 0.9},
		"gap before begin": {Coverage{Status: "partial", From: at("2021-03-16T00:00:00Z"), To: window.To, Gaps: []Span{{window.From, at("2021-03-16T00:00:00Z")}}}, 0.5},
		"gap twice":        {Coverage{Status: "partial", From: window.From, To: window.To, Gaps: []Span{{window.From, window.To}, {window.From, window.To}}}, 0},
		"before":           {Coverage{Status: "partial", From: at("2020-01-01T00:00:00Z"), To: at("2020-02-01T00:00:00Z")}, 0},
		"after":            {Coverage{Status: "partial", From: at("2022-01-01T00:00:00Z"), To: at("2022-02-01T00:00:00Z")}, 0},
		"wrong way round":  {Coverage{Status: "partial", From: window.To, To: window.From}, 0},
		"absent":           {Coverage{Status: "absent", From: window.From, To: window.To}, 0},
		"no times":         {Coverage{Status: "covered"}, 0},
		"far":              {Coverage{Status: "covered", From: at("0001-01-02T00:00:00Z"), To: at("9999-01-01T00:00:00Z")}, 1},
	} {
		l := newLane(c.Coverage, window)
		if math.Abs(l.Share-c.share) > 1e-9 {
			t.Errorf("%s: share %v, want %v", name, l.Share, c.share)
		}
	}
	if l := newLane(Coverage{From: window.From, To: window.To}, Window{}); l.Share != 0 {
		t.Errorf("without a window the share is %v, want 0", l.Share)
	}
}

// TestDigestIsSmall checks that what a report keeps does not grow with the findings.
func TestDigestIsSmall(t *testing.T) {
	t.Parallel()
	h := &Host{Head: Head{Host: "A", Verdict: Verdict{Level: postern.Implanted}}}
	story := Incident{Level: postern.Implanted}
	for i := range 5000 {
		f := Finding{ID: fmt.Sprint(i), Rule: fmt.Sprintf("r%d", i%500), Level: postern.Probed, Time: At(time.Unix(int64(i), 0))}
		for j := range 50 {
			f.Evidence = append(f.Evidence, Evidence{Path: fmt.Sprint(i, j), SHA256: "x"})
		}
		if i == 4321 {
			f.Level = postern.Implanted
		}
		h.Findings = append(h.Findings, f)
		story.Findings = append(story.Findings, f.ID)
	}
	for range 200 {
		h.Incidents = append(h.Incidents, story)
	}
	d := NewDigest(&Run{}, h, 3)
	if len(d.Groups) != maxGroups || d.MoreGroups != 501-maxGroups || len(d.Incidents) != maxIncidents || len(d.Inputs) != maxInputs {
		t.Errorf("%d groups and %d more, %d incidents, %d inputs", len(d.Groups), d.MoreGroups, len(d.Incidents), len(d.Inputs))
	}
	if d.Groups[0].Level != postern.Implanted {
		t.Errorf("the first group is of level %v, want the worst", d.Groups[0].Level)
	}
	for _, g := range d.Groups {
		if len(g.Shown) > 3 || len(g.Evidence) != 0 || len(g.Shown[0].Evidence) != maxEvidence || g.Shown[0].MorePlaces != 47 {
			t.Fatalf("group %s shows %d findings, the first with %d places and %d more", g.Rule, len(g.Shown), len(g.Shown[0].Evidence), g.Shown[0].MorePlaces)
		}
	}
	tale := d.Incidents[0]
	if len(tale.Steps) != maxSteps || !slices.ContainsFunc(tale.Steps, func(s Step) bool { return s.Level == postern.Implanted }) {
		t.Errorf("%d steps, the worst among them: want %d and true", len(tale.Steps), maxSteps)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		level      postern.Level
		conclusive bool
		want       Clean
	}{
		{postern.NotSeen, true, NothingYet}, {postern.NotSeen, false, NotKnown},
		{postern.Probed, true, NothingYet}, {postern.Probed, false, NotKnown},
		{postern.Exploited, true, NotClean}, {postern.Exploited, false, NotClean}, {postern.PostExploitation, true, NotClean},
	} {
		if got := clean(&Verdict{Level: c.level, Conclusive: c.conclusive}); got != c.want {
			t.Errorf("level %v, conclusive %v: clean is %q, want %q", c.level, c.conclusive, got, c.want)
		}
	}
}

type tongue string

func (l tongue) Lang() string              { return string(l) }
func (l tongue) Has(string) bool           { return false }
func (l tongue) Say(t postern.Text) string { return t.Key }

func TestWords(t *testing.T) {
	t.Parallel()
	en, es := Words{tongue("en")}, Words{tongue("es")}
	for _, c := range []struct{ got, want string }{
		{en.Number(0), "0"}, {en.Number(999), "999"}, {en.Number(1843), "1,843"}, {en.Number(9120334), "9,120,334"},
		{es.Number(1843), "1843"}, {es.Number(48211), "48.211"}, {en.Number(-12345), "-12,345"}, {en.Number(math.MinInt64), "-9,223,372,036,854,775,808"},
		{en.Bytes(999), "999 B"}, {en.Bytes(1000), "1.0 kB"}, {es.Bytes(3_482_000_111), "3,5 GB"}, {en.Bytes(math.MaxInt64), "9223.4 PB"},
		{en.Seconds(0.04), "0.0 s"}, {en.Seconds(41.7), "41.7 s"}, {en.Seconds(125), "2 min 05 s"}, {en.Seconds(7260), "2 h 01 min"}, {en.Seconds(1e300), "1e+300 s"},
		{en.Percent(0), "0%"}, {en.Percent(0.0001), "<1%"}, {en.Percent(0.999), "99%"}, {en.Percent(1), "100%"}, {en.Percent(0.29), "29%"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 3600)
	for _, c := range []struct {
		in   time.Time
		want string
	}{
		{time.Time{}, ""}, {time.Date(2021, 3, 3, 7, 49, 43, 699_999_999, zone), "2021-03-03T06:49:43.699Z"},
		{time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), ""}, {time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), ""},
	} {
		if got := At(c.in).String(); got != c.want {
			t.Errorf("At(%v) = %q, want %q", c.in, got, c.want)
		}
	}
}
