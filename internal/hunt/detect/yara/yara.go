// Package yara evaluates YARA rules on files. Input: files and folders of rules in
// YARA's language, as responders bring them, and those of packs; then one file of
// the evidence at a time. Output: a finding for each rule that matches, with the
// places of its strings; and, on loading, which rules are not supported and why. A
// rule that needs what is not here is never silently false.
//
// The language is that of the YARA manual (https://yara.readthedocs.io, "Writing
// YARA rules"); where it is silent, libyara 4.2.3 decides, except that "for none"
// means what the manual says. Rules are parsed by VirusTotal/gyp, strings are looked
// for by the package pattern in one pass for all rules, and modules are in the
// package module. Offsets and sizes are bytes.
//
//	rules ─▶ split ─▶ parse ─▶ compile ─▶ Rules ─▶ guards ─▶ strings ─▶ conditions ─▶ findings
package yara

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/yara/pattern"
)

// Bounds of one file.
const (
	// maxRead is how much of a file is looked at, its beginning. Web shells have
	// kilobytes, tools some megabytes; what is larger is said.
	maxRead = 32 << 20
	// headSize is read before anything else: the guards of most rules are settled
	// by it, and a file that no rule is left for is read no further.
	headSize = 64 << 10
	// maxTime bounds a file together with the steps of pattern and of conditions,
	// which alone would be the same on every machine.
	maxTime = 20 * time.Second
	// maxFindings of one file: a file that matches more rules is a file of rules.
	maxFindings = 200
	// maxPlaces is how many strings of a rule a finding shows, the first place of each.
	maxPlaces = 5
	// maxExcerpt is how many bytes of a string it shows.
	maxExcerpt = 120
)

// TagFileTime says that a finding's time is the file's own.
const TagFileTime = "file-time"

// Options is what a detector is told beside its rules.
type Options struct {
	// Level maps what a rule says about itself, and where the file lies, to a level and a confidence. A rule
	// that says them itself (postern_level, postern_confidence) is not asked about.
	Level func(Meta, *detect.File) (postern.Level, postern.Confidence)
	// Owner gives the account that owns a file, for rules that ask; nil or "" is
	// unknown.
	Owner func(*detect.File) string
	// Logs says that the rules may be about logs too.
	Logs bool
}

// Detector looks at files with a set of rules. It does not change once made.
type Detector struct {
	rules   *Rules
	opt     Options
	scratch detect.Spares[scratch]
	large   chan []byte // buffers for larger files, to be used again
}

// New makes a detector.
func New(rules *Rules, opt Options) *Detector {
	return &Detector{rules: rules, opt: opt, large: make(chan []byte, keptLarge)}
}

// Wants answers for every file: most rules judge by content.
func (d *Detector) Wants(*detect.File) bool { return len(d.rules.rules) > 0 }

// WantsLogs says whether logs are looked at as other files are.
func (d *Detector) WantsLogs() bool { return d.opt.Logs }

// Look reads the file, within its bounds, and evaluates the rules.
func (d *Detector) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	s := d.scratch.Take()
	if s == nil {
		s = d.rules.newScratch()
	}
	defer d.release(s)
	ctx := &s.deadline
	*ctx = deadline{context.Background(), time.Now().Add(maxTime)}
	in := input{size: f.Size}
	in.external, in.known = d.externals(f)
	if err := d.read(ctx, f, s, &in); err != nil || in.data == nil {
		return nil, nil, err
	}
	in.external[externalType] = fileType(in.data)
	if d.rules.begin(ctx, s, &in); !d.rules.anySurvives(s) {
		return nil, nil, nil
	}
	out := d.rules.scanBegun(ctx, s)
	return d.findings(f, s, &in, &out), d.problems(f, &in, &out), nil
}

// deadline is a context that has ended after a time, for those that ask now and then
// whether it has. It needs no timer, which costs as much as the search of a small file.
type deadline struct {
	context.Context
	end time.Time
}

func (d *deadline) Err() error {
	if time.Now().After(d.end) {
		return context.DeadlineExceeded
	}
	return nil
}

