package indicator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"postern"
)

// Bounds of reading a feed.
const (
	// maxFeed is read of one feed: a million STIX objects have 0.6 GB.
	maxFeed = 2 << 30
	// maxUnsupported problems of one feed are told one by one; what is more is counted.
	maxUnsupported = 500
	// sniffed is read to tell the format.
	sniffed = 8 << 10
)

// Feed is what reading one feed came to.
type Feed struct {
	Name   string
	Format string // "csv", "list", "stix", "misp", "openioc"
	// Used is how many of its indicators are compared with, of all that it has.
	Used int
	// What was left out on purpose.
	Expired    int // before now; some are used still, for rows that are older
	Revoked    int
	Restricted int // marked beyond what the reader asked for
	Context    int // not meant for detection: to_ids is false
	// What could not be used. Each is in Problems, up to a bound.
	Unsupported int
	Problems    []postern.Problem
}

// Options say how feeds are read.
type Options struct {
	// Now decides what is expired.
	Now time.Time
	// TLP is the strictest marking that is used.
	TLP TLP
}

// ErrFeed is what is wrong with a whole feed.
type ErrFeed struct {
	Name string
	What postern.Text
	None bool // nothing in it is an indicator: it may be no feed at all
}

func (e *ErrFeed) Error() string { return fmt.Sprintf("%s: %s", e.Name, e.What.Key) }

// Read reads one feed into a builder. The format is told by the content. A part that
// cannot be used is counted and named; an error is a feed that is none, or that ends
// in its middle, since whoever asks for a feed must not hunt with half of it.
func Read(r io.Reader, name string, b *Builder, opt Options) (*Feed, error) {
	f := &reader{Feed: &Feed{Name: name}, b: b, opt: opt}
	limited := &io.LimitedReader{R: r, N: maxFeed + 1}
	in := bufio.NewReaderSize(limited, 256<<10)
	head, err := in.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, &ErrFeed{Name: name, What: postern.Say("indicator.unreadable", "reason", reason(err))}
	}
	if in, err = decoded(in, head); err != nil {
		return nil, &ErrFeed{Name: name, What: postern.Say("indicator.unreadable", "reason", reason(err))}
	}
	head, _ = in.Peek(sniffed)
	begin := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case len(begin) == 0:
		err = f.none(postern.Say("indicator.empty"))
	case bytes.IndexByte(begin, 0) >= 0:
		err = f.none(postern.Say("indicator.not-text"))
	case begin[0] == '{' || begin[0] == '[' && isJSON(begin):
		err = f.json(in)
	case begin[0] == '<':
		err = f.openIOC(in)
	default:
		err = f.table(in)
	}
	if err == nil && limited.N == 0 {
		err = f.bad(postern.Say("indicator.too-large", "bound", maxFeed>>30))
	}
	known := f.Used + f.Restricted + f.Context + f.Revoked
	if err == nil && known == 0 && f.foreign == 0 {
		err = f.none(postern.Say("indicator.nothing"))
	}
	if err != nil {
		return nil, err
	}
	f.summary()
	return f.Feed, nil
}

func reason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// isJSON tells a JSON list from a line of a list that begins with a bracket.
func isJSON(b []byte) bool {
	rest := bytes.TrimLeft(b[1:], " \t\r\n")
	return len(rest) > 0 && (rest[0] == '{' || rest[0] == ']')
}

// decoded takes a byte order mark away and UTF-16 apart, as Windows' own tools write it.
func decoded(in *bufio.Reader, head []byte) (*bufio.Reader, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\xEF\xBB\xBF")):
		_, err := in.Discard(3)
		return in, err
	case bytes.HasPrefix(head, []byte("\xFF\xFE")), bytes.HasPrefix(head, []byte("\xFE\xFF")):
		_, err := in.Discard(2)
		return bufio.NewReaderSize(&wide{in: in, big: head[0] == 0xFE}, 64<<10), err
	}
	return in, nil
}

// wide reads UTF-16 as UTF-8.
type wide struct {
	in   *bufio.Reader
	big  bool
	rest []byte
	err  error // why there is no more
}

func (w *wide) unit() (uint16, error) {
	var b [2]byte
	if _, err := io.ReadFull(w.in, b[:]); err != nil {
		return 0, err
	}
	if w.big {
		return uint16(b[0])<<8 | uint16(b[1]), nil
	}
	return uint16(b[1])<<8 | uint16(b[0]), nil
}

