package indicator

import (
	"bufio"
	"bytes"
	"path"
	"slices"
	"strconv"
	"strings"

	"postern"
)

// maxLine of a list or table: an indicator and what is said of it.
const maxLine = 256 << 10

// table reads a CSV whose first row names its columns, or a list of one indicator a line.
func (f *reader) table(in *bufio.Reader) error {
	head, _ := in.Peek(sniffed)
	header, skip, delim := headerOf(head, f.Name)
	if header == nil {
		f.Format = "list"
		return f.list(in)
	}
	f.Format = "csv"
	before := bytes.Count(head[:skip], []byte{'\n'})
	if _, err := in.Discard(skip); err != nil {
		return f.bad(postern.Say("indicator.unreadable", "reason", reason(err)))
	}
	return f.csv(in, header, delim, before)
}

// columns are where a table has what.
type columns struct {
	kind, value, note, id, tlp, until, place, ids, size, source, seen int
	fixed                                                             postern.IndicatorKind // all rows are of it
	byKind                                                            []column              // a column for each kind
}

type column struct {
	at   int
	kind postern.IndicatorKind
}

// Names of columns that feeds use, without blanks, hyphens and underscores.
var (
	kindColumns   = []string{"type", "kind", "indicatortype", "ioctype", "observabletype", "attributetype"}
	valueColumns  = []string{"value", "indicator", "ioc", "iocvalue", "indicatorvalue", "observable", "observablevalue", "attributevalue"}
	noteColumns   = []string{"note", "comment", "description", "notes", "name", "threat", "malware", "signature", "threattype", "title", "tags"}
	idColumns     = []string{"id", "uuid", "iocid", "indicatorid", "attributeuuid"}
	tlpColumns    = []string{"tlp", "marking", "tlplevel", "sharing"}
	untilColumns  = []string{"validuntil", "expires", "expiration", "expirationdate", "expiry", "expirationdatetime", "expiresat"}
	placeColumns  = []string{"place"}
	idsColumns    = []string{"toids"}
	sizeColumns   = []string{"size", "filesize", "sizeinbytes"}
	sourceColumns = []string{"source", "reference", "reporter", "feed", "provider"}
	seenColumns   = []string{"firstseen", "firstseenutc", "dateadded", "date"}
)

// headerOf gives the columns of a table, how many bytes its head has, and what parts
// its cells; nil if the first line does not name columns.
func headerOf(head []byte, name string) (*columns, int, byte) {
	skip := 0
	for {
		line, rest, whole := bytes.Cut(head[skip:], []byte{'\n'})
		if !whole && len(rest) == 0 && len(line) == 0 {
			return nil, 0, 0
		}
		size := len(line)
		if whole {
			size++
		}
		text := strings.TrimSpace(string(line))
		// abuse.ch puts the header behind '#', like the text above it.
		bare := strings.TrimSpace(strings.TrimLeft(text, "#"))
		if bare != "" {
			for _, delim := range []byte{',', ';', '\t', '|'} {
				if c := columnsOf(bare, delim, name); c != nil {
					return c, skip + size, delim
				}
			}
		}
		if text != "" && text[0] != '#' || !whole {
			return nil, 0, 0
		}
		skip += size
	}
}

