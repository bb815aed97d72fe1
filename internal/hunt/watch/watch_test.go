package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern"
	"postern/internal/hunt"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse"
	parseall "postern/internal/hunt/parse/all"
)

// The rules of these tests: a row whose address begins with /bad is level 2, and with
// /evil level 4; a page with the word BAD in it is level 4.
type rules struct{ learned []string }

func (r *rules) Host() hunt.HostRules { return r }
func (r *rules) Gate(*parse.Format, []string) parse.Gate {
	return gate{}
}
func (r *rules) Channel(string) *parse.Channel                     { return nil }
func (r *rules) LookAtRecord(*postern.Event) []postern.Finding     { return nil }
func (r *rules) Sequences([]postern.Finding) []postern.Finding     { return nil }
func (r *rules) Once(findings []postern.Finding) []postern.Finding { return findings }
func (r *rules) Learn(findings []postern.Finding) {
	for _, f := range findings {
		r.learned = append(r.learned, f.Entities[postern.URL])
	}
}

func (r *rules) Look(ev *postern.Event) []postern.Finding {
	stem := ev.Get("cs-uri-stem")
	at := postern.Evidence{Path: ev.Place.Path, Line: ev.Place.Line, Offset: ev.Place.Offset, Excerpt: strings.Clone(ev.Raw)}
	f := postern.Finding{Rule: "test/bad", Level: postern.Exploited, Time: ev.Time, Evidence: []postern.Evidence{at}}
	switch {
	case strings.HasPrefix(stem, "/evil"):
		f.Rule, f.Level = "test/evil", postern.Implanted
	case !strings.HasPrefix(stem, "/bad"):
		return nil
	}
	f.Set(postern.URL, strings.Clone(stem))
	f.Set(postern.ClientIP, strings.Clone(ev.Get("c-ip")))
	return []postern.Finding{f}
}

type gate struct{}

func (gate) Pass(line []byte) bool {
	return strings.Contains(string(line), "/bad") || strings.Contains(string(line), "/evil")
}

type pages struct{}

func (pages) Wants(f *detect.File) bool { return strings.HasSuffix(f.Path, ".aspx") }
func (pages) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(b), "BAD") {
		return nil, nil, err
	}
	found := postern.Finding{Rule: "test/page", Level: postern.Implanted, Time: f.ModTime,
		Evidence: []postern.Evidence{{Path: f.Path, SHA256: fmt.Sprintf("%064x", len(b))}}}
	found.Set(postern.File, f.Server)
	return []postern.Finding{found}, nil, nil
}

// settings counts how many settings there are: more than one is a finding.
type settings struct{}

func (settings) Name() string              { return "config" }
func (settings) Wants(f *detect.File) bool { return strings.HasSuffix(f.Path, ".config") }
func (settings) Read(f *detect.File) (any, []postern.Problem, error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), nil, err
}
func (settings) Judge(parts []any) (j detect.Judgement) {
	if len(parts) > 1 {
		j.Findings = append(j.Findings, postern.Finding{Rule: "test/settings", Level: postern.PostExploitation,
			Evidence: []postern.Evidence{{Path: "all", Excerpt: fmt.Sprint(parts...)}}})
	}
	return j
}

// world is a folder that is watched, with a clock of its own.
type world struct {
	t     rapid.TB
	dir   string
	state string
	now   time.Time
	start bool
	rules *rules
	files detect.FileDetector

	w      *Watch
	alerts []Alert
	broken bool // nothing can be committed
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, dir: filepath.Join(dir, "root"), state: filepath.Join(dir, "state"), now: time.Date(2021, 3, 3, 10, 0, 0, 0, time.UTC), rules: &rules{}, files: pages{}}
	if err := os.MkdirAll(filepath.Join(w.dir, "inetpub/wwwroot/aspnet_client"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.w != nil {
			w.w.Close()
		}
	})
	return w
}

func (w *world) Raise(a Alert) error { w.alerts = append(w.alerts, a); return nil }

var errBroken = errors.New("no room")

func (w *world) Commit() error {
	if w.broken {
		return errBroken
	}
	return nil
}

