package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"filippo.io/age"
)

// file puts parts together as a bundle has them.
func file(parts ...[2]string) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		b.Write(Frame(p[0], int64(len(p[1]))))
		b.WriteString(p[1])
		b.Write(make([]byte, Padding(int64(len(p[1])))))
	}
	b.Write(make([]byte, EndLen))
	return b.Bytes()
}

func TestFrameReadsBack(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 1, 511, 512, octalSize - 1, octalSize, 1 << 50} {
		for _, name := range []string{HeaderPart, DataPart(1), ListPart(MaxSegments), SignaturePart} {
			gotName, gotSize, ok := parseFrame(Frame(name, size))
			if !ok || gotName != name || gotSize != size {
				t.Errorf("frame of %s with %d bytes: got %q, %d, %v", name, size, gotName, gotSize, ok)
			}
		}
	}
}

func TestSegmentNames(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 42, MaxSegments} {
		if got, list := SegmentOf(DataPart(n)); got != n || list {
			t.Errorf("%s: got segment %d, list %v", DataPart(n), got, list)
		}
		if got, list := SegmentOf(ListPart(n)); got != n || !list {
			t.Errorf("%s: got segment %d, list %v", ListPart(n), got, list)
		}
	}
	for _, name := range []string{"", HeaderPart, "segments/1.tar.zst.age", "segments/00000.tar.zst.age", "segments/+0001.tar.zst.age", "segments/00001.tar", "00001.tar.zst.age"} {
		if got, _ := SegmentOf(name); got != 0 {
			t.Errorf("%q: got segment %d, want none", name, got)
		}
	}
}

// Behind a header that is damaged the next parts are still found.
func TestOpenGoesOnBehindDamage(t *testing.T) {
	t.Parallel()
	whole := file([2]string{HeaderPart, "{}"}, [2]string{DataPart(1), "data"}, [2]string{ListPart(1), "list"}, [2]string{SealPart, "seal"})
	for at := range whole {
		broken := bytes.Clone(whole)
		broken[at] ^= 0x10
		b, err := Open(bytes.NewReader(broken), int64(len(broken)))
		if err != nil {
			t.Fatalf("bit in byte %d: %v", at, err)
		}
		content := at%1024 >= 512 && at%1024 < 512+len("data") && at < 4096 // every part takes two blocks
		if content && at < 1024 {
			content = at < 512+len("{}")
		}
		if got := len(b.Damages) > 0; got == content {
			t.Errorf("bit in byte %d: damages %v; the frame covers all but what is in the parts", at, b.Damages)
		}
		if len(b.Parts) < 3 {
			t.Errorf("bit in byte %d: only %d parts are found", at, len(b.Parts))
		}
	}
}

func TestOpenRefusesOthers(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "PK\x03\x04", string(make([]byte, 4096)), string(bytes.Repeat([]byte("x"), 5000))} {
		if _, err := Open(bytes.NewReader([]byte(s)), int64(len(s))); !errors.Is(err, ErrNotBundle) {
			t.Errorf("%.10q: got %v, want ErrNotBundle", s, err)
		}
	}
}

func TestCutFileHasNoEnd(t *testing.T) {
	t.Parallel()
	whole := file([2]string{HeaderPart, "{}"}, [2]string{DataPart(1), "data"})
	for size := BlockLen; size < len(whole); size += 100 {
		b, err := Open(bytes.NewReader(whole[:size]), int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Damages) == 0 {
			t.Errorf("cut at %d of %d bytes: no damage", size, len(whole))
		}
	}
}

