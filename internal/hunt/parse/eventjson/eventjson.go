// Package eventjson reads events of Windows that a collector has turned into JSON.
// Input: a file with one object a line, in the forms that are about: flat, as NXLog and
// log shippers after it write; below "winlog", as Winlogbeat does; below "Event", as
// evtx_dump does; "System" beside "EventData", as Velociraptor does; and what postern
// itself prints. Output: events with the names that
// the log itself has, times in UTC, and an account of what could not be read.
//
// Values that the log leaves without a name are found by their place, as the reader of
// the log itself finds them. What a collector has lost is lost: types, often the number
// of the record, in flat forms the values without a name. Rendered messages are left out, but for those of Exchange management
// where nothing else was kept.
package eventjson

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern"
	"postern/internal/hunt/parse"
)

// Name is the kind of log.
const Name = "eventjson"

// Bounds of a file.
const (
	// maxLine is the longest object that is read; a record has at most 64 KiB, which
	// JSON can make six times longer.
	maxLine = 1 << 20
	// maxFields bounds the values of one object.
	maxFields = 4096
	// maxDepth bounds objects in objects; those forms have five.
	maxDepth = 16
	// cutHead is how much of a file is at least given to recognise it where there is more.
	cutHead = 8 << 10
	// maxSources and maxHours bound what is counted of a file.
	maxSources = 4096
	maxHours   = 20 * 366 * 24
)

// Kind gives the kind of log for a hunt.
func Kind() *parse.Records {
	return &parse.Records{Name: Name, Recognise: Recognise, Server: server, Scan: Scan}
}

// known says whether an object is an event: it has a number for an id and names a channel.
// What is recorded by event tracing alone has no channel, which the log says, and a provider.
func (o *object) known() bool {
	_, err := o.number()
	return err == nil && (o.channel != "" || o.said && o.provider != "")
}

// number gives the id.
func (o *object) number() (uint32, error) {
	n, err := strconv.ParseUint(o.id, 10, 32)
	return uint32(n), err
}

// Recognise says whether the first line is such an object. Of one that is longer than
// what is given, as with a script in it, the beginning must say so.
func Recognise(head []byte) bool {
	line := firstLine(head)
	if len(line) == 0 || line[0] != '{' || !bytes.Contains(line, []byte("hannel")) && !bytes.Contains(line, []byte("og_name")) {
		return false
	}
	o, err := read(line)
	return o != nil && o.known() && (err == nil || len(head) >= cutHead && !bytes.Contains(head, []byte{'\n'}))
}

func firstLine(head []byte) []byte {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	return bytes.TrimSpace(line)
}

// server gives the name of the computer in the first line, without its domain.
func server(head []byte) string {
	o, _ := read(firstLine(head)) // a line that is cut says it all the same
	if o == nil {
		return ""
	}
	short, _, _ := strings.Cut(o.computer, ".")
	if strings.Trim(o.computer, "0123456789.") == "" {
		return o.computer
	}
	return short
}

// object is one event as it was read.
type object struct {
	channel, id, provider, computer, message string
	said                                     bool // a channel was said, if only that there is none
	record                                   int64
	at                                       time.Time
	data                                     []postern.Field
	unnamed                                  []string // values that the log leaves without a name, in their order
	fields                                   int
}

