package probe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"postern/internal/exposure"
)

// This file is all that is ever sent to a host beside the TLS handshake. A test
// fails when it grows, and "postern exposure requests" prints it.

// MaxRequests is how many requests a host gets in 24 hours, whoever runs the scan.
const MaxRequests = 6

// maxRedirects is how often a place that a redirect names is asked for, on the same
// host and port only.
const maxRedirects = 2

// method is the only one. There is never a body.
const method = "GET"

// paths are the places that may be asked for: those that a browser, a phone or a
// monitor asks for without signing in.
func paths() []string {
	return []string{
		"/",
		"/owa/",
		"/owa/auth/logon.aspx",
		"/autodiscover/autodiscover.xml",
		"/EWS/Exchange.asmx",
		"/Microsoft-Server-ActiveSync",
		"/owa/healthcheck.htm",
		"/mapi/healthcheck.htm",
		"/ecp/Current/exporttool/microsoft.exchange.ediscovery.exporttool.application",
	}
}

// queryPath is the only path that may be asked for with a query: the one that a
// redirect of the same host supplied.
const queryPath = "/owa/auth/logon.aspx"

// maxQuery bounds such a query; real ones have some hundred bytes.
const maxQuery = 512

// Sheet is the request set in words, the text that the hash is taken of.
func Sheet() string {
	var b strings.Builder
	for _, p := range paths() {
		b.WriteString(method + " " + p + " HTTP/1.1\n")
	}
	b.WriteString("Host: <name or address of the target>\n" +
		"User-Agent: <project, contact, hash of this text>\n" +
		"Accept: */*\n" +
		"query: none, but for " + queryPath + " the one of a redirect of the same host: url=, reason=, replaceCurrent=\n" +
		"never: body, cookie, credentials, other header, other method\n" +
		"at most: 6 requests a host in 24 hours, 2 redirects, same host and port only\n")
	return b.String()
}

// Hash is the SHA-256 of the sheet, lower-case hex.
func Hash() string {
	sum := sha256.Sum256([]byte(Sheet()))
	return hex.EncodeToString(sum[:])
}

// Agent is the User-Agent: who asks, whom to tell to stop, and what is asked.
func Agent(contact string) string {
	return "Mozilla/5.0 (compatible; postern; measures patching; questions and opt-out: " + contact + "; requests " + Hash()[:16] + ")"
}

// errNotInSet is a request outside the set. It is a mistake of ours, never a host's.
var errNotInSet = errors.New("request is not in the closed set")

// allowed says whether path, with query or without, may be asked for.
func allowed(path, query string) bool {
	return slices.Contains(paths(), path) && (query == "" || path == queryPath && len(query) <= maxQuery)
}

// appendRequest appends the bytes of one request.
func appendRequest(b []byte, path, query, host, agent string) ([]byte, error) {
	if !allowed(path, query) {
		return b, errNotInSet
	}
	b = append(append(b, method+" "...), path...)
	if query != "" {
		b = append(append(b, '?'), query...)
	}
	b = append(append(b, " HTTP/1.1\r\nHost: "...), host...)
	b = append(append(b, "\r\nUser-Agent: "...), agent...)
	return append(b, "\r\nAccept: */*\r\n\r\n"...), nil
}

// followed reads a redirect. It gives the path and query that may be asked for, and
// false for every place that is not on the same host and port or not in the set.
func followed(location string, from exposure.Place) (path, query string, ok bool) {
	const longest = 2048
	if location == "" || len(location) > longest {
		return "", "", false
	}
	u, err := url.Parse(location)
	if err != nil || u.Opaque != "" || u.User != nil || !samePlace(u, from) {
		return "", "", false
	}
	if query = u.RawQuery; query != "" && !harmless(query, from) {
		return "", "", false
	}
	if path = u.EscapedPath(); !allowed(path, query) {
		return "", "", false
	}
	return path, query, true
}

// samePlace says whether a reference leads back to where it came from.
func samePlace(u *url.URL, p exposure.Place) bool {
	if u.Scheme == "" && u.Host == "" {
		return strings.HasPrefix(u.Path, "/")
	}
	scheme, usual := "https", "443"
	if p.Plain {
		scheme, usual = "http", "80"
	}
	if u.Scheme != "" && u.Scheme != scheme {
		return false
	}
	port := u.Port()
	if port == "" {
		port = usual
	}
	if port != exposure.PortText(p.Port) {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap() == p.Address
	}
	return p.Name != "" && host == p.Name
}

// harmless says whether a query is one that the login page's own redirect has: where
// to go afterwards, and why one is here.
func harmless(query string, p exposure.Place) bool {
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil || len(query) > maxQuery {
		return false
	}
	for name, list := range values {
		if len(list) != 1 {
			return false
		}
		switch v := list[0]; name {
		case "reason", "replaceCurrent":
			if len(v) != 1 || v[0] < '0' || v[0] > '9' {
				return false
			}
		case "url":
			u, err := url.Parse(v)
			if err != nil || u.Opaque != "" || u.User != nil || u.RawQuery != "" || !samePlace(u, p) || !slices.Contains(paths(), u.EscapedPath()) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