const (
	// keptBuffer is how large a buffer may be to be kept for the next file.
	keptBuffer = 1 << 20
	// keptLarge is how many of largeBuffer are kept for the few larger files: the system
	// takes longer to hand over new memory than to read a file into it.
	keptLarge   = 2
	largeBuffer = 4 << 20
)

// release gives a scratch back; it holds on to no file.
func (d *Detector) release(s *scratch) {
	s.m.data = nil
	if cap(s.buffer) == largeBuffer {
		select {
		case d.large <- s.buffer:
		default:
		}
	}
	if cap(s.buffer) > keptBuffer {
		s.buffer = nil
	}
	d.scratch.Put(s)
}

// read reads the file into the scratch; data is nil if no rule is left after its
// beginning.
func (d *Detector) read(ctx context.Context, f *detect.File, s *scratch, in *input) error {
	if f.Whole != nil && len(f.Whole) <= maxRead {
		in.data, in.size = f.Whole, int64(len(f.Whole))
		return nil
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if cap(s.buffer) < headSize+1 {
		s.buffer = make([]byte, headSize+1, 4*headSize)
	}
	b := s.buffer[:headSize+1]
	n, err := io.ReadFull(r, b)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		in.data, in.size = b[:n], int64(n)
		return nil
	case err != nil:
		return err
	}
	in.size = max(in.size, int64(n))
	in.data = b
	in.external[externalType] = fileType(b)
	d.rules.begin(ctx, s, in)
	if in.size > int64(n) && !d.rules.anySurvives(s) {
		in.data = nil
		return nil
	}
	return d.readRest(r, s, in, n)
}

// readRest reads what follows the beginning.
func (d *Detector) readRest(r io.Reader, s *scratch, in *input, n int) error {
	want := int(min(in.size, maxRead))
	for {
		if n == cap(s.buffer) || cap(s.buffer) < want {
			grown := d.grown(max(2*cap(s.buffer), want+1))
			copy(grown, s.buffer[:n])
			s.buffer = grown
		}
		got, err := r.Read(s.buffer[n:cap(s.buffer)])
		n += got
		switch {
		case n > maxRead:
			in.data = s.buffer[:maxRead]
			in.size = max(in.size, int64(n))
			return nil
		case errors.Is(err, io.EOF):
			in.data, in.size = s.buffer[:n], int64(n)
			return nil
		case err != nil:
			return err
		}
	}
}

// grown gives a buffer of some size at least, as far as the bound of a file allows.
func (d *Detector) grown(size int) []byte {
	if size <= keptBuffer || size > largeBuffer {
		return make([]byte, min(size, maxRead+1))
	}
	select {
	case b := <-d.large:
		return b
	default:
		return make([]byte, largeBuffer)
	}
}

// problems says what of the file was not looked at.
func (d *Detector) problems(f *detect.File, in *input, out *result) []postern.Problem {
	var all []postern.Problem
	say := func(why postern.Text) {
		all = append(all, postern.Problem{Path: f.Path, What: postern.Limit, Detail: why})
	}
	switch {
	case in.size > int64(len(in.data)) && f.Log:
		say(postern.Say("yara.cut-log", "read", len(in.data), "size", in.size))
	case in.size > int64(len(in.data)):
		say(postern.Say("yara.cut", "read", len(in.data), "size", in.size))
	}
	if out.budget {
		say(postern.Say("yara.budget"))
	}
	switch {
	case out.timeout:
		say(postern.Say("yara.timeout", "seconds", int(maxTime.Seconds())))
	case len(out.over) > 0:
		say(postern.Say("yara.over", "count", len(out.over), "rule", d.rules.rules[out.over[0]].meta.Rule))
	}
	if len(out.cut) > 0 {
		first := out.cut[0]
		r := d.rules.rules[first.rule]
		say(postern.Say("yara.places", "count", len(out.cut), "string", cmp.Or(r.names[slices.Index(r.strings, first.id)], "$"), "rule", r.meta.Rule))
	}
	if len(out.matched) > maxFindings {
		say(postern.Say("yara.many", "count", len(out.matched), "max", maxFindings))
	}
	return all
}

