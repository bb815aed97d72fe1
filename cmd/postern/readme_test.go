package main

import (
	"bytes"
	"context"
	"os"
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
	examples := strings.Split("\n"+string(block[1]), "\n$ postern ")[1:]
	if len(examples) < 2 {
		t.Fatalf("the README shows %d commands", len(examples))
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
