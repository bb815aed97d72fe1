package pe

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"unicode/utf16"
)

// Authenticode ("Windows Authenticode Portable Executable Signature Format",
// Microsoft, 2008; PKCS #7, RFC 2315; X.509, RFC 5280). Signatures are read, not
// verified: what they say may be forged, and rules that look for stolen or forged
// certificates want just that.

const (
	maxSignatures   = 16 // with those nested in the first
	maxNesting      = 4
	maxCertificates = 64 // of one signature
	maxNameText     = 255
	maxDigest       = 1024    // bytes; no digest is longer than 64
	maxProgramName  = 1 << 16 // bytes
)

// Signature is one signature, or one of those nested in the first.
type Signature struct {
	Signer        *Certificate // nil if the signature is damaged
	Certificates  []Certificate
	DigestName    string
	Digest        string // hexadecimal, as signed
	FileDigest    string // of the file as it is
	SignerDigest  string
	SignerAlg     string
	ProgramName   string
	HasProgram    bool
	HasDigest     bool
	HasFileDigest bool
	HasSigner     bool // SignerDigest and SignerAlg
}

// Certificate is what is written in a certificate.
type Certificate struct {
	Thumbprint        string // SHA-1 of the whole, hexadecimal
	Issuer, Subject   string // "/C=US/O=…"
	Version           int64
	Algorithm         string
	AlgorithmOID      string
	Serial            string // "0a:1b:…"
	HasSerial         bool
	NotBefore         int64 // seconds since 1970
	NotAfter          int64
	HasBefore, HasEnd bool

	issuer, serial []byte // as the signer refers to it
}

const (
	oidSignedData       = "1.2.840.113549.1.7.2"
	oidIndirectData     = "1.3.6.1.4.1.311.2.1.4"
	oidNested           = "1.3.6.1.4.1.311.2.4.1"
	oidMSCounter        = "1.3.6.1.4.1.311.3.3.1"
	oidOpusInfo         = "1.3.6.1.4.1.311.2.1.12"
	oidMessageDigest    = "1.2.840.113549.1.9.4"
	certificateHeadSize = 8
)

func (p *Image) readSignatures() []Signature {
	dir := p.Directory(DirSecurity) // the one address that is an offset
	at, size := int64(dir.VirtualAddress), int64(dir.Size)
	if at == 0 || size < certificateHeadSize || !p.fits(at, size) {
		return nil
	}
	length := int64(p.u32(at))
	if length < certificateHeadSize || !p.fits(at, length) {
		return nil
	}
	r := &signatureReader{Image: p, digests: make(map[string]string)}
	r.read(p.data[at+certificateHeadSize:at+length], 0)
	return r.list
}

// signatureReader reads the signatures of one file.
type signatureReader struct {
	*Image
	list    []Signature
	digests map[string]string // of the file, by algorithm
}

func (r *signatureReader) add(s Signature) { r.list = append(r.list, s) }

// read reads one PKCS #7 message and those nested in it.
func (r *signatureReader) read(message []byte, depth int) {
	signed, ok := signedData(message)
	if !ok || depth > maxNesting || len(r.list) >= maxSignatures {
		return
	}
	s := Signature{Certificates: signed.certificates}
	if signed.contentType != oidIndirectData {
		r.add(s)
		return
	}
	algorithm, digest, ok := indirectDigest(signed.content)
	if !ok {
		r.add(s)
		return
	}
	s.DigestName, s.Digest, s.HasDigest = longName(algorithm), hex.EncodeToString(digest), len(digest) > 0
	if s.HasDigest {
		s.FileDigest, s.HasFileDigest = r.fileDigest(algorithm)
	}
	// libyara leaves out a signature without its signer, but only if the file is what
	// was signed: the wrong digest hides the other fault.
	altered := s.HasFileDigest && s.FileDigest != s.Digest
	info, ok := signed.signer()
	if !ok {
		if altered {
			r.add(s)
		}
		return
	}
	for _, more := range info.unsigned(oidMSCounter) {
		if counter, ok := signedData(more); ok {
			s.Certificates = append(s.Certificates, counter.certificates...)
		}
	}
	for i := range signed.certificates {
		c := &signed.certificates[i]
		if bytes.Equal(c.issuer, info.issuer) && bytes.Equal(c.serial, info.serial) {
			s.Signer = c
			break
		}
	}
	nested := info.unsigned(oidNested)
	if s.Signer != nil || altered {
		if value := info.signed(oidMessageDigest); len(value) > 0 && s.Signer != nil {
			if e, ok := value[0].take(tagOctets); ok && len(e.content) <= maxDigest {
				s.SignerDigest, s.SignerAlg, s.HasSigner = hex.EncodeToString(e.content), longName(info.algorithm), true
				s.ProgramName, s.HasProgram = programName(info.signed(oidOpusInfo))
			}
		}
		r.add(s)
	}
	for _, n := range nested {
		r.read(n, depth+1)
	}
}

