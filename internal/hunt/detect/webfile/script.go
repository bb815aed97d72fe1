package webfile

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"

	"postern"
	page "postern/internal/hunt/parse/webfile"
)

// What place and format add to the score of a page that does something dangerous.
const (
	// weightComplete: nobody but the product keeps pages there.
	weightComplete = 30
	// weightDrop: a favourite folder of intruders that sites use as well.
	weightDrop = 10
)

// maxRequest is the size of the largest certificate request under the name of a page.
const maxRequest = 10 << 10

// maxExcerpt is how much of a line a finding shows.
const maxExcerpt = 200

// script looks at a file that an engine of the server runs.
func (l *look) script() {
	stockName, hashes := l.d.stock.at(l.server)
	if len(hashes) > 0 && slices.Contains(hashes, l.sha256()) {
		return
	}
	if len(l.tail) == 0 && len(bytes.Trim(l.raw, "\x00 \t\r\n\xef\xbb\xbf\xff\xfe")) == 0 {
		l.unexpected(postern.Say("webfile.content.empty"))
		return
	}
	known := len(l.problems)
	l.content(stockName)
	if len(l.findings) == 0 && len(l.problems) == known {
		return // most pages, which need no hash
	}
	if home, ok := l.d.stock.hashes[l.sha256()]; ok && l.sha256() != "" {
		l.findings, l.problems = nil, l.problems[:known]
		l.context(postern.Say("webfile.content.stock-copy", "home", home))
	}
}

// content says what the content of a page makes of it.
func (l *look) content(stockName bool) {
	text := page.Decode(l.raw)
	if dump, ok := page.ParseDump(text); ok {
		l.dump(dump, text, true)
		return
	}
	v := l.view(text)
	switch {
	case stockName && v.score < scoreMedium:
		l.context(postern.Say("webfile.content.unverified"))
	case v.score >= scoreWeak || v.format == formatMailbox || v.format == formatRequest && v.code:
		l.shell(v, stockName)
	case v.unknown && (l.where.complete || l.odd()):
		l.foreign(v)
	case v.code:
		l.unexpected(postern.Say("webfile.content.harmless"))
	default:
		l.unexpected(postern.Say("webfile.content.no-code"))
	}
}

// odd says whether no web content belongs where the file lies.
func (l *look) odd() bool { return !l.where.served && in(l.server, l.d.staging) }

// format is the other format that a page hides in.
type format uint8

const (
	formatNone    format = iota
	formatMailbox        // a mailbox export
	formatRequest        // a certificate request
	formatPicture
)

func formatOf(raw []byte) format {
	switch {
	case bytes.HasPrefix(raw, []byte("!BDN")):
		return formatMailbox
	case len(raw) > 4 && raw[0] == 0x30 && raw[1] == 0x82:
		return formatRequest
	case len(raw) > 4 && (strings.EqualFold(string(raw[:4]), "GIF8") || bytes.HasPrefix(raw, []byte("\x89PNG")) || bytes.HasPrefix(raw, []byte{0xFF, 0xD8, 0xFF}) || bytes.HasPrefix(raw, []byte("BM")) && len(raw) > 64 && bytes.IndexByte(raw[:64], 0) >= 0):
		return formatPicture
	}
	return formatNone
}

// view is what was read off a page.
type view struct {
	analysis
	page    *page.Page
	text    page.Text
	raw     []byte
	base    int64 // where raw begins in the file
	format  format
	code    bool // something runs on the server
	unknown bool // in a language that cannot be read
}

// view analyses the beginning of the file, and its end if that says more.
func (l *look) view(text page.Text) view {
	v := view{raw: l.raw, format: formatOf(l.raw), text: text}
	if v.format == formatMailbox || v.format == formatRequest {
		v.text = page.Plain(l.raw)
	}
	l.judge(&v, true)
	if len(l.tail) > 0 {
		end := view{raw: l.tail, base: l.tailAt, format: v.format, text: page.Decode(l.tail)}
		if l.judge(&end, true); end.score > v.score {
			return end
		}
	}
	return v
}

// judge analyses a view and adds what place, name and format are worth. brief says that of a
// page that does nothing, nothing is told but for what its format or language is.
func (l *look) judge(v *view, brief bool) {
	v.text.Bytes = v.text.Bytes[:min(len(v.text.Bytes), maxRead)]
	v.page = page.Split(v.text, l.name)
	v.text = v.page.Text
	v.code = v.page.Code()
	v.unknown = v.code && foreign(v.page)
	v.analysis = l.d.analyse(v.page, brief && v.format == formatNone && !v.unknown)
	if v.cut {
		l.problem(postern.Limit, postern.Say("webfile.problem.code", "bound", page.MaxTokens))
	}
	if len(v.constructs) == 0 {
		return
	}
	if v.format != formatNone {
		v.signs[signFormat] = true
		v.score += signWeights[signFormat]
	}
	content := v.score
	switch {
	case l.where.complete:
		v.score += weightComplete
	case l.where.drop:
		v.score += weightDrop
	}
	name := 0
	for _, h := range l.d.hints(l) {
		name = max(name, h.weight) // a name is no odder for being odd in two ways
	}
	v.score += name
	if content < scoreMedium {
		v.score = min(v.score, scoreHigh-1) // place and name do not make certain what is not even likely
	}
}

