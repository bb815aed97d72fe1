// Package custody is the part of the response that says whether a bundle is still
// what it was when it was sealed, and if not, where.
//
// Input: a bundle (docs/formats/bundle.md), the public key that is expected to have
// signed it if known, and identities that open it if there are any. Output: a
// [Report] that names every part, and with an identity every file, that is not as
// it was. Without an identity all bytes of the bundle are checked; with one also
// that each file in it is the one of the list.
//
// Nothing is written, and memory does not grow with the bundle.
package custody

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"

	"postern/internal/bundle"
)

// Options say what to hold a bundle against.
type Options struct {
	Signer     string         // public key that must have signed; "" for any
	Identities []age.Identity // open the bundle; without any its files are not looked at
	Stamp      func(token []byte, digest [sha256.Size]byte) (Stamp, error)
}

// Stamp is what a time stamp says.
type Stamp struct {
	Time   time.Time `json:"time"`
	Issuer string    `json:"issuer"`
	// Trusted says that its certificate leads to one that was given as trusted.
	Trusted bool `json:"trusted"`
}

// Damage is a place that is not as it must be, with the files that it concerns.
type Damage struct {
	bundle.Damage
	// Files are those of the damaged segment whose bytes are not proved any more, if
	// its list could be read; the first maxNamed of Count.
	Files []string
	Count int
}

// maxNamed bounds the files that are named for one damaged segment.
const maxNamed = 100

// maxDamages bounds the damages that are named. A bundle that is all zeros from the
// middle has one for each segment.
const maxDamages = 10_000

// Report is what a check found.
type Report struct {
	Header    *bundle.Header // nil if it could not be read
	Seal      *bundle.Seal
	Signature *bundle.Signature
	Stamp     *Stamp
	Custody   []bundle.Entry
	Sealed    bool // the bundle has an end and a signature
	Opened    bool // the files were looked at, not only the parts
	Files     int64
	Bytes     int64
	Damages   []Damage
	Omitted   int // damages beyond the bound
}

// Sound says whether the bundle is whole and as it was sealed.
func (r *Report) Sound() bool { return r.Sealed && len(r.Damages) == 0 }

// Verify checks a bundle of a size. The error is [bundle.ErrNotBundle], one of
// reading, or that of the context; damage is in the report.
func Verify(ctx context.Context, in io.ReaderAt, size int64, opt Options) (*Report, error) {
	b, err := bundle.Open(in, size)
	if err != nil {
		return nil, err
	}
	v := &verifier{ctx: ctx, b: b, opt: opt, r: new(Report), bad: make(map[string]bool)}
	for _, d := range b.Damages {
		v.damage(d)
	}
	if err := v.run(); err != nil {
		return nil, err
	}
	return v.r, nil
}

type verifier struct {
	ctx context.Context
	b   *bundle.Bundle
	opt Options
	r   *Report
	bad map[string]bool // parts that have a damage
}

func (v *verifier) damage(d bundle.Damage) {
	v.bad[d.Part] = true
	if len(v.r.Damages) == maxDamages {
		v.r.Omitted++
		return
	}
	v.r.Damages = append(v.r.Damages, Damage{Damage: d})
}

// flaw notes a damage of a whole part.
func (v *verifier) flaw(part string, what bundle.Flaw, err error) {
	d := bundle.Damage{Part: part, Offset: -1, What: what}
	if p, ok := v.b.Part(part); ok {
		d.Offset = p.Offset
	}
	if err != nil {
		d.Detail = err.Error()
	}
	v.damage(d)
}

func (v *verifier) run() error {
	seal, err := v.sealed()
	if err != nil {
		return err
	}
	if err := v.header(); err != nil {
		return err
	}
	if seal != nil {
		if err := v.parts(seal); err != nil {
			return err
		}
	}
	if err := v.chain(seal); err != nil {
		return err
	}
	if len(v.opt.Identities) > 0 {
		return v.files()
	}
	return nil
}

// bytes reads a small part; nil if it is not there or too large.
func (v *verifier) bytes(name string) ([]byte, error) {
	p, ok := v.b.Part(name)
	if !ok {
		return nil, nil
	}
	b, err := v.b.Bytes(p)
	if errors.Is(err, bundle.ErrTooLarge) {
		v.flaw(name, bundle.Malformed, err)
		return nil, nil
	}
	return b, err
}

