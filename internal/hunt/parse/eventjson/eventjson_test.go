package eventjson

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/parse"
)

// forms are one event in every form.
var forms = map[string]string{
	"flat":         `{"SourceName":"p","Channel":"Security","Hostname":"EX01.contoso.test","@timestamp":"2021-03-03T06:59:18.042Z","EventID":4688,"Message":"words","NewProcessName":"C:\\cmd.exe","Count":7}`,
	"winlogbeat":   `{"@timestamp":"2021-03-03T06:59:18.042Z","message":"words","winlog":{"channel":"Security","event_id":4688,"provider_name":"p","computer_name":"EX01.contoso.test","event_data":{"NewProcessName":"C:\\cmd.exe","Count":"7"}}}`,
	"evtx_dump":    `{"Event":{"#attributes":{},"System":{"Provider":{"#attributes":{"Name":"p"}},"EventID":{"#attributes":{"Qualifiers":0},"#text":4688},"TimeCreated":{"#attributes":{"SystemTime":"2021-03-03T06:59:18.042000Z"}},"Channel":"Security","Computer":"EX01.contoso.test"},"EventData":{"NewProcessName":"C:\\cmd.exe","Count":7,"Nothing":null}}}`,
	"velociraptor": `{"System":{"Provider":{"Name":"p","Guid":"5770385F-C22A-43E0-BF4C-06F5698FFBD9"},"EventID":{"Value":4688},"Level":4,"TimeCreated":{"SystemTime":1614754758.042},"EventRecordID":5,"Channel":"Security","Computer":"EX01.contoso.test","Security":{}},"EventData":{"NewProcessName":"C:\\cmd.exe","Count":7},"Message":"words"}`,
	"own":          `{"record":12,"time":"2021-03-03T06:59:18.042Z","channel":"Security","provider":"p","event_id":4688,"computer":"EX01.contoso.test","data":{"NewProcessName":"C:\\cmd.exe","Count":"7"},"system":{"EventID":"4688"}}`,
}

func scan(t testing.TB, text string, opt parse.RecordOptions) ([]postern.Event, []*parse.Result) {
	t.Helper()
	var events []postern.Event
	opt.Yield = func(ev *postern.Event) { events = append(events, *ev) }
	results, err := Scan(context.Background(), strings.NewReader(text), "x.json", opt)
	if err != nil {
		t.Fatal(err)
	}
	return events, results
}

