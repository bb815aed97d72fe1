package mitigate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"postern/internal/respond"
)

// Schema names the form of a journal.
const Schema = "postern.mitigate/1"

// Keeper changes the files of a server and keeps what they were. Only one may work
// on a server at a time.
type Keeper struct {
	// Files is the root folder of the server. Nothing outside of it is touched,
	// whatever links lead there.
	Files *os.Root
	// Backup is a folder that only administrators read: the files have keys in them.
	Backup *os.Root
	Now    func() time.Time
	Tool   string // name and version, for the journal
	// step is asked before every step that changes something on disk; an error of it is
	// what a full disk gives. Tests fail there, one step after the other.
	step func(string) error
}

// Run is one application of a plan, as its journal says.
type Run struct {
	Schema string    `json:"schema"`
	Number int       `json:"number"`
	Time   time.Time `json:"time"`
	Tool   string    `json:"tool"`
	// Status is started, applied or undone. One that is started was interrupted: each
	// file is either as it was or as it should be.
	Status string     `json:"status"`
	Undone *time.Time `json:"undone,omitempty"`
	Files  []Kept     `json:"files"`
}

// Kept is one file of a run. The hashes name its two contents in the backup.
type Kept struct {
	File   string   `json:"file"`
	Before string   `json:"before_sha256"`
	After  string   `json:"after_sha256"`
	For    []string `json:"for"`
	Temp   string   `json:"temp"` // name beside the file while it is replaced
}

const (
	started = "started"
	applied = "applied"
	undone  = "undone"
)

func (k *Keeper) at(step string) error {
	if k.step == nil {
		return nil
	}
	return k.step(step)
}

// Apply puts the changes of a plan into the files: all of them, or none and an
// error. What people can do something about is a [*Refusal].
func (k *Keeper) Apply(changes []Change) (*Run, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	runs, err := k.Runs()
	if err != nil {
		return nil, err
	}
	if err := k.tidy(runs); err != nil {
		return nil, err
	}
	run := &Run{Schema: Schema, Number: 1, Time: k.Now().UTC(), Tool: k.Tool, Status: started}
	for _, r := range runs {
		run.Number = max(run.Number, r.Number+1)
	}
	for i, c := range changes {
		if err := k.same(c.File, Hash(c.Before)); err != nil {
			return nil, err
		}
		if _, err := open(c.After); err != nil {
			return nil, refuse("parse").of(c.File)
		}
		run.Files = append(run.Files, Kept{File: c.File, Before: Hash(c.Before), After: Hash(c.After), For: c.For,
			Temp: path.Join(path.Dir(c.File), tempName(run.Number, i))})
	}
	for _, c := range changes {
		for _, b := range [...][]byte{c.Before, c.After} {
			if err := k.keep(b); err != nil {
				return nil, failure(err, "backup").of(c.File)
			}
		}
	}
	if err := k.write(run); err != nil {
		return nil, failure(err, "backup").of(changes[0].File)
	}
	if err := k.replace(run.Files, func(f Kept) (from, to string) { return f.Before, f.After }); err != nil {
		var why *Refusal
		if errors.As(err, &why) && why.Why.Key == half {
			return nil, err // the journal is what the rollback goes by
		}
		// Nothing was changed, so nothing is to be undone.
		if left := k.Backup.Remove(run.name()); left != nil {
			err = errors.Join(err, left)
		}
		return nil, err
	}
	run.Status = applied
	if err := k.write(run); err != nil {
		return run, failure(err, "journal").of(changes[0].File)
	}
	return run, nil
}

// Changed is why a run is not rolled back: a file is no longer what the run made it.
type Changed struct {
	File    string
	Was, Is []byte // as it was left, and as it is; Is is nil if it is gone
}

// Error names the file.
func (c *Changed) Error() string { return c.File + " was changed since" }

