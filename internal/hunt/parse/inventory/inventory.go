// Package inventory turns a file into one event that says what it is: the plain
// list of files that a responder keeps beside a case. Input: any file, as hostile
// as its author liked; it is read once and never interpreted. Output: an event of
// the source "file" with path, size in bytes as read, time of the last change (UTC,
// "" if unknown), SHA-256 and the first bytes in hexadecimal.
package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"

	"postern"
)

// Name is the source of the events.
const Name = "file"

// firstBytes are enough to tell the kind of every file that has a signature.
const firstBytes = 32

// Read reads a file to its end. The error is one of reading: the event then says
// what there was before it, and its hash is not that of the file.
func Read(r io.Reader, path string, modified time.Time) (*postern.Event, error) {
	head := make([]byte, firstBytes)
	n, err := io.ReadFull(r, head)
	sum := sha256.New()
	sum.Write(head[:n])
	size := int64(n)
	if err == nil {
		var rest int64
		rest, err = io.Copy(sum, r)
		size += rest
	} else if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	stamp := ""
	if !modified.IsZero() {
		stamp = modified.UTC().Format(time.RFC3339)
	}
	ev := &postern.Event{Source: Name, Time: modified, Place: postern.Place{Path: path}, Fields: []postern.Field{
		{Name: "path", Value: path},
		{Name: "size", Value: strconv.FormatInt(size, 10)},
		{Name: "modified", Value: stamp},
		{Name: "sha256", Value: hex.EncodeToString(sum.Sum(nil))},
		{Name: "first_bytes", Value: hex.EncodeToString(head[:n])},
	}}
	if err != nil {
		return ev, fmt.Errorf("read %s: %w", path, err)
	}
	return ev, nil
}
