package correlate

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"postern"
)

// owners says of each finding in which campaigns it counts. What a pack claims counts
// in its own. A finding that no pack claims, such as the use of a back door, counts in
// the campaigns whose flaw was used in the same story. Where no story tells, it is those
// that were known by its time, and of these the ones whose flaw was used on the host at
// all, if there are any; where nothing tells, all of them: a back door is one whoever's
// it is, and none may fall between two campaigns.
func owners(campaigns []postern.Campaign, findings []postern.Finding, stories [][]int) [][]bool {
	index := make(map[string]int)
	own := make([][]bool, len(campaigns))
	for i, c := range campaigns {
		index[c.Name] = i
		own[i] = make([]bool, len(campaigns))
		own[i][i] = true
	}
	owners := make([][]bool, len(findings))
	for i := range findings {
		if c, ok := index[findings[i].Campaign]; ok {
			owners[i] = own[c]
		}
	}
	for _, members := range stories {
		var by []bool
		for _, i := range members {
			if c, ok := index[findings[i].Campaign]; ok && findings[i].Level >= postern.Exploited {
				if by == nil {
					by = make([]bool, len(campaigns))
				}
				by[c] = true
			}
		}
		for _, i := range members {
			if owners[i] == nil {
				owners[i] = by
			}
		}
	}
	known := newKnown(campaigns, findings)
	for i := range findings {
		if owners[i] == nil {
			owners[i] = known.by(&findings[i])
		}
	}
	return owners
}

// known tells which campaigns were known at a time.
type known struct {
	since []postern.Instant // in order, each with
	sets  [][]bool          // the campaigns known from then on
	all   []bool
}

func newKnown(campaigns []postern.Campaign, findings []postern.Finding) known {
	k := known{all: make([]bool, len(campaigns))}
	used := make([]bool, len(campaigns))
	for i := range campaigns {
		used[i] = claimed(campaigns[i].Name, findings) >= postern.Exploited
	}
	for i := range campaigns {
		k.all[i] = true
		k.since = append(k.since, began(&campaigns[i]))
	}
	slices.SortFunc(k.since, postern.Instant.Compare)
	for _, t := range k.since {
		set := make([]bool, len(campaigns))
		for i := range campaigns {
			set[i] = !began(&campaigns[i]).After(t)
		}
		k.sets = append(k.sets, only(set, used))
	}
	k.all = only(k.all, used)
	return k
}

// only gives the campaigns of a set that were used, the set itself if none was.
func only(set, used []bool) []bool {
	both, some := make([]bool, len(set)), false
	for i := range set {
		both[i] = set[i] && used[i]
		some = some || both[i]
	}
	if some {
		return both
	}
	return set
}

// by gives the campaigns that a finding can belong to by its time: all that it could
// be if it has none, or one before the first.
func (k known) by(f *postern.Finding) []bool {
	set := k.all
	if trusted(f) {
		for i, t := range k.since {
			if !t.After(f.Time) {
				set = k.sets[i]
			}
		}
	}
	return set
}

// claimed gives the worst level of a campaign's own findings.
func claimed(campaign string, findings []postern.Finding) postern.Level {
	level := postern.NotSeen
	for i := range findings {
		if f := &findings[i]; f.Campaign == campaign {
			level = max(level, f.Level)
		}
	}
	return level
}

