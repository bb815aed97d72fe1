package hunt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/source"
)

// Bounds of a hunt.
const (
	// maxLogs bounds the logs remembered between walk and scan, at about 500 bytes
	// each: a server writes 30,000 a year.
	maxLogs = 2_000_000
	// maxProblems bounds the problems kept in the report by kind; what is more is counted.
	maxProblems = 2000
	// maxLosses bounds the places remembered of what could not be looked at; beyond
	// them a loss is one of the whole input.
	maxLosses = 10_000
	// smallFile is what is read at once: most files of a web folder are smaller.
	smallFile = 64 << 10
	// headSize is read of every larger file to see what it is: header and first row.
	headSize = 8 << 10
	// wholeFile is what is read whole if it is no log, so that the detectors need not
	// open the file again. Beyond it each reads what it wants.
	wholeFile = 1 << 20
	// queue is how many files wait for a worker: enough that one does not wake for each.
	queue = 256
)

// hunt is the state of one run.
type hunt struct {
	opt     Options
	sink    Sink
	groups  groups
	headers parse.Headers

	mu       sync.Mutex // guards what follows
	logs     int
	families map[string]*kin
	problems map[postern.ProblemKind]int
	lost     bool            // something was not looked at
	losses   map[loss]string // where, and how it is written
	sinkErr  error
	opened   []Evidence
	paths    map[int]string // of the inputs

	collections []collected // what collectors say of themselves
	notes       int
}

func newHunt(opt Options, sink Sink) *hunt {
	if opt.Progress == nil {
		opt.Progress = &Progress{}
	}
	if opt.Threads <= 0 {
		opt.Threads = runtime.NumCPU()
	}
	return &hunt{
		opt: opt, sink: sink,
		groups:   groups{byKey: make(map[groupKey]*group)},
		problems: make(map[postern.ProblemKind]int),
		losses:   make(map[loss]string),
		families: make(map[string]*kin),
		paths:    make(map[int]string),
	}
}

// open opens an input; it stays open until the hunt ends.
func (h *hunt) open(ctx context.Context, i int, in Input) (Evidence, error) {
	e, err := in.Open(ctx, func(p postern.Problem) { h.problem(i, p) })
	if err != nil {
		return nil, err
	}
	h.opened = append(h.opened, e)
	h.paths[i] = strings.TrimRight(in.Path, "/")
	return e, nil
}

func (h *hunt) close() {
	for _, e := range h.opened {
		e.Close()
	}
}

