package indicator

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"path"
	"strings"
	"time"

	"postern"
	"postern/internal/hunt/detect"
)

// Bounds of files.
const (
	// maxHash is how large a file may be whose size nobody published: no page and no
	// published tool is larger.
	maxHash = 64 << 20
	// maxShown is how many indicators one finding names.
	maxShown = 4
)

// Rule IDs of the findings.
const (
	RuleHash    = "indicator/hash"
	RuleFile    = "indicator/file"
	RuleRow     = "indicator/row"
	RuleRowHash = "indicator/row-hash"
)

// Rules lists what the detector looks for.
func Rules() []postern.Rule {
	return []postern.Rule{
		{ID: RuleHash, Level: postern.Implanted, Confidence: postern.High,
			Title: postern.Say("indicator.hash.title"), Means: postern.Say("indicator.hash.means")},
		{ID: RuleFile, Level: postern.Probed, Confidence: postern.Low,
			Title: postern.Say("indicator.file.title"), Means: postern.Say("indicator.file.means")},
		{ID: RuleRow, Level: postern.NotSeen, Confidence: postern.Low,
			Title: postern.Say("indicator.row.title"), Means: postern.Say("indicator.row.means")},
		{ID: RuleRowHash, Level: postern.Implanted, Confidence: postern.High,
			Title: postern.Say("indicator.row-hash.title"), Means: postern.Say("indicator.row-hash.means")},
	}
}

// Tags that findings carry.
const (
	tagShellFile = "shell-file" // as in correlate: a file that is or was a back door
	tagListed    = "listed"     // as in correlate: a file that is no page, of which only a list says what it is
	tagFileTime  = "file-time"  // the time is that of a file, which anybody can set
	tagIndicator = "indicator"
)

// Names of entities beside those that every room knows.
const (
	entityIndicator = "indicator" // the value
	entityID        = "indicator_id"
	entityRow       = "last_seen"
)

// Files is what the detector of files is told beside the set.
type Files struct {
	// Folders are those in which programs are compared with the packs' own hashes: where
	// intruders leave things. Lower case with '/', as a [detect.File] names its place.
	Folders []string
	// All takes the hash of every file, wherever it lies and however large it is.
	All bool
	Now time.Time
}

// Detector compares files. It does not change once made.
//
// A file's hash is compared if one of these holds: all hashes are taken; its size is one
// that a feed states for a hash; or it has at most maxHash and is a page, or a program
// in or right below one of the folders or among what ASP.NET compiled; or, where a feed of
// the user's has hashes, it has at most maxHash and lies outside of the folders of Windows and of installed programs, of which a server has
// hundreds of thousands, nearly all of them the maker's own. Names and paths of feeds
// are compared with those of every file. Those of packs are not: other detectors know
// which of them the product uses too.
type Detector struct {
	set    *Set
	k      Files
	hashes bool // there are some
	asked  bool // of feeds
	names  bool
	paths  bool
}

// NewDetector makes the detector of files.
func NewDetector(s *Set, k Files) *Detector {
	d := &Detector{set: s, k: k}
	for kind := kindSHA256; kind <= kindMD5; kind++ {
		d.hashes = d.hashes || s.count[kind] > 0
		d.asked = d.asked || s.asked[kind] > 0
	}
	d.names, d.paths = s.asked[kindName] > 0, s.asked[kindPath] > 0
	return d
}

// Wants answers by name, place and size whether Look is worth opening the file.
func (d *Detector) Wants(f *detect.File) bool {
	return d.hashed(f) || d.named(f, nil)
}

// programs and pages are files whose hashes are published.
var (
	programs = set(".exe .dll .ps1 .bat .cmd .vbs .tlb .sys .scr .hta")
	pages    = set(".aspx .ashx .asmx .asax .ascx .asp .cshtml .soap .php .jsp .jspx")
)

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// makers are folders that are full of files of Windows and of installed programs, and
// others below them in which anybody can leave something.
var (
	makers = []string{"windows/", "program files/", "program files (x86)/", "programdata/microsoft/", "programdata/package cache/"}
	openIn = []string{"windows/temp/", "windows/tasks/", "windows/debug/", "windows/tracing/", "windows/system32/tasks/", "windows/system32/inetsrv/"}
)

