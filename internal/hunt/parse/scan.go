package parse

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postern"
)

// Bounds of a scan.
const (
	// maxHours bounds the hours counted of one file: twenty years. A file with
	// rows in more hours is made up.
	maxHours = 20 * 366 * 24
	// maxJoined bounds the lines that a quoted value with line breaks may span.
	maxJoined = 4096
	// maxExcerpt is kept of a raw line for reports.
	maxExcerpt = 4 << 10
	// maxHeaderLine bounds a header line that is looked at as one; the widest known has 3 KiB.
	maxHeaderLine = 16 << 10
	// maxColumns bounds a header; the widest known log has 120.
	maxColumns = 1024
	// maxServers bounds the server names remembered of one file.
	maxServers = 64
	// maxBuilds bounds the builds remembered of one file.
	maxBuilds = 64
	// rowHead bytes tell whether a line can begin a row: a quote, a year and a hyphen.
	rowHead = 6
)

// Gate answers for a raw line, without its line end, whether it is worth
// parsing. It must never refuse a line that a rule could be about.
type Gate interface {
	Pass(line []byte) bool
}

// Options say how a log is scanned.
type Options struct {
	// Gate makes a gate for the columns of a header; it is asked again at every
	// header. Nil parses every row.
	Gate func(f *Format, columns []string) Gate
	// Yield is given each parsed row, which is good until it returns; what it says in
	// text may be kept.
	Yield func(*postern.Event)
	// Scratch is memory that a caller with many files need not make anew for each;
	// nil makes some.
	Scratch *Scratch
	// Confirm, if not nil, is given the beginning of the file and says which format
	// it has after all; nil ends the scan with a result without a format.
	Confirm func(head []byte) *Format
	// Headers is shared by the scans of a hunt; nil is none.
	Headers *Headers
	// From is where an earlier scan of the same file has ended, and the reader begins;
	// nil is the beginning of the file.
	From *Mark
	// Open says that the file is still written: what may be the beginning of a row
	// that is not whole yet is left for the next scan, behind [Result.Next].
	Open bool
}

// Mark is how far a log was read, and what its rows mean from there on. The zero value
// is the beginning of a file.
type Mark struct {
	Offset, Line int64
	Columns      []string // of the last header, nil if none has come
	Date         string   // of the last "#Date:" line
	Named        bool     // the header was a "#Fields:" line
	Skipping     bool     // in the middle of a line that is too long to be looked at whole
}

// ErrCharset is the error of a scan that was to read a log of which more will be
// written, or to go on in one, and the log is not in UTF-8.
var ErrCharset = errors.New("a log that is still written can only be followed in UTF-8")

// Scratch is the memory of one scan after the other. The zero value is ready.
type Scratch struct {
	buffer []byte
	cells  [][]byte
	event  postern.Event
}

// BuildSeen is a build of the server and a time at which it wrote.
type BuildSeen struct {
	Build postern.Build
	Time  postern.Instant
}

// Result is what a scan learned of a file beside its rows.
type Result struct {
	Format  *Format
	Charset Charset
	Records int64 // rows with a time, and lines of a log without columns
	Bytes   int64 // of the text, after decoding
	// From and To are those of the first and last rows of each hour as they stand in
	// the file: rows of one hour that are out of order may lie some minutes outside.
	From, To postern.Instant
	Hours    map[int64]int64 // hours since 1970 UTC → rows
	Servers  map[string]int64
	Builds   []BuildSeen
	Problems []postern.Problem
	Next     Mark // where the next scan goes on
}

// sentence is what the generator of offline address books writes of a download that
// failed: the only sign of its log where the folder is not known.
var sentence = []byte("Download failed and temporary file")

// Plausible says quickly whether the beginning of a file can be that of a log at
// all, so that pictures and scripts cost nothing more.
func Plausible(raw []byte, path string) bool {
	if c, bom := Sniff(raw); c != UTF8 || bom > 0 {
		return true
	}
	b := bytes.TrimLeft(raw[:min(len(raw), 2048)], "\x00")
	if len(b) == 0 {
		return false
	}
	if b[0] == '#' || b[0] >= '0' && b[0] <= '9' || b[0] == '"' {
		return true
	}
	return bytes.Contains(b, []byte("#Fields")) || bytes.Contains(b, []byte("DateTime,")) || bytes.Contains(b, []byte(",DateTime")) ||
		bytes.Contains(b, sentence) || Head{Path: path}.PathHas("oabgenerator")
}