// findings makes a finding of each rule that matched.
func (d *Detector) findings(f *detect.File, s *scratch, in *input, out *result) []postern.Finding {
	if len(out.matched) == 0 {
		return nil
	}
	var sum string
	if in.size == int64(len(in.data)) {
		h := sha256.Sum256(in.data)
		sum = hex.EncodeToString(h[:])
	}
	var all []postern.Finding
	seen := make(map[string]bool)
	for _, i := range out.matched[:min(len(out.matched), maxFindings)] {
		r := d.rules.rules[i]
		found := d.finding(f, r)
		if seen[found.Rule] { // the same rule from two collections
			continue
		}
		seen[found.Rule] = true
		found.Evidence = places(f, r, s, in.data, sum)
		found.ID = postern.FindingID(found.Rule, found.Evidence[0])
		if found.Time = f.ModTime; !found.Time.IsZero() {
			found.Tags = append(found.Tags, TagFileTime)
		}
		found.Set(postern.File, f.Server)
		found.Set(postern.FileSHA256, sum)
		all = append(all, found)
	}
	return all
}

// finding is what a match of a rule in a file is worth.
func (d *Detector) finding(f *detect.File, r *rule) postern.Finding {
	m := &r.meta
	found := postern.Finding{Rule: "yara/" + m.ID, Title: postern.Say("yara.title", "rule", m.Rule)}
	description := m.Get("description", "desc", "info")
	if description != "" {
		found.Explain = append(found.Explain, postern.Verbatim(description))
	}
	if r.pack != nil {
		found.Rule, found.Campaign, found.Title = r.pack.ID, r.pack.Campaign, r.pack.Title
		found.Level, found.Confidence = r.pack.Level, r.pack.Confidence
		found.CVE = r.pack.CVE
		found.Tags = append(found.Tags, r.pack.Tags...)
		found.Explain = nil
		if !r.pack.Means.IsZero() {
			found.Explain = []postern.Text{r.pack.Means}
		}
	} else {
		found.Level, found.Confidence = d.level(f, m)
		// Anybody can write into a log what a rule about files looks for.
		if _, own := levelOf(m); !own && f.Log {
			found.Lower(postern.Probed, postern.Say("yara.in-log"))
		}
		found.Tags = append(found.Tags, m.Tags...)
		found.CVE = cves(m)
		found.Explain = append(found.Explain, postern.Say("yara.level", "file", m.File, "line", m.Line))
	}
	found.Set("rule_author", m.Get("author", "authors"))
	found.Set("rule_reference", m.Get("reference", "references", "ref", "url", "link"))
	found.Set("rule_licence", m.Get("license", "licence"))
	found.Set("rule_score", m.Get("score", "threat_score"))
	return found
}

// levelOf gives the level that a rule says it has.
func levelOf(m *Meta) (postern.Level, bool) {
	l, err := postern.ParseLevel(strings.ToLower(m.Get(ownLevel)))
	return l, err == nil
}

// level asks the rule itself, then the map.
func (d *Detector) level(f *detect.File, m *Meta) (postern.Level, postern.Confidence) {
	level, confidence := postern.Probed, postern.Low
	if d.opt.Level != nil {
		level, confidence = d.opt.Level(*m, f)
	}
	if own, ok := levelOf(m); ok {
		level = own
	}
	if c, err := postern.ParseConfidence(strings.ToLower(m.Get(ownConfidence))); err == nil {
		confidence = c
	}
	return level, confidence
}

// cves takes the CVE numbers that a rule names in its tags and under "cve".
func cves(m *Meta) []string {
	var all []string
	for _, s := range append(m.All("cve"), m.Tags...) {
		s = strings.ToUpper(strings.ReplaceAll(s, "_", "-"))
		if strings.HasPrefix(s, "CVE-") && len(s) < 20 {
			all = append(all, s)
		}
	}
	return all
}