// Rollback takes back all runs, the latest first, each wholly or not at all. It gives
// those that it took back, and with them an error if it had to stop before one; a
// [*Changed] if a file is no longer what that run made of it.
func (k *Keeper) Rollback() ([]Run, error) {
	runs, err := k.Runs()
	if err != nil {
		return nil, err
	}
	if err := k.tidy(runs); err != nil {
		return nil, err
	}
	var done []Run
	for _, r := range slices.Backward(runs) {
		if r.Status == undone {
			continue
		}
		var files []Kept
		for _, f := range r.Files {
			is, err := k.read(f.File)
			var why *Refusal
			gone := errors.As(err, &why) && why.Why.Key == "mitigate.no.gone"
			if err != nil && !gone {
				return done, err
			}
			if gone || Hash(is) != f.Before && Hash(is) != f.After {
				was, keptErr := k.kept(f.After)
				if keptErr != nil {
					return done, keptErr
				}
				return done, &Changed{f.File, was, is}
			}
			if Hash(is) == f.After {
				files = append(files, f)
			}
		}
		if err := k.replace(files, func(f Kept) (from, to string) { return f.After, f.Before }); err != nil {
			return done, err
		}
		at := k.Now().UTC()
		r.Status, r.Undone = undone, &at
		done = append(done, r)
		if err := k.write(&r); err != nil {
			return done, failure(err, "journal").of(r.Files[0].File)
		}
	}
	return done, nil
}

// Runs reads the journals, the first run first.
func (k *Keeper) Runs() ([]Run, error) {
	entries, err := fs.ReadDir(k.Backup.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("read the backup folder: %w", err)
	}
	var runs []Run
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "run-") || path.Ext(e.Name()) != ".json" {
			continue
		}
		b, err := k.Backup.ReadFile(e.Name())
		if err != nil {
			return nil, failure(err, "backup").of(e.Name())
		}
		var r Run
		if err := json.Unmarshal(b, &r); err != nil || r.Schema != Schema || r.name() != e.Name() || len(r.Files) == 0 {
			return nil, refuse("bad-journal").of(e.Name())
		}
		for i, f := range r.Files {
			if f.Temp != path.Join(path.Dir(f.File), tempName(r.Number, i)) || !fs.ValidPath(f.File) {
				return nil, refuse("bad-journal").of(e.Name())
			}
		}
		runs = append(runs, r)
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.Number, b.Number) })
	return runs, nil
}

// IsUndone says whether the run was taken back.
func (r Run) IsUndone() bool { return r.Status == undone }

func (r *Run) name() string { return fmt.Sprintf("run-%06d.json", r.Number) }

// tempName is of a kind that IIS never hands out.
func tempName(run, i int) string { return fmt.Sprintf("postern-%06d-%d.config", run, i) }

// tidy removes what an interrupted run left beside the files.
func (k *Keeper) tidy(runs []Run) error {
	for _, r := range runs {
		for _, f := range r.Files {
			if err := k.Files.Remove(f.Temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return failure(err, "write").of(f.Temp)
			}
		}
	}
	return nil
}

// read reads a file of the server that may be written into.
func (k *Keeper) read(name string) ([]byte, error) {
	if part := respond.OddName(name); part != "" && runtime.GOOS == "windows" {
		return nil, refuse("odd", "part", part).of(name)
	}
	for dir := name; dir != "."; dir = path.Dir(dir) {
		info, err := k.Files.Lstat(dir)
		switch {
		case err != nil:
			return nil, failure(err, "read").of(name)
		case dir == name && !info.Mode().IsRegular(), dir != name && !info.IsDir():
			return nil, refuse("link", "link", dir).of(name)
		case dir == name && info.Mode().Perm()&0o200 == 0:
			return nil, refuse("read-only").of(name)
		case dir == name && info.Size() > MaxBytes:
			return nil, refuse("size", "bound", MaxBytes).of(name)
		}
	}
	b, err := k.Files.ReadFile(name)
	if err != nil {
		return nil, failure(err, "read").of(name)
	}
	return b, nil
}

// same makes sure that a file is what the plan saw.
func (k *Keeper) same(name, hash string) error {
	b, err := k.read(name)
	if err != nil {
		return err
	}
	if Hash(b) != hash {
		return refuse("changed").of(name)
	}
	return nil
}

