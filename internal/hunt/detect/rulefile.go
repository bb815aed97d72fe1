package detect

import (
	"errors"
	"io/fs"
	"strings"
	"unicode/utf16"

	"postern"
)

// RuleText gives what a file of rules says in UTF-8. Editors of Windows and redirections
// of its shells save UTF-16, with a mark before it or without.
func RuleText(b []byte) []byte {
	if len(b) < 2 {
		return b
	}
	high := -1 // where in each pair the upper half is
	switch {
	case strings.HasPrefix(string(b[:min(len(b), 3)]), "\xef\xbb\xbf"):
		return b[3:]
	case b[0] == 0xff && b[1] == 0xfe, b[0] != 0 && b[1] == 0:
		high = 1
	case b[0] == 0xfe && b[1] == 0xff, b[0] == 0 && b[1] != 0:
		high = 0
	default:
		return b
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i+high])<<8 | uint16(b[2*i+1-high])
	}
	if units[0] == 0xfeff {
		units = units[1:]
	}
	return []byte(string(utf16.Decode(units)))
}

// Unreadable says why a file or folder of rules cannot be read.
func Unreadable(err error) postern.Text {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return postern.Say("rules.missing")
	case errors.Is(err, fs.ErrPermission):
		return postern.Say("rules.permission")
	case strings.Contains(err.Error(), "escapes from parent"): // an error of os.Root without a name
		return postern.Say("rules.outside")
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return postern.Say("rules.unreadable", "error", err)
}