func (w *world) open() {
	w.t.Helper()
	var err error
	w.w, err = New(Options{
		Roots: []string{w.dir}, Formats: parseall.Formats(), Rules: w.rules, Files: []detect.FileDetector{w.files}, Hosts: []detect.HostDetector{settings{}},
		Level: postern.Probed, Start: w.start, State: w.state, Now: func() time.Time { return w.now }, fast: true,
	}, w)
	if err != nil {
		w.t.Fatal(err)
	}
}

// pass lets a moment pass and looks, and gives what was raised as "level place".
func (w *world) pass() []string {
	w.t.Helper()
	w.now = w.now.Add(tick)
	before := len(w.alerts)
	for {
		again, err := w.w.pass(context.Background(), true)
		if err != nil {
			w.t.Fatal(err)
		}
		if !again {
			break
		}
	}
	return said(w.alerts[before:])
}

func said(alerts []Alert) (all []string) {
	for _, a := range alerts {
		switch a.Kind {
		case Found:
			e := a.Finding.Evidence[0]
			all = append(all, fmt.Sprintf("%d %s:%d %s", a.Finding.Level, e.Path, e.Line, a.Finding.Entities[postern.URL]))
		case Repeated:
			all = append(all, fmt.Sprintf("%d × %s %s of %d", a.Repeat.Count, a.Repeat.Rule, a.Repeat.Who, a.Repeat.Others))
		case Trouble:
			all = append(all, a.Problem.Path+" "+a.Problem.Detail.Key)
		default:
			all = append(all, string(a.Kind))
		}
	}
	return all
}

// want compares what was raised by the next look.
func (w *world) want(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.pass()); diff != "" {
		w.t.Errorf("raised (-want +got):\n%s", diff)
	}
}

// close ends the watch as an interrupt does.
func (w *world) close() {
	w.t.Helper()
	if err := errors.Join(w.w.end(), w.w.Close()); err != nil {
		w.t.Fatal(err)
	}
	w.w = nil
}

// kill ends it without a chance to save.
func (w *world) kill() {
	w.t.Helper()
	if err := w.w.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.w = nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

// write writes at the end of a file.
func (w *world) write(name, text string) {
	w.t.Helper()
	f, err := os.OpenFile(w.path(name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) rename(from, to string) {
	w.t.Helper()
	if err := os.Rename(w.path(from), w.path(to)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) copy(from, to string) {
	w.t.Helper()
	b, err := os.ReadFile(w.path(from))
	if err == nil {
		err = os.WriteFile(w.path(to), b, 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) empty(name string) {
	w.t.Helper()
	if err := os.Truncate(w.path(name), 0); err != nil {
		w.t.Fatal(err)
	}
}

const (
	head  = "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Fields: date time c-ip cs-uri-stem sc-status\r\n"
	other = "#Fields: date time sc-status cs-uri-stem c-ip\r\n"
)

// row is a row of the log; its client is made of its number.
func row(n int, stem string) string {
	return fmt.Sprintf("2021-03-03 10:%02d:%02d 203.0.%d.%d %s 200\r\n", n/60%60, n%60, n/250, n%250, stem)
}

func TestRowsThatAreNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head+row(1, "/bad1"))
	w.open()
	w.want()
	w.write("u.log", row(2, "/bad2")+row(3, "/good"))
	w.want("2 u.log:5 /bad2")
	w.want()
	// Half a row waits for its rest.
	half := row(4, "/bad4")
	w.write("u.log", half[:20])
	w.want()
	w.write("u.log", half[20:]+row(5, "/evil5"))
	w.want("2 u.log:7 /bad4", "4 u.log:8 /evil5")
	if got := w.rules.learned; !slices.Equal(got, []string{"/evil5"}) {
		t.Errorf("pages learned: %q", got)
	}
	// A log that comes into being is read from its beginning.
	w.write("v.log", head+row(6, "/bad6"))
	w.want("2 v.log:4 /bad6")
	offset := w.alerts[1].Finding.Evidence[0].Offset
	if want := int64(len(head + row(1, "/bad1") + row(2, "/bad2") + row(3, "/good"))); offset != want {
		t.Errorf("offset %d, want %d", offset, want)
	}
}

func TestFromStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start = true
	w.write("u.log", head+row(1, "/bad1"))
	w.open()
	w.want("2 u.log:4 /bad1")
}

// Columns that were named in another order before the position are those of the rows behind it.
func TestColumnsAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head+row(1, "/bad1")+other+"2021-03-03 10:00:02 200 /good 203.0.0.2\r\n")
	w.open()
	w.want()
	w.write("u.log", "2021-03-03 10:00:03 200 /bad3 203.0.0.3\r\n")
	w.want("2 u.log:7 /bad3")
	if got := w.alerts[0].Finding.Entities[postern.ClientIP]; got != "203.0.0.3" {
		t.Errorf("client %q", got)
	}
	w.close()
	w.open()
	w.want()
	w.write("u.log", "2021-03-03 10:00:04 200 /bad4 203.0.0.4\r\n")
	w.want("2 u.log:8 /bad4")
}

func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head+row(1, "/bad1"))
	w.open()
	w.want()
	w.write("u.log", row(2, "/bad2"))
	w.want("2 u.log:5 /bad2")
	// By another name it is read to its end, before what has its name now.
	w.write("u.log", row(3, "/bad3"))
	w.rename("u.log", "u.log.1")
	w.write("u.log", head+row(4, "/bad4"))
	w.want("2 u.log.1:6 /bad3", "2 u.log:4 /bad4")
	w.write("u.log.1", row(5, "/bad5"))
	w.write("u.log", row(6, "/bad6"))
	w.want("2 u.log:5 /bad6", "2 u.log.1:7 /bad5")
	// Twice at once.
	w.write("u.log", row(7, "/bad7"))
	w.rename("u.log.1", "u.log.2")
	w.rename("u.log", "u.log.1")
	w.write("u.log", head+row(8, "/bad8"))
	w.want("2 u.log.1:6 /bad7", "2 u.log:4 /bad8")
	w.want()
}

