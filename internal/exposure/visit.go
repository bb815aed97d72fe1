package exposure

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Header is one line of an answer's head, as it came. A name may stand several
// times. Whoever reads from the network bounds their number and length.
type Header struct{ Name, Value string }

// Answer is one recorded request and what came back: the status line, the head
// and as much of the decoded body as the bounds allow.
type Answer struct {
	Method string // "GET" or "HEAD"
	Path   string // the absolute path that was asked for, without the query
	Status int
	Header []Header
	Body   []byte
	SHA256 string // of the body as received; computed from Body where empty
}

// Get gives the first value of a header, "" if there is none.
func (a *Answer) Get(name string) string {
	for i := range a.Header {
		if strings.EqualFold(a.Header[i].Name, name) {
			return a.Header[i].Value
		}
	}
	return ""
}

// Handshake is what the TLS handshake showed. Certificates are facts, never errors.
type Handshake struct {
	Version     string // "1.2"
	Profile     string // "modern" or "legacy"
	Certificate Certificate
}

// Certificate is the leaf that the host presented.
type Certificate struct {
	SHA256     string   // of the certificate, lower-case hex
	KeySHA256  string   // of the SubjectPublicKeyInfo, lower-case hex
	CommonName string   // of the subject
	Names      []string // DNS names of the subject alternative name
	SelfSigned bool
}

// Network says whose network an address belongs to.
type Network int

// Whether the address is Microsoft's; the zero value says that nobody looked it up.
const (
	NetworkUnknown Network = iota
	NetworkMicrosoft
	NetworkOther
)

// Hint is what the records of an earlier scan say of where a host shows its build. It
// chooses what is asked, and decides nothing about what is concluded.
type Hint uint8

// The closed list of hints.
const (
	HintNone     Hint = iota
	HintManifest      // only the export tool's manifest told more than the line
	HintSignIn        // the build stood where one signs in, and not on the login page
	HintNoTool        // the manifest was refused, so it need not be asked for again in the same line
)

// Visit is all that one look at a target brought home.
type Visit struct {
	Name    string // host name that was asked for, "" if only an address
	Address string
	Answers []Answer
	TLS     *Handshake // nil for plain HTTP
	Network Network
	// Time is when the look began; builds that were not out by then are ruled out. Zero: none is.
	Time time.Time
	// Hint is what an earlier scan found to ask first, and HintLine the line that the host had then.
	Hint     Hint
	HintLine string
	// KnownSince is when an earlier scan, the mail service or the operator last
	// showed an Exchange here; zero if nothing is known.
	KnownSince time.Time
}

// manyNames is the number of names from which on a certificate is taken for one
// that a hoster shares among customers. An organisation's own certificate seldom
// has more than a dozen.
const manyNames = 25

// shared says whether the certificate may stand on hosts of several owners:
// such a one alone never identifies a host.
func (c *Certificate) shared() bool {
	return len(c.Names) >= manyNames || slices.ContainsFunc(append(slices.Clone(c.Names), c.CommonName), func(n string) bool {
		return strings.HasPrefix(n, "*")
	})
}

// DefaultOf gives the server's full name if the certificate looks like the one
// that Exchange's setup makes: self-signed, CN the short name, alternative names
// exactly the short name and the full one.
func (c *Certificate) DefaultOf() string {
	if !c.SelfSigned || c.CommonName == "" || len(c.Names) == 0 || len(c.Names) > 2 || strings.Contains(c.CommonName, ".") {
		return ""
	}
	full := ""
	for _, n := range c.Names {
		switch {
		case strings.EqualFold(n, c.CommonName):
		case len(n) > len(c.CommonName)+1 && strings.EqualFold(n[:len(c.CommonName)], c.CommonName) && n[len(c.CommonName)] == '.':
			full = strings.ToLower(n)
		default:
			return ""
		}
	}
	return full
}

// HostKeys gives the names by which a host can be known again, the strongest
// first, kind before value: internal full name of the health check; front-end
// name with the certificate's names; the name in a default certificate; then one of
// the key, the name that was asked for, the address. A shared certificate is skipped.
// They stand together, the last one always, because a visit asks for no more than
// the build needs: one sees the front end's name and the next one does not.
func HostKeys(frontend, fqdn, name, address string, c *Certificate) []string {
	var keys []string
	frontend = strings.ToUpper(frontend)
	own := c != nil && !c.shared()
	if strings.Contains(fqdn, ".") {
		keys = append(keys, "fqdn:"+strings.ToLower(fqdn))
	}
	if own && frontend != "" && len(c.Names) > 0 {
		keys = append(keys, "frontend:"+frontend+"+"+hashNames(c.Names))
	}
	if own && c.DefaultOf() != "" {
		keys = append(keys, "default:"+c.DefaultOf())
	}
	last := "address:" + address
	switch {
	case own && c.KeySHA256 != "":
		last = "key:" + c.KeySHA256
	case name != "":
		last = "name:" + strings.ToLower(name)
	}
	if len(keys) == 0 && frontend != "" {
		keys = append(keys, last+"+"+frontend) // several front ends may share one key, name or address
	}
	return append(keys, last)
}

// hashNames gives a short name for a set of names, whatever their order and case.
func hashNames(names []string) string {
	set := make([]string, len(names))
	for i, n := range names {
		set[i] = strings.ToLower(n)
	}
	slices.Sort(set)
	h := sha256.New()
	for _, n := range slices.Compact(set) {
		h.Write([]byte(n))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
