package bloom

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// Marks are the same on every processor, and each key that is there has one.
func TestMark(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 7, 300, 20_000, 200_000} {
		f := New(n)
		keys := make(map[uint32]bool)
		for range n {
			k := random.Uint32() | uint32(fold8&0xffffffff)
			keys[k] = true
			f.Add(Hash(k))
		}
		for blocks := range 40 {
			data := make([]byte, blocks*Block+random.IntN(3))
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			for k := range keys { // some keys, in either case
				if blocks > 0 && random.IntN(3) > 0 {
					binary.LittleEndian.PutUint32(data[4*random.IntN(blocks*Block/4):], k&^(random.Uint32()&uint32(fold8&0xffffffff)))
					continue
				}
				break
			}
			got, slow := make([]uint8, blocks), make([]uint8, blocks)
			for i := range got {
				got[i] = 0xa5 // what was there before does not matter
			}
			f.Mark(got, data)
			f.markSlow(slow, data[:blocks*Block])
			for i := range got {
				if got[i] != slow[i] {
					t.Fatalf("%d keys, block %d of %d: got the marks %08b, one by one %08b", n, i, blocks, got[i], slow[i])
				}
			}
			marked := 0
			for at := 0; at < blocks*Block; at += 4 {
				key := binary.LittleEndian.Uint32(data[at:]) | uint32(fold8&0xffffffff)
				is := got[at/Block]>>(at%Block/4)&1 != 0
				if keys[key] && !is {
					t.Fatalf("%d keys: the key %x at %d has no mark", n, key, at)
				}
				if is != (f.Asked().May(Hash(key))&1 != 0) {
					t.Fatalf("%d keys: the mark of %x at %d is %v, and May says otherwise", n, key, at, is)
				}
				if is && !keys[key] {
					marked++
				}
			}
			if n < 200_000 && marked > 3+blocks*Block/4/16 {
				t.Errorf("%d keys: %d of %d places marked by chance", n, marked, blocks*Block/4)
			}
		}
	}
}

// The rate of marks by chance is what makes the filter worth asking.
func TestChance(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	f := New(5_000)
	for range 5_000 {
		f.Add(Hash(random.Uint32()))
	}
	const places = 1_000_000
	n := 0
	for range places {
		n += int(f.Asked().May(Hash(random.Uint32())) & 1)
	}
	if n > places/100 {
		t.Errorf("%d of %d places pass by chance, more than one in a hundred", n, places)
	}
}

func BenchmarkMark(b *testing.B) {
	random := rand.New(rand.NewPCG(5, 6))
	f := New(7_000)
	for range 7_000 {
		f.Add(Hash(random.Uint32() | uint32(fold8&0xffffffff)))
	}
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	marks := make([]uint8, 64)
	for _, c := range []struct {
		name string
		mark func([]uint8, []byte)
	}{{"mark", f.Mark}, {"slow", f.markSlow}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				for at := 0; at < len(data); at += len(marks) * Block {
					c.mark(marks, data[at:at+len(marks)*Block])
				}
			}
		})
	}
}
