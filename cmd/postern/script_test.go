package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/rogpeppe/go-internal/testscript"
	yeka "github.com/yeka/zip"

	"postern/internal/exposure/probe"
)

func TestMain(m *testing.M) {
	if err := probe.AllowOldServers(); err != nil { // for fleets inside the tests; the scripts' programs do it themselves
		panic(err)
	}
	testscript.Main(m, map[string]func(){"postern": main})
}

// TestScripts runs the stories of testdata/script against the real program. The
// commands that they use beside those of testscript are the functions below.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[fleetKey{}] = new(*playing)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":      code,
			"verdict":   verdict,
			"agrees":    agrees,
			"contract":  contract,
			"utf16":     toUTF16,
			"pack":      pack,
			"encrypt":   encrypt,
			"names":     names,
			"remember":  remember,
			"unchanged": unchanged,
			"fleet":     playFleet,
			"killed":    killed,
			"records":   records,
			"curve":     curve,
			"collect":   collect,
			"alike":     alike,
			"flip":      flip,
			"cutend":    cutEnd,
			"hive":      hive,
			"eventlog":  eventLogFile,
		},
	})
}

// code N PROGRAM ARG… runs a program that must end with exit code N.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// saved is the part of a report that these tests look at.
type saved struct {
	Schema string
	Status string
	Hosts  []struct {
		Host    string
		Verdict struct {
			Level      int
			Name       string
			Conclusive bool
		}
		Findings []struct {
			Level    int
			Evidence []struct{ Path, SHA256 string }
		}
	}
	Problems []struct{ Path, What, Detail string }
}

func load(ts *testscript.TestScript, file string) saved {
	var doc saved
	if err := json.Unmarshal([]byte(ts.ReadFile(file)), &doc); err != nil {
		ts.Fatalf("%s: %v", file, err)
	}
	return doc
}

// verdict FILE HOST LEVEL open|conclusive checks one host of a JSON document.
func verdict(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: verdict FILE HOST LEVEL open|conclusive")
	}
	for _, h := range load(ts, args[0]).Hosts {
		if h.Host != args[1] {
			continue
		}
		got := fmt.Sprint(h.Verdict.Level, " ", word(h.Verdict.Conclusive))
		if want := args[2] + " " + args[3]; got != want {
			ts.Fatalf("%s: got %s (%s), want %s", h.Host, got, h.Verdict.Name, want)
		}
		return
	}
	ts.Fatalf("%s: no host %s", args[0], args[1])
}

func word(conclusive bool) string {
	if conclusive {
		return "conclusive"
	}
	return "open"
}

// agrees TRUTH FILE checks that a JSON document says of every host what the
// exercise says is true of it, and of no other.
func agrees(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: agrees TRUTH FILE")
	}
	var truth struct {
		Hosts []struct {
			Host, Story string
			Expect      struct {
				Level      int
				Conclusive bool
			}
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &truth))
	var want, got []string
	for _, h := range truth.Hosts {
		want = append(want, fmt.Sprintf("%s: level %d, %s", h.Host, h.Expect.Level, word(h.Expect.Conclusive)))
	}
	for _, h := range load(ts, args[1]).Hosts {
		got = append(got, fmt.Sprintf("%s: level %d, %s", h.Host, h.Verdict.Level, word(h.Verdict.Conclusive)))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		ts.Fatalf("got  %q\nwant %q", got, want)
	}
}

