package custody_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/digitorus/timestamp"

	"postern/internal/bundle"
	"postern/internal/respond/custody"
	"postern/internal/respond/preserve"
)

// authority is a time stamp authority of the size of a test.
type authority struct {
	*httptest.Server
	cert *x509.Certificate
	spin func(*timestamp.Timestamp) // spoils what it answers
}

func newAuthority(t testing.TB, spin func(*timestamp.Timestamp)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Exercise TSA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{spin: spin}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		ask, err := timestamp.ParseRequest(body)
		if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
			http.Error(w, "no request", http.StatusBadRequest)
			return
		}
		stamp := &timestamp.Timestamp{HashAlgorithm: ask.HashAlgorithm, HashedMessage: ask.HashedMessage, Nonce: ask.Nonce,
			Time: time.Now(), Policy: []int{1, 2, 3}, AddTSACertificate: true}
		if a.spin != nil {
			a.spin(stamp)
		}
		answer, err := stamp.CreateResponse(a.cert, key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(answer)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) ask(digest [sha256.Size]byte) ([]byte, error) {
	return custody.AskStamp(context.Background(), a.Client(), a.URL, digest)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// sealed makes a small bundle with a time stamp.
func sealed(t testing.TB) ([]byte, *age.X25519Identity, *authority) {
	t.Helper()
	root := t.TempDir()
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("%d.log", i)), []byte(strings.Repeat("row ", 10*i)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	tsa := newAuthority(t, nil)
	out := filepath.Join(t.TempDir(), "x.bundle")
	r, err := preserve.Run(context.Background(), preserve.Options{Root: root, Out: out, Recipients: []age.Recipient{id.Recipient()},
		Names: []string{id.Recipient().String()}, Who: "tester", Host: "EX01", Tool: "postern",
		Stamp: func(_ context.Context, digest [sha256.Size]byte) ([]byte, error) { return tsa.ask(digest) }})
	if err != nil {
		t.Fatal(err)
	}
	if r.NoStamp != nil {
		t.Fatalf("no time stamp: %v", r.NoStamp)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b, id, tsa
}

func verify(t testing.TB, raw []byte, opt custody.Options) *custody.Report {
	t.Helper()
	r, err := custody.Verify(context.Background(), bytes.NewReader(raw), int64(len(raw)), opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSoundBundle(t *testing.T) {
	t.Parallel()
	raw, id, tsa := sealed(t)
	check := func(roots *x509.CertPool) func([]byte, [sha256.Size]byte) (custody.Stamp, error) {
		return func(token []byte, digest [sha256.Size]byte) (custody.Stamp, error) {
			return custody.CheckStamp(token, digest, roots)
		}
	}
	r := verify(t, raw, custody.Options{Identities: []age.Identity{id}, Stamp: check(tsa.pool())})
	if !r.Sound() || !r.Opened || r.Files != 3 || r.Stamp == nil || !r.Stamp.Trusted || !strings.Contains(r.Stamp.Issuer, "Exercise TSA") {
		t.Errorf("got %+v, stamp %+v", r, r.Stamp)
	}
	if r := verify(t, raw, custody.Options{Stamp: check(nil)}); !r.Sound() || r.Stamp.Trusted {
		t.Errorf("without roots: %+v, stamp %+v", r.Damages, r.Stamp)
	}
	other := newAuthority(t, nil)
	if r := verify(t, raw, custody.Options{Stamp: check(other.pool())}); r.Sound() || r.Damages[0].What != bundle.BadStamp {
		t.Errorf("with the roots of another authority: %+v", r.Damages)
	}
	key := r.Signature.PublicKey
	if r := verify(t, raw, custody.Options{Signer: key}); !r.Sound() {
		t.Errorf("with its signer: %+v", r.Damages)
	}
	if r := verify(t, raw, custody.Options{Signer: "x" + key}); r.Sound() || r.Damages[0].What != bundle.OtherKey {
		t.Errorf("with another signer: %+v", r.Damages)
	}
}

// One bit that is turned over, anywhere, is named: the part that it is in, or the
// place of its header.
func TestEveryFlippedBitIsNamed(t *testing.T) {
	t.Parallel()
	raw, _, _ := sealed(t)
	b, err := bundle.Open(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for at := range raw {
		raw[at] ^= 1 << (at % 8)
		r := verify(t, raw, custody.Options{})
		raw[at] ^= 1 << (at % 8)
		if r.Sound() {
			t.Fatalf("byte %d: nobody saw it", at)
		}
		i := slices.IndexFunc(b.Parts, func(p bundle.Part) bool { return int64(at) < p.Offset+p.Size+bundle.Padding(p.Size) })
		named := false
		for _, d := range r.Damages {
			switch {
			case i < 0: // the end of the file
				named = named || d.What == bundle.BadFrame || d.What == bundle.BeyondEnd
			case int64(at) < b.Parts[i].Offset:
				named = named || d.Offset == b.Parts[i].Offset-bundle.BlockLen
			default:
				named = named || d.Part == b.Parts[i].Name
			}
		}
		if !named {
			t.Fatalf("byte %d, in part %d of %v: named are %+v", at, i, b.Parts, r.Damages)
		}
	}
}

// With a key the files of the damaged segment are named, and those before the damage
// are not.
func TestFilesOfDamageAreNamed(t *testing.T) {
	t.Parallel()
	raw, id, _ := sealed(t)
	b, err := bundle.Open(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	data, _ := b.Part(bundle.DataPart(1))
	raw[data.Offset+data.Size-1] ^= 1
	r := verify(t, raw, custody.Options{Identities: []age.Identity{id}})
	if len(r.Damages) != 1 || r.Damages[0].Part != data.Name || r.Damages[0].Count != 3 || !slices.Contains(r.Damages[0].Files, "2.log") {
		t.Errorf("damages: %+v", r.Damages)
	}
}

func TestCutAndForeign(t *testing.T) {
	t.Parallel()
	raw, _, _ := sealed(t)
	for size := bundle.BlockLen; size < len(raw); size += 97 {
		if r := verify(t, raw[:size], custody.Options{}); r.Sound() || len(r.Damages) == 0 {
			t.Fatalf("cut at %d of %d: sound %v, %v", size, len(raw), r.Sound(), r.Damages)
		}
	}
	end := len(raw) - bundle.EndLen
	more := slices.Concat(raw[:end], bundle.Frame("note.txt", 1), []byte("x"), make([]byte, 511), raw[end:])
	if r := verify(t, more, custody.Options{}); r.Sound() || r.Damages[0].What != bundle.Foreign || r.Damages[0].Part != "note.txt" {
		t.Errorf("with a part of somebody else: %+v", r.Damages)
	}
	b, _ := bundle.Open(bytes.NewReader(raw), int64(len(raw)))
	list, _ := b.Part(bundle.ListPart(1))
	less := slices.Concat(raw[:list.Offset-bundle.BlockLen], raw[list.Offset+list.Size+bundle.Padding(list.Size):])
	if r := verify(t, less, custody.Options{}); r.Sound() || r.Damages[0].What != bundle.Missing || r.Damages[0].Part != list.Name {
		t.Errorf("without a list: %+v", r.Damages)
	}
}

func TestStampOfAnother(t *testing.T) {
	t.Parallel()
	for name, spin := range map[string]func(*timestamp.Timestamp){
		"hash":  func(s *timestamp.Timestamp) { s.HashedMessage = make([]byte, 32) },
		"nonce": func(s *timestamp.Timestamp) { s.Nonce = big.NewInt(1) },
		"none":  func(s *timestamp.Timestamp) { s.Nonce = nil },
	} {
		if _, err := newAuthority(t, spin).ask(sha256.Sum256([]byte("seal"))); err == nil {
			t.Errorf("%s of another request: no error", name)
		}
	}
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("0\x80")) }))
	defer broken.Close()
	if _, err := custody.AskStamp(context.Background(), broken.Client(), broken.URL, [32]byte{}); err == nil {
		t.Error("an answer that is none: no error")
	}
}

// Whatever the bytes, a check ends without a panic, and nothing but the bundle itself
// is sound.
func FuzzVerify(f *testing.F) {
	raw, id, _ := sealed(f)
	f.Add(uint32(600), byte(1), uint32(len(raw)))
	f.Add(uint32(0), byte(0), uint32(700))
	f.Fuzz(func(t *testing.T, at uint32, bits byte, size uint32) {
		b := bytes.Clone(raw[:min(int(size), len(raw))])
		if len(b) > 0 {
			b[int(at)%len(b)] ^= bits
		}
		r, err := custody.Verify(context.Background(), bytes.NewReader(b), int64(len(b)), custody.Options{Identities: []age.Identity{id}})
		if err == nil && r.Sound() != bytes.Equal(b, raw) {
			t.Errorf("bits %08b at %d of %d: sound %v, %+v", bits, at, len(b), r.Sound(), r.Damages)
		}
	})
}
