//go:build !unix

package main

import (
	"io/fs"
	"os"
)

// alone is not known here without opening the file; hard links are made by hand.
func alone(fs.FileInfo) bool { return true }

// own does nothing: what is made in a folder has the rights of the folder.
func own(*os.File, fs.FileInfo) error { return nil }