// contract FILE checks what others build on in every JSON document: the schema, a
// status, lists that are lists, and evidence with a hash behind every finding.
func contract(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: contract FILE")
	}
	doc := load(ts, args[0])
	if doc.Schema != "postern.hunt/1" {
		ts.Fatalf("schema %q", doc.Schema)
	}
	if !slices.Contains([]string{"complete", "partial", "failed"}, doc.Status) {
		ts.Fatalf("status %q", doc.Status)
	}
	if doc.Hosts == nil || doc.Problems == nil {
		ts.Fatalf("hosts or problems are no list")
	}
	for _, h := range doc.Hosts {
		for _, f := range h.Findings {
			if f.Level > 0 && len(f.Evidence) == 0 {
				ts.Fatalf("%s: a finding of level %d rests on nothing", h.Host, f.Level)
			}
			for _, e := range f.Evidence {
				if len(e.SHA256) != 64 || strings.Contains(e.Path, `\`) || filepath.IsAbs(e.Path) {
					ts.Fatalf("%s: evidence %q with the hash %q", h.Host, e.Path, e.SHA256)
				}
			}
		}
	}
}

// utf16 FILE… saves text again as PowerShell does: UTF-16 with a byte order mark.
func toUTF16(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		b := []byte{0xFF, 0xFE}
		for _, u := range utf16.Encode([]rune(ts.ReadFile(name))) {
			b = append(b, byte(u), byte(u>>8))
		}
		ts.Check(os.WriteFile(ts.MkAbs(name), b, 0o644))
	}
}

// pack ZIP MEMBER=FILE… writes an archive whose members have any name at all. A
// file that is a folder is packed with all that is in it; FILE+zeros:N has N
// megabytes of zeros behind it.
func pack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: pack ZIP MEMBER=FILE…")
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, arg := range args[1:] {
		member, file, _ := strings.Cut(arg, "=")
		file, n, _ := strings.Cut(file, "+zeros:")
		for name, content := range tree(ts, ts.MkAbs(file)) {
			if name = member + "/" + name; strings.HasSuffix(name, "/.") {
				name = member
			}
			m, err := w.Create(name)
			ts.Check(err)
			_, err = m.Write(content)
			ts.Check(err)
			if size, err := strconv.ParseInt(n, 10, 64); err == nil {
				_, err = io.CopyN(m, zeros{}, size<<20)
				ts.Check(err)
			}
		}
	}
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o644))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// names ZIP DIR packs a folder below names that a terminal would obey and a
// spreadsheet compute.
func names(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: names ZIP DIR")
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, above := range []string{"\x1b[2J\x1b]0;owned\x07", "=HYPERLINK(1)", "a\u202eb", "line\nbreak"} {
		for name, content := range tree(ts, ts.MkAbs(args[1])) {
			m, err := w.Create(above + "/" + name)
			ts.Check(err)
			_, err = m.Write(content)
			ts.Check(err)
		}
	}
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o644))
}

// encrypt ZIP PASSWORD DIR packs a folder as a collector with a password does.
func encrypt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: encrypt ZIP PASSWORD DIR")
	}
	var b bytes.Buffer
	w := yeka.NewWriter(&b)
	for name, content := range tree(ts, ts.MkAbs(args[2])) {
		m, err := w.Encrypt(name, args[1], yeka.AES256Encryption)
		ts.Check(err)
		_, err = m.Write(content)
		ts.Check(err)
	}
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o644))
}

// tree reads a file, under the name ".", or a folder with all that is in it.
func tree(ts *testscript.TestScript, root string) map[string][]byte {
	all := make(map[string][]byte)
	ts.Check(filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(name)], err = os.ReadFile(p)
		return err
	}))
	return all
}

// remember DIR notes all that is in a folder, and when it was changed; unchanged
// DIR checks that nothing was added, removed or touched since.
func remember(ts *testscript.TestScript, neg bool, args []string) {
	for _, dir := range args {
		kept := look(ts, dir)
		ts.Setenv("remember_"+dir, kept)
	}
}

func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	for _, dir := range args {
		if want, got := ts.Getenv("remember_"+dir), look(ts, dir); got != want {
			ts.Fatalf("%s was changed", dir)
		}
	}
}

func look(ts *testscript.TestScript, dir string) string {
	h := sha256.New()
	ts.Check(filepath.WalkDir(ts.MkAbs(dir), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, p, info.Mode(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			h.Write(b)
		}
		return nil
	}))
	return fmt.Sprintf("%x", h.Sum(nil))
}
