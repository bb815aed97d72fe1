package evtx

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"postern"
	"postern/internal/exercise/eventlog"
	"postern/internal/hunt/parse"
)

var noon = time.Date(2021, 3, 3, 6, 49, 43, 699_000_100, time.UTC)

func logOf(t testing.TB, events ...eventlog.Event) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := eventlog.Write(&b, events); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// process is a process that starts, as Sysmon writes it.
func process(i int) eventlog.Event {
	return eventlog.Event{Time: noon.Add(time.Duration(i) * time.Minute), Channel: "Microsoft-Windows-Sysmon/Operational",
		Provider: "Microsoft-Windows-Sysmon", ID: 1, Level: 4, Computer: "EX01.contoso.test", Data: []eventlog.Value{
			{Name: "ProcessId", Value: uint32(4000 + i)}, {Name: "Image", Value: `C:\Windows\System32\cmd.exe`},
			{Name: "CommandLine", Value: fmt.Sprintf("cmd.exe /c ver %d", i)}}}
}

func read(t testing.TB, data []byte) (records []Record, problems []postern.Problem) {
	t.Helper()
	problems, err := Read(context.Background(), bytes.NewReader(data), "x.evtx", func(r *Record) error {
		c := *r
		c.System, c.Data = append([]Field(nil), r.System...), append([]Field(nil), r.Data...)
		records = append(records, c)
		return nil
	})
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return records, problems
}

// keys gives what problems are about, with the number of each.
func keys(problems []postern.Problem) map[string]string {
	m := make(map[string]string)
	for _, p := range problems {
		m[p.Detail.Key] = p.Detail.Args["count"] + p.Detail.Args["bytes"]
	}
	return m
}

func TestRecord(t *testing.T) {
	t.Parallel()
	records, problems := read(t, logOf(t, process(0), process(1)))
	if len(records) != 2 || len(problems) != 0 {
		t.Fatalf("%d records, problems %v", len(records), problems)
	}
	got := records[1]
	second := got.Offset
	want := Record{Number: 2, Offset: second, Time: noon.Add(time.Minute), Channel: "Microsoft-Windows-Sysmon/Operational",
		Provider: "Microsoft-Windows-Sysmon", EventID: 1, Computer: "EX01.contoso.test",
		System: []Field{
			{Name: "Provider_Name", Value: "Microsoft-Windows-Sysmon"}, {Name: "EventID", Value: "1"}, {Name: "Level", Value: "4"},
			{Name: "TimeCreated_SystemTime", Value: "2021-03-03T06:50:43.6990001Z"}, {Name: "EventRecordID", Value: "2"},
			{Name: "Channel", Value: "Microsoft-Windows-Sysmon/Operational"}, {Name: "Computer", Value: "EX01.contoso.test"},
		},
		Data: []Field{
			{Name: "ProcessId", Value: "4001"}, {Name: "Image", Value: `C:\Windows\System32\cmd.exe`}, {Name: "CommandLine", Value: "cmd.exe /c ver 1"},
		}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Record{})); diff != "" {
		t.Errorf("second record (-want +got):\n%s", diff)
	}
	if got := logOf(t, process(0), process(1))[second : second+4]; string(got) != "**\x00\x00" {
		t.Errorf("at the offset of the record is %q", got)
	}
	if got := Server(logOf(t, process(0))[:8<<10]); got != "EX01" {
		t.Errorf("Server = %q", got)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	sid := eventlog.SID{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0xf4, 1, 0, 0}
	guid := eventlog.GUID{0x5d, 0x38, 0x70, 0x57, 0x2a, 0xc2, 0xe0, 0x43, 0xbf, 0x4c, 0x06, 0xf5, 0x69, 0x8f, 0xfb, 0xd9}
	cases := []struct {
		value any
		want  string
	}{
		{"Müßig 💣", "Müßig 💣"}, {"", ""}, {"ends with NUL\x00", "ends with NUL"}, {eventlog.ANSI("caf\xe9\x00"), "café"},
		{int8(-3), "-3"}, {uint8(250), "250"}, {int16(-300), "-300"}, {uint16(65000), "65000"}, {int32(-70000), "-70000"},
		{uint32(4_000_000_000), "4000000000"}, {int64(-1 << 40), "-1099511627776"}, {uint64(1 << 63), "9223372036854775808"},
		{float32(1.5), "1.5"}, {float64(-0.25), "-0.25"}, {true, "true"}, {false, "false"}, {[]byte{0xde, 0xad}, "DEAD"},
		{guid, "{5770385D-C22A-43E0-BF4C-06F5698FFBD9}"}, {noon, "2021-03-03T06:49:43.6990001Z"}, {sid, "S-1-5-21-1-2-3-500"},
		{eventlog.Hex32(0x1410), "0x1410"}, {eventlog.Hex64(0xdeadbeef00), "0xdeadbeef00"},
	}
	e := process(0)
	e.Data = nil
	var want []Field
	for i, c := range cases {
		name := fmt.Sprint("v", i)
		e.Data = append(e.Data, eventlog.Value{Name: name, Value: c.value})
		want = append(want, Field{Name: name, Value: c.want})
	}
	e.Data = append(e.Data, eventlog.Value{Name: "nothing"}, eventlog.Value{Name: "list", Value: []string{"a", "", "c"}})
	want = append(want, Field{Name: "nothing", Null: true}, Field{Name: "list", Value: "a"}, Field{Name: "list"}, Field{Name: "list", Value: "c"})
	for _, nested := range []bool{false, true} {
		e.Nested = nested
		records, problems := read(t, logOf(t, e))
		if len(records) != 1 || len(problems) > 0 {
			t.Fatalf("nested %v: %d records, problems %v", nested, len(records), problems)
		}
		if diff := cmp.Diff(want, records[0].Data); diff != "" {
			t.Errorf("nested %v (-want +got):\n%s", nested, diff)
		}
	}
}

