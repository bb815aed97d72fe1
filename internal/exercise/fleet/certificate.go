package fleet

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"strings"
	"sync"
	"time"
)

// profile is how a host does TLS.
type profile struct {
	name      string
	low, high uint16
	suites    []uint16
	rsa       int  // bits of its key; 0 is ECDSA with P-256
	sha1      bool // signs its own certificate with it
	onlySHA1  bool // signs the handshake with nothing else
	protocols []string
}

// profiles gives those that hosts have, with their shares in percent. Most are
// ECDSA, which costs the fleet least; the legacy ones need RSA by nature.
func profiles() []struct {
	profile
	share float64
} {
	type p = struct {
		profile
		share float64
	}
	modern := profile{low: tls.VersionTLS12, high: tls.VersionTLS13}
	at := func(name string, change func(*profile)) profile {
		x := modern
		x.name = name
		change(&x)
		return x
	}
	return []p{
		{at("modern", func(x *profile) {}), 86},
		{at("tls12", func(x *profile) { x.high = tls.VersionTLS12 }), 5},
		{at("tls12-sha1", func(x *profile) { // needs tlssha1=1 in GODEBUG on both sides
			x.high, x.rsa, x.onlySHA1 = tls.VersionTLS12, 1024, true
			x.suites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA}
		}), .5},
		{at("rsa-768", func(x *profile) { x.high, x.rsa = tls.VersionTLS12, 768 }), .5}, // needs rsa1024min=0
		{at("rsa-2048", func(x *profile) { x.rsa = 2048 }), 3},
		{at("rsa-1024", func(x *profile) { x.rsa = 1024 }), 2},
		{at("tls10", func(x *profile) {
			x.low, x.high, x.rsa, x.sha1 = tls.VersionTLS10, tls.VersionTLS10, 1024, true
			x.suites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA}
		}), 1.2},
		{at("rsa-exchange", func(x *profile) {
			x.high, x.rsa = tls.VersionTLS12, 2048
			x.suites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA}
		}), .8},
		{at("3des", func(x *profile) {
			x.low, x.high, x.rsa, x.sha1 = tls.VersionTLS10, tls.VersionTLS10, 1024, true
			x.suites = []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}
		}), .5},
		{at("rc4", func(x *profile) {
			x.low, x.high, x.rsa, x.sha1 = tls.VersionTLS10, tls.VersionTLS10, 1024, true
			x.suites = []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
		}), .5},
	}
}

// profileOf gives how a host does TLS.
func (p *population) profileOf(h *host) profile {
	all := profiles()
	if h.kind == Attacker || h.kind == CloudHost {
		return all[0].profile
	}
	x := all[0].profile
	upTo, at := 0.0, h.dice.share(forTLS)*100
	if p.o.Mix == Clean { // nothing but the handshake that everybody does
		at *= .86
	}
	for _, each := range all {
		if upTo += each.share; at < upTo {
			x = each.profile
			break
		}
	}
	if h.variant == "http2" {
		x = all[0].profile
		x.name, x.protocols = "http2", []string{"h2"}
	}
	return x
}

// config gives the TLS set-up for a profile; the certificate follows from the
// address that was called.
func (x profile) config(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{MinVersion: x.low, MaxVersion: x.high, CipherSuites: x.suites, GetCertificate: certificate, NextProtos: x.protocols}
}

// maxCertificates bounds those that are kept: 2 KB each. The next one empties the
// store, and what is asked for again is made again, the same.
const maxCertificates = 1 << 16

// mint makes and keeps certificates.
type mint struct {
	p      *population
	mu     sync.Mutex
	kept   map[int]*tls.Certificate
	primes primes
	ca     *ecdsa.PrivateKey
	issuer *x509.Certificate
}

func newMint(p *population) (*mint, error) {
	ca, err := ecdsaKey(diceOf(p.o.Seed, 'c'))
	if err != nil {
		return nil, err
	}
	m := &mint{p: p, kept: map[int]*tls.Certificate{}, ca: ca, primes: primes{seed: p.o.Seed, made: map[primeName]func() *big.Int{}}}
	m.issuer = &x509.Certificate{Subject: pkix.Name{CommonName: "Exercise CA, trusted by nobody", Organization: []string{"Exercise"}}}
	return m, nil
}