// Recognise gives the format of a file from its first bytes, nil if none of the
// formats knows it, together with what the file says of itself. Headers may be nil.
func Recognise(raw []byte, path string, formats []*Format, headers *Headers) (*Format, Head) {
	h := head(raw[:min(len(raw), sniffSize)], path, headers)
	return Find(formats, h), h
}

// ServerOf gives the server's own name from the first row of a file, "" if rows
// do not say.
func ServerOf(f *Format, h Head) string {
	if f.Host == "" || len(h.Rows) == 0 {
		return ""
	}
	columns := h.Fields
	if columns == nil {
		columns = f.Columns
	}
	i := index(columns, f.Host)
	cells, _ := split([]byte(h.Rows[0]), f.Delim, nil)
	if i < 0 || i >= len(cells) {
		return ""
	}
	return serverName(unquoteBytes(cells[i]))
}

// serverName gives the name in a cell, "" if it is none.
func serverName(cell []byte) string {
	name, _ := text(bytes.TrimSpace(cell))
	if name == "-" || len(name) > 255 {
		return ""
	}
	return name
}

// head reads the header block out of the first bytes of a file, and its first row.
func head(b []byte, path string, headers *Headers) Head {
	c, bom := Sniff(b)
	if b = b[bom:]; c != UTF8 {
		b, _ = io.ReadAll(decoder(bytes.NewReader(nil), b, c))
	}
	h := Head{Path: path}
	b = bytes.TrimLeft(b, "\x00")
	if len(b) == 0 {
		return h
	}
	plain := bytes.IndexByte(b[:min(len(b), sniffCharset)], 0) < 0
	h.Sentence = bytes.Contains(b, sentence)
	for i := 0; len(b) > 0 && i < 64 && h.wantsRows(); i++ {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		b = rest
		if !whole && i > 0 && len(line) < 8 {
			break
		}
		line = bytes.TrimPrefix(bytes.Trim(line, "\r\x00"), []byte("\xef\xbb\xbf"))
		if value, ok := cutFold(line, "#fields:"); ok {
			h.Fields = headers.columns(value, anyColumns)
			continue
		}
		if len(line) == 0 {
			continue
		}
		if line[0] == '#' {
			str, _ := text(line[:min(len(line), 1024)])
			switch name, value := directive(str); name {
			case "software":
				h.Software = value
			case "log-type":
				h.LogType = value
			case "version":
				h.Version = value
			}
			continue
		}
		if cells, known := headers.known(line); known || len(line) <= maxHeaderLine && bareNames(line) {
			if !known {
				cells = headers.columns(line, anyColumns)
			}
			if h.Fields == nil {
				h.Fields = cells
			}
			continue
		}
		row, _ := text(cutAt(line, maxHeaderLine))
		h.Rows = append(h.Rows, row)
	}
	// A header block with NUL padding behind it is text all the same.
	h.Text = plain || h.Fields != nil || h.LogType != ""
	return h
}

// wantsRows says whether more lines are worth keeping: one of a log whose rows
// begin with a time, a few of any other file.
func (h *Head) wantsRows() bool {
	return len(h.Rows) == 0 || len(h.Rows) < 4 && (h.Rows[0][0] < '0' || h.Rows[0][0] > '9')
}

// cutFold cuts a prefix, given in lower case, without regard to case.
func cutFold(line []byte, prefix string) ([]byte, bool) {
	if len(line) < len(prefix) || !strings.EqualFold(string(line[:len(prefix)]), prefix) {
		return nil, false
	}
	return bytes.TrimLeft(line[len(prefix):], " "), true
}

// anyColumns splits a header line by the delimiter that it has.
func anyColumns(s string) []string {
	if strings.Contains(s, ",") {
		return columnNames(s, ',')
	}
	return columnNames(s, ' ')
}

// bareNames says whether a line is a row of column names with commas.
func bareNames(line []byte) bool {
	if c := line[0]; c >= '0' && c <= '9' || bytes.ContainsAny(line, ":/\\;=@") {
		return false
	}
	cells := columnNames(string(line), ',')
	return len(cells) >= 3 && namesOnly(cells)
}

