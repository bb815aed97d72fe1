package custody

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
)

// maxToken bounds the answer of a time stamp authority: a token with its chain of
// certificates has some 10 KB.
const maxToken = 1 << 20

// AskStamp asks a time stamp authority (RFC 3161, over HTTP) for a token for a
// SHA-256, and checks that the answer is one.
func AskStamp(ctx context.Context, client *http.Client, url string, digest [sha256.Size]byte) ([]byte, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, err
	}
	ask := timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Nonce: nonce, Certificates: true}
	body, err := ask.Marshal()
	if err != nil {
		return nil, fmt.Errorf("time stamp request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxToken+1))
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the authority answered %s", res.Status)
	case len(answer) > maxToken:
		return nil, errors.New("the answer is too long")
	}
	t, err := guard(func() (*timestamp.Timestamp, error) { return timestamp.ParseResponse(answer) })
	if err != nil {
		return nil, fmt.Errorf("time stamp: %w", err)
	}
	if t.Nonce == nil || t.Nonce.Cmp(nonce) != 0 {
		return nil, errors.New("the answer is to another request")
	}
	if err := about(t, digest); err != nil {
		return nil, err
	}
	return t.RawToken, nil
}

// CheckStamp says what a token says of a SHA-256. Its signature is that of the
// certificate in it; roots say whose certificates are believed, nil believes none.
func CheckStamp(token []byte, digest [sha256.Size]byte, roots *x509.CertPool) (Stamp, error) {
	t, err := guard(func() (*timestamp.Timestamp, error) { return timestamp.Parse(token) })
	if err != nil {
		return Stamp{}, err
	}
	if err := about(t, digest); err != nil {
		return Stamp{}, err
	}
	// Whose signature it is decides, not whose certificate lies beside it.
	p7, err := guard(func() (*pkcs7.PKCS7, error) { return pkcs7.Parse(token) })
	if err != nil {
		return Stamp{}, err
	}
	signer := p7.GetOnlySigner()
	if signer == nil {
		return Stamp{}, errors.New("the time stamp has no certificate of its authority")
	}
	s := Stamp{Time: t.Time.UTC(), Issuer: signer.Subject.String()}
	if roots == nil {
		return s, nil
	}
	between := x509.NewCertPool()
	for _, c := range t.Certificates {
		between.AddCert(c)
	}
	if _, err := signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: t.Time,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}); err != nil {
		return s, err
	}
	s.Trusted = true
	return s, nil
}

func about(t *timestamp.Timestamp, digest [sha256.Size]byte) error {
	if t.HashAlgorithm != crypto.SHA256 || !bytes.Equal(t.HashedMessage, digest[:]) {
		return errors.New("the time stamp is about something else")
	}
	return nil
}

// guard keeps a parser that panics on hostile bytes from ending the program.
func guard[T any](parse func() (*T, error)) (t *T, err error) {
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("time stamp: %v", p)
		}
	}()
	return parse()
}
