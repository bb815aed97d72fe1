package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The example in the README is what the program prints. A line "…" in it stands for
// lines that are left out.
func TestReadmeIsTrue(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	block := regexp.MustCompile("(?s)```console\n(.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("the README has no example between ```console and ```")
	}
	runExamples(t, string(block[1]))
}

// runExamples runs the commands that a paper shows and compares what they print.
func runExamples(t *testing.T, block string) {
	t.Helper()
	examples := strings.Split("\n"+block, "\n$ postern ")[1:]
	if len(examples) < 2 {
		t.Fatalf("there are %d commands", len(examples))
	}
	for _, example := range examples {
		command, shown, _ := strings.Cut(example, "\n")
		var out, errs bytes.Buffer
		newApp(strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false }).
			main(context.Background(), strings.Fields(command))
		if errs.Len() > 0 {
			t.Errorf("postern %s says on standard error:\n%s", command, errs.String())
		}
		// Each piece between two left-out places must follow the one before it.
		rest := out.String()
		for piece := range strings.SplitSeq("\n"+strings.TrimSuffix(shown, "\n")+"\n", "\n…\n") {
			piece = strings.TrimPrefix(piece, "\n")
			if piece == "" {
				continue
			}
			at := strings.Index(rest, piece)
			if at < 0 {
				t.Errorf("postern %s does not print this any more:\n%s\nIt prints:\n%s", command, piece, out.String())
				break
			}
			rest = rest[at+len(piece):]
		}
	}
}

// The worked example of docs/adding.md is a pack that loads, and a hunt with it says
// what stands there.
func TestAddingIsTrue(t *testing.T) {
	paper, err := os.ReadFile("../../docs/adding.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	blocks := regexp.MustCompile("(?s)```(?:yaml|text) ([a-z0-9-]+/[^\n]+)\n(.*?)```").FindAllSubmatch(paper, -1)
	if len(blocks) < 5 {
		t.Fatalf("the example has %d files", len(blocks))
	}
	for _, b := range blocks {
		name := string(b[1])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b[2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	example := regexp.MustCompile("(?s)```console\n(.*?)```").FindSubmatch(paper)
	if example == nil {
		t.Fatal("no commands between ```console and ```")
	}
	runExamples(t, string(example[1]))
}
