package evtx

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"time"

	"postern"
	"postern/internal/hunt/parse"
)

// Bounds of a scan.
const (
	// maxChannels bounds the channels of one file; a collector of forwarded events
	// has some dozens, a machine a thousand in as many files.
	maxChannels = 4096
	// maxHours is the bound of the hours counted of one source: twenty years.
	maxHours = 20 * 366 * 24
)

// file is one pass over one file.
type file struct {
	*chunks
	path   string
	opt    parse.RecordOptions
	offset int64 // of the chunk at hand in the file
	bytes  int64
	dirty  bool
	sum    bool // the header is not as it was written
	torn   bool // the header is not that of an event log
	want   int  // chunks that the header speaks of
	seen   int  // chunks that there are
	zeros  int  // of these, such as hold nothing
	known  int  // chunks with the signature of one
	found  int  // records
	cut    int  // bytes of a chunk that has no end

	channels map[string]*channel // by their bytes in the file
	byName   map[string]*channel
	sources  map[string]*parse.Result
	order    []*parse.Result
	problems []postern.Problem
	text     []byte // of a record, for gates
	event    postern.Event
}

// channel is what is known of a channel.
type channel struct {
	*parse.Channel
	name   string
	result *parse.Result
	wants  map[uint32]*want
}

type want struct {
	gate    parse.Gate
	whole   bool // it looks for whole values
	wanted  bool
	seen    int // records for which there was a gate
	stopped int // of those in its last trial
}

// Read reads a file to its end and yields every record, which is good until yield
// returns. The error is one of reading or of yield; what was read before it counts.
func Read(ctx context.Context, r io.Reader, path string, yield func(*Record) error) ([]postern.Problem, error) {
	f := newFile(path, parse.RecordOptions{})
	err := f.read(ctx, r, func(raw *raw) error {
		rec := f.decode(raw)
		rec.Offset += f.offset
		return yield(rec)
	})
	return f.problems, err
}

// Scan reads a file to its end for a hunt; see [parse.Records].
func Scan(ctx context.Context, r io.Reader, path string, opt parse.RecordOptions) ([]*parse.Result, error) {
	f := newFile(path, opt)
	err := f.read(ctx, r, func(raw *raw) error {
		f.look(raw)
		return nil
	})
	if len(f.order) == 0 {
		f.order = append(f.order, &parse.Result{Format: &parse.Format{Name: Name}})
	}
	f.order[0].Problems, f.order[0].Bytes = f.problems, f.bytes
	return f.order, err
}

func newFile(path string, opt parse.RecordOptions) *file {
	return &file{chunks: newChunks(), path: path, opt: opt, channels: make(map[string]*channel),
		byName: make(map[string]*channel), sources: make(map[string]*parse.Result)}
}

// read visits the records of all chunks.
func (f *file) read(ctx context.Context, r io.Reader, visit func(*raw) error) error {
	buf := make([]byte, chunkSize)
	n, err := io.ReadFull(r, buf[:fileHeader])
	f.bytes = int64(n)
	have := n // of a chunk, where the file begins with one
	if !bytes.HasPrefix(buf[:n], []byte(chunkMagic)) {
		f.header(buf[:n])
		have, f.offset = 0, int64(n)
	}
	for err == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n, err = io.ReadFull(r, buf[have:]); n+have == 0 {
			break
		}
		f.bytes += int64(n)
		data := buf[:have+n]
		have = 0
		f.seen++
		if blank(data) {
			f.zeros++
			f.offset += int64(len(data))
			continue
		}
		if len(data) < chunkSize {
			f.cut = len(data)
		}
		if bytes.HasPrefix(data, []byte(chunkMagic)) {
			f.known++
		}
		var failed error
		f.chunk(data, func(raw *raw) bool {
			f.found++
			failed = visit(raw)
			return failed == nil
		})
		if failed != nil {
			return failed
		}
		f.offset += int64(len(data))
	}
	f.account()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return err
}