// foreign says whether a page names a language that no engine of a stock server has.
func foreign(p *page.Page) bool {
	for _, d := range p.Directives {
		if s := d.Attrs["language"]; s != "" && page.ParseLang(s, true) == page.Unknown {
			return true
		}
	}
	return false
}

// shell reports a page that does what web shells do.
func (l *look) shell(v view, stockName bool) {
	f := postern.Finding{Rule: RuleWebShell}
	home, misplaced := l.d.stock.elsewhere(l.server)
	switch {
	case v.format == formatMailbox:
		f.Rule = RuleMailboxExport
	case v.format == formatRequest && len(l.raw) <= maxRequest:
		f.Rule = RuleCertificateRequest
	case stockName:
		f.Rule = RuleOverwritten
		f.Explain = append(f.Explain, postern.Say("webfile.why.overwritten"))
	case misplaced && l.where.served:
		f.Rule = RuleMisplaced
		f.Explain = append(f.Explain, postern.Say("webfile.why.misplaced", "home", home))
	}
	l.grade(&f, v)
	l.construct(&f, v)
	l.nameAndPlace(&f)
	l.add(f)
}

// grade gives a page its level and confidence, and says why.
func (l *look) grade(f *postern.Finding, v view) {
	f.Level, f.Confidence = postern.Implanted, postern.Medium
	switch {
	case f.Rule == RuleMailboxExport && !v.code:
		f.Explain = append(f.Explain, postern.Say("webfile.why.mailbox-unread"))
	case f.Rule == RuleMailboxExport:
		f.Confidence = postern.High
		f.Explain = append(f.Explain, postern.Say("webfile.why.mailbox"))
	case f.Rule == RuleCertificateRequest:
		f.Confidence = postern.High
		f.Explain = append(f.Explain, postern.Say("webfile.why.request"))
	case v.score >= scoreHigh:
		f.Confidence = postern.High
		f.Explain = append(f.Explain, postern.Say("webfile.why.high"))
	case v.score >= scoreMedium:
		f.Explain = append(f.Explain, postern.Say("webfile.why.medium"))
	default:
		f.Level, f.Confidence = postern.Probed, postern.Low
		f.Rule = unlessStock(f.Rule)
		f.Explain = append(f.Explain, postern.Say("webfile.why.weak"))
	}
	if l.where.served || f.Level < postern.Implanted {
		return
	}
	// Nobody can ask for a page that no server serves; but a server can be told to
	// serve any folder, and evidence does not always say where a file lay.
	switch f.Confidence {
	case postern.High:
		f.Confidence = postern.Medium
		f.Explain = append(f.Explain, postern.Say("webfile.why.not-served"))
	default:
		f.Confidence = postern.Low
		f.Lower(postern.Probed, postern.Say("webfile.why.not-served-weak"))
	}
}

// unlessStock keeps rules about the product's own pages for what is certain.
func unlessStock(rule string) string {
	if rule == RuleMisplaced {
		return RuleWebShell
	}
	return rule
}

// maxShown is how many constructs a finding explains; the worst stand first.
const maxShown = 5

// construct explains what the page does and where.
func (l *look) construct(f *postern.Finding, v view) {
	for i, c := range v.constructs {
		if i == maxShown {
			f.Explain = append(f.Explain, postern.Say("webfile.more", "count", len(v.constructs)-maxShown))
			break
		}
		line := l.line(v, c.off)
		f.Explain = append(f.Explain, c.say(line))
		if i < 3 {
			f.Evidence = append(f.Evidence, l.evidence(line, v.base+v.text.Offset(c.off), v.text.Excerpt(v.raw, c.off, maxExcerpt)))
		}
	}
	if len(v.constructs) == 0 && len(v.page.Regions) > 0 {
		at := cmp.Or(v.signOff, v.page.Regions[0].Start)
		f.Evidence = append(f.Evidence, l.evidence(l.line(v, at), v.base+v.text.Offset(at), v.text.Excerpt(v.raw, at, maxExcerpt)))
	}
	for s, text := range signTexts() {
		if v.signs[s] && !text.IsZero() {
			f.Explain = append(f.Explain, text)
		}
	}
	l.parameter(f, &v.analysis)
}

// parameter notes by which field of a request a shell takes its orders.
func (l *look) parameter(f *postern.Finding, a *analysis) {
	f.Set(Variant, a.variant())
	if a.param == "" {
		return
	}
	f.Set(postern.ShellParameter, a.param)
	f.Explain = append(f.Explain, postern.Say("webfile.parameter", "parameter", a.param))
}

// line gives the line of a position; of the end of a large file nobody knows it.
func (l *look) line(v view, off int) int64 {
	if v.base > 0 {
		return 0
	}
	return v.text.Line(off)
}

