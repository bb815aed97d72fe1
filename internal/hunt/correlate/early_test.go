package correlate

import (
	"testing"

	"postern"
)

// Logs that end before a campaign began leave no gap in it, unless something of it
// was found all the same.
func TestCampaignAfterTheEvidence(t *testing.T) {
	t.Parallel()
	const day = 24 * 60
	later := flaw()
	later.Name, later.CVEs = "later", []string{"CVE-2"}
	later.FirstKnownUse, later.Window = at(20*day), postern.Window{From: at(30 * day), To: at(40 * day)}
	both := func(findings ...postern.Finding) Input {
		in := covered(findings...)
		in.Campaigns = append(in.Campaigns, later)
		return in
	}

	h := Host(both())
	check(t, h.Verdict, postern.NotSeen, postern.High, true)
	v := h.Campaigns[1]
	if v.Verdict.Conclusive || v.Verdict.Summary.Key != "correlate.summary.early" {
		t.Errorf("the later campaign's verdict: %+v, want one that says that the evidence ends too early", v.Verdict)
	}
	for _, c := range v.Coverage {
		if c.Status != postern.NotApplicable || c.Gaps != nil {
			t.Errorf("coverage of %s: %v with %d gaps, want not applicable", c.Source, c.Status, len(c.Gaps))
		}
	}
	if v.Verdict.Next != nil {
		t.Errorf("the later campaign asks for %v", v.Verdict.Next)
	}

	// Its flaw found in these logs: then it is judged as ever.
	in := both(found("claim", postern.Probed, day, "", func(f *postern.Finding) { f.Campaign = "later" }))
	if got := Host(in).Campaigns[1].Verdict; got.Level != postern.Probed || got.Summary.Key == "correlate.summary.early" {
		t.Errorf("found in the logs: %+v", got)
	}

	// One row later than its first known use: then its window has a gap.
	in = both()
	in.Sources["iis"].To = later.FirstKnownUse
	check(t, Host(in).Verdict, postern.NotSeen, postern.Low, false)

	// Logs from before every campaign are no clean result of any.
	in = both()
	in.Campaigns = in.Campaigns[1:]
	check(t, Host(in).Verdict, postern.NotSeen, postern.Low, false)
}
