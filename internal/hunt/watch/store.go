package watch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"postern"
	"postern/internal/hunt/correlate"
	"postern/internal/hunt/parse"
)

// The state is one file of lines. Each is a checksum (CRC-32C of the rest, eight hex
// digits), a blank and one JSON object; docs/formats/watch.md describes them. What
// changes is written behind the rest, and a line "commit" closes what was saved at one
// time: lines behind the last one are not believed. A file that has grown too long is
// written anew beside itself and takes its place in one step.
const (
	stateName   = "positions"
	stateFormat = "postern.watch.state/1"
	lockName    = "lock"
)

// Bounds of the state.
const (
	// maxStateLine is the longest line that is believed: columns of a log, which are
	// bounded by 16 KiB, and some room.
	maxStateLine = 256 << 10
	// maxStateLines bounds what is read: logs of several years.
	maxStateLines = 4_000_000
	// slack is what may lie in the file that is not needed any more.
	slack = 1 << 20
	// maxRaised bounds the findings of files that are remembered.
	maxRaised = 50_000
)

// ErrLocked is the error of a state that another watch uses.
var ErrLocked = errors.New("another watch uses this state")

// store keeps the state. One without a folder keeps nothing.
type store struct {
	dir  string
	fast bool // of tests: nothing waits for the disk
	lock *os.File
	file *os.File
	size int64
	live int64 // size after it was written anew

	roots   map[string]bool
	logs    map[logKey]*logPos
	columns map[string][]string // by their key
	repeats map[string]*alike
	raised  map[string]bool
	pages   map[string][]page // by the key of a host
	names   map[string]string // the same
	builds  map[string][]correlate.BuildSeen

	pending bytes.Buffer
	broken  bool   // it could not be written on: the next time all of it is
	damaged string // what was wrong with it
}

type logKey struct{ root, path string }

// entry is one line. One of its fields is set.
type entry struct {
	Format  string       `json:"format,omitempty"`
	Root    string       `json:"root,omitempty"`
	Columns *columnsLine `json:"columns,omitempty"`
	Log     *logLine     `json:"log,omitempty"`
	Gone    *goneLine    `json:"gone,omitempty"`
	Alike   *alike       `json:"alike,omitempty"`
	Loud    string       `json:"loud,omitempty"`
	Raised  string       `json:"raised,omitempty"`
	Host    *hostLine    `json:"host,omitempty"`
	Builds  *buildsLine  `json:"builds,omitempty"`
	Commit  string       `json:"commit,omitempty"`
}

type (
	columnsLine struct {
		Key   string   `json:"key"`
		Names []string `json:"names"`
	}
	logLine struct {
		Root     string `json:"root"`
		Path     string `json:"path"`
		Offset   int64  `json:"offset"`
		Line     int64  `json:"line"`
		Columns  string `json:"columns,omitempty"`
		Date     string `json:"date,omitempty"`
		Named    bool   `json:"named,omitempty"`
		Skipping bool   `json:"skipping,omitempty"`
		Late     bool   `json:"late,omitempty"`
		Rows     bool   `json:"rows,omitempty"`
		ID       string `json:"id,omitempty"`
		Head     string `json:"head,omitempty"`
		Tail     string `json:"tail,omitempty"`
		N        int    `json:"n,omitempty"` // bytes of head, and of tail
		M        int    `json:"m,omitempty"`
	}
	goneLine struct {
		Root string `json:"root"`
		Path string `json:"path"`
	}
	hostLine struct {
		Key   string `json:"key"`
		Name  string `json:"name,omitempty"`
		Pages []page `json:"pages,omitempty"`
	}
	buildsLine struct {
		Host   string      `json:"host"`
		Builds []buildLine `json:"builds"`
	}
	buildLine struct {
		Build postern.Build `json:"build"`
		Time  time.Time     `json:"time"`
	}
)