// verdict judges the campaign of that index by the findings that count in it.
func verdict(in Input, index int, findings []postern.Finding, owners [][]bool) (postern.Verdict, []postern.Coverage) {
	c := in.Campaigns[index]
	coverage, open := campaignCoverage(in, c)
	var v postern.Verdict
	var first, last postern.Instant
	low := postern.NotSeen // level that only rests on findings of low confidence
	for i := range findings {
		f := &findings[i]
		if !owners[i][index] {
			continue
		}
		// Something odd that no campaign claims is for a person to look at; it is not a
		// probe of this campaign's flaw. Whoever asks for back doors does probe.
		if f.Campaign != c.Name && f.Level <= postern.Probed && !f.HasTag(TagShellRequest) {
			continue
		}
		if f.Level >= postern.Exploited && trusted(f) {
			if first.IsZero() || f.Time.Before(first) {
				first = f.Time
			}
			if f.Time.After(last) {
				last = f.Time
			}
		}
		if f.Confidence <= postern.Low && f.Level >= postern.Exploited {
			low = max(low, f.Level)
			continue
		}
		if f.Level > v.Level {
			v.Level, v.Confidence = f.Level, f.Confidence
		} else if f.Level == v.Level {
			v.Confidence = max(v.Confidence, f.Confidence)
		}
	}
	// Low confidence alone may raise the level but never be conclusive about it.
	if v.Level < postern.Exploited && low >= postern.Exploited {
		v.Level, v.Confidence = low, postern.Low
	}
	v.Title = c.Levels[v.Level]
	listed := onlyListed(findings, owners, index, v)
	if listed {
		v.Title = postern.Say("correlate.listed.title")
	}
	switch {
	case v.Level >= postern.Exploited:
		v.Conclusive = v.Confidence >= postern.Medium
	default:
		v.Conclusive = required(c) > 0 && len(open) == 0 && in.Unreadable == 0 && !in.droppedAbove(v.Level)
		v.Confidence = postern.Low
		if v.Conclusive {
			v.Confidence = postern.High
		} else if len(open) < required(c) {
			v.Confidence = postern.Medium
		}
	}
	v.Summary = summary(in, c, v, len(open), first, last)
	if listed && v.Confidence > postern.Low {
		v.Summary = postern.Say("correlate.listed.summary", "host", in.Host)
	}
	if v.Summary.Key == "correlate.summary.2" && claimed(c.Name, findings) < postern.Exploited {
		v.Summary.Key = "correlate.summary.2.shared" // which flaw it was, nothing says
	}
	v.Next = next(in, c, v, coverage)
	return v, coverage
}

// onlyListed says whether a verdict that a back door was written rests on nothing but
// files of which only a list says that they are an intruder's: they may be any tool.
func onlyListed(findings []postern.Finding, owners [][]bool, index int, v postern.Verdict) bool {
	some := false
	for i := range findings {
		if f := &findings[i]; v.Level == postern.Implanted && owners[i][index] && f.Level == v.Level {
			if !f.HasTag(TagListed) {
				return false
			}
			some = true
		}
	}
	return some
}

// droppedAbove says whether a finding that was not kept could have made the
// verdict worse.
func (in *Input) droppedAbove(l postern.Level) bool {
	for _, n := range in.Dropped[l+1:] {
		if n > 0 {
			return true
		}
	}
	return false
}

// tagFileTime marks findings whose time is that of a file, which whoever wrote or
// copied it could set.
const tagFileTime = "file-time"

// trusted says whether a finding has a time that dates an intrusion.
func trusted(f *postern.Finding) bool { return !f.Time.IsZero() && !f.HasTag(tagFileTime) }

func required(c postern.Campaign) (n int) {
	for _, s := range c.Sources {
		if s.Required {
			n++
		}
	}
	return n
}

// campaignCoverage gives the coverage of every source that the campaign names
// and those of the required ones that leave a part of the window open.
func campaignCoverage(in Input, c postern.Campaign) (all []postern.Coverage, open []string) {
	for _, s := range c.Sources {
		cov := covers(s.Name, in.Sources[s.Name], c.Window, s.QuietHours)
		if cov.Status == postern.Absent && notApplicable(s.Name, lastBuild(in.Builds)) {
			cov.Status, cov.Gaps = postern.NotApplicable, nil
		}
		all = append(all, cov)
		if s.Required && (cov.Status == postern.Absent || cov.Status == postern.Partial) {
			open = append(open, s.Name)
		}
	}
	return all, open
}

// notApplicable says that a build never writes a log: Exchange 2010 and older
// have no front end of their own.
func notApplicable(source string, b postern.Build) bool {
	return source == "httpproxy" && !b.IsZero() && b[0] < 15
}

