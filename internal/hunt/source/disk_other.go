//go:build !windows

package source

import "os"

// openIn opens a file of an open folder.
func openIn(dir *os.Root, name string) (*os.File, error) { return dir.OpenFile(name, openFlags, 0) }

// openRootIn opens a folder of an open folder.
func openRootIn(dir *os.Root, name string) (*os.Root, error) { return dir.OpenRoot(name) }