// replace gives files other contents from the backup: all of them or none.
func (k *Keeper) replace(files []Kept, contents func(Kept) (from, to string)) (err error) {
	put := func(f Kept, hash string) error {
		b, err := k.kept(hash)
		if err != nil {
			return err
		}
		return k.stage(f, b)
	}
	defer func() { // whatever happened, nothing is left lying about
		for _, f := range files {
			if left := k.Files.Remove(f.Temp); left != nil && !errors.Is(left, fs.ErrNotExist) {
				err = errors.Join(err, left)
			}
		}
	}()
	for _, f := range files {
		_, to := contents(f)
		var why *Refusal
		if err := put(f, to); errors.As(err, &why) {
			return err
		} else if err != nil {
			return failure(err, "write").of(f.File)
		}
	}
	for i, f := range files {
		from, _ := contents(f)
		err := k.same(f.File, from)
		if err == nil {
			if err = k.move(f.Temp, f.File); err != nil {
				err = failure(err, "write").of(f.File)
			}
		}
		if err == nil {
			continue
		}
		for _, g := range slices.Backward(files[:i]) {
			from, _ := contents(g)
			back := put(g, from)
			if back == nil {
				back = k.move(g.Temp, g.File)
			}
			if back != nil {
				err = errors.Join(refuse("half", "reason", cause(back)).of(g.File), err)
			}
		}
		return err
	}
	return nil
}

// stage writes new content beside a file, with its mode, owner and further attributes.
func (k *Keeper) stage(f Kept, b []byte) (err error) {
	if err := k.at("stage " + f.File); err != nil {
		return err
	}
	old, err := k.Files.Open(f.File)
	if err != nil {
		return err
	}
	defer old.Close()
	info, err := old.Stat()
	if err != nil {
		return err
	}
	w, err := k.Files.OpenFile(f.Temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if closed := w.Close(); err == nil {
			err = closed
		}
	}()
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := k.at("sync " + f.File); err != nil {
		return err
	}
	if err := likeness(old, w, info); err != nil {
		return err
	}
	return w.Sync()
}

// move puts a staged file in the place of the other in one step.
func (k *Keeper) move(temp, name string) error {
	if err := k.at("move " + name); err != nil {
		return err
	}
	if err := swap(k.Files, temp, name); err != nil {
		return err
	}
	return syncDir(k.Files, path.Dir(name))
}

func blob(hash string) string { return hash + ".kept" }

// keep puts content into the backup under its hash and reads it back.
func (k *Keeper) keep(b []byte) error {
	name := blob(Hash(b))
	if old, err := k.Backup.ReadFile(name); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := k.save(name, b); err != nil {
		return err
	}
	old, err := k.Backup.ReadFile(name)
	if err == nil && !bytes.Equal(old, b) {
		err = io.ErrShortWrite
	}
	return err
}

// kept gives content from the backup, if it is what its name says.
func (k *Keeper) kept(hash string) ([]byte, error) {
	b, err := k.Backup.ReadFile(blob(hash))
	if err != nil {
		return nil, failure(err, "backup-gone").of(blob(hash))
	}
	if Hash(b) != hash {
		return nil, refuse("backup-damaged").of(blob(hash))
	}
	return b, nil
}

// write saves a journal.
func (k *Keeper) write(r *Run) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return k.save(r.name(), append(b, '\n'))
}

// save writes a file of the backup whole, or leaves what was there.
func (k *Keeper) save(name string, b []byte) (err error) {
	if err := k.at("save " + path.Ext(name)); err != nil {
		return err
	}
	temp := name + ".new"
	w, err := k.Backup.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	if err == nil {
		err = w.Sync()
	}
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = k.Backup.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, k.Backup.Remove(temp))
	}
	return syncDir(k.Backup, ".")
}

// half is the key of what is said when some files of a run are changed and others are not.
const half = "mitigate.no.half"

// failure is a refusal because of an error of the machine.
func failure(err error, key string) *Refusal {
	var why *Refusal
	switch {
	case errors.As(err, &why):
		return why
	case errors.Is(err, syscall.ENOSPC):
		return refuse("disk-full")
	case errors.Is(err, fs.ErrNotExist) && key == "read":
		return refuse("gone")
	case isLocked(err):
		return refuse("locked")
	case errors.Is(err, fs.ErrPermission):
		return refuse("permission")
	}
	return refuse(key, "reason", cause(err))
}

// cause is what the system says, without the path that stands beside it anyway.
func cause(err error) error {
	var on *fs.PathError
	var why *Refusal
	switch {
	case errors.As(err, &on):
		return on.Err
	case errors.As(err, &why): // of the backup, which is named then
		return errors.New(why.File)
	}
	return err
}
