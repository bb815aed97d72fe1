//go:build !windows

package source

import (
	"errors"
	"io/fs"
	"os"
)

// list reads up to n entries of an open folder, which is open both as dir and d.
// Each is asked for by itself, so that one that the system cannot read does not
// take the others with it.
func list(dir *os.Root, d *os.File, n int) ([]listed, error) {
	names, err := d.Readdirnames(n)
	entries := make([]listed, 0, len(names))
	for _, name := range names {
		info, err := dir.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since
		}
		entries = append(entries, listed{name, info, err})
	}
	return entries, err
}

// openIn opens a file of an open folder.
func openIn(dir *os.Root, name string) (*os.File, error) { return dir.OpenFile(name, openFlags, 0) }

// openRootIn opens a folder of an open folder.
func openRootIn(dir *os.Root, name string) (*os.Root, error) { return dir.OpenRoot(name) }
