package campaign

import (
	"testing"

	"postern"
)

// chain is the four ProxyLogon flaws.
var chain = []string{"CVE-2021-26855", "CVE-2021-26857", "CVE-2021-26858", "CVE-2021-27065"}

const proxyLogon = "CVE-2021-26855"

type assessCase struct {
	why, cve, build string
	want            postern.Assessment
}

func runAssess(t *testing.T, cases []assessCase) {
	t.Helper()
	p := theProduct(t)
	for _, c := range cases {
		got, reason := p.Assess(c.cve, build(t, c.build))
		if got != c.want {
			t.Errorf("%s: Assess(%s, %s) = %s, want %s (%s)", c.why, c.cve, c.build, got, c.want, Error{What: reason})
		}
		if reason.IsZero() {
			t.Errorf("%s: Assess(%s, %s) says no reason", c.why, c.cve, c.build)
		}
	}
}

func TestAssessComparesTuples(t *testing.T) { // rule 1
	t.Parallel()
	runAssess(t, []assessCase{
		{"as a decimal 1713.10 is below 1713.9", proxyLogon, "15.1.1713.10", postern.Fixed},
		{"as text 1713.9 is above 1713.10", proxyLogon, "15.1.1713.9", postern.UnfixedOrMitigated},
		{"1913.10 is not 1913.1", "CVE-2020-0903", "15.1.1913.10", postern.Fixed},
		{"1913.7 is below 1913.10", "CVE-2020-0903", "15.1.1913.7", postern.Unfixed},
		{"leading zeros", proxyLogon, "15.01.2176.009", postern.Fixed},
	})
}

func TestAssessByEdition(t *testing.T) { // rule 2
	t.Parallel()
	runAssess(t, []assessCase{
		{"the cloud is not assessed", proxyLogon, "15.20.4150.30", postern.NotAssessed},
		{"the Subscription Edition came with the fix", proxyLogon, "15.2.2562.17", postern.Fixed},
		{"2007 has another architecture", proxyLogon, "8.3.517.0", postern.NotAffected},
		{"not a build of Exchange", proxyLogon, "16.0.1.1", postern.Undecidable},
		{"no build at all", proxyLogon, "", postern.Undecidable},
		{"a CVE that the table does not have", "CVE-1999-0001", "15.1.2176.9", postern.NotAssessed},
		{"a preview is in no list of affected versions", proxyLogon, "15.2.196.0", postern.NotAssessed},
	})
}

func TestAssessInsideOneLine(t *testing.T) { // rule 3
	t.Parallel()
	runAssess(t, []assessCase{
		{"CU17 with the update", proxyLogon, "15.1.2044.13", postern.Fixed},
		{"CU18 without, though higher", proxyLogon, "15.1.2106.2", postern.UnfixedOrMitigated},
		{"a line that is in no list", proxyLogon, "15.1.1240.20", postern.Undecidable},
		{"a line that will be released later", "CVE-2026-96940", "15.2.2700.5", postern.Undecidable},
		{"2010 compares inside a service pack", "CVE-2020-0688", "14.3.509.0", postern.Fixed},
	})
}

func TestAssessByFixNotByPublication(t *testing.T) { // rule 4
	t.Parallel()
	runAssess(t, []assessCase{
		{"ProxyShell was fixed in April", "CVE-2021-34473", "15.1.2176.12", postern.Fixed},
		{"ProxyShell in March", "CVE-2021-34473", "15.1.2176.9", postern.Unfixed},
		{"fixed in August, published in September", "CVE-2023-36745", "15.2.1258.23", postern.Fixed},
	})
	p := theProduct(t)
	for _, id := range []string{"CVE-2021-34473", "CVE-2023-36745"} {
		v, _ := p.CVE(id)
		if !v.Fixed.Before(v.Published) {
			t.Errorf("%s: fixed %s, published %s: the fix came first", id, v.Fixed, v.Published)
		}
		at, ok := p.FixAvailable(id, build(t, map[string]string{"CVE-2021-34473": "15.1.2176.9", "CVE-2023-36745": "15.2.1258.16"}[id]))
		if !ok || !at.Equal(v.Fixed) {
			t.Errorf("%s: available %s, %v, want %s", id, at, ok, v.Fixed)
		}
	}
}

