package scope

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern"
	"postern/internal/exposure"
)

// Bounds of an opt-out list.
const (
	maxOptOuts = 64 << 20 // bytes: about three million lines
	maxLine    = 1024
	watchEvery = 200 * time.Millisecond // well below the second that is promised
)

// OptOut is who does not want to be contacted: by address, network, AS, name or
// certificate. It only grows while a scan runs: a file that is just being written
// must not let anybody back in. It is safe for use by several goroutines.
type OptOut struct {
	path string

	mu       sync.RWMutex
	networks []netip.Prefix
	ranges   ranges
	names    names
	asn      map[uint32]bool
	keys     map[[32]byte]bool // SHA-256 of a certificate or of its key
	size     int64
	modified time.Time
	file     os.FileInfo
}

// BadOptOut is a line of an opt-out list that says nothing known. Whoever wrote it
// wanted to be left alone, so it must not be skipped in silence.
type BadOptOut struct {
	Line int
	Text string
}

func (b *BadOptOut) Error() string { return fmt.Sprintf("line %d: %q", b.Line, b.Text) }

// OpenOptOut reads an opt-out list. A line that is none is a *[BadOptOut].
func OpenOptOut(path string) (*OptOut, error) {
	o := &OptOut{path: path}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	bad, err := o.load(info)
	if err != nil {
		return nil, err
	}
	if len(bad) > 0 {
		return nil, bad[0]
	}
	return o, nil
}

// Watch looks after the file until the context ends. After every change it calls
// changed with the lines that it could not read and the error of reading the file.
func (o *OptOut) Watch(ctx context.Context, changed func(bad []*BadOptOut, err error)) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	missing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		info, err := os.Stat(o.path)
		if err != nil {
			if !missing {
				changed(nil, err)
			}
			missing = true
			continue
		}
		missing = false
		if info.Size() == o.size && info.ModTime().Equal(o.modified) && os.SameFile(info, o.file) {
			continue
		}
		changed(o.load(info))
	}
}

// load adds the lines of the file. It is called by one goroutine at a time.
func (o *OptOut) load(info os.FileInfo) ([]*BadOptOut, error) {
	f, err := os.Open(o.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Taken before reading: a later change is seen again.
	o.size, o.modified, o.file = info.Size(), info.ModTime(), info
	return o.Read(f)
}

// Read adds the lines of a list and gives those that it could not read.
func (o *OptOut) Read(r io.Reader) ([]*BadOptOut, error) {
	var more OptOut
	var bad []*BadOptOut
	limited := &io.LimitedReader{R: r, N: maxOptOuts + 1}
	br := bufio.NewReaderSize(limited, maxLine)
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		cut := errors.Is(err, bufio.ErrBufferFull)
		text := string(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = br.ReadSlice('\n')
		}
		text, _, _ = strings.Cut(text, "#")
		if text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")); text != "" && (!more.add(text) || cut) {
			bad = append(bad, &BadOptOut{n, show(text)})
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return bad, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.merge(&more)
	if limited.N == 0 {
		return bad, fmt.Errorf("longer than %d bytes", maxOptOuts)
	}
	return bad, nil
}

// add takes one line.
func (o *OptOut) add(s string) bool {
	if p, err := ParseNetwork(s); err == nil {
		o.networks = append(o.networks, p)
		return true
	}
	if len(s) > 2 && strings.EqualFold(s[:2], "as") {
		if n, err := strconv.ParseUint(s[2:], 10, 32); err == nil {
			if o.asn == nil {
				o.asn = map[uint32]bool{}
			}
			o.asn[uint32(n)] = true
			return true
		}
	}
	if sum, ok := fingerprint(s); ok {
		if o.keys == nil {
			o.keys = map[[32]byte]bool{}
		}
		o.keys[sum] = true
		return true
	}
	return o.names.add(s)
}

// fingerprint reads a SHA-256: hex digits, with or without colons and "sha256:".
func fingerprint(s string) (sum [32]byte, ok bool) {
	if len(s) > 7 && strings.EqualFold(s[:7], "sha256:") {
		s = s[7:]
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	return [32]byte(append(b, make([]byte, 32)...)), err == nil && len(b) == 32
}

// merge adds another list.
func (o *OptOut) merge(more *OptOut) {
	o.networks = append(o.networks, more.networks...)
	o.ranges = newRanges(o.networks)
	// The merged ranges stand for all that was read, so that a file that is saved a
	// thousand times does not fill the memory.
	o.networks = o.networks[:0]
	for _, s := range o.ranges {
		o.networks = append(o.networks, cover(s)...)
	}
	for _, n := range more.names.sorted() {
		o.names.add(n)
	}
	for n := range more.asn {
		if o.asn == nil {
			o.asn = map[uint32]bool{}
		}
		o.asn[n] = true
	}
	for k := range more.keys {
		if o.keys == nil {
			o.keys = map[[32]byte]bool{}
		}
		o.keys[k] = true
	}
}

// cover gives networks that make up exactly the span.
func cover(s span) []netip.Prefix {
	var list []netip.Prefix
	for from := s.from; ; {
		bits := from.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(from, bits-1)
			if wider.Masked().Addr() != from || last(wider).Compare(s.to) > 0 {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(from, bits)
		list = append(list, p)
		end := last(p)
		if end == s.to || !end.Next().IsValid() {
			return list
		}
		from = end.Next()
	}
}

// place says whether a place has opted out, and as what.
func (o *OptOut) place(p exposure.Place) *exposure.Stop {
	if o == nil {
		return nil
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	switch {
	case p.Address.IsValid() && o.ranges.contains(p.Address.Unmap()):
		return optedOut(postern.Say("exposure.stop.optout-address"))
	case p.Name != "" && o.names.contains(p.Name):
		return optedOut(postern.Say("exposure.stop.optout-name"))
	case p.ASN != 0 && o.asn[p.ASN]:
		return optedOut(postern.Say("exposure.stop.optout-as", "asn", p.ASN))
	}
	return nil
}

// certificate says whether the owner of a certificate has opted out, by its hash,
// that of its key, or a name in it.
func (o *OptOut) certificate(c *exposure.Certificate) *exposure.Stop {
	if o == nil {
		return nil
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	for _, sum := range []string{c.SHA256, c.KeySHA256} {
		var b [32]byte
		if n, err := hex.Decode(b[:], []byte(sum[:min(len(sum), 64)])); err == nil && n == 32 && o.keys[b] {
			return optedOut(postern.Say("exposure.stop.optout-certificate"))
		}
	}
	if o.names.empty() {
		return nil
	}
	for _, n := range append(c.Names[:len(c.Names):len(c.Names)], c.CommonName) {
		if o.names.contains(string(bytes.ToLower([]byte(n)))) {
			return optedOut(postern.Say("exposure.stop.optout-name"))
		}
	}
	return nil
}

func optedOut(why postern.Text) *exposure.Stop {
	return &exposure.Stop{Outcome: exposure.OptedOut, Why: why}
}
