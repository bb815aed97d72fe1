package bundle

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// frameBytes is how much is packed alone, as a frame of zstd, so that frames are
// packed side by side: half as much as its normal level looks back. It costs a hundredth
// in size, and it is what every reader of a segment has to hold in memory.
const frameBytes = 1 << 20

// window is the most that a reader puts up with: bundles of earlier versions refer that
// far back.
const window = 2 << 20

// maxPackers bounds what is packed at the same time, at some 4 MB each. More cores
// than that wait for the disk, or for one hash after another.
const maxPackers = 4

// Sealer packs and encrypts one stream after another.
type Sealer struct {
	recipients []age.Recipient
	pack       *zstd.Encoder
	free       chan *frame // all there are, except those in use
}

// frame is a piece of a stream on its way.
type frame struct {
	plain, packed []byte
	done          chan struct{} // gets a word when it is packed
}

// NewSealer makes a Sealer for who may open what it makes.
func NewSealer(recipients []age.Recipient) (*Sealer, error) {
	n := min(runtime.GOMAXPROCS(0), maxPackers)
	// On logs the fastest level packs as well as the normal one in half the time.
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(n), zstd.WithWindowSize(frameBytes), zstd.WithZeroFrames(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	s := &Sealer{recipients: recipients, pack: pack, free: make(chan *frame, 2*n+2)}
	for range cap(s.free) { // one that is filled, n that are packed and n that wait, one that is encrypted
		s.free <- &frame{done: make(chan struct{}, 1)}
	}
	return s, nil
}

// Seal begins a stream. It is whole only when it was closed without an error, and has
// to be closed in any case; the next begins after that. w is written to by one
// goroutine, and not any more when Close returns.
func (s *Sealer) Seal(w io.Writer) (io.WriteCloser, error) {
	locked, err := age.Encrypt(w, s.recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	out := &sealing{by: s, queue: make(chan *frame, cap(s.free)), ended: make(chan struct{})}
	go out.encrypt(locked)
	return out, nil
}

// sealing is a stream: whoever writes fills frames, which are packed side by side and
// encrypted one after another in their order.
type sealing struct {
	by    *Sealer
	now   *frame // that is being filled
	some  bool   // a frame was sent
	queue chan *frame
	ended chan struct{}
	err   atomic.Pointer[error] // of writing; the rest is thrown away
}

func (s *sealing) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if err := s.err.Load(); err != nil {
			return n - len(b), *err
		}
		if s.now == nil {
			s.now = s.frame()
		}
		room := min(frameBytes-len(s.now.plain), len(b))
		s.now.plain = append(s.now.plain, b[:room]...)
		b = b[room:]
		if len(s.now.plain) == frameBytes {
			s.send()
		}
	}
	return n, nil
}

// frame waits for a frame that nobody needs any more.
func (s *sealing) frame() *frame {
	f := <-s.by.free
	if f.plain == nil {
		f.plain = make([]byte, 0, frameBytes)
	}
	f.plain = f.plain[:0]
	return f
}

// send has a frame packed and takes its place in the order.
func (s *sealing) send() {
	f := s.now
	s.now, s.some = nil, true
	go func() {
		f.packed = s.by.pack.EncodeAll(f.plain, f.packed[:0])
		f.done <- struct{}{}
	}()
	s.queue <- f
}

// encrypt takes the frames in their order.
func (s *sealing) encrypt(locked io.WriteCloser) {
	defer close(s.ended)
	fail := func(err error) {
		if err != nil && s.err.Load() == nil {
			s.err.Store(&err)
		}
	}
	for f := range s.queue {
		<-f.done
		if s.err.Load() == nil {
			_, err := locked.Write(f.packed)
			fail(err)
		}
		s.by.free <- f
	}
	if s.err.Load() == nil {
		fail(locked.Close())
	}
}

func (s *sealing) Close() error {
	if s.now == nil && !s.some {
		s.now = s.frame()
	}
	if s.now != nil {
		s.send()
	}
	close(s.queue)
	<-s.ended
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}

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
