package adoption

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"postern/internal/catalogue"
	"postern/internal/picture"
)

var update = flag.Bool("update", false, "write the golden files anew")

var march = time.Date(2021, 3, 2, 0, 0, 0, 0, time.UTC)

// country makes the report of a small simulated country.
func country(t testing.TB, by string, scope string) *picture.Report {
	t.Helper()
	return seen(t, by, scope, false)
}

// seen makes that report; from outside, only the fix can be seen and not its absence.
func seen(t testing.TB, by string, scope string, outside bool) *picture.Report {
	t.Helper()
	a := picture.NewAdoption(picture.Options{CVE: "CVE-2021-26855", Since: march, By: by, Seed: 7, Draws: 200,
		Available: func(line string) (time.Time, bool) {
			return march.AddDate(0, 0, map[string]int{"CU14": 6, "CU11": 9}[line]), line != "CU5"
		}})
	rng := rand.New(rand.NewPCG(3, 4))
	for h := range 700 {
		line := []string{"CU19", "CU19", "CU18", "CU14", "CU11", "CU5"}[rng.IntN(6)]
		group := []string{"health", "industry", "public", `<b>&"x`}[rng.IntN(4)]
		fixed := math.Pow(rng.ExpFloat64(), 1.2)*9 + map[string]float64{"CU14": 6, "CU11": 9, "CU5": 90}[line]
		unsure, gone := rng.Float64() < 0.08, rng.ExpFloat64()*120
		for _, day := range []float64{1.25, 3.25, 6.25, 7.25, 10.25, 14.25, 20.25, 27.25, 34.25} {
			if rng.Float64() < 0.1 || day > gone {
				continue
			}
			state := picture.Open
			switch {
			case unsure:
				state = picture.Unsure
			case day > fixed:
				state = picture.Closed
			case outside && h%3 > 0:
				state = picture.Unsure
			}
			if err := a.Add(&picture.Sighting{Keys: []string{fmt.Sprint(h)}, Time: march.Add(time.Duration(day * 24 * float64(time.Hour))),
				State: state, Line: line, Cluster: fmt.Sprint("as", h%90), Group: group, Scope: scope}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := a.Estimate()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func speak(t testing.TB, lang string) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Load(lang)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGolden(t *testing.T) {
	t.Parallel()
	r, outside := country(t, "sector", "exercise-2021"), seen(t, "sector", "exercise-2021", true)
	for _, lang := range catalogue.Languages {
		l := speak(t, lang)
		for name, write := range map[string]func(io.Writer) error{
			"bounds.json": func(w io.Writer) error { return JSON(w, outside, l) },
			"bounds.txt":  func(w io.Writer) error { return Text(w, outside, l) },
			"bounds.svg":  func(w io.Writer) error { return SVG(w, outside, l, BuiltIn("CVE-2021-26855")) },
			"bounds.html": func(w io.Writer) error { return HTML(w, outside, l, lang, BuiltIn("CVE-2021-26855")) },
			"json":        func(w io.Writer) error { return JSON(w, r, l) },
			"txt":         func(w io.Writer) error { return Text(w, r, l) },
			"svg":         func(w io.Writer) error { return SVG(w, r, l, BuiltIn("CVE-2021-26855")) },
			"html":        func(w io.Writer) error { return HTML(w, r, l, lang, BuiltIn("CVE-2021-26855")) },
		} {
			if lang == "es" && !strings.HasSuffix(name, "txt") {
				continue
			}
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", lang+"."+name)
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%s differs; look at it and run with -update", file)
			}
		}
	}
}

// TestContract holds the JSON against the form that was promised, also where no share
// can be stated.
func TestContract(t *testing.T) {
	t.Parallel()
	contract(t, country(t, "", ""), "share")
	contract(t, seen(t, "", "", true), "bounds")
}

func contract(t *testing.T, r *picture.Report, states string) {
	t.Helper()
	var b bytes.Buffer
	if err := JSON(&b, r, speak(t, "en")); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Schema string `json:"schema"`
		CVE    string `json:"cve"`
		Points []struct {
			Time            time.Time `json:"time"`
			Share           *float64  `json:"share"`
			Low             *float64  `json:"low"`
			High            *float64  `json:"high"`
			UndecidableLow  *float64  `json:"undecidable_low"`
			UndecidableHigh *float64  `json:"undecidable_high"`
			N               *int      `json:"n"`
		} `json:"points"`
		Median map[string]any `json:"median"`
		States string         `json:"states"`
		Notes  []string       `json:"notes"`
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Schema != "postern.adoption/1" || doc.CVE != "CVE-2021-26855" || len(doc.Points) == 0 || doc.Median["reached"] != true || len(doc.Notes) == 0 {
		t.Errorf("%+v", doc)
	}
	if doc.States != states {
		t.Errorf("it states %q, want %q", doc.States, states)
	}
	for _, p := range doc.Points {
		if states == "bounds" && (*p.Share != *p.UndecidableLow || *p.High < *p.UndecidableHigh) {
			t.Errorf("what is proven, or the limit of what may be, is not said: %+v", p)
		}
		if p.Time.IsZero() || p.Share == nil || p.Low == nil || p.High == nil || p.UndecidableLow == nil || p.UndecidableHigh == nil || p.N == nil {
			t.Fatalf("a point lacks a field: %+v", p)
		}
		if *p.Low > *p.Share || *p.Share > *p.High || *p.UndecidableLow > *p.Share || *p.UndecidableHigh < *p.Share {
			t.Errorf("the share lies outside its band or bounds: %+v", p)
		}
	}
}

func TestTextFitsTerminal(t *testing.T) {
	t.Parallel()
	for _, lang := range catalogue.Languages {
		var b bytes.Buffer
		l := speak(t, lang)
		if err := errors.Join(Text(&b, country(t, "sector", "exercise"), l), Text(&b, seen(t, "sector", "exercise", true), l)); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if n := utf8.RuneCountInString(line); n > columns {
				t.Errorf("%s: %d columns: %s", lang, n, line)
			}
		}
	}
}

// TestHostileWords puts markup and control characters where words come from outside.
func TestHostileWords(t *testing.T) {
	t.Parallel()
	r := country(t, "sector", "<script>alert(1)</script>\x1b[2J\u202e")
	l := speak(t, "en")
	var svg, page, text bytes.Buffer
	if err := errors.Join(SVG(&svg, r, l, nil), HTML(&page, r, l, "en", nil), Text(&text, r, l)); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"svg": svg.String(), "html": page.String()} {
		if strings.Contains(s, "<script") || strings.Contains(s, `<b>&"x`) {
			t.Errorf("%s holds markup from outside", name)
		}
	}
	if strings.ContainsAny(text.String(), "\x1b\u202e") {
		t.Error("text holds control characters")
	}
	d := xml.NewDecoder(&svg)
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("svg is not XML: %v", err)
		}
	}
}

func TestPublishedTable(t *testing.T) {
	t.Parallel()
	list, err := ReadPublished(bytes.NewReader(published))
	if err != nil || len(list) == 0 {
		t.Fatal(err, len(list))
	}
	for _, bad := range []string{"", "a,b\n", "cve,date,source,scope,percent,says\nx,2021-13-01,s,NL,10,y\n", "cve,date,source,scope,percent,says\nx,2021-03-01,s,NL,110,y\n"} {
		if _, err := ReadPublished(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
