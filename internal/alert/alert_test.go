package alert

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern"
)

// patience is what a test waits for something that must come; none waits for it to pass.
const patience = 30 * time.Second

// messages makes messages with the IDs from one number up to another.
func messages(from, to int) (all []Message) {
	for i := from; i < to; i++ {
		all = append(all, Message{ID: fmt.Sprintf("m%d", i), Kind: "finding", Level: postern.Exploited,
			Time: time.Date(2021, 3, 3, 0, 0, i, 0, time.UTC), Body: fmt.Appendf(nil, `{"id":"m%d"}`, i)})
	}
	return all
}

// listener gathers what arrives and what is told.
type listener struct {
	mu   sync.Mutex
	got  []string
	told []string
	came chan struct{}
}

func newListener() *listener { return &listener{came: make(chan struct{}, 1)} }

func (l *listener) add(to *[]string, s string) {
	l.mu.Lock()
	*to = append(*to, s)
	l.mu.Unlock()
	select {
	case l.came <- struct{}{}:
	default:
	}
}

func (l *listener) tell(t postern.Text) { l.add(&l.told, t.Key) }

// wait waits until something holds.
func (l *listener) wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		l.mu.Lock()
		ok := holds()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.came:
		case <-end.C:
			t.Fatalf("%s did not happen; arrived %q, told %q", what, l.got, l.told)
		}
	}
}

// inOrder says whether all messages up to a number have arrived, in their order but
// for those that came again.
func (l *listener) inOrder(n int) bool {
	var first []string
	for _, id := range l.got {
		if !slices.Contains(first, id) {
			first = append(first, id)
		}
	}
	for i := range n {
		if i >= len(first) || first[i] != fmt.Sprintf("m%d", i) {
			return false
		}
	}
	return true
}

func options(t *testing.T, l *listener) Options {
	t.Helper()
	return Options{Dir: t.TempDir(), Name: "test", To: "test", Tell: l.tell, pauses: [2]time.Duration{time.Millisecond, 5 * time.Millisecond},
		Dropped: func(d Drops) Message {
			b, _ := json.Marshal(d)
			return Message{ID: "dropped", Kind: "dropped", Body: b}
		}}
}

