package webfile

import (
	"strings"

	"postern"
)

// knownHash compares the file with published hashes.
func (l *look) knownHash() {
	for _, h := range [...]struct {
		kind  postern.IndicatorKind
		value string
	}{
		{postern.IndicatorSHA256, l.sum.sha256},
		{postern.IndicatorSHA1, l.sum.sha1},
		{postern.IndicatorMD5, l.sum.md5},
	} {
		i, ok := l.d.hashes[h.kind][h.value]
		if !ok || h.value == "" {
			continue
		}
		f := postern.Finding{Rule: RuleKnownHash, Campaign: i.Campaign, Level: postern.Implanted, Confidence: postern.High}
		f.Explain = append(f.Explain, postern.Say("webfile.hash.published", "kind", string(h.kind), "source", i.Source, "note", i.Note))
		f.Level = levelOfNote(i.Note)
		switch {
		case publicTool(i.Note):
			f.Confidence = postern.Medium
			f.Explain = append(f.Explain, postern.Say("webfile.hash.public-tool"))
		case f.Level == postern.PostExploitation:
			f.Explain = append(f.Explain, postern.Say("webfile.hash.after"))
		case f.Level == postern.Used:
			f.Explain = append(f.Explain, postern.Say("webfile.hash.compiled"))
		}
		if f.Level < postern.PostExploitation {
			f.Tags = append(f.Tags, TagShellFile)
		}
		l.add(f)
		return
	}
}

// levelOfNote reads off the note of a hash what the file is for.
func levelOfNote(note string) postern.Level {
	note = strings.ToLower(note)
	for _, word := range [...]string{"ransom", "mimika", "dumper", "password", "credential", "lsass", "cobalt", "miner"} {
		if strings.Contains(note, word) {
			return postern.PostExploitation
		}
	}
	if strings.Contains(note, "app_web") || strings.Contains(note, "compiled") {
		return postern.Used
	}
	return postern.Implanted
}

func publicTool(note string) bool { return strings.Contains(strings.ToLower(note), "public tool") }