func TestAssessBaseAndLinesWithoutFix(t *testing.T) { // rule 5
	t.Parallel()
	runAssess(t, []assessCase{
		{"released with the fix", proxyLogon, "15.2.858.5", postern.Fixed},
		{"an update of such a line", proxyLogon, "15.2.858.15", postern.Fixed},
		{"never got it", proxyLogon, "15.1.1261.39", postern.NoFixForLine},
		{"never got it, any build", proxyLogon, "15.0.1367.99", postern.NoFixForLine},
		{"out of support when it was published", "CVE-2021-26857", "8.3.517.0", postern.NotAssessed},
		{"not listed", "CVE-2020-17144", "15.1.2176.2", postern.NotAffected},
		{"completed in March 2023: lines of later have it", "CVE-2023-21707", "15.2.1544.4", postern.Fixed},
	})
}

func TestAssessSpecialUpdatesOfMarch2021(t *testing.T) { // rule 6
	t.Parallel()
	runAssess(t, []assessCase{
		{"proves ProxyLogon", proxyLogon, "15.1.1847.12", postern.Fixed},
		{"and nothing older", "CVE-2020-0688", "15.1.1847.12", postern.Undecidable},
		{"which an earlier update proves", "CVE-2020-0688", "15.1.1847.7", postern.Fixed},
		{"nor what came out on the same day", "CVE-2021-26412", "15.1.1847.12", postern.NoFixForLine},
		{"nor anything later", "CVE-2021-34473", "15.1.2044.13", postern.NoFixForLine},
		{"unless the line was released with it", "CVE-2020-0688", "15.1.2044.13", postern.Fixed},
	})
}

func TestAssessWhatABuildDoesNotDecide(t *testing.T) { // rule 7
	t.Parallel()
	runAssess(t, []assessCase{
		{"Extended Protection, possible", "CVE-2024-21410", "15.1.2507.37", postern.Undecidable},
		{"Extended Protection, proposed", "CVE-2024-21410", "15.2.1544.4", postern.Undecidable},
		{"Extended Protection, not yet possible", "CVE-2024-21410", "15.1.2507.9", postern.Unfixed},
		{"Extended Protection, never possible", "CVE-2024-21410", "15.1.2308.21", postern.NoFixForLine},
		{"fixed outside, above", "CVE-2023-21709", "15.2.1258.23", postern.Undecidable},
		{"fixed outside, below", "CVE-2023-21709", "15.2.1258.12", postern.Undecidable},
		{"fixed outside, no update", "CVE-2023-21709", "15.2.986.42", postern.Undecidable},
		{"hybrid only", "CVE-2025-53786", "15.2.1748.24", postern.Undecidable},
		{"a setting can switch it off", "CVE-2025-25005", "15.2.1748.36", postern.Undecidable},
		{"a setting cannot switch it on", "CVE-2025-25005", "15.2.1748.26", postern.Unfixed},
		{"completed in March 2023, between", "CVE-2023-21707", "15.1.2507.21", postern.Undecidable},
		{"completed in March 2023, after", "CVE-2023-21707", "15.1.2507.23", postern.Fixed},
		{"completed in March 2023, before", "CVE-2023-21707", "15.1.2507.17", postern.Unfixed},
		{"two lists disagree", proxyLogon, "15.1.1415.8", postern.Undecidable},
		{"two lists disagree", proxyLogon, "15.1.1415.9", postern.Undecidable},
		{"two lists agree below", proxyLogon, "15.1.1415.7", postern.UnfixedOrMitigated},
		{"two lists agree above", proxyLogon, "15.1.1415.10", postern.Fixed},
		{"two lists disagree", proxyLogon, "15.1.1466.13", postern.Undecidable},
		{"two lists disagree", proxyLogon, "15.1.1466.15", postern.Undecidable},
		{"two lists agree", proxyLogon, "15.1.1466.16", postern.Fixed},
	})
}

