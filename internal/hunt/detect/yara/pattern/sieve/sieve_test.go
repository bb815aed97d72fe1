package sieve

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// naive is what the package promises, by the halves of each byte.
func naive(s *Sieve, data []byte, at int) bool {
	for _, t := range s.tables {
		all := uint8(0xff)
		for i := range MaxLength {
			var c byte
			if at+i < len(data) {
				c = data[at+i]
			}
			all &= t.halves[2*i][c&15] & t.halves[2*i+1][c>>4]
		}
		if all != 0 {
			return at < len(data)
		}
	}
	return false
}

// begins says whether a key is at a place.
func begins(k Key, data []byte, at int) bool {
	for i := range k.Length {
		if at+i >= len(data) || (data[at+i]^byte(k.Bytes>>(8*i)))&^(k.Folded>>i&1*Fold) != 0 {
			return false
		}
	}
	return true
}

// keyOf makes a key of which letters have no case, and nothing else is folded.
func keyOf(s string) Key {
	k := Key{Length: len(s)}
	for i := range len(s) {
		k.Bytes |= uint32(s[i]) << (8 * i)
		if 'a' <= s[i]|Fold && s[i]|Fold <= 'z' {
			k.Folded |= 1 << i
		}
	}
	return k
}

// even says that all bytes are as frequent.
func even() *Frequency {
	f := new(Frequency)
	for i := range f {
		f[i] = 1.0 / 256
	}
	return f
}

// groups makes some of one key and some of two.
func groups(keys []Key) (all [][]Key) {
	for i := 0; i < len(keys); i += 1 + i%2 {
		all = append(all, keys[i:min(i+1+i%2, len(keys))])
	}
	return all
}

// check holds the marks of all places against the promise, and against those that a
// processor without the fast way would give.
func check(t *testing.T, s *Sieve, keys []Key, data []byte, from, words int) {
	t.Helper()
	marks := make([]uint64, words)
	for i := range marks {
		marks[i] = 0xdeadbeef // what was there before does not matter
	}
	s.Mark(marks, data, from)
	for i := range marks {
		var slow uint64
		for j := range s.tables {
			slow |= s.tables[j].markSlow(data, from+i*Block)
		}
		if marks[i] != slow {
			t.Fatalf("%d bytes, word %d from %d: got the marks %064b, byte by byte %064b", len(data), i, from, marks[i], slow)
		}
	}
	for i := range words * Block {
		at := from + i
		got := marks[i/Block]>>(i%Block)&1 != 0
		if want := naive(s, data, at); got != want {
			t.Fatalf("%d bytes, place %d from %d: got the mark %v, want %v", len(data), at, from, got, want)
		}
		if !got && slices.ContainsFunc(keys, func(k Key) bool { return begins(k, data, at) }) {
			t.Fatalf("%d bytes, place %d: a key begins there and has no mark", len(data), at)
		}
	}
}

// Every length about the size of a block, from every place in one.
func TestEveryLengthAndPlace(t *testing.T) {
	t.Parallel()
	keys := []Key{keyOf("<?"), keyOf("eval"), keyOf("{"), keyOf("abc"), keyOf("\x00\x01\xff\xfe")}
	s := New(groups(keys), 1+len(keys)%3, even())
	text := []byte("<?xEVAL{(aBc) \x00\x01\xff\xfe <% EvA l <?<?{{")
	whole := bytes.Repeat(text, 12)
	for length := range 3*Block + 8 {
		for from := 0; from <= min(length, Block+1); from += 1 + length/Block*7 {
			check(t, s, keys, whole[len(whole)-length:], from, length/Block+2)
		}
	}
	for shift := range 40 { // and at every address
		check(t, s, keys, whole[shift:shift+5*Block+shift], 0, 6)
	}
}

// A key marks its own place, at the last byte too.
func TestKeysAreFound(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 300; n += 13 {
		r := rand.New(rand.NewPCG(uint64(n), 1))
		var keys []Key
		for range n {
			keys = append(keys, Key{r.Uint32(), 1 + r.IntN(MaxLength), uint8(r.Uint32())})
			last := &keys[len(keys)-1]
			last.Bytes &= uint32(1<<(8*last.Length) - 1)
		}
		s := New(groups(keys), 1+len(keys)%3, even())
		data := make([]byte, 700)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		for range 40 {
			k := keys[r.IntN(n)]
			at := r.IntN(len(data) - k.Length + 1)
			for i := range k.Length {
				data[at+i] = byte(k.Bytes>>(8*i)) ^ byte(r.IntN(2))*(k.Folded>>i&1)*Fold
			}
		}
		check(t, s, keys, data, 0, 12)
	}
}

// Few different keys let few places through.
func TestFewPlacesAreLetThrough(t *testing.T) {
	t.Parallel()
	var keys [][]Key
	for _, word := range []string{"eval", "exec", "<%", "<?ph", "asse", "syst", "base"} {
		keys = append(keys, []Key{keyOf(word)})
	}
	s := New(keys, 1, even())
	if got := s.Share(); got < 1.0/65536 || got > 2.0/65536 {
		t.Errorf("estimate: got %g, want a little more than that of the two bytes", got)
	}
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1<<18)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	marks := make([]uint64, len(data)/Block)
	s.Mark(marks, data, 0)
	n := 0
	for i := range data {
		n += int(marks[i/Block] >> (i % Block) & 1)
	}
	if n == 0 || n > len(data)/10_000 {
		t.Errorf("got %d marks in %d bytes, want some and at most one in 10,000", n, len(data))
	}
}

func FuzzMark(f *testing.F) {
	f.Add([]byte("eval<%"), []byte("xx<%Eval("), uint8(0))
	f.Fuzz(func(t *testing.T, seed, data []byte, from uint8) {
		var keys []Key
		for len(seed) > 0 && len(keys) < 400 {
			n := min(1+int(seed[0])%MaxLength, len(seed))
			keys = append(keys, keyOf(string(seed[:n])))
			seed = seed[n:]
		}
		check(t, New(groups(keys), 1+len(keys)%3, even()), keys, data, min(int(from), len(data)), len(data)/Block+2)
	})
}

func BenchmarkMark(b *testing.B) {
	s := New(groups([]Key{keyOf("eval"), keyOf("<%"), keyOf("<?ph")}), 1, even())
	data := bytes.Repeat([]byte("plain words of a page "), 3000)
	marks := make([]uint64, len(data)/Block)
	b.Run("fast", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			s.Mark(marks, data, 0)
		}
	})
	b.Run("slow", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			for i := range marks {
				marks[i] = s.tables[0].markSlow(data, i*Block)
			}
		}
	})
}
