package hunt

import (
	"cmp"
	"context"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"postern"
	"postern/internal/hunt/correlate"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse"
)

// maxFindings bounds what is kept of one rule and level for one host, the earliest;
// more is counted. A scanner that knocks a million times must not fill memory, and
// the thousandth knock tells nobody anything new; nor may it crowd out the one that
// was let in.
const maxFindings = 5000

// collector gathers what the logs of one host say.
type collector struct {
	mu      sync.Mutex
	kept    map[kind]*kept
	sources map[string]*correlate.SourceSeen
	builds  []correlate.BuildSeen
	lost    int
}

func newCollector(s *server) *collector {
	c := &collector{kept: make(map[kind]*kept), sources: make(map[string]*correlate.SourceSeen), lost: len(s.losses)}
	for _, g := range s.groups {
		c.add(g.findings...)
		if g.web > 0 {
			c.whole("files", g.web)
		}
		for name, parts := range g.parts {
			c.whole(name, int64(len(parts)))
		}
	}
	return c
}

// whole books evidence that has no times of its own.
func (c *collector) whole(name string, files int64) {
	s := c.source(name)
	s.Whole = true
	s.Files += files
}

func (c *collector) source(name string) *correlate.SourceSeen {
	if c.sources[name] == nil {
		c.sources[name] = &correlate.SourceSeen{Hours: make(map[int64]int64)}
	}
	return c.sources[name]
}

// kind is what the bound of findings is for.
type kind struct {
	rule  string
	level postern.Level
}

// kept are the findings of a kind: the earliest, and how many there were.
type kept struct {
	findings []postern.Finding
	count    int64
}

// cut leaves the earliest, whoever came in first.
func (k *kept) cut() {
	if len(k.findings) > maxFindings {
		slices.SortStableFunc(k.findings, earlier)
		clear(k.findings[maxFindings:])
		k.findings = k.findings[:maxFindings]
	}
}

// earlier orders findings by time and then by place.
func earlier(a, b postern.Finding) int {
	return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.ID, b.ID))
}

func (c *collector) add(findings ...postern.Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range findings {
		k := c.kept[kind{f.Rule, f.Level}]
		if k == nil {
			k = &kept{}
			c.kept[kind{f.Rule, f.Level}] = k
		}
		k.count++
		if k.findings = append(k.findings, f); len(k.findings) == 2*maxFindings {
			k.cut()
		}
	}
}

// findings gives a copy of all that is there, in the order of time and place, so
// that nothing depends on which goroutine was first.
func (c *collector) findings() []postern.Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []postern.Finding
	for _, k := range c.kept {
		k.cut()
		all = append(all, k.findings...)
	}
	slices.SortFunc(all, func(a, b postern.Finding) int {
		return cmp.Or(earlier(a, b), strings.Compare(a.Rule, b.Rule), cmp.Compare(a.Level, b.Level))
	})
	return all
}

// seen books what the scan of one log learned.
func (c *collector) seen(r *parse.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Format == nil {
		return
	}
	s := c.source(r.Format.Name)
	s.Files++
	s.Records += r.Records
	for hour, n := range r.Hours {
		s.Hours[hour] += n
	}
	if !r.From.IsZero() && (s.From.IsZero() || r.From.Before(s.From)) {
		s.From = r.From
	}
	if r.To.After(s.To) {
		s.To = r.To
	}
	for _, b := range r.Builds {
		if b.Time.IsZero() {
			b.Time = r.From
		}
		if !b.Time.IsZero() { // a header without a row says nothing about when
			c.sawBuild(correlate.BuildSeen(b))
		}
	}
}

// sawBuild keeps when each build was seen first and last: every file names one.
func (c *collector) sawBuild(b correlate.BuildSeen) {
	var first, last *correlate.BuildSeen
	for i := range c.builds {
		if k := &c.builds[i]; k.Build == b.Build && !k.Time.IsZero() {
			if first == nil {
				first = k
			}
			last = k
		}
	}
	switch {
	case first == nil || first == last && !b.Time.Equal(first.Time):
		c.builds = append(c.builds, b)
	case b.Time.Before(first.Time) && first.Time.Before(last.Time):
		first.Time = b.Time
	case b.Time.Before(last.Time) && last.Time.Before(first.Time):
		last.Time = b.Time
	case b.Time.After(last.Time) && last.Time.After(first.Time):
		last.Time = b.Time
	case b.Time.After(first.Time) && first.Time.After(last.Time):
		first.Time = b.Time
	}
}

// lose books that a log of the host was not read, or not wholly.
func (c *collector) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost++
}