// certificate gives that of a host.
func (m *mint) certificate(h *host) (*tls.Certificate, error) {
	m.mu.Lock()
	c := m.kept[h.index]
	m.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := m.make(h)
	if err != nil {
		return nil, fmt.Errorf("certificate of host %d: %w", h.index, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kept) >= maxCertificates {
		clear(m.kept)
	}
	m.kept[h.index] = c
	return c, nil
}

// names gives what stands in a certificate and whether it is self-signed, as the
// set-up of Exchange makes it.
func (m *mint) names(h *host) (common string, all []string, selfSigned bool) {
	p := m.p
	name, domain := p.name(h), p.domain(h)
	switch h.kind {
	case CloudHost:
		return "outlook.com", []string{"*.outlook.com", "outlook.office365.com", "*.office365.com", "outlook.com"}, false
	case Attacker:
		if attackOf(h).certificate {
			if h.variant == "markup" {
				return strings.ToValidUTF8(markup, "?"), []string{domain}, true
			}
			for i := range 2500 {
				all = append(all, fmt.Sprintf("name-%04d.%s", i, domain))
			}
			return domain, all, true
		}
		return name, []string{name}, true
	case LookAlike, CloudName, Phishing:
		return name, []string{name}, false
	case Honeypot:
		return "EX01", []string{"EX01"}, true
	case Profile:
		return name, []string{name}, true
	}
	c := h.dice.share(forCertificate)
	if op := p.operator(h.index); op.size == 6 && c < .7 { // a hoster's, for all its customers
		lead := p.host(h.index - op.slot)
		for i := range 30 {
			all = append(all, fmt.Sprintf("mail.customer-%02d.%s", i, p.domain(&lead)))
		}
		return all[0], all, false
	}
	switch {
	case c < .25 || h.kind == Restricted: // the default certificate; the members of a farm have the first one's
		return p.frontend(h, 0), []string{p.frontend(h, 0), p.fqdn(h, 0)}, true
	case c < .40:
		return "*." + domain, []string{"*." + domain, domain}, false
	}
	return name, []string{name, "autodiscover." + domain}, false
}

func (m *mint) make(h *host) (*tls.Certificate, error) {
	common, names, selfSigned := m.names(h)
	x := m.p.profileOf(h)
	owner := h.dice
	if len(names) == 30 { // the hoster's key goes with the hoster's certificate
		lead := m.p.host(h.index - m.p.operator(h.index).slot)
		owner = lead.dice
	}
	key, err := m.key(h, owner, x)
	if err != nil {
		return nil, err
	}
	begin := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, owner.n(forSerial, 700))
	t := &x509.Certificate{
		SerialNumber: new(big.Int).SetUint64(owner.bits(forSerial)>>1 | 1),
		Subject:      pkix.Name{CommonName: common}, DNSNames: names,
		NotBefore: begin, NotAfter: begin.AddDate(5+25*owner.n(forCertificate, 2), 0, 0), // some have run out
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, signer := m.issuer, crypto.Signer(m.ca)
	if selfSigned {
		parent, signer = t, key
	}
	if _, ok := signer.(*rsa.PrivateKey); ok && x.sha1 {
		t.SignatureAlgorithm = x509.SHA1WithRSA
	}
	der, err := x509.CreateCertificate(nil, t, parent, key.Public(), deterministic{signer})
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if x.onlySHA1 {
		c.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PKCS1WithSHA1}
	}
	return c, nil
}

// deterministic signs without chance (RFC 6979 for ECDSA), so that a certificate
// is the same whenever it is made.
type deterministic struct{ crypto.Signer }

func (d deterministic) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return d.Signer.Sign(nil, digest, o)
}

