// Package state keeps what a scan must not forget: which targets have been reported,
// and how many requests each host has had.
//
// A state folder holds:
//
//	lock           one process at a time; freed by the system when the process ends
//	scan.json      what the folder belongs to
//	results.jsonl  one record a target (postern.exposure/1), each exactly once
//	printed        eight bytes, big endian: how much of results.jsonl has been printed
//	table-*.tmp    what a running scan would otherwise keep in memory; of no use afterwards
//
// A record is written to results.jsonl first, in one write, then printed, then
// "printed" is moved. A process that is killed in between leaves at most one line that
// was written and not known to be printed; the next run prints it. A line cut by a
// crash is dropped and its target done again. The disk is told to keep (fsync) once a
// second and at the end: a killed process loses nothing, a failing machine at most
// the last second, whose targets are then done again.
package state

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"postern/internal/exposure"
)

// Schema names the form of the folder.
const Schema = "postern.exposure-state/1"

// syncEvery is how much work a failing machine may lose.
const syncEvery = time.Second

// maxLine bounds a line of results; our own stay below 4 KB but for the assessments of
// all CVEs.
const maxLine = 256 << 10

// What opening can fail for beside the disk.
var (
	// ErrBusy says that another process has the folder.
	ErrBusy = errors.New("another process uses this folder")
	// ErrOther says that the folder belongs to a scan of another scope.
	ErrOther = errors.New("the folder belongs to a scan of another scope")
)

// about is scan.json.
type about struct {
	Schema  string    `json:"schema"`
	Scope   string    `json:"scope"`
	Created time.Time `json:"created"`
}

// Results is the state of one scan. Its methods are for one goroutine at a time.
type Results struct {
	dir     string
	lock    *os.File
	file    *os.File
	mark    *os.File
	seen    *Table
	before  int   // records of earlier runs
	end     int64 // of the last whole line
	printed int64
	synced  time.Time
	broken  error
}

// Open opens a state folder, made if it is not there. Dir "" keeps nothing on disk.
func Open(dir, scope string) (*Results, error) {
	r := &Results{dir: dir, synced: time.Now(), seen: NewTable(dir)}
	if dir == "" {
		return r, nil
	}
	if err := r.open(scope); err != nil {
		return nil, errors.Join(err, r.closeFiles())
	}
	return r, nil
}

func (r *Results) open(scope string) (err error) {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	file := func(name string) (*os.File, error) {
		return os.OpenFile(filepath.Join(r.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if r.lock, err = file("lock"); err != nil {
		return err
	}
	if lock(r.lock) != nil {
		return ErrBusy
	}
	removeTables(r.dir)
	if err := r.belongs(scope); err != nil {
		return err
	}
	if r.file, err = file("results.jsonl"); err != nil {
		return err
	}
	if r.mark, err = file("printed"); err != nil {
		return err
	}
	return r.load()
}

// belongs checks scan.json, or writes it in a new folder.
func (r *Results) belongs(scope string) error {
	name := filepath.Join(r.dir, "scan.json")
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		if b, err = json.Marshal(about{Schema, scope, time.Now().UTC().Truncate(time.Second)}); err != nil {
			return err
		}
		if err := os.WriteFile(name+".new", append(b, '\n'), 0o600); err != nil {
			return err
		}
		return os.Rename(name+".new", name)
	}
	if err != nil {
		return err
	}
	var a about
	if err := json.Unmarshal(b, &a); err != nil || a.Schema != Schema {
		return fmt.Errorf("%s is no state of this version", name)
	}
	if a.Scope != scope {
		return ErrOther
	}
	return nil
}

// load reads which targets have their record, and drops a line that was cut.
func (r *Results) load() error {
	br := bufio.NewReaderSize(r.file, maxLine)
	for {
		line, err := br.ReadSlice('\n')
		if err == io.EOF {
			break // what is left has no end: it was cut
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("results.jsonl: a line longer than %d bytes at byte %d", maxLine, r.end)
		}
		if err != nil {
			return err
		}
		if text, name, ok := target(line); ok {
			if _, err := r.seen.Set(exposure.TargetKey(text, name), 0); err != nil {
				return err
			}
			r.before++
		}
		r.end += int64(len(line))
	}
	if err := r.file.Truncate(r.end); err != nil {
		return err
	}
	if _, err := r.file.Seek(r.end, io.SeekStart); err != nil {
		return err
	}
	var b [8]byte
	if n, _ := r.mark.ReadAt(b[:], 0); n == len(b) {
		r.printed = min(int64(binary.BigEndian.Uint64(b[:])), r.end)
	}
	return nil
}

// target gives the fields of a record that name its target. They stand first, so
// that a million lines are read without decoding each whole.
func target(line []byte) (text, name string, ok bool) {
	var t struct {
		Target string `json:"target"`
		Name   string `json:"name"`
	}
	if i := bytes.Index(line, []byte(`,"time":"`)); i > 0 {
		head := append(line[:i:i], '}')
		if json.Unmarshal(head, &t) == nil {
			return t.Target, t.Name, true
		}
	}
	err := json.Unmarshal(line, &t)
	return t.Target, t.Name, err == nil
}

// Before is how many targets earlier runs have reported.
func (r *Results) Before() int { return r.before }

// Seen says whether a target was reported or begun before, and remembers it. It may
// run beside the other methods.
func (r *Results) Seen(t *exposure.Target) (bool, error) {
	fresh, err := r.seen.Set(t.Key(), 0)
	return !fresh, err
}

// Unprinted gives the lines that were written and are not known to have been printed,
// with all, every line. It marks them as printed.
func (r *Results) Unprinted(all bool, each func(line []byte) error) error {
	if r.file == nil {
		return nil
	}
	from := r.printed
	if all {
		from = 0
	}
	br := bufio.NewReaderSize(io.NewSectionReader(r.file, from, r.end-from), maxLine)
	for {
		line, err := br.ReadSlice('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(line); err != nil {
			return err
		}
		if from += int64(len(line)); from > r.printed {
			if err := r.markPrinted(from); err != nil {
				return err
			}
		}
	}
}

// Put writes a record, then calls print, then remembers that it was printed. After an
// error nothing more is taken: the file ends with the last whole line.
func (r *Results) Put(line []byte, print func() error) error {
	if r.file == nil {
		return print()
	}
	if r.broken != nil {
		return r.broken
	}
	if _, err := r.file.Write(line); err != nil {
		r.broken = err
		return errors.Join(err, r.file.Truncate(r.end))
	}
	r.end += int64(len(line))
	if err := print(); err != nil {
		return err
	}
	if err := r.markPrinted(r.end); err != nil {
		return err
	}
	if now := time.Now(); now.Sub(r.synced) >= syncEvery {
		r.synced = now
		return r.file.Sync()
	}
	return nil
}

func (r *Results) markPrinted(to int64) error {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(to))
	if _, err := r.mark.WriteAt(b[:], 0); err != nil {
		return err
	}
	r.printed = to
	return nil
}

// Close ends the work with the folder.
func (r *Results) Close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.file.Sync(), r.seen.Close(), r.closeFiles())
}

func (r *Results) closeFiles() error {
	var errs []error
	for _, f := range []*os.File{r.file, r.mark, r.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
