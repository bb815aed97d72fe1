// Package staging looks for what intruders collect before they take it away:
// archives, memory of the logon service, copies of the password databases and of
// mailboxes. Input: files in folders where such things were put together, and in
// folders that a web server hands out. Output: findings that say what a file is,
// by its first bytes and by the names in it, and why that matters in its place.
//
// The names of files decide nothing: intruders give an archive the name of a
// picture, and vendors keep archives in the same folders. Level 6 needs proof in
// the content (what the archive lists, what the dump is of, an archive that poses
// as a picture in a folder of the web server); everything else is level 1. There
// is no list of harmless names, since it would be the list of names to use.
package staging

import (
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"postern"
	"postern/internal/hunt/detect"
)

// Bounds.
const (
	// headSize is read of a file's beginning: the directory of a cabinet, the first
	// entries of a zip, the module list of a dump stand there.
	headSize = 1 << 20
	// dumpSize is read of a memory dump or a database: the list of modules of a dump
	// stands before the memory itself.
	dumpSize = 8 << 20
	// tailSize is read of a zip's end, where its directory is: 16,000 entries.
	tailSize = 1 << 20
	// maxSkip is how much of a stream is read only to reach that end.
	maxSkip = 64 << 20
	// minSize: nothing smaller holds anything; an empty zip has 22 bytes.
	minSize = 32
	// maxMembers is how many names of an archive are looked at.
	maxMembers = 16_384
	// maxListed is how many of them a finding shows.
	maxListed = 8
)

// Knowledge is what products and packs teach. Folders are lower case with '/', as
// a [detect.File] names its place.
type Knowledge struct {
	Folders    []Folder
	Served     []string // folders that the web server hands out
	Indicators []postern.Indicator
}

// Folder is one in which stolen data was collected.
type Folder struct {
	Folder string
	Files  []string // endings that matter, without dot; none for all
	Below  bool     // folders under it too
}

// Detector looks at files. It does not change once made.
type Detector struct {
	k     Knowledge           // folders with a slash before them
	paths []postern.Indicator // values in the form of places
}

// New makes a detector.
func New(k Knowledge) *Detector {
	d := &Detector{k: Knowledge{Indicators: k.Indicators}}
	for _, f := range k.Folders {
		f.Folder = "/" + f.Folder
		d.k.Folders = append(d.k.Folders, f)
	}
	for _, served := range k.Served {
		d.k.Served = append(d.k.Served, "/"+served)
	}
	for _, i := range k.Indicators {
		if i.Kind == postern.IndicatorPath {
			i.Value = strings.ToLower(strings.ReplaceAll(i.Value, `\`, "/"))
			if len(i.Value) > 2 && i.Value[1] == ':' {
				i.Value = i.Value[2:]
			}
			d.paths = append(d.paths, i)
		}
	}
	return d
}

// situation is what the place of a file says.
type situation struct {
	served bool // the web server hands it out
	listed bool // the folder is one in which data was collected, and the ending one of those
	near   bool // below such a folder, or in one that everybody can write to
}

// Folders that every program may write to: archives there are looked into, and
// reported only for what is in them.
var open = []string{"/programdata", "/perflogs", "/users/public", "/windows/temp", "/root", "/temp", "/inetpub"}

func (d *Detector) situation(f *detect.File) situation {
	folder := "/" + path.Dir(f.Server)
	ext := strings.TrimPrefix(path.Ext(f.Server), ".")
	var s situation
	for _, known := range d.k.Folders {
		rest, ok := below(folder, known.Folder)
		if !ok {
			continue
		}
		s.near = true
		if (rest == "" || known.Below) && (len(known.Files) == 0 || slices.Contains(known.Files, ext)) {
			s.listed = true
		}
	}
	for _, o := range open {
		if _, ok := below(folder, o); ok {
			s.near = true
		}
	}
	for _, served := range d.k.Served {
		if _, ok := below(folder, served); ok {
			s.served = true
		}
	}
	return s
}

// below says whether a folder is another or lies below it, wherever that begins. Both
// have a slash before them.
func below(folder, other string) (rest string, ok bool) {
	for {
		i := strings.Index(folder, other)
		if i < 0 {
			return "", false
		}
		if rest = folder[i+len(other):]; rest == "" || rest[0] == '/' {
			return rest, true
		}
		folder = rest
	}
}

// archives are endings that say what the file is.
var archives = []string{".zip", ".7z", ".rar", ".cab", ".gz", ".tgz", ".dmp", ".mdmp", ".pst", ".ost", ".dit", ".hiv", ".hive", ".sav", ".save", ".reg", ".edb"}

// masks are endings of files that a site is full of.
var masks = []string{".gif", ".png", ".jpg", ".jpeg", ".ico", ".bmp", ".css", ".js", ".txt", ".log", ".htm", ".html", ".svg", ".ttf", ".woff", ".eot", ".mp3", ".mp4", ".tmp", ".dat", ".bin", ".bak"}

// Wants answers by name, place and size whether Look is worth opening the file.
func (d *Detector) Wants(f *detect.File) bool {
	if f.Size < minSize {
		return false
	}
	s := d.situation(f)
	if !s.served && !s.near && !s.listed {
		return false
	}
	ext := path.Ext(f.Server)
	switch {
	case s.listed, slices.Contains(archives, ext):
		return true
	case s.served, s.near:
		return slices.Contains(masks, ext) || ext == ""
	}
	return false
}

// Look reads the file within its bounds and says what it found.
func (d *Detector) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	if !d.Wants(f) {
		return nil, nil, nil
	}
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	head := make([]byte, min(f.Size+1, 4096))
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	head = head[:n]
	k := kindOf(head)
	if k == none {
		return nil, nil, nil
	}
	l := &look{d: d, f: f, at: d.situation(f), kind: k, ext: path.Ext(f.Server)}
	if err := l.read(r, head); err != nil {
		return nil, nil, err
	}
	l.judge()
	return l.findings, l.problems, nil
}

// look is one file being looked at.
type look struct {
	d        *Detector
	f        *detect.File
	at       situation
	kind     kind
	ext      string
	head     []byte
	tail     []byte
	findings []postern.Finding
	problems []postern.Problem
}

// read reads on: as much of the beginning as the kind needs, and the end of a zip.
func (l *look) read(r io.Reader, head []byte) error {
	want := int64(headSize)
	if l.kind == dump || l.kind == database {
		want = dumpSize
	}
	rest, err := io.ReadAll(io.LimitReader(r, want-int64(len(head))))
	l.head = append(head, rest...)
	if err != nil || l.kind != zipped || l.f.Size <= int64(len(l.head)) {
		return err
	}
	from := max(l.f.Size-tailSize, int64(len(l.head)))
	if s, ok := r.(io.Seeker); ok {
		if _, err := s.Seek(from, io.SeekStart); err != nil {
			return err
		}
	} else {
		skip := from - int64(len(l.head))
		if skip > maxSkip {
			l.problems = append(l.problems, postern.Problem{Path: l.f.Path, What: postern.Limit,
				Detail: postern.Say("staging.problem.directory", "bound", maxSkip>>20)})
			return nil
		}
		if _, err := io.CopyN(io.Discard, r, skip); err != nil {
			return nil // shorter than its entry said: what was read still counts
		}
	}
	l.tail, err = io.ReadAll(io.LimitReader(r, tailSize))
	return err
}
