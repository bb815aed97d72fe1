package source

import (
	"fmt"
	"hash/crc32"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// flaw says what was wrong with a member's name.
type flaw int

const (
	flawless flaw = iota
	unsafe        // absolute, with a drive, with .., or with characters that no file name has
	tooDeep
	tooLong
)

// safeName turns the name that an archive gives a member into a path that is
// valid below the archive's folder. No member is lost for its name: what cannot
// stay is replaced. A name with backslashes is only in another style, not flawed.
func safeName(raw string, l Limits) (string, flaw) {
	name := strings.ReplaceAll(raw, `\`, "/")
	var f flaw
	if strings.HasPrefix(name, "/") {
		f = unsafe
	}
	if len(name) >= 2 && name[1] == ':' && isLetter(name[0]) { // C:\x and C:x
		name, f = name[:1]+"/"+name[2:], unsafe
	}
	parts := strings.Split(name, "/")
	kept := parts[:0]
	for _, part := range parts {
		switch part {
		case "", ".":
			continue
		case "..":
			part, f = "__", unsafe
		default:
			if clean := cleanPart(part); clean != part {
				part, f = clean, unsafe
			}
		}
		kept = append(kept, part)
	}
	if len(kept) == 0 {
		return "_", unsafe
	}
	if len(kept) > l.PathDepth {
		middle := strings.Join(kept[l.PathDepth-2:len(kept)-1], "/")
		kept = append(kept[:l.PathDepth-2], "~"+fingerprint(middle), kept[len(kept)-1])
		f = tooDeep
	}
	name = strings.Join(kept, "/")
	if len(name) > l.NameLength {
		name, f = shorten(name, l.NameLength), tooLong
	}
	return name, f
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// cleanPart replaces what no file system stores: control characters and bytes
// that are not UTF-8.
func cleanPart(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "_"))
}

// shorten cuts a path to a length and keeps its end recognisable: a hash of the
// whole and the extension.
func shorten(name string, length int) string {
	ext := path.Ext(name)
	if len(ext) > 16 || strings.Contains(ext, "/") {
		ext = ""
	}
	tail := "~" + fingerprint(name) + ext
	cut := max(length-len(tail), 1)
	for cut > 1 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return strings.TrimRight(name[:cut], "/") + tail
}

func fingerprint(s string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(s))) }

// shown is the name of a file on disk as it stands in a path. Bytes that are not
// UTF-8 become a replacement character and their value in hexadecimal.
func shown(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && n <= 1 {
			fmt.Fprintf(&b, "\uFFFD%02X", name[i])
		} else {
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	return b.String()
}

// archiveNames are the extensions of files that are tried as archives inside a
// folder or archive. Office documents, .jar, .nupkg and the like are zip files
// too, but what is in them is not evidence of a server.
var archiveNames = map[string]bool{
	".zip": true, ".7z": true, ".tar": true, ".tgz": true, ".gz": true,
	".zst": true, ".tzst": true, ".bz2": true, ".tbz": true, ".tbz2": true, bundleExt: true,
	// Named so that a person learns that they were not opened. Cabinets are not: a
	// Windows disk is full of its own.
	".rar": true, ".xz": true, ".txz": true, partExt: true,
	// Images of disks, as collectors make them.
	".vhdx": true, ".vhd": true, ".vmdk": true, ".e01": true, ".ex01": true, ".l01": true, ".lx01": true, ".ad1": true, ".aff4": true,
}

// bundleExt is how people are told to name sealed bundles. Other programs use it as
// well, so that a file of the name that is no archive is nothing to tell about.
const bundleExt = ".bundle"

// partExt is how 7-Zip names the first of the parts that it cuts an archive into. Logs
// that are numbered end so, too.
const partExt = ".001"

// namedArchive asks the cheap question first. It must not allocate: it is asked
// of every file.
func namedArchive(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || len(name)-dot > len(bundleExt) {
		return false
	}
	ext := name[dot:]
	for i := range len(ext) {
		if c := ext[i]; 'A' <= c && c <= 'Z' {
			return archiveNames[strings.ToLower(ext)]
		}
	}
	return archiveNames[ext]
}
