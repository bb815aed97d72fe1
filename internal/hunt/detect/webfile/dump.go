package webfile

import (
	"strings"

	"postern"
	page "postern/internal/hunt/parse/webfile"
)

// dump reports the list of properties of a virtual directory in a file. runs says
// whether a server runs files of that name.
func (l *look) dump(d *page.Dump, text page.Text, runs bool) {
	markup, found := d.Markup()
	switch {
	case !found && runs:
		l.unexpected(postern.Say("webfile.dump.no-markup"))
		if len(l.findings) == 0 || l.findings[len(l.findings)-1].Rule != RuleUnexpected {
			l.dumpContext(d, postern.Say("webfile.dump.no-markup"))
		}
		return
	case !found:
		return // what an administrator saves to look at it
	case !runs:
		l.dumpContext(d, postern.Say("webfile.dump.not-a-page", "property", markup.Name))
		return
	}
	f := postern.Finding{Rule: RuleOABDump, Level: postern.Implanted, Confidence: postern.High}
	f.Explain = append(f.Explain, postern.Say("webfile.dump.markup", "property", markup.Name, "directory", d.Get("name")))
	at := markup.Start
	line := text.Line(at)
	f.Evidence = []postern.Evidence{l.evidence(line, text.Offset(at), text.Excerpt(l.raw, at, maxExcerpt))}

	inner := page.Split(page.Plain([]byte(markup.Value)), l.name)
	a := l.d.analyse(inner, false)
	for i, c := range a.constructs {
		if i < maxShown {
			f.Explain = append(f.Explain, c.say(line))
		}
	}
	if len(a.constructs) == 0 {
		f.Explain = append(f.Explain, postern.Say("webfile.dump.unread"))
	}
	l.parameter(&f, &a)
	l.dumpFacts(&f, d)
	if !l.where.served {
		f.Explain = append(f.Explain, postern.Say("webfile.dump.anywhere"))
	}
	l.nameAndPlace(&f)
	l.add(f)
}

// dumpFacts takes out of a dump what it says of its own making. The time is the
// directory's: whoever changed the file's own time could not change it.
func (l *look) dumpFacts(f *postern.Finding, d *page.Dump) {
	f.Set(postern.VDir, d.Get("name"))
	f.Set(Server, d.Get("server"))
	if b := d.Build(); !b.IsZero() {
		f.Set(Build, b.String())
		f.Explain = append(f.Explain, postern.Say("webfile.dump.build", "build", b.String()))
	}
	if t := d.Changed(l.f.ModTime); !t.IsZero() {
		f.Time = t
		f.Explain = append(f.Explain, postern.Say("webfile.dump.time", "time", t.Format("2006-01-02 15:04:05")))
	}
	if reset := strings.ToLower(d.Get("objectclass")); strings.Contains(reset, "virtualdirectory") || reset == "" || reset == "top" {
		return
	}
	f.Explain = append(f.Explain, postern.Say("webfile.dump.class", "class", d.Get("objectclass")))
}

// dumpContext notes a dump that nobody can run.
func (l *look) dumpContext(d *page.Dump, why postern.Text) {
	f := postern.Finding{Rule: RuleDump, Level: postern.NotSeen, Confidence: postern.Low, Explain: []postern.Text{why}}
	f.Set(postern.VDir, d.Get("name"))
	l.add(f)
}
