// Package exposure holds the nouns of the river that looks at hosts from
// outside: what was sent and came back (a Visit of Answers), and what one look
// at one target says (an Observation).
//
// Purpose: one vocabulary for scope, probe, fingerprint and assess. Input and
// output: the JSON lines of docs/formats/exposure.md, schema postern.exposure/1.
// Units: times are UTC, builds are integer tuples, bytes are bytes on the wire.
// The package decides nothing and opens nothing.
package exposure

import (
	"encoding/json"
	"slices"
	"time"

	"postern"
)

// Schema names the contract of the record.
const Schema = "postern.exposure/1"

// Outcome is how the look at a target ended. Every target has exactly one.
type Outcome string

// The closed list of outcomes.
const (
	Exchange    Outcome = "exchange"
	NotExchange Outcome = "not-exchange"
	Cloud       Outcome = "cloud"     // Microsoft's own service: not a target, not counted
	Imitation   Outcome = "imitation" // two or more signs of a trap or a copied profile: kept apart from statistics
	Hidden      Outcome = "hidden"    // present, or present before, but shut away: never counted as patched
	Refused     Outcome = "refused"
	Reset       Outcome = "reset"
	Timeout     Outcome = "timeout"
	TLSError    Outcome = "tls-error"
	DNSError    Outcome = "dns-error"
	OutOfScope  Outcome = "out-of-scope"
	OptedOut    Outcome = "opted-out"
	Aborted     Outcome = "aborted"
)

// KnownBefore is the reason of a hidden host for which only an earlier sighting speaks:
// no answer of this visit shows an Exchange.
const KnownBefore = "exposure.reason.hidden-since"

// Outcomes gives the closed list.
func Outcomes() []Outcome {
	return []Outcome{Exchange, NotExchange, Cloud, Imitation, Hidden, Refused, Reset, Timeout,
		TLSError, DNSError, OutOfScope, OptedOut, Aborted}
}

// Valid says whether o is in the closed list.
func (o Outcome) Valid() bool { return slices.Contains(Outcomes(), o) }

// Title names the outcome for people.
//
// catalogue: exposure.outcome.*
func (o Outcome) Title() postern.Text { return postern.Say("exposure.outcome." + string(o)) }

// Answered says whether HTTP answers stand behind the outcome, so that the
// evidence can be read again with newer data.
func (o Outcome) Answered() bool {
	switch o {
	case Exchange, NotExchange, Cloud, Imitation, Hidden:
		return true
	}
	return false
}

// Flag is a word for something odd or noteworthy that the interval cannot say.
type Flag string

// The flags that this version writes; readers must accept others.
const (
	HeadersRewritten   Flag = "headers-rewritten"      // zero-padded version: a proxy rule wrote the headers
	SuspectedImitation Flag = "suspected-imitation"    // at least one sign of a trap
	CloudProfileCopied Flag = "cloud-profile-copied"   // cloud headers from a place that is not the cloud
	LoadBalanced       Flag = "load-balanced"          // several front ends answered behind one name
	BehindProxy        Flag = "behind-proxy"           // a device's cookie or Server header
	Hybrid             Flag = "hybrid"                 // the host also serves a cloud tenant
	PreAuthentication  Flag = "pre-authentication"     // a gateway asks for a sign-in before Exchange
	BrokenOWA          Flag = "broken-owa"             // redirects to its own error page
	Contradiction      Flag = "contradicting-evidence" // evidence of one front end cannot all be true
	HeaderTooOld       Flag = "header-too-old"         // a version header with a build that never wrote one
	NewerThanData      Flag = "newer-than-data"        // build above all that the build table knows in its line
	UnlistedLine       Flag = "unlisted-line"          // CU line that the build table does not know
	ImpossiblePair     Flag = "impossible-pair"        // this Exchange does not run on that IIS
	NoVersionHeader    Flag = "no-version-header"      // direct answer without the header: most likely before July 2021
	OWAContentPolicy   Flag = "owa-content-policy"     // the page carries the policy header of mitigation M2.1
)

// Range is the interval of released builds that the evidence leaves, all of one
// CU line. All zero: nothing is known. Exact is set if one build is left and no
// evidence contradicts it. High may stand above the build table: see NewerThanData.
type Range struct {
	Exact postern.Build `json:"exact"`
	Low   postern.Build `json:"low"`
	High  postern.Build `json:"high"`
}

// IsZero says whether nothing is known.
func (r Range) IsZero() bool { return r == Range{} }

