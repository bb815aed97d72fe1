package fingerprint

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/exposure"
)

// FuzzIdentify asks of any answers: does the record stay small and clean, does the
// interval stay inside one line of the table, does the stored record say the same
// when it is read again, and does the advice come to an end within six requests?
func FuzzIdentify(f *testing.F) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		f.Fatal("no recorded exchanges", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	b := book(f)
	f.Fuzz(func(t *testing.T, text string) {
		answers := loose(text)
		v := &exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1", Answers: answers}
		o := b.Identify(v)
		line, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if len(line) > 4<<10 {
			t.Errorf("record of %d bytes", len(line))
		}
		for _, e := range o.Evidence {
			if strings.ContainsFunc(e.Request+e.What, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("evidence %+q is not clean", e.What)
			}
		}
		if !o.Build.IsZero() && !o.Build.Low.IsZero() && keyOf(o.Build.Low) != keyOf(o.Build.High) {
			t.Errorf("interval over two lines: %v", o.Build)
		}
		if o.Build.Low.Compare(o.Build.High) > 0 || o.Build.Exact != (postern.Build{}) && (o.Build.Exact != o.Build.Low || o.Build.Exact != o.Build.High) {
			t.Errorf("not an interval: %v", o.Build)
		}
		checkReplay(t, b, o)
		dated := *v
		dated.Time = time.Date(2021, 3, 18, 9, 0, 0, 0, time.UTC)
		in := b.Identify(&dated)
		in.Time = dated.Time
		checkReplay(t, b, in)
		if in.Build.Low != o.Build.Low || in.Build.High.Compare(o.Build.High) > 0 || in.Outcome != o.Outcome {
			t.Errorf("with a clock %s %v, without %s %v: want the same, or less at the top", in.Outcome, in.Build, o.Outcome, o.Build)
		}

		r := b.Start(&exposure.Visit{Name: v.Name, Address: v.Address})
		for n := 0; ; n++ {
			path, more := r.Next(Ask{Manifest: true})
			if !more {
				break
			}
			if n == 6 {
				t.Fatalf("a seventh request, to %s", path)
			}
			a := exposure.Answer{Method: "GET", Path: path, Status: 404}
			if len(answers) > 0 {
				a = answers[n%len(answers)]
				a.Path = path
			}
			r.Add(&a)
		}
	})
}

// loose reads recorded exchanges from any text.
func loose(text string) []exposure.Answer {
	var list []exposure.Answer
	for _, part := range strings.Split("\n"+text, "\n> ")[1:] {
		request, rest, _ := strings.Cut(part, "\n")
		_, path, _ := strings.Cut(request, " ")
		head, body, _ := strings.Cut(rest, "\n\n")
		lines := strings.Split(head, "\n")
		status := 0
		for _, w := range strings.Fields(lines[0]) {
			if len(w) == 3 {
				for _, c := range w {
					status = status*10 + int(c-'0')
				}
				break
			}
		}
		a := exposure.Answer{Method: "GET", Path: path, Status: status % 1000, Body: []byte(body)}
		for _, l := range lines[1:] {
			if n, v, ok := strings.Cut(l, ":"); ok {
				a.Header = append(a.Header, exposure.Header{Name: n, Value: v})
			}
		}
		if len(list) < 6 {
			list = append(list, a)
		}
	}
	return list
}

func BenchmarkIdentify(b *testing.B) {
	k := book(b)
	for _, name := range []string{"S09.http", "S01-S02.http"} {
		v := &exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1", Answers: recorded(b, name)}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				o := k.Identify(v)
				if o.Outcome != exposure.Exchange {
					b.Fatal(o.Outcome)
				}
			}
		})
	}
}