// nameAndPlace explains what name and place add.
func (l *look) nameAndPlace(f *postern.Finding) {
	switch {
	case l.where.complete:
		f.Explain = append(f.Explain, postern.Say("webfile.place.complete", "folder", l.where.folder))
	case l.where.drop:
		f.Explain = append(f.Explain, postern.Say("webfile.place.drop", "folder", l.where.folder))
	}
	for _, h := range l.d.hints(l) {
		f.Explain = append(f.Explain, h.text)
	}
}

// unexpected reports a page where only the product's own belong, whatever is in it.
func (l *look) unexpected(content postern.Text) {
	if !l.where.drop && !l.odd() {
		return
	}
	if name, _ := l.d.stock.at(l.server); name {
		l.context(content)
		return
	}
	f := postern.Finding{Rule: RuleUnexpected, Level: postern.Probed, Confidence: postern.Low, Explain: []postern.Text{content}}
	if !l.where.drop {
		f.Explain = append(f.Explain, postern.Say("webfile.place.odd", "folder", l.where.folder))
	}
	l.nameAndPlace(&f)
	l.add(f)
}

// foreign reports a page in a language that cannot be read, in a folder where it
// has no business.
func (l *look) foreign(v view) {
	f := postern.Finding{Rule: RuleWebShell, Level: postern.Implanted, Confidence: postern.Low,
		Explain: []postern.Text{postern.Say("webfile.content.language")}}
	l.construct(&f, v)
	if !l.where.drop {
		f.Explain = append(f.Explain, postern.Say("webfile.place.odd", "folder", l.where.folder))
	}
	l.nameAndPlace(&f)
	l.add(f)
}

// context notes a file of the product whose content is not one that it shipped. In
// the folders that intruders like that is worth a line; of the thousand pages
// elsewhere every update brings new ones.
func (l *look) context(content postern.Text) {
	if !l.where.drop {
		return
	}
	l.add(postern.Finding{Rule: RuleUnverified, Level: postern.NotSeen, Confidence: postern.Low, Explain: []postern.Text{content}})
}

// unreadable reports a page in a drop folder that could not be read.
func (l *look) unreadable(s role) {
	if s == roleScript {
		l.unexpected(postern.Say("webfile.content.unreadable"))
	}
}

// config looks at a web.config, of which the room for IIS configuration reads the rest.
func (l *look) config() {
	if !marked(l.raw) {
		return
	}
	text := page.Decode(l.raw)
	v := view{raw: l.raw, text: text}
	l.judge(&v, false)
	if !v.code {
		return
	}
	f := postern.Finding{Rule: RuleConfigCode}
	f.Level, f.Confidence = postern.Probed, postern.Low
	f.Explain = append(f.Explain, postern.Say("webfile.content.config"))
	if v.score >= scoreMedium {
		f.Level, f.Confidence = postern.Implanted, postern.Medium
		f.Tags = append(f.Tags, TagShellFile, tagWebShell)
		f.Explain = append(f.Explain, postern.Say("webfile.content.config-shell"))
	}
	l.construct(&f, v)
	l.add(f)
}

// static looks at a file that a server sends as it is and in which marks of
// server-side code stand. Templates of scripts look like that; only code that
// would be a web shell is worth a line, and it cannot run under this name.
func (l *look) static() {
	if l.listed() {
		l.named()
	}
	text := page.Decode(l.raw)
	if dump, ok := page.ParseDump(text); ok {
		l.dump(dump, text, false)
		return
	}
	v := l.view(text)
	if v.score < scoreMedium {
		return
	}
	f := postern.Finding{Rule: RuleRenamed, Level: postern.Probed, Confidence: postern.Low,
		Explain: []postern.Text{postern.Say("webfile.why.renamed", "extension", path.Ext(l.name))}}
	l.construct(&f, v)
	l.nameAndPlace(&f)
	l.add(f)
}

// listed says whether the file's name or path was published.
func (l *look) listed() bool {
	return l.d.published(l.server, strings.ToLower(l.name)) != nil
}

// named reports a file that is no page and has a published name or path.
func (l *look) named() {
	i := l.d.published(l.server, strings.ToLower(l.name))
	if i == nil || len(l.findings) > 0 || collected(l.raw) {
		return
	}
	l.add(postern.Finding{Rule: RuleKnownName, Campaign: i.Campaign, Level: postern.Probed, Confidence: postern.Low,
		Explain: []postern.Text{
			postern.Say("webfile.name.published", "name", l.name, "source", i.Source),
			postern.Say("webfile.why.name-alone"),
		}})
}

// collected says whether a file is an archive, a dump or a mailbox by its first
// bytes: of these the room for staged data says more.
func collected(b []byte) bool {
	for _, magic := range [...]string{"PK\x03\x04", "7z\xBC\xAF", "Rar!", "MSCF", "MDMP", "regf", "!BDN", "\x1F\x8B"} {
		if strings.HasPrefix(string(b[:min(len(b), 8)]), magic) {
			return true
		}
	}
	return false
}
