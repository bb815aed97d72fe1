package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/internal/alert"
)

// watchKills is how often a watch is killed; as often as POSTERN_KILLS says for the
// figure in docs/benchmarks.md.
const watchKills = 6

// watchPatience is what is waited for something that must come. Nothing is waited for to pass.
const watchPatience = time.Minute

// iisHead is the head of a log of IIS.
const iisHead = "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Date: 2021-03-03 10:00:00\r\n" +
	"#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken\r\n"

// knock is a row of somebody who looks for a page that is not there: an attempt.
func knock(n int) string {
	return fmt.Sprintf("2021-03-03 10:%02d:%02d 10.0.0.5 GET %s - 443 - 203.0.113.%d Mozilla/5.0 - 404 0 2 15\r\n", n/60, n%60, knocked(n), n%250+1)
}

func knocked(n int) string { return fmt.Sprintf("/aspnet_client/x%d.aspx", n) }

// live is a folder like that of a server that runs.
type live struct {
	t    *testing.T
	dir  string
	logs string
}

func newLive(t *testing.T) *live {
	t.Helper()
	l := &live{t: t, dir: t.TempDir()}
	l.logs = filepath.Join(l.dir, "C/inetpub/logs/LogFiles/W3SVC1")
	if err := os.MkdirAll(l.logs, 0o755); err != nil {
		t.Fatal(err)
	}
	l.write("u_ex.log", iisHead)
	l.file("hook.key", "0123456789abcdef0123456789abcdef\n")
	return l
}

func (l *live) file(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// write writes behind what is in a log.
func (l *live) write(name, text string) {
	l.t.Helper()
	f, err := os.OpenFile(filepath.Join(l.logs, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		l.t.Fatal(err)
	}
}

// rotate gives the log another name and begins anew.
func (l *live) rotate(n int) {
	l.t.Helper()
	if err := os.Rename(filepath.Join(l.logs, "u_ex.log"), filepath.Join(l.logs, fmt.Sprintf("u_ex.log.%d", n))); err != nil {
		l.t.Fatal(err)
	}
	l.write("u_ex.log", iisHead)
}

// truncate copies the log and empties it.
func (l *live) truncate(n int) {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.logs, "u_ex.log"))
	if err == nil {
		err = os.WriteFile(filepath.Join(l.logs, fmt.Sprintf("u_ex.log.%d", n)), b, 0o644)
	}
	if err == nil {
		err = os.Truncate(filepath.Join(l.logs, "u_ex.log"), 0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.write("u_ex.log", iisHead)
}

// watch starts the program over the folder.
func (l *live) watch(args ...string) *watching {
	l.t.Helper()
	c := exec.Command("postern", append([]string{"--lang", "en", "watch", "C", "--state", "state"}, args...)...)
	c.Dir = l.dir
	w := &watching{t: l.t, c: c, lines: make(chan string, 1000), said: make(chan string, 1000), done: make(chan struct{})}
	out, err := c.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	errs, err := c.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Process.Kill(); <-w.done })
	var read sync.WaitGroup
	for from, to := range map[io.Reader]chan string{out: w.lines, errs: w.said} {
		read.Go(func() {
			s := bufio.NewScanner(from)
			s.Buffer(nil, 1<<20)
			for s.Scan() {
				to <- s.Text()
			}
			close(to)
		})
	}
	go func() { read.Wait(); c.Wait(); close(w.done) }()
	return w
}

type watching struct {
	t           *testing.T
	c           *exec.Cmd
	lines, said chan string
	done        chan struct{}
}

// until waits for a line with a text in it and gives it.
func (w *watching) until(from chan string, text string) string {
	w.t.Helper()
	end := time.After(watchPatience)
	var seen []string
	for {
		select {
		case line, open := <-from:
			if strings.Contains(line, text) {
				return line
			}
			if seen = append(seen, line); !open {
				w.t.Fatalf("it ended without %q; it said %q", text, seen)
			}
		case <-end:
			w.t.Fatalf("no %q; it said %q", text, seen)
		}
	}
}

// end interrupts the watch and gives what it still printed, and its exit code.
func (w *watching) end() (rest []string, code int) {
	w.t.Helper()
	if err := w.c.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	return w.finished()
}

func (w *watching) finished() (rest []string, code int) {
	w.t.Helper()
	end := time.After(watchPatience)
	for {
		select {
		case line, open := <-w.lines:
			if open {
				rest = append(rest, line)
				continue
			}
			<-w.done
			return rest, w.c.ProcessState.ExitCode()
		case <-end:
			w.t.Fatal("it does not end")
		}
	}
}

// raised is the part of an alert that these tests look at.
type raised struct {
	Schema, Type, ID, Host string
	Finding                struct {
		Rule     string
		Level    int
		Evidence []struct {
			Path string
			Line int64
		}
		Entities map[string]string
	}
	Repeated struct {
		Rule  string
		Count int64
	}
}

func alertOf(t *testing.T, line string) (a raised) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &a); err != nil || a.Schema != watchSchema || a.ID == "" {
		t.Fatalf("no alert: %q: %v", line, err)
	}
	return a
}

