package staging

import (
	"bytes"
	"encoding/binary"
	"path"
	"strings"
)

// kind is what a file is by its first bytes.
type kind uint8

const (
	none kind = iota
	zipped
	sevenZip
	rar
	cabinet
	gzipped
	dump     // of a process
	kernel   // of the whole memory
	hive     // of the registry
	mailbox  // a PST
	database // of the Extensible Storage Engine
)

// names are the parts of message keys.
var names = [...]string{
	none: "", zipped: "ZIP", sevenZip: "7z", rar: "RAR", cabinet: "CAB", gzipped: "gzip",
	dump: "minidump", kernel: "memory dump", hive: "registry hive", mailbox: "PST", database: "ESE database",
}

func (k kind) String() string { return names[k] }

// kindOf reads the magic numbers. Sources: APPNOTE.TXT §4.3, 7zFormat.txt,
// [MS-CAB], RFC 1952, minidumpapiset.h, [MS-PST] 2.2.2.6, and for the others the
// descriptions that file(1) goes by.
func kindOf(b []byte) kind {
	has := func(s string) bool { return bytes.HasPrefix(b, []byte(s)) }
	switch {
	case has("PK\x03\x04"), has("PK\x05\x06"), has("PK00PK\x03\x04"):
		return zipped
	case has("7z\xBC\xAF\x27\x1C"):
		return sevenZip
	case has("Rar!\x1A\x07"):
		return rar
	case has("MSCF\x00\x00\x00\x00"):
		return cabinet
	case has("\x1F\x8B\x08"):
		return gzipped
	case has("MDMP"):
		return dump
	case has("PAGEDU64"), has("PAGEDUMP"):
		return kernel
	case has("regf"):
		return hive
	case has("!BDN"):
		return mailbox
	case len(b) >= 8 && binary.LittleEndian.Uint32(b[4:]) == 0x89ABCDEF:
		return database
	}
	return none
}

// members gives the names in an archive, as far as they can be read without
// unpacking anything, and whether entries are locked with a password.
func (l *look) members() (list []string, locked bool) {
	switch l.kind {
	case zipped:
		list, locked = zipMembers(l.head, nil)
		more, lock := zipMembers(l.tail, list)
		return more, locked || lock
	case cabinet:
		return cabMembers(l.head), false
	}
	return nil, false
}

// zipMembers reads every local and central header in a stretch of a zip. They are
// looked for by their signature, so that a zip whose directory is out of reach, or
// that is damaged on purpose, still lists what it holds.
func zipMembers(b []byte, list []string) (_ []string, locked bool) {
	seen := map[string]bool{}
	for _, name := range list {
		seen[name] = true
	}
	for at := 0; len(list) < maxMembers; {
		i := bytes.Index(b[at:], []byte("PK"))
		if i < 0 {
			break
		}
		at += i
		h := b[at:]
		at += 2
		var flags, nameLen, nameAt int
		switch {
		case len(h) > 30 && h[2] == 3 && h[3] == 4:
			flags, nameLen, nameAt = int(binary.LittleEndian.Uint16(h[6:])), int(binary.LittleEndian.Uint16(h[26:])), 30
		case len(h) > 46 && h[2] == 1 && h[3] == 2:
			flags, nameLen, nameAt = int(binary.LittleEndian.Uint16(h[8:])), int(binary.LittleEndian.Uint16(h[28:])), 46
		default:
			continue
		}
		if nameLen == 0 || nameLen > 1024 || nameAt+nameLen > len(h) {
			continue
		}
		name := string(h[nameAt : nameAt+nameLen])
		locked = locked || flags&1 != 0
		if !seen[name] {
			seen[name] = true
			list = append(list, name)
		}
		at += nameAt - 2 + nameLen
	}
	return list, locked
}

// cabMembers reads the directory of a cabinet.
func cabMembers(b []byte) []string {
	if len(b) < 36 {
		return nil
	}
	at := int64(binary.LittleEndian.Uint32(b[16:]))
	count := int(binary.LittleEndian.Uint16(b[28:]))
	var list []string
	for range min(count, maxMembers) {
		if at < 36 || at+17 > int64(len(b)) {
			break
		}
		name := b[at+16:]
		end := bytes.IndexByte(name[:min(len(name), 512)], 0)
		if end < 0 {
			break
		}
		list = append(list, string(name[:end]))
		at += 16 + int64(end) + 1
	}
	return list
}

// contents is what the names in an archive say.
type contents struct {
	passwords []string // copies of the password databases, or of the logon service's memory
	mail      []string
	survey    []string // notes of a first look around
}

// hives are the files in which Windows keeps passwords and the key to them.
var hives = map[string]bool{"sam": true, "security": true, "system": true}

// surveys are names that intruders gave to the output of their first commands.
var surveys = map[string]bool{"ip.txt": true, "arp.txt": true, "net.txt": true, "netstat.txt": true, "whoami.txt": true, "ipconfig.txt": true, "tasklist.txt": true, "dc.txt": true}

func read(members []string) contents {
	var c contents
	var keys []string
	for _, m := range members {
		name := strings.ToLower(path.Base(strings.ReplaceAll(m, `\`, "/")))
		stem, _, _ := strings.Cut(name, ".")
		ext := path.Ext(name)
		switch {
		case name == "ntds.dit", strings.HasPrefix(name, "lsass") && (ext == ".dmp" || ext == ".bin" || ext == ".zip"):
			c.passwords = append(c.passwords, m)
		case hives[stem] && (ext == "" || ext == ".hiv" || ext == ".hive" || ext == ".sav" || ext == ".save" || ext == ".dat" || ext == ".bak" || ext == ".reg"):
			keys = append(keys, m)
		case ext == ".pst", ext == ".ost", ext == ".edb":
			c.mail = append(c.mail, m)
		case surveys[name]:
			c.survey = append(c.survey, m)
		}
	}
	// One file called "system" is nothing; two of the three together are what it
	// takes to read passwords.
	if distinct(keys) >= 2 {
		c.passwords = append(c.passwords, keys...)
	}
	return c
}

func distinct(members []string) int {
	seen := map[string]bool{}
	for _, m := range members {
		stem, _, _ := strings.Cut(strings.ToLower(path.Base(strings.ReplaceAll(m, `\`, "/"))), ".")
		seen[stem] = true
	}
	return len(seen)
}