func (w *wide) Read(p []byte) (int, error) {
	for len(w.rest) < min(len(p), 4096) && w.err == nil {
		var u, low uint16
		if u, w.err = w.unit(); w.err != nil {
			break
		}
		r := rune(u)
		if utf16.IsSurrogate(r) {
			if low, w.err = w.unit(); w.err == io.EOF {
				w.err = io.ErrUnexpectedEOF
			}
			r = utf16.DecodeRune(r, rune(low))
		}
		w.rest = utf8.AppendRune(w.rest, r)
	}
	if len(w.rest) == 0 && len(p) > 0 {
		return 0, w.err
	}
	n := copy(p, w.rest)
	w.rest = append(w.rest[:0], w.rest[n:]...)
	return n, nil
}

// reader is one feed being read.
type reader struct {
	*Feed
	b    *Builder
	opt  Options
	full bool
	// foreign counts the indicators that nothing here is compared with: what has them is
	// a feed, if not one to hunt with.
	foreign int
}

func (f *reader) bad(what postern.Text) error { return &ErrFeed{Name: f.Name, What: what} }

func (f *reader) none(what postern.Text) error { return &ErrFeed{Name: f.Name, What: what, None: true} }

// unsupported books an indicator that cannot be used, with where it stands and why.
func (f *reader) unsupported(what postern.ProblemKind, why postern.Text) {
	f.Unsupported++
	if what != postern.Malformed && why.Key != "indicator.unknown-form" {
		f.foreign++
	}
	if f.Unsupported <= maxUnsupported {
		f.problem(what, why)
	}
}

func (f *reader) problem(what postern.ProblemKind, detail postern.Text) {
	f.Problems = append(f.Problems, postern.Problem{Path: f.Name, What: what, Detail: detail})
}

// add adds an indicator if it may be used. Where says in words of the feed where it stands.
func (f *reader) add(e Entry, where any) {
	if e.Source == "" {
		e.Source = path.Base(f.Name)
	}
	if e.TLP > f.opt.TLP {
		f.Restricted++
		return
	}
	expired := !e.Until.IsZero() && !e.Until.After(f.opt.Now)
	switch e.Kind {
	case postern.IndicatorAddress, postern.IndicatorDomain, postern.IndicatorURL:
		e.Value = Refang(e.Value)
	default:
		e.Value = strings.TrimSpace(e.Value)
	}
	if !legible(&e) {
		f.unsupported(postern.Encoding, postern.Say("indicator.not-utf8", "where", where, "value", strings.ToValidUTF8(cut(e.Value, 80), "\uFFFD")))
		return
	}
	switch f.b.add(e, true) {
	case addedOK:
		f.Used++
		if expired {
			f.Expired++
		}
	case addedFull:
		if !f.full {
			f.full = true
			f.problem(postern.Limit, postern.Say("indicator.too-many", "bound", maxIndicators))
		}
		f.Unsupported++
		f.foreign++
	case addedMany:
		f.unsupported(postern.Limit, postern.Say("indicator.many-scans", "where", where, "bound", maxScans))
	default:
		f.unsupported(postern.Malformed, postern.Say("indicator.bad-value", "where", where, "kind", e.Kind, "value", cut(e.Value, 80)))
	}
}

// legible says whether what is compared is text. In another encoding it would be used and
// never be found. What is only said is made so.
func legible(e *Entry) bool {
	for _, s := range [...]*string{&e.Note, &e.ID, &e.Source} {
		*s = strings.ToValidUTF8(*s, "\uFFFD")
	}
	for i := range e.And {
		if !utf8.ValidString(e.And[i].Value) {
			return false
		}
	}
	return utf8.ValidString(e.Value)
}

// summary says what was left out on purpose.
func (f *reader) summary() {
	if n := f.Unsupported - maxUnsupported; n > 0 {
		f.problem(postern.Unsupported, postern.Say("indicator.more-unsupported", "count", n))
	}
	if f.Expired > 0 {
		f.problem(postern.Limit, postern.Say("indicator.expired", "count", f.Expired))
	}
	if f.Revoked > 0 {
		f.problem(postern.Limit, postern.Say("indicator.revoked", "count", f.Revoked))
	}
	if f.Restricted > 0 {
		f.problem(postern.Limit, postern.Say("indicator.restricted", "count", f.Restricted, "tlp", "TLP:"+strings.ToUpper(f.opt.TLP.String())))
	}
	if f.Context > 0 {
		f.problem(postern.Limit, postern.Say("indicator.context", "count", f.Context))
	}
}

// when reads a time of a feed: a moment, a day, or seconds since 1970.
func when(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if s == "" || s == "0" || strings.EqualFold(s, "null") || strings.EqualFold(s, "never") {
		return time.Time{}, true
	}
	if len(s) == len(time.DateOnly) && s[4] == '-' {
		t, err := time.Parse(time.DateOnly, s)
		return t, err == nil
	}
	for _, form := range [...]string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05 MST", "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), true
		}
	}
	var n int64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || len(s) > 10 {
			return time.Time{}, false
		}
		n = n*10 + int64(c-'0')
	}
	return time.Unix(n, 0).UTC(), true
}
