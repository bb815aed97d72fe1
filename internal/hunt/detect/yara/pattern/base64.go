package pattern

const standardAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// base64Forms gives what a text looks like inside base64, at each of the three
// places that its first byte may have in a group of three. Digits that also depend
// on the bytes around the text are left out.
func base64Forms(value []byte, alphabet string) [][]byte {
	var forms [][]byte
	for shift := range 3 {
		if shift == 1 && len(value) == 1 {
			continue // too few bits of a digit are the text's own
		}
		bytes := append(make([]byte, shift), value...)
		var digits []byte
		for bit := 0; bit < len(bytes)*8; bit += 6 {
			v := uint(bytes[bit/8]) << 8
			if bit/8+1 < len(bytes) {
				v |= uint(bytes[bit/8+1])
			}
			digits = append(digits, alphabet[v>>(10-bit%8)&63])
		}
		if shift > 0 {
			digits = digits[shift+1:]
		}
		if len(bytes)%3 != 0 {
			digits = digits[:len(digits)-1] // holds bits of what follows
		}
		forms = append(forms, digits)
	}
	return forms
}

// widen puts a zero behind each byte.
func widen(value []byte) []byte {
	wide := make([]byte, 2*len(value))
	for i, b := range value {
		wide[2*i] = b
	}
	return wide
}
