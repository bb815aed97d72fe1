package respond

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"
)

const testSchema = "postern.test/1"

func testKey(first byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = first
	return ed25519.NewKeyFromSeed(seed)
}

func TestSignedOpens(t *testing.T) {
	t.Parallel()
	key := testKey(1)
	raw, err := Sign(testSchema, map[string]string{"host": "EX01 <&>"}, key)
	if err != nil {
		t.Fatal(err)
	}
	body, by, err := Open(testSchema, raw, PublicKey(key))
	if err != nil || by != PublicKey(key) {
		t.Fatalf("got key %q, %v", by, err)
	}
	var got map[string]string
	if err := json.Unmarshal(body, &got); err != nil || got["host"] != "EX01 <&>" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, _, err := Open(testSchema, raw, PublicKey(testKey(2))); !errors.Is(err, ErrSigner) {
		t.Errorf("with another signer expected: got %v, want ErrSigner", err)
	}
	if _, _, err := Open("postern.other/1", raw, ""); !errors.Is(err, ErrForm) {
		t.Errorf("as another schema: got %v, want ErrForm", err)
	}
}

// No bit of what a document says can change unseen.
func TestEveryBitCounts(t *testing.T) {
	t.Parallel()
	want := map[string]int{"n": 7}
	raw, err := Sign(testSchema, want, testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	for at := range raw {
		broken := bytes.Clone(raw)
		broken[at] ^= 0x04
		body, _, err := Open(testSchema, broken, PublicKey(testKey(1)))
		if err != nil {
			continue
		}
		var got map[string]int
		if err := json.Unmarshal(body, &got); err != nil || got["n"] != 7 || len(got) != 1 {
			t.Errorf("byte %d changed: %s is believed", at, body)
		}
	}
}

// Whatever the bytes, what is believed was signed with the key that is named.
func FuzzOpen(f *testing.F) {
	raw, err := Sign(testSchema, map[string]int{"n": 1}, testKey(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(bytes.Replace(raw, []byte(`"n": 1`), []byte(`"n": 2`), 1))
	f.Add([]byte(`{"schema":"postern.test/1","body":{},"algorithm":"ed25519","public_key":"","signature":""}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		body, by, err := Open(testSchema, raw, PublicKey(testKey(1)))
		if err != nil {
			return
		}
		var got any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("believed and not JSON: %v", err)
		}
		if again, err := Sign(testSchema, body, testKey(1)); err != nil || by != PublicKey(testKey(1)) {
			t.Fatal(by, err)
		} else if _, _, err := Open(testSchema, again, by); err != nil {
			t.Fatal(err)
		}
		n, ok := got.(map[string]any)
		if !ok || n["n"] != float64(1) {
			t.Fatalf("the key never signed %s", body)
		}
	})
}