func TestTruncation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head)
	w.open()
	w.want()
	w.write("u.log", row(1, "/bad1")+row(2, "/bad2"))
	w.want("2 u.log:4 /bad1", "2 u.log:5 /bad2")
	// A copy is the log up to where that was read.
	w.write("u.log", row(3, "/bad3"))
	w.copy("u.log", "u.log.1")
	w.empty("u.log")
	w.write("u.log", head+row(4, "/bad4"))
	w.want("2 u.log.1:6 /bad3", "2 u.log:4 /bad4")
	// Emptied and longer than before by the next look.
	w.empty("u.log")
	w.write("u.log", head+row(5, "/good")+row(6, "/good")+row(7, "/bad7"))
	w.want("2 u.log:6 /bad7")
	// Emptied while nobody looked.
	w.close()
	w.empty("u.log")
	w.write("u.log", head+row(8, "/bad8"))
	w.open()
	w.want("2 u.log:4 /bad8")
}

func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head+row(1, "/bad1"))
	w.open()
	w.want()
	w.write("u.log", row(2, "/bad2"))
	w.want("2 u.log:5 /bad2")
	w.close()
	w.write("u.log", row(3, "/bad3"))
	w.rename("u.log", "old.log")
	w.write("u.log", head+row(4, "/bad4"))
	w.write("new.log", head+row(5, "/bad5"))
	w.open()
	w.want("2 old.log:6 /bad3", "2 new.log:4 /bad5", "2 u.log:4 /bad4")
	w.close()
	w.open()
	w.want()
}

// What could not be committed comes again with the same ID.
func TestKilledBeforeSaving(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head)
	w.open()
	w.want()
	w.close()
	w.open()
	w.write("u.log", row(1, "/bad1"))
	w.broken = true
	w.want("2 u.log:4 /bad1", filepath.ToSlash(filepath.Join(w.state, stateName))+" watch.not-saved")
	w.want() // it goes on
	w.kill()
	w.broken = false
	w.rename("u.log", "u.log.1")
	w.open()
	w.want("2 u.log.1:4 /bad1")
	if a, b := w.alerts[0].ID, w.alerts[len(w.alerts)-1].ID; a != b {
		t.Errorf("the same row was called %s and then %s", a, b)
	}
}

func TestRowsThatWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proxy := "#Fields: DateTime,UrlStem,cs-uri-stem,Protocol,RequestId,ServerHostName,HttpStatus,GenericErrors,AnchorMailbox,ProxyAction,TargetServer\r\n"
	w.write("HttpProxy_2021030310-1.LOG", "#Software: Microsoft Exchange Server\r\n#Version: 15.02.0721.002\r\n#Log-type: HttpProxy Logs\r\n"+proxy)
	w.open()
	w.want()
	// An open quote may go on in the next line, for two seconds.
	w.write("HttpProxy_2021030310-1.LOG", "2021-03-03T10:00:01.000Z,/x,/bad1,Owa,r,EX01,200,\"a\r\n")
	w.want()
	w.want()
	w.want("2 HttpProxy_2021030310-1.LOG:5 /bad1")
	if got := w.alerts[0].Host; got != "EX01" {
		t.Errorf("host %q", got)
	}
	// Half a line for ten minutes.
	w.write("HttpProxy_2021030310-1.LOG", "2021-03-03T10:00:02.000Z,/x,/bad2")
	w.want()
	w.now = w.now.Add(halfWait)
	w.want("2 HttpProxy_2021030310-1.LOG:6 /bad2")
	w.want()
}

func TestLogThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head)
	w.open()
	w.want()
	w.write("u.log", row(1, "/bad1")+"half a ro")
	w.want("2 u.log:4 /bad1")
	if err := os.Remove(w.path("u.log")); err != nil {
		t.Fatal(err)
	}
	w.want()
	w.now = w.now.Add(lostWait)
	w.want("u.log watch.log-gone")
}

func TestPages(t *testing.T) {
	t.Parallel()
	const page = "inetpub/wwwroot/aspnet_client/x.aspx"
	w := newWorld(t)
	w.write(page, "BAD")
	w.open()
	w.want("4 " + page + ":0 ")
	w.want()
	// Changed, it is another finding; as it was, it is known, also after a restart.
	w.write(page, " BAD")
	w.want("4 " + page + ":0 ")
	w.close()
	w.write("inetpub/wwwroot/new.aspx", "BAD")
	w.open()
	w.want("4 inetpub/wwwroot/new.aspx:0 ")
	w.write("inetpub/wwwroot/good.aspx", "fine")
	w.want()
	// Settings are judged together.
	w.write("inetpub/wwwroot/web.config", "a")
	w.want()
	w.write("inetpub/wwwroot/aspnet_client/web.config", "b")
	w.want("6 all:0 ")
	w.want()
	w.write("inetpub/wwwroot/web.config", "c")
	w.want("6 all:0 ")
}

// The first alert about a page says what the logs call its server.
// stumbling is a detector that a page brings down.
type stumbling struct{ pages }

func (s stumbling) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	if strings.HasSuffix(f.Path, "evil.aspx") {
		panic(errors.New("made to fail"))
	}
	return s.pages.Look(f)
}

func TestPageThatBringsADetectorDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.files = stumbling{}
	w.open()
	w.write("evil.aspx", "x")
	w.write("later.aspx", "BAD")
	w.want("evil.aspx hunt.stumbled", "4 later.aspx:0 ")
	w.want() // and not again and again
}

func TestNameOfTheServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("HttpProxy_2021030310-1.LOG", "#Software: Microsoft Exchange Server\r\n#Log-type: HttpProxy Logs\r\n#Fields: DateTime,RequestId,UrlStem,Protocol,ServerHostName,HttpStatus,AnchorMailbox,ProxyAction,TargetServer\r\n"+
		"2021-03-03T10:00:01.000Z,r,/x,Owa,EX01,200,,,\r\n")
	w.write("inetpub/wwwroot/x.aspx", "BAD")
	w.open()
	w.want("4 inetpub/wwwroot/x.aspx:0 ")
	if got := w.alerts[0].Host; got != "EX01" {
		t.Errorf("host %q", got)
	}
}

func TestQuickLooksSeeNewFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = time.Now().Add(time.Hour)
	w.write("inetpub/wwwroot/good.aspx", "fine")
	// File systems count time in steps: the next change must not fall into the same.
	before := time.Now().Add(-time.Hour)
	if err := os.Chtimes(w.path("inetpub/wwwroot"), before, before); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.want()
	w.now = w.now.Add(tick)
	w.write("inetpub/wwwroot/new.aspx", "BAD")
	if _, err := w.w.pass(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	if got, want := said(w.alerts), []string{"4 inetpub/wwwroot/new.aspx:0 "}; !slices.Equal(got, want) {
		t.Errorf("a quick look raised %q, want %q", got, want)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	outside := filepath.Join(filepath.Dir(w.dir), "outside")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "x.aspx"), []byte("BAD"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, w.path("inetpub/wwwroot/there")); err != nil {
		t.Skipf("no links here: %v", err)
	}
	if err := os.Symlink(filepath.Join(outside, "x.aspx"), w.path("inetpub/wwwroot/page.aspx")); err != nil {
		t.Fatal(err)
	}
	w.open()
	got := w.pass()
	slices.Sort(got)
	if want := []string{"inetpub/wwwroot/page.aspx watch.link", "inetpub/wwwroot/there watch.link"}; !slices.Equal(got, want) {
		t.Errorf("raised %q, want %q", got, want)
	}
	w.want() // said once
	// A log whose place is taken by a link is not read through it.
	w.write("u.log", head)
	w.want()
	if err := os.WriteFile(filepath.Join(outside, "u.log"), []byte(head+row(1, "/bad1")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.path("u.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "u.log"), w.path("u.log")); err != nil {
		t.Fatal(err)
	}
	for _, s := range w.pass() {
		if strings.HasPrefix(s, "2 ") {
			t.Errorf("raised %q from outside of the root", s)
		}
	}
}

func TestWhatIsNotFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("Security.evtx", "ElfFile")
	w.open()
	w.want("Security.evtx watch.event-logs")
	w.write("wide.log", "\xff\xfe"+strings.Join(strings.Split(head+row(1, "/bad1"), ""), "\x00")+"\x00")
	w.want("wide.log watch.charset")
	w.want()
	w.write("notes.log", strings.Repeat("nothing that any format knows\n", 1000))
	w.want()
	// What is no log is not read again and again.
	w.write("notes.log", row(2, "/bad2"))
	w.want()
}

func TestTwoWatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.open()
	if _, err := New(Options{Roots: []string{w.dir}, State: w.state, Rules: w.rules}, w); !errors.Is(err, ErrLocked) {
		t.Errorf("a second watch with the same state: %v", err)
	}
}

// The state is not in the way of what it is about.
func TestStateInsideOfTheRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.state = w.path("state")
	w.write("u.log", head)
	w.open()
	w.want()
	w.write("u.log", row(1, "/bad1"))
	w.want("2 u.log:4 /bad1")
}