func newStore(dir string) *store {
	return &store{
		dir: dir, roots: make(map[string]bool), logs: make(map[logKey]*logPos), columns: make(map[string][]string),
		repeats: make(map[string]*alike), raised: make(map[string]bool), pages: make(map[string][]page),
		names: make(map[string]string), builds: make(map[string][]correlate.BuildSeen),
	}
}

// openStore opens the state of a folder, which is made if it is not there.
func openStore(dir string, fast bool) (*store, error) {
	s := newStore(dir)
	s.fast = fast
	if dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	var err error
	if s.lock, err = os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if lock(s.lock) != nil {
		s.lock.Close()
		return nil, fmt.Errorf("state %s: %w", dir, ErrLocked)
	}
	f, err := os.Open(filepath.Join(dir, stateName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.lock.Close()
		return nil, fmt.Errorf("state: %w", err)
	default:
		err = s.load(f)
		f.Close()
		if err != nil {
			s.lock.Close()
			return nil, fmt.Errorf("state: %w", err)
		}
	}
	if err := s.rewrite(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// load reads a state up to the last commit that is whole. What is wrong behind it is
// only told: positions are older then, and what was raised comes again.
func (s *store) load(r io.Reader) error {
	b := bufio.NewReaderSize(r, 64<<10)
	var block []entry
	lines, committed := 0, 0
	for {
		raw, err := b.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			if committed == 0 {
				s.damaged = "nothing in it was saved as a whole"
			} else if len(raw) > 0 || len(block) > 0 {
				return nil // what a kill has cut off
			}
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			long := append([]byte(nil), raw...)
			for errors.Is(err, bufio.ErrBufferFull) && len(long) <= maxStateLine {
				raw, err = b.ReadSlice('\n')
				long = append(long, raw...)
			}
			if raw = long; err != nil {
				s.damaged = "a line without an end"
				return nil
			}
		case err != nil:
			return err
		}
		lines++
		e, ok := parseEntry(raw)
		switch {
		case !ok:
			s.damaged = fmt.Sprintf("line %d", lines)
			return nil
		case lines == 1 && e.Format != stateFormat:
			s.damaged = "format"
			return nil
		case lines > maxStateLines:
			s.damaged = "too long"
			return nil
		case e.Commit == "":
			block = append(block, e)
			continue
		}
		for i := range block {
			s.apply(&block[i])
		}
		committed++
		clear(block)
		block = block[:0]
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parseEntry reads one line.
func parseEntry(line []byte) (e entry, ok bool) {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	sum, body, found := bytes.Cut(line, []byte{' '})
	var want [4]byte
	if !found || len(sum) != 8 {
		return e, false
	}
	if _, err := hex.Decode(want[:], sum); err != nil || binary.BigEndian.Uint32(want[:]) != crc32.Checksum(body, castagnoli) {
		return e, false
	}
	return e, json.Unmarshal(body, &e) == nil
}

// apply takes over what a line says. What cannot be is left out.
func (s *store) apply(e *entry) {
	switch {
	case e.Root != "":
		s.roots[e.Root] = true
	case e.Columns != nil:
		s.columns[e.Columns.Key] = e.Columns.Names
	case e.Log != nil:
		if p := s.read(e.Log); p != nil {
			s.logs[logKey{e.Log.Root, e.Log.Path}] = p
		}
	case e.Gone != nil:
		delete(s.logs, logKey{e.Gone.Root, e.Gone.Path})
	case e.Alike != nil:
		if e.Alike.Key != "" && e.Alike.Level.Valid() && e.Alike.Count >= 0 && len(s.repeats) < 2*maxAlike {
			s.repeats[e.Alike.Key] = e.Alike
		}
	case e.Loud != "":
		delete(s.repeats, e.Loud)
	case e.Raised != "":
		s.raised[e.Raised] = true
	case e.Host != nil:
		s.names[e.Host.Key] = e.Host.Name
		s.pages[e.Host.Key] = e.Host.Pages[:min(len(e.Host.Pages), maxPages)]
	case e.Builds != nil:
		var builds []correlate.BuildSeen
		for _, b := range e.Builds.Builds[:min(len(e.Builds.Builds), maxBuilds)] {
			builds = append(builds, correlate.BuildSeen{Build: b.Build, Time: b.Time})
		}
		s.builds[e.Builds.Host] = builds
	}
}

// read makes a position of a line; nil if it can be none.
func (s *store) read(l *logLine) *logPos {
	p := &logPos{name: l.Path, late: l.Late, rows: l.Rows, mark: parse.Mark{Offset: l.Offset, Line: l.Line, Date: l.Date, Named: l.Named, Skipping: l.Skipping}}
	if l.Offset < 0 || l.Line < 0 || l.N < 0 || l.N > printed || l.M < 0 || l.M > printed || int64(l.N) > l.Offset || int64(l.M) > l.Offset {
		return nil
	}
	if l.Columns != "" {
		if p.mark.Columns = s.columns[l.Columns]; p.mark.Columns == nil {
			return nil
		}
	}
	p.head.n, p.tail.n = l.N, l.M
	hex.Decode(p.head.sum[:], []byte(l.Head[:min(len(l.Head), 16)]))
	hex.Decode(p.tail.sum[:], []byte(l.Tail[:min(len(l.Tail), 16)]))
	fmt.Sscanf(l.ID, "%x-%x", &p.id.dev, &p.id.no)
	return p
}

// position gives where a log was read to, nil if it is not known.
func (s *store) position(root, path string) *logPos {
	p := s.logs[logKey{root, path}]
	if p != nil {
		p.claimed = true
	}
	return p
}

// left gives the positions of a root that no file has: of logs that are gone.
func (s *store) left(root string) (left []*logPos) {
	for key, p := range s.logs {
		if key.root == root && !p.claimed {
			p.claimed = true
			left = append(left, p)
		}
	}
	return left
}

// put adds a line to what is saved next.
func (s *store) put(e entry) {
	if s.dir == "" {
		return
	}
	writeEntry(&s.pending, e)
}

func writeEntry(w *bytes.Buffer, e entry) {
	body, err := json.Marshal(e)
	if err != nil {
		return // no entry has a value that JSON has no word for
	}
	fmt.Fprintf(w, "%08x %s\n", crc32.Checksum(body, castagnoli), body)
}

func (s *store) root(path string) { s.roots[path] = true; s.put(entry{Root: path}) }

// gone forgets the position of a log, unless the name is that of another one by now.
func (s *store) gone(root string, p *logPos) {
	if key := (logKey{root, p.name}); s.logs[key] == p {
		delete(s.logs, key)
		s.put(entry{Gone: &goneLine{root, p.name}})
	}
}

func (s *store) log(root string, p *logPos) {
	if s.dir != "" {
		p.claimed = true
		s.logs[logKey{root, p.name}] = p
		s.putLog(&s.pending, logKey{root, p.name}, p)
	}
}

func (s *store) putLog(w *bytes.Buffer, key logKey, p *logPos) {
	m := p.mark
	l := &logLine{Root: key.root, Path: key.path, Offset: m.Offset, Line: m.Line, Date: m.Date, Named: m.Named, Skipping: m.Skipping, Late: p.late, Rows: p.rows,
		Head: hex.EncodeToString(p.head.sum[:]), Tail: hex.EncodeToString(p.tail.sum[:]), N: p.head.n, M: p.tail.n}
	if p.id != (fileID{}) {
		l.ID = fmt.Sprintf("%x-%x", p.id.dev, p.id.no)
	}
	if m.Columns != nil {
		l.Columns = alertID(m.Columns...)
		if s.columns[l.Columns] == nil {
			s.columns[l.Columns] = m.Columns
			writeEntry(w, entry{Columns: &columnsLine{l.Columns, m.Columns}})
		}
	}
	writeEntry(w, entry{Log: l})
}

func (s *store) raise(id string) {
	if len(s.raised) < maxRaised {
		s.raised[id] = true
		s.put(entry{Raised: id})
	}
}

func (s *store) learned(key, name string, pages []page) {
	s.pages[key], s.names[key] = pages, name
	s.put(entry{Host: &hostLine{key, name, pages}})
}

func (s *store) build(host string, builds []correlate.BuildSeen) {
	s.builds[host] = builds
	s.put(entry{Builds: linesOf(host, builds)})
}

func linesOf(host string, builds []correlate.BuildSeen) *buildsLine {
	line := &buildsLine{Host: host}
	for _, b := range builds {
		line.Builds = append(line.Builds, buildLine{b.Build, b.Time})
	}
	return line
}

// commit saves what was put since the last time. Last asks for it to be on disk when the
// machine fails; a process that is killed loses nothing that it wrote.
func (s *store) commit(last bool) error {
	if s.dir == "" {
		s.pending.Reset()
		return nil
	}
	if s.broken { // behind half a line nothing would be believed
		s.pending.Reset()
		return s.rewrite()
	}
	if s.pending.Len() > 0 {
		writeEntry(&s.pending, entry{Commit: commitWord})
		n, err := s.file.Write(s.pending.Bytes())
		s.pending.Reset()
		if err != nil { // half of it may stand there now
			s.broken = true
			return fmt.Errorf("state: %w", err)
		}
		s.size += int64(n)
	}
	if s.size > 2*s.live+slack {
		return s.rewrite()
	}
	if last {
		return s.sync(s.file)
	}
	return nil
}

// sync waits until a file is on disk.
func (s *store) sync(f *os.File) error {
	if s.fast {
		return nil
	}
	return f.Sync()
}

// commitWord stands in the lines that close what was saved at one time.
const commitWord = "saved"

// rewrite writes the state anew, in one step. If it cannot, what was there stays.
func (s *store) rewrite() error {
	name := filepath.Join(s.dir, stateName)
	size, err := s.writeTo(name + ".new")
	if err == nil && s.file != nil {
		s.file.Close()
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err == nil && !s.fast {
		err = syncFolder(s.dir)
	}
	if err == nil {
		s.file, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0o600)
	}
	if err != nil {
		s.broken = true
		return fmt.Errorf("state: %w", err)
	}
	s.broken, s.size, s.live = false, size, size
	return nil
}

// writeTo writes the whole state to a file that nobody reads yet.
func (s *store) writeTo(name string) (size int64, err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriterSize(f, 64<<10)
	var line bytes.Buffer
	err = s.all(&line, func() error {
		size += int64(line.Len())
		_, err := out.Write(line.Bytes())
		line.Reset()
		return err
	})
	return size, errors.Join(err, out.Flush(), s.sync(f), f.Close())
}

// all writes every line of the state.
func (s *store) all(line *bytes.Buffer, flush func() error) error {
	var errs []error
	put := func(e entry) {
		writeEntry(line, e)
		errs = append(errs, flush())
	}
	put(entry{Format: stateFormat})
	for root := range s.roots {
		put(entry{Root: root})
	}
	clear(s.columns)
	for key, p := range s.logs {
		s.putLog(line, key, p)
		errs = append(errs, flush())
	}
	for _, a := range s.repeats {
		if a.Key != "" {
			put(entry{Alike: a})
		}
	}
	for id := range s.raised {
		put(entry{Raised: id})
	}
	for key, name := range s.names {
		put(entry{Host: &hostLine{key, name, s.pages[key]}})
	}
	for host, builds := range s.builds {
		put(entry{Builds: linesOf(host, builds)})
	}
	put(entry{Commit: commitWord})
	return errors.Join(errs...)
}

// close lets go of the state as it was saved last.
func (s *store) close() error {
	if s.dir == "" {
		return nil
	}
	var err error
	if s.file != nil {
		err = s.file.Close()
	}
	return errors.Join(err, s.lock.Close())
}
