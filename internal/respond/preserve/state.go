package preserve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"postern/internal/bundle"
)

// disk is where a bundle grows. Tests give one that fills.
type disk interface {
	open(name string, flag int) (file, error)
}

// file is what is needed of one.
type file interface {
	io.Writer
	io.WriterAt
	io.Reader
	io.Seeker
	io.Closer
	Sync() error
	Truncate(size int64) error
}

type osDisk struct{}

func (osDisk) open(name string, flag int) (file, error) { return os.OpenFile(name, flag, 0o600) }

// Names in the folder of a bundle that grows.
const (
	bundleName  = "bundle"
	journalName = "journal.jsonl"
	custodyName = "custody.jsonl"
	lockName    = "lock"
)

// record is a line of the journal: what is whole and safe on disk. The first is
// that of the plan; each later one is of a segment, and holds for all before it.
type record struct {
	Type    string              `json:"type"` // "plan" or "segment"
	ID      string              `json:"id,omitempty"`
	Options string              `json:"options,omitempty"`
	Plan    *Plan               `json:"plan,omitempty"`
	End     int64               `json:"end"`   // of the bundle
	At      position            `json:"at"`    // what is to be taken next
	Parts   []bundle.SealedPart `json:"parts"` // that are new
	Totals  totals              `json:"totals"`
}

// position is a place in the plan.
type position struct {
	Class  int   `json:"class"`
	Offset int64 `json:"offset"`
}

// totals count over all runs that made a bundle.
type totals struct {
	Segments int                      `json:"segments"`
	Files    int64                    `json:"files"`
	Bytes    int64                    `json:"bytes"`
	Troubles map[bundle.Trouble]int64 `json:"troubles,omitempty"`
	Told     []Told                   `json:"told,omitempty"`
}

func (t *totals) add(m *bundle.Member) {
	if m.Stored() {
		t.Files++
		t.Bytes += m.Size
	}
	if m.Problem == "" {
		return
	}
	if t.Troubles == nil {
		t.Troubles = make(map[bundle.Trouble]int64)
	}
	t.Troubles[m.Problem]++
	if len(t.Told) < maxTold && !m.Problem.Lossless() {
		t.Told = append(t.Told, Told{m.Path, m.Problem, m.Detail})
	}
}

// state is a bundle that grows.
type state struct {
	opt     *Options
	dir     string
	lock    *os.File
	planned bool // the journal has a plan, so there is something to go on with
	resumed int

	bundle  file
	journal file
	custody file
	writing chan error // what becomes of the last line of the journal, nil if it is known
	chain   []byte     // the last line of custody
	lines   int        // of custody

	id     string
	plan   Plan
	parts  []bundle.SealedPart
	end    int64
	at     position
	totals totals
}