// directive splits "#Log-type: HttpProxy Logs" into "log-type" and its value;
// name is empty for a line that is none, "#" for a comment of another kind.
func directive(s string) (name, value string) {
	if !strings.HasPrefix(s, "#") {
		return "", ""
	}
	name, value, ok := strings.Cut(s[1:], ":")
	if !ok || strings.ContainsAny(name, ", ") {
		return "#", ""
	}
	return strings.ToLower(name), strings.TrimSpace(value)
}

// columnNames splits a header line. Names are cut of spaces and quotes.
func columnNames(s string, delim byte) []string {
	s = strings.TrimRight(s, "\r\n ")
	if s == "" {
		return nil
	}
	var names []string
	if delim == ' ' {
		names = strings.Fields(s)
	} else {
		names = strings.SplitN(s, string(delim), maxColumns+1)
	}
	if len(names) > maxColumns {
		names = names[:maxColumns]
	}
	for i := range names {
		names[i] = strings.Trim(names[i], " \"\t")
	}
	return names
}

// namesOnly says whether cells look like a header row: words, no values.
func namesOnly(cells []string) bool {
	named := 0
	for _, c := range cells {
		if c == "" {
			continue
		}
		if c[0] >= '0' && c[0] <= '9' || len(c) > 80 || strings.ContainsAny(c, ":/\\;=@ ") {
			return false
		}
		named++
	}
	return named*2 > len(cells)
}

// Scan reads a log of a known format to its end. The error is one of reading;
// what was read before it is in the result.
func Scan(ctx context.Context, r io.Reader, path string, f *Format, opt Options) (*Result, error) {
	if opt.Scratch == nil {
		opt.Scratch = &Scratch{}
	}
	if opt.Scratch.buffer == nil {
		opt.Scratch.buffer = make([]byte, BufferSize)
	}
	buf := opt.Scratch.buffer
	n, err := io.ReadAtLeast(r, buf, sniffCharset)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		if n == 0 {
			return &Result{Format: f}, err
		}
		r = &failing{err} // after what has come in
	}
	if opt.Confirm != nil {
		if f = opt.Confirm(buf[:n]); f == nil {
			return &Result{}, nil
		}
	}
	charset, bom := UTF8, 0
	if opt.From == nil || opt.From.Offset == 0 {
		charset, bom = Sniff(buf[:n])
	}
	if charset != UTF8 && (opt.Open || opt.From != nil) {
		return &Result{Format: f, Charset: charset}, ErrCharset
	}
	read := copy(buf, buf[bom:n])
	d := r
	if charset != UTF8 {
		d = decoder(r, append([]byte(nil), buf[:read]...), charset)
		read = 0
	}
	s := &scanner{
		format: f, path: path, opt: opt,
		result: Result{Format: f, Charset: charset, Hours: make(map[int64]int64), Servers: make(map[string]int64)},
	}
	if charset == UTF8 {
		s.offset = int64(bom)
	}
	s.setColumns(nil)
	if opt.From != nil {
		s.goOn(opt.From)
	}
	err = s.run(ctx, d, buf, read)
	if u, ok := d.(*utf16Reader); ok && u.bad > 0 {
		s.problem(postern.Encoding, postern.Say("parse.bad-utf16", "count", u.bad))
	}
	s.finish()
	s.result.Next = s.mark()
	return &s.result, err
}

// goOn takes up what an earlier scan has left.
func (s *scanner) goOn(from *Mark) {
	if from.Columns != nil {
		s.setColumns(from.Columns)
	}
	s.line, s.date, s.named, s.skipping = from.Line, from.Date, from.Named, from.Skipping
	s.offset = max(s.offset, from.Offset)
}

// mark says where the next scan goes on.
func (s *scanner) mark() Mark {
	m := Mark{Offset: s.offset, Line: s.line, Date: s.date, Named: s.named, Skipping: s.skipping}
	if !s.headless {
		m.Columns = s.columns
	}
	return m
}

// failing is the rest of a file that could not be read on.
type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// Lossless says of a problem that this package told whether all bytes that there
// are were looked at: what is missing was missing in the file.
func Lossless(p postern.Problem) bool {
	switch p.Detail.Key {
	case "parse.cut-line", "parse.ansi", "parse.no-header", "parse.nul-padding", "parse.malformed-rows", "parse.bad-utf16":
		return true
	}
	return false
}

