package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/exercise"
)

// withoutPacks is what the file with the embedded packs is replaced by: one pack is
// left, so that the program has something to embed.
const withoutPacks = `package campaigns

import "embed"

//go:embed proxylogon
var FS embed.FS
`

// A pack is data: a program that was built without it and is given its folder says
// the same as one that carries it, word for word.
func TestPackFromFolder(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	t.Parallel()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(dir, "postern.exe")
	other, overlay := filepath.Join(dir, "campaigns.go"), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(other, []byte(withoutPacks), 0o600); err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, "campaigns", "campaigns.go"): other}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-overlay", overlay, "-o", bare, "./cmd/postern")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building without packs: %v\n%s", err, out)
	}
	if out, _ := exec.Command(bare, "campaign", "list").Output(); !bytes.HasPrefix(out, []byte("proxylogon@")) || bytes.Count(out, []byte("\n")) != 1 {
		t.Fatalf("a program without packs lists\n%s", out)
	}

	for pack, story := range map[string]string{"proxyshell": "proxyshell", "proxynotshell": "owassrf", "proxytoken": "proxytoken"} {
		if err := exec.Command(bare, "campaign", "show", pack).Run(); err == nil {
			t.Errorf("a program without %s shows it", pack)
		}
		evidence := filepath.Join(dir, "evidence-"+pack)
		truth, err := exercise.Tiny(evidence, story, 11)
		if err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		newApp(strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false }).
			main(context.Background(), []string{"hunt", "--format", "json", "--campaign", pack, evidence})
		loaded, err := exec.Command(bare, "hunt", "--format", "json", "--campaign", filepath.Join(root, "campaigns", pack), evidence).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		want, got := document(t, out.Bytes()), document(t, loaded)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s built in and from its folder (-want +got):\n%s", pack, diff)
		}
		verdict := got["hosts"].([]any)[0].(map[string]any)["verdict"].(map[string]any)
		if verdict["level"] != float64(truth.Hosts[0].Expect.Level) {
			t.Errorf("%s: level %v, want %v", pack, verdict["level"], truth.Hosts[0].Expect.Level)
		}
	}
}

// document reads a report and takes out what differs from run to run.
func document(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	delete(doc, "tool")
	delete(doc, "started")
	if stats, ok := doc["stats"].(map[string]any); ok {
		delete(stats, "elapsed_seconds")
	}
	return doc
}
