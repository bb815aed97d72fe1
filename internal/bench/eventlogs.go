package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"postern"
	"postern/internal/hunt"
	"postern/internal/hunt/detect"
	detectall "postern/internal/hunt/detect/all"
	"postern/internal/hunt/detect/sigma"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/evtx"
)

// eventLogs measures event logs: the reader and the hunt against dumpevtx over the
// chunks of public samples put into one log, and public Sigma rules over the logs
// that they are published with.
type eventLogs struct {
	*bench
	samples  string // folder of event logs, as sbousseaden/EVTX-ATTACK-SAMPLES
	dumpevtx string // the peer's binary, www.velocidex.com/golang/evtx/cmd; "" leaves it out
	sigma    string // a checkout of SigmaHQ/sigma; "" leaves it out
}

func (e *eventLogs) run() error {
	if e.samples != "" { // first, as a program that is started here takes over what memory this one had
		if err := e.speed(); err != nil {
			return err
		}
	}
	if e.sigma == "" {
		return nil
	}
	if err := e.regression(); err != nil {
		return err
	}
	return e.more()
}

// evtxFiles visits every event log in a folder.
func evtxFiles(dir string, each func(path string) error) error {
	return files(dir, func(path string) error {
		if strings.EqualFold(filepath.Ext(path), ".evtx") {
			return each(path)
		}
		return nil
	})
}

// speed compares CPU time and gives memory.
func (e *eventLogs) speed() error {
	var files, records int
	err := evtxFiles(e.samples, func(path string) error {
		files++
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		problems, err := evtx.Read(context.Background(), f, path, func(*evtx.Record) error { records++; return nil })
		for _, p := range problems {
			fmt.Printf("  %s: %s %v\n", path, p.Detail.Key, p.Detail.Args)
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("event logs: %d files, %d records read\n", files, records)
	log, size, err := e.join(200 << 20)
	if err != nil {
		return err
	}
	fmt.Printf("one log of their chunks, repeated: %.0f MB\n", float64(size)/1e6)
	events := func() *exec.Cmd { return exec.Command(e.postern, "events", log) }
	found := func() *exec.Cmd { return e.bench.hunt(log, "1", "none") }
	all := func() *exec.Cmd {
		return exec.Command(e.self, "peer", "sigma", e.sigma+string(filepath.ListSeparator)+log)
	}
	dump := func() *exec.Cmd { return exec.Command(e.dumpevtx, "parse", log) }
	for name, c := range map[string]func() *exec.Cmd{"events": events, "hunt": found} {
		u, err := run(c())
		if err != nil {
			return err
		}
		fmt.Printf("peak RSS of %s: %.1f MiB (goal 64)\n", name, u.rss)
	}
	if e.dumpevtx != "" {
		if err := e.cpu("dumpevtx parse, every record as JSON", 1.0/5, events, dump); err != nil {
			return err
		}
		if err := e.cpu("dumpevtx parse, hunt with the built-in rules", 1.0/20, found, dump); err != nil {
			return err
		}
		if e.sigma != "" {
			if err := e.cpu("dumpevtx parse, all public rules for Windows, their loading included", 1, all, dump); err != nil {
				return err
			}
		}
	}
	return nil
}

// join writes the chunks of all samples, again and again, into one log. Chunks stand
// for themselves, so that this is a log like any other.
func (e *eventLogs) join(size int) (string, int64, error) {
	const fileHeader, chunk = 4096, 64 << 10
	path := filepath.Join(e.dir, "joined.evtx")
	f, err := os.Create(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, fileHeader)); err != nil {
		return "", 0, err
	}
	n := 0
	buf := make([]byte, chunk)
	once := func(path string) error {
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		if _, err := in.Seek(fileHeader, io.SeekStart); err != nil {
			return err
		}
		for {
			if _, err := io.ReadFull(in, buf); err != nil {
				return nil // the end, or a chunk that is cut
			}
			if !bytes.HasPrefix(buf, []byte("ElfChnk\x00")) {
				continue
			}
			n++
			if _, err := f.Write(buf); err != nil {
				return err
			}
		}
	}
	for first := true; first || n > 0 && n*chunk < size; first = false {
		if err := evtxFiles(e.samples, once); err != nil {
			return "", 0, err
		}
	}
	if n == 0 {
		return "", 0, fmt.Errorf("%s: no event logs", e.samples)
	}
	header := make([]byte, 128)
	copy(header, "ElfFile\x00")
	le := binary.LittleEndian
	le.PutUint64(header[16:], uint64(n-1))
	le.PutUint64(header[24:], 1)
	le.PutUint32(header[32:], 128)
	le.PutUint16(header[36:], 1)
	le.PutUint16(header[38:], 3)
	le.PutUint16(header[40:], fileHeader)
	le.PutUint16(header[42:], uint16(n))
	le.PutUint32(header[124:], crc32.ChecksumIEEE(header[:120]))
	if _, err := f.WriteAt(header, 0); err != nil {
		return "", 0, err
	}
	return path, int64(fileHeader + n*chunk), f.Close()
}

// public is a rule of the public collection.
type public struct {
	file string
	rule *sigma.Rule
	doc  []byte
}

// collection compiles the rules for Windows and for web servers, and gives how many
// there are and why some do not load.
func collection(dir string) (loaded []public, all int, refused map[string]string, err error) {
	refused = make(map[string]string)
	walk := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yml" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, doc := range sigma.Split(b) {
			var head struct {
				Logsource struct{ Product, Category string }
			}
			if doc.Correlation || yaml.Unmarshal(doc.Src, &head) != nil {
				continue
			}
			l := head.Logsource
			if l.Product != "windows" && l.Category != "webserver" && l.Category != "antivirus" {
				continue
			}
			all++
			rule, err := sigma.Compile(doc.Src, nil)
			if err != nil {
				refused[path] = err.Error()
				continue
			}
			loaded = append(loaded, public{path, rule, doc.Src})
		}
		return nil
	}
	for _, part := range []string{"rules", "rules-emerging-threats", "rules-threat-hunting", "rules-dfir", "rules-compliance", "rules-placeholder"} {
		if err := filepath.WalkDir(filepath.Join(dir, part), walk); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, nil, err
		}
	}
	return loaded, all, refused, nil
}

