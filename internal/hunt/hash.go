package hunt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"sync/atomic"

	"postern"
	"postern/internal/hunt/source"
)

// countingReader counts what is read for the progress.
type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// hash puts the SHA-256 of each input that a finding rests on beside it, so that
// every finding can be walked back to bytes. It is taken after the hunt and only
// of these inputs: hashing everything would cost more than hunting it.
func (h *hunt) hash(ctx context.Context, host *postern.Host, s *server) {
	files := make(map[string]source.File, len(s.logs))
	for _, l := range s.logs {
		files[l.file.Path] = l.file
	}
	sums := make(map[string]string)
	for i := range host.Findings {
		for j := range host.Findings[i].Evidence {
			e := &host.Findings[i].Evidence[j]
			if e.SHA256 != "" {
				continue
			}
			sum, done := sums[e.Path]
			if f, known := files[e.Path]; known && !done && ctx.Err() == nil {
				sum = hashFile(f)
				sums[e.Path] = sum
			}
			e.SHA256 = sum
		}
	}
}

// hashFile gives the hash of a file, "" if it cannot be read any more.
func hashFile(f source.File) string {
	r, err := f.Open()
	if err != nil {
		return ""
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}
