package indicator

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

// text is what keys are made of: a value of a feed, or bytes of a row.
type text interface{ ~string | ~[]byte }

// appendKey appends the one form in which a value of a kind is compared: hashes and
// addresses as bytes, networks with the length behind, names, paths, domains and URLs
// in lower case with '/', agents as logs of all kinds can be brought to, parameters as
// they are. It says false if the value cannot be of the kind.
func appendKey(dst []byte, k kind, v string) ([]byte, bool) {
	v = strings.TrimSpace(v)
	switch k {
	case kindSHA256:
		return appendHex(dst, v, 32)
	case kindSHA1:
		return appendHex(dst, v, 20)
	case kindMD5:
		return appendHex(dst, v, 16)
	case kindName:
		return append(dst, strings.ToLower(v)...), v != "" && !strings.ContainsAny(v, "/\\\x00")
	case kindPath:
		p := serverPath(v)
		return append(dst, p...), strings.Trim(p, "/") != ""
	case kindURL:
		key, ok := appendURL(dst, v)
		host, _, _ := bytes.Cut(key[len(dst):], []byte{'/'})
		return key, ok && isASCII(host)
	case kindAddress:
		return appendAddress(dst, v)
	case kindAgent:
		return appendAgent(dst, v), v != ""
	case kindParameter:
		return append(dst, v...), v != "" && !strings.ContainsAny(v, "&=\r\n")
	case kindDomain:
		d := asked(strings.TrimSuffix(strings.TrimPrefix(v, "*."), "."))
		return appendLower(dst, d), isDomain(d)
	}
	return dst, false
}

func appendHex(dst []byte, v string, n int) ([]byte, bool) {
	if len(v) != 2*n {
		return dst, false
	}
	out, err := hex.AppendDecode(dst, []byte(v))
	return out, err == nil
}

