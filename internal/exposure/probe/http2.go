package probe

import (
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"

	"golang.org/x/net/http2"

	"postern/internal/exposure"
)

// http2Conn is a connection to a host that speaks nothing but HTTP/2. Its requests
// are the same as on any other connection.
type http2Conn struct{ c *http2.ClientConn }

func newHTTP2(conn net.Conn) (*http2Conn, error) {
	t := &http2.Transport{
		DisableCompression: true,
		MaxHeaderListSize:  maxHead,
		// One stream at a time; the window bounds what a host can push at us.
		MaxReadFrameSize: 16 << 10,
	}
	c, err := t.NewClientConn(conn)
	return &http2Conn{c}, err
}

func (h *http2Conn) close() { _ = h.c.Close() }

// ask sends one request of the closed set and reads the answer within the same
// bounds as HTTP/1.1.
func (h *http2Conn) ask(v *visit, path, query string) (exposure.Answer, error) {
	a := exposure.Answer{Method: method, Path: path}
	if !allowed(path, query) {
		return a, errNotInSet
	}
	url := "https://" + v.host() + path
	if query != "" {
		url += "?" + query
	}
	req, err := http.NewRequestWithContext(v.ctx, method, url, nil)
	if err != nil {
		return a, err
	}
	req.Header = http.Header{"User-Agent": {v.agent}, "Accept": {"*/*"}}
	resp, err := h.c.RoundTrip(req)
	if err != nil {
		v.close()
		return a, err
	}
	defer resp.Body.Close()
	a.Status = resp.StatusCode
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		for _, value := range resp.Header[name] {
			if len(a.Header) < maxLines {
				a.Header = append(a.Header, exposure.Header{Name: name, Value: value})
			}
		}
	}
	v.s.body = v.s.body[:0]
	buf := make([]byte, maxBody)
	n, err := io.ReadFull(resp.Body, buf)
	v.s.body = append(v.s.body, buf[:n]...)
	if err == nil { // there is more than we keep: this connection has served
		v.close()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err = v.s.decode(&a, err); err != nil {
		v.close()
	}
	a.Body = v.s.body
	return a, err
}
