package campaign

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"postern"
)

// Bounds of a folder that a user gives. The largest rule collections in use have
// some 4,000 files of a few kilobytes; the largest built-in file has 0.3 MB.
const (
	maxFiles     = 10_000
	maxFileBytes = 4 << 20
	maxPackBytes = 64 << 20
)

// folder is the files of one pack or product, read into memory within bounds.
type folder struct {
	names []string // in order, relative, with '/'
	files map[string][]byte
}

// under gives the files directly inside a folder that end in one of the endings.
func (f *folder) under(dir string, endings ...string) []string {
	var names []string
	for _, n := range f.names {
		if path.Dir(n) == dir && (len(endings) == 0 || slices.Contains(endings, path.Ext(n))) {
			names = append(names, n)
		}
	}
	return names
}

// readFolder reads every file below root except those that begin with a dot, which
// belong to editors and version control. Whatever else cannot be read is a mistake
// of the pack: no rule is left out in silence.
func (c *checker) readFolder(fsys fs.FS, root string) *folder {
	f := &folder{files: make(map[string][]byte)}
	var total int64
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		rel := name
		if root != "." {
			rel = strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		}
		if err != nil {
			c.bad(rel, 0, postern.Say("campaign.unreadable", "error", err))
			return nil
		}
		if name != root && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			c.bad(rel, 0, postern.Say("campaign.not-a-file"))
			return nil
		}
		if len(f.names) == maxFiles {
			c.bad("", 0, postern.Say("campaign.too-many-files", "max", maxFiles))
			return fs.SkipAll
		}
		b, err := readBounded(fsys, name)
		if errors.Is(err, errTooLarge) {
			c.bad(rel, 0, postern.Say("campaign.file-too-large", "max", maxFileBytes))
			return nil
		}
		if err != nil {
			c.bad(rel, 0, postern.Say("campaign.unreadable", "error", err))
			return nil
		}
		if total += int64(len(b)); total > maxPackBytes {
			c.bad("", 0, postern.Say("campaign.too-large", "max", maxPackBytes))
			return fs.SkipAll
		}
		f.names = append(f.names, rel)
		f.files[rel] = b
		return nil
	})
	if err != nil {
		c.bad("", 0, postern.Say("campaign.unreadable", "error", err))
	}
	slices.Sort(f.names)
	return f
}

var errTooLarge = errors.New("file above its bound")

func readBounded(fsys fs.FS, name string) ([]byte, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(b) > maxFileBytes {
		err = errTooLarge
	}
	return b, err
}

// row is one record of a CSV table, by column name.
type row struct {
	c       *checker
	file    string
	line    int
	columns map[string]int
	cells   []string
}

// get gives a cell without the blanks around it, "" if the table lacks the column.
func (r *row) get(column string) string {
	i, ok := r.columns[column]
	if !ok {
		return ""
	}
	return strings.TrimSpace(r.cells[i])
}

func (r *row) bad(what postern.Text) { r.c.bad(r.file, r.line, what) }

// table reads a CSV file whose first row names its columns, and calls each for
// every sound row. Lines that begin with # are remarks.
func (c *checker) table(file string, b []byte, required, optional []string, each func(*row)) {
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\uFEFF"))))
	in.Comment = '#'
	in.FieldsPerRecord = -1
	in.ReuseRecord = true
	head, err := in.Read()
	if err != nil {
		c.bad(file, 1, postern.Say("campaign.no-header", "columns", strings.Join(required, ",")))
		return
	}
	r := &row{c: c, file: file, columns: make(map[string]int)}
	r.line, _ = in.FieldPos(0)
	for i, name := range head {
		name = strings.TrimSpace(name)
		_, twice := r.columns[name]
		if twice || !slices.Contains(required, name) && !slices.Contains(optional, name) {
			r.bad(postern.Say("campaign.unknown-column", "column", name,
				"known", strings.Join(slices.Concat(required, optional), ", ")))
		}
		r.columns[name] = i
	}
	for _, name := range required {
		if _, ok := r.columns[name]; !ok {
			r.bad(postern.Say("campaign.missing-column", "column", name))
			return
		}
	}
	width := len(head)
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			// The reader cannot tell where the next row begins after a stray quote.
			var at *csv.ParseError
			if errors.As(err, &at) {
				r.line = at.StartLine
			}
			r.bad(postern.Say("campaign.broken-row", "error", err))
			return
		}
		r.line, _ = in.FieldPos(0)
		if len(cells) != width {
			r.bad(postern.Say("campaign.row-width", "count", len(cells), "want", width))
			continue
		}
		r.cells = cells
		each(r)
	}
}
