package version

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"postern"
	"postern/internal/hunt/detect"
)

// resource is a version resource for 15.1.2176.9 behind some bytes.
func resource(before int) []byte {
	b := bytes.Repeat([]byte{0x90}, before)
	return append(b, 0xBD, 0x04, 0xEF, 0xFE, 0, 0, 1, 0, 1, 0, 15, 0, 9, 0, 0x80, 0x08, 0, 0)
}

func TestFileVersion(t *testing.T) {
	t.Parallel()
	want := postern.Build{15, 1, 2176, 9}
	for _, before := range []int{0, 1, 64<<10 - 20, 64<<10 - 8, 64<<10 - 1, 64 << 10, 200 << 10} {
		got, err := fileVersion(bytes.NewReader(resource(before)))
		if err != nil || got != want {
			t.Errorf("resource at %d: got %v, %v, want %v", before, got, err, want)
		}
	}
	for _, none := range [][]byte{nil, []byte("MZ"), resource(9)[:20]} {
		if got, err := fileVersion(bytes.NewReader(none)); err != nil || !got.IsZero() {
			t.Errorf("%d bytes without a resource: got %v, %v, want no build", len(none), got, err)
		}
	}
}

func TestDetector(t *testing.T) {
	t.Parallel()
	d := New("bin/exsetup.exe")
	f := &detect.File{Path: "EX01/V15/Bin/ExSetup.exe", Server: "program files/microsoft/exchange server/v15/bin/exsetup.exe",
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(resource(100))), nil }}
	if !d.Wants(f) {
		t.Fatalf("does not want %s", f.Server)
	}
	if other := (&detect.File{Server: "x/notbin/exsetup.exe"}); d.Wants(other) {
		t.Errorf("wants %s", other.Server)
	}
	part, problems, err := d.Read(f)
	if err != nil || len(problems) > 0 {
		t.Fatalf("got problems %v, error %v", problems, err)
	}
	if got := d.Judge([]any{part}).Builds; len(got) != 1 || got[0].String() != "15.1.2176.9" {
		t.Errorf("got builds %v, want 15.1.2176.9", got)
	}
	f.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("no program")), nil }
	if part, problems, _ = d.Read(f); part != nil || len(problems) != 1 || problems[0].What != postern.Malformed {
		t.Errorf("a file without a version: got %v and problems %v, want one malformed", part, problems)
	}
}

func FuzzFileVersion(f *testing.F) {
	f.Add(resource(3))
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := fileVersion(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		// However the bytes come in, the answer is the same.
		if slow, err := fileVersion(io.MultiReader(bytes.NewReader(b[:len(b)/2]), bytes.NewReader(b[len(b)/2:]))); err != nil || slow != whole {
			t.Errorf("in two pieces: got %v, %v, want %v", slow, err, whole)
		}
	})
}
