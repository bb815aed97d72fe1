package source

import (
	"os"
	"path/filepath"
	"strings"
)

// list reads up to n entries of an open folder. Windows gives names, sizes and
// times together.
func list(_ *os.Root, d *os.File, n int) ([]listed, error) {
	entries, err := d.ReadDir(n)
	out := make([]listed, 0, len(entries))
	for _, entry := range entries {
		info, err := entry.Info()
		out = append(out, listed{entry.Name(), info, err})
	}
	return out, err
}

// openIn opens a file of an open folder.
func openIn(dir *os.Root, name string) (*os.File, error) {
	if filepath.IsLocal(name) {
		return dir.OpenFile(name, openFlags, 0)
	}
	return os.OpenFile(literal(dir, name), openFlags, 0)
}

// openRootIn opens a folder of an open folder.
func openRootIn(dir *os.Root, name string) (*os.Root, error) {
	if filepath.IsLocal(name) {
		return dir.OpenRoot(name)
	}
	return os.OpenRoot(literal(dir, name))
}

// literal is the path of an entry that Windows would take for a device, such as
// a folder COM1 or a file aux.aspx. Intruders made such folders because most
// programs, os.Root among them, cannot open them; a path with this prefix is not
// interpreted. The name came from reading the folder, so it has no separator.
func literal(dir *os.Root, name string) string {
	path := strings.TrimSuffix(filepath.Clean(dir.Name()), `\`) // C:\ keeps its own
	switch {
	case strings.HasPrefix(path, `\\?\`):
	case strings.HasPrefix(path, `\\`):
		path = `\\?\UNC\` + path[2:]
	default:
		path = `\\?\` + path
	}
	return path + `\` + name
}
