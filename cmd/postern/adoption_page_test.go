package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// docs/adoption.md shows what these commands print, and a table of the estimate
// beside the truth of the exercise; both are made anew here and compared.
func TestAdoptionPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/adoption.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	t.Chdir(t.TempDir())
	run := func(command string) string {
		command, file, redirected := strings.Cut(command, " > ")
		var out bytes.Buffer
		if code := newApp(strings.NewReader(""), &out, os.Stderr, func(string) (string, bool) { return "", false }).
			main(context.Background(), strings.Fields(command)); code != 0 {
			t.Fatalf("postern %s: exit code %d", command, code)
		}
		if redirected {
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			return ""
		}
		return out.String()
	}
	blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(blocks) != 2 {
		t.Fatalf("the page has %d examples, want 2", len(blocks))
	}
	for _, block := range blocks {
		for _, example := range strings.Split("\n"+block[1], "\n$ postern ")[1:] {
			command, shown, _ := strings.Cut(example, "\n")
			rest := strings.ReplaceAll(run(command), "\u00a0", " ")
			for piece := range strings.SplitSeq("\n"+shown+"\n", "\n…\n") {
				piece = strings.Trim(piece, "\n")
				at := strings.Index(rest, piece)
				if at < 0 {
					t.Errorf("postern %s does not print this any more:\n%s\nIt prints:\n%s", command, piece, rest)
					break
				}
				rest = rest[at+len(piece):]
			}
		}
	}
	if want := truthTable(t, run("exposure adoption --format json reports.jsonl")); !strings.Contains(page, want) {
		t.Errorf("the table of the page should be:\n%s", want)
	}
}

// truthTable puts the estimate beside what was true when the scan of a day was half done.
func truthTable(t *testing.T, doc string) string {
	t.Helper()
	var curve struct {
		Points []struct {
			Time             time.Time
			Share, Low, High float64
			None             float64 `json:"undecidable_low"`
			All              float64 `json:"undecidable_high"`
		}
	}
	if err := json.Unmarshal([]byte(doc), &curve); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("truth.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	truth := map[time.Time]float64{}
	for line := range bytes.Lines(b) {
		var day struct {
			Date  time.Time
			Share float64
		}
		if err := json.Unmarshal(line, &day); err != nil {
			t.Fatal(err)
		}
		truth[day.Date] = day.Share
	}
	table, outside := "", 0
	for _, p := range curve.Points {
		x := truth[p.Time]
		if x < p.Low || x > p.High {
			outside++
		}
		table += fmt.Sprintf("| %s | %.1f %% | %.1f %% | %.1f–%.1f %% | %.1f–%.1f %% |\n", p.Time.Format(time.DateOnly),
			100*x, 100*p.Share, 100*p.Low, 100*p.High, 100*p.None, 100*p.All)
	}
	if outside > 1 {
		t.Errorf("the truth lies outside the band on %d of %d days", outside, len(curve.Points))
	}
	return table
}
