//go:build !windows

package mitigate

import (
	"errors"
	"os"
	"syscall"
)

// swap puts a file in the place of another.
func swap(root *os.Root, temp, name string) error { return root.Rename(temp, name) }

// syncDir makes sure that a new name outlives a loss of power.
func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// isLocked says whether another program holds a file.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY)
}
