package source

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// evidenceFS shows the evidence as a file system of regular files and folders.
// Links and devices are not in it. Names are those of [File.Path].
type evidenceFS struct{ e *Evidence }

// Open opens a file or folder.
func (v evidenceFS) Open(name string) (fs.File, error) {
	f, err := v.open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

func (v evidenceFS) open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	if filepath.Separator != '/' && strings.ContainsRune(name, filepath.Separator) {
		return nil, fs.ErrNotExist // it would be a second name of a file
	}
	// Every part of the name that ends with "!" may be the folder of an archive's
	// members. What really is there comes first.
	if n, err := v.disk(name); !errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	for mount, rest := range mountsIn(name) {
		for file := range archivesOf(mount) {
			if f, err := v.file(file); err == nil && f.mount == mount {
				return v.inside(&f, rest)
			}
		}
	}
	return nil, fs.ErrNotExist
}

// mountsIn gives each part of a path that ends with "!" at the end of a name, and
// what follows it.
func mountsIn(name string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for end := range len(name) + 1 {
			if (end == len(name) || name[end] == '/') && end > 0 && name[end-1] == '!' &&
				!yield(name[:end], strings.TrimPrefix(name[end:], "/")) {
				return
			}
		}
	}
}

// archivesOf gives the files that a folder of members may belong to.
func archivesOf(mount string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for file, ok := strings.CutSuffix(mount, "!"); ok && yield(file); file, ok = strings.CutSuffix(file, "!") {
		}
	}
}

// file gives a file on disk by its name in the evidence.
func (v evidenceFS) file(name string) (File, error) {
	e := v.e
	if e.single {
		f, err := e.singleFile()
		if err == nil && f.Path != name {
			err = fs.ErrNotExist
		}
		return f, err
	}
	real, err := v.real(name)
	if err != nil {
		return File{}, err
	}
	info, err := e.root.Lstat(filepath.FromSlash(real))
	if err != nil {
		return File{}, err
	}
	if !info.Mode().IsRegular() {
		return File{}, fs.ErrNotExist
	}
	return e.fileAt(real, name, info), nil
}

// fileAt makes the File of a path on disk.
func (e *Evidence) fileAt(real, name string, info fs.FileInfo) File {
	f := File{Path: name, Size: info.Size(), ModTime: info.ModTime().UTC(),
		open: func() (io.ReadCloser, error) { return e.openBelow(real, name) }}
	if namedArchive(name) {
		f.mount = mountName(name, func(s string) bool {
			_, err := e.root.Lstat(filepath.FromSlash(s))
			return err == nil
		})
	}
	return f
}

// real gives the name on disk of a path: the same unless it stands for bytes that
// are not UTF-8, which only the folder's list can tell.
func (v evidenceFS) real(name string) (string, error) {
	if !strings.ContainsRune(name, utf8.RuneError) {
		return name, nil
	}
	real := "."
	for _, part := range strings.Split(name, "/") {
		part, err := v.realPart(real, part)
		if err != nil {
			return "", err
		}
		real = path.Join(real, part)
	}
	return real, nil
}

func (v evidenceFS) realPart(dir, part string) (string, error) {
	if !strings.ContainsRune(part, utf8.RuneError) {
		return part, nil
	}
	d, err := v.e.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return "", err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(folderBatch)
		for _, n := range names {
			if shown(n) == part {
				return n, nil
			}
		}
		if err == io.EOF {
			return "", fs.ErrNotExist
		}
		if err != nil {
			return "", err
		}
	}
}

// disk opens what lies on disk under a name.
func (v evidenceFS) disk(name string) (fs.File, error) {
	e := v.e
	if e.single {
		return v.diskSingle(name)
	}
	real, err := v.real(name)
	if err != nil {
		return nil, err
	}
	info, err := e.root.Lstat(filepath.FromSlash(real))
	switch {
	case err != nil:
		return nil, err
	case info.Mode().IsRegular():
		return openFS(e.fileAt(real, name, info))
	case !info.IsDir():
		return nil, fs.ErrNotExist
	}
	d, err := e.root.Open(filepath.FromSlash(real))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var list []fs.DirEntry
	for _, entry := range entries {
		kind := entry.Type()
		if !kind.IsDir() && !kind.IsRegular() || kind.IsDir() && entry.Name() == e.temp.folder() {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			continue // gone
		}
		child := path.Join(name, shown(entry.Name()))
		if kind.IsDir() {
			list = append(list, dirEntry(path.Base(child), info.ModTime()))
			continue
		}
		list = append(list, v.withMembers(e.fileAt(path.Join(real, entry.Name()), child, info))...)
	}
	return newDir(path.Base(name), info.ModTime(), list), nil
}