// walk visits every file of one input: recognises logs, and lets the file
// detectors look at the rest at once.
func (h *hunt) walk(ctx context.Context, input int, e Evidence) error {
	files := make(chan source.File, queue)
	var workers sync.WaitGroup
	for range h.opt.Threads {
		workers.Go(func() {
			v := visitor{buf: make([]byte, smallFile+1)}
			for f := range files {
				if ctx.Err() == nil {
					h.guard(input, f.Path, func() { h.visit(input, f, &v) })
				}
			}
		})
	}
	err := e.Walk(ctx, func(f source.File) error {
		select {
		case files <- f:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(files)
	workers.Wait()
	if w, ok := e.(interface{ Walked() }); ok {
		w.Walked()
	}
	return errors.Join(err, h.sinkErr)
}

// visitor is what one worker keeps from file to file.
type visitor struct {
	buf   []byte // what small files are read into
	place lastPlace
}

// visit looks at one file.
func (h *hunt) visit(input int, f source.File, v *visitor) {
	prefix, where, known := v.place.of(h.paths[input], f.Path)
	h.readNote(input, f)
	h.opt.Progress.Files.Add(1)
	h.opt.Progress.TotalBytes.Add(max(f.Size, 0))
	df := &detect.File{Path: f.Path, Server: where, Size: f.Size, ModTime: f.ModTime, Open: f.Open}

	l, isLog := h.familiar(input, f)
	if !isLog {
		if l, df.Whole, isLog = h.recognise(f, &v.buf); df.Whole != nil {
			df.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(df.Whole)), nil }
		}
		if isLog {
			l.input = int32(input)
			h.remember(l)
		}
	}
	if isLog {
		h.addLog(input, prefix, known, &l)
		// What only begins like a log can be a page or a configuration all the same.
		if df.Log = namedLog(f.Path) || l.records != nil && namedRecords(f.Path); df.Log && (l.guessed || !slices.ContainsFunc(h.opt.Files, detect.WantsLogs)) {
			return
		}
	}
	findings, parts := h.look(input, df)

	h.groups.Lock()
	defer h.groups.Unlock()
	g := h.groups.at(input, prefix, known)
	if own, host, ok := reportPrefix(f.Path); ok && !isLog && len(findings) > 0 {
		g = h.groups.at(input, own, false)
		g.host = host
	}
	g.findings = append(g.findings, findings...)
	if !isLog && (len(findings) > 0 || len(parts) > 0 || h.opt.Hash == HashAll) {
		g.kept = append(g.kept, f)
	}
	for name, value := range parts {
		g.parts[name] = append(g.parts[name], part{f.Path, value})
		if n, ok := value.(named); ok && n.Computer() != "" {
			g.computers[strings.ToUpper(n.Computer())]++
		}
	}
	if served(where) && !df.Log {
		g.web++
	}
}

// named is what a part of a HostDetector can be besides: one that knows what the
// server was called, "" if it does not. It counts as an event log does: less than what
// the other logs say.
type named interface{ Computer() string }

// wary is what a HostDetector can be besides: one whose judgement may be wrong because of
// what was not looked at. Lost gives the part that stands for such a place; its Server is
// empty where all of the host may have been lost.
type wary interface{ Lost(f *detect.File) any }

// look lets the detectors of files look at one.
func (h *hunt) look(input int, df *detect.File) (findings []postern.Finding, parts map[string]any) {
	for _, d := range h.opt.Files {
		if df.Log && !detect.WantsLogs(d) || !d.Wants(df) {
			continue
		}
		h.guard(input, df.Path, func() {
			found, problems, err := d.Look(df)
			findings = append(findings, found...)
			h.note(input, df.Path, problems, err)
		})
	}
	for _, d := range h.opt.Hosts {
		if df.Log || !d.Wants(df) {
			continue
		}
		h.guard(input, df.Path, func() {
			part, problems, err := d.Read(df)
			if part != nil {
				if parts == nil {
					parts = make(map[string]any)
				}
				parts[d.Name()] = part
			}
			h.note(input, df.Path, problems, err)
		})
	}
	return findings, parts
}

// served says whether a file lies where the web server of the product takes
// pages from: the folders that back doors are dropped in.
func served(where string) bool {
	return strings.HasPrefix(where, "frontend/httpproxy/") || strings.HasPrefix(where, "inetpub/wwwroot/")
}

// recognise says whether a file is a log, by its beginning, and gives the content of
// one that is small.
func (h *hunt) recognise(f source.File, buf *[]byte) (l logFile, whole []byte, isLog bool) {
	if f.Archive || f.Size == 0 {
		return l, nil, false
	}
	r, err := f.Open()
	if err != nil {
		return l, nil, false // told to the problems by the source
	}
	defer r.Close()
	head := (*buf)[:smallFile+1]
	if f.Size > smallFile || f.Size < 0 {
		head = head[:headSize]
	}
	n, err := io.ReadFull(r, head)
	if n == 0 || err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return l, nil, false
	}
	if int64(n) == f.Size && n < len(head) {
		whole = head[:n]
	}
	seen, records := n, parse.RecordsOf(head[:n], h.opt.Records)
	if records == nil && n == headSize && parse.OpenObject(head[:n]) {
		seen = readLine(r, buf, n)
		head = (*buf)[:n]
		records = parse.RecordsOf((*buf)[:seen], h.opt.Records)
	}
	if records != nil {
		seen, _ = readOn(r, buf, seen, max(seen, smallFile+1)) // its first record lies behind two headers
		return logFile{file: f, kin: &kin{records: records, server: records.Server((*buf)[:seen])}}, whole, true
	}
	if l, isLog = h.logOf(f, head[:n]); !isLog && whole == nil && n == headSize {
		whole = rest(r, buf, seen, f.Size)
	}
	return l, whole, isLog
}

