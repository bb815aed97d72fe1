package correlate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"postern"
)

// Distances in time inside which findings without a common key belong together.
const (
	attemptGap = 12 * time.Hour  // one actor's next attempt begins after this silence
	stepGap    = 2 * time.Minute // between a forged request and what the control panel logs of it
	writeGap   = 5 * time.Minute // between the act of writing and the time inside the written file
	// Between the use of a back door and what it has the server start: the row is written
	// when the request is answered, up to a second beside, and a command takes its time.
	startGap = 10 * time.Second
)

// maxStory bounds the lines of a story: more is not read at three in the morning.
const maxStory = 20

// union is the classic forest: parent of each finding.
type union []int

func newUnion(n int) union {
	u := make(union, n)
	for i := range u {
		u[i] = i
	}
	return u
}

func (u union) find(i int) int {
	for u[i] != i {
		u[i] = u[u[i]]
		i = u[i]
	}
	return i
}

func (u union) join(i, j int) {
	if a, b := u.find(i), u.find(j); a != b {
		u[max(a, b)] = min(a, b)
	}
}

// stories puts findings that belong together side by side: by key first, by time
// second. Each is given by its index, in time order.
func stories(findings []postern.Finding, balancers map[string]bool) [][]int {
	u := newUnion(len(findings))
	joinByKey(u, findings, balancers)
	joinByTime(u, findings, balancers)

	members := make(map[int][]int)
	for i := range findings {
		members[u.find(i)] = append(members[u.find(i)], i)
	}
	var all [][]int
	for _, root := range slices.Sorted(maps.Keys(members)) {
		all = append(all, members[root])
	}
	return all
}

// incidents tells the stories. Findings of level 0 only come in as steps of
// something worse.
func incidents(findings []postern.Finding, stories [][]int, balancers map[string]bool) []postern.Incident {
	var all []postern.Incident
	for _, members := range stories {
		if in, ok := incident(findings, members, balancers); ok {
			all = append(all, in)
		}
	}
	slices.SortStableFunc(all, func(a, b postern.Incident) int {
		return cmp.Or(-cmp.Compare(a.Level, b.Level), cmp.Compare(btoi(a.First.IsZero()), btoi(b.First.IsZero())), a.First.Compare(b.First))
	})
	return all
}

// actor gives the address behind a finding, "" if it is unknown, the server's
// own or that of a load balancer, which is never called an attacker.
func actor(f *postern.Finding, balancers map[string]bool) string {
	ip := address(f)
	if ip == "" || balancers[ip] || strings.HasSuffix(f.Entities[postern.Account], "$") {
		return "" // a computer account: one server calls another
	}
	if addr := netip.MustParseAddr(ip); addr.IsLoopback() || addr.IsUnspecified() || addr.IsLinkLocalUnicast() {
		return ""
	}
	return ip
}

func joinByKey(u union, findings []postern.Finding, balancers map[string]bool) {
	first := make(map[string]int)
	key := func(i int, parts ...string) {
		k := strings.Join(parts, "\x00")
		if j, ok := first[k]; ok {
			u.join(i, j)
			return
		}
		first[k] = i
	}
	lastOf := make(map[string]int) // actor → its last finding
	undated := -1
	for i := range findings {
		f := &findings[i]
		if ip := actor(f, balancers); ip != "" && !f.Time.IsZero() {
			if j, ok := lastOf[ip]; ok && f.Time.Sub(findings[j].Time) <= attemptGap {
				u.join(i, j)
			}
			lastOf[ip] = i
		} else if account := f.Entities[postern.Account]; f.HasTag("mail") && account != "" && !f.Time.IsZero() {
			// Mail read through one account without an address is one theft, not one a row.
			if j, ok := lastOf["account "+account]; ok && f.Time.Sub(findings[j].Time) <= attemptGap {
				u.join(i, j)
			}
			lastOf["account "+account] = i
		}
		if id := requestID(f); id != "" {
			key(i, "request", id)
		}
		if c := f.Entities[postern.Canary]; len(c) >= 16 {
			key(i, "canary", c)
		}
		for _, e := range f.Evidence {
			if e.Line > 0 {
				key(i, "row", e.Path, strconv.FormatInt(e.Line, 10))
			}
			if e.Record > 0 {
				key(i, "record", e.Path, strconv.FormatInt(e.Record, 10))
			}
		}
		if k := backDoor(f); k != "" {
			key(i, "shell", k)
		}
		if f.Level >= postern.Exploited && f.Time.IsZero() && f.Entities[postern.URL] == "" && f.Entities[postern.File] == "" {
			if undated >= 0 {
				u.join(i, undated)
			}
			undated = i
		}
	}
}