// noHour is an hour with which no line begins.
var noHour = [13]byte{'\n'}

// scanner is one pass over one file.
type scanner struct {
	format *Format
	path   string
	opt    Options
	result Result

	columns   []string
	timeAt    [2]int // columns of the time; -1 where there is none
	timeFirst bool   // the time is the beginning of the line
	gate      Gate
	gated     bool   // gate is that of the columns
	hostAt    int    // column of the server's name, -1 if there is none
	buildAt   [4]int // columns of its build
	named     bool   // a "#Fields:" line was seen in this block
	date      string // of the last "#Date:" line, for logs whose rows hold no date

	skipping bool // the rest of a line that was too long

	line      int64 // number of the current line
	offset    int64 // of the current line
	hour      int64 // of the last row that came the slow way
	hourKey   [13]byte
	hourCount int64
	lastTime  []byte // time of the last row, in the buffer
	kept      [32]byte
	sample    bool // parse the next row whatever the gate says: it tells server and build

	malformed, firstMalformed int64
	long, firstLong           int64
	padding, firstPadding     int64
	ansi, firstANSI           int64
	headless                  bool
	cut                       bool // the last line has no line end and too few columns
}

// run reads to the end; the first bytes are in the buffer already.
func (s *scanner) run(ctx context.Context, r io.Reader, buf []byte, read int) error {
	start, end, searched := 0, 0, 0
	rest := atEnd
	if s.opt.Open {
		rest = open
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := read, error(nil)
		if read == 0 {
			n, err = r.Read(buf[end:])
		}
		read = 0
		end += n
		s.result.Bytes += int64(n)
		if s.skipping {
			nl := bytes.IndexByte(buf[:end], '\n') + 1
			s.skipping = nl == 0
			if s.skipping {
				nl = end
			}
			s.offset += int64(nl)
			start = nl
		}
		if err != nil {
			s.lines(buf[start:end], rest)
			if err == io.EOF {
				err = nil
			}
			return err
		}
		// Only look for whole rows when a line end has come in, or the beginning of the
		// line after it.
		if bytes.IndexByte(buf[max(start, searched):end], '\n') >= 0 {
			start += s.lines(buf[start:end], more)
		}
		if start == 0 && end == len(buf) {
			if len(buf) < MaxLine {
				s.keepTime()
				larger := make([]byte, min(2*len(buf), MaxLine))
				copy(larger, buf)
				buf = larger
			} else if start = s.lines(buf, full); start == 0 {
				s.longLine(buf)
				start, s.skipping = end, true
			}
		}
		if start == end || end == len(buf) || start > len(buf)/2 {
			s.keepTime()
			end = copy(buf, buf[start:end])
			start = 0
		}
		searched = max(start, end-rowHead)
	}
}

// longLine reads what is held of a line that is longer than MaxLine.
func (s *scanner) longLine(b []byte) {
	if padding := bytes.TrimLeft(b, "\x00"); len(padding) > 0 {
		s.long++
		if s.firstLong == 0 {
			s.firstLong = s.line + 1
		}
	}
	s.row(wholeRunes(b))
	s.offset += int64(len(b))
}

// window says how the bytes at hand stand to the rest of the file.
type window int

const (
	more  window = iota // more will come behind them
	full                // more will come, but no more than these can be held at once
	atEnd               // they are the last
	open                // they are the last that there are now
)

// lines takes whole rows from b and gives how many bytes it has used. A row waits
// until the beginning of the next line has come in, which may belong to it, unless
// nothing can be added to the window. In a log that is still written only a row with an
// open quote waits for that.
func (s *scanner) lines(b []byte, w window) int {
	used := 0
	for used < len(b) {
		nl := bytes.IndexByte(b[used:], '\n')
		if nl < 0 {
			if w != atEnd {
				break
			}
			s.lastLine(b[used:])
			return len(b)
		}
		stop := used + nl
		next := stop + 1
		wait := w == more || w == full && used > 0
		if wait && len(b)-next < rowHead {
			break
		}
		joined := int64(0)
		unsure := w == open && s.joins() && len(b)-next < rowHead
		if (unsure || !s.beginsRow(b[next:])) && openQuote(b[used:stop]) {
			end, n := s.join(b, stop, w)
			if end < 0 && (wait || w == open) {
				break
			}
			if end == len(b) {
				s.lastLine(b[used:])
				s.line += n
				return len(b)
			}
			if end >= 0 {
				stop, joined, next = end, n, end+1
			}
		}
		line := b[used:stop]
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		s.row(line)
		s.line += joined
		s.offset += int64(next - used)
		used = next
	}
	return used
}

