package parse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/parsetest"
)

// commas and blanks are the two shapes of text logs; lines is the third.
var (
	commas = &parse.Format{Name: "commas", Delim: ',', Time: []string{"DateTime"}, Host: "Server", Columns: []string{"DateTime", "Server", "A", "B"},
		VersionIsBuild: true, Build: []string{"V1", "V2", "V3", "V4"}}
	blanks = &parse.Format{Name: "blanks", Delim: ' ', Time: []string{"date", "time"}, Host: "computer", Columns: []string{"date", "time", "a", "b"}}
	lines  = &parse.Format{Name: "lines", Columns: []string{"Line"}}
)

// rows gives events as "column=value|column=value".
func rows(events []postern.Event) (all []string) {
	for _, ev := range events {
		var cells []string
		for _, f := range ev.Fields {
			cells = append(cells, f.Name+"="+f.Value)
		}
		all = append(all, strings.Join(cells, "|"))
	}
	return all
}

// problems gives the keys of problems.
func problems(r *parse.Result) (all []string) {
	for _, p := range r.Problems {
		all = append(all, strings.TrimPrefix(p.Detail.Key, "parse."))
	}
	return all
}

// want checks rows and problems of a log, and everything that parsetest asks.
func want(t *testing.T, f *parse.Format, data []byte, wantRows, wantProblems []string) *parse.Result {
	t.Helper()
	parsetest.Check(t, f, data)
	events, result := parsetest.Scan(t, f, data)
	if diff := cmp.Diff(wantRows, rows(events)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantProblems, problems(result)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	return result
}

func TestCharsets(t *testing.T) {
	t.Parallel()
	const log = "#Fields: DateTime,Server,A,B\r\n2021-03-03T06:00:00.000Z,EX01,é€,😀 x\r\n2021-03-03T06:00:01.000Z,EX01,,\r\n"
	wantRows := []string{"DateTime=2021-03-03T06:00:00.000Z|Server=EX01|A=é€|B=😀 x", "DateTime=2021-03-03T06:00:01.000Z|Server=EX01|A=|B="}
	little, big := parsetest.UTF16(log, false), parsetest.UTF16(log, true)
	tests := []struct {
		name     string
		data     []byte
		charset  parse.Charset
		problems []string
	}{
		{"UTF-8", []byte(log), parse.UTF8, nil},
		{"UTF-8 with mark", []byte("\xef\xbb\xbf" + log), parse.UTF8, nil},
		{"UTF-16LE with mark", append([]byte{0xFF, 0xFE}, little...), parse.UTF16LE, nil},
		{"UTF-16LE", little, parse.UTF16LE, nil},
		{"UTF-16BE with mark", append([]byte{0xFE, 0xFF}, big...), parse.UTF16BE, nil},
		{"UTF-16BE", big, parse.UTF16BE, nil},
		{"UTF-16LE with half a character behind", append(little[:len(little):len(little)], 'x'), parse.UTF16LE, []string{"bad-utf16"}},
		{"LF", []byte(strings.ReplaceAll(log, "\r\n", "\n")), parse.UTF8, nil},
		{"no last line end", []byte(strings.TrimSuffix(log, "\r\n")), parse.UTF8, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if r := want(t, commas, tc.data, wantRows, tc.problems); r.Charset != tc.charset {
				t.Errorf("charset %s, want %s", r.Charset, tc.charset)
			}
		})
	}
}

func TestANSI(t *testing.T) {
	t.Parallel()
	data := []byte("#Fields: DateTime,Server,A,B\r\n2021-03-03T06:00:00Z,EX01,Zugriff \x93verweigert\x94 f\xfcr,\x80\r\n2021-03-03T06:00:01Z,EX01,für,x\r\n")
	want(t, commas, data, []string{
		"DateTime=2021-03-03T06:00:00Z|Server=EX01|A=Zugriff “verweigert” für|B=€",
		"DateTime=2021-03-03T06:00:01Z|Server=EX01|A=für|B=x"}, []string{"ansi"})
}

// A surrogate without its other half, and one that comes in two reads.
func TestSurrogates(t *testing.T) {
	t.Parallel()
	log := parsetest.UTF16("#Fields: DateTime,Server,A,B\r\n2021-03-03T06:00:00Z,EX01,\U0001F600,", false)
	log = append(log, 0x3D, 0xD8, 'x', 0, '\n', 0, 0x3D, 0xD8)
	want(t, commas, log, []string{"DateTime=2021-03-03T06:00:00Z|Server=EX01|A=😀|B=\uFFFDx", "DateTime=\uFFFD"}, []string{"bad-utf16", "malformed-rows"})
}