// signedMessage is the part of a PKCS #7 message that is used here.
type signedMessage struct {
	contentType  string
	content      der
	certificates []Certificate
	signers      der
}

func signedData(message []byte) (*signedMessage, bool) {
	d := der(message)
	outer, ok := d.inside(tagSequence)
	if kind, isOID := outer.oid(); !ok || !isOID || kind != oidSignedData {
		return nil, false
	}
	wrapped, _ := outer.inside(tagContext0)
	body, ok := wrapped.inside(tagSequence)
	if !ok {
		return nil, false
	}
	body.take(tagInteger)
	if _, ok = body.take(tagSet); !ok { // digest algorithms
		return nil, false
	}
	content, ok := body.inside(tagSequence)
	if !ok {
		return nil, false
	}
	s := &signedMessage{}
	s.contentType, _ = content.oid()
	s.content, _ = content.inside(tagContext0)
	if certificates, ok := body.inside(tagContext0); ok {
		for len(s.certificates) < maxCertificates {
			e, ok := certificates.take(tagSequence)
			if !ok {
				break
			}
			c, ok := certificate(e)
			if !ok {
				return nil, false
			}
			s.certificates = append(s.certificates, c)
		}
	}
	body.take(tagContext1) // revoked ones
	s.signers, ok = body.inside(tagSet)
	return s, ok
}

// indirectDigest reads what was signed: the digest of the file.
func indirectDigest(content der) (algorithm string, digest []byte, ok bool) {
	body, _ := content.inside(tagSequence)
	body.next() // what kind of file
	info, _ := body.inside(tagSequence)
	kind, _ := info.inside(tagSequence)
	algorithm, ok = kind.oid()
	if !ok {
		return "", nil, false
	}
	e, ok := info.take(tagOctets)
	return algorithm, e.content, ok && len(e.content) <= maxDigest
}

// signerInfo is the first of the signers; Authenticode has one.
type signerInfo struct {
	issuer, serial []byte
	algorithm      string
	with, without  der // attributes that are signed, and that are not
}

func (s *signedMessage) signer() (*signerInfo, bool) {
	all := s.signers
	body, ok := all.inside(tagSequence)
	if !ok {
		return nil, false
	}
	i := &signerInfo{}
	body.take(tagInteger)
	who, ok := body.inside(tagSequence)
	if !ok {
		return nil, false
	}
	name, _ := who.take(tagSequence)
	serial, ok := who.take(tagInteger)
	if !ok {
		return nil, false
	}
	i.issuer, i.serial = name.whole, serial.content
	kind, _ := body.inside(tagSequence)
	i.algorithm, _ = kind.oid()
	i.with, _ = body.inside(tagContext0)
	body.take(tagSequence)
	body.take(tagOctets)
	i.without, _ = body.inside(tagContext1)
	return i, true
}

func (i *signerInfo) signed(kind string) []der   { return attribute(i.with, kind) }
func (i *signerInfo) unsigned(kind string) []der { return attribute(i.without, kind) }

// attribute gives the values of the first attribute of that kind.
func attribute(all der, kind string) []der {
	for {
		a, ok := all.inside(tagSequence)
		if !ok {
			return nil
		}
		if got, _ := a.oid(); got != kind {
			continue
		}
		values, _ := a.inside(tagSet)
		var list []der
		for len(list) < maxSignatures {
			e, ok := values.next()
			if !ok {
				break
			}
			list = append(list, der(e.whole))
		}
		return list
	}
}

