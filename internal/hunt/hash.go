package hunt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"sync"
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
// of these inputs, as hashing everything costs more than hunting it; or of every
// file of the host, if that is wished.
func (h *hunt) hash(ctx context.Context, host *postern.Host, s *server) {
	wanted := make(map[string]bool)
	for i := range host.Findings {
		for _, e := range host.Findings[i].Evidence {
			wanted[e.Path] = true
		}
	}
	var files []*source.File
	take := func(f *source.File) {
		if h.opt.Hash == HashAll || h.opt.Hash != HashNone && wanted[f.Path] {
			files = append(files, f)
		}
	}
	for _, l := range s.logs {
		take(&l.file)
	}
	for _, g := range s.groups {
		for i := range g.kept {
			take(&g.kept[i])
		}
	}
	sums := make(map[string]string, len(files))
	var mu sync.Mutex
	h.each(ctx, len(files), func(i int) {
		sum := hashFile(files[i])
		if sum == "" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		sums[files[i].Path] = sum
		host.Inputs = append(host.Inputs, postern.HashedFile{Path: files[i].Path, Size: files[i].Size, SHA256: sum})
	})
	slices.SortFunc(host.Inputs, func(a, b postern.HashedFile) int { return strings.Compare(a.Path, b.Path) })
	for i := range host.Findings {
		for j := range host.Findings[i].Evidence {
			if e := &host.Findings[i].Evidence[j]; e.SHA256 == "" {
				e.SHA256 = sums[e.Path]
			}
		}
	}
}

// each does n pieces of work, some at a time, until the context ends.
func (h *hunt) each(ctx context.Context, n int, work func(int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(h.readers(), n) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	workers.Wait()
}

// hashFile gives the hash of a file, "" if it cannot be read any more.
func hashFile(f *source.File) string {
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