// openState opens the folder of a bundle that grows, and reads how far it is.
func openState(opt *Options) (*state, error) {
	s := &state{opt: opt, dir: partFolder(opt.Out)}
	err := os.Mkdir(s.dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &StateError{s.dir, err}
	}
	if s.lock, err = os.OpenFile(filepath.Join(s.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, &StateError{s.dir, err}
	}
	if lock(s.lock) != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", s.dir, ErrRunning)
	}
	if err := s.read(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// read reads the journal. A last line that was cut counts for nothing: what it was
// about is done again.
func (s *state) read() error {
	b, err := os.ReadFile(filepath.Join(s.dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &StateError{s.dir, err}
	}
	for {
		text, rest, whole := bytes.Cut(b, []byte("\n"))
		var r record
		if !whole || json.Unmarshal(text, &r) != nil {
			break
		}
		b = rest
		if r.Type == "plan" {
			if r.Options != s.opt.fingerprint() {
				return fmt.Errorf("%s: %w", s.dir, ErrOther)
			}
			s.planned, s.id, s.plan = true, r.ID, *r.Plan
		}
		s.end, s.at, s.totals = r.End, r.At, r.Totals
		s.parts = append(s.parts, r.Parts...)
	}
	return nil
}

func (s *state) close() {
	_ = s.settle() // an error was told, or another is
	for _, f := range []*file{&s.bundle, &s.journal, &s.custody} {
		if *f != nil {
			_ = (*f).Close() // what counts was synced, or is told already
			*f = nil
		}
	}
	s.unlock()
}

// discard takes a bundle away that has nothing in it yet. One that was begun stays, to
// go on with.
func (s *state) discard() {
	if s.totals.Segments > 0 || s.resumed > 0 {
		return
	}
	s.close() // Windows removes no file that is open
	_ = os.RemoveAll(s.dir)
}

// room compares what is free where the bundle grows with what the rest of the plan will
// need. It is no promise: others write to that disk as well, and what packs worse than
// usual needs more.
func (s *state) room() (free int64, err error) {
	free, known := s.opt.free(s.dir)
	if !known {
		return -1, nil
	}
	about, _ := s.plan.Room()
	if _, all := s.plan.Total(); all > 0 {
		about = int64(float64(about) * max(0, 1-float64(s.totals.Bytes)/float64(all)))
	}
	if free < about {
		return free, &RoomError{s.dir, free, about}
	}
	return free, nil
}

func (s *state) unlock() {
	if s.lock != nil {
		unlock(s.lock)
		_ = s.lock.Close()
		s.lock = nil
	}
}

func (s *state) create(name string) (file, error) {
	return s.open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (s *state) open(name string, flag int) (file, error) {
	f, err := s.opt.disk.open(filepath.Join(s.dir, name), flag)
	if err != nil {
		return nil, &StateError{s.dir, err}
	}
	return f, nil
}

// broken makes what people are told of an error while writing.
func (s *state) broken(err error) error {
	if known := (*StateError)(nil); err == nil || errors.As(err, &known) {
		return err
	}
	return &StateError{s.dir, err}
}

// begin makes the plan, and the bundle with its header.
func (s *state) begin(ctx context.Context, root *os.Root) (err error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	s.id = hex.EncodeToString(id[:])
	if s.custody, err = s.create(custodyName); err != nil {
		return err
	}
	if err := s.note("begin", s.opt.Root); err != nil {
		return err
	}
	w := &planFiles{s: s, files: make(map[Class]file), bufs: make(map[Class]*bufio.Writer)}
	p := newPlanner(ctx, s.opt, w.write)
	walked := p.walk(root)
	if err := errors.Join(walked, w.close()); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.broken(err)
	}
	s.plan = p.plan
	if files, _ := s.plan.Total(); files == 0 {
		s.discard()
		return ErrNothing
	}
	if s.bundle, err = s.create(bundleName); err != nil {
		return err
	}
	if err := s.header(); err != nil {
		return s.broken(err)
	}
	if s.journal, err = s.create(journalName); err != nil {
		return err
	}
	return s.write(record{Type: "plan", ID: s.id, Options: s.opt.fingerprint(), Plan: &s.plan, Parts: s.parts})
}

func (s *state) header() error {
	h := bundle.Header{Schema: bundle.Schema, ID: s.id, Created: s.opt.Now().UTC(),
		Tool: s.opt.Tool, Version: s.opt.Version, Recipients: s.opt.Names}
	for _, name := range s.opt.Servers {
		h.Servers = append(h.Servers, bundle.ServerProof(s.id, name))
	}
	b, err := bundle.Encode(h)
	if err != nil {
		return err
	}
	return s.part(bundle.HeaderPart, b)
}

// part writes a whole part at the end of the bundle.
func (s *state) part(name string, b []byte) error {
	size := int64(len(b))
	block := append(bundle.Frame(name, size), b...)
	block = append(block, make([]byte, bundle.Padding(size))...)
	if _, err := s.bundle.WriteAt(block, s.end); err != nil {
		return err
	}
	s.end += int64(len(block))
	s.parts = append(s.parts, bundle.SealedPart{Name: name, Size: size, SHA256: bundle.Hash(b)})
	return nil
}

// resume goes on behind the last segment that is whole.
func (s *state) resume() (err error) {
	if s.bundle, err = s.open(bundleName, os.O_RDWR); err != nil {
		return err
	}
	if err := s.bundle.Truncate(s.end); err != nil {
		return s.broken(err)
	}
	if s.journal, err = s.rewind(journalName, nil); err != nil {
		return err
	}
	s.custody, err = s.rewind(custodyName, func(line []byte) {
		var e bundle.Entry
		if json.Unmarshal(line, &e) == nil && e.Action == "resume" {
			s.resumed++
		}
		s.chain = bytes.Clone(line)
		s.lines++
	})
	if err != nil {
		return err
	}
	s.resumed++
	return s.note("resume", fmt.Sprintf("behind segment %d", s.totals.Segments))
}

// rewind opens a file of lines and cuts what follows the last whole one.
func (s *state) rewind(name string, visit func([]byte)) (file, error) {
	f, err := s.open(name, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, s.broken(errors.Join(err, f.Close()))
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	for line := range bytes.Lines(b[:whole]) {
		if visit != nil {
			visit(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	err = f.Truncate(int64(whole))
	if err == nil {
		_, err = f.Seek(int64(whole), io.SeekStart)
	}
	if err != nil {
		return nil, s.broken(errors.Join(err, f.Close()))
	}
	return f, nil
}

// write puts a line into the journal. What it says has to be on disk before it; while
// the disk takes its time, the next segment is begun. Whether it went well, the next call
// says, or [state.settle].
func (s *state) write(r record) error {
	r.End, r.At, r.Totals = s.end, s.at, s.totals
	b, err := bundle.Encode(r)
	if err := errors.Join(err, s.settle()); err != nil {
		return s.broken(err)
	}
	s.writing = make(chan error, 1)
	go func() {
		err := s.bundle.Sync()
		if err == nil {
			_, err = s.journal.Write(b)
		}
		if err == nil {
			err = s.journal.Sync()
		}
		s.writing <- err
	}()
	return nil
}

// settle waits until the journal is on disk.
func (s *state) settle() error {
	if s.writing == nil {
		return nil
	}
	err := <-s.writing
	s.writing = nil
	return s.broken(err)
}

// note puts a line into the log of custody.
func (s *state) note(action, text string) error {
	s.lines++
	e := bundle.Entry{N: s.lines, Time: s.opt.Now().UTC(), Action: action, Bundle: s.id, Who: s.opt.Who, Host: s.opt.Host,
		Tool: s.opt.Tool, Version: s.opt.Version, System: s.opt.System, Note: shown(text)}
	if s.chain != nil {
		e.Prev = bundle.Hash(s.chain)
	}
	if s.opt.ClockOffset != nil {
		seconds := s.opt.ClockOffset.Seconds()
		e.ClockOffset = &seconds
	}
	b, err := bundle.Encode(e)
	if err != nil {
		return err
	}
	s.chain = bytes.TrimSuffix(b, []byte("\n"))
	if _, err = s.custody.Write(b); err == nil {
		err = s.custody.Sync()
	}
	return s.broken(err)
}
