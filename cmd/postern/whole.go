package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// writeWhole writes a script so that it is there whole or not at all: half a script of
// a disk that was full must not be run.
func writeWhole(name string, b []byte) error {
	err := os.WriteFile(name+".new", b, 0o600)
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		err = errors.Join(err, removeIfThere(name+".new"))
	}
	return err
}

// writeScript writes a script into a folder as Windows PowerShell reads it: UTF-8 with its
// mark, lines ended by CR LF. It gives the name of the file.
func writeScript(dir, name, body string) (string, error) {
	name = filepath.Join(dir, name)
	if err := writeWhole(name, []byte("\uFEFF"+strings.ReplaceAll(body, "\n", "\r\n"))); err != nil {
		return "", failed(err, "cmd.create", "file", name)
	}
	return name, nil
}

// writeNew writes a secret to a file that must not exist. If it cannot be written whole,
// there is none.
func writeNew(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		err = errors.Join(err, removeIfThere(name))
	}
	return err
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
