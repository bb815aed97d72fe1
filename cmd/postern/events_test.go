package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Channel and id of the first event may stand behind a value of any length.
func TestEventsBehindLongValue(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 15 << 10, 16 << 10, 100 << 10} {
		file := filepath.Join(t.TempDir(), "dump.json")
		line := `{"Event":{"EventData":{"ScriptBlockText":"` + strings.Repeat("a", size) + `"},"System":{"Channel":"Security","EventID":4104}}}` + "\n"
		if err := os.WriteFile(file, []byte(line+line), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, said bytes.Buffer
		code := newApp(strings.NewReader(""), &out, &said, func(string) (string, bool) { return "", false }).main(t.Context(), []string{"events", file})
		if n := strings.Count(out.String(), `"EventID":"4104"`); code != 0 || n != 2 {
			t.Errorf("a value of %d bytes: exit code %d, %d events, want 2; %s", size, code, n, &said)
		}
	}
}