// key gives the key of a host. The hosts of a hoster with one certificate share it.
func (m *mint) key(h *host, owner dice, x profile) (crypto.Signer, error) {
	if x.rsa == 0 {
		return ecdsaKey(owner)
	}
	return m.primes.key(x.rsa, h.index)
}

// ecdsaKey derives a P-256 key.
func ecdsaKey(d dice) (*ecdsa.PrivateKey, error) {
	for try := uint64(0); ; try++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("exercise key"), diceOf(uint64(d), try).bits(forKey)))
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
		if err == nil || try > 8 { // one in 2^32 numbers is too large for the curve
			return k, err
		}
	}
}

// primes are shared between RSA keys: two of them make the modulus of a host, and
// no two hosts whose numbers differ by less than 32,640 have the same two. Making
// primes is what costs in making RSA keys; few serve many hosts, and small ones are
// found in a tenth of the time, so that a long modulus takes two more, the same for
// all. Keys made so are worthless, which those of an exercise may be.
type primes struct {
	seed uint64
	mu   sync.Mutex
	made map[primeName]func() *big.Int // each makes its prime once
}

// primeName says which prime: the number in its pool, and how many bits it has.
type primeName struct{ n, bits int }

const (
	// primePool is how many primes there are for pairs: 32,640 different ones.
	primePool = 256
	// primeBits makes keys of 1,024 bits with two and of 2,048 bits with four. Shorter keys
	// have two shorter ones.
	primeBits = 512
)

func (ps *primes) prime(name primeName) *big.Int {
	ps.mu.Lock()
	p := ps.made[name]
	if p == nil {
		p = sync.OnceValue(func() *big.Int { return ps.make(name) })
		ps.made[name] = p
	}
	ps.mu.Unlock()
	return p()
}

// make looks for a prime.
func (ps *primes) make(name primeName) *big.Int {
	d := diceOf(ps.seed, uint64(name.n), 'p')
	raw := make([]byte, 0, name.bits/8)
	for i := uint64(0); len(raw) < name.bits/8; i++ {
		raw = binary.BigEndian.AppendUint64(raw, diceOf(uint64(d), i).bits(forKey))
	}
	raw[0] |= 0xf0 // so that the product of four has all its bits
	raw[len(raw)-1] |= 1
	p, two, one := new(big.Int).SetBytes(raw), big.NewInt(2), big.NewInt(1)
	e := big.NewInt(65537)
	for rest := new(big.Int); ; p.Add(p, two) {
		// 65537 must not divide p-1, or there is no private exponent.
		if rest.Mod(rest.Sub(p, one), e); rest.Sign() != 0 && p.ProbablyPrime(4) {
			break
		}
	}
	return p
}

// key gives the RSA key of a host.
func (ps *primes) key(bits, index int) (*rsa.PrivateKey, error) {
	// Pairs (0,1), (0,2), (1,2), (0,3) …: a small population takes few primes.
	low, high := index%(primePool*(primePool-1)/2), 1
	for ; low >= high; high++ {
		low -= high
	}
	each := min(bits/2, primeBits)
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: big.NewInt(1), E: 65537},
		Primes: []*big.Int{ps.prime(primeName{low, each}), ps.prime(primeName{high, each})}}
	for n := primePool; len(k.Primes) < bits/each; n++ {
		k.Primes = append(k.Primes, ps.prime(primeName{n, each}))
	}
	one, phi := big.NewInt(1), big.NewInt(1)
	for _, p := range k.Primes {
		k.N.Mul(k.N, p)
		phi.Mul(phi, new(big.Int).Sub(p, one))
	}
	k.D = new(big.Int).ModInverse(big.NewInt(65537), phi)
	if err := k.Validate(); err != nil {
		return nil, err
	}
	k.Precompute()
	return k, nil
}

// describe says in a word what kind of certificate a host has, for the truth.
func (m *mint) describe(h *host) string {
	common, names, selfSigned := m.names(h)
	switch {
	case len(names) == 30:
		return "shared"
	case strings.HasPrefix(common, "*"):
		return "wildcard"
	case selfSigned:
		return "self-signed"
	}
	return "own"
}