// header reads what the file says of itself. Nothing rests on it: a log copied
// from a machine that runs has not written it yet.
func (f *file) header(b []byte) {
	if f.torn = !bytes.HasPrefix(b, []byte(fileMagic)); f.torn {
		return
	}
	if len(b) < 128 {
		f.cut = len(b)
		return
	}
	const dirty = 1
	f.dirty = binary.LittleEndian.Uint32(b[120:])&dirty != 0
	f.want = int(binary.LittleEndian.Uint16(b[42:]))
	f.sum = crc32.ChecksumIEEE(b[:120]) != binary.LittleEndian.Uint32(b[124:])
	if major := binary.LittleEndian.Uint16(b[38:]); major != 3 {
		f.tell(postern.Unsupported, postern.Say("evtx.version", "version", major))
	}
}

func (f *file) tell(what postern.ProblemKind, detail postern.Text) {
	f.problems = append(f.problems, postern.Problem{Path: f.path, What: what, Detail: detail})
}

// account says what was lost, once for each kind.
func (f *file) account() {
	l := f.lost
	if f.torn && f.known+f.found == 0 {
		f.tell(postern.Malformed, postern.Say("evtx.none"))
		return
	}
	if f.torn {
		f.tell(postern.Malformed, postern.Say("evtx.header"))
	}
	if f.cut > 0 {
		f.tell(postern.Truncated, postern.Say("evtx.cut", "bytes", f.cut))
	}
	if n := f.want - f.seen; n > 0 && !f.dirty && !f.sum {
		f.tell(postern.Truncated, postern.Say("evtx.missing", "count", n))
	}
	// A log counts the chunks that it has written to, and grows by more than it needs.
	if n := min(f.want, f.seen) - (f.seen - f.zeros); n > 0 && !f.dirty && !f.sum {
		f.tell(postern.Malformed, postern.Say("evtx.zeros", "count", n))
	}
	if l.chunks > 0 {
		f.tell(postern.Malformed, postern.Say("evtx.chunks", "count", l.chunks))
	}
	if l.records > 0 {
		f.tell(postern.Malformed, postern.Say("evtx.records", "count", l.records))
	}
	if l.partly > 0 {
		f.tell(postern.Malformed, postern.Say("evtx.partly", "count", l.partly))
	}
	if l.checksums > 0 || f.sum && !f.dirty {
		f.tell(postern.Malformed, postern.Say("evtx.checksums", "count", max(l.checksums, 1)))
	}
	if l.surrogate > 0 {
		f.tell(postern.Encoding, postern.Say("evtx.surrogates", "count", l.surrogate))
	}
}

// look judges by channel, id and text whether a record is worth decoding, and
// hands on those that are.
func (f *file) look(r *raw) {
	if !f.locate(r) {
		f.lost.partly++
		return
	}
	ch := f.channelOf()
	if ch == nil { // the channel stands in XML inside of XML
		rec := f.decode(r)
		ch = f.named(rec.Channel)
		f.book(ch, rec.Time)
		if w := ch.want(rec.EventID); w.wanted && f.pass(w) {
			f.yield(rec, ch)
		}
		return
	}
	at, _ := f.time(r)
	f.book(ch, at)
	id, _ := f.number(factEventID)
	w := ch.want(uint32(id))
	if !w.wanted {
		return
	}
	if f.pass(w) {
		f.yield(f.decode(r), ch)
	}
}

// pass asks the gate about the record at hand. A gate that lets most records pass costs
// more than it spares, so that then it is only tried again from time to time.
func (f *file) pass(w *want) bool {
	if w.gate == nil {
		return true
	}
	turn := w.seen % gateTurn
	w.seen++
	switch {
	case turn == 0:
		w.stopped = 0
	case turn >= gateTrial && w.stopped < gateTrial/4:
		return true
	}
	text, ok := f.folded(f.text[:0], w.whole)
	f.text = text
	if !ok || w.gate.Pass(text) {
		return true
	}
	if turn < gateTrial {
		w.stopped++
	}
	return false
}