// readLine reads on behind the first n bytes until the line ends, or the file, or what is
// read whole, and says how much there is now. No reader takes a longer object.
func readLine(r io.Reader, buf *[]byte, n int) int {
	for n < wholeFile {
		from, err := n, error(nil)
		if n, err = readOn(r, buf, n, min(2*n, wholeFile)); err != nil || bytes.IndexByte((*buf)[from:n], '\n') >= 0 {
			break
		}
	}
	return n
}

// logOf says by its beginning whether a file is a log of rows.
func (h *hunt) logOf(f source.File, head []byte) (l logFile, isLog bool) {
	if !parse.Plausible(head, f.Path) || secondHand(head) {
		return l, false
	}
	format, said := parse.Recognise(head, f.Path, h.opt.Formats, &h.headers)
	if format == nil {
		return l, false
	}
	l = logFile{file: f, kin: &kin{format: format, server: parse.ServerOf(format, said), first: firstLine(head)}}
	// A file without rows does not speak for its family.
	if l.server == "" && format.Host != "" && (said.Fields == nil || said.HasFields(format.Host)) {
		l.first = ""
	}
	return l, true
}

// rest reads on behind the first n bytes and gives the whole file, nil if it is too
// large, or not as large as it is said to be, or if nothing is said.
func rest(r io.Reader, buf *[]byte, n int, size int64) []byte {
	if size < int64(n) || size > wholeFile {
		return nil
	}
	n, err := readOn(r, buf, n, int(size)+1) // one more tells that it has ended
	if n != int(size) || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return (*buf)[:size]
}

// readOn reads behind the first n bytes, for which it makes room, until there are as many
// as wanted, at most one more than wholeFile, and says how many there are.
func readOn(r io.Reader, buf *[]byte, n, want int) (int, error) {
	if want > len(*buf) {
		grown := make([]byte, min(max(want, 2*len(*buf)), wholeFile+1))
		copy(grown, (*buf)[:n])
		*buf = grown
	}
	more, err := io.ReadFull(r, (*buf)[n:want])
	return n + more, err
}

func (h *hunt) place(input int, path string) (prefix, where string, known bool) {
	return placeIn(h.paths[input], path)
}

// firstLine gives a line by which the next file of the same family is known
// again, "" if it is too short to tell.
func firstLine(head []byte) string {
	line, _, whole := bytes.Cut(head, []byte{'\n'})
	if !whole || len(line) < 16 {
		return ""
	}
	return string(line)
}

// namedLog says whether a file has the name of a log, which no server runs.
func namedLog(path string) bool { return strings.EqualFold(path[len(path)-min(4, len(path)):], ".log") }

// namedRecords is the same for logs of records.
func namedRecords(path string) bool {
	return slices.Contains([]string{"evtx", "json", "jsonl", "ndjson"}, strings.ToLower(path[strings.LastIndexByte(path, '.')+1:]))
}

// dateDigits is the length of the shortest date in the name of a log.
const dateDigits = 6

// family gives the name under which the files that one server writes into one
// folder are alike: they differ by the date and what stands behind it. Files of two
// servers cannot lie in one folder under such names without overwriting each other;
// where somebody put the servers' names before them, those keep their digits.
func family(input int, path string) (string, bool) {
	if !namedLog(path) {
		return "", false
	}
	alike := []byte(path)
	run, dated := 0, false
	for i := len(alike) - 1; i >= 0 && alike[i] != '/' && !dated; i-- {
		if alike[i] < '0' || alike[i] > '9' {
			run = 0
			continue
		}
		alike[i] = '0'
		if run++; run >= dateDigits && (i == 0 || alike[i-1] < '0' || alike[i-1] > '9') {
			dated = true
		}
	}
	return strconv.Itoa(input) + ":" + string(alike), dated
}