// summary is the one plain sentence.
func summary(in Input, c postern.Campaign, v postern.Verdict, open int, first, last postern.Instant) postern.Text {
	args := []any{"host", in.Host, "campaign@", c.Title.Key, "count", open,
		"from", c.Window.From.Format("2006-01-02"), "to", c.Window.To.Format("2006-01-02")}
	if v.Level >= postern.Exploited {
		if !first.IsZero() {
			args = append(args, "first", first.Format("2006-01-02 15:04"), "last", last.Format("2006-01-02 15:04"))
			if v.Confidence == postern.Low {
				return postern.Say("correlate.summary.low", append(args, "level@", c.Levels[v.Level].Key)...)
			}
			// catalogue: correlate.summary.*
			return postern.Say("correlate.summary."+strconv.Itoa(int(v.Level)), args...)
		}
		if v.Confidence == postern.Low {
			return postern.Say("correlate.summary.low", append(args, "level@", c.Levels[v.Level].Key)...)
		}
		// catalogue: correlate.summary.*
		return postern.Say("correlate.summary.undated", append(args, "level@", c.Levels[v.Level].Key)...)
	}
	key := "correlate.summary." + strconv.Itoa(int(v.Level))
	if v.Conclusive {
		return postern.Say(key+".conclusive", args...)
	}
	if required(c) == 0 {
		return postern.Say(key+".rules", args...)
	}
	if open == 0 {
		return postern.Say(key+".unread", args...)
	}
	return postern.Say(key+".open", args...)
}

// next gives the steps: what the pack says for the level, and for a verdict that
// is open what to collect, what disappears first, first.
func next(in Input, c postern.Campaign, v postern.Verdict, coverage []postern.Coverage) []postern.Text {
	var steps []postern.Text
	if in.Guidance != nil {
		steps = append(steps, in.Guidance(c.Name, v.Level)...)
	}
	status := make(map[string]postern.CoverageStatus)
	for _, cov := range coverage {
		status[cov.Source] = cov.Status
	}
	wanted := slices.Clone(c.Sources)
	slices.SortStableFunc(wanted, func(a, b postern.Source) int { return cmp.Compare(lifetime(a), lifetime(b)) })
	for _, s := range wanted {
		missing := status[s.Name] == postern.Absent || status[s.Name] == postern.Partial && s.Required
		// Once an intrusion is proved, only what the story needs most is worth a line.
		if missing && !s.Collect.IsZero() && (s.Required || v.Level < postern.Exploited) {
			steps = append(steps, s.Collect)
		}
	}
	return steps
}

func lifetime(s postern.Source) int {
	if s.LifetimeDays == 0 {
		return 1 << 30
	}
	return s.LifetimeDays
}

// worst is the host's verdict: the worst of its campaigns'. Of two of the same
// level the one that is not conclusive is worse where nothing was found, and the
// one that is where something was; of two alike the one whose own pack found more.
func worst(campaigns []postern.CampaignVerdict, claims []postern.Level) postern.Verdict {
	if i := worstIndex(campaigns, claims); i >= 0 {
		return campaigns[i].Verdict
	}
	return postern.Verdict{Title: postern.Say("level.0"), Confidence: postern.Low, Summary: postern.Say("correlate.summary.no-campaign")}
}

func worstIndex(campaigns []postern.CampaignVerdict, claims []postern.Level) int {
	best := -1
	for i := range campaigns {
		switch {
		case best < 0, worseVerdict(campaigns[i].Verdict, campaigns[best].Verdict):
			best = i
		case worseVerdict(campaigns[best].Verdict, campaigns[i].Verdict):
		case claims[i] > claims[best]:
			best = i
		}
	}
	return best
}

func worseVerdict(a, b postern.Verdict) bool {
	if a.Level != b.Level {
		return a.Level > b.Level
	}
	if a.Conclusive != b.Conclusive {
		return a.Conclusive == (a.Level >= postern.Exploited)
	}
	// A surer finding is worse, and so is a less sure silence.
	if a.Level >= postern.Exploited {
		return a.Confidence > b.Confidence
	}
	return a.Confidence < b.Confidence
}

func sortedSources(sources map[string]*SourceSeen) []string {
	return slices.Sorted(maps.Keys(sources))
}