// sealed checks seal, time stamp and signature against one another, so that the one
// that changed is named. It gives the seal if it is the signed one.
func (v *verifier) sealed() (*bundle.Seal, error) {
	sealed, err := v.bytes(bundle.SealPart)
	if err != nil {
		return nil, err
	}
	stamp, err := v.bytes(bundle.TimestampPart)
	if err != nil {
		return nil, err
	}
	signed, err := v.bytes(bundle.SignaturePart)
	if err != nil {
		return nil, err
	}
	if sealed == nil && signed == nil {
		return nil, nil // never sealed, or cut: the end is missing as well
	}
	v.r.Sealed = v.b.Whole
	sig := v.signature(signed)
	whole := sig != nil
	if sig != nil {
		v.r.Signature = sig
		switch {
		case sealed == nil:
			v.flaw(bundle.SealPart, bundle.Missing, nil)
			whole = false
		case bundle.Hash(sealed) != sig.Seal:
			v.flaw(bundle.SealPart, bundle.Changed, nil)
			whole = false
		}
		switch {
		case stamp == nil && sig.Timestamp != "":
			v.flaw(bundle.TimestampPart, bundle.Missing, nil)
		case stamp != nil && sig.Timestamp == "":
			v.flaw(bundle.TimestampPart, bundle.Foreign, nil)
		case stamp != nil && bundle.Hash(stamp) != sig.Timestamp:
			v.flaw(bundle.TimestampPart, bundle.Changed, nil)
		}
		if v.opt.Signer != "" && sig.PublicKey != v.opt.Signer {
			v.flaw(bundle.SignaturePart, bundle.OtherKey, nil)
		}
	}
	if sealed == nil {
		return nil, nil
	}
	var seal bundle.Seal
	if err := json.Unmarshal(sealed, &seal); err != nil || seal.Schema != bundle.SealSchema || len(seal.Parts) > bundle.MaxParts {
		if whole || sig == nil {
			v.flaw(bundle.SealPart, bundle.Malformed, err)
		}
		return nil, nil
	}
	v.r.Seal = &seal
	v.stamped(stamp, sealed)
	return &seal, nil
}

// signature reads the last part; nil if it is not one that is valid.
func (v *verifier) signature(b []byte) *bundle.Signature {
	if b == nil {
		v.flaw(bundle.SignaturePart, bundle.Missing, nil)
		return nil
	}
	var s bundle.Signature
	err := json.Unmarshal(b, &s)
	again, _ := bundle.Encode(&s)
	switch {
	case err != nil, !bytes.Equal(again, b):
		v.flaw(bundle.SignaturePart, bundle.Malformed, err)
		return nil
	case !s.Valid():
		v.flaw(bundle.SignaturePart, bundle.BadSeal, nil)
		return nil
	}
	return &s
}

func (v *verifier) stamped(stamp, sealed []byte) {
	if stamp == nil || v.opt.Stamp == nil || v.bad[bundle.TimestampPart] || v.bad[bundle.SealPart] {
		return
	}
	s, err := v.opt.Stamp(stamp, sha256.Sum256(sealed))
	if err != nil {
		v.flaw(bundle.TimestampPart, bundle.BadStamp, err)
		return
	}
	v.r.Stamp = &s
}

func (v *verifier) header() error {
	b, err := v.bytes(bundle.HeaderPart)
	if err != nil || b == nil {
		return err
	}
	var h bundle.Header
	if err := json.Unmarshal(b, &h); err != nil || h.Schema != bundle.Schema {
		v.flaw(bundle.HeaderPart, bundle.Malformed, err)
		return nil
	}
	v.r.Header = &h
	return nil
}

// parts compares every part with the seal.
func (v *verifier) parts(seal *bundle.Seal) error {
	at := make(map[string]bundle.Part, len(v.b.Parts))
	for _, p := range v.b.Parts {
		if _, twice := at[p.Name]; twice {
			v.damage(bundle.Damage{Part: p.Name, Offset: p.Offset, What: bundle.Foreign})
			continue
		}
		at[p.Name] = p
	}
	sealed := map[string]bool{bundle.SealPart: true, bundle.TimestampPart: true, bundle.SignaturePart: true}
	buf := make([]byte, 256<<10)
	for _, want := range seal.Parts {
		sealed[want.Name] = true
		p, ok := at[want.Name]
		switch {
		case !ok && v.bad[want.Name]: // its header is the damage
			continue
		case !ok:
			v.flaw(want.Name, bundle.Missing, nil)
			continue
		}
		sum, err := v.hash(p, buf)
		if err != nil {
			return err
		}
		if p.Size != want.Size || sum != want.SHA256 {
			v.flaw(want.Name, bundle.Changed, nil)
		}
	}
	for _, p := range v.b.Parts {
		if !sealed[p.Name] {
			v.damage(bundle.Damage{Part: p.Name, Offset: p.Offset, What: bundle.Foreign})
		}
	}
	if v.r.Header != nil && v.r.Header.ID != seal.Bundle {
		v.flaw(bundle.HeaderPart, bundle.Foreign, nil)
	}
	return nil
}

func (v *verifier) hash(p bundle.Part, buf []byte) (string, error) {
	h := sha256.New()
	r := v.b.Reader(p)
	for {
		if err := v.ctx.Err(); err != nil {
			return "", err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", fmt.Errorf("read %s: %w", p.Name, err)
		}
	}
}

