package staging

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strings"

	"postern"
)

// IDs of the rules.
const (
	RuleArchive    = "files/staging-archive"
	RuleDisguised  = "files/disguised-archive"
	RuleCredential = "files/credential-dump"
	RuleMailbox    = "files/mailbox-copy"
)

// TagFileTime says that a finding's time is the file's own.
const TagFileTime = "file-time"

// Entities that only this room sets.
const (
	Format  = "format"  // what the file is
	Members = "members" // what it lists, at most [maxListed] names
)

// Rules lists what is looked for, without a hunt.
func Rules() []postern.Rule {
	return []postern.Rule{
		{
			ID: RuleArchive, Level: postern.PostExploitation, Confidence: postern.Medium,
			Title: postern.Say("staging.archive.title"), Means: postern.Say("staging.archive.means"), Tags: []string{"attack.t1560", "attack.t1074.001"},
		},
		{
			ID: RuleDisguised, Level: postern.PostExploitation, Confidence: postern.Medium,
			Title: postern.Say("staging.disguised.title"), Means: postern.Say("staging.disguised.means"), Tags: []string{"attack.t1036.008", "attack.t1074.001"},
		},
		{
			ID: RuleCredential, Level: postern.PostExploitation, Confidence: postern.Medium,
			Title: postern.Say("staging.credential.title"), Means: postern.Say("staging.credential.means"), Tags: []string{"attack.t1003"},
		},
		{
			ID: RuleMailbox, Level: postern.PostExploitation, Confidence: postern.Medium,
			Title: postern.Say("staging.mailbox.title"), Means: postern.Say("staging.mailbox.means"), Tags: []string{"attack.t1114"},
		},
	}
}

// judge says what the file is worth.
func (l *look) judge() {
	switch l.kind {
	case dump, kernel:
		l.memory()
	case hive:
		l.registry()
	case database:
		l.database()
	case mailbox:
		l.mailbox()
	default:
		l.archive()
	}
}

func (l *look) masked() bool {
	return slices.Contains(masks, l.ext) && l.ext != ".tmp" && l.ext != ".dat" && l.ext != ".bin" && l.ext != ".bak"
}

// archive judges what holds other files.
func (l *look) archive() {
	list, locked := l.members()
	c := read(list)
	rule, level := "", postern.NotSeen
	var why []postern.Text
	switch {
	case len(c.passwords) > 0:
		rule, level = RuleArchive, postern.PostExploitation
		why = append(why, postern.Say("staging.why.passwords", "members", some(c.passwords)))
	case len(c.mail) > 0 && (l.at.listed || l.at.served):
		rule, level = RuleArchive, postern.PostExploitation
		why = append(why, postern.Say("staging.why.mail", "members", some(c.mail)))
	case len(c.mail) > 0:
		rule, level = RuleArchive, postern.Probed
		why = append(why, postern.Say("staging.why.mail-elsewhere", "members", some(c.mail)))
	}
	switch {
	case l.masked() && l.at.served && l.kind != gzipped:
		rule, level = RuleDisguised, postern.PostExploitation
		why = append(why, postern.Say("staging.why.disguised-served", "format", l.kind, "extension", l.ext))
	case l.masked() && l.kind == gzipped && textual[l.ext]:
		// What servers keep so as not to compress it again.
	case l.masked() && (l.at.listed || l.at.served || l.direct()):
		if rule == "" {
			rule, level = RuleDisguised, postern.Probed
		}
		why = append(why, postern.Say("staging.why.disguised", "format", l.kind, "extension", l.ext))
	case rule == "" && l.at.listed:
		rule, level = RuleArchive, postern.Probed
		why = append(why, postern.Say("staging.why.place", "format", l.kind, "folder", path.Dir(l.f.Server)))
		if len(list) > 0 {
			why = append(why, postern.Say("staging.why.lists", "members", some(list)))
		} else {
			why = append(why, postern.Say("staging.why.unlisted"))
		}
	}
	if rule == "" {
		return
	}
	if len(c.survey) > 0 {
		why = append(why, postern.Say("staging.why.survey", "members", some(c.survey)))
	}
	if locked {
		why = append(why, postern.Say("staging.why.locked"))
	}
	if inner := path.Ext(strings.TrimSuffix(l.f.Server, l.ext)); inner == ".dmp" {
		why = append(why, postern.Say("staging.why.double", "name", path.Base(l.f.Server)))
	}
	l.report(rule, level, why, list)
}

// textual are endings of files that servers keep compressed beside themselves.
var textual = map[string]bool{".css": true, ".js": true, ".htm": true, ".html": true, ".svg": true, ".txt": true, ".ttf": true, ".eot": true, ".log": true}

// direct says whether the file lies in a folder of its kind itself and not in one
// of a vendor below it.
func (l *look) direct() bool { return slices.Contains(open, "/"+path.Dir(l.f.Server)) }

