package elf

import (
	"encoding/hex"
	"slices"
	"strings"
)

// TelfHash is a hash of the names of a program's functions that is similar for
// similar programs (Trend Micro, "telfhash", 2020): TLSH of the names (J. Oliver, C.
// Cheng, Y. Chen: "TLSH – A Locality Sensitive Hash", 2013). False if the program has
// no functions to name; empty if they are too few.
func (f *File) TelfHash() (string, bool) { return f.telf() }

// Symbols that are in every program, or that compilers add.
var everywhere = []string{"__libc_start_main", "main", "abort", "cachectl", "cacheflush", "puts", "atol", "malloc_trim"}

func (f *File) hashFunctions() (string, bool) {
	const global, function = 1, 2
	names, ok := f.names(func(s *Symbol) bool {
		n := s.Name
		return s.Bind == global && s.Type == function && s.Visibility == 0 &&
			!strings.HasPrefix(n, ".") && !strings.HasPrefix(n, "_") && !strings.HasSuffix(n, "64") &&
			!strings.HasPrefix(n, "str") && !strings.HasPrefix(n, "mem") && !slices.Contains(everywhere, n)
	})
	if !ok {
		return "", false
	}
	return tlsh([]byte(strings.Join(names, ","))), true
}

const (
	minTLSH = 50  // bytes that are worth a hash
	buckets = 128 // of which each takes two bits of the hash
)

// tlsh counts triples of bytes that are close to one another and writes for each kind
// of triple in which quarter its count is.
func tlsh(data []byte) string {
	if len(data) < minTLSH {
		return ""
	}
	var counts [256]int
	var sum byte
	for i := 4; i < len(data); i++ {
		a, b, c, d, e := data[i], data[i-1], data[i-2], data[i-3], data[i-4]
		sum = pearson(1, a, b, sum)
		counts[pearson(49, a, b, c)]++
		counts[pearson(12, a, b, d)]++
		counts[pearson(178, a, c, d)]++
		counts[pearson(166, a, c, e)]++
		counts[pearson(84, a, b, e)]++
		counts[pearson(230, a, d, e)]++
	}
	sorted := slices.Sorted(slices.Values(counts[:buckets]))
	q1, q2, q3 := sorted[buckets/4-1], sorted[buckets/2-1], sorted[buckets*3/4-1]
	if q3 == 0 || sorted[buckets/2-1] == 0 { // half of the kinds do not occur
		return ""
	}
	length, _ := slices.BinarySearch(lengths[:], len(data))
	ratio := func(q int) byte { return byte(uint32(float32(q*100)/float32(q3)) % 16) }
	hash := []byte{sum<<4 | sum>>4, byte(length)<<4 | byte(length)>>4, ratio(q1)<<4 | ratio(q2)}
	for i := buckets - 4; i >= 0; i -= 4 {
		var code byte
		for j, n := range counts[i : i+4] {
			switch {
			case n > q3:
				code |= 3 << (2 * j)
			case n > q2:
				code |= 2 << (2 * j)
			case n > q1:
				code |= 1 << (2 * j)
			}
		}
		hash = append(hash, code)
	}
	return "T1" + strings.ToUpper(hex.EncodeToString(hash))
}

func pearson(salt, a, b, c byte) byte {
	return permutation[permutation[permutation[salt^a]^b]^c]
}

// permutation is the table of the Pearson hash in TLSH.
var permutation = [256]byte{
	1, 87, 49, 12, 176, 178, 102, 166, 121, 193, 6, 84, 249, 230, 44, 163, 14, 197, 213, 181, 161, 85, 218, 80, 64, 239, 24, 226,
	236, 142, 38, 200, 110, 177, 104, 103, 141, 253, 255, 50, 77, 101, 81, 18, 45, 96, 31, 222, 25, 107, 190, 70, 86, 237, 240, 34,
	72, 242, 20, 214, 244, 227, 149, 235, 97, 234, 57, 22, 60, 250, 82, 175, 208, 5, 127, 199, 111, 62, 135, 248, 174, 169, 211, 58,
	66, 154, 106, 195, 245, 171, 17, 187, 182, 179, 0, 243, 132, 56, 148, 75, 128, 133, 158, 100, 130, 126, 91, 13, 153, 246, 216,
	219, 119, 68, 223, 78, 83, 88, 201, 99, 122, 11, 92, 32, 136, 114, 52, 10, 138, 30, 48, 183, 156, 35, 61, 26, 143, 74, 251, 94,
	129, 162, 63, 152, 170, 7, 115, 167, 241, 206, 3, 150, 55, 59, 151, 220, 90, 53, 23, 131, 125, 173, 15, 238, 79, 95, 89, 16,
	105, 137, 225, 224, 217, 160, 37, 123, 118, 73, 2, 157, 46, 116, 9, 145, 134, 228, 207, 212, 202, 215, 69, 229, 27, 188, 67,
	124, 168, 252, 42, 4, 29, 108, 21, 247, 19, 205, 39, 203, 233, 40, 186, 147, 198, 192, 155, 33, 164, 191, 98, 204, 165, 180,
	117, 76, 140, 36, 210, 172, 41, 54, 159, 8, 185, 232, 113, 196, 231, 47, 146, 120, 51, 65, 28, 144, 254, 221, 93, 189, 194, 139,
	112, 43, 71, 109, 184, 209,
}

// lengths are the longest texts that share a length in the hash.
var lengths = [...]int{
	1, 2, 3, 5, 7, 11, 17, 25, 38, 57, 86, 129, 194, 291, 437, 656, 854, 1110, 1443, 1876, 2439, 3171, 3475, 3823, 4205, 4626, 5088,
	5597, 6157, 6772, 7450, 8195, 9014, 9916, 10907, 11998, 13198, 14518, 15970, 17567, 19323, 21256, 23382, 25720, 28292, 31121,
	34233, 37656, 41422, 45564, 50121, 55133, 60646, 66711, 73382, 80721, 88793, 97672, 107439, 118183, 130002, 143002, 157302,
	173032, 190335, 209369, 230306, 253337, 278670, 306538, 337191, 370911, 408002, 448802, 493682, 543050, 597356, 657091, 722800,
	795081, 874589, 962048, 1058252, 1164078, 1280486, 1408534, 1549388, 1704327, 1874759, 2062236, 2268459, 2495305, 2744836,
	3019320, 3321252, 3653374, 4018711, 4420582, 4862641, 5348905, 5883796, 6472176, 7119394, 7831333, 8614467, 9475909, 10423501,
	11465851, 12612437, 13873681, 15261050, 16787154, 18465870,
}
