package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"postern/internal/respond/preserve"
)

// flip FILE OFFSET turns one bit over.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := []byte(ts.ReadFile(args[0]))
	if at >= len(b) {
		ts.Fatalf("%s has %d bytes", args[0], len(b))
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// cutend FILE LINES takes lines from the end of a file.
func cutEnd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cutend FILE LINES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	lines := strings.SplitAfter(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	if n > len(lines) {
		ts.Fatalf("%s has %d lines", args[0], len(lines))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines[:len(lines)-n], "")), 0o600))
}

// What a hunt does not name, as it was interrupted or names too much, is said, in the plan
// and before the work.
func TestNamedFilesAreCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "inetpub", "wwwroot"), 0o700),
		os.WriteFile(filepath.Join(root, "inetpub", "wwwroot", "a.aspx"), []byte("page"), 0o600)); err != nil {
		t.Fatal(err)
	}
	const run = `{"type":"run","schema":"postern.hunt/1","tool":{"name":"postern","version":"0","campaigns":[]},"lang":"en","started":"2026-11-22T00:00:00Z","inputs":[],"campaigns":[]}` + "\n"
	const end = `{"type":"end","status":"complete","stats":{}}` + "\n"
	findings := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"type":"finding","host":"EX01","rule":"r","level":4,"title":"t","entities":{"file":"C:/inetpub/%d.aspx","file_sha256":"00"}}`+"\n", i)
		}
		return b.String() + `{"type":"host","host":"EX01","verdict":{"level":4,"title":"t"}}` + "\n"
	}
	for _, tt := range []struct {
		name, saved, flags, says string
		code                     int
	}{
		{"whole", run + findings(1) + end, "--plan", "", exitDone},
		{"interrupted", run + findings(1), "--plan", "was interrupted", exitOpen},
		{"interrupted, and sealed", run + findings(1), "--recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p --out " + filepath.Join(dir, "b"), "was interrupted", exitOpen},
		{"interrupted, and all is taken", run + findings(1), "--plan --all", "was interrupted", exitDone},
		{"as many as can be", run + findings(preserve.MaxNamed) + end, "--plan", "", exitDone},
		{"one more", run + findings(preserve.MaxNamed+1) + end, "--plan", "names 100001 files", exitOpen},
	} {
		saved := filepath.Join(dir, "hunt.jsonl")
		if err := os.WriteFile(saved, []byte(tt.saved), 0o600); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		a := newApp(strings.NewReader(""), io.Discard, &said, func(string) (string, bool) { return "", false })
		code := a.main(t.Context(), append([]string{"respond", "preserve", root, "--from", saved}, strings.Fields(tt.flags)...))
		about := strings.Contains(said.String(), "interrupted") || strings.Contains(said.String(), "names")
		if code != tt.code || !strings.Contains(said.String(), tt.says) || about != (tt.says != "") {
			t.Errorf("%s: code %d, want %d; said %s", tt.name, code, tt.code, &said)
		}
	}
}