// A long line in other letters is cut between them, and is not taken for ANSI.
func TestExcerpt(t *testing.T) {
	t.Parallel()
	for shift := range 4 {
		log := "#Fields: DateTime,Server,A,B\r\n2021-03-03T06:00:00Z," + strings.Repeat("x", shift) + "," + strings.Repeat("語", 3000) + ",\r\n"
		events, result := parsetest.Scan(t, commas, []byte(log))
		if len(result.Problems) > 0 || len(events) != 1 {
			t.Fatalf("%d events, problems %v", len(events), result.Problems)
		}
		if raw := events[0].Raw; len(raw) > 4096 || len(raw) < 4090 || strings.Contains(raw, "\uFFFD") {
			t.Errorf("excerpt of %d bytes, ends in %q", len(raw), raw[len(raw)-9:])
		}
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	const row = "2021-03-03T06:00:00Z,EX01,1,2\r\n"
	const plain = "DateTime=2021-03-03T06:00:00Z|Server=EX01|A=1|B=2"
	tests := []struct {
		name, log string
		rows      []string
		problems  []string
	}{
		{"header", "#Fields: DateTime,Server,A,B\r\n" + row, []string{plain}, nil},
		{"header in another case and with blanks", "#FIELDS:  DateTime, Server ,A,B \r\n" + row, []string{plain}, nil},
		{"bare header", "DateTime,Server,A,B\r\n" + row, []string{plain}, nil},
		{"bare header before the block", "DateTime,Server,A,B\r\n#Software: x\r\n#Fields: DateTime,Server,A,B\r\n" + row, []string{plain}, nil},
		{"bare header behind the block, which wins", "#Software: x\r\n#Fields: DateTime,Server,A,B\r\nDateTime,Server,B,A\r\n" + row, []string{plain}, nil},
		{"bare header repeated in the middle", "DateTime,Server,A,B\r\n" + row + "DateTime,Server,A,B\r\n" + row, []string{plain, plain}, nil},
		{"bare header with other columns in the middle", "DateTime,Server,A,B\r\n" + row + "DateTime,Server,B,C\r\n" + row,
			[]string{plain, "DateTime=2021-03-03T06:00:00Z|Server=EX01|B=1|C=2"}, nil},
		{"block repeated in the middle", strings.Repeat("#Software: x\r\n#Version: 15.01.2176.002\r\n#Fields: DateTime,Server,A,B\r\nDateTime,Server,A,B\r\n"+row, 2), []string{plain, plain}, nil},
		{"no header", row, []string{plain}, []string{"no-header"}},
		{"empty header", "#Fields:\r\n" + row, []string{plain}, []string{"no-header"}},
		{"fields change in the middle", "#Fields: DateTime,Server,A,B\r\n" + row + "#Fields: DateTime,A,B\r\n2021-03-03T06:00:01Z,1,2\r\n",
			[]string{plain, "DateTime=2021-03-03T06:00:01Z|A=1|B=2"}, nil},
		{"duplicate columns", "#Fields: DateTime,A,A,Server\r\n2021-03-03T06:00:00Z,1,2,EX01\r\n", []string{"DateTime=2021-03-03T06:00:00Z|A=1|A=2|Server=EX01"}, nil},
		{"unknown columns", "#Fields: DateTime,Server,New,B\r\n" + row, []string{"DateTime=2021-03-03T06:00:00Z|Server=EX01|New=1|B=2"}, nil},
		{"column without a name", "#Fields: DateTime,Server,,B\r\n" + row, []string{"DateTime=2021-03-03T06:00:00Z|Server=EX01|field3=1|B=2"}, nil},
		{"surplus values", "#Fields: DateTime,Server\r\n" + row, []string{"DateTime=2021-03-03T06:00:00Z|Server=EX01|field3=1|field4=2"}, nil},
		{"missing values", "#Fields: DateTime,Server,A,B,C,D\r\n" + row, []string{plain}, nil},
		{"shuffled, time first", "#Fields: DateTime,B,A,Server\r\n2021-03-03T06:00:00Z,2,1,EX01\r\n", []string{"DateTime=2021-03-03T06:00:00Z|B=2|A=1|Server=EX01"}, nil},
		{"time last", "#Fields: A,B,Server,DateTime\r\n1,2,EX01,2021-03-03T06:00:00Z\r\n3,4,EX01,2021-03-03T07:00:00Z\r\n",
			[]string{"A=1|B=2|Server=EX01|DateTime=2021-03-03T06:00:00Z", "A=3|B=4|Server=EX01|DateTime=2021-03-03T07:00:00Z"}, nil},
		{"time under another name", "#Fields: MyDateTime,Server,A,B\r\n" + row, []string{"MyDateTime=2021-03-03T06:00:00Z|Server=EX01|A=1|B=2"}, nil},
		{"all in quotes", "\"DateTime\",\"Server\",\"A\",\"B\"\r\n\"2021-03-03T06:00:00Z\",\"EX01\",\"a,\"\"b\"\"\",\"\"\r\n",
			[]string{`DateTime=2021-03-03T06:00:00Z|Server=EX01|A=a,"b"|B=`}, nil},
		{"as PowerShell exports", "#TYPE System.Management.Automation.PSCustomObject\r\n\"DateTime\",\"Server\",\"A\",\"B\"\r\n\"2021-03-03T06:00:00Z\",\"EX01\",\"1\",\"2\"\r\n", []string{plain}, nil},
		{"text behind a closing quote", "#Fields: DateTime,Server,A,B\r\n2021-03-03T06:00:00Z,EX01,\"1\"x,2\r\n", []string{"DateTime=2021-03-03T06:00:00Z|Server=EX01|A=1x|B=2"}, nil},
		{"quote inside a value", "#Fields: DateTime,Server,A,B\r\n2021-03-03T06:00:00Z,EX01,5\" disk,2\r\n" + row, []string{`DateTime=2021-03-03T06:00:00Z|Server=EX01|A=5" disk|B=2`, plain}, nil},
		{"quote that is never closed", "#Fields: DateTime,Server,A,B\r\n2021-03-03T06:00:00Z,EX01,\"1,2\r\n" + row, []string{`DateTime=2021-03-03T06:00:00Z|Server=EX01|A=1,2`, plain}, nil},
		{"empty lines", "\r\n#Fields: DateTime,Server,A,B\r\n\r\n\n" + row + "\r\n\r\n", []string{plain}, nil},
		{"mark in the middle", "#Fields: DateTime,Server,A,B\r\n" + row + "\xef\xbb\xbf#Fields: DateTime,A,B\r\n\xef\xbb\xbf2021-03-03T06:00:01Z,1,2\r\n\xef\xbb\xbf\r\n",
			[]string{plain, "DateTime=2021-03-03T06:00:01Z|A=1|B=2"}, nil},
		{"rubbish between rows", "#Fields: DateTime,Server,A,B\r\n" + row + "what is this\r\n" + row,
			[]string{plain, "DateTime=what is this", plain}, []string{"malformed-rows"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			want(t, commas, []byte(tc.log), tc.rows, tc.problems)
		})
	}
}

func TestQuotedLineBreaks(t *testing.T) {
	t.Parallel()
	const header = "#Fields: DateTime,Server,A,B\r\n"
	const after = "2021-03-03T06:00:09Z,EX01,9,9\r\n"
	const afterRow = "DateTime=2021-03-03T06:00:09Z|Server=EX01|A=9|B=9"
	start := func(v string) string { return "DateTime=2021-03-03T06:00:00Z|Server=EX01|A=" + v }
	tests := []struct {
		name, log string
		rows      []string
		problems  []string
	}{
		{"one", `2021-03-03T06:00:00Z,EX01,"1` + "\r\n" + `   at x",2` + "\r\n" + after, []string{start("1\r\n   at x|B=2"), afterRow}, nil},
		{"with an empty line, a digit and a quote at the beginning of lines",
			`2021-03-03T06:00:00Z,EX01,"1` + "\r\n\r\n" + `2 apples` + "\r\n" + `""x""` + "\r\n" + `",2` + "\r\n" + after,
			[]string{start("1\r\n\r\n2 apples\r\n\"x\"\r\n|B=2"), afterRow}, nil},
		{"in a file that ends there", `2021-03-03T06:00:00Z,EX01,"1` + "\n" + `x",2`, []string{start("1\nx|B=2")}, nil},
		{"all in quotes", `"2021-03-03T06:00:00Z","EX01","1` + "\n" + `x","2"` + "\n" + `"2021-03-03T06:00:09Z","EX01","9","9"` + "\n", []string{start("1\nx|B=2"), afterRow}, nil},
		{"never closed: the next row begins one", `2021-03-03T06:00:00Z,EX01,"1` + "\r\n" + "   at x\r\n" + after, []string{start("1\r\n   at x"), afterRow}, nil},
		{"never closed: a header begins a block", `2021-03-03T06:00:00Z,EX01,"1` + "\r\n" + "#Software: x\r\n" + header + after, []string{start("1"), afterRow}, nil},
		{"never closed before NUL padding", `2021-03-03T06:00:00Z,EX01,"1` + "\r\n\x00\x00\x00\x00\x00\x00\x00\r\n" + after, []string{start("1"), afterRow}, []string{"nul-padding"}},
		{"never closed at the end", `2021-03-03T06:00:00Z,EX01,"1` + "\r\nx\r\n", []string{start("1\r\nx")}, nil},
		{"cut in it", `2021-03-03T06:00:00Z,EX01,"1` + "\r\nx\r\ny", []string{start("1\r\nx\r\ny")}, []string{"cut-line"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			want(t, commas, []byte(header+tc.log), tc.rows, tc.problems)
		})
	}
}

// Several blanks part two values as one does: a web server writes an account with a
// blank before it as it is, and "-" for a value that is not there.
func TestSeveralBlanks(t *testing.T) {
	t.Parallel()
	want(t, blanks, []byte("#Fields:  date  time a b \r\n2021-03-03 06:00:00  x\\y  - \r\n2021-03-03 06:00:01 x y z  \r\n2021-03-03 06:00:02 x "),
		[]string{`date=2021-03-03|time=06:00:00|a=x\y|b=-`, "date=2021-03-03|time=06:00:01|a=x|b=y|field5=z", "date=2021-03-03|time=06:00:02|a=x"}, []string{"cut-line"})
}

// A row of a blank-separated log ends with its line, whatever quotes it has.
func TestBlanks(t *testing.T) {
	t.Parallel()
	log := "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Date: 2021-03-03 00:00:00\r\n#Fields: date time a b\r\n" +
		"2021-03-03 06:00:00 \"x -\r\n2021-03-03 06:00:01 y\" -\r\n" +
		"#Date: 2021-03-03 07:00:00\r\n#Fields: time a b\r\n07:00:00 1 2\r\n#Date: 2021-03-04 00:00:00\r\n00:00:01 3 4\r\n"
	r := want(t, blanks, []byte(log), []string{
		`date=2021-03-03|time=06:00:00|a="x|b=-`, `date=2021-03-03|time=06:00:01|a=y"|b=-`, "time=07:00:00|a=1|b=2", "time=00:00:01|a=3|b=4"}, nil)
	if got := r.To.Format(time.RFC3339); got != "2021-03-04T00:00:01Z" {
		t.Errorf("the last row is of %s", got)
	}
}

func TestOpaqueLines(t *testing.T) {
	t.Parallel()
	r := want(t, lines, []byte("#Software: x\r\nno time here\r\n[1] 2021-03-03T06:00:00Z something\r\n\r\nmore of it\r\n(2021-03-03 07:30:00) \"x\r\n"),
		[]string{"Line=no time here", "Line=[1] 2021-03-03T06:00:00Z something", "Line=more of it", `Line=(2021-03-03 07:30:00) "x`}, nil)
	if r.Records != 4 || len(r.Hours) != 2 || r.From.Hour() != 6 || r.To.Hour() != 7 {
		t.Errorf("%d records in hours %v, from %v to %v", r.Records, r.Hours, r.From, r.To)
	}
}

func TestPaddingAndCuts(t *testing.T) {
	t.Parallel()
	const header = "#Fields: DateTime,Server,A,B\r\n"
	const row = "2021-03-03T06:00:00Z,EX01,1,2\r\n"
	const plain = "DateTime=2021-03-03T06:00:00Z|Server=EX01|A=1|B=2"
	nul := strings.Repeat("\x00", 100)
	tests := []struct {
		name, log string
		rows      []string
		problems  []string
		hours     int64
	}{
		{"nothing at all", "", nil, nil, 0},
		{"NUL bytes only", nul, nil, []string{"nul-padding"}, 0},
		{"NUL bytes at the end", header + row + nul, []string{plain}, []string{"nul-padding"}, 1},
		{"NUL bytes at the beginning", nul + header + row, []string{plain}, []string{"nul-padding"}, 1},
		{"NUL bytes in the middle", header + row + nul + row + nul + "\r\n" + row, []string{plain, plain, plain}, []string{"nul-padding"}, 3},
		{"a row that ends in NUL bytes", header + row + "2021-03-03T06:00:00Z,EX01" + nul, []string{plain, "DateTime=2021-03-03T06:00:00Z|Server=EX01"}, []string{"nul-padding", "cut-line"}, 2},
		{"whole last row without a line end", header + row + "2021-03-03T06:00:00Z,EX01,1,2", []string{plain, plain}, nil, 2},
		{"whole last row with half a line end", header + row + "2021-03-03T06:00:00Z,EX01,1,2\r", []string{plain, plain}, nil, 2},
		{"cut in a column", header + row + "2021-03-03T06:00:00Z,EX01", []string{plain, "DateTime=2021-03-03T06:00:00Z|Server=EX01"}, []string{"cut-line"}, 2},
		// The hour of the rows before is not lost with the time of the last one.
		{"cut in its minutes", header + row + "2021-03-03T06:0", []string{plain, "DateTime=2021-03-03T06:0"}, []string{"cut-line"}, 2},
		{"cut in its date", header + row + "2021-03-0", []string{plain, "DateTime=2021-03-0"}, []string{"cut-line"}, 1},
		{"cut in its date, in quotes", header + row + `"2021-03-0`, []string{plain, "DateTime=2021-03-0"}, []string{"cut-line"}, 1},
		{"rubbish without a line end", header + row + "rubbish", []string{plain, "DateTime=rubbish"}, []string{"malformed-rows"}, 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := want(t, commas, []byte(tc.log), tc.rows, tc.problems)
			var hours int64
			for _, n := range r.Hours {
				hours += n
			}
			if hours != tc.hours {
				t.Errorf("%d rows are booked on hours, want %d", hours, tc.hours)
			}
		})
	}
}