// Values that do not fit their type are not guessed at.
func TestOddValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  byte
		b    string
		want string
		bad  int
	}{
		{typeUint32, "\x01\x02\x03", "010203", 0},
		{typeUint32, "\x05\x00", "5", 0},
		{typeGUID, "\x01", "01", 0},
		{typeSID, "\x01\x05\x00\x00\x00\x00\x00\x05\x01", "010500000000000501", 0},
		{typeBool, "\x01", "true", 0},
		{typeSystemTime, "\xe5\x07\x03\x00\x03\x00\x03\x00\x06\x00\x31\x00\x2b\x00\xbb\x02", "2021-03-03T06:49:43.699Z", 0},
		{typeSystemTime, "\xe5\x07\x0d\x00\x03\x00\x03\x00\x06\x00\x31\x00\x2b\x00\xbb\x02", "E5070D000300030006003100" + "2B00BB02", 0},
		{typeFileTime, "\x00\x00\x00\x00\x00\x00\x00\x00", "1601-01-01T00:00:00Z", 0},
		{typeFileTime, "\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615", 0},
		{typeSize, "\x10\x00\x00\x00", "0x10", 0},
		{0x7f, "\x01\x02", "0102", 0},
		{typeString, "a\x00\x3d\xd8b\x00", "a\ufffdb", 1},
		{typeString, "a\x00b", "a\ufffd", 1},
		{typeString, "\x3d\xd8\xa3\xdc", "💣", 0},
	} {
		got, bad := appendValue(nil, c.typ, []byte(c.b))
		if string(got) != c.want || bad != c.bad {
			t.Errorf("type %#x of % x: got %q and %d, want %q and %d", c.typ, c.b, got, bad, c.want, c.bad)
		}
	}
}