// backDoor gives the key under which the file of a back door meets those who
// used it. Somebody who only looked whether it is there has a story of his own.
func backDoor(f *postern.Finding) string {
	switch {
	case f.HasTag(TagShellRequest) && f.Level >= postern.Used:
		return shellKey(f.Entities[postern.URL])
	case f.Level >= postern.Implanted && f.HasTag(TagShellFile):
		return shellKey(cmp.Or(f.Entities[postern.URL], f.Entities[postern.File]))
	case f.HasTag(TagShellWritten) && f.Entities[postern.File] != "":
		return shellKey(f.Entities[postern.File])
	}
	return ""
}

// joinByTime ties what has no actor of its own, the control panel's log and the
// written file, to the act that it must come from.
func joinByTime(u union, findings []postern.Finding, balancers map[string]bool) {
	var acts, writes, uses []int
	for i := range findings {
		f := &findings[i]
		if f.Time.IsZero() || f.Level < postern.Exploited {
			continue
		}
		if actor(f, balancers) != "" && f.HasTag(TagNeedsFlaw) {
			acts = append(acts, i)
		}
		if f.HasTag(TagShellWritten) {
			writes = append(writes, i)
		}
		if f.HasTag(TagShellRequest) && f.Level >= postern.Used {
			uses = append(uses, i)
		}
	}
	for i := range findings {
		f := &findings[i]
		if f.Time.IsZero() {
			continue
		}
		step := f.HasTag("set-url") || f.HasTag("mail") || f.HasTag("admin") || f.HasTag("reset") || f.HasTag("vdir-remove") || f.HasTag("vdir-new") || f.HasTag("session")
		if step && actor(f, balancers) == "" && u.find(i) == i {
			if j := nearest(findings, acts, f.Time, stepGap); j >= 0 {
				u.join(i, j)
			}
		}
		if f.HasTag(TagProcess) && f.Level >= postern.Used {
			if j := nearest(findings, served(findings, uses, f.Entities[applicationPool]), f.Time, startGap); j >= 0 {
				u.join(i, j)
			}
		}
		if f.HasTag(TagShellFile) {
			if j := nearest(findings, writes, f.Time, writeGap); j >= 0 && j != i {
				u.join(i, j)
			}
		}
	}
}

// applicationPool is the entity that names the pool of the worker above a process.
const applicationPool = "application_pool"

// served gives the requests that a pool can have served: those whose application it is
// named after, and any other if it is the one that serves what has no pool of its own,
// or is not known.
func served(findings []postern.Finding, requests []int, pool string) []int {
	pool = strings.ToLower(pool)
	if pool == "" || pool == "defaultapppool" {
		return requests
	}
	var all []int
	for _, i := range requests {
		application, _, _ := strings.Cut(strings.TrimLeft(strings.ToLower(findings[i].Entities[postern.URL]), "/"), "/")
		if application != "" && strings.Contains(pool, application) {
			all = append(all, i)
		}
	}
	return all
}

