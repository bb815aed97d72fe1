package preserve

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"postern/internal/bundle"
)

// Plan says how much there is of each class, before a byte of it is read.
type Plan struct {
	Classes []ClassPlan `json:"classes"`
	// Left is what is no evidence of a known kind and stays where it is.
	Left ClassPlan `json:"left"`
	// Troubles counts what the walk could not look at.
	Troubles int64 `json:"troubles"`
}

// ClassPlan is one class of a plan.
type ClassPlan struct {
	Class Class `json:"class"`
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Total gives the files and bytes of all classes.
func (p *Plan) Total() (files, bytes int64) {
	for _, c := range p.Classes {
		files += c.Files
		bytes += c.Bytes
	}
	return files, bytes
}

// packsTo says what part of its size a class usually packs to, in hundredths: logs of
// Exchange and IIS to a ninth, event logs and hives to a fifth. What is not named here
// counts as if it did not pack.
var packsTo = map[Class]int64{Logs: 11, EventLogs: 20, Hives: 20, Compiled: 40, Web: 40, IIS: 20, Tasks: 20}

// What a file takes besides itself, headers and its line of a list: usually, packed, and
// at most.
const (
	besides     = 128
	besidesMost = 2048
)

// Room says how large a bundle will be: about, by what such files usually pack to, and
// at most.
func (p *Plan) Room() (about, most int64) {
	for _, c := range p.Classes {
		part, known := packsTo[c.Class]
		if !known {
			part = 100
		}
		about += c.Bytes/100*part + c.Files*besides
		most += c.Bytes + c.Files*besidesMost
	}
	return about, most
}

// planned is a line of a plan: a file to be taken, or a trouble to be noted.
type planned struct {
	Path   string         `json:"p"`
	Raw    []byte         `json:"r,omitempty"` // the name on disk if it is not UTF-8
	Size   int64          `json:"s,omitempty"`
	What   bundle.Trouble `json:"x,omitempty"`
	Detail string         `json:"d,omitempty"`
}

// name is the path as the disk has it.
func (p *planned) name() string {
	if p.Raw != nil {
		return string(p.Raw)
	}
	return p.Path
}

// MakePlan walks a tree and counts, without writing anything.
func MakePlan(ctx context.Context, opt Options) (Plan, error) {
	root, err := openRoot(opt.Root)
	if err != nil {
		return Plan{}, err
	}
	defer root.Close()
	p := newPlanner(ctx, &opt, func(Class, *planned) error { return nil })
	err = p.walk(root)
	return p.plan, err
}

// planner walks a tree once and sorts what it meets into classes.
type planner struct {
	ctx     context.Context
	root    *os.Root
	all     bool
	named   *named
	avoid   []string // absolute paths that are our own
	base    string   // absolute path of the root
	write   func(Class, *planned) error
	counted map[Class]*ClassPlan
	plan    Plan
}

func newPlanner(ctx context.Context, opt *Options, write func(Class, *planned) error) *planner {
	p := &planner{ctx: ctx, all: opt.All, named: newNamed(opt.Named), write: write, counted: make(map[Class]*ClassPlan)}
	if base, err := filepath.Abs(opt.Root); err == nil {
		p.base = base
	}
	if out, err := filepath.Abs(opt.Out); err == nil && opt.Out != "" {
		p.avoid = []string{out, partFolder(out)}
	}
	return p
}

func (p *planner) walk(root *os.Root) error {
	p.root = root
	if err := p.folder(root, "", 0); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.named.seen)) {
		if !p.named.seen[name] {
			if err := p.trouble(&planned{Path: shown(name), What: bundle.NotFound}); err != nil {
				return err
			}
		}
	}
	for _, c := range Classes() {
		if n := p.counted[c]; n != nil {
			p.plan.Classes = append(p.plan.Classes, *n)
		}
	}
	return nil
}

func (p *planner) trouble(line *planned) error {
	p.plan.Troubles++
	return p.write(Troubles, line)
}

// folderBatch is how many entries of a folder are held at once.
const folderBatch = 16 << 10

// folder walks one folder, which it holds open, so that its entries cannot be
// exchanged for others elsewhere. prefix is its path with a slash at the end.
func (p *planner) folder(dir *os.Root, prefix string, depth int) error {
	d, err := dir.Open(".")
	if err != nil {
		return p.trouble(failure(strings.TrimSuffix(prefix, "/"), err))
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(folderBatch)
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
		for _, e := range entries {
			if err := p.ctx.Err(); err != nil {
				return err
			}
			if err := p.entry(dir, e, prefix, depth); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return p.trouble(failure(strings.TrimSuffix(prefix, "/"), err))
		case len(entries) == 0:
			return nil
		}
	}
}

