package source

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"postern"
)

// stream is a packed file that holds one file and not a list: x.LOG.gz. It is
// unpacked anew for every reader.
type stream struct {
	e     *Evidence
	k     kind
	outer *File
}

func (s stream) read(*member) (io.ReadCloser, error) {
	r, err := s.outer.Open()
	if err != nil {
		return nil, err
	}
	inner, err := s.e.unpack(s.k, bufio.NewReaderSize(r, 64<<10))
	if err != nil {
		r.Close()
		return nil, err
	}
	return closing{inner, r}, nil
}

// closing closes the packed stream after the unpacked one.
type closing struct {
	io.ReadCloser
	packed io.Closer
}

func (c closing) Close() error { return errors.Join(c.ReadCloser.Close(), c.packed.Close()) }

// unpack gives the content of a packed stream.
func (e *Evidence) unpack(k kind, r io.Reader) (rc io.ReadCloser, err error) {
	defer func() {
		if p := recover(); p != nil {
			rc, err = nil, fmt.Errorf("decoder: %v", p)
		}
	}()
	switch k {
	case gzipStream:
		return gzip.NewReader(r)
	case zstdStream:
		return e.zstd(r)
	default:
		return io.NopCloser(bzip2.NewReader(r)), nil
	}
}

// zstd unpacks in the goroutine that reads, within the bound on memory.
func (e *Evidence) zstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(uint64(e.limits.Window)))
	if err != nil {
		return nil, err
	}
	return zstdReader{d, e.limits.Window}, nil
}

type zstdReader struct {
	d      *zstd.Decoder
	window int64
}

func (z zstdReader) Read(b []byte) (int, error) {
	n, err := z.d.Read(b)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = &refusal{postern.Limit, postern.Say("source.window", "limit", z.window)}
	}
	return n, err
}

func (z zstdReader) Close() error {
	z.d.Close()
	return nil
}

// streamName is the name of what is inside x.LOG.gz: x.LOG. The name that gzip
// may carry is not used: it is the packer's word against the file's own.
func streamName(outer string) string {
	base := path.Base(outer)
	ext := path.Ext(base)
	name := strings.TrimSuffix(base, ext)
	if name == "" || !namedArchive(base) {
		return base
	}
	return name
}
