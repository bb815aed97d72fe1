package hunt

import (
	"cmp"
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
	hashed := make([]postern.HashedFile, len(files))
	h.each(ctx, len(files), func(i int) { hashed[i] = hashFile(files[i]) })
	sums := make(map[string]string, len(files))
	for _, f := range hashed {
		if f.SHA256 == "" {
			continue
		}
		host.Inputs = append(host.Inputs, f)
		if known, twice := sums[f.Path]; twice && known != f.SHA256 {
			f.SHA256 = "" // two inputs have a file of that name: nobody knows which one is meant
		}
		sums[f.Path] = f.SHA256
	}
	slices.SortFunc(host.Inputs, func(a, b postern.HashedFile) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.SHA256, b.SHA256))
	})
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

// hashFile gives the hash of a file; without one if it cannot be read to its end
// any more, as the hash of a part is that of something else.
func hashFile(f *source.File) postern.HashedFile {
	hashed := postern.HashedFile{Path: f.Path}
	r, err := f.Open()
	if err != nil {
		return hashed
	}
	defer r.Close()
	sum := sha256.New()
	if hashed.Size, err = io.Copy(sum, r); err != nil {
		return hashed
	}
	// A log that has grown since gives what it had, and says so too.
	if e, ok := r.(interface{ Err() error }); ok && e.Err() != nil && (f.Size < 0 || hashed.Size < f.Size) {
		return hashed
	}
	hashed.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return hashed
}
