package probe

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"os"
	"slices"
	"strings"

	"postern/internal/exposure"
)

// profile is a way to shake hands.
type profile int

const (
	modern profile = iota // TLS 1.2 and 1.3 as a browser of today speaks them
	legacy                // TLS 1.0 to 1.2 with everything that old servers still need
	// oldest is legacy without TLS 1.2, for servers that refuse a version that they do
	// not know instead of answering with theirs.
	oldest
)

func (p profile) String() string {
	if p == modern {
		return "modern"
	}
	return "legacy"
}

// oldServers are the library's switches without which it shakes no hands with servers
// that sign with SHA-1 alone in TLS 1.2, and with RSA keys under 1,024 bits.
const oldServers = "tlssha1=1,rsa1024min=0"

// AllowOldServers sets the switches. They hold for the whole process, so only a command
// that does nothing but look at hosts, or play them, may do so. SHA-1 is then offered in
// every handshake, and last, so that a host takes it only if it has nothing else.
func AllowOldServers() error {
	settings := oldServers
	if set := os.Getenv("GODEBUG"); set != "" {
		settings = set + "," + settings
	}
	return os.Setenv("GODEBUG", settings)
}

// Bounds of what is kept of a certificate.
const (
	maxCertNames = 64
	maxNameBytes = 253
)

// legacySuites is every cipher suite that the library still knows: RC4, 3DES, key
// exchange by RSA and the rest. Naming them is enough; no switch of the runtime is
// needed. The list is about reaching old servers, nothing secret is sent.
func legacySuites() []uint16 {
	var ids []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}

// config is the handshake of a profile. Certificates are facts, not credentials: we
// send nothing that would have to be kept from an impostor, so none is refused, and
// seen is told of every leaf, also when the handshake fails later.
func (p *Prober) config(prof profile, name, protocol string, seen func(*x509.Certificate) error) *tls.Config {
	c := &tls.Config{
		ServerName:         name,
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS12,
		CurvePreferences:   p.curves,
		NextProtos:         []string{protocol},
		// Called as soon as the certificate is there, in a handshake that fails later too.
		VerifyConnection: func(cs tls.ConnectionState) error { return seen(cs.PeerCertificates[0]) },
	}
	switch prof {
	case legacy:
		c.MinVersion, c.MaxVersion, c.CipherSuites = tls.VersionTLS10, tls.VersionTLS12, p.suites
	case oldest:
		c.MinVersion, c.MaxVersion, c.CipherSuites = tls.VersionTLS10, tls.VersionTLS11, p.suites
	}
	return c
}

// facts takes from a certificate what the record keeps.
func facts(leaf *x509.Certificate) exposure.Certificate {
	sum, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	c := exposure.Certificate{
		SHA256:     hex.EncodeToString(sum[:]),
		KeySHA256:  hex.EncodeToString(key[:]),
		CommonName: word(leaf.Subject.CommonName),
		SelfSigned: bytes.Equal(leaf.RawSubject, leaf.RawIssuer),
	}
	for _, n := range leaf.DNSNames[:min(len(leaf.DNSNames), maxCertNames)] {
		if n = word(n); n != "" && !slices.Contains(c.Names, n) {
			c.Names = append(c.Names, n)
		}
	}
	return c
}

// word makes one printable word of a name in a certificate.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, s[:min(len(s), maxNameBytes)])
}

// version names a TLS version as the record does: "1.2".
func version(v uint16) string { return strings.TrimPrefix(tls.VersionName(v), "TLS ") }