func (v evidenceFS) diskSingle(name string) (fs.File, error) {
	f, err := v.e.singleFile()
	switch {
	case err != nil:
		return nil, err
	case name == f.Path:
		return openFS(f)
	case name == ".":
		return newDir(".", f.ModTime, v.withMembers(f)), nil
	}
	return nil, fs.ErrNotExist
}

// withMembers gives the entries of a file: itself, and the folder of its members
// if it is an archive.
func (v evidenceFS) withMembers(f File) []fs.DirEntry {
	list := []fs.DirEntry{fileEntry(f)}
	if f.mount == "" {
		return list
	}
	if a, release, err := v.e.acquire(&f); err == nil && a != nil {
		list = append(list, dirEntry(path.Base(f.mount), f.ModTime))
		release()
	}
	return list
}

// inside opens a name below the folder of an archive's members.
func (v evidenceFS) inside(outer *File, name string) (fs.File, error) {
	a, release, err := v.e.acquire(outer)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, fs.ErrNotExist
	}
	defer release()
	if no, ok := a.names[name]; ok && no != folderNo {
		return openFS(a.file(int(no), outer))
	}
	if no, ok := a.names[name]; name == "" || ok && no == folderNo {
		return v.memberDir(a, outer, name)
	}
	for mount, rest := range mountsIn(name) {
		for file := range archivesOf(mount) {
			no, ok := a.names[file]
			if !ok || no == folderNo {
				continue
			}
			if f := a.file(int(no), outer); f.mount == a.path+"/"+mount {
				return v.inside(&f, rest)
			}
		}
	}
	return nil, fs.ErrNotExist
}

// memberDir lists a folder inside an archive. It looks at every member: who wants
// them all uses Walk.
func (v evidenceFS) memberDir(a *archive, outer *File, name string) (fs.File, error) {
	prefix := ""
	base := path.Base(a.path)
	if name != "" {
		prefix, base = name+"/", path.Base(name)
	}
	var list []fs.DirEntry
	for member, no := range a.names {
		rest, ok := strings.CutPrefix(member, prefix)
		if !ok || rest == "" || strings.Contains(rest, "/") {
			continue
		}
		if no == folderNo {
			list = append(list, dirEntry(rest, outer.ModTime))
		} else {
			list = append(list, v.withMembers(a.file(int(no), outer))...)
		}
	}
	return newDir(base, outer.ModTime, list), nil
}

// info is what a file system says of a file or folder.
type info struct {
	name string
	size int64
	time time.Time
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return max(i.size, 0) } // unknown is 0: readers take it as a hint
func (i info) ModTime() time.Time { return i.time.UTC() }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

func fileEntry(f File) fs.DirEntry {
	return fs.FileInfoToDirEntry(info{name: path.Base(f.Path), size: f.Size, time: f.ModTime})
}

func dirEntry(name string, t time.Time) fs.DirEntry {
	return fs.FileInfoToDirEntry(info{name: name, time: t, dir: true})
}

// fsFile is an open file.
type fsFile struct {
	io.ReadCloser
	info info
}

func openFS(f File) (fs.File, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	return fsFile{r, info{name: path.Base(f.Path), size: f.Size, time: f.ModTime}}, nil
}

func (f fsFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// fsDir is an open folder.
type fsDir struct {
	info    info
	entries []fs.DirEntry
}

func newDir(name string, t time.Time, entries []fs.DirEntry) *fsDir {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return &fsDir{info{name: name, time: t, dir: true}, entries}
}

func (d *fsDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *fsDir) Close() error               { return nil }
func (d *fsDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a folder")}
}

func (d *fsDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	out := d.entries[:n:n]
	d.entries = d.entries[n:]
	return out, nil
}