// familiar says what a file is by its family, without opening it: a server
// writes thousands of logs, and the scan looks at the beginning of each anyway.
func (h *hunt) familiar(input int, f source.File) (logFile, bool) {
	name, ok := family(input, f.Path)
	if !ok || f.Archive || f.Size == 0 {
		return logFile{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.families[name]
	return logFile{file: f, kin: k, input: int32(input), guessed: true}, k != nil
}

// maxFamilies bounds the families remembered; a server has some thirty.
const maxFamilies = 100_000

func (h *hunt) remember(l logFile) {
	name, ok := family(int(l.input), l.file.Path)
	if !ok || l.first == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.families) < maxFamilies {
		h.families[name] = l.kin
	}
}

func (h *hunt) addLog(input int, prefix string, known bool, l *logFile) {
	h.mu.Lock()
	h.logs++
	full := h.logs == maxLogs+1
	over := h.logs > maxLogs
	h.mu.Unlock()
	if over {
		h.lose(input, l.file.Path)
		if full {
			h.note(input, l.file.Path, []postern.Problem{{Path: l.file.Path, What: postern.Limit,
				Detail: postern.Say("hunt.too-many-files", "bound", maxLogs)}}, nil)
		}
		return
	}
	h.groups.Lock()
	defer h.groups.Unlock()
	g := h.groups.at(input, prefix, known)
	g.logs = append(g.logs, l)
	switch {
	case l.server == "":
	case l.records != nil:
		g.computers[strings.ToUpper(l.server)]++
	default:
		g.servers[strings.ToUpper(l.server)]++
	}
}

// problem books what could not be looked at with the part of the evidence that it
// is in, and tells the sink.
func (h *hunt) problem(input int, p postern.Problem) {
	if !lossless(p) {
		h.lose(input, p.Path)
	}
	h.tell(p)
}

// loss is a file or folder, lower case, that was not looked at, or not wholly; the
// path is empty for the whole input.
type loss struct {
	input int
	path  string
}

func (h *hunt) lose(input int, path string) {
	path = strings.TrimRight(path, "/")
	if path == "." {
		path = ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.losses) >= maxLosses {
		path = ""
	}
	h.losses[loss{input, strings.ToLower(path)}] = path
}

// lostAt says whether something of a file was not looked at.
func (h *hunt) lostAt(input int, path string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, here := h.losses[loss{input, strings.ToLower(path)}]
	_, somewhere := h.losses[loss{input, ""}]
	return here || len(h.losses) >= maxLosses && somewhere
}

// lossless says of a problem that everything that there is was looked at for all
// that: a log is always cut somewhere, and a row in another charset was read.
func lossless(p postern.Problem) bool {
	return source.Lossless(p) || parse.Lossless(p) || parse.LosslessRecords(p) || p.Detail.Key == inUse || p.Detail.Key == cutLog
}

// inUse is said of a hive of the registry that was copied from a running system, as
// nearly all are. It lacks what changed last, and no verdict rests on it.
const inUse = "registry.dirty"

// cutLog is said of a log of which rules for files were asked about the beginning alone.
// All its rows are read, and the verdict rests on these.
const cutLog = "yara.cut-log"

// guard keeps a file on which the program stumbles from ending the whole hunt: it is
// told like any other that could not be looked at. It is false then.
func (h *hunt) guard(input int, path string, look func()) (whole bool) {
	defer func() {
		if p := recover(); p != nil {
			whole = false
			h.problem(input, postern.Problem{Path: path, What: postern.Unreadable, Detail: postern.Say("hunt.stumbled")})
		}
	}()
	look()
	return true
}

// note books the problems of one file and the error that ended reading it.
func (h *hunt) note(input int, path string, problems []postern.Problem, err error) {
	for _, p := range problems {
		h.problem(input, p)
	}
	if err != nil && !source.Told(err) {
		h.problem(input, postern.Problem{Path: path, What: postern.Unreadable, Detail: postern.Say("hunt.unreadable", "reason", reason(err))})
	}
}

// reason is the innermost error: what happened, without the chain of who saw it.
func reason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// tell hands a problem to the sink.
func (h *hunt) tell(p postern.Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !lossless(p) {
		h.lost = true
	}
	h.problems[p.What]++
	if h.problems[p.What] <= maxProblems && h.sinkErr == nil {
		h.sinkErr = h.sink.Problem(p)
	}
}

// tellRest says how many problems of each kind were only counted. The caller
// holds the lock.
func (h *hunt) tellRest() {
	for _, kind := range slices.Sorted(maps.Keys(h.problems)) {
		if n := h.problems[kind] - maxProblems; n > 0 && h.sinkErr == nil {
			h.sinkErr = h.sink.Problem(postern.Problem{Path: ".", What: kind, Detail: postern.Say("hunt.more-problems", "count", n)})
		}
	}
}
