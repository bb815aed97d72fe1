package parse

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern"
)

// maxToken bounds an access token in an address; a real one names an account and its
// groups in some hundred bytes, and no server takes longer addresses.
const maxToken = 16 << 10

var sidForm = regexp.MustCompile(`^S-1(-[0-9]{1,10}){1,15}$`)

// AccessToken reads the token by which the parts of Exchange tell each other who
// somebody is, where a client has put one into an address as the parameter X-Rps-CAT:
// the account and the SID that it names, "" for what it does not say or what cannot be
// such. Target is the address as it was logged.
//
// The form is that of a common access token: letters that say what follows, texts
// with a byte for their length. V version, T type, C whether the rest is compressed, A
// way of signing in, L account, U SID, G groups.
func AccessToken(target string) (account, sid string) {
	const name = "x-rps-cat="
	target = Decode(target)
	at := strings.Index(Lower(target), name)
	if at < 0 {
		return "", ""
	}
	text := target[at+len(name):]
	if end := strings.IndexAny(text, "&#; "); end >= 0 {
		text = text[:end]
	}
	text = strings.TrimRight(text[:min(len(text), maxToken)], "=")
	b, _ := base64.RawStdEncoding.DecodeString(text[:len(text)-btoi(len(text)%4 == 1)]) // as far as it goes
	for len(b) > 1 {
		tag := b[0]
		b = b[1:]
		switch tag {
		case 'V':
			b = b[min(2, len(b)):]
		case 'C':
			if b[0] != 0 {
				return account, sid
			}
			b = b[1:]
		case 'T', 'A', 'L', 'U':
			n := int(b[0])
			if n >= 0x80 || n > len(b)-1 { // longer than any name, or cut
				return account, sid
			}
			value := string(b[1 : 1+n])
			b = b[1+n:]
			switch {
			case tag == 'L' && printable(value):
				account = value
			case tag == 'U' && sidForm.MatchString(value):
				sid = value
			}
		default:
			return account, sid
		}
	}
	return account, sid
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// TokenFields are fields of findings about logs of requests: TokenUser and TokenSid,
// read from the columns that hold the address.
func TokenFields(columns ...string) map[string]func(*postern.Event) string {
	read := func(ev *postern.Event) (account, sid string) {
		for _, c := range columns {
			if account, sid = AccessToken(ev.Get(c)); account != "" || sid != "" {
				break
			}
		}
		return account, sid
	}
	return map[string]func(*postern.Event) string{
		"TokenUser": func(ev *postern.Event) string { account, _ := read(ev); return account },
		"TokenSid":  func(ev *postern.Event) string { _, sid := read(ev); return sid },
	}
}