// Of every gateTurn records that a gate is made for, the first gateTrial are its trial.
const gateTurn, gateTrial = 1024, 32

// channelOf gives the channel of the record at hand, nil if only decoding tells it.
func (f *file) channelOf() *channel {
	text, a, ok := f.fact(factChannel)
	switch {
	case !ok:
		return nil
	case text != "":
		return f.named(text)
	}
	b := f.data[a.from:a.to]
	if ch := f.channels[string(b)]; ch != nil {
		return ch
	}
	name, _ := appendUTF16(nil, trimUTF16(b))
	ch := f.named(string(name))
	if len(f.channels) < maxChannels {
		f.channels[string(b)] = ch
	}
	return ch
}

// named gives the channel of a name.
func (f *file) named(name string) *channel {
	if ch := f.byName[name]; ch != nil {
		return ch
	}
	if len(f.byName) >= maxChannels {
		name = ""
		if ch := f.byName[name]; ch != nil {
			return ch
		}
	}
	ch := &channel{name: name, wants: make(map[uint32]*want)}
	if f.opt.Channel != nil {
		ch.Channel = f.opt.Channel(name)
	}
	if ch.Channel == nil {
		ch.Channel = &parse.Channel{}
	}
	if ch.Source == "" {
		ch.Channel = &parse.Channel{Source: parse.ChannelSource(name), Wants: ch.Wants, Values: ch.Values}
	}
	f.byName[name] = ch
	if ch.result = f.sources[ch.Source]; ch.result == nil {
		ch.result = &parse.Result{Format: &parse.Format{Name: ch.Source}, Hours: make(map[int64]int64), Servers: make(map[string]int64)}
		f.sources[ch.Source] = ch.result
		f.order = append(f.order, ch.result)
	}
	return ch
}

// want says whether records of an id are looked at. The ids of a channel are
// numbers of 16 bits, so that few can be remembered.
func (ch *channel) want(id uint32) *want {
	w, known := ch.wants[id]
	if !known {
		w = &want{wanted: true}
		if ch.Wants != nil {
			w.gate, w.wanted = ch.Wants(id)
			g, ok := w.gate.(parse.WholeGate)
			w.whole = ok && g.Whole()
		}
		if id <= 0xffff {
			ch.wants[id] = w
		}
	}
	return w
}

// book counts a record for the coverage of its source.
func (f *file) book(ch *channel, t time.Time) {
	res := ch.result
	res.Records++
	if t.IsZero() {
		return
	}
	if hour := t.Unix() / 3600; res.Hours[hour] > 0 || len(res.Hours) < maxHours {
		res.Hours[hour]++
	}
	if res.From.IsZero() || t.Before(res.From) {
		res.From = t
	}
	if t.After(res.To) {
		res.To = t
	}
}

// yield hands a record on as an event: what the system says of it comes first, as
// data may have a value of the same name.
func (f *file) yield(rec *Record, ch *channel) {
	if f.opt.Yield == nil {
		return
	}
	ev := &f.event
	*ev = postern.Event{Source: ch.Source, Time: rec.Time, Host: rec.Computer, Fields: ev.Fields[:0], Derived: ev.Derived[:0], Place: rec.place(f.path)}
	ev.Place.Offset += f.offset
	for _, field := range rec.System {
		ev.Fields = append(ev.Fields, postern.Field{Name: field.Name, Value: field.Value})
	}
	unnamed := 0
	for _, field := range rec.Data {
		name := field.Name
		if name == "" {
			if name = "Data"; unnamed < len(ch.Values) {
				ev.Derived = append(ev.Derived, postern.Field{Name: ch.Values[unnamed], Value: field.Value})
			}
			unnamed++
		}
		if !field.Null {
			ev.Fields = append(ev.Fields, postern.Field{Name: name, Value: field.Value})
		}
	}
	f.opt.Yield(ev)
}
