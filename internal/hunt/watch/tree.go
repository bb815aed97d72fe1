package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"postern"
	"postern/internal/hunt"
	"postern/internal/hunt/detect"
)

// Bounds of a tree.
const (
	// maxDepth is how many folders deep a file may lie; each open one costs a handle.
	maxDepth = 64
	// listed is how many names of a folder are read at once.
	listed = 4096
	// settled is how old a change of a folder must be so that its time says whether
	// there was another: file systems count time in steps of up to two seconds.
	settled = 3 * time.Second
	// asleep is how old the last change of a log must be so that only looks at all folders
	// ask for it: a server keeps thousands, and writes a new one every day.
	asleep = 25 * time.Hour
	// unread is the time of a file that could not be read yet: the next look at all
	// folders takes it for one that has changed.
	unread = -1
	// openFlags keep a pipe that took the place of a file from blocking us.
	openFlags = os.O_RDONLY | syscall.O_NONBLOCK
)

// root is one folder that is watched, with all below it.
type root struct {
	path   string // absolute, with '/'
	dir    *os.Root
	top    *folder
	files  int
	dirs   int
	full   bool // a bound was told
	known  bool // it was watched before
	looked bool // a first look at all of it is done
	events bool // there are event logs, which are not followed

	changed []*file        // files to judge
	lost    []*logPos      // logs that something else has taken the name of
	dirty   []*file        // logs whose position is not saved
	grew    map[*file]bool // logs that grew of late
	copies  []*file        // new logs, which may be what a known one is called now
}

// folder is a folder of a root and what is of interest in it.
type folder struct {
	path   string // relative to the root, "" for itself, else with a '/' at its end
	mod    time.Time
	read   time.Time // when it was listed
	subs   map[string]*folder
	files  map[string]*file
	quick  bool // something in it is of interest
	denied bool
}

// file is a file of interest.
type file struct {
	path    string // relative to the root
	size    int64
	mod     int64 // nanoseconds, or unread
	id      fileID
	isLog   bool // it has the name of a log, until its content says otherwise
	wanted  bool // a detector of files looks at it
	setting bool // a detector of hosts does
	dirty   bool // its position is not saved
	pos     *logPos
}

func openRoot(name string) (*root, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	dir, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return &root{path: filepath.ToSlash(abs), dir: dir, top: &folder{}, grew: make(map[*file]bool)}, nil
}

// look looks at the folders of all roots: at all of them, or at those of logs and pages.
func (w *Watch) look(ctx context.Context, full bool) error {
	for _, r := range w.roots {
		if full {
			if err := w.there(r); err != nil {
				return err
			}
		}
		dir, err := r.dir.OpenRoot(".")
		if err != nil {
			if err := w.unreadable(".", err); err != nil {
				return err
			}
			continue
		}
		err = w.folder(ctx, r, r.top, dir, full, 0)
		dir.Close()
		if err != nil {
			return err
		}
		if !r.looked {
			r.looked = true
			r.lost = append(r.lost, w.store.left(r.path)...)
			if err := w.introduce(r); err != nil {
				return err
			}
		}
		if err := w.gone(r); err != nil {
			return err
		}
	}
	w.stats.Files, w.stats.Logs = 0, 0
	for _, r := range w.roots {
		w.stats.Files += int64(r.files)
	}
	return nil
}

// there opens a root anew if its name is that of another folder by now: a share that was
// away, a drive that was mounted again. What was read is known by its bytes.
func (w *Watch) there(r *root) error {
	trouble := postern.Problem{Path: r.path, What: postern.Unreadable}
	now, err := os.Stat(r.path)
	if err == nil {
		if old, gone := r.dir.Stat("."); gone == nil && os.SameFile(now, old) {
			return nil
		}
		var dir *os.Root
		if dir, err = os.OpenRoot(r.path); err == nil {
			r.dir.Close()
			r.dir = dir
			trouble.Detail.Key = "watch.root-gone"
			delete(w.told, toldKey(trouble))
			return nil
		}
	}
	trouble.Detail = postern.Say("watch.root-gone", "reason", reason(err))
	return w.problem(trouble)
}

