package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/catalogue"
	"postern/internal/report"
	"postern/internal/respond/clean"
)

// cleanRounds is how often the program is killed in each way of moving files; as often
// as POSTERN_KILLS says if it does, as for the 50 of docs/benchmarks.md.
const cleanRounds = 5

// cleanCopies is how many back doors lie in the tree, so that a kill meets a move.
const cleanCopies = 12

// runIn runs the program in a folder and gives its exit code and what it said.
func runIn(t *testing.T, dir string, args ...string) (int, string) {
	t.Helper()
	c := exec.Command("postern", args...)
	c.Dir, c.Env = dir, append(os.Environ(), "LC_ALL=C", "POSTERN_LANG=en")
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// backDoors lays out a server with several copies of a back door and hunts it.
func backDoors(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if code, out := runIn(t, dir, "exercise", "evidence", "--out", "case", "--size", "2200KB", "--story", "shell-used"); code != 0 {
		t.Fatal(out)
	}
	auth := filepath.Join(dir, "case/EX01/C/Program Files/Microsoft/Exchange Server/V15/FrontEnd/HttpProxy/ecp/auth")
	found, err := filepath.Glob(filepath.Join(auth, "error*.aspx"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", auth, found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range cleanCopies - 1 {
		name := filepath.Join(auth, fmt.Sprintf("error%02d.aspx", i))
		if err := os.WriteFile(name, b, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, time.Date(2021, 3, 3, 10, i, 0, 123456000, time.UTC)); err != nil {
			t.Fatal(err)
		}
	}
	if code, out := runIn(t, dir, "hunt", "--format", "json", "-o", "hunt.json", "case"); code != exitFound {
		t.Fatal(out)
	}
	return dir
}

// lookTree gives mode, time and hash of all below a folder.
func lookTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		text := fmt.Sprint(info.Mode(), " ", info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(b))
		}
		all[filepath.ToSlash(rel)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sameTree(t *testing.T, what string, want, got map[string]string) {
	t.Helper()
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: %s is %q, want %q", what, name, got[name], w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s was not there before", what, name)
		}
	}
}

// Killed at any point, each file is in exactly one of two places, the manifest knows
// in which, the next run goes on, and restore puts back every bit.
func TestCleanSurvivesKill(t *testing.T) {
	t.Parallel()
	shm := "" // another file system, so that files are copied
	if d, err := os.MkdirTemp("/dev/shm", "postern"); err == nil {
		shm = d
		t.Cleanup(func() { os.RemoveAll(d) })
	}
	for _, how := range []string{"rename", "copy"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			if how == "copy" && shm == "" {
				t.Skip("there is no second file system here")
			}
			dir := backDoors(t)
			rounds := cleanRounds
			if n, err := strconv.Atoi(os.Getenv("POSTERN_KILLS")); err == nil {
				rounds = n
			}
			k := &killing{t: t, dir: dir, box: filepath.Join(dir, "q"), before: lookTree(t, filepath.Join(dir, "case"))}
			if how == "copy" {
				k.box = filepath.Join(shm, "q")
			}
			if err := os.Mkdir(k.box, 0o700); err != nil {
				t.Fatal(err)
			}
			caught := 0
			for n := range rounds {
				if k.round(n) {
					caught++
				}
				if t.Failed() {
					return
				}
			}
			k.finish()
			t.Logf("%d rounds, %d killed while files were moved", rounds, caught)
		})
	}
}

type killing struct {
	t        *testing.T
	dir, box string
	before   map[string]string
	back     bool // files are on their way back
}

func (k *killing) args() []string {
	if k.back {
		return []string{"respond", "restore", "case", "--yes", "--quarantine", k.box, "--key", "sign.pem"}
	}
	return []string{"respond", "clean", "case", "--from", "hunt.json", "--apply", "--yes", "--without-preserving", "drill", "--quarantine", k.box, "--key", "sign.pem"}
}

// round kills one run and looks where every file is. It says whether it was killed in
// the middle of its work.
func (k *killing) round(n int) bool {
	t := k.t
	t.Helper()
	last := manifestsSeen(k.box)
	c := exec.Command("postern", k.args()...)
	var said bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = k.dir, &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	// The work begins with a manifest; from there on any moment is as good as another.
	running := true
	for running && manifestsSeen(k.box) == last {
		select {
		case <-ended:
			running = false
		default:
			time.Sleep(100 * time.Microsecond)
		}
	}
	if running {
		select {
		case <-ended:
			running = false
		case <-time.After(time.Duration(rand.Int64N(int64(60 * time.Millisecond)))):
			_ = c.Process.Kill()
			<-ended
		}
	}
	moving := k.placesAgree(n)
	if code := c.ProcessState.ExitCode(); code > 0 && code != exitOpen && code != exitFound {
		t.Errorf("round %d: exit code %d: %s", n, code, &said)
	}
	if !running { // it had done all its work: now the other way
		k.back = !k.back
	}
	return running && moving
}