func TestForms(t *testing.T) {
	t.Parallel()
	for form, line := range forms {
		if !Recognise([]byte(line+"\n{")) || server([]byte(line)) != "EX01" {
			t.Errorf("%s: not recognised, or of the server %q", form, server([]byte(line)))
		}
		events, results := scan(t, "\n"+line+"\r\n", parse.RecordOptions{})
		if len(events) != 1 || len(results) != 1 || len(results[0].Problems) > 0 {
			t.Errorf("%s: %d events, results %+v", form, len(events), results)
			continue
		}
		ev := &events[0]
		got := map[string]string{"time": ev.Time.Format("15:04:05.000"), "source": ev.Source, "line": fmt.Sprint(ev.Place.Line), "offset": fmt.Sprint(ev.Place.Offset)}
		for _, name := range []string{"EventID", "Channel", "Provider_Name", "Computer", "NewProcessName", "Count", "Message"} {
			if v, ok := ev.Lookup(name); ok {
				got[name] = v
			}
		}
		want := map[string]string{"time": "06:59:18.042", "source": "security", "line": "2", "offset": "1", "EventID": "4688", "Channel": "Security", "Provider_Name": "p",
			"Computer": "EX01.contoso.test", "NewProcessName": `C:\cmd.exe`, "Count": "7"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
}

// Of Exchange management many collectors keep only the words.
func TestManagement(t *testing.T) {
	t.Parallel()
	line := `{"Channel":"MSExchange Management","EventID":1,"Message":"Cmdlet suceeded. Cmdlet Set-OabVirtualDirectory, parameters -ExternalUrl \"http://f/\" -Identity \"x\"."}`
	events, _ := scan(t, line, parse.RecordOptions{})
	if len(events) != 1 || events[0].Get("Cmdlet") != "Set-OabVirtualDirectory" || events[0].Get("Parameters") != `-ExternalUrl "http://f/" -Identity "x"` {
		t.Errorf("events %+v", events)
	}
}

// Values that the log leaves without a name have one by their place, whoever wrote them
// down; a value that is missing keeps its place.
func TestPlaces(t *testing.T) {
	t.Parallel()
	channel := func(string) *parse.Channel { return &parse.Channel{Values: []string{"Cmdlet", "Parameters"}} }
	for form, line := range map[string]string{
		"own":             `{"record":1,"channel":"MSExchange Management","event_id":1,"data":["Get-App","-Mailbox a","later"]}`,
		"own, one named":  `{"record":1,"channel":"MSExchange Management","event_id":1,"data":["Get-App",{"Name":"x"},"-Mailbox a","later"]}`,
		"evtx_dump":       `{"Event":{"System":{"EventID":1,"Channel":"MSExchange Management"},"EventData":{"Data":{"#text":["Get-App","-Mailbox a","later"]}}}}`,
		"evtx_dump, flat": `{"Event":{"System":{"EventID":1,"Channel":"MSExchange Management"},"EventData":{"Data":["Get-App","-Mailbox a","later"]}}}`,
		"winlogbeat":      `{"winlog":{"channel":"MSExchange Management","event_id":1,"event_data":{"param1":"Get-App","param3":"later","param2":"-Mailbox a"}},"message":"Cmdlet suceeded. Cmdlet X, parameters y."}`,
	} {
		events, _ := scan(t, line, parse.RecordOptions{Channel: channel})
		if len(events) != 1 || events[0].Get("Cmdlet") != "Get-App" || events[0].Get("Parameters") != "-Mailbox a" || !slices.Contains(events[0].Values("Data"), "later") {
			t.Errorf("%s: %+v", form, events)
		}
	}
	events, _ := scan(t, `{"channel":"MSExchange Management","event_id":1,"data":[null,"-Mailbox a"]}`, parse.RecordOptions{Channel: channel})
	if len(events) != 1 || events[0].Get("Cmdlet") != "" || events[0].Get("Parameters") != "-Mailbox a" || len(events[0].Values("Data")) != 1 {
		t.Errorf("missing value: %+v", events)
	}
	// A place that no event has costs neither the record nor its other values.
	for _, far := range []string{`"param9999":"x"`, `"param4097":"x"`, `"param99999999999999999999":"x"`, `"param4096":"x","Data":"y"`, `"Data":[` + strings.Repeat("null,", 5000) + `"x"]`} {
		line := `{"winlog":{"channel":"MSExchange Management","event_id":1,"event_data":{"param1":"Get-App","param2":"-Mailbox a",` + far + `}}}`
		name, _, _ := strings.Cut(far[1:], `"`)
		events, _ = scan(t, line, parse.RecordOptions{Channel: channel})
		if len(events) != 1 || events[0].Get("Cmdlet") != "Get-App" || events[0].Get("Parameters") != "-Mailbox a" || !slices.Contains(events[0].Values(name), "x") {
			t.Errorf("%.40s: %+v", far, events)
		}
	}
	// One value is not both, and the words have both.
	events, _ = scan(t, `{"Channel":"MSExchange Management","EventID":1,"Data":"x","Message":"Cmdlet suceeded. Cmdlet Get-App, parameters -Mailbox a."}`, parse.RecordOptions{Channel: channel})
	if len(events) != 1 || events[0].Get("Cmdlet") != "Get-App" || events[0].Get("Parameters") != "-Mailbox a" {
		t.Errorf("one value and words: %+v", events)
	}
}

// Rows of Velociraptor have times as numbers, and the element of user data.
func TestVelociraptor(t *testing.T) {
	t.Parallel()
	line := `{"System":{"EventID":{"Value":1102},"TimeCreated":{"SystemTime":1549731924.6727583},"EventRecordID":33072,"Channel":"Security","Computer":"EX01"},"UserData":{"LogFileCleared":{"SubjectUserName":"test","SubjectLogonId":135562}}}`
	events, _ := scan(t, line, parse.RecordOptions{})
	if len(events) != 1 || !events[0].Time.Equal(time.Date(2019, 2, 9, 17, 5, 24, 672758300, time.UTC)) || events[0].Get("SubjectUserName") != "test" || events[0].Place.Record != 33072 {
		t.Errorf("events %+v", events)
	}
	for number, want := range map[string]time.Time{
		"100000000": time.Date(1973, 3, 3, 9, 46, 40, 0, time.UTC), "1614754758": time.Date(2021, 3, 3, 6, 59, 18, 0, time.UTC), "9999999999.5": time.Date(2286, 11, 20, 17, 46, 39, 5e8, time.UTC),
	} {
		if at, ok := instant(number); !ok || !at.Equal(want) {
			t.Errorf("%q is taken for %v, %v, want %v", number, at, ok, want)
		}
	}
	for _, no := range []string{"", ".", "1e9", "-1", "99999999999999", "1.0000000001", "12:30", "20210303", "20210303.5", "202103030659", "1614754758.0000000001"} {
		if at, ok := instant(no); ok {
			t.Errorf("%q is taken for %v", no, at)
		}
	}
}

// What the system says of an event, and a name that stands twice, are called in every
// form what the log itself calls them.
func TestNames(t *testing.T) {
	t.Parallel()
	for form, line := range map[string]string{
		"own":          `{"channel":"x","event_id":1,"data":{"Word":"a","Word#2":"b"},"system":{"Level":"2","Security_UserID":"S-1-5-18"}}`,
		"evtx_dump":    `{"Event":{"System":{"EventID":1,"Channel":"x","Level":2,"Security":{"#attributes":{"UserID":"S-1-5-18"}}},"EventData":{"Word":["a","b"]}}}`,
		"separate":     `{"Event":{"System":{"EventID":1,"Channel":"x","Level":2,"Security_attributes":{"UserID":"S-1-5-18"}},"EventData":{"Word":["a","b"]}}}`,
		"velociraptor": `{"System":{"EventID":{"Value":1},"Channel":"x","Level":2,"Security":{"UserID":"S-1-5-18"}},"EventData":{"Word":["a","b"]}}`,
	} {
		events, _ := scan(t, line, parse.RecordOptions{})
		if len(events) != 1 || events[0].Get("Level") != "2" || events[0].Get("Security_UserID") != "S-1-5-18" || !slices.Equal(events[0].Values("Word"), []string{"a", "b"}) {
			t.Errorf("%s: %+v", form, events)
		}
	}
}

// Winlogbeat writes the level as a word, in one place or another; rules ask for its number.
func TestLevels(t *testing.T) {
	t.Parallel()
	for where, want := range map[string][]string{
		`"log":{"level":"critical"}`: {"1"}, `"log":{"level":"error"}`: {"2"}, `"log.level":"Warning"`: {"3"}, `"log":{"level":"information"}`: {"4"},
		`"log":{"level":"verbose"}`: {"5"}, `"winlog":{"level":"error"}`: {"2"}, `"log":{"level":"error"},"winlog":{"level":"Error"}`: {"2"},
		`"log":{"level":"strange"}`: nil, `"level":{"log":"error"}`: nil,
	} {
		line := `{` + where + `,"winlog":{"channel":"x","event_id":1,"provider_name":"p"}}`
		events, _ := scan(t, line, parse.RecordOptions{})
		if len(events) != 1 || !slices.Equal(events[0].Values("Level"), want) {
			t.Errorf("%s: want level %q in %+v", where, want, events)
		}
	}
	events, _ := scan(t, `{"log":{"level":"error"},"winlog":{"channel":"x","event_id":1}}`, parse.RecordOptions{})
	if len(events) != 1 || events[0].Get("log.level") != "error" {
		t.Errorf("the word itself is lost: %+v", events)
	}
}

// A first line that is longer than what a file is recognised by is enough if it says in
// time what it is; a line that ends before its object is none.
func TestLongFirstLine(t *testing.T) {
	t.Parallel()
	line := `{"channel":"x","event_id":4104,"computer":"EX01","data":{"ScriptBlockText":"` + strings.Repeat("a", 20<<10) + `"}}`
	head := []byte(line[:8<<10])
	if !Recognise(head) || server(head) != "EX01" {
		t.Errorf("recognised %v, of the server %q", Recognise(head), server(head))
	}
	if torn := []byte(line[:100] + "\n" + line[:9<<10]); Recognise(torn) {
		t.Error("a torn line is taken for an event")
	}
}

// What was recorded by event tracing has no channel, and says so.
func TestNoChannel(t *testing.T) {
	t.Parallel()
	line := `{"record":4,"time":"2020-09-18T14:02:36.2195349Z","channel":"","provider":"Microsoft-Windows-RPC","event_id":6,"computer":"EX01","data":{"Endpoint":"lsasspirpc"}}`
	events, results := scan(t, line, parse.RecordOptions{})
	if !Recognise([]byte(line)) || len(events) != 1 || events[0].Get("Endpoint") != "lsasspirpc" || results[0].Format.Name != "events" {
		t.Errorf("recognised %v, events %+v", Recognise([]byte(line)), events)
	}
	if dumped := `{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-RPC"}},"EventID":6,"Channel":null}}}`; !Recognise([]byte(dumped)) {
		t.Error("not recognised where there is no value for it")
	}
	for _, no := range []string{
		`{"channel":"","event_id":6}`, `{"provider":"hannel","event_id":6}`,
		`{"channel":"","provider":"stripe","event_id":"evt_1"}`, `{"channel":"web","event_id":"evt_1"}`, `{"channel":"web","event_id":4294967296}`,
	} {
		events, results := scan(t, no+"\n"+line, parse.RecordOptions{})
		if Recognise([]byte(no)) || len(events) != 1 || len(results[0].Problems) != 1 {
			t.Errorf("%s is taken for an event: %+v, results %+v", no, events, results)
		}
	}
}

func TestBadLines(t *testing.T) {
	t.Parallel()
	text := forms["flat"] + "\nnot json\n[1]\n{\"Channel\":\"x\"}\n" + `{"Channel":"x","EventID":1,"a":"` + strings.Repeat("a", maxLine) + "\"}\n" +
		`{"Channel":"x","EventID":1,"a":` + strings.Repeat("[", 100) + "\n" + forms["own"]
	events, results := scan(t, text, parse.RecordOptions{})
	if len(events) != 2 {
		t.Errorf("%d events, want 2", len(events))
	}
	got := make(map[string]string)
	for _, p := range results[0].Problems {
		got[p.Detail.Key] = p.Detail.Args["count"]
	}
	if diff := cmp.Diff(map[string]string{"eventjson.malformed": "4", "eventjson.long": "1"}, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for _, no := range []string{"", "{", "{}", `{"a":1}`, `{"channel":"x"}`, "[{}]", "date time", `{"Channel":"x","EventID":1`} {
		if Recognise([]byte(no)) {
			t.Errorf("%q is taken for events", no)
		}
	}
}

// Only what a rule asks for is made an event of.
func TestWants(t *testing.T) {
	t.Parallel()
	events, results := scan(t, forms["flat"]+"\n"+strings.Replace(forms["flat"], "4688", "4624", 1), parse.RecordOptions{Channel: func(string) *parse.Channel {
		return &parse.Channel{Source: "windows-security", Wants: func(id uint32) (parse.Gate, bool) { return nil, id == 4688 }}
	}})
	if len(events) != 1 || len(results) != 1 || results[0].Records != 2 || results[0].Format.Name != "windows-security" {
		t.Errorf("%d events, results %+v", len(events), results)
	}
}

// FuzzScan asks that every line is an event or is counted, and that events carry the
// channel and the id by which they were chosen.
func FuzzScan(f *testing.F) {
	for _, line := range forms {
		f.Add(line + "\nx\n" + line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		events, results := scan(t, text, parse.RecordOptions{})
		var counted int64
		for _, r := range results {
			counted += r.Records
		}
		lines := 0
		for line := range strings.Lines(text) {
			if strings.TrimSpace(strings.TrimPrefix(line, "\xef\xbb\xbf")) != "" {
				lines++
			}
		}
		lost := 0
		for _, p := range results[0].Problems {
			n := 0
			fmt.Sscan(p.Detail.Args["count"], &n)
			lost += n
		}
		if int64(len(events)) != counted || len(events)+lost != lines {
			t.Fatalf("%d events, %d counted, %d lost, of %d lines", len(events), counted, lost, lines)
		}
		for _, ev := range events {
			if ev.Get("Channel") == "" && ev.Get("Provider_Name") == "" || ev.Get("EventID") == "" {
				t.Fatalf("event without channel and provider, or id: %+v", ev)
			}
		}
	})
}