func TestAssessNeverCallsAMitigatedHostVulnerable(t *testing.T) { // rule 8
	t.Parallel()
	runAssess(t, []assessCase{
		{"cookie rule", proxyLogon, "15.1.2176.4", postern.UnfixedOrMitigated},
		{"autodiscover rule", "CVE-2022-41040", "15.1.2507.13", postern.UnfixedOrMitigated},
		{"no mitigation exists", "CVE-2021-34473", "15.1.2176.9", postern.Unfixed},
		{"the update closes it", "CVE-2022-41040", "15.1.2507.16", postern.Fixed},
	})
}

func TestAssessChainIsOneDecision(t *testing.T) { // rule 9
	t.Parallel()
	p := theProduct(t)
	for _, r := range p.Releases {
		if r.Edition == "exchange-2007" || r.Edition == "exchange-2010" {
			continue
		}
		want, _ := p.Assess(chain[0], r.Build)
		for _, cve := range chain[1:] {
			if got, _ := p.Assess(cve, r.Build); got != want {
				t.Errorf("%s %s %s: %s is %s but %s is %s", r.Edition, r.Line, r.Build, chain[0], want, cve, got)
			}
		}
	}
	runAssess(t, []assessCase{
		{"2013 SP1, left out of the vendor's list", "CVE-2021-26858", "15.0.847.64", postern.Fixed},
		{"2013 SP1 before", "CVE-2021-26858", "15.0.847.62", postern.UnfixedOrMitigated},
		{"of 2010 only one is listed", proxyLogon, "14.3.496.0", postern.NotAffected},
		{"of 2010 only one is listed", "CVE-2021-27065", "14.3.496.0", postern.NotAffected},
		{"2010 before RU32", "CVE-2021-26857", "14.3.509.0", postern.UnfixedOrMitigated},
		{"2010 with RU32", "CVE-2021-26857", "14.3.513.0", postern.Fixed},
		{"an old service pack of 2010", "CVE-2021-26857", "14.2.390.3", postern.NoFixForLine},
	})
}

// A build that is in no list can have files of the release before or after it.
func TestAssessUnlistedBuilds(t *testing.T) {
	t.Parallel()
	runAssess(t, []assessCase{
		{"between two releases without the fix", proxyLogon, "15.1.2176.3", postern.UnfixedOrMitigated},
		{"between the last without and the first with", proxyLogon, "15.1.2176.8", postern.Undecidable},
		{"between two releases with the fix", proxyLogon, "15.1.2176.10", postern.Fixed},
		{"above all releases of the line", proxyLogon, "15.1.2176.90", postern.Fixed},
		{"below the first release, as headers lag", proxyLogon, "15.2.858.2", postern.Fixed},
		{"an old header of 2010 that lags", "CVE-2020-0688", "14.3.487.0", postern.Undecidable},
		{"above a special update", "CVE-2020-0688", "15.1.1847.40", postern.Undecidable},
		{"three numbers, the whole line", proxyLogon, "15.1.2176", postern.Undecidable},
		{"three numbers, released with it", proxyLogon, "15.2.858", postern.Fixed},
		{"three numbers, never fixed", proxyLogon, "15.1.1261", postern.NoFixForLine},
	})
	p := theProduct(t)
	_, reason := p.Assess(proxyLogon, build(t, "15.1.2176.10"))
	if got := reason.Args["build"]; got != "15.1.2176.10" {
		t.Errorf("the reason speaks of build %q, want the one that was asked about", got)
	}
}

