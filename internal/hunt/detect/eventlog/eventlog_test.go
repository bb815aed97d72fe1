package eventlog

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"postern/internal/hunt/detect"
)

func TestLook(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 4096)
	for _, c := range []struct {
		name, content string
		told          bool
	}{
		{"logs/Security.evtx", "", true},
		{"logs/SYSTEM.EVTX", zeros + zeros, true},
		{"logs/Security.evtx", "no log at all", true},
		{"logs/Security.evtx", zeros + "ElfChn", true},
		{"logs/Security.evtx", zeros + "ElfChnk\x00", false},
		{"logs/Security.evtx", "ElfChnk\x00", false},
		{"logs/Security.evtx", "ElfFile\x00", false},
		{"logs/Security.txt", "", false},
		{"logs.evtx/page", zeros, false},
	} {
		f := &detect.File{Path: c.name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(c.content))), nil }}
		d := New()
		if !d.Wants(f) {
			if c.told {
				t.Errorf("%s is not looked at", c.name)
			}
			continue
		}
		findings, problems, err := d.Look(f)
		if err != nil || len(findings) > 0 || len(problems) > 0 != c.told {
			t.Errorf("%s, %d bytes: findings %v, problems %v, error %v", c.name, len(c.content), findings, problems, err)
		}
	}
}