// chain checks that each line of custody follows from the one before.
func (v *verifier) chain(seal *bundle.Seal) error {
	b, err := v.bytes(bundle.CustodyPart)
	if err != nil || b == nil {
		return err
	}
	prev := ""
	for line := range bytes.Lines(b) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		var e bundle.Entry
		err := json.Unmarshal(line, &e)
		switch {
		case err != nil, e.N != len(v.r.Custody)+1, e.Prev != prev, seal != nil && e.Bundle != seal.Bundle:
			if !v.bad[bundle.CustodyPart] {
				v.flaw(bundle.CustodyPart, bundle.BadChain, fmt.Errorf("line %d", len(v.r.Custody)+1))
			}
			return nil
		}
		prev = bundle.Hash(line)
		v.r.Custody = append(v.r.Custody, e)
	}
	if seal != nil && prev != seal.Custody && !v.bad[bundle.CustodyPart] {
		v.flaw(bundle.CustodyPart, bundle.BadChain, nil)
	}
	return nil
}

// files opens every segment and compares each file with the list.
func (v *verifier) files() error {
	v.r.Opened = true
	for _, p := range slices.Clone(v.b.Parts) {
		n, list := bundle.SegmentOf(p.Name)
		if n == 0 || !list {
			continue
		}
		if err := v.segment(n, p); err != nil {
			return err
		}
	}
	// The list of a segment may be what is damaged.
	for _, p := range v.b.Parts {
		if n, list := bundle.SegmentOf(p.Name); n > 0 && !list {
			if _, ok := v.b.Part(bundle.ListPart(n)); !ok && !v.bad[bundle.ListPart(n)] {
				v.flaw(bundle.ListPart(n), bundle.Missing, nil)
			}
		}
	}
	return nil
}

// maxTail bounds what may follow the last file of a segment: the end of a tar file is
// two blocks of zeros, and writers fill up to a record.
const maxTail = 1 << 20

func (v *verifier) segment(n int, list bundle.Part) error {
	var members []bundle.Member
	r, err := bundle.Unseal(v.b.Reader(list), v.opt.Identities)
	if errors.Is(err, bundle.ErrNoKey) {
		return err
	}
	if err == nil {
		err = bundle.ReadList(r, func(m bundle.Member) error {
			if m.Stored() {
				members = append(members, m)
			}
			return v.ctx.Err()
		})
		err = errors.Join(err, r.Close())
	}
	if v.ctx.Err() != nil {
		return v.ctx.Err()
	}
	if err != nil && !v.bad[list.Name] {
		v.flaw(list.Name, bundle.Undecoded, err)
	}
	data, ok := v.b.Part(bundle.DataPart(n))
	if !ok {
		v.name(bundle.DataPart(n), members)
		return nil
	}
	good, err := v.compare(data, members)
	if v.ctx.Err() != nil {
		return v.ctx.Err()
	}
	if err != nil && !v.bad[data.Name] {
		what := bundle.Undecoded
		if errors.Is(err, errDiffers) {
			what = bundle.BadMember
		}
		v.flaw(data.Name, what, err)
	}
	v.name(data.Name, members[good:])
	return nil
}

var errDiffers = errors.New("not as the list says")

// compare reads a segment and gives how many files, from the first on, are as their
// list says.
func (v *verifier) compare(data bundle.Part, members []bundle.Member) (good int, err error) {
	defer func() {
		if p := recover(); p != nil { // of a decoder, on hostile bytes
			err = fmt.Errorf("decoder: %v", p)
		}
	}()
	r, err := bundle.Unseal(v.b.Reader(data), v.opt.Identities)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	files := tar.NewReader(r)
	buf := make([]byte, 256<<10)
	for _, m := range members {
		if err := v.ctx.Err(); err != nil {
			return good, err
		}
		h, err := files.Next()
		if err != nil {
			return good, err
		}
		if h.Name != m.Path || h.Size != m.Size {
			return good, fmt.Errorf("%s: %w", m.Path, errDiffers)
		}
		sum := sha256.New()
		n, err := io.CopyBuffer(sum, struct{ io.Reader }{files}, buf)
		if err != nil {
			return good, err
		}
		if n != m.Size || hex.EncodeToString(sum.Sum(nil)) != m.SHA256 {
			return good, fmt.Errorf("%s: %w", m.Path, errDiffers)
		}
		good++
		v.r.Files++
		v.r.Bytes += n
	}
	if _, err := files.Next(); err != io.EOF {
		if err == nil {
			err = errDiffers
		}
		return good, err
	}
	// To the end, so that the last bytes are checked, too.
	n, err := io.Copy(io.Discard, io.LimitReader(r, maxTail+1))
	if err == nil && n > maxTail {
		err = errDiffers
	}
	return good, err
}

// name puts the files that are not proved to the damage of their segment.
func (v *verifier) name(part string, members []bundle.Member) {
	if len(members) == 0 {
		return
	}
	for i := range v.r.Damages {
		d := &v.r.Damages[i]
		if d.Part != part || d.Count > 0 {
			continue
		}
		d.Count = len(members)
		for _, m := range members[:min(len(members), maxNamed)] {
			d.Files = append(d.Files, m.Path)
		}
		return
	}
}