// nearest gives the candidate whose time is closest, the first of several, -1 if
// none is within the gap. Candidates are in the order of their times.
func nearest(findings []postern.Finding, candidates []int, t postern.Instant, gap time.Duration) int {
	from := func(t postern.Instant) int { // the first at that time or later
		return sort.Search(len(candidates), func(k int) bool { return !findings[candidates[k]].Time.Before(t) })
	}
	best := -1
	after := from(t)
	if after > 0 {
		best = candidates[from(findings[candidates[after-1]].Time)]
	}
	if after < len(candidates) && (best < 0 || findings[candidates[after]].Time.Sub(t) < t.Sub(findings[best].Time)) {
		best = candidates[after]
	}
	if best < 0 || findings[best].Time.Sub(t).Abs() > gap {
		return -1
	}
	return best
}

func incident(findings []postern.Finding, members []int, balancers map[string]bool) (postern.Incident, bool) {
	var in postern.Incident
	h := sha256.New()
	odd := true
	for _, i := range members {
		f := &findings[i]
		in.Level = max(in.Level, f.Level)
		odd = odd && (f.Level < postern.Probed || oddity(f))
		in.Findings = append(in.Findings, f.ID)
		h.Write([]byte(f.ID))
	}
	if in.Level < postern.Probed || odd {
		return in, false
	}
	in.First, in.Last = span(findings, members, trusted)
	if in.First.IsZero() { // the times of files are better than none
		in.First, in.Last = span(findings, members, func(f *postern.Finding) bool { return !f.Time.IsZero() })
	}
	in.ID = hex.EncodeToString(h.Sum(nil)[:8])
	in.Story = story(findings, members, balancers)
	return in, true
}

// oddity says of a finding that it is something for a person to look at and no deed
// of anybody's: no campaign claims it, and it names neither a client nor a time that can
// be trusted, as the folder of a configuration that no product has. It is not a probe.
func oddity(f *postern.Finding) bool {
	return f.Level == postern.Probed && f.Campaign == "" && !f.HasTag(TagShellRequest) && address(f) == "" && !trusted(f)
}

// span gives the first and last time of the members whose times count. Members
// are in the order of their times.
func span(findings []postern.Finding, members []int, counts func(*postern.Finding) bool) (first, last postern.Instant) {
	for _, i := range members {
		if f := &findings[i]; counts(f) {
			if first.IsZero() {
				first = f.Time
			}
			last = f.Time
		}
	}
	return first, last
}

// step is one thing that was done, however often and whichever logs saw it.
type step struct {
	finding *postern.Finding // the first
	count   int
	last    postern.Instant
}

// what is the page or file that a finding is about.
func what(f *postern.Finding) string {
	if f.Entities[postern.File] != "" {
		return f.Entities[postern.File]
	}
	page, _, _ := strings.Cut(cmp.Or(f.Entities["target"], f.Entities[postern.URL]), "?")
	return strings.ReplaceAll(page, "//", "/")
}

// story tells an incident in time order: who, then each step once.
func story(findings []postern.Finding, members []int, balancers map[string]bool) []postern.Text {
	var lines []postern.Text
	actors := make(map[string]bool)
	var steps []step
	at := make(map[string]int)
	counted := make(map[string]bool)
	tellers := tellers(findings, members)
	told := make(map[string]string) // deed → the step that tells of it
	for _, i := range members {
		f := &findings[i]
		if a := actor(f, balancers); a != "" {
			actors[a] = true
		}
		if by, ok := tellers[row(f)]; ok && by != f.Campaign {
			continue
		}
		name := strings.Join([]string{titleOf(f), strconv.Itoa(int(f.Level)), what(f)}, "\x00")
		if deed := deed(f); deed != "" {
			if by, ok := told[deed]; ok && by != name {
				continue
			}
			told[deed] = name
		}
		n, known := at[name]
		if !known {
			n = len(steps)
			at[name] = n
			steps = append(steps, step{finding: f})
		}
		if id := requestID(f); id != "" { // two logs of one request
			if counted[name+"\x00"+id] {
				continue
			}
			counted[name+"\x00"+id] = true
		}
		steps[n].count++
		if !f.Time.IsZero() {
			steps[n].last = f.Time
		}
	}
	if names := slices.Sorted(maps.Keys(actors)); len(names) > 0 {
		shown := names[:min(len(names), 4)]
		lines = append(lines, postern.Say("correlate.story.actors", "count", len(names), "actors", strings.Join(shown, ", ")))
	} else {
		lines = append(lines, postern.Say("correlate.story.nobody"))
	}
	left := 0
	if len(steps) > maxStory {
		steps, left = worstSteps(steps), len(steps)-maxStory
	}
	for _, s := range steps {
		lines = append(lines, s.text())
	}
	if left > 0 {
		lines = append(lines, postern.Say("correlate.story.more", "count", left))
	}
	return lines
}