// dropped names the rules whose findings were only counted.
func (c *collector) dropped(host string) []postern.Problem {
	count := make(map[string]int64)
	for k, v := range c.kept {
		if v.count > maxFindings {
			count[k.rule] += v.count - maxFindings
		}
	}
	var problems []postern.Problem
	for rule, n := range count {
		problems = append(problems, postern.Problem{Path: host, What: postern.Limit,
			Detail: postern.Say("hunt.findings-dropped", "count", n, "rule", rule, "bound", maxFindings)})
	}
	slices.SortFunc(problems, func(a, b postern.Problem) int { return strings.Compare(a.Detail.Args["rule"], b.Detail.Args["rule"]) })
	return problems
}

// droppedLevels counts the findings that were only counted by their levels.
func (c *collector) droppedLevels() (n [postern.PostExploitation + 1]int64) {
	for k, v := range c.kept {
		if v.count > maxFindings && k.level.Valid() {
			n[k.level] += v.count - maxFindings
		}
	}
	return n
}

// inOrder parts the logs, in place, into those that name pages and those of
// requests to pages, so that the second pass knows what the first has found.
func inOrder(logs []*logFile) (early, late []*logFile) {
	slices.SortStableFunc(logs, func(a, b *logFile) int { return cmp.Compare(requests(a), requests(b)) })
	at, _ := slices.BinarySearchFunc(logs, 1, func(l *logFile, want int) int { return cmp.Compare(requests(l), want) })
	return logs[:at], logs[at:]
}

func requests(l *logFile) int {
	if l.records == nil && (l.format.Name == "iis" || l.format.Name == "httpproxy") {
		return 1
	}
	return 0
}