func columnsOf(line string, delim byte, name string) *columns {
	row := splitter{delim: delim}
	if row.add(line); row.open != "" {
		return nil
	}
	cells := row.cells
	for i := range cells {
		cells[i] = wordCleaner.Replace(strings.ToLower(strings.TrimSpace(cells[i])))
	}
	at := func(names []string) int {
		for _, n := range names {
			if i := slices.Index(cells, n); i >= 0 {
				return i
			}
		}
		return -1
	}
	c := &columns{kind: at(kindColumns), value: at(valueColumns), note: at(noteColumns), id: at(idColumns), tlp: at(tlpColumns),
		until: at(untilColumns), place: at(placeColumns), ids: at(idsColumns), size: at(sizeColumns), source: at(sourceColumns), seen: at(seenColumns)}
	if c.value >= 0 {
		if c.kind < 0 { // the packs' own files are named after what they hold
			base := path.Base(strings.ReplaceAll(name, `\`, "/"))
			if k, known := kindWord(strings.TrimSuffix(base, path.Ext(base))); known {
				c.fixed = k
			}
		}
		if c.kind >= 0 || len(cells) > 1 || cells[0] == "value" || cells[0] == "indicator" || cells[0] == "ioc" {
			return c
		}
		return nil
	}
	for i, cell := range cells {
		if k, known := kindWord(cell); known && k != "" && i != c.note {
			c.byKind = append(c.byKind, column{i, k})
		}
	}
	// One word can be an indicator; a header of one column is one of the plain names.
	if len(c.byKind) == 0 || len(cells) == 1 && !slices.Contains([]string{"sha256", "sha1", "md5", "ip", "domain", "url", "hostname", "address"}, cells[0]) {
		return nil
	}
	return c
}

// maxJoined is how many lines one row may have: a comment in quotes has some.
const maxJoined = 100

func (f *reader) csv(in *bufio.Reader, c *columns, delim byte, before int) error {
	lines := newLines(in)
	lines.n = before
	var cells []string
	for lines.Scan() {
		text := lines.Text()
		if strings.TrimSpace(text) == "" || text[0] == '#' {
			continue
		}
		first := lines.n
		row := splitter{cells: cells[:0], delim: delim}
		row.add(text)
		if row.open != "" && !lines.join(&row) {
			f.unsupported(postern.Malformed, postern.Say("indicator.bad-row", "line", first))
			continue
		}
		cells = row.cells
		f.row(cells, c, first)
	}
	if err := lines.Err(); err != nil {
		return f.bad(postern.Say("indicator.unreadable", "reason", reason(err)))
	}
	return nil
}

// join adds lines to a row until its last cell is closed. If it never is, the quotation
// mark that opened it is a mistake of its own line: those that were tried with it are
// given back, and each is a row again.
func (l *lines) join(row *splitter) bool {
	var tried []string
	for size := len(row.open); len(tried) < maxJoined && size <= maxLine && l.Scan(); {
		text := l.Text()
		tried = append(tried, text)
		size += len(text)
		switch row.add(text); {
		case row.broken:
			l.giveBack(tried)
			return false
		case row.open == "":
			return true
		}
	}
	l.giveBack(tried)
	return false
}

// splitter parts a row into cells, RFC 4180.
type splitter struct {
	cells []string
	delim byte
	open  string // the rest of the row from a quotation mark on that is not closed yet
	// broken says that a cell of several lines is followed by something else than the next
	// cell: the quotation mark that closed it was meant to open another one.
	broken bool
}

// add parts one line more.
func (s *splitter) add(line string) {
	row := line
	if s.open != "" {
		row = s.open + "\n" + line
		if strings.IndexByte(line, '"') < 0 {
			s.open = row
			return
		}
		s.open = ""
	}
	for {
		row = strings.TrimLeft(row, " ")
		if !strings.HasPrefix(row, `"`) {
			i := strings.IndexByte(row, s.delim)
			if i < 0 {
				s.cells = append(s.cells, row)
				return
			}
			s.cells = append(s.cells, row[:i])
			row = row[i+1:]
			continue
		}
		end := 1
		doubled := false
		for {
			i := strings.IndexByte(row[end:], '"')
			if i < 0 {
				s.open = row
				return
			}
			end += i
			if end+1 < len(row) && row[end+1] == '"' {
				end, doubled = end+2, true
				continue
			}
			break
		}
		cell := row[1:end]
		row = row[end+1:]
		i := strings.IndexByte(row, s.delim)
		behind := row
		if i >= 0 {
			behind = row[:i]
		}
		if strings.IndexByte(cell, '\n') >= 0 && strings.TrimSpace(behind) != "" {
			s.broken = true
			return
		}
		if doubled {
			cell = strings.ReplaceAll(cell, `""`, `"`)
		}
		s.cells = append(s.cells, cell)
		if i < 0 {
			return
		}
		row = row[i+1:]
	}
}

func cell(cells []string, i int) string {
	if i < 0 || i >= len(cells) {
		return ""
	}
	return strings.TrimSpace(cells[i])
}

func (f *reader) row(cells []string, c *columns, line int) {
	var e Entry
	e.Note, e.ID, e.Source = cell(cells, c.note), cell(cells, c.id), cell(cells, c.source)
	var ok bool
	if e.Until, ok = when(cell(cells, c.until)); !ok {
		f.unsupported(postern.Malformed, postern.Say("indicator.bad-time", "where", line, "value", cut(cell(cells, c.until), 40)))
		return
	}
	e.FirstSeen, _ = when(cell(cells, c.seen))
	e.TLP, _ = ParseTLP(cell(cells, c.tlp))
	e.Size, _ = strconv.ParseInt(cell(cells, c.size), 10, 64)
	e.Place = strings.Trim(strings.ReplaceAll(strings.ToLower(cell(cells, c.place)), `\`, "/"), "/")
	if v := cell(cells, c.ids); v == "0" || strings.EqualFold(v, "false") {
		f.Context++
		return
	}
	for _, k := range c.byKind {
		if v := cell(cells, k.at); v != "" && !strings.EqualFold(v, "n/a") && v != "-" {
			e := e
			e.Kind, e.Value = k.kind, v
			f.add(e, line)
		}
	}
	if c.value < 0 {
		return
	}
	e.Value = cell(cells, c.value)
	if e.Value == "" && cell(cells, c.kind) == "" {
		return
	}
	if c.kind < 0 {
		if e.Kind = c.fixed; e.Kind == "" {
			f.guessed(e, line)
			return
		}
		f.add(e, line)
		return
	}
	f.typed(e, cell(cells, c.kind), line)
}

// guessed adds a value whose form must tell the kind.
func (f *reader) guessed(e Entry, where any) {
	e.Value = Refang(e.Value)
	k, ok := Guess(e.Value)
	if !ok {
		f.unsupported(postern.Unsupported, postern.Say("indicator.unknown-form", "where", where, "value", cut(e.Value, 80)))
		return
	}
	e.Kind = k
	f.add(e, where)
}

// typed adds a value under the kind that a feed gives it. Two kinds joined by '|' have
// two values joined the same way, as MISP does.
func (f *reader) typed(e Entry, kind string, where any) {
	if first, second, two := strings.Cut(kind, "|"); two {
		a, b, both := strings.Cut(e.Value, "|")
		if !both {
			f.unsupported(postern.Malformed, postern.Say("indicator.bad-value", "where", where, "kind", kind, "value", cut(e.Value, 80)))
			return
		}
		f.pair(e, first, a, second, b, where)
		return
	}
	k, known := kindWord(kind)
	switch {
	case !known:
		f.unsupported(postern.Unsupported, postern.Say("indicator.unknown-kind", "where", where, "kind", cut(kind, 80)))
	case k == "":
		f.guessed(e, where)
	default:
		if e.Kind = k; k == postern.IndicatorFileName && strings.ContainsAny(e.Value, `/\\`) {
			e.Kind = postern.IndicatorPath
		}
		f.add(e, where)
	}
}

// pair adds one indicator that is written as two: a file by its hash, which says
// more than its name, an address without its port, a domain and its address each.
func (f *reader) pair(e Entry, first, a, second, b string, where any) {
	kb, known := kindWord(second)
	switch {
	case second == "port":
		e.Value = a
		f.typed(e, first, where)
	case strings.HasPrefix(first, "filename") && known && kb != "":
		e.Kind, e.Value = kb, b
		if e.Note == "" {
			e.Note = a
		}
		f.add(e, where)
	case first == "domain" && second == "ip":
		e.Kind, e.Value = postern.IndicatorDomain, a
		f.add(e, where)
		e.Kind, e.Value = postern.IndicatorAddress, b
		f.add(e, where)
	default:
		f.unsupported(postern.Unsupported, postern.Say("indicator.unknown-kind", "where", where, "kind", cut(first+"|"+second, 80)))
	}
}

// list reads one indicator a line; '#', ';' and '//' begin comments.
func (f *reader) list(in *bufio.Reader) error {
	lines := newLines(in)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' || strings.HasPrefix(line, "//") {
			continue
		}
		note := ""
		if i := strings.IndexByte(line, '#'); i > 0 && (line[i-1] == ' ' || line[i-1] == '\t') {
			line, note = strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])
		}
		f.guessed(Entry{Value: strings.Trim(line, `"',`), About: About{Note: note}}, lines.n)
	}
	if err := lines.Err(); err != nil {
		return f.bad(postern.Say("indicator.unreadable", "reason", reason(err)))
	}
	return nil
}

// lines are the lines of a feed, with their numbers. What stands behind maxLine of one
// is left out.
type lines struct {
	*bufio.Scanner
	n     int
	ahead []string // lines that were given back, the next one first
	given bool     // the line is one of them
	line  string   // that one
}

func newLines(in *bufio.Reader) *lines {
	l := &lines{Scanner: bufio.NewScanner(in)}
	l.Buffer(make([]byte, 64<<10), 2*maxLine)
	skipping := false
	l.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		end := bytes.IndexByte(data, '\n')
		switch {
		case end < 0 && len(data) >= maxLine: // its beginning is the line; the rest comes without one
			was := skipping
			skipping = true
			if was {
				return len(data), nil, nil
			}
			return len(data), data[:maxLine], nil
		case end < 0 && !atEOF, len(data) == 0:
			return 0, nil, nil
		case end < 0:
			end = len(data)
		}
		if skipping {
			skipping = false
			return min(end+1, len(data)), nil, nil
		}
		return min(end+1, len(data)), bytes.TrimSuffix(data[:end], []byte{'\r'}), nil
	})
	return l
}

func (l *lines) Scan() bool {
	if l.given = len(l.ahead) > 0; l.given {
		l.line, l.ahead = l.ahead[0], l.ahead[1:]
	} else if !l.Scanner.Scan() {
		return false
	}
	l.n++
	return true
}

func (l *lines) Text() string {
	if l.given {
		return l.line
	}
	return l.Scanner.Text()
}

// giveBack makes the last lines come once more.
func (l *lines) giveBack(last []string) {
	l.n -= len(last)
	l.ahead = append(last, l.ahead...)
}