// lastLine handles a line without an end. One that has fewer columns than its
// header was cut, as by a copy of a file in use.
func (s *scanner) lastLine(line []byte) {
	length := int64(len(line))
	line = bytes.TrimSuffix(line, []byte{'\r'})
	malformed := s.malformed
	switch isRow := s.row(line); {
	case s.format.Delim == 0 || len(line) == 0:
	case isRow:
		cells, _ := split(bytes.TrimRight(line, "\x00"), s.format.Delim, nil)
		s.cut = len(cells) < len(s.columns)
	case s.malformed > malformed && (isDigit(line[0]) || line[0] == '"'): // not even its time is whole
		s.malformed--
		s.cut = true
	}
	s.offset += length
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// joins says whether a quoted value may go on in the next line.
func (s *scanner) joins() bool { return s.format.Delim == ',' && s.timeFirst }

// beginsRow says by its first bytes whether a line can be a row of its own, or
// a header, and not the next line of a quoted value. Where the time does not come
// first every line might be.
func (s *scanner) beginsRow(b []byte) bool {
	if len(b) == 0 || !s.joins() {
		return true
	}
	c := b[0]
	if c == '"' && len(b) > 1 { // its time is quoted
		b = b[1:]
		return isDigit(b[0]) && (len(b) < 5 || b[4] == '-')
	}
	return isDigit(c) && (len(b) < 5 || b[4] == '-') || c == '#' || c == 0 || c == 0xEF
}

// join finds the end of a row whose quoted value goes on behind the line end at
// stop, and how many lines more it takes: -1 if its end is not in b. A value that is
// never closed ends where another row begins, or with the file.
func (s *scanner) join(b []byte, stop int, w window) (end int, lines int64) {
	open := true
	for lines = 1; lines < maxJoined; lines++ {
		from := stop + 1
		nl := bytes.IndexByte(b[from:], '\n')
		if nl < 0 && w != atEnd {
			return -1, 0
		}
		last := nl < 0
		if stop = from + nl; last {
			stop = len(b)
		}
		if openQuote(b[from:stop]) {
			open = !open
		}
		if !open || last {
			return stop, lines
		}
		if w != atEnd && len(b)-stop-1 < rowHead {
			return -1, 0
		}
		if s.beginsRow(b[stop+1:]) {
			return stop, lines
		}
	}
	return stop, maxJoined - 1
}

func openQuote(line []byte) bool { return bytes.Count(line, []byte{'"'})&1 == 1 }

// row handles one line and says whether it was a row of data.
func (s *scanner) row(line []byte) bool {
	s.line++
	if len(line) == 0 {
		return false
	}
	if line[len(line)-1] == 0 {
		if line = s.unpadded(line); len(line) == 0 {
			return false
		}
	}
	if !s.gated && line[0] != '#' {
		s.makeGate()
	}
	if s.timeFirst && len(line) >= 13 && string(line[:13]) == string(s.hourKey[:]) {
		s.hourCount++
	} else {
		if line = s.unusual(line); line == nil {
			return false
		}
	}
	s.result.Records++
	if s.timeFirst && line[0] != '"' {
		s.lastTime = line[:min(len(line), len(s.kept))]
	}
	if s.sample {
		s.learn(line)
	}
	if s.gate == nil || s.gate.Pass(line) {
		s.emit(line)
	}
	return true
}

// unpadded takes off the NUL bytes that a crash leaves before or behind a row.
func (s *scanner) unpadded(line []byte) []byte {
	s.padding++
	if s.firstPadding == 0 {
		s.firstPadding = s.line
	}
	return bytes.Trim(line, "\x00")
}

// unusual handles what does not begin with the hour of the row before: padding,
// headers, a new hour, rubbish. It gives the row that is left, nil if there is none.
func (s *scanner) unusual(line []byte) []byte {
	if line[0] == 0 {
		line = s.unpadded(line)
	}
	if line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")); len(line) == 0 {
		return nil
	}
	if line[0] == '#' {
		s.header(line)
		return nil
	}
	t, stamp, ok := s.timeOf(line)
	if !ok {
		if s.bareHeader(line) {
			return nil
		}
		if s.format.Delim == 0 {
			return line
		}
		if line[0] != s.format.Delim { // an empty time is how some logs write what belongs to no request
			s.malformed++
			if s.firstMalformed == 0 {
				s.firstMalformed = s.line
			}
		}
		// A row whose time is spoilt may still be evidence: rules see it.
		if s.gate != nil && s.gate.Pass(line) || s.gate == nil {
			s.emit(line)
		}
		return nil
	}
	s.flushHour()
	s.see(t)
	s.hourCount = 1
	if hour := t.Unix() / 3600; hour != s.hour {
		s.hour, s.sample = hour, true
	}
	if s.timeFirst && stamp == "" {
		copy(s.hourKey[:], line)
	} else { // every such row comes this way and brings its own time
		s.hourKey = noHour
		s.lastTime = append(s.kept[:0], stamp[:min(len(stamp), len(s.kept))]...)
	}
	return line
}

