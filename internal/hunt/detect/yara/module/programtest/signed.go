package programtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"time"
)

// Signed adds a signature to a program made by Windows: the right form with a
// certificate of its own making, and a signature value that is none, so that it
// verifies nowhere. A second one is nested in it.
func Signed(program []byte, is64 bool) ([]byte, error) {
	inner, err := message(program, "Nested Signer", nil)
	if err != nil {
		return nil, err
	}
	outer, err := message(program, "Example Signer", inner)
	if err != nil {
		return nil, err
	}
	for len(program)%8 != 0 {
		program = append(program, 0)
	}
	at := len(program)
	program = append(program, numbers(uint32(len(outer)+8), uint16(0x200), uint16(2), outer)...)
	directory := peHeaderAt + 24 + 96 + 4*8
	if is64 {
		directory += 16
	}
	binary.LittleEndian.PutUint32(program[directory:], uint32(at))
	binary.LittleEndian.PutUint32(program[directory+4:], uint32(len(program)-at))
	return program, nil
}

type algorithm struct {
	OID  asn1.ObjectIdentifier
	Null asn1.RawValue
}

var (
	null     = asn1.RawValue{Tag: asn1.TagNull}
	sha256ID = algorithm{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, null}
)

// tagged wraps DER in a tag of its own.
func tagged(tag int, inside ...[]byte) asn1.RawValue {
	var all []byte
	for _, b := range inside {
		all = append(all, b...)
	}
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: all}
}

func universal(tag int, inside ...[]byte) asn1.RawValue {
	v := tagged(tag, inside...)
	v.Class = asn1.ClassUniversal
	return v
}

type attribute struct {
	Kind   asn1.ObjectIdentifier
	Values asn1.RawValue
}

// message makes one PKCS #7 message.
func message(program []byte, name string, nested []byte) ([]byte, error) {
	var failed error
	der := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil && failed == nil {
			failed = err
		}
		return b
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	who := pkix.Name{Country: []string{"US"}, Organization: []string{"Example/Co + Sons"}, CommonName: name + " é"}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xfedcba98), Subject: who, NotBefore: time.Unix(1600000000, 0), NotAfter: time.Unix(1700000000, 0),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(program)
	indirect := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	content := der(struct {
		Kind   any
		Digest any
	}{
		struct {
			OID  asn1.ObjectIdentifier
			Data []int
		}{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}, nil},
		struct {
			Algorithm algorithm
			Digest    []byte
		}{sha256ID, digest[:]},
	})
	opus := der(universal(asn1.TagSequence, der(tagged(0, der(asn1.RawValue{Class: asn1.ClassContextSpecific, Bytes: bigEndian("Program")})))))
	signed := [][]byte{
		der(attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, universal(asn1.TagSet, der(indirect))}),
		der(attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, universal(asn1.TagSet, der(digest[:]))}),
		der(attribute{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 12}, universal(asn1.TagSet, opus)}),
	}
	signer := [][]byte{
		der(1),
		der(universal(asn1.TagSequence, parsed.RawIssuer, der(template.SerialNumber))),
		der(sha256ID),
		der(tagged(0, signed...)),
		der(algorithm{asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, null}),
		der([]byte("no signature")),
	}
	if nested != nil {
		signer = append(signer, der(tagged(1, der(attribute{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 4, 1}, universal(asn1.TagSet, nested)}))))
	}
	body := der(universal(asn1.TagSequence,
		der(1),
		der(universal(asn1.TagSet, der(sha256ID))),
		der(universal(asn1.TagSequence, der(indirect), der(tagged(0, content)))),
		der(tagged(0, certificate)),
		der(universal(asn1.TagSet, der(universal(asn1.TagSequence, signer...))))))
	whole := der(universal(asn1.TagSequence, der(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}), der(tagged(0, body))))
	return whole, failed
}

func bigEndian(s string) []byte {
	b := wide(s)
	for i := 0; i+1 < len(b); i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	return b
}
