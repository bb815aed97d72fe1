// Package bundle is the form of a sealed bundle of evidence: who writes one
// (respond) and who reads one (hunt, custody) both lean on it, and it on nobody.
//
// A bundle is one tar file whose members, called parts, come in a fixed order:
// a header, segments of packed and encrypted files with a list of each, the log
// of custody, the seal, and its signature. docs/formats/bundle.md has every byte.
// Each segment is tar in zstd (RFC 8878) in age (age-encryption.org/v1), so that
// tar, age and zstd open a bundle where postern is not at hand.
//
// Input of the reading half: a hostile file at any offset. Output: the parts that
// lie in it and every [Damage] to its frame. The frame of a bundle has one
// possible form for each list of parts, so that no bit of it can change unseen.
// Sizes are bytes; times are UTC.
package bundle

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The schemas of the parts that are read alone.
const (
	Schema     = "postern.bundle/1"
	SealSchema = "postern.seal/1"
)

// The parts of a bundle besides its segments, in their order.
const (
	HeaderPart    = "postern-bundle.json"
	CustodyPart   = "custody.jsonl"
	SealPart      = "seal.json"
	TimestampPart = "seal.tsr" // only if a time stamp was asked for
	SignaturePart = "seal.sig"
)

const (
	segmentFolder = "segments/"
	dataSuffix    = ".tar.zst.age"
	listSuffix    = ".list.zst.age"
	segmentDigits = 5
	// MaxSegments is what five digits number: 6 TB at the size that is written.
	MaxSegments = 99_999
)

// DataPart and ListPart name the two parts of a segment, counted from 1.
func DataPart(n int) string { return fmt.Sprintf("%s%05d%s", segmentFolder, n, dataSuffix) }

// ListPart names the list of what is in a segment.
func ListPart(n int) string { return fmt.Sprintf("%s%05d%s", segmentFolder, n, listSuffix) }

// SegmentOf gives the number of the segment that a part belongs to, 0 if to none,
// and whether the part is the list of it.
func SegmentOf(part string) (n int, list bool) {
	digits, ok := strings.CutPrefix(part, segmentFolder)
	if !ok || len(digits) < segmentDigits {
		return 0, false
	}
	n, err := strconv.Atoi(digits[:segmentDigits])
	if err != nil || n < 1 {
		return 0, false
	}
	switch part {
	case DataPart(n):
		return n, false
	case ListPart(n):
		return n, true
	}
	return 0, false
}

// Header opens a bundle. It is readable without any key.
type Header struct {
	Schema     string    `json:"schema"`
	ID         string    `json:"id"` // random, the same in header, custody and seal
	Created    time.Time `json:"created"`
	Tool       string    `json:"tool"`
	Version    string    `json:"version"`
	Recipients []string  `json:"recipients"` // public keys of who can open it
	// Servers are proofs of what the servers are called that the evidence is of, see
	// [ServerProof]; none if nobody knew, and in bundles of earlier versions.
	Servers []string `json:"servers,omitempty"`
}

// Member is one line of a list: a file that lies in the segment, or one that was
// to be preserved and was not.
type Member struct {
	Path  string `json:"path"`          // below the root, with '/'
	Raw   []byte `json:"raw,omitempty"` // the bytes of the name if they are not UTF-8
	Class string `json:"class"`

	// What lies in the segment; SHA256 is "" if nothing does.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	Offset int64  `json:"offset"` // of its first byte in the unpacked segment

	Modified   *time.Time `json:"modified,omitempty"`
	Accessed   *time.Time `json:"accessed,omitempty"`
	Changed    *time.Time `json:"changed,omitempty"` // of the inode
	Created    *time.Time `json:"created,omitempty"`
	Mode       string     `json:"mode,omitempty"`
	Owner      string     `json:"owner,omitempty"` // uid or SID
	Group      string     `json:"group,omitempty"`
	Attributes string     `json:"attributes,omitempty"` // of Windows, hexadecimal

	Problem Trouble `json:"problem,omitempty"`
	Detail  string  `json:"detail,omitempty"`
}

// Trouble says why a file is not in the bundle, or not as it was.
type Trouble string