// Identity is what makes a host the same host at another address or time.
type Identity struct {
	Frontend          string `json:"frontend"` // NetBIOS name from X-FEServer
	FQDN              string `json:"fqdn"`     // internal name from the health check, lower case
	CertificateSHA256 string `json:"certificate_sha256"`
	KeySHA256         string `json:"key_sha256"`
	// Host is the strongest of the above in one word, kind first: "fqdn:ex01.alpha.local".
	Host string `json:"host,omitempty"`
	// Also is its other strong names: an earlier visit may have seen only one of them.
	Also []string `json:"also,omitempty"`
	// Tenant is the cloud tenant of a hybrid host, for finding its contact.
	Tenant string `json:"tenant,omitempty"`
}

// TLS is how the handshake went.
type TLS struct {
	Version string `json:"version"` // "1.2"
	Profile string `json:"profile"` // "modern" or "legacy"
}

// Evidence is one fact read from one answer. What is a word of the small grammar
// in docs/formats/exposure.md, so that a stored record can be read again.
type Evidence struct {
	Request string `json:"request"` // "GET /owa/auth/logon.aspx"
	Status  int    `json:"status"`
	What    string `json:"what"`
	SHA256  string `json:"sha256,omitempty"` // of the body as it was received and cut
}

// Member is one of several front ends behind one name.
type Member struct {
	Frontend string                        `json:"frontend"`
	FQDN     string                        `json:"fqdn,omitempty"`
	Host     string                        `json:"host,omitempty"`
	Product  string                        `json:"product"`
	Line     string                        `json:"line"`
	Build    Range                         `json:"build"`
	Assessed map[string]postern.Assessment `json:"assessments,omitempty"`
}

// Explanation says why CVEs are assessed as they are and what to do, once for
// all CVEs with the same answer.
type Explanation struct {
	CVEs   []string `json:"cve"`
	Reason string   `json:"reason"`
	Advice string   `json:"advice,omitempty"`

	Why postern.Text `json:"-"`
	Do  postern.Text `json:"-"`
}

// Observation is a dated sighting of one target: one line of the output.
type Observation struct {
	Schema   string                        `json:"schema"`
	Target   string                        `json:"target"` // as the target list wrote it
	Address  string                        `json:"address"`
	Port     int                           `json:"port"`
	Name     string                        `json:"name"` // host name for SNI and Host, "" if none
	Time     time.Time                     `json:"time"`
	Outcome  Outcome                       `json:"outcome"`
	Product  string                        `json:"product"` // "exchange-2019"
	Line     string                        `json:"line"`    // "CU9"
	Build    Range                         `json:"build"`
	Assessed map[string]postern.Assessment `json:"assessments"`
	Identity Identity                      `json:"identity"`
	TLS      TLS                           `json:"tls"`
	Flags    []Flag                        `json:"flags"`
	Reason   string                        `json:"reason"`
	Evidence []Evidence                    `json:"evidence"`
	Requests int                           `json:"requests"`
	Bytes    int64                         `json:"bytes"`

	// Additions to the first form of the contract; absent when empty.
	Members  []Member      `json:"members,omitempty"`
	Explain  []Explanation `json:"explain,omitempty"`
	Scope    string        `json:"scope,omitempty"` // label of the scope file: series of other scope do not mix
	ASN      uint32        `json:"asn,omitempty"`
	Country  string        `json:"country,omitempty"`
	Sector   string        `json:"sector,omitempty"`
	Operator string        `json:"operator,omitempty"` // who runs the host, where known

	// Why is Reason before it was put into a language.
	Why postern.Text `json:"-"`
}

// Has says whether the observation carries a flag.
func (o *Observation) Has(f Flag) bool { return slices.Contains(o.Flags, f) }

// Say puts the sentences of the observation into the reader's language. What has
// no text, such as a reason read from a file, stays as it is.
func (o *Observation) Say(l postern.Localizer) {
	if !o.Why.IsZero() {
		o.Reason = l.Say(o.Why)
	}
	for i := range o.Explain {
		e := &o.Explain[i]
		if !e.Why.IsZero() {
			e.Reason = l.Say(e.Why)
		}
		if !e.Do.IsZero() {
			e.Advice = l.Say(e.Do)
		}
	}
}

// MarshalJSON writes the contract: empty lists as [] and {}, never null.
func (o Observation) MarshalJSON() ([]byte, error) { return json.Marshal(o.plain()) }