// system says for the path of a value, in lower case, what it is of the event.
var system = map[string]string{
	"channel": "channel", "winlog.channel": "channel", "event.system.channel": "channel", "log_name": "channel", "logname": "channel", "system.channel": "channel",
	"eventid": "id", "event_id": "id", "winlog.event_id": "id", "event.system.eventid": "id", "event.system.eventid.#text": "id", "event.system.eventid.value": "id", "event.code": "id", "system.eventid": "id", "system.eventid.value": "id",
	"sourcename": "provider", "providername": "provider", "provider_name": "provider", "winlog.provider_name": "provider", "provider": "provider", "source_name": "provider",
	"event.system.provider.#attributes.name": "provider", "event.system.provider_attributes.name": "provider", "event.system.provider.name": "provider", "system.provider_name": "provider", "system.provider.name": "provider",
	"hostname": "computer", "computer": "computer", "computername": "computer", "winlog.computer_name": "computer", "computer_name": "computer", "event.system.computer": "computer", "host.name": "computer", "system.computer": "computer",
	"@timestamp": "time", "timecreated": "time", "eventtime": "time", "time": "time", "event.system.timecreated.#attributes.systemtime": "time", "event.system.timecreated_attributes.systemtime": "time",
	"event.system.timecreated.systemtime": "time", "system.timecreated_systemtime": "time", "system.timecreated.systemtime": "time",
	"recordnumber": "record", "eventrecordid": "record", "winlog.record_id": "record", "event.system.eventrecordid": "record", "record": "record", "record_id": "record", "system.eventrecordid": "record",
	"message": "message",
}

// levels are the words that Winlogbeat has for a level, and what the log itself says. It
// calls what is logged at any level, 0, information too.
var levels = map[string]string{"critical": "1", "error": "2", "warning": "3", "information": "4", "verbose": "5"}

// wrappers are the objects around the data in one form or another.
var wrappers = []string{"winlog.event_data.", "winlog.user_data.", "event.eventdata.", "event.userdata.", "event_data.", "eventdata.", "userdata.", "data."}

// systems are the objects around what the system says of an event.
var systems = []string{"event.system.", "system."}

// read takes an object apart. With an error it gives what it has understood until then.
func read(line []byte) (*object, error) {
	o := &object{}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("no object")
	}
	if err := o.object(dec, "", 0); err != nil {
		return o, err
	}
	if o.message != "" && strings.EqualFold(o.channel, "MSExchange Management") {
		o.command()
	}
	return o, nil
}

var errBound = errors.New("beyond the bounds")