// programName reads the name that the signer gave the program.
func programName(values []der) (string, bool) {
	if len(values) == 0 {
		return "", false
	}
	body, _ := values[0].inside(tagSequence)
	name, ok := body.inside(tagContext0)
	if !ok {
		return "", false
	}
	e, ok := name.next()
	switch {
	case !ok || len(e.content) > maxProgramName:
		return "", false
	case e.tag == 0x80: // two bytes a character
		units := make([]uint16, 0, len(e.content)/2)
		for i := 0; i+1 < len(e.content); i += 2 {
			units = append(units, uint16(e.content[i])<<8|uint16(e.content[i+1]))
		}
		return string(utf16.Decode(units)), true
	}
	return string(e.content), true
}

func certificate(e element) (Certificate, bool) {
	sum := sha1.Sum(e.whole)
	c := Certificate{Thumbprint: hex.EncodeToString(sum[:]), Version: 1}
	body := der(e.content)
	d, ok := body.inside(tagSequence)
	if !ok {
		return c, false
	}
	if v, ok := d.inside(tagContext0); ok {
		if n, ok := v.take(tagInteger); ok && len(n.content) == 1 {
			c.Version = int64(n.content[0]) + 1
		}
	}
	serial, ok := d.take(tagInteger)
	if !ok {
		return c, false
	}
	c.serial = serial.content
	c.Serial, c.HasSerial = serialText(serial.content)
	d.take(tagSequence) // the algorithm again
	issuer, ok := d.take(tagSequence)
	if !ok {
		return c, false
	}
	c.issuer, c.Issuer = issuer.whole, nameText(issuer.content)
	validity, ok := d.inside(tagSequence)
	if !ok {
		return c, false
	}
	c.NotBefore, c.HasBefore = validity.time()
	c.NotAfter, c.HasEnd = validity.time()
	subject, ok := d.take(tagSequence)
	if !ok {
		return c, false
	}
	c.Subject = nameText(subject.content)
	kind, _ := body.inside(tagSequence)
	c.AlgorithmOID, _ = kind.oid()
	c.Algorithm = longName(c.AlgorithmOID)
	return c, true
}

// serialText writes a serial number as its bytes; needless bytes at its front are
// left out as in DER, and one that no standard allows is none.
func serialText(b []byte) (string, bool) {
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 20 {
		return "", false
	}
	parts := make([]string, len(b))
	for i, c := range b {
		parts[i] = fmt.Sprintf("%02x", c)
	}
	return strings.Join(parts, ":"), true
}

// nameText writes a name on one line as OpenSSL's X509_NAME_oneline does: each part
// after "/", bytes that are not ASCII as \xHH, whole parts up to 255 characters.
// OpenSSL 3 would write "\+" for "+"; that is left out, since rules have what
// OpenSSL 1 wrote.
func nameText(name der) string {
	var s strings.Builder
	used := 0
	for {
		set, ok := name.inside(tagSet)
		if !ok {
			return s.String()
		}
		for {
			pair, ok := set.inside(tagSequence)
			if !ok {
				break
			}
			oid, ok := pair.oid()
			if !ok {
				break
			}
			value, _ := pair.next()
			part, length := "/"+shortName(oid)+"=", 0
			text, escaped := valueText(value)
			if length = len(part) + len(text) + escaped; used+length > maxNameText {
				return s.String()
			}
			used += length
			s.WriteString(part + text)
		}
	}
}

// valueText writes a value, and says how many backslashes OpenSSL 3 would add, since
// they count against the length.
func valueText(e element) (string, int) {
	b := e.content
	if e.tag == tagGeneral && len(b)%4 == 0 { // four bytes a character, if the first three never differ
		wide := true
		for i, c := range b {
			wide = wide && (i%4 == 3 || c == 0)
		}
		if wide {
			var narrow []byte
			for i := 3; i < len(b); i += 4 {
				narrow = append(narrow, b[i])
			}
			b = narrow
		}
	}
	var s strings.Builder
	escaped := 0
	for _, c := range b[:min(len(b), maxNameText+1)] { // a longer one is left out anyway
		switch {
		case c < ' ' || c > '~':
			fmt.Fprintf(&s, `\x%02X`, c)
			continue
		case c == '/' || c == '+':
			escaped++
		}
		s.WriteByte(c)
	}
	return s.String(), escaped
}