// appendLower folds ASCII letters: no other letter is another case of one of them.
func appendLower[T text](dst []byte, v T) []byte {
	for i := range len(v) {
		c := v[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// asked is a name, with or without port, in the form in which it is asked of the DNS and
// of servers, whose logs have it so: with other letters than those of ASCII it is written
// with them. A name that has no such form stays as it is.
func asked(name string) string {
	if isASCII(name) {
		return name
	}
	host, port := name, ""
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		host, port = name[:i], name[i:]
	}
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		return ascii + port
	}
	return name
}

func isASCII[T text](s T) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// appendAgent gives an agent the form that HttpProxy (two blanks for a comma), IIS
// ('+' for a blank) and the wire have in common.
func appendAgent[T text](dst []byte, v T) []byte {
	start := len(dst)
	blank := false
	for i := range len(v) {
		c := v[i]
		switch {
		case c == '+' || c == ',' || c == ' ' || c == '\t':
			blank = len(dst) > start
			continue
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		if blank {
			dst, blank = append(dst, ' '), false
		}
		dst = append(dst, c)
	}
	return dst
}

// appendAddress appends an address, or a network with its length.
func appendAddress(dst []byte, v string) ([]byte, bool) {
	if addr, ok := parseAddr(v); ok {
		return appendAddr(dst, addr), true
	}
	p, err := netip.ParsePrefix(v)
	if err != nil {
		return dst, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Bits() == p.Addr().BitLen() {
		return appendAddr(dst, p.Addr()), true
	}
	if p.Bits() == 0 {
		return dst, false // everybody
	}
	return append(appendAddr(dst, p.Masked().Addr()), byte(p.Bits())), true
}

func appendAddr(dst []byte, a netip.Addr) []byte {
	if a.Is4() {
		b := a.As4()
		return append(dst, b[:]...)
	}
	b := a.As16()
	return append(dst, b[:]...)
}

// isNetwork says of the key of an address whether it is that of a network.
func isNetwork(key []byte) bool { return len(key) == 5 || len(key) == 17 }

// family is 0 for a key of IPv4 and 1 for one of IPv6.
func family(key []byte) int {
	if len(key) <= 5 {
		return 0
	}
	return 1
}

func network(key []byte) netip.Prefix {
	addr, _ := netip.AddrFromSlice(key[:len(key)-1])
	return netip.PrefixFrom(addr, int(key[len(key)-1]))
}

// parseAddr reads an address, with or without port and brackets.
func parseAddr(s string) (netip.Addr, bool) {
	if len(s) < 2 || len(s) > 64 {
		return netip.Addr{}, false
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// appendURL appends host and path without scheme, default port and fragment, or the
// path alone of an address that has no host.
func appendURL(dst []byte, v string) ([]byte, bool) {
	v, _, _ = strings.Cut(v, "#")
	if i := strings.Index(v, "://"); i > 0 && !strings.ContainsAny(v[:i], "/?") {
		v = v[i+len("://"):]
		host, rest := v, ""
		if i := strings.IndexAny(v, "/?"); i >= 0 {
			host, rest = v[:i], v[i:]
		}
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			host = host[at+1:]
		}
		host = strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":443")
		if host == "" {
			return dst, false
		}
		if !strings.HasPrefix(rest, "/") {
			rest = "/" + rest
		}
		v = asked(host) + rest
	} else if host, _, ok := strings.Cut(v, "/"); !ok || strings.ContainsAny(v, " \t") {
		return dst, false
	} else if !isASCII(host) { // a host without a scheme
		v = asked(host) + v[len(host):]
	}
	if strings.Contains(v, "%") {
		if s, err := url.PathUnescape(v); err == nil {
			v = s
		}
	}
	return appendLower(dst, v), v != "/"
}

// programFiles, and the folders of the product by which a file's place on the server
// is known whatever stands above them, as the river names places.
const programFiles = "program files"

var productRoots = [...]string{"/frontend/httpproxy/", "/clientaccess/", "/logging/", "/transportroles/"}

// folderNames are the folders that variables of Windows stand for.
var folderNames = strings.NewReplacer(
	"%systemdrive%/", "", "%homedrive%/", "", "%programdata%", "programdata", "%allusersprofile%", "programdata",
	"%windir%", "windows", "%systemroot%", "windows", "%public%", "users/public",
	"%programfiles%", "program files", "%programfiles(x86)%", "program files (x86)",
	"%exchangeinstallpath%", "program files/x/", "csidl_system_drive/", "", "csidl_windows", "windows", "csidl_common_appdata", "programdata")

// serverPath gives a published path the form in which a file of the evidence names
// its place: lower case, '/', without drive and without what stands above the product.
// A path that ends with '/' is a folder.
func serverPath(v string) string {
	p := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(v)), `\`, "/")
	p = strings.TrimPrefix(strings.TrimPrefix(p, "//?/"), "//./")
	if len(p) >= 2 && p[1] == ':' {
		p = p[2:]
	}
	p = strings.ReplaceAll(strings.TrimLeft(folderNames.Replace(p), "/"), "//", "/")
	if strings.HasPrefix(p, programFiles) {
		for _, root := range productRoots {
			if i := strings.Index(p, root); i > 0 {
				return p[i+1:]
			}
		}
	}
	return p
}

// isDomain says whether a name, as it is asked, can be one of a host on the internet.
func isDomain(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	label, letters := 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 || s[i-1] == '-' {
				return false
			}
			label, letters = 0, false
		case c >= '0' && c <= '9', c == '-', c == '_':
			if label++; label > 63 {
				return false
			}
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			letters = true
			if label++; label > 63 {
				return false
			}
		default:
			return false
		}
	}
	return label > 1 && letters
}

func trimTLP(s string) string {
	s = strings.TrimSpace(s)
	s = strings.TrimPrefix(strings.TrimPrefix(s, "tlp:"), "tlp ")
	return strings.TrimSpace(s)
}
