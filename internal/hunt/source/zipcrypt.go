package source

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"postern"
)

// Decryption of zip members, as streams: the old cipher of PKZIP (APPNOTE.TXT
// 6.1) and WinZip's AES (AE-1 and AE-2). The primitives are the standard
// library's.

// zipKeys finds the password of each encrypted member.
type zipKeys struct {
	passwords []string

	mu     sync.Mutex
	good   []string // those that opened a member of this archive, the last first
	failed int      // members in a row that none opened
}

// trialBytes is how much of a member is unpacked to know that a password is
// right. PKZIP's own check lets one wrong password in 256 pass.
const trialBytes = 64 << 10

// giveUpAfter is how many members of an archive are tried with every password
// before the rest counts as locked, too. Each try of AES costs a millisecond.
const giveUpAfter = 16

// errPassword says that no password opens a member.
func errPassword() error {
	return &refusal{postern.Unreadable, postern.Say("source.wrong-password", "count", 1)}
}

// opens says whether one of the passwords opens a member. Once one has opened a
// member of an archive, it is taken to open the others, and what it does not
// open is told when it is read.
func (z *zipArchive) opens(m *member) bool {
	k := &z.keys
	if len(k.passwords) == 0 || m.method == zipAES {
		return len(k.passwords) > 0 // a foreign scheme is told when it is read
	}
	k.mu.Lock()
	known, tired := len(k.good) > 0, k.failed >= giveUpAfter
	k.mu.Unlock()
	if known || tired {
		return known
	}
	data, local, err := z.data(m)
	if err != nil {
		return true // told when it is read
	}
	_, err = z.decrypt(m, data, local)
	return err == nil
}

// decrypt gives the plain but still packed bytes.
func (z *zipArchive) decrypt(m *member, data *io.SectionReader, local [zipLocalLen]byte) (io.Reader, error) {
	k := &z.keys
	k.mu.Lock()
	candidates := append(slices.Clone(k.good), k.passwords...)
	goods := len(k.good)
	k.mu.Unlock()
	for i, password := range candidates {
		r, err := cipherReader(m, data, local, password)
		if errors.Is(err, errWrongKey) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if i < goods {
			return r, nil
		}
		if z.fits(m, r) { // only now it is proved
			k.proved(password)
			return cipherReader(m, data, local, password)
		}
	}
	k.mu.Lock()
	k.failed++
	k.mu.Unlock()
	return nil, errPassword()
}

func cipherReader(m *member, data *io.SectionReader, local [zipLocalLen]byte, password string) (io.Reader, error) {
	if m.flags&(aes128|aes192|aes256) != 0 {
		return newWinZip(data, password, m.flags)
	}
	return newZipCrypto(io.NewSectionReader(data, 0, data.Size()), password, m.crc, local)
}

func (k *zipKeys) proved(password string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed = 0
	if !slices.Contains(k.good, password) {
		k.good = slices.Insert(k.good, 0, password)
	}
}

// fits says whether what a password gives is the member: whole and with the right
// checksum if it is small, without an error for a while if it is not.
func (z *zipArchive) fits(m *member, r io.Reader) bool {
	plain, err := z.inflateToEnd(m.method, r)
	if err != nil {
		return true // a method that is not read: told when it is
	}
	defer plain.Close()
	var b bytes.Buffer
	_, err = io.CopyN(&b, guarded{plain}, trialBytes)
	switch {
	case err == nil:
		return true
	case err != io.EOF:
		return false
	case m.flags&hasCRC == 0:
		return true
	}
	return crc32.ChecksumIEEE(b.Bytes()) == m.crc
}

// inflateToEnd unpacks a decrypted member and reads what is behind the packed
// data, too: the authentication code is only known to match at the very end.
func (z *zipArchive) inflateToEnd(method uint16, r io.Reader) (io.ReadCloser, error) {
	packed := bufio.NewReaderSize(r, 32<<10)
	plain, err := z.e.inflate(method, packed)
	if err != nil {
		return nil, err
	}
	return toEnd{plain, packed}, nil
}

type toEnd struct {
	io.ReadCloser
	packed io.Reader
}

func (t toEnd) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	if err == io.EOF {
		if _, perr := io.Copy(io.Discard, t.packed); perr != nil {
			err = perr
		}
	}
	return n, err
}

type guarded struct{ r io.Reader }

func (g guarded) Read(b []byte) (int, error) { return guardRead(g.r, b) }