func TestAssessRange(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	for _, c := range []struct {
		why, cve, low, high string
		want                postern.Assessment
	}{
		{"all before", proxyLogon, "15.1.2176.2", "15.1.2176.4", postern.UnfixedOrMitigated},
		{"all after", proxyLogon, "15.1.2176.9", "15.1.2176.14", postern.Fixed},
		{"across", proxyLogon, "15.1.2176.2", "15.1.2176.14", postern.Undecidable},
		{"an end that is in no list", proxyLogon, "15.1.2176.2", "15.1.2176.5", postern.Undecidable},
		{"open below", proxyLogon, "", "15.1.2176.4", postern.UnfixedOrMitigated},
		{"open above", proxyLogon, "15.1.2176.9", "", postern.Fixed},
		{"open above, before", proxyLogon, "15.1.2176.2", "", postern.Undecidable},
		{"above the table", "CVE-2026-96940", "15.2.1748.53", "15.2.1748.80", postern.Fixed},
		{"a doubt inside", "CVE-2020-0688", "15.1.1847.7", "15.1.1847.12", postern.Undecidable},
		{"up to a doubt", "CVE-2020-0688", "15.1.1847.7", "15.1.1847.10", postern.Fixed},
		{"a doubt that ends inside", "CVE-2023-21707", "15.1.2507.17", "15.1.2507.23", postern.Undecidable},
		{"two lines, none with the fix", proxyLogon, "15.1.1034.33", "15.1.1261.39", postern.NoFixForLine},
		{"two lines, neither fixed", proxyLogon, "15.1.1261.39", "15.1.1415.7", postern.UnfixedOrMitigated},
		{"two lines, both fixed", proxyLogon, "15.1.2242.4", "15.1.2308.27", postern.Fixed},
		{"two lines, one with and one without", proxyLogon, "15.1.2044.13", "15.1.2106.4", postern.Undecidable},
		{"backwards", proxyLogon, "15.1.2176.9", "15.1.2176.2", postern.Undecidable},
		{"nothing known", proxyLogon, "", "", postern.Undecidable},
		{"the cloud", proxyLogon, "15.20.1.0", "15.20.2.0", postern.NotAssessed},
	} {
		got, reason := p.AssessRange(c.cve, build(t, c.low), build(t, c.high))
		if got != c.want || reason.IsZero() {
			t.Errorf("%s: AssessRange(%s, %s, %s) = %s, want %s (%s)", c.why, c.cve, c.low, c.high, got, c.want, Error{What: reason})
		}
	}
}

// An interval may never be answered with more than holds for each build in it.
func TestAssessRangeAgreesWithEveryBuildInIt(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	unfixed := map[postern.Assessment]bool{postern.Unfixed: true, postern.UnfixedOrMitigated: true, postern.NoFixForLine: true}
	for _, v := range p.CVEs {
		if v.KEV.IsZero() && len(v.Notes) == 0 {
			continue // of the same shape as others, and many
		}
		for _, l := range p.Lines {
			rs := l.Releases()
			for i := range rs {
				for j := i; j < len(rs); j += 3 {
					all, _ := p.AssessRange(v.ID, rs[i].Build, rs[j].Build)
					if all == postern.Undecidable {
						continue
					}
					for _, r := range rs[i : j+1] {
						if one, _ := p.Assess(v.ID, r.Build); one != all && !(unfixed[one] && unfixed[all]) {
							t.Fatalf("%s: %s to %s is %s, but %s is %s", v.ID, rs[i].Build, rs[j].Build, all, r.Build, one)
						}
					}
				}
			}
		}
	}
}

