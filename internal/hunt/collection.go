package hunt

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"path"
	"regexp"
	"strings"

	"postern"
	"postern/internal/hunt/source"
)

// Collectors leave notes beside what they collect. Those that are read here say which
// host a collection is of, for the parts of it that have no log with a name in it, and
// what was stored only in part. What recognises them are their names and what stands in
// them; docs/formats/collections.md has every kind of collection.

// Bounds of notes.
const (
	// maxNote is read of one: lists of a hundred thousand uploads.
	maxNote = 64 << 20
	// maxConsole is read of KAPE's log of what it printed: the machine's name is in its
	// first lines.
	maxConsole = 1 << 20
	// maxNotes bounds the notes that are read: ten for each of a thousand hosts.
	maxNotes = 10_000
	// maxHostName is the longest name that is believed: DNS allows 253 bytes.
	maxHostName = 253
)

// collected is a folder or archive that a collector made, and the host that it says it is of.
type collected struct {
	input int
	dir   string // lower case
	host  string
	rank  int // how plainly its note says so
}

var (
	// consoleLog is what KAPE writes beside the drives that it copies.
	consoleLog = regexp.MustCompile(`(?i)_ConsoleLog\.txt$`)
	// machine is the line of that log with the name.
	machine = regexp.MustCompile(`Machine name: ([^,\s]+),`)
	// proxyLogonReport matches the reports of Microsoft's Test-ProxyLogon.ps1, one of each
	// kind for a host, all in one folder.
	proxyLogonReport = regexp.MustCompile(`(?i)^(.+)-(?:Cve-2021-2(?:6855|6857|6858|7065)|LogAgeDays|other)\.(?:csv|log)$`)
)

// readNote reads a collector's note if a file is one.
func (h *hunt) readNote(input int, f source.File) {
	base := f.Path[strings.LastIndexByte(f.Path, '/')+1:]
	dir := path.Dir(f.Path)
	var read func(io.Reader) string
	rank := 0
	switch {
	case strings.EqualFold(base, "client_info.json"):
		read, rank = hostOfJSON, 3
	case strings.EqualFold(base, "collection_context.json"):
		read, rank = hostOfJSON, 1
	case strings.EqualFold(path.Base(dir), "results") && strings.HasPrefix(base, "Generic.Client.Info"):
		read, rank, dir = hostOfJSON, 2, path.Dir(dir)
	case strings.EqualFold(base, "uploads.json"):
		read = func(r io.Reader) string { h.uploads(input, dir, r); return "" }
	case consoleLog.MatchString(base):
		read, rank = hostOfConsole, 1
	default:
		return
	}
	h.mu.Lock()
	h.notes++
	over := h.notes > maxNotes
	h.mu.Unlock()
	if over || f.Archive {
		return
	}
	r, err := f.Open()
	if err != nil {
		return // told to the problems by the source
	}
	defer r.Close()
	host := read(io.LimitReader(r, maxNote))
	if host == "" || len(host) > maxHostName || strings.ContainsAny(host, "/\\\x00\r\n") {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.collections = append(h.collections, collected{input, above(strings.ToLower(dir)), host, rank})
}

// above gives the folder that stands for the host of what lies in one, as [place] does:
// without the folders that collectors put around drives.
func above(dir string) string {
	for dir != "" && dir != "." {
		up, base := path.Split(dir)
		if !wrapper.MatchString(base) {
			return dir
		}
		dir = strings.TrimSuffix(up, "/")
	}
	return ""
}

// hostOfJSON gives the host's name out of Velociraptor's notes: those of a collector that
// ran by itself, of a server's export, and the first row of its table of the client.
func hostOfJSON(r io.Reader) string {
	var doc struct {
		Hostname, Fqdn string
		OSInfo         struct{ Hostname, Fqdn string } `json:"os_info"`
		ClientInfo     struct{ Hostname, Fqdn string } `json:"client_info"`
	}
	if json.NewDecoder(r).Decode(&doc) != nil { // field names compare without case
		return ""
	}
	for _, name := range []string{doc.Hostname, doc.OSInfo.Hostname, doc.ClientInfo.Hostname, doc.Fqdn, doc.OSInfo.Fqdn, doc.ClientInfo.Fqdn} {
		if name = strings.TrimSpace(name); name != "" {
			return name
		}
	}
	return ""
}

// hostOfConsole gives the name that KAPE prints when it begins.
func hostOfConsole(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(r, maxConsole))
	if m := machine.FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return ""
}

