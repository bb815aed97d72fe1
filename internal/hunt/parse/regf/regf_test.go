package regf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/hunt/parse/regftest"
)

func open(t testing.TB, b []byte) *Hive {
	t.Helper()
	h, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func number(n uint32) *uint32 { return &n }

func sample(dirty bool) []byte {
	long := strings.Repeat("a long value ", 5000)
	var many []regftest.Key
	for i := range 40 {
		many = append(many, regftest.Set(fmt.Sprintf("Service%d", i), "ImagePath", fmt.Sprintf(`C:\x\%d.exe`, i)))
	}
	return regftest.Hive(dirty,
		regftest.At(`Microsoft\ExchangeServer\v15`, regftest.Key{Name: "Setup", Values: []regftest.Value{
			{Name: "MsiInstallPath", Text: `D:\Exchange\V15\`}, {Name: "MsiProductMajor", Number: number(15)},
			{Name: "Long", Text: long}, {Name: "Multi", Type: Strings, Data: append(regftest.Wide("one"), append([]byte{0, 0}, append(regftest.Wide("two"), 0, 0, 0, 0)...)...)},
			{Name: "", Text: "the default"},
		}}),
		regftest.Key{Name: "Li", List: "li", Keys: many}, regftest.Key{Name: "Lf", List: "lf", Keys: many}, regftest.Key{Name: "Ri", List: "ri", Keys: many},
		regftest.Set("Clés", "x", "y"))
}

func TestHive(t *testing.T) {
	t.Parallel()
	h := open(t, sample(false))
	if h.Dirty || h.Sequence != 7 || !h.Written.Equal(regftest.Written) {
		t.Errorf("got %+v", h)
	}
	root, err := h.Root()
	if err != nil {
		t.Fatal(err)
	}
	k, ok, err := root.Sub(`MICROSOFT\exchangeserver\V15\setup`)
	if !ok || err != nil || !k.Written.Equal(regftest.Written) {
		t.Fatalf("got %+v, %v, %v", k, ok, err)
	}
	if got := k.Value("msiinstallpath").Text(); got != `D:\Exchange\V15\` {
		t.Errorf("got %q", got)
	}
	if got, ok := k.Value("MsiProductMajor").Uint(); got != 15 || !ok {
		t.Errorf("got %d, %v", got, ok)
	}
	if got := k.Value("Long").Text(); got != strings.Repeat("a long value ", 5000) {
		t.Errorf("big data: got %d letters", len(got))
	}
	if got := k.Value("Multi").Text(); got != "one two" {
		t.Errorf("got %q", got)
	}
	if got := k.Value("").Text(); got != "the default" {
		t.Errorf("got %q", got)
	}
	for _, list := range []string{"Li", "Lf", "Ri"} {
		if k, ok, err := root.Sub(list + `\service39`); !ok || err != nil || k.Value("ImagePath").Text() != `C:\x\39.exe` {
			t.Errorf("%s: got %v, %v", list, ok, err)
		}
	}
	if _, ok, err := root.Sub("clés"); !ok || err != nil {
		t.Errorf("a name that is not ASCII: %v, %v", ok, err)
	}
	if _, ok, err := root.Sub(`Microsoft\nothing`); ok || err != nil {
		t.Errorf("a key that is not there: %v, %v", ok, err)
	}
	if h := open(t, sample(true)); !h.Dirty {
		t.Error("a hive with different numbers of its writes is not dirty")
	}
	b := sample(false)
	b[100]++
	if h := open(t, b); !h.Dirty {
		t.Error("a hive with a wrong checksum is not dirty")
	}
}

func TestNoHive(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, []byte("regf"), make([]byte, 5000), append([]byte("REGF"), make([]byte, 5000)...)} {
		if _, err := Open(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrNoHive) {
			t.Errorf("%d bytes: got %v", len(b), err)
		}
	}
}

// all walks a hive and gives its paths.
func all(h *Hive) (paths []string, first error) {
	root, err := h.Root()
	if err != nil {
		return nil, err
	}
	var walk func(Key, string, int)
	walk = func(k Key, path string, depth int) {
		paths = append(paths, path)
		if depth > 512 {
			return
		}
		values, err := k.Values()
		if err != nil && first == nil {
			first = err
		}
		for _, v := range values {
			_, _ = v.Uint()
			paths = append(paths, path+":"+v.Name+"="+v.Text())
		}
		if err := k.Each(func(sub Key) bool { walk(sub, path+`\`+sub.Name, depth+1); return len(paths) < 200_000 }); err != nil && first == nil {
			first = err
		}
	}
	walk(root, "", 0)
	return paths, first
}

// Whatever the bytes, reading ends; a key that is reached by walking is found by its
// path, and by any spelling of it.
func FuzzHive(f *testing.F) {
	f.Add(regftest.Hive(false, regftest.Set("a", "b", "c"), regftest.Key{Name: "r", List: "ri", Keys: []regftest.Key{{Name: "s"}}}))
	f.Add(regftest.Hive(true))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		root, err := h.Root()
		if err != nil {
			return
		}
		n := 0
		_ = root.Each(func(k Key) bool {
			n++
			upper := strings.ToUpper(k.Name)
			if strings.Contains(k.Name, `\`) || upper != strings.ToUpper(strings.ToLower(k.Name)) {
				return n < 100 // a letter with a case of its own kind
			}
			if _, ok, _ := root.Sub(upper); !ok && strings.EqualFold(k.Name, upper) {
				t.Fatalf("the key %q is not found by its name", k.Name)
			}
			return n < 100
		})
	})
}

// TestRealHives reads hives of a folder that POSTERN_HIVES names, such as those of the
// test suite of yarp, which are not kept here.
func TestRealHives(t *testing.T) {
	dir := os.Getenv("POSTERN_HIVES")
	if dir == "" {
		t.Skip("POSTERN_HIVES names no folder of hives")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		h, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Logf("%s: %v", filepath.Base(name), err)
			continue
		}
		paths, err := all(h)
		t.Logf("%s: dirty %v, %d keys and values, %v; %.200q", filepath.Base(name), h.Dirty, len(paths), err, paths[:min(3, len(paths))])
	}
}
