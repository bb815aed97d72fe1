package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// full is a disk without room.
type full struct{}

var errFull = errors.New("no room")

func (full) Write([]byte) (int, error) { return 0, errFull }

// Whatever a command prints, that it could not be printed is not success: somebody may
// have sent it to a file on a full disk.
func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, line := range []string{
		"respond custody key " + filepath.Join(dir, "key"), "rules list", "campaign list", "campaign show proxylogon", "version",
		"respond mitigate " + dir, "respond rollback --yes " + dir,
	} {
		var said strings.Builder
		code := newApp(strings.NewReader(""), full{}, &said, os.LookupEnv).main(t.Context(), strings.Fields(line))
		if code != exitFailed || !strings.Contains(said.String(), errFull.Error()) {
			t.Errorf("%s: exit code %d, said %q; want %d and the cause", line, code, said.String(), exitFailed)
		}
	}
}