// uploads tells what Velociraptor stored only in part: rows with fewer bytes than the
// file had. Sparse files are stored as their ranges on purpose, with an index beside
// them, and what lies outside of the folders of a web or mail server is none of ours.
func (h *hunt) uploads(input int, dir string, r io.Reader) {
	type row struct {
		Path       string   `json:"vfs_path"`
		Components []string `json:"_Components"`
		Size       int64    `json:"file_size"`
		Stored     int64    `json:"uploaded_size"`
		Type       string
	}
	cut := make(map[string]row)
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		var u row
		if json.Unmarshal(lines.Bytes(), &u) != nil {
			continue
		}
		if u.Type != "" {
			delete(cut, strings.TrimSuffix(u.Path, ".idx"))
		} else if u.Size > u.Stored && len(cut) < maxLosses {
			cut[u.Path] = u
		}
	}
	for _, u := range cut {
		parts := make([]string, len(u.Components))
		for i, c := range u.Components {
			parts[i] = strings.NewReplacer(":", "%3A", `\`, "%5C", "/", "%2F").Replace(c)
		}
		where := path.Join(append([]string{dir}, parts...)...)
		if _, _, known := place(where); !known {
			continue
		}
		h.problem(input, postern.Problem{Path: where, What: postern.Truncated, Detail: postern.Say("hunt.stored-in-part", "stored", u.Stored, "size", u.Size)})
	}
}

// reportPrefix gives the part of the path that stands for the host of a report of
// Test-ProxyLogon, which has the host's name in its own, and that name.
func reportPrefix(p string) (prefix, host string, ok bool) {
	if !namedLog(p) && !strings.EqualFold(path.Ext(p), ".csv") { // asked of every file
		return "", "", false
	}
	m := proxyLogonReport.FindStringSubmatch(path.Base(p))
	if m == nil {
		return "", "", false
	}
	return path.Join(path.Dir(p), m[1]), m[1], true
}

// nameCollections gives each group that no log names the name of the host whose
// collection it is in: the one that the logs of the collection have, if they all have
// the same, and else the one in the collector's note.
func nameCollections(groups []*group, all []collected) {
	logs := make(map[int]map[string]bool) // of each collection
	of := make(map[*group]int)
	for _, g := range groups {
		best := -1
		for i, c := range all {
			if c.input != g.input || !inside(strings.ToLower(g.prefix), c.dir) {
				continue
			}
			if best < 0 || len(c.dir) > len(all[best].dir) || len(c.dir) == len(all[best].dir) &&
				(c.rank > all[best].rank || c.rank == all[best].rank && c.host < all[best].host) {
				best = i
			}
		}
		if best < 0 {
			continue
		}
		of[g] = best
		for _, name := range g.names() {
			if logs[best] == nil {
				logs[best] = make(map[string]bool)
			}
			logs[best][name] = true
		}
	}
	for g, i := range of {
		if g.host != "" {
			continue
		}
		g.host = all[i].host
		if len(logs[i]) == 1 {
			for name := range logs[i] {
				g.host = name
			}
		}
	}
}

// hits is the header of the report of Test-ProxyLogon that has rows of the front end's
// log, without quotes and in lower case.
const hits = "datetime,requestid,clientipaddress,urlhost,urlstem,routinghint,useragent,anchormailbox,httpstatus"

// secondHand says whether the beginning of a file is that of rows which somebody's
// script took out of a log. They have the columns of the log, and a handful of them would
// look as if its hours were covered.
func secondHand(head []byte) bool {
	for line := range bytes.Lines(head[:min(len(head), 4096)]) {
		if bytes.IndexByte(line, 0) >= 0 {
			line = bytes.ReplaceAll(line, []byte{0}, nil)
		}
		line = bytes.TrimLeft(bytes.TrimSpace(line), "\ufeff\ufffd")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		return beginsWithHits(line)
	}
	return false
}

// beginsWithHits says whether a line begins with the columns of hits, whatever the case
// of letters and however they are quoted.
func beginsWithHits(line []byte) bool {
	at := 0
	for _, c := range line {
		switch {
		case c == '"' || c == ' ':
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		if c != hits[at] {
			return false
		}
		if at++; at == len(hits) {
			return true
		}
	}
	return false
}
