package module

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
)

// The module hash.

// maxHashes bounds how many ranges of a file keep their hashes: rules compare the
// same range with many values.
const maxHashes = 256

var hashModule = &Module{decl: &Decl{Name: "hash", Type: Struct, Fields: []*Decl{
	digest("md5", func(b []byte) []byte { s := md5.Sum(b); return s[:] }),
	digest("sha1", func(b []byte) []byte { s := sha1.Sum(b); return s[:] }),
	digest("sha256", func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }),
	checksum("checksum32", func(b []byte) uint32 {
		var sum uint32
		for _, c := range b {
			sum += uint32(c)
		}
		return sum
	}),
	checksum("crc32", crc32.ChecksumIEEE),
}}}

func digest(name string, of func([]byte) []byte) *Decl {
	return function(name,
		takes("ii", "s", func(f *File, a []Value) Value {
			data, ok := f.slice(a[0], a[1])
			if !ok {
				return Value{}
			}
			start := int(a[0].Int())
			key := span{name, start, start + len(data)}
			sum, ok := f.hashes[key]
			if !ok {
				sum = hex.EncodeToString(of(data))
				if f.hashes == nil {
					f.hashes = make(map[span]string)
				}
				if len(f.hashes) < maxHashes {
					f.hashes[key] = sum
				}
			}
			return StringValue(sum)
		}),
		takes("s", "s", func(_ *File, a []Value) Value { return StringValue(hex.EncodeToString(of([]byte(a[0].Text())))) }))
}

func checksum(name string, of func([]byte) uint32) *Decl {
	return function(name,
		takes("ii", "i", func(f *File, a []Value) Value {
			data, ok := f.slice(a[0], a[1])
			if !ok {
				return Value{}
			}
			return IntValue(int64(of(data)))
		}),
		takes("s", "i", func(_ *File, a []Value) Value { return IntValue(int64(of([]byte(a[0].Text())))) }))
}
