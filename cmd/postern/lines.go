package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf16"
)

// maxListBytes bounds the files with one entry a line that a user gives; a hundred
// thousand networks take a twentieth of it.
const maxListBytes = 64 << 20

// readLines reads such a file. Those that PowerShell wrote may be UTF-16 or begin
// with a byte order mark.
func readLines(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, failed(err, "cmd.open", "file", name)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxListBytes+1))
	if err == nil && len(b) > maxListBytes {
		err = fmt.Errorf("more than %d bytes", maxListBytes)
	}
	if err != nil {
		return nil, failed(err, "cmd.open", "file", name)
	}
	var lines []string
	for line := range strings.Lines(decode(b)) {
		lines = append(lines, strings.TrimRight(line, "\r\n"))
	}
	return lines, nil
}

func decode(b []byte) string {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte{0xFE, 0xFF}):
		order = binary.BigEndian
	default:
		return string(bytes.TrimPrefix(b, []byte("\uFEFF")))
	}
	units := make([]uint16, 0, len(b)/2)
	for b = b[2:]; len(b) >= 2; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	return string(utf16.Decode(units))
}
