package clean

import (
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"postern"
)

// record is what ASP.NET notes of a page that it compiled, in a .compiled file.
type record struct {
	VirtualPath string `xml:"virtualPath,attr"`
	Assembly    string `xml:"assembly,attr"`
}

// compiled adds what ASP.NET made of pages that are moved. A library that holds other
// pages too stays: without it those would fail until ASP.NET is told to compile anew.
func (p *Plan) compiled(root *os.Root, named []Named, pages map[string]bool) {
	taken := make(map[string]bool)
	folders := make(map[string][]string) // folder → names in it that are moved
	add := func(m Move) {
		if !taken[m.Path] {
			taken[m.Path] = true
			p.Moves = append(p.Moves, m)
			folders[path.Dir(m.Path)] = append(folders[path.Dir(m.Path)], path.Base(m.Path))
		}
	}
	var libraries []Move
	for _, n := range named {
		if n.Kind != Compiled {
			continue
		}
		m, err := find(root, n)
		if err != nil {
			p.note(n, err)
			continue
		}
		switch {
		case !pages[n.Page]:
			p.leave(Compiled, m.Path, postern.Say("clean.left.no-page", "page", n.Page))
		case strings.EqualFold(path.Ext(m.Path), ".compiled"):
			add(m)
		default:
			libraries = append(libraries, m)
		}
	}
	for _, m := range libraries {
		base := strings.ToLower(strings.TrimSuffix(path.Base(m.Path), path.Ext(m.Path)))
		users, beside, err := usersOf(root, path.Dir(m.Path), base, folders[path.Dir(m.Path)])
		if err != nil {
			p.leave(Compiled, m.Path, postern.Say("clean.left.unreadable", "reason", innermost(err)))
			continue
		}
		if len(users) > 0 {
			p.leave(Compiled, m.Path, postern.Say("clean.left.shared", "pages", strings.Join(users, ", ")))
			continue
		}
		for _, name := range beside { // sources and symbols; before the library, by which they are found
			info, err := lookAt(root, name)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			if sum, err := hashOf(root, name); err == nil {
				add(Move{Kind: Compiled, Path: name, SHA256: sum, Size: info.Size(), Rules: m.Rules, Findings: m.Findings, Level: m.Level, Server: m.Server})
			}
		}
		add(m)
	}
}

// usersOf reads the records of a folder: which pages besides those that are moved need
// the library, and which files were made with it.
func usersOf(root *os.Root, dir, base string, moved []string) (users, beside []string, err error) {
	d, err := root.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(maxFolder + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	if len(names) > maxFolder {
		return nil, nil, errors.New("too many files in its folder")
	}
	slices.Sort(names)
	for _, name := range names {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, base+".") && lower != base+".dll" && !strings.HasSuffix(lower, ".compiled") {
			beside = append(beside, path.Join(dir, name))
		}
		if !strings.HasSuffix(lower, ".compiled") || slices.Contains(moved, name) {
			continue
		}
		r, err := readRecord(root, path.Join(dir, name))
		if err != nil {
			return nil, nil, err // it may need the library
		}
		if strings.EqualFold(r.Assembly, base) {
			users = append(users, r.VirtualPath)
		}
	}
	return users, beside, nil
}

func readRecord(root *os.Root, name string) (record, error) {
	var r record
	info, err := lookAt(root, name)
	if err != nil || !info.Mode().IsRegular() {
		return r, errors.Join(err, fs.ErrInvalid)
	}
	f, err := root.Open(name)
	if err != nil {
		return r, err
	}
	defer f.Close()
	text := transform.NewReader(io.LimitReader(f, maxRecord), unicode.BOMOverride(transform.Nop))
	dec := xml.NewDecoder(text)
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // decoded already
	err = dec.Decode(&r)
	return r, err
}
