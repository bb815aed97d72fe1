package preserve

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"

	"postern/internal/bundle"
)

// A file that another program holds is a line of a list, one that nobody else can open
// for its name is taken, and so is one in the depth where paths become too long.
func TestTroubles(t *testing.T) {
	t.Parallel()
	deep := "logs/" + strings.Repeat("a folder with a long name/", 12) + "deep.log"
	root := lay(t, map[string]string{"logs/a.log": "a", "logs/held.log": "h", "logs/gone.log": "g", deep: "deep"})
	want := map[string]string{"logs/a.log": "a", deep: "deep"}
	raw := `\\?\` + root + `\logs\`
	if os.Mkdir(raw+"COM1", 0o755) == nil && os.WriteFile(raw+`COM1\aux.aspx`, []byte("device"), 0o644) == nil {
		want["logs/COM1/aux.aspx"] = "device"
	} else {
		t.Log("no names of devices can be made here")
	}
	name, err := windows.UTF16PtrFromString(filepath.Join(root, "logs", "held.log"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer windows.CloseHandle(h)
	opt, id := options(t, root)
	opt.Planned = func(Plan, int64) error { return os.Remove(filepath.Join(root, "logs", "gone.log")) }
	r, err := Run(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	files, members, _ := prove(t, opt.Out, id)
	for name, text := range want {
		if files[name] != text {
			t.Errorf("%s: got %q, want %q", name, files[name], text)
		}
	}
	if len(files) != len(want) {
		t.Errorf("%d files, want %d", len(files), len(want))
	}
	got := make(map[string]bundle.Trouble)
	for _, m := range members {
		if m.Problem != "" {
			got[m.Path] = m.Problem
		}
	}
	if got["logs/held.log"] != bundle.Locked || got["logs/gone.log"] != bundle.Vanished || len(got) != 2 || !r.Partial() {
		t.Errorf("troubles: %v, partial %v", got, r.Partial())
	}
}