// shortName gives OpenSSL's short name of a part of a name.
func shortName(oid string) string {
	switch oid {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.4":
		return "SN"
	case "2.5.4.5":
		return "serialNumber"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.9":
		return "street"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "2.5.4.12":
		return "title"
	case "2.5.4.13":
		return "description"
	case "2.5.4.15":
		return "businessCategory"
	case "2.5.4.16":
		return "postalAddress"
	case "2.5.4.17":
		return "postalCode"
	case "2.5.4.18":
		return "postOfficeBox"
	case "2.5.4.20":
		return "telephoneNumber"
	case "2.5.4.41":
		return "name"
	case "2.5.4.42":
		return "GN"
	case "2.5.4.43":
		return "initials"
	case "2.5.4.44":
		return "generationQualifier"
	case "2.5.4.45":
		return "x500UniqueIdentifier"
	case "2.5.4.46":
		return "dnQualifier"
	case "2.5.4.65":
		return "pseudonym"
	case "2.5.4.97":
		return "organizationIdentifier"
	case "1.2.840.113549.1.9.1":
		return "emailAddress"
	case "1.2.840.113549.1.9.2":
		return "unstructuredName"
	case "0.9.2342.19200300.100.1.1":
		return "UID"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "1.3.6.1.4.1.311.60.2.1.1":
		return "jurisdictionL"
	case "1.3.6.1.4.1.311.60.2.1.2":
		return "jurisdictionST"
	case "1.3.6.1.4.1.311.60.2.1.3":
		return "jurisdictionC"
	}
	return oid
}

// longName gives OpenSSL's long name of an algorithm.
func longName(oid string) string {
	switch oid {
	case "1.2.840.113549.2.2":
		return "md2"
	case "1.2.840.113549.2.5":
		return "md5"
	case "1.3.14.3.2.26":
		return "sha1"
	case "2.16.840.1.101.3.4.2.1":
		return "sha256"
	case "2.16.840.1.101.3.4.2.2":
		return "sha384"
	case "2.16.840.1.101.3.4.2.3":
		return "sha512"
	case "1.2.840.113549.1.1.1":
		return "rsaEncryption"
	case "1.2.840.113549.1.1.2":
		return "md2WithRSAEncryption"
	case "1.2.840.113549.1.1.4":
		return "md5WithRSAEncryption"
	case "1.2.840.113549.1.1.5":
		return "sha1WithRSAEncryption"
	case "1.3.14.3.2.29":
		return "sha1WithRSA"
	case "1.2.840.113549.1.1.10":
		return "rsassaPss"
	case "1.2.840.113549.1.1.11":
		return "sha256WithRSAEncryption"
	case "1.2.840.113549.1.1.12":
		return "sha384WithRSAEncryption"
	case "1.2.840.113549.1.1.13":
		return "sha512WithRSAEncryption"
	case "1.2.840.10040.4.3":
		return "dsaWithSHA1"
	case "1.2.840.10045.4.1":
		return "ecdsa-with-SHA1"
	case "1.2.840.10045.4.3.2":
		return "ecdsa-with-SHA256"
	case "1.2.840.10045.4.3.3":
		return "ecdsa-with-SHA384"
	case "1.2.840.10045.4.3.4":
		return "ecdsa-with-SHA512"
	case "1.3.101.112":
		return "ED25519"
	}
	return "undefined"
}

// fileDigest computes the digest that a signature of this file would have: of all up
// to the certificates but the checksum and the certificates' directory.
func (r *signatureReader) fileDigest(algorithm string) (string, bool) {
	if digest, ok := r.digests[algorithm]; ok {
		return digest, true
	}
	p := r.Image
	var h hash.Hash
	switch longName(algorithm) {
	case "md5":
		h = md5.New()
	case "sha1":
		h = sha1.New()
	case "sha256":
		h = sha256.New()
	case "sha384":
		h = sha512.New384()
	case "sha512":
		h = sha512.New()
	default:
		return "", false
	}
	checksum, table := p.nt+24+64, p.directoryAt(DirSecurity)
	end := int64(p.Directory(DirSecurity).VirtualAddress)
	if end < table+8 || end > int64(len(p.data)) {
		return "", false
	}
	h.Write(p.data[:checksum])
	h.Write(p.data[checksum+4 : table])
	h.Write(p.data[table+8 : end])
	r.digests[algorithm] = hex.EncodeToString(h.Sum(nil))
	return r.digests[algorithm], true
}