// manifestsSeen changes whenever a manifest is written.
func manifestsSeen(box string) string {
	var all strings.Builder
	names, _ := filepath.Glob(filepath.Join(box, "*", "manifest.json"))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintln(&all, name, info.ModTime().UnixNano())
		}
	}
	return all.String()
}

// placesAgree checks the invariant without the help of the program: a file is where it
// was or in the quarantine, whole, and the manifest does not say otherwise.
func (k *killing) placesAgree(n int) (begun bool) {
	t := k.t
	t.Helper()
	stored := make(map[string][]string) // path → places in the quarantine
	names, _ := filepath.Glob(filepath.Join(k.box, "*", "manifest.json"))
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d struct{ Body clean.Manifest }
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("round %d: the manifest is not whole: %v", n, err)
		}
		for _, i := range d.Body.Items {
			place := filepath.Join(filepath.Dir(name), i.Stored)
			here := isThere(filepath.Join(k.dir, "case", filepath.FromSlash(i.Path)))
			inside := isThere(place)
			if part := place + ".part"; !inside && !here && isThere(part) {
				place, inside = part, true
			}
			switch i.State {
			case clean.Moved:
				if !inside {
					t.Errorf("round %d: %s is not in the quarantine, and the manifest says so", n, i.Path)
				}
			case clean.Planned, clean.Restored, clean.Kept:
				if inside {
					t.Errorf("round %d: %s is in the quarantine, and the manifest says %s", n, i.Path, i.State)
				}
			default:
				begun = true
			}
			if i.State == clean.Moved && i.N < len(d.Body.Items) || i.State == clean.Restored && k.back {
				begun = true
			}
			if inside {
				stored[i.Path] = append(stored[i.Path], place)
				if b, err := os.ReadFile(place); err == nil && hexSum(b) != i.SHA256 {
					t.Errorf("round %d: %s in the quarantine is not whole", n, i.Path)
				}
			}
		}
	}
	now := lookTree(t, filepath.Join(k.dir, "case"))
	for name, was := range k.before {
		if strings.Count(was, " ") < 2 {
			continue // a folder
		}
		got, here := now[name]
		if here && got[strings.LastIndexByte(got, ' '):] != was[strings.LastIndexByte(was, ' '):] {
			t.Errorf("round %d: %s has another content", n, name)
		}
		if places := len(stored[name]); here && places != 0 || !here && places != 1 {
			t.Errorf("round %d: %s is in its place: %v, in the quarantine: %v", n, name, here, stored[name])
		}
		// The next run that cleans moves what was compiled with its page, and never without.
		if here && strings.Contains(name, "/Temporary ASP.NET Files/ecp/") {
			for page, places := range stored {
				if strings.HasSuffix(page, "/errorFF.aspx") && len(places) > 0 {
					t.Errorf("round %d: %s is there, and the page that it was compiled from in quarantine", n, name)
				}
			}
		}
	}
	return begun
}