// hashed says whether the hash of a file is compared.
func (d *Detector) hashed(f *detect.File) bool {
	switch {
	case !d.hashes || f.Size == 0:
		return false
	case d.k.All || f.Size > 0 && d.set.sizes[f.Size]:
		return true
	case f.Size > maxHash:
		return false
	}
	server := f.Server
	ext := path.Ext(server)
	if pages[ext] {
		return true
	}
	compiled := strings.Contains(server, "/temporary asp.net files/")
	if programs[ext] && (compiled || d.near(server)) {
		return true
	}
	return d.asked && (compiled || !begins(server, makers) || begins(server, openIn))
}

// near says whether a path lies in one of the folders or in one right below it: deeper
// down, vendors keep gigabytes.
func (d *Detector) near(server string) bool {
	for _, folder := range d.k.Folders {
		if rest, ok := strings.CutPrefix(server, folder); ok && strings.HasPrefix(rest, "/") && strings.Count(rest, "/") <= 2 {
			return true
		}
	}
	return false
}

func begins(s string, list []string) bool {
	for _, p := range list {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// named says whether a feed has the name or the path of a file, or a folder that it
// lies in. Visit, if not nil, is given the entries.
func (d *Detector) named(f *detect.File, visit func(number uint32)) bool {
	if !d.names && !d.paths && len(d.set.scans) == 0 {
		return false
	}
	var buf [512]byte
	server := append(buf[:0], f.Server...)
	slash := strings.LastIndexByte(f.Server, '/')
	found := false
	look := func(k kind, key []byte) {
		if n := d.set.find(k, key); n != 0 {
			found = true
			if visit != nil {
				visit(n)
			}
		}
	}
	if d.names {
		look(kindName, server[slash+1:])
	}
	if d.paths {
		look(kindPath, server)
		for i := slash; i > 0; i = strings.LastIndexByte(f.Server[:i], '/') {
			look(kindPath, server[:i+1])
		}
	}
	for _, n := range d.set.scans {
		if d.scanned(f, n, visit != nil) {
			found = true
			if visit != nil {
				visit(n)
			}
		}
	}
	return found
}

// scanned says whether what every file is asked holds for this one: its name and place
// first, and the hash that it must not have only where the file may be opened.
func (d *Detector) scanned(f *detect.File, number uint32, open bool) bool {
	all := d.set.and[d.set.entries[number-1].and-1]
	for i := range all {
		if all[i].kind > kindMD5 && !(&look{d: d, f: f}).holds(all[i:i+1]) {
			return false
		}
	}
	return !open || (&look{d: d, f: f}).holds(all)
}

// Look compares a file.
func (d *Detector) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	l := &look{d: d, f: f}
	var problems []postern.Problem
	if d.hashed(f) {
		whole, err := l.hash()
		if err != nil {
			return nil, nil, err
		}
		if !whole {
			problems = append(problems, postern.Problem{Path: f.Path, What: postern.Limit, Detail: postern.Say("indicator.large", "bound", maxHash>>20)})
		}
	}
	var hits []uint32
	for k := kindSHA256; k <= kindMD5; k++ {
		if l.sums[k] == nil {
			continue
		}
		if n := d.set.find(k, l.sums[k]); n != 0 {
			hits = l.holding(hits, n)
		}
	}
	if len(hits) > 0 {
		return []postern.Finding{l.byHash(hits)}, problems, nil
	}
	d.named(f, func(n uint32) { hits = l.holding(hits, n) })
	if len(hits) > 0 {
		return []postern.Finding{l.byName(hits)}, problems, nil
	}
	return nil, problems, nil
}

// look is one file being looked at.
type look struct {
	d    *Detector
	f    *detect.File
	sums [kindMD5 + 1][]byte
}

// hash takes the hashes that something is compared with. Whole is false if the file
// goes on behind the bound: then there are none.
func (l *look) hash() (whole bool, err error) {
	var hashes [kindMD5 + 1]hash.Hash
	hashes[kindSHA256] = sha256.New() // findings carry it
	if l.d.set.algos[kindSHA1] {
		hashes[kindSHA1] = sha1.New()
	}
	if l.d.set.algos[kindMD5] {
		hashes[kindMD5] = md5.New()
	}
	var all []io.Writer
	for _, h := range hashes {
		if h != nil {
			all = append(all, h)
		}
	}
	bound := int64(maxHash)
	if l.d.k.All || l.d.set.sizes[l.f.Size] {
		bound = 1 << 62
	}
	n, err := l.copyTo(io.MultiWriter(all...), bound)
	if err != nil {
		return false, err
	}
	if n == bound {
		return false, nil
	}
	for k, h := range hashes {
		if h != nil {
			l.sums[k] = h.Sum(nil)
		}
	}
	return true, nil
}

// copyTo writes the file, as far as the bound, to w and gives how many bytes it wrote.
func (l *look) copyTo(w io.Writer, bound int64) (int64, error) {
	if whole := l.f.Whole; whole != nil {
		n, err := w.Write(whole[:min(int64(len(whole)), bound)])
		return int64(n), err
	}
	r, err := l.f.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(w, io.LimitReader(r, bound))
}

// holding adds the entries of a key that hold for the file: in force, in their place,
// and with everything that must hold besides.
func (l *look) holding(hits []uint32, first uint32) []uint32 {
	s := l.d.set
	for n := first; n != 0; n = s.entries[n-1].next {
		e := &s.entries[n-1]
		if e.until != 0 && e.until <= l.d.k.Now.Unix() {
			continue // a file has no time that could be before it
		}
		o := &s.origins[e.origin]
		if e.kind >= kindName && !o.feed {
			continue
		}
		if e.place && !strings.HasSuffix("/"+path.Dir(l.f.Server), "/"+o.place) {
			continue
		}
		if e.and != 0 && !l.holds(s.and[e.and-1]) {
			continue
		}
		hits = append(hits, n)
	}
	return hits
}

func (l *look) holds(all []condition) bool {
	for _, c := range all {
		switch {
		case c.kind == kindSize:
			if l.f.Size != c.size {
				return false
			}
		case c.test != nil && c.kind > kindMD5:
			if !c.holdsFile(l.f.Server) {
				return false
			}
		case c.kind <= kindMD5:
			if l.sums[c.kind] == nil {
				if whole, err := l.hash(); err != nil || !whole {
					return false
				}
			}
			if c.test != nil && !c.test.holds(c.kind, string(l.sums[c.kind])) || c.test == nil && string(l.sums[c.kind]) != c.key {
				return false
			}
		case c.kind == kindName:
			if path.Base(l.f.Server) != c.key {
				return false
			}
		case c.kind == kindPath:
			if rest, ok := strings.CutPrefix(l.f.Server, c.key); !ok || rest != "" && !strings.HasSuffix(c.key, "/") {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// finding begins a finding with what all have.
func (l *look) finding(rule string, hits []uint32) postern.Finding {
	s := l.d.set
	at := postern.Evidence{Path: l.f.Path}
	if sum := l.sums[kindSHA256]; sum != nil {
		at.SHA256 = hex.EncodeToString(sum)
	}
	f := postern.Finding{Rule: rule, Time: l.f.ModTime, Evidence: []postern.Evidence{at}, ID: postern.FindingID(rule, at), Tags: []string{tagIndicator}}
	if !f.Time.IsZero() {
		f.Tags = append(f.Tags, tagFileTime)
	}
	f.Set(postern.File, l.f.Server)
	f.Set(postern.FileSHA256, at.SHA256)
	s.describe(&f, hits)
	return f
}

// describe says which indicators a finding rests on.
func (s *Set) describe(f *postern.Finding, hits []uint32) {
	for i, n := range hits {
		e := &s.entries[n-1]
		a := s.about(e)
		if i == 0 {
			f.Set(entityIndicator, s.shown(e))
			f.Set(entityID, a.ID)
		}
		if i == maxShown {
			f.Explain = append(f.Explain, postern.Say("indicator.more", "count", len(hits)-maxShown))
			break
		}
		f.Explain = append(f.Explain, s.said(e, a))
		if tag := "tlp:" + a.TLP.String(); a.TLP != Unmarked && !f.HasTag(tag) {
			f.Tags = append(f.Tags, tag)
		}
	}
}

// said is the sentence about one indicator.
func (s *Set) said(e *entry, a About) postern.Text {
	args := []any{"kind", string(kindNames[e.kind]), "value", s.shown(e), "source", a.Source, "note", a.Note}
	tlp := a.TLP
	switch {
	case tlp > Clear && a.Note != "":
		return postern.Say("indicator.by-note-tlp", append(args, "tlp", "TLP:"+strings.ToUpper(tlp.String()))...)
	case tlp > Clear:
		return postern.Say("indicator.by-tlp", append(args, "tlp", "TLP:"+strings.ToUpper(tlp.String()))...)
	case a.Note != "":
		return postern.Say("indicator.by-note", args...)
	}
	return postern.Say("indicator.by", args...)
}

// shown gives the value of an indicator for people and machines.
func (s *Set) shown(e *entry) string {
	key := s.keyOf(e)
	switch e.kind {
	case kindSHA256, kindSHA1, kindMD5:
		return hex.EncodeToString(key)
	case kindAddress:
		if isNetwork(key) {
			return network(key).String()
		}
		addr := network(append(append([]byte(nil), key...), 0)).Addr()
		return addr.String()
	}
	return string(key)
}

// byHash judges a file with a published hash.
func (l *look) byHash(hits []uint32) postern.Finding {
	f := l.finding(RuleHash, hits)
	e := &l.d.set.entries[hits[0]-1]
	a := l.d.set.about(e)
	f.Title, f.Campaign = postern.Say("indicator.hash.title"), a.Campaign
	f.Level, f.Confidence = judge(a.Note)
	switch {
	case f.Confidence < postern.High:
		f.Explain = append(f.Explain, postern.Say("indicator.public-tool"))
	case f.Level == postern.PostExploitation:
		f.Explain = append(f.Explain, postern.Say("indicator.after"))
	case f.Level == postern.Used:
		f.Explain = append(f.Explain, postern.Say("indicator.compiled"))
	}
	switch {
	case f.Level == postern.PostExploitation:
	case served(l.f.Server):
		f.Tags = append(f.Tags, tagShellFile)
	default:
		if f.Level == postern.Implanted {
			f.Tags = append(f.Tags, tagListed)
		}
		f.Explain = append(f.Explain, postern.Say("indicator.no-page"))
	}
	return f
}

// served says whether a file is a page, or lies where a web server takes or compiles
// them: what is listed there is a back door, and elsewhere may be any tool.
func served(server string) bool {
	return pages[path.Ext(server)] || strings.Contains(server, "/temporary asp.net files/") ||
		strings.HasPrefix(server, "frontend/httpproxy/") || strings.HasPrefix(server, "inetpub/wwwroot/")
}

// judge reads off the note of a hash what the file is for.
func judge(note string) (postern.Level, postern.Confidence) {
	note = strings.ToLower(note)
	confidence := postern.High
	if strings.Contains(note, "public tool") {
		confidence = postern.Medium
	}
	for _, word := range [...]string{"ransom", "mimika", "dumper", "password", "credential", "lsass", "cobalt", "miner"} {
		if strings.Contains(note, word) {
			return postern.PostExploitation, confidence
		}
	}
	if strings.Contains(note, "app_web") || strings.Contains(note, "compiled") {
		return postern.Used, confidence
	}
	return postern.Implanted, confidence
}

// byName says that a file has a published name or lies at a published path. That is
// worth a look and decides nothing, so that it belongs to no campaign.
func (l *look) byName(hits []uint32) postern.Finding {
	f := l.finding(RuleFile, hits)
	f.Title, f.Level, f.Confidence = postern.Say("indicator.file.title"), postern.Probed, postern.Low
	f.Explain = append(f.Explain, postern.Say("indicator.weak"))
	return f
}
