package bundle

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// window is how far back packed bytes refer. It is that of zstd at its normal
// level, and what every reader of a segment has to hold in memory.
const window = 2 << 20

// Sealer packs and encrypts one stream after another.
type Sealer struct {
	recipients []age.Recipient
	pack       *zstd.Encoder
}

// NewSealer makes a Sealer for who may open what it makes.
func NewSealer(recipients []age.Recipient) (*Sealer, error) {
	// Two: one block is matched while the one before it is coded and encrypted. On logs
	// the fastest level packs as well as the normal one in half the time, and saving
	// memory would double it: the window is then moved for every block.
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(window))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &Sealer{recipients, pack}, nil
}

// Seal begins a stream. It is whole only when it was closed without an error; the
// next begins after that.
func (s *Sealer) Seal(w io.Writer) (io.WriteCloser, error) {
	locked, err := age.Encrypt(w, s.recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	s.pack.Reset(locked)
	return &sealing{s.pack, locked}, nil
}

type sealing struct {
	*zstd.Encoder
	locked io.WriteCloser
}

func (s *sealing) Close() error { return errors.Join(s.Encoder.Close(), s.locked.Close()) }

// ErrNoKey says that none of the identities opens the bundle.
var ErrNoKey = errors.New("no key for this bundle")

// Opener opens streams that were sealed, one after another or several at once.
type Opener struct {
	identities []age.Identity
	idle       sync.Pool // of *zstd.Decoder: a new one costs megabytes
}

// NewOpener makes an Opener with the keys to try.
func NewOpener(identities []age.Identity) *Opener { return &Opener{identities: identities} }

// Open decrypts and unpacks a stream. The error wraps [ErrNoKey] if it is for others.
func (o *Opener) Open(r io.Reader) (io.ReadCloser, error) {
	if len(o.identities) == 0 {
		return nil, ErrNoKey
	}
	clear, err := age.Decrypt(bufio.NewReaderSize(r, 128<<10), o.identities...)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	d, _ := o.idle.Get().(*zstd.Decoder)
	if d == nil {
		d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(2*window))
	}
	if err == nil {
		err = d.Reset(clear)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return &opened{d, o}, nil
}

type opened struct {
	*zstd.Decoder
	by *Opener
}

// Close lets the unpacker be used again.
func (r *opened) Close() error {
	if r.Decoder == nil {
		return nil
	}
	d := r.Decoder
	r.Decoder = nil
	if err := d.Reset(nil); err != nil {
		d.Close()
		return nil //nolint:nilerr // it is not needed any more
	}
	r.by.idle.Put(d)
	return nil
}

func (r *opened) Read(b []byte) (int, error) {
	if r.Decoder == nil {
		return 0, io.ErrClosedPipe
	}
	return r.Decoder.Read(b)
}

// Unseal opens one stream.
func Unseal(r io.Reader, identities []age.Identity) (io.ReadCloser, error) {
	return NewOpener(identities).Open(r)
}

// maxLine bounds a line of a list: the longest path of Linux, each byte of it
// written as an escape, twice, and the rest.
const maxLine = 64 << 10

// maxListed bounds the lines of a list, of which a segment of ours has 4,096: some
// packed bytes can become any number of lines.
const maxListed = 100_000

// ReadList reads the list of a segment. It ends at the first line that is none.
func ReadList(r io.Reader, visit func(Member) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	for n := 1; lines.Scan(); n++ {
		if n > maxListed {
			return errListed
		}
		var m Member
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("line %d of the list: %w", n, err)
		}
		if m.Path == "" || m.Size < 0 || m.Offset < 0 || m.Stored() && len(m.SHA256) != 64 {
			return fmt.Errorf("line %d of the list: %w", n, errNoMember)
		}
		if err := visit(m); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	return nil
}

var (
	errNoMember = errors.New("no file of a bundle")
	errListed   = errors.New("more lines than a list may have")
)
