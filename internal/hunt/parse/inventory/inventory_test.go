package inventory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestRead(t *testing.T) {
	t.Parallel()
	at := time.Date(2021, 3, 3, 6, 49, 0, 0, time.UTC)
	ev, err := Read(strings.NewReader("<html></html>"), "a/b.htm", at)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"path": "a/b.htm", "size": "13", "modified": "2021-03-03T06:49:00Z",
		"sha256":      "b633a587c652d02386c4f16f8c6f6aab7352d97f16367c3c40576214372dd628",
		"first_bytes": "3c68746d6c3e3c2f68746d6c3e",
	} {
		if got := ev.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if ev, err = Read(strings.NewReader(""), "empty", time.Time{}); err != nil || ev.Get("size") != "0" || ev.Get("modified") != "" {
		t.Errorf("an empty file without a time: got %v, %v, want size 0 and no time", ev.Fields, err)
	}
	broken := io.MultiReader(strings.NewReader(strings.Repeat("x", 100)), iotest.ErrReader(errors.New("disk")))
	if ev, err = Read(broken, "broken", at); err == nil || ev.Get("size") != "100" {
		t.Errorf("a file that breaks off: got %v, %v, want size 100 and an error", ev.Fields, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("PK\x03\x04"))
	f.Add(bytes.Repeat([]byte{0}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		ev, err := Read(iotest.OneByteReader(bytes.NewReader(b)), "x", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if got := ev.Get("sha256"); got != hex.EncodeToString(sum[:]) {
			t.Errorf("sha256: got %s, want %x", got, sum)
		}
		if got := ev.Get("size"); got != strconv.Itoa(len(b)) {
			t.Errorf("size: got %s, want %d", got, len(b))
		}
		if got := ev.Get("first_bytes"); !strings.HasPrefix(hex.EncodeToString(b), got) {
			t.Errorf("first bytes: got %s, want the beginning of %x", got, b)
		}
	})
}