func TestUnnamedAndUserData(t *testing.T) {
	t.Parallel()
	plain := eventlog.Event{Time: noon, Channel: "MSExchange Management", Provider: "MSExchange CmdletLogs", ID: 1, Computer: "EX01",
		Data: []eventlog.Value{{Value: "Get-Mailbox"}, {Value: "-Identity x"}, {Name: "Extra", Value: "y"}, {Value: []string{"p", "q"}}}}
	user := eventlog.Event{Time: noon, Channel: "Security", Provider: "Microsoft-Windows-Eventlog", ID: 1102, Computer: "EX01", UserData: "LogFileCleared",
		Data: []eventlog.Value{{Name: "SubjectUserName", Value: "admin"}, {Name: "Channel", Value: "Security"}}}
	inner := user
	inner.Nested = true
	records, problems := read(t, logOf(t, plain, user, inner))
	if len(records) != 3 || len(problems) > 0 {
		t.Fatalf("%d records, problems %v", len(records), problems)
	}
	for i, want := range [][]Field{
		{{Value: "Get-Mailbox"}, {Value: "-Identity x"}, {Name: "Extra", Value: "y"}, {Value: "p"}, {Value: "q"}},
		{{Name: "SubjectUserName", Value: "admin"}, {Name: "Channel", Value: "Security"}},
		{{Name: "SubjectUserName", Value: "admin"}, {Name: "Channel", Value: "Security"}},
	} {
		if diff := cmp.Diff(want, records[i].Data); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", i+1, diff)
		}
	}
	if got := records[2].Channel; got != "Security" {
		t.Errorf("channel %q", got)
	}
	// A hunt gives values without a name those that the channel's are known by.
	opt := parse.RecordOptions{Channel: func(name string) *parse.Channel {
		return &parse.Channel{Source: "x", Values: []string{"Cmdlet", "Parameters"}}
	}}
	var derived []postern.Field
	opt.Yield = func(ev *postern.Event) { derived = append(derived, ev.Derived...) }
	if _, err := Scan(context.Background(), bytes.NewReader(logOf(t, plain)), "x.evtx", opt); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]postern.Field{{Name: "Cmdlet", Value: "Get-Mailbox"}, {Name: "Parameters", Value: "-Identity x"}}, derived); diff != "" {
		t.Errorf("derived (-want +got):\n%s", diff)
	}
}

// many gives a log of several chunks.
func many(t testing.TB, n int) []byte {
	var events []eventlog.Event
	for i := range n {
		events = append(events, process(i))
	}
	return logOf(t, events...)
}

