//go:build unix

package watch

import "os"

// syncFolder has the names in a folder written to disk.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