// object reads the members of an object up to its end.
func (o *object) object(dec *json.Decoder, path string, depth int) error {
	if depth > maxDepth {
		return errBound
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if err := o.value(dec, path+name, depth); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// value reads one value, whatever it is.
func (o *object) value(dec *json.Decoder, path string, depth int) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	switch v := t.(type) {
	case json.Delim:
		if v == '{' {
			return o.object(dec, path+".", depth+1)
		}
		if depth > maxDepth {
			return errBound
		}
		for dec.More() {
			if err := o.value(dec, path, depth+1); err != nil {
				return err
			}
		}
		_, err := dec.Token()
		return err
	case string:
		return o.take(path, v)
	case json.Number:
		return o.take(path, v.String())
	case bool:
		return o.take(path, strconv.FormatBool(v))
	case nil:
		switch {
		case system[strings.ToLower(path)] == "channel":
			o.said = true
		case isData(local(path)): // no value, which keeps its place
			o.place(len(o.unnamed), "")
		}
	}
	return nil
}

// take keeps a value under the name that the log itself has for it.
func (o *object) take(path, v string) error {
	if o.fields++; o.fields > maxFields {
		return errBound
	}
	lower := strings.ToLower(path)
	switch system[lower] {
	case "channel":
		o.channel, o.said = first(o.channel, v), true
		return nil
	case "id":
		o.id = first(o.id, v)
		return nil
	case "provider":
		o.provider = first(o.provider, v)
		return nil
	case "computer":
		o.computer = first(o.computer, v)
		return nil
	case "message":
		o.message = v
		return nil
	case "record":
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && o.record == 0 {
			o.record = n
		}
		return nil
	case "time":
		if at, ok := instant(v); ok && o.at.IsZero() {
			o.at = at
		}
		return nil
	}
	if lower == "log.level" || lower == "winlog.level" {
		level := postern.Field{Name: "Level", Value: levels[strings.ToLower(v)]}
		if level.Value != "" && !slices.Contains(o.data, level) {
			o.data = append(o.data, level)
		}
	}
	name := local(path)
	if isData(name) {
		name = "Data"
		o.place(len(o.unnamed), v)
	} else if n, ok := numbered(lower); ok {
		o.place(n-1, v)
		o.data = append(o.data, postern.Field{Name: "Data", Value: v})
	}
	o.data = append(o.data, postern.Field{Name: name, Value: v})
	return nil
}

// local gives the name that a value has in the log itself.
func local(path string) string {
	name, lower := path, strings.ToLower(path)
	for _, w := range systems {
		if strings.HasPrefix(lower, w) {
			return joined.Replace(strings.TrimSuffix(path[len(w):], ".#text"))
		}
	}
	for _, w := range wrappers {
		if strings.HasPrefix(lower, w) {
			name = path[len(w):]
			if w == "event.userdata." || w == "userdata." { // its own element is between
				if _, inner, ok := strings.Cut(name, "."); ok {
					name = inner
				}
			}
			break
		}
	}
	return again.ReplaceAllString(strings.TrimSuffix(name, ".#text"), "")
}

// joined makes the name of an attribute what the reader of logs calls it: Element_Attribute.
var joined = strings.NewReplacer(".#attributes.", "_", "_attributes.", "_", ".", "_")

// again is what stands behind a name that an object has already, where postern printed it.
var again = regexp.MustCompile(`#[0-9]+$`)

// isData says whether a name is that of the element of a value and not of the value: one
// that the log leaves without a name.
func isData(name string) bool { return strings.EqualFold(name, "Data") }

// numbered gives the place of a value to which Winlogbeat gave a number for a name. Some
// events have such names of their own, which say the same.
func numbered(lower string) (int, bool) {
	digits, ok := strings.CutPrefix(lower, "winlog.event_data.param")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0
}

// place keeps a value without a name at its place among them, but not beyond the bound:
// nobody has a name for such a place.
func (o *object) place(at int, v string) {
	if at >= maxFields {
		return
	}
	for len(o.unnamed) <= at {
		o.unnamed = append(o.unnamed, "")
	}
	o.unnamed[at] = v
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// instant reads a time; without a zone it is UTC, and a number is seconds since 1970.
func instant(s string) (time.Time, bool) {
	if at, ok := epoch(s); ok {
		return at, true
	}
	for _, form := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(form, s); err == nil && t.Year() >= 1970 && t.Year() <= 9999 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// epoch reads seconds since 1970 and what there is of the next, to the nanosecond. From
// 1973 to 2286 they have nine or ten digits; a date without signs between has eight, with
// hour and minute twelve.
func epoch(s string) (time.Time, bool) {
	whole, part, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseUint(whole, 10, 40)
	if err != nil || len(whole) < 9 || len(whole) > 10 || len(part) > 9 {
		return time.Time{}, false
	}
	nanos, err := strconv.ParseUint(part+"000000000"[len(part):], 10, 32)
	return time.Unix(int64(seconds), int64(nanos)).UTC(), err == nil
}

// said is the message of Exchange management, which many collectors keep in place of
// the values.
var said = regexp.MustCompile(`(?s)\bCmdlet (\S+), parameters (.*?)\.?\s*$`)

// command takes command and parameters out of the message where the values themselves
// were not kept.
func (o *object) command() {
	if len(o.unnamed) > 1 || slices.ContainsFunc(o.data, func(f postern.Field) bool { return f.Name == "Cmdlet" }) {
		return
	}
	if m := said.FindStringSubmatch(o.message); m != nil {
		o.unnamed = nil
		o.data = append(o.data, postern.Field{Name: "Cmdlet", Value: m[1]}, postern.Field{Name: "Parameters", Value: m[2]})
	}
}

// Scan reads a file to its end; see [parse.Records].
func Scan(ctx context.Context, r io.Reader, path string, opt parse.RecordOptions) ([]*parse.Result, error) {
	f := &file{path: path, opt: opt, channels: make(map[string]*parse.Channel), sources: make(map[string]*parse.Result)}
	err := f.lines(ctx, r)
	if len(f.order) == 0 {
		f.order = []*parse.Result{{Format: &parse.Format{Name: Name}}}
	}
	for _, p := range []struct {
		n    int64
		what postern.ProblemKind
		key  postern.Text
	}{
		{f.bad, postern.Malformed, postern.Say("eventjson.malformed", "count", f.bad, "line", f.firstBad)},
		{f.long, postern.Limit, postern.Say("eventjson.long", "count", f.long, "bound", maxLine)},
	} {
		if p.n > 0 {
			f.order[0].Problems = append(f.order[0].Problems, postern.Problem{Path: path, What: p.what, Detail: p.key})
		}
	}
	f.order[0].Bytes = f.offset
	return f.order, err
}

// file is one pass over one file.
type file struct {
	path          string
	opt           parse.RecordOptions
	line, offset  int64
	bad, firstBad int64
	long          int64
	channels      map[string]*parse.Channel
	sources       map[string]*parse.Result
	order         []*parse.Result
}

func (f *file) lines(ctx context.Context, r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line = line[:0]
		at, skipped := f.offset, false
		var err error
		for {
			var part []byte
			part, err = in.ReadSlice('\n')
			f.offset += int64(len(part))
			if len(line)+len(part) > maxLine {
				skipped = true
			} else {
				line = append(line, part...)
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
		}
		if f.offset > at {
			f.line++
			text := bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")))
			switch {
			case skipped:
				f.long++
			case len(text) > 0:
				f.event(text, at)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// event books one line and hands it on if a rule may be about it.
func (f *file) event(line []byte, at int64) {
	o, err := read(line)
	if err != nil || !o.known() {
		if f.bad++; f.firstBad == 0 {
			f.firstBad = f.line
		}
		return
	}
	id, _ := o.number()
	ch := f.channel(o.channel)
	f.book(ch, o.at)
	if ch.Wants != nil {
		if _, wanted := ch.Wants(id); !wanted {
			return
		}
	}
	if f.opt.Yield == nil {
		return
	}
	ev := &postern.Event{Source: ch.Source, Time: o.at, Host: o.computer,
		Place: postern.Place{Path: f.path, Line: f.line, Record: o.record, Offset: at}}
	ev.Fields = append(ev.Fields, postern.Field{Name: "Provider_Name", Value: o.provider}, postern.Field{Name: "EventID", Value: strconv.FormatUint(uint64(id), 10)},
		postern.Field{Name: "Channel", Value: o.channel}, postern.Field{Name: "Computer", Value: o.computer})
	ev.Fields = append(ev.Fields, o.data...)
	for i, name := range ch.Values[:min(len(ch.Values), len(o.unnamed))] {
		ev.Derived = append(ev.Derived, postern.Field{Name: name, Value: o.unnamed[i]})
	}
	f.opt.Yield(ev)
}

// channel gives what is asked of a channel.
func (f *file) channel(name string) *parse.Channel {
	ch := f.channels[name]
	if ch != nil {
		return ch
	}
	ch = &parse.Channel{}
	if f.opt.Channel != nil {
		if known := f.opt.Channel(name); known != nil {
			*ch = *known
		}
	}
	if ch.Source == "" {
		ch.Source = parse.ChannelSource(name)
	}
	if len(f.channels) < maxSources {
		f.channels[name] = ch
	}
	return ch
}

// book counts an event for the coverage of its source.
func (f *file) book(ch *parse.Channel, at time.Time) {
	r := f.sources[ch.Source]
	if r == nil {
		if len(f.sources) >= maxSources {
			return
		}
		r = &parse.Result{Format: &parse.Format{Name: ch.Source}, Hours: make(map[int64]int64)}
		f.sources[ch.Source] = r
		f.order = append(f.order, r)
	}
	r.Records++
	if at.IsZero() {
		return
	}
	if hour := at.Unix() / 3600; r.Hours[hour] > 0 || len(r.Hours) < maxHours {
		r.Hours[hour]++
	}
	if r.From.IsZero() || at.Before(r.From) {
		r.From = at
	}
	if at.After(r.To) {
		r.To = at
	}
}
