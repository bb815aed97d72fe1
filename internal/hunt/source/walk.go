package source

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern"
)

// folderBatch is how many entries of a folder are read at once. Files come in
// the order of their names within a batch; only a folder with more entries comes
// in several, so that memory does not grow with the folder.
const folderBatch = 32 << 10

// Walk visits every regular file once, in one pass and a stable order: folders
// depth first by name, the members of an archive right after the archive in the
// order in which they lie in it. Links, devices, pipes, sockets, and what cannot
// be read, are problems and not errors.
//
// The error is that of visit or of the context. visit may keep the File and open
// it later, but members are cheapest to open while they are visited.
func (e *Evidence) Walk(ctx context.Context, visit func(File) error) error {
	w := walker{e: e, ctx: ctx, visit: visit}
	defer e.problems.flush()
	if e.single {
		f, err := e.singleFile()
		if err != nil {
			e.failure(shown(e.name), err)
			return nil
		}
		return w.file(f)
	}
	root, err := openFolder(e.root, ".")
	if err != nil {
		e.failure(folderPath(""), err)
		return nil
	}
	defer e.closeLater(root)
	return w.folder(root, "", "", 0)
}

// singleFile is the one file of an evidence that is not a folder. It is tried as
// an archive whatever its name.
func (e *Evidence) singleFile() (File, error) {
	info, err := os.Stat(e.path)
	if err != nil {
		return File{}, err
	}
	name := shown(e.name)
	return File{Path: name, Size: info.Size(), ModTime: info.ModTime().UTC(), mount: name + "!", open: e.openSingle}, nil
}

type walker struct {
	e     *Evidence
	ctx   context.Context
	visit func(File) error
}

// folder walks one folder. It holds the folder open, so that its entries cannot
// be exchanged for others elsewhere. real is its place on disk, path the same as
// evidence calls it; both end with a slash unless they are empty.
func (w *walker) folder(dir *diskFolder, real, path string, depth int) error {
	e := w.e
	in := &folder{e, dir, real}
	for {
		entries, err := dir.list(folderBatch)
		slices.SortFunc(entries, func(a, b listed) int { return cmp.Compare(a.name, b.name) })
		for _, entry := range entries {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			if err := w.entry(in, entry, path, depth); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			e.failure(folderPath(path), err)
			return nil
		}
	}
}

// walkedOpen is how many folders stay open behind the walk: the files that wait to be
// looked at lie in them, and each would have to be reached from the root again.
const walkedOpen = 256

// closeLater closes a folder when walkedOpen others have been walked after it. A file
// of it that is opened then is reached from the root.
func (e *Evidence) closeLater(dir *diskFolder) error {
	w := &e.walked
	w.Lock()
	defer w.Unlock()
	oldest := w.open[w.next]
	w.open[w.next] = dir
	w.next = (w.next + 1) % walkedOpen
	if oldest == nil {
		return nil
	}
	return oldest.Close()
}

// Walked closes the folders behind the walk, when nothing waits to be looked at any more.
func (e *Evidence) Walked() {
	for range walkedOpen {
		e.closeLater(nil)
	}
}

// listed is an entry of a folder with what the system says of it.
type listed struct {
	name string
	info diskInfo
	err  error // why the system says nothing
}

func folderPath(path string) string {
	if path == "" {
		return "."
	}
	return path[:len(path)-1]
}

func (w *walker) entry(in *folder, entry listed, path string, depth int) error {
	e, dir, real, name := w.e, in.dir, in.real, entry.name
	real, path = real+name, path+shown(name)
	if entry.err != nil {
		e.failure(path, entry.err)
		return nil
	}
	switch mode := entry.info.mode; {
	case mode.IsRegular():
		return w.file(e.fileOnDisk(in, name, real, path, entry.info))
	case mode.IsDir():
		if name == e.temp.folder() {
			return nil // our own, when a whole disk is hunted
		}
		if depth+1 >= e.limits.PathDepth {
			e.problem(path, postern.Limit, postern.Say("source.too-deep", "limit", e.limits.PathDepth))
			return nil
		}
		sub, err := dir.folder(name)
		if err != nil {
			e.failure(path, err)
			return nil
		}
		defer e.closeLater(sub)
		return w.folder(sub, real+"/", path+"/", depth+1)
	case mode&fs.ModeSymlink != 0:
		e.link(real, path)
	default:
		e.special(path, mode)
	}
	return nil
}

// fileOnDisk makes the File of an entry of a folder.
func (e *Evidence) fileOnDisk(in *folder, name, real, path string, info diskInfo) File {
	f := File{Path: path, Size: info.size, ModTime: info.time, in: in}
	if path[strings.LastIndexByte(path, '/')+1:] != name { // shown by another name than the disk has
		f.in, f.open = nil, func() (io.ReadCloser, error) { return e.openOnDisk(in.dir, name, real, path) }
	}
	if namedArchive(name) {
		f.mount = path[:len(path)-len(shown(name))] + mountName(shown(name), func(s string) bool {
			_, err := in.dir.stat(s)
			return err == nil
		})
	}
	return f
}

// link tells where a symbolic link leads. It is never followed: what it leads to
// inside the evidence is walked under its own name.
func (e *Evidence) link(real, path string) {
	target, _ := e.root.Readlink(filepath.FromSlash(real))
	target = printable(target)
	_, err := e.root.Stat(filepath.FromSlash(real))
	switch {
	case err == nil:
		e.problem(path, postern.Unsupported, postern.Say("source.link-inside", "target", target))
	case errors.Is(err, fs.ErrNotExist):
		e.problem(path, postern.Unsupported, postern.Say("source.link-dangling", "target", target))
	default:
		e.problem(path, postern.Unsupported, postern.Say("source.link-outside", "target", target))
	}
}

// file visits a file and then, if it is an archive, its members.
func (w *walker) file(f File) error {
	if f.mount == "" {
		return w.visit(f)
	}
	a, release, err := w.e.acquire(&f)
	if err != nil || a == nil { // told
		return w.visit(f)
	}
	defer release()
	f.Archive = true
	if err := w.visit(f); err != nil {
		return err
	}
	for no := range a.members {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.file(a.file(no, &f)); err != nil {
			return err
		}
	}
	return nil
}