// row is the place of the one row that a finding rests on, "" if it rests on none.
func row(f *postern.Finding) string {
	if len(f.Evidence) != 1 || f.Evidence[0].Line == 0 {
		return ""
	}
	return f.Evidence[0].Path + "\x00" + strconv.FormatInt(f.Evidence[0].Line, 10)
}

// tellers says whose finding tells of a row that the rules of several packs hit: the
// worst one, the first of several. The same request asks for two flaws at once, but
// it is one request.
func tellers(findings []postern.Finding, members []int) map[string]string {
	best := make(map[string]*postern.Finding)
	several := make(map[string]string)
	for _, i := range members {
		f := &findings[i]
		at := row(f)
		if at == "" {
			continue
		}
		old := best[at]
		if old == nil || f.Level > old.Level {
			best[at] = f
		}
		if old != nil && old.Campaign != f.Campaign {
			several[at] = ""
		}
	}
	for at := range several {
		several[at] = best[at].Campaign
	}
	return several
}

// deed tells the findings of one deed that several logs saw, by rules with words of
// their own: those about one request, or sequences that end at the same moment, with
// the same level and about the same page. It is "" where nothing tells.
func deed(f *postern.Finding) string {
	about := strconv.Itoa(int(f.Level)) + "\x00" + what(f)
	switch {
	case requestID(f) != "":
		return requestID(f) + "\x00" + about
	case len(f.Evidence) > 1 && !f.Time.IsZero():
		return f.Time.Format(time.RFC3339) + "\x00" + f.Campaign + "\x00" + about
	}
	return ""
}

// titleOf names a finding as a person reads it: rules of two logs about the same
// act have the same words under different keys.
func titleOf(f *postern.Finding) string {
	for _, tag := range []string{TagShellRequest, "reset"} {
		if f.HasTag(tag) {
			return tag
		}
	}
	if len(f.Title.Args) == 0 {
		return f.Title.Key
	}
	return f.Title.Key + fmt.Sprint(f.Title.Args)
}

// worstSteps keeps the steps of the highest levels, in their order.
func worstSteps(steps []step) []step {
	order := make([]int, len(steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return postern.Severity(steps[a].finding, steps[b].finding) })
	order = order[:maxStory]
	slices.Sort(order)
	kept := make([]step, 0, maxStory)
	for _, i := range order {
		kept = append(kept, steps[i])
	}
	return kept
}

func (s step) text() postern.Text {
	f := s.finding
	t := postern.Text{Args: map[string]string{"title@": f.Title.Key, "count": strconv.Itoa(s.count), "level": strconv.Itoa(int(f.Level))}}
	maps.Copy(t.Args, f.Title.Args)
	about := what(f)
	t.Args["what"] = about
	switch dated := !f.Time.IsZero(); {
	case dated && about != "":
		t.Key = "correlate.story.dated-what"
	case dated:
		t.Key = "correlate.story.dated"
	case about != "":
		t.Key = "correlate.story.undated-what"
	default:
		t.Key = "correlate.story.undated"
	}
	if f.Title.Args["count"] != "" { // the title's own number: it leaves no room for how often
		t.Key += ".one"
	}
	if !f.Time.IsZero() {
		t.Args["time"] = f.Time.UTC().Format("2006-01-02 15:04:05")
		t.Args["last"] = s.last.UTC().Format("2006-01-02 15:04:05")
	}
	return t
}
