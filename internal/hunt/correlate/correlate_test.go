package correlate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/campaign"
	"postern/internal/catalogue"
)

const (
	intruder = "198.51.100.7"
	other    = "203.0.113.9"
	requests = "6b5b4f1e-0000-4000-8000-000000000001" // a request's identifier
)

// at is a moment of the window of the test campaign, in minutes.
func at(minutes int) time.Time {
	return time.Date(2021, 3, 3, 6, 0, 0, 0, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

// found makes a finding of the test campaign; edit may be nil.
func found(rule string, level postern.Level, minutes int, tags string, edit func(*postern.Finding)) postern.Finding {
	e := postern.Evidence{Path: rule + ".log", Line: int64(minutes + 1)}
	f := postern.Finding{
		ID: postern.FindingID(rule, e), Rule: rule, Campaign: "flaw", Level: level, Confidence: postern.High,
		Title: postern.Say(rule), Time: at(minutes), Evidence: []postern.Evidence{e}, Tags: strings.Fields(tags),
	}
	if edit != nil {
		edit(&f)
	}
	return f
}

// with sets entities: pairs of name and value.
func with(pairs ...string) func(*postern.Finding) {
	return func(f *postern.Finding) {
		for i := 0; i < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
	}
}

func file(path string, level postern.Level, c postern.Confidence, minutes int) postern.Finding {
	return found("file", level, minutes, "shell-file", func(f *postern.Finding) {
		f.Campaign, f.Confidence = "", c
		f.Evidence[0] = postern.Evidence{Path: path}
		f.ID = postern.FindingID(f.Rule, f.Evidence[0])
		f.Set(postern.File, path)
	})
}

func request(url string, level postern.Level, c postern.Confidence, minutes int, client string) postern.Finding {
	return found("request", level, minutes, "shell-request", func(f *postern.Finding) {
		f.Confidence = c
		f.Set(postern.URL, url)
		f.Set(postern.ClientIP, client)
	})
}

// flaw is a campaign of ten days with two needed logs.
func flaw() postern.Campaign {
	c := postern.Campaign{Name: "flaw", Title: postern.Say("flaw"), CVEs: []string{"CVE-1"},
		Window: postern.Window{From: at(-6 * 60), To: at(10*24*60 - 6*60)}}
	for l := range c.Levels {
		c.Levels[l] = postern.Say(fmt.Sprint("level.", l))
	}
	c.Sources = []postern.Source{
		{Name: "iis", Required: true, QuietHours: 2, Collect: postern.Say("collect-iis")},
		{Name: "httpproxy", Required: true, LifetimeDays: 30, QuietHours: 2, Collect: postern.Say("collect-httpproxy")},
		{Name: "ews", LifetimeDays: 7, Collect: postern.Say("collect-ews")},
	}
	return c
}

// covering is a source with a row in every hour of a window.
func covering(w postern.Window) *SourceSeen {
	s := &SourceSeen{Hours: make(map[int64]int64), From: w.From, To: w.To, Files: 1}
	for h := w.From.Unix() / 3600; h*3600 < w.To.Unix(); h++ {
		s.Hours[h]++
		s.Records++
	}
	return s
}

// covered is a host whose needed logs are all there.
func covered(findings ...postern.Finding) Input {
	c := flaw()
	return Input{Host: "EX01", Campaigns: []postern.Campaign{c}, Findings: findings,
		Sources: map[string]*SourceSeen{"iis": covering(c.Window), "httpproxy": covering(c.Window)}}
}

type product map[string]postern.Assessment

func (p product) Assess(_ string, b postern.Build) (postern.Assessment, postern.Text) {
	return p[b.String()], postern.Text{}
}

func check(t *testing.T, v postern.Verdict, level postern.Level, c postern.Confidence, conclusive bool) {
	t.Helper()
	if v.Level != level || v.Confidence != c || v.Conclusive != conclusive {
		t.Errorf("verdict %v, confidence %q, conclusive %v; want %v, %q, %v", v.Level, v.Confidence, v.Conclusive, level, c, conclusive)
	}
}

// of gives the finding that a rule made.
func of(t *testing.T, h postern.Host, rule string) postern.Finding {
	t.Helper()
	i := slices.IndexFunc(h.Findings, func(f postern.Finding) bool { return f.Rule == rule })
	if i < 0 {
		t.Fatalf("no finding of rule %s", rule)
	}
	return h.Findings[i]
}

func says(f postern.Finding, key string) bool {
	return slices.ContainsFunc(f.Explain, func(t postern.Text) bool { return t.Key == key })
}

func TestSilence(t *testing.T) {
	t.Parallel()
	check(t, Host(covered()).Verdict, postern.NotSeen, postern.High, true)

	in := covered()
	delete(in.Sources, "iis")
	h := Host(in)
	check(t, h.Verdict, postern.NotSeen, postern.Medium, false)
	if h.Verdict.Summary.Key != "correlate.summary.0.open" {
		t.Errorf("summary %s", h.Verdict.Summary.Key)
	}

	in = covered()
	in.Sources = nil
	check(t, Host(in).Verdict, postern.NotSeen, postern.Low, false)

	in = covered()
	in.Unreadable = 1
	h = Host(in)
	check(t, h.Verdict, postern.NotSeen, postern.Medium, false)
	if h.Verdict.Summary.Key != "correlate.summary.0.unread" {
		t.Errorf("summary %s", h.Verdict.Summary.Key)
	}

	in = covered()
	in.Campaigns[0].Sources = nil // nothing is needed: then nothing proves silence either
	check(t, Host(in).Verdict, postern.NotSeen, postern.Low, false)

	in = covered()
	in.Campaigns = nil
	check(t, Host(in).Verdict, postern.NotSeen, postern.Low, false)
}

func TestProbedIsNotCompromised(t *testing.T) {
	t.Parallel()
	probe := found("scan", postern.Probed, 1, "ssrf scan", with(postern.ClientIP, intruder))
	check(t, Host(covered(probe)).Verdict, postern.Probed, postern.High, true)
	in := covered(probe)
	delete(in.Sources, "httpproxy")
	check(t, Host(in).Verdict, postern.Probed, postern.Medium, false)

	// What no campaign claims is no probe of this one.
	odd := found("odd", postern.Probed, 1, "", func(f *postern.Finding) { f.Campaign = "" })
	check(t, Host(covered(odd)).Verdict, postern.NotSeen, postern.High, true)
}

func TestDroppedFindings(t *testing.T) {
	t.Parallel()
	probe := found("scan", postern.Probed, 1, "ssrf", nil)
	in := covered(probe)
	in.Dropped[postern.Probed] = 9
	check(t, Host(in).Verdict, postern.Probed, postern.High, true)
	in = covered()
	in.Dropped[postern.Probed] = 9
	check(t, Host(in).Verdict, postern.NotSeen, postern.Medium, false)
	in = covered(probe)
	in.Dropped[postern.Used] = 1
	check(t, Host(in).Verdict, postern.Probed, postern.Medium, false)
}

func TestWeakEvidence(t *testing.T) {
	t.Parallel()
	weak := found("weak", postern.Used, 1, "", func(f *postern.Finding) { f.Confidence = postern.Low })
	h := Host(covered(weak))
	check(t, h.Verdict, postern.Used, postern.Low, false)
	if h.Verdict.Summary.Key != "correlate.summary.low" {
		t.Errorf("summary %s", h.Verdict.Summary.Key)
	}
	unsaid := found("unsaid", postern.Used, 1, "", func(f *postern.Finding) { f.Confidence = postern.Unsaid })
	check(t, Host(covered(unsaid)).Verdict, postern.Used, postern.Low, false)
	// Beside sound evidence of less, the sound evidence decides.
	sound := found("sound", postern.Exploited, 2, "", func(f *postern.Finding) { f.Confidence = postern.Medium })
	check(t, Host(covered(weak, sound)).Verdict, postern.Exploited, postern.Medium, true)
	// However little is covered, what was found was found.
	in := covered(sound)
	in.Sources, in.Unreadable = nil, 3
	check(t, Host(in).Verdict, postern.Exploited, postern.Medium, true)
}

func TestAnybodysBackDoorCounts(t *testing.T) {
	t.Parallel()
	for _, owner := range []string{"", "not-hunted"} {
		f := file("inetpub/wwwroot/aspnet_client/x.aspx", postern.Implanted, postern.High, 1)
		f.Campaign = owner
		check(t, Host(covered(f)).Verdict, postern.Implanted, postern.High, true)
	}
	// One that another hunted campaign claims is that one's, and the host's.
	second := flaw()
	second.Name = "second"
	in := covered(found("x", postern.Implanted, 1, "", func(f *postern.Finding) { f.Campaign = "second" }))
	in.Campaigns = append(in.Campaigns, second)
	h := Host(in)
	check(t, h.Campaigns[0].Verdict, postern.NotSeen, postern.High, true)
	check(t, h.Campaigns[1].Verdict, postern.Implanted, postern.High, true)
	check(t, h.Verdict, postern.Implanted, postern.High, true)
}

// A finding that no pack claims counts where its story, its time or nothing says.
func TestWhoseBackDoor(t *testing.T) {
	t.Parallel()
	older, newer := flaw(), flaw()
	newer.Name, newer.FirstKnownUse = "newer", at(5*24*60)
	newer.Window.From = at(6 * 24 * 60)
	day := func(d int) int { return d * 24 * 60 }
	unclaimed := func(minutes int) postern.Finding {
		f := request("/owa/auth/x.aspx", postern.Used, postern.High, minutes, intruder)
		f.Campaign = ""
		return f
	}
	claim := func(campaign string, level postern.Level, minutes int) postern.Finding {
		return found("claim", level, minutes, "ssrf", func(f *postern.Finding) {
			f.Campaign = campaign
			f.Set(postern.ClientIP, intruder)
		})
	}
	undated := file("inetpub/wwwroot/aspnet_client/x.aspx", postern.Implanted, postern.High, 1)
	undated.Tags = append(undated.Tags, "file-time")
	for _, c := range []struct {
		name         string
		findings     []postern.Finding
		older, newer postern.Level
	}{
		{"a time before the newer was known", []postern.Finding{unclaimed(day(1))}, 5, 0},
		{"a time when both were known", []postern.Finding{unclaimed(day(7))}, 5, 5},
		{"a time before any was known", []postern.Finding{unclaimed(-day(20))}, 5, 5},
		{"no time to be trusted", []postern.Finding{undated}, 4, 4},
		{"a story of the newer", []postern.Finding{claim("newer", 2, day(7)), unclaimed(day(7) + 5)}, 0, 5},
		{"a story of the older, late", []postern.Finding{claim("flaw", 3, day(7)), unclaimed(day(7) + 5)}, 5, 0},
		{"no story, and the newer was used otherwise", []postern.Finding{undated, claim("newer", 2, day(7))}, 0, 4},
		{"no story, and the older was used otherwise", []postern.Finding{unclaimed(day(8)), claim("flaw", 2, day(6))}, 5, 0},
		{"before the newer was known, which was used later", []postern.Finding{unclaimed(day(1)), claim("newer", 2, day(7))}, 5, 2},
		{"a story in which the newer was only tried", []postern.Finding{claim("newer", 1, day(7)), unclaimed(day(7) + 5)}, 5, 5},
	} {
		in := covered(c.findings...)
		in.Campaigns = []postern.Campaign{older, newer}
		h := Host(in)
		if got := [2]postern.Level{h.Campaigns[0].Verdict.Level, h.Campaigns[1].Verdict.Level}; got != [2]postern.Level{c.older, c.newer} {
			t.Errorf("%s: levels %v, want %v and %v", c.name, got, c.older, c.newer)
		}
		if h.Verdict.Level != max(c.older, c.newer) {
			t.Errorf("%s: the host's verdict is %v", c.name, h.Verdict.Level)
		}
		in = covered(clone(c.findings)...)
		in.Campaigns = []postern.Campaign{newer}
		if got, want := Host(in).Verdict.Level, max(c.older, c.newer); got != want {
			t.Errorf("%s: hunted for the newer alone, level %v, want %v: nothing may be lost", c.name, got, want)
		}
	}
	// Weak evidence that no pack claims does not outdo what a pack is sure of.
	weak := file("perflogs/lsass.dmp", postern.PostExploitation, postern.Low, 1)
	weak.Tags = append(weak.Tags, "file-time")
	in := covered(weak, claim("newer", 3, day(7)))
	in.Campaigns = []postern.Campaign{older, newer}
	check(t, Host(in).Verdict, postern.Privileged, postern.High, true)
	// Of two verdicts alike the host has that of the pack that found more itself.
	in = covered(unclaimed(day(7)), claim("newer", 1, day(9)))
	in.Campaigns = []postern.Campaign{older, newer}
	in.Campaigns[1].Title = postern.Say("newer-title")
	if got := Host(in).Verdict.Summary.Args["campaign@"]; got != "newer-title" {
		t.Errorf("the host's verdict is that of %s", got)
	}
}

func TestSharedFlawAfterPatch(t *testing.T) {
	t.Parallel()
	mail := found("mail", postern.Exploited, 200, "ssrf mail", func(f *postern.Finding) { f.Campaign = "" })
	facts := product{"15.1.1.1": postern.Unfixed, "15.1.1.2": postern.Fixed}
	second := flaw()
	second.Name = "second"
	for _, c := range []struct {
		name    string
		product Product
		want    postern.Level
	}{{"both fixed", facts, postern.Probed}, {"one open", onlyFirst{facts}, postern.Exploited}} {
		second.CVEs = []string{"CVE-2"}
		in := covered(mail)
		in.Campaigns = append(in.Campaigns, second)
		in.Product, in.Builds = c.product, []BuildSeen{{postern.Build{15, 1, 1, 1}, at(0)}, {postern.Build{15, 1, 1, 2}, at(100)}}
		if got := of(t, Host(in), "mail").Level; got != c.want {
			t.Errorf("%s: level %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWhichFlaw(t *testing.T) {
	t.Parallel()
	mail := found("mail", postern.Exploited, 200, "ssrf mail", func(f *postern.Finding) { f.Campaign = "" })
	if got := Host(covered(mail)).Verdict.Summary.Key; got != "correlate.summary.2.shared" {
		t.Errorf("mail that no pack claims: summary %s", got)
	}
	if got := Host(covered(mail, found("x", postern.Exploited, 1, "ssrf", nil))).Verdict.Summary.Key; got != "correlate.summary.2" {
		t.Errorf("beside what the pack claims: summary %s", got)
	}
}

// onlyFirst is a product whose update fixes the first flaw alone.
type onlyFirst struct{ product }

func (p onlyFirst) Assess(cve string, b postern.Build) (postern.Assessment, postern.Text) {
	if cve != "CVE-1" {
		return postern.Unfixed, postern.Text{}
	}
	return p.product.Assess(cve, b)
}

func TestOddities(t *testing.T) {
	t.Parallel()
	folder := found("config/extra-folder", postern.Probed, 0, "", func(f *postern.Finding) { f.Campaign, f.Time = "", time.Time{} })
	h := Host(covered(folder))
	if len(h.Incidents) != 0 || len(h.Findings) != 1 {
		t.Errorf("a folder of the configuration alone: %d incidents, %d findings, want none and one", len(h.Incidents), len(h.Findings))
	}
	for name, f := range map[string]postern.Finding{
		"with a client":  found("x", postern.Probed, 0, "", func(f *postern.Finding) { f.Campaign, f.Time = "", time.Time{}; f.Set(postern.ClientIP, intruder) }),
		"with a time":    found("x", postern.Probed, 0, "", func(f *postern.Finding) { f.Campaign = "" }),
		"of a campaign":  found("x", postern.Probed, 0, "", func(f *postern.Finding) { f.Time = time.Time{} }),
		"of more weight": found("x", postern.Implanted, 0, "", func(f *postern.Finding) { f.Campaign, f.Time = "", time.Time{} }),
	} {
		if h := Host(covered(f)); len(h.Incidents) != 1 {
			t.Errorf("%s: %d incidents, want one", name, len(h.Incidents))
		}
	}
}

func TestTwoInputsOfOnePath(t *testing.T) {
	t.Parallel()
	one, two := found("x", postern.Exploited, 1, "", nil), found("x", postern.Exploited, 1, "", nil)
	one.Evidence[0].Excerpt, two.Evidence[0].Excerpt = "of the first input", "of the second input"
	var want string
	for _, order := range [][]postern.Finding{{one, two}, {two, one}} {
		h := Host(covered(clone(order)...))
		a, b := h.Findings[0], h.Findings[1]
		if a.ID == b.ID {
			t.Errorf("two findings have the ID %s", a.ID)
		}
		if got := a.ID + a.Evidence[0].Excerpt + b.ID + b.Evidence[0].Excerpt; want == "" {
			want = got
		} else if got != want {
			t.Errorf("got %s, want %s whatever comes first", got, want)
		}
	}
}

// A request that two logs saw, by rules of their own, is one step; so is what two
// sequences say of it.
func TestDeedOfTwoLogs(t *testing.T) {
	t.Parallel()
	seen := func(rule, log string) postern.Finding {
		f := found(rule, 2, 1, "ssrf", with(postern.ClientIP, intruder, postern.URL, "/autodiscover/autodiscover.json?x", postern.RequestID, requests))
		f.Evidence[0].Path = log
		return f
	}
	twice := func(rule, log string) postern.Finding {
		f := found(rule, 3, 1, "ssrf", with(postern.ClientIP, intruder, postern.URL, "/autodiscover/autodiscover.json"))
		f.Evidence = []postern.Evidence{{Path: log, Line: 2}, {Path: "panel.log", Line: 7}}
		return f
	}
	h := Host(covered(seen("front", "proxy.log"), seen("front-iis", "u_ex.log"), twice("both", "proxy.log"), twice("both-iis", "u_ex.log")))
	if len(h.Incidents) != 1 || len(h.Incidents[0].Findings) != 4 {
		t.Fatalf("incidents %+v", h.Incidents)
	}
	if story := h.Incidents[0].Story; len(story) != 3 || story[1].Args["count"] != "1" {
		t.Errorf("story %+v, want who and two steps", story)
	}
}

func TestMitigatedOfSeveral(t *testing.T) {
	t.Parallel()
	facts := product{"15.1.1.2": postern.Fixed}
	second := flaw()
	second.Name, second.CVEs = "second", []string{"CVE-2"}
	in := covered()
	in.Mitigated = map[string]postern.Fact{"flaw": {State: postern.No, Why: postern.Say("no-rule")}}
	in.Product, in.Builds = onlyFirst{facts}, []BuildSeen{{postern.Build{15, 1, 1, 2}, at(0)}}
	in.Sources["config"] = &SourceSeen{Files: 1, Whole: true}
	if got := Host(in).Mitigated; got.State != postern.No {
		t.Errorf("one campaign: %+v, want what the configuration says", got)
	}
	in.Campaigns = append(in.Campaigns, second)
	if got := Host(in).Mitigated; got.State != postern.Unknown || got.Why.Key != "correlate.mitigated.none" {
		t.Errorf("the first is patched, the second is open: %+v", got)
	}
}

// One row that the rules of two packs hit is one step of one story.
func TestRowOfTwoPacks(t *testing.T) {
	t.Parallel()
	row := func(campaign, title string, level postern.Level) postern.Finding {
		f := found(title, level, 1, "", with(postern.ClientIP, intruder, postern.URL, "/autodiscover"))
		f.Campaign = campaign
		f.Evidence[0].Path = "u_ex.log"
		f.ID = postern.FindingID(f.Rule, f.Evidence[0])
		return f
	}
	in := covered(row("flaw", "a-probe", 1), row("second", "what-it-was", 2))
	second := flaw()
	second.Name = "second"
	in.Campaigns = append(in.Campaigns, second)
	h := Host(in)
	if len(h.Incidents) != 1 || len(h.Incidents[0].Findings) != 2 || len(h.Incidents[0].Story) != 2 || h.Incidents[0].Story[1].Args["title@"] != "what-it-was" {
		t.Errorf("incidents %+v", h.Incidents)
	}
	check(t, h.Campaigns[0].Verdict, postern.Probed, postern.High, true)
	check(t, h.Campaigns[1].Verdict, postern.Exploited, postern.High, true)
}

func TestWorstCampaign(t *testing.T) {
	t.Parallel()
	v := func(l postern.Level, c postern.Confidence, conclusive bool) postern.Verdict {
		return postern.Verdict{Level: l, Confidence: c, Conclusive: conclusive}
	}
	// Each is worse than the next.
	order := []postern.Verdict{
		v(5, postern.Low, false), v(4, postern.High, true), v(4, postern.Medium, true), v(4, postern.Low, false),
		v(1, postern.Low, false), v(1, postern.Medium, false), v(1, postern.High, true),
		v(0, postern.Low, false), v(0, postern.Medium, false), v(0, postern.High, true),
	}
	for i := range order {
		for j := range order {
			if got, want := worseVerdict(order[i], order[j]), i < j; got != want {
				t.Errorf("%v worse than %v: got %v, want %v", order[i], order[j], got, want)
			}
		}
	}
}

func TestPatchedAfterwards(t *testing.T) {
	t.Parallel()
	before := found("before", postern.Exploited, 10, "ssrf", nil)
	after := found("after", postern.Exploited, 200, "ssrf", nil)
	onTime := found("on-time", postern.Exploited, 100, "ssrf", nil)
	use := request("/aspnet_client/x.aspx", postern.Used, postern.Medium, 300, intruder)
	undated := found("undated", postern.Exploited, 0, "ssrf", func(f *postern.Finding) { f.Time = time.Time{} })
	in := covered(after, before, onTime, use, undated)
	in.PatchedAt = at(100)
	h := Host(in)
	for rule, want := range map[string]postern.Level{"before": 2, "on-time": 1, "after": 1, "request": 5, "undated": 2} {
		if f := of(t, h, rule); f.Level != want {
			t.Errorf("%s: level %v, want %v", rule, f.Level, want)
		} else if lowered := want == 1; says(f, "correlate.after-patch") != lowered {
			t.Errorf("%s: explained %v", rule, f.Explain)
		}
	}
	check(t, h.Verdict, postern.Used, postern.Medium, true)
	if h.Patched.State != postern.Yes || !h.Patched.Since.Equal(at(100)) {
		t.Errorf("patched %+v", h.Patched)
	}

	// Only attempts after the fix, and the logs are there: probed, and sure of it.
	in = covered(after)
	in.PatchedAt = at(100)
	check(t, Host(in).Verdict, postern.Probed, postern.High, true)
}

// What somebody says of the patch does not stand against a build that ran later.
func TestPatchedAsToldAndAsShown(t *testing.T) {
	t.Parallel()
	facts := product{"15.1.1.1": postern.Unfixed, "15.1.1.2": postern.Fixed, "15.1.1.3": postern.Undecidable}
	b := func(last, minutes int) BuildSeen { return BuildSeen{postern.Build{15, 1, 1, last}, at(minutes)} }
	installed := func(last int) BuildSeen { return BuildSeen{Build: postern.Build{15, 1, 1, last}} }
	for _, c := range []struct {
		name   string
		builds []BuildSeen
		state  postern.State
		since  int // minutes; 0 none
		why    string
	}{
		{"nothing shown", nil, postern.Yes, 100, "told"},
		{"unfixed before", []BuildSeen{b(1, 10), b(1, 90)}, postern.Yes, 100, "told"},
		{"undecided after", []BuildSeen{b(1, 10), b(3, 120)}, postern.Yes, 100, "told"},
		{"fixed before", []BuildSeen{b(1, 10), b(2, 50), b(2, 120)}, postern.Yes, 100, "told"},
		{"fixed in the first row after", []BuildSeen{b(1, 90), b(2, 120)}, postern.Yes, 100, "told"},
		{"logs begin after", []BuildSeen{b(2, 120)}, postern.Yes, 100, "told"},
		{"fixed later than told", []BuildSeen{b(1, 10), b(1, 110), b(2, 120)}, postern.Yes, 120, "build"},
		{"never fixed", []BuildSeen{b(1, 10), b(1, 300)}, postern.No, 0, "not-as-told"},
		{"taken back", []BuildSeen{b(2, 110), b(1, 120)}, postern.No, 0, "not-as-told"},
		{"installed without it", []BuildSeen{b(1, 10), installed(1)}, postern.No, 0, "not-as-told"},
	} {
		in := covered(found("after", postern.Exploited, 115, "ssrf", nil))
		in.Product, in.Builds, in.PatchedAt = facts, c.builds, at(100)
		h := Host(in)
		want := time.Time{}
		if c.since > 0 {
			want = at(c.since)
		}
		if h.Patched.State != c.state || !h.Patched.Since.Equal(want) || h.Patched.Why.Key != "correlate.patched."+c.why {
			t.Errorf("%s: %v since %v (%s), want %v since %v (%s)", c.name, h.Patched.State, h.Patched.Since, h.Patched.Why.Key, c.state, want, c.why)
		}
		level := postern.Exploited
		if c.since == 100 {
			level = postern.Probed
		}
		if got := of(t, h, "after").Level; got != level {
			t.Errorf("%s: level %v, want %v", c.name, got, level)
		}
	}
}

func TestPatchedByBuild(t *testing.T) {
	t.Parallel()
	facts := product{"15.1.1.1": postern.Unfixed, "15.1.1.2": postern.Fixed, "15.1.1.3": postern.Undecidable, "15.1.1.4": ""}
	b := func(last, minutes int) BuildSeen { return BuildSeen{postern.Build{15, 1, 1, last}, at(minutes)} }
	installed := func(last int) BuildSeen { return BuildSeen{Build: postern.Build{15, 1, 1, last}} }
	for _, c := range []struct {
		name   string
		builds []BuildSeen
		state  postern.State
		since  int // minutes; 0 none
		build  int
	}{
		{"nothing", nil, postern.Unknown, 0, 0},
		{"never", []BuildSeen{b(1, 10), b(1, 20)}, postern.No, 0, 1},
		{"updated", []BuildSeen{b(2, 30), b(1, 10), b(2, 20)}, postern.Yes, 20, 2},
		{"always", []BuildSeen{b(2, 10), b(2, 20)}, postern.Yes, 10, 2},
		{"taken back", []BuildSeen{b(1, 10), b(2, 20), b(1, 30)}, postern.No, 0, 1},
		{"and again", []BuildSeen{b(2, 10), b(1, 20), b(2, 30)}, postern.Yes, 30, 2},
		{"undecided", []BuildSeen{b(2, 10), b(3, 20)}, postern.Unknown, 0, 3},
		{"unknown to the product", []BuildSeen{b(4, 10)}, postern.Unknown, 0, 4},
		{"installed alone", []BuildSeen{installed(2)}, postern.Yes, 0, 2},
		{"installed after the logs", []BuildSeen{installed(2), b(1, 10)}, postern.Yes, 0, 2},
		{"installed as in the logs", []BuildSeen{installed(2), b(2, 10)}, postern.Yes, 10, 2},
	} {
		in := covered(found("after", postern.Exploited, 60, "ssrf", nil))
		in.Product, in.Builds = facts, c.builds
		h := Host(in)
		if h.Patched.State != c.state {
			t.Errorf("%s: patched %v, want %v", c.name, h.Patched.State, c.state)
		}
		want := time.Time{}
		if c.since > 0 {
			want = at(c.since)
		}
		if !h.Patched.Since.Equal(want) {
			t.Errorf("%s: since %v, want %v", c.name, h.Patched.Since, want)
		}
		if got := of(t, h, "after").Level; got != postern.Exploited && c.since == 0 || got != postern.Probed && c.since > 0 {
			t.Errorf("%s: level %v", c.name, got)
		}
		wantBuild := postern.Build{}
		if c.build > 0 {
			wantBuild = postern.Build{15, 1, 1, c.build}
		}
		if h.Build != wantBuild {
			t.Errorf("%s: build %v, want %v", c.name, h.Build, wantBuild)
		}
		for _, arg := range h.Patched.Why.Args {
			if strings.HasPrefix(arg, "0001") {
				t.Errorf("%s: says %v", c.name, h.Patched.Why)
			}
		}
	}
}

func TestOwnScanners(t *testing.T) {
	t.Parallel()
	own := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		client  string
		level   postern.Level
		want    postern.Level
		network string
	}{
		{"10.1.2.3", 1, 0, "10.1.0.0/16"},
		{"::ffff:10.2.2.3", 1, 0, "10.0.0.0/8"},
		{"2001:db8::7", 1, 0, "2001:db8::/32"},
		{"10.1.2.3", 2, 2, ""}, // who sent it does not explain that it worked
		{"11.1.2.3", 1, 1, ""},
		{"nonsense", 1, 1, ""},
		{"", 1, 1, ""},
	} {
		in := covered(found("scan", c.level, 1, "ssrf scan", with(postern.ClientIP, c.client)))
		in.Own = own
		f := of(t, Host(in), "scan")
		if f.Level != c.want {
			t.Errorf("%q at level %v: got %v, want %v", c.client, c.level, f.Level, c.want)
		}
		network := ""
		for _, e := range f.Explain {
			if e.Key == "correlate.own-scanner" {
				network = e.Args["network"]
			}
		}
		if network != c.network || f.HasTag("own-scanner") != (c.network != "") {
			t.Errorf("%q: network %q, tags %v; want %q", c.client, network, f.Tags, c.network)
		}
	}
}

func TestCarrierIsWhatTheFrontEndSays(t *testing.T) {
	t.Parallel()
	front := func(level postern.Level, minutes int) postern.Finding {
		return found("front", level, minutes, "ssrf", with(postern.RequestID, requests, postern.ClientIP, intruder))
	}
	carrier := func(minutes int, id string) postern.Finding {
		return found("carrier", postern.Exploited, minutes, "ssrf carrier", with(postern.RequestID, id, postern.ClientIP, intruder))
	}
	for _, c := range []struct {
		name     string
		findings []postern.Finding
		want     postern.Level
	}{
		{"a test", []postern.Finding{front(1, 5), carrier(5, strings.ToUpper(requests))}, 1},
		{"a success", []postern.Finding{front(2, 5), carrier(5, requests)}, 2},
		{"more than IIS knows", []postern.Finding{front(4, 5), carrier(5, requests)}, 2},
		{"no front end", []postern.Finding{carrier(5, requests)}, 2},
		{"another request", []postern.Finding{front(1, 5), carrier(5, strings.Replace(requests, "1", "2", 1))}, 2},
		{"the identifier of an older request", []postern.Finding{front(1, 5), carrier(60, requests)}, 2},
		{"no identifier", []postern.Finding{front(1, 5), carrier(5, "-")}, 2},
	} {
		f := of(t, Host(covered(c.findings...)), "carrier")
		if f.Level != c.want {
			t.Errorf("%s: level %v, want %v", c.name, f.Level, c.want)
		}
		if lowered := c.want < 2; says(f, "correlate.target-known") != lowered {
			t.Errorf("%s: explained %v", c.name, f.Explain)
		}
	}
}

// actors gives the addresses that the first line of each story names.
func actors(h postern.Host) []string {
	var all []string
	for _, in := range h.Incidents {
		all = append(all, in.Story[0].Args["actors"])
	}
	return all
}

func TestActors(t *testing.T) {
	t.Parallel()
	id := func(n int) string { return fmt.Sprintf("6b5b4f1e-0000-4000-8000-%012d", n) }
	through := func(outer string, clients ...string) []postern.Finding {
		var all []postern.Finding
		for n, client := range clients {
			all = append(all,
				found(fmt.Sprint("front", n), postern.Exploited, n*1000, "ssrf", with(postern.RequestID, id(n), postern.ClientIP, client)),
				found(fmt.Sprint("carrier", n), postern.Exploited, n*1000, "ssrf carrier", with(postern.RequestID, id(n), postern.ClientIP, outer)))
		}
		return all
	}
	for _, c := range []struct {
		name     string
		findings []postern.Finding
		want     []string
	}{
		{"a balancer inside", through("10.0.0.5", intruder), []string{intruder}},
		{"a balancer on the internet", through("192.0.2.1", "198.51.100.1", "198.51.100.2", "198.51.100.3"), []string{"198.51.100.1", "198.51.100.2", "198.51.100.3"}},
		{"a client that says it is another", through(intruder, other), []string{intruder + ", " + other}},
		{"loopback", []postern.Finding{found("x", 2, 1, "", with(postern.ClientIP, "::1"))}, []string{""}},
		{"mapped loopback", []postern.Finding{found("x", 2, 1, "", with(postern.ClientIP, "::ffff:127.0.0.1"))}, []string{""}},
		{"link-local", []postern.Finding{found("x", 2, 1, "", with(postern.ClientIP, "fe80::1%12"))}, []string{""}},
		{"nobody", []postern.Finding{found("x", 2, 1, "", with(postern.ClientIP, "0.0.0.0"))}, []string{""}},
		{"a computer account", []postern.Finding{found("x", 2, 1, "", with(postern.ClientIP, "192.0.2.44", postern.Account, `DOM\EX02$`))}, []string{""}},
		{"one form", []postern.Finding{found("x", 2, 1, "", with(postern.ClientIP, "::ffff:"+intruder)), found("y", 2, 2, "", with(postern.ClientIP, intruder))}, []string{intruder}},
		{"a hostile zone", []postern.Finding{found("x", 2, 1, "", with(postern.ClientIP, "2001:db8::1%\x1b[31m"))}, []string{"2001:db8::1"}},
	} {
		if got := actors(Host(covered(c.findings...))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	in := covered(found("x", 2, 1, "", with(postern.ClientIP, "192.0.2.1")))
	in.Balancers = map[string]bool{"192.0.2.1": true}
	if got := actors(Host(in)); !slices.Equal(got, []string{""}) {
		t.Errorf("a known balancer: %q", got)
	}
}

// started is what a worker of a pool started, some seconds after minute 10.
func started(pool string, seconds int) postern.Finding {
	return found("started", 5, 10, "process", func(f *postern.Finding) {
		f.Campaign = ""
		f.Time = f.Time.Add(time.Duration(seconds) * time.Second)
		f.Evidence = []postern.Evidence{{Path: "sysmon.evtx", Record: 7}}
		f.Set("application_pool", pool)
	})
}

// A file of which only a list says what it is, and that is no page, is not called a back
// door; beside a back door it changes no word.
func TestListedFile(t *testing.T) {
	t.Parallel()
	listed := found("indicator/hash", 4, 1, "listed", func(f *postern.Finding) { f.Evidence[0].Line = 0; f.Set(postern.File, "users/bob/x.exe") })
	v := Host(covered(listed)).Verdict
	check(t, v, 4, postern.High, true)
	if v.Title.Key != "correlate.listed.title" || v.Summary.Key != "correlate.listed.summary" {
		t.Errorf("a listed file: title %s, summary %s", v.Title.Key, v.Summary.Key)
	}
	v = Host(covered(listed, file("x/y/z.aspx", 4, postern.Medium, 14))).Verdict
	if v.Title.Key != "level.4" {
		t.Errorf("beside a back door: title %s, want level.4", v.Title.Key)
	}
	v = Host(covered(listed, found("a", 5, 20, "", nil))).Verdict
	if v.Title.Key != "level.5" {
		t.Errorf("beside something worse: title %s, want level.5", v.Title.Key)
	}
}

// together gives the rules of each incident, in the order of the incidents.
func together(h postern.Host) []string {
	rules := make(map[string]string)
	for _, f := range h.Findings {
		rules[f.ID] = f.Rule
	}
	var all []string
	for _, in := range h.Incidents {
		var names []string
		for _, id := range in.Findings {
			names = append(names, rules[id])
		}
		all = append(all, strings.Join(names, " "))
	}
	return all
}

func TestIncidents(t *testing.T) {
	t.Parallel()
	const canary = "abcdefghijklmnop1234"
	by := func(ip string) func(*postern.Finding) { return with(postern.ClientIP, ip) }
	undated := func(f *postern.Finding) { f.Time = time.Time{} }
	for _, c := range []struct {
		name     string
		findings []postern.Finding
		want     []string
	}{
		{"nothing", nil, nil},
		{"only context", []postern.Finding{found("a", 0, 1, "", by(intruder))}, nil},
		{"one actor", []postern.Finding{found("a", 1, 1, "", by(intruder)), found("b", 2, 5, "", by(intruder)), found("c", 0, 9, "", by(intruder))}, []string{"a b c"}},
		{"two actors, the worse first", []postern.Finding{found("a", 1, 1, "", by(intruder)), found("b", 2, 5, "", by(other))}, []string{"b", "a"}},
		{"the next attempt", []postern.Finding{found("a", 1, 0, "", by(intruder)), found("b", 1, 12*60, "", by(intruder)), found("c", 1, 24*60+1, "", by(intruder))}, []string{"a b", "c"}},
		{"a canary", []postern.Finding{found("a", 2, 1, "", func(f *postern.Finding) { f.Set(postern.ClientIP, intruder); f.Set(postern.Canary, canary) }),
			found("b", 3, 2000, "", with(postern.Canary, canary))}, []string{"a b"}},
		{"a short canary", []postern.Finding{found("a", 2, 1, "", with(postern.Canary, "x")), found("b", 3, 2000, "", with(postern.Canary, "x"))}, []string{"b", "a"}},
		{"one row", []postern.Finding{found("a", 2, 1, "", nil), found("b", 3, 1, "", func(f *postern.Finding) { f.Evidence[0].Path = "a.log" })}, []string{"a b"}},
		{"the control panel's row, by time", []postern.Finding{found("a", 2, 10, "ssrf", by(intruder)), found("b", 3, 11, "set-url admin", nil)}, []string{"a b"}},
		{"a row of long after", []postern.Finding{found("a", 2, 10, "ssrf", by(intruder)), found("b", 3, 13, "set-url admin", nil)}, []string{"b", "a"}},
		{"of two acts the nearer", []postern.Finding{found("a", 2, 10, "ssrf", by(intruder)), found("b", 2, 12, "ssrf", by(other)),
			found("c", 3, 11, "admin", func(f *postern.Finding) { f.Time = at(11).Add(time.Second) })}, []string{"c b", "a"}},
		{"a file and its writing", []postern.Finding{found("w", 4, 10, "shell-written", by(intruder)), file("x/y/z.aspx", 4, postern.High, 14)}, []string{"w file"}},
		{"a file of another hour", []postern.Finding{found("w", 4, 10, "shell-written", by(intruder)), file("x/y/z.aspx", 4, postern.High, 16)}, []string{"w", "file"}},
		{"undated ones", []postern.Finding{found("a", 4, 1, "", undated), found("b", 5, 2, "", undated)}, []string{"a b"}},
		{"undated after dated", []postern.Finding{found("a", 4, 1, "", undated), found("b", 4, 2, "", nil)}, []string{"b", "a"}},
		{"users of a back door, not those who look for it", []postern.Finding{
			file("c:/inetpub/wwwroot/aspnet_client/x.aspx", 4, postern.High, 1),
			request("/aspnet_client/X.aspx", 5, postern.Medium, 900, intruder),
			found("third", 4, 950, "shell-request", with(postern.URL, "/aspnet_client/x.aspx", postern.ClientIP, other))},
			[]string{"file request", "third"}},
		{"a back door and what it starts", []postern.Finding{request("/owa/auth/x.aspx", 5, postern.High, 10, intruder), started("", -8)}, []string{"started request"}},
		{"the pool of the back door", []postern.Finding{request("/owa/auth/x.aspx", 5, postern.High, 10, intruder), started("MSExchangeOWAAppPool", 2)}, []string{"request started"}},
		{"the pool of the whole site", []postern.Finding{request("/aspnet_client/x.aspx", 5, postern.High, 10, intruder), started("DefaultAppPool", 2)}, []string{"request started"}},
		{"another pool", []postern.Finding{request("/owa/auth/x.aspx", 5, postern.High, 10, intruder), started("MSExchangePowerShellAppPool", 2)}, []string{"request", "started"}},
		{"started later", []postern.Finding{request("/owa/auth/x.aspx", 5, postern.High, 10, intruder), started("", 11)}, []string{"request", "started"}},
		{"a page that was only looked for", []postern.Finding{request("/owa/auth/x.aspx", 1, postern.High, 10, intruder), started("", 1)}, []string{"started", "request"}},
		{"one record", []postern.Finding{started("", 0), found("event", 6, 10, "", func(f *postern.Finding) { f.Evidence = []postern.Evidence{{Path: "sysmon.evtx", Record: 7}} })}, []string{"started event"}},
		{"the same name in two applications", []postern.Finding{
			file("frontend/httpproxy/owa/auth/x.aspx", 4, postern.High, 1),
			request("/ecp/auth/x.aspx", 5, postern.Medium, 900, intruder)}, []string{"request", "file"}},
	} {
		if got := together(Host(covered(c.findings...))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTimesOfAnIncident(t *testing.T) {
	t.Parallel()
	by := with(postern.ClientIP, intruder)
	copied := found("file", 4, 9000, "file-time", by)
	h := Host(covered(found("a", 2, 8990, "", by), copied))
	if in := h.Incidents[0]; !in.First.Equal(at(8990)) || !in.Last.Equal(at(8990)) {
		t.Errorf("from %v to %v: the time of a file dates nothing where there is a better one", in.First, in.Last)
	}
	if got := h.Verdict.Summary; got.Key != "correlate.summary.4" || got.Args["last"] != at(8990).Format("2006-01-02 15:04") {
		t.Errorf("summary %v", got)
	}
	h = Host(covered(copied))
	if in := h.Incidents[0]; !in.First.Equal(at(9000)) {
		t.Errorf("from %v, want the file's time where there is no other", in.First)
	}
	if got := h.Verdict.Summary.Key; got != "correlate.summary.undated" {
		t.Errorf("summary %v", got)
	}
}

func TestShellKey(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"/aspnet_client/x.aspx", `C:\inetpub\wwwroot\aspnet_client\X.aspx`, "inetpub/wwwroot/aspnet_client/x.aspx", "/aspnet_client/x.aspx?a=b", "/aspnet_client/x.aspx/more/of/it"},
		{"/owa/auth/x.aspx", `D:\Apps\FrontEnd\HttpProxy\owa\auth\x.aspx`, "frontend/httpproxy/owa/auth/x.aspx"},
		{"/ecp/auth/x.aspx", "frontend/httpproxy/ecp/auth/x.aspx"},
		{"/x.aspx", "inetpub/wwwroot/x.aspx", `c:\inetpub\wwwroot\x.aspx`, "wwwroot/x.aspx"},
		{"/owa/auth/15.1.2176/x.aspx", "frontend/httpproxy/owa/auth/15.1.2176/x.aspx"},
		{"/a/b/c/x.aspx", "e:/sites/b/c/x.aspx"},
	} {
		for _, s := range same[1:] {
			if shellKey(s) != shellKey(same[0]) {
				t.Errorf("%q is %q, but %q is %q", s, shellKey(s), same[0], shellKey(same[0]))
			}
		}
	}
	seen := make(map[string]string)
	for _, s := range []string{"/owa/auth/x.aspx", "/ecp/auth/x.aspx", "/x.aspx", "/aspnet_client/x.aspx", "/aspnet_client/y.aspx", ""} {
		if before, twice := seen[shellKey(s)]; twice {
			t.Errorf("%q and %q are both %q", before, s, shellKey(s))
		}
		seen[shellKey(s)] = s
	}
}

func TestConfirmation(t *testing.T) {
	t.Parallel()
	const path, url = "inetpub/wwwroot/aspnet_client/x.aspx", "/aspnet_client/x.aspx"
	for _, c := range []struct {
		name                  string
		file, request         postern.Confidence
		level                 postern.Level
		wantFile, wantRequest postern.Confidence
	}{
		{"both", postern.Medium, postern.Medium, 5, postern.High, postern.High},
		{"a weak request", postern.Medium, postern.Low, 4, postern.High, postern.High},
		{"a mere suspicion", postern.Low, postern.Medium, 4, postern.Low, postern.Medium},
		{"asked for and not there", postern.Medium, postern.Low, 1, postern.Medium, postern.Low},
	} {
		h := Host(covered(file(path, postern.Implanted, c.file, 1), request(url, c.level, c.request, 5, intruder)))
		f, r := of(t, h, "file"), of(t, h, "request")
		if f.Confidence != c.wantFile || r.Confidence != c.wantRequest {
			t.Errorf("%s: file %v, request %v; want %v, %v", c.name, f.Confidence, r.Confidence, c.wantFile, c.wantRequest)
		}
		if says(f, "correlate.requests-known") != (c.file != c.wantFile) || says(r, "correlate.file-known") != (c.request != c.wantRequest) {
			t.Errorf("%s: explained %v and %v", c.name, f.Explain, r.Explain)
		}
	}
}

func TestDisappearance(t *testing.T) {
	t.Parallel()
	gone := func(h postern.Host) []postern.Finding {
		return slices.DeleteFunc(slices.Clone(h.Findings), func(f postern.Finding) bool { return f.Rule != "shell/disappeared" })
	}
	const url = "/owa/auth/x.aspx"
	h := Host(covered(
		request(url, 1, postern.High, 1, intruder), // not yet there
		request(url, 5, postern.Medium, 10, intruder),
		request(url, 4, postern.Medium, 20, other),
		request(url, 1, postern.High, 30, other),
		request(url, 1, postern.High, 40, other)))
	got := gone(h)
	if len(got) != 1 || !got[0].Time.Equal(at(30)) || got[0].Level != postern.NotSeen {
		t.Fatalf("%+v, want one at %v of level 0", got, at(30))
	}
	if e := got[0].Explain[0]; e.Args["last"] != at(20).Format(time.RFC3339) || e.Args["first"] != at(30).Format(time.RFC3339) {
		t.Errorf("explained %v", e)
	}
	check(t, h.Verdict, postern.Used, postern.Medium, true)
	for name, findings := range map[string][]postern.Finding{
		"never there":        {request(url, 1, postern.High, 1, intruder)},
		"still there":        {request(url, 1, postern.High, 1, intruder), request(url, 5, postern.Medium, 10, intruder)},
		"another page":       {request(url, 5, postern.Medium, 10, intruder), request("/ecp/auth/x.aspx", 1, postern.High, 30, other)},
		"without a place":    {request(url, 5, postern.Medium, 10, intruder), found("n", 1, 30, "shell-request", func(f *postern.Finding) { f.Set(postern.URL, url); f.Evidence = nil })},
		"nothing but a file": {file("frontend/httpproxy"+url, 4, postern.High, 1), request(url, 1, postern.High, 30, other)},
	} {
		if got := gone(Host(covered(findings...))); len(got) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	sweep := func(pages, found int, apart time.Duration) (tagged int) {
		var all []postern.Finding
		for i := range pages {
			level := postern.Probed
			if i < found {
				level = postern.Implanted
			}
			f := request(fmt.Sprintf("/owa/auth/%d.aspx", i), level, postern.Medium, i, intruder)
			f.Time = at(0).Add(time.Duration(i) * apart)
			all = append(all, f)
		}
		for _, f := range Host(covered(all...)).Findings {
			if f.HasTag("sweep") {
				tagged++
			}
			if f.Level < postern.Probed && f.Rule == "request" {
				tagged = -1 // a label lowers nothing
			}
		}
		return tagged
	}
	for _, c := range []struct {
		pages, found int
		apart        time.Duration
		want         int
	}{{20, 2, time.Second, 20}, {5, 0, time.Second, 0}, {6, 3, time.Second, 0}, {6, 2, time.Second, 6}, {20, 0, time.Hour, 0}} {
		if got := sweep(c.pages, c.found, c.apart); got != c.want {
			t.Errorf("%d pages, %d of them there, %v apart: %d labelled, want %d", c.pages, c.found, c.apart, got, c.want)
		}
	}
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	w := postern.Window{From: time.Date(2021, 3, 1, 0, 30, 0, 0, time.UTC), To: time.Date(2021, 3, 2, 0, 15, 0, 0, time.UTC)}
	hour := func(h int) int64 { return time.Date(2021, 3, 1, h, 0, 0, 0, time.UTC).Unix() / 3600 }
	clock := func(h, m int) time.Time { return time.Date(2021, 3, 1, h, m, 0, 0, time.UTC) }
	seen := func(hours ...int) *SourceSeen {
		s := &SourceSeen{Files: 1, Hours: make(map[int64]int64)}
		for _, h := range hours {
			s.Hours[hour(h)]++
			s.Records++
		}
		return s
	}
	every := func(skip ...int) *SourceSeen {
		var hours []int
		for h := range 25 {
			if !slices.Contains(skip, h) {
				hours = append(hours, h)
			}
		}
		return seen(hours...)
	}
	whole := []postern.Span{{From: w.From, To: w.To}}
	for _, c := range []struct {
		name   string
		seen   *SourceSeen
		quiet  int
		status postern.CoverageStatus
		gaps   []postern.Span
	}{
		{"not there", nil, 2, postern.Absent, whole},
		{"empty", &SourceSeen{}, 2, postern.Absent, whole},
		{"a header alone", &SourceSeen{Files: 1}, 2, postern.Absent, whole},
		{"every hour", every(), 2, postern.Covered, nil},
		{"quiet as it is sometimes", every(5, 6, 9), 2, postern.Covered, nil},
		{"an hour too long", every(5, 6, 7), 2, postern.Partial, []postern.Span{{From: clock(5, 0), To: clock(8, 0)}}},
		{"never said how quiet", every(5, 6, 7), 0, postern.Partial, []postern.Span{{From: clock(5, 0), To: clock(8, 0)}}},
		{"begins late", every(0, 1, 2), 2, postern.Partial, []postern.Span{{From: w.From, To: clock(3, 0)}}},
		{"ends early", every(22, 23, 24), 2, postern.Partial, []postern.Span{{From: clock(22, 0), To: w.To}}},
		{"two gaps", every(0, 1, 2, 10, 11, 12), 2, postern.Partial, []postern.Span{{From: w.From, To: clock(3, 0)}, {From: clock(10, 0), To: clock(13, 0)}}},
		{"before and after alone", seen(-5, -1, 25, 30), 2, postern.Absent, whole},
		{"before and after alone, and quiet", seen(-1, 25), 48, postern.Absent, whole},
		{"a row in a quiet log", seen(12), 48, postern.Covered, nil},
		{"files", &SourceSeen{Files: 7, Whole: true}, 0, postern.Covered, nil},
	} {
		got := covers("x", c.seen, w, c.quiet)
		if got.Status != c.status {
			t.Errorf("%s: %v, want %v", c.name, got.Status, c.status)
		}
		if d := cmp.Diff(c.gaps, got.Gaps); d != "" {
			t.Errorf("%s: gaps differ (-want +got):\n%s", c.name, d)
		}
	}
	if got := covers("files", &SourceSeen{Files: 7, Whole: true}, w, 0); got.Records != 7 {
		t.Errorf("%d files, want 7", got.Records)
	}
}

func TestNotApplicable(t *testing.T) {
	t.Parallel()
	in := covered()
	delete(in.Sources, "httpproxy")
	in.Builds = []BuildSeen{{postern.Build{14, 3, 123, 4}, at(0)}}
	h := Host(in)
	check(t, h.Verdict, postern.NotSeen, postern.High, true)
	if got := h.Coverage[1]; got.Source != "httpproxy" || got.Status != postern.NotApplicable || got.Gaps != nil {
		t.Errorf("%+v", got)
	}
	in.Builds[0].Build[0] = 15
	check(t, Host(in).Verdict, postern.NotSeen, postern.Medium, false)
	in.Builds[0].Build[0] = 14
	delete(in.Sources, "iis") // which every version writes
	check(t, Host(in).Verdict, postern.NotSeen, postern.Medium, false)
}

func TestOtherSources(t *testing.T) {
	t.Parallel()
	in := covered()
	in.Sources["mapihttp"] = &SourceSeen{Records: 5, Files: 1, From: at(0), To: at(5)}
	in.Sources["config"] = &SourceSeen{Files: 3, Whole: true}
	in.Sources["autodiscover"] = &SourceSeen{Files: 1}
	var got []string
	for _, c := range Host(in).Coverage {
		got = append(got, fmt.Sprint(c.Source, " ", c.Status, " ", c.Records))
	}
	want := []string{"iis covered 240", "httpproxy covered 240", "ews absent 0", "autodiscover absent 0", "config covered 3", "mapihttp covered 5"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNextSteps(t *testing.T) {
	t.Parallel()
	keys := func(in Input) (all []string) {
		in.Guidance = func(_ string, l postern.Level) []postern.Text {
			return []postern.Text{postern.Say("guide-" + l.String())}
		}
		for _, n := range Host(in).Verdict.Next {
			all = append(all, n.Key)
		}
		return all
	}
	bare := covered()
	bare.Sources = nil
	partly := covered()
	partly.Sources["httpproxy"].Hours = map[int64]int64{at(0).Unix() / 3600: 1}
	partly.Sources["ews"] = partly.Sources["httpproxy"]
	bad := covered(found("x", postern.Implanted, 1, "", nil))
	bad.Sources = nil
	for _, c := range []struct {
		name string
		in   Input
		want []string
	}{
		{"covered", covered(), []string{"guide-not-seen", "collect-ews"}},
		{"what disappears first, first", bare, []string{"guide-not-seen", "collect-ews", "collect-httpproxy", "collect-iis"}},
		{"a part only of what is needed", partly, []string{"guide-not-seen", "collect-httpproxy"}},
		{"only what is needed once it is proved", bad, []string{"guide-implanted", "collect-httpproxy", "collect-iis"}},
	} {
		if got := keys(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestStory(t *testing.T) {
	t.Parallel()
	by := func(more ...string) func(*postern.Finding) { return with(append(more, postern.ClientIP, intruder)...) }
	h := Host(covered(
		found("step.one", 2, 1, "ssrf", by(postern.RequestID, requests, postern.URL, "/ecp/y.js?x")),
		found("step.one", 2, 2, "ssrf", by(postern.URL, "/ecp/y.js")),
		found("step.two", 3, 3, "admin", by()),
		request("/owa/auth/x.aspx", 5, postern.Medium, 4, intruder),
		// The same request in another log.
		found("same-request", 5, 4, "shell-request", by(postern.URL, "/owa/auth/x.aspx")),
	))
	if len(h.Incidents) != 1 {
		t.Fatalf("%d incidents", len(h.Incidents))
	}
	var got []string
	for _, line := range h.Incidents[0].Story {
		got = append(got, fmt.Sprintf("%s|%s|%s|%s|%s", line.Key, line.Args["title@"], line.Args["count"], line.Args["what"], line.Args["last"]))
	}
	want := []string{
		"correlate.story.actors||1||",
		"correlate.story.dated-what|step.one|2|/ecp/y.js|2021-03-03 06:02:00",
		"correlate.story.dated|step.two|1||2021-03-03 06:03:00",
		"correlate.story.dated-what|request|2|/owa/auth/x.aspx|2021-03-03 06:04:00",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("story differs (-want +got):\n%s", d)
	}
}

func TestLongStory(t *testing.T) {
	t.Parallel()
	var all []postern.Finding
	for i := range 60 {
		level := postern.Exploited
		if i%3 == 0 {
			level = postern.Implanted
		}
		all = append(all, found(fmt.Sprint("step", i), level, i, "", with(postern.ClientIP, intruder)))
	}
	story := Host(covered(all...)).Incidents[0].Story
	if len(story) != maxStory+2 || story[len(story)-1].Key != "correlate.story.more" || story[len(story)-1].Args["count"] != "40" {
		t.Fatalf("%d lines, last %v", len(story), story[len(story)-1])
	}
	for n, line := range story[1 : maxStory+1] {
		if want := fmt.Sprint("step", n*3); line.Args["title@"] != want {
			t.Errorf("line %d: %s, want %s: the worst, in their order", n, line.Args["title@"], want)
		}
	}
}

func TestUndatedSteps(t *testing.T) {
	t.Parallel()
	const canary = "abcdefghijklmnop1234"
	h := Host(covered(
		found("a", 2, 1, "", with(postern.Canary, canary)),
		found("a", 2, 2, "", func(f *postern.Finding) { f.Set(postern.Canary, canary); f.Time = time.Time{} }),
		found("b", 2, 2, "", func(f *postern.Finding) { f.Set(postern.Canary, canary); f.Time = time.Time{} })))
	for _, line := range h.Incidents[0].Story {
		if last := line.Args["last"]; strings.HasPrefix(last, "0001") {
			t.Errorf("a step until the year one: %v", line)
		}
	}
	if got := h.Incidents[0].Story[2].Key; got != "correlate.story.undated" {
		t.Errorf("key %s", got)
	}
}

// TestWords says every sentence that this stage makes in both languages.
func TestWords(t *testing.T) {
	t.Parallel()
	packs, err := campaign.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range catalogue.Languages {
		words, err := catalogue.Load(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packs {
			words = words.With(p.Messages(lang))
		}
		said := func(what string, text postern.Text) {
			t.Helper()
			s := words.Say(text)
			if s == "" || strings.HasPrefix(s, text.Key) || strings.Contains(s, "{") || strings.Contains(s, "@=") {
				t.Errorf("%s: %s: %s says %q", lang, what, text.Key, s)
			}
		}
		for _, p := range packs {
			for level := postern.NotSeen; level <= postern.PostExploitation; level++ {
				for _, confidence := range []postern.Confidence{postern.Low, postern.Medium, postern.High} {
					for _, state := range []string{"covered", "open", "unread"} {
						for _, dated := range []bool{true, false} {
							in := inPack(p, level, confidence, state, dated)
							h := Host(in)
							what := fmt.Sprint(p.Name, " ", level, " ", confidence, " ", state, " dated ", dated)
							if h.Verdict.Level != level {
								t.Errorf("%s: level %v", what, h.Verdict.Level)
							}
							said(what, h.Verdict.Summary)
							said(what, h.Verdict.Title)
							said(what, h.Patched.Why)
							said(what, h.Mitigated.Why)
							for _, n := range h.Verdict.Next {
								said(what, n)
							}
							for _, i := range h.Incidents {
								for _, line := range i.Story {
									said(what, line)
								}
							}
						}
					}
				}
			}
		}
		said("no campaign", Host(Input{}).Verdict.Summary)
		for _, key := range []string{"correlate.target-known", "correlate.own-scanner", "correlate.sweep", "correlate.after-patch", "correlate.file-known",
			"correlate.requests-known", "correlate.disappeared.title", "correlate.disappeared.explain"} {
			if !words.Has(key) {
				t.Errorf("%s: no %s", lang, key)
			}
		}
	}
}

// inPack is a host with one finding of a campaign pack's level.
func inPack(p *campaign.Pack, level postern.Level, c postern.Confidence, state string, dated bool) Input {
	in := Input{Host: "EX01", Campaigns: []postern.Campaign{p.Campaign}, Sources: make(map[string]*SourceSeen), Product: p.Facts,
		Guidance: func(_ string, l postern.Level) []postern.Text { return p.Guidance[l] }}
	for _, s := range p.Campaign.Sources {
		if state != "open" {
			in.Sources[s.Name] = covering(p.Campaign.Window)
		}
	}
	if state == "unread" {
		in.Unreadable = 1
	}
	f := found("x", level, 5, "", func(f *postern.Finding) {
		f.Campaign, f.Confidence, f.Title = p.Name, c, p.Campaign.Levels[level]
		if !dated {
			f.Time = time.Time{}
		}
	})
	again := f
	again.ID = "again"
	in.Findings = []postern.Finding{f, again}
	return in
}

// mixed makes findings of every kind, the same for the same seed.
func mixed(seed uint64, n int) []postern.Finding {
	r := rand.New(rand.NewPCG(seed, 1))
	tags := []string{"ssrf", "ssrf carrier", "ssrf session", "admin set-url", "reset shell-written", "shell-request", "shell-file", "vdir-remove", "scan", "mail", "shell-file file-time"}
	hostile := []string{"", "-", "\x00", "x\x00y", strings.Repeat("%", 3000), "../../..", "?", "/", `\\`, "\xff\xfe", "{count}", "@"}
	any := func(list []string) string { return list[r.IntN(len(list))] }
	var all []postern.Finding
	for i := range n {
		f := found(fmt.Sprint("rule", r.IntN(12)), postern.Level(r.IntN(7)), r.IntN(20*24*60), any(tags), nil)
		f.Evidence[0] = postern.Evidence{Path: fmt.Sprint("log", r.IntN(50)), Line: int64(i + 1)}
		f.ID = postern.FindingID(f.Rule, f.Evidence[0])
		f.Confidence = postern.Confidence(r.IntN(4))
		f.Campaign = any([]string{"flaw", "flaw", "", "second", "not-hunted"})
		if r.IntN(20) == 0 {
			f.Time = time.Time{}
		}
		if r.IntN(50) == 0 {
			f.Evidence = nil
		}
		f.Set(postern.ClientIP, any([]string{intruder, other, "10.0.0.5", "::1", fmt.Sprint("192.0.2.", r.IntN(250)), any(hostile)}))
		f.Set(postern.RequestID, any([]string{"", fmt.Sprintf("6b5b4f1e-0000-4000-8000-%012d", r.IntN(n)), strings.Repeat(any(hostile), 40)}))
		f.Set(postern.Canary, any([]string{"", "", "", fmt.Sprintf("canary-canary-%06d", r.IntN(n)), any(hostile)}))
		f.Set(postern.URL, any([]string{"/owa/auth/x.aspx", fmt.Sprintf("/aspnet_client/%d.aspx", r.IntN(n)), any(hostile)}))
		f.Set(postern.File, any([]string{"", "", `C:\inetpub\wwwroot\aspnet_client\1.aspx`, any(hostile)}))
		all = append(all, f)
	}
	return all
}

func mixedInput(findings []postern.Finding) Input {
	in := covered(findings...)
	second := flaw()
	second.Name = "second"
	in.Campaigns = append(in.Campaigns, second)
	in.PatchedAt = at(5 * 24 * 60)
	in.Own = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/26")}
	return in
}

func TestProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		before := mixed(seed, 1+int(seed)*7)
		levels := make(map[string]postern.Level)
		worst := postern.NotSeen
		for _, f := range before {
			levels[f.ID] = f.Level
			worst = max(worst, f.Level)
		}
		explained := make(map[string]int)
		for _, f := range before {
			explained[f.ID] = len(f.Explain)
		}
		h := Host(mixedInput(clone(before)))

		ids := make(map[string]bool)
		kept := 0
		for _, f := range h.Findings {
			ids[f.ID] = true
			was, old := levels[f.ID]
			switch {
			case !old && f.Level != postern.NotSeen:
				t.Errorf("seed %d: a new finding %s of level %v", seed, f.Rule, f.Level)
			case old && f.Level > was:
				t.Errorf("seed %d: %s raised from %v to %v", seed, f.Rule, was, f.Level)
			case old && f.Level < was && len(f.Explain) <= explained[f.ID]:
				t.Errorf("seed %d: %s lowered from %v to %v without a word", seed, f.Rule, was, f.Level)
			}
			if old {
				kept++
			}
		}
		if kept != len(before) {
			t.Errorf("seed %d: %d findings of %d left", seed, kept, len(before))
		}
		if h.Verdict.Level > worst {
			t.Errorf("seed %d: verdict %v, worst finding %v", seed, h.Verdict.Level, worst)
		}
		in := make(map[string]bool)
		for _, i := range h.Incidents {
			if i.Level < postern.Probed || i.Last.Before(i.First) || len(i.Story) > maxStory+2 {
				t.Errorf("seed %d: incident %+v", seed, i)
			}
			for _, id := range i.Findings {
				if !ids[id] || in[id] {
					t.Errorf("seed %d: finding %s of an incident does not exist, or is in two", seed, id)
				}
				in[id] = true
			}
		}
		for _, f := range h.Findings {
			// Something odd that names nobody and no time is a story only as a part of one.
			if f.Level >= postern.Probed && !in[f.ID] && !oddity(&f) {
				t.Errorf("seed %d: finding %s of level %v is in no incident", seed, f.ID, f.Level)
			}
		}

		shuffled := clone(before)
		rand.New(rand.NewPCG(seed, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if d := cmp.Diff(h, Host(mixedInput(shuffled))); d != "" {
			t.Fatalf("seed %d: the order of the findings matters:\n%s", seed, d)
		}
	}
}

func clone(findings []postern.Finding) []postern.Finding {
	all := slices.Clone(findings)
	for i := range all {
		all[i].Tags = slices.Clone(all[i].Tags)
		all[i].Explain = slices.Clone(all[i].Explain)
	}
	return all
}

// TestNearest holds the search against asking everybody.
func TestNearest(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		findings := make([]postern.Finding, r.IntN(12))
		var candidates []int
		for i := range findings {
			findings[i].Time = at(r.IntN(30))
		}
		slices.SortFunc(findings, func(a, b postern.Finding) int { return a.Time.Compare(b.Time) })
		for i := range findings {
			if r.IntN(2) == 0 {
				candidates = append(candidates, i)
			}
		}
		when, gap := at(r.IntN(30)), time.Duration(r.IntN(10))*time.Minute
		want := -1
		for _, j := range candidates {
			d := findings[j].Time.Sub(when).Abs()
			if d <= gap && (want < 0 || d < findings[want].Time.Sub(when).Abs()) {
				want = j
			}
		}
		if got := nearest(findings, candidates, when, gap); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
}

// BenchmarkHost is a host with as much as a hunt ever keeps of ten rules: it has
// to stay well under a second.
func BenchmarkHost(b *testing.B) {
	findings := mixed(7, 50_000)
	for b.Loop() {
		b.StopTimer()
		in := mixedInput(clone(findings))
		b.StartTimer()
		Host(in)
	}
}

// BenchmarkActs is the worst case of joining by time: every act has its row of the
// control panel.
func BenchmarkActs(b *testing.B) {
	var findings []postern.Finding
	for i := range 25_000 {
		findings = append(findings, found("act", postern.Exploited, i, "ssrf", with(postern.ClientIP, fmt.Sprintf("198.51.%d.%d", i/250, i%250))), found("row", postern.Privileged, i, "admin", nil))
	}
	for b.Loop() {
		b.StopTimer()
		in := covered(clone(findings)...)
		b.StartTimer()
		Host(in)
	}
}
