package yara

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/hunt/detect"
)

// TestFigureLoading loads the folder of rules in POSTERN_YARA_RULES and says what of
// it is not loaded.
func TestFigureLoading(t *testing.T) {
	dir := os.Getenv("POSTERN_YARA_RULES")
	if dir == "" {
		t.Skip("POSTERN_YARA_RULES names no folder of rules")
	}
	src, closer, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	start := time.Now()
	rules, report := Load([]Source{src})
	t.Logf("%d files, %d rules, %d loaded (%.2f %%), %d strings, in %v", report.Files, report.Rules, report.Loaded,
		100*float64(report.Loaded)/float64(max(report.Rules, 1)), rules.strings.Len(), time.Since(start).Round(time.Millisecond))
	slices.SortStableFunc(report.Unsupported, func(a, b Unsupported) int { return cmp.Compare(a.Why.Key, b.Why.Key) })
	for _, u := range report.Unsupported {
		t.Logf("%s:%d %s: %s %v", u.File, u.Line, u.Rule, u.Why.Key, u.Why.Args)
	}
}

// TestFigureSameMatches compares with Debian's yara: the rules in POSTERN_YARA_RULES
// (a folder, or several with ':' between) over every file below POSTERN_YARA_FILES.
// External variables are empty on both sides, as yara has one value for all files.
func TestFigureSameMatches(t *testing.T) {
	dirs, files := os.Getenv("POSTERN_YARA_RULES"), os.Getenv("POSTERN_YARA_FILES")
	if dirs == "" || files == "" {
		t.Skip("POSTERN_YARA_RULES and POSTERN_YARA_FILES name no folders")
	}
	oracle, err := exec.LookPath("yara")
	if err != nil {
		t.Skip("yara is not installed (Debian: yara)")
	}
	var sources []Source
	var args []string
	for _, e := range externals {
		args = append(args, "-d", e+"=")
	}
	n := 0
	for _, dir := range filepath.SplitList(dirs) {
		src, closer, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer closer.Close()
		sources = append(sources, src)
		err = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
			if err == nil && slices.Contains(endings, filepath.Ext(name)) && accepts(oracle, args, name) {
				n++
				args = append(args, fmt.Sprintf("n%d:%s", n, name))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rules, _ := Load(sources)
	want := make(map[string]bool)
	start := time.Now()
	args = append([]string{"-w", "-r", "-N", "--timeout=600"}, append(args, files)...)
	out, err := exec.Command(oracle, args...).Output()
	if err != nil {
		t.Logf("yara: %v", err)
	}
	theirs := time.Since(start)
	for line := range strings.Lines(string(out)) {
		want[strings.TrimSpace(line)] = true
	}
	start = time.Now()
	got := make(map[string]bool)
	s := rules.newScratch()
	count, size := 0, 0
	err = filepath.WalkDir(files, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		count++
		size += len(data)
		in := input{data: data, size: int64(len(data)), known: [5]bool{true, true, true, true, true}}
		res := rules.scan(t.Context(), s, &in)
		for _, i := range res.matched {
			got[rules.rules[i].meta.Rule+" "+name] = true
		}
		if res.budget || res.timeout || len(res.over) > 0 {
			t.Logf("%s: budget %v, time %v, over %d", name, res.budget, res.timeout, len(res.over))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d bytes: %d matches in %v; yara %d in %v with %d files of rules", count, size, len(got), time.Since(start), len(want), theirs, n)
	for m := range want {
		if !got[m] {
			t.Errorf("yara finds and we do not: %s", m)
		}
	}
	for m := range got {
		if !want[m] {
			t.Errorf("we find and yara does not: %s", m)
		}
	}
}

// accepts says whether yara loads a file of rules.
func accepts(oracle string, args []string, name string) bool {
	args = append(slices.Clone(args), name, os.DevNull)
	args = slices.DeleteFunc(args, func(a string) bool { return strings.HasPrefix(a, "n") && strings.Contains(a, ":") })
	return exec.Command(oracle, append([]string{"-w"}, args...)...).Run() == nil
}

// TestFigureWebTree compares CPU time with `yara -r`: the rules in
// POSTERN_YARA_RULES over the tree POSTERN_YARA_TREE, both as processes of their own
// with two threads, in alternating pairs, the first of which is not counted.
func TestFigureWebTree(t *testing.T) {
	dir, tree := os.Getenv("POSTERN_YARA_RULES"), os.Getenv("POSTERN_YARA_TREE")
	if dir == "" || tree == "" {
		t.Skip("POSTERN_YARA_RULES and POSTERN_YARA_TREE name no folders")
	}
	oracle, err := exec.LookPath("yara")
	if err != nil {
		t.Skip("yara is not installed (Debian: yara)")
	}
	args := []string{"-w", "-r", "-N", "-p", "2"}
	for _, e := range externals {
		args = append(args, "-d", e+"=")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.yar"))
	args = append(append(args, files...), tree)
	var ours, theirs []time.Duration
	var a, b []string
	for i := range pairs + 1 {
		child := exec.Command(os.Args[0], "-test.run=^TestChildScan$")
		child.Env = append(os.Environ(), "POSTERN_YARA_CHILD=1", "GOMAXPROCS=2")
		x, got := measured(t, child)
		y, want := measured(t, exec.Command(oracle, args...))
		a, b = got, want
		if i > 0 {
			ours, theirs = append(ours, x), append(theirs, y)
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	t.Logf("CPU of ours: %v, of yara: %v; ratio of medians %.3f (%d matches, yara %d)", ours, theirs,
		ours[len(ours)/2].Seconds()/theirs[len(theirs)/2].Seconds(), len(a), len(b))
	if !slices.Equal(a, b) {
		t.Errorf("got the matches %v, want %v", a, b)
	}
}

// pairs of runs; more where the machine is busy.
const pairs = 5

// measured runs a program and gives its CPU time and its matches, sorted.
func measured(t *testing.T, c *exec.Cmd) (time.Duration, []string) {
	t.Helper()
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", c.Path, err)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "PASS" {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), lines
}

// TestChildScan is the process that TestFigureWebTree measures.
func TestChildScan(t *testing.T) {
	if os.Getenv("POSTERN_YARA_CHILD") == "" {
		t.Skip("not a child of TestFigureWebTree")
	}
	src, closer, err := Open(os.Getenv("POSTERN_YARA_RULES"))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	rules, _ := Load([]Source{src})
	d := New(rules, Options{})
	paths := make(chan string, 256)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for p := range paths {
				info, err := os.Stat(p)
				if err != nil {
					t.Error(err)
					continue
				}
				found, _, err := d.Look(&detect.File{Path: p, Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(p) }})
				if err != nil {
					t.Error(err)
				}
				for _, f := range found {
					fmt.Println(strings.TrimPrefix(f.Rule, "yara/") + " " + p)
				}
			}
		})
	}
	err = filepath.WalkDir(os.Getenv("POSTERN_YARA_TREE"), func(p string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			paths <- p
		}
		return err
	})
	close(paths)
	workers.Wait()
	if err != nil {
		t.Fatal(err)
	}
}

// webEndings are those of the files that a site is made of.
var webEndings = strings.Fields(`.aspx .ascx .asmx .ashx .asax .asp .master .cshtml .js .css .htm .html .php .jsp .xml .config .json .svg
	.png .gif .jpg .jpeg .txt .less .scss .map .resx .woff .woff2 .ico .ttf .eot`)

// TestFigureMakeTree lays out the tree of TestFigureWebTree in POSTERN_YARA_TREE: of
// the web files in the checkouts below POSTERN_YARA_SOURCES, 25,000 that the SHA-256
// of their paths picks.
func TestFigureMakeTree(t *testing.T) {
	from, to := os.Getenv("POSTERN_YARA_SOURCES"), os.Getenv("POSTERN_YARA_TREE")
	if from == "" || to == "" {
		t.Skip("POSTERN_YARA_SOURCES and POSTERN_YARA_TREE name no folders")
	}
	sum := make(map[string][32]byte)
	err := filepath.WalkDir(from, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && slices.Contains(webEndings, strings.ToLower(filepath.Ext(p))) {
			rel, _ := filepath.Rel(from, p)
			sum[rel] = sha256.Sum256([]byte(filepath.ToSlash(rel)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := slices.SortedFunc(maps.Keys(sum), func(a, b string) int {
		x, y := sum[a], sum[b]
		return bytes.Compare(x[:], y[:])
	})
	const want = 25_000
	size := 0
	for _, name := range names[:min(len(names), want)] {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		size += len(b)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d files, %d bytes", min(len(names), want), len(names), size)
}
