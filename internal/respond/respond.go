// Package respond is what the parts of the river after a verdict share: the form
// of the documents that they sign, and which names Windows takes for others.
//
// A signed document is one JSON object with the keys schema, body, algorithm,
// public_key and signature. What is signed is the schema, a line feed and the body
// without white space between its tokens; docs/formats/quarantine.md and
// attestation.md say what stands in a body. Input: a body and an Ed25519 key
// (RFC 8032), or bytes from anywhere. Output: the document, or the body that the
// key has signed.
package respond

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// MaxSigned bounds a signed document in bytes: a manifest of 10,000 files has 8 MB.
const MaxSigned = 32 << 20

// What is wrong with a document that is not believed.
var (
	ErrForm      = errors.New("not a signed document of this kind")
	ErrSignature = errors.New("the signature is not that of its key over what it says")
	ErrSigner    = errors.New("signed by another key")
)

const algorithm = "ed25519"

type signed struct {
	Schema    string          `json:"schema"`
	Body      json.RawMessage `json:"body"`
	Algorithm string          `json:"algorithm"`
	PublicKey string          `json:"public_key"`
	Signature string          `json:"signature"`
}

func message(schema string, body []byte) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(schema)
	b.WriteByte('\n')
	if err := json.Compact(&b, body); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// PublicKey is the text of a public key: base64 of its 32 bytes.
func PublicKey(key ed25519.PrivateKey) string {
	return base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

// Sign makes the document of a body.
func Sign(schema string, body any, key ed25519.PrivateKey) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	m, err := message(schema, raw)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	d := signed{Schema: schema, Body: raw, Algorithm: algorithm, PublicKey: PublicKey(key),
		Signature: base64.StdEncoding.EncodeToString(ed25519.Sign(key, m))}
	out, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return append(out, '\n'), nil
}

// Open gives the body of a document and the key that signed it. Signer is the key
// that must have signed; without one any key will do, and then the signature only
// says that nothing was changed by whoever does not have that key.
func Open(schema string, raw []byte, signer string) (body json.RawMessage, publicKey string, err error) {
	if len(raw) > MaxSigned {
		return nil, "", fmt.Errorf("%w: more than %d bytes", ErrForm, MaxSigned)
	}
	var d signed
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil || dec.More() {
		return nil, "", ErrForm
	}
	if d.Schema != schema || d.Algorithm != algorithm || len(d.Body) == 0 {
		return nil, "", ErrForm
	}
	key, err := base64.StdEncoding.Strict().DecodeString(d.PublicKey)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, "", ErrForm
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(d.Signature)
	if err != nil {
		return nil, "", ErrForm
	}
	m, err := message(schema, d.Body)
	if err != nil {
		return nil, "", ErrForm
	}
	if !ed25519.Verify(key, m, sig) {
		return nil, "", ErrSignature
	}
	if signer != "" && signer != d.PublicKey {
		return nil, d.PublicKey, ErrSigner
	}
	return d.Body, d.PublicKey, nil
}