// Whatever happens to logs, and however often the watch is killed, every row is raised,
// and what is raised twice has the same ID.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(outer)
		w.t, w.now = t, time.Now().Add(time.Hour) // so that the times of folders are believed
		w.write("u.log", head)
		w.open()
		w.pass()
		n, rotated := 0, 0
		rest := "" // of a row that is half written
		rows := make(map[string]bool)
		write := func() {
			text := rest
			rest = ""
			for range rapid.IntRange(0, 4).Draw(t, "rows") {
				n++
				stem := fmt.Sprintf("/bad%d", n)
				rows[stem] = true
				text += row(n, stem)
			}
			if cut := rapid.IntRange(0, 30).Draw(t, "cut"); cut < len(text) && rapid.Bool().Draw(t, "half") {
				text, rest = text[:len(text)-cut], text[len(text)-cut:]
			}
			w.write("u.log", text)
		}
		again := func() {
			w.write("u.log", rest)
			rest = ""
			rotated++
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(*rapid.T) { write() },
			"rename": func(*rapid.T) {
				again()
				w.rename("u.log", fmt.Sprintf("u.log.%d", rotated))
				w.write("u.log", head)
				write()
			},
			"copy and empty": func(*rapid.T) {
				again()
				w.copy("u.log", fmt.Sprintf("u.log.%d", rotated))
				w.empty("u.log")
				w.write("u.log", head)
				write()
			},
			"empty": func(*rapid.T) {
				again()
				w.now = w.now.Add(window) // so that all is raised by itself
				w.pass()
				w.empty("u.log")
				w.write("u.log", head)
				write()
			},
			"other columns": func(*rapid.T) {
				if rest == "" {
					w.write("u.log", head)
				}
			},
			"look": func(*rapid.T) {
				w.now = w.now.Add(window)
				w.pass()
			},
			"quick look": func(*rapid.T) {
				w.now = w.now.Add(window)
				if _, err := w.w.pass(context.Background(), false); err != nil {
					t.Fatal(err)
				}
			},
			"kill": func(*rapid.T) {
				w.broken = rapid.Bool().Draw(t, "before saving")
				w.now = w.now.Add(window)
				if _, err := w.w.pass(context.Background(), true); err != nil {
					t.Fatal(err)
				}
				w.broken = false
				w.kill()
				w.open()
			},
			"restart": func(*rapid.T) {
				w.close()
				w.open()
			},
		})
		again()
		for range 3 {
			w.now = w.now.Add(window)
			w.pass()
		}
		ids := make(map[string]string)
		for _, a := range w.alerts {
			if a.Kind == Repeated && a.Repeat.Who != "" {
				continue // each client has one row: it was raised before
			}
			if a.Kind == Trouble && a.Problem.Detail.Key == "watch.not-saved" {
				continue // nothing could be committed then
			}
			if a.Kind != Found {
				t.Fatalf("raised %v", said([]Alert{a}))
			}
			stem := a.Finding.Entities[postern.URL]
			if !rows[stem] {
				t.Fatalf("raised %q, which was never written", stem)
			}
			if id, twice := ids[stem]; twice && id != a.ID {
				t.Fatalf("%s was called %s and %s", stem, id, a.ID)
			}
			ids[stem] = a.ID
		}
		for stem := range rows {
			if ids[stem] == "" {
				t.Fatalf("%s was lost", stem)
			}
		}
		w.kill()
	})
}

// locked is a detector of pages that another program keeps from being read.
type locked struct {
	pages
	now *bool
}

func (l locked) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	if *l.now {
		return nil, nil, errors.New("another program holds it")
	}
	return l.pages.Look(f)
}

// A page that could not be read is asked for again, though it does not change any more.
func TestPageThatIsHeld(t *testing.T) {
	t.Parallel()
	const page = "inetpub/wwwroot/aspnet_client/x.aspx"
	w := newWorld(t)
	w.open()
	w.want()
	held := true
	w.w.opt.Files = []detect.FileDetector{locked{now: &held}}
	w.write(page, "BAD")
	w.want(page + " watch.unreadable")
	w.want()
	held = false
	w.want("4 " + page + ":0 ")
	w.want()
}

// A folder that is taken away, as a share is, and comes back is watched again.
func TestFolderThatComesBack(t *testing.T) {
	t.Parallel()
	const log = "u_ex210303.log"
	w := newWorld(t)
	w.write(log, head+row(1, "/"))
	w.open()
	w.want()
	away := w.dir + ".away"
	for _, move := range [][2]string{{w.dir, away}, {away, away + ".old"}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Skip("a folder that is open cannot be moved here: ", err)
		}
	}
	if err := os.RemoveAll(away + ".old"); err != nil {
		t.Fatal(err)
	}
	root := filepath.ToSlash(w.dir)
	w.want(root + " watch.root-gone")
	w.want()
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.write(log, head+row(1, "/")+row(2, "/bad"))
	w.want("2 " + log + ":5 /bad")
	w.write("x.aspx", "BAD")
	w.want("4 x.aspx:0 ")
	// The second time is told as well.
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	w.want(root + " watch.root-gone")
}

// A folder in which nothing is that a watch follows is most likely the wrong one.
func TestNothingToFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("notes.txt", "nothing")
	w.open()
	if err := w.w.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := said(w.alerts), []string{filepath.ToSlash(w.dir) + " watch.nothing"}; !slices.Equal(got, want) {
		t.Errorf("raised %q, want %q", got, want)
	}
	if w.w.Stats().Problems != 1 {
		t.Errorf("%d problems, want 1", w.w.Stats().Problems)
	}
}