func isThere(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func hexSum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// finish lets a clean run end, and then puts all back.
func (k *killing) finish() {
	t := k.t
	t.Helper()
	k.back = false
	if code, out := runIn(t, k.dir, k.args()...); code != exitDone {
		t.Errorf("clean: exit code %d: %s", code, out)
	}
	k.back = true
	if code, out := runIn(t, k.dir, k.args()...); code != exitDone {
		t.Errorf("restore: exit code %d: %s", code, out)
	}
	sameTree(t, "after restore", k.before, lookTree(t, filepath.Join(k.dir, "case")))
}

// renumber gives a finding the number that it would have at a place.
func renumber(f, evidence map[string]any) {
	n := func(key string) int64 { v, _ := evidence[key].(float64); return int64(v) }
	f["id"] = postern.FindingID(f["rule"].(string), postern.Evidence{Path: evidence["path"].(string), Line: n("line"), Record: n("record"), Offset: n("offset")})
}

// A document that somebody edited makes nothing move, whatever it names.
func TestCleanRefusesTampered(t *testing.T) {
	t.Parallel()
	dir := backDoors(t)
	raw, err := os.ReadFile(filepath.Join(dir, "hunt.json"))
	if err != nil {
		t.Fatal(err)
	}
	before := lookTree(t, filepath.Join(dir, "case"))
	iisstart := filepath.Join(dir, "case/EX01/C/inetpub/wwwroot/iisstart.htm")
	victim, err := os.ReadFile(iisstart)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(change func(finding map[string]any)) []byte {
		var doc map[string]any
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		for _, f := range doc["hosts"].([]any)[0].(map[string]any)["findings"].([]any) {
			if f := f.(map[string]any); f["rule"] == "files/oab-dump-shell" {
				change(f)
			}
		}
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := func(f map[string]any) map[string]any {
		return f["evidence"].([]any)[0].(map[string]any)
	}
	place := "EX01/C/inetpub/wwwroot/iisstart.htm"
	for name, tc := range map[string]struct {
		doc  []byte
		code int
		says string
	}{
		"another path": {edit(func(f map[string]any) { first(f)["path"] = place }), exitFailed, "does not fit together"},
		"another hash": {edit(func(f map[string]any) { f["entities"].(map[string]any)["file_sha256"] = hexSum(victim) }), exitFailed, "does not fit together"},
		"consistent": {edit(func(f map[string]any) { // whoever knows how numbers are made
			first(f)["path"], first(f)["sha256"] = place, hexSum(victim)
			f["entities"].(map[string]any)["file_sha256"] = hexSum(victim)
			renumber(f, first(f))
		}), exitOpen, "looked at alone it is not confirmed"},
		"a path out of the root": {edit(func(f map[string]any) {
			first(f)["path"] = "../../etc/passwd"
			renumber(f, first(f))
		}), exitOpen, "not a path below a folder"},
		"cut off":  {raw[:len(raw)/2], exitFailed, "error: "},
		"no JSON":  {[]byte("MZ"), exitFailed, "error: "},
		"no hosts": {[]byte(`{"schema":"postern.hunt/1","hosts":[],"problems":[],"status":"complete"}`), exitFailed, "error: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := strings.ReplaceAll(name, " ", "-") + ".json"
			if err := os.WriteFile(filepath.Join(dir, file), tc.doc, 0o600); err != nil {
				t.Fatal(err)
			}
			code, out := runIn(t, dir, "respond", "clean", "case", "--from", file)
			if out1 := strings.Join(strings.Fields(out), " "); code != tc.code && !(tc.code == exitOpen && code == exitFound) || !strings.Contains(out1, tc.says) {
				t.Errorf("exit code %d, want %d; says %s", code, tc.code, out)
			}
			if strings.Contains(out, "MOVE  EX01/C/inetpub/wwwroot/iisstart.htm") {
				t.Error("an innocent file would be moved")
			}
		})
	}
	t.Cleanup(func() { sameTree(t, "after all", before, lookTree(t, filepath.Join(dir, "case"))) })
}

// What a hunt names is told apart: malicious files, compiled forms, files of the
// product, settings, and rows of logs, which name nothing that can be moved.
func TestNamedKinds(t *testing.T) {
	t.Parallel()
	a := newApp(strings.NewReader(""), new(bytes.Buffer), new(bytes.Buffer), func(string) (string, bool) { return "", false })
	var err error
	if a.words, err = catalogue.Load("en"); err != nil {
		t.Fatal(err)
	}
	finding := func(rule, path, server string, level postern.Level, c postern.Confidence, more report.Entities) report.Finding {
		e := report.Entities{postern.File: server, postern.FileSHA256: "aa"}
		maps.Copy(e, more)
		at := report.Evidence{Path: path, SHA256: "aa", Line: 3, Excerpt: "line"}
		return report.Finding{ID: postern.FindingID(rule, postern.Evidence{Path: path, Line: 3}), Rule: rule, Level: level, Confidence: c, Evidence: []report.Evidence{at}, Entities: e}
	}
	none := report.Entities{postern.FileSHA256: ""}
	for name, tc := range map[string]struct {
		f    report.Finding
		want clean.Kind
	}{
		"web shell":         {finding("files/webshell", "C/inetpub/wwwroot/x.aspx", "inetpub/wwwroot/x.aspx", 4, postern.High, nil), clean.Page},
		"not sure":          {finding("files/webshell", "C/inetpub/wwwroot/x.aspx", "inetpub/wwwroot/x.aspx", 4, postern.Medium, nil), clean.Unsure},
		"not a back door":   {finding("files/webshell", "C/inetpub/wwwroot/x.aspx", "inetpub/wwwroot/x.aspx", 3, postern.High, nil), ""},
		"compiled form":     {finding("files/compiled-library", "C/tmp/a.dll", "tmp/a.dll", 5, postern.Low, report.Entities{"page": "x.aspx"}), clean.Compiled},
		"overwritten":       {finding("files/overwritten-stock", "C/owa/auth/new.aspx", "owa/auth/new.aspx", 4, postern.High, nil), clean.Stock},
		"file of a product": {finding("files/webshell", "C/x/owa/auth/logon.aspx", "frontend/httpproxy/owa/auth/logon.aspx", 4, postern.High, nil), clean.Stock},
		"code in settings":  {finding("files/config-code", "C/inetpub/wwwroot/web.config", "inetpub/wwwroot/web.config", 4, postern.High, nil), clean.Setting},
		"setting":           {finding("config/handler", "C/inetpub/wwwroot/web.config", "x.dll", 4, postern.High, none), clean.Setting},
		"row":               {finding("pack/row", "C/logs/u_ex.log", "", 5, postern.High, none), ""},
		"row with a hash":   {finding("pack/row", "C/logs/u_ex.log", "web/x.aspx", 5, postern.High, report.Entities{postern.FileSHA256: "bb"}), ""},
	} {
		got, err := a.named(nil, &report.Host{Findings: []report.Finding{tc.f}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var kind clean.Kind
		if len(got) > 0 {
			kind = got[0].Kind
		}
		if kind != tc.want {
			t.Errorf("%s: got %q, want %q", name, kind, tc.want)
		}
	}
}