// flushHour books the rows of the hour that ends and the time of its last row,
// which need not be whole.
func (s *scanner) flushHour() {
	if s.hourCount == 0 {
		return
	}
	if t, ok := parseTime(s.lastTime); ok {
		s.see(t)
	}
	if _, known := s.result.Hours[s.hour]; known || len(s.result.Hours) < maxHours {
		s.result.Hours[s.hour] += s.hourCount
	}
	s.hourCount, s.lastTime = 0, nil
}

// see widens the span of the file.
func (s *scanner) see(t postern.Instant) {
	if s.result.From.IsZero() || t.Before(s.result.From) {
		s.result.From = t
	}
	if t.After(s.result.To) {
		s.result.To = t
	}
}

// keepTime saves the time of the last row before the buffer moves under it.
func (s *scanner) keepTime() {
	if s.lastTime != nil {
		n := copy(s.kept[:], s.lastTime)
		s.lastTime = s.kept[:n]
	}
}

// timeOf gives the time of a row and the text it was read from. Where it does
// not come first the row is split.
func (s *scanner) timeOf(line []byte) (t postern.Instant, stamp string, ok bool) {
	if s.timeFirst && line[0] != '"' {
		t, ok = parseTime(line[:min(len(line), len(s.kept))])
		return t, "", ok
	}
	if s.format.Delim == 0 {
		str, _ := text(cutAt(line, maxExcerpt))
		return findTime(str)
	}
	cells, _ := split(line, s.format.Delim, nil)
	stamp = s.stamp(func(i int) string {
		if i >= len(cells) {
			return ""
		}
		return unquote(string(cells[i]))
	})
	t, ok = parseTime([]byte(stamp))
	return t, stamp, ok
}

// stamp puts the text of a row's time together from its columns, and from the
// header where the rows hold no date.
func (s *scanner) stamp(column func(int) string) string {
	first := ""
	if s.timeAt[0] >= 0 {
		first = column(s.timeAt[0])
	}
	if len(s.format.Time) < 2 {
		return first
	}
	if s.timeAt[0] < 0 {
		first = s.date
	}
	if s.timeAt[1] < 0 {
		return first
	}
	return first + " " + column(s.timeAt[1])
}

// header reads a line of the header block.
func (s *scanner) header(line []byte) {
	if value, ok := cutFold(line, "#fields:"); ok {
		s.named = true
		s.setColumns(s.opt.Headers.columns(value, anyColumns))
		return
	}
	str, _ := text(line[:min(len(line), 1024)])
	switch name, value := directive(str); name {
	case "software":
		s.named = false
	case "date":
		s.date, _, _ = strings.Cut(strings.ReplaceAll(value, "T", " "), " ")
	case "version":
		if s.format.VersionIsBuild {
			if b, err := postern.ParseBuild(value); err == nil {
				s.sawBuild(b, time.Time{})
			}
		}
	}
}