// nothing tells of a root in which nothing is that a watch follows, as where a name is wrong.
func (w *Watch) nothing() error {
	for _, r := range w.roots {
		if r.files > 0 || !r.looked {
			continue
		}
		if err := w.problem(postern.Problem{Path: r.path, What: postern.Unsupported, Detail: postern.Say("watch.nothing")}); err != nil {
			return err
		}
	}
	return nil
}

// folder looks at one folder, which is open, and at those below it.
func (w *Watch) folder(ctx context.Context, r *root, d *folder, dir *os.Root, full bool, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := w.opt.Now()
	info, err := dir.Stat(".")
	if err != nil {
		return w.unreadable(d.path, err)
	}
	// A folder in which nothing came or went since it was listed has the same time.
	if same := !full && info.ModTime().Equal(d.mod) && d.read.Sub(d.mod) > settled; !same {
		if err := w.list(r, d, dir, depth); err != nil {
			return err
		}
		d.mod, d.read = info.ModTime(), now
	} else if w.each {
		for name, f := range d.files {
			if f.mod == unread || f.pos != nil && !f.wanted && now.Sub(time.Unix(0, f.mod)) > asleep {
				continue
			}
			info, err := dir.Lstat(name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				r.vanish(d, name)
			case err != nil:
				err = w.unreadable(f.path, err)
			default:
				err = w.seen(r, d, name, info)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for name, sub := range d.subs {
		if !full && !sub.below() {
			continue
		}
		in, err := dir.OpenRoot(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.forget(sub)
			delete(d.subs, name)
			continue
		case err != nil:
			if err := w.unreadable(sub.path, err); err != nil {
				return err
			}
			continue
		}
		err = w.folder(ctx, r, sub, in, full, depth+1)
		in.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// below says whether something of interest is in a folder or below it.
func (d *folder) below() bool {
	if d.quick {
		return true
	}
	for _, sub := range d.subs {
		if sub.below() {
			return true
		}
	}
	return false
}

// list reads the names in a folder.
func (w *Watch) list(r *root, d *folder, dir *os.Root, depth int) error {
	open, err := dir.Open(".")
	if err != nil {
		return w.unreadable(d.path, err)
	}
	defer open.Close()
	there := make(map[string]bool)
	for {
		names, err := open.Readdirnames(listed)
		for _, name := range names {
			there[name] = true
			if err := w.entry(r, d, dir, name, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(names) == 0 {
			break
		}
		if err != nil {
			return w.unreadable(d.path, err)
		}
	}
	for name := range d.files {
		if !there[name] {
			r.vanish(d, name)
		}
	}
	for name, sub := range d.subs {
		if !there[name] {
			r.forget(sub)
			delete(d.subs, name)
		}
	}
	return nil
}

// entry looks at one name in a folder. Links are never followed.
func (w *Watch) entry(r *root, d *folder, dir *os.Root, name string, depth int) error {
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since
	}
	if err != nil {
		return w.unreadable(d.path+name, err)
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return w.seen(r, d, name, info)
	case mode.IsDir():
		if d.subs[name] != nil || r.own(w.opt.State, d.path+name) {
			return nil
		}
		if depth+1 >= maxDepth || r.dirs >= w.opt.Limits.Folders {
			return w.problem(postern.Problem{Path: d.path + name, What: postern.Limit, Detail: postern.Say("watch.folders", "bound", w.opt.Limits.Folders, "depth", maxDepth)})
		}
		if d.subs == nil {
			d.subs = make(map[string]*folder)
		}
		r.dirs++
		d.subs[name] = &folder{path: d.path + name + "/"}
	case mode&fs.ModeSymlink != 0:
		return w.problem(postern.Problem{Path: d.path + name, What: postern.Unsupported, Detail: postern.Say("watch.link")})
	}
	return nil
}

// own says whether a folder is that of our own state, which changes all the time.
func (r *root) own(state, p string) bool {
	if state == "" {
		return false
	}
	abs, err := filepath.Abs(state)
	return err == nil && filepath.ToSlash(abs) == path.Join(r.path, p)
}

// seen compares a file with what is known of it.
func (w *Watch) seen(r *root, d *folder, name string, info fs.FileInfo) error {
	f := d.files[name]
	if f == nil {
		p := d.path + name
		if strings.HasSuffix(strings.ToLower(name), ".evtx") {
			return w.eventLog(r, p)
		}
		df := w.asFile(r, p, info)
		f = &file{path: p, isLog: logName(name), mod: unread}
		for _, want := range w.opt.Files {
			f.wanted = f.wanted || want.Wants(df)
		}
		for _, want := range w.opt.Hosts {
			f.setting = f.setting || want.Wants(df)
		}
		if !f.isLog && !f.wanted && !f.setting {
			return nil
		}
		if r.files >= w.opt.Limits.Files {
			if r.full {
				return nil
			}
			r.full = true
			return w.problem(postern.Problem{Path: d.path + name, What: postern.Limit, Detail: postern.Say("watch.files", "bound", w.opt.Limits.Files)})
		}
		if d.files == nil {
			d.files = make(map[string]*file)
		}
		r.files++
		d.files[name], d.quick = f, true
		if f.isLog {
			f.pos = w.store.position(r.path, p)
			if f.pos == nil {
				f.pos = &logPos{}
				if r.known || r.looked || w.opt.Start {
					r.copies = append(r.copies, f)
				} else { // what was there before the first watch is for a hunt
					f.pos.mark.Offset, f.pos.late = info.Size(), true
					w.touch(r, f)
				}
			}
			f.pos.name = p
		}
	}
	if mod := info.ModTime().UnixNano(); f.size != info.Size() || f.mod != mod || f.id != idOf(info) {
		f.size, f.mod, f.id = info.Size(), mod, idOf(info)
		if f.wanted || f.setting {
			r.changed = append(r.changed, f)
		}
		if f.pos != nil {
			r.grew[f] = true
		}
	}
	return nil
}

// eventLog tells once of event logs: they are not read while Windows writes them.
func (w *Watch) eventLog(r *root, p string) error {
	if r.events {
		return nil
	}
	r.events = true
	return w.problem(postern.Problem{Path: p, What: postern.Unsupported, Detail: postern.Say("watch.event-logs")})
}

// logName says whether a file has the name of a log, also of one that was rotated.
func logName(name string) bool { return strings.Contains(strings.ToLower(name)+".", ".log.") }

// asFile gives a file as the detectors take it.
func (w *Watch) asFile(r *root, p string, info fs.FileInfo) *detect.File {
	_, server := hunt.PlaceIn(r.path, p)
	return &detect.File{Path: p, Server: server, Size: info.Size(), ModTime: info.ModTime().UTC(),
		Open: func() (io.ReadCloser, error) {
			f, info, err := r.open(p)
			if err != nil {
				return nil, err
			}
			return struct {
				io.Reader
				io.Closer
			}{io.LimitReader(f, info.Size()), f}, nil
		}}
}

var errNoFile = errors.New("not a regular file any more")

// open opens a file of a root. Nothing that took its place meanwhile can lead out of the
// root or make us wait.
func (r *root) open(p string) (*os.File, fs.FileInfo, error) {
	f, err := r.dir.OpenFile(filepath.FromSlash(p), openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoFile
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// vanish takes a file out of a folder. A log may come back under another name.
func (r *root) vanish(d *folder, name string) {
	f := d.files[name]
	delete(d.files, name)
	r.files--
	if f.pos != nil {
		delete(r.grew, f)
		r.lose(f.pos)
	}
}

// forget takes a folder out, with all below it.
func (r *root) forget(d *folder) {
	r.dirs--
	for name := range d.files {
		r.vanish(d, name)
	}
	for _, sub := range d.subs {
		r.forget(sub)
	}
}

// unreadable tells about something that cannot be read; what is gone is no trouble.
func (w *Watch) unreadable(p string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if p == "" {
		p = "."
	}
	return w.problem(postern.Problem{Path: strings.TrimSuffix(p, "/"), What: postern.Unreadable, Detail: postern.Say("watch.unreadable", "reason", reason(err))})
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
