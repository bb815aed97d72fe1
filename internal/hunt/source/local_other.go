//go:build !windows

package source

// Local gives the folders of this machine that are evidence. There are none:
// Exchange runs on Windows.
func Local() ([]LocalRoot, error) { return nil, ErrNotWindows }