// scan reads logs, several at a time.
func (h *hunt) scan(ctx context.Context, logs []*logFile, rules HostRules, c *collector) error {
	next := make(chan *logFile, queue)
	var workers sync.WaitGroup
	for range min(h.readers(), len(logs)) {
		workers.Go(func() {
			var scratch parse.Scratch
			for l := range next {
				if !h.guard(int(l.input), l.file.Path, func() { h.scanOne(ctx, l, rules, c, &scratch) }) {
					c.lose()
				}
			}
		})
	}
	var err error
	for _, l := range largeFirst(logs) {
		select {
		case next <- l:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		}
		break
	}
	close(next)
	workers.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// largeLog is what takes so long to read that the threads would wait for it if it came
// last.
const largeLog = 16 << 20

// largeFirst gives the large logs and then the others, in the order of their folders.
func largeFirst(logs []*logFile) []*logFile {
	ordered := slices.Clone(logs)
	slices.SortStableFunc(ordered, func(a, b *logFile) int {
		return cmp.Compare(b.file.Size/largeLog, a.file.Size/largeLog)
	})
	return ordered
}

// readers is how many logs are open at once: four a thread, so that some are judged
// while others wait for the disk. One thread means one, whatever waits.
func (h *hunt) readers() int {
	if h.opt.Threads == 1 {
		return 1
	}
	return 4 * h.opt.Threads
}

func (h *hunt) scanOne(ctx context.Context, l *logFile, rules HostRules, c *collector, scratch *parse.Scratch) {
	r, err := l.file.Open()
	if err != nil {
		c.lose()
		h.note(int(l.input), l.file.Path, nil, err)
		return
	}
	defer r.Close()
	if l.records != nil {
		h.scanRecords(ctx, l, r, rules, c)
		return
	}
	opt := parse.Options{
		Gate:    rules.Gate,
		Yield:   func(ev *postern.Event) { c.add(rules.Look(ev)...) },
		Scratch: scratch, Headers: &h.headers,
	}
	if l.guessed {
		opt.Confirm = func(head []byte) *parse.Format { return h.confirm(l, head) }
	}
	result, err := parse.Scan(ctx, &countingReader{r: r, n: &h.opt.Progress.Bytes}, l.file.Path, l.format, opt)
	if result.Format == nil && err == nil {
		h.noLog(l, c)
		return
	}
	c.seen(result)
	h.opt.Progress.Records.Add(result.Records)
	if ctx.Err() != nil {
		return
	}
	h.note(int(l.input), l.file.Path, result.Problems, err)
	if l.guessed && slices.ContainsFunc(h.opt.Files, detect.WantsLogs) {
		c.add(h.lookAgain(l, true)...)
	}
	if err != nil || h.lostAt(int(l.input), l.file.Path) {
		c.lose()
	}
}

// scanRecords reads a log of records, which tells of one source or several.
func (h *hunt) scanRecords(ctx context.Context, l *logFile, r io.Reader, rules HostRules, c *collector) {
	results, err := l.records.Scan(ctx, &countingReader{r: r, n: &h.opt.Progress.Bytes}, l.file.Path, parse.RecordOptions{
		Channel: rules.Channel,
		Yield:   func(ev *postern.Event) { c.add(rules.LookAtRecord(ev)...) },
	})
	for _, result := range results {
		c.seen(result)
		h.opt.Progress.Records.Add(result.Records)
		h.note(int(l.input), l.file.Path, result.Problems, nil)
	}
	if ctx.Err() != nil {
		return
	}
	h.note(int(l.input), l.file.Path, nil, err)
	if err != nil || h.lostAt(int(l.input), l.file.Path) {
		c.lose()
	}
}

// confirm says by its beginning what a file of a family really is.
func (h *hunt) confirm(l *logFile, head []byte) *parse.Format {
	if len(head) > len(l.first) && string(head[:len(l.first)]) == l.first {
		return l.format
	}
	f, _ := parse.Recognise(head, l.file.Path, h.opt.Formats, &h.headers)
	return f
}

// noLog lets the detectors of files look at what only had the name of a log.
func (h *hunt) noLog(l *logFile, c *collector) {
	c.add(h.lookAgain(l, false)...)
	if h.lostAt(int(l.input), l.file.Path) {
		c.lose()
	}
}

// lookAgain lets the detectors of files look at what was taken for a log by its name alone.
func (h *hunt) lookAgain(l *logFile, log bool) []postern.Finding {
	_, where, _ := h.place(int(l.input), l.file.Path)
	findings, _ := h.look(int(l.input), &detect.File{Path: l.file.Path, Server: where, Size: l.file.Size, ModTime: l.file.ModTime, Open: l.file.Open, Log: log})
	return findings
}

// judge lets each host detector judge what it has read of the host.
func (h *hunt) judge(s *server, c *collector) map[string]postern.Fact {
	mitigated := make(map[string]postern.Fact)
	for _, d := range h.opt.Hosts {
		var parts []any
		for _, g := range s.groups {
			slices.SortFunc(g.parts[d.Name()], func(a, b part) int { return strings.Compare(a.path, b.path) })
			for _, p := range g.parts[d.Name()] {
				parts = append(parts, p.value)
			}
		}
		if len(parts) == 0 {
			continue
		}
		if w, ok := d.(wary); ok {
			for _, l := range s.losses {
				parts = append(parts, w.Lost(h.lostFile(s, l)))
			}
		}
		j := d.Judge(parts)
		c.add(j.Findings...)
		for _, b := range j.Builds {
			c.builds = append(c.builds, correlate.BuildSeen{Build: b})
		}
		for campaign, fact := range j.Mitigated {
			mitigated[campaign] = fact
		}
	}
	return mitigated
}

// lostFile is a lost place as a detector sees it.
func (h *hunt) lostFile(s *server, l lostPlace) *detect.File {
	f := &detect.File{Path: l.written}
	if !l.isAbove(s) {
		_, where, _ := h.place(l.input, path.Join(l.written, "web.config")) // what a folder is shows what lies in it
		f.Server = path.Dir(where)
	}
	return f
}

func (h *hunt) correlation(s *server, c *collector, findings []postern.Finding, mitigated map[string]postern.Fact) correlate.Input {
	return correlate.Input{
		Host:       s.name,
		Campaigns:  h.opt.Campaigns,
		Findings:   findings,
		Sources:    c.sources,
		Builds:     c.builds,
		Product:    h.opt.Product,
		PatchedAt:  h.opt.PatchedAt,
		Mitigated:  mitigated,
		Own:        h.opt.Own,
		Unreadable: c.lost,
		Dropped:    c.droppedLevels(),
		Guidance:   h.opt.Guidance,
	}
}

// report hands a host to the sink.
func (h *hunt) report(problems []postern.Problem, host postern.Host) error {
	for _, p := range problems {
		h.tell(p)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sinkErr != nil {
		return h.sinkErr
	}
	return h.sink.Host(host)
}

// end says how it went.
func (h *hunt) end(elapsed time.Duration) error {
	for _, e := range h.opened {
		e.Close() // tells the problems that were only counted
	}
	h.opened = nil
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tellRest()
	if h.sinkErr != nil {
		return h.sinkErr
	}
	status := postern.Complete
	if h.lost {
		status = postern.PartialStatus
	}
	p := h.opt.Progress
	return h.sink.End(status, postern.Stats{
		Files: p.Files.Load(), Bytes: p.Bytes.Load(), Records: p.Records.Load(),
		ElapsedSeconds: elapsed.Seconds(),
	})
}