func TestSealsOpenWithTheirKeyOnly(t *testing.T) {
	t.Parallel()
	id, _ := age.GenerateX25519Identity()
	other, _ := age.GenerateX25519Identity()
	s, err := NewSealer([]age.Recipient{id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("evidence "), 50_000)
	for range 2 { // one after another with the same Sealer
		var sealed bytes.Buffer
		w, err := s.Seal(&sealed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := Unseal(bytes.NewReader(sealed.Bytes()), []age.Identity{id})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
		}
		if _, err := Unseal(bytes.NewReader(sealed.Bytes()), []age.Identity{other}); !errors.Is(err, ErrNoKey) {
			t.Errorf("with another key: got %v, want ErrNoKey", err)
		}
		if _, err := Unseal(bytes.NewReader(sealed.Bytes()), nil); !errors.Is(err, ErrNoKey) {
			t.Errorf("without a key: got %v, want ErrNoKey", err)
		}
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// Two bits of the last character of a public key stand for nothing.
	same := Sign(key, []byte("seal"), nil)
	last := len(same.PublicKey) - 2
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		other := *same
		other.PublicKey = same.PublicKey[:last] + string(c) + same.PublicKey[last+1:]
		if other.PublicKey != same.PublicKey && other.Valid() {
			t.Errorf("valid with the public key %s for %s", other.PublicKey, same.PublicKey)
		}
	}
	for _, stamp := range [][]byte{nil, []byte("token")} {
		s := Sign(key, []byte("seal"), stamp)
		if !s.Valid() {
			t.Errorf("stamp %q: not valid", stamp)
		}
		for name, spoil := range map[string]func(*Signature){
			"seal":       func(s *Signature) { s.Seal = Hash([]byte("other")) },
			"stamp":      func(s *Signature) { s.Timestamp = Hash([]byte("other")) },
			"signature":  func(s *Signature) { s.Signature = "AAAA" },
			"public key": func(s *Signature) { s.PublicKey = "" },
			"algorithm":  func(s *Signature) { s.Algorithm = "none" },
		} {
			bad := *s
			spoil(&bad)
			if bad.Valid() {
				t.Errorf("stamp %q: valid with another %s", stamp, name)
			}
		}
	}
}

// Whatever the bytes, Open ends, and what it lists lies in the file; and a file
// without damage is exactly the one that its parts make.
func FuzzOpen(f *testing.F) {
	f.Add(file([2]string{HeaderPart, "{}"}, [2]string{DataPart(1), "data"}, [2]string{SignaturePart, "{}"}))
	f.Add(file([2]string{HeaderPart, ""})[:700])
	f.Add([]byte(HeaderPart + "\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Open(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, p := range b.Parts {
			if p.Offset < BlockLen || p.Size < 0 || p.Offset+p.Size > int64(len(raw)) {
				t.Fatalf("%s at %d with %d bytes lies outside of %d", p.Name, p.Offset, p.Size, len(raw))
			}
			content, err := b.Bytes(p)
			if err != nil {
				t.Fatal(err)
			}
			again.Write(Frame(p.Name, p.Size))
			again.Write(content)
			again.Write(make([]byte, Padding(p.Size)))
		}
		again.Write(make([]byte, EndLen))
		if len(b.Damages) == 0 && !bytes.Equal(again.Bytes(), raw) {
			t.Fatal("no damage, but its parts make another file")
		}
	})
}

// A list is read to its end or gives an error; what it gives can be written again.
func FuzzReadList(f *testing.F) {
	f.Add([]byte(`{"path":"a/b.log","class":"logs","size":3,"sha256":"` + Hash([]byte("abc")) + `","offset":512}` + "\n"))
	f.Add([]byte(`{"path":"x","class":"hives","size":0,"offset":0,"problem":"locked"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = ReadList(bytes.NewReader(raw), func(m Member) error {
			if m.Path == "" || m.Size < 0 || m.Offset < 0 {
				t.Fatalf("got %+v", m)
			}
			_, err := Encode(m)
			return err
		})
	})
}

// A few packed bytes can be a list without end.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	line := `{"path":"x","class":"logs","size":0,"offset":0,"problem":"denied"}` + "\n"
	n := 0
	err := ReadList(bytes.NewReader(bytes.Repeat([]byte(line), maxListed+10)), func(Member) error { n++; return nil })
	if !errors.Is(err, errListed) || n != maxListed {
		t.Errorf("got %d lines and %v, want %d and %v", n, err, maxListed, errListed)
	}
}
