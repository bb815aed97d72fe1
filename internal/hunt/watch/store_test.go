package watch

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/correlate"
	"postern/internal/hunt/parse"
)

// filled gives a store with some of everything in it, and what it writes.
func filled(t testing.TB) (*store, []byte) {
	t.Helper()
	s := newStore("nowhere")
	s.roots["/srv"] = true
	columns := []string{"date", "time", "c-ip"}
	s.log("/srv", &logPos{name: "a.log", mark: parse.Mark{Offset: 900, Line: 12, Columns: columns, Date: "2021-03-03", Named: true}, id: fileID{1, 2},
		head: traceOf(make([]byte, 500)), tail: traceOf([]byte("rows"))})
	s.log("/srv", &logPos{name: "b.log", mark: parse.Mark{Offset: 7, Skipping: true}, late: true})
	s.repeats["key"] = &alike{Key: "key", Host: "EX01", Rule: "r", Title: postern.Say("t"), Level: postern.Probed, Who: "203.0.113.1", Since: time.Date(2021, 3, 3, 0, 0, 0, 0, time.UTC), Count: 4}
	s.raise("1234")
	s.learned("/srv\x00", "EX01", []page{{Rule: "r", Level: postern.Implanted, URL: "/x.aspx"}})
	s.build("EX01", []correlate.BuildSeen{{Build: postern.Build{15, 1, 2176, 2}, Time: time.Date(2021, 3, 3, 0, 0, 0, 0, time.UTC)}})
	var b, line bytes.Buffer
	if err := s.all(&line, func() error { b.Write(line.Bytes()); line.Reset(); return nil }); err != nil {
		t.Fatal(err)
	}
	return s, b.Bytes()
}

func loaded(t testing.TB, b []byte) *store {
	t.Helper()
	s := newStore("nowhere")
	if err := s.load(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	return s
}

// same compares what two stores know.
func same(t testing.TB, want, got *store) string {
	t.Helper()
	type known struct {
		Roots   map[string]bool
		Logs    map[logKey]logPos
		Repeats map[string]alike
		Raised  map[string]bool
		Pages   map[string][]page
		Names   map[string]string
		Builds  map[string][]correlate.BuildSeen
	}
	of := func(s *store) known {
		k := known{s.roots, make(map[logKey]logPos), make(map[string]alike), s.raised, s.pages, s.names, s.builds}
		for key, p := range s.logs {
			q := *p
			q.claimed, q.size = false, 0
			k.Logs[key] = q
		}
		for key, a := range s.repeats {
			b := *a
			b.dirty = false
			k.Repeats[key] = b
		}
		return k
	}
	return cmp.Diff(of(want), of(got), cmp.AllowUnexported(logKey{}, logPos{}, trace{}, fileID{}, alike{}))
}

func TestStateComesBack(t *testing.T) {
	t.Parallel()
	want, b := filled(t)
	got := loaded(t, b)
	if got.damaged != "" {
		t.Errorf("damaged: %s", got.damaged)
	}
	if diff := same(t, want, got); diff != "" {
		t.Errorf("state (-saved +loaded):\n%s", diff)
	}
}

// A state that was cut off anywhere is that of an earlier save, and one with a changed
// byte is not believed from there on.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	_, first := filled(t)
	second := newStore("nowhere")
	second.raise("5678")
	writeEntry(&second.pending, entry{Commit: commitWord})
	whole := append(first[:len(first):len(first)], second.pending.Bytes()...)
	for n := range whole {
		s := loaded(t, whole[:n])
		if got, want := s.raised["5678"], false; got != want {
			t.Fatalf("cut to %d of %d bytes: the second save is believed", n, len(whole))
		}
		if got, want := s.raised["1234"], n >= len(first); got != want {
			t.Fatalf("cut to %d bytes, the first save has %d: believed is %v", n, len(first), got)
		}
	}
	for n := range whole {
		b := bytes.Clone(whole)
		b[n] ^= 4
		if s := loaded(t, b); s.damaged == "" && s.raised["5678"] {
			t.Fatalf("byte %d changed from %q to %q: nobody noticed", n, whole[n], b[n])
		}
	}
}

// A log that is not in damaged positions is read from its beginning: better twice than never.
func TestWatchWithDamagedState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head)
	w.open()
	w.want()
	w.write("u.log", row(1, "/bad1"))
	w.want("2 u.log:4 /bad1")
	w.close()
	name := filepath.Join(w.state, stateName)
	if err := os.WriteFile(name, []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.write("u.log", row(2, "/bad2"))
	w.open()
	got := w.pass()
	want := []string{"2 u.log:4 /bad1", "2 u.log:5 /bad2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("raised (-want +got):\n%s", diff)
	}
	if told := said(w.alerts)[1]; !strings.HasSuffix(told, "watch.state-damaged") {
		t.Errorf("said %q", said(w.alerts))
	}
}

// A state that cannot be written does not end the watch, and is whole again afterwards.
func TestStateOnAFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head)
	w.open()
	w.want()
	w.w.store.file.Close() // what a write says then, a full disk says too
	w.write("u.log", row(1, "/bad1"))
	got := w.pass()
	if len(got) != 2 || got[0] != "2 u.log:4 /bad1" || !strings.HasSuffix(got[1], "watch.not-saved") {
		t.Errorf("raised %q", got)
	}
	w.write("u.log", row(2, "/bad2"))
	w.want("2 u.log:5 /bad2")
	w.kill()
	w.open()
	w.want()
}

// The file does not grow for ever.
func TestStateIsWrittenAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.log", head)
	w.open()
	w.want()
	s := w.w.store
	for range 40 {
		for range 500 {
			s.put(entry{Loud: strings.Repeat("x", 200)})
		}
		if err := s.commit(false); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(w.state, stateName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 2*slack {
		t.Errorf("%d bytes for one log", info.Size())
	}
	w.kill()
	w.open()
	w.want()
}

// Whatever stands in a state, what was loaded can be saved and is the same again.
func FuzzState(f *testing.F) {
	_, whole := filled(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum would refuse nearly everything: each line gets its own.
		var lines bytes.Buffer
		writeEntry(&lines, entry{Format: stateFormat})
		for line := range bytes.Lines(b) {
			var e entry
			if _, body, ok := bytes.Cut(bytes.TrimSpace(line), []byte{' '}); ok && json.Unmarshal(body, &e) == nil {
				writeEntry(&lines, e)
			}
		}
		writeEntry(&lines, entry{Commit: commitWord})
		loaded(t, b)
		s := loaded(t, lines.Bytes())
		var again, line bytes.Buffer
		if err := s.all(&line, func() error { again.Write(line.Bytes()); line.Reset(); return nil }); err != nil {
			t.Fatal(err)
		}
		if diff := same(t, s, loaded(t, again.Bytes())); diff != "" {
			t.Errorf("state (-loaded +saved and loaded):\n%s", diff)
		}
	})
}