// memory judges a dump: only the logon service's is worth a finding by itself.
func (l *look) memory() {
	named := strings.Contains(path.Base(l.f.Server), "lsass")
	switch {
	case l.kind == dump && (contains(l.head, "lsasrv.dll") || contains(l.head, "lsass.exe")):
		l.report(RuleCredential, postern.PostExploitation, []postern.Text{postern.Say("staging.why.lsass")}, nil)
	case l.kind == dump && named:
		l.report(RuleCredential, postern.PostExploitation, []postern.Text{postern.Say("staging.why.lsass-name"), postern.Say("staging.why.modules-unread")}, nil)
		l.findings[len(l.findings)-1].Confidence = postern.Low
	case l.at.served:
		l.report(RuleCredential, postern.Probed, []postern.Text{postern.Say("staging.why.dump-served", "format", l.kind)}, nil)
	case l.masked() && (l.at.listed || l.direct()):
		l.report(RuleDisguised, postern.Probed, []postern.Text{postern.Say("staging.why.disguised", "format", l.kind, "extension", l.ext)}, nil)
	}
}

// registry judges a copy of a hive. Windows and its programs keep hives of their
// own in the same folders; those of the password databases are told by their keys.
func (l *look) registry() {
	switch which := whichHive(l.head); which {
	case "SAM", "SECURITY":
		l.report(RuleCredential, postern.PostExploitation, []postern.Text{postern.Say("staging.why.hive", "hive", which)}, nil)
	case "SYSTEM":
		l.report(RuleCredential, postern.Probed, []postern.Text{postern.Say("staging.why.system-hive")}, nil)
	}
}

// whichHive tells the three hives by names of keys that only they have. Names in
// a hive stand as ASCII.
func whichHive(b []byte) string {
	all := func(keys ...string) bool {
		for _, k := range keys {
			if !bytes.Contains(b, []byte(k)) {
				return false
			}
		}
		return true
	}
	switch {
	case all("nk", "Domains", "Account", "Aliases", "Builtin"):
		return "SAM"
	case all("nk", "Policy", "PolEKList") || all("nk", "Policy", "PolAcDmS", "Secrets"):
		return "SECURITY"
	case all("nk", "ControlSet001", "MountedDevices"):
		return "SYSTEM"
	}
	return ""
}

// database judges a copy of the directory's database, told by its tables.
func (l *look) database() {
	if contains(l.head, "datatable") && contains(l.head, "link_table") && contains(l.head, "sd_table") {
		l.report(RuleCredential, postern.PostExploitation, []postern.Text{postern.Say("staging.why.directory")}, nil)
	}
}

// mailbox judges a PST: in the folders of the web server, and where mail was
// collected, it has no business.
func (l *look) mailbox() {
	script := l.ext == ".aspx" || l.ext == ".ashx" || l.ext == ".asp"
	switch {
	case script: // a page in the shape of a mailbox: the room of web files says more
	case l.at.served:
		l.report(RuleMailbox, postern.PostExploitation, []postern.Text{postern.Say("staging.why.mailbox-served")}, nil)
	case l.at.listed:
		l.report(RuleMailbox, postern.PostExploitation, []postern.Text{postern.Say("staging.why.mailbox-place", "folder", path.Dir(l.f.Server))}, nil)
	default:
		l.report(RuleMailbox, postern.Probed, []postern.Text{postern.Say("staging.why.mailbox-elsewhere")}, nil)
	}
}

// contains looks for a word as ASCII and as UTF-16, in lower case or as written.
func contains(b []byte, word string) bool {
	wide := make([]byte, 0, 2*len(word))
	for i := range len(word) {
		wide = append(wide, word[i], 0)
	}
	return bytes.Contains(b, wide) || bytes.Contains(b, []byte(word))
}

// some gives the first names of a list for people.
func some(list []string) string {
	shown := list[:min(len(list), maxListed)]
	text := strings.Join(shown, ", ")
	if len(list) > len(shown) {
		text += " …"
	}
	return text
}

func (l *look) report(rule string, level postern.Level, why []postern.Text, members []string) {
	f := postern.Finding{Rule: rule, Level: level, Confidence: postern.Medium, Explain: why, Time: l.f.ModTime}
	if level < postern.PostExploitation {
		f.Confidence = postern.Low
	}
	for _, r := range Rules() {
		if r.ID == rule {
			f.Title, f.Tags = r.Title, slices.Clone(r.Tags)
		}
	}
	if !f.Time.IsZero() {
		f.Tags = append(f.Tags, TagFileTime)
	}
	if i := l.d.published(l.f.Server); i != nil {
		f.Campaign = i.Campaign
		f.Explain = append(f.Explain, postern.Say("staging.why.published", "source", i.Source))
	}
	sum := sha256.Sum256(l.head)
	at := postern.Evidence{Path: l.f.Path}
	if int64(len(l.head)) == l.f.Size {
		at.SHA256 = hex.EncodeToString(sum[:])
		f.Set(postern.FileSHA256, at.SHA256)
	}
	f.Evidence = []postern.Evidence{at}
	f.ID = postern.FindingID(rule, at)
	f.Set(postern.File, l.f.Server)
	f.Set(Format, l.kind.String())
	f.Set(Members, some(members))
	l.findings = append(l.findings, f)
}

// published gives the indicator that names the file's path: whole, or as a folder
// if it ends with '/', or as the beginning of a name if it has no extension.
func (d *Detector) published(server string) *postern.Indicator {
	full := "/" + server
	for i := range d.paths {
		p := d.paths[i].Value
		rest, ok := strings.CutPrefix(full, p)
		switch {
		case !ok:
		case rest == "", strings.HasSuffix(p, "/"), path.Ext(p) == "" && !strings.Contains(rest, "/"):
			return &d.paths[i]
		}
	}
	return nil
}