func TestHours(t *testing.T) {
	t.Parallel()
	hour := func(s string) int64 {
		at, err := time.Parse("2006-01-02T15", s)
		if err != nil {
			t.Fatal(err)
		}
		return at.Unix() / 3600
	}
	row := func(stamp string) string { return stamp + ",EX01,1,2\r\n" }
	quoted := func(stamp string) string { return `"` + stamp + `",EX01,1,2` + "\r\n" }
	h6, h7, h8 := hour("2021-03-03T06"), hour("2021-03-03T07"), hour("2021-03-03T08")
	tests := []struct {
		name     string
		log      string
		hours    map[int64]int64
		from, to string
	}{
		{"in order", row("2021-03-03T06:00:00.5Z") + row("2021-03-03T06:59:59.999Z") + row("2021-03-03T08:00:00Z"),
			map[int64]int64{h6: 2, h8: 1}, "2021-03-03T06:00:00.5Z", "2021-03-03T08:00:00Z"},
		{"hours out of order", row("2021-03-03T08:00:00Z") + row("2021-03-03T06:00:00Z") + row("2021-03-03T08:30:00Z") + row("2021-03-03T07:00:00Z"),
			map[int64]int64{h6: 1, h7: 1, h8: 2}, "2021-03-03T06:00:00Z", "2021-03-03T08:30:00Z"},
		{"some times in quotes", row("2021-03-03T06:00:00Z") + quoted("2021-03-03T07:00:00Z") + row("2021-03-03T06:00:01Z") + quoted("2021-03-03T08:00:00Z") + quoted("2021-03-03T08:00:01Z"),
			map[int64]int64{h6: 2, h7: 1, h8: 2}, "2021-03-03T06:00:00Z", "2021-03-03T08:00:01Z"},
		{"the last minute of an hour is spoilt", row("2021-03-03T06:00:00Z") + row("2021-03-03T06:xx:00Z") + row("2021-03-03T07:00:00Z"),
			map[int64]int64{h6: 2, h7: 1}, "2021-03-03T06:00:00Z", "2021-03-03T07:00:00Z"},
		{"dates that are none", row("2021-02-31T06:00:00Z") + row("2021-13-01T06:00:00Z") + row("0000-00-00T00:00:00Z") + row("2021-03-03T24:00:00Z") + row("1601-01-01T00:00:00Z") + row("2021-03-03T06:00:00Z"),
			map[int64]int64{h6: 1}, "2021-03-03T06:00:00Z", "2021-03-03T06:00:00Z"},
		{"a header between", row("2021-03-03T06:00:00Z") + "#Fields: DateTime,Server,A,B\r\n" + row("2021-03-03T06:30:00Z"),
			map[int64]int64{h6: 2}, "2021-03-03T06:00:00Z", "2021-03-03T06:30:00Z"},
		{"no rows", "", map[int64]int64{}, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			data := []byte("#Fields: DateTime,Server,A,B\r\n" + tc.log)
			parsetest.Check(t, commas, data)
			_, r := parsetest.Scan(t, commas, data)
			if diff := cmp.Diff(tc.hours, r.Hours); diff != "" {
				t.Errorf("hours (-want +got):\n%s", diff)
			}
			if from, to := r.From.Format(time.RFC3339Nano), r.To.Format(time.RFC3339Nano); from != tc.from || to != tc.to {
				t.Errorf("from %s to %s, want %s to %s", from, to, tc.from, tc.to)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for stamp, want := range map[string]string{
		"2021-03-03T06:49:43.699Z":          "2021-03-03T06:49:43.699Z",
		"2021-03-03T06:49:43Z":              "2021-03-03T06:49:43Z",
		"2021-03-03 06:49:43":               "2021-03-03T06:49:43Z",
		"2021-03-03t06:49:43.1z":            "2021-03-03T06:49:43.1Z",
		"2021-03-03T06:49:43.1234567Z":      "2021-03-03T06:49:43.1234567Z",
		"2021-03-03T06:49:43.123456789123Z": "2021-03-03T06:49:43.123456789Z",
		"2020-02-29T23:59:59.Z":             "2020-02-29T23:59:59Z",
		"2021-02-29T06:49:43Z":              "0001-01-01T00:00:00Z",
		"2021-03-03T06:49:60Z":              "0001-01-01T00:00:00Z",
		"2021-03-03T6:49:43Z":               "0001-01-01T00:00:00Z",
		"03/03/2021 06:49:43":               "0001-01-01T00:00:00Z",
		"":                                  "0001-01-01T00:00:00Z",
	} {
		ev := parsetest.Row(t, commas, stamp+",EX01,1,2\n")
		if got := ev.Time.Format(time.RFC3339Nano); got != want {
			t.Errorf("%q is read as %s, want %s", stamp, got, want)
		}
	}
}

func TestServersAndBuilds(t *testing.T) {
	t.Parallel()
	log := "#Version: 15.01.2176.002\r\n#Fields: DateTime,Server,A,B\r\n2021-03-03T06:00:00Z,EX01,1,2\r\n2021-03-03T06:00:01Z,EX01,1,2\r\n" +
		"2021-03-03T07:00:00Z,\"EX02\",1,2\r\n2021-03-03T08:00:00Z,-,1,2\r\n" +
		"#Version: 15.01.2176.009\r\n#Fields: DateTime,Server,V1,V2,V3,V4\r\n2021-03-03T09:00:00Z,EX01,15,1,2176,9\r\n2021-03-03T10:00:00Z,EX01,15,1,x,9\r\n"
	_, r := parsetest.Scan(t, commas, []byte(log))
	if diff := cmp.Diff(map[string]int64{"EX01": 3, "EX02": 1}, r.Servers); diff != "" {
		t.Errorf("servers, asked once an hour and header (-want +got):\n%s", diff)
	}
	at := func(h int) time.Time { return time.Date(2021, 3, 3, h, 0, 0, 0, time.UTC) }
	wantBuilds := []parse.BuildSeen{{Build: postern.Build{15, 1, 2176, 2}, Time: at(6)}, {Build: postern.Build{15, 1, 2176, 9}, Time: at(9)}}
	if diff := cmp.Diff(wantBuilds, r.Builds); diff != "" {
		t.Errorf("builds (-want +got):\n%s", diff)
	}
}

// Bounds: a row with more columns than any log has, a header with more.
func TestManyColumns(t *testing.T) {
	t.Parallel()
	log := "#Fields: DateTime" + strings.Repeat(",c", 3000) + "\n2021-03-03T06:00:00Z" + strings.Repeat(",v", 5000) + "\n"
	parsetest.Check(t, commas, []byte(log))
	ev := parsetest.Row(t, commas, log)
	if len(ev.Fields) != 1025 || len(ev.Fields[1024].Value) < 2*3900 {
		t.Errorf("%d fields, the last of %d bytes; want 1025, the last with the rest", len(ev.Fields), len(ev.Fields[len(ev.Fields)-1].Value))
	}
}

// endless is a line of n bytes that is never in memory as a whole.
type endless struct {
	head, tail string
	n          int64
}

func (e *endless) Read(p []byte) (int, error) {
	switch {
	case e.head != "":
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	case e.n > 0:
		n := int(min(e.n, int64(len(p))))
		for i := range p[:n] {
			p[i] = 'x'
		}
		e.n -= int64(n)
		return n, nil
	case e.tail != "":
		n := copy(p, e.tail)
		e.tail = e.tail[n:]
		return n, nil
	}
	return 0, io.EOF
}

func TestLongLine(t *testing.T) { // not parallel: it measures memory
	const long = 300 << 20
	r := &endless{
		head: "#Fields: DateTime,Server,A,B\r\n2021-03-03T06:00:00Z,EX01,1,2\r\n2021-03-03T06:00:01Z,EX01,",
		n:    long,
		tail: ",2\r\n2021-03-03T06:00:02Z,EX01,3,4\r\n",
	}
	headLen := int64(len(r.head))
	var events []postern.Event
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	result, err := parse.Scan(context.Background(), r, "x", commas, parse.Options{Yield: func(ev *postern.Event) { events = append(events, parsetest.Kept(ev)) }})
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("a line of %d MiB took %d MiB", long>>20, n>>20)
	}
	if len(events) != 3 || events[0].Get("A") != "1" || events[2].Get("A") != "3" {
		t.Fatalf("%d events, want 3", len(events))
	}
	if n := len(events[1].Get("A")); n > parse.MaxLine || n < parse.MaxLine-100 {
		t.Errorf("%d bytes of the long value, want all but the beginning of %d", n, parse.MaxLine)
	}
	if p := events[2].Place; p.Line != 4 || p.Offset != headLen+long+int64(len(",2\r\n")) {
		t.Errorf("the row behind is at line %d, offset %d", p.Line, p.Offset)
	}
	if diff := cmp.Diff([]string{"long-line"}, problems(result)); diff != "" || result.Problems[0].Detail.Args["line"] != "3" {
		t.Errorf("problems %v", result.Problems)
	}
}

// Lines of every length around the size of the buffers, behind rows that end
// anywhere in them.
func TestAroundBuffers(t *testing.T) {
	t.Parallel()
	const header = "#Fields: DateTime,Server,A,B\n"
	for _, size := range []int{parse.BufferSize, 2 * parse.BufferSize, parse.MaxLine} {
		for _, d := range []int{-9, -7, -6, -5, -2, -1, 0, 1, 2, 6} {
			for _, in := range []string{"one row", "rows before"} {
				row := "2021-03-03T06:00:01Z,EX01,"
				before := ""
				if in == "rows before" {
					before = strings.Repeat("2021-03-03T06:00:00Z,EX01,1,2\n", 1000)
				}
				row += strings.Repeat("x", size+d-len(row)) + "\n" // its line end is at size+d
				log := header + before + row + "2021-03-03T07:00:00Z,EX01,3,4\n"
				var last postern.Event
				n := 0
				result, err := parse.Scan(context.Background(), strings.NewReader(log), "x", commas, parse.Options{Yield: func(ev *postern.Event) { last = parsetest.Kept(ev); n++ }})
				if err != nil {
					t.Fatal(err)
				}
				wantN := 2 + strings.Count(before, "\n")
				if n != wantN || last.Get("A") != "3" || last.Place.Line != int64(n+1) || last.Place.Offset != int64(strings.LastIndex(strings.TrimSpace(log), "\n")+1) {
					t.Errorf("%s, line of %d%+d: %d events, want %d; the last at line %d, offset %d is %q", in, size, d, n, wantN, last.Place.Line, last.Place.Offset, last.Raw)
				}
				var keys []string
				if size+d >= parse.MaxLine {
					keys = []string{"long-line"}
				}
				if diff := cmp.Diff(keys, problems(result)); diff != "" {
					t.Errorf("%s, line of %d%+d: problems (-want +got):\n%s", in, size, d, diff)
				}
			}
		}
	}
}

// A quoted value with line breaks that is longer than what can be held, and
// NUL padding that is.
func TestLongerThanHeld(t *testing.T) {
	t.Parallel()
	const header = "#Fields: DateTime,Server,A,B\n"
	const after = "2021-03-03T07:00:00Z,EX01,3,4\n"
	tests := []struct {
		name, log string
		wantLast  string
		problems  []string
		most      int
	}{
		{"value over many lines", header + `2021-03-03T06:00:00Z,EX01,"` + strings.Repeat(strings.Repeat("x", 999)+"\n", 3000) + `",2` + "\n" + after, "3", []string{"malformed-rows"}, 3003},
		{"NUL padding", header + strings.Repeat("\x00", 3<<20) + "\n" + after, "3", []string{"nul-padding"}, 1},
		{"many short lines behind an open quote", header + `2021-03-03T06:00:00Z,EX01,"` + strings.Repeat("x\n", 100_000) + after, "3", []string{"malformed-rows"}, 100_002},
	}
	for _, tc := range tests {
		var last postern.Event
		n := 0
		result, err := parse.Scan(context.Background(), strings.NewReader(tc.log), "x", commas, parse.Options{Yield: func(ev *postern.Event) { last = parsetest.Kept(ev); n++ }})
		if err != nil {
			t.Fatal(err)
		}
		if last.Get("A") != tc.wantLast || n > tc.most {
			t.Errorf("%s: %d events, the last with A=%.20q", tc.name, n, last.Get("A"))
		}
		if got := int64(strings.Count(tc.log[:last.Place.Offset], "\n")) + 1; got != last.Place.Line {
			t.Errorf("%s: the last event says line %d, its offset is in line %d", tc.name, last.Place.Line, got)
		}
		if diff := cmp.Diff(tc.problems, problems(result)); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestReadError(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad sector")
	for _, size := range []int{0, 10, 70, 600, 3 << 20} { // in the header, a row, behind what is looked at first, a long line
		log := "#Fields: DateTime,Server,A,B\n2021-03-03T06:00:00Z,EX01,1,2\n2021-03-03T06:00:01Z,EX01," + strings.Repeat("x", size)
		if size == 0 {
			log = ""
		}
		var events []postern.Event
		r := io.MultiReader(strings.NewReader(log), iotest.ErrReader(bad))
		result, err := parse.Scan(context.Background(), r, "x", commas, parse.Options{Yield: func(ev *postern.Event) { events = append(events, parsetest.Kept(ev)) }})
		if !errors.Is(err, bad) {
			t.Errorf("%d bytes: error %v, want %v", size, err, bad)
		}
		wantEvents := 2
		if size == 0 {
			wantEvents = 0
		}
		if len(events) != wantEvents || result.Records != int64(wantEvents) {
			t.Errorf("%d bytes: %d events and %d records before the error, want %d", size, len(events), result.Records, wantEvents)
		}
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	_, err := parse.Scan(ctx, &endless{head: "2021-03-03T06:00:00Z,a\n", n: 1 << 40}, "x", commas, parse.Options{Yield: func(*postern.Event) { n++; cancel() }})
	if !errors.Is(err, context.Canceled) || n == 0 {
		t.Errorf("error %v after %d events", err, n)
	}
}

// A gate is asked for again at every header, with the columns as events have them.
func TestGateColumns(t *testing.T) {
	t.Parallel()
	var seen [][]string
	log := "#Fields: DateTime,,A\n2021-03-03T06:00:00Z,1,2\n#Fields: A,DateTime\n1,2021-03-03T06:00:00Z\n"
	_, err := parse.Scan(context.Background(), strings.NewReader(log), "x", commas, parse.Options{
		Gate: func(_ *parse.Format, columns []string) parse.Gate { seen = append(seen, columns); return pass{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"DateTime", "field2", "A"}, {"A", "DateTime"}}, seen); diff != "" {
		t.Errorf("columns of gates (-want +got):\n%s", diff)
	}
}

type pass struct{}

func (pass) Pass([]byte) bool { return true }

// Memory and header lines are shared by scans of many files.
func TestShared(t *testing.T) {
	t.Parallel()
	headers, scratch := &parse.Headers{}, &parse.Scratch{}
	for i := range 3 {
		for _, columns := range []string{"DateTime,Server,A,B", "DateTime,B,A,Server"} {
			log := fmt.Sprintf("#Fields: %s\n%s\n2021-03-03T06:00:0%dZ,x,y,z\n", columns, columns, i)
			var events []postern.Event
			_, err := parse.Scan(context.Background(), strings.NewReader(log), "x", commas, parse.Options{
				Headers: headers, Scratch: scratch, Yield: func(ev *postern.Event) { events = append(events, parsetest.Kept(ev)) }})
			if err != nil || len(events) != 1 || events[0].Fields[1].Name != strings.Split(columns, ",")[1] {
				t.Fatalf("%v, events %v", err, events)
			}
		}
	}
}

// A row whose time was torn off, with values that are also names of columns, is a row:
// rules see it, and it is counted.
func TestTornRowIsNoHeader(t *testing.T) {
	t.Parallel()
	log := "#Fields: DateTime,Server,A,B\n2021-03-03T06x,Server,A,B\n\"2021-03\",Server,A,B\n"
	var events int
	result, err := parse.Scan(context.Background(), strings.NewReader(log), "x", commas, parse.Options{Yield: func(*postern.Event) { events++ }})
	if err != nil || events != 2 || len(result.Problems) != 1 || result.Problems[0].Detail.Key != "parse.malformed-rows" {
		t.Errorf("%v, %d events, problems %v; want 2 events and one problem of malformed rows", err, events, result.Problems)
	}
}

// Any log, put together from the pieces that logs are made of, is read alike
// however its bytes come in, with and without a gate, and leads back to its lines.
func TestAnyLog(t *testing.T) {
	t.Parallel()
	pieces := []string{"#Fields: DateTime,Server,A,B\n", "DateTime,Server,A,B\r\n", "#Fields: A,DateTime\r\n", "#Fields: date time a\n", "#Software: x\n", "#Version: 15.1.2.3\n",
		"2021-03-03T06:00:00Z,EX01,1,2\n", "2021-03-03T06:00:00Z,EX01,1,2\r\n", "2021-03-03 07:00:00 x y\n", "\"2021-03-03T08:00:00Z\",\"a\"\"b\",", "2021-03-03T06", "1,2021-03-03T09:00:00Z\n",
		"\n", "\r\n", "\r", "\"", "\"\"", ",", "\x00", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\xef\xbb\xbf", "é", "\xe9", "x", "2", "2021-", "a=b;'c=d''e';", " ", "#"}
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom([]*parse.Format{commas, blanks, lines}).Draw(rt, "format")
		log := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 60).Draw(rt, "pieces"), "")
		data := []byte(log)
		switch rapid.IntRange(0, 29).Draw(rt, "spelling") {
		case 0:
			data = append([]byte{0xFF, 0xFE}, parsetest.UTF16(log, false)...)
		case 10:
			data = parsetest.UTF16(log, true)
		case 20:
			data = append(bytes.Repeat([]byte("2021-03-03T06:00:00Z,padding of the buffer\n"), parse.BufferSize/43), data...)
		}
		parsetest.Check(fatal{t, rt}, f, data)
	})
}

// fatal lets rapid see the failures of a helper for tests.
type fatal struct {
	testing.TB
	rt *rapid.T
}

func (f fatal) Fatalf(format string, args ...any) { f.rt.Fatalf(format, args...) }
func (f fatal) Helper()                           {}
