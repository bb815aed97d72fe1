package assess

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/exposure"
)

func build(s string) postern.Build {
	b, err := postern.ParseBuild(s)
	if err != nil {
		panic(err)
	}
	return b
}

// releases is a small table with a line that got the fix, one that never did and
// one that was made after it.
func releases() []exposure.Release {
	var list []exposure.Release
	for _, r := range [][4]string{
		{"15.1.1713.5", "exchange-2016", "CU12", ""}, {"15.1.1713.10", "exchange-2016", "CU12", "Mar21SU"},
		{"15.1.845.34", "exchange-2016", "CU5", ""},
		{"15.1.2176.2", "exchange-2016", "CU19", ""}, {"15.1.2176.4", "exchange-2016", "CU19", "Feb21SU"},
		{"15.1.2176.9", "exchange-2016", "CU19", "Mar21SU"}, {"15.1.2176.12", "exchange-2016", "CU19", "Apr21SU"},
		{"15.1.2507.6", "exchange-2016", "CU23", ""}, {"15.1.2507.9", "exchange-2016", "CU23", "May22SU"},
		{"14.3.513.0", "exchange-2010", "SP3", "RU32"},
	} {
		list = append(list, exposure.Release{Build: build(r[0]), Edition: r[1], Line: r[2], Update: r[3]})
	}
	return list
}

// judge is a fake table: CVE-A is fixed by Mar21SU, CVE-M like it with a
// mitigation, CVE-X decided by configuration.
type judge struct{}

func (judge) Assess(cve string, b postern.Build) (postern.Assessment, postern.Text) {
	why := postern.Say("test." + cve)
	switch {
	case cve == "CVE-X":
		return postern.Undecidable, why
	case cve != "CVE-A" && cve != "CVE-M":
		return postern.NotAssessed, postern.Text{}
	case b[0] == 14:
		return postern.NotAffected, why
	case b[2] == 845:
		return postern.NoFixForLine, why
	case b[2] == 2507, b[2] == 2176 && b[3] >= 9, b[2] == 1713 && b[3] >= 10:
		return postern.Fixed, why
	case cve == "CVE-M":
		return postern.UnfixedOrMitigated, why
	}
	return postern.Unfixed, why
}

func between(low, high string) exposure.Range {
	r := exposure.Range{Low: build(low), High: build(high)}
	if low == high {
		r.Exact = r.Low
	}
	return r
}

func TestDecide(t *testing.T) {
	t.Parallel()
	a := New(releases(), judge{})
	for _, c := range []struct {
		name, cve, edition string
		r                  exposure.Range
		want               postern.Assessment
		advice             string
	}{
		{"all builds fixed", "CVE-A", "exchange-2016", between("15.1.2176.9", "15.1.2176.12"), postern.Fixed, ""},
		{"no build fixed", "CVE-A", "exchange-2016", between("15.1.2176.2", "15.1.2176.4"), postern.Unfixed, "exposure.advice.update"},
		{"a mitigation may hide", "CVE-M", "exchange-2016", between("15.1.2176.2", "15.1.2176.4"), postern.UnfixedOrMitigated, "exposure.advice.update"},
		{"some builds fixed", "CVE-A", "exchange-2016", between("15.1.2176.2", "15.1.2176.12"), postern.Undecidable, "exposure.advice.look"},
		{"a line without the fix", "CVE-A", "exchange-2016", between("15.1.845.34", "15.1.845.34"), postern.NoFixForLine, "exposure.advice.change-line"},
		{"an edition that is not affected", "CVE-A", "exchange-2010", between("14.3.513.0", "14.3.513.0"), postern.NotAffected, ""},
		{"an edition that is not affected, line unknown", "CVE-A", "exchange-2010", exposure.Range{}, postern.NotAffected, ""},
		{"an edition of many lines", "CVE-A", "exchange-2016", exposure.Range{}, postern.Undecidable, "exposure.advice.look-any"},
		{"an unknown edition", "CVE-A", "exchange", exposure.Range{}, postern.Undecidable, ""},
		{"a CVE that nobody knows", "CVE-9", "exchange-2016", between("15.1.2176.2", "15.1.2176.4"), postern.NotAssessed, ""},
		{"a CVE that nobody knows, edition unknown", "CVE-9", "exchange", exposure.Range{}, postern.NotAssessed, ""},
		{"configuration decides", "CVE-X", "exchange-2016", between("15.1.2176.2", "15.1.2176.2"), postern.Undecidable, "exposure.advice.look-any"},
		{"newer than the table, fixed before", "CVE-A", "exchange-2016", between("15.1.2507.9", "15.1.2507.99"), postern.Fixed, ""},
		{"newer than the table, no fix known", "CVE-A", "exchange-2016", between("15.1.845.34", "15.1.845.99"), postern.Undecidable, "exposure.advice.look-any"},
	} {
		d := a.Decide(c.cve, c.edition, c.r)
		if d.Assessment != c.want || d.Advice.Key != c.advice {
			t.Errorf("%s: %s %q, want %s %q", c.name, d.Assessment, d.Advice.Key, c.want, c.advice)
		}
		if d.Reason.IsZero() && d.Assessment != postern.NotAssessed {
			t.Errorf("%s: no reason", c.name)
		}
	}
}

