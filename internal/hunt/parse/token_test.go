package parse

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

// accessToken writes the beginning of a token, up to where this room reads it.
func accessToken(account, sid string) string {
	b := append([]byte{'V', 1, 0}, tagged('T', "Windows")...)
	b = append(b, 'C', 0)
	for _, part := range [][]byte{tagged('A', "Kerberos"), tagged('L', account), tagged('U', sid)} {
		b = append(b, part...)
	}
	return base64.StdEncoding.EncodeToString(append(b, 'G'))
}

func tagged(tag byte, s string) []byte { return append([]byte{tag, byte(len(s))}, s...) }

func TestAccessToken(t *testing.T) {
	t.Parallel()
	const account, sid = `CONTOSO\alice`, "S-1-5-21-1004336348-1177238915-682003330-500"
	token := accessToken(account, sid)
	for name, c := range map[string]struct{ target, account, sid string }{
		"in a query":         {"@a.example/powershell/?X-Rps-CAT=" + token + "&Email=x", account, sid},
		"escaped":            {"?x-rps-cat=" + url.QueryEscape(token), account, sid},
		"escaped twice":      {"?X-RPS-CAT=" + url.QueryEscape(url.QueryEscape(token)), account, sid},
		"without its end":    {"X-Rps-CAT=" + strings.TrimRight(token, "="), account, sid},
		"cut in the SID":     {"X-Rps-CAT=" + token[:60], account, ""},
		"cut in a group":     {"X-Rps-CAT=" + token[:len(token)-5], account, ""},
		"no token":           {"/autodiscover/autodiscover.json?Email=a@b.example", "", ""},
		"letters by chance":  {"X-Rps-CAT=abcdefghijklmnop", "", ""},
		"compressed":         {"X-Rps-CAT=" + base64.StdEncoding.EncodeToString([]byte("V\x01\x00T\x07WindowsC\x01xxxx")), "", ""},
		"a SID that is none": {"X-Rps-CAT=" + accessToken(account, "S-1-5-<b>"), account, ""},
		"a name of controls": {"X-Rps-CAT=" + accessToken("a\x1b[2Jb", sid), "", sid},
	} {
		gotAccount, gotSid := AccessToken(c.target)
		if gotAccount != c.account || gotSid != c.sid {
			t.Errorf("%s: got %q and %q, want %q and %q", name, gotAccount, gotSid, c.account, c.sid)
		}
	}
}

// What is written is read again, whatever the name; what strangers write does not
// break anything, and no name has controls in it.
func FuzzAccessToken(f *testing.F) {
	f.Add(`CONTOSO\alice`, "?X-Rps-CAT=VgEAVAdXaW5kb3dz")
	f.Add("é", "X-Rps-CAT=TAR4eHh4VQ")
	f.Fuzz(func(t *testing.T, account, target string) {
		if len(account) < 0x80 && printable(account) {
			if got, _ := AccessToken("X-Rps-CAT=" + url.QueryEscape(accessToken(account, "S-1-5-18"))); got != account {
				t.Fatalf("got %q, want %q", got, account)
			}
		}
		got, sid := AccessToken(target)
		if !printable(got) || sid != "" && !sidForm.MatchString(sid) {
			t.Fatalf("%q gives %q and %q", target, got, sid)
		}
	})
}