// bareHeader takes a row of column names, which some logs carry with or instead
// of "#Fields:". The latter wins inside one block.
func (s *scanner) bareHeader(line []byte) bool {
	if s.format.Delim == 0 || len(line) > maxHeaderLine {
		return false
	}
	cells, again := s.opt.Headers.known(line)
	if !again {
		str, _ := text(line)
		cells = columnNames(str, s.format.Delim)
		if !s.areNames(cells) {
			return false
		}
		cells = s.opt.Headers.columns(line, func(string) []string { return cells })
	}
	if !s.named {
		s.setColumns(cells)
	}
	return true
}

// areNames says whether cells are the names of columns: most are known ones. A row whose
// time was torn off halfway begins with a digit, which no name does.
func (s *scanner) areNames(cells []string) bool {
	if len(cells) > 0 && cells[0] != "" && isDigit(cells[0][0]) {
		return false
	}
	known := 0
	for _, c := range cells {
		if c != "" && (containsFold(s.format.Columns, c) || containsFold(s.columns, c)) {
			known++
		}
	}
	return len(cells) >= 3 && (known*2 >= len(cells) || namesOnly(cells) && (known >= 3 || len(s.columns) == 0))
}

func (s *scanner) setColumns(columns []string) {
	s.headless = columns == nil
	if columns == nil {
		columns = s.format.Columns
	}
	s.flushHour()
	s.hourKey = noHour
	s.columns = columns
	s.timeAt = [2]int{-1, -1}
	for i, name := range s.format.Time {
		s.timeAt[i] = index(columns, name)
	}
	// A log may call its time column something else but it still comes first.
	if s.timeAt[0] < 0 && len(s.format.Time) == 1 {
		s.timeAt[0] = 0
	}
	s.timeFirst = s.timeAt[0] == 0 && (len(s.format.Time) == 1 || s.timeAt[1] == 1)
	s.sample, s.gated = true, false
	s.hostAt, s.buildAt = -1, [4]int{-1, -1, -1, -1}
	if s.format.Host != "" {
		s.hostAt = index(columns, s.format.Host)
	}
	for i, name := range s.format.Build {
		s.buildAt[i] = index(columns, name)
	}
}

// numbered gives columns without a name one that says where they stand.
func numbered(columns []string) []string {
	for i := range columns {
		if columns[i] == "" {
			columns[i] = fieldName(i)
		}
	}
	return columns
}

func fieldName(i int) string { return "field" + strconv.Itoa(i+1) }

// makeGate asks for the gate of the columns once a row has come: most files
// begin without columns and get them from their header.
func (s *scanner) makeGate() {
	s.gated = true
	if s.opt.Gate != nil {
		s.gate = s.opt.Gate(s.format, s.columns)
	}
}

func index(columns []string, name string) int {
	for i, c := range columns {
		if strings.EqualFold(c, name) {
			return i
		}
	}
	return -1
}

// emit parses a line and hands it on.
func (s *scanner) emit(line []byte) {
	ev, ansi := s.event(line)
	if ansi {
		s.ansi++
		if s.firstANSI == 0 {
			s.firstANSI = s.line
		}
	}
	if s.format.Derive != nil {
		s.format.Derive(ev)
	}
	if s.opt.Yield != nil {
		s.opt.Yield(ev)
	}
}

// learn takes from a row, one an hour and header, what it says of the server.
func (s *scanner) learn(line []byte) {
	s.sample = false
	if s.hostAt < 0 && s.buildAt[0] < 0 && len(s.result.Builds) == 0 {
		return
	}
	cells, _ := split(line, s.format.Delim, s.opt.Scratch.cells[:0])
	s.opt.Scratch.cells = cells
	if s.hostAt >= 0 && s.hostAt < len(cells) {
		name := serverName(unquoteBytes(cells[s.hostAt]))
		if n := s.result.Servers[name]; n > 0 || len(s.result.Servers) < maxServers && name != "" {
			s.result.Servers[name] = n + 1
		}
	}
	var at postern.Instant
	if s.timeFirst {
		at, _ = parseTime(line[:min(len(line), len(s.kept))])
	}
	if b := s.buildOf(cells); !b.IsZero() {
		s.sawBuild(b, at)
	}
	// A "#Version:" line has no time of its own: the next row gives it.
	for i := range s.result.Builds {
		if s.result.Builds[i].Time.IsZero() {
			s.result.Builds[i].Time = at
		}
	}
}