// errWrongKey says that a password does not even pass the short check.
var errWrongKey = errors.New("wrong password")

// zipCrypto is the old cipher: three keys that change with every byte.
type zipCrypto struct {
	r io.Reader
	k [3]uint32
}

func newZipCrypto(r io.Reader, password string, crc uint32, local [zipLocalLen]byte) (io.Reader, error) {
	z := &zipCrypto{r: r, k: [3]uint32{0x12345678, 0x23456789, 0x34567890}}
	for i := range len(password) {
		z.update(password[i])
	}
	var head [12]byte
	if _, err := io.ReadFull(z, head[:]); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	// The last byte of the head is the highest of the checksum, or of the time of
	// day where the checksum was not known yet.
	if c := head[11]; c != byte(crc>>24) && c != local[11] && c != local[17] {
		return nil, errWrongKey
	}
	return z, nil
}

func (z *zipCrypto) update(b byte) {
	z.k[0] = crc32.IEEETable[byte(z.k[0])^b] ^ z.k[0]>>8
	z.k[1] = (z.k[1]+z.k[0]&0xff)*134775813 + 1
	z.k[2] = crc32.IEEETable[byte(z.k[2])^byte(z.k[1]>>24)] ^ z.k[2]>>8
}

func (z *zipCrypto) Read(b []byte) (int, error) {
	n, err := z.r.Read(b)
	for i, c := range b[:n] {
		t := z.k[2] | 2
		c ^= byte(t * (t ^ 1) >> 8)
		z.update(c)
		b[i] = c
	}
	return n, err
}

// winZip is AES in counter mode with a counter that begins at 1 and counts from
// its lowest byte, and an authentication code behind the data.
type winZip struct {
	data  io.Reader
	code  io.Reader
	mac   hash.Hash
	block cipher.Block
	count uint64
	key   [keystream]byte
	used  int
}

// keystream is how much of it is made at once.
const keystream = 64 * aes.BlockSize

// authCode is the length of the authentication code.
const authCode = 10

func newWinZip(data *io.SectionReader, password string, flags memberFlags) (io.Reader, error) {
	keyLen := 16
	switch {
	case flags&aes192 != 0:
		keyLen = 24
	case flags&aes256 != 0:
		keyLen = 32
	}
	head := make([]byte, keyLen/2+2) // salt and a check of the password
	body := data.Size() - int64(len(head)) - authCode
	if body < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if _, err := data.ReadAt(head, 0); err != nil {
		return nil, err
	}
	const rounds = 1000 // of the format
	keys, err := pbkdf2.Key(sha1.New, password, head[:keyLen/2], rounds, 2*keyLen+2)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(keys[2*keyLen:], head[keyLen/2:]) != 1 {
		return nil, errWrongKey
	}
	block, err := aes.NewCipher(keys[:keyLen])
	if err != nil {
		return nil, err
	}
	return &winZip{
		data:  io.NewSectionReader(data, int64(len(head)), body),
		code:  io.NewSectionReader(data, int64(len(head))+body, authCode),
		mac:   hmac.New(sha1.New, keys[keyLen:2*keyLen]),
		block: block, used: keystream,
	}, nil
}

// errCode says that data is not what was encrypted.
var errCode = errors.New("the authentication code does not match")

func (w *winZip) Read(b []byte) (int, error) {
	n, err := w.data.Read(b)
	w.mac.Write(b[:n])
	for rest := b[:n]; len(rest) > 0; {
		if w.used == keystream {
			w.refill()
		}
		x := subtle.XORBytes(rest, rest, w.key[w.used:])
		w.used += x
		rest = rest[x:]
	}
	if err == io.EOF {
		want, rerr := io.ReadAll(w.code)
		if rerr != nil || len(want) < authCode {
			return n, io.ErrUnexpectedEOF
		}
		if subtle.ConstantTimeCompare(w.mac.Sum(nil)[:authCode], want) != 1 {
			return n, errCode
		}
		w.code = bytes.NewReader(want) // for a caller that reads on
	}
	return n, err
}

func (w *winZip) refill() {
	var counter [aes.BlockSize]byte
	for i := 0; i < keystream; i += aes.BlockSize {
		w.count++
		binary.LittleEndian.PutUint64(counter[:], w.count)
		w.block.Encrypt(w.key[i:i+aes.BlockSize], counter[:])
	}
	w.used = 0
}
