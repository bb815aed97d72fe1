package source

import (
	"path"
	"strconv"
	"strings"
	"time"

	"postern"
)

// member is one file of an archive. There may be half a million of them.
type member struct {
	name     string
	size     int64 // as the archive says it; unknownSize if it does not
	grant    int64 // how much of it the allowance pays for
	offset   int64 // where the format finds it
	packed   int64 // packed size, or what the format needs
	modified int64 // nanoseconds since 1970; 0 is unknown
	crc      uint32
	method   uint16
	flags    memberFlags
}

const unknownSize = -1

type memberFlags uint16

const (
	hasCRC memberFlags = 1 << iota
	localTime
	encrypted
	aes128 // the three key lengths of WinZip
	aes192
	aes256
	noChecksum // AE-2: the authentication code stands for the CRC
	sparse
	free      // costs nothing: bytes of a file that is already paid for
	paidFirst // can be read as far as the allowance pays when the archive is opened, and no further
)

// index is the list of an archive's members under safe, unique names.
type index struct {
	e       *Evidence
	outer   string // path of the archive file, for problems
	account *allowance

	members []member
	// names finds a member by its name; folders have the number folderNo.
	names     map[string]int32
	nameBytes int
	taken     int64
	unpaid    int // members that the allowance did not pay for, or in part

	suffix map[string]int    // the next free ~2, ~3 … of a name
	alias  map[string]string // folders whose name a file had already
}

const folderNo = -1

func newIndex(e *Evidence, outer string, account *allowance) *index {
	return &index{e: e, outer: outer, account: account, names: make(map[string]int32)}
}

// add puts a member into the list under a safe form of its name. It answers
// false when the archive may have no more members.
//
// The allowance pays for the member, but not for more than most, which is what its
// packed bytes can become: an archive must not use up what belongs to others by saying
// that it has much. What is not paid for is tried again when the member is read, since
// others may have turned out shorter by then.
func (x *index) add(raw string, m member, most int64) bool {
	name, ok := x.accept(raw)
	if !ok {
		return false
	}
	m.name = x.place(name)
	if m.flags&free != 0 {
		m.grant = m.size
	} else if claim := x.account.claimed(memberOf{x.outer, m.name}, max(min(m.size, most), 0)); claim > 0 {
		m.grant = x.pay(claim)
		if m.grant < claim {
			x.unpaid++
		}
		if m.grant == 0 && m.flags&paidFirst != 0 {
			return true
		}
	}
	if m.name != name {
		x.e.problem(x.outer, postern.Malformed, postern.Say("source.name-twice", "name", printable(name), "as", printable(m.name)))
	}
	x.names[m.name] = int32(len(x.members))
	x.members = append(x.members, m)
	return true
}

// pay takes from the allowance.
func (x *index) pay(n int64) int64 {
	n = x.account.take(n)
	x.taken += n
	return n
}

// addFolder notes a folder, which need not have a file in it.
func (x *index) addFolder(raw string) bool {
	if strings.Trim(raw, `./\`) == "" { // tar's "./"
		return true
	}
	name, ok := x.accept(raw)
	if ok {
		x.folder(name)
	}
	return ok
}

// accept checks the bounds and makes the name safe.
func (x *index) accept(raw string) (string, bool) {
	l := &x.e.limits
	name, f := safeName(raw, *l)
	x.nameBytes += len(name)
	if len(x.names) >= l.Members {
		x.e.problem(x.outer, postern.Limit, postern.Say("source.members", "limit", l.Members))
		return "", false
	}
	if x.nameBytes > l.NameBytes {
		x.e.problem(x.outer, postern.Limit, postern.Say("source.name-bytes", "limit", l.NameBytes))
		return "", false
	}
	switch f {
	case unsafe:
		x.e.problem(x.outer, postern.Malformed, postern.Say("source.name-unsafe", "name", printable(raw), "as", printable(name)))
	case tooDeep:
		x.e.problem(x.outer, postern.Limit, postern.Say("source.name-deep", "name", printable(raw), "as", printable(name), "limit", l.PathDepth))
	case tooLong:
		x.e.problem(x.outer, postern.Limit, postern.Say("source.name-long", "name", printable(raw), "as", printable(name), "limit", l.NameLength))
	}
	return name, true
}

// place gives a name that nobody has: its folders are folders, and it is new.
func (x *index) place(name string) string {
	if dir := path.Dir(name); dir != "." {
		if no, ok := x.names[dir]; !ok || no != folderNo {
			name = x.folder(dir) + name[len(dir):]
		}
	}
	if _, taken := x.names[name]; !taken {
		return name
	}
	return x.numbered(name, func(string) bool { return false })
}

// folder makes a folder and those above it, and gives the name that it got.
func (x *index) folder(name string) string {
	whole := name
	for end := 0; end < len(whole); end++ {
		next := strings.IndexByte(whole[end:], '/')
		if next < 0 {
			end = len(whole)
		} else {
			end += next
		}
		part := whole[:end]
		no, ok := x.names[part]
		switch {
		case !ok:
			x.names[part] = folderNo
		case no != folderNo:
			other := x.alias[part]
			if other == "" {
				other = x.numbered(part, func(s string) bool { return x.names[s] == folderNo })
				x.names[other] = folderNo
				if x.alias == nil {
					x.alias = make(map[string]string)
				}
				x.alias[part] = other
			}
			whole = other + whole[end:]
			end = len(other)
		}
	}
	return whole
}

// numbered appends ~2, ~3 … until the name is free, or taken in a way that will do.
func (x *index) numbered(name string, willDo func(string) bool) string {
	if x.suffix == nil {
		x.suffix = make(map[string]int)
	}
	for n := max(x.suffix[name], 2); ; n++ {
		other := name + "~" + strconv.Itoa(n)
		if _, taken := x.names[other]; !taken || willDo(other) {
			x.suffix[name] = n + 1
			return other
		}
	}
}

// finish tells what the allowance did not pay for and drops what only building needs.
func (x *index) finish() {
	if x.unpaid > 0 {
		x.e.problem(x.outer, postern.Limit, postern.Say("source.allowance", "count", x.unpaid))
	}
	x.suffix, x.alias = nil, nil
}

// times puts a time into a member; the zero time is unknown.
func (m *member) setTime(t time.Time) {
	if y := t.Year(); !t.IsZero() && y > 1679 && y < 2262 { // what fits into nanoseconds
		m.modified = t.UnixNano()
	}
}

func (m *member) time() time.Time {
	if m.modified == 0 {
		return time.Time{}
	}
	return time.Unix(0, m.modified).UTC()
}