func TestFixFor(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	for _, c := range []struct {
		why, cve, build          string
		ok, here                 bool
		line, update, fix, newer string
	}{
		{"its own line has it", proxyLogon, "15.1.2176.2", true, true, "CU19", "Mar21SU", "15.1.2176.9", "15.1.2176.14"},
		{"its own line came with it", proxyLogon, "15.2.858.5", true, true, "CU9", "", "15.2.858.5", "15.2.858.15"},
		{"its own line never got it", proxyLogon, "15.1.1261.39", true, false, "CU23", "", "15.1.2507.6", "15.1.2507.75"},
		{"another line and an update", "CVE-2021-34473", "15.0.1473.6", true, false, "CU23", "Apr21SU", "15.0.1497.15", "15.0.1497.48"},
		{"an old service pack", "CVE-2021-26857", "14.2.390.3", true, false, "SP3", "RU32", "14.3.513.0", "14.3.513.0"},
		{"not affected", proxyLogon, "14.3.496.0", false, false, "", "", "", ""},
		{"never said", "CVE-2023-36745", "15.0.1497.48", false, false, "", "", "", ""},
		{"unknown line", proxyLogon, "15.1.1240.20", false, false, "", "", "", ""},
		{"unknown CVE", "CVE-1999-0001", "15.1.2176.2", false, false, "", "", "", ""},
	} {
		fix, ok := p.FixFor(c.cve, build(t, c.build))
		if ok != c.ok {
			t.Errorf("%s: FixFor(%s, %s) found %v, want %v", c.why, c.cve, c.build, ok, c.ok)
			continue
		}
		if !ok {
			continue
		}
		if fix.Here != c.here || fix.Line.Name != c.line || fix.Update.Update != c.update ||
			fix.Update.Build != build(t, c.fix) || fix.Newest.Build != build(t, c.newer) {
			t.Errorf("%s: FixFor(%s, %s) = here %v, %s %s %s, newest %s; want here %v, %s %s %s, newest %s", c.why, c.cve, c.build,
				fix.Here, fix.Line.Name, fix.Update.Update, fix.Update.Build, fix.Newest.Build, c.here, c.line, c.update, c.fix, c.newer)
		}
		if fix.Steps(p).IsZero() {
			t.Errorf("%s: no steps", c.why)
		}
	}
	if at, ok := p.FixAvailable(proxyLogon, build(t, "15.1.2044.4")); !ok || at.Format("2006-01-02") != "2021-03-10" {
		t.Errorf("CU17 could be fixed from %s, %v, want 2021-03-10", at, ok)
	}
	if _, ok := p.FixAvailable(proxyLogon, build(t, "15.1.1261.39")); ok {
		t.Error("a line without an update could never be fixed without changing it")
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	var keys []string
	for _, n := range p.Notes(proxyLogon, build(t, "15.1.1415.7")) {
		keys = append(keys, n.Key)
	}
	want := []string{"exchange.note.lists-disagree", "exchange.note.mitigation-cookie-rule"}
	if len(keys) != 2 || keys[0] != want[0] || keys[1] != want[1] {
		t.Errorf("notes: got %q, want %q", keys, want)
	}
}

func BenchmarkAssess(b *testing.B) {
	p := theProduct(b)
	low := build(b, "15.1.2176.4")
	for b.Loop() {
		p.Assess(proxyLogon, low)
	}
}

func BenchmarkAssessRange(b *testing.B) {
	p := theProduct(b)
	low, high := build(b, "15.1.2507.6"), build(b, "15.1.2507.75")
	for b.Loop() {
		p.AssessRange("CVE-2022-41040", low, high)
	}
}

// FuzzAssess asks of any two builds: what is said of the interval holds for its ends.
func FuzzAssess(f *testing.F) {
	f.Add("15.1.2176.4", "15.1.2176.9", 40)
	f.Add("15.1.1415.8", "15.1.1415.8", 33)
	f.Add("14.3.487.0", "15.2.1748.0", 0)
	f.Add("15.1.225.16", "", 2)
	f.Fuzz(func(t *testing.T, low, high string, cve int) {
		p := theProduct(t)
		from, err := postern.ParseBuild(low)
		if err != nil && low != "" {
			return
		}
		to, err := postern.ParseBuild(high)
		if err != nil && high != "" {
			return
		}
		id := p.CVEs[uint(cve)%uint(len(p.CVEs))].ID
		all, why := p.AssessRange(id, from, to)
		if why.IsZero() {
			t.Errorf("AssessRange(%s, %s, %s) = %s without a reason", id, from, to, all)
		}
		p.FixFor(id, from)
		p.Notes(id, to)
		if all == postern.Undecidable || all == postern.NotAssessed || from.IsZero() || to.IsZero() {
			return
		}
		for _, b := range []postern.Build{from, to} {
			if b[3] == 0 {
				continue // as an end it is one end of the line, alone it is all of it
			}
			one, _ := p.Assess(id, b)
			missing := one == postern.NoFixForLine || one == postern.Unfixed || one == postern.UnfixedOrMitigated
			if one != all && !(missing && (all == postern.Unfixed || all == postern.UnfixedOrMitigated)) {
				t.Errorf("%s: %s to %s is %s, but %s is %s", id, from, to, all, b, one)
			}
		}
	})
}
