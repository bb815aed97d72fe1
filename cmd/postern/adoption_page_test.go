package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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

// The full run, as docs/adoption.md states it:
//
//	go test ./cmd/postern -run TestAdoptionHoldsTheTruth -adoption-runs 200 -v
var adoptionRuns = flag.Int("adoption-runs", 2, "exercise countries for TestAdoptionHoldsTheTruth")

// Countries of the exercise, from records to the curve as the command does it, against
// their true curves: the band must hold them.
func TestAdoptionHoldsTheTruth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, insight, reach string }{{"reports", "1", "0.85"}, {"half of them", "0.5", "0.85"}, {"outside", "0", "0.85"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			run := func(in []byte, args ...string) []byte {
				var out bytes.Buffer
				if code := newApp(bytes.NewReader(in), &out, os.Stderr, func(string) (string, bool) { return "", false }).main(t.Context(), args); code != 0 {
					t.Fatalf("postern %v: exit code %d", args, code)
				}
				return out.Bytes()
			}
			points, inside, whole := 0, 0, 0
			for seed := range *adoptionRuns {
				// Unequal days, one visit in seven missed; hosts vanish, hide and move by themselves.
				truth := filepath.Join(dir, fmt.Sprint(seed))
				seen := run(nil, "exercise", "sightings", "--seed", fmt.Sprint(seed+1), "--hosts", "2000", "--insight", c.insight, "--reach", c.reach,
					"--days", "0,1,3,4,6,10,13,14,20,27,41,58", "--truth", truth)
				doc := run(seen, "exposure", "adoption", "--format", "json", "-")
				n, in := inBand(t, doc, truth)
				points, inside = points+n, inside+in
				if n == in {
					whole++
				}
			}
			got := float64(inside) / float64(points)
			t.Logf("%d runs: the truth is in the band at %.1f %% of %d points; in %d runs at every point", *adoptionRuns, 100*got, points, whole)
			if *adoptionRuns >= 100 && got < 0.93 || got < 0.8 {
				t.Errorf("the truth is in the band at %.1f %% of the points", 100*got)
			}
		})
	}
}

// inBand counts the points of a curve, and those whose band holds the truth.
func inBand(t *testing.T, doc []byte, truthFile string) (points, inside int) {
	t.Helper()
	truth := trueCurve(t, truthFile)
	for _, p := range curvePoints(t, doc) {
		points++
		if x := truth[p.Time.Truncate(24*time.Hour)]; p.Low <= x && x <= p.High {
			inside++
		}
	}
	return points, inside
}

// curvePoint is a point of the JSON form.
type curvePoint struct {
	Time             time.Time
	Share, Low, High float64
	None             float64 `json:"undecidable_low"`
	All              float64 `json:"undecidable_high"`
}

func curvePoints(t *testing.T, doc []byte) []curvePoint {
	t.Helper()
	var curve struct{ Points []curvePoint }
	if err := json.Unmarshal(doc, &curve); err != nil {
		t.Fatal(err)
	}
	return curve.Points
}

// trueCurve reads the truth that the exercise wrote.
func trueCurve(t *testing.T, file string) map[time.Time]float64 {
	t.Helper()
	b, err := os.ReadFile(file)
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
	return truth
}

// truthTable puts the estimate beside what was true when the scan of a day was half done.
func truthTable(t *testing.T, doc string) string {
	t.Helper()
	truth := trueCurve(t, "truth.jsonl")
	points := curvePoints(t, []byte(doc))
	table, outside := "", 0
	for _, p := range points {
		x := truth[p.Time]
		if x < p.Low || x > p.High {
			outside++
		}
		table += fmt.Sprintf("| %s | %.1f %% | %.1f %% | %.1f–%.1f %% | %.1f–%.1f %% |\n", p.Time.Format(time.DateOnly),
			100*x, 100*p.Share, 100*p.Low, 100*p.High, 100*p.None, 100*p.All)
	}
	if outside > 1 {
		t.Errorf("the truth lies outside the band on %d of %d days", outside, len(points))
	}
	return table
}