// rows makes the rules ready as the hunt has them.
func rows(rules []public) (*detectall.Rows, error) {
	var docs []detect.RowRule
	for _, p := range rules {
		docs = append(docs, detect.RowRule{Rule: postern.Rule{ID: p.rule.ID, Title: postern.Verbatim(p.rule.Title), Level: postern.Probed, Confidence: postern.Low}, Sigma: p.doc, Where: p.file})
	}
	return detectall.NewRows(docs, nil, nil, func(string, string, string) []string { return nil })
}

// matches counts the matches of each rule in a log.
func matches(r io.Reader, path string, rules hunt.HostRules) (map[string]int, error) {
	found := make(map[string]int)
	_, err := evtx.Scan(context.Background(), r, path, parse.RecordOptions{Channel: rules.Channel, Yield: func(ev *postern.Event) {
		for _, f := range rules.LookAtRecord(ev) {
			found[f.Rule]++
		}
	}})
	return found, err
}

// regression runs the public rules over the logs that are published as their proof.
func (e *eventLogs) regression() error {
	start := time.Now()
	loaded, all, refused, err := collection(e.sigma)
	if err != nil {
		return err
	}
	ready, err := rows(loaded)
	if err != nil {
		return err
	}
	templates := 0 // rules with blanks that whoever uses them has to fill in have a folder of their own
	for path := range refused {
		if strings.Contains(filepath.ToSlash(path), "/rules-placeholder/") {
			templates++
		}
	}
	fmt.Printf("public rules for Windows and web servers: %d of %d load (%.2f %%, goal ≥ 99.5 %%); with %d templates of rules-placeholder %.2f %%; ready in %.2f s\n",
		len(loaded), all-templates, 100*float64(len(loaded))/float64(all-templates), templates, 100*float64(len(loaded))/float64(all), time.Since(start).Seconds())
	for _, path := range slices.Sorted(maps.Keys(refused)) {
		fmt.Printf("  %s: %s\n", path, refused[path])
	}
	windows, err := sigma.ReadWindows()
	if err != nil {
		return err
	}
	nowhere := make(map[string]int)
	for _, p := range loaded {
		if l := p.rule.LogSource; l.Product == "windows" && len(windows.Places(p.rule)) == 0 {
			nowhere[cmp.Or(l.Category, l.Service)]++
		}
	}
	fmt.Printf("rules for Windows whose log nobody writes: %v\n", nowhere)
	tests, right, over := 0, 0, 0
	err = files(filepath.Join(e.sigma, "regression_data"), func(path string) error {
		if filepath.Base(path) != "info.yml" {
			return nil
		}
		var info struct {
			Rules []struct{ ID string } `yaml:"rule_metadata"`
			Tests []struct {
				Type, Path string
				Count      *int `yaml:"match_count"`
			} `yaml:"regression_tests_info"`
		}
		b, err := os.ReadFile(path)
		if err == nil {
			err = yaml.Unmarshal(b, &info)
		}
		if err != nil {
			return err
		}
		for _, t := range info.Tests {
			if t.Type != "evtx" {
				continue
			}
			tests++
			f, err := os.Open(filepath.Join(e.sigma, filepath.FromSlash(t.Path)))
			if err != nil {
				return err
			}
			found, err := matches(f, t.Path, ready.Host())
			f.Close()
			if err != nil {
				return err
			}
			ok := true
			for _, r := range info.Rules {
				least := 1 // as the collection's own runner asks: more are no mistake
				if t.Count != nil {
					least = *t.Count
				}
				if n := found[r.ID]; n < least {
					ok = false
					fmt.Printf("  %s: %d matches of %s, want %d\n", t.Path, n, r.ID, least)
				} else if t.Count != nil && n > least {
					over++
				}
			}
			if ok {
				right++
			}
		}
		return nil
	})
	fmt.Printf("regression logs with all expected matches: %d of %d (%d with more than their note counts)\n", right, tests, over)
	return err
}