func (p *planner) entry(dir *os.Root, e fs.DirEntry, prefix string, depth int) error {
	name := prefix + e.Name()
	if p.own(filepath.Join(p.base, filepath.FromSlash(name))) {
		return nil
	}
	switch kind := e.Type(); {
	case kind.IsDir():
		if depth+1 >= maxDepth {
			return p.trouble(line(name, bundle.TooDeep))
		}
		sub, err := openRootIn(dir, e.Name())
		if err != nil {
			return p.trouble(failure(name, err))
		}
		defer sub.Close()
		return p.folder(sub, name+"/", depth+1)
	case kind.IsRegular():
		info, err := e.Info()
		if err != nil {
			return p.trouble(failure(name, err))
		}
		return p.file(name, info.Size())
	}
	// Only what lies where evidence lies is worth a line: a disk has thousands of links.
	if _, ok := p.class(strings.ToLower(name)); !ok {
		return nil
	}
	l := line(name, bundle.Special)
	if e.Type()&fs.ModeSymlink != 0 {
		l.What = bundle.Link
		target, _ := dir.Readlink(e.Name())
		l.Detail = shown(target)
		if _, err := p.root.Stat(filepath.FromSlash(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.What = bundle.LinkOut
		}
	}
	return p.trouble(l)
}

// own says whether a path is what we write ourselves.
func (p *planner) own(name string) bool {
	return slices.ContainsFunc(p.avoid, func(own string) bool {
		return own == name || runtime.GOOS == "windows" && strings.EqualFold(own, name)
	})
}

func (p *planner) file(name string, size int64) error {
	c, ok := p.class(strings.ToLower(name))
	if !ok {
		p.plan.Left.Files++
		p.plan.Left.Bytes += size
		return nil
	}
	n := p.counted[c]
	if n == nil {
		n = &ClassPlan{Class: c}
		p.counted[c] = n
	}
	n.Files++
	n.Bytes += size
	l := line(name, "")
	l.Size = size
	return p.write(c, l)
}

func (p *planner) class(lower string) (Class, bool) {
	if p.named.has(lower) {
		return Named, true
	}
	c, ok := classOf(lower)
	if !ok && p.all {
		return Rest, true
	}
	return c, ok
}

func line(name string, what bundle.Trouble) *planned {
	l := &planned{Path: shown(name), What: what}
	if l.Path != name {
		l.Raw = []byte(name)
	}
	return l
}

// failure is the line of a file or folder that cannot be looked at.
func failure(name string, err error) *planned {
	if name == "" {
		name = "."
	}
	l := line(name, troubleOf(err))
	if l.What == bundle.Unreadable {
		l.Detail = reason(err)
	}
	return l
}

// troubleOf says why a file could not be opened or read.
func troubleOf(err error) bundle.Trouble {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bundle.Vanished
	case errors.Is(err, errLink):
		return bundle.Link
	case errors.Is(err, errSpecial):
		return bundle.Special
	case isLocked(err):
		return bundle.Locked
	case errors.Is(err, fs.ErrPermission):
		return bundle.Denied
	}
	return bundle.Unreadable
}

// reason is the text of an error without the path, which is said already.
func reason(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return shown(err.Error())
}

// shown makes a name fit for text: bytes that are not UTF-8 become a replacement
// character and their value.
func shown(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && n <= 1 {
			fmt.Fprintf(&b, "\uFFFD%02X", name[i])
		} else {
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	return b.String()
}

// planFiles write the plan of a run, a file a class.
type planFiles struct {
	s     *state
	files map[Class]file
	bufs  map[Class]*bufio.Writer
}

func (w *planFiles) write(c Class, l *planned) error {
	buf := w.bufs[c]
	if buf == nil {
		f, err := w.s.create(planName(c))
		if err != nil {
			return err
		}
		buf = bufio.NewWriterSize(f, 64<<10)
		w.files[c], w.bufs[c] = f, buf
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = buf.Write(append(b, '\n'))
	return err
}

func (w *planFiles) close() error {
	var err error
	for _, c := range Classes() {
		if f := w.files[c]; f != nil {
			err = errors.Join(err, w.bufs[c].Flush(), f.Sync(), f.Close())
		}
	}
	return err
}

func planName(c Class) string { return "plan-" + string(c) }