// buildOf reads the build from the cells of a row, the zero Build if it is not there.
func (s *scanner) buildOf(cells [][]byte) (b postern.Build) {
	for i, at := range s.buildAt {
		if at < 0 || at >= len(cells) {
			return postern.Build{}
		}
		n, err := strconv.ParseUint(string(unquoteBytes(cells[at])), 10, 16)
		if err != nil {
			return postern.Build{}
		}
		b[i] = int(n)
	}
	return b
}

func unquoteBytes(cell []byte) []byte {
	if len(cell) > 1 && cell[0] == '"' && cell[len(cell)-1] == '"' {
		return cell[1 : len(cell)-1]
	}
	return cell
}

func (s *scanner) sawBuild(b postern.Build, at postern.Instant) {
	if n := len(s.result.Builds); n > 0 && s.result.Builds[n-1].Build == b || n == maxBuilds {
		return
	}
	s.result.Builds = append(s.result.Builds, BuildSeen{b, at})
}

// event builds the event of a line, in the memory of the one before. Its values
// share the memory of one copy of the line: whoever keeps one for long clones it.
func (s *scanner) event(line []byte) (ev *postern.Event, ansi bool) {
	whole, ansi := text(line)
	ev = &s.opt.Scratch.event
	*ev = postern.Event{
		Source:  s.format.Name,
		Raw:     excerpt(whole),
		Place:   postern.Place{Path: s.path, Line: s.line, Offset: s.offset},
		Fields:  ev.Fields[:0],
		Derived: ev.Derived[:0],
	}
	if s.format.Delim == 0 {
		ev.Fields = append(ev.Fields, postern.Field{Name: "Line", Value: whole})
		ev.Time, _, _ = findTime(whole)
		return ev, ansi
	}
	ev.Fields = slices.Grow(ev.Fields, min(len(s.columns), maxColumns)+2)
	for i, rest, more := 0, whole, true; more && i <= maxColumns; i++ {
		var value string
		if value, rest, more = cell(rest, s.format.Delim); i == maxColumns && more {
			value, more = value+string(s.format.Delim)+rest, false
		}
		name := ""
		if i < len(s.columns) {
			name = s.columns[i]
		} else {
			name = fieldName(i)
		}
		ev.Fields = append(ev.Fields, postern.Field{Name: name, Value: value})
	}
	ev.Time, _ = parseTime([]byte(s.stamp(func(i int) string {
		if i >= len(ev.Fields) {
			return ""
		}
		return ev.Fields[i].Value
	})))
	if s.hostAt >= 0 && s.hostAt < len(ev.Fields) {
		ev.Host = ev.Fields[s.hostAt].Value
	}
	return ev, ansi
}

// excerpt gives the beginning of a line, with its own memory if that is not all.
func excerpt(line string) string {
	if len(line) <= maxExcerpt {
		return line
	}
	n := maxExcerpt
	for n > 0 && !utf8.RuneStart(line[n]) {
		n--
	}
	return strings.Clone(line[:n])
}

func (s *scanner) problem(what postern.ProblemKind, detail postern.Text) {
	s.result.Problems = append(s.result.Problems, postern.Problem{Path: s.path, What: what, Detail: detail})
}

// finish books the last hour and names what was wrong with the file.
func (s *scanner) finish() {
	s.flushHour()
	if s.malformed > 0 {
		s.problem(postern.Malformed, postern.Say("parse.malformed-rows", "count", s.malformed, "line", s.firstMalformed))
	}
	if s.long > 0 {
		s.problem(postern.Limit, postern.Say("parse.long-line", "count", s.long, "line", s.firstLong, "bound", MaxLine))
	}
	if s.padding > 0 {
		s.problem(postern.Truncated, postern.Say("parse.nul-padding", "count", s.padding, "line", s.firstPadding))
	}
	if s.ansi > 0 {
		s.problem(postern.Encoding, postern.Say("parse.ansi", "count", s.ansi, "line", s.firstANSI))
	}
	if s.cut {
		s.problem(postern.Truncated, postern.Say("parse.cut-line", "line", s.line))
	}
	if s.headless && s.result.Records > 0 && s.format.Delim != 0 {
		s.problem(postern.Malformed, postern.Say("parse.no-header", "format", s.format.Name))
	}
}