// The closed list of troubles.
const (
	Locked     Trouble = "locked"     // another program holds it
	Denied     Trouble = "denied"     // the system does not let us
	Vanished   Trouble = "vanished"   // it was there when the plan was made
	Unreadable Trouble = "unreadable" // anything else that kept it from being opened
	Link       Trouble = "link"       // a link within the root, recorded and not followed, or to nothing
	LinkOut    Trouble = "link-out"   // one that leads out of the root: what it leads to is not there
	Special    Trouble = "special"    // a device, pipe or socket
	TooDeep    Trouble = "too-deep"   // a folder below the bound on depth
	NotFound   Trouble = "not-found"  // a hunt names it and it is not here
	Broken     Trouble = "read-error" // in part: reading failed, zeros stand for the rest
	Shrank     Trouble = "shrank"     // in part: it became shorter, zeros stand for the rest
	Grew       Trouble = "grew"       // whole as it was when it was opened
	Altered    Trouble = "altered"    // it was written to while it was read
)

// Stored says whether the file lies in the segment.
func (m *Member) Stored() bool { return m.SHA256 != "" }

// Lossless says whether all of what was to be preserved is there all the same. What a
// link within the root leads to is there under its own name, and a log that grows was
// whole when it was opened.
func (t Trouble) Lossless() bool { return t == "" || t == Grew || t == Link }

// Entry is one line of the log of custody. Prev is the SHA-256 of the line before
// it, without its line feed, and of nothing for the first.
type Entry struct {
	N       int       `json:"n"`
	Time    time.Time `json:"time"`
	Action  string    `json:"action"`
	Bundle  string    `json:"bundle"`
	Who     string    `json:"who"`
	Host    string    `json:"host"`
	Tool    string    `json:"tool"`
	Version string    `json:"version"`
	System  string    `json:"system"`
	// ClockOffset is the clock of the host minus true time, absent if nobody said.
	ClockOffset *float64 `json:"clock_offset_seconds,omitempty"`
	Note        string   `json:"note,omitempty"`
	Prev        string   `json:"prev"`
}

// Seal says what a whole bundle consists of.
type Seal struct {
	Schema   string            `json:"schema"`
	Bundle   string            `json:"bundle"`
	Time     time.Time         `json:"time"`
	Parts    []SealedPart      `json:"parts"`
	Custody  string            `json:"custody"` // SHA-256 of the last line of the log
	Files    int64             `json:"files"`
	Bytes    int64             `json:"bytes"`
	Troubles map[Trouble]int64 `json:"troubles,omitempty"`
}

// SealedPart is a part as it was when the bundle was sealed.
type SealedPart struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Signature is the last part. Its JSON has one possible form, which is compared.
type Signature struct {
	Algorithm string `json:"algorithm"` // "ed25519"
	PublicKey string `json:"public_key"`
	Seal      string `json:"seal"`                // SHA-256 of the part seal.json
	Timestamp string `json:"timestamp,omitempty"` // SHA-256 of the part seal.tsr
	Signature string `json:"signature"`
}

// message is what is signed.
func (s *Signature) message() []byte {
	stamp := s.Timestamp
	if stamp == "" {
		stamp = "-"
	}
	return []byte(Schema + "\n" + s.Seal + "\n" + stamp + "\n")
}

// Sign makes the last part for a seal and its time stamp, which may be nil.
func Sign(key ed25519.PrivateKey, seal, stamp []byte) *Signature {
	s := &Signature{Algorithm: "ed25519", PublicKey: PublicKey(key.Public().(ed25519.PublicKey)), Seal: Hash(seal)}
	if stamp != nil {
		s.Timestamp = Hash(stamp)
	}
	s.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, s.message()))
	return s
}

// Valid says whether the signature is that of its public key over what it names.
func (s *Signature) Valid() bool {
	key, ok := decode(s.PublicKey)
	if !ok || len(key) != ed25519.PublicKeySize || s.Algorithm != "ed25519" {
		return false
	}
	sig, ok := decode(s.Signature)
	return ok && ed25519.Verify(key, s.message(), sig)
}

// decode reads base64 in its one form: the last character has bits that stand for
// nothing, and a change to them has to show as well.
func decode(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	return b, err == nil && base64.StdEncoding.EncodeToString(b) == s
}

// PublicKey is the text of a public key: base64 of its 32 bytes.
func PublicKey(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

// Hash is the SHA-256 of bytes as it stands in a bundle.
func Hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Encode writes a part that is JSON: one line.
func Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append(b, '\n'), nil
}