func TestDamage(t *testing.T) {
	t.Parallel()
	const n = 1000
	whole := many(t, n)
	chunks := (len(whole) - fileHeader) / chunkSize
	if chunks < 3 {
		t.Fatalf("only %d chunks", chunks)
	}
	inFirst := int(binary.LittleEndian.Uint64(whole[fileHeader+16:])) // number of its last record
	secondRecord := bytes.Index(whole[fileHeader+chunkHeader+4:], recordMagic) + fileHeader + chunkHeader + 4
	change := func(do func(b []byte) []byte) []byte { return do(bytes.Clone(whole)) }
	for _, c := range []struct {
		name string
		data []byte
		want int
		told map[string]string
	}{
		{"whole", whole, n, map[string]string{}},
		{"chunks alone", whole[fileHeader:], n, map[string]string{}},
		{"no header's sum", change(func(b []byte) []byte { b[124]++; return b }), n, map[string]string{"evtx.checksums": "1"}},
		{"dirty", change(func(b []byte) []byte { b[120], b[42] = 1, 0; return b }), n, map[string]string{}},
		{"other version", change(func(b []byte) []byte { b[38] = 9; b[120] = 1; return b }), n, map[string]string{"evtx.version": ""}},
		{"an empty chunk behind", append(bytes.Clone(whole), make([]byte, chunkSize)...), n, map[string]string{}},
		{"chunks in a circle", slicesOf(whole, 1, chunks, 0, 1), n, map[string]string{}},
		{"a chunk is missing", slicesOf(whole, 0, chunks-1), n - (n - lastOf(whole, chunks-2)), map[string]string{"evtx.missing": "1"}},
		{"cut in a chunk", whole[:fileHeader+chunkSize+chunkSize/2], 0, map[string]string{"evtx.cut": "32768", "evtx.records": "1", "evtx.missing": fmt.Sprint(chunks - 2)}},
		{"cut in the header", whole[:100], 0, map[string]string{"evtx.cut": "100"}},
		{"another signature", change(func(b []byte) []byte { b[0] = 'X'; return b }), n, map[string]string{"evtx.header": ""}},
		{"header of zeros", change(func(b []byte) []byte { clear(b[:fileHeader]); return b }), n, map[string]string{"evtx.header": ""}},
		{"neither header nor first chunk", change(func(b []byte) []byte { clear(b[:fileHeader+chunkSize]); return b }), n - inFirst, map[string]string{"evtx.header": ""}},
		{"a chunk of zeros", change(func(b []byte) []byte { clear(b[fileHeader : fileHeader+chunkSize]); return b }), n - inFirst, map[string]string{"evtx.zeros": "1"}},
		{"a chunk of zeros, dirty", change(func(b []byte) []byte { b[120] = 1; clear(b[fileHeader : fileHeader+chunkSize]); return b }), n - inFirst, map[string]string{}},
		{"zeros", make([]byte, fileHeader+chunkSize), 0, map[string]string{"evtx.none": ""}},
		{"nothing", nil, 0, map[string]string{"evtx.none": ""}},
		{"not a chunk", change(func(b []byte) []byte { copy(b[fileHeader:], "????????"); return b }), n, map[string]string{"evtx.chunks": "1"}},
		{"chunk's sum", change(func(b []byte) []byte { b[fileHeader+124]++; return b }), n, map[string]string{"evtx.checksums": "1"}},
		{"records' sum", change(func(b []byte) []byte { b[fileHeader+52]++; return b }), n, map[string]string{"evtx.checksums": "1"}},
		{"stale end", change(func(b []byte) []byte {
			// As Windows leaves it when it is cut off: the end as it was, and more behind it.
			binary.LittleEndian.PutUint32(b[fileHeader+48:], uint32(secondRecord-fileHeader))
			h := b[fileHeader:]
			binary.LittleEndian.PutUint32(h[124:], headerSum(h))
			return b
		}), n, map[string]string{"evtx.checksums": "1"}},
		{"a record without its magic", change(func(b []byte) []byte { b[secondRecord] = 'x'; return b }), n - 1, map[string]string{"evtx.records": "1", "evtx.checksums": "1"}},
		{"a record that is longer than the chunk", change(func(b []byte) []byte { b[secondRecord+6] = 9; return b }), n - 1, map[string]string{"evtx.records": "1", "evtx.checksums": "1"}},
		{"a record without its template", change(func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[secondRecord+recordHeader+4+2+4:], 0xffffff)
			return b
		}), n, map[string]string{"evtx.partly": "1", "evtx.checksums": "1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			records, problems := read(t, c.data)
			if c.want > 0 && len(records) != c.want {
				t.Errorf("%d records, want %d", len(records), c.want)
			}
			if c.name == "cut in a chunk" && len(records) <= inFirst {
				t.Errorf("%d records, want more than the %d of the first chunk", len(records), inFirst)
			}
			if diff := cmp.Diff(c.told, keys(problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// A log whose header is damaged is known by its first chunk, and by nothing less: what
// lies at the places of a chunk in any other file is not for us.
func TestRecognise(t *testing.T) {
	t.Parallel()
	whole := many(t, 10)
	torn := bytes.Clone(whole)
	clear(torn[:fileHeader])
	moved := append([]byte{0}, torn...)
	for name, c := range map[string]struct {
		head []byte
		want bool
	}{
		"whole": {whole, true}, "chunk": {whole[fileHeader:], true}, "torn": {torn, true}, "its beginning": {torn[:8<<10], true},
		"moved": {moved, false}, "cut before the chunk": {torn[:fileHeader], false}, "nothing": {nil, false}, "zeros": {make([]byte, 8<<10), false},
	} {
		if got := Recognise(c.head); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := Server(torn); got != "EX01" {
		t.Errorf("torn: of the server %q", got)
	}
}

// slicesOf gives the header with ranges of chunks behind it.
func slicesOf(whole []byte, ranges ...int) []byte {
	b := bytes.Clone(whole[:fileHeader])
	for i := 0; i < len(ranges); i += 2 {
		b = append(b, whole[fileHeader+ranges[i]*chunkSize:fileHeader+ranges[i+1]*chunkSize]...)
	}
	return b
}

// lastOf gives the number of the last record of a chunk.
func lastOf(whole []byte, i int) int {
	return int(binary.LittleEndian.Uint64(whole[fileHeader+i*chunkSize+16:]))
}

// Records of an older chunk behind the end of a newer one are not taken for its own.
func TestOldRecordsBehindTheEnd(t *testing.T) {
	t.Parallel()
	data := many(t, 10)
	old := process(100)
	old.Record = 5
	rest := logOf(t, old)
	free := int(binary.LittleEndian.Uint32(data[fileHeader+48:]))
	copy(data[fileHeader+free:], rest[fileHeader+chunkHeader:fileHeader+chunkSize-free])
	if records, _ := read(t, data); len(records) != 10 {
		t.Errorf("%d records, want 10", len(records))
	}
}

func TestReadError(t *testing.T) {
	t.Parallel()
	data := many(t, 1000)
	count := 0
	_, err := Read(context.Background(), io.MultiReader(bytes.NewReader(data[:fileHeader+chunkSize]), iotest.ErrReader(io.ErrNoProgress)), "x", func(*Record) error {
		count++
		return nil
	})
	if err == nil || count == 0 {
		t.Errorf("%d records and error %v, want those of the first chunk and the error", count, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Scan(ctx, bytes.NewReader(data), "x", parse.RecordOptions{}); err != context.Canceled {
		t.Errorf("a cancelled scan gives %v", err)
	}
}

// passing is a gate that remembers what it was shown.
type passing struct {
	want string
	seen []string
}

func (g *passing) Pass(text []byte) bool {
	g.seen = append(g.seen, string(text))
	return strings.Contains(string(text), g.want)
}

func TestGate(t *testing.T) {
	t.Parallel()
	other := process(0)
	other.Channel, other.ID = "Security", 4624
	data := logOf(t, process(0), process(1), other, process(7))
	gate := &passing{want: "ver 7"}
	var got []string
	opt := parse.RecordOptions{
		Channel: func(name string) *parse.Channel {
			if name == "Security" {
				return &parse.Channel{Source: "windows-security", Wants: func(id uint32) (parse.Gate, bool) { return nil, id == 4688 }}
			}
			return &parse.Channel{Source: "sysmon", Wants: func(id uint32) (parse.Gate, bool) { return gate, id == 1 }}
		},
		Yield: func(ev *postern.Event) {
			got = append(got, fmt.Sprint(ev.Source, " ", ev.Get("EventID"), " ", ev.Place.Record, " ", ev.Get("CommandLine")))
		},
	}
	results, err := Scan(context.Background(), bytes.NewReader(data), "x.evtx", opt)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sysmon 1 4 cmd.exe /c ver 7"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if len(gate.seen) != 3 || !strings.Contains(gate.seen[0], "c:\\windows\\system32\\cmd.exe\x00") {
		t.Errorf("the gate saw %q", gate.seen)
	}
	var counted []string
	for _, r := range results {
		counted = append(counted, fmt.Sprint(r.Format.Name, " ", r.Records, " ", r.From.Format(time.TimeOnly), " ", len(r.Hours)))
	}
	if diff := cmp.Diff([]string{"sysmon 3 06:49:43 1", "windows-security 1 06:49:43 1"}, counted); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

// whole is a gate that looks for whole values.
type whole struct{ passing }

func (*whole) Whole() bool { return true }

// A gate that looks for whole values is shown numbers as well, and nothing of what has a dash.
func TestGateOfWholeValues(t *testing.T) {
	t.Parallel()
	e := process(0)
	e.Data = append(e.Data, eventlog.Value{Name: "Mask", Value: eventlog.Hex32(0x2A)}, eventlog.Value{Name: "Signed", Value: true},
		eventlog.Value{Name: "User", Value: eventlog.SID{1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0}})
	gate := &whole{}
	opt := parse.RecordOptions{Channel: func(string) *parse.Channel {
		return &parse.Channel{Source: "sysmon", Wants: func(uint32) (parse.Gate, bool) { return gate, true }}
	}}
	if _, err := Scan(context.Background(), bytes.NewReader(logOf(t, e)), "x.evtx", opt); err != nil {
		t.Fatal(err)
	}
	if len(gate.seen) != 1 {
		t.Fatalf("the gate saw %q", gate.seen)
	}
	text := gate.seen[0]
	for _, value := range []string{"4000", "c:\\windows\\system32\\cmd.exe", "0x2a", "true", "1"} {
		if !strings.Contains(text, "\x00"+value+"\x00") {
			t.Errorf("the gate does not see %q as a whole in %q", value, text)
		}
	}
	if strings.Contains(text, "s-1-5") {
		t.Errorf("the gate is shown an identifier in %q", text)
	}
}

// TestIdleGate has a gate let all pass for a while: it is asked no more, tried again, and
// then stops what it should.
func TestIdleGate(t *testing.T) {
	t.Parallel()
	const busy = 100 // records that it lets pass
	gate := &passing{want: "ver"}
	n, yielded := 0, 0
	opt := parse.RecordOptions{
		Channel: func(string) *parse.Channel {
			return &parse.Channel{Source: "sysmon", Wants: func(uint32) (parse.Gate, bool) { return gate, true }}
		},
		Yield: func(ev *postern.Event) {
			if yielded++; yielded == busy {
				n, gate.want = len(gate.seen), "ver 2000\x00"
			}
		},
	}
	if _, err := Scan(context.Background(), bytes.NewReader(many(t, 2*gateTurn+1)), "x.evtx", opt); err != nil {
		t.Fatal(err)
	}
	if n != gateTrial {
		t.Errorf("it was asked about %d of the first %d records, want %d", n, busy, gateTrial)
	}
	if yielded != gateTurn+1 {
		t.Errorf("got %d records, want those of its idle turn and one", yielded)
	}
}

func TestFolded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.SliceOf(rapid.OneOf(rapid.Uint16Range(0, 0x81), rapid.Uint16())).Draw(t, "units")
		var src, want []byte
		for _, u := range units {
			src = binary.LittleEndian.AppendUint16(src, u)
			if u < 0x80 {
				want = append(want, bytes.ToLower([]byte{byte(u)})...)
			} else {
				want = append(want, other)
			}
		}
		if got := appendFolded(nil, src); !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// A record that nobody wants costs no allocation, and one that somebody wants few.
func TestAllocations(t *testing.T) {
	data := many(t, 1000)
	scan := func(wanted bool) float64 {
		opt := parse.RecordOptions{Yield: func(*postern.Event) {}, Channel: func(string) *parse.Channel {
			return &parse.Channel{Source: "x", Wants: func(uint32) (parse.Gate, bool) { return nil, wanted }}
		}}
		return testing.AllocsPerRun(3, func() { Scan(context.Background(), bytes.NewReader(data), "x", opt) })
	}
	unwanted, wanted := scan(false), scan(true)
	if unwanted > 600 {
		t.Errorf("%v allocations for 1000 records that nobody wants", unwanted)
	}
	if each := (wanted - unwanted) / 1000; each > 2 {
		t.Errorf("%v allocations for each record that somebody wants", each)
	}
}

func BenchmarkScan(b *testing.B) {
	data := many(b, 2000)
	for _, c := range []struct {
		name   string
		wanted bool
	}{{"unwanted", false}, {"wanted", true}} {
		b.Run(c.name, func(b *testing.B) {
			opt := parse.RecordOptions{Yield: func(*postern.Event) {}, Channel: func(string) *parse.Channel {
				return &parse.Channel{Source: "x", Wants: func(uint32) (parse.Gate, bool) { return nil, c.wanted }}
			}}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				Scan(context.Background(), bytes.NewReader(data), "x", opt)
			}
		})
	}
}
