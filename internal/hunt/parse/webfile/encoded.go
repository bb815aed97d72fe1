package webfile

import "bytes"

// Microsoft's script engines run code in an encoded form, which screenc.exe writes:
// a mark, the length as six letters of base64 and "==", the code with every
// character exchanged by one of three alphabets in a fixed order, the checksum,
// a mark. It hides code from searchers and from nobody else.
const (
	encodedStart  = "#@~^"
	encodedHeader = len(encodedStart) + 8
	encodedEnd    = "^#~@"
	encodedTail   = 8 // the checksum before the end
)

// The alphabets: the letter at n stands for character 31+n, the first for a tab.
var encodedAlphabets = [3]string{
	"dP\"Ja^][B`#e_~ORz!F &c*vG%,)i?'?g?bAZf2sMCq9|SH1rnpI?Kj.\x7f(5}$-T7{=l4mN+0otkL3V:xWw;D/YE\\h6Xy\tu8UQ",
	"7~ZE:yY'vcbMQSR &Tq+f*X\x7f{01lI?x?_?)$/93o!u(BFJ\\H6K}]jPi#\tpet,wD?m|C8^[nWL4r%VshUG25.dO;-Aaz\"`kN=g",
	"i,er[fuLEv*C3B cJZ8y2Wl+FRO=p?{?Q?z~;GAwV_&xndtg}h5\"U:`jqoI\\]'Y%|#m(19\x7f6T4bN0^s\tKa$MkD!7SXH.P-)?/",
}

// encodedOrder says which alphabet is used for which character.
const encodedOrder = "1201202002021020102011200210200211020201011201021020112001120102"

// decodeScripts puts the code that stands encoded in a text in its place, padded
// with spaces to the same length, so that positions stay true. The text is changed;
// ok says whether there was any.
func decodeScripts(b []byte) (out []byte, ok bool) {
	if !bytes.Contains(b, []byte(encodedStart)) {
		return b, false
	}
	out = bytes.Clone(b)
	table := encodedTable()
	for at := 0; ; {
		i := bytes.Index(out[at:], []byte(encodedStart))
		if i < 0 {
			return out, ok
		}
		start := at + i
		body := start + encodedHeader
		end := len(out)
		next := end
		if n := bytes.Index(out[min(body, end):], []byte(encodedEnd)); n >= encodedTail {
			end = body + n - encodedTail
			next = body + n + len(encodedEnd)
		}
		if body > end {
			return out, ok
		}
		decodeInPlace(out[body:end], table)
		blank(out[start:body])
		blank(out[end:next])
		at, ok = next, true
	}
}

func blank(b []byte) {
	for i := range b {
		b[i] = ' '
	}
}

// encodedTable turns the alphabets around.
func encodedTable() *[3][128]byte {
	var t [3][128]byte
	for a, letters := range encodedAlphabets {
		for n := range len(letters) {
			switch plain := byte(31 + n); plain {
			case 31:
				t[a][letters[n]] = '\t'
			case '<', '>', '@': // have escapes of their own, and a letter here that is another's
			default:
				t[a][letters[n]] = plain
			}
		}
	}
	return &t
}

// encodedEscapes are the characters that the encoding writes as '@' and a letter.
var encodedEscapes = map[byte]byte{'#': '\r', '&': '\n', '!': '<', '*': '>', '$': '@'}

func decodeInPlace(b []byte, table *[3][128]byte) {
	n := 0 // characters outside of ASCII are not encoded and not counted
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c >= 0x80 {
			continue
		}
		if c == '@' && i+1 < len(b) && encodedEscapes[b[i+1]] != 0 {
			b[i] = encodedEscapes[b[i+1]]
			i++
			b[i] = ' '
		} else if plain := table[encodedOrder[n%len(encodedOrder)]-'0'][c]; plain != 0 {
			b[i] = plain
		}
		n++
	}
}