// Sizes of the sets of rules that are compared: the figure is about as many.
const (
	manyRules = 2400
	fewRules  = 100
)

// more compares what many rules for one kind of event cost with what a few do, over
// the same events: all rules for Windows, and as many of them as the goal speaks of. Each
// set is measured in a process of its own, so that neither pays for collecting the garbage
// beside the rules of the other.
func (e *eventLogs) more() error {
	if e.samples == "" {
		return nil
	}
	loaded, err := windowsRules(e.sigma)
	if err != nil {
		return err
	}
	log, _, err := e.join(0)
	if err != nil {
		return err
	}
	for _, many := range []int{min(manyRules, len(loaded)), len(loaded)} {
		for _, c := range []struct{ what, how, events string }{{"read and judged", judgeLog, log}, {"judged alone", judgeEvents, e.samples}} {
			var x, y []float64
			for range e.pairs {
				m, err := e.judged(many, many, c.how, c.events)
				if err != nil {
					return err
				}
				f, err := e.judged(many, fewRules, c.how, c.events)
				if err != nil {
					return err
				}
				x, y = append(x, m), append(y, f)
			}
			row(fmt.Sprintf("CPU ms for the samples' events of attacks, %s: %d rules / %d rules", c.what, many, fewRules), median(x), median(y), 3)
		}
	}
	return nil
}

// windowsRules loads those of a collection that are for Windows.
func windowsRules(dir string) ([]public, error) {
	loaded, _, _, err := collection(dir)
	return slices.DeleteFunc(loaded, func(p public) bool { return p.rule.LogSource.Product != "windows" }), err
}