// places gives the first place of each of a rule's first strings; the file itself
// if the rule matched without any.
func places(f *detect.File, r *rule, s *scratch, data []byte, sum string) []postern.Evidence {
	var all []postern.Evidence
	isText := bytes.IndexByte(data[:min(len(data), 1024)], 0) < 0
	for i, id := range r.strings {
		if id < 0 || r.names[i] == "" || len(all) == maxPlaces {
			continue
		}
		found := s.matches.Of(id)
		if len(found) == 0 {
			continue
		}
		at := found[0]
		e := postern.Evidence{Path: f.Path, Offset: int64(at.Offset), SHA256: sum, Excerpt: r.names[i] + ": " + excerpt(data, at)}
		if isText {
			e.Line = 1 + int64(bytes.Count(data[:at.Offset], []byte("\n")))
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		all = []postern.Evidence{{Path: f.Path, SHA256: sum}}
	}
	return all
}

// excerpt shows the bytes of a match: as text if it is, else in hexadecimal.
func excerpt(data []byte, at pattern.Match) string {
	b := data[at.Offset:min(at.Offset+min(int(at.Length), maxExcerpt), len(data))]
	wide := make([]byte, 0, len(b)/2)
	for i, c := range b {
		printable := c >= 0x20 && c < 0x7f || c == '\t' || c == '\n' || c == '\r'
		switch {
		case printable && i%2 == 0:
			wide = append(wide, c)
		case c == 0 && i%2 == 1:
		default:
			wide = nil
		}
		if wide == nil {
			break
		}
	}
	if len(wide) > 0 && len(b) > 1 && len(wide) == (len(b)+1)/2 {
		return string(wide)
	}
	for _, c := range b {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c >= 0x7f {
			return hex.EncodeToString(b)
		}
	}
	return string(b)
}

// Places of external variables in the list.
const (
	externalName = iota
	externalPath
	externalExtension
	externalType
	externalOwner
)

// externals gives what rules may ask of a file beside its content, in the form in
// which LOKI and THOR give it: the path with the separators of its system, the
// extension in lower case with its dot.
func (d *Detector) externals(f *detect.File) (v [5]string, known [5]bool) {
	full := strings.ReplaceAll(f.Path, `\`, "/")
	v[externalName] = path.Base(full)
	v[externalExtension] = strings.ToLower(path.Ext(full))
	v[externalPath] = serverPath(full, f.Server)
	for i := range v {
		known[i] = true
	}
	if d.opt.Owner != nil {
		v[externalOwner] = d.opt.Owner(f)
	}
	known[externalOwner] = v[externalOwner] != ""
	return v, known
}

// unixRoots are folders by which a path shows that its system is no Windows.
var unixRoots = []string{"etc/", "usr/", "var/", "home/", "opt/", "root/", "tmp/", "srv/", "bin/", "sbin/", "lib/", "run/", "dev/", "boot/", "mnt/", "proc/"}

// serverPath is the place on the server, in the case of the evidence where that has
// it. The drive is not known.
func serverPath(full, server string) string {
	if server == "" {
		server = full
	} else if at := len(full) - len(server); at >= 0 && strings.EqualFold(full[at:], server) {
		server = full[at:]
	}
	server = "/" + strings.TrimPrefix(server, "/")
	for _, root := range unixRoots {
		if strings.HasPrefix(server[1:], root) {
			return server
		}
	}
	return strings.ReplaceAll(server, "/", `\`)
}

// magic is what a file is by its first bytes, in the words that rules use.
var magic = []struct{ begin, name string }{
	{"MZ", "EXE"}, {"\x7fELF", "ELF"}, {"%PDF", "PDF"}, {"PK\x03\x04", "ZIP"}, {"Rar!", "RAR"}, {"7z\xbc\xaf", "7Z"},
	{"GIF8", "GIF"}, {"\xff\xd8\xff", "JPG"}, {"\x89PNG", "PNG"}, {`{\rtf`, "RTF"}, {"MDMP", "MDMP"}, {"MSCF", "CAB"},
	{"\xcf\xfa\xed\xfe", "MACH-O"}, {"\xce\xfa\xed\xfe", "MACH-O"}, {"\xd0\xcf\x11\xe0", "OLE"}, {"L\x00\x00\x00\x01\x14\x02\x00", "LNK"},
	{"<?php", "PHP"}, {"regf", "REGF"},
}

func fileType(data []byte) string {
	for _, m := range magic {
		if len(data) >= len(m.begin) && string(data[:len(m.begin)]) == m.begin {
			return m.name
		}
	}
	return ""
}