func send(t *testing.T, s Sink, all []Message) {
	t.Helper()
	for _, m := range all {
		if err := s.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, s Sink, wantLeft int) {
	t.Helper()
	wait := patience
	if wantLeft > 0 {
		wait = 0
	}
	left, err := s.Close(wait)
	if err != nil || left != wantLeft {
		t.Fatalf("closed with %d left, %v; want %d", left, err, wantLeft)
	}
}

var key = []byte("0123456789abcdef")

// hook is a receiver of webhooks that does as it is told.
func hook(t *testing.T, l *listener, answer func(n int, w http.ResponseWriter) bool) *httptest.Server {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		stamp := r.Header.Get("Postern-Timestamp")
		seconds, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Hour {
			t.Errorf("time stamp %q", stamp)
		}
		if got, want := r.Header.Get("Postern-Signature"), Sign(key, stamp, body); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
		l.mu.Lock()
		n++
		tries := n
		l.mu.Unlock()
		if answer == nil || answer(tries, w) {
			l.add(&l.got, r.Header.Get("Postern-Id"))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// The signature of a known message, as docs/formats/watch.md says it is made.
func TestSignature(t *testing.T) {
	t.Parallel()
	// printf '1614755383.{"id":"m1"}' | openssl dgst -sha256 -hmac 0123456789abcdef
	const want = "v1=e755d2f75a5bb13498e5af9a531219531c3ba44516418b1d35cea73f0adfd0a9"
	if got := Sign(key, "1614755383", []byte(`{"id":"m1"}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	l := newListener()
	s, err := NewWebhook(hook(t, l, nil).URL, key, nil, options(t, l))
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, messages(0, 100))
	closed(t, s, 0)
	if !l.inOrder(100) || len(l.got) != 100 || len(l.told) > 0 {
		t.Errorf("arrived %q, told %q", l.got, l.told)
	}
}

// Errors are tried again, whatever they are, and said once; when it is over that is said, too.
func TestWebhookThatFails(t *testing.T) {
	t.Parallel()
	l := newListener()
	server := hook(t, l, func(n int, w http.ResponseWriter) bool {
		switch {
		case n%4 == 1:
			w.WriteHeader(http.StatusInternalServerError)
		case n%4 == 2:
			w.Header().Set("Location", "http://192.0.2.1/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case n%4 == 3:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			return true
		}
		return false
	})
	s, err := NewWebhook(server.URL, key, nil, options(t, l))
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, messages(0, 5))
	closed(t, s, 0)
	if !l.inOrder(5) || len(l.got) != 5 {
		t.Errorf("arrived %q", l.got)
	}
	if want := []string{"alert.failing", "alert.again"}; !slices.Equal(l.told[:2], want) {
		t.Errorf("told %q", l.told)
	}
}

// One that never takes a message does not keep the others from arriving, and is told
// how many it refused.
func TestWebhookThatRefuses(t *testing.T) {
	t.Parallel()
	l := newListener()
	server := hook(t, l, func(n int, w http.ResponseWriter) bool {
		if n == 2 {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
		return n != 2
	})
	s, err := NewWebhook(server.URL, key, nil, options(t, l))
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, messages(0, 3))
	l.wait(t, "the third message", func() bool { return slices.Contains(l.got, "m2") })
	send(t, s, messages(3, 4))
	closed(t, s, 0)
	if want := []string{"m0", "m2", "dropped", "m3"}; !slices.Equal(slices.Sorted(slices.Values(l.got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("arrived %q, want %q", l.got, want)
	}
}

// What did not arrive waits on disk for the next run, also if this one is killed.
func TestWebhookThatIsAway(t *testing.T) {
	t.Parallel()
	l := newListener()
	server := hook(t, l, nil)
	opt := options(t, l)
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + away.Addr().String()
	away.Close()
	s, err := NewWebhook(nobody, key, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, messages(0, 50))
	l.wait(t, "an error", func() bool { return slices.Contains(l.told, "alert.failing") })
	closed(t, s, 50)
	for round := range 5 { // kills: nothing is closed, and half a line is in the queue
		name := filepath.Join(opt.Dir, "queue-test")
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(f, "0000%d {", round)
		f.Close()
		q, err := openQueue(opt.Dir, opt.Name, DefaultQueue)
		if err != nil {
			t.Fatal(err)
		}
		if n := q.waits(); n != 50 {
			t.Fatalf("round %d: %d wait, want 50", round, n)
		}
		q.f.Close()
	}
	if s, err = NewWebhook(server.URL, key, nil, opt); err != nil {
		t.Fatal(err)
	}
	closed(t, s, 0)
	if !l.inOrder(50) || len(l.got) != 50 {
		t.Errorf("arrived %q", l.got)
	}
}

// A slow receiver holds nobody up.
func TestWebhookThatIsSlow(t *testing.T) {
	t.Parallel()
	l := newListener()
	open := make(chan struct{})
	server := hook(t, l, func(int, http.ResponseWriter) bool { <-open; return true })
	s, err := NewWebhook(server.URL, key, nil, options(t, l))
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, messages(0, 1000)) // returns although nothing has arrived
	if len(l.got) > 0 {
		t.Errorf("arrived %q", l.got)
	}
	close(open)
	closed(t, s, 0)
	if !l.inOrder(1000) {
		t.Errorf("%d arrived", len(l.got))
	}
}

func TestWebhookWaitsAsAsked(t *testing.T) {
	t.Parallel()
	l := newListener()
	server := hook(t, l, func(_ int, w http.ResponseWriter) bool {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
		return false
	})
	w := newWebhook(server.URL, key, nil)
	n, err := w.deliver(make(chan struct{}), messages(0, 2))
	var later *retryAfter
	if n != 0 || !errors.As(err, &later) || later.wait != 2*time.Minute {
		t.Errorf("%d, %v", n, err)
	}
}

func TestKeyIsLongEnough(t *testing.T) {
	t.Parallel()
	if _, err := NewWebhook("http://127.0.0.1:1", key[:MinKey-1], nil, options(t, newListener())); err == nil {
		t.Error("a short key signs")
	}
}

// A full queue drops, counts, says so, keeps room for back doors, and tells the receiver
// when it is back.
func TestQueueThatIsFull(t *testing.T) {
	t.Parallel()
	l := newListener()
	opt := options(t, l)
	opt.Queue = 20_000
	var mu sync.Mutex
	up := false
	var d Drops
	opt.Dropped = func(dropped Drops) Message {
		d = dropped
		return Message{ID: "dropped", Kind: "dropped", Body: []byte("{}")}
	}
	server := hook(t, l, func(_ int, w http.ResponseWriter) bool {
		mu.Lock()
		defer mu.Unlock()
		if !up {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return up
	})
	s, err := NewWebhook(server.URL, key, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	const n = 500
	send(t, s, messages(0, n))
	bad := messages(n, n+1)
	bad[0].Level = postern.Implanted
	send(t, s, bad)
	if !slices.Contains(l.told, "alert.queue-full") {
		t.Errorf("told %q", l.told)
	}
	left, err := s.Close(0)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	up = true
	mu.Unlock()
	if s, err = NewWebhook(server.URL, key, nil, opt); err != nil { // counts survive
		t.Fatal(err)
	}
	l.wait(t, "all that was kept", func() bool { return len(l.got) == left })
	if last := l.got[left-1]; last != bad[0].ID {
		t.Errorf("the last that arrived is %s, want the back door", last)
	}
	send(t, s, nil)
	closed(t, s, 0)
	if got, want := d.Full[postern.Exploited], int64(n+1-left); got != want || d.Total() != want {
		t.Errorf("told of %d dropped (%d in all), want %d", got, d.Total(), want)
	}
	if last := l.got[len(l.got)-1]; last != "dropped" {
		t.Errorf("the last that arrived is %s, want what was dropped", last)
	}
}

// The bytes of the queue are bounded on disk, too.
func TestQueueIsCleared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q, err := openQueue(dir, "x", 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer q.close()
	body := bytes.Repeat([]byte("x"), 10_000)
	for i := range 1000 {
		m := messages(i, i+1)[0]
		m.Body = body
		if !q.put(m) {
			t.Fatal("no room")
		}
		if err := q.commit(); err != nil {
			t.Fatal(err)
		}
		if i < 50 {
			continue
		}
		got, ends, err := q.peek(1)
		if err != nil || got[0].ID != fmt.Sprintf("m%d", i-50) {
			t.Fatalf("message %d: %v, %v", i, got, err)
		}
		if err := q.arrived(1, ends[0]); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(q.path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 4*arrivedMost {
		t.Errorf("%d bytes for 50 messages", info.Size())
	}
}

// A byte that changes in the queue costs one message, which is counted.
func TestQueueThatIsDamaged(t *testing.T) {
	t.Parallel()
	l := newListener()
	opt := options(t, l)
	q, err := openQueue(opt.Dir, opt.Name, DefaultQueue)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages(0, 5) {
		q.put(m)
	}
	if err := errors.Join(q.commit(), q.close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(q.path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte(`"m2"`))
	b[at+1] = 'x'
	if err := os.WriteFile(q.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := NewWebhook(hook(t, l, nil).URL, key, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	l.wait(t, "the last message", func() bool { return slices.Contains(l.got, "m4") })
	send(t, s, nil)
	closed(t, s, 0)
	if want := []string{"m0", "m1", "m3", "m4", "dropped"}; !slices.Equal(l.got, want) {
		t.Errorf("arrived %q, want %q", l.got, want)
	}
}

// What a machine that failed leaves, zeros without an end of line, costs what stood
// there, and neither the rest nor the start.
func TestQueueWithZeros(t *testing.T) {
	t.Parallel()
	l := newListener()
	opt := options(t, l)
	q, err := openQueue(opt.Dir, opt.Name, DefaultQueue)
	if err != nil {
		t.Fatal(err)
	}
	q.put(messages(0, 1)[0])
	if err := q.commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := q.f.Write(append(make([]byte, 6*maxMessage), '\n')); err != nil {
		t.Fatal(err)
	}
	q.size += 6*maxMessage + 1
	q.put(messages(1, 2)[0])
	if err := errors.Join(q.commit(), q.close()); err != nil {
		t.Fatal(err)
	}
	s, err := NewWebhook(hook(t, l, nil).URL, key, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	l.wait(t, "the message behind the zeros", func() bool { return slices.Contains(l.got, "m1") })
	send(t, s, nil)
	closed(t, s, 0)
	if want := []string{"m0", "m1", "dropped"}; !slices.Equal(l.got, want) {
		t.Errorf("arrived %q, want %q", l.got, want)
	}
}

// While the disk takes nothing, that is said once, and nobody is told that alerts are safe.
func TestQueueThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	l := newListener()
	s, err := NewWebhook(hook(t, l, nil).URL, key, nil, options(t, l))
	if err != nil {
		t.Fatal(err)
	}
	r := s.(*remote)
	r.q.mu.Lock()
	r.q.f.Close()
	r.q.mu.Unlock()
	for _, m := range messages(0, 2) {
		if err := s.Send(m); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(); err == nil {
			t.Error("a queue that could not be written was committed")
		}
	}
	if n := len(slices.DeleteFunc(slices.Clone(l.told), func(key string) bool { return key != "alert.queue-disk" })); n != 1 {
		t.Errorf("it was told %d times that the disk takes nothing, want once", n)
	}
	r.q.mu.Lock()
	r.q.f, err = os.OpenFile(r.q.path, os.O_RDWR|os.O_APPEND, 0o600)
	r.q.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	closed(t, s, 0)
	if want := []string{"m0", "m1"}; !slices.Equal(l.got, want) {
		t.Errorf("arrived %q, want %q", l.got, want)
	}
}

// frames reads syslog with octet counting and adds the IDs.
func frames(l *listener, c io.Reader) {
	r := bufio.NewReader(c)
	for {
		length, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(length))
		if err != nil {
			l.add(&l.told, "no length: "+length)
			return
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		l.add(&l.got, syslogID(frame))
	}
}

// syslogID gives the ID of the JSON behind a header that is as it has to be.
func syslogID(frame []byte) string {
	parts := strings.SplitN(string(frame), " ", 8)
	var body struct{ ID string }
	if len(parts) != 8 || parts[0] != "<132>1" || parts[3] != "postern" || parts[5] != "finding" || parts[6] != "-" || json.Unmarshal([]byte(parts[7]), &body) != nil {
		return "bad frame " + string(frame)
	}
	if _, err := time.Parse(time.RFC3339, parts[1]); err != nil {
		return "bad time " + parts[1]
	}
	return body.ID
}

func TestSyslogOverTCP(t *testing.T) {
	t.Parallel()
	l := newListener()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for i := 0; ; i++ {
			c, err := server.Accept()
			if err != nil {
				return
			}
			if i < 3 { // the first ones go away in the middle
				io.CopyN(io.Discard, c, 10)
				c.Close()
				continue
			}
			go frames(l, c)
		}
	}()
	s, err := NewSyslog(Syslog{Network: "tcp", Address: server.Addr().String(), Facility: 16}, options(t, l))
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, messages(0, 40))
	closed(t, s, 0)
	l.wait(t, "all messages", func() bool { return l.inOrder(40) })
}

func TestSyslogOverTLS(t *testing.T) {
	t.Parallel()
	l := newListener()
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go frames(l, c)
		}
	}()
	opt := options(t, l)
	// Whoever cannot prove who he is gets nothing.
	s, err := NewSyslog(Syslog{Network: "tls", Address: server.Addr().String(), Facility: 16}, opt)
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, messages(0, 3))
	l.wait(t, "an error", func() bool { return slices.Contains(l.told, "alert.failing") })
	closed(t, s, 3)
	if s, err = NewSyslog(Syslog{Network: "tls", Address: server.Addr().String(), Facility: 16, Roots: roots}, opt); err != nil {
		t.Fatal(err)
	}
	closed(t, s, 0)
	l.wait(t, "all messages", func() bool { return l.inOrder(3) })
}

func TestSyslogOverUDP(t *testing.T) {
	t.Parallel()
	l := newListener()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, _, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			if n > maxDatagram {
				l.add(&l.told, fmt.Sprintf("%d bytes in a datagram", n))
			}
			l.add(&l.got, syslogID(b[:n]))
		}
	}()
	s, err := NewSyslog(Syslog{Network: "udp", Address: server.LocalAddr().String(), Facility: 16}, options(t, l))
	if err != nil {
		t.Fatal(err)
	}
	all := messages(0, 3)
	all[1].Body = fmt.Appendf(nil, `{"id":"m1","finding":{"rule":"r","explain":%q,"tags":[]}}`, strings.Repeat("long ", 1000))
	send(t, s, all)
	l.wait(t, "all messages", func() bool { return l.inOrder(3) })
	closed(t, s, 0)
	if len(l.told) > 0 {
		t.Errorf("told %q", l.told)
	}
}

func TestSyslogHeader(t *testing.T) {
	t.Parallel()
	s := &syslog{Syslog: Syslog{Network: "tcp", Facility: 16}, host: word("srv 01\n", maxName), pid: "7"}
	m := messages(1, 2)[0]
	for level, want := range []int{134, 133, 132, 131, 130, 129, 129} {
		m.Level = postern.Level(level)
		got := string(s.format(m))
		if head := fmt.Sprintf(`<%d>1 2021-03-03T00:00:01.000Z srv01 postern 7 finding - {"id":"m1"}`, want); got != head {
			t.Errorf("level %d:\ngot  %s\nwant %s", level, got, head)
		}
	}
}

func TestShortenedIsJSON(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 2000)
	for _, body := range []string{
		`{"id":"x","finding":{"rule":"r","explain":"` + long + `"}}`,
		`{"id":"x","finding":{"rule":"r","evidence":[{"excerpt":"` + long + `"}],"entities":{"url":"` + long + `"}}}`,
		`{"id":"x","problem":{"path":"` + long + `"}}`,
	} {
		got := shorten([]byte(body), 1000)
		var back struct {
			ID        string
			Shortened bool
		}
		if err := json.Unmarshal(got, &back); err != nil || back.ID != "x" || !back.Shortened || len(got) > 1000 {
			t.Errorf("%d bytes, %v: %.200s", len(got), err, got)
		}
	}
}

// fakeEvents is an event log that takes nothing while it is full.
type fakeEvents struct {
	l       *listener
	refused []string
	opened  int

	mu   sync.Mutex
	full bool
}

func (f *fakeEvents) open() (events, error) {
	f.opened++
	return f, nil
}

func (f *fakeEvents) write(kind string, id uint32, text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		f.l.add(&f.refused, text)
		return errors.New("the event log file is full")
	}
	f.l.add(&f.l.got, fmt.Sprintf("%s %d %.12s", kind, id, text))
	if len(text) > maxEvent {
		f.l.add(&f.l.told, fmt.Sprintf("%d bytes in an event", len(text)))
	}
	return nil
}

func (f *fakeEvents) Error(id uint32, text string) error   { return f.write("error", id, text) }
func (f *fakeEvents) Warning(id uint32, text string) error { return f.write("warning", id, text) }
func (f *fakeEvents) Info(id uint32, text string) error    { return f.write("info", id, text) }
func (f *fakeEvents) Close() error                         { return nil }

// An event log that refuses events keeps no other receiver from its messages; they wait,
// over the end of a run too, and it is told once.
func TestEventLogThatRefuses(t *testing.T) {
	t.Parallel()
	l := newListener()
	opt := options(t, l)
	log := &fakeEvents{l: l, full: true}
	toLog := func() Sink {
		s, err := newRemote(&eventLog{open: log.open}, opt)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	all := messages(0, 4)
	all[1].Level = postern.Implanted
	all[2].Kind, all[2].Level = "alive", 0
	all[3].Body = fmt.Appendf(nil, `{"id":"m3","finding":{"explain":%q}}`, strings.Repeat("long ", 10_000))
	var lines bytes.Buffer
	s := All(toLog(), NewLines(&lines))
	send(t, s, all[:2])
	l.wait(t, "a third try", func() bool { return len(log.refused) > 2 })
	closed(t, s, 2)
	if log.opened < len(log.refused) {
		t.Errorf("opened %d times for %d tries", log.opened, len(log.refused))
	}
	if got := strings.Count(lines.String(), "\n"); got != 2 {
		t.Errorf("%d lines reached the other receiver, want 2", got)
	}
	if want := []string{"alert.failing"}; !slices.Equal(l.told, want) {
		t.Errorf("told %q, want %q", l.told, want)
	}
	s = toLog()
	l.wait(t, "an error", func() bool { return len(l.told) == 2 })
	log.mu.Lock()
	log.full = false
	log.mu.Unlock()
	send(t, s, all[2:])
	closed(t, s, 0)
	want := []string{`warning 102 {"id":"m0"}`, `error 104 {"id":"m1"}`, `info 90 {"id":"m2"}`, `warning 102 {"finding":{`}
	if !slices.Equal(l.got, want) {
		t.Errorf("arrived %q, want %q", l.got, want)
	}
	if want := []string{"alert.failing", "alert.failing", "alert.again"}; !slices.Equal(l.told, want) {
		t.Errorf("told %q, want %q", l.told, want)
	}
}

func TestLinesAndSeveralSinks(t *testing.T) {
	t.Parallel()
	var a, b bytes.Buffer
	s := All(NewLines(&a), NewLines(&b))
	send(t, s, messages(0, 2))
	closed(t, s, 0)
	if want := "{\"id\":\"m0\"}\n{\"id\":\"m1\"}\n"; a.String() != want || b.String() != want {
		t.Errorf("got %q and %q", a.String(), b.String())
	}
}

// Whatever stands in the files of a queue, it opens, and what is put then comes out.
func FuzzQueue(f *testing.F) {
	good := append(line(headLine{1}), line(messages(0, 1)[0])...)
	f.Add(good, line(cursorLine{Queue: 1, At: 30}))
	f.Add(good[:40], []byte{})
	f.Add([]byte("\n\n\n"), line(cursorLine{Queue: 1, At: 1 << 40}))
	f.Fuzz(func(t *testing.T, file, cursor []byte) {
		dir := t.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "queue-x"), file, 0o600), os.WriteFile(filepath.Join(dir, "queue-x.at"), cursor, 0o600)); err != nil {
			t.Fatal(err)
		}
		q, err := openQueue(dir, "x", DefaultQueue)
		if err != nil {
			t.Fatal(err)
		}
		defer q.close()
		before := q.waits()
		if !q.put(messages(7, 8)[0]) {
			t.Fatal("no room")
		}
		if err := q.commit(); err != nil {
			t.Fatal(err)
		}
		n := 0
		last := ""
		for {
			got, ends, err := q.peek(together)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				break
			}
			n += len(got)
			last = got[len(got)-1].ID
			if err := q.arrived(len(got), ends[len(ends)-1]); err != nil {
				t.Fatal(err)
			}
		}
		if n != before+1 || last != "m7" || q.waits() != 0 {
			t.Errorf("%d came out of %d, the last was %q, %d wait", n, before+1, last, q.waits())
		}
	})
}