func TestWeakestMemberDecides(t *testing.T) {
	t.Parallel()
	a := New(releases(), judge{})
	o := exposure.Observation{Outcome: exposure.Exchange, Product: "exchange-2016", Line: "CU19", Build: between("15.1.2176.9", "15.1.2176.9"),
		Members: []exposure.Member{
			{Frontend: "A", Product: "exchange-2016", Line: "CU19", Build: between("15.1.2176.9", "15.1.2176.9")},
			{Frontend: "B", Product: "exchange-2016", Line: "CU19", Build: between("15.1.2176.4", "15.1.2176.4")},
			{Frontend: "C"},
		}}
	a.Apply(&o, []string{"CVE-A", "CVE-X", "CVE-9"})
	if got := o.Assessed["CVE-A"]; got != postern.Unfixed {
		t.Errorf("service is %s, want unfixed", got)
	}
	for i, want := range []postern.Assessment{postern.Fixed, postern.Unfixed, postern.Undecidable} {
		if got := o.Members[i].Assessed["CVE-A"]; got != want {
			t.Errorf("member %d is %s, want %s", i, got, want)
		}
	}
}

func TestOnlyExchangeIsAssessed(t *testing.T) {
	t.Parallel()
	a := New(releases(), judge{})
	for _, outcome := range exposure.Outcomes() {
		o := exposure.Observation{Outcome: outcome, Product: "exchange-2016", Build: between("15.1.2176.9", "15.1.2176.9")}
		a.Apply(&o, []string{"CVE-A"})
		if got, want := len(o.Assessed) > 0, outcome == exposure.Exchange; got != want {
			t.Errorf("%s assessed: %v, want %v", outcome, got, want)
		}
	}
}

func TestPolicyHeaderIsMitigationNotFix(t *testing.T) {
	t.Parallel()
	a := New(releases(), always(postern.Unfixed))
	o := exposure.Observation{Outcome: exposure.Exchange, Product: "exchange-2016", Build: between("15.1.2507.9", "15.1.2507.9"), Flags: []exposure.Flag{exposure.OWAContentPolicy}}
	a.Apply(&o, []string{PageCVE, "CVE-A"})
	if got := o.Assessed[PageCVE]; got != postern.UnfixedOrMitigated {
		t.Errorf("with the header: %s", got)
	}
	if got := o.Assessed["CVE-A"]; got != postern.Unfixed {
		t.Errorf("another CVE: %s", got)
	}
}

type always postern.Assessment

func (a always) Assess(string, postern.Build) (postern.Assessment, postern.Text) {
	return postern.Assessment(a), postern.Say("test.always")
}

// none replays nothing: the stored build stands.
type none struct{}

func (none) Replay(*exposure.Observation) {}

func TestRedecideGoesOnAfterBadLines(t *testing.T) {
	t.Parallel()
	good, err := json.Marshal(exposure.Observation{Schema: exposure.Schema, Target: "192.0.2.1", Time: time.Unix(1e9, 0).UTC(), Outcome: exposure.Exchange,
		Product: "exchange-2016", Line: "CU19", Build: between("15.1.2176.4", "15.1.2176.4"), Assessed: map[string]postern.Assessment{"CVE-A": postern.Fixed}})
	if err != nil {
		t.Fatal(err)
	}
	in := strings.Join([]string{
		string(good), "", "{", `{"schema":"other/1"}`, strings.Repeat("x", 300<<10),
		`{"schema":"postern.exposure/1","outcome":"wonderful","time":"2021-03-05T00:00:00Z"}`,
		`{"schema":"postern.exposure/1","outcome":"exchange"}`,
		string(good), // the last line has no end
	}, "\n")
	var report Report
	var got []string
	err = New(releases(), judge{}).Redecide(context.Background(), strings.NewReader(in), "a.jsonl", none{}, []string{"CVE-A"}, &report, func(o *exposure.Observation) error {
		got = append(got, string(o.Assessed["CVE-A"]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, " ") != "unfixed unfixed" || report.Records != 2 || report.Changed != 2 {
		t.Errorf("got %v, report %+v", got, report)
	}
	var lines []string
	for _, p := range report.Problems {
		lines = append(lines, p.Detail.Args["line"]+" "+string(p.What))
	}
	if want := "3 malformed,4 malformed,5 limit,6 malformed,7 malformed"; strings.Join(lines, ",") != want || report.Bad != 5 {
		t.Errorf("problems %v (%d bad), want %s", lines, report.Bad, want)
	}
}

func FuzzRedecide(f *testing.F) {
	f.Add([]byte("{\"schema\":\"postern.exposure/1\",\"outcome\":\"exchange\",\"time\":\"2021-03-05T00:00:00Z\",\"build\":{\"exact\":\"\",\"low\":\"15.1.2176.2\",\"high\":\"15.1.2176.9\"}}\n"))
	a := New(releases(), judge{})
	f.Fuzz(func(t *testing.T, in []byte) {
		var report Report
		records := int64(0)
		if err := a.Redecide(context.Background(), bytes.NewReader(in), "f", none{}, []string{"CVE-A"}, &report, func(o *exposure.Observation) error {
			records++
			if _, err := json.Marshal(o); err != nil {
				t.Error(err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		lines := int64(0)
		for _, l := range bytes.Split(in, []byte("\n")) {
			if len(bytes.TrimSpace(l)) > 0 {
				lines++
			}
		}
		if records != report.Records || records+report.Bad != lines {
			t.Errorf("%d records and %d bad lines of %d", records, report.Bad, lines)
		}
	})
}