// What a process of judged does: read and judge a log, or judge the events of samples that
// lie in memory.
const (
	judgeLog    = "log"
	judgeEvents = "events"
)

// judged gives the CPU time, in ms, that n of some rules take for the events once.
func (e *eventLogs) judged(of, n int, how, events string) (float64, error) {
	c := exec.Command(e.self, "peer", "judge", strings.Join([]string{strconv.Itoa(of), strconv.Itoa(n), how, e.sigma, events}, string(filepath.ListSeparator)))
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return 0, fmt.Errorf("peer judge: %w", err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// judgeRounds is how often the events are judged for one figure: often enough that the
// collection of garbage falls into each as often.
const judgeRounds = 60

// judgePeer is the process of judged.
func judgePeer(arg string) error {
	args := strings.Split(arg, string(filepath.ListSeparator))
	if len(args) != 5 {
		return errors.New("peer judge: want five parts")
	}
	of, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	rules, err := windowsRules(args[3])
	if err != nil {
		return err
	}
	rules = spread(spread(rules, of), n)
	work := judgeAlone
	if args[2] == judgeLog {
		work = readAndJudge
	}
	do, err := work(rules, args[4])
	if err != nil {
		return err
	}
	rules = nil
	for range 3 { // caches, and memory that is kept
		if err := do(); err != nil {
			return err
		}
	}
	runtime.GC()
	before, err := ownUsage()
	if err != nil {
		return err
	}
	for range judgeRounds {
		if err := do(); err != nil {
			return err
		}
	}
	after, err := ownUsage()
	fmt.Println(1e3 * (after - before).Seconds() / judgeRounds)
	return err
}

// spread takes n rules, every so manieth in the order of their paths, so that they are a
// mixture like all; all if there are no more.
func spread(rules []public, n int) []public {
	var taken []public
	for i, p := range rules {
		if n >= len(rules) || i*n/len(rules) != (i+1)*n/len(rules) {
			taken = append(taken, p)
		}
	}
	return taken
}

// readAndJudge gives what reads a log and judges its events by some rules.
func readAndJudge(rules []public, log string) (func() error, error) {
	data, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	ready, err := rows(rules)
	return func() error {
		_, err := matches(bytes.NewReader(data), log, ready.Host())
		return err
	}, err
}

// judgeAlone gives what judges events that lie in memory as they are judged.
func judgeAlone(rules []public, samples string) (func() error, error) {
	windows, err := sigma.ReadWindows()
	if err != nil {
		return nil, err
	}
	var events []postern.Event
	err = evtxFiles(samples, func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = evtx.Scan(context.Background(), f, path, parse.RecordOptions{Yield: func(ev *postern.Event) {
			c := *ev
			c.Fields, c.Derived = slices.Clone(ev.Fields), slices.Clone(ev.Derived)
			c.Source = string(sigma.AppendPath(nil, ev.Get("Channel"), ev.Get("EventID")))
			events = append(events, c)
		}})
		return err
	})
	var list []*sigma.Rule
	for _, p := range rules {
		list = append(list, p.rule)
	}
	set := sigma.NewSetAt(list, windows.Places, nil)
	var out []sigma.Match
	return func() error {
		for i := range events {
			out = set.Eval(&events[i], out[:0])
		}
		return nil
	}, err
}

// sigmaPeer judges a log by all public rules for Windows, as a process of its own.
func sigmaPeer(arg string) error {
	dir, log, _ := strings.Cut(arg, string(filepath.ListSeparator))
	loaded, _, _, err := collection(dir)
	if err != nil {
		return err
	}
	ready, err := rows(loaded)
	if err != nil {
		return err
	}
	f, err := os.Open(log)
	if err != nil {
		return err
	}
	defer f.Close()
	found, err := matches(f, log, ready.Host())
	fmt.Println(len(found), "rules match")
	return err
}
