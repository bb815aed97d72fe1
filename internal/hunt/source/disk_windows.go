package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// diskFolder is an open folder on disk. What lies in it is opened by its name there, and
// a link that leads out of it is not followed.
type diskFolder struct {
	root *os.Root
	file *os.File // the same, for its list; nil before list
}

// openFolder opens a folder by its path below root.
func openFolder(root *os.Root, path string) (*diskFolder, error) {
	return (&diskFolder{root: root}).folder(path)
}

// folder opens a folder of the folder.
func (d *diskFolder) folder(name string) (*diskFolder, error) {
	open := os.OpenRoot
	if filepath.IsLocal(name) {
		open = d.root.OpenRoot
	} else {
		name = d.literal(name)
	}
	sub, err := open(name)
	if err != nil {
		return nil, err
	}
	return &diskFolder{root: sub}, nil
}

// list reads up to n further entries. Windows gives names, sizes and times together.
func (d *diskFolder) list(n int) (out []listed, err error) {
	if d.file == nil {
		if d.file, err = d.root.Open("."); err != nil {
			return nil, err
		}
	}
	entries, err := d.file.ReadDir(n)
	out = make([]listed, 0, len(entries))
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			out = append(out, listed{name: entry.Name(), err: err})
			continue
		}
		out = append(out, listed{name: entry.Name(), info: infoOf(info)})
	}
	return out, err
}

// stat says what an entry is, a link itself and not what it leads to.
func (d *diskFolder) stat(name string) (diskInfo, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return diskInfo{}, err
	}
	return infoOf(info), nil
}

// openFile opens a file of the folder.
func (d *diskFolder) openFile(name string) (diskFile, diskInfo, error) {
	if filepath.IsLocal(name) {
		return withInfo(d.root.OpenFile(name, openFlags, 0))
	}
	return withInfo(os.OpenFile(d.literal(name), openFlags, 0))
}

func (d *diskFolder) Close() error {
	err := d.root.Close()
	if d.file != nil {
		err = errors.Join(err, d.file.Close())
	}
	return err
}

// literal is the path of an entry that Windows would take for a device, such as
// a folder COM1 or a file aux.aspx. Intruders made such folders because most
// programs, os.Root among them, cannot open them; a path with this prefix is not
// interpreted. The name came from reading the folder, so it has no separator.
func (d *diskFolder) literal(name string) string {
	path := strings.TrimSuffix(filepath.Clean(d.root.Name()), `\`) // C:\ keeps its own
	switch {
	case strings.HasPrefix(path, `\\?\`):
	case strings.HasPrefix(path, `\\`):
		path = `\\?\UNC\` + path[2:]
	default:
		path = `\\?\` + path
	}
	return path + `\` + name
}
