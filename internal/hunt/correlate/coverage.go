package correlate

import (
	"time"

	"postern"
)

// defaultQuiet is the longest silence that is normal for a busy log: load
// balancers and monitors call a live server many times an hour.
const defaultQuiet = 2

// covers says what a source can have seen of a window.
func covers(name string, seen *SourceSeen, w postern.Window, quietHours int) postern.Coverage {
	c := postern.Coverage{Source: name, Status: postern.Absent}
	if seen == nil || seen.Records == 0 && seen.Files == 0 {
		c.Gaps = []postern.Span{{From: w.From, To: w.To}}
		return c
	}
	c.Records, c.From, c.To = seen.Records, seen.From, seen.To
	if seen.Whole {
		c.Status = postern.Covered
		c.Records = seen.Files
		return c
	}
	if quietHours <= 0 {
		quietHours = defaultQuiet
	}
	c.Gaps = gaps(seen.Hours, w, int64(quietHours))
	if !within(seen.Hours, w) { // however short the window is
		c.Gaps = []postern.Span{{From: w.From, To: w.To}}
	}
	var missing, whole time.Duration = 0, w.To.Sub(w.From)
	for _, g := range c.Gaps {
		missing += g.To.Sub(g.From)
	}
	switch {
	case len(c.Gaps) == 0:
		c.Status = postern.Covered
	case missing >= whole:
		c.Status = postern.Absent
	default:
		c.Status = postern.Partial
	}
	return c
}

// within says whether there is a row in an hour of the window.
func within(hours map[int64]int64, w postern.Window) bool {
	first, end := hoursOf(w)
	for h, n := range hours {
		if n > 0 && h >= first && h < end {
			return true
		}
	}
	return false
}

// hoursOf gives the first hour of a window and the one after its last.
func hoursOf(w postern.Window) (first, end int64) {
	return w.From.Unix() / 3600, (w.To.Unix() + 3599) / 3600
}

// gaps gives the hours of the window without a row, where there are more of
// them in a row than the source is ever silent for.
func gaps(hours map[int64]int64, w postern.Window, quiet int64) []postern.Span {
	var all []postern.Span
	first, end := hoursOf(w)
	for h := first; h < end; {
		if hours[h] > 0 {
			h++
			continue
		}
		start := h
		for h < end && hours[h] == 0 {
			h++
		}
		if h-start > quiet {
			from, to := time.Unix(start*3600, 0).UTC(), time.Unix(h*3600, 0).UTC()
			if start == first {
				from = w.From
			}
			if h == end {
				to = w.To
			}
			all = append(all, postern.Span{From: from, To: to})
		}
	}
	return all
}

// coverageOfHost is the coverage of the campaign that the host's verdict comes
// from, and of every other source that was read, without a judgement.
func coverageOfHost(in Input, campaigns []postern.CampaignVerdict, claims []postern.Level) []postern.Coverage {
	var all []postern.Coverage
	listed := make(map[string]bool)
	if i := worstIndex(campaigns, claims); i >= 0 {
		all = append(all, campaigns[i].Coverage...)
		for _, c := range all {
			listed[c.Source] = true
		}
	}
	for _, name := range sortedSources(in.Sources) {
		if seen := in.Sources[name]; !listed[name] {
			status, records := postern.Covered, seen.Records
			if seen.Whole {
				records = seen.Files
			}
			if records == 0 {
				status = postern.Absent
			}
			all = append(all, postern.Coverage{Source: name, Status: status, From: seen.From, To: seen.To, Records: records})
		}
	}
	return all
}