// A server lives: rows come, logs rotate and are emptied, pages appear, the watch ends and
// goes on.
func TestWatchLive(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no signal on Windows that a test can send to one process")
	}
	l := newLive(t)
	l.write("u_ex.log", knock(0)) // before the watch: for a hunt
	w := l.watch()
	w.until(w.said, "Watching 1 folder")
	// Until the first look is done nobody knows what is new: a page marks its end.
	l.write("marker.log", iisHead)
	waitFor(t, "the first positions", func() bool {
		b, _ := os.ReadFile(filepath.Join(l.dir, "state", "positions"))
		return bytes.Contains(b, []byte("u_ex.log"))
	})
	l.write("u_ex.log", knock(1))
	a := alertOf(t, w.until(w.lines, knocked(1)))
	if e := a.Finding.Evidence[0]; a.Finding.Level != 1 || e.Path != "inetpub/logs/LogFiles/W3SVC1/u_ex.log" || e.Line != 6 {
		t.Errorf("raised %+v", a)
	}
	l.write("u_ex.log", knock(2))
	l.rotate(1)
	l.write("u_ex.log", knock(3))
	w.until(w.lines, knocked(2))
	w.until(w.lines, knocked(3))
	l.truncate(2)
	l.write("u_ex.log", knock(4))
	w.until(w.lines, knocked(4))
	if again := l.watch(); true {
		again.until(again.said, "another watch uses state")
		if _, code := again.finished(); code != exitFailed {
			t.Errorf("a second watch ended with %d", code)
		}
	}
	if rest, code := w.end(); code != exitDone || len(rest) > 0 {
		t.Errorf("interrupted, it ended with %d and said %q", code, rest)
	}
	l.write("u_ex.log", knock(5))
	l.rotate(3)
	l.write("u_ex.log", knock(6))
	w = l.watch("--once")
	rest, code := w.finished()
	if len(rest) != 2 || !strings.Contains(rest[0], knocked(5)) || !strings.Contains(rest[1], knocked(6)) || code != exitDone {
		t.Errorf("after a restart, %d: %q", code, rest)
	}
}

// waitFor waits until something holds that nobody tells of.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(watchPatience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// hooked is a receiver of webhooks that is sometimes away, and counts what it got.
type hooked struct {
	t      *testing.T
	mu     sync.Mutex
	n      int
	got    map[string]map[string]int // what was asked for → IDs of its alerts → how often
	server *httptest.Server
}

func newHooked(t *testing.T) *hooked {
	h := &hooked{t: t, got: make(map[string]map[string]int)}
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	return h
}

func (h *hooked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // killed in the middle
	}
	if got, want := r.Header.Get("Postern-Signature"), alert.Sign([]byte("0123456789abcdef0123456789abcdef"), r.Header.Get("Postern-Timestamp"), body); got != want {
		h.t.Errorf("signature %q, want %q", got, want)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n++; h.n%5 == 0 {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	var a raised
	if err := json.Unmarshal(body, &a); err != nil || a.ID != r.Header.Get("Postern-Id") {
		h.t.Errorf("body %q: %v", body, err)
	}
	of := a.Finding.Entities["url"]
	if h.got[of] == nil {
		h.got[of] = make(map[string]int)
	}
	h.got[of][a.ID]++
}

func (h *hooked) has(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.got[knocked(n)]) > 0
}

// watchMostKills writes two rows a round: of a rule sixty are raised one by one in a minute,
// and the rest of them is a count.
const watchMostKills = 28

// However often it is killed, and whatever happens to logs meanwhile, every row arrives;
// what arrives twice has the same ID.
func TestWatchSurvivesKill(t *testing.T) {
	t.Parallel()
	l, h := newLive(t), newHooked(t)
	kills := watchKills
	if n, err := strconv.Atoi(os.Getenv("POSTERN_KILLS")); err == nil {
		kills = min(n, watchMostKills)
	}
	args := []string{"--to", h.server.URL, "--key", "hook.key", "--drain", watchPatience.String()}
	if _, code := l.watch(append(args, "--once")...).finished(); code != exitDone {
		t.Fatalf("the first look ended with %d", code)
	}
	n := 0
	for round := range kills {
		w := l.watch(args...)
		write := func() { // few enough that each is raised by itself
			l.write("u_ex.log", knock(n)[:30])
			l.write("u_ex.log", knock(n)[30:])
			n++
		}
		write()
		switch round % 3 {
		case 1:
			l.rotate(round)
		case 2:
			l.truncate(round)
		}
		write()
		w.until(w.said, "Watching 1 folder")
		switch round % 4 {
		case 1, 3: // as soon as the last of them has arrived
			waitFor(t, "the last row", func() bool { return h.has(n - 1) })
		case 2: // or in between
			time.Sleep(time.Duration(rand.Int64N(int64(200 * time.Millisecond))))
		}
		w.c.Process.Kill()
		w.finished()
	}
	if _, code := l.watch(append(args, "--once")...).finished(); code != exitDone {
		t.Errorf("the last look ended with %d", code)
	}
	twice := 0
	for i := range n {
		ids := h.got[knocked(i)]
		if len(ids) != 1 {
			t.Errorf("%s arrived under the IDs %v, want one", knocked(i), ids)
		}
		for _, times := range ids {
			twice += times - 1
		}
	}
	t.Logf("%d kills, %d rows, %d lost, %d came again", kills, n, n-len(h.got), twice)
}

// Syslog arrives as it has to be.
func TestWatchSyslog(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	got := make(chan string, 10)
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		b, _ := io.ReadAll(c)
		got <- string(b)
	}()
	l.write("u_ex.log", knock(1))
	args := []string{"--once", "--from", "start", "--to", "syslog+tcp://" + server.Addr().String() + "?facility=auth", "--drain", watchPatience.String()}
	if out, code := l.watch(args...).finished(); code != exitDone || len(out) > 0 {
		t.Errorf("ended with %d: %q", code, out)
	}
	select {
	case text := <-got:
		length, frame, _ := strings.Cut(text, " ")
		if want := strconv.Itoa(len(frame)); length != want || !strings.HasPrefix(frame, "<37>1 ") || !strings.Contains(frame, knocked(1)) {
			t.Errorf("length %s of %s, frame %q", length, want, frame)
		}
	case <-time.After(watchPatience):
		t.Fatal("nothing arrived")
	}
}
