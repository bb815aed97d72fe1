package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A report takes the place of an earlier one when it is whole, with its mode, and not before.
func TestReportIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "report")
	for _, tt := range []struct {
		there, writes string
		fails         error
		want          string // "" for no file
	}{
		{"", "new", nil, "new"},
		{"", "half", io.ErrShortWrite, ""},
		{"a longer one that was there", "new", nil, "new"},
		{"earlier", "half", io.ErrShortWrite, "earlier"},
		{"earlier", "", nil, "earlier"}, // nothing to write
	} {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		if tt.there != "" {
			if err := errors.Join(os.WriteFile(name, []byte(tt.there), 0o640), os.WriteFile(name+".part", []byte("of a run that was killed"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		out := &lazyFile{path: name}
		if tt.writes != "" {
			if _, err := out.Write([]byte(tt.writes)); err != nil {
				t.Fatal(err)
			}
			if now, err := os.ReadFile(name); tt.there != string(now) || errors.Is(err, os.ErrNotExist) != (tt.there == "") {
				t.Errorf("%+v: while it is written the file is %q, %v", tt, now, err)
			}
		}
		if err := out.finish(tt.fails); !errors.Is(err, tt.fails) {
			t.Errorf("%+v: %v", tt, err)
		}
		info, err := os.Stat(name)
		if tt.want == "" {
			if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%+v: there is a file, %v", tt, err)
			}
			continue
		}
		if got := readFile(t, name); got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
		mode := os.FileMode(0o600)
		if tt.there != "" {
			mode = 0o640
		}
		if got := info.Mode().Perm(); got != mode && runtime.GOOS != "windows" {
			t.Errorf("%+v: mode %o, want %o", tt, got, mode)
		}
		if _, err := os.Stat(name + ".part"); tt.writes != "" && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%+v: something is left behind, %v", tt, err)
		}
	}
}

// What is no plain file of one name stays what it is and is written into, and so is a stream.
func TestReportIntoWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"target", "linked", "stream", "part"} {
		if err := os.WriteFile(in(name), []byte("a longer one that was there"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("target", in("link")), os.Symlink("not-there", in("dangling")), os.Link(in("linked"), in("second")), os.Mkdir(in("part.part"), 0o700)); err != nil {
		t.Skip("no links here, as where Windows lets administrators alone make them: ", err)
	}
	for name, file := range map[string]string{"link": "target", "dangling": "not-there", "second": "linked", "stream": "stream", "part": "part"} {
		out := &lazyFile{path: in(name), stream: name == "stream"}
		_, err := out.Write([]byte("new"))
		if err == nil && readFile(t, in(file)) != "new" {
			t.Errorf("%s: not written at once", name)
		}
		if err := out.finish(err); err != nil || readFile(t, in(file)) != "new" {
			t.Errorf("%s: %v, %q", name, err, readFile(t, in(file)))
		}
	}
	if to, err := os.Readlink(in("link")); err != nil || to != "target" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if runtime.GOOS != "windows" {
		out := &lazyFile{path: os.DevNull}
		_, err := out.Write([]byte("new"))
		if err := out.finish(err); err != nil {
			t.Errorf("%s: %v", os.DevNull, err)
		}
		if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
			t.Errorf("%s is a file now: %v", os.DevNull, err)
		}
	}
}

// A hunt that is interrupted leaves the earlier report as it was, and what it had written
// beside it, which says of itself that it is not whole.
func TestInterruptedHuntLeavesTheEarlierReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "hunt.jsonl")
	if err := errors.Join(os.WriteFile(name, []byte("earlier"), 0o600), os.Mkdir(filepath.Join(dir, "case"), 0o700)); err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, line ...string) (int, string) {
		var said bytes.Buffer
		code := newApp(strings.NewReader(""), &said, &said, func(string) (string, bool) { return "", false }).main(ctx, line)
		return code, said.String()
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	code, said := run(ctx, "hunt", "--format", "jsonl", "-o", name, filepath.Join(dir, "case"))
	if code != exitInterrupts || !strings.Contains(said, name+".part") || readFile(t, name) != "earlier" {
		t.Errorf("code %d, said %s; the file is %q", code, said, readFile(t, name))
	}
	if code, said := run(t.Context(), "report", name+".part"); code != exitOpen || !strings.Contains(said, "cut off") {
		t.Errorf("the part: code %d, %s", code, said)
	}
	if code, said := run(t.Context(), "hunt", "--format", "jsonl", "-o", name, filepath.Join(dir, "case")); code != exitOpen || !strings.Contains(readFile(t, name), `"type":"end"`) {
		t.Errorf("the next hunt: code %d, %s", code, said)
	}
	if _, err := os.Stat(name + ".part"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the part is still there: %v", err)
	}
}
