//go:build !windows

package mitigate

import "os"

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
