package report_test

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"postern"
	"postern/internal/report"
	"postern/internal/report/json"
	"postern/internal/report/reporttest"
)

// sample gives the sample as a document in memory.
func sample(t testing.TB, lang string) *report.Document {
	t.Helper()
	d := &report.Document{}
	reporttest.Play(t, d.Collect(), reporttest.Catalogue(t, lang))
	return d
}

type format func(io.Writer, report.Options, report.Localizer) report.Handler

var formats = map[string]format{"json": json.NewDocument, "jsonl": json.NewStream}

func encode(t testing.TB, d *report.Document, f format) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := d.Play(f(&b, report.Options{}, nil)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(t testing.TB, b []byte, lang string) *report.Document {
	t.Helper()
	d, err := report.Decode("saved", bytes.NewReader(b), reporttest.Catalogue(t, lang))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// same compares two documents and names the first host, finding or problem that
// differs.
func same(t testing.TB, got, want *report.Document) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	if !reflect.DeepEqual(got.Run, want.Run) {
		t.Errorf("run\n got %+v\nwant %+v", got.Run, want.Run)
	}
	if got.End != want.End {
		t.Errorf("end\n got %+v\nwant %+v", got.End, want.End)
	}
	if len(got.Hosts) != len(want.Hosts) || len(got.Problems) != len(want.Problems) {
		t.Fatalf("%d hosts and %d problems, want %d and %d", len(got.Hosts), len(got.Problems), len(want.Hosts), len(want.Problems))
	}
	for i := range want.Hosts {
		if !reflect.DeepEqual(got.Hosts[i], want.Hosts[i]) {
			t.Errorf("host %d\n got %+v\nwant %+v", i, got.Hosts[i], want.Hosts[i])
		}
	}
	for i := range want.Problems {
		if !reflect.DeepEqual(got.Problems[i], want.Problems[i]) {
			t.Errorf("problem %d\n got %+v\nwant %+v", i, got.Problems[i], want.Problems[i])
		}
	}
	if !t.Failed() {
		t.Error("the documents differ in nil and empty")
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, f := range formats {
		want := sample(t, "en")
		b := encode(t, want, f)
		got := decode(t, b, "en")
		same(t, got, want)
		if again := encode(t, got, f); !bytes.Equal(again, b) {
			t.Errorf("%s: written again it is not the same bytes", name)
		}
	}
}

func TestOtherLanguage(t *testing.T) {
	t.Parallel()
	for _, f := range formats {
		same(t, decode(t, encode(t, sample(t, "es"), f), "en"), sample(t, "en"))
	}
}

// TestUnknownKey checks that a sentence which this program cannot say, of a pack
// that it does not have, stays as it was.
func TestUnknownKey(t *testing.T) {
	t.Parallel()
	d := sample(t, "es")
	said := d.Hosts[1].Verdict.Title
	d.Hosts[1].Verdict.I18n["title"][0].Key = "some-pack.level-4"
	got := decode(t, encode(t, d, json.NewDocument), "en").Hosts[1].Verdict
	if got.Title != said {
		t.Errorf("title is %q, want it to stay %q", got.Title, said)
	}
	if got.Summary == d.Hosts[1].Verdict.Summary {
		t.Errorf("summary %q was not said in English", got.Summary)
	}
}

// TestForms reads what other programs make of a saved document.
func TestForms(t *testing.T) {
	t.Parallel()
	want := sample(t, "en")
	b := encode(t, want, json.NewDocument)
	var tree any
	if err := stdjson.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	sorted, err := stdjson.MarshalIndent(tree, "", "  ") // keys in order of the alphabet
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := stdjson.Compact(&compact, b); err != nil {
		t.Fatal(err)
	}
	stream := encode(t, want, json.NewStream)
	for name, form := range map[string][]byte{
		"sorted":                 sorted,
		"compact":                compact.Bytes(),
		"byte order mark":        append([]byte("\xef\xbb\xbf"), b...),
		"UTF-16":                 utf16le(b),
		"stream in UTF-16":       utf16le(stream),
		"stream with CRLF":       bytes.ReplaceAll(stream, []byte("\n"), []byte("\r\n")),
		"stream with progress":   bytes.ReplaceAll(stream, []byte("\n"), []byte("\n{\"type\":\"progress\",\"done\":1}\n")),
		"stream without new end": bytes.TrimSuffix(stream, []byte("\n")),
		"unknown keys":           bytes.ReplaceAll(b, []byte(`"host":`), []byte(`"later":{"a":[1,{}]},"host":`)),
	} {
		t.Run(name, func(t *testing.T) { same(t, decode(t, form, "en"), want) })
	}
}

func utf16le(b []byte) []byte {
	out := []byte{0xFF, 0xFE}
	for _, u := range utf16.Encode([]rune(string(b))) {
		out = append(out, byte(u), byte(u>>8))
	}
	return out
}

// TestForeign reads a document that has only what the contract asks for.
func TestForeign(t *testing.T) {
	t.Parallel()
	d := decode(t, []byte(`{"schema":"postern.hunt/1","tool":{"name":"other"},"status":"complete",
		"hosts":[{"host":"A","verdict":{"level":2,"name":"exploited","title":"T"},"findings":[{"rule":"r","level":2}]}],"problems":null}`), "es")
	h := d.Hosts[0]
	if h.Head.Host != "A" || h.Verdict.Confidence != postern.Low || h.Patched.State != postern.Unknown || h.Findings[0].Title != "" {
		t.Errorf("got %+v", h)
	}
	if h.Findings[0].CVE == nil || h.Incidents == nil || h.Verdict.Next == nil || d.Run.Tool.Campaigns == nil {
		t.Errorf("a list is null: %+v", h)
	}
}

func TestDamagedStream(t *testing.T) {
	t.Parallel()
	whole := encode(t, sample(t, "en"), json.NewStream)
	lines := bytes.SplitAfter(whole, []byte("\n"))

	// Cut before the second host's own line: its findings must not be lost.
	var cut []byte
	for _, l := range lines {
		if bytes.HasPrefix(l, []byte(`{"type":"host","host":"EX01"`)) {
			break
		}
		cut = append(cut, l...)
	}
	d := decode(t, cut, "en")
	if d.End.Status != postern.PartialStatus {
		t.Errorf("status %s, want partial", d.End.Status)
	}
	h := d.Hosts[len(d.Hosts)-1]
	if h.Head.Host != "EX01" || h.Verdict.Level != postern.Implanted || h.Verdict.Conclusive || len(h.Findings) != 45 {
		t.Errorf("host %s, level %v, conclusive %v, %d findings; want EX01, implanted, not conclusive, 45",
			h.Head.Host, h.Verdict.Level, h.Verdict.Conclusive, len(h.Findings))
	}
	if last := d.Problems[len(d.Problems)-1]; last.What != postern.Truncated || last.Path != "saved" {
		t.Errorf("last problem %+v, want that the file was cut", last)
	}

	// Bad lines are named, up to a point, and the rest is read.
	for bad, what := range map[string]postern.ProblemKind{
		"garbage": postern.Malformed,
		`{"type":"finding","host":"EX01","rule":"r","level":99}`:         postern.Malformed,
		`{"type":"finding","host":"EX01","level":"four"}`:                postern.Malformed,
		`{"type":"finding","rule":"` + strings.Repeat("x", 5<<20) + `"}`: postern.Limit,
	} {
		n := 0
		damaged := bytes.ReplaceAll(whole, []byte("\n{\"type\":\"end\""), []byte(strings.Repeat("\n"+bad, 30)+"\n{\"type\":\"end\""))
		d := decode(t, damaged, "en")
		if len(d.Hosts) != 3 || d.End.Status != postern.PartialStatus {
			t.Errorf("%.40s: %d hosts, status %s; want 3, partial", bad, len(d.Hosts), d.End.Status)
		}
		for _, p := range d.Problems {
			if p.Path == "saved" && p.What == what {
				n++
			}
		}
		if n < 20 || n > 21 {
			t.Errorf("%.40s: %d problems of kind %s, want 20 and perhaps one that counts the rest", bad, n, what)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	whole := string(encode(t, sample(t, "en"), json.NewDocument))
	stream := string(encode(t, sample(t, "en"), json.NewStream))
	first, _, _ := strings.Cut(stream, "\n")
	for name, c := range map[string]struct{ file, want string }{
		"empty":         {"", "not a whole report"},
		"not JSON":      {"PK\x03\x04", "not a whole report"},
		"a list":        {"[]", "want {"},
		"other schema":  {strings.Replace(whole, "hunt/1", "hunt/2", 1), `"postern.hunt/2": this program reads postern.hunt/1`},
		"other stream":  {strings.Replace(first, "hunt/1", "exposure/1", 1), "this program reads"},
		"no schema":     {`{"tool":{},"status":"complete"}`, "it has no schema"},
		"cut":           {whole[:len(whole)/2], "unexpected EOF"},
		"two documents": {whole + whole, "something follows"},
		"two runs":      {stream + stream, "a second run"},
		"level":         {strings.Replace(whole, `"verdict":{"level":4`, `"verdict":{"level":7`, 1), "level 7 is not on the ladder"},
		"status":        {strings.Replace(whole, `"status":"partial",`+"\n", `"status":"fine",`+"\n", 1), `status "fine"`},
		"no run":        {`{"type":"host","host":"A"}`, "before the line that describes the run"},
		"time":          {strings.Replace(whole, `2021-03-03T06:49:43.699Z`, "yesterday", 1), `time "yesterday"`},
		"deep":          {`{"schema":"postern.hunt/1","x":` + strings.Repeat("[", 200_000), "exceeded max depth"},
		"huge value":    {`{"schema":"postern.hunt/1","x":"` + strings.Repeat("a", 6<<20) + `"}`, "more than this program reads"},
		"hostile":       {`{"schema":"` + `\u001b[2J` + `"` + whole[len(`{"schema":"postern.hunt/1"`):], `\\u001b[2J`},
	} {
		_, err := report.Decode("saved", strings.NewReader(c.file), reporttest.Catalogue(t, "en"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q in it", name, err, c.want)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: the error is %d bytes long", name, len(err.Error()))
		}
	}
}

// endless is a document that never ends.
type endless struct {
	head string
	loop string
	n    int64
	stop int64 // fails the test that reads so far
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n > e.stop {
		return 0, errors.New("read too far")
	}
	n := 0
	for n < len(p) {
		from, at := e.head, int(e.n)
		if at >= len(e.head) {
			from, at = e.loop, (at-len(e.head))%len(e.loop)
		}
		c := copy(p[n:], from[at:])
		n += c
		e.n += int64(c)
	}
	return n, nil
}

func TestEndless(t *testing.T) {
	t.Parallel()
	run := `{"schema":"postern.hunt/1","tool":{"name":"x"},"lang":"en","started":"","inputs":[],"campaigns":[],`
	for name, e := range map[string]*endless{
		"one string":         {head: run + `"hosts":[{"host":"`, loop: strings.Repeat("a", 4096), stop: 16 << 20},
		"white space":        {head: run, loop: strings.Repeat(" ", 4096), stop: 16 << 20},
		"findings of a host": {head: run + `"hosts":[{"host":"A","findings":[{"rule":"` + strings.Repeat("r", 2000) + `"}`, loop: `,{"rule":"` + strings.Repeat("r", 100_000) + `"}`, stop: 200 << 20},
	} {
		if testing.Short() && e.stop > 100<<20 {
			continue // reads 128 MiB
		}
		_, err := report.Decode("saved", e, reporttest.Catalogue(t, "en"))
		if err == nil || !strings.Contains(err.Error(), "more than this program reads") {
			t.Errorf("%s: error is %v after %d bytes, want that it is too much", name, err, e.n)
		}
	}
}

// TestHandlerErrors checks that an error of the handler comes back and ends the replay.
func TestHandlerErrors(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for name, f := range formats {
		b := encode(t, sample(t, "en"), f)
		err := report.Replay("saved", bytes.NewReader(b), reporttest.Catalogue(t, "en"), failing{full})
		if !errors.Is(err, full) {
			t.Errorf("%s: error is %v, want the handler's", name, err)
		}
		err = sample(t, "en").Play(f(failingWriter{full}, report.Options{}, nil))
		if !errors.Is(err, full) {
			t.Errorf("%s: writing gives %v, want the writer's error", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Start(*report.Run) error       { return nil }
func (f failing) Problem(*report.Problem) error { return nil }
func (f failing) Host(*report.Host) error       { return f.err }
func (f failing) End(*report.End) error         { panic("called after an error") }

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

// FuzzDecode asks whether whatever is accepted is understood: written again and
// read again, as a document and as a stream, it is the same.
func FuzzDecode(f *testing.F) {
	// A seed of every kind of object, but small: the fuzzer spends its time on
	// making large inputs smaller.
	h := report.Host{
		Head:      report.Head{Host: "A", Verdict: report.Verdict{Level: 1, Title: "t", I18n: report.I18n{"title": {{Key: "level.1"}}}}},
		Campaigns: []report.HostCampaign{{Name: "c", Verdict: report.Verdict{Title: "t"}}},
		Findings:  []report.Finding{{ID: "1", Rule: "r", Evidence: []report.Evidence{{Path: "p"}}, Entities: report.Entities{"url": "u"}}},
		Incidents: []report.Incident{{ID: "i", Findings: []string{"1"}}},
		Coverage:  []report.Coverage{{Source: "s", Gaps: []report.Span{{}}}},
	}
	d := &report.Document{
		Run:      report.Run{Schema: report.Schema, Lang: "es"},
		Hosts:    []report.Host{h},
		Problems: []report.Problem{{Path: "p", What: "limit"}},
		End:      report.End{Status: "complete"},
	}
	for _, form := range formats {
		f.Add(encode(f, d, form))
	}
	f.Add([]byte(`{"schema":"postern.hunt/1","tool":{"name":"other"},"status":"complete","hosts":[{"verdict":{"title":"x"}}]}`))
	loc := reporttest.Catalogue(f, "en")
	f.Fuzz(func(t *testing.T, b []byte) {
		want, err := report.Decode("saved", bytes.NewReader(b), loc)
		if err != nil {
			return
		}
		for name, form := range formats {
			again := encode(t, want, form)
			got, err := report.Decode("saved", bytes.NewReader(again), loc)
			if err != nil {
				t.Fatalf("%s: what was written cannot be read: %v\n%s", name, err, again)
			}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Fatalf("%s\n got %+v\nwant %+v", name, got, want)
			}
		}
	})
}
