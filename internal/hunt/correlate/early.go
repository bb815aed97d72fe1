package correlate

import (
	"slices"

	"postern"
)

// counting says which campaigns the host can be judged for. One whose first known use
// is later than the last row of the evidence is none of them, unless its own rules
// found something: logs of spring cannot say anything about autumn, and whoever
// collected them in spring does not want to know. If no campaign is left, all count,
// and none is conclusive.
func counting(in Input, claims []postern.Level) []bool {
	count := make([]bool, len(in.Campaigns))
	end := lastRow(in.Sources)
	for i := range in.Campaigns {
		count[i] = end.IsZero() || claims[i] > postern.NotSeen || !began(&in.Campaigns[i]).After(end)
	}
	if !slices.Contains(count, true) {
		for i := range count {
			count[i] = true
		}
	}
	return count
}

// began is when a campaign's flaw is first known to have been used.
func began(c *postern.Campaign) postern.Instant {
	if !c.FirstKnownUse.IsZero() {
		return c.FirstKnownUse
	}
	return c.Window.From
}

// lastRow is the time of the last row of all logs, zero if there is none.
func lastRow(sources map[string]*SourceSeen) (last postern.Instant) {
	for _, s := range sources {
		if s.To.After(last) {
			last = s.To
		}
	}
	return last
}

// tooEarly is the verdict about a campaign that began after the evidence ends.
func tooEarly(in Input, c postern.Campaign, coverage []postern.Coverage) (postern.Verdict, []postern.Coverage) {
	for i := range coverage {
		coverage[i].Status, coverage[i].Gaps = postern.NotApplicable, nil
	}
	return postern.Verdict{
		Title:      c.Levels[postern.NotSeen],
		Confidence: postern.Low,
		Summary: postern.Say("correlate.summary.early", "host", in.Host, "campaign@", c.Title.Key,
			"last", lastRow(in.Sources).Format("2006-01-02"), "began", began(&c).Format("2006-01-02")),
	}, coverage
}
